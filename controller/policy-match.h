#ifndef SLUICE_POLICY_MATCH_H
#define SLUICE_POLICY_MATCH_H 1

/* Which pods does a selector select, and which selectors select a pod?
 *
 * Pods that no selector can tell apart are one class: the same namespace, the same labels, the same named ports.  A term
 * is a selector of pods together with its scope: the pods of one namespace, or of the namespaces that a selector selects.
 * The index keeps, for each class, the terms that select it, and follows what changes of pods, of namespaces' labels and
 * of terms at a cost that depends on what could match and not on how many terms or classes there are: terms stand under
 * one of the labels that they require (key and value, or key), or in the rest of their scope; classes stand under their
 * namespace and each of their labels.
 *
 * The policy core (policy.h) has two: one of its node's own pods and the subjects of all policies, one of the cluster's
 * pods and the peers of those policies that are relevant on the node.
 *
 * A pod's namespace need not be known: then it has the label kubernetes.io/metadata.name alone (networkpolicy 11), which
 * every namespace has, whatever its object says.
 *
 * Pure.  Labels and strings are compared by content if their pointers differ (intern.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/kube-policy.h"
#include "controller/kube-types.h"

struct policy_match;

/* Pods that no selector can tell apart. */
struct match_class {
    const char *namespace_;
    const struct labels *labels;
    const char *const *ports;           /* As in struct kube_pod. */
    size_t n_pods;
    struct match_term **terms;          /* That select it, by increasing hash, then by content.  As they are when the
                                         * class is got from a function below; old until then if something changed. */
    size_t n_terms;
    void *aux;                          /* The user's; NULL at first. */
};

/* What selects. */
struct match_term {
    uint64_t hash;                      /* Of the content, the same in every process. */
    const char *namespace_;             /* Its scope: this namespace, */
    const struct kube_selector *namespaces;     /* or (namespace_ is NULL) the namespaces that this selects. */
    const struct kube_selector *pods;
    unsigned int n_refs;
    size_t n_classes;                   /* How many classes it selects; always up to date. */
    void *aux;                          /* The user's; NULL at first. */
};

struct policy_match *policy_match_create(void);
void policy_match_destroy(struct policy_match *);

/* A namespace came or changed (its object is read during the call only), or went (NULL). */
void policy_match_namespace(struct policy_match *, const char *name, const struct kube_namespace *);

/* Adds and removes a pod, which must stay as it is in between.  The same pod (pointer) at most once.  Both take about
 * constant time, however many pods the class has.  A pod costs at most 16 bytes beside its class. */
struct match_class *policy_match_add_pod(struct policy_match *, const struct kube_pod *);
void policy_match_remove_pod(struct policy_match *, const struct kube_pod *);
/* The class of a pod that was added. */
struct match_class *policy_match_find(const struct policy_match *, const struct kube_pod *);
void policy_match_for_each_pod(const struct match_class *, void (*cb)(const struct kube_pod *, void *aux), void *aux);
void policy_match_for_each_class(const struct policy_match *, void (*cb)(struct match_class *, void *aux), void *aux);

/* The term of this content; it is made if there is none.  Copies the selectors. */
struct match_term *policy_match_term_ref(struct policy_match *, const char *namespace_,
                                         const struct kube_selector *namespaces, const struct kube_selector *pods);
/* The last one removes it: no class has it any more.  'term' is good until policy_match_pop_changed() says NULL. */
void policy_match_term_unref(struct policy_match *, struct match_term *);
/* Has policy_match_pop_changed() give all classes that the term selects: what it stands for has changed. */
void policy_match_touch(struct policy_match *, struct match_term *);

/* A class that came (n_terms counts from the start), whose terms changed, or that lost its last pod (n_pods is 0: the
 * user lets go of it before the next call; it is freed then).  Each once.  NULL: nothing.  Classes are those of the last
 * event: one that lost its last pod and got another before it was popped is the same (with its 'aux'), and one that came
 * and went is popped too, with n_pods 0 and n_terms 0. */
struct match_class *policy_match_pop_changed(struct policy_match *);

size_t policy_match_n_classes(const struct policy_match *);
size_t policy_match_n_terms(const struct policy_match *);

#endif /* controller/policy-match.h */
