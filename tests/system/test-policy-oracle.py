#!/usr/bin/python3 -B
"""The oracle against the compiled flows, as Open vSwitch judges them: issue 5, comparison (a), every item of both acceptance lists.

100,000 verdicts on random clusters (tests/policy/compare-flows).  SLUICE_TEST_SEED is the first seed; each day has its own, and a mismatch
prints the one to repeat."""
# time limit: 280 s
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
COMPARE = os.path.join(TOP, "tests", "policy", "compare-flows")


def main():
    # Fixed seeds, which passed before, and others.
    other = os.environ.get("SLUICE_TEST_SEED") or str(10000 * (int(time.time()) // 86400))
    failed = 0
    for seed, verdicts in (("1", 60000), (other, 60000)):
        print(f"seed {seed}", flush=True)
        done = subprocess.run([COMPARE, "--seed", seed, "--verdicts", str(verdicts)], stdin=subprocess.DEVNULL)
        if done.returncode == 77:
            return 77
        failed += done.returncode != 0
    print(f"{2 - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
