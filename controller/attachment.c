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

static void admit(struct attachment *, long long int now);
static int parse_wishes(struct attachment *, const struct cni_request *, struct error *);

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct attachments *
attachments_create(struct ipam *ipam, const char *boot_id)
{
    struct attachments *t = xzalloc(sizeof *t);
    t->ipam = ipam;
    t->boot_id = xstrdup(boot_id);
    hmap_init(&t->by_key);
    hmap_init(&t->by_id);
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

static void
gc_free(struct gc *gc)
{
    ovs_list_remove(&gc->node);
    free(gc->errors);
    free(gc);
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
        gc_free(gc);
    }
    struct old_address *old;
    HMAP_FOR_EACH_POP (old, node, &t->old_addresses) {
        free(old);
    }
    hmap_destroy(&t->by_key);
    hmap_destroy(&t->by_id);
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
            admit(a, now);
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

static void
attachment_unref(struct attachment *a)
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
        attachment_unref(effect->attachment);
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

static void OVS_PRINTF_FORMAT(4, 5)
reply(struct attachments *t, uint64_t request, enum cni_code code, const char *format, ...)
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
    hmap_remove(&t->by_id, &a->id_node);
    ovs_list_remove(&a->busy_node);
    ovs_list_init(&a->busy_node);
    t->counts[a->state]--;
    if (a->ofport) {
        shash_find_and_delete(&t->host_names, a->host_name);
        attachment_drop_owner_(a);
        bitmap_set0(t->ofports, ofp_to_u16(a->ofport));
    }
    attachment_unref(a);
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

void
attachments_for_each_busy(const struct attachments *t, void (*cb)(const struct attachment *, void *aux), void *aux)
{
    const struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
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

/* The next number behind the one that was given last, so that each is given again as late as possible.  0: none. */
static ofp_port_t
choose_ofport(const struct attachments *t)
{
    uint32_t n = OFPORT_LAST_POD - OFPORT_FIRST_POD + 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t port = OFPORT_FIRST_POD + (t->next_ofport - OFPORT_FIRST_POD + i) % n;
        if (!bitmap_is_set(t->ofports, port)) {
            return u16_to_ofp(port);
        }
    }
    return 0;
}

static void
choose_names(struct attachment *a)
{
    struct ds key = DS_EMPTY_INITIALIZER;
    ds_put_format(&key, "%s/%s/%s", a->network, a->container_id, a->ifname);
    for (uint32_t basis = 0;; basis++) {
        ovs_u128 hash;
        hash_bytes128(key.string, key.length, basis, &hash);
        snprintf(a->host_name, sizeof a->host_name, POD_LINK_PREFIX"%012llx",
                 (unsigned long long int) (hash.u64.lo & 0xffffffffffff));
        if (!a->mac_wished) {
            eth_addr_from_uint64(hash.u64.hi & 0xffffffffffff, &a->mac);
            a->mac.ea[0] = (a->mac.ea[0] & 0xfc) | 2;       /* Locally administered, unicast. */
        }
        if (!shash_find(&a->table->host_names, a->host_name)) {
            break;
        }
    }
    ds_destroy(&key);
}

/* "Pod/NAMESPACE/NAME/IFNAME"; with the container behind it while another attachment of the same pod has that name. */
static void
choose_owner(struct attachment *a)
{
    a->owner = a->pod_name ? xasprintf("Pod/%s/%s/%s", a->pod_namespace ? a->pod_namespace : "", a->pod_name, a->ifname)
                           : xasprintf("Pod//%s/%s", a->container_id, a->ifname);
    if (shash_find(&a->table->owners, a->owner)) {
        char *longer = xasprintf("%s/%s/%s/%d", a->owner, a->network, a->container_id, ofp_to_u16(a->ofport));
        free(a->owner);
        a->owner = longer;
    }
}

/* ADD. ----------------------------------------------------------------------------------------------------------- */

static const struct tombstone *
tombstone_find(const struct attachments *t, const char *network, const char *container_id, const char *ifname)
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
    const struct tombstone *old = tombstone_find(t, network, container_id, ifname);
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

/* True if the ADD was refused. */
static bool
refuse_add(struct attachments *t, uint64_t request, const struct cni_request *rq, long long int started)
{
    const struct attachment *old = attachment_find_(t, rq->network, rq->container_id, rq->ifname);
    const struct tombstone *ts = tombstone_find(t, rq->network, rq->container_id, rq->ifname);
    if (old && old->state == ATTACHMENT_REMOVING) {
        reply(t, request, CNI_E_AGAIN, "%s of container %s is still being removed", rq->ifname, rq->container_id);
    } else if (old) {
        reply(t, request, CNI_E_EXISTS, "%s of container %s is attached to network %s already", rq->ifname,
              rq->container_id, rq->network);
    } else if (ts && started < ts->time) {
        reply(t, request, CNI_E_FAILED, "%s of container %s was deleted after this ADD was started", rq->ifname,
              rq->container_id);
    } else if (hmap_count(&t->by_id) >= ATTACHMENT_MAX) {
        reply(t, request, CNI_E_AGAIN, "this node has %d attachments, no more are possible", ATTACHMENT_MAX);
    } else {
        return false;
    }
    return true;
}

void
attachments_add(struct attachments *t, uint64_t request, const struct cni_request *rq, struct netns_id netns_id,
                long long int started, long long int now)
{
    if (refuse_add(t, request, rq, started)) {
        return;
    }
    ERROR_AUTO struct error error = ERROR_INIT;
    struct attachment *a = attachment_create_(t, rq->network, rq->container_id, rq->ifname);
    if (parse_wishes(a, rq, &error)) {
        attachment_reply_(t, request, CNI_E_CONFIG, error_message(&error));
        attachment_unref(a);
        return;
    }
    a->netns = xstrdup(rq->netns ? rq->netns : "");
    a->pod_namespace = nullable_xstrdup(rq->pod_namespace);
    a->pod_name = nullable_xstrdup(rq->pod_name);
    a->pod_uid = nullable_xstrdup(rq->pod_uid);
    a->netns_id = netns_id;
    a->created = now;
    a->deadline = now + ATTACHMENT_ADD_TIMEOUT_MS;
    a->add_request = request;
    attachment_insert_(a, ATTACHMENT_WAITING);
    admit(a, now);
}

static int
parse_ips(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->ips = xcalloc(rq->n_d_ips, sizeof *a->ips);
    for (size_t i = 0; i < rq->n_d_ips; i++) {
        struct attachment_ip *ip = &a->ips[a->n_ips++];
        int code = inet_prefix_parse(rq->d_ips[i].address, &ip->prefix, error);
        if (!code && rq->d_ips[i].gateway) {
            ip->has_gateway = true;
            code = inet_addr_parse(rq->d_ips[i].gateway, &ip->gateway, error);
        }
        if (code) {
            return error_wrap(error, "address of the delegated IPAM");
        }
    }
    return a->n_ips ? 0 : error_set(error, EINVAL, "the delegated IPAM plugin gave no address");
}

static int
parse_routes(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->routes = xcalloc(rq->n_d_routes, sizeof *a->routes);
    for (size_t i = 0; i < rq->n_d_routes; i++) {
        const struct cni_route *src = &rq->d_routes[i];
        struct pod_link_route *dst = &a->routes[a->n_routes++];
        int code = inet_prefix_parse(src->dst, &dst->dst, error);
        if (!code && src->gw) {
            dst->has_gw = true;
            code = inet_addr_parse(src->gw, &dst->gw, error);
        }
        if (code) {
            return error_wrap(error, "route of the delegated IPAM");
        }
        dst->mtu = src->mtu;
        dst->advmss = src->advmss;
        dst->priority = src->priority;
        dst->table = src->table;
        dst->scope = src->scope;
    }
    return 0;
}

/* A wish may be "ADDRESS" or "ADDRESS/LENGTH"; the length is not ours to give. */
static int
parse_fixed(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->wishes = xcalloc(rq->n_ips, sizeof *a->wishes);
    for (size_t i = 0; i < rq->n_ips; i++) {
        struct inet_prefix prefix;
        int code = strchr(rq->ips[i], '/') ? inet_prefix_parse(rq->ips[i], &prefix, error)
                                           : inet_addr_parse(rq->ips[i], &prefix.addr, error);
        if (code) {
            return error_wrap(error, "\"ips\"");
        }
        a->wishes[a->n_wishes++] = prefix.addr;
    }
    return 0;
}

static int
parse_wishes(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    if (rq->mac) {
        if (!eth_addr_from_string(rq->mac, &a->mac) || eth_addr_is_multicast(a->mac) || eth_addr_is_zero(a->mac)) {
            return error_set(error, EINVAL, "\"mac\": %s is not the MAC of an interface", rq->mac);
        }
        a->mac_wished = true;
    }
    if (rq->mtu < 0 || rq->mtu > UINT16_MAX) {
        return error_set(error, EINVAL, "\"mtu\": %d is out of range", rq->mtu);
    }
    a->mtu_wish = rq->mtu;
    a->delegated = rq->delegated;
    if (!rq->delegated) {
        return parse_fixed(a, rq, error);
    }
    int code = parse_ips(a, rq, error);
    return code ? code : parse_routes(a, rq, error);
}

/* Refuses an ADD that has done nothing yet. */
static void
reject(struct attachment *a, enum cni_code code, const char *message)
{
    attachment_reply_(a->table, a->add_request, code, message);
    attachment_forget_(a);
}

static int
check_delegated(const struct attachment *a, struct error *error)
{
    const struct attachment *other;
    HMAP_FOR_EACH (other, id_node, &a->table->by_id) {
        if (other == a || other->replied) {     /* Its DEL is done: the IPAM plugin may give its address to another. */
            continue;
        }
        for (size_t i = 0; i < other->n_ips; i++) {
            for (size_t j = 0; j < a->n_ips; j++) {
                if (ipv6_addr_equals(&other->ips[i].prefix.addr, &a->ips[j].prefix.addr)) {
                    char s[INET_ADDR_STRLEN];
                    return error_set(error, EBUSY, "the delegated IPAM plugin gave %s, which %s of container %s has",
                                     inet_addr_format(&a->ips[j].prefix.addr, s), other->ifname, other->container_id);
                }
            }
        }
    }
    return 0;
}

/* Gets its addresses from IPAM.  EAGAIN: there is no pool yet. */
static int
take_addresses(struct attachment *a, long long int now, struct error *error)
{
    struct attachments *t = a->table;
    if (a->delegated) {
        return check_delegated(a, error);
    }
    struct ipam_lease lease;
    int code = ipam_allocate(t->ipam, a->wishes, a->n_wishes, now, &lease, error);
    if (code) {
        return code;
    }
    a->held = true;
    a->ips = xcalloc(lease.n, sizeof *a->ips);
    a->n_ips = lease.n;
    for (size_t i = 0; i < lease.n; i++) {
        struct attachment_ip *ip = &a->ips[i];
        ip->prefix = inet_prefix_host(&lease.addrs[i].addr);
        ip->generation = lease.addrs[i].generation;
        for (size_t j = 0; j < t->n_pools; j++) {
            if (inet_prefix_contains(&t->pools[j], &ip->prefix.addr)) {
                ip->has_gateway = true;
                ipam_gateway(&t->pools[j], &ip->gateway);
            }
        }
    }
    return 0;
}

/* Starts the work of an ADD, or lets it wait until the node is ready. */
static void
admit(struct attachment *a, long long int now)
{
    struct attachments *t = a->table;
    if (t->why_not || !t->mtu) {
        return;
    }
    ERROR_AUTO struct error error = ERROR_INIT;
    if (a->mtu_wish > t->mtu) {
        error_set(&error, EINVAL, "\"mtu\": %u is more than the %u bytes that this node can carry", a->mtu_wish, t->mtu);
        reject(a, CNI_E_CONFIG, error_message(&error));
        return;
    }
    a->ofport = choose_ofport(t);
    if (!a->ofport) {
        reject(a, CNI_E_AGAIN, "no OpenFlow port number is free");
        return;
    }
    int code = take_addresses(a, now, &error);
    if (code) {
        a->ofport = 0;
        if (code != EAGAIN) {
            reject(a, code == ENOSPC ? CNI_E_AGAIN : code == EINVAL ? CNI_E_CONFIG : CNI_E_FAILED, error_message(&error));
        }
        return;
    }
    a->mtu = a->mtu_wish ? a->mtu_wish : t->mtu;
    choose_names(a);
    choose_owner(a);
    attachment_take_numbers_(a);
    attachment_set_state_(a, ATTACHMENT_ADDING);
    attachment_record_(a, RECORD_ADD, now);
}

/* DEL, CHECK, GC, and clients that go. --------------------------------------------------------------------------- */

static void
add_waiter(struct attachment *a, uint64_t request, bool gc)
{
    struct waiter *w = xmalloc(sizeof *w);
    w->request = request;
    w->gc = gc;
    ovs_list_push_back(&a->waiters, &w->node);
}

static void
remove_for(struct attachment *a, uint64_t request, bool gc, long long int now)
{
    if (a->state == ATTACHMENT_WAITING) {
        struct attachments *t = a->table;

        reject(a, CNI_E_FAILED, "deleted before it could be added");    /* Frees it. */
        if (gc) {
            attachments_gc_left_(t, request, NULL);
        } else {
            attachment_reply_(t, request, CNI_OK, NULL);
        }
        return;
    }
    add_waiter(a, request, gc);
    if (a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, CNI_E_FAILED, "deleted while it was being added");
    } else {
        attachment_remove_(a, true, now);
    }
}

