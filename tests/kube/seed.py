#!/usr/bin/python3 -B
"""Fills a control plane without kubelets with objects, by writing them where the API server keeps them.

    seed.py URL [--nodes 1000] [--namespaces 5000] [--pods 50000] [--services 2000]

URL is that of the etcd of a rig (tests/k8s-rig, "up --nodes 0"; apiserver.py), whose controller manager must be stopped: it would take nodes
without a kubelet for dead and evict their pods.  Objects go to etcd through its own gateway, 100 in a transaction: through the API
server 60,000 of them take minutes.  The API server reads them like its own, and answers lists and watches of them as always.

The objects look like a cluster's: pods of Deployments of 20 over all nodes, a tenth of them of StatefulSets, with the spec, status and
managedFields that a real API server and kubelet leave (some 6 KB each); two addresses each; a Service with its slice for each
Deployment as far as they go."""
import argparse
import base64
import hashlib
import http.client
import ipaddress
import json
import sys
import time

BATCH = 100
TIME = "2026-01-01T00:00:00Z"
ZONES = ("zone-a", "zone-b", "zone-c")


def uid(text):
    digest = hashlib.md5(text.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], "4" + digest[13:16], "8" + digest[17:20], digest[20:]))


def tag(text, length):
    """What Kubernetes puts behind generated names."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(alphabet[byte % len(alphabet)] for byte in hashlib.sha256(text.encode()).digest()[:length])


class Etcd:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"))
        self.operations = []

    def put(self, key, value):
        self.operations.append({"requestPut": {"key": base64.b64encode(f"/registry/{key}".encode()).decode(),
                                               "value": base64.b64encode(json.dumps(value).encode()).decode()}})
        if len(self.operations) == BATCH:
            self.flush()

    def flush(self):
        if not self.operations:
            return
        self.connection.request("POST", "/v3/kv/txn", json.dumps({"success": self.operations}),
                                {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"etcd: {response.status} {answer[:200]}")
        self.operations = []


def metadata(kind, namespace, name, **more):
    result = {"name": name, "uid": uid(f"{kind}/{namespace}/{name}"), "creationTimestamp": TIME}
    if namespace:
        result["namespace"] = namespace
    return {**result, **more}


def node_name(index):
    return f"scale-{index:04}"


def node_addresses(index):
    """Of a node: its own, and the pods'; far from what a lab uses."""
    return (str(ipaddress.ip_address("10.64.0.1") + index), str(ipaddress.ip_address("fd00:64::1") + index),
            f"10.{160 + index // 256}.{index % 256}.0/24", f"fd00:160:0:{index:x}::/64")


def node(index):
    name, (ip4, ip6, cidr4, cidr6) = node_name(index), node_addresses(index)
    zone = ZONES[index % len(ZONES)]
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": metadata("Node", "", name, labels={
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": zone, "node.kubernetes.io/instance-type": "m5.2xlarge"}),
            "spec": {"podCIDR": cidr4, "podCIDRs": [cidr4, cidr6]},
            "status": {"addresses": [{"type": "InternalIP", "address": ip4}, {"type": "InternalIP", "address": ip6},
                                     {"type": "Hostname", "address": name}],
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                                       "lastHeartbeatTime": TIME, "lastTransitionTime": TIME}],
                       "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
                       "images": [{"names": [f"registry.example/app-{i}@sha256:{hashlib.sha256(str(i).encode()).hexdigest()}",
                                             f"registry.example/app-{i}:v1"], "sizeBytes": 100000000 + i} for i in range(30)]}}


