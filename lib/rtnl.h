#ifndef SLUICE_RTNL_H
#define SLUICE_RTNL_H 1

/* Links, addresses, routes and rules of one network namespace, over rtnetlink(7).
 *
 * A handle is a NETLINK_ROUTE socket of libopenvswitch; it belongs to the namespace in which it was opened and to one
 * thread at a time.  Every function here is one or a few blocking requests: the kernel answers within the call, but
 * it may wait for the RTNL lock for milliseconds.  So pods' namespaces are worked on in worker threads; the main loop
 * uses this only for the few objects of the node itself.
 *
 * Errors are errno values with a message that names the object and ends with the kernel's own text (extended ack)
 * where it sends one.  Numbers are in host byte order, addresses in network byte order (inet.h). */

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "inet.h"
#include "openvswitch/types.h"

struct rtnl;

/* 'netns_fd' is -1 for the calling thread's own namespace. */
int rtnl_open(int netns_fd, struct rtnl **, struct error *);
void rtnl_close(struct rtnl *);
/* Its netlink port, which events that it causes bear (rtnl-events.h). */
uint32_t rtnl_port(const struct rtnl *);

/* Links. --------------------------------------------------------------------------------------------------------- */

struct rtnl_link {
    int ifindex;
    char name[IFNAMSIZ];
    struct eth_addr mac;                /* Zero when the link has no Ethernet address. */
    uint32_t mtu;
    unsigned int flags;                 /* IFF_*. */
    uint32_t group;
    int peer_ifindex;                   /* IFLA_LINK: of the other end of a veth, in its own namespace; 0: none. */
};

/* ENODEV when there is no such link. */
int rtnl_link_get(struct rtnl *, const char *name, struct rtnl_link *, struct error *);
/* All links; '*links' is to be freed with free(). */
int rtnl_link_list(struct rtnl *, struct rtnl_link **links, size_t *n, struct error *);

/* A veth pair whose peer is born in another namespace under its final name.  The near end is set up, and gets no IPv6
 * address of its own (addr_gen_mode none). */
struct rtnl_veth {
    const char *name;
    const char *peer_name;
    struct eth_addr mac;                /* All zero: the kernel chooses. */
    int peer_netns_fd;
    struct eth_addr peer_mac;
    uint32_t mtu;                       /* Both ends. */
};

/* EEXIST when either name is taken; the pair is made completely or not at all. */
int rtnl_veth_create(struct rtnl *, const struct rtnl_veth *, struct error *);

/* What is to change; zero means "leave as it is". */
struct rtnl_link_change {
    bool up;
    uint32_t mtu;
    uint32_t group;
    bool no_addr_gen;                   /* No IPv6 address of its own (addr_gen_mode none). */
};

/* One request.  ENODEV when there is no such link.  The kernel sets it up before it looks at 'no_addr_gen': use two
 * calls. */
int rtnl_link_set(struct rtnl *, const char *name, const struct rtnl_link_change *, struct error *);
/* ENODEV when there is no such link. */
int rtnl_link_delete(struct rtnl *, const char *name, struct error *);
/* Deletes every link of the group together.  ENODEV when there is none. */
int rtnl_link_delete_group(struct rtnl *, uint32_t group, struct error *);

/* Addresses. ----------------------------------------------------------------------------------------------------- */

struct rtnl_addr {
    int ifindex;
    struct inet_prefix prefix;          /* The local address with the length of its subnet. */
    bool has_peer, has_broadcast;
    struct in6_addr peer, broadcast;    /* Point to point; IPv4 broadcast. */
    uint32_t flags;                     /* IFA_F_*. */
    uint8_t scope;                      /* RT_SCOPE_*. */
    uint32_t metric;                    /* Of the subnet's route; 0: the kernel's choice. */
};

/* Adds the address or changes what exists already. */
int rtnl_addr_replace(struct rtnl *, const struct rtnl_addr *, struct error *);
/* EADDRNOTAVAIL when it is not there. */
int rtnl_addr_delete(struct rtnl *, const struct rtnl_addr *, struct error *);
/* Those of 'ifindex' (0: of all links), in the kernel's order: IPv4 primary addresses come before their secondaries.
 * '*addrs' is to be freed with free(). */
int rtnl_addr_list(struct rtnl *, int ifindex, struct rtnl_addr **addrs, size_t *n, struct error *);

/* Routes. -------------------------------------------------------------------------------------------------------- */

struct rtnl_route {
    struct inet_prefix dst;             /* Its family is the route's. */
    uint32_t table;                     /* RT_TABLE_*. */
    uint8_t protocol, scope, type, tos; /* RTPROT_*, RT_SCOPE_*, RTN_*. */
    uint32_t priority;                  /* The metric; 0: the kernel's choice. */
    int oif;                            /* 0: none (unreachable, blackhole). */
    bool onlink;                        /* The gateway need not be in a subnet of the link. */
    bool has_gw, has_src;
    struct in6_addr gw, src;            /* 'gw' may be IPv6 for an IPv4 route. */
    uint32_t metrics[RTAX_MAX + 1];     /* By RTAX_*, e.g. RTAX_MTU; 0: not set. */
    bool complex;                       /* From rtnl_route_list(): several next hops, or what is not expressed here. */
};

/* A unicast route in the main table, with everything else as it is by default. */
void rtnl_route_init(struct rtnl_route *, const struct inet_prefix *dst, int oif);
/* Adds the route.  EEXIST: there is one with the same destination, TOS, metric and table, perhaps by another link. */
int rtnl_route_add(struct rtnl *, const struct rtnl_route *, struct error *);
/* Adds the route; one with the same destination, TOS, metric and table is replaced in one step. */
int rtnl_route_replace(struct rtnl *, const struct rtnl_route *, struct error *);
/* ESRCH when it is not there. */
int rtnl_route_delete(struct rtnl *, const struct rtnl_route *, struct error *);
/* Those of all tables that leave by 'oif' (0: any) and are of 'protocol' (RTPROT_UNSPEC: any); '*routes' is to be
 * freed with free(). */
int rtnl_route_list(struct rtnl *, int oif, uint8_t protocol, struct rtnl_route **routes, size_t *n, struct error *);

/* Rules. --------------------------------------------------------------------------------------------------------- */

/* What has the mark is routed by the table. */
struct rtnl_rule {
    int family;                         /* AF_INET, AF_INET6. */
    uint32_t priority, mark, mask, table;
    uint8_t protocol;                   /* RTPROT_*: whose rule it is. */
};

/* EEXIST when it is there already. */
int rtnl_rule_add(struct rtnl *, const struct rtnl_rule *, struct error *);
/* ENOENT when it is not there. */
int rtnl_rule_delete(struct rtnl *, const struct rtnl_rule *, struct error *);
/* Those of 'protocol', both families; '*rules' is to be freed with free(). */
int rtnl_rule_list(struct rtnl *, uint8_t protocol, struct rtnl_rule **rules, size_t *n, struct error *);

#endif /* lib/rtnl.h */
