#!/usr/bin/python3 -B
"""Three real kubelets: nodes that come, go and come again."""
# time limit: 600 s
import ipaddress
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from kubelettest import ips, pod_spec  # noqa: E402


def daemon_set(name):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod_spec()}}}


class ThreeNodes(kubelettest.KubeletCase):
    NODES = 3
    ALLOWED_LOG = [
        ("sluiced", r"node node-3", "its Node object was deleted"),
        ("ovs-vswitchd", r"bridge\|WARN\|could not open network device slp[0-9a-f]{12}", "its pod ended with the node's reboot"),
    ]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.apply(daemon_set("every"))

    def setUp(self):
        self.cluster.rolled_out("daemonset/every")
        self.cluster.wait("pod -l app=every")
        self.pods = self.cluster.pods("app=every")
        self.assertEqual(sorted(item["spec"]["nodeName"] for item in self.pods.values()), self.cluster.nodes)

    def flows_between_the_others(self):
        """What node-1 has for node-2, and node-2 for node-1."""
        return {node: self.cluster.sluicectl(node, "flows", "--object", f"Node/{other}")
                for node, other in (("node-1", "node-2"), ("node-2", "node-1"))}

    def known(self, node):
        """Nodes that a node has realized."""
        status = json.loads(self.cluster.sluicectl(node, "status", "--json"))
        return sorted(item["name"] for item in status["nodes"] if item["realized"])

    def test_1_every_pair_talks(self):
        self.assert_every_pair(self.pods)

    def test_2_node_deleted_and_added_again(self):
        """Only what is its own goes and comes; it may get other pod CIDRs."""
        others = self.flows_between_the_others()
        first = {node: pods for pods, node in ((name, item["spec"]["nodeName"]) for name, item in self.pods.items())}
        self.cluster.kubectl("delete", "node", "node-3", "--timeout=30s")
        self.cluster.kubectl("wait", "--for=delete", "pod/" + first["node-3"], "--timeout=120s")
        for node in ("node-1", "node-2"):
            self.cluster.sluicectl(node, "wait", "--for", "realized")
            self.assertEqual(self.known(node), ["node-1", "node-2"])
            self.assertEqual(self.cluster.sluicectl(node, "flows", "--object", "Node/node-3").strip(), "")
        self.assertEqual(self.flows_between_the_others(), others)
        self.assert_every_pair({name: item for name, item in self.pods.items() if name != first["node-3"]})
        # A kubelet registers its node when it starts.
        self.cluster.rig("restart-node", "node-3")
        self.cluster.wait("node/node-3", "create")
        self.cluster.wait("node --all", seconds=90)
        self.cluster.rolled_out("daemonset/every")
        self.cluster.wait("pod -l app=every")
        self.cluster.realized()
        now = self.cluster.pods("app=every")
        self.assertEqual(sorted(item["spec"]["nodeName"] for item in now.values()), self.cluster.nodes)
        self.assert_in_pod_cidrs(now)
        self.assert_every_pair(now)
        self.assertEqual(self.flows_between_the_others(), others)
        for node in self.cluster.nodes:
            self.assertEqual(self.known(node), self.cluster.nodes)

    def assert_in_pod_cidrs(self, pods):
        for name, item in pods.items():
            node = self.cluster.get(f"/api/v1/nodes/{item['spec']['nodeName']}")
            cidrs = [ipaddress.ip_network(cidr) for cidr in node["spec"]["podCIDRs"]]
            for address in ips(item).values():
                self.assertTrue(any(ipaddress.ip_address(address) in cidr for cidr in cidrs), f"{name} {address} {cidrs}")

    def test_3_node_rebooted(self):
        others = self.flows_between_the_others()
        name = next(name for name, item in self.pods.items() if item["spec"]["nodeName"] == "node-3")
        self.cluster.rig("reboot", "node-3")
        self.cluster.wait("pod/" + name, "jsonpath={.status.containerStatuses[0].restartCount}=1", 90)
        self.cluster.wait("pod -l app=every")
        self.cluster.realized()
        self.assert_every_pair(self.cluster.pods("app=every"))
        self.assertEqual(self.flows_between_the_others(), others)

    def test_4_node_drained_and_away_for_good(self):
        self.cluster.kubectl("cordon", "node-3")
        self.cluster.kubectl("delete", "daemonset/every", "--cascade=foreground", "--timeout=60s")
        self.cluster.rig("stop", "kubelet-node-3")
        self.cluster.kubectl("delete", "node", "node-3", "--timeout=30s")
        for node in ("node-1", "node-2"):
            self.cluster.sluicectl(node, "wait", "--for", "realized")
            self.assertEqual(self.known(node), ["node-1", "node-2"])


if __name__ == "__main__":
    kubelettest.main()
