#ifndef SLUICE_NODE_REPORT_CORE_H
#define SLUICE_NODE_REPORT_CORE_H 1

/* The decisions behind node-report.h, without I/O and clock: what is to be told to the cluster goes in with its time,
 * requests come out, and their answers go in again.
 *
 * 'now' is in milliseconds of a monotonic clock, 'wall' in milliseconds since 1970.  'jitter' is any random number.
 * Each core has at most one request under way.
 *
 * struct node_condition   The Node's condition NetworkUnavailable.  What the Node says is read before anything is
 *     written, and again when it is not known any more: after a failure, when the Node is another one (uid), when the
 *     server is back, and now and then.  It is written when it is not what it should be.  "Not ready" is written at
 *     once, the rest is bounded in rate.
 * struct node_events      Events.  The same about the same object counts up (one object in the API), each object has a
 *     budget, and there is one for all.  What cannot be written now is kept, within a bound, and written when it can
 *     be. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"

struct kube_object;

#define NODE_REPORT_BACKOFF_MIN_MS 1000
#define NODE_REPORT_BACKOFF_MAX_MS 60000

/* A request to send.  Owned by whoever asked for it. */
struct node_report_request {
    const char *method;                 /* "GET", "POST", "PATCH". */
    char *path;
    const char *content_type;           /* NULL: none. */
    json_t *body;                       /* NULL: none. */
};
void node_report_request_clear(struct node_report_request *);

/* What came back: status 0 and 'error', or an HTTP status and perhaps JSON. */
struct node_report_answer {
    int status;
    long long int retry_after_ms;       /* -1: not said. */
    const json_t *json;
    const struct error *error;
};

/* Condition ------------------------------------------------------------------------------------------------------ */

#define NODE_CONDITION_READY_MS 1000    /* From the last write to one that says "ready". */
#define NODE_CONDITION_TEXT_MS 10000    /* From the last write to one that only changes reason or message. */
#define NODE_CONDITION_VERIFY_MS 600000 /* The Node is read again, in case somebody else wrote. */

struct node_condition;
struct node_condition *node_condition_create(const char *node);
void node_condition_destroy(struct node_condition *);
/* As node_report_condition(). */
void node_condition_want(struct node_condition *, const char *node_uid, const char *why_not, long long int now);
/* The server is back: do not wait, and do not believe what was read. */
void node_condition_kick(struct node_condition *, long long int now);
bool node_condition_next(struct node_condition *, long long int now, long long int wall, struct node_report_request *);
long long int node_condition_next_time(const struct node_condition *);         /* LLONG_MAX: when something happens. */
void node_condition_answer(struct node_condition *, const struct node_report_answer *, long long int now,
                           uint32_t jitter);
const char *node_condition_problem(const struct node_condition *);             /* NULL: none. */

/* The condition's reason for 'why_not', CamelCase; docs/kubernetes.md lists them. */
const char *node_condition_reason(const char *why_not);

/* Events --------------------------------------------------------------------------------------------------------- */

#define NODE_EVENTS_MAX 1024            /* Different events that are remembered. */
#define NODE_EVENTS_OBJECT_BURST 25     /* Writes about one object, as client-go's EventSourceObjectSpamFilter ... */
#define NODE_EVENTS_OBJECT_MS 300000    /* ... one more each. */
#define NODE_EVENTS_BURST 50            /* Writes about all objects ... */
#define NODE_EVENTS_MS 1000             /* ... one more each. */
#define NODE_EVENTS_REPEAT_MS 10000     /* From one write of the same event to the next. */
#define NODE_EVENTS_MAX_MESSAGE 1024    /* Bytes. */

struct node_events;
struct node_events *node_events_create(const char *node);
void node_events_destroy(struct node_events *);
/* As node_report_event(). */
void node_events_add(struct node_events *, const struct kube_object *, bool warning, const char *reason,
                     const char *message, long long int wall);
void node_events_kick(struct node_events *, long long int now);
bool node_events_next(struct node_events *, long long int now, struct node_report_request *);
/* When to ask again; not before node_events_next() has said no. */
long long int node_events_next_time(const struct node_events *);
void node_events_answer(struct node_events *, const struct node_report_answer *, long long int now, uint32_t jitter);
const char *node_events_problem(const struct node_events *);
/* Events that were forgotten unwritten, because there were too many or the server did not take them. */
uint64_t node_events_n_dropped(const struct node_events *);

/* For both ------------------------------------------------------------------------------------------------------- */

/* After a failure: when to try again.  '*delay' grows; 0: no failure yet. */
long long int node_report_backoff(long long int *delay, const struct node_report_answer *, long long int now,
                                  uint32_t jitter);
/* "PATCH /api/v1/...: 403: nodes \"a\" is forbidden: ..." */
char *node_report_describe(const char *method, const char *path, const struct node_report_answer *);
/* RFC 3339, in whole seconds. */
json_t *node_report_time(long long int wall);
/* At most 'max' bytes of 's', as a JSON string whatever 's' is. */
json_t *node_report_text(const char *s, size_t max);

#endif /* controller/node-report-core.h */
