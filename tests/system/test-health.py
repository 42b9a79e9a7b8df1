#!/usr/bin/python3 -B
"""What load balancers ask a node: healthz, and the health-check ports of Services.

Covers services 20 and 30.  Who is asked from where, and endpoints that come and go: test-lab-service-edge.py."""
# time limit: 120 s
import contextlib
import json
import os
import socket
import time

import labtest
from labkit import netns
from labtest import LabCase, pod


def service(name, port, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port,
                     "selector": {"app": "web"}, "ports": [{"port": 80}], **spec}}


class Health(LabCase):
    OPTIONS = ("--nodes", "1", "--families", "46")
    ALLOWED_LOG = [("ovs-vswitchd", r"recirc_id \d+ left allocated when ofproto", "an OVS that ends forgets its groups so"),
                   labtest.OVS_IS_RESTARTED]
    PODS = [pod("web", "node-1", labels={"app": "web"}), pod("client", "node-1")]

    def get(self, where, url, *options):
        """(status, headers, body) as curl has them; status 0: no answer."""
        done = self.lab.exec(where, "curl", "-gsS", "--max-time", "5", "-i", *options, url, check=False)
        if done.returncode:
            return 0, "", ""
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return int(head.split()[1]), head, body

    def eventually(self, condition, seconds=15):
        """'condition' is asked again: what it looks at is another program's."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def problems(self):
        return json.loads(self.lab.exec("node-1", "sluicectl", "--json", "status"))["problems"]

    def manifest(self):
        return os.path.join(self.lab.layout.manifests(), "node..node-1.json")

    def change_node(self, change):
        """The Node object, changed by a function, until the test is over."""
        with open(self.manifest()) as file:
            was = file.read()
        node = json.loads(was)
        change(node)
        self.addCleanup(self.write_node, was)
        self.write_node(json.dumps(node))

    def write_node(self, text):
        with open(self.manifest() + ".new", "w") as file:
            file.write(text)
        os.rename(self.manifest() + ".new", self.manifest())

    def configure(self, line):
        path = self.lab.node("node-1").path("sluiced.yaml")
        with open(path) as file:
            was = file.read()
        with open(path, "w") as file:
            file.write(was + line)
        self.lab.exec("node-1", "sh", "-c", "kill -HUP $(cat $SLUICE_RUNDIR/sluiced.pid)")
        return was, path

    def test_healthz(self):
        """services 30: at all addresses of the node, from the node, a pod and outside."""
        for where in ("node-1", "default/client", "outside"):
            for address in self.lab.ips("node-1").values():
                host = f"[{address}]" if ":" in address else address
                with self.subTest(where=where, address=address):
                    status, head, body = self.get(where, f"http://{host}:10256/healthz")
                    self.assertEqual(status, 200)
                    self.assertIn("\nContent-Type: application/json", head)
                    self.assertIs(json.loads(body)["nodeEligible"], True)
        self.assertEqual(self.get("node-1", "http://127.0.0.1:10256/livez")[0], 200)
        self.assertEqual(self.get("node-1", "http://127.0.0.1:10256/")[0], 404)

    def healthz(self):
        return [self.get("node-1", f"http://127.0.0.1:10256/{path}")[0] for path in ("healthz", "livez")]

    def test_node_that_is_about_to_go(self):
        """services 30, KEP-3836: no new connections, but it lives."""
        def taint(node):
            node.setdefault("spec", {})["taints"] = [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]
        self.assertEqual(self.healthz(), [200, 200])
        self.change_node(taint)
        self.eventually(lambda: self.healthz() == [503, 200])
        self.doCleanups()
        self.eventually(lambda: self.healthz() == [200, 200])
        self.change_node(lambda node: node["metadata"].update(deletionTimestamp="2026-11-23T12:00:00Z"))
        self.eventually(lambda: self.healthz() == [503, 200])

    def test_node_whose_switch_is_away(self):
        """services 30: 503 for both while ovs-vswitchd does not run."""
        self.lab("stop", "node-1", "ovs-vswitchd")
        try:
            self.eventually(lambda: self.healthz() == [503, 503])
        finally:
            self.lab("start", "node-1", "ovs-vswitchd")
        self.eventually(lambda: self.healthz() == [200, 200])

    def test_elsewhere_and_nowhere(self):
        """services 30: the key "healthz", read again with SIGHUP."""
        was, path = self.configure("healthz: 127.0.0.1:10300\n")
        try:
            self.eventually(lambda: self.get("node-1", "http://127.0.0.1:10300/healthz")[0] == 200)
            self.assertEqual(self.healthz(), [0, 0])
            with open(path, "w") as file:
                file.write(was + "healthz: none\n")
            self.lab.exec("node-1", "sh", "-c", "kill -HUP $(cat $SLUICE_RUNDIR/sluiced.pid)")
            self.eventually(lambda: self.get("node-1", "http://127.0.0.1:10300/healthz")[0] == 0)
        finally:
            with open(path, "w") as file:
                file.write(was)
            self.configure("")
        self.eventually(lambda: self.healthz() == [200, 200])

    def test_health_check_port(self):
        """services 20: what kube-proxy says, on any path, with a header for weights."""
        self.lab.apply(service("web", 31000), service("nobody", 31001, selector={"app": "nobody"}))
        self.addCleanup(self.lab, "delete", "service", "default/web", "default/nobody")
        self.eventually(lambda: self.get("node-1", "http://127.0.0.1:31000/")[0] == 200)
        status, head, body = self.get("node-1", "http://127.0.0.1:31000/any/path")
        self.assertEqual((status, json.loads(body)),
                         (200, {"service": {"namespace": "default", "name": "web"}, "localEndpoints": 1,
                                "serviceProxyHealthy": True}))
        self.assertIn("\nX-Load-Balancing-Endpoint-Weight: 1", head)
        status, head, body = self.get("outside", f"http://{self.lab.ips('node-1')[4]}:31001/")
        self.assertEqual((status, json.loads(body)["localEndpoints"]), (503, 0))
        self.assertIn("\nX-Load-Balancing-Endpoint-Weight: 0", head)

    def squat(self, port):
        """Has a port of the node, as another program would."""
        def listen():
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", port))
            sock.listen()
            return sock
        return contextlib.closing(netns.call(self.lab.namespace("node-1"), listen))

    def test_healthz_that_kube_proxy_has(self):
        """services 30: kube-proxy's port is healthz' too, so that one which runs beside sluiced is noticed."""
        was, path = self.configure("healthz: none\n")
        try:
            self.eventually(lambda: self.healthz() == [0, 0])
            with self.squat(10256):
                with open(path, "w") as file:
                    file.write(was)
                self.configure("")
                self.eventually(lambda: self.problems() == [
                    "healthz [::]:10256: Address already in use: kube-proxy must not run beside sluiced"])
        finally:
            with open(path, "w") as file:
                file.write(was)
            self.configure("")
        self.eventually(lambda: self.healthz() == [200, 200] and self.problems() == [])

    def test_port_that_somebody_has(self):
        """services 20: named in the status, and had as soon as it is free; everything else works."""
        with self.squat(31002):
            self.lab.apply(service("taken", 31002), service("free", 31003))
            self.addCleanup(self.lab, "delete", "service", "default/taken", "default/free")
            self.eventually(lambda: self.get("node-1", "http://127.0.0.1:31003/")[0] == 200)
            self.assertEqual([text for text in self.problems() if "health" in text],
                             ["health check port 31002 of default/taken: Address already in use"])
        self.eventually(lambda: self.get("node-1", "http://127.0.0.1:31002/")[0] == 200)
        self.assertEqual(self.problems(), [])


if __name__ == "__main__":
    labtest.main()
