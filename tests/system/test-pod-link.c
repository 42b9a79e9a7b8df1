/* Pods' links against the kernel: root, and network namespaces of its own only. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "controller/pod-link.h"
#include "lib/netns.h"
#include "lib/rtnl.h"
#include "netns-test.h"
#include "packets.h"
#include "util.h"

#define HOST "slp0123456789ab"
#define N_PODS 32

static struct inet_prefix
prefix(const char *s)
{
    struct inet_prefix p;
    ck_assert_int_eq(inet_prefix_parse(s, &p, NULL), 0);
    return p;
}

/* A dual-stack pod as the daemon makes it. */
struct fixture {
    struct inet_prefix addrs[2];
    struct in6_addr gateways[2];
    struct pod_link pod;
};

static void
fixture_init(struct fixture *f)
{
    test_enter_new_netns();
    *f = (struct fixture) {
        .addrs = { prefix("10.244.1.5/32"), prefix("fd00:10:244:1::5/128") },
        .gateways = { prefix("10.244.1.1/32").addr, prefix("fd00:10:244:1::1/128").addr },
    };
    f->pod = (struct pod_link) {
        .host_name = HOST,
        .ifname = "eth0",
        .netns_fd = test_new_netns(),
        .mac = ETH_ADDR_C(0a,58,0a,f4,01,05),
        .mtu = 1450,
        .addrs = f->addrs,
        .n_addrs = 2,
        .gateways = f->gateways,
        .n_gateways = 2,
        .tx_checksum_off = true,
    };
}

static void
assert_ok(int retval, struct error *error)
{
    ck_assert_msg(!retval, "%s", error_message(error));
}

static void
make(struct fixture *f)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct eth_addr mac;

    fixture_init(f);
    assert_ok(pod_link_create(&f->pod, &mac, &error), &error);
    ck_assert(!eth_addr_is_zero(mac) && !eth_addr_equals(mac, f->pod.mac));
    assert_ok(pod_link_configure(&f->pod, &error), &error);
    assert_ok(pod_link_check(&f->pod, &error), &error);
}

/* pod_link_check() must fail and its message must name 'what'. */
static void
assert_broken(const struct fixture *f, const char *what)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_msg(pod_link_check(&f->pod, &error), "not noticed: %s", what);
    ck_assert_msg(strstr(error_message(&error), what), "%s: %s", what, error_message(&error));
}

START_TEST(test_make)                   /* cni A1, A3, 22 */
{
    struct fixture f;

    make(&f);
    int ns = f.pod.netns_fd;
    ck_assert(!test_sh(ns, "ip -o link show eth0 | grep -q '0a:58:0a:f4:01:05'"));
    ck_assert(!test_sh(ns, "ip -6 -o addr show dev eth0 | grep -q 'fd00:10:244:1::5/128'"));
    ck_assert(test_sh(ns, "ip -6 -o addr show dev eth0 | grep fd00 | grep -q tentative"));
    ck_assert(!test_sh(ns, "ip route get 192.0.2.1 | grep -q 'via 10.244.1.1 dev eth0'"));
    ck_assert(!test_sh(ns, "ip route get 2001:db8::1 | grep -q 'via fd00:10:244:1::1 dev eth0'"));
    ck_assert(!test_sh(ns, "ip link show lo | grep -q '<LOOPBACK,UP'"));
    ck_assert(!test_sh(ns, "ethtool -k eth0 | grep -q '^tx-checksumming: off'"));
    ck_assert(!test_sh(ns, "ethtool -k eth0 | grep -q 'tx-tcp-segmentation: off'"));
    ck_assert(!test_sh(-1, "ip -o link show " HOST " | grep -q 'mtu 1450.*state UP'"));
    ck_assert_msg(test_sh(-1, "ip -6 -o addr show dev " HOST " | grep -q ."), "the host end has an address of its own");

    ERROR_AUTO struct error error = ERROR_INIT;
    assert_ok(pod_link_configure(&f.pod, &error), &error);      /* Again: no harm. */
    assert_ok(pod_link_check(&f.pod, &error), &error);
}
END_TEST

START_TEST(test_families)               /* cni 23 and its IPv4 counterpart */
{
    struct fixture f;

    for (int i = 0; i < 2; i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct eth_addr mac;
        fixture_init(&f);
        f.pod.addrs = &f.addrs[i];
        f.pod.gateways = &f.gateways[i];
        f.pod.n_addrs = f.pod.n_gateways = 1;
        f.pod.tx_checksum_off = false;
        assert_ok(pod_link_create(&f.pod, &mac, &error), &error);
        assert_ok(pod_link_configure(&f.pod, &error), &error);
        assert_ok(pod_link_check(&f.pod, &error), &error);
        ck_assert(!test_sh(f.pod.netns_fd, "ethtool -k eth0 | grep -q '^tx-checksumming: on'"));
    }
}
END_TEST

