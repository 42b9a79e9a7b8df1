#!/usr/bin/python3 -B
"""The whole matrix of Services, SCTP too, and what is difficult about them, on the real openvswitch kernel module (tests/kernel/run)."""
# time limit: 3700 s
import os
import sys

KERNEL = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "kernel")
os.execv(os.path.join(KERNEL, "run"), ["run", "--timeout", "3600", os.path.join(KERNEL, "services"), *sys.argv[1:]])
