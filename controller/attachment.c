#include <config.h>

#include "attachment-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "sset.h"
#include "util.h"

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct attachments *
attachments_create(struct ipam *ipam, const char *boot_id)
{
    struct attachments *t = xzalloc(sizeof *t);
    t->ipam = ipam;
    t->boot_id = xstrdup(boot_id);
    hmap_init(&t->by_key);
    hmap_init(&t->by_id);
    hmap_init(&t->unknown);
    ovs_list_init(&t->busy);
    ovs_list_init(&t->effects);
    ovs_list_init(&t->gcs);
    shash_init(&t->host_names);
    shash_init(&t->owners);
    t->ofports = bitmap_allocate(OFPORT_LAST_POD + 1);
    t->next_ofport = OFPORT_FIRST_POD;
    t->next_id = 1;
    t->why_not = xstrdup("sluiced is starting");
    hmap_init(&t->tombstones);
    ovs_list_init(&t->tombstone_order);
    hmap_init(&t->old_addresses);
    return t;
}

static void
tombstone_free(struct attachments *t, struct tombstone *ts)
{
    hmap_remove(&t->tombstones, &ts->hmap_node);
    ovs_list_remove(&ts->list_node);
    free(ts->network);
    free(ts->container_id);
    free(ts->ifname);
    free(ts);
}

void
attachments_destroy(struct attachments *t)
{
    if (!t) {
        return;
    }
    struct attachment_effect *effect;
    while ((effect = attachments_pop(t))) {
        attachment_effect_destroy(effect);
    }
    struct attachment *a;
    HMAP_FOR_EACH_SAFE (a, id_node, &t->by_id) {
        attachment_forget_(a);
    }
    struct tombstone *ts;
    LIST_FOR_EACH_SAFE (ts, list_node, &t->tombstone_order) {
        tombstone_free(t, ts);
    }
    struct gc *gc;
    LIST_FOR_EACH_SAFE (gc, node, &t->gcs) {
        attachments_gc_free_(gc);
    }
    struct old_address *old;
    HMAP_FOR_EACH_POP (old, node, &t->old_addresses) {
        free(old);
    }
    hmap_destroy(&t->by_key);
    hmap_destroy(&t->by_id);
    hmap_destroy(&t->unknown);
    hmap_destroy(&t->tombstones);
    hmap_destroy(&t->old_addresses);
    shash_destroy(&t->host_names);
    shash_destroy(&t->owners);
    bitmap_free(t->ofports);
    free(t->unacked);
    free(t->why_not);
    free(t->boot_id);
    free(t);
}

void
attachments_dataplane_clean(struct attachments *t)
{
    for (size_t i = 0; i < t->n_unacked; i++) {
        ipam_acknowledge(t->ipam, &t->unacked[i]);
    }
    free(t->unacked);
    t->unacked = NULL;
    t->n_unacked = t->allocated_unacked = 0;
}

/* Configuration. ------------------------------------------------------------------------------------------------- */

static void
admit_waiting(struct attachments *t, long long int now)
{
    struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        if (a->state == ATTACHMENT_WAITING) {
            attachment_admit_(a, now);
        }
    }
}

void
attachments_set_ready(struct attachments *t, const char *why_not, long long int now)
{
    char *copy = nullable_xstrdup(why_not);
    free(t->why_not);
    t->why_not = copy;
    if (!why_not) {
        admit_waiting(t, now);
    }
}

int
attachments_set_pools(struct attachments *t, const struct inet_prefix *pools, size_t n, long long int now,
                      struct error *error)
{
    int code = ipam_set_pools(t->ipam, pools, n, error);
    if (!code) {
        memcpy(t->pools, pools, n * sizeof *pools);
        t->n_pools = n;
        admit_waiting(t, now);
    }
    return code;
}

void
attachments_set_mtu(struct attachments *t, uint16_t mtu, long long int now)
{
    t->mtu = mtu;

    struct attachment *a;
    HMAP_FOR_EACH (a, id_node, &t->by_id) {
        if (a->state == ATTACHMENT_UP) {
            attachment_follow_mtu_(a);
        }
    }
    admit_waiting(t, now);
}

