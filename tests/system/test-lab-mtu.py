#!/usr/bin/python3 -B
"""MTU: what pods get, that a packet of exactly that size passes and a bigger one is answered, never lost in silence; and that running
pods follow the uplink."""
# time limit: 600 s
import re
import unittest

import labtest
from labtest import LabCase, pod

# A sender of N bytes through the responder's echo, and its reader: both directions of a TCP connection in bulk.
BULK = """
import hashlib, os, socket, sys, threading
address, size = sys.argv[1], int(sys.argv[2])
sock = socket.create_connection((address, 80), 20)
sock.settimeout(60)
sent = os.urandom(1 << 16) * (size >> 16)
threading.Thread(target=lambda: (sock.sendall(sent), sock.shutdown(socket.SHUT_WR))).start()
got = bytearray()
while data := sock.recv(1 << 16):
    got += data
print("same" if bytes(got).split(b"\\n", 1)[1] == sent else f"different: {len(got)} of {len(sent)} bytes")
"""
IP_AND_ICMP = {4: 28, 6: 48}


class Mtu:
    UNDERLAY, OVERHEAD, FAMILIES = 1500, 0, (4, 6)
    PODS = [pod("a1", "node-1"), pod("a2", "node-1"), pod("b1", "node-2")]

    def mtu_of(self, where, device="eth0"):
        return int(re.search(r"mtu (\d+)", self.lab.exec(where, "ip", "link", "show", "dev", device))[1])

    def ping(self, where, to, size, count=1):
        """Exit status and text of pings of 'size' bytes, headers included, that must not be fragmented."""
        family = 6 if ":" in to else 4
        done = self.lab.exec(where, "ping", "-n", f"-{family}", "-M", "do", "-c", str(count), "-i", "0.05", "-W", "2",
                             "-s", str(size - IP_AND_ICMP[family]), to, check=False)
        return done.returncode, done.stdout + done.stderr

    def wanted(self):
        return self.UNDERLAY - self.OVERHEAD

    def test_pods_have_it(self):
        for name in ("a1", "b1"):
            self.assertEqual(self.mtu_of(f"default/{name}"), self.wanted())

    def test_exactly_that_size_passes(self):
        for family in self.FAMILIES:
            for to in ("default/a2", "default/b1"):
                status, text = self.ping("default/a1", self.lab.ips(to)[family], self.wanted())
                self.assertEqual(status, 0, f"{to}: {text}")
            status, text = self.ping("default/a1", {4: "192.0.2.1", 6: "2001:db8::1"}[family], self.wanted())
            self.assertEqual(status, 0, f"internet: {text}")

    def test_one_byte_more_is_answered_where_it_is_sent(self):
        for family in self.FAMILIES:
            status, text = self.ping("default/a1", self.lab.ips("default/b1")[family], self.wanted() + 1)
            self.assertNotEqual(status, 0)
            self.assertRegex(text, f"(?i)message too long.*{self.wanted()}|mtu ?= ?{self.wanted()}")

    def test_bulk(self):
        for family in self.FAMILIES:
            for to in ("default/a2", "default/b1"):
                out = self.lab.exec("default/a1", "python3", "-c", BULK, self.lab.ips(to)[family], str(4 << 20))
                self.assertEqual(out.strip(), "same", f"IPv{family} {to}")


class GeneveOverBoth(Mtu, LabCase):
    OVERHEAD = 50

    def test_a_sender_outside_learns_it(self):
        """Outside has 1500; the node answers for the pod's network."""
        for family in (4, 6):
            status, text = self.ping("outside", self.lab.ips("default/a1")[family], 1500)
            self.assertNotEqual(status, 0)
            self.assertRegex(text, f"(?i)(mtu ?= ?|Packet too big: mtu=|message too long, mtu: ){self.wanted()}")
            status, text = self.ping("outside", self.lab.ips("default/a1")[family], self.wanted())
            self.assertEqual(status, 0, text)

    def test_what_does_not_fit_the_tunnel_is_answered(self):
        """A packet that is bigger than the MTU of pods and reaches br-int must not vanish there."""
        self.lab.apply(pod("greedy", "node-1"))
        self.addCleanup(self.lab, "delete", "pod", "default/greedy")
        ports = self.lab.exec("node-1", "ovs-vsctl", "--columns=name", "find", "Interface", "external_ids:pod-name=greedy")
        self.lab.exec("node-1", "ip", "link", "set", "dev", re.search("slp[0-9a-f]{12}", ports)[0], "mtu", "1500")
        self.lab.exec("default/greedy", "ip", "link", "set", "dev", "eth0", "mtu", "1500")
        for family in (4, 6):
            self.lab.exec("default/greedy", "ip", f"-{family}", "route", "flush", "cache")
            status, text = self.ping("default/greedy", self.lab.ips("default/b1")[family], 1500, count=3)
            self.assertNotEqual(status, 0)
            self.assertRegex(text, f"(?i)frag needed.*mtu = {self.wanted()}|packet too big: mtu={self.wanted()}|"
                                   f"message too long.*{self.wanted()}", f"IPv{family}")


class UplinkChanges(Mtu, LabCase):
    """Down and up again under a stream of small pings: what is there follows.  Of the pings a few may be lost, while ovs-vswitchd,
    which carries them itself on this datapath, reads links and routes again: more the busier the machine is."""

    OVERHEAD = 50

    def change(self, mtu):
        for node in ("node-1", "node-2"):
            self.lab.exec(node, "ip", "link", "set", "dev", "eth0", "mtu", str(mtu))
        for name in ("a1", "a2", "b1"):
            self.lab.await_output(f"default/{name}", ["ip", "monitor", "link"],
                                  lambda: self.mtu_of(f"default/{name}") == mtu - self.OVERHEAD)

    def test_pods_follow(self):
        for mtu in (1400, 1500):
            stream = self.lab.start("default/a1", "ping", "-n", "-q", "-i", "0.01", "-c", "300", self.lab.ips("default/b1")[4])
            self.change(mtu)
            type(self).UNDERLAY = mtu
            said = stream.communicate(timeout=60)[0]
            self.assertLessEqual(float(re.search(r"([0-9.]+)% packet loss", said)[1]), 5, said)
            for node in ("node-1", "node-2"):
                self.assertEqual(self.mtu_of(node, "sluice0"), self.wanted())
            self.test_exactly_that_size_passes()
            self.test_one_byte_more_is_answered_where_it_is_sent()
            self.test_bulk()
        self.lab.apply(pod("late", "node-1"))
        self.assertEqual(self.mtu_of("default/late"), self.wanted())


class GeneveOverIpv6(Mtu, LabCase):
    OPTIONS, OVERHEAD, FAMILIES = ("--families", "6"), 70, (6,)

class Vxlan(Mtu, LabCase):
    OPTIONS, OVERHEAD = ("--encapsulation", "vxlan"), 50


class Routed(Mtu, LabCase):
    OPTIONS, OVERHEAD = ("--encapsulation", "none"), 0


class Jumbo(Mtu, LabCase):
    OPTIONS, UNDERLAY, OVERHEAD = ("--mtu", "9000"), 9000, 50


class Explicit(Mtu, LabCase):
    OPTIONS, UNDERLAY, OVERHEAD = ("--pod-mtu", "1300"), 1350, 50


if __name__ == "__main__":
    labtest.main()
