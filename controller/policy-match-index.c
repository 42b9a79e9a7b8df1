#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>
#include <string.h>

#include "intern.h"
#include "util.h"

/* A term has at most so many nodes; else it stands in the rest of its scope. */
#define MAX_NODES 4096

static struct scope *scope_get(struct policy_match *, const char *key, const char *value);
static void scope_release(struct policy_match *, struct scope *);

void
index_create(struct policy_match *m)
{
    hmap_init(&m->scopes);
    hindex_init(&m->class_index);
    hindex_init(&m->term_index);
    m->everywhere = scope_get(m, NULL, NULL);
    m->places[m->n_places++] = PLACE_NS_VALUE;
}

void
index_destroy(struct policy_match *m)
{
    scope_release(m, m->everywhere);
    ovs_assert(hmap_is_empty(&m->scopes));
    hmap_destroy(&m->scopes);
    hindex_destroy(&m->class_index);
    hindex_destroy(&m->term_index);
}

/* Scopes. */

static struct scope *
scope_get(struct policy_match *m, const char *key, const char *value)
{
    uint32_t hash = hash_string(value ? value : "", hash_string(key ? key : "", value != NULL));
    struct scope *s;

    HMAP_FOR_EACH_WITH_HASH (s, node, hash, &m->scopes) {
        if (intern_string_equal(s->key, key) && intern_string_equal(s->value, value)) {
            return s;
        }
    }

    size_t key_size = key ? strlen(key) + 1 : 0, value_size = value ? strlen(value) + 1 : 0;
    s = xzalloc(sizeof *s + key_size + value_size);
    s->key = key ? memcpy(s->text, key, key_size) : NULL;
    s->value = value ? memcpy(s->text + key_size, value, value_size) : NULL;
    ovs_list_init(&s->namespaces);
    ovs_list_init(&s->terms);
    hmap_insert(&m->scopes, &s->node, hash);
    return s;
}

static void
scope_release(struct policy_match *m, struct scope *s)
{
    if (!s->n_namespaces && !s->n_terms) {
        hmap_remove(&m->scopes, &s->node);
        free(s);
    }
}

static uint32_t
scope_hash(const struct scope *s)
{
    return s->node.hash;
}

/* Terms in their index. */

static void
gain_cb(struct policy_match *m, struct class *c, struct term *t)
{
    class_add_term(m, c, t);
}

/* The term goes, or does not reach the class's namespace any more. */
static void
lose_cb(struct policy_match *m, struct class *c, struct term *t)
{
    t->up.n_classes--;
    class_lose_terms(m, c);
}

/* The requirement of the namespaces that gives the scopes: that with the fewest namespaces.  NULL: none. */
static const struct kube_requirement *
choose_scope(struct policy_match *m, const struct kube_selector *s)
{
    const struct kube_requirement *best = NULL;
    size_t least = SIZE_MAX;

    for (size_t i = 0; i < s->n_requirements; i++) {
        const struct kube_requirement *r = &s->requirements[i];
        size_t n = 0;

        for (size_t k = 0; requires(r) && k < MAX(r->n_values, 1); k++) {
            struct scope *scope = scope_get(m, r->key, r->n_values ? r->values[k] : NULL);

            n += scope->n_namespaces;
            scope_release(m, scope);
        }
        if (requires(r) && n < least) {
            least = n;
            best = r;
        }
    }
    return best;
}

static void
join_scope(struct term *t, struct scope *s)
{
    struct term_place *place = &t->places[t->n_places++];

    place->term = t;
    place->scope = s;
    if (!t->up.namespace_ && t->up.namespaces->n_requirements) {
        ovs_list_push_back(&s->terms, &place->node);
    } else {
        ovs_list_init(&place->node);
    }
    s->n_terms++;
}

static void
join_scopes(struct policy_match *m, struct term *t, const struct kube_requirement *r)
{
    if (t->up.namespace_) {
        join_scope(t, scope_get(m, NAME_LABEL, t->up.namespace_));
    } else if (!r) {
        join_scope(t, m->everywhere);
    } else if (r->op == KUBE_OP_EXISTS) {
        join_scope(t, scope_get(m, r->key, NULL));
    }
    for (size_t i = 0; r && i < r->n_values; i++) {
        join_scope(t, scope_get(m, r->key, r->values[i]));
    }
}

