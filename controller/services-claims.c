#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* Addresses. ----------------------------------------------------------------------------------------------------- */

static bool
is_loopback(const struct in6_addr *addr)
{
    return IN6_IS_ADDR_LOOPBACK(addr) || (inet_is_v4(addr) && addr->s6_addr[12] == 127);
}

bool
services_is_local(const struct services *s, const struct in6_addr *addr)
{
    return is_loopback(addr) || services_has_addr(s->addrs, s->n_addrs, addr);
}

static struct address *
find_address(const struct services *s, const struct in6_addr *addr)
{
    struct address *a;

    HMAP_FOR_EACH_WITH_HASH (a, node, hash_bytes(addr, sizeof *addr, 0), &s->addresses) {
        if (ipv6_addr_equals(&a->addr, addr)) {
            return a;
        }
    }
    return NULL;
}

static void
mark(struct services *s, struct address *a)
{
    if (ovs_list_is_empty(&a->dirty)) {
        ovs_list_push_back(&s->dirty_addresses, &a->dirty);
    }
}

static struct address *
address_get(struct services *s, const struct in6_addr *addr)
{
    struct address *a = find_address(s, addr);

    if (!a) {
        a = xzalloc(sizeof *a);
        a->addr = *addr;
        a->local = services_is_local(s, addr);
        ovs_list_init(&a->claims);
        ovs_list_init(&a->dirty);
        hmap_insert(&s->addresses, &a->node, hash_bytes(addr, sizeof *addr, 0));
    }
    mark(s, a);
    return a;
}

static void
emit_all(struct services *s, const struct address *a)
{
    const struct claim *c;

    LIST_FOR_EACH (c, by_address, &a->claims) {
        services_owner_emit(s, c->owner);
    }
}

static bool
needs_alias(const struct address *a)
{
    const struct claim *c;

    if (a->local && !inet_is_any(&a->addr)) {
        LIST_FOR_EACH (c, by_address, &a->claims) {
            if (c->kind == CLAIM_EXTERNAL || c->kind == CLAIM_LB || c->kind == CLAIM_HOST_PORT) {
                return true;
            }
        }
    }
    return false;
}

static bool
is_alias(const struct address *a, const struct in6_addr *addr)
{
    struct in6_addr alias;

    return a && services_alias(a, &alias) && ipv6_addr_equals(&alias, addr);
}

/* Of the node's addresses; those of loopback only pods' host ports have. */
const struct address *
services_of_alias(const struct services *s, const struct in6_addr *addr)
{
    const struct owner *pod;

    for (size_t i = 0; i < s->n_addrs; i++) {
        const struct address *a = find_address(s, &s->addrs[i]);
        if (is_alias(a, addr)) {
            return a;
        }
    }
    HMAP_FOR_EACH (pod, node, &s->pods) {
        for (uint32_t i = 0; i < pod->n_claims; i++) {
            if (is_alias(pod->claims[i].address, addr)) {
                return pod->claims[i].address;
            }
        }
    }
    return NULL;
}

/* Numbers from 1 to 'FLOW_N_ALIASES', nearly always: there are more than enough. */
static uint64_t
alias_key(const struct address *a)
{
    uint64_t hash = services_hash(&a->addr, sizeof a->addr, 0);

    return (hash & UINT64_C(0xffffffff00000000)) | (1 + (hash & SERVICES_NUMBER_MASK) % (FLOW_N_ALIASES * 3 / 4));
}

static void
read_alias(struct services *s, struct address *a)
{
    uint32_t alias = a->has_alias ? numbers_get(s->alias_numbers, alias_key(a)) : 0;

    alias = alias <= FLOW_N_ALIASES ? alias : 0;
    if (alias != a->alias) {
        a->alias = alias;
        emit_all(s, a);
    }
}

bool
services_alias(const struct address *a, struct in6_addr *alias)
{
    if (a->alias) {
        *alias = flow_alias(!inet_is_v4(&a->addr), a->alias - 1);
    }
    return a->alias;
}

/* A cluster address has no alias, even if the node has it too. */
bool
services_claim_alias(const struct claim *claim, struct in6_addr *alias)
{
    return claim->kind > CLAIM_CLUSTER && services_alias(claim->address, alias);
}

/* True if there is an alias more or less. */
static bool
address_run(struct services *s, struct address *a)
{
    bool wanted = needs_alias(a), changed;

    if (wanted && !a->has_alias) {
        numbers_ref(s->alias_numbers, alias_key(a));
    } else if (!wanted && a->has_alias) {
        numbers_unref(s->alias_numbers, alias_key(a));
    }
    changed = wanted != a->has_alias;
    a->has_alias = wanted;
    if (ovs_list_is_empty(&a->claims)) {
        hmap_remove(&s->addresses, &a->node);
        free(a);
    }
    return changed;
}

/* Aliases are few. */
void
services_addresses_run(struct services *s)
{
    struct address *a;
    bool changed = false;
    uint64_t key;

    LIST_FOR_EACH_POP (a, dirty, &s->dirty_addresses) {
        ovs_list_init(&a->dirty);
        changed |= address_run(s, a);
    }
    while (numbers_pop_moved(s->alias_numbers, &key)) {
        changed = true;
    }
    if (changed) {
        HMAP_FOR_EACH (a, node, &s->addresses) {
            read_alias(s, a);
        }
    }
}

