#!/usr/bin/env python3
"""AF_XDP ports on the pods' host ends: does XDP take the frames away from the kernel's own stack?  Issue 3, item 8.

While ovs-vswitchd runs it does.  When ovs-vswitchd is killed its XDP program stays, finds no socket and passes the frames on, so
the guard of the AF_PACKET datapath (hostnet.c) is needed here too: the last test shows that it closes that."""

import json
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ovsdb_rig import SCHEMA, Rig  # noqa: E402


def make_node(rig):
    node = rig.node("n1", os.path.join(os.environ.get("SLUICE_BUILD", "."), "tests/system/ovsdb-driver"))
    node.driver("base afxdp none 1500")
    node.driver("start")
    node.driver("wait ready")
    node.pods = {}
    for n in (1, 2):
        pod = node.pods[n] = rig.namespace(f"pod{n}")
        node.ip("link", "add", f"slp{n}", "type", "veth", "peer", "name", "eth0", "netns", pod.ns)
        node.ip("link", "set", f"slp{n}", "up")
        pod.tx_off("eth0")
        pod.ip("link", "set", "eth0", "up")
        pod.ip("addr", "add", f"10.9.0.{n}/16", "dev", "eth0")
        # An address of the node on a host end: only the kernel's own stack would answer for it.
        node.ip("addr", "add", f"10.9.{n}.99/32", "dev", f"slp{n}")
        pod.ip("neigh", "replace", f"10.9.{n}.99", "lladdr", node.mac(f"slp{n}"), "dev", "eth0")
        node.ip("route", "add", f"10.9.0.{n}/32", "dev", f"slp{n}")
        node.driver(f"port slp{n} {15 + n} pod{n}")
        print(f"port {n}:", node.driver(f"wait up slp{n}"))
    node.flows("actions=NORMAL")
    return node


def test_ports(node):
    assert node.pods[1].ping("10.9.0.2", 3) == 3, "pods do not talk\n" + node.log_tail()
    for n in (1, 2):
        link = json.loads(node.ip("-j", "-d", "link", "show", "dev", f"slp{n}"))[0]
        assert link.get("xdp", {}).get("prog"), f"no XDP program on slp{n}: {link}"
    with open(f"/proc/{node.processes['ovs-vswitchd'].pid}/status", encoding="utf-8") as status:
        rss = next(line.split(":")[1].strip() for line in status if line.startswith("VmRSS"))
    print(f"ok: pods talk over AF_XDP ports; ovs-vswitchd has {rss} resident with 2 ports")


def test_frames_taken_away(node):
    for n in (1, 2):
        assert not node.pods[n].ping(f"10.9.{n}.99", 2, wait=0.5), "the node's own stack answered beside OVS"
    print("ok: the node's own stack sees nothing")


def test_killed(node):
    node.kill("ovs-vswitchd")
    passed = node.pods[1].ping("10.9.1.99", 2, wait=0.5)
    print(f"fact: with ovs-vswitchd killed, the node's own stack answers {passed} of 2 frames to a host end's MAC")
    node.guard("slp*")
    assert not node.pods[1].ping("10.9.1.99", 2, wait=0.5), "the guard is open"
    print("ok: the guard closes it")


def main():
    if os.geteuid() or not SCHEMA:
        print("skipped: needs root and Open vSwitch")
        return 77
    try:
        socket.socket(44, socket.SOCK_RAW).close()      # AF_XDP
    except OSError as error:
        print(f"skipped: the kernel makes no AF_XDP socket: {error}")
        return 77
    with Rig() as rig:
        node = make_node(rig)
        tests = [test_ports, test_frames_taken_away, test_killed]
        for test in tests:
            test(node)
    print(f"{len(tests)} passed, 0 failed, 0 skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
