# sluicectl.
