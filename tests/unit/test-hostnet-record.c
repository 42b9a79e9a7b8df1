#include <config.h>

#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

#include "controller/hostnet-private.h"
#include "unit.h"
#include "util.h"

static struct inet_prefix
prefix(const char *s)
{
    struct inet_prefix p;
    ck_assert_int_eq(inet_prefix_parse(s, &p, NULL), 0);
    return p;
}

static void
sample(struct hostnet_record *record)
{
    struct inet_prefix v4 = prefix("0.0.0.0/0"), v6 = prefix("2001:db8::/32");
    struct rtnl_addr a = { .prefix = prefix("192.0.2.5/24"), .has_broadcast = true, .broadcast = prefix("192.0.2.255/32").addr };
    struct rtnl_addr b = { .prefix = prefix("2001:db8::5/64"), .flags = IFA_F_NODAD | IFA_F_NOPREFIXROUTE, .metric = 4000000000u };
    struct rtnl_addr c = { .prefix = prefix("10.0.0.1/32"), .has_peer = true, .peer = prefix("10.0.0.2/32").addr, .scope = 253 };
    struct rtnl_route route;

    *record = (struct hostnet_record) { .uplink = "eth0", .bridge = "br-uplink", .accept_ra = 1, .gro = -1 };
    ck_assert(hostnet_record_merge_addr(record, &a));
    ck_assert(hostnet_record_merge_addr(record, &b));
    ck_assert(hostnet_record_merge_addr(record, &c));
    rtnl_route_init(&route, &v4, 7);
    route.has_gw = route.onlink = route.has_src = true;
    route.gw = prefix("192.0.2.1/32").addr;
    route.src = a.prefix.addr;
    route.metrics[RTAX_MTU] = 1400;
    route.table = 3000000000u;
    ck_assert(hostnet_record_merge_route(record, &route));
    rtnl_route_init(&route, &v6, 7);
    route.priority = 99;
    route.protocol = RTPROT_KERNEL;
    ck_assert(hostnet_record_merge_route(record, &route));
}

START_TEST(test_round_trip)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct hostnet_record record, again;

    sample(&record);
    char *text = hostnet_record_format(&record);
    ck_assert_msg(!hostnet_record_parse(text, strlen(text), &again, &error), "%s", error_message(&error));
    ck_assert_int_eq(again.n_addrs, 3);
    ck_assert_int_eq(again.n_routes, 2);
    /* Nothing was lost: merging what there was changes nothing. */
    for (size_t i = 0; i < record.n_addrs; i++) {
        ck_assert(!hostnet_record_merge_addr(&again, &record.addrs[i]));
    }
    for (size_t i = 0; i < record.n_routes; i++) {
        ck_assert(!hostnet_record_merge_route(&again, &record.routes[i]));
    }
    char *text2 = hostnet_record_format(&again);
    ck_assert_str_eq(text, text2);

    /* Every truncation is refused. */
    for (size_t n = 0; n + 1 < strlen(text); n++) {
        struct hostnet_record r;
        ck_assert_msg(hostnet_record_parse(text, n, &r, &error) == EINVAL, "%zu bytes were taken", n);
        ck_assert(!r.addrs && !r.routes && !r.uplink[0]);
    }
    free(text);
    free(text2);
    hostnet_record_destroy(&record);
    hostnet_record_destroy(&again);
}
END_TEST

START_TEST(test_merge)
{
    struct hostnet_record record;

    sample(&record);
    struct rtnl_addr addr = record.addrs[0];
    addr.prefix.plen = 16;                      /* The same address in a wider subnet. */
    ck_assert(hostnet_record_merge_addr(&record, &addr));
    ck_assert_int_eq(record.n_addrs, 3);
    ck_assert_int_eq(record.addrs[0].prefix.plen, 16);
    struct rtnl_route route = record.routes[0];
    route.gw = prefix("192.0.2.2/32").addr;     /* The same route by another gateway. */
    ck_assert(hostnet_record_merge_route(&record, &route));
    ck_assert_int_eq(record.n_routes, 2);
    route.priority = 5;                         /* Another one. */
    ck_assert(hostnet_record_merge_route(&record, &route));
    ck_assert_int_eq(record.n_routes, 3);
    hostnet_record_destroy(&record);
}
END_TEST

