"""Compares what the oracles say of packets to Services with what Open vSwitch does with the compiled flows and groups.

A packet goes to a door with a value of dp_hash, which ofproto/trace does not compute itself.  It must reach exactly one of the
endpoints that the oracle of Services admits, or be answered (reject), or be dropped; after that the oracle of policy is asked, as if
the client had sent it to that endpoint: egress after the translation, ingress sees the client (networkpolicy 27, 28)."""

import collections
import ipaddress
import random
import re

import compare
import judge
import manifests
import oracle as policy_oracle
import service_compare
import service_generator
import service_oracle
from compare import replaced, without
from generator import gateway_addresses
from ovs import GATEWAY_PORT

# 'question' is the flow that ofproto/trace was asked for.
Mismatch = collections.namedtuple("Mismatch", "objects node packet key question expected given")
# 'source_class' is one of service_oracle.CLASSES.
Packet = collections.namedtuple("Packet", "source_class source key address hash")
# What became of it: action "forward" (then 'endpoint' is (address, port), 'policy' a judge.Answer), "reject", "drop".
Given = collections.namedtuple("Given", "action endpoint policy")

LINK_NODE = {4: "169.254.192.3", 6: "fd53:4c00:0:1::3"}     # What the host's stack makes of its own addresses for NodePorts.
SERVICE_TABLES = range(6, 12)
PUNT_REJECT = "06"
NATTED = re.compile(r"^ Modified flow: .*(?:nw|ipv6)_dst=\[?([0-9a-f.:]+?)\]?,tp_dst=(\d+)", re.M)
GROUP = re.compile(r"^ *group:(\d+)", re.M)
LAST_RULE = re.compile(r"^ *(\d+)\. ", re.M)


def given_of(trace):
    """What ofproto/trace said."""
    first, _, rest = trace.partition("\nrecirc(")
    found = NATTED.search(trace)
    if found:
        return Given("forward", (service_oracle.plain(found[1]), int(found[2])), judge.answer(trace))
    if f"userdata={PUNT_REJECT}" in first:
        return Given("reject", None, None)
    tables = LAST_RULE.findall(first)
    if tables and int(tables[-1]) in SERVICE_TABLES and "Datapath actions: drop" in first:
        return Given("drop", None, None)
    return Given(f"not captured (table {tables[-1] if tables else '?'})", None, judge.answer(trace))


