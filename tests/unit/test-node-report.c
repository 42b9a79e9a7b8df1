/* controller/node-report-core.h: issue 4, item 4 (condition, Events) by script. */

#include <config.h>

#include <limits.h>
#include <string.h>

#include "controller/kube-types.h"
#include "controller/node-report-core.h"
#include "unit.h"
#include "util.h"

#define WALL 1795420800000LL    /* 2026-11-23T08:00:00Z */

/* Both cores, one clock.  Times in the tests are in milliseconds from 'start'. */
static const long long int start = 1000000;

static char *
dump(const json_t *json)
{
    return json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : xstrdup("");
}

/* Condition ------------------------------------------------------------------------------------------------------ */

struct condition_test {
    struct node_condition *c;
    long long int now;
};

static void
condition_start(struct condition_test *t)
{
    t->c = node_condition_create("n1");
    t->now = start;
}

/* The next request must be this ("" none), with this body (NULL: any). */
static void
expect(struct condition_test *t, const char *want, const char *body)
{
    struct node_report_request rq;

    if (!node_condition_next(t->c, t->now, WALL + t->now - start, &rq)) {
        ck_assert_msg(!*want, "no request instead of %s", want);
        return;
    }
    char *got = xasprintf("%s %s", rq.method, rq.path), *got_body = dump(rq.body);
    ck_assert_str_eq(got, want);
    if (body) {
        ck_assert_str_eq(got_body, body);
    }
    ck_assert(!strcmp(rq.method, "GET")
              || !strcmp(rq.content_type, "application/strategic-merge-patch+json"));
    free(got);
    free(got_body);
    node_report_request_clear(&rq);
}

static void
answer(struct condition_test *t, int status, const char *json)
{
    json_t *answer = json ? json_loads(json, 0, NULL) : NULL;
    ck_assert(!json || answer);
    node_condition_answer(t->c, &(struct node_report_answer) { status, -1, answer, NULL }, t->now, 0);
    json_decref(answer);
}

#define GET "GET /api/v1/nodes/n1"
#define PATCH "PATCH /api/v1/nodes/n1/status"
#define READY_TEXT "The node's network is set up by Sluice"
/* The Node with that uid and condition. */
#define NODE(UID, STATUS, REASON, MESSAGE) \
    "{\"metadata\":{\"uid\":\"" UID "\"},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}," \
    "{\"type\":\"NetworkUnavailable\",\"status\":\"" STATUS "\",\"reason\":\"" REASON "\",\"message\":\"" MESSAGE "\"}]}}"
#define BARE(UID) "{\"metadata\":{\"uid\":\"" UID "\"},\"status\":{}}"
#define READY(UID) NODE(UID, "False", "SluiceReady", READY_TEXT)

START_TEST(test_first)
{
    struct condition_test t;
    condition_start(&t);

    /* Without a Node, nothing. */
    expect(&t, "", NULL);
    node_condition_want(t.c, NULL, "node n1 has no spec.podCIDRs yet", t.now);
    node_condition_want(t.c, "", "node n1 has no spec.podCIDRs yet", t.now);
    expect(&t, "", NULL);
    ck_assert(node_condition_next_time(t.c) == LLONG_MAX);

    node_condition_want(t.c, "u1", "node n1 has no spec.podCIDRs yet", t.now);
    expect(&t, GET, NULL);
    expect(&t, "", NULL);
    ck_assert(node_condition_next_time(t.c) == LLONG_MAX);
    answer(&t, 200, BARE("u1"));
    expect(&t, PATCH,
           "{\"metadata\":{\"uid\":\"u1\"},\"status\":{\"conditions\":[{\"lastHeartbeatTime\":\"2026-11-23T08:00:00Z\","
           "\"lastTransitionTime\":\"2026-11-23T08:00:00Z\",\"message\":\"node n1 has no spec.podCIDRs yet\","
           "\"reason\":\"NoPodCIDR\",\"status\":\"True\",\"type\":\"NetworkUnavailable\"}]}}");
    answer(&t, 200, NODE("u1", "True", "NoPodCIDR", "node n1 has no spec.podCIDRs yet"));
    expect(&t, "", NULL);

    /* Ready: not at once, but a second later. */
    t.now += 100;
    node_condition_want(t.c, "u1", NULL, t.now);
    expect(&t, "", NULL);
    ck_assert(node_condition_next_time(t.c) == start + NODE_CONDITION_READY_MS);
    t.now = start + NODE_CONDITION_READY_MS;
    expect(&t, PATCH,
           "{\"metadata\":{\"uid\":\"u1\"},\"status\":{\"conditions\":[{\"lastHeartbeatTime\":\"2026-11-23T08:00:01Z\","
           "\"lastTransitionTime\":\"2026-11-23T08:00:01Z\",\"message\":\"" READY_TEXT "\","
           "\"reason\":\"SluiceReady\",\"status\":\"False\",\"type\":\"NetworkUnavailable\"}]}}");
    answer(&t, 200, READY("u1"));
    expect(&t, "", NULL);
    ck_assert(!node_condition_problem(t.c));
    node_condition_destroy(t.c);
}
END_TEST

