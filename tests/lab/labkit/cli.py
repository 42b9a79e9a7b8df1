"""The verbs of sluice-lab."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import shutil
import sys

from . import agent, cluster, layout, netns, objects, probe, procs, realnodes, underlay
from .kubelet import start_responder
from .layout import LabError
from .node import DAEMONS, Node
from .objects import Store


def say(text):
    print(text, flush=True)


def note(text):
    print(f"sluice-lab: {text}", file=sys.stderr, flush=True)


def side_by_side(function, arguments):
    """Calls the function for each argument, all at once; raises the errors of all."""
    with concurrent.futures.ThreadPoolExecutor(max(1, len(arguments))) as pool:
        results = [pool.submit(function, argument) for argument in arguments]
    errors = [str(result.exception()) for result in results if result.exception()]
    if errors:
        raise LabError("\n".join(errors))
    return [result.result() for result in results]


# --- up and down ---

def up(lab, options):
    if lab.exists() or lab.all_netns():
        raise LabError(f"lab {lab.name} exists; sluice-lab down --name {lab.name}")
    if options.kubernetes:
        up_kubernetes(lab, options)
        return
    subnets = options.subnets or (2 if options.encapsulation == "hybrid" else 1)
    lab.options |= {"nodes": options.nodes, "datapath": options.datapath, "encapsulation": options.encapsulation,
                    "mtu": options.mtu, "families": options.families, "subnets": min(subnets, options.nodes),
                    "pod_mtu": options.pod_mtu, "log_level": options.log_level,
                    "kubeconfig": os.path.realpath(options.kubeconfig) if options.kubeconfig else "", "via": options.via or ""}
    items = objects.read_files(options.manifests, sys.stdin) if options.manifests else []
    try:
        lab.save()
        for part in ("manifests", "pods"):
            os.makedirs(lab.path(part))
        netns.prepare()
        underlay.build(lab)
        if options.kubeconfig:
            cluster.prepare(lab)
        write_nodes(lab)
        side_by_side(lambda name: start_node(lab, name), lab.nodes())
        start_responder(lab, lab.netns("outside"), "outside", responder_ports())
        if options.kubeconfig:
            cluster.start_agent(lab)
        cluster.kubelet_of(lab, note).apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}, *items])
    except BaseException:
        if options.keep_failed:
            note(f"left as it is: {lab.dir}")
        else:
            down(lab, None)
        raise
    note(f"lab {lab.name} is up: {', '.join(lab.nodes())}")


def up_kubernetes(lab, options):
    try:
        realnodes.up(lab, options)
    except BaseException:
        if options.keep_failed:
            note(f"left as it is: {realnodes.directory(lab)}")
        else:
            down(lab, None)
        raise


def kubectl(lab, _):
    raise LabError(f"lab {lab.name} has no real nodes: sluice-lab up --kubernetes")


def responder_ports():
    return [f"{protocol}:{layout.RESPONDER_PORT}" for protocol in ("tcp", "udp")]


def write_nodes(lab):
    """The Node objects, before any sluiced starts."""
    store = Store(lab)
    for name in lab.nodes():
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                  "topology.kubernetes.io/zone": f"zone-{lab.subnet(name) + 1}"}
        if lab.options["kubeconfig"]:
            cluster.write_node(lab, name, labels)
            continue
        addresses = [{"type": "InternalIP", "address": str(address)} for address in lab.node_addresses(name)]
        cidrs = [str(cidr) for cidr in lab.pod_cidrs(name)]
        store.put(store.admit({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
            "status": {"addresses": [*addresses, {"type": "Hostname", "address": name}]}})[0])


def start_node(lab, name):
    node = Node(lab, name)
    node.prepare()
    underlay.connect_node(lab, name)
    if lab.options["kubeconfig"]:
        cluster.start_relay(lab, node)
    for daemon in DAEMONS:
        node.start(daemon)
    node.wait("ready")
    if lab.options["kubeconfig"]:
        cluster.node_is_ready(lab, name)
    start_responder(lab, node.netns, name, responder_ports())


def down(lab, _):
    """Works from what is there, not from what was recorded."""
    realnodes.down(lab)
    procs.end_all(lab)
    with contextlib.suppress(LabError):
        if lab.load().options["kubeconfig"] and (why := cluster.forget(lab)):
            note(f"its Nodes stay in the API server: {why}")
    for name in lab.all_netns():
        netns.delete(name)
    shutil.rmtree(lab.dir, ignore_errors=True)
    if os.path.exists(lab.dir):
        raise LabError(f"{lab.dir} cannot be removed")
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(lab.dir))


# --- objects ---

def apply(lab, options):
    items = [item for path in options.files for item in objects.read_files(path, sys.stdin)]
    cluster.kubelet_of(lab, say).apply(items)


def delete(lab, options):
    keys = [objects.key(item) for path in options.files for item in objects.read_files(path, sys.stdin)]
    if options.kind:
        kind = objects.kind_of(options.kind)
        for name in options.names:
            namespace, _, name = name.rpartition("/")
            keys.append((kind, "" if kind in objects.CLUSTER_SCOPED else namespace or "default", name))
    if not keys:
        raise LabError("delete what? -f FILE, or KIND [NAMESPACE/]NAME")
    cluster.kubelet_of(lab, say).delete(keys)


# --- inside ---

def execute(lab, options):
    argv = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not argv:
        raise LabError("exec what? exec NODE|NAMESPACE/POD|outside -- COMMAND")
    where = probe.Prober(lab).namespace_of(options.where)
    env = Node(lab, options.where).environment() if options.where in lab.nodes() else procs.environment(lab)
    sys.stdout.flush()
    # "ip netns exec" also shows /sys of that namespace.
    os.execvpe("ip", ["ip", "netns", "exec", where, *argv], env)


def do_probe(lab, options):
    prober = probe.Prober(lab)
    if options.batch:
        for answer in prober.ask_all(probe.open_batch(options.batch)):
            say(json.dumps(answer))
        return 0
    if not options.sender or not options.to:
        raise LabError("probe needs --from and --to, or --batch")
    spec = {"from": options.sender, "to": options.to, "protocol": options.protocol, "timeout": options.timeout}
    spec |= {name: value for name, value in (("port", options.port), ("family", options.family),
                                             ("sport", options.sport)) if value}
    if options.protocol != "icmp" and not options.port:
        raise LabError("probe needs --port")
    answer = prober.ask(spec)
    if answer["result"] == "error":
        raise LabError(answer["reason"])
    if options.json:
        say(json.dumps(answer))
    else:
        by = f" by {answer['by']}" if answer["by"] else ""
        client = f", seen from {answer['client']}" if answer.get("client") else ""
        reason = f" ({answer['reason']})" if answer.get("reason") else ""
        say(f"{answer['result']}{by}{client}{reason}, {answer['ms']} ms")
    return 0 if answer["result"] == "connected" else 1


# --- daemons ---

def each_daemon(lab, options, function):
    if options.node not in lab.nodes():
        raise LabError(f"there is no node {options.node!r}: {', '.join(lab.nodes())}")
    function(Node(lab, options.node))


def restart(lab, options):
    def body(node):
        node.stop(options.daemon, options.kill)
        if options.empty:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(node.path("ovs", "conf.db"))
        node.start(options.daemon)
    if options.empty and options.daemon != "ovsdb-server":
        raise LabError("--empty is for ovsdb-server")
    each_daemon(lab, options, body)


def stop(lab, options):
    each_daemon(lab, options, lambda node: node.stop(options.daemon, options.kill))


def start(lab, options):
    each_daemon(lab, options, lambda node: node.start(options.daemon))


def wait(lab, options):
    """Until every node has realised what the manifests say."""
    if lab.options["kubeconfig"] and options.condition == "realized":
        cluster.await_delivery(lab, lab.nodes(), probe.seconds(options.timeout))

    def body(name):
        Node(lab, name).wait(options.condition, probe.seconds(options.timeout))
    side_by_side(body, lab.nodes())


def status(lab, options):
    pods = cluster.store_of(lab).all("Pod")
    found = {
        "name": lab.name, "directory": lab.dir, **{key: lab.options[key] for key in (
            "datapath", "encapsulation", "mtu", "families", "subnets")},
        "nodes": [{"name": name, "ips": [str(address) for address in lab.node_addresses(name)],
                   "podCIDRs": [str(cidr) for cidr in lab.pod_cidrs(name)],
                   "daemons": {daemon: Node(lab, name).pid(daemon) for daemon in DAEMONS}} for name in lab.nodes()],
        "pods": [{"namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"],
                  "node": pod["spec"].get("nodeName"), "phase": pod.get("status", {}).get("phase", "Pending"),
                  "ips": [entry["ip"] for entry in pod.get("status", {}).get("podIPs", [])]} for pod in pods]}
    if options.json:
        say(json.dumps(found, indent=1))
        return
    say(f"lab {lab.name}: datapath {found['datapath']}, encapsulation {found['encapsulation']}, underlay MTU "
        f"{found['mtu']}; its files: {lab.dir}")
    for node in found["nodes"]:
        missing = [daemon for daemon, pid in node["daemons"].items() if not pid]
        say(f"  {node['name']:10} {' '.join(node['ips']):34} pods {' '.join(node['podCIDRs'])}" +
            (f"  NOT RUNNING: {', '.join(missing)}" if missing else ""))
    for pod in found["pods"]:
        say(f"  {pod['namespace'] + '/' + pod['name']:24} {pod['node'] or '-':8} {pod['phase']:8} {' '.join(pod['ips'])}")


# --- the command line ---

def parser():
    top = argparse.ArgumentParser(prog="sluice-lab", description="A cluster of simulated nodes on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default=os.environ.get("SLUICE_LAB", "lab"), help="of the lab (default: %(default)s)")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name, function, text):
        made = verbs.add_parser(name, parents=[common], description=text, **({"help": text} if text else {}))
        made.set_defaults(function=function, verb=name)
        return made

    made = verb("up", up, "make a lab and wait until its nodes are ready")
    made.add_argument("--nodes", type=int, default=2, choices=range(1, 51), metavar="N")
    made.add_argument("--datapath", default="userspace", choices=["userspace", "afxdp", "kernel", "auto"])
    made.add_argument("--encapsulation", default="geneve", choices=["geneve", "vxlan", "none", "hybrid"])
    made.add_argument("--mtu", type=int, default=1500, help="of the underlay (default: %(default)s)")
    made.add_argument("--pod-mtu", type=int, default=0, help="of the pods, for sluiced (default: auto)")
    made.add_argument("--families", default="46", choices=["4", "6", "46"])
    made.add_argument("--subnets", type=int, default=0, choices=range(1, 9), metavar="N",
                      help="of the underlay; nodes take turns (default: 1, with hybrid 2)")
    made.add_argument("--manifests", metavar="DIR", help="objects to apply at once")
    made.add_argument("--kubernetes", action="store_true", help="real nodes: API server, kubelets, containerd (tests/k8s-rig)")
    made.add_argument("--kubeconfig", metavar="FILE", help="the objects are a real API server's, and the lab plays kubelet")
    made.add_argument("--via", metavar="HOST:PORT", help="with --kubeconfig: where each sluiced's connections go instead")
    made.add_argument("--log-level", default="", help="for sluiced --verbose")
    made.add_argument("--keep-failed", action="store_true", help="leave a lab that did not come up")

    made = verb("apply", apply, "write objects and start their pods")
    made.add_argument("-f", dest="files", action="append", required=True, metavar="FILE|DIR|-")
    made = verb("delete", delete, "delete objects and stop their pods")
    made.add_argument("-f", dest="files", action="append", default=[], metavar="FILE|DIR|-")
    made.add_argument("kind", nargs="?")
    made.add_argument("names", nargs="*", metavar="[NAMESPACE/]NAME")

    made = verb("exec", execute, "run a command on a node, in a pod or outside")
    made.add_argument("where", metavar="NODE|NAMESPACE/POD|outside")
    made.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    made = verb("kubectl", kubectl, "kubectl in a lab of real nodes")
    made.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")

    made = verb("probe", do_probe, "ask whether something answers: connected (and by whom), refused or dropped")
    made.add_argument("--from", dest="sender", metavar="NAMESPACE/POD|NODE|outside")
    made.add_argument("--to", metavar="NAMESPACE/POD|NODE|outside|service/NAMESPACE/NAME|ADDRESS")
    made.add_argument("--port", type=int)
    made.add_argument("--sport", type=int, help="port to ask from")
    made.add_argument("--protocol", default="tcp", choices=["tcp", "udp", "sctp", "icmp"])
    made.add_argument("--family", type=int, choices=[4, 6], help="which address of a pod or node (default: its first)")
    made.add_argument("--timeout", default="1s")
    made.add_argument("--batch", metavar="FILE|-", help="one JSON object a line in, one a line out")
    made.add_argument("--json", action="store_true")

    for name, function, text in (("restart", restart, "restart a daemon of a node"),
                                 ("stop", stop, "stop a daemon of a node"), ("start", start, "start it again")):
        made = verb(name, function, text)
        made.add_argument("node", metavar="NODE")
        made.add_argument("daemon", choices=DAEMONS)
        if name != "start":
            made.add_argument("--kill", action="store_true", help="by SIGKILL")
        if name == "restart":
            made.add_argument("--empty", action="store_true", help="ovsdb-server: with an empty database")

    made = verb("status", status, "what there is")
    made.add_argument("--json", action="store_true")
    made = verb("wait", wait, "wait until every node has realised what the manifests say")
    made.add_argument("--for", dest="condition", default="realized", choices=["ready", "realized"])
    made.add_argument("--timeout", default="30s")
    verb("agent", agent.main, None)      # Started by "up --kubeconfig".
    verb("down", down, "end everything of a lab, in whatever state it is")
    return top


def main():
    options = parser().parse_args()
    try:
        if os.geteuid() != 0:
            raise LabError("needs root: it makes network namespaces")
        lab = layout.Lab(options.name)
        if options.verb not in ("up", "down"):
            lab.load()
        if lab.options["kubernetes"]:
            return realnodes.call(lab, options) or 0
        return options.function(lab, options) or 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (LabError, OSError, ValueError) as error:
        for line in str(error).splitlines():
            note(line)
        return 1
    except KeyboardInterrupt:
        return 130
