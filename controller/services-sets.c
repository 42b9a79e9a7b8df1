#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* Users. --------------------------------------------------------------------------------------------------------- */

static uint64_t
user_key(const struct user *user)
{
    uint8_t kind = user - user->sport->users;

    return services_hash(&kind, sizeof kind, user->sport->key);
}

/* The order of names: whose name a shared set has does not depend on who came first. */
static bool
user_before(const struct user *a, const struct user *b)
{
    int cmp = strcmp(a->sport->owner->key, b->sport->owner->key);

    return cmp ? cmp < 0 : user_key(a) < user_key(b);
}

static void
mark(struct services *s, struct set *set)
{
    if (ovs_list_is_empty(&set->dirty)) {
        ovs_list_push_back(&s->dirty_sets, &set->dirty);
    }
}

static void
detach(struct services *s, struct user *user)
{
    struct set *set = user->set;

    if (set) {
        ovs_list_remove(&user->node);
        ovs_list_init(&user->node);
        user->set = NULL;
        if (set->owner == user) {
            set->owner = NULL;
        }
        mark(s, set);
    }
}

static void
attach(struct services *s, struct user *user, struct set *set)
{
    user->set = set;
    if (!set->owner && ovs_list_is_empty(&set->users)) {
        set->owner = user;
    } else if (set->owner && user_before(user, set->owner) && !SERVICES_BUG("first-missed")) {
        set->owner = user;
    }                                   /* Else it is looked for when the set is looked at. */
    ovs_list_push_back(&set->users, &user->node);
    mark(s, set);
}

static uint64_t
hash_places(const struct place *places, size_t n, uint32_t affinity, uint64_t affinity_key)
{
    uint64_t hash = services_hash(&affinity_key, sizeof affinity_key, affinity);

    for (size_t i = 0; i < n; i++) {
        hash = services_hash(&places[i].addr, sizeof places[i].addr, hash + places[i].port);
    }
    return hash;
}

static bool
same_places(const struct set *set, const struct place *places, size_t n)
{
    if (set->n != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (set->places[i].port != places[i].port || !ipv6_addr_equals(&set->places[i].addr, &places[i].addr)) {
            return false;
        }
    }
    return true;
}

static struct set *
set_get(struct services *s, const struct place *places, size_t n, uint32_t affinity, uint64_t affinity_key)
{
    uint64_t hash = hash_places(places, n, affinity, affinity_key);
    struct set *set;

    HMAP_FOR_EACH_WITH_HASH (set, node, (uint32_t) hash, &s->sets) {
        if (set->affinity == affinity && set->affinity_key == affinity_key && same_places(set, places, n)) {
            return set;
        }
    }
    set = xzalloc(sizeof *set + n * sizeof *places);
    ovs_list_init(&set->users);
    ovs_list_init(&set->dirty);
    set->n = n;
    set->affinity = affinity;
    set->affinity_key = affinity_key;
    for (size_t i = 0; i < n; i++) {
        set->places[i].addr = places[i].addr;
        set->places[i].port = places[i].port;
    }
    hmap_insert(&s->sets, &set->node, (uint32_t) hash);
    return set;
}

void
services_set_use(struct services *s, struct user *user, const struct place *places, size_t n, uint32_t affinity)
{
    struct set *set = n ? set_get(s, places, n, affinity, affinity ? user_key(user) : 0) : NULL;

    if (set != user->set) {
        detach(s, user);
        if (set) {
            attach(s, user, set);
        }
    }
}

/* Numbers. ------------------------------------------------------------------------------------------------------- */

static uint64_t
shard_key(uint64_t key, const struct shard *shard)
{
    uint8_t bytes[] = { shard->value, shard->mask };

    return services_number_key(services_hash(bytes, sizeof bytes, key));
}

