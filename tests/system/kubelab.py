"""A lab on a real API server for a test class: labtest.LabCase with a cluster of its own (tests/kube/apiserver.py)."""
import json
import os
import sys
import time
import unittest

import labtest

sys.path.insert(0, os.path.join(os.path.dirname(labtest.HERE), "kube"))
import apiserver  # noqa: E402


class KubeLabCase(labtest.LabCase):
    VIA_TLS = False             # The way of each sluiced to the API server leads through cls.proxy, which ends TLS.

    @classmethod
    def setUpClass(cls):
        why = apiserver.missing()
        if why:
            raise unittest.SkipTest(why)
        cls.cluster = cls.enterClassContext(apiserver.Cluster())
        cls.client = cls.cluster.client()
        cls.addClassCleanup(cls.client.close)
        options = ["--kubeconfig", cls.cluster.admin()]
        if cls.VIA_TLS:
            cls.proxy = cls.enterClassContext(cls.cluster.proxy(tls=True))
            options += ["--via", f"127.0.0.1:{cls.proxy.port}"]
        cls.OPTIONS = (*cls.OPTIONS, *options)
        super().setUpClass()

    def setUp(self):
        super().setUp()
        begin = time.monotonic()
        self.addCleanup(lambda: print(f"[{time.monotonic() - begin:.1f} s] ", end="", flush=True))

    def assert_connected(self, specs):
        super().assert_connected(list(specs))

    # --- what a node knows ---

    def ctl(self, node, *argv, lab=None):
        return json.loads((lab or self.lab).exec(node, "sluicectl", *argv, "--json"))

    def eventually(self, condition, seconds=20):
        """Waits for what depends on events that come from the API server: asks again, since nothing tells when they have come."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = condition()
                if found is None or found:
                    return found
                problem = condition
            except AssertionError as error:
                problem = error
            if time.monotonic() > deadline:
                self.fail(f"not within {seconds} s: {problem}")
            time.sleep(0.1)

    def modifications(self, node):
        """Of flows, since sluiced was started."""
        return self.ctl(node, "status")["openflow"]["modifications"]


def node_object(name, number):
    """A node that is only an object: its pods are 10.244.NUMBER.0/24 and so on."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"sluice.dev/test": "object"}},
            "spec": {"podCIDR": f"10.244.{number}.0/24", "podCIDRs": [f"10.244.{number}.0/24", f"fd00:10:244:{number:x}::/64"]},
            "status": {"addresses": [{"type": "InternalIP", "address": f"172.30.0.{number}"},
                                     {"type": "InternalIP", "address": f"fd00:172:30::{number:x}"}]}}


def pod_object(name, node, ips=(), **metadata):
    """A pod that is only an object; with addresses it runs."""
    namespace, name = name.split("/") if "/" in name else ("default", name)
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, **metadata},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "none"}]}}
    if ips:
        made["status"] = {"phase": "Running", "podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    return made
