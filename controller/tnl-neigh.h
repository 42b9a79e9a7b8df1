#ifndef SLUICE_TNL_NEIGH_H
#define SLUICE_TNL_NEIGH_H 1

/* Keeps the neighbours of the tunnels resolved where Open vSwitch encapsulates itself (the userspace datapaths).
 *
 * ovs-vswitchd has a neighbour cache of its own (ovs-appctl tnl/neigh/show).  A packet into a tunnel whose next hop is
 * not in it is lost: ovs-vswitchd sends an ARP request or neighbour solicitation in its place.  So the first packet to
 * each peer would be lost, and again after 15 minutes of silence and after each restart.  This module fills the cache
 * before anyone needs it:
 *
 *   next hop     RTM_GETROUTE for each destination: the peer or a gateway, if the route leaves by the uplink bridge
 *   resolution   the kernel does it (NTF_USE), and answers by RTM_NEWNEIGH
 *   into OVS     "tnl/neigh/set BRIDGE ADDRESS MAC" on ovs-vswitchd's control socket, without blocking, and
 *                "ovs/route/add DESTINATION BRIDGE [GATEWAY]"
 *   again        when the MAC, a route or the bridge changes, when ovs-vswitchd was restarted, and every 10 minutes
 *                after the kernel has confirmed the MAC
 *
 * The route, because ovs-vswitchd throws its copy of the kernel's routes away and reads all of them again whenever any link of
 * the host changes, so with each pod that comes or goes; what it translates meanwhile finds no way to the peer and becomes
 * a drop (lib/route-table.c).  Routes that are added by command stay.
 *
 * The kernel datapath needs none of it: there the kernel queues packets while it resolves.  Both families, one code
 * path.  Event-driven: no wake-up while nothing changes but the one every 10 minutes (and every 30 s while a next hop
 * is silent). */

#include <stdbool.h>
#include <stddef.h>

#include "inet.h"

struct tnl_neigh;

/* 'ovs_rundir' holds ovs-vswitchd.pid and ovs-vswitchd.PID.ctl, e.g. "/run/openvswitch". */
struct tnl_neigh *tnl_neigh_create(const char *ovs_rundir);
void tnl_neigh_destroy(struct tnl_neigh *);

/* The tunnels go through 'bridge' ("br-uplink").  NULL: no such bridge, nothing to do. */
void tnl_neigh_set_bridge(struct tnl_neigh *, const char *bridge);
/* A destination of tunnels comes or goes; each costs the same however many there are. */
void tnl_neigh_add(struct tnl_neigh *, const struct in6_addr *destination);
void tnl_neigh_remove(struct tnl_neigh *, const struct in6_addr *destination);
void tnl_neigh_run(struct tnl_neigh *);
void tnl_neigh_wait(struct tnl_neigh *);

/* How many of the declared destinations are not resolved. */
size_t tnl_neigh_n_unresolved(const struct tnl_neigh *);
/* True if there is nothing to wait for: each destination is resolved, has no route, or its next hop did not answer.  A node
 * that has just come up is realized only then, so that its pods' first packets are not lost. */
bool tnl_neigh_is_settled(const struct tnl_neigh *);
/* NULL, or what an operator must mend. */
const char *tnl_neigh_problem(const struct tnl_neigh *);

#endif /* controller/tnl-neigh.h */
