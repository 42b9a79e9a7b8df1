#!/usr/bin/python3 -B
"""Two real kubelets: a Deployment of 20, each pair of its pods, rolling updates, to zero and back, init containers."""
# time limit: 900 s
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from kubelettest import AGNHOST, HTTP, deployment, ips, pod  # noqa: E402


class Twenty(kubelettest.KubeletCase):
    REPLICAS = 20

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.before = {node: cls.cluster.footprint(node) for node in cls.cluster.nodes}
        cls.cluster.apply(deployment("web", cls.REPLICAS))

    def setUp(self):
        self.cluster.rolled_out("deployment/web", 180)
        self.web = self.cluster.pods("app=web")
        self.assertEqual(len(self.web), self.REPLICAS)

    def test_1_every_pair_talks(self):
        self.assertEqual({item["spec"]["nodeName"] for item in self.web.values()}, set(self.cluster.nodes))
        self.assert_every_pair(self.web)

    def test_2_init_containers_have_the_network_at_once(self):
        servers = [next(item for item in self.web.values() if item["spec"]["nodeName"] == node) for node in self.cluster.nodes]
        targets = [f"[{address}]:{HTTP}" if ":" in address else f"{address}:{HTTP}"
                   for item in servers for address in ips(item).values()]
        inits = [{"name": f"init-{number}", "image": AGNHOST, "args": ["connect", "--timeout=3s", target]}
                 for number, target in enumerate(targets)]
        self.cluster.apply(deployment("init", 10, initContainers=inits))
        self.cluster.rolled_out("deployment/init")
        for name, item in self.cluster.pods("app=init").items():
            self.assertEqual([status["restartCount"] for status in item["status"]["initContainerStatuses"]],
                             [0] * len(inits), name)
        self.cluster.kubectl("delete", "deployment/init", "--cascade=foreground", "--timeout=60s")

    def test_3_rolling_update(self):
        self.cluster.kubectl("set", "env", "deployment/web", "ROUND=2")
        self.cluster.rolled_out("deployment/web", 180)
        self.cluster.wait("pod -l app=web")
        now = self.cluster.pods("app=web")
        self.assertFalse(set(now) & set(self.web))
        self.assert_every_pair(now)

    def test_4_to_zero_and_back_five_times_leaves_nothing(self):
        for _ in range(5):
            self.cluster.kubectl("scale", "deployment/web", "--replicas=0")
            self.cluster.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=120s")
            self.assert_no_leak(self.before)
            self.cluster.kubectl("scale", "deployment/web", f"--replicas={self.REPLICAS}")
            self.cluster.rolled_out("deployment/web", 180)
        self.assert_every_pair(self.cluster.pods("app=web"))

    def test_5_pods_reach_the_api_servers_service_address(self):
        account = "/var/run/secrets/kubernetes.io/serviceaccount"
        for name in self.cluster.pods("app=web"):
            self.assertEqual(self.cluster.in_pod(name, f"curl -s -m 5 --cacert {account}/ca.crt https://10.96.0.1/healthz"), "ok", name)

    def test_z_deleted_pods_leave_nothing(self):
        self.cluster.apply(pod("last", "node-2"))
        self.cluster.wait("pod/last")
        self.cluster.kubectl("delete", "deployment/web", "pod/last", "--cascade=foreground", "--timeout=120s")
        self.assert_no_leak(self.before)


if __name__ == "__main__":
    kubelettest.main()
