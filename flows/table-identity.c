/* Table 32, DST_IDENTITY, and its twin 58, SRC_IDENTITY.
 *
 * Decides:  who the other side is: the number of the set of peers of relevant rules that its address falls into, the
 *           longest prefix first (flows/policy-flow.h).  Before that, whether anybody has to be asked at all:
 *           - egress: only if an egress policy selects the local source, and not what it sends to itself;
 *           - ingress: only if an ingress policy selects the local destination, and then not for replies and errors,
 *             which are DONE, later fragments, what br-int's router says, and what the node itself sends to its pods,
 *             whatever address it uses (networkpolicy 26).  What the node only forwards has a source of its own,
 *             SOURCE_FORWARDED, and is judged by the address that it comes with (networkpolicy 14, 30).
 * From:     L4 for DST_IDENTITY; MTU for SRC_IDENTITY.
 * Reads:    SRC_SUBJECT; DST_SUBJECT, DONE, SOURCE; NETWORK, the address.
 * Writes:   DST_IDENTITY; SRC_IDENTITY.
 * To:       EGRESS_ADMIN, or L3_FORWARD; INGRESS_ADMIN, CT_COMMIT, or OUTPUT for what is never committed.
 *
 * An address without a flow has identity 0: rules with peers do not match it, rules for everybody do. */

#include <config.h>

#include "tables.h"

void
table_dst_identity_base(struct build *b)
{
    match_field(build_match(b), FIELD_SRC_SUBJECT, 0);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_DST_IDENTITY, PRIORITY_DST_IDENTITY_NO_SUBJECT);

    build_match(b);
    build_goto(b, TABLE_EGRESS_ADMIN);
    build_flow(b, TABLE_DST_IDENTITY, PRIORITY_DST_IDENTITY_NOBODY);
}

/* A pod to itself, which it only is here through a Service (networkpolicy 27).  Ingress: L3_FORWARD. */
void
table_dst_identity_pod(const struct flow_pod *pod, struct build *b)
{
    for (size_t i = 0; i < pod->n_addrs && pod_subject(pod, FLOW_EGRESS); i++) {
        match_hairpin(build_match(b), pod, &pod->addrs[i]);
        build_goto(b, TABLE_L3_FORWARD);
        build_flow(b, TABLE_DST_IDENTITY, PRIORITY_DST_IDENTITY_HAIRPIN);
    }
}

void
table_src_identity_base(struct build *b)
{
    match_field(build_match(b), FIELD_DONE, 1);
    build_goto(b, TABLE_OUTPUT);
    build_flow(b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_DONE);

    match_field(build_match(b), FIELD_SOURCE, SOURCE_ROUTER);
    build_goto(b, TABLE_OUTPUT);
    build_flow(b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_ROUTER);

    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        struct match *match = build_match(b);
        match_set_dl_type(match, htons(families[i]));
        match_set_nw_frag_masked(match, FLOW_NW_FRAG_LATER, FLOW_NW_FRAG_LATER);
        build_goto(b, TABLE_CT_COMMIT);
        build_flow(b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_LATER);
    }

    match_field(build_match(b), FIELD_DST_SUBJECT, 0);
    build_goto(b, TABLE_CT_COMMIT);
    build_flow(b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_NO_SUBJECT);

    match_field(build_match(b), FIELD_SOURCE, SOURCE_GATEWAY);
    build_goto(b, TABLE_CT_COMMIT);
    build_flow(b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_OWN_NODE);

    build_match(b);
    build_goto(b, TABLE_INGRESS_ADMIN);
    build_flow(b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_NOBODY);
}
