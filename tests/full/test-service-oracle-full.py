#!/usr/bin/python3 -B
"""20,000 clusters against the oracle of Services, many packets, a longer history: issue 6, comparisons (a), (b) and (c)."""
# time limit: 1800 s
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def main():
    seed = os.environ.get("SLUICE_TEST_SEED") or str(int(time.time()) // 3600)
    failed = 0
    print(f"SLUICE_TEST_SEED={seed}", flush=True)
    runs = (([f"{TOP}/tests/services/compare-doors", "--full", "--seed", seed], {}),
            ([f"{TOP}/tests/services/compare-packets", "--full", "--seed", seed], {}),
            ([f"{TOP}/tests/services/compare-packets", "--sizes", "1000", "5000"], {}),
            ([f"{TOP}/tests/system/test-service-history.py"], {"SLUICE_TEST_STRETCHES": "20", "SLUICE_TEST_SEED": seed}))
    for argv, more in runs:
        failed += subprocess.run(argv, stdin=subprocess.DEVNULL, env={**os.environ, **more}).returncode != 0
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
