#!/usr/bin/python3 -B
"""Special traffic under NetworkPolicies: replies and related errors, the own node, oneself, rewritten sources, ICMP, fragments, packets
that belong to no connection, forged tunnel packets: networkpolicy 24, 26, 27, 29 to 33."""
# time limit: 400 s
import ipaddress
import os
import re
import socket
import struct

import frames
import labtest  # noqa: F401  (finds labkit)
from labkit import netns
from policylab import (EVERYTHING, HOSTS, NODES, Connection, PolicyCase, Tap, block, egress, expression, expressions, main, open_in,
                       own_node, peer, policy, port, raw_ip, rule)

AB = expressions(expression("pod", "In", "a", "b"))
DENY_AB = policy("x/deny", AB, ["Ingress", "Egress"])
DENY_IN_AB = policy("x/deny", AB, ["Ingress"])
TARGETS = ["x/a", "x/b"]
FLAGS = {"S": 2, "SA": 18, "A": 16, "F": 1, "FA": 17, "R": 4, "RA": 20, "PA": 24, "none": 0, "FPU": 41, "SF": 3, "SR": 6}


def tcp(src, dst, flags, sport=40000, dport=80, data=b""):
    return frames.ip(src, dst, 6, struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 4096, 0, 0) + data)


def fragments(src, dst, payload, size, identifier=7, protocol=17):
    """An IP packet cut into fragments of 'size' bytes (a multiple of 8), IPv4 or IPv6; checksum of UDP filled in."""
    whole = frames.ip(src, dst, protocol, payload)
    version6 = whole[0] >> 4 == 6
    payload = whole[40:] if version6 else whole[20:]
    made = []
    for at in range(0, len(payload), size):
        part, more = payload[at:at + size], at + size < len(payload)
        if version6:
            body = struct.pack("!BBHI", protocol, 0, at | more, identifier) + part
            made.append(struct.pack("!IHBB", 6 << 28, len(body), 44, 64) + whole[8:40] + body)
        else:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), identifier, at // 8 | (0x2000 if more else 0), 64, protocol, 0)
            head += whole[12:20]
            made.append(head[:10] + struct.pack("!H", frames.checksum(head)) + head[12:] + part)
    return made


