#include <config.h>

#include "utilities/sluicectl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "controller/policy-explain.h"
#include "json-get.h"
#include "openvswitch/dynamic-string.h"
#include "pipeline.h"
#include "timeval.h"
#include "util.h"
#include "utilities/ctl-client.h"
#include "utilities/trace-packet.h"
#include "utilities/trace-service.h"
#include "utilities/trace-who.h"

/* A batch looks at the node anew when its view is this old, or ten times as old as it took to get it. */
#define FRESH_MS 20
#define MAX_LINE (64 * 1024)

/* The connections, and what was learned over them. */
struct tracer {
    const char *rundir;
    struct ctl_client *sluiced, *vswitchd;
    bool has_facts;
    struct trace_facts facts;
    long long int fresh_until;          /* time_msec(). */
    struct who who;                     /* The names. */
    bool explain;                       /* Always; else only if it is a single question and a policy denied. */
    bool single;
};

/* One answer. */
struct result {
    struct trace_packet packet;
    struct trace trace;
    struct trace_service service;
    struct trace_verdict verdict;
    json_t *decisions;                  /* Of policies, as who_decided() tells them. */
    const json_t *decision;             /* The one behind the verdict; NULL: none. */
    json_t *explanation;                /* NULL: not wanted. */
};

/* Asking. -------------------------------------------------------------------------------------------------------- */

static int
ask_facts(struct tracer *t, struct error *error)
{
    static const char *const args[] = { "--json" };
    char *text = NULL;
    long long int start = time_msec();
    int code = ctl_client_ask(t->sluiced, "status", args, 1, &text, error);

    if (t->has_facts) {
        trace_facts_destroy(&t->facts);
        t->has_facts = false;
    }
    if (!code) {
        json_t *status = json_get_load(text, strlen(text), error);
        code = status ? trace_facts_parse(status, &t->facts, error) : EINVAL;
        json_decref(status);
    }
    t->has_facts = !code;
    t->fresh_until = time_msec() + MAX(FRESH_MS, 10 * (time_msec() - start));
    who_forget(&t->who);
    free(text);
    return code;
}

/* Connects where there is no connection, and looks at the node if the last look is too old. */
static int
prepare(struct tracer *t, struct error *error)
{
    int code = 0;

    if (!t->sluiced) {
        char *path = xasprintf("%s/sluiced.ctl", t->rundir);
        code = ctl_client_open(path, &t->sluiced, error);
        t->who.sluiced = t->sluiced;
        free(path);
    }
    if (!code && (!t->has_facts || time_msec() >= t->fresh_until)) {
        code = ask_facts(t, error);
    }
    if (!code && !t->vswitchd) {
        code = ctl_client_open_vswitchd(t->facts.ovs_rundir, &t->vswitchd, error);
    }
    return code;
}

/* What is wrong with a connection shows when it is used: the next question connects anew. */
static void
disconnect(struct tracer *t)
{
    ctl_client_close(t->sluiced);
    ctl_client_close(t->vswitchd);
    t->sluiced = t->vswitchd = t->who.sluiced = NULL;
    t->fresh_until = 0;
}

/* Neither the question nor a refusal: a daemon has gone. */
static bool
is_lost(int code)
{
    return code && code != EINVAL && code != ENOENT && code != EAGAIN && code != EREMOTE && code != EPROTO;
}

/* To a Service it is another packet, and perhaps one that would not meet br-int otherwise. */
static int
make_packet(struct tracer *t, const struct trace_question *q, struct result *r, struct error *error)
{
    int code = trace_packet_make(&t->facts, q, false, &r->packet, error);

    if (!code || code == EREMOTE) {
        trace_service_find(&t->who, q, &r->packet, &r->service);
        if (r->service.door) {
            trace_packet_destroy(&r->packet);
            error_clear(error);
            code = trace_packet_make(&t->facts, q, true, &r->packet, error);
        }
    }
    return code;
}

static int
ask_once(struct tracer *t, const struct trace_question *q, struct result *r, char **text, struct error *error)
{
    int code = prepare(t, error);

    code = code ? code : make_packet(t, q, r, error);
    if (!code && r->packet.flow) {
        /* Behind a group the packet has been translated, which Open vSwitch tells the tables only if it is told. */
        bool forwards = r->service.door && !strcmp(json_string_value(json_object_get(r->service.door, "action")), "forward");
        const char *const args[] = { t->facts.bridge, r->packet.flow, "--ct-next", "trk,new,dnat" };
        code = ctl_client_ask(t->vswitchd, "ofproto/trace", args, forwards ? 4 : 2, text, error);
    }
    return code;
}

