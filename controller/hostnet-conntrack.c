/* The host's own conntrack (zone 0): connections of UDP go on as they began, as long as somebody sends (and of SCTP, but Open
 * vSwitch 3.1 cannot remove single ones of these).  Those that began when an address or port was not a Service's, or was one's
 * that is gone, would never find out.
 *
 * Each is compared with what nftables would make of it now (hostnet-service-rules.c): a node port, and a Service's address
 * that is local, leads to an address of the link to br-int; other addresses of Services to br-int by their mark; all else to
 * neither.  What is equal stays.  What comes out of br-int to a server at a local address that a Service has too cannot be told
 * from what is older than the Service; it begins anew, as it was. */

#include <config.h>

#include "hostnet-service.h"

#include <stdio.h>
#include <stdlib.h>

#include "ct-dpif.h"
#include "netlink-conntrack.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "service-flow.h"
#include "services.h"
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
is_of_link(const struct in6_addr *addr)
{
    struct inet_prefix link = inet_cidr_constant(inet_is_v4(addr) ? FLOW_LINK_PREFIX_V4 : FLOW_LINK_PREFIX_V6);

    return inet_prefix_contains(&link, addr);
}

static bool
is_gateway(const struct hostnet_config *config, const struct in6_addr *addr)
{
    for (size_t i = 0; i < config->n_gateway_addrs; i++) {
        if (IN6_ARE_ADDR_EQUAL(&config->gateway_addrs[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

static bool
is_among(const struct in6_addr *addr, const struct in6_addr *addrs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (IN6_ARE_ADDR_EQUAL(&addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

/* What becomes of the destination: '*to' is its address at br-int, unspecified if it goes there untranslated.  False: it
 * does not go to br-int. */
static bool
find_way(const struct hostnet_services *s, const struct hostnet_local *local, const struct in6_addr *dst, uint8_t protocol,
         uint16_t port, struct in6_addr *to)
{
    bool v6 = !inet_is_v4(dst), is_local = is_among(dst, local->addrs, local->n_addrs);
    struct service_host key = { .kind = SERVICE_HOST_EXTERNAL, .addr = *dst, .protocol = protocol, .port = port };
    const struct service_host *external = hostnet_services_get(s, &key);

    if (is_local && external && external->has_alias) {
        *to = external->alias;
        return true;
    }
    key = (struct service_host) { .kind = SERVICE_HOST_NODE_PORT, .addr = *inet_any(v6), .protocol = protocol, .port = port };
    if (is_local && hostnet_services_get(s, &key)) {
        *to = inet_addr_constant(v6 ? FLOW_NODE_V6 : FLOW_NODE_V4);
        return true;
    }
    *to = *inet_any(v6);
    key = (struct service_host) { .kind = SERVICE_HOST_CLUSTER, .addr = *dst };
    return external || hostnet_services_get(s, &key);
}

static bool
is_stale(const struct ct_dpif_entry *entry, const struct hostnet_services *s, const struct hostnet_config *config,
         const struct hostnet_local *local)
{
    const struct ct_dpif_tuple *orig = &entry->tuple_orig, *reply = &entry->tuple_reply;
    struct in6_addr dst = addr_of(orig, &orig->dst), server = addr_of(reply, &reply->src), client = addr_of(reply, &reply->dst);
    struct in6_addr to;

    if (orig->ip_proto != IPPROTO_UDP || is_of_link(&dst) || IN6_IS_ADDR_LOOPBACK(&dst)
        || (inet_is_v4(&dst) && dst.s6_addr[12] == 127)) {
        return false;
    } else if (!find_way(s, local, &dst, orig->ip_proto, ntohs(orig->dst_port), &to)) {
        return is_of_link(&server) || (entry->mark & HOSTNET_CT_SENT && is_gateway(config, &client));
    } else if (inet_is_any(&to)) {
        return !(entry->mark & HOSTNET_CT_SENT);
    }
    return !IN6_ARE_ADDR_EQUAL(&server, &to);
}

size_t
hostnet_audit_conntrack(const struct hostnet_services *s, const struct hostnet_config *config, const struct hostnet_local *local)
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
        if (is_stale(&entry, s, config, local)) {
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
        VLOG_INFO("%"PRIuSIZE" connections of the host's own conntrack removed: Services have taken them over or are gone", n_removed);
    }
    return n_removed;
}
