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
