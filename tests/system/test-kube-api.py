#!/usr/bin/python3 -B
"""sluiced and a real API server: lists in pages, watches, and everything that can go wrong between them (issue 4, items 1, 2, 7).

A proxy (tests/kube/proxy.py) stands between the two and fails on command."""
# time limit: 600 s
import contextlib
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import labtest  # noqa: E402
from kubelab import KubeLabCase, apiserver, node_object, pod_object  # noqa: E402
from labkit import cluster  # noqa: E402
from labtest import asking, pod  # noqa: E402

import proxy as proxy_module  # noqa: E402

# What the daemon has to say of an API server that fails on purpose.
FAILING = [("sluiced", r"\|WARN\|.*(kube|source|API|reflector|http)", "the API server fails on purpose")]
PODS_WATCH, PODS_LIST = r"/pods\?.*watch=", r"/pods($|\?(?!.*watch=|limit=1$))"      # limit=1 is a probe.
EXPIRED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
           "message": "too old resource version"}


class ApiCase(KubeLabCase):
    ALLOWED_LOG = FAILING
    NODE = "node-1"

    def status(self):
        return self.ctl(self.NODE, "status")

    def kind(self, name="Pod"):
        return next(kind for kind in self.status()["source"]["kinds"] if kind["kind"] == name)

    def pods(self):
        return {f"{one['namespace']}/{one['name']}": one for one in self.ctl(self.NODE, "pods")}

    def problems(self):
        return "\n".join(self.status()["problems"])

    def create(self, *items):
        """Straight on the API server, with status."""
        made = []
        for item in items:
            one = self.client.create(item)
            if item["kind"] == "Pod" and "status" in item:
                one = self.client.merge(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"],
                                        {"status": item["status"]}, "status")
            made.append(one)
        return made

    def remove(self, *names, kind="Pod"):
        for name in names:
            self.client.delete(kind, "default", name, grace=0)

    def await_pod(self, name, seconds=20):
        self.eventually(lambda: f"default/{name}" in self.pods(), seconds)

    def await_healthy(self, seconds=20):
        """The API can be read, and the daemon has what is there."""
        def healthy():
            items = {f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in self.client.list("Pod")[0]}
            self.assertFalse(self.status()["source"].get("problem"))
            self.assertEqual(set(self.pods()), items)
        self.eventually(healthy, seconds)

    def wait(self):
        """As "sluice-lab wait", for this node only."""
        cluster.await_delivery(self.lab.layout, [self.NODE], 40)
        self.lab.node(self.NODE).wait("realized")

    @contextlib.contextmanager
    def flows_untouched(self):
        """Whatever happens meanwhile changes no flow."""
        flows, before = self.lab.flows(self.NODE), self.modifications(self.NODE)
        yield
        self.assertEqual(self.lab.flows(self.NODE), flows)
        self.assertEqual(self.modifications(self.NODE), before)


