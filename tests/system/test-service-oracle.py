#!/usr/bin/python3 -B
"""The oracle of Services against the compiler and against the compiled flows and groups, as Open vSwitch judges them: issue 6,
comparisons (a) and (b); services 1 to 5, 8 to 10, 12 to 19, 21, 22, 26.

Random clusters (tests/services/compare-doors and compare-packets).  SLUICE_TEST_SEED is the first seed; each day has its own, and a
mismatch prints the one to repeat."""
# time limit: 900 s
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
FOLDER = os.path.join(TOP, "tests", "services")


def main():
    # Seeds that passed before, and others; and whether the comparisons would notice.
    other = os.environ.get("SLUICE_TEST_SEED") or str(10000 * (int(time.time()) // 86400))
    failed = 0
    runs = [["compare-doors", "--seed", "1", "--clusters", "1000", "--seconds", "15"],
            ["compare-doors", "--seed", other, "--clusters", "1000", "--seconds", "15"],
            ["compare-doors", "--self-test"],
            ["compare-packets", "--seed", "1", "--verdicts", "8000", "--seconds", "20"],
            ["compare-packets", "--seed", other, "--verdicts", "8000", "--seconds", "20"],
            ["compare-packets", "--sizes", "1", "2", "3", "5", "10", "100", "256", "257"],
            ["compare-packets", "--self-test"]]
    for program, *arguments in runs:
        print(" ".join([program, *arguments]), flush=True)
        done = subprocess.run([os.path.join(FOLDER, program), *arguments], stdin=subprocess.DEVNULL)
        if done.returncode == 77:
            return 77
        failed += done.returncode != 0
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
