#!/usr/bin/python3 -B
"""The flows and groups of Services in a real switch: packets between pods, through doors, groups and conntrack.

    test-service-flows.py [--datapath kernel] [CASE...]

No daemon of ours: tests/golden/golden makes the flows, ovs-ofctl brings them into an Open vSwitch with the userspace
datapath, which runs in a network namespace of its own with the pods' ones beside it.

Covers services 6, 7, 9, 21, 23, 25, 27, and what flows/service-flow.h promises: a connection keeps its endpoint, replies
pass only if policy has let the other direction pass, nothing goes on untranslated."""
# time limit: 300 s
import contextlib
import ctypes
import os
import re
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

import frames

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "policy"))
import ovs  # noqa: E402

BUILD = os.environ.get("SLUICE_BUILD") or os.path.join(HERE, "..", "..", "build")
ROUTER, GATEWAY_MAC = "02:73:6c:00:00:01", "02:73:6c:00:00:02"
GATEWAY = {4: "10.244.1.1", 6: "fd00:10:244:1::1"}
HAIRPIN = {4: "169.254.192.1", 6: "fd53:4c00:0:1::1"}
NODE = {4: "192.0.2.1", 6: "fd00:192::1"}               # Of the node, behind its stack.
PODS = {"web-0": 5, "web-1": 6, "client": 7}
VIP = {4: "10.96.0.", 6: "fd00:10:96::"}
FAMILIES = (4, 6)
SLOW = float(os.environ.get("SLUICE_TEST_SLOWNESS", 1))
SCTP = 132
SIZE = 4000                                             # More than one frame holds.
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def addr(pod, family):
    return f"10.244.1.{PODS[pod]}" if family == 4 else f"fd00:10:244:1::{PODS[pod]}"


def vip(number, family):
    return f"{VIP[family]}{number}"


def mac(pod):
    return f"0a:00:00:00:01:{PODS[pod]:02x}"


def port_number(pod):
    return PODS[pod] + 5


class Namespace:
    """A network namespace without a name.  "with" enters it: what is opened or started inside stays there."""

    home = None

    def __init__(self):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.set(Namespace.home)

    @staticmethod
    def set(fd):
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def __enter__(self):
        self.set(self.fd)

    def __exit__(self, *_):
        self.set(Namespace.home)


def run(*argv, env=None):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * SLOW, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout}")
    return done.stdout


def neighbour(address, device):
    """The kernel's datapath cannot answer neighbour solicitation by flows, and there is no controller here."""
    run("ip", "neighbour", "replace", address, "lladdr", ROUTER, "dev", device, "nud", "permanent")


def write(path, value):
    with contextlib.suppress(FileNotFoundError), open(path, "w") as file:
        file.write(value)


class Servers:
    """Say who they are and who asks, and then echo: TCP and UDP on 8080 of each pod and of the node."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.asked = {}                 # Name: how often.

    def listen(self, name, port, udp_address=None):
        """'udp_address': what answers come from is the kernel's choice, if a server does not care."""
        for family in FAMILIES:
            kind = socket.AF_INET if family == 4 else socket.AF_INET6
            for what, protocol, ready in ((socket.SOCK_STREAM, 0, self.accept), (socket.SOCK_DGRAM, 0, self.datagram),
                                          (socket.SOCK_STREAM, SCTP, self.accept)):
                try:
                    sock = socket.socket(kind, what, protocol)
                except OSError:
                    continue            # No SCTP here.
                if family == 6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((udp_address[family] if udp_address and what == socket.SOCK_DGRAM else "", port))
                if what == socket.SOCK_STREAM:
                    sock.listen(64)
                sock.setblocking(False)
                self.selector.register(sock, selectors.EVENT_READ, (ready, name))

    def accept(self, sock, name):
        connection, peer = sock.accept()
        self.asked[name] = self.asked.get(name, 0) + 1
        connection.setblocking(False)
        connection.send(f"{name} {peer[0]}\n".encode())
        self.selector.register(connection, selectors.EVENT_READ, (self.echo, name))

    def echo(self, sock, _):
        try:
            data = sock.recv(65536)
        except ConnectionError:
            data = b""
        if data:
            sock.send(data)
        else:
            self.selector.unregister(sock)
            sock.close()

    def datagram(self, sock, name):
        data, peer = sock.recvfrom(65536)
        self.asked[name] = self.asked.get(name, 0) + 1
        if data != b"silence":
            sock.sendto(f"{name} {peer[0]} ".encode().ljust(len(data), b"."), peer)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                ready, name = key.data
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    ready(key.fileobj, name)


