#include <config.h>

#include "controller/peers.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "packets.h"
#include "util.h"

/* One of a peer's CIDRs. */
struct claim {
    struct ovs_list node;               /* In 'claims' of its cidr. */
    struct peer *peer;
    struct cidr *cidr;
};

struct peer {
    struct hmap_node node;              /* In 'peers', by name. */
    struct ovs_list dirty;              /* In 'dirty_peers', or empty. */
    char *name, *owner;
    bool present;                       /* False: only here to be popped. */
    int64_t created;
    struct claim claims[KUBE_MAX_CIDRS];
    size_t n_claims;
    struct in6_addr *addrs;
    size_t n_addrs;
    struct address *address;            /* The other end of the tunnel to it; NULL: none. */
    struct ovs_list address_node;       /* In 'peers' of 'address'. */
    struct inet_prefix granted[KUBE_MAX_CIDRS];         /* For peers_get_flows(). */
};

/* A pod CIDR that somebody claims. */
struct cidr {
    struct hmap_node node;              /* In 'cidrs'. */
    struct ovs_list dirty;              /* In 'dirty_cidrs', or empty. */
    struct inet_prefix prefix;
    struct ovs_list claims;
    bool outside;                       /* As it was when it was popped. */
};

/* A destination of tunnels. */
struct address {
    struct hmap_node node;              /* In 'addresses'. */
    struct ovs_list dirty;              /* In 'dirty_addresses', or empty. */
    struct in6_addr addr;
    struct ovs_list peers;
};

struct peers {
    char *own;
    bool has_underlay;
    struct node_underlay underlay;
    struct inet_prefix *underlay_addrs;
    struct inet_prefix *own_cidrs;
    size_t n_own_cidrs;
    struct hmap peers, cidrs, addresses;
    struct ovs_list dirty_peers, dirty_cidrs, dirty_addresses;
    uint64_t outside_seqno;
    size_t n_v6_only;
    char *problem;                      /* For peers_get_problem(). */
};

static void peer_link(struct peers *, struct peer *, const struct inet_prefix *, size_t n);
static void peer_unlink(struct peers *, struct peer *);
static void peer_free(struct peers *, struct peer *);
static void address_link(struct peers *, struct peer *);
static void address_unlink(struct peers *, struct peer *);
static void invalidate(struct peers *, struct peer *);
static void invalidate_around(struct peers *, struct peer *);
static void mark(struct ovs_list *list, struct ovs_list *node);
static void cidr_free(struct peers *, struct cidr *);
static void address_free(struct peers *, struct address *);

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct peers *
peers_create(const char *own)
{
    struct peers *peers = xzalloc(sizeof *peers);
    peers->own = xstrdup(own);
    hmap_init(&peers->peers);
    hmap_init(&peers->cidrs);
    hmap_init(&peers->addresses);
    ovs_list_init(&peers->dirty_peers);
    ovs_list_init(&peers->dirty_cidrs);
    ovs_list_init(&peers->dirty_addresses);
    return peers;
}

void
peers_destroy(struct peers *peers)
{
    if (!peers) {
        return;
    }
    struct peer *peer;
    HMAP_FOR_EACH_SAFE (peer, node, &peers->peers) {
        peer_unlink(peers, peer);
        peer_free(peers, peer);
    }
    struct cidr *cidr;
    HMAP_FOR_EACH_SAFE (cidr, node, &peers->cidrs) {
        cidr_free(peers, cidr);
    }
    struct address *address;
    HMAP_FOR_EACH_SAFE (address, node, &peers->addresses) {
        address_free(peers, address);
    }
    hmap_destroy(&peers->peers);
    hmap_destroy(&peers->cidrs);
    hmap_destroy(&peers->addresses);
    free(peers->underlay_addrs);
    free(peers->own_cidrs);
    free(peers->problem);
    free(peers->own);
    free(peers);
}

/* Events. -------------------------------------------------------------------------------------------------------- */

static struct peer *
peer_find(const struct peers *peers, const char *name)
{
    struct peer *peer;
    HMAP_FOR_EACH_WITH_HASH (peer, node, hash_string(name, 0), &peers->peers) {
        if (!strcmp(peer->name, name)) {
            return peer;
        }
    }
    return NULL;
}

static struct peer *
peer_get(struct peers *peers, const char *name)
{
    struct peer *peer = peer_find(peers, name);
    if (!peer) {
        peer = xzalloc(sizeof *peer);
        peer->name = xstrdup(name);
        peer->owner = xasprintf("Node/%s", name);
        ovs_list_init(&peer->dirty);
        hmap_insert(&peers->peers, &peer->node, hash_string(name, 0));
    }
    return peer;
}

