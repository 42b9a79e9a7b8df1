/* The few rules of Sluice in the host's stack: libnftables, own tables, one transaction. */

#include <config.h>

#include "hostnet-private.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <malloc.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>

#include "netlink-socket.h"
#include "netlink.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "pod-link.h"
#include "util.h"

#define TABLE HOSTNET_NFT_TABLE
/* One bit that nobody else has to spare: it is cleared again before anybody looks. */
#define OWN_MARK UINT32_C(0x02000000)
/* Declared empty, deleted and, where it is still wanted, declared again: nft has no "replace", but a transaction is
 * atomic. */
#define RESET_TABLE(FAMILY) "table " FAMILY " " TABLE " { }\ndelete table " FAMILY " " TABLE "\n"

/* Text. ---------------------------------------------------------------------------------------------------------- */

/* The network of twice the size. */
static struct inet_prefix
parent_of(const struct inet_prefix *prefix)
{
    struct inet_prefix parent = { prefix->addr, prefix->plen - 1 };
    return inet_prefix_network(&parent);
}

/* Are both halves of one network? */
static bool
are_siblings(const struct inet_prefix *a, const struct inet_prefix *b)
{
    if (a->plen != b->plen || !a->plen) {
        return false;
    }
    struct inet_prefix parents[] = { parent_of(a), parent_of(b) };
    return inet_prefix_equals(&parents[0], &parents[1]);
}

size_t
hostnet_aggregate(const struct inet_prefix *prefixes, size_t n, int family, struct inet_prefix *out)
{
    size_t n_in = 0, n_out = 0;

    for (size_t i = 0; i < n; i++) {
        if (inet_family(&prefixes[i].addr) == family) {
            out[n_in++] = inet_prefix_network(&prefixes[i]);
        }
    }
    inet_prefixes_sort(out, n_in);
    for (size_t i = 0; i < n_in; i++) {
        struct inet_prefix prefix = out[i];
        if (n_out && inet_prefix_contains(&out[n_out - 1], &prefix.addr)) {
            continue;
        }
        while (n_out && are_siblings(&out[n_out - 1], &prefix)) {
            prefix = parent_of(&prefix);
            n_out--;
        }
        out[n_out++] = prefix;
    }
    return n_out;
}

/* "{ A, B }", or "A", of the networks of one family; false if there are none.  nft refuses sets with overlaps. */
static bool
put_set(struct ds *ds, const struct inet_prefix *prefixes, size_t n, int family)
{
    struct inet_prefix *set = xmalloc((n + 1) * sizeof *set);
    size_t n_set = hostnet_aggregate(prefixes, n, family, set);

    for (size_t i = 0; i < n_set; i++) {
        ds_put_cstr(ds, i ? ", " : n_set > 1 ? "{ " : "");
        inet_prefix_put(ds, &set[i]);
    }
    ds_put_cstr(ds, n_set > 1 ? " }" : "");
    free(set);
    return n_set > 0;
}

/* fully-random: two pods that use one source port towards one destination at the same moment must not clash, which would
 * lose the first packet of one of them.  UDP gets no port of a tunnel (6081, 4789): the answer would be taken for what
 * another node sends. */
void
hostnet_put_masquerade(struct ds *ds, const char *match)
{
    ds_put_format(ds, "    %s meta l4proto 17 masquerade to :10000-65535 fully-random\n", match);
    ds_put_format(ds, "    %s masquerade fully-random\n", match);
}

/* What this node's pods send out of the cluster gets the node's address. */
static void
put_masquerade(struct ds *ds, const struct hostnet_config *config, int family)
{
    const char *keyword = family == AF_INET ? "ip" : "ip6";
    struct ds sources = DS_EMPTY_INITIALIZER, cluster = DS_EMPTY_INITIALIZER, match = DS_EMPTY_INITIALIZER;

    if (put_set(&sources, config->gateway_addrs, config->n_gateway_addrs, family)) {
        ds_put_format(&match, "oifname != \"%s\" %s saddr %s", config->gateway, keyword, ds_cstr(&sources));
        if (put_set(&cluster, config->cluster_cidrs, config->n_cluster_cidrs, family)) {
            ds_put_format(&match, " %s daddr != %s", keyword, ds_cstr(&cluster));
        }
        hostnet_put_masquerade(ds, ds_cstr(&match));
    }
    ds_destroy(&sources);
    ds_destroy(&cluster);
    ds_destroy(&match);
}

