#!/usr/bin/python3 -B
"""How packets travel between nodes: Geneve, VXLAN, routed, or both; over IPv4 and IPv6; on the datapaths that this machine has."""
# time limit: 600 s
import struct
import unittest

import labtest
from labtest import LabCase, Sniffer, asking, pod

UDP = 17
GENEVE, VXLAN = 6081, 4789


def outer_udp_port(frame):
    """Destination port if the frame is UDP, else None."""
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0800 and frame[23] == UDP:
        return struct.unpack("!H", frame[14 + (frame[14] & 15) * 4 + 2:][:2])[0]
    if kind == 0x86dd and frame[20] == UDP:
        return struct.unpack("!H", frame[56:58])[0]
    return None


class Travel:
    """The tests of each class below: every pair of pods, and what the wire shows."""

    FAMILIES = (4, 6)
    CROSSING = (("default/a1", "default/b1"),)
    PORT = None                 # The tunnel's UDP port on the wire, None: routed.

    def test_all_pairs(self):
        names = [f"default/{pod['metadata']['name']}" for pod in self.PODS]
        self.assert_connected([{**spec, "seen": self.lab.ips(sender)[spec["family"]]}
                               for sender in names for to in names for spec in asking(sender, to, self.FAMILIES)])

    def test_nodes_and_outside(self):
        names = [f"default/{pod['metadata']['name']}" for pod in self.PODS]
        self.assert_connected([spec for name in names for host in ("node-1", "node-2")
                               for spec in (*asking(host, name, self.FAMILIES), *asking(name, host, self.FAMILIES))])
        self.assert_connected([spec for name in names for spec in asking(name, "outside", self.FAMILIES)])

    def wire(self, sender, to, family):
        """Destination ports of the tunnels in which a marked datagram travels; None: it travels bare."""
        sniffer = Sniffer(self.lab, "underlay", "node-1")
        self.addCleanup(sniffer.close)
        mark = f"mark-{family}-{to}".encode()
        address = self.lab.ips(to)[family]
        self.lab.exec(sender, "python3", "-c",
                      "import socket,sys; s=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, "
                      "socket.SOCK_DGRAM); s.sendto(sys.argv[2].encode(), (sys.argv[1], 53))", address, mark.decode())
        return {outer_udp_port(frame) for _, frame in sniffer.until(mark) if mark in frame}

    def test_the_wire(self):
        for sender, to in self.CROSSING:
            for family in self.FAMILIES:
                with self.subTest(to=to, family=family):
                    self.assertEqual(self.wire(sender, to, family), {self.PORT or 53})


TWO = [pod("a1", "node-1"), pod("a2", "node-1"), pod("b1", "node-2")]


class Geneve(Travel, LabCase):
    PODS, PORT = TWO, GENEVE


class GeneveOverIpv6(Travel, LabCase):
    OPTIONS, PODS, PORT, FAMILIES = ("--families", "6"), TWO, GENEVE, (6,)


class GeneveOverIpv4Only(Travel, LabCase):
    OPTIONS, PODS, PORT, FAMILIES = ("--families", "4"), TWO, GENEVE, (4,)


class Vxlan(Travel, LabCase):
    OPTIONS, PODS, PORT = ("--encapsulation", "vxlan"), TWO, VXLAN


class Routed(Travel, LabCase):
    OPTIONS, PODS, PORT = ("--encapsulation", "none"), TWO, None


class Hybrid(Travel, LabCase):
    """node-1 and node-3 are in one subnet, node-2 is in another."""

    OPTIONS = ("--encapsulation", "hybrid", "--nodes", "3")
    PODS = [*TWO, pod("c1", "node-3")]
    PORT = GENEVE

    def test_bare_inside_a_subnet(self):
        for family in (4, 6):
            self.assertEqual(self.wire("default/a1", "default/c1", family), {53})


class Afxdp(Travel, LabCase):
    OPTIONS, PODS, PORT = ("--datapath", "afxdp"), TWO, GENEVE


class AfxdpRouted(Travel, LabCase):
    OPTIONS, PODS, PORT = ("--datapath", "afxdp", "--encapsulation", "none"), TWO, None


if __name__ == "__main__":
    labtest.main()
