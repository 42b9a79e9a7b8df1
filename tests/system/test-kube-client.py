#!/usr/bin/python3 -B
# time limit: 400 s
"""lib/kube-client with a real API server: tests/kube/kube-watch (real-kubernetes 1 and 2)."""
import collections
import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
import unittest

import yaml

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "kube"), os.path.join(TOP, "tests", "lab")]
import apiserver  # noqa: E402
import labtest  # noqa: E402
from labkit.layout import build_dir, write_text  # noqa: E402

CRD = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies"
PATHS = ["/api/v1/nodes", "/api/v1/namespaces", "/api/v1/pods", "/api/v1/services",
         "/apis/discovery.k8s.io/v1/endpointslices", "/apis/networking.k8s.io/v1/networkpolicies", "/api/v1/configmaps"]


class Watch:
    """A running kube-watch."""

    def __init__(self, kubeconfig, *paths, quiet=False):
        options = [f"--path={path}" for path in paths] + (["--quiet"] if quiet else [])
        program = os.path.join(build_dir() or "", "tests", "kube", "kube-watch")
        self.process = subprocess.Popen([program, "--kubeconfig", kubeconfig, *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def until(self, seconds=20, **wanted):
        """The lines up to one with these members, that one last."""
        found, deadline = [], time.monotonic() + seconds
        while True:
            try:
                found.append(self.lines.get(timeout=max(0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {wanted} within {seconds} s, but {found[-5:]}") from None
            if all(found[-1].get(name) == value for name, value in wanted.items()):
                return found

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def stats(self):
        self.ask("stats")
        return self.until(what="stats")[-1]

    def call(self, method, path, body=None):
        self.ask(f"call {method} {path}" + (" " + json.dumps(body) if body else ""))

    def connections(self):
        """Established connections of the process."""
        inodes = set()
        for entry in os.listdir(f"/proc/{self.process.pid}/fd"):
            with contextlib.suppress(OSError):
                link = os.readlink(f"/proc/{self.process.pid}/fd/{entry}")
                if link.startswith("socket:["):
                    inodes.add(link[8:-1])
        with open(f"/proc/{self.process.pid}/net/tcp") as file:
            return sum(fields[3] == "01" and fields[9] in inodes for fields in map(str.split, file.readlines()[1:]))

    def close(self):
        self.process.stdin.close()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.reader.join(10)
            self.process.stdout.close()


class Relay:
    """Between client and server.  hold() lets the connections that are there now hang: TCP is well, they are mute."""

    def __init__(self, host, port):
        self.to = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.gates = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far, gate = socket.create_connection(self.to), threading.Event()
                gate.set()
                self.gates.append(gate)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink, gate), daemon=True).start()

    @staticmethod
    def _copy(source, sink, gate):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                gate.wait()
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def hold(self):
        for gate in self.gates:
            gate.clear()


class KubeClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(apiserver.Cluster())
        cls.admin = cls.cluster.client()
        cls.addClassCleanup(cls.admin.close)

    def watch(self, *paths, kubeconfig=None, quiet=False):
        made = Watch(kubeconfig or self.cluster.admin(), *paths, quiet=quiet)
        self.addCleanup(made.process.kill)
        return made

    def assert_rss(self, watch, kb):
        with open(f"/proc/{watch.process.pid}/maps") as file:
            if "libasan" not in file.read():
                self.assertLess(kb, 20000)

    @staticmethod
    def config_map(name, size=1):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
                "data": {"x": os.urandom(size // 2).hex()}}

    def test_idle(self):
        """Seven watches are seven connections, and cost nothing while nothing happens."""
        watch = self.watch(*PATHS, quiet=True)
        rss = watch.until(what="synced")[-1]["rss_kb"]
        for _ in range(3):              # The server, on a busy machine, may not be done with what came before.
            before = watch.stats()
            time.sleep(15)
            after = watch.stats()
            bookmarks, wakeups = after["bookmarks"] - before["bookmarks"], after["wakeups"] - before["wakeups"]
            if wakeups <= 2 * bookmarks + 4:
                break
        else:
            self.fail(f"{wakeups} wakeups in 15 s: {after}")
        self.assertLessEqual(watch.connections(), len(PATHS) + 1)
        self.assertEqual(after["failures"], 0)
        self.assert_rss(watch, rss)
        self.assertEqual(watch.close(), 0)

    def test_large_lists(self):
        """More than fits into buffers, on all connections at once: everything comes, once."""
        items = [self.config_map(f"large-{index}", 20000) for index in range(800)]
        self.cluster.create_all(items)
        self.addCleanup(self.cluster.delete_all, items)
        there = {item["metadata"]["uid"] for item in self.admin.list("ConfigMap")[0]}
        self.assertGreater(len(there), 800)
        watch = self.watch(*["/api/v1/configmaps"] * 6)
        seen = collections.Counter(line["uid"] for line in watch.until(60, what="synced") if line["what"] == "listed")
        self.assertEqual(set(seen), there)
        self.assertEqual(set(seen.values()), {6})
        stats = watch.stats()
        self.assertEqual((stats["lists"], stats["failures"]), (6, 0))
        self.assert_rss(watch, stats["rss_kb"])         # 6 times 16 MB have gone through it.
        self.assertEqual(watch.close(), 0)

    def test_events(self):
        watch = self.watch("/api/v1/configmaps")
        watch.until(what="synced")
        for number in range(50):
            item = self.config_map(f"event-{number}")
            made = self.admin.create(item)
            self.admin.merge("ConfigMap", "default", f"event-{number}", {"data": {"x": "y"}})
            self.admin.delete("ConfigMap", "default", f"event-{number}")
            lines = watch.until(what="deleted", name=f"event-{number}", uid=made["metadata"]["uid"])
            self.assertEqual([line["what"] for line in lines], ["added", "modified", "deleted"])
        self.assertEqual(watch.close(), 0)

    def test_calls(self):
        """Answers, good and bad, in any number at once."""
        watch = self.watch()
        watch.call("POST", "/api/v1/namespaces/default/configmaps", self.config_map("called"))
        self.assertEqual(watch.until(what="answer")[-1]["status"], 201)
        watch.call("PATCH", "/api/v1/namespaces/default/configmaps/called", {"data": {"x": "z"}})
        self.assertEqual(watch.until(what="answer")[-1]["answer"]["data"], {"x": "z"})
        watch.call("DELETE", "/api/v1/namespaces/default/configmaps/called")
        self.assertEqual(watch.until(what="answer")[-1]["status"], 200)
        watch.call("GET", "/api/v1/namespaces/default/configmaps/called")
        answer = watch.until(what="answer")[-1]
        self.assertEqual((answer["status"], answer["answer"]["reason"]), (404, "NotFound"))
        for _ in range(300):
            watch.call("GET", "/version")
        for _ in range(300):
            self.assertEqual(watch.until(what="answer")[-1].get("status"), 200)
        watch.call("GET", "/bad\x01")
        self.assertIn("URL", watch.until(what="answer")[-1].get("error", ""))
        self.assertEqual(watch.close(), 0)

    def test_renewed_token(self):
        """401 until the file has a token that the server takes; then at once."""
        token = os.path.join(self.cluster.folder, "renewed")
        good = self.admin.token_for("default", "default")
        write_text(token, "nonsense")
        watch = self.watch("/version", kubeconfig=self.cluster.kubeconfig("renewed", {"tokenFile": token}))
        self.assertIn("401", watch.until(what="problem")[-1]["text"])
        time.sleep(6)                           # Far into the backoff.
        write_text(token, good)
        begin = time.monotonic()
        # The account may read nothing: 403 to a list, which only someone who is known gets.
        while not (text := watch.until(what="problem")[-1]["text"]) or "401" in text:
            self.assertLess(time.monotonic() - begin, 5)
        self.assertLess(time.monotonic() - begin, 4)
        watch.close()

    def test_credentials_that_appear(self):
        path = os.path.join(self.cluster.folder, "later.kubeconfig")
        watch = self.watch("/api/v1/nodes", kubeconfig=path)
        self.assertIn(path, watch.until(what="problem")[-1]["text"])
        watch.call("GET", "/version")
        self.assertIn(path, watch.until(what="answer")[-1]["error"])
        with open(self.cluster.admin()) as file:
            write_text(path, file.read())
        watch.until(5, what="synced")
        self.assertEqual(watch.close(), 0)

    def test_outage(self):
        """The server goes and comes: the problem says so, and all collections go on within a second of its return."""
        watch = self.watch(*PATHS, CRD, quiet=True)
        watch.until(what="synced")
        self.cluster.stop("kube-apiserver")
        while not (text := watch.until(what="problem")[-1]["text"]) or "connection refused" not in text:
            pass
        time.sleep(5)
        self.assertLess(watch.stats()["failures"], 8 * 8)       # Less and less often.
        self.cluster.start("kube-apiserver")
        while watch.until(40, what="problem")[-1]["text"]:
            pass
        self.admin.create(self.config_map("after"))
        self.addCleanup(self.admin.delete, "ConfigMap", "default", "after")
        time.sleep(1)
        stats = watch.stats()
        self.assertGreaterEqual(stats["events"], 1)
        self.assertGreaterEqual(stats["watches"], 14)           # Each of the seven again.
        self.assertEqual(watch.close(), 0)

    def test_connection_that_hangs(self):
        """Behind a proxy a dead connection looks well; after a timeout the next request takes another one."""
        config = self.cluster.config()
        relay = Relay(config.host, config.port)
        self.addCleanup(relay.listener.close)
        with open(self.cluster.admin()) as file:
            user = yaml.safe_load(file)["users"][0]["user"]
        watch = self.watch("/api/v1/nodes", kubeconfig=self.cluster.kubeconfig("relay", user, relay.port))
        watch.until(what="synced")
        watch.call("GET", "/version")
        self.assertEqual(watch.until(what="answer")[-1].get("status"), 200)
        time.sleep(1)
        relay.hold()
        watch.call("GET", "/version")
        self.assertIn("within 30000 ms", watch.until(40, what="answer")[-1].get("error", ""))
        watch.call("GET", "/version")
        self.assertEqual(watch.until(5, what="answer")[-1].get("status"), 200)
        self.assertEqual(watch.close(), 0)


if __name__ == "__main__":
    reason = apiserver.missing()
    if reason:
        print(f"skipped: {reason}")
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(77)
    labtest.main()
