/* controller/ipam.h.  The comments name the items of the acceptance list for IPAM that a test covers. */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "controller/ipam.h"
#include "unit.h"
#include "util.h"

#define Q IPAM_QUARANTINE_DEFAULT_MS

static struct inet_prefix
prefix(const char *s)
{
    struct inet_prefix p;
    ck_assert_int_eq(inet_prefix_parse(s, &p, NULL), 0);
    return p;
}

static struct in6_addr
addr(const char *s)
{
    struct in6_addr a;
    ck_assert_int_eq(inet_addr_parse(s, &a, NULL), 0);
    return a;
}

/* An object with the given pools and reserved ranges; NULL: none. */
static struct ipam *
create(long long int quarantine, const char *v4, const char *v6, const char *reserve)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct inet_prefix cidrs[2], range;
    size_t n = 0;
    if (reserve) {
        range = prefix(reserve);
    }
    struct ipam *ipam = ipam_create(&(struct ipam_config) { quarantine, reserve ? &range : NULL, reserve ? 1 : 0 });
    if (v4) {
        cidrs[n++] = prefix(v4);
    }
    if (v6) {
        cidrs[n++] = prefix(v6);
    }
    ck_assert_msg(!ipam_set_pools(ipam, cidrs, n, &error), "%s", error_message(&error));
    return ipam;
}

/* Allocates one lease; its first address as text. */
static const char *
get(struct ipam *ipam, long long int now, struct ipam_lease *lease)
{
    static char buf[INET_ADDR_STRLEN];
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ipam_lease mine;
    lease = lease ? lease : &mine;
    ck_assert_msg(!ipam_allocate(ipam, NULL, 0, now, lease, &error), "%s", error_message(&error));
    return inet_addr_format(&lease->addrs[0].addr, buf);
}

static int
get_fixed(struct ipam *ipam, const char *s, long long int now, struct ipam_lease *lease)
{
    struct in6_addr a = addr(s);
    struct ipam_lease mine;
    return ipam_allocate(ipam, &a, 1, now, lease ? lease : &mine, NULL);
}

static enum ipam_address_state
state(const struct ipam *ipam, const char *s)
{
    struct in6_addr a = addr(s);
    return ipam_lookup(ipam, &a, NULL);
}

static struct ipam_stats
stats(const struct ipam *ipam, size_t i)
{
    struct ipam_stats s[IPAM_MAX_ADDRS];
    ck_assert_uint_gt(ipam_get_stats(ipam, s), i);
    return s[i];
}

static const char *
message(struct ipam *ipam, long long int now, int expected)
{
    static char buf[512];
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ipam_lease lease;
    ck_assert_int_eq(ipam_allocate(ipam, NULL, 0, now, &lease, &error), expected);
    ovs_strlcpy(buf, error_message(&error), sizeof buf);
    return buf;
}

/* ipam 8: network, gateway and broadcast addresses are not given; every other one is, once. */
START_TEST(test_all)
{
    static const struct { const char *pool; size_t n; const char *first, *never[3]; } cases[] = {
        { "10.1.2.0/24", 253, "10.1.2.2", { "10.1.2.0", "10.1.2.1", "10.1.2.255" } },
        { "10.1.2.4/30", 1, "10.1.2.6", { "10.1.2.4", "10.1.2.5", "10.1.2.7" } },
        { "fd00::/120", 254, "fd00::2", { "fd00::", "fd00::1", NULL } },
        { "fd00::/126", 2, "fd00::2", { "fd00::", "fd00::1", NULL } },
        { "10.0.0.0/16", 65533, "10.0.0.2", { "10.0.0.0", "10.0.0.1", "10.0.255.255" } },
        { "10.0.0.0/8", 65534, "10.0.0.2", { "10.0.0.0", "10.0.0.1", "10.255.255.255" } },
        { "fd00::/64", 65534, "fd00::2", { "fd00::", "fd00::1", NULL } },
        { "::/0", 65534, "::2", { "::", "::1", NULL } },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct inet_prefix p = prefix(cases[c].pool);
        bool v4 = inet_is_v4(&p.addr);
        struct ipam *ipam = create(Q, v4 ? cases[c].pool : NULL, v4 ? NULL : cases[c].pool, NULL);
        char *seen = xzalloc(1 << 16);
        ck_assert_str_eq(get(ipam, 0, NULL), cases[c].first);
        for (size_t i = 1; i < cases[c].n; i++) {
            struct ipam_lease lease;
            uint64_t index;
            get(ipam, 0, &lease);
            ck_assert_uint_eq(lease.n, 1);
            ck_assert(inet_prefix_index(&p, &lease.addrs[0].addr, &index) && index < 1 << 16);
            ck_assert_msg(!seen[index]++, "%s: given twice", cases[c].pool);
        }
        message(ipam, 0, ENOSPC);
        for (size_t i = 0; i < 3 && cases[c].never[i]; i++) {
            ck_assert_int_eq(state(ipam, cases[c].never[i]), IPAM_RESERVED);
            ck_assert_int_eq(get_fixed(ipam, cases[c].never[i], 0, NULL), EINVAL);
        }
        free(seen);
        ipam_destroy(ipam);
    }
}
END_TEST

