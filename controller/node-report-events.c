#include <config.h>

#include "controller/node-report-core.h"

#include <limits.h>
#include <string.h>

#include "controller/kube-types.h"
#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "util.h"

#define MAX_REFUSALS 5

/* Tokens that come back one each 'period', up to 'burst'. */
struct bucket {
    int tokens, burst;
    long long int period;
    long long int since;        /* When the last one came back. */
};

/* An object's budget; as long as there is an event about it. */
struct subject {
    struct hmap_node node;      /* In 'subjects'. */
    char *key;
    size_t n_events;
    struct bucket bucket;
};

/* One event: the same reason and message about the same object. */
struct event {
    struct hmap_node node;      /* In 'events'. */
    struct ovs_list list;       /* In 'waiting' or 'idle', the oldest first. */
    struct subject *subject;

    enum kube_kind kind;        /* What it is about. */
    char *namespace_, *object, *uid;
    bool warning;
    char *reason;
    json_t *message;

    char *name;                 /* Of the Event in the API; NULL: it has none yet. */
    bool created;               /* It is there. */
    bool maybe_created;         /* It was sent, and the answer did not come. */
    long long int first, last;  /* Wall clock. */
    unsigned int count;
    unsigned int written;       /* 'count' that the API has. */
    unsigned int sent;          /* 'count' of the request that is under way. */
    long long int not_before;
    int n_refusals;             /* One after the other. */
};

struct node_events {
    char *node;
    struct hmap events, subjects;
    struct ovs_list waiting;    /* count != written. */
    struct ovs_list idle;
    struct bucket bucket;
    struct event *under_way;
    char *method, *path;        /* Of the request under way. */
    unsigned int n_names;
    long long int delay, retry_at;
    long long int next_time;
    uint64_t n_dropped;
    char *problem;
};

/* Budgets -------------------------------------------------------------------------------------------------------- */

static struct bucket
bucket_init(int burst, long long int period)
{
    return (struct bucket) { burst, burst, period, 0 };
}

/* When there is a token. */
static long long int
bucket_time(struct bucket *b, long long int now)
{
    if (b->tokens < b->burst) {
        long long int n = MIN((now - b->since) / b->period, b->burst - b->tokens);
        b->tokens += n;
        b->since += n * b->period;
    }
    return b->tokens ? LLONG_MIN : b->since + b->period;
}

/* After bucket_time(). */
static void
bucket_take(struct bucket *b, long long int now)
{
    if (b->tokens == b->burst) {
        b->since = now;
    }
    b->tokens--;
}

static void
bucket_give(struct bucket *b)
{
    b->tokens += b->tokens < b->burst;
}

/* What is remembered --------------------------------------------------------------------------------------------- */

struct node_events *
node_events_create(const char *node)
{
    struct node_events *es = xzalloc(sizeof *es);
    es->node = xstrdup(node);
    hmap_init(&es->events);
    hmap_init(&es->subjects);
    ovs_list_init(&es->waiting);
    ovs_list_init(&es->idle);
    es->bucket = bucket_init(NODE_EVENTS_BURST, NODE_EVENTS_MS);
    es->next_time = LLONG_MAX;
    return es;
}

static void
event_destroy(struct node_events *es, struct event *e)
{
    struct subject *s = e->subject;

    hmap_remove(&es->events, &e->node);
    ovs_list_remove(&e->list);
    if (!--s->n_events) {
        hmap_remove(&es->subjects, &s->node);
        free(s->key);
        free(s);
    }
    free(e->namespace_);
    free(e->object);
    free(e->uid);
    free(e->reason);
    free(e->name);
    json_decref(e->message);
    free(e);
}

void
node_events_destroy(struct node_events *es)
{
    if (es) {
        struct event *e, *next;
        HMAP_FOR_EACH_SAFE (e, next, node, &es->events) {
            event_destroy(es, e);
        }
        hmap_destroy(&es->events);
        hmap_destroy(&es->subjects);
        free(es->node);
        free(es->method);
        free(es->path);
        free(es->problem);
        free(es);
    }
}

const char *
node_events_problem(const struct node_events *es)
{
    return es->problem;
}

uint64_t
node_events_n_dropped(const struct node_events *es)
{
    return es->n_dropped;
}

static struct subject *
get_subject(struct node_events *es, const struct kube_object *o)
{
    char uid[KUBE_UID_STRLEN];
    char *key = xasprintf("%d/%s/%s/%s", (int) o->kind, o->namespace_, o->name, kube_uid_format(&o->uid, uid));
    uint32_t hash = hash_string(key, 0);
    struct subject *s;

    HMAP_FOR_EACH_WITH_HASH (s, node, hash, &es->subjects) {
        if (!strcmp(s->key, key)) {
            free(key);
            return s;
        }
    }
    s = xzalloc(sizeof *s);
    s->key = key;
    s->bucket = bucket_init(NODE_EVENTS_OBJECT_BURST, NODE_EVENTS_OBJECT_MS);
    hmap_insert(&es->subjects, &s->node, hash);
    return s;
}

