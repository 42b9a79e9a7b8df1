#include <config.h>

#include "controller/endpoints.h"

#include <string.h>

#include "controller/store.h"
#include "hash.h"
#include "util.h"

/* A pod's claim to one of its addresses. */
struct slot {
    const struct kube_pod *pod;         /* A reference; NULL: the slot is free. */
    uint64_t generation : 40;           /* Only of the claim that holds its address. */
    uint64_t index : 4;                 /* In 'pod->addrs'. */
    uint64_t tag : 20;                  /* Of the address' hash, which spares a look at most other pods. */
};
BUILD_ASSERT_DECL(KUBE_MAX_ADDRS <= 16);
BUILD_ASSERT_DECL(sizeof(struct slot) == 16);

/* Open addressing with linear probing: claims to one address stand in one run of used slots, others in between. */
struct endpoints {
    struct slot *slots;
    size_t mask;                        /* Number of slots, a power of two, less one. */
    size_t n;
    uint64_t generation;
};

#define MIN_SLOTS 16

static struct slot *
slots_create(size_t n)
{
    return xcalloc(n, sizeof(struct slot));
}

struct endpoints *
endpoints_create(void)
{
    struct endpoints *ep = xzalloc(sizeof *ep);

    ep->slots = slots_create(MIN_SLOTS);
    ep->mask = MIN_SLOTS - 1;
    return ep;
}

void
endpoints_destroy(struct endpoints *ep)
{
    if (ep) {
        for (size_t i = 0; i <= ep->mask; i++) {
            if (ep->slots[i].pod) {
                kube_object_destroy(&ep->slots[i].pod->object);
            }
        }
        free(ep->slots);
        free(ep);
    }
}

size_t
endpoints_count(const struct endpoints *ep)
{
    return ep->n;
}

/* The table. ----------------------------------------------------------------------------------------------------- */

static uint32_t
hash_addr(const struct in6_addr *addr)
{
    return hash_bytes(addr, sizeof *addr, 0);
}

static uint32_t
tag_of(uint32_t hash)
{
    return hash >> 12;
}

static bool
slot_matches(const struct slot *slot, const struct in6_addr *addr, uint32_t hash)
{
    return slot->tag == tag_of(hash) && !memcmp(&slot->pod->addrs[slot->index], addr, sizeof *addr);
}

static void
insert(struct endpoints *ep, const struct slot *slot)
{
    size_t i = hash_addr(&slot->pod->addrs[slot->index]) & ep->mask;

    while (ep->slots[i].pod) {
        i = (i + 1) & ep->mask;
    }
    ep->slots[i] = *slot;
}

static void
resize(struct endpoints *ep, size_t n)
{
    struct slot *old = ep->slots;
    size_t n_old = ep->mask + 1;

    ep->slots = slots_create(n);
    ep->mask = n - 1;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].pod) {
            insert(ep, &old[i]);
        }
    }
    free(old);
}

static void
add_claim(struct endpoints *ep, const struct kube_pod *pod, size_t index, uint32_t hash)
{
    if (++ep->n > (ep->mask + 1) / 8 * 7) {
        resize(ep, (ep->mask + 1) * 2);
    }
    kube_object_ref(&pod->object);
    insert(ep, &(struct slot) { .pod = pod, .index = index, .tag = tag_of(hash) });
}

/* Frees slot 'i', and moves back those behind it that could not stand further in front. */
static void
remove_claim(struct endpoints *ep, size_t i)
{
    const struct kube_pod *pod = ep->slots[i].pod;

    for (size_t j = (i + 1) & ep->mask; ep->slots[j].pod; j = (j + 1) & ep->mask) {
        size_t home = hash_addr(&ep->slots[j].pod->addrs[ep->slots[j].index]) & ep->mask;

        if (((j - home) & ep->mask) >= ((j - i) & ep->mask)) {
            ep->slots[i] = ep->slots[j];
            i = j;
        }
    }
    ep->slots[i].pod = NULL;
    kube_object_destroy(&pod->object);
    ep->n--;
    if (ep->mask + 1 > MIN_SLOTS && ep->n < (ep->mask + 1) / 8) {
        resize(ep, (ep->mask + 1) / 2);
    }
}

/* Claims. -------------------------------------------------------------------------------------------------------- */

