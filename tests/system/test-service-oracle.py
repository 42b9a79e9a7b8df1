#!/usr/bin/python3 -B
"""The oracle of Services against the compiler and against the compiled flows and groups, as Open vSwitch judges them: issue 6,
comparisons (a) and (b); services 1 to 5, 8 to 10, 12 to 19, 21, 22, 26.

Random clusters (tests/services/compare-doors and compare-packets).  SLUICE_TEST_SEED is the first seed; each day has its own, and a
mismatch prints the one to repeat."""
# time limit: 900 s
import sys

import comparisons


def main():
    # Seeds that passed before, and others; and whether the comparisons would notice.
    other = comparisons.other_seed()
    runs = [["compare-doors", "--seed", "1", "--clusters", "1000", "--seconds", "15"],
            ["compare-doors", "--seed", other, "--clusters", "1000", "--seconds", "15"],
            ["compare-doors", "--self-test"],
            ["compare-packets", "--seed", "1", "--verdicts", "8000", "--seconds", "20"],
            ["compare-packets", "--seed", other, "--verdicts", "8000", "--seconds", "20"],
            ["compare-packets", "--sizes", "1", "2", "3", "5", "10", "100", "256", "257"],
            ["compare-packets", "--self-test"]]
    return comparisons.run("services", runs)


if __name__ == "__main__":
    sys.exit(main())
