#ifndef SLUICE_SERVICE_FLOW_H
#define SLUICE_SERVICE_FLOW_H 1

/* The flows and groups of Services: how what the service core (controller/services.h) decides is written in OpenFlow.
 *
 * A packet to a Service's address takes this way, each time, before conntrack has seen it:
 *
 *     SERVICE            door: (address, protocol, port) and where it comes from   -> a group, or "reject", or "drop"
 *     SERVICE_AFFINITY   learned: (set, client) -> endpoint                        only doors with affinity
 *     SERVICE_SELECT     (endpoint) -> conntrack; (set) -> a group                 only doors with affinity
 *     SERVICE_SHARD      (set, shard) -> a group                                   only sets of many endpoints
 *     group              one bucket for each endpoint: ct(commit, nat(dst=endpoint), table=CT_STATE)
 *
 * With affinity a bucket (an action set, into which no learn() fits) loads FIELD_ENDPOINT and goes back to SERVICE_SELECT,
 * and the group, as the shard, is chosen by a hash of the client's address alone: what the switch has learned takes
 * effect some time later, and a client's first connections must have one endpoint too.
 *
 * dp_hash costs one recirculation (none if there is only one endpoint, and no affinity: type indirect), conntrack the
 * other.  A connection that conntrack knows keeps its endpoint whatever the group says now.  Answers are recognized by
 * their source port, which is some endpoint's (flow_add_tracked_port()), and get their address back in CONNTRACK.
 *
 * The entry is committed before policy has judged; what policy allows gets CT_MARK_ALLOWED afterwards (CT_COMMIT), and
 * replies pass only with that mark.
 *
 * Fragments.  Open vSwitch shows the port of none, not even of the first one.  Those of a known connection are translated,
 * whatever the Service.  A new connection can begin with fragments only where they need no port to find the door:
 * 'fragments' of struct flow_door.
 *
 * An address is never translated to itself: Open vSwitch 3.1's userspace conntrack then finds the entry of the answers when
 * it looks for the connection's, and ovs-vswitchd aborts.  So who makes doors never lets one lead to itself
 * (FLOW_DOOR_DIRECT).
 *
 * SCTP: the conntrack of Open vSwitch's userspace datapath does not know it, so there no Service has it; the kernel's does.
 *
 *   set       the endpoints behind a door, in FIELD_SERVICE where it has to be looked up again; a number (lib/numbers.h)
 *   shard     a part of a set of many endpoints (lib/shares.h): a group holds at most a few
 *   endpoint  of a set with affinity: a number in FIELD_ENDPOINT
 *
 * Addresses in network byte order, IPv4 as IPv4-mapped IPv6; ports in host byte order.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fields.h"
#include "flow-input.h"
#include "flow-set.h"
#include "inet.h"

/* Addresses between br-int and the node's stack, which nobody else sees.  IPv4: of 169.254.192.0/18, IPv6: of
 * fd53:4c00:0:1::/64.
 *
 *   HAIRPIN   who talks to itself through a Service sees this as the client: a pod that is its own endpoint; the node
 *             when an endpoint is in the host network of this node or is reached through its stack.
 *   ROUTER    next hop of the node's stack for what goes to Services: br-int answers ARP and ND for it.
 *   NODE      what the node's stack makes of a local address when a packet comes to a NodePort.
 *   ALIAS     base of what it makes of a local address that is a Service's too (externalIPs, load balancers, hostIP):
 *             the low 14 (IPv4: from .193.0 on) or 16 bits tell them apart. */
#define FLOW_LINK_PREFIX_V4 "169.254.192.0/18"
#define FLOW_LINK_PREFIX_V6 "fd53:4c00:0:1::/64"
#define FLOW_HAIRPIN_V4 "169.254.192.1"
#define FLOW_HAIRPIN_V6 "fd53:4c00:0:1::1"
#define FLOW_ROUTER_V4 "169.254.192.2"
#define FLOW_ROUTER_V6 "fd53:4c00:0:1::2"
#define FLOW_NODE_V4 "169.254.192.3"
#define FLOW_NODE_V6 "fd53:4c00:0:1::3"

/* The number of alias 'index' (0 to FLOW_N_ALIASES - 1) in the family. */
#define FLOW_N_ALIASES 0x3e00
struct in6_addr flow_alias(bool v6, unsigned int index);

