#!/usr/bin/python3 -B
# time limit: 240 s
"""What sluiced may do with a real API server, and what it writes there (issue 4, items 2 and 4).

deploy/rbac.yaml is enough and is all; deploy/rbac-node-restriction.yaml binds the account to its Node."""
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "kube"), os.path.join(TOP, "tests", "lab")]
import apiserver  # noqa: E402
import labtest  # noqa: E402
from labkit import kubeapi  # noqa: E402

# What the account has beyond what every account has: (API group, resource, verb).
PRIVILEGES = {
    ("", "namespaces", "list"), ("", "namespaces", "watch"),
    ("", "nodes", "get"), ("", "nodes", "list"), ("", "nodes", "watch"),
    ("", "pods", "list"), ("", "pods", "watch"),
    ("", "services", "list"), ("", "services", "watch"),
    ("discovery.k8s.io", "endpointslices", "list"), ("discovery.k8s.io", "endpointslices", "watch"),
    ("networking.k8s.io", "networkpolicies", "list"), ("networking.k8s.io", "networkpolicies", "watch"),
    ("policy.networking.k8s.io", "clusternetworkpolicies", "list"),
    ("policy.networking.k8s.io", "clusternetworkpolicies", "watch"),
    ("", "nodes/status", "patch"),
    ("", "events", "create"), ("", "events", "patch"),
}
STRATEGIC = "application/strategic-merge-patch+json"
NOTHING_ELSE = "sluiced may write nothing of a Node's status but the condition NetworkUnavailable"


def condition_patch(status="False", kind="NetworkUnavailable", **more):
    return {"status": {"conditions": [{"type": kind, "status": status, "reason": "Test", "message": "test",
                                       "lastHeartbeatTime": "2026-11-23T08:00:00Z",
                                       "lastTransitionTime": "2026-11-23T08:00:00Z"}], **more}}


