"""Names, addresses and paths of a lab.  Everything that two modules must agree on stands here."""
import ipaddress
import json
import os
import re
import shutil

# Every process of a lab carries the lab's state directory in this variable; that is how "down" finds it.
MARKER = "SLUICE_LAB_MEMBER"
STATE_TOP = os.environ.get("SLUICE_LAB_STATE") or "/run/sluice-lab"
NETNS_DIR = "/run/netns"
# "The internet": beyond the default gateway of the nodes, on the loopback of "outside".
INTERNET = ("192.0.2.1", "2001:db8::1")
# What answers in each node and outside, beside what pods declare.
RESPONDER_PORT = 9000
UPLINK = "eth0"
HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class LabError(Exception):
    """Something that the user reads as one line."""


class Lab:
    """One lab: its name, its options and where its things are.  Holds no open resource."""

    DEFAULTS = {"nodes": 2, "datapath": "userspace", "encapsulation": "geneve", "mtu": 1500, "families": "46",
                "subnets": 1, "pod_mtu": 0, "service_cidrs": [], "log_level": "", "kubeconfig": "", "via": "",
                "kubernetes": False}

    def __init__(self, name):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", name):
            raise LabError(f"{name!r} is no name of a lab: up to 20 lower-case letters, digits and '-'")
        self.name = name
        self.dir = os.path.join(os.path.realpath(STATE_TOP), name)
        self.options = dict(self.DEFAULTS)

    # --- options ---

    def exists(self):
        return os.path.exists(self.path("lab.json"))

    def load(self):
        try:
            with open(self.path("lab.json")) as file:
                self.options.update(json.load(file))
        except FileNotFoundError:
            raise LabError(f"there is no lab {self.name!r}: sluice-lab up" +
                           ("" if self.name == "lab" else f" --name {self.name}")) from None
        return self

    def save(self):
        os.makedirs(self.dir, mode=0o755, exist_ok=True)
        write_json(self.path("lab.json"), self.options)

    def families(self):
        return [int(family) for family in self.options["families"]]

    # --- names ---

    def nodes(self):
        return [f"node-{index}" for index in range(1, self.options["nodes"] + 1)]

    def netns(self, what):
        """Name of the network namespace of a node, "outside", "underlay" or "pod-ID"."""
        return f"sluice-{self.name}-{what}"

    def netns_path(self, what):
        return os.path.join(NETNS_DIR, self.netns(what))

    def all_netns(self):
        """Names of every namespace of this lab that exists, also when lab.json does not."""
        ours = re.compile(rf"sluice-{re.escape(self.name)}-(node-\d+|outside|underlay|pod-[0-9a-f]{{12}})")
        try:
            return sorted(name for name in os.listdir(NETNS_DIR) if ours.fullmatch(name))
        except FileNotFoundError:
            return []

    # --- paths ---

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def manifests(self):
        return self.path("manifests")

    # --- addresses ---

    def subnet(self, node):
        """Number of the underlay's subnet in which a node is: they take turns."""
        return (node_index(node) - 1) % self.options["subnets"]

    def underlay(self, subnet):
        return [net for net in (ipaddress.ip_network(f"172.30.{subnet}.0/24"),
                                ipaddress.ip_network(f"fd00:172:30:{subnet:x}::/64"))
                if (4 if net.version == 4 else 6) in self.families()]

    def gateways(self, subnet):
        return [net[1] for net in self.underlay(subnet)]

    def node_addresses(self, node):
        return [net[100 + node_index(node)] for net in self.underlay(self.subnet(node))]

    def pod_cidrs(self, node):
        index = node_index(node)
        cidrs = (ipaddress.ip_network(f"10.244.{index}.0/24"), ipaddress.ip_network(f"fd00:10:244:{index:x}::/64"))
        return [cidr for cidr in cidrs if cidr.version in self.families()]

    def internet(self):
        return [address for address in map(ipaddress.ip_address, INTERNET) if address.version in self.families()]


def labs():
    """Names of the labs that have a state directory."""
    try:
        return sorted(name for name in os.listdir(STATE_TOP) if os.path.isdir(os.path.join(STATE_TOP, name)))
    except FileNotFoundError:
        return []


def node_index(node):
    return int(node.removeprefix("node-"))


def write_text(path, text):
    """Writes a file so that a reader sees the old or the new content."""
    temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    with open(temporary, "w") as file:
        file.write(text)
    os.rename(temporary, path)


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1) + "\n")


# --- where programs are ---

def build_dir():
    """The build tree whose programs are used, or None for the installed ones."""
    given = os.environ.get("SLUICE_BUILD")
    if given:
        return os.path.realpath(given)
    top = os.path.dirname(os.path.dirname(HERE))
    for candidate in (os.path.join(top, "build"), top):
        if os.path.exists(os.path.join(candidate, "controller", "sluiced")):
            return candidate
    return None


def tool_dirs():
    """Folders that come first in PATH inside a lab."""
    build = build_dir()
    found = [os.path.join(build, part) for part in ("controller", "ovs-cni", "utilities", "tests/lab")] if build else []
    return found + [HERE]


def search_path():
    return ":".join([*tool_dirs(), os.environ.get("PATH", "/usr/bin:/bin"), "/usr/local/sbin", "/usr/sbin", "/sbin",
                     "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni", "/usr/libexec/sluice"])


def program(name):
    found = shutil.which(name, path=search_path())
    if not found:
        hint = "" if name.startswith("ovs-v") or name.startswith("ovsdb") else "; build it first, or set SLUICE_BUILD"
        raise LabError(f"the program {name} is not found{hint}")
    return found
