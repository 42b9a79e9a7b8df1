#!/usr/bin/env python3
"""CNI 1.1.0 with the real ovs-cni, the real sluiced and the real Open vSwitch: the acceptance list's items and test
matrix.

What needs no daemon (matrix 1 to 4, 20, 24, 25,
                      the spool) is in test-cni-plugin.py.  After each test a leak scan compares links,
ports, flows, addresses and the spool with what was there before the first."""
# time limit: 900 s

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from cnilab import LiveCase, Node, cnitool, wait_for
from cnitest import BUILD, DEBIAN_PLUGINS, PLUGIN, TOP, environment, invoke, kill_points, killed_at, main

HAVE_DEBIAN = os.path.exists(DEBIAN_PLUGINS + "/host-local")
NEED_DEBIAN = "package containernetworking-plugins is not installed"


def setUpModule():
    """One node for all tests."""
    LiveCase.node = Node(f"cnit-{os.getpid()}")


def tearDownModule():
    """Ends the node."""
    if LiveCase.node:
        LiveCase.node.down()


class Add(LiveCase):
    """A1 to A10."""

    def test_what_is_made(self):
        """A1 to A4, C2, matrix 22: result, kernel, database and switch say the same, in both families."""
        ns = self.netns()
        r = self.add("a1", ns, args=None)
        host, pod = r["interfaces"]
        self.assertEqual((host.get("sandbox"), pod["sandbox"], pod["name"]), (None, ns.path, "eth0"))
        self.assertEqual([i["interface"] for i in r["ips"]], [1, 1])
        link = json.loads(ns.run("ip", "-j", "addr", "show", "dev", "eth0"))[0]
        self.assertEqual((link["address"], link["mtu"], "UP" in link["flags"]), (pod["mac"], pod["mtu"], True))
        addrs = {"%s/%d" % (a["local"], a["prefixlen"]) for a in link["addr_info"] if a["scope"] == "global"}
        self.assertEqual(addrs, {i["address"] for i in r["ips"]})
        for family, route in zip("46", r["routes"]):
            default = json.loads(ns.run("ip", "-" + family, "-j", "route", "show", "default"))
            self.assertEqual([d["gateway"] for d in default], [route["gw"]])
        row = self.node.exec("ovs-vsctl", "--format=json", "--columns=external_ids,ofport,error", "list", "interface",
                             host["name"])
        ids, ofport, error = json.loads(row)["data"][0]
        ids = dict(ids[1])
        self.assertGreater(ofport, 0)
        self.assertEqual((error, ids["container-id"], ids["if-name"], ids["owner"]), (["set", []], "a1", "eth0",
                                                                                      "sluice"))
        self.assertTrue(any(host["mac"] in f or pod["mac"] in f for f in self.node.flows()))
        self.assert_talks(ns, r)
        self.assert_ok(self.check("a1", ns, r))
        self.delete("a1", ns)
        self.assertNotIn("eth0", ns.run("ip", "link") if not self.node.links() else "")

    def test_pod_names(self):
        """K8S_POD_* reach the database."""
        ns = self.netns()
        self.attached.append(("a2", "eth0", self.conf()))
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns1;K8S_POD_NAME=pod1;K8S_POD_UID=u1;K8S_POD_INFRA_CONTAINER_ID=a2"
        r = self.assert_ok(invoke(environment("ADD", "a2", ns.path, args=args), self.conf(), prefix=self.node.prefix),
                           False).json
        ids = self.node.exec("ovs-vsctl", "get", "interface", self.host_name(r), "external_ids")
        for text in ("pod-name=pod1", "pod-namespace=ns1", "pod-uid=u1", "network=net"):
            self.assertIn(text, ids.replace('"', ""))
        self.delete("a2")

    def test_versions(self):
        """A2, C4, matrix 4: each version's result is understood by its own CHECK."""
        for version in ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
            ns, conf = self.netns(), self.conf(version)
            r = self.add("v", ns, conf=conf)
            self.assertEqual(r["cniVersion"], version)
            if version >= "0.4.0":
                self.assert_ok(self.check("v", ns, r, conf=conf))
            self.delete("v", ns, conf=conf, prevResult=r)

    def test_twice(self):
        """A8, matrix 5: the second ADD fails and leaves the first as it was."""
        ns = self.netns()
        r = self.add("a3", ns)
        flows = self.node.flows()
        self.assert_error(self.run_verb("ADD", "a3", ns), 101, "eth0", "a3")
        self.assert_error(self.run_verb("ADD", "a3", self.netns()), 101)
        self.assert_ok(self.check("a3", ns, r))
        self.assert_talks(ns, r)
        self.assertEqual(self.node.flows(), flows)
        self.delete("a3", ns)

    def test_ifname_exists(self):
        """A1, A6, D5, matrix 6: somebody else's interface stays, and nothing of ours does, also after DEL."""
        ns = self.netns()
        ns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "veth9")
        before = ns.run("ip", "-j", "link")
        self.assert_error(self.run_verb("ADD", "a4", ns), 101, "eth0")
        self.node.assert_clean()
        self.delete("a4", ns)
        self.assertEqual(ns.run("ip", "-j", "link"), before)

    def test_wishes(self):
        """ips and mac: exactly these, or a failure without a trace."""
        ns, other = self.netns(), self.netns()
        rc = {"ips": ["10.244.1.250", "fd00:10:244:1::ff00"], "mac": "02:00:00:00:00:77"}
        r = self.add("a5", ns, runtimeConfig=rc)
        self.assertEqual([i["address"].split("/")[0] for i in r["ips"]], rc["ips"])
        self.assertEqual(r["interfaces"][1]["mac"], rc["mac"])
        self.assert_talks(ns, r)
        self.assertNotEqual(self.run_verb("ADD", "a6", other, runtimeConfig=rc).code, 0)
        self.assertNotEqual(self.run_verb("ADD", "a6", other, runtimeConfig={"ips": ["9.9.9.9"]}).code, 0)
        self.assertNotEqual(self.run_verb("ADD", "a6", other, runtimeConfig={"ips": ["10.244.1.1"]}).code, 0)
        self.assert_ok(self.check("a5", ns, r, runtimeConfig=rc))
        self.assertNotIn("eth0", other.run("ip", "link"))
        self.delete("a5", ns)
        small = self.add("a7", ns, mtu=1300)
        self.assertEqual(json.loads(ns.run("ip", "-j", "link", "show", "dev", "eth0"))[0]["mtu"], 1300)
        self.assert_ok(self.check("a7", ns, small))
        self.delete("a7", ns)

    def test_same_name_again(self):
        """DEL, then at once ADD of the same name in the same namespace (FACTS)."""
        ns = self.netns()
        for _ in range(10):
            r = self.add("a8", ns)
            self.assert_talks(ns, r)
            self.delete("a8", ns)

    def test_four_attachments(self):
        """Matrix 18: one container under Multus: four interfaces, some of other networks."""
        ns = self.netns()
        results = {}
        for i, name in enumerate(("net", "net", "blue", "green")):
            ifname = "eth0" if not i else "net%d" % i
            results[ifname] = (name, self.add("m", ns, ifname, name=name))
        addresses = [i["address"] for _, r in results.values() for i in r["ips"]]
        self.assertEqual(len(addresses), len(set(addresses)))
        for ifname, (name, r) in results.items():
            self.assert_ok(self.check("m", ns, r, ifname, name=name))
        self.delete("m", ns, "net1")
        for ifname in ("eth0", "net2", "net3"):
            self.assert_ok(self.check("m", ns, results[ifname][1], ifname, name=results[ifname][0]))
        for ifname, (name, _) in results.items():
            self.delete("m", ns, ifname, name=name)

    def test_parallel(self):
        """P11, matrix 14: 64 at once, then 64 DELs at once."""
        spaces = [self.netns() for _ in range(64)]
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            results = list(pool.map(lambda i: self.add("p%d" % i, spaces[i]), range(64)))
        for family in (0, 1):
            self.assertEqual(len({r["ips"][family]["address"] for r in results}), 64)
        self.assertEqual(len(set(self.node.ports())), 64)
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            checks = list(pool.map(lambda i: self.check("p%d" % i, spaces[i], results[i]), range(64)))
            self.assertEqual([c.code for c in checks], [0] * 64, checks)
            list(pool.map(lambda i: self.delete("p%d" % i, spaces[i]), range(64)))

    def test_daemon_starts_late(self):
        """A10: an ADD during an upgrade of the daemon waits for it."""
        ns = self.netns()
        self.node.stop("sluiced")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.run_verb, "ADD", "late", ns, wait=30)
            self.node.start("sluiced")
            r = self.assert_ok(waiting.result(), empty=False).json
        self.assert_ok(self.check("late", ns, r))
        self.delete("late", ns)


