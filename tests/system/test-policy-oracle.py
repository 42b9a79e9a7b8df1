#!/usr/bin/python3 -B
"""The oracle against the compiled flows, as Open vSwitch judges them: issue 5, comparison (a), every item of both acceptance lists.

100,000 verdicts on random clusters (tests/policy/compare-flows).  SLUICE_TEST_SEED is the first seed; each day has its own, and a mismatch
prints the one to repeat."""
# time limit: 600 s
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
COMPARE = os.path.join(TOP, "tests", "policy", "compare-flows")


def main():
    # Seeds that passed before, and others; and whether the comparison would notice.
    other = os.environ.get("SLUICE_TEST_SEED") or str(10000 * (int(time.time()) // 86400))
    failed = 0
    runs = [["--seed", "1", "--verdicts", "50000"], ["--seed", other, "--verdicts", "50000"], ["--self-test"]]
    for arguments in runs:
        print("compare-flows " + " ".join(arguments), flush=True)
        done = subprocess.run([COMPARE, *arguments], stdin=subprocess.DEVNULL)
        if done.returncode == 77:
            return 77
        failed += done.returncode != 0
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
