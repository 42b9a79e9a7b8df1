#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "intern.h"
#include "util.h"

#define NAME_LABEL "kubernetes.io/metadata.name"

/* Up to so many namespaces are looked at one by one, without an index over all. */
#define FEW_NAMESPACES 8
/* A term has at most so many nodes; else it stands in the rest of its scope. */
#define MAX_NODES 4096
/* Choosing between indexes, nothing is counted further than this. */
#define COUNT_LIMIT 16

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

/* Where things stand in the indexes: 'in' is a scope's hash or a namespace's.  Who finds a node looks whether it is
 * the right one. */

static size_t
value_hash(uint32_t in, const char *key, const char *value)
{
    return hash_string(value, hash_string(key, in));
}

static size_t
key_hash(uint32_t in, const char *key)
{
    return hash_string(key, ~in);
}

static size_t
rest_hash(uint32_t in)
{
    return hash_int(in, 1);
}

static size_t
count(const struct hindex *index, size_t hash, size_t limit)
{
    const struct hindex_node *node = hindex_node_with_hash(index, hash);
    size_t n = 0;

    for (; node && n < limit; node = node->s) {
        n++;
    }
    return n;
}

/* Classes in their index. */

static size_t
class_hash(const struct class *c, enum class_place place, size_t label)
{
    const char *key = labels_key(c->up.labels, label), *value = labels_value(c->up.labels, label);

    switch (place) {
    case PLACE_NS_VALUE: return value_hash(c->ns->hash, key, value);
    case PLACE_NS_KEY: return key_hash(c->ns->hash, key);
    case PLACE_VALUE: return value_hash(0, key, value);
    case PLACE_KEY: return key_hash(0, key);
    case N_PLACES: break;
    }
    OVS_NOT_REACHED();
}

static void
put_class(struct policy_match *m, struct class *c)
{
    size_t n = labels_count(c->up.labels);

    c->nodes = n ? xmalloc(n * m->n_places * sizeof *c->nodes) : NULL;
    for (size_t i = 0; i < n * m->n_places; i++) {
        c->nodes[i].class = c;
        hindex_insert(&m->class_index, &c->nodes[i].node, class_hash(c, m->places[i / n], i % n));
    }
}

static void
take_class(struct policy_match *m, struct class *c)
{
    size_t n = labels_count(c->up.labels) * m->n_places;

    for (size_t i = 0; i < n; i++) {
        hindex_remove(&m->class_index, &c->nodes[i].node);
    }
    free(c->nodes);
    c->nodes = NULL;
}

/* From now on, classes stand there too. */
static void
use_place(struct policy_match *m, enum class_place place)
{
    struct class *c;

    for (size_t i = 0; i < m->n_places; i++) {
        if (m->places[i] == place) {
            return;
        }
    }
    HMAP_FOR_EACH (c, node, &m->classes) {
        if (c->up.n_pods) {
            take_class(m, c);
        }
    }
    m->places[m->n_places++] = place;
    HMAP_FOR_EACH (c, node, &m->classes) {
        if (c->up.n_pods) {
            put_class(m, c);
        }
    }
}

/* From a term to classes. */

typedef void class_cb(struct policy_match *, struct class *, struct term *);

static bool
requires(const struct kube_requirement *r)
{
    return r->op == KUBE_OP_IN || r->op == KUBE_OP_EXISTS;
}

/* How many classes (or terms) stand under a requirement, roughly if there are many. */
static size_t
count_requirement(const struct hindex *index, uint32_t in, const struct kube_requirement *r, size_t limit)
{
    size_t n = 0;

    if (r->op == KUBE_OP_EXISTS) {
        return count(index, key_hash(in, r->key), limit);
    }
    for (size_t i = 0; i < r->n_values && n < limit; i++) {
        n += count(index, value_hash(in, r->key, r->values[i]), limit - n);
    }
    return n;
}