/* Makes room: the oldest that is written, else the oldest. */
static void
make_room(struct node_events *es)
{
    if (hmap_count(&es->events) < NODE_EVENTS_MAX) {
        return;
    }
    struct ovs_list *list = ovs_list_is_empty(&es->idle) ? &es->waiting : &es->idle;
    struct event *e;
    LIST_FOR_EACH (e, list, list) {
        if (e != es->under_way) {
            es->n_dropped += list == &es->waiting;
            event_destroy(es, e);
            return;
        }
    }
}

static struct event *
get_event(struct node_events *es, const struct kube_object *o, bool warning, const char *reason, const char *message_)
{
    json_t *message = node_report_text(message_, NODE_EVENTS_MAX_MESSAGE);
    struct subject *s = get_subject(es, o);
    uint32_t hash = hash_string(reason, hash_string(json_string_value(message), hash_pointer(s, warning)));
    struct event *e;

    HMAP_FOR_EACH_WITH_HASH (e, node, hash, &es->events) {
        if (e->subject == s && e->warning == warning && !strcmp(e->reason, reason) && json_equal(e->message, message)) {
            json_decref(message);
            return e;
        }
    }
    s->n_events++;
    make_room(es);
    e = xzalloc(sizeof *e);
    e->subject = s;
    e->kind = o->kind;
    e->namespace_ = xstrdup(o->namespace_);
    e->object = xstrdup(o->name);
    char uid[KUBE_UID_STRLEN];
    e->uid = xstrdup(kube_uid_format(&o->uid, uid));
    e->warning = warning;
    e->reason = xstrdup(reason);
    e->message = message;
    e->not_before = LLONG_MIN;
    hmap_insert(&es->events, &e->node, hash);
    ovs_list_push_back(&es->idle, &e->list);
    return e;
}

void
node_events_add(struct node_events *es, const struct kube_object *o, bool warning, const char *reason,
                const char *message, long long int wall)
{
    struct event *e = get_event(es, o, warning, reason, message);

    if (!e->count) {
        e->first = wall;
    }
    e->last = wall;
    if (e->count == e->written) {
        ovs_list_remove(&e->list);
        ovs_list_push_back(&es->waiting, &e->list);
    }
    e->count += e->count < INT_MAX;
    es->next_time = LLONG_MIN;
}

void
node_events_kick(struct node_events *es, long long int now)
{
    es->delay = 0;
    es->retry_at = now;
    es->next_time = LLONG_MIN;
}

/* Requests ------------------------------------------------------------------------------------------------------- */

static const char *
event_namespace(const struct event *e)
{
    return *e->namespace_ ? e->namespace_ : "default";
}

/* A name that nobody else takes: the object's, the time, and something of this node's. */
static void
set_name(struct node_events *es, struct event *e)
{
    free(e->name);
    e->name = xasprintf("%.200s.%llx%05x", e->object, e->first, (hash_string(es->node, 0) + es->n_names++) & 0xfffff);
}

static json_t *
make_event(const struct node_events *es, const struct event *e)
{
    json_t *object = json_pack("{ss ss ss}", "kind", kube_kind_name(e->kind), "apiVersion",
                                kube_kind_version(e->kind), "name", e->object);
    if (*e->namespace_) {
        json_object_set_new(object, "namespace", json_string(e->namespace_));
    }
    if (*e->uid) {
        json_object_set_new(object, "uid", json_string(e->uid));
    }
    return json_pack("{ss ss s{ss ss} so ss sO ss s{ss ss} so so si ss ss}", "apiVersion", "v1", "kind", "Event",
                     "metadata", "name", e->name, "namespace", event_namespace(e),
                     "involvedObject", object, "reason", e->reason, "message", e->message,
                     "type", e->warning ? "Warning" : "Normal", "source", "component", "sluiced", "host", es->node,
                     "firstTimestamp", node_report_time(e->first), "lastTimestamp", node_report_time(e->last),
                     "count", (int) e->count, "reportingComponent", "sluiced", "reportingInstance", es->node);
}

static void
make_request(struct node_events *es, struct event *e, struct node_report_request *rq)
{
    char *path = xasprintf("/api/v1/namespaces/%s/events", event_namespace(e));

    if (!e->created) {
        if (!e->name) {
            set_name(es, e);
        }
        *rq = (struct node_report_request) { "POST", path, "application/json", make_event(es, e) };
    } else {
        *rq = (struct node_report_request) {
            "PATCH", xasprintf("%s/%s", path, e->name), "application/strategic-merge-patch+json",
            json_pack("{si so}", "count", (int) e->count, "lastTimestamp", node_report_time(e->last))
        };
        free(path);
    }
}

