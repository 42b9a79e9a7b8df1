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
from historylab import COMPILED, INSTALLED, STEPS, STRETCHES, HistoryCase, seed  # noqa: E402

import manifests  # noqa: E402
from generator import NODES, Generator  # noqa: E402


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


class PolicyHistory(HistoryCase):
    def at_rest(self):
        self.lab("wait")
        return self.lab.flows("node-1")

    def test_incremental_is_full(self):
        chosen = seed()
        made = Generator(random.Random(chosen), pods=(0, 6, 4), networkpolicies=5, clusterpolicies=3, nodes=NODES[1:])
        self.begin(made, 6, ("pods", "policies"))
        policy_flows = []
        for stretch in range(STRETCHES):
            self.steps(made)
            grown = self.at_rest()
            self.lab("restart", "node-1", "sluiced")
            fresh = self.at_rest()
            diff = list(difflib.unified_diff(fresh, grown, "restarted", "grown", lineterm="", n=0))
            self.assertFalse(diff[:40], f"seed {chosen}, after {(stretch + 1) * STEPS} steps: {len(diff)} lines differ")
            offline = manifests.compile_dir(self.lab.layout.manifests(), "node-1")
            diff = list(difflib.unified_diff(sorted(compiled(offline)), sorted(installed(fresh)), "compiled", "installed",
                                             lineterm="", n=0))
            self.assertFalse(diff[:40], f"seed {chosen}, after {(stretch + 1) * STEPS} steps: {len(diff)} lines differ")
            policy_flows.append(sum("conj" in line for line in fresh))
            self.assertEqual(policy_flows[-1], sum("conj" in line for line in installed(fresh)))
        print(f"{STRETCHES * STEPS} steps, flows of policies: {policy_flows}", flush=True)
        self.assertGreater(max(policy_flows), 0)


if __name__ == "__main__":
    labtest.main()
