#include <config.h>

#include "of-state.h"

#include "cookie.h"
#include "hash.h"
#include "of-state-private.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

static struct of_owner *owner_find(const struct of_state *, const char *name);
static struct of_owner *owner_create(struct of_state *, const char *name);
static void owner_destroy(struct of_state *, struct of_owner *);
static struct of_claim *owner_find_claim(const struct of_owner *, const struct of_item *);
static bool owner_claim(struct of_state *, struct of_owner *, const struct of_item *);
static bool owner_drop_unmarked(struct of_state *, struct of_owner *);
static void claim_destroy(struct of_state *, struct of_claim *);
static struct of_slot *slot_find_or_create(struct of_state *, const struct of_item *key);
static void slot_share(struct of_slot *, const struct of_item *wanted);
static void dumped(struct of_state *, struct of_item *);

struct of_state *
of_state_create(void)
{
    struct of_state *s = xzalloc(sizeof *s);

    hmap_init(&s->slots);
    hmap_init(&s->owners);
    hmap_init(&s->owners_by_cookie);
    hmap_init(&s->group_uses);
    for (size_t i = 0; i < OF_N_QUEUES; i++) {
        ovs_list_init(&s->queues[i]);
    }
    s->limit = SIZE_MAX;
    return s;
}

void
of_state_destroy(struct of_state *s)
{
    if (!s) {
        return;
    }
    of_state_forget_bundle(s);

    struct of_owner *owner;
    HMAP_FOR_EACH_SAFE (owner, name_node, &s->owners) {
        struct of_claim *claim;
        HMAP_FOR_EACH_SAFE (claim, owner_node, &owner->claims) {
            claim_destroy(s, claim);
        }
        owner_destroy(s, owner);
    }
    struct of_slot *slot;
    HMAP_FOR_EACH_SAFE (slot, node, &s->slots) {
        of_slot_destroy(s, slot);
    }
    struct of_group_use *use;
    HMAP_FOR_EACH_POP (use, node, &s->group_uses) {
        free(use);
    }
    hmap_destroy(&s->group_uses);
    hmap_destroy(&s->slots);
    hmap_destroy(&s->owners);
    hmap_destroy(&s->owners_by_cookie);
    free(s->changes);
    free(s->change_slots);
    free(s);
}

/* Desired. ------------------------------------------------------------------------------------------------------- */

uint64_t
of_state_set(struct of_state *s, const char *name, const struct flow_set *set)
{
    struct of_owner *owner = owner_find(s, name);
    bool changed = false;

    if (!owner) {
        owner = owner_create(s, name);
    }
    owner->mark++;
    for (size_t i = 0; i < set->n_flows; i++) {
        struct of_item item = of_item_flow(set->flows[i]);
        changed |= owner_claim(s, owner, &item);
    }
    for (size_t i = 0; i < set->n_meters; i++) {
        struct of_item item = of_item_meter(&set->meters[i]);
        changed |= owner_claim(s, owner, &item);
    }
    for (size_t i = 0; i < set->n_groups; i++) {
        struct of_item item = of_item_group(set->groups[i]);
        changed |= owner_claim(s, owner, &item);
    }
    changed |= owner_drop_unmarked(s, owner);
    if (changed) {
        owner->version = ++s->version;
        of_state_settle(s);
    }
    return owner->version;
}

uint64_t
of_state_remove(struct of_state *s, const char *name)
{
    struct of_owner *owner = owner_find(s, name);

    if (owner) {
        owner->mark++;
        if (owner_drop_unmarked(s, owner)) {
            s->version++;
        }
        owner_destroy(s, owner);
        of_state_settle(s);
    }
    return s->version;
}

/* Takes 'item'. */
static uint64_t
put_item(struct of_state *s, const char *name, struct of_item item)
{
    struct of_owner *owner = owner_find(s, name);

    if (!owner) {
        owner = owner_create(s, name);
    }
    if (owner_claim(s, owner, &item)) {
        owner->version = ++s->version;
        of_state_settle(s);
    }
    of_item_destroy(&item);
    return owner->version;
}

uint64_t
of_state_put_flow(struct of_state *s, const char *name, struct flow_entry *flow)
{
    return put_item(s, name, of_item_flow(flow));
}

uint64_t
of_state_put_group(struct of_state *s, const char *name, struct group_entry *group)
{
    return put_item(s, name, of_item_group(group));
}