long long int
node_events_next_time(const struct node_events *es)
{
    return es->under_way ? LLONG_MAX : es->next_time;
}

/* The first that may be written now; else NULL, and 'next_time' is set. */
static struct event *
pick(struct node_events *es, long long int now)
{
    long long int not_before = MAX(es->retry_at, bucket_time(&es->bucket, now));
    struct event *e;

    es->next_time = LLONG_MAX;
    LIST_FOR_EACH (e, list, &es->waiting) {
        long long int when = MAX(MAX(not_before, e->not_before), bucket_time(&e->subject->bucket, now));
        if (when <= now) {
            es->next_time = LLONG_MIN;
            return e;
        }
        es->next_time = MIN(es->next_time, when);
    }
    return NULL;
}

bool
node_events_next(struct node_events *es, long long int now, struct node_report_request *rq)
{
    struct event *e = now >= node_events_next_time(es) ? pick(es, now) : NULL;

    if (!e) {
        return false;
    }
    bucket_take(&es->bucket, now);
    bucket_take(&e->subject->bucket, now);
    make_request(es, e, rq);
    es->under_way = e;
    es->path = xstrdup(rq->path);
    es->method = xstrdup(rq->method);
    e->sent = e->count;
    e->not_before = now + NODE_EVENTS_REPEAT_MS;
    return true;
}

/* Answers -------------------------------------------------------------------------------------------------------- */

static void
set_written(struct node_events *es, struct event *e)
{
    e->written = e->sent;
    e->n_refusals = 0;
    ovs_list_remove(&e->list);
    ovs_list_push_back(e->count == e->written ? &es->idle : &es->waiting, &e->list);
}

static void
set_problem(struct node_events *es, char *problem)
{
    free(es->problem);
    es->problem = problem;
}

/* The server did not judge it: again later, and it costs nothing. */
static void
retry(struct node_events *es, struct event *e, const struct node_report_answer *answer, long long int now,
      uint32_t jitter)
{
    es->retry_at = node_report_backoff(&es->delay, answer, now, jitter);
    e->not_before = LLONG_MIN;
    e->maybe_created |= !answer->status || answer->status >= 500;
    bucket_give(&es->bucket);
    bucket_give(&e->subject->bucket);
    set_problem(es, node_report_describe(es->method, es->path, answer));
}

/* Events are kept for an hour, and others may delete them; a name may be taken. */
static void
rename_event(struct event *e)
{
    free(e->name);
    e->name = NULL;
    e->created = e->maybe_created = false;
    e->not_before = LLONG_MIN;
}

/* An API server that starts refuses everything until it has read the roles.  A namespace that goes takes nothing more. */
static bool
may_be_taken_later(const struct node_report_answer *answer, int n_refusals)
{
    const json_t *causes = json_object_get(json_object_get(answer->json, "details"), "causes");
    const json_t *cause;
    size_t i;

    json_array_foreach (causes, i, cause) {
        const char *reason = json_string_value(json_object_get(cause, "reason"));
        if (reason && !strcmp(reason, "NamespaceTerminating")) {
            return false;
        }
    }
    return answer->status == 403 && n_refusals < MAX_REFUSALS;
}

static void
refused(struct node_events *es, struct event *e, const struct node_report_answer *answer, long long int now,
        uint32_t jitter)
{
    set_problem(es, node_report_describe(es->method, es->path, answer));
    if (may_be_taken_later(answer, ++e->n_refusals)) {
        long long int delay = NODE_REPORT_BACKOFF_MIN_MS << e->n_refusals;
        e->not_before = node_report_backoff(&delay, answer, now, jitter);
    } else {
        es->n_dropped++;
        set_written(es, e);
    }
}

static bool
is_worth_retrying(int status)
{
    return !status || status == 401 || status == 408 || status == 429 || status >= 500;
}

void
node_events_answer(struct node_events *es, const struct node_report_answer *answer, long long int now, uint32_t jitter)
{
    struct event *e = es->under_way;

    es->under_way = NULL;
    es->next_time = LLONG_MIN;
    if (answer->status / 100 == 2) {
        e->created = true;
        set_written(es, e);
        es->delay = 0;
        set_problem(es, NULL);
    } else if (is_worth_retrying(answer->status)) {
        retry(es, e, answer, now, jitter);
    } else if (!e->created && answer->status == 409 && e->maybe_created) {
        e->created = true;
        e->not_before = LLONG_MIN;
    } else if (answer->status == (e->created ? 404 : 409)) {
        rename_event(e);
    } else {
        refused(es, e, answer, now, jitter);
    }
    free(es->method);
    free(es->path);
    es->method = es->path = NULL;
}
