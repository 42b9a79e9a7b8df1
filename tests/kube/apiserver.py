"""A real API server for tests: the control plane of tests/k8s-rig without nodes, on the host's loopback.

    with apiserver.Cluster() as cluster:
        client = cluster.client()                       # labkit.kubeapi.Client, as administrator
        cluster.create_all(objects)                     # thousands in seconds
        kubeconfig = cluster.account()                  # of the service account in deploy/rbac.yaml
        with cluster.proxy(tls=True) as proxy: ...      # see proxy.py; proxy.kubeconfig(kubeconfig) goes through it

Each cluster has a state directory and ports of its own; nothing is left of it."""
import base64
import concurrent.futures
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "lab"))
from labkit import kubeapi, objects  # noqa: E402
from labkit.layout import LabError, write_text  # noqa: E402

import proxy as proxy_module  # noqa: E402

RIG = os.path.join(TOP, "tests", "k8s-rig", "rig")
RBAC = os.path.join(TOP, "deploy", "rbac.yaml")
BIN = os.environ.get("K8S_RIG_BIN") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "k8s-rig", "bin")
WORKERS = 8


def missing():
    """Why there can be no cluster here, or None."""
    needed = [name for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", ".built/images")
              if not os.path.exists(os.path.join(BIN, name))]
    return f"{BIN} lacks {', '.join(needed)}; tests/k8s-rig/build.sh makes them" if needed else None


