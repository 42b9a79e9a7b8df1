#include <config.h>

#include "controller/dataplane-private.h"

#include <limits.h>
#include <string.h>

#include "controller/policy-name.h"
#include "controller/services.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
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

/* Policies that are not understood. ------------------------------------------------------------------------------ */

struct policy_problems {
    struct dataplane *dp;
    struct shash now;
};

static void
report_policy(const struct policy_info *info, void *problems_)
{
    struct policy_problems *problems = problems_;
    const struct kube_object *object = info->object;
    struct dataplane *dp = problems->dp;

    if (!info->problem || (!info->n_pods[FLOW_EGRESS] && !info->n_pods[FLOW_INGRESS])) {
        return;                         /* Of those of other pods other nodes tell. */
    }
    char *name = policy_object_name(object), uid[KUBE_UID_STRLEN];
    const char *told = shash_find_data(&dp->policies_reported, name);
    if (!told || strcmp(told, info->problem)) {
        char *message = xasprintf("%s; what is not understood allows nothing", info->problem);
        dataplane_report_(dp, object->kind, object->namespace_, object->name, kube_uid_format(&object->uid, uid),
                          "PolicyNotUnderstood", message);
        free(message);
    }
    shash_add_nocopy(&problems->now, name, xstrdup(info->problem));
}

void
dataplane_report_policies_(struct dataplane *dp)
{
    struct policy_problems problems = { .dp = dp };

    if (time_msec() < dp->policies_report_at) {
        return;
    }
    dp->policies_report_at = LLONG_MAX;
    shash_init(&problems.now);
    policy_for_each(dp->policy, report_policy, &problems);
    shash_swap(&problems.now, &dp->policies_reported);
    shash_destroy_free_data(&problems.now);
}

void
dataplane_report_wait_(struct dataplane *dp)
{
    if (dp->policies_report_at != LLONG_MAX) {
        poll_timer_wait_until(dp->policies_report_at);
    }
}

/* Flows that the switch refuses. --------------------------------------------------------------------------------- */

/* An owner is "Pod/NAMESPACE/NAME/IFNAME", or of the node. */
static void
report_refused(const char *owner, const char *why, void *dp_)
{
    struct dataplane *dp = dp_;

    if (!strcmp(owner, OWNER_POLICY) || !strcmp(owner, OWNER_SERVICE)) {
        return;                         /* Told of the objects. */
    }
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

struct policy_refusal {
    struct dataplane *dp;
    const char *why;
    bool told;
};

static void
report_refused_rule(const struct policy_rule_ref *rule, void *refusal_)
{
    struct policy_refusal *refusal = refusal_;
    const struct kube_object *object = rule->object;
    char *message = xasprintf("Open vSwitch refuses a flow of %s[%"PRIuSIZE"]: %s", policy_direction_name(rule->direction),
                              rule->index, refusal->why);

    dataplane_report_(refusal->dp, object->kind, object->namespace_, object->name, NULL, "FlowsRefused", message);
    refusal->told = true;
    free(message);
}

/* Of the policies with this rule, or else (a flow that several rules share) of the node. */
static void
report_refused_policy(const struct flow_entry *flow, const char *why, void *dp)
{
    struct policy_refusal refusal = { .dp = dp, .why = why };

    policy_rules_of_cookie(refusal.dp->policy, flow->cookie, report_refused_rule, &refusal);
    if (!refusal.told) {
        char *message = xasprintf("Open vSwitch refuses a flow of policies: %s", why);
        dataplane_report_node_(dp, "FlowsRefused", message);
        free(message);
    }
}

static void
report_refused_service(const struct flow_entry *flow, const char *why, void *dp_)
{
    struct dataplane *dp = dp_;
    const char *port = NULL;
    const struct kube_service *service = services_of_cookie(dataplane_services_(dp), flow->cookie, &port);
    char *message = xasprintf("Open vSwitch refuses a flow of %s%s: %s", service ? "port " : "Services",
                              !service ? "" : port ? port : "without a name", why);

    if (service) {
        dataplane_report_(dp, KUBE_SERVICE, service->object.namespace_, service->object.name, NULL, "FlowsRefused", message);
    } else {
        dataplane_report_node_(dp, "FlowsRefused", message);
    }
    free(message);
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
        of_state_for_each_refused(of, OWNER_POLICY, report_refused_policy, dp);
        of_state_for_each_refused(of, OWNER_SERVICE, report_refused_service, dp);
    }
}
