#!/usr/bin/python3 -B
"""Two real kubelets: restarts and loss.  kubelet and containerd, sluiced, Open vSwitch, the API server, a whole node."""
# time limit: 900 s
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from kubelettest import HTTP, deployment, ips, url  # noqa: E402


class Restarts(kubelettest.KubeletCase):
    ALLOWED_LOG = [
        ("ovs-vswitchd", r"bridge\|WARN\|could not open network device slp[0-9a-f]{12}", "its pod ended with the node's reboot"),
        ("sluiced", r"(6443|/api/|/apis/|API server|watch|list)", "the API server was stopped"),
        kubelettest.OVS_WAS_KILLED,
    ]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.empty = {node: cls.cluster.footprint(node) for node in cls.cluster.nodes}

    def setUp(self):
        self.cluster.apply(deployment("web", 6))
        self.cluster.rolled_out("deployment/web")
        self.web = self.cluster.pods("app=web")

    def tearDown(self):
        self.cluster.kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=90s")
        self.assert_no_leak(self.empty)

    def on(self, node):
        return {name: item for name, item in self.web.items() if item["spec"]["nodeName"] == node}

    def ages(self, node):
        """{flow: seconds} of br-int."""
        text = self.cluster.exec(node, "ovs-ofctl", "-O", "OpenFlow15", "--no-names", "dump-flows", "br-int")
        found = {}
        for line in text.splitlines():
            if "actions=" in line:
                flow = re.sub(r"(n_packets|n_bytes|duration|idle_age|hard_age)=[^ ,]*,? ?", "", line).strip()
                found[flow] = float(re.search(r"duration=([0-9.]+)s", line)[1])
        return found

    def assert_nodes_reach(self, pods):
        """Without kubectl: from the nodes themselves."""
        for name, item in pods.items():
            for address in ips(item).values():
                for node in self.cluster.nodes:
                    self.assertEqual(self.cluster.exec(node, "curl", "-s", "-m", "5", url(address, HTTP)), name)

    def test_kubelet_and_containerd_restarted(self):
        """Nothing changes."""
        for kill in ([], ["--kill"]):
            before, started = self.footprints(), time.monotonic()
            for node in self.cluster.nodes:
                self.cluster.rig("restart-node", *kill, node)
            self.cluster.wait("node --all")
            self.assertEqual(self.footprints(), before)
            passed = time.monotonic() - started
            for node in self.cluster.nodes:
                self.assertGreater(min(self.ages(node).values()), passed, "a flow was sent again")
            now = self.cluster.pods("app=web")
            self.assertEqual({name: (ips(item), item["status"]["containerStatuses"][0]["restartCount"]) for name, item in
                              now.items()}, {name: (ips(item), 0) for name, item in self.web.items()})
        self.assert_every_pair(self.web)

    def test_sluiced_restarted_while_objects_change(self):
        """It converges, and no flow of an object that did not change is touched."""
        kept = next(iter(self.on("node-2")))
        gone = [name for name in self.on("node-2") if name != kept]
        before, started = self.ages("node-2"), time.monotonic()
        self.cluster.hook("node-2", "kill", "sluiced")
        # DELs wait in the spool, ADDs are tried again by the kubelet; and something goes and comes on the other node.
        self.cluster.kubectl("delete", "pod", *gone, "--wait=false")
        self.cluster.kubectl("delete", "pod", next(iter(self.on("node-1"))), "--wait=false")
        self.cluster.kubectl("wait", "--for=delete", *(f"pod/{name}" for name in gone), "--timeout=60s")
        self.assert_nodes_reach({kept: self.web[kept]})
        self.cluster.hook("node-2", "start", "sluiced")
        self.cluster.rolled_out("deployment/web")
        self.cluster.realized()
        self.cluster.wait("node --all")
        passed = time.monotonic() - started
        after = self.ages("node-2")
        young = [flow for flow in before if flow in after and after[flow] < passed]
        self.assertFalse(young, f"{len(young)} flows were sent again")
        self.assertGreater(len(set(before) & set(after)), 70)
        now = self.cluster.pods("app=web")
        self.assertEqual((len(now), kept in now), (6, True))
        self.assert_every_pair(now)

    def test_open_vswitch_restarted(self):
        for node, daemon in (("node-2", "ovs-vswitchd"), ("node-1", "ovsdb-server"), ("node-1", "ovs-vswitchd")):
            before = self.footprints()
            self.cluster.hook(node, "kill", daemon)
            self.cluster.hook(node, "start", daemon)
            self.cluster.sluicectl(node, "wait", "--for", "realized", "--timeout", "30")
            self.cluster.wait("node --all")
            self.assert_every_pair(self.web)
            self.assertEqual(self.footprints(), before)

    def test_api_server_gone_for_a_minute(self):
        """Running pods go on, a sandbox is made anew without it, and what comes back finds everything as it was."""
        until = time.monotonic() + 60
        victim = next(iter(self.on("node-2")))
        self.cluster.rig("stop", "--kill", "kube-apiserver")
        self.assert_nodes_reach(self.web)
        old = self.cluster.kill_sandbox("node-2", victim)
        new = self.await_sandbox("node-2", victim, old)
        self.assertNotEqual(new, old)
        quiet = self.footprints()
        time.sleep(max(0, until - time.monotonic()))        # It is the time itself that is tested.
        self.assertEqual(self.footprints(), quiet)
        self.assert_nodes_reach({name: item for name, item in self.web.items() if name != victim})
        self.cluster.rig("start", "kube-apiserver")
        self.cluster.wait("pod/" + victim, "jsonpath={.status.containerStatuses[0].restartCount}=1")
        self.cluster.rolled_out("deployment/web")
        # The cluster gave the nodes up meanwhile; their kubelets notice after a minute or so.
        self.cluster.wait("node --all", seconds=170)
        self.cluster.kubectl("scale", "deployment/web", "--replicas=10")
        self.cluster.rolled_out("deployment/web")
        self.cluster.realized()
        self.assert_every_pair(self.cluster.pods("app=web"))

    def await_sandbox(self, node, pod, old, seconds=60):
        """containerd tells of tasks that start."""
        events = [kubelettest.rig.binary("ctr"), "-n", "k8s.io", "events"]
        with self.cluster.beside(node, *events) as process:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                try:
                    name, _ = self.cluster.sandbox(node, pod)
                    if name != old:
                        return name
                except StopIteration:
                    pass
                kubelettest.await_output(process, 1)
        raise AssertionError(f"{pod} has no new sandbox after {seconds} s")

    def test_reboot(self):
        """The run directory empty, the database of Open vSwitch kept: the same result, nothing left of the old pods."""
        for _ in range(2):
            victims = self.on("node-2")
            restarts = {name: item["status"]["containerStatuses"][0]["restartCount"] for name, item in victims.items()}
            self.cluster.rig("reboot", "node-2")
            for name, count in restarts.items():
                self.cluster.wait("pod/" + name, f"jsonpath={{.status.containerStatuses[0].restartCount}}={count + 1}", 90)
            self.cluster.rolled_out("deployment/web")
            self.cluster.realized()
            self.cluster.wait("node --all")
            self.web = self.cluster.pods("app=web")
            self.assert_every_pair(self.web)
            now = self.cluster.footprint("node-2")
            self.assertEqual(len([port for port in now["ports"] if port.startswith("slp")]), len(victims))
            self.assertEqual(len(now["namespaces"]), len(victims))
            self.assertIn("agree", now["addresses"][0])


if __name__ == "__main__":
    kubelettest.main()