static uint64_t
drop_item(struct of_state *s, const char *name, const struct of_item *key)
{
    struct of_owner *owner = owner_find(s, name);
    struct of_claim *claim = owner ? owner_find_claim(owner, key) : NULL;

    if (claim) {
        struct of_slot *slot = claim->slot;
        claim_destroy(s, claim);
        of_slot_refresh(s, slot);
        owner->version = OF_BUG("drop-silently") ? s->version : ++s->version;
        of_state_settle(s);
    }
    return owner ? owner->version : s->version;
}

uint64_t
of_state_drop_flow(struct of_state *s, const char *name, const struct flow_entry *key)
{
    struct of_item item = of_item_flow(CONST_CAST(struct flow_entry *, key));
    return drop_item(s, name, &item);
}

uint64_t
of_state_drop_group(struct of_state *s, const char *name, uint32_t group_id)
{
    struct of_item item = of_item_group_key(group_id);
    return drop_item(s, name, &item);
}

uint64_t
of_state_version(const struct of_state *s)
{
    return s->version;
}

uint64_t
of_state_acked(const struct of_state *s)
{
    return s->acked;
}

void
of_state_start(struct of_state *s)
{
    s->started = true;
    of_state_settle(s);
}

const char *
of_state_owner_failed(const struct of_state *s, const char *name)
{
    const struct of_owner *owner = owner_find(s, name);

    if (owner && !ovs_list_is_empty(&owner->refusals)) {
        return CONTAINER_OF(ovs_list_front(&owner->refusals), struct of_refusal, node)->why;
    }
    return NULL;
}

const char *
of_state_owner_from_cookie(const struct of_state *s, uint64_t cookie)
{
    const struct of_owner *owner;

    HMAP_FOR_EACH_WITH_HASH (owner, cookie_node, hash_uint64(cookie), &s->owners_by_cookie) {
        if (owner->cookie == cookie) {
            return owner->name;
        }
    }
    return NULL;
}

/* Events of the connection. -------------------------------------------------------------------------------------- */

/* All that is believed about the switch is forgotten, and what it refused may be tried again: it may be another
 * version of it. */
void
of_state_connected(struct of_state *s)
{
    of_state_disconnected(s);

    struct of_slot *slot;
    HMAP_FOR_EACH_SAFE (slot, node, &s->slots) {
        for (struct of_claim *claim = slot->claims; claim; claim = claim->next) {
            of_claim_quarantine(s, claim, NULL);
        }
        slot->stuck = false;
        if (!OF_BUG("lose-on-disconnect")) {
            of_slot_set_installed(s, slot, NULL);
        }
        of_slot_refresh(s, slot);
    }
}

void
of_state_disconnected(struct of_state *s)
{
    of_state_forget_bundle(s);
    s->dumped = false;
    s->acked = 0;
    s->limit = SIZE_MAX;
}

void
of_state_dumped_flow(struct of_state *s, struct flow_entry *flow)
{
    struct of_item item = of_item_flow(flow);
    dumped(s, &item);
}

void
of_state_dumped_meter(struct of_state *s, const struct flow_meter *meter)
{
    struct of_item item = of_item_meter(meter);
    dumped(s, &item);
}

void
of_state_dumped_group(struct of_state *s, struct group_entry *group)
{
    struct of_item item = of_item_group(group);
    dumped(s, &item);
}

void
of_state_dump_done(struct of_state *s)
{
    s->dumped = true;
    s->n_dumps++;
    of_state_settle(s);
}

/* Takes 'item'. */
static void
dumped(struct of_state *s, struct of_item *item)
{
    struct of_slot *slot = slot_find_or_create(s, item);

    of_slot_set_installed(s, slot, item);
    for (const struct of_claim *claim = slot->claims; claim; claim = claim->next) {
        slot_share(slot, &claim->item);
    }
    of_slot_refresh(s, slot);
    of_item_destroy(item);
}

/* Looking at it. ------------------------------------------------------------------------------------------------- */

void
of_state_get_stats(const struct of_state *s, struct of_state_stats *stats)
{
    *stats = (struct of_state_stats) {
        .n_owners = hmap_count(&s->owners),
        .n_desired = s->n_desired,
        .n_installed = s->n_installed,
        .n_groups = s->n_groups,
        .n_quarantined = s->n_quarantined,
        .n_bundles = s->n_bundles,
        .n_flow_mods = s->n_flow_mods,
        .n_failures = s->n_failures,
        .n_dumps = s->n_dumps,
        .synced = s->dumped && s->started && of_state_idle(s),
    };
}

