/* Table 50, L3_FORWARD.
 *
 * Decides:  where a packet goes, by (network, destination address) alone: the route table of the node's virtual router.
 *           Whether that source may go there is TRANSIT's business.
 * From:     TRACK; CT_STATE for replies; EGRESS_VERDICT; the controller's answers (punt_reply_actions()).
 * Reads:    NETWORK, the destination address.
 * Writes:   DEST, OUT_PORT, HAIRPIN, both MACs, the tunnel's key and destination; for a local pod that policies select
 *           DST_SUBJECT, LOG.
 * To:       TRANSIT.
 *
 * The longest prefix wins: one address, the node's own pod CIDR (without a pod: a drop, nobody else has it), the
 * peers' CIDRs by length, everything else. */

#include <config.h>

#include "service-flow.h"
#include "tables.h"

static void
route(struct build *b, uint32_t network, const struct inet_prefix *dst)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_NETWORK, network);
    match_ip_dst(match, dst);
}

static void
send_to(struct build *b, enum flow_dest dest, ofp_port_t port, struct eth_addr src, struct eth_addr dst)
{
    build_set(b, MFF_ETH_SRC, &src);
    build_set(b, MFF_ETH_DST, &dst);
    build_load(b, FIELD_DEST, dest);
    build_load(b, FIELD_OUT_PORT, ofp_to_u16(port));
    build_goto(b, TABLE_TRANSIT);
}

static void
drop_dst(struct build *b, const char *text, unsigned int priority)
{
    struct inet_prefix dst = inet_cidr_constant(text);
    match_ip_dst(build_match(b), &dst);
    build_flow(b, TABLE_L3_FORWARD, priority);
}

static void
default_route(const struct flow_local *local, struct build *b, uint16_t dl_type)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    match_set_dl_type(match, htons(dl_type));
    send_to(b, DEST_OUTSIDE, local->gateway_port, local->router_mac, local->gateway_mac);
    build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_DEFAULT);
}

void
table_l3_forward_base(const struct flow_local *local, struct build *b)
{
    drop_dst(b, "224.0.0.0/4", PRIORITY_L3_FORWARD_MULTICAST);
    drop_dst(b, "240.0.0.0/4", PRIORITY_L3_FORWARD_MULTICAST);
    drop_dst(b, "ff00::/8", PRIORITY_L3_FORWARD_MULTICAST);
    drop_dst(b, "fe80::/10", PRIORITY_L3_FORWARD_LINK_LOCAL);
    drop_dst(b, FLOW_LINK_PREFIX_V4, PRIORITY_L3_FORWARD_LINK);
    drop_dst(b, FLOW_LINK_PREFIX_V6, PRIORITY_L3_FORWARD_LINK);
    drop_dst(b, "127.0.0.0/8", PRIORITY_L3_FORWARD_LOOPBACK);
    drop_dst(b, "::1/128", PRIORITY_L3_FORWARD_LOOPBACK);

    for (size_t i = 0; i < local->n_gateway_addrs; i++) {
        struct inet_prefix dst = inet_prefix_host(&local->gateway_addrs[i]);
        route(b, FLOW_NETWORK_DEFAULT, &dst);
        send_to(b, DEST_NODE, local->gateway_port, local->router_mac, local->gateway_mac);
        build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_HOST);
    }
    for (size_t i = 0; i < local->n_pod_cidrs; i++) {
        route(b, FLOW_NETWORK_DEFAULT, &local->pod_cidrs[i]);
        build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_NO_POD);
    }

    default_route(local, b, ETH_TYPE_IP);
    default_route(local, b, ETH_TYPE_IPV6);
    build_match(b);
    build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_UNKNOWN);
}

/* Without DST_SUBJECT: a pod may always talk to itself (networkpolicy 27).  Egress: DST_IDENTITY. */
static void
hairpin(const struct flow_local *local, const struct flow_pod *pod, const struct in6_addr *addr, struct build *b)
{
    match_hairpin(build_match(b), pod, addr);
    build_load(b, FIELD_HAIRPIN, 1);
    send_to(b, DEST_POD, pod->ofport, local->router_mac, pod->mac);
    build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_HAIRPIN);
}

void
table_l3_forward_pod(const struct flow_local *local, const struct flow_pod *pod, struct build *b)
{
    for (size_t i = 0; i < pod->n_addrs; i++) {
        struct inet_prefix dst = inet_prefix_host(&pod->addrs[i]);
        if (pod->isolated) {            /* Its address may be outside of the node's CIDR (delegated IPAM). */
            route(b, pod->network, &dst);
            build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_ISOLATED);
            continue;
        }
        hairpin(local, pod, &pod->addrs[i], b);
        route(b, pod->network, &dst);
        if (pod_subject(pod, FLOW_INGRESS)) {
            build_load(b, FIELD_DST_SUBJECT, pod_subject(pod, FLOW_INGRESS));
            build_load(b, FIELD_LOG, pod->policy.log);
        }
        send_to(b, DEST_POD, pod->ofport, local->router_mac, pod->mac);
        build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_HOST);
    }
}

static void
send_to_tunnel(const struct flow_local *local, const struct flow_peer *peer, struct build *b)
{
    ovs_be64 key = htonll(FLOW_NETWORK_DEFAULT);
    build_set(b, MFF_TUN_ID, &key);
    if (inet_is_v4(&peer->tunnel_dst)) {
        ovs_be32 dst = in6_addr_get_mapped_ipv4(&peer->tunnel_dst);
        build_set(b, MFF_TUN_DST, &dst);
    } else {
        build_set(b, MFF_TUN_IPV6_DST, &peer->tunnel_dst);
    }
    send_to(b, DEST_TUNNEL, local->tunnel_port, local->router_mac, local->router_mac);
}

/* A peer behind a tunnel that this node does not have is a drop: by the default route its pods would see the node's
 * address. */
void
table_l3_forward_peer(const struct flow_local *local, const struct flow_peer *peer, struct build *b)
{
    for (size_t i = 0; i < peer->n_pod_cidrs; i++) {
        const struct inet_prefix *cidr = &peer->pod_cidrs[i];
        route(b, FLOW_NETWORK_DEFAULT, cidr);
        if (peer->reach == FLOW_REACH_GATEWAY) {
            send_to(b, DEST_OUTSIDE, local->gateway_port, local->router_mac, local->gateway_mac);
        } else if (local->tunnel_port != OFPP_NONE) {
            send_to_tunnel(local, peer, b);
        }
        build_flow(b, TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_PEER + cidr->plen);
    }
}
