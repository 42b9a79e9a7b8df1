#!/usr/bin/python3 -B
"""Services while something changes: endpoints come and go, daemons restart, Services are made anew; what conntrack remembers.

Covers services 9, 15, 22, 23, 24, 25, 26, 28."""
# time limit: 500 s
import contextlib
import json
import os
import re
import socket
import struct
import threading
import time

import frames
import servicelab
from labtest import pod
from policylab import Tap, raw_ip
from servicelab import FAMILIES, Endpoint, ServiceCase, connect, echoes, greeting, in_namespace, service

STAY = [Endpoint("stay-1", "node-1"), Endpoint("stay-2", "node-2")]
MOVE = [Endpoint(f"move-{index}", f"node-{1 + index % 2}") for index in range(4)]
SLOW, LATE = Endpoint("slow", "node-1", state="terminating"), Endpoint("late", "node-1", state="unready")
A, B, HOST = "default/a", "default/b", "default/host"
PLACES = {"stay": STAY, "all": [*STAY, *MOVE], "moving": MOVE, "one": STAY[:1], "two": STAY[1:], "slow": [SLOW], "late": [LATE]}
PATIENCE = 10
CHURN_SECONDS = 8
OWN_PORT = 20042                        # The kernel gives it to nobody who does not ask for it.


