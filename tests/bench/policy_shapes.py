"""The five shapes of policy at scale (Antrea's own benchmark of its NetworkPolicy controller has the same), as manifests.

Each policy has both types, no egress rule, and at most one ingress rule with one peer and no ports.  Pods are spread at random over 1,000
nodes, each address unique and of its node's /24; 20 of the nodes have exactly 100 of the pods."""
import ipaddress
import json
import os
import random

NODES = 1000
CROWDED, CROWD = 20, 100        # So many nodes have exactly so many of the pods.
FILE_ITEMS = 2000


def namespace(name, labels=None):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def policy(space, name, selector, peer=None):
    rules = [{"from": [peer]}] if peer else []
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": space},
            "spec": {"podSelector": selector, "policyTypes": ["Ingress", "Egress"], "ingress": rules}}


def small_namespaces(pod):
    for space in range(25000):
        name = f"ns-{space}"
        yield namespace(name)
        yield policy(name, "default-deny-all", {})
        for app in range(2):
            same = {f"app-{app}": f"scale-{app}"}
            yield policy(name, f"allow-{app}", {"matchLabels": same}, {"podSelector": {"matchLabels": same}})
            yield from (pod(name, f"app-{app}-{number}", same) for number in range(2))


def large_namespaces(pod):
    for space in range(100):
        name = f"ns-{space}"
        yield namespace(name)
        yield policy(name, "default-deny-all", {})
        for app in range(100):
            same = {f"app-{app}": f"scale-{app}"}
            yield policy(name, f"allow-{app}", {"matchLabels": same}, {"podSelector": {"matchLabels": same}})
            yield from (pod(name, f"app-{app}-{number}", same) for number in range(10))


def one_namespace(pod):
    yield namespace("ns")
    for number in range(10000):
        yield policy("ns", f"allow-{number}", {}, {"podSelector": {}})
        yield pod("ns", f"pod-{number}", {"app": "one"})


def policy_per_pod(pod):
    yield namespace("ns")
    for number in range(10000):
        own, other = {"id": f"pod-{number}"}, {"id": f"pod-{number ^ 1}"}
        yield policy("ns", f"allow-{number}", {"matchLabels": own}, {"podSelector": {"matchLabels": other}})
        yield pod("ns", f"pod-{number}", own)


def cluster_scoped(pod):
    for space in range(1000):
        name, company = f"ns-{space}", {"company": str(space % 100)}
        yield namespace(name, company)
        for app in range(10):
            same = {"app": str(app)}
            yield policy(name, f"allow-{app}", {"matchLabels": same},
                         {"namespaceSelector": {"matchLabels": company}, "podSelector": {"matchLabels": same}})
            yield from (pod(name, f"app-{app}-{number}", same) for number in range(10))


SHAPES = {"small-namespaces": small_namespaces, "large-namespaces": large_namespaces, "one-namespace": one_namespace,
          "policy-per-pod": policy_per_pod, "cluster-scoped": cluster_scoped}


class Pods:
    """Makes pods: CROWD of them on each of the first CROWDED nodes, the rest at random on the others."""

    def __init__(self, total):
        self.random = random.Random(1)
        self.next = [2] * NODES
        chosen = self.random.sample(range(total), CROWDED * CROWD)
        self.chosen = {index: place // CROWD for place, index in enumerate(chosen)}
        self.made = 0

    def node(self):
        node = self.chosen.get(self.made)
        self.made += 1
        while node is None or self.next[node] > 254:
            node = self.random.randrange(CROWDED, NODES)
        return node

    def __call__(self, space, name, labels):
        node = self.node()
        address = str(ipaddress.ip_address("10.0.0.0") + node * 256 + self.next[node])
        self.next[node] += 1
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space, "labels": labels},
                "spec": {"nodeName": f"node-{node}", "containers": [{"name": "c", "image": "none"}]},
                "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}


def nodes():
    for number in range(NODES):
        cidr = f"{ipaddress.ip_address('10.0.0.0') + number * 256}/24"
        yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"},
               "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
               "status": {"addresses": [{"type": "InternalIP", "address": str(ipaddress.ip_address("192.168.0.1") + number)}]}}


PODS = {"small-namespaces": 100000, "large-namespaces": 100000, "one-namespace": 10000, "policy-per-pod": 10000, "cluster-scoped": 100000}


def write(shape, folder):
    """Writes the shape's manifests to 'folder', in Lists.  Returns how many objects."""
    items, count = [], 0

    def flush():
        if items:
            with open(os.path.join(folder, f"{count:07}.json"), "w") as file:
                json.dump({"apiVersion": "v1", "kind": "List", "items": items}, file)
            items.clear()

    def everything():
        yield from nodes()
        yield from SHAPES[shape](Pods(PODS[shape]))

    for item in everything():
        items.append(item)
        count += 1
        if len(items) == FILE_ITEMS:
            flush()
    flush()
    return count
