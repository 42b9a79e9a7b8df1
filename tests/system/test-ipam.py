#!/usr/bin/python3 -B
"""IPAM as an operator meets it: the acceptance list's items with the real plugin, daemon and switch.  What needs a clock, a crash at
every instruction or a million addresses is in tests/unit/test-ipam.c, test-journal.c and tests/sim/sim-ipam.c."""

import ipaddress
import subprocess
import unittest

from cnilab import LiveCase, Node, wait_for
from cnitest import main

POOL4, POOL6 = ipaddress.ip_network("10.244.1.0/24"), ipaddress.ip_network("fd00:10:244:1::/64")


def setUpModule():
    """One node for all tests."""
    LiveCase.node = Node("ipamt")


def tearDownModule():
    """Ends the node."""
    if LiveCase.node:
        LiveCase.node.down()


class Ipam(LiveCase):
    """Host scope."""

    def addresses(self, result):
        """Of a result of ADD."""
        return [ipaddress.ip_interface(ip["address"]).ip for ip in result["ips"]]

    def findings(self, verb="check"):
        """Of "sluicectl ipam check", or what repair found."""
        return self.node.sluicectl("ipam", verb)["findings"]

    def pool(self, index=0):
        """A pool's figures."""
        return self.node.sluicectl("ipam")[index]

    def test_from_the_nodes_own_cidrs(self):
        """ipam 1, 8: one address of each family, never the network's, the gateway's or the broadcast address."""
        for i in range(4):
            v4, v6 = self.addresses(self.add("own%d" % i, self.netns()))
            self.assertIn(v4, POOL4)
            self.assertIn(v6, POOL6)
            self.assertNotIn(v4, (POOL4[0], POOL4[1], POOL4[-1]))
            self.assertNotIn(v6, (POOL6[0], POOL6[1]))
        for i in range(4):
            self.delete("own%d" % i)

    def test_quarantine(self):
        """ipam 4: a released address rests although the switch has long forgotten it, and others are taken."""
        before = self.pool()["quarantined"]
        first = self.addresses(self.add("q1", self.netns()))
        self.delete("q1")
        wait_for("the switch has confirmed", lambda: self.pool()["unacknowledged"] == 0)
        self.assertEqual(self.pool()["quarantined"], before + 1)
        second = self.addresses(self.add("q2", self.netns()))
        self.assertFalse(set(first) & set(second))
        o = self.run_verb("ADD", "q3", self.netns(), runtimeConfig={"ips": [str(first[0])]})
        self.assertNotEqual(o.code, 0)
        self.assertIn(str(first[0]), o.json["msg"])
        self.delete("q2")

    def test_killed(self):
        """ipam 5, 6: kill -9 of the daemon; what was given stays given, and nothing else is."""
        ns = self.netns()
        result = self.add("k1", ns)
        used, quarantined = self.pool()["used"], self.pool()["quarantined"]
        self.node.restart()
        wait_for("ready", lambda: self.node.sluicectl("status")["ready"])
        self.assertEqual((self.pool()["used"], self.pool()["quarantined"]), (used, quarantined))
        self.assertFalse(set(self.addresses(result)) & set(self.addresses(self.add("k2", self.netns()))))
        self.assert_ok(self.check("k1", ns, result))
        self.delete("k1", ns)
        self.delete("k2")

    def test_release_by_key(self):
        """ipam 7: a DEL releases what its (network, container, interface) holds, whatever address it names."""
        one, two = self.netns(), self.netns()
        first, second = self.add("r1", one), self.add("r2", two)
        self.delete("r1", one, prevResult=second)
        self.assert_ok(self.check("r2", two, second))
        self.assertEqual(self.findings(), [])
        o = self.run_verb("ADD", "r3", self.netns(), runtimeConfig={"ips": [str(a) for a in self.addresses(second)]})
        self.assertNotEqual(o.code, 0, "an address in use was given again")
        self.delete("r2", two)
        self.assertNotEqual(self.addresses(first), self.addresses(second))

    def test_wishes(self):
        """ipam 8: exactly the addresses asked for; none outside of the pool, none that is the node's."""
        wanted = [str(POOL4[77]), str(POOL6[77])]
        result = self.add("w1", self.netns(), runtimeConfig={"ips": wanted})
        self.assertEqual([str(a) for a in self.addresses(result)], wanted)
        for wrong in (POOL4[0], POOL4[1], POOL4[-1], POOL6[1], "10.1.2.3", "fd00::1", "0.0.0.0"):
            o = self.run_verb("ADD", "w2", self.netns(), runtimeConfig={"ips": [str(wrong)]})
            self.assertNotEqual(o.code, 0, "%s was given" % wrong)
            self.assertIn(str(wrong), o.json["msg"])
        self.delete("w1")

    def test_audit(self):
        """ipam 10: check finds what differs, repair mends it, and the address goes into quarantine."""
        self.assertEqual(self.findings(), [])
        subprocess.run(["ip", "-n", self.node.netns, "link", "add", "slp0123456789ab", "type", "veth", "peer", "name", "stray0"],
                       check=True)
        self.assertIn("slp0123456789ab", " ".join(self.findings()))
        self.assertIn("slp0123456789ab", " ".join(self.findings("repair")))
        self.assertEqual(self.findings(), [])
        self.assertNotIn("slp0123456789ab", self.node.links())

        result = self.add("lost", self.netns())
        used, quarantined = self.pool()["used"], self.pool()["quarantined"]
        subprocess.run(["ip", "-n", self.node.netns, "link", "del", self.host_name(result)], check=True)
        self.assertIn("lost", " ".join(self.findings()))
        self.findings("repair")
        wait_for("the attachment is released", lambda: self.pool()["used"] == used - 1)
        self.assertEqual(self.pool()["quarantined"], quarantined + 1)
        wait_for("nothing differs", lambda: not self.findings())


if __name__ == "__main__":
    main(__name__)
