#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controller/source-dir.h"
#include "controller/source-kind.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"
#include "util.h"

/* Objects from the API into the store: issue 4, items 1 (relist keeps what did not change) and 3 (one store, two sources). */

struct fixture {
    struct store *store;
    struct source_kind *sk;
};

static void
start(struct fixture *f, enum kube_kind kind)
{
    f->store = store_create();
    f->sk = source_kind_create(kind, f->store);
}

static void
stop(struct fixture *f)
{
    source_kind_destroy(f->sk);
    store_destroy(f->store);
}

static void
event(struct source_kind *sk, enum reflector_event type, const char *text)
{
    json_t *json = json_loads(text, 0, NULL);

    ck_assert_msg(json != NULL, "not JSON: %s", text);
    source_kind_ops.object(sk, type, json);
    json_decref(json);
}

/* A whole list of these objects; NULL ends it. */
static void
list(struct source_kind *sk, ...)
{
    const char *text;
    va_list args;

    source_kind_ops.begin(sk);
    va_start(args, sk);
    while ((text = va_arg(args, const char *))) {
        event(sk, REFLECTOR_LISTED, text);
    }
    va_end(args);
    source_kind_ops.end(sk);
}

#define NODE(NAME, UID, CIDR) \
    "{\"metadata\":{\"name\":\"" NAME "\",\"uid\":\"" UID "\"},\"spec\":{\"podCIDRs\":[\"" CIDR "\"]}}"
#define A NODE("a", "1", "10.1.0.0/24")
#define B NODE("b", "2", "10.2.0.0/24")
#define BAD_A NODE("a", "1", "nonsense")

static void
check_nodes(const struct fixture *f, const char *names)
{
    ck_assert_uint_eq(store_count(f->store, KUBE_NODE), strlen(names));
    for (; *names; names++) {
        char name[2] = { *names };
        ck_assert_msg(store_get(f->store, KUBE_NODE, "", name) != NULL, "there is no %s", name);
    }
}

static void
put_problem(const char *where, const char *problem, void *ds)
{
    ds_put_format(ds, "%s: %s\n", where, problem);
}

/* 'want' is part of the only problem, or "" for none. */
static void
check_problem(const struct fixture *f, const char *want)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    source_kind_for_each_problem(f->sk, put_problem, &ds);
    ck_assert_uint_eq(source_kind_n_problems(f->sk), *want != '\0');
    ck_assert_msg((*want == '\0') == (ds.length == 0) && strstr(ds_cstr(&ds), want), "want \"%s\", have \"%s\"", want,
                  ds_cstr(&ds));
    ds_destroy(&ds);
}

START_TEST(test_relist)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    ck_assert(!source_kind_synced(f.sk));
    list(f.sk, A, B, NULL);
    ck_assert(source_kind_synced(f.sk));
    uint64_t seqno = store_seqno(f.store, KUBE_NODE);
    const struct kube_object *a = store_get(f.store, KUBE_NODE, "", "a");

    list(f.sk, B, A, NULL);                                     /* Nothing has changed. */
    ck_assert_uint_eq(store_seqno(f.store, KUBE_NODE), seqno);
    ck_assert_ptr_eq(store_get(f.store, KUBE_NODE, "", "a"), a);

    list(f.sk, A, NODE("c", "3", "10.3.0.0/24"), NULL);         /* b went, c came. */
    ck_assert_uint_eq(store_seqno(f.store, KUBE_NODE), seqno + 2);
    check_nodes(&f, "ac");
    list(f.sk, NULL);
    check_nodes(&f, "");
    stop(&f);
}
END_TEST

/* A list whose continuation expires begins again, and what came before that does not count. */
START_TEST(test_list_begins_again)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    source_kind_ops.begin(f.sk);
    event(f.sk, REFLECTOR_LISTED, A);
    list(f.sk, B, NULL);
    check_nodes(&f, "b");
    stop(&f);
}
END_TEST