/* ipam 8: dual stack, IPv6 only; one address of each family, or none at all. */
START_TEST(test_families)
{
    struct ipam *ipam = create(Q, "10.0.0.0/29", "fd00::/120", NULL);
    struct ipam_lease lease;
    get(ipam, 0, &lease);
    ck_assert_uint_eq(lease.n, 2);
    ck_assert(inet_is_v4(&lease.addrs[0].addr) && !inet_is_v4(&lease.addrs[1].addr));
    ck_assert_uint_ne(lease.addrs[0].generation, lease.addrs[1].generation);
    for (int i = 0; i < 4; i++) {
        get(ipam, 0, NULL);
    }
    ck_assert_uint_eq(stats(ipam, 1).used, 5);
    const char *text = message(ipam, 0, ENOSPC);
    ck_assert_msg(strstr(text, "10.0.0.0/29"), "%s", text);
    ck_assert_uint_eq(stats(ipam, 1).used, 5);
    ipam_destroy(ipam);

    ipam = create(Q, NULL, "fd00::/120", NULL);
    get(ipam, 0, &lease);
    ck_assert(lease.n == 1 && !inet_is_v4(&lease.addrs[0].addr));
    ck_assert(ipam_has_room(ipam, 0));
    ipam_destroy(ipam);
}
END_TEST

START_TEST(test_pools)
{
    struct ipam *ipam = create(Q, NULL, NULL, NULL);
    ck_assert(!ipam_has_room(ipam, 0));
    message(ipam, 0, EAGAIN);

    static const char *const bad[] = { "10.0.0.0/31", "10.0.0.7/32", "fd00::/127", "fd00::1/128" };
    for (size_t i = 0; i < 4; i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct inet_prefix p = prefix(bad[i]);
        ck_assert_int_eq(ipam_set_pools(ipam, &p, 1, &error), EINVAL);
        ck_assert_msg(strstr(error_message(&error), bad[i]), "%s", error_message(&error));
    }
    struct inet_prefix two[] = { prefix("10.0.0.0/24"), prefix("10.0.1.0/24") };
    ck_assert_int_eq(ipam_set_pools(ipam, two, 2, NULL), EINVAL);
    message(ipam, 0, EAGAIN);

    struct in6_addr gateway;
    ipam_gateway(&two[1], &gateway);
    char buf[INET_ADDR_STRLEN];
    ck_assert_str_eq(inet_addr_format(&gateway, buf), "10.0.1.1");
    ipam_destroy(ipam);
}
END_TEST

