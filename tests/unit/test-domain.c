/* Addresses of domain names: clusternetworkpolicy 5 (domainNames). */
#include <config.h>

#include <limits.h>
#include <string.h>

#include "controller/domain.h"
#include "random.h"
#include "sset.h"
#include "util.h"
#include "unit.h"

#define SECOND 1000LL
#define IDLE (600 * SECOND)

/* What the core's user knows: "NAME ADDRESS" of all that is present. */
static struct sset present;
static struct sset wanted;
static struct domains *domains;
static const char *name;

static void
setup(void)
{
    sset_init(&present);
    sset_init(&wanted);
    domains = domains_create(IDLE);
}

static void
teardown(void)
{
    domains_destroy(domains);
    sset_destroy(&present);
    sset_destroy(&wanted);
}

static bool
is_wanted(const char *name, void *aux OVS_UNUSED)
{
    return sset_contains(&wanted, name);
}

static struct in6_addr
addr(const char *s)
{
    struct in6_addr a;
    ck_assert_int_eq(inet_addr_parse(s, &a, NULL), 0);
    return a;
}

static char *
key(const char *name, const struct in6_addr *a)
{
    char buf[INET_ADDR_STRLEN];
    return xasprintf("%s %s", name, inet_addr_format(a, buf));
}

static size_t
pop(void)
{
    struct domain_change change;
    size_t n = 0;

    for (; domains_pop(domains, &change); n++) {
        char *k = key(change.name, &change.addr);
        if (change.present) {
            ck_assert_msg(sset_add(&present, k) != NULL, "%s came twice", k);
        } else {
            ck_assert_msg(sset_find_and_delete(&present, k), "%s went, but was not there", k);
        }
        free(k);
    }
    return n;
}

static bool
answer(const char *name, const char *a, uint32_t ttl, long long int now)
{
    static struct dns_answer message;
    ovs_strlcpy(message.name, name, sizeof message.name);
    message.n_addrs = a != NULL;
    if (a) {
        message.addrs[0] = (struct dns_addr) { addr(a), ttl };
    }
    return domains_answer(domains, &message, is_wanted, NULL, now);
}

static bool
has(const char *name_and_addr)
{
    return sset_contains(&present, name_and_addr);
}

START_TEST(test_names)
{
    static const struct { const char *name; bool exact, star; } cases[] = {
        { "example.com", true, false }, { "www.example.com", false, true }, { "a.b.c.example.com", false, true },
        { "myexample.com", false, false }, { "example.com.org", false, false }, { "com", false, false },
        { "", false, false }, { "example.org", false, false },
    };

    sset_add(&wanted, "example.com");
    sset_add(&wanted, "*.example.com");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char a[16];
        snprintf(a, sizeof a, "1.2.3.%zu", i);
        struct in6_addr in6 = addr(a);
        ck_assert(answer(cases[i].name, a, 60, 0) == (cases[i].exact || cases[i].star));
        ck_assert_uint_eq(pop(), cases[i].exact + cases[i].star);
        char *exact = key("example.com", &in6), *star = key("*.example.com", &in6);
        ck_assert_msg(has(exact) == cases[i].exact && has(star) == cases[i].star, "%s", cases[i].name);
        free(exact);
        free(star);
    }
    ck_assert(!answer("example.com", NULL, 0, 0));

    char name[] = "*.ExAmple.COM.";
    domain_normalise(name);
    ck_assert_str_eq(name, "*.example.com");
}
END_TEST

/* An address stays for its time, and while it is used; who asks again has it for longer. */
START_TEST(test_time)
{
    struct in6_addr a = addr("1.2.3.4"), asked;

    sset_add(&wanted, "example.com");
    ck_assert_int_eq(domains_next(domains), LLONG_MAX);
    ck_assert(answer("example.com", "1.2.3.4", 5, 0));
    ck_assert(pop() == 1 && has("example.com 1.2.3.4"));
    ck_assert(answer("example.com", "1.2.3.4", 5, 30 * SECOND));
    ck_assert_uint_eq(pop(), 0);                                /* Nothing new. */

    domains_run(domains, IDLE);
    if (domains_pop_question(domains, &name, &asked)) {         /* It may ask, but the address has time left. */
        domains_idle(domains, NULL, &asked, IDLE, IDLE);
    }
    ck_assert_uint_eq(pop(), 0);

    long long int now = 30 * SECOND + IDLE;                     /* The smallest time after the second answer. */
    ck_assert_int_le(domains_next(domains), now);
    domains_run(domains, now);
    ck_assert(domains_pop_question(domains, &name, &asked) && !memcmp(&asked, &a, sizeof a));
    ck_assert(!domains_pop_question(domains, &name, &asked));
    domains_run(domains, now);
    ck_assert(!domains_pop_question(domains, &name, &asked));          /* Not at once again, ... */
    domains_run(domains, now + 20 * SECOND);
    ck_assert(domains_pop_question(domains, &name, &asked));           /* ... but if nobody answers. */

    now += 20 * SECOND;
    domains_idle(domains, NULL, &a, 10 * SECOND, now);                /* A connection lives. */
    ck_assert_uint_eq(pop(), 0);
    ck_assert_int_eq(domains_next(domains), now + IDLE - 10 * SECOND);
    now = domains_next(domains);
    domains_run(domains, now);
    ck_assert(domains_pop_question(domains, &name, &asked));
    domains_idle(domains, "www.example.com", &a, IDLE, now);
    ck_assert_uint_eq(pop(), 0);
    domains_idle(domains, name, &a, IDLE, now);          /* It does not any more. */
    ck_assert(pop() == 1 && !has("example.com 1.2.3.4"));
    ck_assert_int_eq(domains_next(domains), LLONG_MAX);

    struct domains_stats stats;
    domains_get_stats(domains, &stats);
    ck_assert(!stats.n_names && !stats.n_addrs && stats.n_answers == 2);
}
END_TEST

