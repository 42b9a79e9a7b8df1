#ifndef SLUICE_TRACE_FACTS_H
#define SLUICE_TRACE_FACTS_H 1

/* What "sluicectl trace" must know of the node to build a packet, taken from the daemon's status (JSON).  Pure.
 *
 * Addresses are as everywhere, IPv4 as IPv4-mapped IPv6 (lib/inet.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "controller/kube-types.h"      /* KUBE_MAX_*. */
#include "error.h"
#include "inet.h"
#include "openvswitch/shash.h"
#include "openvswitch/types.h"

struct trace_node {
    char *name;
    bool self, tunnel;                  /* 'tunnel': its pods are reached through the tunnel, to 'tunnel_dst'. */
    struct in6_addr tunnel_dst;
    struct in6_addr addrs[KUBE_MAX_ADDRS];
    size_t n_addrs;
    struct inet_prefix cidrs[KUBE_MAX_CIDRS];
    size_t n_cidrs;
};

struct trace_pod {
    char *name;                         /* "NAMESPACE/NAME". */
    char *node, *state;
    struct in6_addr addrs[KUBE_MAX_ADDRS];
    size_t n_addrs;
    struct in6_addr lost[KUBE_MAX_ADDRS];               /* Those of them that are another pod's by now. */
    size_t n_lost;
    uint16_t ofport;                    /* 0: it has none here. */
    struct eth_addr mac;
};

struct trace_facts {
    char *node, *bridge, *ovs_rundir;
    struct eth_addr router_mac, gateway_mac;
    struct eth_addr own_mac;            /* Of what the node itself sends; 'gateway_mac' of what it only routes. */
    uint16_t gateway_port, tunnel_port; /* 'tunnel_port' 0: none. */
    struct inet_prefix cidrs[KUBE_MAX_CIDRS];
    struct in6_addr gateways[KUBE_MAX_CIDRS];
    size_t n_cidrs;
    struct trace_node *nodes;
    size_t n_nodes;
    struct trace_pod *pods;
    size_t n_pods;
    struct shash node_names, pod_names; /* Into the arrays above. */
    struct shash node_addrs, pod_addrs; /* By the address as text. */
};

/* EINVAL: it is no status of sluiced; EAGAIN: the daemon does not know the node itself yet.  On failure 'facts' needs
 * no trace_facts_destroy(). */
int trace_facts_parse(const json_t *status, struct trace_facts *, struct error *);
void trace_facts_destroy(struct trace_facts *);         /* Frees the content. */

/* Who sends or receives. */
enum trace_end_kind {
    TRACE_POD,                          /* A pod with a port of this node's br-int. */
    TRACE_NODE,                         /* This node's own stack. */
    TRACE_PEER_POD,                     /* An address of another node's pods. */
    TRACE_PEER_NODE,                    /* Another node's own stack. */
    TRACE_OWN_CIDR,                     /* An address of this node's pods that no pod has. */
    TRACE_OUTSIDE,                      /* Any other address. */
};

struct trace_end {
    enum trace_end_kind kind;
    const struct trace_pod *pod;        /* NULL if no pod is known. */
    const struct trace_node *node;      /* The node where it is; NULL outside and for a node without an object. */
    struct in6_addr addrs[KUBE_MAX_ADDRS];
    size_t n_addrs;
};

/* Who is "NAMESPACE/NAME", a node's name or an address.  ENOENT: nobody known; EAGAIN: it has no address yet. */
int trace_facts_find(const struct trace_facts *, const char *text, struct trace_end *, struct error *);
const char *trace_end_node_name(const struct trace_facts *, const struct trace_end *);

#endif /* utilities/trace-facts.h */
