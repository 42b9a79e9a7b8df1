/* lib/kube-reflector.h against a model of an API server.
 *
 * The server has one collection of few objects, every state that it ever was in, a window of events that it remembers,
 * lists in pages whose tokens expire, watches with bookmarks; it refuses, is slow, goes away, falls silent, comes back
 * with an older state.  Its answers arrive in pieces cut anywhere.  The consumer is what a source is: mark and sweep.
 *
 * What must hold: see the SIM_CHECKs; above all, at rest the copy equals the server, each key's versions come in order
 * and without a gap, and requests that fail are not repeated faster than the backoff allows.
 *
 * One thing cannot be seen by any client: a server that was restored and has gone on beyond the version that the client
 * knows, before it asks again.  The model does not do that (may_write()). */

#include <config.h>

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube-reflector-private.h"
#include "openvswitch/dynamic-string.h"
#include "sim.h"
#include "util.h"

#define N_KEYS 6
#define N_STEPS 70
#define PAGE 2                  /* The server gives fewer than were asked for. */
#define MAX_REVISION 500
#define MAX_WRITES (N_STEPS * N_KEYS)
#define BOOKMARK_MS 60000
#define MOST_UNREST_MS (REFLECTOR_IDLE_MS + 2 * REFLECTOR_BACKOFF_MAX_MS + 40000 + 2 * BOOKMARK_MS)
#define BASE "/apis/x/v1/things"

struct event {
    int key, write;             /* Index of 'writes'. */
    const char *type;
};

struct write {
    int key, revision;
    bool deleted;
};

struct server {
    int revision, compacted;    /* Watches and tokens from before 'compacted' are 410. */
    int state[MAX_REVISION + 1][N_KEYS];        /* The write that made each object; 0: absent. */
    struct event events[MAX_REVISION + 1];      /* That led to this revision. */
    struct write writes[MAX_WRITES + 1];
    int n_writes;
    int restored;               /* How often it went back... */
    int branch;                 /* ...and where to; INT_MAX once the client has noticed, or could have. */
    bool hidden;                /* No connection was lost by it: only a list or a probe shows it. */
    int list_revision;          /* Of the last list that began. */
    bool down, absent;
    bool tokens_expire;         /* Every token, as if reading a page took minutes. */
    bool short_watches;
    bool errors_are_events;     /* 410 never comes as a status. */
};

enum phase { IDLE, SENT, ANSWERED };

/* The one request under way. */
struct connection {
    enum phase phase;
    struct reflector_request request;
    long long int started, last_byte;
    struct ds wire;             /* The body, as far as the server has sent it. */
    size_t delivered;
    int status, retry_after_ms;
    bool head_delivered, ended, dead;
    bool failed, expired, last_page;            /* What the answer is. */
    bool alive;                 /* A watch that sent something later than at once. */
    bool watching;
    int watch_revision;         /* Events up to here are on the wire. */
    long long int last_sent;    /* For bookmarks. */
    int restored;               /* server.restored when it was answered. */
};

struct consumer {
    int copy[N_KEYS];           /* As server.state. */
    bool marked[N_KEYS];
    int last_revision[N_KEYS], last_restored[N_KEYS];
    bool listing, absent;
    bool synced;
};

struct world {
    struct sim_history *h;
    long long int now;
    struct reflector *reflector;
    struct server server;
    struct connection c;
    struct consumer consumer;
    bool faults;
    /* For the pace of requests. */
    long long int not_before;
    unsigned int failed_lists, failed_watches;
    bool kicked;                /* Since a watch was last alive. */
    int n_requests, n_lists;
};

/* The consumer --------------------------------------------------------------------------------------------------- */

static void
on_begin(void *w_)
{
    struct world *w = w_;

    sim_log(w->h, "    begin");
    memset(w->consumer.marked, 0, sizeof w->consumer.marked);
    w->consumer.listing = true;
    w->consumer.absent = false;
}

static void
on_end(void *w_)
{
    struct world *w = w_;

    sim_log(w->h, "    end");
    SIM_CHECK(w->h, w->consumer.listing, "an end without a begin");
    for (int key = 0; key < N_KEYS; key++) {
        if (!w->consumer.marked[key]) {
            w->consumer.copy[key] = w->consumer.last_revision[key] = 0;
        }
    }
    w->consumer.listing = false;
    w->consumer.synced = true;
}

