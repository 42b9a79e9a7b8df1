"""What a cluster makes of Services, in a lab whose objects are a directory: the API server's allocation of addresses and ports, and
the EndpointSlices that the endpoint slice controller writes for Services with a selector.

Selector-less Services have the slices that the manifests give them.  The caller holds the store's lock."""
import hashlib
import ipaddress
import json

from .layout import LabError

SERVICE_CIDRS = ("10.96.0.0/16", "fd00:96::/112")
FIRST_ADDRESS = 20              # What is below is for those who want a certain one: the API server's, the DNS's.
NODE_PORTS = range(30000, 32768)
SLICE_MAX = 100
SERVICE_NAME, MANAGED_BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"
CONTROLLER, HEADLESS = "endpointslice-controller.k8s.io", "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


# --- what the API server does when a Service is applied ---

def allocate(store, service, before):
    """Fills in families, cluster addresses and ports; what the Service had before and does not give up stays."""
    spec = service.setdefault("spec", {})
    was = (before or {}).get("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    others = [other["spec"] for other in store.all("Service")
              if other["metadata"].get("uid") != service["metadata"]["uid"]]
    if kind == "ExternalName":
        return
    _allocate_addresses(store.lab, spec, was, others)
    _allocate_ports(spec, was, others)


def families_of(lab, spec):
    """[4], [6, 4] and so on, in the order of the Service."""
    given = [4 if family == "IPv4" else 6 for family in spec.get("ipFamilies") or []] or [
        ipaddress.ip_address(address).version for address in spec.get("clusterIPs") or [] if address != "None"]
    wanted = given or lab.families()[:1]
    policy = spec.get("ipFamilyPolicy") or ("RequireDualStack" if len(given) > 1 else "SingleStack")
    if policy == "SingleStack":
        return wanted[:1]
    wanted += [family for family in lab.families() if family not in wanted]
    if policy == "RequireDualStack" and len(wanted) < 2:
        raise LabError("a Service requires two families, and the lab has one")
    return wanted


def _allocate_addresses(lab, spec, was, others):
    given = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    spec["clusterIPs"] = given
    families = families_of(lab, spec)
    spec["ipFamilies"] = [f"IPv{family}" for family in families]
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if len(families) > 1 else "SingleStack")
    if given == ["None"]:
        spec["clusterIP"] = "None"
        return
    had = [address for address in (was.get("clusterIPs") or []) if address != "None"]
    taken = {address for other in others for address in other.get("clusterIPs") or []}
    found = []
    for family in families:
        mine = next((address for address in [*given, *had] if ipaddress.ip_address(address).version == family), None)
        if mine in taken:
            raise LabError(f"the address {mine} belongs to another Service")
        found.append(mine or _free_address(lab, family, taken))
    spec["clusterIP"], spec["clusterIPs"] = found[0], found


def _free_address(lab, family, taken):
    for cidr in map(ipaddress.ip_network, lab.options["service_cidrs"] or SERVICE_CIDRS):
        if cidr.version == family:
            for index in range(FIRST_ADDRESS, min(cidr.num_addresses - 1, 1 << 16)):
                if str(cidr[index]) not in taken:
                    return str(cidr[index])
    raise LabError(f"no IPv{family} address for a Service is left")


def _allocate_ports(spec, was, others):
    taken = {number for other in others for number in _numbers(other)}
    wants = spec["type"] == "NodePort" or spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        if not wants:
            continue
        had = next((old.get("nodePort") for old in was.get("ports") or []
                    if (old["port"], old["protocol"]) == (port["port"], port["protocol"])), None)
        port["nodePort"] = _take(port.get("nodePort") or had, taken, _numbers(spec))
    if spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
        spec["healthCheckNodePort"] = _take(spec.get("healthCheckNodePort") or was.get("healthCheckNodePort"), taken,
                                            _numbers(spec))


def _numbers(spec):
    return {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")} | {
        spec["healthCheckNodePort"] for _ in [0] if spec.get("healthCheckNodePort")}


def _take(wanted, taken, own):
    if wanted in taken:
        raise LabError(f"the node port {wanted} belongs to another Service")
    number = wanted or next((number for number in NODE_PORTS if number not in taken and number not in own), None)
    if not number:
        raise LabError("no node port is left")
    return number


# --- what the endpoint slice controller does ---