/* A daemon that starts again writes nothing when the Node says it already; now and then it looks. */
START_TEST(test_restart)
{
    struct condition_test t;
    condition_start(&t);

    node_condition_want(t.c, "u1", NULL, t.now);
    expect(&t, GET, NULL);
    answer(&t, 200, READY("u1"));
    expect(&t, "", NULL);
    long long int verify = node_condition_next_time(t.c);
    ck_assert(verify >= start + NODE_CONDITION_VERIFY_MS && verify < start + NODE_CONDITION_VERIFY_MS * 11 / 10);

    t.now = verify;
    expect(&t, GET, NULL);
    answer(&t, 200, NODE("u1", "True", "SomebodyElse", "x"));
    expect(&t, PATCH, NULL);
    answer(&t, 200, READY("u1"));
    expect(&t, "", NULL);
    node_condition_destroy(t.c);
}
END_TEST

/* "Not ready" at once; another text of the same status seldom, and without lastTransitionTime. */
START_TEST(test_rates)
{
    struct condition_test t;
    condition_start(&t);

    node_condition_want(t.c, "u1", NULL, t.now);
    expect(&t, GET, NULL);
    answer(&t, 200, BARE("u1"));
    expect(&t, PATCH, NULL);
    answer(&t, 200, READY("u1"));
    node_condition_want(t.c, "u1", "waiting for Open vSwitch", t.now);
    expect(&t, PATCH, NULL);
    answer(&t, 200, NODE("u1", "True", "OpenVSwitchNotReady", "waiting for Open vSwitch"));

    node_condition_want(t.c, "u1", "waiting to take the flows", t.now);
    t.now += NODE_CONDITION_READY_MS;
    expect(&t, "", NULL);
    t.now = start + NODE_CONDITION_TEXT_MS;
    expect(&t, PATCH,
           "{\"metadata\":{\"uid\":\"u1\"},\"status\":{\"conditions\":[{\"lastHeartbeatTime\":\"2026-11-23T08:00:10Z\","
           "\"message\":\"waiting to take the flows\",\"reason\":\"FlowsNotInstalled\",\"status\":\"True\","
           "\"type\":\"NetworkUnavailable\"}]}}");
    answer(&t, 200, NODE("u1", "True", "FlowsNotInstalled", "waiting to take the flows"));

    /* Flapping: two writes a second at most. */
    int writes = 0;
    for (int i = 0; i < 100; i++) {
        t.now += 100;
        node_condition_want(t.c, "u1", i % 2 ? "uplink: gone" : NULL, t.now);
        struct node_report_request rq;
        if (node_condition_next(t.c, t.now, WALL, &rq)) {
            ck_assert_str_eq(rq.method, "PATCH");
            node_report_request_clear(&rq);
            answer(&t, 200, i % 2 ? NODE("u1", "True", "NoUplink", "uplink: gone") : READY("u1"));
            writes++;
        }
    }
    ck_assert_int_ge(writes, 10);
    ck_assert_int_le(writes, 21);
    node_condition_destroy(t.c);
}
END_TEST

