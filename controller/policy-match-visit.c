#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>

#include "intern.h"
#include "util.h"

/* Up to so many namespaces are looked at one by one, without an index over all. */
#define FEW_NAMESPACES 8
/* Choosing between indexes, nothing is counted further than this. */
#define COUNT_LIMIT 16

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

void
index_put_class(struct policy_match *m, struct class *c)
{
    size_t n = labels_count(c->up.labels), n_nodes = n * m->n_places;

    c->nodes = n_nodes > c->n_own ? xmalloc(n_nodes * sizeof *c->nodes) : c->own;
    for (size_t i = 0; i < n_nodes; i++) {
        c->nodes[i].class = c;
        hindex_insert(&m->class_index, &c->nodes[i].node, class_hash(c, m->places[i / n], i % n));
    }
}

void
index_take_class(struct policy_match *m, struct class *c)
{
    size_t n = labels_count(c->up.labels) * m->n_places;

    for (size_t i = 0; i < n; i++) {
        hindex_remove(&m->class_index, &c->nodes[i].node);
    }
    if (c->nodes != c->own) {
        free(c->nodes);
    }
    c->nodes = c->own;
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
            index_take_class(m, c);
        }
    }
    m->places[m->n_places++] = place;
    HMAP_FOR_EACH (c, node, &m->classes) {
        if (c->up.n_pods) {
            index_put_class(m, c);
        }
    }
}

/* From a term to classes. */

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
const struct kube_requirement *
index_narrowest(const struct hindex *index, uint32_t in, const struct kube_selector *s)
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
void
index_visit_ns(struct policy_match *m, struct term *t, struct match_ns *ns, class_cb *cb)
{
    const struct kube_requirement *r = index_narrowest(&m->class_index, ns->hash, t->up.pods);
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

    const struct kube_requirement *r = index_narrowest(&m->class_index, 0, t->up.pods);
    if (count_requirement(&m->class_index, 0, r, n_namespaces + 1) > n_namespaces) {
        return false;
    }
    visit_requirement(m, t, NULL, r, cb);
    return true;
}

/* All classes that the term selects. */
void
index_visit(struct policy_match *m, struct term *t, class_cb *cb)
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
                index_visit_ns(m, t, ns, cb);
            }
        }
        return;
    }
    for (size_t i = 0; i < t->n_places; i++) {
        struct ns_place *place;

        LIST_FOR_EACH (place, node, &t->places[i].scope->namespaces) {
            if (t->up.namespace_ || term_reaches(t, place->ns)) {
                index_visit_ns(m, t, place->ns, cb);
            }
        }
    }
}
