#include <config.h>

#include "controller/services-private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct services *
services_create(const char *node_name)
{
    struct services *s = xzalloc(sizeof *s);
    struct hmap *hmaps[] = { &s->owners, &s->pods, &s->cookies, &s->sets, &s->claims, &s->addresses, &s->tracked };
    struct ovs_list *lists[] = { &s->changed, &s->emit, &s->dirty_sets, &s->dirty_addresses, &s->dirty_tracked,
                                 &s->popped, &s->flush_effects };

    s->node = xstrdup(node_name);
    for (size_t i = 0; i < ARRAY_SIZE(hmaps); i++) {
        hmap_init(hmaps[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        ovs_list_init(lists[i]);
    }
    for (int i = 0; i < N_PENDING; i++) {
        hmap_init(&s->pending[i]);
        ovs_list_init(&s->effects[i]);
    }
    s->group_numbers = numbers_create();
    s->set_numbers = numbers_create();
    s->alias_numbers = numbers_create();
    s->node_changed = true;
    return s;
}

static void
owner_change(struct services *s, struct owner *owner)
{
    if (ovs_list_is_empty(&owner->changed)) {
        ovs_list_push_back(&s->changed, &owner->changed);
    }
}

static void
forget_objects(struct services *s, struct hmap *owners)
{
    struct owner *owner;

    HMAP_FOR_EACH (owner, node, owners) {
        owner->service = NULL;
        owner->n_slices = 0;
        if (owner->pod) {
            owner->pod->n_ports = 0;
        }
        owner->stale = true;
        owner_change(s, owner);
    }
}

/* Takes everything back and lets services_run() clean up. */
void
services_destroy(struct services *s)
{
    if (!s) {
        return;
    }
    forget_objects(s, &s->owners);
    forget_objects(s, &s->pods);
    services_set_node(s, NULL, NULL, 0);
    services_run(s);
    services_emit_clear(s);
    for (int i = 0; i < N_PENDING; i++) {
        hmap_destroy(&s->pending[i]);
    }
    numbers_destroy(s->group_numbers);
    numbers_destroy(s->set_numbers);
    numbers_destroy(s->alias_numbers);

    struct hmap *hmaps[] = { &s->owners, &s->pods, &s->cookies, &s->sets, &s->claims, &s->addresses, &s->tracked };
    for (size_t i = 0; i < ARRAY_SIZE(hmaps); i++) {
        ovs_assert(hmap_is_empty(hmaps[i]));
        hmap_destroy(hmaps[i]);
    }
    free(s->node_flows);
    free(s->choice.all);
    free(s->places);
    free(s->flushes);
    free(s->addrs);
    free(s->zone);
    free(s->node);
    free(s);
}

/* Owners. -------------------------------------------------------------------------------------------------------- */

static struct owner *
owner_create(struct services *s, const char *key)
{
    struct owner *owner = xzalloc(sizeof *owner + strlen(key) + 1);

    strcpy(owner->key, key);
    ovs_list_init(&owner->changed);
    ovs_list_init(&owner->emit);
    owner_change(s, owner);
    return owner;
}

/* Makes one if there is none. */
static struct owner *
owner_get(struct services *s, const char *namespace_, const char *name)
{
    uint32_t hash = hash_string(name, hash_string(namespace_, 0));
    size_t n = strlen(namespace_);
    struct owner *owner;

    HMAP_FOR_EACH_WITH_HASH (owner, node, hash, &s->owners) {
        if (!strncmp(owner->key, namespace_, n) && owner->key[n] == '/' && !strcmp(owner->key + n + 1, name)) {
            return owner;
        }
    }
    char *key = xasprintf("%s/%s", namespace_, name);
    owner = owner_create(s, key);
    hmap_insert(&s->owners, &owner->node, hash);
    free(key);
    return owner;
}

static struct owner *
pod_get(struct services *s, uint64_t id, const char *pod)
{
    struct owner *owner;

    HMAP_FOR_EACH_WITH_HASH (owner, node, hash_uint64(id), &s->pods) {
        if (owner->id == id) {
            return owner;
        }
    }
    char *key = xasprintf("~%016"PRIx64"/%s", id, pod ? pod : "");
    owner = owner_create(s, key);
    owner->id = id;
    owner->pod = xzalloc(sizeof *owner->pod);
    hmap_insert(&s->pods, &owner->node, hash_uint64(id));
    free(key);
    return owner;
}

static void
host_ports_clear(struct host_ports *hp)
{
    free(hp->pod);
    free(hp->ports);
    free(hp->addrs);
    memset(hp, 0, sizeof *hp);
}

/* Nothing of it is there any more. */
static void
owner_destroy(struct services *s, struct owner *owner)
{
    ovs_assert(!owner->n_sports && !owner->n_claims && !owner->n_flows && !owner->n_hosts);
    hmap_remove(owner->pod ? &s->pods : &s->owners, &owner->node);
    ovs_list_remove(&owner->changed);
    ovs_list_remove(&owner->emit);
    if (owner->pod) {
        host_ports_clear(owner->pod);
        free(owner->pod);
    }
    free(owner->flows);
    free(owner->hosts);
    free(owner->slices);
    free(owner->ranges);
    free(owner->bad);
    s->n_problems -= owner->problem != NULL;
    free(owner->problem);
    free(owner);
}

void
services_owner_emit(struct services *s, struct owner *owner)
{
    if (ovs_list_is_empty(&owner->emit)) {
        ovs_list_push_back(&s->emit, &owner->emit);
    }
}

/* Events. -------------------------------------------------------------------------------------------------------- */

void
services_service(struct services *s, const struct kube_service *old, const struct kube_service *new)
{
    const struct kube_object *object = new ? &new->object : &old->object;
    struct owner *owner = owner_get(s, object->namespace_, object->name);

    owner->service = new;
    owner->stale = true;
    owner_change(s, owner);
}

/* Where the slice is, or should be. */
static size_t
slice_position(const struct owner *owner, const struct kube_endpointslice *slice)
{
    size_t i = 0;

    while (i < owner->n_slices && strcmp(owner->slices[i]->object.name, slice->object.name) < 0) {
        i++;
    }
    return i;
}

static void
slice_add(struct services *s, const struct kube_endpointslice *slice)
{
    const char *service = labels_get(slice->object.labels, KUBE_LABEL_SERVICE_NAME);

    if (!service) {
        return;
    }
    struct owner *owner = owner_get(s, slice->object.namespace_, service);
    size_t at = slice_position(owner, slice);

    if (owner->n_slices == owner->allocated_slices) {
        owner->allocated_slices = owner->allocated_slices * 2 + 1;
        owner->slices = xrealloc(owner->slices, owner->allocated_slices * sizeof *owner->slices);
    }
    memmove(&owner->slices[at + 1], &owner->slices[at], (owner->n_slices - at) * sizeof *owner->slices);
    owner->slices[at] = slice;
    owner->n_slices++;
    owner_change(s, owner);
}

static void
slice_remove(struct services *s, const struct kube_endpointslice *slice)
{
    const char *service = labels_get(slice->object.labels, KUBE_LABEL_SERVICE_NAME);

    if (!service) {
        return;
    }
    struct owner *owner = owner_get(s, slice->object.namespace_, service);
    size_t at = slice_position(owner, slice);

    if (at < owner->n_slices && !strcmp(owner->slices[at]->object.name, slice->object.name)) {
        owner->n_slices--;
        memmove(&owner->slices[at], &owner->slices[at + 1], (owner->n_slices - at) * sizeof *owner->slices);
        owner_change(s, owner);
    }
}

/* What it means to nobody costs nothing. */
void
services_slice(struct services *s, const struct kube_endpointslice *old, const struct kube_endpointslice *new)
{
    if (old && services_slice_counts(old)) {
        slice_remove(s, old);
    }
    if (new && services_slice_counts(new)) {
        slice_add(s, new);
    }
}

static void
change_all(struct services *s)
{
    struct owner *owner;

    HMAP_FOR_EACH (owner, node, &s->owners) {
        owner_change(s, owner);
    }
}

void
services_set_node(struct services *s, const char *zone, const struct in6_addr *addrs, size_t n_addrs)
{
    if (!nullable_string_is_equal(zone, s->zone)) {
        free(s->zone);
        s->zone = nullable_xstrdup(zone);
        if (!SERVICES_BUG("zone-missed")) {
            change_all(s);
        }
    }

    struct in6_addr *sorted = n_addrs ? xmemdup(addrs, n_addrs * sizeof *addrs) : NULL;
    size_t n = inet_addrs_unique(sorted, n_addrs);
    if (n != s->n_addrs || (n && memcmp(sorted, s->addrs, n * sizeof *sorted))) {
        free(s->addrs);
        s->addrs = sorted;
        s->n_addrs = n;
        s->node_changed = true;
    } else {
        free(sorted);
    }
}

void
services_set_host_ports(struct services *s, uint64_t id, const char *pod, const struct service_host_port *ports,
                        size_t n_ports, const struct in6_addr *addrs, size_t n_addrs)
{
    struct owner *owner = pod_get(s, id, pod);
    struct host_ports *hp = owner->pod;

    host_ports_clear(hp);
    hp->pod = nullable_xstrdup(pod);
    hp->ports = n_ports ? xmemdup(ports, n_ports * sizeof *ports) : NULL;
    hp->n_ports = n_ports;
    hp->addrs = n_addrs ? xmemdup(addrs, n_addrs * sizeof *addrs) : NULL;
    hp->n_addrs = n_addrs;
    owner->stale = true;
    owner_change(s, owner);
}

/* Running. ------------------------------------------------------------------------------------------------------- */

static void
run_node(struct services *s)
{
    struct flow_set set = FLOW_SET_INIT;

    if (!s->node_changed) {
        return;
    }
    s->node_changed = false;
    for (size_t i = 0; i < s->n_addrs; i++) {
        flow_set_add_nocopy(&set, flow_make_node_addr(SERVICES_NETWORK, &s->addrs[i]));
    }
    services_emit_flows(s, &s->node_flows, &s->n_node_flows, &set);
    services_addresses_node_changed(s);
}

static bool
owner_is_empty(const struct owner *owner)
{
    return owner->pod ? !owner->pod->n_ports : !owner->service && !owner->n_slices;
}

bool
services_run(struct services *s)
{
    struct ovs_list gone = OVS_LIST_INITIALIZER(&gone);
    struct owner *owner;

    run_node(s);
    LIST_FOR_EACH_POP (owner, changed, &s->changed) {
        services_owner_build(s, owner);
        services_owner_emit(s, owner);
        ovs_list_init(&owner->changed);
        if (owner_is_empty(owner)) {
            ovs_list_push_back(&gone, &owner->changed);
        }
    }
    services_sets_run(s);
    services_addresses_run(s);
    services_doors_run(s);
    services_tracked_run(s);
    bool any = services_emit_run(s);
    LIST_FOR_EACH_SAFE (owner, changed, &gone) {
        owner_destroy(s, owner);
    }
    return any;
}

/* Comparing and hashing. ----------------------------------------------------------------------------------------- */

static uint64_t
mix(uint64_t x)                         /* splitmix64's finalizer. */
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Not one of libopenvswitch's hashes: these may differ between its versions and processors, and what is made of this
 * one stays in the switch. */
uint64_t
services_hash(const void *data, size_t n, uint64_t hash)
{
    const char *bytes = data;

    hash = mix(hash + n + UINT64_C(0x9e3779b97f4a7c15));
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = 0;

        memcpy(&word, bytes + i, MIN(n - i, 8));
        hash = mix(hash ^ word);
    }
    return hash;
}

uint64_t
services_hash_place(const struct place *p)
{
    return services_hash(&p->addr, sizeof p->addr, p->port);
}

/* By hash, which is the order of ranks. */
int
services_place_compare(const struct place *a, const struct place *b)
{
    uint64_t x = services_hash_place(a), y = services_hash_place(b);
    int cmp = x < y ? -1 : x > y;

    cmp = cmp ? cmp : memcmp(&a->addr, &b->addr, sizeof a->addr);
    return cmp ? cmp : a->port - b->port;
}

bool
services_has_place(const struct place *places, size_t n, const struct place *wanted)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int cmp = services_place_compare(&places[middle], wanted);

        if (!cmp) {
            return true;
        }
        *(cmp < 0 ? &low : &high) = cmp < 0 ? middle + 1 : middle;
    }
    return false;
}

bool
services_has_addr(const struct in6_addr *addrs, size_t n, const struct in6_addr *addr)
{
    for (size_t i = 0; i < n; i++) {
        if (ipv6_addr_equals(&addrs[i], addr)) {
            return true;
        }
    }
    return false;
}
