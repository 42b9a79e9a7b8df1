#ifndef SLUICE_TRACE_SERVICE_H
#define SLUICE_TRACE_SERVICE_H 1

/* "sluicectl trace" to a Service's address: which door the packet meets, as sluiced tells it, and to which endpoint the
 * switch's group sends it.  The choice is that of the userspace datapath for these addresses and ports; on the kernel's
 * another endpoint of the same Service may have the connection. */

#include <jansson.h>

#include "utilities/trace-packet.h"
#include "utilities/trace-who.h"

struct trace_service {
    json_t *door;                       /* As service-json.h has it; NULL: the packet goes to no Service. */
    bool chosen;                        /* A group chose: */
    struct in6_addr endpoint;
    uint16_t port;
};

/* Whether the packet goes to a Service's address: 'door'. */
void trace_service_find(struct who *, const struct trace_question *, const struct trace_packet *,
                        struct trace_service *);
void trace_service_destroy(struct trace_service *);     /* Frees the content. */
/* The endpoint that the trace shows. */
void trace_service_choose(const struct trace *, struct trace_service *);

/* The packet behind the group, as policies judge it: to the endpoint.  'q' and 'p' are changed; 'q->to' stays. */
void trace_service_translate(const struct trace_facts *, const struct trace_service *, struct trace_question *q,
                             struct trace_packet *p);

/* "to endpoint 10.244.1.2:8080 (demo/web-0) of Service demo/web ...": the caller's. */
char *trace_service_text(const struct trace_service *);
/* "demo/web-0 --port 8080": how to ask for the endpoint.  The caller's. */
char *trace_service_endpoint(const struct trace_service *);
/* Members "service" (the door without its endpoints) and "endpoint" ("ADDRESS:PORT" or null). */
void trace_service_put(const struct trace_service *, json_t *);
/* The Service refuses: TCP reset, ICMP port unreachable. */
bool trace_service_refuses(const struct trace_service *);

#endif /* utilities/trace-service.h */
