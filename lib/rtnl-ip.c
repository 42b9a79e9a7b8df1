/* Addresses and routes of lib/rtnl.h. */

#include <config.h>

#include "rtnl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

#include "netlink-socket.h"
#include "netlink.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "rtnl-private.h"
#include "util.h"

/* Addresses. ----------------------------------------------------------------------------------------------------- */

static void
put_addr_request(struct ofpbuf *msg, uint16_t type, uint16_t flags, const struct rtnl_addr *addr)
{
    ofpbuf_init(msg, 256);
    nl_msg_put_nlmsghdr(msg, 0, type, NLM_F_REQUEST | NLM_F_ACK | flags);
    struct ifaddrmsg *ifa = nl_msg_put_uninit(msg, sizeof *ifa);
    *ifa = (struct ifaddrmsg) {
        .ifa_family = inet_family(&addr->prefix.addr),
        .ifa_prefixlen = addr->prefix.plen,
        .ifa_scope = addr->scope,
        .ifa_index = addr->ifindex,
    };
    rtnl_put_addr(msg, IFA_LOCAL, &addr->prefix.addr);
    rtnl_put_addr(msg, IFA_ADDRESS, addr->has_peer ? &addr->peer : &addr->prefix.addr);
}

int
rtnl_addr_replace(struct rtnl *rtnl, const struct rtnl_addr *addr, struct error *error)
{
    char buf[INET_PREFIX_STRLEN];
    struct ofpbuf msg;

    put_addr_request(&msg, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, addr);
    if (addr->has_broadcast) {
        rtnl_put_addr(&msg, IFA_BROADCAST, &addr->broadcast);
    }
    nl_msg_put_u32(&msg, IFA_FLAGS, addr->flags);
    if (addr->metric) {
        nl_msg_put_u32(&msg, IFA_RT_PRIORITY, addr->metric);
    }
    return rtnl_transact(rtnl, &msg, NULL, error, "add the address %s to link %d",
                         inet_prefix_format(&addr->prefix, buf), addr->ifindex);
}

int
rtnl_addr_delete(struct rtnl *rtnl, const struct rtnl_addr *addr, struct error *error)
{
    char buf[INET_PREFIX_STRLEN];
    struct ofpbuf msg;

    put_addr_request(&msg, RTM_DELADDR, 0, addr);
    return rtnl_transact(rtnl, &msg, NULL, error, "delete the address %s from link %d",
                         inet_prefix_format(&addr->prefix, buf), addr->ifindex);
}

static bool
parse_addr(const struct ofpbuf *msg, struct rtnl_addr *addr)
{
    const struct ifaddrmsg *ifa = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifa);
    const struct nlattr *attrs[IFA_RT_PRIORITY + 1];
    struct in6_addr local, address;

    if (!ifa || nl_msg_nlmsghdr(msg)->nlmsg_type != RTM_NEWADDR) {
        return false;
    }
    rtnl_parse_attrs(msg, sizeof *ifa, attrs, ARRAY_SIZE(attrs));
    bool has_address = rtnl_attr_addr(attrs[IFA_ADDRESS], &address);
    if (!rtnl_attr_addr(attrs[IFA_LOCAL], &local)) {
        if (!has_address) {
            return false;
        }
        local = address;                /* IPv6 without a peer. */
    }

    *addr = (struct rtnl_addr) {
        .ifindex = ifa->ifa_index,
        .prefix = { .addr = local, .plen = ifa->ifa_prefixlen },
        .flags = attrs[IFA_FLAGS] ? rtnl_attr_u32(attrs[IFA_FLAGS]) : ifa->ifa_flags,
        .scope = ifa->ifa_scope,
        .metric = rtnl_attr_u32(attrs[IFA_RT_PRIORITY]),
        .has_peer = has_address && memcmp(&local, &address, sizeof local),
        .peer = address,
    };
    addr->has_broadcast = rtnl_attr_addr(attrs[IFA_BROADCAST], &addr->broadcast);
    return true;
}

struct addr_list {
    int family, ifindex;                /* A kernel without IPv6 answers with everything that it has. */
    struct rtnl_addr *addrs;
    size_t n, allocated;
};

static void
collect_addr(const struct ofpbuf *msg, void *list_)
{
    struct addr_list *list = list_;

    if (list->n >= list->allocated) {
        list->addrs = x2nrealloc(list->addrs, &list->allocated, sizeof *list->addrs);
    }
    struct rtnl_addr *addr = &list->addrs[list->n];
    list->n += (parse_addr(msg, addr) && inet_family(&addr->prefix.addr) == list->family
                && (!list->ifindex || addr->ifindex == list->ifindex));
}

