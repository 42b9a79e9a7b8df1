#include <config.h>

#include "controller/kube-service.h"

#include <errno.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "controller/kube-schema.h"
#include "sset.h"
#include "util.h"

static bool
name_ok(const char *name)
{
    return kube_name_ok(name, true, 253);
}

static bool
port_name_ok(const char *name)
{
    return kube_name_ok(name, false, 63);
}

/* Endpoints. ------------------------------------------------------------------------------------------------------- */

/* A condition that is not known is taken for 'otherwise'. */
static int
decode_condition(const json_t *json, const char *member, bool otherwise, bool *out, const struct kube_at *up,
                 struct error *error)
{
    const struct kube_at at = { up, member, 0 };
    const json_t *value = kube_member(json, member);

    *out = value ? json_is_true(value) : otherwise;
    return value && !json_is_boolean(value) ? kube_fail(&at, error, "must be true or false") : 0;
}

static int
finish_conditions(const json_t *json, void *value, const struct kube_at *at, struct error *error)
{
    struct kube_endpoint *e = value;

    return decode_condition(json, "ready", true, &e->ready, at, error)
           || decode_condition(json, "serving", e->ready, &e->serving, at, error)
           || decode_condition(json, "terminating", false, &e->terminating, at, error) ? EINVAL : 0;
}

static const struct kube_field condition_fields[] = {
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_endpoint, ready) },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_endpoint, serving) },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_endpoint, terminating) },
};
static const struct kube_schema conditions_schema
    = KUBE_SCHEMA(struct kube_endpoint, condition_fields, finish_conditions);

static const struct kube_field hint_fields[] = {
    { "name", KUBE_F_STRING, .required = true, KUBE_FIELD(struct kube_hint, name) },
};
static const struct kube_schema hint_schema = KUBE_SCHEMA(struct kube_hint, hint_fields, NULL);
static const struct kube_field hints_fields[] = {
    { "forZones", KUBE_F_STRUCT, KUBE_LIST(struct kube_hints, zones, KUBE_MAX_HINTS), .schema = &hint_schema },
    { "forNodes", KUBE_F_STRUCT, KUBE_LIST(struct kube_hints, nodes, KUBE_MAX_HINTS), .schema = &hint_schema },
};
static const struct kube_schema hints_schema = KUBE_SCHEMA(struct kube_hints, hints_fields, NULL);

static const struct kube_field endpoint_fields[] = {
    { "conditions", KUBE_F_INLINE, .schema = &conditions_schema },
    { "hints", KUBE_F_POINTER, KUBE_FIELD(struct kube_endpoint, hints), .schema = &hints_schema },
    { "nodeName", KUBE_F_STRING, .ok = name_ok, KUBE_FIELD(struct kube_endpoint, node) },
    { NULL, KUBE_F_ADDR, KUBE_FIELD(struct kube_endpoint, addr) },
};
static const struct kube_schema endpoint_schema = KUBE_SCHEMA(struct kube_endpoint, endpoint_fields, NULL);

/* Slices. ---------------------------------------------------------------------------------------------------------- */

static int
decode_addr(const json_t *endpoint, bool v4, struct in6_addr *addr, const struct kube_at *up, struct error *error)
{
    const struct kube_at list = { up, "addresses", 0 }, at = { &list, NULL, 0 };
    const json_t *addrs = kube_member(endpoint, "addresses");

    if (!json_array_size(addrs)) {
        return kube_fail(&list, error, "must be a list with an element");
    }
    if (kube_decode_addr(json_array_get(addrs, 0), addr, &at, error) || kube_check_target(addr, &at, error)) {
        return EINVAL;
    }
    return inet_is_v4(addr) == v4 ? 0 : kube_fail(&at, error, "is not of the family of addressType");
}

static int
check_ports(const struct kube_endpointslice *slice, struct error *error)
{
    const struct kube_at list = { NULL, "ports", 0 };
    struct sset names = SSET_INITIALIZER(&names);
    int retval = 0;

    for (uint32_t i = 0; !retval && i < slice->n_ports; i++) {
        const struct kube_at at = { &list, NULL, i };
        const char *name = slice->ports[i].name;

        if (!sset_add(&names, name ? name : "")) {
            retval = kube_fail(&at, error, "has the name of another one");
        }
    }
    sset_destroy(&names);
    return retval;
}

static int
finish_slice(const json_t *json, void *value, const struct kube_at *up, struct error *error)
{
    struct kube_endpointslice *slice = value;
    const struct kube_at list = { up, "endpoints", 0 };
    const json_t *endpoints = kube_member(json, "endpoints");
    bool v4 = slice->address_type == KUBE_ADDRESS_IPV4;

    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        const struct kube_at at = { &list, NULL, i };
        struct kube_endpoint *e = &slice->endpoints[i];

        if (slice->address_type == KUBE_ADDRESS_FQDN) {
            kube_schema_clear(&endpoint_schema, e);
        } else if (decode_addr(json_array_get(endpoints, i), v4, &e->addr, &at, error)) {
            return EINVAL;
        }
    }
    if (slice->address_type == KUBE_ADDRESS_FQDN) {
        free(slice->endpoints);
        slice->endpoints = NULL;
        slice->n_endpoints = 0;
    }
    return check_ports(slice, error);
}

static const struct kube_field port_fields[] = {
    { "name", KUBE_F_STRING, .ok = port_name_ok, KUBE_FIELD(struct kube_slice_port, name) },
    { "protocol", KUBE_F_PROTOCOL, KUBE_FIELD(struct kube_slice_port, protocol) },
    { "port", KUBE_F_PORT, .min = 1, KUBE_FIELD(struct kube_slice_port, port) },
};
static const struct kube_schema port_schema = KUBE_SCHEMA(struct kube_slice_port, port_fields, NULL);

static const char *const address_types[] = { "IPv4", "IPv6", "FQDN", NULL };
static const struct kube_field fields[] = {
    { "addressType", KUBE_F_ENUM, .required = true, .names = address_types,
      KUBE_FIELD(struct kube_endpointslice, address_type) },
    { "ports", KUBE_F_STRUCT, KUBE_LIST(struct kube_endpointslice, ports, KUBE_MAX_SLICE_PORTS),
      .schema = &port_schema },
    { "endpoints", KUBE_F_STRUCT, KUBE_LIST(struct kube_endpointslice, endpoints, KUBE_MAX_ENDPOINTS),
      .schema = &endpoint_schema },
};
const struct kube_schema kube_endpointslice_schema = KUBE_SCHEMA(struct kube_endpointslice, fields, finish_slice);