/* Which policies decided, and why, if that is to be told. */
static void
name_decisions(struct tracer *t, const struct trace_question *q, struct result *r)
{
    struct trace_verdict *v = &r->verdict;
    const struct trace_decision *behind = trace_verdict_decision(v);

    r->decisions = json_array();
    for (size_t i = 0; i < v->n_decisions; i++) {
        json_t *json = who_decided(&t->who, &v->decisions[i]);
        json_array_append_new(r->decisions, json);
        if (&v->decisions[i] == behind) {
            r->decision = json;
        }
    }
    if (r->decision && !v->allowed) {
        free(v->text);
        v->text = who_decided_text(r->decision);
    }
    bool explain = t->explain || (t->single && r->decision && !v->allowed);
    r->explanation = explain ? who_explains(&t->who, q, &r->packet) : NULL;
}

/* What the answer means.  A Service's packet is judged as it is behind the group. */
static void
judge(struct tracer *t, const struct trace_question *q, struct result *r)
{
    struct trace_question behind = *q;

    trace_service_choose(&r->trace, &r->service);
    trace_service_translate(&t->facts, &r->service, &behind, &r->packet);
    trace_verdict_make(&t->facts, &r->packet, &r->trace, &r->verdict);
    const struct trace_step *step = r->verdict.step;
    if (r->service.door && !r->service.chosen && step && step->table_id == TABLE_SERVICE) {
        free(r->verdict.text);
        r->verdict.text = trace_service_text(&r->service);
    }
    name_decisions(t, &behind, r);
}

static const char *
verdict_name(const struct result *r)
{
    return r->verdict.allowed ? "allowed" : trace_service_refuses(&r->service) ? "refused" : "denied";
}

static int
answer(struct tracer *t, const struct trace_question *q, struct result *r, struct error *error)
{
    char *text = NULL;

    memset(r, 0, sizeof *r);
    bool connected = t->sluiced && t->vswitchd;
    int code = ask_once(t, q, r, &text, error);
    if (is_lost(code)) {
        disconnect(t);
        trace_packet_destroy(&r->packet);
        trace_service_destroy(&r->service);
        if (connected) {                /* It may have been started anew. */
            error_clear(error);
            code = ask_once(t, q, r, &text, error);
        }
    }
    if (!code) {
        trace_parse(text ? text : "", text ? strlen(text) : 0, &r->trace);
        judge(t, q, r);
    }
    free(text);
    return code;
}

static void
result_destroy(struct result *r)
{
    trace_packet_destroy(&r->packet);
    trace_service_destroy(&r->service);
    trace_destroy(&r->trace);
    trace_verdict_destroy(&r->verdict);
    json_decref(r->decisions);
    json_decref(r->explanation);
}

/* The owner of a step's flow; NULL: nobody that sluiced knows. */
static const char *
owner_of(struct tracer *t, const struct trace_step *step)
{
    return step->matched ? who_owns(&t->who, step->cookie) : NULL;
}

/* Output. -------------------------------------------------------------------------------------------------------- */

static json_t *
step_to_json(struct tracer *t, const struct trace_step *step)
{
    bool ours = !strcmp(step->bridge, t->facts.bridge);
    json_t *actions = json_array(), *warnings = json_array();
    const char *text;
    size_t i;

    SVEC_FOR_EACH (i, text, &step->actions) {
        json_array_append_new(actions, json_string(text));
    }
    SVEC_FOR_EACH (i, text, &step->warnings) {
        json_array_append_new(warnings, json_string(text));
    }
    json_t *json = json_pack("{s:s, s:i, s:s*, s:s, s:o, s:o, s:s*, s:s*}", "bridge", step->bridge, "table",
                             (int) step->table_id, "name", ours ? pipeline_table_name(step->table_id) : NULL, "match",
                             step->match, "actions", actions, "warnings", warnings, "owner",
                             ours ? owner_of(t, step) : NULL, "text",
                             ours ? pipeline_priority_text(step->table_id, step->priority) : NULL);
    if (step->matched) {
        json_object_set_new(json, "priority", json_integer(step->priority));
    }
    if (step->larger) {
        json_object_set_new(json, "larger", json_true());
    }
    return json;
}

static json_t *
path_to_json(struct tracer *t, const struct trace *trace)
{
    json_t *path = json_array();
    for (size_t i = 0; i < trace->n_steps; i++) {
        json_array_append_new(path, step_to_json(t, &trace->steps[i]));
    }
    return path;
}