/* Computes dp_hash, and goes on in SERVICE_SHARD with 8 bits of it that no group uses.  In compile_base(). */
#define FLOW_GROUP_HASH 1
struct group_entry *flow_make_hash_group(void);

/* The addresses to which NodePorts and host ports belong: FIELD_NODE_ADDR.  The node's own; FLOW_NODE_* are in
 * compile_base(). */
struct flow_entry *flow_make_node_addr(uint32_t network, const struct in6_addr *);

/* A way in to a Service. */
enum flow_door_action {
    FLOW_DOOR_GROUP,                    /* 'number': a group's id. */
    FLOW_DOOR_SHARDS,                   /* 'number': a set's, with more endpoints than a group takes. */
    FLOW_DOOR_AFFINITY,                 /* 'number': a set's, whose clients keep their endpoint. */
    FLOW_DOOR_REJECT,                   /* TCP reset, ICMP port unreachable. */
    FLOW_DOOR_DROP,
    FLOW_DOOR_DIRECT,                   /* As if there was no door: the address and port are an endpoint themselves. */
};

enum flow_door_source {
    FLOW_DOOR_ANYBODY,
    FLOW_DOOR_OUTSIDE,                  /* What the node forwards (SOURCE_FORWARDED): goes before the others. */
    FLOW_DOOR_NODE,                     /* What the node itself sends. */
};

struct flow_door {
    uint32_t network;
    bool node_addr;                     /* Any address of the node; then 'addr' only tells the family.  With
                                         * FLOW_DOOR_DIRECT: 'addr', if it is the node's (goes before the others). */
    struct in6_addr addr;
    uint8_t protocol;                   /* 0: any, and any port: the rest of an address (least priority). */
    uint16_t port;
    enum flow_door_source source;
    const struct inet_prefix *src;      /* Only from here (loadBalancerSourceRanges): goes before those without. */
    bool fragments;                     /* Fragments too, which show no port: the address has only this port of the
                                         * protocol.  Of IPv6 they show no protocol either: only UDP gets them. */
    enum flow_door_action action;
    uint32_t number;
    uint64_t cookie;                    /* flow_service_cookie(). */
};
/* One flow; two with 'fragments' and for the rest of an address. */
void flow_add_door(const struct flow_door *, struct flow_set *out);

/* Of all flows of one port of a Service: 'hash' of what identifies it. */
uint64_t flow_service_cookie(uint64_t hash);

/* What comes from, or goes to, this port of anybody goes through conntrack: some endpoint has it.  Both families. */
void flow_add_tracked_port(uint32_t network, uint8_t protocol, uint16_t port, struct flow_set *out);

/* Groups. */
struct flow_endpoint {
    struct in6_addr addr;
    uint16_t port;
    uint16_t weight;                    /* Of 256 (lib/shares.h). */
    uint32_t number;                    /* Only with affinity. */
};

struct flow_affinity {
    uint32_t set;
    uint32_t timeout;                   /* Seconds since the last packet; what is more than OpenFlow's 65535 is that. */
};

/* The id of an endpoint's bucket, by which OVS keeps its counters: the same in every group. */
uint32_t flow_bucket_id(const struct flow_endpoint *);

/* The buckets of 'endpoints' in this order, which all have the family of the first.  'affinity' NULL: none. */
struct group_entry *flow_make_group(uint32_t group_id, const struct flow_endpoint *, size_t n, const struct flow_affinity *);

/* SERVICE_SELECT: the group of a set, or its shards if 'group_id' is FLOW_GROUP_HASH. */
struct flow_entry *flow_make_select(uint32_t set, uint32_t group_id, uint64_t cookie);
/* SERVICE_SELECT: an endpoint that was learned.  When this flow goes, what was learned goes with it. */
struct flow_entry *flow_make_endpoint(uint32_t network, const struct flow_affinity *, const struct flow_endpoint *,
                                      uint64_t cookie);
/* SERVICE_SHARD: the shards 'value' / 'mask' of 8 bits. */
struct flow_entry *flow_make_shard(uint32_t set, uint8_t value, uint8_t mask, uint32_t group_id, uint64_t cookie);

/* Learned flows, at most this many for an endpoint. */
#define FLOW_AFFINITY_LIMIT 65536

#endif /* flows/service-flow.h */