class Switch(ovs.Daemons):
    def __init__(self, kernel):
        super().__init__("sluice-service-flows-", ("ovs-appctl",))
        self.kernel, self.pods = kernel, {}

    def start(self):
        run("ovsdb-tool", "create", self.dir + "/conf.db", self.schema)
        self.spawn("ovsdb-server", self.dir + "/conf.db", "--remote=p" + self.db, f"--unixctl={self.dir}/ovsdb.ctl")
        self.wait_for(self.dir + "/db.sock")
        self.vsctl("--no-wait", "init")
        self.spawn("ovs-vswitchd", self.db, f"--unixctl={self.dir}/ovs.ctl")
        self.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=" + ("system" if self.kernel else "netdev"), "fail_mode=secure",
                   "protocols=OpenFlow10,OpenFlow15", "--", "add-port", "br-int", "sluice0", "--", "set", "interface",
                   "sluice0", "type=internal", "ofport_request=2", "mac=\"" + GATEWAY_MAC + "\"")
        self.node()
        for pod in PODS:
            self.add_pod(pod)

    def node(self):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "set", "sluice0", "up")
        for name in ("all", "sluice0"):
            write(f"/proc/sys/net/ipv4/conf/{name}/rp_filter", "0")
        for family in FAMILIES:
            flag = f"-{family}"
            run("ip", flag, "address", "add", GATEWAY[family] + ("/24" if family == 4 else "/64"), "dev", "sluice0",
                *(["nodad"] if family == 6 else []))
            run("ip", flag, "address", "add", NODE[family] + ("/32" if family == 4 else "/128"), "dev", "lo")
            run("ip", flag, "route", "add", "169.254.192.0/18" if family == 4 else "fd53:4c00:0:1::/64", "dev", "sluice0",
                "src", GATEWAY[family])
            run("ip", flag, "route", "add", "10.96.0.0/16" if family == 4 else "fd00:10:96::/64", "via",
                "169.254.192.2" if family == 4 else "fd53:4c00:0:1::2", "dev", "sluice0", "onlink", "src", GATEWAY[family])

            if self.kernel:
                neighbour("169.254.192.2" if family == 4 else "fd53:4c00:0:1::2", "sluice0")
                for address in [HAIRPIN[family]] + [addr(pod, family) for pod in PODS]:
                    neighbour(address, "sluice0")

    def add_pod(self, pod):
        space = self.pods[pod] = Namespace()
        name = f"p{port_number(pod)}"
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "address", mac(pod), "netns", space.path)
        # The node's stack must not answer what it hears there too (the product has nftables for it).
        write(f"/proc/sys/net/ipv4/conf/{name}/arp_ignore", "8")
        write(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "1")
        run("ip", "link", "set", name, "up")
        with space:
            run("ip", "link", "set", "lo", "up")
            run("ip", "link", "set", "eth0", "mtu", "1450", "up")
            run("ethtool", "-K", "eth0", "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")
            for family in FAMILIES:
                run("ip", f"-{family}", "address", "add", addr(pod, family) + ("/32" if family == 4 else "/128"), "dev",
                    "eth0", *(["nodad"] if family == 6 else []))
                run("ip", f"-{family}", "route", "add", GATEWAY[family], "dev", "eth0")
                run("ip", f"-{family}", "route", "add", "default", "via", GATEWAY[family], "dev", "eth0")
                if self.kernel:
                    neighbour(GATEWAY[family], "eth0")
        self.vsctl("add-port", "br-int", name, "--", "set", "interface", name, f"ofport_request={port_number(pod)}")

    def vsctl(self, *args):
        return run("ovs-vsctl", "--db=" + self.db, "--timeout=60", *args, env=self.env)

    def ofctl(self, command, *args):
        return run("ovs-ofctl", "-O", "OpenFlow15", command, f"unix:{self.dir}/br-int.mgmt", *args, env=self.env)

    def appctl(self, *args):
        return run("ovs-appctl", "-t", self.dir + "/ovs.ctl", *args, env=self.env)

    def load(self, text, forget=True):
        """Replaces all by what these lines of a fixture (tests/golden/fixture.h) compile to."""
        with open(self.dir + "/fixture.in", "w") as file:
            file.write(f"node n router-mac {ROUTER} gateway-mac {GATEWAY_MAC} gateway-port 2 tunnel-port none mtu 1450 "
                       f"kernel-datapath {'yes' if self.kernel else 'no'}\n"
                       f"pod-cidr 10.244.1.0/24 gateway {GATEWAY[4]}\npod-cidr fd00:10:244:1::/64 gateway {GATEWAY[6]}\n{text}")
        for kind in ("groups", "plain"):
            with open(f"{self.dir}/{kind}", "w") as file:
                lines = run(os.path.join(BUILD, "tests/golden/golden"), "--" + kind, self.dir + "/fixture.in")
                file.write(re.sub(r",meter_id=\d+", "", lines))
        if forget:
            self.ofctl("del-flows")
            self.ofctl("del-groups")
            self.appctl("dpctl/flush-conntrack")
        with open(f"{self.dir}/groups") as file:
            for line in file:
                run("ovs-ofctl", "-O", "OpenFlow15", "--may-create", "mod-group", f"unix:{self.dir}/br-int.mgmt",
                    line.strip(), env=self.env)
        run("ovs-ofctl", "-O", "OpenFlow15", "--bundle", "replace-flows", f"unix:{self.dir}/br-int.mgmt",
            self.dir + "/plain", env=self.env)
        self.appctl("revalidator/wait")

    def packets(self, table, priority):
        """Of all flows with this priority."""
        dump = self.ofctl("dump-flows", f"table={table}")
        return sum(int(n) for n, p in re.findall(r"n_packets=(\d+).* priority=(\d+)", dump) if int(p) == priority)