class Del(LiveCase):
    """D1 to D10."""

    def test_variants(self):
        """D1 to D4, matrix 7 to 11."""
        ns = self.netns()
        for netns, more in ((ns, {}), (None, {}), ("", {}), ("/run/netns/cni-gone", {}), ("/dev/null", {}),
                            (ns, {"prevResult": 7}),
                            (ns, {"prevResult": {"ips": 7}})):
            r = self.add("d1", ns)
            for _ in range(3):
                self.delete("d1", netns, **more)
            self.assertNotIn(self.host_name(r), self.node.ports())
        for netns in (ns, None, "/run/netns/cni-gone"):
            self.delete("never-added", netns)
        r = self.add("d2", ns)
        ns.close()
        self.delete("d2", ns)

    def test_not_anothers(self):
        """D5: a DEL is for (network, container, interface), whatever addresses it names."""
        ns = self.netns()
        r = self.add("d3", ns)
        self.delete("d3", ns, name="other", prevResult=r)
        self.delete("d3", ns, "eth1", prevResult=r)
        self.delete("d4", ns, prevResult=r)
        self.assert_ok(self.check("d3", ns, r))
        self.assert_talks(ns, r)
        self.delete("d3", ns)

    def test_things_missing(self):
        """D1: interface, OVS port or the whole state of the switch went before."""
        ns = self.netns()
        for command in (("ip", "-n", ns.name, "link", "del", "eth0"), ("vsctl",), ("ofctl",)):
            r = self.add("d5", ns)
            if command[0] == "vsctl":
                self.node.exec("ovs-vsctl", "del-port", "br-int", self.host_name(r))
            elif command[0] == "ofctl":
                self.node.restart("ovs-vswitchd")
            else:
                subprocess.run(command, check=True)
            self.delete("d5", ns)

    def test_reboot(self):
        """Matrix 12: namespaces and links are gone, OVSDB and the state directory are still there."""
        ns = self.netns()
        self.add("d6", ns)
        for daemon in ("sluiced", "ovs-vswitchd"):
            self.node.stop(daemon, kill=True)
        ns.close()
        for daemon in ("ovs-vswitchd", "sluiced"):
            self.node.start(daemon)
        self.delete("d6", ns.path)

    def test_daemon_away(self):
        """D9: the spool is carried out at the start; one that is older than its namesake is not."""
        spaces = [self.netns() for _ in range(5)]
        results = [self.add("d7-%d" % i, ns) for i, ns in enumerate(spaces)]
        self.node.stop("sluiced", kill=True)
        for i in range(4):
            self.delete("d7-%d" % i, spaces[i])
        self.assertEqual(len(self.node.spool()), 4)
        self.node.start("sluiced")
        wait_for("the spool is empty", lambda: not self.node.spool())
        self.assert_ok(self.check("d7-4", spaces[4], results[4]))
        self.assertEqual(self.node.used(), 2)
        self.delete("d7-4", spaces[4])

        r = self.add("d8", spaces[0])
        old = {"v": 1, "verb": "DEL", "network": "net", "containerID": "d8", "ifname": "eth0", "netns": "",
               "time": 1600000000000}
        with open(self.spool + "/.tmp-test", "w", encoding="utf-8") as f:
            json.dump(old, f)
        os.rename(self.spool + "/.tmp-test", self.spool + "/del-test")
        wait_for("the spool is empty", lambda: not self.node.spool())
        self.assert_ok(self.check("d8", spaces[0], r))
        self.delete("d8", spaces[0])

    def test_late_add(self):
        """D10: the runtime gave up on an ADD and sent the DEL; the ADD comes to the daemon after it, and fails."""
        ns = self.netns()
        slow = ("strace", "-qq", "-o", "/dev/null", "-e", "inject=connect:delay_enter=1500000")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            late = pool.submit(self.run_verb, "ADD", "d9", ns, prefix=slow)
            time.sleep(0.7)             # The plugin has been started and is held at connect().
            self.delete("d9", ns)
            self.assertNotEqual(late.result().code, 0)
        self.node.assert_clean()
        self.assertNotIn("eth0", ns.run("ip", "link"))
        self.add("d9", ns)              # The runtime's next try is new.
        self.delete("d9", ns)


