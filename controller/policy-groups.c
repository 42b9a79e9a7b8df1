#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

static void group_destroy(struct policy *, struct group *);

bool
policy_is_resolving(enum side side, enum flow_direction direction)
{
    return (side == SIDE_PEER) == (direction == FLOW_EGRESS);
}

/* What a group is made from. -------------------------------------------------------------------------------------- */

void
policy_group_spec_add(struct group_spec *s, struct item *item)
{
    if (s->n_items == s->allocated_items) {
        s->items = x2nrealloc(s->items, &s->allocated_items, sizeof *s->items);
    }
    s->items[s->n_items++] = item;
}

void
policy_group_spec_add_named(struct group_spec *s, const struct kube_port *port)
{
    if (s->n_named == s->allocated_named) {
        s->named = x2nrealloc(s->named, &s->allocated_named, sizeof *s->named);
    }
    s->named[s->n_named++] = *port;
}

void
policy_group_spec_clear(struct group_spec *s)
{
    free(s->items);
    free(s->named);
    *s = (struct group_spec) { .n_items = 0 };
}

static int
compare_items(const void *a_, const void *b_)
{
    const struct item *a = *(struct item *const *) a_, *b = *(struct item *const *) b_;
    return a->hash != b->hash ? (a->hash < b->hash ? -1 : 1) : a < b ? -1 : a > b;
}

/* By name, protocol, number: 'name' is filled up with zeros. */
static int
compare_named(const void *a_, const void *b_)
{
    const struct kube_port *a = a_, *b = b_;
    int cmp = memcmp(a->name, b->name, sizeof a->name);

    return cmp ? cmp : a->protocol != b->protocol ? a->protocol - b->protocol : a->number - b->number;
}

static void
normalize(struct group_spec *s)
{
    size_t n = 0;

    if (s->n_items > 1) {
        qsort(s->items, s->n_items, sizeof *s->items, compare_items);
    }
    if (s->n_named > 1) {
        qsort(s->named, s->n_named, sizeof *s->named, compare_named);
    }
    for (size_t i = 0; i < s->n_named; i++) {
        if (!n || compare_named(&s->named[n - 1], &s->named[i])) {
            s->named[n++] = s->named[i];
        }
    }
    s->n_named = n;
}

static uint64_t
spec_hash(const struct group_spec *s)
{
    uint64_t hash = policy_hash_mix(((uint64_t) s->n_items << 32 | s->n_named) + 1);

    for (size_t i = 0; i < s->n_items; i++) {
        hash = policy_hash_mix(hash + s->items[i]->hash);
    }
    for (size_t i = 0; i < s->n_named; i++) {
        const struct kube_port *port = &s->named[i];
        hash = policy_hash(port->name, sizeof port->name, hash + FLOW_L4(port->protocol, port->number));
    }
    return hash;
}

static bool
group_equals(const struct group *g, const struct group_spec *s)
{
    if (g->n_items != s->n_items || g->n_named != s->n_named) {
        return false;
    }
    for (size_t i = 0; i < s->n_items; i++) {
        if (g->items[i].item != s->items[i]) {
            return false;
        }
    }
    for (size_t i = 0; i < s->n_named; i++) {
        if (compare_named(&g->named[i], &s->named[i])) {
            return false;
        }
    }
    return true;
}

/* Life. ----------------------------------------------------------------------------------------------------------- */

static struct group *
group_create(struct policy *p, const struct group_spec *s, uint64_t hash)
{
    struct group *g = xzalloc(sizeof *g);

    g->side = s->side;
    g->direction = s->direction;
    g->n_items = s->n_items;
    g->items = xmalloc(s->n_items * sizeof *g->items);
    for (size_t i = 0; i < s->n_items; i++) {
        struct item *item = s->items[i];

        g->items[i].item = item;
        g->items[i].user = g;
        if (g->side == SIDE_SUBJECT && ovs_list_is_empty(&item->groups)) {
            policy_objects_check_later(p, policy_term_of_item(item));
        }
        ovs_list_push_back(&item->groups, &g->items[i].node);
    }
    g->n_named = s->n_named;
    g->named = s->n_named ? xmemdup(s->named, s->n_named * sizeof *s->named) : NULL;
    ovs_list_init(&g->dirty);
    hmap_insert(&p->groups, &g->node, hash);
    return g;
}

/* Other content with this hash: takes the next one, so that nobody can make a set that passes for another one. */
struct group *
policy_group_get(struct policy *p, struct group_spec *s)
{
    struct group *g;
    uint64_t hash;
    bool taken;

    if (!s->n_items) {
        return NULL;
    }
    normalize(s);
    for (hash = spec_hash(s) & POLICY_HASH_MASK;; hash++) {
        taken = false;
        HMAP_FOR_EACH_WITH_HASH (g, node, hash, &p->groups) {
            if (group_equals(g, s)) {
                g->n_refs++;
                return g;
            }
            taken = true;
        }
        if (!taken) {
            g = group_create(p, s, hash);
            g->n_refs = 1;
            return g;
        }
    }
}

