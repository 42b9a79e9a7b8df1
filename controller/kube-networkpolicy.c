#include <config.h>

#include "controller/kube-policy.h"

#include <errno.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "controller/kube-schema.h"
#include "intern.h"
#include "util.h"

/* 'port' is a number or a name; absent: all. */
static int
decode_port(const json_t *port, struct kube_policy_port *p, const struct kube_at *up, struct error *error)
{
    const struct kube_at at = { up, "port", 0 };
    const char *name = json_string_value(port);

    p->first = 0;
    p->last = UINT16_MAX;
    if (json_is_integer(port) && json_integer_value(port) >= 1 && json_integer_value(port) <= UINT16_MAX) {
        p->first = p->last = json_integer_value(port);
    } else if (name && strlen(name) == json_string_length(port) && kube_port_name_ok(name)) {
        p->name = intern_string(name);
    } else if (port) {
        return kube_fail(&at, error, "must be a number from 1 to 65535 or the name of a port");
    }
    return 0;
}

static int
finish_port(const json_t *json, void *value, const struct kube_at *at, struct error *error)
{
    struct kube_policy_port *p = value;
    const json_t *port = kube_member(json, "port"), *end_port = kube_member(json, "endPort");

    if (decode_port(port, p, at, error)) {
        return EINVAL;
    }
    if (end_port) {
        const struct kube_at end_at = { at, "endPort", 0 };

        if (!json_is_integer(port)) {
            return kube_fail(&end_at, error, "is only for a port that is a number");
        }
        if (!json_is_integer(end_port) || json_integer_value(end_port) < p->first
            || json_integer_value(end_port) > UINT16_MAX) {
            return kube_fail(&end_at, error, "must be a number from %d to 65535", p->first);
        }
        p->last = json_integer_value(end_port);
    }
    return 0;
}

static const struct kube_field port_fields[] = {
    { NULL, KUBE_F_STRING, KUBE_FIELD(struct kube_policy_port, name) },
    { "protocol", KUBE_F_PROTOCOL, KUBE_FIELD(struct kube_policy_port, protocol) },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_policy_port, unknown) },
    { NULL, KUBE_F_PORT, KUBE_FIELD(struct kube_policy_port, first) },
    { NULL, KUBE_F_PORT, KUBE_FIELD(struct kube_policy_port, last) },
};
static const struct kube_schema port_schema = KUBE_SCHEMA(struct kube_policy_port, port_fields, finish_port);

static int
finish_ip_block(const json_t *json OVS_UNUSED, void *value, const struct kube_at *at, struct error *error)
{
    const struct kube_ip_block *block = value;
    const struct kube_at list = { at, "except", 0 };

    for (uint32_t i = 0; i < block->n_except; i++) {
        const struct inet_prefix *except = &block->except[i];
        const struct kube_at element = { &list, NULL, i };

        if (inet_is_v4(&except->addr) != inet_is_v4(&block->cidr.addr) || except->plen <= block->cidr.plen
            || !inet_prefix_contains(&block->cidr, &except->addr)) {
            char a[INET_PREFIX_STRLEN], b[INET_PREFIX_STRLEN];
            return kube_fail(&element, error, "%s is not a part of %s", inet_prefix_format(except, a),
                             inet_prefix_format(&block->cidr, b));
        }
    }
    return 0;
}

static const struct kube_field ip_block_fields[] = {
    { "cidr", KUBE_F_PREFIX, .required = true, KUBE_FIELD(struct kube_ip_block, cidr) },
    { "except", KUBE_F_PREFIX, KUBE_LIST(struct kube_ip_block, except, KUBE_MAX_PEERS) },
};
static const struct kube_schema ip_block_schema = KUBE_SCHEMA(struct kube_ip_block, ip_block_fields, finish_ip_block);

static int
finish_peer(const json_t *json OVS_UNUSED, void *value, const struct kube_at *at, struct error *error)
{
    const struct kube_np_peer *peer = value;

    return peer->ip_block && (peer->pods || peer->namespaces)
           ? kube_fail(at, error, "ipBlock stands beside a selector: write two elements") : 0;
}

