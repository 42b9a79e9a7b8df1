/* lib/kube-reflector.h: scripted histories. */

#include <config.h>

#include "kube-reflector.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "unit.h"
#include "util.h"

#define PODS "/api/v1/pods"

struct script {
    struct reflector *reflector;
    struct ds log;              /* What the consumer was told. */
    long long int now, waited;  /* 'waited': before the last request. */
    struct reflector_request request;
};

static void
log_begin(void *s_)
{
    struct script *s = s_;
    ds_put_cstr(&s->log, "begin ");
}

static void
log_object(void *s_, enum reflector_event event, const json_t *object)
{
    static const char *const names[] = { "listed", "added", "modified", "deleted" };
    struct script *s = s_;
    const json_t *metadata = json_object_get(object, "metadata");
    const char *version = json_string_value(json_object_get(metadata, "resourceVersion"));

    ck_assert_ptr_null(json_object_get(metadata, "managedFields"));
    ds_put_format(&s->log, "%s:%s@%s ", names[event], json_string_value(json_object_get(metadata, "name")),
                  version ? version : "?");
}

static void
log_end(void *s_)
{
    struct script *s = s_;
    ds_put_cstr(&s->log, "end ");
}

static void
log_gone(void *s_)
{
    struct script *s = s_;
    ds_put_cstr(&s->log, "gone ");
}

static void
log_bad(void *s_, const char *what)
{
    struct script *s = s_;
    ds_put_format(&s->log, "bad(%s) ", what);
}

static const struct reflector_ops ops = { log_begin, log_object, log_end, log_gone, log_bad };

static void
start(struct script *s, const char *query)
{
    *s = (struct script) { .log = DS_EMPTY_INITIALIZER, .now = 1000000 };
    s->reflector = reflector_create(PODS, query, 42, &ops, s);
}

static void
finish(struct script *s)
{
    reflector_destroy(s->reflector);
    ds_destroy(&s->log);
    free(s->request.path);
}

/* Waits for the next request; nothing is asked for before its time. */
static void
ask(struct script *s)
{
    long long int at = reflector_next_time(s->reflector);

    ck_assert_int_ne(at, LLONG_MAX);
    s->waited = MAX(0, at - s->now);
    if (at > s->now) {
        ck_assert(!reflector_next(s->reflector, at - 1, &s->request));
        s->now = at;
    }
    free(s->request.path);
    ck_assert(reflector_next(s->reflector, s->now, &s->request));
    struct reflector_request other;
    ck_assert(!reflector_next(s->reflector, s->now, &other));
    ck_assert_int_eq(reflector_next_time(s->reflector), LLONG_MAX);
}

/* "timeoutSeconds=N" is shown without its number. */
static void
check_request_at(struct script *s, const char *expected, int line)
{
    ask(s);
    char *seconds = strstr(s->request.path, "timeoutSeconds=");
    if (seconds) {
        char *end;
        long n = strtol(seconds + strlen("timeoutSeconds="), &end, 10);
        ck_assert_int_ge(n, REFLECTOR_WATCH_MIN_S);
        ck_assert_int_le(n, 2 * REFLECTOR_WATCH_MIN_S);
        memmove(seconds + strlen("timeoutSeconds="), end, strlen(end) + 1);
    }
    ck_assert_msg(!strcmp(s->request.path, expected), "line %d: %s is asked for, not %s", line, s->request.path,
                  expected);
}
#define check_request(S, EXPECTED) check_request_at(S, EXPECTED, __LINE__)

static void
check_log_at(struct script *s, const char *expected, int line)
{
    ck_assert_msg(!strcmp(ds_cstr(&s->log), expected), "line %d: the consumer was told \"%s\", not \"%s\"", line,
                  ds_cstr(&s->log),
                  expected);
    ds_clear(&s->log);
}
#define check_log(S, EXPECTED) check_log_at(S, EXPECTED, __LINE__)

