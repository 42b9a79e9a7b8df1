#!/usr/bin/python3 -B
"""The lab's tests on the kernel datapath; run in the guest: tests/kernel/run tests/kernel/lab-kernel.py CLASS..."""
import importlib.util
import itertools
import os
import socket
import sys

SYSTEM = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system")
sys.path.insert(0, SYSTEM)
import labtest  # noqa: E402
import servicelab  # noqa: E402


def of(name):
    """A module of tests/system whose file name has hyphens."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(SYSTEM, f"test-lab-{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


matrix, changes = of("service-matrix"), of("service-changes")


class Kernel:
    """Comes first among the bases: the same tests, another datapath."""
    ALLOWED_LOG = [
        ("ovs-vswitchd", r"failed to set MTU for network device sluice0: No such device",
         "ovs-vswitchd wants the MTU of an internal port before the kernel has made it, and sets it afterwards"),
        ("ovs-vswitchd", r"timeval\(|ovs_rcu.*blocked \d+ ms waiting|rconn\|WARN\|.*connection dropped \(Broken pipe\)|"
                         r"could not open network device slp|cannot get R?STP status on nonexistent port",
         "the guest is slow: some seconds for what takes a tenth elsewhere"),
        ("ovs-vswitchd", r"netlink_conntrack\|WARN\|Unsupported L4 protocol: 132",
         "Open vSwitch 3.1 removes no single entry of SCTP from the kernel's conntrack (docs/services.md)"),
        ("sluiced", r"OFPBFC_TIMEOUT; connecting anew", "the guest is slow: ovs-vswitchd waits 10 s for the rest of a bundle"),
        ("ovs-vswitchd", r"odp_util.*(MPLS LSEs have invalid length 0|the flow key in error is: .*mpls\(\(bad key length 0\))",
         "the spoofing test's MPLS frame has no label; the module hands it up like that, and it is dropped"),
    ]

    def __init_subclass__(cls):
        inherited = next(base for base in cls.__bases__ if base is not Kernel)
        cls.OPTIONS = (*inherited.OPTIONS, "--datapath", "kernel")
        cls.ALLOWED_LOG = [*inherited.ALLOWED_LOG, *Kernel.ALLOWED_LOG]


class KernelForwarding(Kernel, of("forwarding").Forwarding):
    def test_mtu_of_the_gateway_port(self):
        status = self.lab.exec("node-1", "sluicectl", "status")
        wanted = status.split("MTU of pods ")[1].split()[0]
        self.assertIn(f"mtu {wanted} ", self.lab.exec("node-1", "ip", "link", "show", "dev", "sluice0"))


class KernelSpoofing(Kernel, of("spoofing").Spoofing):
    pass


class KernelVxlan(Kernel, of("encapsulation").Vxlan):
    pass


class KernelRouted(Kernel, of("encapsulation").Routed):
    pass


class KernelGeneveOverIpv6(Kernel, of("encapsulation").GeneveOverIpv6):
    pass


class KernelMtu(Kernel, of("mtu").GeneveOverBoth):
    pass


class KernelRestarts(Kernel, of("restarts").Restarts):
    pass


class KernelConnections(Kernel, of("connections").Connections):
    DATAPATH = "system@ovs-system"


class KernelServices(Kernel, matrix.Matrix):
    """All of the matrix; the userspace datapath cannot have its SCTP."""
    PROTOCOLS = ("tcp", "udp", "sctp")

    def remove_services(self):
        """The lab goes with them."""


class KernelServicesPart(KernelServices):
    """Any three values of the matrix together."""
    def questions(self):
        return matrix.covering(super().questions())


class KernelServiceTraffic(Kernel, of("service-traffic").Traffic):
    pass


class KernelServiceChanges(Kernel, changes.Changes):
    def from_port(self, sender, where, number, kind):
        """The name of who answers this address and port a socket with this source port, and the socket."""
        def body():
            sock = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.settimeout(changes.PATIENCE)
            sock.bind(("", number))
            sock.connect(where)
            return sock
        sock = servicelab.in_namespace(self.lab, sender, body)
        self.addCleanup(sock.close)
        return (servicelab.greeting(sock)[0] if kind == socket.SOCK_STREAM else self.who_answers(sock)), sock

    def test_source_port_used_twice(self):
        """services 1, 25: through a Service and directly to its endpoint, in both orders, while the first one lives and when it has
        ended.  To the endpoint both look the same."""
        numbers = itertools.count(changes.OWN_PORT + 100, 10)      # Conntrack takes the next one.
        items = self.services(servicelab.service("near", "one"), servicelab.service("far", "two"))
        ways = [(endpoint, item, protocol, kind, family, turned, ended)
                for endpoint, item in zip(changes.STAY, items) for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM))
                for family in servicelab.FAMILIES for turned in (False, True) for ended in (False, True)]
        for endpoint, item, protocol, kind, family, turned, ended in ways:
            direct = self.addresses[endpoint.pod][family], servicelab.PORTS[protocol]
            doors = self.door(item, "cluster", family, protocol), direct
            number = next(numbers)
            with self.subTest(endpoint=endpoint.name, protocol=protocol, family=family, turned=turned, ended=ended):
                by, first = self.from_port(changes.A, doors[turned], number, kind)
                self.assertEqual(by, endpoint.pod)
                if ended:
                    first.close()
                by, second = self.from_port(changes.A, doors[not turned], number, kind)
                self.assertEqual(by, endpoint.pod)
                if kind == socket.SOCK_STREAM:
                    self.assertTrue(servicelab.echoes(second, os.urandom(3000)))
                    self.assertTrue(ended or servicelab.echoes(first, os.urandom(3000)))
                else:
                    self.assertTrue(ended or self.who_answers(first) == endpoint.pod)


class KernelServiceEdge(Kernel, of("service-edge").Edge):
    pass


class KernelGuard(Kernel, of("guard").Guard):
    def take_the_port_away(self):
        """A killed ovs-vswitchd leaves the kernel's ports as they are; a port that someone deleted leaves the link to the kernel."""
        self.lab("stop", "node-1", "sluiced", "--kill")
        port = next(name for name in self.lab.links("node-1") if name.startswith("slp"))
        self.lab.exec("node-1", "ovs-vsctl", "del-port", "br-int", port)


if __name__ == "__main__":
    labtest.main()
