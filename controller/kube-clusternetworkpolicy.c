#include <config.h>

#include "controller/kube-policy.h"

#include <errno.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "controller/kube-schema.h"
#include "intern.h"
#include "util.h"

/* Protocols and ports. -------------------------------------------------------------------------------------------- */

static int
decode_number(const json_t *json, const char *member, uint16_t *out, const struct kube_at *up, struct error *error)
{
    const struct kube_at at = { up, member, 0 };
    const json_t *value = kube_member(json, member);

    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > UINT16_MAX) {
        return kube_fail(&at, error, "must be a number from 1 to 65535");
    }
    *out = json_integer_value(value);
    return 0;
}

/* destinationPort: a number or a range. */
static int
decode_destination(const json_t *json, struct kube_policy_port *p, const struct kube_at *up, struct error *error)
{
    const struct kube_at at = { up, "destinationPort", 0 }, range_at = { &at, "range", 0 };
    const json_t *range = kube_member(json, "range"), *number = kube_member(json, "number");

    if (!json_is_object(json) || (range && !json_is_object(range))) {
        return kube_fail(range ? &range_at : &at, error, "must be an object");
    }
    if (number && range) {
        return kube_fail(&at, error, "has both number and range");
    }
    if (range) {
        if (decode_number(range, "start", &p->first, &range_at, error)
            || decode_number(range, "end", &p->last, &range_at, error)) {
            return EINVAL;
        }
        return p->first < p->last ? 0 : kube_fail(&range_at, error, "start must be less than end");
    }
    p->unknown = !number;
    if (number && decode_number(json, "number", &p->first, &at, error)) {
        return EINVAL;
    }
    p->last = p->first;
    return 0;
}

static int
decode_protocol(const json_t *json, struct kube_policy_port *p, const struct kube_at *at, struct error *error)
{
    const json_t *port = kube_member(json, "destinationPort");

    if (!json_is_object(json)) {
        return kube_fail(at, error, "must be an object");
    }
    p->unknown = !port;
    return port ? decode_destination(port, p, at, error) : 0;
}

/* Exactly one member.  None that is known: 'unknown'. */
static int
finish_port(const json_t *json, void *value, const struct kube_at *up, struct error *error)
{
    static const struct { const char *member; uint8_t number; } protocols[] = {
        { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP },
    };
    struct kube_policy_port *p = value;
    int n = p->name != NULL;

    p->unknown = !n;
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        const struct kube_at at = { up, protocols[i].member, 0 };
        const json_t *member = kube_member(json, protocols[i].member);

        if (!member) {
            continue;
        }
        if (n++) {
            return kube_fail(up, error, "more than one protocol in one element");
        }
        p->protocol = protocols[i].number;
        if (decode_protocol(member, p, &at, error)) {
            return EINVAL;
        }
    }
    return 0;
}

static const struct kube_field port_fields[] = {
    { "destinationNamedPort", KUBE_F_STRING, .ok = kube_port_name_ok, KUBE_FIELD(struct kube_policy_port, name) },
    { NULL, KUBE_F_PROTOCOL, KUBE_FIELD(struct kube_policy_port, protocol) },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_policy_port, unknown) },
    { NULL, KUBE_F_PORT, KUBE_FIELD(struct kube_policy_port, first) },
    { NULL, KUBE_F_PORT, KUBE_FIELD(struct kube_policy_port, last) },
};
static const struct kube_schema port_schema = KUBE_SCHEMA(struct kube_policy_port, port_fields, finish_port);

/* Peers. ----------------------------------------------------------------------------------------------------------- */

static const struct kube_field pods_fields[] = {
    { "namespaceSelector", KUBE_F_STRUCT, KUBE_FIELD(struct kube_namespaced_pods, namespaces),
      .schema = &kube_selector_schema },
    { "podSelector", KUBE_F_STRUCT, .required = true, KUBE_FIELD(struct kube_namespaced_pods, pods),
      .schema = &kube_selector_schema },
};
static const struct kube_schema pods_schema = KUBE_SCHEMA(struct kube_namespaced_pods, pods_fields, NULL);

