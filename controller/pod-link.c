#include <config.h>

#include "pod-link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ethtool.h"
#include "lib/fault.h"
#include "lib/netns.h"
#include "lib/rtnl.h"
#include "packets.h"
#include "util.h"

/* Without the pod's namespace nothing may be done: rtnetlink would do it to the node's own links, and "eth0" is there too. */
static int
need_netns(const struct pod_link *pod, struct error *error)
{
    return (pod->netns_fd >= 0 ? 0
            : error_set(error, EBADF, "the pod's network namespace is not open any more: who asked has gone"));
}

/* Making. -------------------------------------------------------------------------------------------------------- */

/* Which of the two names was taken? */
static int
explain_exists(struct rtnl *rtnl, const struct pod_link *pod, struct error *error)
{
    struct rtnl_link link;

    if (!rtnl_link_get(rtnl, pod->host_name, &link, NULL)) {
        return error_set(error, EEXIST, "the link %s exists already on the node: another attachment left it behind",
                         pod->host_name);
    }
    return error_set(error, EEXIST, "the pod has an interface %s already", pod->ifname);
}

int
pod_link_create(const struct pod_link *pod, struct eth_addr *host_mac, struct error *error)
{
    struct rtnl_veth veth = {
        .name = pod->host_name,
        .peer_name = pod->ifname,
        .peer_netns_fd = pod->netns_fd,
        .peer_mac = pod->mac,
        .mtu = pod->mtu,
    };
    struct rtnl *rtnl;

    eth_addr_random(&veth.mac);
    int retval = need_netns(pod, error);
    retval = retval ? retval : rtnl_open(-1, &rtnl, error);
    if (retval) {
        return retval;
    }
    retval = rtnl_veth_create(rtnl, &veth, error);
    if (retval == EEXIST) {
        retval = explain_exists(rtnl, pod, error);
    } else if (!retval) {
        retval = fault_point("pod-link-created");
        if (retval) {
            error_set_errno(error, retval, "fault point pod-link-created");
            rtnl_link_delete(rtnl, pod->host_name, NULL);
        }
    }
    rtnl_close(rtnl);
    *host_mac = veth.mac;
    return retval;
}

/* Configuring, inside the pod. ----------------------------------------------------------------------------------- */

#define SECOND_METRIC 2000

/* The routes that the pod must have: the delegated ones, or else by each gateway the gateway itself (when no subnet of
 * the link holds it) and everything.  '*routes' is to be freed. */
static size_t
wanted_routes(const struct pod_link *pod, int ifindex, struct rtnl_route **routes)
{
    size_t n = 0;

    *routes = xmalloc((pod->n_routes + 2 * pod->n_gateways + 1) * sizeof **routes);
    for (size_t i = 0; i < pod->n_gateways && !pod->n_routes; i++) {
        const struct in6_addr *gw = &pod->gateways[i];
        struct inet_prefix host = inet_prefix_host(gw), any = { .addr = *gw, .plen = 0 };
        bool reachable = false;

        for (size_t j = 0; j < pod->n_addrs; j++) {
            reachable |= inet_prefix_contains(&pod->addrs[j], gw);
        }
        if (!reachable) {
            rtnl_route_init(&(*routes)[n], &host, ifindex);
            (*routes)[n++].scope = inet_is_v4(gw) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        }

        any = inet_prefix_network(&any);
        struct rtnl_route *route = &(*routes)[n++];
        rtnl_route_init(route, &any, ifindex);
        /* IPv6 looks for an onlink gateway without regard to the link, and refuses it when another of the pod's
         * interfaces has the same; what makes it reachable by this one is there already. */
        route->has_gw = true;
        route->onlink = inet_is_v4(gw);
        route->gw = *gw;
    }

    for (size_t i = 0; i < pod->n_routes; i++) {
        const struct pod_link_route *src = &pod->routes[i];
        struct inet_prefix dst = inet_prefix_network(&src->dst);
        struct rtnl_route *route = &(*routes)[n++];

        rtnl_route_init(route, &dst, ifindex);
        route->has_gw = route->onlink = src->has_gw;
        route->gw = src->gw;
        route->scope = (src->scope >= 0 ? src->scope
                        : !src->has_gw && inet_is_v4(&dst.addr) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
        route->table = src->table > 0 ? src->table : RT_TABLE_MAIN;
        route->priority = MAX(src->priority, 0);
        route->metrics[RTAX_MTU] = MAX(src->mtu, 0);
        route->metrics[RTAX_ADVMSS] = MAX(src->advmss, 0);
    }
    return n;
}

/* Runtimes make sandboxes in which IPv6 is off; a pod with an IPv6 address wants it on.  The thread is in the pod's
 * namespace while it opens the file, because /proc/sys/net shows the namespace of whoever opens it. */
static int
enable_ipv6(const struct pod_link *pod, struct error *error)
{
    char path[64 + IFNAMSIZ];
    int back;

    int retval = netns_enter(pod->netns_fd, &back, error);
    if (retval) {
        return retval;
    }
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", pod->ifname);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0\n", 2) != 2) {
        retval = error_set_errno(error, errno, "cannot switch on IPv6 on %s in the pod", pod->ifname);
    }
    if (fd >= 0) {
        close(fd);
    }
    netns_leave(back);
    return retval;
}

