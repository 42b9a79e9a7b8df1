#!/usr/bin/python3 -B
"""tests/system/test-lab-policy-oracle.py with more rounds and other seeds."""
# time limit: 3600 s
import os
import subprocess
import sys

TEST = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system", "test-lab-policy-oracle.py")
SEEDS = range(100, 105)

failed = 0
for seed in SEEDS:
    done = subprocess.run([TEST], env={**os.environ, "SLUICE_ORACLE_SEED": str(seed), "SLUICE_ORACLE_ROUNDS": "100"}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 77:
        sys.exit(77)
    failed += done.returncode != 0
    print(done.stdout if done.returncode else "\n".join(line for line in done.stdout.splitlines() if line.startswith("seed")), flush=True)
print(f"{len(SEEDS) - failed} passed, {failed} failed, 0 skipped")
sys.exit(1 if failed else 0)
