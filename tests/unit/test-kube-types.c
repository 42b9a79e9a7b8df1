#include <config.h>

#include <errno.h>
#include <string.h>

#include "controller/store.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"
#include "util.h"

static struct kube_object *
decode(const char *text, struct error *error)
{
    json_t *json = json_loads(text, 0, NULL);
    struct kube_object *object = NULL;

    ck_assert_msg(json != NULL, "not JSON: %s", text);
    int retval = kube_object_decode(json, &object, error);
    ck_assert((retval != 0) == (object == NULL));
    json_decref(json);
    return object;
}

START_TEST(test_node)
{
    struct kube_object *o = decode(
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"uid\":\"u\",\"labels\":{\"a\":\"b\"},"
        "\"annotations\":{\"sluice.dev/x\":\"1\",\"other\":\"2\"}},"
        "\"spec\":{\"podCIDR\":\"10.244.1.0/24\",\"podCIDRs\":[\"10.244.1.0/24\",\"fd00:1::/64\"]},"
        "\"status\":{\"addresses\":[{\"type\":\"Hostname\",\"address\":\"n1\"},{\"type\":\"InternalIP\",\"address\":\"172.30.0.1\"},"
        "{\"type\":\"InternalIP\",\"address\":\"fd00::1\"}]}}", NULL);
    const struct kube_node *node = kube_node_cast(o);

    ck_assert(node && node->n_pod_cidrs == 2 && node->n_addrs == 2);
    ck_assert_str_eq(o->name, "n1");
    ck_assert_str_eq(labels_get(o->labels, "a"), "b");
    ck_assert(labels_count(o->annotations) == 1 && !labels_get(o->annotations, "other"));
    ck_assert(!node->going);
    kube_object_destroy(o);
}
END_TEST

/* services 30: who is about to go (KEP-3836). */
START_TEST(test_node_going)
{
    static const struct { const char *meta, *taints; bool going; } cases[] = {
        { "", "[]", false },
        { "", "[{\"key\":\"node.kubernetes.io/unschedulable\",\"effect\":\"NoSchedule\"}]", false },
        { "", "[{\"key\":\"a\"},{\"key\":\"ToBeDeletedByClusterAutoscaler\",\"value\":\"1\"}]", true },
        { ",\"deletionTimestamp\":\"2026-11-23T12:00:00Z\"", "null", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"%s},"
                               "\"spec\":{\"taints\":%s}}", cases[i].meta, cases[i].taints);
        char *plain = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"}}");
        struct kube_object *o = decode(text, NULL), *p = decode(plain, NULL);
        ck_assert(kube_node_cast(o)->going == cases[i].going);
        ck_assert(kube_object_equal(o, p) == !cases[i].going);
        kube_object_destroy(o);
        kube_object_destroy(p);
        free(text);
        free(plain);
    }
}
END_TEST

START_TEST(test_pod)
{
    struct kube_object *o = decode(
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0.x\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"hostNetwork\":true,\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,"
        "\"name\":\"http\"},{\"containerPort\":53,\"protocol\":\"UDP\",\"name\":\"dns\"},{\"containerPort\":7}]}],\"initContainers\":[{\"ports\":[{\"containerPort\":1}]}]},"
        "\"status\":{\"phase\":\"Succeeded\",\"podIP\":\"10.0.0.1\",\"podIPs\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"fd00::1\"}]}}", NULL);
    const struct kube_pod *pod = kube_pod_cast(o);

    ck_assert(pod && kube_pod_n_ports(pod) == 2 && pod->n_addrs == 2 && pod->host_network && pod->finished);
    ck_assert_str_eq(o->namespace_, "default");
    struct kube_port port;
    kube_pod_port(pod, 1, &port);
    ck_assert(!strcmp(port.name, "dns") && port.protocol == IPPROTO_UDP && port.number == 53);
    kube_object_destroy(o);
}
END_TEST

