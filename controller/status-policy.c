#include <config.h>

#include "controller/status.h"

#include <string.h>

#include "controller/dataplane-private.h"
#include "controller/node-report-core.h"
#include "controller/policy-name.h"
#include "controller/policy-status.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* Policies whose flows the switch refuses, by their names, with its answer. */

struct refusals {
    const struct dataplane *dp;
    struct shash by_policy;
    json_t *others;                     /* Flows that are not one policy's: strings.  NULL: they are not asked for. */
    const char *why;
    bool found;
};

static void
note_refusal(const struct policy_rule_ref *rule, void *refusals_)
{
    struct refusals *refusals = refusals_;
    char *name = policy_object_name(rule->object);

    if (!shash_find(&refusals->by_policy, name)) {
        shash_add(&refusals->by_policy, name, xstrdup(refusals->why));
    }
    refusals->found = true;
    free(name);
}

static void
find_refusal(const struct flow_entry *flow, const char *why, void *refusals_)
{
    struct refusals *refusals = refusals_;

    refusals->why = why;
    refusals->found = false;
    policy_rules_of_cookie(refusals->dp->policy, flow->cookie, note_refusal, refusals);
    if (!refusals->found && refusals->others) {
        json_array_append_new(refusals->others, json_sprintf("policies: %s", why));
    }
}

static const char *
refusal_of(const struct refusals *refusals, const struct kube_object *object)
{
    if (shash_is_empty(&refusals->by_policy)) {
        return NULL;
    }
    char *name = policy_object_name(object);
    const char *why = shash_find_data(&refusals->by_policy, name);
    free(name);
    return why;
}

static void
refusals_init(struct refusals *refusals, const struct dataplane *dp, json_t *others)
{
    *refusals = (struct refusals) { .dp = dp, .others = others };
    shash_init(&refusals->by_policy);
    of_state_for_each_refused(ofctrl_state(dp->ofctrl), OWNER_POLICY, find_refusal, refusals);
}

/* The list of all. ----------------------------------------------------------------------------------------------- */

struct list {
    const struct dataplane *dp;
    uint64_t acked;
    struct refusals refusals;
    json_t **elements;
    size_t n, allocated;
};

static const char *
tier_of(const struct kube_object *object)
{
    return policy_tier_name(object->kind == KUBE_NETWORKPOLICY ? FLOW_TIER_POLICY
                            : kube_clusternetworkpolicy_cast(object)->tier == KUBE_TIER_ADMIN ? FLOW_TIER_ADMIN
                            : FLOW_TIER_BASELINE);
}

static void
put_policy(const struct policy_info *info, void *list_)
{
    struct list *list = list_;
    const struct kube_object *object = info->object;
    const char *refused = refusal_of(&list->refusals, object);
    const char *problem = refused ? refused : info->problem;
    long long int since;
    bool realized = policy_status_get(list->dp->policy_status, object, list->acked, &since) && !refused;

    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:{s:I, s:I}, s:b, s:s*}", "kind", kube_kind_name(object->kind),
                             "namespace", object->namespace_, "name", object->name, "tier", tier_of(object), "pods",
                             "ingress", (json_int_t) info->n_pods[FLOW_INGRESS], "egress",
                             (json_int_t) info->n_pods[FLOW_EGRESS], "realized", (int) realized, "problem", problem);
    if (object->kind == KUBE_CLUSTERNETWORKPOLICY) {
        json_object_set_new(json, "priority", json_integer(kube_clusternetworkpolicy_cast(object)->priority));
    }
    if (since) {
        json_object_set_new(json, "since", node_report_time(since));
    }
    if (list->n >= list->allocated) {
        list->elements = x2nrealloc(list->elements, &list->allocated, sizeof *list->elements);
    }
    list->elements[list->n++] = json;
}

static int
compare_member(const json_t *a, const json_t *b, const char *member)
{
    return strcmp(json_string_value(json_object_get(a, member)), json_string_value(json_object_get(b, member)));
}

static int
compare_policies(const void *a_, const void *b_)
{
    const json_t *a = *(json_t *const *) a_, *b = *(json_t *const *) b_;
    int cmp = compare_member(a, b, "kind");

    cmp = cmp ? cmp : compare_member(a, b, "namespace");
    return cmp ? cmp : compare_member(a, b, "name");
}

json_t *
status_policies(const struct dataplane *dp)
{
    struct list list = { .dp = dp, .acked = of_state_acked(ofctrl_state(dp->ofctrl)) };
    json_t *array = json_array();

    refusals_init(&list.refusals, dp, NULL);
    policy_for_each(dp->policy, put_policy, &list);
    if (list.n) {
        qsort(list.elements, list.n, sizeof *list.elements, compare_policies);
    }
    for (size_t i = 0; i < list.n; i++) {
        json_array_append_new(array, list.elements[i]);
    }
    free(list.elements);
    shash_destroy_free_data(&list.refusals.by_policy);
    return json_pack("{s:o}", "policies", array);
}

/* What is wrong. ------------------------------------------------------------------------------------------------- */

/* More than these are only counted. */
#define MAX_NAMED 50

struct problems {
    struct list list;
    json_t *named, *pending;
    size_t n_more, n_more_pending;
};

static void
add_problem(json_t *array, size_t *n_more, const struct kube_object *object, const char *why)
{
    if (json_array_size(array) < MAX_NAMED) {
        char *name = policy_object_name(object);
        json_array_append_new(array, json_sprintf("%s: %s", name, why));
        free(name);
    } else {
        ++*n_more;
    }
}

static void
put_policy_problem(const struct policy_info *info, void *problems_)
{
    struct problems *p = problems_;
    const char *refused = refusal_of(&p->list.refusals, info->object);
    long long int since;

    if (refused) {
        add_problem(p->named, &p->n_more, info->object, refused);
    }
    if (info->problem && !kube_object_problem(info->object)) {  /* The source names the others. */
        add_problem(p->named, &p->n_more, info->object, info->problem);
    }
    if (!policy_status_get(p->list.dp->policy_status, info->object, p->list.acked, &since)) {
        add_problem(p->pending, &p->n_more_pending, info->object, "not in place yet");
    }
}

static void
append_steal(json_t *to, json_t *from, size_t n_more, const char *what)
{
    json_array_extend(to, from);
    json_decref(from);
    if (n_more) {
        json_array_append_new(to, json_sprintf("policies: %"PRIuSIZE" more %s", n_more, what));
    }
}

void
status_put_policy_problems(const struct dataplane *dp, json_t *out)
{
    struct problems p = { .list = { .dp = dp, .acked = of_state_acked(ofctrl_state(dp->ofctrl)) },
                          .named = json_array(), .pending = json_array() };

    refusals_init(&p.list.refusals, dp, out);
    policy_for_each(dp->policy, put_policy_problem, &p);
    append_steal(out, p.named, p.n_more, "with a problem");
    append_steal(out, p.pending, p.n_more_pending, "not in place yet");
    shash_destroy_free_data(&p.list.refusals.by_policy);
}
