#!/usr/bin/python3 -B
"""1,000,000 verdicts of the oracle against the compiled flows; a longer history: issue 5, comparisons (a) and (c)."""
# time limit: 1500 s
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def main():
    seed = os.environ.get("SLUICE_TEST_SEED") or str(int(time.time()) // 3600)
    failed = 0
    print(f"SLUICE_TEST_SEED={seed}", flush=True)
    for argv, more in (([f"{TOP}/tests/policy/compare-flows", "--full", "--seed", seed], {}),
                       ([f"{TOP}/tests/system/test-policy-history.py"],
                        {"SLUICE_TEST_STRETCHES": "20", "SLUICE_TEST_SEED": seed})):
        failed += subprocess.run(argv, stdin=subprocess.DEVNULL, env={**os.environ, **more}).returncode != 0
    print(f"{2 - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
