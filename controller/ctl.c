#include <config.h>

#include "controller/ctl.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audit.h"
#include "controller/ctl-policy.h"
#include "controller/ctl-service.h"
#include "controller/dataplane-private.h"
#include "controller/status-text.h"
#include "controller/status.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "pipeline.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

/* A deferred "wait". */
struct waiting {
    struct ovs_list node;
    struct unixctl_conn *conn;
    bool realized;
    long long int deadline;             /* time_msec(). */
};

struct ctl {
    struct dataplane *dp;
    const struct source *source;
    const struct report *report;
    struct ovs_list waiting;
};

/* Output. -------------------------------------------------------------------------------------------------------- */

/* Answers as large as this leave holes in the heap, which are then given back. */
#define LARGE_ANSWER (1024 * 1024)

static bool
wants_json(int argc, const char *argv[])
{
    return argc > 1 && !strcmp(argv[1], "--json");
}

/* Replies with 'json' (which it drops) as it is, or as text made by 'format'. */
static void
reply_steal(struct unixctl_conn *conn, int argc, const char *argv[], json_t *json,
            void (*format)(const json_t *, struct ds *))
{
    char *text;
    size_t size;

    if (wants_json(argc, argv)) {
        text = json_dumps(json, JSON_INDENT(2));
        size = strlen(text);
    } else {
        struct ds s = DS_EMPTY_INITIALIZER;
        format(json, &s);
        size = s.length;
        text = ds_steal_cstr(&s);
    }
    json_decref(json);
    unixctl_command_reply(conn, text);
    free(text);
    if (size >= LARGE_ANSWER) {
        malloc_trim(0);
    }
}

/* Commands. ------------------------------------------------------------------------------------------------------ */

static void
ctl_status(struct unixctl_conn *conn, int argc, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    reply_steal(conn, argc, argv, status_get(ctl->dp, ctl->source, ctl->report, wants_json(argc, argv)),
                status_format_status);
}

static void
ctl_pods(struct unixctl_conn *conn, int argc, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    reply_steal(conn, argc, argv, status_pods(ctl->dp), status_format_pods);
}

static void
ctl_nodes(struct unixctl_conn *conn, int argc, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    reply_steal(conn, argc, argv, status_nodes(ctl->dp), status_format_nodes);
}

static void
ctl_policies(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[] OVS_UNUSED, void *ctl_)
{
    static const char *const json[] = { "", "--json" };
    struct ctl *ctl = ctl_;
    reply_steal(conn, ARRAY_SIZE(json), CONST_CAST(const char **, json), status_policies(ctl->dp), NULL);
}

static void
ctl_domains(struct unixctl_conn *conn, int argc, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    reply_steal(conn, argc, argv, dataplane_domain_list_(ctl->dp), status_format_domains);
}

static void
ctl_ipam_repair(struct unixctl_conn *conn, int argc, const char *argv[], struct ctl *ctl)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    json_t *report;

    if (audit_repair(ctl->dp, &report, &error)) {
        json_decref(report);
        unixctl_command_reply_error(conn, error_message(&error));
    } else {
        reply_steal(conn, argc, argv, report, status_format_check);
    }
}

static void
ctl_ipam(struct unixctl_conn *conn, int argc, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    const char *last = argc > 1 ? argv[argc - 1] : "";

    if (!strcmp(last, "check")) {
        reply_steal(conn, argc, argv, audit_check(ctl->dp), status_format_check);
    } else if (!strcmp(last, "repair")) {
        ctl_ipam_repair(conn, argc, argv, ctl);
    } else if (*last && strcmp(last, "--json")) {
        unixctl_command_reply_error(conn, "ipam: the subcommands are check and repair");
    } else {
        reply_steal(conn, argc, argv, status_ipam(ctl->dp), status_format_ipam);
    }
}

static void
ctl_wait_for(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    long long int ms = atoll(argv[2]);

    if ((strcmp(argv[1], "ready") && strcmp(argv[1], "realized")) || ms < 0) {
        unixctl_command_reply_error(conn, "wait ready|realized MILLISECONDS");
        return;
    }
    struct waiting *w = xmalloc(sizeof *w);
    w->conn = conn;
    w->realized = !strcmp(argv[1], "realized");
    w->deadline = time_msec() + MIN(ms, 24 * 3600 * 1000);
    ovs_list_push_back(&ctl->waiting, &w->node);
}

/* Flows. --------------------------------------------------------------------------------------------------------- */

struct found {
    const struct flow_entry *flow;
    char *owner;
};

struct flow_query {
    int table;                          /* -1: all. */
    const char *object;                 /* NULL: all; else an owner, or its beginning up to a '/'. */
    const struct dataplane *dp;
    struct found *found;
    size_t n, allocated;
};

static bool
owner_matches(const char *owner, const char *object)
{
    size_t n = strlen(object);
    return owner && !strncasecmp(owner, object, n) && (!owner[n] || owner[n] == '/');
}

static void
collect_flow(const struct flow_entry *flow, const char *owner, void *query_)
{
    struct flow_query *query = query_;

    if (query->table >= 0 && query->table != flow->table_id) {
        return;
    }
    /* All Services are one owner: the cookie tells which it is. */
    char *service = owner && strcmp(owner, OWNER_SERVICE) ? NULL : ctl_service_owner(query->dp, flow->cookie);
    const char *whose = service ? service : owner;
    if (query->object && !owner_matches(whose, query->object) && !owner_matches(owner, query->object)) {
        free(service);
        return;
    }
    if (query->n >= query->allocated) {
        query->found = x2nrealloc(query->found, &query->allocated, sizeof *query->found);
    }
    query->found[query->n++] = (struct found) { flow, service ? service : nullable_xstrdup(owner) };
}