static int
finish_subject(const json_t *json OVS_UNUSED, void *value, const struct kube_at *at, struct error *error)
{
    const struct kube_cnp_subject *s = value;
    return !s->namespaces == !s->pods ? kube_fail(at, error, "must have either namespaces or pods") : 0;
}

static const struct kube_field subject_fields[] = {
    { "namespaces", KUBE_F_POINTER, KUBE_FIELD(struct kube_cnp_subject, namespaces), .schema = &kube_selector_schema },
    { "pods", KUBE_F_POINTER, KUBE_FIELD(struct kube_cnp_subject, pods), .schema = &pods_schema },
};
static const struct kube_schema subject_schema = KUBE_SCHEMA(struct kube_cnp_subject, subject_fields, finish_subject);

static int
finish_peer(const json_t *json OVS_UNUSED, void *value, const struct kube_at *at, struct error *error)
{
    struct kube_cnp_peer *p = value;
    int n = !!p->namespaces + !!p->pods + !!p->nodes + !!p->n_networks + !!p->n_domain_names;

    p->unknown = !n;
    return n > 1 ? kube_fail(at, error, "more than one kind of peer in one element") : 0;
}

/* Two labels or more, with "*." in front or not, and a dot at the end or not. */
static bool
domain_ok(const char *s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    int n_labels = 0;

    s += !strncmp(s, "*.", 2) ? 2 : 0;
    while (*s) {
        size_t n = strcspn(s, ".");

        if (!n || n > 63 || strspn(s, allowed) < n || strchr("-_", *s) || strchr("-_", s[n - 1])) {
            return false;
        }
        n_labels++;
        s += n + (s[n] == '.');
    }
    return n_labels >= 2;
}

#define PODS_AND_NAMESPACES                                                                                            \
    { "namespaces", KUBE_F_POINTER, KUBE_FIELD(struct kube_cnp_peer, namespaces), .schema = &kube_selector_schema },   \
    { "pods", KUBE_F_POINTER, KUBE_FIELD(struct kube_cnp_peer, pods), .schema = &pods_schema },                        \
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_cnp_peer, unknown) }

static const struct kube_field source_fields[] = { PODS_AND_NAMESPACES };
static const struct kube_field destination_fields[] = {
    PODS_AND_NAMESPACES,
    { "nodes", KUBE_F_POINTER, KUBE_FIELD(struct kube_cnp_peer, nodes), .schema = &kube_selector_schema },
    { "networks", KUBE_F_PREFIX, KUBE_LIST(struct kube_cnp_peer, networks, KUBE_MAX_CNP_LIST) },
    { "domainNames", KUBE_F_STRING, .ok = domain_ok, KUBE_LIST(struct kube_cnp_peer, domain_names, KUBE_MAX_CNP_LIST) },
};
static const struct kube_schema source_schema = KUBE_SCHEMA(struct kube_cnp_peer, source_fields, finish_peer);
static const struct kube_schema destination_schema = KUBE_SCHEMA(struct kube_cnp_peer, destination_fields, finish_peer);

/* Rules. ----------------------------------------------------------------------------------------------------------- */

static int
finish_rule(const json_t *json, void *value, const struct kube_at *up, struct error *error)
{
    const struct kube_cnp_rule *rule = value;
    const struct kube_at at = { up, kube_member(json, "to") ? "to" : "from", 0 };

    if (!rule->n_peers) {
        return kube_fail(&at, error, "must have an element");
    }
    for (uint32_t i = 0; i < rule->n_peers; i++) {
        const struct kube_at element = { &at, NULL, i };
        if (rule->peers[i].n_domain_names && rule->action != KUBE_ACTION_ACCEPT) {
            return kube_fail(&element, error, "domainNames are only for Accept");
        }
    }
    return 0;
}

static const char *const actions[] = { "Accept", "Deny", "Pass", NULL };
static const char *const tiers[] = { "Admin", "Baseline", NULL };

