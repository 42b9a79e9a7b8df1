"""Random clusters, packets and histories, each a function of its seed.

Small vocabularies, so that things meet: few labels, few names of ports, few numbers, and blocks of addresses that are
cut around addresses which exist.  Everything both APIs can say occurs: see the functions below."""

import copy
import ipaddress

from oracle import ICMP, OTHER, SCTP, TCP, UDP, Packet

NODES = ("node-1", "node-2", "node-3")
KEYS = {"app": ("web", "db", "cache"), "tier": ("front", "back"), "env": ("dev", "prod", "")}
PORT_NAMES = ("web", "dns", "metrics", "no-such-port")
NUMBERS = (1, 52, 53, 54, 79, 80, 81, 84, 85, 443, 8080, 9090, 31999, 32000, 32767, 32768, 32769, 65534, 65535)
RANGES = ((53, 80), (53, 84), (32000, 32768), (1, 65535), (80, 81), (443, 8080), (8080, 8080), (32768, 65535))
PROTOCOLS = (TCP, TCP, UDP, SCTP)
OUTSIDE = ("192.0.2.1", "192.0.2.2", "198.51.100.7", "10.244.9.9", "8.8.8.8", "2001:db8::1", "2001:db8::2",
           "fd00:10:244:9::9")


def pod_cidrs(node):
    number = NODES.index(node) + 1
    return [f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64"]


def gateway_addresses(node):
    number = NODES.index(node) + 1
    return [f"10.244.{number}.1", f"fd00:10:244:{number}::1"]


def some(rng, items, least=0, most=3):
    """A few of the items, each once."""
    items = list(items)
    return rng.sample(items, min(len(items), rng.randint(least, most)))


def meta(name, namespace=None, labels=None):
    found = {"name": name}
    if namespace:
        found["namespace"] = namespace
    if labels:
        found["labels"] = labels
    return found


class Generator:
    """'nodes': where pods come and go; those on other nodes may only change."""

    def __init__(self, rng, pods=(14, 5, 3), networkpolicies=8, clusterpolicies=4, namespaces=4, nodes=NODES):
        self.rng = rng
        self.busy_nodes = nodes
        self.serial = 0
        self.namespaces = [self.namespace(f"ns-{i}") for i in range(namespaces)]
        self.nodes = [self.node(name) for name in NODES]
        self.pods = []
        for node, number in zip(NODES, pods):
            for _ in range(number):
                self.pods.append(self.pod(node))
        self.policies = [self.networkpolicy() for _ in range(networkpolicies)]
        self.policies += [self.clusternetworkpolicy() for _ in range(clusterpolicies)]

    def objects(self):
        return self.nodes + self.namespaces + self.pods + self.policies

    def name(self, prefix):
        self.serial += 1
        return f"{prefix}-{self.serial}"

    # Objects that are.

    def labels(self):
        return {key: self.rng.choice(values) for key, values in KEYS.items() if self.rng.random() < 0.6}

    def namespace(self, name):
        return {"apiVersion": "v1", "kind": "Namespace",
                "metadata": meta(name, None, {"kubernetes.io/metadata.name": name, **self.labels()})}

    def node(self, name):
        number = NODES.index(name) + 1
        addresses = [{"type": "InternalIP", "address": f"192.168.0.{number}"},
                     {"type": "InternalIP", "address": f"fd00:168::{number}"}, {"type": "Hostname", "address": name}]
        if self.rng.random() < 0.4:
            addresses.append({"type": "ExternalIP", "address": f"203.0.113.{number}"})
        return {"apiVersion": "v1", "kind": "Node", "metadata": meta(name, None, self.labels()),
                "spec": {"podCIDRs": pod_cidrs(name)}, "status": {"addresses": addresses}}

    def free_addresses(self, node):
        """Of both families; now and then those of a pod that is over."""
        used = {a for p in self.pods if (p.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
                for a in pod_addresses(p)}
        over = [p for p in self.pods if p["spec"].get("nodeName") == node and pod_addresses(p) and
                not p["spec"].get("hostNetwork") and not used & set(pod_addresses(p))]
        if over and self.rng.random() < 0.5:
            return pod_addresses(self.rng.choice(over))
        taken = used | {a for p in over for a in pod_addresses(p)}
        while True:
            host = self.rng.randint(2, 60)
            found = [str(ipaddress.ip_network(cidr)[host]) for cidr in pod_cidrs(node)]
            if not taken & set(found):
                return found

    def pod(self, node):
        rng = self.rng
        namespace = rng.choice(self.namespaces)["metadata"]["name"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta(self.name("pod"), namespace, self.labels()),
               "spec": {"nodeName": node, "containers": self.containers()}, "status": {"phase": "Running"}}
        kind = rng.random()
        if kind < 0.07:
            pod["spec"]["hostNetwork"] = True
            number = NODES.index(node) + 1
            addresses = [f"192.168.0.{number}", f"fd00:168::{number}"]
        else:
            addresses = self.free_addresses(node)
            if len(addresses) == 2 and (stacks := rng.random()) < 0.3:
                addresses = addresses[:1] if stacks < 0.2 else addresses[1:]
        pod["status"]["podIPs"] = [{"ip": a} for a in addresses]
        if 0.8 < kind < 0.83:
            pod["status"] = {"phase": "Pending"}
        if kind > 0.9:
            pod["status"]["phase"] = rng.choice(("Succeeded", "Failed"))
        elif kind > 0.85:
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return pod

    def containers(self):
        """One name may stand for TCP in one container and for UDP in another."""
        found = []
        for index in range(self.rng.randint(1, 2)):
            ports = []
            for name in some(self.rng, PORT_NAMES[:3], 0, 3):
                port = {"name": name, "containerPort": self.rng.choice(NUMBERS)}
                protocol = self.rng.choice((None, TCP, UDP, SCTP))
                if protocol:
                    port["protocol"] = protocol
                known = {(p["name"], p.get("protocol") or TCP) for c in found for p in c.get("ports", [])}
                if (name, protocol or TCP) not in known:
                    ports.append(port)
            found.append({"name": f"c{index}", **({"ports": ports} if ports else {})})
        return found

    # What both APIs share.

    def expression(self):
        key = self.rng.choice(list(KEYS) + ["no-such-key"])
        operator = self.rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
        found = {"key": key, "operator": operator}
        if operator in ("In", "NotIn"):
            found["values"] = some(self.rng, KEYS.get(key, ()) + ("other",), 1, 2)
        return found

    def selector(self):
        kind = self.rng.random()
        if kind < 0.2:
            return {}
        found = {}
        if kind < 0.65:
            key = self.rng.choice(list(KEYS))
            found["matchLabels"] = {key: self.rng.choice(KEYS[key])}
        if kind > 0.5:
            found["matchExpressions"] = [self.expression() for _ in range(self.rng.choice((1, 1, 2)))]
        return found

    def namespace_selector(self):
        if self.rng.random() < 0.3:
            return {"matchLabels": {"kubernetes.io/metadata.name": self.rng.choice(self.namespaces)["metadata"]["name"]}}
        return self.selector()

    def address(self):
        """One that exists in some way."""
        kind = self.rng.random()
        if kind < 0.6 and (found := [a for p in self.pods for a in pod_addresses(p)]):
            return self.rng.choice(found)
        if kind < 0.75:
            return self.rng.choice([a for n in self.nodes for a in node_ips(n)])
        return self.rng.choice(OUTSIDE)

    def cidr(self):
        if self.rng.random() < 0.1:
            return self.rng.choice(("0.0.0.0/0", "::/0"))
        address = ipaddress.ip_address(self.address())
        lengths = (32, 31, 30, 28, 26, 25, 24, 16, 8) if address.version == 4 else (128, 127, 126, 124, 120, 64, 48, 16)
        length = self.rng.choice(lengths)
        if self.rng.random() < 0.1:     # With bits behind the prefix, and other ways to write it.
            return f"{address.exploded.upper()}/{length}"
        return str(ipaddress.ip_network((address, length), strict=False))

    def ip_block(self):
        block = {"cidr": self.cidr()}
        network = ipaddress.ip_network(block["cidr"], strict=False)
        excepts = []
        for _ in range(self.rng.choice((0, 0, 1, 2, 4))):
            inside = [a for a in (ipaddress.ip_address(self.address()) for _ in range(8))
                      if a.version == network.version and a in network]
            if inside and network.prefixlen < network.max_prefixlen:
                length = self.rng.choice((network.max_prefixlen, network.prefixlen + 1,
                                          self.rng.randint(network.prefixlen + 1, network.max_prefixlen)))
                cut = str(ipaddress.ip_network((inside[0], length), strict=False))
                if cut not in excepts:
                    excepts.append(cut)
        if excepts or self.rng.random() < 0.1:
            block["except"] = excepts
        return block

    # NetworkPolicy.

    def np_peer(self):
        kind = self.rng.random()
        if kind < 0.35:
            return {"ipBlock": self.ip_block()}
        if kind < 0.55:
            return {"podSelector": self.selector()}
        if kind < 0.75:
            return {"namespaceSelector": self.namespace_selector()}
        return {"podSelector": self.selector(), "namespaceSelector": self.namespace_selector()}

    def np_port(self):
        rng = self.rng
        port = {}
        if rng.random() < 0.8:
            port["protocol"] = rng.choice(PROTOCOLS)
        kind = rng.random()
        if kind < 0.3:
            port["port"] = rng.choice(PORT_NAMES)
        elif kind < 0.6:
            port["port"], port["endPort"] = rng.choice(RANGES)
        elif kind < 0.9:
            port["port"] = rng.choice(NUMBERS)
        return port

    def np_rule(self, direction):
        rng = self.rng
        rule = {}
        if rng.random() < 0.85:
            rule["from" if direction == "ingress" else "to"] = [self.np_peer() for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        if rng.random() < 0.65:
            rule["ports"] = [self.np_port() for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        return rule

    def networkpolicy(self):
        rng = self.rng
        spec = {}
        if rng.random() < 0.9:
            spec["podSelector"] = self.selector()
        for direction in ("ingress", "egress"):
            kind = rng.random()
            if kind < 0.75:
                spec[direction] = [self.np_rule(direction) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
            elif kind < 0.8:
                spec[direction] = None
        types = rng.choice((None, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Egress"]))
        if types is not None:
            spec["policyTypes"] = types
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": meta(self.name("np"), rng.choice(self.namespaces)["metadata"]["name"]), "spec": spec}

    # ClusterNetworkPolicy.

    def namespaces_or_pods(self):
        if self.rng.random() < 0.5:
            return {"namespaces": self.namespace_selector()}
        found = {"podSelector": self.selector()}
        if self.rng.random() < 0.8:
            found["namespaceSelector"] = self.namespace_selector()
        return {"pods": found}

    def cnp_peer(self, direction, action):
        kind = self.rng.random()
        if direction == "ingress" or kind < 0.55:
            return self.namespaces_or_pods()
        if kind < 0.85:
            return {"networks": sorted({self.cidr() for _ in range(self.rng.choice((1, 1, 2, 4)))})}
        if kind < 0.97 or action != "Accept":
            return {"nodes": self.selector()}
        return {"domainNames": ["example.com"]}

    def cnp_protocol(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            return {"destinationNamedPort": rng.choice(PORT_NAMES)}
        if kind > 0.99:
            return rng.choice(({"quic": {"destinationPort": {"number": 443}}}, {"tcp": {}}))
        if kind < 0.6:
            port = {"number": rng.choice(NUMBERS)}
        else:
            first, last = rng.choice([r for r in RANGES if r[0] < r[1]])
            port = {"range": {"start": first, "end": last}}
        return {rng.choice(PROTOCOLS).lower(): {"destinationPort": port}}

    def cnp_rule(self, direction):
        rng = self.rng
        action = rng.choice(("Accept", "Deny", "Pass"))
        if rng.random() < 0.02:
            # Of a newer version of the API, as seen by one that does not know its field.
            peers = rng.choice(([{}], [{}, self.cnp_peer(direction, action)], [{"telepathy": {}}]))
        else:
            peers = [self.cnp_peer(direction, action) for _ in range(rng.choice((1, 1, 2, 3)))]
        rule = {"action": action, "from" if direction == "ingress" else "to": peers}
        if rng.random() < 0.4:
            rule["name"] = self.name("rule")
        if rng.random() < 0.6:
            rule["protocols"] = [self.cnp_protocol() for _ in range(rng.choice((1, 1, 2, 3)))]
        return rule

    def clusternetworkpolicy(self):
        rng = self.rng
        spec = {"tier": rng.choice(("Admin", "Admin", "Baseline")), "priority": rng.choice((0, 1, 5, 5, 5, 500, 1000)),
                "subject": self.namespaces_or_pods()}
        for direction in ("ingress", "egress"):
            if rng.random() < 0.75:
                count = 25 if rng.random() < 0.05 else rng.choice((0, 1, 2, 3, 4))
                spec[direction] = [self.cnp_rule(direction) for _ in range(count)]
        return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
                "metadata": meta(self.name("cnp")), "spec": spec}

    # Packets.

    def numbers(self, destination):
        """Ports at the edges of something, and those that the destination has a name for."""
        found = list(NUMBERS)
        for pod in self.pods:
            if destination in pod_addresses(pod):
                found += 3 * [port["containerPort"] for c in pod["spec"]["containers"] for port in c.get("ports", [])]
        return found

    def edge_addresses(self):
        """First and last of blocks and exceptions, and the ones beside them."""
        for policy in self.policies:
            for cidr in blocks_of(policy["spec"]):
                network = ipaddress.ip_network(cidr, strict=False)
                for at in (int(network.network_address), int(network.broadcast_address)):
                    for number in (at - 1, at, at + 1):
                        if 0 < number < 1 << network.max_prefixlen:
                            address = type(network.network_address)(number)
                            if is_plain(address):
                                yield str(address)

    def packets(self, node, count):
        """Such as 'node' gets to see: one end is a pod of it.  The two addresses are of one family."""
        rng = self.rng
        local = [a for p in self.pods if is_live(p) and p["spec"]["nodeName"] == node for a in pod_addresses(p)]
        pods = [a for p in self.pods if is_live(p) for a in pod_addresses(p)]
        own = node_ips(self.nodes[NODES.index(node)]) + gateway_addresses(node)
        nodes = [a for n in self.nodes for a in node_ips(n)]
        others = [a for a in nodes + [g for n in NODES for g in gateway_addresses(n)] if a not in own]
        edges = sorted({a for a in self.edge_addresses() if outside_of_cluster(a)}) or list(OUTSIDE)
        if not local:
            return
        made = 0
        while made < count:
            here, kind, own_stack = rng.choice(local), rng.random(), ""
            there = rng.choice(pods if kind < 0.6 else edges if kind < 0.75 else OUTSIDE if kind < 0.85 else nodes)
            source, destination = (here, there) if rng.random() < 0.5 else (there, here)
            if destination == here and source not in pods and rng.random() < 0.3:
                source, own_stack = (rng.choice(own), node) if rng.random() < 0.5 else (rng.choice(others), "")
            elif source in own:
                own_stack = node
            if ":" in source + destination and not (":" in source and ":" in destination):
                continue
            if source == destination or is_same_pod(self.pods, source, destination):
                continue
            protocol = rng.choice((TCP, TCP, TCP, TCP, UDP, UDP, UDP, SCTP, SCTP, ICMP, OTHER))
            port = None if protocol in (ICMP, OTHER) else rng.choice(self.numbers(destination))
            made += 1
            yield Packet(source, destination, protocol, port, own_stack)

    # Histories.

    def step(self):
        """One change; returns (old object or None, new object or None)."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.2:
            return self.exchange(self.pods, None, self.pod(rng.choice(self.busy_nodes)))
        if kind < 0.4:
            return self.exchange(self.policies, None, self.networkpolicy() if rng.random() < 0.7 else
                                 self.clusternetworkpolicy())
        if kind < 0.48:
            return self.exchange(self.pods, rng.choice(self.loose()), None) if len(self.loose()) > 2 else self.step()
        if kind < 0.6:
            return self.exchange(self.policies, rng.choice(self.policies), None) if len(self.policies) > 2 else \
                self.step()
        if kind < 0.7:
            return self.relabel(self.pods)
        if kind < 0.8:
            return self.relabel(self.namespaces)
        if kind < 0.83:
            return self.relabel(self.nodes)
        if kind < 0.9:
            return self.finish() if self.loose() else self.step()
        old = rng.choice(self.policies)
        new = self.networkpolicy() if old["kind"] == "NetworkPolicy" else self.clusternetworkpolicy()
        new["metadata"] = old["metadata"]
        return self.exchange(self.policies, old, new)

    def loose(self):
        return [pod for pod in self.pods if pod["spec"]["nodeName"] in self.busy_nodes]

    def relabel(self, objects):
        old = self.rng.choice(objects)
        new = copy.deepcopy(old)
        fixed = {k: v for k, v in (old["metadata"].get("labels") or {}).items() if "/" in k}
        new["metadata"]["labels"] = {**fixed, **self.labels()}
        return self.exchange(objects, old, new)

    def finish(self):
        """A pod of a job comes to its end; its address may be used again."""
        old = self.rng.choice(self.loose())
        new = copy.deepcopy(old)
        new["status"]["phase"] = self.rng.choice(("Succeeded", "Failed"))
        return self.exchange(self.pods, old, new)

    @staticmethod
    def exchange(objects, old, new):
        if old is None:
            objects.append(new)
        elif new is None:
            objects.remove(old)
        else:
            objects[objects.index(old)] = new
        return old, new


def pod_addresses(pod):
    return [item["ip"] for item in (pod.get("status") or {}).get("podIPs") or []]


def node_ips(node):
    return [item["address"] for item in node["status"]["addresses"] if item["type"] != "Hostname"]


def is_live(pod):
    return not pod["spec"].get("hostNetwork") and pod["status"].get("phase") not in ("Succeeded", "Failed")


def is_same_pod(pods, source, destination):
    return any(is_live(p) and source in pod_addresses(p) and destination in pod_addresses(p) for p in pods)


def blocks_of(value):
    """Every block of addresses in a policy."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "cidr":
                yield item
            elif key in ("except", "networks"):
                yield from item
            else:
                yield from blocks_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from blocks_of(item)


def is_plain(address):
    """One that a host may have: no loopback, multicast, link-local address."""
    return not (address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified or
                int(address) >> (address.max_prefixlen - 4) == 15 or int(address) >> (address.max_prefixlen - 8) == 0)


def outside_of_cluster(address):
    """Addresses of pods' ranges that no pod has would not arrive from outside."""
    found = ipaddress.ip_address(address)
    return not any(found in ipaddress.ip_network(c) for n in NODES for c in pod_cidrs(n) if
                   ipaddress.ip_network(c).version == found.version)
