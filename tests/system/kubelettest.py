"""What the tests on real kubelets share: a rig (tests/k8s-rig) with Sluice for each test class, its log rules, leak scans.

A test class derives from KubeletCase.  The rig is taken down in all cases.  Before that the logs of sluiced and Open vSwitch are read: a
line of level WARN, ERR or EMER that no rule of ALLOWED_LOG explains fails the class."""
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import unittest

import labtest

HERE = os.path.dirname(os.path.realpath(__file__))
RIG = os.path.join(os.path.dirname(HERE), "k8s-rig", "rig")
HOOKS = os.path.join(os.path.dirname(RIG), "hooks")
BUILD = os.path.realpath(os.environ.get("SLUICE_BUILD") or os.path.join(HERE, "..", "..", "build", "gcc"))
os.environ["SLUICE_BUILD"] = BUILD
# On a real file system, not in /run: containers live in it.
os.environ.setdefault("K8S_RIG_STATE", os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "k8s-rig", f"test-{os.getpid()}"))


def _rig():
    loader = importlib.machinery.SourceFileLoader("rig", RIG)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("rig", loader))
    loader.exec_module(module)
    return module


rig = _rig()

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"
DAEMONS = ("sluiced", "ovs-vswitchd", "ovsdb-server")
HTTP, UDP, OUTSIDE_PORT = 8080, 8081, 9000
OUTSIDE = {4: "192.0.2.1", 6: "2001:db8::1"}
ALLOWED_LOG = [
    *labtest.ALLOWED_LOG,
    ("sluiced", r"node node-\d: has no InternalIP of a family", "a Node has its addresses from its kubelet, which has just started"),
    ("ovs-vswitchd", r"\|Dropped \d+ log messages in", "the message that follows it is judged"),
    ("ovs-vswitchd", r"ovs_rcu.*blocked \d+ ms waiting for", "a busy machine"),
    ("ovs-vswitchd", r"(error receiving|ethtool command|ioctl|tc|netdev_linux).* slp[0-9a-f]{12}.*(Network is down|No such device)",
     "containerd removes the pod's namespace, and the link with it, as soon as DEL has answered"),
]
OVS_WAS_KILLED = ("sluiced", r"(reconnect|rconn|jsonrpc|ofctrl|ovsdb)\|", "Open vSwitch was killed")


