#ifndef SLUICE_RTNL_EVENTS_H
#define SLUICE_RTNL_EVENTS_H 1

/* Changes of links, addresses, routes and rules in the own network namespace, as the kernel announces them (rtnetlink(7),
 * multicast groups), for a poll loop (run / wait).  Built on libopenvswitch's netlink-notifier.h.  An event says only
 * what changed, in order to decide whether it matters: whoever is concerned reads the state anew (rtnl.h). */

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct rtnl_events;

struct rtnl_event {
    bool is_link;                       /* Otherwise an address, a route or a rule. */
    char name[IFNAMSIZ];                /* Links only. */
    int ifindex;                        /* 0: a route by none or by several links. */
    uint8_t protocol;                   /* Routes and rules only: RTPROT_*. */
    uint32_t cause;                     /* The netlink port that asked for it (rtnl_port()); 0: the kernel itself. */
};

struct rtnl_events *rtnl_events_create(void);
void rtnl_events_destroy(struct rtnl_events *);

/* Reads all that has come.  True if 'is_relevant' says so of one event, or if some were lost. */
bool rtnl_events_run(struct rtnl_events *, bool (*is_relevant)(const struct rtnl_event *, void *aux), void *aux);
void rtnl_events_wait(struct rtnl_events *);

#endif /* lib/rtnl-events.h */
