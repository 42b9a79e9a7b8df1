#include <config.h>

#include "ipam.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "ipam-pool.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "util.h"

/* An address that is in use or in quarantine. */
struct entry {
    struct hmap_node node;              /* In 'entries', by address. */
    struct ovs_list timed;              /* Quarantined: in 'pending' or 'overdue' of its family. */
    struct ovs_list acked;              /* In 'acked' of its family, or empty. */
    struct ipam_address address;
    enum ipam_address_state state;      /* IPAM_USED, IPAM_UNACKNOWLEDGED or IPAM_QUARANTINED. */
    bool overdue;
    bool counted;                       /* In the figures of its family's pool. */
    long long int since;                /* When it was released. */
};

struct family {
    struct ipam_pool *pool;             /* NULL: none. */
    struct ovs_list pending;            /* The time is not over; by 'since'. */
    struct ovs_list overdue;            /* Only the acknowledgement is missing; by 'since'. */
    struct ovs_list acked;              /* Of 'pending': acknowledged, and given by the pool; by 'since'. */
    uint64_t used, quarantined, unacknowledged, taken_early;
};

struct ipam {
    struct family families[IPAM_MAX_ADDRS];     /* IPv4, IPv6. */
    struct hmap entries;
    uint64_t generation;
    long long int quarantine_ms;
    struct inet_prefix *reserve;
    size_t n_reserve;
};

static struct family *family_of(const struct ipam *, const struct in6_addr *);
static void family_set_pool(struct ipam *, struct family *, struct ipam_pool *);
static bool family_has_room(const struct family *);
static void family_take(struct ipam *, struct family *, struct in6_addr *);
static int exhausted(const struct ipam *, const struct family *, long long int now, struct error *);
static int check_fixed(const struct ipam *, const struct in6_addr *fixed, size_t n, long long int now, struct error *);

static struct entry *entry_find(const struct ipam *, const struct in6_addr *);
static struct entry *entry_find_generation(const struct ipam *, const struct ipam_address *);
static struct entry *entry_create(struct ipam *, const struct ipam_address *);
static void entry_destroy(struct ipam *, struct entry *);
static void entry_free(struct ipam *, struct entry *);
static void entry_count(const struct ipam *, struct entry *, bool add);
static void entry_quarantine(struct ipam *, struct entry *, long long int since);
static void entry_offer(struct ipam *, struct entry *);

struct ipam *
ipam_create(const struct ipam_config *config)
{
    struct ipam *ipam = xzalloc(sizeof *ipam);
    hmap_init(&ipam->entries);
    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        ovs_list_init(&ipam->families[i].pending);
        ovs_list_init(&ipam->families[i].overdue);
        ovs_list_init(&ipam->families[i].acked);
    }
    ipam_configure(ipam, config);
    return ipam;
}

void
ipam_destroy(struct ipam *ipam)
{
    if (ipam) {
        struct entry *entry;
        HMAP_FOR_EACH_SAFE (entry, node, &ipam->entries) {
            entry_destroy(ipam, entry);
        }
        hmap_destroy(&ipam->entries);
        for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
            ipam_pool_destroy(ipam->families[i].pool);
        }
        free(ipam->reserve);
        free(ipam);
    }
}

void
ipam_configure(struct ipam *ipam, const struct ipam_config *config)
{
    ipam->quarantine_ms = MAX(0, MIN(config->quarantine_ms, IPAM_QUARANTINE_MAX_MS));
    free(ipam->reserve);
    ipam->reserve = config->n_reserve ? xmemdup(config->reserve, config->n_reserve * sizeof *config->reserve) : NULL;
    ipam->n_reserve = config->n_reserve;

    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        struct family *f = &ipam->families[i];
        if (f->pool) {
            family_set_pool(ipam, f, ipam_pool_create(ipam_pool_cidr(f->pool), ipam->reserve, ipam->n_reserve));
        }
    }
}