START_TEST(test_watch)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    list(f.sk, A, NULL);
    event(f.sk, REFLECTOR_ADDED, B);
    check_nodes(&f, "ab");
    event(f.sk, REFLECTOR_MODIFIED, NODE("b", "2", "10.9.0.0/24"));
    ck_assert_uint_eq(kube_node_cast(store_get(f.store, KUBE_NODE, "", "b"))->n_pod_cidrs, 1);
    event(f.sk, REFLECTOR_DELETED, A);
    event(f.sk, REFLECTOR_DELETED, A);
    event(f.sk, REFLECTOR_DELETED, "{}");
    check_nodes(&f, "b");
    stop(&f);
}
END_TEST

/* Issue 4, bad input: the object is named, its last good version stays, everything else works. */
START_TEST(test_bad)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    list(f.sk, BAD_A, B, NULL);
    ck_assert(source_kind_synced(f.sk));
    check_nodes(&f, "b");
    check_problem(&f, "Node a: spec");
    event(f.sk, REFLECTOR_MODIFIED, A);
    check_problem(&f, "");

    event(f.sk, REFLECTOR_MODIFIED, BAD_A);                     /* The same object: its last good version stays. */
    check_nodes(&f, "ab");
    check_problem(&f, "podCIDRs");
    list(f.sk, BAD_A, B, NULL);
    check_nodes(&f, "ab");
    check_problem(&f, "podCIDRs");

    event(f.sk, REFLECTOR_ADDED, NODE("a", "7", "nonsense"));   /* Another one of the same name. */
    check_nodes(&f, "b");
    check_problem(&f, "Node a: ");
    event(f.sk, REFLECTOR_DELETED, NODE("a", "7", "nonsense"));
    check_problem(&f, "");

    event(f.sk, REFLECTOR_ADDED, BAD_A);
    list(f.sk, B, NULL);
    check_problem(&f, "");
    stop(&f);
}
END_TEST

/* Which object it is cannot be told, so no other object is taken for one that has gone. */
START_TEST(test_without_a_name)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    list(f.sk, A, B, NULL);
    source_kind_ops.begin(f.sk);
    event(f.sk, REFLECTOR_LISTED, A);
    source_kind_ops.bad(f.sk, "an object of more than 8388608 bytes");
    source_kind_ops.end(f.sk);
    check_nodes(&f, "ab");
    check_problem(&f, "Node: an object of more");

    list(f.sk, A, "{\"metadata\":{}}", NULL);
    check_nodes(&f, "ab");
    check_problem(&f, "Node: ");

    list(f.sk, A, NULL);
    check_nodes(&f, "a");
    check_problem(&f, "");

    /* In a watch it is that one object. */
    source_kind_ops.bad(f.sk, "an object of more than 8388608 bytes");
    list(f.sk, B, NULL);
    check_nodes(&f, "b");
    stop(&f);
}
END_TEST

START_TEST(test_hostile_name)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    list(f.sk, "{\"metadata\":{\"name\":\"\\u001b[2J\\n\\u00e4\"}}", NULL);
    check_problem(&f, "Node ?[2J???: ");
    list(f.sk, "{\"metadata\":{\"name\":[\"a\"]}}", "[]", "{\"metadata\":7}", NULL);
    check_problem(&f, "Node: ");
    stop(&f);
}
END_TEST

#define NP(NAME, UID, RULE) \
    "{\"metadata\":{\"name\":\"" NAME "\",\"namespace\":\"n\",\"uid\":\"" UID "\"},\"spec\":{\"ingress\":[" RULE "]}}"

static const char *
np_problem(const struct fixture *f, const char *name)
{
    return kube_object_problem(store_get(f->store, KUBE_NETWORKPOLICY, "n", name));
}

