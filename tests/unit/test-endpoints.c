/* controller/endpoints.h: issue 4, item 6. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "controller/endpoints.h"
#include "controller/store.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"
#include "util.h"

#define SECOND(N) "2026-11-23T08:00:0" N "Z"

struct fixture {
    struct store *store;
    struct endpoints *ep;
};

/* What a pod is made of. */
struct spec {
    const char *name, *uid, *created, *ips[3];
    bool deleting, finished, host_network;
};

static void
start(struct fixture *f)
{
    f->store = store_create();
    f->ep = endpoints_create();
}

static void
stop(struct fixture *f)
{
    endpoints_destroy(f->ep);
    store_destroy(f->store);
}

static void
put(struct fixture *f, const struct spec *spec)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct kube_object *object;

    ds_put_format(&ds, "{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"creationTimestamp\":\"%s\"%s},\"spec\":{\"hostNetwork\":%s},"
                  "\"status\":{\"phase\":\"%s\",\"podIPs\":[", spec->name, spec->uid ? spec->uid : "", spec->created ? spec->created : "",
                  spec->deleting ? ",\"deletionTimestamp\":\"" SECOND("9") "\"" : "", spec->host_network ? "true" : "false",
                  spec->finished ? "Succeeded" : "Running");
    for (size_t i = 0; i < ARRAY_SIZE(spec->ips) && spec->ips[i]; i++) {
        ds_put_format(&ds, "%s{\"ip\":\"%s\"}", i ? "," : "", spec->ips[i]);
    }
    ds_put_cstr(&ds, "]}}");
    json_t *json = json_loads(ds_cstr(&ds), 0, NULL);
    ck_assert(json && !kube_object_decode_kind(KUBE_POD, json, &object, NULL));
    store_put(f->store, object);
    json_decref(json);
    ds_destroy(&ds);
}

static void
run(struct fixture *f)
{
    struct store_key key;

    while (store_pop_change(f->store, &key)) {
        endpoints_follow(f->ep, f->store, &key);
        store_key_destroy(&key);
    }
}

#define PUT(F, ...) (put(F, &(struct spec) { __VA_ARGS__ }), run(F))
#define REMOVE(F, NAME) (store_remove((F)->store, KUBE_POD, "default", NAME), run(F))

/* Whose the address is ("-": nobody's), and its generation. */
static uint64_t
check(const struct fixture *f, const char *ip, const char *want)
{
    struct in6_addr addr;
    uint64_t generation;

    ck_assert(!inet_addr_parse(ip, &addr, NULL));
    const struct kube_pod *pod = endpoints_find(f->ep, &addr, &generation);
    ck_assert_msg(!strcmp(pod ? pod->object.name : "-", want), "%s is %s's, not %s's", ip, pod ? pod->object.name : "-", want);
    ck_assert(pod ? generation > 0 : generation == 0);
    ck_assert(!pod || pod == kube_pod_cast(store_get(f->store, KUBE_POD, "default", want)));
    return generation;
}

START_TEST(test_life)
{
    struct fixture f;

    start(&f);
    check(&f, "10.0.0.1", "-");
    PUT(&f, .name = "a");                                       /* Not yet: no address. */
    ck_assert_uint_eq(endpoints_count(f.ep), 0);
    PUT(&f, .name = "a", .ips = { "10.0.0.1", "fd00::1" });
    uint64_t v4 = check(&f, "10.0.0.1", "a"), v6 = check(&f, "fd00::1", "a");
    ck_assert(v4 != v6);
    PUT(&f, .name = "a", .ips = { "10.0.0.1", "fd00::1" }, .deleting = true);   /* Deleted with grace: still its own. */
    ck_assert(check(&f, "10.0.0.1", "a") == v4 && check(&f, "fd00::1", "a") == v6);
    PUT(&f, .name = "a", .ips = { "10.0.0.2", "fd00::1" });                     /* Another address. */
    check(&f, "10.0.0.1", "-");
    check(&f, "10.0.0.2", "a");
    ck_assert(check(&f, "fd00::1", "a") == v6);
    PUT(&f, .name = "a", .ips = { "10.0.0.1", "10.0.0.1", "10.0.0.1" });        /* One claim, however often it is written. */
    ck_assert_uint_eq(endpoints_count(f.ep), 1);
    ck_assert(check(&f, "10.0.0.1", "a") > v4);
    REMOVE(&f, "a");
    check(&f, "10.0.0.1", "-");
    ck_assert_uint_eq(endpoints_count(f.ep), 0);
    stop(&f);
}
END_TEST

START_TEST(test_without_address)
{
    struct fixture f;

    start(&f);
    PUT(&f, .name = "host", .ips = { "192.168.0.1" }, .host_network = true);
    check(&f, "192.168.0.1", "-");
    PUT(&f, .name = "job", .ips = { "10.0.0.1" });
    uint64_t first = check(&f, "10.0.0.1", "job");
    PUT(&f, .name = "job", .ips = { "10.0.0.1" }, .finished = true);            /* Its address is given to another. */
    check(&f, "10.0.0.1", "-");
    PUT(&f, .name = "next", .ips = { "10.0.0.1" });
    ck_assert(check(&f, "10.0.0.1", "next") > first);
    REMOVE(&f, "job");
    check(&f, "10.0.0.1", "next");
    REMOVE(&f, "host");
    ck_assert_uint_eq(endpoints_count(f.ep), 1);
    stop(&f);
}
END_TEST

