#!/usr/bin/python3 -B
"""Everybody reaches everybody: pods on the same and on another node, nodes, a host outside, the internet; TCP, UDP and ICMP; IPv4 and
IPv6.  Each question is one packet, so the first packet counts."""
import json
import socket
import unittest

import labtest
from labkit import netns
from labtest import LabCase, asking, pod

PODS = ["default/a1", "default/a2", "default/b1", "default/b2"]
NODE_OF = {"default/a1": "node-1", "default/a2": "node-1", "default/b1": "node-2", "default/b2": "node-2"}


class Forwarding(LabCase):
    PODS = [pod(name, node) for name, node in NODE_OF.items()] + \
        [pod("host", "node-2", ports=("TCP:81",), host_network=True)]

    def test_pods_to_pods(self):
        """The other end sees the pod's own address: nothing is masqueraded inside the cluster."""
        self.assert_connected([
            {**spec, "seen": self.lab.ips(sender)[spec["family"]]}
            for sender in PODS for to in PODS for spec in asking(sender, to)])

    def test_pods_to_nodes(self):
        self.assert_connected([spec for sender in PODS for node in ("node-1", "node-2") for spec in asking(sender, node)])

    def test_nodes_to_pods(self):
        self.assert_connected([spec for node in ("node-1", "node-2") for to in PODS for spec in asking(node, to)])

    def test_pods_to_outside_get_the_address_of_their_node(self):
        specs = []
        for sender in PODS:
            for family, internet in ((4, "192.0.2.1"), (6, "2001:db8::1")):
                seen = self.lab.ips(NODE_OF[sender])[family]
                for to in ("outside", internet):
                    specs += [{**spec, "to": to, "expect": "outside", "seen": seen}
                              for spec in asking(sender, "outside", families=[family])]
        for spec in specs:
            if spec["to"] != "outside":
                del spec["family"]
        self.assert_connected(specs)

    def test_masqueraded_udp_comes_from_no_port_of_a_tunnel(self):
        """The answer would be taken for a packet of the tunnel.  Of 200 ports chosen from all that there are, 30 were below 10000."""
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            server_address, seen = self.lab.ips("outside")[version], self.lab.ips("node-1")[version]
            with netns.call(self.lab.namespace("outside"), socket.socket, family, socket.SOCK_DGRAM) as server:
                server.bind(("", 0))
                server.settimeout(5)
                ports = set()
                for _ in range(200):
                    with netns.call(self.lab.namespace("default/a1"), socket.socket, family, socket.SOCK_DGRAM) as client:
                        client.sendto(b"x", (server_address, server.getsockname()[1]))
                        client_address = server.recvfrom(16)[1]
                        self.assertEqual(client_address[0], seen)
                        ports.add(client_address[1])
                self.assertGreater(len(ports), 100)
                self.assertGreaterEqual(min(ports), 10000)

    def test_outside_to_pods(self):
        self.assert_connected([spec for to in PODS for spec in asking("outside", to)])

    def test_nodes_and_outside_among_themselves(self):
        hosts = ("node-1", "node-2", "outside")
        self.assert_connected([spec for sender in hosts for to in hosts for spec in asking(sender, to)])

    def test_a_pod_in_the_network_of_its_node(self):
        self.assert_connected([spec for sender in (*PODS, "outside") for spec in
                               asking(sender, "default/host", protocols=["tcp"], ports={"tcp": 81})])

    def test_what_is_not_there_is_not_answered(self):
        """A port that is closed is refused by its pod; an address that no pod has is not connected."""
        self.assert_all("refused", [{"from": sender, "to": "default/b1", "family": family, "protocol": protocol, "port": 99}
                                    for sender in ("default/a1", "default/b2") for family in (4, 6)
                                    for protocol in ("tcp", "udp")])
        answers = self.lab.probe(*({"from": "default/a1", "to": to, "port": 80, "timeout": "300ms"}
                                   for to in ("10.244.1.250", "10.244.2.250", "10.244.9.9", "fd00:10:244:2::fa")))
        self.assertNotIn("connected", [answer["result"] for answer in answers])

    def test_ttl_and_hops(self):
        """A router stands between any two pods; it answers when the TTL ends."""
        for family, option in ((4, "-t"), (6, "-t")):
            out = self.lab.exec("default/a1", "ping", "-n", "-c", "1", "-W", "2", option, "1", self.lab.ips("default/b1")[family],
                                check=False).stdout
            self.assertRegex(out, "Time to live exceeded|Hop limit", f"IPv{family}")

    def test_the_daemon_and_ovs_agree(self):
        for node in ("node-1", "node-2"):
            status = json.loads(self.lab.exec(node, "sluicectl", "status", "--json"))
            self.assertIsInstance(status, dict)


class LeavesNothing(LabCase):
    """After the last pod a node is what it was before the first."""

    def test_pods_come_and_go(self):
        before = {node: self.lab.footprint(node) for node in ("node-1", "node-2")}
        pods = [pod(f"p{index}", f"node-{index % 2 + 1}") for index in range(24)]
        self.lab.apply(*pods)
        self.assertNotEqual(before["node-1"]["flows"], self.lab.flows("node-1"))
        self.assert_connected([spec for index in range(24)
                               for spec in asking("default/p0", f"default/p{index}", protocols=["icmp"])])
        self.lab("delete", "pod", *(f"default/p{index}" for index in range(24)))
        self.lab("wait")
        for node, was in before.items():
            self.lab.await_links(node, was["links"])
            self.assert_same(self.lab.footprint(node), was)
            self.lab.exec(node, "sluicectl", "ipam", "check")
        self.assertEqual([name for name in self.lab.layout.all_netns() if "-pod-" in name], [])

    def test_the_same_pod_again(self):
        for _ in range(3):
            self.lab.apply(pod("again", "node-1"))
            self.assert_connected(list(asking("node-2", "default/again")))
            self.lab("delete", "pod", "default/again")


if __name__ == "__main__":
    labtest.main()
