/* Table 0, CLASSIFY.
 *
 * Decides:  the network of a packet, and what kind of port it came from.
 * From:     every port of br-int.
 * Reads:    in_port, the VLAN tag, the tunnel key, the source MAC of the gateway port.
 * Writes:   NETWORK, SOURCE; for a pod that policies select TRACK, SRC_SUBJECT, LOG.
 * To:       SPOOF_GUARD for a pod; ARP_ND for the gateway port; TRACK for the tunnel, in which no ARP travels.
 *
 * What the node itself sends comes from a MAC of its own (controller/hostnet-nft.c), so that what it only forwards does
 * not pass for it.  While nothing writes that MAC everything counts as forwarded: closed.  ARP and ND always come from
 * the port's MAC. */

#include <config.h>

#include "tables.h"

static struct match *
gateway(const struct flow_local *local, enum flow_source source, struct build *b)
{
    struct match *match = build_match(b);
    match_set_in_port(match, local->gateway_port);
    match_no_vlan(match);
    build_load(b, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    build_load(b, FIELD_SOURCE, source);
    build_goto(b, TABLE_ARP_ND);
    return match;
}

static void
base_gateway(const struct flow_local *local, struct build *b)
{
    bool told_apart = !eth_addr_is_zero(local->own_mac);

    if (told_apart) {
        match_set_dl_src(gateway(local, SOURCE_GATEWAY, b), local->own_mac);
        build_flow(b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_OWN_NODE);
    }
    gateway(local, told_apart ? SOURCE_FORWARDED : SOURCE_GATEWAY, b);
    build_flow(b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_GATEWAY);
}

static void
base_tunnel(const struct flow_local *local, struct build *b)
{
    struct match *match = build_match(b);
    match_set_in_port(match, local->tunnel_port);
    match_set_tun_id(match, htonll(FLOW_NETWORK_DEFAULT));
    match_no_vlan(match);
    build_load(b, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    build_load(b, FIELD_SOURCE, SOURCE_TUNNEL);
    build_goto(b, TABLE_TRACK);
    build_flow(b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_TUNNEL);

    match_set_in_port(build_match(b), local->tunnel_port);
    build_flow(b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_TUNNEL_UNKNOWN);
}

void
table_classify_base(const struct flow_local *local, struct build *b)
{
    base_gateway(local, b);
    if (local->tunnel_port != OFPP_NONE) {
        base_tunnel(local, b);
    }

    build_match(b);
    build_flow(b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_UNKNOWN);
}

void
table_classify_pod(const struct flow_pod *pod, struct build *b)
{
    match_set_in_port(build_match(b), pod->ofport);
    build_load(b, FIELD_NETWORK, pod->network);
    build_load(b, FIELD_SOURCE, SOURCE_POD);
    if (pod_is_subject(pod)) {
        build_load(b, FIELD_TRACK, 1);
    }
    if (pod_subject(pod, FLOW_EGRESS)) {
        build_load(b, FIELD_SRC_SUBJECT, pod_subject(pod, FLOW_EGRESS));
        build_load(b, FIELD_LOG, pod->policy.log);
    }
    build_goto(b, TABLE_SPOOF_GUARD);
    build_flow(b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_POD);
}
