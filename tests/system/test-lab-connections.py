#!/usr/bin/python3 -B
"""Connections of pods that policies select: replies, errors, fragments, pick-up in mid-stream, the node's own traffic, forged tunnels.

Covers networkpolicy 24, 25, 26, 30, 31, 32, 33 and issue 5's "conntrack only where a policy concerns a pod"."""
# time limit: 600 s
import contextlib
import json
import os
import re
import struct
import subprocess

import frames
import labtest
from labtest import LabCase, Sniffer, pod, raw_socket

SERVER, CLIENT, FAR, OTHER = "default/server", "default/client", "default/far", "default/other"
UDP_PORT = 5300
SLOW = min(4, float(os.environ.get("SLUICE_TEST_SLOWNESS", 1)))
FAMILIES = (4, 6)

# Asks with datagrams of so many bytes, and prints the sizes of what comes back.
ASK_UDP = """
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(float(sys.argv[3]))
for size in sys.argv[4:]:
    sock.sendto(bytes(int(size)), (sys.argv[1], int(sys.argv[2])))
    try:
        print(len(sock.recv(65536)))
    except OSError as error:
        print(type(error).__name__)
"""
# Echoes datagrams on both families; says when it is there.
ECHO_UDP = """
import select, socket, sys
socks = []
for family in (socket.AF_INET, socket.AF_INET6):
    for port in map(int, sys.argv[1:]):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", port))
        socks.append(sock)
print("ready", flush=True)
while True:
    for sock in select.select(socks, [], [])[0]:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)
"""
# A TCP connection to the responder's echo that says a line for each word it is told on stdin, and what comes back in time.
TALK_TCP = """
import socket, sys
sock = socket.create_connection((sys.argv[1], 80), 5, ("", int(sys.argv[2])))
sock.settimeout(10)
stream = sock.makefile("rb")
stream.readline()
print("ready", flush=True)
for line in sys.stdin:
    word, timeout = line.split()
    sock.settimeout(float(timeout))
    sock.sendall(word.encode() + b"\\n")
    try:
        print(stream.readline().decode().strip(), flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


def policy(name, labels, ingress=None, egress=None):
    spec = {"podSelector": {"matchLabels": labels}, "policyTypes": []}
    for kind, rules in (("Ingress", ingress), ("Egress", egress)):
        if rules is not None:
            spec["policyTypes"].append(kind)
            spec[kind.lower()] = rules
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "default"},
            "spec": spec}


def peer(app):
    return [{"podSelector": {"matchLabels": {"app": app}}}]


PORTS = [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": UDP_PORT}, {"protocol": "UDP", "port": 9}]


class Connections(LabCase):
    DATAPATH = "netdev@ovs-netdev"
    ALLOWED_LOG = [("ovs-vswitchd", "failed to enumerate system datapaths", "dpctl looks for every kind")]
    PODS = [pod("server", "node-1", labels={"app": "server"}), pod("client", "node-1", labels={"app": "client"}),
            pod("other", "node-1", labels={"app": "other"}), pod("far", "node-2", labels={"app": "far"})]

    def policies(self, *objects):
        """These are all there are, until the test ends."""
        self.lab.apply(*objects)
        for item in objects:
            self.addCleanup(self.lab, "delete", "networkpolicy", f"default/{item['metadata']['name']}", check=False)

    def allow_both_ends(self):
        """The client may ask the server and far, and the server the client's questions; nothing else goes out of or into either."""
        self.policies(policy("client", {"app": "client"}, [], [{"to": peer("server") + peer("far"), "ports": PORTS}]),
                      policy("server", {"app": "server"}, [{"from": peer("client") + peer("far"), "ports": PORTS}], []))

    def ask(self, sender, to, family, *sizes, port=UDP_PORT, timeout=0.7):
        return self.lab.exec(sender, "python3", "-c", ASK_UDP, self.lab.ips(to)[family], str(port), str(timeout * SLOW),
                             *map(str, sizes)).split()

    @contextlib.contextmanager
    def running(self, where, *argv, stdin=False):
        process = self.lab.start(where, *argv) if not stdin else self.start_with_stdin(where, *argv)
        try:
            self.assertEqual(process.stdout.readline().strip(), "ready")
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            if process.stdin:
                process.stdin.close()

    def start_with_stdin(self, where, *argv):
        return subprocess.Popen([labtest.LAB, "exec", "--name", self.lab.name, where, "--", *argv], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)

    @staticmethod
    def say(process, word, timeout=10):
        process.stdin.write(f"{word} {timeout}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def tracked(self, node="node-1"):
        """In Sluice's zone; the kernel's table has the host's own connections too."""
        lines = self.lab.exec(node, "ovs-appctl", "dpctl/dump-conntrack", self.DATAPATH).splitlines()
        return [line for line in lines if "zone=1" in line]

    def flush(self, node="node-1"):
        self.lab.exec(node, "ovs-appctl", "dpctl/flush-conntrack")

    def result(self, sender, to, **more):
        return self.lab.probe({"from": sender, "to": to, "timeout": f"{SLOW:.1f}s", **more})[0]["result"]

    # --- the cost ---

    def test_no_conntrack_where_no_policy_concerns_a_pod(self):
        self.allow_both_ends()
        self.flush()
        for family in FAMILIES:
            self.assertEqual(self.result("default/other", FAR, protocol="tcp", port=80, family=family), "connected")
            self.assertEqual(self.result("node-1", "default/other", protocol="tcp", port=80, family=family), "connected")
        # A connection that an earlier test's policy cut may still try to end.
        others = [f"={address}," for address in self.lab.ips(OTHER).values()]
        self.assertEqual([line for line in self.tracked() if any(address in line for address in others)], [])
        self.assertEqual(self.result(CLIENT, SERVER, protocol="udp", port=9), "refused")
        asked = [line for line in self.tracked() if line.startswith("udp")]
        self.assertEqual(len(asked), 1, asked)
        self.assertRegex(asked[0], r"orig=\(src=10\.244\.1\.\d+,dst=10\.244\.1\.\d+,sport=\d+,dport=9\).*zone=1")

    def test_one_recirculation(self):
        """Between two pods that are both judged: ct() once, for both directions of policy; with the kernel's datapath a new connection
        goes through another one, which may give it another source port."""
        self.allow_both_ends()
        self.lab.exec("node-1", "ovs-appctl", "revalidator/purge")
        for family in FAMILIES:
            self.assertEqual(self.result(CLIENT, SERVER, protocol="tcp", port=80, family=family), "connected")
        flows = [flow for flow in self.lab.exec("node-1", "ovs-appctl", "dpctl/dump-flows", self.DATAPATH).splitlines() if "proto=6" in flow]
        self.assertTrue([flow for flow in flows if re.search(r"recirc_id\(0x[1-9a-f]", flow)], flows)
        for flow in flows:
            if re.search(r"recirc_id\(0x[1-9a-f]", flow) and "nat(src)" not in flow:
                self.assertNotIn("recirc(", flow.split("actions:")[1])

    # --- replies, errors ---

    def test_replies_and_errors(self):
        """networkpolicy 24: without a rule for them."""
        self.allow_both_ends()
        for family in FAMILIES:
            for to in (SERVER, FAR):
                self.assertEqual(self.result(CLIENT, to, protocol="tcp", port=80, family=family), "connected")
                self.assertEqual(self.result(CLIENT, to, protocol="tcp", port=81, family=family), "dropped")
                # Nobody listens: the port unreachable comes back.
                self.assertEqual(self.result(CLIENT, to, protocol="udp", port=9, family=family), "refused")
                self.assertEqual(self.result(CLIENT, to, protocol="udp", port=10, family=family), "dropped")

    def test_errors_of_the_routers(self):
        """Time exceeded of this node's br-int and the other's, to a pod that nobody may reach."""
        self.allow_both_ends()
        for family in FAMILIES:
            for ttl, router in ((1, "node-1"), (2, "node-2")):
                far = self.lab.ips(FAR)[family]
                code = ("import socket, sys; far, ttl, v6 = sys.argv[1], int(sys.argv[2]), ':' in sys.argv[1]\n"
                        "s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)\n"
                        "s.setsockopt(41 if v6 else 0, 16 if v6 else 2, ttl); s.setsockopt(41 if v6 else 0, 25 if v6 else 11, 1)\n"
                        f"s.settimeout(3); s.connect((far, {UDP_PORT})); s.send(b'x')\n"
                        "try: s.recv(9)\nexcept OSError as e: print(e)\n")
                out = self.lab.exec(CLIENT, "python3", "-c", code, far, str(ttl))
                self.assertIn("No route to host" if family == 4 else "", out, f"IPv{family} ttl {ttl}")
                self.assertNotIn("timed out", out, f"IPv{family} ttl {ttl} of {router}")

    def test_echo(self):
        """networkpolicy 31: echo passes by rules without ports only."""
        self.allow_both_ends()
        for family in FAMILIES:
            self.assertEqual(self.result(CLIENT, SERVER, protocol="icmp", family=family), "dropped")
        self.policies(policy("echo-out", {"app": "client"}, egress=[{"to": peer("server")}]),
                      policy("echo-in", {"app": "server"}, [{"from": peer("client")}]))
        for family in FAMILIES:
            self.assertEqual(self.result(CLIENT, SERVER, protocol="icmp", family=family), "connected")
            self.assertEqual(self.result(CLIENT, FAR, protocol="icmp", family=family), "dropped")
            self.assertEqual(self.result(SERVER, CLIENT, protocol="icmp", family=family), "dropped")

    # --- fragments ---

    def test_fragments(self):
        """networkpolicy 32: a datagram in fragments passes as a whole or not at all, on one node and between two."""
        self.allow_both_ends()
        for to in (SERVER, FAR):
            with self.running(to, "python3", "-c", ECHO_UDP, str(UDP_PORT), str(UDP_PORT + 1)):
                for family in FAMILIES:
                    self.assertEqual(self.ask(CLIENT, to, family, 4000, 10, 4000, timeout=3), ["4000", "10", "4000"], f"{to} {family}")
                    sniffer = Sniffer(self.lab, to, "eth0")
                    self.addCleanup(sniffer.close)
                    self.assertEqual(self.ask(CLIENT, to, family, 4000, port=UDP_PORT + 1), ["TimeoutError"])
                    # What came until an allowed one: no part of the denied one, which is zeros.
                    mark = bytes.fromhex("5a" * 40)
                    self.lab.exec(CLIENT, "python3", "-c", "import socket, sys; s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] "
                                  "else socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'Z' * 40, (sys.argv[1], int(sys.argv[2])))",
                                  self.lab.ips(to)[family], str(UDP_PORT))
                    came = [frame for _, frame in sniffer.until(mark) if bytes(500) in frame]
                    self.assertEqual(came, [], f"{to} {family}")

    def test_large_echo(self):
        self.policies(policy("echo-out", {"app": "client"}, egress=[{"to": peer("server")}]),
                      policy("echo-in", {"app": "server"}, [{"from": peer("client")}]))
        for family in FAMILIES:
            self.lab.exec(CLIENT, "ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "3", "-s", "4000", self.lab.ips(SERVER)[family])
            with self.assertRaises(AssertionError):
                self.lab.exec(CLIENT, "ping", "-n", "-q", "-c", "1", "-W", "1", "-s", "4000", self.lab.ips(FAR)[family])

    # --- connections that live ---

    def test_live_connections(self):
        """networkpolicy 25: a new deny cuts, and what stays allowed lives on, also when the table of connections is lost."""
        for family in FAMILIES:
            argv = ("python3", "-c", TALK_TCP, self.lab.ips(SERVER)[family], "0")
            with self.running(CLIENT, *argv, stdin=True) as talk:
                self.assertEqual(self.say(talk, "before"), "before")
                self.allow_both_ends()
                self.assertEqual(self.say(talk, "picked-up"), "picked-up")
                self.flush()
                self.assertEqual(self.say(talk, "again"), "again")
                self.policies(policy("server", {"app": "server"}, [], []))
                self.assertEqual(self.say(talk, "cut", 1), "TimeoutError")
            self.doCleanups()

    def test_a_reply_is_never_the_original_direction(self):
        """The server speaks first after the table is lost: its packets must not commit the connection the wrong way round."""
        self.policies(policy("server", {"app": "server"}, [{"from": peer("client"), "ports": PORTS}]))
        for family in FAMILIES:
            argv = ("python3", "-c", TALK_TCP, self.lab.ips(SERVER)[family], str(45000 + family))
            with self.running(CLIENT, *argv, stdin=True) as talk:
                self.assertEqual(self.say(talk, "before"), "before")
                self.flush()
                # A TCP segment of the server's without SYN, as if it were the next of the connection; it is old, and ignored.
                self.send_segment(SERVER, CLIENT, family, 80, 45000 + family)
                self.assertEqual([line for line in self.tracked() if "sport=80" in line.split("reply=")[0]], [])
                self.assertEqual(self.say(talk, "still"), "still")
                self.assertTrue([line for line in self.tracked() if "dport=80" in line.split("reply=")[0]])
        self.doCleanups()

    def send_segment(self, sender, to, family, sport, dport):
        src, dst = self.lab.ips(sender)[family], self.lab.ips(to)[family]
        segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 5 << 4, 0x10, 1000, 0, 0)
        own = self.lab.exec(sender, "cat", "/sys/class/net/eth0/address").strip()
        frame = frames.ethernet(frames.mac("0a:53:4c:00:00:01"), frames.mac(own), frames.IPV4 if family == 4 else frames.IPV6,
                                frames.ip(src, dst, 6, segment))
        sniffer = Sniffer(self.lab, to, "eth0")
        sock = raw_socket(self.lab, sender)
        try:
            sock.send(frame)
            sniffer.until(segment[:8])
        finally:
            sock.close()
            sniffer.close()

    # --- the node ---

    def test_own_node(self):
        """networkpolicy 26: from the pod's own node always, whatever address it uses; other nodes are not exempt."""
        self.policies(policy("closed", {"app": "server"}, [], []))
        for family in FAMILIES:
            self.assertEqual(self.result("node-1", SERVER, protocol="tcp", port=80, family=family), "connected")
            self.assertEqual(self.result("node-1", SERVER, protocol="icmp", family=family), "connected")
            self.assertEqual(self.result("node-2", SERVER, protocol="tcp", port=80, family=family), "dropped")
            self.assertEqual(self.result("outside", SERVER, protocol="tcp", port=80, family=family), "dropped")
            address = self.lab.ips("node-1")[family]
            self.lab.exec("node-1", "ping", "-n", "-q", "-c", "1", "-W", "2", "-I", address, self.lab.ips(SERVER)[family])

    def test_snat_to_the_node_is_not_the_node(self):
        """networkpolicy 30: as kube-proxy does for a NodePort with externalTrafficPolicy Cluster."""
        address, server = self.lab.ips("node-1")[4], self.lab.ips(SERVER)[4]
        rules = ("table ip nodeport {\n chain in { type nat hook prerouting priority -100; "
                 f"ip daddr {address} tcp dport 30080 dnat to {server}:80; }}\n"
                 f"chain out {{ type nat hook postrouting priority 100; ip daddr {server} masquerade; }}\n}}")
        self.lab.exec("node-1", "nft", rules)
        self.addCleanup(self.lab.exec, "node-1", "nft", "delete table ip nodeport")
        ask = {"protocol": "tcp", "port": 30080, "family": 4}
        self.assertEqual(self.result("outside", "node-1", **ask), "connected", "the test itself does not work")
        self.policies(policy("closed", {"app": "server"}, [], []))
        self.assertEqual(self.result("outside", "node-1", **ask), "dropped")
        self.assertEqual(self.result("node-1", SERVER, protocol="tcp", port=80, family=4), "connected")
        # It is judged by the address that it comes with: that of the gateway.
        self.policies(policy("closed", {"app": "server"}, [{"from": [{"ipBlock": {"cidr": "10.244.1.1/32"}}]}], []))
        self.assertEqual(self.result("outside", "node-1", **ask), "connected")

    # --- forged tunnels ---

    def geneve(self, family, to, mark):
        """A Geneve packet of network 1 with a UDP datagram that seems to come from 'other'."""
        src, dst = self.lab.ips(OTHER)[family], self.lab.ips(to)[family]
        router = frames.mac("0a:53:4c:00:00:01")
        inner = frames.ethernet(router, router, frames.IPV4 if family == 4 else frames.IPV6, frames.udp(src, dst, mark, dport=UDP_PORT))
        return struct.pack("!BBHI", 0, 0, 0x6558, 1 << 8) + inner

    SEND = ("import socket, sys\ns = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[1], int(sys.argv[2])))")

    def test_a_pod_cannot_forge_tunnels(self):
        for to, node in ((FAR, "node-2"), (SERVER, "node-1")):
            self.check_forged(to, node)

    def check_forged(self, to, node):
        sniffer = Sniffer(self.lab, to, "eth0")
        self.addCleanup(sniffer.close)
        targets = [*self.lab.ips("node-2").values(), *self.lab.ips("node-1").values(), "10.244.2.1", "fd00:10:244:2::1",
                   "10.244.1.1", "fd00:10:244:1::1"]
        for family in FAMILIES:
            for i, target in enumerate(targets):
                for size in (0, 3000):
                    self.lab.exec(CLIENT, "python3", "-c", self.SEND, target, "6081",
                                  self.geneve(family, to, b"forged-%d!" % i + bytes(size)).hex())
        # From outside, where nobody hinders it, the same packet arrives: so it was well made.
        self.lab.exec("outside", "python3", "-c", self.SEND, self.lab.ips(node)[4], "6081", self.geneve(4, to, b"last-of-all").hex())
        came = [frame for _, frame in sniffer.until(b"last-of-all")]
        self.assertEqual([frame[:200] for frame in came if b"forged-" in frame], [])

    def test_status(self):
        """Policies do not make the node unready, and hostnet has no problem."""
        status = json.loads(self.lab.exec("node-1", "sluicectl", "status", "--json"))
        self.assertEqual(status["bridge"]["ownMAC"], "0a:53:4c:00:00:03")
        self.assertIn("ether saddr set 0a:53:4c:00:00:03", self.lab.exec("node-1", "nft", "list", "table", "netdev", "sluice"))


if __name__ == "__main__":
    labtest.main()