static int
add_addrs(const struct pod_link *pod, struct rtnl *rtnl, int ifindex, struct error *error)
{
    for (size_t i = 0; i < pod->n_addrs; i++) {
        const struct rtnl_addr addr = {
            .ifindex = ifindex,
            .prefix = pod->addrs[i],
            .flags = inet_is_v4(&pod->addrs[i].addr) ? 0 : IFA_F_NODAD,
        };
        int retval = rtnl_addr_replace(rtnl, &addr, error);
        if (retval == EACCES && !inet_is_v4(&addr.prefix.addr)) {
            retval = enable_ipv6(pod, error);
            if (!retval) {
                retval = rtnl_addr_replace(rtnl, &addr, error);
            }
        }
        if (retval) {
            return retval;
        }
    }
    return 0;
}

/* Finished checksums are what a datapath needs that takes frames from a socket.  TSO and GSO depend on the checksum
 * offload, so the kernel switches them off with it. */
static int
tx_checksum_off(const struct pod_link *pod, struct error *error)
{
    int retval = ethtool_set(pod->netns_fd, pod->ifname, ETHTOOL_STXCSUM, 0, error);
    return retval ? error_wrap(error, "cannot switch off TX checksum offload in the pod") : 0;
}

/* A pod with several interfaces keeps the routes of the first: the same one by another interface comes behind it, with
 * a metric of its own (IPv6's default is 1024).  Adding again what this interface has already is fine. */
static int
add_route(struct rtnl *rtnl, const struct rtnl_route *route, struct error *error)
{
    ERROR_AUTO struct error exists = ERROR_INIT;
    struct rtnl_route again = *route, *own;
    size_t n;

    int retval = rtnl_route_add(rtnl, route, &exists);
    if (retval != EEXIST) {
        error_move(error, &exists);
        return retval;
    }
    retval = rtnl_route_list(rtnl, route->oif, RTPROT_UNSPEC, &own, &n, error);
    if (retval) {
        return retval;
    }
    again.priority = route->priority ? route->priority : SECOND_METRIC + route->oif;
    for (size_t i = 0; i < n; i++) {
        if (inet_prefix_equals(&own[i].dst, &route->dst) && own[i].table == route->table) {
            again.priority = own[i].priority;
        }
    }
    free(own);
    return rtnl_route_replace(rtnl, &again, error);
}

static int
configure_link(const struct pod_link *pod, struct rtnl *rtnl, struct error *error)
{
    static const struct rtnl_link_change up = { .up = true };
    struct rtnl_route *routes;
    struct rtnl_link link;

    int retval = rtnl_link_get(rtnl, pod->ifname, &link, error);
    if (!retval) {
        retval = rtnl_link_set(rtnl, "lo", &up, error);
    }
    if (!retval) {
        retval = rtnl_link_set(rtnl, pod->ifname, &up, error);
    }
    if (!retval) {
        retval = add_addrs(pod, rtnl, link.ifindex, error);
    }
    if (retval) {
        return retval;
    }

    size_t n = wanted_routes(pod, link.ifindex, &routes);
    for (size_t i = 0; i < n && !retval; i++) {
        retval = add_route(rtnl, &routes[i], error);
    }
    free(routes);
    return retval;
}

int
pod_link_configure(const struct pod_link *pod, struct error *error)
{
    struct rtnl *rtnl;

    int retval = need_netns(pod, error);
    retval = retval ? retval : rtnl_open(pod->netns_fd, &rtnl, error);
    if (retval) {
        return retval;
    }
    if (pod->tx_checksum_off) {
        retval = tx_checksum_off(pod, error);
    }
    if (!retval) {
        retval = configure_link(pod, rtnl, error);
    }
    rtnl_close(rtnl);
    return retval;
}

