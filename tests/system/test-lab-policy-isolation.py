#!/usr/bin/python3 -B
"""Who is isolated by a NetworkPolicy, in which direction, and how policies add up: networkpolicy 1 to 6 with packets, between pods on
one node and on two, from and to nodes and outside, in both families."""
# time limit: 400 s
from policylab import (EVERYTHING, HOSTS, PODS, PolicyCase, block, egress, expression, expressions, main, own_node, peer, policy,
                       port, rule)

A = {"pod": "a"}


class Isolation(PolicyCase):
    # --- 1: no policy, and one direction ---

    def test_no_policy(self):
        """networkpolicy 1: without a policy everything passes."""
        self.check_all([*PODS, *HOSTS], ["x/a", "x/b", "z/a"], EVERYTHING)
        self.check_all(["x/a", "x/b"], HOSTS, ("tcp:80", "udp:80", "icmp"))

    def test_ingress_isolation_leaves_egress(self):
        """networkpolicy 1, 6: denied to the pod, not from it, and nobody else is touched."""
        self.policies(policy("x/deny", A, ["Ingress"]), policy("x/deny-b", {"pod": "b"}, ["Ingress"]))
        self.check(own_node, [*PODS, *HOSTS], ["x/a", "x/b"], EVERYTHING)
        self.check_all(["x/a", "x/b"], ["x/c", "y/a", "y/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))
        self.check_all(["x/c", "y/a", *HOSTS], ["y/b", "z/a", "z/b", "x/c"])

    def test_egress_isolation_leaves_ingress(self):
        """networkpolicy 1, 5, 6: policyTypes [Egress] without rules denies all egress and no ingress."""
        self.policies(policy("x/deny", A, ["Egress"]), policy("x/deny-b", {"pod": "b"}, ["Egress"]))
        self.check_none(["x/a", "x/b"], ["x/c", "y/a", "y/b", "z/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))
        self.check_all(["x/c", "y/a", "y/b", *HOSTS], ["x/a", "x/b"], EVERYTHING)

    # --- 2: both sides ---

    def test_both_sides_must_allow(self):
        """networkpolicy 2: x/a may send to y only, y/a and y/b accept from x/a only."""
        to_y = [egress(peer(namespaces={"ns": "y"}))]
        from_a = [rule(peer({"pod": "a"}, {"ns": "x"}))]
        self.policies(policy("x/out", A, ["Egress"], egress=to_y), policy("y/in", {}, ["Ingress"], ingress=from_a))

        def allowed(sender, to, *_):
            if own_node(sender, to):
                return True
            if sender == "x/a" and to[0] != "y":
                return False
            return to[0] != "y" or sender == "x/a"
        self.check(allowed, ["x/a", "x/b", "x/c", "z/a", "y/b", *HOSTS], ["y/a", "y/b", "z/a", "z/b"])

    def test_one_side_alone_is_not_enough(self):
        """networkpolicy 2: egress allowed, ingress not; and the other way round; on one node and on two."""
        to_all, from_all = [egress()], [rule()]
        self.policies(policy("x/out", A, ["Egress"], egress=to_all), policy("y/in", {}, ["Ingress"]))
        self.check_none(["x/a"], ["y/a", "y/b"])
        self.policies(policy("x/out", A, ["Egress"]), policy("y/in", {}, ["Ingress"], ingress=from_all))
        self.check_none(["x/a"], ["y/a", "y/b"])
        self.policies(policy("x/out", A, ["Egress"], egress=to_all), policy("y/in", {}, ["Ingress"], ingress=from_all))
        self.check_all(["x/a"], ["y/a", "y/b"], EVERYTHING)

    # --- 3: union ---

    def test_policies_add_up(self):
        """networkpolicy 3: whatever their names and their order."""
        parts = [policy("x/m", {}, ["Ingress"]),
                 policy("x/{}", {}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "y"}), ports=[port(80)])]),
                 policy("x/{}", {}, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "z"}), ports=[port(81)])])]

        def allowed(sender, to, spec, *_):
            return own_node(sender, to) or (sender[0], spec) in (("y", "tcp:80"), ("z", "tcp:81"))
        for names in (("b", "c"), ("z", "a")):
            for order in (1, -1):
                made = [parts[0]]
                for part, name in zip(parts[1:], names):
                    made.append({**part, "metadata": {**part["metadata"], "name": name}})
                self.policies()
                for one in made[::order]:
                    self.put(one)
                self.settle()
                self.check(allowed, ["x/c", "y/a", "y/b", "z/a", "z/b", *HOSTS], ["x/a", "x/b"], ("tcp:80", "tcp:81"))

    def test_there_is_no_deny_rule(self):
        """networkpolicy 3: a default deny beside an allow takes nothing away."""
        self.policies(policy("x/allow", {}, ["Ingress", "Egress"], ingress=[rule()], egress=[egress()]),
                      policy("x/deny", {}, ["Ingress", "Egress"]))
        self.check_all(["x/a", "y/a", "y/b", *HOSTS], ["x/b", "x/c"], EVERYTHING)
        self.check_all(["x/a", "x/b"], ["z/a", *HOSTS])

    # --- 4: whom podSelector selects ---

    def isolated(self, pods, names):
        """With that podSelector just these pods, and all of them, are isolated."""
        self.policies(policy("x/deny", pods, ["Ingress"]))
        self.check(lambda sender, to, *_: to not in names, ["z/a", "z/b"], [*(name for name in PODS if name[0] != "z"), "z/a", "z/b"],
                   ("tcp:80",))

    def test_empty_or_absent_selector(self):
        """networkpolicy 4: all pods of the policy's namespace, and of no other."""
        self.isolated({}, ["x/a", "x/b", "x/c"])
        self.isolated(None, ["x/a", "x/b", "x/c"])

    def test_selectors(self):
        """networkpolicy 4: each operator, alone and together; a pod that lacks the key is selected by NotIn and DoesNotExist."""
        self.label("Pod", "x/c", pod=None)
        for pods, names in (
                ({"pod": "b"}, ["x/b"]),
                ({"pod": "a", "app": "x-b"}, []),
                ({"pod": "a", "app": "x-a"}, ["x/a"]),
                (expressions(expression("pod", "In", "a", "b", "nobody")), ["x/a", "x/b"]),
                (expressions(expression("pod", "NotIn", "a")), ["x/b", "x/c"]),
                (expressions(expression("pod", "Exists")), ["x/a", "x/b"]),
                (expressions(expression("pod", "DoesNotExist")), ["x/c"]),
                (expressions(expression("pod", "Exists"), expression("pod", "NotIn", "b")), ["x/a"]),
                ({"matchLabels": {"app": "x-c"}, **expressions(expression("pod", "DoesNotExist"))}, ["x/c"]),
                ({"matchLabels": {"app": "x-c"}, **expressions(expression("pod", "In", "a", "c"))}, [])):
            with self.subTest(selector=pods):
                self.isolated(pods, names)

    # --- 5: policyTypes ---

    def test_types_absent(self):
        """networkpolicy 5: Ingress always; Egress if there is an egress rule."""
        self.policies(policy("x/p", A), policy("x/q", {"pod": "b"}, egress=[egress(block("0.0.0.0/0"), block("::/0"), ports=[port(81)])]),
                      policy("y/p", A, egress=[]))
        self.check(own_node, ["x/c", "y/b", *HOSTS], ["x/a", "x/b", "y/a"])
        self.check_all(["x/a", "y/a"], ["z/a", "z/b", "outside"])
        self.check(lambda sender, to, spec, _: spec == "tcp:81", ["x/b"], ["z/a", "z/b"], EVERYTHING)

    def test_a_section_without_its_type(self):
        """networkpolicy 5: ingress rules without type Ingress, egress rules without type Egress: ignored."""
        self.policies(policy("x/p", A, ["Egress"], ingress=[rule(peer({}))], egress=[egress()]),
                      policy("x/q", {"pod": "b"}, ["Ingress"], ingress=[rule()], egress=[egress(peer({"no": "body"}))]))
        self.check_all(["x/a", "x/b", "y/a", "outside"], ["z/a", "z/b"])
        self.check_all(["y/a", "y/b", "outside"], ["x/a", "x/b"])

    # --- 6: no rules, and the empty rule ---

    def test_no_rules_and_the_empty_rule(self):
        """networkpolicy 6: an empty list denies all, null too; one empty rule allows all."""
        for rules in ([], None):
            self.policies(policy("x/p", {}, ["Ingress", "Egress"], ingress=rules, egress=rules))
            self.check(own_node, ["x/c", "y/a", "y/b", *HOSTS], ["x/a", "x/b"], EVERYTHING)
            self.check_none(["x/a", "x/b"], ["y/a", "y/b", *HOSTS])
        self.policies(policy("x/p", {}, ["Ingress", "Egress"], ingress=[{}], egress=[{}]))
        self.check_all(["x/c", "y/a", "y/b", *HOSTS], ["x/a", "x/b"], EVERYTHING)
        self.check_all(["x/a", "x/b"], ["y/a", "y/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))


if __name__ == "__main__":
    main()
