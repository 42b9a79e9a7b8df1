/* What the node's stack hands to br-int for Services: the entries, and the part of table "inet sluice" that looks them up.
 *
 * The chains do not depend on the entries, which are elements of sets: one more or less is one element in one transaction.
 * docs/services.md shows the table and tells why it is so. */

#include <config.h>

#include "hostnet-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "service-flow.h"
#include "services.h"
#include "util.h"

/* Of the packet: br-int is the next hop.  It lives from prerouting or output to postrouting. */
#define MARK UINT32_C(0x04000000)
/* Of the connection: it came from br-int, and the routes would not bring its answers there. */
#define CT_BACK UINT32_C(0x04000000)
/* Of the connection: it went to br-int by MARK; so must the ICMP errors about it. */
#define CT_SENT UINT32_C(0x08000000)

/* The rule comes before those of operators who route by source. */
#define RULE_PRIORITY 83

struct entry {
    struct hmap_node node;              /* By key. */
    struct ovs_list pending;            /* Of 'struct hostnet_services'; empty: as installed. */
    bool wanted, is_installed;
    struct service_host host;           /* If 'wanted'. */
    struct service_host installed;      /* If 'is_installed'. */
};

struct hostnet_services {
    struct hmap entries;
    size_t n_wanted;
    struct ovs_list pending;
};

/* Entries. ------------------------------------------------------------------------------------------------------- */

struct hostnet_services *
hostnet_services_create(void)
{
    struct hostnet_services *s = xzalloc(sizeof *s);

    hmap_init(&s->entries);
    ovs_list_init(&s->pending);
    return s;
}

void
hostnet_services_destroy(struct hostnet_services *s)
{
    if (s) {
        struct entry *e;
        HMAP_FOR_EACH_POP (e, node, &s->entries) {
            free(e);
        }
        hmap_destroy(&s->entries);
        free(s);
    }
}

static uint32_t
hash_host(const struct service_host *host)
{
    return hash_bytes(&host->addr, sizeof host->addr, hash_3words(host->kind, host->protocol, host->port));
}

static struct entry *
find(const struct hostnet_services *s, const struct service_host *host)
{
    struct entry *e;
    HMAP_FOR_EACH_WITH_HASH (e, node, hash_host(host), &s->entries) {
        const struct service_host *key = e->wanted ? &e->host : &e->installed;
        if (key->kind == host->kind && key->protocol == host->protocol && key->port == host->port
            && IN6_ARE_ADDR_EQUAL(&key->addr, &host->addr)) {
            return e;
        }
    }
    return NULL;
}

/* Of equal keys. */
static bool
host_equals(const struct service_host *a, const struct service_host *b)
{
    return (a->keep_source == b->keep_source && a->has_alias == b->has_alias
            && (!a->has_alias || IN6_ARE_ADDR_EQUAL(&a->alias, &b->alias)));
}

static void
remove_entry(struct hostnet_services *s, struct entry *e)
{
    ovs_list_remove(&e->pending);
    hmap_remove(&s->entries, &e->node);
    free(e);
}

static void
update_pending(struct hostnet_services *s, struct entry *e)
{
    ovs_list_remove(&e->pending);
    if (e->wanted != e->is_installed || (e->wanted && !host_equals(&e->host, &e->installed))) {
        ovs_list_push_back(&s->pending, &e->pending);
    } else {
        ovs_list_init(&e->pending);
    }
}

void
hostnet_services_put(struct hostnet_services *s, const struct service_host *host)
{
    struct entry *e = find(s, host);

    if (!e) {
        e = xzalloc(sizeof *e);
        ovs_list_init(&e->pending);
        hmap_insert(&s->entries, &e->node, hash_host(host));
    }
    s->n_wanted += !e->wanted;
    e->wanted = true;
    e->host = *host;
    update_pending(s, e);
}

void
hostnet_services_drop(struct hostnet_services *s, const struct service_host *host)
{
    struct entry *e = find(s, host);

    if (!e || !e->wanted) {
        return;
    }
    s->n_wanted--;
    e->wanted = false;
    if (e->is_installed) {
        update_pending(s, e);
    } else {
        remove_entry(s, e);
    }
}