/* Checking. ------------------------------------------------------------------------------------------------------ */

static int
check_addrs(const struct pod_link *pod, struct rtnl *rtnl, int ifindex, struct error *error)
{
    struct rtnl_addr *addrs;
    size_t n;

    int retval = rtnl_addr_list(rtnl, ifindex, &addrs, &n, error);
    for (size_t i = 0; i < pod->n_addrs && !retval; i++) {
        bool found = false;
        for (size_t j = 0; j < n && !found; j++) {
            found = inet_prefix_equals(&addrs[j].prefix, &pod->addrs[i]);
        }
        if (!found) {
            char buf[INET_PREFIX_STRLEN];
            retval = error_set(error, EADDRNOTAVAIL, "%s in the pod has lost its address %s", pod->ifname,
                               inet_prefix_format(&pod->addrs[i], buf));
            break;
        }
    }
    free(retval && retval != EADDRNOTAVAIL ? NULL : addrs);
    return retval;
}

static bool
route_matches(const struct rtnl_route *have, const struct rtnl_route *want)
{
    return (inet_prefix_equals(&have->dst, &want->dst)
            && have->table == want->table
            && have->has_gw == want->has_gw
            && (!want->has_gw || !memcmp(&have->gw, &want->gw, sizeof have->gw))
            && (!want->priority || have->priority == want->priority));
}

static int
check_routes(const struct pod_link *pod, struct rtnl *rtnl, int ifindex, struct error *error)
{
    struct rtnl_route *have, *want;
    size_t n_have;

    int retval = rtnl_route_list(rtnl, ifindex, RTPROT_UNSPEC, &have, &n_have, error);
    if (retval) {
        return retval;
    }
    size_t n_want = wanted_routes(pod, ifindex, &want);
    for (size_t i = 0; i < n_want && !retval; i++) {
        bool found = false;
        for (size_t j = 0; j < n_have && !found; j++) {
            found = route_matches(&have[j], &want[i]);
        }
        if (!found) {
            char buf[INET_PREFIX_STRLEN];
            retval = error_set(error, ESRCH, "the pod has lost its route to %s by %s",
                               inet_prefix_format(&want[i].dst, buf), pod->ifname);
        }
    }
    free(want);
    free(have);
    return retval;
}

/* What both ends have in common.  'where' is for the message. */
static int
check_link(const struct rtnl_link *link, const char *where, uint16_t mtu, struct error *error)
{
    if (mtu && link->mtu != mtu) {
        return error_set(error, EINVAL, "%s %s has MTU %u instead of %u", link->name, where, (unsigned int) link->mtu,
                         mtu);
    }
    if (!(link->flags & IFF_UP)) {
        return error_set(error, ENETDOWN, "%s %s is down", link->name, where);
    }
    return 0;
}

static int
check_inside(const struct pod_link *pod, int *peer_ifindex, struct error *error)
{
    struct rtnl_link link;
    struct rtnl *rtnl;

    int retval = need_netns(pod, error);
    retval = retval ? retval : rtnl_open(pod->netns_fd, &rtnl, error);
    if (retval) {
        return retval;
    }
    retval = rtnl_link_get(rtnl, pod->ifname, &link, error);
    if (retval) {
        error_wrap(error, "in the pod");
    } else if (!eth_addr_equals(link.mac, pod->mac)) {
        retval = error_set(error, EINVAL, "%s in the pod has the MAC "ETH_ADDR_FMT" instead of "ETH_ADDR_FMT,
                           pod->ifname,
                           ETH_ADDR_ARGS(link.mac), ETH_ADDR_ARGS(pod->mac));
    } else {
        retval = check_link(&link, "in the pod", pod->mtu, error);
    }
    if (!retval) {
        retval = check_addrs(pod, rtnl, link.ifindex, error);
    }
    if (!retval) {
        retval = check_routes(pod, rtnl, link.ifindex, error);
    }
    rtnl_close(rtnl);
    *peer_ifindex = retval ? 0 : link.peer_ifindex;
    return retval;
}