/* The requirement under which the fewest stand; In goes before Exists.  NULL: there is none. */
static const struct kube_requirement *
narrowest(const struct hindex *index, uint32_t in, const struct kube_selector *s)
{
    const struct kube_requirement *best = NULL;
    size_t least = SIZE_MAX;            /* Under 'best'; SIZE_MAX: not counted yet. */

    for (size_t i = 0; i < s->n_requirements; i++) {
        const struct kube_requirement *r = &s->requirements[i];

        if (requires(r) && (!best || (r->op == KUBE_OP_IN && best->op != KUBE_OP_IN))) {
            best = r;
            least = SIZE_MAX;
        } else if (requires(r) && r->op == best->op) {
            least = least == SIZE_MAX ? count_requirement(index, in, best, COUNT_LIMIT) : least;

            size_t n = count_requirement(index, in, r, COUNT_LIMIT);
            if (n < least || (n == least && r->n_values < best->n_values)) {
                best = r;
                least = n;
            }
        }
    }
    return best;
}

/* The node's class if it stands there for this label (value NULL: key) and of this namespace (NULL: any). */
static struct class *
class_of_node(const struct class_node *node, const struct match_ns *ns, const char *key, const char *value)
{
    struct class *c = node->class;
    size_t i = (node - c->nodes) % labels_count(c->up.labels);
    bool ok = ((!ns || c->ns == ns) && intern_string_equal(labels_key(c->up.labels, i), key)
               && (!value || intern_string_equal(labels_value(c->up.labels, i), value)));

    return ok ? c : NULL;
}

/* Classes under a label, of a namespace or of those that the term reaches. */
static void
visit_label(struct policy_match *m, struct term *t, struct match_ns *ns, const char *key, const char *value,
            class_cb *cb)
{
    uint32_t in = ns ? ns->hash : 0;
    size_t hash = value ? value_hash(in, key, value) : key_hash(in, key);
    struct class_node *node;

    HINDEX_FOR_EACH_WITH_HASH (node, node, hash, &m->class_index) {
        struct class *c = class_of_node(node, ns, key, value);

        if (c && kube_selector_matches(t->up.pods, c->up.labels)
            && (ns || kube_selector_matches(t->up.namespaces, c->ns->labels))) {
            cb(m, c, t);
        }
    }
}

static void
visit_requirement(struct policy_match *m, struct term *t, struct match_ns *ns, const struct kube_requirement *r,
                  class_cb *cb)
{
    if (r->op == KUBE_OP_EXISTS) {
        visit_label(m, t, ns, r->key, NULL, cb);
    }
    for (size_t i = 0; i < r->n_values; i++) {
        visit_label(m, t, ns, r->key, r->values[i], cb);
    }
}

/* The classes of a namespace that the term's pods select. */
static void
visit_ns(struct policy_match *m, struct term *t, struct match_ns *ns, class_cb *cb)
{
    const struct kube_requirement *r = narrowest(&m->class_index, ns->hash, t->up.pods);
    struct class *c;

    if (r) {
        if (r->op == KUBE_OP_EXISTS) {
            use_place(m, PLACE_NS_KEY);
        }
        visit_requirement(m, t, ns, r, cb);
        return;
    }
    LIST_FOR_EACH (c, in_ns, &ns->classes) {
        if (kube_selector_matches(t->up.pods, c->up.labels)) {
            cb(m, c, t);
        }
    }
}

/* Through the index over all namespaces, if that is less than to go through the term's namespaces one by one. */
static bool
visit_all(struct policy_match *m, struct term *t, size_t n_namespaces, class_cb *cb)
{
    if (!t->pivot || n_namespaces <= FEW_NAMESPACES) {
        return false;
    }
    use_place(m, t->pivot->op == KUBE_OP_EXISTS ? PLACE_KEY : PLACE_VALUE);

    const struct kube_requirement *r = narrowest(&m->class_index, 0, t->up.pods);
    if (count_requirement(&m->class_index, 0, r, n_namespaces + 1) > n_namespaces) {
        return false;
    }
    visit_requirement(m, t, NULL, r, cb);
    return true;
}

