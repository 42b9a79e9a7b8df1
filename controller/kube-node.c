#include <config.h>

#include "controller/kube-decode.h"

#include <errno.h>
#include <string.h>

#include "util.h"

/* What is in a node behind its head, while it is being read. */
struct reading {
    struct inet_prefix pod_cidrs[KUBE_MAX_CIDRS];
    struct in6_addr internal[KUBE_MAX_ADDRS], external[KUBE_MAX_ADDRS];
    size_t n_pod_cidrs, n_internal, n_external;
    bool tainted;                       /* With TAINT_TO_BE_DELETED. */
};

/* What the cluster autoscaler says before it removes a node; kube-proxy's healthz heeds it too (KEP-3836). */
#define TAINT_TO_BE_DELETED "ToBeDeletedByClusterAutoscaler"

static int
add_cidr(struct reading *node, const json_t *value, struct error *error)
{
    if (!json_is_string(value)) {
        return error_set(error, EINVAL, "must be a string");
    }
    if (node->n_pod_cidrs >= KUBE_MAX_CIDRS) {
        return error_set(error, EINVAL, "a node has at most one pod CIDR of each family");
    }

    struct inet_prefix *p = &node->pod_cidrs[node->n_pod_cidrs];
    int retval = inet_cidr_parse(json_string_value(value), p, error);
    if (retval) {
        return retval;
    }
    if (node->n_pod_cidrs && inet_is_v4(&node->pod_cidrs[0].addr) == inet_is_v4(&p->addr)) {
        return error_set(error, EINVAL, "a node has at most one pod CIDR of each family");
    }
    node->n_pod_cidrs++;
    return 0;
}

static int
decode_taints(const json_t *spec, struct reading *node, struct error *error)
{
    const json_t *taints, *taint;
    const char *key;
    size_t i;

    if (kube_get_array(spec, "taints", &taints, error)) {
        return EINVAL;
    }
    json_array_foreach (taints, i, taint) {
        if (kube_check_object(taint, error) || kube_get_string(taint, "key", &key, error)) {
            error_wrap(error, "spec.taints[%zu]", i);
            return EINVAL;
        }
        node->tainted |= !strcmp(key, TAINT_TO_BE_DELETED);
    }
    return 0;
}

/* spec.podCIDRs, or spec.podCIDR where only that is given. */
static int
decode_spec(const json_t *spec, struct reading *node, struct error *error)
{
    const json_t *cidrs, *cidr;
    size_t i;

    if (kube_get_array(spec, "podCIDRs", &cidrs, error)) {
        return EINVAL;
    }
    json_array_foreach (cidrs, i, cidr) {
        if (add_cidr(node, cidr, error)) {
            error_wrap(error, "spec.podCIDRs[%zu]", i);
            return EINVAL;
        }
    }
    cidr = json_object_get(spec, "podCIDR");
    if (!node->n_pod_cidrs && cidr && !json_is_null(cidr) && add_cidr(node, cidr, error)) {
        error_wrap(error, "spec.podCIDR");
        return EINVAL;
    }
    return 0;
}

static int
decode_address(const json_t *address, struct reading *node, struct error *error)
{
    const char *type, *text;

    if (kube_check_object(address, error) || kube_get_string(address, "type", &type, error)
        || kube_get_string(address, "address", &text, error)) {
        return EINVAL;
    }

    bool internal = !strcmp(type, "InternalIP");
    size_t *n = internal ? &node->n_internal : &node->n_external;
    if (!internal && strcmp(type, "ExternalIP")) {
        return 0;
    }
    if (*n >= KUBE_MAX_ADDRS) {
        return error_set(error, EINVAL, "more than %d addresses", KUBE_MAX_ADDRS);
    }
    return inet_addr_parse(text, &(internal ? node->internal : node->external)[(*n)++], error);
}

static int
read_node(const json_t *json, struct reading *node, struct error *error)
{
    const json_t *spec, *status, *addresses = NULL, *address;
    size_t i;

    if (kube_get_object(json, "spec", &spec, error) || kube_get_object(json, "status", &status, error)
        || (spec && (decode_spec(spec, node, error) || decode_taints(spec, node, error)))
        || (status && kube_get_array(status, "addresses", &addresses, error))) {
        return EINVAL;
    }
    json_array_foreach (addresses, i, address) {
        if (decode_address(address, node, error)) {
            error_wrap(error, "status.addresses[%zu]", i);
            return EINVAL;
        }
    }
    return 0;
}

int
kube_node_decode(const json_t *json, struct kube_meta *meta, struct kube_object **objectp, struct error *error)
{
    struct reading r = { .n_internal = 0 };
    int retval = read_node(json, &r, error);
    if (retval) {
        return retval;
    }

    size_t n = r.n_internal + r.n_external;
    *objectp = kube_object_create(KUBE_NODE, meta, offsetof(struct kube_node, addrs) + n * sizeof(struct in6_addr));

    struct kube_node *node = CONTAINER_OF(*objectp, struct kube_node, object);
    memcpy(node->pod_cidrs, r.pod_cidrs, sizeof node->pod_cidrs);
    node->created = meta->created;
    node->going = meta->deleting || r.tainted;
    node->n_pod_cidrs = r.n_pod_cidrs;
    node->n_addrs = r.n_internal;
    node->n_external = r.n_external;
    memcpy(node->addrs, r.internal, r.n_internal * sizeof *node->addrs);
    memcpy(node->addrs + r.n_internal, r.external, r.n_external * sizeof *node->addrs);
    return 0;
}

bool
kube_node_equal(const struct kube_object *a_, const struct kube_object *b_)
{
    const struct kube_node *a = kube_node_cast(a_), *b = kube_node_cast(b_);
    size_t n = a->n_addrs + a->n_external;

    if (a->created != b->created || a->going != b->going || a->n_pod_cidrs != b->n_pod_cidrs) {
        return false;
    }
    for (size_t i = 0; i < a->n_pod_cidrs; i++) {       /* One by one: an inet_prefix has padding. */
        if (!inet_prefix_equals(&a->pod_cidrs[i], &b->pod_cidrs[i])) {
            return false;
        }
    }
    return (a->n_addrs == b->n_addrs && a->n_external == b->n_external
            && !memcmp(a->addrs, b->addrs, n * sizeof *a->addrs));
}
