#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>

#include "hash.h"
#include "intern.h"
#include "util.h"

static void class_settle(struct class *);

struct policy_match *
policy_match_create(void)
{
    struct policy_match *m = xzalloc(sizeof *m);

    hmap_init(&m->classes);
    hmap_init(&m->namespaces);
    hmap_init(&m->terms);
    index_create(m);
    return m;
}

static void
class_destroy(struct policy_match *m, struct class *c)
{
    pod_set_destroy(&c->pods);
    intern_unref(c->up.namespace_);
    intern_unref(c->up.labels);
    intern_unref(c->up.ports);
    free(c->up.terms);
    c->ns->n_classes--;
    ns_release(m, c->ns);
    free(c);
}

static void
bury_terms(struct policy_match *m)
{
    while (m->dead) {
        struct term *t = m->dead;

        m->dead = t->next;
        term_destroy(t);
    }
}

void
policy_match_destroy(struct policy_match *m)
{
    struct match_ns *ns;
    struct class *c;
    struct term *t;

    if (!m) {
        return;
    }
    if (m->ended) {
        class_destroy(m, m->ended);
    }
    HMAP_FOR_EACH_POP (c, node, &m->classes) {
        if (c->up.n_pods) {
            index_remove_class(m, c);
        }
        class_destroy(m, c);
    }
    HMAP_FOR_EACH_POP (t, node, &m->terms) {
        index_remove_term(m, t);
        term_destroy(t);
    }
    bury_terms(m);
    HMAP_FOR_EACH_SAFE (ns, node, &m->namespaces) {
        ns->known = false;
        ns_release(m, ns);
    }
    hmap_destroy(&m->classes);
    hmap_destroy(&m->namespaces);
    hmap_destroy(&m->terms);
    index_destroy(m);
    free(m);
}

/* Classes. */

static void
queue(struct policy_match *m, struct class *c)
{
    if (!c->queued) {
        c->queued = true;
        c->next = NULL;
        if (m->last) {
            m->last->next = c;
        } else {
            m->first = c;
        }
        m->last = c;
    }
}

static uint32_t
hash_strings(const char *const *strings, uint32_t hash)
{
    size_t n = intern_tuple_size(strings);

    for (size_t i = 0; i < n; i++) {
        hash = hash_string(strings[i], hash);
    }
    return hash;
}

static uint32_t
hash_pod(const struct kube_pod *pod)
{
    uint32_t hash = hash_string(pod->object.namespace_, 0);

    hash = hash_strings((const char *const *) pod->object.labels, hash);
    return hash_strings(pod->ports, hash);
}

static struct class *
class_find(const struct policy_match *m, const struct kube_pod *pod, uint32_t hash)
{
    struct class *c;

    HMAP_FOR_EACH_WITH_HASH (c, node, hash, &m->classes) {
        if (labels_equal(c->up.labels, pod->object.labels)
            && intern_string_equal(c->up.namespace_, pod->object.namespace_)
            && intern_tuple_equal(c->up.ports, pod->ports)) {
            return c;
        }
    }
    return NULL;
}

static struct class *
class_create(struct policy_match *m, const struct kube_pod *pod, uint32_t hash)
{
    size_t n_nodes = labels_count(pod->object.labels) * m->n_places;
    struct class *c = xzalloc(sizeof *c + n_nodes * sizeof *c->own);

    c->n_own = n_nodes;
    c->nodes = c->own;
    c->ns = ns_get(m, pod->object.namespace_);
    c->ns->n_classes++;
    c->up.namespace_ = intern_ref(pod->object.namespace_);
    c->up.labels = intern_ref(pod->object.labels);
    c->up.ports = intern_ref(pod->ports);
    hmap_insert(&m->classes, &c->node, hash);
    return c;
}

struct match_class *
policy_match_add_pod(struct policy_match *m, const struct kube_pod *pod)
{
    uint32_t hash = hash_pod(pod);
    struct class *c = class_find(m, pod, hash);

    if (!c) {
        c = class_create(m, pod, hash);
    }
    pod_set_add(&c->pods, pod);
    if (!c->up.n_pods++) {
        m->n_classes++;
        index_add_class(m, c);
        c->report = true;
        queue(m, c);
    }
    return &c->up;
}

/* Without pods: it stays in 'classes' until that was popped, and may come back before. */
static void
class_end(struct policy_match *m, struct class *c)
{
    class_settle(c);
    for (size_t i = 0; i < c->up.n_terms; i++) {
        c->up.terms[i]->n_classes--;
    }
    c->up.n_terms = c->n_settled = 0;
    index_remove_class(m, c);
    m->n_classes--;
    c->report = true;
    queue(m, c);
}

void
policy_match_remove_pod(struct policy_match *m, const struct kube_pod *pod)
{
    struct class *c = class_find(m, pod, hash_pod(pod));

    ovs_assert(c);
    pod_set_remove(&c->pods, pod);
    if (!--c->up.n_pods) {
        class_end(m, c);
    }
}

struct match_class *
policy_match_find(const struct policy_match *m, const struct kube_pod *pod)
{
    struct class *c = class_find(m, pod, hash_pod(pod));

    if (!c || !pod_set_contains(&c->pods, pod)) {
        return NULL;
    }
    class_settle(c);
    return &c->up;
}