class Comparison:
    """Of packets on one node of one cluster.  'damage' changes the flows and groups, to show that this would be seen."""

    def __init__(self, switch, objects, node, damage=None):
        self.switch, self.objects, self.name = switch, objects, node
        flows = manifests.compile_objects(objects, node)
        self.node = judge.Node(node, flows)
        if damage:
            flows = damage(flows)
        self.doors = service_oracle.Cluster(objects, node).doors()
        self.policy = policy_oracle.Cluster(objects)
        self.tunnels = compare.tunnel_sources(objects)
        self.counts = collections.Counter()
        switch.load(flows)

    # What is asked.

    def question(self, packet):
        family, port = service_oracle.family_of(packet.address), packet.key[3]
        own_stack = self.name if packet.source_class == service_oracle.NODE else ""
        if packet.source_class == service_oracle.OUTSIDE:
            start = f"in_port={GATEWAY_PORT},dl_src={judge.OTHER_MAC},dl_dst={self.node.router}"
        else:
            start = self.node.enters(policy_oracle.Packet(packet.source, packet.address, packet.key[2], port, own_stack),
                                     self.tunnels)
        protocol = packet.key[2].lower()
        what = f"{protocol}{'6' if family == 6 else ''},{protocol}_src={judge.SOURCE_PORT},{protocol}_dst={port}"
        if protocol == "tcp":
            what += ",tcp_flags=2"
        name = "ipv6" if family == 6 else "nw"
        return f"{start},{what},{name}_src={packet.source},{name}_dst={packet.address},nw_ttl=64,dp_hash={packet.hash:#x}"

    def run(self, packets):
        """Yields the mismatches."""
        packets = list(packets)
        questions = [self.question(packet) for packet in packets]
        answers = self.switch.trace([(question, "trk,new,dnat") for question in questions])
        for packet, question, trace in zip(packets, questions, answers):
            self.counts["verdicts"] += 1
            self.counts[f"{packet.key[0]} from {packet.source_class}"] += 1
            wrong = self.compare(packet, given_of(trace))
            if wrong:
                yield Mismatch(self.objects, self.name, packet, packet.key, question, *wrong)

    # What is right.

    def right(self, packet):
        """The answers of which each is right."""
        doors, itself = self.doors[packet.key], (packet.address, packet.key[3])
        if packet.key[0] == service_oracle.NODE_PORT and any(door.leads_to(*itself) for door in doors):
            return [service_oracle.Answer(service_oracle.DIRECT, frozenset(), "the address is an endpoint")]
        return [a for door in doors
                for a in service_compare.answers_of_switch(door.untranslated(), packet.source_class, packet.source)]

    def compare(self, packet, given):
        """None, or (expected, given) as texts."""
        right = self.right(packet)
        expected = " or ".join(sorted({service_compare.text_of(a.action, a.endpoints) for a in right}))
        self.counts[given.action] += 1
        if given.action.startswith("not captured") and any(a.action == service_oracle.DIRECT for a in right):
            return None
        if given.action != "forward":
            return None if any(a.action == given.action for a in right) else (expected, given.action)
        if not any(given.endpoint in {(e.address, e.port) for e in a.endpoints} for a in right):
            return expected, f"forward to {given.endpoint[0]}:{given.endpoint[1]}"
        return self.compare_policy(packet, given)

    def compare_policy(self, packet, given):
        address, port = given.endpoint
        translated = policy_oracle.Packet(packet.source, address, packet.key[2], port,
                                          self.name if packet.source_class == service_oracle.NODE else "")
        directions = self.node.directions(translated)
        judgement = self.policy.judge(translated)
        expected = judge.expected(judgement, directions)
        verdict = given.policy.verdict
        self.counts["policy: " + ("hairpin" if packet.source == address else verdict)] += 1
        if verdict in expected and judge.direction_agrees(judgement, directions, given.policy):
            return None
        if not self.is_reachable(address) and verdict != policy_oracle.ALLOWED and verdict != policy_oracle.DENIED:
            self.counts["policy: nobody there"] += 1
            return None
        return (f"to {address}:{port}: {'/'.join(sorted(expected))}: {compare.explain(judgement, directions)}",
                f"to {address}:{port}: {verdict} {given.policy.direction}".strip())

    def is_reachable(self, address):
        """Not an address of the cluster's that no pod has."""
        return self.policy.pod_at(address) is not None or \
            not any(ipaddress.ip_address(address) in ipaddress.ip_network(cidr) for node in self.policy.nodes
                    for cidr in node["spec"].get("podCIDRs") or []
                    if ipaddress.ip_network(cidr).version == service_oracle.family_of(address))


# Packets.

def packets(comparison, made, count):
    """Random ones to the doors of a node."""
    rng, node, doors = made.rng, comparison.name, comparison.doors
    own = next(n for n in made.nodes if n["metadata"]["name"] == node)
    senders = {
        service_oracle.POD: sorted(comparison.node.ports),
        service_oracle.NODE: gateway_addresses(node),
        # The host's stack may give what comes from outside its own address; that does not make it the node's own.
        service_oracle.OUTSIDE: [a for s in service_compare.SOURCES.values() for a in s if not a.startswith(
            ("10.244.", "fd00:10:244:"))] + gateway_addresses(node)}
    keys = sorted(doors)
    for _ in range(count if keys else 0):
        key = rng.choice(keys)
        family, kind = service_oracle.family_of(key[1]), rng.choice((service_oracle.POD,) * 3 + (
            service_oracle.NODE, service_oracle.OUTSIDE))
        sources = [a for a in senders[kind] if service_oracle.family_of(a) == family]
        if kind == service_oracle.OUTSIDE and rng.random() < 0.5:
            sources = service_compare.sources_of(doors[key], family)
            sources = [a for a in sources if not any(ipaddress.ip_address(a) in ipaddress.ip_network(c) for n in made.nodes
                                                     for c in n["spec"]["podCIDRs"] if (":" in c) == (family == 6))]
        address = key[1]
        # Those that its uplink has; what others' ExternalIPs are, its own stack knows.
        mine = [i["address"] for i in own["status"]["addresses"] if i["type"] == "InternalIP" and
                service_oracle.family_of(i["address"]) == family]
        if key[0] == service_oracle.NODE_PORT:
            address = rng.choice(mine) if kind == service_oracle.POD else LINK_NODE[family]
        elif address in mine and kind != service_oracle.POD:
            continue                    # The host's stack has an alias for it.
        if sources:
            yield Packet(kind, rng.choice(sources), key, address, rng.randrange(1, 1 << 32))


