"""Asks from within a namespace of the lab whether an address answers: TCP, UDP, SCTP or ICMP echo.

One process asks hundreds a second: a thread enters the namespace of the one who asks just long enough to open the socket,
which stays there; everything else is one loop over non-blocking sockets.

A question is sent once.  A UDP datagram or an echo request that gets lost is "dropped", so the first packet counts."""
import errno
import heapq
import ipaddress
import json
import os
import selectors
import socket
import stat
import struct
import time

from . import netns
from .layout import LabError
from .cluster import store_of

LIMIT = 200                 # Questions under way.
GREETING_MAX = 1024
STREAMS = ("tcp", "sctp")
IPV6_RECVERR, IP_RECVERR = 25, 11


class Question:
    """One question with its answer to be."""

    def __init__(self, spec, address, where):
        self.spec, self.address, self.where = spec, address, where
        self.protocol = spec.get("protocol", "tcp").lower()
        self.token = os.urandom(8).hex()
        self.started = self.deadline = 0.0
        self.socket = None
        self.connected = False
        self.heard = b""
        self.answer = None

    def __lt__(self, other):
        return self.deadline < other.deadline


class Specs:
    """Questions that are there already."""

    def __init__(self, specs):
        self.specs = list(specs)

    def ended(self):
        return not self.specs

    def take(self, count):
        taken, self.specs = self.specs[:count], self.specs[count:]
        return taken

    def wants(self):
        """File descriptor to wait for, or None."""
        return None


class Lines(Specs):
    """Questions from a pipe, one JSON object a line."""

    def __init__(self, fd):
        super().__init__([])
        self.fd, self.rest, self.open = fd, b"", True

    def ended(self):
        return not self.specs and not self.open

    def wants(self):
        return self.fd if self.open and not self.specs else None

    def fill(self):
        data = os.read(self.fd, 65536)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop() if data else b""
        self.open = bool(data)
        self.specs += [json.loads(line) for line in lines if line.strip()]


def open_batch(path):
    """A file is read at once; a pipe as it comes."""
    if path == "-":
        if not stat.S_ISREG(os.fstat(0).st_mode):
            return Lines(0)
        path = "/proc/self/fd/0"
    with open(path) as file:
        return Specs(json.loads(line) for line in file if line.strip())


