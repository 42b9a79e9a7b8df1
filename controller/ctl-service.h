#ifndef SLUICE_CTL_SERVICE_H
#define SLUICE_CTL_SERVICE_H 1

/* What the control socket (ctl.h) tells of Services, for "sluicectl services":
 *
 *   services/list [--details]      {"doors": see service-json.h, "problems": [{namespace, name, problem}],
 *                                  "stats": see service-json.h}
 *   services/find ADDRESS PROTOCOL PORT SOURCE     the door that a packet from "pod", "node" or "outside" to there meets; nothing
 *                                  if it is no Service's.  PROTOCOL is a number. */

#include <stdint.h>

struct dataplane;

void ctl_service_register(struct dataplane *);
/* "Service/NAMESPACE/NAME/PORT" of a flow of the Service's port, without the last if the port has no name; OWNER_SERVICE of one
 * that several share; NULL: no Service's.  The caller's. */
char *ctl_service_owner(const struct dataplane *, uint64_t cookie);

#endif /* controller/ctl-service.h */