static void
check_problem_at(struct script *s, const char *expected, int line)
{
    const char *problem = reflector_problem(s->reflector);
    ck_assert_msg(!expected == !problem && (!expected || !strcmp(problem, expected)),
                  "line %d: the problem is \"%s\", not \"%s\"",
                  line, problem ? problem : "none", expected ? expected : "none");
}
#define check_problem(S, EXPECTED) check_problem_at(S, EXPECTED, __LINE__)

static bool
body(struct script *s, const char *text)
{
    return reflector_body(s->reflector, text, strlen(text), s->now);
}

static void
done(struct script *s, int code, const char *message)
{
    struct error error = ERROR_INIT;

    if (code) {
        error_set(&error, code, "%s", message);
    }
    reflector_done(s->reflector, code ? &error : NULL, s->now);
    error_clear(&error);
}

static void
answer(struct script *s, int status, const char *text)
{
    reflector_head(s->reflector, status, -1, s->now);
    body(s, text);
    done(s, 0, NULL);
}

/* A watch that breaks off after 'ms'. */
static void
lose(struct script *s, long long int ms)
{
    s->now += ms;
    done(s, ECONNRESET, "connection reset");
}

#define LIST_1 "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[{\"metadata\":{\"name\":\"a\"," \
    "\"resourceVersion\":\"7\",\"managedFields\":[{}]}}]}"
#define WATCH_FROM(VERSION) PODS "?watch=1&allowWatchBookmarks=true&resourceVersion=" VERSION "&timeoutSeconds="
#define EVENT(TYPE, NAME, VERSION) \
    "{\"type\":\"" TYPE "\",\"object\":{\"metadata\":{\"name\":\"" NAME "\",\"resourceVersion\":\"" VERSION "\"}}}\n"
#define STATUS(CODE, REASON, MESSAGE) \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":" CODE ",\"reason\":\"" REASON "\"," \
    "\"message\":\"" MESSAGE "\"}"
#define ERROR_EVENT(CODE, REASON) "{\"type\":\"ERROR\",\"object\":" STATUS(CODE, REASON, "so it is") "}\n"

/* Up to a watch that has begun. */
static void
start_watch(struct script *s)
{
    start(s, NULL);
    check_request(s, PODS "?limit=500");
    answer(s, 200, LIST_1);
    check_request(s, WATCH_FROM("10"));
    reflector_head(s->reflector, 200, -1, s->now);
    check_log(s, "begin listed:a@7 end ");
}

START_TEST(test_list_and_watch)
{
    struct script s;

    start(&s, NULL);
    ck_assert(!reflector_synced(s.reflector));
    check_request(&s, PODS "?limit=500");
    ck_assert_int_eq(s.request.type, REFLECTOR_LIST);
    ck_assert_int_eq(s.waited, 0);
    reflector_head(s.reflector, 200, -1, s.now);
    check_log(&s, "begin ");
    ck_assert(body(&s, LIST_1));
    check_log(&s, "listed:a@7 ");
    ck_assert(!reflector_synced(s.reflector));
    done(&s, 0, NULL);
    check_log(&s, "end ");
    ck_assert(reflector_synced(s.reflector));
    ck_assert_str_eq(reflector_resource_version(s.reflector), "10");

    check_request(&s, WATCH_FROM("10"));
    ck_assert_int_eq(s.waited, 0);
    ck_assert_int_eq(s.request.idle_timeout_ms, REFLECTOR_IDLE_MS);
    reflector_head(s.reflector, 200, -1, s.now);
    ck_assert(body(&s, EVENT("ADDED", "b", "11") "{\"type\":\"MODI"));
    check_log(&s, "added:b@11 ");
    ck_assert(body(&s, "FIED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"12\"}}}"));
    check_log(&s, "modified:a@12 ");
    ck_assert(body(&s, EVENT("DELETED", "b", "13") EVENT("BOOKMARK", "", "20")));
    check_log(&s, "deleted:b@13 ");
    ck_assert_str_eq(reflector_resource_version(s.reflector), "20");
    s.now += 5000;
    done(&s, 0, NULL);
    check_request(&s, WATCH_FROM("20"));
    ck_assert_int_eq(s.waited, 0);
    check_problem(&s, NULL);

    struct reflector_stats stats;
    reflector_get_stats(s.reflector, &stats);
    ck_assert_uint_eq(stats.lists, 1);
    ck_assert_uint_eq(stats.watches, 2);
    ck_assert_uint_eq(stats.events, 3);
    ck_assert_uint_eq(stats.bookmarks, 1);
    ck_assert_uint_eq(stats.failures, 0);
    finish(&s);
}
END_TEST

