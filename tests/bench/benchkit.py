"""What the programs under tests/bench share: a lab of their own, CNI calls as a runtime makes them, and figures.

A lab is gone when 'lab()' ends, however it ends; so are the namespaces of the pods that a program made itself."""
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab"))
from labkit import netns  # noqa: E402
from labkit.cni import find  # noqa: E402
from labkit.layout import Lab, NETNS_DIR  # noqa: E402
from labkit.node import DAEMONS, Node  # noqa: E402
from labkit.objects import Store  # noqa: E402

SLUICE_LAB = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab", "sluice-lab")


def sluice_lab(name, *arguments, **options):
    """Runs sluice-lab on lab 'name' and returns what it printed."""
    done = subprocess.run([SLUICE_LAB, *arguments], capture_output=True, text=True,
                          env={**os.environ, "SLUICE_LAB": name}, **options)
    if done.returncode:
        raise RuntimeError(f"sluice-lab {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def lab(name, *options):
    """A lab of that name; yields its nodes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # So that this ends in "finally".
    sluice_lab(name, "down")
    try:
        sluice_lab(name, "up", *options)
        there = Lab(name).load()
        yield [Node(there, node) for node in there.nodes()]
    finally:
        sluice_lab(name, "down")


def sluicectl(node, *arguments):
    return node.run(["sluicectl", "-t", node.path("run"), *arguments])


def status(node):
    return json.loads(sluicectl(node, "status", "--json"))


def widen_pool(node):
    """Gives the node 65,000 addresses for pods; before its first pod."""
    store = Store(node.lab)
    with store.locked():
        item = store.get("Node", "", node.name)
        item["spec"] |= {"podCIDR": "10.128.0.0/16", "podCIDRs": ["10.128.0.0/16", "fd00:10:128::/64"]}
        store.put(item)
    sluicectl(node, "wait", "--for", "realized", "--timeout", "20")


def cpu_ms(node):
    """Milliseconds of CPU that each daemon has used."""
    used = {}
    for daemon in DAEMONS:
        pid = node.pid(daemon)
        used[daemon] = sum(int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
                           for task in os.listdir(f"/proc/{pid}/task")) / 1e6
    return used


def callers(node, width):
    """A pool of threads inside the node's namespace."""
    return concurrent.futures.ThreadPoolExecutor(width, initializer=netns.enter, initargs=(node.netns,))


class Subject:
    """One plugin with its configuration, and the pods' namespaces."""

    def __init__(self, node, name, config):
        self.name, self.path = name, find(config["type"], node.environment()["CNI_PATH"])
        self.config = json.dumps(config | {"cniVersion": "1.0.0", "name": name}).encode()
        self.node, self.environment = node, node.environment()

    def netns(self, index):
        # As the lab names them (hexadecimal digits), so that "sluice-lab down" takes them away after a failure.
        return f"sluice-{self.node.lab.name}-pod-{'a' if self.name == 'sluice' else 'b'}{index:011x}"

    def create(self, indices):
        for index in indices:
            netns.create(self.netns(index))

    def delete(self, indices):
        for index in indices:
            netns.delete(self.netns(index))

    def call(self, verb, index):
        """Seconds of one call, from the start of the plugin to its end.  Runs in a thread of callers()."""
        env = {**self.environment, "CNI_COMMAND": verb, "CNI_CONTAINERID": f"{self.name}-{index}", "CNI_IFNAME": "eth0",
               "CNI_NETNS": os.path.join(NETNS_DIR, self.netns(index)),
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME={self.name}-{index}"}
        began = time.perf_counter()
        done = subprocess.run([self.path], input=self.config, env=env, capture_output=True)
        took = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"{self.name} {verb} {index}: {done.stdout.decode()}{done.stderr.decode()}")
        return took

    def all(self, verb, indices, pool):
        """The call for each pod, as many at once as 'pool' is wide; the seconds of each."""
        return list(pool.map(lambda index: self.call(verb, index), indices))


def sluice(node):
    return Subject(node, "sluice", {"type": "ovs-cni", "socket": node.path("run", "cni.sock")})


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


def machine():
    """Where and when, for the head of a table."""
    with open("/proc/loadavg") as file:
        load = file.read().split()[0]
    return f"{time.strftime('%F %R', time.gmtime())} UTC, {os.cpu_count()} CPUs, Linux {os.uname().release}, load {load}"
