/* Table 70, CT_COMMIT.
 *
 * Decides:  nothing more: commits a new connection, now that both directions' policy has allowed it, and marks it
 *           (CT_MARK_ALLOWED), so that its replies will pass.  One to a Service was committed before, without the mark;
 *           conntrack finds it by the translated packet.  In a clone, because what comes out of ct() on the userspace
 *           datapath may be more than what went in: old fragments of others (FRAGMENT).
 * From:     SRC_IDENTITY, INGRESS_VERDICT.
 * Reads:    COMMIT, FRAGMENT, NETWORK, ct_state.
 * Writes:   with the kernel's datapath the source port of what would be answered like another connection.
 * To:       OUTPUT; by recirculation for a fragment, when all of its packet are there (FRAGMENT), and for what may get
 *           another source port.
 *
 * Two connections of a client from one port, one to an endpoint and one to a Service that leads there, would get the
 * same answers.  So the later of them gets another source port, as from any router with NAT: the one to the Service in
 * build_ct_dnat(), the one to the endpoint here.  The userspace datapath cannot (build_ct_allow_unique()). */

#include <config.h>

#include "tables.h"

static void
gather(struct build *b, uint16_t dl_type, bool commit, unsigned int priority)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_FRAGMENT, 1);
    if (commit) {
        match_field(match, FIELD_COMMIT, 1);
    }
    match_set_dl_type(match, htons(dl_type));
    if (commit) {
        build_ct_allow(b, TABLE_OUTPUT);
    } else {
        build_ct(b, TABLE_OUTPUT);
    }
    build_flow(b, TABLE_CT_COMMIT, priority);
}

static void
commit_unique(struct build *b, uint16_t dl_type)
{
    struct match *match = build_match(b);

    match_field(match, FIELD_COMMIT, 1);
    match_set_ct_state_masked(match, 0, CS_DST_NAT);
    match_set_dl_type(match, htons(dl_type));
    build_ct_allow_unique(b, TABLE_OUTPUT);
    build_flow(b, TABLE_CT_COMMIT, PRIORITY_CT_COMMIT_COMMIT_UNIQUE);
}

void
table_ct_commit_base(const struct flow_local *local, struct build *b)
{
    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        gather(b, families[i], true, PRIORITY_CT_COMMIT_COMMIT_FRAGMENT);
        gather(b, families[i], false, PRIORITY_CT_COMMIT_FRAGMENT);

        if (local->kernel_datapath) {
            commit_unique(b, families[i]);
        }
        struct match *match = build_match(b);
        match_field(match, FIELD_COMMIT, 1);
        match_set_dl_type(match, htons(families[i]));
        build_ct_allow_clone(b);
        build_goto(b, TABLE_OUTPUT);
        build_flow(b, TABLE_CT_COMMIT, PRIORITY_CT_COMMIT_COMMIT);
    }

    build_match(b);
    build_goto(b, TABLE_OUTPUT);
    build_flow(b, TABLE_CT_COMMIT, PRIORITY_CT_COMMIT_KNOWN);
}
