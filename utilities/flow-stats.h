#ifndef SLUICE_FLOW_STATS_H
#define SLUICE_FLOW_STATS_H 1

/* Counters, asked of the switch itself: so sluiced never waits for them.  Everything here blocks. */

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct ofputil_flow_stats;
struct vconn;

/* Calls 'read' with a connection to 'bridge', on which nothing else happens.  'read' returns 0, an errno value, or EOF. */
int flow_stats_read(const char *ovs_rundir, const char *bridge, int (*read)(struct vconn *, void *aux), void *aux,
                    struct error *);
/* Calls 'cb' for each flow of a table (UINT8_MAX: of all) whose cookie's bits in 'mask' are those of 'cookie'.  Returns what
 * 'read' may return. */
int flow_stats_dump(struct vconn *, uint8_t table_id, uint64_t cookie, uint64_t mask,
                    void (*cb)(const struct ofputil_flow_stats *, void *aux), void *aux);

struct flow_counter {
    uint64_t cookie;
    uint64_t packets, bytes;
    uint8_t table_id;
    uint16_t priority;
};

/* The same as an array, which is the caller's. */
int flow_stats_get(const char *ovs_rundir, const char *bridge, uint8_t table_id, uint64_t cookie, uint64_t mask,
                   struct flow_counter **counters, size_t *n, struct error *);

#endif /* utilities/flow-stats.h */
