/* What a remote pod costs in memory, everything included: issue 4 allows 300 bytes.
 *
 * 50,000 pods with two addresses each: 45,000 of Deployments with 20 pods, whose labels differ in pod-template-hash only, and 5,000 of
 * StatefulSets, each of which has labels of its own.  They are in the store and in the index of addresses. */
#include <config.h>

#include <malloc.h>
#include <stdio.h>

#include "controller/endpoints.h"
#include "controller/store.h"
#include "unit.h"
#include "util.h"

#define N_PODS 50000
#define LIMIT 300

static struct kube_object *
make_pod(unsigned int i)
{
    static const char *const apps[] = { "frontend", "checkout", "cart-service", "recommendation", "ad-server", "payments-api" };
    const char *app = apps[i / 20 % ARRAY_SIZE(apps)];
    unsigned int deployment = i / 20, stateful = i % 10 == 9;
    char *name, *labels;

    if (stateful) {
        name = xasprintf("%s-%u-%u", app, deployment, i % 20);
        labels = xasprintf("\"app.kubernetes.io/name\":\"%s\",\"app.kubernetes.io/instance\":\"%s-%u\","
                           "\"controller-revision-hash\":\"%s-%u-%08x\",\"statefulset.kubernetes.io/pod-name\":\"%s\","
                           "\"apps.kubernetes.io/pod-index\":\"%u\"", app, app, deployment, app, deployment, deployment * 2654435761u,
                           name, i % 20);
    } else {
        name = xasprintf("%s-%u-%08x-%05x", app, deployment, deployment * 2654435761u, i * 40503u & 0xfffff);
        labels = xasprintf("\"app.kubernetes.io/name\":\"%s\",\"app.kubernetes.io/instance\":\"%s-%u\",\"app.kubernetes.io/version\":"
                           "\"v%u\",\"pod-template-hash\":\"%08x\"", app, app, deployment, deployment % 7, deployment * 2654435761u);
    }
    char *text = xasprintf(
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"team-%u\",\"uid\":\"%08x-1111-4222-8333-%012x\","
        "\"creationTimestamp\":\"2026-11-23T08:22:29Z\",\"labels\":{%s},\"annotations\":{\"example.com/note\":\"left out\"}},"
        "\"spec\":{\"nodeName\":\"worker-%u\",\"containers\":[{\"name\":\"c\",\"image\":\"example.com/app:1\",\"ports\":"
        "[{\"name\":\"http\",\"containerPort\":8080},{\"name\":\"metrics\",\"containerPort\":9090}]}]},"
        "\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.%u.%u.%u\"},{\"ip\":\"fd00:10:%x::%x\"}]}}",
        name, deployment % 500, i * 2246822519u, i, labels, i % 1000, 128 + i / 65536, i / 256 % 256, i % 256, i % 1000, i);
    json_t *json = json_loads(text, 0, NULL);
    struct kube_object *object = NULL;

    ck_assert(json && !kube_object_decode_kind(KUBE_POD, json, &object, NULL));
    json_decref(json);
    free(text);
    free(labels);
    free(name);
    return object;
}

/* Bytes in use, of the heap and of large blocks beside it. */
static size_t
in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

START_TEST(test_pods)
{
    size_t before = in_use();
    struct store *store = store_create();
    struct endpoints *endpoints = endpoints_create();

    for (unsigned int i = 0; i < N_PODS; i++) {
        store_put(store, make_pod(i));
    }
    ck_assert_uint_eq(store_count(store, KUBE_POD), N_PODS);

    struct store_key key;
    size_t n = 0;
    while (store_pop_change(store, &key)) {
        n++;
        endpoints_follow(endpoints, store, &key);
        store_key_destroy(&key);
    }
    ck_assert_uint_eq(n, N_PODS);
    ck_assert_uint_eq(endpoints_count(endpoints), 2 * N_PODS);

    double per_pod = (double) (in_use() - before) / N_PODS;
    printf("bytes kept per remote pod: %.1f (limit %d)\n", per_pod, LIMIT);
    ck_assert_msg(per_pod <= LIMIT, "%.1f bytes per pod", per_pod);
    endpoints_destroy(endpoints);
    store_destroy(store);
    ck_assert_msg(in_use() - before < 65536, "%zu bytes are left", in_use() - before);
}
END_TEST

UNIT_MAIN("kube-memory", { tcase_add_test(tc, test_pods); })
