/* Numbers of identities and conjunctions: the same objects give the same flows (comparison of policy's core with a fresh
 * one; networkpolicy, clusternetworkpolicy). */
#include <config.h>

#include "numbers.h"
#include "random.h"
#include "timeval.h"
#include "util.h"
#include "unit.h"

#define N_THINGS 60

/* Hashes that want few numbers, also those at the ends that nobody gets. */
static uint64_t
crowded(uint32_t i)
{
    static const uint32_t low[] = { 7, 8, 9, 11, 0, 1, 2, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - 2, 0x80000000 };
    return (uint64_t) (i * 2654435761u) << 32 | low[i % (sizeof low / sizeof *low)];
}

static int
compare(const void *a_, const void *b_)
{
    const uint64_t *a = a_, *b = b_;
    return *a < *b ? -1 : *a > *b;
}

/* By the definition: in order of hash, each the first free number from its own on. */
static void
model(uint64_t *hashes, uint32_t *given, size_t n)
{
    qsort(hashes, n, sizeof *hashes, compare);
    for (size_t i = 0; i < n; i++) {
        uint32_t number = hashes[i];
        for (size_t j = 0; ; ) {
            for (j = 0; j < i && given[j] != number; j++) {
                continue;
            }
            if (j == i && number != 0 && number != UINT32_MAX) {
                break;
            }
            number++;
        }
        given[i] = number;
    }
}

static void
check_model(const struct numbers *numbers, const unsigned int *refs)
{
    uint64_t hashes[N_THINGS];
    uint32_t given[N_THINGS];
    size_t n = 0;

    for (uint32_t i = 0; i < N_THINGS; i++) {
        if (refs[i]) {
            hashes[n++] = crowded(i);
        } else if (numbers_get(numbers, crowded(i))) {
            ck_abort_msg("thing %"PRIu32" has a number", i);
        }
    }
    ck_assert_uint_eq(numbers_count(numbers), n);
    model(hashes, given, n);
    for (size_t i = 0; i < n; i++) {
        if (numbers_get(numbers, hashes[i]) != given[i]) {
            ck_abort_msg("%"PRIx64": %"PRIu32", not %"PRIu32, hashes[i], numbers_get(numbers, hashes[i]), given[i]);
        }
    }
}

/* Any history of a set gives the numbers of the set, and who held a number that changed hears of it. */
START_TEST(test_history)
{
    random_set_seed(_i + 1);
    struct numbers *numbers = numbers_create();
    unsigned int refs[N_THINGS] = { 0 };
    uint32_t known[N_THINGS] = { 0 };
    size_t n_moved = 0;

    for (int step = 0; step < 2000; step++) {
        uint32_t i = random_range(N_THINGS);

        if (random_range(100) < (step / 300 % 2 ? 35 : 65)) {
            uint32_t number = numbers_ref(numbers, crowded(i));
            ck_assert_uint_eq(number, numbers_get(numbers, crowded(i)));
            known[i] = refs[i]++ ? known[i] : number;
        } else if (refs[i]) {
            numbers_unref(numbers, crowded(i));
            refs[i]--;
        }
        if (random_range(3)) {
            continue;
        }

        check_model(numbers, refs);
        uint64_t hash;
        while (numbers_pop_moved(numbers, &hash)) {
            for (i = 0; crowded(i) != hash; i++) {
                ck_assert_uint_lt(i, N_THINGS - 1);
            }
            ck_assert_uint_ne(known[i], numbers_get(numbers, hash));
            known[i] = numbers_get(numbers, hash);
            n_moved++;
        }
        for (i = 0; i < N_THINGS; i++) {
            if (refs[i] && known[i] != numbers_get(numbers, crowded(i))) {
                ck_abort_msg("thing %"PRIu32" has not heard of its number", i);
            }
        }
    }
    ck_assert_uint_gt(n_moved, 100);
    numbers_destroy(numbers);
}
END_TEST

START_TEST(test_low_bits)
{
    struct numbers *numbers = numbers_create();
    uint64_t a = UINT64_C(0x500000010), b = UINT64_C(0x300000010), hash;

    ck_assert_uint_eq(numbers_ref(numbers, a), 0x10);
    ck_assert(!numbers_pop_moved(numbers, &hash));
    ck_assert_uint_eq(numbers_ref(numbers, b), 0x10);           /* It has the smaller hash. */
    ck_assert(numbers_pop_moved(numbers, &hash) && hash == a);
    ck_assert_uint_eq(numbers_get(numbers, a), 0x11);
    ck_assert(!numbers_pop_moved(numbers, &hash));

    ck_assert_uint_eq(numbers_ref(numbers, b), 0x10);
    numbers_unref(numbers, b);
    ck_assert(!numbers_pop_moved(numbers, &hash));
    numbers_unref(numbers, b);                                  /* The last user. */
    ck_assert(numbers_pop_moved(numbers, &hash) && hash == a);
    ck_assert_uint_eq(numbers_get(numbers, a), 0x10);

    numbers_ref(numbers, b);                                    /* There and back again: nothing to tell. */
    numbers_unref(numbers, b);
    ck_assert(!numbers_pop_moved(numbers, &hash));

    numbers_ref(numbers, b);                                    /* Who went need not be told. */
    numbers_unref(numbers, a);
    ck_assert(!numbers_pop_moved(numbers, &hash));
    numbers_destroy(numbers);
    numbers_destroy(NULL);
}
END_TEST

/* A million references a second; loose enough for a busy machine and a sanitizer. */
START_TEST(test_speed)
{
    struct numbers *numbers = numbers_create();
    long long int start = time_msec();

    for (uint64_t i = 0; i < 200000; i++) {
        numbers_ref(numbers, i * UINT64_C(0x9e3779b97f4a7c15));
    }
    for (uint64_t i = 0; i < 200000; i++) {
        numbers_unref(numbers, i * UINT64_C(0x9e3779b97f4a7c15));
    }
    ck_assert_uint_eq(numbers_count(numbers), 0);
    printf("200000 refs and unrefs: %lld ms\n", time_msec() - start);
    ck_assert_int_lt(time_msec() - start, 5000);
    numbers_destroy(numbers);
}
END_TEST

UNIT_MAIN("numbers", {
    tcase_add_loop_test(tc, test_history, 0, 20);
    tcase_add_test(tc, test_low_bits);
    tcase_add_test(tc, test_speed);
})
