/* The node's network against the kernel: root, and network namespaces of its own only.  Links of type veth stand for
 * what ovs-vswitchd makes (sluice0, br-uplink); test-hostnet-ovs has the real one. */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "hostnet-test.h"
#include "openvswitch/vlog.h"

START_TEST(test_gateway)
{
    struct fixture f;

    fixture_init(&f);
    f.routes[0] = (struct hostnet_route) { .dst = prefix("10.244.2.0/24") };
    f.routes[1] = (struct hostnet_route) { .dst = prefix("fd00:10:244:2::/64") };
    f.routes[2] = (struct hostnet_route) { .dst = prefix("10.244.3.0/24"), .has_via = true, .via = prefix("192.0.2.7/32").addr };
    f.routes[3] = (struct hostnet_route) { .dst = prefix("fd00:10:244:3::/64"), .has_via = true,
                                           .via = prefix("2001:db8::7/128").addr };
    f.n_routes = 4;
    struct hostnet *h = start(&f);
    ck_assert_msg(!run(h, true, 200), "ready without a gateway port");
    ck_assert_ptr_null(hostnet_problem(h));
    ck_assert(!test_sh(-1, "ip route show 10.244.3.0/24 | grep -q 'via 192.0.2.7 dev eth0'"));

    make_port("sluice0");
    ASSERT_READY(h);
    static const char *const checks[] = {
        "ip -o link show sluice0 | grep -q ',UP.* mtu 1450 '",
        "ip -4 -o addr show sluice0 | grep -q '10.244.1.1/32'",
        "ip -6 -o addr show sluice0 | grep 'fd00:10:244:1::1/128' | grep -qv tentative",
        "test \"$(ip -6 -o addr show sluice0 | grep fe80 | awk '{ print $4 }')\" = fe80::53:4cff:fe00:1/64",
        "ip route show 10.244.1.0/24 | grep -q 'dev sluice0 .*scope link src 10.244.1.1'",
        "ip route show 10.244.2.0/24 | grep -q 'dev sluice0 .*scope link src 10.244.1.1'",
        "ip -6 route show fd00:10:244:1::/64 | grep -q 'dev sluice0 .*src fd00:10:244:1::1'",
        "ip -6 route show fd00:10:244:2::/64 | grep -q 'dev sluice0 .*src fd00:10:244:1::1'",
        "ip -6 route show fd00:10:244:3::/64 | grep -q 'via 2001:db8::7 dev eth0'",
        "ip route get 10.244.1.255 | grep -qv broadcast",
        "test $(cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding | xargs | tr -d ' ') = 11",
        "test $(cat /proc/sys/net/ipv6/conf/eth0/accept_ra) = 2",
    };
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        ck_assert_msg(!test_sh(-1, "%s", checks[i]), "%s", checks[i]);
    }

    /* The port comes back bare; an address, a route and the MTU are tampered with. */
    static const char *const harms[] = {
        "ip link del sluice0; ip link add sluice0 type veth peer name p; ip link set p up",
        "ip addr flush dev sluice0", "ip link set sluice0 down", "ip link set sluice0 mtu 1500",
        "ip route del 10.244.2.0/24", "ip -6 route del fd00:10:244:3::/64", "ip addr add 10.9.9.9/24 dev sluice0",
    };
    for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
        ck_assert(!test_sh(-1, "%s", harms[i]));
        run(h, false, 100);
        ASSERT_READY(h);
        for (size_t j = 0; j < ARRAY_SIZE(checks); j++) {
            ck_assert_msg(!test_sh(-1, "%s", checks[j]), "%s: %s", harms[i], checks[j]);
        }
        ck_assert(test_sh(-1, "ip addr show sluice0 | grep -q 10.9.9.9"));
    }

    /* Another configuration: a peer by a gateway instead of the tunnel, one gone; strangers' routes stay. */
    ck_assert(!test_sh(-1, "ip route add 10.244.9.0/24 via 192.0.2.1"));
    for (size_t i = 0; i < 4; i++) {
        hostnet_remove_route(h, &f.routes[i].dst);
        hostnet_remove_route(h, &f.routes[i].dst);      /* Twice is once. */
    }
    f.routes[0] = f.routes[2];
    f.routes[0].dst = prefix("10.244.2.0/24");
    hostnet_set_route(h, &f.routes[0]);
    ck_assert(hostnet_is_settled(h));        /* Nothing else had to be looked at. */
    unsigned int seqno = hostnet_seqno(h);
    run(h, false, 100);
    ck_assert(hostnet_is_settled(h) && hostnet_seqno(h) == seqno);
    ck_assert(!test_sh(-1, "test \"$(ip route show proto 83 | awk '{ print $1, $2, $3 }' | sort | xargs)\" = "
                       "'10.244.1.0/24 dev sluice0 10.244.2.0/24 via 192.0.2.7'"));
    ck_assert(!test_sh(-1, "test \"$(ip -6 route show proto 83 | awk '{ print $1 }' | xargs)\" = fd00:10:244:1::/64"));
    ck_assert(!test_sh(-1, "ip route show 10.244.9.0/24 | grep -q 192.0.2.1"));
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_unreachable_peer)
{
    struct in6_addr node_addr = prefix("192.0.2.5/32").addr;
    struct fixture f;

    fixture_init(&f);
    f.routes[0] = (struct hostnet_route) { .dst = prefix("10.244.3.0/24"), .has_via = true, .via = prefix("198.18.0.7/32").addr };
    f.routes[1] = (struct hostnet_route) { .dst = prefix("10.244.2.0/24") };
    f.n_routes = 2;
    ck_assert(!test_sh(-1, "ip route del default"));
    make_port("sluice0");
    struct hostnet *h = start(&f);
    hostnet_set_node_addrs(h, &node_addr, 1);
    ck_assert(!run(h, true, 300));
    ck_assert_msg(strstr(hostnet_problem(h), "10.244.3.0/24"), "%s", hostnet_problem(h));
    ck_assert(!test_sh(-1, "ip route show 10.244.2.0/24 | grep -q sluice0"));
    ck_assert(!test_sh(-1, "ip addr add 198.18.0.5/24 dev eth0"));
    ASSERT_READY(h);
    ck_assert_ptr_null(hostnet_problem(h));
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_find_uplink)
{
    struct in6_addr by_addr = prefix("198.18.0.5/32").addr;
    struct fixture f;

    fixture_init(&f);
    ck_assert(!test_sh(-1, "ip link add eth1 type veth peer name far1; ip link set eth1 up; ip addr add 198.18.0.5/24 dev eth1"));
    struct hostnet *h = hostnet_create(f.state, "auto");
    run(h, false, 50);
    ck_assert_str_eq(hostnet_uplink(h)->name, "eth0");          /* Default route. */
    ck_assert_int_eq(hostnet_uplink(h)->mtu, 1500);
    ck_assert_int_eq(hostnet_uplink(h)->n_addrs, 2);

    hostnet_set_node_addrs(h, &by_addr, 1);
    run(h, false, 50);
    ck_assert_str_eq(hostnet_uplink(h)->name, "eth1");          /* The node's address. */
    ck_assert(!test_sh(-1, "ip -o link show eth1 | grep -q " ETH_ADDR_FMT, ETH_ADDR_ARGS(hostnet_uplink(h)->mac)));

    unsigned int seqno = hostnet_seqno(h);
    ck_assert(!test_sh(-1, "ip link set eth1 mtu 9000"));
    run(h, false, 50);
    ck_assert_int_eq(hostnet_uplink(h)->mtu, 9000);
    ck_assert_uint_ne(hostnet_seqno(h), seqno);
    seqno = hostnet_seqno(h);
    ck_assert(!test_sh(-1, "ip addr add 198.18.0.6/24 dev eth1"));
    run(h, false, 50);
    ck_assert_int_eq(hostnet_uplink(h)->n_addrs, 2);
    ck_assert_uint_ne(hostnet_seqno(h), seqno);
    hostnet_destroy(h);

    /* A uplink that does not exist, and appears. */
    h = hostnet_create(f.state, "eth7");
    run(h, false, 50);
    ck_assert_ptr_null(hostnet_uplink(h));
    ck_assert_msg(strstr(hostnet_problem(h), "the uplink eth7 does not exist"), "%s", hostnet_problem(h));
    ck_assert(!test_sh(-1, "ip link set eth1 down; ip link set eth1 name eth7; ip link set eth7 up"));
    run(h, false, 50);
    ck_assert_str_eq(hostnet_uplink(h)->name, "eth7");
    ck_assert_ptr_null(hostnet_problem(h));
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_no_uplink)
{
    struct fixture f;

    fixture_init(&f);
    ck_assert(!test_sh(-1, "ip link del eth0"));
    struct hostnet *h = start(&f);
    ck_assert(!run(h, true, 100));
    ck_assert_msg(strstr(hostnet_problem(h), "no uplink"), "%s", hostnet_problem(h));
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

/* Sluice's rules, without what changes by itself. */
static char *
ruleset(void)
{
    return capture("nft list ruleset");
}

START_TEST(test_nft)
{
    struct fixture f;

    fixture_init(&f);
    make_port("sluice0");
    f.config.guard_af_packet = true;
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    char *rules = ruleset();
    ck_assert_ptr_nonnull(strstr(rules, "oifname != \"sluice0\" ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16 meta l4proto udp masquerade to :10000-65535 fully-random\n"));
    ck_assert_ptr_nonnull(strstr(rules, "ip6 saddr fd00:10:244:1::/64 ip6 daddr != fd00:10:244::/48 meta l4proto udp masquerade to :10000-65535 fully-random\n"));
    ck_assert_ptr_nonnull(strstr(rules, "table arp sluice"));
    ck_assert_msg(!strstr(rules, "eth0"), "%s", rules);

    static const char *const harms[] = {
        "nft flush ruleset", "nft delete table inet sluice", "nft flush chain inet sluice outgoing",
        "nft flush table arp sluice", "nft add rule inet sluice guard accept",
    };
    for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
        ck_assert(!test_sh(-1, "%s", harms[i]));
        run(h, false, 150);
        ASSERT_READY(h);
        char *again = ruleset();
        ck_assert_msg(!strcmp(again, rules), "%s:\n%s", harms[i], again);
        free(again);
    }
    free(rules);

    /* What strangers do to their own tables does not concern us: the handle of our chain stays. */
    char *before = capture("nft -a list chain inet sluice outgoing");
    ck_assert(!test_sh(-1, "nft add table inet other; nft add chain inet other c; nft add rule inet other c counter"));
    run(h, false, 150);
    char *after = capture("nft -a list chain inet sluice outgoing");
    ck_assert_str_eq(before, after);
    free(before);
    free(after);

    f.config.masquerade = f.config.guard_af_packet = false;
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    ck_assert(test_sh(-1, "nft list ruleset | grep -qE 'masquerade|drop'"));
    hostnet_destroy(h);
    ck_assert_int_eq(hostnet_remove_rules(NULL), 0);
    ck_assert(test_sh(-1, "nft list tables | grep -q sluice"));
    ck_assert_int_eq(hostnet_remove_rules(NULL), 0);
    fixture_destroy(&f);
}
END_TEST