class Killed(LiveCase):
    """A6, A9, matrix 13, 21: kill -9, full disks, then DEL, then nothing is left."""

    def test_plugin(self):
        """The plugin, at each of its system calls, in ADD and in DEL."""
        ns = self.netns()
        env = environment("ADD", "k", ns.path)
        self.attached.append(("k", "eth0", self.conf()))
        o, points = kill_points(env, self.conf(), self.dir)
        self.assert_ok(o, empty=False)
        self.delete("k", ns)
        self.assertGreater(len(points), 10)
        o, del_points = kill_points(environment("DEL", "none", ns.path), self.conf(), self.dir)
        self.assert_ok(o)
        for i, point in enumerate(points):
            self.attached.append(("k%d" % i, "eth0", self.conf()))
            killed_at(environment("ADD", "k%d" % i, ns.path), self.conf(), point)
            self.delete("k%d" % i, ns)
            r = self.add("k%d" % i, ns)         # And the container can be attached after that.
            if point in del_points:
                killed_at(environment("DEL", "k%d" % i, ns.path), self.conf(), point)
            self.delete("k%d" % i, ns)
            self.assertNotIn(self.host_name(r), self.node.ports())
        self.node.assert_clean()

    def test_plugin_without_del(self):
        """A plugin that is killed while the daemon works: the daemon undoes the ADD by itself."""
        ns = self.netns()
        self.node.restart(SLUICE_FAULT="link-create:pause")
        killed_late = None
        with subprocess.Popen([PLUGIN], env=environment("ADD", "k", ns.path), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as p:
            p.stdin.write(json.dumps(self.conf()).encode())
            p.stdin.close()
            pid = self.node.pid()
            wait_for("sluiced is stopped", lambda: self.node.state() == "T")
            p.kill()
            killed_late = p.wait()
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(killed_late, -9)
        self.node.assert_clean()
        self.assertNotIn("eth0", ns.run("ip", "link"))
        self.node.restart()

    def faults(self, faults, body):
        """Runs 'body' with sluiced armed to die at each of these points, then starts it again and looks for leaks."""
        for fault in faults:
            with self.subTest(fault=fault):
                ns = self.netns()
                body(fault, ns)
                if self.node.is_running():
                    self.node.stop("sluiced", kill=True)
                self.node.start("sluiced")
                self.delete("f", ns)
                self.delete("f", ns)
                self.node.assert_clean()
                r = self.add("f", ns)
                self.assert_talks(ns, r)
                self.delete("f", ns)

    def test_daemon_in_add(self):
        """The daemon, at each step of ADD."""
        def body(fault, ns):
            self.node.restart(SLUICE_FAULT=fault + ":kill")
            o = self.run_verb("ADD", "f", ns, wait=0)
            self.assertIn(o.code, (0, 11), o)
            wait_for("sluiced dies at " + fault, lambda: not self.node.is_running())
        self.faults(("link-create", "pod-link-created", "link-configure", "port-set", "flows-set", "journal-append",
                     "journal-appended",
                     "reply"), body)

    def test_daemon_in_del(self):
        """The daemon, at each step of DEL.  The DEL goes to the spool and is a success."""
        def body(fault, ns):
            self.add("f", ns)
            self.node.restart(SLUICE_FAULT=fault + ":kill")
            self.delete("f", ns, wait=0)
            wait_for("sluiced dies at " + fault, lambda: not self.node.is_running())
        self.faults(("flows-remove", "port-remove", "journal-append", "journal-appended", "link-trash", "reply"), body)

    def test_daemon_fails(self):
        """A6, matrix 21: a step of ADD fails; the disk is full.  The rest is undone before the error is told."""
        for fault in ("link-create:fail:EPERM", "link-configure:fail:ENOMEM", "port-set:fail:EIO", "flows-set:fail:EIO",
                      "journal-append:fail:ENOSPC", "journal-append:fail:EROFS"):
            with self.subTest(fault=fault):
                ns = self.netns()
                self.node.restart(SLUICE_FAULT=fault)
                o = self.run_verb("ADD", "g", ns)
                self.assertNotEqual(o.code, 0, fault)
                self.assertNotIn("eth0", ns.run("ip", "link"), o)
                self.assertEqual((self.node.ports(), self.node.used()), ([], 0), o)
                self.node.restart()
                self.delete("g", ns)
                self.node.assert_clean()


class Check(LiveCase):
    """C1 to C6, matrix 15."""

    def broken(self, container, ns, result, *texts):
        """CHECK finds it."""
        o = self.check(container, ns, result)
        self.assertNotIn(o.code, (0, 11), o)
        for text in texts:
            self.assertIn(text, o.json["msg"])

    def test_kernel(self):
        """C2: address, MTU, state, route, interface."""
        ns = self.netns()
        for command, texts in (("ip addr del {v4} dev eth0", ["{v4}"]), ("ip addr del {v6} dev eth0", []),
                               ("ip link set eth0 mtu 1280", ["MTU", "1280"]), ("ip link set eth0 down", []),
                               ("ip link set eth0 address 02:00:00:00:00:99", ["02:00:00:00:00:99"]), ("ip route del "
                                                                                                       "default", []),
                               ("ip link del eth0", ["eth0"])):
            r = self.add("c1", ns)
            self.assert_ok(self.check("c1", ns, r))
            values = {"v4": r["ips"][0]["address"], "v6": r["ips"][1]["address"]}
            ns.run(*command.format(**values).split())
            with self.subTest(command=command):
                self.broken("c1", ns, r, *[t.format(**values) for t in texts])
            self.delete("c1", ns)

    def test_more_is_fine(self):
        """C3: what others added or changed."""
        ns = self.netns()
        r = self.add("c2", ns)
        for command in ("ip route add 9.0.0.0/8 dev eth0", "ip addr add 9.9.9.9/32 dev eth0",
                        "ip link add x type veth peer name y",
                        "ip route add 8.0.0.0/8 via %s dev eth0 onlink mtu 1300" % r["ips"][0]["gateway"]):
            ns.run(*command.split())
        self.assert_ok(self.check("c2", ns, r))
        r["interfaces"].append({"name": "x", "sandbox": ns.path})
        r["ips"].append({"address": "9.9.9.9/32", "interface": 2})
        r["dns"] = {"nameservers": ["1.1.1.1"]}
        self.assert_ok(self.check("c2", ns, r))
        self.delete("c2", ns)

    def test_prev_result(self):
        """C2: what prevResult says must be what there is."""
        ns = self.netns()
        r = self.add("c3", ns)
        for change in (lambda p: p["interfaces"][1].update(mac="02:00:00:00:00:01"),
                       lambda p: p["interfaces"][0].update(name="slp000000000000"),
                       lambda p: p["ips"][0].update(address="10.244.1.200/32")):
            prev = json.loads(json.dumps(r))
            change(prev)
            self.broken("c3", ns, prev)
        self.assertNotIn(self.check("c3", self.netns(), r).code, (0, 11))
        self.assert_ok(self.check("c3", ns, r))
        self.delete("c3", ns)
        self.assertNotIn(self.check("c3", ns, r).code, (0, 11))

    def test_switch(self):
        """C2: sluiced repairs a port that somebody took out of the database, so CHECK finds it missing or whole again,
        never 11."""
        ns = self.netns()
        r = self.add("c4", ns)
        self.node.exec("ovs-vsctl", "del-port", "br-int", self.host_name(r))
        wait_for("the port is back", lambda: self.host_name(r) in self.node.ports())
        wait_for("CHECK is content", lambda: self.check("c4", ns, r).code == 0)
        self.assert_talks(ns, r)
        self.node.exec("ovs-ofctl", "-O", "OpenFlow15", "del-flows", "br-int")
        self.node.restart()
        wait_for("ready", lambda: self.node.sluicectl("status")["ready"])       # Until then 11 is right (C6).
        self.assert_ok(self.check("c4", ns, r))
        self.assert_talks(ns, r)
        self.delete("c4", ns)

    def test_daemon_away(self):
        """C6."""
        ns = self.netns()
        r = self.add("c5", ns)
        self.node.stop("sluiced", kill=True)
        self.assertEqual(self.check("c5", ns, r, wait=0).code, 11)
        self.node.start("sluiced")
        self.assert_ok(self.check("c5", ns, r))
        self.delete("c5", ns)


class Status(LiveCase):
    """S1 to S4, matrix 16."""

    def status(self):
        """The code of STATUS."""
        return self.run_verb("STATUS", None, ifname=None).code

    def test_daemons(self):
        """S1: 50 and 51, and 0 again."""
        self.assertEqual(self.status(), 0)
        self.node.stop("sluiced", kill=True)
        self.assertEqual(self.status(), 50)
        self.node.start("sluiced")
        wait_for("ready", lambda: self.status() == 0)
        for daemon, codes in (("ovs-vswitchd", (51,)), ("ovsdb-server", (50, 51))):
            self.node.stop(daemon, kill=True)
            wait_for("STATUS notices that %s is gone" % daemon,
                     lambda: self.status() != 0)   # pylint: disable=cell-var-from-loop
            self.assertIn(self.status(), codes)
            self.delete("never-added")          # S4.
            self.node.start(daemon)
            wait_for("ready", lambda: self.status() == 0)
        ns = self.netns()
        r = self.add("s1", ns)
        self.assert_talks(ns, r)
        self.delete("s1", ns)

    def test_pool_empty(self):
        """S1, A10: no address is left; it comes back."""
        path = os.path.join(os.path.dirname(self.node.dir), "manifests", "node..node-1.json")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.addCleanup(self.write, path, text)
        small = json.loads(text)
        small["spec"].update(podCIDR="10.244.1.248/30", podCIDRs=["10.244.1.248/30", "fd00:10:244:1::/64"])
        self.write(path, json.dumps(small))
        wait_for("the small pool", lambda: self.node.sluicectl("ipam")[0]["size"] == 4)
        wait_for("ready", lambda: self.status() == 0)
        spaces = [self.netns() for _ in range(3)]
        results = []
        while self.status() == 0 and len(results) < 3:
            results.append(self.add("s%d" % len(results), spaces[len(results)]))
        self.assertTrue(results)
        self.assertEqual(self.status(), 50)
        o = self.run_verb("ADD", "more", self.netns())
        self.assertNotEqual(o.code, 0)
        self.assertIn("10.244.1.248/30", o.json["msg"])
        for i, ns in enumerate(spaces[:len(results)]):
            self.delete("s%d" % i, ns)
        wait_for("an address is free", lambda: self.status() == 0)
        self.write(path, text)
        wait_for("the old pool", lambda: self.node.sluicectl("ipam")[0]["size"] == 256)
        wait_for("ready", lambda: self.status() == 0)

    def write(self, path, text):
        """Replaces a manifest."""
        with open(path + ".tmp", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".tmp", path)


class Gc(LiveCase):
    """G1 to G7, matrix 17."""

    def gc(self, valid, name="net", key="cni.dev/valid-attachments", **more):
        """A GC."""
        return self.run_verb("GC", None, ifname=None, conf=self.conf(name=name, **{key: valid}), **more)

    def is_there(self, container, ns, result, **more):
        """Whether CHECK is content."""
        return self.check(container, ns, result, **more).code == 0

    def test_subsets(self):
        """G1, G3: all, some, none; only of this network."""
        spaces = [self.netns() for _ in range(4)]
        results = [self.add("g%d" % i, ns) for i, ns in enumerate(spaces)]
        blue = self.netns()
        other = self.add("g0", blue, "net1", name="blue")
        time.sleep(1.1)                 # G6: younger ones are safe.
        valid = [{"containerID": "g%d" % i, "ifname": "eth0"} for i in range(4)]
        self.assert_ok(self.gc(valid))
        self.assertTrue(all(self.is_there("g%d" % i, spaces[i], results[i]) for i in range(4)))
        self.assert_ok(self.gc(valid[:3], key="cni.dev/attachments"))
        self.assertEqual([self.is_there("g%d" % i, spaces[i], results[i]) for i in range(4)], [True, True, True, False])
        extra = [{"containerID": "unknown-%d" % i, "ifname": "eth0"} for i in range(10000)]
        self.assert_ok(self.gc(extra + valid[:2]))
        self.assertEqual([self.is_there("g%d" % i, spaces[i], results[i]) for i in range(3)], [True, True, False])
        self.assert_ok(self.gc([{"containerID": "g0", "ifname": "eth9"}, valid[1]]))
        self.assertEqual([self.is_there("g%d" % i, spaces[i], results[i]) for i in range(2)], [False, True])
        self.assert_ok(self.gc([]))
        self.assertFalse(self.is_there("g1", spaces[1], results[1]))
        self.assertTrue(self.is_there("g0", blue, other, ifname="net1", name="blue"))
        self.assert_ok(self.gc([], name="blue"))
        self.node.assert_clean()

    def test_safe(self):
        """G2, G6: a missing list collects nothing; nor is a new attachment collected."""
        ns = self.netns()
        r = self.add("g5", ns)
        self.assert_ok(self.gc([]))
        self.assertTrue(self.is_there("g5", ns, r))
        time.sleep(1.1)
        self.assert_error(self.run_verb("GC", None, ifname=None), 7, "valid-attachments")
        self.assertTrue(self.is_there("g5", ns, r))
        self.node.stop("sluiced", kill=True)
        self.assert_error(self.gc([], wait=0), 11)
        self.node.start("sluiced")
        self.assertTrue(self.is_there("g5", ns, r))
        self.delete("g5", ns)


@unittest.skipUnless(HAVE_DEBIAN, NEED_DEBIAN)
class HostPorts(LiveCase):
    """The capability portMappings (2.8; services 31)."""

    def mapping(self, host_port=8080, port=80, protocol="tcp", host_ip=""):
        return {"portMappings": [{"hostPort": host_port, "containerPort": port, "protocol": protocol, "hostIP": host_ip}]}

    def refused(self, container, ns, rc, *texts):
        """An ADD that wants a port which is taken; nothing is left of it."""
        flows = self.node.flows()
        self.assert_error(self.run_verb("ADD", container, ns, runtimeConfig=rc), 100, *texts)
        self.assertEqual(self.node.flows(), flows)
        self.assertNotIn("eth0", ns.run("ip", "link"))

    def doors(self):
        """{(address, protocol, port)} of the ports of the host that are served."""
        return {(d["address"], d["protocol"], d["port_number"]) for d in self.node.sluicectl("services") if d["kind"] == "HostPort"}

    def test_conflicts(self):
        """The same port with another address or protocol is another port; a taken one is an error that says whose it is."""
        ns = [self.netns() for _ in range(6)]
        self.add("h0", ns[0], runtimeConfig=self.mapping())
        for host_ip in ("", "0.0.0.0", "::"):
            self.refused("h1", ns[1], self.mapping(port=81, host_ip=host_ip), "tcp 8080", "h0")
        for i, rc in enumerate((self.mapping(protocol="udp"), self.mapping(host_ip="127.0.0.1"),
                                self.mapping(host_ip="172.30.0.101"), self.mapping(8081)), 2):
            self.add(f"h{i}", ns[i], runtimeConfig=rc)
        self.refused("h1", ns[1], self.mapping(host_ip="127.0.0.1"), "tcp 127.0.0.1:8080", "h3")
        for i in (0, *range(2, 6)):
            self.delete(f"h{i}", ns[i])
        self.add("h1", ns[1], runtimeConfig=self.mapping())
        self.delete("h1", ns[1])

    def test_life(self):
        """They are in the switch when ADD has answered, stay over a kill -9, and CHECK knows them; DEL and GC give them back."""
        ns, other, rc = self.netns(), self.netns(), self.mapping()
        before = self.node.flows()
        r = self.add("l1", ns, runtimeConfig=rc)
        self.assertTrue([flow for flow in set(self.node.flows()) - set(before) if "tp_dst=8080" in flow])
        flows, doors = self.node.flows(), self.doors()
        self.assertEqual({(protocol, port) for _, protocol, port in doors}, {("TCP", 8080)})
        self.assert_ok(self.check("l1", ns, r, runtimeConfig=rc))
        for wrong in (self.mapping(port=81), self.mapping(8081), self.mapping(protocol="sctp")):
            self.assert_error(self.check("l1", ns, r, runtimeConfig=wrong), 102, "does not lead to")
        self.node.restart()
        wait_for("realized", lambda: self.node.sluicectl("status")["realized"])
        self.assertEqual((self.node.flows(), self.doors()), (flows, doors))
        self.refused("l2", other, rc, "tcp 8080", "l1")
        self.assert_ok(self.check("l1", ns, r, runtimeConfig=rc))
        self.delete("l1", ns)
        self.assertEqual((self.node.flows(), self.doors()), (before, set()))
        self.add("l2", other, runtimeConfig=rc)
        time.sleep(1.1)                 # GC spares the youngest.
        self.assert_ok(self.run_verb("GC", None, ifname=None, **{"cni.dev/valid-attachments": []}))
        self.add("l1", ns, runtimeConfig=rc)
        self.delete("l1", ns)

    def test_wrong(self):
        """What cannot be is an error of the configuration."""
        two = {"portMappings": self.mapping()["portMappings"] + self.mapping(port=81)["portMappings"]}
        self.assert_error(self.run_verb("ADD", "w1", self.netns(), runtimeConfig=two), 7, "cannot lead to both 80 and 81")


class Delegated(LiveCase):
    """A6, A7, D6, matrix 19 with Debian's plugins, which know CNI up to 1.0.0."""

    def leases(self):
        """Addresses that host-local has given out."""
        try:
            return [n for n in os.listdir(self.dir + "/leases/net") if not n.startswith("l")]
        except FileNotFoundError:
            return []

    def test_host_local(self):
        """host-local, in both families."""
        ns = self.netns()
        ipam = {"type": "host-local", "dataDir": self.dir + "/leases", "routes": [{"dst": "0.0.0.0/0"},
                                                                                  {"dst": "::/0"}],
                "ranges": [[{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}], [{"subnet": "fd00:9::/64",
                                                                                 "gateway": "fd00:9::1"}]]}
        conf = self.conf("1.0.0", ipam=ipam)
        r = self.add("h1", ns, conf=conf)
        self.assertEqual([i["address"] for i in r["ips"]], ["10.9.0.2/24", "fd00:9::2/64"])
        self.assertEqual((self.node.used(), sorted(self.leases())), (0, ["10.9.0.2", "fd00:9::2"]))
        self.assertIn("10.9.0.2/24", ns.run("ip", "addr", "show", "dev", "eth0"))
        self.assertIn("10.9.0.1", ns.run("ip", "route", "show", "default"))
        self.assert_ok(self.check("h1", ns, r, conf=conf))
        self.assertNotEqual(self.run_verb("ADD", "h1", ns, conf=conf).code, 0)
        self.assert_ok(self.check("h1", ns, r, conf=conf))
        blocked = self.netns()
        blocked.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "veth9")
        self.assert_error(self.run_verb("ADD", "h2", blocked, conf=conf), 101)
        self.assertEqual(len(self.leases()), 2)         # A6: given back.
        for _ in range(2):
            self.delete("h1", ns, conf=conf)
        self.assertEqual(self.leases(), [])

    def test_static(self):
        """static."""
        ns = self.netns()
        ipam = {"type": "static", "addresses": [{"address": "10.9.1.5/32", "gateway": "10.9.1.1"}],
                "routes": [{"dst": "0.0.0.0/0"}]}
        conf = self.conf("1.0.0", ipam=ipam)
        r = self.add("h3", ns, conf=conf)
        self.assertEqual([i["address"] for i in r["ips"]], ["10.9.1.5/32"])
        self.assert_ok(self.check("h3", ns, r, conf=conf))
        self.delete("h3", ns, conf=conf)

    def test_plugin_killed(self):
        """A9, matrix 13 with a delegate: killed at each system call, then DEL, then no lease nor anything is left."""
        ns = self.netns()
        ipam = {"type": "host-local", "dataDir": self.dir + "/leases", "ranges": [[{"subnet": "10.9.2.0/24"}]]}
        conf = self.conf("1.0.0", ipam=ipam)
        env = {"netns": ns.path, "path": DEBIAN_PLUGINS}
        self.attached.append(("h6", "eth0", conf))
        o, points = kill_points(environment("ADD", "h6", **env), conf, self.dir)
        self.assert_ok(o, empty=False)
        self.delete("h6", ns, conf=conf)
        for i, point in enumerate(points):
            self.attached.append(("h6-%d" % i, "eth0", conf))
            killed_at(environment("ADD", "h6-%d" % i, **env), conf, point)
            self.delete("h6-%d" % i, ns, conf=conf)
            self.assertEqual(self.leases(), [], point)

    def test_daemon_away(self):
        """D6, D9: the delegate's DEL is called although ours went to the spool."""
        ns = self.netns()
        ipam = {"type": "host-local", "dataDir": self.dir + "/leases", "ranges": [[{"subnet": "10.9.0.0/24"}]]}
        conf = self.conf("1.0.0", ipam=ipam)
        self.add("h4", ns, conf=conf)
        self.node.stop("sluiced", kill=True)
        self.delete("h4", ns, conf=conf)
        self.assertEqual((self.leases(), len(self.node.spool())), ([], 1))
        self.assert_error(self.run_verb("ADD", "h5", ns, conf={**conf, "wait": 0}), 11)
        self.assertEqual(self.leases(), [])
        self.node.start("sluiced")


