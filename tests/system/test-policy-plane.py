#!/usr/bin/python3 -B
"""How policies and attachments meet in sluiced (issue 5): a pod is subject to its policies before its ADD returns (networkpolicy 22), a
restart sends nothing (networkpolicy 23), policies that are not understood close and are named, pods whose object is gone or unknown do
not open; and what "policy/list" and the status say.  The sandboxes of some pods are made by the test, as a runtime makes them."""
# time limit: 300 s
import concurrent.futures
import json
import os
import subprocess
import time
import uuid

import labtest
from labkit import cni, netns
from labkit.objects import Store
from labtest import LabCase, asking, pod


def policy(name, selector, kind="NetworkPolicy", **spec):
    namespace, name = name.split("/")
    return {"apiVersion": "networking.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "spec": {"podSelector": selector, **spec}}


def cluster_policy(name, **spec):
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": name},
            "spec": {"tier": "Admin", "priority": 10, **spec}}


FRIENDS = {"matchLabels": {"app": "friend"}}
DENY = policy("default/deny", {}, policyTypes=["Ingress", "Egress"])
FROM_FRIENDS = policy("default/friends", {"matchLabels": {"app": "web"}}, policyTypes=["Ingress"],
                      ingress=[{"from": [{"podSelector": FRIENDS}]}])
TO_WEB = policy("default/to-web", FRIENDS, policyTypes=["Egress"], egress=[{}])
BAD_RULE = [{"ports": [{"port": 80, "endPort": 79}]}]


