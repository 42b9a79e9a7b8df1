#!/usr/bin/python3 -B
"""Random policies against packets: what the oracle of tests/policy says of each of many packets is what becomes of it in the lab.

A dozen pods with random labels and ports live on two nodes; in each round some of their labels, those of the namespaces, and the
policies change at random, and hundreds of random packets are asked: pods, nodes and outside, TCP, UDP and ICMP, both families, on ports
at the edges of something.  A round is a function of the seed and of the rounds before it.  A mismatch is shrunk to few policies.

    SLUICE_ORACLE_SEED=N SLUICE_ORACLE_ROUNDS=N test-lab-policy-oracle.py"""
# time limit: 900 s
import json
import os
import random
import sys

import labtest
from policylab import HOSTS, NODES, PolicyCase, as_wanted, brief, main

sys.path.insert(0, os.path.join(os.path.dirname(labtest.HERE), "policy"))
import generator  # noqa: E402
import oracle  # noqa: E402

SEED = int(os.environ.get("SLUICE_ORACLE_SEED", "1"))
ROUNDS = int(os.environ.get("SLUICE_ORACLE_ROUNDS", "20"))
PACKETS = 500                   # Of a round.
NUMBERS = [1, 52, 53, 79, 80, 81, 84, 85, 443, 8080, 32000, 32767, 32768, 65535]
HOST_NUMBERS = [80, 443, 8080, 9000, 32768]


class LabGenerator(generator.Generator):
    """Over objects of the lab, whose addresses are real."""

    def __init__(self, rng):
        self.rng, self.serial, self.addresses = rng, 0, []
        self.namespaces = [self.namespace(f"ns-{number}") for number in range(4)]
        self.nodes, self.pods, self.policies = [], [], []

    def new_pod(self, number, node):
        ports = [{"name": "c", "image": "none", **container} for container in self.containers()[:1]]
        namespace = self.rng.choice(self.namespaces)["metadata"]["name"]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": generator.meta(f"p{number}", namespace, self.labels()),
                "spec": {"nodeName": node, "containers": ports}}

    def address(self):
        return self.rng.choice(self.addresses)