/* Another CIDR for the node: what is in use stays until it is released, and is not lost when the old one comes back. */
START_TEST(test_change_of_pool)
{
    struct ipam *ipam = create(Q, "10.0.0.0/24", NULL, NULL);
    struct ipam_lease a, b, c;
    struct inet_prefix old = prefix("10.0.0.0/24"), new = prefix("10.0.0.0/28");
    get(ipam, 0, &a);
    ck_assert_int_eq(get_fixed(ipam, "10.0.0.77", 0, &b), 0);
    ck_assert_int_eq(ipam_set_pools(ipam, &new, 1, NULL), 0);
    ck_assert_uint_eq(stats(ipam, 0).used, 1);
    ck_assert_int_eq(state(ipam, "10.0.0.77"), IPAM_USED);
    ck_assert_str_eq(get(ipam, 0, &c), "10.0.0.3");
    ck_assert(ipam_release(ipam, &b.addrs[0], 0));
    ck_assert(ipam_acknowledge(ipam, &b.addrs[0]));
    ck_assert_int_eq(ipam_set_pools(ipam, &old, 1, NULL), 0);
    ck_assert_int_eq(state(ipam, "10.0.0.77"), IPAM_QUARANTINED);
    ck_assert_uint_eq(stats(ipam, 0).quarantined, 1);
    ck_assert_uint_eq(stats(ipam, 0).used, 2);
    ck_assert_int_eq(ipam_set_pools(ipam, NULL, 0, NULL), 0);
    ipam_run(ipam, Q);
    ck_assert_int_eq(state(ipam, "10.0.0.77"), IPAM_FOREIGN);
    ck_assert_int_eq(ipam_set_pools(ipam, &old, 1, NULL), 0);
    for (int i = 0; i < 251; i++) {
        get(ipam, Q, NULL);
    }
    message(ipam, Q, ENOSPC);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 8: fixed addresses, also outside the window of a large pool. */
START_TEST(test_fixed)
{
    struct ipam *ipam = create(Q, "10.0.0.0/24", "fd00::/64", NULL);
    struct ipam_lease lease;
    static const char *const good[] = { "10.0.0.2", "10.0.0.254", "fd00::abcd", "fd00::1:0:0",
                                        "fd00::ffff:ffff:ffff:ffff" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_int_eq(get_fixed(ipam, good[i], 0, &lease), 0);
        ck_assert_uint_eq(lease.n, 1);
        ck_assert_int_eq(state(ipam, good[i]), IPAM_USED);
        ck_assert_int_eq(get_fixed(ipam, good[i], 0, NULL), EBUSY);
        ck_assert(ipam_release(ipam, &lease.addrs[0], 0));
        ck_assert_int_eq(get_fixed(ipam, good[i], 0, NULL), EBUSY);
        ck_assert(ipam_acknowledge(ipam, &lease.addrs[0]));
        ck_assert_int_eq(get_fixed(ipam, good[i], Q - 1, NULL), EBUSY);
        ck_assert_int_eq(get_fixed(ipam, good[i], Q, NULL), 0);
    }
    ck_assert_str_eq(get(ipam, Q, NULL), "10.0.0.3");

    static const char *const bad[] = { "10.0.1.2", "fd01::2", "10.0.0.1", "fd00::1", "fd00::" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(get_fixed(ipam, bad[i], 0, NULL), EINVAL);
    }

    /* All or nothing, and at most one of each family. */
    struct in6_addr pair[] = { addr("10.0.0.9"), addr("fd00::abcd"), addr("fd00::9") };
    ck_assert_int_eq(ipam_allocate(ipam, pair, 2, Q, &lease, NULL), EBUSY);
    ck_assert_int_eq(state(ipam, "10.0.0.9"), IPAM_FREE);
    ck_assert_int_eq(ipam_allocate(ipam, &pair[1], 2, Q, &lease, NULL), EBUSY);
    struct in6_addr same[] = { addr("fd00::8"), addr("fd00::9") };
    ck_assert_int_eq(ipam_allocate(ipam, same, 2, Q, &lease, NULL), EINVAL);
    struct in6_addr three[] = { addr("10.0.0.9"), addr("fd00::9"), addr("fd00::a") };
    ck_assert_int_eq(ipam_allocate(ipam, three, 3, Q, &lease, NULL), EINVAL);
    struct in6_addr both[] = { addr("fd00::9"), addr("10.0.0.9") };
    ck_assert_int_eq(ipam_allocate(ipam, both, 2, Q, &lease, NULL), 0);
    ck_assert(lease.n == 2 && !memcmp(&lease.addrs[0].addr, &both[0], sizeof both[0]));
    ipam_destroy(ipam);
}
END_TEST

/* ipam 8: reserved ranges, inside, across and outside the window; a reserved window moves the window. */
START_TEST(test_reserved)
{
    static const struct { const char *pool, *range, *first; uint64_t reserved, free; } cases[] = {
        { "10.0.0.0/24", "10.0.0.0/28", "10.0.0.16", 17, 239 },
        { "10.0.0.0/24", "10.0.0.128/25", "10.0.0.2", 130, 126 },
        { "10.0.0.0/24", "10.0.0.2/32", "10.0.0.3", 4, 252 },
        { "10.0.0.0/24", "10.1.0.0/16", "10.0.0.2", 3, 253 },
        { "fd00::/64", "fd00::/112", "fd00::1:0", 65536, 65536 },
        { "fd00::/64", "fd00::/113", "fd00::8000", 32768, 32768 },
        { "fd00::/64", "fd00::/65", "fd00::8000:0:0:0", UINT64_C(1) << 63, 65536 },
        { "fd00::/64", "fd00::ffff:0:0:0/80", "fd00::2", (UINT64_C(1) << 48) + 2, 65534 },
        { "fd00::/48", "fd00::/64", "fd00::2", UINT64_MAX, 0 },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct inet_prefix p = prefix(cases[c].pool), range = prefix(cases[c].range);
        struct ipam *ipam = ipam_create(&(struct ipam_config) { Q, &range, 1 });
        if (!cases[c].free) {
            /* The window does not reach behind 2**64 reserved addresses. */
            ck_assert_int_eq(ipam_set_pools(ipam, &p, 1, NULL), EINVAL);
        } else {
            ck_assert_int_eq(ipam_set_pools(ipam, &p, 1, NULL), 0);
            ck_assert_uint_eq(stats(ipam, 0).reserved, cases[c].reserved);
            ck_assert_uint_eq(stats(ipam, 0).free, cases[c].free);
            ck_assert_str_eq(get(ipam, 0, NULL), cases[c].first);
            for (uint64_t i = 1; i < cases[c].free; i++) {
                struct ipam_lease lease;
                get(ipam, 0, &lease);
                ck_assert(!inet_prefix_contains(&range, &lease.addrs[0].addr));
            }
            message(ipam, 0, ENOSPC);
        }
        ipam_destroy(ipam);
    }

    /* Overlapping ranges count once; one that is as large as the pool leaves nothing. */
    struct inet_prefix ranges[] = { prefix("10.0.0.8/29"), prefix("10.0.0.0/28"), prefix("10.0.0.12/30") };
    struct inet_prefix pool = prefix("10.0.0.0/24"), all = prefix("10.0.0.0/8");
    struct ipam *ipam = ipam_create(&(struct ipam_config) { Q, ranges, 3 });
    ck_assert_int_eq(ipam_set_pools(ipam, &pool, 1, NULL), 0);
    ck_assert_uint_eq(stats(ipam, 0).reserved, 17);
    ck_assert_int_eq(get_fixed(ipam, "10.0.0.13", 0, NULL), EINVAL);
    ipam_configure(ipam, &(struct ipam_config) { Q, &all, 1 });
    message(ipam, 0, ENOSPC);
    ipam_configure(ipam, &(struct ipam_config) { Q, NULL, 0 });
    ck_assert_str_eq(get(ipam, 0, NULL), "10.0.0.2");
    ipam_destroy(ipam);
}
END_TEST

/* A new configuration: what is newly reserved is given no more, the order of the others stays. */
START_TEST(test_configure)
{
    struct ipam *ipam = create(0, "10.0.0.0/28", NULL, NULL);
    struct ipam_lease leases[13];
    for (int i = 0; i < 13; i++) {
        get(ipam, 0, &leases[i]);
    }
    for (int i = 12; i >= 0; i--) {
        ck_assert(ipam_release(ipam, &leases[i].addrs[0], 0));
        ck_assert(ipam_acknowledge(ipam, &leases[i].addrs[0]));
        ipam_run(ipam, 0);
    }
    struct inet_prefix range = prefix("10.0.0.12/30");
    ipam_configure(ipam, &(struct ipam_config) { Q, &range, 1 });
    ck_assert_uint_eq(stats(ipam, 0).free, 10);
    ck_assert_str_eq(get(ipam, 0, NULL), "10.0.0.11");
    ck_assert_str_eq(get(ipam, 0, NULL), "10.0.0.10");
    ipam_destroy(ipam);
}
END_TEST

/* ipam 3: fresh addresses first, then the oldest released. */
START_TEST(test_order)
{
    struct ipam *ipam = create(0, "10.0.0.0/29", NULL, NULL);
    struct ipam_lease l[5];
    for (int i = 0; i < 3; i++) {
        get(ipam, 0, &l[i]);
    }
    static const int order[] = { 1, 0, 2 };
    for (int i = 0; i < 3; i++) {
        ck_assert(ipam_release(ipam, &l[order[i]].addrs[0], i));
        ck_assert(ipam_acknowledge(ipam, &l[order[i]].addrs[0]));
    }
    static const char *const expected[] = { "10.0.0.5", "10.0.0.6", "10.0.0.3", "10.0.0.2", "10.0.0.4" };
    for (int i = 0; i < 5; i++) {
        ck_assert_str_eq(get(ipam, 10, &l[i]), expected[i]);
    }
    /* Cancelled: free at once, no quarantine. */
    ck_assert(ipam_cancel(ipam, &l[2].addrs[0]));
    ck_assert(!ipam_cancel(ipam, &l[2].addrs[0]));
    ck_assert_str_eq(get(ipam, 10, NULL), "10.0.0.3");

    /* A fixed request takes an address out of the middle of the queue. */
    static const int again[] = { 0, 1, 3 };
    for (int i = 0; i < 3; i++) {
        ck_assert(ipam_release(ipam, &l[again[i]].addrs[0], 20));
        ck_assert(ipam_acknowledge(ipam, &l[again[i]].addrs[0]));
    }
    ck_assert_int_eq(get_fixed(ipam, "10.0.0.6", 20, NULL), 0);
    ck_assert_str_eq(get(ipam, 20, NULL), "10.0.0.5");
    ck_assert_str_eq(get(ipam, 20, NULL), "10.0.0.2");
    message(ipam, 20, ENOSPC);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 4: time AND acknowledgement, in either order. */
START_TEST(test_quarantine)
{
    struct ipam *ipam = create(Q, "10.0.0.0/24", NULL, NULL);
    struct ipam_lease a, b;
    get(ipam, 1000, &a);
    get(ipam, 1000, &b);
    ck_assert(ipam_release(ipam, &a.addrs[0], 1000));
    ck_assert(ipam_release(ipam, &b.addrs[0], 2000));
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_UNACKNOWLEDGED);
    ck_assert_int_eq(stats(ipam, 0).next_free, 1000 + Q);

    ck_assert(ipam_acknowledge(ipam, &a.addrs[0]));
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_QUARANTINED);
    ipam_run(ipam, 1000 + Q - 1);
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_QUARANTINED);
    ipam_run(ipam, 1000 + Q);
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_FREE);

    ipam_run(ipam, 2000 + 100 * Q);
    ck_assert_int_eq(state(ipam, "10.0.0.3"), IPAM_UNACKNOWLEDGED);
    ck_assert_int_eq(stats(ipam, 0).unacknowledged, 1);
    ck_assert(ipam_acknowledge(ipam, &b.addrs[0]));
    ck_assert_int_eq(state(ipam, "10.0.0.3"), IPAM_FREE);
    ck_assert(stats(ipam, 0).quarantined == 0 && stats(ipam, 0).next_free == LLONG_MAX);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 4: the time is limited to an hour, and 0 still waits for the acknowledgement. */
