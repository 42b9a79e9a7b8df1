"""What the tests of Services in the lab share: Services in a few words, and what must come of a packet to one (expected()).

The table is written from the acceptance items of Services, not from Sluice's code.  Its words:

    place      the endpoints of a Service: who, on which node, in the host network or not, ready or terminating
    door       a way in: "cluster", "node-1" and "node-2" (that node's address and the node port), "external", "lb"
    outcome    "refused", "dropped", or {endpoint: the client's address as it sees it}"""
import dataclasses
import ipaddress
import itertools
import os
import socket

import labtest
from labkit import netns
from labkit import services as controller
from labkit.kubelet import LINGER, READY
from labkit.objects import key
from labtest import pod
from policylab import NODES, PolicyCase

FAMILIES = (4, 6)
# What who talks to itself through a Service sees (flows/service-flow.h).
HAIRPIN = {4: "169.254.192.1", 6: "fd53:4c00:0:1::1"}
PORT_NAMES = {"tcp": "web", "udp": "dns", "sctp": "signal"}
PORTS = {"tcp": 80, "udp": 53, "sctp": 90}
HOST_PORTS = {"tcp": 8080, "udp": 8053, "sctp": 8090}
SLOW = min(4, float(os.environ.get("SLUICE_TEST_SLOWNESS", 1)))
CONNECTED_TIMEOUT, DROPPED_TIMEOUT = f"{5 * SLOW}s", f"{400 * SLOW}ms"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    name: str                   # Of the pod, in the namespace "default".
    node: str
    host: bool = False
    state: str = "ready"        # Or "terminating" (it still serves), "unready".

    @property
    def pod(self):
        return f"default/{self.name}"

    def made(self, *labels):
        """The Pod; 'labels' are the places that it is in."""
        ports = HOST_PORTS if self.host else PORTS
        made = pod(self.name, self.node, (), dict.fromkeys(labels, "y"), self.host)
        made["spec"]["containers"][0]["ports"] = [
            {"name": name, "containerPort": ports[protocol], "protocol": protocol.upper()} for protocol, name in PORT_NAMES.items()]
        notes = {"terminating": {LINGER: ""}, "unready": {READY: "false"}}.get(self.state)
        if notes:
            made["metadata"]["annotations"] = notes
        return made


def pods_of(places):
    """The pods of {place: [Endpoint]}, each labelled with its places."""
    return [endpoint.made(*(name for name, members in places.items() if endpoint in members))
            for endpoint in dict.fromkeys(itertools.chain(*places.values()))]


def service(name, selector=None, protocols=("tcp", "udp"), **spec):
    """'selector' is a place, or None."""
    status = spec.pop("status", None)
    spec.setdefault("ports", [{"name": PORT_NAMES[protocol], "port": 80, "targetPort": PORT_NAMES[protocol], "protocol": protocol.upper()}
                              for protocol in protocols])
    spec.setdefault("ipFamilyPolicy", "PreferDualStack")
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {**({"selector": {selector: "y"}} if selector else {}), **spec}}
    return {**made, "status": status} if status else made