static bool
same_name(const struct kube_pod *a, const struct kube_pod *b)
{
    return !strcmp(a->object.name, b->object.name) && !strcmp(a->object.namespace_, b->object.namespace_);
}

static bool
same_pod(const struct kube_pod *a, const struct kube_pod *b)
{
    return kube_uid_equal(&a->object.uid, &b->object.uid) && same_name(a, b);
}

/* 'a' rather than 'b'. */
static bool
wins(const struct kube_pod *a, const struct kube_pod *b)
{
    if (a->deleting != b->deleting) {
        return b->deleting;
    }
    if (a->created != b->created) {
        return a->created > b->created;
    }
    int cmp = kube_uid_compare(&a->object.uid, &b->object.uid);
    cmp = cmp ? cmp : strcmp(a->object.namespace_, b->object.namespace_);
    cmp = cmp ? cmp : strcmp(a->object.name, b->object.name);
    return cmp < 0;
}

/* The claim that holds the address. */
static struct slot *
find(const struct endpoints *ep, const struct in6_addr *addr, uint32_t hash)
{
    struct slot *best = NULL;

    for (size_t i = hash & ep->mask; ep->slots[i].pod; i = (i + 1) & ep->mask) {
        struct slot *slot = &ep->slots[i];

        if (slot_matches(slot, addr, hash) && (!best || wins(slot->pod, best->pod))) {
            best = slot;
        }
    }
    return best;
}

/* The slot with the claim of the pod of that name; SIZE_MAX if there is none. */
static size_t
find_claim(const struct endpoints *ep, const struct in6_addr *addr, uint32_t hash, const struct kube_pod *pod)
{
    for (size_t i = hash & ep->mask; ep->slots[i].pod; i = (i + 1) & ep->mask) {
        if (slot_matches(&ep->slots[i], addr, hash) && same_name(ep->slots[i].pod, pod)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool
has_claims(const struct kube_pod *pod)
{
    return pod && !pod->finished && !pod->host_network;
}

static bool
claims(const struct kube_pod *pod, const struct in6_addr *addr)
{
    for (size_t i = 0; has_claims(pod) && i < pod->n_addrs; i++) {
        if (!memcmp(&pod->addrs[i], addr, sizeof *addr)) {
            return true;
        }
    }
    return false;
}

/* 'pod' claims its address of that index, or gives it up; whatever a pod of its name claimed there before is void. */
static void
set_claim(struct endpoints *ep, const struct kube_pod *pod, size_t index, bool claim)
{
    const struct in6_addr addr = pod->addrs[index];
    uint32_t hash = hash_addr(&addr);
    const struct slot *before = find(ep, &addr, hash);
    const struct kube_pod *old = before ? before->pod : NULL;
    uint64_t generation = before ? before->generation : 0;
    size_t i = find_claim(ep, &addr, hash, pod);

    if (old) {
        kube_object_ref(&old->object);
    }
    if (i != SIZE_MAX) {
        remove_claim(ep, i);
    }
    if (claim) {
        add_claim(ep, pod, index, hash);
    }

    struct slot *after = find(ep, &addr, hash);
    if (after) {
        after->generation = old && same_pod(old, after->pod) ? generation : ++ep->generation;
    }
    if (old) {
        kube_object_destroy(&old->object);
    }
}

void
endpoints_update(struct endpoints *ep, const struct kube_pod *old, const struct kube_pod *new)
{
    for (size_t i = 0; has_claims(old) && i < old->n_addrs; i++) {
        if (!claims(new, &old->addrs[i])) {
            set_claim(ep, old, i, false);
        }
    }
    for (size_t i = 0; has_claims(new) && i < new->n_addrs; i++) {
        set_claim(ep, new, i, true);
    }
}

void
endpoints_follow(struct endpoints *ep, const struct store *store, const struct store_key *key)
{
    if (key->kind == KUBE_POD) {
        const struct kube_object *new = store_get(store, KUBE_POD, key->namespace_, key->name);
        endpoints_update(ep, kube_pod_cast(key->old), kube_pod_cast(new));
    }
}

const struct kube_pod *
endpoints_find(const struct endpoints *ep, const struct in6_addr *addr, uint64_t *generation)
{
    const struct slot *slot = find(ep, addr, hash_addr(addr));

    if (generation) {
        *generation = slot ? slot->generation : 0;
    }
    return slot ? slot->pod : NULL;
}