class Prober:
    def __init__(self, lab):
        self.lab = lab
        self.selector = selectors.DefaultSelector()
        self.deadlines = []
        self.namespaces = {}
        self.pods = None
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.selector.close()
        for fd in (self.home, *self.namespaces.values()):
            os.close(fd)

    # --- from names to addresses and namespaces ---

    def _pod(self, name):
        if self.pods is None:
            self.pods = {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod
                         for pod in store_of(self.lab).all("Pod")}
        return self.pods.get(name)

    def addresses(self, to):
        """All addresses of a pod, a node, "outside", a Service, or the one that is given."""
        if to in self.lab.nodes():
            return [str(address) for address in self.lab.node_addresses(to)]
        if to == "outside":
            return [str(address) for address in self.lab.gateways(0)]
        if to.startswith("service/"):
            return self._cluster_ips(to)
        if "/" in to:
            pod = self._pod(to)
            addresses = [entry["ip"] for entry in (pod or {}).get("status", {}).get("podIPs", [])]
            if not addresses:
                raise LabError(f"pod {to} has no address" if pod else f"there is no pod {to}")
            return addresses
        try:
            return [str(ipaddress.ip_address(to))]
        except ValueError:
            raise LabError(f"{to!r} is no pod (NAMESPACE/NAME), node, outside, service/NAMESPACE/NAME or address") from None

    def _cluster_ips(self, to):
        parts = to.split("/")
        service = store_of(self.lab).get("Service", *parts[1:]) if len(parts) == 3 else None
        addresses = [address for address in (service or {}).get("spec", {}).get("clusterIPs") or [] if address != "None"]
        if not addresses:
            raise LabError(f"{to} has no address" if service else f"there is no {to}: want service/NAMESPACE/NAME")
        return addresses

    def namespace_of(self, who):
        if "/" not in who:
            if who not in ("outside", *self.lab.nodes()):
                raise LabError(f"{who!r} is no pod (NAMESPACE/NAME), node or outside")
            return self.lab.netns(who)
        path = self.lab.path("pods", who.replace("/", ".", 1)[:240] + ".json")
        try:
            with open(path) as file:
                return json.load(file)["where"]
        except FileNotFoundError:
            raise LabError(f"pod {who} does not run") from None

    def question(self, spec):
        if spec.get("protocol", "tcp").lower() not in (*STREAMS, "udp", "icmp"):
            raise LabError(f"protocol {spec['protocol']!r}: want tcp, udp, sctp or icmp")
        where = self.namespace_of(spec["from"])
        if where not in self.namespaces:
            self.namespaces[where] = os.open(os.path.join(netns.NETNS_DIR, where), os.O_RDONLY | os.O_CLOEXEC)
        wanted = [address for address in self.addresses(spec["to"])
                  if not spec.get("family") or ipaddress.ip_address(address).version == int(spec["family"])]
        if not wanted:
            raise LabError(f"{spec['to']} has no address of family {spec['family']}")
        return Question(spec, wanted[0], where)

    # --- the loop ---

    def ask_all(self, source):
        """Yields the answers in the order of the questions.  'source' may be a pipe whose writer waits for answers."""
        waiting = []
        while waiting or not source.ended():
            for spec in source.take(LIMIT - len(waiting)):
                waiting.append(self._begin(spec))
                self._turn(0)
            while waiting and waiting[0].answer:
                yield waiting.pop(0).answer
            if len(waiting) == LIMIT or not source.specs and (waiting or not source.ended()):
                self._turn(None, source if len(waiting) < LIMIT else None)

    def ask(self, spec):
        return next(self.ask_all(Specs([spec])))

    def _begin(self, spec):
        try:
            question = self.question(spec)
        except (LabError, KeyError) as error:
            question = Question(spec, None, None)
            text = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            question.answer = {**spec, "result": "error", "reason": text}
            return question
        question.started = time.monotonic()
        question.deadline = question.started + seconds(spec.get("timeout", "1s"))
        heapq.heappush(self.deadlines, question)
        try:
            question.socket = self._open(question)
            self._send(question)
            self.selector.register(question.socket, selectors.EVENT_READ | (
                selectors.EVENT_WRITE if question.protocol in STREAMS else 0), question)
        except OSError as error:
            self._failed(question, error.errno)
        return question

    def _turn(self, limit, source=None):
        """Handles what has happened; 'limit' 0 does not wait, None waits for an answer, a deadline or more questions."""
        while self.deadlines and self.deadlines[0].answer:
            heapq.heappop(self.deadlines)
        if self.deadlines and limit is None:
            limit = max(0.0, self.deadlines[0].deadline - time.monotonic())
        fd = source.wants() if source else None
        if fd is not None:
            self.selector.register(fd, selectors.EVENT_READ, source)
        for entry, _ in self.selector.select(limit):
            if entry.data is source:
                source.fill()
            elif not entry.data.answer:
                self._heard(entry.data)
        if fd is not None:
            self.selector.unregister(fd)
        now = time.monotonic()
        while self.deadlines and self.deadlines[0].deadline <= now:
            question = heapq.heappop(self.deadlines)
            if not question.answer:
                self._finish(question, "connected" if question.connected else "dropped", reason="timed out")

    def _open(self, question):
        """The only moment inside the other namespace."""
        family = socket.AF_INET6 if ":" in question.address else socket.AF_INET
        netns.enter_fd(self.namespaces[question.where])
        try:
            if question.protocol == "icmp":
                sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK,
                                     socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP)
            else:
                kind = socket.SOCK_STREAM if question.protocol in STREAMS else socket.SOCK_DGRAM
                sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, socket.IPPROTO_SCTP if question.protocol == "sctp" else 0)
                if question.protocol == "sctp":
                    prepare_sctp(sock, family, question.address)
        finally:
            netns.enter_fd(self.home)
        return sock

    def _send(self, question):
        sport = int(question.spec.get("sport", 0))
        if sport and question.protocol != "icmp":
            question.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            question.socket.bind(("::" if ":" in question.address else "0.0.0.0", sport))
        port = 0 if question.protocol == "icmp" else int(question.spec["port"])
        error = question.socket.connect_ex((question.address, port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, "connect")
        if question.protocol == "udp":
            question.socket.send(question.token.encode())
        elif question.protocol == "icmp":
            question.socket.send(echo_request(":" in question.address, question.token.encode()))

    def _heard(self, question):
        if question.protocol in STREAMS and not question.connected:
            error = question.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._failed(question, error)
                return
            question.connected = True
            self.selector.modify(question.socket, selectors.EVENT_READ, question)
        try:
            data = question.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(question, error.errno)
            return
        self._parse(question, data)

    def _parse(self, question, data):
        if question.protocol == "icmp":
            if question.token.encode() in data and is_echo_reply(":" in question.address, data):
                self._finish(question, "connected", by=self._name_of(question.address))
            return
        question.heard += data
        if question.protocol in STREAMS and data and b"\n" not in question.heard and len(question.heard) < GREETING_MAX:
            return
        words = question.heard.decode(errors="replace").split()
        ours = len(words) >= 3 and (question.protocol in STREAMS or words[-1] == question.token)
        self._finish(question, "connected", by=words[0] if ours else "", client=words[1] if ours else "")

    def _failed(self, question, number):
        text = os.strerror(number)
        if question.connected:
            self._finish(question, "connected", reason=text)
        elif number in (errno.ECONNREFUSED, errno.ECONNRESET):
            self._finish(question, "refused")
        else:
            self._finish(question, "dropped", reason=text)

    def _finish(self, question, result, by="", client="", reason=""):
        if question.socket:
            try:
                self.selector.unregister(question.socket)
            except KeyError:
                pass
            question.socket.close()
        question.answer = {**question.spec, "address": question.address, "result": result, "by": by,
                           **({"client": client} if client else {}), **({"reason": reason} if reason else {}),
                           "ms": round((time.monotonic() - question.started) * 1000, 2)}

    def _name_of(self, address):
        self._pod("")
        for name, pod in self.pods.items():
            if not pod["spec"].get("hostNetwork") and \
                    {"ip": address} in pod.get("status", {}).get("podIPs", []):
                return name
        for node in self.lab.nodes():
            if ipaddress.ip_address(address) in self.lab.node_addresses(node):
                return node
        return "outside" if ipaddress.ip_address(address) in [
            *self.lab.internet(), *(gateway for subnet in range(self.lab.options["subnets"])
                                    for gateway in self.lab.gateways(subnet))] else address


def prepare_sctp(sock, family, to):
    """It tells of ICMP errors only if asked, and would offer all of the host's addresses to the other end."""
    sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR) if family == socket.AF_INET6 else (socket.IPPROTO_IP, IP_RECVERR)), 1)
    with socket.socket(family, socket.SOCK_DGRAM) as route:
        route.connect((to, 1))
        sock.bind((route.getsockname()[0], 0))


def echo_request(ipv6, token):
    body = struct.pack("!HH", int(token[:4], 16), 1) + token
    if ipv6:
        return struct.pack("!BBH", 128, 0, 0) + body        # The kernel fills the checksum in.
    return struct.pack("!BBH", 8, 0, checksum(struct.pack("!BBH", 8, 0, 0) + body)) + body


def is_echo_reply(ipv6, data):
    return data[0] == 129 if ipv6 else data[(data[0] & 15) * 4] == 0


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def seconds(text):
    """"1s", "500ms", 2."""
    try:
        value = str(text)
        return float(value[:-2]) / 1000 if value.endswith("ms") else float(value.removesuffix("s"))
    except ValueError:
        raise LabError(f"{text!r} is no time: say 1s or 500ms") from None
