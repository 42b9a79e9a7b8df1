#include <config.h>

#include <errno.h>
#include <string.h>

#include "inet.h"
#include "packets.h"
#include "unit.h"

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

START_TEST(test_round_trip)
{
    static const char *const good[] = { "10.0.0.7/24", "0.0.0.0/0", "255.255.255.255/32", "fd00::1/64", "::/0",
                                        "fe80::1/128" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char buf[INET_PREFIX_STRLEN];
        struct inet_prefix p = prefix(good[i]);
        ck_assert_str_eq(inet_prefix_format(&p, buf), good[i]);
    }
}
END_TEST

START_TEST(test_bad)
{
    static const char *const bad[] = { "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08",
                                       "10.0.0/24", "fd00::/129", "fd00::/64 ", " fd00::/64", "::ffff:10.0.0.1/120",
                                       "fe80::1%lo/64", "10.0.0.0/24/24", "10.0.0.0/999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct inet_prefix p;
        ck_assert_msg(inet_prefix_parse(bad[i], &p, &error) == EINVAL, "%s was taken", bad[i]);
        ck_assert(error_message(&error)[0]);
    }
}
END_TEST

START_TEST(test_cidr)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct inet_prefix p;
    ck_assert_int_eq(inet_cidr_parse("10.1.2.3/16", &p, &error), EINVAL);
    ck_assert_msg(strstr(error_message(&error), "10.1.0.0/16"), "%s", error_message(&error));
    ck_assert_int_eq(inet_cidr_parse("fd00:1::/48", &p, &error), 0);
}
END_TEST

START_TEST(test_contains)
{
    struct inet_prefix p = prefix("10.244.1.0/25"), q = prefix("fd00:10:244:1::/64"), all = prefix("0.0.0.0/0");
    struct in6_addr a = addr("10.244.1.127"), b = addr("10.244.1.128"), c = addr("fd00:10:244:1:ffff::1");
    ck_assert(inet_prefix_contains(&p, &a) && !inet_prefix_contains(&p, &b));
    ck_assert(inet_prefix_contains(&q, &c) && !inet_prefix_contains(&q, &a));
    ck_assert(inet_prefix_contains(&all, &b) && !inet_prefix_contains(&all, &c));
    ck_assert(inet_prefix_overlaps(&all, &p) && inet_prefix_overlaps(&p, &all) && !inet_prefix_overlaps(&p, &q));
}
END_TEST

START_TEST(test_prefixes)
{
    struct inet_prefix prefixes[] = { prefix("fd00::/8"), prefix("10.1.0.0/24"), prefix("10.1.0.0/16"), prefix("10.0.0.0/16") };
    struct inet_prefix p = prefix("10.1.0.7/32"), other = prefix("10.2.0.0/16");
    char buf[INET_PREFIX_STRLEN];

    inet_prefixes_sort(prefixes, ARRAY_SIZE(prefixes));
    static const char *const want[] = { "10.0.0.0/16", "10.1.0.0/16", "10.1.0.0/24", "fd00::/8" };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        ck_assert_str_eq(inet_prefix_format(&prefixes[i], buf), want[i]);
    }
    ck_assert_ptr_eq(inet_prefixes_overlap(prefixes, ARRAY_SIZE(prefixes), &p), &prefixes[1]);
    ck_assert_ptr_null(inet_prefixes_overlap(prefixes, ARRAY_SIZE(prefixes), &other));
    inet_prefixes_sort(NULL, 0);
    ck_assert_ptr_null(inet_prefixes_overlap(NULL, 0, &p));
}
END_TEST

START_TEST(test_index)
{
    static const char *const pools[] = { "10.244.1.0/24", "10.0.0.0/8", "fd00::/64", "fd00::/120", "10.0.0.4/32" };
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        struct inet_prefix p = prefix(pools[i]);
        for (uint64_t n = 0; n < 70000; n = n * 3 + 1) {
            struct in6_addr a;
            uint64_t m;
            ck_assert_int_eq(inet_prefix_nth(&p, n, &a), n < inet_prefix_size(&p));
            if (n < inet_prefix_size(&p)) {
                ck_assert(inet_prefix_index(&p, &a, &m) && m == n);
            }
        }
    }
    struct inet_prefix wide = prefix("fd00::/16");
    struct in6_addr far = addr("fd00:1::");
    uint64_t n;
    ck_assert(!inet_prefix_index(&wide, &far, &n));
}
END_TEST

START_TEST(test_constants)
{
    struct in6_addr a = inet_addr_constant("10.1.2.3"), b = addr("10.1.2.3");
    struct inet_prefix p = inet_cidr_constant("fd00:1::/48"), q = prefix("fd00:1::/48");
    ck_assert(ipv6_addr_equals(&a, &b));
    ck_assert(ipv6_addr_equals(&p.addr, &q.addr) && p.plen == q.plen);
}
END_TEST

START_TEST(test_any)
{
    struct in6_addr any4 = addr("0.0.0.0"), any6 = addr("::"), one = addr("::1");
    ck_assert(ipv6_addr_equals(inet_any(false), &any4) && ipv6_addr_equals(inet_any(true), &any6));
    ck_assert(inet_is_any(&any4) && inet_is_any(&any6) && !inet_is_any(&one));
}
END_TEST

START_TEST(test_unique)
{
    struct in6_addr many[] = { addr("fd00::2"), addr("10.0.0.1"), addr("fd00::2"), addr("10.0.0.2"), addr("10.0.0.1") };
    struct in6_addr left[] = { addr("10.0.0.1"), addr("10.0.0.2"), addr("fd00::2") };
    ck_assert_uint_eq(inet_addrs_unique(many, 5), 3);
    for (size_t i = 0; i < 3; i++) {
        size_t found = 0;
        for (size_t j = 0; j < 3; j++) {
            found += ipv6_addr_equals(&many[j], &left[i]);
        }
        ck_assert_uint_eq(found, 1);
    }
    ck_assert_uint_eq(inet_addrs_unique(many, 1), 1);
    ck_assert_uint_eq(inet_addrs_unique(NULL, 0), 0);
}
END_TEST

UNIT_MAIN("inet", {
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_cidr);
    tcase_add_test(tc, test_contains);
    tcase_add_test(tc, test_prefixes);
    tcase_add_test(tc, test_index);
    tcase_add_test(tc, test_constants);
    tcase_add_test(tc, test_any);
    tcase_add_test(tc, test_unique);
})