void
attachments_del(struct attachments *t, uint64_t request, const struct cni_request *rq, long long int when,
                long long int now)
{
    struct attachment *a = attachment_find_(t, rq->network, rq->container_id, rq->ifname);
    tombstone_add_(t, rq->network, rq->container_id, rq->ifname, when);
    if (!a || a->state == ATTACHMENT_WAITING) {
        attachments_record_tombstone_(t, rq->network, rq->container_id, rq->ifname, when);
    }
    if (a && a->created <= when) {
        remove_for(a, request, false, now);
    } else {
        attachment_reply_(t, request, CNI_OK, NULL);
    }
}

/* What is wrong with the runtime's idea of the attachment, or NULL. */
static char *
compare_result(const struct attachment *a, const struct cni_request *rq)
{
    struct eth_addr mac;
    if (rq->check_host_ifname && strcmp(rq->check_host_ifname, a->host_name)) {
        return xasprintf("the host's interface is %s, not %s", a->host_name, rq->check_host_ifname);
    }
    if (rq->check_mac && (!eth_addr_from_string(rq->check_mac, &mac) || !eth_addr_equals(mac, a->mac))) {
        return xasprintf("the MAC is "ETH_ADDR_FMT", not %s", ETH_ADDR_ARGS(a->mac), rq->check_mac);
    }
    for (size_t i = 0; rq->n_check_ips && i < a->n_ips; i++) {
        char s[INET_PREFIX_STRLEN];
        bool found = false;
        inet_prefix_format(&a->ips[i].prefix, s);
        for (size_t j = 0; j < rq->n_check_ips; j++) {
            found = found || !strcmp(rq->check_ips[j].address, s);
        }
        if (!found) {
            return xasprintf("the attachment has %s, which prevResult does not name", s);
        }
    }
    return NULL;
}

