#include <config.h>

#include "controller/kube-decode.h"

#include <errno.h>
#include <string.h>

static int
add_cidr(struct kube_node *node, const json_t *value, struct error *error)
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

/* spec.podCIDRs, or spec.podCIDR where only that is given. */
static int
decode_spec(const json_t *spec, struct kube_node *node, struct error *error)
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
decode_address(const json_t *address, struct kube_node *node, struct error *error)
{
    const char *type, *text;

    if (!json_is_object(address)) {
        return error_set(error, EINVAL, "must be an object");
    }
    if (kube_get_string(address, "type", &type, error) || kube_get_string(address, "address", &text, error)) {
        return EINVAL;
    }
    if (strcmp(type, "InternalIP")) {
        return 0;
    }
    if (node->n_addrs >= KUBE_MAX_ADDRS) {
        return error_set(error, EINVAL, "more than %d addresses", KUBE_MAX_ADDRS);
    }
    return inet_addr_parse(text, &node->addrs[node->n_addrs++], error);
}

int
kube_node_decode(const json_t *json, struct kube_object *object, struct error *error)
{
    struct kube_node *node = CONTAINER_OF(object, struct kube_node, object);
    const json_t *spec, *status, *addresses = NULL, *address;
    size_t i;

    if (kube_get_object(json, "spec", &spec, error) || kube_get_object(json, "status", &status, error)
        || (spec && decode_spec(spec, node, error))
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

void
kube_node_destroy(struct kube_object *object OVS_UNUSED)
{
}

bool
kube_node_equal(const struct kube_object *a_, const struct kube_object *b_)
{
    const struct kube_node *a = kube_node_cast(a_), *b = kube_node_cast(b_);

    if (a->n_pod_cidrs != b->n_pod_cidrs) {
        return false;
    }
    for (size_t i = 0; i < a->n_pod_cidrs; i++) {       /* One by one: an inet_prefix has padding. */
        if (!inet_prefix_equals(&a->pod_cidrs[i], &b->pod_cidrs[i])) {
            return false;
        }
    }
    return (a->n_addrs == b->n_addrs && !memcmp(a->addrs, b->addrs, a->n_addrs * sizeof *a->addrs));
}