/* The kernel must not take what OVS reads from the same links by AF_PACKET. */
static void
put_guard(struct ds *ds, const char *hook, const char *priority, const char *uplink, bool uplink_taken)
{
    ds_put_format(ds, "  chain guard {\n    type filter hook %s priority %s; policy accept;\n", hook, priority);
    ds_put_format(ds, "    iifname \"%s*\" drop\n", POD_LINK_PREFIX);
    if (uplink_taken) {
        ds_put_format(ds, "    iifname \"%s\" drop\n", uplink);
    }
    ds_put_cstr(ds, "  }\n");
}

/* What pods send to the port of the tunnels, by way of the node: with it a pod could send other nodes, and with the
 * kernel's datapath its own, packets from any source.  Of a datagram in fragments the first is enough. */
static void
put_tunnel_guard(struct ds *ds, const struct hostnet_config *config)
{
    if (config->tunnel_port) {
        ds_put_format(ds, "  chain tunnel {\n    type filter hook prerouting priority raw; policy accept;\n"
                      "    iifname \"%s\" udp dport %"PRIu16" drop\n  }\n", config->gateway, config->tunnel_port);
    }
}

/* What the node itself sends by the gateway port gets a mark in the last moment, and for it another source MAC.  What is
 * forwarded came in by some link ("iif"), neighbour discovery goes by the port's own MAC.  The mark lives only between
 * these two chains. */
static void
put_own_mark(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_format(ds, "  chain own {\n    type filter hook postrouting priority 300; policy accept;\n"
                  "    oifname != \"%s\" return\n"
                  "    meta mark set meta mark & 0x%08"PRIx32"\n"
                  "    iif != 0 return\n"
                  "    icmpv6 type 133-137 return\n"
                  "    meta mark set meta mark | 0x%08"PRIx32"\n  }\n", config->gateway, ~OWN_MARK, OWN_MARK);
}

/* The chain goes with the link, hence the number: with another one the text is another. */
static void
put_own_mac(struct ds *ds, const struct hostnet_config *config, int gateway_ifindex)
{
    ds_put_format(ds, RESET_TABLE("netdev") "# link %d\ntable netdev " TABLE " {\n"
                  "  chain own {\n    type filter hook egress device \"%s\" priority filter; policy accept;\n"
                  "    meta mark & 0x%08"PRIx32" != 0x00000000 ether saddr set "ETH_ADDR_FMT
                  " meta mark set meta mark & 0x%08"PRIx32"\n  }\n}\n",
                  gateway_ifindex, config->gateway, OWN_MARK, ETH_ADDR_ARGS(config->own_mac), ~OWN_MARK);
}

char *
hostnet_nft_rules(const struct hostnet_config *config, const char *uplink, bool uplink_taken, int gateway_ifindex,
                  bool services)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ds, RESET_TABLE("inet") "table inet " TABLE " {\n");
    if (services) {
        hostnet_services_put_sets(config, &ds);         /* First, as nft lists them. */
    }
    if (config->guard_af_packet) {
        put_guard(&ds, "prerouting", "-450", uplink, uplink_taken);
    }
    if (config->masquerade) {
        ds_put_cstr(&ds, "  chain outgoing {\n    type nat hook postrouting priority srcnat; policy accept;\n");
        put_masquerade(&ds, config, AF_INET);
        put_masquerade(&ds, config, AF_INET6);
        ds_put_cstr(&ds, "  }\n");
    }
    put_tunnel_guard(&ds, config);
    bool told_apart = !eth_addr_is_zero(config->own_mac);
    if (told_apart) {
        put_own_mark(&ds, config);
    }
    if (services) {
        hostnet_services_put_rules(config, &ds);
    }
    ds_put_cstr(&ds, "}\n" RESET_TABLE("arp"));
    if (config->guard_af_packet) {
        ds_put_cstr(&ds, "table arp " TABLE " {\n");
        put_guard(&ds, "input", "filter", uplink, uplink_taken);
        ds_put_cstr(&ds, "}\n");
    }
    if (told_apart && gateway_ifindex) {
        put_own_mac(&ds, config, gateway_ifindex);
    }
    return ds_steal_cstr(&ds);
}

/* Running. ------------------------------------------------------------------------------------------------------- */

/* libnftables' context costs 3 MB when it has worked once, so none is kept, and the memory goes back to the system.  '*output',
 * if not NULL, is to be freed. */