int
pod_link_check(const struct pod_link *pod, struct error *error)
{
    struct rtnl_link link;
    struct rtnl *rtnl;
    int peer_ifindex;

    int retval = check_inside(pod, &peer_ifindex, error);
    if (!retval) {
        retval = rtnl_open(-1, &rtnl, error);
    }
    if (retval) {
        return retval;
    }
    retval = rtnl_link_get(rtnl, pod->host_name, &link, error);
    if (retval) {
        error_wrap(error, "on the node");
    } else if (link.ifindex != peer_ifindex) {
        retval = error_set(error, ENODEV, "%s on the node is not the other end of %s in the pod", pod->host_name,
                           pod->ifname);
    } else {
        retval = check_link(&link, "on the node", pod->mtu, error);
    }
    rtnl_close(rtnl);
    return retval;
}

/* MTU. ----------------------------------------------------------------------------------------------------------- */

static int
set_mtu(int netns_fd, const char *name, uint16_t mtu, struct error *error)
{
    const struct rtnl_link_change change = { .mtu = mtu };
    struct rtnl *rtnl;

    int retval = rtnl_open(netns_fd, &rtnl, error);
    if (!retval) {
        retval = rtnl_link_set(rtnl, name, &change, error);
        rtnl_close(rtnl);
    }
    return retval;
}

static int
get_mtu(int netns_fd, const char *name, uint32_t *mtu, struct error *error)
{
    struct rtnl_link link;
    struct rtnl *rtnl;

    int retval = rtnl_open(netns_fd, &rtnl, error);
    if (!retval) {
        retval = rtnl_link_get(rtnl, name, &link, error);
        rtnl_close(rtnl);
    }
    if (!retval) {
        *mtu = link.mtu;
    }
    return retval;
}

/* An end of a veth drops what is longer than its own MTU.  So the pod, which sends by its MTU, is the last that grows
 * and the first that shrinks. */
int
pod_link_set_mtu(const char *host_name, const char *netns_path, const char *ifname, uint16_t mtu, struct error *error)
{
    uint32_t old;
    int fd;

    int retval = netns_open(netns_path, &fd, error);
    if (retval) {
        return retval;
    }
    retval = get_mtu(fd, ifname, &old, error);
    if (!retval && mtu >= old) {
        retval = set_mtu(-1, host_name, mtu, error);
    }
    if (!retval && mtu != old) {
        retval = set_mtu(fd, ifname, mtu, error);
    }
    if (!retval && mtu < old) {
        retval = set_mtu(-1, host_name, mtu, error);
    }
    close(fd);
    return retval;
}

/* The end. ------------------------------------------------------------------------------------------------------- */

/* One request on a socket of its own; ENODEV counts as success. */
static int
forget(const char *host_name, int (*request)(struct rtnl *, const char *, struct error *), struct error *error)
{
    ERROR_AUTO struct error e = ERROR_INIT;
    struct rtnl *rtnl;

    int retval = rtnl_open(-1, &rtnl, &e);
    if (!retval) {
        retval = request(rtnl, host_name, &e);
        rtnl_close(rtnl);
    }
    if (retval && retval != ENODEV) {
        error_move(error, &e);
        return retval;
    }
    return 0;
}

static int
request_trash(struct rtnl *rtnl, const char *host_name, struct error *error)
{
    static const struct rtnl_link_change trash = { .group = POD_LINK_TRASH_GROUP };
    return rtnl_link_set(rtnl, host_name, &trash, error);
}

int
pod_link_trash(const char *host_name, struct error *error)
{
    return forget(host_name, request_trash, error);
}

static int
request_empty_trash(struct rtnl *rtnl, const char *host_name OVS_UNUSED, struct error *error)
{
    return rtnl_link_delete_group(rtnl, POD_LINK_TRASH_GROUP, error);
}

int
pod_link_empty_trash(struct error *error)
{
    return forget(NULL, request_empty_trash, error);
}

int
pod_link_delete(const char *host_name, struct error *error)
{
    return forget(host_name, rtnl_link_delete, error);
}

int
pod_link_for_each(void (*cb)(const char *host_name, void *aux), void *aux, struct error *error)
{
    struct rtnl_link *links;
    struct rtnl *rtnl;
    size_t n;

    int retval = rtnl_open(-1, &rtnl, error);
    if (retval) {
        return retval;
    }
    retval = rtnl_link_list(rtnl, &links, &n, error);
    rtnl_close(rtnl);
    if (retval) {
        return retval;
    }
    for (size_t i = 0; i < n; i++) {
        if (!strncmp(links[i].name, POD_LINK_PREFIX, strlen(POD_LINK_PREFIX))
            && links[i].group != POD_LINK_TRASH_GROUP) {
            cb(links[i].name, aux);
        }
    }
    free(links);
    return 0;
}
