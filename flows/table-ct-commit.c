/* Table 70, CT_COMMIT.
 *
 * Decides:  nothing more: commits a new connection, now that both directions' policy has allowed it, so that its
 *           replies will be known.
 * From:     SRC_IDENTITY, INGRESS_VERDICT.
 * Reads:    COMMIT, NETWORK.
 * Writes:   nothing.
 * To:       OUTPUT. */

#include <config.h>

#include "tables.h"

void
table_ct_commit_base(struct build *b)
{
    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        struct match *match = build_match(b);
        match_field(match, FIELD_COMMIT, 1);
        match_set_dl_type(match, htons(families[i]));
        build_ct_commit(b);
        build_goto(b, TABLE_OUTPUT);
        build_flow(b, TABLE_CT_COMMIT, PRIORITY_CT_COMMIT_COMMIT);
    }

    build_match(b);
    build_goto(b, TABLE_OUTPUT);
    build_flow(b, TABLE_CT_COMMIT, PRIORITY_CT_COMMIT_KNOWN);
}
