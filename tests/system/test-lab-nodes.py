#!/usr/bin/python3 -B
"""Node objects come, change, clash and go: flows, routes and tunnels follow, and nobody else's are touched (issue 4, item 4).

"far-..." are Nodes without a machine: what node-1 makes of them is seen in its flows and routes.  The Node objects of the lab's own nodes
are changed as a controller manager and a kubelet would."""
# time limit: 300 s
import copy
import json
import re
import signal
import unittest

import labtest
from labkit.objects import Store
from labtest import LabCase, asking, pod

WATCH = ["stdbuf", "-oL", "ovs-ofctl", "-O", "OpenFlow15", "monitor", "br-int", "watch:!initial"]


def node(name, cidrs, *ips, day=2):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}, "spec": {"podCIDRs": list(cidrs)},
            "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in ips]}}


MONITORS = ("ovs-vswitchd", r"Broken pipe|Connection reset by peer", "the tests' flow monitors end")


class NodeCase(LabCase):
    def setUp(self):
        self.store = Store(self.lab.layout)

    def put(self, *nodes):
        for one in nodes:
            self.store.put(one)

    def remove(self, *names):
        for name in names:
            self.store.remove("Node", "", name)

    def nodes(self):
        said = json.loads(self.lab.exec("node-1", "sluicectl", "nodes", "--json"))
        return {one["name"]: one for one in said}

    def why(self, name):
        return self.nodes().get(name, {}).get("problem", "")

    def until(self, condition, what):
        try:
            self.lab.await_output("node-1", WATCH, condition, 20)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}; {self.nodes()}") from None

    def flows_of(self, name):
        return sorted(re.sub(r"^.*?cookie=\w+, ?", "", line).strip() for line in
                      self.lab.exec("node-1", "sluicectl", "flows", "--object", f"Node/{name}").splitlines() if "actions=" in line)

    def tunnels_of(self, name):
        return set(re.findall(r"set_field:([0-9a-f.:]+)->tun(?:_ipv6)?_dst", "\n".join(self.flows_of(name))))

    def routes(self):
        text = self.lab.exec("node-1", "sh", "-c", "ip route show proto 83; ip -6 route show proto 83")
        return {line.split()[0] for line in text.splitlines()}

    def ready(self):
        return json.loads(self.lab.exec("node-1", "sluicectl", "status", "--json"))


