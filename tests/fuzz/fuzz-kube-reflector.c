/* lib/kube-reflector.h: the first byte says to which request and with which status, the second how it is cut; the rest
 * is the body.  The result does not depend on the cuts, and the next request is one that can be sent. */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fuzz.h"
#include "kube-reflector.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

static void
on_begin(void *log)
{
    ds_put_cstr(log, "begin\n");
}

static void
on_object(void *log, enum reflector_event event, const json_t *object)
{
    char *text = json_dumps(object, JSON_SORT_KEYS | JSON_ENCODE_ANY);

    FUZZ_CHECK(json_is_object(object), "%s", text);
    ds_put_format(log, "%d %s\n", (int) event, text ? text : "");
    free(text);
}

static void
on_end(void *log)
{
    ds_put_cstr(log, "end\n");
}

static void
on_gone(void *log)
{
    ds_put_cstr(log, "gone\n");
}

static void
on_bad(void *log, const char *what)
{
    ds_put_format(log, "bad %s\n", what);
}

static const struct reflector_ops ops = { on_begin, on_object, on_end, on_gone, on_bad };

/* The next request. */
static enum reflector_request_type
ask(struct reflector *r, long long int *now)
{
    struct reflector_request request;

    FUZZ_CHECK(reflector_next_time(r) - *now <= 2 * 3600 * 1000, "%lld", reflector_next_time(r) - *now);
    *now = MAX(*now, reflector_next_time(r));
    FUZZ_CHECK(reflector_next(r, *now, &request), "%lld", *now);
    for (const char *p = request.path; *p; p++) {
        FUZZ_CHECK(*p > ' ' && *p < 127 && !strchr("\"<>\\^`{|}#", *p), "%s", request.path);
    }
    free(request.path);
    return request.type;
}

static void
answer(struct reflector *r, int status, const char *body, size_t size, size_t piece, const struct error *error,
       long long int now)
{
    reflector_head(r, status, -1, now);
    for (size_t i = 0; i < size && reflector_body(r, body + i, MIN(piece, size - i), now); i += piece) {
        continue;
    }
    reflector_done(r, error, now);
}

/* Up to a request of 'type'. */
static struct reflector *
reflector_at(enum reflector_request_type type, struct ds *log, long long int *now)
{
    static const char list[] = "{\"metadata\":{\"resourceVersion\":\"1000\"},\"items\":[]}";
    struct reflector *r = reflector_create("/api/v1/pods", NULL, 1, &ops, log);
    struct error error = { ECONNRESET, NULL };

    FUZZ_CHECK(ask(r, now) == REFLECTOR_LIST, "list");
    if (type != REFLECTOR_LIST) {
        answer(r, 200, list, strlen(list), SIZE_MAX, NULL, *now);
        FUZZ_CHECK(ask(r, now) == REFLECTOR_WATCH, "watch");
    }
    if (type == REFLECTOR_PROBE) {
        answer(r, 200, "", 0, 1, &error, *now);
        FUZZ_CHECK(ask(r, now) == REFLECTOR_PROBE, "probe");
    }
    return r;
}

static struct ds
run(enum reflector_request_type type, int status, const char *body, size_t size, size_t piece)
{
    struct ds log = DS_EMPTY_INITIALIZER;
    long long int now = 0;
    struct reflector *r = reflector_at(type, &log, &now);
    struct reflector_stats stats;

    answer(r, status, body, size, piece, NULL, now);
    reflector_get_stats(r, &stats);
    ds_put_format(&log, "%s, %d %d %d, %lld ms, %llu %llu %llu %llu, version %s\n",
                  reflector_problem(r) ? reflector_problem(r) : "well",
                  reflector_synced(r), reflector_absent(r), reflector_unauthorized(r), reflector_next_time(r) - now,
                  (unsigned long long int) stats.lists, (unsigned long long int) stats.events,
                  (unsigned long long int) stats.bookmarks, (unsigned long long int) stats.failures,
                  reflector_resource_version(r) ? reflector_resource_version(r) : "none");
    ds_put_format(&log, "then %d\n", (int) ask(r, &now));
    reflector_destroy(r);
    return log;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = { 200, 200, 200, 404, 410, 429, 401, 403, 500, 504 };
    if (size < 2) {
        return 0;
    }
    enum reflector_request_type type = data[0] % 3;
    int status = statuses[data[0] / 3 % ARRAY_SIZE(statuses)];
    struct ds whole = run(type, status, (const char *) data + 2, size - 2, SIZE_MAX);
    struct ds cut = run(type, status, (const char *) data + 2, size - 2, 1 + data[1] % 32);

    FUZZ_CHECK(whole.length == cut.length && !memcmp(whole.string, cut.string, cut.length), "%s\n%s", ds_cstr(&whole),
               ds_cstr(&cut));
    ds_destroy(&whole);
    ds_destroy(&cut);
    return 0;
}