static void
put_decisions(const struct result *r, json_t *json)
{
    static const char *const members[] = { "direction", "tier", "policy", "rule" };

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        json_t *value = json_object_get(r->decision, members[i]);
        json_object_set(json, members[i], value ? value : json_null());
    }
    trace_service_put(&r->service, json);
    json_object_set(json, "decisions", r->decisions);
    if (r->explanation) {
        json_object_set(json, "explanation", r->explanation);
    }
}

/* The members that INTERFACES promises; those of policies are null if none decided, "endpoint" if none was chosen. */
static void
put_result(struct tracer *t, const struct result *r, bool with_path, json_t *json)
{
    const struct trace_verdict *v = &r->verdict;
    char src[INET_ADDR_STRLEN], dst[INET_ADDR_STRLEN];

    json_object_set_new(json, "verdict", json_string(verdict_name(r)));
    put_decisions(r, json);
    json_object_set_new(json, "reason", json_string(v->text));
    json_object_set_new(json, "node", json_string(t->facts.node));
    json_object_set_new(json, "next", v->next ? json_string(v->next) : json_null());
    json_object_set_new(json, "source", json_string(inet_addr_format(&r->packet.src, src)));
    json_object_set_new(json, "destination", json_string(inet_addr_format(&r->packet.dst, dst)));
    if (v->step) {
        const char *name = pipeline_table_name(v->step->table_id);
        const char *owner = owner_of(t, v->step);
        json_object_set_new(json, "table", name ? json_string(name) : json_integer(v->step->table_id));
        json_object_set_new(json, "owner", owner ? json_string(owner) : json_null());
    }
    if (with_path) {
        json_object_set_new(json, "packet", r->packet.flow ? json_string(r->packet.flow) : json_null());
        json_object_set_new(json, "path", path_to_json(t, &r->trace));
    }
}

static void
print_step(struct tracer *t, const struct trace_step *step)
{
    bool ours = !strcmp(step->bridge, t->facts.bridge);
    const char *name = ours ? pipeline_table_name(step->table_id) : step->bridge;
    const char *owner = ours ? owner_of(t, step) : NULL;
    const char *text = ours && step->matched ? pipeline_priority_text(step->table_id, step->priority) : NULL;
    size_t i;

    if (step->larger) {
        printf("%21s(if it is larger: %s)\n", "", text ? text : step->match);
        return;
    }
    printf("%3d %-17s%-32s %s\n", step->table_id, name ? name : "?", owner ? owner : ours ? "nobody" : "-",
           text ? text : !step->matched ? "no flow matches" : step->actions.n ? step->actions.names[0] : "");
    if (step->matched && *step->match) {
        printf("%21s%s\n", "", step->match);
    }
    SVEC_FOR_EACH (i, text, &step->warnings) {
        printf("%21swarning: %s\n", "", text);
    }
}

/* What was told of a direction, and a word if the objects say something else than the switch. */
static void
print_explanation(const struct result *r, const char *direction, const char *verdict)
{
    const json_t *e = json_object_get(r->explanation, direction);
    const char *told = json_string_value(json_object_get(e, "verdict"));
    struct ds s = DS_EMPTY_INITIALIZER;

    policy_explain_format(e, &s);
    fputs(ds_cstr(&s), stdout);
    ds_destroy(&s);
    if (told && verdict && strcmp(told, verdict) && !json_object_get(e, "tie")) {
        printf("  warning: by its objects it is %s: \"sluicectl policies\" says what is not realised\n", told);
    }
}

/* Of a denial only the direction that denied is explained, unless both are asked for. */
static void
print_decisions(const struct tracer *t, const struct result *r)
{
    static const char *const directions[] = { "egress", "ingress" };
    const char *behind = json_string_value(json_object_get(r->decision, "direction"));
    const json_t *judged[ARRAY_SIZE(directions)] = { NULL };
    json_t *decision;
    size_t i;

    json_array_foreach (r->decisions, i, decision) {
        char *text = who_decided_text(decision);
        const char *direction = json_string_value(json_object_get(decision, "direction"));

        judged[!strcmp(direction, "ingress")] = decision;
        printf("%s\n", text);
        free(text);
    }
    for (i = 0; r->explanation && i < ARRAY_SIZE(directions); i++) {
        if (t->explain || !strcmp(directions[i], behind)) {
            print_explanation(r, directions[i], json_string_value(json_object_get(judged[i], "verdict")));
        }
    }
}

