#!/usr/bin/env python3
"""The real ovs-cni without sluiced: environment, stdin, stdout, the spool, delegates, and a daemon that answers
wrongly.

Items of the acceptance list are named in each test; what needs sluiced and Open vSwitch is in test-cni-conformance."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

from cnitest import ADD_REPLY, DEBIAN_PLUGINS, PLUGIN, Case, environment, invoke, kill_points, killed_at, main

OK = {"v": 1, "code": 0}
VERBS = ("ADD", "DEL", "CHECK", "STATUS", "GC")


def prev_result(netns="/run/netns/x"):
    """A prevResult as our ADD makes it."""
    return {"cniVersion": "1.1.0", "interfaces": [{"name": "slp012345678901", "mac": "02:00:00:00:00:02"},
                                                  {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": netns}],
            "ips": [{"address": "10.244.1.5/32", "interface": 1}]}


class Process(Case):
    """P1 to P13, V1."""

    def test_about(self):
        """P2."""
        for env in ({}, {"CNI_COMMAND": ""}):
            o = invoke(env)
            self.assertEqual((o.exit, o.out), (0, b""))
            self.assertIn(b"CNI protocol versions supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0", o.err)

    def test_version(self):
        """V1, P6: any stdin, also none."""
        for stdin, version in ((b"", "1.1.0"), (b"{}", "1.1.0"), (b"{", "1.1.0"), (b"\0\xff", "1.1.0"),
                               (b'{"cniVersion":"0.4.0"}', "0.4.0"), (b'{"cniVersion":"0.1.0"}', "0.1.0")):
            o = invoke({"CNI_COMMAND": "VERSION"}, stdin)
            self.assertEqual(o.exit, 0)
            self.assertEqual(o.json, {"cniVersion": version,
                                      "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]})

    def test_unknown_verb(self):
        """P1."""
        for verb in ("add", "UPDATE", "ADD ", "\n"):
            self.assert_error(invoke(environment(verb, netns="/x"), self.conf()), 4, "CNI_COMMAND")

    def test_missing_environment(self):
        """P3, matrix 1: every needed variable times every verb."""
        needed = {"ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"), "CHECK": ("CNI_CONTAINERID", "CNI_NETNS",
                                                                                   "CNI_IFNAME"),
                  "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"), "GC": ("CNI_PATH",), "STATUS": ()}
        for verb, names in needed.items():
            for name in names:
                for value in (None, ""):
                    env = environment(verb, netns="/run/netns/x", path="/x", **{name: value})
                    self.assert_error(invoke({k: v for k, v in env.items() if v is not None}, self.conf()), 4, name)
            if names:
                self.assert_error(invoke({"CNI_COMMAND": verb}, self.conf()), 4, ", ".join(names))

    def test_bad_names(self):
        """P4, P5, matrix 2."""
        for verb in ("ADD", "DEL", "CHECK"):
            for container in ("-a", ".a", "../../etc", "a b", "a;b", "a\n", "x" * 300, "\udcff"):
                self.assert_error(invoke(environment(verb, container, "/x"), self.conf()), 4, "CNI_CONTAINERID")
            for ifname in (".", "..", "a/b", "a:b", "a b", "a\t", "1234567890123456", "\udcff"):
                self.assert_error(invoke(environment(verb, "c", "/x", ifname), self.conf()), 4, "CNI_IFNAME")
        for name in ("", "../x", "a b", "x" * 300, 7, None):
            self.assert_error(invoke(environment("DEL"), self.conf(name=name)), 7, "name")

    def test_stdin(self):
        """P6, matrix 3."""
        good = json.dumps(self.conf()).encode()
        for verb in VERBS:
            env = environment(verb, netns="/x", path="/x")
            for stdin in (b"", b" ", b"{", b"nonsense", b"[]", b"7", good[:-1], good + b"{}", good + b"\0",
                          good.replace(b"net", b"n\0t"),
                          b'{"a":' * 100000, b"[" * 100000, b'{"name":"a",' + good[1:], b"\xff" * 100,
                          b" " * (5 << 20)):
                self.assert_error(invoke(env, stdin), 6, "network configuration")
            directory = os.open("/", os.O_RDONLY)
            self.assert_error(invoke(env, directory), 5, "stdin")
            os.close(directory)

    def test_versions(self):
        """P7, matrix 4."""
        for version in ("0.1.0", "0.2.0", "1.2.0", "2.0.0", "", "x", "1.1", "1.1.0 ", "x" * 1000):
            for verb in VERBS:
                self.assert_error(invoke(environment(verb, netns="/x", path="/x"), self.conf(version)), 1)
        self.assert_error(invoke(environment("CHECK", netns="/x"), self.conf("0.3.1")), 1, "CHECK")
        for version in ("0.3.1", "0.4.0", "1.0.0"):
            self.assert_error(invoke(environment("STATUS"), self.conf(version)), 1, "STATUS")
            self.assert_error(invoke(environment("GC", path="/x"), self.conf(version,
                                                                             **{"cni.dev/valid-attachments": []})), 1)
            o = self.assert_error(invoke(environment("ADD", netns="/nowhere"), self.conf(version)), 8)
            self.assertEqual(o.json["cniVersion"], version)

    def test_netns(self):
        """P10, matrix 25: not our own namespace; not something else."""
        daemon, ns, other = self.daemon(ADD_REPLY), self.netns(), self.netns()
        inside = ("ip", "netns", "exec", ns.name)
        for path in ("/proc/self/ns/net", ns.path):
            for verb, more in (("ADD", {}), ("CHECK", {"prevResult": prev_result(path)})):
                o = invoke(environment(verb, netns=path), self.conf(**more), prefix=inside)
                self.assert_error(o, 8, "plugin itself")
        self.assertEqual(daemon.requests, [])
        for path in ("/nowhere", "/dev/null", "/proc/self/ns/mnt", "/", self.dir):
            self.assert_error(invoke(environment("ADD", netns=path), self.conf()), 8, path)
        self.assertEqual(daemon.requests, [])

        self.assert_ok(invoke(environment("ADD", netns=other.path), self.conf(), prefix=inside), empty=False)
        for value in ("1", "TRUE", "true"):
            self.assert_ok(invoke(environment("ADD", netns=ns.path, CNI_NETNS_OVERRIDE=value), self.conf(),
                                  prefix=inside), empty=False)
        self.assert_error(invoke(environment("ADD", netns=ns.path, CNI_NETNS_OVERRIDE="0"), self.conf(),
                                 prefix=inside), 8)
        self.assertEqual(len(daemon.requests), 4)
        self.assertEqual(daemon.inodes, [os.stat(other.path).st_ino] + 3 * [os.stat(ns.path).st_ino])

    def test_del_of_own_netns(self):
        """P10, D1: a PID that was used again.  The attachment is released, the namespace is not handed on, the error is
        told."""
        daemon = self.daemon(OK)
        self.assert_error(invoke(environment("DEL", netns="/proc/self/ns/net"), self.conf()), 8, "released")
        self.assertEqual(([r["verb"] for r in daemon.requests], daemon.inodes), (["DEL"], []))

    def test_closed_descriptors(self):
        """P8: a runtime that left stdin, stdout or stderr closed must not get our socket in their place."""
        daemon, ns = self.daemon(ADD_REPLY), self.netns()
        with open(self.dir + "/conf", "w", encoding="utf-8") as f:
            json.dump(self.conf(), f)
        script = 'exec "$0" < "$1" %s'
        for redirect in (">&-", "2>&-", ">&- 2>&-"):
            subprocess.run(["sh", "-c", script % redirect, PLUGIN, self.dir + "/conf"], env=environment("ADD",
                                                                                                        netns=ns.path),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False)
        self.assertEqual([r["verb"] for r in daemon.requests], 3 * ["ADD"])

    def test_stdout_full(self):
        """P8: a result that cannot be written is a failure."""
        self.daemon(ADD_REPLY)
        with open("/dev/full", "wb") as full:
            p = subprocess.run([PLUGIN], env=environment("ADD", netns=self.netns().path),
                               input=json.dumps(self.conf()).encode(),
                               stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn(b"No space left", p.stderr)

    def test_unknown_things(self):
        """P12, P13."""
        daemon, ns = self.daemon(ADD_REPLY), self.netns()
        conf = self.conf(**{"capabilities": {"x": True}, "cni.dev/new": {}, "args": {"other": {}}, "new": [1, 2],
                            "runtimeConfig": {"x": 1}})
        env = environment("ADD", netns=ns.path, TRACEPARENT="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                          TRACESTATE="a=b",
                          BAGGAGE="x=y", CNI_NEW="z")
        self.assert_ok(invoke(env, conf), empty=False)
        self.assertEqual(len(daemon.requests), 1)

    def test_args(self):
        """Matrix 24, and what Kubernetes sends."""
        daemon, ns = self.daemon(ADD_REPLY), self.netns()
        args = "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1"
        self.assert_ok(invoke(environment("ADD", netns=ns.path, args=args), self.conf()), empty=False)
        self.assert_ok(invoke(environment("ADD", netns=ns.path, args="IgnoreUnknown=1;X=y;" + args), self.conf()),
                       empty=False)
        for request in daemon.requests:
            self.assertEqual([request[k] for k in ("podNamespace", "podName", "podUID")], ["ns", "pod", "u1"])
        self.assert_error(invoke(environment("ADD", netns=ns.path, args="X=y;" + args), self.conf()), 4, "X")
        self.assertEqual(len(daemon.requests), 2)


class Add(Case):
    """A2 to A10 as far as the plugin decides them."""

    def test_result(self):
        """A2 to A4, matrix 20: in every version."""
        self.daemon(ADD_REPLY)
        ns = self.netns()
        for version in ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
            r = self.assert_ok(invoke(environment("ADD", netns=ns.path), self.conf(version)), empty=False).json
            self.assertEqual(r["cniVersion"], version)
            self.assertEqual([(i["name"], i.get("sandbox")) for i in r["interfaces"]],
                             [("slp012345678901", None), ("eth0", ns.path)])
            self.assertEqual([i.get("mtu") for i in r["interfaces"]], [1400 if version == "1.1.0" else None] * 2)
            self.assertEqual([(i["address"], i["interface"]) for i in r["ips"]], [("10.244.1.5/32", 1), ("fd00::5/128",
                                                                                                         1)])
            self.assertEqual([i.get("version") for i in r["ips"]], ["4", "6"] if version < "1" else [None, None])
            self.assertEqual([x["dst"] for x in r["routes"]], ["0.0.0.0/0", "::/0"])
            self.assertNotIn("dns", r)

    def test_prev_result(self):
        """A5."""
        self.daemon(ADD_REPLY)
        prev = {"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "pciID": "x"}], "ips": [{"address": "127.0.0.1/8",
                                                                                              "interface": 0}],
                "routes": [{"dst": "9.0.0.0/8"}], "dns": {"nameservers": ["9.9.9.9"]}, "foreign": {"a": [1]}}
        r = invoke(environment("ADD", netns=self.netns().path), self.conf(prevResult=prev, dns={"domain": "x"})).json
        for key in ("interfaces", "ips", "routes"):
            self.assertEqual(r[key][0], prev[key][0])
        self.assertEqual((r["dns"], r["foreign"]), (prev["dns"], prev["foreign"]))
        self.assertEqual([i["interface"] for i in r["ips"]], [0, 2, 2])

    def test_wishes(self):
        """Capabilities (2.8): what is implemented reaches the daemon, what is not is refused with key and value."""
        daemon, ns = self.daemon(ADD_REPLY), self.netns()
        rc = {"portMappings": [{"hostPort": 0, "containerPort": 80},
                               {"hostPort": 81, "containerPort": 80, "protocol": "UDP", "hostIP": "192.0.2.1"},
                               {"hostPort": 81, "containerPort": 80, "hostIP": ""}],
              "ips": ["10.244.1.9/24"], "mac": "02:00:00:00:00:05"}
        self.assert_ok(invoke(environment("ADD", netns=ns.path), self.conf(runtimeConfig=rc, mtu=1300)), empty=False)
        request = daemon.requests[0]
        self.assertEqual((request["ips"], request["mac"], request["mtu"]), (rc["ips"], rc["mac"], 1300))
        self.assertEqual(request["portMappings"],
                         [{"hostPort": 81, "containerPort": 80, "protocol": "udp", "hostIP": "192.0.2.1"},
                          {"hostPort": 81, "containerPort": 80, "protocol": "tcp"}])
        for code, rc, texts in (
                (2, {"bandwidth": {"ingressRate": 1}}, ("bandwidth", "ingressRate")),
                (7, {"portMappings": [{"hostPort": 81, "containerPort": 80, "protocol": "x"}]}, ("portMappings", "protocol")),
                (7, {"portMappings": [{"hostPort": 65536, "containerPort": 80}]}, ("portMappings", "hostPort")),
                (7, {"portMappings": [{"hostPort": 81, "containerPort": 80, "hostIP": "a"}]}, ("portMappings", "hostIP"))):
            self.assert_error(invoke(environment("ADD", netns=ns.path), self.conf(runtimeConfig=rc)), code, *texts)
        self.assertEqual(len(daemon.requests), 1)

    def test_daemon_refuses(self):
        """P9: code, message and details of the daemon are ours."""
        self.daemon({"v": 1, "code": 101, "msg": "eth0 exists", "details": "since yesterday"})
        o = self.assert_error(invoke(environment("ADD", netns=self.netns().path), self.conf()), 101, "eth0 exists")
        self.assertEqual(o.json["details"], "since yesterday")

    def test_daemon_absent(self):
        """A10: a bounded wait, then 11; with a socket that nobody listens on too."""
        ns = self.netns()
        for wait in (0, 1):
            start = time.monotonic()
            self.assert_error(invoke(environment("ADD", netns=ns.path), self.conf(wait=wait)), 11,
                              "sluiced does not run")
            self.assertTrue(wait <= time.monotonic() - start < wait + 1)
        daemon = self.daemon(ADD_REPLY)
        os.link(self.socket, self.dir + "/kept")
        daemon.close()
        os.rename(self.dir + "/kept", self.socket)
        self.assert_error(invoke(environment("ADD", netns=ns.path), self.conf()), 11, "refused")
        self.assertEqual(self.spooled(), [])

    def test_daemon_comes(self):
        """A10: the wait ends when the daemon is there."""
        ns = self.netns()
        for leave_stale in (False, True):
            if leave_stale:
                stale = socket.socket(socket.AF_UNIX)
                stale.bind(self.socket)
                stale.close()
            started = []
            timer = threading.Timer(0.3, lambda: started.append(self.daemon(ADD_REPLY)))
            start = time.monotonic()
            timer.start()
            o = invoke(environment("ADD", netns=ns.path), self.conf(wait=20))
            timer.join()
            self.assert_ok(o, empty=False)
            self.assertLess(time.monotonic() - start, 5)
            started[0].close()

    def test_protocol_faults(self):
        """A10, and answers that no sluiced gives."""
        ns = self.netns()
        for action, code in ((None, 11), ("refuse", 11), ("hang", 11), (b"\0", 11), (b"\0\0\0\x10{", 11), (b"\0\0\0\0",
                                                                                                           100),
                             (b"\xff\xff\xff\xff", 100), (b"\0\0\0\4abcd", 100), (b"\0\0\0\2{}", 100), ({"v": 2,
                                                                                                         "code": 0},
                                                                                                         100),
                             ({"v": 1, "code": 0}, 100), ({"v": 1, "code": 0, "result": {"ips": 7}}, 100),
                             ({"v": 1, "code": -7}, 100), ({"v": 1, "code": "0"}, 100)):
            daemon = self.daemon(action)
            o = invoke(environment("ADD", netns=ns.path), self.conf(timeout=1))
            self.assert_error(o, code)
            daemon.close()


class Del(Case):
    """D1 to D10 as far as the plugin decides them."""

    def test_best_effort(self):
        """D1, D3, D4, matrix 7 to 10: whatever is missing or wrong, the daemon is asked to release."""
        daemon = self.daemon(OK)
        for netns in (None, "", "/nowhere", "/dev/null", "/proc/999999/ns/net"):
            for more in ({}, {"prevResult": 7}, {"prevResult": {"ips": 7}}, {"runtimeConfig": 7}, {"args": 7},
                         {"dns": 7}):
                self.assert_ok(invoke(environment("DEL", netns=netns, args="non;sense"), self.conf(**more)))
        self.assertEqual(len(daemon.requests), 30)
        self.assertTrue(all(r["verb"] == "DEL" and r["containerID"] == "c1" and r["ifname"] == "eth0" for r
                            in daemon.requests))

    def test_spool(self):
        """D9, D2: no daemon.  Every DEL is kept, none is lost, and it is a success."""
        for i in range(3):
            self.assert_ok(invoke(environment("DEL", "c%d" % i, netns="/nowhere"), self.conf()))
        self.assert_ok(invoke(environment("DEL", "c2"), self.conf("0.3.1")))
        entries = self.spooled()
        self.assertEqual([(e["verb"], e["network"], e["containerID"], e["ifname"]) for e in entries],
                         [("DEL", "net", "c%d" % i, "eth0") for i in (0, 1, 2, 2)])
        self.assertTrue(all(abs(e["time"] - time.time() * 1000) < 60000 for e in entries))
        self.assertEqual(stat.S_IMODE(os.stat(self.spool).st_mode), 0o700)
        self.assertEqual(invoke(environment("STATUS"), self.conf()).code, 50)

    def test_spool_many(self):
        """D9: no cap at 256."""
        self.assertTrue(all(invoke(environment("DEL", "c%d" % i), self.conf()).exit == 0 for i in range(300)))
        self.assertEqual(len(self.spooled()), 300)

    def test_connection_lost(self):
        """D9: lost in the middle: asked again, then spooled."""
        for script, spooled, asked in (((None, OK), 0, 2), ((None, None), 1, 2), (("refuse", OK), 0, 1), (("hang",), 1,
                                                                                                          1),
                                       ((b"\0\0\0\4abcd",), 1, 1), ((b"\0\0\0\x10{", OK), 0, 2)):
            daemon = self.daemon(*script)
            self.assert_ok(invoke(environment("DEL"), self.conf(timeout=1)))
            self.assertEqual((len(self.spooled()), len(daemon.requests)), (spooled, asked), script)
            daemon.close()
            subprocess.run(["rm", "-rf", self.spool], check=True)

    def test_daemon_comes_meanwhile(self):
        """D9: a daemon that starts after the first try and before the file is written, where the plugin is stopped."""
        env = environment("DEL", SLUICE_FAULT="spool-write:pause")
        child = subprocess.Popen([PLUGIN], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdin.write(json.dumps(self.conf()).encode())
        child.stdin.close()
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status))
        daemon = self.daemon(OK)
        child.send_signal(signal.SIGCONT)
        _, status = os.waitpid(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stdout.close()
        self.assertEqual(child.returncode, 0)
        self.assertEqual(([r["verb"] for r in daemon.requests], self.spooled()), (["DEL"], []))

    def test_daemon_refuses(self):
        """A daemon that answers with an error has not lost the DEL: the runtime is told, and asks again."""
        self.daemon({"v": 1, "code": 11, "msg": "busy"})
        self.assert_error(invoke(environment("DEL"), self.conf()), 11, "busy")
        self.assertEqual(self.spooled(), [])

    def test_no_room(self):
        """D9, matrix 21: daemon away and spool read-only or full: an error, so that the runtime asks again."""
        os.mkdir(self.spool)
        for setup, text in (("mount -t tmpfs -o ro x {0}", "Read-only"), ("mount -t tmpfs -o size=4k x {0}; cat "
                                                                          "/dev/zero > {0}/x 2>/dev/null",
                                                                       "No space")):
            script = setup.format(self.spool) + '; exec "$0"'
            o = invoke(environment("DEL"), self.conf(), prefix=("unshare", "-m", "sh", "-c", script))
            self.assert_error(o, 5, text, self.spool, "sluiced")
        os.rmdir(self.spool)
        with open(self.spool, "w", encoding="utf-8"):
            pass
        self.assert_error(invoke(environment("DEL"), self.conf()), 5, self.spool)
        self.assert_error(invoke(environment("DEL"), self.conf(spool="/proc/sluice")), 5, "/proc/sluice")

    def test_spool_killed(self):
        """D9: killed at every system call: the spool has the whole DEL or nothing."""
        o, points = kill_points(environment("DEL", "k"), self.conf(), self.dir)
        self.assert_ok(o)
        self.assertGreater(len(points), 20)
        self.assertEqual(len(self.spooled()), 1)
        kept = []
        for i, point in enumerate(points):
            self.spool = "%s/spool-%d" % (self.dir, i)
            killed_at(environment("DEL", "k%d" % i), self.conf(), point)
            entries = self.spooled()                    # Each of them is complete, or json.load() fails.
            self.assertIn([e["containerID"] for e in entries], ([], ["k%d" % i]), point)
            kept.append(len(entries))
        self.assertEqual(kept, sorted(kept))            # From some call on it is kept.
        self.assertEqual((kept[0], kept[-1]), (0, 1))


class CheckStatusGc(Case):
    """C, S, G as far as the plugin decides them."""

    def test_check(self):
        """C1, C5: prevResult is needed, and only our part of it goes to the daemon."""
        daemon, ns = self.daemon(OK), self.netns()
        env = environment("CHECK", netns=ns.path)
        self.assert_error(invoke(env, self.conf()), 7, "prevResult")
        self.assert_error(invoke(env, self.conf(prevResult={})), 7, "eth0")
        self.assert_error(invoke(env, self.conf(prevResult=prev_result("/run/netns/other"))), 7, "eth0")
        self.assertEqual(daemon.requests, [])
        prev = prev_result(ns.path)
        prev["ips"].append({"address": "9.9.9.9/32", "interface": 0})
        self.assert_ok(invoke(env, self.conf(prevResult=prev)))
        check = daemon.requests[0]["check"]
        self.assertEqual((check["hostIfname"], check["mac"]), ("slp012345678901", "02:00:00:00:00:01"))
        self.assertEqual(check["ips"], [{"address": "10.244.1.5/32"}])

    def test_check_absent(self):
        """C6: an absent daemon is not a broken container."""
        ns = self.netns()
        self.assert_error(invoke(environment("CHECK", netns=ns.path), self.conf(prevResult=prev_result(ns.path))), 11)

    def test_status(self):
        """S1, S3."""
        start = time.monotonic()
        self.assert_error(invoke(environment("STATUS"), self.conf(wait=30)), 50, "sluiced does not run")
        self.assertLess(time.monotonic() - start, 1)
        daemon = self.daemon(OK, {"v": 1, "code": 51, "msg": "ovs-vswitchd is gone"}, None)
        self.assert_ok(invoke({"CNI_COMMAND": "STATUS"}, self.conf()))
        self.assert_error(invoke({"CNI_COMMAND": "STATUS"}, self.conf()), 51, "vswitchd")
        self.assert_error(invoke({"CNI_COMMAND": "STATUS"}, self.conf()), 50)
        self.assertEqual([r["verb"] for r in daemon.requests], 3 * ["STATUS"])

    def test_status_hangs(self):
        """S3: a daemon that does not answer, and soon."""
        self.daemon("hang")
        start = time.monotonic()
        self.assert_error(invoke({"CNI_COMMAND": "STATUS"}, self.conf()), 50)
        self.assertLess(time.monotonic() - start, 6)

    def test_gc(self):
        """G1, G2."""
        daemon = self.daemon(OK)
        env = {"CNI_COMMAND": "GC", "CNI_PATH": "/x"}
        for bad in ({}, {"cni.dev/valid-attachments": 7},
                    {"cni.dev/valid-attachments": [{"containerID": "a"}]}, {"cni.dev/valid-attachments": ["a"]}):
            self.assert_error(invoke(env, self.conf(**bad)), 7)
        self.assertEqual(daemon.requests, [])
        valid = [{"containerID": "%064x" % i, "ifname": "eth0"} for i in range(10000)]
        self.assert_ok(invoke(env, self.conf(**{"cni.dev/valid-attachments": None})))      # How Go writes [].
        self.assertEqual(daemon.requests[-1]["valid"], [])
        for key, value in (("cni.dev/valid-attachments", []), ("cni.dev/attachments", valid[:1]),
                           ("cni.dev/valid-attachments", valid)):
            self.assert_ok(invoke(env, self.conf(**{key: value})))
            self.assertEqual(daemon.requests[-1]["valid"], value)

    def test_gc_absent(self):
        """Matrix 17: agent down."""
        self.assert_error(invoke({"CNI_COMMAND": "GC", "CNI_PATH": "/x"},
                                 self.conf(**{"cni.dev/valid-attachments": []})), 11)


FAKE = """#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID" >> {0}/calls
cat > {0}/stdin
echo "from the delegate" >&2
. {0}/answer-$CNI_COMMAND
"""
FAKE_RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.5/24", "gateway": "192.0.2.1"}],
               "routes": [{"dst": "0.0.0.0/0"}],
               "dns": {"nameservers": ["192.0.2.53"]}}


class Delegate(Case):
    """A6, A7, D6, S2, G4, matrix 19."""

    def setUp(self):
        super().setUp()
        with open(self.dir + "/fake", "w", encoding="utf-8") as f:
            f.write(FAKE.format(self.dir))
        os.chmod(self.dir + "/fake", 0o755)
        for verb in VERBS:
            self.answer(verb, "")
        self.answer("ADD", "echo '%s'" % json.dumps(FAKE_RESULT))
        self.path = "/nowhere::" + self.dir
        self.ipam = {"type": "fake", "extra": {"deep": [1]}}

    def answer(self, verb, script):
        """What the fake plugin does for a verb."""
        with open("%s/answer-%s" % (self.dir, verb), "w", encoding="utf-8") as f:
            f.write(script + "\n")

    def calls(self):
        """The verbs it was called with, since the last time."""
        try:
            with open(self.dir + "/calls", encoding="utf-8") as f:
                calls = [line.split()[0] for line in f]
            os.unlink(self.dir + "/calls")
        except FileNotFoundError:
            calls = []
        return calls

    def invoke(self, verb, version="1.1.0", **more):
        """The plugin with the fake delegate."""
        conf = self.conf(version, ipam=self.ipam, **more)
        return conf, invoke(environment(verb, netns=more.get("netns", self.ns.path), path=self.path),
                            {k: v for k, v in conf.items() if k != "netns"})

    @property
    def ns(self):
        """One namespace for each test."""
        if not hasattr(self, "_ns"):
            self._ns = self.netns()
        return self._ns

    def test_add(self):
        """A7: same stdin, stderr relayed, addresses and routes used, dns passed on."""
        daemon = self.daemon(ADD_REPLY)
        conf, o = self.invoke("ADD")
        self.assertEqual((o.exit, o.err), (0, b"from the delegate\n"))
        with open(self.dir + "/stdin", encoding="utf-8") as f:
            self.assertEqual(json.load(f), conf)
        request = daemon.requests[0]
        self.assertEqual(request["ipam"], {"ips": [{"address": "192.0.2.5/24", "gateway": "192.0.2.1"}],
                                           "routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}]})
        self.assertEqual(o.json["dns"], FAKE_RESULT["dns"])
        self.assertEqual(self.calls(), ["ADD"])

    def test_add_undone(self):
        """A6: what the delegate gave is given back when the rest fails."""
        for script in (({"v": 1, "code": 100, "msg": "no"},), (None, OK), ("hang", OK), ("refuse", OK)):
            daemon = self.daemon(*script)
            _, o = self.invoke("ADD", timeout=1)
            self.assert_error(o, 100 if isinstance(script[0], dict) else 11)
            self.assertEqual(self.calls(), ["ADD", "DEL"])
            daemon.close()
        self.assertEqual(len(self.spooled()), 3)        # The daemon's answer was lost: it hears of it later.
        _, o = self.invoke("ADD")
        self.assert_error(o, 11)
        self.assertEqual((self.calls(), len(self.spooled())), (["ADD", "DEL"], 3))

    def test_add_fails(self):
        """A7: the delegate's own error, and answers that are no result."""
        daemon = self.daemon(ADD_REPLY)
        self.answer("ADD", "echo '{\"cniVersion\":\"1.1.0\",\"code\":11,\"msg\":\"pool empty\",\"details\":\"d\"}'; "
                    "exit 1")
        o = self.assert_error(self.invoke("ADD")[1], 11, "fake", "pool empty")
        self.assertEqual(o.json["details"], "d")
        self.assertEqual(self.calls(), ["ADD"])
        for script, text, calls in (("exit 3", "fake", ["ADD"]), ("kill -9 $$", "signal 9", ["ADD"]), ("echo nonsense",
                                                                                                       "fake", ["ADD",
                                                                                                                "DEL"]),
                                    ("true", "fake", ["ADD", "DEL"]), ("echo '{}'", "no addresses", ["ADD", "DEL"]),
                                    ("echo '{\"ips\":[{\"address\":\"1.2.3.4\"}]}'", "address", ["ADD", "DEL"]),
                                    ("cat /dev/zero", "Message too long", ["ADD"])):
            self.answer("ADD", script)
            self.assert_error(self.invoke("ADD")[1], 100, text)
            self.assertEqual(self.calls(), calls)
        self.assertEqual(daemon.requests, [])

    def test_add_hangs(self):
        """A delegate that does not end is killed."""
        self.answer("ADD", "exec sleep 60")
        start = time.monotonic()
        self.assert_error(self.invoke("ADD", timeout=1)[1], 11, "in time")
        self.assertLess(time.monotonic() - start, 5)

    def test_killed(self):
        """A9: a delegate dies with the plugin, so that it takes no address after the runtime's DEL."""
        self.daemon(ADD_REPLY)
        os.mkfifo(self.dir + "/started")
        self.answer("ADD", "echo $$ > %s/started; exec sleep 60" % self.dir)
        with subprocess.Popen([PLUGIN], env={**environment("ADD", netns=self.ns.path, path=self.path),
                                             "PATH": os.environ["PATH"]}, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            p.stdin.write(json.dumps(self.conf(ipam=self.ipam)).encode())
            p.stdin.close()
            with open(self.dir + "/started", encoding="utf-8") as f:
                delegate = os.pidfd_open(int(f.read()))
            p.kill()
        gone = select.select([delegate], [], [], 10)[0]
        os.close(delegate)
        self.assertTrue(gone)

    def test_cannot_be_executed(self):
        """A7: a file that is no program."""
        with open(self.dir + "/fake", "w", encoding="utf-8") as f:
            f.write("\0")
        o = self.assert_error(self.invoke("ADD")[1], 100, "fake")
        self.assertIn(b"Exec format", o.err)

    def test_not_found(self):
        """P3, A7."""
        daemon = self.daemon(ADD_REPLY)
        for path, code in (("/nowhere", 100), (None, 4), ("", 4)):
            conf = self.conf(ipam=self.ipam)
            self.assert_error(invoke(environment("ADD", netns=self.ns.path, path=path), conf), code, "fake")
        for bad in ("../fake", "/bin/sh", "a b"):
            self.assert_error(invoke(environment("ADD", netns=self.ns.path, path=self.path),
                                     self.conf(ipam={"type": bad})), 7)
        self.assertEqual(daemon.requests, [])

    def test_del(self):
        """D6: own cleanup first, then the delegate, whose error is told after."""
        daemon = self.daemon(OK)
        self.invoke("DEL")
        self.assertEqual((len(daemon.requests), self.calls()), (1, ["DEL"]))
        self.answer("DEL", "echo '{\"code\":7,\"msg\":\"broken\"}'; exit 1")
        self.assert_error(self.invoke("DEL")[1], 7, "broken")
        self.assertEqual((len(daemon.requests), self.calls()), (2, ["DEL"]))
        self.assert_error(invoke(environment("DEL"), self.conf(ipam=self.ipam)), 4, "CNI_PATH")
        self.assert_error(invoke(environment("DEL", path="/nowhere"), self.conf(ipam=self.ipam)), 100, "fake")
        self.assertEqual(len(daemon.requests), 4)
        daemon.close()
        self.answer("DEL", "")
        self.assertEqual(self.invoke("DEL")[1].exit, 0)
        self.assertEqual((len(self.spooled()), self.calls()), (1, ["DEL"]))

    def test_other_verbs(self):
        """C5, S2, G4."""
        daemon = self.daemon(OK)
        prev = prev_result(self.ns.path)
        gc = {"cni.dev/valid-attachments": []}
        for verb, more in (("CHECK", {"prevResult": prev}), ("STATUS", {}), ("GC", gc)):
            self.assertEqual(self.invoke(verb, **more)[1].exit, 0)
            self.assertEqual(self.calls(), [verb])
            self.answer(verb, "echo '{\"code\":50,\"msg\":\"delegate %s\"}'; exit 1" % verb)
            self.assert_error(self.invoke(verb, **more)[1], 50, "delegate " + verb)
            self.assertEqual(self.calls(), [verb])
        daemon.close()
        self.assert_error(self.invoke("GC", **gc)[1], 11, "sluiced does not run", "delegate GC")
        self.assertEqual(self.calls(), ["GC"])

    @unittest.skipUnless(os.path.exists(DEBIAN_PLUGINS + "/host-local"), "package containernetworking-plugins is not "
                         "installed")
    def test_debian(self):
        """Matrix 19: host-local and static, ADD, CHECK, DEL.  Debian's know versions up to 1.0.0."""
        daemon = self.daemon(ADD_REPLY)
        self.path = DEBIAN_PLUGINS
        for version in ("0.3.1", "0.4.0", "1.0.0"):
            for self.ipam in ({"type": "host-local", "ranges": [[{"subnet": "192.0.2.0/24"}],
                                                                [{"subnet": "fd00:1::/64"}]],
                               "routes": [{"dst": "0.0.0.0/0"}], "dataDir": self.dir + "/leases"},
                              {"type": "static", "addresses": [{"address": "192.0.2.2/24", "gateway": "192.0.2.1"},
                                                               {"address": "fd00:1::2/64"}],
                               "routes": [{"dst": "0.0.0.0/0"}]}):
                o = self.assert_ok(self.invoke("ADD", version)[1], empty=False)
                self.assertEqual([i["address"].split("/")[1] for i in daemon.requests[-1]["ipam"]["ips"]], ["24", "64"])
                if version > "0.4":
                    self.assert_ok(self.invoke("CHECK", version, prevResult=o.json)[1])
                self.assert_ok(self.invoke("DEL", version)[1])
                self.assert_ok(self.invoke("DEL", version)[1])
        leases = [n for n in os.listdir(self.dir + "/leases/net") if n[0].isdigit() or n[0] == "f"]
        self.assertEqual(leases, [])


if __name__ == "__main__":
    main(__name__)
