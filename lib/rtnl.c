#include <config.h>

#include "rtnl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink-socket.h"
#include "netlink.h"
#include "netns.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "rtnl-private.h"
#include "util.h"

#define MAX_INTERRUPTED_DUMPS 10
#define FIRST_OF_SEVERAL 0xf0000000     /* Sequence numbers far from those of the socket's own. */

struct rtnl {
    struct nl_sock *sock;
};

int
rtnl_open(int netns_fd, struct rtnl **rtnlp, struct error *error)
{
    struct nl_sock *sock;
    int back = -1;

    if (netns_fd >= 0) {
        int retval = netns_enter(netns_fd, &back, error);
        if (retval) {
            return retval;
        }
    }
    int retval = nl_sock_create(NETLINK_ROUTE, &sock);
    if (back >= 0) {
        netns_leave(back);
    }
    if (retval) {
        return error_set_errno(error, retval, "cannot open an rtnetlink socket");
    }

    /* The kernel then filters dumps by link (Linux 4.20).  Older ones ignore the filter, so the results are filtered
     * here too. */
    int one = 1;
    setsockopt(nl_sock_fd(sock), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);

    *rtnlp = xmalloc(sizeof **rtnlp);
    (*rtnlp)->sock = sock;
    return 0;
}

void
rtnl_close(struct rtnl *rtnl)
{
    if (rtnl) {
        nl_sock_destroy(rtnl->sock);
        free(rtnl);
    }
}

uint32_t
rtnl_port(const struct rtnl *rtnl)
{
    return nl_sock_pid(rtnl->sock);
}

/* Receives the next message that answers 'seq'. */
static int
receive(struct rtnl *rtnl, uint32_t seq, struct ofpbuf *reply)
{
    for (;;) {
        int retval = nl_sock_recv(rtnl->sock, reply, NULL, true);
        if (retval || nl_msg_nlmsghdr(reply)->nlmsg_seq == seq) {
            return retval;
        }
    }
}

/* Sends the request and receives one message.  '*extack' points into 'reply'. */
static int
exchange(struct rtnl *rtnl, struct ofpbuf *request, struct ofpbuf *reply, const char **extack)
{
    int retval = nl_sock_send(rtnl->sock, request, true);
    if (!retval) {
        retval = receive(rtnl, nl_msg_nlmsghdr(request)->nlmsg_seq, reply);
    }
    if (!retval) {
        nl_msg_nlmsgerr(reply, &retval, extack);
    }
    return retval;
}

int
rtnl_transact(struct rtnl *rtnl, struct ofpbuf *request, struct ofpbuf *replyp, struct error *error,
              const char *format, ...)
{
    const char *extack = NULL;
    struct ofpbuf reply;

    ofpbuf_init(&reply, 4096);
    int retval = exchange(rtnl, request, &reply, &extack);
    ofpbuf_uninit(request);
    if (!retval) {
        if (replyp) {
            *replyp = reply;
        } else {
            ofpbuf_uninit(&reply);
        }
        return 0;
    }

    va_list args;
    va_start(args, format);
    char *what = xvasprintf(format, args);
    va_end(args);
    error_set(error, retval, "cannot %s: %s%s%s%s", what, ovs_strerror(retval),
              extack ? " (" : "", extack ? extack : "", extack ? ")" : "");
    free(what);
    ofpbuf_uninit(&reply);
    return retval;
}

/* One dump into 'all': EINTR when the kernel calls it inconsistent. */
static int
dump_once(struct rtnl *rtnl, struct ofpbuf *request, struct ofpbuf *all)
{
    struct ofpbuf buf;
    bool interrupted = false, done = false;

    ofpbuf_init(&buf, 32768);
    int retval = nl_sock_send(rtnl->sock, request, true);
    while (!retval && !done) {
        retval = receive(rtnl, nl_msg_nlmsghdr(request)->nlmsg_seq, &buf);
        if (retval) {
            break;
        }

        struct ofpbuf msg;
        struct ofpbuf rest = buf;
        while (!done && nl_msg_next(&rest, &msg)) {
            const struct nlmsghdr *header = nl_msg_nlmsghdr(&msg);
            interrupted |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (header->nlmsg_type == NLMSG_DONE || nl_msg_nlmsgerr(&msg, &retval, NULL)) {
                done = true;
            } else {
                ofpbuf_put(all, msg.data, msg.size);
            }
        }
    }
    ofpbuf_uninit(&buf);
    return retval ? retval : interrupted ? EINTR : 0;
}