def reconcile(store, namespaces):
    """Writes the slices of these namespaces' Services anew where they differ, and takes away those that nobody wants."""
    zones = None
    for namespace in sorted(set(namespaces)):
        services = [item for item in store.all("Service", namespace) if (item.get("spec") or {}).get("selector")]
        old = {item["metadata"]["name"]: item for item in store.all("EndpointSlice", namespace)
               if item["metadata"].get("labels", {}).get(MANAGED_BY) == CONTROLLER}
        if services and zones is None:
            zones = {node["metadata"]["name"]: node["metadata"].get("labels", {}).get(ZONE) for node in store.all("Node")}
        pods = store.all("Pod", namespace) if services else []
        wanted = {made["metadata"]["name"]: made for service in services
                  if service["spec"]["type"] != "ExternalName" for made in slices_of(service, pods, zones)}
        for name, made in wanted.items():
            made["metadata"]["uid"] = old.get(name, {}).get("metadata", {}).get("uid") or made["metadata"]["uid"]
            if old.get(name) != made:
                store.put(made)
        for name in set(old) - set(wanted):
            store.remove("EndpointSlice", namespace, name)


def slices_of(service, pods, zones):
    """One for each family, for each way in which pods resolve the ports, and for each hundred endpoints."""
    spec = service["spec"]
    groups = {}
    for pod in pods:
        if not spec["selector"].items() <= (pod["metadata"].get("labels") or {}).items() or \
                pod.get("status", {}).get("phase") != "Running":
            continue
        ports = json.dumps(resolved_ports(spec, pod), sort_keys=True)
        for family in spec["ipFamilies"]:
            endpoint = endpoint_of(service, pod, family, zones)
            if endpoint:
                groups.setdefault((family, ports), []).append(endpoint)
    return [_slice(service, family, ports, number, endpoints[start:start + SLICE_MAX])
            for (family, ports), endpoints in sorted(groups.items(), key=lambda group: group[0])
            for number, start in enumerate(range(0, len(endpoints), SLICE_MAX))]


def resolved_ports(spec, pod):
    """The ports that this pod has; a named target port that it does not declare is left out."""
    declared = {(port.get("name"), port.get("protocol") or "TCP"): port["containerPort"]
                for container in pod["spec"].get("containers") or [] for port in container.get("ports") or []}
    found = []
    for port in spec.get("ports") or []:
        target, protocol = port.get("targetPort") or port["port"], port.get("protocol") or "TCP"
        number = declared.get((target, protocol)) if isinstance(target, str) else target
        if number:
            found.append({"name": port.get("name", ""), "protocol": protocol, "port": number})
    return found


def endpoint_of(service, pod, family, zones):
    """None if the pod has no address of the family."""
    address = next((entry["ip"] for entry in pod["status"].get("podIPs", []) if (":" in entry["ip"]) == (family == "IPv6")), None)
    if not address:
        return None
    spec, node = service["spec"], pod["spec"].get("nodeName")
    terminating = "deletionTimestamp" in pod["metadata"]
    serving = any(condition["type"] == "Ready" and condition["status"] == "True"
                  for condition in pod["status"].get("conditions", []))
    ready = bool(spec.get("publishNotReadyAddresses")) or serving and not terminating
    made = {"addresses": [address], "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            "nodeName": node, "targetRef": {"kind": "Pod", "namespace": pod["metadata"]["namespace"],
                                            "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}}
    zone, distribution = zones.get(node), spec.get("trafficDistribution")
    if zone:
        made["zone"] = zone
    hints = {}
    if ready and zone and distribution in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        hints["forZones"] = [{"name": zone}]
    if ready and distribution == "PreferSameNode":
        hints["forNodes"] = [{"name": node}]
    return {**made, "hints": hints} if hints else made


def _slice(service, family, ports, number, endpoints):
    meta = service["metadata"]
    labels = {**(meta.get("labels") or {}), SERVICE_NAME: meta["name"], MANAGED_BY: CONTROLLER}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    name = f"{meta['name']}-{family.lower()}-{hashlib.sha1(ports.encode()).hexdigest()[:6]}-{number}"
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels,
                         "uid": f"{meta['uid'][:24]}{hashlib.sha1(name.encode()).hexdigest()[:12]}"},
            "ports": json.loads(ports), "endpoints": endpoints}
