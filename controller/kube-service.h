#ifndef SLUICE_KUBE_SERVICE_H
#define SLUICE_KUBE_SERVICE_H 1

/* Services and their endpoints as they are kept: Service (v1), EndpointSlice (discovery.k8s.io/v1) and ServiceCIDR
 * (networking.k8s.io/v1).
 *
 * Defaults are filled in.  Which endpoints are chosen is for who compiles them.  Strings are values of intern.h and of
 * the store's pool.  Ports are in host byte order, times in seconds.
 *
 * Source: API reference v1.34, Service v1, EndpointSlice v1, ServiceCIDR v1. */

#include "controller/kube-types.h"

#define KUBE_LABEL_SERVICE_NAME "kubernetes.io/service-name"                    /* On a slice: its Service. */
#define KUBE_LABEL_PROXY_NAME "service.kubernetes.io/service-proxy-name"        /* On either: leave it alone. */
#define KUBE_LABEL_HEADLESS "service.kubernetes.io/headless"                    /* On either: leave it alone. */
#define KUBE_LABEL_ZONE "topology.kubernetes.io/zone"                           /* On a Node. */

#define KUBE_MAX_SERVICE_PORTS 1000
#define KUBE_MAX_SERVICE_ADDRS 1000     /* External addresses, those of load balancers, source ranges. */
#define KUBE_MAX_ENDPOINTS 1000
#define KUBE_MAX_SLICE_PORTS 20000
#define KUBE_MAX_HINTS 64
#define KUBE_MAX_SERVICE_CIDRS 2        /* As Kubernetes has it: one of each family. */

enum kube_service_type { KUBE_CLUSTER_IP, KUBE_NODE_PORT, KUBE_LOAD_BALANCER, KUBE_EXTERNAL_NAME };
enum kube_traffic_policy { KUBE_TRAFFIC_CLUSTER, KUBE_TRAFFIC_LOCAL };
/* "PreferClose" is an older name of "PreferSameZone"; what this version does not know is no preference. */
enum kube_traffic_distribution { KUBE_PREFER_ANY, KUBE_PREFER_SAME_ZONE, KUBE_PREFER_SAME_NODE };

struct kube_service_port {
    const char *name;                   /* NULL if it has none.  Joins it with a slice's port. */
    uint8_t protocol;                   /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP. */
    uint16_t port;
    uint16_t node_port;                 /* 0: none. */
};

struct kube_service {
    struct kube_object object;
    int64_t created;                    /* metadata.creationTimestamp, seconds since 1970; 0: none. */
    uint8_t type;                       /* enum kube_service_type. */
    bool headless;                      /* clusterIP "None". */
    bool client_ip_affinity;
    bool publish_not_ready;
    uint8_t internal_policy, external_policy;           /* enum kube_traffic_policy. */
    uint8_t distribution;               /* enum kube_traffic_distribution. */
    uint16_t health_check_port;         /* 0: none. */
    int32_t affinity_timeout;           /* Seconds; only with 'client_ip_affinity'. */
    struct kube_service_port *ports;
    struct in6_addr *cluster_ips;       /* At most one of each family; none: headless, or not given yet. */
    struct in6_addr *external_ips;
    struct in6_addr *lb_ips;            /* status.loadBalancer.ingress: the addresses that are to be captured. */
    struct inet_prefix *source_ranges;  /* loadBalancerSourceRanges; none: everybody. */
    uint32_t n_ports, n_cluster_ips, n_external_ips, n_lb_ips, n_source_ranges;
};

enum kube_address_type { KUBE_ADDRESS_IPV4, KUBE_ADDRESS_IPV6, KUBE_ADDRESS_FQDN };

/* The name of a zone or a node. */
struct kube_hint {
    const char *name;
};

struct kube_hints {
    struct kube_hint *zones, *nodes;    /* forZones, forNodes. */
    uint32_t n_zones, n_nodes;
};

/* There are very many of these: only what is needed. */
struct kube_endpoint {
    struct in6_addr addr;               /* The first one; the API gives others no meaning. */
    const char *node;                   /* NULL if not known. */
    struct kube_hints *hints;           /* NULL: none. */
    bool ready, serving, terminating;
};

struct kube_slice_port {
    const char *name;                   /* NULL if it has none. */
    uint8_t protocol;
    uint16_t port;                      /* 0: not given; nothing to serve. */
};

struct kube_endpointslice {
    struct kube_object object;
    uint8_t address_type;               /* enum kube_address_type.  FQDN: its endpoints are not kept. */
    struct kube_slice_port *ports;
    struct kube_endpoint *endpoints;
    uint32_t n_ports, n_endpoints;
};

/* Empty ones if it has none. */
static inline const struct kube_hints *
kube_endpoint_hints(const struct kube_endpoint *e)
{
    static const struct kube_hints none;

    return e->hints ? e->hints : &none;
}

/* Where the API server takes ClusterIPs from; another source of them is the server's --service-cluster-ip-range, which it
 * announces as the ServiceCIDR "kubernetes". */
struct kube_servicecidr {
    struct kube_object object;
    struct inet_prefix *cidrs;
    uint32_t n_cidrs;
};

static inline const struct kube_service *
kube_service_cast(const struct kube_object *o)
{
    return (const struct kube_service *) o;
}

static inline const struct kube_endpointslice *
kube_endpointslice_cast(const struct kube_object *o)
{
    return (const struct kube_endpointslice *) o;
}

static inline const struct kube_servicecidr *
kube_servicecidr_cast(const struct kube_object *o)
{
    return (const struct kube_servicecidr *) o;
}

#endif /* controller/kube-service.h */
