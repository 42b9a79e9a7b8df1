#ifndef SLUICE_COMPILE_SERVICE_H
#define SLUICE_COMPILE_SERVICE_H 1

/* Services for "sluicectl compile": what the core makes of the Services and EndpointSlices of a store. */

#include <stddef.h>

#include "controller/kube-types.h"
#include "inet.h"

struct services;
struct store;

/* As the node of that name sees them; 'self' (NULL: there is no such object) tells its zone, 'prefixes' have its addresses.
 * The store must stay as it is until services_destroy(). */
struct services *compile_services(const struct store *, const char *node, const struct kube_node *self,
                                  const struct inet_prefix *prefixes, size_t n_prefixes);
/* Says on stderr what is left out. */
void compile_services_problems(const struct services *);

#endif /* utilities/compile-service.h */
