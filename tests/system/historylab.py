"""What the tests of histories have in common: random objects that come, change and go, among them pods with real attachments.

SLUICE_TEST_SEED repeats a run; SLUICE_TEST_STRETCHES asks for a longer one."""
import os
import random
import re

import labtest
from labkit import objects

STEPS, STRETCHES = 40, int(os.environ.get("SLUICE_TEST_STRETCHES") or 4)

# A flow as ovs-ofctl shows it, and as "sluicectl compile" prints it.
INSTALLED = re.compile(r"^cookie=(0x[0-9a-f]+), table=(\d+), priority=(\d+),?(\S*) actions=(.*)$")
COMPILED = re.compile(r"^table=(\d+)\(\w+\), priority=(\d+), cookie=(0x[0-9a-f]+),? ?(\S*) actions=(.*)$")


def seed():
    chosen = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"SLUICE_TEST_SEED={chosen}", flush=True)
    return chosen


class HistoryCase(labtest.LabCase):
    OPTIONS = ("--nodes", "1")

    def begin(self, made, local, kinds):
        """'local' pods with real attachments on the first node, among a generator's objects: those of its lists 'kinds'."""
        self.store = objects.Store(self.lab.layout)
        own = "node-1"
        for namespace in made.namespaces:
            self.store.put(namespace)
        names = []
        for _ in range(local):
            pod = made.pod(own)
            while pod["spec"].get("hostNetwork") or pod["status"]["phase"] != "Running" or \
                    "deletionTimestamp" in pod["metadata"]:
                pod = made.pod(own)
            del pod["status"]
            names.append((pod["metadata"]["namespace"], pod["metadata"]["name"]))
            self.lab.apply(pod)
        made.pods += [self.store.get("Pod", *name) for name in names]
        made.nodes[0] = self.store.get("Node", "", own)
        for item in made.nodes[1:] + [item for kind in kinds for item in getattr(made, kind)]:
            self.store.put(item)

    def steps(self, made):
        for _ in range(STEPS):
            old, new = made.step()
            if new is not None:
                self.store.put(new)
            else:
                self.store.remove(*objects.key(old))
            if made.rng.random() < 0.3:     # Now and then sluiced sees one change alone, else several at once.
                self.lab("wait")