def namespace(index):
    name = f"team-{index:04}"
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": metadata("Namespace", "", name, labels={"kubernetes.io/metadata.name": name,
                                                                "tenant": f"tenant-{index % 50}", "stage": "production"}),
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def managed_fields(manager, paths):
    fields = {}
    for path in paths:
        at = fields
        for part in path.split("/"):
            at = at.setdefault(part, {})
    return {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": TIME, "fieldsType": "FieldsV1", "fieldsV1": fields}


SPEC_FIELDS = [f"f:spec/f:containers/k:{{\"name\":\"app\"}}/f:{field}" for field in (
    "image", "imagePullPolicy", "name", "ports", "resources", "terminationMessagePath", "terminationMessagePolicy", "env",
    "livenessProbe", "readinessProbe", "volumeMounts", "securityContext")] + [f"f:spec/f:{field}" for field in (
        "dnsPolicy", "enableServiceLinks", "restartPolicy", "schedulerName", "securityContext", "terminationGracePeriodSeconds")] + [
            "f:metadata/f:generateName", "f:metadata/f:labels/f:app", "f:metadata/f:labels/f:pod-template-hash", "f:metadata/f:ownerReferences"]
STATUS_FIELDS = [f"f:status/f:conditions/k:{{\"type\":\"{kind}\"}}/f:{field}" for kind in (
    "ContainersReady", "Initialized", "Ready", "PodReadyToStartContainers") for field in (
        "lastProbeTime", "lastTransitionTime", "status", "type")] + [f"f:status/f:{field}" for field in (
            "containerStatuses", "hostIP", "hostIPs", "phase", "podIP", "podIPs", "startTime")]


def container(app):
    probe = {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
             "successThreshold": 1, "failureThreshold": 3}
    return {"name": "app", "image": f"registry.example/{app}:v1",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                      {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
            "env": [{"name": f"SETTING_{i}", "value": f"value-{i}"} for i in range(6)],
            "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "volumeMounts": [{"name": "kube-api-access", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            "livenessProbe": probe, "readinessProbe": probe, "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent", "securityContext": {"allowPrivilegeEscalation": False}}


def pod_identity(index, namespaces):
    """(namespace, application, name, labels, owner) of pod 'index'."""
    group = index // 20
    app, space = f"app-{group}", f"team-{group % namespaces:04}"
    if group % 10 == 9:
        name = f"{app}-{index % 20}"
        return space, app, name, {"app": app, "apps.kubernetes.io/pod-index": str(index % 20), "controller-revision-hash": tag(app, 9),
                                  "statefulset.kubernetes.io/pod-name": name}, ("StatefulSet", app)
    replica_set = f"{app}-{tag(app, 9)}"
    return space, app, f"{replica_set}-{tag(str(index), 5)}", {"app": app, "pod-template-hash": tag(app, 9), "tier": "backend"}, (
        "ReplicaSet", replica_set)


def pod_addresses(index, nodes):
    on, nth = index % nodes, 2 + index // nodes
    _, _, cidr4, cidr6 = node_addresses(on)
    return on, str(ipaddress.ip_network(cidr4)[nth]), str(ipaddress.ip_network(cidr6)[nth])


def pod(index, nodes, namespaces):
    space, app, name, labels, (owner_kind, owner) = pod_identity(index, namespaces)
    on, ip4, ip6 = pod_addresses(index, nodes)
    host4, host6 = node_addresses(on)[:2]
    conditions = [{"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": TIME} for kind in (
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")]
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": metadata("Pod", space, name, generateName=f"{owner}-", labels=labels,
                                 annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
                                 ownerReferences=[{"apiVersion": "apps/v1", "kind": owner_kind, "name": owner,
                                                   "uid": uid(owner), "controller": True, "blockOwnerDeletion": True}],
                                 managedFields=[managed_fields("kube-controller-manager", SPEC_FIELDS),
                                                {**managed_fields("kubelet", STATUS_FIELDS), "subresource": "status"}]),
            "spec": {"nodeName": node_name(on), "containers": [container(app)], "restartPolicy": "Always",
                     "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
                     "serviceAccount": "default", "securityContext": {}, "schedulerName": "default-scheduler",
                     "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
                     "tolerations": [{"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute",
                                      "tolerationSeconds": 300} for key in ("not-ready", "unreachable")],
                     "volumes": [{"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
                         {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                         {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}]},
            "status": {"phase": "Running", "hostIP": host4, "hostIPs": [{"ip": host4}, {"ip": host6}], "podIP": ip4,
                       "podIPs": [{"ip": ip4}, {"ip": ip6}], "startTime": TIME, "qosClass": "Burstable", "conditions": conditions,
                       "containerStatuses": [{"name": "app", "state": {"running": {"startedAt": TIME}}, "lastState": {},
                                              "ready": True, "restartCount": 0, "image": f"registry.example/{app}:v1",
                                              "imageID": f"registry.example/{app}@sha256:{hashlib.sha256(app.encode()).hexdigest()}",
                                              "containerID": f"containerd://{hashlib.sha256(name.encode()).hexdigest()}",
                                              "started": True}]}}


def service(index, namespaces):
    app, space = f"app-{index}", f"team-{index % namespaces:04}"
    ip4, ip6 = str(ipaddress.ip_address("10.96.64.0") + index), str(ipaddress.ip_address("fd00:96::4000") + index)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata("Service", space, app, labels={"app": app}),
            "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}], "selector": {"app": app},
                     "clusterIP": ip4, "clusterIPs": [ip4, ip6], "type": "ClusterIP", "sessionAffinity": "None",
                     "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack", "internalTrafficPolicy": "Cluster"},
            "status": {"loadBalancer": {}}}


def endpoint_slice(index, family, pods, nodes, namespaces):
    app, space = f"app-{index}", f"team-{index % namespaces:04}"
    endpoints = []
    for number in range(20 * index, min(20 * index + 20, pods)):
        name, (on, *ips) = pod_identity(number, namespaces)[2], pod_addresses(number, nodes)
        endpoints.append({"addresses": [ips[family]], "conditions": {"ready": True, "serving": True, "terminating": False},
                          "nodeName": node_name(on), "zone": ZONES[on % len(ZONES)],
                          "targetRef": {"kind": "Pod", "namespace": space, "name": name, "uid": uid(f"Pod/{space}/{name}")}})
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": ("IPv4", "IPv6")[family],
            "metadata": metadata("EndpointSlice", space, f"{app}-{'v4' if not family else 'v6'}", generateName=f"{app}-",
                                 labels={"kubernetes.io/service-name": app, "app": app}),
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}], "endpoints": endpoints}


def seed(etcd, nodes, namespaces, pods, services):
    for index in range(nodes):
        etcd.put(f"minions/{node_name(index)}", node(index))
    for index in range(namespaces):
        item = namespace(index)
        etcd.put(f"namespaces/{item['metadata']['name']}", item)
    for index in range(pods):
        item = pod(index, nodes, namespaces)
        etcd.put(f"pods/{item['metadata']['namespace']}/{item['metadata']['name']}", item)
    for index in range(services):
        for key, item in [("services/specs", service(index, namespaces)),
                          *(("endpointslices", endpoint_slice(index, family, pods, nodes, namespaces)) for family in (0, 1))]:
            etcd.put(f"{key}/{item['metadata']['namespace']}/{item['metadata']['name']}", item)
    etcd.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    for name, default in (("nodes", 1000), ("namespaces", 5000), ("pods", 50000), ("services", 2000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    began = time.monotonic()
    seed(Etcd(args.url), args.nodes, args.namespaces, args.pods, args.services)
    print(f"{args.nodes} nodes, {args.namespaces} namespaces, {args.pods} pods, {args.services} Services in "
          f"{time.monotonic() - began:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