/* Only the newest is written when the server is back. */
START_TEST(test_away)
{
    struct condition_test t;
    condition_start(&t);

    node_condition_want(t.c, "u1", NULL, t.now);
    expect(&t, GET, NULL);
    answer(&t, 200, READY("u1"));
    node_condition_want(t.c, "u1", "uplink: gone", t.now);
    expect(&t, PATCH, NULL);
    answer(&t, 0, NULL);
    ck_assert_str_eq(node_condition_problem(t.c), "PATCH /api/v1/nodes/n1: no answer");

    /* Growing pauses, up to a minute. */
    long long int longest = 0;
    for (int i = 0; i < 20; i++) {
        long long int next = node_condition_next_time(t.c);
        ck_assert(next > t.now && next - t.now <= NODE_REPORT_BACKOFF_MAX_MS && next - t.now >= longest);
        longest = next - t.now;
        node_condition_want(t.c, "u1", i % 2 ? "a" : NULL, t.now);
        expect(&t, "", NULL);
        t.now = next;
        expect(&t, GET, NULL);
        answer(&t, i % 2 ? 503 : 0, NULL);
    }
    ck_assert(longest >= NODE_REPORT_BACKOFF_MAX_MS / 2);
    node_condition_want(t.c, "u1", "no podCIDR", t.now);
    node_condition_kick(t.c, t.now);
    expect(&t, GET, NULL);
    answer(&t, 200, READY("u1"));
    expect(&t, PATCH, NULL);
    answer(&t, 200, NODE("u1", "True", "NoPodCIDR", "no podCIDR"));
    expect(&t, "", NULL);
    ck_assert(!node_condition_problem(t.c));
    node_condition_destroy(t.c);
}
END_TEST

/* A Node that was made anew under the same name is another one. */
START_TEST(test_another_node)
{
    struct condition_test t;
    condition_start(&t);

    node_condition_want(t.c, "u1", NULL, t.now);
    expect(&t, GET, NULL);
    /* The store is behind: nothing is written to the new one until it is known. */
    answer(&t, 200, BARE("u2"));
    expect(&t, "", NULL);
    ck_assert(strstr(node_condition_problem(t.c), "another Node of this name"));
    node_condition_want(t.c, "u2", NULL, t.now);
    expect(&t, GET, NULL);
    /* It goes while the answer is on its way. */
    node_condition_want(t.c, "", NULL, t.now);
    answer(&t, 200, BARE("u2"));
    expect(&t, "", NULL);
    node_condition_want(t.c, "u3", NULL, t.now);
    expect(&t, GET, NULL);
    node_condition_want(t.c, "u4", NULL, t.now);
    answer(&t, 200, READY("u3"));
    expect(&t, GET, NULL);
    answer(&t, 200, BARE("u4"));
    expect(&t, PATCH, NULL);
    answer(&t, 409, "{\"message\":\"Precondition failed\"}");
    ck_assert_str_eq(node_condition_problem(t.c), "PATCH /api/v1/nodes/n1: 409: Precondition failed");
    expect(&t, "", NULL);
    node_condition_destroy(t.c);
}
END_TEST

START_TEST(test_refused)
{
    struct condition_test t;
    condition_start(&t);

    node_condition_want(t.c, "u1", NULL, t.now);
    expect(&t, GET, NULL);
    answer(&t, 403, "{\"message\":\"nodes \\\"n1\\\" is forbidden\"}");
    ck_assert_str_eq(node_condition_problem(t.c),
                     "GET /api/v1/nodes/n1: 403: nodes \"n1\" is forbidden; apply deploy/rbac.yaml");
    /* The server asks for patience. */
    t.now = node_condition_next_time(t.c);
    expect(&t, GET, NULL);
    node_condition_answer(t.c, &(struct node_report_answer) { 429, 30000, NULL, NULL }, t.now, 0);
    ck_assert(node_condition_next_time(t.c) == t.now + 30000);
    /* What the server says wrongly is not believed. */
    t.now += 30000;
    expect(&t, GET, NULL);
    answer(&t, 200, "[]");
    expect(&t, "", NULL);
    t.now = node_condition_next_time(t.c);
    expect(&t, GET, NULL);
    answer(&t, 200, "{\"metadata\":{\"uid\":\"u1\"},\"status\":{\"conditions\":[1,{\"type\":2},"
                    "{\"type\":\"NetworkUnavailable\",\"status\":[]}]}}");
    expect(&t, PATCH, NULL);
    /* Somebody changes it on its way: not again at once. */
    answer(&t, 200, NODE("u1", "True", "Other", "x"));
    expect(&t, "", NULL);
    ck_assert(node_condition_next_time(t.c) > t.now);
    node_condition_destroy(t.c);
}
END_TEST

