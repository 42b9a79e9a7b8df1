/* The host's own conntrack (zone 0): what was made while a Service's address or port was not ours keeps its old way as long as
 * the client goes on sending, which matters for UDP. */

#include <config.h>

#include "hostnet-private.h"

#include <stdio.h>
#include <stdlib.h>

#include "ct-dpif.h"
#include "netlink-conntrack.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "service-flow.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hostnet_conntrack);

static struct in6_addr
addr_of(const struct ct_dpif_tuple *tuple, const union ct_dpif_inet_addr *addr)
{
    struct in6_addr in6;

    if (tuple->l3_type == AF_INET6) {
        return addr->in6;
    }
    in6_addr_set_mapped_ipv4(&in6, addr->ip);
    return in6;
}

static bool
matches(const struct hostnet_flush *flush, const struct ct_dpif_tuple *orig)
{
    struct in6_addr dst = addr_of(orig, &orig->dst);

    return (orig->ip_proto == flush->protocol && ntohs(orig->dst_port) == flush->port
            && inet_family(&dst) == inet_family(&flush->addr)
            && (inet_is_any(&flush->addr) || IN6_ARE_ADDR_EQUAL(&dst, &flush->addr)));
}

/* By an address of the link to br-int, or with the gateway's address as source. */
static bool
leads_to_br_int(const struct ct_dpif_tuple *reply, const struct hostnet_config *config)
{
    static const char *const links[] = { FLOW_LINK_PREFIX_V4, FLOW_LINK_PREFIX_V6 };
    struct in6_addr src = addr_of(reply, &reply->src), dst = addr_of(reply, &reply->dst);

    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        struct inet_prefix link = inet_cidr_constant(links[i]);
        if (inet_prefix_contains(&link, &src)) {
            return true;
        }
    }
    for (size_t i = 0; i < config->n_gateway_addrs; i++) {
        if (IN6_ARE_ADDR_EQUAL(&config->gateway_addrs[i].addr, &dst)) {
            return true;
        }
    }
    return false;
}

static bool
is_stale(const struct ct_dpif_entry *entry, const struct hostnet_flush *flushes, size_t n, const struct hostnet_config *config)
{
    for (size_t i = 0; i < n; i++) {
        if (matches(&flushes[i], &entry->tuple_orig)) {
            return !leads_to_br_int(&entry->tuple_reply, config);
        }
    }
    return false;
}

size_t
hostnet_flush_conntrack(const struct hostnet_flush *flushes, size_t n, const struct hostnet_config *config)
{
    struct ct_dpif_tuple *stale = NULL;
    struct nl_ct_dump_state *dump;
    struct ct_dpif_entry entry;
    static const uint16_t zone = 0;
    size_t n_stale = 0, allocated = 0, n_removed = 0;
    int unused;

    if (nl_ct_dump_start(&dump, &zone, &unused)) {
        return 0;
    }
    while (!nl_ct_dump_next(dump, &entry)) {
        if (is_stale(&entry, flushes, n, config)) {
            if (n_stale >= allocated) {
                stale = x2nrealloc(stale, &allocated, sizeof *stale);
            }
            stale[n_stale++] = entry.tuple_orig;
        }
        ct_dpif_entry_uninit(&entry);
    }
    nl_ct_dump_done(dump);
    for (size_t i = 0; i < n_stale; i++) {
        n_removed += !nl_ct_flush_tuple(&stale[i], zone);
    }
    free(stale);
    if (n_removed) {
        VLOG_INFO("%"PRIuSIZE" connections of the host's own conntrack removed that a Service has taken over", n_removed);
    }
    return n_removed;
}
