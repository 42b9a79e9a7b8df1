#!/usr/bin/python3 -B
"""Daemons that die and come back under traffic: sluiced loses nothing and sends nothing; ovs-vswitchd comes back closed, then as it
was; ovsdb-server may forget everything."""
# time limit: 600 s
import re
import signal
import unittest

import labtest
from labtest import LabCase, asking, pod

PODS = ["default/a1", "default/a2", "default/b1"]


class Restarts(LabCase):
    PODS = [pod("a1", "node-1"), pod("a2", "node-1"), pod("b1", "node-2")]
    # Each test here kills somebody to whom the others then cannot talk.
    ALLOWED_LOG = [
        ("sluiced", r"(?i)connect|connection|Connection refused|end of file|reset|no such file|not running|gone|lost|db\.sock|"
                    r"br-int\.mgmt|vswitchd|ovsdb", "the test takes ovs-vswitchd or ovsdb-server away"),
        ("ovs-vswitchd", r"db\.sock|reconnect|Connection refused|receive error|connection dropped|No such file", "ovsdb-server is away"),
        ("ovs-vswitchd", r"bridge.*(deleted|destroyed)|netdev_linux\|WARN\|.*(No such device|does not exist)", "devices go with an empty database"),
        ("ovs-vswitchd", r"recirc_id \d+ left allocated when ofproto", "an OVS that loses br-int with its database says so"),
        ("ovsdb-server", r"jsonrpc|reconnect|Connection reset|Broken pipe", "a client was killed"),
    ]

    def everything_talks(self):
        self.assert_connected([spec for sender in (*PODS, "node-1", "node-2") for to in PODS for spec in asking(sender, to)])
        self.assert_connected([spec for sender in PODS for spec in asking(sender, "outside")])

    def flow_monitor(self, node):
        monitor = self.lab.start(node, "stdbuf", "-oL", "ovs-ofctl", "-O", "OpenFlow15", "monitor", "br-int", "watch:!initial")
        self.assertIn("FLOW_MONITOR reply", monitor.stdout.readline())     # From now on it watches.
        return monitor

    def restart_sluiced_under_traffic(self, *how):
        # 500 packets a second in all: what a socket's buffer holds while a busy machine does not run ovs-vswitchd.
        streams = [self.lab.start("default/a1", "ping", "-n", "-q", "-i", "0.01", "-c", "600", address)
                   for address in (*self.lab.ips("default/a2").values(), *self.lab.ips("default/b1").values(), "192.0.2.1")]
        before = self.lab.flows("node-1")
        monitor = self.flow_monitor("node-1")
        try:
            for _ in range(3):
                self.lab("restart", "node-1", "sluiced", *how)
                self.lab("wait")
        finally:
            monitor.send_signal(signal.SIGTERM)
            changes = monitor.communicate(timeout=20)[0]
            said = [stream.communicate(timeout=60)[0] for stream in streams]
        for text in said:
            self.assertRegex(text, r"[1-9]\d* packets transmitted.*, 0% packet loss")
        self.assertNotRegex(changes, "event=(ADDED|DELETED|MODIFIED)")
        self.assertEqual(self.lab.flows("node-1"), before)

    def test_sluiced_killed(self):
        self.restart_sluiced_under_traffic("--kill")

    def test_sluiced_stopped(self):
        self.restart_sluiced_under_traffic()

    def test_the_flow_monitor_sees_a_change(self):
        """What the two tests above rely on."""
        monitor = self.flow_monitor("node-1")
        try:
            self.lab.apply(pod("seen", "node-1"))
            self.lab("delete", "pod", "default/seen")
        finally:
            monitor.send_signal(signal.SIGTERM)
            changes = monitor.communicate(timeout=20)[0]
        self.assertRegex(changes, "event=ADDED")
        self.assertRegex(changes, "event=DELETED")

    def test_pods_live_without_sluiced(self):
        self.lab("stop", "node-1", "sluiced", "--kill")
        self.addCleanup(self.lab, "start", "node-1", "sluiced")
        self.everything_talks()

    def test_delete_without_sluiced(self):
        """The DEL is kept, and done when the daemon is back."""
        before = self.lab.footprint("node-1")
        self.lab.apply(pod("orphan", "node-1"))
        self.lab("stop", "node-1", "sluiced", "--kill")
        self.lab("delete", "pod", "default/orphan")
        self.lab("start", "node-1", "sluiced")
        self.lab("wait")
        self.lab.await_links("node-1", before["links"])
        self.assert_same(self.lab.footprint("node-1"), before)

    def test_vswitchd_killed(self):
        before = self.lab.flows("node-1")
        self.lab("restart", "node-1", "ovs-vswitchd", "--kill")
        self.lab("wait")
        self.assertEqual(self.lab.flows("node-1"), before)
        self.everything_talks()

    def test_vswitchd_comes_back_closed(self):
        """Without sluiced there are no flows, and nothing passes; with it everything does."""
        self.lab("stop", "node-1", "sluiced")
        try:
            self.lab("restart", "node-1", "ovs-vswitchd")
            answers = self.lab.probe(*({key: value for key, value in spec.items() if key != "expect"} | {"timeout": "300ms"}
                                       for to in ("default/a2", "default/b1") for spec in asking("default/a1", to)))
            self.assertEqual({answer["result"] for answer in answers}, {"dropped"})
        finally:
            self.lab("start", "node-1", "sluiced")
        self.lab("wait")
        self.everything_talks()

    def test_ovsdb_server_killed(self):
        """Delayed, not lost: ovs-vswitchd 3.1 serves AF_PACKET ports in its main loop, which pauses until it has the database's lock
        again, a second or so."""
        before = self.lab.footprint("node-1")
        stream = self.lab.start("default/a1", "ping", "-n", "-q", "-i", "0.02", "-c", "200", self.lab.ips("default/b1")[4])
        self.lab("restart", "node-1", "ovsdb-server", "--kill")
        self.lab("wait")
        said = stream.communicate(timeout=30)[0]
        self.assertRegex(said, r", 0% packet loss")
        self.assert_same(self.lab.footprint("node-1"), before)

    def test_ovsdb_server_with_an_empty_database(self):
        before = self.lab.footprint("node-1")
        self.lab("restart", "node-1", "ovsdb-server", "--empty")
        self.lab.exec("node-1", "sluicectl", "wait", "--for", "realized", "--timeout", "30")
        self.everything_talks()
        after = self.lab.footprint("node-1")
        self.assertEqual(after["ports"], before["ports"])
        self.assertEqual(after["flows"], before["flows"])

    def test_all_three_killed(self):
        for daemon in ("sluiced", "ovs-vswitchd", "ovsdb-server"):
            self.lab("stop", "node-2", daemon, "--kill")
        for daemon in ("ovsdb-server", "ovs-vswitchd", "sluiced"):
            self.lab("start", "node-2", daemon)
        self.lab("wait")
        self.everything_talks()

    def test_a_node_keeps_its_addresses(self):
        """After all of that each node still has what it had, and answers outside."""
        self.assert_connected([spec for node in ("node-1", "node-2") for spec in asking("outside", node)])
        for node in ("node-1", "node-2"):
            text = self.lab.exec(node, "ip", "-o", "address")
            for address in self.lab.ips(node).values():
                self.assertEqual(len(re.findall(re.escape(f" {address}/"), text)), 1, text)


class Down(LabCase):
    """"down" takes everything away, whatever was killed before."""

    PODS = [pod("a1", "node-1")]

    def test_down_of_a_broken_lab(self):
        self.lab("stop", "node-1", "sluiced", "--kill")
        self.lab("stop", "node-2", "ovsdb-server", "--kill")
        sleeper = self.lab.start("default/a1", "sleep", "1000")
        state = self.lab.layout.dir
        self.lab("down")
        self.assertNotEqual(sleeper.wait(timeout=10), 0)
        sleeper.stdout.close()
        self.assertEqual(self.lab.layout.all_netns(), [])
        with self.assertRaises(FileNotFoundError):
            open(f"{state}/lab.json")
        self.lab("down")


if __name__ == "__main__":
    labtest.main()
