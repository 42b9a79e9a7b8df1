#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* Endpoints. ----------------------------------------------------------------------------------------------------- */

/* What is told of the doors of one owner. */
struct teller {
    const struct services *s;
    const struct claim *claim;
    struct choice choice;
    struct service_endpoint_info *endpoints;
    char *why;
    bool found;                         /* services_find_door(). */
    enum flow_door_source source;
    struct flow_door door;
    enum set_kind kind;
    void (*cb)(const struct service_door_info *, void *aux);
    void *aux;
};

static void
add_share(const struct services *s, const struct set *set, const struct shares *shares, size_t i,
          struct service_endpoint_info *endpoints)
{
    uint32_t group_id = numbers_get(s->group_numbers, set->groups[i].key);
    const struct shard *shard = &shares->shards[i];
    unsigned int total = 0, bits = __builtin_popcount(shard->mask);

    for (size_t j = 0; j < shard->n; j++) {
        total += shares->shares[shard->first + j].weight;
    }
    for (size_t j = 0; j < shard->n; j++) {
        const struct share *share = &shares->shares[shard->first + j];
        struct service_endpoint_info *e = &endpoints[share->rank];

        e->share += (double) share->weight / total / (1u << bits);
        if (e->n_buckets < ARRAY_SIZE(e->buckets)) {
            struct flow_endpoint endpoint = { .addr = e->addr, .port = e->port };
            uint32_t id = flow_bucket_id(&endpoint);

            for (size_t k = 0; k < e->n_buckets; k++) {
                id += e->buckets[k].group_id == group_id;       /* Its second one in this group. */
            }
            e->buckets[e->n_buckets].group_id = group_id;
            e->buckets[e->n_buckets++].bucket_id = id & 0x7fffffff;
        }
    }
}

/* The endpoints that a door leads to, in 't->endpoints'. */
static size_t
get_endpoints(struct teller *t, const struct sport *sport, enum set_kind kind)
{
    const struct set *set = sport->users[kind].set;
    const struct choice *c = &t->choice;
    struct shares shares;
    size_t n = 0;

    services_choose(t->s, sport, &t->choice);
    free(t->endpoints);
    t->endpoints = set ? xcalloc(set->n, sizeof *t->endpoints) : NULL;
    for (size_t i = 0; set && n < set->n && i < c->n; i++) {
        const struct candidate *candidate = &c->all[i];

        if (candidate->in[kind]) {
            struct service_endpoint_info *e = &t->endpoints[n++];

            e->addr = candidate->place.addr;
            e->port = candidate->place.port;
            e->local = candidate->local;
            if (candidate->e) {
                e->terminating = candidate->e->terminating;
                e->node = candidate->e->node;
            } else {
                e->node = t->s->node;
            }
        }
    }
    if (set && set->groups && n == set->n) {
        shares_init(&shares, set->n);
        for (size_t i = 0; i < shares.n_shards; i++) {
            add_share(t->s, set, &shares, i, t->endpoints);
        }
        shares_destroy(&shares);
    }
    return n;
}

static const char *
describe(struct teller *t, const struct flow_door *door, const struct sport *sport, enum set_kind kind)
{
    if (!sport) {
        return "the Service has no such port";
    } else if (door->action == FLOW_DOOR_DIRECT) {
        return "it is an endpoint itself";
    } else if (door->action == FLOW_DOOR_DROP && sport->users[kind].set) {
        return t->claim->kind == CLAIM_CLUSTER ? "it is its own endpoint" : "the source is in none of the ranges";
    }
    switch ((enum why) sport->why[kind]) {
    case WHY_READY:
        return kind == SET_LOCAL ? "this node's ready endpoints" : "all ready endpoints";
    case WHY_NODE_HINT:
        return "ready endpoints with a hint for this node";
    case WHY_ZONE_HINT:
        free(t->why);
        t->why = xasprintf("ready endpoints with a hint for zone %s", t->s->zone ? t->s->zone : "");
        return t->why;
    case WHY_TERMINATING:
        return (kind == SET_LOCAL ? "this node's terminating endpoints that still serve"
                : "terminating endpoints that still serve");
    case WHY_NONE_LOCAL:
        return "no endpoints on this node, but elsewhere";
    case WHY_HOST_PORT:
        return "the pod's port";
    case WHY_NONE:
    case WHY_NOT_USED:
    default:
        return "no endpoints";
    }
}

/* Doors. --------------------------------------------------------------------------------------------------------- */

