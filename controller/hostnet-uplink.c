/* The uplink: finding it, and moving its addresses and routes to the port of its bridge and back.
 *
 * Every move is: record what there is, add it at the new place, and only then take it away at the old one.  So
 * whatever is interrupted anywhere, each address is somewhere, and the same call again goes on where the last one
 * stopped. */

#include <config.h>

#include "hostnet-private.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ethtool.h"
#include "lib/fault.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* Finding. ------------------------------------------------------------------------------------------------------- */

/* May this link be the uplink? */
static bool
link_allowed(int ifindex, const char *const ignore[], char name[IFNAMSIZ])
{
    if (!if_indextoname(ifindex, name) || !strcmp(name, "lo")) {
        return false;
    }
    for (size_t i = 0; ignore && ignore[i]; i++) {
        if (!strcmp(name, ignore[i])) {
            return false;
        }
    }
    return true;
}

static int
find_by_addrs(struct rtnl *rtnl, const struct in6_addr *node_addrs, size_t n, const char *const ignore[],
              char name[IFNAMSIZ], struct error *error)
{
    struct rtnl_addr *addrs;
    size_t n_addrs;

    int retval = rtnl_addr_list(rtnl, 0, &addrs, &n_addrs, error);
    if (retval) {
        return retval;
    }
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        for (size_t j = 0; j < n_addrs && !found; j++) {
            found = (IN6_ARE_ADDR_EQUAL(&addrs[j].prefix.addr, &node_addrs[i])
                     && link_allowed(addrs[j].ifindex, ignore, name));
        }
    }
    free(addrs);
    return found ? 0 : ENODEV;
}

static int
find_by_default_route(struct rtnl *rtnl, const char *const ignore[], char name[IFNAMSIZ], struct error *error)
{
    const struct rtnl_route *best = NULL;
    struct rtnl_route *routes;
    char candidate[IFNAMSIZ];
    size_t n;

    int retval = rtnl_route_list(rtnl, 0, RTPROT_UNSPEC, &routes, &n, error);
    if (retval) {
        return retval;
    }
    for (size_t i = 0; i < n; i++) {
        const struct rtnl_route *route = &routes[i];
        if (route->dst.plen == 0 && route->table == RT_TABLE_MAIN && route->type == RTN_UNICAST && route->oif
            && link_allowed(route->oif, ignore, candidate)
            && (!best || (inet_is_v4(&best->dst.addr) == inet_is_v4(&route->dst.addr)
                          && route->priority < best->priority))) {
            best = route;
            ovs_strlcpy(name, candidate, IFNAMSIZ);
        }
    }
    free(routes);
    return best ? 0 : ENODEV;
}

int
hostnet_find_uplink(struct rtnl *rtnl, const char *name, const struct in6_addr *node_addrs, size_t n,
                    const char *const ignore[], struct rtnl_link *link, struct error *error)
{
    char found[IFNAMSIZ];

    if (strcmp(name, "auto")) {
        int retval = rtnl_link_get(rtnl, name, link, error);
        if (retval == ENODEV) {
            error_set(error, ENODEV, "the uplink %s does not exist on this node: give an interface that does with "
                      "\"uplink:\", or \"uplink: auto\"", name);
        }
        return retval;
    }

    int retval = find_by_addrs(rtnl, node_addrs, n, ignore, found, error);
    if (retval == ENODEV) {
        retval = find_by_default_route(rtnl, ignore, found, error);
    }
    if (retval == ENODEV) {
        return error_set(error, ENODEV, "no uplink: no interface of this node holds the node's address, and there is "
                         "no default route; name the interface with \"uplink:\"");
    }
    return retval ? retval : rtnl_link_get(rtnl, found, link, error);
}

/* What counts as belonging to a link, for moving. ---------------------------------------------------------------- */

struct belongings {
    struct rtnl_addr *addrs;
    size_t n_addrs;
    struct rtnl_route *routes;
    size_t n_routes;
};

static void
belongings_destroy(struct belongings *b)
{
    free(b->addrs);
    free(b->routes);
}

/* Everything but the IPv6 link-local addresses, which each link makes for itself. */
static bool
addr_is_movable(const struct rtnl_addr *addr)
{
    return inet_is_v4(&addr->prefix.addr) || !IN6_IS_ADDR_LINKLOCAL(&addr->prefix.addr);
}

