"""Compares what the oracle says with what Open vSwitch does with the compiled flows; reduces what differs."""

import collections
import copy
import random
import re

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
    """Of packets on one node of one cluster.  'damage' changes the flows, to show that this would be seen."""

    def __init__(self, switch, objects, node, damage=None):
        self.switch, self.objects, self.name = switch, objects, node
        self.cluster = oracle.Cluster(objects)
        flows = manifests.compile_objects(objects, node)
        self.node = judge.Node(node, flows)
        if damage:
            flows = damage(flows)
        self.n_flows = flows.count("\n")
        self.tunnel_sources = tunnel_sources(objects)
        self.counts = collections.Counter()
        self.rules_of_cookie = {}
        switch.load(flows)

    def run(self, packets, established=False):
        """Yields the mismatches.  'established': asks as for a packet of a connection that was allowed before."""
        asked = []
        for packet in packets:
            question = self.node.question(packet, self.tunnel_sources)
            if question:
                asked.append((packet, question))
                self.counts["from " + {1: "the tunnel", 2: "the gateway port"}.get(
                    int(re.match(r"in_port=(\d+)", question)[1]), "a pod")] += 1
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
        wrong = f"{given.verdict} {given.direction}".strip()
        if given.verdict in expected and judge.direction_agrees(judgement, directions, given):
            wrong = self.wrong_reason(judgement, directions, given)
        return Mismatch(self.objects, self.name, packet, explain(judgement, directions), wrong) if wrong else None

    def wrong_reason(self, judgement, directions, given):
        """The flow of a rule has a cookie: whenever that flow decides, one and the same rule of the objects must be among
        those that may have; and no rule's flow where none has a say.  None, or what is wrong."""
        for direction in directions:
            verdict = oracle.DENIED if given.direction == direction else oracle.ALLOWED
            reasons = getattr(judgement, direction).reasons(verdict)
            rules = frozenset(reason for reason in reasons if reason.rule is not None)
            cookie = given.cookies.get(direction)
            if cookie is None:
                if rules == reasons:
                    return f"{verdict} by no rule in {direction}"
            else:
                self.counts["rules identified"] += 1
                known = self.rules_of_cookie.setdefault(cookie, rules)
                if not rules & known:
                    return f"{verdict} by another rule in {direction}, with the cookie of {sorted(map(str, known))}"
                self.rules_of_cookie[cookie] = rules & known
            if verdict == oracle.DENIED:
                break
        return None


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
    sent_by = f" sent by {packet.own_stack}" if packet.own_stack else ""
    port = "" if packet.port is None else f"/{packet.port}"
    return f"{packet.source}{sent_by} -> {packet.destination} {packet.protocol.lower()}{port}"


# Shrinking.

def still_wrong(switch, objects, mismatch, damage=None):
    """The mismatch with other objects, if it is still of the same kind."""
    try:
        found = next(Comparison(switch, objects, mismatch.node, damage).run([mismatch.packet]), None)
    except (manifests.CompileError, RuntimeError, KeyError):
        return None
    return found if found and found.given.split()[0] == mismatch.given.split()[0] else None


def shrink(switch, mismatch, damage=None):
    return smallest(mismatch, lambda objects: still_wrong(switch, objects, mismatch, damage), 600)


def smallest(mismatch, wrong_with, budget):
    """A minimal case that still differs: wrong_with(objects) is its mismatch or None; at most 'budget' compilations."""
    objects, progress = mismatch.objects, True
    while progress and budget > 0:
        progress = False
        for smaller in candidates(objects, mismatch.node):
            budget -= 1
            if budget <= 0:
                break
            if wrong_with(smaller):
                objects, progress = smaller, True
                break
    return wrong_with(objects) or mismatch


def candidates(objects, node):
    """Smaller sets of objects: halves first, then single objects, then parts of objects."""
    removable = [o for o in objects if o["kind"] != "Node" or oracle.name_of(o) != node]
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


def report(switch, mismatch, seed, damage=None):
    """The text of a mismatch, as small as it gets, with a case for tests/policy/golden."""
    small = shrink(switch, mismatch, damage)
    verdicts = oracle.Cluster(small.objects).judge(small.packet).verdicts
    case = {"kind": "Expect", "cluster": "own",
            "verdicts": [{packet_text(small.packet): "either" if len(verdicts) > 1 else min(verdicts)}]}
    return (f"seed {seed}: {small.node}: {packet_text(small.packet)}\n  oracle: {small.expected}\n"
            f"  Open vSwitch: {small.given}\n{manifests.text(small.objects + [case])}")


# Does it find what is wrong?

def without(pattern):
    return lambda flows: "".join(line for line in flows.splitlines(True) if not re.search(pattern, line))


def replaced(pattern, by):
    return lambda flows: re.sub(pattern, by, flows, flags=re.M)


DAMAGES = {
    "excepts do not count": without(r"^table=(32|58)\(.*set_field:0->reg[45]"),
    "Deny of Admin accepts": replaced(r"^(table=[46]0\(.*)set_field:0x1000/0x1000->reg0,", r"\1"),
    "Deny of Baseline accepts": replaced(r"^(table=[46]4\(.*)set_field:0x1000/0x1000->reg0,", r"\1"),
    "Pass of Admin accepts": replaced(r"^(table=[46]0\(.*conj_id=.*goto_table:\"\w+)_POLICY", r"\1_VERDICT"),
    "no default deny of egress": without(r"^table=42\(.*priority=50,"),
    "no default deny of ingress": without(r"^table=62\(.*priority=50,"),
    "ranges of ports are not there": without(r"^table=[46][024]\(.*reg6=0x[0-9a-f]+/0xff[0-9a-f]{3}[0-8c-e]\b"),
    "the lowest bit of a port does not count": replaced(r"(reg6=0x[0-9a-f]+/0xfffff)f\b", r"\1e"),
    "UDP is TCP": replaced(r"reg6=0x11([0-9a-f]{4})/", r"reg6=0x6\1/"),
    "IPv6 has no identities": without(r"^table=(32|58)\(.*ipv6"),
    "nodes and outside have no identities": without(r"^table=(32|58)\(.*nw_(src|dst)=(192|203)\."),
    "clauses of subjects are taken as always": replaced(r"^(table=62\(.*)reg3=0x[0-9a-f]+ (actions=conjunction)", r"\1ip \2"),
    "rules have the cookies of others": replaced(r"^(table=[46]2\(.*cookie=)0x[0-9a-f]+(, conj_id)", r"\g<1>0x4\2"),
    "what the node forwards is its own": without(r"^table=0\(CLASSIFY\), priority=210"),
    "established connections pass": replaced(r"^(table=12\(CT_STATE\).*\+est.*actions=).*$", r'\1goto_table:"L3_FORWARD"'),
}


def undetected(switch, seed, clusters=25, packets=1000):
    """Damages of the flows that go unnoticed; shows that each is, and reduces one of them."""
    left, smallest = dict(DAMAGES), None
    for number in range(clusters):
        made = generator.Generator(random.Random(seed + number), networkpolicies=12, clusterpolicies=6)
        sample = list(made.packets("node-1", packets))
        for name, damage in list(left.items()):
            comparison = Comparison(switch, made.objects(), "node-1", damage)
            wrong = list(comparison.run(sample)) + list(comparison.run(sample, established=True))
            if wrong:
                del left[name]
                if smallest is None:
                    found = shrink(switch, wrong[0], damage)
                    smallest = sum(o["kind"].endswith("Policy") for o in found.objects)
    return list(left), smallest


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
