#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

/* A node of the cluster; the object is the caller's. */
struct node {
    struct hmap_node node;              /* In 'nodes', by the pointer. */
    const struct kube_node *object;
};

static const uint64_t salts[N_SIDES][FLOW_N_DIRECTIONS] = {
    { UINT64_C(0x5301), UINT64_C(0x5302) }, { UINT64_C(0x5303), UINT64_C(0x5304) },
};

static void
item_init(struct item *item, enum item_kind kind, enum side side, enum flow_direction direction, uint64_t hash)
{
    *item = (struct item) { .kind = kind, .side = side, .direction = direction };
    item->hash = policy_hash_mix(hash + policy_hash_mix(salts[side][direction] + kind));
    ovs_list_init(&item->rules);
    ovs_list_init(&item->groups);
}

/* Terms. --------------------------------------------------------------------------------------------------------- */

static struct term *
term_create(struct policy *p, struct match_term *match, enum side side)
{
    struct term *t = xzalloc(sizeof *t);

    t->epoch = p->epoch;
    t->match = match;
    for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
        item_init(&t->items[d], ITEM_PODS, side, d, match->hash);
    }
    ovs_list_init(&t->objects);
    match->aux = t;
    return t;
}

/* The core has one reference to the index's term, and counts its own. */
struct term *
policy_term_get(struct policy *p, enum side side, const char *namespace_, const struct kube_selector *namespaces,
                const struct kube_selector *pods)
{
    struct match_term *match = policy_match_term_ref(p->match[side], namespace_, namespaces, pods);
    struct term *t = match->aux;

    if (!t) {
        t = term_create(p, match, side);
    } else {
        policy_match_term_unref(p->match[side], match);
        if (!t->n_refs) {
            ovs_list_remove(&t->dead);
        }
    }
    t->n_refs++;
    return t;
}

void
policy_term_unref(struct policy *p, enum side side, struct term *t)
{
    if (!--t->n_refs) {
        ovs_list_push_back(&p->dead_terms[side], &t->dead);
    }
}

struct term *
policy_term_of_item(const struct item *item)
{
    ovs_assert(item->kind == ITEM_PODS);
    return CONTAINER_OF(item - item->direction, struct term, items[0]);
}

bool
policy_terms_release(struct policy *p, enum side side)
{
    bool any = false;
    struct term *t;

    LIST_FOR_EACH (t, dead, &p->dead_terms[side]) {
        if (t->match) {
            policy_match_term_unref(p->match[side], t->match);
            t->match = NULL;
            any = true;
        }
    }
    return any;
}

void
policy_terms_free(struct policy *p, enum side side)
{
    struct term *t;

    LIST_FOR_EACH_SAFE (t, dead, &p->dead_terms[side]) {
        if (!t->match) {
            ovs_list_remove(&t->dead);
            if (t->checked) {
                ovs_list_remove(&t->check);
            }
            free(t);
        }
    }
}

void
policy_term_touch(struct policy *p, struct term *t, enum side side)
{
    /* All classes of a new one will be looked at anyway. */
    if (t->match && t->epoch != p->epoch && !POLICY_BUG("touch-missed")) {
        policy_match_touch(p->match[side], t->match);
    }
}

/* Places. -------------------------------------------------------------------------------------------------------- */

static uint64_t
hash_selector(const struct kube_selector *s)
{
    uint64_t hash = s->n_requirements;

    for (uint32_t i = 0; i < s->n_requirements; i++) {
        const struct kube_requirement *r = &s->requirements[i];

        hash = policy_hash(r->key, strlen(r->key), hash + r->op);
        for (uint32_t j = 0; j < r->n_values; j++) {
            hash = policy_hash(r->values[j], strlen(r->values[j]), hash + 1);
        }
    }
    return hash;
}

static uint64_t
hash_block(const struct place *place)
{
    uint64_t hash = policy_hash_prefix(place->block, place->n_except);

    for (size_t i = 0; i < place->n_except; i++) {
        hash = policy_hash_prefix(&place->except[i], hash);
    }
    return hash;
}

