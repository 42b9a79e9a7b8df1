#ifndef SLUICE_SERVICE_COUNTERS_H
#define SLUICE_SERVICE_COUNTERS_H 1

/* What the switch has counted for Services, asked of itself: so sluiced never waits for it.
 *
 * Into 'doors', which service-json.h describes, made with 'details', instead of the details:
 *
 *   door       packets, bytes      towards the Service, by this door; answers do not count
 *   endpoint   packets, bytes      by any door of the same set of endpoints
 *              clients             bound to it by affinity; only with affinity
 *
 * Blocks. */

#include <jansson.h>

#include "error.h"

int service_counters_add(const char *ovs_rundir, const char *bridge, json_t *doors, struct error *);
/* Takes the details away. */
void service_counters_strip(json_t *doors);

#endif /* utilities/service-counters.h */