class Cluster:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-api-", dir="/tmp")
        self.state = os.path.join(self.folder, "rig")
        self.stopped = {}       # Name: (argv, environment) of what was stopped.
        self.proxies = 0

    def __enter__(self):
        try:
            self.rig("up", "--nodes", "0")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.rig("down", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def rig(self, *argv, check=True, timeout=180):
        done = subprocess.run([RIG, *argv], env={**os.environ, "K8S_RIG_STATE": self.state}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"rig {' '.join(argv)}: {done.stdout}{done.stderr}{self.last_words()}")
        return done.stdout

    def kubectl(self, *argv, stdin=None, check=True):
        done = subprocess.run([os.path.join(BIN, "kubectl"), "--kubeconfig", self.admin(), *argv], input=stdin, text=True,
                              capture_output=True, timeout=60, env={**os.environ, "NO_PROXY": "*"})
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout

    def establish(self, path):
        """Creates the kind of that file, and waits until it is served.  Not --for=condition: that fails while there is no condition."""
        self.kubectl("create", "-f", path)
        self.kubectl("wait", '--for=jsonpath={.status.conditions[?(@.type=="Established")].status}=True', "--timeout=60s", "-f", path)

    def last_words(self, lines=8):
        found = ""
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(self.path("log"))):
                with open(self.path("log", name), errors="replace") as log:
                    found += f"\n--- {name}\n" + "".join(log.readlines()[-lines:])
        return found

    # --- where ---

    def path(self, *parts):
        return os.path.join(self.state, *parts)

    def admin(self):
        return self.path("admin.kubeconfig")

    def config(self):
        return kubeapi.Kubeconfig(self.admin())

    def client(self):
        return kubeapi.Client(self.admin())

    # --- objects ---

    def create_all(self, items):
        """In threads, each with a connection; in no order.  About a thousand a second."""
        def some(part):
            client = self.client()
            try:
                return [client.create(item) for item in part]
            finally:
                client.close()
        return self._in_threads(some, items)

    def delete_all(self, items):
        def some(part):
            client = self.client()
            try:
                for item in part:
                    client.delete(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"], grace=0)
                return []
            finally:
                client.close()
        self._in_threads(some, items)

    @staticmethod
    def _in_threads(function, items):
        items = list(items)
        parts = [part for part in (items[index::WORKERS] for index in range(WORKERS)) if part]
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            return [made for part in pool.map(function, parts) for made in part]

    # --- the service account ---

    def account(self):
        """Applies deploy/rbac.yaml.  Returns the path of a kubeconfig with a token of its service account, in a file."""
        with open(RBAC) as file:
            items = objects.parse(file.read(), RBAC)
        client = self.client()
        # Not server-side apply for the namespace: it is there already when it is kube-system.
        for item in sorted(items, key=lambda item: item["kind"] != "Namespace"):
            client.apply(item)
        account = next(item["metadata"] for item in items if item["kind"] == "ServiceAccount")
        token = os.path.join(self.folder, "token")
        write_text(token, client.token_for(account["namespace"], account["name"]))
        client.close()
        return self.kubeconfig("sluiced", {"tokenFile": token})

    def new_token(self, seconds=3600):
        with open(RBAC) as file:
            account = next(item["metadata"] for item in objects.parse(file.read(), RBAC) if item["kind"] == "ServiceAccount")
        return self.client().token_for(account["namespace"], account["name"], seconds)

    def kubeconfig(self, name, user, port=None):
        """Writes one, for this user, through the proxy on 'port' or straight."""
        config = self.config()
        path = os.path.join(self.folder, f"{name}-{port or 'direct'}.kubeconfig")
        write_text(path, json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": f"https://{config.host}:{port or config.port}",
                "certificate-authority-data": base64.b64encode(config.ca_pem().encode()).decode()}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}]}))
        return path

    # --- the proxy ---

    @contextlib.contextmanager
    def proxy(self, tls=False):
        """A proxy before the API server.  Gives its Control, with the port and kubeconfig(PATH), the same user's way through it."""
        config = self.config()
        self.proxies += 1
        control = os.path.join(self.folder, f"proxy-{self.proxies}")
        spec = {"name": "api", "to": f"{config.host}:{config.port}"}
        if tls:
            spec["tls"] = [self.path("pki", name) for name in ("apiserver.crt", "apiserver.key", "ca.crt")]
        process = subprocess.Popen([sys.executable, "-B", proxy_module.__file__, "--control", control, "--relay", json.dumps(spec)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            line = process.stdout.readline()
            if not line:
                raise AssertionError("the proxy did not start")
            with contextlib.closing(proxy_module.Control(control)) as made:
                made.port = json.loads(line)["api"]
                made.kubeconfig = lambda path: self._through(path, made.port)
                yield made
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def _through(self, path, port):
        with open(path) as file:
            user = yaml.safe_load(file)["users"][0]
        return self.kubeconfig(user["name"], user["user"], port)

    # --- stop, start ---

    def _find(self, name):
        """Pid, command line and environment of a daemon of the rig."""
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if not entry.isdigit() or os.path.basename(os.readlink(f"/proc/{entry}/exe")) != name:
                    continue
                with open(f"/proc/{entry}/environ", "rb") as file:
                    environment = dict(item.split(b"=", 1) for item in file.read().split(b"\0") if b"=" in item)
                if environment.get(b"K8S_RIG_MEMBER") == os.path.realpath(self.state).encode():
                    with open(f"/proc/{entry}/cmdline", "rb") as file:
                        return int(entry), file.read().rstrip(b"\0").split(b"\0"), environment
        raise AssertionError(f"{name} does not run")

    def stop(self, name, how=signal.SIGKILL):
        """Returns when it has ended.  By SIGTERM an API server takes a minute."""
        pid, *self.stopped[name] = self._find(name)
        with open(os.pidfd_open(pid)) as descriptor:
            signal.pidfd_send_signal(descriptor.fileno(), how)
            if not select.select([descriptor], [], [], 60)[0]:
                raise AssertionError(f"{name} does not end")

    def start(self, name, *more):
        """Once more as it was, with these options in addition; returns when it answers."""
        argv, environment = self.stopped.pop(name)
        argv = [argument.decode() for argument in argv]
        argv = [argument for argument in argv if argument.split("=")[0] not in [new.split("=")[0] for new in more]]
        with open(self.path("log", name + ".log"), "ab") as log:
            process = subprocess.Popen([*argv, *more], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        process.returncode = 0          # "rig down" ends it.
        self.await_ready(name)

    def await_ready(self, name, seconds=60):
        config = self.config()
        if name == "etcd":
            url, context = self.etcd() + "/health", None
        elif name == "kube-apiserver":
            url, context = f"{config.server}/readyz", config.context()
        else:
            return
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *(
            [urllib.request.HTTPSHandler(context=context)] if context else []))
        deadline = time.monotonic() + seconds
        while True:
            try:
                with opener.open(url, timeout=5):
                    return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{name} does not answer: {error}{self.last_words()}") from error
            time.sleep(0.1)

    def restart(self, name, *more, how=signal.SIGKILL):
        self.stop(name, how)
        self.start(name, *more)

    # --- etcd ---

    def etcd(self):
        argv = self.stopped["etcd"][0] if "etcd" in self.stopped else self._find("etcd")[1]
        return next(argument.split(b"=", 1)[1].decode() for argument in argv if argument.startswith(b"--listen-client-urls="))

    def etcd_call(self, what, body):
        request = urllib.request.Request(f"{self.etcd()}/v3/kv/{what}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def revision(self):
        key = base64.b64encode(b"none").decode()
        return int(self.etcd_call("range", {"key": key})["header"]["revision"])

    def compact(self):
        """Forgets all revisions before the newest: who reads older ones gets 410, unless the API server has them in its watch
        cache (start it with --watch-cache=false)."""
        now = self.revision()
        self.etcd_call("compaction", {"revision": str(now), "physical": True})
        return now

    def backup(self):
        """Copies etcd's data as they are now; the API server waits meanwhile.  For restore()."""
        self.stop("etcd")
        target = os.path.join(self.folder, "backup")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.path("etcd"), target)
        self.start("etcd")
        self.await_ready("kube-apiserver")

    def restore(self):
        """Back to the copy: resourceVersions go backwards.  The API server starts anew with it, as the documentation asks."""
        self.stop("kube-apiserver")
        self.stop("etcd")
        shutil.rmtree(self.path("etcd"))
        shutil.copytree(os.path.join(self.folder, "backup"), self.path("etcd"))
        self.start("etcd")
        self.start("kube-apiserver")


__all__ = ["Cluster", "LabError", "missing", "kubeapi"]