START_TEST(test_long_ttl)
{
    struct in6_addr asked;

    sset_add(&wanted, "example.com");
    answer("example.com", "1.2.3.4", 3600, 0);
    ck_assert_int_eq(domains_next(domains), 3600 * SECOND);
    answer("example.com", "1.2.3.4", 5, 10 * SECOND);           /* A smaller one does not shorten it. */
    ck_assert_int_eq(domains_next(domains), 3600 * SECOND);
    answer("example.com", "1.2.3.4", INT32_MAX, 0);
    ck_assert_int_eq(domains_next(domains), DOMAIN_MAX_TTL);
    domains_run(domains, DOMAIN_MAX_TTL - 1);
    ck_assert(!domains_pop_question(domains, &name, &asked));
}
END_TEST

/* It goes and comes again before anybody was told. */
START_TEST(test_back_again)
{
    struct in6_addr a = addr("1.2.3.4");

    sset_add(&wanted, "example.com");
    answer("example.com", "1.2.3.4", 0, 0);
    domains_idle(domains, NULL, &a, IDLE, IDLE);        /* Never told. */
    ck_assert_uint_eq(pop(), 0);
    answer("example.com", "1.2.3.4", 0, IDLE + SECOND);
    ck_assert_uint_eq(pop(), 1);
    domains_idle(domains, NULL, &a, IDLE, 2 * IDLE + SECOND);
    answer("example.com", "1.2.3.4", 0, 2 * IDLE + SECOND);
    ck_assert_uint_eq(pop(), 0);
    ck_assert(has("example.com 1.2.3.4"));
    ck_assert_int_eq(domains_next(domains), 3 * IDLE + SECOND);
}
END_TEST

START_TEST(test_limits)
{
    struct domains_stats stats;
    char a[32];

    sset_add(&wanted, "example.com");
    for (int i = 0; i < DOMAIN_MAX_ADDRS_PER_NAME + 10; i++) {
        snprintf(a, sizeof a, "1.2.%d.%d", i >> 8, i & 255);
        answer("example.com", a, 60, 0);
    }
    ck_assert_uint_eq(pop(), DOMAIN_MAX_ADDRS_PER_NAME);
    domains_get_stats(domains, &stats);
    ck_assert_uint_eq(stats.n_refused, 10);

    for (int i = 0; i < DOMAIN_MAX_ADDRS / DOMAIN_MAX_ADDRS_PER_NAME; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example.com", i);
        sset_add(&wanted, name);
        for (int j = 0; j < DOMAIN_MAX_ADDRS_PER_NAME; j++) {
            snprintf(a, sizeof a, "1.2.%d.%d", j >> 8, j & 255);
            answer(name, a, 60, 0);
        }
    }
    domains_get_stats(domains, &stats);
    ck_assert_uint_eq(stats.n_addrs, DOMAIN_MAX_ADDRS);
    ck_assert_uint_eq(stats.n_refused, 10 + DOMAIN_MAX_ADDRS_PER_NAME);
}
END_TEST

static void
restore(const struct domain_entry *e, void *other)
{
    domains_restore(other, e, 1000 * SECOND);
}

START_TEST(test_saved)
{
    struct domain_entry e;
    struct in6_addr a = addr("1.2.3.4");

    sset_add(&wanted, "example.com");
    answer("example.com", "1.2.3.4", 60, 0);
    ck_assert(domains_pop_unsaved(domains, &e));
    ck_assert(!strcmp(e.name, "example.com") && !memcmp(&e.addr, &a, sizeof a) && e.expires == IDLE);
    ck_assert(!domains_pop_unsaved(domains, &e));
    answer("example.com", "1.2.3.4", 60, 30 * SECOND);          /* Hardly later: what is saved is good enough. */
    ck_assert(!domains_pop_unsaved(domains, &e));
    answer("example.com", "1.2.3.4", 3600, 0);
    ck_assert(domains_pop_unsaved(domains, &e) && e.expires == 3600 * SECOND);
    answer("example.com", "fd00::1", 0, 0);

    struct domains *other = domains_create(IDLE);
    domains_for_each(domains, restore, other);
    domains_destroy(domains);
    domains = other;
    ck_assert_uint_eq(pop(), 2);
    ck_assert(has("example.com 1.2.3.4") && has("example.com fd00::1"));
    ck_assert(!domains_pop_unsaved(domains, &e));
    ck_assert_int_eq(domains_next(domains), 1000 * SECOND + IDLE);       /* That of fd00::1. */

    struct in6_addr asked;
    domains_run(domains, 1000 * SECOND + IDLE);
    ck_assert(domains_pop_question(domains, &name, &asked));
    domains_idle(domains, NULL, &asked, IDLE, 1000 * SECOND + IDLE);
    ck_assert(pop() == 1 && has("example.com 1.2.3.4"));
    ck_assert_int_eq(domains_next(domains), 3600 * SECOND);
}
END_TEST