START_TEST(test_reasons)
{
    static const char *const texts[][2] = {
        { "node n1 has no spec.podCIDRs yet, and the configuration has no pod-cidrs", "NoPodCIDR" },
        { "waiting for Open vSwitch at unix:/run/db.sock to tell which datapaths it has", "OpenVSwitchNotReady" },
        { "uplink: not found yet", "NoUplink" },
        { "reading the source", "NotSynced" },
        { "waiting for ovs-vswitchd to take the flows", "FlowsNotInstalled" },
        { "host network: the uplink has no address", "HostNetworkNotReady" },
        { "journal: No space left on device", "JournalNotWritable" },
        { "sluiced is starting", "Starting" },
        { "it rains", "SluiceNotReady" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        ck_assert_str_eq(node_condition_reason(texts[i][0]), texts[i][1]);
    }
}
END_TEST

/* Events --------------------------------------------------------------------------------------------------------- */

struct events_test {
    struct node_events *es;
    long long int now;
    char *method, *path, *body;         /* Of the last request. */
};

static struct kube_object
object(enum kube_kind kind, const char *namespace_, const char *name, const char *uid)
{
    return (struct kube_object) {
        .kind = kind, .namespace_ = namespace_, .name = name, .uid = { { 0, (uintptr_t) uid } },
    };
}

static void
events_start(struct events_test *t)
{
    memset(t, 0, sizeof *t);
    t->es = node_events_create("n1");
    t->now = start;
}

static bool
events_next(struct events_test *t)
{
    struct node_report_request rq;

    if (!node_events_next(t->es, t->now, &rq)) {
        return false;
    }
    ck_assert(rq.body != NULL);
    free(t->method);
    free(t->path);
    free(t->body);
    t->method = xstrdup(rq.method);
    t->path = xstrdup(rq.path);
    t->body = dump(rq.body);
    node_report_request_clear(&rq);
    return true;
}

static void
events_answer(struct events_test *t, int status)
{
    node_events_answer(t->es, &(struct node_report_answer) { status, -1, NULL, NULL }, t->now, 0);
}

static void
add(struct events_test *t, const char *name, const char *message)
{
    struct kube_object o = object(KUBE_POD, "ns", name, name);
    node_events_add(t->es, &o, true, "Bad", message, WALL + t->now - start);
}

static void
events_end(struct events_test *t)
{
    free(t->method);
    free(t->path);
    free(t->body);
    node_events_destroy(t->es);
}

START_TEST(test_event)
{
    struct events_test t;
    events_start(&t);

    ck_assert(!events_next(&t) && node_events_next_time(t.es) == LLONG_MAX);
    struct kube_object node = object(KUBE_NODE, "", "n1", "u1");
    node_events_add(t.es, &node, true, "NoPodCIDR", "text \xff\n", WALL);
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.method, "POST");
    ck_assert_str_eq(t.path, "/api/v1/namespaces/default/events");
    const char *name = strstr(t.body, "\"name\":\"n1.");
    ck_assert_msg(name && strlen(name) > 60, "%s", t.body);
    /* The generated name aside. */
    char *made = xmemdup0(name + 8, strcspn(name + 8, "\"")), *want;
    want = xasprintf("{\"apiVersion\":\"v1\",\"count\":1,\"firstTimestamp\":\"2026-11-23T08:00:00Z\","
                     "\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"n1\",\"uid\":\"u1\"},"
                     "\"kind\":\"Event\",\"lastTimestamp\":\"2026-11-23T08:00:00Z\",\"message\":\"text ?\\n\","
                     "\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\"},\"reason\":\"NoPodCIDR\","
                     "\"reportingComponent\":\"sluiced\",\"reportingInstance\":\"n1\","
                     "\"source\":{\"component\":\"sluiced\",\"host\":\"n1\"},\"type\":\"Warning\"}", made);
    ck_assert_str_eq(t.body, want);
    free(want);
    /* One at a time. */
    add(&t, "pod", "x");
    ck_assert(!events_next(&t) && node_events_next_time(t.es) == LLONG_MAX);
    events_answer(&t, 201);
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.path, "/api/v1/namespaces/ns/events");
    ck_assert(strstr(t.body, "\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"pod\",\"namespace\":\"ns\""));
    events_answer(&t, 201);

    struct kube_object cnp = object(KUBE_CLUSTERNETWORKPOLICY, "", "c", "u2");
    node_events_add(t.es, &cnp, true, "PolicyNotUnderstood", "x", WALL);
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.path, "/api/v1/namespaces/default/events");
    ck_assert(strstr(t.body, "\"involvedObject\":{\"apiVersion\":\"policy.networking.k8s.io/v1alpha2\",\"kind\":"
                     "\"ClusterNetworkPolicy\",\"name\":\"c\",\"uid\":\"u2\"}"));
    events_answer(&t, 201);

    /* The same again counts up, after a while. */
    node_events_add(t.es, &node, true, "NoPodCIDR", "text \xff\n", WALL + 2000);
    node_events_add(t.es, &node, true, "NoPodCIDR", "text \xff\n", WALL + 3000);
    ck_assert(!events_next(&t));
    ck_assert(node_events_next_time(t.es) == start + NODE_EVENTS_REPEAT_MS);
    t.now = start + NODE_EVENTS_REPEAT_MS;
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.method, "PATCH");
    char *path = xasprintf("/api/v1/namespaces/default/events/%s", made);
    ck_assert_str_eq(t.path, path);
    ck_assert_str_eq(t.body, "{\"count\":3,\"lastTimestamp\":\"2026-11-23T08:00:03Z\"}");
    /* It has been forgotten by the server: made anew, at once. */
    events_answer(&t, 404);
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.method, "POST");
    ck_assert(!strstr(t.body, made) && strstr(t.body, "\"count\":3,\"firstTimestamp\":\"2026-11-23T08:00:00Z\""));
    events_answer(&t, 201);
    ck_assert(!events_next(&t) && node_events_next_time(t.es) == LLONG_MAX);
    free(path);
    free(made);
    events_end(&t);
}
END_TEST

