#!/usr/bin/python3 -B
"""Random Services and policies against packets: what the oracles of tests/services and tests/policy say of each of many packets to
Services is what becomes of it in the lab: answered by one of the endpoints that they admit, which sees the client's right address, or
cut by policy, refused, or dropped.
Issue 6, comparison (b); services 1 to 9, 12 to 18, 26, networkpolicy 27, 28.

Pods, nodes and outside ask; Services, slices and policies change from round to round at random, so it is a history, too.

    SLUICE_ORACLE_SEED=N SLUICE_ORACLE_ROUNDS=N test-lab-service-oracle.py"""
# time limit: 400 s
import collections
import json
import os
import random
import sys

import labtest
from labkit.objects import key
from policylab import NODES, PODS, PolicyCase, brief, main

sys.path[:0] = [os.path.join(os.path.dirname(labtest.HERE), name) for name in ("services", "policy")]
import generator  # noqa: E402
import oracle  # noqa: E402
import service_compare  # noqa: E402
import service_generator  # noqa: E402
import service_oracle  # noqa: E402

SEED = int(os.environ.get("SLUICE_ORACLE_SEED", "1"))
ROUNDS = int(os.environ.get("SLUICE_ORACLE_ROUNDS", "12"))
# What who talks to itself through a Service sees.
HAIRPIN = {4: "169.254.192.1", 6: "fd53:4c00:0:1::1"}
PACKETS = 240                   # Of a round.


class LabGenerator(service_generator.Generator):
    """Over objects of the lab, whose addresses are real; endpoints are pods, at ports at which all of them listen."""
    TARGETS = (80, 81)

    def __init__(self, rng, nodes, namespaces, pods):
        self.rng, self.serial = rng, 0
        self.nodes, self.namespaces, self.pods = nodes, namespaces, pods
        self.services, self.slices, self.queue, self.policies = [], [], [], []
        self.per_family, self.large, self.bad, self.contended, self.busy_nodes = 2, 0, False, False, ()

    def pool(self, family):
        return [(address, pod["spec"]["nodeName"]) for pod in self.pods for address in generator.pod_addresses(pod)
                if service_oracle.family_of(address) == family]

    def slice_ports(self, service):
        """Not those that say no number: the random ones of tests/services have them."""
        return [port for port in super().slice_ports(service) if port.get("port") in self.TARGETS]

    def change_pod(self):
        return self.change_slice() if self.slices else self.step()

    def address(self):
        return self.rng.choice([a for p in self.pods for a in generator.pod_addresses(p)] + ["192.0.2.1", "2001:db8::1"])


