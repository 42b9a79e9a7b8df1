#include <config.h>

#include "kube-reflector-private.h"

#include <limits.h>
#include <stdarg.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#define LIST_TIMEOUT_MS 120000          /* A page, or a probe. */
#define LIST_IDLE_MS 30000
#define WATCH_GRACE_MS 30000            /* A watch that the server does not end when it was to. */
#define SHORT_WATCH_MS 1000             /* One that ends sooner, and brought nothing, counts as a failure. */
#define MAX_RETRY_AFTER_MS (10 * 60 * 1000)

static void conclude_absent(struct reflector *, long long int now);
static void conclude_list(struct reflector *, enum reflector_outcome, long long int now);
static void conclude_probe(struct reflector *, enum reflector_outcome, long long int now);
static void conclude_watch(struct reflector *, enum reflector_outcome, long long int now);
static void make_request(struct reflector *, struct reflector_request *);

#ifdef REFLECTOR_BUGS
const char *reflector_bug;
#endif

static const char **
make_skip(const char *const *names)
{
    size_t n = 0;

    while (names && names[n]) {
        n++;
    }
    const char **skip = xcalloc(n + 2, sizeof *skip);
    skip[0] = "managedFields";
    for (size_t i = 0; i < n; i++) {
        skip[1 + i] = names[i];
    }
    return skip;
}

struct reflector *
reflector_create(const char *path, const char *query, uint32_t seed, const struct reflector_ops *ops, void *aux)
{
    struct reflector *r = xzalloc(sizeof *r);

    r->path = xstrdup(path);
    r->query = query && *query ? xstrdup(query) : NULL;
    r->resource = strrchr(r->path, '/') ? strrchr(r->path, '/') + 1 : r->path;
    r->ops = ops;
    r->aux = aux;
    r->skip = make_skip(ops->skip);
    r->random = seed;
    r->next = REFLECTOR_LIST;
    return r;
}

void
reflector_destroy(struct reflector *r)
{
    if (r) {
        reflector_answer_clear(r);
        free(r->path);
        free(r->query);
        free(r->skip);
        free(r->resource_version);
        free(r->list_version);
        free(r->continue_token);
        free(r->problem);
        free(r);
    }
}

bool
reflector_next(struct reflector *r, long long int now, struct reflector_request *request)
{
    if (r->under_way || now < r->next_time) {
        return false;
    }
    reflector_answer_clear(r);
    r->answer.type = r->next;
    r->answer.started = now;
    r->answer.retry_after_ms = -1;
    r->under_way = true;
    make_request(r, request);
    return true;
}

long long int
reflector_next_time(const struct reflector *r)
{
    return r->under_way ? LLONG_MAX : r->next_time;
}

long long int
reflector_settle_time(const struct reflector *r)
{
    bool well = r->under_way && r->next == REFLECTOR_WATCH && r->answer.status == 200
                && r->answer.outcome == OUTCOME_OPEN;

    return well && r->problem ? r->answer.started + SHORT_WATCH_MS : LLONG_MAX;
}

void
reflector_settle(struct reflector *r, long long int now)
{
    if (now >= reflector_settle_time(r)) {
        r->n_short = 0;
        reflector_clear_problem(r);
    }
}

void
reflector_kick(struct reflector *r, long long int now)
{
    if (r->next_time > now && (!r->kicked || r->unauthorized || REFLECTOR_BUG("kick-always"))) {
        r->next_time = now;
        r->kicked = true;
    }
}

void
reflector_head(struct reflector *r, int status, long long int retry_after_ms, long long int now OVS_UNUSED)
{
    if (!r->under_way || r->answer.status) {
        return;
    }
    r->answer.status = status;
    r->answer.retry_after_ms = retry_after_ms;
    reflector_answer_begin(r);
    if (status != 200) {
        return;
    }
    r->unauthorized = r->forbidden = false;
    if (r->next == REFLECTOR_LIST && !r->continue_token) {
        r->absent = false;
        r->ops->begin(r->aux);
    } else if (r->next == REFLECTOR_WATCH && r->n_short < 2) {
        reflector_clear_problem(r);
    }
}

