#!/usr/bin/python3 -B
"""sluiced as a whole with a real API server: it starts while the server is away or refuses, what it tells of its node, and
its own Node object lost and made anew (issue 4, items 4, 5 and 7).  The client as such: test-kube-api.py."""
# time limit: 240 s
import json
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
from labtest import asking, pod  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(labtest.HERE), "kube"))
import apiserver  # noqa: E402

CNI = r'''printf '{"cniVersion": "1.1.0", "name": "sluice", "type": "ovs-cni", "socket": "%s/cni.sock", "spool": "%s/spool"}' \
"$SLUICE_RUNDIR" "$SLUICE_STATEDIR" | ovs-cni'''


class Daemon(labtest.LabCase):
    NODE = "node-1"
    PODS = [pod("near", "node-1"), pod("near-2", "node-1"), pod("leaves", "node-1")]
    ALLOWED_LOG = [("sluiced", r"\|sluiced\|WARN\|the Kubernetes API", "the API server is away on purpose"),
                   ("sluiced", r"\|WARN\|.*(br-int.mgmt|ovs-vswitchd)", "ovs-vswitchd is away on purpose"),
                   ("sluiced", r"\|WARN\|Pod/default/ghost/eth0: denied", "there is no such Pod")]

    @classmethod
    def setUpClass(cls):
        why = apiserver.missing()
        if why:
            raise unittest.SkipTest(why)
        cls.cluster = cls.enterClassContext(apiserver.Cluster())
        cls.client = cls.cluster.client()
        cls.addClassCleanup(cls.client.close)
        cls.proxy = cls.enterClassContext(cls.cluster.proxy(tls=True))
        cls.OPTIONS = ("--nodes", "1", "--kubeconfig", cls.cluster.admin(), "--via", f"127.0.0.1:{cls.proxy.port}")
        super().setUpClass()

    def setUp(self):
        self.addCleanup(self.proxy, "accept")
        self.addCleanup(self.proxy, "clear")

    def status(self):
        return json.loads(self.lab.exec(self.NODE, "sluicectl", "status", "--json"))

    def wait(self, what="realized"):
        self.lab.exec(self.NODE, "sluicectl", "wait", "--for", what, "--timeout", "60", timeout=70)

    def eventually(self, condition, seconds=20):
        """For what nobody here announces."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            self.assertLess(time.monotonic(), deadline, f"not within {seconds} s")
            time.sleep(0.1)
        return found

    def cni(self, verb, container="", name="", netns=""):
        """(exit status, seconds, JSON or None)"""
        env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_NETNS": netns, "CNI_PATH": "/nowhere",
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}"}
        begin = time.monotonic()
        done = self.lab.exec(self.NODE, "env", *(f"{key}={value}" for key, value in env.items()), "sh", "-c", CNI, check=False)
        return done.returncode, time.monotonic() - begin, json.loads(done.stdout) if done.stdout.strip() else None

    def condition(self):
        node = self.client.get("Node", "", self.NODE)
        found = [one for one in node["status"]["conditions"] if one["type"] == "NetworkUnavailable"]
        return found[0] if found else {}

    def events(self, reason):
        return [event for event in self.client.list("Event")[0] if event["reason"] == reason]

    def assert_idle(self, seconds=2):
        """Waiting costs nothing."""
        def cpu():
            with open(f"/proc/{self.lab.node(self.NODE).pid('sluiced')}/schedstat") as file:
                return int(file.read().split()[0]) / 1e9
        before = cpu()
        time.sleep(seconds)
        self.assertLess(cpu() - before, seconds / 10)

    def pods_talk(self):
        self.assert_connected(list(asking("default/near", "default/near-2")))

    def test_started_while_the_server_is_away(self):
        """The switch stays as it is, DEL is served, ADD waits; then only what changed is touched."""
        container = next(one["container"] for one in json.loads(self.lab.exec(self.NODE, "sluicectl", "pods", "--json"))
                         if one["name"] == "leaves")
        self.wait()
        flows, transition = self.lab.flows(self.NODE), self.condition()["lastTransitionTime"]
        self.proxy("refuse")
        self.proxy("reset")
        self.lab("stop", self.NODE, "sluiced", "--kill")
        self.lab("start", self.NODE, "sluiced")
        why = self.eventually(lambda: (reason := self.status()["reason"]) if "since" in self.status()["reason"] else None)
        self.assertRegex(why, r"^the Kubernetes API.* \(since 20..-..-..T..:..:..Z\)$")
        self.assertFalse(self.status()["source"]["synced"])
        self.assert_idle()
        code, _, error = self.cni("STATUS")
        self.assertEqual((code, error["code"]), (1, 50), error)
        code, seconds, error = self.cni("DEL", container, "leaves")
        self.assertEqual((code, error), (0, None))
        self.assertLess(seconds, 15)
        self.assertEqual(self.lab.flows(self.NODE), flows)
        self.pods_talk()
        self.proxy("accept")
        self.wait()
        self.pods_talk()
        gone = [flow for flow in flows if flow not in self.lab.flows(self.NODE)]
        self.assertTrue(gone)
        self.assertEqual(self.status()["openflow"]["modifications"], len(gone))
        self.assertEqual(self.condition()["lastTransitionTime"], transition)

    def refused(self, rule, why):
        """Restarted with that rule in force: not ready, and nothing is touched."""
        self.wait()
        flows = self.lab.flows(self.NODE)
        self.lab("stop", self.NODE, "sluiced")
        self.proxy("rule", rule={"times": 0, **rule})
        self.lab("start", self.NODE, "sluiced")
        self.eventually(lambda: why in self.status().get("reason", ""))
        status = self.status()
        self.assertFalse(status["ready"] or status["source"]["synced"])
        self.assert_idle()
        self.assertGreater(status["known"]["nodes"], 0)         # The others are read meanwhile.
        self.assertEqual(self.lab.flows(self.NODE), flows)
        self.pods_talk()
        self.proxy("clear")
        self.wait()
        self.assertEqual(self.status()["openflow"]["modifications"], 0)

    def test_a_kind_is_forbidden(self):
        self.refused({"match": "/networkpolicies", "status": 403, "body": json.dumps({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "networkpolicies is forbidden"})}, "networkpolicies: 403 Forbidden")

    def test_a_kind_is_not_there(self):
        """What has no pods is no API server."""
        self.refused({"match": "/api/v1/pods", "status": 404, "headers": {"content-type": "text/plain"}, "body": "404 page not found\n"},
                     "it has no /api/v1/pods")

    def test_condition(self):
        """NetworkUnavailable is False while, and only while, the dataplane is realised; it says why."""
        self.wait()
        self.eventually(lambda: self.condition().get("status") == "False")
        self.lab("stop", self.NODE, "ovs-vswitchd")
        self.eventually(lambda: self.condition()["status"] == "True")
        self.assertEqual(self.condition()["message"], self.status()["reason"])
        self.lab("start", self.NODE, "ovs-vswitchd")
        self.wait()
        self.eventually(lambda: self.condition()["status"] == "False")

    def ghost(self, number):
        """A sandbox of a pod that the API server does not have."""
        name = f"{self.lab.name}-ghost{number}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=True)
        return f"ghost-{number}", "ghost", f"/run/netns/{name}"

    def test_denied_pod(self):
        """A pod that the API server does not have: denied, and an Event says so."""
        ghost = self.ghost(1)
        self.assertEqual(self.cni("ADD", *ghost)[0], 0)
        found = next(one for one in json.loads(self.lab.exec(self.NODE, "sluicectl", "pods", "--json")) if one["name"] == "ghost")
        self.assertIn("denied", found["problem"])
        event = self.eventually(lambda: self.events("NetworkDenied"))[0]
        self.assertEqual((event["type"], event["involvedObject"]["name"]), ("Warning", "ghost"))
        self.assertEqual(self.cni("DEL", *ghost)[0], 0)

    def create_node(self, cidrs, addresses):
        self.client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.NODE},
                            "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs} if cidrs else {}})
        self.client.merge("Node", "", self.NODE, {"status": {"addresses": addresses}}, "status")

    def test_zz_own_node_made_anew(self):
        """Not ready while there is none; the same network again, and a condition on the new one."""
        self.wait()
        flows, node = self.lab.flows(self.NODE), self.client.get("Node", "", self.NODE)
        self.client.delete("Node", "", self.NODE)
        self.eventually(lambda: "there is no Node object of that name" in self.status().get("reason", ""))
        self.assertEqual(self.lab.flows(self.NODE), flows)
        self.create_node(node["spec"]["podCIDRs"], node["status"]["addresses"])
        self.wait()
        self.eventually(lambda: self.condition().get("status") == "False")
        self.assertEqual(self.lab.flows(self.NODE), flows)

    def test_zzz_no_addresses(self):
        """A Node without podCIDRs, then with one address: Events tell."""
        addresses = self.client.get("Node", "", self.NODE)["status"]["addresses"]
        self.cluster.stop("kube-controller-manager")            # It gives nodes their podCIDRs.
        self.addCleanup(self.cluster.start, "kube-controller-manager")
        self.client.delete("Node", "", self.NODE)
        self.eventually(lambda: "there is no Node object of that name" in self.status().get("reason", ""))
        self.create_node([], addresses)
        self.eventually(lambda: "has no spec.podCIDRs in its Node object" in self.status().get("reason", ""))
        event = self.eventually(lambda: self.events("NoPodCIDR"))[-1]
        self.assertEqual((event["involvedObject"]["kind"], event["involvedObject"]["name"]), ("Node", self.NODE))
        self.client.merge("Node", "", self.NODE, {"spec": {"podCIDR": "10.244.99.0/30", "podCIDRs": ["10.244.99.0/30"]}})
        self.wait()
        ghosts = [self.ghost(number) for number in (2, 3)]
        self.assertEqual(self.cni("ADD", *ghosts[0])[0], 0)
        code, _, error = self.cni("ADD", *ghosts[1])
        self.assertEqual((code, error["code"]), (1, 11), error)
        self.eventually(lambda: self.events("AddressesExhausted"))
        self.assertEqual(self.cni("DEL", *ghosts[0])[0], 0)


if __name__ == "__main__":
    labtest.main()