/* Does the kernel make this route again by itself as soon as the address is there? */
static bool
comes_with_address(const struct rtnl_route *route, const struct belongings *b)
{
    if (route->protocol != RTPROT_KERNEL) {
        return false;
    }
    for (size_t i = 0; i < b->n_addrs; i++) {
        const struct rtnl_addr *addr = &b->addrs[i];
        struct inet_prefix subnet = addr->prefix;
        if (addr->has_peer) {
            subnet.addr = addr->peer;
        }
        subnet = inet_prefix_network(&subnet);
        if (!(addr->flags & IFA_F_NOPREFIXROUTE) && inet_prefix_equals(&subnet, &route->dst)) {
            return true;
        }
    }
    return false;
}

static bool
route_is_movable(const struct rtnl_route *route, const struct belongings *b)
{
    return (route->type == RTN_UNICAST && route->table != RT_TABLE_LOCAL && !route->complex
            && (inet_is_v4(&route->dst.addr) || !IN6_IS_ADDR_LINKLOCAL(&route->dst.addr))
            && !comes_with_address(route, b));
}

/* What is to be moved from the link. */
static int
collect(struct rtnl *rtnl, int ifindex, struct belongings *b, struct error *error)
{
    *b = (struct belongings) { NULL, 0, NULL, 0 };
    int retval = rtnl_addr_list(rtnl, ifindex, &b->addrs, &b->n_addrs, error);
    if (!retval) {
        retval = rtnl_route_list(rtnl, ifindex, RTPROT_UNSPEC, &b->routes, &b->n_routes, error);
    }
    if (retval) {
        belongings_destroy(b);
        return retval;
    }

    size_t n = 0;
    for (size_t i = 0; i < b->n_routes; i++) {
        if (route_is_movable(&b->routes[i], b)) {
            b->routes[n++] = b->routes[i];
        }
    }
    b->n_routes = n;
    n = 0;
    for (size_t i = 0; i < b->n_addrs; i++) {
        if (addr_is_movable(&b->addrs[i])) {
            struct rtnl_addr *addr = &b->addrs[n++];
            *addr = b->addrs[i];
            addr->flags = (addr->flags & IFA_F_NOPREFIXROUTE) | (inet_is_v4(&addr->prefix.addr) ? 0 : IFA_F_NODAD);
        }
    }
    b->n_addrs = n;
    return 0;
}

/* Puts it into the record, but for our own routes, which are made from the configuration.  True if the record
 * changed. */
static bool
remember(struct hostnet_record *record, const struct belongings *b)
{
    bool changed = false;

    for (size_t i = 0; i < b->n_addrs; i++) {
        changed |= hostnet_record_merge_addr(record, &b->addrs[i]);
    }
    for (size_t i = 0; i < b->n_routes; i++) {
        if (b->routes[i].protocol != HOSTNET_RTPROT) {
            changed |= hostnet_record_merge_route(record, &b->routes[i]);
        }
    }
    return changed;
}

/* Moving. -------------------------------------------------------------------------------------------------------- */

/* A fault point as a step that can fail. */
static int
step(const char *name, struct error *error)
{
    int retval = fault_point(name);
    return retval ? error_set_errno(error, retval, "fault point %s", name) : 0;
}

static bool
has_addr(const struct belongings *b, const struct rtnl_addr *addr)
{
    for (size_t i = 0; i < b->n_addrs; i++) {
        if (inet_prefix_equals(&b->addrs[i].prefix, &addr->prefix)) {
            return true;
        }
    }
    return false;
}

static int
add_addrs(struct rtnl *rtnl, const struct hostnet_record *record, const struct rtnl_link *to,
          const struct belongings *there, struct error *error)
{
    for (size_t i = 0; i < record->n_addrs; i++) {
        struct rtnl_addr addr = record->addrs[i];
        addr.ifindex = to->ifindex;
        if (!has_addr(there, &addr)) {
            int retval = 0;
            if (!inet_is_v4(&addr.prefix.addr)) {
                retval = hostnet_sysctl_set("ipv6", to->name, "disable_ipv6", 0, error);
            }
            if (!retval) {
                retval = rtnl_addr_replace(rtnl, &addr, error);
            }
            if (!retval) {
                retval = step("hostnet-addr-added", error);
            }
            if (retval) {
                return retval;
            }
        }
    }
    return 0;
}

static bool
has_route(const struct belongings *b, const struct rtnl_route *route)
{
    for (size_t i = 0; i < b->n_routes; i++) {
        const struct rtnl_route *r = &b->routes[i];
        if (inet_prefix_equals(&r->dst, &route->dst) && r->table == route->table && r->tos == route->tos
            && (r->priority == route->priority || !route->priority)
            && r->has_gw == route->has_gw && (!r->has_gw || IN6_ARE_ADDR_EQUAL(&r->gw, &route->gw))) {
            return true;
        }
    }
    return false;
}

