#!/usr/bin/python3 -B
"""Ports of a NetworkPolicy: protocols, numbers, names, ranges: networkpolicy 15 to 18 with packets."""
# time limit: 400 s
from policylab import (HOSTS, PolicyCase, block, egress, main, named_pod, own_node, peer, policy, port, rule)

SENDERS = ["x/c", "y/a", "y/b", "z/a"]
ALL = ("tcp:80", "tcp:81", "udp:80", "udp:81", "icmp")


class Ports(PolicyCase):
    def check_ports(self, ports, allowed, asked=ALL, senders=SENDERS, peers=()):
        """With these ports in an ingress rule of x/a and x/b, then in an egress rule of the senders."""
        self.policies(policy("x/in", {}, ["Ingress"], ingress=[rule(*peers, ports=ports)]))
        self.check(lambda sender, to, spec, _: spec in allowed, senders, ["x/a", "x/b"], asked)
        self.policies(policy("x/out", {}, ["Egress"], egress=[egress(ports=ports)]),
                      policy("y/out", {}, ["Egress"], egress=[egress(peer(namespaces={"ns": "x"}), ports=ports)]))
        self.check(lambda sender, to, spec, _: spec in allowed, ["x/c", "y/a", "y/b"], ["x/a", "x/b"], asked)

    def test_protocol_absent(self):
        """networkpolicy 15: it is TCP."""
        self.check_ports([port(80)], ["tcp:80"])

    def test_port_absent(self):
        """networkpolicy 15: all ports of that protocol."""
        self.check_ports([port(protocol="UDP")], ["udp:80", "udp:81"])
        self.check_ports([{}], ["tcp:80", "tcp:81"])

    def test_protocols_do_not_mix(self):
        """networkpolicy 15: TCP, UDP and SCTP never match each other; a rule for SCTP isolates from TCP and UDP."""
        self.check_ports([port(80, "TCP"), port(81, "UDP")], ["tcp:80", "udp:81"])
        self.check_ports([port(80, "SCTP")], [])
        self.check_ports([port(protocol="SCTP")], [])

    def test_the_port_of_the_pod(self):
        """networkpolicy 16: what the packet has when it reaches the pod, not what somebody asked a service for."""
        self.policies(policy("x/in", {}, ["Ingress"], ingress=[rule(ports=[port(80)])]))
        for family, table in ((4, "ip"), (6, "ip6")):
            with self.subTest(family=family):
                self.service(table, family)

    def service(self, table, family):
        node, pod, open_port, shut_port = self.lab.ips("node-1")[family], self.lab.ips("x/b")[family], 1080, 1081
        to = pod if family == 4 else f"[{pod}]"
        self.lab.exec("node-1", "nft", f"add table {table} lpol; add chain {table} lpol pre {{ type nat hook prerouting priority -150; }};"
                      f"add chain {table} lpol post {{ type nat hook postrouting priority 50; }};"
                      f"add rule {table} lpol post ct status dnat masquerade;"
                      f"add rule {table} lpol pre {table} daddr {node} tcp dport {open_port} dnat to {to}:80;"
                      f"add rule {table} lpol pre {table} daddr {node} tcp dport {shut_port} dnat to {to}:81")
        self.addCleanup(self.lab.exec, "node-1", "nft", f"delete table {table} lpol")
        answers = self.lab.probe(*({"from": "x/c", "to": node, "port": number, "timeout": timeout}
                                   for number, timeout in ((open_port, "4s"), (shut_port, "400ms"))))
        self.assertEqual([(answer["result"], answer["by"]) for answer in answers], [("connected", "x/b"), ("dropped", "")])

    # --- 18 ---

    def test_ranges(self):
        """networkpolicy 18: from port to endPort inclusive, also across powers of two."""
        for first, last in ((53, 80), (53, 84), (32000, 32768), (1023, 1025), (80, 80)):
            near = sorted({first - 1, first, (first + last) // 2, last, last + 1} | {64, 128, 1024} & set(range(first, last)))
            for protocol in ("TCP", "UDP"):
                with self.subTest(first=first, last=last, protocol=protocol):
                    asked = [f"{protocol.lower()}:{number}" for number in near] + ["tcp:81" if protocol == "UDP" else "udp:81"]
                    self.policies(policy("x/in", {}, ["Ingress"], ingress=[rule(ports=[port(first, protocol, last)])]))
                    self.check(lambda sender, to, spec, _: spec.startswith(protocol.lower()) and
                               first <= int(spec.partition(":")[2]) <= last, ["x/c", "y/b"], ["x/a", "x/b"], asked)

    def test_a_range_of_all_ports(self):
        """networkpolicy 18: 1 to 65535, and several entries, with peers."""
        self.check_ports([port(1, "TCP", 65535)], ["tcp:80", "tcp:81"])
        self.policies(policy("x/in", {}, ["Ingress"], ingress=[
            rule(peer(namespaces={"ns": "y"}), ports=[port(70, "TCP", 80), port(81, "UDP", 90), port(5000, "TCP", 5005)])]))
        self.check(lambda sender, to, spec, _: sender[0] == "y" and spec in ("tcp:80", "udp:81", "tcp:5000", "tcp:5005"),
                   ["x/c", "y/a", "y/b"], ["x/a", "x/b"], (*ALL, "tcp:4999", "tcp:5000", "tcp:5005", "tcp:5006"))

    def test_ranges_of_egress(self):
        """networkpolicy 18: the other way, to pods and outside."""
        self.policies(policy("x/out", {}, ["Egress"], egress=[
            egress(block("0.0.0.0/0"), ports=[port(8999, "TCP", 9001), port(81, "UDP", 81)])]))
        self.check(lambda sender, to, spec, family: family == 4 and spec in (
            ("tcp:80",) if to in HOSTS else ("udp:81",)), ["x/a", "x/b"], ["y/a", "y/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))
        self.check(lambda sender, to, spec, family: family == 4 and spec == "udp:81", ["x/a", "x/b"], ["y/a", "y/b"], ALL)


class NamedPorts(PolicyCase):
    """networkpolicy 17.  One name has other numbers and protocols on each pod of n."""

    WORLD = [named_pod("n/p80", "node-1", ["web=TCP:80", "TCP:81", "both=TCP:82", "both-u=UDP:82"], {"pod": "p80"}),
             named_pod("n/p81", "node-2", ["web=TCP:81", "TCP:80", "both=UDP:82", "TCP:82"], {"pod": "p81"}),
             named_pod("n/pudp", "node-1", ["web=UDP:80", "TCP:80"], {"pod": "pudp"}),
             named_pod("n/pnone", "node-2", ["TCP:80", "UDP:80", "TCP:81"], {"pod": "pnone"}),
             named_pod("m/a", "node-1", ["TCP:80"], {"pod": "a"}), named_pod("m/b", "node-2", ["TCP:80"], {"pod": "b"})]
    TARGETS = ["n/p80", "n/p81", "n/pudp", "n/pnone"]
    WEB = {"n/p80": ["tcp:80"], "n/p81": ["tcp:81"], "n/pudp": [], "n/pnone": []}

    def check(self, allowed, senders, targets, ports=("tcp:80", "tcp:81", "tcp:82", "udp:80", "udp:82"), families=None):
        declared = {f"{item['metadata']['namespace']}/{item['metadata']['name']}": {
            f"{port['protocol'].lower()}:{port['containerPort']}" for port in item["spec"]["containers"][0]["ports"]}
            for item in self.WORLD}
        # Only ports on which the pod listens: the others would be refused one after the other, at the kernel's pace.
        for to in targets:
            asked = [spec for spec in ports if spec in declared.get(to, ports)]
            super().check(allowed, senders, [to], asked, families)

    def test_ingress(self):
        """networkpolicy 17: the selected pod's own port of that name and protocol; no such name: nothing."""
        self.policies(policy("n/in", {}, ["Ingress"], ingress=[rule(ports=[port("web")])]))
        self.check(lambda sender, to, spec, _: spec in self.WEB[to], ["m/a", "m/b", "outside"], self.TARGETS)
        self.policies(policy("n/in", {}, ["Ingress"], ingress=[rule(peer(namespaces={"kubernetes.io/metadata.name": "m"}),
                                                                    ports=[port("web", "UDP")])]))
        self.check(lambda sender, to, spec, _: to == "n/pudp" and spec == "udp:80" and sender != "outside",
                   ["m/a", "m/b", "outside"], self.TARGETS)

    def test_egress(self):
        """networkpolicy 17: the peer's port of that name; never an address outside."""
        for peers in ([peer({}, {})], []):
            self.policies(policy("m/out", {}, ["Egress"], egress=[egress(*peers, ports=[port("web")])]))
            self.check(lambda sender, to, spec, _: spec in self.WEB[to], ["m/a", "m/b"], self.TARGETS)
            self.check_none(["m/a", "m/b"], ["outside", "node-2"], ports=("tcp:80",))
        self.policies(policy("m/out", {}, ["Egress"], egress=[egress(peer({"pod": "p81"}, {}), ports=[port("web"), port("both", "UDP")])]))
        self.check(lambda sender, to, spec, _: to == "n/p81" and spec in ("tcp:81", "udp:82"), ["m/a", "m/b"], self.TARGETS)

    def test_never_by_ip_block(self):
        """networkpolicy 17: a name and an ipBlock together match nothing, pod or not."""
        everywhere = [block("0.0.0.0/0"), block("::/0")]
        self.policies(policy("m/out", {}, ["Egress"], egress=[egress(*everywhere, ports=[port("web")])]))
        self.check_none(["m/a", "m/b"], self.TARGETS)
        self.check_none(["m/a", "m/b"], ["outside"], ports=("tcp:80",))

    def test_names_and_numbers(self):
        """networkpolicy 17: beside numbers and ranges in one rule; a name that only another protocol has matches nothing."""
        self.policies(policy("n/in", {}, ["Ingress"], ingress=[rule(ports=[port("web"), port(82)])]))
        self.check(lambda sender, to, spec, _: spec in [*self.WEB[to], "tcp:82"], ["m/a", "m/b"], self.TARGETS)
        self.policies(policy("n/in", {}, ["Ingress"], ingress=[rule(ports=[port("both", "TCP"), port("both-u", "TCP")])]))
        self.check(lambda sender, to, spec, _: to == "n/p80" and spec == "tcp:82", ["m/a", "m/b"], self.TARGETS)
        self.policies(policy("n/in", {}, ["Ingress"], ingress=[rule(ports=[port("nosuch")])]))
        self.check(own_node, ["m/a", "m/b", "outside"], self.TARGETS)

    def test_pods_come_and_go(self):
        """networkpolicy 17: a pod that comes brings its own number, for policies that are there already; both ways."""
        self.policies(policy("n/in", {}, ["Ingress"], ingress=[rule(ports=[port("web")])]),
                      policy("m/out", {}, ["Egress"], egress=[egress(peer({}, {}), ports=[port("web")])]))
        for node in ("node-1", "node-2"):
            made = named_pod("n/late", node, ["web=TCP:8080", "TCP:80"], {"pod": "late"})
            self.lab.apply(made)
            try:
                self.check(lambda sender, to, spec, _: spec == "tcp:8080", ["m/a", "m/b"], ["n/late"], ("tcp:80", "tcp:8080"))
                self.check(lambda sender, to, spec, _: spec in self.WEB[to], ["m/a", "m/b"], self.TARGETS)
            finally:
                self.lab("delete", "pod", "n/late")
        self.settle()
        self.check(lambda sender, to, spec, _: spec in self.WEB[to], ["m/a", "m/b"], self.TARGETS)


if __name__ == "__main__":
    main()
