#include <config.h>

#include "neigh-kernel.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink-socket.h"
#include "netlink.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "util.h"

int
neigh_listen(struct nl_sock **sockp, struct error *error)
{
    static const unsigned int groups[] = {
        RTNLGRP_NEIGH, RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
    };
    struct nl_sock *sock;
    int retval = nl_sock_create(NETLINK_ROUTE, &sock);

    for (size_t i = 0; i < ARRAY_SIZE(groups) && !retval; i++) {
        retval = nl_sock_join_mcgroup(sock, groups[i]);
        if (retval) {
            nl_sock_destroy(sock);
        }
    }
    if (retval) {
        return error_set_errno(error, retval, "cannot listen to the kernel's neighbour table");
    }
    *sockp = sock;
    return 0;
}

/* Parsing. ------------------------------------------------------------------------------------------------------ */

/* False if 'attr' is no address of 'family'. */
static bool
get_addr(const struct nlattr *attr, int family, struct in6_addr *addr)
{
    if (attr && family == AF_INET && nl_attr_get_size(attr) == 4) {
        in6_addr_set_mapped_ipv4(addr, nl_attr_get_be32(attr));
        return true;
    } else if (attr && family == AF_INET6 && nl_attr_get_size(attr) == 16) {
        *addr = nl_attr_get_in6_addr(attr);
        return true;
    }
    return false;
}

static void
parse_neigh(const struct ofpbuf *msg, uint16_t type, struct neigh_event *event)
{
    static const struct nl_policy policy[] = {
        [NDA_DST] = { .type = NL_A_UNSPEC, .optional = true, .min_len = 4, .max_len = 16 },
        [NDA_LLADDR] = { .type = NL_A_UNSPEC, .optional = true },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    const struct ndmsg *ndm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ndm);

    if (!ndm || !nl_policy_parse(msg, NLMSG_HDRLEN + sizeof *ndm, policy, attrs, ARRAY_SIZE(policy))
        || !get_addr(attrs[NDA_DST], ndm->ndm_family, &event->addr)) {
        return;
    }
    const struct nlattr *mac = attrs[NDA_LLADDR];
    event->type = NEIGH_EVENT_NEIGH;
    event->ifindex = ndm->ndm_ifindex;
    event->failed = type == RTM_DELNEIGH || ndm->ndm_state & NUD_FAILED;
    if (!event->failed && mac && nl_attr_get_size(mac) == ETH_ADDR_LEN
        && ndm->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)) {
        event->has_mac = true;
        event->mac = nl_attr_get_eth_addr(mac);
        event->reachable = ndm->ndm_state & (NUD_REACHABLE | NUD_PERMANENT);
    }
}

static void
parse_route(const struct ofpbuf *msg, struct neigh_event *event)
{
    static const struct nl_policy policy[] = {
        [RTA_OIF] = { .type = NL_A_U32, .optional = true },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    const struct rtmsg *rtm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *rtm);

    if (rtm && !(rtm->rtm_flags & RTM_F_CLONED)
        && nl_policy_parse(msg, NLMSG_HDRLEN + sizeof *rtm, policy, attrs, ARRAY_SIZE(policy))) {
        event->type = NEIGH_EVENT_ROUTES;
        event->ifindex = attrs[RTA_OIF] ? nl_attr_get_u32(attrs[RTA_OIF]) : 0;
    }
}

void
neigh_parse(const struct ofpbuf *msg, struct neigh_event *event)
{
    const struct nlmsghdr *header = ofpbuf_at(msg, 0, NLMSG_HDRLEN);

    *event = (struct neigh_event) { .type = NEIGH_EVENT_OTHER };
    switch (header ? header->nlmsg_type : 0) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        parse_neigh(msg, header->nlmsg_type, event);
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        parse_route(msg, event);
        break;
    case RTM_NEWLINK:
    case RTM_DELLINK: {
        const struct ifinfomsg *ifi = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifi);
        event->type = NEIGH_EVENT_ROUTES;
        event->ifindex = ifi ? ifi->ifi_index : 0;
        break;
    }
    default:
        break;
    }
}

/* Requests. ----------------------------------------------------------------------------------------------------- */

static void
put_addr(struct ofpbuf *request, uint16_t type, const struct in6_addr *addr)
{
    if (inet_is_v4(addr)) {
        nl_msg_put_be32(request, type, in6_addr_get_mapped_ipv4(addr));
    } else {
        nl_msg_put_in6_addr(request, type, addr);
    }
}

