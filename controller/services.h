#ifndef SLUICE_SERVICES_H
#define SLUICE_SERVICES_H 1

/* The service core: Services, EndpointSlices, host ports and facts about this node in; flows, groups, entries for the
 * host's stack, health checks and what to flush from conntrack out.
 *
 * What must hold is numbered in acceptance/services.md; tests and comments here name those items.  How it is written in
 * OpenFlow: flows/service-flow.h.
 *
 *   Service port x family -> its two sets of endpoints, "cluster" and "local" (items 3, 4, 5), joined by port name (2)
 *   set                   -> a group, or shards; sets of equal content are one (lib/shares.h, lib/numbers.h)
 *   doors                 -> cluster address: cluster set, or local set (8)
 *                            node port, external address, load balancer: cluster set, or with externalTrafficPolicy Local
 *                            the local set for what comes from outside and the cluster set for pods and the node (13, 14)
 *                            no endpoint anywhere: reject (9); none here but elsewhere: drop (8, 13)
 *                            source ranges (18); the rest of an address: reject (10)
 *
 * An event touches only the Service that it belongs to.  Numbers of groups and sets depend on what is there and not on
 * how it came: a group's is that of the first Service port (by name) that uses it.  After any history the outcome is that
 * of a full recompute.  All effects of one services_run() go into one bundle.
 *
 * Bad input (ports of 0, the wrong family, endpoints with loopback, multicast, link-local addresses) is left out and
 * named by services_for_each_problem(); everything else works.
 *
 * Pure: no I/O, no clock.  Objects that were given must stay until they are given back as 'old'. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/ct-entry.h"
#include "controller/kube-service.h"
#include "controller/service-host.h"
#include "flow-set.h"
#include "service-flow.h"

struct services;

struct services *services_create(const char *node_name);
void services_destroy(struct services *);

/* Events.  'old' is what was told last (NULL: nothing), 'new' what is now (NULL: it went). */
void services_service(struct services *, const struct kube_service *old, const struct kube_service *new);
void services_slice(struct services *, const struct kube_endpointslice *old, const struct kube_endpointslice *new);

/* This node: the addresses at which NodePorts are served, and its zone (NULL: none). */
void services_set_node(struct services *, const char *zone, const struct in6_addr *addrs, size_t n_addrs);

/* Ports of the host that lead to a local pod (CNI portMappings; item 31). */
struct service_host_port {
    struct in6_addr host_addr;          /* Unspecified (:: or mapped 0.0.0.0): all addresses of the node. */
    uint16_t host_port, pod_port;
    uint8_t protocol;
};
/* 'id' names the attachment, the same after a restart; its addresses, of either family.  n_ports 0: none any more. */
void services_set_host_ports(struct services *, uint64_t id, const char *pod, const struct service_host_port *,
                             size_t n_ports, const struct in6_addr *addrs, size_t n_addrs);

/* Works out what the events since the last run mean.  True if there are effects. */
bool services_run(struct services *);

/* Entries of conntrack that lead to an endpoint which went, or that were made before there was one: those whose original
 * destination is (vip, port) and whose reply comes from (endpoint, endpoint port). */
struct service_flush {
    struct ct_entry entry;              /* Of any client.  The endpoint is the address itself: what was not translated. */
    bool host;                          /* Instead: entries of the host's own conntrack to (vip, port) that lead nowhere
                                         * of ours; 'endpoint' means nothing. */
};

/* Whether a connection of UDP or SCTP (item 24) may stay as it is: its endpoint serves behind that door, or it is none of
 * a Service.  After any history, exactly those that were not flushed may stay. */
bool services_keeps(const struct services *, const struct ct_entry *);

/* Item 20. */
struct service_health {
    const char *namespace_, *name;
    uint16_t port;
    size_t n_local;                     /* Ready endpoints here. */
};

enum service_effect_type {
    SERVICE_PUT_FLOW,                   /* 'flow' is wanted, instead of any other with its key. */
    SERVICE_DROP_FLOW,                  /* The flow with the key of 'flow' is not wanted any more. */
    SERVICE_PUT_GROUP,                  /* 'group' is wanted, instead of any other with its id. */
    SERVICE_DROP_GROUP,                 /* The group with 'group_id' is not wanted any more. */
    SERVICE_PUT_HOST,                   /* 'host' is wanted, instead of any other with (kind, addr, protocol, port). */
    SERVICE_DROP_HOST,
    SERVICE_FLUSH,                      /* When the flows and groups are in place. */
    SERVICE_PUT_HEALTH,                 /* 'health', instead of any other with its port; strings are the core's, for now. */
    SERVICE_DROP_HEALTH,
};

struct service_effect {
    enum service_effect_type type;
    struct flow_entry *flow;            /* The caller gets the reference, */
    struct group_entry *group;          /* and of this. */
    uint32_t group_id;
    struct service_host host;           /* Its 'src' is the core's, until the next services_run(). */
    struct service_flush flush;
    struct service_health health;
};
bool services_pop(struct services *, struct service_effect *);

/* Everything that is wanted now, as effects would have built it up: flows and groups. */
void services_get_flows(const struct services *, struct flow_set *);

/* Looking at it. ------------------------------------------------------------------------------------------------- */

struct service_endpoint_info {
    struct in6_addr addr;
    uint16_t port;
    bool local, terminating;
    double share;                       /* Of the hash space, 0 to 1. */
    const char *node;                   /* NULL: not known. */
    /* Where its buckets are, for counters: lib/shares.h may give it several. */
    struct { uint32_t group_id, bucket_id; } buckets[4];
    size_t n_buckets;
};

enum service_door_kind { SERVICE_CLUSTER_IP, SERVICE_NODE_PORT, SERVICE_EXTERNAL_IP, SERVICE_LOAD_BALANCER,
                         SERVICE_HOST_PORT };

/* One door, with the endpoints that it leads to: "why" tells how they were chosen ("all ready endpoints", "ready
 * endpoints with a hint for zone z", "terminating endpoints that still serve", "this node's", ...) or why there are none. */
struct service_door_info {
    const struct kube_service *service;         /* NULL for a host port, */
    const char *pod;                            /* which is this pod's. */
    const struct kube_service_port *port;       /* NULL for a host port. */
    enum service_door_kind kind;
    struct flow_door door;
    const struct service_endpoint_info *endpoints;
    size_t n_endpoints;
    uint32_t affinity_timeout;                  /* 0: none. */
    const char *why;
};
void services_for_each_door(const struct services *, const struct kube_service *, /* NULL: all */
                            void (*cb)(const struct service_door_info *, void *aux), void *aux);
/* The Service that the door of (address, protocol, port) belongs to, as seen by pods; false: none. */
bool services_find_door(const struct services *, const struct in6_addr *, uint8_t protocol, uint16_t port,
                        enum flow_door_source, void (*cb)(const struct service_door_info *, void *aux), void *aux);

/* The Services that have a problem, by name. */
void services_for_each_problem(const struct services *,
                               void (*cb)(const struct kube_service *, const char *problem, void *aux), void *aux);
/* The Service and port whose flows have this cookie; NULL: none. */
const struct kube_service *services_of_cookie(const struct services *, uint64_t cookie, const char **port_name);

struct services_stats {
    size_t n_services, n_ports, n_doors, n_slices, n_endpoints, n_sets, n_groups, n_buckets, n_affinity_sets;
};
void services_get_stats(const struct services *, struct services_stats *);

#endif /* controller/services.h */
