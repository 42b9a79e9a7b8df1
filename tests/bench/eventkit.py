"""From an event of the API to its flow in the switch: when the one, when the other.  For programs that have a control plane and a lab."""
import contextlib
import os
import select
import subprocess
import threading
import time

from benchkit import netns


class Watcher(threading.Thread):
    """When the events of a kind arrive at a client that does nothing else."""

    def __init__(self, cluster, kind):
        super().__init__(daemon=True)
        self.client, self.kind, self.seen, self.changed = cluster.client(), kind, {}, threading.Condition()
        _, self.version = self.client.list(kind)

    def run(self):
        with contextlib.suppress(Exception):    # Ends when the API server does.
            for kind, item in self.client.watch(self.kind, self.version, seconds=3600):
                now = time.monotonic()
                with self.changed:
                    self.seen[kind, item["metadata"]["name"]] = now
                    self.changed.notify()

    def when(self, key):
        with self.changed:
            if not self.changed.wait_for(lambda: key in self.seen, 30):
                raise RuntimeError(f"no event {key}")
            return self.seen[key]


def await_flow(monitor, text, seconds=30):
    """When the monitor tells of a flow with 'text'."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([monitor.stderr], [], [], deadline - time.monotonic())[0]:
            line = os.read(monitor.stderr.fileno(), 65536).decode(errors="replace")
            if text in line:
                return time.monotonic()
    raise RuntimeError(f"no flow with {text}")


@contextlib.contextmanager
def monitor_flows(node):
    """A monitor of br-int's flows, for await_flow()."""
    monitor = netns.call(node.netns, subprocess.Popen, ["ovs-ofctl", "-O", "OpenFlow15", "monitor", "br-int", "watch:!initial"],
                         env=node.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        time.sleep(1)       # The monitor says nothing when it is ready.
        yield monitor
    finally:
        monitor.kill()
        monitor.wait()
        monitor.stderr.close()