/* All classes that the term selects. */
static void
visit(struct policy_match *m, struct term *t, class_cb *cb)
{
    bool everywhere = t->places[0].scope == m->everywhere;
    size_t n = everywhere ? hmap_count(&m->namespaces) : 0;
    struct match_ns *ns;

    for (size_t i = 0; i < t->n_places && !everywhere; i++) {
        n += t->places[i].scope->n_namespaces;
    }
    if (visit_all(m, t, n, cb)) {
        return;
    }
    if (everywhere) {
        HMAP_FOR_EACH (ns, node, &m->namespaces) {
            if (term_reaches(t, ns)) {
                visit_ns(m, t, ns, cb);
            }
        }
        return;
    }
    for (size_t i = 0; i < t->n_places; i++) {
        struct ns_place *place;

        LIST_FOR_EACH (place, node, &t->places[i].scope->namespaces) {
            if (term_reaches(t, place->ns)) {
                visit_ns(m, t, place->ns, cb);
            }
        }
    }
}

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

/* Terms in their index. */

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
    ovs_list_push_back(&s->terms, &place->node);
    s->n_terms++;
}

static void
join_scopes(struct policy_match *m, struct term *t)
{
    const struct kube_requirement *r = t->up.namespace_ ? NULL : choose_scope(m, t->up.namespaces);

    t->places = xmalloc((r ? MAX(r->n_values, 1) : 1) * sizeof *t->places);
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

static size_t *
scope_counter(const struct term *t, struct scope *s)
{
    return !t->pivot ? &s->n_rest : t->pivot->op == KUBE_OP_EXISTS ? &s->n_key : &s->n_value;
}

static void
put_term(struct policy_match *m, struct term *t)
{
    const struct kube_requirement *r = narrowest(&m->term_index, scope_hash(t->places[0].scope), t->up.pods);

    t->pivot = r && MAX(r->n_values, 1) * t->n_places <= MAX_NODES ? r : NULL;
    t->n_pivots = t->pivot ? MAX(t->pivot->n_values, 1) : 1;
    t->nodes = xmalloc(t->n_places * t->n_pivots * sizeof *t->nodes);
    for (size_t i = 0; i < t->n_places * t->n_pivots; i++) {
        uint32_t in = scope_hash(t->places[i / t->n_pivots].scope);
        size_t hash = (!t->pivot ? rest_hash(in) : t->pivot->op == KUBE_OP_EXISTS ? key_hash(in, t->pivot->key)
                       : value_hash(in, t->pivot->key, t->pivot->values[i % t->n_pivots]));

        t->nodes[i].term = t;
        hindex_insert(&m->term_index, &t->nodes[i].node, hash);
    }
    for (size_t i = 0; i < t->n_places; i++) {
        ++*scope_counter(t, t->places[i].scope);
    }
}

void
index_add_term(struct policy_match *m, struct term *t)
{
    join_scopes(m, t);
    put_term(m, t);
    visit(m, t, gain_cb);
}

void
index_remove_term(struct policy_match *m, struct term *t)
{
    if (t->up.n_classes) {
        t->up.n_refs++;                 /* It still reaches those. */
        visit(m, t, lose_cb);
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
    visit(m, t, touch_cb);
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
    put_class(m, c);
    for (size_t i = 0; i < c->ns->n_places; i++) {
        add_terms_of_scope(m, c, c->ns->places[i].scope);
    }
    add_terms_of_scope(m, c, m->everywhere);
}

void
index_remove_class(struct policy_match *m, struct class *c)
{
    ovs_list_remove(&c->in_ns);
    take_class(m, c);
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

        if (!t->up.namespace_ && t->up.namespaces->n_requirements && kube_selector_matches(t->up.namespaces, with)
            && !kube_selector_matches(t->up.namespaces, without)) {
            visit_ns(m, t, ns, cb);
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
