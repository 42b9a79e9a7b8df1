#ifndef SLUICE_POLICY_EXPLAIN_H
#define SLUICE_POLICY_EXPLAIN_H 1

/* Why is this connection allowed or denied?  Told from the objects, rule by rule.
 *
 * The flows say what happens and which rule did it; they cannot say why the others did not match.  This looks at each
 * policy that selects the pod in a direction, in the order in which they are asked, and at each of its rules: whether
 * the peer matches, whether the port does, and if not, what is missing.
 *
 * It goes through all objects, as slow as that is, and shares nothing with policy.h and the flows but the decoded
 * objects: so it is also a second opinion on them.
 *
 * Semantics: docs/policy.md.  Pure; nothing here owns what it points to, and all of it is good as long as the objects
 * are. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "controller/policy-name.h"

struct domains;
struct ds;
struct store;

/* One end of a connection. */
struct explain_end {
    const struct kube_pod *pod;         /* NULL: no pod has the address. */
    struct in6_addr addr;
};

struct explain_question {
    const struct store *store;
    const struct domains *domains;      /* The addresses of domain names; NULL: none is known. */
    struct explain_end from, to;
    bool own_node;                      /* 'from' is the stack of the node on which the pod 'to' runs. */
    uint8_t protocol;                   /* IPPROTO_*. */
    uint16_t port;                      /* Of 'to'; 0 for a protocol without. */
};

/* A rule, and what it says to the question. */
struct explain_rule {
    size_t policy;                      /* Index into the policies. */
    size_t index;                       /* In spec.ingress or spec.egress. */
    const char *name;                   /* NULL: none. */
    enum flow_action action;            /* What it does when it matches. */
    bool peer, port;                    /* Which of its two parts match; it matches if both do. */
    char *why_peer, *why_port;          /* Why not, each NULL if it matches. */
};

/* A policy that selects the pod in the direction. */
struct explain_policy {
    const struct kube_object *object;
    enum flow_tier tier;
    int priority;                       /* Of a ClusterNetworkPolicy. */
    const char *problem;                /* NULL, or why it is taken in the closed way. */
};

enum explain_by {
    EXPLAIN_BY_RULE,                    /* 'rule' decided. */
    EXPLAIN_BY_DEFAULT_DENY,            /* NetworkPolicies isolate the pod, and no rule of theirs matches. */
    EXPLAIN_BY_NOTHING,                 /* Nothing says anything to it: allowed. */
    EXPLAIN_BY_EXEMPTION,               /* 'exemption' says why no policy is asked: allowed. */
};

struct explanation {
    enum flow_direction direction;
    const struct kube_pod *subject;     /* NULL: that end is no pod that a policy could select. */
    bool allowed;
    enum explain_by by;
    const char *exemption;
    size_t rule;                        /* Index; EXPLAIN_BY_RULE. */
    bool tie;                           /* An Accept and a Pass of two objects stand at one place: either may win. */
    struct explain_policy *policies;    /* In the order in which they are asked. */
    size_t n_policies, allocated_policies;
    struct explain_rule *rules;         /* Likewise. */
    size_t n_rules, allocated_rules;
};

/* Fills in 'explanation', for policy_explain_destroy(). */
void policy_explain(const struct explain_question *, enum flow_direction, struct explanation *);
void policy_explain_destroy(struct explanation *);      /* Frees the content. */

/* {"direction", "pod", "verdict", "by", "policy", "rule", "policies": [{"policy", "tier", "priority", "problem",
 *  "rules": [{"rule", "name", "action", "matches", "peer", "port"}]}]}; "peer" and "port" are true or the text why not.
 * The caller's. */
json_t *policy_explain_to_json(const struct explanation *);
/* The same for people, from that. */
void policy_explain_format(const json_t *, struct ds *);

/* Calls 'cb' for each NetworkPolicy that isolates the pod in the direction. */
void policy_explain_isolating(const struct store *, const struct kube_pod *, enum flow_direction,
                              void (*cb)(const struct kube_object *, void *aux), void *aux);

/* Private to policy-explain*.c. ---------------------------------------------------------------------------------- */

/* Whether a peer matches, and whether a selector among them does (or there are none); whether a port does, named ones
 * of egress only if a selector selects the pod.  If not, adds the reason to 'why'. */
bool explain_np_peers_(const struct explain_question *, const char *namespace_, const struct kube_np_rule *,
                       const struct explain_end *, bool *selected, struct ds *why);
bool explain_cnp_peers_(const struct explain_question *, const struct kube_cnp_rule *, const struct explain_end *,
                        bool *selected, struct ds *why);
bool explain_ports_(const struct explain_question *, const struct kube_policy_port *, size_t n, bool selected,
                    enum flow_action, struct ds *why);
bool explain_namespace_matches_(const struct store *, const struct kube_selector *, const char *namespace_,
                                struct ds *why);
/* NULL, or why no selector of pods can select it. */
const char *explain_not_selectable_(const struct kube_pod *);

#endif /* controller/policy-explain.h */