#define RULE_FIELDS(PEERS, SCHEMA) {                                                                                   \
    { "name", KUBE_F_STRING, .max = 400, KUBE_FIELD(struct kube_cnp_rule, name) },                                     \
    { "action", KUBE_F_ENUM, .required = true, .names = actions, KUBE_FIELD(struct kube_cnp_rule, action) },           \
    { PEERS, KUBE_F_STRUCT, .required = true, KUBE_LIST(struct kube_cnp_rule, peers, KUBE_MAX_CNP_LIST),               \
      .schema = &SCHEMA },                                                                                             \
    { "protocols", KUBE_F_STRUCT, KUBE_LIST(struct kube_cnp_rule, ports, KUBE_MAX_CNP_LIST), .schema = &port_schema }, \
}
static const struct kube_field ingress_fields[] = RULE_FIELDS("from", source_schema);
static const struct kube_field egress_fields[] = RULE_FIELDS("to", destination_schema);
static const struct kube_schema ingress_schema = KUBE_SCHEMA(struct kube_cnp_rule, ingress_fields, finish_rule);
static const struct kube_schema egress_schema = KUBE_SCHEMA(struct kube_cnp_rule, egress_fields, finish_rule);

static const struct kube_field spec_fields[] = {
    { "tier", KUBE_F_ENUM, .required = true, .names = tiers, KUBE_FIELD(struct kube_clusternetworkpolicy, tier) },
    { "priority", KUBE_F_INT, .required = true, .max = KUBE_MAX_CNP_PRIORITY, KUBE_FIELD(struct kube_clusternetworkpolicy, priority) },
    { "subject", KUBE_F_STRUCT, .required = true, KUBE_FIELD(struct kube_clusternetworkpolicy, subject),
      .schema = &subject_schema },
    { "ingress", KUBE_F_STRUCT, KUBE_LIST(struct kube_clusternetworkpolicy, ingress, KUBE_MAX_CNP_LIST),
      .schema = &ingress_schema },
    { "egress", KUBE_F_STRUCT, KUBE_LIST(struct kube_clusternetworkpolicy, egress, KUBE_MAX_CNP_LIST),
      .schema = &egress_schema },
};
static const struct kube_schema spec_schema = KUBE_SCHEMA(struct kube_clusternetworkpolicy, spec_fields, NULL);
static const struct kube_field fields[] = {
    { "spec", KUBE_F_INLINE, .required = true, .schema = &spec_schema },
    { NULL, KUBE_F_STRING, KUBE_FIELD(struct kube_clusternetworkpolicy, problem) },
};
const struct kube_schema kube_clusternetworkpolicy_schema = KUBE_SCHEMA(struct kube_clusternetworkpolicy, fields, NULL);

/* One rule that denies everything: an unknown peer does (kube-policy.h). */
static void
deny_all(struct kube_cnp_rule **rules, uint32_t *n_rules)
{
    struct kube_cnp_rule *rule = kube_list_add(rules, n_rules, sizeof *rule);

    rule->action = KUBE_ACTION_DENY;
    kube_list_add(&rule->peers, &rule->n_peers, sizeof *rule->peers);
    rule->peers[0].unknown = true;
}

/* Not understood: denies.  Without a tier or priority that can be read it goes before all others.  False: whom it selects
 * cannot be told. */
bool
kube_clusternetworkpolicy_close(const json_t *json, struct kube_object *object)
{
    struct kube_clusternetworkpolicy *cnp = (struct kube_clusternetworkpolicy *) object;
    const json_t *spec = kube_member(json, "spec"), *subject = kube_member(spec, "subject");
    const json_t *tier = kube_member(spec, "tier"), *priority = kube_member(spec, "priority");

    if (!subject || kube_schema_decode(&subject_schema, subject, &cnp->subject, NULL, NULL)) {
        return false;
    }
    cnp->tier = (json_is_string(tier) && !strcmp(json_string_value(tier), tiers[KUBE_TIER_BASELINE])
                 ? KUBE_TIER_BASELINE : KUBE_TIER_ADMIN);
    cnp->priority = (json_is_integer(priority) && json_integer_value(priority) >= 0
                     && json_integer_value(priority) <= KUBE_MAX_CNP_PRIORITY ? json_integer_value(priority) : 0);
    deny_all(&cnp->ingress, &cnp->n_ingress);
    deny_all(&cnp->egress, &cnp->n_egress);
    return true;
}