static void
on_gone(void *w_)
{
    struct world *w = w_;

    sim_log(w->h, "    gone");
    SIM_CHECK(w->h, !w->consumer.absent, "gone for the second time");
    memset(&w->consumer, 0, sizeof w->consumer);
    w->consumer.absent = w->consumer.synced = true;
}

static void
on_bad(void *w_, const char *what)
{
    struct world *w = w_;

    sim_fail(w->h, "a bad object: %s", what);
}

static void
on_event(struct world *w, enum reflector_event event, const struct write *write, int key)
{
    struct consumer *c = &w->consumer;

    SIM_CHECK(w->h, !c->listing, "an event in the middle of a list");
    SIM_CHECK(w->h, write->revision > c->last_revision[key], "k%d: version %d after %d", key, write->revision,
              c->last_revision[key]);
    SIM_CHECK(w->h, (event == REFLECTOR_ADDED) == !c->copy[key], "k%d: event %d, but it is %s", key, (int) event,
              c->copy[key] ? "there" : "not there");
    SIM_CHECK(w->h, (event == REFLECTOR_DELETED) == write->deleted, "k%d: event %d with another's object", key,
              (int) event);
}

static void
on_object(void *w_, enum reflector_event event, const json_t *object)
{
    struct world *w = w_;
    struct consumer *c = &w->consumer;
    const json_t *metadata = json_object_get(object, "metadata");
    int n = json_integer_value(json_object_get(object, "write"));
    int key = json_string_value(json_object_get(metadata, "name"))[1] - '0';
    int revision = atoi(json_string_value(json_object_get(metadata, "resourceVersion")));

    sim_log(w->h, "    event %d of k%d, version %d", (int) event, key, revision);
    SIM_CHECK(w->h, !json_object_get(metadata, "managedFields"), "managedFields came through");
    if (n < 1 || n > w->server.n_writes || w->server.writes[n].key != key || w->server.writes[n].revision != revision) {
        sim_fail(w->h, "k%d of version %d and write %d never existed", key, revision, n);
        return;
    }
    const struct write *write = &w->server.writes[n];
    if (event == REFLECTOR_LISTED) {
        SIM_CHECK(w->h, c->listing && !c->marked[key] && !write->deleted, "k%d is listed out of turn", key);
        SIM_CHECK(w->h, revision >= c->last_revision[key] || c->last_restored[key] < w->server.restored,
                  "k%d: version %d is listed after %d", key, revision, c->last_revision[key]);
        c->marked[key] = true;
    } else {
        on_event(w, event, write, key);
    }
    c->copy[key] = write->deleted ? 0 : n;
    c->last_revision[key] = revision;
    c->last_restored[key] = w->server.restored;
}

static const struct reflector_ops ops = { on_begin, on_object, on_end, on_gone, on_bad };

/* The server ----------------------------------------------------------------------------------------------------- */

/* Whether the client will notice that the server was restored: what it knows beyond the branch is ahead of us. */
static bool
may_write(const struct world *w)
{
    const char *version = reflector_resource_version(w->reflector);
    int known = version ? atoi(version) : 0, next = w->server.revision + 1;
    const struct server *s = &w->server;

    return next < MAX_REVISION && !(known > s->branch && next >= known)
        && !(s->list_revision > s->branch && next >= s->list_revision);
}

static void
write_object(struct world *w, int key, bool delete)
{
    struct server *s = &w->server;
    int old = s->state[s->revision][key];

    if ((delete && !old) || s->n_writes >= MAX_WRITES || !may_write(w)) {
        return;
    }
    int r = ++s->revision;
    memcpy(s->state[r], s->state[r - 1], sizeof s->state[r]);
    s->writes[++s->n_writes] = (struct write) { key, r, delete };
    s->events[r] = (struct event) { key, s->n_writes, delete ? "DELETED" : old ? "MODIFIED" : "ADDED" };
    s->state[r][key] = delete ? 0 : s->n_writes;
    sim_log(w->h, "k%d: %s, version %d", key, s->events[r].type, r);
}

