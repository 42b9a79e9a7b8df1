#!/usr/bin/python3 -B
"""Two real kubelets, no kube-proxy: Services as a user meets them.  Numbers are items of what must hold for Services."""
# time limit: 1200 s
import concurrent.futures
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from kubelettest import HTTP, UDP, agnhost, deployment, ips, pod, url  # noqa: E402

COREDNS = os.path.join(os.path.dirname(kubelettest.RIG), "coredns.yaml")
API, DNS = "10.96.0.1", "10.96.0.10"
PORT, NODE_PORT, LOCAL_PORT, HOST_PORT = 80, 30080, 30081, 18090
NODES = ("node-1", "node-2")
MACHINES = (*NODES, "outside")
# So many requests leave none of four endpoints out (4 * 0.75 ** 48 = 4e-6).
MANY = 48
CONNECT_MANY = os.path.join(os.path.dirname(os.path.realpath(__file__)), "connect-many")
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def service(name, selector=None, **spec):
    ports = [{"name": "http", "port": PORT, "targetPort": HTTP}, {"name": "udp", "port": PORT, "targetPort": UDP, "protocol": "UDP"}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "selector": {"app": selector or name}, "ipFamilyPolicy": "PreferDualStack", "ports": ports, **spec}}


class Services(kubelettest.KubeletCase):
    ALLOWED_LOG = [kubelettest.OVS_WAS_KILLED, kubelettest.labtest.SLUICED_WAS_KILLED]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cluster = cls.cluster
        cluster.kubectl("apply", "-f", COREDNS)
        cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s")
        cls.before = {node: cluster.footprint(node) for node in cluster.nodes}
        # Who ends goes on serving until every node knows that it ends.
        web = agnhost(lifecycle={"preStop": {"sleep": {"seconds": 5}}})
        ports = [{"port": PORT, "targetPort": HTTP, "nodePort": NODE_PORT, "name": "http"},
                 {"port": PORT, "targetPort": UDP, "nodePort": NODE_PORT, "name": "udp", "protocol": "UDP"}]
        cluster.apply(deployment("web", 4, containers=[web], terminationGracePeriodSeconds=20),
                      service("web", type="NodePort", ports=ports),
                      *(pod(f"client-{node}", node, {"app": "client"}, containers=[agnhost("pause")]) for node in NODES),
                      *(pod(f"host-{node}", node, {"app": "client"}, hostNetwork=True, containers=[agnhost("pause")]) for node in NODES))
        cluster.rolled_out("deployment/web")
        cls.pods = tuple(f"{kind}-{node}" for kind in ("client", "host") for node in NODES)
        cluster.wait(" ".join(f"pod/{name}" for name in cls.pods))
        cls.nodes = {node: ips(cluster.get(f"/api/v1/nodes/{node}")) for node in NODES}
        cluster.realized()

    def run_on(self, who, script, **options):
        """What a script says in a pod, on a node or outside."""
        argv = ["bash", "-c", script]
        return self.cluster.exec(who, *argv, **options) if who in MACHINES else self.cluster.kubectl("exec", who, "--", *argv, **options)

    def ask(self, who, target, count=1):
        """The answers of so many requests, each of a connection of its own; "" is none."""
        each = f"for n in {{1..{count}}}; do curl -s -m 3 '{target}' || true; echo; done"
        return self.run_on(who, each).splitlines()

    def service_ips(self, name):
        return {6 if ":" in address else 4: address
                for address in self.cluster.get(f"/api/v1/namespaces/default/services/{name}")["spec"]["clusterIPs"]}

    def side_by_side(self, function, arguments):
        """{argument: result}"""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return dict(zip(arguments, pool.map(function, arguments)))

    def assert_shared(self, clients, targets, wanted):
        """Every client is answered each time, and by all of 'wanted', at each of the URLs."""
        asked = [(client, target) for client in clients for target in targets]
        answers = self.side_by_side(lambda pair: self.ask(*pair, MANY), asked)
        wrong = {pair: {answer: said.count(answer) for answer in said} for pair, said in answers.items() if set(said) != set(wanted)}
        self.assertFalse(wrong, f"wanted {sorted(wanted)}")

    def eventually(self, check, seconds=15):
        """'check' becomes true: sluiced learns of changes as every watcher does."""
        deadline = time.monotonic() + seconds
        while not check():
            self.assertLess(time.monotonic(), deadline, f"not after {seconds} s")

    # --- The API server and DNS ---

    def test_01_api_server(self):
        """6, 15: its endpoint is in the host network of node-1."""
        script = (f'curl -s -m 5 -o /dev/null -w "%{{http_code}}" --cacert {SERVICE_ACCOUNT}/ca.crt '
                  f'-H "Authorization: Bearer $(cat {SERVICE_ACCOUNT}/token)" https://{API}/api')
        self.assertEqual(self.side_by_side(lambda who: self.run_on(who, script, check=False).stdout, self.pods), dict.fromkeys(self.pods, "200"))
        healthz = self.side_by_side(lambda node: self.run_on(node, f"curl -s -k -m 5 https://{API}/healthz", check=False).stdout, NODES)
        self.assertEqual(healthz, dict.fromkeys(NODES, "ok"))

    def test_02_dns(self):
        """6: CoreDNS itself reaches the API server by its Service."""
        web = self.service_ips("web")
        wanted = {("kubernetes.default.svc.cluster.local", "A"): API, ("web.default.svc.cluster.local", "A"): web[4],
                  ("web.default.svc.cluster.local", "AAAA"): web[6]}
        for who in (*self.pods, *NODES):
            for (name, kind), address in wanted.items():
                for how in ("", "+tcp"):
                    said = self.run_on(who, f"dig @{DNS} +short +timeout=2 +tries=2 {how} {name} {kind}", check=False).stdout
                    self.assertEqual(said.strip(), address, f"{who}: {name} {kind} {how}")
        for node in NODES:
            self.assertIn(self.ask(f"client-{node}", "http://web/hostname")[0], self.cluster.pods("app=web"))

    # --- Ways in ---

    def test_03_cluster_addresses(self):
        """6, 22: from pods, nodes and pods in the nodes' network, in both families."""
        targets = [url(address, PORT) for address in self.service_ips("web").values()]
        self.assert_shared((*self.pods, *NODES), targets, self.cluster.pods("app=web"))

    def test_04_udp(self):
        """6"""
        def said(asked):
            who, address = asked
            one = f"exec 3<>/dev/udp/{address}/{PORT}; echo hostname >&3; read -t 3 -N 8 -u 3 x; echo $x"
            return self.run_on(who, f"for n in {{1..{MANY}}}; do {one}; done", check=False).stdout.splitlines()

        # What is read of the name may be all that comes.
        pairs = [(who, address) for who in self.pods for address in self.service_ips("web").values()]
        for pair, answers in self.side_by_side(said, pairs).items():
            self.assertEqual(len(answers), MANY, pair)
            self.assertTrue(all(answer.startswith("web-") for answer in answers), f"{pair}: {answers}")

    def test_05_the_clients_address(self):
        """7: a pod keeps its address; one that talks to itself gets another, and an answer."""
        for name in (f"client-{node}" for node in NODES):
            own = ips(self.cluster.pod(name))
            for family, address in self.service_ips("web").items():
                seen = {answer.rpartition(":")[0].strip("[]") for answer in self.ask(name, url(address, PORT, "clientip"), 8)}
                self.assertEqual(seen, {own[family]}, name)
        web = self.cluster.pods("app=web")
        self.assert_shared(web, [url(address, PORT) for address in self.service_ips("web").values()], web)

    def test_06_node_port(self):
        """12, 13: at both nodes, from outside, from nodes, from pods."""
        targets = [url(address, NODE_PORT) for node in NODES for address in self.nodes[node].values()]
        self.assert_shared(("outside", *NODES, *self.pods), targets, self.cluster.pods("app=web"))

    def test_07_external_policy_local(self):
        """13, 14: the client's address is kept; a node without an endpoint is silent, but not for its own."""
        ports = [{"port": PORT, "targetPort": HTTP, "nodePort": LOCAL_PORT}]
        self.cluster.apply(pod("single", "node-2"), service("single", type="NodePort", externalTrafficPolicy="Local", ports=ports))
        self.cluster.wait("pod/single")
        outside = {4: "172.30.0.1", 6: "fd00:172:30::1"}
        for family, address in self.nodes["node-2"].items():
            target = url(address, LOCAL_PORT, "clientip")
            self.eventually(lambda where=target: self.ask("outside", where) != [""])
            seen = {answer.rpartition(":")[0].strip("[]") for answer in self.ask("outside", target, 8)}
            self.assertEqual(seen, {outside[family]})
        for address in self.nodes["node-1"].values():
            target = url(address, LOCAL_PORT)
            silent = self.cluster.exec("outside", "curl", "-s", "-m", "1", target, check=False)
            self.assertEqual(silent.returncode, 28, target)
            for who in ("node-1", "client-node-1", "host-node-1"):
                self.assertEqual(self.ask(who, target), ["single"], f"{who} {target}")
        self.cluster.kubectl("delete", "service/single", "pod/single", "--timeout=60s")

    def test_08_host_port(self):
        """31"""
        server = agnhost(ports=[{"containerPort": HTTP, "hostPort": HOST_PORT}])
        self.cluster.apply(pod("port", "node-2", containers=[server]))
        self.cluster.wait("pod/port")
        targets = [url(address, HOST_PORT) for address in self.nodes["node-2"].values()]
        asked = [(who, target) for who in ("outside", *NODES, *self.pods) for target in targets]
        self.assertEqual(self.side_by_side(lambda pair: self.ask(*pair), asked), {pair: ["port"] for pair in asked})
        self.cluster.kubectl("delete", "pod/port", "--timeout=60s")

    # --- Changes ---

    def test_09_affinity(self):
        """21: switched on at run time; each client stays with one endpoint until that is gone."""
        patch = lambda how: self.cluster.kubectl("patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "%s"}}' % how)  # noqa: E731
        patch("ClientIP")
        clients = ("outside", *self.pods)
        at = {who: self.nodes["node-1"] if who == "outside" else self.service_ips("web") for who in clients}
        port = {who: NODE_PORT if who == "outside" else PORT for who in clients}
        asked = [(who, url(at[who][family], port[who])) for who in clients for family in (4, 6)]
        self.eventually(lambda: len(set(self.ask(*asked[2], 12))) == 1)
        found = self.side_by_side(lambda pair: set(self.ask(*pair, 24)), asked)
        self.assertFalse({pair: said for pair, said in found.items() if len(said) != 1})
        patch("None")
        self.eventually(lambda: len(set(self.ask(*asked[2], MANY))) == 4)

    def test_10_rolling_update_under_load(self):
        """23, 26: not one request fails."""
        targets = {"outside": url(self.nodes["node-1"][4], NODE_PORT), "node-2": url(self.service_ips("web")[4], PORT),
                   "client-node-1": url(self.service_ips("web")[4], PORT), "client-node-2": url(self.service_ips("web")[6], PORT)}
        # Ends when told by a file, and says how many answers there were and what went wrong.
        script = ("n=0; until [ -e {stop} ]; do n=$((n + 1)); a=$(curl -s -m 5 '{url}') || echo \"failed $? $n\"; sleep 0.05; done; "
                  "echo answers $n; rm {stop}")
        stop = {who: f"/tmp/sluice-test-{os.getpid()}-{who}" for who in targets}
        before = set(self.cluster.pods("app=web"))
        with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
            running = {who: pool.submit(self.run_on, who, script.format(stop=stop[who], url=target), timeout=300) for who, target in targets.items()}
            try:
                self.cluster.kubectl("set", "env", "deployment/web", "ROUND=2")
                self.cluster.rolled_out("deployment/web", 150)
                self.cluster.kubectl("wait", "--for=delete", *(f"pod/{name}" for name in before), "--timeout=60s")
            finally:
                for who in targets:
                    self.run_on(who, f"touch {stop[who]}")
            said = {who: end.result().splitlines() for who, end in running.items()}
        self.assertFalse(before & set(self.cluster.pods("app=web")))
        for who, lines in said.items():
            self.assertEqual(len(lines), 1, f"{who}: {lines[-20:]}")
            self.assertGreater(int(lines[0].split()[1]), 50, who)
        self.assert_shared(self.pods, [targets["node-2"]], self.cluster.pods("app=web"))

    def test_11_nobody_serves(self):
        """9: refused at once, and served again when there are endpoints."""
        self.cluster.kubectl("scale", "deployment/web", "--replicas=0")
        self.cluster.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=120s")
        asked = [(who, url(address, PORT)) for who in (*self.pods, *NODES) for address in self.service_ips("web").values()]
        asked += [("outside", url(address, NODE_PORT)) for node in NODES for address in self.nodes[node].values()]
        refused = lambda pair: self.run_on(pair[0], f"curl -s -m 3 '{pair[1]}'; echo $?").strip()   # noqa: E731
        self.eventually(lambda: refused(asked[0]) == "7")
        self.assertEqual(self.side_by_side(refused, asked), dict.fromkeys(asked, "7"))
        self.cluster.kubectl("scale", "deployment/web", "--replicas=4")
        self.cluster.rolled_out("deployment/web")
        self.eventually(lambda: set(self.ask(asked[0][0], asked[0][1], MANY)) == set(self.cluster.pods("app=web")))

    def test_12_sluiced_is_killed(self):
        """28: what is there goes on without it, and after it."""
        targets = [url(self.service_ips("web")[4], PORT)]
        for node in NODES:
            self.cluster.hook(node, "kill", "sluiced")
        self.assert_shared(("client-node-1", *NODES), targets, self.cluster.pods("app=web"))
        self.assertIn(self.ask("outside", url(self.nodes["node-2"][4], NODE_PORT))[0], self.cluster.pods("app=web"))
        for node in NODES:
            self.cluster.hook(node, "start", "sluiced")
        self.cluster.realized()
        self.assert_shared(("client-node-1", *NODES), targets, self.cluster.pods("app=web"))

    # --- Many connections, which the servers close: they remember each for a minute ---

    def connect_many(self, node, argv, targets, pod=None):
        """What connect-many says, in a node's network or that of a pod there."""
        where = ["nsenter", "-t", str(self.cluster.sandbox(node, pod)[1]), "-n"] if pod else []
        return json.loads(self.cluster.exec(node, *where, CONNECT_MANY, *argv, *targets, timeout=300))

    def test_13_no_connection_is_lost(self):
        """15, 23: to two Services with the same endpoints by their cluster addresses and node ports, beside direct connections, from
        one node's address; kubelet asks each endpoint every second, too."""
        ports = [{"port": PORT, "targetPort": HTTP, "nodePort": LOCAL_PORT}]
        self.cluster.apply(service("again", "web", type="NodePort", ports=ports))
        targets = [f"{self.service_ips(name)[4]}:{PORT}" for name in ("web", "again")]
        targets += [f"{self.nodes['node-1'][4]}:{port}" for port in (NODE_PORT, LOCAL_PORT)]
        direct = [f"{ips(item)[4]}:{HTTP}" for item in self.cluster.pods("app=web").values()]
        self.eventually(lambda: all(self.ask("node-1", f"http://{target}/hostname") != [""] for target in targets))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            beside = pool.submit(self.connect_many, "node-1", ["--count=30000", "--seconds=90"], direct)
            said = self.connect_many("node-1", ["--count=80000", "--at-once=4", "--seconds=90"], targets)
            also = beside.result()
        self.cluster.kubectl("delete", "service/again")
        print(f"by Services: {said}\ndirectly: {also}", flush=True)
        self.assertGreater(said["asked"], 10000)
        for found in (said, also):
            # The node's own conntrack may give a port to another client that a pod still remembers.
            self.assertLess(sum(found["errors"].values()), found["asked"] / 5000, found)
            self.assertLess(found["slow"], found["asked"] / 1000, found)

    def test_14_an_address_that_is_an_endpoint(self):
        """17: a server in the host network at the Service's own port, and an external address that is its node's."""
        server = agnhost("netexec", "--http-port=9080", "--udp-port=9081")
        ports = [{"port": 9080, "targetPort": 9080}]
        self.cluster.apply(pod("at-node", "node-1", hostNetwork=True, containers=[server]),
                           service("at-node", externalIPs=[self.nodes["node-1"][4]], ports=ports))
        self.cluster.wait("pod/at-node")
        target = f"{self.nodes['node-1'][4]}:9080"
        for who in ("outside", *NODES, *self.pods):
            self.eventually(lambda who=who: self.ask(who, f"http://{target}/hostname") == ["node-1"])
        for node in NODES:
            said = self.connect_many(node, ["--count=3000", "--at-once=8", "--seconds=30"], [target], pod=f"client-{node}")
            self.assertFalse(said["errors"], said)
        self.cluster.kubectl("delete", "service/at-node", "pod/at-node", "--timeout=60s")

    def test_z_deleted_services_leave_nothing(self):
        self.cluster.kubectl("delete", "service/web", "deployment/web", *(f"pod/{name}" for name in self.pods), "--cascade=foreground",
                             "--timeout=90s")
        self.assert_no_leak(self.before)


if __name__ == "__main__":
    kubelettest.main()
