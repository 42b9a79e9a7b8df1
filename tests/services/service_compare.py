"""Compares what the oracle says of the doors of a node with what "sluicectl compile --services --json" says; reduces what
differs."""

import collections
import functools
import ipaddress
import json
import os
import random
import re
import tempfile

import compare
import manifests
import service_generator
import service_oracle as oracle

# 'key' is the door's; 'source' is (class, address); the rest are texts.
Mismatch = collections.namedtuple("Mismatch", "objects node key source expected given")

SOURCES = {4: ("192.0.2.1", "198.51.100.7", "10.244.1.5", "10.244.2.5", "203.0.113.9", "8.8.8.8"),
           6: ("2001:db8::1", "2001:db9::1", "fd00:10:244:1::5", "fd00:10:244:2::5")}
LINKS = (ipaddress.ip_network("169.254.192.0/18"), ipaddress.ip_network("fd53:4c00:0:1::/64"))
SHARE_TOLERANCE = 0.1


# Asking the compiler.

def is_good(obj):
    return {"Service": oracle.is_good_service, "EndpointSlice": oracle.is_good_slice}.get(obj["kind"], lambda _: True)(obj)


def write(folder, objects):
    """What is refused has a file of its own: of a file with something wrong in it nothing is used."""
    good = [o for o in objects if is_good(o)]
    manifests.write(os.path.join(folder, "objects.yaml"), good)
    for number, obj in enumerate(o for o in objects if not is_good(o)):
        manifests.write(os.path.join(folder, f"bad-{number}.yaml"), [obj])


def compile_doors(objects, node):
    with tempfile.TemporaryDirectory(prefix="sluice-oracle-") as folder:
        write(folder, objects)
        return json.loads(manifests.compile_dir(folder, node, "--services", "--json"))


class Given:
    """The doors of the compiler: which of them a packet meets."""

    def __init__(self, doors):
        self.doors, self.aliases = collections.defaultdict(list), collections.defaultdict(list)
        self.rest = {}
        for door in doors:
            # What leads to itself at a node's port is compared by packets.
            if door["kind"] == "HostPort" or (door["kind"], door["action"]) == ("NodePort", oracle.DIRECT):
                continue
            if is_link(door["address"]):
                self.aliases[door["kind"], door["address"], door["protocol"], door["port_number"]].append(door)
                continue
            if door["protocol"] == "any":
                self.rest[door["address"]] = door
            else:
                self.doors[door["kind"], door["address"], door["protocol"], door["port_number"]].append(door)

    def met(self, key, source_class, source, doors=None):
        """flows/service-flow.h: what is for one class goes before what is for anybody, then what is for a prefix before
        what is not; None: nothing captures the packet."""
        found = [d for d in (self.doors if doors is None else doors).get(key, ()) if d["source"] in ("anybody", source_class) and
                 ("src" not in d or ipaddress.ip_address(source) in ipaddress.ip_network(d["src"]))]
        return max(found, default=None, key=lambda d: (
            ("anybody", "node", "outside").index(d["source"]), ipaddress.ip_network(d["src"]).prefixlen if "src" in d else -1))


@functools.lru_cache(maxsize=100000)
def is_link(address):
    """Between br-int and the node's stack: what it makes of a local address that is a Service's too."""
    return any(ipaddress.ip_address(address) in network for network in LINKS)


def answers_of_switch(door, source_class, source):
    """What br-int has to do.  Where the node's stack gives what comes from outside its own address (externalTrafficPolicy
    Cluster) br-int cannot see who it is, so the stack looks at the ranges (services 18: test-lab-service-*)."""
    if source_class == oracle.OUTSIDE and door.service["spec"].get("externalTrafficPolicy") != "Local":
        return door.of_class[source_class]
    return door.answers(source_class, source)


def endpoints_of(door):
    return frozenset(oracle.Endpoint(oracle.plain(e["address"]), e["port"], e["local"], e["terminating"])
                     for e in door["endpoints"])


def unfair(door):
    """What is wrong with the shares; None: nothing."""
    shares = [e["share"] for e in door["endpoints"]]
    if len(endpoints_of(door)) != len(shares):
        return "an endpoint is there twice"
    if not shares:
        return None
    if abs(sum(shares) - 1) > 1e-6:
        return f"the shares add up to {sum(shares)}"
    off = [s for s in shares if abs(s * len(shares) - 1) > SHARE_TOLERANCE]
    return f"a share of {off[0]} of {len(shares)} endpoints" if off else None


# The comparison.

def text_of(action, endpoints, affinity=0):
    found = [f"{e.address}:{e.port}{' local' if e.local else ''}{' terminating' if e.terminating else ''}"
             for e in sorted(endpoints)]
    return action + (" to " + ", ".join(found) if found else "") + (f" affinity {affinity}" if affinity else "")


def text_of_door(door):
    return text_of(door["action"], endpoints_of(door), door["affinity"]) if door else "not captured"


