#!/usr/bin/python3 -B
"""ipBlocks of a NetworkPolicy: addresses of pods, nodes and outside, except, both families, rewritten sources: networkpolicy 12 to 14
and 28 with packets."""
# time limit: 400 s
import ipaddress

from labtest import pod
from policylab import HOSTS, NODES, PODS, PolicyCase, block, egress, main, node_of, own_node, peer, policy, port, rule

EVERYBODY = [*PODS, *HOSTS]
SUBJECTS = ["x/a", "x/b"]
INTERNET = {4: "192.0.2.1", 6: "2001:db8::1"}


class IpBlocks(PolicyCase):
    MORE = [pod("x/h1", "node-1", ("TCP:8080",), {"pod": "a", "host": "yes"}, host_network=True),
            pod("x/h2", "node-2", ("TCP:8080",), {"pod": "a", "host": "yes"}, host_network=True)]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addresses = {name: cls.lab.ips(name) for name in EVERYBODY}
        # By which a pod knows somebody: what a node says it is to a pod is an address of its gateway port.
        asked = [{"from": node, "to": to, "port": 80, "family": family, "timeout": "4s"}
                 for node in NODES for to in SUBJECTS for family in (4, 6)]
        cls.seen = {(one["from"], one["to"], one["family"]): one["client"] for one in cls.lab.probe(*asked)}

    def source(self, sender, to, family):
        return self.seen.get((sender, to, family)) or self.addresses[sender][family]

    def lets_in(self, block, sender, to, family):
        """A node is known by its address and by that which its packets to pods of others have."""
        source = self.source(sender, to, family)
        holes = block.get("ipBlock", {}).get("except", ())
        return inside([block], source) or (sender in NODES and inside([block], self.addresses[sender][family]) and
                                           not any(ipaddress.ip_address(source) in ipaddress.ip_network(hole) for hole in holes))

    def check_in(self, *blocks, wanted=None, more=(), senders=EVERYBODY):
        """Ingress of x from these blocks: just whose source address is in one of them and in none of its excepts."""
        self.policies(policy("x/in", {"app": "x-a"}, ["Ingress"], ingress=[rule(*blocks), *more]),
                      policy("x/in-b", {"app": "x-b"}, ["Ingress"], ingress=[rule(*blocks), *more]))

        def allowed(sender, to, spec, family):
            return own_node(sender, to) or any(self.lets_in(one, sender, to, family) for one in blocks) or \
                wanted is not None and wanted(sender)
        self.check(allowed, senders, SUBJECTS, ("tcp:80",))

    def check_out(self, *blocks, targets=(*PODS, "outside")):
        self.policies(policy("x/out", {"app": "x-a"}, ["Egress"], egress=[egress(*blocks)]),
                      policy("x/out-b", {"app": "x-b"}, ["Egress"], egress=[egress(*blocks)]))
        self.check(lambda sender, to, spec, family: inside(blocks, self.addresses[to][family]), SUBJECTS, targets, ("tcp:80",))

    def test_pods_and_outside(self):
        """networkpolicy 12, 13: a block matches whoever has the address, pods too, and only its own family."""
        for cidr in ("0.0.0.0/0", "::/0", "10.244.1.0/24", "fd00:10:244:2::/64", "10.244.0.0/16",
                     f"{self.addresses['y/a'][4]}/32", f"{self.addresses['y/b'][6]}/128",
                     f"{self.addresses['outside'][4]}/32", "fd00:172:30::/64"):
            with self.subTest(cidr=cidr):
                self.check_in(block(cidr))
                self.check_out(block(cidr))

    def test_except(self):
        """networkpolicy 12: less each of the excepts, of either family, nested or side by side."""
        outside = self.addresses["outside"]
        for given in (block("0.0.0.0/0", "10.244.1.0/24"), block("0.0.0.0/0", "10.244.1.0/24", f"{outside[4]}/32"),
                      block("::/0", "fd00:10:244:2::/64"), block("10.244.0.0/16", f"{self.addresses['y/a'][4]}/32"),
                      block("10.244.0.0/15", "10.244.0.0/16", "10.244.2.0/24"), block("::/1", "fd00:172:30::/64")):
            with self.subTest(block=given):
                self.check_in(given)
                self.check_out(given)

    def test_an_excepted_address_by_another_rule(self):
        """networkpolicy 12: except denies nothing: another item, rule, or selector may allow it."""
        hole = block("0.0.0.0/0", "10.244.0.0/16")
        self.check_in(hole, block("10.244.2.0/24"))
        self.check_in(hole, block("10.244.0.0/16", "10.244.1.0/24"))
        self.check_in(hole, more=[rule(peer(namespaces={"ns": "y"}))], wanted=lambda sender: sender[0] == "y")
        self.check_in(hole, more=[rule(peer(namespaces={"ns": "y"}), ports=[port(81)])])

    def test_overlapping_blocks(self):
        """networkpolicy 12: of two policies with overlapping blocks either may allow."""
        self.policies(policy("x/p", {}, ["Ingress"], ingress=[rule(block("10.244.0.0/16", "10.244.1.0/24"), ports=[port(80)])]),
                      policy("x/q", {}, ["Ingress"], ingress=[rule(block("10.244.1.0/24"), ports=[port(81)])]),
                      policy("x/r", {}, ["Ingress"], ingress=[rule(block("fd00::/8", "fd00:10:244:1::/64"), ports=[port(80)])]))
        first, second = block("10.244.0.0/16", "10.244.1.0/24"), block("fd00::/8", "fd00:10:244:1::/64")

        def allowed(sender, to, spec, family):
            source = self.source(sender, to, family)
            return own_node(sender, to) or inside([first, second] if spec == "tcp:80" else [block("10.244.1.0/24")], source)
        self.check(allowed, EVERYBODY, SUBJECTS, ("tcp:80", "tcp:81"))

    def test_blocks_and_selectors_in_one_rule(self):
        """networkpolicy 12: items of one list are alternatives."""
        self.check_in(block(f"{self.addresses['outside'][4]}/32"), peer({"pod": "c"}), wanted=lambda sender: sender == "x/c")

    def test_families(self):
        """networkpolicy 13: all of IPv4 opens no IPv6, and the other way round; each packet is judged by its own family."""
        self.check_in(block("0.0.0.0/0"))
        self.check_in(block("::/0"))
        self.check_out(block("0.0.0.0/0"), targets=(*PODS, *HOSTS))
        self.check_out(block("::/0"), targets=(*PODS, *HOSTS))

    def test_the_internet(self):
        """networkpolicy 12, 14: egress to an address outside; masquerading comes after the verdict."""
        self.policies(policy("x/out", {}, ["Egress"], egress=[
            egress(block("192.0.2.0/24", "192.0.2.128/25"), block("2001:db8::/32"), ports=[port(9000)])]))
        self.assert_connected([{"from": sender, "to": to, "port": 9000, "timeout": "4s", "expect": "outside",
                                "seen": self.addresses[node_of(sender)][family]}
                               for sender in SUBJECTS for family, to in INTERNET.items()])
        self.check_none(SUBJECTS, ["outside", *NODES, "y/a", "y/b"])
        holes = [block("192.0.2.0/24", "192.0.2.1/32"), block("2001:db8::/64", "2001:db8::1/128")]
        self.policies(policy("x/out", {}, ["Egress"], egress=[egress(*holes)]))
        self.assert_all("dropped", [{"from": sender, "to": to, "port": 9000, "timeout": "400ms"}
                                    for sender in SUBJECTS for to in INTERNET.values()])

    def test_backend_of_a_service(self):
        """networkpolicy 14, 29: ingress sees the source after SNAT; without SNAT it sees the client."""
        node, near, far = (self.addresses[name][4] for name in ("node-1", "x/a", "x/b"))
        self.lab.exec("node-1", "nft", "add table ip lpol; add chain ip lpol pre { type nat hook prerouting priority -150; };"
                      "add chain ip lpol post { type nat hook postrouting priority 50; };"
                      f"add rule ip lpol pre ip daddr {node} tcp dport 1080 dnat to {near}:80;"
                      f"add rule ip lpol pre ip daddr {node} tcp dport 1081 ct mark set 1 dnat to {far}:80;"
                      "add rule ip lpol post ct mark 1 masquerade")
        self.addCleanup(self.lab.exec, "node-1", "nft", "delete table ip lpol")
        gateway = self.seen["node-1", "x/b", 4]
        outside = self.addresses["outside"][4]
        for cidr, plain, masqueraded in ((f"{outside}/32", True, False), (f"{gateway}/32", False, True)):
            self.policies(policy("x/in", {}, ["Ingress"], ingress=[rule(block(cidr))]))
            answers = self.lab.probe(*({"from": "outside", "to": node, "port": number, "timeout": "4s" if wanted else "400ms"}
                                       for number, wanted in ((1080, plain), (1081, masqueraded))))
            self.assertEqual([(answer["result"], answer.get("client")) for answer in answers],
                             [("connected", outside) if plain else ("dropped", None),
                              ("connected", gateway) if masqueraded else ("dropped", None)])

    # --- 28 ---

    def test_host_network_is_no_peer(self):
        """networkpolicy 28, 10: no selector, be it of their labels, lets in what hostNetwork pods of another node send."""
        self.policies(policy("x/in", expression_in_ab(), ["Ingress"], ingress=[rule(peer({"host": "yes"}), peer({}, {}))]))
        self.check(lambda sender, to, *_: own_node(sender, to) or "/" in sender, [*NODES, "y/a"], SUBJECTS, ("tcp:80", "icmp"))

    def test_host_network_is_no_subject(self):
        """networkpolicy 28: a policy for all pods of their namespace isolates them neither way."""
        self.policies(policy("x/deny", {}, ["Ingress", "Egress"]))
        self.assert_connected([{"from": sender, "to": to, "port": 8080, "family": family, "timeout": "4s", "expect": to}
                               for sender in ("y/a", "y/b", *HOSTS) for to in ("x/h1", "x/h2") for family in (4, 6)])
        self.check_all(NODES, ["y/a", "y/b", "outside"])

    def test_nodes_by_address(self):
        """networkpolicy 26, 28: another node is let in by a block with its address, or that which its packets have; one's own always."""
        self.check_in(*(block(f"{self.addresses[node][family]}/{bits}") for node in NODES for family, bits in ((4, 32), (6, 128))))
        self.check_in(*(block(f"{self.seen[node, 'x/a', 4]}/32") for node in NODES))

    def test_egress_to_nodes(self):
        """networkpolicy 28: to a node's address by a block with it."""
        self.policies(policy("x/out", {}, ["Egress"], egress=[egress(block(f"{self.addresses['node-1'][4]}/32"))]))
        self.check(lambda sender, to, spec, family: to == "node-1" and family == 4, SUBJECTS, HOSTS)


def expression_in_ab():
    return {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["a", "b"]}]}


def inside(blocks, address):
    address = ipaddress.ip_address(address)
    return any(address in ipaddress.ip_network(given["ipBlock"]["cidr"], strict=False) and
               not any(address in ipaddress.ip_network(hole) for hole in given["ipBlock"].get("except", ()))
               for given in blocks if "ipBlock" in given)


if __name__ == "__main__":
    main()
