#ifndef SLUICE_SERVICE_RANGES_H
#define SLUICE_SERVICE_RANGES_H 1

/* The ranges of the cluster's Service addresses: those that are configured, and those of the ServiceCIDR objects.
 *
 * Only routes need them, of nodes without a default route (hostnet-service-routes.c); a Service works wherever its address
 * is.  Pure. */

#include <stddef.h>

#include "inet.h"

struct store;

/* Ranges that are announced, beyond which no more are taken: each is a route of every node. */
#define SERVICE_RANGES_MAX 256

/* Each once, sorted, so that the same give the same; '*ranges' is the caller's.  An announced range that overlaps one of
 * 'pods' is left out, as config.h refuses such a configured one: it would take the pods' packets. */
size_t service_ranges_get(const struct store *, const struct inet_prefix *configured, size_t n_configured,
                          const struct inet_prefix *pods, size_t n_pods, struct inet_prefix **ranges);

#endif /* controller/service-ranges.h */
