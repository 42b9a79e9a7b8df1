#ifndef SLUICE_AUDIT_H
#define SLUICE_AUDIT_H 1

/* "sluicectl ipam check" and "ipam repair": do journal, OVSDB, host and source say the same? (Acceptance, IPAM 10.)
 *
 * The journal is the truth about what was attached; the rest is compared with it.  What is declared (ports, flows) mends itself
 * and is only reported.  Repair mends the rest: host ends that belong to nobody are deleted; an attachment whose interface went with
 * its namespace gets the DEL that the runtime never sent (through the spool, so that it survives a crash); an address in use by
 * nobody goes into quarantine.
 *
 * Both run in the main loop and ask the kernel for the list of links: for operators, not for a timer. */

#include <jansson.h>

#include "error.h"

struct dataplane;

/* {"ok": bool, "findings": [text], "pools": [...]}; a new reference. */
json_t *audit_check(const struct dataplane *);
/* The same, as it was before the repair. */
int audit_repair(struct dataplane *, json_t **report, struct error *);

#endif /* controller/audit.h */
