#ifndef SLUICE_HOSTNET_TEST_H
#define SLUICE_HOSTNET_TEST_H 1

/* A node with an uplink eth0 to "outside", and the daemon's loop for hostnet.h: what its system tests share. */

#include <string.h>

#include "controller/hostnet.h"
#include "netns-test.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

#define TIMEOUT_MS 8000

static inline struct inet_prefix
prefix(const char *s)
{
    struct inet_prefix p;
    ck_assert_int_eq(inet_prefix_parse(s, &p, NULL), 0);
    return p;
}

/* The output of a shell command here. */
static inline char *
capture(const char *command)
{
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    char *text = xzalloc(65536);
    size_t n = fread(text, 1, 65535, f);
    text[n] = '\0';
    pclose(f);
    return text;
}

/* Everything of a link that the take-over moves, as text without the link's name. */
static inline char *
belongings(const char *link)
{
    char *command = xasprintf(
        "{ ip -o addr show dev %s | awk '$4 !~ /^fe80/ { print $3, $4, $5, $6 }'; ip route show table all dev %s; "
        "ip -6 route show table all dev %s; } 2>/dev/null | grep -vE '^(local|broadcast|anycast|multicast|fe80::/64)' | "
        "sed 's/ *$//; s/ table default//' | sort", link, link, link);
    char *text = capture(command);
    free(command);
    return text;
}

/* The daemon's loop, until 'ready' or for 'ms'. */
static inline bool
run(struct hostnet *h, bool until_ready, int ms)
{
    long long int deadline = time_msec() + ms;

    for (;;) {
        hostnet_run(h);
        if ((until_ready && hostnet_ready(h)) || time_msec() >= deadline) {
            break;
        }
        hostnet_wait(h);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    return hostnet_ready(h);
}

#define ASSERT_READY(H) ck_assert_msg(run(H, true, TIMEOUT_MS), "not ready: %s", hostnet_problem(H) ? hostnet_problem(H) : "-")

struct fixture {
    int outside;                        /* Namespace at the other end of eth0. */
    char state[64];
    struct inet_prefix gateway_addrs[2], cluster[3];
    struct hostnet_route routes[4];     /* For set_routes(). */
    size_t n_routes;
    struct hostnet_config config;
};

static inline void
fixture_init(struct fixture *f)
{
    test_enter_new_netns();
    *f = (struct fixture) {
        .outside = test_new_netns(),
        .state = "/tmp/test-hostnet-XXXXXX",
        .gateway_addrs = { prefix("10.244.1.1/24"), prefix("fd00:10:244:1::1/64") },
        .cluster = { prefix("10.244.0.0/16"), prefix("fd00:10:244::/48"), prefix("10.244.1.0/24") },
    };
    ck_assert_ptr_nonnull(mkdtemp(f->state));
    f->config = (struct hostnet_config) {
        .gateway = "sluice0",
        .gateway_mac = ETH_ADDR_C(02,53,4c,00,00,01),
        .mtu = 1450,
        .gateway_addrs = f->gateway_addrs,
        .n_gateway_addrs = 2,
        .cluster_cidrs = f->cluster,
        .n_cluster_cidrs = 3,
        .masquerade = true,
    };
    char *link = xasprintf("ip link add eth0 type veth peer name far0 netns /proc/%d/fd/%d", getpid(), f->outside);
    ck_assert(!test_sh(-1, "%s", link));
    free(link);
    ck_assert(!test_sh(f->outside, "ip link set lo up; ip link set far0 up; ip addr add 192.0.2.1/24 dev far0; "
                       "ip addr add 2001:db8::1/64 dev far0 nodad"));
    ck_assert(!test_sh(-1, "ip link set eth0 up; ip addr add 192.0.2.5/24 brd + dev eth0; "
                       "ip addr add 2001:db8::5/64 dev eth0 nodad; ip route add default via 192.0.2.1"));
}

static inline void
fixture_destroy(struct fixture *f)
{
    test_sh(-1, "rm -rf %s", f->state);
}

static inline void
make_port(const char *name)
{
    ck_assert(!test_sh(-1, "ip link add %s type veth peer name p-%s && ip link set p-%s up", name, name, name));
}

static inline struct hostnet *
start(struct fixture *f)
{
    struct hostnet *h = hostnet_create(f->state, "auto");
    hostnet_set(h, &f->config);
    for (size_t i = 0; i < f->n_routes; i++) {
        hostnet_set_route(h, &f->routes[i]);
    }
    return h;
}

static inline void
assert_moved(const char *before, const char *from, const char *to, const char *when)
{
    char *old = belongings(from), *new = belongings(to);

    ck_assert_msg(!strcmp(new, before), "%s: %s has\n%sinstead of\n%s", when, to, new, before);
    ck_assert_msg(!old[0], "%s: %s still has\n%s", when, from, old);
    free(old);
    free(new);
}

#endif /* tests/system/hostnet-test.h */
