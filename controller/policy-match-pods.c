#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* A table has room for half as many again as it got when it was made, and is made anew when more than seven or less
 * than four of its eight slots are in use: 9 to 16 bytes a pod. */

static size_t
home_of(const struct pod_set *set, const struct kube_pod *pod)
{
    return (uint64_t) hash_pointer(pod, 0) * set->n_slots >> 32;
}

static size_t
following(const struct pod_set *set, size_t i)
{
    return i + 1 < set->n_slots ? i + 1 : 0;
}

/* Where it is, or the empty slot where it would be. */
static size_t
slot_of(const struct pod_set *set, const struct kube_pod *pod)
{
    size_t i = home_of(set, pod);

    while (set->slots[i] && set->slots[i] != pod) {
        i = following(set, i);
    }
    return i;
}

static void
make_table(struct pod_set *set)
{
    struct pod_set old = *set;

    set->n_slots = MAX(set->n + set->n / 2 + 1, 3);       /* One is always empty. */
    set->slots = xcalloc(set->n_slots, sizeof *set->slots);
    for (size_t i = 0; i < old.n_slots; i++) {
        if (old.slots[i]) {
            set->slots[slot_of(set, old.slots[i])] = old.slots[i];
        }
    }
    if (old.n_slots) {
        free(old.slots);
    } else if (old.n) {
        set->slots[slot_of(set, old.one)] = old.one;
    }
}

void
pod_set_add(struct pod_set *set, const struct kube_pod *pod)
{
    if (!set->n) {
        *set = (struct pod_set) { .one = pod, .n = 1 };
        return;
    }
    if (!set->n_slots || (set->n + 1) * UINT64_C(8) > set->n_slots * UINT64_C(7)) {
        make_table(set);
    }
    set->slots[slot_of(set, pod)] = pod;
    set->n++;
}

/* Empties a slot, and moves up what was put behind it because it was taken. */
static void
empty_slot(struct pod_set *set, size_t hole)
{
    for (size_t i = following(set, hole); set->slots[i]; i = following(set, i)) {
        size_t home = home_of(set, set->slots[i]);
        bool stays = hole <= i ? hole < home && home <= i : hole < home || home <= i;

        if (!stays) {
            set->slots[hole] = set->slots[i];
            hole = i;
        }
    }
    set->slots[hole] = NULL;
}

void
pod_set_remove(struct pod_set *set, const struct kube_pod *pod)
{
    ovs_assert(pod_set_contains(set, pod));
    if (set->n_slots) {
        empty_slot(set, slot_of(set, pod));
    }
    set->n--;
    if (!set->n) {
        pod_set_destroy(set);
    } else if (set->n_slots > 8 && set->n * UINT64_C(2) < set->n_slots) {
        make_table(set);
    }
}

bool
pod_set_contains(const struct pod_set *set, const struct kube_pod *pod)
{
    return set->n && (set->n_slots ? set->slots[slot_of(set, pod)] == pod : set->one == pod);
}

void
pod_set_destroy(struct pod_set *set)
{
    if (set->n_slots) {
        free(set->slots);
    }
    *set = (struct pod_set) { .n = 0 };
}