bool
reflector_body(struct reflector *r, const char *data, size_t size, long long int now)
{
    if (!r->under_way || r->answer.outcome != OUTCOME_OPEN) {
        return false;
    }
    bool more = reflector_answer_body(r, data, size);
    if (more && r->next == REFLECTOR_WATCH && r->answer.status == 200 && now - r->answer.started >= SHORT_WATCH_MS) {
        reflector_watch_lives(r);       /* A bookmark that is no news is a sign of life, too. */
    }
    return more;
}

void
reflector_done(struct reflector *r, const struct error *error, long long int now)
{
    if (!r->under_way) {
        return;
    }
    enum reflector_outcome outcome = reflector_answer_end(r, error);
    r->under_way = false;
    r->unauthorized = r->answer.status == 401;
    r->forbidden = r->forbidden || r->answer.status == 403;

    if (outcome == OUTCOME_ABSENT) {
        conclude_absent(r, now);
    } else if (r->next == REFLECTOR_LIST) {
        conclude_list(r, outcome, now);
    } else if (r->next == REFLECTOR_PROBE) {
        conclude_probe(r, outcome, now);
    } else {
        conclude_watch(r, outcome, now);
    }
    reflector_answer_clear(r);
}

bool
reflector_synced(const struct reflector *r)
{
    return r->synced;
}

bool
reflector_absent(const struct reflector *r)
{
    return r->absent;
}

const char *
reflector_problem(const struct reflector *r)
{
    return r->problem;
}

bool
reflector_unauthorized(const struct reflector *r)
{
    return r->unauthorized;
}

bool
reflector_forbidden(const struct reflector *r)
{
    return r->forbidden;
}

const char *
reflector_resource_version(const struct reflector *r)
{
    return r->resource_version;
}

void
reflector_get_stats(const struct reflector *r, struct reflector_stats *stats)
{
    *stats = r->stats;
}

/* Time ----------------------------------------------------------------------------------------------------------- */

/* A number below 'limit': a counter, well mixed. */
static uint32_t
draw(struct reflector *r, uint32_t limit)
{
    r->random += 0x9e3779b9;
    return (uint64_t) hash_int(r->random, 0) * limit >> 32;
}

/* After 'n' failures in a row: exponential, the upper half of it by chance; never sooner than the server asks for. */
static void
wait_after(struct reflector *r, unsigned int n, long long int now)
{
    uint32_t most = MIN(REFLECTOR_BACKOFF_MAX_MS, (uint64_t) REFLECTOR_BACKOFF_MIN_MS << MIN(n, 16));
    long long int delay = most / 2 + draw(r, most / 2 + 1);

    if (r->answer.retry_after_ms > 0 && !REFLECTOR_BUG("no-retry-after")) {
        delay = MAX(delay, MIN(r->answer.retry_after_ms, MAX_RETRY_AFTER_MS) + draw(r, REFLECTOR_BACKOFF_MIN_MS));
    }
    r->next_time = now + (REFLECTOR_BUG("no-backoff") ? 0 : delay);
}

/* What comes next -------------------------------------------------------------------------------------------------- */

/* From the first page. */
static void
begin_list(struct reflector *r)
{
    r->next = REFLECTOR_LIST;
    free(r->continue_token);
    r->continue_token = NULL;
    free(r->list_version);
    r->list_version = NULL;
}

static void
list_complete(struct reflector *r, long long int now)
{
    if (reflector_compare_versions(r->list_version, r->resource_version) < 0) {
        r->stats.gone_back++;
    }
    free(r->resource_version);
    r->resource_version = r->list_version;
    r->list_version = NULL;
    begin_list(r);
    r->n_failures = r->n_expired = 0;
    r->synced = true;
    r->stats.lists++;
    r->ops->end(r->aux);
    r->next = REFLECTOR_WATCH;
    r->next_time = now;
}

