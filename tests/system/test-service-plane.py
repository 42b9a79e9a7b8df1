#!/usr/bin/python3 -B
"""Services in sluiced (issue 6): a restart sends nothing and keeps affinity (services 28), changes at run time take effect and leave the
rest alone (services 15, 23), what is wrong is named and the rest works; what sluicectl says of all that."""
# time limit: 300 s
import json
import re
import time

import labtest
from labkit.kubelet import READY
from labkit.objects import Store
from labtest import LabCase, pod

VIP, VIP6 = "10.96.0.5", "fd00:96::5"


def service(name, selector=None, ports=(("http", 80, 80),), **spec):
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"name": port, "port": number, "targetPort": target} for port, number, target in ports], **spec}}
    if selector:
        made["spec"]["selector"] = selector
    return made


def endpoint_slice(name, addresses, port=80, owner=None, **more):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": owner or name}},
            "ports": [{"name": "http", "protocol": "TCP", "port": port}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}, **more} for address in addresses]}


WEB = service("web", {"app": "web"}, clusterIPs=[VIP, VIP6], ipFamilyPolicy="RequireDualStack", type="NodePort")


class ServicePlane(LabCase):
    OPTIONS = ("--nodes", "2")
    PODS = [pod("web-1", "node-1", labels={"app": "web"}), pod("web-2", "node-1", labels={"app": "web"}),
            pod("web-3", "node-2", labels={"app": "web"}), pod("client", "node-1", labels={"app": "client"})]
    ALLOWED_LOG = [labtest.SLUICED_WAS_KILLED,
                   ("ovs-vswitchd", r"recirc_id \d+ left allocated", "restarted under traffic"),
                   labtest.OVS_IS_RESTARTED]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.store = Store(cls.lab.layout)

    # --- objects ---

    def put(self, *items):
        for item in items:
            self.addCleanup(self.remove, item["kind"], item["metadata"]["name"])
        self.lab.apply(*items)

    def remove(self, kind, name):
        if self.store.get(kind, "default", name):
            self.lab("delete", kind.lower(), f"default/{name}")
            self.lab("wait")

    def slice_put(self, item):
        self.addCleanup(self.slice_remove, item["metadata"]["name"])
        self.store.put(item)
        self.lab("wait")

    def slice_remove(self, name):
        self.store.remove("EndpointSlice", "default", name)
        self.lab("wait")

    # --- what sluiced says ---

    def ctl(self, *argv, node="node-1"):
        return json.loads(self.lab.exec(node, "sluicectl", *argv, "--json"))

    def doors(self, name="default/web", *more, **where):
        return self.ctl("services", name, *more, **where)

    def door(self, kind="ClusterIP", family=4, name="default/web", *more):
        found = [door for door in self.doors(name, *more) if door["port_number"] and
                 (door["kind"], ":" in door["address"], door["source"]) == (kind, family == 6, "anybody")]
        self.assertEqual(len(found), 1, (kind, family, found))
        return found[0]

    def until(self, condition, what, seconds=10):
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            self.assertLess(time.monotonic(), deadline, what() if callable(what) else what)
            time.sleep(0.05)            # No event tells the test what sluiced has heard of.
        return value

    # --- packets ---

    def answers(self, to, count=1, sender="default/client", **more):
        """Who answered; what the result was where nobody did."""
        asked = self.lab.probe(*[{"from": sender, "to": to, "port": 80, "protocol": "tcp", "timeout": "2s", **more}] * count)
        return [one["by"] if one["result"] == "connected" else one["result"] for one in asked]

    def learned(self):
        return sorted(line for line in self.lab.flows("node-1") if re.match(r"(cookie=0x[0-9a-f]+, )?table=7,", line)
                      and "learn" not in line and "priority=0" not in line and "reg14" in line)

    # --- the tests ---

    def test_restart_sends_nothing(self):
        """services 28: the switch has what is wanted, learned flows stay, and clients keep their endpoint."""
        self.put(WEB, service("sticky", {"app": "web"}, sessionAffinity="ClientIP"), service("nobody", {"app": "nobody"}),
                 service("local", {"app": "web"}, type="LoadBalancer", externalTrafficPolicy="Local", externalIPs=["192.0.2.7"]))
        bound = self.answers("service/default/sticky", 1)
        self.assertEqual(self.answers("service/default/sticky", 8), bound * 8)
        counted = self.door("ClusterIP", 4, "default/sticky", "--stats")["endpoints"]
        self.assertEqual({one["pod"]: one["clients"] for one in counted}, {f"default/web-{n}": int(bound == [f"default/web-{n}"])
                                                                           for n in (1, 2, 3)})
        before, learned = self.lab.footprint("node-1"), self.learned()
        self.assertEqual(len(learned), 1, learned)
        self.assertTrue(before["groups"])
        for how in ((), ("--kill",), ("--kill",)):
            self.lab("restart", "node-1", "sluiced", *how)
            self.lab("wait")
            self.assertEqual(self.ctl("status")["openflow"]["modifications"], 0)
            self.assert_same(self.lab.footprint("node-1"), before)
            self.assertEqual(self.answers("service/default/sticky", 4), bound * 4)
            self.assertEqual(self.learned(), learned)

    def test_what_it_says(self):
        """Doors, endpoints, shares, counters; the same from manifests without a daemon."""
        self.put(WEB)
        door = self.door()
        self.assertEqual((door["namespace"], door["name"], door["port"], door["address"], door["protocol"], door["port_number"],
                          door["action"], door["affinity"]), ("default", "web", "http", VIP, "TCP", 80, "forward", 0))
        self.assertEqual({(one["pod"], one["node"], one["local"], one["terminating"]) for one in door["endpoints"]},
                         {("default/web-1", "node-1", True, False), ("default/web-2", "node-1", True, False),
                          ("default/web-3", "node-2", False, False)})
        self.assertAlmostEqual(sum(one["share"] for one in door["endpoints"]), 1)
        self.assertEqual(self.door(family=6)["address"], VIP6)
        node_port = self.door("NodePort")
        self.assertEqual(node_port["address"], "0.0.0.0")
        self.assertGreaterEqual(node_port["port_number"], 30000)

        self.assertEqual(set(self.answers(VIP, 30)) - {"default/web-1", "default/web-2", "default/web-3"}, set())
        def count():
            counted = self.door("ClusterIP", 4, "default/web", "--stats")
            at_endpoints = sum(one["packets"] for one in counted["endpoints"])
            return counted if counted["packets"] >= 30 * 3 and counted["packets"] == at_endpoints else None     # SYN, ACK, FIN.
        counted = self.until(count, lambda: self.lab.exec("node-1", "sluicectl", "services", "--stats"))
        self.assertNotIn("flows", counted)
        self.assertNotIn("groups", counted["endpoints"][0])

        compiled = json.loads(self.lab.exec("node-1", "sluicectl", "compile", "--source", self.lab.layout.manifests(), "--node", "node-1",
                                            "--services", "--json"))
        self.assertEqual([one for one in compiled if one["name"] == "web"], self.doors())
        text = self.lab.exec("node-1", "sluicectl", "services", "default/web", "--stats")
        self.assertIn(f"ClusterIP {VIP}:80/TCP \"http\": 3 endpoints", text)
        self.assertRegex(text, r"default/web-3; \d+ packets")
        owned = self.lab.exec("node-1", "sluicectl", "flows", "--object", "Service/default/web").splitlines()
        self.assertTrue(any(VIP in line for line in owned), owned)
        self.assertTrue(all("# Service/default/web" in line for line in owned), owned)
        self.assertEqual(self.ctl("status")["services"]["services"], 1)
        missing = self.lab.exec("node-1", "sluicectl", "services", "default/none", check=False)
        self.assertEqual(missing.returncode, 1)

    def test_changes(self):
        """services 9, 15, 23: doors come and go with the type, endpoints with the pods, and nothing else is touched."""
        self.put(WEB)
        others = self.lab.footprint("node-1")
        self.put(service("other", {"app": "other"}))
        self.assertEqual(self.answers("service/default/other"), ["refused"])
        self.lab.apply(pod("late", "node-2", labels={"app": "other"}))
        self.addCleanup(self.remove, "Pod", "late")
        self.assertEqual(self.answers("service/default/other", 3), ["default/late"] * 3)
        self.lab.apply({**WEB, "spec": {**WEB["spec"], "type": "ClusterIP"}})
        self.assertEqual({door["kind"] for door in self.doors()}, {"ClusterIP"})
        self.lab.apply({**WEB, "spec": {**WEB["spec"], "type": "ClusterIP", "ports": [{"name": "http", "port": 8080, "targetPort": 80}]}})
        self.assertEqual(self.answers(VIP), ["refused"])
        self.assertEqual(set(self.answers(VIP, 3, port=8080)) - {"default/web-1", "default/web-2", "default/web-3"}, set())
        self.lab.apply(WEB)
        self.remove("Service", "other")
        self.remove("Pod", "late")
        now = self.lab.footprint("node-1")
        self.assertEqual([line for line in others["flows"] if line not in now["flows"] and "tp_dst=3" not in line], [])
        self.assertEqual(now["groups"], others["groups"])

    def cost(self, name, change, endpoints):
        """How many changes of flows and groups 'change' causes, after which the Service has so many endpoints."""
        def modifications():
            return self.ctl("status")["openflow"]["modifications"]
        before = modifications()
        change()
        self.until(lambda: len(self.door("ClusterIP", 4, name)["endpoints"]) == endpoints, f"{name} has {endpoints} endpoints")
        self.lab("wait")
        return modifications() - before

    def costs_of_changes(self):
        """Of a dual-stack Service with a node port, whose pods change, and of one whose slice does."""
        web = "default/web"
        def changed(**more):
            return lambda: self.lab.apply({**pod("web-3", "node-2", labels=more.pop("labels", {"app": "web"})), **more})
        unready = pod("web-3", "node-2", labels={"app": "web"})
        unready["metadata"]["annotations"] = {READY: "false"}
        costs = {"not ready": self.cost(web, lambda: self.lab.apply(unready), 2),
                 "ready": self.cost(web, changed(), 3),
                 "relabelled": self.cost(web, changed(labels={"app": "other"}), 2),
                 "relabelled back": self.cost(web, changed(), 3)}
        first = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        for what, addresses in (("one more", [*first, "192.0.2.4"]), ("another", ["192.0.2.5", *first[1:], "192.0.2.4"]),
                                ("one less", first[1:]), ("as before", first)):
            costs[what] = self.cost("default/odd", lambda addresses=addresses: self.slice_put(endpoint_slice("odd", addresses)),
                                    len(addresses))
        return costs

    def test_messages_of_a_change(self):
        """services 23: what one change sends is a group for each family, however many other Services there are."""
        self.put(WEB, service("odd", clusterIPs=["10.96.0.9"], ipFamilies=["IPv4"]))
        self.slice_put(endpoint_slice("odd", ["192.0.2.1", "192.0.2.2", "192.0.2.3"]))
        self.until(lambda: len(self.door("ClusterIP", 4, "default/odd")["endpoints"]) == 3, "sluiced hears of it")
        costs = self.costs_of_changes()
        self.assertEqual(costs, {"not ready": 2, "ready": 2, "relabelled": 2, "relabelled back": 2, "one more": 1, "another": 1,
                                 "one less": 1, "as before": 1})
        others = [service(f"other-{index}", {"app": "client"}) for index in range(40)]
        self.addCleanup(self.lab, "delete", "service", *(f"default/{item['metadata']['name']}" for item in others))
        self.lab.apply(*others)
        self.until(lambda: self.ctl("status")["services"]["services"] == 42, "the others are there")
        self.lab("wait")
        self.assertEqual(self.costs_of_changes(), costs)

    def test_bad_input(self):
        """A slice that no API server would take, one of nobody, an address that two Services want: named, and the rest works."""
        self.put(service("odd", clusterIPs=["10.96.0.9"], ipFamilies=["IPv4"], externalIPs=["192.0.2.9"]))
        good = self.lab.ips("default/web-1")[4]
        self.slice_put(endpoint_slice("odd", [good]))
        self.slice_put(endpoint_slice("stray", [good], owner="no-such"))
        self.until(lambda: self.doors("default/odd")[-1]["endpoints"], "sluiced hears of it")
        self.slice_put(endpoint_slice("odd", [good, "127.0.0.1"]))
        self.until(lambda: any("127.0.0.1 is a loopback address" in text for text in self.ctl("status")["problems"]), "it is named")
        self.assertEqual(self.answers("10.96.0.9", 3), ["default/web-1"] * 3)
        self.slice_put(endpoint_slice("odd", [good]))
        self.until(lambda: not self.ctl("status")["problems"], "the problem goes")

        self.put(service("rival", clusterIPs=["10.96.0.8"], ipFamilies=["IPv4"], externalIPs=["192.0.2.9"]))
        problem = self.until(lambda: [text for text in self.ctl("status")["problems"] if text.startswith("Service/default/")],
                             "two Services want one address")
        self.assertIn("192.0.2.9", problem[0])
        self.assertIn("problem: Service default/", self.lab.exec("node-1", "sluicectl", "services"))
        self.assertEqual(self.answers("192.0.2.9", 3), ["default/web-1"] * 3)
        self.remove("Service", "rival")
        self.until(lambda: not self.ctl("status")["problems"], "the problem goes")

    def test_vswitchd_restarts(self):
        """services 28: flows and groups come back in one piece."""
        self.put(WEB)
        before = self.lab.footprint("node-1")
        self.lab("restart", "node-1", "ovs-vswitchd")
        self.lab("wait")
        self.assert_same(self.lab.footprint("node-1"), before)
        self.assertEqual(set(self.answers(VIP, 6)) - {"default/web-1", "default/web-2", "default/web-3"}, set())


if __name__ == "__main__":
    labtest.main()
