#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H 1

/* What "sluicectl status", "pods", "nodes" and "ipam" say, as JSON.  Each returns a new reference. */

#include <jansson.h>

struct dataplane;
struct source_dir;

/* INTERFACES.md; 'source' may be NULL. */
json_t *status_get(const struct dataplane *, const struct source_dir *source);
json_t *status_pods(const struct dataplane *);
json_t *status_nodes(const struct dataplane *);
json_t *status_ipam(const struct dataplane *);

#endif /* controller/status.h */