int
rtnl_dump(struct rtnl *rtnl, struct ofpbuf *request, void (*cb)(const struct ofpbuf *, void *aux), void *aux,
          struct error *error, const char *what)
{
    struct ofpbuf all;
    int retval;

    ofpbuf_init(&all, 8192);
    for (int i = 0; i < MAX_INTERRUPTED_DUMPS; i++) {
        ofpbuf_clear(&all);
        retval = dump_once(rtnl, request, &all);
        if (retval != EINTR) {
            break;
        }
    }
    ofpbuf_uninit(request);
    if (retval) {
        error_set_errno(error, retval, "cannot list the %s", what);
    } else {
        struct ofpbuf msg, rest = all;
        while (nl_msg_next(&rest, &msg)) {
            cb(&msg, aux);
        }
    }
    ofpbuf_uninit(&all);
    return retval;
}

static void
split_attrs(const struct nlattr *nla, size_t left, const struct nlattr *attrs[], size_t n_attrs)
{
    memset(attrs, 0, n_attrs * sizeof *attrs);
    for (; nl_attr_is_valid(nla, left); left -= nl_attr_len_pad(nla, left), nla = nl_attr_next(nla)) {
        if (nl_attr_type(nla) < n_attrs) {
            attrs[nl_attr_type(nla)] = nla;
        }
    }
}

void
rtnl_parse_attrs(const struct ofpbuf *msg, size_t header_len, const struct nlattr *attrs[], size_t n_attrs)
{
    size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(header_len);
    split_attrs(ofpbuf_at(msg, offset, 0), msg->size > offset ? msg->size - offset : 0, attrs, n_attrs);
}

void
rtnl_parse_nested(const struct nlattr *nla, const struct nlattr *attrs[], size_t n_attrs)
{
    split_attrs(nl_attr_get(nla), nl_attr_get_size(nla), attrs, n_attrs);
}

uint32_t
rtnl_attr_u32(const struct nlattr *nla)
{
    return nla && nl_attr_get_size(nla) >= 4 ? nl_attr_get_u32(nla) : 0;
}

bool
rtnl_attr_addr(const struct nlattr *nla, struct in6_addr *addr)
{
    if (nla && nl_attr_get_size(nla) == 4) {
        in6_addr_set_mapped_ipv4(addr, nl_attr_get_be32(nla));
        return true;
    } else if (nla && nl_attr_get_size(nla) == 16) {
        *addr = nl_attr_get_in6_addr(nla);
        return true;
    }
    return false;
}

void
rtnl_put_addr(struct ofpbuf *msg, uint16_t type, const struct in6_addr *addr)
{
    if (inet_is_v4(addr)) {
        nl_msg_put_be32(msg, type, in6_addr_get_mapped_ipv4(addr));
    } else {
        nl_msg_put_in6_addr(msg, type, addr);
    }
}

/* Links. --------------------------------------------------------------------------------------------------------- */

/* Begins a request about the link 'name' (NULL: about none). */
static void
put_link(struct ofpbuf *msg, uint16_t type, uint16_t flags, const char *name, bool up)
{
    ofpbuf_init(msg, 512);
    nl_msg_put_nlmsghdr(msg, 0, type, NLM_F_REQUEST | flags);
    struct ifinfomsg *ifi = nl_msg_put_uninit(msg, sizeof *ifi);
    *ifi = (struct ifinfomsg) { .ifi_family = AF_UNSPEC, .ifi_flags = up ? IFF_UP : 0, .ifi_change = up ? IFF_UP : 0 };
    if (name) {
        nl_msg_put_string(msg, IFLA_IFNAME, name);
    }
}

