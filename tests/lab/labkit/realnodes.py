"""A lab of real nodes ("up --kubernetes"): tests/k8s-rig runs etcd, the control plane, containerd and kubelets; Sluice is their network.

The verbs of sluice-lab on top of the rig's.  Its files are not in the lab's directory: containers need a real file system."""
import json
import os
import subprocess

from . import layout
from .layout import LabError, build_dir, search_path

RIG = os.path.join(os.path.dirname(layout.HERE), "k8s-rig", "rig")
HOOK = os.path.join(os.path.dirname(RIG), "hooks", "sluice")


def directory(lab):
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "k8s-rig", f"lab-{lab.name}")


def command(lab, *argv):
    """Command line and environment of a rig command."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OVS_", "SLUICE_", "CNI_"))}
    options = lab.options
    return [RIG, *argv], {**kept, "K8S_RIG_STATE": directory(lab), "SLUICE_BUILD": build_dir() or "", "SLUICE_SOURCE": "kubernetes",
                          "SLUICE_DATAPATH": options["datapath"], "SLUICE_ENCAPSULATION": options["encapsulation"],
                          "SLUICE_LOG_LEVEL": options["log_level"],
                          "SLUICE_CONFIG": f"mtu: {options['pod_mtu']}" if options["pod_mtu"] else ""}


def rig(lab, *argv):
    argv, environment = command(lab, *argv)
    if subprocess.run(argv, env=environment, check=False).returncode:
        raise LabError(f"rig {' '.join(argv[1:])} failed")


def output(lab, *argv):
    argv, environment = command(lab, *argv)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(done.stderr.strip() or f"rig {' '.join(argv[1:])} failed")
    return done.stdout


def become(lab, *argv):
    argv, environment = command(lab, *argv)
    os.execve(argv[0], argv, environment)


def on_node(node, *argv):
    """The rig's command that runs argv on a node, where it finds the node's daemons."""
    return ["exec", node, "env", f"PATH={search_path()}", "OVS_RUNDIR=/run/openvswitch", "SLUICE_RUNDIR=/run/sluice",
            "SLUICE_CNI_CONF=/etc/cni/net.d/10-sluice.conflist", "CNI_PATH=/opt/cni/bin", *argv]


# --- verbs ---

def up(lab, options):
    if not os.path.exists(RIG):
        raise LabError("--kubernetes needs Sluice's source tree: there is no tests/k8s-rig")
    if options.kubeconfig or options.families != "46" or options.subnets > 1:
        raise LabError("--kubernetes goes neither with --kubeconfig nor with --families or --subnets")
    if not build_dir():
        raise LabError("--kubernetes needs a build tree: set SLUICE_BUILD")
    lab.options |= {"kubernetes": True, "nodes": options.nodes, "datapath": options.datapath, "mtu": options.mtu,
                    "encapsulation": options.encapsulation, "pod_mtu": options.pod_mtu, "log_level": options.log_level}
    lab.save()
    rig(lab, "up", f"--nodes={options.nodes}", f"--mtu={options.mtu}", "--hook", HOOK)
    if options.manifests:
        rig(lab, "kubectl", "apply", "-R", "-f", options.manifests)


def down(lab):
    """In any state, also if there is none."""
    if os.path.isdir(directory(lab)):
        rig(lab, "down")


def kubectl(lab, options):
    become(lab, "kubectl", *options.arguments)


def apply(lab, options):
    become(lab, "kubectl", "apply", *(part for file in options.files for part in ("-R", "-f", file)))


def delete(lab, options):
    become(lab, "kubectl", "delete", *(part for file in options.files for part in ("-R", "-f", file)),
           *([options.kind] if options.kind else []), *options.names)


def execute(lab, options):
    argv = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not argv:
        raise LabError("exec what? exec NODE|NAMESPACE/POD|outside -- COMMAND")
    namespace, slash, pod = options.where.rpartition("/")
    if slash:
        terminal = ["-t"] if os.isatty(0) and os.isatty(1) else []
        become(lab, "kubectl", "exec", "-i", *terminal, "-n", namespace, pod, "--", *argv)
    become(lab, *(on_node(options.where, *argv) if options.where in lab.nodes() else ["exec", options.where, *argv]))


def hook(lab, node, *argv):
    if node not in lab.nodes():
        raise LabError(f"there is no node {node!r}: {', '.join(lab.nodes())}")
    rig(lab, "exec", node, HOOK, *argv)


def restart(lab, options):
    if options.empty:
        raise LabError("--empty is not for real nodes")
    stop(lab, options)
    start(lab, options)


def stop(lab, options):
    hook(lab, options.node, "kill" if options.kill else "stop", options.daemon)


def start(lab, options):
    hook(lab, options.node, "start", options.daemon)


def wait(lab, options):
    for node in lab.nodes():
        rig(lab, *on_node(node, "sluicectl", "wait", "--for", options.condition, "--timeout", options.timeout.removesuffix("s")))


def status(lab, options):
    if not options.json:
        rig(lab, "status")
        become(lab, "kubectl", "get", "pods", "-A", "-o", "wide")
    nodes, pods = (json.loads(output(lab, "kubectl", "get", kind, "-A", "-o", "json"))["items"] for kind in ("nodes", "pods"))
    print(json.dumps({
        "name": lab.name, "directory": directory(lab), **{key: lab.options[key] for key in ("datapath", "encapsulation", "mtu")},
        "nodes": [{"name": node["metadata"]["name"], "podCIDRs": node["spec"].get("podCIDRs", []),
                   "ips": [entry["address"] for entry in node["status"].get("addresses", []) if entry["type"] == "InternalIP"]}
                  for node in nodes],
        "pods": [{"namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"],
                  "node": pod["spec"].get("nodeName"), "phase": pod["status"].get("phase"),
                  "ips": [entry["ip"] for entry in pod["status"].get("podIPs", [])]} for pod in pods]}, indent=1))


VERBS = {"kubectl": kubectl, "apply": apply, "delete": delete, "exec": execute, "restart": restart, "stop": stop, "start": start,
         "wait": wait, "status": status}


def call(lab, options):
    if options.verb not in VERBS:
        raise LabError(f"{options.verb} is not for real nodes; \"exec NAMESPACE/POD -- curl ...\" asks from a pod")
    return VERBS[options.verb](lab, options)
