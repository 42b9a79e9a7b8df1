#include <config.h>

#include "controller/store.h"

#include <string.h>

#include "hash.h"
#include "openvswitch/list.h"
#include "util.h"

struct entry {
    struct hmap_node node;              /* In 'objects' of its kind. */
    struct kube_object *object;
    bool marked;                        /* Not seen since store_mark(). */
};

struct change {
    struct hmap_node node;              /* In 'changed', by key. */
    struct ovs_list list;               /* In 'changes'. */
    struct store_key key;
};

struct store {
    struct hmap objects[KUBE_N_KINDS];  /* Has "struct entry"s. */
    uint64_t seqno[KUBE_N_KINDS];
    struct hmap changed;                /* Has "struct change"s... */
    struct ovs_list changes;            /* ...also in the order of their first change. */
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
        struct entry *entry;

        HMAP_FOR_EACH_POP (entry, node, &store->objects[i]) {
            kube_object_destroy(entry->object);
            free(entry);
        }
        hmap_destroy(&store->objects[i]);
    }
    free(store);
}

static struct entry *
find(const struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, hash_key(kind, namespace_, name), &store->objects[kind]) {
        if (!strcmp(entry->object->name, name) && !strcmp(entry->object->namespace_, namespace_)) {
            return entry;
        }
    }
    return NULL;
}

static void
note_change(struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    uint32_t hash = hash_key(kind, namespace_, name);
    struct change *change;

    store->seqno[kind]++;
    HMAP_FOR_EACH_WITH_HASH (change, node, hash, &store->changed) {
        if (change->key.kind == kind && !strcmp(change->key.name, name) && !strcmp(change->key.namespace_, namespace_)) {
            return;
        }
    }
    change = xmalloc(sizeof *change);
    change->key = (struct store_key) { kind, xstrdup(namespace_), xstrdup(name) };
    hmap_insert(&store->changed, &change->node, hash);
    ovs_list_push_back(&store->changes, &change->list);
}

void
store_put(struct store *store, struct kube_object *object)
{
    struct entry *entry = find(store, object->kind, object->namespace_, object->name);

    if (entry) {
        entry->marked = false;
        if (kube_object_equal(entry->object, object)) {
            kube_object_destroy(object);
            return;
        }
        kube_object_destroy(entry->object);
    } else {
        entry = xmalloc(sizeof *entry);
        entry->marked = false;
        hmap_insert(&store->objects[object->kind], &entry->node,
                    hash_key(object->kind, object->namespace_, object->name));
    }
    entry->object = object;
    note_change(store, object->kind, object->namespace_, object->name);
}

static void
remove_entry(struct store *store, enum kube_kind kind, struct entry *entry)
{
    note_change(store, kind, entry->object->namespace_, entry->object->name);
    hmap_remove(&store->objects[kind], &entry->node);
    kube_object_destroy(entry->object);
    free(entry);
}

void
store_remove(struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    struct entry *entry = find(store, kind, namespace_, name);

    if (entry) {
        remove_entry(store, kind, entry);
    }
}

void
store_mark(struct store *store, enum kube_kind kind)
{
    struct entry *entry;

    HMAP_FOR_EACH (entry, node, &store->objects[kind]) {
        entry->marked = true;
    }
}

void
store_keep(struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    struct entry *entry = find(store, kind, namespace_, name);

    if (entry) {
        entry->marked = false;
    }
}

void
store_sweep(struct store *store, enum kube_kind kind)
{
    struct entry *entry;

    HMAP_FOR_EACH_SAFE (entry, node, &store->objects[kind]) {
        if (entry->marked) {
            remove_entry(store, kind, entry);
        }
    }
}

const struct kube_object *
store_get(const struct store *store, enum kube_kind kind, const char *namespace_, const char *name)
{
    const struct entry *entry = find(store, kind, namespace_, name);
    return entry ? entry->object : NULL;
}

size_t
store_count(const struct store *store, enum kube_kind kind)
{
    return hmap_count(&store->objects[kind]);
}

void
store_for_each(const struct store *store, enum kube_kind kind, void (*cb)(const struct kube_object *, void *aux), void *aux)
{
    const struct entry *entry;

    HMAP_FOR_EACH (entry, node, &store->objects[kind]) {
        cb(entry->object, aux);
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
    *key = change->key;
    free(change);
    return true;
}

void
store_key_destroy(struct store_key *key)
{
    free(key->namespace_);
    free(key->name);
}
