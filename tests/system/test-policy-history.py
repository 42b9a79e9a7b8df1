#!/usr/bin/python3 -B
"""Whatever the history, the flows are a function of the objects: those of sluiced, to which namespaces, pods and policies came, changed
and went one by one, are those of a sluiced that starts and finds the same objects, and what "sluicectl compile" makes of them.  Issue 5,
comparison (c).

SLUICE_TEST_SEED repeats a run; SLUICE_TEST_STRETCHES asks for a longer one (tests/full/test-policy-oracle-full.py)."""
# time limit: 280 s
import difflib
import os
import random
import re
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "policy")]
import labtest  # noqa: E402
from labkit import objects  # noqa: E402

import manifests  # noqa: E402
from generator import NODES, Generator  # noqa: E402

LOCAL, STEPS, STRETCHES = 6, 40, int(os.environ.get("SLUICE_TEST_STRETCHES") or 4)


INSTALLED = re.compile(r"^cookie=(0x[0-9a-f]+), table=(\d+), priority=(\d+),?(\S*) actions=(.*)$")
COMPILED = re.compile(r"^table=(\d+)\(\w+\), priority=(\d+), cookie=(0x[0-9a-f]+),? ?(\S*) actions=(.*)$")


def of_policies(table, priority):
    """Flows that name no port of a pod: ports are drawn by lot."""
    return 32 <= table <= 44 or 58 <= table <= 64 and priority > 50


def installed(flows):
    for line in flows:
        found = INSTALLED.match(line)
        if found and of_policies(int(found[2]), int(found[3])) and "in_port" not in found[4]:
            yield f"table={found[2]}, priority={found[3]}, cookie={found[1]}, {found[4]} actions={found[5]}"


def compiled(text):
    numbers = {name: number for number, name in re.findall(r"^table=(\d+)\((\w+)\)", text, re.M)}
    for line in text.splitlines():
        found = COMPILED.match(line)
        if found and of_policies(int(found[1]), int(found[2])) and "in_port" not in found[4]:
            actions = re.sub(r'goto_table:"?(\w+)"?', lambda goto: f"goto_table:{numbers[goto[1]]}", found[5])
            yield f"table={found[1]}, priority={found[2]}, cookie={found[3]}, {found[4]} actions={actions}"


class PolicyHistory(labtest.LabCase):
    OPTIONS = ("--nodes", "1")

    def begin(self, seed):
        """Local pods with real attachments, among random objects."""
        self.store = objects.Store(self.lab.layout)
        made = Generator(random.Random(seed), pods=(0, 6, 4), networkpolicies=5, clusterpolicies=3, nodes=NODES[1:])
        for namespace in made.namespaces:
            self.store.put(namespace)
        names = []
        for _ in range(LOCAL):
            pod = made.pod(NODES[0])
            while pod["spec"].get("hostNetwork") or pod["status"]["phase"] != "Running" or \
                    "deletionTimestamp" in pod["metadata"]:
                pod = made.pod(NODES[0])
            del pod["status"]
            names.append((pod["metadata"]["namespace"], pod["metadata"]["name"]))
            self.lab.apply(pod)
        made.pods += [self.store.get("Pod", *name) for name in names]
        made.nodes[0] = self.store.get("Node", "", NODES[0])
        for item in made.nodes[1:] + made.pods + made.policies:
            self.store.put(item)
        return made

    def step(self, made):
        old, new = made.step()
        if new is not None:
            self.store.put(new)
        else:
            self.store.remove(*objects.key(old))

    def at_rest(self):
        self.lab("wait")
        return self.lab.flows("node-1")

    def test_incremental_is_full(self):
        seed = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
        print(f"SLUICE_TEST_SEED={seed}", flush=True)
        made, policy_flows = self.begin(seed), []
        for stretch in range(STRETCHES):
            for _ in range(STEPS):
                self.step(made)
                if made.rng.random() < 0.3:     # Now and then sluiced sees one change alone, else several at once.
                    self.lab("wait")
            grown = self.at_rest()
            self.lab("restart", "node-1", "sluiced")
            fresh = self.at_rest()
            diff = list(difflib.unified_diff(fresh, grown, "restarted", "grown", lineterm="", n=0))
            self.assertFalse(diff[:40], f"seed {seed}, after {(stretch + 1) * STEPS} steps: {len(diff)} lines differ")
            offline = manifests.compile_dir(self.lab.layout.manifests(), "node-1")
            diff = list(difflib.unified_diff(sorted(compiled(offline)), sorted(installed(fresh)), "compiled", "installed",
                                             lineterm="", n=0))
            self.assertFalse(diff[:40], f"seed {seed}, after {(stretch + 1) * STEPS} steps: {len(diff)} lines differ")
            policy_flows.append(sum("conj" in line for line in fresh))
            self.assertEqual(policy_flows[-1], sum("conj" in line for line in installed(fresh)))
        print(f"{STRETCHES * STEPS} steps, flows of policies: {policy_flows}", flush=True)
        self.assertGreater(max(policy_flows), 0)


if __name__ == "__main__":
    labtest.main()