/* Doors of the node's own ports stay; those of addresses that came to the node or left it get or lose their alias. */
void
services_addresses_node_changed(struct services *s)
{
    struct address *a;

    HMAP_FOR_EACH (a, node, &s->addresses) {
        bool local = services_is_local(s, &a->addr);

        if (local != a->local && !SERVICES_BUG("local-missed")) {
            a->local = local;
            mark(s, a);
            emit_all(s, a);
        }
    }
}

/* Claims. -------------------------------------------------------------------------------------------------------- */

static uint32_t
hash_claim(const struct in6_addr *addr, uint8_t protocol, uint16_t port)
{
    return hash_bytes(addr, sizeof *addr, hash_2words(protocol, port));
}

static uint32_t *
counter(const struct claim *claim)
{
    static const uint8_t places[UINT8_MAX + 1] = { [IPPROTO_TCP] = 1, [IPPROTO_UDP] = 2, [IPPROTO_SCTP] = 3 };

    return &claim->address->n[places[claim->protocol]];
}

static bool
is_at(const struct claim *c, const struct in6_addr *addr, uint8_t protocol, uint16_t port)
{
    return c->port == port && c->protocol == protocol && ipv6_addr_equals(&c->address->addr, addr);
}

/* Whom it concerns that a claim came or went: who wants the same door; all at an address that is a Service's own; the
 * two of which each was, or is now, the only one of the protocol (fragments). */
static void
concern(struct services *s, const struct claim *claim, uint32_t n)
{
    const struct claim *c;

    if (claim->kind == CLAIM_REST
        || (n == 2 && !inet_is_any(&claim->address->addr) && !SERVICES_BUG("fragments-missed"))) {
        emit_all(s, claim->address);
        return;
    }
    HMAP_FOR_EACH_WITH_HASH (c, node, claim->node.hash, &s->claims) {
        if (is_at(c, &claim->address->addr, claim->protocol, claim->port) && !SERVICES_BUG("winner-missed")) {
            services_owner_emit(s, c->owner);
        }
    }
}

void
services_claim_add(struct services *s, struct claim *claim, const struct in6_addr *addr)
{
    claim->address = address_get(s, addr);
    ovs_list_push_back(&claim->address->claims, &claim->by_address);
    hmap_insert(&s->claims, &claim->node, hash_claim(addr, claim->protocol, claim->port));
    concern(s, claim, ++*counter(claim));
}

void
services_claim_remove(struct services *s, struct claim *claim)
{
    concern(s, claim, (*counter(claim))--);
    hmap_remove(&s->claims, &claim->node);
    ovs_list_remove(&claim->by_address);
    mark(s, claim->address);
}

bool
services_claim_is_alone(const struct claim *claim)
{
    return *counter(claim) == 1;
}

/* Cluster addresses go first, then Services before pods, the older before the younger, then by name. */
static int
compare(const struct claim *a, const struct claim *b)
{
    const struct kube_service *x = a->owner->service, *y = b->owner->service;
    bool a_cluster = a->kind <= CLAIM_CLUSTER, b_cluster = b->kind <= CLAIM_CLUSTER;

    if (a_cluster != b_cluster) {
        return b_cluster - a_cluster;
    }
    if (!x != !y) {
        return !x - !y;
    }
    if (x && x->created != y->created) {
        return x->created < y->created ? -1 : 1;
    }
    int cmp = strcmp(a->owner->key, b->owner->key);
    cmp = cmp ? cmp : a->kind - b->kind;
    return cmp || !a->sport || !b->sport ? cmp : a->sport->index - b->sport->index;
}

/* Of this owner; NULL: of anybody. */
static struct claim *
best_of(const struct services *s, const struct in6_addr *addr, uint8_t protocol, uint16_t port,
        const struct owner *owner)
{
    struct claim *c, *best = NULL;

    HMAP_FOR_EACH_WITH_HASH (c, node, hash_claim(addr, protocol, port), &s->claims) {
        if (is_at(c, addr, protocol, port) && (!owner || c->owner == owner) && (!best || compare(c, best) < 0)) {
            best = c;
        }
    }
    return best;
}

/* An address that is a Service's cluster address is that Service's as a whole. */
struct claim *
services_claim_best(const struct services *s, const struct in6_addr *addr, uint8_t protocol, uint16_t port)
{
    const struct claim *rest = best_of(s, addr, 0, 0, NULL);

    return best_of(s, addr, protocol, port, rest ? rest->owner : NULL);
}

bool
services_claim_wins(const struct services *s, const struct claim *claim, const struct claim **winner)
{
    const struct in6_addr *addr = &claim->address->addr;
    const struct claim *best = services_claim_best(s, addr, claim->protocol, claim->port);

    /* None: the address is a Service's that has no such port. */
    *winner = best ? best : best_of(s, addr, 0, 0, NULL);
    return *winner == claim;
}