static void
put_object(struct ds *wire, int key, int revision, int n)
{
    ds_put_format(wire, "{\"metadata\":{\"name\":\"k%d\",\"a\":\"}]\\\"{\\\\\",\"managedFields\":[{\"f:x\":{\"k:"
                        "{\\\"y\\\":1}\":{}}}],"
                  "\"resourceVersion\":\"%d\"},\"write\":%d}", key, revision, n);
}

static void
put_event(struct ds *wire, const char *type, int key, int revision, int n)
{
    ds_put_format(wire, "{\"type\":\"%s\",\"object\":", type);
    put_object(wire, key, revision, n);
    ds_put_cstr(wire, "}\n");
}

static void
put_status(struct connection *c, int status, const char *reason, const char *more)
{
    c->status = status;
    c->ended = true;
    c->expired = status == 410;
    c->failed = status != 410 && status != 404;
    ds_put_format(&c->wire, "{\"kind\":\"Status\",\"code\":%d,\"reason\":\"%s\",\"message\":\"%s\",\"details\":{%s}}",
                  status, reason, reason, more);
}

/* The value of 'name' in a query, decoded; to be freed; NULL if it is not there. */
static char *
get_parameter(const char *path, const char *name)
{
    const char *p = strchr(path, '?');
    size_t len = strlen(name);

    for (; p && (strncmp(p + 1, name, len) || p[1 + len] != '='); p = strchr(p + 1, '&')) {
        continue;
    }
    if (!p) {
        return NULL;
    }
    struct ds value = DS_EMPTY_INITIALIZER;
    for (p += len + 2; *p && *p != '&'; p++) {
        unsigned int c = *p;
        if (*p == '%' && sscanf(p + 1, "%2x", &c) == 1) {
            p += 2;
        }
        ds_put_char(&value, c);
    }
    return ds_steal_cstr(&value);
}

static void
answer_page(struct world *w, int revision, int first, int limit)
{
    struct server *s = &w->server;
    struct connection *c = &w->c;
    const int *state = s->state[revision];
    int key, n = 0;

    c->status = 200;
    c->ended = true;
    ds_put_cstr(&c->wire, "{\"kind\":\"List\",\"items\":[");
    for (key = first; key < N_KEYS && (!limit || n < limit); key++) {
        if (state[key]) {
            ds_put_cstr(&c->wire, n++ ? "," : "");
            put_object(&c->wire, key, s->writes[state[key]].revision, state[key]);
        }
    }
    ds_put_format(&c->wire, "],\"metadata\":{\"resourceVersion\":\"%d\"", revision);
    c->last_page = key == N_KEYS;
    if (!c->last_page) {
        ds_put_format(&c->wire, ",\"continue\":\"%d+/=&%d\"", revision, key);
    }
    ds_put_cstr(&c->wire, "}}\n");
}

static void
answer_list(struct world *w)
{
    struct server *s = &w->server;
    char *limit = get_parameter(w->c.request.path, "limit"), *token = get_parameter(w->c.request.path, "continue");
    int revision = s->revision, first = 0;

    if (token && sscanf(token, "%d+/=&%d", &revision, &first) != 2) {
        sim_fail(w->h, "%s: a token that was not given", w->c.request.path);
    } else if (token && (s->tokens_expire || revision < s->compacted)) {
        put_status(&w->c, 410, "Expired", "");
    } else if (revision > s->revision) {
        put_status(&w->c, 500, "InternalError", "");
    } else {
        if (!token) {
            s->list_revision = revision;
        }
        answer_page(w, revision, first, limit ? MIN(atoi(limit), PAGE) : 0);
    }
    free(limit);
    free(token);
}

