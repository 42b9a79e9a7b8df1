#include <config.h>

#include <errno.h>
#include <string.h>

#include "controller/store.h"
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
    ck_assert_str_eq(smap_get(&o->labels, "a"), "b");
    ck_assert(smap_count(&o->annotations) == 1);
    kube_object_destroy(o);
}
END_TEST

START_TEST(test_pod)
{
    struct kube_object *o = decode(
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0.x\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"hostNetwork\":true,\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,"
        "\"name\":\"http\"},{\"containerPort\":53,\"protocol\":\"UDP\"}]}],\"initContainers\":[{\"ports\":[{\"containerPort\":1}]}]},"
        "\"status\":{\"phase\":\"Succeeded\",\"podIP\":\"10.0.0.1\",\"podIPs\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"fd00::1\"}]}}", NULL);
    const struct kube_pod *pod = kube_pod_cast(o);

    ck_assert(pod && pod->n_ports == 3 && pod->n_addrs == 2 && pod->host_network && pod->finished);
    ck_assert_str_eq(o->namespace_, "default");
    ck_assert_str_eq(pod->ports[1].protocol, "UDP");
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
    tcase_add_test(tc, test_pod);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_decode_kind);
    tcase_add_test(tc, test_store);
    tcase_add_test(tc, test_store_sweep);
})
