#ifndef SLUICE_IPAM_H
#define SLUICE_IPAM_H 1

/* Addresses of one node, host scope: which are free, in use, or in quarantine.
 *
 * A core without I/O and without a clock: 'now' (milliseconds of the wall clock, because quarantine outlives the
 * process) is an argument.  Durability is the caller's: the attachment table (attachment.h) journals what this module
 * decides and restores it here at start-up.  docs/ipam.md explains it to operators.
 *
 * Cost: allocate, release, restore and acknowledge are O(1) at any occupancy, in a /24 as in a /64.  A bitmap word
 * finds the free addresses that were never used, a queue the released ones, oldest first (ipam-pool.h); memory grows
 * with the addresses in use, not with the pool (a pool gives addresses of a window of its first 2**16; fixed requests
 * may name any).  An acknowledgement that overtakes others of the same family costs as many steps as it overtakes.
 *
 * Life of an address: free -> in use (generation g) -> quarantined, not acknowledged -> quarantined, acknowledged ->
 * free.  It leaves quarantine when its time is over AND the dataplane has acknowledged that nothing refers to it.  When
 * nothing else is free the oldest acknowledged one is taken early, and counted; an unacknowledged one never.
 *
 * Generations: each allocation of an address has a number greater than all before it on this node; whatever refers to
 * an address elsewhere refers to (address, generation), so a late release or acknowledgement of a former owner does
 * nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "inet.h"

struct ipam;

#define IPAM_MAX_ADDRS 2                /* One of each family. */
#define IPAM_QUARANTINE_DEFAULT_MS 60000
#define IPAM_QUARANTINE_MAX_MS 3600000

struct ipam_config {
    long long int quarantine_ms;        /* 0 to IPAM_QUARANTINE_MAX_MS. */
    const struct inet_prefix *reserve;  /* Never given to pods. */
    size_t n_reserve;
};

struct ipam_address {
    struct in6_addr addr;
    uint64_t generation;
};

struct ipam_lease {
    struct ipam_address addrs[IPAM_MAX_ADDRS];
    size_t n;
};

struct ipam *ipam_create(const struct ipam_config *);
void ipam_destroy(struct ipam *);
/* A new configuration (SIGHUP); addresses in use stay. */
void ipam_configure(struct ipam *, const struct ipam_config *);

/* The pools are now 'cidrs', at most one of each family.  Addresses in use outside of them stay until they are
 * released.  In each pool the network address, the first address (the gateway's) and, for IPv4, the broadcast address
 * are never given.  Fails with EINVAL, changing nothing, for two pools of one family or a pool without room for a pod. */
int ipam_set_pools(struct ipam *, const struct inet_prefix *cidrs, size_t n, struct error *);
/* The first address of the pool. */
void ipam_gateway(const struct inet_prefix *cidr, struct in6_addr *gateway);

/* One address of each family that has a pool, or exactly 'fixed' (n_fixed > 0).  All or nothing.  Fails with
 *   ENOSPC  the pool is exhausted; the message names pool, size, used, quarantined and the time until the next is free
 *   EBUSY   a fixed address is in use or in quarantine
 *   EINVAL  a fixed address is in no pool, or reserved, or two are of one family
 *   EAGAIN  there is no pool yet */
int ipam_allocate(struct ipam *, const struct in6_addr *fixed, size_t n_fixed, long long int now, struct ipam_lease *,
                  struct error *);
/* Into quarantine, unacknowledged.  False if this generation does not hold the address. */
bool ipam_release(struct ipam *, const struct ipam_address *, long long int now);
/* Undoes an allocation that no one has seen (the ADD failed before its first effect): free at once, behind all others. */
bool ipam_cancel(struct ipam *, const struct ipam_address *);
/* The dataplane has nothing left of this generation. */
bool ipam_acknowledge(struct ipam *, const struct ipam_address *);
/* Frees what 'now' has become free.  Allocating and releasing do it too; for exact figures call it before
 * ipam_get_stats(). */
void ipam_run(struct ipam *, long long int now);

/* Replay of the journal, before or after ipam_set_pools().  EEXIST if another generation holds the address (the journal
 * is wrong: fail closed and say so); only a newer generation follows one in quarantine, and the same one may be
 * restored again.  Restoring quarantined addresses oldest first costs O(1) each. */
int ipam_restore(struct ipam *, const struct ipam_address *, struct error *);
/* Released at 'since', not acknowledged; a time in the future (the clock was set back) counts as 'now'. */
int ipam_restore_quarantined(struct ipam *, const struct ipam_address *, long long int since, long long int now,
                             struct error *);
/* No generation up to this one is given again. */
void ipam_set_generation(struct ipam *, uint64_t generation);
uint64_t ipam_get_generation(const struct ipam *);

struct ipam_stats {
    struct inet_prefix pool;
    uint64_t size, reserved;            /* Of the whole pool; saturate at UINT64_MAX. */
    uint64_t used;
    uint64_t quarantined;               /* With the unacknowledged ones. */
    uint64_t unacknowledged;
    uint64_t free;                      /* For automatic allocation, so of an IPv6 pool at most 2**16. */
    uint64_t taken_early;               /* Since the start. */
    long long int next_free;            /* When the next quarantine ends (or ended); LLONG_MAX: none. */
};
/* One for each pool, IPv4 first.  Returns how many (at most IPAM_MAX_ADDRS). */
size_t ipam_get_stats(const struct ipam *, struct ipam_stats[IPAM_MAX_ADDRS]);
/* True while an ADD without special wishes would find its addresses at 'now'. */
bool ipam_has_room(const struct ipam *, long long int now);

enum ipam_address_state { IPAM_FREE, IPAM_USED, IPAM_QUARANTINED, IPAM_UNACKNOWLEDGED, IPAM_RESERVED, IPAM_FOREIGN };
enum ipam_address_state ipam_lookup(const struct ipam *, const struct in6_addr *, uint64_t *generation);
/* Each address in use, in any order, then each quarantined one, oldest first within a family.  'cb' must not change the
 * object. */
typedef void ipam_for_each_cb(const struct ipam_address *, enum ipam_address_state, long long int since, void *aux);
void ipam_for_each(const struct ipam *, ipam_for_each_cb *, void *aux);

#endif /* controller/ipam.h */