def sources_of(doors, family):
    """Addresses inside and outside of every range, and at its edges."""
    found = set(SOURCES[family]) if any(d.ranges for d in doors) else {SOURCES[family][0]}
    for door in doors:
        for network in door.ranges:
            for number in (int(network.network_address), int(network.broadcast_address)):
                for at in (number - 1, number, number + 1):
                    if 0 < at < 1 << network.max_prefixlen:
                        found.add(str(type(network.network_address)(at)))
    return sorted(found)


def own_addresses(objects, node):
    return {oracle.plain(a["address"]) for o in objects if o["kind"] == "Node" and oracle.name_of(o) == node
            for a in o["status"]["addresses"] if a["type"] != "Hostname"}


class Comparison:
    """'damage' changes the compiler's doors, to show that this would be seen."""

    def __init__(self, objects, node, damage=None):
        self.objects, self.node = objects, node
        self.expected = oracle.Cluster(objects, node)
        doors = compile_doors(objects, node)
        self.own = own_addresses(objects, node)
        self.given = Given(damage(doors) if damage else doors)
        self.counts = collections.Counter()

    def mismatch(self, key, source, expected, given):
        return Mismatch(self.objects, self.node, key, source, expected, given)

    def run(self):
        """Yields the mismatches."""
        expected = self.expected.doors()
        self.counts["nodes"] += 1
        for key in sorted(set(self.given.doors) - set(expected), key=str):
            yield self.mismatch(key, None, "no such door", "; ".join(map(text_of_door, self.given.doors[key])))
        for key, doors in expected.items():
            if key not in self.given.doors and any(other[1:] == key[1:] for other in self.given.doors):
                self.counts["contended"] += 1       # By another kind of address of that number, which is looked at too.
                continue
            self.counts["doors"] += 1
            yield from self.door(key, [door.untranslated() for door in doors])
        yield from self.aliases(expected)
        yield from self.rests()

    def aliases(self, expected):
        """Each address of this node that is a Service's has one more door, which leads to the same."""
        wanted = [(key, doors) for key, doors in expected.items()
                  if key[0] in (oracle.EXTERNAL_IP, oracle.LOAD_BALANCER) and key[1] in self.own]
        if len(self.given.aliases) != len({key[1:] for key, _ in wanted}):
            yield self.mismatch(("aliases", "0.0.0.0", "any", 0), None, f"{len(wanted)} aliases", str(list(self.given.aliases)))
        for alias in self.given.aliases:
            self.counts["aliases"] += 1
            wrong = [list(self.door(alias, doors, self.given.aliases)) for key, doors in wanted
                     if (key[0], *key[2:]) == (alias[0], *alias[2:]) and
                     oracle.family_of(key[1]) == oracle.family_of(alias[1])]
            if all(wrong):
                yield from wrong[0] if wrong else [self.mismatch(alias, None, "no such alias", "one")]

    def door(self, key, doors, given=None):
        for source_class in oracle.CLASSES:
            for source in sources_of(doors, oracle.family_of(key[1])):
                self.counts["answers"] += 1
                door = self.given.met(key, source_class, source, given)
                wrong = self.compare(doors, door, source_class, source)
                if wrong:
                    yield self.mismatch(key, (source_class, source), *wrong)

    def compare(self, doors, given, source_class, source):
        """None, or (expected, given)."""
        right = [(d, a) for d in doors for a in answers_of_switch(d, source_class, source)]
        for _, answer in right[:1]:
            self.counts[answer.action] += 1
            self.counts["why: " + answer.why] += 1
        if len(right) > 1:
            self.counts["either"] += 1
        expected = " or ".join(sorted({f"{text_of(a.action, a.endpoints, a.action == oracle.FORWARD and d.affinity)}"
                                       f" ({a.why})" for d, a in right}))
        if given is None:
            return expected, "not captured"
        for door, answer in right:
            if (given["namespace"], given["name"]) == tuple(oracle.name_of(door.service).split("/")) and \
                    given["port"] == door.port.get("name") and given["action"] == answer.action and \
                    endpoints_of(given) == answer.endpoints and \
                    (answer.action != oracle.FORWARD or given["affinity"] == door.affinity):
                wrong = unfair(given)
                return (expected, wrong) if wrong else None
        return expected, f"{given['namespace']}/{given['name']} {given['port']}: {text_of_door(given)} ({given['why']})"

    def rests(self):
        """services 10: nothing else of a cluster address is let through."""
        wanted = self.expected.cluster_addresses()
        for address in sorted(wanted | set(self.given.rest)):
            door = self.given.rest.get(address)
            if address not in wanted or door is None or door["action"] != oracle.REJECT:
                yield self.mismatch(("rest", address, "any", 0), None, "reject" if address in wanted else "no such door",
                                    text_of_door(door))


# Shrinking.

def still_wrong(objects, mismatch, damage=None):
    """A mismatch of the same door with other objects."""
    try:
        found = [m for m in Comparison(objects, mismatch.node, damage).run() if m.key == mismatch.key]
    except (manifests.CompileError, KeyError, TypeError, IndexError, AttributeError, ValueError):
        return None
    return found[0] if found else None