int
rtnl_addr_list(struct rtnl *rtnl, int ifindex, struct rtnl_addr **addrs, size_t *n, struct error *error)
{
    struct addr_list list = { .ifindex = ifindex };
    static const uint8_t families[] = { AF_INET, AF_INET6 };

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        struct ofpbuf request;

        list.family = families[i];
        ofpbuf_init(&request, 64);
        nl_msg_put_nlmsghdr(&request, 0, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
        struct ifaddrmsg *ifa = nl_msg_put_uninit(&request, sizeof *ifa);
        *ifa = (struct ifaddrmsg) { .ifa_family = families[i], .ifa_index = ifindex };
        int retval = rtnl_dump(rtnl, &request, collect_addr, &list, error, "addresses");
        if (retval) {
            free(list.addrs);
            return retval;
        }
    }
    *addrs = list.addrs;
    *n = list.n;
    return 0;
}

/* Routes. -------------------------------------------------------------------------------------------------------- */

void
rtnl_route_init(struct rtnl_route *route, const struct inet_prefix *dst, int oif)
{
    *route = (struct rtnl_route) {
        .dst = *dst,
        .oif = oif,
        .table = RT_TABLE_MAIN,
        .protocol = RTPROT_BOOT,
        .scope = RT_SCOPE_UNIVERSE,
        .type = RTN_UNICAST,
    };
}

static void
put_metrics(struct ofpbuf *msg, const struct rtnl_route *route)
{
    size_t nested = nl_msg_start_nested(msg, RTA_METRICS);

    for (int i = 1; i <= RTAX_MAX; i++) {
        if (route->metrics[i] && i != RTAX_CC_ALGO) {
            nl_msg_put_u32(msg, i, route->metrics[i]);
        }
    }
    nl_msg_end_non_empty_nested(msg, nested);
}

static void
put_gateway(struct ofpbuf *msg, const struct rtnl_route *route)
{
    if (inet_family(&route->gw) == inet_family(&route->dst.addr)) {
        rtnl_put_addr(msg, RTA_GATEWAY, &route->gw);
    } else {
        struct { uint16_t family; struct in6_addr addr; } via = { AF_INET6, route->gw };
        nl_msg_put_unspec(msg, RTA_VIA, &via, sizeof via);
    }
}

static void
put_route_request(struct ofpbuf *msg, uint16_t type, uint16_t flags, const struct rtnl_route *route)
{
    ofpbuf_init(msg, 512);
    nl_msg_put_nlmsghdr(msg, 0, type, NLM_F_REQUEST | NLM_F_ACK | flags);
    struct rtmsg *rtm = nl_msg_put_uninit(msg, sizeof *rtm);
    *rtm = (struct rtmsg) {
        .rtm_family = inet_family(&route->dst.addr),
        .rtm_dst_len = route->dst.plen,
        .rtm_tos = route->tos,
        .rtm_table = route->table < 256 ? route->table : RT_TABLE_UNSPEC,
        .rtm_protocol = route->protocol,
        .rtm_scope = route->scope,
        .rtm_type = route->type,
        .rtm_flags = route->onlink ? RTNH_F_ONLINK : 0,
    };
    nl_msg_put_u32(msg, RTA_TABLE, route->table);
    if (route->dst.plen) {
        rtnl_put_addr(msg, RTA_DST, &route->dst.addr);
    }
    if (route->oif) {
        nl_msg_put_u32(msg, RTA_OIF, route->oif);
    }
    if (route->priority) {
        nl_msg_put_u32(msg, RTA_PRIORITY, route->priority);
    }
    if (route->has_gw) {
        put_gateway(msg, route);
    }
    if (route->has_src) {
        rtnl_put_addr(msg, RTA_PREFSRC, &route->src);
    }
    put_metrics(msg, route);
}

int
rtnl_route_add(struct rtnl *rtnl, const struct rtnl_route *route, struct error *error)
{
    char buf[INET_PREFIX_STRLEN];
    struct ofpbuf msg;

    put_route_request(&msg, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route);
    return rtnl_transact(rtnl, &msg, NULL, error, "add the route to %s by link %d",
                         inet_prefix_format(&route->dst, buf), route->oif);
}

