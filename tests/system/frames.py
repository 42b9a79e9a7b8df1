"""Ethernet frames of every kind that a pod must not get away with, as bytes."""
import ipaddress
import struct

BROADCAST = b"\xff" * 6
ARP, IPV4, IPV6, VLAN, QINQ, MPLS, LOCAL = 0x0806, 0x0800, 0x86dd, 0x8100, 0x88a8, 0x8847, 0x88b5
ICMPV6 = 58


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def packed(address):
    return ipaddress.ip_address(address).packed


def ethernet(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff


def ip(src, dst, protocol, payload, ttl=64, fragment=0):
    """An IPv4 or IPv6 packet; 'payload' has its checksum at zero and gets it here, for the protocols that we send."""
    src, dst = packed(src), packed(dst)
    pseudo = src + dst + (struct.pack("!BBH", 0, protocol, len(payload)) if len(src) == 4 else
                          struct.pack("!IHBB", len(payload), 0, 0, protocol))
    at = {17: 6, 6: 16, ICMPV6: 2, 1: 2}[protocol]
    if not fragment:
        total = checksum(payload if protocol == 1 else pseudo + payload) or 0xffff
        payload = payload[:at] + struct.pack("!H", total) + payload[at + 2:]
    if len(src) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, ttl, protocol, 0) + src + dst
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl) + src + dst + payload


def udp(src, dst, data, sport=4000, dport=53, **more):
    return ip(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, **more)


def icmp(src, dst, kind, code, body, **more):
    version6 = ":" in dst
    return ip(src, dst, ICMPV6 if version6 else 1, struct.pack("!BBH", kind, code, 0) + body, **more)


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender_mac + packed(sender) + target_mac + packed(target)


def lladdr_option(kind, address):
    return bytes([kind, 1]) + address


def neighbour_advertisement(src, dst, target, address, flags=0x60000000):
    return icmp(src, dst, 136, 0, struct.pack("!I", flags) + packed(target) + lladdr_option(2, address), ttl=255)


def neighbour_solicitation(src, dst, target, address):
    return icmp(src, dst, 135, 0, bytes(4) + packed(target) + lladdr_option(1, address), ttl=255)


def router_advertisement(src, dst, address, mark):
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 86400, 86400, 0) + packed("2001:db8:bad::")
    return icmp(src, dst, 134, 0, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + lladdr_option(1, address) + prefix +
                b"\xfe" + bytes([3]) + mark.ljust(22, b"\0"), ttl=255)


def redirect6(src, dst, target, about, mark):
    return icmp(src, dst, 137, 0, bytes(4) + packed(target) + packed(about) + b"\xfe" + bytes([3]) + mark.ljust(22, b"\0"),
                ttl=255)