int
ipam_set_pools(struct ipam *ipam, const struct inet_prefix *cidrs, size_t n, struct error *error)
{
    struct ipam_pool *pools[IPAM_MAX_ADDRS] = { NULL, NULL };
    int status = 0;

    for (size_t i = 0; i < n && !status; i++) {
        size_t index = family_of(ipam, &cidrs[i].addr) - ipam->families;
        if (pools[index]) {
            status = error_set(error, EINVAL, "more than one pool of %s", index ? "IPv6" : "IPv4");
            break;
        }
        pools[index] = ipam_pool_create(&cidrs[i], ipam->reserve, ipam->n_reserve);
        if (!ipam_pool_free(pools[index])) {
            char buf[INET_PREFIX_STRLEN];
            status = error_set(error, EINVAL, "pool %s has no room for a pod: its network address, gateway%s and the "
                               "reserved ranges take all of it", inet_prefix_format(&cidrs[i], buf),
                               index ? "" : ", broadcast address");
        }
    }

    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        struct family *f = &ipam->families[i];
        if (status || (pools[i] && f->pool
                       && inet_prefix_equals(ipam_pool_cidr(pools[i]), ipam_pool_cidr(f->pool)))) {
            ipam_pool_destroy(pools[i]);
        } else {
            family_set_pool(ipam, f, pools[i]);
        }
    }
    return status;
}

void
ipam_gateway(const struct inet_prefix *cidr, struct in6_addr *gateway)
{
    if (!inet_prefix_nth(cidr, 1, gateway)) {
        *gateway = cidr->addr;
    }
}

int
ipam_allocate(struct ipam *ipam, const struct in6_addr *fixed, size_t n_fixed, long long int now,
              struct ipam_lease *lease, struct error *error)
{
    if (!ipam->families[0].pool && !ipam->families[1].pool) {
        return error_set(error, EAGAIN, "the node has no address pool yet: its Node object has no podCIDRs, or was not "
                         "seen");
    }

    ipam_run(ipam, now);
    struct ipam_lease new = { .n = 0 };
    if (n_fixed) {
        int status = check_fixed(ipam, fixed, n_fixed, now, error);
        if (status) {
            return status;
        }
        for (size_t i = 0; i < n_fixed; i++) {
            ipam_pool_take_fixed(family_of(ipam, &fixed[i])->pool, &fixed[i]);
            new.addrs[new.n++].addr = fixed[i];
        }
    } else {
        for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
            if (ipam->families[i].pool && !family_has_room(&ipam->families[i])) {
                return exhausted(ipam, &ipam->families[i], now, error);
            }
        }
        for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
            if (ipam->families[i].pool) {
                family_take(ipam, &ipam->families[i], &new.addrs[new.n++].addr);
            }
        }
    }

    for (size_t i = 0; i < new.n; i++) {
        new.addrs[i].generation = ++ipam->generation;
        entry_create(ipam, &new.addrs[i]);
    }
    *lease = new;
    return 0;
}

bool
ipam_release(struct ipam *ipam, const struct ipam_address *address, long long int now)
{
    ipam_run(ipam, now);
    struct entry *entry = entry_find_generation(ipam, address);
    if (!entry || entry->state != IPAM_USED) {
        return false;
    }
    entry_quarantine(ipam, entry, now);
    return true;
}

bool
ipam_cancel(struct ipam *ipam, const struct ipam_address *address)
{
    struct entry *entry = entry_find_generation(ipam, address);
    if (!entry || entry->state != IPAM_USED) {
        return false;
    }
    entry_free(ipam, entry);
    return true;
}

bool
ipam_acknowledge(struct ipam *ipam, const struct ipam_address *address)
{
    struct entry *entry = entry_find_generation(ipam, address);
    if (!entry || entry->state != IPAM_UNACKNOWLEDGED) {
        return false;
    }
    entry_count(ipam, entry, false);
    entry->state = IPAM_QUARANTINED;
    entry_count(ipam, entry, true);
    if (entry->overdue) {
        entry_free(ipam, entry);
    } else {
        entry_offer(ipam, entry);
    }
    return true;
}

void
ipam_run(struct ipam *ipam, long long int now)
{
    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        struct family *f = &ipam->families[i];
        struct entry *entry;

        /* The clock may have been set back: nobody waits longer than the whole time from now. */
        LIST_FOR_EACH_REVERSE (entry, timed, &f->pending) {
            if (entry->since <= now) {
                break;
            }
            entry->since = now;
        }

        LIST_FOR_EACH_SAFE (entry, timed, &f->pending) {
            if (now - entry->since < ipam->quarantine_ms) {
                break;
            } else if (entry->state == IPAM_QUARANTINED) {
                entry_free(ipam, entry);
            } else {
                ovs_list_remove(&entry->timed);
                ovs_list_push_back(&f->overdue, &entry->timed);
                entry->overdue = true;
            }
        }
    }
}

