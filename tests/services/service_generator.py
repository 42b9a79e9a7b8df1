"""Random Services and slices for the clusters of tests/policy/generator.py, each a function of its seed.

Small vocabularies again, so that things meet: two zones, few names of ports, endpoints out of a pool of pods, nodes and
addresses outside.  What the API server would refuse occurs too ('bad'): a directory of manifests may hold it."""

import copy
import ipaddress

import generator
from generator import NODES, OUTSIDE, SCTP, TCP, UDP, meta, some

ZONES = ("zone-a", "zone-b", None)
ZONE = "topology.kubernetes.io/zone"
PORT_NAMES = ("web", "dns", "metrics")
PORTS = (53, 80, 443, 8080)
EXTERNAL = ("203.0.113.50", "203.0.113.51", "192.168.0.1", "192.168.0.2", "2001:db8:50::1", "2001:db8:50::2", "fd00:168::1")
BALANCERS = ("198.51.100.100", "198.51.100.101", "192.168.0.1", "2001:db8:100::1", "2001:db8:100::2")
RANGES = ("192.0.2.0/24", " 198.51.100.0/24", "10.244.0.0/16 ", "0.0.0.0/0", "192.0.2.1/32", " 2001:db8::/32 ", "::/0",
          "fd00:10:244:1::/64", "192.0.0.0/8", "128.0.0.0/1")
BAD_ADDRESSES = {4: ("127.0.0.1", "224.0.0.5", "169.254.1.1", "0.0.0.0", "fd00::1"),
                 6: ("::1", "ff02::1", "fe80::1", "::", "10.0.0.1")}
NOT_OURS = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")

MOODS = ("healthy", "healthy", "mixed", "mixed", "terminating", "unready")
LEVELS = ((0, 0), (0, 0), (1, 0), (0, 1), (1, 1), (0.9, 0.9))   # How many endpoints have hints for zones, for nodes.


