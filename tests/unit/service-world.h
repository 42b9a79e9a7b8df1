#ifndef SERVICE_WORLD_H
#define SERVICE_WORLD_H 1

/* For tests of the service core: Services, slices, host ports and facts of one node come and go, are told to a core, and
 * its effects are carried out on maps of flows, groups, entries of the node's stack and health checks.  Where a packet
 * would go is looked up in those maps by plain C, which knows nothing of how they were made. */

#include "controller/services.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/hmap.h"
#include "openvswitch/shash.h"
#include "world-flows.h"

#define WORLD_NODE "n1"

struct service_world {
    struct services *core;
    struct shash objects;               /* "KIND NAMESPACE/NAME" to struct kube_object. */
    struct shash pods;                  /* "ID" to struct world_pod. */
    char *zone;
    struct in6_addr addrs[8];
    size_t n_addrs;

    struct hmap flows, groups;          /* What effects have built. */
    struct shash hosts, healths;        /* By key, to a text. */
    struct shash flushes;               /* Of the last run, by their text. */
    size_t n_flow_effects, n_group_effects, n_host_effects, n_health_effects;   /* Of the last run. */
    char *failure;                      /* The first thing that was wrong, or NULL. */
};

/* A pod with host ports. */
struct world_pod {
    uint64_t id;
    struct service_host_port ports[4];
    struct in6_addr addrs[2];
    size_t n_ports, n_addrs;
};

void service_world_init(struct service_world *);
void service_world_destroy(struct service_world *);

/* Takes the reference. */
void service_world_put_object(struct service_world *, struct kube_object *);
void service_world_put(struct service_world *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A Service: "a/web", JSON members of its spec behind type and ports. */
void service_world_service(struct service_world *, const char *name, const char *spec);
/* A slice: "a/web-1" of Service "web".  'ports': "http:8080/TCP ..." (":8080/TCP" without a name).  'endpoints':
 * "ADDRESS|NODE|CONDITIONS|HINTS ...": conditions 'r' ready, 's' serving, 't' terminating, capital for false; hints
 * "zA,zB,hN" (zones, nodes).  Parts may be missing from the end. */
void service_world_slice(struct service_world *, const char *name, const char *service, const char *ports,
                         const char *endpoints);
/* "Service a/web". */
void service_world_remove(struct service_world *, const char *key);
/* "192.0.2.1 2001:db8::1". */
void service_world_node(struct service_world *, const char *zone, const char *addrs);
void service_world_pod(struct service_world *, const struct world_pod *);
void service_world_run(struct service_world *);
/* The same; then effects have built what the core wants, else the test (of Check) fails. */
void service_world_settle(struct service_world *);

/* What effects have built is what the other's core wants, and what its effects have built; else 'failure' is set. */
void service_world_compare(struct service_world *, const struct service_world *other);

/* All doors by services_for_each_door(), sorted, one a line:
 *     "cluster 10.96.0.1:80/TCP -> 10.0.0.1:8080 10.0.0.2:8080"
 * with "outside" or "node", "from PREFIX", "fragments", "affinity SECONDS" before the arrow.  To be freed. */
char *service_world_doors(const struct service_world *);

/* Where a packet goes by the flows and groups: "10.0.0.1:8080 10.0.0.2:8080" sorted, "reject", "drop", "pass".  To be
 * freed. */
char *service_world_ask(struct service_world *, enum flow_door_source source, const char *src, const char *dst,
                        uint8_t protocol, uint16_t port);

/* Where a bucket of a group leads to, "10.0.0.1:8080"; NULL: there is none.  To be freed. */
char *service_world_bucket(const struct service_world *, uint32_t group_id, uint32_t bucket_id);

#endif /* tests/unit/service-world.h */
