"""Nodes for the OVSDB system tests: network namespaces with their own ovsdb-server, ovs-vswitchd and ovsdb-driver.

Everything has a name that begins with "ovsdb-PID-", and is gone when the rig is closed, whatever happened."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

SCHEMA = next((p for p in ("/usr/share/openvswitch/vswitch.ovsschema",
                           "/usr/local/share/openvswitch/vswitch.ovsschema") if os.path.exists(p)), None)
# The emulated guest is an order of magnitude slower.
SLOW = float(os.environ.get("SLUICE_TEST_SLOWNESS", "1"))


def run(*args, check=True, timeout=30, input=None, env=None):
    """Runs a command, returns its standard output."""
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout * SLOW,
                          input=input, env=env, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(args)}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what, condition, timeout=20):
    end = time.monotonic() + timeout * SLOW
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout * SLOW:.0f} s")
        time.sleep(0.02)


def listening(path):
    """A killed daemon leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


class Namespace:
    def __init__(self, rig, name):
        self.rig, self.name, self.ns = rig, name, f"ovsdb-{os.getpid()}-{name}"
        run("ip", "netns", "add", self.ns)
        rig.namespaces.append(self.ns)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args, **kwargs):
        return run("ip", "-n", self.ns, *args, **kwargs)

    def exec(self, *args, **kwargs):
        return run("ip", "netns", "exec", self.ns, *args, **kwargs)

    def mac(self, dev):
        return json.loads(self.ip("-j", "link", "show", "dev", dev))[0]["address"]

    def tx_off(self, dev):
        """Frames with unfinished checksums die in the userspace datapath (FACTS.md)."""
        self.exec("ethtool", "-K", dev, "tx", "off", check=False)

    def ping(self, dst, count=1, size=56, wait=1.0):
        """How many of 'count' pings were answered."""
        out = self.exec("ping", "-n", "-c", str(count), "-i", "0.2", "-W", str(wait * SLOW), "-s", str(size), "-M", "do",
                        dst, check=False, timeout=20)
        return next((int(line.split(" received")[0].split(", ")[-1]) for line in out.splitlines() if " received" in line), 0)


class Node(Namespace):
    """A namespace with OVS; self.driver() speaks to ovsdb-driver."""

    def __init__(self, rig, name, driver):
        super().__init__(rig, name)
        self.dir = os.path.join(rig.dir, name)
        self.processes = {}
        self.driver_path = driver
        os.mkdir(self.dir)
        run("ovsdb-tool", "-vconsole:off", "create", self.path("conf.db"), SCHEMA)
        self.start("ovsdb-server")
        self.start("ovs-vswitchd")
        self.start_driver()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def spawn(self, name, *args, **kwargs):
        env = dict(os.environ, OVS_RUNDIR=self.dir, OVS_LOGDIR=self.dir, OVS_DBDIR=self.dir)
        self.processes[name] = subprocess.Popen(["ip", "netns", "exec", self.ns, *args], env=env, **kwargs)

    def start(self, name):
        common = ["--pidfile", f"--log-file={self.path(name + '.log')}", "-vconsole:off", "-vsyslog:off",
                  *os.environ.get("OVS_RIG_VLOG", "").split()]
        if name == "ovsdb-server":
            self.spawn(name, name, self.path("conf.db"), f"--remote=punix:{self.path('db.sock')}", *common)
            wait_for("ovsdb-server", lambda: listening(self.path("db.sock")))
        else:
            self.spawn(name, name, f"unix:{self.path('db.sock')}", *common)

    def start_driver(self):
        self.spawn("driver", self.driver_path, self.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill(self, name):
        """SIGKILL, as a crash does it."""
        process = self.processes.pop(name, None)
        if process:
            process.kill()
            process.wait()

    def driver(self, command):
        process = self.processes["driver"]
        process.stdin.write(command + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        if command.split()[0] in ("wait", "base", "port") and not answer.startswith("ok"):
            raise AssertionError(f"{self.name}: {command}: {answer}\n{self.log_tail()}")
        return answer

    def log_tail(self):
        with open(self.path("ovs-vswitchd.log"), encoding="utf-8", errors="replace") as log:
            return "".join([line for line in log if "|coverage|" not in line][-30:])

    def state(self):
        """For the reader of a failure."""
        return "\n".join([f"--- {self.name} ---", self.appctl("tnl/neigh/show"), self.appctl("ovs/route/show"),
                          self.appctl("dpctl/show", "-s"), self.appctl("dpctl/dump-flows"), self.ip("neigh"),
                          self.exec("ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "unix:" + self.path("br-int.mgmt")),
                          self.ip("-s", "link"), self.log_tail()])

    def appctl(self, *args):
        return self.exec("env", f"OVS_RUNDIR={self.dir}", "ovs-appctl", "-t", "ovs-vswitchd", *args)

    def flows(self, *flows):
        wait_for("br-int", lambda: listening(self.path("br-int.mgmt")))
        self.exec("ovs-ofctl", "-O", "OpenFlow15", "add-flows", "unix:" + self.path("br-int.mgmt"), "-",
                  input="\n".join(flows) + "\n")

    def guard(self, *devices):
        """What hostnet.c does on the userspace datapaths: the kernel's stack must not see what OVS reads by AF_PACKET."""
        names = ", ".join(f'"{d}"' for d in devices)
        self.exec("nft", "-f", "-", input=f"""
table inet guard {{
    chain prerouting {{
        type filter hook prerouting priority -450;
        iifname {{ {names} }} drop
    }}
}}
table arp guard {{
    chain input {{
        type filter hook input priority -450;
        iifname {{ {names} }} drop
    }}
}}
""")

    def close(self):
        for name in list(self.processes):
            self.kill(name)


class Rig:
    def __init__(self):
        self.namespaces, self.nodes = [], []
        self.dir = tempfile.mkdtemp(prefix="ovsdb-rig-")

    def node(self, name, driver):
        node = Node(self, name, driver)
        self.nodes.append(node)
        return node

    def namespace(self, name):
        return Namespace(self, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.close()
        for ns in self.namespaces:
            run("ip", "netns", "del", ns, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
