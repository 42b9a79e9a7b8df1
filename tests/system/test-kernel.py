#!/usr/bin/env python3
"""The tests that want the real openvswitch kernel module, in a virtual machine (tests/kernel/run).  Skipped without QEMU."""
# time limit: 1500 s
import os
import sys

KERNEL = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "kernel")
os.execv(os.path.join(KERNEL, "run"), ["run", "--timeout", "1400", os.path.join(KERNEL, "all"), *sys.argv[1:]])
