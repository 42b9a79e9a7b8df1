#ifndef SLUICE_HEALTH_H
#define SLUICE_HEALTH_H 1

/* What load balancers ask this node, by HTTP.
 *
 *   health-check ports   of Services of type LoadBalancer with externalTrafficPolicy Local (spec.healthCheckNodePort):
 *                        any path; 200 if the node is healthy and has a ready endpoint of the Service, else 503
 *   healthz              /healthz: 200 if the node is healthy and is not about to go, else 503; for load balancers with
 *                        externalTrafficPolicy Cluster (KEP-3836)
 *                        /livez: 200 if the node is healthy, else 503
 *
 * Bodies and headers are kube-proxy's.  Ports listen at all addresses of the node, of both families.
 *
 * One that cannot be had (somebody else has it) is a problem with a name, and is tried again each HEALTH_RETRY_MS: the
 * kernel does not say when a port becomes free.
 *
 * Everything happens in the caller's loop: libmicrohttpd without threads, whose epoll descriptors are in one of ours, so
 * that a turn costs only what really happened.  The library is opened when somebody asks for the first time.  A port has at most HEALTH_MAX_CLIENTS connections at a time,
 * HEALTH_MAX_PER_ADDR of them from one address; each ends after its first answer, or after HEALTH_CLIENT_MS.  The
 * listening ports are open only while the daemon runs: a load balancer sees its end.
 *
 * Follows the run / wait pattern.  Items 20 and 30 of acceptance/services.md. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inet.h"

#define HEALTH_RETRY_MS 5000
#define HEALTH_CLIENT_MS 5000
#define HEALTH_MAX_CLIENTS 64
#define HEALTH_MAX_PER_ADDR 16

struct health;
struct service_health;

struct health *health_create(void);
void health_destroy(struct health *);

/* The Service's port answers from now on, instead of any other Service with the port; strings are copied. */
void health_set(struct health *, const struct service_health *);
void health_remove(struct health *, uint16_t port);

/* Where healthz answers: :: for all addresses, mapped 0.0.0.0 for all of IPv4.  Port 0: nowhere. */
void health_set_healthz(struct health *, const struct in6_addr *, uint16_t port);

/* Whether Services work on this node; and whether it may get new connections, because it is not about to be removed. */
void health_set_node(struct health *, bool healthy, bool eligible);

void health_run(struct health *);
void health_wait(struct health *);

/* 'what': "healthz [::]:10256", "health check port 31000 of NAMESPACE/NAME". */
void health_for_each_problem(const struct health *, void (*cb)(const char *what, const char *problem, void *aux),
                             void *aux);

#endif /* controller/health.h */