bool
hostnet_services_any(const struct hostnet_services *s)
{
    return s->n_wanted > 0;
}

bool
hostnet_services_pending(const struct hostnet_services *s)
{
    return !ovs_list_is_empty(&s->pending);
}

bool
hostnet_services_within(const struct hostnet_services *s, const struct inet_prefix *prefix)
{
    const struct entry *e;
    HMAP_FOR_EACH (e, node, &s->entries) {
        if (e->wanted && e->host.kind == SERVICE_HOST_CLUSTER && inet_prefix_contains(prefix, &e->host.addr)) {
            return true;
        }
    }
    return false;
}

/* Elements. ------------------------------------------------------------------------------------------------------ */

enum set_id { SET_CLUSTER, SET_EXTERNAL, SET_ALIAS, SET_NODE_PORT, SET_KEEP_SOURCE, N_SETS };

/* '%s' is the type of an address. */
static const struct {
    const char *keyword, *name, *type;
} sets[N_SETS] = {
    [SET_CLUSTER] = { "set", "cluster", "%s" },
    [SET_EXTERNAL] = { "set", "external", "%s . inet_proto . inet_service" },
    [SET_ALIAS] = { "map", "alias", "%1$s . inet_proto . inet_service : %1$s" },
    [SET_NODE_PORT] = { "set", "node_port", "inet_proto . inet_service" },
    [SET_KEEP_SOURCE] = { "set", "keep_source", "%s . inet_proto . inet_service" },
};

/* The two families in nft's words, and the link to br-int in each. */
static const struct family {
    int family;
    const char *suffix, *keyword, *type, *node, *hairpin, *router, *link, *any;
    const char *unserved;               /* Local addresses at which node ports are not served. */
} families[] = {
    { AF_INET, "v4", "ip", "ipv4_addr", FLOW_NODE_V4, FLOW_HAIRPIN_V4, FLOW_ROUTER_V4, FLOW_LINK_PREFIX_V4, "0.0.0.0/0",
      "127.0.0.0/8" },
    { AF_INET6, "v6", "ip6", "ipv6_addr", FLOW_NODE_V6, FLOW_HAIRPIN_V6, FLOW_ROUTER_V6, FLOW_LINK_PREFIX_V6, "::/0",
      "{ ::1, fe80::/10 }" },
};

/* The node's gateway address; NULL: the family has no pods and no Services. */
static const struct in6_addr *
gateway_addr(const struct hostnet_config *config, const struct family *family)
{
    for (size_t i = 0; i < config->n_gateway_addrs; i++) {
        if (inet_family(&config->gateway_addrs[i].addr) == family->family) {
            return &config->gateway_addrs[i].addr;
        }
    }
    return NULL;
}

static void
begin_element(struct ds *ds, const struct in6_addr *addr)
{
    ds_put_cstr(ds, ds->length ? ", " : "");
    if (addr) {
        inet_addr_put(ds, addr);
    }
}

static void
put_key(struct ds *ds, const struct in6_addr *addr, const struct service_host *host)
{
    begin_element(ds, addr);
    ds_put_format(ds, " . %"PRIu8" . %"PRIu16, host->protocol, host->port);
}

/* By the destination that the packet has in postrouting. */
static void
put_keep_source(struct ds *ds, const struct service_host *host, const struct family *family)
{
    if (host->kind == SERVICE_HOST_NODE_PORT) {
        ds_put_format(ds, "%s%s . %"PRIu8" . %"PRIu16, ds->length ? ", " : "", family->node, host->protocol, host->port);
    } else if (host->kind == SERVICE_HOST_EXTERNAL) {
        put_key(ds, &host->addr, host);
        if (host->has_alias) {
            put_key(ds, &host->alias, host);
        }
    }
}