START_TEST(test_pages)
{
    struct script s;

    start(&s, "fieldSelector=spec.nodeName%3Dn1");
    check_request(&s, PODS "?limit=500&fieldSelector=spec.nodeName%3Dn1");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"a/+=b&c\"},\"items\":[{\"metadata\":"
                    "{\"name\":\"a\"}}]}");
    check_request(&s, PODS "?limit=500&continue=a%2F%2B%3Db%26c&fieldSelector=spec.nodeName%3Dn1");
    ck_assert(!reflector_synced(s.reflector));
    /* Too much to do: the same page again. */
    reflector_head(s.reflector, 429, 3000, s.now);
    done(&s, 0, NULL);
    check_request(&s, PODS "?limit=500&continue=a%2F%2B%3Db%26c&fieldSelector=spec.nodeName%3Dn1");
    ck_assert_int_ge(s.waited, 3000);
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[{\"metadata\":{\"name\":\"b\"}}]}");
    check_log(&s, "begin listed:a@? listed:b@? end ");
    check_request(&s, WATCH_FROM("10") "&fieldSelector=spec.nodeName%3Dn1");
    finish(&s);
}
END_TEST

/* A token that has expired, and again. */
START_TEST(test_expired_token)
{
    struct script s;

    start(&s, NULL);
    for (int i = 0; i < 2; i++) {
        check_request(&s, PODS "?limit=500");
        answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"t\"},\"items\":[{\"metadata\":"
                        "{\"name\":\"a\"}}]}");
        check_request(&s, PODS "?limit=500&continue=t");
        answer(&s, 410, STATUS("410", "Expired", "too old"));
        check_problem(&s, NULL);
        check_log(&s, "begin listed:a@? ");
    }
    check_request(&s, PODS);
    ck_assert_int_eq(s.waited, 0);
    answer(&s, 200, LIST_1);
    check_log(&s, "begin listed:a@7 end ");
    check_request(&s, WATCH_FROM("10"));
    finish(&s);
}
END_TEST

START_TEST(test_list_breaks_off)
{
    struct script s;

    start(&s, NULL);
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"t\"},\"items\":[{\"metadata\":"
                    "{\"name\":\"a\"}}]}");
    check_request(&s, PODS "?limit=500&continue=t");
    reflector_head(s.reflector, 200, -1, s.now);
    body(&s, "{\"metadata\":{},\"items\":[{\"metadata\":{\"name\":\"b\"}},{");
    lose(&s, 10);
    check_log(&s, "begin listed:a@? listed:b@? ");
    check_problem(&s, "cannot list /api/v1/pods: connection reset");
    /* From the beginning: the server may be another one now. */
    check_request(&s, PODS "?limit=500");
    ck_assert_int_ge(s.waited, REFLECTOR_BACKOFF_MIN_MS);
    /* Ends early, without an error of the transport. */
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[");
    check_log(&s, "begin ");
    check_problem(&s, "cannot list /api/v1/pods: the answer is incomplete: the text ends after byte 46 in the middle"
                      " of an object");
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "<html>");
    check_problem(&s, "cannot list /api/v1/pods: the answer is not what was asked for: byte 0: no object begins here");
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"items\":[]}");
    check_problem(&s, "cannot list /api/v1/pods: the list has no resourceVersion");
    ck_assert(!reflector_synced(s.reflector));
    finish(&s);
}
END_TEST

