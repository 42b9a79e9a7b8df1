/* The part of table "inet sluice" that hands to br-int what goes to Services, as text for nft(8).
 *
 * The chains do not depend on the Services, which are elements of sets: one more or less is one element in one transaction.
 * docs/services.md shows the table and tells why it is so. */

#include <config.h>

#include "hostnet-service.h"

#include <inttypes.h>
#include <stdlib.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

/* Of the set's elements; '%s' is the type of an address. */
static const char *const types[N_SETS] = {
    [SET_CLUSTER] = "%s",
    [SET_EXTERNAL] = "%s . inet_proto . inet_service",
    [SET_ALIAS] = "%1$s . inet_proto . inet_service : %1$s",
    [SET_NODE_PORT] = "inet_proto . inet_service",
    [SET_KEEP_SOURCE] = "%s . inet_proto . inet_service",
    [SET_RESTRICTED] = "%s . inet_proto . inet_service",
    [SET_RANGE] = "%1$s . inet_proto . inet_service . %1$s\n    flags interval",
};

static void
put_sets(struct ds *ds, const struct hostnet_family *f)
{
    for (enum hostnet_set set = 0; set < N_SETS; set++) {
        char *type = xasprintf(types[set], f->type);
        ds_put_format(ds, "  %s %s_%s {\n    type %s\n  }\n", set == SET_ALIAS ? "map" : "set", hostnet_set_names[set], f->suffix, type);
        free(type);
    }
}

/* A local address, from outside or from the node itself, becomes one of the link to br-int. */
static void
put_local(struct ds *ds, const struct hostnet_family *f)
{
    ds_put_format(ds, "    %s daddr %s return\n", f->keyword, f->unserved);
    ds_put_format(ds, "    dnat %s to %s daddr . meta l4proto . th dport map @alias_%s\n", f->keyword, f->keyword, f->suffix);
    ds_put_format(ds, "    meta nfproto ip%s meta l4proto . th dport @node_port_%s dnat %s to %s\n", f->suffix, f->suffix,
                  f->keyword, f->node);
}

/* What is only forwarded must come from one of the Service's ranges, before masquerade hides where it comes from. */
static void
put_destinations(struct ds *ds, const struct hostnet_family *f)
{
    ds_put_format(ds, "    iif != 0 %s daddr . meta l4proto . th dport @restricted_%s "
                  "%s daddr . meta l4proto . th dport . %s saddr != @range_%s drop\n", f->keyword, f->suffix, f->keyword,
                  f->keyword, f->suffix);
    ds_put_format(ds, "    %s daddr @cluster_%s goto service_send\n", f->keyword, f->suffix);
    ds_put_format(ds, "    %s daddr . meta l4proto . th dport @external_%s goto service_send\n", f->keyword, f->suffix);
}

/* What conntrack cannot assign would be let through without its addresses translated. */
static void
put_invalid(struct ds *ds, const struct hostnet_family *f)
{
    ds_put_format(ds, "    %s saddr %s drop\n    %s saddr @cluster_%s drop\n", f->keyword, f->link, f->keyword, f->suffix);
    ds_put_format(ds, "    %s saddr . meta l4proto . th sport @external_%s drop\n", f->keyword, f->suffix);
    ds_put_format(ds, "    fib daddr type local %s daddr . meta l4proto . th dport @external_%s drop\n", f->keyword, f->suffix);
    ds_put_format(ds, "    fib daddr type local meta nfproto ip%s meta l4proto . th dport @node_port_%s drop\n", f->suffix,
                  f->suffix);
}

/* The link is between the node and br-int: what others send to its addresses, or as if from them, is forged. */
static void
put_foreign_destination(struct ds *ds, const struct hostnet_family *f)
{
    ds_put_format(ds, "    %s daddr %s drop\n", f->keyword, f->link);
}

static void
put_foreign_source(struct ds *ds, const struct hostnet_family *f)
{
    ds_put_format(ds, "    %s saddr %s drop\n", f->keyword, f->link);
}

/* TCP to an endpoint through a Service never has a source port that a direct connection of the node to it, a probe of kubelet's
 * say, may have or have had: the pod, which cannot tell the two, may remember a closed connection for longer (TIME_WAIT, 60 s)
 * than conntrack in br-int does (30 s), and would not take another.  So not the ephemeral ports, which begin at 32768. */
static void
put_tcp_source(struct ds *ds, const struct hostnet_family *f, const char *addr)
{
    bool v4 = !strcmp(f->keyword, "ip");
    char *to = xasprintf("snat %s to %s%s%s:1024-32767 fully-random", f->keyword, v4 ? "" : "[", addr, v4 ? "" : "]");

    ds_put_format(ds, "    %s daddr %s meta l4proto 6 %s\n", f->keyword, f->link, to);
    ds_put_format(ds, "    meta nfproto %s meta l4proto 6 meta mark & 0x%08"PRIx32" != 0x00000000 %s\n", v4 ? "ipv4" : "ipv6",
                  HOSTNET_MARK, to);
    free(to);
}