/* What the entry has in the set, after a comma if it is not the first. */
static void
put_elements(struct ds *ds, enum set_id set, const struct service_host *host, const struct family *family)
{
    bool external = host->kind == SERVICE_HOST_EXTERNAL;

    if (inet_family(&host->addr) != family->family) {
        return;
    }
    if (set == SET_CLUSTER && host->kind == SERVICE_HOST_CLUSTER) {
        begin_element(ds, &host->addr);
    } else if (set == SET_EXTERNAL && external) {
        put_key(ds, &host->addr, host);
    } else if (set == SET_ALIAS && external && host->has_alias) {
        put_key(ds, &host->addr, host);
        ds_put_cstr(ds, " : ");
        inet_addr_put(ds, &host->alias);
    } else if (set == SET_NODE_PORT && host->kind == SERVICE_HOST_NODE_PORT) {
        begin_element(ds, NULL);
        ds_put_format(ds, "%"PRIu8" . %"PRIu16, host->protocol, host->port);
    } else if (set == SET_KEEP_SOURCE && host->keep_source) {
        put_keep_source(ds, host, family);
    }
}

static void
put_command(struct ds *ds, const char *command, enum set_id set, const struct family *family, struct ds *elements)
{
    if (elements->length) {
        ds_put_format(ds, "%s element inet "HOSTNET_NFT_TABLE" %s_%s { %s }\n", command, sets[set].name, family->suffix,
                      ds_cstr(elements));
        ds_clear(elements);
    }
}

static void
put_changes_of_set(const struct hostnet_services *s, enum set_id set, const struct family *family, bool removals,
                   struct ds *ds)
{
    struct ds elements = DS_EMPTY_INITIALIZER;
    const struct entry *e;

    LIST_FOR_EACH (e, pending, &s->pending) {
        if (removals ? e->is_installed : e->wanted) {
            put_elements(&elements, set, removals ? &e->installed : &e->host, family);
        }
    }
    put_command(ds, removals ? "delete" : "add", set, family, &elements);
    ds_destroy(&elements);
}

/* What changes an element removes it and adds it again. */
char *
hostnet_services_changes(const struct hostnet_services *s, const struct hostnet_config *config)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
            for (enum set_id set = 0; set < N_SETS && gateway_addr(config, &families[i]); set++) {
                put_changes_of_set(s, set, &families[i], pass == 0, &ds);
            }
        }
    }
    return ds_steal_cstr(&ds);
}

void
hostnet_services_put_elements(const struct hostnet_services *s, const struct hostnet_config *config, struct ds *ds)
{
    struct ds elements = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        for (enum set_id set = 0; set < N_SETS && gateway_addr(config, &families[i]); set++) {
            const struct entry *e;
            HMAP_FOR_EACH (e, node, &s->entries) {
                if (e->wanted) {
                    put_elements(&elements, set, &e->host, &families[i]);
                }
            }
            put_command(ds, "add", set, &families[i], &elements);
        }
    }
    ds_destroy(&elements);
}

static void
note_installed(struct hostnet_services *s, struct entry *e)
{
    if (e->wanted) {
        e->is_installed = true;
        e->installed = e->host;
        ovs_list_remove(&e->pending);
        ovs_list_init(&e->pending);
    } else {
        remove_entry(s, e);
    }
}

void
hostnet_services_changes_done(struct hostnet_services *s)
{
    struct entry *e;
    LIST_FOR_EACH_SAFE (e, pending, &s->pending) {
        note_installed(s, e);
    }
}

void
hostnet_services_all_done(struct hostnet_services *s)
{
    struct entry *e;
    HMAP_FOR_EACH_SAFE (e, node, &s->entries) {
        note_installed(s, e);
    }
}

/* Sets and chains. ----------------------------------------------------------------------------------------------- */

static void
put_sets(struct ds *ds, const struct family *f)
{
    for (enum set_id set = 0; set < N_SETS; set++) {
        char *type = xasprintf(sets[set].type, f->type);
        ds_put_format(ds, "  %s %s_%s {\n    type %s\n  }\n", sets[set].keyword, sets[set].name, f->suffix, type);
        free(type);
    }
}