START_TEST(test_watch_expired)
{
    struct script s;

    start_watch(&s);
    ck_assert(!body(&s, EVENT("ADDED", "b", "11") ERROR_EVENT("410", "Expired") EVENT("ADDED", "c", "12")));
    done(&s, ECANCELED, "ended");
    check_log(&s, "added:b@11 ");
    check_problem(&s, NULL);
    check_request(&s, PODS "?limit=500");
    ck_assert_int_le(s.waited, 2 * REFLECTOR_BACKOFF_MIN_MS);
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    answer(&s, 410, STATUS("410", "Gone", "too old"));
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, LIST_1);
    check_log(&s, "begin listed:a@7 end begin listed:a@7 end ");

    /* And so on for ever: slower each time. */
    for (int i = 0; i < 10; i++) {
        check_request(&s, WATCH_FROM("10"));
        answer(&s, 410, STATUS("410", "Gone", "too old"));
        check_request(&s, PODS "?limit=500");
        answer(&s, 200, LIST_1);
    }
    ck_assert_int_ge(s.waited, REFLECTOR_BACKOFF_MAX_MS / 2);
    check_problem(&s, "cannot watch /api/v1/pods: 410, again and again");
    finish(&s);
}
END_TEST

START_TEST(test_watch_error_event)
{
    struct script s;

    start_watch(&s);
    ck_assert(!body(&s, "{\"type\":\"ERROR\",\"object\":{\"code\":429,\"reason\":\"TooManyRequests\""
                        ",\"message\":\"later\","
                    "\"details\":{\"retryAfterSeconds\":7}}}"));
    done(&s, ECANCELED, "ended");
    check_problem(&s, "cannot watch /api/v1/pods: the server ended it with an error: 429 TooManyRequests: later");
    check_request(&s, PODS "?limit=1");
    ck_assert_int_ge(s.waited, 7000);
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    reflector_head(s.reflector, 200, -1, s.now);
    ck_assert(!body(&s, ERROR_EVENT("500", "InternalError")));
    done(&s, ECANCELED, "ended");
    check_request(&s, PODS "?limit=500");
    finish(&s);
}
END_TEST

START_TEST(test_probe)
{
    struct script s;

    start_watch(&s);
    lose(&s, 60000);
    check_problem(&s, "cannot watch /api/v1/pods: connection reset");
    check_request(&s, PODS "?limit=1");
    ck_assert_int_eq(s.request.type, REFLECTOR_PROBE);
    done(&s, ECONNREFUSED, "connection refused");
    check_request(&s, PODS "?limit=1");
    /* The probe's objects are nobody's; its version is as before. */
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"x\"},\"items\":[{\"metadata\":"
                    "{\"name\":\"z\"}},7]}");
    check_request(&s, WATCH_FROM("10"));
    check_problem(&s, "cannot list /api/v1/pods: connection refused");
    reflector_head(s.reflector, 200, -1, s.now);
    check_problem(&s, NULL);
    check_log(&s, "");

    /* The server has gone back, and its number has fewer digits. */
    lose(&s, 60000);
    check_request(&s, PODS "?limit=1");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}");
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}");
    check_log(&s, "begin end ");
    check_request(&s, WATCH_FROM("9"));
    struct reflector_stats stats;
    reflector_get_stats(s.reflector, &stats);
    ck_assert_uint_ge(stats.gone_back, 1);
    finish(&s);
}
END_TEST

START_TEST(test_gone_back_in_watch)
{
    struct script s;

    start_watch(&s);
    ck_assert(!body(&s, EVENT("BOOKMARK", "", "9") EVENT("ADDED", "b", "11")));
    done(&s, ECANCELED, "ended");
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}");
    check_log(&s, "begin end ");
    check_request(&s, WATCH_FROM("9"));
    reflector_head(s.reflector, 200, -1, s.now);
    ck_assert(!body(&s, EVENT("ADDED", "b", "10") EVENT("ADDED", "c", "8")));
    done(&s, ECANCELED, "ended");
    check_log(&s, "added:b@10 ");
    check_request(&s, PODS "?limit=500");

    /* Between two pages. */
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"12\",\"continue\":\"t\"},\"items\":[]}");
    check_request(&s, PODS "?limit=500&continue=t");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"11\"},\"items\":[]}");
    check_log(&s, "begin ");
    check_request(&s, PODS "?limit=500");
    ck_assert_int_ge(s.waited, REFLECTOR_BACKOFF_MIN_MS);
    finish(&s);
}
END_TEST