/* A pod behind the gateway port, which is here a plain veth. */
static int
make_pod(void)
{
    int pod = test_new_netns();

    ck_assert(!test_sh(-1, "ip link add sluice0 type veth peer name eth0 netns /proc/%d/fd/%d", getpid(), pod));
    ck_assert(!test_sh(pod, "ip link set eth0 up; ip addr add 10.244.1.5/24 dev eth0; ip addr add fd00:10:244:1::5/64 dev eth0 nodad;"
                       "ip route add default via 10.244.1.1; ip route add default via fd00:10:244:1::1"));
    return pod;
}

START_TEST(test_masquerade)
{
    struct fixture f;

    fixture_init(&f);
    int pod = make_pod();
    f.config.mtu = 1500;
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    /* Outside knows no way back to pods, so an answer means that the node's address was there. */
    ck_assert(!test_sh(pod, "ping -q -c1 -W2 192.0.2.1 >/dev/null"));
    ck_assert(!test_sh(pod, "ping -6 -q -c1 -W2 2001:db8::1 >/dev/null"));
    /* Within the cluster the address stays: an answer only with a way back. */
    ck_assert(!test_sh(f.outside, "ip addr add 10.244.2.1/32 dev lo"));
    ck_assert(!test_sh(-1, "ip route add 10.244.2.0/24 via 192.0.2.1"));
    ck_assert(test_sh(pod, "ping -q -c1 -W1 10.244.2.1 >/dev/null"));
    ck_assert(!test_sh(f.outside, "ip route add 10.244.1.0/24 via 192.0.2.5"));
    ck_assert(!test_sh(pod, "ping -q -c1 -W2 10.244.2.1 >/dev/null"));
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_guard)
{
    struct fixture f;

    fixture_init(&f);
    make_port("sluice0");
    int pod = test_new_netns();
    ck_assert(!test_sh(-1, "ip link add slp000000000001 type veth peer name eth0 netns /proc/%d/fd/%d; "
                       "ip link set slp000000000001 up; ip addr add 10.5.0.1/24 dev slp000000000001", getpid(), pod));
    ck_assert(!test_sh(pod, "ip link set eth0 up; ip addr add 10.5.0.2/24 dev eth0; ip route add default via 10.5.0.1"));
    ck_assert(!test_sh(f.outside, "ip route add 10.5.0.0/24 via 192.0.2.5"));
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    ck_assert_msg(!test_sh(pod, "ping -q -c1 -W2 192.0.2.1 >/dev/null"), "the test itself does not work");

    f.config.guard_af_packet = true;
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    ck_assert(test_sh(pod, "ping -q -c1 -W1 192.0.2.1 >/dev/null"));
    ck_assert(!test_sh(pod, "ip neigh flush dev eth0"));
    ck_assert(test_sh(pod, "ping -q -c1 -W1 10.5.0.1 >/dev/null"));
    ck_assert_msg(!test_sh(pod, "ip neigh show 10.5.0.1 | grep -qE 'FAILED|INCOMPLETE'"), "the kernel answers ARP");
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

/* What a pod gets, counted by its source MAC (0a:53:4c:00:00:03: the node's own) and protocol. */
#define COUNT "nft -f - <<'EOF'\ntable netdev t {\n chain c {\n type filter hook ingress device eth0 priority 0;\n" \
    "ether saddr 0a:53:4c:00:00:03 ether type { ip, ip6 } counter comment \"own\"\n" \
    "ether saddr 0a:53:4c:00:00:03 ether type arp counter comment \"bad\"\n" \
    "ether saddr 0a:53:4c:00:00:03 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } counter comment \"bad\"\n" \
    "ether saddr != 0a:53:4c:00:00:03 ip saddr != 10.244.1.1 counter comment \"forwarded\"\n" \
    "ether saddr != 0a:53:4c:00:00:03 ip saddr 10.244.1.1 counter comment \"snat\"\n" \
    "ether saddr != 0a:53:4c:00:00:03 ip6 saddr 2001:db8::1 counter comment \"forwarded\"\n}\n}\nEOF"
#define COUNTED(WHAT) "nft list table netdev t | grep " WHAT " | grep -qv 'packets 0 '"

/* networkpolicy 26, 30: what the node itself sends has a MAC of its own, whatever address it uses; what it only forwards has
 * not, also if somebody puts the node's address there. */
static void
check_told_apart(struct fixture *f, int pod)
{
    ck_assert(!test_sh(pod, "nft flush ruleset; " COUNT));
    ck_assert(!test_sh(-1, "ping -q -c1 -W2 10.244.1.5 >/dev/null && ping -q -c1 -W2 fd00:10:244:1::5 >/dev/null"));
    ck_assert(!test_sh(-1, "ping -q -c1 -W2 -I 192.0.2.5 10.244.1.5 >/dev/null"));
    ck_assert_msg(!test_sh(pod, COUNTED("own")), "%s", capture("nft list ruleset"));
    ck_assert(test_sh(pod, COUNTED("bad")));
    ck_assert(test_sh(pod, COUNTED("snat")));
    ck_assert(!test_sh(pod, "nft flush ruleset; " COUNT));

    ck_assert(!test_sh(f->outside, "ping -q -c1 -W2 10.244.1.5 >/dev/null && ping -q -c1 -W2 fd00:10:244:1::5 >/dev/null"));
    ck_assert(!test_sh(pod, COUNTED("forwarded")));
    ck_assert(test_sh(pod, COUNTED("own")));
    /* As kube-proxy does for a NodePort with externalTrafficPolicy Cluster. */
    ck_assert(!test_sh(-1, "nft -f - <<'EOF'\ntable ip kp {\n chain p { type nat hook prerouting priority -100; "
                       "ip daddr 192.0.2.5 icmp type echo-request dnat to 10.244.1.5; }\n"
                       "chain q { type nat hook postrouting priority 100; oifname sluice0 masquerade; }\n}\nEOF"));
    ck_assert(!test_sh(f->outside, "ping -q -c1 -W2 192.0.2.5 >/dev/null"));
    ck_assert(!test_sh(pod, COUNTED("snat")));
    ck_assert(test_sh(pod, COUNTED("own")));
    ck_assert(!test_sh(-1, "nft delete table ip kp"));
}

START_TEST(test_own_mac)
{
    struct fixture f;

    fixture_init(&f);
    int pod = make_pod();
    ck_assert(!test_sh(f.outside, "ip route add 10.244.1.0/24 via 192.0.2.5; ip route add fd00:10:244:1::/64 via 2001:db8::5"));
    f.config.mtu = 1500;
    f.config.own_mac = (struct eth_addr) ETH_ADDR_C(0a,53,4c,00,00,03);
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    check_told_apart(&f, pod);
    ck_assert_ptr_null(hostnet_problem(h));

    /* The port comes back bare, as after a restart of ovs-vswitchd. */
    ck_assert(!test_sh(-1, "ip link del sluice0"));
    close(pod);
    pod = make_pod();
    run(h, false, 200);
    ASSERT_READY(h);
    check_told_apart(&f, pod);

    static const char *const harms[] = { "nft delete table netdev sluice", "nft flush chain inet sluice own" };
    for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
        ck_assert(!test_sh(-1, "%s", harms[i]));
        run(h, false, 150);
        ASSERT_READY(h);
        check_told_apart(&f, pod);
    }
    hostnet_destroy(h);
    ck_assert_int_eq(hostnet_remove_rules(NULL), 0);
    ck_assert(test_sh(-1, "nft list tables | grep -q sluice"));
    fixture_destroy(&f);
}
END_TEST