static void
answer_watch(struct world *w)
{
    struct connection *c = &w->c;
    char *version = get_parameter(c->request.path, "resourceVersion"),
        *bookmarks = get_parameter(c->request.path, "allowWatchBookmarks");
    int revision = version ? atoi(version) : 0;

    SIM_CHECK(w->h, revision && bookmarks, "%s: a watch from nowhere", c->request.path);
    if (revision < w->server.compacted) {
        if (!w->server.errors_are_events && sim_chance(w->h, 50)) {
            put_status(c, 410, "Expired", "");
        } else {
            c->status = 200;
            c->ended = c->expired = true;
            ds_put_cstr(&c->wire, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410"
                                  ",\"reason\":\"Gone\"}}\n");
        }
    } else if (revision > w->server.revision && sim_chance(w->h, 30)) {
        put_status(c, 504, "Timeout", "\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]");
    } else {
        c->status = 200;
        c->watching = true;
        c->watch_revision = revision;
        c->ended = w->server.short_watches;
    }
    free(version);
    free(bookmarks);
}

/* An answer that the request did not deserve; false: none. */
static bool
answer_badly(struct world *w)
{
    struct connection *c = &w->c;

    if (!w->faults || sim_chance(w->h, 75)) {
        return false;
    }
    c->retry_after_ms = sim_chance(w->h, 30) ? (int) (1000 * sim_below(w->h, 40)) : -1;
    switch (sim_below(w->h, 6)) {
    case 0:
        put_status(c, 429, "TooManyRequests", "\"retryAfterSeconds\":1");
        break;
    case 1:
        put_status(c, 503, "ServiceUnavailable", "");
        break;
    case 2:
        put_status(c, sim_chance(w->h, 50) ? 401 : 403, "Unauthorized", "");
        break;
    case 3:
        c->status = 404;
        ds_put_cstr(&c->wire, "<html>no such page</html>");
        break;
    case 4:
        c->status = 200;
        ds_put_cstr(&c->wire, "<html>welcome</html>");
        break;
    case 5:
        put_status(c, 500, "InternalError", "");
    }
    c->ended = c->failed = true;
    return true;
}

static void
answer(struct world *w)
{
    struct connection *c = &w->c;

    c->phase = ANSWERED;
    c->restored = w->server.restored;
    c->last_byte = c->last_sent = w->now;
    c->retry_after_ms = -1;
    if (answer_badly(w)) {
        /* Done. */
    } else if (w->server.absent) {
        if (sim_chance(w->h, 50)) {
            put_status(c, 404, "NotFound", "");
        } else {
            c->status = 404;
            c->ended = true;
            ds_put_cstr(&c->wire, "404 page not found\n");
        }
    } else if (c->request.type == REFLECTOR_WATCH) {
        answer_watch(w);
    } else {
        answer_list(w);
    }
    sim_log(w->h, "  the server answers %d", c->status);
}

/* What has happened since goes to the watch. */
static void
send_events(struct world *w)
{
    struct connection *c = &w->c;
    struct server *s = &w->server;

    if (c->phase != ANSWERED || !c->watching || c->ended) {
        return;
    }
    while (c->watch_revision < s->revision) {
        const struct event *e = &s->events[++c->watch_revision];
        put_event(&c->wire, e->type, e->key, c->watch_revision, e->write);
        c->last_sent = w->now;
    }
    if (w->now - c->last_sent >= BOOKMARK_MS || sim_chance(w->h, 3)) {
        ds_put_format(&c->wire, "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"%d\"}}}\n",
                      s->revision);
        c->last_sent = w->now;
    }
}

/* The wire --------------------------------------------------------------------------------------------------------- */

/* How soon the next request may follow the one in 'c' that has just ended. */
static long long int
least_pause(struct world *w, const struct connection *c, bool failed, bool advanced)
{
    long long int lasted = w->now - c->started;
    unsigned int *n = c->request.type == REFLECTOR_WATCH ? &w->failed_watches : &w->failed_lists;

    if (c->status == 404 && !c->failed && !failed) {
        w->failed_lists = 0;
        return REFLECTOR_ABSENT_MS / 2;
    } else if (c->request.type == REFLECTOR_WATCH) {
        if (advanced || c->alive || lasted >= REFLECTOR_BACKOFF_MAX_MS) {
            *n = 0;
            w->kicked = false;
        }
        if (!failed && !c->failed && !c->expired && (advanced || lasted >= 1000)) {
            *n = 0;
            w->kicked = false;
            return 0;
        }
    } else if (!failed && !c->failed) {
        *n = c->request.type == REFLECTOR_PROBE || c->last_page ? 0 : *n;
        return 0;
    }
    ++*n;
    long long int backoff = MIN(REFLECTOR_BACKOFF_MAX_MS / 2, REFLECTOR_BACKOFF_MIN_MS / 2 << MIN(*n, 10));
    return MAX(backoff, c->head_delivered ? c->retry_after_ms : 0);
}

