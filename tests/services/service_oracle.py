"""What Kubernetes says of a packet to a Service: an oracle.

Written from the acceptance list of Services (numbers in docstrings, "services 4", are those of its items) and
Kubernetes' documentation, and not from the daemon's sources.  It works everything out anew for each question, the
obvious way.

    cluster = Cluster(objects, "node-1")        # Dictionaries, as the API gives them; what this node does.
    door = cluster.doors()["ClusterIP", "10.96.0.1", "TCP", 80]
    door.answers("pod", "10.244.1.5")           # [Answer(...)]: more than one where the API leaves a choice.

A packet comes from one of CLASSES: a pod of this node, this node's own stack, or from outside, which is everything
that the node forwards; other nodes and their pods come from outside too."""

import collections
import functools
import ipaddress
import itertools

TCP, UDP, SCTP = "TCP", "UDP", "SCTP"
POD, NODE, OUTSIDE = "pod", "node", "outside"
CLASSES = (POD, NODE, OUTSIDE)
CLUSTER_IP, NODE_PORT, EXTERNAL_IP, LOAD_BALANCER = "ClusterIP", "NodePort", "ExternalIP", "LoadBalancer"
ANY_ADDRESS = {4: "0.0.0.0", 6: "::"}
# DIRECT: the address and port are an endpoint themselves, and what goes there is not translated.
FORWARD, REJECT, DROP, DIRECT = "forward", "reject", "drop", "direct"

NOT_OURS = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")
SERVICE_NAME, ZONE = "kubernetes.io/service-name", "topology.kubernetes.io/zone"
MAX_CHOICES = 1 << 14                   # Of 14 endpoints that slices contradict one another about.

# A place that a packet may be sent to.
Endpoint = collections.namedtuple("Endpoint", "address port local terminating")
# What becomes of a packet; 'endpoints' is a frozenset, from which each has an equal share.
Answer = collections.namedtuple("Answer", "action endpoints why")
# One copy of an endpoint in one slice: all that choosing needs.
Copy = collections.namedtuple("Copy", "ready serving terminating local zones nodes")


def name_of(obj):
    namespace = obj["metadata"].get("namespace")
    return (namespace + "/" if namespace else "") + obj["metadata"]["name"]


def labels_of(obj):
    return obj["metadata"].get("labels") or {}


@functools.lru_cache(maxsize=100000)
def family_of(address):
    return ipaddress.ip_address(address).version


@functools.lru_cache(maxsize=100000)
def plain(address):
    """The canonical text."""
    return str(ipaddress.ip_address(address))


# What the API server would not have taken (and a directory of manifests may have): as if it were not there.

@functools.lru_cache(maxsize=100000)
def is_special(text):
    """Kubernetes refuses these as endpoints and as externalIPs."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return True
    return address.is_unspecified or address.is_loopback or address.is_link_local or address.is_multicast


def is_port(number):
    return isinstance(number, int) and 1 <= number <= 65535


def is_good_service(service):
    spec = service["spec"]
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return False
    names = [port.get("name") or "" for port in ports]
    numbers = [(port.get("protocol") or TCP, port["port"]) for port in ports]
    return (all(is_port(port["port"]) for port in ports) and len(set(names)) == len(names) and
            (len(ports) == 1 or all(names)) and len(set(numbers)) == len(numbers) and
            not any(is_special(a) for a in spec.get("externalIPs") or []))


def is_good_slice(item):
    if item["addressType"] == "FQDN":
        return True
    names = [port.get("name") or "" for port in item.get("ports") or []]
    return len(set(names)) == len(names) and \
        all(port.get("port") is None or is_port(port["port"]) for port in item.get("ports") or []) and \
        all(not is_special(e["addresses"][0]) and family_of(e["addresses"][0]) == slice_family(item)
            for e in item.get("endpoints") or [])


def slice_family(item):
    return {"IPv4": 4, "IPv6": 6}.get(item["addressType"])


# Services.

def is_left_alone(obj):
    """services 1: by label, on a Service or a slice, whatever its value."""
    return any(label in labels_of(obj) for label in NOT_OURS)


def cluster_ips(service):
    spec = service["spec"]
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [plain(a) for a in found if a and a != "None"]


def is_served(service):
    """services 1: ExternalName, headless and labelled Services are none of ours; nor what has no address yet."""
    return service["spec"].get("type") != "ExternalName" and service["spec"].get("clusterIP") != "None" and \
        bool(cluster_ips(service)) and not is_left_alone(service)


def type_of(service):
    return service["spec"].get("type") or "ClusterIP"


def affinity_of(service):
    """services 21: seconds; 0: none."""
    spec = service["spec"]
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    return ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") or 10800


def load_balancer_ips(service):
    """services 16: captured if ipMode is absent or VIP; host names are none of ours."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [plain(item["ip"]) for item in ingress if item.get("ip") and (item.get("ipMode") or "VIP") == "VIP"]