/* A pod cannot speak to the port of the tunnels, neither of its node nor of another, not in fragments either. */
START_TEST(test_tunnel_port)
{
    struct fixture f;

    fixture_init(&f);
    int pod = make_pod();
    f.config.mtu = 1500;
    f.config.tunnel_port = 6081;
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    static const char count[] = "nft -f - <<'EOF'\ntable inet t {\n chain c {\n type filter hook prerouting priority -500;\n"
        "iifname { sluice0, far0 } udp dport 6081 counter comment \"guarded\"\n"
        "udp dport 6082 counter comment \"open\"\n}\n"
        "chain d {\n type filter hook input priority 0;\n udp dport 6081 counter comment \"got\"\n}\n}\nEOF";
    ck_assert(!test_sh(-1, "%s", count) && !test_sh(f.outside, "%s", count));
    static const char *const sends[] = { "10.244.1.1", "192.0.2.5", "192.0.2.1", "fd00:10:244:1::1", "2001:db8::1" };
    for (size_t i = 0; i < ARRAY_SIZE(sends); i++) {
        for (int size = 10; size <= 4000; size += 3990) {
            ck_assert(!test_sh(pod, "python3 -c 'import socket; a = \"%s\"; s = socket.socket(socket.AF_INET6 if \":\" in a "
                               "else socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes(%d), (a, 6081)); s.sendto(bytes(9), (a, 6082))'",
                               sends[i], size));
        }
    }
    ck_assert(!test_sh(-1, "for i in $(seq 50); do nft list table inet t | grep -q 'open.*' && break; sleep 0.02; done; "
                       "nft list table inet t | grep open | grep -qv 'packets 0 '"));
    ck_assert(!test_sh(f.outside, "nft list table inet t | grep open | grep -qv 'packets 0 '"));
    ck_assert_msg(!test_sh(-1, "nft list table inet t | grep guarded | grep -qv 'packets 0 '"), "nothing was sent");
    ck_assert(!test_sh(-1, "nft list table inet t | grep got | grep -q 'packets 0 '"));
    ck_assert(!test_sh(f.outside, "nft list table inet t | grep guarded | grep -q 'packets 0 '"));
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

/* The take-over. ------------------------------------------------------------------------------------------------- */

static void
takeover_init(struct fixture *f)
{
    fixture_init(f);
    ck_assert(!test_sh(-1, "ip addr add 192.0.2.6/24 dev eth0; ip addr add 198.51.100.1/32 dev eth0; "
                       "ip addr add 192.0.2.9/24 dev eth0 noprefixroute; "
                       "ip addr add 2001:db8:1::5/64 dev eth0 nodad noprefixroute; "
                       "ip route add 2001:db8:1::/64 dev eth0 proto kernel metric 99; "
                       "ip route add default via 192.0.2.2 metric 100 proto dhcp src 192.0.2.6; "
                       "ip route add 203.0.113.0/24 via 192.0.2.1 mtu 1400; "
                       "ip route add 10.55.0.1 dev eth0 scope link; ip route add 10.66.0.0/16 via 10.55.0.1; "
                       "ip route add default via 192.0.2.3 table 100; "
                       "ip -6 route add default via 2001:db8::1 metric 50; ip -6 route add default via fe80::1 dev eth0 metric 70; "
                       "ip -6 route add 2001:db8:2::/48 via 2001:db8::9"));
    make_port("sluice0");
    make_port("br-uplink");
    f->config.uplink_bridge = "br-uplink";
    f->config.guard_af_packet = true;
}

/* At every moment each address is on one of the two. */
static void
assert_none_lost(const char *when)
{
    static const char *const addrs[] = { "192.0.2.5/24", "192.0.2.6/24", "192.0.2.9/24", "198.51.100.1/32", "2001:db8::5/64",
                                         "2001:db8:1::5/64" };
    for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
        ck_assert_msg(!test_sh(-1, "{ ip -o addr show eth0; ip -o addr show br-uplink; } | grep -q ' %s '", addrs[i]),
                      "%s: %s is lost", when, addrs[i]);
    }
}