class Oracle(PolicyCase):
    # The generator says things that no policy can mean, on purpose.
    ALLOWED_LOG = [("sluiced", r"WARN\|.*(NetworkPolicy|domainNames|policy)", "policies that fail closed are named")]

    @classmethod
    def setUpClass(cls):
        cls.rng = random.Random(SEED)
        cls.generator = LabGenerator(cls.rng)
        cls.WORLD = [*cls.generator.namespaces, *(cls.generator.new_pod(number, NODES[number % 2]) for number in range(12))]
        host = cls.generator.new_pod(12, "node-2")
        host["spec"] |= {"hostNetwork": True, "containers": [{"name": "c", "image": "none"}]}
        cls.MORE = [host]
        super().setUpClass()
        pods = cls.store.all("Pod")
        cls.generator.pods, cls.generator.nodes = pods, cls.store.all("Node")
        cls.names = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in pods if not item["spec"].get("hostNetwork")]
        cls.node_of = {name: cls.store.get("Pod", *name.split("/"))["spec"]["nodeName"] for name in cls.names}
        cls.ip = {who: cls.lab.ips(who) for who in (*cls.names, *HOSTS)}
        asked = [{"from": node, "to": name, "family": family, "protocol": "udp", "port": 1} for node in NODES for name in cls.names[:1]
                 for family in (4, 6)]
        assert all(answer["result"] == "refused" for answer in cls.lab.probe(*asked))
        # By which pods know a node: the address of its gateway port.
        cls.gateway = {node: {4: f"10.244.{node[-1]}.1", 6: f"fd00:10:244:{node[-1]}::1"} for node in NODES}
        cls.generator.addresses = [address for both in (*cls.ip.values(), *cls.gateway.values()) for address in both.values()] + \
            ["192.0.2.1", "2001:db8::1"]

    # --- a round ---

    def change_labels(self):
        for kind, items, number in (("Pod", self.generator.pods, 3), ("Namespace", self.generator.namespaces, 1)):
            for item in self.rng.sample(items, number):
                meta = item["metadata"]
                labels = {**{name: value for name, value in meta.get("labels", {}).items() if "/" in name}, **self.generator.labels()}

                def relabel(stored, labels=labels):
                    stored["metadata"]["labels"] = labels
                self.change(kind, f"{meta['namespace']}/{meta['name']}" if kind == "Pod" else meta["name"], relabel)

    def next_policies(self):
        """Some stay, some go, some come; few enough that both verdicts are common."""
        rng, made = self.rng, self.generator
        kept = [item for item in made.policies if rng.random() < 0.6]
        new = [made.networkpolicy() for _ in range(rng.randrange(1, 5))] + [made.clusternetworkpolicy() for _ in range(rng.randrange(0, 3))]
        made.policies = (kept + new)[-10:]
        return made.policies

    def objects(self, policies):
        return [*(item for kind in ("Namespace", "Node", "Pod") for item in self.store.all(kind)), *policies]

    def question(self):
        """A probe, and what the oracle is to be asked."""
        rng = self.rng
        sender, to = rng.sample([*self.names, *HOSTS], 2)
        while "/" not in sender and "/" not in to:
            sender, to = rng.sample([*self.names, *HOSTS], 2)
        family, protocol = rng.choice((4, 6)), rng.choice(("tcp", "tcp", "udp", "udp", "icmp"))
        source = self.gateway[sender][family] if sender in NODES else self.ip[sender][family]
        spec = {"from": sender, "to": to, "family": family, "protocol": protocol}
        if protocol != "icmp":
            spec["port"] = rng.choice(self.numbers(to, protocol))
        return spec, oracle.Packet(source, self.ip[to][family], protocol.upper(), spec.get("port"), sender if sender in NODES else "")

    def numbers(self, to, protocol):
        if to not in self.names:
            return HOST_NUMBERS
        ports = self.store.get("Pod", *to.split("/"))["spec"]["containers"][0].get("ports", [])
        own = [port["containerPort"] for port in ports if port.get("protocol", "TCP") == protocol.upper()]
        return NUMBERS + own * 3

    def mismatches(self, policies, questions):
        """(probe, wanted, answer) of the questions on which packets and oracle differ; those on which the API leaves a choice do not
        count.  And how many were asked, and of them allowed."""
        cluster = oracle.Cluster(self.objects(policies))
        asked = []
        for spec, packet in questions:
            verdicts = cluster.judge(packet).verdicts
            if len(verdicts) == 1:
                wanted = verdicts == {oracle.ALLOWED}
                asked.append(({**spec, "timeout": "4s" if wanted else "300ms", "packet": packet}, wanted))
        wrong = [(spec, oracle.Packet(*spec["packet"]), wanted, answer) for spec, wanted, answer in self.wrong_answers(asked, same)]
        return wrong, len(asked), sum(wanted for _, wanted in asked)

    def shrink(self, policies, wrong):
        """Fewer policies with which the first of the wrong answers is still wrong."""
        question = [(wrong[0][0], wrong[0][1])]
        for item in list(policies):
            fewer = [other for other in policies if other is not item]
            self.policies(*fewer)
            if self.mismatches(fewer, question)[0]:
                policies = fewer
        self.policies(*policies)
        return policies

    def test_random_policies(self):
        """All items of both lists, by random policies; a history, too: each round changes what the one before it left."""
        total = allowed = 0
        for number in range(ROUNDS):
            self.change_labels()
            policies = self.next_policies()
            self.policies(*policies)
            wrong, count, passed = self.mismatches(policies, [self.question() for _ in range(PACKETS)])
            total, allowed = total + count, allowed + passed
            if wrong:
                few = self.shrink(policies, wrong)
                lines = [f"{brief(answer)}, wanted {'allowed' if wanted else 'denied'}" for _, _, wanted, answer in wrong[:8]]
                ends = [self.store.get("Pod", *wrong[0][0][end].split("/")) for end in ("from", "to") if "/" in wrong[0][0][end]]
                self.fail(f"seed {SEED}, round {number}: {len(wrong)} of {count} wrong\n" + "\n".join(lines) + f"\n{wrong[0][1]}\n" +
                          "\n".join(json.dumps({part: item[part] for part in ("kind", "metadata", "spec")}) for item in [
                              *few, *ends, *self.store.all("Namespace")] if "spec" in item) +
                          "\n" + "\n".join(json.dumps(item["metadata"]) for item in self.store.all("Namespace")))
        print(f"seed {SEED}: {total} packets, {allowed} of them allowed, as the oracle says", flush=True)
        self.assertGreater(allowed, total // 20)
        self.assertGreater(total - allowed, total // 20)


def same(answer, wanted):
    if wanted and answer["result"] == "refused":
        return True                 # Nobody listens there; the pod itself said so.
    return as_wanted(answer, wanted)


if __name__ == "__main__":
    main()