/* Makes the entry of a replayed 'address', or finds the one that is there already. */
static int
restore(struct ipam *ipam, const struct ipam_address *address, struct entry **entryp, struct error *error)
{
    struct entry *entry = entry_find(ipam, &address->addr);
    if (entry && entry->address.generation != address->generation) {
        if (entry->state == IPAM_USED || entry->address.generation > address->generation) {
            char buf[INET_ADDR_STRLEN];
            return error_set(error, EEXIST, "%s is held by generation %"PRIu64", not free for generation %"PRIu64,
                             inet_addr_format(&address->addr, buf), entry->address.generation, address->generation);
        }
        entry_destroy(ipam, entry);
        entry = NULL;
    }
    if (!entry) {
        struct family *f = family_of(ipam, &address->addr);
        if (f->pool) {
            ipam_pool_take_fixed(f->pool, &address->addr);
        }
        entry = entry_create(ipam, address);
    }
    ipam_set_generation(ipam, address->generation);
    *entryp = entry;
    return 0;
}

int
ipam_restore(struct ipam *ipam, const struct ipam_address *address, struct error *error)
{
    struct entry *entry;
    int status = restore(ipam, address, &entry, error);
    if (!status && entry->state != IPAM_USED) {
        char buf[INET_ADDR_STRLEN];
        status = error_set(error, EEXIST, "%s of generation %"PRIu64" was released already",
                           inet_addr_format(&address->addr, buf), address->generation);
    }
    return status;
}

int
ipam_restore_quarantined(struct ipam *ipam, const struct ipam_address *address, long long int since, long long int now,
                         struct error *error)
{
    struct entry *entry;
    int status = restore(ipam, address, &entry, error);
    if (!status && entry->state == IPAM_USED) {
        entry_quarantine(ipam, entry, MIN(since, now));
    }
    return status;
}

void
ipam_set_generation(struct ipam *ipam, uint64_t generation)
{
    ipam->generation = MAX(ipam->generation, generation);
}

uint64_t
ipam_get_generation(const struct ipam *ipam)
{
    return ipam->generation;
}

static struct entry *
oldest(const struct family *f)
{
    const struct ovs_list *list = ovs_list_is_empty(&f->overdue) ? &f->pending : &f->overdue;
    return ovs_list_is_empty(list) ? NULL : CONTAINER_OF(ovs_list_front(list), struct entry, timed);
}

size_t
ipam_get_stats(const struct ipam *ipam, struct ipam_stats stats[IPAM_MAX_ADDRS])
{
    size_t n = 0;
    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        const struct family *f = &ipam->families[i];
        if (f->pool) {
            const struct entry *first = oldest(f);
            stats[n++] = (struct ipam_stats) {
                .pool = *ipam_pool_cidr(f->pool),
                .size = ipam_pool_size(f->pool),
                .reserved = ipam_pool_reserved(f->pool),
                .used = f->used,
                .quarantined = f->quarantined,
                .unacknowledged = f->unacknowledged,
                .free = ipam_pool_free(f->pool),
                .taken_early = f->taken_early,
                .next_free = first ? first->since + ipam->quarantine_ms : LLONG_MAX,
            };
        }
    }
    return n;
}

bool
ipam_has_room(const struct ipam *ipam, long long int now OVS_UNUSED)
{
    bool room = false;
    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        const struct family *f = &ipam->families[i];
        if (f->pool) {
            if (!family_has_room(f)) {
                return false;
            }
            room = true;
        }
    }
    return room;
}

enum ipam_address_state
ipam_lookup(const struct ipam *ipam, const struct in6_addr *addr, uint64_t *generation)
{
    const struct entry *entry = entry_find(ipam, addr);
    if (generation) {
        *generation = entry ? entry->address.generation : 0;
    }
    if (entry) {
        return entry->state;
    }

    const struct ipam_pool *pool = family_of(ipam, addr)->pool;
    return !pool || !inet_prefix_contains(ipam_pool_cidr(pool), addr) ? IPAM_FOREIGN
           : ipam_pool_is_reserved(pool, addr) ? IPAM_RESERVED
           : IPAM_FREE;
}

