/* Table 72, OUTPUT.
 *
 * Decides:  nothing more: sends to the port that was chosen.  But answers of DNS servers to a pod with rules about domain
 *           names go to the controller first, which sends them on (controller/domain.h).  Only replies: what comes from
 *           port 53 without having been asked says nothing.  No fragments, whose rest would overtake the first.
 *           A fragment that conntrack has given up to wait with ends here (FRAGMENT).
 * From:     MTU, SRC_IDENTITY, CT_COMMIT.
 * Reads:    OUT_PORT, DONE, FRAGMENT, ct_state.
 * Writes:   nothing.
 * To:       the port.  A port that does not exist (yet) is a drop; so is the port that the packet came from. */

#include <config.h>

#include "tables.h"

void
table_output_base(struct build *b)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_FRAGMENT, 1);
    match_ct_state(match, CS_INVALID);
    build_flow(b, TABLE_OUTPUT, PRIORITY_OUTPUT_ALONE);

    build_match(b);
    build_output_field(b, FIELD_OUT_PORT);
    build_flow(b, TABLE_OUTPUT, PRIORITY_OUTPUT_SEND);
}

static void
punt_dns(const struct flow_pod *pod, ovs_be16 dl_type, struct build *b)
{
    struct match *match = build_match(b);

    match_field(match, FIELD_OUT_PORT, ofp_to_u16(pod->ofport));
    match_field(match, FIELD_DONE, 1);
    match_set_dl_type(match, dl_type);
    match_set_nw_proto(match, IPPROTO_UDP);
    match_set_nw_frag_masked(match, 0, FLOW_NW_FRAG_MASK);
    match_set_tp_src(match, htons(53));
    build_punt(b, PUNT_DNS, METER_DNS, 0);
    build_flow(b, TABLE_OUTPUT, PRIORITY_OUTPUT_DNS);
}

void
table_output_pod(const struct flow_pod *pod, struct build *b)
{
    if (pod->policy.domains && !pod->isolated) {
        punt_dns(pod, htons(ETH_TYPE_IP), b);
        punt_dns(pod, htons(ETH_TYPE_IPV6), b);
    }
}
