/* Ranges of ports as matches: networkpolicy 15 (protocols), 18 (endPort); levels: clusternetworkpolicy 2. */
#include <config.h>

#include <netinet/in.h>

#include "policy-flow.h"
#include "random.h"
#include "util.h"
#include "unit.h"

static size_t
check(uint16_t first, uint16_t last)
{
    struct flow_l4 out[FLOW_L4_MAX];
    size_t n = flow_l4_range(IPPROTO_UDP, first, last, out);

    ck_assert_uint_le(n, FLOW_L4_MAX);
    for (uint32_t port = 0; port <= UINT16_MAX; port++) {
        int hits = 0;
        for (size_t i = 0; i < n; i++) {
            hits += (FLOW_L4(IPPROTO_UDP, port) & out[i].mask) == out[i].value;
            hits += (FLOW_L4(IPPROTO_TCP, port) & out[i].mask) == out[i].value;         /* Never. */
        }
        if (hits != (port >= first && port <= last)) {
            ck_abort_msg("%u-%u: port %u: %d", first, last, port, hits);
        }
    }
    return n;
}

START_TEST(test_ranges)
{
    ck_assert_uint_eq(check(53, 53), 1);
    ck_assert_uint_eq(check(53, 80), 5);                /* 53, 54-55, 56-63, 64-79, 80. */
    ck_assert_uint_eq(check(53, 84), 6);
    ck_assert_uint_eq(check(32000, 32768), 3);          /* 32000-32255, 32256-32767, 32768. */
    ck_assert_uint_eq(check(1, 65535), 16);
    ck_assert_uint_eq(check(0, 65535), 1);
    ck_assert_uint_eq(check(0, 0), 1);
    ck_assert_uint_eq(check(65535, 65535), 1);
    ck_assert_uint_eq(check(1, 65534), 30);             /* The most that there are. */
    ck_assert_uint_eq(check(2, 1), 0);
}
END_TEST

START_TEST(test_random)
{
    random_set_seed(1);
    for (int i = 0; i < 300; i++) {
        uint16_t a = random_range(65536), b = random_range(65536);
        check(MIN(a, b), MAX(a, b));
    }
}
END_TEST

/* By priority, then by place; of one place Deny first. */
START_TEST(test_levels)
{
    unsigned int above = UINT16_MAX + 1;

    for (int priority = 0; priority <= 1000; priority++) {
        for (size_t index = 0; index < 25; index++) {
            uint16_t deny = flow_level_cnp(priority, index, FLOW_DENY);
            uint16_t accept = flow_level_cnp(priority, index, FLOW_ACCEPT);

            ck_assert(above > deny && deny > accept);
            ck_assert_uint_eq(accept, flow_level_cnp(priority, index, FLOW_PASS));
            above = accept;
        }
    }
    ck_assert_uint_eq(above, 10000);
    for (uint64_t hash = 0; hash < 100; hash++) {
        ck_assert(flow_level_np(hash) >= 100 && flow_level_np(hash) < 100 + FLOW_LEVEL_LANES);
    }
}
END_TEST

UNIT_MAIN("policy-l4", {
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_levels);
})