void
attachments_check(struct attachments *t, uint64_t request, const struct cni_request *rq)
{
    struct attachment *a = attachment_find_(t, rq->network, rq->container_id, rq->ifname);
    if (!a) {
        reply(t, request, CNI_E_UNKNOWN_CONTAINER, "%s of container %s is not attached to network %s", rq->ifname,
              rq->container_id, rq->network);
    } else if (a->state != ATTACHMENT_UP) {
        reply(t, request, CNI_E_AGAIN, "%s of container %s is still being %s", rq->ifname, rq->container_id,
              a->state == ATTACHMENT_REMOVING ? "removed" : "added");
    } else {
        char *why = compare_result(a, rq);
        if (why) {
            attachment_reply_(t, request, CNI_E_BROKEN, why);
            free(why);
        } else {
            attachment_emit_(t, a, ATTACHMENT_CHECK)->request = request;
        }
    }
}

void
attachments_checked(struct attachments *t, uint64_t request, enum cni_code code, const char *why)
{
    attachment_reply_(t, request, code, why);
}

void
attachments_gc_left_(struct attachments *t, uint64_t request, const char *error)
{
    struct gc *gc;
    LIST_FOR_EACH_SAFE (gc, node, &t->gcs) {
        if (gc->request == request) {
            if (error) {
                char *errors = gc->errors ? xasprintf("%s; %s", gc->errors, error) : xstrdup(error);
                free(gc->errors);
                gc->errors = errors;
            }
            if (!--gc->n_left) {
                attachment_reply_(t, request, gc->errors ? CNI_E_FAILED : CNI_OK, gc->errors);
                gc_free(gc);
            }
        }
    }
}