class Answers(ApiCase):
    """The proxy speaks HTTP with both sides, inside of TLS."""
    OPTIONS = ("--nodes", "1")
    VIA_TLS = True
    PODS = [pod("near", "node-1"), pod("near-2", "node-1"), node_object("other-1", 161)]
    ALLOWED_LOG = [*FAILING, ("sluiced", r"node bad-node: has no InternalIP", "what the test asks for")]

    def setUp(self):
        super().setUp()
        self.proxy("clear")
        self.number = len(self.proxy("log")["requests"])

    def await_request(self, match, count=1, timeout=30, asked=False):
        """Counts from the test's begin."""
        self.proxy("wait", match=match, count=count, since=self.number, timeout=timeout, asked=asked)
        return self.asked(match)

    def asked(self, match):
        return [entry for entry in self.proxy("log")["requests"][self.number:]
                if re.search(match, f"{entry['method']} {entry['path']}")]

    def break_watch(self, match=PODS_WATCH, **rule):
        """The rule meets the next watch: the one that runs now is cut."""
        self.proxy.rule(match, **rule)
        self.proxy("reset", match=match)
        self.await_request(match)

    def test_expired_watch_lists_again(self):
        """410 as an ERROR event of a watch, and as the status of one: listed again, and nothing that stays is touched."""
        for rule in ({"insert": [[json.dumps({"type": "ERROR", "object": EXPIRED}) + "\n", 1]], "then": "end"},
                     {"status": 410, "body": EXPIRED}):
            with self.subTest(list(rule)), self.flows_untouched():
                self.number = len(self.proxy("log")["requests"])
                before = self.kind()["lists"]
                self.break_watch(**rule)
                self.eventually(lambda before=before: self.kind()["lists"] > before)
                self.create(pod_object("after-410", "other-1", ["10.244.161.10"]))
                self.await_pod("after-410")
                self.remove("after-410")
                self.await_healthy()

    def test_expired_list_lists_again(self):
        """410 to a page in the middle of a list: begun again; the answer of a list without pages is taken, too."""
        items = [pod_object(f"many-{index}", "other-1") for index in range(1200)]
        self.cluster.create_all(items)
        self.addCleanup(self.cluster.delete_all, items)
        self.await_healthy(60)
        for times in (1, 2):
            with self.subTest(times), self.flows_untouched():
                self.proxy.rule(r"/pods\?.*continue=", status=410, body=EXPIRED, times=times)
                self.proxy.rule(PODS_WATCH, status=410, body=EXPIRED)
                self.number = len(self.proxy("log")["requests"])
                self.proxy("reset", match=PODS_WATCH)
                self.await_request(PODS_LIST, 3)
                self.await_request(PODS_WATCH, 2, 60)
                self.await_healthy(60)
                self.assertIn(410, [entry["status"] for entry in self.asked(PODS_LIST)])

    def test_pages(self):
        """2,000 pods in pages of at most 500."""
        items = [pod_object(f"page-{index}", "other-1") for index in range(2000)]
        self.cluster.create_all(items)
        self.addCleanup(self.cluster.delete_all, items)
        self.lab("restart", self.NODE, "sluiced")
        lists = self.await_request(PODS_LIST, 5)
        for entry in lists:
            self.assertRegex(entry["path"], r"limit=\d+")
        self.await_healthy(60)

    def without_watch_cache(self):
        """Who asks for old revisions is answered by etcd, which may have forgotten them."""
        self.cluster.restart("kube-apiserver", "--watch-cache=false")
        self.addCleanup(self.await_healthy, 60)         # Backoff is at most 30 s.
        self.addCleanup(self.cluster.restart, "kube-apiserver", "--watch-cache=true")

    def test_compacted_in_mid_list(self):
        """The real thing: etcd forgets the list's revision between two pages."""
        items = [pod_object(f"list-{index}", "other-1") for index in range(1100)]
        self.cluster.create_all(items)
        self.addCleanup(self.cluster.delete_all, items)
        self.without_watch_cache()
        self.lab("stop", self.NODE, "sluiced")
        self.number = len(self.proxy("log")["requests"])
        self.proxy.rule(r"/pods\?.*continue=", delay=1)
        with subprocess.Popen([labtest.LAB, "start", "--name", self.lab.name, self.NODE, "sluiced"]) as starting:
            self.await_request(r"/pods\?.*continue=", asked=True)
            self.create(pod_object("meanwhile", "other-1", ["10.244.161.11"]))
            self.cluster.compact()
            self.assertEqual(starting.wait(60), 0)
        self.await_request(PODS_LIST, 3)
        self.assertIn(410, [entry["status"] for entry in self.asked(PODS_LIST)])
        self.await_healthy(60)
        self.remove("meanwhile")

    def test_compacted_while_away(self):
        """The real thing: etcd forgets the watch's revision while the connection is down."""
        self.without_watch_cache()
        self.await_healthy(60)
        self.create(pod_object("stays", "other-1", ["10.244.161.12"]), pod_object("goes", "other-1", ["10.244.161.13"]))
        self.await_pod("goes")
        with self.flows_untouched():
            lists = self.kind()["lists"]
            self.proxy("refuse")
            self.proxy("reset")
            self.remove("goes")
            self.create(pod_object("comes", "other-1", ["10.244.161.14"]))
            self.cluster.compact()
            self.proxy("accept")
            self.await_pod("comes", 40)
            self.await_healthy(40)
            self.assertGreater(self.kind()["lists"], lists)
        self.assertIn("default/stays", self.pods())
        self.remove("stays", "comes")

    def test_cut_in_the_middle_of_an_object(self):
        for how in ("reset", "close", "end"):
            with self.subTest(how), self.flows_untouched():
                self.number = len(self.proxy("log")["requests"])
                self.break_watch(after={"bytes": 200}, then=how)
                self.create(pod_object(f"cut-{how}", "other-1", ["10.244.161.20"]))
                self.await_pod(f"cut-{how}")
                self.remove(f"cut-{how}")
                self.await_healthy()

    def test_list_that_breaks_off(self):
        """What a list did not bring because it broke off is not gone."""
        for how in ("reset", "end"):
            with self.subTest(how), self.flows_untouched():
                self.number = len(self.proxy("log")["requests"])
                failures = self.kind()["failures"]
                self.proxy.rule(PODS_LIST, after={"bytes": 700}, then=how)
                self.proxy.rule(PODS_WATCH, status=410, body=EXPIRED)
                self.proxy("reset", match=PODS_WATCH)
                self.await_request(PODS_LIST, 2, 60)
                self.await_healthy(40)
                self.assertGreater(self.kind()["failures"], failures)

    def test_garbled_bytes(self):
        """An object that is no JSON, or no pod, is named or read again; all others arrive."""
        for number, (old, new) in enumerate((
                ('"podIP":"', '"podIP":'), ('"metadata":{"name":"garbled', '"metadata":["name":"garbled'),
                ('"nodeName":"other-1"', '"nodeName":{"x":null}'), ('"10.244.161.30"', '"10.244.161.999"'),
                ('"10.244.161.30"', 'null'), ('"10.244.161.30"', '"' + "9" * 100000 + '"'), ("{", "\x00"), ('"', ""))):
            with self.subTest(new[:20]):
                self.number = len(self.proxy("log")["requests"])
                self.break_watch(replace=[[old, new]])
                bad, good = f"garbled-{number}", f"good-{number}"
                self.create(pod_object(bad, "other-1", ["10.244.161.30"]), pod_object(good, "elsewhere"))
                try:
                    self.await_pod(good)
                    self.eventually(lambda bad=bad: self.assertTrue(bad in self.problems() or "default/" + bad in self.pods()))
                finally:
                    self.proxy("clear")
                    self.remove(bad, good)
                    self.proxy("reset", match=PODS_WATCH)
                self.await_healthy(40)
                self.eventually(lambda bad=bad: self.assertNotIn(bad, self.problems()))

    def test_huge_object_is_left_out(self):
        """9 MB in one line, then an endless one: named, and everything else arrives."""
        begin = '{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"huge","namespace":"default"},"x":"'
        self.break_watch(insert=[[begin, 1], ["A", 9 << 20], ['"}}\n', 1]])
        self.create(pod_object("after-huge", "other-1", ["10.244.161.40"]))
        self.await_pod("after-huge")
        self.eventually(lambda: "large" in self.problems())
        self.remove("after-huge")
        rss = self.rss()
        self.break_watch(insert=[["A", 64 << 20]], then="end")
        self.await_healthy()
        self.assertLess(self.rss() - rss, 24 << 10)

    def rss(self):
        """KiB."""
        with open(f"/proc/{self.lab.node(self.NODE).pid('sluiced')}/status") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    def test_endless_headers(self):
        failures = self.kind()["failures"]
        self.break_watch(head=8 << 20)
        self.eventually(lambda: self.kind()["failures"] > failures)
        self.create(pod_object("after-head", "other-1"))
        self.await_pod("after-head")
        self.remove("after-head")

    def test_renewed_token(self):
        """The server refuses the old token (401) until the file has a new one."""
        self.proxy.rule("", status=401, times=0, body={"kind": "Status", "status": "Failure", "code": 401, "reason": "Unauthorized",
                                                       "message": "Unauthorized"})
        self.proxy("reset")
        self.await_request("")
        self.eventually(lambda: self.status()["source"].get("problem"))
        token = self.cluster.new_token()
        apiserver.write_text(self.lab.node(self.NODE).path("token"), token)
        self.eventually(lambda: self.assertIn(token[-8:], {entry["token"] for entry in self.asked("")}), 60)
        self.proxy("clear")
        self.await_healthy(60)
        self.create(pod_object("after-401", "other-1"))
        self.await_pod("after-401")
        self.remove("after-401")

    def test_too_many_requests(self):
        """Retry-After is obeyed."""
        self.break_watch(r"/nodes\?.*", status=429, headers={"Retry-After": "3"}, body="slow down")
        entries = self.await_request(r"/nodes\?", 2)
        first = next(index for index, entry in enumerate(entries) if entry["status"] == 429)
        self.assertGreaterEqual(entries[first + 1]["time"] - entries[first]["time"], 2.9)
        self.assertLess(entries[first + 1]["time"] - entries[first]["time"], 8)
        self.await_healthy()

    def test_backoff(self):
        """Longer and longer between tries, not in step, and short again after a success."""
        self.proxy.rule(r"/namespaces\?", status=503, times=5, body="failing")
        self.proxy("reset", match="/namespaces")
        entries = self.await_request(r"/namespaces\?", 6, 60)
        times = [entry["time"] for entry in entries[:6]]
        gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
        print("backoff:", " ".join(f"{gap:.2f}" for gap in gaps), flush=True)
        self.assertGreater(sum(gaps[3:]), 1.5 * sum(gaps[:3]))
        self.assertLess(gaps[0], 1)
        self.await_healthy()

    def test_bookmarks_are_dropped(self):
        """Without bookmarks it works, too."""
        self.break_watch(drop="BOOKMARK")
        self.create(pod_object("unmarked", "other-1"))
        self.await_pod("unmarked")
        self.remove("unmarked")

    def test_bad_objects_of_the_server(self):
        """What the API server accepts though it is wrong is named, and nothing else suffers."""
        bad = node_object("bad-node", 165)
        bad["status"]["addresses"] = [{"type": "InternalIP", "address": "nonsense"}]
        self.create(bad)
        self.eventually(lambda: "bad-node" in self.problems())
        self.create(node_object("good-node", 166))
        self.eventually(lambda: any(node["name"] == "good-node" for node in self.ctl(self.NODE, "nodes")))
        self.assert_connected(asking("default/near", "default/near-2"))
        self.client.merge("Node", "", "bad-node", {"status": {"addresses": []}}, "status")
        self.eventually(lambda: "nonsense" not in self.problems())
        self.remove("bad-node", "good-node", kind="Node")


