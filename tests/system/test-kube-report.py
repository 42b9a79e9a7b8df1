#!/usr/bin/python3 -B
# time limit: 240 s
"""What sluiced may do with a real API server, and what it writes there (issue 4, items 2 and 4).

deploy/rbac.yaml is enough and is all; deploy/rbac-node-restriction.yaml binds the account to its Node."""
import os
import re
import select
import subprocess
import sys
import time
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
    ("networking.k8s.io", "servicecidrs", "list"), ("networking.k8s.io", "servicecidrs", "watch"),
    ("policy.networking.k8s.io", "clusternetworkpolicies", "list"),
    ("policy.networking.k8s.io", "clusternetworkpolicies", "watch"),
    ("", "nodes/status", "patch"),
    ("", "events", "create"), ("", "events", "patch"),
}
BUILD = os.path.realpath(os.environ.get("SLUICE_BUILD") or os.path.join(TOP, "build"))
READY = "The node's network is set up by Sluice"
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
        deadline = time.monotonic() + 60
        while True:
            try:
                unbound.request("PATCH", "/api/v1/nodes/yours/status", condition_patch(), STRATEGIC)
            except kubeapi.ApiError as error:
                self.assertRegex(str(error), "sluiced may write the status of its own Node only.*names none")
                break
            self.assertLess(time.monotonic(), deadline, f"{path} has no effect")
            time.sleep(0.05)

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


