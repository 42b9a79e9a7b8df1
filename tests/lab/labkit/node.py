"""One node: its ovsdb-server, ovs-vswitchd and sluiced, each in the node's namespace with directories of its own.

    NODE/ovs/     OVS's run, database and log directory
    NODE/run/     sluiced's run directory (cni.sock, sluiced.ctl)
    NODE/state/   sluiced's state
    NODE/log/     sluiced.log
    NODE/cni/     the CNI configuration list and the results that a runtime keeps"""
import contextlib
import os
import select
import signal
import socket
import subprocess
import time

from . import netns, procs
from .layout import LabError, build_dir, program, write_json, write_text

DAEMONS = ("ovsdb-server", "ovs-vswitchd", "sluiced")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Node:
    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.netns = lab.netns(name)

    # --- where ---

    def path(self, *parts):
        return self.lab.path(self.name, *parts)

    def pid_file(self, daemon):
        return self.path("run", "sluiced.pid") if daemon == "sluiced" else self.path("ovs", f"{daemon}.pid")

    def log_file(self, daemon):
        return self.path("log", "sluiced.log") if daemon == "sluiced" else self.path("ovs", f"{daemon}.log")

    def db(self):
        return "unix:" + self.path("ovs", "db.sock")

    def cni_conf(self):
        return self.path("cni", "sluice.conflist")

    def kubeconfig(self):
        """Of sluiced, with an API server as the source."""
        return self.path("sluiced.kubeconfig")

    def environment(self, **more):
        ovs = self.path("ovs")
        return procs.environment(self.lab, OVS_RUNDIR=ovs, OVS_DBDIR=ovs, OVS_LOGDIR=ovs, OVS_SYSCONFDIR=ovs,
                                 SLUICE_RUNDIR=self.path("run"), SLUICE_STATEDIR=self.path("state"),
                                 SLUICE_CNI_CONF=self.cni_conf(), SLUICE_NODE=self.name, CNI_PATH=cni_path(), **more)

    def run(self, argv, **options):
        return netns.call(self.netns, procs.run, argv, env=self.environment(), **options)

    # --- life ---

    def prepare(self):
        for part in ("ovs", "run", "state", "log", "cni/results"):
            os.makedirs(self.path(part), exist_ok=True)
        write_json(self.cni_conf(), {
            "cniVersion": "1.1.0", "name": "sluice",
            "plugins": [{"type": "ovs-cni", "socket": self.path("run", "cni.sock"),
                         "spool": self.path("state", "spool"),
                         "capabilities": {"ips": True, "mac": True, "portMappings": True}}]})
        write_text(self.path("sluiced.yaml"), self.sluiced_yaml())

    def sluiced_yaml(self):
        options = self.lab.options
        lines = {"node": self.name, "source": self.lab.manifests(), "datapath": options["datapath"],
                 "encapsulation": options["encapsulation"], "run-dir": self.path("run"),
                 "state-dir": self.path("state"), "ovsdb": self.db(), "ovs-rundir": self.path("ovs"),
                 "policy-log-file": self.path("log", "policy.log")}
        if options["kubeconfig"]:
            lines |= {"source": "kubernetes", "kubeconfig": self.kubeconfig()}
        if options["pod_mtu"]:
            lines["mtu"] = options["pod_mtu"]
        if options["service_cidrs"]:
            lines["service-cidrs"] = f"[{', '.join(options['service_cidrs'])}]"
        return "".join(f"{key}: {value}\n" for key, value in lines.items())

    def start(self, daemon):
        """Starts one daemon and returns when it says that it is there."""
        if self.pid(daemon):
            return
        {"ovsdb-server": self._start_ovsdb, "ovs-vswitchd": self._start_vswitchd,
         "sluiced": self._start_sluiced}[daemon]()

    def stop(self, daemon, kill=False):
        """Ends one daemon in its own way, or by SIGKILL; returns when it is gone."""
        pid = self.pid(daemon)
        if not pid:
            return
        if kill:
            gone = procs.end([pid])
        elif daemon == "sluiced":
            gone = procs.end([pid], signal.SIGTERM)
        else:
            with contextlib.suppress(LabError):     # It may close the connection before it has answered.
                self.run(["ovs-appctl", "-t", daemon, "exit"])
            gone = procs.end([pid], 0)
        if not gone:
            raise LabError(f"{daemon} of {self.name} does not end")

    def pid(self, daemon):
        return procs.pid_alive(self.pid_file(daemon), daemon)

    def wait(self, condition, seconds=30):
        """Until sluiced reports "ready" or "realized"; the error says what is missing."""
        self.run(["sluicectl", "-t", self.path("run"), "wait", "--for", condition, "--timeout", f"{seconds:g}"],
                 what=f"{self.name}: sluicectl wait --for {condition}")

    # --- the three daemons ---

    def _start_ovsdb(self):
        database = self.path("ovs", "conf.db")
        if not os.path.exists(database):
            self.run([program("ovsdb-tool"), "create", database, SCHEMA])
        self.run([program("ovsdb-server"), database, f"--remote=p{self.db()}", "--pidfile", "--detach", "--no-chdir",
                  "--log-file", "-vconsole:off", "-vsyslog:off"])
        # What ovs-ctl records on a real machine.
        version = procs.run([program("ovs-vswitchd"), "--version"]).split("\n", 1)[0].split()[-1]
        self.run(["ovs-vsctl", "--no-wait", "init", "--", "set", "Open_vSwitch", ".", f"ovs_version={version}",
                  f"external_ids:system-id={self.name}", f"external_ids:hostname={self.name}"])

    def _start_vswitchd(self):
        self.run([program("ovs-vswitchd"), self.db(), "--pidfile", "--detach", "--no-chdir", "--log-file",
                  "-vconsole:off", "-vsyslog:off"])

    def _start_sluiced(self):
        """sluiced reports with systemd's readiness protocol."""
        argv = [program("sluiced"), "--config", self.path("sluiced.yaml")]
        if self.lab.options["log_level"]:
            argv.append(f"--verbose={self.lab.options['log_level']}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            address = self.path("run", "notify")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            ready.bind(address)
            process = netns.call(self.netns, self._spawn, argv, self.log_file("sluiced"), NOTIFY_SOCKET=address)
            pid_fd = os.pidfd_open(process.pid)
            try:
                self._await_ready(process, ready, pid_fd)
            finally:
                os.close(pid_fd)

    def _await_ready(self, process, ready, pid_fd, seconds=60):
        waiting = select.poll()
        waiting.register(ready, select.POLLIN)
        waiting.register(pid_fd, select.POLLIN)
        deadline = time.monotonic() + seconds
        while True:
            events = dict(waiting.poll(max(0, (deadline - time.monotonic()) * 1000)))
            if ready.fileno() in events:
                if b"READY=1" in ready.recv(65536).split(b"\n"):
                    # Not our child's business any more: it is left to process 1.
                    process.returncode = 0
                    return
            elif pid_fd in events:
                process.wait()
                raise LabError(f"sluiced of {self.name} ended with {process.returncode}: {self.last_words()}")
            else:
                raise LabError(f"sluiced of {self.name} is not ready after {seconds} s: {self.last_words()}")

    def last_words(self):
        with contextlib.suppress(OSError), open(self.log_file("sluiced"), errors="replace") as file:
            return " / ".join(file.read().splitlines()[-3:])
        return "no log"

    def _spawn(self, argv, log, **more):
        with open(log, "ab") as out:
            return subprocess.Popen(argv, env=self.environment(**more), stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=out, start_new_session=True, cwd="/")


def cni_path():
    build = build_dir()
    return ":".join(([os.path.join(build, "ovs-cni")] if build else []) +
                    ["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"])
