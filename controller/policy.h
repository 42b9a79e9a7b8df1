#ifndef SLUICE_POLICY_H
#define SLUICE_POLICY_H 1

/* The policy core: NetworkPolicy and ClusterNetworkPolicy in, flows out.
 *
 * Events go in (an object came, changed or went; a pod is attached to this node), policy_run() works out what they
 * mean, and effects come out: this flow is wanted now, that one no more, that local pod's numbers changed.  What flows there
 * are is a function of the objects alone, not of the order of events (tests compare with a fresh core).  The cost of an
 * event depends on what it concerns: see policy-match.h.
 *
 * What is relevant on this node are the policies that select one of its pods, and their peers.  The core gives
 *
 *   - each local pod, for each direction, the number of the set of rules that hold for it (its subject number),
 *   - each address or prefix, for each direction, the number of the set of relevant peers that it falls into (its
 *     identity); 0, and no flow, if there is none,
 *   - each relevant rule its conjunction(s).  Rules of equal content (direction, tier, level, action, subject, peers,
 *     ports), of whatever objects, are one.  A named port of egress (of ingress) gives a rule one conjunction more for
 *     each number that some peer (some subject) has for the name.
 *
 * flows/policy-flow.h has the forms of flows, docs/policy.md the choices where upstream leaves one.
 *
 * Fail closed.  With a peer or port that is not understood (kube-policy.h: 'unknown') an allowing rule of a
 * ClusterNetworkPolicy matches nothing, and a denying or passing one denies everything (clusternetworkpolicy 7).  A
 * policy that could not be decoded but whose subject could denies it everything: kube_object_decode_closed().
 *
 * Atomic.  All effects of one policy_run() go into one bundle with the pods' own flows, so that a change of numbers is
 * seen as a whole or not at all.  A number is a hash of what it stands for, so what a packet under way still carries is
 * never taken for something else.
 *
 * Pure: no I/O, no clock.  Objects that were given must stay until they are given back as 'old'. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/endpoints.h"
#include "controller/kube-policy.h"
#include "controller/kube-types.h"
#include "policy-flow.h"

struct policy;

/* 'endpoints' says whose an address is; it must have followed a pod's change before the core is told, and must stay, as
 * the objects must, until policy_destroy(). */
struct policy *policy_create(const struct endpoints *endpoints);
void policy_destroy(struct policy *);

/* Events.  'old' is what was told last (NULL: nothing), 'new' what is now (NULL: it went). */
void policy_namespace(struct policy *, const char *name, const struct kube_namespace *new);
void policy_pod(struct policy *, const struct kube_pod *old, const struct kube_pod *new);
void policy_node(struct policy *, const struct kube_node *old, const struct kube_node *new);
void policy_networkpolicy(struct policy *, const struct kube_networkpolicy *old, const struct kube_networkpolicy *new);
void policy_clusternetworkpolicy(struct policy *, const struct kube_clusternetworkpolicy *old,
                                 const struct kube_clusternetworkpolicy *new);

/* A pod is attached to this node: 'id' names the attachment, the addresses are those that it has here, which count more
 * than what 'endpoints' knows.  Again with another 'pod' when its object changes.  NULL: it is not attached any more,
 * or its object is not known (then its flows are those of an isolated pod anyway).  'pod' must be removed or replaced
 * before the object goes. */
void policy_local(struct policy *, uint64_t id, const struct kube_pod *pod, const struct in6_addr *addrs,
                  size_t n_addrs);

/* An address came to a domain name, or went (controller/domain.h says when).  Kept for as long as it is there, whether
 * a rule names the domain or not.  'name' is "example.com" or "*.example.com" as domain_normalise() writes it. */
void policy_domain_address(struct policy *, const char *name, const struct in6_addr *, bool present);
/* Whether a rule that is relevant here names it. */
bool policy_wants_domain(const struct policy *, const char *name);

/* Works out what the events since the last run mean.  True if there are effects. */
bool policy_run(struct policy *);

/* Effects, in the order in which they are to be taken; until there is none. */
enum policy_effect_type {
    POLICY_PUT,                         /* 'flow' is wanted, instead of any other with its key. */
    POLICY_DROP,                        /* The flow with the key of 'flow' is not wanted any more. */
    POLICY_LOCAL,                       /* policy_get_local() of 'id' gives something else now. */
};

struct policy_effect {
    enum policy_effect_type type;
    struct flow_entry *flow;            /* The caller gets the reference. */
    uint64_t id;
};
bool policy_pop(struct policy *, struct policy_effect *);

/* What a local pod's own flows need to know; part of struct flow_pod.  Zeros for an unknown 'id'.  Good after
 * policy_run(). */
void policy_get_local(const struct policy *, uint64_t id, struct flow_pod_policy *);

/* Everything that is wanted now, as effects would have built it up.  For "sluicectl compile" and for tests. */
void policy_get_flows(const struct policy *, struct flow_set *);

/* Looking at it. ------------------------------------------------------------------------------------------------- */

/* A rule of an object.  Several may share one conjunction and so its counters. */
struct policy_rule_ref {
    const struct kube_object *object;   /* A NetworkPolicy or ClusterNetworkPolicy. */
    enum flow_direction direction;
    enum flow_tier tier;
    enum flow_action action;
    size_t index;                       /* In spec.ingress or spec.egress. */
    const char *name;                   /* Of a ClusterNetworkPolicy's rule; NULL: none. */
};
/* Whose rule flow this is; calls 'cb' for each, by kind, namespace, name, index.  Nothing for other cookies. */
void policy_rules_of_cookie(const struct policy *, uint64_t cookie,
                            void (*cb)(const struct policy_rule_ref *, void *aux), void *aux);

/* The same by the number of a conjunction, as packets carry it in FIELD_RULE.  Looks through all rules. */
void policy_rules_of_conj(const struct policy *, uint32_t conj_id,
                          void (*cb)(const struct policy_rule_ref *, void *aux), void *aux);

/* A policy as this node sees it. */
struct policy_info {
    const struct kube_object *object;
    size_t n_pods[FLOW_N_DIRECTIONS];   /* Local pods for which it counts. */
    const char *problem;                /* NULL: none.  Why something in it is taken in the closed way. */
};
void policy_for_each(const struct policy *, void (*cb)(const struct policy_info *, void *aux), void *aux);
/* The rules of a policy that are relevant here, with the cookies of their flows. */
void policy_for_each_rule(const struct policy *, const struct kube_object *,
                          void (*cb)(const struct policy_rule_ref *, uint64_t cookie, void *aux), void *aux);

struct policy_stats {
    size_t n_policies, n_relevant;
    size_t n_terms, n_classes;          /* Of peers. */
    size_t n_subjects, n_identities;    /* Both directions together. */
    size_t n_rules, n_conjs;
};
void policy_get_stats(const struct policy *, struct policy_stats *);

#endif /* controller/policy.h */