/* A local address, from outside or from the node itself, becomes one of the link to br-int. */
static void
put_local(struct ds *ds, const struct family *f)
{
    ds_put_format(ds, "    %s daddr %s return\n", f->keyword, f->unserved);
    ds_put_format(ds, "    dnat %s to %s daddr . meta l4proto . th dport map @alias_%s\n", f->keyword, f->keyword, f->suffix);
    ds_put_format(ds, "    meta nfproto ip%s meta l4proto . th dport @node_port_%s dnat %s to %s\n", f->suffix, f->suffix,
                  f->keyword, f->node);
}

static void
put_destinations(struct ds *ds, const struct family *f)
{
    ds_put_format(ds, "    %s daddr @cluster_%s goto service_send\n", f->keyword, f->suffix);
    ds_put_format(ds, "    %s daddr . meta l4proto . th dport @external_%s goto service_send\n", f->keyword, f->suffix);
}

/* What conntrack cannot assign would be let through without its addresses translated. */
static void
put_invalid(struct ds *ds, const struct family *f)
{
    ds_put_format(ds, "    %s saddr %s drop\n    %s saddr @cluster_%s drop\n", f->keyword, f->link, f->keyword, f->suffix);
    ds_put_format(ds, "    %s saddr . meta l4proto . th sport @external_%s drop\n", f->keyword, f->suffix);
    ds_put_format(ds, "    fib daddr type local %s daddr . meta l4proto . th dport @external_%s drop\n", f->keyword, f->suffix);
    ds_put_format(ds, "    fib daddr type local meta nfproto ip%s meta l4proto . th dport @node_port_%s drop\n", f->suffix,
                  f->suffix);
}

static void
put_source(struct ds *ds, const struct family *f, const struct in6_addr *gateway)
{
    char addr[INET_ADDR_STRLEN];

    inet_addr_format(gateway, addr);
    ds_put_format(ds, "    iif != 0 %s daddr . meta l4proto . th dport @keep_source_%s return\n", f->keyword, f->suffix);
    ds_put_format(ds, "    %s saddr != %s %s daddr %s snat %s to %s fully-random\n", f->keyword, addr, f->keyword, f->link,
                  f->keyword, addr);
    ds_put_format(ds, "    %s saddr != %s meta mark & 0x%08"PRIx32" != 0x00000000 snat %s to %s fully-random\n", f->keyword, addr, MARK,
                  f->keyword, addr);
}

/* Appends what 'put' makes for each family that has Services. */
static void
put_families(struct ds *ds, const struct hostnet_config *config, void (*put)(struct ds *, const struct family *))
{
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (gateway_addr(config, &families[i])) {
            put(ds, &families[i]);
        }
    }
}

static void
put_dnat(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_cstr(ds, "  chain service_local {\n");
    put_families(ds, config, put_local);
    ds_put_format(ds, "  }\n  chain service_in {\n    type nat hook prerouting priority dstnat; policy accept;\n"
                  "    iifname \"%s\" return\n    fib daddr type local jump service_local\n  }\n", config->gateway);
    ds_put_cstr(ds, "  chain service_own {\n    type nat hook output priority -100; policy accept;\n"
                "    fib daddr type local jump service_local\n  }\n");
}

static void
put_marks(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_format(ds, "  chain service_send {\n    meta mark set meta mark | 0x%08"PRIx32"\n"
                  "    ct state new ct mark set ct mark | 0x%08"PRIx32"\n  }\n", MARK, CT_SENT);
    ds_put_cstr(ds, "  chain service_to {\n");
    put_families(ds, config, put_destinations);
    ds_put_format(ds, "    ct direction reply ct mark & 0x%08"PRIx32" != 0x00000000 meta mark set meta mark | 0x%08"PRIx32"\n", CT_BACK,
                  MARK);
    ds_put_format(ds, "    ct state related ct direction original ct mark & 0x%08"PRIx32" != 0x00000000 meta mark set meta mark | "
                  "0x%08"PRIx32"\n  }\n", CT_SENT, MARK);
    ds_put_cstr(ds, "  chain service_invalid {\n");
    put_families(ds, config, put_invalid);
    ds_put_format(ds, "  }\n  chain service_route {\n    type filter hook prerouting priority mangle; policy accept;\n"
                  "    ct state invalid jump service_invalid\n"
                  "    iifname \"%s\" ct state new fib saddr oifname != \"%s\" ct mark set ct mark | 0x%08"PRIx32"\n"
                  "    iifname \"%s\" return\n    jump service_to\n  }\n", config->gateway, config->gateway, CT_BACK,
                  config->gateway);
    ds_put_cstr(ds, "  chain service_route_own {\n    type route hook output priority mangle; policy accept;\n"
                "    jump service_to\n  }\n");
}

