/* Table 46, EGRESS_VERDICT, and its twin 66, INGRESS_VERDICT.
 *
 * Decides:  drops what its direction denied; the only place where policy drops, so the only one that logs.
 * From:     EGRESS_*; INGRESS_*.
 * Reads:    DENIED, RULE, LOG.
 * Writes:   RULE: ingress begins anew.
 * To:       L3_FORWARD; CT_COMMIT. */

#include <config.h>

#include "tables.h"

static void
drop_denied(struct build *b, enum pipeline_table table, unsigned int priority)
{
    match_field(build_match(b), FIELD_DENIED, 1);
    build_flow(b, table, priority);
}

void
table_verdict_base(struct build *b)
{
    drop_denied(b, TABLE_EGRESS_VERDICT, PRIORITY_EGRESS_VERDICT_DENIED);
    build_match(b);
    build_load(b, FIELD_RULE, 0);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_EGRESS_VERDICT, PRIORITY_EGRESS_VERDICT_ALLOWED);

    drop_denied(b, TABLE_INGRESS_VERDICT, PRIORITY_INGRESS_VERDICT_DENIED);
    build_match(b);
    build_goto(b, TABLE_CT_COMMIT);
    build_flow(b, TABLE_INGRESS_VERDICT, PRIORITY_INGRESS_VERDICT_ALLOWED);
}