#define HEAD "{\"version\": 1, \"uplink\": \"eth0\", \"bridge\": \"br\", \"accept_ra\": 1, \"gro\": 1, "
#define ADDR(A) HEAD "\"addresses\": [" A "], \"routes\": []}"
#define ROUTE(R) HEAD "\"addresses\": [], \"routes\": [" R "]}"

static const struct {
    const char *text, *message;
} bad[] = {
    { "", "" }, { "{", "" }, { "[]", "" }, { "null", "" }, { "{}", "version" },
    { "{\"version\": 2, \"uplink\": \"eth0\", \"bridge\": \"br\", \"accept_ra\": 1, \"gro\": 1, \"addresses\": [], \"routes\": []}",
      "version 2" },
    { "{\"version\": 1, \"uplink\": \"\", \"bridge\": \"br\", \"accept_ra\": 1, \"gro\": 1, \"addresses\": [], \"routes\": []}", "no name" },
    { "{\"version\": 1, \"uplink\": \"../etc\", \"bridge\": \"br\", \"accept_ra\": 1, \"gro\": 1, \"addresses\": [], \"routes\": []}",
      "no name" },
    { "{\"version\": 1, \"uplink\": \"sixteen-bytes-xx\", \"bridge\": \"br\", \"accept_ra\": 1, \"gro\": 1, \"addresses\": [], \"routes\": []}",
      "no name" },
    { HEAD "\"addresses\": 1, \"routes\": \"x\", \"routes\": 1}", "" },
    { ADDR("1"), "address" }, { ADDR("{}"), "address" },
    { ADDR("{\"address\": \"10.0.0.1\", \"scope\": 0, \"flags\": 0, \"metric\": 0}"), "ADDRESS/LENGTH" },
    { ADDR("{\"address\": \"10.0.0.1/24\", \"scope\": 0, \"flags\": 0, \"metric\": 0, \"peer\": \"x\"}"), "\"x\"" },
    { ROUTE("{\"destination\": \"10.0.0.0/8\"}"), "route" },
    { ROUTE("{\"destination\": \"10.0.0.1/8\", \"table\": 254, \"protocol\": 3, \"scope\": 0, \"type\": 1, \"tos\": 0, "
            "\"priority\": 0, \"onlink\": false, \"metrics\": []}"), "10.0.0.0/8" },
};

START_TEST(test_bad)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct hostnet_record record;

    ck_assert_msg(hostnet_record_parse(bad[_i].text, strlen(bad[_i].text), &record, &error), "%s", bad[_i].text);
    ck_assert_msg(strstr(error_message(&error), bad[_i].message), "%s: %s", bad[_i].text, error_message(&error));
}
END_TEST

START_TEST(test_good)
{
    const char *text = ROUTE("{\"destination\": \"10.0.0.0/8\", \"table\": 254, \"protocol\": 3, \"scope\": 0, \"type\": 1, "
                             "\"tos\": 0, \"priority\": 0, \"onlink\": false, \"metrics\": [0, 0, 1400]}");
    ERROR_AUTO struct error error = ERROR_INIT;
    struct hostnet_record record;

    ck_assert_msg(!hostnet_record_parse(text, strlen(text), &record, &error), "%s", error_message(&error));
    ck_assert_int_eq(record.routes[0].metrics[RTAX_MTU], 1400);
    hostnet_record_destroy(&record);
}
END_TEST