def source_ranges(service, family):
    """services 18: trimmed, of the family."""
    found = [ipaddress.ip_network(text.strip(), strict=False)
             for text in service["spec"].get("loadBalancerSourceRanges") or []]
    return [network for network in found if network.version == family]


class Door:
    """What leads to a port of a Service.  'ways': for each way to settle what slices contradict one another about
    {class: Answer}; 'of_class': for each of CLASSES the answers that are right; 'ranges': only sources in these get in
    ([]: everybody)."""

    def __init__(self, service, port, key, affinity, ways, ranges):
        self.service, self.port, self.key, self.affinity = service, port, key, affinity
        self.ways, self.ranges = ways, ranges
        self.of_class = {source: list(dict.fromkeys(way[source] for way in ways)) for source in CLASSES}

    def leads_to(self, address, number):
        """Whether this may be one of its endpoints, for whomever."""
        return any(leads_to(way, address, number) for way in self.ways)

    def untranslated(self):
        """The door at the address itself, not at an alias of it: nothing is translated to itself."""
        kind, address, _, number = self.key
        if not self.leads_to(address, number):
            return self
        own = dict.fromkeys(CLASSES, Answer(DROP if kind == CLUSTER_IP else DIRECT, frozenset(), "its own endpoint"))
        ways = unique(own if leads_to(way, address, number) else way for way in self.ways)
        return Door(self.service, self.port, self.key, self.affinity, ways, self.ranges)

    def answers(self, source_class, source):
        """services 18: the node itself may always reach the address."""
        if self.ranges and source_class != NODE and not any(ipaddress.ip_address(source) in r for r in self.ranges):
            return [Answer(DROP, frozenset(), "not in loadBalancerSourceRanges")]
        return self.of_class[source_class]


