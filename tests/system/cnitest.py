"""What the tests of the CNI plugin share: running the real binary, network namespaces, a daemon that answers by
script."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.path.realpath(os.environ.get("SLUICE_BUILD") or os.path.join(TOP, "build"))
PLUGIN = os.environ.get("OVS_CNI") or os.path.join(BUILD, "ovs-cni", "ovs-cni")
DEBIAN_PLUGINS = "/usr/lib/cni"         # Package containernetworking-plugins.
UNTRACED = {"ASAN_OPTIONS": "detect_leaks=0"}           # LeakSanitizer does not work under strace.
ADD_REPLY = {"v": 1, "code": 0, "result": {
    "hostIfname": "slp012345678901", "hostMac": "02:00:00:00:00:02", "ifname": "eth0", "mac": "02:00:00:00:00:01",
    "mtu": 1400, "ips": [{"address": "10.244.1.5/32", "gateway": "10.244.1.1"}, {"address": "fd00::5/128", "gateway":
    "fd00::1"}], "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}, {"dst": "::/0", "gw": "fd00::1"}]}}


class Outcome:
    """How one run of the plugin ended."""

    def __init__(self, code, out, err):
        self.exit, self.out, self.err = code, out, err

    @property
    def json(self):
        """The one document on stdout (matrix 20); fails if there is more, or less."""
        return json.loads(self.out)

    @property
    def code(self):
        """0, or the CNI error code."""
        return 0 if self.exit == 0 else self.json["code"]

    def __repr__(self):
        return "exit %d\nstdout: %s\nstderr: %s" % (self.exit, self.out.decode(errors="replace"),
                                                    self.err.decode(errors="replace"))


def environment(verb, container="c1", netns=None, ifname="eth0", path=None, args=None, **more):
    """The environment of a run; None leaves a variable out."""
    values = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": ifname,
              "CNI_PATH": path,
              "CNI_ARGS": args, **more}
    return {k: v for k, v in values.items() if v is not None}


def invoke(env, stdin=b"", prefix=(), timeout=60, program=None):
    """Runs the plugin.  'stdin' is bytes, an object for JSON, or a file."""
    if isinstance(stdin, (dict, list)):
        stdin = json.dumps(stdin).encode()
    kwargs = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    keep = {k: os.environ[k] for k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if k in os.environ}
    p = subprocess.run([*prefix, program or PLUGIN], env={**keep, **env}, capture_output=True, timeout=timeout,
                       check=False, **kwargs)
    return Outcome(p.returncode, p.stdout, p.stderr)


def kill_points(env, conf, directory):
    """One run of the plugin, traced: the list of (system call, how often before) where another run can be killed."""
    log = os.path.join(directory, "trace")
    o = invoke({**env, **UNTRACED}, conf, prefix=("strace", "-qq", "-o", log))
    counts, points = {}, []
    with open(log, encoding="utf-8", errors="replace") as f:
        for line in f:
            name = line.split("(")[0]
            if name.isidentifier() and name not in ("execve", "exit_group"):
                counts[name] = counts.get(name, 0) + 1
                points.append((name, counts[name]))
    return o, points[::1 + len(points) // 150]          # All of them, but with a sanitizer.


def killed_at(env, conf, point):
    """A run of the plugin that is killed (-9) when it enters this system call.  One that never comes to it (a poll() or
    recvfrom() that was not needed, because the answer came in one piece) ends by itself."""
    name, n = point
    inject = "inject=%s:signal=SIGKILL:when=%d" % (name, n)
    o = invoke({**env, **UNTRACED}, conf, prefix=("strace", "-qq", "-o", "/dev/null", "-e", inject))
    if o.exit == 0 and name not in ("poll", "restart_syscall", "recvfrom"):
        raise AssertionError("not killed at %s %d" % point)
    return o


class Netns:
    """A network namespace with a name."""

    count = 0

    def __init__(self):
        Netns.count += 1
        self.name = "cni-%d-%d" % (os.getpid(), Netns.count)
        self.path = "/run/netns/" + self.name
        subprocess.run(["ip", "netns", "add", self.name], check=True)

    def run(self, *command, check=True):
        """Output of a command inside."""
        return subprocess.run(["ip", "netns", "exec", self.name, *command], check=check, capture_output=True,
                              text=True).stdout

    def close(self):
        """Removes it; no error if it has gone."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


