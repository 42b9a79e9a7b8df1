#ifndef SLUICE_IPAM_POOL_H
#define SLUICE_IPAM_POOL_H 1

/* The free addresses of one pool: the half of ipam.h that costs O(1) at any occupancy.
 *
 * Automatic allocation works in a window of at most IPAM_WINDOW addresses, the first ones of the pool (behind reserved
 * blocks that cover a whole window).  Each address of the window is one of
 *
 *   unusable   network address, gateway, broadcast address, or in a reserved range
 *   fresh      never used: a bit in a bitmap with two levels of summary, so that finding one is three times "count
 *              trailing zeros"
 *   queued     used before and free again: linked in the order of becoming free
 *   taken      by the caller: in use or in quarantine
 *
 * Fresh addresses are given before queued ones, and queued ones oldest first, so an address rests as long as possible.
 * An address of the pool outside its window is for fixed requests only, and this module keeps nothing about it.
 *
 * Pure: no I/O, no clock.  Only ipam.c uses it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inet.h"

#define IPAM_WINDOW 65536

struct ipam_pool;

/* All usable addresses are fresh; there may be none. */
struct ipam_pool *ipam_pool_create(const struct inet_prefix *cidr, const struct inet_prefix *reserve, size_t n_reserve);
void ipam_pool_destroy(struct ipam_pool *);

const struct inet_prefix *ipam_pool_cidr(const struct ipam_pool *);
uint64_t ipam_pool_size(const struct ipam_pool *);          /* Saturates at UINT64_MAX. */
uint64_t ipam_pool_reserved(const struct ipam_pool *);      /* Unusable ones in the whole pool; saturates. */
uint64_t ipam_pool_free(const struct ipam_pool *);          /* Fresh and queued. */

/* True if the address may never be given: in a reserved range, network, gateway or broadcast address. */
bool ipam_pool_is_reserved(const struct ipam_pool *, const struct in6_addr *);
/* True if automatic allocation may give it at some time: in the window and usable. */
bool ipam_pool_gives(const struct ipam_pool *, const struct in6_addr *);

/* Takes the best free address.  False: there is none. */
bool ipam_pool_take(struct ipam_pool *, struct in6_addr *);
/* Takes this one if it is fresh or queued; otherwise does nothing. */
void ipam_pool_take_fixed(struct ipam_pool *, const struct in6_addr *);
/* A taken address is free again: behind all others.  Does nothing for an address that is not given by this pool. */
void ipam_pool_put(struct ipam_pool *, const struct in6_addr *);
/* Queues what 'old' has queued and 'pool' has fresh, in the same order (the pool was configured anew). */
void ipam_pool_inherit(struct ipam_pool *, const struct ipam_pool *old);

#endif /* controller/ipam-pool.h */
