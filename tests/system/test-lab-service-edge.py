#!/usr/bin/python3 -B
"""What stands at the edge of Services: health-check ports of load balancers, host ports of pods.

Covers services 20, 30, 31."""
# time limit: 200 s
import http.client
import itertools
import json

import servicelab
from labkit.kubelet import READY
from labtest import pod
from servicelab import FAMILIES, Endpoint, ServiceCase, balanced_at, in_namespace

ONE, TWO = Endpoint("one", "node-1"), Endpoint("two", "node-2")
ENDING = Endpoint("ending", "node-1", state="terminating")
A, B = "default/a", "default/b"
# One host port three times: two protocols, and an address of the node only.
MAPPED = [{"containerPort": 80, "hostPort": 5080, "protocol": "TCP"}, {"containerPort": 53, "hostPort": 5080, "protocol": "UDP"},
          {"containerPort": 80, "hostPort": 5081, "protocol": "TCP", "hostIP": "172.30.0.101"}]


def mapped(name, node, ports):
    made = pod(name, node)
    made["spec"]["containers"][0]["ports"] = ports
    return made


class Edge(ServiceCase):
    PLACES = {"one": [ONE], "both": [ONE, TWO], "ending": [ENDING], "one-and-ending": [TWO, ENDING]}
    CLIENTS = (pod("a", "node-1"), pod("b", "node-2"))

    # --- health ---

    def health(self, sender, node, family, port):
        """(status, what it says) of a node's health-check port; None: nobody there."""
        def ask():
            try:
                connection = http.client.HTTPConnection(self.addresses[node][family], port, timeout=3)
                connection.request("GET", "/")
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())
            except ConnectionRefusedError:
                return None
        return in_namespace(self.lab, sender, ask)

    def check_health(self, port, wanted):
        """'wanted': {node: number of local endpoints}."""
        for (node, local), sender, family in itertools.product(wanted.items(), ("outside", A), FAMILIES):
            with self.subTest(node=node, sender=sender, family=family):
                status, said = self.health(sender, node, family, port)
                self.assertEqual((status, said["service"], said["localEndpoints"], said["serviceProxyHealthy"]),
                                 (200 if local else 503, {"namespace": "default", "name": "checked"}, local, True))

    def checked(self, place):
        return self.one_service("checked", place, type="LoadBalancer", externalTrafficPolicy="Local",
                                status=balanced_at("198.51.100.8"))["spec"]["healthCheckNodePort"]

    def test_health_follows_local_endpoints(self):
        """services 20: 200 where there is a ready endpoint, 503 elsewhere and while only terminating ones are left."""
        for place, wanted in (("both", {"node-1": 1, "node-2": 1}), ("one", {"node-1": 1, "node-2": 0}),
                              ("ending", {"node-1": 0, "node-2": 0}), ("one-and-ending", {"node-1": 0, "node-2": 1})):
            self.check_health(self.checked(place), wanted)

    def test_health_follows_readiness(self):
        """services 20: of the pods."""
        port = self.checked("one")
        self.check_health(port, {"node-1": 1})
        unready = ONE.made("one", "both")
        unready["metadata"]["annotations"] = {READY: "false"}
        self.lab.apply(unready)
        self.addCleanup(self.lab.apply, {**ONE.made("one", "both"), "metadata": {**ONE.made("one", "both")["metadata"], "annotations": {}}})
        self.check_health(port, {"node-1": 0})

    def test_health_port_goes_with_its_service(self):
        """services 20: nobody listens before and after."""
        port = self.checked("both")
        self.assertEqual(self.health("outside", "node-1", 4, port)[0], 200)
        self.remove_services()
        self.assertIsNone(self.health("outside", "node-1", 4, port))
        self.one_service("checked", "both", type="LoadBalancer", healthCheckNodePort=port)
        self.assertIsNone(self.health("outside", "node-1", 4, port), "externalTrafficPolicy Cluster has no such port")

    # --- host ports ---

    def test_host_ports(self):
        """services 31: from everywhere, at all addresses or one, a number for two protocols."""
        self.lab.apply(mapped("mapped", "node-1", MAPPED))
        self.addCleanup(self.lab, "delete", "pod", "default/mapped", check=False)
        mine = {"default/mapped": None}
        asked = [({"from": sender, "to": self.addresses["node-1"][family], "port": port, "protocol": protocol, "family": family},
                  "refused" if (port, family) == (5081, 6) else mine)
                 for sender in ("outside", "node-2", B, A, "node-1") for family in FAMILIES
                 for port, protocol in ((5080, "tcp"), (5080, "udp"), (5081, "tcp"))]
        self.check_questions(asked)
        self.check_questions([({"from": "outside", "to": self.addresses["node-2"][4], "port": 5080, "protocol": "tcp"}, "refused")])
        self.lab("delete", "pod", "default/mapped")
        self.lab("wait")
        self.check_questions([({"from": "outside", "to": self.addresses["node-1"][4], "port": 5080, "protocol": "tcp"}, "refused")])

    def test_host_ports_beside_each_other(self):
        """services 31 (Conformance): the same number with other addresses and protocols, of three pods on one node."""
        names = {("TCP", "172.30.0.101"): "by-address", ("TCP", "127.0.0.1"): "by-loopback", ("UDP", "172.30.0.101"): "by-protocol"}
        self.lab.apply(*(mapped(name, "node-1", [{"containerPort": 80 if protocol == "TCP" else 53, "hostPort": 5090,
                                                  "protocol": protocol, "hostIP": address}])
                         for (protocol, address), name in names.items()))
        self.addCleanup(self.lab, "delete", "pod", *(f"default/{name}" for name in names.values()))
        self.check_questions([({"from": sender, "to": "172.30.0.101", "port": 5090, "protocol": protocol},
                               {f"default/{names[protocol.upper(), '172.30.0.101']}": None})
                              for sender in ("outside", "node-1", A, B) for protocol in ("tcp", "udp")])

    def test_host_port_survives_a_restart(self):
        """services 28, 31."""
        self.lab.apply(mapped("mapped", "node-2", MAPPED[:2]))
        self.addCleanup(self.lab, "delete", "pod", "default/mapped")
        asked = [({"from": "outside", "to": self.addresses["node-2"][family], "port": 5080, "protocol": protocol},
                  {"default/mapped": None}) for family in FAMILIES for protocol in ("tcp", "udp")]
        self.check_questions(asked)
        self.lab("restart", "node-2", "sluiced")
        self.settle()
        self.check_questions(asked)


if __name__ == "__main__":
    servicelab.main()