static bool
parse_link(const struct ofpbuf *msg, struct rtnl_link *link)
{
    const struct ifinfomsg *ifi = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifi);
    const struct nlattr *attrs[IFLA_GROUP + 1];

    if (!ifi || nl_msg_nlmsghdr(msg)->nlmsg_type != RTM_NEWLINK) {
        return false;
    }
    rtnl_parse_attrs(msg, sizeof *ifi, attrs, ARRAY_SIZE(attrs));
    if (!attrs[IFLA_IFNAME]) {
        return false;
    }

    *link = (struct rtnl_link) {
        .ifindex = ifi->ifi_index,
        .flags = ifi->ifi_flags,
        .mtu = rtnl_attr_u32(attrs[IFLA_MTU]),
        .group = rtnl_attr_u32(attrs[IFLA_GROUP]),
        .peer_ifindex = rtnl_attr_u32(attrs[IFLA_LINK]),
    };
    ovs_strzcpy(link->name, nl_attr_get_string(attrs[IFLA_IFNAME]), sizeof link->name);
    if (attrs[IFLA_ADDRESS] && nl_attr_get_size(attrs[IFLA_ADDRESS]) == sizeof link->mac) {
        link->mac = nl_attr_get_eth_addr(attrs[IFLA_ADDRESS]);
    }
    return true;
}

int
rtnl_link_get(struct rtnl *rtnl, const char *name, struct rtnl_link *link, struct error *error)
{
    struct ofpbuf request, reply;

    put_link(&request, RTM_GETLINK, 0, name, false);
    int retval = rtnl_transact(rtnl, &request, &reply, error, "find the link %s", name);
    if (!retval) {
        if (!parse_link(&reply, link)) {
            retval = error_set(error, EPROTO, "the kernel's answer about the link %s makes no sense", name);
        }
        ofpbuf_uninit(&reply);
    }
    return retval;
}

struct link_list {
    struct rtnl_link *links;
    size_t n, allocated;
};

static void
collect_link(const struct ofpbuf *msg, void *list_)
{
    struct link_list *list = list_;

    if (list->n >= list->allocated) {
        list->links = x2nrealloc(list->links, &list->allocated, sizeof *list->links);
    }
    list->n += parse_link(msg, &list->links[list->n]);
}

int
rtnl_link_list(struct rtnl *rtnl, struct rtnl_link **links, size_t *n, struct error *error)
{
    struct link_list list = { NULL, 0, 0 };
    struct ofpbuf request;

    put_link(&request, RTM_GETLINK, NLM_F_DUMP, NULL, false);
    int retval = rtnl_dump(rtnl, &request, collect_link, &list, error, "links");
    if (retval) {
        free(list.links);
        return retval;
    }
    *links = list.links;
    *n = list.n;
    return 0;
}

static void
put_veth(struct ofpbuf *msg, const struct rtnl_veth *veth)
{
    put_link(msg, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, veth->name, false);
    if (!eth_addr_is_zero(veth->mac)) {
        nl_msg_put_unspec(msg, IFLA_ADDRESS, &veth->mac, sizeof veth->mac);
    }
    nl_msg_put_u32(msg, IFLA_MTU, veth->mtu);
    size_t info = nl_msg_start_nested(msg, IFLA_LINKINFO);
    nl_msg_put_string(msg, IFLA_INFO_KIND, "veth");
    size_t data = nl_msg_start_nested(msg, IFLA_INFO_DATA);
    size_t peer = nl_msg_start_nested(msg, VETH_INFO_PEER);
    memset(nl_msg_put_uninit(msg, sizeof(struct ifinfomsg)), 0, sizeof(struct ifinfomsg));
    nl_msg_put_string(msg, IFLA_IFNAME, veth->peer_name);
    nl_msg_put_unspec(msg, IFLA_ADDRESS, &veth->peer_mac, sizeof veth->peer_mac);
    nl_msg_put_u32(msg, IFLA_MTU, veth->mtu);
    nl_msg_put_u32(msg, IFLA_NET_NS_FD, veth->peer_netns_fd);
    nl_msg_end_nested(msg, peer);
    nl_msg_end_nested(msg, data);
    nl_msg_end_nested(msg, info);
}

