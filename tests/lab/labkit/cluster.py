"""A lab on a real API server ("up --kubeconfig FILE"): its objects are the server's, and the lab plays kubelet for its nodes.

The file's user is the lab's (an administrator); each sluiced is the service account of deploy/rbac.yaml.  A node's namespace has
no way to the API server: a relay (tests/kube/proxy.py) listens on the node's loopback, on the server's port, and connects from
where "up" was run; "relay.sock" in the node's folder is its control socket.  What runs beside the verbs: the relays and one
agent (agent.py)."""
import base64
import contextlib
import json
import os
import subprocess
import sys
import time

from . import kubeapi, objects, procs
from .kubelet import Kubelet, timestamp
from .layout import HERE, LabError, write_json, write_text
from .node import Node
from .objects import key, label

PROXY = os.path.join(os.path.dirname(HERE), "kube", "proxy.py")
RBAC = os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy", "rbac.yaml")
LAB_LABEL = "sluice.dev/lab"
# The cause that a kubelet gives for an ADD that failed.
NO_SANDBOX = "FailedCreatePodSandBox"


def store_of(lab):
    return ApiStore(lab) if lab.options["kubeconfig"] else objects.Store(lab)


def kubelet_of(lab, out):
    return ApiKubelet(lab, out) if lab.options["kubeconfig"] else Kubelet(lab, out)


class ApiStore:
    """What the verbs read of the API server, as objects.Store reads it from the directory."""

    def __init__(self, lab):
        self.lab = lab
        self.client = kubeapi.Client(lab.options["kubeconfig"])

    @contextlib.contextmanager
    def locked(self):
        yield

    def get(self, kind, namespace, name):
        return self.client.get(kind, namespace, name)

    def all(self, kind):
        """Pods: those of the lab's nodes only; a cluster may have thousands of others."""
        selectors = [f"spec.nodeName={name}" for name in self.lab.nodes()] if kind == "Pod" else [""]
        return sorted((item for selector in selectors for item in self.client.list(kind, selector=selector)[0]), key=key)


class ApiKubelet(Kubelet):
    """The verbs hand objects to the API server, and wait for what the agent makes of their pods."""

    def __init__(self, lab, out):
        super().__init__(lab, out, ApiStore(lab))
        self.client = self.store.client

    def apply(self, items):
        errors, pods = [], []
        for item in sorted(items, key=lambda item: (item["kind"] != "CustomResourceDefinition", item["kind"] != "Namespace")):
            item, what = self._put(item)
            self.say(f"{label(item)} {what}")
            if item["kind"] == "Pod":
                pods.append(item)
        for pod in pods:
            try:
                said = self.client.until("Pod", *key(pod)[1:], lambda now, pod=pod: self._started(pod, now))
                if isinstance(said, str):
                    self.say(said)
            except LabError as error:
                errors.append(str(error))
        if errors:
            raise LabError("\n".join(errors))

    def _put(self, item):
        kind, namespace, name = key(item)
        item.setdefault("apiVersion", kubeapi.RESOURCES.get(kind, ("v1",))[0])
        if namespace and not self.client.get("Namespace", "", namespace):
            self._put({"kind": "Namespace", "metadata": {"name": namespace}})
        if kind == "Pod":
            # The controller manager makes it some moments after the namespace; before, pods are refused.
            self.client.until("ServiceAccount", namespace, "default", bool)
        before = self.client.get(kind, namespace, name, item["apiVersion"])
        if kind == "Node" and not before:
            return self.client.create(item), "created"          # With its status, as a kubelet registers it.
        made = self.client.apply({part: value for part, value in item.items() if part != "status"})
        if item.get("status"):
            made = self.client.merge(kind, namespace, name, {"status": item["status"]}, "status", item["apiVersion"])
        same = before and before["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        return {"kind": kind, **made}, "unchanged" if same else "configured" if before else "created"

    def _started(self, pod, now):
        """Something true when there is nothing to wait for any more: what to say, if there is anything."""
        if not now or now["metadata"]["uid"] != pod["metadata"]["uid"]:
            raise LabError(f"{label(pod)}: deleted while it started")
        node, status = now["spec"].get("nodeName"), now.get("status", {})
        if status.get("reason") == NO_SANDBOX:
            raise LabError(f"{label(pod)}: {status.get('message')}")
        if status.get("phase") == "Running":
            before = pod.get("status", {}).get("phase") == "Running"
            return before or f"{label(pod)} runs on {node}: {', '.join(entry['ip'] for entry in status.get('podIPs', []))}"
        return status.get("phase") in ("Succeeded", "Failed") or node and node not in self.lab.nodes()

    def delete(self, keys):
        for kind, namespace, name in keys:
            current = self.client.get(kind, namespace, name)
            if not current:
                raise LabError(f"there is no {kind} {namespace + '/' if namespace else ''}{name}")
            if kind == "Namespace":     # Its pods first: the namespace controller looks again only after seconds.
                self.delete([key(pod) for pod in self.client.list("Pod", name)[0]])
            # Nobody would end a pod of a node that is only an object.
            foreign = kind == "Pod" and current["spec"].get("nodeName") not in self.lab.nodes()
            self.client.delete(kind, namespace, name, grace=0 if foreign else None, uid=current["metadata"]["uid"])
        for kind, namespace, name in keys:
            self.client.until(kind, namespace, name, lambda now: now is None)
            self.say(f"{kind.lower()} {namespace + '/' if namespace else ''}{name} deleted")

    def _write_status(self, pod, sandbox):
        """Of this pod only, not of one that was made anew under its name."""
        _, namespace, name = key(pod)
        self.client.merge("Pod", namespace, name, {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {
            **self.running_status(sandbox), "reason": None, "message": None}}, "status")


# --- making a cluster of it ---

def prepare(lab):
    """Before any node: the service account and what it may do.  Writes "token"."""
    client = kubeapi.Client(lab.options["kubeconfig"])
    with open(RBAC) as file:
        items = objects.parse(file.read(), RBAC)
    for item in sorted(items, key=lambda item: item["kind"] != "Namespace"):
        client.apply(item)
    account = next(item["metadata"] for item in items if item["kind"] == "ServiceAccount")
    write_text(lab.path("token"), client.token_for(account["namespace"], account["name"], 86400))


def write_node(lab, name, labels):
    """The Node object as a kubelet registers it; not Ready yet."""
    client = kubeapi.Client(lab.options["kubeconfig"])
    addresses = [str(address) for address in lab.node_addresses(name)]
    cidrs = [str(cidr) for cidr in lab.pod_cidrs(name)]
    client.delete("Node", "", name)         # Of a lab before.
    client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {**labels, LAB_LABEL: lab.name}},
                   "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}})
    room = {"cpu": "64", "memory": "256Gi", "pods": "500"}
    client.merge("Node", "", name, {"status": {
        "addresses": [*({"type": "InternalIP", "address": address} for address in addresses),
                      {"type": "Hostname", "address": name}], "capacity": room, "allocatable": room}}, "status")


