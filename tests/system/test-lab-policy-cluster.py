#!/usr/bin/python3 -B
"""ClusterNetworkPolicy: tiers, priorities, actions, subjects, peers, ports, patches: clusternetworkpolicy 1 to 10 with packets."""
# time limit: 400 s
import time

from labtest import pod
from policylab import (EVERYTHING, HOSTS, NODES, PODS, PolicyCase, cluster_policy, egress, expression, expressions, main, named_pod,
                       node_of, own_node, peer, policy, rule)

TARGETS = ["x/a", "x/b"]
SENDERS = ["x/c", "y/a", "y/b", "z/a", "z/b", *HOSTS]
X = {"namespaces": {"matchLabels": {"ns": "x"}}}


def namespaces(**labels):
    return {"namespaces": {"matchLabels": labels}}


def pods(pod_labels, **labels):
    return {"pods": {"namespaceSelector": {"matchLabels": labels}, "podSelector": {"matchLabels": pod_labels}}}


def accept(*peers, **more):
    return action("Accept", *peers, **more)


def deny(*peers, **more):
    return action("Deny", *peers, **more)


def skip(*peers, **more):
    return action("Pass", *peers, **more)


def action(what, *peers, to=False, protocols=None):
    return {"action": what, "to" if to else "from": list(peers), **({"protocols": protocols} if protocols is not None else {})}


def tcp(number=None, **bounds):
    return proto("tcp", number, **bounds)


def udp(number=None, **bounds):
    return proto("udp", number, **bounds)


def proto(name, number=None, **bounds):
    return {name: {"destinationPort": {"range": bounds} if bounds else {"number": number}}}


ALL, Y, Z = namespaces(), namespaces(ns="y"), namespaces(ns="z")


