#include <config.h>

#include "ipam-pool.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "util.h"

#define BITS 64
#define N_WORDS (IPAM_WINDOW / BITS)
#define N_SUMMARY (N_WORDS / BITS)
#define NIL UINT32_MAX

BUILD_ASSERT_DECL(N_SUMMARY <= BITS);

struct ipam_pool {
    struct inet_prefix cidr;
    uint64_t size, reserved;
    struct inet_prefix *reserve;        /* Clipped to the pool; no two overlap. */
    size_t n_reserve;

    uint64_t base;                      /* Index in the pool of the window's first address. */
    uint32_t n_window;

    /* A bit of 'summary' says that a word of 'fresh' is not 0, a bit of 'top' that of a word of 'summary'. */
    uint64_t fresh[N_WORDS], summary[N_SUMMARY], top;
    uint32_t n_fresh;

    unsigned long *usable, *queued;     /* 'n_window' bits each. */
    uint32_t *next, *prev;              /* Of queued ones.  Pages that are never touched cost nothing. */
    uint32_t head, tail, n_queued;
};

static bool ipam_pool_offset(const struct ipam_pool *, const struct in6_addr *, uint32_t *offset);
static void reserve_ranges(struct ipam_pool *, const struct inet_prefix *reserve, size_t n);
static void place_window(struct ipam_pool *);
static void fill_window(struct ipam_pool *);
static void fresh_set(struct ipam_pool *, uint32_t offset);
static void fresh_clear(struct ipam_pool *, uint32_t offset);
static uint32_t fresh_first(const struct ipam_pool *);
static void queue_push(struct ipam_pool *, uint32_t offset);
static void queue_remove(struct ipam_pool *, uint32_t offset);

struct ipam_pool *
ipam_pool_create(const struct inet_prefix *cidr, const struct inet_prefix *reserve, size_t n_reserve)
{
    struct ipam_pool *pool = xzalloc(sizeof *pool);
    pool->cidr = inet_prefix_network(cidr);
    pool->size = inet_prefix_size(cidr);
    pool->head = pool->tail = NIL;
    reserve_ranges(pool, reserve, n_reserve);
    place_window(pool);
    fill_window(pool);
    return pool;
}

void
ipam_pool_destroy(struct ipam_pool *pool)
{
    if (pool) {
        free(pool->reserve);
        bitmap_free(pool->usable);
        bitmap_free(pool->queued);
        free(pool->next);
        free(pool->prev);
        free(pool);
    }
}

const struct inet_prefix *
ipam_pool_cidr(const struct ipam_pool *pool)
{
    return &pool->cidr;
}

uint64_t
ipam_pool_size(const struct ipam_pool *pool)
{
    return pool->size;
}

uint64_t
ipam_pool_reserved(const struct ipam_pool *pool)
{
    return pool->reserved;
}

uint64_t
ipam_pool_free(const struct ipam_pool *pool)
{
    return (uint64_t) pool->n_fresh + pool->n_queued;
}

bool
ipam_pool_is_reserved(const struct ipam_pool *pool, const struct in6_addr *addr)
{
    for (size_t i = 0; i < pool->n_reserve; i++) {
        if (inet_prefix_contains(&pool->reserve[i], addr)) {
            return true;
        }
    }
    return false;
}

bool
ipam_pool_gives(const struct ipam_pool *pool, const struct in6_addr *addr)
{
    uint32_t offset;
    return ipam_pool_offset(pool, addr, &offset) && bitmap_is_set(pool->usable, offset);
}

bool
ipam_pool_take(struct ipam_pool *pool, struct in6_addr *addr)
{
    uint32_t offset;
    if (pool->n_fresh) {
        offset = fresh_first(pool);
        fresh_clear(pool, offset);
    } else if (pool->n_queued) {
        offset = pool->head;
        queue_remove(pool, offset);
    } else {
        return false;
    }
    return inet_prefix_nth(&pool->cidr, pool->base + offset, addr);
}

void
ipam_pool_take_fixed(struct ipam_pool *pool, const struct in6_addr *addr)
{
    uint32_t offset;
    if (!ipam_pool_offset(pool, addr, &offset)) {
        return;
    }
    fresh_clear(pool, offset);
    if (bitmap_is_set(pool->queued, offset)) {
        queue_remove(pool, offset);
    }
}

void
ipam_pool_put(struct ipam_pool *pool, const struct in6_addr *addr)
{
    uint32_t offset;
    if (ipam_pool_offset(pool, addr, &offset) && bitmap_is_set(pool->usable, offset)
        && !bitmap_is_set(pool->queued, offset) && !(pool->fresh[offset / BITS] >> offset % BITS & 1)) {
        queue_push(pool, offset);
    }
}

void
ipam_pool_inherit(struct ipam_pool *pool, const struct ipam_pool *old)
{
    for (uint32_t i = old->head; i != NIL; i = old->next[i]) {
        struct in6_addr addr;
        uint32_t offset;
        if (inet_prefix_nth(&old->cidr, old->base + i, &addr) && ipam_pool_offset(pool, &addr, &offset)
            && pool->fresh[offset / BITS] >> offset % BITS & 1) {
            fresh_clear(pool, offset);
            queue_push(pool, offset);
        }
    }
}

static bool
ipam_pool_offset(const struct ipam_pool *pool, const struct in6_addr *addr, uint32_t *offset)
{
    uint64_t index;
    if (!inet_prefix_index(&pool->cidr, addr, &index) || index < pool->base || index - pool->base >= pool->n_window) {
        return false;
    }
    *offset = index - pool->base;
    return true;
}