static uint32_t *
scope_counter(const struct term *t, struct scope *s)
{
    return !t->pivot ? &s->n_rest : t->pivot->op == KUBE_OP_EXISTS ? &s->n_key : &s->n_value;
}

static void
put_node(struct policy_match *m, struct term *t, size_t i)
{
    const struct kube_requirement *r = t->pivot;
    uint32_t in = scope_hash(t->places[i / t->n_pivots].scope);
    size_t hash = (!r ? rest_hash(in) : r->op == KUBE_OP_EXISTS ? key_hash(in, r->key)
                   : value_hash(in, r->key, r->values[i % t->n_pivots]));

    t->nodes[i].term = t;
    hindex_insert(&m->term_index, &t->nodes[i].node, hash);
}

static void
put_term(struct policy_match *m, struct term *t)
{
    const struct kube_requirement *r = t->up.namespace_ ? NULL : choose_scope(m, t->up.namespaces);
    size_t n_places = r ? MAX(r->n_values, 1) : 1, n_nodes;

    t->places = n_places > 1 ? xmalloc(n_places * sizeof *t->places) : &t->own_place;
    join_scopes(m, t, r);
    r = index_narrowest(&m->term_index, scope_hash(t->places[0].scope), t->up.pods);
    t->pivot = r && MAX(r->n_values, 1) * n_places <= MAX_NODES ? r : NULL;
    t->n_pivots = t->pivot ? MAX(t->pivot->n_values, 1) : 1;
    n_nodes = n_places * t->n_pivots;
    t->nodes = n_nodes > 1 ? xmalloc(n_nodes * sizeof *t->nodes) : &t->own_node;
    for (size_t i = 0; i < n_nodes; i++) {
        put_node(m, t, i);
    }
    for (size_t i = 0; i < n_places; i++) {
        ++*scope_counter(t, t->places[i].scope);
    }
}

void
index_add_term(struct policy_match *m, struct term *t)
{
    put_term(m, t);
    index_visit(m, t, gain_cb);
}

void
index_remove_term(struct policy_match *m, struct term *t)
{
    if (t->up.n_classes) {
        t->up.n_refs++;                 /* It still reaches those. */
        index_visit(m, t, lose_cb);
        t->up.n_refs--;
    }
    for (size_t i = 0; i < t->n_places * t->n_pivots; i++) {
        hindex_remove(&m->term_index, &t->nodes[i].node);
    }
    for (size_t i = 0; i < t->n_places; i++) {
        struct scope *s = t->places[i].scope;

        --*scope_counter(t, s);
        s->n_terms--;
        ovs_list_remove(&t->places[i].node);
        if (s != m->everywhere) {
            scope_release(m, s);
        }
    }
    t->n_places = 0;
}

static void
touch_cb(struct policy_match *m, struct class *c, struct term *t OVS_UNUSED)
{
    class_touch(m, c);
}

void
index_touch_term(struct policy_match *m, struct term *t)
{
    index_visit(m, t, touch_cb);
}

/* From a class to terms. */

/* The node's term if it stands there for this scope and label (value NULL: key; both NULL: in the rest). */
static struct term *
term_of_node(const struct term_node *node, const struct scope *scope, const char *key, const char *value)
{
    struct term *t = node->term;
    size_t i = node - t->nodes;

    if (t->places[i / t->n_pivots].scope != scope || !t->pivot != !key) {
        return NULL;
    }
    if (key && ((t->pivot->op == KUBE_OP_IN) != (value != NULL) || !intern_string_equal(t->pivot->key, key)
                || (value && !intern_string_equal(t->pivot->values[i % t->n_pivots], value)))) {
        return NULL;
    }
    return t;
}

