/* Tables 40 EGRESS_ADMIN, 42 EGRESS_POLICY, 44 EGRESS_BASELINE, and their twins 60 INGRESS_ADMIN, 62 INGRESS_POLICY,
 * 64 INGRESS_BASELINE.
 *
 * Decide:   by the rules of the three tiers whether the direction is allowed (clusternetworkpolicy 1 to 3).
 * From:     DST_IDENTITY; SRC_IDENTITY.
 * Read:     the subject, the identity of the other side, L4.
 * Write:    RULE, DENIED.
 * To:       EGRESS_VERDICT; INGRESS_VERDICT.
 *
 *     ADMIN      rules by level.  Accept and Deny decide, Pass skips the rest of the tier: to POLICY.
 *     POLICY     what a rule of a NetworkPolicy allows is allowed.  Then the default deny of each local pod that a
 *                NetworkPolicy selects in the direction: a flow of the pod's own, so its counter is the pod's.
 *     BASELINE   rules by level; Pass skips the rest.  What is left is allowed.
 *
 * The rules themselves are conjunctions, put in by the policy core: flows/policy-flow.h. */

#include <config.h>

#include "tables.h"

static void
next(struct build *b, enum pipeline_table table, unsigned int priority, enum pipeline_table to)
{
    build_match(b);
    build_goto(b, to);
    build_flow(b, table, priority);
}

void
table_policy_base(struct build *b)
{
    next(b, TABLE_EGRESS_ADMIN, PRIORITY_EGRESS_ADMIN_NEXT, TABLE_EGRESS_POLICY);
    next(b, TABLE_EGRESS_POLICY, PRIORITY_EGRESS_POLICY_NEXT, TABLE_EGRESS_BASELINE);
    next(b, TABLE_EGRESS_BASELINE, PRIORITY_EGRESS_BASELINE_NEXT, TABLE_EGRESS_VERDICT);
    next(b, TABLE_INGRESS_ADMIN, PRIORITY_INGRESS_ADMIN_NEXT, TABLE_INGRESS_POLICY);
    next(b, TABLE_INGRESS_POLICY, PRIORITY_INGRESS_POLICY_NEXT, TABLE_INGRESS_BASELINE);
    next(b, TABLE_INGRESS_BASELINE, PRIORITY_INGRESS_BASELINE_NEXT, TABLE_INGRESS_VERDICT);
}

void
table_policy_pod(const struct flow_pod *pod, struct build *b)
{
    if (!pod->isolated && pod->policy.isolated[FLOW_EGRESS]) {
        match_set_in_port(build_match(b), pod->ofport);
        build_load(b, FIELD_DENIED, 1);
        build_goto(b, TABLE_EGRESS_VERDICT);
        build_flow(b, TABLE_EGRESS_POLICY, PRIORITY_EGRESS_POLICY_DEFAULT_DENY);
    }
    if (!pod->isolated && pod->policy.isolated[FLOW_INGRESS]) {
        match_field(build_match(b), FIELD_OUT_PORT, ofp_to_u16(pod->ofport));
        build_load(b, FIELD_DENIED, 1);
        build_goto(b, TABLE_INGRESS_VERDICT);
        build_flow(b, TABLE_INGRESS_POLICY, PRIORITY_INGRESS_POLICY_DEFAULT_DENY);
    }
}
