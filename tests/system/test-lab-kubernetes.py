#!/usr/bin/python3 -B
"""Pods by their UID, on a lab that plays kubelet for a real API server (issue 4, item 6)."""
# time limit: 180 s
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
from kubelab import KubeLabCase, node_object, pod_object  # noqa: E402
from labtest import asking, pod  # noqa: E402

LINGER = "sluice.dev/lab-linger"
MIRROR = "kubernetes.io/config.mirror"


class Pods(KubeLabCase):
    PODS = [pod("near", "node-1"), pod("far", "node-2"), node_object("other-1", 161), node_object("other-2", 162)]

    def pods(self, node="node-1"):
        return {f"{one['namespace']}/{one['name']}": one for one in self.ctl(node, "pods")}

    def state(self, node, name):
        return self.pods(node).get(name, {}).get("state")

    def apply(self, *items):
        self.lab("apply", "-f", "-", stdin=json.dumps({"kind": "List", "items": items}))

    def uid(self, name):
        return self.client.get("Pod", *name.split("/"))["metadata"]["uid"]

    def sandboxes(self):
        return sorted(os.listdir(self.lab.layout.path("pods")))

    def delete(self, *names):
        for name in names:
            self.client.delete("Pod", *name.split("/"))
        for name in names:
            self.client.until("Pod", *name.split("/"), lambda now: now is None)

    def assert_clean(self):
        """Neither journal nor OVSDB nor the source has something that the others lack."""
        for node in ("node-1", "node-2"):
            self.lab.exec(node, "sluicectl", "ipam", "check")

    def test_pods_talk_across_nodes(self):
        self.assert_connected([*asking("default/near", "default/far"), *asking("default/far", "default/near")])

    def test_scheduled_by_the_cluster(self):
        loose = pod("loose", None)
        del loose["spec"]["nodeName"]
        self.apply(loose)
        self.assert_connected(asking("default/near", "default/loose"))
        self.delete("default/loose")

    def test_finished_pod_gives_its_address_back(self):
        self.apply(pod("job", "node-2"))
        self.assert_connected(asking("default/near", "default/job"))
        before = self.lab.ips("default/job")
        self.client.merge("Pod", "default", "job", {"status": {"phase": "Succeeded"}}, "status")
        # The object stays, with its addresses; its sandbox and what the nodes know of it as a pod with an address does not.
        self.eventually(lambda: "default.job.json" not in self.sandboxes())
        self.eventually(lambda: not self.pods("node-2").get("default/job", {}).get("container"))
        self.assertEqual(self.client.get("Pod", "default", "job")["status"]["podIPs"],
                         [{"ip": ip} for ip in before.values()])
        self.eventually(lambda: self.state("node-1", "default/job") == "finished")
        self.delete("default/job")
        self.assert_clean()

    def test_host_network_pods_are_the_node(self):
        flows = {node: self.lab.flows(node) for node in ("node-1", "node-2")}
        host = pod("host", "node-2", ("TCP:8080",), host_network=True)
        self.apply(host)
        self.assertEqual(self.lab.ips("default/host"), self.lab.ips("node-2"))
        self.assert_connected(asking("default/near", "default/host", ports={"tcp": 8080}, protocols=["tcp"]))
        self.lab("wait")
        self.assertEqual({node: self.lab.flows(node) for node in flows}, flows)
        self.delete("default/host")

    def test_deleted_with_grace_talks_until_its_end(self):
        self.apply({**pod("slow", "node-1"), "metadata": {"name": "slow", "namespace": "default",
                                                          "annotations": {LINGER: ""}}})
        self.lab("wait")
        self.client.delete("Pod", "default", "slow")
        self.assertTrue(self.client.get("Pod", "default", "slow")["metadata"].get("deletionTimestamp"))
        self.assert_connected([*asking("default/far", "default/slow"), *asking("default/slow", "default/far")])
        self.assertEqual(self.state("node-1", "default/slow"), "up")
        self.client.merge("Pod", "default", "slow", {"metadata": {"annotations": {LINGER: None}}})
        self.client.until("Pod", "default", "slow", lambda now: now is None)
        self.eventually(lambda: self.state("node-1", "default/slow") is None)
        self.assert_clean()

    def test_same_name_again_at_once(self):
        """Deleted by force, so the API server has the next one before DEL of the first."""
        for node in ("node-1", "node-1", "node-2", "node-1"):
            self.apply(pod("again", node))
            self.lab("wait")
            self.assert_connected(asking("default/far", "default/again"))
            self.client.delete("Pod", "default", "again", grace=0)
        self.eventually(lambda: "default.again.json" not in self.sandboxes())
        self.eventually(lambda: self.state("node-1", "default/again") is None)
        self.assert_clean()

    def test_static_pod(self):
        """The plugin is told another UID than the mirror pod has."""
        static = pod("static", "node-1")
        static["metadata"]["annotations"] = {MIRROR: "0123456789abcdef0123456789abcdef"}
        self.apply(static)
        self.lab("wait")
        self.assertEqual(self.state("node-1", "default/static"), "up")
        self.assert_connected(asking("default/far", "default/static"))
        self.delete("default/static")

    def test_one_address_of_two_pods_for_a_moment(self):
        ips = ["10.244.161.9", "fd00:10:244:a1::9"]
        self.apply(pod_object("first", "other-1", ips), pod_object("second", "other-2", ips))
        self.eventually(lambda: self.pods().get("default/second", {}).get("ips") == ips)
        self.delete_object("first")
        self.eventually(lambda: "default/first" not in self.pods() and self.pods()["default/second"]["ips"] == ips)
        self.delete_object("second")
        self.eventually(lambda: "default/second" not in self.pods())
        self.lab("wait")
        self.assert_connected(asking("default/near", "default/far"))

    def delete_object(self, name):
        self.client.delete("Pod", "default", name, grace=0)

    def test_nodes_come_and_go(self):
        """Added, re-addressed, re-created, removed: what concerns other nodes is not touched."""
        others = [flow for flow in self.lab.flows("node-1") if "10.244.163." not in flow]
        self.apply(node_object("third", 163))
        self.eventually(lambda: any("nw_dst=10.244.163.0/24" in flow and "172.30.0.163" in flow
                                    for flow in self.lab.flows("node-1")))
        before = self.modifications("node-1")
        self.client.merge("Node", "", "third", {"status": {"addresses": [
            {"type": "InternalIP", "address": "172.30.0.193"}]}}, "status")
        self.eventually(lambda: any("172.30.0.193" in flow for flow in self.lab.flows("node-1")))
        self.assertLess(self.modifications("node-1") - before, 12)
        self.client.delete("Node", "", "third")
        self.client.create(node_object("third", 164))
        self.eventually(lambda: any("nw_dst=10.244.164.0/24" in flow for flow in self.lab.flows("node-1")) and
                        not any("10.244.163.0/24" in flow for flow in self.lab.flows("node-1")))
        self.client.delete("Node", "", "third")
        self.eventually(lambda: self.lab.flows("node-1") == others)

    def test_zz_nothing_is_left(self):
        self.delete("default/near", "default/far")
        self.eventually(lambda: not self.sandboxes())
        for node in ("node-1", "node-2"):
            self.eventually(lambda node=node: self.ctl(node, "status")["counts"]["up"] == 0)
        self.assert_clean()


if __name__ == "__main__":
    labtest.main()