/* Those without a gateway come first, because they may lead to the gateways of the others. */
static int
add_routes(struct rtnl *rtnl, const struct rtnl_route *routes, size_t n, const struct rtnl_link *to,
           const struct belongings *there, struct error *error)
{
    for (int with_gw = 0; with_gw < 2; with_gw++) {
        for (size_t i = 0; i < n; i++) {
            struct rtnl_route route = routes[i];
            route.oif = to->ifindex;
            if (route.has_gw == with_gw && !has_route(there, &route)) {
                int retval = rtnl_route_replace(rtnl, &route, error);
                if (!retval) {
                    retval = step("hostnet-route-added", error);
                }
                if (retval) {
                    return retval;
                }
            }
        }
    }
    return 0;
}

/* The last address first, so that no secondary goes or rises with its primary.  Routes that the new place has taken
 * over are gone already. */
static int
remove_all(struct rtnl *rtnl, const struct rtnl_link *from, struct error *error)
{
    struct belongings b;

    int retval = collect(rtnl, from->ifindex, &b, error);
    if (retval) {
        return retval;
    }
    for (size_t i = b.n_routes; i-- > 0 && !retval;) {
        retval = rtnl_route_delete(rtnl, &b.routes[i], error);
        retval = retval == ESRCH ? 0 : retval;
    }
    for (size_t i = b.n_addrs; i-- > 0 && !retval;) {
        retval = rtnl_addr_delete(rtnl, &b.addrs[i], error);
        retval = retval == EADDRNOTAVAIL ? 0 : retval;
        if (!retval) {
            retval = step("hostnet-addr-removed", error);
        }
    }
    belongings_destroy(&b);
    return retval;
}

/* Makes 'to' hold everything of the record and of 'from' (NULL: that link is gone), then empties 'from'.  'from_has'
 * is what 'from' held when the record was written. */
static int
move(struct rtnl *rtnl, const struct rtnl_link *from, const struct belongings *from_has, const struct rtnl_link *to,
     const struct hostnet_record *record, struct error *error)
{
    static const struct rtnl_link_change up = { .up = true };
    struct belongings there;

    int retval = to->flags & IFF_UP ? 0 : rtnl_link_set(rtnl, to->name, &up, error);
    if (!retval) {
        retval = collect(rtnl, to->ifindex, &there, error);
    }
    if (retval) {
        return retval;
    }
    retval = add_addrs(rtnl, record, to, &there, error);
    if (!retval) {
        retval = add_routes(rtnl, record->routes, record->n_routes, to, &there, error);
    }
    if (!retval) {
        retval = add_routes(rtnl, from_has->routes, from_has->n_routes, to, &there, error);
    }
    belongings_destroy(&there);
    if (!retval && from && (from_has->n_addrs || from_has->n_routes)) {
        retval = step("hostnet-added", error);
        if (!retval) {
            retval = remove_all(rtnl, from, error);
        }
    }
    return retval;
}

/* Router advertisements are heard by the bridge's port if the uplink heard them; the node forwards, so the value is
 * 2. */
static void
move_accept_ra(const struct hostnet_record *record, const char *uplink, const char *bridge)
{
    if (record->accept_ra >= 0) {
        hostnet_sysctl_set("ipv6", bridge, "accept_ra", record->accept_ra ? 2 : 0, NULL);
        hostnet_sysctl_set("ipv6", uplink, "accept_ra", 0, NULL);
    }
}

/* The switch drops frames that are longer than the MTU, and GRO makes such of a TCP stream before AF_PACKET sees
 * them. */
static void
gro_off(const char *uplink)
{
    uint32_t gro;

    if (!ethtool_get(-1, uplink, ETHTOOL_GGRO, &gro, NULL) && gro) {
        ethtool_set(-1, uplink, ETHTOOL_SGRO, 0, NULL);
    }
}

static void
begin_record(struct hostnet_record *record, const char *uplink, const char *bridge, bool af_packet)
{
    uint32_t gro;

    ovs_strzcpy(record->uplink, uplink, sizeof record->uplink);
    ovs_strzcpy(record->bridge, bridge, sizeof record->bridge);
    if (hostnet_sysctl_get("ipv6", uplink, "accept_ra", &record->accept_ra, NULL)) {
        record->accept_ra = -1;
    }
    record->gro = af_packet && !ethtool_get(-1, uplink, ETHTOOL_GGRO, &gro, NULL) ? gro : -1;
}

