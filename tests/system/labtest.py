"""What the system tests on sluice-lab share: a lab for each test class, its log rules, raw frames and sniffers.

A test class derives from LabCase and says what it wants in OPTIONS and PODS.  The lab is taken down in all cases.  Before that the
class's logs are read: a line of level WARN, ERR or EMER that no rule of ALLOWED_LOG explains fails the class."""
import contextlib
import ipaddress
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))
from labkit import layout, netns, probe  # noqa: E402
from labkit.node import DAEMONS, Node  # noqa: E402

LAB = os.path.join(os.path.dirname(HERE), "lab", "sluice-lab")
os.environ.setdefault("SLUICE_LAB_STATE", f"/run/slt-{os.getpid()}")
layout.STATE_TOP = os.environ["SLUICE_LAB_STATE"]

# (daemon, pattern, why it is no fault of ours)
ALLOWED_LOG = [
    ("ovs-vswitchd", r"(error receiving|ethtool command|ioctl|tc).* slp[0-9a-f]{12}.*(Network is down|No such device)",
     "a runtime removes the pod's namespace, and the link with it, as soon as DEL has answered"),
    ("ovs-vswitchd", r"setrlimit\(RLIMIT_MEMLOCK\) failed", "AF_XDP in a container without CAP_SYS_RESOURCE"),
    ("", r"\|timeval\|WARN\|", "a busy machine"),
    ("ovs-vswitchd", r"conntrack\|WARN\|Must flush tuple using the original pre-NATed tuple",
     "a connection has ended before its turn to be removed came (ct-audit.h)"),
    ("ovs-vswitchd", r"jsonrpc\|WARN\|unix#\d+: (receive|send) error: (Connection reset by peer|Broken pipe)",
     "sluiced was ended while it waited for the list of connections"),
    ("sluiced", r"rconn\|WARN\|.*br-int.mgmt: connection failed \(Connection refused\)",
     "ovs-vswitchd makes the socket before it listens; tried again at once"),
    ("sluiced", r"hostnet\|WARN\|cannot add the route to .* by link .*(Invalid source address|Network is down)",
     "ovs-vswitchd is still at the new port, whose address is not valid while it is down; tried again at once"),
]
# More, for tests that kill or restart.
SLUICED_WAS_KILLED = ("ovs-vswitchd", r"Broken pipe|Connection reset by peer", "sluiced was killed")
OVS_IS_RESTARTED = ("sluiced", r"(jsonrpc|rconn)\|WARN\|.*(ovs-vswitchd\.\d+\.ctl|br-int\.mgmt): ", "ovs-vswitchd is restarted")