static void
put_source(struct ds *ds, const struct hostnet_family *f, const struct in6_addr *gateway)
{
    char addr[INET_ADDR_STRLEN];

    inet_addr_format(gateway, addr);
    ds_put_format(ds, "    iif != 0 %s daddr . meta l4proto . th dport @keep_source_%s return\n", f->keyword, f->suffix);
    put_tcp_source(ds, f, addr);
    ds_put_format(ds, "    %s saddr != %s %s daddr %s snat %s to %s fully-random\n", f->keyword, addr, f->keyword, f->link,
                  f->keyword, addr);
    ds_put_format(ds, "    %s saddr != %s meta mark & 0x%08"PRIx32" != 0x00000000 snat %s to %s fully-random\n", f->keyword, addr, HOSTNET_MARK,
                  f->keyword, addr);
}

/* Appends what 'put' makes for each family that has Services. */
static void
put_families(struct ds *ds, const struct hostnet_config *config, void (*put)(struct ds *, const struct hostnet_family *))
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (hostnet_gateway_addr(config, &hostnet_families[i])) {
            put(ds, &hostnet_families[i]);
        }
    }
}

/* A port of the host may be one of a loopback address (services 31): for the node's own alone. */
static void
put_loopback(struct ds *ds, const struct hostnet_family *f)
{
    ds_put_format(ds, "    %s daddr %s dnat %s to %s daddr . meta l4proto . th dport map @alias_%s\n", f->keyword, f->unserved,
                  f->keyword, f->keyword, f->suffix);
}

static void
put_dnat(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_cstr(ds, "  chain service_local {\n");
    put_families(ds, config, put_local);
    ds_put_format(ds, "  }\n  chain service_in {\n    type nat hook prerouting priority dstnat; policy accept;\n"
                  "    iifname \"%s\" return\n    fib daddr type local jump service_local\n  }\n", config->gateway);
    ds_put_cstr(ds, "  chain service_own {\n    type nat hook output priority -100; policy accept;\n");
    put_families(ds, config, put_loopback);
    ds_put_cstr(ds, "    fib daddr type local jump service_local\n  }\n");
}

static void
put_marks(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_format(ds, "  chain service_send {\n    meta mark set meta mark | 0x%08"PRIx32"\n"
                  "    ct state new ct mark set ct mark | 0x%08"PRIx32"\n  }\n", HOSTNET_MARK, HOSTNET_CT_SENT);
    ds_put_cstr(ds, "  chain service_to {\n");
    put_families(ds, config, put_destinations);
    ds_put_format(ds, "    ct direction reply ct mark & 0x%08"PRIx32" != 0x00000000 meta mark set meta mark | 0x%08"PRIx32"\n", HOSTNET_CT_BACK,
                  HOSTNET_MARK);
    ds_put_format(ds, "    ct state related ct direction original ct mark & 0x%08"PRIx32" != 0x00000000 meta mark set meta mark | "
                  "0x%08"PRIx32"\n  }\n", HOSTNET_CT_SENT, HOSTNET_MARK);
    ds_put_cstr(ds, "  chain service_invalid {\n");
    put_families(ds, config, put_invalid);
    ds_put_cstr(ds, "  }\n  chain service_route {\n    type filter hook prerouting priority mangle; policy accept;\n"
                "    ct state invalid jump service_invalid\n");
    put_families(ds, config, put_foreign_destination);
    ds_put_format(ds, "    iifname \"%s\" ip daddr 127.0.0.0/8 drop\n", config->gateway);
    ds_put_format(ds, "    iifname \"%s\" ct state new fib saddr oifname != \"%s\" ct mark set ct mark | 0x%08"PRIx32"\n"
                  "    iifname \"%s\" return\n", config->gateway, config->gateway, HOSTNET_CT_BACK, config->gateway);
    put_families(ds, config, put_foreign_source);
    ds_put_cstr(ds, "    jump service_to\n  }\n");
    ds_put_cstr(ds, "  chain service_route_own {\n    type route hook output priority mangle; policy accept;\n"
                "    jump service_to\n  }\n");
}

static void
put_hairpin(struct ds *ds, const struct hostnet_config *config, const struct hostnet_family *f)
{
    char *match = xasprintf("oifname != \"%s\" %s saddr %s", config->gateway, f->keyword, f->hairpin);

    hostnet_put_masquerade(ds, match);
    free(match);
}

static void
put_snat(struct ds *ds, const struct hostnet_config *config)
{
    ds_put_cstr(ds, "  chain service_out {\n    type nat hook postrouting priority srcnat; policy accept;\n");
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (hostnet_gateway_addr(config, &hostnet_families[i])) {
            put_hairpin(ds, config, &hostnet_families[i]);
        }
    }
    ds_put_format(ds, "    oifname != \"%s\" return\n    iifname \"%s\" return\n", config->gateway, config->gateway);
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const struct in6_addr *gateway = hostnet_gateway_addr(config, &hostnet_families[i]);
        if (gateway) {
            put_source(ds, &hostnet_families[i], gateway);
        }
    }
    ds_put_format(ds, "  }\n  chain service_sent {\n    type filter hook postrouting priority 301; policy accept;\n"
                  "    meta mark & 0x%08"PRIx32" != 0x00000000 meta mark set meta mark & 0x%08"PRIx32"\n  }\n", HOSTNET_MARK, ~HOSTNET_MARK);
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
