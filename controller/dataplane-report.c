#include <config.h>

#include "controller/dataplane-private.h"

#include <string.h>

#include "util.h"

#define MAX_REPORTS 256

void
dataplane_report_(struct dataplane *dp, enum kube_kind kind, const char *namespace_, const char *name, const char *uid,
                  const char *reason, const char *message)
{
    const struct kube_object *object = uid ? NULL : store_get(dp->store, kind, namespace_, name);
    char buf[KUBE_UID_STRLEN];

    uid = uid ? uid : object ? kube_uid_format(&object->uid, buf) : "";
    if (dp->n_reports < MAX_REPORTS) {
        struct dataplane_report *report = xmalloc(sizeof *report);

        *report = (struct dataplane_report) {
            .kind = kind, .namespace_ = xstrdup(namespace_), .name = xstrdup(name), .uid = xstrdup(uid),
            .reason = reason, .message = xstrdup(message),
        };
        ovs_list_push_back(&dp->reports, &report->node);
        dp->n_reports++;
    }
}

void
dataplane_report_node_(struct dataplane *dp, const char *reason, const char *message)
{
    dataplane_report_(dp, KUBE_NODE, "", dp->config->node, NULL, reason, message);
}

struct dataplane_report *
dataplane_pop_report(struct dataplane *dp)
{
    if (ovs_list_is_empty(&dp->reports)) {
        return NULL;
    }
    dp->n_reports--;
    return CONTAINER_OF(ovs_list_pop_front(&dp->reports), struct dataplane_report, node);
}

void
dataplane_report_destroy(struct dataplane_report *report)
{
    if (report) {
        free(report->namespace_);
        free(report->name);
        free(report->uid);
        free(report->message);
        free(report);
    }
}

/* Flows that the switch refuses. --------------------------------------------------------------------------------- */

/* An owner is "Pod/NAMESPACE/NAME/IFNAME", or of the node. */
static void
report_refused(const char *owner, const char *why, void *dp_)
{
    struct dataplane *dp = dp_;
    char *copy = xstrdup(owner), *save = NULL;
    const char *kind = strtok_r(copy, "/", &save), *namespace_ = strtok_r(NULL, "/", &save);
    const char *name = namespace_ ? strtok_r(NULL, "/", &save) : NULL;
    char *message = xasprintf("Open vSwitch refuses a flow of %s: %s", owner, why);

    if (name && !strcmp(kind, "Pod")) {
        dataplane_report_(dp, KUBE_POD, namespace_, name, NULL, "FlowsRefused", message);
    } else {
        dataplane_report_node_(dp, "FlowsRefused", message);
    }
    free(message);
    free(copy);
}

void
dataplane_report_refused_(struct dataplane *dp)
{
    const struct of_state *of = ofctrl_state(dp->ofctrl);
    struct of_state_stats stats;

    of_state_get_stats(of, &stats);
    if (stats.n_quarantined != dp->refused_seen) {
        dp->refused_seen = stats.n_quarantined;
        of_state_for_each_failed(of, report_refused, dp);
    }
}
