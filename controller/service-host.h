#ifndef SLUICE_SERVICE_HOST_H
#define SLUICE_SERVICE_HOST_H 1

/* What the node's own stack must hand to br-int for Services: the service core (controller/services.h) decides it,
 * controller/hostnet.h carries it out.
 *
 * Addresses as in lib/inet.h, ports in host byte order.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inet.h"

enum service_host_kind {
    SERVICE_HOST_CLUSTER,               /* An address of a Service, all of it: from the node and through it. */
    SERVICE_HOST_EXTERNAL,              /* (address, protocol, port), which may be a local address. */
    SERVICE_HOST_NODE_PORT,             /* (family, protocol, port) at any local address. */
};

struct service_host {
    /* The key: at most one is wanted of each. */
    enum service_host_kind kind;
    struct in6_addr addr;               /* NODE_PORT: :: or mapped 0.0.0.0, for the family. */
    uint8_t protocol;
    uint16_t port;

    bool keep_source;                   /* externalTrafficPolicy Local: no masquerade of what comes from outside. */
    bool has_alias;
    struct in6_addr alias;              /* EXTERNAL: if the address is local, packets to it become packets to this. */
    /* EXTERNAL: what the node forwards only from one of these (loadBalancerSourceRanges), else it is dropped; what the
     * node itself sends always.  None: from everybody.  Of the address's family.  br-int cannot look at it, where
     * masquerade has hidden the source. */
    const struct inet_prefix *src;
    size_t n_src;
};

/* An independent copy, with a 'src' of its own. */
struct service_host service_host_clone(const struct service_host *);
void service_host_uninit(struct service_host *);        /* Frees 'src' of a copy. */
uint32_t service_host_hash(const struct service_host *);        /* Of the key. */
bool service_host_same_key(const struct service_host *, const struct service_host *);
bool service_host_equal(const struct service_host *, const struct service_host *);

#endif /* controller/service-host.h */