static void
end_connection(struct world *w, int code, const char *why)
{
    struct connection c = w->c;
    struct error error = ERROR_INIT;

    if (c.phase == IDLE) {
        return;
    }
    sim_log(w->h, "  done: %s", code ? why : "complete");
    memset(&w->c, 0, sizeof w->c);
    if (code) {
        error_set(&error, code, "%s", why);
    }
    reflector_done(w->reflector, code ? &error : NULL, w->now);
    error_clear(&error);

    const char *version = reflector_resource_version(w->reflector);
    char *before = get_parameter(c.request.path, "resourceVersion");
    bool advanced = version && before && strcmp(version, before);
    free(before);
    w->not_before = w->now + least_pause(w, &c, code != 0, advanced);
    if (!code && !c.failed && !c.expired && c.request.type != REFLECTOR_WATCH && c.restored == w->server.restored) {
        w->server.branch = INT_MAX;             /* It has noticed. */
        w->server.hidden = false;
    }
    ds_destroy(&c.wire);
    free(c.request.path);
}

/* Sends the next request if the reflector wants it. */
static void
pump(struct world *w)
{
    struct reflector_request request;

    if (!reflector_next(w->reflector, w->now, &request)) {
        return;
    }
    sim_log(w->h, "  %lld ms: GET %s", w->now, request.path);
    if (w->c.phase != IDLE) {
        sim_fail(w->h, "two requests at once");
        free(request.path);
        return;
    }
    SIM_CHECK(w->h, reflector_next_time(w->reflector) == LLONG_MAX, "another request wanted while one is under way");
    SIM_CHECK(w->h, w->now >= w->not_before, "%s %lld ms too soon", request.path, w->not_before - w->now);
    w->c = (struct connection) {
        .phase = SENT, .request = request, .started = w->now, .last_byte = w->now, .wire = DS_EMPTY_INITIALIZER
    };
    w->n_requests++;
    w->n_lists += request.type != REFLECTOR_WATCH;
    if (w->server.down) {
        end_connection(w, ECONNREFUSED, "connection refused");
    }
}

/* Up to 'n' bytes arrive; what is delayed is not lost. */
static void
deliver(struct world *w, size_t n)
{
    struct connection *c = &w->c;

    if (c->phase == SENT && !c->dead) {
        answer(w);
    }
    if (c->phase != ANSWERED || c->dead) {
        return;
    }
    if (!c->head_delivered) {
        c->head_delivered = true;
        if (c->watching && !w->server.hidden) {
            w->server.branch = INT_MAX;         /* It had to look before it watched. */
        }
        c->last_byte = w->now;
        reflector_head(w->reflector, c->status, c->retry_after_ms, w->now);
    }
    n = MIN(n, c->wire.length - c->delivered);
    if (n) {
        char *piece = xmemdup(c->wire.string + c->delivered, n);
        bool more = reflector_body(w->reflector, piece, n, w->now);
        free(piece);
        c->delivered += n;
        c->last_byte = w->now;
        if (!more) {
            end_connection(w, ECANCELED, "the reflector has had enough");
            return;
        }
        c->alive |= c->request.type == REFLECTOR_WATCH && c->status == 200 && w->now - c->started >= 1000;
    }
    if (c->ended && c->delivered == c->wire.length) {
        end_connection(w, 0, NULL);
    }
}

/* When something happens by itself. */
static long long int
next_deadline(const struct world *w)
{
    const struct connection *c = &w->c;
    long long int at = reflector_next_time(w->reflector);

    if (c->phase != IDLE && c->request.idle_timeout_ms) {
        at = MIN(at, c->last_byte + c->request.idle_timeout_ms);
    }
    if (c->phase != IDLE && c->request.timeout_ms) {
        at = MIN(at, c->started + c->request.timeout_ms);
    }
    return at;
}

