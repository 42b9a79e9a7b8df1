#!/usr/bin/python3 -B
"""The oracle against the compiled flows, as Open vSwitch judges them: issue 5, comparison (a), every item of both acceptance lists.

100,000 verdicts on random clusters (tests/policy/compare-flows).  SLUICE_TEST_SEED is the first seed; each day has its own, and a mismatch
prints the one to repeat."""
# time limit: 600 s
import sys

import comparisons


def main():
    # Seeds that passed before, and others; and whether the comparison would notice.
    other = comparisons.other_seed()
    runs = [["compare-flows", "--seed", "1", "--verdicts", "50000"],
            ["compare-flows", "--seed", other, "--verdicts", "50000"],
            ["compare-flows", "--self-test"]]
    return comparisons.run("policy", runs)


if __name__ == "__main__":
    sys.exit(main())
