"""Kubernetes objects as kubectl takes them, and the lab's directory of manifests, sluiced's source.

One file for each object, KIND.NAMESPACE.NAME.json, written by rename.  The lab does here what the API server would do
on the way in: namespaces, UIDs, a Namespace's own label, statuses that survive another apply, addresses and ports of Services."""
import contextlib
import copy
import fcntl
import json
import os
import re
import uuid

import yaml

from . import services
from .layout import LabError, write_json

CLUSTER_SCOPED = {"Namespace", "Node", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
                  "CustomResourceDefinition", "ServiceCIDR"}
SHORT = {"po": "Pod", "pods": "Pod", "ns": "Namespace", "namespaces": "Namespace", "no": "Node", "nodes": "Node",
         "svc": "Service", "services": "Service", "netpol": "NetworkPolicy", "networkpolicies": "NetworkPolicy"}
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Times stay text, as in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def parse(text, name):
    """The objects of one file, Lists taken apart."""
    try:
        documents = list(yaml.load_all(text, _Loader))
    except yaml.YAMLError as error:
        raise LabError(f"{name}: {' '.join(str(error).split())}") from None
    found = []
    for document in documents:
        if document is None:
            continue
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
            found += [{"apiVersion": document.get("apiVersion", "v1"),
                       "kind": document["kind"].removesuffix("List"), **item} for item in document["items"]]
        else:
            found.append(document)
    return [check(item, name) for item in found]


def check(item, name):
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str) or \
            not isinstance(item.get("metadata"), dict):
        raise LabError(f"{name}: an object needs kind and metadata")
    meta, kind = item["metadata"], item["kind"]
    if kind not in CLUSTER_SCOPED:
        meta.setdefault("namespace", "default")
    for part in ("name", "namespace"):
        value = meta.get(part, "" if part == "name" else None)
        if value is not None and (not isinstance(value, str) or len(value) > 253 or not DNS_NAME.fullmatch(value)):
            raise LabError(f"{name}: {value!r} is no {part} of a {kind}")
    if not re.fullmatch(r"[A-Za-z]{1,63}", kind):
        raise LabError(f"{name}: {kind!r} is no kind")
    return item


def read_files(path, stdin):
    """The objects of a file, a folder at any depth, or "-"."""
    if path == "-":
        return parse(stdin.read(), "standard input")
    if not os.path.isdir(path):
        with open(path) as file:
            return parse(file.read(), path)
    found = []
    for top, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            if file.endswith((".yaml", ".yml", ".json")):
                found += read_files(os.path.join(top, file), stdin)
    return found


def key(item):
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def label(item):
    kind, namespace, name = key(item)
    return f"{kind.lower()} {namespace + '/' if namespace else ''}{name}"


def kind_of(word):
    return SHORT.get(word.lower()) or SHORT.get(word.lower() + "s") or word


class Store:
    """The lab's directory of manifests."""

    def __init__(self, lab):
        self.lab = lab

    @contextlib.contextmanager
    def locked(self):
        """One writer at a time: several applies may run."""
        with open(self.lab.path("lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def file(self, kind, namespace, name):
        return os.path.join(self.lab.manifests(), f"{kind.lower()}.{namespace}.{name}"[:240] + ".json")

    def get(self, kind, namespace, name):
        try:
            with open(self.file(kind, namespace, name)) as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def all(self, kind, namespace=None):
        prefix = kind.lower() + "." + (f"{namespace}." if namespace is not None else "")
        found = []
        for name in sorted(os.listdir(self.lab.manifests())):
            if name.startswith(prefix) and name.endswith(".json"):
                with contextlib.suppress(FileNotFoundError), open(os.path.join(self.lab.manifests(), name)) as file:
                    found.append(json.load(file))
        return found

    def put(self, item):
        write_json(self.file(*key(item)), item)

    def remove(self, kind, namespace, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file(kind, namespace, name))

    def admit(self, item):
        """What the API server makes of an object that is applied.  Returns it with "created", "configured" or "unchanged"."""
        kind, namespace, name = key(item)
        before = self.get(kind, namespace, name)
        item = copy.deepcopy(item)
        meta = item["metadata"]
        if namespace and not self.get("Namespace", "", namespace):
            self.put(self.admit({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})[0])
        if kind == "Namespace":
            meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = name
        if before:
            meta["uid"] = before["metadata"]["uid"]
            if "deletionTimestamp" in before["metadata"]:
                meta["deletionTimestamp"] = before["metadata"]["deletionTimestamp"]
            if "status" in before and not (kind == "Service" and "status" in item):
                item["status"] = before["status"]
            if kind in ("Pod", "Node"):
                item["spec"] = {**{field: value for field, value in before.get("spec", {}).items()
                                   if field in ("nodeName", "podCIDR", "podCIDRs")}, **(item.get("spec") or {})}
        else:
            meta.setdefault("uid", str(uuid.uuid4()))
        if kind == "Service":
            services.allocate(self, item, before)
        return item, "created" if not before else "unchanged" if before == item else "configured"
