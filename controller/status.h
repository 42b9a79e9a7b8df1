#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H 1

/* What "sluicectl status", "pods", "nodes", "policies" and "ipam" say, as JSON.  Each returns a new reference. */

#include <stdbool.h>

#include <jansson.h>

struct dataplane;
struct report;
struct source;

/* 'everything': with all nodes and pods, which takes many times their memory for a moment. */
json_t *status_get(const struct dataplane *, const struct source *, const struct report *, bool everything);
json_t *status_pods(const struct dataplane *);
json_t *status_nodes(const struct dataplane *);
/* {"policies": [{"kind", "namespace", "name", "tier", "priority", "pods": {"ingress", "egress"}, "realized", "since",
 * "problem"}]}, in order of kind, namespace and name.  "priority" only of a ClusterNetworkPolicy; "pods" are those of this
 * node for which it counts; "since" (RFC 3339) when it was realised first as it is now, absent until then. */
json_t *status_policies(const struct dataplane *);
/* Adds what is wrong with policies. */
void status_put_policy_problems(const struct dataplane *, json_t *problems);
/* Likewise with Services. */
void status_put_service_problems(const struct dataplane *, json_t *problems);
json_t *status_ipam(const struct dataplane *);

#endif /* controller/status.h */
