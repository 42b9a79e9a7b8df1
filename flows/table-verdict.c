/* Table 46, EGRESS_VERDICT, and its twin 66, INGRESS_VERDICT.
 *
 * Decides:  drops what its direction denied; the only place where policy drops, so the only one that logs: what is denied,
 *           and the first packet of what is allowed, goes to the controller too if the pod's log wants it.
 * From:     EGRESS_*; INGRESS_*.
 * Reads:    DENIED, RULE, LOG, COMMIT.
 * Writes:   RULE: ingress begins anew.
 * To:       L3_FORWARD; CT_COMMIT. */

#include <config.h>

#include "tables.h"

static void
denied(struct build *b, enum pipeline_table table, unsigned int logged, unsigned int silent)
{
    for (enum flow_log log = FLOW_LOG_DROPS; log <= FLOW_LOG_ALL; log++) {
        struct match *match = build_match(b);
        match_field(match, FIELD_DENIED, 1);
        match_field(match, FIELD_LOG, log);
        build_punt(b, PUNT_POLICY_LOG, METER_POLICY_LOG, 0);
        build_flow(b, table, logged);
    }
    match_field(build_match(b), FIELD_DENIED, 1);
    build_flow(b, table, silent);
}

static void
go_on(struct build *b, enum pipeline_table table, unsigned int priority)
{
    if (table == TABLE_EGRESS_VERDICT) {
        build_load(b, FIELD_RULE, 0);
    }
    build_goto(b, table == TABLE_EGRESS_VERDICT ? TABLE_L3_FORWARD : TABLE_CT_COMMIT);
    build_flow(b, table, priority);
}

static void
allowed(struct build *b, enum pipeline_table table, unsigned int logged, unsigned int silent)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_LOG, FLOW_LOG_ALL);
    match_field(match, FIELD_COMMIT, 1);
    build_punt(b, PUNT_POLICY_LOG, METER_POLICY_LOG, 0);
    go_on(b, table, logged);

    build_match(b);
    go_on(b, table, silent);
}

void
table_verdict_base(struct build *b)
{
    denied(b, TABLE_EGRESS_VERDICT, PRIORITY_EGRESS_VERDICT_DENIED_LOGGED, PRIORITY_EGRESS_VERDICT_DENIED);
    allowed(b, TABLE_EGRESS_VERDICT, PRIORITY_EGRESS_VERDICT_ALLOWED_LOGGED, PRIORITY_EGRESS_VERDICT_ALLOWED);
    denied(b, TABLE_INGRESS_VERDICT, PRIORITY_INGRESS_VERDICT_DENIED_LOGGED, PRIORITY_INGRESS_VERDICT_DENIED);
    allowed(b, TABLE_INGRESS_VERDICT, PRIORITY_INGRESS_VERDICT_ALLOWED_LOGGED, PRIORITY_INGRESS_VERDICT_ALLOWED);
}