# Shares.

SLOTS = 256


def measured_shares(comparison, packet):
    """{(address, port): share of the values of the hash} of the endpoints behind a door: 8 bits of it choose a group if there
    are several (a shard), 8 others a bucket."""
    groups = collections.Counter()
    first = {}
    for value, trace in enumerate(asked(comparison, packet, [value << 8 for value in range(SLOTS)])):
        group = (GROUP.findall(trace) or [""])[-1]
        groups[group] += 1
        first.setdefault(group, value << 8)
    found = collections.Counter()
    for group, n_values in groups.items():
        for trace in asked(comparison, packet, [first[group] + value for value in range(SLOTS)]):
            found[given_of(trace).endpoint] += n_values / SLOTS / SLOTS
    comparison.counts["groups measured"] += len(groups)
    return found


def asked(comparison, packet, hashes):
    """Bits that nobody looks at make sure that it is not 0, which is none."""
    yield from comparison.switch.trace([(comparison.question(packet._replace(hash=1 << 16 | value)), "trk,new,dnat")
                                        for value in hashes])


# Shrinking.

def still_wrong(switch, objects, mismatch, damage=None):
    try:
        found = next(Comparison(switch, objects, mismatch.node, damage).run([mismatch.packet]), None)
    except (manifests.CompileError, RuntimeError, KeyError, TypeError, IndexError, AttributeError, ValueError):
        return None
    return found if found and found.given.split()[0] == mismatch.given.split()[0] else None


def shrink(switch, mismatch, damage=None):
    return compare.smallest(mismatch, lambda objects: still_wrong(switch, objects, mismatch, damage), 400)


def report(switch, mismatch, seed, damage=None):
    small = shrink(switch, mismatch, damage)
    packet = small.packet
    return (f"seed {seed}: {small.node}: {packet.source_class} {packet.source} -> {service_compare.text_of_key(packet.key)}\n"
            f"  oracle: {small.expected}\n  Open vSwitch: {small.given}\n  {small.question}\n{manifests.text(small.objects)}")


# One cluster.

SHAPES = ({}, {"networkpolicies": 8, "clusterpolicies": 3}, {"services": 12, "networkpolicies": 20},
          {"services": 4, "large": 300}, {"pods": (14, 4, 3), "networkpolicies": 4, "clusterpolicies": 6})