class ScriptedDaemon:
    """Answers on a unix socket by script, for faults of the protocol that a real sluiced does not have.

    'script' has one element for each connection: a dictionary is sent as a reply, bytes are sent raw, None closes the
    connection after the request, "refuse" before it, "hang" never answers.  The last element repeats.  What was asked
    is in 'requests'."""

    def __init__(self, path, *script):
        self.path, self.script, self.requests, self.inodes, self.held = path, list(script), [], [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path + ".new")
        self.listener.listen(64)
        os.rename(path + ".new", path)
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    def _receive(self, conn):
        data, fds, _, _ = socket.recv_fds(conn, 65536, 4)
        for fd in fds:
            self.inodes.append(os.fstat(fd).st_ino)
            os.close(fd)
        while data and len(data) < 4 + struct.unpack(">I", data[:4])[0]:
            data += conn.recv(65536)
        if data:
            self.requests.append(json.loads(data[4:]))

    def _serve(self, conn, action):
        if action == "refuse":
            conn.close()
            return
        self._receive(conn)
        if action == "hang":
            self.held.append(conn)
            return
        if isinstance(action, dict):
            body = json.dumps(action).encode()
            action = struct.pack(">I", len(body)) + body
        if action:
            conn.sendall(action)
        conn.close()

    def _main(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            action = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            try:
                self._serve(conn, action)
            except (BrokenPipeError, ConnectionResetError):
                conn.close()

    def close(self):
        """Stops listening and removes the socket."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for conn in self.held:
            conn.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


class Case(unittest.TestCase):
    """A test with a temporary directory, and namespaces and daemons that go with it."""

    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="cni-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.socket, self.spool = self.dir + "/cni.sock", self.dir + "/spool"

    def netns(self):
        """A new namespace."""
        ns = Netns()
        self.addCleanup(ns.close)
        return ns

    def daemon(self, *script):
        """A new scripted daemon."""
        d = ScriptedDaemon(self.socket, *script)
        self.addCleanup(lambda: d.listener.fileno() >= 0 and d.close())
        return d

    def conf(self, version="1.1.0", **more):
        """A network configuration that uses this test's directory."""
        return {"cniVersion": version, "name": "net", "type": "ovs-cni", "socket": self.socket, "spool": self.spool,
                "wait": 0,
                **more}

    def spooled(self):
        """The DELs in the spool, oldest first."""
        if not os.path.isdir(self.spool):
            return []
        names = sorted(n for n in os.listdir(self.spool) if not n.startswith("."))
        entries = []
        for name in names:
            with open(os.path.join(self.spool, name), encoding="utf-8") as f:
                entries.append(json.load(f))
        return entries

    def assert_ok(self, outcome, empty=True):
        """Success, with nothing on stdout unless a result is wanted, and nothing on stderr."""
        self.assertEqual(outcome.exit, 0, outcome)
        self.assertEqual(outcome.err, b"", outcome)
        if empty:
            self.assertEqual(outcome.out, b"", outcome)
        return outcome

    def assert_error(self, outcome, code, *texts):
        """An error object on stdout (P8, P9) with this code and these texts in its message."""
        self.assertNotEqual(outcome.exit, 0, outcome)
        self.assertGreater(outcome.exit, 0, outcome)
        document = outcome.json
        self.assertEqual(document["code"], code, outcome)
        self.assertIn(document["cniVersion"], ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"))
        self.assertLessEqual(set(document), {"cniVersion", "code", "msg", "details"})
        for text in texts:
            self.assertIn(text, document["msg"])
        return outcome


def main(module):
    """Runs the tests of a module and prints the closing line."""
    if os.geteuid():
        print("skipped: needs root\n0 passed, 0 failed, 1 skipped")
        sys.exit(77)
    result = unittest.main(module=module, exit=False, verbosity=1).result
    wrong = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
    bad = len({test.id().split(" ")[0] for test in wrong})      # Not each subtest.
    for test, reason in result.skipped:
        print("skipped: %s: %s" % (test, reason))
    passed = max(0, result.testsRun - bad - len(result.skipped))
    print("%d passed, %d failed, %d skipped" % (passed, bad, len(result.skipped)))
    sys.exit(1 if bad else 0)
