/* ipBlocks and networks: networkpolicy 12 (exceptions), 13 (families); clusternetworkpolicy 5 (networks). */
#include <config.h>

#include <string.h>

#include "prefix-tree.h"
#include "random.h"
#include "timeval.h"
#include "util.h"
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

static char things[8];                  /* Items are pointers to these. */
#define N_ITEMS 8

static unsigned int
set_of(void **items, size_t n)
{
    unsigned int set = 0;

    for (size_t i = 0; i < n; i++) {
        ck_assert(!i || items[i - 1] < items[i]);
        set |= 1u << ((char *) items[i] - things);
    }
    free(items);
    return set;
}

static unsigned int
class(const struct prefix_tree *tree, const struct inet_prefix *p)
{
    void **items;
    size_t n = prefix_tree_class(tree, p, &items);
    return set_of(items, n);
}

static unsigned int
find(const struct prefix_tree *tree, const struct in6_addr *a)
{
    struct inet_prefix host = inet_prefix_host(a);
    return class(tree, &host);
}

/* A naive model: a list of what was put. */
struct put {
    struct inet_prefix prefix;
    int item;
    bool exclude;
};

struct model {
    struct put puts[200];
    size_t n;
};

static unsigned int
model_find(const struct model *model, const struct inet_prefix *p, bool *covered)
{
    unsigned int set[2] = { 0, 0 };

    *covered = false;
    for (size_t i = 0; i < model->n; i++) {
        const struct put *put = &model->puts[i];
        if (put->prefix.plen <= p->plen && inet_prefix_contains(&put->prefix, &p->addr)) {
            set[put->exclude] |= 1u << put->item;
            *covered = true;
        }
    }
    return set[0] & ~set[1];
}

/* The addresses of the tests: both families, eight bits of each, at different places. */
static struct in6_addr
make_addr(bool v4, unsigned int bits)
{
    struct in6_addr a = addr(v4 ? "10.0.0.0" : "fd00::");
    a.s6_addr[v4 ? 13 : 7] = bits >> 4;
    a.s6_addr[v4 ? 14 : 12] = bits << 4;
    return a;
}

static struct inet_prefix
random_prefix(void)
{
    bool v4 = random_range(2);
    struct inet_prefix p = { .addr = make_addr(v4, random_range(256)), .plen = random_range(v4 ? 33 : 129) };

    if (random_range(4) == 0) {
        p.plen = v4 ? 12 + random_range(9) : 60 + random_range(41);
    }
    return inet_prefix_network(&p);
}

static bool
model_has(const struct model *model, const struct inet_prefix *p)
{
    for (size_t i = 0; i < model->n; i++) {
        if (inet_prefix_equals(&model->puts[i].prefix, p)) {
            return true;
        }
    }
    return false;
}

/* What a user knows who only looks at what is reported. */
struct known {
    struct inet_prefix prefix;
    unsigned int set;
    bool fresh;                         /* Reported in this round. */
};

struct user {
    struct known known[400];
    size_t n;
};

static void
user_pop(struct user *user, struct prefix_tree *tree)
{
    struct inet_prefix p;
    bool present;

    for (size_t i = 0; i < user->n; i++) {
        user->known[i].fresh = false;
    }
    while (prefix_tree_pop_changed(tree, &p, &present)) {
        size_t i = 0;
        while (i < user->n && !inet_prefix_equals(&user->known[i].prefix, &p)) {
            i++;
        }
        if (i < user->n) {
            ck_assert_msg(!user->known[i].fresh, "reported twice");
        } else {
            ck_assert_msg(present, "what never was has gone");
            user->n++;
        }
        if (present) {
            user->known[i] = (struct known) { .prefix = p, .set = class(tree, &p), .fresh = true };
        } else {
            user->known[i] = user->known[--user->n];
        }
    }
}