static void
drop_numbers(struct services *s, struct set *set)
{
    for (uint32_t i = 0; i < set->n_groups; i++) {
        numbers_unref(s->group_numbers, set->groups[i].key);
    }
    if (set->number) {
        numbers_unref(s->set_numbers, services_number_key(set->key));
    }
}

/* Takes numbers for the set as it is now, before it gives up the old ones. */
static void
take_numbers(struct services *s, struct set *set)
{
    uint64_t key = user_key(set->owner);
    struct shares shares;

    if (set->groups && set->key == key) {
        return;
    }
    shares_init(&shares, set->n);

    struct set_group *groups = xcalloc(shares.n_shards, sizeof *groups);
    for (size_t i = 0; i < shares.n_shards; i++) {
        groups[i].key = shard_key(key, &shares.shards[i]);
        numbers_ref(s->group_numbers, groups[i].key);
    }
    bool numbered = set->affinity || shares.n_shards > 1;
    if (numbered) {
        numbers_ref(s->set_numbers, services_number_key(key));
    }
    drop_numbers(s, set);
    for (uint32_t i = 0; i < set->n_groups; i++) {
        services_emit_group(s, set->groups[i].group, NULL);
    }
    free(set->groups);
    set->groups = groups;
    set->n_groups = shares.n_shards;
    set->key = key;
    set->number = numbered ? numbers_get(s->set_numbers, services_number_key(key)) : 0;
    shares_destroy(&shares);
}

static void
find_owner(struct set *set)
{
    const struct user *user;

    if (!set->owner) {
        LIST_FOR_EACH (user, node, &set->users) {
            set->owner = !set->owner || user_before(user, set->owner) ? user : set->owner;
        }
    }
}

static void
set_destroy(struct services *s, struct set *set)
{
    struct flow_set none = FLOW_SET_INIT;

    drop_numbers(s, set);
    for (uint32_t i = 0; i < set->n_groups; i++) {
        services_emit_group(s, set->groups[i].group, NULL);
    }
    services_emit_flows(s, &set->flows, &set->n_flows, &none);
    free(set->flows);
    free(set->groups);
    ovs_list_remove(&set->dirty);
    hmap_remove(&s->sets, &set->node);
    free(set);
}

/* Numbers of others may change with those that come and go; hardly ever. */
static void
numbers_moved(struct services *s)
{
    struct set *set;
    uint64_t key;

    while (numbers_pop_moved(s->set_numbers, &key)) {
        HMAP_FOR_EACH (set, node, &s->sets) {
            if (set->number && services_number_key(set->key) == key && !SERVICES_BUG("move-missed")) {
                mark(s, set);
            }
        }
    }
    while (numbers_pop_moved(s->group_numbers, &key)) {
        HMAP_FOR_EACH (set, node, &s->sets) {
            for (uint32_t i = 0; i < set->n_groups; i++) {
                if (set->groups[i].key == key && !SERVICES_BUG("move-missed")) {
                    mark(s, set);
                }
            }
        }
    }
}

/* Groups and flows. ---------------------------------------------------------------------------------------------- */

/* The number of an endpoint of a set with affinity. */
static uint64_t
endpoint_key(const struct place *place)
{
    return services_number_key(services_hash_place(place));
}

static struct numbers *
endpoint_numbers(const struct place *places, size_t n)
{
    struct numbers *numbers = numbers_create();

    for (size_t i = 0; i < n; i++) {
        numbers_ref(numbers, endpoint_key(&places[i]));
    }
    return numbers;
}

static void
make_endpoints(const struct set *set, const struct numbers *numbers, const struct shares *shares,
               const struct shard *shard, struct flow_endpoint *endpoints)
{
    for (size_t i = 0; i < shard->n; i++) {
        const struct share *share = &shares->shares[shard->first + i];
        const struct place *place = &set->places[share->rank];

        endpoints[i] = (struct flow_endpoint) {
            .addr = place->addr, .port = place->port, .weight = share->weight,
            .number = numbers ? numbers_get(numbers, endpoint_key(place)) : 0,
        };
    }
}

