#!/usr/bin/env python3
"""Pods of three nodes over the tunnel that the OVSDB module declares: real ovs-vswitchd, real packets.

Two nodes share a subnet, the third is behind a router.  Shown: the bridge that takes over the uplink carries the node and the
tunnel, for both families; the first packet to a peer is not lost, also after ovs-vswitchd was killed; everything comes back by
itself; remove-all leaves nothing.  Issue 3, item 4.

    test-ovsdb-tunnel.py [--datapath userspace|afxdp|kernel] [--encapsulation geneve|vxlan] [--driver PROGRAM]"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ovsdb_rig import SCHEMA, Rig, wait_for  # noqa: E402

OVERHEAD = 8 + 8 + 14                   # UDP, Geneve or VXLAN, inner Ethernet; and the outer IP header of 20 or 40.
MTU = 1500 - OVERHEAD - 40


def underlay(n, family):
    net = 31 if n == 3 else 30
    return f"172.{net}.0.{n}" if family == 4 else f"fd{net}::{n}"


def pod_address(n, family):
    return f"10.9.0.{n}" if family == 4 else f"fd09::{n}"


def address_node(node, n, dev):
    """What hostnet.c does: the node's addresses and routes stand on 'dev'."""
    net = 31 if n == 3 else 30
    node.ip("link", "set", dev, "up")
    node.ip("addr", "replace", f"172.{net}.0.{n}/24", "dev", dev)
    node.ip("addr", "replace", f"fd{net}::{n}/64", "dev", dev, "nodad")
    node.ip("route", "replace", "default", "via", f"172.{net}.0.254", "dev", dev)
    node.ip("-6", "route", "replace", "default", "via", f"fd{net}::254", "dev", dev)


def make_switch(rig):
    switch = rig.namespace("sw")
    for net in (30, 31):
        switch.ip("link", "add", f"lan{net}", "type", "bridge")
        switch.ip("link", "set", f"lan{net}", "up")
        switch.ip("addr", "add", f"172.{net}.0.254/24", "dev", f"lan{net}")
        switch.ip("addr", "add", f"fd{net}::254/64", "dev", f"lan{net}", "nodad")
    switch.exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    return switch


def make_pod(rig, node, n):
    pod = rig.namespace(f"pod{n}")
    node.ip("link", "add", f"slp{n}", "mtu", str(MTU), "type", "veth", "peer", "name", "eth0", "netns", pod.ns)
    node.ip("link", "set", f"slp{n}", "up")
    pod.tx_off("eth0")
    pod.ip("link", "set", "eth0", "address", f"0a:00:00:00:00:0{n}", "mtu", str(MTU), "up")
    for family in (4, 6):
        pod.ip("addr", "add", pod_address(n, family) + ("/24" if family == 4 else "/64"), "dev", "eth0",
               *(["nodad"] if family == 6 else []))
    for peer in {1, 2, 3} - {n}:
        for family in (4, 6):
            pod.ip("neigh", "replace", pod_address(peer, family), "lladdr", f"0a:00:00:00:00:0{peer}", "dev", "eth0")
    return pod