/* A watch on which nothing comes: somebody may be there all the same. */
START_TEST(test_quiet_watch)
{
    struct reflector_stats stats;
    struct script s;

    start_watch(&s);
    for (int i = 0; i < 3; i++) {
        s.now += REFLECTOR_IDLE_MS;
        done(&s, ETIMEDOUT, "not a byte came");
        check_problem(&s, NULL);
        check_request(&s, PODS "?limit=1");
        ck_assert_int_le(s.waited, 2 * REFLECTOR_BACKOFF_MIN_MS);
        answer(&s, 200, LIST_1);
        check_request(&s, WATCH_FROM("10"));
        reflector_head(s.reflector, 200, -1, s.now);
    }
    reflector_get_stats(s.reflector, &stats);
    ck_assert_uint_eq(stats.failures, 0);
    s.now += REFLECTOR_IDLE_MS;
    done(&s, ETIMEDOUT, "not a byte came");
    check_request(&s, PODS "?limit=1");
    done(&s, ETIMEDOUT, "no connection");
    check_problem(&s, "cannot list /api/v1/pods: no connection");
    check_log(&s, "");
    /* A watch that has not begun is another matter. */
    check_request(&s, PODS "?limit=1");
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    done(&s, ETIMEDOUT, "not a byte came");
    check_problem(&s, "cannot watch /api/v1/pods: not a byte came");
    finish(&s);
}
END_TEST

/* Versions that are not numbers are not compared. */
START_TEST(test_opaque_versions)
{
    struct script s;

    start(&s, NULL);
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"x&9\"},\"items\":[]}");
    check_request(&s, WATCH_FROM("x%269"));
    reflector_head(s.reflector, 200, -1, s.now);
    ck_assert(body(&s, EVENT("ADDED", "a", "x1") EVENT("ADDED", "b", "5") EVENT("ADDED", "c", "18446744073709551616000")
                   EVENT("ADDED", "d", "18446744073709551616001")));
    check_log(&s, "begin end added:a@x1 added:b@5 added:c@18446744073709551616000 added:d@18446744073709551616001 ");
    ck_assert(!body(&s, EVENT("ADDED", "e", "18446744073709551616000")));
    finish(&s);
}
END_TEST

/* Bounded by the exponential backoff. */
START_TEST(test_outage)
{
    struct script s;
    int n = 0;

    start_watch(&s);
    long long int begin = s.now, last = 0;
    lose(&s, 0);
    while (s.now - begin < 600 * 1000) {
        check_request(&s, PODS "?limit=1");
        ck_assert_int_ge(s.waited, REFLECTOR_BACKOFF_MIN_MS);
        ck_assert_int_le(s.waited, REFLECTOR_BACKOFF_MAX_MS);
        ck_assert_int_ge(s.waited, MIN(last / 2, REFLECTOR_BACKOFF_MAX_MS / 2));
        last = s.waited;
        done(&s, ECONNREFUSED, "connection refused");
        n++;
    }
    ck_assert_int_le(n, 50);
    ck_assert_int_ge(n, 20);
    /* Somebody knows better. */
    ck_assert_int_gt(reflector_next_time(s.reflector), s.now);
    reflector_kick(s.reflector, s.now);
    ck_assert_int_eq(reflector_next_time(s.reflector), s.now);
    check_request(&s, PODS "?limit=1");
    reflector_kick(s.reflector, s.now);
    ck_assert_int_eq(reflector_next_time(s.reflector), LLONG_MAX);
    /* But not again and again. */
    done(&s, ECONNREFUSED, "connection refused");
    reflector_kick(s.reflector, s.now);
    check_request(&s, PODS "?limit=1");
    ck_assert_int_ge(s.waited, REFLECTOR_BACKOFF_MAX_MS / 2);
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    reflector_head(s.reflector, 200, -1, s.now);
    check_problem(&s, NULL);
    lose(&s, 100000);
    check_request(&s, PODS "?limit=1");
    ck_assert_int_le(s.waited, 2 * REFLECTOR_BACKOFF_MIN_MS);
    finish(&s);
}
END_TEST