static void
page_done(struct reflector *r, long long int now)
{
    struct reflector_answer *a = &r->answer;

    if (!r->list_version) {
        r->list_version = a->resource_version;
        a->resource_version = NULL;
    } else if (reflector_compare_versions(a->resource_version, r->list_version) < 0) {
        conclude_list(r, OUTCOME_GONE_BACK, now);
        return;
    }
    free(r->continue_token);
    r->continue_token = a->continue_token;
    a->continue_token = NULL;
    r->next_time = now;
    if (!r->continue_token || REFLECTOR_BUG("first-page-only")) {
        list_complete(r, now);
    }
}

static void
conclude_absent(struct reflector *r, long long int now)
{
    bool first = !r->absent;

    reflector_clear_problem(r);
    free(r->resource_version);
    r->resource_version = NULL;
    r->n_failures = r->n_expired = 0;
    r->absent = r->synced = true;
    begin_list(r);
    r->next_time = now + REFLECTOR_ABSENT_MS / 2 + draw(r, REFLECTOR_ABSENT_MS / 2 + 1);
    if (first || REFLECTOR_BUG("gone-again")) {
        r->ops->gone(r->aux);
    }
}

static void
conclude_list(struct reflector *r, enum reflector_outcome outcome, long long int now)
{
    bool same_page = r->answer.status == 429 || REFLECTOR_BUG("resume-list");

    if (outcome == OUTCOME_DONE) {
        page_done(r, now);
    } else if (outcome == OUTCOME_EXPIRED && r->continue_token && ++r->n_expired <= 2) {
        begin_list(r);
        r->next_time = now;
    } else {
        if (outcome == OUTCOME_EXPIRED) {
            reflector_set_problem(r, "410, again and again");
        } else if (outcome == OUTCOME_GONE_BACK) {
            reflector_set_problem(r, "the server went back in time between two pages");
            r->stats.gone_back++;
        }
        r->stats.failures++;
        wait_after(r, ++r->n_failures, now);
        /* Who answers after a pause may be a server that was restored meanwhile, with other objects under the old
         * versions: pages of both must not be mixed.  Except where it only says that there is too much to do. */
        if (!same_page) {
            begin_list(r);
        }
    }
}

static void
conclude_probe(struct reflector *r, enum reflector_outcome outcome, long long int now)
{
    if (outcome == OUTCOME_EXPIRED) {
        reflector_set_problem(r, "410 to a list of one object");
    }
    if (outcome == OUTCOME_DONE) {
        bool gone_back = reflector_compare_versions(r->answer.resource_version, r->resource_version) < 0
                         && !REFLECTOR_BUG("blind-probe");
        r->stats.gone_back += gone_back;
        r->n_failures = 0;
        r->next = gone_back ? REFLECTOR_LIST : REFLECTOR_WATCH;
        r->next_time = now;
    } else {
        r->stats.failures++;
        r->next = outcome == OUTCOME_EXPIRED || outcome == OUTCOME_UNUSABLE ? REFLECTOR_LIST : REFLECTOR_PROBE;
        wait_after(r, ++r->n_failures, now);
    }
}