START_TEST(test_takeover)
{
    struct fixture f;

    takeover_init(&f);
    char *before = belongings("eth0");
    ck_assert_msg(strstr(before, "198.51.100.1/32") && strstr(before, "default via fe80::1"), "%s", before);
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    assert_moved(before, "eth0", "br-uplink", "taken over");
    ck_assert_str_eq(hostnet_uplink(h)->name, "eth0");
    ck_assert_int_eq(hostnet_uplink(h)->n_addrs, 6);
    ck_assert(!test_sh(-1, "nft list ruleset | grep -q 'iifname \"eth0\" drop'"));
    ck_assert(!test_sh(-1, "ip -o link show eth0 | grep -q ',UP'"));
    ck_assert(!test_sh(-1, "test $(cat /proc/sys/net/ipv6/conf/br-uplink/accept_ra /proc/sys/net/ipv6/conf/eth0/accept_ra "
                       "| xargs | tr -d ' ') = 20"));
    ck_assert(test_sh(-1, "ip -6 -o addr show br-uplink | grep 2001 | grep -q tentative"));

    /* ovs-vswitchd restarts: the port goes and comes back bare. */
    ck_assert(!test_sh(-1, "ip link del br-uplink"));
    run(h, false, 100);
    ck_assert(!hostnet_ready(h));
    ck_assert_ptr_null(hostnet_problem(h));
    ck_assert_int_eq(hostnet_uplink(h)->n_addrs, 6);
    make_port("br-uplink");
    long long int start_ms = time_msec();
    ASSERT_READY(h);
    printf("back after %lld ms\n", time_msec() - start_ms);
    assert_moved(before, "eth0", "br-uplink", "the bridge came back");

    /* Somebody who does not know of the bridge gives the uplink an address and a route. */
    ck_assert(!test_sh(-1, "ip addr add 192.0.2.77/24 dev eth0; ip route add 10.77.0.0/16 via 192.0.2.77 dev eth0"));
    run(h, false, 100);
    ASSERT_READY(h);
    ck_assert(!test_sh(-1, "ip -o addr show br-uplink | grep -q 192.0.2.77 && ip route show 10.77.0.0/16 | grep -q br-uplink"));
    ck_assert(!test_sh(-1, "ip addr del 192.0.2.77/24 dev br-uplink; ip route del 10.77.0.0/16"));
    hostnet_destroy(h);

    /* A daemon that starts again finds the uplink by its record, and the rest as it must be. */
    test_sh(-1, "sed -i '/192.0.2.77/d' %s/uplink.json", f.state);
    free(before);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_takeover_back)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct fixture f;

    takeover_init(&f);
    ck_assert(!test_sh(-1, "ethtool -K eth0 gro on"));
    char *before = belongings("eth0");
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    hostnet_destroy(h);
    h = start(&f);                      /* The daemon starts again. */
    ASSERT_READY(h);
    ck_assert_str_eq(hostnet_uplink(h)->name, "eth0");
    assert_moved(before, "eth0", "br-uplink", "daemon restarted");
    ck_assert(!test_sh(-1, "ethtool -k eth0 | grep -q 'generic-receive-offload: off'"));

    /* Another datapath does not want the bridge. */
    f.config.uplink_bridge = NULL;
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    assert_moved(before, "br-uplink", "eth0", "given back");
    ck_assert(!test_sh(-1, "ethtool -k eth0 | grep -q 'generic-receive-offload: on'"));
    ck_assert(test_sh(-1, "test -e %s/uplink.json", f.state));
    ck_assert(test_sh(-1, "nft list ruleset | grep -q eth0"));

    f.config.uplink_bridge = "br-uplink";
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    assert_moved(before, "eth0", "br-uplink", "taken over again");
    hostnet_destroy(h);
    ck_assert_msg(!hostnet_restore_uplink(f.state, "br-uplink", &error), "%s", error_message(&error));
    assert_moved(before, "br-uplink", "eth0", "cleaned up");
    ck_assert(!test_sh(-1, "test $(cat /proc/sys/net/ipv6/conf/eth0/accept_ra) -gt 0"));
    ck_assert_int_eq(hostnet_restore_uplink(f.state, "br-uplink", &error), 0);
    assert_moved(before, "br-uplink", "eth0", "cleaned up twice");

    /* The bridge is gone before the clean-up: the record has everything. */
    h = start(&f);
    ASSERT_READY(h);
    hostnet_destroy(h);
    ck_assert(!test_sh(-1, "ip link del br-uplink"));
    ck_assert_int_eq(hostnet_restore_uplink(f.state, "br-uplink", &error), 0);
    char *after = belongings("eth0");
    ck_assert_str_eq(after, before);
    free(after);
    free(before);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_takeover_waits)
{
    struct fixture f;

    takeover_init(&f);
    char *before = belongings("eth0");
    f.config.uplink_bridge_pending = true;
    struct hostnet *h = start(&f);
    ck_assert(!run(h, true, 200));
    char *after = belongings("eth0");
    ck_assert_str_eq(after, before);
    free(after);
    f.config.uplink_bridge_pending = false;
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    assert_moved(before, "eth0", "br-uplink", "no longer pending");
    f.config.uplink_bridge_pending = true;      /* ovs-vswitchd is restarting. */
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    assert_moved(before, "eth0", "br-uplink", "pending again");
    hostnet_destroy(h);
    free(before);
    fixture_destroy(&f);
}
END_TEST