void
ipam_for_each(const struct ipam *ipam, ipam_for_each_cb *cb, void *aux)
{
    const struct entry *entry;
    HMAP_FOR_EACH (entry, node, &ipam->entries) {
        if (entry->state == IPAM_USED) {
            cb(&entry->address, entry->state, 0, aux);
        }
    }
    for (size_t i = 0; i < IPAM_MAX_ADDRS; i++) {
        LIST_FOR_EACH (entry, timed, &ipam->families[i].overdue) {
            cb(&entry->address, entry->state, entry->since, aux);
        }
        LIST_FOR_EACH (entry, timed, &ipam->families[i].pending) {
            cb(&entry->address, entry->state, entry->since, aux);
        }
    }
}

static struct family *
family_of(const struct ipam *ipam, const struct in6_addr *addr)
{
    return CONST_CAST(struct family *, &ipam->families[inet_is_v4(addr) ? 0 : 1]);
}

/* Makes 'pool' (NULL: none; owned from now on) the pool of 'f': its free addresses and figures are found anew. */
static void
family_set_pool(struct ipam *ipam, struct family *f, struct ipam_pool *pool)
{
    struct ipam_pool *old = f->pool;
    f->pool = pool;
    f->used = f->quarantined = f->unacknowledged = 0;

    struct entry *entry;
    HMAP_FOR_EACH (entry, node, &ipam->entries) {
        if (family_of(ipam, &entry->address.addr) == f) {
            entry->counted = false;
            entry_count(ipam, entry, true);
            if (pool) {
                ipam_pool_take_fixed(pool, &entry->address.addr);
            }
        }
    }
    LIST_FOR_EACH (entry, timed, &f->pending) {
        ovs_list_remove(&entry->acked);
        ovs_list_init(&entry->acked);
        entry_offer(ipam, entry);
    }
    if (old && pool) {
        ipam_pool_inherit(pool, old);
    }
    ipam_pool_destroy(old);
}

static bool
family_has_room(const struct family *f)
{
    return ipam_pool_free(f->pool) || !ovs_list_is_empty(&f->acked);
}

/* There must be room. */
static void
family_take(struct ipam *ipam, struct family *f, struct in6_addr *addr)
{
    if (!ipam_pool_take(f->pool, addr)) {
        struct entry *entry = CONTAINER_OF(ovs_list_front(&f->acked), struct entry, acked);
        *addr = entry->address.addr;
        entry_destroy(ipam, entry);
        f->taken_early++;
    }
}

static int
exhausted(const struct ipam *ipam, const struct family *f, long long int now, struct error *error)
{
    char pool[INET_PREFIX_STRLEN];
    const struct entry *first = oldest(f);

    inet_prefix_format(ipam_pool_cidr(f->pool), pool);
    int status = error_set(error, ENOSPC, "pool %s is exhausted: %"PRIu64" addresses, %"PRIu64" reserved, %"PRIu64
                           " in use, %"PRIu64" in quarantine", pool, ipam_pool_size(f->pool),
                           ipam_pool_reserved(f->pool), f->used, f->quarantined);
    if (!error) {
        return status;
    }

    ERROR_AUTO struct error used = ERROR_INIT;
    error_move(&used, error);
    if (!first) {
        error_set(error, status, "%s; the next address is free when a pod is deleted", error_message(&used));
    } else {
        /* Whatever is acknowledged would have been taken. */
        long long int wait = MAX(0, first->since + ipam->quarantine_ms - now);
        error_set(error, status, "%s; the next address is free when the dataplane has acknowledged that its flows are "
                  "gone; its quarantine ends in %lld.%lld s", error_message(&used), wait / 1000, wait % 1000 / 100);
    }
    return status;
}

static int
check_fixed(const struct ipam *ipam, const struct in6_addr *fixed, size_t n, long long int now, struct error *error)
{
    for (size_t i = 0; i < n; i++) {
        char buf[INET_ADDR_STRLEN];
        const struct entry *entry;

        inet_addr_format(&fixed[i], buf);
        if (i && (i >= IPAM_MAX_ADDRS || family_of(ipam, &fixed[0]) == family_of(ipam, &fixed[i]))) {
            return error_set(error, EINVAL, "more than one %s address requested: %s",
                             inet_is_v4(&fixed[i]) ? "IPv4" : "IPv6", buf);
        }
        switch (ipam_lookup(ipam, &fixed[i], NULL)) {
        case IPAM_FREE:
            break;
        case IPAM_USED:
            return error_set(error, EBUSY, "requested address %s is in use", buf);
        case IPAM_QUARANTINED:
        case IPAM_UNACKNOWLEDGED:
            entry = entry_find(ipam, &fixed[i]);
            return error_set(error, EBUSY, "requested address %s is in quarantine for %lld more seconds%s", buf,
                             MAX(0, entry->since + ipam->quarantine_ms - now + 999) / 1000,
                             entry->state == IPAM_UNACKNOWLEDGED
                             ? ", and until the dataplane has acknowledged that its flows are gone" : "");
        case IPAM_RESERVED:
            return error_set(error, EINVAL, "requested address %s is reserved (by configuration, or as network, "
                             "gateway or broadcast address)", buf);
        case IPAM_FOREIGN:
            return error_set(error, EINVAL, "requested address %s is in no pool of this node", buf);
        default:
            OVS_NOT_REACHED();
        }
    }
    return 0;
}