void
policy_match_for_each_pod(const struct match_class *class, void (*cb)(const struct kube_pod *, void *aux), void *aux)
{
    const struct pod_set *set = &CONTAINER_OF(class, struct class, up)->pods;

    if (!set->n_slots && set->n) {
        cb(set->one, aux);
    }
    for (size_t i = 0; i < set->n_slots; i++) {
        if (set->slots[i]) {
            cb(set->slots[i], aux);
        }
    }
}

void
policy_match_for_each_class(const struct policy_match *m, void (*cb)(struct match_class *, void *aux), void *aux)
{
    struct class *c;

    HMAP_FOR_EACH_SAFE (c, node, &m->classes) {
        if (c->up.n_pods) {
            class_settle(c);
            cb(&c->up, aux);
        }
    }
}

/* A class's terms. */

void
class_add_term(struct policy_match *m, struct class *c, struct term *t)
{
    if (c->up.n_terms == c->allocated) {
        c->allocated = c->allocated ? 2 * c->allocated : 2;
        c->up.terms = xrealloc(c->up.terms, c->allocated * sizeof *c->up.terms);
    }
    c->up.terms[c->up.n_terms++] = &t->up;
    t->up.n_classes++;
    queue(m, c);
}

void
class_lose_terms(struct policy_match *m, struct class *c)
{
    c->stale = true;
    queue(m, c);
}

void
class_touch(struct policy_match *m, struct class *c)
{
    c->report = true;
    queue(m, c);
}

/* Of two of the same content, at most one is referenced: that is the last. */
static int
compare_terms(const void *a_, const void *b_)
{
    const struct match_term *a = *(struct match_term *const *) a_, *b = *(struct match_term *const *) b_;
    int cmp = term_compare(a, b);

    if (cmp || a == b) {
        return cmp;
    }
    return a->n_refs || (!b->n_refs && a > b) ? 1 : -1;
}

static bool
class_keeps(const struct class *c, const struct match_term *t)
{
    return !c->stale || term_reaches(CONTAINER_OF(t, struct term, up), c->ns);
}

/* What was added goes to its place, what does not select the class any more goes away.  A term that went and came back
 * is there twice. */
static void
class_settle(struct class *c)
{
    size_t n_old = c->n_settled, n_new = c->up.n_terms - n_old, n = 0;

    if (!n_new && !c->stale) {
        return;
    }

    struct match_term **old = c->up.terms, **new = old + n_old;
    if (!n_old && !c->stale) {          /* Nothing could go, and so nothing come back. */
        qsort(new, n_new, sizeof *new, compare_terms);
        c->n_settled = n_new;
        c->report = true;
        return;
    }

    struct match_term **terms = xmalloc(c->up.n_terms * sizeof *terms + 1);
    qsort(new, n_new, sizeof *new, compare_terms);
    for (size_t i = 0, k = 0; i < n_old || k < n_new;) {
        int cmp = i >= n_old ? 1 : k >= n_new ? -1 : compare_terms(&old[i], &new[k]);
        struct match_term *t = cmp <= 0 ? old[i] : new[k];

        if (!n || terms[n - 1] != t) {
            bool keep = class_keeps(c, t);

            terms[n] = t;
            n += keep;
            c->report |= keep != (cmp <= 0);
        }
        i += cmp <= 0;
        k += cmp >= 0;
    }
    free(old);
    c->up.terms = xrealloc(terms, n * sizeof *terms + 1);
    c->up.n_terms = c->n_settled = c->allocated = n;
    c->stale = false;
}

struct match_class *
policy_match_pop_changed(struct policy_match *m)
{
    if (m->ended) {
        class_destroy(m, m->ended);
        m->ended = NULL;
    }
    while (m->first) {
        struct class *c = m->first;

        m->first = c->next;
        if (!m->first) {
            m->last = NULL;
        }
        c->queued = false;
        class_settle(c);
        if (!c->up.n_pods) {
            hmap_remove(&m->classes, &c->node);
            m->ended = c;
        }
        if (c->report) {
            c->report = false;
            return &c->up;
        }
    }
    bury_terms(m);
    return NULL;
}

/* Terms. */

struct match_term *
policy_match_term_ref(struct policy_match *m, const char *namespace_, const struct kube_selector *namespaces,
                      const struct kube_selector *pods)
{
    uint64_t hash = term_hash(namespace_, namespaces, pods);
    struct term *t = term_find(m, hash, namespace_, namespaces, pods);

    if (!t) {
        t = term_create(namespace_, namespaces, pods);
        t->up.hash = hash;
        hmap_insert(&m->terms, &t->node, hash);
        t->up.n_refs = 1;
        index_add_term(m, t);
    } else {
        t->up.n_refs++;
    }
    return &t->up;
}

void
policy_match_term_unref(struct policy_match *m, struct match_term *term)
{
    struct term *t = CONTAINER_OF(term, struct term, up);

    if (!--t->up.n_refs) {
        hmap_remove(&m->terms, &t->node);
        index_remove_term(m, t);
        t->up.n_classes = 0;
        t->next = m->dead;
        m->dead = t;
    }
}

void
policy_match_touch(struct policy_match *m, struct match_term *term)
{
    if (term->n_classes) {
        index_touch_term(m, CONTAINER_OF(term, struct term, up));
    }
}

size_t
policy_match_n_classes(const struct policy_match *m)
{
    return m->n_classes;
}

size_t
policy_match_n_terms(const struct policy_match *m)
{
    return hmap_count(&m->terms);
}