static enum service_door_kind
door_kind(const struct claim *claim)
{
    switch ((enum claim_kind) claim->kind) {
    case CLAIM_NODE_PORT:
        return SERVICE_NODE_PORT;
    case CLAIM_EXTERNAL:
        return SERVICE_EXTERNAL_IP;
    case CLAIM_LB:
        return SERVICE_LOAD_BALANCER;
    case CLAIM_HOST_PORT:
        return SERVICE_HOST_PORT;
    case CLAIM_REST:
    case CLAIM_CLUSTER:
    case CLAIM_HEALTH:
    default:
        return SERVICE_CLUSTER_IP;
    }
}

static void
tell(struct teller *t, const struct flow_door *door, const struct sport *sport, enum set_kind kind)
{
    const struct owner *owner = t->claim->owner;
    bool leads = door->action < FLOW_DOOR_REJECT;
    struct service_door_info info = {
        .service = owner->service, .pod = owner->pod ? owner->pod->pod : NULL, .kind = door_kind(t->claim),
        .port = sport && owner->service ? services_port(sport) : NULL, .door = *door,
        .why = describe(t, door, sport, kind),
    };

    if (sport && leads) {
        info.n_endpoints = get_endpoints(t, sport, kind);
        info.endpoints = t->endpoints;
        info.affinity_timeout = sport->users[kind].set->affinity;
    }
    t->cb(&info, t->aux);
}

static void
tell_door(const struct flow_door *door, const struct sport *sport, enum set_kind kind, void *t)
{
    tell(t, door, sport, kind);
}

static void
tell_owner(struct teller *t, const struct owner *owner)
{
    const struct claim *winner;

    for (uint32_t i = 0; i < owner->n_claims; i++) {
        t->claim = &owner->claims[i];
        if (services_claim_wins(t->s, t->claim, &winner)) {
            services_claim_doors(t->claim, tell_door, t);
        }
    }
}

static void
teller_destroy(struct teller *t)
{
    free(t->choice.all);
    free(t->endpoints);
    free(t->why);
}

static int
compare_owners(const void *a, const void *b)
{
    return strcmp((*(struct owner *const *) a)->key, (*(struct owner *const *) b)->key);
}

/* All, or those that have a problem, by key; to be freed. */
static struct owner **
sort_owners(const struct hmap *owners, bool with_problem, size_t *np)
{
    struct owner **sorted = NULL, *owner;
    size_t n = 0, allocated = 0;

    HMAP_FOR_EACH (owner, node, owners) {
        if (!with_problem || owner->problem) {
            if (n >= allocated) {
                sorted = x2nrealloc(sorted, &allocated, sizeof *sorted);
            }
            sorted[n++] = owner;
        }
    }
    if (n) {
        qsort(sorted, n, sizeof *sorted, compare_owners);
    }
    *np = n;
    return sorted;
}

void
services_for_each_door(const struct services *s, const struct kube_service *service,
                       void (*cb)(const struct service_door_info *, void *aux), void *aux)
{
    const struct hmap *maps[] = { &s->owners, &s->pods };
    struct teller t = { .s = s, .cb = cb, .aux = aux };

    for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
        size_t n;
        struct owner **sorted = sort_owners(maps[m], false, &n);

        for (size_t i = 0; i < n; i++) {
            if (!service || sorted[i]->service == service) {
                tell_owner(&t, sorted[i]);
            }
        }
        free(sorted);
    }
    teller_destroy(&t);
}

/* Where the node's stack has made an address what br-int sees, that counts. */
static const struct claim *
find_claim(const struct services *s, const struct in6_addr *addr, uint8_t protocol, uint16_t port)
{
    const struct claim *c = services_claim_best(s, addr, protocol, port);
    const struct in6_addr *any = inet_any(!inet_is_v4(addr));
    struct in6_addr alias;
    struct address *a;

    HMAP_FOR_EACH (a, node, &s->addresses) {
        if (!c && services_alias(a, &alias) && ipv6_addr_equals(&alias, addr)) {
            c = services_claim_best(s, &a->addr, protocol, port);
        }
    }
    if (!c && services_has_addr(s->addrs, s->n_addrs, addr)) {
        c = services_claim_best(s, any, protocol, port);
    }
    return c ? c : services_claim_best(s, addr, 0, 0);
}

/* The door for this source: its own, or else everybody's.  Those for certain sources are not for this question. */
static void
pick_door(const struct flow_door *door, const struct sport *sport OVS_UNUSED, enum set_kind kind, void *t_)
{
    struct teller *t = t_;

    if (!door->src && (door->source == t->source || (door->source == FLOW_DOOR_ANYBODY && !t->found))) {
        t->found = true;
        t->door = *door;
        t->kind = kind;
    }
}