/* Effects. ------------------------------------------------------------------------------------------------------- */

static struct attachment *
attachment_ref(struct attachment *a)
{
    a->ref_count++;
    return a;
}

void
attachment_unref_(struct attachment *a)
{
    if (!a || --a->ref_count) {
        return;
    }
    struct waiter *w;
    LIST_FOR_EACH_SAFE (w, node, &a->waiters) {
        free(w);
    }
    free(a->network);
    free(a->container_id);
    free(a->ifname);
    free(a->netns);
    free(a->pod_namespace);
    free(a->pod_name);
    free(a->pod_uid);
    free(a->owner);
    free(a->ips);
    free(a->routes);
    free(a->ports);
    free(a->wishes);
    free(a->boot_id);
    free(a->fail_message);
    free(a);
}

struct attachment_effect *
attachment_emit_(struct attachments *t, struct attachment *a, enum attachment_effect_type type)
{
    struct attachment_effect *effect = xzalloc(sizeof *effect);
    effect->type = type;
    effect->attachment = a ? attachment_ref(a) : NULL;
    ovs_list_push_back(&t->effects, &effect->node);
    return effect;
}

struct attachment_effect *
attachments_pop(struct attachments *t)
{
    return ovs_list_is_empty(&t->effects) ? NULL
           : CONTAINER_OF(ovs_list_pop_front(&t->effects), struct attachment_effect, node);
}

void
attachment_effect_destroy(struct attachment_effect *effect)
{
    if (effect) {
        attachment_unref_(effect->attachment);
        free(effect->record);
        cni_reply_destroy(&effect->reply);
        free(effect);
    }
}

void
attachment_reply_(struct attachments *t, uint64_t request, enum cni_code code, const char *message)
{
    struct attachment_effect *effect = attachment_emit_(t, NULL, ATTACHMENT_REPLY);
    effect->request = request;
    effect->reply.code = code;
    effect->reply.message = nullable_xstrdup(message);
}

void
attachment_replyf_(struct attachments *t, uint64_t request, enum cni_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = xvasprintf(format, args);
    va_end(args);
    attachment_reply_(t, request, code, message);
    free(message);
}

/* The table. ----------------------------------------------------------------------------------------------------- */

static uint32_t
hash_key(const char *network, const char *container_id, const char *ifname)
{
    return hash_string(ifname, hash_string(container_id, hash_string(network, 0)));
}

struct attachment *
attachment_create_(struct attachments *t, const char *network, const char *container_id, const char *ifname)
{
    struct attachment *a = xzalloc(sizeof *a);
    a->table = t;
    a->ref_count = 1;
    a->known = true;
    a->network = xstrdup(network);
    a->container_id = xstrdup(container_id);
    a->ifname = xstrdup(ifname);
    a->boot_id = xstrdup(t->boot_id);
    ovs_list_init(&a->busy_node);
    ovs_list_init(&a->waiters);
    return a;
}

void
attachment_insert_(struct attachment *a, enum attachment_state state)
{
    struct attachments *t = a->table;
    a->id = t->next_id++;
    a->state = state;
    t->counts[state]++;
    hmap_insert(&t->by_id, &a->id_node, hash_uint64(a->id));
    hmap_insert(&t->by_key, &a->key_node, hash_key(a->network, a->container_id, a->ifname));
    a->keyed = true;
    if (state != ATTACHMENT_UP) {
        ovs_list_push_back(&t->busy, &a->busy_node);
    }
}

void
attachment_set_state_(struct attachment *a, enum attachment_state state)
{
    struct attachments *t = a->table;
    t->counts[a->state]--;
    t->counts[state]++;
    a->state = state;
    ovs_list_remove(&a->busy_node);
    ovs_list_init(&a->busy_node);
    if (state != ATTACHMENT_UP) {
        ovs_list_push_back(&t->busy, &a->busy_node);
    }
}

void
attachment_unkey_(struct attachment *a)
{
    if (a->keyed) {
        hmap_remove(&a->table->by_key, &a->key_node);
        a->keyed = false;
    }
}