class Cluster:
    def __init__(self, rig, args):
        self.args, self.nodes, self.pods = args, {}, {}
        self.userspace = args.datapath != "kernel"
        self.switch = make_switch(rig)
        for n in (1, 2, 3):
            self.make_node(rig, n)

    def make_node(self, rig, n):
        node = self.nodes[n] = rig.node(f"n{n}", self.args.driver)
        self.switch.ip("link", "add", f"u{n}", "type", "veth", "peer", "name", "eth0", "netns", node.ns)
        self.switch.ip("link", "set", f"u{n}", "master", "lan31" if n == 3 else "lan30", "up")
        self.switch.tx_off(f"u{n}")
        node.tx_off("eth0")
        node.ip("link", "set", "eth0", "up")
        uplink = f" eth0 {node.mac('eth0')}" if self.userspace else ""
        node.driver(f"base {self.args.datapath} {self.args.encapsulation} {MTU}{uplink}")
        node.driver("start")
        print(f"n{n}: base ready:", node.driver("wait ready"))
        if self.args.datapath == "userspace":
            node.guard("eth0", "slp*")
        address_node(node, n, self.uplink())
        self.pods[n] = make_pod(rig, node, n)
        node.driver(f"port slp{n} 16 web")
        print(f"n{n}: port up:", node.driver(f"wait up slp{n}"))

    def uplink(self):
        return "br-uplink" if self.userspace else "eth0"

    def set_flows(self, n, family):
        flows = ["table=0,priority=1,in_port=1,actions=output:16"]
        for peer in {1, 2, 3} - {n}:
            dst = f"set_field:{underlay(peer, family)}->{'tun_dst' if family == 4 else 'tun_ipv6_dst'}"
            flows.append(f"priority=2,in_port=16,dl_dst=0a:00:00:00:00:0{peer},actions=set_field:7->tun_id,{dst},output:1")
        self.nodes[n].flows(*flows)

    def declare_neighbours(self, n):
        if self.userspace:
            peers = [underlay(p, f) for p in {1, 2, 3} - {n} for f in (4, 6)]
            self.nodes[n].driver("neigh br-uplink " + " ".join(peers))
            print(f"n{n}: neighbours:", self.nodes[n].driver("wait neigh"))

    def first_packets(self, n, what):
        """One ping to each peer's pod; each must be answered."""
        for family in (4, 6):
            for peer in sorted({1, 2, 3} - {n}):
                answered = self.pods[n].ping(pod_address(peer, family))
                assert answered == 1, (f"{what}: the first packet of pod {n} to pod {peer} (IPv{family}) was lost\n"
                                       + self.nodes[n].state() + self.nodes[peer].state())

    def full_size(self, n, family):
        peer = 3 if n != 3 else 1
        inner = MTU - (28 if family == 4 else 48)
        assert self.pods[n].ping(pod_address(peer, family), 2, inner) == 2, "a packet of the pods' MTU was lost"


def node_reachable(cluster, src, dst):
    """The node's own traffic through the wire, not through a tunnel."""
    for family in (4, 6):
        wait_for(f"n{src} reaches n{dst} (IPv{family})",
                 lambda f=family: cluster.nodes[src].ping(underlay(dst, f)) == 1)


def fact_without_neighbours(cluster):
    """Why tnl-neigh exists: printed, not judged."""
    cluster.nodes[1].appctl("tnl/neigh/flush")
    lost = [cluster.pods[1].ping(pod_address(2, 4)) == 0 for _ in range(2)]
    print(f"fact: without tnl-neigh the first packet to a peer is {'lost' if lost[0] else 'not lost'}, "
          f"the next one {'lost' if lost[1] else 'not lost'}")


def test_tunnel(cluster):
    for family in (4, 6):               # Of the underlay.
        for n in (1, 2, 3):
            cluster.set_flows(n, family)
        if cluster.userspace and family == 4:
            fact_without_neighbours(cluster)
            for n in (1, 2, 3):
                cluster.declare_neighbours(n)
        for n in (1, 2, 3):
            cluster.first_packets(n, f"IPv{family} underlay")
            cluster.full_size(n, 4)
            cluster.full_size(n, 6)
        print(f"ok: pods of three nodes over {cluster.args.encapsulation} on IPv{family}, no first packet lost")
    node_reachable(cluster, 1, 3)


def test_vswitchd_killed(cluster):
    node = cluster.nodes[1]
    node.kill("ovs-vswitchd")
    started = time.monotonic()
    node.start("ovs-vswitchd")
    if cluster.userspace:
        wait_for("br-uplink", lambda: "br-uplink" in node.ip("-br", "link"))
        address_node(node, 1, "br-uplink")
        node_reachable(cluster, 1, 3)   # Without a single flow of ours.
        print(f"ok: node reachable again {time.monotonic() - started:.2f} s after ovs-vswitchd was started")
        wait_for("the new ovs-vswitchd to be told",
                 lambda: underlay(2, 4) in node.appctl("tnl/neigh/show"))
        print("n1: neighbours:", node.driver("wait neigh"))
    cluster.set_flows(1, 6)
    cluster.first_packets(1, "after ovs-vswitchd was killed")
    print("ok: ovs-vswitchd killed, no first packet lost afterwards")


