#!/usr/bin/python3 -B
"""ADD and the pod's object, with a real API server: the object comes before its ADD, while it waits, later, never, or with another
UID; and it goes before the DEL.  Packets prove that nothing passes until it is known (issue 4, items 5 and 6).

The sandboxes here are made by the test, which calls the plugin as a runtime does."""
# time limit: 240 s
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time
import unittest
import uuid

import labtest
from labkit import cni, netns
from labtest import LabCase, pod

sys.path.insert(0, os.path.join(os.path.dirname(labtest.HERE), "kube"))
import apiserver  # noqa: E402
import proxy  # noqa: E402

WAIT = 2.0                      # ATTACHMENT_KNOWN_TIMEOUT_MS
DENIED = "denied: the Pod object is not known yet"
OTHER_UID = "denied: the Pod object of that name has another UID than this sandbox"


class Known(LabCase):
    ALLOWED_LOG = [("sluiced", r"dataplane_pod\|WARN\|Pod/default/.*: denied: ", "what the test wants"),
                   ("sluiced", r"(?i)kube|api server|watch|reflector", "the test holds the connection"),
                   ("ovs-vswitchd", r"Broken pipe|Connection reset by peer", "the test's flow monitors end")]

    @classmethod
    def setUpClass(cls):
        if why := apiserver.missing():
            raise unittest.SkipTest(why)
        cls.cluster = cls.enterClassContext(apiserver.Cluster())
        cls.client = cls.cluster.client()
        cls.addClassCleanup(cls.client.close)
        cls.OPTIONS = ("--nodes", "1", "--kubeconfig", cls.cluster.admin())
        cls.PODS = [pod("a1", "node-1")]
        super().setUpClass()
        cls.node1 = cls.lab.node("node-1")
        cls.relay = proxy.Control(cls.node1.path("relay.sock"), "node-1")
        cls.addClassCleanup(cls.relay.close)
        cls.pool = cls.enterClassContext(concurrent.futures.ThreadPoolExecutor(4))

    # --- the runtime ---

    def sandbox(self, name, uid):
        identifier = os.urandom(32).hex()
        where = self.lab.layout.netns(f"pod-{identifier[:12]}")
        netns.create(where)
        args = {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": name, "K8S_POD_INFRA_CONTAINER_ID": identifier}
        made = {"id": identifier, "node": "node-1", "where": where, "netns": os.path.join(netns.NETNS_DIR, where), "ifname": "eth0",
                "portMappings": [], "args": {**args, **({"K8S_POD_UID": uid} if uid else {})}}
        self.addCleanup(self.remove, made)
        return made

    def remove(self, sandbox):
        cni.Runtime(self.node1).delete(sandbox)
        netns.delete(sandbox["where"])

    def add(self, sandbox):
        """Returns the addresses and how long it took."""
        began = time.monotonic()
        result = cni.Runtime(self.node1).add(sandbox)
        return [ip["address"].partition("/")[0] for ip in result["ips"]], time.monotonic() - began

    # --- the objects ---

    def create(self, name, mirror_of=None):
        """A pod that nobody schedules, so that the lab's kubelet leaves it alone.  Returns its UID."""
        made = pod(name, "none")
        del made["spec"]["nodeName"]
        made["spec"]["schedulerName"] = "none"
        if mirror_of:
            made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": mirror_of}
            made["spec"]["nodeName"] = "elsewhere"
        uid = self.client.create(made)["metadata"]["uid"]
        self.addCleanup(self.client.delete, "Pod", "default", name, grace=0)
        return uid

    def status(self, name):
        """Of the attachments of that name."""
        found = json.loads(self.lab.exec("node-1", "sluicectl", "pods", "--json"))
        return [one for one in found if one["name"] == name and "container" in one]

    def problem(self, sandbox):
        name = sandbox["args"]["K8S_POD_NAME"]
        return next(one for one in self.status(name) if one["container"] == sandbox["id"]).get("problem")

    def until(self, condition, what, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)            # No event tells the test what sluiced has heard of.

    def heard_of(self, name):
        return any(one["name"] == name for one in json.loads(self.lab.exec("node-1", "sluicectl", "pods", "--json")))

    # --- packets ---

    def pings(self, pairs, count=1):
        """Which of (namespace, address) answer."""
        def ping(pair):
            where, address = pair
            return netns.call(where, subprocess.run, ["ping", "-n", "-q", "-c", str(count), "-i", "0.1", "-W", "1", address],
                              capture_output=True).returncode == 0
        return list(self.pool.map(ping, pairs))

    def ways(self, sandbox, ips):
        """To and from it: a pod, the node, outside; both families."""
        other, outside = self.lab.ips("default/a1"), self.lab.ips("outside")
        there = [(sandbox["where"], address) for address in (*other.values(), *outside.values(), "10.244.1.1")]
        return there + [(self.lab.namespace(where), address) for where in ("default/a1", "node-1") for address in ips]

    def assert_closed(self, sandbox, ips):
        ways = self.ways(sandbox, ips)
        self.assertEqual([way for way, open_ in zip(ways, self.pings(ways), strict=True) if open_], [])

    def assert_open(self, sandbox, ips):
        ways = self.ways(sandbox, ips)
        self.assertEqual([way for way, open_ in zip(ways, self.pings(ways), strict=True) if not open_], [])

    def isolated_drops(self):
        """Packets that the two drops of isolated pods have counted."""
        text = self.lab.exec("node-1", "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int")
        return sum(int(count) for table, count, priority in re.findall(r"table=(\d+), n_packets=(\d+),.*?priority=(\d+)", text)
                   if (table, priority) in (("2", "155"), ("50", "410")))

    def isolated_flows(self):
        return [line for line in self.lab.flows("node-1") if re.search(r"table=2,.*priority=155|table=50,.*priority=410", line)]

    # --- the tests ---

    def test_before(self):
        uid = self.create("early")
        self.until(lambda: self.heard_of("early"), "sluiced hears of it")
        sandbox = self.sandbox("early", uid)
        ips, took = self.add(sandbox)
        self.assertLess(took, WAIT / 2)
        self.assertIsNone(self.problem(sandbox))
        self.assert_open(sandbox, ips)

    def test_while_it_waits(self):
        """The watch is late: ADD waits, closed, and its pod has the network when it returns."""
        self.relay("hold")
        try:
            sandbox = self.sandbox("late", self.create("late"))
            adding = self.pool.submit(self.add, sandbox)
            self.until(lambda: any(one["state"] == "adding" for one in self.status("late")), "ADD is under way", 2)
            self.until(lambda: self.isolated_flows(), "isolated flows", 1.5)
            self.assertFalse(adding.done())
        finally:
            self.relay("go")
        ips, took = adding.result(timeout=20)
        self.assertLess(took, WAIT + 1)
        self.assertIsNone(self.problem(sandbox))
        self.assert_open(sandbox, ips)

    def test_never_and_much_later(self):
        uid = str(uuid.uuid4())
        sandbox = self.sandbox("never", uid)
        before = self.isolated_drops()
        ips, took = self.add(sandbox)
        self.assertGreaterEqual(took, WAIT)
        self.assertLess(took, WAIT + 2)
        self.assertEqual(self.problem(sandbox), DENIED)
        self.assert_closed(sandbox, ips)
        self.assertGreater(self.isolated_drops(), before)
        # The gateway answers nevertheless: nothing has to be found out later.
        neighbours = netns.call(sandbox["where"], subprocess.run, ["ip", "neigh"], capture_output=True, text=True).stdout
        self.assertRegex(neighbours, r"10\.244\.1\.1 dev eth0 lladdr .*(REACHABLE|DELAY|STALE|PROBE)")
        self.until(lambda: any(event["reason"] == "NetworkDenied" and event["involvedObject"]["name"] == "never"
                               for event in self.client.list("Event")[0]), "an Event says so")
        flows = self.isolated_flows()
        self.assertEqual(len(flows), 4)
        self.lab("restart", "node-1", "sluiced")
        self.lab("wait")
        self.assertEqual(self.isolated_flows(), flows)
        self.assertEqual(self.problem(sandbox), DENIED)
        # A static pod's: the object at the API server is a mirror with a UID of its own.
        self.create("never", mirror_of=uid)
        self.until(lambda: not self.problem(sandbox), "it opens")
        self.until(lambda: all(self.pings(self.ways(sandbox, ips))), "the network")

    def test_other_uid(self):
        """A pod was created again, and its old sandbox comes late; then the new one, by its own UID."""
        uid = self.create("again")
        self.until(lambda: self.heard_of("again"), "sluiced hears of it")
        old = self.sandbox("again", str(uuid.uuid4()))
        old_ips, took = self.add(old)
        self.assertGreaterEqual(took, WAIT)
        self.assertEqual(self.problem(old), OTHER_UID)
        self.assert_closed(old, old_ips)
        new = self.sandbox("again", uid)
        new_ips, took = self.add(new)
        self.assertLess(took, WAIT / 2)
        self.assert_open(new, new_ips)
        self.assert_closed(old, old_ips)
        self.remove(old)
        self.assert_open(new, new_ips)

    def test_object_goes_first(self):
        """Deleted by force: the sandbox keeps its network until the DEL, also through a restart of sluiced."""
        uid = self.create("gone")
        sandbox = self.sandbox("gone", uid)
        ips, _ = self.add(sandbox)
        self.assert_open(sandbox, ips)
        flows = self.lab.flows("node-1")
        self.client.delete("Pod", "default", "gone", grace=0)
        second = self.create("gone")    # The next of the name, before the DEL of the first.
        self.until(lambda: self.heard_of("gone"), "sluiced hears of it")
        self.assert_open(sandbox, ips)
        self.lab("restart", "node-1", "sluiced")
        self.lab("wait")
        self.assertEqual(self.lab.flows("node-1"), flows)
        self.assert_open(sandbox, ips)
        next_one = self.sandbox("gone", second)
        next_ips, took = self.add(next_one)
        self.assertLess(took, WAIT / 2)
        self.remove(sandbox)
        self.assert_open(next_one, next_ips)

    def test_without_api_server(self):
        """A sandbox of a pod that is known is made anew as ever; what runs does not notice."""
        uid = self.create("steady")
        self.until(lambda: self.heard_of("steady"), "sluiced hears of it")
        self.relay("hold")
        try:
            sandbox = self.sandbox("steady", uid)
            ips, took = self.add(sandbox)
            self.assertLess(took, WAIT / 2)
            self.assert_open(sandbox, ips)
            self.remove(sandbox)
        finally:
            self.relay("go")

    def test_node_without_address(self):
        """A kubelet, or a cloud's controller, has yet to write the Node's InternalIP: a daemon that starts then does not guess the
        uplink; it waits, what the switch has stays, and it goes on when the address comes."""
        path = apiserver.kubeapi.path_of("Node", "", "node-1", sub="status")
        addresses = self.client.get("Node", "", "node-1")["status"]["addresses"]
        flows = self.lab.flows("node-1")
        self.client.request("PATCH", path, {"status": {"addresses": None}}, apiserver.kubeapi.MERGE)
        try:
            self.until(lambda: self.node_status()["nodes"][0]["ips"] == [], "sluiced hears of it")
            self.assertTrue(self.node_status()["ready"])
            self.lab("stop", "node-1", "sluiced")
            self.lab("start", "node-1", "sluiced", check=False)
            self.until(lambda: "has no InternalIP" in self.node_status().get("reason", ""), "it waits for the address")
            self.assertEqual(self.lab.flows("node-1"), flows)
            self.assertEqual(self.pings([(self.lab.namespace("default/a1"), ip) for ip in self.lab.ips("outside").values()]), [True] * 2)
        finally:
            self.client.request("PATCH", path, {"status": {"addresses": addresses}}, apiserver.kubeapi.MERGE)
        self.until(lambda: self.node_status()["ready"], "ready")
        self.assertEqual(self.lab.flows("node-1"), flows)

    def node_status(self):
        done = self.lab.exec("node-1", "sluicectl", "status", "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def test_no_uid_and_no_pod(self):
        """A runtime that gives no UID; and cnitool, which names no pod."""
        self.create("plain")
        self.until(lambda: self.heard_of("plain"), "sluiced hears of it")
        sandbox = self.sandbox("plain", None)
        ips, took = self.add(sandbox)
        self.assertLess(took, WAIT / 2)
        self.assert_open(sandbox, ips)
        tool = self.sandbox("none", None)
        tool["args"] = {}
        ips, took = self.add(tool)
        self.assertLess(took, WAIT / 2)
        self.assert_open(tool, ips)


if __name__ == "__main__":
    labtest.main()