START_TEST(test_quarantine_limits)
{
    struct ipam *ipam = create(LLONG_MAX, "10.0.0.0/30", NULL, NULL);
    struct ipam_lease a;
    get(ipam, 0, &a);
    ipam_release(ipam, &a.addrs[0], 0);
    ipam_acknowledge(ipam, &a.addrs[0]);
    ck_assert_int_eq(stats(ipam, 0).next_free, IPAM_QUARANTINE_MAX_MS);
    ipam_configure(ipam, &(struct ipam_config) { 0, NULL, 0 });
    get(ipam, 0, &a);
    ck_assert_uint_eq(stats(ipam, 0).taken_early, 0);
    ipam_release(ipam, &a.addrs[0], 0);
    message(ipam, 0, ENOSPC);
    ipam_acknowledge(ipam, &a.addrs[0]);
    get(ipam, 0, &a);
    ck_assert_uint_eq(stats(ipam, 0).taken_early, 0);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 4: when nothing else is free the oldest acknowledged one is taken early and counted; an unacknowledged one
 * never. */
START_TEST(test_taken_early)
{
    struct ipam *ipam = create(Q, "10.0.0.0/29", NULL, NULL);
    struct ipam_lease l[5];
    for (int i = 0; i < 5; i++) {
        get(ipam, 0, &l[i]);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert(ipam_release(ipam, &l[i].addrs[0], i));
    }
    ck_assert(!ipam_has_room(ipam, 10));
    message(ipam, 10, ENOSPC);
    /* Acknowledged out of order: the one released first is still the oldest. */
    ck_assert(ipam_acknowledge(ipam, &l[3].addrs[0]));
    ck_assert(ipam_acknowledge(ipam, &l[1].addrs[0]));
    ck_assert(ipam_acknowledge(ipam, &l[2].addrs[0]));
    ck_assert(ipam_has_room(ipam, 10));
    ck_assert_str_eq(get(ipam, 10, NULL), "10.0.0.3");
    ck_assert_str_eq(get(ipam, 10, NULL), "10.0.0.4");
    ck_assert_str_eq(get(ipam, 10, NULL), "10.0.0.5");
    ck_assert_uint_eq(stats(ipam, 0).taken_early, 3);
    message(ipam, 10 + 100 * Q, ENOSPC);
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_UNACKNOWLEDGED);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 6: what refers to a former owner does nothing. */
START_TEST(test_generations)
{
    struct ipam *ipam = create(0, "10.0.0.0/30", NULL, NULL);
    struct ipam_lease a, b;
    get(ipam, 0, &a);
    ck_assert(!ipam_acknowledge(ipam, &a.addrs[0]));
    ck_assert(ipam_release(ipam, &a.addrs[0], 0));
    ck_assert(!ipam_release(ipam, &a.addrs[0], 0));
    ck_assert(!ipam_cancel(ipam, &a.addrs[0]));
    ck_assert(ipam_acknowledge(ipam, &a.addrs[0]));
    ck_assert(!ipam_acknowledge(ipam, &a.addrs[0]));
    get(ipam, 0, &b);
    ck_assert_uint_gt(b.addrs[0].generation, a.addrs[0].generation);
    ck_assert(!ipam_release(ipam, &a.addrs[0], 0) && !ipam_cancel(ipam, &a.addrs[0]));
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_USED);
    ck_assert(ipam_release(ipam, &b.addrs[0], 0));
    ck_assert(!ipam_acknowledge(ipam, &a.addrs[0]));
    ck_assert_int_eq(state(ipam, "10.0.0.2"), IPAM_UNACKNOWLEDGED);
    ipam_set_generation(ipam, 1000);
    ipam_set_generation(ipam, 7);
    ck_assert(ipam_acknowledge(ipam, &b.addrs[0]));
    get(ipam, 0, &a);
    ck_assert_uint_eq(a.addrs[0].generation, 1001);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 4: the clock is set back; nobody waits longer than the whole quarantine from then on. */
START_TEST(test_clock_back)
{
    struct ipam *ipam = create(Q, "10.0.0.0/24", NULL, NULL);
    struct ipam_lease a, b;
    get(ipam, 0, &a);
    get(ipam, 0, &b);
    ipam_release(ipam, &a.addrs[0], 1000000);
    ipam_acknowledge(ipam, &a.addrs[0]);
    ipam_release(ipam, &b.addrs[0], 500);
    ipam_acknowledge(ipam, &b.addrs[0]);
    ck_assert_int_eq(stats(ipam, 0).next_free, 500 + Q);
    ipam_run(ipam, 500 + Q);
    ck_assert_uint_eq(stats(ipam, 0).quarantined, 0);
    ipam_destroy(ipam);
}
END_TEST

/* ipam 9: the message of an exhausted pool. */
START_TEST(test_exhausted)
{
    struct ipam *ipam = create(Q, "10.0.0.0/29", NULL, NULL);
    struct ipam_lease l[5];
    for (int i = 0; i < 5; i++) {
        get(ipam, 0, &l[i]);
    }
    ck_assert(!ipam_has_room(ipam, 0));
    ck_assert_str_eq(message(ipam, 0, ENOSPC), "pool 10.0.0.0/29 is exhausted: 8 addresses, 3 reserved, 5 in use, 0 in "
                     "quarantine; the next address is free when a pod is deleted");
    ipam_release(ipam, &l[0].addrs[0], 1000);
    ck_assert_str_eq(message(ipam, 18500, ENOSPC), "pool 10.0.0.0/29 is exhausted: 8 addresses, 3 reserved, 4 in use, "
                     "1 in quarantine; the next address is free when the dataplane has acknowledged that its flows are "
                     "gone; its quarantine ends in 42.5 s");
    ck_assert(strstr(message(ipam, 10 * Q, ENOSPC), "ends in 0.0 s"));
    ck_assert(!ipam_has_room(ipam, 10 * Q));
    ipam_acknowledge(ipam, &l[0].addrs[0]);
    ck_assert(ipam_has_room(ipam, 10 * Q));
    ipam_destroy(ipam);
}
END_TEST

static void
count(const struct ipam_address *address OVS_UNUSED, enum ipam_address_state s, long long int since, void *counts_)
{
    int *counts = counts_;
    counts[s]++;
    ck_assert_int_ge(since, counts[15]);
    counts[15] = since;
}

/* ipam 5: what the journal says is restored, before or after the pools are known. */
START_TEST(test_restore)
{
    for (int pools_first = 0; pools_first < 2; pools_first++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct inet_prefix pool = prefix("10.0.0.0/24");
        struct ipam *ipam = create(Q, pools_first ? "10.0.0.0/24" : NULL, NULL, NULL);
        struct ipam_address a = { addr("10.0.0.2"), 5 }, b = { addr("10.0.0.3"), 9 }, c = { addr("10.0.0.4"), 7 },
                            foreign = { addr("192.0.2.1"), 3 };
        ck_assert_int_eq(ipam_restore(ipam, &a, &error), 0);
        ck_assert_int_eq(ipam_restore(ipam, &a, &error), 0);
        ck_assert_int_eq(ipam_restore(ipam, &foreign, &error), 0);
        ck_assert_int_eq(ipam_restore_quarantined(ipam, &c, 1000000, 500, &error), 0);
        ck_assert_int_eq(ipam_restore_quarantined(ipam, &b, 100, 500, &error), 0);
        if (!pools_first) {
            ck_assert_int_eq(ipam_set_pools(ipam, &pool, 1, &error), 0);
        }
        ck_assert_uint_eq(ipam_get_generation(ipam), 9);
        int counts[16] = { 0 };
        ipam_for_each(ipam, count, counts);
        ck_assert(counts[IPAM_USED] == 2 && counts[IPAM_UNACKNOWLEDGED] == 2);
        ck_assert(stats(ipam, 0).used == 1 && stats(ipam, 0).quarantined == 2 && stats(ipam, 0).unacknowledged == 2);
        ck_assert_int_eq(stats(ipam, 0).next_free, 100 + Q);
        ck_assert_str_eq(get(ipam, 500, NULL), "10.0.0.5");
        ck_assert(ipam_acknowledge(ipam, &c) && ipam_acknowledge(ipam, &b));
        ipam_run(ipam, 499 + Q);
        ck_assert_int_eq(state(ipam, "10.0.0.3"), IPAM_FREE);
        ck_assert_int_eq(state(ipam, "10.0.0.4"), IPAM_QUARANTINED);
        ipam_run(ipam, 500 + Q);
        ck_assert_int_eq(state(ipam, "10.0.0.4"), IPAM_FREE);
        ck_assert(ipam_release(ipam, &foreign, 500 + Q) && ipam_acknowledge(ipam, &foreign));
        ipam_run(ipam, 500 + 2 * Q);
        ck_assert_int_eq(state(ipam, "192.0.2.1"), IPAM_FOREIGN);
        ipam_destroy(ipam);
    }
}
END_TEST

/* ipam 5: a journal that contradicts itself is refused. */
START_TEST(test_restore_conflict)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ipam *ipam = create(Q, "10.0.0.0/24", NULL, NULL);
    struct ipam_address five = { addr("10.0.0.2"), 5 }, six = { addr("10.0.0.2"), 6 };
    ck_assert_int_eq(ipam_restore(ipam, &five, NULL), 0);
    ck_assert_int_eq(ipam_restore(ipam, &six, &error), EEXIST);
    ck_assert_msg(strstr(error_message(&error), "10.0.0.2"), "%s", error_message(&error));
    ck_assert_int_eq(ipam_restore_quarantined(ipam, &six, 0, 0, NULL), EEXIST);
    ck_assert_int_eq(ipam_restore_quarantined(ipam, &five, 0, 0, NULL), 0);
    ck_assert_int_eq(ipam_restore(ipam, &five, NULL), EEXIST);
    /* Taken early, and given anew. */
    ck_assert_int_eq(ipam_restore(ipam, &six, NULL), 0);
    ck_assert_int_eq(ipam_restore(ipam, &five, NULL), EEXIST);
    ck_assert(!ipam_acknowledge(ipam, &five));
    ck_assert_uint_eq(stats(ipam, 0).used, 1);
    ck_assert_uint_eq(stats(ipam, 0).quarantined, 0);
    ipam_destroy(ipam);
}
END_TEST