def shrink(mismatch, damage=None):
    return compare.smallest(mismatch, lambda objects: still_wrong(objects, mismatch, damage), 400)


def text_of_key(key):
    return f"{key[0]} {key[1]} {key[2].lower()}/{key[3]}"


def report(mismatch, seed, damage=None):
    """The text of a mismatch, as small as it gets: what to put into tests/services/golden."""
    small = shrink(mismatch, damage)
    source = f"{small.source[0]} {small.source[1]} -> " if small.source else ""
    return (f"seed {seed}: {small.node}: {source}{text_of_key(small.key)}\n  oracle: {small.expected}\n"
            f"  sluicectl: {small.given}\n{manifests.text(small.objects)}")


# Does it find what is wrong?

def changed(choose, change):
    """A damage: 'change' is done to the first door that 'choose' takes."""
    def damage(doors):
        for door in doors:
            if choose(door):
                change(door)
                break
        return doors
    return damage


def flip(member):
    def change(door):
        door["endpoints"][0][member] = not door["endpoints"][0][member]
    return change


def unbalance(door):
    door["endpoints"][0]["share"] *= 1.2
    door["endpoints"][1]["share"] -= door["endpoints"][0]["share"] - door["endpoints"][0]["share"] / 1.2


def forwards(door, least=1):
    return door["action"] == "forward" and len(door["endpoints"]) >= least


DAMAGES = {
    "an endpoint is missing": changed(lambda d: forwards(d, 2), lambda d: d["endpoints"].pop()),
    "an endpoint is there twice": changed(forwards, lambda d: d["endpoints"].append(d["endpoints"][0])),
    "an endpoint has another port": changed(forwards, lambda d: d["endpoints"][0].update(port=1)),
    "an endpoint is not local": changed(forwards, flip("local")),
    "an endpoint terminates": changed(forwards, flip("terminating")),
    "a share is 20 % off": changed(lambda d: forwards(d, 2), unbalance),
    "rejected instead of dropped": changed(lambda d: d["action"] == "drop" and "src" not in d, lambda d: d.update(action="reject")),
    "dropped instead of rejected": changed(lambda d: d["action"] == "reject", lambda d: d.update(action="drop")),
    "no affinity": changed(lambda d: forwards(d) and d["affinity"], lambda d: d.update(affinity=0)),
    "everybody gets in": changed(lambda d: "src" in d and d["src"] not in ("0.0.0.0/0", "::/0"), lambda d: d.pop("src")),
    "outside is as inside": lambda doors: [d for d in doors if d["source"] != "outside"],
    "a port of a Service is not there": lambda doors: [d for d in doors if d["port"] != "web"],
    "NodePorts of IPv6 are not there": lambda doors: [d for d in doors if d["address"] != "::"],
    "a door too many": changed(lambda d: d["kind"] == "NodePort", lambda d: d.update(port_number=29999)),
    "another Service": changed(forwards, lambda d: d.update(name="other")),
    "a load balancer is an external IP": changed(lambda d: d["kind"] == "LoadBalancer", lambda d: d.update(kind="ExternalIP")),
    "other ports are let through": lambda doors: [d for d in doors if d["protocol"] != "any"],
}


def undetected(seed, clusters=60):
    """Damages that go unnoticed; and how many objects the smallest case of one of them has."""
    left, smallest = dict(DAMAGES), None
    for number in range(clusters):
        objects = service_generator.Generator(random.Random(seed + number)).objects()
        for name, damage in list(left.items()):
            wrong = list(Comparison(objects, "node-1", damage).run())
            if wrong:
                del left[name]
                if name == "an endpoint is missing":
                    found = shrink(wrong[0], damage)
                    smallest = sum(o["kind"] in ("Service", "EndpointSlice") for o in found.objects)
        if not left:
            break
    return list(left), smallest


# One cluster.

SHAPES = ({}, {}, {"services": 12, "slices": 4}, {"services": 5, "bad": True}, {"services": 3, "large": 300},
          {"services": 6, "contended": True}, {"services": 2, "many": True}, {"services": 15, "slices": 1})


def cluster(seed):
    shape = dict(SHAPES[seed % len(SHAPES)])
    many = shape.pop("many", False)
    made = service_generator.Generator(random.Random(seed), **shape)
    if many:
        made.many_slices(made.services[0])
    for _ in range(seed % 3 * 10):
        made.step()
    return made


def one_cluster(seed, nodes=service_generator.NODES[:2]):
    """(counts, texts of mismatches)."""
    counts, texts = collections.Counter(), []
    objects = cluster(seed).objects()
    for node in nodes:
        comparison = Comparison(objects, node)
        wrong = list(comparison.run())
        counts += comparison.counts
        counts["mismatches"] += len(wrong)
        if wrong:
            texts.append(report(wrong[0], seed))
    counts["clusters"] += 1
    return counts, texts


def source_class_of(text):
    """As in the golden cases: "pod 10.244.1.5"."""
    return re.match(r"(pod|node|outside)(?: (\S+))?$", text).groups()