static const struct kube_field peer_fields[] = {
    { "podSelector", KUBE_F_POINTER, KUBE_FIELD(struct kube_np_peer, pods), .schema = &kube_selector_schema },
    { "namespaceSelector", KUBE_F_POINTER, KUBE_FIELD(struct kube_np_peer, namespaces),
      .schema = &kube_selector_schema },
    { "ipBlock", KUBE_F_POINTER, KUBE_FIELD(struct kube_np_peer, ip_block), .schema = &ip_block_schema },
};
static const struct kube_schema peer_schema = KUBE_SCHEMA(struct kube_np_peer, peer_fields, finish_peer);

#define RULE_FIELDS(PEERS) {                                                                                    \
    { PEERS, KUBE_F_STRUCT, KUBE_LIST(struct kube_np_rule, peers, KUBE_MAX_PEERS), .schema = &peer_schema },    \
    { "ports", KUBE_F_STRUCT, KUBE_LIST(struct kube_np_rule, ports, KUBE_MAX_POLICY_PORTS), .schema = &port_schema }, \
}
static const struct kube_field ingress_fields[] = RULE_FIELDS("from");
static const struct kube_field egress_fields[] = RULE_FIELDS("to");
static const struct kube_schema ingress_schema = KUBE_SCHEMA(struct kube_np_rule, ingress_fields, NULL);
static const struct kube_schema egress_schema = KUBE_SCHEMA(struct kube_np_rule, egress_fields, NULL);

/* policyTypes.  Without: Ingress, and Egress if there is a rule for it. */
static int
finish_spec(const json_t *json, void *value, const struct kube_at *up, struct error *error)
{
    struct kube_networkpolicy *np = value;
    const struct kube_at at = { up, "policyTypes", 0 };
    const json_t *types = kube_member(json, "policyTypes"), *type;
    size_t i;

    if (types && (!json_is_array(types) || json_array_size(types) > 2)) {
        return kube_fail(&at, error, "must be a list of at most two elements");
    }
    if (!json_array_size(types)) {
        np->isolates_ingress = true;
        np->isolates_egress = np->n_egress > 0;
    }
    json_array_foreach (types, i, type) {
        const char *name = json_is_string(type) ? json_string_value(type) : "";
        const struct kube_at element = { &at, NULL, i };

        if (strcmp(name, "Ingress") && strcmp(name, "Egress")) {
            return kube_fail(&element, error, "must be Ingress or Egress");
        }
        *(*name == 'I' ? &np->isolates_ingress : &np->isolates_egress) = true;
    }
    return 0;
}

static const struct kube_field spec_fields[] = {
    { "podSelector", KUBE_F_STRUCT, KUBE_FIELD(struct kube_networkpolicy, pods), .schema = &kube_selector_schema },
    { "ingress", KUBE_F_STRUCT, KUBE_LIST(struct kube_networkpolicy, ingress, KUBE_MAX_RULES),
      .schema = &ingress_schema },
    { "egress", KUBE_F_STRUCT, KUBE_LIST(struct kube_networkpolicy, egress, KUBE_MAX_RULES),
      .schema = &egress_schema },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_networkpolicy, isolates_ingress) },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_networkpolicy, isolates_egress) },
};
static const struct kube_schema spec_schema = KUBE_SCHEMA(struct kube_networkpolicy, spec_fields, finish_spec);
static const struct kube_field fields[] = {
    { "spec", KUBE_F_INLINE, .schema = &spec_schema },
    { NULL, KUBE_F_STRING, KUBE_FIELD(struct kube_networkpolicy, problem) },
};
const struct kube_schema kube_networkpolicy_schema = KUBE_SCHEMA(struct kube_networkpolicy, fields, NULL);

/* Not understood: no rule, so that nothing is allowed.  Who cannot be told is everybody, and both directions. */
bool
kube_networkpolicy_close(const json_t *json, struct kube_object *object)
{
    struct kube_networkpolicy *np = (struct kube_networkpolicy *) object;
    const json_t *spec = kube_member(json, "spec"), *egress = kube_member(spec, "egress");

    if (kube_schema_decode(&kube_selector_schema, kube_member(spec, "podSelector"), &np->pods, NULL, NULL)) {
        kube_schema_clear(&kube_selector_schema, &np->pods);
        memset(&np->pods, 0, sizeof np->pods);
    }
    np->n_egress = json_array_size(egress) > 0;         /* What finish_spec() needs to know of the rules. */
    bool known = (!spec || json_is_object(spec)) && (!egress || json_is_array(egress))
                 && !finish_spec(spec, np, NULL, NULL);
    np->n_egress = 0;
    if (!known) {
        np->isolates_ingress = np->isolates_egress = true;
    }
    return true;
}
