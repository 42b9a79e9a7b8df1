#!/usr/bin/python3 -B
"""sluice-lab up --kubernetes: its verbs on real nodes, and what down leaves: nothing."""
# time limit: 240 s
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from kubelettest import deployment, url  # noqa: E402
from labtest import LAB  # noqa: E402
from labkit import layout, realnodes  # noqa: E402


class RealNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.name = f"real-{os.getpid()}"
        cls.there = layout.Lab(cls.name)
        cls.addClassCleanup(cls.lab, "down")
        cls.lab("up", "--kubernetes", "--encapsulation", "vxlan")

    @classmethod
    def lab(cls, verb, *argv, check=True, **options):
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if "input" in options:
            options.pop("stdin")
        done = subprocess.run([LAB, verb, "--name", cls.name, *argv], text=True, capture_output=True, timeout=180, **options)
        if check and done.returncode:
            raise AssertionError(f"sluice-lab {verb} {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def test_1_verbs(self):
        self.lab("apply", "-f", "-", input=json.dumps(deployment("web", 2)))
        self.lab("kubectl", "rollout", "status", "deployment/web", "--timeout=60s")
        self.lab("wait", "--timeout", "30s")
        status = json.loads(self.lab("status", "--json"))
        self.assertEqual([node["name"] for node in status["nodes"]], ["node-1", "node-2"])
        self.assertEqual(sorted(pod["node"] for pod in status["pods"]), ["node-1", "node-2"])
        self.assertIn("node-2", self.lab("status"))
        near, far = status["pods"]
        for address in far["ips"]:
            self.assertEqual(self.lab("exec", f"default/{near['name']}", "--", "curl", "-s", "-m", "5", url(address, 8080)),
                             far["name"])
        self.assertIn("encapsulation vxlan", self.lab("exec", "node-1", "--", "sluicectl", "status"))
        self.assertEqual(self.lab("exec", "node-2", "--", "ovs-vsctl", "list-br").split(), ["br-int", "br-uplink"])
        self.assertEqual(self.lab("exec", "outside", "--", "hostname"), "outside\n")
        for more in ([], ["--kill"]):
            self.lab("restart", "node-1", "sluiced", *more)
            self.lab("wait", "--for", "ready")
        self.lab("delete", "deployment", "web")
        refused = self.lab("probe", "--from", "outside", "--to", "node-1", "--port", "9", check=False)
        self.assertIn("not for real nodes", refused.stderr)

    def test_2_down_leaves_nothing_whatever_was_killed_before(self):
        os.environ["K8S_RIG_STATE"] = realnodes.directory(self.there)
        machines = kubelettest.Cluster.rig("status")
        self.assertIn("node-2", machines)
        for node in ("node-1", "node-2"):
            self.lab("exec", node, "--", "sh", "-c", "kill -9 $(pgrep -x containerd) $(pgrep -x sluiced) $(pgrep -x ovs-vswitchd)")
        self.lab("down")
        self.lab("down")
        self.assertFalse(os.path.exists(realnodes.directory(self.there)))
        self.assertFalse(os.path.exists(self.there.dir))
        self.assertIn("machines: none", kubelettest.Cluster.rig("status"))
        self.assertIn("there is no lab", self.lab("kubectl", "get", "nodes", check=False).stderr)


if __name__ == "__main__":
    kubelettest.main()
