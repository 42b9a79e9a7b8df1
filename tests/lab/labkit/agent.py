"""The kubelets of a lab on an API server, in one process: for each node a list and a watch of its pods, sandboxes for those
that should run, their status, and a Lease so that the node counts as alive.

A pod is its UID: the sandbox of another pod of the same name goes first.  A pod that is being deleted, has finished, or is gone
loses its sandbox; the object of one that is being deleted goes after DEL.  The annotation LINGER holds DEL back until it is
taken away (LINGER, kubelet.py), as a container does that takes its time to end."""
import concurrent.futures
import contextlib
import datetime
import sys
import threading

from . import kubeapi
from .cluster import NO_SANDBOX, ApiKubelet
from .kubelet import WORKERS, lingers, uid_of
from .layout import LabError
from .objects import key

RETRY_FIRST, RETRY_MOST = 1, 10
LEASE_SECONDS = 10


def complain(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


class NodeAgent:
    def __init__(self, lab, node, pool):
        self.lab, self.node, self.pool = lab, node, pool
        self.client = kubeapi.Client(lab.options["kubeconfig"])
        self.lock = threading.Lock()
        self.pods = {}          # (namespace, name): the object as it was seen last.
        self.busy, self.again = set(), set()
        self.failures = {}      # (namespace, name): how often ADD failed.
        self.local = threading.local()
        self.synced = threading.Event()

    # --- what is wanted ---

    def run(self):
        while True:
            try:
                self.follow()
            except (LabError, OSError, ValueError, KeyError) as error:
                complain(f"{self.node}: {error}")
                threading.Event().wait(0.5)     # The API server is away; nothing here tells when it is back.

    def follow(self):
        selector = f"spec.nodeName={self.node}"
        items, version = self.client.list("Pod", selector=selector)
        listed = {key(item)[1:]: item for item in items}
        with self.lock:
            before = set(self.pods)
            self.pods = listed
        for name in before | set(listed) | set(self.recorded()):
            self.wake(name)
        self.synced.set()
        for event, item in self.client.watch("Pod", version, selector):
            if event == "ERROR":
                return
            if event == "BOOKMARK":
                continue
            name = (item["metadata"]["namespace"], item["metadata"]["name"])
            with self.lock:
                if event == "DELETED":
                    self.pods.pop(name, None)
                else:
                    self.pods[name] = {"kind": "Pod", **item}
            self.wake(name)

    def recorded(self):
        """Names of the pods that have a sandbox on this node."""
        return [name for name, record in self.kubelet().records() if record["node"] == self.node]

    # --- one job at a time for each name ---

    def wake(self, name):
        with self.lock:
            if name in self.busy:
                self.again.add(name)
                return
            self.busy.add(name)
        self.pool.submit(self.work, name)

    def work(self, name):
        while True:
            try:
                self.sync(name, self.pods.get(name))
            except Exception as error:      # It must not take the name with it.
                complain(f"{self.node}: {'/'.join(name)}: {error}")
                self.wake_later(name)
            with self.lock:
                if name not in self.again:
                    self.busy.discard(name)
                    return
                self.again.discard(name)

    def wake_later(self, name):
        self.failures[name] = self.failures.get(name, 0) + 1
        timer = threading.Timer(min(RETRY_MOST, RETRY_FIRST << self.failures[name] - 1), self.wake, [name])
        timer.daemon = True
        timer.start()

    def kubelet(self):
        """Of this thread: a client has one connection."""
        if not hasattr(self.local, "kubelet"):
            self.local.kubelet = ApiKubelet(self.lab, complain)
        return self.local.kubelet

    def sync(self, name, pod):
        kubelet = self.kubelet()
        sandbox = kubelet.record_of(*name)
        uid = pod and uid_of(pod)
        deleting = pod and pod["metadata"].get("deletionTimestamp")
        finished = pod and pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if deleting and sandbox and sandbox["uid"] == uid and lingers(pod):
            return
        if sandbox and (sandbox["uid"] != uid or deleting or finished):
            kubelet._remove_sandbox(*name, sandbox)
            sandbox = None
        if deleting:
            kubelet.client.delete("Pod", *name, grace=0, uid=pod["metadata"]["uid"])
        elif pod and not finished:
            if not sandbox:
                sandbox = self.start(kubelet, pod)
            status = pod.get("status", {})
            if status.get("phase") != "Running" or not status.get("podIPs"):
                kubelet._write_status(pod, sandbox)
            self.failures.pop(name, None)

    def start(self, kubelet, pod):
        try:
            return kubelet._start_sandbox(pod)
        except LabError as error:
            with contextlib.suppress(LabError):
                kubelet.client.merge("Pod", *key(pod)[1:], {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {
                    "phase": "Pending", "reason": NO_SANDBOX, "message": str(error)[:1000]}}, "status")
            raise


def renew_leases(lab):
    client = kubeapi.Client(lab.options["kubeconfig"])
    while True:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for node in lab.nodes():
            try:
                client.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                              "metadata": {"name": node, "namespace": "kube-node-lease"},
                              "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now}})
            except (LabError, OSError) as error:
                complain(f"{node}: lease: {error}")
        threading.Event().wait(LEASE_SECONDS)


def main(lab, _):
    """Never returns; "down" ends it."""
    pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
    agents = [NodeAgent(lab, node, pool) for node in lab.nodes()]
    for agent in agents:
        threading.Thread(target=agent.run, daemon=True).start()
    for agent in agents:
        agent.synced.wait()
    print("ready", flush=True)
    renew_leases(lab)
