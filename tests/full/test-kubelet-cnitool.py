#!/usr/bin/python3 -B
"""CHECK, STATUS and GC on a node with a real kubelet: containerd calls neither CHECK nor GC, so libcni's cnitool and this test do."""
# time limit: 300 s
import base64
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))
import kubelettest  # noqa: E402
from cnilab import cnitool  # noqa: E402
from kubelettest import deployment  # noqa: E402

NODE = "node-1"


class BesideTheKubelet(kubelettest.KubeletCase):
    @classmethod
    def setUpClass(cls):
        cls.tool = cnitool()
        super().setUpClass()
        cls.cluster.apply(deployment("web", 6))
        cls.cluster.rolled_out("deployment/web")
        cls.web = cls.cluster.pods("app=web")

    def attachments(self):
        """What containerd keeps of each ADD, as libcni does."""
        text = self.cluster.exec(NODE, "sh", "-c", "for f in /var/lib/cni/results/sluice-*; do cat $f; echo; done")
        return [json.loads(line) for line in text.splitlines() if line]

    def plugin(self, verb, config, attachment=None):
        """Exit code and output of ovs-cni, called as libcni calls it."""
        environment = ["CNI_COMMAND=" + verb, "CNI_PATH=/opt/cni/bin"]
        if attachment:
            arguments = ";".join("=".join(pair) for pair in attachment["cniArgs"])
            environment += ["CNI_CONTAINERID=" + attachment["containerId"], "CNI_NETNS=" + attachment["netns"],
                            "CNI_IFNAME=" + attachment["ifName"], "CNI_ARGS=" + arguments]
        done = self.cluster.exec(NODE, "env", *environment, "/opt/cni/bin/ovs-cni", input=json.dumps(config), check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    @staticmethod
    def config(attachment, **more):
        conflist = json.loads(base64.b64decode(attachment["config"]))
        return {"cniVersion": conflist["cniVersion"], "name": conflist["name"], **conflist["plugins"][0], **more}

    def check(self, attachment):
        return self.plugin("CHECK", self.config(attachment, prevResult=attachment["result"]), attachment)

    def test_check_of_the_kubelets_pods(self):
        attachments = self.attachments()
        self.assertEqual(len(attachments), 3)
        for attachment in attachments:
            self.assertEqual(self.check(attachment), (0, None))
        victim, inside = attachments[0], ["nsenter", "--net=" + attachments[0]["netns"], "ip", "link", "set", "eth0", "mtu"]
        self.cluster.exec(NODE, *inside, "1300")
        code, answer = self.check(victim)
        self.assertEqual((code != 0, answer["code"]), (True, 102))
        self.cluster.exec(NODE, *inside, str(victim["result"]["interfaces"][1]["mtu"]))
        self.assertEqual(self.check(victim), (0, None))

    def test_cnitool_and_gc(self):
        """An attachment of cnitool's goes by GC, those of the kubelet's pods stay."""
        before = self.cluster.footprint(NODE)
        keep = [{"containerID": each["containerId"], "ifname": each["ifName"]} for each in self.attachments()]
        self.cluster.exec(NODE, "ip", "netns", "add", "by-hand")

        def call(verb):
            # With a cache of its own: what is there are the kubelet's attachments.
            return self.cluster.exec(NODE, "unshare", "-m", "sh", "-c", 'mkdir -p /run/by-hand && mount --bind /run/by-hand '
                                     '/var/lib/cni && exec "$@"', "sh", "env", "NETCONFPATH=/etc/cni/net.d",
                                     "CNI_PATH=/opt/cni/bin", self.tool, verb, "sluice", "/run/netns/by-hand")

        result = json.loads(call("add"))
        self.assertEqual(len(result["ips"]), 2)
        call("check")
        call("status")
        self.assertEqual(len(self.cluster.footprint(NODE)["ports"]), len(before["ports"]) + 1)
        conf = self.config(self.attachments()[0])
        self.assertEqual(self.plugin("GC", conf | {"cni.dev/valid-attachments": keep}), (0, None))
        self.cluster.exec(NODE, "ip", "netns", "delete", "by-hand")
        self.cluster.await_links(NODE, before["links"])
        self.cluster.sluicectl(NODE, "wait", "--for", "realized")
        self.assertEqual(self.cluster.footprint(NODE), before)
        self.assert_every_pair(self.web)

    def test_gc_of_nothing_changes_nothing(self):
        before = self.cluster.footprint(NODE)
        keep = [{"containerID": each["containerId"], "ifname": each["ifName"]} for each in self.attachments()]
        self.assertEqual(self.plugin("GC", self.config(self.attachments()[0]) | {"cni.dev/valid-attachments": keep}), (0, None))
        self.assertEqual(self.cluster.footprint(NODE), before)


if __name__ == "__main__":
    kubelettest.main()