# Asking.

def tcp(space, target, port, protocol=0):
    with space:
        sock = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_STREAM, protocol)
    sock.settimeout(3 * SLOW)
    sock.connect((target, port))
    stream = sock.makefile("rwb")
    name, peer = stream.readline().split()
    return sock, stream, name.decode(), peer.decode()


def echo(stream, data=b"hello\n"):
    stream.write(data)
    stream.flush()
    return stream.read(len(data)) == data


def udp_socket(space, target, port, timeout=3):
    with space:
        sock = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout * SLOW)
    sock.connect((target, port))        # So only answers from there are taken.
    return sock


def ask(sock, data=b"x" * 80):
    sock.send(data)
    answer = sock.recv(65536)
    if len(answer) != len(data):
        raise RuntimeError(f"{len(answer)} bytes, not {len(data)}")
    name, peer = answer.decode().split(" ")[:2]
    return name, peer


def pods(**policy):
    return "".join(f"pod Pod/x/{pod}/eth0 port {port_number(pod)} mac {mac(pod)} addrs {addr(pod, 4)},{addr(pod, 6)} "
                   f"{policy.get(pod.replace('-', '_'), '')}\n" for pod in PODS)


def service(number, *endpoints, target=8080, port=80, door="", protocols=(6, 17)):
    """A door of both families at VIP 'number' to these pods, in equal shares."""
    text = ""
    for family in FAMILIES:
        group = number * 10 + family
        list_ = ";".join(f"{NODE[family] if e == 'node' else addr(e, family)},{target},{256 // len(endpoints)},0" for e in endpoints)
        text += f"group {group} set 0/0 endpoints {list_}\n"
        for protocol in protocols:
            text += f"door {vip(number, family)} {protocol}:{port} from anybody any group {group} {door}\n"
    return text + "".join(f"tracked-port {p}:{target}\n" for p in protocols)


