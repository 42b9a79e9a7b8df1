#ifndef SLUICE_FLOW_INPUT_H
#define SLUICE_FLOW_INPUT_H 1

/* What the flow compiler wants to know.
 *
 * flows/ defines its own input and the controller fills it: types flow up, data flows down.  Nothing here owns what it
 * points to; everything must stay as it is for the duration of one call of the compiler.  Addresses are in network
 * byte order, IPv4 as IPv4-mapped IPv6 (lib/inet.h); MTUs are bytes of IP packet. */

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inet.h"
#include "openvswitch/types.h"

/* The network (OpenFlow metadata, tunnel key) of pods that ask for no other. */
#define FLOW_NETWORK_DEFAULT 1

/* The node itself. */
struct flow_local {
    const char *name;
    struct eth_addr router_mac;         /* Answers ARP and ND; source of every frame that br-int routes. */
    struct eth_addr gateway_mac;        /* Of the gateway port, the node's own leg in br-int. */
    struct eth_addr own_mac;            /* Source of the IP packets that the node itself sends; what it only forwards
                                         * comes from 'gateway_mac' (SOURCE_FORWARDED).  Zeros: not told apart. */
    ofp_port_t gateway_port;
    ofp_port_t tunnel_port;             /* OFPP_NONE: this node has no tunnel. */
    uint16_t tunnel_udp;                /* UDP port of encapsulated packets; 0: none. */
    uint16_t mtu;                       /* Of the pods; what is larger is answered with ICMP. */
    bool kernel_datapath;               /* It cannot make an advertisement of a solicitation (OVSDB: Datapath capability
                                         * "nd_ext" is false): they go to the controller.  Its conntrack can change a source
                                         * port only where it must (CT_COMMIT). */

    const struct inet_prefix *pod_cidrs;        /* The node's own, at most one of each family for now. */
    size_t n_pod_cidrs;
    const struct in6_addr *gateway_addrs;       /* Of the gateway port, one for each pod CIDR. */
    size_t n_gateway_addrs;
};

/* What policies say of a local pod (controller/policy.h, policy-flow.h), by enum flow_direction: egress, ingress. */
struct flow_pod_policy {
    uint32_t subject[2];                /* Number of the set of rules that hold for the pod; 0: none. */
    bool isolated[2];                   /* A NetworkPolicy selects it: what no rule allows is dropped. */
    uint8_t log;                        /* enum flow_log: which verdicts about it are logged. */
    bool domains;                       /* An egress rule that holds for it names domains: the controller sees the answers
                                         * of DNS servers before the pod does (PUNT_DNS). */
};

/* The subject of a pod that is isolated, but for which no rule holds.  lib/numbers.h never gives this number. */
#define FLOW_SUBJECT_NO_RULES UINT32_MAX

enum flow_log { FLOW_LOG_NONE, FLOW_LOG_DROPS, FLOW_LOG_ALL };

/* A pod's port on br-int. */
struct flow_pod {
    const char *owner;                  /* "Pod/NAMESPACE/NAME/IFNAME"; see flows/cookie.h. */
    uint32_t network;                   /* FLOW_NETWORK_DEFAULT. */
    ofp_port_t ofport;
    struct eth_addr mac;
    const struct in6_addr *addrs;
    size_t n_addrs;
    bool isolated;                      /* Nothing is known of it yet, so it sends and gets no IP.  ARP and ND are
                                         * answered, so that its first packet afterwards need not wait for them. */
    struct flow_pod_policy policy;
};

/* Another node. */
enum flow_reach {
    FLOW_REACH_TUNNEL,                  /* Through the tunnel port, to 'tunnel_dst'. */
    FLOW_REACH_GATEWAY,                 /* Routed by the underlay: out of the gateway port. */
};

struct flow_peer {
    const char *owner;                  /* "Node/NAME". */
    enum flow_reach reach;
    struct in6_addr tunnel_dst;
    const struct inet_prefix *pod_cidrs;
    size_t n_pod_cidrs;
};

struct flow_input {
    struct flow_local local;
    const struct flow_pod *pods;
    size_t n_pods;
    const struct flow_peer *peers;
    size_t n_peers;
};

#endif /* flows/flow-input.h */
