#!/usr/bin/python3 -B
"""Services with packets: each type and traffic policy, from everywhere, with endpoints everywhere, in both families and protocols.

Covers services 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 22, 26.  Generated: what must come is servicelab.Expectation's.  SCTP and
the kernel datapath are in the kernel guest (tests/kernel/lab-kernel.py): the userspace datapath's conntrack does not know SCTP."""
# time limit: 400 s
import hashlib
import itertools

import servicelab
from labtest import pod
from servicelab import FAMILIES, Endpoint, ServiceCase, balanced_at, service

ONE, TWO = Endpoint("one", "node-1"), Endpoint("two", "node-2")
HOST_ONE, HOST_TWO = Endpoint("host-one", "node-1", host=True), Endpoint("host-two", "node-2", host=True)
END_ONE, END_TWO = Endpoint("end-one", "node-1", state="terminating"), Endpoint("end-two", "node-2", state="terminating")
UNREADY = Endpoint("unready", "node-2", state="unready")
PLACES = {"near": [ONE], "far": [TWO], "both": [ONE, TWO], "hosts": [HOST_ONE, HOST_TWO], "host-near": [HOST_ONE],
          "host-far": [HOST_TWO], "none": [], "unready": [UNREADY], "ending": [END_ONE], "replaced": [ONE, END_TWO]}
SENDERS = ("default/a", "default/b", "default/host", "node-1", "node-2", "outside")
POLICIES = ("Cluster", "Local")
# Questions in one go.  Refusals are metered, and a datagram whose refusal is lost is not sent again.
AT_ONCE = {"answered": 480, "dropped": 480, "refused": 96}
DOORS = {"ClusterIP": ["cluster"], "NodePort": ["cluster", "node-1", "node-2"], "external": ["external"],
         "LoadBalancer": ["cluster", "node-1", "node-2", "lb"]}


def generated(protocols):
    """{name: (Service, place, its doors)}: each type, each pair of policies that it has, each place of endpoints."""
    made = {}
    number = itertools.count(1)
    for kind, place in itertools.product(DOORS, PLACES):
        for internal, external in itertools.product(POLICIES, POLICIES):
            if kind == "ClusterIP" and external == "Local" or kind == "external" and internal == "Local":
                continue
            index = next(number)
            spec = {"type": "ClusterIP" if kind == "external" else kind, "internalTrafficPolicy": internal}
            addresses = (f"198.51.100.{index}", f"2001:db8:100::{index:x}")
            if kind == "external":
                spec |= {"externalIPs": list(addresses)}
            if kind == "LoadBalancer":
                spec |= {"status": balanced_at(*addresses)}
            if kind != "ClusterIP":
                spec["externalTrafficPolicy"] = external
            name = f"s{index}-{kind}-{place}-{internal[0]}{external[0]}".lower()
            made[name] = service(name, f"in-{place}", protocols, **spec), place, DOORS[kind]
    return made


def covering(asked):
    """Of [(what it is, question, outcome)] so many that any three values that occur together in one occur in one of these."""
    seen, chosen = set(), []
    for item in sorted(asked, key=lambda item: hashlib.sha1(repr(item[0]).encode()).digest()):
        threes = set(itertools.combinations(enumerate(item[0]), 3))
        if not threes <= seen:
            seen |= threes
            chosen.append(item)
    return chosen


class Matrix(ServiceCase):
    PLACES = {f"in-{name}": members for name, members in PLACES.items()}
    CLIENTS = (pod("a", "node-1"), pod("b", "node-2"), pod("host", "node-1", ("TCP:8181",), host_network=True))
    PROTOCOLS = ("tcp", "udp")

    def questions(self):
        """(what it is, question, outcome) of everything that can be asked."""
        made = generated(self.PROTOCOLS)
        for item in self.services(*(item for item, _, _ in made.values())):
            name, spec = item["metadata"]["name"], item["spec"]
            _, place, doors = made[name]
            for door, sender, family, protocol in itertools.product(doors, SENDERS, FAMILIES, self.PROTOCOLS):
                yield ((spec["type"], place, spec["internalTrafficPolicy"], spec.get("externalTrafficPolicy"), door, sender, family, protocol),
                       self.question(item, door, sender, family, protocol, what=f"{name} {door}"),
                       self.expectation.expected(spec, PLACES[place], door, sender, family))

    def test_matrix(self):
        """services 4, 7, 8, 9, 13, 14, 26."""
        self.ask(self.questions())

    def ask(self, questions):
        asked = {kind: [] for kind in ("answered", "refused", "dropped")}
        for _, question, wanted in questions:
            asked[wanted if isinstance(wanted, str) else "answered"].append((question, wanted))
        print({kind: len(specs) for kind, specs in asked.items()}, end=" ", flush=True)
        for kind, specs in asked.items():
            with self.subTest(kind):
                for start in range(0, len(specs), AT_ONCE[kind]):
                    self.check_questions(specs[start:start + AT_ONCE[kind]])


if __name__ == "__main__":
    servicelab.main()
