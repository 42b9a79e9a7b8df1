/* Table 52, MTU.
 *
 * Decides:  whether a packet fits.  What does not is answered with ICMP by the controller, never lost in silence.
 * From:     TRANSIT.
 * Reads:    TOO_BIG, SOURCE, DST_SUBJECT, COMMIT, FRAGMENT.
 * Writes:   nothing.
 * To:       SRC_IDENTITY; OUTPUT, if no policy has to be asked and nothing to be committed.
 *
 * The gateway port has the pods' MTU, so the node's own stack has refused, or answered, what is too big before it came
 * here; and it would not believe an answer that bears its own address. */

#include <config.h>

#include "tables.h"

void
table_mtu_base(const struct flow_local *local, struct build *b)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_TOO_BIG, 1);
    match_field_masked(match, FIELD_SOURCE, SOURCE_GATEWAY, SOURCE_GATEWAY_MASK);
    build_flow(b, TABLE_MTU, PRIORITY_MTU_GATEWAY);

    match_field(build_match(b), FIELD_TOO_BIG, 1);
    build_punt(b, PUNT_TOO_BIG, METER_TOO_BIG, local->mtu);
    build_flow(b, TABLE_MTU, PRIORITY_MTU_TOO_BIG);

    match_field(build_match(b), FIELD_FRAGMENT, 1);
    build_goto(b, TABLE_SRC_IDENTITY);
    build_flow(b, TABLE_MTU, PRIORITY_MTU_FRAGMENT);

    match = build_match(b);
    match_field(match, FIELD_DST_SUBJECT, 0);
    match_field(match, FIELD_COMMIT, 0);
    build_goto(b, TABLE_OUTPUT);
    build_flow(b, TABLE_MTU, PRIORITY_MTU_UNCONCERNED);

    build_match(b);
    build_goto(b, TABLE_SRC_IDENTITY);
    build_flow(b, TABLE_MTU, PRIORITY_MTU_FITS);
}
