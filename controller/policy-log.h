#ifndef SLUICE_POLICY_LOG_H
#define SLUICE_POLICY_LOG_H 1

/* The log of what policies decide: one JSON object a line (policy-log-record.h), in a file (log-file.h).
 *
 * Which verdicts are logged is a pod's: the configuration's "policy-log", or the annotation POLICY_LOG_ANNOTATION of
 * its namespace.  Each denied packet, and with "all" the first of each connection that is allowed, by each direction
 * that some policy concerns, comes from the switch under a meter; how many the meter held back is a line of its own.
 *
 * Part of the shell around the cores: it looks at the dataplane (dataplane-private.h).  Follows the run / wait
 * pattern. */

#include <stdbool.h>
#include <stdint.h>

#include "flow-input.h"

#define POLICY_LOG_ANNOTATION "sluice.dev/policy-log"

struct config;
struct dataplane;
struct policy_log;
struct store;

/* Takes the packets of the dataplane's pinctrl and the counts of its ofctrl. */
struct policy_log *policy_log_create(struct dataplane *);
void policy_log_destroy(struct policy_log *);           /* Before both. */
void policy_log_run(struct policy_log *);
void policy_log_wait(struct policy_log *);
/* The configuration was read again (SIGHUP): the next line goes to the file opened anew.  True if other verdicts than
 * before are to be logged. */
bool policy_log_reconfigure(struct policy_log *);

/* Which verdicts about pods of a namespace are logged. */
enum flow_log policy_log_level(const struct config *, const struct store *, const char *namespace_);

struct policy_log_stats {
    uint64_t n_lines;                   /* Verdicts that were given to the file. */
    uint64_t n_metered;                 /* Packets that the meter held back. */
    uint64_t n_lost;                    /* Lines that the file could not take. */
    int error;                          /* Why not; 0: the last one could be written. */
};
void policy_log_get_stats(const struct policy_log *, struct policy_log_stats *);

#endif /* controller/policy-log.h */