class Generator(generator.Generator):
    """'large': as many endpoints as that in one Service now and then; 'bad': also what the API server would refuse."""

    TARGETS = (53, 80, 8080, 8443, 9090)

    def __init__(self, rng, services=8, slices=2, large=0, bad=False, contended=False, **shape):
        self.services, self.slices, self.queue = [], [], []
        super().__init__(rng, **{"pods": (8, 5, 3), "networkpolicies": 0, "clusterpolicies": 0, "namespaces": 3, **shape})
        self.per_family, self.large, self.bad, self.contended = slices, large, bad, contended
        for node in self.nodes:
            zone = rng.choice(ZONES)
            if zone:
                node["metadata"].setdefault("labels", {})[ZONE] = zone
        for _ in range(services):
            self.add_service()

    def objects(self):
        return super().objects() + self.services + self.slices

    # Services.

    def add_service(self):
        service = self.service()
        self.services.append(service)
        self.slices += self.slices_for(service)
        return service

    def free_cluster_ip(self, family):
        used = {a for s in self.services for a in s["spec"].get("clusterIPs") or []}
        network = ipaddress.ip_network({4: "10.96.0.0/24", 6: "fd00:96::/120"}[family])
        while True:
            found = str(network[self.rng.randint(1, 254)])
            if found not in used:
                return found

    def free_node_port(self, protocol):
        used = {(p.get("protocol") or TCP, p.get("nodePort")) for s in self.services for p in s["spec"].get("ports") or []}
        while True:
            found = self.rng.randint(30000, 30100)
            if (protocol, found) not in used:
                return found

    def service(self):
        rng = self.rng
        kind = rng.choices(("ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "headless", "pending"),
                           (35, 25, 35, 3, 3, 2))[0]
        service = {"apiVersion": "v1", "kind": "Service",
                   "metadata": meta(self.name("svc"), rng.choice(self.namespaces)["metadata"]["name"])}
        if rng.random() < 0.06:
            service["metadata"]["labels"] = {rng.choice(NOT_OURS): rng.choice(("", "other"))}
        if kind == "ExternalName":
            service["spec"] = {"type": kind, "externalName": "example.com"}
            return service
        spec = service["spec"] = {}
        if kind in ("NodePort", "LoadBalancer") or rng.random() < 0.5:
            spec["type"] = kind if kind in ("NodePort", "LoadBalancer") else "ClusterIP"
        self.set_addresses(spec, kind)
        spec["ports"] = self.ports_of(spec, kind)
        self.set_policies(service, kind)
        if self.bad and rng.random() < 0.05:
            self.spoil_service(spec)
        return service

    def set_addresses(self, spec, kind):
        rng = self.rng
        families = rng.choice(((4,), (4,), (6,), (4, 6), (4, 6), (6, 4)))
        spec["ipFamilies"] = [f"IPv{f}" for f in families]
        if kind == "headless":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
        elif kind != "pending":
            spec["clusterIPs"] = [self.free_cluster_ip(f) for f in families]
            spec["clusterIP"] = spec["clusterIPs"][0]

    def ports_of(self, spec, kind):
        rng = self.rng
        count = rng.choice((1, 1, 2, 3))
        names = rng.sample(PORT_NAMES, count) if count > 1 or rng.random() < 0.6 else [None]
        found, taken = [], set()
        for name in names:
            protocol = rng.choice((None, TCP, TCP, UDP, UDP, SCTP))
            number = rng.choice([p for p in PORTS if (protocol or TCP, p) not in taken])
            taken.add((protocol or TCP, number))
            port = {"port": number, **({"name": name} if name else {}), **({"protocol": protocol} if protocol else {})}
            if kind == "NodePort" or kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True):
                port["nodePort"] = self.free_node_port_beside(protocol or TCP, found)
            if rng.random() < 0.5:
                port["targetPort"] = rng.choice(self.TARGETS + ("http",))        # For who makes slices, not for us.
            found.append(port)
        return found

    def free_node_port_beside(self, protocol, ports):
        while True:
            found = self.free_node_port(protocol)
            if all((p.get("protocol") or TCP, p.get("nodePort")) != (protocol, found) for p in ports):
                return found

    def set_policies(self, service, kind):
        rng, spec = self.rng, service["spec"]
        if rng.random() < 0.7:
            spec["internalTrafficPolicy"] = rng.choice(("Cluster", "Local"))
        families = {4 if f == "IPv4" else 6 for f in spec["ipFamilies"]}
        if rng.random() < 0.35:
            spec["externalIPs"] = self.some_addresses(EXTERNAL, families, "externalIPs")
        if (kind in ("NodePort", "LoadBalancer") or spec.get("externalIPs")) and rng.random() < 0.8:
            spec["externalTrafficPolicy"] = rng.choice(("Cluster", "Local"))
        if rng.random() < 0.3:
            spec["sessionAffinity"] = "ClientIP"
            if rng.random() < 0.7:
                spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": rng.choice((1, 30, 10800, 86400))}}
        if kind == "LoadBalancer":
            self.set_load_balancer(service)

    def set_load_balancer(self, service):
        rng, spec = self.rng, service["spec"]
        if rng.random() < 0.2:
            spec["allocateLoadBalancerNodePorts"] = False
            for port in spec["ports"]:
                port.pop("nodePort", None)
        if rng.random() < 0.5:
            spec["loadBalancerSourceRanges"] = some(rng, RANGES, 1, 3)
        if rng.random() < 0.3:
            spec["loadBalancerClass"] = "example.com/other"
        ingress = []
        for address in self.some_addresses(BALANCERS, {4, 6}, "ingress"):
            item = {"ip": address}
            mode = rng.choice((None, None, "VIP", "Proxy"))
            if mode:
                item["ipMode"] = mode
            ingress.append(item)
        if rng.random() < 0.2:
            ingress.insert(0, {"hostname": "lb.example.com"})
        service["status"] = {"loadBalancer": {"ingress": ingress}}

    def some_addresses(self, pool, families, what):
        """Unless contention is wanted, nobody else's: of two Services that claim one address and port, which one gets it
        is left open by the API."""
        used = set()
        if not self.contended:
            for service in self.services:
                used |= set(service["spec"].get("externalIPs") or [])
                used |= {i.get("ip") for i in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress", [])}
        found = [a for a in pool if a not in used]
        if not self.contended:
            # The families differ now and then: what is not the Service's is not captured.
            found = [a for a in found if (a in BALANCERS) != (a in EXTERNAL) or what == "externalIPs"]
        return some(self.rng, found, 1, 3)

    def spoil_service(self, spec):
        rng = self.rng
        kind = rng.randrange(4)
        if kind == 0:
            rng.choice(spec["ports"])["port"] = 0
        elif kind == 1:
            spec["ports"] = []
        elif kind == 2:
            spec["externalIPs"] = [rng.choice(BAD_ADDRESSES[4][:4] + BAD_ADDRESSES[6][:4])]
        else:
            spec["ports"].append({**spec["ports"][0], "name": "twice"})

    # Slices.

    def pool(self, family):
        """(address, node) that may be endpoints: those of pods, nodes, others that nobody has, outside."""
        found = []
        for pod in self.pods:
            for address in generator.pod_addresses(pod):
                found.append((address, pod["spec"]["nodeName"]))
        found += [(a, n["metadata"]["name"]) for n in self.nodes for a in generator.node_ips(n)]
        found += [(a, None) for a in OUTSIDE]
        return [(a, n) for a, n in found if ipaddress.ip_address(a).version == family]

    def conditions(self, mood):
        """'mood': what most endpoints of a slice are like."""
        rng = self.rng
        if mood == "healthy":
            return {"ready": True}
        if mood != "mixed" and rng.random() < 0.8:
            return {"ready": False, "serving": mood == "terminating", "terminating": True}
        kind = rng.random()
        if kind < 0.45:
            return {"ready": True, "serving": True, "terminating": False}
        if kind < 0.6:
            return rng.choice(({}, None, {"ready": None}, {"ready": True}, {"serving": True}))
        return {k: v for k, v in (("ready", rng.choice((True, False, False, None))),
                                  ("serving", rng.choice((True, False, None))),
                                  ("terminating", rng.choice((True, True, False, None))))
                if v is not None or rng.random() < 0.5}

    def hints(self, level):
        rng = self.rng
        found = {}
        for key, names, likely in (("forZones", ("zone-a", "zone-b"), level[0]), ("forNodes", NODES, level[1])):
            if rng.random() < likely:
                found[key] = [{"name": n} for n in some(rng, names, 0 if rng.random() < 0.05 else 1, 2)]
        return found

    def endpoint(self, address, node, level, mood):
        rng = self.rng
        found = {"addresses": [address]}
        conditions = self.conditions(mood)
        if conditions is not None:
            found["conditions"] = conditions
        if node and rng.random() < 0.95:
            found["nodeName"] = node if rng.random() < 0.97 else rng.choice(NODES)
        hints = self.hints(level)
        if hints:
            found["hints"] = hints
        if rng.random() < 0.3:
            found["zone"] = rng.choice(("zone-a", "zone-b"))
        return found

    def slice_ports(self, service):
        rng = self.rng
        found, names = [], set()
        for port in service["spec"].get("ports") or [{"port": 80}]:
            if rng.random() < 0.1 or (port.get("name") or "") in names:
                continue
            names.add(port.get("name") or "")
            made = {"port": rng.choice(self.TARGETS)}
            if port.get("name") or rng.random() < 0.3:
                made["name"] = port.get("name") or ""
            protocol = port.get("protocol") if rng.random() < 0.97 else rng.choice((TCP, UDP, SCTP))
            if protocol:
                made["protocol"] = protocol
            if rng.random() < 0.02:
                del made["port"]
            found.append(made)
        if rng.random() < 0.1 and "other" not in names:
            found.append({"name": "other", "port": 1234})
        return found

    def slice_of(self, service, family, count, level, mood):
        rng = self.rng
        labels = {"kubernetes.io/service-name": service["metadata"]["name"]}
        if rng.random() < 0.04:
            labels[rng.choice(NOT_OURS)] = ""
        if rng.random() < 0.03:
            del labels["kubernetes.io/service-name"]
        pool = self.pool(family)
        if count > len(pool):
            # Nobody else's: of very many endpoints that slices contradict one another about there are too many ways.
            base = ipaddress.ip_address({4: "10.200.0.0", 6: "fd00:200::"}[family]) + 1024 * self.serial
            pool = [(str(base + i + 1), NODES[i % 3] if i % 5 else None) for i in range(count)]
        chosen = rng.sample(pool, min(len(pool), count))
        unique = {a: (a, n) for a, n in chosen}.values()
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": meta(self.name(service["metadata"]["name"]), service["metadata"]["namespace"], labels),
                "addressType": f"IPv{family}", "ports": self.slice_ports(service),
                "endpoints": [self.endpoint(a, n, level, mood) for a, n in unique]}

    def slices_for(self, service):
        rng = self.rng
        found = []
        for family in (4, 6):
            wanted = f"IPv{family}" in service["spec"].get("ipFamilies", [])
            count = rng.choice((0, 1, 1, 1, 1, 2) + 2 * (self.per_family,)) if wanted else int(rng.random() < 0.1)
            level, mood = rng.choice(LEVELS), rng.choice(MOODS)
            for _ in range(count):
                large = self.large if rng.random() < 0.3 else 0
                item = self.slice_of(service, family, large or rng.choice((0, 1, 1, 2, 3, 5, 8)), level, mood)
                if found and rng.random() < 0.3:
                    self.overlap(item, rng.choice(found))
                if self.bad and rng.random() < 0.03 and item["endpoints"]:
                    rng.choice(item["endpoints"])["addresses"] = [rng.choice(BAD_ADDRESSES[family])]
                found.append(item)
        if rng.random() < 0.03:
            found.append(self.fqdn_slice(service))
        return found

    def overlap(self, item, other):
        """The same endpoint in both, now and then in another condition."""
        if other["addressType"] != item["addressType"] or not other["endpoints"]:
            return
        shared = copy.deepcopy(self.rng.choice(other["endpoints"]))
        if self.rng.random() < 0.5:
            conditions = self.conditions("mixed")
            shared.update({"conditions": conditions} if conditions is not None else {})
        item["endpoints"] = [e for e in item["endpoints"] if e["addresses"] != shared["addresses"]] + [shared]
        if self.rng.random() < 0.7:
            item["ports"] = copy.deepcopy(other["ports"])

    def fqdn_slice(self, service):
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": meta(self.name("fqdn"), service["metadata"]["namespace"],
                                 {"kubernetes.io/service-name": service["metadata"]["name"]}),
                "addressType": "FQDN", "ports": [{"port": 80}], "endpoints": [{"addresses": ["www.example.com"]}]}

    def many_slices(self, service, count=100):
        """Bad input: very many slices that overlap, with ports that contradict one another."""
        found = []
        for index in range(count):
            item = self.slice_of(service, 4, 6, (0, 0), "healthy")
            item["metadata"]["labels"] = {"kubernetes.io/service-name": service["metadata"]["name"]}
            item["ports"] = [{**p, "port": self.TARGETS[index % 3]} for p in item["ports"] if "port" in p]
            for endpoint in item["endpoints"]:
                endpoint.pop("nodeName", None)
                node = dict(self.pool(4))[endpoint["addresses"][0]]
                if node:
                    endpoint["nodeName"] = node
            found.append(item)
        self.slices += found

    # Histories.

    def step(self):
        """One change; returns (old object or None, new object or None)."""
        rng = self.rng
        if self.queue and rng.random() < 0.8:       # What follows from an earlier one, as a controller would do.
            old, new = self.queue.pop(0)
            if old is None or old in self.slices:
                return self.exchange(self.slices, old, new)
        kind = rng.random()
        if kind < 0.1 or not self.services:
            service = self.service()
            self.queue += [(None, item) for item in self.slices_for(service)]
            return self.exchange(self.services, None, service)
        if kind < 0.18 and len(self.services) > 8:
            service = rng.choice(self.services)
            self.queue += [(item, None) for item in self.slices_of(service)]
            return self.exchange(self.services, service, None)
        if kind < 0.35:
            return self.change_service()
        if kind < 0.55:
            service = rng.choice(self.services)
            family = rng.choice((4, 6))
            return self.exchange(self.slices, None, self.slice_of(
                service, family, self.large if self.large and rng.random() < 0.1 else rng.choice((1, 3, 6)),
                rng.choice(LEVELS), rng.choice(MOODS)))
        if kind < 0.62 and self.slices:
            return self.exchange(self.slices, rng.choice(self.slices), None)
        if kind < 0.9 and self.slices:
            return self.change_slice()
        if kind < 0.93:
            return self.move_node()
        return super().step() if len(self.policies) > 2 else self.change_pod()

    def slices_of(self, service):
        return [item for item in self.slices if item["metadata"]["namespace"] == service["metadata"]["namespace"] and
                (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == service["metadata"]["name"]]

    def change_pod(self):
        if self.rng.random() < 0.5 or len(self.loose()) < 3:
            return self.exchange(self.pods, None, self.pod(self.rng.choice(self.busy_nodes)))
        return self.exchange(self.pods, self.rng.choice(self.loose()), None)

    def change_service(self):
        """A new specification under an old name: type, ports, policies, families, label."""
        old = self.rng.choice(self.services)
        new = self.service()
        new["metadata"] = {**new["metadata"], "name": old["metadata"]["name"], "namespace": old["metadata"]["namespace"]}
        if self.rng.random() < 0.6 and "clusterIP" in old["spec"] and "clusterIP" in new["spec"]:
            for key in ("clusterIP", "clusterIPs", "ipFamilies"):
                new["spec"][key] = old["spec"][key]
        if self.rng.random() < 0.7:
            self.queue += [(item, None) for item in self.slices_of(old)]
            self.queue += [(None, item) for item in self.slices_for(new)]
        return self.exchange(self.services, old, new)

    def change_slice(self):
        rng = self.rng
        old = rng.choice(self.slices)
        new = copy.deepcopy(old)
        family = {"IPv4": 4, "IPv6": 6}.get(new["addressType"])
        kind = rng.random()
        if family is None or kind < 0.1:
            labels = new["metadata"].setdefault("labels", {})
            for label in NOT_OURS:
                if labels.pop(label, None) is None and rng.random() < 0.3:
                    labels[label] = ""
        elif kind < 0.35 or not new["endpoints"]:
            used = {e["addresses"][0] for e in new["endpoints"]}
            free = [(a, n) for a, n in self.pool(family) if a not in used]
            if free:
                new["endpoints"].append(self.endpoint(*rng.choice(free), (0, 0), rng.choice(MOODS)))
        elif kind < 0.55:
            new["endpoints"].remove(rng.choice(new["endpoints"]))
        elif kind < 0.65 and new["ports"]:
            rng.choice(new["ports"])["port"] = rng.choice(self.TARGETS)
        else:
            endpoint = rng.choice(new["endpoints"])
            endpoint["conditions"] = self.conditions(rng.choice(MOODS)) or {}
        return self.exchange(self.slices, old, new)

    def move_node(self):
        """A node comes to another zone."""
        old = self.rng.choice(self.nodes)
        new = copy.deepcopy(old)
        labels = new["metadata"].setdefault("labels", {})
        labels.pop(ZONE, None)
        zone = self.rng.choice(ZONES)
        if zone:
            labels[ZONE] = zone
        return self.exchange(self.nodes, old, new)
