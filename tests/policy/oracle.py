"""What NetworkPolicy and ClusterNetworkPolicy say of one packet: an oracle.

Written from the acceptance lists of both APIs, and not from the compiler: numbers in docstrings ("networkpolicy 9",
"clusternetworkpolicy 7") are those of its items.  It asks rule after rule for each packet, the obvious way; all that
is remembered is whose an address is and which policies select a pod.

    cluster = Cluster(objects)                  # Dictionaries, as the API gives them.
    judgement = cluster.judge(Packet(...))
    judgement.verdicts                          # {"allowed"}, {"denied"}; both if the API says "any".
    judgement.egress.outcomes                   # {Outcome("allowed", frozenset({Reason("egress", "NetworkPolicy", ...)}))}

An address is a string in its canonical form.  A packet is the first of a connection; replies and related ICMP errors
always pass (networkpolicy 24) and are no business of the oracle."""

import collections
import functools
import ipaddress

ALLOWED, DENIED = "allowed", "denied"
TCP, UDP, SCTP, ICMP, OTHER = "TCP", "UDP", "SCTP", "ICMP", "OTHER"

# What decided: tier is "Admin", "NetworkPolicy", "Baseline" or "" (nothing concerns the pod, or an exemption, whose name
# is then in 'policy'); policy is "namespace/name" or "name"; rule is the index in spec.ingress or spec.egress, None for
# the default deny of an isolated pod.
Reason = collections.namedtuple("Reason", "direction tier policy rule")
# One admissible result for one direction; 'reasons' are the rules that each suffice for it.
Outcome = collections.namedtuple("Outcome", "verdict reasons")


# 'source' and 'destination' are addresses.  'own_stack': name of the node whose own stack sends it ("" if a pod or somebody
# outside sends it, or a node merely forwards it).  'port' is the destination's; None for ICMP and OTHER, which have none.
Packet = collections.namedtuple("Packet", "source destination protocol port own_stack")


class Direction:
    """The result for one direction: all admissible outcomes."""

    def __init__(self, name, outcomes):
        self.name = name
        self.outcomes = outcomes

    @property
    def verdicts(self):
        return {outcome.verdict for outcome in self.outcomes}

    def reasons(self, verdict):
        return frozenset().union(*(o.reasons for o in self.outcomes if o.verdict == verdict))


class Judgement:
    """networkpolicy 2: a connection is allowed iff the source's egress and the destination's ingress allow it."""

    def __init__(self, egress, ingress):
        self.egress, self.ingress = egress, ingress

    @property
    def verdicts(self):
        return {ALLOWED if e == i == ALLOWED else DENIED for e in self.egress.verdicts for i in self.ingress.verdicts}


# Selectors.

def selector_matches(selector, labels):
    """networkpolicy 4: {} selects everything; matchLabels and matchExpressions, ANDed."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(expression_matches(e, labels) for e in selector.get("matchExpressions") or [])


def expression_matches(expression, labels):
    """networkpolicy 4: In, NotIn, Exists, DoesNotExist; NotIn and DoesNotExist match what lacks the key."""
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return key not in labels or labels[key] not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    raise ValueError("unknown operator " + operator)


# Addresses.

@functools.lru_cache(maxsize=100000)
def in_block(address, cidr):
    """networkpolicy 13: a block matches only packets of its own family."""
    network, address = ipaddress.ip_network(cidr, strict=False), ipaddress.ip_address(address)
    return network.version == address.version and address in network


def ip_block_matches(block, address):
    """networkpolicy 12: the block minus every except; any address, of pods too."""
    return in_block(address, block["cidr"]) and not any(in_block(address, e) for e in block.get("except") or [])


# Pods.

def name_of(obj):
    namespace = obj["metadata"].get("namespace")
    return (namespace + "/" if namespace else "") + obj["metadata"]["name"]


def labels_of(obj):
    return obj["metadata"].get("labels") or {}


def addresses_of_pod(pod):
    """networkpolicy 13: all podIPs count."""
    status = pod.get("status") or {}
    listed = [item["ip"] for item in status.get("podIPs") or []] or ([status["podIP"]] if status.get("podIP") else [])
    return [str(ipaddress.ip_address(a)) for a in listed]


def is_finished(pod):
    """networkpolicy 21: a pod that succeeded or failed has no right to its address any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_host_network(pod):
    """networkpolicy 28, clusternetworkpolicy 4: never subject nor selector peer; its packets are the node's."""
    return bool(pod["spec"].get("hostNetwork"))