def one_cluster(switch, seed, count, damage=None, reports=True):
    """(counts, texts of mismatches)."""
    made = service_generator.Generator(random.Random(seed), **SHAPES[seed % len(SHAPES)])
    counts, texts = collections.Counter(), []
    for node, share in (("node-1", count), ("node-2", count // 4)):
        comparison = Comparison(switch, made.objects(), node, damage)
        wrong = list(comparison.run(packets(comparison, made, share)))
        wrong += shares(comparison, made)
        counts += comparison.counts
        counts["nodes"] += 1
        counts["mismatches"] += len(wrong)
        if wrong and reports:
            texts.append(report(switch, wrong[0], seed, damage))
    return counts, texts


def shares(comparison, made):
    """Of a door with some endpoints every value of the hash; one of many endpoints if there is one."""
    candidates = {}
    for packet in packets(comparison, made, 60):
        answers = comparison.right(packet)
        # With affinity the client chooses, not the hash of the packet.
        if len(answers) == 1 and len(answers[0].endpoints) > 1 and not comparison.doors[packet.key][0].affinity:
            candidates.setdefault(len(answers[0].endpoints), packet)
    for n in sorted(candidates)[-1:] + sorted(candidates)[:1]:
        found = measured_shares(comparison, candidates[n])
        comparison.counts["shares measured"] += n
        off = {e: s for e, s in found.items() if e is None or abs(s * n - 1) > service_compare.SHARE_TOLERANCE}
        if off or len(found) != n:
            yield Mismatch(comparison.objects, comparison.name, candidates[n], candidates[n].key,
                           comparison.question(candidates[n]), f"{n} shares of {1 / n:.4f}",
                           f"shares: {len(found)} endpoints, " + str(dict(sorted(off.items(), key=str)[:10])))


# Sets of every size.

def service_of_size(n):
    """One Service with so many endpoints, outside of the cluster, and a pod that asks."""
    base, slices = ipaddress.ip_address("203.0.0.0"), []
    for first in range(0, n, 1000):
        endpoints = [{"addresses": [str(base + 1 + i)]} for i in range(first, min(n, first + 1000))]
        slices.append({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                       "metadata": {"name": f"web-{first}", "namespace": "default",
                                    "labels": {service_oracle.SERVICE_NAME: "web"}},
                       "ports": [{"port": 8080}], "endpoints": endpoints})
    return [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {"podCIDRs": ["10.244.1.0/24"]},
             "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "namespace": "default"},
             "spec": {"nodeName": "node-1", "containers": [{"name": "c"}]},
             "status": {"phase": "Running", "podIPs": [{"ip": "10.244.1.9"}]}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
             "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}}] + slices


def share_of_size(switch, n):
    """(least, most) of the shares of n endpoints, of the fair one, by every value of the hash; and how many groups."""
    comparison = Comparison(switch, service_of_size(n), "node-1")
    key = (service_oracle.CLUSTER_IP, "10.96.0.1", "TCP", 80)
    found = measured_shares(comparison, Packet(service_oracle.POD, "10.244.1.9", key, key[1], 1))
    wanted = {(e.address, e.port) for door in comparison.doors[key] for a in door.of_class[service_oracle.POD]
              for e in a.endpoints}
    if set(found) != wanted or len(wanted) != n:
        return 0, 0, comparison.counts["groups measured"]
    return min(found.values()) * n, max(found.values()) * n, comparison.counts["groups measured"]


# Does it find what is wrong?

DAMAGES = {
    "rejects are drops": replaced(r"^(table=6\(.*actions=).*userdata=06.*$", r"\1drop"),
    "drops are rejects": replaced(r"^(table=6\(.*(?:tp_dst|nw_frag).*actions=)drop$",
                                  r"\1controller(max_len=1294,userdata=06.00.00.00,meter_id=6)"),
    "outside sees the whole cluster": without(r"^table=6\(.*reg0=0x7/0xf,"),
    "ranges do not count": without(r"^table=6\(.*priority=410,.*tp_dst=.*actions=drop$"),
    "another endpoint": replaced(r"^(group_id=.*?nat\(dst=\d+\.\d+\.\d+\.)\d+", r"\g<1>250"),
    "another port": replaced(r"^(group_id=.*?nat\(dst=[^)]*:)\d+\)", r"\g<1>7)"),
    "not translated": replaced(r",nat\(dst=[^)]*\)", ""),
    "policy is not asked": replaced(r"^(group_id=.*?ct\(commit,table=)12", r"\g<1>50"),
    "one endpoint has more": replaced(r"^(group_id=\d{3,}.*?)weight:\d+(.*weight)", r"\g<1>weight:999\2"),
    "affinity leads nowhere": without(r"^table=9\(.*priority=[1-9]"),
    "a shard is missing": without(r"^table=11\(.*reg8=0/"),
    "no NodePorts": without(r"^table=6\(.*priority=3\d\d, "),
    "no doors of IPv6": without(r"^table=6\(.*priority=[34]\d\d.*ipv6_dst="),
}


def undetected(switch, seed, clusters=12):
    """Damages that go unnoticed."""
    left = dict(DAMAGES)
    for number in range(clusters):
        for name, damage in list(left.items()):
            if one_cluster(switch, seed + number, 240, damage, reports=False)[0]["mismatches"]:
                del left[name]
        if not left:
            break
    return list(left)
