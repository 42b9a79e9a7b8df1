"""Scheduler and kubelet of a lab: a sandbox for each pod, ADD and DEL through the real plugin, the pod's status, and a
responder (lab-pod) on its container ports.  Whatever changes pods or Services also brings the EndpointSlices up to date.

Two annotations of a pod play what a container does: READY "false" is a readiness probe that fails, LINGER one that takes its time
to end: the pod is terminating, and serves, until the annotation is taken away.

What runs is recorded in pods/NAMESPACE.NAME.json: the sandbox as the runtime knows it."""
import concurrent.futures
import contextlib
import datetime
import json
import os
import select
import subprocess

from . import cni, netns, procs, services
from .layout import LabError, program, write_json
from .node import Node
from .objects import Store, key, label

WORKERS = 16
READY = "sluice.dev/lab-ready"
LINGER = "sluice.dev/lab-linger"


class Kubelet:
    def __init__(self, lab, out, store=None):
        self.lab = lab
        self.store = store or Store(lab)
        self.say = out

    # --- the two verbs ---

    def apply(self, items):
        """Writes the objects, then starts all new pods side by side.  Raises after everything was tried."""
        starting, ending = [], []
        with self.store.locked():
            for item in sorted(items, key=lambda item: item["kind"] != "Namespace"):
                item, what = self.store.admit(item)
                if item["kind"] == "Pod":
                    self._schedule(item)
                    self._set_ready(item)
                    if not self.record(item):
                        starting.append(item)
                    elif "deletionTimestamp" in item["metadata"] and not lingers(item):
                        ending.append(item)
                self.store.put(item)
                self.say(f"{label(item)} {what}")
        try:
            self._all(self.start_pod, starting)
            self._all(self.stop_pod, ending)
        finally:
            self._reconcile(items)

    def delete(self, keys):
        """Namespaces take what is in them along."""
        pods, others = [], []
        for kind, namespace, name in keys:
            if not self.store.get(kind, namespace, name):
                raise LabError(f"there is no {kind} {namespace + '/' if namespace else ''}{name}")
            if kind == "Namespace":
                inside = [key(item) for item in self._everything() if item["metadata"].get("namespace") == name]
                pods += [found for found in inside if found[0] == "Pod"]
                others += [found for found in inside if found[0] != "Pod"]
            (pods if kind == "Pod" else others).append((kind, namespace, name))
        stopping = [self._mark_deleted(found) for found in dict.fromkeys(pods)]
        self._reconcile(stopping)
        try:
            for pod in filter(lingers, stopping):
                self.say(f"{label(pod)} is terminating")
            self._all(self.stop_pod, [pod for pod in stopping if not lingers(pod)])
            for found in dict.fromkeys(others):
                self.store.remove(*found)
                self.say(f"{found[0].lower()} {found[1] + '/' if found[1] else ''}{found[2]} deleted")
        finally:
            self._reconcile([*stopping, *({"kind": kind, "metadata": {"namespace": namespace}} for kind, namespace, _ in others)])

    def _mark_deleted(self, found):
        with self.store.locked():
            pod = self.store.get(*found)
            pod["metadata"]["deletionTimestamp"] = timestamp()
            self.store.put(pod)
        return pod

    def _set_ready(self, pod):
        """What its annotation says now, if it runs."""
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] in ("Ready", "ContainersReady"):
                condition["status"] = str(is_ready(pod))

    def _reconcile(self, items):
        """The slices of all namespaces in which pods or Services are touched; a change of a Node concerns everybody."""
        kinds = {item["kind"] for item in items}
        if kinds & {"Pod", "Service", "Node"}:
            with self.store.locked():
                touched = {item["metadata"].get("namespace", "") for item in items if item["kind"] in ("Pod", "Service")}
                if "Node" in kinds:
                    touched |= {item["metadata"]["namespace"] for item in self.store.all("Service")}
                services.reconcile(self.store, touched)

    def _everything(self):
        return [item for kind in self._kinds() for item in self.store.all(kind)]

    def _kinds(self):
        return sorted({name.split(".", 1)[0] for name in os.listdir(self.lab.manifests()) if name.endswith(".json")})

    def _all(self, function, pods):
        errors = []
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for pod, done in [(pod, pool.submit(function, pod)) for pod in pods]:
                try:
                    self.say(done.result())
                except (LabError, OSError) as error:
                    errors.append(f"{label(pod)}: {error}")
        if errors:
            raise LabError("\n".join(errors))

    # --- scheduler ---

    def _schedule(self, pod):
        """The node with the fewest pods, of those that fit nodeSelector; the first of equals."""
        spec = pod.setdefault("spec", {})
        if spec.get("nodeName"):
            return
        load = {node["metadata"]["name"]: 0 for node in self.store.all("Node")
                if (spec.get("nodeSelector") or {}).items() <= node["metadata"].get("labels", {}).items()}
        if not load:
            raise LabError(f"{label(pod)}: no node fits its nodeSelector")
        for other in self.store.all("Pod"):
            if other["spec"].get("nodeName") in load:
                load[other["spec"]["nodeName"]] += 1
        spec["nodeName"] = min(load, key=lambda name: (load[name], [int(part) if part.isdigit() else 0
                                                                     for part in name.split("-")]))

    # --- one pod ---

    def record_path(self, namespace, name):
        return self.lab.path("pods", f"{namespace}.{name}"[:240] + ".json")

    def record(self, pod):
        return self.record_of(*key(pod)[1:])

    def record_of(self, namespace, name):
        try:
            with open(self.record_path(namespace, name)) as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def records(self):
        """((namespace, name), sandbox) of all pods that have one."""
        for file in sorted(os.listdir(self.lab.path("pods"))):
            if file.endswith(".json") and (found := self.record_of(*(name := tuple(file[:-5].split(".", 1))))):
                yield name, found

    def start_pod(self, pod):
        sandbox = self._start_sandbox(pod)
        try:
            self._write_status(pod, sandbox)
        except BaseException:
            self._remove_sandbox(*key(pod)[1:], sandbox)
            raise
        return f"{label(pod)} runs on {sandbox['node']}: {', '.join(sandbox['ips'])}"

    def _start_sandbox(self, pod):
        """The pod's sandbox with network and responder, recorded; or nothing."""
        node_name = pod["spec"]["nodeName"]
        if node_name not in self.lab.nodes():
            raise LabError(f"node {node_name} is none of this lab")
        node = Node(self.lab, node_name)
        if pod["spec"].get("hostNetwork"):
            sandbox = {"id": "", "node": node_name, "where": node.netns, "host_network": True}
            sandbox["ips"] = [str(address) for address in self.lab.node_addresses(node_name)]
        else:
            sandbox = self._make_sandbox(pod, node_name)
            sandbox["ips"] = self._attach(pod, node, sandbox)
        sandbox["uid"] = uid_of(pod)
        try:
            self._start_responder(pod, node, sandbox)
            write_json(self.record_path(*key(pod)[1:]), sandbox)
        except BaseException:
            self._remove_sandbox(*key(pod)[1:], sandbox)
            raise
        return sandbox

    def _remove_sandbox(self, namespace, name, sandbox):
        if "pid" in sandbox and b"lab-pod" in _command(sandbox["pid"]):
            procs.end([sandbox["pid"]])
        if not sandbox.get("host_network"):
            cni.Runtime(Node(self.lab, sandbox["node"])).delete(sandbox)
            netns.delete(sandbox["where"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.record_path(namespace, name))

    def _make_sandbox(self, pod, node_name):
        identifier = os.urandom(32).hex()
        where = self.lab.netns(f"pod-{identifier[:12]}")
        _, namespace, name = key(pod)
        netns.create(where)
        return {"id": identifier, "node": node_name, "where": where, "netns": os.path.join(netns.NETNS_DIR, where),
                "ifname": "eth0", "portMappings": port_mappings(pod),
                "args": {"K8S_POD_NAMESPACE": namespace, "K8S_POD_NAME": name,
                         "K8S_POD_INFRA_CONTAINER_ID": identifier, "K8S_POD_UID": uid_of(pod)}}

    def _attach(self, pod, node, sandbox):
        """ADD; what it left after a failure is deleted as a runtime does."""
        runtime = cni.Runtime(node)
        try:
            try:
                result = runtime.add(sandbox)
            except cni.CniError as error:
                if error.code != cni.TRY_AGAIN:
                    raise
                node.wait("ready", 10)
                result = runtime.add(sandbox)
        except BaseException:
            with contextlib.suppress(LabError):
                runtime.delete(sandbox)
            netns.delete(sandbox["where"])
            raise
        return [address["address"].partition("/")[0] for address in result["ips"]]

    def _start_responder(self, pod, node, sandbox):
        _, namespace, name = key(pod)
        sandbox["pid"] = start_responder(self.lab, sandbox["where"], f"{namespace}/{name}", container_ports(pod, sandbox["ips"]))

    def _write_status(self, pod, sandbox):
        with self.store.locked():
            current = self.store.get(*key(pod))
            if not current:
                raise LabError("deleted while it started")
            current["status"] = self.running_status(sandbox)
            self._set_ready(current)
            self.store.put(current)

    def running_status(self, sandbox):
        now = timestamp()
        node_addresses = [str(address) for address in self.lab.node_addresses(sandbox["node"])]
        return {"phase": "Running", "startTime": now, "hostIP": node_addresses[0], "podIP": sandbox["ips"][0],
                "hostIPs": [{"ip": address} for address in node_addresses],
                "podIPs": [{"ip": address} for address in sandbox["ips"]],
                "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now}
                               for kind in ("Initialized", "PodScheduled", "ContainersReady", "Ready")]}

    def stop_pod(self, pod):
        sandbox = self.record(pod)
        if sandbox:
            self._remove_sandbox(*key(pod)[1:], sandbox)
        self.store.remove(*key(pod))
        return f"{label(pod)} deleted"


