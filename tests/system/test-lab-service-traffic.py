#!/usr/bin/python3 -B
"""What goes through Services: a pod to itself, shares of the endpoints, affinity, large requests, fragments, odd Services.

Covers services 1, 2, 5, 6, 7, 10, 16, 18, 19, 21, 27, 29."""
# time limit: 400 s
import collections
import errno
import itertools
import os
import socket
import time

import servicelab
from labtest import pod
from servicelab import (CONNECTED_TIMEOUT, FAMILIES, HAIRPIN, Endpoint, ServiceCase, balanced_at, connect, echoes, greeting,
                        in_namespace, service)

COUNT = 7
ENDPOINTS = [Endpoint(f"e{index}", f"node-{1 + index % 2}") for index in range(COUNT)]
ONE, TWO = ENDPOINTS[:2]        # On node-1 and node-2.
HOST = Endpoint("host", "node-2", host=True)
PLACES = {f"first-{count}": ENDPOINTS[:count] for count in range(1, COUNT + 1)} | {"second": [TWO], "odd": [ONE, HOST]}
# Chi-square at p = 1e-6, by degrees of freedom.
CHI_SQUARE = {1: 23.9, 2: 27.6, 3: 30.7, 4: 33.4, 5: 35.9, 6: 38.3}
PATIENCE = 10
# Four pods with this many ports each are as many endpoints as that.
MANY, MANY_PORTS = [f"default/many-{index}" for index in range(4)], range(10000, 10150)
A, B = "default/a", "default/b"


