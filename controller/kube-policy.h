#ifndef SLUICE_KUBE_POLICY_H
#define SLUICE_KUBE_POLICY_H 1

/* Policies as they are kept: NetworkPolicy (networking.k8s.io/v1) and ClusterNetworkPolicy
 * (policy.networking.k8s.io/v1alpha2).
 *
 * Defaults are filled in, what cannot match is marked, and selectors are in a canonical form; what the rules mean is
 * for who compiles them.  Strings are values of intern.h and of the store's pool, as labels are.  Ports are in host
 * byte order.
 *
 * Source: API reference v1.34, NetworkPolicy v1; network-policy-api v0.2.0. */

#include "controller/kube-types.h"

#define KUBE_MAX_REQUIREMENTS 5000
#define KUBE_MAX_VALUES 5000
#define KUBE_MAX_RULES 2000
#define KUBE_MAX_PEERS 5000
#define KUBE_MAX_POLICY_PORTS 5000
#define KUBE_MAX_CNP_LIST 25            /* Rules, peers, protocols, networks, names: the API's own limit. */
#define KUBE_MAX_CNP_PRIORITY 1000

/* Label selectors. */

enum kube_operator { KUBE_OP_IN, KUBE_OP_NOT_IN, KUBE_OP_EXISTS, KUBE_OP_DOES_NOT_EXIST };

struct kube_requirement {
    const char *key;
    uint8_t op;                         /* enum kube_operator. */
    uint32_t n_values;                  /* At least one for In and NotIn, else none; sorted, each once. */
    const char **values;
};

/* All must hold; none: everything is selected.  matchLabels are there as In with one value.  Sorted, each once. */
struct kube_selector {
    struct kube_requirement *requirements;
    uint32_t n_requirements;
};

bool kube_selector_matches(const struct kube_selector *, const struct labels *);
bool kube_selector_equal(const struct kube_selector *, const struct kube_selector *);

/* Common to both kinds. */

/* What a rule says of ports.  One of a range, all of a protocol's (0 to 65535), or by name. */
struct kube_policy_port {
    const char *name;                   /* NULL: by number. */
    uint8_t protocol;                   /* IPPROTO_*.  0, only with a name: whichever the container's port has. */
    bool unknown;                       /* Something that this version does not know: fail closed. */
    uint16_t first, last;
};

/* NetworkPolicy. */

struct kube_ip_block {
    struct inet_prefix cidr;
    struct inet_prefix *except;         /* Each inside 'cidr', and smaller. */
    uint32_t n_except;
};

/* Either 'ip_block', or one of the selectors or both.  None of them: something that this version does not know, which
 * matches nothing. */
struct kube_np_peer {
    struct kube_selector *pods, *namespaces;
    struct kube_ip_block *ip_block;
};

struct kube_np_rule {
    struct kube_np_peer *peers;         /* None: everybody. */
    struct kube_policy_port *ports;     /* None: every port and protocol. */
    uint32_t n_peers, n_ports;
};

struct kube_networkpolicy {
    struct kube_object object;
    struct kube_selector pods;
    bool isolates_ingress, isolates_egress;     /* policyTypes, or their default.  If not, the rules do not count. */
    struct kube_np_rule *ingress, *egress;
    uint32_t n_ingress, n_egress;
    const char *problem;                /* NULL, or why it could not be read: then without rules.  See
                                         * kube_object_decode_closed(). */
};

/* ClusterNetworkPolicy. */

enum kube_tier { KUBE_TIER_ADMIN, KUBE_TIER_BASELINE };
enum kube_action { KUBE_ACTION_ACCEPT, KUBE_ACTION_DENY, KUBE_ACTION_PASS };

struct kube_namespaced_pods {
    struct kube_selector namespaces, pods;
};

/* Whose traffic it is about: exactly one of them. */
struct kube_cnp_subject {
    struct kube_selector *namespaces;   /* All pods there. */
    struct kube_namespaced_pods *pods;
};

/* At most one of them; none ('unknown'): something that this version does not know, fail closed: a rule with it
 * matches nothing if it is Accept, and denies everything if it is Deny or Pass. */
struct kube_cnp_peer {
    struct kube_selector *namespaces;
    struct kube_namespaced_pods *pods;
    struct kube_selector *nodes;        /* From here on for egress only. */
    struct inet_prefix *networks;
    const char **domain_names;          /* Only with Accept.  As written: "example.com", "*.example.com". */
    uint32_t n_networks, n_domain_names;
    bool unknown;
};

struct kube_cnp_rule {
    const char *name;                   /* NULL if it has none. */
    uint8_t action;                     /* enum kube_action. */
    uint32_t n_peers, n_ports;
    struct kube_cnp_peer *peers;        /* At least one. */
    struct kube_policy_port *ports;     /* None: everything. */
};

struct kube_clusternetworkpolicy {
    struct kube_object object;
    uint8_t tier;                       /* enum kube_tier. */
    int32_t priority;                   /* 0 to 1000, the smaller first. */
    struct kube_cnp_subject subject;
    struct kube_cnp_rule *ingress, *egress;             /* In their order. */
    uint32_t n_ingress, n_egress;
    const char *problem;                /* NULL, or why it could not be read: then each direction has one rule, Deny with
                                         * an unknown peer. */
};

static inline const struct kube_networkpolicy *
kube_networkpolicy_cast(const struct kube_object *o)
{
    return (const struct kube_networkpolicy *) o;
}

static inline const struct kube_clusternetworkpolicy *
kube_clusternetworkpolicy_cast(const struct kube_object *o)
{
    return (const struct kube_clusternetworkpolicy *) o;
}

#endif /* controller/kube-policy.h */