static void
put_hairpin(struct ds *ds, const struct hostnet_config *config, const struct family *f)
{
    ds_put_format(ds, "    oifname != \"%s\" %s saddr %s masquerade fully-random\n", config->gateway, f->keyword, f->hairpin);
}

static void
put_snat(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_cstr(ds, "  chain service_out {\n    type nat hook postrouting priority srcnat; policy accept;\n");
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (gateway_addr(config, &families[i])) {
            put_hairpin(ds, config, &families[i]);
        }
    }
    ds_put_format(ds, "    oifname != \"%s\" return\n    iifname \"%s\" return\n", config->gateway, config->gateway);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        const struct in6_addr *gateway = gateway_addr(config, &families[i]);
        if (gateway) {
            put_source(ds, &families[i], gateway);
        }
    }
    ds_put_format(ds, "  }\n  chain service_sent {\n    type filter hook postrouting priority 301; policy accept;\n"
                  "    meta mark & 0x%08"PRIx32" != 0x00000000 meta mark set meta mark & 0x%08"PRIx32"\n  }\n", MARK, ~MARK);
}

void
hostnet_services_put_sets(const struct hostnet_config *config, struct ds *ds)
{
    put_families(ds, config, put_sets);
}

void
hostnet_services_put_rules(const struct hostnet_config *config, struct ds *ds)
{
    put_dnat(ds, config);
    put_marks(ds, config);
    put_snat(ds, config);
}

/* Routes. -------------------------------------------------------------------------------------------------------- */

static struct inet_prefix
parse_prefix(const char *text)
{
    struct inet_prefix prefix;
    ovs_assert(!inet_prefix_parse(text, &prefix, NULL));
    return prefix;
}

/* To br-int's router; what the node sends so has its gateway address. */
static void
init_route(struct rtnl_route *route, const struct inet_prefix *dst, const struct family *f, const struct in6_addr *gateway,
           int oif)
{
    rtnl_route_init(route, dst, oif);
    route->protocol = HOSTNET_RTPROT;
    route->onlink = true;
    route->has_gw = true;
    ovs_assert(!inet_addr_parse(f->router, &route->gw, NULL));
    route->has_src = true;
    route->src = *gateway;
}

size_t
hostnet_services_routes(const struct hostnet_services *s, const struct hostnet_config *config, int oif,
                        struct rtnl_route *routes)
{
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(families) && oif && hostnet_services_any(s); i++) {
        const struct family *f = &families[i];
        const struct in6_addr *gateway = gateway_addr(config, f);
        struct inet_prefix link = parse_prefix(f->link), any = parse_prefix(f->any);

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
    struct rtnl_rule wanted[ARRAY_SIZE(families)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(families) && s && hostnet_services_any(s); i++) {
        if (gateway_addr(config, &families[i])) {
            wanted[n++] = (struct rtnl_rule) { .family = families[i].family, .priority = RULE_PRIORITY, .mark = MARK,
                                               .mask = MARK, .table = HOSTNET_ROUTE_TABLE, .protocol = HOSTNET_RTPROT };
        }
    }
    int retval = reconcile_rules(rtnl, wanted, n, error);
    if (!retval && n) {
        /* Answers come with a Service's address, to which the main table knows another way.  2 is loose, and beats 1 of "all". */
        int retval2 = hostnet_sysctl_set("ipv4", config->gateway, "rp_filter", 2, error);
        retval = retval2 == ENOENT ? 0 : retval2;       /* The gateway port is not there yet. */
    }
    return retval;
}