class Peers(NodeCase):
    OPTIONS = ("--nodes", "2")
    PODS = [pod("a1", "node-1"), pod("b1", "node-2")]
    ALLOWED_LOG = [("sluiced", r"dataplane_peers\|WARN\|node (far-|node-1: (its pod CIDR|has the same))", "the tests' clashes"), MONITORS]

    def setUp(self):
        super().setUp()
        self.others = [line for line in self.lab.flows("node-1")]
        self.routes_before = self.routes()

    def tearDown(self):
        """All of the tests' nodes go, and with them everything that they brought."""
        for one in self.nodes():
            if one.startswith("far-"):
                self.remove(one)
        self.until(lambda: self.lab.flows("node-1") == self.others, "what far nodes brought goes")
        self.assertEqual(self.routes(), self.routes_before)
        self.assert_connected(list(asking("default/a1", "default/b1")))

    def added(self):
        return [line for line in self.lab.flows("node-1") if line not in self.others]

    def test_added_readdressed_removed(self):
        self.put(node("far-1", ["10.201.1.0/24", "fd00:201:1::/64"], "198.18.0.1"))
        self.until(lambda: self.tunnels_of("far-1") == {"198.18.0.1"}, "a new node")
        self.assertTrue({"10.201.1.0/24", "fd00:201:1::/64"} <= self.routes())
        monitor = self.lab.start("node-1", *WATCH)
        self.assertIn("FLOW_MONITOR reply", monitor.stdout.readline())
        try:
            self.put(node("far-1", ["10.201.1.0/24", "fd00:201:1::/64"], "198.18.0.2"))
            self.until(lambda: self.tunnels_of("far-1") == {"198.18.0.2"}, "another address")
            # Of the rest nothing that matters changes: no work for it.
            beat = node("far-1", ["10.201.1.0/24", "fd00:201:1::/64"], "198.18.0.2")
            beat["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            self.put(beat)
            self.lab("wait")
            # The monitor tells it in its own time: a last change shows that all before it has been told.
            self.put(node("far-1", ["10.201.1.0/24", "fd00:201:1::/64"], "198.18.0.3"))
            changes = ""
            for line in iter(monitor.stdout.readline, ""):
                if "set_field:198.18.0.3->tun_dst" in line:
                    break
                changes += line
        finally:
            monitor.send_signal(signal.SIGTERM)
            monitor.communicate(timeout=20)
        # A tunnel's destination in two flows, one of each family, which are replaced in place; nobody else's are touched.
        self.assertEqual(len(re.findall("event=", changes)), 2, changes)
        self.assertEqual(len(re.findall("event=ADDED table=50 .*set_field:198.18.0.2->tun_dst", changes)), 2, changes)

    def test_families(self):
        self.put(node("far-1", ["10.201.1.0/24"], "198.18.0.1"), node("far-2", ["fd00:201:2::/64"], "198.18.0.2"),
                 node("far-3", ["10.201.3.0/24", "fd00:201:3::/64"], "fd00:c0de::99"), node("far-4", [], "198.18.0.4"),
                 node("far-5", ["10.201.5.0/24"]))
        self.until(lambda: self.why("far-5") and self.flows_of("far-3"), "five nodes")
        self.assertEqual(len(self.flows_of("far-1")), 2)        # The way there, and ARP for the node.
        self.assertEqual(len(self.flows_of("far-2")), 2)
        self.assertEqual(len(self.flows_of("far-3")), 4)
        self.assertEqual(self.tunnels_of("far-3"), {"fd00:c0de::99"})
        self.assertEqual(self.flows_of("far-4"), [])            # No podCIDRs yet: nothing to reach, and no problem.
        self.assertEqual(self.why("far-4"), "")
        self.assertIn("no InternalIP", self.why("far-5"))
        self.put(node("far-4", ["10.201.4.0/24"], "198.18.0.4"), node("far-5", ["10.201.5.0/24"], "198.18.0.5"))
        self.until(lambda: self.flows_of("far-4") and self.flows_of("far-5"), "what was missing comes")
        self.assertEqual(self.why("far-5"), "")

    def test_renamed(self):
        old = node("far-1", ["10.201.1.0/24"], "198.18.0.1")
        self.put(old)
        self.until(lambda: self.flows_of("far-1"), "a new node")
        # The new Node comes before the old one is deleted: with the same address, and a CIDR of its own.
        self.put(node("far-2", ["10.201.2.0/24"], "198.18.0.1"))
        self.until(lambda: self.tunnels_of("far-2") == {"198.18.0.1"}, "its new name")
        self.assertIn("same InternalIP 198.18.0.1 as node far-1", self.why("far-2"))
        self.assertTrue(self.flows_of("far-1"))
        self.remove("far-1")
        self.until(lambda: not self.flows_of("far-1"), "its old name goes")
        self.until(lambda: not self.why("far-2"), "no clash any more")

    def test_created_again(self):
        self.put(node("far-1", ["10.201.1.0/24", "fd00:201:1::/64"], "198.18.0.1"))
        self.until(lambda: self.flows_of("far-1"), "a new node")
        self.put(node("far-1", ["10.201.7.0/24", "fd00:201:7::/64"], "198.18.0.1"))
        self.until(lambda: "10.201.7.0/24" in self.routes(), "other CIDRs")
        self.assertFalse({"10.201.1.0/24", "fd00:201:1::/64"} & self.routes())
        self.assertNotIn("10.201.1.", "\n".join(self.flows_of("far-1")))

    def test_same_cidr(self):
        """The older one has it, whoever came first; the other takes over.  Of one age, the first by name."""
        self.put(node("far-1", ["10.201.1.0/24"], "198.18.0.1", day=3))
        self.until(lambda: self.flows_of("far-1"), "a new node")
        self.put(node("far-2", ["10.201.1.0/24"], "198.18.0.2"))
        self.until(lambda: self.flows_of("far-2") and not self.flows_of("far-1"), "the older has it")
        self.put(node("far-1", ["10.201.1.0/24"], "198.18.0.1"))
        self.until(lambda: self.flows_of("far-1") and not self.flows_of("far-2"), "the first by name has it")
        self.assertIn("10.201.1.0/24 is also one of node far-1", self.why("far-2"))
        self.remove("far-1")
        self.until(lambda: self.tunnels_of("far-2") == {"198.18.0.2"}, "the other takes over")
        self.assertEqual(self.why("far-2"), "")

    def test_ours(self):
        """Claims on what is this node's."""
        mine = self.store.get("Node", "", "node-1")
        own = mine["spec"]["podCIDRs"][0]
        ip = mine["status"]["addresses"][0]["address"]
        self.put(node("far-1", [own, "fd00:201:1::/64"], "198.18.0.1"), node("far-2", ["10.201.2.0/24"], ip))
        self.until(lambda: self.why("far-1") and self.why("far-2"), "two that claim what is ours")
        self.assertIn(f"{own} overlaps {own} of this node", self.why("far-1"))
        self.assertEqual(len(self.flows_of("far-1")), 2)        # Its other CIDR.
        self.assertIn(f"{ip} is one of this node", self.why("far-2"))
        self.assertEqual(self.flows_of("far-2"), [])
        self.assert_connected(list(asking("node-1", "default/a1")))


class OwnNode(NodeCase):
    OPTIONS = ("--nodes", "2")
    PODS = [pod("a1", "node-1"), pod("a2", "node-1"), pod("b1", "node-2")]
    ALLOWED_LOG = [("sluiced", r"dataplane_peers\|WARN\|node node-1: has no InternalIP", "the test took it away"), MONITORS]

    def setUp(self):
        super().setUp()
        self.mine = self.store.get("Node", "", "node-1")
        self.addCleanup(self.restore)

    def restore(self):
        self.put(self.mine)
        self.lab("wait")

    def await_not_ready(self, text):
        self.until(lambda: not self.ready()["ready"], "not ready")
        self.assertIn(text, self.ready()["reason"])

    def old_pods_talk(self):
        """On this node and beyond; other nodes do not know the way to a CIDR that is no longer this node's."""
        self.assert_connected([spec for sender, to in (("default/a1", "default/a2"), ("node-1", "default/a1"), ("default/a1", "outside"))
                               for spec in asking(sender, to)])

    def test_deleted_and_back(self):
        """What runs stays, what the others do is followed, and when it is back as it was nothing is touched."""
        before = self.lab.flows("node-1")
        self.remove("node-1")
        self.await_not_ready("no Node object of that name")
        self.assertEqual(self.lab.flows("node-1"), before)
        self.old_pods_talk()
        self.put(node("far-1", ["10.201.1.0/24"], "198.18.0.1"))
        self.until(lambda: self.flows_of("far-1"), "another node while ours is lost")
        self.remove("far-1")
        self.until(lambda: not self.flows_of("far-1"), "it goes")
        self.put(self.mine)
        self.until(lambda: self.ready()["ready"], "ready again")
        self.assertEqual(self.lab.flows("node-1"), before)
        self.lab.apply(pod("again", "node-1"))
        self.assert_connected(list(asking("default/b1", "default/again")))
        self.lab("delete", "pod", "default/again")

    def test_without_cidrs(self):
        bare = copy.deepcopy(self.mine)
        bare["spec"] = {}
        before = self.lab.flows("node-1")
        self.put(bare)
        self.await_not_ready("has no spec.podCIDRs in its Node object")
        self.assertEqual(self.lab.flows("node-1"), before)
        self.old_pods_talk()
        self.put(self.mine)
        self.until(lambda: self.ready()["ready"], "ready again")
        self.assertEqual(self.lab.flows("node-1"), before)

    def test_without_addresses(self):
        """The addresses are lost for a moment: the uplink stays what it was."""
        bare = copy.deepcopy(self.mine)
        bare["status"] = {}
        before = self.lab.flows("node-1")
        self.put(bare)
        self.until(lambda: not self.nodes()["node-1"]["ips"], "no addresses")
        self.assertTrue(self.ready()["ready"])
        self.assertEqual(self.lab.flows("node-1"), before)

    def test_other_cidrs(self):
        """Created again with other CIDRs: new pods get addresses of these, those that run keep theirs and their network until
        they go, through a restart too; then nothing of the old ones is left."""
        other = copy.deepcopy(self.mine)
        other["spec"] = {"podCIDRs": ["10.202.1.0/24", "fd00:202:1::/64"]}
        self.lab.apply(pod("old", "node-1"))
        self.put(other)
        self.until(lambda: "10.202.1.0/24" in self.routes(), "other CIDRs")
        self.until(lambda: self.ready()["ready"], "ready again")
        self.lab.apply(pod("new", "node-1"))
        self.assertRegex(self.lab.ips("default/new")[4], r"^10\.202\.1\.")
        self.assertRegex(self.lab.ips("default/new")[6], r"^fd00:202:1:")
        self.assert_connected(list(asking("default/b1", "default/new")))
        self.old_pods_talk()
        self.assert_connected([spec for sender, to in (("default/old", "default/new"), ("default/new", "default/old"))
                               for spec in asking(sender, to)])
        flows = self.lab.flows("node-1")
        self.lab("restart", "node-1", "sluiced")
        self.lab("wait")
        self.assertEqual(self.lab.flows("node-1"), flows)
        self.old_pods_talk()
        self.put(self.mine)
        self.until(lambda: self.ready()["ready"], "back")
        self.assert_connected(list(asking("default/old", "default/new")))       # Now "new" is the old one.
        self.lab("delete", "pod", "default/new")
        self.until(lambda: "10.202.1." not in "\n".join(self.lab.flows("node-1")), "nothing of them is left")
        self.lab.await_output("node-1", ["ip", "monitor"], lambda: "10.202.1.0/24" not in self.routes(), 20)
        self.assertNotIn("10.202.1.1", self.lab.exec("node-1", "ip", "-o", "addr", "show", "sluice0"))
        self.lab("delete", "pod", "default/old")
        self.assert_connected(list(asking("default/b1", "default/a1")))


if __name__ == "__main__":
    labtest.main()