def container_ports(pod, name):
    """networkpolicy 17: {(protocol, number)} that the containers of a pod give a name."""
    return {(port.get("protocol") or TCP, port["containerPort"])
            for container in pod["spec"].get("containers") or [] for port in container.get("ports") or []
            if port.get("name") == name}


class Cluster:
    def __init__(self, objects):
        kinds = collections.defaultdict(list)
        for obj in objects:
            kinds[obj["kind"]].append(obj)
        self.namespaces = {name_of(o): labels_of(o) for o in kinds["Namespace"]}
        self.nodes = kinds["Node"]
        self.networkpolicies = kinds["NetworkPolicy"]
        self.clusternetworkpolicies = kinds["ClusterNetworkPolicy"]
        self.selecting = {}
        self.owners = {address: pod for pod in kinds["Pod"] if not is_finished(pod) and not is_host_network(pod)
                       for address in addresses_of_pod(pod)}

    # Who is who.

    def pod_at(self, address):
        """The pod that an address belongs to; None: outside, or a node (networkpolicy 10, 21, 28)."""
        return self.owners.get(address)

    def namespace_labels(self, pod):
        """networkpolicy 11: kubernetes.io/metadata.name is a label like others: the API server sets it."""
        return self.namespaces.get(pod["metadata"]["namespace"], {})

    # The verdict.

    def judge(self, packet):
        source, destination = self.pod_at(packet.source), self.pod_at(packet.destination)
        egress = ingress = None
        if self.is_to_itself(source, destination):
            egress, ingress = exempt("egress", "itself"), exempt("ingress", "itself")
        if self.is_from_own_node(packet, destination):
            ingress = exempt("ingress", "own node")
        if packet.own_stack:
            source = None               # networkpolicy 28: the node's own stack is nobody's subject.
        return Judgement(egress or self.direction("egress", source, destination, packet, packet.destination),
                         ingress or self.direction("ingress", destination, source, packet, packet.source))

    @staticmethod
    def is_to_itself(source, destination):
        """networkpolicy 27: a pod can always reach itself."""
        return source is not None and source is destination

    @staticmethod
    def is_from_own_node(packet, destination):
        """networkpolicy 26, 30: what the node's own stack sends to a pod of this node is allowed, whatever its
        source address; other nodes, and what a node merely forwards, are not exempt."""
        return destination is not None and bool(packet.own_stack) and \
            packet.own_stack == destination["spec"].get("nodeName")

    def direction(self, direction, subject, peer, packet, peer_address):
        """clusternetworkpolicy 1: Admin, then NetworkPolicy (final if one selects the pod), then Baseline, then allow."""
        if subject is None:
            return Direction(direction, {Outcome(ALLOWED, frozenset({Reason(direction, "", "no pod", None)}))})
        query = (direction, subject, peer, packet, peer_address)
        outcomes, passed = self.cluster_tier("Admin", *query)
        if passed:
            if self.policies_of(direction, subject):
                outcomes |= self.networkpolicy_tier(*query)
            else:
                baseline, passed = self.cluster_tier("Baseline", *query)
                outcomes |= baseline
                if passed:
                    outcomes.add(Outcome(ALLOWED, passed))
        return Direction(direction, outcomes)

    # NetworkPolicy.

    def policies_of(self, direction, pod):
        """networkpolicy 1: the policies that isolate a pod in a direction; each direction for itself."""
        key = (direction, name_of(pod))
        if key not in self.selecting:
            self.selecting[key] = [p for p in self.networkpolicies
                                   if direction in policy_types(p["spec"]) and self.policy_selects(p, pod)]
        return self.selecting[key]

    @staticmethod
    def policy_selects(policy, pod):
        """networkpolicy 4, 28: pods of the policy's namespace; an absent podSelector selects all of them."""
        return policy["metadata"]["namespace"] == pod["metadata"]["namespace"] and not is_host_network(pod) and \
            selector_matches(policy["spec"].get("podSelector") or {}, labels_of(pod))

    def networkpolicy_tier(self, direction, subject, peer, packet, peer_address):
        """networkpolicy 3, 6: the union of all rules of all policies; no rule is a deny."""
        allowing = set()
        for policy in self.policies_of(direction, subject):
            for index, rule in enumerate(policy["spec"].get(direction) or []):
                if self.rule_matches(policy, rule, direction, subject, peer, packet, peer_address):
                    allowing.add(Reason(direction, "NetworkPolicy", name_of(policy), index))
        if allowing:
            return {Outcome(ALLOWED, frozenset(allowing))}
        return {Outcome(DENIED, frozenset({Reason(direction, "NetworkPolicy", "default deny", None)}))}

    def rule_matches(self, policy, rule, direction, subject, peer, packet, peer_address):
        """networkpolicy 7, 8: a peer AND a port; items are ORed; an absent or empty list is anything."""
        peers, ports = rule.get("from" if direction == "ingress" else "to") or [], rule.get("ports") or []
        by_peer = not peers or any(self.peer_matches(policy, p, peer, peer_address, direction) for p in peers)
        if not ports:
            return by_peer
        # networkpolicy 17: for egress a name is looked up at the peer pod, which a selector must have selected.
        by_selector = not peers or any(self.selector_peer_matches(policy, p, peer) for p in peers)
        for port in ports:
            if isinstance(port.get("port"), str):
                owner = subject if direction == "ingress" else peer if by_selector else None
                if by_peer and named_port_matches(owner, port, packet):
                    return True
            elif by_peer and numeric_port_matches(port, packet):
                return True
        return False

    def peer_matches(self, policy, item, pod, address, direction):
        """networkpolicy 9, 12: selectors, or a block of addresses."""
        if item.get("ipBlock") is not None:
            return (ip_block_matches(item["ipBlock"], address)
                    or direction == "ingress" and self.is_gateway_of_node_in(item["ipBlock"], address))
        return self.selector_peer_matches(policy, item, pod)

    def is_gateway_of_node_in(self, block, address):
        """networkpolicy 28: with an overlay, packets of a node to pods of other nodes come from the first address of its pod
        CIDR; they count as the node's, so a block with an address of the node matches them (ours; unless it excepts them)."""
        for node in self.nodes:
            cidrs = [ipaddress.ip_network(c) for c in node.get("spec", {}).get("podCIDRs") or []]
            if any(str(cidr[1]) == str(ipaddress.ip_address(address)) for cidr in cidrs):
                addresses = [a["address"] for a in node.get("status", {}).get("addresses") or []
                             if a["type"] in ("InternalIP", "ExternalIP")]
                family = ipaddress.ip_address(address).version
                return (not any(in_block(address, e) for e in block.get("except") or []) and
                        any(ip_block_matches(block, a) for a in addresses if ipaddress.ip_address(a).version == family))
        return False

    def selector_peer_matches(self, policy, item, pod):
        """networkpolicy 9, 10: podSelector alone looks into the policy's namespace, namespaceSelector alone takes all
        pods of the namespaces, both are ANDed; only pods match, never outside addresses nor nodes."""
        pods, namespaces = item.get("podSelector"), item.get("namespaceSelector")
        if pod is None or (pods is None and namespaces is None):
            return False
        if namespaces is None:
            if pod["metadata"]["namespace"] != policy["metadata"]["namespace"]:
                return False
        elif not selector_matches(namespaces, self.namespace_labels(pod)):
            return False
        return pods is None or selector_matches(pods, labels_of(pod))

    # ClusterNetworkPolicy.

    def cluster_policies_of(self, tier, direction, pod):
        key = (tier, direction, name_of(pod))
        if key not in self.selecting:
            self.selecting[key] = [p for p in self.clusternetworkpolicies if p["spec"]["tier"] == tier and
                                   p["spec"].get(direction) and self.subject_selects(p["spec"]["subject"], pod)]
        return self.selecting[key]

    def subject_selects(self, subject, pod):
        """clusternetworkpolicy 4: namespaces, or pods; hostNetwork pods never."""
        return not is_host_network(pod) and self.namespaces_or_pods(subject, pod)

    def namespaces_or_pods(self, item, pod):
        """clusternetworkpolicy 4, 5; networkpolicy 10: pods only."""
        if pod is None:
            return False
        if item.get("namespaces") is not None:
            return selector_matches(item["namespaces"], self.namespace_labels(pod))
        if item.get("pods") is not None:
            return selector_matches(item["pods"].get("namespaceSelector") or {}, self.namespace_labels(pod)) and \
                selector_matches(item["pods"].get("podSelector") or {}, labels_of(pod))
        return False

    def cluster_tier(self, tier, direction, subject, peer, packet, peer_address):
        """clusternetworkpolicy 2, 3: the first rule that matches decides: by priority, then by its place in its object.
        Of equal priority any order is right; Sluice's, which is documented: by the place, then Deny first; between
        Accept and Pass either.  Returns the outcomes, and why the packet may go on to the next tier if it may."""
        places = collections.defaultdict(list)
        for policy in self.cluster_policies_of(tier, direction, subject):
            for index, rule in enumerate(policy["spec"][direction]):
                action = self.cluster_rule_action(rule, direction, subject, peer, packet, peer_address)
                if action:
                    reason = Reason(direction, tier, name_of(policy), index)
                    places[policy["spec"]["priority"], index].append((action, reason))
        if not places:
            return set(), frozenset({Reason(direction, "", "default", None)})
        matches = places[min(places)]
        by_action = {a: frozenset(r for action, r in matches if action == a) for a in ("Accept", "Deny", "Pass")}
        if by_action["Deny"]:
            return {Outcome(DENIED, by_action["Deny"])}, frozenset()
        return ({Outcome(ALLOWED, by_action["Accept"])} if by_action["Accept"] else set()), by_action["Pass"]

    def cluster_rule_action(self, rule, direction, subject, peer, packet, peer_address):
        """The action if the rule matches, else None.  clusternetworkpolicy 7: a peer (or protocol) with no known field: Accept
        matches nothing, Deny and Pass become a denial of everything."""
        peers = rule["from" if direction == "ingress" else "to"]
        protocols = rule.get("protocols") or []
        if any(is_unknown(p, direction) for p in peers) or any(is_unknown_protocol(p) for p in protocols):
            return None if rule["action"] == "Accept" else "Deny"
        by_pods = any(self.namespaces_or_pods(p, peer) for p in peers)
        by_peer = by_pods or any(self.address_peer_matches(p, peer_address) for p in peers)
        if not protocols:
            return rule["action"] if by_peer else None
        for item in protocols:
            if item.get("destinationNamedPort"):
                owner = subject if direction == "ingress" else peer if by_pods else None
                if by_peer and owner is not None and \
                        (packet.protocol, packet.port) in container_ports(owner, item["destinationNamedPort"]):
                    return rule["action"]
            elif by_peer and cluster_protocol_matches(item, packet):
                return rule["action"]
        return None

    def address_peer_matches(self, item, address):
        """clusternetworkpolicy 5: networks (match pods too), nodes by node.status.addresses."""
        if item.get("networks"):
            return any(in_block(address, cidr) for cidr in item["networks"])
        if item.get("nodes") is not None:
            return any(selector_matches(item["nodes"], labels_of(node)) and address in node_addresses(node)
                       for node in self.nodes)
        return False


