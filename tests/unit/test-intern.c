#include <config.h>

#include <string.h>

#include "intern.h"
#include "unit.h"
#include "util.h"

START_TEST(test_strings)
{
    struct intern *pool = intern_create();
    const char *a = intern_string("a"), *again = intern_string("a"), *empty = intern_string("");

    ck_assert(a != again && intern_string_equal(a, again) && !intern_string_equal(a, empty) && !intern_string_equal(a, NULL));
    ck_assert_str_eq(empty, "");
    a = intern_share(pool, a);
    again = intern_share(pool, again);
    ck_assert(a == again && intern_count(pool) == 1);
    ck_assert(intern_share(pool, a) == a);                      /* What is in the pool already stays what it is. */
    empty = intern_share(pool, empty);
    ck_assert(empty != a && intern_count(pool) == 2);

    intern_unref(a);
    ck_assert(intern_count(pool) == 2);
    intern_unref(again);
    intern_unref(empty);
    ck_assert(intern_count(pool) == 0);
    ck_assert(intern_share(pool, NULL) == NULL && intern_ref(NULL) == NULL);
    intern_unref(NULL);
    intern_destroy(pool);
    intern_destroy(NULL);
}
END_TEST

static const char *const *
tuple(const char *s, const char *t)
{
    const char *strings[] = { intern_string(s), intern_string(t) };
    return intern_tuple(strings, 2);
}

START_TEST(test_tuples)
{
    struct intern *pool = intern_create();
    const char *const *a = tuple("a", "b"), *const *b = tuple("a", "b"), *const *c = tuple("b", "a");
    const char *const *none = intern_tuple(NULL, 0);

    ck_assert(intern_tuple_size(a) == 2 && intern_tuple_size(none) == 0 && intern_tuple_size(NULL) == 0);
    ck_assert(intern_tuple_equal(a, b) && !intern_tuple_equal(a, c) && !intern_tuple_equal(a, NULL)
              && !intern_tuple_equal(a, none));
    a = intern_share(pool, a);
    b = intern_share(pool, b);
    c = intern_share(pool, c);
    none = intern_share(pool, none);
    ck_assert(a == b && a != c && a[0] == c[1] && a[1] == c[0]);
    ck_assert_uint_eq(intern_count(pool), 2 + 3);
    intern_unref(none);
    intern_unref(a);
    intern_unref(b);
    ck_assert_uint_eq(intern_count(pool), 2 + 1);
    intern_unref(c);
    ck_assert_uint_eq(intern_count(pool), 0);
    intern_destroy(pool);
}
END_TEST

/* Values that others hold, in no pool or in another one, are not touched. */
START_TEST(test_held_elsewhere)
{
    struct intern *one = intern_create(), *two = intern_create();
    const char *const *mine = tuple("x", "y");
    const char *const *shared = intern_share(one, intern_ref(mine));

    ck_assert(shared != mine && intern_tuple_equal(shared, mine) && shared[0] != mine[0]);
    const char *const *there = intern_share(two, intern_ref(shared));
    ck_assert(there != shared && intern_tuple_equal(there, mine));
    ck_assert(intern_count(one) == 3 && intern_count(two) == 3);

    const char *s = intern_string("x");
    const char *t = intern_share(one, intern_ref(s));
    ck_assert(t == shared[0] && t != s);

    intern_destroy(one);                                        /* Values outlive their pool. */
    ck_assert_str_eq(shared[1], "y");
    intern_unref(mine);
    intern_unref(shared);
    intern_unref(there);
    intern_unref(s);
    intern_unref(t);
    ck_assert_uint_eq(intern_count(two), 0);
    intern_destroy(two);
}
END_TEST

UNIT_MAIN("intern", {
    tcase_add_test(tc, test_strings);
    tcase_add_test(tc, test_tuples);
    tcase_add_test(tc, test_held_elsewhere);
})
