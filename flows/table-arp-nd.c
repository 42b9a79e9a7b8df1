/* Table 4, ARP_ND.
 *
 * Decides:  which ARP requests and neighbour solicitations br-int answers, always with the router's MAC, out of the
 *           port that they came from.  Nothing is ever flooded, and neither ARP nor ND goes any further.
 * From:     SPOOF_GUARD for pods, CLASSIFY for the gateway port.
 * Reads:    NETWORK, SOURCE, ARP, ND.
 * Writes:   SWAP, and the answer in place of the question; NODE_ADDR.
 * To:       SERVICE for IP; ND_ANSWER for the answer to a solicitation.
 *
 * A pod may ask for the node's gateway address only; the node, for any address of the pod CIDRs that it reaches through
 * br-int, and for those that lie between it and br-int (FLOW_LINK_PREFIX_*, service-flow.h).  An advertisement says
 * that it comes from a router, was solicited and overrides (RFC 4861, section 4.4). */

#include <config.h>

#include <netinet/icmp6.h>

#include "service-flow.h"
#include "tables.h"

static void
answer_arp(const struct flow_local *local, struct build *b)
{
    enum mf_field_id swap = flow_field_info(FIELD_SWAP)->store;

    build_move(b, MFF_ETH_SRC, MFF_ETH_DST);
    build_set(b, MFF_ETH_SRC, &local->router_mac);
    ovs_be16 reply = htons(ARP_OP_REPLY);
    build_set(b, MFF_ARP_OP, &reply);
    build_move(b, MFF_ARP_SHA, MFF_ARP_THA);
    build_set(b, MFF_ARP_SHA, &local->router_mac);
    build_move(b, MFF_ARP_TPA, swap);
    build_move(b, MFF_ARP_SPA, MFF_ARP_TPA);
    build_move(b, swap, MFF_ARP_SPA);
    build_output_in_port(b);
}

static void
answer_nd(const struct flow_local *local, struct build *b)
{
    if (local->kernel_datapath) {
        build_punt(b, PUNT_ND_SOLICIT, METER_ND_SOLICIT, 0);
        return;
    }
    build_move(b, MFF_ETH_SRC, MFF_ETH_DST);
    build_set(b, MFF_ETH_SRC, &local->router_mac);
    build_move(b, MFF_IPV6_SRC, MFF_IPV6_DST);
    build_move(b, MFF_ND_TARGET, MFF_IPV6_SRC);
    build_set_u8(b, MFF_ICMPV6_TYPE, ND_NEIGHBOR_ADVERT);
    ovs_be32 flags = htonl(ND_RSO_ROUTER | ND_RSO_SOLICITED | ND_RSO_OVERRIDE);
    build_set(b, MFF_ND_RESERVED, &flags);
    build_set_u8(b, MFF_ND_OPTIONS_TYPE, ND_OPT_TARGET_LINKADDR);
    build_goto(b, TABLE_ND_ANSWER);
}

/* The node asks from the gateway port's MAC, as what it forwards comes. */
static struct match *
solicit(enum flow_source source, const struct inet_prefix *target, struct build *b)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    if (source == SOURCE_GATEWAY) {
        match_field_masked(match, FIELD_SOURCE, source, SOURCE_GATEWAY_MASK);
    } else {
        match_field(match, FIELD_SOURCE, source);
    }
    match_solicit(match, target);
    return match;
}

static void
answer(const struct flow_local *local, enum flow_source source, const struct inet_prefix *target, struct build *b)
{
    solicit(source, target, b);
    if (inet_is_v4(&target->addr)) {
        answer_arp(local, b);
    } else {
        answer_nd(local, b);
    }
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_ANSWER);
}

static void
drop_icmp6(struct build *b, uint8_t type)
{
    match_icmp6(build_match(b), type);
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_UNANSWERED);
}

static void
pass(struct build *b, uint16_t dl_type)
{
    match_set_dl_type(build_match(b), htons(dl_type));
    build_goto(b, TABLE_SERVICE);
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_IP);
}

/* What the node's stack makes of its own addresses for NodePorts.  Nobody else may use it. */
static void
node_addr(const char *text, struct build *b)
{
    struct inet_prefix addr = inet_cidr_constant(text);

    struct match *match = build_match(b);
    match_field(match, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    match_field_masked(match, FIELD_SOURCE, SOURCE_GATEWAY, SOURCE_GATEWAY_MASK);
    match_ip_dst(match, &addr);
    build_load(b, FIELD_NODE_ADDR, 1);
    build_goto(b, TABLE_SERVICE);
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_NODE_ADDRESS);
}

static void
answer_link(const struct flow_local *local, const char *text, struct build *b)
{
    struct inet_prefix prefix = inet_cidr_constant(text);
    answer(local, SOURCE_GATEWAY, &prefix, b);
}

void
table_arp_nd_base(const struct flow_local *local, struct build *b)
{
    struct match *match = build_match(b);
    match_icmp6(match, ND_NEIGHBOR_SOLICIT);
    match_set_ipv6_src(match, &in6addr_any);
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_DUPLICATE_PROBE);

    for (size_t i = 0; i < local->n_gateway_addrs; i++) {
        struct inet_prefix gateway = inet_prefix_host(&local->gateway_addrs[i]);
        solicit(SOURCE_GATEWAY, &gateway, b);
        build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_OWN_ADDRESS);
        answer(local, SOURCE_POD, &gateway, b);
    }
    for (size_t i = 0; i < local->n_pod_cidrs; i++) {
        answer(local, SOURCE_GATEWAY, &local->pod_cidrs[i], b);
    }

    answer_link(local, FLOW_LINK_PREFIX_V4, b);
    answer_link(local, FLOW_LINK_PREFIX_V6, b);

    match_set_dl_type(build_match(b), htons(ETH_TYPE_ARP));
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_UNANSWERED);
    for (int type = ND_ROUTER_SOLICIT; type <= ND_REDIRECT; type++) {
        drop_icmp6(b, type);
    }

    node_addr(FLOW_NODE_V4 "/32", b);
    node_addr(FLOW_NODE_V6 "/128", b);
    pass(b, ETH_TYPE_IP);
    pass(b, ETH_TYPE_IPV6);
    build_match(b);
    build_flow(b, TABLE_ARP_ND, PRIORITY_ARP_ND_OTHER);
}

void
table_arp_nd_peer(const struct flow_local *local, const struct flow_peer *peer, struct build *b)
{
    if (peer->reach == FLOW_REACH_TUNNEL) {
        for (size_t i = 0; i < peer->n_pod_cidrs; i++) {
            answer(local, SOURCE_GATEWAY, &peer->pod_cidrs[i], b);
        }
    }
}
