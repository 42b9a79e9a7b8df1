#include <config.h>

#include "controller/node-input.h"

#include <string.h>

#include "flow.h"
#include "packets.h"
#include "util.h"

const struct eth_addr node_router_mac = ETH_ADDR_C(0a,53,4c,00,00,01);
const struct eth_addr node_gateway_mac = ETH_ADDR_C(0a,53,4c,00,00,02);
const struct eth_addr node_own_mac = ETH_ADDR_C(0a,53,4c,00,00,03);

uint16_t
node_tunnel_udp(enum encap encap)
{
    return encap == ENCAP_NONE ? 0 : encap == ENCAP_VXLAN ? 4789 : 6081;
}

void
node_fill_local(struct flow_local *local, const char *node, enum encap encap, uint16_t mtu, bool kernel_datapath,
                const struct inet_prefix *cidrs, const struct in6_addr *gateways, size_t n)
{
    *local = (struct flow_local) {
        .name = node, .router_mac = node_router_mac, .gateway_mac = node_gateway_mac,
        .own_mac = node_own_mac,
        .gateway_port = u16_to_ofp(OFPORT_GATEWAY),
        .tunnel_port = encap == ENCAP_NONE ? OFPP_NONE : u16_to_ofp(OFPORT_TUNNEL),
        .tunnel_udp = node_tunnel_udp(encap),
        .mtu = mtu, .kernel_datapath = kernel_datapath, .pod_cidrs = cidrs, .n_pod_cidrs = n,
        .gateway_addrs = gateways, .n_gateway_addrs = n,
    };
}

const struct in6_addr *
node_tunnel_address(const struct node_underlay *underlay, const struct in6_addr *addrs, size_t n)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            bool v4 = inet_is_v4(&addrs[i]);
            if (v4 == !pass && (v4 ? underlay->v4 : underlay->v6)) {
                return &addrs[i];
            }
        }
    }
    return NULL;
}

const struct in6_addr *
node_route_address(const struct in6_addr *addrs, size_t n, const struct inet_prefix *cidr)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_is_v4(&addrs[i]) == inet_is_v4(&cidr->addr)) {
            return &addrs[i];
        }
    }
    return NULL;
}

/* A peer whose packets can be routed: its address is in one of the uplink's own subnets. */
static bool
is_neighbour(const struct node_underlay *underlay, const struct in6_addr *addr)
{
    for (size_t i = 0; i < underlay->n_addrs; i++) {
        if (inet_prefix_contains(&underlay->addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

bool
node_is_routed(const struct node_underlay *underlay, const struct in6_addr *addr)
{
    return (underlay->encap == ENCAP_NONE || (underlay->encap == ENCAP_HYBRID && is_neighbour(underlay, addr)));
}

bool
node_fill_peer(const struct node_underlay *underlay, const struct kube_node *node, const char *owner,
               struct flow_peer *peer, const char **problem)
{
    *problem = NULL;
    if (!strcmp(node->object.name, underlay->node) || !node->n_pod_cidrs) {
        return false;
    }
    const struct in6_addr *dst = node_tunnel_address(underlay, node->addrs, node->n_addrs);
    if (!dst) {
        *problem = "has no InternalIP of a family that this node's uplink has: its pods cannot be reached";
        return false;
    }
    *peer = (struct flow_peer) {
        .owner = owner, .reach = node_is_routed(underlay, dst) ? FLOW_REACH_GATEWAY : FLOW_REACH_TUNNEL, .tunnel_dst = *dst,
        .pod_cidrs = node->pod_cidrs, .n_pod_cidrs = node->n_pod_cidrs,
    };
    return true;
}
