#ifndef POLICY_WORLD_H
#define POLICY_WORLD_H 1

/* For tests of the policy core: a cluster as one node sees it.
 *
 * Objects come and go, are told to a core in the order of the product, and the core's effects are carried out on a map of
 * flows.  A packet's verdict is looked up in those flows by plain C, which knows nothing of how they were made. */

#include "controller/endpoints.h"
#include "controller/policy.h"
#include "openvswitch/hmap.h"
#include "openvswitch/shash.h"
#include "sset.h"
#include "world-flows.h"

#define WORLD_MAX_ADDRS 4

/* A pod that is attached here. */
struct world_local {
    uint64_t id;
    char *pod;                          /* "NAMESPACE/NAME". */
    struct in6_addr addrs[WORLD_MAX_ADDRS];
    size_t n_addrs;
    struct flow_pod_policy told;        /* When the last effect said so. */
};

struct world {
    struct endpoints *endpoints;
    struct policy *policy;
    struct shash objects;               /* "KIND NAMESPACE/NAME" to struct kube_object. */
    struct shash locals;                /* "ID" to struct world_local. */
    struct sset domains;                /* "NAME ADDRESS". */
    struct hmap flows;                  /* "struct world_flow"s (world-flows.h): what effects have built. */
    size_t n_puts, n_drops, n_locals;   /* Effects of the last world_run(). */
    char *failure;                      /* The first thing that was wrong, or NULL. */
};

void world_init(struct world *);
void world_destroy(struct world *);

/* Takes the reference.  The object comes, or replaces the one of its name. */
void world_put_object(struct world *, struct kube_object *);
void world_put(struct world *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "Pod a/web", "Namespace /a". */
void world_remove(struct world *, const char *key);
/* The pod is attached as 'id' with these addresses, separated by spaces; NULL: not any more. */
void world_attach(struct world *, uint64_t id, const char *pod, const char *addrs);
/* Attaches here what is attached in another world. */
void world_copy_local(struct world *, const struct world_local *);
/* An address of a domain name comes or goes; all that another world has come. */
void world_domain(struct world *, const char *name, const char *addr, bool present);
void world_copy_domains(struct world *, const struct world *from);
void world_run(struct world *);
/* The same; then effects have built what policy_get_flows() says, else the test (of Check) fails. */
void world_settle(struct world *);

/* What effects have built is what policy_get_flows() of 'other' says; else 'failure' is set. */
void world_compare(struct world *, const struct world *other);

/* The verdict about the first packet of a connection.  Addresses as text.  "allowed" or "denied", and by what:
 * "egress Admin 0 Deny, ..." in '*why' if it is not NULL (to be freed). */
bool world_allows(struct world *, const char *src, const char *dst, uint8_t protocol, uint16_t port);
/* The number that an address has. */
uint32_t world_identity(struct world *, enum flow_direction, const char *addr);

#endif /* tests/unit/policy-world.h */