@unittest.skipUnless(HAVE_DEBIAN, NEED_DEBIAN)
class Chained(LiveCase):
    """A5, D7, matrix 18, run as libcni does it."""

    def chain(self, verb, plugins, container, ns, result=None):
        """Runs a list of plugins; the last result."""
        for plugin in plugins if verb != "DEL" else reversed(plugins):
            conf = {**self.conf("1.0.0"), **plugin}
            if result is not None:
                conf["prevResult"] = result
            program = PLUGIN if conf["type"] == "ovs-cni" else os.path.join(DEBIAN_PLUGINS, conf["type"])
            if verb == "ADD" and program == PLUGIN:
                self.attached.append((container, "eth0", conf))
            o = invoke(environment(verb, container, ns.path, path=DEBIAN_PLUGINS), conf, prefix=self.node.prefix,
                       program=program)
            self.assertEqual(o.exit, 0, (conf["type"], o))
            result = o.json if verb == "ADD" else result
        return result

    def test_tuning(self):
        """Before and behind tuning, with CHECK of the whole chain."""
        ns = self.netns()
        chain = [{"type": "ovs-cni"}, {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.log_martians": "1"}}]
        r = self.chain("ADD", chain, "n1", ns)
        self.assertEqual(len(r["interfaces"]), 2)
        self.assertEqual(ns.run("cat", "/proc/sys/net/ipv4/conf/eth0/log_martians").strip(), "1")
        self.chain("CHECK", chain, "n1", ns, r)
        self.chain("DEL", chain, "n1", ns, r)

    def test_behind_another(self):
        """Behind loopback: its part of the result stays."""
        ns = self.netns()
        lo = {"cniVersion": "1.0.0", "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": ns.path}],
              "ips": [{"address": "127.0.0.1/8", "interface": 0}], "dns": {}}
        r = self.chain("ADD", [{"type": "ovs-cni"}], "n2", ns, lo)
        self.assertEqual((r["interfaces"][0], r["ips"][0]), (lo["interfaces"][0], lo["ips"][0]))
        self.assertEqual([i["interface"] for i in r["ips"]], [0, 2, 2])
        self.chain("CHECK", [{"type": "ovs-cni"}], "n2", ns, r)
        self.chain("DEL", [{"type": "ovs-cni"}], "n2", ns, r)

    @unittest.skipUnless(shutil.which("iptables"), "iptables is not installed")
    def test_portmap(self):
        """Before portmap."""
        ns = self.netns()
        mapping = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
        chain = [{"type": "ovs-cni"}, {"type": "portmap", "runtimeConfig": mapping}]
        r = self.chain("ADD", chain, "n3", ns)
        self.assertEqual(len(r["interfaces"]), 2)
        self.chain("CHECK", chain[:1], "n3", ns, r)     # Debian's portmap looks for IPv4 rules in ip6tables.
        self.chain("DEL", chain, "n3", ns, r)

    def test_bandwidth(self):
        """Before bandwidth, which shapes our host end."""
        probe = subprocess.run(["ip", "-n", self.node.netns, "link", "add", "ifb9", "type", "ifb"],
                               capture_output=True, check=False)
        if probe.returncode:
            self.skipTest("the kernel has no ifb: " + probe.stderr.decode().strip())
        subprocess.run(["ip", "-n", self.node.netns, "link", "del", "ifb9"], check=True)
        ns = self.netns()
        limits = {"bandwidth": {"ingressRate": 10000000, "ingressBurst": 1000000, "egressRate": 10000000,
                                "egressBurst": 1000000}}
        chain = [{"type": "ovs-cni"}, {"type": "bandwidth", "runtimeConfig": limits}]
        r = self.chain("ADD", chain, "n4", ns)
        self.chain("CHECK", chain, "n4", ns, r)
        self.assert_talks(ns, {"ips": [i for i in r["ips"] if i.get("gateway")]})
        self.chain("DEL", chain, "n4", ns, r)