static void
check_all(const struct prefix_tree *tree, const struct model *model, const struct user *user)
{
    for (unsigned int i = 0; i < 512; i++) {
        struct in6_addr a = make_addr(i & 256, i);
        struct inet_prefix host = inet_prefix_host(&a);
        bool covered;
        unsigned int set = model_find(model, &host, &covered);

        ck_assert_uint_eq(find(tree, &a), set);
    }
    ck_assert_uint_eq(prefix_tree_count(tree), user->n);
    for (size_t i = 0; i < user->n; i++) {
        bool covered;
        ck_assert(model_has(model, &user->known[i].prefix));
        ck_assert_uint_eq(user->known[i].set, model_find(model, &user->known[i].prefix, &covered));
    }
}

START_TEST(test_random)
{
    random_set_seed(_i + 1);
    struct prefix_tree *tree = prefix_tree_create();
    struct model model = { .n = 0 };
    static struct user user;
    user.n = 0;

    for (int round = 0; round < 150; round++) {
        for (int n = random_range(12); n >= 0; n--) {
            bool grow = round < 70 || round % 3 == 0;
            if (grow && model.n < 190 && random_range(3)) {
                struct put put = { random_prefix(), random_range(N_ITEMS), random_range(3) == 0 };
                if (model.n && !random_range(4)) {
                    put = model.puts[random_range(model.n)];    /* Once more. */
                }
                prefix_tree_add(tree, &put.prefix, &things[put.item], put.exclude);
                model.puts[model.n++] = put;
            } else if (model.n) {
                size_t i = random_range(model.n);
                struct put put = model.puts[i];
                prefix_tree_remove(tree, &put.prefix, &things[put.item], put.exclude);
                model.puts[i] = model.puts[--model.n];
            }
        }
        user_pop(&user, tree);
        if (round % 4 == 0) {
            check_all(tree, &model, &user);
        }
    }
    while (model.n) {
        struct put *put = &model.puts[--model.n];
        prefix_tree_remove(tree, &put->prefix, &things[put->item], put->exclude);
    }
    user_pop(&user, tree);
    ck_assert_uint_eq(user.n, 0);
    ck_assert_uint_eq(prefix_tree_count(tree), 0);
    prefix_tree_destroy(tree);
}
END_TEST

/* 0.0.0.0/0 is not ::/0 (networkpolicy 13); an exception is the item's own, not that of another that overlaps it. */
START_TEST(test_families_and_exceptions)
{
    struct prefix_tree *tree = prefix_tree_create();
    struct inet_prefix all4 = prefix("0.0.0.0/0"), all6 = prefix("::/0"), ten = prefix("10.0.0.0/8");
    struct inet_prefix hole = prefix("10.1.0.0/16"), low6 = prefix("::/96");
    struct in6_addr inside = addr("10.1.2.3"), outside = addr("11.0.0.1"), six = addr("fd00::1"), zero6 = addr("::1");

    prefix_tree_add(tree, &all4, &things[0], false);
    ck_assert_uint_eq(find(tree, &inside), 1);
    ck_assert_uint_eq(find(tree, &six), 0);
    prefix_tree_add(tree, &all6, &things[1], false);
    prefix_tree_add(tree, &low6, &things[2], false);
    ck_assert_uint_eq(find(tree, &inside), 1);
    ck_assert_uint_eq(find(tree, &six), 2);
    ck_assert_uint_eq(find(tree, &zero6), 6);

    prefix_tree_add(tree, &ten, &things[3], false);
    prefix_tree_add(tree, &hole, &things[3], true);
    ck_assert_uint_eq(find(tree, &inside), 1);
    ck_assert_uint_eq(find(tree, &outside), 1);
    ck_assert_uint_eq(class(tree, &ten), 9);
    ck_assert_uint_eq(class(tree, &hole), 1);
    prefix_tree_destroy(tree);
    prefix_tree_destroy(NULL);
}
END_TEST