int
rtnl_route_replace(struct rtnl *rtnl, const struct rtnl_route *route, struct error *error)
{
    char buf[INET_PREFIX_STRLEN];
    struct ofpbuf msg;

    put_route_request(&msg, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
    return rtnl_transact(rtnl, &msg, NULL, error, "add the route to %s by link %d",
                         inet_prefix_format(&route->dst, buf), route->oif);
}

int
rtnl_route_delete(struct rtnl *rtnl, const struct rtnl_route *route, struct error *error)
{
    char buf[INET_PREFIX_STRLEN];
    struct ofpbuf msg;

    put_route_request(&msg, RTM_DELROUTE, 0, route);
    return rtnl_transact(rtnl, &msg, NULL, error, "delete the route to %s by link %d",
                         inet_prefix_format(&route->dst, buf), route->oif);
}

static bool
parse_gateway(const struct nlattr *const attrs[], struct in6_addr *gw)
{
    if (attrs[RTA_VIA] && nl_attr_get_size(attrs[RTA_VIA]) == 2 + sizeof *gw) {
        memcpy(gw, (const uint8_t *) nl_attr_get(attrs[RTA_VIA]) + 2, sizeof *gw);
        return true;
    }
    return rtnl_attr_addr(attrs[RTA_GATEWAY], gw);
}

static void
parse_metrics(const struct nlattr *nested, struct rtnl_route *route)
{
    const struct nlattr *metrics[RTAX_MAX + 1];

    rtnl_parse_nested(nested, metrics, ARRAY_SIZE(metrics));
    for (int i = 1; i <= RTAX_MAX; i++) {
        if (metrics[i] && i == RTAX_CC_ALGO) {
            route->complex = true;
        } else {
            route->metrics[i] = rtnl_attr_u32(metrics[i]);
        }
    }
}

static bool
parse_route(const struct ofpbuf *msg, struct rtnl_route *route)
{
    const struct rtmsg *rtm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *rtm);
    const struct nlattr *attrs[RTA_MAX + 1];

    if (!rtm || nl_msg_nlmsghdr(msg)->nlmsg_type != RTM_NEWROUTE || rtm->rtm_flags & RTM_F_CLONED
        || (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)) {
        return false;
    }
    rtnl_parse_attrs(msg, sizeof *rtm, attrs, ARRAY_SIZE(attrs));

    struct inet_prefix dst = { .plen = rtm->rtm_dst_len };
    if (!rtnl_attr_addr(attrs[RTA_DST], &dst.addr)) {
        dst.addr = in6addr_any;
        if (rtm->rtm_family == AF_INET) {
            in6_addr_set_mapped_ipv4(&dst.addr, 0);
        }
    }
    rtnl_route_init(route, &dst, rtnl_attr_u32(attrs[RTA_OIF]));
    route->table = attrs[RTA_TABLE] ? rtnl_attr_u32(attrs[RTA_TABLE]) : rtm->rtm_table;
    route->protocol = rtm->rtm_protocol;
    route->scope = rtm->rtm_scope;
    route->type = rtm->rtm_type;
    route->tos = rtm->rtm_tos;
    route->onlink = (rtm->rtm_flags & RTNH_F_ONLINK) != 0;
    route->priority = rtnl_attr_u32(attrs[RTA_PRIORITY]);
    route->has_gw = parse_gateway(attrs, &route->gw);
    route->has_src = rtnl_attr_addr(attrs[RTA_PREFSRC], &route->src);
    route->complex = attrs[RTA_MULTIPATH] || attrs[RTA_NH_ID] || attrs[RTA_ENCAP] || attrs[RTA_SRC] || attrs[RTA_IIF];
    if (attrs[RTA_METRICS]) {
        parse_metrics(attrs[RTA_METRICS], route);
    }
    return true;
}

struct route_list {
    int family, oif;
    uint8_t protocol;
    struct rtnl_route *routes;
    size_t n, allocated;
};

static void
collect_route(const struct ofpbuf *msg, void *list_)
{
    struct route_list *list = list_;

    if (list->n >= list->allocated) {
        list->routes = x2nrealloc(list->routes, &list->allocated, sizeof *list->routes);
    }
    struct rtnl_route *route = &list->routes[list->n];
    list->n += (parse_route(msg, route) && inet_family(&route->dst.addr) == list->family
                && (!list->oif || route->oif == list->oif || (route->complex && !route->oif))
                && (!list->protocol || route->protocol == list->protocol));
}

int
rtnl_route_list(struct rtnl *rtnl, int oif, uint8_t protocol, struct rtnl_route **routes, size_t *n,
                struct error *error)
{
    struct route_list list = { .oif = oif, .protocol = protocol };
    static const uint8_t families[] = { AF_INET, AF_INET6 };

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        struct ofpbuf request;

        list.family = families[i];
        ofpbuf_init(&request, 64);
        nl_msg_put_nlmsghdr(&request, 0, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);
        struct rtmsg *rtm = nl_msg_put_uninit(&request, sizeof *rtm);
        *rtm = (struct rtmsg) { .rtm_family = families[i], .rtm_protocol = protocol };
        if (oif) {
            nl_msg_put_u32(&request, RTA_OIF, oif);
        }
        int retval = rtnl_dump(rtnl, &request, collect_route, &list, error, "routes");
        if (retval) {
            free(list.routes);
            return retval;
        }
    }
    *routes = list.routes;
    *n = list.n;
    return 0;
}