static bool
place_equal(const struct place *a, const struct place *b)
{
    if (a->item.kind != b->item.kind || a->item.direction != b->item.direction || a->n_except != b->n_except
        || a->domain != b->domain || (a->nodes && !kube_selector_equal(a->nodes, b->nodes))
        || (a->block && !inet_prefix_equals(a->block, b->block))) {
        return false;
    }
    for (size_t i = 0; i < a->n_except; i++) {
        if (!inet_prefix_equals(&a->except[i], &b->except[i])) {
            return false;
        }
    }
    return true;
}

static void
place_change(struct policy *p, struct place *place, const struct inet_prefix *prefix, bool exclude, bool add)
{
    (add ? prefix_tree_add : prefix_tree_remove)(p->trees[place->item.direction], prefix, &place->item, exclude);
}

/* Adds the addresses of a node, or takes them away. */
static void
place_node_addrs(struct policy *p, struct place *place, const struct kube_node *node, bool add)
{
    for (size_t i = 0; i < (size_t) node->n_addrs + node->n_external; i++) {
        struct inet_prefix host = inet_prefix_host(&node->addrs[i]);
        place_change(p, place, &host, false, add);
    }
}

static bool
is_in(const struct inet_prefix *prefix, const struct in6_addr *addr)
{
    return inet_is_v4(addr) == inet_is_v4(&prefix->addr) && inet_prefix_contains(prefix, addr);
}

static bool
block_holds(const struct place *place, const struct in6_addr *addr)
{
    bool holds = is_in(place->block, addr);

    for (size_t i = 0; i < place->n_except && holds; i++) {
        holds = !is_in(&place->except[i], addr);
    }
    return holds;
}

/* What a node sends to pods of other nodes comes, with an overlay, from its gateway address, the first of a pod CIDR.  It is
 * the node's own traffic all the same, so a block with an address of the node holds that one too (networkpolicy 28), if it is
 * not in the block or in an exception of it anyway. */
static void
place_node_gateways(struct policy *p, struct place *place, const struct kube_node *node, bool add)
{
    bool holds = false;

    for (size_t i = 0; i < (size_t) node->n_addrs + node->n_external && !holds; i++) {
        holds = block_holds(place, &node->addrs[i]);
    }
    for (size_t i = 0; i < node->n_pod_cidrs && holds; i++) {
        struct in6_addr gateway;

        if (inet_is_v4(&node->pod_cidrs[i].addr) == inet_is_v4(&place->block->addr)
            && inet_prefix_nth(&node->pod_cidrs[i], 1, &gateway) && !is_in(place->block, &gateway)) {
            struct inet_prefix host = inet_prefix_host(&gateway);
            place_change(p, place, &host, false, add);
        }
    }
}

/* What a node has to do with a place. */
static void
place_node(struct policy *p, struct place *place, const struct kube_node *node, bool add)
{
    if (place->item.kind == ITEM_NODES && kube_selector_matches(place->nodes, node->object.labels)) {
        place_node_addrs(p, place, node, add);
    } else if (place->item.kind == ITEM_BLOCK && place->item.direction == FLOW_INGRESS) {
        place_node_gateways(p, place, node, add);
    }
}

/* Puts the place into the tree of its direction, or takes it out. */
static void
place_spread(struct policy *p, struct place *place, bool add)
{
    struct node *n;

    HMAP_FOR_EACH (n, node, &p->nodes) {
        place_node(p, place, n->object, add);
    }
    if (place->item.kind == ITEM_DOMAIN) {
        policy_domain_spread(p, place->domain, add);
    } else if (place->item.kind == ITEM_BLOCK) {
        place_change(p, place, place->block, false, add);
        for (size_t i = 0; i < place->n_except; i++) {
            place_change(p, place, &place->except[i], true, add);
        }
    }
}