/* Issue 5: a policy that is not understood closes; its last good version stays. */
START_TEST(test_policy_closed)
{
    struct fixture f;

    start(&f, KUBE_NETWORKPOLICY);
    list(f.sk, NP("a", "1", "{}"), NP("b", "1", "7"), NULL);
    ck_assert(!np_problem(&f, "a"));
    ck_assert_str_eq(np_problem(&f, "b"), "spec.ingress[0]: must be an object");
    check_problem(&f, "NetworkPolicy n/b: spec.ingress[0]: must be an object; until it is right, what it selects is cut off");

    event(f.sk, REFLECTOR_MODIFIED, NP("b", "1", "{}"));
    event(f.sk, REFLECTOR_MODIFIED, NP("a", "1", "8"));
    ck_assert(!np_problem(&f, "a"));
    check_problem(&f, "NetworkPolicy n/a: spec.ingress[0]: must be an object; its last good version stays in force");
    list(f.sk, NP("a", "1", "8"), NP("b", "1", "{}"), NULL);
    check_problem(&f, "; its last good version stays in force");
    ck_assert(!np_problem(&f, "a") && !np_problem(&f, "b"));

    event(f.sk, REFLECTOR_MODIFIED, NP("a", "2", "8"));         /* Another one. */
    ck_assert(np_problem(&f, "a") != NULL);
    event(f.sk, REFLECTOR_DELETED, NP("a", "2", "8"));
    ck_assert_uint_eq(store_count(f.store, KUBE_NETWORKPOLICY), 1);
    check_problem(&f, "");
    stop(&f);
}
END_TEST

static void
count(const char *where OVS_UNUSED, const char *problem OVS_UNUSED, void *n)
{
    ++*(size_t *) n;
}

START_TEST(test_bounded)
{
    enum { N = SOURCE_KIND_MAX_PROBLEMS + 100 };
    struct fixture f;
    size_t n = 0;

    start(&f, KUBE_NODE);
    source_kind_ops.begin(f.sk);
    for (int i = 0; i < N; i++) {
        char text[128];
        snprintf(text, sizeof text, NODE("n%d", "1", "nonsense"), i);
        event(f.sk, REFLECTOR_LISTED, text);
    }
    source_kind_ops.end(f.sk);
    ck_assert_uint_eq(source_kind_n_problems(f.sk), N);
    source_kind_for_each_problem(f.sk, count, &n);
    ck_assert_uint_eq(n, SOURCE_KIND_MAX_PROBLEMS + 1);         /* The last one tells how many more there are. */
    list(f.sk, A, NULL);
    check_problem(&f, "");
    stop(&f);
}
END_TEST

#define CNP "{\"metadata\":{\"name\":\"deny\",\"uid\":\"1\"},\"spec\":{\"tier\":\"Admin\",\"priority\":1,\"subject\":{\"namespaces\":{}}}}"

/* Issue 4, item 3: watched once its CRD appears, also later; forgotten when it goes. */
START_TEST(test_crd)
{
    struct fixture f;

    start(&f, KUBE_CLUSTERNETWORKPOLICY);
    source_kind_ops.gone(f.sk);
    ck_assert(source_kind_synced(f.sk) && source_kind_absent(f.sk));
    list(f.sk, CNP, NULL);
    ck_assert(source_kind_synced(f.sk) && !source_kind_absent(f.sk));
    ck_assert_uint_eq(store_count(f.store, KUBE_CLUSTERNETWORKPOLICY), 1);
    event(f.sk, REFLECTOR_ADDED, "{\"metadata\":{\"name\":\"\"}}");
    check_problem(&f, "ClusterNetworkPolicy: ");
    source_kind_ops.gone(f.sk);
    ck_assert(source_kind_synced(f.sk) && source_kind_absent(f.sk));
    ck_assert_uint_eq(store_count(f.store, KUBE_CLUSTERNETWORKPOLICY), 0);
    check_problem(&f, "");
    stop(&f);
}
END_TEST

/* What has no nodes is no API server. */
START_TEST(test_built_in)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    source_kind_ops.gone(f.sk);
    ck_assert(!source_kind_synced(f.sk) && source_kind_absent(f.sk));
    list(f.sk, A, NULL);
    source_kind_ops.gone(f.sk);
    check_nodes(&f, "a");
    ck_assert(source_kind_synced(f.sk));
    stop(&f);
}
END_TEST

/* With a reflector. ----------------------------------------------------------------------------------------------- */

/* Sends what the reflector asks for next, whose path must contain 'want', and answers it. */
static void
answer(struct reflector *r, long long int now, const char *want, int status, const char *body)
{
    struct reflector_request request;
    struct error error = ERROR_INIT;

    ck_assert(reflector_next(r, now, &request));
    ck_assert_msg(strstr(request.path, want) != NULL, "%s is not in %s", want, request.path);
    free(request.path);
    reflector_head(r, status, -1, now);
    bool more = reflector_body(r, body, strlen(body), now);
    if (!more) {
        error_set(&error, ECANCELED, "ended");
    }
    reflector_done(r, &error, now);
    error_clear(&error);
}