class Driver:
    """tests/kube/report-driver: node-report.h as sluiced uses it."""

    def __init__(self, kubeconfig, node):
        self.process = subprocess.Popen([os.path.join(BUILD, "tests", "kube", "report-driver"), kubeconfig, node],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.said, self.output = {}, b""

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        if code:
            raise AssertionError(f"report-driver: exit {code}")

    def _line(self, deadline):
        """The next line, or None when it does not come in time."""
        while b"\n" not in self.output:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, "report-driver has ended"
            self.output += more
        line, self.output = self.output.split(b"\n", 1)
        line = line.decode()
        if line != "ok":
            what, text = line.split(" ", 1)
            self.said[what] = text
        return line

    def __call__(self, *words):
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        deadline = time.monotonic() + 10
        while (line := self._line(deadline)) != "ok":
            assert line is not None, "no answer"

    def until(self, what, pattern, seconds=60):
        """Waits until it says this of "problem" or "client"."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.said.get(what, "")):
            if self._line(deadline) is None:
                raise AssertionError(f"{what}: {self.said.get(what)!r} instead of {pattern!r}")


class Report(ApiCase):
    def driver(self, node, kubeconfig=None):
        driver = Driver(kubeconfig or self.kubeconfig, node)
        self.addCleanup(lambda: driver.process.stdin.closed or driver.close())
        return driver

    def until_condition(self, node, status, message, seconds=60):
        def found(item):
            conditions = (item or {}).get("status", {}).get("conditions", [])
            return next((condition for condition in conditions if condition["type"] == "NetworkUnavailable"
                         and (condition["status"], condition["message"]) == (status, message)), None)
        return self.admin.until("Node", None, node, found, seconds)

    def events(self, name):
        return self.admin.list("Event", "", f"involvedObject.name={name},source=sluiced")[0]

    def until_events(self, name, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition(found := self.events(name)):
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.05)
        return found

    def test_condition(self):
        uid, driver = self.node("told")["metadata"]["uid"], self.driver("told")
        driver("condition", "-", "no Node yet")
        driver("condition", uid, "node told has no spec.podCIDRs")
        waiting = self.until_condition("told", "True", "node told has no spec.podCIDRs")
        self.assertEqual(waiting["reason"], "NoPodCIDR")
        driver("condition", uid, "-")
        ready = self.until_condition("told", "False", READY)
        self.assertEqual(ready["reason"], "SluiceReady")
        self.assertGreater(ready["lastTransitionTime"], waiting["lastTransitionTime"])
        # Kubernetes' own controller follows: the taint goes.
        self.admin.until("Node", None, "told", lambda node: "node.kubernetes.io/network-unavailable" not in [
            taint["key"] for taint in node["spec"].get("taints", [])])

        # Another one that starts finds it as it must be: nothing is written.
        driver.close()
        driver = self.driver("told")
        driver("condition", uid, "-")
        driver("event", "Node", "-", "told", uid, "Check", "started again")
        self.until_events("told", bool)
        driver("event", "Node", "-", "told", uid, "Check", "and again")
        self.until_events("told", lambda found: len(found) == 2)
        self.assertEqual(self.condition("told"), ready)

        # What somebody else wrote meanwhile is put right by the next one that starts.
        self.admin.request("PATCH", "/api/v1/nodes/told/status", condition_patch("True"), STRATEGIC)
        driver.close()
        self.driver("told")("condition", uid, "-")
        self.until_condition("told", "False", READY)

    def test_flapping(self):
        made = self.node("flaps")
        uid, driver = made["metadata"]["uid"], self.driver("flaps")
        begin = time.monotonic()
        for step in range(60):
            driver("condition", uid, f"uplink: gone {step}" if step % 2 else "-")
            time.sleep(0.05)
        driver("condition", uid, "the end")
        self.until_condition("flaps", "True", "the end")
        seconds = time.monotonic() - begin
        seen = set()
        for kind, item in self.admin.watch("Node", made["metadata"]["resourceVersion"], "metadata.name=flaps", seconds=1):
            conditions = item.get("status", {}).get("conditions", []) if kind == "MODIFIED" else []
            seen.update(condition["message"] for condition in conditions if condition["type"] == "NetworkUnavailable")
        self.assertIn("the end", seen)
        self.assertLessEqual(len(seen), 2 * seconds + 2)

    def test_made_anew(self):
        old, driver = self.node("again")["metadata"]["uid"], self.driver("again")
        driver("condition", old, "-")
        self.until_condition("again", "False", READY)
        self.admin.delete("Node", None, "again")
        new = self.node("again")["metadata"]["uid"]
        # sluiced has not heard of it yet: what it says is about the old one.
        driver("condition", old, "uplink: gone")
        driver.until("problem", "422|409|another Node of this name")
        self.assertIsNone(self.condition("again"))
        driver("condition", "-", "no Node")
        driver("condition", new, "uplink: gone")
        self.assertEqual(self.until_condition("again", "True", "uplink: gone")["reason"], "NoUplink")
        driver.until("problem", "^-$")

    def test_events(self):
        driver = self.driver("n1")
        for _ in range(3):
            driver("event", "Pod", "default", "web", "1234", "NetworkDenied", "its object did not come")
        driver("event", "Pod", "default", "web", "1234", "FlowsRefused", "no")
        driver("event", "Node", "-", "n1", "-", "NoPodCIDR", "none")
        web = {event["reason"]: event for event in self.until_events("web", lambda found: len(found) == 2)}
        denied = web["NetworkDenied"]
        self.assertEqual((denied["metadata"]["namespace"], denied["type"], denied["message"]),
                         ("default", "Warning", "its object did not come"))
        self.assertEqual(denied["involvedObject"], {"kind": "Pod", "apiVersion": "v1", "namespace": "default", "name": "web",
                                                    "uid": "1234"})
        self.assertEqual(denied["source"], {"component": "sluiced", "host": "n1"})
        node = self.until_events("n1", bool)[0]
        self.assertEqual((node["metadata"]["namespace"], node["involvedObject"]["kind"]), ("default", "Node"))
        # kubectl finds it, as docs/kubernetes.md says.
        self.assertIn("NetworkDenied", self.cluster.kubectl("get", "events", "-A", "--field-selector", "source=sluiced"))

        # The same again: the count of the same object, at the latest ten seconds later.
        for _ in range(5):
            driver("event", "Pod", "default", "web", "1234", "NetworkDenied", "its object did not come")
        found = self.until_events("web", lambda found: sum(event["count"] for event in found) == 9)
        self.assertEqual({event["reason"]: event["count"] for event in found}, {"FlowsRefused": 1, "NetworkDenied": 8})
        self.assertEqual(len(found), 2)
        self.assertEqual(driver.said.get("problem"), "-")

    def test_away(self):
        uid, driver = self.node("away")["metadata"]["uid"], self.driver("away")
        driver("condition", uid, "-")
        self.until_condition("away", "False", READY)
        version = self.admin.get("Node", None, "away")["metadata"]["resourceVersion"]
        self.cluster.stop("kube-apiserver")
        for step in range(3):
            driver("condition", uid, f"uplink: gone {step}")
            driver("event", "Pod", "default", "away", "u", "NetworkDenied", f"message {step}")
        driver.until("problem", "/api/v1/")
        driver("condition", uid, "uplink: gone for good")
        self.cluster.start("kube-apiserver")
        self.until_condition("away", "True", "uplink: gone for good")
        self.assertEqual([event["count"] for event in self.until_events("away", lambda found: len(found) == 3)], [1, 1, 1])
        driver.until("problem", "^-$")
        for kind, item in self.admin.watch("Node", version, "metadata.name=away", seconds=1):
            self.assertNotRegex(str(item.get("status")) if kind == "MODIFIED" else "", r"uplink: gone \d")

    def test_new_token(self):
        """A token that the server does not take any more, and another one in the same file: no restart."""
        uid = self.node("token")["metadata"]["uid"]
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sluice", "namespace": "kube-system"}}
        path = os.path.join(self.cluster.folder, "rotated")

        def write(token):
            with open(path + ".new", "w") as file:
                file.write(token)
            os.rename(path + ".new", path)

        write(self.cluster.new_token())
        driver = self.driver("token", self.cluster.kubeconfig("rotated", {"tokenFile": path}))
        driver("condition", uid, "one")
        self.until_condition("token", "True", "one")
        # Renewed in time.
        write(self.cluster.new_token())
        driver("condition", uid, "-")
        self.until_condition("token", "False", READY)
        # The account was made anew: the token is of another one.  The server believes it for some seconds more.
        self.admin.delete("ServiceAccount", "kube-system", "sluice")
        self.admin.create(account)
        with open(path) as file:
            old, deadline = self.client(file.read()), time.monotonic() + 60
        while True:
            try:
                old.request("GET", "/api/v1/nodes/token")
            except kubeapi.ApiError as error:
                self.assertEqual(error.status, 401)
                break
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        driver("condition", uid, "two")
        driver.until("problem", "401")
        write("not even a token")
        driver("condition", uid, "three")
        # It goes on with the old one, which is refused, until the file is a token again.
        with self.assertRaises(AssertionError):
            driver.until("problem", "^-$", 5)
        write(self.cluster.new_token())
        self.until_condition("token", "True", "three")
        driver.until("problem", "^-$")


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
                used.update(re.findall(r"\b(?:dataplane_report_(?:node_)?|node_report_event)\([^;]*?\"([A-Z][A-Za-z]+)\"",
                                       text))
                if name == "node-report-condition.c":
                    used.update(re.findall(r"^        { \"[^\"]+\", \"([A-Z][A-Za-z]+)\" },$", text, re.M))
        self.assertEqual(rows, used)


if __name__ == "__main__":
    reason = apiserver.missing()
    if reason:
        print(f"skipped: {reason}")
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(77)
    labtest.main()
