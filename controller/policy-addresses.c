#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

struct known_pod {
    const struct kube_pod *pod;
    const struct class_info *info;
};

static void refresh(struct policy *, const struct in6_addr *, const struct known_pod *);

/* Local pods. ----------------------------------------------------------------------------------------------------- */

static struct local *
local_find(const struct policy *p, uint64_t id)
{
    struct local *l;

    HMAP_FOR_EACH_WITH_HASH (l, by_id, hash_uint64(id), &p->locals) {
        if (l->id == id) {
            return l;
        }
    }
    return NULL;
}

static struct local *
local_of_pod(struct hmap_node *node, const struct kube_pod *pod)
{
    for (; node; node = hmap_next_with_hash(node)) {
        struct local *l = CONTAINER_OF(node, struct local, by_pod);
        if (l->pod == pod) {
            return l;
        }
    }
    return NULL;
}

struct local *
policy_local_first(const struct policy *p, const struct kube_pod *pod)
{
    return local_of_pod(hmap_first_with_hash(&p->locals_by_pod, hash_pointer(pod, 0)), pod);
}

struct local *
policy_local_next(const struct local *l)
{
    return local_of_pod(hmap_next_with_hash(&l->by_pod), l->pod);
}

void
policy_local_mark(struct policy *p, struct local *l)
{
    if (ovs_list_is_empty(&l->dirty)) {
        ovs_list_push_back(&p->dirty_locals, &l->dirty);
    }
}

/* The index of subjects has a pod once, whatever number of attachments it has. */
static void
local_set_pod(struct policy *p, struct local *l, const struct kube_pod *pod)
{
    if (l->pod) {
        hmap_remove(&p->locals_by_pod, &l->by_pod);
        if (policy_pod_counts(l->pod) && !policy_local_first(p, l->pod)) {
            policy_match_remove_pod(p->match[SIDE_SUBJECT], l->pod);
        }
    }
    l->pod = pod;
    if (pod) {
        if (policy_pod_counts(pod) && !policy_local_first(p, pod)) {
            policy_match_add_pod(p->match[SIDE_SUBJECT], pod);
        }
        hmap_insert(&p->locals_by_pod, &l->by_pod, hash_pointer(pod, 0));
    }
}

static void
local_set_addrs(struct policy *p, struct local *l, const struct in6_addr *addrs, size_t n)
{
    for (size_t i = 0; i < l->n_addrs; i++) {
        hmap_remove(&p->local_addrs, &l->addrs[i].node);
    }
    free(l->addrs);
    l->n_addrs = n;
    l->addrs = n ? xmalloc(n * sizeof *l->addrs) : NULL;
    for (size_t i = 0; i < n; i++) {
        l->addrs[i].addr = addrs[i];
        l->addrs[i].local = l;
        hmap_insert(&p->local_addrs, &l->addrs[i].node, hash_bytes(&addrs[i], sizeof addrs[i], 0));
    }
}

static struct local *
local_create(struct policy *p, uint64_t id)
{
    struct local *l = xzalloc(sizeof *l);

    l->id = id;
    ovs_list_init(&l->dirty);
    hmap_insert(&p->locals, &l->by_id, hash_uint64(id));
    return l;
}

static void
local_destroy(struct policy *p, struct local *l)
{
    hmap_remove(&p->locals, &l->by_id);
    ovs_list_remove(&l->dirty);
    free(l);
}

void
policy_local(struct policy *p, uint64_t id, const struct kube_pod *pod, const struct in6_addr *addrs, size_t n_addrs)
{
    struct local *l = local_find(p, id);
    struct local_addr *old;
    size_t n_old;

    if (!l && !pod) {
        return;
    }
    l = l ? l : local_create(p, id);
    n_addrs = pod ? n_addrs : 0;
    n_old = l->n_addrs;
    old = n_old ? xmemdup(l->addrs, n_old * sizeof *old) : NULL;
    local_set_pod(p, l, pod);
    local_set_addrs(p, l, addrs, n_addrs);
    for (size_t i = 0; i < n_old; i++) {
        refresh(p, &old[i].addr, NULL);
    }
    for (size_t i = 0; i < n_addrs; i++) {
        refresh(p, &addrs[i], NULL);
    }
    free(old);
    if (pod) {
        policy_local_mark(p, l);
    } else {
        local_destroy(p, l);
    }
}

