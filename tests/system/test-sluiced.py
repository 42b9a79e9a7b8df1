#!/usr/bin/python3 -B
"""sluiced itself, on one node with real Open vSwitch: start and stop, what it does when Open vSwitch comes and goes, its socket, its
spool, its idleness, --cleanup.  CNI as such is tested by test-cni-conformance.py, several nodes by test-lab-*.py.  Issue 3."""
# time limit: 300 s
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.path.realpath(os.environ.get("SLUICE_BUILD") or os.environ.get("top_builddir") or os.path.join(TOP, "build"))
SLUICED = os.path.join(BUILD, "controller", "sluiced")
SLUICECTL = os.path.join(BUILD, "utilities", "sluicectl")
PLUGIN = os.path.join(BUILD, "ovs-cni", "ovs-cni")
SCHEMA = next((p for p in ("/usr/share/openvswitch/vswitch.ovsschema", "/usr/local/share/openvswitch/vswitch.ovsschema")
               if os.path.exists(p)), None)
NODE = """apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDRs: [10.244.1.0/24, "fd00:1::/64"]}
status: {addresses: [{type: InternalIP, address: 192.168.77.1}]}
"""


def run(*args, check=True, **kwargs):
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL, **kwargs)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(args)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what, condition, seconds=15):
    """For what nobody announces: processes of others."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


class Node:
    """A namespace with an uplink, Open vSwitch and sluiced; and pods."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="slt-")
        self.ns = f"sluiced-{os.getpid()}"
        self.processes, self.pods = {}, []
        for name in ("ovs", "run", "state", "src"):
            os.mkdir(self.path(name))
        run("ip", "netns", "add", self.ns)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
        for dev in ("up0", "up1"):
            self.ip("link", "set", dev, "up")
        self.ip("addr", "add", "192.168.77.1/24", "dev", "up0")
        self.write("src/node.yaml", NODE)
        self.write("sluiced.yaml", f"node: n1\nsource: {self.path('src')}\ndatapath: userspace\nuplink: auto\n"
                   f"run-dir: {self.path('run')}\nstate-dir: {self.path('state')}\novsdb: {self.db()}\n"
                   f"ovs-rundir: {self.path('ovs')}\n")
        self.make_database()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def db(self):
        return "unix:" + self.path("ovs", "db.sock")

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def ip(self, *args, **kwargs):
        return run("ip", "-n", self.ns, *args, **kwargs)

    def exec(self, *args, **kwargs):
        return run("ip", "netns", "exec", self.ns, *args, **kwargs)

    def make_database(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("ovs", "conf.db"))
        run("ovsdb-tool", "-vconsole:off", "create", self.path("ovs", "conf.db"), SCHEMA)

    def spawn(self, name, *args, **kwargs):
        env = {**os.environ, "OVS_RUNDIR": self.path("ovs"), **kwargs.pop("env", {})}
        self.processes[name] = subprocess.Popen(["ip", "netns", "exec", self.ns, *args], env=env, stdin=subprocess.DEVNULL,
                                                start_new_session=True, **kwargs)

    def start_ovs(self, names=("ovsdb-server", "ovs-vswitchd")):
        common = ["-vconsole:off", "-vsyslog:off"]
        for name in names:
            kwargs = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            log = [f"--log-file={self.path('ovs', name + '.log')}", f"--pidfile={self.path('ovs', name + '.pid')}"]
            if name == "ovsdb-server":
                self.spawn(name, name, self.path("ovs", "conf.db"), f"--remote=p{self.db()}", *log, *common, **kwargs)
                wait_for("ovsdb-server", lambda: os.path.exists(self.path("ovs", "db.sock")))
            else:
                self.spawn(name, name, self.db(), *log, *common, **kwargs)

    def start(self, *args, env=None):
        """Starts sluiced and waits for its READY=1."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            address = self.path("run", "notify")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            ready.bind(address)
            ready.settimeout(30)
            with open(self.path("sluiced.log"), "ab") as log:
                self.spawn("sluiced", SLUICED, "--config", self.path("sluiced.yaml"), *args, stdout=log, stderr=log,
                           env={"NOTIFY_SOCKET": address, **(env or {})})
            text = ready.recv(4096)
        assert b"READY=1" in text.split(b"\n"), text

    def pid(self):
        with open(self.path("run", "sluiced.pid"), encoding="utf-8") as file:
            return int(file.read())

    def stop(self, name, sig=signal.SIGTERM):
        process = self.processes.pop(name, None)
        if process:
            # "ip netns exec" became the program.
            process.send_signal(sig)
            return process.wait(30)
        return None

    def ctl(self, *args, check=True):
        return run(SLUICECTL, "-t", self.path("run"), *args, check=check)

    def status(self):
        return json.loads(self.ctl("status", "--json"))

    def wait_ready(self, what="ready"):
        self.ctl("wait", "--for", what, "--timeout", "30")

    def log(self):
        with open(self.path("sluiced.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def pod(self, name):
        """A namespace for a pod."""
        ns = f"{self.ns}-{name}"
        if ns not in self.pods:
            run("ip", "netns", "add", ns)
            self.pods.append(ns)
        return ns

    def cni(self, verb, container="", ns="", seconds=60, **more):
        """(exit status, JSON or None)"""
        conf = {"cniVersion": "1.1.0", "name": "net", "type": "ovs-cni", "socket": self.path("run", "cni.sock"),
                "spool": self.path("state", "spool"), **more}
        env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_PATH": "/nowhere",
               "CNI_NETNS": f"/run/netns/{ns}" if ns else "",
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={container}"}
        done = subprocess.run([PLUGIN], input=json.dumps(conf), capture_output=True, text=True, timeout=seconds, check=False,
                              env={**os.environ, **env})
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None

    def add(self, container):
        ns = self.pod(container)
        status, result = self.cni("ADD", container, ns)
        assert status == 0, result
        return ns, result["ips"][0]["address"].split("/")[0]

    def links(self):
        return [link["ifname"] for link in json.loads(self.ip("-j", "link")) if link["ifname"].startswith("slp")]

    def close(self):
        for name in ("sluiced", "ovs-vswitchd", "ovsdb-server"):
            with contextlib.suppress(Exception):
                self.stop(name, signal.SIGKILL)
        for ns in [*self.pods, self.ns]:
            run("ip", "netns", "del", ns, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Case(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def ping(self, ns, address):
        run("ip", "netns", "exec", ns, "ping", "-n", "-c", "1", "-W", "3", address)

    def start_all(self):
        self.node.start_ovs()
        self.node.start()
        self.node.wait_ready()

    # What labtest.py allows too: a busy machine; ovs-vswitchd that makes its socket before it listens; a port that is still down.
    ALLOWED = re.compile(r"\|timeval\|WARN\||br-int.mgmt: connection failed \(Connection refused\)"
                         r"|cannot add the route to .* by link .*(Invalid source address|Network is down)")

    def assert_no_warnings(self):
        bad = [line for line in self.node.log().splitlines()
               if ("|WARN|" in line or "|ERR|" in line or "anitizer" in line) and not self.ALLOWED.search(line)]
        self.assertEqual(bad, [])


class Life(Case):
    def test_ovs_comes_late(self):
        """Without Open vSwitch it starts, says what it waits for, keeps an ADD waiting, and goes on when it comes."""
        self.node.start()
        why = self.node.status()["reason"]
        self.assertIn(self.node.db(), why)
        status, error = self.node.cni("STATUS")
        self.assertEqual((status, error["code"]), (1, 50), error)
        ns = self.node.pod("a")
        env = {**os.environ, "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "a", "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/" + ns}
        conf = {"cniVersion": "1.1.0", "name": "net", "type": "ovs-cni", "socket": self.node.path("run", "cni.sock")}
        with subprocess.Popen([PLUGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as plugin:
            plugin.stdin.write(json.dumps(conf).encode())
            plugin.stdin.close()
            wait_for("the ADD waits", lambda: self.node.status()["counts"]["waiting"] == 1)
            self.node.start_ovs()
            self.assertEqual(plugin.wait(40), 0, plugin.stdout.read())
        self.node.wait_ready("realized")
        self.assertEqual(self.node.cni("STATUS")[0], 0)

    def test_stop_and_start(self):
        """SIGTERM leaves the dataplane; the next start sends nothing; so it is after SIGKILL."""
        self.start_all()
        ns, _ = self.node.add("a")
        _, other = self.node.add("b")
        for sig in (signal.SIGTERM, signal.SIGKILL):
            self.node.wait_ready("realized")
            status = self.node.stop("sluiced", sig)
            self.assertEqual(status, 0 if sig == signal.SIGTERM else -sig)
            self.ping(ns, other)
            self.node.start()
            self.node.wait_ready("realized")
            of = self.node.status()["openflow"]
            self.assertEqual((of["modifications"], of["bundles"]), (0, 0))
            self.assertEqual(json.loads(self.node.ctl("ipam", "check", "--json"))["findings"], [])
        self.assert_no_warnings()

    def test_database_lost(self):
        """ovsdb-server comes back with an empty database: bridges, ports and flows come back, pods keep their address."""
        self.start_all()
        ns, _ = self.node.add("a")
        _, other = self.node.add("b")
        self.node.stop("ovs-vswitchd", signal.SIGKILL)
        self.node.stop("ovsdb-server", signal.SIGKILL)
        wait_for("not ready", lambda: not self.node.status()["ready"])
        status, error = self.node.cni("STATUS")
        self.assertEqual((status, error["code"]), (1, 51), error)
        self.node.make_database()
        self.node.start_ovs()
        self.node.wait_ready("realized")
        self.ping(ns, other)
        self.assertIn("192.168.77.1/24", self.node.ip("addr"))

    def test_del_without_ovs(self):
        """DEL while Open vSwitch is away ends in bounded time; what it leaves goes when it is back."""
        self.start_all()
        self.node.add("a")
        self.node.stop("ovs-vswitchd", signal.SIGKILL)
        wait_for("not ready", lambda: not self.node.status()["ready"])
        self.assertEqual(self.node.cni("DEL", "a", self.node.pod("a"))[0], 0)
        self.node.start_ovs(("ovs-vswitchd",))
        self.node.wait_ready("realized")
        self.assertEqual(self.node.status()["ipam"][0]["unacknowledged"], 0)
        self.assertEqual(self.node.ctl("flows", "--object", "Pod/default/a").strip(), "")
        wait_for("the link goes", lambda: not self.node.links())

    def test_journal_damaged(self):
        """A torn end is moved aside and reported; what is before it counts.  ipam 5."""
        self.start_all()
        _, address = self.node.add("a")
        self.node.wait_ready("realized")
        self.node.stop("sluiced")
        journal = self.node.path("state", "journal")
        with open(journal, "ab") as file:
            file.write(b"\x40\0\0\0torn")
        self.node.start()
        self.node.wait_ready("realized")
        self.assertIn("the last 8 bytes were torn or corrupt", self.node.log())
        with open(journal + ".corrupt-1", "rb") as file:
            self.assertEqual(file.read(), b"\x40\0\0\0torn")
        self.assertIn(address, self.node.ctl("pods"))
        self.assertEqual(json.loads(self.node.ctl("ipam", "check", "--json"))["findings"], [])
        self.node.stop("sluiced")
        with open(journal, "r+b") as file:
            file.write(b"SLUICEJ9")
        done = subprocess.run(["ip", "netns", "exec", self.node.ns, SLUICED, "--config", self.node.path("sluiced.yaml")],
                              capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("not a journal of this version", done.stderr)

    def test_journal_disk_fails(self):
        """fdatasync() fails each time: the journal is written anew, and pods can be added.  ipam 5."""
        self.node.start_ovs()
        self.node.start(env={"SLUICE_FAULT": "journal-sync:fail:EIO"})
        self.node.wait_ready()
        self.node.add("a")
        self.assertIn("the journal's disk failed (Input/output error): writing the journal anew", self.node.log())
        self.node.stop("sluiced", signal.SIGKILL)
        self.node.start()
        self.node.wait_ready("realized")
        self.assertEqual(json.loads(self.node.ctl("ipam", "check", "--json"))["findings"], [])

    def test_node_object_returns(self):
        """The Node object goes and comes back as it was: not ready meanwhile, nothing is touched.  Issue 4, item 4."""
        self.start_all()
        before = self.node.status()["openflow"]["modifications"]
        os.unlink(self.node.path("src", "node.yaml"))
        wait_for("not ready", lambda: not self.node.status()["ready"])
        self.assertIn("there is no Node object of that name", self.node.status()["reason"])
        self.node.write("src/node.yaml", NODE)
        self.node.wait_ready("realized")
        self.assertEqual(self.node.status()["openflow"]["modifications"], before)

    def test_exhausted(self):
        """One address: the second ADD says what the pool is like; a released one is taken early.  ipam 4, 9."""
        self.node.write("src/node.yaml", NODE.replace("10.244.1.0/24", "10.244.1.0/30"))
        self.start_all()
        ns, address = self.node.add("a")
        status, error = self.node.cni("ADD", "b", self.node.pod("b"))
        self.assertEqual((status, error["code"]), (1, 11), error)
        self.assertIn("pool 10.244.1.0/30 is exhausted: 4 addresses, 3 reserved, 1 in use, 0 in quarantine", json.dumps(error))
        self.assertEqual(self.node.cni("STATUS")[1]["code"], 50)
        self.assertEqual(self.node.cni("DEL", "a", ns)[0], 0)
        self.assertEqual(self.node.add("b")[1], address)
        self.assertIn("no address was free: 1 so far were given before their quarantine was over", self.node.log())

    def test_second_daemon(self):
        """One daemon for each run directory; a socket that a dead one left is replaced."""
        self.start_all()
        second = subprocess.run([SLUICED, "--config", self.node.path("sluiced.yaml")], capture_output=True, text=True, check=False,
                                timeout=20)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another sluiced", second.stderr)
        self.node.stop("sluiced", signal.SIGKILL)
        self.assertTrue(os.path.exists(self.node.path("run", "cni.sock")))
        self.node.start()
        self.node.wait_ready()
        self.assertEqual(os.stat(self.node.path("run", "cni.sock")).st_mode & 0o777, 0o600)

    def test_bad_configuration(self):
        """Errors name the place and what is possible; nothing is touched."""
        for args, text in ((["--config", "/nonexistent"], "/nonexistent"), (["--datapath", "quick"], "userspace"),
                           (["--no-such-key", "1"], "--help"), (["extra"], "extra")):
            done = subprocess.run([SLUICED, "--config", self.node.path("sluiced.yaml"), *args], capture_output=True, text=True,
                                  check=False, timeout=20)
            self.assertEqual(done.returncode, 1, args)
            self.assertIn(text, done.stderr)
        self.assertEqual(os.listdir(self.node.path("state")), [])

    def test_reload(self):
        """SIGHUP: a good file counts, a bad one changes nothing, what cannot change waits."""
        self.start_all()
        pid = self.node.pid()
        config = open(self.node.path("sluiced.yaml"), encoding="utf-8").read()
        self.node.write("sluiced.yaml", config + "mtu: 1300\n")
        os.kill(pid, signal.SIGHUP)
        wait_for("the new MTU", lambda: self.node.status()["mtu"] == 1300)
        self.node.write("sluiced.yaml", config + "mut: 1300\n")
        os.kill(pid, signal.SIGHUP)
        wait_for("the complaint", lambda: "the configuration stays as it was" in self.node.log())
        self.assertEqual(self.node.status()["mtu"], 1300)
        self.node.write("sluiced.yaml", config.replace("node: n1", "node: n2"))
        os.kill(pid, signal.SIGHUP)
        wait_for("the old MTU", lambda: self.node.status()["mtu"] == 1450)
        self.assertEqual(self.node.status()["node"], "n1")


class Sockets(Case):
    def test_hostile_clients(self):
        """Garbage, silence and many connections do not keep others from being served."""
        self.start_all()
        clients = []
        for _ in range(300):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self.node.path("run", "cni.sock"))
            clients.append(client)
        for i, junk in enumerate((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\5{}{}{", b"GET / HTTP/1.0\r\n\r\n",
                                  b"\0\0\0\x12{\"v\":1,\"verb\":\"X\"}")):
            clients[i].settimeout(5)
            clients[i].sendall(junk)
            with contextlib.suppress(ConnectionResetError):
                clients[i].recv(4096)
        self.node.add("a")
        for client in clients:
            client.close()
        self.assertEqual(self.node.cni("DEL", "a", self.node.pod("a"))[0], 0)
        self.assertEqual(self.node.status()["counts"]["up"], 0)

    def test_spool(self):
        """A DEL that the plugin spooled is carried out: at the start, and while the daemon runs."""
        self.start_all()
        self.node.add("a")
        self.node.add("b")
        self.node.stop("sluiced", signal.SIGKILL)
        self.assertEqual(self.node.cni("DEL", "a", self.node.pod("a"))[0], 0)
        spool = self.node.path("state", "spool")
        names = [name for name in os.listdir(spool) if name.startswith("del-")]
        self.assertEqual(len(names), 1)
        shutil.copy(os.path.join(spool, names[0]), self.node.path("saved"))
        self.node.start()
        wait_for("the spooled DEL", lambda: not os.listdir(spool) and self.node.status()["counts"]["up"] == 1)

        with open(self.node.path("saved"), encoding="utf-8") as file:
            text = file.read().replace('"a"', '"b"')
        self.node.write("again", text)
        name = f"del-{time.time_ns()}-x"
        shutil.copy(self.node.path("again"), os.path.join(spool, "tmp-x"))
        before = self.node.status()["counts"]["up"]
        os.rename(os.path.join(spool, "tmp-x"), os.path.join(spool, name))
        wait_for("the second one", lambda: not [n for n in os.listdir(spool) if n.startswith("del-")])
        self.assertEqual(before, 1)


class Quiet(Case):
    def test_idle(self):
        """With 100 pods: at most 10 MB, and nothing at all happens when nothing happens."""
        self.start_all()
        for i in range(100):
            self.node.add(f"p{i}")
        self.node.wait_ready("realized")
        pid = self.node.pid()

        def switches():
            total = 0
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
            return total

        wait_for("calm", lambda: (before := switches(), time.sleep(1)) and switches() == before)
        before = switches()
        time.sleep(5)
        self.assertEqual(switches() - before, 0, "wake-ups in 5 s")
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        print(f"RSS with 100 pods: {rss} kB", file=sys.stderr)
        if "anitizer" not in run("ldd", SLUICED) and "asan" not in run("ldd", SLUICED):
            self.assertLessEqual(rss, 10 * 1024)
        self.assert_no_warnings()


class Cleanup(Case):
    def test_cleanup(self):
        """--cleanup leaves the node as it was, with the daemon's state files."""
        before = json.loads(self.node.ip("-j", "addr", "show", "up0"))[0]["addr_info"]
        self.start_all()
        self.node.add("a")
        self.node.stop("sluiced")
        done = subprocess.run(["ip", "netns", "exec", self.node.ns, SLUICED, "--config", self.node.path("sluiced.yaml"), "--cleanup"],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.node.links(), [])
        names = {link["ifname"] for link in json.loads(self.node.ip("-j", "link"))}
        self.assertEqual(names & {"br-int", "br-uplink", "sluice0", "sluice-tun"}, set())
        self.assertNotIn("sluice", self.node.exec("nft", "list", "tables"))
        after = json.loads(self.node.ip("-j", "addr", "show", "up0"))[0]["addr_info"]
        self.assertEqual([a["local"] for a in after if a["family"] == "inet"], [a["local"] for a in before if a["family"] == "inet"])
        self.assertTrue(os.path.exists(self.node.path("state", "journal")))

    def test_leaks_are_found(self):
        """A link that no attachment knows is named by ipam check, and gone after the next start."""
        self.start_all()
        self.node.ip("link", "add", "slpdeadbeef0000", "type", "veth", "peer", "name", "x0")
        out = subprocess.run([SLUICECTL, "-t", self.node.path("run"), "--json", "ipam", "check"], capture_output=True, text=True,
                             check=False, timeout=20).stdout
        self.assertIn("slpdeadbeef0000", out)
        self.node.stop("sluiced")
        self.node.start()
        self.assertNotIn("slpdeadbeef0000", self.node.links())


class Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    if os.geteuid() != 0 or not SCHEMA:
        print("skipped: needs root and Open vSwitch\n0 passed, 0 failed, 1 skipped")
        return 77
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:], sys.modules[__name__])
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