static void
print_result(struct tracer *t, const struct trace_question *q, const struct result *r)
{
    const struct trace_verdict *v = &r->verdict;

    if (r->packet.flow) {
        printf("packet: %s\n", r->packet.flow);
    }
    for (size_t i = 0; i < r->trace.n_steps; i++) {
        print_step(t, &r->trace.steps[i]);
    }
    if (r->service.chosen) {
        char *text = trace_service_text(&r->service);
        printf("%s\n", text);
        free(text);
    }
    print_decisions(t, r);
    printf("%s: %s\n", verdict_name(r), v->text);
    if (v->next) {
        char *to = r->service.chosen ? trace_service_endpoint(&r->service) : xstrdup(q->to);
        printf("It goes on there: ask node %s, trace --from %s --to %s\n", v->next, q->from, to);
        free(to);
    }
}

/* One question. -------------------------------------------------------------------------------------------------- */

static int
trace_one(struct tracer *t, const struct trace_options *o)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct result result;
    int code = answer(t, &o->question, &result, &error);
    int status = code ? (code == EINVAL || !t->sluiced ? EXIT_USAGE : EXIT_REFUSED)
                 : result.verdict.allowed ? 0 : EXIT_REFUSED;

    if (code) {
        fprintf(stderr, "sluicectl: trace: %s\n", error_message(&error));
    } else if (o->json) {
        json_t *json = json_pack("{s:s, s:s, s:s}", "from", o->question.from, "to", o->question.to, "protocol",
                                 o->question.protocol);
        put_result(t, &result, true, json);
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        print_result(t, &o->question, &result);
    }
    result_destroy(&result);
    return status;
}

/* Many. ---------------------------------------------------------------------------------------------------------- */

/* Checks and takes one line's question; the strings are those of 'json' and are freed with 'texts'. */
static int
take_question(const json_t *json, struct trace_question *q, char *texts[4], struct error *error)
{
    static const char *const names[] = { "from", "to", "protocol", "source" };
    int code = json_is_object(json) ? 0 : error_set(error, EINVAL, "the line is no JSON object");

    for (size_t i = 0; i < ARRAY_SIZE(names) && !code; i++) {
        code = json_get_string(json, names[i], 1024, &texts[i], error);
    }
    code = code ? code : json_get_int(json, "port", 1, UINT16_MAX, &q->port, error);
    code = code ? code : json_get_int(json, "sport", 1, UINT16_MAX, &q->sport, error);
    code = code ? code : json_get_int(json, "family", 4, 6, &q->family, error);
    if (!code && (!texts[0] || !texts[1] || q->family == 5)) {
        code = error_set(error, EINVAL, "%s", q->family == 5 ? "family is 4 or 6" : "from and to must be there");
    }
    q->from = texts[0];
    q->to = texts[1];
    q->protocol = texts[2] ? texts[2] : q->port ? "tcp" : "icmp";
    q->source = texts[3];
    return code;
}

static void
answer_line(struct tracer *t, const char *line, size_t n)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct trace_question q = { .port = 0 };
    char *texts[4] = { NULL };
    struct result result;
    json_t *json = json_get_load(line, n, &error);
    int code = json ? take_question(json, &q, texts, &error) : EINVAL;

    if (!json_is_object(json)) {
        json_decref(json);
        json = json_object();
    }
    if (!code) {
        code = answer(t, &q, &result, &error);
        if (!code) {
            put_result(t, &result, false, json);
        }
        result_destroy(&result);
    }
    if (code) {
        json_object_set_new(json, "verdict", json_null());
        json_object_set_new(json, "error", json_string(error_message(&error)));
    }
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(json);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        free(texts[i]);
    }
}

static int
trace_batch(struct tracer *t, const char *path)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
    char *line = NULL;
    size_t allocated = 0;
    ssize_t n;

    if (!file) {
        fprintf(stderr, "sluicectl: trace: %s: %s\n", path, ovs_strerror(errno));
        return EXIT_USAGE;
    }
    while ((n = getline(&line, &allocated, file)) >= 0 && n <= MAX_LINE) {
        while (n && strchr("\r\n ", line[n - 1])) {
            n--;
        }
        if (n) {
            answer_line(t, line, n);
        }
    }
    int status = n > MAX_LINE ? EXIT_USAGE : t->sluiced ? 0 : EXIT_USAGE;
    if (n > MAX_LINE) {
        fprintf(stderr, "sluicectl: trace: a line of %s is longer than %d bytes\n", path, MAX_LINE);
    }
    free(line);
    if (file != stdin) {
        fclose(file);
    }
    return status;
}

int
trace_verb(const struct trace_options *o)
{
    struct tracer t = { .rundir = o->rundir, .explain = o->explain, .single = !o->batch,
                        .who = WHO_INITIALIZER(&t.who) };
    int status = o->batch ? trace_batch(&t, o->batch) : trace_one(&t, o);

    disconnect(&t);
    if (t.has_facts) {
        trace_facts_destroy(&t.facts);
    }
    who_destroy(&t.who);
    return status;
}
