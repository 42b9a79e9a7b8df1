#!/usr/bin/python3 -B
"""What a pod must not get away with, tried with raw frames from inside it (PIPELINE.md, "Anti-spoofing by whitelist", "No way around
the switch"), and that nothing is flooded.

Everyone listens: a pod on the same node, one on the other, both nodes on all their devices but the attacker's own, and outside.  Each
frame that must not arrive carries a mark; after it the attacker sends an honest datagram to each listener.  When that has come, the
frame before it, in the same queue, has been judged: no time is waited."""
import os
import re
import unittest

import frames
import labtest
from frames import ARP, BROADCAST, IPV4, IPV6, LOCAL, MPLS, QINQ, VLAN, ethernet
from labtest import LabCase, Sniffer, pod

FOREIGN = frames.mac("02:bd:bd:bd:bd:01")
ALL_NODES, ALL_NODES_MAC = "ff02::1", frames.mac("33:33:00:00:00:01")


class Spoofing(LabCase):
    DATAPATH = "userspace"
    PODS = [pod("attacker", "node-1"), pod("near", "node-1"), pod("far", "node-2")]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lab = cls.lab
        cls.attacker, cls.near, cls.far = (lab.ips(f"default/{name}") for name in ("attacker", "near", "far"))
        cls.node, cls.outside = lab.ips("node-1"), {4: "192.0.2.1", 6: "2001:db8::1"}
        cls.mac = cls.mac_of("default/attacker", "eth0")
        cls.near_mac = cls.mac_of("default/near", "eth0")
        cls.gateway = {family: re.search(r"via (\S+)", lab.exec("default/attacker", "ip", f"-{family}", "route", "show",
                                                              "default"))[1] for family in (4, 6)}
        lab.exec("default/attacker", "ping", "-n", "-c", "1", "-W", "2", cls.outside[4])
        cls.router = frames.mac(re.search(r"lladdr (\S+)", lab.exec("default/attacker", "ip", "neigh", "show",
                                                                  cls.gateway[4]))[1])
        ports = lab.exec("node-1", "ovs-vsctl", "--format=json", "--columns=name", "find", "Interface",
                         "external_ids:pod-name=attacker")
        cls.host_end = re.search(r"slp[0-9a-f]{12}", ports)[0]
        cls.host_mac = cls.mac_of("node-1", cls.host_end)
        cls.link_local = re.search(r"inet6 (fe80\S+)/", lab.exec("default/attacker", "ip", "-6", "address", "show",
                                                               "dev", "eth0")) or [None, "fe80::1"]
        cls.link_local = cls.link_local[1]

    @classmethod
    def mac_of(cls, where, device):
        return frames.mac(re.search(r"link/ether (\S+)", cls.lab.exec(where, "ip", "link", "show", "dev", device))[1])

    def setUp(self):
        self.socket = labtest.raw_socket(self.lab, "default/attacker")
        self.addCleanup(self.socket.close)
        self.listeners = {where: Sniffer(self.lab, where)
                          for where in ("default/near", "default/far", "node-1", "node-2", "outside")}
        for sniffer in self.listeners.values():
            self.addCleanup(sniffer.close)

    def honest(self, mark):
        """Datagrams to everybody, through the router, as the pod's own stack would send them."""
        for to in (self.near[4], self.far[4], self.outside[4], self.lab.ips("node-2")[4]):
            self.socket.send(ethernet(self.router, self.mac, IPV4, frames.udp(self.attacker[4], to, mark)))

    def assert_seen_by_none(self, mark, *attack):
        """'mark': bytes that every one of the frames contains and nothing else."""
        for frame in attack:
            self.assertIn(mark, frame)
            self.socket.send(frame.ljust(60, b"\0"))
        last = os.urandom(16)
        self.honest(last)
        for where, sniffer in self.listeners.items():
            seen = [device for device, frame in sniffer.until(last, self.host_end) if mark in frame]
            self.assertEqual(seen, [], f"seen by {where}")

    def marked(self):
        return os.urandom(16)

    # --- the test itself ---

    def test_honest_frames_arrive(self):
        """What the others rely on: the raw socket works, and a frame that is allowed is seen by all."""
        mark = self.marked()
        self.honest(mark)
        for sniffer in self.listeners.values():
            sniffer.until(mark, self.host_end)

    # --- layer 2 ---

    def test_other_ethertypes(self):
        for kind in (LOCAL, MPLS, 0x88cc, 0x8863, 0x9000):
            for dst in (self.router, self.near_mac, BROADCAST, frames.mac("01:80:c2:00:00:00")):
                mark = self.marked()
                self.assert_seen_by_none(mark, ethernet(dst, self.mac, kind, mark))

    def test_vlan_tags(self):
        mark = self.marked()
        inner = frames.udp(self.attacker[4], self.far[4], mark)
        for tag in (b"\0\0", b"\0\1", b"\x0f\xff"):
            single = tag + IPV4.to_bytes(2, "big") + inner
            self.assert_seen_by_none(mark, ethernet(self.router, self.mac, VLAN, single),
                                     ethernet(self.router, self.mac, QINQ, tag + VLAN.to_bytes(2, "big") + single))

    def test_llc_and_snap(self):
        mark = self.marked()
        bodies = (b"\x42\x42\x03" + mark, b"\xaa\xaa\x03\0\0\0" + IPV4.to_bytes(2, "big") + mark,
                  b"\xaa\xaa\x03\0\0\x0c\x01\x0b" + mark)
        for body in bodies:
            for dst in (frames.mac("01:80:c2:00:00:00"), self.router, BROADCAST):
                self.assert_seen_by_none(mark, dst + self.mac + len(body).to_bytes(2, "big") + body)

    def test_foreign_mac(self):
        for src in (FOREIGN, self.near_mac, self.router, BROADCAST):
            mark = self.marked()
            self.assert_seen_by_none(mark, ethernet(self.router, src, IPV4, frames.udp(self.attacker[4], self.far[4], mark)),
                                     ethernet(self.router, src, IPV6, frames.udp(self.attacker[6], self.far[6], mark)))

    def test_frames_past_the_router(self):
        """Straight to a neighbour's MAC, to all, or to groups: there is no layer 2 between pods."""
        for dst in (self.near_mac, BROADCAST, frames.mac("01:00:5e:00:00:fb"), FOREIGN):
            for to in (self.near[4], "255.255.255.255", "224.0.0.251"):
                mark = self.marked()
                self.assert_seen_by_none(mark, ethernet(dst, self.mac, IPV4, frames.udp(self.attacker[4], to, mark)))
        for dst, to in ((self.near_mac, self.near[6]), (ALL_NODES_MAC, ALL_NODES), (self.router, ALL_NODES)):
            for src in (self.attacker[6], self.link_local):
                mark = self.marked()
                self.assert_seen_by_none(mark, ethernet(dst, self.mac, IPV6, frames.udp(src, to, mark)))

    def test_the_host_ends_mac(self):
        """FACTS.md: on AF_PACKET the kernel also gets the frame, and would route it past every flow."""
        for family, kind in ((4, IPV4), (6, IPV6)):
            for to in (self.outside, self.far, self.near, self.node):
                mark = self.marked()
                self.assert_seen_by_none(mark, ethernet(self.host_mac, self.mac, kind,
                                                        frames.udp(self.attacker[family], to[family], mark)))

    def test_the_gateway_ports_mac(self):
        gateway_mac = self.mac_of("node-1", "sluice0")
        mark = self.marked()
        self.assert_seen_by_none(mark, ethernet(gateway_mac, self.mac, IPV4,
                                                frames.udp(self.attacker[4], self.outside[4], mark)))

    # --- addresses ---

    def test_foreign_addresses(self):
        for family, kind, others in ((4, IPV4, ("198.51.100.7", "0.0.0.0", "127.0.0.1", "255.255.255.255")),
                                     (6, IPV6, ("2001:db8:5::7", "::", "::1", self.link_local))):
            for src in (*others, self.near[family], self.far[family], self.node[family], self.gateway[family]):
                for to in (self.near[family], self.far[family], self.outside[family]):
                    mark = self.marked()
                    self.assert_seen_by_none(mark, ethernet(self.router, self.mac, kind, frames.udp(src, to, mark)))

    def test_fragments_with_a_foreign_address(self):
        for fragment in (0x2000, 0x0010, 0x2010):
            mark = self.marked()
            self.assert_seen_by_none(mark, ethernet(self.router, self.mac, IPV4, frames.udp(
                self.near[4], self.far[4], mark, fragment=fragment)))

    # --- ARP and neighbour discovery ---

    def test_arp_for_another(self):
        for operation in (1, 2):
            for sender in (self.near[4], self.far[4], self.gateway[4], self.node[4], "198.51.100.7"):
                for dst in (BROADCAST, self.near_mac, self.router):
                    mark = frames.packed(sender) + FOREIGN + frames.packed(self.near[4])
                    self.assert_seen_by_none(mark, ethernet(dst, self.mac, ARP, frames.arp(
                        operation, self.mac, sender, FOREIGN, self.near[4])))

    def test_arp_with_a_foreign_mac(self):
        for operation in (1, 2):
            mark = FOREIGN + frames.packed(self.attacker[4])
            self.assert_seen_by_none(mark, ethernet(BROADCAST, self.mac, ARP, frames.arp(
                operation, FOREIGN, self.attacker[4], bytes(6), self.near[4])))

    def test_honest_arp_is_not_flooded(self):
        mark = self.mac + frames.packed(self.attacker[4]) + bytes(6)
        self.assert_seen_by_none(mark, *(ethernet(BROADCAST, self.mac, ARP, frames.arp(
            1, self.mac, self.attacker[4], bytes(6), target)) for target in (self.near[4], self.far[4], "10.244.1.99")))

    def test_neighbour_advertisement_for_another(self):
        for target in (self.near[6], self.far[6], self.gateway[6], "fe80::1"):
            for src in (self.attacker[6], self.link_local, target):
                for dst, to in ((ALL_NODES_MAC, ALL_NODES), (self.near_mac, self.near[6]), (self.router, self.gateway[6])):
                    mark = frames.packed(target) + frames.lladdr_option(2, FOREIGN)
                    self.assert_seen_by_none(mark, ethernet(dst, self.mac, IPV6, frames.neighbour_advertisement(
                        src, to, target, FOREIGN)))

    def test_neighbour_solicitation_is_not_flooded(self):
        for src, address in ((self.attacker[6], self.mac), (self.near[6], FOREIGN), (self.attacker[6], FOREIGN)):
            mark = frames.packed(self.near[6]) + frames.lladdr_option(1, address)
            self.assert_seen_by_none(mark, ethernet(frames.mac("33:33:ff:00:00:02"), self.mac, IPV6,
                                                    frames.neighbour_solicitation(src, "ff02::1:ff00:2", self.near[6], address)))

    def test_neighbours_are_not_poisoned(self):
        """Nobody believed what the tests above said, whatever was seen on the way."""
        for where in ("default/near", "default/far", "node-1", "node-2"):
            table = self.lab.exec(where, "ip", "neigh", "show")
            self.assertNotIn("bd:bd:bd:bd", table)
            if where.startswith("default"):
                self.assertNotIn(self.mac.hex(":"), table)

    # --- who may not be a router or a DHCP server ---

    def test_router_advertisement(self):
        for src in (self.link_local, self.attacker[6]):
            for dst, to in ((ALL_NODES_MAC, ALL_NODES), (self.router, self.far[6]), (self.router, self.near[6])):
                mark = self.marked()
                self.assert_seen_by_none(mark, ethernet(dst, self.mac, IPV6, frames.router_advertisement(
                    src, to, self.mac, mark)))

    def test_redirects(self):
        for src in (self.link_local, self.attacker[6]):
            mark = self.marked()
            self.assert_seen_by_none(mark, ethernet(self.router, self.mac, IPV6, frames.redirect6(
                src, self.near[6], self.attacker[6], self.far[6], mark)))
        mark = self.marked()
        quoted = frames.udp(self.near[4], self.far[4], mark)
        self.assert_seen_by_none(mark, ethernet(self.router, self.mac, IPV4, frames.icmp(
            self.attacker[4], self.near[4], 5, 1, frames.packed(self.attacker[4]) + quoted)))

    def test_dhcp_servers(self):
        for family, kind, sport, dport in ((4, IPV4, 67, 68), (6, IPV6, 547, 546)):
            for to in (self.near[family], self.far[family]):
                mark = self.marked()
                self.assert_seen_by_none(mark, ethernet(self.router, self.mac, kind, frames.udp(
                    self.attacker[family], to, mark, sport=sport, dport=dport)))

    # --- others ---

    def test_talk_of_two_is_not_heard_by_others(self):
        """Unicast between two pods reaches no third one, also not while nothing has been learnt."""
        mark = self.marked()
        packet = frames.udp(self.attacker[4], self.far[4], mark)
        self.socket.send(ethernet(self.router, self.mac, IPV4, packet))
        last = self.marked()
        self.honest(last)
        self.assertEqual([frame for _, frame in self.listeners["default/near"].until(last) if mark in frame], [])
        # With its UDP header: the answer repeats the mark, and may be seen, too.
        self.assertEqual(len([frame for _, frame in self.listeners["default/far"].until(last) if packet[20:] in frame]), 1)

    def test_what_comes_from_outside_is_not_flooded(self):
        """Frames of the underlay for nobody here, and for all, stay out of the pods."""
        sock = labtest.raw_socket(self.lab, "outside")
        self.addCleanup(sock.close)
        mark = self.marked()
        source = self.mac_of("outside", "eth0")
        for dst in (BROADCAST, FOREIGN, self.near_mac, ALL_NODES_MAC):
            sock.send(ethernet(dst, source, IPV4, frames.udp("172.30.0.1", self.near[4], mark)))
            sock.send(ethernet(dst, source, LOCAL, mark.ljust(46)))
        last = self.marked()
        node_mac = re.search(r"lladdr (\S+)", self.lab.exec("outside", "ip", "neigh", "show", self.node[4]))
        self.assertTrue(node_mac)
        sock.send(ethernet(frames.mac(node_mac[1]), source, IPV4, frames.udp("172.30.0.1", self.near[4], last)))
        seen = self.listeners["default/near"].until(last)
        self.assertEqual([frame for _, frame in seen if mark in frame], [])


class SpoofingAfxdp(Spoofing):
    OPTIONS = ("--datapath", "afxdp")


if __name__ == "__main__":
    labtest.main()