class Cluster:
    def __init__(self, objects, node):
        self.node = node
        self.services = [o for o in objects if o["kind"] == "Service" and is_good_service(o) and is_served(o)]
        self.slices = [o for o in objects if o["kind"] == "EndpointSlice" and is_good_slice(o) and not is_left_alone(o)]
        own = [o for o in objects if o["kind"] == "Node" and name_of(o) == node]
        self.zone = labels_of(own[0]).get(ZONE) if own else None

    # services 2: which endpoints a port of a Service has.

    def slices_of(self, service, family):
        return [s for s in self.slices if slice_family(s) == family and
                s["metadata"].get("namespace") == service["metadata"].get("namespace") and
                labels_of(s).get(SERVICE_NAME) == service["metadata"]["name"]]

    def copies(self, service, family, port):
        """services 2, 22: {(address, port): [Copy]}: joined by the port's name (and its protocol)."""
        found = collections.defaultdict(list)
        for item in self.slices_of(service, family):
            for slice_port in item.get("ports") or []:
                if (slice_port.get("name") or "", slice_port.get("protocol") or TCP) != \
                        (port.get("name") or "", port.get("protocol") or TCP) or slice_port.get("port") is None:
                    continue
                for endpoint in item.get("endpoints") or []:
                    found[plain(endpoint["addresses"][0]), slice_port["port"]].append(self.copy(endpoint))
        return found

    def copy(self, endpoint):
        """services 3: what is not said; services 5: an empty list of hints is none."""
        conditions, hints = endpoint.get("conditions") or {}, endpoint.get("hints") or {}
        ready = conditions.get("ready")
        ready = True if ready is None else ready
        serving = conditions.get("serving")
        return Copy(ready, ready if serving is None else serving, bool(conditions.get("terminating")),
                    endpoint.get("nodeName") == self.node,
                    frozenset(h["name"] for h in hints.get("forZones") or []),
                    frozenset(h["name"] for h in hints.get("forNodes") or []))

    def choices(self, service, family, port):
        """The endpoints, one list for each way to settle what slices say differently of one of them: [{(address, port):
        Copy}].  The API says that there may be duplicates, and not which of them counts.  Ours is documented: one that is
        ready, else one that serves; the rest is left open."""
        copies = self.copies(service, family, port)
        keys, best = sorted(copies), []
        for key in keys:
            first = max((c.ready, c.serving) for c in copies[key])
            best.append(sorted({c for c in copies[key] if (c.ready, c.serving) == first}, key=repr))
        ways = itertools.product(*best)
        return [dict(zip(keys, way)) for way in itertools.islice(ways, MAX_CHOICES)]

    # services 4, 5: the choice.

    def hinted(self, ready):
        """services 5: those that hints keep here, and by which."""
        if ready and all(c.nodes for c in ready.values()) and any(self.node in c.nodes for c in ready.values()):
            return {k: c for k, c in ready.items() if self.node in c.nodes}, "hints for this node"
        if ready and all(c.zones for c in ready.values()) and any(self.zone in c.zones for c in ready.values()):
            return {k: c for k, c in ready.items() if self.zone in c.zones}, "hints for this zone"
        return ready, "all ready"

    def cluster_set(self, endpoints):
        """services 4: ready ones after topology, else those that terminate and still serve."""
        chosen, why = self.hinted({k: c for k, c in endpoints.items() if c.ready})
        if not chosen:
            chosen, why = {k: c for k, c in endpoints.items() if c.serving and c.terminating}, "terminating"
        return made(chosen), why

    @staticmethod
    def local_set(endpoints):
        """services 4: the same among this node's, without hints."""
        local = {k: c for k, c in endpoints.items() if c.local}
        chosen, why = {k: c for k, c in local.items() if c.ready}, "local ready"
        if not chosen:
            chosen, why = {k: c for k, c in local.items() if c.serving and c.terminating}, "local terminating"
        return made(chosen), why

    def cluster_answer(self, endpoints):
        """services 9: nothing that could be used anywhere."""
        chosen, why = self.cluster_set(endpoints)
        return Answer(FORWARD, chosen, why) if chosen else Answer(REJECT, frozenset(), "no endpoint")

    def local_answer(self, endpoints):
        """services 8, 13: drop if there is none here but one elsewhere."""
        chosen, why = self.local_set(endpoints)
        if chosen:
            return Answer(FORWARD, chosen, why)
        return Answer(DROP, chosen, "no local endpoint") if self.cluster_set(endpoints)[0] else \
            Answer(REJECT, chosen, "no endpoint")

    # The doors.

    def ways(self, service, family, port):
        """(internal, external): [{class: Answer}]."""
        internal, external = [], []
        spec = service["spec"]
        for endpoints in self.choices(service, family, port):
            cluster, local = self.cluster_answer(endpoints), self.local_answer(endpoints)
            # services 8: from wherever.
            internal.append(dict.fromkeys(CLASSES, local if spec.get("internalTrafficPolicy") == "Local" else cluster))
            # services 13, 14: from pods of this node and from the node itself the whole cluster.
            external.append({source: local if spec.get("externalTrafficPolicy") == "Local" and source == OUTSIDE else cluster
                             for source in CLASSES})
        return unique(internal), unique(external)

    def doors(self):
        """{(kind, address, protocol, number): [Door]}: several if Services contend for one.  The address of a NodePort
        is any of the node's, and here that of ANY_ADDRESS."""
        found = collections.defaultdict(list)
        for service in self.services:
            for address in cluster_ips(service):
                for port in service["spec"]["ports"]:
                    for door in self.doors_of(service, address, port):
                        found[door.key].append(door)
        return dict(found)

    def doors_of(self, service, cluster_ip, port):
        """services 22: each family that the Service has an address of, by itself."""
        spec, family = service["spec"], family_of(cluster_ip)
        protocol, affinity = port.get("protocol") or TCP, affinity_of(service)
        internal, external = self.ways(service, family, port)

        def door(kind, address, number, ways, ranges=()):
            return Door(service, port, (kind, address, protocol, number), affinity, ways, ranges)

        yield door(CLUSTER_IP, cluster_ip, port["port"], internal)
        if type_of(service) in ("NodePort", "LoadBalancer") and port.get("nodePort"):
            yield door(NODE_PORT, ANY_ADDRESS[family], port["nodePort"], external)       # services 12, 19
        for address in sorted({plain(a) for a in spec.get("externalIPs") or []}):   # services 17
            if family_of(address) == family:
                yield door(EXTERNAL_IP, address, port["port"], external)
        if type_of(service) == "LoadBalancer":
            for address in sorted(set(load_balancer_ips(service))):                 # services 16
                if family_of(address) == family:
                    yield door(LOAD_BALANCER, address, port["port"], external, source_ranges(service, family))

    def cluster_addresses(self):
        """services 10: what goes to another port of these is rejected."""
        return {address for service in self.services for address in cluster_ips(service)}


def made(chosen):
    return frozenset(Endpoint(address, port, c.local, c.terminating) for (address, port), c in chosen.items())


def leads_to(way, address, number):
    return any((e.address, e.port) == (address, number) for answer in way.values() for e in answer.endpoints)


def unique(ways):
    return list({tuple(way.values()): way for way in ways}.values())