class Cnitool(LiveCase):
    """libcni's own command line runtime."""

    def call(self, tool, verb, *args, name="net", code=0):
        """Runs it on the node, with a /var/lib/cni of its own."""
        script = ('mount -t tmpfs x /var/lib && mkdir -p /var/lib/cni && mount --bind "$1" /var/lib/cni && '
                  'shift && exec "$@"')
        p = subprocess.run([*self.node.prefix, "unshare", "-m", "sh", "-c", script, "sh", self.dir + "/cache", tool,
                            verb, name, *args],
                           env={"PATH": os.environ["PATH"], "NETCONFPATH": self.dir + "/net.d",
                                "CNI_PATH": os.path.dirname(PLUGIN) + ":" + DEBIAN_PLUGINS,
                                **{k: os.environ[k] for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if k in os.environ}},
                           capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(p.returncode != 0, code != 0, (verb, p.stdout, p.stderr))
        return p.stdout + p.stderr

    def test_life(self):
        """add, check, status, del and gc as libcni makes them, at every version that it writes."""
        tool = cnitool()
        os.makedirs(self.dir + "/net.d")
        os.makedirs(self.dir + "/cache")
        for version in ("0.4.0", "1.0.0", "1.1.0"):
            plugin = {"type": "ovs-cni", "socket": self.socket, "spool": self.spool}
            with open(self.dir + "/net.d/10-net.conflist", "w", encoding="utf-8") as f:
                json.dump({"cniVersion": version, "name": "net", "plugins": [plugin]}, f)
            ns = self.netns()
            r = json.loads(self.call(tool, "add", ns.path))
            self.assertEqual((r["cniVersion"], len(r["interfaces"]), len(r["ips"])), (version, 2, 2))
            self.assert_talks(ns, r)
            self.call(tool, "check", ns.path)
            if version == "1.1.0":
                self.call(tool, "status", ns.path)
                ns.run("ip", "link", "set", "eth0", "mtu", "1280")
                self.call(tool, "check", ns.path, code=1)
            self.call(tool, "del", ns.path)
            self.call(tool, "del", ns.path)
            self.node.assert_clean()
        self.call(tool, "add", ns.path)
        self.assertIn("valid-attachments", self.call(tool, "gc", ns.path, code=1))     # G2, G5: cnitool names no list;
        self.node.assert_clean()        # the DEL is libcni's.


class OtherFamilies(LiveCase):
    """Matrix 23: nodes with one family."""

    def test_single_family(self):
        """IPv6 only, IPv4 only."""
        dual = LiveCase.node
        for family, colon in (("6", True), ("4", False)):
            node = Node(f"cnit{family}-{os.getpid()}", "--families", family)
            LiveCase.node = node
            try:
                self.socket, self.spool = node.dir + "/run/cni.sock", node.dir + "/state/spool"
                ns = self.netns()
                r = self.add("o1", ns)
                self.assertEqual([":" in i["address"] for i in r["ips"]], [colon])
                self.assertEqual(len(r["routes"]), 1)
                self.assert_ok(self.check("o1", ns, r))
                self.assert_talks(ns, r)
                self.delete("o1", ns)
                node.assert_clean()
            finally:
                LiveCase.node = dual
                self.attached.clear()
                node.down()


if __name__ == "__main__":
    main(__name__)
