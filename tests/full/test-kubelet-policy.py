#!/usr/bin/python3 -B
"""Two real kubelets: NetworkPolicy and ClusterNetworkPolicy as a user meets them.  Numbers are items of what must hold: "np 3" of
NetworkPolicy's list, "cnp 1" of ClusterNetworkPolicy's."""
# time limit: 900 s
import concurrent.futures
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from kubelettest import AGNHOST, HTTP, OUTSIDE, OUTSIDE_PORT, UDP, agnhost, ips, pod, url  # noqa: E402

CRD = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "kube", "crd-clusternetworkpolicies.yaml")
SECOND = 8090
# A change of objects is in force within this time (cnp 10).
SECONDS = 10


def networkpolicy(name, subject, namespace="default", **spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": namespace},
            "spec": {"podSelector": labelled(**subject), **spec}}


def clusternetworkpolicy(name, tier, priority, **spec):
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": name},
            "spec": {"tier": tier, "priority": priority, **spec}}


def labelled(**labels):
    return {"matchLabels": labels} if labels else {}


def deny(name, subject, *types):
    return networkpolicy(name, subject, policyTypes=list(types))


def ingress(name, subject, *peers, **rule):
    return networkpolicy(name, subject, policyTypes=["Ingress"], ingress=[{"from": list(peers)} | rule if peers else rule])


def egress(name, subject, *peers, **rule):
    return networkpolicy(name, subject, policyTypes=["Egress"], egress=[{"to": list(peers)} | rule if peers else rule])


def in_namespace(item, namespace):
    return item | {"metadata": item["metadata"] | {"namespace": namespace}}


# Says "URL number", the number being curl's exit status, 0 if there was an answer: 28 is no answer in time.
ASK_HTTP = "(curl -s -o /dev/null -m 1 '{url}'; echo '{url}' $?) &\n"
ASK_UDP = "(exec 3<>/dev/udp/{address}/{port}; echo hostname >&3; read -t 1 -N 1 x <&3; [ $? = 0 ] && echo '{url}' 0 || echo '{url}' 28) &\n"
# One connection with a request each tenth of a second; says "lost N" when an answer does not come within {patience} seconds.
TALK = """exec 3<>/dev/tcp/{address}/{port}; n=0; echo open
while sleep 0.1; do
    printf 'GET /hostname HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3
    while read -t {patience} -u 3 line && [[ $line != Content-Length* ]]; do :; done
    [[ $line = Content-Length* ]] || {{ echo "lost $n"; exit; }}
    read -t 1 -u 3 line; read -t 1 -N 6 -u 3 line
    n=$((n + 1)); echo "answer $n"
done"""


