#ifndef SLUICE_STORE_H
#define SLUICE_STORE_H 1

/* The typed store: every Kubernetes object that the node knows, by kind, namespace and name.
 *
 * Sources (source-dir.h; the API) put and remove; the dataplane reads and follows the list of changes.  An object that
 * is put again unchanged makes no change.  The objects' strings, labels and the like are values of the store's own pool
 * (intern.h): equal label sets are one pointer.  Pure: no I/O, no clock. */

#include <stdint.h>

#include "kube-types.h"
#include "openvswitch/hmap.h"

struct store;

struct store *store_create(void);
void store_destroy(struct store *);
/* The pool of the objects' values. */
struct intern *store_pool(const struct store *);

/* Takes 'object', replacing the one of the same kind, namespace and name. */
void store_put(struct store *, struct kube_object *);
/* The same with one of kube_object_decode_closed(): not if the object's last good version is there, which stays (and is
 * kept, see below); true if it took its place.  By UID another object is not its last version. */
bool store_put_closed(struct store *, struct kube_object *);
void store_remove(struct store *, enum kube_kind, const char *namespace_, const char *name);

/* For a source that lists a kind anew: mark all of its objects; store_put(), also of an unchanged one, and store_keep()
 * take an object's mark away; sweep removes those that have theirs still. */
void store_mark(struct store *, enum kube_kind);
void store_keep(struct store *, enum kube_kind, const char *namespace_, const char *name);
void store_sweep(struct store *, enum kube_kind);

/* NULL if there is none.  Good until that object is put or removed, or longer with kube_object_ref(). */
const struct kube_object *store_get(const struct store *, enum kube_kind, const char *namespace_, const char *name);
size_t store_count(const struct store *, enum kube_kind);
/* In no order; 'cb' must not change the store. */
void store_for_each(const struct store *, enum kube_kind, void (*cb)(const struct kube_object *, void *aux), void *aux);

/* Counts changes: differs whenever the content of the kind differs. */
uint64_t store_seqno(const struct store *, enum kube_kind);

/* What changed since it was popped last, each key once, oldest first.  The consumer (there is one) looks the object up
 * with store_get(): NULL means that it was removed.  False: nothing. */
struct store_key {
    enum kube_kind kind;
    const char *namespace_, *name;      /* Good until store_key_destroy(). */
    const struct kube_object *old;      /* Likewise.  The object when its key was popped last; NULL: there was none. */
    const struct kube_object *holder;   /* Private: whose strings they are. */
};
bool store_pop_change(struct store *, struct store_key *);
void store_key_destroy(struct store_key *);

#endif /* controller/store.h */