START_TEST(test_rules)
{
    struct inet_prefix own[] = { prefix("10.244.1.1/24"), prefix("fd00:1::1/64") };
    struct inet_prefix cluster[] = { prefix("10.244.7.0/24"), prefix("10.244.0.0/16"), prefix("10.96.0.0/16"),
                                     prefix("10.244.0.0/16"), prefix("10.113.0.0/16"), prefix("10.112.0.0/16"), prefix("10.115.0.0/16"),
                                     prefix("fd00:1::/48"), prefix("fd00:1:0:5::/64") };
    struct hostnet_config config = { .gateway = "sluice0", .gateway_addrs = own, .n_gateway_addrs = 2,
                                     .cluster_cidrs = cluster, .n_cluster_cidrs = ARRAY_SIZE(cluster), .masquerade = true, .guard_af_packet = true };

    char *text = hostnet_nft_rules(&config, "eth0", true, 7, false);
    ck_assert_str_eq(text,
                     "table inet sluice { }\n"
                     "delete table inet sluice\n"
                     "table inet sluice {\n"
                     "  chain guard {\n"
                     "    type filter hook prerouting priority -450; policy accept;\n"
                     "    iifname \"slp*\" drop\n"
                     "    iifname \"eth0\" drop\n"
                     "  }\n"
                     "  chain outgoing {\n"
                     "    type nat hook postrouting priority srcnat; policy accept;\n"
                     "    oifname != \"sluice0\" ip saddr 10.244.1.0/24 ip daddr != { 10.96.0.0/16, 10.112.0.0/15, "
                     "10.115.0.0/16, 10.244.0.0/16 } meta l4proto 17 masquerade to :10000-65535 fully-random\n"
                     "    oifname != \"sluice0\" ip saddr 10.244.1.0/24 ip daddr != { 10.96.0.0/16, 10.112.0.0/15, "
                     "10.115.0.0/16, 10.244.0.0/16 } masquerade fully-random\n"
                     "    oifname != \"sluice0\" ip6 saddr fd00:1::/64 ip6 daddr != fd00:1::/48 meta l4proto 17 masquerade to :10000-65535 fully-random\n"
                     "    oifname != \"sluice0\" ip6 saddr fd00:1::/64 ip6 daddr != fd00:1::/48 masquerade fully-random\n"
                     "  }\n"
                     "}\n"
                     "table arp sluice { }\n"
                     "delete table arp sluice\n"
                     "table arp sluice {\n"
                     "  chain guard {\n"
                     "    type filter hook input priority filter; policy accept;\n"
                     "    iifname \"slp*\" drop\n"
                     "    iifname \"eth0\" drop\n"
                     "  }\n"
                     "}\n");
    free(text);

    /* Nothing wanted, one family, no uplink. */
    config.masquerade = config.guard_af_packet = false;
    text = hostnet_nft_rules(&config, "", false, 7, false);
    ck_assert_ptr_null(strstr(text, "chain"));
    free(text);
    config.masquerade = config.guard_af_packet = true;
    config.gateway_addrs = &own[1];
    config.n_gateway_addrs = 1;
    config.n_cluster_cidrs = 0;
    text = hostnet_nft_rules(&config, "", false, 7, false);
    ck_assert_ptr_nonnull(strstr(text, "ip6 saddr fd00:1::/64 masquerade"));
    ck_assert(!strstr(text, "ip saddr") && !strstr(text, "iifname \"\""));
    free(text);
    text = hostnet_nft_rules(&config, "", false, 7, true);      /* Services of the family that there is. */
    ck_assert(strstr(text, "set cluster_v6") && strstr(text, "snat ip6 to fd00:1::1 fully-random"));
    ck_assert(!strstr(text, "_v4") && !strstr(text, " ip saddr"));
    free(text);

    /* The tunnels' port, and the MAC of what the node itself sends, which needs the gateway port. */
    config.masquerade = config.guard_af_packet = false;
    config.tunnel_port = 6081;
    config.own_mac = (struct eth_addr) ETH_ADDR_C(0a,53,4c,00,00,03);
    text = hostnet_nft_rules(&config, "", false, 7, false);
    ck_assert_str_eq(strstr(text, "table inet sluice {\n"),
                     "table inet sluice {\n"
                     "  chain tunnel {\n"
                     "    type filter hook prerouting priority raw; policy accept;\n"
                     "    iifname \"sluice0\" udp dport 6081 drop\n"
                     "  }\n"
                     "  chain own {\n"
                     "    type filter hook postrouting priority 300; policy accept;\n"
                     "    oifname != \"sluice0\" return\n"
                     "    meta mark set meta mark & 0xfdffffff\n"
                     "    iif != 0 return\n"
                     "    icmpv6 type 133-137 return\n"
                     "    meta mark set meta mark | 0x02000000\n"
                     "  }\n"
                     "}\n"
                     "table arp sluice { }\n"
                     "delete table arp sluice\n"
                     "table netdev sluice { }\n"
                     "delete table netdev sluice\n"
                     "# link 7\n"
                     "table netdev sluice {\n"
                     "  chain own {\n"
                     "    type filter hook egress device \"sluice0\" priority filter; policy accept;\n"
                     "    meta mark & 0x02000000 != 0x00000000 ether saddr set 0a:53:4c:00:00:03 meta mark set meta mark & 0xfdffffff\n"
                     "  }\n"
                     "}\n");
    free(text);
    text = hostnet_nft_rules(&config, "", false, 0, false);
    ck_assert(strstr(text, "chain own") && !strstr(text, "netdev"));
    free(text);
}
END_TEST