class Lab:
    """One lab, driven by its command as a user would."""

    def __init__(self, purpose, options):
        self.name = f"{purpose[:8]}-{os.getpid()}"
        self.layout = layout.Lab(self.name)
        self.options = options

    def up(self):
        self("up", *self.options)
        self.layout.load()

    def __call__(self, verb, *arguments, stdin=None, check=True, timeout=120):
        done = subprocess.run([LAB, verb, "--name", self.name, *arguments], text=True, capture_output=True,
                              timeout=timeout, **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        if check and done.returncode != 0:
            raise AssertionError(f"sluice-lab {verb} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def apply(self, *objects):
        self("apply", "-f", "-", stdin=json.dumps({"kind": "List", "items": objects}))
        self("wait")

    def exec(self, where, *argv, check=True, timeout=60):
        return self("exec", where, "--", *argv, check=check, timeout=timeout)

    def start(self, where, *argv):
        """A command that runs beside the test; the caller ends it."""
        return subprocess.Popen([LAB, "exec", "--name", self.name, where, "--", *argv], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def status(self):
        return json.loads(self("status", "--json"))

    def ips(self, pod):
        """{family: address} of a pod, a node or outside."""
        with probe.Prober(self.layout) as prober:
            found = prober.addresses(pod)
        return {ipaddress.ip_address(address).version: address for address in found}

    def probe(self, *specs):
        lines = self("probe", "--batch", "-", stdin="".join(json.dumps(spec) + "\n" for spec in specs))
        return [json.loads(line) for line in lines.splitlines()]

    def namespace(self, where):
        """Also of "underlay", the switches between the nodes, where a node's port has the node's name."""
        if where == "underlay":
            return self.layout.netns("underlay")
        with probe.Prober(self.layout) as prober:
            return prober.namespace_of(where)

    def node(self, name):
        return Node(self.layout, name)

    # --- what must be the same before and after ---

    def flows(self, node):
        """Flows of br-int without their counters, sorted."""
        text = self.exec(node, "ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "--no-names", "dump-flows", "br-int")
        return sorted(line.strip() for line in text.splitlines() if "actions=" in line)

    def footprint(self, node):
        """Everything that a pod adds to a node: flows, groups, ports, links."""
        return {"flows": self.flows(node),
                "groups": self.exec(node, "ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "br-int").splitlines()[1:],
                "ports": sorted(self.exec(node, "ovs-vsctl", "list-ports", "br-int").split()),
                "links": self.links(node)}

    def links(self, node):
        return sorted(re.findall(r"^\d+: ([^:@]+)", self.exec(node, "ip", "-o", "link", "show"), re.M))

    def await_links(self, node, wanted, seconds=20):
        """Host ends are deleted in groups, after DEL has answered."""
        self.await_output(node, ["ip", "monitor", "link"], lambda: self.links(node) == wanted, seconds)

    def await_output(self, where, monitor, condition, seconds=30):
        """Waits for a condition, asked again whenever 'monitor' prints something."""
        process = self.start(where, *monitor)
        deadline = time.monotonic() + seconds
        try:
            while not condition():
                ready, _, _ = select.select([process.stdout], [], [], max(0, min(1, deadline - time.monotonic())))
                if ready and not os.read(process.stdout.fileno(), 65536):
                    raise AssertionError(f"{' '.join(monitor)} ended")
                if time.monotonic() > deadline:
                    raise AssertionError(f"not within {seconds} s")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    # --- logs ---

    def complaints(self, allowed):
        found = []
        for name in self.layout.nodes():
            for daemon in DAEMONS:
                with contextlib.suppress(FileNotFoundError), open(self.node(name).log_file(daemon), errors="replace") as log:
                    for line in log:
                        if (re.search(r"\|(WARN|ERR|EMER)\|", line) or "Sanitizer" in line or "runtime error:" in line) and \
                                not any(who in (daemon, "") and re.search(what, line) for who, what, _ in allowed):
                            found.append(f"{name} {daemon}: {line.rstrip()}")
        return found

    def tail_of_logs(self, lines=12):
        for name in self.layout.nodes():
            for daemon in ("sluiced", "ovs-vswitchd"):
                with contextlib.suppress(FileNotFoundError), open(self.node(name).log_file(daemon), errors="replace") as log:
                    told = [line for line in log if not re.search(r"\|(coverage|memory)\|", line)]
                    print(f"--- {name} {daemon}\n{''.join(told[-lines:])}", flush=True)


def pod(name, node, ports=("TCP:80", "UDP:53"), labels=None, host_network=False):
    namespace, name = name.split("/") if "/" in name else ("default", name)
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "none", "ports": [
        {"containerPort": int(port.split(":")[1]), "protocol": port.split(":")[0]} for port in ports]}]}
    if host_network:
        spec["hostNetwork"] = True
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": spec}


class LabCase(unittest.TestCase):
    OPTIONS = ()                # Of "sluice-lab up".
    PODS = ()
    ALLOWED_LOG = ()            # More of the same, for this class only.
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(re.sub(r"[^a-z0-9]", "", cls.__name__.lower()), cls.OPTIONS)
        cls.addClassCleanup(cls.lab, "down")
        cls.lab.up()
        try:
            if cls.PODS:
                cls.lab.apply(*cls.PODS)
        except BaseException:
            cls.lab.tail_of_logs()
            raise

    @classmethod
    def tearDownClass(cls):
        found = cls.lab.complaints([*ALLOWED_LOG, *cls.ALLOWED_LOG])
        if found:
            raise AssertionError("unexpected in the logs:\n" + "\n".join(found[:40]))

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.lab.tail_of_logs()

    def assert_same(self, now, before):
        """Footprints; says only what differs."""
        for part in before:
            gone, new = [[line for line in some if line not in others] for some, others in
                         ((before[part], now[part]), (now[part], before[part]))]
            self.assertFalse(gone or new, f"{part}: gone {gone}, new {new}")

    def assert_connected(self, specs):
        """Each of the questions is answered by its "expect", and where there is "client", seen from that."""
        wrong = []
        asked = [{key: value for key, value in spec.items() if key not in ("expect", "seen")} for spec in specs]
        for spec, answer in zip(specs, self.lab.probe(*asked), strict=True):
            if answer["result"] != "connected" or answer["by"] != spec["expect"] or \
                    spec.get("seen") and answer.get("client") not in (spec["seen"], None):
                wrong.append(f"{answer}, wanted by {spec['expect']} seen from {spec.get('seen', 'any')}")
        self.assertFalse(bool(wrong), f"{len(wrong)} of {len(specs)} wrong:\n" + "\n".join(wrong[:6]))

    def assert_all(self, result, specs):
        wrong = [str(answer) for answer in self.lab.probe(*specs) if answer["result"] != result]
        self.assertFalse(bool(wrong), f"{len(wrong)} of {len(specs)} not {result}:\n" + "\n".join(wrong[:6]))


def asking(sender, to, families=(4, 6), protocols=("tcp", "udp", "icmp"), ports=None, **more):
    """Questions of one to another in all families and protocols."""
    ports = ports or ({"tcp": 80, "udp": 53} if "/" in to else {"tcp": 9000, "udp": 9000})
    for family in families:
        for protocol in protocols:
            yield {"from": sender, "to": to, "family": family, "protocol": protocol, "timeout": "2s", "expect": to,
                   **({"port": ports[protocol]} if protocol != "icmp" else {}), **more}


# --- raw frames ---

class Sniffer:
    """All frames in one namespace, on one device or on all."""

    def __init__(self, lab, where, device=None):
        self.where = where
        self.socket = netns.call(lab.namespace(where), self._open, device)

    @staticmethod
    def _open(device):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        if device:
            sock.bind((device, 3))
        return sock

    def until(self, last, ignored_device=None, seconds=10):
        """Frames (device, bytes) up to the one that contains 'last', which must come, and not on 'ignored_device'."""
        found, deadline = [], time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{self.where}: the last frame did not come; before it {len(found)} frames")
            frame, (device, *_) = self.socket.recvfrom(65536)
            if device == ignored_device:
                continue
            found.append((device, frame))
            if last in frame:
                return found

    def close(self):
        self.socket.close()


def raw_socket(lab, where, device="eth0"):
    def body():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind((device, 0))
        return sock
    return netns.call(lab.namespace(where), body)


# --- the closing line ---

class _Result(unittest.TextTestResult):
    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skipped: {test}: {reason}", flush=True)


def main():
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    program = unittest.main(module="__main__", exit=False, verbosity=2,
                            testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=_Result, verbosity=2))
    result = program.result
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    with contextlib.suppress(OSError):
        os.rmdir(layout.STATE_TOP)
    print(f"{max(0, result.testsRun - failed - len(result.skipped))} passed, {failed} failed, {len(result.skipped)} skipped")
    sys.exit(1 if failed else 0)
