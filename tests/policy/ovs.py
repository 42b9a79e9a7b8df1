"""An Open vSwitch of our own with the dummy datapath, which judges packets by ofproto/trace, thousands a second.

No namespaces and no packets: devices exist only in memory.  ovs-appctl would cost a process for each question, so this
speaks its protocol, JSON-RPC over the unixctl socket, with several questions under way."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TUNNEL_PORT, GATEWAY_PORT, FIRST_POD_PORT = 1, 2, 16    # As "sluicectl compile" numbers them.
SCHEMAS = ("/usr/share/openvswitch/vswitch.ovsschema", "/usr/local/share/openvswitch/vswitch.ovsschema")
IN_FLIGHT = 32


PIPELINE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "flows", "PIPELINE.md")
TABLE = re.compile(r'(goto_table:|table=|resubmit\(,)"?([A-Z]\w+)"?')


def table_numbers():
    """{name: number}, both texts, also of tables that have no flows."""
    with open(PIPELINE) as stream:
        tables = stream.read().partition("## Tables")[2].partition("##")[0]
    return {name: number for number, name in re.findall(r"^\| (\d+) \| ([A-Z]\w+) \|", tables, re.M)}


def with_numbers(text):
    """Flows or groups with numbers for the names of tables."""
    numbers = table_numbers()
    return TABLE.sub(lambda found: found[1] + numbers[found[2]], text)


class Skip(Exception):
    pass


class Unixctl:
    """One connection to a daemon's control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.buffer = ""
        self.next_id = 0
        self.decoder = json.JSONDecoder()

    def send(self, requests):
        text = []
        for method, params in requests:
            text.append(json.dumps({"id": self.next_id, "method": method, "params": params}))
            self.next_id += 1
        self.socket.sendall("".join(text).encode())

    def receive(self):
        """The next reply, whole."""
        while True:
            try:
                reply, end = self.decoder.raw_decode(self.buffer)
            except ValueError:
                pass                    # Not there yet.
            else:
                self.buffer = self.buffer[end:].lstrip()
                return reply
            data = self.socket.recv(1 << 20)
            if not data:
                raise RuntimeError("the daemon closed its control socket")
            self.buffer += data.decode()

    @staticmethod
    def result(reply):
        if reply.get("error"):
            raise RuntimeError("Open vSwitch: " + reply["error"])
        return reply["result"]

    def call(self, method, *params):
        self.send([(method, list(params))])
        return self.result(self.receive())

    def batch(self, method, lists):
        """The answers to one request after the other, which may be errors; at most IN_FLIGHT under way."""
        sent = received = 0
        try:
            while received < len(lists):
                if sent < len(lists) and sent - received < IN_FLIGHT // 2:
                    more = lists[sent:received + IN_FLIGHT]
                    self.send([(method, params) for params in more])
                    sent += len(more)
                reply = self.receive()
                received += 1
                yield reply.get("result") or reply["error"]
        finally:
            for _ in range(sent - received):    # Nobody wants to know any more.
                self.receive()


