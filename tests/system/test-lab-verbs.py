#!/usr/bin/python3 -B
"""sluice-lab itself: what its verbs answer to what is right and to what is wrong."""
import json
import os
import tempfile
import unittest

import labtest
from labtest import LabCase, pod


class Verbs(LabCase):
    OPTIONS = ("--families", "46")
    PODS = [pod("shop/web", "node-1"), pod("shop/db", "node-2", ports=("TCP:5432",))]

    def refused(self, *command, stdin=None):
        done = self.lab(*command, check=False, stdin=stdin)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"^sluice-lab: ")
        return done.stderr

    def test_status(self):
        status = self.lab.status()
        self.assertEqual([node["name"] for node in status["nodes"]], ["node-1", "node-2"])
        self.assertEqual([(entry["namespace"], entry["name"], entry["node"], len(entry["ips"])) for entry in status["pods"]],
                         [("shop", "db", "node-2", 2), ("shop", "web", "node-1", 2)])
        for node in status["nodes"]:
            self.assertEqual(len(node["ips"]), 2)
            self.assertNotIn(None, node["daemons"].values())

    def test_a_second_up_is_refused(self):
        self.assertIn("exists", self.refused("up"))

    def test_exec(self):
        self.assertEqual(self.lab.exec("shop/web", "sh", "-c", "exit 7", check=False).returncode, 7)
        self.assertIn("node-2", self.lab.exec("node-2", "sh", "-c", "echo $SLUICE_RUNDIR $OVS_RUNDIR"))
        self.assertIn("ovs-cni", self.lab.exec("node-1", "sh", "-c", "cat $SLUICE_CNI_CONF; command -v ovs-cni"))
        self.assertIn("br-int", self.lab.exec("node-1", "ovs-vsctl", "list-br"))
        self.assertIn("does not run", self.refused("exec", "shop/nobody", "--", "true"))
        self.assertIn("no pod", self.refused("exec", "node-9", "--", "true"))

    def test_probe(self):
        asked = ("--from", "shop/web", "--to", "shop/db", "--port")
        self.assertRegex(self.lab("probe", *asked, "5432"), "^connected by shop/db, seen from 10.244.1")
        for port, result in (("5432", "connected"), ("5433", "refused")):
            done = self.lab("probe", *asked, port, "--json", check=False)
            self.assertEqual(json.loads(done.stdout)["result"], result)
            self.assertEqual(done.returncode, 0 if result == "connected" else 1)
        done = self.lab("probe", "--from", "shop/web", "--to", "10.244.2.250", "--port", "1", "--timeout", "200ms", check=False)
        self.assertRegex(done.stdout, "^dropped")
        for wrong in (("shop/web", "nobody"), ("nobody", "shop/web"), ("shop/web", "shop/x")):
            self.refused("probe", "--from", wrong[0], "--to", wrong[1], "--port", "1")

    def test_a_batch_keeps_its_order_and_says_what_is_wrong(self):
        specs = [{"from": "shop/web", "to": "shop/db", "port": port, "protocol": "tcp", "timeout": "1s", "tag": port}
                 for port in (5432, 1, 5432)]
        specs.insert(1, {"from": "shop/web", "to": "nowhere", "port": 1})
        answers = self.lab.probe(*specs)
        self.assertEqual([answer["result"] for answer in answers], ["connected", "error", "refused", "connected"])
        self.assertEqual([answer.get("tag") for answer in answers], [5432, None, 1, 5432])

    def test_wrong_manifests_change_nothing(self):
        before = sorted(os.listdir(self.lab.layout.manifests()))
        for text in ("kind: [", "{kind: Pod, metadata: {name: ../../x}}", "{kind: Pod}", "42"):
            self.refused("apply", "-f", "-", stdin=text)
        self.refused("apply", "-f", "/nonexistent")
        self.assertEqual(sorted(os.listdir(self.lab.layout.manifests())), before)

    def test_apply_of_a_folder_and_delete_of_a_namespace(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "deep"))
            for name, where in (("one", folder), ("two", os.path.join(folder, "deep"))):
                with open(os.path.join(where, name + ".yaml"), "w") as file:
                    json.dump(pod(f"tmp/{name}", "node-1"), file)
            self.assertIn("pod tmp/two runs on node-1", self.lab("apply", "-f", folder))
        self.assertIn("unchanged", self.lab("apply", "-f", "-", stdin=json.dumps(pod("tmp/one", "node-1"))))
        self.assertIn("pod tmp/one deleted", self.lab("delete", "ns", "tmp"))
        self.assertEqual({entry["namespace"] for entry in self.lab.status()["pods"]}, {"shop"})
        self.assertIn("there is no Pod tmp/one", self.refused("delete", "pod", "tmp/one"))

    def test_a_pod_that_cannot_be_added_leaves_nothing(self):
        self.lab("stop", "node-2", "sluiced")
        try:
            before = self.lab.layout.all_netns()
            error = self.refused_apply(pod("shop/late", "node-2"))
            self.assertIn("pod shop/late", error)
            self.assertEqual(self.lab.layout.all_netns(), before)
        finally:
            self.lab("start", "node-2", "sluiced")
        self.lab("wait", "--for", "ready")
        self.assertIn("runs on node-2", self.lab("apply", "-f", "-", stdin=json.dumps(pod("shop/late", "node-2"))))
        self.lab("delete", "pod", "shop/late")

    def refused_apply(self, item):
        done = self.lab("apply", "-f", "-", stdin=json.dumps(item), check=False)
        self.assertEqual(done.returncode, 1)
        return done.stderr

    def test_daemons(self):
        before = self.lab.status()["nodes"][0]["daemons"]
        self.lab("restart", "node-1", "sluiced")
        after = self.lab.status()["nodes"][0]["daemons"]
        self.assertNotEqual(before["sluiced"], after["sluiced"])
        self.assertEqual(before["ovs-vswitchd"], after["ovs-vswitchd"])
        self.assertIn("no node", self.refused("restart", "node-7", "sluiced"))


if __name__ == "__main__":
    labtest.main()
