#ifndef SLUICE_TRACE_PARSE_H
#define SLUICE_TRACE_PARSE_H 1

/* What ovs-vswitchd's "ofproto/trace" prints, as a list of steps.  Pure.
 *
 * The text is made for people, so the parser takes what it knows (recorded from Open vSwitch 3.1, ofproto-dpif-trace.c
 * and xlate_report() in ofproto-dpif-xlate.c) and passes over every other line.  It takes any bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "svec.h"

#define TRACE_MAX_STEPS 4096            /* What is behind is left out, and 'truncated' says so. */

/* One table that the packet met. */
struct trace_step {
    char *bridge;                       /* "br-int"; "" if none was named. */
    int recirculation;                  /* 0 before the first. */
    unsigned int depth;                 /* Columns of indentation before the table's number. */
    uint8_t table_id;
    bool larger;                        /* Only packets that a check_pkt_larger action found too large go here. */
    bool matched;                       /* A flow matched; then: */
    char *match;                        /* "ip,nw_dst=10.0.0.0/8", "" for every packet. */
    uint16_t priority;
    uint64_t cookie;
    struct svec actions;                /* "dec_ttl", "goto_table:4"; "drop" alone. */
    struct svec details;                /* "output port is 16". */
    struct svec warnings;               /* "native tunnel routing failed". */
};

struct trace {
    struct trace_step *steps;
    size_t n_steps, allocated_steps;
    bool truncated;
    char *failure;                      /* NULL, or why the translation failed as a whole. */
    char *datapath_actions;             /* Of the last recirculation; NULL: the text has none. */
};

/* Always gives a 'trace', which trace_destroy() frees; without steps if the text is something else. */
void trace_parse(const char *text, size_t size, struct trace *);
void trace_destroy(struct trace *);     /* Frees the content. */

#endif /* utilities/trace-parse.h */
