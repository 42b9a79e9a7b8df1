#!/usr/bin/python3 -B
"""A directory of manifests and a real API server are the same to sluiced (issue 4, item 3).

The same random history of nodes, namespaces, pods, Services and policies goes to the API server and, as the server made of them,
to a directory.  Two nodes of the same name, one on each, have the same flows, those of policies (issue 5) and Services (issue 6) included, whenever both are at rest."""
# time limit: 240 s
import difflib
import ipaddress
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
from kubelab import KubeLabCase  # noqa: E402
from labkit import objects  # noqa: E402
from labtest import pod  # noqa: E402

from history import History  # noqa: E402

CRD = os.path.join(os.path.dirname(labtest.HERE), "kube", "crd-clusternetworkpolicies.yaml")
ORDERS, STRETCHES = 60, 3
KINDS = ("Namespace", "Node", "Pod", "Service", "EndpointSlice", "NetworkPolicy", "ClusterNetworkPolicy", "ServiceCIDR")


def link_local(mac):
    """RFC 4291, appendix A."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]))


class Sources(KubeLabCase):
    OPTIONS = ("--nodes", "1")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.establish(CRD)
        cls.beside = labtest.Lab("beside", ("--nodes", "1"))
        cls.addClassCleanup(cls.beside, "down")
        cls.beside.up()
        cls.store = objects.Store(cls.beside.layout)

    def order(self, what, item):
        """On the API server, then in the directory as the server answered."""
        kind, namespace, name = objects.key(item)
        before = self.client.get(kind, namespace, name)
        if before and (what == "delete" or kind == "Node" and before["spec"] != item["spec"]):
            self.client.delete(kind, namespace, name, grace=0)
            before = None
        if what == "delete":
            self.store.remove(kind, namespace, name)
            return
        if kind == "Node" and not before:
            made = self.client.create(item)         # With its status, as a kubelet registers it.
        else:
            made = self.client.apply({part: value for part, value in item.items() if part != "status"})
        if "status" in item and (kind != "Node" or before):
            made = self.client.merge(kind, namespace, name, {"status": item["status"]}, "status", item["apiVersion"])
        self.store.put({"kind": kind, **made})

    def mirror(self):
        """What the controllers of the cluster have made meanwhile: EndpointSlices, for one."""
        for kind in KINDS:
            there = {objects.key(item): item for item in self.client.list(kind)[0]
                     if item["metadata"]["name"] != "node-1" and item.get("spec", {}).get("nodeName") != "node-1"}
            for item in there.values():
                self.store.put(item)
            for item in self.store.all(kind):
                local = item["metadata"]["name"] == "node-1" or item.get("spec", {}).get("nodeName") == "node-1"
                if objects.key(item) not in there and not local:
                    self.store.remove(*objects.key(item))

    def view(self, lab):
        """What a node makes of the objects, without what each ADD draws by lot: the MAC of a pod of its own."""
        known = {what: json.loads(lab.exec("node-1", "sluicectl", what, "--json")) for what in ("pods", "nodes", "status", "services")}
        flows = "\n".join(lab.flows("node-1"))
        for one in known["pods"]:
            if "mac" in one:
                flows = flows.replace(one["mac"], one["name"]).replace(link_local(one["mac"]), "link-local-" + one["name"])
            for drawn in ("mac", "container", "port", "ofport"):
                one.pop(drawn, None)
        groups = lab.exec("node-1", "ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "br-int").splitlines()[1:]
        return [*sorted(flows.splitlines()), *sorted(groups), json.dumps(known["status"]["known"]),
                *sorted(json.dumps(one, sort_keys=True) for what in ("pods", "nodes", "services") for one in known[what])]

    def assert_same_view(self, where):
        """Gives how many flows there are."""
        def same():
            self.mirror()
            self.beside("wait")
            self.lab("wait")
            ours, beside = self.view(self.lab), self.view(self.beside)
            self.assertFalse(list(difflib.unified_diff(beside, ours, "directory", "API server", lineterm="", n=0))[:40], where)
            return len([line for line in ours if "table=" in line])
        return self.eventually(same, 30)

    def test_same_history_same_flows(self):
        self.eventually(lambda: not any(kind.get("absent") for kind in self.ctl("node-1", "status")["source"]["kinds"]), 60)
        seed = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
        print(f"SLUICE_TEST_SEED={seed}", flush=True)
        for name in ("near", "left"):
            for lab in (self.lab, self.beside):
                lab.apply(pod(name, "node-1", labels={"app": "a", "zone": name[0]}))
        counts = [self.assert_same_view("pods of the node")]
        orders = History(seed, True).orders(ORDERS * STRETCHES)
        for stretch in range(STRETCHES):
            for _, order in zip(range(ORDERS), orders, strict=False):
                self.order(*order)
            counts.append(self.assert_same_view(f"seed {seed}, after {(stretch + 1) * ORDERS} orders"))
        print("flows:", counts, flush=True)
        self.assertGreater(max(counts), counts[0])
        # Both find the same after a restart that had no history.
        for lab in (self.lab, self.beside):
            lab("restart", "node-1", "sluiced")
        self.assert_same_view(f"seed {seed}, after a restart")


if __name__ == "__main__":
    labtest.main()