class Changes(ServiceCase):
    PLACES = PLACES
    CLIENTS = (pod("a", "node-1"), pod("b", "node-2"), pod("host", "node-1", ("TCP:8181",), host_network=True))
    ALLOWED_LOG = [("sluiced", r"(rconn|reconnect|stream_\w+|jsonrpc)\|WARN\|.*(closed|dropped|failed|reset|refused|error)", "ovs-vswitchd is restarted"),
                   ("ovs-vswitchd", r"recirc_id .* left allocated when ofproto|tunnel\(revalidator\d+\)\|WARN\|receive tunnel port not found", "Open vSwitch 3.1 says so when it ends in the midst of traffic"),
                   ("ovs-vswitchd", "connection dropped|Broken pipe|Connection reset", "sluiced is killed")]

    def select(self, name, place):
        """Other endpoints for a Service."""
        self.change("Service", f"default/{name}", lambda item: item["spec"].update(
            {"selector": {place: "y"}} if place else {"selector": {"nobody": "y"}}))
        self.reconcile()

    def open(self, sender, item, family, door="cluster"):
        """A connection; {"sock", "by"}.  Closed when the test ends."""
        sock = connect(self.lab, sender, *self.door(item, door, family))
        self.addCleanup(sock.close)
        return sock, greeting(sock)[0]

    def open_to(self, endpoint, sender, item, family):
        """A connection that has got to this endpoint."""
        for _ in range(60):
            sock, by = self.open(sender, item, family)
            if by == endpoint.pod:
                return sock
        raise AssertionError(f"none of 60 connections gets to {endpoint.pod}")

    # --- endpoints come and go ---

    def test_first_and_last_endpoint(self):
        """services 9: refused while there is none, at once or not at all; connected as soon as there is one."""
        item = self.one_service("empty", "nobody", type="NodePort", externalIPs=["198.51.100.9", "2001:db8:100::9"])
        doors = [(door, sender, family, protocol) for door in ("cluster", "node-1", "external") for sender in (A, "node-1", "outside")
                 for family in FAMILIES for protocol in ("tcp", "udp")]
        for place, wanted in ((None, "refused"), ("stay", dict.fromkeys(one.pod for one in STAY)), (None, "refused"),
                              ("two", {STAY[1].pod: None})):
            self.select("empty", place)
            self.settle()
            self.check_questions([(self.question(item, *where), wanted) for where in doors])

    def test_churn(self):
        """services 23: while endpoints come and go under load no connection to one that stays breaks, and no new one fails."""
        item = self.one_service("churn", "all")
        old = [(self.open_to(endpoint, sender, item, family)) for endpoint in STAY for sender in (A, B) for family in FAMILIES]
        ended, counts, failures = threading.Event(), [0, 0], []

        def echo():
            while not ended.is_set():
                for sock in old:
                    counts[0] += 1
                    if not echoes(sock, os.urandom(2000), PATIENCE):
                        failures.append("an old connection broke")
                        return

        def ask():
            probes = [self.question(item, "cluster", sender, family) for sender in (A, B, "node-1") for family in FAMILIES]
            while not ended.is_set():
                answers = self.lab.probe(*probes * 20)
                counts[1] += len(answers)
                failures.extend(servicelab.brief(answer) for answer in answers if answer["result"] != "connected")

        threads = [threading.Thread(target=function) for function in (echo, ask)]
        for thread in threads:
            thread.start()
        try:
            deadline, changes = time.monotonic() + CHURN_SECONDS, 0
            while time.monotonic() < deadline:
                self.select("churn", ("stay", "all", "moving", "all")[changes % 4])
                self.settle()
                changes += 1
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        print(f"{counts[0]} echoes, {counts[1]} new connections, {changes} changes", end=" ", flush=True)
        self.assertFalse(bool(failures), f"{len(failures)} failures: {failures[:5]}")
        self.select("churn", "stay")
        self.settle()
        self.check_questions([(self.question(item, "cluster", sender, family), dict.fromkeys(one.pod for one in STAY))
                              for sender in (A, B, "node-1") for family in FAMILIES for _ in range(10)])

    def test_a_removed_endpoint_gets_no_new_connection(self):
        """services 23: and one that is there again does."""
        item = self.one_service("turns", "stay")
        for place, wanted in (("one", STAY[:1]), ("two", STAY[1:]), ("stay", STAY)):
            self.select("turns", place)
            self.settle()
            self.check_questions([(self.question(item, "cluster", A, family), dict.fromkeys(one.pod for one in wanted))
                                  for family in FAMILIES for _ in range(20)])

    # --- restarts ---

    def test_restarts(self):
        """services 28: of sluiced and of ovs-vswitchd.  Connections survive; while sluiced is away new ones are made."""
        item = self.one_service("steady", "stay")
        old = {(endpoint.name, sender, family): self.open_to(endpoint, sender, item, family)
               for endpoint in STAY for sender in (A, B) for family in FAMILIES}

        def check(what):
            broken = [name for name, sock in old.items() if not echoes(sock, os.urandom(3000), PATIENCE)]
            self.assertFalse(bool(broken), f"{what}: {broken}")
            self.check_questions([(self.question(item, "cluster", sender, family, protocol), dict.fromkeys(one.pod for one in STAY))
                                  for sender in (A, B, "node-1") for family in FAMILIES for protocol in ("tcp", "udp")])
        check("at first")
        for kill in ([], ["--kill"]):
            self.lab("stop", "node-1", "sluiced", *kill)
            check("sluiced is away")
            self.lab("start", "node-1", "sluiced")
            self.settle()
            check("sluiced is back")
        self.lab("restart", "node-1", "ovs-vswitchd")
        self.settle()
        check("ovs-vswitchd is back")

    # --- UDP and conntrack ---

    @contextlib.contextmanager
    def client(self, sender, where):
        """A UDP socket with one source port, on which conntrack could remember something."""
        with in_namespace(self.lab, sender, socket.socket, socket.AF_INET6 if ":" in where[0] else socket.AF_INET,
                          socket.SOCK_DGRAM) as sock:
            sock.connect(where)
            yield sock

    def who_answers(self, sock, seconds=1.0):
        """Name of who answers a datagram; None: nobody."""
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while sock.recv(65536):
                pass
        sock.settimeout(seconds)
        mark = os.urandom(6).hex().encode()
        try:
            sock.send(mark)
            while True:
                words = sock.recv(65536).split()
                if words and words[-1] == mark:
                    return words[0].decode()
        except (TimeoutError, ConnectionRefusedError):
            return None

    def eventually(self, sock, wanted):
        """The datapath of Open vSwitch may go by old flows for half a second, and sluiced removes entries a second later again."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.who_answers(sock) == wanted:
                return True
            time.sleep(0.05)
        return False

    def test_udp_follows_endpoints(self):
        """services 24: one socket's datagrams go to the endpoint that is there now, by ClusterIP and NodePort, from pods, the host
        network and outside."""
        for door, sender in (("cluster", A), ("node-1", "outside"), ("cluster", HOST), ("node-2", A), ("node-1", "node-1")):
            for family in FAMILIES:
                with self.subTest(door=door, sender=sender, family=family):
                    item = self.one_service("dns", "one", type="NodePort")
                    with self.client(sender, self.door(item, door, family, "udp")) as sock:
                        self.assertTrue(self.eventually(sock, STAY[0].pod))
                        for place, wanted in (("two", STAY[1].pod), ("one", STAY[0].pod)):
                            self.select("dns", place)
                            self.settle()
                            self.assertTrue(self.eventually(sock, wanted), f"not {wanted}")

    def test_udp_before_the_first_endpoint(self):
        """services 24: who asked before there was an endpoint is answered when there is one."""
        for door, sender in (("cluster", A), ("node-1", "outside"), ("cluster", HOST), ("cluster", B)):
            for family in FAMILIES:
                with self.subTest(door=door, sender=sender, family=family):
                    item = self.one_service("dns", "nobody", type="NodePort")
                    with self.client(sender, self.door(item, door, family, "udp")) as sock:
                        self.assertTrue(self.eventually(sock, None))
                        for _ in range(3):
                            self.assertIsNone(self.who_answers(sock, 0.2))
                        self.select("dns", "one")
                        self.settle()
                        self.assertTrue(self.eventually(sock, STAY[0].pod))

    def test_udp_before_the_service(self):
        """services 24: a node port that nobody had is asked, and then somebody has it."""
        for sender in ("outside", "node-1", "node-2", B):
            for family in FAMILIES:
                with self.subTest(sender=sender, family=family), \
                        self.client(sender, (self.addresses["node-1"][family], 30777)) as sock:
                    for _ in range(3):
                        self.assertIsNone(self.who_answers(sock, 0.2))
                    self.one_service("dns", "one", type="NodePort", ports=[
                        {"port": 53, "targetPort": "dns", "protocol": "UDP", "nodePort": 30777}])
                    self.assertTrue(self.eventually(sock, STAY[0].pod))
                    self.remove_services()

    def test_udp_before_the_cluster_address(self):
        """services 24: an address that was nobody's is asked at a port that conntrack sees, and then it is a Service's."""
        self.put(service("seen", "one", ports=[{"port": 53, "targetPort": "dns", "protocol": "UDP"}]))
        for sender in (A, HOST):
            for family, address in ((4, "10.96.9.77"), (6, "fd00:96::977")):
                with self.subTest(sender=sender, family=family), self.client(sender, (address, 53)) as sock:
                    for _ in range(3):
                        self.assertIsNone(self.who_answers(sock, 0.2))
                    item = service("late", "one", ipFamilyPolicy="SingleStack", clusterIP=address, ipFamilies=[f"IPv{family}"], ports=[
                        {"port": 53, "targetPort": "dns", "protocol": "UDP"}])
                    self.put(item)
                    self.settle()
                    self.assertTrue(self.eventually(sock, STAY[0].pod))
                    self.take(item)
                    self.settle()

    def remembered(self, endpoints, but=None):
        """(client's address, its port) of the UDP connections to Services that node-1's switch has, by endpoint.  Not those to the
        Service 'but'."""
        ways = (*but["spec"]["clusterIPs"], str(self.door(but, "node-1", 4, "udp")[1])) if but else ()
        addresses = {self.addresses[one.pod][family]: one for one in endpoints for family in FAMILIES}
        found = {one: set() for one in endpoints}
        for line in self.lab.exec("node-1", "ovs-appctl", "dpctl/dump-conntrack", "netdev@ovs-netdev", "zone=1").splitlines():
            match = re.match(r"udp,orig=\(src=(.*?),dst=(.*?),sport=(\d+),dport=(\d+)\),reply=\(src=(.*?),", line)
            if match and match[5] in addresses and match[2] not in (match[5], *ways) and match[4] not in ways:
                found[addresses[match[5]]].add((match[1], int(match[3])))
        return found

    def clients_of(self, item, endpoints, ways):
        """For each way, family and endpoint a socket that has got to the endpoint."""
        found = {}
        for door, sender in ways:
            for family in FAMILIES:
                for _ in range(100):
                    sock = self.enter(self.client(sender, self.door(item, door, family, "udp")))
                    by = self.who_answers(sock)         # Nobody, if the datapath is behind: see eventually().
                    if by:
                        found.setdefault((door, sender, family, by), sock)
                    if all((door, sender, family, one.pod) in found for one in endpoints):
                        break
                else:
                    self.fail(f"100 clients of {door} by {sender} do not get to {endpoints}: {list(found)}")
        return found

    def ask_all(self, socks):
        """Each gets its answer from where it got it first, so conntrack will remember it for another 30 s."""
        self.assertEqual({name: self.who_answers(sock) for name, sock in socks.items()}, {name: name[3] for name in socks})

    def enter(self, context):
        sock = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return sock

    def host_connections(self, item):
        """What node-1's own conntrack knows of connections to the Service's UDP node port, and sends to br-int."""
        _, port = self.door(item, "node-1", 4, "udp")
        return [line for family in ("ipv4", "ipv6") for line in self.lab.exec(
            "node-1", "conntrack", "-L", "-f", family, "-p", "udp", "--dport", str(port)).splitlines()
                if re.search(r"src=(169\.254\.192\.3|fd53:4c00:0:1::3) ", line)]

    def forgotten(self, endpoints):
        """Until conntrack has forgotten all that led to them."""
        deadline = time.monotonic() + PATIENCE
        while any(self.remembered(endpoints).values()):
            self.assertLess(time.monotonic(), deadline, f"still there: {self.remembered(endpoints)}")
            time.sleep(0.1)

    def check_forgotten(self, gone, stays, before):
        """Conntrack forgets all that led to 'gone', and of what leads to 'stays' nothing, though nobody sends."""
        self.forgotten(gone)
        time.sleep(1.5)                 # It is looked through a second time.
        after = self.remembered(stays)
        for one in stays:
            self.assertTrue(before[one])
            self.assertFalse(bool(before[one] - after[one]), f"{one} has lost {before[one] - after[one]}")

    WAYS = (("cluster", A), ("node-1", "outside"), ("cluster", HOST))

    def test_udp_while_sluiced_is_away(self):
        """services 24, 28: an endpoint, and a Service, that go while sluiced is not there.  When it is back, connections to them are
        forgotten; those to the endpoint that stays are not."""
        self.forgotten(PLACES["all"])   # What other tests did.
        item, other = self.services(*(service(name, "stay", type="NodePort") for name in ("dns", "other")))
        socks = self.clients_of(item, STAY, self.WAYS)
        lost = self.clients_of(other, STAY[:1], self.WAYS[:2])
        for kill in ([], ["--kill"]):
            self.lab("stop", "node-1", "sluiced", *kill)
            self.select("dns", "two")
            gone = other
            self.take(other)
            self.ask_all(socks)         # Nobody has told the switch.
            before = self.remembered(STAY, but=other)
            self.assertTrue(self.host_connections(gone))
            self.lab("start", "node-1", "sluiced")
            self.settle()
            self.check_forgotten(STAY[:1], STAY[1:], before)
            for name, sock in socks.items():
                self.assertTrue(self.eventually(sock, STAY[1].pod), f"{name}")
            for sock in lost.values():
                self.assertIsNone(self.who_answers(sock, 0.3))
            self.assertEqual(self.host_connections(gone), [])
            self.assertTrue(self.host_connections(item))
            self.assertEqual(json.loads(self.lab.exec("node-1", "sluicectl", "status", "--json"))["problems"], [])
            self.put(other)
            self.select("dns", "stay")
            self.settle()
            socks = self.clients_of(item, STAY, self.WAYS)
            lost = self.clients_of(other, STAY[:1], self.WAYS[:2])

    def test_many_endpoints_go_at_once(self):
        """services 23, 24: more than are removed one by one."""
        self.forgotten(PLACES["all"])   # What other tests did.
        item = self.one_service("dns", "all", type="NodePort")
        socks = self.clients_of(item, PLACES["all"], self.WAYS)
        self.ask_all(socks)
        self.select("dns", "two")
        before = self.remembered(PLACES["all"])
        self.settle()
        self.check_forgotten([STAY[0], *MOVE], STAY[1:], before)
        for name, sock in socks.items():
            self.assertTrue(self.eventually(sock, STAY[1].pod), f"{name}")

    def test_udp_made_anew(self):
        """services 24, 28: what is removed a second later again are connections to the Service that went, not to the one that came."""
        self.forgotten(PLACES["all"])
        for turn in range(2):
            item = self.one_service("again", "one", clusterIP="10.96.9.8", type="NodePort", ports=[
                {"port": 53, "targetPort": "dns", "protocol": "UDP", "nodePort": 30998}])
            self.clients_of(item, STAY[:1], self.WAYS)
            if turn == 0:
                self.remove_services()
        self.check_forgotten([], STAY[:1], self.remembered(STAY[:1]))

    # --- packets that belong to no connection ---

    def test_invalid_packets(self):
        """services 25: what the server sends out of the window does not reach the client by the server's own address."""
        item = self.one_service("strict", "stay")
        for endpoint in STAY:
            sock = self.open_to(endpoint, A, item, 4)
            client, port = sock.getsockname()
            server = self.addresses[endpoint.pod][4]
            tap = Tap(self.lab, A)
            try:
                mark = os.urandom(8)
                # The last one is of no connection: it shows that such packets do arrive.
                raw_ip(self.lab, endpoint.pod, [*(segment(server, client, 80, port, 0x10 | flags, number, mark)
                                                  for flags in (0, 4, 8) for number in (1, 0x7fffffff, 0xfffffff0)),
                                                segment(server, client, 9999, port, 0x10, 1, mark)])
                self.assertTrue(echoes(sock))
                time.sleep(0.3)         # What is under way arrives.
                came = [frame for _, frame in tap.frames() if socket.inet_aton(server) == frame[26:30]]
                wrong = [frame for frame in came if frame[34:36] == struct.pack("!H", 80)]
                self.assertTrue(came)
                self.assertFalse(bool(wrong), f"{len(wrong)} frames by {server}: {wrong and wrong[0].hex()}")
            finally:
                tap.close()

    def test_unknown_segments(self):
        """services 25: in the middle of a connection that nobody knows; its answer comes by the Service's address or not at all."""
        item = self.one_service("strict", "stay")
        address, port = self.door(item, "cluster", 4)
        client = self.addresses[A][4]
        tap = Tap(self.lab, A)
        try:
            raw_ip(self.lab, A, [segment(client, address, 41000 + number, port, 0x10, 12345, b"unknown") for number in range(20)])
            self.assertTrue(echoes(self.open(A, item, 4)[0]))
            time.sleep(0.3)
            endpoints = {socket.inet_aton(self.addresses[one.pod][4]) for one in STAY}
            wrong = [frame for _, frame in tap.frames() if frame[26:30] in endpoints]
            self.assertFalse(bool(wrong), f"{len(wrong)} frames by the endpoints' addresses: {wrong and wrong[0].hex()}")
        finally:
            tap.close()

    # --- terminating ---

    def test_terminating(self):
        """services 26: a pod that ends still serves when nobody else does, may still ask, and is forgotten when it is gone."""
        item = self.one_service("ending", "slow", type="NodePort")
        self.check_questions([(self.question(item, door, sender, family), {SLOW.pod: None})
                              for door in ("cluster", "node-1", "node-2") for sender in (A, B, "node-1", "outside") for family in FAMILIES])
        other = self.services(item, service("other", "stay"))[1]
        self.check_questions([(self.question(other, "cluster", SLOW.pod, family), dict.fromkeys(one.pod for one in STAY))
                              for family in FAMILIES])
        # One that is ready comes.
        self.change("Pod", STAY[1].pod, lambda pod: pod["metadata"]["labels"].update({"slow": "y"}))
        self.addCleanup(self.change, "Pod", STAY[1].pod, lambda pod: pod["metadata"]["labels"].pop("slow"))
        self.reconcile()
        self.settle()
        self.check_questions([(self.question(item, "cluster", sender, family), {STAY[1].pod: None})
                              for sender in (A, B) for family in FAMILIES for _ in range(8)])

    def test_becoming_ready(self):
        """services 9, 24: refused until the only endpoint is ready."""
        item = self.one_service("late", "late")
        probe = self.question(item, "cluster", A, 4)
        self.check_questions([(probe, "refused")])
        late = LATE.made("late")
        late["metadata"]["annotations"] = {}
        self.lab.apply(late)
        self.addCleanup(self.lab.apply, LATE.made("late"))
        self.check_questions([(probe, {LATE.pod: None})])

    # --- Services come and go ---

    def test_made_anew(self):
        """services 28: with the same address and other endpoints; the connections of before do not matter."""
        for place, members in (("one", STAY[:1]), ("two", STAY[1:]), ("one", STAY[:1])):
            item = self.one_service("again", place, clusterIP="10.96.9.9", type="NodePort", ipFamilyPolicy="SingleStack",
                                    ports=[{"name": "web", "port": 80, "targetPort": "web", "nodePort": 30999},
                                           {"name": "dns", "port": 80, "targetPort": "dns", "protocol": "UDP", "nodePort": 30999}])
            self.check_questions([({**self.question(item, door, sender, 4, protocol), "sport": OWN_PORT},
                                   {members[0].pod: None}) for door, sender in (("cluster", A), ("node-1", "outside"))
                                  for protocol in ("tcp", "udp")])
            self.remove_services()
            answers = self.lab.probe(*({**self.question(item, door, sender, 4), "timeout": "400ms"}
                                       for door, sender in (("cluster", A), ("node-1", "outside"), ("node-1", "node-1"))))
            self.assertNotIn("connected", [answer["result"] for answer in answers])

    def test_types_and_ports_change(self):
        """services 15: each type after each other, ports renumbered; a node port ends with its Service."""
        both = dict.fromkeys(one.pod for one in STAY)
        for kind, number in (("ClusterIP", 80), ("NodePort", 81), ("LoadBalancer", 80), ("ClusterIP", 82), ("NodePort", 80)):
            item = self.one_service("turning", "stay", type=kind, ports=[{"name": "web", "port": number, "targetPort": "web"}])
            self.check_questions([(self.question(item, "cluster", A, family), both) for family in FAMILIES])
            if kind != "ClusterIP":
                port = item["spec"]["ports"][0]["nodePort"]
                self.check_questions([(self.question(item, "node-2", "outside", family), both) for family in FAMILIES])
            else:
                for family in FAMILIES:
                    answer = self.lab.probe({"from": "outside", "to": "node-2", "family": family, "port": 30000, "protocol": "tcp"})[0]
                    self.assertEqual(answer["result"], "refused")
        self.services()
        for family in FAMILIES:
            answer = self.lab.probe({"from": "outside", "to": "node-2", "family": family, "port": port, "protocol": "tcp"})[0]
            self.assertEqual(answer["result"], "refused")

    def test_second_family_comes_and_goes(self):
        """services 22: the first one works all the time."""
        both = dict.fromkeys(one.pod for one in STAY)
        for policy in ("SingleStack", "PreferDualStack", "SingleStack", "RequireDualStack"):
            before = self.store.get("Service", "default", "stacks")
            item = self.one_service("stacks", "stay", ipFamilyPolicy=policy)
            families = [4] if policy == "SingleStack" else FAMILIES
            self.check_questions([(self.question(item, "cluster", sender, family), both) for sender in (A, "node-1") for family in families])
            if before and len(before["spec"]["clusterIPs"]) > len(families):
                answer = self.lab.probe({**self.question(before, "cluster", A, 6), "timeout": "400ms"})[0]
                self.assertNotEqual(answer["result"], "connected")


def segment(src, dst, sport, dport, flags, number, data):
    """An IPv4 packet with a TCP segment."""
    return frames.ip(src, dst, 6, struct.pack("!HHIIBBHHH", sport, dport, number, 1, 0x50, flags, 1024, 0, 0) + data)


if __name__ == "__main__":
    servicelab.main()
