"""The wire between the nodes: a bridge for each subnet in a namespace of its own, and "outside", a host that is no node.

outside is the nodes' default gateway, the router between subnets, and holds the addresses of "the internet".  It has
routes to the pods of every node, as a router has that learnt them; a node may send it packets of any source."""
from . import netns, procs
from .layout import UPLINK


def build(lab):
    """Namespaces and wires, without the nodes' addresses."""
    mtu = lab.options["mtu"]
    for what in ("underlay", "outside", *lab.nodes()):
        netns.create(lab.netns(what))
    netns.call(lab.netns("underlay"), _quiet_switch)
    batch = [f"link add sub{subnet} mtu {mtu} type bridge mcast_snooping 0" for subnet in range(lab.options["subnets"])]
    batch += [f"link set sub{subnet} up" for subnet in range(lab.options["subnets"])]
    for subnet in range(lab.options["subnets"]):
        batch += _plug(f"outside{subnet}", lab.netns("outside"), f"eth{subnet}", subnet, mtu)
    for node in lab.nodes():
        batch += _plug(node, lab.netns(node), UPLINK, lab.subnet(node), mtu)
    ip_batch(lab.netns("underlay"), batch)
    netns.call(lab.netns("outside"), _outside, lab)


def ip_batch(name, lines):
    procs.run(["ip", "-n", name, "-batch", "-"], what="ip -batch", input="\n".join(lines) + "\n")


def _plug(port, peer_netns, device, subnet, mtu):
    return [f"link add {port} mtu {mtu} type veth peer name {device} mtu {mtu} netns {peer_netns}",
            f"link set {port} master sub{subnet} up"]


def _quiet_switch():
    """A plain switch: it says nothing of its own and filters nothing."""
    netns.set_sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    netns.set_sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    for hook in ("iptables", "ip6tables", "arptables"):
        netns.set_sysctl(f"net.bridge.bridge-nf-call-{hook}", 0)


def _outside(lab):
    netns.set_sysctl("net.ipv4.ip_forward", 1)
    netns.set_sysctl("net.ipv6.conf.all.forwarding", 1)
    netns.set_sysctl("net.ipv4.conf.all.send_redirects", 0)
    batch = [f"address add {address} dev lo" for address in lab.internet()]
    for subnet in range(lab.options["subnets"]):
        _like_a_nic(f"eth{subnet}")
        batch += [f"address add {net[1]}/{net.prefixlen} dev eth{subnet}" + (" nodad" if net.version == 6 else "")
                  for net in lab.underlay(subnet)]
        batch.append(f"link set eth{subnet} up")
    for node in lab.nodes():
        batch += [f"route add {cidr} via {address}"
                  for cidr, address in zip(lab.pod_cidrs(node), lab.node_addresses(node))]
    procs.run(["ip", "-batch", "-"], what="ip -batch", input="\n".join(batch) + "\n")


def _like_a_nic(device):
    """Finished checksums on the wire, and no two seconds of duplicate detection: a machine's link-local addresses are long
    settled when its CNI starts, and without one the kernel resolves no neighbour for what it forwards."""
    netns.tx_checksum_off(device)
    netns.set_sysctl(f"net.ipv6.conf.{device}.accept_dad", 0)


def connect_node(lab, node):
    """The node's address and default route."""
    name = lab.netns(node)
    netns.call(name, _like_a_nic, UPLINK)
    prefixes = [net.prefixlen for net in lab.underlay(lab.subnet(node))]
    batch = [f"address add {address}/{length} dev {UPLINK}" + (" nodad" if address.version == 6 else "")
             for address, length in zip(lab.node_addresses(node), prefixes)]
    batch.append(f"link set {UPLINK} up")
    batch += [f"route add default via {gateway}" for gateway in lab.gateways(lab.subnet(node))]
    ip_batch(name, batch)
