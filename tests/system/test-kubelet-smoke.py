#!/usr/bin/python3 -B
"""Two real kubelets, dual stack, and Sluice as their network (real-cluster: nodes, deployment, exec, logs, port-forward)."""
# time limit: 300 s

import kubelettest
from kubelettest import HTTP, OUTSIDE, OUTSIDE_PORT, agnhost, deployment, ips, pod, url

HOST_PORT = 18080


class TwoKubelets(kubelettest.KubeletCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.before = {node: cls.cluster.footprint(node) for node in cls.cluster.nodes}
        host = pod("host", "node-2", hostNetwork=True, containers=[agnhost(port=HOST_PORT)])
        cls.cluster.apply(deployment("web", 4), host)
        try:
            cls.cluster.rolled_out("deployment/web")
            cls.cluster.wait("pod/host")
        except BaseException:
            cls.cluster.tail_of_logs()
            raise
        cls.web = cls.cluster.pods("app=web")
        cls.sender = next(name for name, item in cls.web.items() if item["spec"]["nodeName"] == "node-1")

    def node_ips(self, node):
        return ips(self.cluster.get(f"/api/v1/nodes/{node}"))

    def test_nodes_are_ready_because_of_sluice(self):
        for node in self.cluster.nodes:
            conditions = {item["type"]: item for item in self.cluster.get(f"/api/v1/nodes/{node}")["status"]["conditions"]}
            self.assertEqual(conditions["Ready"]["status"], "True")
            self.assertEqual((conditions["NetworkUnavailable"]["status"], conditions["NetworkUnavailable"]["reason"]),
                             ("False", "SluiceReady"))
            self.assertEqual(self.cluster.exec(node, "ls", "/etc/cni/net.d", "/opt/cni/bin").split(),
                             ["/etc/cni/net.d:", "10-sluice.conflist", "/opt/cni/bin:", "ovs-cni"])

    def test_sluiced_is_its_service_account(self):
        whoami = [kubelettest.rig.binary("kubectl"), "--kubeconfig=/etc/sluice/kubeconfig", "auth", "whoami", "-o",
                  "jsonpath={.status.userInfo.username}"]
        for node in self.cluster.nodes:
            self.assertIn("kubeconfig: /etc/sluice/kubeconfig\n", self.cluster.exec(node, "cat", "/etc/sluice/sluiced.yaml"))
            self.assertEqual(self.cluster.exec(node, *whoami), "system:serviceaccount:kube-system:sluice")

    def test_deployment_is_on_both_nodes_and_dual_stack(self):
        self.assertEqual(sorted(item["spec"]["nodeName"] for item in self.web.values()), ["node-1"] * 2 + ["node-2"] * 2)
        for item in self.web.values():
            self.assertEqual(sorted(ips(item)), [4, 6])

    def test_every_pod_reaches_every_pod(self):
        self.assert_every_pair(self.web)

    def test_pod_reaches_nodes_and_hostnetwork_pod(self):
        self.assertEqual(ips(self.cluster.pod("host")), self.node_ips("node-2"))
        for name in self.web:
            self.assert_answers(name, {url(address, HOST_PORT): "node-2" for address in self.node_ips("node-2").values()})

    def test_nodes_and_hostnetwork_pod_reach_pods(self):
        for name, item in self.web.items():
            for address in ips(item).values():
                for node in self.cluster.nodes:
                    self.assertEqual(self.cluster.exec(node, "curl", "-s", "-m", "5", url(address, HTTP)), name)
                self.assertEqual(self.cluster.in_pod("host", f"curl -s -m 5 '{url(address, HTTP)}'"), name)

    def test_pod_reaches_the_outside_under_its_nodes_address(self):
        with self.cluster.beside("outside", kubelettest.rig.binary("agnhost"), "netexec", f"--http-port={OUTSIDE_PORT}",
                                 "--udp-port=9001") as server:
            self.assertIn("Started HTTP server", server.stdout.readline())
            for family, address in OUTSIDE.items():
                seen = self.cluster.in_pod(self.sender, f"curl -s -m 5 --retry 3 --retry-connrefused "
                                                        f"'{url(address, OUTSIDE_PORT, 'clientip')}'")
                self.assertEqual(seen.rpartition(":")[0].strip("[]"), self.node_ips("node-1")[family])

    def test_pods_reach_the_api_server_by_its_service(self):
        ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
        for name in (*self.web, "host"):
            answer = self.cluster.in_pod(name, f"curl -s -m 5 --retry 2 --cacert {ca} https://10.96.0.1/healthz")
            self.assertEqual(answer, "ok", name)

    def test_exec_with_input(self):
        self.assertEqual(self.cluster.kubectl("exec", "-i", self.sender, "--", "cat", input="text"), "text")

    def test_logs(self):
        for name in self.web:
            self.assertIn("Started HTTP server", self.cluster.kubectl("logs", name))

    def test_port_forward(self):
        name = next(name for name, item in self.web.items() if item["spec"]["nodeName"] == "node-2")
        with self.cluster.beside("node-1", kubelettest.rig.binary("kubectl"), "port-forward", f"pod/{name}",
                                 f"18081:{HTTP}") as forward:
            self.assertIn("Forwarding from", forward.stdout.readline())
            self.assertEqual(self.cluster.exec("node-1", "curl", "-s", "-m", "5", "http://127.0.0.1:18081/hostname"), name)

    def test_z_deleted_pods_leave_nothing(self):
        self.cluster.kubectl("delete", "deployment/web", "pod/host", "--cascade=foreground", "--timeout=60s")
        self.assert_no_leak(self.before)


if __name__ == "__main__":
    kubelettest.main()
