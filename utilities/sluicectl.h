#ifndef SLUICE_SLUICECTL_H
#define SLUICE_SLUICECTL_H 1

/* The verbs of sluicectl that are more than asking the daemon.  Each function returns the exit status. */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "controller/config.h"
#include "utilities/trace-packet.h"

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
    bool all_local;                     /* Every pod counts as one of the node's; only with 'stats'. */
    bool stats;                         /* Counts, times and memory instead of the flows. */
    bool services;                      /* The doors of Services instead of the flows. */
    bool json;                          /* Of the counts, and of the doors. */
};
int compile_verb(const struct compile_options *);

/* "sluicectl trace": what becomes of a packet, told by Open vSwitch's own ofproto/trace.
 *
 * It asks sluiced for its status and for owners of cookies, and ovs-vswitchd for the trace, each over one connection,
 * so that sluiced never waits for the switch.  With 'batch' (a file, "-" for stdin) there is one JSON object a line, in
 * and out; a question that cannot be answered has the member "error".  Exit status: 0 allowed, EXIT_REFUSED denied or
 * not to be told here. */
struct trace_options {
    const char *rundir;
    const char *batch;                  /* NULL: 'question'. */
    struct trace_question question;
    bool json;
    bool explain;                       /* Say of each rule why it matches or not, also if no policy denied. */
};
int trace_verb(const struct trace_options *);

/* "sluicectl policies": every policy with its tier, the local pods for which it counts, and whether it is in place;
 * with 'stats' the counters of its rules and of what is dropped because no rule allows it.  sluiced says what there is,
 * the switch is asked for the counters. */
struct policies_options {
    const char *rundir;
    const char *name;                   /* NULL: all; else a name or a part of it between slashes. */
    bool stats, json;
};
int policies_verb(const struct policies_options *);

/* "sluicectl services": every way in to a Service, the endpoints behind it with their shares, and how they were chosen; with
 * 'stats' how many packets met each door, endpoint and client that is bound to one. */
struct services_options {
    const char *rundir;
    const char *name;                   /* NULL: all; else NAMESPACE/NAME, or either of them. */
    bool stats, json;
};
int services_verb(const struct services_options *);
/* The same as text on stdout, of what service-json.h describes. */
void services_print(const json_t *doors);

#endif /* utilities/sluicectl.h */