def _annotation(pod, name):
    return (pod["metadata"].get("annotations") or {}).get(name)


def is_ready(pod):
    return _annotation(pod, READY) != "false"


def lingers(pod):
    return _annotation(pod, LINGER) is not None


def uid_of(pod):
    """As the runtime and the plugin are told it: that of a static pod is not the UID of its mirror at the API server."""
    return (pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.mirror") or pod["metadata"]["uid"]


def timestamp():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _declared_ports(pod):
    for container in pod["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            yield (port.get("protocol") or "TCP").lower(), port


def container_ports(pod, addresses):
    """The ports that the responder opens.  SCTP of a node, which has many addresses, only at those where it is asked: it would answer
    from others too, as that protocol does, and conntrack would not know the answer."""
    at = {"tcp": [""], "udp": [""], "sctp": [f"@{address}" for address in addresses] if pod["spec"].get("hostNetwork") else [""]}
    return sorted({f"{protocol}:{port['containerPort']}{where}" for protocol, port in _declared_ports(pod) for where in at.get(protocol, [])})


def port_mappings(pod):
    return [{"hostPort": port["hostPort"], "containerPort": port["containerPort"], "protocol": protocol,
             "hostIP": port.get("hostIP", "")} for protocol, port in _declared_ports(pod) if port.get("hostPort")]


def start_responder(lab, where, name, ports):
    """Starts lab-pod in namespace 'where'; it says "ready" when it listens on everything.  Returns its pid."""
    return netns.call(where, _spawn_responder, lab, name, ports)


def _spawn_responder(lab, name, ports):
    process = subprocess.Popen([program("lab-pod"), name, *ports], env=procs.environment(lab), cwd="/",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    with process.stdout, process.stderr:
        readable, _, _ = select.select([process.stdout], [], [], 30)
        if not readable or process.stdout.readline() != b"ready\n":
            process.kill()
            raise LabError(f"lab-pod {name}: {process.stderr.read().decode(errors='replace').strip()}")
    process.returncode = 0      # It outlives us.
    return process.pid