class Cluster:
    """One rig, driven by its command as a user would; what is asked often goes straight to the API server."""

    def __init__(self, nodes):
        self.nodes = [f"node-{index}" for index in range(1, nodes + 1)]

    def up(self, *options, hook=os.path.join(HOOKS, "sluice")):
        self.rig("up", f"--nodes={len(self.nodes)}", "--hook", hook, *options, timeout=240)

    def down(self):
        self.rig("down")

    @staticmethod
    def rig(*argv, check=True, timeout=180, **options):
        """Output of a rig command; without 'check' its end."""
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if "input" in options:
            options.pop("stdin")
        done = subprocess.run([RIG, *argv], text=True, capture_output=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"rig {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def kubectl(self, *argv, **options):
        return self.rig("kubectl", *argv, **options)

    def sandbox(self, node, pod):
        """Id and pid of the sandbox of a pod that runs."""
        ctr = [rig.binary("ctr"), "-n", "k8s.io"]
        found = set(self.exec(node, *ctr, "containers", "ls", "-q", f'labels."io.kubernetes.pod.name"=={pod},'
                              'labels."io.cri-containerd.kind"==sandbox').split())
        running = {task: int(pid) for task, pid, state in
                   (line.split() for line in self.exec(node, *ctr, "tasks", "ls").splitlines()[1:]) if state == "RUNNING"}
        return next((name, running[name]) for name in found if name in running)

    def kill_sandbox(self, node, pod):
        name, pid = self.sandbox(node, pod)
        self.exec(node, "kill", "-9", str(pid))
        return name

    def exec(self, machine, *argv, **options):
        return self.rig("exec", machine, *argv, **options)

    @contextlib.contextmanager
    def beside(self, machine, *argv):
        """A command that runs beside the test, with its output in a pipe."""
        process = subprocess.Popen([RIG, "exec", machine, *argv], text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)      # It and whatever it took to get into the machine.
            process.wait()
            process.stdout.close()

    def sluicectl(self, node, *argv, **options):
        return self.exec(node, os.path.join(BUILD, "utilities", "sluicectl"), "-t", "/run/sluice", *argv, **options)

    def hook(self, node, *argv):
        """start, stop or kill one of Sluice's daemons."""
        return self.exec(node, os.path.join(HOOKS, "sluice"), *argv)

    # --- objects ---

    @staticmethod
    def get(resource):
        body = rig.api(resource)
        if body is None:
            raise AssertionError(f"the API server has no {resource}")
        return json.loads(body)

    def apply(self, *objects):
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pods(self, selector="", namespace="default", phase="Running"):
        """{name: Pod} of those in a phase that are not being deleted."""
        items = self.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]
        return {item["metadata"]["name"]: item for item in items
                if item["status"]["phase"] == phase and "deletionTimestamp" not in item["metadata"]}

    def pod(self, name, namespace="default"):
        return self.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def in_pod(self, pod, script, **options):
        return self.kubectl("exec", pod, "--", "bash", "-c", script, **options)

    def wait(self, what, condition="condition=Ready", seconds=60):
        self.kubectl("wait", f"--for={condition}", f"--timeout={seconds}s", *what.split())

    def rolled_out(self, what, seconds=90):
        self.kubectl("rollout", "status", what, f"--timeout={seconds}s")

    def realized(self, seconds=30):
        for node in self.nodes:
            self.sluicectl(node, "wait", "--for", "realized", "--timeout", str(seconds))

    # --- what must be the same before and after ---

    def flows(self, node):
        """Flows of br-int without their counters, sorted."""
        text = self.exec(node, "ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "--no-names", "dump-flows", "br-int")
        return sorted(line.strip() for line in text.splitlines() if "actions=" in line)

    def links(self, node):
        return sorted(re.findall(r"^\d+: ([^:@]+)", self.exec(node, "ip", "-o", "link", "show"), re.M))

    def footprint(self, node):
        """Everything that a pod adds to a node."""
        ipam = json.loads(self.sluicectl(node, "ipam", "--json"))
        check = self.sluicectl(node, "ipam", "check").splitlines()[-1]
        return {"flows": self.flows(node),
                "groups": self.exec(node, "ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "br-int").splitlines()[1:],
                "ports": sorted(self.exec(node, "ovs-vsctl", "list-ports", "br-int").split()),
                "links": self.links(node),
                "namespaces": sorted(self.exec(node, "ls", "/run/netns").split()),
                "addresses": [check, *(f"{pool['pool']}: {pool['used']}" for pool in ipam)]}

    def await_links(self, node, wanted, seconds=20):
        """Host ends are deleted in groups, after DEL has answered: asked again whenever a link changes."""
        deadline = time.monotonic() + seconds
        with self.beside(node, "ip", "monitor", "link") as monitor:
            while self.links(node) != wanted:
                await_output(monitor, max(0, min(1, deadline - time.monotonic())))
                if time.monotonic() > deadline:
                    raise AssertionError(f"{node}: links {self.links(node)}, wanted {wanted}")

    # --- logs ---

    def complaints(self, allowed):
        for node in self.nodes:
            for daemon in DAEMONS:
                for line in self.log_lines(daemon, node):
                    if (re.search(r"\|(WARN|ERR|EMER)\|", line) or "Sanitizer" in line or "runtime error:" in line) and \
                            not any(who in (daemon, "") and re.search(what, line) for who, what, _ in allowed):
                        yield f"{node} {daemon}: {line.rstrip()}"

    @staticmethod
    def log_lines(daemon, node):
        with contextlib.suppress(FileNotFoundError), open(rig.path("log", f"{daemon}-{node}.log"), errors="replace") as log:
            return log.readlines()
        return []

    def tail_of_logs(self, lines=15):
        print(self.rig("kubectl", "get", "pods", "-A", "-o", "wide", check=False, timeout=20).stdout)
        for node in self.nodes:
            for daemon in ("sluiced", "ovs-vswitchd"):
                told = [line for line in self.log_lines(daemon, node) if not re.search(r"\|(coverage|memory)\|", line)]
                print(f"--- {node} {daemon}\n{''.join(told[-lines:])}", flush=True)


def await_output(process, seconds):
    """Until a process says something."""
    if select.select([process.stdout], [], [], seconds)[0]:
        os.read(process.stdout.fileno(), 65536)


def ips(pod):
    """{family: address} of a Pod or a Node."""
    found = pod["status"].get("podIPs") or [
        {"ip": entry["address"]} for entry in pod["status"].get("addresses", []) if entry["type"] == "InternalIP"]
    return {6 if ":" in entry["ip"] else 4: entry["ip"] for entry in found}


def url(address, port, path="hostname"):
    return f"http://[{address}]:{port}/{path}" if ":" in address else f"http://{address}:{port}/{path}"


# --- objects ---

def agnhost(*args, name="agnhost", port=HTTP, ready=True, **more):
    container = {"name": name, "image": AGNHOST,
                 "args": list(args) or ["netexec", f"--http-port={port}", f"--udp-port={UDP if port == HTTP else port + 1}"]}
    if ready and not args:
        container["readinessProbe"] = {"httpGet": {"path": "/hostname", "port": port}, "periodSeconds": 1}
    return container | more


def pod_spec(**more):
    return {"terminationGracePeriodSeconds": 1, "containers": [agnhost()]} | more


def pod(name, node=None, labels=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {"app": name}},
            "spec": pod_spec(**({"nodeName": node} if node else {}), **spec)}


def deployment(name, replicas, **spec):
    labels = {"app": name}
    spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
               "labelSelector": {"matchLabels": labels}}]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels}, "progressDeadlineSeconds": 120,
        "template": {"metadata": {"labels": labels}, "spec": pod_spec(topologySpreadConstraints=spread, **spec)}}}


