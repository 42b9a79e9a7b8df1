#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

static void objects_destroy(struct policy *);
static void locals_destroy(struct policy *);

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct policy *
policy_create(const struct endpoints *endpoints)
{
    struct policy *p = xzalloc(sizeof *p);

    p->endpoints = endpoints;
    for (int i = 0; i < N_SIDES; i++) {
        p->match[i] = policy_match_create();
        ovs_list_init(&p->dead_terms[i]);
    }
    for (int i = 0; i < FLOW_N_DIRECTIONS; i++) {
        p->trees[i] = prefix_tree_create();
        hmap_init(&p->addresses[i]);
    }
    p->group_numbers = numbers_create();
    p->conj_numbers = numbers_create();

    struct hmap *hmaps[] = { &p->objects, &p->rules, &p->clauses, &p->places, &p->groups, &p->locals, &p->locals_by_pod,
                             &p->local_addrs, &p->nodes, &p->domains };
    for (size_t i = 0; i < ARRAY_SIZE(hmaps); i++) {
        hmap_init(hmaps[i]);
    }
    struct ovs_list *lists[] = { &p->dead_places, &p->checks, &p->dirty_groups, &p->dirty_locals };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        ovs_list_init(lists[i]);
    }
    return p;
}

/* Takes everything back and lets policy_run() clean up. */
void
policy_destroy(struct policy *p)
{
    struct policy_effect effect;

    if (!p) {
        return;
    }
    objects_destroy(p);
    locals_destroy(p);
    policy_items_forget_nodes(p);
    policy_run(p);
    while (policy_pop(p, &effect)) {
        flow_entry_unref(effect.flow);
    }
    policy_domains_forget(p);
    for (int i = 0; i < N_SIDES; i++) {
        policy_match_destroy(p->match[i]);
    }
    for (int i = 0; i < FLOW_N_DIRECTIONS; i++) {
        prefix_tree_destroy(p->trees[i]);
        hmap_destroy(&p->addresses[i]);
    }
    numbers_destroy(p->group_numbers);
    numbers_destroy(p->conj_numbers);

    struct hmap *hmaps[] = { &p->objects, &p->rules, &p->clauses, &p->places, &p->groups, &p->locals, &p->locals_by_pod,
                             &p->local_addrs, &p->nodes, &p->domains };
    for (size_t i = 0; i < ARRAY_SIZE(hmaps); i++) {
        ovs_assert(hmap_is_empty(hmaps[i]));
        hmap_destroy(hmaps[i]);
    }
    free(p);
}

static void
objects_destroy(struct policy *p)
{
    struct object *o;

    HMAP_FOR_EACH_SAFE (o, node, &p->objects) {
        policy_object_remove(p, o->object);
    }
}

static void
locals_destroy(struct policy *p)
{
    struct local *l;

    HMAP_FOR_EACH_SAFE (l, by_id, &p->locals) {
        policy_local(p, l->id, NULL, NULL, 0);
    }
}

/* Events. -------------------------------------------------------------------------------------------------------- */

void
policy_namespace(struct policy *p, const char *name, const struct kube_namespace *new)
{
    for (int i = 0; i < N_SIDES; i++) {
        policy_match_namespace(p->match[i], name, new);
    }
}

void
policy_pod(struct policy *p, const struct kube_pod *old, const struct kube_pod *new)
{
    if (policy_pod_counts(new)) {
        policy_match_add_pod(p->match[SIDE_PEER], new);
    }
    if (policy_pod_counts(old)) {
        policy_match_remove_pod(p->match[SIDE_PEER], old);
    }
    if (old) {
        policy_pod_refresh(p, old);
    }
    if (new) {
        policy_pod_refresh(p, new);
    }
}

void
policy_node(struct policy *p, const struct kube_node *old, const struct kube_node *new)
{
    policy_items_node(p, old, new);
}

static void
change_object(struct policy *p, const struct kube_object *old, const struct kube_object *new)
{
    if (new) {
        policy_object_add(p, new);
    }
    if (old) {
        policy_object_remove(p, old);
    }
}

void
policy_networkpolicy(struct policy *p, const struct kube_networkpolicy *old, const struct kube_networkpolicy *new)
{
    change_object(p, old ? &old->object : NULL, new ? &new->object : NULL);
}

void
policy_clusternetworkpolicy(struct policy *p, const struct kube_clusternetworkpolicy *old,
                            const struct kube_clusternetworkpolicy *new)
{
    change_object(p, old ? &old->object : NULL, new ? &new->object : NULL);
}

/* Running. ------------------------------------------------------------------------------------------------------- */

/* Subjects and rules need each other: which policies are relevant depends on what pods there are, and what named ports
 * of subjects are looked for depends on the policies.  The second time around only numbers of ports are new. */
static void
run_subjects(struct policy *p)
{
    bool again = true;

    while (again) {
        again = policy_rules_bury(p);
        again |= policy_terms_release(p, SIDE_SUBJECT);
        again |= policy_classes_run(p, SIDE_SUBJECT);
        policy_groups_bury(p, SIDE_SUBJECT);
        policy_terms_free(p, SIDE_SUBJECT);
        again |= policy_objects_check(p);
    }
}

static void
run_peers(struct policy *p)
{
    policy_terms_release(p, SIDE_PEER);
    policy_places_release(p);
    policy_classes_run(p, SIDE_PEER);
    policy_addresses_run(p);
    policy_groups_bury(p, SIDE_PEER);
    policy_terms_free(p, SIDE_PEER);
    policy_places_free(p);
}

bool
policy_run(struct policy *p)
{
    uint64_t hash;

    p->epoch++;
    run_subjects(p);
    run_peers(p);
    policy_groups_resolve(p);
    while (numbers_pop_moved(p->group_numbers, &hash)) {
        policy_group_moved(p, hash);
    }
    while (numbers_pop_moved(p->conj_numbers, &hash)) {
        policy_conj_moved(p, hash);
    }
    policy_emit_run(p);
    p->epoch++;
    return p->drops.n || p->puts.n || p->others.n;
}

void
policy_push(struct pointers *list, void *pointer)
{
    if (list->n == list->allocated) {
        list->p = x2nrealloc(list->p, &list->allocated, sizeof *list->p);
    }
    list->p[list->n++] = pointer;
}

/* Hashes. -------------------------------------------------------------------------------------------------------- */

/* Eight bytes at a time.  Not one of libopenvswitch's hashes: these may differ between its versions and processors, and
 * numbers stay in the switch. */
uint64_t
policy_hash(const void *data, size_t n, uint64_t hash)
{
    const char *bytes = data;

    hash = policy_hash_mix(hash + n + UINT64_C(0x9e3779b97f4a7c15));
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = 0;

        memcpy(&word, bytes + i, MIN(n - i, 8));
        hash = policy_hash_mix(hash ^ word);
    }
    return hash;
}

uint64_t
policy_hash_prefix(const struct inet_prefix *prefix, uint64_t basis)
{
    return policy_hash(&prefix->addr, sizeof prefix->addr, basis + prefix->plen);
}
