"""A node with real Open vSwitch and real sluiced for the tests of CNI, made by sluice-lab, and the runtime's side of
CNI."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import unittest

from cnitest import BUILD, PLUGIN, TOP, Case, environment, invoke

LAB = os.path.join(TOP, "tests", "lab", "sluice-lab")
STATE = os.path.realpath(os.environ.get("SLUICE_LAB_STATE") or "/run/sluice-lab")


def wait_for(what, condition, timeout=15):
    """Until 'condition' is true.  Only for what no one announces: kernel links that go, another process' file."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("%s: not within %d s" % (what, timeout))
        time.sleep(0.02)


def cnitool():
    """Path of libcni's own command line runtime; it is built into the cache, once.  Without Go the test is skipped."""
    if not shutil.which("go"):
        raise unittest.SkipTest("there is no Go toolchain to build libcni's cnitool with")
    source = os.path.join(TOP, "tests", "cnitool")
    with open(source + "/go.sum", "rb") as f:
        version = hashlib.sha256(f.read()).hexdigest()[:12]
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice", "cnitool-" + version)
    if not os.path.exists(cache):
        p = subprocess.run(["go", "build", "-mod=readonly", "-o", cache + ".new",
                            "github.com/containernetworking/cni/cnitool"],
                           cwd=source, capture_output=True, text=True, timeout=300, check=False)
        if p.returncode:
            raise unittest.SkipTest("cnitool cannot be built: " + p.stderr.strip()[-200:])
        os.rename(cache + ".new", cache)
    return cache


class Node:
    """node-1 of a lab of its own."""

    def __init__(self, name, *options):
        self.lab = name
        self.dir = os.path.join(STATE, name, "node-1")
        self.netns = "sluice-%s-node-1" % name
        self.prefix = ("ip", "netns", "exec", self.netns)
        self.call("up", "--nodes", "1", *options)
        wait_for("the node is realized", lambda: self.sluicectl("status")["realized"])
        self.baseline = self.flows()
        assert self.baseline

    def call(self, verb, *args, env=None, check=True):
        """A verb of sluice-lab."""
        p = subprocess.run([LAB, verb, "--name", self.lab, *args], capture_output=True, text=True, timeout=120,
                           check=False,
                           stdin=subprocess.DEVNULL, env={**os.environ, "SLUICE_BUILD": BUILD, **(env or {})})
        if check and p.returncode:
            raise AssertionError("sluice-lab %s %s: %s%s" % (verb, " ".join(args), p.stdout, p.stderr))
        return p.stdout

    def exec(self, *command, check=True):
        """Output of a command on the node, which finds the node's daemons."""
        return self.call("exec", "node-1", "--", *command, check=check)

    def sluicectl(self, *args):
        """JSON of sluicectl."""
        p = subprocess.run([os.path.join(BUILD, "utilities", "sluicectl"), "-t", self.dir + "/run", "--json", *args],
                           capture_output=True, text=True, timeout=30, check=False)
        if p.returncode and not p.stdout:
            raise AssertionError("sluicectl %s: %s" % (" ".join(args), p.stderr))
        return json.loads(p.stdout)

    def start(self, daemon, **env):
        """Starts a daemon that was stopped."""
        self.call("start", "node-1", daemon, env=env)
        if daemon == "sluiced":         # It listens; the switch is known a little later, if there is one.
            with contextlib.suppress(AssertionError, OSError, ValueError, subprocess.SubprocessError):
                wait_for("ready", lambda: self.sluicectl("status")["ready"], timeout=3)

    def stop(self, daemon, kill=False):
        """Stops a daemon, or kills it (-9)."""
        self.call("stop", *(["--kill"] if kill else []), "node-1", daemon)

    def restart(self, daemon="sluiced", **env):
        """Kills a daemon and starts it with these variables in its environment."""
        self.stop(daemon, kill=True)
        self.start(daemon, **env)

    def pid(self):
        """Of sluiced; 0 if there is none."""
        try:
            with open(self.dir + "/run/sluiced.pid", encoding="utf-8") as f:
                return int(f.read())
        except (OSError, ValueError):
            return 0

    def state(self):
        """Of sluiced's process: "R", "S", "T", ...; "" if it has gone."""
        try:
            with open("/proc/%d/stat" % self.pid(), encoding="utf-8") as f:
                return f.read().rsplit(")", 1)[1][1]
        except OSError:
            return ""

    def is_running(self):
        """Whether sluiced lives."""
        return self.state() not in ("", "Z", "X")

    def flows(self):
        """What is installed in br-int, without counters."""
        lines = self.exec("ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", "br-int").splitlines()
        return sorted(re.sub(r"^ *|^.*NXST.*$|^.*OFPST.*$", "", line) for line in lines if "OFPST" not in line)

    def ports(self):
        """Ports of pods in br-int."""
        return [p for p in self.exec("ovs-vsctl", "list-ports", "br-int").split() if p.startswith("slp")]

    def links(self):
        """Host ends of pods in the kernel."""
        out = subprocess.run(["ip", "-n", self.netns, "-j", "link"], capture_output=True, check=True).stdout
        return [link["ifname"] for link in json.loads(out) if link["ifname"].startswith("slp")]

    def used(self):
        """Addresses that are given out."""
        return sum(pool["used"] for pool in self.sluicectl("ipam"))

    def leaks(self):
        """Everything that is left of attachments; empty when all is well."""
        found = {"links": self.links(), "ports": self.ports(), "used": self.used(), "spool": self.spool(),
                 "flows": sorted(set(self.flows()) ^ set(self.baseline)), "check": self.sluicectl("ipam",
                                                                                                  "check")["findings"]}
        return {k: v for k, v in found.items() if v}

    def spool(self):
        """Files of the spool."""
        try:
            return [n for n in os.listdir(self.dir + "/state/spool") if not n.startswith(".")]
        except FileNotFoundError:
            return []

    def assert_clean(self, timeout=15):
        """The leak scan: no link, port, flow, address or spooled DEL is left."""
        left = {}

        def is_clean():
            left.clear()
            left.update(self.leaks())
            return not left
        try:
            wait_for("clean", is_clean, timeout)
        except AssertionError:
            raise AssertionError("left behind: %s" % {k: v[:3] if isinstance(v, list) else v for k, v
                                                      in left.items()}) from None

    def down(self):
        """Ends everything.  A report of a sanitizer or a failed assertion in sluiced's log is a failure."""
        if self.is_running():
            self.stop("sluiced")
        with open(self.dir + "/log/sluiced.log", encoding="utf-8", errors="replace") as f:
            bad = [line for line in f if re.search(r"Sanitizer|runtime error:|\|EMER\||assertion", line)]
        self.call("down", check=False)
        if bad:
            raise AssertionError("in sluiced's log: " + "".join(bad[:5]))


