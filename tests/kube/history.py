"""A random history of the objects of a cluster, the same for the same seed.

    for order, item in History(seed).orders(n): ...     # order: "put" or "delete"

Items are valid for a real API server, status included.  Pods are on nodes that are only objects."""
import ipaddress
import random

LABELS = ("app", "tier", "zone")
VALUES = ("a", "b", "c")
MAX_NODES, MAX_NAMESPACES = 6, 4


class History:
    def __init__(self, seed, cluster_policies=False):
        self.random = random.Random(seed)
        self.cluster_policies = cluster_policies
        self.objects = {}       # (kind, namespace, name): item
        self.number = 0

    def orders(self, count):
        for _ in range(2):
            yield self.put_namespace()
            yield self.put_node()
        while count > 0:
            for order in self.step():
                count -= 1
                yield order

    def all(self, kind):
        return [item for (what, _, _), item in sorted(self.objects.items()) if what == kind]

    def step(self):
        draw = self.random.choices(*zip(*(
            (self.new_pod, 30), (self.change_pod, 25), (self.delete_pod, 12), (self.node, 14), (self.namespace, 6),
            (self.service, 6), (self.policy, 12), (self.cluster_policy, 6 if self.cluster_policies else 0)), strict=True))[0]
        return draw()

    def put(self, item):
        meta = item["metadata"]
        self.objects[item["kind"], meta.get("namespace", ""), meta["name"]] = item
        return "put", item

    def delete(self, item):
        meta = item["metadata"]
        del self.objects[item["kind"], meta.get("namespace", ""), meta["name"]]
        return "delete", item

    def name(self, prefix):
        self.number += 1
        return f"{prefix}-{self.number}"

    def labels(self):
        return {label: self.random.choice(VALUES) for label in LABELS if self.random.random() < 0.6}

    # --- nodes ---

    def put_node(self, index=None):
        if index is None:
            index = self.random.randrange(MAX_NODES)
        cidrs = [f"10.244.{100 + index}.0/24", f"fd00:10:244:{100 + index:x}::/64"]
        families = self.random.choice(((0, 1), (0, 1), (0, 1), (0,)))
        host = self.random.choice((150, 170)) + index       # It may get another address.
        addresses = [[f"172.30.0.{host}", f"fd00:172:30::{host:x}"][family] for family in families]
        return self.put({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": f"other-{index}", "labels": self.labels()},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": [cidrs[family] for family in (0, 1)]},
            "status": {"addresses": [*({"type": "InternalIP", "address": address} for address in addresses),
                                     {"type": "Hostname", "address": f"other-{index}"}]}})

    def node(self):
        nodes = self.all("Node")
        if len(nodes) > 2 and self.random.random() < 0.3:
            gone = self.random.choice(nodes)
            for pod in self.all("Pod"):
                if pod["spec"]["nodeName"] == gone["metadata"]["name"]:
                    yield self.delete(pod)
            yield self.delete(gone)
        else:
            yield self.put_node()

    # --- pods ---

    def new_pod(self):
        node = self.random.choice(self.all("Node"))
        namespace = self.random.choice(self.all("Namespace"))["metadata"]["name"]
        gone = self.random.random() < 0.3 and [f"p-{number}" for number in range(1, self.number)
                                               if ("Pod", namespace, f"p-{number}") not in self.objects]
        name = self.random.choice(gone) if gone else self.name("p")     # Some come again under the same name.
        pod = {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": name, "namespace": namespace, "labels": self.labels()},
               "spec": {"nodeName": node["metadata"]["name"], "containers": [
                   {"name": "c", "image": "none", "ports": [{"name": "web", "containerPort": 80}]}]}}
        if self.random.random() < 0.1:
            pod["spec"]["hostNetwork"] = True
            pod["spec"]["containers"][0]["ports"][0]["hostPort"] = 80
        if self.random.random() < 0.8:
            pod["status"] = self.running(pod, node)
        yield self.put(pod)

    def running(self, pod, node):
        if pod["spec"].get("hostNetwork"):
            addresses = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
        else:
            # Few addresses, so that two pods have the same one now and then.
            index = self.random.randrange(2, 40)
            addresses = [str(ipaddress.ip_network(cidr)[index]) for cidr in node["spec"]["podCIDRs"]]
        return {"phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}

    def change_pod(self):
        pods = self.all("Pod")
        if not pods:
            return
        pod = dict(self.random.choice(pods))
        what = self.random.randrange(4)
        if what == 0:
            pod["metadata"] = {**pod["metadata"], "labels": self.labels()}
        elif what == 1 and "status" in pod:
            pod["status"] = {**pod["status"], "phase": self.random.choice(("Succeeded", "Failed"))}
        elif "status" not in pod:
            pod["status"] = self.running(pod, self.objects["Node", "", pod["spec"]["nodeName"]])
        else:
            return
        yield self.put(pod)

    def delete_pod(self):
        pods = self.all("Pod")
        if pods:
            yield self.delete(self.random.choice(pods))

    # --- others ---

    def put_namespace(self):
        index = self.random.randrange(MAX_NAMESPACES)
        labels = {**self.labels(), "kubernetes.io/metadata.name": f"space-{index}"}
        return self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"space-{index}", "labels": labels}})

    def namespace(self):
        yield self.put_namespace()

    def service(self):
        services = self.all("Service")
        if services and self.random.random() < 0.4:
            yield self.delete(self.random.choice(services))
            return
        namespace = self.random.choice(self.all("Namespace"))["metadata"]["name"]
        name, kind = self.name("s"), self.random.choice(("ClusterIP", "NodePort", "LoadBalancer"))
        spec = {"type": kind, "ports": [{"port": 80, "targetPort": "web"}],
                **self.random.choice(({}, {"sessionAffinity": "ClientIP"}, {"internalTrafficPolicy": "Local"})),
                **self.random.choice(({}, {"publishNotReadyAddresses": True})),
                **({"externalTrafficPolicy": self.random.choice(("Cluster", "Local"))} if kind != "ClusterIP" else {})}
        if self.random.random() < 0.5:
            spec["selector"] = self.labels() or {"app": "a"}
        yield self.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
        if "selector" not in spec:
            yield self.put(self.slice_of(namespace, name))

    def slice_of(self, namespace, name):
        node = self.random.choice(("node-1", "elsewhere"))
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
                "ports": [{"port": 8080, "protocol": "TCP"}],
                "endpoints": [{"addresses": [f"10.244.{self.random.randrange(1, 5)}.{index + 2}"], "nodeName": node,
                               "conditions": {"ready": self.random.random() < 0.8}} for index in range(self.random.randrange(1, 5))]}

    def selector(self):
        label, values = self.random.choice(LABELS), self.random.sample(VALUES, 2)
        return self.random.choice((
            {}, {"matchLabels": self.labels()}, {"matchExpressions": [{"key": label, "operator": "NotIn", "values": values}]},
            {"matchExpressions": [{"key": label, "operator": self.random.choice(("Exists", "DoesNotExist"))}]}))

    def peer(self):
        return self.random.choice((
            {"podSelector": self.selector()}, {"namespaceSelector": self.selector()},
            {"namespaceSelector": self.selector(), "podSelector": self.selector()},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.101.0/24"]}}, {"ipBlock": {"cidr": "fd00:10:244::/48"}}))

    def rules(self, peers):
        ports = ([], [{"port": 80}], [{"port": "web"}, {"protocol": "UDP", "port": 53, "endPort": 84}])
        return [{peers: [self.peer() for _ in range(self.random.randrange(3))], "ports": self.random.choice(ports)}
                for _ in range(self.random.randrange(3))]

    def policy(self):
        """Half of them are about the pods of the node, in "default"."""
        policies = self.all("NetworkPolicy")
        if policies and self.random.random() < 0.4:
            yield self.delete(self.random.choice(policies))
            return
        namespace = self.random.choice(("default", self.random.choice(self.all("Namespace"))["metadata"]["name"]))
        yield self.put({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": self.name("n"), "namespace": namespace},
            "spec": {"podSelector": self.selector(), "ingress": self.rules("from"), "egress": self.rules("to"),
                     "policyTypes": self.random.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))}})

    def cluster_peer(self, to):
        peers = [{"namespaces": self.selector()}, {"pods": {"namespaceSelector": self.selector(), "podSelector": self.selector()}}]
        return self.random.choice([*peers, *([{"networks": ["10.244.0.0/16", "fd00::/8"]}, {"nodes": self.selector()}] if to else [])])

    def cluster_rules(self, peers):
        ports = ({}, {"protocols": [{"tcp": {"destinationPort": {"number": 80}}}]},
                 {"protocols": [{"destinationNamedPort": "web"}, {"udp": {"destinationPort": {"range": {"start": 53, "end": 84}}}}]})
        return [{"action": self.random.choice(("Accept", "Deny", "Pass")), **self.random.choice(ports),
                 peers: [self.cluster_peer(peers == "to") for _ in range(self.random.randrange(1, 3))]}
                for _ in range(self.random.randrange(3))]

    def cluster_policy(self):
        policies = self.all("ClusterNetworkPolicy")
        if policies and self.random.random() < 0.4:
            yield self.delete(self.random.choice(policies))
            return
        yield self.put({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": {"name": self.name("c")},
            "spec": {"tier": self.random.choice(("Admin", "Baseline")), "priority": self.random.randrange(4),
                     "subject": {"namespaces": self.selector()}, "ingress": self.cluster_rules("from"),
                     "egress": self.cluster_rules("to")}})