static int
run_nft(const char *rules, char **output, struct error *error)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    int retval = 0;

    if (!nft) {
        return error_set(error, ENOMEM, "cannot start libnftables");
    }
    nft_ctx_buffer_output(nft);
    nft_ctx_buffer_error(nft);
    nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_NUMERIC_PROTO);
    if (nft_run_cmd_from_buffer(nft, rules)) {
        const char *text = nft_ctx_get_error_buffer(nft);
        int len = text ? strcspn(text, "\n") : 0;
        retval = error_set(error, EIO, "nftables refused the rules of Sluice: %.*s", len, text ? text : "");
    } else if (output) {
        *output = xstrdup(nft_ctx_get_output_buffer(nft));
    }
    nft_ctx_free(nft);
    malloc_trim(0);
    return retval;
}

int
hostnet_remove_rules(struct error *error)
{
    struct rtnl *rtnl = NULL;

    int retval = run_nft(RESET_TABLE("inet") RESET_TABLE("arp"), NULL, error);
    run_nft(RESET_TABLE("netdev"), NULL, NULL);       /* Fails in a kernel without it. */
    retval = retval ? retval : rtnl_open(-1, &rtnl, error);
    retval = retval ? retval : hostnet_services_reconcile(NULL, rtnl, NULL, error);
    rtnl_close(rtnl);
    return retval;
}

/* Watching. ------------------------------------------------------------------------------------------------------ */

/* The kernel announces every change of every table, and the end of each transaction.  It does so before the
 * transaction's system call returns, so our own are known by counting. */
struct hostnet_nft {
    struct nl_sock *sock;               /* NULL: cannot watch. */
    char *rules;                        /* Installed; NULL: none. */
    bool looked;                        /* At what an earlier run has installed. */
    bool touched;                       /* Our tables, by the transaction being announced. */
    unsigned int n_transactions;        /* That touched our tables, since they were installed. */
    bool lost;                          /* Announcements. */
};

struct hostnet_nft *
hostnet_nft_create(void)
{
    struct hostnet_nft *nft = xzalloc(sizeof *nft);

    if (!nl_sock_create(NETLINK_NETFILTER, &nft->sock) && nl_sock_join_mcgroup(nft->sock, NFNLGRP_NFTABLES)) {
        nl_sock_destroy(nft->sock);
        nft->sock = NULL;
    }
    return nft;
}

void
hostnet_nft_destroy(struct hostnet_nft *nft)
{
    if (nft) {
        nl_sock_destroy(nft->sock);
        free(nft->rules);
        free(nft);
    }
}

/* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE and NFTA_SET_ELEM_LIST_TABLE are all 1. */
static bool
names_our_table(const struct ofpbuf *msg)
{
    const struct nlattr *name = nl_attr_find(msg, NLMSG_HDRLEN + sizeof(struct nfgenmsg), NFTA_TABLE_NAME);
    return name && nl_attr_get_size(name) == sizeof TABLE && !memcmp(nl_attr_get(name), TABLE, sizeof TABLE);
}

static void
handle(struct hostnet_nft *nft, const struct ofpbuf *msg)
{
    if (msg->size < NLMSG_HDRLEN + sizeof(struct nfgenmsg)) {
        return;
    }

    int type = nl_msg_nlmsghdr(msg)->nlmsg_type & 0xff;
    if (type == NFT_MSG_NEWGEN) {
        nft->n_transactions += nft->touched;
        nft->touched = false;
    } else if (names_our_table(msg)) {
        nft->touched = true;
    }
}

/* Reads all announcements.  After lost ones everything may have happened. */
static void
drain(struct hostnet_nft *nft)
{
    uint64_t stub[4096 / 8];

    for (;;) {
        struct ofpbuf buf, msg;

        ofpbuf_use_stub(&buf, stub, sizeof stub);
        int retval = nl_sock_recv(nft->sock, &buf, NULL, false);
        if (!retval) {
            struct ofpbuf rest = buf;
            while (nl_msg_next(&rest, &msg)) {
                handle(nft, &msg);
            }
        } else if (retval == ENOBUFS) {
            nft->n_transactions += 2;
            nft->lost = true;
        }
        ofpbuf_uninit(&buf);
        if (retval && retval != ENOBUFS) {
            return;
        }
    }
}

bool
hostnet_nft_run(struct hostnet_nft *nft)
{
    if (nft->sock) {
        drain(nft);
    }
    if (nft->rules && nft->n_transactions) {
        free(nft->rules);
        nft->rules = NULL;
        return true;
    }
    return false;
}