bool
services_find_door(const struct services *s, const struct in6_addr *addr, uint8_t protocol, uint16_t port,
                   enum flow_door_source source, void (*cb)(const struct service_door_info *, void *aux), void *aux)
{
    struct teller t = { .s = s, .source = source, .cb = cb, .aux = aux };

    t.claim = find_claim(s, addr, protocol, port);
    if (t.claim) {
        services_claim_doors(t.claim, pick_door, &t);
        if (t.found) {
            tell(&t, &t.door, t.claim->sport, t.kind);
        }
    }
    teller_destroy(&t);
    return t.found;
}

/* Everything else. ----------------------------------------------------------------------------------------------- */

void
services_for_each_problem(const struct services *s,
                          void (*cb)(const struct kube_service *, const char *problem, void *aux), void *aux)
{
    size_t n;

    if (!s->n_problems) {
        return;                         /* 10,000 Services take 2 ms to look at. */
    }
    struct owner **sorted = sort_owners(&s->owners, true, &n);
    for (size_t i = 0; i < n; i++) {
        if (sorted[i]->service) {
            cb(sorted[i]->service, sorted[i]->problem, aux);
        }
    }
    free(sorted);
}

const struct kube_service *
services_of_cookie(const struct services *s, uint64_t cookie, const char **port_name)
{
    const struct sport *sport;

    HMAP_FOR_EACH_WITH_HASH (sport, by_cookie, hash_uint64(cookie), &s->cookies) {
        if (sport->cookie == cookie && sport->owner->service) {
            *port_name = services_port(sport)->name;
            return sport->owner->service;
        }
    }
    return NULL;
}

static void
add_all(struct flow_set *out, struct flow_entry *const *flows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        flow_set_add_nocopy(out, flow_entry_ref(flows[i]));
    }
}

void
services_get_flows(const struct services *s, struct flow_set *out)
{
    const struct tracked *t;
    struct owner *owner;
    struct set *set;

    add_all(out, s->node_flows, s->n_node_flows);
    HMAP_FOR_EACH (owner, node, &s->owners) {
        add_all(out, owner->flows, owner->n_flows);
    }
    HMAP_FOR_EACH (owner, node, &s->pods) {
        add_all(out, owner->flows, owner->n_flows);
    }
    HMAP_FOR_EACH (t, node, &s->tracked) {
        add_all(out, t->flows, t->n_flows);
    }
    HMAP_FOR_EACH (set, node, &s->sets) {
        add_all(out, set->flows, set->n_flows);
        for (uint32_t i = 0; i < set->n_groups; i++) {
            flow_set_add_group(out, group_entry_ref(set->groups[i].group));
        }
    }
}

static void
count_door(const struct flow_door *door OVS_UNUSED, const struct sport *sport OVS_UNUSED,
           enum set_kind kind OVS_UNUSED, void *stats)
{
    ((struct services_stats *) stats)->n_doors++;
}

static void
count_owner(const struct services *s, const struct owner *owner, struct services_stats *stats)
{
    const struct claim *winner;

    stats->n_services += services_is_proxied(owner);
    stats->n_ports += owner->n_sports;
    stats->n_slices += owner->n_slices;
    for (uint32_t i = 0; i < owner->n_slices; i++) {
        stats->n_endpoints += owner->slices[i]->n_endpoints;
    }
    for (uint32_t i = 0; i < owner->n_claims; i++) {
        if (services_claim_wins(s, &owner->claims[i], &winner)) {
            services_claim_doors(&owner->claims[i], count_door, stats);
        }
    }
}

void
services_get_stats(const struct services *s, struct services_stats *stats)
{
    struct owner *owner;
    struct set *set;

    *stats = (struct services_stats) { .n_sets = hmap_count(&s->sets) };
    HMAP_FOR_EACH (owner, node, &s->owners) {
        count_owner(s, owner, stats);
    }
    HMAP_FOR_EACH (owner, node, &s->pods) {
        count_owner(s, owner, stats);
    }
    HMAP_FOR_EACH (set, node, &s->sets) {
        stats->n_groups += set->n_groups;
        stats->n_affinity_sets += set->affinity > 0;
        for (uint32_t i = 0; i < set->n_groups; i++) {
            stats->n_buckets += set->groups[i].group ? group_entry_n_buckets(set->groups[i].group) : 0;
        }
    }
}
