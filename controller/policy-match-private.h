#ifndef SLUICE_POLICY_MATCH_PRIVATE_H
#define SLUICE_POLICY_MATCH_PRIVATE_H 1

/* What the files of policy-match.h share.
 *
 *   policy-match.c         pods and classes, the queue of changed classes
 *   policy-match-ns.c      namespaces
 *   policy-match-pods.c    the set of a class's pods
 *   policy-match-term.c    terms: copy, hash, comparison, text
 *   policy-match-index.c   namespaces and terms in their scopes; from a class to the terms that select it
 *   policy-match-visit.c   classes in their index; from a term to the classes that it selects
 *
 * A scope is a label that a namespace must have: key and value, or key.  Each term stands in the scope(s) of one
 * requirement of its namespaces, so a class meets all its terms in the scopes of its namespace's labels, each once.
 * In a scope a term stands under one requirement of its pods (its pivot).  The other way round, classes stand under
 * their namespace, and under it and each of their labels.
 *
 * A class's array of terms is brought up to date when somebody looks (class_settle()); what terms know of classes is
 * always up to date. */

#include "controller/policy-match.h"
#include "hash.h"
#include "hindex.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

#define NAME_LABEL "kubernetes.io/metadata.name"        /* Every namespace's. */

/* Pods.  One pod stands in the place of the pointer; more are a hash table with linear probing. */
struct pod_set {
    union {
        const struct kube_pod *one;
        const struct kube_pod **slots;
    };
    uint32_t n_slots;                   /* 0: 'one'. */
    uint32_t n;
};

void pod_set_add(struct pod_set *, const struct kube_pod *);
void pod_set_remove(struct pod_set *, const struct kube_pod *);
bool pod_set_contains(const struct pod_set *, const struct kube_pod *);
void pod_set_destroy(struct pod_set *);

/* Where classes stand. */
enum class_place {
    PLACE_NS_VALUE,                     /* Namespace, key, value: always. */
    PLACE_NS_KEY,                       /* Namespace, key.  These from when a term first needs it. */
    PLACE_VALUE,                        /* Key, value. */
    PLACE_KEY,                          /* Key. */
    N_PLACES
};

struct class_node {
    struct hindex_node node;            /* In 'class_index'. */
    struct class *class;
};

struct class {
    struct hmap_node node;              /* In 'classes', by content, until its end was popped. */
    struct match_class up;
    struct class *next;                 /* In the queue. */
    struct match_ns *ns;
    struct ovs_list in_ns;              /* In 'ns->classes' while it has pods. */
    struct class_node *nodes;           /* For each place in use, one per label; 'own' if there is room. */
    struct pod_set pods;
    uint32_t n_settled;                 /* Of 'up.terms': sorted, each once. */
    uint32_t allocated;
    uint32_t n_own;
    bool queued;
    bool report;                        /* Something is to be told of it. */
    bool stale;                         /* Some of 'up.terms' may not select it any more. */
    struct class_node own[];
};

/* A namespace that has classes or an object. */
struct match_ns {
    struct hmap_node node;              /* In 'namespaces', by name. */
    const char *name;
    const struct labels *labels;        /* With kubernetes.io/metadata.name. */
    uint32_t hash;
    bool known;                         /* There is an object. */
    struct ovs_list classes;
    size_t n_classes;                   /* With those that have no pods any more. */
    struct ns_place *places;            /* Its scopes. */
    size_t n_places;
};

struct ns_place {
    struct ovs_list node;               /* In 'scope->namespaces'. */
    struct match_ns *ns;
    struct scope *scope;
};

struct scope {
    struct hmap_node node;              /* In 'scopes'. */
    struct ovs_list namespaces;
    struct ovs_list terms;              /* Those that a change of a namespace's labels concerns. */
    uint32_t n_namespaces, n_terms;
    uint32_t n_value, n_key, n_rest;    /* Terms by kind of pivot. */
    const char *key;                    /* In 'text'.  NULL: every namespace. */
    const char *value;                  /* NULL: any. */
    char text[];
};

struct term_place {
    struct ovs_list node;               /* In 'scope->terms' if the term selects namespaces by label, else alone. */
    struct term *term;
    struct scope *scope;
};

struct term_node {
    struct hindex_node node;            /* In 'term_index'. */
    struct term *term;
};