/* The place of this content, which is made if there is none. */
static struct item *
place_get(struct policy *p, const struct place *want)
{
    struct place *place;

    HMAP_FOR_EACH_WITH_HASH (place, node, want->item.hash, &p->places) {
        if (place_equal(place, want)) {
            if (!place->n_refs++) {
                ovs_list_remove(&place->dead);
            }
            return &place->item;
        }
    }
    place = xmemdup(want, sizeof *want);
    place->n_refs = 1;
    ovs_list_init(&place->item.rules);
    ovs_list_init(&place->item.groups);
    kube_object_ref(place->object);
    if (place->domain) {
        place->domain->place = place;
    }
    hmap_insert(&p->places, &place->node, place->item.hash);
    place_spread(p, place, true);
    return &place->item;
}

struct item *
policy_place_block(struct policy *p, enum flow_direction direction, const struct kube_object *object,
                   const struct inet_prefix *block, const struct inet_prefix *except, size_t n_except)
{
    struct place want = { .object = object, .block = block, .except = except, .n_except = n_except };

    item_init(&want.item, ITEM_BLOCK, SIDE_PEER, direction, hash_block(&want));
    return place_get(p, &want);
}

struct item *
policy_place_nodes(struct policy *p, const struct kube_object *object, const struct kube_selector *nodes)
{
    struct place want = { .object = object, .nodes = nodes };

    item_init(&want.item, ITEM_NODES, SIDE_PEER, FLOW_EGRESS, hash_selector(nodes));
    return place_get(p, &want);
}

struct item *
policy_place_domain(struct policy *p, const struct kube_object *object, const char *name)
{
    struct place want = { .object = object, .domain = policy_domain_get(p, name) };
    uint64_t hash = policy_hash(want.domain->name, strlen(want.domain->name), 0);

    item_init(&want.item, ITEM_DOMAIN, SIDE_PEER, FLOW_EGRESS, hash);
    return place_get(p, &want);
}

void
policy_places_release(struct policy *p)
{
    struct place *place;

    LIST_FOR_EACH (place, dead, &p->dead_places) {
        place_spread(p, place, false);
    }
}

void
policy_places_free(struct policy *p)
{
    struct place *place;

    LIST_FOR_EACH_POP (place, dead, &p->dead_places) {
        hmap_remove(&p->places, &place->node);
        kube_object_destroy(place->object);
        if (place->domain) {
            place->domain->place = NULL;
            policy_domain_put(p, place->domain);
        }
        free(place);
    }
}

void
policy_item_unref(struct policy *p, struct item *item)
{
    if (item->kind == ITEM_PODS) {
        policy_term_unref(p, item->side, policy_term_of_item(item));
        return;
    }
    struct place *place = CONTAINER_OF(item, struct place, item);
    if (!--place->n_refs) {
        ovs_list_push_back(&p->dead_places, &place->dead);
    }
}

/* Nodes. --------------------------------------------------------------------------------------------------------- */

static void
change_node(struct policy *p, const struct kube_node *object, bool add)
{
    struct place *place;

    HMAP_FOR_EACH (place, node, &p->places) {
        place_node(p, place, object, add);
    }
}

static void
forget_node(struct policy *p, struct node *n)
{
    change_node(p, n->object, false);
    hmap_remove(&p->nodes, &n->node);
    free(n);
}

void
policy_items_node(struct policy *p, const struct kube_node *old, const struct kube_node *new)
{
    struct node *n;

    if (new) {
        n = xzalloc(sizeof *n);
        n->object = new;
        hmap_insert(&p->nodes, &n->node, hash_pointer(new, 0));
        change_node(p, new, true);
    }
    HMAP_FOR_EACH_WITH_HASH (n, node, hash_pointer(old, 0), &p->nodes) {
        if (old && n->object == old) {
            forget_node(p, n);
            break;
        }
    }
}

void
policy_items_forget_nodes(struct policy *p)
{
    struct node *n;

    HMAP_FOR_EACH_SAFE (n, node, &p->nodes) {
        forget_node(p, n);
    }
}
