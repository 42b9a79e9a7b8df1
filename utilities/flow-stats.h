#ifndef SLUICE_FLOW_STATS_H
#define SLUICE_FLOW_STATS_H 1

/* Counters of flows, asked of the switch itself: so sluiced never waits for them. */

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct flow_counter {
    uint64_t cookie;
    uint64_t packets, bytes;
    uint8_t table_id;
    uint16_t priority;
};

/* The flows of 'bridge' whose cookie's bits in 'mask' are those of 'cookie', in a table (UINT8_MAX: all).
 * '*counters' is the caller's.  Blocks. */
int flow_stats_get(const char *ovs_rundir, const char *bridge, uint8_t table_id, uint64_t cookie, uint64_t mask,
                   struct flow_counter **counters, size_t *n, struct error *);

#endif /* utilities/flow-stats.h */