static void
conclude_watch(struct reflector *r, enum reflector_outcome outcome, long long int now)
{
    struct reflector_answer *a = &r->answer;
    bool lasted = now - a->started >= SHORT_WATCH_MS;

    if (outcome == OUTCOME_DONE && (lasted || a->advanced || REFLECTOR_BUG("spin"))) {
        reflector_watch_lives(r);
        r->next_time = now;
        return;
    }
    if (outcome == OUTCOME_DONE) {
        reflector_set_problem(r, "the server ends it at once");
    } else if (outcome == OUTCOME_EXPIRED && r->n_fruitless) {
        reflector_set_problem(r, "410, again and again");
    }
    if (now - a->started >= REFLECTOR_BACKOFF_MAX_MS) {
        r->n_fruitless = 0;
        r->kicked = false;
    }
    r->n_short += a->status == 200 && !lasted && !a->advanced;
    r->stats.failures += outcome != OUTCOME_EXPIRED && outcome != OUTCOME_QUIET;
    r->stats.gone_back += outcome == OUTCOME_GONE_BACK;
    if (outcome == OUTCOME_EXPIRED || outcome == OUTCOME_GONE_BACK || outcome == OUTCOME_UNUSABLE) {
        begin_list(r);
    } else {
        r->next = REFLECTOR_BUG("no-probe") ? REFLECTOR_WATCH : REFLECTOR_PROBE;
    }
    wait_after(r, ++r->n_fruitless, now);
}

/* Requests --------------------------------------------------------------------------------------------------------- */

/* A value of a query, with everything escaped that RFC 3986 does not call unreserved. */
static void
put_escaped(struct ds *s, const char *value)
{
    for (; *value; value++) {
        unsigned char c = *value;

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c)) {
            ds_put_char(s, c);
        } else {
            ds_put_format(s, "%%%02X", c);
        }
    }
}

static void
make_watch(struct reflector *r, struct reflector_request *request, struct ds *s)
{
    uint32_t seconds = REFLECTOR_WATCH_MIN_S + draw(r, REFLECTOR_WATCH_MIN_S + 1);

    r->stats.watches++;
    ds_put_cstr(s, "watch=1&allowWatchBookmarks=true&resourceVersion=");
    put_escaped(s, r->resource_version);
    ds_put_format(s, "&timeoutSeconds=%u", (unsigned int) seconds);
    request->idle_timeout_ms = REFLECTOR_BUG("no-idle-timeout") ? 0 : REFLECTOR_IDLE_MS;
    request->timeout_ms = seconds * 1000LL + WATCH_GRACE_MS;
}

static void
make_list(struct reflector *r, struct ds *s)
{
    if (r->next == REFLECTOR_PROBE) {
        ds_put_cstr(s, "limit=1");
    } else if (r->n_expired < 2 || REFLECTOR_BUG("always-pages")) {
        ds_put_format(s, "limit=%d", REFLECTOR_PAGE);
    }
    if (r->next == REFLECTOR_LIST && r->continue_token) {
        ds_put_format(s, "%scontinue=", s->length ? "&" : "");
        put_escaped(s, r->continue_token);
    }
}

static void
make_request(struct reflector *r, struct reflector_request *request)
{
    struct ds query = DS_EMPTY_INITIALIZER;

    *request = (struct reflector_request) {
        .type = r->next, .idle_timeout_ms = LIST_IDLE_MS, .timeout_ms = LIST_TIMEOUT_MS
    };
    if (r->next == REFLECTOR_WATCH) {
        make_watch(r, request, &query);
    } else {
        make_list(r, &query);
    }
    if (r->query) {
        ds_put_format(&query, "%s%s", query.length ? "&" : "", r->query);
    }
    request->path = query.length ? xasprintf("%s?%s", r->path, ds_cstr(&query)) : xstrdup(r->path);
    ds_destroy(&query);
}

/* Problems --------------------------------------------------------------------------------------------------------- */

const char *
reflector_verb(const struct reflector *r)
{
    return r->next == REFLECTOR_WATCH ? "watch" : "list";
}

void
reflector_set_problem(struct reflector *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *what = xvasprintf(format, args);
    va_end(args);
    free(r->problem);
    r->problem = xasprintf("cannot %s %s: %s", reflector_verb(r), r->path, what);
    free(what);
}

void
reflector_watch_lives(struct reflector *r)
{
    r->n_fruitless = r->n_short = 0;
    r->kicked = false;
    reflector_clear_problem(r);
}

void
reflector_clear_problem(struct reflector *r)
{
    free(r->problem);
    r->problem = NULL;
}