#define HEAD(KIND) "{\"apiVersion\":\"v1\",\"kind\":\"" KIND "\",\"metadata\":{\"name\":\"a\"},"

START_TEST(test_bad)
{
    static const struct {
        const char *json, *want;
        int code;
    } cases[] = {
        { "[]", "not an object", EINVAL },
        { "{}", "\"kind\" is missing", EINVAL },
        { "{\"kind\":\"Pod\"}", "\"apiVersion\" is missing", EINVAL },
        { "{\"kind\":7}", "kind: must be a string", EINVAL },
        { "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\"}}", "kind Deployment", ENOTSUP },
        { "{\"apiVersion\":\"v2\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}", "of v2", ENOTSUP },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}", "\"metadata\" is missing", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{}}", "metadata: name: \"\"", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"../../etc\"}}", "RFC 1123", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"namespace\":\"b/c\"}}", "RFC 1123", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\\u0000b\"}}", "NUL", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\\\"b\"}}", "RFC 1123", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}", "have none", EINVAL },
        { HEAD("Node") "\"spec\":{\"podCIDRs\":[\"10.0.0.1/24\"]}}", "Node a: spec.podCIDRs[0]: ", EINVAL },
        { HEAD("Node") "\"spec\":{\"podCIDRs\":[\"10.0.0.0/24\",\"10.1.0.0/24\"]}}", "one pod CIDR of each", EINVAL },
        { HEAD("Node") "\"spec\":{\"taints\":[7]}}", "Node a: spec.taints[0]: ", EINVAL },
        { HEAD("Node") "\"spec\":{\"podCIDRs\":[7]}}", "podCIDRs[0]: must be a string", EINVAL },
        { HEAD("Node") "\"spec\":[]}", "spec: must be an object", EINVAL },
        { HEAD("Node") "\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"x\"}]}}", "addresses[0]: \"x\"", EINVAL },
        { HEAD("Pod") "\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":0}]}]}}", "containers[0].ports[0]: containerPort", EINVAL },
        { HEAD("Pod") "\"spec\":{\"containers\":[{\"ports\":[{}]}]}}", "is missing", EINVAL },
        { HEAD("Pod") "\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":1,\"protocol\":\"tcp\"}]}]}}", "not TCP", EINVAL },
        { HEAD("Pod") "\"spec\":{\"nodeName\":\"a/b\"}}", "nodeName", EINVAL },
        { HEAD("Pod") "\"status\":{\"podIPs\":[{\"ip\":\"10.0.0.256\"}]}}", "status: podIPs[0].ip: ", EINVAL },
        { HEAD("Pod") "\"status\":{\"podIPs\":[\"10.0.0.1\"]}}", "podIPs[0]: must be an object", EINVAL },
        { "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a.b\"}}", "RFC 1123", EINVAL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        json_t *json = json_loads(cases[i].json, JSON_ALLOW_NUL, NULL);
        struct kube_object *object;

        ck_assert_msg(json != NULL, "%s", cases[i].json);
        ck_assert_msg(kube_object_decode(json, &object, &error) == cases[i].code, "%s", cases[i].json);
        ck_assert_msg(strstr(error_message(&error), cases[i].want), "\"%s\" is not in \"%s\"", cases[i].want,
                      error_message(&error));
        json_decref(json);
    }
}
END_TEST

