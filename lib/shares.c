#include <config.h>

#include "shares.h"

#include <string.h>

#include "util.h"

/* How it is done.
 *
 * Shards.  M shards of equal size, M a power of two, while n is at most 16 M.  From there on one after the other is
 * halved, in order of their values, one for 6 more endpoints, so that at 22 M all are, and 2 M takes the place of M.  So a
 * shard has 8 to 22 endpoints, and one more endpoint halves at most one shard.
 *
 * Borders.  In order of rank the endpoints stand on a line, each one unit long, and a shard that begins at value v of 256
 * begins there at n * v / 256, rounded to halves of an endpoint.  With whole endpoints only, shares would be up to 16 %
 * off.
 *
 * Weights.  A whole endpoint has WHOLE, a half one half of that, so that a shift of the borders leaves all others as they
 * are.  OVS gives a group as many slots as the ratio of total to least weight asks for, which would be too few; so the
 * first whole endpoint of a shard gives one slot's worth to a second bucket of its own, which makes it more.  Only a power
 * of two of whole endpoints needs none: then few slots are exact.
 *
 * Slots.  256 if there are several shards.  An only one has as few as keep every share within the tolerance, because each
 * slot is a datapath flow of its own for each client, and its first packet goes to ovs-vswitchd. */

#define MOST 22                         /* Endpoints of a shard, rather than which it is halved. */
#define FIRST 16                        /* From which on shards are halved. */
#define WHOLE SHARES_SLOTS
#define LEAST_SLOTS 16                  /* OVS gives no group fewer. */
#define COARSE (64 * SHARES_SLOTS)      /* Endpoints, above which none is halved. */
#define MAX_ENDPOINTS (SHARES_SLOTS * SHARES_SLOTS)

/* Where the shard that begins at 'value' begins on the line, in halves of an endpoint. */
static uint32_t
border(uint32_t n, uint32_t value)
{
    return n > COARSE ? n * value / SHARES_SLOTS * 2 : (n * value + SHARES_SLOTS / 4) / (SHARES_SLOTS / 2);
}

static struct share *
add_share(struct shares *s, uint32_t rank, uint16_t weight)
{
    s->shares[s->n_shares] = (struct share) { rank, weight };
    return &s->shares[s->n_shares++];
}

/* The number of slots for 'n' whole endpoints that are all of a set. */
static uint32_t
slots_for(uint32_t n)
{
    uint32_t slots = LEAST_SLOTS;

    while (slots < SHARES_SLOTS && (10 * DIV_ROUND_UP(slots, n) * n > 11 * slots || 10 * (slots / n) * n < 9 * slots)) {
        slots *= 2;
    }
    return slots;
}

/* Makes the least weight of a shard one slot's worth of the total: a second bucket of 'whole', a whole endpoint. */
static void
add_ballast(struct shares *s, struct share *whole, uint32_t total, uint32_t slots)
{
    uint16_t ballast = DIV_ROUND_UP(total, slots);

    whole->weight -= ballast;
    add_share(s, whole->rank, ballast);
}

static void
add_shard(struct shares *s, uint32_t n, uint32_t value, uint32_t size)
{
    uint32_t from = border(n, value), to = border(n, value + size);
    struct shard *shard = &s->shards[s->n_shards++];
    struct share *whole = NULL;

    *shard = (struct shard) { .value = value, .mask = SHARES_SLOTS - size, .first = s->n_shares };
    for (uint32_t rank = from / 2; rank * 2 < to; rank++) {
        bool is_whole = rank * 2 >= from && (rank + 1) * 2 <= to;
        struct share *share = add_share(s, rank, is_whole ? WHOLE : WHOLE / 2);
        whole = whole || !is_whole ? whole : share;
    }
    bool exact = !((from | to) & 1) && IS_POW2((to - from) / 2);
    if (!exact && to - from <= SHARES_SLOTS) {
        add_ballast(s, whole, (to - from) * (WHOLE / 2), shard->mask ? SHARES_SLOTS : slots_for(n));
    }
    shard->n = s->n_shares - shard->first;
}

/* The number M, see above. */
static uint32_t
level(uint32_t n)
{
    uint32_t m = 1;

    while (m < SHARES_SLOTS && n > MOST * m) {
        m *= 2;
    }
    return m;
}

static uint32_t
n_halved(uint32_t n, uint32_t m)
{
    return m < SHARES_SLOTS && n > FIRST * m ? (n - FIRST * m) / (MOST - FIRST) : 0;
}

void
shares_init(struct shares *s, uint32_t n_)
{
    uint32_t n = MIN(n_, MAX_ENDPOINTS), m = level(n), halved = n_halved(n, m), size = SHARES_SLOTS / m;

    *s = (struct shares) { .shards = xmalloc((m + halved) * sizeof *s->shards) };
    s->shares = xmalloc((n + 3 * (m + halved)) * sizeof *s->shares);
    for (uint32_t i = 0; i < m; i++) {
        if (i < halved) {
            add_shard(s, n, i * size, size / 2);
            add_shard(s, n, i * size + size / 2, size / 2);
        } else {
            add_shard(s, n, i * size, size);
        }
    }
}

void
shares_destroy(struct shares *s)
{
    free(s->shards);
    free(s->shares);
    memset(s, 0, sizeof *s);
}

uint32_t
shares_max_changed(uint32_t n)
{
    uint32_t m = level(n);

    return 4 * (m + n_halved(n, m)) + 60;
}