static void
make_affinity_flows(const struct set *set, const struct flow_affinity *affinity, const struct numbers *numbers,
                    uint32_t group_id, struct flow_set *out)
{
    uint64_t cookie = set->owner->sport->cookie;

    flow_set_add_nocopy(out, flow_make_select(set->number, group_id, cookie));
    for (uint32_t i = 0; i < set->n; i++) {
        struct flow_endpoint endpoint = {
            .addr = set->places[i].addr, .port = set->places[i].port,
            .number = numbers_get(numbers, endpoint_key(&set->places[i])),
        };
        flow_set_add_nocopy(out, flow_make_endpoint(SERVICES_NETWORK, affinity, &endpoint, cookie));
    }
}

static void
make_groups(struct services *s, struct set *set, const struct shares *shares, const struct flow_affinity *affinity,
            const struct numbers *numbers, struct flow_set *out)
{
    struct flow_endpoint *endpoints = xcalloc(shares->n_shares, sizeof *endpoints);

    for (size_t i = 0; i < shares->n_shards; i++) {
        const struct shard *shard = &shares->shards[i];
        uint32_t group_id = numbers_get(s->group_numbers, set->groups[i].key);

        make_endpoints(set, numbers, shares, shard, endpoints);
        struct group_entry *group = flow_make_group(group_id, endpoints, shard->n, affinity);
        services_emit_group(s, set->groups[i].group, group_entry_ref(group));
        set->groups[i].group = group;
        if (shares->n_shards > 1) {
            flow_set_add_nocopy(out, flow_make_shard(set->number, shard->value, shard->mask, group_id,
                                                     set->owner->sport->cookie));
        }
    }
    free(endpoints);
}

static void
compile(struct services *s, struct set *set)
{
    struct flow_set out = FLOW_SET_INIT;
    struct shares shares;

    set->number = set->number ? numbers_get(s->set_numbers, services_number_key(set->key)) : 0;
    struct flow_affinity affinity = { set->number, set->affinity };
    const struct flow_affinity *with = set->affinity ? &affinity : NULL;
    struct numbers *numbers = set->affinity ? endpoint_numbers(set->places, set->n) : NULL;

    shares_init(&shares, set->n);
    make_groups(s, set, &shares, with, numbers, &out);
    uint32_t group_id = shares.n_shards > 1 ? FLOW_GROUP_HASH : numbers_get(s->group_numbers, set->groups[0].key);
    if (numbers) {
        make_affinity_flows(set, &affinity, numbers, group_id, &out);
        numbers_destroy(numbers);
    }
    services_emit_flows(s, &set->flows, &set->n_flows, &out);
    set->action = set->affinity ? FLOW_DOOR_AFFINITY : shares.n_shards > 1 ? FLOW_DOOR_SHARDS : FLOW_DOOR_GROUP;
    set->target = set->number ? set->number : group_id;
    shares_destroy(&shares);
}

/* Doors lead to the set by its target. */
static void
tell_users(struct services *s, const struct set *set)
{
    const struct user *user;

    LIST_FOR_EACH (user, node, &set->users) {
        services_owner_emit(s, user->sport->owner);
    }
}

void
services_sets_run(struct services *s)
{
    struct set *set;

    LIST_FOR_EACH_SAFE (set, dirty, &s->dirty_sets) {
        find_owner(set);
        if (set->owner) {
            take_numbers(s, set);
        } else {
            set_destroy(s, set);
        }
    }
    numbers_moved(s);
    LIST_FOR_EACH_POP (set, dirty, &s->dirty_sets) {
        uint32_t target = set->target;
        enum flow_door_action action = set->action;

        ovs_list_init(&set->dirty);
        compile(s, set);
        if ((set->target != target || set->action != action) && !SERVICES_BUG("target-missed")) {
            tell_users(s, set);
        }
    }
}