/* Who has declared what is installed in 'slot', or NULL. */
static const char *
slot_owner(const struct of_state *s, const struct of_slot *slot)
{
    for (const struct of_claim *claim = slot->claims; claim; claim = claim->next) {
        if (claim->item.flow->cookie == slot->item.flow->cookie) {
            return claim->owner->name;
        }
    }
    return of_state_owner_from_cookie(s, slot->item.flow->cookie);
}

void
of_state_for_each_installed(const struct of_state *s,
                            void (*cb)(const struct flow_entry *, const char *owner, void *aux), void *aux)
{
    const struct of_slot *slot;

    HMAP_FOR_EACH (slot, node, &s->slots) {
        if (slot->has_installed && slot->item.kind == OF_KIND_FLOW) {
            cb(slot->item.flow, slot_owner(s, slot), aux);
        }
    }
}

void
of_state_for_each_refused(const struct of_state *s, const char *name,
                          void (*cb)(const struct flow_entry *, const char *why, void *aux), void *aux)
{
    const struct of_owner *owner = owner_find(s, name);
    const struct of_refusal *refusal;

    if (owner) {
        LIST_FOR_EACH (refusal, node, &owner->refusals) {
            if (refusal->claim->item.kind == OF_KIND_FLOW) {
                cb(refusal->claim->item.flow, refusal->why, aux);
            }
        }
    }
}

void
of_state_for_each_failed(const struct of_state *s, void (*cb)(const char *owner, const char *why, void *aux), void *aux)
{
    const struct of_owner *owner;

    HMAP_FOR_EACH (owner, name_node, &s->owners) {
        const struct of_refusal *refusal;
        bool told = false;

        LIST_FOR_EACH (refusal, node, &owner->refusals) {
            const struct of_item *item = &refusal->claim->item;
            bool by_itself = item->kind == OF_KIND_GROUP
                             || (item->kind == OF_KIND_FLOW && item->flow->cookie != owner->cookie);
            if (by_itself || !told) {
                cb(owner->name, refusal->why, aux);
                told |= !by_itself;
            }
        }
    }
}

/* Owners. -------------------------------------------------------------------------------------------------------- */

static struct of_owner *
owner_find(const struct of_state *s, const char *name)
{
    struct of_owner *owner;

    HMAP_FOR_EACH_WITH_HASH (owner, name_node, hash_string(name, 0), &s->owners) {
        if (!strcmp(owner->name, name)) {
            return owner;
        }
    }
    return NULL;
}

static struct of_owner *
owner_create(struct of_state *s, const char *name)
{
    struct of_owner *owner = xzalloc(sizeof *owner);

    owner->name = xstrdup(name);
    owner->cookie = cookie_from_owner(name);
    owner->version = s->version;
    hmap_init(&owner->claims);
    ovs_list_init(&owner->refusals);
    hmap_insert(&s->owners, &owner->name_node, hash_string(name, 0));
    hmap_insert(&s->owners_by_cookie, &owner->cookie_node, hash_uint64(owner->cookie));
    return owner;
}

/* 'owner' has no claims any more. */
static void
owner_destroy(struct of_state *s, struct of_owner *owner)
{
    hmap_remove(&s->owners, &owner->name_node);
    hmap_remove(&s->owners_by_cookie, &owner->cookie_node);
    hmap_destroy(&owner->claims);
    free(owner->name);
    free(owner);
}

static struct of_claim *
owner_find_claim(const struct of_owner *owner, const struct of_item *item)
{
    struct of_claim *claim;

    HMAP_FOR_EACH_WITH_HASH (claim, owner_node, of_item_hash(item), &owner->claims) {
        if (of_item_same_key(&claim->item, item)) {
            return claim;
        }
    }
    return NULL;
}

/* The smaller cookie comes first, and of equal ones (which only a collision of hashes makes) the smaller name. */
static bool
owner_before(const struct of_owner *a, const struct of_owner *b)
{
    return a->cookie != b->cookie ? a->cookie < b->cookie : strcmp(a->name, b->name) < 0;
}

/* Claims. -------------------------------------------------------------------------------------------------------- */

