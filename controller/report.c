#include <config.h>

#include "controller/report.h"

#include <limits.h>

#include "controller/dataplane.h"
#include "controller/kube-decode.h"
#include "controller/node-report.h"
#include "controller/store.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

struct report {
    char *node;
    const struct store *store;
    struct dataplane *dataplane;
    struct node_report *node_report;    /* NULL: nobody to tell. */
    bool was_ready;
    long long int grace_until;          /* time_msec(); LLONG_MAX: the source is not synced. */
};

struct report *
report_create(struct kube_client *client, const char *node, const struct store *store, struct dataplane *dataplane)
{
    struct report *report = xmalloc(sizeof *report);

    *report = (struct report) {
        .node = xstrdup(node), .store = store, .dataplane = dataplane, .grace_until = LLONG_MAX,
        .node_report = client ? node_report_create(client, node) : NULL,
    };
    return report;
}

void
report_destroy(struct report *report)
{
    if (report) {
        node_report_destroy(report->node_report);
        free(report->node);
        free(report);
    }
}

static void
run_condition(struct report *report, bool source_synced)
{
    const struct kube_object *node = store_get(report->store, KUBE_NODE, "", report->node);
    const char *why = dataplane_not_ready(report->dataplane, NULL);

    if (source_synced && report->grace_until == LLONG_MAX) {
        report->grace_until = time_msec() + REPORT_GRACE_MS;
    }
    report->was_ready = report->was_ready || !why;
    bool known = report->was_ready || time_msec() >= report->grace_until;
    char uid[KUBE_UID_STRLEN];
    node_report_condition(report->node_report, node && known ? kube_uid_format(&node->uid, uid) : NULL, why);
}

static void
run_events(struct report *report)
{
    struct dataplane_report *r;

    while ((r = dataplane_pop_report(report->dataplane))) {
        if (report->node_report) {
            struct kube_object object = { .kind = r->kind, .namespace_ = r->namespace_, .name = r->name };

            kube_uid_parse(r->uid, &object.uid);
            node_report_event(report->node_report, &object, true, r->reason, r->message);
            kube_uid_clear(&object.uid);
        }
        dataplane_report_destroy(r);
    }
}

void
report_run(struct report *report, bool source_synced)
{
    run_events(report);
    if (report->node_report) {
        run_condition(report, source_synced);
        node_report_run(report->node_report);
    }
}

void
report_wait(struct report *report)
{
    if (report->node_report) {
        if (!report->was_ready && report->grace_until != LLONG_MAX && time_msec() < report->grace_until) {
            poll_timer_wait_until(report->grace_until);
        }
        node_report_wait(report->node_report);
    }
}

const char *
report_problem(const struct report *report)
{
    return report->node_report ? node_report_problem(report->node_report) : NULL;
}