/* One that lasts is well, after others that did not and before it has told anything. */
START_TEST(test_watch_that_lasts)
{
    struct script s;

    start_watch(&s);
    done(&s, 0, NULL);
    for (int i = 0; i < 3; i++) {
        check_request(&s, PODS "?limit=1");
        answer(&s, 200, LIST_1);
        check_request(&s, WATCH_FROM("10"));
        ck_assert_int_eq(reflector_settle_time(s.reflector), LLONG_MAX);
        answer(&s, 200, "");
    }
    check_request(&s, PODS "?limit=1");
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    reflector_head(s.reflector, 200, -1, s.now);
    long long int at = reflector_settle_time(s.reflector);
    ck_assert_int_le(at, s.now + 1000);
    reflector_settle(s.reflector, at - 1);
    check_problem(&s, "cannot watch /api/v1/pods: the server ends it at once");
    reflector_settle(s.reflector, at);
    check_problem(&s, NULL);
    ck_assert_int_eq(reflector_settle_time(s.reflector), LLONG_MAX);
    finish(&s);
}
END_TEST

/* A watch that ends at once, again and again, must not spin. */
START_TEST(test_short_watches)
{
    struct script s;

    start_watch(&s);
    long long int begin = s.now;
    done(&s, 0, NULL);
    for (int i = 0; i < 10; i++) {
        check_request(&s, PODS "?limit=1");
        answer(&s, 200, LIST_1);
        check_request(&s, WATCH_FROM("10"));
        answer(&s, 200, "");
        check_problem(&s, "cannot watch /api/v1/pods: the server ends it at once");
    }
    ck_assert_int_ge(s.now - begin, 60 * 1000);
    check_request(&s, PODS "?limit=1");
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    reflector_head(s.reflector, 200, -1, s.now);
    check_problem(&s, "cannot watch /api/v1/pods: the server ends it at once");
    /* With an event it is none of those. */
    body(&s, EVENT("ADDED", "b", "11"));
    check_problem(&s, NULL);
    done(&s, 0, NULL);
    check_request(&s, WATCH_FROM("11"));
    ck_assert_int_eq(s.waited, 0);
    finish(&s);
}
END_TEST

START_TEST(test_absent)
{
    struct script s;

    start(&s, NULL);
    for (int i = 0; i < 3; i++) {
        check_request(&s, PODS "?limit=500");
        ck_assert_int_ge(s.waited, i ? REFLECTOR_ABSENT_MS / 2 : 0);
        ck_assert_int_le(s.waited, REFLECTOR_ABSENT_MS);
        answer(&s, 404, i % 2 ? "404 page not found\n" : STATUS("404", "NotFound", "the server could not find it"));
        ck_assert(reflector_absent(s.reflector));
        ck_assert(reflector_synced(s.reflector));
        check_problem(&s, NULL);
    }
    check_log(&s, "gone ");
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, LIST_1);
    ck_assert(!reflector_absent(s.reflector));
    check_log(&s, "begin listed:a@7 end ");
    check_request(&s, WATCH_FROM("10"));
    answer(&s, 404, "404 page not found\n");
    check_log(&s, "gone ");
    ck_assert_ptr_null(reflector_resource_version(s.reflector));
    check_request(&s, PODS "?limit=500");

    /* A proxy's 404 takes nothing away. */
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    answer(&s, 404, "<html>Not found");
    check_log(&s, "begin listed:a@7 end ");
    ck_assert(!reflector_absent(s.reflector));
    check_problem(&s, "cannot watch /api/v1/pods: 404: not the answer of a Kubernetes API server: check the server's"
                      " address");
    check_request(&s, PODS "?limit=1");
    answer(&s, 404, STATUS("404", "NotFound", "the server could not find it"));
    check_log(&s, "gone ");
    finish(&s);
}
END_TEST