/* services 28: what is there already is left alone. */
START_TEST(test_nft_is_same)
{
    static const char declared[] = "table inet sluice { }\ndelete table inet sluice\ntable inet sluice {\n  set a_v4 {\n"
        "    type ipv4_addr\n  }\n  chain c {\n    ip daddr @a_v4 drop\n  }\n}\ntable arp sluice { }\ndelete table arp sluice\n"
        "# link 7\nadd element inet sluice a_v4 { 10.0.0.1, 10.0.0.2 . 6 . 80 : 10.0.0.3 }\n";
    static const char head[] = "table inet sluice {\n\tset a_v4 {\n\t\ttype ipv4_addr\n",
        tail[] = "\t}\n\n\tchain c {\n\t\tip daddr @a_v4 drop\n\t}\n}\n";
    static const struct { const char *elements; bool same; } cases[] = {
        { "elements = { 10.0.0.1, 10.0.0.2 . 6 . 80 : 10.0.0.3 }\n", true },
        { "elements = { 10.0.0.2 . 6 . 80 : 10.0.0.3,\n\t\t\t     10.0.0.1 }\n", true },
        { "elements = { 10.0.0.1 }\n", false }, { "", false }, { "flags interval\n", false },
        { "elements = { 10.0.0.1, 10.0.0.2 . 6 . 80 : 10.0.0.4 }\n", false },
        { "elements = { 10.0.0.1, 10.0.0.2 . 6 . 80 : 10.0.0.3, 10.0.0.5 }\n", false },
        { "flags interval elements = { 10.0.0.1, 10.0.0.2 . 6 . 80 : 10.0.0.3 }\n", false },
        { "elements", false }, { "elements = {", false }, { "elements = { ,", false }, { "# elements", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *listing = xasprintf("%s%s%s", head, cases[i].elements, tail);
        ck_assert_msg(hostnet_nft_is_same(declared, listing) == cases[i].same, "%s", cases[i].elements);
        for (size_t len = strlen(listing) - 3; len; len--) {            /* Cut off anywhere. */
            listing[len] = '\0';
            ck_assert(!hostnet_nft_is_same(declared, listing));
        }
        free(listing);
    }
    ck_assert(!hostnet_nft_is_same(declared, ""));
    ck_assert(hostnet_nft_is_same("table arp sluice { }\ndelete table arp sluice\n", ""));
}
END_TEST

UNIT_MAIN("hostnet-record", {
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_merge);
    tcase_add_loop_test(tc, test_bad, 0, ARRAY_SIZE(bad));
    tcase_add_test(tc, test_good);
    tcase_add_test(tc, test_rules);
    tcase_add_test(tc, test_nft_is_same);
})
