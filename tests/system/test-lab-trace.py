#!/usr/bin/python3 -B
"""What sluicectl tells of a node is what the node does: trace agrees with packets, flows with the switch's own list, compile with
the running daemon (issue 3, item 11)."""
# time limit: 600 s
import ipaddress
import json
import os
import re
import subprocess
import time
import unittest

import labtest
from labtest import LabCase, pod

PORTS = {"pod": {"tcp": 80, "udp": 53}, "host": {"tcp": 9000, "udp": 9000}}


def ask(lab, node, questions):
    """sluicectl trace --batch on one node."""
    lines = lab("exec", node, "--", "sluicectl", "trace", "--batch", "-", "--json",
                stdin="".join(json.dumps(question) + "\n" for question in questions))
    return [json.loads(line) for line in lines.splitlines()]


class Truth(LabCase):
    PODS = [pod("a1", "node-1"), pod("a2", "node-1"), pod("b1", "node-2"), pod("host", "node-2", host_network=True)]
    ALLOWED_LOG = [labtest.OVS_IS_RESTARTED]
    PODS_OF = {"default/a1": "node-1", "default/a2": "node-1", "default/b1": "node-2"}

    def home(self, sender, to):
        """The node that a packet meets first."""
        for end in (sender, to):
            if end.startswith("node-"):
                return end
            if end in self.PODS_OF:
                return self.PODS_OF[end]
        return None

    def questions(self):
        everybody = [*self.PODS_OF, "node-1", "node-2", "outside"]
        for sender in everybody:
            for to in everybody:
                if self.home(sender, to) and not sender == to == "outside":
                    kind = "pod" if "/" in to else "host"
                    for family in (4, 6):
                        for protocol in ("tcp", "udp", "icmp"):
                            yield {"from": sender, "to": to, "family": family, "protocol": protocol,
                                   **({} if protocol == "icmp" else {"port": PORTS[kind][protocol]})}

    def traced(self, questions):
        """All verdicts on the way of each packet."""
        verdicts = [[] for _ in questions]
        pending = [(index, self.home(question["from"], question["to"])) for index, question in enumerate(questions)]
        for _ in range(2):
            for node in ("node-1", "node-2"):
                here = [index for index, where in pending if where == node]
                asked = [{**questions[index], **{end: self.lab.ips("outside")[questions[index]["family"]]
                                                 for end in ("from", "to") if questions[index][end] == "outside"}}
                         for index in here]
                for index, answer in zip(here, ask(self.lab, node, asked) if asked else [], strict=True):
                    verdicts[index].append(answer)
            done = [answers[-1] for answers in verdicts]
            pending = [(index, answer["next"]) for index, answer in enumerate(done)
                       if len(verdicts[index]) == 1 and answer.get("next")]
        return verdicts

    def test_everybody_to_everybody(self):
        """The verdict of each pair, in both families and all protocols, is what a packet finds."""
        questions = list(self.questions())
        answers = self.lab.probe(*[{**question, "timeout": "2s"} for question in questions])
        wrong = []
        for answer, verdicts in zip(answers, self.traced(questions), strict=True):
            allowed = all(verdict["verdict"] == "allowed" for verdict in verdicts)
            if allowed != (answer["result"] == "connected"):
                wrong.append(f"{answer}\n  but {verdicts}")
        self.assertGreater(len(questions), 150)
        self.assertFalse(bool(wrong), f"{len(wrong)} of {len(questions)} wrong:\n" + "\n".join(wrong[:4]))

    def verdict(self, node, to, sender="default/a1", **more):
        answer = ask(self.lab, node, [{"from": sender, "to": to, "protocol": "icmp", **more}])[0]
        self.assertNotIn("error", answer, answer)
        return answer

    def test_denied(self):
        nobody = {family: re.sub(r"[0-9a-f]+$", "99", address)
                  for family, address in self.lab.ips("default/a1").items()}
        for to, reason in ((nobody[4], "no pod has it"), (nobody[6], "no pod has it"), ("224.0.0.1", "multicast"),
                           ("255.255.255.255", "broadcast"), ("127.0.0.1", "loopback"), ("ff02::1", "multicast"),
                           ("::1", "loopback"), ("fe80::1", "link-local")):
            with self.subTest(to=to):
                answer = self.verdict("node-1", to)
                self.assertEqual((answer["verdict"], answer["table"]), ("denied", "L3_FORWARD"), answer)
                self.assertIn(reason, answer["reason"])
        self.assert_all("dropped", [{"from": "default/a1", "to": to, "protocol": "icmp", "timeout": "1s"}
                                    for to in nobody.values()])

    def test_nobody_there_on_the_other_node(self):
        to = re.sub(r"[0-9]+$", "99", self.lab.ips("default/b1")[4])
        self.assertEqual(self.verdict("node-1", to)["next"], "node-2")
        answer = self.verdict("node-2", to)
        self.assertEqual((answer["verdict"], answer["reason"]),
                         ("denied", "L3_FORWARD: drop: of the node's pod CIDR, but no pod has it"))

    def test_spoofed(self):
        for source in (self.lab.ips("default/a2")[4], "192.0.2.1", self.lab.ips("default/b1")[6]):
            answer = self.verdict("node-1", "default/a2", source=source)
            self.assertEqual((answer["verdict"], answer["table"]), ("denied", "SPOOF_GUARD"), answer)

    def test_members_of_interfaces(self):
        answer = self.verdict("node-1", "default/a2", port=80, protocol="tcp", sport=1234)
        for member in ("direction", "tier", "policy", "rule", "endpoint"):
            self.assertIsNone(answer[member])
        self.assertEqual((answer["port"], answer["sport"], answer["to"]), (80, 1234, "default/a2"))

    def test_text(self):
        """The path for people: tables with their owners, and the verdict in the last line; the exit status tells it too."""
        told = self.lab.exec("node-1", "sluicectl", "trace", "--from", "default/a1", "--to", "default/a2", "--port", "80")
        self.assertRegex(told, r"\n +0 CLASSIFY +Pod/default/a1/eth0 +a pod's port\n")
        self.assertRegex(told, r"\n +50 L3_FORWARD +Pod/default/a2/eth0 ")
        self.assertRegex(told.splitlines()[-1], r"^allowed: delivered to pod default/a2 \(port \d+\)$")
        done = self.lab.exec("node-1", "sluicectl", "trace", "--from", "default/a1", "--to", "127.0.0.1", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout.splitlines()[-1], r"^denied: L3_FORWARD: drop: to a loopback address")
        done = self.lab.exec("node-1", "sluicectl", "trace", "--from", "default/b1", "--to", "node-1", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("ask node node-2", done.stderr)

    def test_batch_goes_on_after_nonsense(self):
        lines = ['{"from": "default/a1", "to": "default/a2"}', "nonsense", "[]", '{"from": "default/a1"}', "",
                 '{"from": "default/a1", "to": "default/nobody"}', '{"from": "default/a1", "to": "default/a2", "port": 0}',
                 '{"from": 7, "to": "default/a2"}', '{"from": "default/a1", "to": "default/a2", "port": 80}']
        text = self.lab("exec", "node-1", "--", "sluicectl", "trace", "--batch", "-", stdin="\n".join(lines))
        answers = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([answer["verdict"] for answer in answers], ["allowed", *[None] * 6, "allowed"], text)
        self.assertTrue(all(answer["error"] for answer in answers[1:-1]))

    def test_batch_is_fast(self):
        question = {"from": "default/a1", "to": "default/a2", "protocol": "tcp", "port": 80}
        started = time.monotonic()
        answers = ask(self.lab, "node-1", [question] * 1000)
        rate = 1000 / (time.monotonic() - started)
        print(f"{rate:.0f} traces a second", flush=True)
        self.assertEqual({answer["verdict"] for answer in answers}, {"allowed"})
        self.assertGreater(rate, 100)

    def test_batch_sees_changes_and_restarts(self):
        """One batch stays open while a pod comes, and while the daemons are started anew."""
        node = self.lab.node("node-1")
        batch = subprocess.Popen([labtest.LAB, "exec", "--name", self.lab.name, "node-1", "--", "sluicectl", "trace",
                                  "--batch", "-"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

        def verdict(to):
            print(json.dumps({"from": "default/a1", "to": to}), file=batch.stdin, flush=True)
            return json.loads(batch.stdout.readline())["verdict"]

        try:
            self.assertEqual(verdict("default/late"), None)
            self.lab.apply(pod("late", "node-1"))
            self.assertEqual(verdict("default/late"), "allowed")
            for daemon in ("sluiced", "ovs-vswitchd"):
                self.lab("restart", node.name, daemon)
                self.lab("wait")
                self.assertEqual(verdict("default/late"), "allowed", daemon)
        finally:
            batch.stdin.close()
            batch.wait(10)
            batch.stdout.close()
            self.lab("delete", "pod", "default/late")

    # --- flows ---

    def told_flows(self, node, *command):
        """{(table, priority, match, cookie): actions} of a list of sluicectl."""
        text = self.lab.exec(node, "sluicectl", *command)
        numbers = {name: number for number, name in re.findall(r"^table=(\d+)\((\w+)\)", text, re.M)}
        flows = {}
        for line in text.splitlines():
            if line.startswith(("meter=", "group_id=")):
                continue
            found = re.fullmatch(r"table=(\d+)\(\w+\), priority=(\d+), cookie=(0x[0-9a-f]+)(?:, (.*?))? actions=(.*?)(?:  # (.*))?",
                                 line)
            self.assertTrue(found, line)
            actions = re.sub(r'(goto_table:|\btable=)"?([A-Z]\w+)"?', lambda match: f"{match[1]}{numbers[match[2]]}", found[5])
            key = (int(found[1]), int(found[2]), found[4] or "", found[3])
            self.assertNotIn(key, flows)
            flows[key] = actions
        return flows

    def switch_flows(self, node):
        flows = {}
        for line in self.lab.flows(node):
            found = re.fullmatch(r"cookie=(0x[0-9a-f]+), (?:table=(\d+), )?priority=(\d+),?(.*?) actions=(.*)", line)
            self.assertTrue(found, line)
            flows[int(found[2] or 0), int(found[3]), found[4], found[1]] = found[5]
        return flows

    def test_flows_are_those_of_the_switch(self):
        for node in ("node-1", "node-2"):
            told, switch = self.told_flows(node, "flows"), self.switch_flows(node)
            self.assertGreater(len(told), 80)
            self.assertEqual([(flow, told.get(flow), switch.get(flow)) for flow in sorted({*told, *switch})
                              if told.get(flow) != switch.get(flow)], [])

    def test_every_flow_has_an_owner(self):
        flows = json.loads(self.lab.exec("node-1", "sluicectl", "--json", "flows"))
        self.assertEqual({flow["owner"] for flow in flows}, {"Base/forwarding", "Base/service", "Node/node-2",
                                                             "Pod/default/a1/eth0", "Pod/default/a2/eth0"})
        for flow in flows:
            cookie = re.search(r"cookie=(0x\w+)", flow["flow"])[1]
            self.assertEqual(self.owner(cookie), flow["owner"])
        done = self.lab.exec("node-1", "ovs-appctl", "-t", self.control("node-1"), "owner", "0x1", check=False)
        self.assertIn("nobody", done.stderr)

    def control(self, node):
        return os.path.join(self.lab.exec(node, "sh", "-c", "echo $SLUICE_RUNDIR").strip(), "sluiced.ctl")

    def owner(self, cookie, known={}):
        if cookie not in known:
            known[cookie] = self.lab.exec("node-1", "ovs-appctl", "-t", self.control("node-1"), "owner", cookie).strip()
        return known[cookie]

    def test_flows_of_a_table_and_of_an_object(self):
        for arguments, wanted in ((["SPOOF_GUARD"], r"^table=2\(SPOOF_GUARD\),.*"), (["50"], r"^table=50\(L3_FORWARD\),.*"),
                                  (["--object", "pod/default/a1"], r".*  # Pod/default/a1/eth0$"),
                                  (["CLASSIFY", "--object", "Node"], None)):
            lines = self.lab.exec("node-1", "sluicectl", "flows", *arguments).splitlines()
            self.assertEqual(bool(lines), wanted is not None, arguments)
            for line in lines:
                self.assertRegex(line, wanted)
        self.assertEqual(self.lab.exec("node-1", "sluicectl", "flows", "NO_TABLE", check=False).returncode, 1)

    def test_tables_have_names_in_the_switch(self):
        told = self.lab.exec("node-1", "sluicectl", "flows")
        wanted = set(re.findall(r"^table=\d+\((\w+)\)", told, re.M))
        switch = self.lab.exec("node-1", "ovs-ofctl", "-O", "OpenFlow15", "--names", "dump-flows", "br-int")
        self.assertEqual(set(re.findall(r' table="?(\w+)"?,', switch)), wanted)
        one = self.lab.exec("node-1", "ovs-ofctl", "-O", "OpenFlow15", "--names", "dump-flows", "br-int", "table=MTU")
        self.assertEqual(len(re.findall("actions=", one)), len(re.findall(r"\(MTU\),", told)))

    # --- compile ---

    def canonical(self, flows, pods):
        """Ports and MACs of the pods, and the link-local addresses made of them, by the pods' names."""
        text = "\n".join(f"{key} -> {actions}" for key, actions in sorted(flows.items()))
        for name, ofport, mac in pods:
            octets = bytes.fromhex(mac.replace(":", ""))
            local = str(ipaddress.ip_address(bytes([0xfe, 0x80, *[0] * 6, octets[0] ^ 2, *octets[1:3], 0xff, 0xfe, *octets[3:]])))
            for pattern, replacement in ((mac, "MAC"), (re.escape(local), "LINK-LOCAL"), (rf"in_port={ofport}\b", "in_port="),
                                         (rf"{ofport:#x}/0xffff->reg1", "->reg1")):
                text, n = re.subn(pattern, f"<{replacement} of {name}>", text)
                self.assertGreater(n, 0, (name, pattern))
        return sorted(text.splitlines())

    def test_compile_is_what_the_daemon_does(self):
        for node in ("node-1", "node-2"):
            pods = [(pod["name"], pod["ofport"], pod["mac"])
                    for pod in json.loads(self.lab.exec(node, "sluicectl", "--json", "pods")) if pod["state"] == "up"]
            placed = [(name, 16 + i, f"0a:53:4c:01:00:{16 + i:02x}") for i, name in enumerate(sorted(n for n, _, _ in pods))]
            compiled = self.told_flows(node, "compile", "--node", node, "--source", self.lab.layout.path("manifests"),
                                       *self.COMPILE)
            self.assertEqual(self.canonical(compiled, placed), self.canonical(self.told_flows(node, "flows"), pods))

    COMPILE = ()


class Routed(Truth):
    OPTIONS = ("--encapsulation", "none")
    COMPILE = ("--encapsulation", "none")


if __name__ == "__main__":
    labtest.main()