void
policy_local_compute(const struct policy *p, const struct local *l, struct flow_pod_policy *out)
{
    struct match_class *class = policy_pod_counts(l->pod) ? policy_match_find(p->match[SIDE_SUBJECT], l->pod) : NULL;
    const struct class_info *info = class ? class->aux : NULL;

    memset(out, 0, sizeof *out);
    for (int d = 0; info && d < FLOW_N_DIRECTIONS; d++) {
        out->subject[d] = info->groups[d] ? info->groups[d]->number : 0;
        out->isolated[d] = info->isolated[d];
    }
    out->domains = info && info->domains;
}

void
policy_get_local(const struct policy *p, uint64_t id, struct flow_pod_policy *out)
{
    const struct local *l = local_find(p, id);

    if (l) {
        *out = l->told;
    } else {
        memset(out, 0, sizeof *out);
    }
}

/* Whose an address is. -------------------------------------------------------------------------------------------- */

/* Of two attachments with one address, which should not be, the smaller id. */
static const struct kube_pod *
owner_of(const struct policy *p, const struct in6_addr *addr)
{
    const struct local *owner = NULL;
    const struct local_addr *la;

    HMAP_FOR_EACH_WITH_HASH (la, node, hash_bytes(addr, sizeof *addr, 0), &p->local_addrs) {
        if (!memcmp(&la->addr, addr, sizeof *addr) && (!owner || la->local->id < owner->id)) {
            owner = la->local;
        }
    }
    return owner ? owner->pod : endpoints_find(p->endpoints, addr, NULL);
}

/* Of the class of a pod; 'known' is that of the pod that is looked at anyway. */
static const struct class_info *
info_of(const struct policy *p, const struct kube_pod *pod, const struct known_pod *known)
{
    const struct match_class *class;

    if (known && pod == known->pod) {
        return known->info;
    }
    class = policy_pod_counts(pod) ? policy_match_find(p->match[SIDE_PEER], pod) : NULL;
    return class ? class->aux : NULL;
}

/* Addresses and prefixes with an identity. ------------------------------------------------------------------------ */

static struct address *
address_find(const struct policy *p, enum flow_direction direction, const struct inet_prefix *prefix)
{
    struct address *a;

    HMAP_FOR_EACH_WITH_HASH (a, node, policy_hash_prefix(prefix, 0), &p->addresses[direction]) {
        if (inet_prefix_equals(&a->prefix, prefix)) {
            return a;
        }
    }
    return NULL;
}

static struct address *
address_create(struct policy *p, enum flow_direction direction, const struct inet_prefix *prefix)
{
    struct address *a = xzalloc(sizeof *a);

    a->prefix = *prefix;
    a->direction = direction;
    hmap_insert(&p->addresses[direction], &a->node, policy_hash_prefix(prefix, 0));
    return a;
}

static void
address_mark(struct policy *p, struct address *a)
{
    if (!a->is_dirty) {
        a->is_dirty = true;
        a->next_dirty = p->dirty_addresses;
        p->dirty_addresses = a;
    }
}

/* What the address is in as a pod's.  While no pod is in anything there is nothing to look for. */
static void
refresh(struct policy *p, const struct in6_addr *addr, const struct known_pod *known)
{
    struct inet_prefix prefix = inet_prefix_host(addr);
    const struct class_info *info;

    if (!p->n_peer_classes && hmap_is_empty(&p->addresses[0]) && hmap_is_empty(&p->addresses[1])) {
        return;
    }
    info = info_of(p, owner_of(p, addr), known);
    for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
        struct group *base = info ? info->groups[d] : NULL;
        struct address *a = address_find(p, d, &prefix);

        if (base != (a ? a->base : NULL)) {
            a = a ? a : address_create(p, d, &prefix);
            policy_group_ref(base);
            policy_group_unref(p, a->base);
            a->base = base;
            address_mark(p, a);
        }
    }
}

static bool
has_addr(const struct kube_pod *pod, const struct in6_addr *addr)
{
    for (size_t i = 0; i < pod->n_addrs; i++) {
        if (!memcmp(&pod->addrs[i], addr, sizeof *addr)) {
            return true;
        }
    }
    return false;
}