class Policies(kubelettest.KubeletCase):
    ALLOWED_LOG = [kubelettest.OVS_WAS_KILLED, kubelettest.labtest.SLUICED_WAS_KILLED]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cluster = cls.cluster
        cluster.kubectl("apply", "-f", CRD)
        cluster.wait("crd/clusternetworkpolicies.policy.networking.k8s.io", "condition=Established")
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other", "labels": {"team": "blue"}}})
        named = [agnhost(ports=[{"name": "web", "containerPort": HTTP}]), agnhost(name="second", port=SECOND)]
        swapped = [agnhost(), agnhost(name="second", port=SECOND, ports=[{"name": "web", "containerPort": SECOND}])]
        cluster.apply(pod("server", "node-1", {"app": "server"}, containers=named),
                      pod("server-2", "node-2", {"app": "server"}, containers=swapped),
                      pod("near", "node-1", {"app": "client", "side": "near"}), pod("far", "node-2", {"app": "client", "side": "far"}),
                      in_namespace(pod("stranger", "node-2", {"app": "client"}), "other"),
                      pod("host", "node-1", {"app": "client"}, hostNetwork=True, containers=[agnhost("pause")]))
        cluster.wait("pod/server pod/server-2 pod/near pod/far pod/host")
        cluster.wait("-n other pod/stranger")
        cls.where = {name: "other" if name == "stranger" else "default" for name in
                     ("server", "server-2", "near", "far", "stranger", "host")}
        cls.ips = {name: ips(cluster.pod(name, namespace)) for name, namespace in cls.where.items()}
        cluster.realized()
        cls.before = {node: cluster.footprint(node) for node in cluster.nodes}

    def setUp(self):
        """Without policies all is open."""
        self.sees({("near", "server"): True, ("far", "server"): True, ("stranger", "server"): True, ("server", "stranger"): True})

    def tearDown(self):
        self.cluster.kubectl("delete", "networkpolicies", "--all", "-A")
        self.cluster.kubectl("delete", "clusternetworkpolicies", "--all")
        self.cluster.kubectl("delete", "pod", "-l", "late", "--timeout=60s")

    def probe(self, client, targets):
        """{(target, port): whether it answers}; both families have to say the same.  A target is a pod or {family: address}."""
        addresses = {(name, port): self.ips[name].values() for name, port in targets}
        script = "".join((ASK_UDP if port == UDP else ASK_HTTP).format(url=url(address, port), address=address, port=port)
                         for (_, port), those in addresses.items() for address in those) + "wait"
        said = self.cluster.kubectl("-n", self.where[client], "exec", client, "--", "bash", "-c", script)
        codes = dict(line.rsplit(" ", 1) for line in said.splitlines())
        found = {}
        for (name, port), those in addresses.items():
            codes_here = {codes[url(address, port)] for address in those}
            found[name, port] = {frozenset("0"): True, frozenset(["28"]): False}.get(frozenset(codes_here), sorted(codes_here))
        return found

    def probe_all(self, wanted):
        clients = {}
        for client, name, port in wanted:
            clients.setdefault(client, []).append((name, port))
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
            answers = {client: pool.submit(self.probe, client, targets) for client, targets in clients.items()}
            return {(client, *target): verdict for client, answer in answers.items() for target, verdict in answer.result().items()}

    def sees(self, wanted, seconds=SECONDS):
        """Within some seconds all is as 'wanted' says: {(client, server[, port]): whether it answers}.  Denied is silence (np 33)."""
        wanted = {key if len(key) == 3 else (*key, HTTP): verdict for key, verdict in wanted.items()}
        deadline = time.monotonic() + seconds
        while True:
            begun = time.monotonic()
            found = self.probe_all(wanted)
            if found == wanted:
                return
            if begun > deadline:
                wrong = {key: found[key] for key in wanted if found[key] != wanted[key]}
                self.fail(f"after {seconds} s: {wrong}, the rest of {wanted} is right")

    def talk(self, client, name, family=4, patience=1):
        """A connection that lives on beside the test."""
        script = TALK.format(address=self.ips[name][family], port=HTTP, patience=patience)
        return self.cluster.beside("node-1", kubelettest.rig.binary("kubectl"), "-n", self.where[client], "exec", client, "--",
                                   "bash", "-c", script)

    def heard(self, process, what, seconds=SECONDS):
        """The first line from now on that begins so."""
        os.set_blocking(process.stdout.fileno(), True)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            line = process.stdout.readline()
            self.assertTrue(line, f"ended before it said \"{what}\"")
            if line.startswith(what):
                return line.strip()
        self.fail(f"nobody said \"{what}\"")

    # --- NetworkPolicy ---

    def test_01_default_deny_then_allow(self):
        """np 1, 3, 4, 6, 10, 19: whoever else has a policy, and in the other direction, is not concerned."""
        self.cluster.apply(deny("deny", {}, "Ingress"))
        self.sees({(client, "server"): False for client in ("near", "far", "stranger")} |
                  {("server", "stranger"): True, ("near", "stranger"): True, ("near", "far"): False})
        self.cluster.apply(ingress("allow", {"app": "server"}, {"podSelector": labelled(app="client")}))
        self.sees({("near", "server"): True, ("far", "server"): True, ("stranger", "server"): False, ("far", "server-2"): True,
                   ("server", "server-2"): False, ("near", "far"): False})
        self.cluster.kubectl("delete", "networkpolicy", "deny")
        self.sees({("near", "far"): True, ("stranger", "server"): False, ("near", "server"): True})
        told = self.cluster.sluicectl("node-1", "policies")
        self.assertRegex(told, r"default/allow\b")
        self.assertNotIn("default/deny", told)

    def test_02_across_namespaces(self):
        """np 9, 11"""
        blue, clients = {"namespaceSelector": labelled(team="blue")}, {"podSelector": labelled(app="client")}
        self.cluster.apply(ingress("allow", {"app": "server"}, blue | clients))
        self.sees({("stranger", "server"): True, ("near", "server"): False, ("far", "server-2"): False})
        self.cluster.apply(ingress("allow", {"app": "server"}, {"namespaceSelector": labelled(**{"kubernetes.io/metadata.name": "default"})}))
        self.sees({("stranger", "server"): False, ("near", "server"): True, ("far", "server-2"): True})
        self.cluster.apply(ingress("allow", {"app": "server"}, blue, clients))
        self.sees({("stranger", "server"): True, ("near", "server"): True, ("server", "server-2"): False})

    def test_03_egress_to_addresses_outside(self):
        """np 12, 13: cidr without except, each family for itself; what is not listed is closed."""
        agn = kubelettest.rig.binary("agnhost")
        blocks = [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]
        with self.cluster.beside("outside", agn, "netexec", f"--http-port={OUTSIDE_PORT}", "--udp-port=9001") as server:
            self.assertIn("Started HTTP server", server.stdout.readline())
            self.ips["outside-4"], self.ips["outside-6"] = {4: OUTSIDE[4]}, {6: OUTSIDE[6]}
            both = [("far", "outside-4", OUTSIDE_PORT), ("far", "outside-6", OUTSIDE_PORT)]
            self.sees({key: True for key in both})
            self.cluster.apply(egress("out", {"side": "far"}, {"podSelector": {}}))
            self.sees({key: False for key in both} | {("far", "server"): True, ("far", "stranger"): False})
            self.cluster.apply(egress("out", {"side": "far"}, *blocks))
            self.sees({key: True for key in both} | {("far", "server"): False, ("near", "server"): True})
            blocks[1]["ipBlock"]["except"] = [f"{OUTSIDE[6]}/128"]
            self.cluster.apply(egress("out", {"side": "far"}, *blocks))
            self.sees({both[0]: True, both[1]: False})
            self.cluster.apply(egress("out", {"side": "far"}, *blocks, ports=[{"port": OUTSIDE_PORT + 1}]))
            self.sees({key: False for key in both})

    def test_04_named_ports(self):
        """np 17: each pod has its own number for the name; a name with another protocol, and one that nobody has, is nothing."""
        self.cluster.apply(ingress("web", {"app": "server"}, ports=[{"port": "web"}]))
        by_name = {("near", "server", HTTP): True, ("near", "server", SECOND): False,
                   ("far", "server-2", HTTP): False, ("far", "server-2", SECOND): True}
        self.sees(by_name)
        self.cluster.kubectl("delete", "networkpolicy", "web")
        self.cluster.apply(egress("web", {"app": "client"}, ports=[{"port": "web"}]))
        self.sees(by_name)
        self.cluster.apply(egress("web", {"app": "client"}, ports=[{"port": "web", "protocol": "UDP"}, {"port": "nobody"}]))
        self.sees({key: False for key in by_name})

    def test_05_protocols_and_ranges(self):
        """np 15, 18"""
        self.cluster.apply(ingress("ports", {"app": "server"}, ports=[{"port": UDP, "protocol": "UDP"}]))
        self.sees({("near", "server", UDP): True, ("far", "server", UDP): True, ("near", "server"): False, ("far", "server"): False})
        self.cluster.apply(ingress("ports", {"app": "server"}, ports=[{"port": HTTP + 1, "endPort": SECOND}]))
        self.sees({("near", "server", UDP): False, ("near", "server"): False, ("near", "server", SECOND): True,
                   ("far", "server", SECOND): True, ("far", "server-2", HTTP): False})

    def test_06_a_live_connection_is_cut(self):
        """np 24, 25: within two seconds of the change; one that stays allowed loses nothing."""
        for family in (4, 6):
            with self.talk("near", "server", family) as cut, self.talk("far", "server", family, 3) as kept:
                self.heard(cut, "answer 5")
                self.heard(kept, "answer 5")
                self.cluster.apply(ingress("far-only", {"app": "server"}, {"podSelector": labelled(side="far")}))
                self.sees({("near", "server"): False, ("far", "server"): True})
                self.heard(cut, "lost", 3)
                last = int(self.heard(kept, "answer").split()[1])
                self.heard(kept, f"answer {last + 20}")
            self.cluster.kubectl("delete", "networkpolicy", "far-only")
            self.sees({("near", "server"): True})

    def test_07_pods_are_relabelled(self):
        """np 20: peers, and subjects."""
        label = lambda *what: self.cluster.kubectl("label", "--overwrite", "pod", *what)    # noqa: E731
        self.cluster.apply(ingress("friends", {"app": "server"}, {"podSelector": labelled(friend="yes")}), deny("shy", {"shy": "yes"}, "Ingress"))
        self.sees({("near", "server"): False, ("far", "server"): False, ("near", "far"): True})
        label("near", "friend=yes")
        self.sees({("near", "server"): True, ("near", "server-2"): True, ("far", "server"): False})
        label("far", "shy=yes")
        self.sees({("near", "far"): False, ("far", "near"): True})
        label("near", "friend=no")
        label("far", "shy-")
        self.sees({("near", "server"): False, ("near", "far"): True})
        label("near", "friend-")

    def test_08_a_namespace_is_relabelled(self):
        """np 20"""
        self.cluster.apply(ingress("green", {"app": "server"}, {"namespaceSelector": labelled(team="green")}))
        self.sees({("stranger", "server"): False, ("near", "server"): False})
        self.cluster.kubectl("label", "--overwrite", "namespace", "other", "team=green")
        self.sees({("stranger", "server"): True, ("stranger", "server-2"): True, ("near", "server"): False})
        self.cluster.kubectl("label", "--overwrite", "namespace", "other", "team=blue")
        self.sees({("stranger", "server"): False})

    def test_09_the_first_packet_of_a_new_pod_is_subject(self):
        """np 22: its first container, an init container, finds the door closed from its first packet on."""
        self.cluster.apply(deny("late", {"late": "closed"}, "Ingress", "Egress"),
                           egress("late-open", {"late": "open"}, {"podSelector": labelled(app="server")}))
        targets = " ".join(f"'{url(address, HTTP)}'" for name in ("server", "server-2") for address in self.ips[name].values())
        script = f"for round in 1 2 3; do for u in {targets}; do (curl -s -o /dev/null -m 1 $u; echo $?) & done; wait; done"
        init = [{"name": "first", "image": AGNHOST, "command": ["bash", "-c", script]}]
        late = [pod(f"late-{kind}-{node}", node, {"late": kind}, initContainers=init) for kind in ("closed", "open")
                for node in self.cluster.nodes]
        self.cluster.apply(*late)
        self.cluster.wait(" ".join(f"pod/{item['metadata']['name']}" for item in late))
        for item in late:
            name = item["metadata"]["name"]
            codes = self.cluster.kubectl("logs", name, "-c", "first").split()
            self.assertEqual(len(codes), 12, name)
            self.assertEqual(set(codes) if "closed" in name else set(codes[-4:]), {"28" if "closed" in name else "0"}, f"{name}: {codes}")

    def test_10_the_own_node_passes_others_do_not(self):
        """np 26, 28: kubelet's probes and pods with the node's network; a pod that starts under a default deny becomes ready."""
        self.cluster.apply(deny("deny", {}, "Ingress"))
        self.sees({("near", "server"): False, ("host", "server"): True, ("host", "server-2"): False})
        self.cluster.apply(pod("late", "node-1", {"late": "probed"}))
        self.cluster.wait("pod/late")
        for node, codes in (("node-1", "0"), ("node-2", "28")):
            for address in self.ips["server"].values():
                done = self.cluster.exec(node, "curl", "-s", "-o", "/dev/null", "-m", "2", url(address, HTTP), check=False)
                self.assertEqual(str(done.returncode), codes, f"{node} to {address}")
        for name in ("server", "server-2", "near", "far", "late"):
            status = self.cluster.pod(name)["status"]
            self.assertEqual([c["status"] for c in status["conditions"] if c["type"] == "Ready"], ["True"], name)
            self.assertFalse(any(container["restartCount"] for container in status["containerStatuses"]), name)

    # --- ClusterNetworkPolicy ---

    def test_11_tiers(self):
        """cnp 1, 3, 9: Admin before NetworkPolicy before Baseline."""
        servers, everybody = {"pods": {"namespaceSelector": {}, "podSelector": labelled(app="server")}}, {"namespaces": {}}
        clients = {"pods": {"namespaceSelector": {}, "podSelector": labelled(app="client")}}
        rule = lambda action, *peers: [{"action": action, "from": list(peers)}]     # noqa: E731
        baseline = clusternetworkpolicy("baseline", "Baseline", 10, subject=servers, ingress=rule("Deny", everybody))
        self.cluster.apply(baseline)
        self.sees({("near", "server"): False, ("stranger", "server-2"): False, ("near", "far"): True})
        self.cluster.apply(ingress("np", {"app": "server"}, {"podSelector": labelled(side="near")}))
        self.sees({("near", "server"): True, ("far", "server"): False, ("stranger", "server"): False})
        strangers = {"namespaces": labelled(team="blue")}
        self.cluster.apply(clusternetworkpolicy("admin", "Admin", 10, subject=servers,
                                                ingress=rule("Accept", strangers) + rule("Deny", clients)))
        self.sees({("near", "server"): False, ("far", "server"): False, ("stranger", "server"): True, ("stranger", "server-2"): True})
        self.cluster.apply(clusternetworkpolicy("before", "Admin", 5, subject=servers, ingress=rule("Pass", everybody)))
        self.sees({("near", "server"): True, ("far", "server"): False, ("stranger", "server"): False})

    def test_12_changes_by_patch(self):
        """cnp 2, 10: order of rules, priority."""
        servers = {"pods": {"namespaceSelector": {}, "podSelector": labelled(app="server")}}
        accept, refuse = ({"action": action, "from": [{"namespaces": {}}]} for action in ("Accept", "Deny"))
        patch = lambda name, **spec: self.cluster.kubectl("patch", "clusternetworkpolicy", name, "--type=merge", "-p",  # noqa: E731
                                                          json.dumps({"spec": spec}))
        self.cluster.apply(clusternetworkpolicy("one", "Admin", 20, subject=servers, ingress=[accept, refuse]),
                           ingress("np", {"app": "server"}, {"podSelector": labelled(app="nobody")}))
        self.sees({("near", "server"): True, ("stranger", "server-2"): True})
        patch("one", ingress=[refuse, accept])
        self.sees({("near", "server"): False, ("stranger", "server-2"): False})
        self.cluster.apply(clusternetworkpolicy("two", "Admin", 30, subject=servers, ingress=[accept]))
        self.sees({("near", "server"): False})
        patch("two", priority=10)
        self.sees({("near", "server"): True, ("stranger", "server-2"): True})

    def test_13_networks_and_nodes(self):
        """cnp 5: egress to CIDRs, pods' addresses too, and to nodes."""
        clients = {"pods": {"namespaceSelector": {}, "podSelector": labelled(side="near")}}
        both = [{"networks": [f"{address}/{32 if family == 4 else 128}" for family, address in self.ips["server-2"].items()]}]
        self.cluster.apply(clusternetworkpolicy("out", "Admin", 0, subject=clients, egress=[{"action": "Deny", "to": both}]))
        self.sees({("near", "server-2"): False, ("near", "server"): True, ("far", "server-2"): True})
        agn = kubelettest.rig.binary("agnhost")
        self.ips["node"] = ips(self.cluster.get("/api/v1/nodes/node-2"))
        with self.cluster.beside("node-2", agn, "netexec", f"--http-port={OUTSIDE_PORT}", "--udp-port=9001") as server:
            self.assertIn("Started HTTP server", server.stdout.readline())
            self.sees({("near", "node", OUTSIDE_PORT): True, ("far", "node", OUTSIDE_PORT): True})
            self.cluster.apply(clusternetworkpolicy("out", "Admin", 0, subject=clients, egress=[{"action": "Deny", "to": [{"nodes": {}}]}]))
            self.sees({("near", "node", OUTSIDE_PORT): False, ("far", "node", OUTSIDE_PORT): True, ("near", "server-2"): True})

    # --- Restarts ---

    def test_14_restarts(self):
        """np 23: what is closed stays closed without sluiced, and what is open open; a change meanwhile holds after it is back."""
        self.cluster.apply(ingress("far-only", {"app": "server"}, {"podSelector": labelled(side="far")}))
        self.sees({("near", "server"): False, ("far", "server"): True})
        with self.talk("far", "server", patience=3) as kept:
            self.heard(kept, "answer 5")
            self.cluster.hook("node-1", "kill", "sluiced")
            self.sees({("near", "server"): False, ("far", "server"): True}, 1)
            self.cluster.kubectl("label", "--overwrite", "pod", "near", "friend=yes")
            self.cluster.apply(ingress("friends", {"app": "server"}, {"podSelector": labelled(friend="yes")}))
            self.cluster.hook("node-1", "start", "sluiced")
            self.sees({("near", "server"): True, ("far", "server"): True, ("stranger", "server"): False}, 20)
            last = int(self.heard(kept, "answer").split()[1])
            self.heard(kept, f"answer {last + 10}")
        self.cluster.kubectl("label", "pod", "near", "friend-")

    def test_15_open_vswitch_restarts(self):
        """np 23: nothing is open meanwhile; what is allowed goes on, on live connections too."""
        self.cluster.apply(ingress("far-only", {"app": "server"}, {"podSelector": labelled(side="far")}))
        self.sees({("near", "server"): False, ("far", "server"): True})
        target = url(self.ips["server"][4], HTTP)
        with self.talk("far", "server", patience=20) as kept, self.cluster.beside(
                "node-1", kubelettest.rig.binary("kubectl"), "exec", "near", "--", "bash", "-c",
                f"for n in {{1..60}}; do curl -s -o /dev/null -m 0.2 {target}; echo answer $?; done; echo end") as refused:
            self.heard(kept, "answer 5")
            self.heard(refused, "answer 28")
            self.cluster.hook("node-1", "kill", "ovs-vswitchd")
            self.cluster.hook("node-1", "start", "ovs-vswitchd")
            self.cluster.realized()
            last = int(self.heard(kept, "answer", 30).split()[1])
            self.heard(kept, f"answer {last + 20}", 30)
            answers = []
            while not answers or answers[-1] != "end":
                answers.append(refused.stdout.readline().strip())
            self.assertEqual(set(answers), {"answer 28", "end"})
        self.sees({("near", "server"): False, ("far", "server"): True, ("stranger", "server"): False})

    def test_16_a_static_pod_is_subject_and_peer(self):
        """The API knows it by a mirror with another UID than CNI is told."""
        path = "/etc/kubernetes/manifests/static"
        self.cluster.apply(deny("static", {"static": "yes"}, "Ingress"), ingress("peer", {"app": "server"}, {"podSelector": labelled(static="yes")}))
        self.cluster.exec("node-1", "sh", "-c", f"cat >{path}.new && mv {path}.new {path}.json", input=json.dumps(pod("static", labels={"static": "yes"})))
        self.cluster.wait("pod/static-node-1", "create")
        self.cluster.wait("pod/static-node-1")
        self.ips["static-node-1"], self.where["static-node-1"] = ips(self.cluster.pod("static-node-1")), "default"
        self.sees({("near", "static-node-1"): False, ("far", "static-node-1"): False, ("static-node-1", "server"): True,
                   ("static-node-1", "server-2"): True, ("near", "server"): False})
        self.cluster.exec("node-1", "rm", f"{path}.json")
        self.cluster.kubectl("wait", "--for=delete", "pod/static-node-1", "--timeout=90s")

    def test_z_without_policies_nothing_is_left(self):
        self.cluster.kubectl("delete", "networkpolicies", "--all", "-A")
        self.cluster.kubectl("delete", "clusternetworkpolicies", "--all")
        self.sees({("near", "server"): True})
        self.assert_no_leak(self.before)


if __name__ == "__main__":
    kubelettest.main()
