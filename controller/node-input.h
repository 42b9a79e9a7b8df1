#ifndef SLUICE_NODE_INPUT_H
#define SLUICE_NODE_INPUT_H 1

/* From Node objects and the facts of this node to the compiler's input.  Pure; the daemon and "sluicectl compile" share
 * it.
 *
 * Which way to a peer: through the tunnel, to the first of its InternalIPs whose family this node's underlay has too,
 * IPv4 first because its headers are smaller; or, without encapsulation and for hybrid inside of a subnet of the
 * uplink, routed by the underlay. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/kube-types.h"
#include "controller/ovsdb.h"           /* enum encap. */
#include "flow-input.h"
#include "inet.h"

/* Fixed MACs, the same on every node: neither is ever seen outside of a node's br-int. */
extern const struct eth_addr node_router_mac, node_gateway_mac, node_own_mac;

/* The UDP port of tunnels: IANA's, which Open vSwitch uses; 0: no tunnels. */
uint16_t node_tunnel_udp(enum encap);

struct node_underlay {
    const char *node;                   /* Own name. */
    enum encap encap;
    bool v4, v6;                        /* Families of the uplink's addresses. */
    const struct inet_prefix *addrs;    /* The uplink's addresses with their prefixes. */
    size_t n_addrs;
};

/* What does not depend on peers and pods.  'cidrs' and 'gateways' (one for each) stay the caller's. */
void node_fill_local(struct flow_local *, const char *node, enum encap, uint16_t mtu, bool kernel_datapath,
                     const struct inet_prefix *cidrs, const struct in6_addr *gateways, size_t n);

/* Where a tunnel to the node with these InternalIPs ends; NULL: it has none of a family that this node's underlay has. */
const struct in6_addr *node_tunnel_address(const struct node_underlay *, const struct in6_addr *addrs, size_t n);
/* The address of the family of 'cidr', for routes; NULL: none. */
const struct in6_addr *node_route_address(const struct in6_addr *addrs, size_t n, const struct inet_prefix *cidr);
/* Whether packets to the node with that address are routed rather than put into the tunnel. */
bool node_is_routed(const struct node_underlay *, const struct in6_addr *addr);

/* Makes 'peer', which points into 'node' and 'owner' ("Node/NAME").  False if there is nothing to reach: it is this
 * node, it has no pods, or it cannot be reached, and then '*problem' (a constant) says why. */
bool node_fill_peer(const struct node_underlay *, const struct kube_node *, const char *owner, struct flow_peer *peer,
                    const char **problem);

#endif /* controller/node-input.h */