START_TEST(test_refused)
{
    struct script s;

    start(&s, NULL);
    check_request(&s, PODS "?limit=500");
    answer(&s, 401, STATUS("401", "Unauthorized", "Unauthorized"));
    ck_assert(reflector_unauthorized(s.reflector));
    check_problem(&s, "cannot list /api/v1/pods: 401 Unauthorized: Unauthorized: the server does not accept our"
                      " credentials: "
                  "renew the token or certificate");
    reflector_kick(s.reflector, s.now);
    check_request(&s, PODS "?limit=500");
    ck_assert_int_eq(s.waited, 0);
    answer(&s, 403, STATUS("403", "Forbidden", "pods is forbidden: User \\\"x\\\" cannot list"));
    ck_assert(!reflector_unauthorized(s.reflector));
    check_problem(&s, "cannot list /api/v1/pods: 403 Forbidden: pods is forbidden: User \"x\" cannot list: no right"
                      " to list pods: "
                  "apply deploy/rbac.yaml");
    check_request(&s, PODS "?limit=500");
    reflector_head(s.reflector, 503, 5000, s.now);
    done(&s, 0, NULL);
    check_problem(&s, "cannot list /api/v1/pods: 503");
    check_request(&s, PODS "?limit=500");
    ck_assert_int_ge(s.waited, 5000);
    answer(&s, 429, "{\"details\":{\"retryAfterSeconds\":9}}");
    check_request(&s, PODS "?limit=500");
    ck_assert_int_ge(s.waited, 9000);
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    answer(&s, 403, STATUS("403", "Forbidden", "no"));
    check_problem(&s, "cannot watch /api/v1/pods: 403 Forbidden: no: no right to watch pods: apply deploy/rbac.yaml");
    check_request(&s, PODS "?limit=1");
    answer(&s, 200, LIST_1);
    check_request(&s, WATCH_FROM("10"));
    answer(&s, 504, "{\"kind\":\"Status\",\"reason\":\"Timeout\",\"message\":\"Too large resource version: 10,"
                    " current: 8\","
           "\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]}}");
    check_request(&s, PODS "?limit=500");
    finish(&s);
}
END_TEST

START_TEST(test_bad_objects)
{
    struct script s;

    start(&s, NULL);
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[7,{\"metadata\":{\"name\":\"x\""
                    ",\"namespace\":\"n\",\"x\":\"\xff\"}},"
           "null,{\"metadata\":{\"name\":\"a\"}},{\"a\":tru}]}");
    check_log(&s, "begin bad(pods: an object without a name: not an object) "
              "bad(pods n/x: unable to decode byte 0xff near '\"') bad(pods: an object without a name: not an object) "
              "listed:a@? bad(pods: an object without a name: invalid token near 'tru') end ");
    check_request(&s, WATCH_FROM("10"));
    reflector_head(s.reflector, 200, -1, s.now);
    ck_assert(body(&s, "{\"type\":\"ADDED\",\"object\":7}\n{\"object\":{}}\n" EVENT("RENAMED", "b", "11")));
    check_log(&s, "bad(pods: an object without a name: an event without a type or an object) "
              "bad(pods: an object without a name: an event without a type or an object) bad(pods b: an event of an"
              " unknown type) ");
    /* NUL is a character like others. */
    ck_assert(body(&s, EVENT("DELETED", "b\\u0000c", "12")));
    check_log(&s, "deleted:b@12 ");
    /* What cannot be placed in time makes the copy doubtful. */
    ck_assert(!body(&s, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"b\"}}}" EVENT("ADDED", "c", "13")));
    done(&s, ECANCELED, "ended");
    check_log(&s, "bad(pods b: an event without a resourceVersion) ");
    check_request(&s, PODS "?limit=500");
    finish(&s);
}
END_TEST

static void
log_whole_object(void *s_, enum reflector_event event OVS_UNUSED, const json_t *object)
{
    struct script *s = s_;
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

    ds_put_format(&s->log, "%s ", text);
    free(text);
}

/* What nobody reads does not come; labels may have any name. */
START_TEST(test_skip)
{
    static const char *const names[] = { "volumes", "env", NULL };
    static const struct reflector_ops skip_ops = { log_begin, log_whole_object, log_end, log_gone, log_bad, names };
    struct script s = { .log = DS_EMPTY_INITIALIZER };

    s.reflector = reflector_create(PODS, NULL, 42, &skip_ops, &s);
    check_request(&s, PODS "?limit=500");
    answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"l\":{\"env\":\"x\",\"volumes\":\"y\"},"
           "\"managedFields\":[{}],\"spec\":{\"volumes\":[{\"env\":[]}],\"c\":[{\"env\":[{\"a\":1}]}]}}]}");
    check_log(&s, "begin {\"l\":{\"env\":\"x\",\"volumes\":\"y\"},\"spec\":{\"c\":[{}]}} end ");
    finish(&s);
}
END_TEST