int
neigh_route(const struct in6_addr *dst, int *ifindex, struct in6_addr *hop, struct error *error)
{
    static const struct nl_policy policy[] = {
        [RTA_OIF] = { .type = NL_A_U32, .optional = true },
        [RTA_GATEWAY] = { .type = NL_A_UNSPEC, .optional = true, .min_len = 4, .max_len = 16 },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    struct ofpbuf request, *reply = NULL;
    char buf[INET_ADDR_STRLEN];
    int family = inet_family(dst);

    ofpbuf_init(&request, 128);
    nl_msg_put_nlmsghdr(&request, sizeof(struct rtmsg), RTM_GETROUTE, NLM_F_REQUEST);
    struct rtmsg *rtm = ofpbuf_put_zeros(&request, sizeof *rtm);
    rtm->rtm_family = family;
    rtm->rtm_dst_len = inet_max_plen(dst);
    put_addr(&request, RTA_DST, dst);
    int retval = nl_transact(NETLINK_ROUTE, &request, &reply);
    ofpbuf_uninit(&request);
    if (retval) {
        return error_set_errno(error, retval, "no route to the tunnel's destination %s", inet_addr_format(dst, buf));
    }
    *ifindex = 0;
    if (nl_policy_parse(reply, NLMSG_HDRLEN + sizeof(struct rtmsg), policy, attrs, ARRAY_SIZE(policy))
        && attrs[RTA_OIF]) {
        *ifindex = nl_attr_get_u32(attrs[RTA_OIF]);
        if (!get_addr(attrs[RTA_GATEWAY], family, hop)) {
            *hop = *dst;
        }
    }
    ofpbuf_delete(reply);
    return *ifindex ? 0 : error_set(error, EPROTO, "the kernel's route to %s names no interface",
                                    inet_addr_format(dst, buf));
}

int
neigh_use(int ifindex, const struct in6_addr *addr, struct error *error)
{
    char buf[INET_ADDR_STRLEN];
    struct ofpbuf request;

    ofpbuf_init(&request, 128);
    nl_msg_put_nlmsghdr(&request, sizeof(struct ndmsg), RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
    struct ndmsg *ndm = ofpbuf_put_zeros(&request, sizeof *ndm);
    ndm->ndm_family = inet_family(addr);
    ndm->ndm_ifindex = ifindex;
    ndm->ndm_flags = NTF_USE;
    put_addr(&request, NDA_DST, addr);
    int retval = nl_transact(NETLINK_ROUTE, &request, NULL);
    ofpbuf_uninit(&request);
    return (retval ? error_set_errno(error, retval, "cannot ask the kernel to resolve %s", inet_addr_format(addr, buf))
            : 0);
}

void
neigh_get(int ifindex, const struct in6_addr *addr, void (*cb)(const struct neigh_event *, void *aux), void *aux)
{
    struct ofpbuf request, *reply = NULL;

    ofpbuf_init(&request, 128);
    nl_msg_put_nlmsghdr(&request, sizeof(struct ndmsg), RTM_GETNEIGH, NLM_F_REQUEST);
    struct ndmsg *ndm = ofpbuf_put_zeros(&request, sizeof *ndm);
    ndm->ndm_family = inet_family(addr);
    ndm->ndm_ifindex = ifindex;
    put_addr(&request, NDA_DST, addr);
    int retval = nl_transact(NETLINK_ROUTE, &request, &reply);
    ofpbuf_uninit(&request);
    if (!retval) {
        struct neigh_event event;
        neigh_parse(reply, &event);
        if (event.type == NEIGH_EVENT_NEIGH) {
            cb(&event, aux);
        }
    } else if (retval == EOPNOTSUPP) {          /* Linux before 5.0. */
        neigh_dump(cb, aux);
    }
    ofpbuf_delete(reply);
}

void
neigh_dump(void (*cb)(const struct neigh_event *, void *aux), void *aux)
{
    struct ofpbuf request, reply, buf;
    struct nl_dump dump;

    ofpbuf_init(&request, 64);
    nl_msg_put_nlmsghdr(&request, sizeof(struct ndmsg), RTM_GETNEIGH, NLM_F_REQUEST);
    ofpbuf_put_zeros(&request, sizeof(struct ndmsg));
    nl_dump_start(&dump, NETLINK_ROUTE, &request);
    ofpbuf_uninit(&request);
    ofpbuf_init(&buf, NL_DUMP_BUFSIZE);
    while (nl_dump_next(&dump, &reply, &buf)) {
        struct neigh_event event;
        neigh_parse(&reply, &event);
        if (event.type == NEIGH_EVENT_NEIGH) {
            cb(&event, aux);
        }
    }
    ofpbuf_uninit(&buf);
    nl_dump_done(&dump);
}