def test_peer_changes_mac(cluster):
    """A peer with a new network card: the kernel hears of it, so does ovs-vswitchd."""
    if not cluster.userspace:
        return
    node = cluster.nodes[1]
    old = cluster.nodes[2].mac("br-uplink")
    node.ip("neigh", "replace", underlay(2, 4), "lladdr", "02:00:00:00:00:99", "dev", "br-uplink", "nud", "reachable")
    wait_for("the new MAC in ovs-vswitchd", lambda: "02:00:00:00:00:99" in node.appctl("tnl/neigh/show"))
    node.ip("neigh", "replace", underlay(2, 4), "lladdr", old, "dev", "br-uplink", "nud", "reachable")
    wait_for("the old MAC in ovs-vswitchd", lambda: "02:00:00:00:00:99" not in node.appctl("tnl/neigh/show"))
    print("ok: a changed MAC goes into ovs-vswitchd")


def test_port_deleted(cluster):
    node = cluster.nodes[1]
    db = f"--db=unix:{node.path('db.sock')}"
    row = lambda: node.exec("ovs-vsctl", db, "--if-exists", "get", "interface", "slp1", "_uuid").strip()
    before = row()
    node.exec("ovs-vsctl", db, "del-port", "slp1")
    wait_for("another row", lambda: row() not in ("", before))          # Until it is noticed, all seems well.
    print("n1: deleted port is back:", node.driver("wait up slp1"))
    cluster.first_packets(1, "after the port was deleted")
    print("ok: a deleted port came back")


def test_conntrack_remembers(cluster):
    """How long conntrack knows what is closed; it comes back when somebody takes it away."""
    node = cluster.nodes[1]
    vsctl = ("ovs-vsctl", f"--db=unix:{node.path('db.sock')}")

    def timeouts():
        return node.exec(*vsctl, "--bare", "--columns=timeouts", "list", "CT_Timeout_Policy").split()

    for _ in range(2):
        wait_for("conntrack's timeouts", lambda: timeouts() == ["tcp_close=75", "tcp_syn_recv=5", "tcp_time_wait=75"])
        before = node.exec(*vsctl, "get", "Open_vSwitch", ".", "datapaths")
        assert "netdev" in before, before
        node.exec(*vsctl, "clear", "Open_vSwitch", ".", "datapaths")
    print("ok: conntrack's timeouts come back")


def test_remove_all(cluster):
    for node in cluster.nodes.values():
        node.driver("remove-all")
        node.driver("wait removed")
        left = node.exec("ovs-vsctl", f"--db=unix:{node.path('db.sock')}", "list-br").split()
        assert not left, f"bridges left: {left}"
        left = node.exec("ovs-vsctl", f"--db=unix:{node.path('db.sock')}", "get", "Open_vSwitch", ".", "datapaths").strip()
        assert left == "{}", f"datapaths left: {left}"
    print("ok: remove-all leaves no bridge")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--datapath", default="userspace")
    parser.add_argument("--encapsulation", default="geneve")
    parser.add_argument("--driver", default=os.path.join(os.environ.get("SLUICE_BUILD", "."), "tests/system/ovsdb-driver"))
    args = parser.parse_args()
    if os.geteuid() or not SCHEMA:
        print("skipped: needs root and Open vSwitch")
        return 77
    args.driver = os.path.abspath(args.driver)
    with Rig() as rig:
        cluster = Cluster(rig, args)
        tests = [test_tunnel, test_peer_changes_mac, test_vswitchd_killed, test_port_deleted, *([test_conntrack_remembers] if args.datapath != "kernel" else []),
                 test_remove_all]
        for test in tests:
            test(cluster)
    print(f"{len(tests)} passed, 0 failed, 0 skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