void
policy_group_mark(struct policy *p, struct group *g)
{
    if (ovs_list_is_empty(&g->dirty)) {
        ovs_list_push_back(&p->dirty_groups, &g->dirty);
    }
}

void
policy_group_ref(struct group *g)
{
    if (g) {
        g->n_refs++;
    }
}

void
policy_group_unref(struct policy *p, struct group *g)
{
    if (g && !--g->n_refs) {
        policy_group_mark(p, g);
    }
}

void
policy_group_use(struct policy *p, struct group *g)
{
    if (!g) {
        return;
    }
    g->n_refs++;
    if (!g->n_users++ && !g->number) {
        g->number = numbers_ref(p->group_numbers, g->node.hash);
        policy_group_mark(p, g);
    }
}

void
policy_group_unuse(struct policy *p, struct group *g)
{
    if (!g) {
        return;
    }
    g->n_refs--;
    if (!--g->n_users) {
        policy_group_mark(p, g);
    }
}

/* Frees what nobody has any more, and takes numbers back. */
void
policy_groups_bury(struct policy *p, enum side side)
{
    struct group *g;

    LIST_FOR_EACH_SAFE (g, dirty, &p->dirty_groups) {
        if (g->side == side && !g->n_users && g->number) {
            numbers_unref(p->group_numbers, g->node.hash);
            g->number = 0;
        }
        if (g->side == side && !g->n_refs) {
            group_destroy(p, g);
        }
    }
}

static void
release_held(struct policy *p, struct conj **held, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        policy_conj_unref_named(p, held[i]);
    }
    free(held);
}

static void
group_destroy(struct policy *p, struct group *g)
{
    for (size_t i = 0; i < g->n_items; i++) {
        struct item *item = g->items[i].item;

        ovs_list_remove(&g->items[i].node);
        if (g->side == SIDE_SUBJECT && ovs_list_is_empty(&item->groups)) {
            policy_objects_check_later(p, policy_term_of_item(item));
        }
    }
    for (size_t i = 0; i < g->n_flows; i++) {
        policy_emit(p, &g->flows[i], NULL);
    }
    release_held(p, g->held, g->n_held);
    ovs_list_remove(&g->dirty);
    hmap_remove(&p->groups, &g->node);
    free(g->flows);
    free(g->items);
    free(g->named);
    free(g);
}

/* So rare that looking at all is good enough. */
void
policy_group_moved(struct policy *p, uint64_t hash)
{
    struct group *g;

    HMAP_FOR_EACH_WITH_HASH (g, node, hash, &p->groups) {
        if (g->number && !POLICY_BUG("move-missed")) {
            g->number = numbers_get(p->group_numbers, hash);
            policy_group_mark(p, g);
            policy_addresses_moved(p, g);
        }
    }
}

/* Named ports. ---------------------------------------------------------------------------------------------------- */

uint16_t
policy_group_port(const struct group *g, const struct kube_port *port)
{
    for (size_t i = 0; i < g->n_named; i++) {
        if (!strcmp(g->named[i].name, port->name) && g->named[i].protocol == port->protocol) {
            return g->named[i].number;
        }
    }
    return 0;
}

struct held {
    struct conj **conjs;
    size_t n, allocated;
};

static void
hold_rule(struct policy *p, const struct group *g, struct rule *rule, struct held *held)
{
    for (size_t i = 0; i < rule->n_named; i++) {
        struct kube_port port = rule->named[i];

        port.number = policy_group_port(g, &port);
        if (!port.number) {
            continue;
        }
        if (held->n == held->allocated) {
            held->conjs = x2nrealloc(held->conjs, &held->allocated, sizeof *held->conjs);
        }
        held->conjs[held->n++] = policy_conj_get_named(p, rule, &port);
    }
}

static void
resolve_group(struct policy *p, struct group *g)
{
    struct conj **old = g->held;
    size_t n_old = g->n_held;
    struct held held = { NULL, 0, 0 };

    for (size_t i = 0; g->n_users && g->n_named && i < g->n_items; i++) {
        const struct item *item = g->items[i].item;
        struct link *link;

        /* Who has a port by name is a pod (networkpolicy 17). */
        if (item->kind == ITEM_PODS) {
            LIST_FOR_EACH (link, node, &item->rules) {
                hold_rule(p, g, link->user, &held);
            }
        }
    }
    g->held = held.conjs;
    g->n_held = held.n;
    release_held(p, old, n_old);
}

/* Marks groups of the other side, which have no part in this. */
void
policy_groups_resolve(struct policy *p)
{
    struct group *g;

    LIST_FOR_EACH (g, dirty, &p->dirty_groups) {
        if (policy_is_resolving(g->side, g->direction) && (g->n_named || g->n_held)) {
            resolve_group(p, g);
        }
    }
}
