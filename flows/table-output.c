/* Table 72, OUTPUT.
 *
 * Decides:  nothing more: sends to the port that was chosen.  What goes back to where it came from (HAIRPIN) must say so to
 *           OVS, and who talks to itself through a Service, a pod or the node, must not see its own address as the other
 *           side's: FLOW_HAIRPIN_* (service-flow.h).  But answers of DNS servers to a pod with rules about domain
 *           names go to the controller first, which sends them on (controller/domain.h).  Only replies: what comes from
 *           port 53 without having been asked says nothing.  No fragments, whose rest would overtake the first.
 *           A fragment that conntrack has given up to wait with ends here (FRAGMENT).
 * From:     MTU, SRC_IDENTITY, CT_COMMIT.
 * Reads:    OUT_PORT, DONE, HAIRPIN, SOURCE, FRAGMENT, ct_state, the source address.
 * Writes:   the source address.
 * To:       the port.  A port that does not exist (yet) is a drop; so is, without HAIRPIN, the port that the packet came
 *           from. */

#include <config.h>

#include "service-flow.h"
#include "tables.h"

/* Open vSwitch never sends to the port that the packet came from; 0 is none. */
static void
turn_round(struct build *b, unsigned int priority)
{
    const ovs_be16 none = htons(0);

    build_set(b, MFF_IN_PORT, &none);
    build_output_field(b, FIELD_OUT_PORT);
    build_flow(b, TABLE_OUTPUT, priority);
}

static struct match *
hairpin(enum flow_source source, uint32_t source_mask, bool v6, struct build *b)
{
    struct in6_addr addr = inet_addr_constant(v6 ? FLOW_HAIRPIN_V6 : FLOW_HAIRPIN_V4);

    struct match *match = build_match(b);
    match_field(match, FIELD_HAIRPIN, 1);
    match_field(match, FIELD_DONE, 0);
    match_field_masked(match, FIELD_SOURCE, source, source_mask);
    match_family(match, &addr);
    if (v6) {
        build_set(b, MFF_IPV6_SRC, &addr);
    } else {
        ovs_be32 addr4 = in6_addr_get_mapped_ipv4(&addr);
        build_set(b, MFF_IPV4_SRC, &addr4);
    }
    return match;
}

void
table_output_base(const struct flow_local *local, struct build *b)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_FRAGMENT, 1);
    match_ct_state(match, CS_INVALID);
    build_flow(b, TABLE_OUTPUT, PRIORITY_OUTPUT_ALONE);

    for (int v6 = false; v6 <= true; v6++) {
        hairpin(SOURCE_POD, 0xf, v6, b);
        turn_round(b, PRIORITY_OUTPUT_HAIRPIN);
    }
    for (size_t i = 0; i < local->n_gateway_addrs; i++) {
        const struct in6_addr *addr = &local->gateway_addrs[i];
        match_ip_src(hairpin(SOURCE_GATEWAY, SOURCE_GATEWAY_MASK, !inet_is_v4(addr), b), addr);
        turn_round(b, PRIORITY_OUTPUT_HAIRPIN);
    }
    match_field(build_match(b), FIELD_HAIRPIN, 1);
    turn_round(b, PRIORITY_OUTPUT_RETURN);

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
