#ifndef SLUICE_SERVICE_JSON_H
#define SLUICE_SERVICE_JSON_H 1

/* The doors of Services as JSON: what "sluicectl services --json" and "sluicectl compile --services --json" print.
 *
 * An array in the order of namespace, name, port, kind, address, source; each element has
 *
 *   namespace, name         of the Service; of the pod if 'kind' is HostPort
 *   port                    the port's name; null: it has none
 *   kind                    ClusterIP, NodePort, ExternalIP, LoadBalancer, HostPort
 *   address                 0.0.0.0, ::: any address of the node, in that family
 *   protocol                TCP, UDP, SCTP; any: what no other door of the address takes
 *   port_number             where clients send to; 0 with "any"
 *   source                  anybody, outside (what the node forwards), node (what it sends itself)
 *   src                     only clients from this prefix; missing: all
 *   action                  forward, reject, drop
 *   affinity                seconds; 0: none
 *   why                     how the endpoints were chosen, or why there are none
 *   endpoints               address, port, local, terminating, share (of 1), node, pod ("NAMESPACE/NAME"); the last two may
 *                           be null
 *
 * With 'details' also what leads to the counters: "flows" (the door's, by priority and match, as OVS writes them), "set"
 * (with affinity), and each endpoint's "groups", in which it has a bucket.
 *
 * Pure. */

#include <stdbool.h>

#include <jansson.h>

#include "service-flow.h"

struct endpoints;
struct services;

/* 'endpoints' tells the pods' names.  The caller's. */
json_t *service_doors_to_json(const struct services *, const struct endpoints *, bool details);
/* The one that a packet to (address, protocol, port) meets, as services_find_door(); NULL: none.  The caller's. */
json_t *service_door_to_json(const struct services *, const struct endpoints *, const struct in6_addr *, uint8_t protocol,
                             uint16_t port, enum flow_door_source);
/* "services", "ports", ..., "groups", "buckets": how many. */
json_t *service_stats_to_json(const struct services *);

#endif /* controller/service-json.h */