class Losses(ApiCase):
    """The relay of the node passes bytes: HTTP and TLS are the server's own."""
    OPTIONS = ("--nodes", "2")
    PODS = [pod("near", "node-1"), pod("far", "node-2"), node_object("other-1", 161)]
    ALLOWED_LOG = [*FAILING, ("sluiced", r"denied: the Pod object is not known yet", "what the test asks for"),
                   ("ovs-vswitchd", r"recirc_id \d+ left allocated", "restarted under traffic")]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.relay, cls.dead = (proxy_module.Control(cls.lab.node(name).path("relay.sock")) for name in ("node-1", "node-2"))
        for control in (cls.relay, cls.dead):
            cls.addClassCleanup(control.close)
        cls.connections = len(cls.dead("log")["connections"])
        cls.dead("hold")
        cls.held = time.monotonic()

    def assert_pods_talk(self):
        self.assert_connected([*asking("default/near", "default/far"), *asking("default/far", "default/near")])

    def test_cuts(self):
        for how in ("reset", "close"):
            with self.subTest(how), self.flows_untouched():
                self.relay(how)
                self.create(pod_object(f"cut-{how}", "other-1", ["10.244.161.50"]))
                self.await_pod(f"cut-{how}")
                self.remove(f"cut-{how}")
                self.await_healthy()

    def test_slow(self):
        """Bytes that trickle are no dead peer."""
        failures = self.kind()["failures"]
        self.relay("slow", rate=4000)
        self.addCleanup(self.relay, "slow")
        self.create(pod_object("slowly", "other-1", ["10.244.161.51"]))
        self.await_pod("slowly")
        self.remove("slowly")
        self.await_healthy()
        self.assertEqual(self.kind()["failures"], failures)

    def test_server_gone_for_a_while(self):
        """Pods talk, ADD and DEL go on; a pod that cannot be known yet is denied until it is."""
        self.create(pod_object("old", "other-1", ["10.244.161.60"]))
        self.lab("apply", "-f", "-", stdin=json.dumps(pod("leaves", "node-1")))
        self.await_healthy()
        self.relay("refuse")
        self.relay("reset")
        begin = time.monotonic()
        self.eventually(lambda: self.status()["source"].get("problem"))
        self.assert_pods_talk()
        self.remove("old")
        self.create(pod_object("new", "other-1", ["10.244.161.61"]))
        self.client.delete("Pod", "default", "leaves")                          # DEL
        self.client.until("Pod", "default", "leaves", lambda now: now is None)
        self.lab("apply", "-f", "-", stdin=json.dumps(pod("unknown", "node-1")))      # ADD
        self.assertEqual(self.lab.probe({"from": "default/far", "to": "default/unknown", "port": 80})[0]["result"], "dropped")
        self.assertTrue(self.status()["ready"])
        self.lab("restart", "node-1", "ovs-vswitchd")
        self.lab.node("node-1").wait("ready")
        time.sleep(max(0, begin + 20 - time.monotonic()))
        self.assert_pods_talk()
        self.relay("accept")
        self.await_pod("new", 40)       # Backoff is at most 30 s.
        self.await_healthy(40)
        self.wait()
        self.assert_connected(asking("default/far", "default/unknown"))
        self.remove("new")
        self.client.delete("Pod", "default", "unknown")

    def test_restarted_while_objects_change(self):
        """What did not change meanwhile is not touched."""
        self.create(node_object("leaving", 171), node_object("staying", 172), pod_object("going", "other-1", ["10.244.161.70"]))
        self.eventually(lambda: {"leaving", "staying"} <= {node["name"] for node in self.ctl("node-1", "nodes")})
        self.wait()
        before = set(self.lab.flows("node-1"))
        self.lab("stop", "node-1", "sluiced", "--kill")
        self.remove("leaving", kind="Node")
        self.remove("going")
        self.create(node_object("arriving", 173))
        self.assert_pods_talk()
        self.lab("start", "node-1", "sluiced")
        self.wait()
        self.await_healthy()
        after = set(self.lab.flows("node-1"))
        changed = before ^ after
        self.assertTrue(changed)
        self.assertTrue(all("10.244.171." in flow or "10.244.173." in flow or "fd00:10:244:a" in flow or "172.30.0.17" in flow
                            or "ad::/64" in flow or "ab::/64" in flow for flow in changed), changed)
        self.assertLessEqual(self.modifications("node-1"), len(changed))
        self.remove("staying", "arriving", kind="Node")

    def test_restored_from_a_backup(self):
        """etcd goes back: resourceVersions are older than what we have."""
        self.create(pod_object("in-backup", "other-1", ["10.244.161.80"]))
        self.await_pod("in-backup")
        self.cluster.backup()
        self.await_healthy(40)
        self.create(*(pod_object(f"lost-{index}", "other-1", [f"10.244.161.{90 + index}"]) for index in range(20)))
        self.remove("in-backup")
        self.await_pod("lost-19")
        version = int(self.kind()["resourceVersion"])
        with self.flows_untouched():
            self.cluster.restore()
            self.assertLess(int(self.client.list("Pod")[1]), version)
            self.await_healthy(60)
        self.assertIn("default/in-backup", self.pods())
        self.assertNotIn("default/lost-0", self.pods())
        self.create(pod_object("later", "other-1", ["10.244.161.81"]))
        self.await_pod("later", 40)
        self.remove("later", "in-backup")
        self.assert_pods_talk()

    def test_crd_comes_and_goes(self):
        """ClusterNetworkPolicy is watched once its CRD is there, and forgotten when it goes."""
        path = os.path.join(apiserver.HERE, "crd-clusternetworkpolicies.yaml")
        self.assertTrue(self.kind("ClusterNetworkPolicy")["absent"])
        self.assertTrue(self.kind("ClusterNetworkPolicy")["synced"])
        self.addCleanup(self.cluster.kubectl, "delete", "--ignore-not-found", "-f", path)
        self.cluster.establish(path)
        self.eventually(lambda: not self.kind("ClusterNetworkPolicy")["absent"], 40)
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(POLICY))
        self.eventually(lambda: self.kind("ClusterNetworkPolicy")["count"] == 1)
        self.cluster.kubectl("delete", "-f", path)
        self.eventually(lambda: self.kind("ClusterNetworkPolicy")["absent"], 40)
        self.assertEqual(self.kind("ClusterNetworkPolicy")["count"], 0)
        self.await_healthy()

    def test_killed_server(self):
        """The API server itself goes and comes back."""
        with self.flows_untouched():
            self.cluster.restart("kube-apiserver")
            self.create(pod_object("after-kill", "other-1"))
            self.await_pod("after-kill", 40)
            self.remove("after-kill")
            self.await_healthy(40)

    def test_zz_dead_peer(self):
        """A connection on which nothing comes any more, not even bookmarks, is given up after 90 s.

        node-2 has had one since the class began."""
        known = {"default/near", "default/far"}
        self.assertEqual({f"{one['namespace']}/{one['name']}" for one in self.ctl("node-2", "pods")}, known)
        self.create(pod_object("unheard", "other-1"))
        log = self.dead("wait", count=1, since=self.connections, timeout=150)
        waited = log["connections"][self.connections]["opened"] - self.held
        print(f"dead peer found after {waited:.0f} s", flush=True)
        self.assertLess(waited, 150)
        self.dead("reset")
        self.dead("go")
        self.eventually(lambda: "unheard" in {one["name"] for one in self.ctl("node-2", "pods")}, 40)
        self.remove("unheard")


POLICY = {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "first"},
          "spec": {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}},
                   "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}}


if __name__ == "__main__":
    labtest.main()
