/* The gateway port: its addresses, and the routes that lead to pods.
 *
 * An address stands there alone (/32, /128) and the route to the pod CIDR is our own: so the kernel makes no
 * broadcast address of the last one of the CIDR, which is a pod's like any other, and IPv4 and IPv6 look alike. */

#include <config.h>

#include "hostnet-private.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

#include "packets.h"
#include "util.h"

static int
reconcile_link(struct rtnl *rtnl, const struct hostnet_config *config, struct rtnl_link *link, struct error *error)
{
    int retval = rtnl_link_get(rtnl, config->gateway, link, error);

    if (!retval && config->mtu && link->mtu != config->mtu) {
        const struct rtnl_link_change mtu = { .mtu = config->mtu };
        retval = rtnl_link_set(rtnl, config->gateway, &mtu, error);
    }
    if (!retval && !(link->flags & IFF_UP)) {
        static const struct rtnl_link_change quiet = { .no_addr_gen = true }, up = { .up = true };
        rtnl_link_set(rtnl, config->gateway, &quiet, NULL);     /* Fails only in a kernel without IPv6. */
        retval = rtnl_link_set(rtnl, config->gateway, &up, error);
    }
    return retval;
}

/* The node's address in each pod CIDR and, for IPv6, a link-local one: what the kernel solicits a pod's neighbour
 * from when it forwards to it (without one such packets are lost).  It is made here so that it needs no duplicate
 * detection.  Returns how many; 'wanted' has room for one more than there are gateway addresses. */
static size_t
wanted_addrs(const struct hostnet_config *config, struct inet_prefix *wanted)
{
    size_t n = 0;
    bool v6 = false;

    for (size_t i = 0; i < config->n_gateway_addrs; i++) {
        wanted[n++] = inet_prefix_host(&config->gateway_addrs[i].addr);
        v6 = v6 || !inet_is_v4(&config->gateway_addrs[i].addr);
    }
    if (v6) {
        wanted[n].plen = 64;
        in6_generate_lla(config->gateway_mac, &wanted[n++].addr);
    }
    return n;
}

static bool
addr_is_wanted(const struct inet_prefix *wanted, size_t n, const struct inet_prefix *prefix)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_prefix_equals(&wanted[i], prefix)) {
            return true;
        }
    }
    return false;
}

static bool
addr_is_there(const struct rtnl_addr *addrs, size_t n, const struct inet_prefix *prefix)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_prefix_equals(&addrs[i].prefix, prefix)) {
            return true;
        }
    }
    return false;
}

static int
add_addr(struct rtnl *rtnl, const struct rtnl_link *link, const struct inet_prefix *prefix, struct error *error)
{
    const struct rtnl_addr addr = {
        .ifindex = link->ifindex,
        .prefix = *prefix,
        .flags = inet_is_v4(&prefix->addr) ? 0 : IFA_F_NODAD,
    };
    int retval = inet_is_v4(&prefix->addr) ? 0 : hostnet_sysctl_set("ipv6", link->name, "disable_ipv6", 0, error);
    return retval ? retval : rtnl_addr_replace(rtnl, &addr, error);
}

static int
reconcile_addrs(struct rtnl *rtnl, const struct hostnet_config *config, const struct rtnl_link *link,
                struct error *error)
{
    struct rtnl_addr *addrs;
    size_t n;

    int retval = rtnl_addr_list(rtnl, link->ifindex, &addrs, &n, error);
    if (retval) {
        return retval;
    }

    struct inet_prefix *wanted = xmalloc((config->n_gateway_addrs + 1) * sizeof *wanted);
    size_t n_wanted = wanted_addrs(config, wanted);
    for (size_t i = 0; i < n_wanted && !retval; i++) {
        if (!addr_is_there(addrs, n, &wanted[i])) {
            retval = add_addr(rtnl, link, &wanted[i], error);
        }
    }
    for (size_t i = 0; i < n && !retval; i++) {
        if (!addr_is_wanted(wanted, n_wanted, &addrs[i].prefix) && addrs[i].scope == RT_SCOPE_UNIVERSE) {
            retval = rtnl_addr_delete(rtnl, &addrs[i], error);
            retval = retval == EADDRNOTAVAIL ? 0 : retval;
        }
    }
    free(wanted);
    free(addrs);
    return retval;
}