def balanced_at(*addresses):
    return {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"} for address in addresses]}}


# --- what must come of a packet ---

def usable(endpoints):
    """Item 4: the ready ones, or if there is none those that end but still serve."""
    return [one for one in endpoints if one.state == "ready"] or [one for one in endpoints if one.state == "terminating"]


@dataclasses.dataclass
class Way:
    """Where a packet is balanced, as what it comes there, and from which address."""
    node: str
    origin: str                 # "pod", "node", "outside".
    source: str


class Expectation:
    """'addresses': {who: {family: address}}, 'gateways': {node: {family: address}}, 'home': {pod: node}."""

    def __init__(self, addresses, gateways, home, entry="node-1"):
        self.addresses, self.gateways, self.home, self.entry = addresses, gateways, home, entry

    def way(self, door, sender, family):
        node = sender if sender in NODES else self.home.get(sender)
        is_node = sender in NODES or self.addresses[sender] == self.addresses.get(node)
        own = self.addresses[sender][family]
        if sender == "outside":
            return Way(door if door in NODES else self.entry, "outside", own)
        if door in NODES and door != node:      # Pods leave their node with its address.
            return Way(door, "outside", self.addresses[node][family])
        return Way(node, "node" if is_node else "pod", own)

    def expected(self, spec, endpoints, door, sender, family):
        """Items 4, 8, 9, 13, 14, 26."""
        way = self.way(door, sender, family)
        policy = spec.get("internalTrafficPolicy" if door == "cluster" else "externalTrafficPolicy", "Cluster")
        keeps = door != "cluster" and policy == "Local" and way.origin == "outside"
        if not usable(endpoints):
            return "refused"
        local = policy == "Local" and (door == "cluster" or way.origin == "outside")
        chosen = usable([one for one in endpoints if one.node == way.node] if local else endpoints)
        return {one.pod: self.seen(one, way, keeps, family) for one in chosen} or "dropped"

    def seen(self, endpoint, way, keeps, family):
        """Items 7, 13, 14: the client's address as the endpoint sees it."""
        here = endpoint.node == way.node
        if keeps or way.origin == "pod" and (here or not endpoint.host):
            return way.source
        if not endpoint.host:
            return self.gateways[way.node][family]
        return HAIRPIN[family] if here else self.addresses[way.node][family]


# --- the world ---

class ServiceCase(PolicyCase):
    """PLACES are the endpoints; CLIENTS other pods.  VIPS: addresses that outside reaches by node-1, beside the cluster's."""
    WORLD = ()
    PLACES = {}
    CLIENTS = ()
    VIPS = ("198.51.100.0/24", "2001:db8:100::/64")

    @classmethod
    def setUpClass(cls):
        cls.WORLD = [*pods_of(cls.PLACES), *cls.CLIENTS]
        super().setUpClass()
        ending = [one.pod for one in {one for members in cls.PLACES.values() for one in members} if one.state == "terminating"]
        if ending:
            cls.lab("delete", "pod", *ending)
        cls.route_from_outside()
        cls.addresses = {who: cls.lab.ips(who) for who in [*NODES, "outside"]} | {
            f"default/{item['metadata']['name']}": cls.lab.ips(f"default/{item['metadata']['name']}") for item in cls.WORLD}
        cls.home = {f"default/{item['metadata']['name']}": item["spec"]["nodeName"] for item in cls.WORLD}
        cls.gateways = {node: {cidr.version: str(cidr[1]) for cidr in cls.lab.layout.pod_cidrs(node)} for node in NODES}
        cls.expectation = Expectation(cls.addresses, cls.gateways, cls.home)

    @classmethod
    def route_from_outside(cls):
        for prefix in (*controller.SERVICE_CIDRS, *cls.VIPS):
            version = ipaddress.ip_network(prefix).version
            cls.lab.exec("outside", "ip", "route", "replace", prefix, "via", cls.lab.ips("node-1")[version])

    def tearDown(self):
        self.remove_services()
        super().tearDown()

    # --- objects ---

    def put(self, *items):
        super().put(*items)
        self.reconcile()

    def take(self, *items):
        super().take(*items)
        self.reconcile()

    def reconcile(self):
        with self.store.locked():
            controller.reconcile(self.store, ["default"])

    def services(self, *items):
        """These and no others; returns them as they are now."""
        wanted = {key(item) for item in items}
        self.take(*(item for kind in ("Service", "EndpointSlice") for item in self.store.all(kind)
                    if key(item) not in wanted and controller.MANAGED_BY not in item["metadata"].get("labels", {})))
        self.put(*items)
        self.settle()
        return [self.store.get(*key(item)) for item in items]

    def one_service(self, *arguments, **spec):
        return self.services(service(*arguments, **spec))[0]

    def remove_services(self):
        self.services()

    # --- questions ---

    def door(self, item, door, family, protocol="tcp", index=None):
        """(address, port) of a door, or None if the Service has no such one."""
        spec = item["spec"]
        port = spec["ports"][index] if index is not None else \
            next(port for port in spec["ports"] if port["protocol"].lower() == protocol)
        if door in NODES:
            return (self.addresses[door][family], port["nodePort"]) if port.get("nodePort") else None
        given = {"cluster": spec.get("clusterIPs"), "external": spec.get("externalIPs"),
                 "lb": [entry["ip"] for entry in item.get("status", {}).get("loadBalancer", {}).get("ingress", [])]}[door]
        address = next((one for one in given or [] if ipaddress.ip_address(one).version == family), None)
        return (address, port["port"]) if address else None

    def question(self, item, door, sender, family, protocol="tcp", **more):
        """A probe, or None if there is no such door."""
        found = self.door(item, door, family, protocol)
        return found and {"from": sender, "to": found[0], "port": found[1], "family": family, "protocol": protocol,
                          "timeout": CONNECTED_TIMEOUT, **more}

    def check_questions(self, asked):
        """'asked' is a list of (probe, outcome).  Returns the answers' {(index): by}, all of them right."""
        asked = [({**probe, "timeout": DROPPED_TIMEOUT if wanted == "dropped" else CONNECTED_TIMEOUT}, wanted)
                 for probe, wanted in asked]
        self.assertTrue(asked)
        wrong = [f"{brief(answer)}, wanted {wanted}" for _, wanted, answer in self.wrong_answers(asked, is_right)]
        self.assertFalse(bool(wrong), f"{len(wrong)} of {len(asked)} wrong:\n" + "\n".join(wrong[:int(os.environ.get("WRONGS", 20))]))

    def check_service(self, item, endpoints, doors, senders, protocols=("tcp", "udp"), families=FAMILIES):
        """Asks at all these doors, and compares with what is expected."""
        asked = []
        for door, sender, family, protocol in itertools.product(doors, senders, families, protocols):
            probe = self.question(item, door, sender, family, protocol)
            if probe:
                asked.append((probe, self.expectation.expected(item["spec"], endpoints, door, sender, family)))
        self.check_questions(asked)
        return len(asked)


def is_right(answer, wanted):
    if isinstance(wanted, str):
        return answer["result"] == wanted and (wanted == "refused" or answer.get("reason") == "timed out")
    return answer["result"] == "connected" and answer["by"] in wanted and \
        wanted[answer["by"]] in (None, answer.get("client"))


def brief(answer):
    by = f" by {answer['by']} as {answer.get('client')}" if answer.get("by") else ""
    label = f" [{answer['what']}]" if "what" in answer else ""
    return f"{answer['from']} -> {answer['to']} {answer['protocol']}:{answer['port']}{label}: {answer['result']}{by}" + \
        (f" ({answer['reason']})" if answer.get("reason") else "")


# --- sockets ---

def in_namespace(lab, where, function, *arguments):
    return netns.call(lab.namespace(where), function, *arguments)


def connect(lab, sender, address, port, seconds=5):
    """A TCP connection of somebody to any address, its greeting not read yet."""
    def body():
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(seconds)
        sock.connect((address, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    return in_namespace(lab, sender, body)


def greeting(sock):
    """(who, client's address) of a connection to a responder."""
    heard = b""
    while not heard.endswith(b"\n"):
        data = sock.recv(1)
        if not data:
            raise ConnectionError("closed before the greeting")
        heard += data
    who, client, _ = heard.decode().split()
    return who, client


def echoes(sock, data=b"ping\n", seconds=5):
    """True if it all comes back."""
    sock.settimeout(seconds)
    try:
        sock.sendall(data)
        heard = b""
        while len(heard) < len(data):
            more = sock.recv(65536)
            if not more:
                return False
            heard += more
        return heard == data
    except OSError:
        return False


main = labtest.main