#define LIST(VERSION, MORE, ITEMS) \
    "{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"" VERSION "\"" MORE "},\"items\":[" ITEMS "]}"

START_TEST(test_reflector)
{
    struct fixture f;

    start(&f, KUBE_NODE);
    struct reflector *r = reflector_create(kube_kind_path(KUBE_NODE), NULL, 1, &source_kind_ops, f.sk);
    answer(r, 0, "/api/v1/nodes?limit=", 200, LIST("7", ",\"continue\":\"x\"", A));
    ck_assert(!source_kind_synced(f.sk));
    answer(r, 0, "continue=x", 200, LIST("7", "", B));
    ck_assert(source_kind_synced(f.sk));
    check_nodes(&f, "ab");

    answer(r, 0, "watch=1", 200, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":"
           "{\"name\":\"c\",\"resourceVersion\":\"8\"}}}\n{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n");
    check_nodes(&f, "abc");
    uint64_t seqno = store_seqno(f.store, KUBE_NODE);
    answer(r, 60000, "/api/v1/nodes?limit=", 200, LIST("9", "", B "," A));
    check_nodes(&f, "ab");
    ck_assert_uint_eq(store_seqno(f.store, KUBE_NODE), seqno + 1);
    reflector_destroy(r);
    stop(&f);
}
END_TEST

/* One object by the reflector, which leaves out what nobody reads, and the same as a whole. */
static void
check_skip(enum kube_kind kind, const char *text)
{
    struct reflector *r;
    struct fixture f;

    start(&f, kind);
    char *list = xasprintf("{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[%s]}", text);
    json_t *json = json_loads(text, 0, NULL);
    const json_t *metadata = json_object_get(json, "metadata");
    const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));
    struct kube_object *whole;

    r = reflector_create(kube_kind_path(kind), NULL, 1, source_kind_reflector_ops(kind), f.sk);
    answer(r, 0, "limit=", 200, list);
    ck_assert(!kube_object_decode_kind(kind, json, &whole, NULL));
    const struct kube_object *object = store_get(f.store, kind, namespace_ ? namespace_ : "",
                                                 json_string_value(json_object_get(metadata, "name")));
    ck_assert_ptr_nonnull(object);
    ck_assert(kube_object_equal(object, whole));
    ck_assert_ptr_null(reflector_problem(r));
    kube_object_destroy(whole);
    json_decref(json);
    free(list);
    reflector_destroy(r);
    stop(&f);
}

START_TEST(test_what_nobody_reads)
{
    char text[16384];
    FILE *stream = fopen(TOP_SRCDIR "/tests/bench/pod.json", "r");

    ck_assert_ptr_nonnull(stream);
    size_t n = fread(text, 1, sizeof text - 1, stream);
    fclose(stream);
    text[n] = '\0';
    for (char *p = text; (p = strstr(p, "NNNNN")); ) {
        memcpy(p, "12345", 5);
    }
    check_skip(KUBE_POD, text);
    check_skip(KUBE_NODE, "{\"metadata\":{\"name\":\"n\",\"uid\":\"5b0b9c5e-2b7e-4a6e-8f0b-9d5b6c7a8012\","
               "\"labels\":{\"images\":\"x\",\"capacity\":\"y\"}},\"spec\":{\"podCIDR\":\"10.244.1.0/24\","
               "\"podCIDRs\":[\"10.244.1.0/24\",\"fd00:1::/64\"],\"taints\":[{\"key\":\"a\"}]},\"status\":{\"capacity\":{\"cpu\":"
               "\"2\"},\"conditions\":[{\"type\":\"Ready\"}],\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"192.0.2.7\"}],"
               "\"images\":[{\"names\":[\"a\"]}],\"nodeInfo\":{\"kernelVersion\":\"6.1\"}}}");
}
END_TEST

/* Two sources, one history. --------------------------------------------------------------------------------------- */