static void
add_terms(struct policy_match *m, struct class *c, const struct scope *scope, size_t hash, const char *key,
          const char *value)
{
    struct term_node *node;

    HINDEX_FOR_EACH_WITH_HASH (node, node, hash, &m->term_index) {
        struct term *t = term_of_node(node, scope, key, value);

        if (t && kube_selector_matches(t->up.pods, c->up.labels)
            && (t->up.namespace_ || kube_selector_matches(t->up.namespaces, c->ns->labels))) {
            class_add_term(m, c, t);
        }
    }
}

static void
add_terms_of_scope(struct policy_match *m, struct class *c, const struct scope *s)
{
    size_t n = s->n_value || s->n_key ? labels_count(c->up.labels) : 0;

    for (size_t i = 0; i < n; i++) {
        const char *key = labels_key(c->up.labels, i), *value = labels_value(c->up.labels, i);

        if (s->n_value) {
            add_terms(m, c, s, value_hash(scope_hash(s), key, value), key, value);
        }
        if (s->n_key) {
            add_terms(m, c, s, key_hash(scope_hash(s), key), key, NULL);
        }
    }
    if (s->n_rest) {
        add_terms(m, c, s, rest_hash(scope_hash(s)), NULL, NULL);
    }
}

void
index_add_class(struct policy_match *m, struct class *c)
{
    ovs_list_push_back(&c->ns->classes, &c->in_ns);
    index_put_class(m, c);
    for (size_t i = 0; i < c->ns->n_places; i++) {
        add_terms_of_scope(m, c, c->ns->places[i].scope);
    }
    add_terms_of_scope(m, c, m->everywhere);
}

void
index_remove_class(struct policy_match *m, struct class *c)
{
    ovs_list_remove(&c->in_ns);
    index_take_class(m, c);
}

/* Namespaces. */

static void
join_places(struct policy_match *m, struct match_ns *ns)
{
    size_t n = labels_count(ns->labels);

    ns->n_places = 2 * n;
    ns->places = n ? xmalloc(2 * n * sizeof *ns->places) : NULL;
    for (size_t i = 0; i < 2 * n; i++) {
        struct ns_place *place = &ns->places[i];

        place->ns = ns;
        place->scope = scope_get(m, labels_key(ns->labels, i / 2), i % 2 ? NULL : labels_value(ns->labels, i / 2));
        ovs_list_push_back(&place->scope->namespaces, &place->node);
        place->scope->n_namespaces++;
    }
}

static void
leave_places(struct policy_match *m, struct match_ns *ns)
{
    for (size_t i = 0; i < ns->n_places; i++) {
        struct scope *s = ns->places[i].scope;

        ovs_list_remove(&ns->places[i].node);
        s->n_namespaces--;
        scope_release(m, s);
    }
    free(ns->places);
    ns->places = NULL;
    ns->n_places = 0;
}

/* The terms of a scope that reach the namespace with one of two sets of labels, and not with the other. */
static void
visit_scope(struct policy_match *m, struct match_ns *ns, const struct scope *s, const struct labels *with,
            const struct labels *without, class_cb *cb)
{
    struct term_place *place;

    LIST_FOR_EACH (place, node, &s->terms) {
        struct term *t = place->term;

        if (kube_selector_matches(t->up.namespaces, with) && !kube_selector_matches(t->up.namespaces, without)) {
            index_visit_ns(m, t, ns, cb);
        }
    }
}

static void
visit_scopes(struct policy_match *m, struct match_ns *ns, const struct labels *with, const struct labels *without,
             class_cb *cb)
{
    for (size_t i = 0; i < ns->n_places; i++) {
        visit_scope(m, ns, ns->places[i].scope, with, without, cb);
    }
    visit_scope(m, ns, m->everywhere, with, without, cb);
}

void
index_set_labels(struct policy_match *m, struct match_ns *ns, const struct labels *labels)
{
    const struct labels *old = ns->labels;

    if (ns->n_classes) {
        visit_scopes(m, ns, old, labels, lose_cb);
    }
    leave_places(m, ns);
    ns->labels = labels;
    join_places(m, ns);
    if (ns->n_classes) {
        visit_scopes(m, ns, labels, old, gain_cb);
    }
    intern_unref(old);
}
