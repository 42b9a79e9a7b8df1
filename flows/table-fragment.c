/* Table 13, FRAGMENT.
 *
 * Decides:  which packets are judged: whole ones, and the first fragment for all of its packet.
 * From:     CT_STATE.
 * Reads:    whether it is a fragment.
 * Writes:   FRAGMENT; COMMIT.
 * To:       L4; L3_FORWARD for later fragments.
 *
 * Only the userspace datapath knows fragments here.  (The kernel's goes on with the whole packet after ct() and cuts it
 * again when it sends.)  Its conntrack puts a packet together to look at it and then goes on with the fragments, each
 * with the state of the whole, but OVS shows the ports of a later one neither as its own nor as those of its connection
 * (lib/flow.c, miniflow_extract()).  So rules with ports cannot judge a later fragment, and whatever they would make of
 * it, its fate must be that of the first (networkpolicy 32).
 *
 * Therefore later fragments pass by the tables of policy, but at the end CT_COMMIT sends each fragment through ct()
 * once more, which holds it until all of its packet are there.  If the first was denied it never comes, and the others
 * are dropped when their time is over: conntrack lets go of them as invalid, in whatever packet's company, and OUTPUT
 * drops those.
 *
 * A later fragment of TCP shows no flags and so must not commit what was picked up in mid-stream. */

#include <config.h>

#include "tables.h"

static struct match *
fragment(struct build *b, uint16_t dl_type, uint8_t frag, uint8_t mask)
{
    struct match *match = build_match(b);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_frag_masked(match, frag, mask);
    build_load(b, FIELD_FRAGMENT, 1);
    return match;
}

static void
fragments(struct build *b, uint16_t dl_type)
{
    struct match *match = fragment(b, dl_type, FLOW_NW_FRAG_LATER, FLOW_NW_FRAG_LATER);
    match_set_ct_state_masked(match, CS_TRACKED, CS_TRACKED | CS_INVALID);      /* So the tuple is valid. */
    match_set_ct_nw_proto(match, IPPROTO_TCP);
    build_load(b, FIELD_COMMIT, 0);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_FRAGMENT, PRIORITY_FRAGMENT_LATER_TCP);

    fragment(b, dl_type, FLOW_NW_FRAG_LATER, FLOW_NW_FRAG_LATER);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_FRAGMENT, PRIORITY_FRAGMENT_LATER);

    fragment(b, dl_type, FLOW_NW_FRAG_ANY, FLOW_NW_FRAG_ANY);
    build_goto(b, TABLE_L4);
    build_flow(b, TABLE_FRAGMENT, PRIORITY_FRAGMENT_FIRST);
}

void
table_fragment_base(struct build *b)
{
    fragments(b, ETH_TYPE_IP);
    fragments(b, ETH_TYPE_IPV6);
    build_match(b);
    build_goto(b, TABLE_L4);
    build_flow(b, TABLE_FRAGMENT, PRIORITY_FRAGMENT_WHOLE);
}