/* What another pod of the same name, another reason, type or message says is another event. */
START_TEST(test_keys)
{
    struct events_test t;
    struct kube_object one = object(KUBE_POD, "ns", "p", "u1"), two = object(KUBE_POD, "ns", "p", "u2");
    int n = 0;

    events_start(&t);
    node_events_add(t.es, &one, true, "A", "m", WALL);
    node_events_add(t.es, &one, true, "A", "m", WALL);
    node_events_add(t.es, &two, true, "A", "m", WALL);
    node_events_add(t.es, &one, false, "A", "m", WALL);
    node_events_add(t.es, &one, true, "B", "m", WALL);
    node_events_add(t.es, &one, true, "A", "n", WALL);
    while (events_next(&t)) {
        ck_assert_str_eq(t.method, "POST");
        ck_assert(strstr(t.body, n ? "\"count\":1" : "\"count\":2"));
        events_answer(&t, 201);
        n++;
    }
    ck_assert_int_eq(n, 5);
    events_end(&t);
}
END_TEST

START_TEST(test_object_budget)
{
    struct events_test t;
    char message[16];
    int n = 0;

    events_start(&t);
    for (int i = 0; i < 40; i++) {
        snprintf(message, sizeof message, "%d", i);
        add(&t, "pod", message);
    }
    for (; events_next(&t); n++) {
        events_answer(&t, 201);
    }
    ck_assert_int_eq(n, NODE_EVENTS_OBJECT_BURST);
    /* Another object has its own. */
    add(&t, "other", "x");
    ck_assert(events_next(&t));
    events_answer(&t, 201);
    ck_assert(!events_next(&t));
    ck_assert(node_events_next_time(t.es) == start + NODE_EVENTS_OBJECT_MS);
    t.now = start + NODE_EVENTS_OBJECT_MS;
    ck_assert(events_next(&t));
    events_answer(&t, 201);
    ck_assert(!events_next(&t));
    events_end(&t);
}
END_TEST

START_TEST(test_global_budget)
{
    struct events_test t;
    char name[16];
    int n = 0;

    events_start(&t);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "pod-%d", i);
        add(&t, name, "x");
    }
    for (; events_next(&t); n++) {
        events_answer(&t, 201);
    }
    ck_assert_int_eq(n, NODE_EVENTS_BURST);
    ck_assert(node_events_next_time(t.es) == start + NODE_EVENTS_MS);
    for (; n < 60; n++) {
        t.now += NODE_EVENTS_MS;
        ck_assert(events_next(&t));
        events_answer(&t, 201);
        ck_assert(!events_next(&t));
    }
    ck_assert(node_events_next_time(t.es) == LLONG_MAX);
    events_end(&t);
}
END_TEST

