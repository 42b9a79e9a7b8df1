#ifndef SLUICE_SLUICECTL_H
#define SLUICE_SLUICECTL_H 1

/* The verbs of sluicectl that are more than asking the daemon.  Each function returns the exit status. */

#include <stdbool.h>
#include <stdint.h>

#include "controller/config.h"

#define EXIT_REFUSED 1                  /* What was asked for does not hold, or cannot be told. */
#define EXIT_USAGE 2                    /* Wrong use, or no daemon. */

/* "sluicectl compile": the flows that a node would have with the objects of a directory of manifests, as text on
 * stdout; no daemon and no switch.
 *
 * Of the configuration it reads node, source, datapath, encapsulation, mtu and pod-cidrs.  What only the node itself
 * knows is assumed: the datapath "auto" is one that needs no controller for ND (not the kernel's); the uplink has the
 * node's InternalIPs in a /24 and a /64; pods have the ports 16, 17, ... in the order of their names and the
 * MACs 0a:53:4c:01 and the port. */
struct compile_options {
    struct config *config;
    uint16_t uplink_mtu;                /* Bytes. */
    struct inet_prefix *uplink_prefixes;        /* Instead of what is assumed; malloc()ed. */
    size_t n_uplink_prefixes;
    bool stats;                         /* Counts, times and memory instead of the flows. */
    bool json;                          /* Of the counts. */
};
int compile_verb(const struct compile_options *);

#endif /* utilities/sluicectl.h */
