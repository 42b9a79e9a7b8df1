#include <config.h>

#include "rtnl-events.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "netlink-notifier.h"
#include "netlink-socket.h"
#include "netlink.h"
#include "openvswitch/ofpbuf.h"
#include "rtnl-private.h"
#include "util.h"

#define N_GROUPS 7

struct rtnl_events {
    struct nln *nln;
    struct nln_notifier *notifiers[N_GROUPS];
    struct rtnl_event event;            /* What the parser found. */

    bool (*is_relevant)(const struct rtnl_event *, void *aux);  /* Of the last rtnl_events_run(). */
    void *aux;
    bool relevant;                      /* Since then. */
};

static int
parse_link(const struct ofpbuf *msg, struct rtnl_event *event)
{
    const struct ifinfomsg *ifi = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifi);
    const struct nlattr *attrs[IFLA_IFNAME + 1];

    event->is_link = true;
    if (ifi) {
        event->ifindex = ifi->ifi_index;
        rtnl_parse_attrs(msg, sizeof *ifi, attrs, ARRAY_SIZE(attrs));
        if (attrs[IFLA_IFNAME]) {
            ovs_strlcpy(event->name, nl_attr_get_string(attrs[IFLA_IFNAME]), sizeof event->name);
        }
    }
    return RTNLGRP_LINK;
}

static int
parse_addr(const struct ofpbuf *msg, struct rtnl_event *event)
{
    const struct ifaddrmsg *ifa = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifa);

    event->ifindex = ifa ? ifa->ifa_index : 0;
    return ifa && ifa->ifa_family == AF_INET6 ? RTNLGRP_IPV6_IFADDR : RTNLGRP_IPV4_IFADDR;
}

static int
parse_route(const struct ofpbuf *msg, struct rtnl_event *event)
{
    const struct rtmsg *rtm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *rtm);
    const struct nlattr *attrs[RTA_OIF + 1];

    if (!rtm) {
        return RTNLGRP_IPV4_ROUTE;
    }
    event->protocol = rtm->rtm_protocol;
    rtnl_parse_attrs(msg, sizeof *rtm, attrs, ARRAY_SIZE(attrs));
    event->ifindex = rtnl_attr_u32(attrs[RTA_OIF]);
    return rtm->rtm_family == AF_INET6 ? RTNLGRP_IPV6_ROUTE : RTNLGRP_IPV4_ROUTE;
}

static int
parse_rule(const struct ofpbuf *msg, struct rtnl_event *event)
{
    const struct fib_rule_hdr *header = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *header);
    const struct nlattr *attrs[FRA_PROTOCOL + 1];

    if (!header) {
        return RTNLGRP_IPV4_RULE;
    }
    rtnl_parse_attrs(msg, sizeof *header, attrs, ARRAY_SIZE(attrs));
    if (attrs[FRA_PROTOCOL] && nl_attr_get_size(attrs[FRA_PROTOCOL]) >= 1) {
        event->protocol = nl_attr_get_u8(attrs[FRA_PROTOCOL]);
    }
    return header->family == AF_INET6 ? RTNLGRP_IPV6_RULE : RTNLGRP_IPV4_RULE;
}

/* Returns the multicast group, as netlink-notifier.h wants it. */
static int
parse(struct ofpbuf *msg, void *event_)
{
    struct rtnl_event *event = event_;

    memset(event, 0, sizeof *event);
    event->cause = nl_msg_nlmsghdr(msg)->nlmsg_pid;
    switch (nl_msg_nlmsghdr(msg)->nlmsg_type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return parse_addr(msg, event);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return parse_route(msg, event);
    case RTM_NEWRULE:
    case RTM_DELRULE:
        return parse_rule(msg, event);
    default:
        return parse_link(msg, event);
    }
}

/* 'event' is NULL when announcements were lost. */
static void
notify(const void *event, void *events_)
{
    struct rtnl_events *events = events_;
    
    /* Creating a notifier reads what came for those before it. */
    events->relevant |= !event || !events->is_relevant || events->is_relevant(event, events->aux);
}

struct rtnl_events *
rtnl_events_create(void)
{
    static const int groups[N_GROUPS] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                                          RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE };
    struct rtnl_events *events = xzalloc(sizeof *events);

    events->nln = nln_create(NETLINK_ROUTE, parse, &events->event);
    for (size_t i = 0; i < N_GROUPS; i++) {
        events->notifiers[i] = nln_notifier_create(events->nln, groups[i], notify, events);
    }
    return events;
}

void
rtnl_events_destroy(struct rtnl_events *events)
{
    if (events) {
        for (size_t i = 0; i < N_GROUPS; i++) {
            nln_notifier_destroy(events->notifiers[i]);
        }
        nln_destroy(events->nln);
        free(events);
    }
}

bool
rtnl_events_run(struct rtnl_events *events, bool (*is_relevant)(const struct rtnl_event *, void *aux), void *aux)
{
    events->is_relevant = is_relevant;
    events->aux = aux;
    nln_run(events->nln);
    bool relevant = events->relevant;
    events->relevant = false;
    return relevant;
}

void
rtnl_events_wait(struct rtnl_events *events)
{
    nln_wait(events->nln);
}