static void
put_change(struct ofpbuf *msg, const char *name, const struct rtnl_link_change *change)
{
    put_link(msg, RTM_SETLINK, NLM_F_ACK, name, change->up);
    if (change->mtu) {
        nl_msg_put_u32(msg, IFLA_MTU, change->mtu);
    }
    if (change->group) {
        nl_msg_put_u32(msg, IFLA_GROUP, change->group);
    }
    if (change->no_addr_gen) {
        size_t af_spec = nl_msg_start_nested(msg, IFLA_AF_SPEC);
        size_t inet6 = nl_msg_start_nested(msg, AF_INET6);
        nl_msg_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        nl_msg_end_nested(msg, inet6);
        nl_msg_end_nested(msg, af_spec);
    }
}

/* Sends several requests by one system call, so that who listens to the kernel's notifications wakes up once.  Frees
 * them. */
static int
transact_several(struct rtnl *rtnl, struct ofpbuf requests[], int errors[], size_t n)
{
    struct iovec iov[8];
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
    struct ofpbuf reply;

    ovs_assert(n <= ARRAY_SIZE(iov));
    for (size_t i = 0; i < n; i++) {
        struct nlmsghdr *header = nl_msg_nlmsghdr(&requests[i]);
        header->nlmsg_len = requests[i].size;
        header->nlmsg_seq = FIRST_OF_SEVERAL + i;
        iov[i] = (struct iovec) { requests[i].data, requests[i].size };
    }
    int retval = sendmsg(nl_sock_fd(rtnl->sock), &msg, 0) < 0 ? errno : 0;
    ofpbuf_init(&reply, 4096);
    for (size_t i = 0; i < n; i++) {
        errors[i] = 0;
        retval = retval ? retval : receive(rtnl, FIRST_OF_SEVERAL + i, &reply);
        if (!retval) {
            nl_msg_nlmsgerr(&reply, &errors[i], NULL);
        }
        ofpbuf_uninit(&requests[i]);
    }
    ofpbuf_uninit(&reply);
    return retval;
}

int
rtnl_veth_create(struct rtnl *rtnl, const struct rtnl_veth *veth, struct error *error)
{
    static const struct rtnl_link_change quiet = { .no_addr_gen = true }, up = { .up = true };
    struct ofpbuf requests[3];
    int errors[3];

    put_veth(&requests[0], veth);
    put_change(&requests[1], veth->name, &quiet);       /* Fails only in a kernel without IPv6. */
    put_change(&requests[2], veth->name, &up);
    int retval = transact_several(rtnl, requests, errors, ARRAY_SIZE(requests));
    retval = retval ? retval : errors[0];
    if (!retval && errors[2]) {
        retval = errors[2];
        rtnl_link_delete(rtnl, veth->name, NULL);
    }
    return retval ? error_set_errno(error, retval, "cannot create the veth pair %s and %s", veth->name,
                                    veth->peer_name) : 0;
}

int
rtnl_link_set(struct rtnl *rtnl, const char *name, const struct rtnl_link_change *change, struct error *error)
{
    struct ofpbuf msg;

    put_change(&msg, name, change);
    return rtnl_transact(rtnl, &msg, NULL, error, "%s the link %s", change->up ? "set up" : "change", name);
}

int
rtnl_link_delete(struct rtnl *rtnl, const char *name, struct error *error)
{
    struct ofpbuf msg;

    put_link(&msg, RTM_DELLINK, NLM_F_ACK, name, false);
    return rtnl_transact(rtnl, &msg, NULL, error, "delete the link %s", name);
}

int
rtnl_link_delete_group(struct rtnl *rtnl, uint32_t group, struct error *error)
{
    struct ofpbuf msg;

    put_link(&msg, RTM_DELLINK, NLM_F_ACK, NULL, false);
    nl_msg_put_u32(&msg, IFLA_GROUP, group);
    return rtnl_transact(rtnl, &msg, NULL, error, "delete the links of the group %#x", (unsigned int) group);
}