/* Nothing is lost while the server is away, within the bound; then the oldest goes. */
START_TEST(test_events_away)
{
    struct events_test t;
    char name[16];

    events_start(&t);
    add(&t, "first", "x");
    ck_assert(events_next(&t));
    for (int i = 0; i < NODE_EVENTS_MAX + 10; i++) {
        snprintf(name, sizeof name, "pod-%d", i);
        add(&t, name, "x");
    }
    /* The one that is under way stays, the ten oldest others and one more are gone. */
    ck_assert_uint_eq(node_events_n_dropped(t.es), 11);
    for (int i = 0; i < 100; i++) {
        events_answer(&t, 0);
        ck_assert(!events_next(&t));
        t.now = node_events_next_time(t.es);
        ck_assert(events_next(&t));
        ck_assert(strstr(t.body, "\"name\":\"first\""));
    }
    ck_assert(strstr(node_events_problem(t.es), "POST /api/v1/namespaces/ns/events: no answer"));
    /* It had arrived after all: its name is taken, by itself. */
    events_answer(&t, 409);
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.method, "PATCH");
    events_answer(&t, 200);
    /* The attempts in vain have cost nothing. */
    int n = 1;
    for (; events_next(&t); n++) {
        ck_assert_str_eq(t.method, "POST");
        events_answer(&t, 201);
    }
    ck_assert_int_ge(n, NODE_EVENTS_BURST - 1);
    ck_assert(!node_events_problem(t.es));
    events_end(&t);
}
END_TEST

START_TEST(test_events_refused)
{
    struct events_test t;

    events_start(&t);
    add(&t, "pod", "x");
    /* A name that somebody else has. */
    ck_assert(events_next(&t));
    char *body = xstrdup(t.body);
    events_answer(&t, 409);
    ck_assert(events_next(&t));
    ck_assert(strcmp(body, t.body));
    free(body);
    /* The roles may be known later; meanwhile another event is not held up.  But not for ever. */
    events_answer(&t, 403);
    ck_assert_str_eq(node_events_problem(t.es), "POST /api/v1/namespaces/ns/events: 403; apply deploy/rbac.yaml");
    ck_assert(!events_next(&t));
    add(&t, "other", "x");
    ck_assert(events_next(&t) && strstr(t.body, "\"name\":\"other\""));
    events_answer(&t, 201);
    for (int i = 2; i <= 5; i++) {
        ck_assert(!events_next(&t));
        t.now = node_events_next_time(t.es);
        ck_assert(events_next(&t) && strstr(t.body, "\"name\":\"pod\""));
        ck_assert_uint_eq(node_events_n_dropped(t.es), 0);
        events_answer(&t, 403);
    }
    ck_assert_uint_eq(node_events_n_dropped(t.es), 1);
    /* A refusal that is about the event itself is not repeated. */
    t.now += NODE_EVENTS_REPEAT_MS;
    add(&t, "pod", "x");
    ck_assert(events_next(&t));
    events_answer(&t, 422);
    ck_assert_uint_eq(node_events_n_dropped(t.es), 2);
    ck_assert(!events_next(&t) && node_events_next_time(t.es) == LLONG_MAX);
    /* Nor that of a namespace that goes. */
    t.now += NODE_EVENTS_REPEAT_MS;
    add(&t, "pod", "x");
    ck_assert(events_next(&t));
    json_t *going = json_loads("{\"details\":{\"causes\":[{\"reason\":\"NamespaceTerminating\"}]}}", 0, NULL);
    node_events_answer(t.es, &(struct node_report_answer) { 403, -1, going, NULL }, t.now, 0);
    json_decref(going);
    ck_assert_uint_eq(node_events_n_dropped(t.es), 3);
    ck_assert(!events_next(&t) && node_events_next_time(t.es) == LLONG_MAX);
    t.now += NODE_EVENTS_REPEAT_MS;
    add(&t, "pod", "x");
    ck_assert(events_next(&t));
    ck_assert_str_eq(t.method, "POST");
    events_answer(&t, 201);
    ck_assert(!node_events_problem(t.es));
    events_end(&t);
}
END_TEST

START_TEST(test_text)
{
    static const char *const cases[][2] = {
        { "short", "short" },
        { "12345678", "12345678" },
        { "123456789", "12345678" },
        { "1234567\xc3\xa9", "1234567" },
        { "\xff\xfe", "??" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *text = node_report_text(cases[i][0], 8);
        ck_assert_str_eq(json_string_value(text), cases[i][1]);
        json_decref(text);
    }
}
END_TEST

UNIT_MAIN("node-report", {
    tcase_add_test(tc, test_first);
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_rates);
    tcase_add_test(tc, test_away);
    tcase_add_test(tc, test_another_node);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_reasons);
    tcase_add_test(tc, test_event);
    tcase_add_test(tc, test_keys);
    tcase_add_test(tc, test_object_budget);
    tcase_add_test(tc, test_global_budget);
    tcase_add_test(tc, test_events_away);
    tcase_add_test(tc, test_events_refused);
    tcase_add_test(tc, test_text);
})