/* Two pods with one address: who has it does not depend on who came first. */
START_TEST(test_two_pods)
{
    static const struct { struct spec winner, loser; } cases[] = {
        { { .name = "w", .created = SECOND("1") }, { .name = "l", .created = SECOND("2"), .deleting = true } },
        { { .name = "w", .created = SECOND("2") }, { .name = "l", .created = SECOND("1") } },
        { { .name = "w", .created = SECOND("2"), .deleting = true }, { .name = "l", .created = SECOND("1"), .deleting = true } },
        { { .name = "w", .created = SECOND("1"), .uid = "0f9d2c1e-7b6a-4d3c-8e21-00112233aabb" },
          { .name = "l", .created = SECOND("1"), .uid = "0f9d2c1e-7b6a-4d3c-8e21-00112233aabc" } },
        { { .name = "w", .created = SECOND("1"), .uid = "10000000-0000-0000-0000-000000000000" },
          { .name = "l", .created = SECOND("1"), .uid = "not-canonical" } },
        { { .name = "k" }, { .name = "l" } },
    };
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        struct spec winner = cases[i / 2].winner, loser = cases[i / 2].loser;
        struct fixture f;

        start(&f);
        winner.ips[0] = loser.ips[0] = "10.0.0.1";
        put(&f, i % 2 ? &winner : &loser);
        run(&f);
        uint64_t first = check(&f, "10.0.0.1", i % 2 ? winner.name : loser.name);
        put(&f, i % 2 ? &loser : &winner);
        run(&f);
        uint64_t second = check(&f, "10.0.0.1", winner.name);
        ck_assert(i % 2 ? first == second : second > first);
        REMOVE(&f, winner.name);
        ck_assert(check(&f, "10.0.0.1", "l") > second);         /* It takes over. */
        put(&f, &winner);
        run(&f);
        second = check(&f, "10.0.0.1", winner.name);
        REMOVE(&f, "l");
        ck_assert(check(&f, "10.0.0.1", winner.name) == second);
        stop(&f);
    }
}
END_TEST

START_TEST(test_same_name)
{
    struct fixture f;

    start(&f);
    PUT(&f, .name = "a", .uid = "u1", .ips = { "10.0.0.1" });
    uint64_t first = check(&f, "10.0.0.1", "a");
    PUT(&f, .name = "a", .uid = "u1", .ips = { "10.0.0.1", "fd00::1" });
    ck_assert(check(&f, "10.0.0.1", "a") == first);
    PUT(&f, .name = "a", .uid = "u2", .ips = { "10.0.0.1" });   /* Made anew under its name: another pod. */
    uint64_t second = check(&f, "10.0.0.1", "a");
    ck_assert(second > first);
    check(&f, "fd00::1", "-");
    REMOVE(&f, "a");                                            /* Likewise, with the deletion seen in between, or not. */
    PUT(&f, .name = "a", .uid = "u2", .ips = { "10.0.0.1" });
    ck_assert(check(&f, "10.0.0.1", "a") > second);
    second = check(&f, "10.0.0.1", "a");
    store_remove(f.store, KUBE_POD, "default", "a");
    PUT(&f, .name = "a", .uid = "u3", .ips = { "10.0.0.2" });
    check(&f, "10.0.0.1", "-");
    ck_assert(check(&f, "10.0.0.2", "a") > second);
    stop(&f);
}
END_TEST

/* Random histories. ---------------------------------------------------------------------------------------------- */

#define N_PODS 40
#define N_ADDRS 24

static uint32_t
next_random(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*seed >> 33) % n;
}

/* Who should have the address, by the rules of endpoints.h as they stand there. */
struct naive {
    const struct in6_addr *addr;
    const struct kube_pod *best;
};

static void
naive_pod(const struct kube_object *object, void *naive_)
{
    struct naive *naive = naive_;
    const struct kube_pod *pod = kube_pod_cast(object), *best = naive->best;
    bool has = false;

    for (size_t i = 0; i < pod->n_addrs; i++) {
        has = has || !memcmp(&pod->addrs[i], naive->addr, sizeof *naive->addr);
    }
    if (!has || pod->finished || pod->host_network) {
        return;
    }

    bool better = !best;
    if (best && pod->deleting != best->deleting) {
        better = !pod->deleting;
    } else if (best && pod->created != best->created) {
        better = pod->created > best->created;
    } else if (best) {
        char a[KUBE_UID_STRLEN], b[KUBE_UID_STRLEN];
        int cmp = strcmp(kube_uid_format(&pod->object.uid, a), kube_uid_format(&best->object.uid, b));
        better = cmp < 0 || (!cmp && strcmp(pod->object.name, best->object.name) < 0);
    }
    if (better) {
        naive->best = pod;
    }
}

