#include <config.h>

#include "controller/kube-decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intern.h"
#include "util.h"

/* What is in a pod behind its head, while it is being read.  Strings are borrowed from the JSON. */
struct reading {
    const char *node;
    bool host_network, finished;
    struct in6_addr addrs[KUBE_MAX_ADDRS];
    size_t n_addrs;
    const char *ports[2 * KUBE_MAX_PORTS];      /* Names, and numbers as "TCP/80"; values of intern.h. */
    size_t n_ports;
};

static int
decode_port(const json_t *json, struct reading *pod, struct error *error)
{
    const char *name;
    uint8_t protocol;
    uint16_t number;

    if (kube_check_object(json, error) || kube_get_string(json, "name", &name, error)
        || kube_get_protocol(json, "protocol", &protocol, error)
        || kube_get_port(json, "containerPort", &number, error)) {
        return EINVAL;
    }
    if (!number) {
        return error_set(error, EINVAL, "containerPort: is missing");
    }
    if (!*name) {
        return 0;
    }
    if (!kube_port_name_ok(name)) {
        return error_set(error, EINVAL, "name: \"%.64s\" is not a name that Kubernetes allows for a port", name);
    }
    if (pod->n_ports >= KUBE_MAX_PORTS) {
        return error_set(error, EINVAL, "a pod has more than %d named ports", KUBE_MAX_PORTS);
    }

    char text[16];
    snprintf(text, sizeof text, "%s/%d", kube_protocol_name(protocol), number);
    pod->ports[2 * pod->n_ports] = intern_string(name);
    pod->ports[2 * pod->n_ports + 1] = intern_string(text);
    pod->n_ports++;
    return 0;
}

/* The ports of one list of containers.  Sidecars are init containers that stay, so their ports count. */
static int
decode_containers(const json_t *spec, const char *member, struct reading *pod, struct error *error)
{
    const json_t *containers, *container, *ports, *port;
    size_t i, j;

    if (kube_get_array(spec, member, &containers, error)) {
        return EINVAL;
    }
    json_array_foreach (containers, i, container) {
        if (kube_check_object(container, error) || kube_get_array(container, "ports", &ports, error)) {
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
decode_spec(const json_t *spec, struct reading *pod, struct error *error)
{
    if (kube_get_string(spec, "nodeName", &pod->node, error)
        || kube_get_bool(spec, "hostNetwork", &pod->host_network, error)) {
        return EINVAL;
    }
    if (*pod->node && !kube_name_ok(pod->node, true, 253)) {
        return error_set(error, EINVAL, "nodeName: \"%.64s\" is not a name that Kubernetes allows (RFC 1123)",
                         pod->node);
    }
    return decode_containers(spec, "containers", pod, error) || decode_containers(spec, "initContainers", pod, error)
           ? EINVAL : 0;
}

static int
add_address(struct reading *pod, const char *text, struct error *error)
{
    return pod->n_addrs >= KUBE_MAX_ADDRS
           ? error_set(error, EINVAL, "more than %d addresses", KUBE_MAX_ADDRS)
           : inet_addr_parse(text, &pod->addrs[pod->n_addrs++], error);
}

/* status.phase, and status.podIPs or, where only that is given, status.podIP. */
static int
decode_status(const json_t *status, struct reading *pod, struct error *error)
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
        if (kube_check_object(element, error)) {
            error_wrap(error, "podIPs[%zu]", i);
            return EINVAL;
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

static int
read_pod(const json_t *json, struct reading *pod, struct error *error)
{
    const json_t *spec, *status;

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

int
kube_pod_decode(const json_t *json, struct kube_meta *meta, struct kube_object **objectp, struct error *error)
{
    struct reading *r = xzalloc(sizeof *r);

    r->node = "";
    int retval = read_pod(json, r, error);
    if (!retval) {
        size_t size = offsetof(struct kube_pod, addrs) + r->n_addrs * sizeof *r->addrs;
        *objectp = kube_object_create(KUBE_POD, meta, size);

        struct kube_pod *pod = CONTAINER_OF(*objectp, struct kube_pod, object);
        pod->node = intern_string(r->node);
        pod->ports = r->n_ports ? intern_tuple(r->ports, 2 * r->n_ports) : NULL;
        pod->created = meta->created;
        pod->host_network = r->host_network;
        pod->finished = r->finished;
        pod->deleting = meta->deleting;
        pod->n_addrs = r->n_addrs;
        memcpy(pod->addrs, r->addrs, r->n_addrs * sizeof *r->addrs);
    } else {
        for (size_t i = 0; i < 2 * r->n_ports; i++) {
            intern_unref(r->ports[i]);
        }
    }
    free(r);
    return retval;
}

void
kube_pod_clear(struct kube_object *object)
{
    struct kube_pod *pod = CONTAINER_OF(object, struct kube_pod, object);

    intern_unref(pod->node);
    intern_unref(pod->ports);
}

void
kube_pod_share(struct kube_object *object, struct intern *pool)
{
    struct kube_pod *pod = CONTAINER_OF(object, struct kube_pod, object);

    pod->node = intern_share(pool, pod->node);
    pod->ports = intern_share(pool, pod->ports);
}

bool
kube_pod_equal(const struct kube_object *a_, const struct kube_object *b_)
{
    const struct kube_pod *a = kube_pod_cast(a_), *b = kube_pod_cast(b_);

    return (!strcmp(a->node, b->node) && a->created == b->created && a->host_network == b->host_network
            && a->finished == b->finished && a->deleting == b->deleting && a->n_addrs == b->n_addrs
            && !memcmp(a->addrs, b->addrs, a->n_addrs * sizeof *a->addrs) && intern_tuple_equal(a->ports, b->ports));
}

size_t
kube_pod_n_ports(const struct kube_pod *pod)
{
    return intern_tuple_size(pod->ports) / 2;
}

void
kube_pod_port(const struct kube_pod *pod, size_t i, struct kube_port *port)
{
    const char *number = pod->ports[2 * i + 1];

    ovs_strlcpy(port->name, pod->ports[2 * i], sizeof port->name);
    port->protocol = *number == 'T' ? IPPROTO_TCP : *number == 'U' ? IPPROTO_UDP : IPPROTO_SCTP;
    port->number = atoi(strchr(number, '/') + 1);
}

const char *
kube_pod_runtime_uid(const struct kube_pod *pod, char buf[KUBE_UID_STRLEN])
{
    const char *mirror = labels_get(pod->object.annotations, KUBE_ANNOTATION_MIRROR);
    return mirror ? mirror : kube_uid_format(&pod->object.uid, buf);
}