/* Records what the uplink has, if it is not recorded yet. */
static int
update_record(struct hostnet_record *record, const char *state_dir, const char *uplink, const char *bridge,
              bool af_packet, const struct belongings *b, struct error *error)
{
    bool first = !record->uplink[0];

    if (first) {
        begin_record(record, uplink, bridge, af_packet);
    }
    if (!remember(record, b) && !first) {
        return 0;
    }
    int retval = hostnet_record_save(state_dir, record, error);
    if (retval && first) {
        hostnet_record_destroy(record);
    }
    return retval ? retval : step("hostnet-recorded", error);
}

/* What the host sends by the bridge's port leaves by the uplink, so the port must not take longer packets. */
static int
follow_mtu(struct rtnl *rtnl, const struct rtnl_link *from, const struct rtnl_link *to, struct error *error)
{
    const struct rtnl_link_change change = { .mtu = from->mtu };
    return from->mtu == to->mtu ? 0 : rtnl_link_set(rtnl, to->name, &change, error);
}

int
hostnet_take_over(struct rtnl *rtnl, const char *state_dir, const char *uplink, const char *bridge, bool af_packet,
                  struct hostnet_record *record, struct error *error)
{
    struct rtnl_link from, to;
    struct belongings b;

    int retval = rtnl_link_get(rtnl, bridge, &to, error);
    if (!retval) {
        retval = rtnl_link_get(rtnl, uplink, &from, error);
    }
    if (!retval) {
        retval = follow_mtu(rtnl, &from, &to, error);
    }
    if (!retval) {
        retval = collect(rtnl, from.ifindex, &b, error);
    }
    if (retval) {
        return error_wrap(error, "moving the uplink %s to %s", uplink, bridge);
    }

    retval = update_record(record, state_dir, uplink, bridge, af_packet, &b, error);
    if (!retval) {
        if (af_packet) {
            gro_off(uplink);
        }
        move_accept_ra(record, uplink, bridge);
        /* The bridge's port has the uplink's MAC, so its link-local address was probed for duplicates when the uplink came up.
         * Until that is over again, seconds, the kernel could resolve no neighbour for what it forwards, nor for tunnels. */
        hostnet_sysctl_set("ipv6", bridge, "accept_dad", 0, NULL);
        retval = move(rtnl, &from, &b, &to, record, error);
    }
    belongings_destroy(&b);
    return retval ? error_wrap(error, "moving the uplink %s to %s", uplink, bridge) : 0;
}

int
hostnet_give_back(struct rtnl *rtnl, const char *state_dir, const char *bridge, struct hostnet_record *record,
                  struct error *error)
{
    struct belongings b = { NULL, 0, NULL, 0 };
    struct rtnl_link from, to;

    int retval = rtnl_link_get(rtnl, record->uplink, &to, error);
    if (retval) {
        return error_wrap(error, "restoring the uplink from %s", bridge);
    }
    bool has_from = !rtnl_link_get(rtnl, bridge, &from, NULL);
    if (has_from) {
        retval = collect(rtnl, from.ifindex, &b, error);
        if (!retval && remember(record, &b)) {
            retval = hostnet_record_save(state_dir, record, error);
        }
    }
    if (!retval) {
        retval = move(rtnl, has_from ? &from : NULL, &b, &to, record, error);
    }
    belongings_destroy(&b);
    if (!retval) {
        if (record->accept_ra >= 0) {
            hostnet_sysctl_set("ipv6", record->uplink, "accept_ra", record->accept_ra, NULL);
        }
        if (record->gro > 0) {
            ethtool_set(-1, record->uplink, ETHTOOL_SGRO, 1, NULL);
        }
        retval = step("hostnet-restored", error);
    }
    if (!retval) {
        retval = hostnet_record_remove(state_dir, error);
    }
    if (retval) {
        return error_wrap(error, "restoring the uplink %s from %s", record->uplink, bridge);
    }
    hostnet_record_destroy(record);
    return 0;
}

int
hostnet_restore_uplink(const char *state_dir, const char *uplink_bridge, struct error *error)
{
    struct hostnet_record record;
    struct rtnl *rtnl;

    int retval = hostnet_record_load(state_dir, &record, error);
    if (retval) {
        return retval == ENOENT ? 0 : retval;
    }
    retval = rtnl_open(-1, &rtnl, error);
    if (!retval) {
        retval = hostnet_give_back(rtnl, state_dir, uplink_bridge, &record, error);
        rtnl_close(rtnl);
    }
    hostnet_record_destroy(&record);
    return retval;
}
