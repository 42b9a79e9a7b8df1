#!/usr/bin/python3 -B
"""The parts of sluice-lab that need no root: manifests, scheduling, addresses, probe's packets."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from labkit import kubelet, layout, objects, probe  # noqa: E402
from labkit.layout import LabError  # noqa: E402

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}}


class Manifests(unittest.TestCase):
    def test_lists_and_documents(self):
        found = objects.parse("""
kind: PodList
items: [{metadata: {name: a}}, {metadata: {name: b, namespace: x}}]
---
---
{"kind": "List", "items": [{"kind": "Namespace", "metadata": {"name": "n"}}]}
""", "here")
        self.assertEqual([objects.key(item) for item in found],
                         [("Pod", "default", "a"), ("Pod", "x", "b"), ("Namespace", "", "n")])

    def test_times_stay_text(self):
        item = objects.parse("{kind: Pod, metadata: {name: a, creationTimestamp: 2026-01-01T00:00:00Z}}", "here")[0]
        self.assertEqual(item["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z")

    def test_wrong_ones_are_refused(self):
        for text in ("[", "just text", "{kind: Pod}", "{kind: Pod, metadata: {name: ../a}}",
                     "{kind: ../Pod, metadata: {name: a}}", "{kind: Pod, metadata: {name: 7}}",
                     "{kind: Pod, metadata: {name: a, namespace: A}}", "{kind: Pod, metadata: {}}"):
            with self.subTest(text), self.assertRaises(LabError):
                objects.parse(text, "here")


class Lab(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.lab = layout.Lab("t")
        self.lab.dir = self.folder.name
        for part in ("manifests", "pods"):
            os.mkdir(self.lab.path(part))
        self.kubelet = kubelet.Kubelet(self.lab, lambda text: None)
        self.started = []
        self.kubelet.start_pod = lambda pod: self.started.append(pod["spec"]["nodeName"])
        self.kubelet.apply([{"kind": "Node", "metadata": {"name": f"node-{index}", "labels": {"n": str(index)}}}
                            for index in (1, 2, 10)])

    def pod(self, name, **spec):
        return {**POD, "metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [], **spec}}

    def test_scheduler_takes_the_emptiest_node(self):
        self.kubelet.apply([self.pod(f"p{index}") for index in range(5)])
        self.assertEqual(self.started, ["node-1", "node-2", "node-10", "node-1", "node-2"])

    def test_scheduler_follows_names_and_selectors(self):
        self.kubelet.apply([self.pod("a", nodeName="node-10"), self.pod("b", nodeSelector={"n": "2"})])
        self.assertEqual(self.started, ["node-10", "node-2"])
        with self.assertRaisesRegex(LabError, "no node fits"):
            self.kubelet.apply([self.pod("c", nodeSelector={"n": "3"})])

    def test_apply_again_keeps_what_the_cluster_gave(self):
        self.kubelet.apply([self.pod("a")])
        before = self.kubelet.store.get("Pod", "default", "a")
        before["status"] = {"podIPs": [{"ip": "10.0.0.1"}]}
        self.kubelet.store.put(before)
        changed = self.pod("a")
        changed["metadata"]["labels"] = {"x": "y"}
        self.kubelet.apply([changed])
        after = self.kubelet.store.get("Pod", "default", "a")
        self.assertEqual(after["metadata"]["labels"], {"x": "y"})
        for part in ("status", "spec"):
            self.assertEqual(after[part], before[part])
        self.assertEqual(after["metadata"]["uid"], before["metadata"]["uid"])

    def test_namespaces_are_made_and_labelled(self):
        self.kubelet.apply([{"kind": "Service", "metadata": {"name": "s", "namespace": "shop"}}])
        self.assertEqual(self.kubelet.store.get("Namespace", "", "shop")["metadata"]["labels"],
                         {"kubernetes.io/metadata.name": "shop"})

    def test_families_and_subnets(self):
        self.lab.options |= {"nodes": 3, "subnets": 2, "families": "46"}
        self.assertEqual([str(address) for address in self.lab.node_addresses("node-2")],
                         ["172.30.1.102", "fd00:172:30:1::66"])
        self.lab.options["families"] = "6"
        self.assertEqual([str(cidr) for cidr in self.lab.pod_cidrs("node-3")], ["fd00:10:244:3::/64"])


class Services(Lab):
    def service(self, name="s", **spec):
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}], **spec}}

    def applied(self, service):
        self.kubelet.apply([service])
        return self.kubelet.store.get("Service", "default", service["metadata"]["name"])["spec"]

    def running(self, name, port=8080, node="node-1", ready=True, **meta):
        """A pod that runs, as far as the objects tell."""
        number = int(name[1:])
        pod = {"kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}, **meta},
               "spec": {"nodeName": node, "containers": [{"ports": [{"name": "web", "containerPort": port}]}]},
               "status": {"phase": "Running", "podIPs": [{"ip": f"10.0.0.{number}"}, {"ip": f"fd00::{number}"}],
                          "conditions": [{"type": "Ready", "status": str(ready)}]}}
        with self.kubelet.store.locked():
            self.kubelet.store.put(self.kubelet.store.admit(pod)[0])
        return pod

    def slices(self):
        return {(item["addressType"], item["ports"][0]["port"] if item["ports"] else 0):
                {endpoint["addresses"][0]: endpoint for endpoint in item["endpoints"]}
                for item in self.kubelet.store.all("EndpointSlice", "default")}

    def test_addresses_and_ports_are_given_and_kept(self):
        first = self.applied(self.service(type="NodePort", ipFamilyPolicy="PreferDualStack"))
        other = self.applied(self.service("t", type="LoadBalancer", externalTrafficPolicy="Local"))
        self.assertEqual((first["clusterIPs"], first["ports"][0]["nodePort"]), (["10.96.0.20", "fd00:96::14"], 30000))
        self.assertEqual((other["clusterIPs"], other["ports"][0]["nodePort"], other["healthCheckNodePort"]),
                         (["10.96.0.21"], 30001, 30002))
        self.assertEqual(self.applied(self.service(type="NodePort", ipFamilyPolicy="PreferDualStack")), first)
        self.assertNotIn("nodePort", self.applied(self.service())["ports"][0])
        self.assertEqual(self.applied(self.service(clusterIP="None"))["clusterIPs"], ["None"])
        with self.assertRaisesRegex(LabError, "belongs to another"):
            self.applied(self.service("u", clusterIP="10.96.0.21"))
        with self.assertRaisesRegex(LabError, "belongs to another"):
            self.applied(self.service("u", type="NodePort", ports=[{"port": 80, "nodePort": 30001}]))

    def test_slices_follow_pods(self):
        for item in (self.running("p1"), self.running("p2", port=9090), self.running("p3", ready=False)):
            self.kubelet.apply([self.service(ipFamilyPolicy="RequireDualStack")])
        self.assertEqual({key: set(found) for key, found in self.slices().items()}, {
            ("IPv4", 8080): {"10.0.0.1", "10.0.0.3"}, ("IPv4", 9090): {"10.0.0.2"},
            ("IPv6", 8080): {"fd00::1", "fd00::3"}, ("IPv6", 9090): {"fd00::2"}})
        self.assertEqual(self.slices()["IPv4", 8080]["10.0.0.3"]["conditions"],
                         {"ready": False, "serving": False, "terminating": False})
        self.kubelet.delete([("Pod", "default", "p2")])
        self.assertNotIn(("IPv4", 9090), self.slices())
        self.kubelet.delete([("Service", "default", "s")])
        self.assertEqual(self.slices(), {})

    def test_a_pod_that_lingers_is_terminating_and_serves(self):
        self.running("p1", annotations={kubelet.LINGER: ""})
        self.kubelet.apply([self.service()])
        self.kubelet.delete([("Pod", "default", "p1")])
        self.assertEqual(self.slices()["IPv4", 8080]["10.0.0.1"]["conditions"],
                         {"ready": False, "serving": True, "terminating": True})

    def test_hints_by_distribution(self):
        self.kubelet.apply([{"kind": "Node", "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "a"}}}])
        self.running("p1")
        for distribution, hints in (("PreferClose", {"forZones": [{"name": "a"}]}), (None, None),
                                    ("PreferSameNode", {"forZones": [{"name": "a"}], "forNodes": [{"name": "node-1"}]})):
            with self.subTest(distribution):
                self.kubelet.apply([self.service(**({"trafficDistribution": distribution} if distribution else {}))])
                self.assertEqual(self.slices()["IPv4", 8080]["10.0.0.1"].get("hints"), hints)


class Probe(unittest.TestCase):
    def test_echo_request_sums_to_zero(self):
        packet = probe.echo_request(False, b"0123456789abcdef")
        self.assertEqual(packet[0], 8)
        self.assertEqual(probe.checksum(packet), 0)
        self.assertEqual(probe.echo_request(True, b"0123456789abcdef")[0], 128)

    def test_times(self):
        self.assertEqual([probe.seconds(text) for text in ("1s", "500ms", 2, "0.5")], [1, 0.5, 2, 0.5])
        with self.assertRaises(LabError):
            probe.seconds("soon")

    def test_lines_of_a_pipe(self):
        reader, writer = os.pipe()
        lines = probe.Lines(reader)
        os.write(writer, b'{"a": 1}\n{"b"')
        lines.fill()
        self.assertEqual(lines.take(9), [{"a": 1}])
        os.write(writer, b': 2}\n')
        os.close(writer)
        lines.fill()
        lines.fill()
        self.assertEqual(lines.take(9), [{"b": 2}])
        self.assertTrue(lines.ended())
        os.close(reader)


if __name__ == "__main__":
    unittest.main()
