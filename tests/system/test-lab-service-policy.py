#!/usr/bin/python3 -B
"""Policies and Services together: egress rules judge the endpoint that was chosen, ingress rules see who asks; what is masqueraded is
not the node.

Covers services 7, 13, 14 and networkpolicy 15, 26, 27 through Services."""
# time limit: 300 s
import itertools
import time

import servicelab
from labtest import pod
from policylab import CUT_BOUND, block, egress, peer, policy, port, rule
from servicelab import FAMILIES, HAIRPIN, Endpoint, ServiceCase, balanced_at

ONE, TWO = Endpoint("one", "node-1"), Endpoint("two", "node-2")
BOTH = {ONE.pod: None, TWO.pod: None}
A, B = "default/a", "default/b"
PROTOCOLS = ("tcp", "udp")


class Policies(ServiceCase):
    PLACES = {"one": [ONE], "two": [TWO], "both": [ONE, TWO]}
    CLIENTS = (pod("a", "node-1", labels={"who": "a"}), pod("b", "node-2", labels={"who": "b"}))

    def ask(self, item, wanted, senders, doors=("cluster",), protocols=PROTOCOLS, count=1):
        """'wanted' of each sender: an outcome."""
        return [(self.question(item, door, sender, family, protocol), wanted) for door in doors for sender in senders
                for family in FAMILIES for protocol in protocols for _ in range(count)]

    def test_egress_judges_the_endpoint(self):
        """By the endpoint's labels and its own port, not by the Service's address and port."""
        both, one, two = self.services(*(servicelab.service(name, name, ports=[
            {"name": "web", "port": 8000, "targetPort": "web"}]) for name in ("both", "one", "two")))
        self.policies(policy("default/out", {"who": "a"}, ["Egress"], egress=[
            egress(peer(pods={"one": "y"}), ports=[port(80, "TCP")])]))
        self.check_questions([*self.ask(one, {ONE.pod: None}, [A], protocols=["tcp"]), *self.ask(two, "dropped", [A], protocols=["tcp"]),
                              *self.ask(both, BOTH, [B], protocols=["tcp"], count=4)])
        answers = self.lab.probe(*({**probe, "timeout": "1s"} for probe, _ in self.ask(both, BOTH, [A], protocols=["tcp"], count=20)))
        self.assertEqual({(answer["result"], answer["by"]) for answer in answers}, {("connected", ONE.pod), ("dropped", "")})
        # The Service's own port is nothing that a rule means.
        self.policies(policy("default/out", {"who": "a"}, ["Egress"], egress=[egress(ports=[port(8000, "TCP")])]))
        self.check_questions(self.ask(one, "dropped", [A], protocols=["tcp"]))

    def test_egress_to_addresses(self):
        """networkpolicy 15: a block with the Service's address allows nothing; one with the endpoint's does."""
        item = self.one_service("one", "one")
        for addresses, wanted in ((item["spec"]["clusterIPs"], "dropped"), (self.addresses[ONE.pod].values(), {ONE.pod: None})):
            self.policies(policy("default/out", {"who": "a"}, ["Egress"], egress=[
                egress(*(block(f"{address}/{128 if ':' in address else 32}") for address in addresses))]))
            self.check_questions(self.ask(item, wanted, [A]))

    def test_ingress_sees_the_client(self):
        """services 7: who asks through a Service is who it is, on the same node and the other one."""
        items = self.services(*(servicelab.service(name, name, type="NodePort") for name in ("one", "two")))
        self.policies(*(policy(f"default/in-{name}", {name: "y"}, ["Ingress"], ingress=[rule(peer(pods={"who": "a"}))])
                        for name in ("one", "two")))
        for item, endpoint in zip(items, (ONE, TWO)):
            self.check_questions([*self.ask(item, {endpoint.pod: None}, [A], ("cluster", "node-1")),
                                  *self.ask(item, "dropped", [B])])

    def test_the_node_is_let_in(self):
        """networkpolicy 26: the node of the endpoint, through a Service too; not the other node."""
        item = self.one_service("one", "one", type="NodePort")
        self.policies(policy("default/in", {"one": "y"}, ["Ingress"]))
        self.check_questions([*self.ask(item, {ONE.pod: None}, ["node-1"], ("cluster", "node-1")),
                              *self.ask(item, "dropped", ["node-2"])])

    def test_masqueraded_is_not_the_node(self):
        """services 13: what comes from outside with the node's address is not taken for the node."""
        for kind in ({"type": "NodePort"}, {"type": "LoadBalancer", "status": balanced_at("198.51.100.7", "2001:db8:100::7")}):
            for external in ("Cluster", "Local"):
                item = self.one_service("one", "one", externalTrafficPolicy=external, **kind)
                self.policies()
                door = "lb" if kind["type"] == "LoadBalancer" else "node-1"
                self.check_questions(self.ask(item, {ONE.pod: None}, ["outside"], [door]))
                self.policies(policy("default/in", {"one": "y"}, ["Ingress"]))
                self.check_questions(self.ask(item, "dropped", ["outside"], [door]))
                self.check_questions(self.ask(item, "dropped", ["node-2", B], ["node-1"]))

    def test_outside_by_its_address(self):
        """services 13: with the traffic policy Local a block names the client."""
        item = self.one_service("one", "one", type="NodePort", externalTrafficPolicy="Local")
        for address in (self.addresses["outside"], self.addresses["node-2"]):
            sender, other = ("outside", "node-2") if address is self.addresses["outside"] else ("node-2", "outside")
            self.policies(policy("default/in", {"one": "y"}, ["Ingress"], ingress=[
                rule(block(f"{address[4]}/32"), block(f"{address[6]}/128"))]))
            self.check_questions([*((self.question(item, "node-1", sender, family, protocol), {ONE.pod: address[family]})
                                    for family, protocol in itertools.product(FAMILIES, PROTOCOLS)),
                                  *self.ask(item, "dropped", [other], ["node-1"])])

    def test_hairpin_passes(self):
        """networkpolicy 27: a pod may always talk to itself, through a Service too."""
        item = self.one_service("one", "one")
        self.policies(policy("default/none", {"one": "y"}, ["Ingress", "Egress"]))
        self.check_questions([(self.question(item, "cluster", ONE.pod, family, protocol), {ONE.pod: HAIRPIN[family]})
                              for family, protocol in itertools.product(FAMILIES, PROTOCOLS)])

    def test_verdicts_follow_changes(self):
        """A policy that comes cuts what is under way, and one that goes lets it in again."""
        item = self.one_service("one", "one")
        with servicelab.connect(self.lab, A, *self.door(item, "cluster", 4)) as sock:
            servicelab.greeting(sock)
            self.assertTrue(servicelab.echoes(sock))
            self.policies(policy("default/in", {"one": "y"}, ["Ingress"]))
            deadline = time.monotonic() + CUT_BOUND
            while servicelab.echoes(sock, seconds=1):
                self.assertLess(time.monotonic(), deadline, "the connection is not cut")
        self.check_questions(self.ask(item, "dropped", [A]))
        self.policies()
        self.check_questions(self.ask(item, {ONE.pod: None}, [A]))


if __name__ == "__main__":
    servicelab.main()