START_TEST(test_ipv6_disabled)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct eth_addr mac;
    struct fixture f;

    fixture_init(&f);
    ck_assert(!test_sh(f.pod.netns_fd, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"));
    assert_ok(pod_link_create(&f.pod, &mac, &error), &error);
    assert_ok(pod_link_configure(&f.pod, &error), &error);
    assert_ok(pod_link_check(&f.pod, &error), &error);
}
END_TEST

START_TEST(test_exists)                 /* cni 6, A6 */
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct eth_addr mac;
    struct fixture f;

    fixture_init(&f);
    ck_assert(!test_sh(f.pod.netns_fd, "ip link add eth0 type veth peer name x"));
    ck_assert_int_eq(pod_link_create(&f.pod, &mac, &error), EEXIST);
    ck_assert_msg(strstr(error_message(&error), "interface eth0"), "%s", error_message(&error));
    ck_assert_msg(test_sh(-1, "ip -o link | grep -q slp"), "something was left behind");
    ck_assert(!test_sh(f.pod.netns_fd, "ip link del eth0"));

    ck_assert(!test_sh(-1, "ip link add " HOST " type veth peer name x"));
    ck_assert_int_eq(pod_link_create(&f.pod, &mac, &error), EEXIST);
    ck_assert_msg(strstr(error_message(&error), HOST), "%s", error_message(&error));
    ck_assert_msg(test_sh(f.pod.netns_fd, "ip link show eth0 2>/dev/null"), "something was left behind");
}
END_TEST

START_TEST(test_fails_after_creation)   /* cni A6 */
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct eth_addr mac;
    struct fixture f;

    fixture_init(&f);
    setenv("SLUICE_FAULT", "pod-link-created:fail:EIO", 1);
    ck_assert_int_eq(pod_link_create(&f.pod, &mac, &error), EIO);
    ck_assert_msg(test_sh(-1, "ip -o link | grep -q slp"), "something was left behind");
}
END_TEST

/* Each thing that CHECK must find. */
static const struct {
    bool on_node;
    const char *command, *message;      /* NULL: the check must pass. */
} breakages[] = {
    { false, "ip link del eth0", "eth0" },
    { false, "ip addr del 10.244.1.5/32 dev eth0", "10.244.1.5/32" },
    { false, "ip addr del fd00:10:244:1::5/128 dev eth0", "fd00:10:244:1::5/128" },
    { false, "ip link set eth0 mtu 1400", "MTU 1400 instead of 1450" },
    { true, "ip link set " HOST " mtu 1400", "MTU 1400 instead of 1450" },
    { false, "ip link set eth0 address 0a:58:00:00:00:01", "MAC" },
    { false, "ip link set eth0 down", "eth0 in the pod is down" },
    { true, "ip link set " HOST " down", HOST " on the node is down" },
    { true, "ip link set " HOST " name other", "on the node" },
    { false, "ip route del default", "route to 0.0.0.0/0" },
    { false, "ip -6 route del default", "route to ::/0" },
    { false, "ip route del 10.244.1.1", "route to 10.244.1.1/32" },
    { false, "ip route replace default dev eth0", "route to 0.0.0.0/0" },
    { false, "ip route add 192.0.2.0/24 via 10.244.1.1", NULL },
    { false, "ip -6 route add 2001:db8::/32 via fd00:10:244:1::1", NULL },
    { false, "ip addr add 192.0.2.1/24 dev eth0", NULL },
    { false, "ip link add eth1 type veth peer name x", NULL },
    { true, "ip link add slpx type veth peer name x", NULL },
};

START_TEST(test_check)                  /* cni C2, C3, 15 */
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct fixture f;

    make(&f);
    ck_assert(!test_sh(breakages[_i].on_node ? -1 : f.pod.netns_fd, "%s", breakages[_i].command));
    if (breakages[_i].message) {
        assert_broken(&f, breakages[_i].message);
    } else {
        assert_ok(pod_link_check(&f.pod, &error), &error);
    }
}
END_TEST