START_TEST(test_reports)
{
    struct prefix_tree *tree = prefix_tree_create();
    struct inet_prefix ten = prefix("10.0.0.0/8"), sub = prefix("10.1.0.0/16"), p;
    bool present;

    prefix_tree_add(tree, &sub, &things[0], false);
    prefix_tree_add(tree, &sub, &things[0], false);
    ck_assert(prefix_tree_pop_changed(tree, &p, &present) && present && inet_prefix_equals(&p, &sub));
    ck_assert(!prefix_tree_pop_changed(tree, &p, &present));
    prefix_tree_remove(tree, &sub, &things[0], false);          /* Still once there: nothing changed. */
    ck_assert(!prefix_tree_pop_changed(tree, &p, &present));

    prefix_tree_add(tree, &ten, &things[1], false);             /* Also what is below. */
    ck_assert(prefix_tree_pop_changed(tree, &p, &present) && present && inet_prefix_equals(&p, &ten));
    ck_assert(prefix_tree_pop_changed(tree, &p, &present) && present && inet_prefix_equals(&p, &sub));
    ck_assert(!prefix_tree_pop_changed(tree, &p, &present));

    prefix_tree_remove(tree, &ten, &things[1], false);
    prefix_tree_remove(tree, &sub, &things[0], false);
    ck_assert_uint_eq(prefix_tree_count(tree), 0);
    ck_assert(prefix_tree_pop_changed(tree, &p, &present) && !present);
    ck_assert(prefix_tree_pop_changed(tree, &p, &present) && !present);
    ck_assert(!prefix_tree_pop_changed(tree, &p, &present));

    prefix_tree_add(tree, &ten, &things[1], false);             /* Came and went. */
    prefix_tree_remove(tree, &ten, &things[1], false);
    ck_assert(!prefix_tree_pop_changed(tree, &p, &present));
    prefix_tree_destroy(tree);
}
END_TEST

/* 10,000 prefixes, nested as deeply as they can be and overlapping; loose enough for a busy machine and a sanitizer. */
START_TEST(test_speed)
{
    enum { N = 10000 };
    static struct inet_prefix prefixes[N];
    static char items_of[N];
    struct prefix_tree *tree = prefix_tree_create();
    size_t n_popped = 0, n_items = 0;
    struct inet_prefix p;
    bool present;

    random_set_seed(1);
    for (int i = 0; i < N; i++) {
        struct in6_addr a = addr("10.0.0.0");
        a.s6_addr[13] = random_range(32);
        a.s6_addr[14] = random_range(256);
        a.s6_addr[15] = random_range(256);
        p = (struct inet_prefix) { .addr = a, .plen = i < 33 ? i : 32 - i % 17 };
        prefixes[i] = inet_prefix_network(&p);
    }

    long long int start = time_msec();
    for (int i = 0; i < N; i++) {
        prefix_tree_add(tree, &prefixes[i], &items_of[i - i % 3], i % 3 == 2);
    }
    long long int added = time_msec();
    while (prefix_tree_pop_changed(tree, &p, &present)) {
        n_popped++;
    }
    long long int popped = time_msec();
    for (int i = 0; i < N; i++) {
        void **items;
        n_items += prefix_tree_class(tree, &prefixes[i], &items);
        free(items);
    }
    long long int looked = time_msec();
    for (int i = 0; i < N; i++) {
        prefix_tree_remove(tree, &prefixes[i], &items_of[i - i % 3], i % 3 == 2);
    }
    while (prefix_tree_pop_changed(tree, &p, &present)) {
        ck_assert(!present);
        n_popped--;
    }
    ck_assert_uint_eq(n_popped, 0);
    ck_assert_uint_gt(n_items, 0);
    printf("%d prefixes: %lld ms added, %lld ms popped, %lld ms looked up, %lld ms removed\n", N, added - start,
           popped - added, looked - popped, time_msec() - looked);
    ck_assert_int_lt(time_msec() - start, 2000);
    prefix_tree_destroy(tree);
}
END_TEST

UNIT_MAIN("prefix-tree", {
    tcase_add_loop_test(tc, test_random, 0, 12);
    tcase_add_test(tc, test_families_and_exceptions);
    tcase_add_test(tc, test_reports);
    tcase_add_test(tc, test_speed);
})