static void
refresh_known(struct policy *p, const struct kube_pod *pod, const struct known_pod *known)
{
    for (size_t i = 0; i < pod->n_addrs; i++) {
        refresh(p, &pod->addrs[i], known);
    }
    for (struct local *l = policy_local_first(p, pod); l; l = policy_local_next(l)) {
        for (size_t i = 0; i < l->n_addrs; i++) {
            if (!has_addr(pod, &l->addrs[i].addr)) {
                refresh(p, &l->addrs[i].addr, known);
            }
        }
    }
}

void
policy_pod_refresh(struct policy *p, const struct kube_pod *pod)
{
    refresh_known(p, pod, NULL);
}

void
policy_pod_refresh_class(struct policy *p, const struct kube_pod *pod, const struct class_info *info)
{
    refresh_known(p, pod, &(struct known_pod) { pod, info });
}

/* What a pod's address falls into may have changed with a prefix around it. */
static void
mark_inside(struct policy *p, enum flow_direction direction, const struct inet_prefix *prefixes, size_t n)
{
    struct address *a;

    HMAP_FOR_EACH (a, node, &p->addresses[direction]) {
        for (size_t i = 0; a->base && i < n; i++) {
            if (inet_prefix_contains(&prefixes[i], &a->prefix.addr)) {
                address_mark(p, a);
                break;
            }
        }
    }
}

static void
run_tree(struct policy *p, enum flow_direction direction)
{
    struct inet_prefix *wide = NULL, prefix;
    size_t n_wide = 0, allocated_wide = 0;
    bool present;

    while (prefix_tree_pop_changed(p->trees[direction], &prefix, &present)) {
        struct address *a = address_find(p, direction, &prefix);

        a = a ? a : address_create(p, direction, &prefix);
        a->in_tree = present;
        address_mark(p, a);
        if (prefix.plen < inet_max_plen(&prefix.addr)) {
            if (n_wide == allocated_wide) {
                wide = x2nrealloc(wide, &allocated_wide, sizeof *wide);
            }
            wide[n_wide++] = prefix;
        }
    }
    if (n_wide) {
        mark_inside(p, direction, wide, n_wide);
    }
    free(wide);
}

/* What 'a' is in, with a reference. */
static struct group *
address_group(struct policy *p, struct address *a)
{
    struct group_spec s = { .side = SIDE_PEER, .direction = a->direction };
    struct prefix_tree *tree = p->trees[a->direction];
    void **items = NULL;
    size_t n = prefix_tree_count(tree) ? prefix_tree_class(tree, &a->prefix, &items) : 0;
    struct group *g;

    if (!n) {
        policy_group_ref(a->base);
        g = a->base;
    } else {
        for (size_t i = 0; i < n; i++) {
            policy_group_spec_add(&s, items[i]);
        }
        for (size_t i = 0; a->base && i < a->base->n_items; i++) {
            policy_group_spec_add(&s, a->base->items[i].item);
        }
        for (size_t i = 0; a->base && i < a->base->n_named; i++) {
            policy_group_spec_add_named(&s, &a->base->named[i]);
        }
        g = policy_group_get(p, &s);
    }
    policy_group_spec_clear(&s);
    free(items);
    return g;
}

void
policy_addresses_run(struct policy *p)
{
    for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
        run_tree(p, d);
    }
    for (struct address *a = p->dirty_addresses; a; a = a->next_dirty) {
        struct group *new = a->base || a->in_tree ? address_group(p, a) : NULL;

        policy_group_use(p, new);
        policy_group_unuse(p, a->group);
        policy_group_unref(p, new);
        a->group = new;
    }
}

/* Numbers have changed: so rare that looking at all is good enough. */
void
policy_addresses_moved(struct policy *p, const struct group *g)
{
    struct local *l;

    if (g->side == SIDE_SUBJECT) {
        HMAP_FOR_EACH (l, by_id, &p->locals) {
            policy_local_mark(p, l);
        }
    } else {
        struct address *a;

        HMAP_FOR_EACH (a, node, &p->addresses[g->direction]) {
            if (a->group == g) {
                address_mark(p, a);
            }
        }
    }
}