START_TEST(test_delegated_routes)
{
    const struct pod_link_route routes[] = {
        { .dst = prefix("0.0.0.0/0"), .has_gw = true, .gw = prefix("10.1.0.1/32").addr, .mtu = 1300, .advmss = -1,
          .priority = 7, .table = -1, .scope = -1 },
        { .dst = prefix("192.0.2.0/24"), .mtu = -1, .advmss = -1, .priority = -1, .table = 100, .scope = -1 },
        { .dst = prefix("2001:db8::/32"), .has_gw = true, .gw = prefix("fd01::1/128").addr, .mtu = -1, .advmss = 1200,
          .priority = -1, .table = -1, .scope = -1 },
    };
    ERROR_AUTO struct error error = ERROR_INIT;
    struct eth_addr mac;
    struct fixture f;

    fixture_init(&f);
    f.addrs[0] = prefix("10.1.0.9/24");
    f.addrs[1] = prefix("fd01::9/64");
    f.pod.routes = routes;
    f.pod.n_routes = ARRAY_SIZE(routes);
    assert_ok(pod_link_create(&f.pod, &mac, &error), &error);
    assert_ok(pod_link_configure(&f.pod, &error), &error);
    assert_ok(pod_link_check(&f.pod, &error), &error);
    int ns = f.pod.netns_fd;
    ck_assert(!test_sh(ns, "ip route show default | grep -q 'via 10.1.0.1 dev eth0.*metric 7.*mtu 1300'"));
    ck_assert(!test_sh(ns, "ip route show table 100 | grep -q '192.0.2.0/24 dev eth0'"));
    ck_assert(!test_sh(ns, "ip -6 route show 2001:db8::/32 | grep -q 'via fd01::1 dev eth0.*advmss 1200'"));
    ck_assert(test_sh(ns, "ip -6 route show default | grep -q ."));
    ck_assert(!test_sh(ns, "ip route flush table 100"));
    assert_broken(&f, "192.0.2.0/24");
}
END_TEST

START_TEST(test_mtu)
{
    static const uint16_t mtus[] = { 9000, 1450, 1280, 1281, 1281 };
    ERROR_AUTO struct error error = ERROR_INIT;
    struct fixture f;
    char path[64];

    make(&f);
    snprintf(path, sizeof path, "/proc/self/fd/%d", f.pod.netns_fd);
    for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
        f.pod.mtu = mtus[i];
        assert_ok(pod_link_set_mtu(HOST, path, "eth0", mtus[i], &error), &error);
        assert_ok(pod_link_check(&f.pod, &error), &error);
    }
    ck_assert_int_eq(pod_link_set_mtu(HOST, path, "eth7", 1400, &error), ENODEV);
    ck_assert_int_eq(pod_link_set_mtu(HOST, "/nonexistent", "eth0", 1400, &error), ENOENT);
    ck_assert_int_eq(pod_link_set_mtu(HOST, "/dev/null", "eth0", 1400, &error), EINVAL);
    assert_ok(pod_link_check(&f.pod, &error), &error);
}
END_TEST

/* cni A6, A9: who asked was killed, and its file descriptor went with it.  The node has an "eth0" of its own. */
START_TEST(test_no_netns)
{
    struct fixture f;

    make(&f);
    ck_assert(!test_sh(-1, "ip link add eth0 type veth peer name other && ip addr > addr.before && ip route > route.before"));
    int netns = f.pod.netns_fd;         /* Open still, or the link goes with the namespace. */
    f.pod.netns_fd = -1;
    for (int i = 0; i < 3; i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct eth_addr mac;

        f.pod.host_name = i ? HOST : "slp000000000099";
        ck_assert_int_eq(i == 0 ? pod_link_create(&f.pod, &mac, &error) : i == 1 ? pod_link_configure(&f.pod, &error)
                         : pod_link_check(&f.pod, &error), EBADF);
        ck_assert_msg(strstr(error_message(&error), "network namespace"), "%s", error_message(&error));
    }
    ck_assert(!test_sh(-1, "ip addr | diff addr.before - && ip route | diff route.before -; rc=$?; rm addr.before route.before; exit $rc"));
    close(netns);
}
END_TEST

START_TEST(test_netns)                  /* cni P10 */
{
    ERROR_AUTO struct error error = ERROR_INIT;
    int pod = test_new_netns(), own = test_own_netns();
    bool is_own;

    assert_ok(netns_is_own(pod, &is_own, &error), &error);
    ck_assert(!is_own);
    assert_ok(netns_is_own(own, &is_own, &error), &error);
    ck_assert(is_own);

    int back;
    assert_ok(netns_enter(pod, &back, &error), &error);
    assert_ok(netns_is_own(pod, &is_own, &error), &error);
    ck_assert(is_own);
    netns_leave(back);
    assert_ok(netns_is_own(own, &is_own, &error), &error);
    ck_assert(is_own);
}
END_TEST

static void
count(const char *host_name, void *n_)
{
    int *n = n_;
    ck_assert(!strncmp(host_name, "slp", 3));
    ++*n;
}