static uint32_t
hash_addr(const struct in6_addr *addr)
{
    return hash_bytes(addr, sizeof *addr, 0);
}

static struct entry *
entry_find(const struct ipam *ipam, const struct in6_addr *addr)
{
    struct entry *entry;
    HMAP_FOR_EACH_WITH_HASH (entry, node, hash_addr(addr), &ipam->entries) {
        if (!memcmp(&entry->address.addr, addr, sizeof *addr)) {
            return entry;
        }
    }
    return NULL;
}

static struct entry *
entry_find_generation(const struct ipam *ipam, const struct ipam_address *address)
{
    struct entry *entry = entry_find(ipam, &address->addr);
    return entry && entry->address.generation == address->generation ? entry : NULL;
}

/* In use. */
static struct entry *
entry_create(struct ipam *ipam, const struct ipam_address *address)
{
    struct entry *entry = xzalloc(sizeof *entry);
    entry->address = *address;
    entry->state = IPAM_USED;
    ovs_list_init(&entry->timed);
    ovs_list_init(&entry->acked);
    hmap_insert(&ipam->entries, &entry->node, hash_addr(&address->addr));
    entry_count(ipam, entry, true);
    return entry;
}

static void
entry_destroy(struct ipam *ipam, struct entry *entry)
{
    entry_count(ipam, entry, false);
    ovs_list_remove(&entry->timed);
    ovs_list_remove(&entry->acked);
    hmap_remove(&ipam->entries, &entry->node);
    free(entry);
}

/* Back to the pool, if there is one that gives it. */
static void
entry_free(struct ipam *ipam, struct entry *entry)
{
    struct in6_addr addr = entry->address.addr;
    struct ipam_pool *pool = family_of(ipam, &addr)->pool;

    entry_destroy(ipam, entry);
    if (pool) {
        ipam_pool_put(pool, &addr);
    }
}

/* Adds the entry to its pool's figures, or takes it out. */
static void
entry_count(const struct ipam *ipam, struct entry *entry, bool add)
{
    struct family *f = family_of(ipam, &entry->address.addr);
    if (add) {
        entry->counted = f->pool && inet_prefix_contains(ipam_pool_cidr(f->pool), &entry->address.addr);
    }
    if (entry->counted) {
        uint64_t one = add ? 1 : -1;
        f->used += entry->state == IPAM_USED ? one : 0;
        f->quarantined += entry->state != IPAM_USED ? one : 0;
        f->unacknowledged += entry->state == IPAM_UNACKNOWLEDGED ? one : 0;
    }
}

static void
entry_quarantine(struct ipam *ipam, struct entry *entry, long long int since)
{
    struct family *f = family_of(ipam, &entry->address.addr);

    entry_count(ipam, entry, false);
    entry->state = IPAM_UNACKNOWLEDGED;
    entry->since = since;
    entry_count(ipam, entry, true);

    struct entry *before;
    LIST_FOR_EACH_REVERSE (before, timed, &f->pending) {
        if (before->since <= since) {
            break;
        }
    }
    ovs_list_insert(before ? before->timed.next : f->pending.next, &entry->timed);
}

/* An acknowledged entry of 'pending': its pool may take it early. */
static void
entry_offer(struct ipam *ipam, struct entry *entry)
{
    struct family *f = family_of(ipam, &entry->address.addr);
    if (entry->state != IPAM_QUARANTINED || !f->pool || !ipam_pool_gives(f->pool, &entry->address.addr)) {
        return;
    }

    struct entry *before;
    LIST_FOR_EACH_REVERSE (before, acked, &f->acked) {
        if (before->since <= entry->since) {
            break;
        }
    }
    ovs_list_insert(before ? before->acked.next : f->acked.next, &entry->acked);
}