# --- test classes ---

class KubeletCase(unittest.TestCase):
    NODES = 2
    OPTIONS = ()                # Of "rig up".
    CONFIG = ""                 # More lines for sluiced.yaml.
    ALLOWED_LOG = ()            # More of the same, for this class only.
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.NODES)
        cls.addClassCleanup(cls.cluster.down)
        os.environ["SLUICE_CONFIG"] = cls.CONFIG
        try:
            cls.cluster.up(*cls.OPTIONS)
        except BaseException:
            cls.cluster.tail_of_logs()
            raise

    @classmethod
    def tearDownClass(cls):
        found = list(cls.cluster.complaints([*ALLOWED_LOG, *cls.ALLOWED_LOG]))
        if found:
            raise AssertionError("unexpected in the logs:\n" + "\n".join(found[:40]))

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.cluster.tail_of_logs()

    def footprints(self):
        return {node: self.cluster.footprint(node) for node in self.cluster.nodes}

    def assert_no_leak(self, before):
        """Nothing is on any node but what was before."""
        for node, wanted in before.items():
            self.cluster.await_links(node, wanted["links"])
            self.cluster.sluicectl(node, "wait", "--for", "realized")
            now = self.cluster.footprint(node)
            for part in wanted:
                gone, new = [[line for line in some if line not in others] for some, others in
                             ((wanted[part], now[part]), (now[part], wanted[part]))]
                self.assertFalse(gone or new, f"{node} {part}: gone {gone}, new {new}")

    def assert_answers(self, sender, wanted):
        """A pod asks all URLs, several at once; 'wanted' is {URL: answer}."""
        script = "".join(f"a=$(curl -s -m 5 '{where}') || a=nothing; echo '{where}' \"$a\" &\n" for where in wanted) + "wait"
        answers = dict(line.split(" ", 1) for line in self.cluster.in_pod(sender, script).splitlines())
        wrong = {where: answers.get(where) for where in wanted if answers.get(where) != wanted[where]}
        self.assertFalse(wrong, f"from {sender}: {len(wrong)} of {len(wanted)} wrong, wanted "
                                f"{ {where: wanted[where] for where in list(wrong)[:5]} }")

    def assert_every_pair(self, pods):
        """Each of the pods reaches each in both families, itself too, and is seen under its own address."""
        for name in pods:
            self.assert_answers(name, {url(address, HTTP): other for other, item in pods.items()
                                       for address in ips(item).values()})


def main():
    missing = [name for name in (".built/images", "kubelet", "containerd") if not os.path.exists(rig.binary(name))]
    if missing:
        print(f"skipped: {rig.BIN} has no real Kubernetes (no {', '.join(missing)}); tests/k8s-rig/build.sh builds it")
        sys.exit(77)
    labtest.main()