/* The daemon in a child, killed at 'fault'.  True if it was. */
static bool
killed_at(struct fixture *f, const char *fault)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        char *value = xasprintf("%s:kill", fault);
        setenv("SLUICE_FAULT", value, 1);
        struct hostnet *h = start(f);
        _exit(run(h, true, TIMEOUT_MS) ? 0 : 1);
    }

    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        ck_assert_int_eq(WTERMSIG(status), SIGKILL);
        return true;
    }
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "%s: the daemon did not become ready", fault);
    return false;
}

static const char *const faults[] = { "hostnet-record", "hostnet-record-written", "hostnet-recorded", "hostnet-addr-added",
                                      "hostnet-route-added", "hostnet-added", "hostnet-addr-removed", "hostnet-restored" };

/* Each start gets one step further before it is killed there again. */
static int
kill_again_and_again(struct fixture *f, const char *fault)
{
    int n = 0;

    while (n < 12 && killed_at(f, fault)) {
        n++;
        assert_none_lost(fault);
    }
    return n;
}

START_TEST(test_takeover_killed)
{
    const char *fault = faults[_i];
    struct fixture f;

    takeover_init(&f);
    char *before = belongings("eth0");
    int n = kill_again_and_again(&f, fault);
    ck_assert_int_eq(n > 0, strcmp(fault, "hostnet-restored") != 0);
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    assert_moved(before, "eth0", "br-uplink", fault);
    hostnet_destroy(h);

    f.config.uplink_bridge = NULL;
    int m = kill_again_and_again(&f, fault);
    ck_assert_int_eq(m > 0, strncmp(fault, "hostnet-record", 14) != 0);
    h = start(&f);
    ASSERT_READY(h);
    assert_moved(before, "br-uplink", "eth0", fault);
    hostnet_destroy(h);
    printf("%s: killed %d times on the way there, %d times on the way back\n", fault, n, m);
    free(before);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_state_unwritable)       /* Disk full: nothing is touched. */
{
    struct fixture f;

    takeover_init(&f);
    char *before = belongings("eth0");
    setenv("SLUICE_FAULT", "hostnet-record:fail:ENOSPC", 1);
    struct hostnet *h = start(&f);
    ck_assert(!run(h, true, 200));
    ck_assert_msg(strstr(hostnet_problem(h), "No space left"), "%s", hostnet_problem(h));
    assert_moved(before, "br-uplink", "eth0", "disk full");
    unsetenv("SLUICE_FAULT");
    ASSERT_READY(h);                    /* By the timer: no event says that there is room again. */
    assert_moved(before, "eth0", "br-uplink", "room again");
    hostnet_destroy(h);

    test_sh(-1, "echo '{\"version\": 1, ' > %s/uplink.json", f.state);
    h = start(&f);
    ck_assert(!run(h, true, 200));
    ck_assert_msg(strstr(hostnet_problem(h), "uplink.json cannot be understood"), "%s", hostnet_problem(h));
    assert_moved(before, "eth0", "br-uplink", "record broken");
    hostnet_destroy(h);
    free(before);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_idle)
{
    struct fixture f;

    takeover_init(&f);
    struct hostnet *h = start(&f);
    ASSERT_READY(h);
    run(h, false, 3000);                /* Echoes of our own changes; duplicate detection of link-local addresses. */
    int n = 0;
    long long int deadline = time_msec() + 1500;
    while (time_msec() < deadline) {
        hostnet_run(h);
        hostnet_wait(h);
        poll_timer_wait_until(deadline);
        poll_block();
        n++;
    }
    ck_assert_int_eq(n, 1);

    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    char *rss = capture("grep VmRSS /proc/$PPID/status");
    printf("idle: no wake-up in 1.5 s; peak %ld kB, now %s", usage.ru_maxrss, rss);
    free(rss);
    hostnet_destroy(h);
    fixture_destroy(&f);
}
END_TEST

UNIT_MAIN("hostnet", {
    vlog_set_levels(NULL, VLF_CONSOLE, getenv("VERBOSE") ? VLL_DBG : VLL_OFF);
    tcase_add_test(tc, test_gateway);
    tcase_add_test(tc, test_unreachable_peer);
    tcase_add_test(tc, test_find_uplink);
    tcase_add_test(tc, test_no_uplink);
    tcase_add_test(tc, test_nft);
    tcase_add_test(tc, test_masquerade);
    tcase_add_test(tc, test_guard);
    tcase_add_test(tc, test_own_mac);
    tcase_add_test(tc, test_tunnel_port);
    tcase_add_test(tc, test_takeover);
    tcase_add_test(tc, test_takeover_back);
    tcase_add_test(tc, test_takeover_waits);
    tcase_add_loop_test(tc, test_takeover_killed, 0, ARRAY_SIZE(faults));
    tcase_add_test(tc, test_state_unwritable);
    tcase_add_test(tc, test_idle);
})