int
hostnet_reconcile_gateway(struct rtnl *rtnl, const struct hostnet_config *config, struct error *error)
{
    struct rtnl_link link;

    int retval = reconcile_link(rtnl, config, &link, error);
    return retval ? retval : reconcile_addrs(rtnl, config, &link, error);
}

/* Routes. -------------------------------------------------------------------------------------------------------- */

/* A route by the gateway port; the source is the node's address of that family. */
static void
init_gateway_route(struct rtnl_route *route, const struct inet_prefix *dst, const struct hostnet_config *config,
                   int oif)
{
    struct inet_prefix network = inet_prefix_network(dst);

    rtnl_route_init(route, &network, oif);
    route->protocol = HOSTNET_RTPROT;
    route->scope = inet_is_v4(&dst->addr) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    for (size_t i = 0; i < config->n_gateway_addrs && !route->has_src; i++) {
        if (inet_family(&config->gateway_addrs[i].addr) == inet_family(&dst->addr)) {
            route->has_src = true;
            route->src = config->gateway_addrs[i].addr;
        }
    }
}

/* To another node.  False: by the gateway port, which is not there ('oif' is 0). */
static bool
init_peer_route(struct rtnl_route *route, const struct hostnet_route *peer, const struct hostnet_config *config, int oif)
{
    if (!peer->has_via) {
        init_gateway_route(route, &peer->dst, config, oif);
        return oif != 0;
    }
    rtnl_route_init(route, &peer->dst, 0);
    route->protocol = HOSTNET_RTPROT;
    route->has_gw = true;
    route->gw = peer->via;
    return true;
}

/* '*wanted' is to be freed.  'oif' is 0 while there is no gateway port: then only what leads elsewhere is wanted. */
static size_t
wanted_routes(const struct hostnet_config *config, const struct hostnet_route *routes, size_t n_routes,
              const struct hostnet_services *services, int oif, struct rtnl_route **wanted)
{
    *wanted = xmalloc((config->n_gateway_addrs + n_routes + HOSTNET_SERVICE_ROUTES(config)) * sizeof **wanted);
    size_t n = hostnet_services_routes(services, config, oif, *wanted);
    for (size_t i = 0; i < config->n_gateway_addrs && oif; i++) {
        struct rtnl_route *route = &(*wanted)[n++];
        init_gateway_route(route, &config->gateway_addrs[i], config, oif);
        route->has_src = true;
        route->src = config->gateway_addrs[i].addr;
    }
    for (size_t i = 0; i < n_routes; i++) {
        n += init_peer_route(&(*wanted)[n], &routes[i], config, oif);
    }
    return n;
}

/* The kernel chooses the link of a route by a gateway, and the metric of an IPv6 route. */
static bool
route_matches(const struct rtnl_route *have, const struct rtnl_route *want)
{
    return (inet_prefix_equals(&have->dst, &want->dst) && have->table == want->table
            && (!want->oif || have->oif == want->oif)
            && have->has_gw == want->has_gw && (!want->has_gw || IN6_ARE_ADDR_EQUAL(&have->gw, &want->gw))
            && (!want->has_src || (have->has_src && IN6_ARE_ADDR_EQUAL(&have->src, &want->src))));
}

static int
compare_dst(const void *a_, const void *b_)
{
    const struct rtnl_route *a = a_, *b = b_;
    return inet_prefix_compare(&a->dst, &b->dst);
}

