#!/usr/bin/python3 -B
"""Who did it (issue 5, item 5): trace names what packets find, counters count each rule, the log says who and is bounded."""
# time limit: 600 s
import json
import os
import re
import signal
import time

import labtest
from labtest import LabCase, pod

POD_PORTS = ("TCP:80", "TCP:81", "UDP:80")
FLOOD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[3])):
    sock.sendto(b"x" * 64, (sys.argv[1], int(sys.argv[2])))
"""


def namespace(name, annotations=None, **labels):
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels, **({"annotations": annotations} if annotations else {})}}


def np(name, pods, types, **rules):
    """A NetworkPolicy of namespace shop."""
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": pods}, "policyTypes": types, **rules}}


def cnp(name, tier, priority, **rules):
    """A ClusterNetworkPolicy about the pods of namespace shop."""
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": name},
            "spec": {"tier": tier, "priority": priority, "subject": {"namespaces": {"matchLabels": {"env": "prod"}}}, **rules}}


def tcp(number):
    return {"tcp": {"destinationPort": {"number": number}}}


TEST = {"namespaces": {"matchLabels": {"env": "test"}}}
CLIENT = {"podSelector": {"matchLabels": {"role": "client"}}}
WEB = np("web", {"app": "web"}, ["Ingress"], ingress=[
    {"from": [CLIENT], "ports": [{"port": 80}]},
    {"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}]}])
EGRESS = np("clients", {"role": "client"}, ["Egress"], egress=[
    {"to": [{"podSelector": {"matchLabels": {"app": "web"}}}]}])
GUARD = cnp("guard", "Admin", 10, ingress=[
    {"name": "test to 81", "action": "Accept", "from": [TEST], "protocols": [tcp(81)]},
    {"action": "Pass", "from": [{"namespaces": {"matchLabels": {"env": "prod"}}}]},
    {"action": "Deny", "from": [TEST]}])
FLOOR = cnp("floor", "Baseline", 0, ingress=[{"action": "Deny", "from": [{"namespaces": {}}], "protocols": [tcp(81)]}])

PODS = {"shop/web": "node-1", "shop/plain": "node-1", "shop/client": "node-1", "shop/far": "node-2", "test/client": "node-2",
        "test/near": "node-1"}
LABELS = {"shop/web": {"app": "web"}, "shop/client": {"role": "client"}, "shop/far": {"role": "client"},
          "test/client": {"role": "client"}}


def everything():
    return [namespace("shop", env="prod"), namespace("test", env="test"), WEB, EGRESS, GUARD, FLOOR,
            *(pod(name, node, POD_PORTS, LABELS.get(name)) for name, node in PODS.items())]


class PolicyTrace(LabCase):
    PODS = everything()

    def ctl(self, node, *arguments, check=True):
        return self.lab.exec(node, "sluicectl", *arguments, check=check)

    def trace(self, node, questions):
        lines = self.lab("exec", node, "--", "sluicectl", "trace", "--batch", "-", "--explain",
                         stdin="".join(json.dumps(question) + "\n" for question in questions))
        answers = [json.loads(line) for line in lines.splitlines()]
        for answer in answers:
            self.assertNotIn("error", answer, answer)
        return answers

    def one(self, sender, to, port=80, protocol="tcp", node=None):
        return self.trace(node or PODS.get(sender) or PODS[to],
                          [{"from": sender, "to": to, "protocol": protocol, **({"port": port} if port else {})}])[0]

    # --- trace ---

    def questions(self):
        ends = [*PODS, "node-1", "node-2", "outside"]
        for sender in ends:
            for to in PODS:
                for family in (4, 6):
                    for protocol, port in (("tcp", 80), ("tcp", 81), ("udp", 80), ("icmp", None)):
                        yield {"from": sender, "to": to, "family": family, "protocol": protocol, **({"port": port} if port else {})}

    def traced(self, questions):
        """All answers on the way of each packet."""
        outside = self.lab.ips("outside")
        homes = {**PODS, "node-1": "node-1", "node-2": "node-2"}
        answers = [[] for _ in questions]
        pending = [(i, homes.get(question["from"], homes[question["to"]])) for i, question in enumerate(questions)]
        questions = [{**question, "from": outside[question["family"]]} if question["from"] == "outside" else question
                     for question in questions]
        for _ in range(2):
            for node in ("node-1", "node-2"):
                here = [i for i, where in pending if where == node]
                for i, answer in zip(here, self.trace(node, [questions[i] for i in here]) if here else [], strict=True):
                    answers[i].append(answer)
            pending = [(i, found[-1]["next"]) for i, found in enumerate(answers) if len(found) == 1 and found[-1]["next"]]
        return answers

    def test_everybody_to_everybody(self):
        """Verdicts are what packets find; each deny has a name; the objects give the same verdict as the flows."""
        questions = list(self.questions())
        probes = self.lab.probe(*[{**question, "timeout": "1s"} for question in questions])
        wrong, named = [], set()
        for probe, answers in zip(probes, self.traced(questions), strict=True):
            allowed = all(answer["verdict"] == "allowed" for answer in answers)
            if allowed != (probe["result"] == "connected"):
                wrong.append(f"{probe}\n  but {[answer['reason'] for answer in answers]}")
            for answer in answers:
                for decision in answer["decisions"]:
                    told = answer["explanation"][decision["direction"]]
                    if told["verdict"] != decision["verdict"] or \
                            decision["policy"] and decision["rule"] != "default deny" and not decision.get("policies") and \
                            (told["policy"], told["rule"]) != (decision["policy"], decision["rule"]):
                        wrong.append(f"{probe}: {decision}\n  but {told}")
                if answer["verdict"] == "denied":
                    if not (answer["direction"] and answer["tier"] and answer["policy"] and answer["rule"]):
                        wrong.append(f"{answer}")
                    named.add((answer["direction"], answer["policy"], answer["rule"]))
        self.assertFalse(wrong, f"{len(wrong)} of {len(questions)} wrong:\n" + "\n".join(wrong[:4]))
        self.assertEqual(named, {
            ("egress", "NetworkPolicy/shop/clients", "default deny"), ("ingress", "NetworkPolicy/shop/web", "default deny"),
            ("ingress", "ClusterNetworkPolicy/guard", "ingress[2]"), ("ingress", "ClusterNetworkPolicy/floor", "ingress[0]")})

    def test_names(self):
        """Direction, tier, policy and rule of what is allowed and of what is denied (networkpolicy 2; clusternetworkpolicy 1, 3)."""
        for sender, to, port, wanted in (
                ("shop/client", "shop/web", 80, ("allowed", "ingress", "NetworkPolicy", "NetworkPolicy/shop/web", "ingress[0]")),
                ("shop/client", "shop/web", 81, ("denied", "ingress", "NetworkPolicy", "NetworkPolicy/shop/web", "default deny")),
                ("shop/client", "test/near", 80, ("denied", "egress", "NetworkPolicy", "NetworkPolicy/shop/clients", "default deny")),
                ("test/near", "shop/web", 81, ("allowed", "ingress", "Admin", "ClusterNetworkPolicy/guard", "ingress[0]")),
                ("test/near", "shop/web", 80, ("denied", "ingress", "Admin", "ClusterNetworkPolicy/guard", "ingress[2]")),
                ("shop/web", "shop/plain", 81, ("denied", "ingress", "Baseline", "ClusterNetworkPolicy/floor", "ingress[0]")),
                ("shop/web", "shop/plain", 80, ("allowed", None, None, None, None)),
                ("test/near", "test/client", 80, ("allowed", None, None, None, None)),
                ("node-1", "shop/web", 81, ("allowed", None, None, None, None))):
            with self.subTest(sender=sender, to=to, port=port):
                answer = self.one(sender, to, port, node="node-1")
                self.assertEqual(tuple(answer[key] for key in ("verdict", "direction", "tier", "policy", "rule")), wanted, answer)
        both = self.one("shop/client", "shop/web")["decisions"]
        self.assertEqual([(one["direction"], one["policy"], one["rule"]) for one in both],
                         [("egress", "NetworkPolicy/shop/clients", "egress[0]"), ("ingress", "NetworkPolicy/shop/web", "ingress[0]")])

    def test_text(self):
        """What a person reads when a packet is denied, and with --explain also when it is not."""
        done = self.ctl("node-1", "trace", "--from", "shop/client", "--to", "shop/web", "--port", "81", check=False)
        print(done.stdout)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.splitlines()[-1], "denied: ingress of pod shop/web is denied by default deny of "
                                                       "NetworkPolicy/shop/web: no rule allows it")
        self.assertIn("egress of pod shop/client is allowed by NetworkPolicy/shop/clients, egress[0] (tier NetworkPolicy)\n", done.stdout)
        self.assertIn("      ingress[0] Accept: does not match\n        port: tcp/81 is not 80\n", done.stdout)
        self.assertRegex(done.stdout, r"ingress\[1\] Accept: does not match\n        peer: [0-9.]+ is not in 192.0.2.0/24\n")
        self.assertRegex(done.stdout, r"\n +62 INGRESS_POLICY +Pod/shop/web/eth0 +a NetworkPolicy selects the pod, and none allows it\n")
        self.assertNotIn("warning", done.stdout)
        told = self.ctl("node-1", "trace", "--from", "shop/client", "--to", "shop/web", "--port", "80")
        self.assertRegex(told, r"\n +62 INGRESS_POLICY +NetworkPolicy/shop/web ")
        self.assertNotIn("does not match", told)
        told = self.ctl("node-1", "trace", "--from", "shop/client", "--to", "shop/web", "--port", "80", "--explain")
        self.assertIn('      ingress[0] "test to 81" Accept: does not match\n        peer: namespace shop has label env=prod, not test\n', told)
        self.assertRegex(told.splitlines()[-1], r"^allowed: delivered to pod shop/web")
        told = self.lab.exec("node-1", "sluicectl", "trace", "--from", "192.0.2.200", "--to", "shop/web", "--port", "80", check=False)
        self.assertIn("        peer: address 192.0.2.200 is excepted by 192.0.2.128/25\n", told.stdout)

    # --- policies ---

    def policies(self, node, *arguments):
        return json.loads(self.ctl(node, "policies", "--json", *arguments))

    def test_policies(self):
        listed = {policy["policy"]: policy for policy in self.policies("node-1")["policies"]}
        self.assertEqual({name: (policy["tier"], policy.get("priority"), policy["pods"], policy["realized"])
                          for name, policy in listed.items()},
                         {"NetworkPolicy/shop/web": ("NetworkPolicy", None, {"ingress": 1, "egress": 0}, True),
                          "NetworkPolicy/shop/clients": ("NetworkPolicy", None, {"ingress": 0, "egress": 1}, True),
                          "ClusterNetworkPolicy/guard": ("Admin", 10, {"ingress": 3, "egress": 0}, True),
                          "ClusterNetworkPolicy/floor": ("Baseline", 0, {"ingress": 3, "egress": 0}, True)})
        self.assertTrue(all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", policy["since"]) for policy in listed.values()), listed)
        text = self.ctl("node-1", "policies")
        self.assertRegex(text, r"\nClusterNetworkPolicy/guard +Admin +10 +3 +0  yes since 2")
        for name, wanted in (("shop", 2), ("shop/web", 1), ("guard", 1), ("NetworkPolicy", 2), ("NetworkPolicy/shop/web", 1)):
            self.assertEqual(len(self.policies("node-1", name)["policies"]), wanted, name)
        done = self.ctl("node-1", "policies", "sho", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no policy sho", done.stderr)

    def counters(self, node="node-1"):
        """{(policy, rule): packets} and {(pod, direction): packets} of default denies."""
        told = self.policies(node, "--stats")
        rules = {(policy["policy"], rule["rule"]): rule["packets"] for policy in told["policies"] for rule in policy["rules"]}
        return rules, {(deny["pod"], deny["direction"]): deny["packets"] for deny in told["defaultDenies"]}

    def grown(self, before, count, seconds=10):
        """What has grown since, once 'count' counters have: the switch collects them about once a second."""
        deadline = time.monotonic() + seconds
        while True:
            grown = [{key: now[key] - old.get(key, 0) for key in now if now[key] != old.get(key, 0)}
                     for old, now in zip(before, self.counters(), strict=True)]
            if len(grown[0]) + len(grown[1]) >= count or time.monotonic() > deadline:
                return grown

    def test_stats(self):
        """Each rule's own counters, those of default denies, kept while other policies come and change and go."""
        before = self.counters()
        self.assertEqual(set(before[0]), {("NetworkPolicy/shop/web", "ingress[0]"), ("NetworkPolicy/shop/web", "ingress[1]"),
                                          ("NetworkPolicy/shop/clients", "egress[0]"), ("ClusterNetworkPolicy/floor", "ingress[0]"),
                                          *(("ClusterNetworkPolicy/guard", f"ingress[{i}]") for i in range(3))})
        self.assertEqual(set(before[1]), {("shop/web", "ingress"), ("shop/client", "egress")})
        self.assert_all("connected", [{"from": "shop/client", "to": "shop/web", "protocol": "tcp", "port": 80}] * 5)
        self.assert_all("dropped", [{"from": "shop/client", "to": "shop/web", "protocol": "udp", "port": 80, "timeout": "300ms"}] * 3)
        rules, denies = self.grown(before, 4)
        self.assertEqual(set(rules), {("NetworkPolicy/shop/clients", "egress[0]"), ("NetworkPolicy/shop/web", "ingress[0]"),
                                      ("ClusterNetworkPolicy/guard", "ingress[1]")}, rules)
        self.assertEqual(set(denies), {("shop/web", "ingress")})
        self.assertGreaterEqual(denies["shop/web", "ingress"], 3)
        self.assertGreaterEqual(rules["NetworkPolicy/shop/web", "ingress[0]"], 15)     # SYN, ACK, request, FIN of each.

        kept = self.counters()
        for more in ([{}], [{}, {"from": [CLIENT], "ports": [{"port": 9999}]}]):
            self.lab.apply(np("other", {"app": "web"}, ["Ingress"], ingress=[{"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}, *more[1:]]),
                           np("elsewhere", {"nobody": "yes"}, ["Ingress"]))
        now = self.counters()
        self.assertTrue(all(now[0][key] >= value for key, value in kept[0].items()), (kept, now))
        self.assertTrue(all(now[1][key] >= value for key, value in kept[1].items()), (kept, now))
        for name in ("other", "elsewhere"):
            self.lab("delete", "networkpolicy", f"shop/{name}")
        self.lab("wait")
        self.lab("restart", "node-1", "sluiced")
        self.lab("wait")
        now = self.counters()
        self.assertTrue(all(now[0][key] >= value for key, value in kept[0].items()), (kept, now))
        self.assertIn("ingress[0] Accept: ", self.ctl("node-1", "policies", "web", "--stats"))
        self.assertIn("    ingress of pod shop/web: ", self.ctl("node-1", "policies", "web", "--stats"))

    def test_shared(self):
        """Two policies with the same rule for the same pods share its counters, and say so."""
        self.lab.apply(np("twin", {"app": "web"}, ["Ingress"], ingress=[{"from": [CLIENT], "ports": [{"port": 80}]}]))
        try:
            told = {policy["policy"]: policy["rules"] for policy in self.policies("node-1", "--stats")["policies"]}
            self.assertEqual(told["NetworkPolicy/shop/twin"][0]["sharedWith"], ["NetworkPolicy/shop/web ingress[0]"])
            self.assertEqual(told["NetworkPolicy/shop/web"][0]["sharedWith"], ["NetworkPolicy/shop/twin ingress[0]"])
            self.assertNotIn("sharedWith", told["NetworkPolicy/shop/web"][1])
            answer = self.one("shop/client", "shop/web")
            self.assertEqual(answer["decisions"][1]["policies"], ["NetworkPolicy/shop/twin", "NetworkPolicy/shop/web"])
            answer = self.one("shop/client", "shop/web", 81)
            self.assertEqual((answer["rule"], answer["decisions"][1]["policies"]),
                             ("default deny", ["NetworkPolicy/shop/twin", "NetworkPolicy/shop/web"]))
        finally:
            self.lab("delete", "networkpolicy", "shop/twin")
            self.lab("wait")

    def assert_all(self, wanted, specs):
        for answer in self.lab.probe(*specs):
            self.assertEqual(answer["result"], wanted, answer)


class PolicyLog(LabCase):
    PODS = everything()
    ALLOWED_LOG = [("sluiced", r"policy_log\|WARN\|.*policy.log: \d+ lines could not be written: Is a directory",
                    "the test makes it so"),
                   ("ovs-vswitchd", r"(rconn|vconn_stream)\|(WARN|ERR)\|.*(Broken pipe|Connection reset by peer)",
                    "the test ends its monitors")]

    def configure(self, level, node="node-1"):
        """SIGHUP with that policy-log."""
        path = self.lab.node(node).path("sluiced.yaml")
        with open(path) as file:
            lines = [line for line in file if not line.startswith("policy-log:")]
        with open(path, "w") as file:
            file.writelines([*lines, f"policy-log: {level}\n"])
        with open(self.lab.node(node).path("run", "sluiced.pid")) as file:
            os.kill(int(file.read()), signal.SIGHUP)
        self.lab.await_output(node, ["ovs-ofctl", "-O", "OpenFlow15", "monitor", "br-int", "watch:"],
                              lambda: self.level(node) == level, 20)

    def level(self, node):
        """As the flows of shop/web have it."""
        flows = self.lab.exec(node, "sluicectl", "flows", "L3_FORWARD", "--object", "Pod/shop/web")
        found = re.findall(r"set_field:0x([0-9a-f]+)/0x6000->reg0", flows)
        return {0: "none", 0x2000: "drops", 0x4000: "all"}[int(found[0], 16) if found else 0]

    def log_path(self, node="node-1"):
        return self.lab.node(node).path("log", "policy.log")

    def lines(self, node="node-1"):
        try:
            with open(self.log_path(node)) as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def await_line(self, wanted, known, node="node-1"):
        """The first line after 'known' ones that holds 'wanted'."""
        def find():
            return next((line for line in self.lines(node)[known:] if wanted.items() <= line.items()), None)

        self.lab.await_output(node, ["tail", "-n", "0", "-F", self.log_path(node)], lambda: find() is not None, 15)
        return find()

    def probe(self, sender, to, port, protocol="tcp"):
        return self.lab.probe({"from": sender, "to": to, "protocol": protocol, "port": port, "timeout": "500ms"})[0]["result"]

    def test_1_nothing_by_default(self):
        self.assertEqual(self.probe("shop/client", "shop/web", 81), "dropped")
        self.assertEqual(self.lines(), [])

    def test_2_drops(self):
        self.configure("drops")
        known = len(self.lines())
        self.assertEqual(self.probe("shop/client", "shop/web", 81), "dropped")
        line = self.await_line({"verdict": "denied", "port": 81}, known)
        ips = {name: self.lab.ips(name) for name in ("shop/client", "shop/web")}
        self.assertEqual({key: value for key, value in line.items() if key not in ("time", "sourcePort")}, {
            "node": "node-1", "verdict": "denied", "direction": "ingress", "tier": "NetworkPolicy",
            "policy": "NetworkPolicy/shop/web", "rule": "default deny", "protocol": "tcp", "port": 81,
            "source": {"address": ips["shop/client"][4], "namespace": "shop", "pod": "client"},
            "destination": {"address": ips["shop/web"][4], "namespace": "shop", "pod": "web"}})
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

        known = len(self.lines())
        self.assertEqual(self.probe("test/client", "shop/web", 80), "dropped")     # From the other node.
        line = self.await_line({"verdict": "denied", "tier": "Admin"}, known)
        self.assertEqual((line["policy"], line["rule"], line["source"]["pod"]), ("ClusterNetworkPolicy/guard", "ingress[2]", "client"))

        known = len(self.lines())
        self.assertEqual(self.probe("shop/client", "test/near", 80, "udp"), "dropped")
        line = self.await_line({"direction": "egress"}, known)
        self.assertEqual((line["policy"], line["rule"], line["destination"]["namespace"], line["protocol"]),
                         ("NetworkPolicy/shop/clients", "default deny", "test", "udp"))
        self.assertEqual(self.probe("shop/client", "shop/web", 80), "connected")
        self.assertFalse([line for line in self.lines() if line.get("verdict") == "allowed"])

    def test_3_all(self):
        """The first packet of what is allowed, in each direction that a policy concerns."""
        self.configure("all")
        known = len(self.lines())
        self.assertEqual(self.probe("shop/client", "shop/web", 80), "connected")
        ingress = self.await_line({"verdict": "allowed", "direction": "ingress"}, known)
        egress = self.await_line({"verdict": "allowed", "direction": "egress"}, known)
        self.assertEqual([(line["policy"], line["rule"], line["tier"]) for line in (egress, ingress)],
                         [("NetworkPolicy/shop/clients", "egress[0]", "NetworkPolicy"), ("NetworkPolicy/shop/web", "ingress[0]", "NetworkPolicy")])
        self.assertEqual(self.probe("test/near", "shop/web", 81), "connected")
        line = self.await_line({"verdict": "allowed", "tier": "Admin"}, known)
        self.assertEqual((line["rule"], line["ruleName"]), ("ingress[0]", "test to 81"))
        self.assertEqual(len([line for line in self.lines()[known:] if line.get("verdict") == "allowed"]), 3)

    def test_4_annotation(self):
        """The namespace's word goes before the configuration's, for the pods that are judged."""
        self.configure("drops")
        for value, level in (("none", "none"), ("all", "all"), ("nonsense", "drops")):
            self.lab.apply(namespace("shop", {"sluice.dev/policy-log": value}, env="prod"))
            self.assertEqual(self.level("node-1"), level, value)
        self.configure("none")
        self.lab.apply(namespace("shop", {"sluice.dev/policy-log": "drops"}, env="prod"))
        known = len(self.lines())
        self.assertEqual(self.probe("shop/client", "shop/web", 81), "dropped")
        self.await_line({"verdict": "denied", "port": 81}, known)
        self.lab.apply(namespace("shop", env="prod"))
        self.assertEqual(self.level("node-1"), "none")

    def test_5_flood(self):
        """The meter bounds what comes, and how many did not is said."""
        self.configure("drops")
        known = len(self.lines())
        started = time.monotonic()
        self.lab.exec("shop/client", "python3", "-c", FLOOD, self.lab.ips("shop/web")[4], "99", "20000")
        gap = self.await_line({"why": "more than the meter lets through"}, known)
        self.assertGreater(gap["notLogged"], 1000)
        took = time.monotonic() - started + 1
        logged = [line for line in self.lines()[known:] if line.get("port") == 99]
        print(f"20000 packets in {took:.1f} s: {len(logged)} lines, at first {gap['notLogged']} not logged", flush=True)
        self.assertLessEqual(len(logged), 100 + 120 * took)     # Burst and rate of METER_POLICY_LOG.
        self.assertGreater(len(logged), 20)
        self.assertEqual(self.probe("shop/client", "shop/web", 80), "connected")
        status = json.loads(self.lab.exec("node-1", "sluicectl", "status", "--json"))["policyLog"]
        self.assertGreaterEqual(status["metered"], gap["notLogged"])
        self.assertGreaterEqual(status["lines"], len(logged))
        self.assertEqual(status["lost"], 0)

    def test_6_rotated(self):
        self.configure("drops")
        self.assertEqual(self.probe("shop/client", "shop/web", 81), "dropped")
        self.await_line({"verdict": "denied"}, 0)
        os.rename(self.log_path(), self.log_path() + ".1")
        self.configure("drops")
        self.assertEqual(self.probe("shop/client", "shop/web", 81), "dropped")
        self.await_line({"verdict": "denied"}, 0)

    def test_7_unwritable(self):
        """A log that cannot be written stops nothing, and the status says so."""
        self.configure("drops")
        os.rename(self.log_path(), self.log_path() + ".2")
        os.mkdir(self.log_path())
        self.configure("drops")
        self.assertEqual(self.probe("shop/client", "shop/web", 81), "dropped")
        self.lab.await_output("node-1", ["ovs-ofctl", "-O", "OpenFlow15", "monitor", "br-int", "watch:"], lambda: any(
            problem.startswith("policy-log: ") and problem.endswith("Is a directory")
            for problem in json.loads(self.lab.exec("node-1", "sluicectl", "status", "--json"))["problems"]))
        self.assertEqual(self.probe("shop/client", "shop/web", 80), "connected")
        os.rmdir(self.log_path())


if __name__ == "__main__":
    labtest.main()