static bool
is_stale(const struct attachment *a, const char *network, const struct sset *valid, long long int now)
{
    if (!a->keyed || strcmp(a->network, network) || a->state == ATTACHMENT_WAITING || a->state == ATTACHMENT_ADDING
        || now - a->created < ATTACHMENT_GC_MIN_AGE_MS) {
        return false;
    }
    char *key = xasprintf("%s/%s", a->container_id, a->ifname);
    bool stale = !sset_contains(valid, key);
    free(key);
    return stale;
}

void
attachments_gc(struct attachments *t, uint64_t request, const struct cni_request *rq, long long int now)
{
    struct sset valid = SSET_INITIALIZER(&valid);
    for (size_t i = 0; i < rq->n_valid; i++) {
        sset_add_and_free(&valid, xasprintf("%s/%s", rq->valid[i].container_id, rq->valid[i].ifname));
    }
    struct gc *gc = xzalloc(sizeof *gc);
    gc->request = request;
    gc->n_left = 1;                     /* Ourselves, until all are started. */
    ovs_list_push_back(&t->gcs, &gc->node);

    struct attachment *a;
    HMAP_FOR_EACH_SAFE (a, id_node, &t->by_id) {
        if (is_stale(a, rq->network, &valid, now)) {
            gc->n_left++;
            tombstone_add_(t, a->network, a->container_id, a->ifname, now);
            remove_for(a, request, true, now);
        }
    }
    sset_destroy(&valid);
    attachments_gc_left_(t, request, NULL);
}

static void
forget_waiter(struct attachment *a, uint64_t request)
{
    struct waiter *w;
    LIST_FOR_EACH_SAFE (w, node, &a->waiters) {
        if (w->request == request) {
            ovs_list_remove(&w->node);
            free(w);
        }
    }
}

void
attachments_client_gone(struct attachments *t, uint64_t request, long long int now)
{
    struct gc *gc;
    LIST_FOR_EACH_SAFE (gc, node, &t->gcs) {
        if (gc->request == request) {
            gc_free(gc);
        }
    }
    struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        forget_waiter(a, request);
        if (a->add_request == request) {
            a->add_request = 0;
            if (a->state == ATTACHMENT_WAITING) {
                attachment_forget_(a);
            } else if (a->state == ATTACHMENT_ADDING) {
                attachment_remove_(a, false, now);
                break;                  /* The list has changed; a request has one attachment. */
            }
        }
    }
}