class ServiceOracle(PolicyCase):
    # The generator says things that no policy can mean, on purpose.
    ALLOWED_LOG = [("sluiced", r"WARN\|.*(NetworkPolicy|domainNames|policy)", "policies that fail closed are named"),
                   ("sluiced", r"WARN\|.*health", "node ports for health checks are none of this test's")]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rng = random.Random(SEED)
        cls.made = LabGenerator(cls.rng, cls.store.all("Node"),
                                [n for n in cls.store.all("Namespace") if n["metadata"]["name"] in "xyz"], cls.store.all("Pod"))
        for _ in range(10):
            cls.made.add_service()
        cls.ip = {who: cls.lab.ips(who) for who in (*PODS, *NODES, "outside")}
        cls.home = {who: cls.store.get("Pod", *who.split("/"))["spec"]["nodeName"] for who in PODS}
        cls.gateway = {node["metadata"]["name"]: {service_oracle.family_of(c.split("/")[0]): first_of(c)
                                                  for c in node["spec"]["podCIDRs"]} for node in cls.made.nodes}

    # --- a round ---

    def install(self, policies):
        wanted = [*self.made.services, *self.made.slices]
        kept = {key(item) for item in wanted}
        self.take(*(item for kind in ("Service", "EndpointSlice") for item in self.store.all(kind) if key(item) not in kept))
        with self.store.locked():
            for item in wanted:
                self.store.put(item)            # As they are: no admission, which would give addresses.
        for node in self.made.nodes:            # One that came to another zone.
            self.change("Node", node["metadata"]["name"],
                        lambda stored, node=node: stored["metadata"].update(labels=node["metadata"].get("labels", {})))
        self.policies(*policies)

    def next_policies(self):
        rng, made = self.rng, self.made
        if rng.random() < 0.4:
            return []
        return [made.networkpolicy() for _ in range(rng.randrange(1, 4))] + \
            [made.clusternetworkpolicy() for _ in range(rng.randrange(0, 2))]

    # --- what is asked, and what is right ---

    def question(self, doors):
        """(probe, {what may become of it}), or None: not every packet that one can think of is asked here."""
        rng = self.rng
        sender = rng.choice([*PODS, *PODS, *NODES, "outside"])
        node = self.home.get(sender) or (sender if sender in NODES else rng.choice(NODES))
        door = rng.choice(sorted(doors[node]))
        family, kind = service_oracle.family_of(door[1]), door[0]
        source_class = service_oracle.POD if sender in PODS else service_oracle.NODE if sender in NODES else service_oracle.OUTSIDE
        if door[2] == "SCTP" or source_class == service_oracle.OUTSIDE and kind != service_oracle.NODE_PORT:
            return None
        address = self.ip[node][family] if kind == service_oracle.NODE_PORT else door[1]
        source, own_stack = self.ip[sender][family], ""
        if source_class == service_oracle.NODE:
            source, own_stack = self.gateway[node][family], node
        outcomes = set()
        for contender in doors[node][door]:
            if source_class == service_oracle.OUTSIDE and contender.service["spec"].get("externalTrafficPolicy") != "Local":
                source = self.gateway[node][family]     # services 13: the host's stack gives it its own address.
            for answer in contender.answers(source_class, self.ip[sender][family]):
                outcomes |= self.outcomes(answer, source, door[2], own_stack)
        spec = {"from": sender, "to": address, "family": family, "protocol": door[2].lower(), "port": door[3]}
        return spec, outcomes, door

    def outcomes(self, answer, source, protocol, own_stack):
        if answer.action != service_oracle.FORWARD:
            return {"refused" if answer.action == service_oracle.REJECT else "dropped"}
        found = set()
        for endpoint in answer.endpoints:
            verdicts = self.policy.judge(oracle.Packet(source, endpoint.address, protocol, endpoint.port, own_stack)).verdicts
            client = HAIRPIN[service_oracle.family_of(source)] if source == endpoint.address else source    # services 7, 13.
            found |= {f"{self.owner[endpoint.address]} sees {client}" if v == oracle.ALLOWED else "dropped" for v in verdicts}
        return found

    def right(self, answer, outcomes):
        if answer["result"] == "connected":
            return f"{answer['by']} sees {answer.get('client')}" in outcomes
        return answer["result"] in outcomes

    def round(self, policies):
        objects = [*self.made.nodes, *self.made.namespaces, *self.made.pods, *policies, *self.made.services, *self.made.slices]
        self.policy = oracle.Cluster(objects)
        self.owner = {a: f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in self.made.pods
                      for a in generator.pod_addresses(p)}
        doors = {node: service_oracle.Cluster(objects, node).doors() for node in NODES}
        asked = [q for q in (self.question(doors) for _ in range(PACKETS)) if q]
        answers = self.wrong_answers([({**spec, "timeout": "1s" if outcomes == {"dropped"} else "4s", "door": door}, outcomes)
                                      for spec, outcomes, door in asked], self.right)
        for _, outcomes, _ in asked:
            self.counts[min(outcomes) if len(outcomes) == 1 and min(outcomes) in ("refused", "dropped") else
                        "either" if "dropped" in outcomes else "connected"] += 1
        return objects, answers

    def test_random_services(self):
        self.counts = collections.Counter()
        self.addCleanup(self.remove_all)
        for number in range(ROUNDS):
            for _ in range(12 if number else 0):
                self.made.step()
            policies = self.next_policies()
            self.install(policies)
            objects, wrong = self.round(policies)
            if wrong:
                lines = [f"{brief(answer)} sees {answer.get('client')}, wanted {sorted(outcomes)}: {spec['door']}" for spec, outcomes, answer in wrong[:10]]
                doors = [d for node in NODES for d in service_oracle.Cluster(objects, node).doors().get(tuple(wrong[0][0]["door"]), [])]
                names = {service_oracle.name_of(d.service) for d in doors}
                slices = [s for s in self.made.slices
                          if any(s["metadata"]["name"].startswith(name.split("/")[1]) for name in names)]
                self.fail(f"seed {SEED}, round {number}: {len(wrong)} wrong\n" + "\n".join(lines) + "\n" + "\n".join(
                    json.dumps(item) for item in [*(d.service for d in doors[:1]), *slices, *policies]))
        print(f"seed {SEED}: {dict(self.counts)}", flush=True)
        self.assertGreater(self.counts["connected"], 50)
        self.assertGreater(self.counts["refused"], 10)

    def remove_all(self):
        self.take(*(item for kind in ("Service", "EndpointSlice") for item in self.store.all(kind)))


def first_of(cidr):
    return str(service_compare.ipaddress.ip_network(cidr)[1])


if __name__ == "__main__":
    main()
