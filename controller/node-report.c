#include <config.h>

#include "controller/node-report.h"

#include <limits.h>

#include "controller/node-report-core.h"
#include "kube-client.h"
#include "openvswitch/poll-loop.h"
#include "random.h"
#include "timeval.h"
#include "util.h"

struct node_report {
    struct kube_client *client;
    struct node_condition *condition;
    struct node_events *events;
    struct kube_call *condition_call, *events_call;     /* Under way, or NULL. */
    bool server_was_away;
};

struct node_report *
node_report_create(struct kube_client *client, const char *node)
{
    struct node_report *report = xzalloc(sizeof *report);
    report->client = client;
    report->condition = node_condition_create(node);
    report->events = node_events_create(node);
    return report;
}

void
node_report_destroy(struct node_report *report)
{
    if (report) {
        if (report->condition_call) {
            kube_call_cancel(report->condition_call);
        }
        if (report->events_call) {
            kube_call_cancel(report->events_call);
        }
        node_condition_destroy(report->condition);
        node_events_destroy(report->events);
        free(report);
    }
}

static void
condition_answered(void *report_, int status, long long int retry_after_ms, const json_t *json,
                   const struct error *error)
{
    struct node_report *report = report_;
    struct node_report_answer answer = { status, retry_after_ms, json, error };
    report->condition_call = NULL;
    node_condition_answer(report->condition, &answer, time_msec(), random_uint32());
}

static void
event_answered(void *report_, int status, long long int retry_after_ms, const json_t *json, const struct error *error)
{
    struct node_report *report = report_;
    struct node_report_answer answer = { status, retry_after_ms, json, error };
    report->events_call = NULL;
    node_events_answer(report->events, &answer, time_msec(), random_uint32());
}

static struct kube_call *
call(struct node_report *report, struct node_report_request *rq, kube_call_cb *cb)
{
    struct kube_call *started = kube_client_call(report->client, rq->method, rq->path, rq->content_type, rq->body, cb,
                                                 report);
    node_report_request_clear(rq);
    return started;
}

void
node_report_run(struct node_report *report)
{
    struct node_report_request rq;
    bool away = kube_client_problem(report->client) != NULL;
    long long int now = time_msec();

    if (report->server_was_away && !away) {
        node_condition_kick(report->condition, now);
        node_events_kick(report->events, now);
    }
    report->server_was_away = away;
    if (node_condition_next(report->condition, now, time_wall_msec(), &rq)) {
        report->condition_call = call(report, &rq, condition_answered);
    }
    if (node_events_next(report->events, now, &rq)) {
        report->events_call = call(report, &rq, event_answered);
    }
}

void
node_report_wait(struct node_report *report)
{
    long long int when = MIN(node_condition_next_time(report->condition), node_events_next_time(report->events));
    if (when != LLONG_MAX) {
        poll_timer_wait_until(when);
    }
}

void
node_report_condition(struct node_report *report, const char *node_uid, const char *why_not)
{
    node_condition_want(report->condition, node_uid, why_not, time_msec());
}

void
node_report_event(struct node_report *report, const struct kube_object *object, bool warning, const char *reason,
                  const char *message)
{
    node_events_add(report->events, object, warning, reason, message, time_wall_msec());
}

const char *
node_report_problem(const struct node_report *report)
{
    const char *problem = node_condition_problem(report->condition);
    return problem ? problem : node_events_problem(report->events);
}