/* What was seen of an address. */
struct seen {
    char who[128];                      /* Name and UID; "" if nobody had it. */
    uint64_t generation;
};

static void
check_all(const struct fixture *f, struct seen seen[N_ADDRS], uint64_t seed, bool single)
{
    for (int i = 0; i < N_ADDRS; i++) {
        char text[32], buf[KUBE_UID_STRLEN], who[128] = "";
        struct in6_addr addr;
        uint64_t generation;

        snprintf(text, sizeof text, i % 2 ? "fd00::%d" : "10.0.0.%d", i);
        ck_assert(!inet_addr_parse(text, &addr, NULL));
        struct naive naive = { &addr, NULL };
        store_for_each(f->store, KUBE_POD, naive_pod, &naive);
        const struct kube_pod *pod = endpoints_find(f->ep, &addr, &generation);
        ck_assert_msg(pod == naive.best, "seed %"PRIu64": %s is %s's, not %s's", seed, text, pod ? pod->object.name : "nobody",
                      naive.best ? naive.best->object.name : "nobody");
        if (pod) {
            snprintf(who, sizeof who, "%s %s", pod->object.name, kube_uid_format(&pod->object.uid, buf));
        }
        ck_assert_msg(strcmp(who, seen[i].who) ? generation != seen[i].generation : !single || generation == seen[i].generation,
                      "seed %"PRIu64": %s: generation %"PRIu64, seed, text, generation);
        ck_assert(generation ? generation >= seen[i].generation || !seen[i].generation : !pod);
        strcpy(seen[i].who, who);
        seen[i].generation = generation;
    }
}

static void
random_step(struct fixture *f, uint64_t *seed)
{
    static const char *const times[] = { SECOND("1"), SECOND("2"), SECOND("3") };
    char name[16], uid[64], ips[3][32];
    struct spec spec = { .name = name, .uid = uid };

    snprintf(name, sizeof name, "p%"PRIu32, next_random(seed, N_PODS));
    if (!next_random(seed, 4)) {
        store_remove(f->store, KUBE_POD, "default", name);
        return;
    }
    snprintf(uid, sizeof uid, next_random(seed, 2) ? "0f9d2c1e-7b6a-4d3c-8e21-00112233000%"PRIu32 : "u%"PRIu32, next_random(seed, 3));
    spec.created = times[next_random(seed, ARRAY_SIZE(times))];
    spec.deleting = !next_random(seed, 4);
    spec.finished = !next_random(seed, 6);
    spec.host_network = !next_random(seed, 8);
    for (uint32_t i = 0, n = next_random(seed, 4); i < n; i++) {
        uint32_t a = next_random(seed, N_ADDRS);
        snprintf(ips[i], sizeof ips[i], a % 2 ? "fd00::%"PRIu32 : "10.0.0.%"PRIu32, a);
        spec.ips[i] = ips[i];
    }
    put(f, &spec);
}

START_TEST(test_random)
{
    for (uint64_t first = 1; first <= 20; first++) {
        struct seen seen[N_ADDRS] = { { "", 0 } };
        uint64_t seed = first;
        struct fixture f;

        start(&f);
        for (int step = 0; step < 300; step++) {
            uint32_t n = next_random(&seed, 3) ? 1 : 1 + next_random(&seed, 30);

            for (uint32_t i = 0; i < n; i++) {
                random_step(&f, &seed);
            }
            run(&f);
            check_all(&f, seen, first, n == 1);
        }
        for (int i = 0; i < N_PODS; i++) {
            char name[16];
            snprintf(name, sizeof name, "p%d", i);
            REMOVE(&f, name);
        }
        ck_assert_uint_eq(endpoints_count(f.ep), 0);
        stop(&f);
    }
}
END_TEST

/* Many, so that the table grows and shrinks. */
START_TEST(test_many)
{
    struct fixture f;
    char name[16], ip[32];

    start(&f);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "p%d", i);
        snprintf(ip, sizeof ip, "10.1.%d.%d", i / 250, i % 250);
        PUT(&f, .name = name, .ips = { ip });
    }
    ck_assert_uint_eq(endpoints_count(f.ep), 3000);
    for (int i = 0; i < 6000; i++) {
        snprintf(name, sizeof name, "p%d", i / 2);
        snprintf(ip, sizeof ip, "10.1.%d.%d", i / 2 / 250, i / 2 % 250);
        check(&f, ip, i % 2 ? "-" : name);
        REMOVE(&f, name);
    }
    ck_assert_uint_eq(endpoints_count(f.ep), 0);
    stop(&f);
}
END_TEST

UNIT_MAIN("endpoints", {
    tcase_add_test(tc, test_life);
    tcase_add_test(tc, test_without_address);
    tcase_add_test(tc, test_two_pods);
    tcase_add_test(tc, test_same_name);
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_many);
})