static void
claim_create(struct of_state *s, struct of_owner *owner, const struct of_item *item)
{
    struct of_slot *slot = slot_find_or_create(s, item);
    struct of_claim *claim = xzalloc(sizeof *claim), **place = &slot->claims;

    *claim = (struct of_claim) { .owner = owner, .slot = slot, .item = of_item_clone(item), .mark = owner->mark };
    hmap_insert(&owner->claims, &claim->owner_node, of_item_hash(item));

    if (!slot->claims && item->kind == OF_KIND_FLOW) {
        s->n_desired++;
    }
    while (*place && (!owner_before(owner, (*place)->owner) || OF_BUG("order-of-events"))) {
        place = &(*place)->next;
    }
    claim->next = *place;
    *place = claim;
    slot_share(slot, item);
    slot->stuck = false;
    of_slot_refresh(s, slot);
}

/* Leaves the slot as it is: the caller refreshes it. */
static void
claim_destroy(struct of_state *s, struct of_claim *claim)
{
    struct of_claim **place = &claim->slot->claims;

    of_claim_quarantine(s, claim, NULL);
    hmap_remove(&claim->owner->claims, &claim->owner_node);
    while (*place != claim) {
        place = &(*place)->next;
    }
    *place = claim->next;
    if (!claim->slot->claims && claim->item.kind == OF_KIND_FLOW) {
        s->n_desired--;
    }
    of_item_destroy(&claim->item);
    free(claim);
}

void
of_claim_quarantine(struct of_state *s, struct of_claim *claim, char *why)
{
    if (claim->refusal) {
        ovs_list_remove(&claim->refusal->node);
        free(claim->refusal->why);
        free(claim->refusal);
        claim->refusal = NULL;
        s->n_quarantined--;
    }
    if (why) {
        claim->refusal = xmalloc(sizeof *claim->refusal);
        *claim->refusal = (struct of_refusal) { .claim = claim, .why = why };
        ovs_list_push_back(&claim->owner->refusals, &claim->refusal->node);
        s->n_quarantined++;
    }
}

/* 'owner' wants 'item'.  Returns true if that is news. */
static bool
owner_claim(struct of_state *s, struct of_owner *owner, const struct of_item *item)
{
    struct of_claim *claim = owner_find_claim(owner, item);

    if (!claim) {
        claim_create(s, owner, item);
        return true;
    }
    claim->mark = owner->mark;
    bool same = of_item_same_content(&claim->item, item);
    if (same && !claim->refusal) {
        return false;
    }
    if (!same) {
        struct of_item new = of_item_clone(item);
        of_item_destroy(&claim->item);
        claim->item = new;
        slot_share(claim->slot, item);
    }
    of_claim_quarantine(s, claim, NULL);
    of_slot_refresh(s, claim->slot);
    return true;
}

/* Drops the claims that the latest of_state_set() did not repeat.  Returns true if there were any. */
static bool
owner_drop_unmarked(struct of_state *s, struct of_owner *owner)
{
    struct of_claim *claim;
    bool changed = false;

    HMAP_FOR_EACH_SAFE (claim, owner_node, &owner->claims) {
        if (claim->mark != owner->mark) {
            struct of_slot *slot = claim->slot;
            claim_destroy(s, claim);
            of_slot_refresh(s, slot);
            changed = true;
        }
    }
    return changed;
}

/* Slots. --------------------------------------------------------------------------------------------------------- */

struct of_slot *
of_slot_find(const struct of_state *s, const struct of_item *key)
{
    struct of_slot *slot;

    HMAP_FOR_EACH_WITH_HASH (slot, node, of_item_hash(key), &s->slots) {
        if (of_item_same_key(&slot->item, key)) {
            return slot;
        }
    }
    return NULL;
}

static struct of_slot *
slot_find_or_create(struct of_state *s, const struct of_item *key)
{
    struct of_slot *slot = of_slot_find(s, key);

    if (!slot) {
        slot = xzalloc(sizeof *slot);
        slot->item = of_item_clone_key(key);
        slot->queue = OF_QUEUE_NONE;
        hmap_insert(&s->slots, &slot->node, of_item_hash(key));
    }
    return slot;
}

/* One copy in memory of what is wanted and is there. */
static void
slot_share(struct of_slot *slot, const struct of_item *wanted)
{
    if (slot->has_installed && of_item_same_content(&slot->item, wanted)) {
        struct of_item shared = of_item_clone(wanted);

        of_item_destroy(&slot->item);
        slot->item = shared;
    }
}

/* 'slot' has no claims. */
void
of_slot_destroy(struct of_state *s, struct of_slot *slot)
{
    if (slot->queue != OF_QUEUE_NONE) {
        ovs_list_remove(&slot->queue_node);
    }
    of_slot_set_installed(s, slot, NULL);
    hmap_remove(&s->slots, &slot->node);
    of_item_destroy(&slot->item);
    free(slot);
}
