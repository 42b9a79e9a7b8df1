#ifndef SLUICE_ENDPOINTS_H
#define SLUICE_ENDPOINTS_H 1

/* Whose an address is: the index from addresses to pods, for the whole cluster.
 *
 * A pod holds the addresses of its status, unless it has finished (Succeeded, Failed: they are given to others then) or
 * is in the host's network (they are the node's).  For a moment two pods may claim one address; then it is that
 *
 *   1. which is not being deleted,
 *   2. which was made later,
 *   3. whose UID, then namespace, then name, is the smaller,
 *
 * whatever came first, and the other takes over when it goes.  A pod that was made anew under the same name is another
 * pod: its UID differs.
 *
 * Addresses as in lib/inet.h.  Costs 16 bytes for each address of a pod, at a load of 7/16 to 7/8; the pods are the
 * store's.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/kube-types.h"

struct endpoints;
struct store;
struct store_key;

struct endpoints *endpoints_create(void);
void endpoints_destroy(struct endpoints *);

/* Follows a change that was popped from the store, if it is a pod's. */
void endpoints_follow(struct endpoints *, const struct store *, const struct store_key *);
/* The same with the versions of a pod before (NULL: none) and after (NULL: it is gone). */
void endpoints_update(struct endpoints *, const struct kube_pod *old, const struct kube_pod *new);

/* Whose the address is; NULL if it is nobody's.  The pod is good until the next change.  '*generation', unless NULL: a
 * number that changes whenever the address goes to another pod, and does not come back; 0 with NULL. */
const struct kube_pod *endpoints_find(const struct endpoints *, const struct in6_addr *, uint64_t *generation);

/* How many claims there are: pods times their addresses. */
size_t endpoints_count(const struct endpoints *);

#endif /* controller/endpoints.h */
