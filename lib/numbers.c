#include <config.h>

#include "numbers.h"

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "util.h"

/* Things choose in the order of their hashes, smallest first; each takes the first free number from its home upwards.
 * That the layout is always what this would give is kept by two rules: whoever comes takes a number from its holder if
 * it has the smaller hash, and the holder goes on from there; a number that gets free goes to the one with the smallest
 * hash of those who would like it better than the one that they have. */
struct thing {
    struct hmap_node by_hash;           /* In 'by_hash' of struct numbers. */
    struct hmap_node by_number;         /* In 'by_number'. */
    struct ovs_list moved;              /* In 'moved' if 'number' differs from 'told', perhaps also if not. */
    uint64_t hash;
    uint32_t number;
    uint32_t told;                      /* The number that its users know. */
    unsigned int n_refs;
};

struct numbers {
    struct hmap by_hash, by_number;
    struct ovs_list moved;
};

#define FIRST UINT32_C(1)
#define LAST (UINT32_MAX - 1)

struct numbers *
numbers_create(void)
{
    struct numbers *numbers = xmalloc(sizeof *numbers);

    hmap_init(&numbers->by_hash);
    hmap_init(&numbers->by_number);
    ovs_list_init(&numbers->moved);
    return numbers;
}

void
numbers_destroy(struct numbers *numbers)
{
    if (numbers) {
        struct thing *thing;

        HMAP_FOR_EACH_POP (thing, by_hash, &numbers->by_hash) {
            free(thing);
        }
        hmap_destroy(&numbers->by_hash);
        hmap_destroy(&numbers->by_number);
        free(numbers);
    }
}

static struct thing *
find(const struct numbers *numbers, uint64_t hash)
{
    struct thing *thing;

    HMAP_FOR_EACH_WITH_HASH (thing, by_hash, hash_uint64(hash), &numbers->by_hash) {
        if (thing->hash == hash) {
            return thing;
        }
    }
    return NULL;
}

static struct thing *
holder(const struct numbers *numbers, uint32_t number)
{
    struct thing *thing;

    HMAP_FOR_EACH_WITH_HASH (thing, by_number, number, &numbers->by_number) {
        if (thing->number == number) {
            return thing;
        }
    }
    return NULL;
}

static uint32_t
home(uint64_t hash)
{
    uint32_t low = hash;
    return low >= FIRST && low <= LAST ? low : FIRST;
}

static uint32_t
next(uint32_t number)
{
    return number == LAST ? FIRST : number + 1;
}

/* How many choices of the thing come before 'number'. */
static uint32_t
distance(const struct thing *thing, uint32_t number)
{
    uint32_t from = home(thing->hash);
    return number >= from ? number - from : number + (LAST - from + 1) - FIRST;
}

/* The thing, which must hold no number, gets 'number', which must be free. */
static void
give(struct numbers *numbers, struct thing *thing, uint32_t number)
{
    thing->number = number;
    hmap_insert(&numbers->by_number, &thing->by_number, number);
    if (number != thing->told && ovs_list_is_empty(&thing->moved)) {
        ovs_list_push_back(&numbers->moved, &thing->moved);
    }
}

/* Finds a place for a thing that holds no number, and for those that it drives away. */
static void
settle(struct numbers *numbers, struct thing *thing, uint32_t number)
{
    for (;; number = next(number)) {
        struct thing *other = holder(numbers, number);

        if (!other) {
            give(numbers, thing, number);
            return;
        }
        if (thing->hash < other->hash) {
            hmap_remove(&numbers->by_number, &other->by_number);
            give(numbers, thing, number);
            thing = other;
        }
    }
}

/* Gives the free number 'hole' to who has a right to it, and so on with the number that this one leaves. */
static void
fill(struct numbers *numbers, uint32_t hole)
{
    for (;;) {
        struct thing *best = NULL, *thing;

        for (uint32_t n = next(hole); (thing = holder(numbers, n)) != NULL; n = next(n)) {
            if (distance(thing, hole) < distance(thing, n) && (!best || thing->hash < best->hash)) {
                best = thing;
            }
        }
        if (!best) {
            return;
        }

        uint32_t left = best->number;
        hmap_remove(&numbers->by_number, &best->by_number);
        give(numbers, best, hole);
        hole = left;
    }
}

uint32_t
numbers_ref(struct numbers *numbers, uint64_t hash)
{
    struct thing *thing = find(numbers, hash);

    if (!thing) {
        thing = xzalloc(sizeof *thing);
        thing->hash = hash;
        ovs_list_init(&thing->moved);
        hmap_insert(&numbers->by_hash, &thing->by_hash, hash_uint64(hash));
        settle(numbers, thing, home(hash));
        ovs_list_remove(&thing->moved);         /* A new one's number is what is returned. */
        ovs_list_init(&thing->moved);
        thing->told = thing->number;
    }
    thing->n_refs++;
    return thing->number;
}

void
numbers_unref(struct numbers *numbers, uint64_t hash)
{
    struct thing *thing = find(numbers, hash);

    ovs_assert(thing);
    if (--thing->n_refs) {
        return;
    }
    hmap_remove(&numbers->by_hash, &thing->by_hash);
    hmap_remove(&numbers->by_number, &thing->by_number);
    ovs_list_remove(&thing->moved);
    fill(numbers, thing->number);
    free(thing);
}

uint32_t
numbers_get(const struct numbers *numbers, uint64_t hash)
{
    const struct thing *thing = find(numbers, hash);
    return thing ? thing->number : 0;
}

bool
numbers_pop_moved(struct numbers *numbers, uint64_t *hash)
{
    while (!ovs_list_is_empty(&numbers->moved)) {
        struct thing *thing = CONTAINER_OF(ovs_list_pop_front(&numbers->moved), struct thing, moved);

        ovs_list_init(&thing->moved);
        if (thing->number != thing->told) {     /* Else it came back. */
            thing->told = thing->number;
            *hash = thing->hash;
            return true;
        }
    }
    return false;
}

size_t
numbers_count(const struct numbers *numbers)
{
    return hmap_count(&numbers->by_hash);
}