def exempt(direction, why):
    return Direction(direction, {Outcome(ALLOWED, frozenset({Reason(direction, "", why, None)}))})


def policy_types(spec):
    """networkpolicy 5: by default Ingress, and Egress if there is a rule for it; the names are as 'direction' here."""
    types = spec.get("policyTypes") or ["Ingress"] + (["Egress"] if spec.get("egress") else [])
    return {t.lower() for t in types}


def numeric_port_matches(port, packet):
    """networkpolicy 15, 16, 18, 31: protocol TCP by default and exactly; no port: all; port to endPort inclusive.  What
    has no ports is matched by rules without ports only."""
    if packet.port is None or packet.protocol != (port.get("protocol") or TCP):
        return False
    if port.get("port") is None:
        return True
    return port["port"] <= packet.port <= (port.get("endPort") or port["port"])


def named_port_matches(pod, port, packet):
    """networkpolicy 17: by name AND protocol, at the destination pod."""
    protocol = port.get("protocol") or TCP
    return pod is not None and packet.protocol == protocol and \
        (protocol, packet.port) in container_ports(pod, port["port"])


def cluster_protocol_matches(item, packet):
    """clusternetworkpolicy 6: tcp, udp, sctp with a number or a range, which includes both ends."""
    for protocol in (TCP, UDP, SCTP):
        value = item.get(protocol.lower())
        if value is None or packet.protocol != protocol:
            continue
        port = value["destinationPort"]
        if port.get("number") is not None:
            return packet.port == port["number"]
        return port["range"]["start"] <= packet.port <= port["range"]["end"]
    return False


def is_unknown(peer, direction):
    """clusternetworkpolicy 5, 7: egress has more kinds of peers than ingress."""
    known = ["namespaces", "pods"] + (["nodes", "networks", "domainNames"] if direction == "egress" else [])
    return not any(peer.get(field) is not None for field in known)


def is_unknown_protocol(item):
    """clusternetworkpolicy 6, 7."""
    ports = [(item.get(protocol) or {}).get("destinationPort") or {} for protocol in ("tcp", "udp", "sctp")]
    return not item.get("destinationNamedPort") and not any("number" in port or "range" in port for port in ports)


def node_addresses(node):
    """clusternetworkpolicy 5: those of node.status.addresses that are addresses."""
    found = set()
    for item in (node.get("status") or {}).get("addresses") or []:
        try:
            found.add(str(ipaddress.ip_address(item["address"])))
        except ValueError:
            pass                        # A host name.
    return found