void
attachment_forget_(struct attachment *a)
{
    struct attachments *t = a->table;
    attachment_unkey_(a);
    attachment_unawait_(a);
    hmap_remove(&t->by_id, &a->id_node);
    ovs_list_remove(&a->busy_node);
    ovs_list_init(&a->busy_node);
    t->counts[a->state]--;
    if (a->ofport) {
        shash_find_and_delete(&t->host_names, a->host_name);
        attachment_drop_owner_(a);
        bitmap_set0(t->ofports, ofp_to_u16(a->ofport));
    }
    attachment_unref_(a);
}

struct attachment *
attachment_find_(const struct attachments *t, const char *network, const char *container_id, const char *ifname)
{
    struct attachment *a;
    HMAP_FOR_EACH_WITH_HASH (a, key_node, hash_key(network, container_id, ifname), &t->by_key) {
        if (!strcmp(a->network, network) && !strcmp(a->container_id, container_id) && !strcmp(a->ifname, ifname)) {
            return a;
        }
    }
    return NULL;
}

const struct attachment *
attachments_find(const struct attachments *t, const char *network, const char *container_id, const char *ifname)
{
    return attachment_find_(t, network, container_id, ifname);
}

const struct attachment *
attachments_get(const struct attachments *t, uint64_t id)
{
    struct attachment *a;
    HMAP_FOR_EACH_WITH_HASH (a, id_node, hash_uint64(id), &t->by_id) {
        if (a->id == id) {
            return a;
        }
    }
    return NULL;
}

size_t
attachments_count(const struct attachments *t, enum attachment_state state)
{
    return t->counts[state];
}

void
attachments_for_each(const struct attachments *t, void (*cb)(const struct attachment *, void *aux), void *aux)
{
    const struct attachment *a;
    HMAP_FOR_EACH_SAFE (a, id_node, &t->by_id) {
        cb(a, aux);
    }
}

/* Numbers. ------------------------------------------------------------------------------------------------------- */

void
attachment_take_numbers_(struct attachment *a)
{
    struct attachments *t = a->table;
    shash_add(&t->host_names, a->host_name, a);
    shash_add(&t->owners, a->owner, a);
    a->owner_taken = true;
    bitmap_set1(t->ofports, ofp_to_u16(a->ofport));
    t->next_ofport = ofp_to_u16(a->ofport) + 1;
}

void
attachment_drop_owner_(struct attachment *a)
{
    if (a->owner_taken) {
        shash_find_and_delete(&a->table->owners, a->owner);
        a->owner_taken = false;
    }
}

/* Tombstones. ---------------------------------------------------------------------------------------------------- */

const struct tombstone *
tombstone_find_(const struct attachments *t, const char *network, const char *container_id, const char *ifname)
{
    const struct tombstone *ts;
    HMAP_FOR_EACH_WITH_HASH (ts, hmap_node, hash_key(network, container_id, ifname), &t->tombstones) {
        if (!strcmp(ts->network, network) && !strcmp(ts->container_id, container_id) && !strcmp(ts->ifname, ifname)) {
            return ts;
        }
    }
    return NULL;
}

void
tombstone_add_(struct attachments *t, const char *network, const char *container_id, const char *ifname,
               long long int time)
{
    const struct tombstone *old = tombstone_find_(t, network, container_id, ifname);
    if (old) {
        tombstone_free(t, CONST_CAST(struct tombstone *, old));
    }
    struct tombstone *ts = xmalloc(sizeof *ts);
    ts->network = xstrdup(network);
    ts->container_id = xstrdup(container_id);
    ts->ifname = xstrdup(ifname);
    ts->time = time;
    hmap_insert(&t->tombstones, &ts->hmap_node, hash_key(network, container_id, ifname));
    ovs_list_push_back(&t->tombstone_order, &ts->list_node);
    while (hmap_count(&t->tombstones) > ATTACHMENT_MAX_TOMBSTONES
           || CONTAINER_OF(ovs_list_front(&t->tombstone_order), struct tombstone, list_node)->time
              < time - ATTACHMENT_TOMBSTONE_MS) {
        tombstone_free(t, CONTAINER_OF(ovs_list_front(&t->tombstone_order), struct tombstone, list_node));
    }
}
