#!/usr/bin/python3 -B
"""Ranges of Service addresses that a real API server announces (ServiceCIDR objects), and what they are for.

Covers services 10 (what no Service has does not leave the node), 29."""
# time limit: 240 s
import itertools
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
from kubelab import KubeLabCase  # noqa: E402
from labkit import netns  # noqa: E402
from labtest import pod  # noqa: E402

RANGES = {4: "10.197.0.0/24", 6: "fd00:97::/112"}
ADDRESSES, NOBODYS = {4: "10.197.0.7", 6: "fd00:97::7"}, {4: "10.197.0.99", 6: "fd00:97::99"}
ELSEWHERE = {4: "10.198.0.99", 6: "fd00:98::99"}
SERVER, CLIENT = "default/server", "default/client"
FORBIDDEN = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
             "message": "servicecidrs is forbidden"}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "ipFamilyPolicy": "RequireDualStack", **spec}}


def slice_of(name, family, address):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{family}", "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": f"IPv{family}", "ports": [{"port": 80, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "nodeName": "node-1"}]}


class ServiceCidrs(KubeLabCase):
    OPTIONS = ("--nodes", "2")
    PODS = [pod("server", "node-1"), pod("client", "node-1")]
    VIA_TLS = True
    ALLOWED_LOG = [("sluiced", r"\|WARN\|.*(kube|source|API|reflector|http)", "the API server refuses on purpose")]

    def setUp(self):
        super().setUp()
        self.addCleanup(self.proxy, "clear")

    def kind(self, node):
        return next(kind for kind in self.ctl(node, "status")["source"]["kinds"] if kind["kind"] == "ServiceCIDR")

    def announce(self):
        self.client.create({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
                            "spec": {"cidrs": list(RANGES.values())}})
        self.addCleanup(self.forget)

    def forget(self):
        """A range goes only once the last address in it is free."""
        self.client.delete("ServiceCIDR", "", "more")
        self.client.until("ServiceCIDR", "", "more", lambda item: item is None)

    def serve(self):
        self.eventually(lambda: self.client.create(service("more", clusterIP=ADDRESSES[4], clusterIPs=list(ADDRESSES.values()))) or True
                        if not self.client.get("Service", "default", "more") else True)
        self.addCleanup(self.client.delete, "Service", "default", "more")
        for family in ADDRESSES:
            self.client.create(slice_of("more", family, self.lab.ips(SERVER)[family]))
            self.addCleanup(self.client.delete, "EndpointSlice", "default", f"more-{family}")

    def routes(self, node):
        """The ranges that lead to br-int there."""
        shown = [json.loads(self.lab.exec(node, "ip", "-j", f"-{family}", "route", "show", "dev", "sluice0")) for family in RANGES]
        return {route["dst"] for route in itertools.chain(*shown)} & set(RANGES.values())

    def without_default_route(self, node):
        for family in RANGES:
            route = self.lab.exec(node, "ip", f"-{family}", "route", "show", "default").split("\n")[0].split()
            via = route[route.index("via") + 1]
            device = route[route.index("dev") + 1]
            self.lab.exec(node, "ip", f"-{family}", "route", "del", "default")
            self.addCleanup(self.lab.exec, node, "ip", f"-{family}", "route", "replace", "default", "via", via, "dev", device)

    def reaches(self, sender, family, address=None):
        [answer] = self.lab.probe({"from": sender, "to": address or ADDRESSES[family], "family": family, "protocol": "tcp", "port": 80,
                                   "timeout": "2s"})
        return answer

    def assert_served(self, sender):
        for family in RANGES:
            with self.subTest(sender=sender, family=family):
                self.eventually(lambda family=family: self.assertEqual(self.reaches(sender, family)["result"], "connected"))

    def test_range_comes_and_goes(self):
        """services 29: in both families, on a node without a default route too, while everything runs."""
        self.without_default_route("node-2")
        self.eventually(lambda: self.kind("node-2")["count"] == 1)      # "kubernetes".
        answer = self.reaches("node-2", 4)
        self.assertEqual((answer["result"], answer["reason"]), ("dropped", "Network is unreachable"))
        self.announce()
        self.serve()
        for sender in ("node-2", "node-1", CLIENT):
            self.assert_served(sender)
        for node in ("node-1", "node-2"):
            self.assertEqual(self.routes(node), set(RANGES.values()))
            self.assertEqual(self.kind(node)["count"], 2)
        self.lab("restart", "node-2", "sluiced")
        self.assert_served("node-2")

        # What is not announced any more: without Services in it first, as Kubernetes demands it.
        self.doCleanups()
        for node in ("node-1", "node-2"):
            self.eventually(lambda node=node: self.assertEqual(self.kind(node)["count"], 1))
            self.eventually(lambda node=node: self.assertEqual(self.routes(node), set()))

    def test_range_goes_before_its_service(self):
        """services 29: an object that is lost takes only the routes with it."""
        self.announce()
        self.serve()
        self.assert_served("node-2")
        self.proxy("rule", rule={"times": 0, "match": "/servicecidrs", "status": 404, "headers": {"content-type": "text/plain"},
                                 "body": "404 page not found\n"})
        self.lab("restart", "node-2", "sluiced")
        self.eventually(lambda: self.assertEqual((self.routes("node-2"), self.kind("node-2")["absent"]), (set(), True)))
        self.assert_served("node-2")

    def test_what_nobody_has_stays_here(self):
        """services 10: a packet to an address of a range that no Service has does not leave by the uplink."""
        self.announce()
        self.serve()
        self.assert_served(CLIENT)
        self.eventually(lambda: self.assertEqual(self.routes("node-1"), set(RANGES.values())))
        for sender, family in itertools.product((CLIENT, "node-1"), RANGES):
            with self.subTest(sender=sender, family=family):
                self.assert_nothing_leaves(sender, family)

    def assert_nothing_leaves(self, sender, family):
        sniffer = labtest.Sniffer(self.lab, "underlay", "node-1")
        self.addCleanup(sniffer.close)
        mark = f"{sender}-{family}".encode()

        def send(address, data):
            with labtest.socket.socket(labtest.socket.AF_INET if family == 4 else labtest.socket.AF_INET6,
                                       labtest.socket.SOCK_DGRAM) as sock:
                sock.sendto(data, (address, 5555))
        netns.call(self.lab.namespace(sender), send, ELSEWHERE[family], b"first-" + mark)
        netns.call(self.lab.namespace(sender), send, NOBODYS[family], b"nobody-" + mark)
        netns.call(self.lab.namespace(sender), send, self.lab.ips("outside")[family], b"last-" + mark)
        frames = b"".join(frame for _, frame in sniffer.until(b"last-" + mark))
        self.assertIn(b"first-" + mark, frames)         # No range: it goes by the default route.
        self.assertNotIn(b"nobody-" + mark, frames)

    def refused(self, rule):
        self.proxy("rule", rule={"times": 0, "match": "/servicecidrs", **rule})
        self.lab("restart", "node-1", "sluiced")
        self.lab.exec("node-1", "sluicectl", "wait", "--for", "realized", "--timeout", "30", timeout=40)
        return self.ctl("node-1", "status")

    def test_forbidden(self):
        """services 29: said once, and nothing waits for it."""
        status = self.refused({"status": 403, "body": json.dumps(FORBIDDEN)})
        self.assertTrue(status["ready"] and status["source"]["synced"])
        self.assertNotIn("problem", status["source"])
        self.assertEqual([problem for problem in status["problems"] if "servicecidrs" in problem], status["problems"])
        self.assertEqual(len(status["problems"]), 1, status["problems"])
        self.assertRegex(status["problems"][0], "^ServiceCIDR: cannot list .*: 403 Forbidden: .*: apply deploy/rbac.yaml")
        self.proxy("clear")
        self.eventually(lambda: self.assertEqual(self.ctl("node-1", "status")["problems"], []), 60)

    def test_before_1_33(self):
        """services 29: a server that does not know the kind."""
        status = self.refused({"status": 404, "headers": {"content-type": "text/plain"}, "body": "404 page not found\n"})
        self.assertTrue(status["ready"] and status["source"]["synced"] and self.kind("node-1")["absent"])
        self.assertEqual(status["problems"], [])


if __name__ == "__main__":
    labtest.main()