static void
pass_time(struct world *w, long long int ms)
{
    struct connection *c = &w->c;

    w->now += ms;
    if (c->phase != IDLE
        && ((c->request.idle_timeout_ms && w->now >= c->last_byte + c->request.idle_timeout_ms)
            || (c->request.timeout_ms && w->now >= c->started + c->request.timeout_ms))) {
        end_connection(w, ETIMEDOUT, "timed out");
    }
}

/* Histories -------------------------------------------------------------------------------------------------------- */

static void
restore(struct world *w)
{
    struct server *s = &w->server;
    int back = sim_below(w->h, MIN(12, s->revision - s->compacted + 1));

    s->revision -= back;
    s->branch = MIN(s->branch, s->revision);
    s->restored++;
    s->compacted = sim_chance(w->h, 50) ? s->revision : s->compacted;
    sim_log(w->h, "the server is restored to version %d", s->revision);
}

static void
go_down(struct world *w)
{
    sim_log(w->h, "the server goes down");
    w->server.down = true;
    end_connection(w, ECONNRESET, "connection reset");
}

static void
toggle_absent(struct world *w)
{
    struct server *s = &w->server;

    if (!s->absent) {
        for (int key = 0; key < N_KEYS; key++) {
            write_object(w, key, true);
        }
        send_events(w);
        w->c.ended |= w->c.watching;
    }
    s->absent = !s->absent;
    sim_log(w->h, "the collection is %s", s->absent ? "gone" : "back");
}

/* The server ends a watch as it should, and is restored before the next one comes. */
static void
restore_between_watches(struct world *w)
{
    struct connection *c = &w->c;

    if (c->watching && !c->ended && c->delivered == c->wire.length && !c->dead && !w->server.down) {
        c->ended = true;
        restore(w);
        w->server.hidden = true;
        deliver(w, 0);
    }
}

/* Somebody believes that the server is back. */
static void
kick(struct world *w)
{
    if (w->c.phase == IDLE && reflector_next_time(w->reflector) > w->now
        && (!w->kicked || reflector_unauthorized(w->reflector))) {
        w->kicked = true;
        w->not_before = 0;
    }
    reflector_kick(w->reflector, w->now);
}

static void
fault(struct world *w)
{
    struct server *s = &w->server;

    switch (sim_below(w->h, 11)) {
    case 0:
    case 1:
        end_connection(w, sim_chance(w->h, 50) ? ECONNRESET : EPROTO, "the connection broke off");
        break;
    case 2:
        if (w->c.phase != IDLE && !w->c.dead) {
            sim_log(w->h, "the peer falls silent");
            w->c.dead = true;
        }
        break;
    case 3:
        go_down(w);
        break;
    case 4:
        go_down(w);
        restore(w);
        break;
    case 5:
        s->down = false;
        break;
    case 6:
        s->compacted = s->revision - MIN(s->revision - s->compacted, (int) sim_below(w->h, 4));
        sim_log(w->h, "compacted up to %d", s->compacted);
        break;
    case 7:
        if (sim_chance(w->h, 40) || s->absent) {
            toggle_absent(w);
        }
        break;
    case 8:
        w->c.ended |= w->c.watching;
        break;
    case 9:
        kick(w);
        break;
    case 10:
        restore_between_watches(w);
        break;
    }
}

static void
step(struct world *w)
{
    uint32_t dice = sim_below(w->h, 100);

    if (dice < 25) {
        write_object(w, sim_below(w->h, N_KEYS), sim_chance(w->h, 35));
    } else if (dice < 60) {
        deliver(w, sim_chance(w->h, 50) ? SIZE_MAX : sim_below(w->h, 400));
    } else if (dice < 78) {
        long long int wait = next_deadline(w) - w->now;
        pass_time(w, sim_chance(w->h, 70) && wait > 0 && wait < 700000 ? wait : sim_below(w->h, 5000));
    } else if (dice < 90) {
        fault(w);
    } else {
        w->server.down = false;
    }
    send_events(w);
    pump(w);
}