/* The first route of the sorted ones that 'match' pairs with 'route', or NULL. */
static const struct rtnl_route *
find(const struct rtnl_route *sorted, size_t n, const struct rtnl_route *route,
     bool (*match)(const struct rtnl_route *sorted, const struct rtnl_route *route))
{
    const struct rtnl_route *r = n ? bsearch(route, sorted, n, sizeof *sorted, compare_dst) : NULL;

    while (r && r > sorted && !compare_dst(r - 1, route)) {
        r--;
    }
    for (; r && r < sorted + n && !compare_dst(r, route); r++) {
        if (match(r, route)) {
            return r;
        }
    }
    return NULL;
}

static bool
want_matches_have(const struct rtnl_route *want, const struct rtnl_route *have)
{
    return route_matches(have, want);
}

/* One route that cannot be added (its gateway is not reachable now) does not keep the others from being added. */
static int
add_routes(struct rtnl *rtnl, const struct rtnl_route *have, size_t n_have, const struct rtnl_route *want,
           size_t n_want, struct error *error)
{
    int retval = 0;

    for (size_t i = 0; i < n_want; i++) {
        if (!find(have, n_have, &want[i], route_matches)) {
            int e = rtnl_route_replace(rtnl, &want[i], retval ? NULL : error);
            retval = retval ? retval : e;
        }
    }
    return retval;
}

/* What was replaced in place is not there any more: ESRCH. */
static int
remove_routes(struct rtnl *rtnl, const struct rtnl_route *have, size_t n_have, const struct rtnl_route *want,
              size_t n_want, struct error *error)
{
    int retval = 0;

    for (size_t i = 0; i < n_have; i++) {
        if (!find(want, n_want, &have[i], want_matches_have)) {
            ERROR_AUTO struct error e = ERROR_INIT;
            if (rtnl_route_delete(rtnl, &have[i], &e) && e.code != ESRCH && !retval) {
                retval = e.code;
                error_move(error, &e);
            }
        }
    }
    return retval;
}

static int
ifindex_of(struct rtnl *rtnl, const char *name)
{
    struct rtnl_link link;
    return rtnl_link_get(rtnl, name, &link, NULL) ? 0 : link.ifindex;
}

int
hostnet_reconcile_routes(struct rtnl *rtnl, const struct hostnet_config *config, const struct hostnet_route *routes,
                         size_t n, const struct hostnet_services *services, struct error *error)
{
    struct rtnl_route *have, *want;
    size_t n_have;

    int oif = ifindex_of(rtnl, config->gateway);
    int retval = rtnl_route_list(rtnl, 0, HOSTNET_RTPROT, &have, &n_have, error);
    if (retval) {
        return retval;
    }
    size_t n_want = wanted_routes(config, routes, n, services, oif, &want);
    qsort(want, n_want, sizeof *want, compare_dst);
    if (n_have) {
        qsort(have, n_have, sizeof *have, compare_dst);
    }
    retval = add_routes(rtnl, have, n_have, want, n_want, error);
    int retval2 = remove_routes(rtnl, have, n_have, want, n_want, retval ? NULL : error);
    free(want);
    free(have);
    return retval ? retval : retval2;
}

int
hostnet_put_route(struct rtnl *rtnl, const struct hostnet_config *config, const struct hostnet_route *peer,
                  struct error *error)
{
    struct rtnl_route route;
    return (init_peer_route(&route, peer, config, ifindex_of(rtnl, config->gateway))
            ? rtnl_route_replace(rtnl, &route, error)
            : error_set(error, ENODEV, "there is no %s", config->gateway));
}

int
hostnet_delete_route(struct rtnl *rtnl, const struct hostnet_config *config, const struct hostnet_route *peer,
                     struct error *error)
{
    struct rtnl_route route;
    return (init_peer_route(&route, peer, config, ifindex_of(rtnl, config->gateway))
            ? rtnl_route_delete(rtnl, &route, error)
            : error_set(error, ENODEV, "there is no %s", config->gateway));
}
