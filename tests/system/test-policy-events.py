#!/usr/bin/python3 -B
"""Policies that a real API server takes and sluiced does not understand: they close, and an Event about each says so (issue 5); so does
one about a Service of which something has to be left out (issue 6)."""
# time limit: 200 s
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
from kubelab import KubeLabCase  # noqa: E402
from labtest import asking, pod  # noqa: E402

CRD = os.path.join(os.path.dirname(labtest.HERE), "kube", "crd-clusternetworkpolicies.yaml")
TOO_MANY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "ports", "namespace": "default"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 1 + n} for n in range(5001)]}]}}
OPERATOR = {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "operator"},
            "spec": {"tier": "Admin", "priority": 1, "subject": {"pods": {"podSelector": {"matchLabels": {"app": "db"}}}},
                     "egress": [{"action": "Accept", "to": [{"namespaces": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}]}]}}


class Events(KubeLabCase):
    OPTIONS = ("--nodes", "1")
    PODS = [pod("web", "node-1", labels={"app": "web"}), pod("db", "node-1", labels={"app": "db"}), pod("other", "node-1")]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.establish(CRD)

    def create(self, item):
        self.client.create(item)
        self.addCleanup(self.client.delete, item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])

    def events(self, item):
        return [event for event in self.client.list("Event")[0]
                if (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == (item["kind"], item["metadata"]["name"])]

    def closed_and_told(self, item, who, text):
        ways = [spec for sender, to in (("default/other", who), (who, "default/other")) for spec in asking(sender, to, protocols=("tcp",))]
        self.assert_connected(ways)
        self.create(item)
        self.eventually(lambda: any(text in problem for problem in self.ctl("node-1", "status")["problems"]), 60)
        self.lab("wait")
        closed = [way for way, answer in zip(ways, self.lab.probe(*({**way, "timeout": "500ms"} for way in ways)), strict=True)
                  if answer["result"] != "connected"]
        told = self.eventually(lambda: self.events(item))
        self.assertEqual({(event["reason"], event["type"], event["involvedObject"]["apiVersion"]) for event in told},
                         {("PolicyNotUnderstood", "Warning", item["apiVersion"])})
        self.assertIn(text, told[0]["message"])
        self.assertEqual(told[0]["source"]["host"], "node-1")
        return [way["to"] for way in closed]

    def test_networkpolicy(self):
        """More ports than are read: the pod is isolated for ingress, as the policy says."""
        self.assertEqual(self.closed_and_told(TOO_MANY, "default/web", "spec.ingress[0].ports: has more than 5000 elements"),
                         ["default/web"] * 2)

    def test_clusternetworkpolicy(self):
        self.assertEqual(self.closed_and_told(OPERATOR, "default/db", '"Gt" is not In, NotIn, Exists or DoesNotExist'),
                         ["default/db"] * 2 + ["default/other"] * 2)

    def test_service(self):
        """The API server takes two Services with one external address: it is the older one's."""
        made = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
                 "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}, "externalIPs": ["192.0.2.9"]}} for name in ("first", "second")]
        for item in made:
            self.create(item)
        wanted = "address 192.0.2.9 port 80/TCP is default/first already"
        self.eventually(lambda: any(text.startswith("Service/default/second: ") and wanted in text
                                    for text in self.ctl("node-1", "status")["problems"]), 60)
        told = self.eventually(lambda: self.events(made[1]))
        self.assertEqual({(event["reason"], event["type"], event["involvedObject"]["apiVersion"]) for event in told},
                         {("ServiceIncomplete", "Warning", "v1")})
        self.assertIn(wanted, told[0]["message"])
        self.assertEqual(self.events(made[0]), [])


if __name__ == "__main__":
    labtest.main()