static int
count_links(void)
{
    int n = 0;
    ck_assert_int_eq(pod_link_for_each(count, &n, NULL), 0);
    return n;
}

static double
now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

START_TEST(test_trash)                  /* D1, D2: what is gone is fine. */
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char names[N_PODS][16];
    struct eth_addr mac;
    struct fixture f;

    fixture_init(&f);
    ck_assert_int_eq(count_links(), 0);
    double start = now_ms(), create_ms = 0, configure_ms = 0;
    for (int i = 0; i < N_PODS; i++) {
        snprintf(names[i], sizeof names[i], "slp%012x", i);
        f.pod.host_name = names[i];
        f.pod.netns_fd = test_new_netns();
        start = now_ms();
        assert_ok(pod_link_create(&f.pod, &mac, &error), &error);
        create_ms += now_ms() - start;
        start = now_ms();
        assert_ok(pod_link_configure(&f.pod, &error), &error);
        configure_ms += now_ms() - start;
    }
    ck_assert(!test_sh(-1, "ip link add keep type veth peer name x"));
    ck_assert_int_eq(count_links(), N_PODS);

    start = now_ms();
    assert_ok(pod_link_delete(names[0], &error), &error);
    double delete_ms = now_ms() - start;
    assert_ok(pod_link_delete(names[0], &error), &error);
    assert_ok(pod_link_trash(names[0], &error), &error);
    ck_assert_int_eq(count_links(), N_PODS - 1);

    start = now_ms();
    for (int i = 2; i < N_PODS; i++) {
        assert_ok(pod_link_trash(names[i], &error), &error);
    }
    double trash_ms = now_ms() - start;
    ck_assert_int_eq(count_links(), 1);
    start = now_ms();
    assert_ok(pod_link_empty_trash(&error), &error);
    double empty_ms = now_ms() - start;
    assert_ok(pod_link_empty_trash(&error), &error);
    ck_assert(!test_sh(-1, "ip link show %s >/dev/null && ip link show keep >/dev/null", names[1]));
    ck_assert(!test_sh(-1, "test $(ip -o link | grep -c slp) = 1"));
    printf("per pod: create %.2f ms, configure %.2f ms; delete one %.2f ms; trash %.3f ms and %.2f ms each for the group\n",
           create_ms / N_PODS, configure_ms / N_PODS, delete_ms, trash_ms / (N_PODS - 2), empty_ms / (N_PODS - 2));
}
END_TEST

static void *
side_by_side(void *index_)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct inet_prefix addr = prefix("10.244.1.5/32");
    struct in6_addr gateway = prefix("10.244.1.1/32").addr;
    char name[16];
    struct eth_addr mac;
    bool own;

    int home = test_own_netns();
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "slp%04x%08x", *(int *) index_, i);
        struct pod_link pod = {
            .host_name = name, .ifname = "eth0", .netns_fd = test_new_netns(), .mac = ETH_ADDR_C(0a,58,0a,f4,01,05),
            .mtu = 1450, .addrs = &addr, .n_addrs = 1, .gateways = &gateway, .n_gateways = 1, .tx_checksum_off = true,
        };
        assert_ok(pod_link_create(&pod, &mac, &error), &error);
        assert_ok(pod_link_configure(&pod, &error), &error);
        assert_ok(pod_link_check(&pod, &error), &error);
        assert_ok(pod_link_trash(name, &error), &error);
        close(pod.netns_fd);
    }
    assert_ok(netns_is_own(home, &own, &error), &error);
    ck_assert(own);
    close(home);
    return NULL;
}

START_TEST(test_threads)                /* cni 14 */
{
    int indexes[8];
    pthread_t threads[8];

    test_enter_new_netns();
    for (int i = 0; i < 8; i++) {
        indexes[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, side_by_side, &indexes[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_int_eq(pod_link_empty_trash(NULL), 0);
    ck_assert(!test_sh(-1, "test $(ip -o link | grep -c slp) = 0"));
}
END_TEST

UNIT_MAIN("pod-link", {
    tcase_add_test(tc, test_make);
    tcase_add_test(tc, test_families);
    tcase_add_test(tc, test_ipv6_disabled);
    tcase_add_test(tc, test_exists);
    tcase_add_test(tc, test_fails_after_creation);
    tcase_add_loop_test(tc, test_check, 0, ARRAY_SIZE(breakages));
    tcase_add_test(tc, test_delegated_routes);
    tcase_add_test(tc, test_mtu);
    tcase_add_test(tc, test_no_netns);
    tcase_add_test(tc, test_netns);
    tcase_add_test(tc, test_trash);
    tcase_add_test(tc, test_threads);
})
