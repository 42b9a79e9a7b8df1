#!/usr/bin/python3 -B
"""domainNames of ClusterNetworkPolicies with packets: clusternetworkpolicy 5.

The resolver is the test's own, in outside: it says of any name what it is told to say.  What is asked for is allowed from the first
packet on; what was never in an answer is not; a restart of sluiced forgets nothing."""
# time limit: 300 s
import contextlib
import ipaddress
import os
import re
import select
import socket
import struct
import threading
import time

import labtest
from labkit import netns
from labtest import LabCase, pod

# What was denied a moment ago may be denied for a moment more: that long OVS takes to forget a megaflow.
AGAIN = {"tries": 16, "seconds": 0.5}
A, CNAME, AAAA = 1, 5, 28


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def record(owner, kind, data, ttl=5):
    return wire(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def name_in(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 5


class Resolver:
    """Answers in the names' own way: {name: address, or another name}."""

    def __init__(self, lab, where, port=53):
        self.lab, self.where, self.names, self.asked = lab, where, {}, 0
        self.sockets = [netns.call(lab.namespace(where), self.open, family, port) for family in (socket.AF_INET, socket.AF_INET6)]
        self.stop_read, self.stop_write = os.pipe()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    @staticmethod
    def open(family, port):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
        return sock

    def run(self):
        while True:
            ready, _, _ = select.select([*self.sockets, self.stop_read], [], [])
            if self.stop_read in ready:
                return
            for sock in ready:
                query, who = sock.recvfrom(2048)
                self.asked += 1
                with contextlib.suppress(OSError):
                    sock.sendto(self.answer(query), who)

    def answer(self, query):
        name, end = name_in(query)
        kind = struct.unpack("!H", query[end - 4:end - 2])[0]
        records, at = [], name.lower()
        while isinstance(self.names.get(at), str) and not self.is_address(self.names[at]):
            records.append(record(at, CNAME, wire(self.names[at])))
            at = self.names[at]
        for address in [self.names[at]] if at in self.names else []:
            packed = ipaddress.ip_address(address).packed
            if kind == (A if len(packed) == 4 else AAAA):
                records.append(record(at, kind, packed))
        return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + query[12:end] + b"".join(records)

    @staticmethod
    def is_address(text):
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(text))
        return False

    def close(self):
        os.write(self.stop_write, b"x")
        self.thread.join()
        for sock in self.sockets:
            sock.close()
        os.close(self.stop_read)
        os.close(self.stop_write)


class Domains(LabCase):
    PODS = [pod("client", "node-1", labels={"app": "client"}), pod("free", "node-1", ("TCP:80",), labels={"app": "free"}),
            pod("near", "node-1", labels={"app": "server"}), pod("far", "node-2", labels={"app": "server"})]
    ALLOWED_LOG = [labtest.SLUICED_WAS_KILLED]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.resolver = Resolver(cls.lab, "outside")

    @classmethod
    def tearDownClass(cls):
        cls.resolver.close()
        super().tearDownClass()

    def setUp(self):
        self.resolver.names.clear()
        self.addCleanup(self.lab, "delete", "ClusterNetworkPolicy", "domains")

    def policy(self, *names):
        resolvers = [f"{address}/{32 if family == 4 else 128}" for family, address in self.lab.ips("outside").items()]
        self.lab.apply({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "domains"},
            "spec": {"tier": "Admin", "priority": 10,
                     "subject": {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}}},
                     "egress": [{"action": "Accept", "to": [{"networks": resolvers}],
                                 "protocols": [{"udp": {"destinationPort": {"number": 53}}}]},
                                {"action": "Accept", "to": [{"domainNames": list(names)}]},
                                {"action": "Deny", "to": [{"networks": ["0.0.0.0/0", "::/0"]}]}]}})

    def socket_of(self, who, family, kind):
        return netns.call(self.lab.namespace(who), socket.socket, socket.AF_INET if family == 4 else socket.AF_INET6, kind)

    def ask(self, name, family=4, who="default/client", by=4):
        """True if there was an answer in time."""
        with self.socket_of(who, by, socket.SOCK_DGRAM) as sock:
            sock.settimeout(4)
            query = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + wire(name) + struct.pack("!HH", A if family == 4 else AAAA, 1)
            sock.sendto(query, (self.lab.ips("outside")[by], 53))
            answer = sock.recv(2048)
        self.assertEqual(answer[:2], query[:2])
        return answer

    def reaches(self, to, family=4, tries=1, seconds=4):
        """True if a datagram is answered: the first, which nobody repeats, or one of a few."""
        with self.socket_of("default/client", family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            for _ in range(tries):
                sock.sendto(b"x", (self.lab.ips(to)[family], 53))
                with contextlib.suppress(TimeoutError):
                    return bool(sock.recv(2048))
        return False

    def denied(self, to, family=4):
        return not self.reaches(to, family, seconds=0.5)

    # --- tests ---

    def test_first_packet(self):
        """Denied before the answer, allowed with it, both families, here and on another node; other addresses stay denied."""
        self.policy("web.example.com", "*.far.example.com")
        near, far = self.lab.ips("default/near"), self.lab.ips("default/far")
        for family in (4, 6):
            self.assertTrue(self.denied("default/far", family))
            self.resolver.names.update({"web.example.com": near[family], "a.b.far.example.com": far[family]})
            self.ask("WEB.example.com", family, by=family)
            self.assertTrue(self.reaches("default/near", family), f"IPv{family}: the first packet did not pass")
            self.assertTrue(self.denied("default/far", family))
            self.ask("a.b.far.example.com", family, by=family)
            self.assertTrue(self.reaches("default/far", family, **AGAIN))
            self.assertTrue(self.reaches("default/near", family))

    def test_what_is_not_meant(self):
        """Names that no rule has are answered and change nothing; so does what nobody asked for, or another pod was told."""
        self.policy("example.com", "*.example.org")
        near = self.lab.ips("default/near")[4]
        self.resolver.names.update({"www.example.com": near, "example.org": near, "notexample.com": near, "free.example.org": near})
        for name in ("www.example.com", "example.org", "notexample.com", "nowhere.example.com"):
            self.assertTrue(self.ask(name))
            self.assertTrue(self.denied("default/near"), name)
        self.ask("free.example.org", who="default/free")        # No rule of that pod: nobody listens.
        self.assertTrue(self.denied("default/near"))

        client = self.socket_of("default/client", 4, socket.SOCK_DGRAM)
        with client:
            client.bind(("", 4000))
            self.resolver.names["example.com"] = near
            forged = self.resolver.answer(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + wire("example.com") + struct.pack("!HH", A, 1))
            with self.socket_of("default/free", 4, socket.SOCK_DGRAM) as forger:
                netns.call(self.lab.namespace("default/free"), forger.bind, ("", 53))
                forger.sendto(forged, (self.lab.ips("default/client")[4], 4000))
            client.settimeout(4)
            self.assertEqual(client.recv(2048), forged)         # Ingress is not restricted, so it arrives.
        self.assertTrue(self.denied("default/near"))

    def test_chain_and_garbage(self):
        """CNAMEs lead to addresses of the name that was asked for; what is no DNS message passes unchanged."""
        self.policy("*.example.com")
        self.resolver.names.update({"www.example.com": "edge.cdn.example.net", "edge.cdn.example.net": self.lab.ips("default/far")[4]})
        self.ask("www.example.com")
        self.assertTrue(self.reaches("default/far"))
        with self.socket_of("default/client", 4, socket.SOCK_DGRAM) as sock:
            sock.settimeout(4)
            original, self.resolver.answer = self.resolver.answer, lambda query: query[::-1] * 3
            try:
                sock.sendto(b"no question at all", (self.lab.ips("outside")[4], 53))
                self.assertEqual(sock.recv(2048), b"no question at all"[::-1] * 3)
            finally:
                self.resolver.answer = original

    def test_restart(self):
        """Restarts of sluiced cut no connection to a learned address, and need no new answer."""
        self.policy("web.example.com")
        self.resolver.names["web.example.com"] = self.lab.ips("default/far")[4]
        self.ask("web.example.com")
        with self.socket_of("default/client", 4, socket.SOCK_STREAM) as connection:
            connection.settimeout(8)
            connection.connect((self.lab.ips("default/far")[4], 80))
            greeting = connection.recv(1024)
            self.assertTrue(greeting)
            before = self.lab.flows("node-1")
            for how in ([], ["--kill"]):
                self.lab("restart", "node-1", "sluiced", *how)
                self.lab("wait")
                self.assertEqual(self.lab.flows("node-1"), before)
                connection.send(b"still there\n")
                self.assertIn(b"still there", connection.recv(1024))
            self.assertRegex(self.lab.exec("node-1", "sluicectl", "domains"),
                             rf"(?m)^web\.example\.com +{re.escape(self.lab.ips('default/far')[4])} +\d+ s at least$")
            asked = self.resolver.asked
            self.assertTrue(self.reaches("default/far"))
            self.assertEqual(self.resolver.asked, asked)

    def learned(self, address):
        """Whether flows of node-1 know an address as that of a name."""
        return any(f"_dst={address} " in line.replace(",", " ") and "table=32," in line for line in self.lab.flows("node-1"))

    def await_forgotten(self, address):
        """Without sending to it, for that keeps it."""
        self.lab.await_output("node-1", ["stdbuf", "-oL", "ovs-ofctl", "-O", "OpenFlow15", "monitor", "br-int", "watch:!initial"],
                              lambda: not self.learned(address), 30)

    def configure(self, text):
        """More of sluiced's configuration on node-1, until the end of the test."""
        path = self.lab.node("node-1").path("sluiced.yaml")
        with open(path) as file:
            before = file.read()

        def write(content):
            with open(path, "w") as file:
                file.write(content)
            self.lab("restart", "node-1", "sluiced")
            self.lab("wait")
        self.addCleanup(write, before)
        write(before + text)

    def test_time(self):
        """An address that is used stays beyond its TTL; one that is not goes."""
        self.configure("domain-idle: 4s\n")
        self.policy("used.example.com", "idle.example.com")
        far = self.lab.ips("default/far")
        self.resolver.names.update({"used.example.com": far[4], "idle.example.com": far[6]})
        self.ask("used.example.com")
        self.ask("idle.example.com", 6)
        self.assertTrue(self.learned(far[4]) and self.learned(far[6]))
        begin = time.monotonic()
        while time.monotonic() < begin + 12:
            self.assertTrue(self.reaches("default/far"))
            time.sleep(0.5)
        self.await_forgotten(far[6])
        self.assertTrue(self.denied("default/far", 6))
        self.assertTrue(self.learned(far[4]))
        self.await_forgotten(far[4])
        self.assertTrue(self.denied("default/far"))

    def test_rule_goes(self):
        """Without the rule the address counts no more; DNS goes its usual way."""
        self.policy("web.example.com")
        self.resolver.names["web.example.com"] = self.lab.ips("default/far")[4]
        self.ask("web.example.com")
        self.assertTrue(self.reaches("default/far"))
        self.policy("other.example.com")
        self.assertTrue(any(self.denied("default/far") for _ in range(8)))
        self.policy("web.example.com")                          # It has not been that long.
        self.assertTrue(self.reaches("default/far", **AGAIN))


main = labtest.main
if __name__ == "__main__":
    main()
