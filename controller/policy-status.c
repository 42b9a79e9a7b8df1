#include <config.h>

#include "controller/policy-status.h"

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "util.h"

struct entry {
    struct hmap_node node;              /* In 'entries', by 'object'. */
    struct ovs_list list;               /* In 'changed', then 'declared', then none. */
    const struct kube_object *object;
    uint64_t version;                   /* UINT64_MAX: not declared yet. */
    long long int since;                /* 0: not in place. */
};

struct policy_status {
    struct hmap entries;
    struct ovs_list changed;            /* Not declared yet. */
    struct ovs_list declared;           /* Not acknowledged yet; by version. */
    size_t n_pending;                   /* In both lists. */
};

struct policy_status *
policy_status_create(void)
{
    struct policy_status *ps = xzalloc(sizeof *ps);

    hmap_init(&ps->entries);
    ovs_list_init(&ps->changed);
    ovs_list_init(&ps->declared);
    return ps;
}

void
policy_status_destroy(struct policy_status *ps)
{
    if (ps) {
        struct entry *e;

        HMAP_FOR_EACH_POP (e, node, &ps->entries) {
            free(e);
        }
        hmap_destroy(&ps->entries);
        free(ps);
    }
}

static struct entry *
find(const struct policy_status *ps, const struct kube_object *object)
{
    struct entry *e;

    HMAP_FOR_EACH_WITH_HASH (e, node, hash_pointer(object, 0), &ps->entries) {
        if (e->object == object) {
            return e;
        }
    }
    return NULL;
}

/* No longer in a list. */
static void
settle(struct policy_status *ps, struct entry *e)
{
    if (!e->since) {
        ovs_list_remove(&e->list);
        ps->n_pending--;
    }
}

void
policy_status_changed(struct policy_status *ps, const struct kube_object *old, const struct kube_object *new)
{
    struct entry *e = old ? find(ps, old) : NULL;

    if (e) {
        hmap_remove(&ps->entries, &e->node);
        settle(ps, e);
    }
    if (!new) {
        free(e);
        return;
    }
    e = e ? e : xmalloc(sizeof *e);
    e->object = new;
    e->version = UINT64_MAX;
    e->since = 0;
    hmap_insert(&ps->entries, &e->node, hash_pointer(new, 0));
    ovs_list_push_back(&ps->changed, &e->list);
    ps->n_pending++;
}

void
policy_status_declared(struct policy_status *ps, uint64_t version)
{
    struct entry *e;

    LIST_FOR_EACH (e, list, &ps->changed) {
        e->version = version;
    }
    ovs_list_push_back_all(&ps->declared, &ps->changed);
}

void
policy_status_acked(struct policy_status *ps, uint64_t acked, long long int now)
{
    struct entry *e;

    LIST_FOR_EACH_SAFE (e, list, &ps->declared) {
        if (e->version > acked) {
            break;
        }
        settle(ps, e);
        e->since = now;
    }
}

bool
policy_status_get(const struct policy_status *ps, const struct kube_object *object, uint64_t acked,
                  long long int *since)
{
    const struct entry *e = find(ps, object);

    *since = e ? e->since : 0;
    return e && e->since && e->version <= acked;
}

size_t
policy_status_n_pending(const struct policy_status *ps)
{
    return ps->n_pending;
}
