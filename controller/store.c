#include <config.h>

#include "controller/store.h"

#include <string.h>

#include "hash.h"
#include "intern.h"
#include "openvswitch/list.h"
#include "util.h"

/* A key that changed since it was popped last.  Its strings are those of 'holder', which stays as long: the object as
 * it was then, or, if there was none, the one that came. */
struct change {
    struct hmap_node node;              /* In 'changed', by key. */
    struct ovs_list list;               /* In 'changes'. */
    const struct kube_object *holder;
    bool existed;
};

struct store {
    struct hmap objects[KUBE_N_KINDS];  /* Has "struct kube_object"s, by their 'node'. */
    uint64_t seqno[KUBE_N_KINDS];
    struct hmap changed;                /* Has "struct change"s... */
    struct ovs_list changes;            /* ...also in the order of their first change. */
    struct intern *pool;
};

static uint32_t
hash_key(enum kube_kind kind, const char *namespace_, const char *name)
{
    return hash_string(name, hash_string(namespace_, kind));
}

struct store *
store_create(void)
{
    struct store *store = xzalloc(sizeof *store);

    for (size_t i = 0; i < KUBE_N_KINDS; i++) {
        hmap_init(&store->objects[i]);
    }
    store->pool = intern_create();
    hmap_init(&store->changed);
    ovs_list_init(&store->changes);
    return store;
}

void
store_destroy(struct store *store)
{
    if (!store) {
        return;
    }

    struct store_key key;
    while (store_pop_change(store, &key)) {
        store_key_destroy(&key);
    }
    hmap_destroy(&store->changed);
    for (size_t i = 0; i < KUBE_N_KINDS; i++) {
        struct kube_object *object;

        HMAP_FOR_EACH_POP (object, node, &store->objects[i]) {
            kube_object_destroy(object);
        }
        hmap_destroy(&store->objects[i]);
    }
    intern_destroy(store->pool);
    free(store);
}

struct intern *
store_pool(const struct store *store)
{
    return store->pool;
}

static struct kube_object *
find(const struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    struct kube_object *object;

    HMAP_FOR_EACH_WITH_HASH (object, node, hash_key(kind, namespace_, name), &store->objects[kind]) {
        if (!strcmp(object->name, name) && !strcmp(object->namespace_, namespace_)) {
            return object;
        }
    }
    return NULL;
}

/* 'object' is what was there before the change or, if there was nothing, what came. */
static void
note_change(struct store *store, const struct kube_object *object, bool existed)
{
    uint32_t hash = hash_key(object->kind, object->namespace_, object->name);
    struct change *change;

    store->seqno[object->kind]++;
    HMAP_FOR_EACH_WITH_HASH (change, node, hash, &store->changed) {
        if (change->holder->kind == object->kind && !strcmp(change->holder->name, object->name)
            && !strcmp(change->holder->namespace_, object->namespace_)) {
            return;
        }
    }
    change = xmalloc(sizeof *change);
    change->holder = kube_object_ref(object);
    change->existed = existed;
    hmap_insert(&store->changed, &change->node, hash);
    ovs_list_push_back(&store->changes, &change->list);
}

void
store_put(struct store *store, struct kube_object *object)
{
    struct kube_object *old = find(store, object->kind, object->namespace_, object->name);

    kube_object_share(object, store->pool);
    object->marked = false;
    if (!old) {
        hmap_insert(&store->objects[object->kind], &object->node,
                    hash_key(object->kind, object->namespace_, object->name));
        note_change(store, object, false);
        return;
    }
    old->marked = false;
    if (kube_object_equal(old, object)) {
        kube_object_destroy(object);
        return;
    }
    note_change(store, old, true);
    object->node.hash = old->node.hash;
    hmap_replace(&store->objects[object->kind], &old->node, &object->node);
    kube_object_destroy(old);
}

bool
store_put_closed(struct store *store, struct kube_object *object)
{
    struct kube_object *old = find(store, object->kind, object->namespace_, object->name);

    if (old && !kube_object_problem(old) && (kube_uid_is_none(&object->uid) || kube_uid_equal(&old->uid, &object->uid))) {
        old->marked = false;
        kube_object_destroy(object);
        return false;
    }
    store_put(store, object);
    return true;
}

static void
remove_object(struct store *store, struct kube_object *object)
{
    note_change(store, object, true);
    hmap_remove(&store->objects[object->kind], &object->node);
    kube_object_destroy(object);
}

void
store_remove(struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    struct kube_object *object = find(store, kind, namespace_, name);

    if (object) {
        remove_object(store, object);
    }
}

void
store_mark(struct store *store, enum kube_kind kind)
{
    struct kube_object *object;

    HMAP_FOR_EACH (object, node, &store->objects[kind]) {
        object->marked = true;
    }
}

void
store_keep(struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    struct kube_object *object = find(store, kind, namespace_, name);

    if (object) {
        object->marked = false;
    }
}

void
store_sweep(struct store *store, enum kube_kind kind)
{
    struct kube_object *object;

    HMAP_FOR_EACH_SAFE (object, node, &store->objects[kind]) {
        if (object->marked) {
            remove_object(store, object);
        }
    }
}

const struct kube_object *
store_get(const struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    return find(store, kind, namespace_, name);
}

size_t
store_count(const struct store *store, enum kube_kind kind)
{
    return hmap_count(&store->objects[kind]);
}

void
store_for_each(const struct store *store, enum kube_kind kind, void (*cb)(const struct kube_object *, void *aux),
               void *aux)
{
    const struct kube_object *object;

    HMAP_FOR_EACH (object, node, &store->objects[kind]) {
        cb(object, aux);
    }
}

uint64_t
store_seqno(const struct store *store, enum kube_kind kind)
{
    return store->seqno[kind];
}

bool
store_pop_change(struct store *store, struct store_key *key)
{
    if (ovs_list_is_empty(&store->changes)) {
        return false;
    }

    struct change *change = CONTAINER_OF(ovs_list_pop_front(&store->changes), struct change, list);
    hmap_remove(&store->changed, &change->node);
    if (hmap_is_empty(&store->changed)) {
        hmap_shrink(&store->changed);           /* After a list of everything. */
    }
    *key = (struct store_key) {
        .kind = change->holder->kind, .namespace_ = change->holder->namespace_, .name = change->holder->name,
        .old = change->existed ? change->holder : NULL, .holder = change->holder,
    };
    free(change);
    return true;
}

void
store_key_destroy(struct store_key *key)
{
    kube_object_destroy(key->holder);
}
