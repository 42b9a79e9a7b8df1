#ifndef SLUICE_SERVICE_GAP_H
#define SLUICE_SERVICE_GAP_H 1

/* Temporary; controller/health.h will have them. */
#include <stdint.h>
struct health;
struct service_health;
void health_set(struct health *, const struct service_health *);
void health_remove(struct health *, uint16_t port);

#endif
