# libcontroller: sluiced but its main(), so that tests and the simulator link the same code.
