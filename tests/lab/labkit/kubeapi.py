"""A small client of the Kubernetes API: one object is one thread's, and keeps one connection.

Reads kubeconfigs (certificates and tokens, as files or data), speaks HTTP/1.1 with Python's http.client, decodes JSON."""
import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import tempfile
import time
import urllib.parse

import yaml

from .layout import LabError

TIMEOUT = 30
MERGE = "application/merge-patch+json"

# Kind: (group and version, resource, in a namespace).
RESOURCES = {
    "Namespace": ("v1", "namespaces", False), "Node": ("v1", "nodes", False), "Pod": ("v1", "pods", True),
    "Service": ("v1", "services", True), "ServiceAccount": ("v1", "serviceaccounts", True),
    "ConfigMap": ("v1", "configmaps", True), "Secret": ("v1", "secrets", True), "Event": ("v1", "events", True),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices", True),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "ServiceCIDR": ("networking.k8s.io/v1", "servicecidrs", False),
    "ClusterNetworkPolicy": ("policy.networking.k8s.io/v1alpha2", "clusternetworkpolicies", False),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "Role": ("rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Lease": ("coordination.k8s.io/v1", "leases", True),
    "Deployment": ("apps/v1", "deployments", True), "DaemonSet": ("apps/v1", "daemonsets", True),
}


class ApiError(LabError):
    def __init__(self, status, text, what):
        self.status = status
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            text = json.loads(text).get("message", text)
        super().__init__(f"{what}: {status}: {str(text).strip()[:400]}")


def resource_of(kind, version=None):
    """(path of the API group, resource, in a namespace) of a kind."""
    if kind not in RESOURCES:
        raise LabError(f"the lab does not know the resource of a {kind}")
    known, resource, namespaced = RESOURCES[kind]
    version = version or known
    return f"/api/{version}" if "/" not in version else f"/apis/{version}", resource, namespaced


def path_of(kind, namespace="", name="", version=None, sub=""):
    """With a namespace "" or None: the collection of all namespaces."""
    group, resource, namespaced = resource_of(kind, version)
    parts = [group]
    if namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [part for part in (resource, name, sub) if part]
    return "/".join(parts)


def path_of_item(item, sub=""):
    meta = item["metadata"]
    namespace = meta.get("namespace") or "default"
    return path_of(item["kind"], namespace, meta["name"], item.get("apiVersion"), sub)


class Kubeconfig:
    """The current context of a kubeconfig file."""

    def __init__(self, path):
        self.folder = os.path.dirname(os.path.realpath(path))
        try:
            with open(path) as file:
                config = yaml.safe_load(file)
            contexts, clusters, users = ({entry["name"]: entry[part] for entry in config.get(part + "s") or []}
                                         for part in ("context", "cluster", "user"))
            context = contexts[config["current-context"]]
            self.cluster, self.user = clusters[context["cluster"]], users[context["user"]]
            self.server = self.cluster["server"].rstrip("/")
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise LabError(f"{path} is no kubeconfig with a current context: {error!r}") from None
        url = urllib.parse.urlsplit(self.server)
        if url.scheme != "https" or not url.hostname:
            raise LabError(f"{path}: the server {self.server!r} is no https URL")
        self.host, self.port, self.prefix = url.hostname, url.port or 443, url.path
        self.server_name = self.cluster.get("tls-server-name") or self.host

    def file(self, name):
        return os.path.join(self.folder, name)

    def ca_pem(self):
        """Text of the certificates of those who may have signed the server's, or None."""
        return self._read(self.cluster, "certificate-authority")

    def _read(self, where, key):
        if where.get(key + "-data"):
            return base64.b64decode(where[key + "-data"]).decode()
        if where.get(key):
            with open(self.file(where[key])) as file:
                return file.read()
        return None

    def token(self):
        """Read each time: it may be renewed."""
        if self.user.get("token"):
            return self.user["token"]
        if self.user.get("tokenFile"):
            with open(self.file(self.user["tokenFile"])) as file:
                return file.read().strip()
        return None

    def context(self):
        made = ssl.create_default_context(cadata=self.ca_pem())
        certificate, key = (self._read(self.user, part) for part in ("client-certificate", "client-key"))
        if certificate:
            with tempfile.TemporaryDirectory() as folder:
                pair = [os.path.join(folder, name) for name in ("certificate", "key")]
                for path, text in zip(pair, (certificate, key), strict=True):
                    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                        file.write(text)
                made.load_cert_chain(*pair)
        return made


class _Connection(http.client.HTTPSConnection):
    """To the host of the kubeconfig, as the name in its certificate."""

    def __init__(self, config, context, timeout):
        super().__init__(config.host, config.port, context=context, timeout=timeout)
        self.config, self.tls = config, context

    def connect(self):
        raw = socket.create_connection((self.config.host, self.config.port), self.timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.tls.wrap_socket(raw, server_hostname=self.config.server_name)


class Client:
    def __init__(self, config):
        self.config = config if isinstance(config, Kubeconfig) else Kubeconfig(config)
        self.context = self.config.context()
        self.connection = None

    def another(self):
        """The same for another thread."""
        made = Client.__new__(Client)
        made.config, made.context, made.connection = self.config, self.context, None
        return made

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    # --- requests ---

    def request(self, method, path, body=None, content_type="application/json"):
        """The decoded answer; ApiError for any status but 2xx.  A kept connection that was closed meanwhile is opened again."""
        for attempt in (1, 2):
            fresh = self.connection is None
            try:
                response = self._send(method, path, body, content_type, TIMEOUT)
                data = response.read()
                break
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if fresh or attempt == 2:
                    raise LabError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if response.will_close:
            self.close()
        if response.status >= 300:
            raise ApiError(response.status, data, f"{method} {path}")
        return json.loads(data) if data else None

    def _send(self, method, path, body, content_type, timeout):
        if self.connection is None:
            self.connection = _Connection(self.config, self.context, timeout)
        headers = {"Accept": "application/json", "User-Agent": "sluice-lab"}
        token = self.config.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content_type
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, self.config.prefix + path, body, headers)
        return self.connection.getresponse()

    def get(self, kind, namespace="", name="", version=None):
        """An object, or None."""
        try:
            return self.request("GET", path_of(kind, namespace or "default", name, version))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind, namespace="", selector="", version=None):
        """(objects, resourceVersion) of a namespace or of all, in pages."""
        found, token = [], ""
        while True:
            query = {"limit": 500, **({"fieldSelector": selector} if selector else {}),
                     **({"continue": token} if token else {})}
            answer = self.request("GET", path_of(kind, namespace, version=version) + "?" + urllib.parse.urlencode(query))
            found += [{"apiVersion": answer["apiVersion"], "kind": kind, **item} for item in answer["items"]]
            token = answer["metadata"].get("continue")
            if not token:
                return found, answer["metadata"]["resourceVersion"]

    def create(self, item):
        meta = item["metadata"]
        return self.request("POST", path_of(item["kind"], meta.get("namespace") or "default",
                                            version=item.get("apiVersion")), item)

    def apply(self, item, manager="sluice-lab"):
        """Server-side apply: creates or changes.  Returns the object."""
        return self.request("PATCH", path_of_item(item) + f"?fieldManager={manager}&force=true", item,
                            "application/apply-patch+yaml")

    def merge(self, kind, namespace, name, patch, sub="", version=None):
        return self.request("PATCH", path_of(kind, namespace, name, version, sub), patch, MERGE)

    def delete(self, kind, namespace, name, grace=None, uid=None, version=None):
        """False if there was none."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", path_of(kind, namespace or "default", name, version), options)
            return True
        except ApiError as error:
            if error.status == 404 or uid and error.status == 409:
                return False
            raise

    def token_for(self, namespace, account, seconds=3600):
        """A token of a service account."""
        answer = self.request("POST", path_of("ServiceAccount", namespace, account, sub="token"), {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}})
        return answer["status"]["token"]

    # --- watch ---

    def watch(self, kind, resource_version, selector="", namespace="", seconds=300):
        """Events of one watch, (type, object), until the server ends it.  Uses a connection of its own."""
        query = {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": seconds, "allowWatchBookmarks": "true",
                 **({"fieldSelector": selector} if selector else {})}
        own = self.another()
        path = path_of(kind, namespace) + "?" + urllib.parse.urlencode(query)
        try:
            response = own._send("GET", path, None, "", seconds + 30)
            if response.status != 200:
                raise ApiError(response.status, response.read(), f"watch {path}")
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise LabError(f"watch {path}: {type(error).__name__}: {error}") from error
        finally:
            own.close()

    def until(self, kind, namespace, name, condition, seconds=60):
        """Waits for one object: until condition(object, or None when there is none) is true.  Gives its answer."""
        deadline = time.monotonic() + seconds
        while True:
            current = self.get(kind, namespace, name)
            found = condition(current)
            left = int(deadline - time.monotonic())
            if found:
                return found
            if left <= 0:
                raise LabError(f"{kind.lower()} {namespace}/{name}: not within {seconds} s")
            # An object that does not exist yet is watched from now on; it cannot have come since for long.
            version = current["metadata"]["resourceVersion"] if current else "0"
            for event, item in self.watch(kind, version, f"metadata.name={name}", namespace, min(left, 10)):
                if event not in ("BOOKMARK", "ERROR") and (found := condition(None if event == "DELETED" else item)):
                    return found
                if event == "ERROR":
                    break
