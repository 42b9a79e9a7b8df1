"""What tests that run programs of comparison have in common."""
import os
import subprocess
import time

TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def other_seed():
    """Besides a seed that passed before: each day has its own."""
    return os.environ.get("SLUICE_TEST_SEED") or str(10000 * (int(time.time()) // 86400))


def run(folder, runs):
    """Runs programs of tests/FOLDER, [name, argument...]; the exit status."""
    failed = 0
    for program, *arguments in runs:
        print(" ".join([program, *arguments]), flush=True)
        done = subprocess.run([os.path.join(TESTS, folder, program), *arguments], stdin=subprocess.DEVNULL)
        if done.returncode == 77:
            return 77
        failed += done.returncode != 0
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0