static int
compare_found(const void *a_, const void *b_)
{
    const struct found *a = a_, *b = b_;
    return flow_entry_compare(a->flow, b->flow);
}

static json_t *
flows_to_json(const struct flow_query *query)
{
    json_t *array = json_array();
    for (size_t i = 0; i < query->n; i++) {
        struct ds s = DS_EMPTY_INITIALIZER;
        flow_entry_format(query->found[i].flow, true, &s);
        json_array_append_new(array, json_pack("{s:i, s:i, s:s, s:s*}", "table", (int) query->found[i].flow->table_id,
                                               "priority", (int) query->found[i].flow->priority, "flow", ds_cstr(&s),
                                               "owner", query->found[i].owner));
        ds_destroy(&s);
    }
    return array;
}

static void
format_flows(const json_t *flows, struct ds *s)
{
    size_t i;
    json_t *flow;
    json_array_foreach (flows, i, flow) {
        const char *owner = json_string_value(json_object_get(flow, "owner"));
        ds_put_format(s, "%s  # %s\n", json_string_value(json_object_get(flow, "flow")), owner ? owner : "-");
    }
}

static int
table_from_text(const char *text)
{
    uint8_t table_id;
    int table;

    if (pipeline_table_from_name(text, &table_id)) {
        return table_id;
    }
    return str_to_int(text, 10, &table) && table >= 0 && table < 255 ? table : -1;
}

static void
ctl_flows(struct unixctl_conn *conn, int argc, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    struct flow_query query = { .table = -1, .dp = ctl->dp };

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--object") && i + 1 < argc) {
            query.object = argv[++i];
        } else if (strcmp(argv[i], "--json")) {
            query.table = table_from_text(argv[i]);
            if (query.table < 0) {
                unixctl_command_reply_error(conn, "flows: no such table");
                return;
            }
        }
    }
    of_state_for_each_installed(ofctrl_state(ctl->dp->ofctrl), collect_flow, &query);
    if (query.n) {
        qsort(query.found, query.n, sizeof *query.found, compare_found);
    }
    reply_steal(conn, argc, argv, flows_to_json(&query), format_flows);
    for (size_t i = 0; i < query.n; i++) {
        free(query.found[i].owner);
    }
    free(query.found);
}

static void
ctl_owner(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[], void *ctl_)
{
    struct ctl *ctl = ctl_;
    unsigned long long int cookie = 0;
    const char *owner = NULL;

    if (str_to_ullong(argv[1], 0, &cookie)) {
        owner = of_state_owner_from_cookie(ofctrl_state(ctl->dp->ofctrl), cookie);
    }
    char *other = owner ? NULL : ctl_service_owner(ctl->dp, cookie);
    other = owner || other ? other : ctl_policy_owner(ctl->dp, cookie);
    if (owner || other) {
        unixctl_command_reply(conn, owner ? owner : other);
        free(other);
    } else {
        unixctl_command_reply_error(conn, "owner: this cookie is nobody's");
    }
}

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct ctl *
ctl_create(struct dataplane *dp, const struct source *source, const struct report *report)
{
    struct ctl *ctl = xzalloc(sizeof *ctl);
    ctl->dp = dp;
    ctl->source = source;
    ctl->report = report;
    ovs_list_init(&ctl->waiting);
    unixctl_command_register("status", "[--json]", 0, 1, ctl_status, ctl);
    unixctl_command_register("pods", "[--json]", 0, 1, ctl_pods, ctl);
    unixctl_command_register("nodes", "[--json]", 0, 1, ctl_nodes, ctl);
    unixctl_command_register("domains", "[--json]", 0, 1, ctl_domains, ctl);
    unixctl_command_register("policy/list", "", 0, 0, ctl_policies, ctl);
    unixctl_command_register("ipam", "[--json] [check|repair]", 0, 2, ctl_ipam, ctl);
    unixctl_command_register("flows", "[--json] [TABLE] [--object OWNER]", 0, 4, ctl_flows, ctl);
    unixctl_command_register("owner", "COOKIE", 1, 1, ctl_owner, ctl);
    unixctl_command_register("wait", "ready|realized MILLISECONDS", 2, 2, ctl_wait_for, ctl);
    ctl_policy_register(dp);
    ctl_service_register(dp);
    return ctl;
}

void
ctl_destroy(struct ctl *ctl)
{
    if (ctl) {
        struct waiting *w;
        LIST_FOR_EACH_POP (w, node, &ctl->waiting) {
            unixctl_command_reply_error(w->conn, "sluiced stops");
            free(w);
        }
        free(ctl);
    }
}

void
ctl_run(struct ctl *ctl)
{
    struct waiting *w;
    LIST_FOR_EACH_SAFE (w, node, &ctl->waiting) {
        const char *why = dataplane_not_ready(ctl->dp, NULL);
        bool done = w->realized ? dataplane_realized(ctl->dp) : !why;

        if (done || time_msec() >= w->deadline) {
            if (done) {
                unixctl_command_reply(w->conn, w->realized ? "realized" : "ready");
            } else {
                unixctl_command_reply_error(w->conn, why ? why : "changes are still under way");
            }
            ovs_list_remove(&w->node);
            free(w);
        }
    }
}

void
ctl_wait(struct ctl *ctl)
{
    const struct waiting *w;
    LIST_FOR_EACH (w, node, &ctl->waiting) {
        poll_timer_wait_until(w->deadline);
    }
}
