#ifndef SLUICE_POLICY_FLOW_H
#define SLUICE_POLICY_FLOW_H 1

/* The flows of policies: how what the policy core (controller/policy.h) decides is written in OpenFlow.
 *
 * Policy knows numbers, not addresses.  There are two kinds for each direction:
 *
 *   subject    a set of rules that hold for a local pod; in FIELD_SRC_SUBJECT (egress) and FIELD_DST_SUBJECT (ingress),
 *              loaded by the pod's own flows (struct flow_pod).  0: no policy selects the pod in that direction.
 *   identity   a set of peers of rules that an address falls into; in FIELD_DST_IDENTITY (egress), FIELD_SRC_IDENTITY
 *              (ingress), loaded by one flow for each address or prefix that has one.  0: nothing relevant selects it.
 *
 * A rule is a conjunction (ovs-actions(7)) of up to three clauses:
 *
 *     subject   FIELD_*_SUBJECT = number
 *     peer      FIELD_*_IDENTITY = number        absent: everybody
 *     l4        FIELD_L4 = protocol << 16 | destination port, with a mask; absent: everything
 *     always    nothing is matched               only if both are absent, since one clause is no conjunction
 *
 * and the flow that says what happens when all hold, which matches conj_id and counts the rule's packets and bytes.
 * Flows with one match are one flow: their conjunctions are listed in its actions.
 *
 * Levels.  In the tables *_ADMIN and *_BASELINE a rule's level is its priority in OpenFlow: flow_level_cnp().  In
 * *_POLICY, where order means nothing, it is one of FLOW_LEVEL_LANES, by the rule's hash, so that no flow lists more
 * conjunctions than a message holds (64 KB, 16 bytes each). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow-input.h"
#include "flow-set.h"
#include "inet.h"

enum flow_direction { FLOW_EGRESS, FLOW_INGRESS };
#define FLOW_N_DIRECTIONS 2

enum flow_tier { FLOW_TIER_ADMIN, FLOW_TIER_POLICY, FLOW_TIER_BASELINE };
#define FLOW_N_TIERS 3

enum flow_action { FLOW_ACCEPT, FLOW_DENY, FLOW_PASS };

/* The level of the rule 'index' (0 to 24) of a ClusterNetworkPolicy of 'priority' (0 to 1000).  Smaller priorities first,
 * then smaller indexes; of rules of different objects at one place Deny goes first (clusternetworkpolicy 2: "any"). */
#define FLOW_LEVEL_LANES 16
uint16_t flow_level_cnp(int priority, size_t index, enum flow_action);
uint16_t flow_level_np(uint64_t rule_hash);

/* FIELD_L4: what a clause of ports matches. */
struct flow_l4 {
    uint32_t value, mask;               /* protocol << 16 | port. */
};
#define FLOW_L4(PROTOCOL, PORT) ((uint32_t) (PROTOCOL) << 16 | (PORT))

/* Ports 'first' to 'last' (0 to 65535: all) of a protocol, as the fewest matches: at most 30.  Returns how many. */
#define FLOW_L4_MAX 30
size_t flow_l4_range(uint8_t protocol, uint16_t first, uint16_t last, struct flow_l4 out[FLOW_L4_MAX]);

/* Cookies (cookie.h): a rule's, from its hash; of an address; of a clause. */
uint64_t flow_rule_cookie(uint64_t rule_hash);
uint64_t flow_endpoint_cookie(enum flow_direction, const struct inet_prefix *);

/* The identity of an address or a prefix: DST_IDENTITY for egress, SRC_IDENTITY for ingress.  The longest prefix wins. */
struct flow_entry *flow_make_address(enum flow_direction, uint32_t network, const struct inet_prefix *,
                                     uint32_t identity);

/* One clause of any number of conjunctions. */
enum flow_clause_kind { FLOW_CLAUSE_SUBJECT, FLOW_CLAUSE_PEER, FLOW_CLAUSE_L4, FLOW_CLAUSE_ALWAYS };

struct flow_conj {
    uint32_t id;
    uint8_t k, n;                       /* This is clause k (1 to n) of n. */
};

struct flow_clause {
    enum flow_direction direction;
    enum flow_tier tier;
    uint16_t level;
    enum flow_clause_kind kind;
    uint32_t number;                    /* Of a subject or a peer. */
    struct flow_l4 l4;
    const struct flow_conj *conjs;      /* By increasing id. */
    size_t n_conjs;
};
struct flow_entry *flow_make_clause(const struct flow_clause *);

/* What happens when the conjunction holds. */
struct flow_rule {
    enum flow_direction direction;
    enum flow_tier tier;
    uint16_t level;
    uint32_t conj_id;
    enum flow_action action;
    uint64_t cookie;                    /* flow_rule_cookie(). */
};
struct flow_entry *flow_make_rule(const struct flow_rule *);

#endif /* flows/policy-flow.h */
