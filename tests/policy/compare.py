"""Compares what the oracle says with what Open vSwitch does with the compiled flows; reduces what differs."""

import collections
import copy
import random

import generator
import judge
import manifests
import oracle

# 'expected' and 'given' are texts.
Mismatch = collections.namedtuple("Mismatch", "objects node packet expected given")


def tunnel_sources(objects):
    """Addresses whose packets come from other nodes: their pods' and their own."""
    found = set()
    for obj in objects:
        if obj["kind"] == "Node":
            found |= oracle.node_addresses(obj)
            found |= set(generator.gateway_addresses(obj["metadata"]["name"]))
        elif obj["kind"] == "Pod":
            found |= set(oracle.addresses_of_pod(obj))
    return found


class Comparison:
    """Of packets on one node of one cluster."""

    def __init__(self, switch, objects, node):
        self.switch, self.objects, self.name = switch, objects, node
        self.cluster = oracle.Cluster(objects)
        flows = manifests.compile_objects(objects, node)
        self.node = judge.Node(node, flows)
        self.n_flows = flows.count("\n")
        self.tunnel_sources = tunnel_sources(objects)
        self.counts = collections.Counter()
        switch.load(flows)

    def run(self, packets, established=False):
        """Yields the mismatches.  'established': asks as for a packet of a connection that was allowed before."""
        asked = []
        for packet in packets:
            question = self.node.question(packet, self.tunnel_sources)
            if question:
                asked.append((packet, question))
        state = "trk,est" if established else None
        answers = self.switch.trace([(question, state) for _, question in asked])
        for (packet, _), trace in zip(asked, answers):
            found = self.compare(packet, judge.answer(trace))
            if found:
                yield found

    def compare(self, packet, given):
        judgement = self.cluster.judge(packet)
        directions = self.node.directions(packet)
        expected = judge.expected(judgement, directions)
        self.counts["verdicts"] += 1
        self.counts[given.verdict] += 1
        if len(expected) > 1:
            self.counts["either"] += 1
        for direction in directions:
            for outcome in getattr(judgement, direction).outcomes:
                tier = next(iter(outcome.reasons)).tier or "none"
                self.counts[f"{direction} {tier} {outcome.verdict}"] += 1
        if given.verdict in expected and judge.direction_agrees(judgement, directions, given):
            return None
        return Mismatch(self.objects, self.name, packet, explain(judgement, directions),
                        f"{given.verdict} {given.direction}".strip())


def explain(judgement, directions):
    found = []
    for direction in directions:
        for outcome in sorted(getattr(judgement, direction).outcomes, key=str):
            for reason in sorted(outcome.reasons, key=str):
                found.append(f"{direction} {outcome.verdict} by {reason.tier} {reason.policy}"
                             + ("" if reason.rule is None else f" rule {reason.rule}"))
    return "; ".join(found)


def packet_text(packet):
    """As in the golden cases."""
    port = "" if packet.port is None else f"/{packet.port}"
    own = f" (sent by {packet.own_stack})" if packet.own_stack else ""
    return f"{packet.source} -> {packet.destination} {packet.protocol.lower()}{port}{own}"


# Shrinking.

def still_wrong(switch, objects, mismatch):
    try:
        return next(Comparison(switch, objects, mismatch.node).run([mismatch.packet]), None)
    except (manifests.CompileError, RuntimeError, KeyError):
        return None


def shrink(switch, mismatch, budget=600):
    """A minimal case with the same packet that still differs; at most 'budget' compilations."""
    objects = mismatch.objects
    progress = True
    while progress and budget > 0:
        progress = False
        for smaller in candidates(objects):
            budget -= 1
            if budget <= 0:
                break
            if still_wrong(switch, smaller, mismatch):
                objects, progress = smaller, True
                break
    return still_wrong(switch, objects, mismatch) or mismatch


def candidates(objects):
    """Smaller sets of objects: halves first, then single objects, then parts of objects."""
    removable = [o for o in objects if o["kind"] != "Node"]
    size = len(removable) // 2
    while size >= 1:
        for start in range(0, len(removable), size):
            gone = {id(o) for o in removable[start:start + size]}
            yield [o for o in objects if id(o) not in gone]
        size //= 2
    for index, obj in enumerate(objects):
        for path in removable_paths(obj):
            copied = copy.deepcopy(obj)
            at = copied
            for step in path[:-1]:
                at = at[step]
            del at[path[-1]]
            yield objects[:index] + [copied] + objects[index + 1:]


KEPT = {"apiVersion", "kind", "name", "namespace", "metadata", "nodeName", "containerPort", "tier", "priority",
        "subject", "action", "cidr", "key", "operator", "values", "address", "type", "ip", "podCIDRs",
        "kubernetes.io/metadata.name", "addresses", "range", "start", "end", "spec"}


def removable_paths(value, path=()):
    """What can be left out so that the API would still take the object: larger parts first."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, item in items:
        inside = {"from": 1, "to": 1, "values": 1}.get(path[-1] if path else None, 0)
        if key not in KEPT and not (isinstance(value, list) and len(value) <= inside):
            yield path + (key,)
    for key, item in items:
        if key != "podCIDRs":
            yield from removable_paths(item, path + (key,))


def report(switch, mismatch, seed, shrink_budget=600):
    """The text of a mismatch, as small as it gets, with a case for tests/policy/golden."""
    small = shrink(switch, mismatch, shrink_budget)
    case = {"kind": "Expect", "node": small.node,
            "verdicts": [{packet_text(small.packet): sorted(
                judge.expected(oracle.Cluster(small.objects).judge(small.packet),
                               ["egress", "ingress"]))[0]}]}
    return (f"seed {seed}: {small.node}: {packet_text(small.packet)}\n  oracle: {small.expected}\n"
            f"  Open vSwitch: {small.given}\n{manifests.text(small.objects + [case])}")


# One cluster.

def one_cluster(switch, seed, packets_per_node, shape, max_reports=1):
    """Returns (counts, texts of mismatches)."""
    rng = random.Random(seed)
    made = generator.Generator(rng, **shape)
    counts, texts = collections.Counter(), []
    for node in generator.NODES[:2]:
        comparison = Comparison(switch, made.objects(), node)
        share = packets_per_node if node == "node-1" else packets_per_node // 4
        packets = list(made.packets(node, share))
        wrong = list(comparison.run(packets))
        wrong += comparison.run(packets[:len(packets) // 8], established=True)
        counts += comparison.counts
        counts["flows"] += comparison.n_flows
        counts["clusters"] += 1
        counts["mismatches"] += len(wrong)
        for mismatch in wrong[:max_reports]:
            texts.append(report(switch, mismatch, seed))
    return counts, texts
