#!/usr/bin/python3 -B
"""Whatever the history, flows and groups of Services are a function of the objects: those of sluiced, to which Services, slices, pods and
nodes came, changed and went one by one, are those of a sluiced that starts and finds the same objects, and what "sluicectl compile" makes
of them.  Issue 6, comparison (c); services 1, 15, 22, 23, 28.

SLUICE_TEST_SEED repeats a run; SLUICE_TEST_STRETCHES asks for a longer one (tests/full/test-service-oracle-full.py)."""
# time limit: 280 s
import difflib
import os
import random
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "services"), os.path.join(os.path.dirname(HERE), "policy")]
import labtest  # noqa: E402
from historylab import COMPILED, INSTALLED, STEPS, STRETCHES, HistoryCase, seed  # noqa: E402

import manifests  # noqa: E402
import ovs  # noqa: E402
from service_generator import NODES, Generator  # noqa: E402

SERVICE, AFFINITY, SELECT, SHARD = 6, 7, 9, 11
TABLES = {SERVICE, SELECT, SHARD}       # What is in AFFINITY the switch has learned.


def compiled(text):
    """(flows, groups) as the switch shows them."""
    flows, groups = [], []
    for line in ovs.with_numbers(text).splitlines():
        found = COMPILED.match(line)
        if found and int(found[1]) in TABLES:
            flows.append(f"table={found[1]}, priority={found[2]}, cookie={found[3]}, {found[4]} actions={found[5]}")
        elif line.startswith("group_id="):
            groups.append(line)
    return sorted(flows), sorted(groups)


def installed(flows):
    found = [INSTALLED.match(line) for line in flows]
    return sorted(f"table={f[2]}, priority={f[3]}, cookie={f[1]}, {f[4]} actions={f[5]}"
                  for f in found if f and int(f[2]) in TABLES)


class ServiceHistory(HistoryCase):
    def groups(self):
        text = self.lab.exec("node-1", "ovs-ofctl", "-O", "OpenFlow15", "--no-names", "dump-groups", "br-int")
        return sorted(line.strip() for line in text.splitlines() if "group_id=" in line)

    def at_rest(self):
        self.lab("wait")
        return self.lab.flows("node-1"), self.groups()

    def compare(self, wanted, given, names, when):
        diff = list(difflib.unified_diff(wanted, given, *names, lineterm="", n=0))
        self.assertFalse(diff[:40], f"{when}: {len(diff)} lines differ")

    def test_incremental_is_full(self):
        chosen = seed()
        made = Generator(random.Random(chosen), services=10, pods=(0, 6, 4), networkpolicies=3, clusterpolicies=1, large=120,
                         contended=True, nodes=NODES[1:])
        self.begin(made, 4, ("pods", "policies", "services", "slices"))
        seen = []
        for stretch in range(STRETCHES):
            self.steps(made)
            when = f"seed {chosen}, after {(stretch + 1) * STEPS} steps"
            grown = self.at_rest()
            self.lab("restart", "node-1", "sluiced")
            fresh = self.at_rest()
            offline = compiled(manifests.compile_dir(self.lab.layout.manifests(), "node-1"))
            for what in (0, 1):
                self.compare(fresh[what], grown[what], ("restarted", "grown"), when)
            self.compare(offline[0], installed(fresh[0]), ("compiled", "installed"), when)
            self.compare(offline[1], fresh[1], ("compiled", "installed"), when)
            seen.append((len(offline[0]), len(offline[1])))
        print(f"{STRETCHES * STEPS} steps, flows and groups of Services: {seen}", flush=True)
        self.assertGreater(max(flows for flows, _ in seen), 20)
        self.assertGreater(max(groups for _, groups in seen), 3)


if __name__ == "__main__":
    labtest.main()