def node_is_ready(lab, name):
    client = kubeapi.Client(lab.options["kubeconfig"])
    now = timestamp()
    client.request("PATCH", kubeapi.path_of("Node", "", name, sub="status"), {"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "sluice-lab plays kubelet",
        "lastHeartbeatTime": now, "lastTransitionTime": now}]}}, "application/strategic-merge-patch+json")


def start_relay(lab, node):
    """The node's way to the API server.  Writes the kubeconfig of its sluiced."""
    config = kubeapi.Kubeconfig(lab.options["kubeconfig"])
    spec = {"name": node.name, "netns": lab.netns_path(node.name), "listen": f"127.0.0.1:{config.port}",
            "to": lab.options["via"] or f"{config.host}:{config.port}"}
    start_process(lab, [sys.executable, "-B", PROXY, "--control", node.path("relay.sock"), "--relay", json.dumps(spec)],
                  node.path("log", "relay.log"))
    write_text(node.path("token"), open(lab.path("token")).read())
    cluster = {"server": f"https://127.0.0.1:{config.port}{config.prefix}"}
    if config.ca_pem():
        cluster["certificate-authority-data"] = base64.b64encode(config.ca_pem().encode()).decode()
    if config.server_name != "127.0.0.1":
        cluster["tls-server-name"] = config.server_name
    write_json(node.kubeconfig(), {
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "sluiced", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "sluiced"}}]})


def start_agent(lab):
    start_process(lab, [sys.executable, "-B", os.path.join(HERE, "sluice-lab"), "agent", "--name", lab.name],
                  lab.path("agent.log"))


def start_process(lab, argv, log):
    """One that outlives the verb; it prints a line when it is ready."""
    with open(log, "ab") as out:
        process = subprocess.Popen(argv, env=procs.environment(lab), cwd="/", stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=out, start_new_session=True)
    with process.stdout:
        if not process.stdout.readline():
            process.wait()
            with open(log, errors="replace") as file:
                raise LabError(f"{os.path.basename(argv[2])} did not start: {' / '.join(file.read().splitlines()[-3:])}")
    process.returncode = 0      # Not our child's business any more.


def await_delivery(lab, names, seconds):
    """Until each of these nodes' sluiced has heard of everything that the API server has now."""
    client, deadline, wanted = kubeapi.Client(lab.options["kubeconfig"]), time.monotonic() + seconds, {}
    for node in (Node(lab, name) for name in names):
        while behind := _behind(client, node, wanted):
            if time.monotonic() > deadline:
                raise LabError(f"{node.name} has not heard of all objects of the API server: {behind}")
            time.sleep(0.05)        # sluicectl cannot wait for what sluiced does not know of.


def _behind(client, node, wanted):
    """What of: its objects are counted, and as far as the newest of them.  'wanted' is filled once for each kind."""
    status = json.loads(node.run(["sluicectl", "-t", node.path("run"), "status", "--json"]))
    for kind in status["source"]["kinds"]:
        name = kind["kind"]
        if name not in wanted:
            try:
                items = client.list(name)[0]
            except kubeapi.ApiError as error:
                if error.status != 404:
                    raise
                items = []
            wanted[name] = len(items), max((int(item["metadata"]["resourceVersion"]) for item in items), default=0)
        count, version = wanted[name]
        # One that is wrong may be there all the same: in its last good version, or in one that closes.
        heard = kind["count"] <= count <= kind["count"] + kind["wrong"]
        if not heard or count and int(kind.get("resourceVersion") or 0) < version:
            return f"{name}: {kind['count']} of {count}, resourceVersion {kind.get('resourceVersion')} of {version}"
    return None


def forget(lab):
    """Takes the lab's Nodes, with their pods, from the API server if that answers.  Returns why not, or None."""
    try:
        client = kubeapi.Client(lab.options["kubeconfig"])
        deadline = time.monotonic() + 30
        for name in lab.nodes():
            for pod in client.list("Pod", selector=f"spec.nodeName={name}")[0]:
                client.delete("Pod", *key(pod)[1:], grace=0)
            node = client.get("Node", "", name)
            if node and node["metadata"].get("labels", {}).get(LAB_LABEL) == lab.name:
                client.delete("Node", "", name)
            if time.monotonic() > deadline:
                return "the API server is too slow"
    except (LabError, OSError, ValueError) as error:
        return str(error)
    return None