struct term {
    struct hmap_node node;              /* In 'terms', by hash, while it is referenced. */
    struct match_term up;
    struct term *next;                  /* In 'dead'. */
    const struct kube_requirement *pivot;       /* Of the pods.  NULL: none that could be. */
    struct term_place *places;
    struct term_node *nodes;            /* For each place, one per value of the pivot, or one. */
    uint32_t n_places;
    uint32_t n_pivots;                  /* Nodes per place. */
    struct term_place own_place;        /* That is 'places' if one is enough. */
    struct term_node own_node;
    struct kube_selector selectors[2];  /* Of namespaces, of pods. */
};

struct policy_match {
    struct hmap classes;
    struct hmap namespaces;
    struct hmap terms;
    struct hmap scopes;
    struct hindex class_index;
    struct hindex term_index;
    struct scope *everywhere;           /* Terms that no label of their namespace is required for. */
    enum class_place places[N_PLACES];  /* In use, in the order of 'nodes' of classes. */
    size_t n_places;
    size_t n_classes;                   /* With pods. */
    struct class *first, *last;         /* The queue. */
    struct class *ended;                /* Was popped last, and had no pods any more. */
    struct term *dead;                  /* Arrays of classes may still have them. */
};

/* policy-match.c. */
void class_add_term(struct policy_match *, struct class *, struct term *);
/* Some of its terms do not select it any more. */
void class_lose_terms(struct policy_match *, struct class *);
/* It is to be popped, changed or not. */
void class_touch(struct policy_match *, struct class *);

/* policy-match-ns.c. */
struct match_ns *ns_get(struct policy_match *, const char *name);
/* Frees it if nothing is known of it. */
void ns_release(struct policy_match *, struct match_ns *);

/* policy-match-term.c. */
uint64_t term_hash(const char *namespace_, const struct kube_selector *namespaces, const struct kube_selector *pods);
struct term *term_find(const struct policy_match *, uint64_t hash, const char *namespace_,
                       const struct kube_selector *namespaces, const struct kube_selector *pods);
struct term *term_create(const char *namespace_, const struct kube_selector *namespaces,
                         const struct kube_selector *pods);
void term_destroy(struct term *);
/* By hash, then by content. */
int term_compare(const struct match_term *, const struct match_term *);
/* Its scope has the namespace, and it is referenced. */
bool term_reaches(const struct term *, const struct match_ns *);

/* policy-match-index.c. */
void index_create(struct policy_match *);
void index_destroy(struct policy_match *);
/* Puts it there, and adds the terms that select it. */
void index_add_class(struct policy_match *, struct class *);
void index_remove_class(struct policy_match *, struct class *);
/* Puts it there, and adds it to the classes that it selects; takes it away, and lets those know. */
void index_add_term(struct policy_match *, struct term *);
void index_remove_term(struct policy_match *, struct term *);
/* Calls class_touch() for each class that it selects. */
void index_touch_term(struct policy_match *, struct term *);
/* The namespace has other labels from now on; takes the reference. */
void index_set_labels(struct policy_match *, struct match_ns *, const struct labels *);

/* Where things stand in the indexes: 'in' is a scope's hash or a namespace's.  Who finds a node looks whether it is
 * the right one. */

static inline size_t
value_hash(uint32_t in, const char *key, const char *value)
{
    return hash_string(value, hash_string(key, in));
}

static inline size_t
key_hash(uint32_t in, const char *key)
{
    return hash_string(key, ~in);
}

static inline size_t
rest_hash(uint32_t in)
{
    return hash_int(in, 1);
}

static inline bool
requires(const struct kube_requirement *r)
{
    return r->op == KUBE_OP_IN || r->op == KUBE_OP_EXISTS;
}

/* policy-match-visit.c. */
void index_put_class(struct policy_match *, struct class *);
void index_take_class(struct policy_match *, struct class *);
/* The requirement under which the fewest stand in an index; In goes before Exists.  NULL: there is none. */
const struct kube_requirement *index_narrowest(const struct hindex *, uint32_t in, const struct kube_selector *);

typedef void class_cb(struct policy_match *, struct class *, struct term *);
/* All classes that the term selects. */
void index_visit(struct policy_match *, struct term *, class_cb *);
/* The classes of a namespace that the term's pods select. */
void index_visit_ns(struct policy_match *, struct term *, struct match_ns *, class_cb *);

#endif /* controller/policy-match-private.h */