START_TEST(test_events_that_are_no_json)
{
    struct script s;

    start_watch(&s);
    ck_assert(!body(&s, EVENT("ADDED", "b", "11") "}"));
    ck_assert(!body(&s, EVENT("ADDED", "c", "12")));
    done(&s, ECANCELED, "ended");
    check_log(&s, "added:b@11 ");
    check_problem(&s, "cannot watch /api/v1/pods: the answer is not what was asked for: byte 75: no object begins"
                      " here");
    check_request(&s, PODS "?limit=1");
    finish(&s);
}
END_TEST

/* What comes when nothing was asked for is nothing. */
START_TEST(test_out_of_turn)
{
    struct script s;

    start(&s, NULL);
    reflector_head(s.reflector, 200, -1, s.now);
    ck_assert(!body(&s, LIST_1));
    done(&s, 0, NULL);
    check_log(&s, "");
    check_request(&s, PODS "?limit=500");
    body(&s, LIST_1);
    done(&s, 0, NULL);
    check_log(&s, "");
    check_problem(&s, "cannot list /api/v1/pods: there was no answer");
    finish(&s);
}
END_TEST

/* Two nodes do not ask at the same moments. */
START_TEST(test_jitter)
{
    static const struct reflector_ops no_ops = { log_begin, log_object, log_end, log_gone, log_bad };
    struct error error = { ECONNREFUSED, NULL };
    long long int first = 0;
    int same = 0;

    for (uint32_t seed = 0; seed < 100; seed++) {
        struct script s = { .log = DS_EMPTY_INITIALIZER };
        s.reflector = reflector_create(PODS, NULL, seed, &no_ops, &s);
        ask(&s);
        reflector_done(s.reflector, &error, s.now);
        same += reflector_next_time(s.reflector) == first;
        first = reflector_next_time(s.reflector);
        finish(&s);
    }
    ck_assert_int_lt(same, 10);
}
END_TEST

UNIT_MAIN("kube-reflector", {
    tcase_add_test(tc, test_list_and_watch);
    tcase_add_test(tc, test_pages);
    tcase_add_test(tc, test_expired_token);
    tcase_add_test(tc, test_list_breaks_off);
    tcase_add_test(tc, test_watch_expired);
    tcase_add_test(tc, test_watch_error_event);
    tcase_add_test(tc, test_probe);
    tcase_add_test(tc, test_gone_back_in_watch);
    tcase_add_test(tc, test_quiet_watch);
    tcase_add_test(tc, test_opaque_versions);
    tcase_add_test(tc, test_outage);
    tcase_add_test(tc, test_short_watches);
    tcase_add_test(tc, test_watch_that_lasts);
    tcase_add_test(tc, test_absent);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_bad_objects);
    tcase_add_test(tc, test_skip);
    tcase_add_test(tc, test_events_that_are_no_json);
    tcase_add_test(tc, test_out_of_turn);
    tcase_add_test(tc, test_jitter);
})