class Special(PolicyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ip = {name: cls.lab.ips(name) for name in (*cls.lab_pods(), *HOSTS)}

    @staticmethod
    def lab_pods():
        return ("x/a", "x/b", "x/c", "y/a", "y/b", "z/a", "z/b")

    # --- 24: replies and related ---

    def test_replies(self):
        """networkpolicy 24: a pod that may only send gets the answers; one that may only be asked gives them."""
        self.policies(policy("x/out", AB, ["Ingress", "Egress"], egress=[egress()]),
                      policy("y/in", {}, ["Ingress", "Egress"], ingress=[rule()]))
        self.check_all(TARGETS, ["y/a", "y/b", *HOSTS], ("tcp:80", "udp:80", "icmp"))
        self.check(own_node, ["y/a", "y/b", "z/a", "z/b", *HOSTS], TARGETS, EVERYTHING)
        self.check_none(["y/a", "y/b"], ["z/a", "z/b"])

    def test_port_unreachable(self):
        """networkpolicy 24: the ICMP error about an allowed datagram reaches a pod that nobody may send to, from one that may not
        send."""
        self.policies(policy("x/out", AB, ["Ingress", "Egress"], egress=[egress(ports=[port(99, "UDP"), port(99, "TCP")])]),
                      policy("y/in", {}, ["Ingress", "Egress"], ingress=[rule(ports=[port(99, "UDP"), port(99, "TCP")])]))
        for protocol in ("udp", "tcp"):
            self.assert_all("refused", [{"from": sender, "to": to, "protocol": protocol, "port": 99, "family": family, "timeout": "2s"}
                                        for sender in TARGETS for to in ("y/a", "y/b", "node-1", "node-2", "outside") for family in (4, 6)])

    def test_fragmentation_needed(self):
        """networkpolicy 24: what a router outside says of a packet that was allowed."""
        self.lab.exec("outside", "sh", "-c",
                      "ip link add narrow mtu 1280 type veth peer name wide mtu 1280; ip link set wide up; ip link set narrow up;"
                      "ip route add 198.51.100.0/24 dev narrow; ip -6 route add 2001:db8:5::/48 dev narrow")
        self.policies(policy("x/out", AB, ["Ingress", "Egress"], egress=[
            egress(block("198.51.100.0/24"), block("2001:db8:5::/48"), ports=[port(99, "UDP")])]))
        for sender in TARGETS:
            for family, to in ((4, "198.51.100.7"), (6, "2001:db8:5::7")):
                sock = open_in(self.lab, sender, family)
                self.addCleanup(sock.close)
                sock.setsockopt(*((socket.IPPROTO_IP, 10, 2) if family == 4 else (socket.IPPROTO_IPV6, 23, 2)))    # *_MTU_DISCOVER: DO
                sock.connect((to, 99))
                sock.send(bytes(1350))
                sock.settimeout(4)
                with self.assertRaises(OSError, msg=f"{sender} IPv{family}") as caught:
                    sock.recv(1)
                self.assertEqual(caught.exception.errno, 90, f"{sender} IPv{family}: {caught.exception}")     # EMSGSIZE
                learnt = self.lab.exec(sender, "ip", f"-{family}", "route", "get", to)
                self.assertIn("mtu 1280", learnt)

    def test_a_forged_error(self):
        """networkpolicy 24, 32: an ICMP error about a connection that does not exist is none of an allowed one."""
        self.policies(DENY_IN_AB)
        for to in TARGETS:
            for sender in ("z/a", "z/b"):
                packets, mark = [], os.urandom(8)
                for family in (4, 6):
                    source, target = self.ip[sender][family], self.ip[to][family]
                    about = frames.udp(target, source, mark, sport=80, dport=4000)
                    packets.append(frames.icmp(source, target, *((3, 3) if family == 4 else (1, 4)), bytes(4) + about))
                self.assert_nothing_arrives(to, sender, packets, mark)

    # --- 26 and 30: the node ---

    def node_sources(self, node, family):
        """All addresses that the node can send from."""
        text = self.lab.exec(node, "ip", "-o", f"-{family}", "address")
        found = [ipaddress.ip_address(address) for address in re.findall(r"inet6? ([0-9a-f.:]+)/", text)]
        return [str(address) for address in found if not address.is_loopback and not address.is_link_local]

    def asks_from(self, node, source, to, family, number=80, seconds=4.0):
        """A TCP connect like a kubelet's probe, from one address of the node."""
        def body():
            sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
            sock.settimeout(seconds)
            with sock:
                try:
                    sock.bind((source, 0))
                    sock.connect((self.ip[to][family], number))
                    return sock.recv(100).decode().split()[0]
                except OSError as error:
                    return str(error)
        return netns.call(self.lab.namespace(node), body)

    def test_probes_of_the_kubelet(self):
        """networkpolicy 26: under default deny the pod's own node asks with any of its addresses; another node does not."""
        self.lab.exec("node-1", "sh", "-c", "ip address add 10.99.0.1/32 dev lo; ip -6 address add fd00:99::1/128 dev lo nodad")
        self.policies(DENY_AB)
        for node, own, other in (("node-1", "x/a", "x/b"), ("node-2", "x/b", "x/a")):
            for family in (4, 6):
                sources = self.node_sources(node, family)
                self.assertGreaterEqual(len(sources), 2 + (node == "node-1"))
                for source in sources:
                    with self.subTest(node=node, source=source):
                        self.assertEqual(self.asks_from(node, source, own, family), own)
                        if source.startswith(("10.244.", "fd00:10:244:")):
                            self.assertEqual(self.asks_from(node, source, other, family, seconds=0.4), "timed out")
        self.check(own_node, NODES, TARGETS, EVERYTHING)

    def test_nodeport_is_not_the_node(self):
        """networkpolicy 30, 26: what the node forwards with its own address as the source is judged; by a block with that address it is
        allowed."""
        gateway = "10.244.1.1"
        node = self.ip["node-1"][4]
        self.lab.exec("node-1", "nft", "add table ip lpol; add chain ip lpol pre { type nat hook prerouting priority -150; };"
                      "add chain ip lpol post { type nat hook postrouting priority 50; };"
                      f"add rule ip lpol pre ip daddr {node} tcp dport 1080 dnat to {self.ip['x/a'][4]}:80;"
                      f"add rule ip lpol pre ip daddr {node} udp dport 1080 dnat to {self.ip['x/a'][4]}:80;"
                      'add rule ip lpol post ct status dnat oifname "sluice0" masquerade')
        self.addCleanup(self.lab.exec, "node-1", "nft", "delete table ip lpol")
        node6 = self.ip["node-1"][6]
        self.lab.exec("node-1", "nft", "add table ip6 lpol; add chain ip6 lpol pre { type nat hook prerouting priority -150; };"
                      "add chain ip6 lpol post { type nat hook postrouting priority 50; };"
                      f"add rule ip6 lpol pre ip6 daddr {node6} tcp dport 1080 dnat to [{self.ip['x/a'][6]}]:80;"
                      'add rule ip6 lpol post ct status dnat oifname "sluice0" masquerade')
        self.addCleanup(self.lab.exec, "node-1", "nft", "delete table ip6 lpol")
        ways = [(sender, to, protocol) for sender in ("outside", "z/a", "z/b", "node-2")
                for to, protocol in ((node, "tcp"), (node, "udp"), (node6, "tcp"))]

        def ask(timeout):
            return self.lab.probe(*({"from": sender, "to": to, "port": 1080, "protocol": protocol, "timeout": timeout}
                                    for sender, to, protocol in ways))
        self.policies()
        self.assertEqual([(one["result"], one["by"]) for one in ask("4s")], [("connected", "x/a")] * len(ways))
        self.policies(DENY_AB)
        self.assertEqual([one["result"] for one in ask("400ms")], ["dropped"] * len(ways))
        self.check(own_node, ["node-1"], ["x/a"], EVERYTHING)
        self.policies(DENY_AB, policy("x/in", AB, ["Ingress"], ingress=[rule(block(f"{gateway}/32"), block("fd00:10:244:1::1/128"))]))
        self.assertEqual([(one["result"], one["client"]) for one in ask("4s")],
                         [("connected", gateway if ":" not in to else "fd00:10:244:1::1") for _, to, _ in ways])
        self.check(own_node, ["node-1", "z/a", "z/b", "outside"], ["x/a"], ("tcp:80",))

    # --- 27, 29, 31, 33 ---

    def test_oneself(self):
        """networkpolicy 27: by localhost and by the own address, under default deny."""
        self.policies(DENY_AB)
        self.assert_connected([{"from": name, "to": address, "port": 80, "protocol": protocol, "timeout": "4s", "expect": name}
                               for name in TARGETS for address in ("127.0.0.1", "::1", *self.ip[name].values())
                               for protocol in ("tcp", "udp")])

    def test_echo(self):
        """networkpolicy 31: ICMP echo is for rules without ports; address resolution is never denied."""
        self.policies(policy("x/in", AB, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "z"}), ports=[
            port(1, "TCP", 65535), port(1, "UDP", 65535), port(protocol="SCTP")]), rule(peer(namespaces={"ns": "y"}))]))
        self.check(lambda sender, to, spec, _: own_node(sender, to) or sender[0] == "y" or sender[0] == "z" and spec != "icmp",
                   ["y/a", "y/b", "z/a", "z/b", *HOSTS], TARGETS, EVERYTHING)
        self.policies(DENY_AB)
        for name in TARGETS:
            self.lab.exec(name, "ip", "neigh", "flush", "all")
        self.check(own_node, NODES, TARGETS, ("tcp:80", "icmp"))
        for name in TARGETS:
            self.assertIn("lladdr", self.lab.exec(name, "ip", "neigh", "show"))

    def test_denial_is_silent(self):
        """networkpolicy 33: no RST and no ICMP, from pods, nodes and outside, for open and closed ports; nothing at all comes back."""
        self.policies(DENY_AB)
        tap = Tap(self.lab, "z/a")
        self.addCleanup(tap.close)
        self.check_none(["z/a", "z/b", "outside"], TARGETS, ("tcp:80", "tcp:99", "udp:80", "udp:99", "icmp"))
        answers = [frame for _, frame in tap.frames() if frame[12:14] in (b"\x08\x00", b"\x86\xdd") and not is_neighbour(frame)]
        self.assertEqual(answers, [])
        self.check_none(TARGETS, ["z/a", "z/b", "outside"], ("tcp:80", "tcp:99", "udp:80", "udp:99", "icmp"))

    # --- 32: what is no proper packet of a connection ---

    def assert_nothing_arrives(self, to, sender, packets, mark):
        """None of the packets, which all contain 'mark', comes to 'to'; a datagram that may pass, behind them, does."""
        tap = Tap(self.lab, to)
        try:
            raw_ip(self.lab, sender, packets)
            self.honest(sender, to)
            seen = [frame for _, frame in tap.frames() if mark in frame]
            self.assertEqual(len(seen), 0, f"{sender} to {to}: {len(seen)} of {len(packets)}, the first {seen and seen[0].hex()}")
        finally:
            tap.close()

    def honest(self, sender, to):
        """The own node's probe goes the last part of the same way, through the same ports, behind what was sent."""
        # The sender's packets were taken off its link before it gets an answer of its own.
        self.check_all([sender], ["y/b" if sender != "y/b" else "y/a"], ("icmp", "udp:80"))
        self.check_all(["node-1" if to == "x/a" else "node-2"], [to], ("udp:80",))

    def test_flags(self):
        """networkpolicy 32: no combination of TCP flags gets past a deny, from a high port to a low one or the other way."""
        self.policies(DENY_IN_AB)
        for to in TARGETS:
            for sender in ("z/a", "z/b"):
                mark = os.urandom(8)
                packets = [tcp(self.ip[sender][family], self.ip[to][family], flags, sport, dport, mark)
                           for family in (4, 6) for flags in FLAGS.values()
                           for sport, dport in ((40000, 80), (80, 40000), (80, 80), (50000, 50001))]
                self.assert_nothing_arrives(to, sender, packets, mark)

    def test_flags_on_the_way_out(self):
        """networkpolicy 32: the same from a pod that may send nothing."""
        self.policies(policy("x/deny", AB, ["Egress"]))
        for sender in TARGETS:
            for to in ("z/a", "z/b", "outside"):
                mark = os.urandom(8)
                packets = [tcp(self.ip[sender][family], self.ip[to][family], flags, sport, dport, mark)
                           for family in (4, 6) for flags in FLAGS.values() for sport, dport in ((40000, 80), (80, 40000))]
                tap = Tap(self.lab, to, None)
                self.addCleanup(tap.close)
                raw_ip(self.lab, sender, packets)
                self.check_all(["z/a" if to != "z/a" else "z/b"], [to], ("udp:80",))
                self.check_all(["node-1" if sender == "x/a" else "node-2"], [sender], ("icmp",))
                self.assertEqual([frame for _, frame in tap.frames() if mark in frame], [], f"{sender} to {to}")

    def test_large_datagrams(self):
        """networkpolicy 32: fragments of an allowed datagram arrive, of a denied one none, the first or a later one."""
        self.policies(policy("x/in", AB, ["Ingress", "Egress"], ingress=[rule(peer(namespaces={"ns": "z"}), ports=[port(80, "UDP")])]))
        for to in TARGETS:
            for sender in ("z/a", "z/b"):
                for family in (4, 6):
                    with self.subTest(sender=sender, to=to, family=family):
                        sock = open_in(self.lab, sender, family)
                        self.addCleanup(sock.close)
                        sock.settimeout(4)
                        data = os.urandom(4000)
                        sock.sendto(data, (self.ip[to][family], 80))
                        self.assertTrue(sock.recv(65536).endswith(data))
                        mark = os.urandom(16)
                        tap = Tap(self.lab, to)
                        self.addCleanup(tap.close)
                        sock.sendto(mark * 250, (self.ip[to][family], 81))
                        self.honest(sender, to)
                        self.assertEqual([frame for _, frame in tap.frames() if mark in frame], [])

    def test_odd_fragments(self):
        """networkpolicy 32: neither a later fragment alone, nor a tiny first one, nor fragments in disorder bring a denied port in; nor
        does a later fragment of one that borrows the identifier of an allowed datagram."""
        self.policies(policy("x/in", AB, ["Ingress"], ingress=[rule(peer(namespaces={"ns": "z"}), ports=[port(80, "UDP")])]))
        for to in TARGETS:
            for sender in ("z/a", "z/b"):
                for family in (4, 6):
                    mark = os.urandom(8)
                    src, dst = self.ip[sender][family], self.ip[to][family]
                    denied = struct.pack("!HHHH", 4000, 81, 8 + 400, 0) + mark * 50
                    pieces = fragments(src, dst, denied, 200, 1)
                    tiny = fragments(src, dst, denied, 8, 2)
                    packets = [pieces[1], pieces[2], *reversed(fragments(src, dst, denied, 200, 3)), *tiny, *reversed(tiny)]
                    packets += fragments(src, dst, tcp(src, dst, 2, data=mark * 20)[40 if family == 6 else 20:], 24, 4, 6)
                    self.assert_nothing_arrives(to, sender, packets, mark)

    def test_echo_replies_that_nobody_asked_for(self):
        """networkpolicy 32."""
        self.policies(DENY_IN_AB)
        for to in TARGETS:
            for sender in ("z/a", "z/b"):
                mark = os.urandom(8)
                packets = [frames.icmp(self.ip[sender][family], self.ip[to][family], kind, 0, struct.pack("!HH", 1, 1) + mark)
                           for family, kinds in ((4, (0, 14, 5, 11)), (6, (129, 2, 3))) for kind in kinds]
                self.assert_nothing_arrives(to, sender, packets, mark)

    def test_other_protocols(self):
        """networkpolicy 31, 32: what is neither TCP, UDP, SCTP nor ICMP passes only a rule without ports."""
        for allowed in (False, True):
            with_ports = [port(1, "TCP", 65535), port(1, "UDP", 65535), port(protocol="SCTP")]
            self.policies(policy("x/in", AB, ["Ingress"], ingress=[rule(peer({}, {}), **({} if allowed else {"ports": with_ports}))]))
            for to in TARGETS:
                for sender in ("z/a", "z/b"):
                    mark = os.urandom(8)
                    packets = [struct.pack("!BBHHHBBH", 0x45, 0, 20 + 16, 7, 0, 64, 253, 0) + frames.packed(self.ip[sender][4]) +
                               frames.packed(self.ip[to][4]) + mark * 2,
                               struct.pack("!IHBB", 6 << 28, 16, 253, 64) + frames.packed(self.ip[sender][6]) +
                               frames.packed(self.ip[to][6]) + mark * 2]
                    if not allowed:
                        self.assert_nothing_arrives(to, sender, packets, mark)
                        continue
                    tap = Tap(self.lab, to)
                    self.addCleanup(tap.close)
                    raw_ip(self.lab, sender, packets)
                    self.honest(sender, to)
                    self.assertEqual(len([frame for _, frame in tap.frames() if mark in frame]), 2, f"{sender} to {to}")

    # --- the tunnel ---

    def test_a_forged_tunnel_packet(self):
        """networkpolicy 32: a pod that wraps a packet as a peer's tunnel does reaches no isolated pod with it."""
        self.policies(policy("x/in", AB, ["Ingress"], ingress=[rule(peer({"pod": "c"}))]))
        inner_macs = {to: self.mac_of(to) for to in TARGETS}
        for sender in ("z/a", "z/b"):
            for to, node in (("x/a", "node-1"), ("x/b", "node-2")):
                mark = os.urandom(8)
                packets = []
                for family, kind in ((4, frames.IPV4), (6, frames.IPV6)):
                    inner = frames.ethernet(inner_macs[to], frames.mac("0a:53:4c:00:00:01"), kind,
                                            frames.udp(self.ip["x/c"][family], self.ip[to][family], mark, dport=80))
                    for outer in (4, 6):
                        for vni in (0, 1):
                            for number, head in ((6081, struct.pack("!BBHI", 0, 0, 0x6558, vni << 8)),
                                                 (4789, struct.pack("!II", 1 << 27, vni << 8))):
                                packets.append(frames.udp(self.ip[sender][outer], self.ip[node][outer], head + inner, dport=number))
                self.assert_nothing_arrives(to, sender, packets, mark)

    def mac_of(self, name):
        return frames.mac(self.lab.exec(name, "cat", "/sys/class/net/eth0/address").strip())

    # --- connections that are there already, and packets that do not belong ---

    def test_invalid_packets_of_an_allowed_peer(self):
        """networkpolicy 32: an acknowledgement out of nowhere makes no connection by which the other side may then answer."""
        self.policies(policy("x/in", AB, ["Ingress", "Egress"], ingress=[rule(peer(namespaces={"ns": "z"}), ports=[port(80)])]))
        for to in TARGETS:
            connection = Connection(self.lab, "z/a", to, 4)
            self.addCleanup(connection.close)
            self.assertTrue(connection.exchange())
            self.check_none([to], ["z/a"], ("tcp:80", "tcp:81", "udp:80", "icmp"))


def is_neighbour(frame):
    """Of IPv6, beside TCP, UDP and errors."""
    return frame[12:14] == b"\x86\xdd" and frame[20] == 58 and 133 <= frame[54] <= 137 or frame[12:14] == b"\x86\xdd" and frame[20] == 0


if __name__ == "__main__":
    main()