static bool
is_same(const struct peer *peer, const struct kube_node *node)
{
    bool same = peer->present && peer->created == node->created && peer->n_addrs == node->n_addrs && peer->n_claims == node->n_pod_cidrs;
    for (size_t i = 0; same && i < node->n_pod_cidrs; i++) {
        same = inet_prefix_equals(&peer->claims[i].cidr->prefix, &node->pod_cidrs[i]);
    }
    return same && (!node->n_addrs || !memcmp(peer->addrs, node->addrs, node->n_addrs * sizeof *node->addrs));
}

void
peers_put(struct peers *peers, const struct kube_node *node)
{
    if (!strcmp(node->object.name, peers->own)) {
        return;
    }
    struct peer *peer = peer_get(peers, node->object.name);
    if (is_same(peer, node)) {
        return;
    }
    invalidate_around(peers, peer);
    peer_unlink(peers, peer);
    free(peer->addrs);
    peer->addrs = node->n_addrs ? xmemdup(node->addrs, node->n_addrs * sizeof *node->addrs) : NULL;
    peer->n_addrs = node->n_addrs;
    peer->created = node->created;
    peer->present = true;
    peer_link(peers, peer, node->pod_cidrs, node->n_pod_cidrs);
    invalidate_around(peers, peer);
}

void
peers_remove(struct peers *peers, const char *name)
{
    struct peer *peer = peer_find(peers, name);
    if (peer && peer->present) {
        invalidate_around(peers, peer);
        peer_unlink(peers, peer);
        peer->present = false;
    }
}