static void
check_same(const struct kube_object *object, void *other_)
{
    const struct store *other = other_;
    const struct kube_object *same = store_get(other, object->kind, object->namespace_, object->name);

    ck_assert_msg(same != NULL, "%s %s/%s is not there", kube_kind_name(object->kind), object->namespace_, object->name);
    ck_assert_msg(kube_object_equal(object, same), "%s %s/%s differs", kube_kind_name(object->kind), object->namespace_,
                  object->name);
}

struct step {
    enum reflector_event type;
    const char *name;                   /* Its file. */
    const char *text;                   /* Without kind and apiVersion, as the elements of lists are. */
};

static void
write_manifest(const char *dir, const struct step *step)
{
    char *path = xasprintf("%s/%s.json", dir, step->name);

    if (step->type == REFLECTOR_DELETED) {
        ck_assert_int_eq(remove(path), 0);
    } else {
        FILE *stream = fopen(path, "w");

        ck_assert(stream != NULL);
        fprintf(stream, "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",%s", step->text + 1);
        ck_assert_int_eq(fclose(stream), 0);
    }
    free(path);
}

#define POD(NAME, UID, REST) \
    "{\"metadata\":{\"namespace\":\"default\",\"name\":\"" NAME "\",\"uid\":\"" UID "\",\"labels\":{\"app\":\"x\"}}," REST "}"
#define RUNS(IP) "\"spec\":{\"nodeName\":\"n1\"},\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"" IP "\"}]}"

START_TEST(test_same_as_manifests)
{
    static const struct step steps[] = {
        { REFLECTOR_LISTED, "a", POD("a", "1", "\"spec\":{}") },
        { REFLECTOR_LISTED, "b", POD("b", "2", RUNS("10.0.0.2")) },
        { REFLECTOR_MODIFIED, "a", POD("a", "1", RUNS("10.0.0.1")) },
        { REFLECTOR_ADDED, "h", POD("h", "3", "\"spec\":{\"hostNetwork\":true,\"nodeName\":\"n1\"}") },
        { REFLECTOR_MODIFIED, "b", POD("b", "2", RUNS("bad")) },        /* Stays as it was. */
        { REFLECTOR_MODIFIED, "a", POD("a", "1", "\"status\":{\"phase\":\"Succeeded\"}") },
        { REFLECTOR_DELETED, "a", POD("a", "1", "\"status\":{\"phase\":\"Succeeded\"}") },
        { REFLECTOR_ADDED, "a", POD("a", "4", RUNS("fd00::1")) },
        { REFLECTOR_DELETED, "b", POD("b", "2", "\"status\":{}") },
    };
    char dir[] = "/tmp/sluice-test-XXXXXX";
    struct fixture f;

    ck_assert(mkdtemp(dir) != NULL);
    start(&f, KUBE_POD);
    struct store *other = store_create();
    struct source_dir *source = source_dir_create(dir, other);
    source_dir_run(source);
    source_kind_ops.begin(f.sk);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (i && steps[i].type != REFLECTOR_LISTED && steps[i - 1].type == REFLECTOR_LISTED) {
            source_kind_ops.end(f.sk);
        }
        event(f.sk, steps[i].type, steps[i].text);
        write_manifest(dir, &steps[i]);
        source_dir_run(source);
        ck_assert_msg(store_count(f.store, KUBE_POD) == store_count(other, KUBE_POD), "step %"PRIuSIZE, i);
        store_for_each(f.store, KUBE_POD, check_same, other);
        ck_assert(!source_kind_n_problems(f.sk) == !source_dir_n_problems(source));
    }
    ck_assert_uint_eq(store_count(other, KUBE_POD), 2);
    source_dir_destroy(source);
    store_destroy(other);
    stop(&f);
    char *command = xasprintf("rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    free(command);
}
END_TEST

UNIT_MAIN("source-api", {
    tcase_add_test(tc, test_relist);
    tcase_add_test(tc, test_list_begins_again);
    tcase_add_test(tc, test_watch);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_without_a_name);
    tcase_add_test(tc, test_hostile_name);
    tcase_add_test(tc, test_bounded);
    tcase_add_test(tc, test_crd);
    tcase_add_test(tc, test_policy_closed);
    tcase_add_test(tc, test_built_in);
    tcase_add_test(tc, test_reflector);
    tcase_add_test(tc, test_what_nobody_reads);
    tcase_add_test(tc, test_same_as_manifests);
})
