#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>
#include <string.h>

#include "intern.h"
#include "sha1.h"
#include "util.h"

/* A copy with its arrays in one piece of memory; the strings are counted. */

static size_t
selector_size(const struct kube_selector *s)
{
    size_t size = 0;

    for (size_t i = 0; s && i < s->n_requirements; i++) {
        size += sizeof *s->requirements + s->requirements[i].n_values * sizeof(char *);
    }
    return size;
}

/* Puts the copy's arrays at 'p' and returns what is behind them. */
static char *
selector_copy(struct kube_selector *copy, const struct kube_selector *s, char *p)
{
    copy->requirements = ALIGNED_CAST(struct kube_requirement *, p);
    copy->n_requirements = s->n_requirements;
    p += s->n_requirements * sizeof *s->requirements;
    for (size_t i = 0; i < s->n_requirements; i++) {
        const struct kube_requirement *r = &s->requirements[i];

        copy->requirements[i] = *r;
        intern_ref(r->key);
        copy->requirements[i].values = ALIGNED_CAST(const char **, p);
        p += r->n_values * sizeof *r->values;
        for (size_t k = 0; k < r->n_values; k++) {
            copy->requirements[i].values[k] = intern_ref(r->values[k]);
        }
    }
    return p;
}

static void
selector_clear(struct kube_selector *copy)
{
    for (size_t i = 0; i < copy->n_requirements; i++) {
        struct kube_requirement *r = &copy->requirements[i];

        intern_unref(r->key);
        for (size_t k = 0; k < r->n_values; k++) {
            intern_unref(r->values[k]);
        }
    }
}

struct term *
term_create(const char *namespace_, const struct kube_selector *namespaces, const struct kube_selector *pods)
{
    size_t name = namespace_ ? strlen(namespace_) + 1 : 0;
    struct term *t = xzalloc(sizeof *t + selector_size(namespace_ ? NULL : namespaces) + selector_size(pods) + name);
    char *p = (char *) (t + 1);

    if (!namespace_) {
        p = selector_copy(&t->selectors[0], namespaces, p);
        t->up.namespaces = &t->selectors[0];
    }
    p = selector_copy(&t->selectors[1], pods, p);
    t->up.pods = &t->selectors[1];
    if (namespace_) {
        t->up.namespace_ = memcpy(p, namespace_, name);
    }
    return t;
}

void
term_destroy(struct term *t)
{
    selector_clear(&t->selectors[0]);
    selector_clear(&t->selectors[1]);
    if (t->places != &t->own_place) {
        free(t->places);
    }
    if (t->nodes != &t->own_node) {
        free(t->nodes);
    }
    free(t);
}

/* The content's hash is that of a text that no other content has: strings end with a NUL byte, which none of them has
 * inside.  SHA-1's first eight bytes: who may write policies cannot easily make a term that passes for another's. */

static void
hash_text(struct sha1_ctx *sha1, const char *s)
{
    sha1_update(sha1, s, strlen(s) + 1);
}

static void
hash_selector(struct sha1_ctx *sha1, const struct kube_selector *s)
{
    for (size_t i = 0; i < s->n_requirements; i++) {
        const struct kube_requirement *r = &s->requirements[i];

        hash_text(sha1, r->key);
        sha1_update(sha1, &"=!+-"[r->op], 1);
        for (size_t k = 0; k < r->n_values; k++) {
            sha1_update(sha1, ",", 1);
            hash_text(sha1, r->values[k]);
        }
        sha1_update(sha1, ";", 1);
    }
}

uint64_t
term_hash(const char *namespace_, const struct kube_selector *namespaces, const struct kube_selector *pods)
{
    struct sha1_ctx sha1;
    uint8_t digest[SHA1_DIGEST_SIZE];
    uint64_t hash = 0;

    sha1_init(&sha1);
    sha1_update(&sha1, namespace_ ? "n" : "s", 1);
    if (namespace_) {
        hash_text(&sha1, namespace_);
    } else {
        hash_selector(&sha1, namespaces);
        sha1_update(&sha1, "|", 1);
    }
    hash_selector(&sha1, pods);
    sha1_final(&sha1, digest);
    for (size_t i = 0; i < sizeof hash; i++) {
        hash = hash << 8 | digest[i];
    }
    return hash;
}

/* Comparison. */

static int
compare_strings(const char *a, const char *b)
{
    return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

static int
compare_numbers(size_t a, size_t b)
{
    return a < b ? -1 : a > b;
}

static int
compare_selectors(const struct kube_selector *a, const struct kube_selector *b)
{
    if (a == b || !a || !b) {
        return compare_numbers(a != NULL, b != NULL);
    }

    int cmp = compare_numbers(a->n_requirements, b->n_requirements);
    for (size_t i = 0; !cmp && i < a->n_requirements; i++) {
        const struct kube_requirement *r = &a->requirements[i], *s = &b->requirements[i];

        cmp = compare_strings(r->key, s->key);
        cmp = cmp ? cmp : compare_numbers(r->op, s->op);
        cmp = cmp ? cmp : compare_numbers(r->n_values, s->n_values);
        for (size_t k = 0; !cmp && k < r->n_values; k++) {
            cmp = compare_strings(r->values[k], s->values[k]);
        }
    }
    return cmp;
}

int
term_compare(const struct match_term *a, const struct match_term *b)
{
    int cmp = a == b ? 0 : a->hash < b->hash ? -1 : a->hash > b->hash;

    if (cmp || a == b) {
        return cmp;
    }
    cmp = compare_strings(a->namespace_, b->namespace_);
    cmp = cmp ? cmp : compare_selectors(a->namespaces, b->namespaces);
    return cmp ? cmp : compare_selectors(a->pods, b->pods);
}

struct term *
term_find(const struct policy_match *m, uint64_t hash, const char *namespace_, const struct kube_selector *namespaces,
          const struct kube_selector *pods)
{
    const struct match_term wanted = { .hash = hash, .namespace_ = namespace_,
                                       .namespaces = namespace_ ? NULL : namespaces, .pods = pods };
    struct term *t;

    HMAP_FOR_EACH_WITH_HASH (t, node, hash, &m->terms) {
        if (!term_compare(&t->up, &wanted)) {
            return t;
        }
    }
    return NULL;
}

bool
term_reaches(const struct term *t, const struct match_ns *ns)
{
    return t->up.n_refs && (t->up.namespace_ ? !strcmp(t->up.namespace_, ns->name)
                            : kube_selector_matches(t->up.namespaces, ns->labels));
}

/* For people, as kubectl writes selectors. */