static bool
are_equal(const struct inet_prefix *a, const struct inet_prefix *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!inet_prefix_equals(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static bool
is_same_underlay(const struct peers *peers, const struct node_underlay *new)
{
    const struct node_underlay *old = &peers->underlay;
    return (peers->has_underlay && old->encap == new->encap && old->v4 == new->v4 && old->v6 == new->v6
            && old->n_addrs == new->n_addrs && are_equal(old->addrs, new->addrs, new->n_addrs));
}

static struct inet_prefix *
copy_prefixes(const struct inet_prefix *prefixes, size_t n)
{
    return n ? xmemdup(prefixes, n * sizeof *prefixes) : NULL;
}

void
peers_set_underlay(struct peers *peers, const struct node_underlay *underlay, const struct inet_prefix *cidrs,
                   size_t n_cidrs)
{
    struct peer *peer;
    if (is_same_underlay(peers, underlay) && n_cidrs == peers->n_own_cidrs
        && are_equal(cidrs, peers->own_cidrs, n_cidrs)) {
        return;
    }
    HMAP_FOR_EACH (peer, node, &peers->peers) {
        invalidate(peers, peer);
        address_unlink(peers, peer);
    }
    free(peers->underlay_addrs);
    free(peers->own_cidrs);
    peers->underlay_addrs = copy_prefixes(underlay->addrs, underlay->n_addrs);
    peers->own_cidrs = copy_prefixes(cidrs, n_cidrs);
    peers->n_own_cidrs = n_cidrs;
    peers->underlay = *underlay;
    peers->underlay.node = peers->own;
    peers->underlay.addrs = peers->underlay_addrs;
    peers->has_underlay = true;
    HMAP_FOR_EACH (peer, node, &peers->peers) {
        address_link(peers, peer);
        invalidate(peers, peer);
    }
}

void
peers_touch(struct peers *peers)
{
    struct peer *peer;
    HMAP_FOR_EACH (peer, node, &peers->peers) {
        invalidate(peers, peer);
    }
}

/* What depends on what. ------------------------------------------------------------------------------------------ */

static void
mark(struct ovs_list *list, struct ovs_list *node)
{
    if (ovs_list_is_empty(node)) {
        ovs_list_push_back(list, node);
    }
}

/* All that is made of one peer. */
static void
invalidate(struct peers *peers, struct peer *peer)
{
    mark(&peers->dirty_peers, &peer->dirty);
    for (size_t i = 0; i < peer->n_claims; i++) {
        mark(&peers->dirty_cidrs, &peer->claims[i].cidr->dirty);
    }
    if (peer->address) {
        mark(&peers->dirty_addresses, &peer->address->dirty);
    }
}

/* And of those that claim the same as it does: nobody else can notice that it changes. */
static void
invalidate_around(struct peers *peers, struct peer *peer)
{
    invalidate(peers, peer);
    for (size_t i = 0; i < peer->n_claims; i++) {
        struct claim *claim;
        LIST_FOR_EACH (claim, node, &peer->claims[i].cidr->claims) {
            invalidate(peers, claim->peer);
        }
    }
    if (peer->address) {
        struct peer *other;
        LIST_FOR_EACH (other, address_node, &peer->address->peers) {
            invalidate(peers, other);
        }
    }
}

static struct cidr *
cidr_find(const struct peers *peers, const struct inet_prefix *prefix)
{
    struct cidr *cidr;
    HMAP_FOR_EACH_WITH_HASH (cidr, node, hash_bytes(&prefix->addr, sizeof prefix->addr, prefix->plen), &peers->cidrs) {
        if (inet_prefix_equals(&cidr->prefix, prefix)) {
            return cidr;
        }
    }
    return NULL;
}

static struct cidr *
cidr_get(struct peers *peers, const struct inet_prefix *prefix)
{
    struct cidr *cidr = cidr_find(peers, prefix);
    if (!cidr) {
        cidr = xzalloc(sizeof *cidr);
        cidr->prefix = *prefix;
        ovs_list_init(&cidr->dirty);
        ovs_list_init(&cidr->claims);
        hmap_insert(&peers->cidrs, &cidr->node, hash_bytes(&prefix->addr, sizeof prefix->addr, prefix->plen));
    }
    return cidr;
}

static void
cidr_free(struct peers *peers, struct cidr *cidr)
{
    hmap_remove(&peers->cidrs, &cidr->node);
    ovs_list_remove(&cidr->dirty);
    free(cidr);
}

static struct address *
address_find(const struct peers *peers, const struct in6_addr *addr)
{
    struct address *address;
    HMAP_FOR_EACH_WITH_HASH (address, node, hash_bytes(addr, sizeof *addr, 0), &peers->addresses) {
        if (ipv6_addr_equals(&address->addr, addr)) {
            return address;
        }
    }
    return NULL;
}

static struct address *
address_get(struct peers *peers, const struct in6_addr *addr)
{
    struct address *address = address_find(peers, addr);
    if (!address) {
        address = xzalloc(sizeof *address);
        address->addr = *addr;
        ovs_list_init(&address->dirty);
        ovs_list_init(&address->peers);
        hmap_insert(&peers->addresses, &address->node, hash_bytes(addr, sizeof *addr, 0));
    }
    return address;
}

static void
address_free(struct peers *peers, struct address *address)
{
    hmap_remove(&peers->addresses, &address->node);
    ovs_list_remove(&address->dirty);
    free(address);
}

static void
address_link(struct peers *peers, struct peer *peer)
{
    const struct in6_addr *addr = (peers->has_underlay && peer->present
                                   ? node_tunnel_address(&peers->underlay, peer->addrs, peer->n_addrs) : NULL);
    if (addr) {
        peer->address = address_get(peers, addr);
        ovs_list_push_back(&peer->address->peers, &peer->address_node);
    }
}

static void
address_unlink(struct peers *peers, struct peer *peer)
{
    if (peer->address) {
        mark(&peers->dirty_addresses, &peer->address->dirty);   /* So it is freed when it is popped. */
        ovs_list_remove(&peer->address_node);
        peer->address = NULL;
    }
}

static bool
is_v6_only(const struct peer *peer)
{
    for (size_t i = 0; i < peer->n_addrs; i++) {
        if (inet_is_v4(&peer->addrs[i])) {
            return false;
        }
    }
    return peer->n_addrs > 0;
}

static void
peer_link(struct peers *peers, struct peer *peer, const struct inet_prefix *cidrs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct claim *claim = &peer->claims[peer->n_claims++];
        claim->peer = peer;
        claim->cidr = cidr_get(peers, &cidrs[i]);
        ovs_list_push_back(&claim->cidr->claims, &claim->node);
    }
    peers->n_v6_only += is_v6_only(peer);
    address_link(peers, peer);
}

static void
peer_unlink(struct peers *peers, struct peer *peer)
{
    while (peer->n_claims) {
        struct claim *claim = &peer->claims[--peer->n_claims];
        mark(&peers->dirty_cidrs, &claim->cidr->dirty);         /* So it is freed when it is popped. */
        ovs_list_remove(&claim->node);
    }
    peers->n_v6_only -= peer->present && is_v6_only(peer);
    address_unlink(peers, peer);
}

static void
peer_free(struct peers *peers, struct peer *peer)
{
    hmap_remove(&peers->peers, &peer->node);
    ovs_list_remove(&peer->dirty);
    free(peer->name);
    free(peer->owner);
    free(peer->addrs);
    free(peer);
}

/* Decisions. ----------------------------------------------------------------------------------------------------- */

static bool
is_own_address(const struct peers *peers, const struct in6_addr *addr)
{
    for (size_t i = 0; i < peers->underlay.n_addrs; i++) {
        if (ipv6_addr_equals(&peers->underlay.addrs[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

static bool
is_reachable(const struct peers *peers, const struct peer *peer)
{
    return peer->address && !is_own_address(peers, &peer->address->addr);
}

static bool
is_routed(const struct peers *peers, const struct peer *peer)
{
    return node_is_routed(&peers->underlay, &peer->address->addr);
}

/* One of this node's CIDRs that overlaps, or NULL. */
static const struct inet_prefix *
find_own_overlap(const struct peers *peers, const struct inet_prefix *prefix)
{
    return inet_prefixes_overlap(peers->own_cidrs, peers->n_own_cidrs, prefix);
}

static bool
is_older(const struct peer *a, const struct peer *b)
{
    return a->created != b->created ? a->created < b->created : strcmp(a->name, b->name) < 0;
}

/* Who has it, or NULL. */
static struct peer *
find_holder(const struct peers *peers, const struct cidr *cidr)
{
    struct peer *holder = NULL;
    const struct claim *claim;

    LIST_FOR_EACH (claim, node, &cidr->claims) {
        if (is_reachable(peers, claim->peer) && (!holder || is_older(claim->peer, holder))) {
            holder = claim->peer;
        }
    }
    return holder && !find_own_overlap(peers, &cidr->prefix) ? holder : NULL;
}

bool
peers_get_flows(struct peers *peers, const char *name, struct flow_peer *flow)
{
    struct peer *peer = peer_find(peers, name);
    size_t n = 0;

    if (!peer || !peer->present || !is_reachable(peers, peer)) {
        return false;
    }
    for (size_t i = 0; i < peer->n_claims; i++) {
        if (find_holder(peers, peer->claims[i].cidr) == peer
            && (!n || !inet_prefix_equals(&peer->granted[0], &peer->claims[i].cidr->prefix))) {
            peer->granted[n++] = peer->claims[i].cidr->prefix;
        }
    }
    *flow = (struct flow_peer) {
        .owner = peer->owner, .reach = is_routed(peers, peer) ? FLOW_REACH_GATEWAY : FLOW_REACH_TUNNEL,
        .tunnel_dst = peer->address->addr, .pod_cidrs = peer->granted, .n_pod_cidrs = n,
    };
    return n > 0;
}

bool
peers_get_route(const struct peers *peers, const struct inet_prefix *dst, bool *has_via, struct in6_addr *via)
{
    const struct cidr *cidr = cidr_find(peers, dst);
    const struct peer *holder = cidr ? find_holder(peers, cidr) : NULL;

    if (!holder) {
        return false;
    }
    *has_via = is_routed(peers, holder);
    if (*has_via) {
        const struct in6_addr *addr = node_route_address(holder->addrs, holder->n_addrs, dst);
        if (!addr) {
            return false;
        }
        *via = *addr;
    }
    return true;
}

bool
peers_get_tunnel(const struct peers *peers, const struct in6_addr *dst)
{
    const struct address *address = address_find(peers, dst);
    if (!address) {
        return false;
    }
    const struct peer *peer;
    LIST_FOR_EACH (peer, address_node, &address->peers) {
        for (size_t i = 0; i < peer->n_claims; i++) {
            if (find_holder(peers, peer->claims[i].cidr) == peer && !is_routed(peers, peer)) {
                return true;
            }
        }
    }
    return false;
}

/* Problems. ------------------------------------------------------------------------------------------------------ */

static char *
describe_cidr(const struct peers *peers, const struct peer *peer, const struct cidr *cidr)
{
    const struct inet_prefix *own = find_own_overlap(peers, &cidr->prefix);
    const struct peer *holder = find_holder(peers, cidr);
    char s[INET_PREFIX_STRLEN], t[INET_PREFIX_STRLEN];

    inet_prefix_format(&cidr->prefix, s);
    if (own) {
        return xasprintf("its pod CIDR %s overlaps %s of this node, which keeps it", s, inet_prefix_format(own, t));
    } else if (holder != peer) {
        return xasprintf("its pod CIDR %s is also one of node %s, which has it until it gives it up", s, holder->name);
    } else if (is_routed(peers, peer) && !node_route_address(peer->addrs, peer->n_addrs, &cidr->prefix)) {
        return xstrdup("has pods of a family in which it has no InternalIP: they cannot be routed to");
    }
    return NULL;
}

static char *
describe_address(const struct peers *peers, const struct peer *peer)
{
    char s[INET_ADDR_STRLEN];

    if (!peer->address) {
        return xstrdup("has no InternalIP of a family that this node's uplink has: its pods cannot be reached");
    } else if (is_own_address(peers, &peer->address->addr)) {
        return xasprintf("its InternalIP %s is one of this node: its pods cannot be reached",
                         inet_addr_format(&peer->address->addr, s));
    }
    const struct peer *other, *first = peer;
    LIST_FOR_EACH (other, address_node, &peer->address->peers) {
        first = is_older(other, first) ? other : first;
    }
    return first == peer ? NULL : xasprintf("has the same InternalIP %s as node %s",
                                            inet_addr_format(&peer->address->addr, s), first->name);
}

const char *
peers_get_problem(struct peers *peers, const char *name)
{
    const struct peer *peer = peer_find(peers, name);

    free(peers->problem);
    peers->problem = NULL;
    if (!peer || !peer->present || !peers->has_underlay || !peer->n_claims) {
        return NULL;
    }
    for (size_t i = 0; is_reachable(peers, peer) && i < peer->n_claims && !peers->problem; i++) {
        peers->problem = describe_cidr(peers, peer, peer->claims[i].cidr);
    }
    peers->problem = peers->problem ? peers->problem : describe_address(peers, peer);
    return peers->problem;
}

/* What has changed. ---------------------------------------------------------------------------------------------- */

bool
peers_pop_node(struct peers *peers, char **name)
{
    if (ovs_list_is_empty(&peers->dirty_peers)) {
        return false;
    }
    struct peer *peer = CONTAINER_OF(ovs_list_pop_front(&peers->dirty_peers), struct peer, dirty);
    ovs_list_init(&peer->dirty);
    *name = xstrdup(peer->name);
    if (!peer->present) {
        peer_free(peers, peer);
    }
    return true;
}

/* Whether the host's stack may see packets to it. */
static bool
is_outside(const struct peers *peers, const struct cidr *cidr)
{
    const struct peer *holder = find_holder(peers, cidr);
    return (!ovs_list_is_empty(&cidr->claims) && !find_own_overlap(peers, &cidr->prefix)
            && (!holder || is_routed(peers, holder)));
}

bool
peers_pop_route(struct peers *peers, struct inet_prefix *dst)
{
    if (ovs_list_is_empty(&peers->dirty_cidrs)) {
        return false;
    }
    struct cidr *cidr = CONTAINER_OF(ovs_list_pop_front(&peers->dirty_cidrs), struct cidr, dirty);
    ovs_list_init(&cidr->dirty);
    *dst = cidr->prefix;
    bool outside = is_outside(peers, cidr);
    peers->outside_seqno += outside != cidr->outside;
    cidr->outside = outside;
    if (ovs_list_is_empty(&cidr->claims)) {
        cidr_free(peers, cidr);
    }
    return true;
}

bool
peers_pop_tunnel(struct peers *peers, struct in6_addr *dst)
{
    if (ovs_list_is_empty(&peers->dirty_addresses)) {
        return false;
    }
    struct address *address = CONTAINER_OF(ovs_list_pop_front(&peers->dirty_addresses), struct address, dirty);
    ovs_list_init(&address->dirty);
    *dst = address->addr;
    if (ovs_list_is_empty(&address->peers)) {
        address_free(peers, address);
    }
    return true;
}

size_t
peers_n_v6_only(const struct peers *peers)
{
    return peers->n_v6_only;
}

uint64_t
peers_outside_seqno(const struct peers *peers)
{
    return peers->outside_seqno;
}

size_t
peers_get_outside(const struct peers *peers, struct inet_prefix **cidrs)
{
    const struct cidr *cidr;
    size_t n = 0;

    *cidrs = xmalloc((hmap_count(&peers->cidrs) + 1) * sizeof **cidrs);
    HMAP_FOR_EACH (cidr, node, &peers->cidrs) {
        if (cidr->outside) {
            (*cidrs)[n++] = cidr->prefix;
        }
    }
    inet_prefixes_sort(*cidrs, n);
    return n;
}