class Daemons:
    """Of one Open vSwitch, with a folder of their own: 'dir'."""

    def __init__(self, prefix, tools=()):
        self.env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        for tool in ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", *tools):
            if not shutil.which(tool, path=self.env["PATH"]):
                raise Skip(tool + " is not installed")
        self.schema = next((path for path in SCHEMAS if os.path.exists(path)), None)
        if not self.schema:
            raise Skip("vswitch.ovsschema is not installed")
        self.dir = tempfile.mkdtemp(prefix=prefix)
        self.env.update(OVS_RUNDIR=self.dir, OVS_LOGDIR=self.dir, OVS_DBDIR=self.dir)
        self.db, self.children = f"unix:{self.dir}/db.sock", []

    def spawn(self, *argv):
        with open(self.dir + "/daemons.log", "a") as log:
            self.children.append(subprocess.Popen(argv, env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL, stderr=log))

    @staticmethod
    def wait_for(path):
        """Until somebody listens.  For the test's own set-up, outside of what is tested: the daemons have no event for us."""
        for _ in range(6000):
            with socket.socket(socket.AF_UNIX) as sock:
                if sock.connect_ex(path) == 0:
                    return
            time.sleep(0.01)
        raise RuntimeError("timeout: " + path)

    def stop(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Switch(Daemons):
    """br-int with the tunnel port, the gateway port and 'n_pods' pods' ports; 'peers': addresses of other nodes."""

    def __init__(self, n_pods, peers):
        super().__init__("sluice-oracle-")
        self.n_pods, self.peers = n_pods, peers
        self.connections = []
        self.meters, self.groups = None, []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self, *argv):
        result = subprocess.run(argv, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        if result.returncode:
            raise RuntimeError(f"{' '.join(argv)[:500]}: {result.stdout.decode()[:2000]}")
        return result.stdout.decode()

    def start(self):
        self.run("ovsdb-tool", "create", self.dir + "/conf.db", self.schema)
        self.spawn("ovsdb-server", self.dir + "/conf.db", "--remote=p" + self.db, f"--unixctl={self.dir}/ovsdb.ctl")
        self.wait_for(self.dir + "/db.sock")
        self.vsctl("--no-wait", "init")
        self.spawn("ovs-vswitchd", self.db, "--enable-dummy", "--disable-system", "--disable-system-route",
                   f"--unixctl={self.dir}/ovs.ctl")
        command = ["add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy", "fail_mode=secure",
                   "protocols=OpenFlow10,OpenFlow15"]
        ports = [("sluice-tun", TUNNEL_PORT), ("sluice0", GATEWAY_PORT)]
        for name, number in ports + [(f"p{n}", n) for n in range(FIRST_POD_PORT, FIRST_POD_PORT + self.n_pods)]:
            kind = ["type=geneve", "options:remote_ip=flow", "options:key=flow"] if number == TUNNEL_PORT else \
                ["type=dummy"]
            command += ["--", "add-port", "br-int", name, "--", "set", "interface", name, f"ofport_request={number}"]
            command += kind
        self.vsctl(*command)
        # The underlay: a bridge with the node's addresses, whose neighbours are known.
        self.vsctl("add-br", "br-phys", "--", "set", "bridge", "br-phys", "datapath_type=dummy", "--",
                   "add-port", "br-phys", "uplink", "--", "set", "interface", "uplink", "type=dummy")
        self.appctl("netdev-dummy/ip4addr", "br-phys", "192.168.0.100/16")
        self.appctl("netdev-dummy/ip6addr", "br-phys", "fd00:168::100/64")
        self.appctl("ovs/route/add", "192.168.0.0/16", "br-phys")
        self.appctl("ovs/route/add", "fd00:168::/64", "br-phys")
        for peer in self.peers:
            self.appctl("tnl/arp/set", "br-phys", peer, "aa:00:00:00:00:02")

    def vsctl(self, *args):
        return self.run("ovs-vsctl", "--db=" + self.db, "--timeout=60", *args)

    def appctl(self, method, *params):
        if not self.connections:
            self.wait_for(self.dir + "/ovs.ctl")
            self.connections.append(Unixctl(self.dir + "/ovs.ctl"))
        return self.connections[0].call(method, *params)

    def ofctl(self, command, *args):
        return self.run("ovs-ofctl", "-O", "OpenFlow15", command, f"unix:{self.dir}/br-int.mgmt", *args)

    def load(self, flows):
        """Replaces all flows and groups; 'flows' is the text of "sluicectl compile"."""
        plain, meters, groups = [], [], []
        for line in with_numbers(flows).splitlines():
            if line.startswith("meter="):
                meters.append(line)
            elif line.startswith("group_id="):
                groups.append(line)
            elif line.startswith("table="):
                number, _, rest = line[len("table="):].partition("(")
                plain.append(f"table={number}{rest.partition(')')[2]}")
            elif line.strip() and not line.startswith("#"):
                raise RuntimeError("no flow: " + line)
        if meters != self.meters:       # They are the same for most.
            self.ofctl("del-flows")
            self.ofctl("del-meters")
            for line in meters:
                words = dict(word.split("=") for word in line.replace(" ", "").split(",") if "=" in word)
                self.ofctl("add-meter", f"meter={words['meter']},pktps,burst,bands=type=drop,rate={words['rate']},"
                                        f"burst_size={words['burst_size']}")
            self.meters = meters
        if groups != self.groups:
            self.ofctl("del-flows")
            self.ofctl("del-groups")
            with open(self.dir + "/groups", "w") as stream:
                stream.write("".join(line + "\n" for line in groups))
            self.ofctl("add-groups", self.dir + "/groups")
            self.groups = groups
        with open(self.dir + "/flows", "w") as stream:
            stream.write("delete\n" + "\n".join(plain) + "\n")
        self.ofctl("add-flows", self.dir + "/flows")

    def trace(self, questions):
        """What ofproto/trace says to each: (flow, ct state or None)."""
        params = [["br-int", flow] + (["--ct-next", state] if state else []) for flow, state in questions]
        self.appctl("version")
        yield from self.connections[0].batch("ofproto/trace", params)
