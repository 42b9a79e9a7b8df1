"""From a packet of the oracle to a question for ofproto/trace, and from its answer to a verdict."""

import collections
import re

from oracle import ALLOWED, DENIED, ICMP, OTHER
from ovs import GATEWAY_PORT, TUNNEL_PORT

SOURCE_PORT = 40000
OTHER_MAC = "02:00:00:00:00:99"         # What the node only forwards does not come from the MAC of its own packets.
EGRESS_TABLES, INGRESS_TABLES = range(40, 47), range(60, 67)
OUTPUT = 72
SPOOF_GUARD = re.compile(r"^table=2\(SPOOF_GUARD\), priority=150, .*\bin_port=(\d+),.*\bdl_src=([0-9a-f:]+),"
                         r"dl_dst=([0-9a-f:]+),(?:nw_src|ipv6_src)=([0-9a-f.:]+) actions=", re.M)
OWN = re.compile(r"^table=0\(CLASSIFY\), .*\bin_port=2,.*\bdl_src=([0-9a-f:]+) actions=", re.M)
# Its rules in the order in which they were met: table, match, cookie (the underlay's bridge has none).
RULE = re.compile(r"^ *(\d+)\. (.*?),? ?priority \d+, cookie (0x[0-9a-f]+)", re.M)
ACTIONS = re.compile(r"^Datapath actions: (.*)$", re.M)

# 'verdict': ALLOWED, DENIED, or what else became of it.  'cookies': {"egress": cookie of the rule that decided, ...}.
Answer = collections.namedtuple("Answer", "verdict direction cookies")


class Node:
    """A node as its flows show it: which port and MAC a pod's address has."""

    def __init__(self, name, flows):
        self.name = name
        self.ports = {}
        self.router = "0a:53:4c:00:00:01"
        for port, mac, router, address in SPOOF_GUARD.findall(flows):
            self.ports[address] = int(port), mac
            self.router = router
        own = OWN.search(flows)
        self.own = own.group(1) if own else None

    def directions(self, packet):
        """Which policy this node applies: that of its own pods' end."""
        return [d for d, address in (("egress", packet.source), ("ingress", packet.destination))
                if address in self.ports and not (d == "egress" and packet.own_stack)]

    def enters(self, packet, tunnel_sources):
        """How the packet comes into br-int: a pod's port, the node's own stack, the tunnel, forwarded by the node."""
        if packet.own_stack == self.name:
            return f"in_port={GATEWAY_PORT},dl_src={self.own or OTHER_MAC},dl_dst={self.router}"
        if packet.source in self.ports:
            port, mac = self.ports[packet.source]
            return f"in_port={port},dl_src={mac},dl_dst={self.router}"
        if packet.source in tunnel_sources:
            return f"in_port={TUNNEL_PORT},tun_id=1,tun_src=192.168.0.2,tun_dst=192.168.0.1," \
                   f"dl_src=0a:53:4c:00:00:01,dl_dst=0a:53:4c:00:00:01"
        if not self.own:
            return None
        return f"in_port={GATEWAY_PORT},dl_src={OTHER_MAC},dl_dst={self.router}"

    def question(self, packet, tunnel_sources):
        """The flow for ofproto/trace; None: cannot come to this node."""
        start = self.enters(packet, tunnel_sources)
        if not start or not self.directions(packet):
            return None
        six = ":" in packet.destination
        addresses = f"{'ipv6' if six else 'nw'}_src={packet.source},{'ipv6' if six else 'nw'}_dst={packet.destination}"
        if packet.protocol == ICMP:
            what = "icmp6,icmpv6_type=128,icmpv6_code=0" if six else "icmp,icmp_type=8,icmp_code=0"
        elif packet.protocol == OTHER:
            what = ("ipv6" if six else "ip") + ",nw_proto=47"   # GRE.
        else:
            name = packet.protocol.lower()
            what = f"{name}{'6' if six else ''},{name}_src={SOURCE_PORT},{name}_dst={packet.port}"
            if packet.protocol == "TCP":
                what += ",tcp_flags=2"
        return f"{start},{what},{addresses},nw_ttl=64"


def answer(trace):
    """What ofproto/trace said."""
    actions = ACTIONS.findall(trace)
    rules = RULE.findall(trace)
    if not actions or not rules:
        return Answer("no answer", "", {})
    last = int(rules[-1][0])
    cookies = {}
    for (table, match, cookie), (then, _, _) in zip(rules, rules[1:]):
        for direction, tables in (("egress", EGRESS_TABLES), ("ingress", INGRESS_TABLES)):
            if int(table) in tables and int(then) == tables[-1] and "conj_id=" in match:
                cookies[direction] = int(cookie, 16)
    # le(): for packets that are not too large, which are answered before ingress is judged.
    dropped = actions[-1] == "drop" or "le(drop)" in actions[-1]
    if last == OUTPUT and not dropped:
        return Answer(ALLOWED, "", cookies)
    if dropped:
        for direction, tables in (("egress", EGRESS_TABLES), ("ingress", INGRESS_TABLES)):
            if last in tables:
                return Answer(DENIED, direction, cookies)
    return Answer(f"lost in table {last}", "", cookies)


def expected(judgement, directions):
    """The verdicts that a node which applies these directions may come to."""
    found = {ALLOWED}
    for direction in directions:
        verdicts = getattr(judgement, direction).verdicts
        found = {ALLOWED if a == b == ALLOWED else DENIED for a in found for b in verdicts}
    return found


def direction_agrees(judgement, directions, given):
    """Whether a denial by that direction is right: the first that denies, in the order of the pipeline."""
    if given.verdict != DENIED:
        return True
    if DENIED not in getattr(judgement, given.direction).verdicts:
        return False
    return given.direction == "egress" or "egress" not in directions or ALLOWED in judgement.egress.verdicts
