#ifndef SLUICE_SHARES_H
#define SLUICE_SHARES_H 1

/* How n equal endpoints share the hash space of select groups, so that nobody's share is more than 10 % off.
 *
 * One dp_hash group has at most 256 slots, of which a bucket gets a whole number.  With more than a few endpoints that is too
 * coarse, so the set is cut into shards, a group each: 8 other bits of the hash choose the shard (65,536 cells together).
 * A shard owns an aligned power-of-two range of the 256 values, so that one masked flow leads to it.
 *
 * Endpoints are known by their rank (0 to n - 1) in an order that the caller keeps stable: by a hash of the endpoint.
 * A rank at the border of two shards may have a bucket in both, and a rank may have two in one shard.  All is a function of
 * n: nothing is remembered.  When n changes by one, whatever rank comes or goes, at most shares_max_changed(n) buckets are
 * added, removed or get another weight: four for each shard, and once in a while a shard that is halved.  (1,000 endpoints:
 * at most 234 of 1,088 buckets, 154 on average.)
 *
 * Up to 21 endpoints: one shard, with as few slots as that allows, 16 at least.  More: 8 to 22 endpoints a shard, up to
 * 256 shards.
 *
 * Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARES_SLOTS 256                /* Of a group, and values that choose a shard. */

struct share {
    uint32_t rank;
    uint16_t weight;                    /* For OpenFlow: the ratio of total to least weight makes OVS use so many slots. */
};

struct shard {
    uint8_t value, mask;                /* Of the 8 bits; mask 0: the only shard. */
    size_t first, n;                    /* Its shares: shares[first] ... */
};

struct shares {
    struct shard *shards;               /* By 'value'. */
    size_t n_shards;
    struct share *shares;
    size_t n_shares;
};

/* 'n' at least 1.  Beyond 6,400 shares get coarser than 10 %, and nothing else happens; beyond 65,536 the last ones get
 * none. */
void shares_init(struct shares *, uint32_t n);
void shares_destroy(struct shares *);   /* Frees the content. */
uint32_t shares_max_changed(uint32_t n);

#endif /* lib/shares.h */