/* The figures add up through a long mixture of everything. */
START_TEST(test_sums)
{
    struct ipam *ipam = create(100, "10.0.0.0/27", "fd00::/122", "10.0.0.8/30");
    struct ipam_lease leases[40];
    bool held[40] = { false };
    uint32_t random = 1;
    for (int i = 0; i < 20000; i++) {
        random = random * 1103515245 + 12345;
        int n = random >> 16 & 31;
        if (!held[n]) {
            held[n] = !ipam_allocate(ipam, NULL, 0, i, &leases[n], NULL);
        } else {
            held[n] = false;
            for (size_t k = 0; k < 2; k++) {
                ck_assert(random >> 30 & 1 ? ipam_cancel(ipam, &leases[n].addrs[k])
                          : ipam_release(ipam, &leases[n].addrs[k], i));
                ipam_acknowledge(ipam, &leases[n].addrs[k]);
            }
        }
        for (size_t k = 0; k < 2; k++) {
            struct ipam_stats s = stats(ipam, k);
            ck_assert_uint_eq(s.size, s.reserved + s.used + s.quarantined + s.free);
        }
    }
    ck_assert_uint_gt(stats(ipam, 0).taken_early, 0);
    ipam_destroy(ipam);
}
END_TEST

UNIT_MAIN("ipam", {
    tcase_add_test(tc, test_all);
    tcase_add_test(tc, test_families);
    tcase_add_test(tc, test_pools);
    tcase_add_test(tc, test_change_of_pool);
    tcase_add_test(tc, test_fixed);
    tcase_add_test(tc, test_reserved);
    tcase_add_test(tc, test_configure);
    tcase_add_test(tc, test_order);
    tcase_add_test(tc, test_quarantine);
    tcase_add_test(tc, test_quarantine_limits);
    tcase_add_test(tc, test_taken_early);
    tcase_add_test(tc, test_generations);
    tcase_add_test(tc, test_clock_back);
    tcase_add_test(tc, test_exhausted);
    tcase_add_test(tc, test_restore);
    tcase_add_test(tc, test_restore_conflict);
    tcase_add_test(tc, test_sums);
})