/* Adds 'prefix' unless one that contains it is there; those that it contains go. */
static void
reserve_add(struct ipam_pool *pool, const struct inet_prefix *prefix)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->n_reserve; i++) {
        struct inet_prefix *other = &pool->reserve[i];
        if (inet_prefix_overlaps(other, prefix)) {
            if (other->plen <= prefix->plen) {
                return;
            }
        } else {
            pool->reserve[n++] = *other;
        }
    }
    pool->reserve[n++] = *prefix;
    pool->n_reserve = n;
}

static void
reserve_nth(struct ipam_pool *pool, uint64_t n)
{
    struct in6_addr addr;
    if (inet_prefix_nth(&pool->cidr, n, &addr)) {
        struct inet_prefix host = inet_prefix_host(&addr);
        reserve_add(pool, &host);
    }
}

static void
reserve_ranges(struct ipam_pool *pool, const struct inet_prefix *reserve, size_t n)
{
    pool->reserve = xmalloc((n + 3) * sizeof *pool->reserve);
    for (size_t i = 0; i < n; i++) {
        if (inet_prefix_overlaps(&pool->cidr, &reserve[i])) {
            struct inet_prefix network = inet_prefix_network(&reserve[i]);
            reserve_add(pool, reserve[i].plen < pool->cidr.plen ? &pool->cidr : &network);
        }
    }
    reserve_nth(pool, 0);
    reserve_nth(pool, 1);
    if (inet_is_v4(&pool->cidr.addr)) {
        reserve_nth(pool, pool->size - 1);
    }

    for (size_t i = 0; i < pool->n_reserve; i++) {
        uint64_t size = inet_prefix_size(&pool->reserve[i]);
        pool->reserved = size > UINT64_MAX - pool->reserved ? UINT64_MAX : pool->reserved + size;
    }
}

/* Moves the window behind reserved ranges that cover all of it. */
static void
place_window(struct ipam_pool *pool)
{
    for (size_t i = 0; i < pool->n_reserve; i++) {
        const struct inet_prefix *r = &pool->reserve[i];
        uint64_t first, size = inet_prefix_size(r);
        if (size >= IPAM_WINDOW && inet_prefix_index(&pool->cidr, &r->addr, &first)
            && pool->base >= first && pool->base - first < size) {
            if (size > UINT64_MAX - first || first + size >= pool->size) {
                return;
            }
            pool->base = first + size;
            i = -1;
        }
    }
}

static void
fill_window(struct ipam_pool *pool)
{
    uint64_t rest = pool->size - pool->base;
    pool->n_window = MIN(rest, IPAM_WINDOW);
    pool->usable = bitmap_allocate1(pool->n_window);
    pool->queued = bitmap_allocate(pool->n_window);
    pool->next = xcalloc(pool->n_window, sizeof *pool->next);
    pool->prev = xcalloc(pool->n_window, sizeof *pool->prev);

    uint64_t end = pool->base + pool->n_window;
    for (size_t i = 0; i < pool->n_reserve; i++) {
        uint64_t first, size = inet_prefix_size(&pool->reserve[i]);
        if (inet_prefix_index(&pool->cidr, &pool->reserve[i].addr, &first) && first < end) {
            uint64_t last = size > end - first ? end : first + size;
            first = MAX(first, pool->base);
            if (first < last) {
                bitmap_set_multiple(pool->usable, first - pool->base, last - first, false);
            }
        }
    }
    for (uint32_t i = 0; i < pool->n_window; i++) {
        if (bitmap_is_set(pool->usable, i)) {
            fresh_set(pool, i);
        }
    }
}

static void
fresh_set(struct ipam_pool *pool, uint32_t offset)
{
    uint32_t word = offset / BITS;
    pool->fresh[word] |= UINT64_C(1) << offset % BITS;
    pool->summary[word / BITS] |= UINT64_C(1) << word % BITS;
    pool->top |= UINT64_C(1) << word / BITS;
    pool->n_fresh++;
}

static void
fresh_clear(struct ipam_pool *pool, uint32_t offset)
{
    uint32_t word = offset / BITS;
    uint64_t bit = UINT64_C(1) << offset % BITS;
    if (!(pool->fresh[word] & bit)) {
        return;
    }
    pool->n_fresh--;
    pool->fresh[word] &= ~bit;
    if (!pool->fresh[word]) {
        pool->summary[word / BITS] &= ~(UINT64_C(1) << word % BITS);
        if (!pool->summary[word / BITS]) {
            pool->top &= ~(UINT64_C(1) << word / BITS);
        }
    }
}

/* There must be one. */
static uint32_t
fresh_first(const struct ipam_pool *pool)
{
    uint32_t i = raw_ctz(pool->top);
    uint32_t word = i * BITS + raw_ctz(pool->summary[i]);
    return word * BITS + raw_ctz(pool->fresh[word]);
}

static void
queue_push(struct ipam_pool *pool, uint32_t offset)
{
    pool->next[offset] = NIL;
    pool->prev[offset] = pool->tail;
    *(pool->tail == NIL ? &pool->head : &pool->next[pool->tail]) = offset;
    pool->tail = offset;
    bitmap_set1(pool->queued, offset);
    pool->n_queued++;
}

static void
queue_remove(struct ipam_pool *pool, uint32_t offset)
{
    uint32_t next = pool->next[offset], prev = pool->prev[offset];
    *(prev == NIL ? &pool->head : &pool->next[prev]) = next;
    *(next == NIL ? &pool->tail : &pool->prev[next]) = prev;
    bitmap_set0(pool->queued, offset);
    pool->n_queued--;
}
