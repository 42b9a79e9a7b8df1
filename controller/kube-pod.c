#include <config.h>

#include "controller/kube-decode.h"

#include <errno.h>
#include <string.h>

#include "util.h"

static int
decode_port(const json_t *json, struct kube_pod *pod, struct error *error)
{
    const char *name, *protocol;
    uint16_t number;

    if (!json_is_object(json)) {
        return error_set(error, EINVAL, "must be an object");
    }
    if (kube_get_string(json, "name", &name, error) || kube_get_string(json, "protocol", &protocol, error)
        || kube_get_port(json, "containerPort", &number, error)) {
        return EINVAL;
    }
    protocol = *protocol ? protocol : "TCP";
    if (!number) {
        return error_set(error, EINVAL, "containerPort: is missing");
    }
    if (strcmp(protocol, "TCP") && strcmp(protocol, "UDP") && strcmp(protocol, "SCTP")) {
        return error_set(error, EINVAL, "protocol: \"%.16s\" is not TCP, UDP or SCTP", protocol);
    }
    if (pod->n_ports >= KUBE_MAX_PORTS) {
        return error_set(error, EINVAL, "a pod has more than %d ports", KUBE_MAX_PORTS);
    }
    pod->ports = xrealloc(pod->ports, (pod->n_ports + 1) * sizeof *pod->ports);
    pod->ports[pod->n_ports++] = (struct kube_port) { xstrdup(name), xstrdup(protocol), number };
    return 0;
}

/* The ports of one list of containers.  Sidecars are init containers that stay, so their ports count. */
static int
decode_containers(const json_t *spec, const char *member, struct kube_pod *pod, struct error *error)
{
    const json_t *containers, *container, *ports, *port;
    size_t i, j;

    if (kube_get_array(spec, member, &containers, error)) {
        return EINVAL;
    }
    json_array_foreach (containers, i, container) {
        if (kube_get_array(container, "ports", &ports, error)) {
            error_wrap(error, "%s[%zu]", member, i);
            return EINVAL;
        }
        json_array_foreach (ports, j, port) {
            if (decode_port(port, pod, error)) {
                error_wrap(error, "%s[%zu].ports[%zu]", member, i, j);
                return EINVAL;
            }
        }
    }
    return 0;
}

static int
decode_spec(const json_t *spec, struct kube_pod *pod, struct error *error)
{
    const char *node;

    if (kube_get_string(spec, "nodeName", &node, error) || kube_get_bool(spec, "hostNetwork", &pod->host_network, error)) {
        return EINVAL;
    }
    if (*node && !kube_name_ok(node, true, 253)) {
        return error_set(error, EINVAL, "nodeName: \"%.64s\" is not a name that Kubernetes allows (RFC 1123)", node);
    }
    free(pod->node);
    pod->node = xstrdup(node);
    return decode_containers(spec, "containers", pod, error) || decode_containers(spec, "initContainers", pod, error)
           ? EINVAL : 0;
}

static int
add_address(struct kube_pod *pod, const char *text, struct error *error)
{
    return pod->n_addrs >= KUBE_MAX_ADDRS
           ? error_set(error, EINVAL, "more than %d addresses", KUBE_MAX_ADDRS)
           : inet_addr_parse(text, &pod->addrs[pod->n_addrs++], error);
}

/* status.phase, and status.podIPs or, where only that is given, status.podIP. */
static int
decode_status(const json_t *status, struct kube_pod *pod, struct error *error)
{
    const char *phase, *ip;
    const json_t *ips, *element;
    size_t i;

    if (kube_get_string(status, "phase", &phase, error) || kube_get_string(status, "podIP", &ip, error)
        || kube_get_array(status, "podIPs", &ips, error)) {
        return EINVAL;
    }
    pod->finished = !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
    json_array_foreach (ips, i, element) {
        const char *text;
        if (!json_is_object(element)) {
            return error_set(error, EINVAL, "podIPs[%zu]: must be an object", i);
        }
        if (kube_get_string(element, "ip", &text, error) || add_address(pod, text, error)) {
            error_wrap(error, "podIPs[%zu].ip", i);
            return EINVAL;
        }
    }
    if (!pod->n_addrs && *ip && add_address(pod, ip, error)) {
        error_wrap(error, "podIP");
        return EINVAL;
    }
    return 0;
}

int
kube_pod_decode(const json_t *json, struct kube_object *object, struct error *error)
{
    struct kube_pod *pod = CONTAINER_OF(object, struct kube_pod, object);
    const json_t *spec, *status;

    pod->node = xstrdup("");
    if (kube_get_object(json, "spec", &spec, error) || kube_get_object(json, "status", &status, error)) {
        return EINVAL;
    }
    if (spec && decode_spec(spec, pod, error)) {
        error_wrap(error, "spec");
        return EINVAL;
    }
    if (status && decode_status(status, pod, error)) {
        error_wrap(error, "status");
        return EINVAL;
    }
    return 0;
}

void
kube_pod_destroy(struct kube_object *object)
{
    struct kube_pod *pod = CONTAINER_OF(object, struct kube_pod, object);

    for (size_t i = 0; i < pod->n_ports; i++) {
        free(pod->ports[i].name);
        free(pod->ports[i].protocol);
    }
    free(pod->ports);
    free(pod->node);
}

static bool
ports_equal(const struct kube_pod *a, const struct kube_pod *b)
{
    if (a->n_ports != b->n_ports) {
        return false;
    }
    for (size_t i = 0; i < a->n_ports; i++) {
        if (strcmp(a->ports[i].name, b->ports[i].name) || strcmp(a->ports[i].protocol, b->ports[i].protocol)
            || a->ports[i].container_port != b->ports[i].container_port) {
            return false;
        }
    }
    return true;
}

bool
kube_pod_equal(const struct kube_object *a_, const struct kube_object *b_)
{
    const struct kube_pod *a = kube_pod_cast(a_), *b = kube_pod_cast(b_);

    return (!strcmp(a->node, b->node) && a->host_network == b->host_network && a->finished == b->finished
            && a->n_addrs == b->n_addrs && !memcmp(a->addrs, b->addrs, a->n_addrs * sizeof *a->addrs)
            && ports_equal(a, b));
}