class PolicyPlane(LabCase):
    OPTIONS = ("--nodes", "1")
    PODS = [pod("web", "node-1", labels={"app": "web"}), pod("friend", "node-1", labels={"app": "friend"}), pod("other", "node-1")]
    ALLOWED_LOG = [labtest.SLUICED_WAS_KILLED]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.store = Store(cls.lab.layout)
        cls.runtime = cni.Runtime(cls.lab.node("node-1"))
        cls.pool = cls.enterClassContext(concurrent.futures.ThreadPoolExecutor(4))

    # --- objects ---

    def put(self, *items):
        for item in items:
            meta = item["metadata"]
            self.store.put(item)
            self.addCleanup(self.remove, item["kind"], meta.get("namespace", ""), meta["name"])
        self.settle()

    def remove(self, kind, namespace, name):
        self.store.remove(kind, namespace, name)
        self.settle()

    def settle(self):
        self.lab("wait")

    def policies(self):
        text = self.lab.exec("node-1", "sh", "-c", 'ovs-appctl -t "$SLUICE_RUNDIR/sluiced.ctl" policy/list')
        return {f"{one['namespace']}/{one['name']}".strip("/"): one for one in json.loads(text)["policies"]}

    def status(self):
        return json.loads(self.lab.exec("node-1", "sluicectl", "status", "--json"))

    def until(self, condition, what, seconds=10):
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)            # No event tells the test what sluiced has heard of.
        return value

    def problem(self, name):
        pods = json.loads(self.lab.exec("node-1", "sluicectl", "pods", "--json"))
        return next(one for one in pods if one["name"] == name and "container" in one).get("problem")

    # --- packets ---

    def reaches(self, sender, address, wanted):
        """A busy machine may take its time for an answer that is wanted."""
        where = sender["where"] if isinstance(sender, dict) else self.lab.namespace(sender)
        return netns.call(where, subprocess.run, ["ping", "-n", "-q", *(("-c", "2", "-W", "5") if wanted else ("-c", "1", "-W", "1")),
                                                  address], capture_output=True).returncode == 0

    def assert_ways(self, *ways):
        """(from, addresses or name of a pod, whether they answer)."""
        tried = [(sender, address, wanted) for sender, to, wanted in ways
                 for address in (self.lab.ips(to).values() if isinstance(to, str) else to)]
        seen = self.pool.map(lambda way: self.reaches(*way), tried)
        self.assertEqual([way for way, is_open in zip(tried, seen, strict=True) if is_open != way[2]], [])

    # --- the runtime ---

    def sandbox(self, name, uid):
        identifier = os.urandom(32).hex()
        where = self.lab.layout.netns(f"pod-{identifier[:12]}")
        netns.create(where)
        made = {"id": identifier, "node": "node-1", "where": where, "netns": os.path.join(netns.NETNS_DIR, where), "ifname": "eth0",
                "portMappings": [], "args": {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": name, "K8S_POD_UID": uid,
                                             "K8S_POD_INFRA_CONTAINER_ID": identifier}}
        self.addCleanup(self.destroy, made)
        return made

    def destroy(self, sandbox):
        self.runtime.delete(sandbox)
        netns.delete(sandbox["where"])

    def add(self, sandbox):
        return [ip["address"].partition("/")[0] for ip in self.runtime.add(sandbox)["ips"]]

    def declare(self, name, labels, node="elsewhere"):
        """A pod that the lab's kubelet leaves alone.  Returns its UID."""
        item = pod(name, node, labels=labels)
        item["metadata"]["uid"] = str(uuid.uuid4())
        self.put(item)
        self.until(lambda: any(one["name"] == name for one in json.loads(self.lab.exec("node-1", "sluicectl", "pods", "--json"))),
                   "sluiced hears of it")
        return item["metadata"]["uid"]

    # --- the tests ---

    def test_restart_sends_nothing(self):
        """networkpolicy 23: whatever was installed is what is wanted again: numbers do not depend on history."""
        self.put(DENY, FROM_FRIENDS, TO_WEB, cluster_policy(
            "c", subject={"namespaces": {}}, ingress=[{"action": "Pass", "from": [{"namespaces": {}}]}]))
        self.remove("NetworkPolicy", "default", "friends")
        self.put(FROM_FRIENDS)
        self.assert_ways(("default/friend", "default/web", True), ("default/other", "default/web", False),
                         ("node-1", "default/web", True))
        flows = self.lab.flows("node-1")
        self.assertTrue(any("conj_id" in flow for flow in flows))
        for how in ((), ("--kill",), ("--kill",)):
            self.lab("restart", "node-1", "sluiced", *how)
            self.lab("wait")
            self.assertEqual(self.status()["openflow"]["modifications"], 0)
            self.assertEqual(self.lab.flows("node-1"), flows)
            self.assertTrue(all(one["realized"] for one in self.policies().values()))

    def test_add_returns_isolated(self):
        """networkpolicy 22: with what allows it in place as well."""
        self.put(DENY, FROM_FRIENDS, TO_WEB)
        for number in range(5):
            labels = {"app": "web"} if number % 2 else {}
            sandbox = self.sandbox(f"add-{number}", self.declare(f"add-{number}", labels))
            ips = self.add(sandbox)
            # At once: the first packets of all.
            self.assert_ways(("default/other", ips, False), (sandbox, "default/web", False), (sandbox, ["10.244.1.1"], False),
                             ("default/friend", ips, bool(labels)), ("node-1", ips, True))

    def test_object_goes_first(self):
        """Deleted by force while its containers run: it stays what it was, and after a restart, which cannot know, closed."""
        self.put(DENY, FROM_FRIENDS, TO_WEB)
        sandbox = self.sandbox("forced", self.declare("forced", {"app": "web"}))
        ips = self.add(sandbox)
        ways = (("default/other", ips, False), (sandbox, "default/web", False), ("default/friend", ips, True))
        self.assert_ways(*ways)
        self.remove("Pod", "default", "forced")
        self.assert_ways(*ways)
        # The policies that select it change what it is, still.
        self.put(policy("default/all", {"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[{}]))
        self.assert_ways(("default/other", ips, False), (sandbox, ["10.244.1.1"], True))
        self.lab("restart", "node-1", "sluiced")
        self.lab("wait")
        self.assert_ways(("default/other", ips, False), (sandbox, ["10.244.1.1"], False), ("default/friend", ips, False))

    def test_pod_that_nobody_declares(self):
        """A directory need not name every pod.  It is closed while there are policies that might select it."""
        sandbox = self.sandbox("unnamed", str(uuid.uuid4()))
        ips = self.add(sandbox)
        both = (("default/other", ips), (sandbox, "default/other"))
        self.assert_ways(*((*way, True) for way in both))
        self.put(policy("default/narrow", {"matchLabels": {"app": "nobody"}}))
        self.assert_ways(*((*way, False) for way in both))
        self.assertIn("there are policies that might select it", self.problem("unnamed"))
        self.remove("NetworkPolicy", "default", "narrow")
        self.assert_ways(*((*way, True) for way in both))
        self.assertIsNone(self.problem("unnamed"))

    def test_not_understood(self):
        """What cannot be decoded closes, is named, and opens nothing; a good version stays."""
        ways = (("default/friend", "default/web", True), ("default/other", "default/web", True), ("default/web", "default/other", True))
        self.assert_ways(*ways)
        broken = policy("default/broken", {"matchLabels": {"app": "web"}}, policyTypes=["Ingress"], ingress=BAD_RULE)
        self.put(broken)
        self.assert_ways(("default/friend", "default/web", False), ("default/other", "default/web", False),
                         ("default/web", "default/other", True))
        one = self.policies()["default/broken"]
        self.assertIn("spec.ingress[0].ports[0].endPort: must be a number from 80 to 65535", one["problem"])
        self.assertEqual((one["kind"], one["tier"], one["pods"], one["realized"]),
                         ("NetworkPolicy", "NetworkPolicy", {"ingress": 1, "egress": 0}, True))
        self.assertTrue(any("default/broken" in text and "endPort" in text for text in self.status()["problems"]))

        self.put({**broken, "spec": {**broken["spec"], "ingress": [{"from": [{"podSelector": FRIENDS}]}]}})
        self.assertNotIn("problem", self.policies()["default/broken"])
        self.assertEqual(self.status()["problems"], [])
        self.assert_ways(("default/friend", "default/web", True), ("default/other", "default/web", False))

        self.put(broken)                # Its last good version stays.
        self.assert_ways(("default/friend", "default/web", True), ("default/other", "default/web", False))
        self.assertTrue(any("default/broken" in text and "last good version" in text for text in self.status()["problems"]))
        # After a restart nobody knows that version any more.
        self.lab("restart", "node-1", "sluiced")
        self.lab("wait")
        self.assert_ways(("default/friend", "default/web", False), ("default/web", "default/other", True))

    def test_cluster_policy_not_understood(self):
        """clusternetworkpolicy 7, and its like for the whole object: both directions of its subject."""
        self.put(cluster_policy("broken", subject={"pods": {"podSelector": {"matchLabels": {"app": "web"}}}},
                                ingress=[{"action": "Accept", "from": [{"namespaces": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}]}]))
        self.assert_ways(("default/friend", "default/web", False), ("default/web", "default/other", False),
                         ("default/friend", "default/other", True))
        one = self.policies()["broken"]
        self.assertEqual((one["tier"], one["priority"], one["pods"]), ("Admin", 10, {"ingress": 1, "egress": 1}))
        self.assertIn('"Gt" is not In, NotIn, Exists or DoesNotExist', one["problem"])
        # Whom it selects cannot be read: nobody, but it is named.
        self.put(cluster_policy("broken", subject={"pods": 7}))
        self.put(cluster_policy("nobody", subject={"pods": 7}))
        self.assert_ways(("default/friend", "default/other", True))
        self.assertTrue(any("nobody" in text and "spec.subject.pods" in text for text in self.status()["problems"]))

    def test_list(self):
        """Each policy with its tier, its pods here and since when it is in place."""
        before = time.time()
        self.put(DENY, FROM_FRIENDS, policy("elsewhere/p", {}), cluster_policy("low", tier="Baseline", priority=1000, subject={
            "namespaces": {}}, egress=[{"action": "Deny", "to": [{"namespaces": {}}]}]))
        listed = self.policies()
        self.assertEqual(list(listed), ["low", "default/deny", "default/friends", "elsewhere/p"])
        self.assertEqual([(one["tier"], one.get("priority"), one["pods"]["ingress"], one["pods"]["egress"]) for one in listed.values()],
                         [("Baseline", 1000, 0, 3), ("NetworkPolicy", None, 3, 3), ("NetworkPolicy", None, 1, 0),
                          ("NetworkPolicy", None, 0, 0)])
        for one in listed.values():
            self.assertTrue(one["realized"])
            self.assertNotIn("problem", one)
            since = time.mktime(time.strptime(one["since"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
            self.assertTrue(before - 2 <= since <= time.time() + 1, one)
        self.assertEqual(self.status()["problems"], [])

    def test_everybody_talks_without_policies(self):
        """Nothing is left of the other tests."""
        self.assert_connected([spec for sender in ("default/web", "default/friend", "node-1") for spec in asking(sender, "default/other")])
        self.assertEqual(self.policies(), {})


if __name__ == "__main__":
    labtest.main()