class ApiCase(unittest.TestCase):
    """One API server for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(apiserver.Cluster())
        cls.admin = cls.cluster.client()
        cls.addClassCleanup(cls.admin.close)
        cls.kubeconfig = cls.cluster.account()

    def client(self, token=None):
        client = kubeapi.Client(self.cluster.kubeconfig("test", {"token": token}) if token else self.kubeconfig)
        self.addCleanup(client.close)
        return client

    def node(self, name):
        made = self.admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                                  "spec": {"podCIDRs": ["10.244.9.0/24"], "podCIDR": "10.244.9.0/24"}})
        self.addCleanup(self.admin.delete, "Node", None, name)
        return made

    def condition(self, name):
        return next((condition for condition in self.admin.get("Node", None, name)["status"].get("conditions", [])
                     if condition["type"] == "NetworkUnavailable"), None)

    def refused(self, status, client, method, path, *body):
        with self.assertRaises(kubeapi.ApiError) as caught:
            client.request(method, path, *body)
        self.assertEqual(caught.exception.status, status, str(caught.exception))
        return str(caught.exception)


class Privileges(ApiCase):
    @staticmethod
    def rules(client):
        """{(group, resource, verb)} as the server sees them."""
        answer = client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "kube-system"}})
        status = answer["status"]
        assert not status["incomplete"], status
        resources = {(group, resource + "".join(f" {name}" for name in rule.get("resourceNames", [])), verb)
                     for rule in status["resourceRules"] for group in rule["apiGroups"] for resource in rule["resources"]
                     for verb in rule["verbs"]}
        return resources | {("url", url, verb) for rule in status["nonResourceRules"] for url in rule["nonResourceURLs"]
                            for verb in rule["verbs"]}

    def test_exactly_these(self):
        self.admin.create({"apiVersion": "v1", "kind": "ServiceAccount",
                           "metadata": {"name": "nobody", "namespace": "kube-system"}})
        everybody = self.rules(self.client(self.admin.token_for("kube-system", "nobody")))
        self.assertEqual(self.rules(self.client()) - everybody, PRIVILEGES)
        self.assertFalse(PRIVILEGES & everybody)

    def test_used(self):
        """Each one, with a request; and what stands next to it is forbidden."""
        client, node = self.client(), self.node("used")
        for path in ("/api/v1/namespaces", "/api/v1/nodes", "/api/v1/pods", "/api/v1/services",
                     "/apis/discovery.k8s.io/v1/endpointslices", "/apis/networking.k8s.io/v1/networkpolicies"):
            with self.subTest(path):
                version = client.request("GET", path + "?limit=1")["metadata"]["resourceVersion"]
                watch = client._send("GET", f"{path}?watch=1&timeoutSeconds=1&resourceVersion={version}", None, "", 10)
                self.assertEqual(watch.status, 200)
                watch.read()
                self.refused(403, client, "DELETE", path)
        # Its CRD is not installed: not found, but not forbidden.
        self.refused(404, client, "GET", "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies")
        client.request("GET", "/api/v1/nodes/used")
        client.request("PATCH", "/api/v1/nodes/used/status", condition_patch(), STRATEGIC)
        self.refused(403, client, "PUT", "/api/v1/nodes/used/status", node)
        self.refused(403, client, "PATCH", "/api/v1/nodes/used", {"metadata": {"labels": {"a": "b"}}}, STRATEGIC)
        events = "/api/v1/namespaces/default/events"
        client.request("POST", events, {"metadata": {"name": "e.1", "namespace": "default"}, "reason": "Test", "count": 1,
                                        "involvedObject": {"kind": "Node", "apiVersion": "v1", "name": "used"}})
        client.request("PATCH", events + "/e.1", {"count": 2}, STRATEGIC)
        for method, path in (("GET", events), ("DELETE", events + "/e.1"), ("GET", "/api/v1/secrets"),
                             ("GET", "/api/v1/configmaps"), ("GET", "/apis/apps/v1/deployments"),
                             ("GET", "/api/v1/namespaces/kube-system/secrets/x"),
                             ("POST", "/api/v1/namespaces/default/pods"), ("DELETE", "/api/v1/namespaces/default/pods/x"),
                             ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/sluice/token"),
                             ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
                             ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles")):
            with self.subTest(f"{method} {path}"):
                self.refused(403, client, method, path, *([{}] if method == "POST" else []))

    def test_own_node_only(self):
        """deploy/rbac-node-restriction.yaml."""
        path = os.path.join(TOP, "deploy", "rbac-node-restriction.yaml")
        self.cluster.kubectl("apply", "-f", path)
        self.addCleanup(self.cluster.kubectl, "delete", "-f", path)
        nodes = [self.node(name) for name in ("mine", "yours")]
        unbound = self.client()
        answer = self.admin.request("POST", "/api/v1/namespaces/kube-system/serviceaccounts/sluice/token", {
            "spec": {"expirationSeconds": 3600, "boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "mine",
                                                                   "uid": nodes[0]["metadata"]["uid"]}}})
        bound = self.client(answer["status"]["token"])
        # A policy takes effect some time after it was made.
        for _ in range(300):
            try:
                unbound.request("PATCH", "/api/v1/nodes/yours/status", condition_patch(), STRATEGIC)
            except kubeapi.ApiError as error:
                self.assertRegex(str(error), "sluiced may write the status of its own Node only.*names none")
                break
        else:
            self.fail(f"{path} has no effect")

        def patch(name, body):
            return bound.request("PATCH", f"/api/v1/nodes/{name}/status", body, STRATEGIC)

        patch("mine", condition_patch())
        patch("mine", condition_patch("True"))
        self.assertEqual(self.condition("mine")["status"], "True")
        for name, body, why in (
                ("yours", condition_patch(), "of its own Node only.*it names mine"),
                ("mine", condition_patch(kind="Ready"), "no other condition than"),
                ("mine", {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.9"}]}}, NOTHING_ELSE),
                ("mine", {"status": {"capacity": {"cpu": "99"}}}, NOTHING_ELSE),
                ("mine", {"metadata": {"labels": {"a": "b"}}}, NOTHING_ELSE),
                ("mine", {"metadata": {"annotations": {"a": "b"}}}, NOTHING_ELSE)):
            with self.subTest(body):
                with self.assertRaisesRegex(kubeapi.ApiError, why):
                    patch(name, body)
        # Nobody else is held up.
        self.admin.request("PATCH", "/api/v1/nodes/yours/status", condition_patch(kind="Ready"), STRATEGIC)


class Documents(unittest.TestCase):
    def test_reasons(self):
        """docs/kubernetes.md has a row for each reason of a condition or an Event in the source."""
        with open(os.path.join(TOP, "docs", "kubernetes.md")) as file:
            rows = set(re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", file.read(), re.M))
        used = {"SluiceNotReady"}
        for name in os.listdir(os.path.join(TOP, "controller")):
            if name.endswith(".c"):
                with open(os.path.join(TOP, "controller", name)) as file:
                    text = file.read()
                used.update(re.findall(r"\b(?:dataplane_report_(?:node_)?|node_report_event)\([^;]*?\"([A-Z][A-Za-z]+)\"", text))
                used.update(re.findall(r"^        { \"[^\"]+\", \"([A-Z][A-Za-z]+)\" },$", text, re.M) if "condition" in name else [])
        self.assertEqual(rows, used)


if __name__ == "__main__":
    reason = apiserver.missing()
    if reason:
        print(f"skipped: {reason}")
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(77)
    labtest.main()
