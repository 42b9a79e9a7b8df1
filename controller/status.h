#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H 1

/* What "sluicectl status", "pods", "nodes" and "ipam" say, as JSON.  Each returns a new reference. */

#include <stdbool.h>

#include <jansson.h>

struct dataplane;
struct report;
struct source;

/* 'everything': with all nodes and pods, which takes many times their memory for a moment. */
json_t *status_get(const struct dataplane *, const struct source *, const struct report *, bool everything);
json_t *status_pods(const struct dataplane *);
json_t *status_nodes(const struct dataplane *);
json_t *status_ipam(const struct dataplane *);

#endif /* controller/status.h */
