/* How packets to Services find br-int: one rule for what is marked, one table of routes with the router of br-int as next hop,
 * and few routes in the main table. */

#include <config.h>

#include "hostnet-service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

/* It comes before the rules of operators who route by source. */
#define RULE_PRIORITY 83

/* To br-int's router; what the node sends so has its gateway address. */
static void
init_route(struct rtnl_route *route, const struct inet_prefix *dst, const struct hostnet_family *f, const struct in6_addr *gateway,
           int oif)
{
    rtnl_route_init(route, dst, oif);
    route->protocol = HOSTNET_RTPROT;
    route->onlink = true;
    route->has_gw = true;
    route->gw = inet_addr_constant(f->router);
    route->has_src = true;
    route->src = *gateway;
}

size_t
hostnet_services_routes(const struct hostnet_services *s, const struct hostnet_config *config, int oif,
                        struct rtnl_route *routes)
{
    size_t n = 0;

    for (size_t i = 0; i < N_FAMILIES && oif && hostnet_services_any(s); i++) {
        const struct hostnet_family *f = &hostnet_families[i];
        const struct in6_addr *gateway = hostnet_gateway_addr(config, f);
        struct inet_prefix link = inet_cidr_constant(f->link), any = inet_cidr_constant(f->any);

        if (!gateway) {
            continue;
        }
        init_route(&routes[n++], &link, f, gateway, oif);
        init_route(&routes[n], &any, f, gateway, oif);
        routes[n++].table = HOSTNET_ROUTE_TABLE;
        for (size_t j = 0; j < config->n_service_cidrs; j++) {
            const struct inet_prefix *cidr = &config->service_cidrs[j];
            if (inet_family(&cidr->addr) == f->family && hostnet_services_within(s, cidr)) {
                init_route(&routes[n++], cidr, f, gateway, oif);
            }
        }
    }
    return n;
}

/* Rules. --------------------------------------------------------------------------------------------------------- */

static bool
rule_is_wanted(const struct rtnl_rule *wanted, size_t n, const struct rtnl_rule *rule)
{
    for (size_t i = 0; i < n; i++) {
        const struct rtnl_rule *w = &wanted[i];
        if (w->family == rule->family && w->priority == rule->priority && w->mark == rule->mark && w->mask == rule->mask
            && w->table == rule->table) {
            return true;
        }
    }
    return false;
}

/* Those of 'wanted', and no others that bear our protocol. */
static int
reconcile_rules(struct rtnl *rtnl, const struct rtnl_rule *wanted, size_t n_wanted, struct error *error)
{
    struct rtnl_rule *have;
    size_t n_have;

    int retval = rtnl_rule_list(rtnl, HOSTNET_RTPROT, &have, &n_have, error);
    if (retval) {
        return retval;
    }
    for (size_t i = 0; i < n_wanted && !retval; i++) {
        if (!rule_is_wanted(have, n_have, &wanted[i])) {
            retval = rtnl_rule_add(rtnl, &wanted[i], error);
        }
    }
    for (size_t i = 0; i < n_have && !retval; i++) {
        if (!rule_is_wanted(wanted, n_wanted, &have[i])) {
            retval = rtnl_rule_delete(rtnl, &have[i], error);
            retval = retval == ENOENT ? 0 : retval;
        }
    }
    free(have);
    return retval;
}

int
hostnet_services_reconcile(const struct hostnet_services *s, struct rtnl *rtnl, const struct hostnet_config *config,
                           struct error *error)
{
    struct rtnl_rule wanted[N_FAMILIES];
    size_t n = 0;

    for (size_t i = 0; i < N_FAMILIES && s && hostnet_services_any(s); i++) {
        if (hostnet_gateway_addr(config, &hostnet_families[i])) {
            wanted[n++] = (struct rtnl_rule) { .family = hostnet_families[i].family, .priority = RULE_PRIORITY, .mark = HOSTNET_MARK,
                                               .mask = HOSTNET_MARK, .table = HOSTNET_ROUTE_TABLE, .protocol = HOSTNET_RTPROT };
        }
    }
    int retval = reconcile_rules(rtnl, wanted, n, error);
    if (!retval && n) {
        /* Answers come with a Service's address, to which the main table knows another way.  2 is loose, and beats 1 of "all". */
        int retval2 = hostnet_sysctl_set("ipv4", config->gateway, "rp_filter", 2, error);
        /* Ports of the host at 127.0.0.1; nothing with such an address comes from br-int by itself (L3_FORWARD, nftables). */
        retval2 = retval2 ? retval2 : hostnet_sysctl_set("ipv4", config->gateway, "route_localnet", 1, error);
        retval = retval2 == ENOENT ? 0 : retval2;       /* The gateway port is not there yet. */
    }
    return retval;
}

/* Local addresses. ----------------------------------------------------------------------------------------------- */

size_t
hostnet_read_local_addrs(struct rtnl *rtnl, const struct hostnet_uplink *uplink, struct in6_addr **local)
{
    struct rtnl_addr *addrs = NULL;
    size_t n = 0, n_all = 0;

    rtnl_addr_list(rtnl, 0, &addrs, &n, NULL);
    struct in6_addr *all = xmalloc((n + uplink->n_addrs + 1) * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        if (addrs[i].scope == RT_SCOPE_UNIVERSE) {
            all[n_all++] = addrs[i].prefix.addr;
        }
    }
    for (size_t i = 0; i < uplink->n_addrs; i++) {
        all[n_all++] = uplink->addrs[i].addr;
    }
    free(addrs);
    *local = all;
    return inet_addrs_unique(all, n_all);
}