class Cluster(PolicyCase):
    MORE = [named_pod("x/n1", "node-1", ["web=TCP:80", "TCP:81"], {"pod": "n"}),
            named_pod("x/n2", "node-2", ["TCP:80", "web=TCP:81"], {"pod": "n"})]

    def check_in(self, allowed_from, ports=("tcp:80",), senders=SENDERS, targets=TARGETS):
        """Who of the senders reaches x."""
        self.check(lambda sender, to, spec, family: own_node(sender, to) or (
            allowed_from(sender, spec) if callable(allowed_from) else sender in allowed_from), senders, targets, ports)

    def everybody_but(self, *names):
        return [name for name in [*PODS, *HOSTS] if not name.startswith(names)]

    # --- 1: tiers ---

    def test_admin_before_networkpolicy(self):
        """clusternetworkpolicy 1, 3: Admin's Accept and Deny are final; the rest is for NetworkPolicy."""
        np = policy("x/np", {}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "z"}))])
        self.policies(np, cluster_policy("admin", subject=X, ingress=[accept(Y), deny(Z, protocols=[tcp(81)])]))
        self.check_in(lambda sender, spec: sender[0] == "y" or sender[0] == "z" and spec != "tcp:81", EVERYTHING)

    def test_baseline_behind_networkpolicy(self):
        """clusternetworkpolicy 1: Baseline counts only for pods that no NetworkPolicy of that direction selects."""
        self.policies(policy("x/np", {"pod": "a"}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "z"}))]),
                      policy("x/out", {"pod": "b"}, ["Egress"], egress=[egress()]),
                      cluster_policy("base", "Baseline", subject=X, ingress=[accept(Y), deny(ALL)]))

        def allowed(sender, to, *_):
            return own_node(sender, to) or (sender[0] == "z" if to == "x/a" else sender[0] == "y" or sender in HOSTS)
        self.check(allowed, SENDERS, TARGETS, ("tcp:80", "udp:80", "icmp"))

    def test_default_is_allowed(self):
        """clusternetworkpolicy 1: what no tier decides passes."""
        self.policies(cluster_policy("admin", subject=X, ingress=[deny(Y, protocols=[tcp(81)])]),
                      cluster_policy("base", "Baseline", subject=X, ingress=[deny(Z, protocols=[udp(start=1, end=65535)])]))
        self.check_in(lambda sender, spec: not (sender[0] == "y" and spec == "tcp:81" or sender[0] == "z" and spec.startswith("udp")),
                      EVERYTHING)

    def test_tiers_of_egress(self):
        """clusternetworkpolicy 1: the same for what pods send."""
        self.policies(policy("x/np", {"pod": "a"}, ["Egress"], egress=[egress(peer(namespaces={"ns": "z"}))]),
                      cluster_policy("admin", subject=X, egress=[accept(pods({"pod": "a"}, ns="y"), to=True),
                                                                 deny(pods({"pod": "b"}, ns="z"), to=True)]),
                      cluster_policy("base", "Baseline", subject=X, egress=[deny(Y, to=True)]))

        def allowed(sender, to, *_):
            return to == "y/a" or to != "z/b" and (to == "z/a" if sender == "x/a" else to[0] != "y")
        self.check(allowed, TARGETS, ["y/a", "y/b", "y/c", "z/a", "z/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))

    # --- 2: priorities and order ---

    def test_priority(self):
        """clusternetworkpolicy 2: the lower number first, whatever the names; 0 and 1000 too."""
        for low, high in ((0, 1000), (0, 1), (999, 1000), (50, 51)):
            for names in (("a", "b"), ("b", "a")):
                for tier in ("Admin", "Baseline"):
                    self.policies(cluster_policy(names[0], tier, low, X, ingress=[accept(Y)]),
                                  cluster_policy(names[1], tier, high, X, ingress=[deny(ALL)]))
                    self.check_in(["y/a", "y/b", *HOSTS], senders=["x/c", "y/a", "y/b", "z/a", "outside"])
                    self.policies(cluster_policy(names[0], tier, high, X, ingress=[accept(Y)]),
                                  cluster_policy(names[1], tier, low, X, ingress=[deny(ALL)]))
                    self.check_in(HOSTS, senders=["x/c", "y/a", "y/b", "z/a", "outside"])

    def test_order_of_rules(self):
        """clusternetworkpolicy 2: the first of one object that matches."""
        first = accept(pods({"pod": "a"}, ns="y"))
        self.policies(cluster_policy("p", subject=X, ingress=[first, deny(Y), accept(ALL)]))
        self.check_in(self.everybody_but("y/b", "y/c"))
        self.policies(cluster_policy("p", subject=X, ingress=[deny(Y), first, accept(ALL)]))
        self.check_in(self.everybody_but("y"))
        many = [deny(pods({"pod": name}, ns=ns)) for ns in "yz" for name in "abcdefghijk"] + [accept(ALL), deny(ALL)]
        self.policies(cluster_policy("p", subject=X, ingress=many))
        self.check_in(["x/c", *HOSTS])

    # --- 3: actions ---

    def test_accept_is_final_for_its_direction_only(self):
        """clusternetworkpolicy 3: the other side's direction is still judged."""
        self.policies(cluster_policy("out", subject=namespaces(ns="y"), egress=[accept(ALL, to=True)]),
                      policy("x/deny", {}, ["Ingress"]))
        self.check_none(["y/a", "y/b"], TARGETS)
        self.policies(cluster_policy("out", subject=namespaces(ns="y"), egress=[deny(X, to=True)]),
                      cluster_policy("in", subject=X, ingress=[accept(ALL)]))
        self.check_in(self.everybody_but("y"))

    def test_pass(self):
        """clusternetworkpolicy 3: skips what follows in its tier, in this object and in later ones; then NetworkPolicy decides, or
        Baseline."""
        rest = [cluster_policy("p2", "Admin", 20, X, ingress=[deny(ALL)]),
                cluster_policy("base", "Baseline", subject=X, ingress=[deny(Y)])]
        self.policies(cluster_policy("p1", "Admin", 10, X, ingress=[skip(Y), skip(Z), deny(Z)]), *rest)
        self.check_in(["z/a", "z/b", *HOSTS])
        self.policies(cluster_policy("p1", "Admin", 10, X, ingress=[skip(Y), skip(Z), deny(Z)]), *rest,
                      policy("x/np", {}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "y"}))]))
        self.check_in(["y/a", "y/b"])
        self.policies(cluster_policy("b1", "Baseline", 10, X, ingress=[skip(Y)]),
                      cluster_policy("b2", "Baseline", 20, X, ingress=[deny(ALL)]))
        self.check_in(["y/a", "y/b", *HOSTS])

    # --- 4: subjects ---

    def test_subjects(self):
        """clusternetworkpolicy 4: all pods of namespaces, or some; in any namespace."""
        all_but_z = [name for name in PODS if name[0] != "z"]
        for subject, names in ((namespaces(), PODS), (namespaces(ns="x"), ["x/a", "x/b", "x/c"]),
                               (pods({"pod": "a"}, ns="x"), ["x/a"]), (pods({"pod": "b"}), ["x/b", "y/b", "z/b"]),
                               ({"namespaces": expressions(expression("ns", "NotIn", "z"))}, all_but_z),
                               (namespaces(ns="none"), [])):
            with self.subTest(subject=subject):
                self.policies(cluster_policy("p", subject=subject, ingress=[deny(namespaces(ns="y"))]))
                self.check(lambda sender, to, *_: to not in names, ["y/a", "y/b"], PODS, ("tcp:80",))

    # --- 5: peers ---

    def test_peers(self):
        """clusternetworkpolicy 5: namespaces and pods; one of several is enough; nodes and outside are none of them."""
        for peers, gone in (([Y], "y"), ([pods({"pod": "a"}, ns="y"), pods({"pod": "b"}, ns="z")], ("y/a", "z/b")),
                            ([pods({"pod": "b"})], ("y/b", "z/b", "x/b")), ([ALL], ("x", "y", "z"))):
            with self.subTest(peers=peers):
                self.policies(cluster_policy("p", subject=X, ingress=[deny(*peers)]))
                self.check_in(self.everybody_but(*([gone] if isinstance(gone, str) else gone)), EVERYTHING)

    def test_networks(self):
        """clusternetworkpolicy 5: networks match pods, nodes and outside, and ICMP."""
        ip = {name: self.lab.ips(name) for name in ["y/a", "y/b", "z/a", "z/b", *HOSTS]}
        for networks, hit in (([f"{ip['outside'][4]}/32"], lambda to, family: to == "outside" and family == 4),
                              (["10.244.2.0/24"], lambda to, family: "/" in to and node_of(to) == "node-2" and family == 4),
                              (["fd00:10:244:1::/64", "172.30.0.0/24"], lambda to, family: to in HOSTS and family == 4 or
                               "/" in to and node_of(to) == "node-1" and family == 6),
                              (["0.0.0.0/0", "::/0"], lambda to, family: True)):
            with self.subTest(networks=networks):
                self.policies(cluster_policy("p", subject=X, egress=[deny({"networks": networks}, to=True)]))
                self.check(lambda sender, to, spec, family: not hit(to, family), TARGETS, list(ip), ("tcp:80", "icmp"))
        self.policies(cluster_policy("p", subject=X, egress=[accept({"networks": ["10.244.0.0/16"]}, to=True),
                                                             deny({"networks": ["0.0.0.0/0", "::/0"]}, to=True)]))
        self.check(lambda sender, to, spec, family: "/" in to and family == 4, TARGETS, list(ip), ("tcp:80", "icmp"))

    def test_nodes(self):
        """clusternetworkpolicy 5: nodes by their labels: the addresses of their status."""
        one = {"nodes": {"matchLabels": {"kubernetes.io/hostname": "node-1"}}}
        self.policies(cluster_policy("p", subject=X, egress=[deny(one, to=True)]))
        self.check(lambda sender, to, *_: to != "node-1", TARGETS, [*HOSTS, "y/a", "y/b"], ("tcp:80", "udp:80", "icmp"))
        self.policies(cluster_policy("p", subject=X, egress=[accept({"nodes": {}}, to=True, protocols=[tcp(9000)]),
                                                             deny({"networks": ["0.0.0.0/0", "::/0"]}, to=True)]))
        self.check(lambda sender, to, spec, _: to in NODES and spec == "tcp:80", TARGETS, [*HOSTS, "y/a"], ("tcp:80", "udp:80", "icmp"))

    def test_host_network_pods(self):
        """clusternetworkpolicy 4, 5: never a subject and never a peer."""
        self.lab.apply(pod("x/host", "node-2", ("TCP:8080",), {"pod": "host"}, host_network=True))
        self.addCleanup(self.lab, "delete", "pod", "x/host")
        self.policies(cluster_policy("p", subject=namespaces(), ingress=[deny(pods({"pod": "host"}))],
                                     egress=[deny(pods({"pod": "host"}), to=True)]))
        self.check_all(["node-2", "y/a"], ["x/a", "y/b"])
        self.check_all(["x/a"], ["node-2"])
        self.policies(cluster_policy("p", subject=pods({"pod": "host"}), ingress=[deny(ALL)],
                                     egress=[deny({"networks": ["0.0.0.0/0", "::/0"]}, to=True)]))
        self.assert_connected([{"from": sender, "to": "x/host", "port": 8080, "family": family, "timeout": "4s", "expect": "x/host"}
                               for sender in ("y/a", "y/b", *HOSTS) for family in (4, 6)])
        self.check_all(["node-2"], ["y/a", "y/b", "outside"])

    # --- 6: protocols ---

    def test_protocols(self):
        """clusternetworkpolicy 6: by number, by range, all of them; absent: everything, ICMP too."""
        for protocols, denied in (([tcp(80)], ["tcp:80"]), ([udp(start=70, end=80)], ["udp:80"]),
                                  ([tcp(start=80, end=81)], ["tcp:80", "tcp:81"]),
                                  ([udp(start=1, end=65535)], ["udp:80", "udp:81"]), ([tcp(81), udp(80)], ["tcp:81", "udp:80"]),
                                  ([proto("sctp", 80)], []), ([tcp(start=1, end=65535)], ["tcp:80", "tcp:81"]), (None, EVERYTHING)):
            with self.subTest(protocols=protocols):
                self.policies(cluster_policy("p", subject=X, ingress=[deny(Y, protocols=protocols)]))
                self.check_in(lambda sender, spec: sender[0] != "y" or spec not in denied, EVERYTHING, ["y/a", "y/b", "z/a"])

    def test_named_ports(self):
        """clusternetworkpolicy 6: destinationNamedPort, resolved for each pod."""
        web = {"x/n1": "tcp:80", "x/n2": "tcp:81"}
        named = [{"destinationNamedPort": "web"}]
        self.policies(cluster_policy("p", subject=X, ingress=[deny(ALL, protocols=named)]))
        self.check(lambda sender, to, spec, _: web.get(to) != spec, ["y/a", "y/b"], [*web, *TARGETS], ("tcp:80", "tcp:81"))
        self.policies(cluster_policy("p", subject=namespaces(ns="y"), egress=[deny(X, to=True, protocols=named)]))
        self.check(lambda sender, to, spec, _: web.get(to) != spec, ["y/a", "y/b"], [*web, *TARGETS], ("tcp:80", "tcp:81"))

    # --- 7 to 9 ---

    def test_unknown_peers_fail_closed(self):
        """clusternetworkpolicy 7: Accept then matches nothing; Deny and Pass deny all."""
        unknown = {"planets": {"matchLabels": {}}}
        deny_rest = cluster_policy("rest", "Admin", 900, X, ingress=[accept(Y), deny(ALL)])
        self.policies(cluster_policy("p", "Admin", 10, X, ingress=[accept(unknown)]), deny_rest)
        self.check_in(["y/a", "y/b", *HOSTS])
        for what in ("Deny", "Pass"):
            self.policies(cluster_policy("p", "Admin", 10, X, ingress=[action(what, unknown)]), deny_rest)
            self.check_in([])
            self.policies(cluster_policy("p", "Admin", 10, X, egress=[action(what, unknown, to=True)]))
            self.check_none(TARGETS, ["y/a", "y/b", "outside"])
        self.check_all(["y/a", "z/b"], ["z/a", "y/b"])

    def test_no_rules(self):
        """clusternetworkpolicy 8: nothing happens in a direction without rules."""
        self.policies(cluster_policy("p", subject=namespaces()), cluster_policy("q", subject=namespaces(), ingress=[], egress=[]),
                      cluster_policy("r", "Baseline", subject=X, egress=[deny(Z, to=True)]))
        self.check_all(SENDERS, TARGETS, EVERYTHING)
        self.check(lambda sender, to, *_: to[0] != "z", TARGETS, ["y/a", "z/a", "z/b", "outside"])

    def test_deny_is_silent(self):
        """clusternetworkpolicy 9: no refusal, for open and for closed ports, in both directions; check() demands it of every deny."""
        self.policies(cluster_policy("p", subject=X, ingress=[deny(ALL)], egress=[deny(ALL, to=True)]))
        self.check_none(["y/a", "y/b"], TARGETS, ("tcp:80", "tcp:99", "udp:80", "udp:99", "icmp"))
        self.check_none(TARGETS, ["y/a", "y/b"], ("tcp:80", "tcp:99", "udp:80", "udp:99", "icmp"))

    # --- 10: patches ---

    def test_patches(self):
        """clusternetworkpolicy 10: rules swapped, priority, action, subject and labels changed: realised within 10 s (here far less)."""
        def patched(**changes):
            def function(item):
                item["spec"].update(changes)
            began = time.monotonic()
            self.change("ClusterNetworkPolicy", "p", function)
            self.settle()
            self.assertLess(time.monotonic() - began, 10)
        self.policies(cluster_policy("p", "Admin", 10, X, ingress=[accept(Y), deny(Y), deny(Z)]),
                      cluster_policy("q", "Admin", 20, X, ingress=[deny(Y), accept(Z)]))
        self.check_in(self.everybody_but("z"))
        patched(ingress=[deny(Y), accept(Y), deny(Z)])
        self.check_in(self.everybody_but("y", "z"))
        patched(ingress=[accept(Y), deny(Z)])
        self.check_in(self.everybody_but("z"))
        patched(priority=30)
        self.check_in(self.everybody_but("y"))
        patched(tier="Baseline")
        self.check_in(self.everybody_but("y"))
        patched(tier="Admin", priority=0)
        self.check_in(self.everybody_but("z"))
        patched(subject=pods({"pod": "a"}, ns="x"))
        self.check(lambda sender, to, *_: own_node(sender, to) or sender[0] not in ("z" if to == "x/a" else "y"), SENDERS, TARGETS)
        patched(subject=X)
        self.label("Namespace", "z", ns="y")
        self.settle()
        self.check_in(SENDERS)
        self.label("Pod", "y/a", pod="other")
        patched(ingress=[deny(pods({"pod": "other"}))], priority=5)
        self.check_in(lambda sender, spec: sender in ("x/c", *HOSTS))


if __name__ == "__main__":
    main()