class Traffic(ServiceCase):
    PLACES = PLACES
    CLIENTS = (pod("a", "node-1"), pod("b", "node-2"),
               *(pod(name, f"node-{1 + index % 2}", [f"TCP:{number}" for number in MANY_PORTS]) for index, name in enumerate(MANY)))

    def ask(self, item, sender, count, door="cluster", families=FAMILIES, protocol="tcp"):
        """How often each endpoint answers; each question must be answered."""
        probes = [self.question(item, door, sender, family, protocol) for family in families for _ in range(count)]
        answers = self.lab.probe(*probes)
        self.assertEqual({answer["result"] for answer in answers}, {"connected"}, [
            servicelab.brief(answer) for answer in answers if answer["result"] != "connected"][:5])
        return collections.Counter(answer["by"] for answer in answers)

    # --- a pod to itself ---

    def test_hairpin(self):
        """services 7: the only endpoint talks to itself, and sees HAIRPIN as the client."""
        for members, me in (("first-1", ONE), ("second", TWO)):
            item = self.one_service("self", members)
            self.check_questions([(self.question(item, "cluster", me.pod, family, protocol), {me.pod: HAIRPIN[family]})
                                  for family in FAMILIES for protocol in ("tcp", "udp") for _ in range(4)])
            for family in FAMILIES:
                with connect(self.lab, me.pod, *self.door(item, "cluster", family)) as sock:
                    self.assertEqual(greeting(sock), (me.pod, HAIRPIN[family]))
                    self.assertTrue(echoes(sock, os.urandom(1 << 18), PATIENCE))

    def test_hairpin_by_other_doors(self):
        """services 7, 14: by its node's port and a load balancer's address too, whatever the traffic policy."""
        for policy in ("Cluster", "Local"):
            item = self.one_service("self", "first-1", type="LoadBalancer", externalTrafficPolicy=policy,
                                    status=balanced_at("198.51.100.1", "2001:db8:100::1"))
            self.check_questions([(self.question(item, door, ONE.pod, family), {ONE.pod: HAIRPIN[family]})
                                  for family in FAMILIES for door in ("node-1", "lb")])

    def test_hairpin_among_others(self):
        """services 7: an endpoint of several meets itself now and then, and the others as itself."""
        item = self.one_service("self", "first-2")
        for family in FAMILIES:
            wanted = {ONE.pod: HAIRPIN[family], TWO.pod: self.addresses[ONE.pod][family]}
            self.check_questions([(self.question(item, "cluster", ONE.pod, family), wanted) for _ in range(30)])
        self.assertEqual(set(self.ask(item, ONE.pod, 30)), set(wanted))

    # --- shares ---

    def test_shares(self):
        """services 6: of real connections each endpoint gets its part."""
        made = self.services(*(service(f"n{count}", f"first-{count}") for count in (2, 3, 5, 7)))
        for item, count in zip(made, (2, 3, 5, 7)):
            for sender, family, protocol in ((A, 4, "tcp"), (B, 6, "tcp"), (A, 6, "udp"), ("node-1", 4, "tcp")):
                found = self.ask(item, sender, 60 * count, families=[family], protocol=protocol)
                self.assertEqual(set(found), {one.pod for one in ENDPOINTS[:count]})
                square = sum((found[one.pod] - 60) ** 2 / 60 for one in ENDPOINTS[:count])
                self.assertLess(square, CHI_SQUARE[count - 1], f"{sender} IPv{family} {protocol}: {found}")

    def test_many_endpoints(self):
        """services 6, 21: more than one group takes: each pod counts as often as it has ports.  With affinity too."""
        for affinity in ({}, {"sessionAffinity": "ClientIP"}):
            item = self.one_service("many", ports=[{"name": "web", "port": 80}], **affinity)
            self.put(*(slice_of("many", f"many-{number}-{family}", family, number,
                                [self.addresses[pod][family] for pod in MANY]) for number in MANY_PORTS for family in FAMILIES))
            self.settle()
            self.assertTrue([line for line in self.lab.flows("node-1") if " table=11," in line and "priority=0 " not in line])
            for sender, family in ((A, 4), (B, 6), ("node-1", 4)):
                if affinity:
                    self.ask_affine(item, [(sender, "cluster", family, "tcp")], 20)
                    continue
                found = self.ask(item, sender, 400, families=[family])
                self.assertEqual(sum(found.values()), 400)
                self.assertLess(sum((found[pod] - 100) ** 2 / 100 for pod in MANY), CHI_SQUARE[len(MANY) - 1], found)

    def test_topology(self):
        """services 5: the node's own endpoints, then its zone's, then all; labels of nodes may change at run time."""
        def zones(first, second):
            self.lab.apply(*({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
                **self.store.get("Node", "", name)["metadata"]["labels"], "topology.kubernetes.io/zone": zone}}}
                for name, zone in (("node-1", first), ("node-2", second))))
        self.addCleanup(zones, "zone-1", "zone-1")
        for place, distribution, split, wanted in (
                ("first-2", "PreferSameNode", False, {A: {ONE}, B: {TWO}}), ("second", "PreferSameNode", False, {A: {TWO}, B: {TWO}}),
                ("first-2", "PreferClose", False, {A: {ONE, TWO}, B: {ONE, TWO}}), ("first-2", "PreferClose", True, {A: {ONE}, B: {TWO}}),
                ("second", "PreferSameZone", True, {A: {TWO}, B: {TWO}})):
            zones("zone-1", "zone-2" if split else "zone-1")
            item = self.one_service("close", place, trafficDistribution=distribution)
            for sender, endpoints in wanted.items():
                with self.subTest(place=place, distribution=distribution, split=split, sender=sender):
                    self.assertEqual(set(self.ask(item, sender, 12)), {one.pod for one in endpoints})

    def test_any_range(self):
        """services 29: the address of a Service may be any."""
        item = self.one_service("elsewhere", "first-2", clusterIPs=["172.20.5.5", "fd00:abcd::5"])
        for sender in (A, B, "node-1", "node-2"):
            self.assertEqual(set(self.ask(item, sender, 8)), {ONE.pod, TWO.pod})

    # --- affinity ---

    def affine(self, seconds, members="first-5", **more):
        return self.one_service("affine", members, sessionAffinity="ClientIP",
                                sessionAffinityConfig={"clientIP": {"timeoutSeconds": seconds}}, **more)

    def learned(self, node):
        return [line for line in self.lab.flows(node) if " table=7," in line and "priority=0 " not in line]

    def ask_affine(self, item, wheres, count=6):
        """Asks once at each of 'wheres' (sender, door, family, protocol), and when that is learned 'count' times at once.  Who answers each.

        Between the two the switch must look through its datapath flows, which say "not learned yet": connections of the first
        milliseconds may still choose for themselves, and the last one of them counts."""
        probes = [self.question(item, door, sender, family, protocol) for sender, door, family, protocol in wheres]
        first = self.lab.probe(*probes)
        for node in self.lab.layout.nodes():
            self.lab.exec(node, "ovs-appctl", "revalidator/wait")
        wrong = [f"at first {servicelab.brief(one)}, then {servicelab.brief(other)}"
                 for one, other in zip(first * count, self.lab.probe(*probes * count), strict=True)
                 if other["result"] != "connected" or other["by"] != one["by"]]
        self.assertFalse(bool(wrong), "\n".join(wrong[:10]))
        return [answer["by"] for answer in first]

    def test_affinity_stays(self):
        """services 21: for each client and port, at each door; others choose for themselves."""
        item = self.affine(600, type="LoadBalancer", status=balanced_at("198.51.100.2", "2001:db8:100::2"))
        chosen = self.ask_affine(item, list(itertools.product((A, B, "node-2", "outside"), ("cluster", "node-1", "lb"), FAMILIES,
                                                              ("tcp", "udp"))))
        self.assertGreater(len(set(chosen)), 1)

    def test_affinity_with_local_policy(self):
        """services 21: only local endpoints, and the same one."""
        item = self.affine(600, type="NodePort", externalTrafficPolicy="Local")
        wheres = [("outside", node, family, "tcp") for node in ("node-1", "node-2") for family in FAMILIES]
        self.assertEqual([self.home[by] for by in self.ask_affine(item, wheres)], [node for _, node, _, _ in wheres])

    def test_affinity_expires_by_use(self):
        """services 21: it lasts as long as it is used, and no longer than the timeout after that."""
        item = self.affine(2)
        probe = self.question(item, "cluster", A, 4)
        began, chosen = time.monotonic(), set()
        while time.monotonic() < began + 5:             # Longer than the timeout: use is what keeps it.
            answer = self.lab.probe(probe)[0]
            self.assertEqual(answer["result"], "connected")
            chosen.add(answer["by"])
            time.sleep(0.5)
        self.assertEqual(len(chosen), 1, chosen)
        self.assertTrue(self.learned("node-1"))
        deadline = time.monotonic() + PATIENCE
        while self.learned("node-1"):
            self.assertLess(time.monotonic(), deadline, "what was learned does not expire")
            time.sleep(0.2)

    def test_affinity_follows_removal(self):
        """services 21, 23: the chosen endpoint goes; its clients choose another one, and stay with that.  The others' stay."""
        item = self.affine(600)
        wheres = [(sender, "cluster", family, "tcp") for sender in (A, B) for family in FAMILIES]
        first = self.ask_affine(item, wheres)
        gone = first[0]
        self.change("Pod", gone, lambda pod: pod["metadata"]["labels"].pop("first-5"))
        self.addCleanup(self.change, "Pod", gone, lambda pod: pod["metadata"]["labels"].update({"first-5": "y"}))
        self.reconcile()
        self.settle()
        for before, now in zip(first, self.ask_affine(item, wheres)):
            self.assertNotEqual(now, gone)
            if before != gone:
                self.assertEqual(now, before)

    def test_affinity_on_and_off(self):
        """services 21: at run time."""
        item = self.one_service("affine", "first-5")
        self.assertGreater(len(self.ask(item, A, 20)), 1)
        item = self.affine(600)
        self.ask_affine(item, [(A, "cluster", 4, "tcp")], 10)
        item = self.one_service("affine", "first-5", sessionAffinity="None")
        self.assertGreater(len(self.ask(item, A, 20, families=[4])), 1)

    # --- large ones ---

    def test_large_requests(self):
        """services 27: a megabyte there and back, on the same node, the other one, from outside and the node."""
        for members, name in (("first-1", "near"), ("second", "far")):
            item = self.one_service(name, members, type="NodePort")
            for door, sender, family in itertools.product(("cluster", "node-1"), (A, "node-1", "outside"), FAMILIES):
                with self.subTest(members=members, door=door, sender=sender, family=family), \
                        connect(self.lab, sender, *self.door(item, door, family)) as sock:
                    greeting(sock)
                    for _ in range(4):
                        self.assertTrue(echoes(sock, os.urandom(1 << 18), PATIENCE))

    def test_fragments(self):
        """services 27: datagrams larger than the MTU, both ways."""
        for members, name in (("first-1", "near"), ("second", "far")):
            item = self.one_service(name, members, type="NodePort")
            for door, sender, family in itertools.product(("cluster", "node-1"), (A, "node-1", "outside"), FAMILIES):
                with self.subTest(members=members, door=door, sender=sender, family=family):
                    self.ask_large(sender, self.door(item, door, family, "udp"))

    def ask_large(self, sender, where, sizes=(100, 4000, 20000, 100)):
        """A datagram that gets lost on a busy machine is sent again, twice."""
        with in_namespace(self.lab, sender, socket.socket, socket.AF_INET6 if ":" in where[0] else socket.AF_INET,
                          socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.connect(where)
            for size in sizes:
                data, came = os.urandom(size), b""
                for _ in range(3):
                    try:
                        sock.send(data)
                        came = sock.recv(65536)
                    except TimeoutError:
                        continue
                    except OSError as error:
                        if error.errno != errno.EMSGSIZE:       # The sender has learnt the MTU of the path.
                            raise
                        continue
                    break
                self.assertTrue(came.endswith(data), f"{size} bytes: {len(came)} came")

    # --- odd ones ---

    def test_ports_of_an_address(self):
        """services 2, 6, 10: several ports, a named target port that is another number in each pod, unknown ports."""
        item = self.one_service("odd", "odd", ports=[
            {"name": "web", "port": 80, "targetPort": "web"}, {"name": "dns", "port": 80, "targetPort": "dns", "protocol": "UDP"},
            {"name": "more", "port": 8443, "targetPort": "web"}, {"name": "straight", "port": 81, "targetPort": 80}])
        for index, protocol in ((0, "tcp"), (1, "udp"), (2, "tcp")):
            for family in FAMILIES:
                address, port = self.door(item, "cluster", family, index=index)
                self.check_questions([({"from": A, "to": address, "port": port, "protocol": protocol, "family": family},
                                       {ONE.pod: None, HOST.pod: None})] * 6)
        for sender, family, protocol in itertools.product((A, "node-1"), FAMILIES, ("tcp", "udp")):
            address, _ = self.door(item, "cluster", family)
            self.check_questions([({"from": sender, "to": address, "port": 4444, "protocol": protocol, "family": family}, "refused")])
            nobody = "10.96.200.200" if family == 4 else "fd00:96::7777"
            answer = self.lab.probe({"from": sender, "to": nobody, "port": 80, "protocol": protocol, "timeout": "400ms"})[0]
            self.assertNotEqual(answer["result"], "connected")

    def test_slices_by_hand(self):
        """services 2: no selector; two slices with an endpoint in common; an endpoint that is no pod."""
        item = self.one_service("hand", ports=[{"name": "web", "port": 80}])
        self.assertEqual(self.lab.probe(self.question(item, "cluster", A, 4))[0]["result"], "refused")
        addresses = [self.addresses[one.pod] for one in ENDPOINTS[:3]]
        self.put(*(slice_of("hand", f"hand-{number}-{family}", family, 80, [one[family] for one in addresses[number:number + 2]])
                   for number in (0, 1) for family in FAMILIES))
        self.settle()
        found = self.ask(item, A, 120)
        self.assertEqual(set(found), {one.pod for one in ENDPOINTS[:3]})
        self.assertLess(max(found.values()), 120, f"a duplicate counts once: {found}")
        self.take(*(item for item in self.store.all("EndpointSlice", "default")))
        self.put(slice_of("hand", "outside", 4, 9000, [self.addresses["outside"][4]]))
        self.settle()
        self.check_questions([(self.question(item, "cluster", A, 4), {"outside": self.addresses["node-1"][4]}),
                              (self.question(item, "cluster", B, 4), {"outside": self.addresses["node-2"][4]})])

    def test_left_alone(self):
        """services 1: headless, ExternalName, and with another proxy's label, which comes and goes."""
        item = self.one_service("alone", "first-2", clusterIP="10.96.7.7", ipFamilyPolicy="SingleStack")
        probe = self.question(item, "cluster", A, 4)
        self.check_questions([(probe, dict.fromkeys((ONE.pod, TWO.pod)))])
        for label in ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"):
            self.change("Service", "default/alone", lambda item, label=label: item["metadata"].update({"labels": {label: "x"}}))
            self.settle()
            self.assertNotEqual(self.lab.probe({**probe, "timeout": "400ms"})[0]["result"], "connected", label)
            self.change("Service", "default/alone", lambda item: item["metadata"].pop("labels"))
            self.settle()
            self.check_questions([(probe, dict.fromkeys((ONE.pod, TWO.pod)))])
        self.services(service("alone", "first-2", type="ExternalName", externalName="a.example", ports=[]),
                      service("none", "first-2", clusterIP="None"))
        self.assertNotEqual(self.lab.probe({**probe, "timeout": "400ms"})[0]["result"], "connected")
        self.check_questions([({"from": A, "to": self.addresses[ONE.pod][4], "port": 80, "protocol": "tcp"}, {ONE.pod: None})])

    def test_source_ranges(self):
        """services 16, 18, 19: who is not named is dropped at the load balancer's address only; the node may."""
        outside = self.addresses["outside"]
        item = self.one_service("ranged", "first-2", type="LoadBalancer", loadBalancerSourceRanges=[
            f" {self.addresses[A][4]}/32", f"{self.addresses[A][6]}/128 "],
            status=balanced_at("198.51.100.3", "2001:db8:100::3"))
        both, asked = dict.fromkeys((ONE.pod, TWO.pod)), []
        for family, protocol in itertools.product(FAMILIES, ("tcp", "udp")):
            asked += [(self.question(item, "lb", sender, family, protocol), wanted)
                      for sender, wanted in ((A, both), (B, "dropped"), ("outside", "dropped"), ("node-1", both), ("node-2", both))]
            asked += [(self.question(item, door, sender, family, protocol), both)
                      for door in ("cluster", "node-1") for sender in (B, "outside")]
        self.check_questions(asked)
        item = self.one_service("ranged", "first-2", type="LoadBalancer", allocateLoadBalancerNodePorts=False,
                                loadBalancerSourceRanges=[f"{outside[4]}/32", f"{outside[6]}/128"],
                                status=balanced_at("198.51.100.3", "2001:db8:100::3"))
        self.assertNotIn("nodePort", item["spec"]["ports"][0])
        self.check_questions([(self.question(item, "lb", "outside", family), both) for family in FAMILIES] +
                             [(self.question(item, "lb", A, family), "dropped") for family in FAMILIES])

    def test_addresses_of_a_load_balancer(self):
        """services 16: ipMode Proxy is not captured, and a name is not an address."""
        item = self.one_service("proxied", "first-2", type="LoadBalancer", status={"loadBalancer": {"ingress": [
            {"hostname": "lb.example"}, {"ip": "198.51.100.4"}, {"ip": "198.51.100.5", "ipMode": "Proxy"}]}})
        asked = {"from": A, "port": 80, "protocol": "tcp", "timeout": CONNECTED_TIMEOUT}
        self.check_questions([({**asked, "to": "198.51.100.4"}, dict.fromkeys((ONE.pod, TWO.pod)))])
        answer = self.lab.probe({**asked, "to": "198.51.100.5", "timeout": "400ms"})[0]
        self.assertNotEqual(answer["result"], "connected", item)


def slice_of(owner, name, family, port, addresses):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{family}",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": owner}},
            "ports": [{"name": "web", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address]} for address in addresses]}


if __name__ == "__main__":
    servicelab.main()