class Test:
    def __init__(self, switch, servers):
        self.switch, self.servers = switch, servers
        self.passed = self.failed = 0

    def check(self, good, what, detail=""):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'ok' if good else 'FAILED'}: {what}{'' if good else ' ' + str(detail)}", flush=True)

    def one(self, what, call, want):
        try:
            got = call()
        except (OSError, RuntimeError, ValueError) as error:
            got = repr(error)
        self.check(got == want, what, f"{got}, not {want}")

    def tcp(self, source, target, port=80, protocol=0):
        sock, stream, name, peer = tcp(self.space(source), target, port, protocol)
        good = echo(stream)
        sock.close()
        return name, peer, good

    def space(self, name):
        return self.switch.pods[name] if name in PODS else contextlib.nullcontext()

    def udp(self, source, target, port=80, size=80):
        sock = udp_socket(self.space(source), target, port)
        answer = ask(sock, b"x" * size)
        sock.close()
        return answer

    def cluster_ip(self):
        self.switch.load(pods() + service(1, "web-0"))
        for family in FAMILIES:
            source = addr("client", family)
            self.one(f"services 6, 7: TCP, IPv{family}", lambda f=family: self.tcp("client", vip(1, f)), ("web-0", source, True))
            self.one(f"services 6, 7: UDP, IPv{family}", lambda f=family: self.udp("client", vip(1, f)), ("web-0", source))
            self.one(f"services 6: from the node, TCP, IPv{family}", lambda f=family: self.tcp("node", vip(1, f)),
                     ("web-0", GATEWAY[family], True))
            self.one(f"services 6: from the node, UDP, IPv{family}", lambda f=family: self.udp("node", vip(1, f)),
                     ("web-0", GATEWAY[family]))
            self.one(f"an endpoint by its own address, IPv{family}",
                     lambda f=family: self.tcp("client", addr("web-0", f), 8080), ("web-0", source, True))

    def sctp(self):
        """Only the kernel's conntrack knows it."""
        if not self.switch.kernel:
            return
        self.switch.load(pods() + service(1, "web-0", protocols=(SCTP,)))
        for family in FAMILIES:
            self.one(f"services 6: SCTP, IPv{family}", lambda f=family: self.tcp("client", vip(1, f), protocol=SCTP),
                     ("web-0", addr("client", family), True))

    def keeps(self):
        """services 23."""
        for family in FAMILIES:
            self.switch.load(pods() + service(1, "web-0"))
            sock, stream, name, _ = tcp(self.space("client"), vip(1, family), 80)
            datagrams = udp_socket(self.space("client"), vip(1, family), 80)
            before = ask(datagrams)[0]
            self.switch.load(pods() + service(1, "web-1"), forget=False)
            self.check((name, before) == ("web-0", "web-0"), f"IPv{family}: the first endpoint", (name, before))
            self.one(f"services 23: TCP keeps its endpoint, IPv{family}", lambda: echo(stream), True)
            self.one(f"services 23: UDP keeps its endpoint, IPv{family}", lambda: ask(datagrams)[0], "web-0")
            self.one(f"services 23: a new connection gets the new one, IPv{family}",
                     lambda f=family: self.tcp("client", vip(1, f))[0], "web-1")
            self.one(f"services 24: and so does UDP, IPv{family}", lambda f=family: self.udp("client", vip(1, f))[0], "web-1")
            sock.close()
            datagrams.close()

    def hairpin(self):
        deny = "subject 0,0 default-deny both"
        for what, policy in (("", ""), (", isolated by policy", deny)):
            self.switch.load(pods(web_0=policy) + service(1, "web-0"))
            for family in FAMILIES:
                self.one(f"services 7: itself, TCP, IPv{family}{what}", lambda f=family: self.tcp("web-0", vip(1, f)),
                         ("web-0", HAIRPIN[family], True))
                self.one(f"services 7: itself, UDP, IPv{family}{what}", lambda f=family: self.udp("web-0", vip(1, f)),
                         ("web-0", HAIRPIN[family]))
        sock = udp_socket(self.space("web-0"), HAIRPIN[4], 8080, 0.5)
        before = self.switch.packets(12, 180)
        sock.send(b"stray")
        self.one("nobody reaches itself without a Service", lambda: sock.recv(100), repr(TimeoutError("timed out")))
        self.check(self.switch.packets(12, 180) > before, "which CT_STATE.STRAY drops")
        sock.close()

    def u_turn(self):
        self.switch.load(pods() + service(1, "node"))
        for family in FAMILIES:
            self.one(f"services 15: the node to itself, TCP, IPv{family}", lambda f=family: self.tcp("node", vip(1, f)),
                     ("node", HAIRPIN[family], True))
            self.one(f"services 15: the node to itself, UDP, IPv{family}", lambda f=family: self.udp("node", vip(1, f)),
                     ("node", HAIRPIN[family]))
            self.one(f"services 15: a pod to the node, TCP, IPv{family}", lambda f=family: self.tcp("client", vip(1, f)),
                     ("node", addr("client", family), True))
            self.one(f"services 15: a pod to the node, UDP, IPv{family}", lambda f=family: self.udp("client", vip(1, f)),
                     ("node", addr("client", family)))

    def shards(self):
        text = "".join(f"group {g} set 0/0 endpoints {addr(p, 4)},8080,256,0\n" for g, p in ((11, "web-0"), (12, "web-1")))
        self.switch.load(pods() + text + "shard 7 00/80 group 11\nshard 7 80/80 group 12\ntracked-port 6:8080\n"
                         f"door {vip(1, 4)} 6:80 from anybody any shards 7\n")
        found = [self.tcp("client", vip(1, 4))[0] for _ in range(60)]
        share = found.count("web-0")
        self.check(12 <= share <= 48, "services 6: two shards", found)

    def affinity(self):
        def text(*names):
            return "".join(
                f"group {g + family} set {family}/{timeout} endpoints " + ";".join(
                    f"{addr(p, family)},8080,128,{n}" for n, p in names) + "\n" +
                f"select {family} group {g + family}\n" + "".join(
                    f"endpoint {family}/{timeout} {addr(p, family)},8080,128,{n}\n" for n, p in names) +
                f"door {vip(1, family)} 6:80 from anybody any affinity {family}\n"
                for g in (20,) for family in FAMILIES) + "tracked-port 6:8080\n"
        timeout = 10
        both = (1, "web-0"), (2, "web-1")
        self.switch.load(pods() + text(*both))
        for family in FAMILIES:
            found = {self.tcp("client", vip(1, family))[0] for _ in range(20)}
            self.check(len(found) == 1, f"services 21: one client, one endpoint, IPv{family}", found)
        learned = self.switch.ofctl("dump-flows", "table=7")
        self.check(learned.count("reg14") == 2, "services 21: learned once for each", learned)
        first = next(iter(found))
        gone, left = ("web-0", both[1]) if first == "web-0" else ("web-1", both[0])
        # As the daemon does it: only the flows and groups of what changed.
        number = 1 if gone == "web-0" else 2
        self.switch.ofctl("del-flows", f"table=9,reg13=6,reg14={number},ipv6")
        learned = self.switch.ofctl("dump-flows", "table=7")
        self.check("ipv6_src" not in learned and "nw_src" in learned,
                   "services 21: the endpoint's flow takes with it what was learned", learned)
        self.switch.load(pods() + text(left), forget=False)
        found = {self.tcp("client", vip(1, 6))[0] for _ in range(5)}
        self.check(found == {left[1]}, "services 21: then another endpoint", found)

        # Many endpoints: the shard goes by the client too.
        sharded = text(*both).replace("select 4 group 24", "select 4 group 1\nshard 4 00/80 group 24\nshard 4 80/80 group 30\n"
                                      f"group 30 set 4/10 endpoints {addr('web-0', 4)},8080,128,1;{addr('web-1', 4)},8080,128,2")
        self.switch.load(pods() + sharded)
        found = {self.tcp("client", vip(1, 4))[0] for _ in range(20)}
        self.check(len(found) == 1, "services 21: one client, one endpoint of many", found)

        timeout = 1
        self.switch.load(pods() + text(*both))
        self.tcp("client", vip(1, 4))
        for _ in range(60):
            if "reg14" not in self.switch.ofctl("dump-flows", "table=7"):
                break
            time.sleep(0.1)             # The switch tells nobody.
        self.check("reg14" not in self.switch.ofctl("dump-flows", "table=7"), "services 21: forgotten when its time is over")

    def reject(self):
        self.switch.load(pods() + "".join(f"door {vip(1, f)} 17:80 from anybody any reject 1\n"
                                          f"door {vip(2, f)} 0:0 from anybody any reject 2\n" for f in FAMILIES))
        for family in FAMILIES:
            for number, what in ((1, "a port"), (2, "the rest of an address")):
                priority = 410 if number == 1 else 100
                before = self.switch.packets(6, priority)
                sock = udp_socket(self.space("client"), vip(number, family), 80)
                sock.send(b"x")
                for _ in range(50):
                    if self.switch.packets(6, priority) > before:
                        break
                    time.sleep(0.1)     # Counters are late.
                self.check(self.switch.packets(6, priority) > before, f"services 9, 10: {what} goes to the controller, IPv{family}")
                sock.close()

    def node_port(self):
        text = "".join(f"node-address {NODE[f]}\ndoor node-v{f} 6:30080 from anybody any group {10 + f}\n" for f in FAMILIES)
        self.switch.load(pods() + service(1, "web-0") + text)
        for family in FAMILIES:
            self.one(f"services 12: a NodePort, IPv{family}", lambda f=family: self.tcp("client", NODE[f], 30080),
                     ("web-0", addr("client", family), True))

    def mark(self):
        """Who must not be asked cannot answer."""
        self.switch.load(pods(web_0="subject 0,0 default-deny ingress") + service(1, "web-0"))
        for family in FAMILIES:
            self.servers.asked.clear()
            sock = udp_socket(self.space("client"), vip(1, family), 80, 0.7)
            self.one(f"denied by policy, IPv{family}", lambda: ask(sock), repr(TimeoutError("timed out")))
            before = self.switch.packets(12, 250)
            with self.space("web-0"):   # As if it had been asked, from its port to that of the client.
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind(("eth0", 0))
            data = frames.udp(addr("web-0", family), addr("client", family), b"I was not asked", sport=8080,
                              dport=sock.getsockname()[1])
            raw.send(frames.ethernet(frames.mac(ROUTER), frames.mac(mac("web-0")), 0x800 if family == 4 else 0x86dd, data))
            self.one(f"and cannot answer, IPv{family}", lambda: sock.recv(100), repr(TimeoutError("timed out")))
            self.check(self.switch.packets(12, 250) > before, f"which CT_STATE.UNANSWERABLE drops, IPv{family}")
            self.check(not self.servers.asked, "nobody has heard of it", self.servers.asked)
            raw.close()
            sock.close()
        self.switch.load(pods() + service(1, "web-0"), forget=False)
        self.one("allowed afterwards", lambda: self.udp("client", vip(1, 4)), ("web-0", addr("client", 4)))

    def fragments(self):
        for policy in ("", "subject 0,0 default-deny egress"):
            self.switch.load(pods(web_1=policy) + service(1, "web-0", door="fragments"))
            for family in FAMILIES:
                self.one(f"services 27: {SIZE} bytes there and back, IPv{family}",
                         lambda f=family: self.udp("client", vip(1, f), size=SIZE), ("web-0", addr("client", family)))
        self.switch.load(pods() + service(1, "web-0") + "".join(f"door {vip(1, f)} 0:0 from anybody any reject 1\n"
                                                               for f in FAMILIES))
        for family in FAMILIES:
            sock = udp_socket(self.space("client"), vip(1, family), 80)
            self.one(f"services 27: small first, IPv{family}", lambda: ask(sock), ("web-0", addr("client", family)))
            self.one(f"services 27: then {SIZE} bytes, where the port is not alone, IPv{family}",
                     lambda: ask(sock, b"x" * SIZE), ("web-0", addr("client", family)))
            self.one(f"fragments without a Service, IPv{family}",
                     lambda f=family: self.udp("client", addr("web-1", f), 8080, SIZE), ("web-1", addr("client", family)))
            sock.close()

    def errors(self):
        """An ICMP error of the endpoint is about the Service, for who asked."""
        self.switch.load(pods() + service(1, "web-0", target=9))
        for family in FAMILIES:
            sock = udp_socket(self.space("client"), vip(1, family), 80)
            self.one(f"ICMP errors are translated, IPv{family}", lambda: ask(sock), repr(ConnectionRefusedError(111, "Connection refused")))
            sock.close()

    def invalid(self):
        """services 25."""
        self.switch.load(pods() + service(1, "web-0"))
        for family in FAMILIES:
            sock, stream, _, _ = tcp(self.space("client"), vip(1, family), 80)
            with self.space("client"):
                sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            sniffer.bind(("eth0", 0))
            sniffer.settimeout(0.7 * SLOW)
            with self.space("web-0"):
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind(("eth0", 0))
            segment = struct.pack("!HHIIBBHHH", 8080, sock.getsockname()[1], 1, 1, 5 << 4, 0x14, 100, 0, 0)
            packet = frames.ip(addr("web-0", family), addr("client", family), 6, segment)
            raw.send(frames.ethernet(frames.mac(ROUTER), frames.mac(mac("web-0")), 0x800 if family == 4 else 0x86dd, packet))
            seen, source = [], frames.packed(addr("web-0", family))
            with contextlib.suppress(TimeoutError):
                while True:
                    seen.append(sniffer.recv(2000))
            self.check(not any(source in frame for frame in seen),
                       f"services 25: a segment out of its window does not go on untranslated, IPv{family}", seen)
            self.one(f"services 25: and the connection lives, IPv{family}", lambda: echo(stream), True)
            for each in (sock, sniffer, raw):
                each.close()


def inside(arguments):
    Namespace.home = os.open("/proc/self/ns/net", os.O_RDONLY)
    kernel = arguments[:2] == ["--datapath", "kernel"]
    switch, servers = Switch(kernel), Servers()
    try:
        switch.start()
        servers.listen("node", 8080, udp_address=NODE)
        for pod, space in switch.pods.items():
            with space:
                servers.listen(pod, 8080)
        threading.Thread(target=servers.run, daemon=True).start()
        test = Test(switch, servers)
        names = arguments[2 * kernel:] or ("cluster_ip", "sctp", "keeps", "hairpin", "u_turn", "shards", "affinity", "reject", "node_port", "mark",
                                           "fragments", "errors", "invalid")
        for name in names:
            getattr(test, name)()
        print(f"{test.passed} passed, {test.failed} failed, 0 skipped")
        return test.failed != 0
    finally:
        switch.stop()


def main():
    if sys.argv[1:2] == ["--inside"]:
        try:
            sys.exit(inside(sys.argv[2:]))
        except ovs.Skip as reason:
            print(f"skipped: {reason}\n0 passed, 0 failed, 1 skipped")
            sys.exit(77)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-B", os.path.realpath(__file__), "--inside", *sys.argv[1:]])


main()
