/* Table 51, TRANSIT.
 *
 * Decides:  which kind of source may go to which kind of destination; counts the hop; measures the size.
 * From:     L3_FORWARD.
 * Reads:    SOURCE, DEST, ct_state, the TTL.
 * Writes:   the TTL, TOO_BIG, HAIRPIN.
 * To:       MTU.
 *
 *     from \ to     POD        TUNNEL     NODE       OUTSIDE
 *     POD           hop        hop        pass       pass
 *     TUNNEL        hop        drop       pass       drop
 *     GATEWAY       pass       pass       drop *     drop *    FORWARDED the same
 *     ROUTER        pass       pass       pass       pass
 *
 * Each node is one hop.  br-int and the node's stack are one router together: br-int counts the hop unless the stack
 * is on either side, because the stack counts what it forwards, and what is delivered to the node, or comes from it,
 * has no hop.
 *
 * (*) But for Services: the endpoint is in the host network of this node or is reached through its stack, and so br-int
 * only translates.  The packet goes back to the gateway port (HAIRPIN), and so does the answer, out of which that makes a
 * reply.
 *
 * Nothing leaves by the tunnel that came in by it, so there is no loop through it.
 *
 * A pod must not make encapsulated packets itself: with them it could be any source.  On the userspace datapath Open
 * vSwitch decapsulates what br-int sends to the gateway port, if it is for an address of the node and the tunnels' UDP
 * port.  Fragments it does not, but another node would, or the kernel: nftables drops them (controller/hostnet-nft.c). */

#include <config.h>

#include "tables.h"

static struct match *
between(struct build *b, enum flow_source source, enum flow_dest dest)
{
    struct match *match = build_match(b);
    if (source == SOURCE_GATEWAY) {
        match_field_masked(match, FIELD_SOURCE, source, SOURCE_GATEWAY_MASK);
    } else if (source) {
        match_field(match, FIELD_SOURCE, source);
    }
    if (dest) {
        match_field(match, FIELD_DEST, dest);
    }
    return match;
}

static void
drop(struct build *b, enum flow_source source, enum flow_dest dest, unsigned int priority)
{
    between(b, source, dest);
    build_flow(b, TABLE_TRANSIT, priority);
}

static void
pass(const struct flow_local *local, struct build *b, enum flow_source source, enum flow_dest dest)
{
    between(b, source, dest);
    if (source != SOURCE_ROUTER) {
        build_measure(b, local->mtu);
    }
    build_goto(b, TABLE_MTU);
    build_flow(b, TABLE_TRANSIT, PRIORITY_TRANSIT_UNCOUNTED);
}

static void
expired(struct build *b, uint16_t dl_type, uint8_t ttl)
{
    struct match *match = build_match(b);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_ttl(match, ttl);
    build_punt(b, PUNT_TIME_EXCEEDED, METER_TIME_EXCEEDED, 0);
    build_flow(b, TABLE_TRANSIT, PRIORITY_TRANSIT_EXPIRED);
}

static void
hop(const struct flow_local *local, struct build *b, enum flow_source source, enum flow_dest dest, uint16_t dl_type)
{
    match_set_dl_type(between(b, source, dest), htons(dl_type));
    build_dec_ttl(b);
    build_measure(b, local->mtu);
    build_goto(b, TABLE_MTU);
    build_flow(b, TABLE_TRANSIT, PRIORITY_TRANSIT_HOP);
}

static void
drop_forged(const struct flow_local *local, struct build *b, enum flow_dest dest, uint16_t dl_type)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_DEST, dest);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_proto(match, IPPROTO_UDP);
    match_set_tp_dst(match, htons(local->tunnel_udp));
    build_flow(b, TABLE_TRANSIT, PRIORITY_TRANSIT_FORGED);
}

/* To an endpoint, and its answers. */
static void
u_turn(const struct flow_local *local, struct build *b, enum flow_dest dest)
{
    static const uint32_t states[] = { CS_TRACKED | CS_DST_NAT, CS_TRACKED | CS_REPLY_DIR | CS_SRC_NAT };

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        match_ct_state(between(b, SOURCE_GATEWAY, dest), states[i]);
        build_load(b, FIELD_HAIRPIN, 1);
        build_measure(b, local->mtu);
        build_goto(b, TABLE_MTU);
        build_flow(b, TABLE_TRANSIT, PRIORITY_TRANSIT_U_TURN);
    }
}

void
table_transit_base(const struct flow_local *local, struct build *b)
{
    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };

    drop(b, SOURCE_TUNNEL, DEST_TUNNEL, PRIORITY_TRANSIT_TUNNEL_TO_TUNNEL);
    drop(b, SOURCE_TUNNEL, DEST_OUTSIDE, PRIORITY_TRANSIT_TUNNEL_TO_OUTSIDE);
    u_turn(local, b, DEST_NODE);
    u_turn(local, b, DEST_OUTSIDE);
    drop(b, SOURCE_GATEWAY, DEST_NODE, PRIORITY_TRANSIT_GATEWAY_RETURN);
    drop(b, SOURCE_GATEWAY, DEST_OUTSIDE, PRIORITY_TRANSIT_GATEWAY_RETURN);

    pass(local, b, SOURCE_POD, DEST_NODE);
    pass(local, b, SOURCE_POD, DEST_OUTSIDE);
    pass(local, b, SOURCE_TUNNEL, DEST_NODE);
    pass(local, b, SOURCE_GATEWAY, 0);
    pass(local, b, SOURCE_ROUTER, 0);

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (local->tunnel_udp) {
            drop_forged(local, b, DEST_NODE, families[i]);
            drop_forged(local, b, DEST_OUTSIDE, families[i]);
        }
        expired(b, families[i], 0);
        expired(b, families[i], 1);
        hop(local, b, SOURCE_POD, DEST_POD, families[i]);
        hop(local, b, SOURCE_POD, DEST_TUNNEL, families[i]);
        hop(local, b, SOURCE_TUNNEL, DEST_POD, families[i]);
    }

    build_match(b);
    build_flow(b, TABLE_TRANSIT, PRIORITY_TRANSIT_UNKNOWN);
}
