#!/usr/bin/python3 -B
"""sluicectl trace through a Service's address: it names the Service, and the endpoint that this very connection gets (issue 6, item 8)."""
# time limit: 300 s
import json
import re

from labtest import LabCase, main, pod

# A connection from that source port; prints who answered.
CONNECT = """
import socket, sys
sock = socket.create_connection((sys.argv[1], 80), 5, ("", int(sys.argv[2])))
print(sock.recv(100).decode().split()[0])
"""
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
           "spec": {"type": "NodePort", "selector": {"app": "web"}, "ipFamilyPolicy": "PreferDualStack",
                    "clusterIP": "10.96.0.80", "clusterIPs": ["10.96.0.80", "fd00:96::80"], "ipFamilies": ["IPv4", "IPv6"],
                    "ports": [{"name": "http", "port": 80, "targetPort": 80, "nodePort": 30080}]}}
EMPTY = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "empty", "namespace": "default"},
         "spec": {"selector": {"app": "nobody"}, "clusterIP": "10.96.0.81", "clusterIPs": ["10.96.0.81"], "ipFamilies": ["IPv4"],
                  "ports": [{"port": 80}]}}
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "cut", "namespace": "default"},
          "spec": {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"]}}
VIPS = {4: "10.96.0.80", 6: "fd00:96::80"}


class ServiceTrace(LabCase):
    PODS = [pod("client", "node-1", labels={"app": "client"}), pod("web-1", "node-1", labels={"app": "web"}),
            pod("web-2", "node-2", labels={"app": "web"})]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.apply(SERVICE, EMPTY)
        cls.lab("wait")

    def trace(self, sender, to, port, **more):
        question = {"from": sender, "to": to, "protocol": "tcp", "port": port, **more}
        answer = json.loads(self.lab("exec", "node-1", "--", "sluicectl", "trace", "--batch", "-", "--json", stdin=json.dumps(question) + "\n"))
        self.assertNotIn("error", answer)
        return answer

    def test_the_endpoint_of_the_connection(self):
        """services 6, 7: of connections with known ports."""
        met = set()
        for family, vip in VIPS.items():
            named = {f"{self.lab.ips(name)[family]}": name for name in ("default/web-1", "default/web-2")}
            for port in range(41000 + 100 * family, 41008 + 100 * family):
                answer = self.trace("default/client", vip, 80, sport=port)
                self.assertEqual(answer["verdict"], "allowed")
                self.assertEqual((answer["service"]["namespace"], answer["service"]["name"], answer["service"]["kind"]),
                                 ("default", "web", "ClusterIP"))
                self.assertEqual(answer["service"]["why"], "all ready endpoints")
                who = named[answer["endpoint"].rsplit(":", 1)[0].strip("[]")]
                self.assertEqual(self.lab.exec("default/client", "python3", "-c", CONNECT, vip, str(port)).strip(), who)
                met.add(who)
        self.assertEqual(len(met), 2)

    def test_past_the_service(self):
        """To an endpoint itself, here and elsewhere."""
        for to, where in (("default/web-1", "delivered to pod default/web-1"), ("default/web-2", "(node node-2)")):
            answer = self.trace("default/client", to, 80)
            self.assertEqual(answer["verdict"], "allowed", answer)
            text = self.lab.exec("node-1", "sluicectl", "trace", "--from", "default/client", "--to", to, "--port", "80")
            self.assertRegex(text, rf"(?m)^allowed: .*{re.escape(where)}")

    def test_the_node_and_outside(self):
        """services 6, 12."""
        for sender, to, port in (("node-1", VIPS[4], 80), ("node-1", VIPS[6], 80), ("default/client", "node-1", 30080),
                                 (str(self.lab.ips("outside")[4]), "node-1", 30080)):
            answer = self.trace(sender, to, port)
            self.assertEqual(answer["verdict"], "allowed", answer)
            self.assertEqual(answer["service"]["kind"], "ClusterIP" if port == 80 else "NodePort")
            self.assertTrue(answer["endpoint"])

    def test_refused(self):
        """services 9, 10."""
        for to, port, why in (("10.96.0.81", 80, "endpoint"), (VIPS[4], 81, "no such port")):
            answer = self.trace("default/client", to, port)
            self.assertEqual((answer["verdict"], answer["endpoint"]), ("refused", None))
            self.assertIn(why, answer["reason"])

    def test_denied(self):
        """The policy is judged behind the Service, and named."""
        self.lab.apply(POLICY)
        self.addCleanup(self.lab, "delete", "networkpolicy", "default/cut")
        answer = self.trace("default/client", VIPS[4], 80)
        self.assertEqual((answer["verdict"], answer["direction"], answer["policy"]), ("denied", "egress", "NetworkPolicy/default/cut"))
        self.assertTrue(answer["endpoint"])
        text = self.lab.exec("node-1", "sluicectl", "trace", "--from", "default/client", "--to", VIPS[4], "--protocol", "tcp", "--port", "80",
                             check=False).stdout
        self.assertIn("Service default/web \"http\" by its ClusterIP: to ", text)
        self.assertIn("NetworkPolicy/default/cut", text)


if __name__ == "__main__":
    main()