/* Elements of lists lack kind and apiVersion; whatever they are, an error names them as far as it can. */
START_TEST(test_decode_kind)
{
    static const struct {
        const char *json, *want;        /* NULL: good. */
        enum kube_kind kind;
    } cases[] = {
        { "{\"metadata\":{\"name\":\"a\"}}", NULL, KUBE_POD },
        { "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}", NULL, KUBE_POD },
        { "{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"networking.k8s.io/v1\",\"metadata\":{\"name\":\"a\"}}",
          "kind NetworkPolicy of networking.k8s.io/v1 stands where Pod of v1 should", KUBE_POD },
        { "{\"apiVersion\":\"v2\",\"metadata\":{\"name\":\"a\"}}", "of v2 stands where", KUBE_POD },
        { "{\"kind\":{},\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}", "Pod b/a: kind: must be a string", KUBE_POD },
        { "[]", "Pod: not an object", KUBE_POD },
        { "{}", "Pod: \"metadata\" is missing", KUBE_POD },
        { "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"uid\":7}}", "Pod b/a: metadata: uid: must be", KUBE_POD },
        { "{\"metadata\":{\"name\":\"a\",\"namespace\":\"B\"}}", "Pod a: metadata: namespace", KUBE_POD },
        { "{\"metadata\":{\"name\":\"A\",\"namespace\":\"b\"}}", "Pod: metadata: name", KUBE_POD },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        json_t *json = json_loads(cases[i].json, 0, NULL);
        struct kube_object *object = NULL;
        int code = kube_object_decode_kind(cases[i].kind, json, &object, &error);

        ck_assert_msg(code == (cases[i].want ? EINVAL : 0), "%s: %s", cases[i].json, error_message(&error));
        ck_assert_msg(!cases[i].want || strstr(error_message(&error), cases[i].want), "\"%s\" is not in \"%s\"", cases[i].want,
                      error_message(&error));
        kube_object_destroy(object);
        json_decref(json);
    }
    ck_assert_str_eq(kube_kind_path(KUBE_POD), "/api/v1/pods");
    ck_assert_str_eq(kube_kind_path(KUBE_ENDPOINTSLICE), "/apis/discovery.k8s.io/v1/endpointslices");
    ck_assert(kube_kind_may_be_absent(KUBE_CLUSTERNETWORKPOLICY) && !kube_kind_may_be_absent(KUBE_NETWORKPOLICY));
    ck_assert(kube_kind_is_namespaced(KUBE_NETWORKPOLICY) && !kube_kind_is_namespaced(KUBE_CLUSTERNETWORKPOLICY));
}
END_TEST

static struct kube_object *
with_meta(const char *meta, struct error *error)
{
    char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",%s}}", meta);
    struct kube_object *object = decode(text, error);
    free(text);
    return object;
}

START_TEST(test_uid)
{
    static const char *const uids[] = {
        "", "a", "0f9d2c1e-7b6a-4d3c-8e21-00112233aabb", "0f9d2c1e-7b6a-4d3c-8e21-00112233aabc",
        "0F9D2C1E-7B6A-4D3C-8E21-00112233AABB", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001",
        "00000000-0000-0001-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "0f9d2c1e7b6a4d3c8e2100112233aabb",
        "0f9d2c1e-7b6a-4d3c-8e21-00112233aab", "0f9d2c1e-7b6a-4d3c-8e21-00112233aabb0", "0f9d2c1e-7b6a-4d3c-8e2100112233-aabb",
        "0f9d2c1e-7b6a-4d3c-8e21-00112233aabg",
    };
    for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
        char meta[128], buf[KUBE_UID_STRLEN];
        snprintf(meta, sizeof meta, "\"uid\":\"%s\"", uids[i]);
        struct kube_object *a = with_meta(meta, NULL);
        ck_assert_str_eq(kube_uid_format(&a->uid, buf), uids[i]);
        ck_assert(kube_uid_is_none(&a->uid) == !*uids[i]);
        for (size_t j = 0; j < ARRAY_SIZE(uids); j++) {
            snprintf(meta, sizeof meta, "\"uid\":\"%s\"", uids[j]);
            struct kube_object *b = with_meta(meta, NULL);
            ck_assert(kube_uid_equal(&a->uid, &b->uid) == (i == j) && kube_object_equal(a, b) == (i == j));
            ck_assert(!kube_uid_compare(&a->uid, &b->uid) == (i == j));
            kube_object_destroy(b);
        }
        kube_object_destroy(a);
    }
}
END_TEST

