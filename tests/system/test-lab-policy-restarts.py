#!/usr/bin/python3 -B
"""Daemons that end and come back while policies are there: networkpolicy 23.  Forbidden packets flow all the time, in every direction:
none arrives.  Allowed connections go on; without ovs-vswitchd's end they lose nothing."""
# time limit: 400 s
from policylab import (NODES, Connection, PolicyCase, Stream, Streams, block, cluster_policy, egress, expression, expressions, main, peer,
                       policy, port, rule)

AB = expressions(expression("pod", "In", "a", "b"))
# From whom x/a and x/b take something, and who is forbidden, on one node and across; what x/a and x/b may not send; nobody may
# forget one of the tiers.
ALLOWED = [("y/a", "x/a"), ("y/b", "x/a"), ("y/a", "x/b"), ("y/b", "x/b")]
FORBIDDEN = [("z/a", "x/a"), ("z/b", "x/a"), ("z/a", "x/b"), ("z/b", "x/b"), ("x/a", "z/a"), ("x/b", "z/a"), ("x/a", "z/b"),
             ("x/b", "z/b"), ("outside", "x/a"), ("outside", "x/b"), ("y/c", "x/a"), ("y/c", "x/b")]
PORTS = [port(80), port(80, "UDP"), port(7000, "UDP", 7999)]
POLICIES = [policy("x/p", AB, ["Ingress", "Egress"], ingress=[rule(peer(namespaces={"ns": "y"}), ports=PORTS)],
                   egress=[egress(block("192.0.2.0/24"))]),
            cluster_policy("no-c", ingress=[{"action": "Deny", "from": [{"pods": {"namespaceSelector": {}, "podSelector": {
                "matchLabels": {"pod": "c"}}}}]}])]


class Restarts(PolicyCase):
    ALLOWED_LOG = [
        ("sluiced", r"(?i)connect|connection|Connection refused|end of file|reset|no such file|not running|gone|lost|db\.sock|"
                    r"br-int\.mgmt|vswitchd|ovsdb", "the test takes ovs-vswitchd or ovsdb-server away"),
        ("ovs-vswitchd", r"db\.sock|reconnect|Connection refused|receive error|connection dropped|No such file|Broken pipe",
         "ovsdb-server is away, or sluiced"),
        ("ovs-vswitchd", r"recirc_id \d+ left allocated when ofproto|tunnel\(revalidator\d+\)\|WARN\|receive tunnel port not found",
         "an OVS that is told to end says so, of flows that outlive their port"),
    ]

    def setUp(self):
        self.policies(*POLICIES)

    def assert_closed_under(self, disturb, lossless):
        connections = [Connection(self.lab, *pair, family) for pair in ALLOWED for family in (4, 6)]
        for connection in connections:
            self.addCleanup(connection.close)
        forbidden = [Stream(self.lab, *pair, family, port=7000 + index) for index, pair in enumerate(FORBIDDEN) for family in (4, 6)]
        allowed = [Stream(self.lab, *pair, family, echo=True) for pair in ALLOWED for family in (4, 6)]
        with Streams(*forbidden, *allowed, rate=20) as traffic:
            traffic.pass_time(0.3)
            disturb()
            self.settle()
            self.assertEqual([one.what for one in connections if not one.exchange(8)], [])
            begin = len(allowed[0].sent)
            traffic.pass_time(0.5)
            seen = traffic.stop()
        for stream in forbidden:
            self.assertGreater(len(stream.sent), 10)
            self.assertEqual(len(seen[stream]), 0, f"{stream.what}: {len(seen[stream])} of {len(stream.sent)} came")
        for stream in allowed:
            lost = [number for number in range(len(stream.sent)) if number not in seen[stream]]
            if lossless:
                self.assertEqual(lost, [], f"{stream.what}: of {len(stream.sent)}")
            else:
                self.assertEqual([number for number in lost if number > begin], [], stream.what)
        new = [Connection(self.lab, *pair, family) for pair in ALLOWED for family in (4, 6)]
        for connection in new:
            connection.close()
        self.check_none(["z/a", "z/b", "y/c", "x/c"], ["x/a", "x/b"])

    def restart(self, daemon, *how, nodes=NODES):
        for node in nodes:
            self.lab("restart", node, daemon, *how)
        self.lab("wait")

    def test_sluiced_stopped(self):
        """networkpolicy 23: SIGTERM, on both nodes."""
        before = {node: self.lab.flows(node) for node in NODES}
        self.assert_closed_under(lambda: self.restart("sluiced"), True)
        self.assertEqual({node: self.lab.flows(node) for node in NODES}, before)

    def test_sluiced_killed(self):
        """networkpolicy 23: SIGKILL, twice."""
        before = {node: self.lab.flows(node) for node in NODES}
        self.assert_closed_under(lambda: [self.restart("sluiced", "--kill") for _ in range(2)], True)
        self.assertEqual({node: self.lab.flows(node) for node in NODES}, before)

    def test_a_change_while_sluiced_is_away(self):
        """networkpolicy 23, 19: what was changed meanwhile holds when it is back; what was denied stays so."""
        def disturb():
            for node in NODES:
                self.lab("stop", node, "sluiced", "--kill")
            self.put(policy("x/q", {}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "y"}), ports=[port(81)])]))
            self.label("Namespace", "z", mood="other")
            for node in NODES:
                self.lab("start", node, "sluiced")
            self.lab("wait")
        self.assert_closed_under(disturb, True)
        self.check(lambda sender, *_: sender[0] == "y", ["y/a", "y/b", "z/a", "z/b"], ["x/a", "x/b"], ("tcp:81",))

    def test_vswitchd_stopped(self):
        """networkpolicy 23: it comes back without flows and without connections."""
        self.assert_closed_under(lambda: self.restart("ovs-vswitchd"), False)

    def test_vswitchd_killed(self):
        """networkpolicy 23."""
        self.assert_closed_under(lambda: self.restart("ovs-vswitchd", "--kill"), False)

    def test_all_killed(self):
        """networkpolicy 23: sluiced, ovs-vswitchd and ovsdb-server of one node."""
        def disturb():
            for daemon in ("sluiced", "ovs-vswitchd", "ovsdb-server"):
                self.lab("stop", "node-2", daemon, "--kill")
            for daemon in ("ovsdb-server", "ovs-vswitchd", "sluiced"):
                self.lab("start", "node-2", daemon)
            self.lab("wait")
        self.assert_closed_under(disturb, False)


if __name__ == "__main__":
    main()
