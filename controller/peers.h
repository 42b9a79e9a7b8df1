#ifndef SLUICE_PEERS_H
#define SLUICE_PEERS_H 1

/* The other nodes, as this one sees them: how each is reached, and who has what when two claim the same.
 *
 * A core without I/O.  Node objects go in one at a time, and what this node's underlay is; out comes what must be for each
 * node (flows, a problem), for each pod CIDR (the host's route) and for each tunnel destination, and the names of those
 * for which that may have changed.  It depends only on what the nodes are, not on the order in which they came, so the
 * increments equal a new start; and a change costs the same however many nodes there are.
 *
 * Conflicts, in a healthy cluster for a moment only (a Node that is renamed or created again):
 *
 *   a CIDR that overlaps one of this node    this node has it
 *   the same CIDR of two nodes               of those that can be reached, the oldest has it (by creation, then by name), until
 *                                            it goes: nobody takes an address range away from a node that runs
 *   an InternalIP of this node               the other is not reached: the tunnel would end here
 *   the same InternalIP of two nodes         both are reached by it, each with its own CIDRs.  So nobody can cut off a node by
 *                                            claiming its address; who gets what is not his has no pod for it and drops it
 *
 * Each is a problem of the node that does not get its way, or of the younger one. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/kube-types.h"
#include "controller/node-input.h"
#include "flow-input.h"
#include "inet.h"

struct peers;

/* 'own' is this node's name: its own Node object is no peer. */
struct peers *peers_create(const char *own);
void peers_destroy(struct peers *);

/* A Node object that is new or has changed (copied), or that is gone. */
void peers_put(struct peers *, const struct kube_node *);
void peers_remove(struct peers *, const char *name);
/* The underlay ('node' in it does not matter) and the CIDRs of this node, both copied.  Nothing can be reached before. */
void peers_set_underlay(struct peers *, const struct node_underlay *, const struct inet_prefix *cidrs, size_t n_cidrs);
/* Everything is to be made anew: all are popped again. */
void peers_touch(struct peers *);

/* What may have changed since it was popped last, each once.  False: nothing. */
bool peers_pop_node(struct peers *, char **name);       /* The caller frees it. */
bool peers_pop_route(struct peers *, struct inet_prefix *dst);
bool peers_pop_tunnel(struct peers *, struct in6_addr *dst);

/* What must be.  False: nothing of the kind. */
bool peers_get_flows(struct peers *, const char *name, struct flow_peer *);     /* Points into 'peers', until it changes. */
const char *peers_get_problem(struct peers *, const char *name);        /* NULL: none.  Until it is called again. */
bool peers_get_route(const struct peers *, const struct inet_prefix *dst, bool *has_via, struct in6_addr *via);
bool peers_get_tunnel(const struct peers *, const struct in6_addr *dst);
/* How many nodes have InternalIPs of IPv6 only. */
size_t peers_n_v6_only(const struct peers *);
/* The CIDRs that the host's stack may see packets to: of nodes that are not reached through the tunnel.  The number changes
 * with the list, when routes are popped.  '*cidrs' is sorted, and the caller's to free. */
uint64_t peers_outside_seqno(const struct peers *);
size_t peers_get_outside(const struct peers *, struct inet_prefix **cidrs);

#endif /* controller/peers.h */
