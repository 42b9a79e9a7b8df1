#!/usr/bin/python3 -B
"""While the daemons are dead, a pod that addresses its host end's MAC still does not reach the node's own stack: AF_PACKET leaves it each
frame, AF_XDP each frame without ovs-vswitchd, the kernel module each frame of a link that is no port any more."""
import select
import socket
import unittest

import frames
import labtest
from frames import IPV4, IPV6, ethernet
from labkit import netns
from labtest import LabCase, pod

# An address of the node that stays when bridges and routes go.
NODE = {4: "10.200.0.1", 6: "fd00:200::1"}
PORT = 7777


class Guard(LabCase):
    PODS = [pod("a1", "node-1")]
    ALLOWED_LOG = [("", r".*", "the test kills them")]

    def listener(self, family):
        def body():
            sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
            sock.bind((NODE[family], PORT))
            return sock
        sock = netns.call(self.lab.namespace("node-1"), body)
        self.addCleanup(sock.close)
        return sock

    def take_the_port_away(self):
        """What makes the kernel see frames that it does not see in daily life."""
        self.lab("stop", "node-1", "sluiced", "--kill")
        self.lab("stop", "node-1", "ovs-vswitchd", "--kill")

    def heard(self, listeners):
        """Families in which a datagram to the host end's MAC came through."""
        sock = labtest.raw_socket(self.lab, "default/a1")
        self.addCleanup(sock.close)
        for family, kind in ((4, IPV4), (6, IPV6)):
            for _ in range(3):
                sock.send(ethernet(self.host_mac, self.mac, kind,
                                   frames.udp(self.pod[family], NODE[family], b"past the switch", dport=PORT)))
        found = set()
        while ready := select.select([s for f, s in listeners.items() if f not in found], [], [], 0.5)[0]:
            found |= {family for family, s in listeners.items() if s in ready}
        return found

    def test_dead_daemons(self):
        self.pod = self.lab.ips("default/a1")
        host_end = next(name for name in self.lab.links("node-1") if name.startswith("slp"))
        self.mac, self.host_mac = (frames.mac(self.lab.exec(where, "cat", f"/sys/class/net/{device}/address").strip())
                                   for where, device in (("default/a1", "eth0"), ("node-1", host_end)))
        self.take_the_port_away()
        self.lab.exec("node-1", "ip", "address", "add", NODE[4] + "/32", "dev", "lo")
        self.lab.exec("node-1", "ip", "address", "add", NODE[6] + "/128", "dev", "lo", "nodad")
        # Only the guard is to be judged: without these the kernel's own checks might hide that it is open.
        for family in (4, 6):
            self.lab.exec("node-1", "ip", f"-{family}", "route", "replace", self.pod[family], "dev", host_end)
        self.lab.exec("node-1", "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", f"net.ipv4.conf.{host_end}.rp_filter=0")
        listeners = {family: self.listener(family) for family in (4, 6)}
        self.assertEqual(self.heard(listeners), set())
        self.lab.exec("node-1", "nft", "delete", "table", "inet", "sluice")
        self.assertEqual(self.heard(listeners), {4, 6}, "the test cannot see what it looks for")


class GuardAfxdp(Guard):
    OPTIONS = ("--datapath", "afxdp")


if __name__ == "__main__":
    labtest.main()