/* Pods: when they were made, whether they are going, and what the kubelet calls a static one.  issue 4, item 6. */
START_TEST(test_pod_meta)
{
    static const struct { const char *text; int64_t seconds; } times[] = {
        { "1970-01-01T00:00:00Z", 0 }, { "2026-11-23T08:22:29Z", 1795422149 }, { "2026-11-23T08:22:29.123456Z", 1795422149 },
        { "2026-11-23T10:52:29+02:30", 1795422149 }, { "2024-02-29T23:59:59Z", 1709251199 }, { "2000-03-01T00:00:00Z", 951868800 },
        { "1969-12-31T23:59:59Z", -1 }, { "2026-11-23T07:22:29-01:00", 1795422149 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        char meta[128];
        snprintf(meta, sizeof meta, "\"creationTimestamp\":\"%s\",\"deletionTimestamp\":null", times[i].text);
        struct kube_object *o = with_meta(meta, NULL);
        ck_assert_msg(kube_pod_cast(o)->created == times[i].seconds, "%s: %"PRId64, times[i].text, kube_pod_cast(o)->created);
        ck_assert(!kube_pod_cast(o)->deleting);
        kube_object_destroy(o);
    }

    struct kube_object *o = with_meta("\"creationTimestamp\":null,\"deletionTimestamp\":\"2026-11-23T08:22:29Z\",\"uid\":\"u\","
                                      "\"annotations\":{\"kubernetes.io/config.mirror\":\"abc\"}", NULL);
    char buf[KUBE_UID_STRLEN];
    ck_assert(kube_pod_cast(o)->deleting && !kube_pod_cast(o)->created);
    ck_assert_str_eq(kube_pod_runtime_uid(kube_pod_cast(o), buf), "abc");
    kube_object_destroy(o);
    o = with_meta("\"uid\":\"u\"", NULL);
    ck_assert_str_eq(kube_pod_runtime_uid(kube_pod_cast(o), buf), "u");
    kube_object_destroy(o);
}
END_TEST

START_TEST(test_bad_meta)
{
    static const struct { const char *meta, *want; } cases[] = {
        { "\"creationTimestamp\":7", "creationTimestamp: must be a string" },
        { "\"creationTimestamp\":\"yesterday\"", "creationTimestamp: \"yesterday\" is not a time" },
        { "\"creationTimestamp\":\"2026-13-23T08:22:29Z\"", "not a time" },
        { "\"creationTimestamp\":\"2026-11-23T08:22:29\"", "not a time" },
        { "\"creationTimestamp\":\"2026-11-23T08:22:29.Z\"", "not a time" },
        { "\"creationTimestamp\":\"2026-11-23T08:22:29+2:30\"", "not a time" },
        { "\"creationTimestamp\":\"2026-11-23 08:22:29Z\"", "not a time" },
        { "\"deletionTimestamp\":\"x\"", "deletionTimestamp" },
        { "\"labels\":[]", "labels: must be an object" },
        { "\"labels\":{\"a\":1}", "labels: the value of \"a\" must be a string" },
        { "\"labels\":{\"a\":\"b c\"}", "labels: \"b c\" is not a value" },
        { "\"labels\":{\"a\":\"-b\"}", "is not a value" },
        { "\"labels\":{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123\"}", "is not a value" },
        { "\"labels\":{\"\":\"b\"}", "labels: \"\" is not a key" },
        { "\"labels\":{\"/a\":\"b\"}", "is not a key" },
        { "\"labels\":{\"a/\":\"b\"}", "is not a key" },
        { "\"labels\":{\"a/b/c\":\"b\"}", "is not a key" },
        { "\"labels\":{\"A_.example/b\":\"b\"}", "is not a key" },
        { "\"annotations\":{\"sluice.dev/x\":[]}", "annotations: the value of" },
        { "\"annotations\":\"\"", "annotations: must be an object" },
        { "\"uid\":[]", "uid: must be a string" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        ck_assert_msg(!with_meta(cases[i].meta, &error), "%s", cases[i].meta);
        ck_assert_msg(strstr(error_message(&error), cases[i].want), "\"%s\" is not in \"%s\"", cases[i].want,
                      error_message(&error));
    }

    char *meta = xasprintf("\"uid\":\"%0*d\"", KUBE_UID_MAX_TEXT + 1, 0);
    ck_assert(!with_meta(meta, NULL));
    free(meta);

    struct ds ds = DS_EMPTY_INITIALIZER;
    for (int i = 0; i <= LABELS_MAX; i++) {
        ds_put_format(&ds, "%s\"k%d\":\"\"", i ? "," : "\"labels\":{", i);
    }
    ds_put_char(&ds, '}');
    ck_assert(!with_meta(ds_cstr(&ds), NULL));
    ds_destroy(&ds);
}
END_TEST

START_TEST(test_labels)
{
    struct store *store = store_create();
    struct kube_object *a = with_meta("\"labels\":{\"x.example/b\":\"2\",\"a\":\"1\",\"c\":\"\"}", NULL);

    ck_assert_uint_eq(labels_count(a->labels), 3);
    ck_assert_str_eq(labels_key(a->labels, 0), "a");
    ck_assert_str_eq(labels_get(a->labels, "a"), "1");
    ck_assert_str_eq(labels_get(a->labels, "x.example/b"), "2");
    ck_assert_str_eq(labels_get(a->labels, "c"), "");
    ck_assert(!labels_get(a->labels, "b") && !labels_get(NULL, "a") && !labels_count(NULL));
    store_put(store, a);
    for (int i = 0; i < 2; i++) {       /* Another pod with the same labels has the same pointer, one with others another. */
        struct kube_object *b = decode(i ? "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"b\",\"labels\":"
                                       "{\"a\":\"1\",\"c\":\"\",\"x.example/b\":\"2\"}}}"
                                       : "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"c\",\"labels\":"
                                       "{\"a\":\"1\",\"c\":\"\",\"x.example/b\":\"3\"}}}", NULL);
        ck_assert(labels_equal(a->labels, b->labels) == i && a->labels != b->labels);
        store_put(store, b);
        ck_assert((a->labels == b->labels) == i && labels_key(a->labels, 0) == labels_key(b->labels, 0));
    }
    store_destroy(store);
}
END_TEST

static struct kube_object *
namespace_object(const char *name)
{
    char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", name);
    struct kube_object *object = decode(text, NULL);
    free(text);
    return object;
}

START_TEST(test_store)
{
    struct store *store = store_create();
    struct store_key key;

    store_put(store, namespace_object("a"));
    store_put(store, namespace_object("b"));
    uint64_t seqno = store_seqno(store, KUBE_NAMESPACE);
    store_put(store, namespace_object("a"));                    /* The same again: no change. */
    ck_assert_uint_eq(store_seqno(store, KUBE_NAMESPACE), seqno);
    store_remove(store, KUBE_NAMESPACE, "", "a");
    store_remove(store, KUBE_NAMESPACE, "", "nobody");

    ck_assert(store_pop_change(store, &key));
    ck_assert_str_eq(key.name, "a");
    ck_assert(!store_get(store, key.kind, key.namespace_, key.name));
    store_key_destroy(&key);
    ck_assert(store_pop_change(store, &key));
    ck_assert_str_eq(key.name, "b");
    ck_assert(store_get(store, key.kind, key.namespace_, key.name) != NULL);
    store_key_destroy(&key);
    ck_assert(!store_pop_change(store, &key));
    ck_assert_uint_eq(store_count(store, KUBE_NAMESPACE), 1);
    store_destroy(store);
}
END_TEST

static struct kube_object *
namespace_with_uid(const char *name, const char *uid)
{
    char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\"}}", name, uid);
    struct kube_object *object = decode(text, NULL);
    free(text);
    return object;
}

static void
check_change(struct store *store, const char *name, const char *old, const char *new)
{
    char buf[KUBE_UID_STRLEN];
    struct store_key key;

    ck_assert(store_pop_change(store, &key));
    ck_assert_str_eq(key.name, name);
    const struct kube_object *object = store_get(store, key.kind, key.namespace_, key.name);
    ck_assert_str_eq(key.old ? kube_uid_format(&key.old->uid, buf) : "-", old);
    ck_assert_str_eq(object ? kube_uid_format(&object->uid, buf) : "-", new);
    store_key_destroy(&key);
}

/* A change brings what its consumer knew, however often the object changed in between. */
START_TEST(test_store_old)
{
    struct store *store = store_create();
    struct store_key key;

    store_put(store, namespace_with_uid("a", "1"));
    store_put(store, namespace_with_uid("a", "2"));
    store_put(store, namespace_with_uid("b", "1"));
    check_change(store, "a", "-", "2");
    store_put(store, namespace_with_uid("a", "3"));
    store_remove(store, KUBE_NAMESPACE, "", "a");
    store_put(store, namespace_with_uid("a", "4"));
    check_change(store, "b", "-", "1");
    check_change(store, "a", "2", "4");
    store_remove(store, KUBE_NAMESPACE, "", "a");
    store_put(store, namespace_with_uid("c", "1"));
    store_remove(store, KUBE_NAMESPACE, "", "c");
    check_change(store, "a", "4", "-");
    check_change(store, "c", "-", "-");
    ck_assert(!store_pop_change(store, &key));

    /* An object that somebody holds stays, also when the store goes. */
    const struct kube_object *b = kube_object_ref(store_get(store, KUBE_NAMESPACE, "", "b"));
    store_remove(store, KUBE_NAMESPACE, "", "b");
    store_destroy(store);
    ck_assert_str_eq(b->name, "b");
    kube_object_destroy(b);
}
END_TEST

START_TEST(test_store_sweep)
{
    struct store *store = store_create();

    store_put(store, namespace_object("seen"));
    store_put(store, namespace_object("kept"));
    store_put(store, namespace_object("missed"));
    uint64_t seqno = store_seqno(store, KUBE_NAMESPACE);

    store_mark(store, KUBE_NAMESPACE);
    store_put(store, namespace_object("seen"));
    store_keep(store, KUBE_NAMESPACE, "", "kept");
    store_keep(store, KUBE_NAMESPACE, "", "nobody");
    ck_assert_uint_eq(store_seqno(store, KUBE_NAMESPACE), seqno);
    store_put(store, namespace_object("new"));
    store_sweep(store, KUBE_NAMESPACE);
    ck_assert_uint_eq(store_count(store, KUBE_NAMESPACE), 3);
    ck_assert(!store_get(store, KUBE_NAMESPACE, "", "missed"));
    ck_assert_uint_eq(store_seqno(store, KUBE_NAMESPACE), seqno + 2);
    store_sweep(store, KUBE_NAMESPACE);                         /* No mark is left. */
    ck_assert_uint_eq(store_count(store, KUBE_NAMESPACE), 3);
    store_destroy(store);
}
END_TEST

UNIT_MAIN("kube-types", {
    tcase_add_test(tc, test_node);
    tcase_add_test(tc, test_node_going);
    tcase_add_test(tc, test_pod);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_decode_kind);
    tcase_add_test(tc, test_uid);
    tcase_add_test(tc, test_pod_meta);
    tcase_add_test(tc, test_bad_meta);
    tcase_add_test(tc, test_labels);
    tcase_add_test(tc, test_store);
    tcase_add_test(tc, test_store_old);
    tcase_add_test(tc, test_store_sweep);
})
