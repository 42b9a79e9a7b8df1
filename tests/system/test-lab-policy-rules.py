#!/usr/bin/python3 -B
"""What a rule of a NetworkPolicy matches: peers and how peers and ports combine: networkpolicy 7 to 11 with packets."""
# time limit: 400 s
from policylab import (EVERYTHING, HOSTS, PODS, PolicyCase, egress, expression, expressions, main, own_node, peer, policy,
                       port, rule)

OTHERS = [name for name in PODS if name[0] != "x"]


class Rules(PolicyCase):
    def check_from(self, allowed_from, *peers, ports=None):
        """Ingress of x from these peers: who of everybody may."""
        self.policies(policy("x/in", {"app": "x-a"}, ["Ingress"], ingress=[rule(*peers, ports=ports)]),
                      policy("x/in-b", {"app": "x-b"}, ["Ingress"], ingress=[rule(*peers, ports=ports)]))
        self.check(lambda sender, to, *_: own_node(sender, to) or sender in allowed_from, ["x/c", "x/a", "x/b", *OTHERS, *HOSTS],
                   ["x/a", "x/b"], ("tcp:80",))

    def check_to(self, allowed_to, *peers):
        """Egress of x/a and x/b to these peers."""
        self.policies(policy("x/out", expressions(expression("pod", "In", "a", "b")), ["Egress"], egress=[egress(*peers)]))
        self.check(lambda sender, to, *_: to in allowed_to, ["x/a", "x/b"], ["x/c", *OTHERS, *HOSTS], ("tcp:80",))

    def test_peers_and_ports(self):
        """networkpolicy 7: peers AND ports; each list is an OR; and so are the rules."""
        self.policies(policy("x/in", {}, ["Ingress"], ingress=[
            rule(peer(namespaces={"ns": "y"}), peer({"pod": "c"}), ports=[port(80), port(81, "UDP")]),
            rule(peer(namespaces={"ns": "z"}), ports=[port(81, "TCP")])]))

        def allowed(sender, to, spec, _):
            return (own_node(sender, to) or (sender[0] == "y" or sender == "x/c") and spec in ("tcp:80", "udp:81")
                    or sender[0] == "z" and spec == "tcp:81")
        self.check(allowed, ["x/c", "y/a", "y/b", "z/a", "z/b", *HOSTS], ["x/a", "x/b"], EVERYTHING)

    def test_peers_and_ports_of_egress(self):
        """networkpolicy 7: the same the other way."""
        self.policies(policy("x/out", {}, ["Egress"], egress=[
            egress(peer(namespaces={"ns": "y"}), peer({"pod": "c"}), ports=[port(80), port(81, "UDP")]),
            egress(peer(namespaces={"ns": "z"}), ports=[port(81, "TCP")])]))

        def allowed(sender, to, spec, _):
            return (to[0] == "y" or to == "x/c") and spec in ("tcp:80", "udp:81") or to[0] == "z" and spec == "tcp:81"
        self.check(allowed, ["x/a", "x/b"], ["x/c", "y/a", "y/b", "z/a", "z/b", *HOSTS],
                   ("tcp:80", "tcp:81", "udp:80", "udp:81", "icmp"))

    def test_anybody(self):
        """networkpolicy 8: no peers, missing or empty: anybody, inside or outside; no ports: any port and protocol."""
        for more in ({}, {"from": []}, {"ports": []}, {"from": [], "ports": []}):
            self.policies(policy("x/in", {}, ["Ingress"], ingress=[more]))
            self.check_all(["x/c", "y/a", "y/b", *HOSTS], ["x/a", "x/b"], EVERYTHING)
        for more in ({"ports": [port(81)]}, {"from": [], "ports": [port(81)]}):
            self.policies(policy("x/in", {}, ["Ingress"], ingress=[more]))
            self.check(lambda sender, to, spec, _: own_node(sender, to) or spec == "tcp:81", ["x/c", "y/a", "y/b", *HOSTS],
                       ["x/a", "x/b"], EVERYTHING)

    def test_anybody_of_egress(self):
        """networkpolicy 8: inside or outside, any port and protocol."""
        for more in ({}, {"to": [], "ports": []}):
            self.policies(policy("x/out", {}, ["Egress"], egress=[more]))
            self.check_all(["x/a", "x/b"], ["y/a", "y/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))
        self.policies(policy("x/out", {}, ["Egress"], egress=[egress(ports=[port(80), port(9000)])]))
        self.check(lambda sender, to, spec, _: spec == "tcp:80", ["x/a", "x/b"], ["y/a", "y/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))

    def test_a_rule_with_peers_has_any_port(self):
        """networkpolicy 8: from without ports."""
        self.policies(policy("x/in", {}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "y"}))]))
        self.check(lambda sender, to, *_: own_node(sender, to) or sender[0] == "y", ["y/a", "y/b", "z/a", *HOSTS], ["x/a", "x/b"],
                   EVERYTHING)

    def test_pod_selector_alone(self):
        """networkpolicy 9: pods of the policy's own namespace."""
        self.check_from(["x/c"], peer({"pod": "c"}))
        self.check_from(["x/a", "x/b", "x/c"], peer({}))
        self.check_to(["x/c"], peer({"pod": "c"}))
        self.check_to(["x/c"], peer({}))

    def test_namespace_selector_alone(self):
        """networkpolicy 9: all pods of the namespaces; {} is all namespaces."""
        self.check_from(["y/a", "y/b", "y/c"], peer(namespaces={"ns": "y"}))
        self.check_from(["y/a", "y/b", "y/c", "z/a", "z/b"], peer(namespaces=expressions(expression("ns", "NotIn", "x"))))
        self.check_from(PODS, peer(namespaces={}))
        self.check_to(["z/a", "z/b"], peer(namespaces={"ns": "z"}))
        self.check_to(PODS, peer(namespaces={}))

    def test_both_selectors(self):
        """networkpolicy 9: in one item both must match."""
        self.check_from(["y/b", "x/b"], peer({"pod": "b"}, expressions(expression("ns", "In", "x", "y"))))
        self.check_from(["y/a", "z/a"], peer({"pod": "a"}, expressions(expression("ns", "NotIn", "x"))))
        self.check_from([name for name in PODS if name.endswith("b")], peer({"pod": "b"}, {}))
        self.check_from(["y/a", "y/b", "y/c"], peer({}, {"ns": "y"}))
        self.check_to(["y/b"], peer({"pod": "b"}, {"ns": "y"}))

    def test_two_items(self):
        """networkpolicy 9: of two items one must match."""
        self.check_from(["x/c", "y/a", "y/b", "y/c"], peer({"pod": "c"}), peer(namespaces={"ns": "y"}))
        self.check_to(["x/c", "z/a", "z/b"], peer({"pod": "c"}), peer(namespaces={"ns": "z"}))

    def test_selectors_are_for_pods(self):
        """networkpolicy 10: the widest selector lets in no node and nobody from outside, and out to none of them."""
        self.check_from(PODS, peer({}, {}))
        self.check_to(PODS, peer({}, {}))

    def test_the_name_of_a_namespace(self):
        """networkpolicy 11: kubernetes.io/metadata.name."""
        self.check_from(["z/a", "z/b"], peer(namespaces={"kubernetes.io/metadata.name": "z"}))
        self.check_to(["y/a", "y/b", "y/c"], peer(namespaces=expressions(expression("kubernetes.io/metadata.name", "NotIn", "x", "z"))))

    def test_a_peer_that_is_nobody(self):
        """networkpolicy 9: a selector that selects none allows none."""
        self.check_from([], peer({"pod": "nobody"}))
        self.check_from([], peer(namespaces={"ns": "nowhere"}))
        self.check_to([], peer({"pod": "a"}, {"ns": "nowhere"}))


if __name__ == "__main__":
    main()