class LiveCase(Case):
    """A test against a node; at its end nothing of its attachments may be left."""

    node = None

    def setUp(self):
        super().setUp()
        self.socket, self.spool = self.node.dir + "/run/cni.sock", self.node.dir + "/state/spool"
        self.addCleanup(self._clean)
        self.attached = []

    def _clean(self):
        if not self.node.is_running():
            self.node.start("sluiced")
        for container, ifname, conf in self.attached:
            invoke(environment("DEL", container, ifname=ifname, path="/usr/lib/cni"), conf, prefix=self.node.prefix)
        self.node.assert_clean()

    def run_verb(self, verb, container, netns=None, ifname="eth0", conf=None, path="/usr/lib/cni", prefix=(), **more):
        """One run of the plugin in the node's namespace."""
        netns = getattr(netns, "path", netns)
        conf = {**(conf or self.conf()), **more}
        if verb == "ADD":
            self.attached.append((container, ifname, conf))
        return invoke(environment(verb, container, netns, ifname, path), conf, prefix=(*self.node.prefix, *prefix))

    def conf(self, version="1.1.0", **more):
        return super().conf(version, **{"wait": 5, "timeout": 40, **more})

    def add(self, container, netns, ifname="eth0", **more):
        """ADD that must succeed; the result."""
        return self.assert_ok(self.run_verb("ADD", container, netns, ifname, **more), empty=False).json

    def delete(self, container, netns=None, ifname="eth0", **more):
        """DEL that must succeed."""
        return self.assert_ok(self.run_verb("DEL", container, netns, ifname, **more))

    def check(self, container, netns, result, ifname="eth0", **more):
        """CHECK with this result of ADD."""
        return self.run_verb("CHECK", container, netns, ifname, prevResult=result, **more)

    def host_name(self, result):
        """Name of the host end."""
        return next(i["name"] for i in result["interfaces"] if i["name"].startswith("slp"))

    def gateways(self, result):
        """Gateways of the first addresses."""
        return [i["gateway"] for i in result["ips"]]

    def assert_talks(self, netns, result):
        """The container reaches its gateway in each family."""
        for gateway in self.gateways(result):
            netns.run("ping", "-n", "-c", "1", "-W", "3", gateway)


__all__ = ["LiveCase", "Node", "PLUGIN", "wait_for"]
