#ifndef SLUICE_NEIGH_KERNEL_H
#define SLUICE_NEIGH_KERNEL_H 1

/* The kernel's neighbour table and routing decision, over rtnetlink, as far as tnl-neigh.c needs them.  Calls do not
 * wait for the network; the kernel answers within the call. */

#include <stdbool.h>

#include "error.h"
#include "inet.h"
#include "openvswitch/types.h"

struct nl_sock;
struct ofpbuf;

/* What a notification was about. */
struct neigh_event {
    enum { NEIGH_EVENT_OTHER, NEIGH_EVENT_NEIGH, NEIGH_EVENT_ROUTES } type;
    int ifindex;                        /* 0: may concern any interface. */
    struct in6_addr addr;               /* NEIGH_EVENT_NEIGH. */
    bool has_mac, reachable, failed;    /* Known; confirmed just now; nobody answers. */
    struct eth_addr mac;
};

/* A socket that hears of neighbours, links and routes. */
int neigh_listen(struct nl_sock **, struct error *);
/* Parses a notification or an entry of a dump. */
void neigh_parse(const struct ofpbuf *, struct neigh_event *);

/* The way to 'dst': the interface, and its next hop there. */
int neigh_route(const struct in6_addr *dst, int *ifindex, struct in6_addr *hop, struct error *);
/* Asks the kernel to resolve or confirm the address; the answer comes as a notification. */
int neigh_use(int ifindex, const struct in6_addr *, struct error *);
/* What the kernel knows about one, now; a 'cb' that is not called: nothing.  And about all. */
void neigh_get(int ifindex, const struct in6_addr *, void (*cb)(const struct neigh_event *, void *aux), void *aux);
void neigh_dump(void (*cb)(const struct neigh_event *, void *aux), void *aux);

#endif /* controller/neigh-kernel.h */