START_TEST(test_records)
{
    static const char *const bad[] = { "", "1 1.2.3.4", "1 1.2.3.4 ", "x 1.2.3.4 example.com", "1 1.2.3 example.com",
                                       "-2 1.2.3.4 example.com", "1 1.2.3.4 Example.com", "1 1.2.3.4 a.*.example.com",
                                       "1 1.2.3.4 *.", "1 1.2.3.4 a b", "9999999999999999999999 1.2.3.4 example.com" };
    struct domain_entry e = { "*.example.com", addr("fd00::1"), 1234567890123LL }, back;
    char name[DOMAIN_NAME_SIZE];
    char *s = domain_entry_encode(&e);

    ck_assert_str_eq(s, "1234567890123 fd00::1 *.example.com");
    ck_assert_int_eq(domain_entry_decode(s, strlen(s), &back, name, NULL), 0);
    ck_assert(!strcmp(back.name, e.name) && !memcmp(&back.addr, &e.addr, sizeof e.addr) && back.expires == e.expires);
    free(s);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_msg(domain_entry_decode(bad[i], strlen(bad[i]), &back, name, NULL), "%s was taken", bad[i]);
    }
    ck_assert(domain_entry_decode("1 1.2.3.4 a\0b", 13, &back, name, NULL));

    domains_restore(domains, &e, 0);
    domains_forget(domains, &e);
    domains_forget(domains, &e);
    ck_assert_uint_eq(pop(), 0);
}
END_TEST

/* Against a model: for each name and address how long it must be there. */
START_TEST(test_random)
{
    enum { N_NAMES = 4, N_ADDRS = 6 };
    static const char *const names[N_NAMES] = { "a.example.com", "b.example.com", "example.com", "c.d.example.com" };
    long long int until[3][N_ADDRS];    /* a.example.com, example.com, *.example.com. */
    static const char *const rules[3] = { "a.example.com", "example.com", "*.example.com" };
    long long int used[N_ADDRS], now = 0;
    struct in6_addr asked;

    random_set_seed(_i + 1);
    memset(until, 0, sizeof until);
    memset(used, 0, sizeof used);
    for (int i = 0; i < 3; i++) {
        sset_add(&wanted, rules[i]);
    }
    for (int step = 0; step < 3000; step++) {
        now += random_range(60) * SECOND;
        if (random_range(2)) {
            int n = random_range(N_NAMES), i = random_range(N_ADDRS), ttl = random_range(1000);
            char a[16];
            snprintf(a, sizeof a, "10.0.0.%d", i);
            answer(names[n], a, ttl, now);
            for (int r = 0; r < 3; r++) {
                bool matches = r == 2 ? n != 2 : !strcmp(rules[r], names[n]);
                if (matches) {
                    until[r][i] = MAX(until[r][i], now + MAX(ttl * SECOND, IDLE));
                }
            }
        }
        used[random_range(N_ADDRS)] = random_range(20) ? 0 : now;
        for (domains_run(domains, now); domains_pop_question(domains, &name, &asked); ) {
            domains_idle(domains, NULL, &asked, now - used[asked.s6_addr[15]], now);
        }
        pop();
        for (int r = 0; r < 3; r++) {
            for (int i = 0; i < N_ADDRS; i++) {
                char k[64];
                snprintf(k, sizeof k, "%s 10.0.0.%d", rules[r], i);
                ck_assert_msg(has(k) || !until[r][i] || (until[r][i] <= now && now - used[i] >= IDLE),
                              "%s left too early", k);
                ck_assert_msg(!has(k) || until[r][i], "%s was never learned", k);
                if (!has(k)) {
                    until[r][i] = 0;
                }
            }
        }
    }
    now += DOMAIN_MAX_TTL;                                      /* In the end all of them go. */
    for (domains_run(domains, now); domains_pop_question(domains, &name, &asked); ) {
        domains_idle(domains, NULL, &asked, IDLE, now);
    }
    pop();
    ck_assert(sset_is_empty(&present));
}
END_TEST

UNIT_MAIN("domain", {
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_time);
    tcase_add_test(tc, test_long_ttl);
    tcase_add_test(tc, test_back_again);
    tcase_add_test(tc, test_limits);
    tcase_add_test(tc, test_saved);
    tcase_add_test(tc, test_records);
    tcase_add_loop_test(tc, test_random, 0, 10);
})