/* At rest: a watch that is alive and told all it has to tell, or the collection is known to be absent. */
static bool
is_at_rest(const struct world *w, long long int since)
{
    const struct connection *c = &w->c;

    if (w->server.absent) {
        return reflector_absent(w->reflector) && w->now - since >= 4 * REFLECTOR_ABSENT_MS;
    }
    return c->watching && !c->ended && !c->dead && c->delivered == c->wire.length
        && c->watch_revision == w->server.revision
           && w->consumer.synced && !w->consumer.listing && w->now - MAX(since, c->started) >= BOOKMARK_MS + 10000;
}

static void
check_copy(struct world *w)
{
    const struct server *s = &w->server;

    for (int key = 0; key < N_KEYS; key++) {
        int there = s->absent ? 0 : s->state[s->revision][key];
        SIM_CHECK(w->h, w->consumer.copy[key] == there, "at rest k%d is write %d, but the server has %d", key,
                  w->consumer.copy[key], there);
    }
    SIM_CHECK(w->h, reflector_synced(w->reflector), "not in sync at rest");
    SIM_CHECK(w->h, s->absent == reflector_absent(w->reflector), "absent or not?");
    SIM_CHECK(w->h, !reflector_problem(w->reflector), "a problem at rest: %s", reflector_problem(w->reflector));
    SIM_CHECK(w->h, !reflector_unauthorized(w->reflector), "unauthorized at rest");
}

/* Without faults the copy is complete within minutes, and then there is hardly any traffic. */
static void
come_to_rest(struct world *w)
{
    long long int begin = w->now;

    sim_log(w->h, "from here on all is well");
    w->faults = w->server.down = w->server.short_watches = false;
    for (int i = 0; !is_at_rest(w, begin); i++) {
        if (i > 1000 || w->now - begin > MOST_UNREST_MS) {
            sim_fail(w->h, "does not come to rest");
            return;
        }
        if (sim_failed(w->h)) {
            return;
        }
        deliver(w, SIZE_MAX);
        long long int wait = next_deadline(w) - w->now;
        pass_time(w, MIN(10000, MAX(0, wait)));
        send_events(w);
        pump(w);
    }
    check_copy(w);
    int requests = w->n_requests, lists = w->n_lists;
    for (long long int end = w->now + 600 * 1000; w->now < end && !sim_failed(w->h);) {
        deliver(w, SIZE_MAX);
        if (w->c.watching && w->now - w->c.started >= REFLECTOR_WATCH_MIN_S * 1000) {
            w->c.ended = true;
        }
        pass_time(w, MIN(10000, MAX(0, next_deadline(w) - w->now)));
        send_events(w);
        pump(w);
    }
    SIM_CHECK(w->h, w->server.absent || (lists == w->n_lists && w->n_requests - requests <= 3),
              "%d requests, %d of them lists, at rest", w->n_requests - requests, w->n_lists - lists);
    check_copy(w);
}

static void
history(struct sim_history *h)
{
    struct world *w = xzalloc(sizeof *w);

    reflector_bug = h->bug;
    w->h = h;
    w->now = 1000;
    w->faults = true;
    w->server.branch = INT_MAX;
    w->server.revision = w->server.compacted = 1 + sim_below(h, 110);
    w->server.tokens_expire = sim_chance(h, 10);
    w->server.short_watches = sim_chance(h, 10);
    w->server.errors_are_events = sim_chance(h, 10);
    w->reflector = reflector_create(BASE, sim_chance(h, 30) ? "labelSelector=a%3Db" : NULL, h->seed, &ops, w);
    for (int i = sim_below(h, 8); i > 0; i--) {
        write_object(w, sim_below(h, N_KEYS), false);
    }
    for (int i = 0; i < N_STEPS && !sim_failed(h); i++) {
        step(w);
    }
    if (!sim_failed(h)) {
        come_to_rest(w);
    }
    reflector_destroy(w->reflector);
    ds_destroy(&w->c.wire);
    free(w->c.request.path);
    free(w);
}

int
main(int argc, char *argv[])
{
    static const char *const bugs[] = {
        "always-pages", "blind-probe", "compare-strings", "first-page-only", "follow-back", "gone-again",
        "ignore-expired", "ignore-expired-event", "kick-always", "no-backoff", "no-idle-timeout", "no-probe",
        "no-retry-after", "old-version", "resume-list", "spin", NULL,
    };
    return sim_main(argc, argv, &(struct sim) { "reflector", history, bugs });
}