/* The number of the last transaction of anybody; 0: not known. */
static uint32_t
last_transaction(void)
{
    struct ofpbuf request, *reply = NULL;
    uint32_t id = 0;

    ofpbuf_init(&request, 64);
    nl_msg_put_nlmsghdr(&request, 0, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, NLM_F_REQUEST);
    struct nfgenmsg *header = nl_msg_put_uninit(&request, sizeof *header);
    *header = (struct nfgenmsg) { .version = NFNETLINK_V0 };
    if (!nl_transact(NETLINK_NETFILTER, &request, &reply)) {
        const struct nlattr *nla = nl_attr_find(reply, NLMSG_HDRLEN + sizeof(struct nfgenmsg), NFTA_GEN_ID);
        id = nla && nl_attr_get_size(nla) == 4 ? ntohl(nl_attr_get_be32(nla)) : 0;
    }
    ofpbuf_delete(reply);
    ofpbuf_uninit(&request);
    return id;
}

/* One transaction of our own, which does not count as somebody else's.  That of thousands of elements is announced by more
 * than the socket takes: then only the numbers tell whether there was another one. */
static int
run_own(struct hostnet_nft *nft, const char *text, struct error *error)
{
    if (!nft->sock) {
        return run_nft(text, NULL, error);
    }
    drain(nft);
    nft->lost = false;
    unsigned int n_before = nft->n_transactions;
    uint32_t last = last_transaction();
    int retval = run_nft(text, NULL, error);
    drain(nft);
    if (nft->lost) {
        nft->n_transactions = n_before + (!last || last_transaction() != last + !retval);
    } else if (!retval) {
        nft->n_transactions -= MIN(nft->n_transactions, 1);
    }
    return retval;
}

/* After a restart: is everything there as it is to be?  Each table is listed for itself, for one may be missing. */
static bool
is_installed(struct hostnet_nft *nft, const char *text)
{
    static const char *const tables[] = { "inet", "arp", "netdev" };
    struct ds listing = DS_EMPTY_INITIALIZER;

    if (nft->looked || !nft->sock) {
        return false;
    }
    nft->looked = true;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        char *command = xasprintf("list table %s "TABLE, tables[i]), *output = NULL;
        if (!run_nft(command, &output, NULL)) {
            ds_put_cstr(&listing, output);
        }
        free(output);
        free(command);
    }
    drain(nft);
    bool same = !nft->n_transactions && hostnet_nft_is_same(text, ds_cstr(&listing));
    ds_destroy(&listing);
    return same;
}

int
hostnet_nft_change(struct hostnet_nft *nft, struct hostnet_services *services, const struct hostnet_config *config,
                   struct error *error)
{
    if (!nft->rules) {
        return error_set(error, ENOENT, "the rules are not installed");
    }
    if (!hostnet_services_pending(services)) {
        return 0;
    }
    char *changes = hostnet_services_changes(services, config);
    int retval = changes[0] ? run_own(nft, changes, error) : 0;
    free(changes);
    if (!retval) {
        hostnet_services_changes_done(services);
    }
    return retval;
}

int
hostnet_nft_set(struct hostnet_nft *nft, char *rules, struct hostnet_services *services, const struct hostnet_config *config,
                struct error *error)
{
    struct ds text = DS_EMPTY_INITIALIZER;

    if (nft->rules && !strcmp(nft->rules, rules) && !hostnet_nft_change(nft, services, config, NULL)) {
        free(rules);
        return 0;
    }

    if (nft->sock) {
        drain(nft);
    }
    free(nft->rules);
    nft->rules = NULL;
    nft->n_transactions = 0;
    ds_put_cstr(&text, rules);
    if (hostnet_services_any(services)) {
        hostnet_services_put_elements(services, config, &text);
    }
    int retval = is_installed(nft, ds_cstr(&text)) ? 0 : run_own(nft, ds_cstr(&text), error);
    ds_destroy(&text);
    if (retval) {
        free(rules);
        return retval;
    }
    nft->rules = rules;
    hostnet_services_all_done(services);
    return 0;
}

void
hostnet_nft_wait(struct hostnet_nft *nft)
{
    if (nft->sock) {
        nl_sock_wait(nft->sock, POLLIN);
    }
    if (nft->n_transactions) {
        poll_immediate_wake();
    }
}
