#include <config.h>

#include "controller/node-report-core.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "util.h"

#define MAX_TEXT 1024

/* What a condition says. */
struct text {
    char *status;               /* "False": the network is there.  "True", "Unknown", ... or NULL: no such condition. */
    char *reason;
    char *message;
};

enum request { NO_REQUEST, GET_REQUEST, PATCH_REQUEST };

struct node_condition {
    char *path;                 /* Of the Node. */
    char *uid;                  /* NULL: there is no Node, and nothing to do. */
    char *why_not;              /* As it was given; NULL: ready. */
    struct text wanted;
    struct text known;          /* What the Node says, if 'verified'. */
    bool verified;

    enum request under_way;
    bool stale;                 /* The answer will be about another Node, or from before a kick. */
    struct text sent;

    long long int delay;        /* Of the last backoff. */
    long long int retry_at, verify_at, written_at;
    char *problem;
};

static void
text_clear(struct text *text)
{
    free(text->status);
    free(text->reason);
    free(text->message);
    *text = (struct text) { NULL, NULL, NULL };
}

static bool
text_equal(const struct text *a, const struct text *b)
{
    return nullable_string_is_equal(a->status, b->status) && nullable_string_is_equal(a->reason, b->reason)
           && nullable_string_is_equal(a->message, b->message);
}

struct node_condition *
node_condition_create(const char *node)
{
    struct node_condition *c = xzalloc(sizeof *c);
    c->path = xasprintf("/api/v1/nodes/%s", node);
    c->written_at = LLONG_MIN / 2;
    return c;
}

void
node_condition_destroy(struct node_condition *c)
{
    if (c) {
        text_clear(&c->wanted);
        text_clear(&c->known);
        text_clear(&c->sent);
        free(c->path);
        free(c->uid);
        free(c->why_not);
        free(c->problem);
        free(c);
    }
}

/* What is wanted ------------------------------------------------------------------------------------------------- */

const char *
node_condition_reason(const char *why_not)
{
    /* The first that fits. */
    static const struct {
        const char *word, *reason;
    } reasons[] = {
        { "journal", "JournalNotWritable" },
        { "host network", "HostNetworkNotReady" },
        { "podCIDR", "NoPodCIDR" },
        { "pod-cidrs", "NoPodCIDR" },
        { "uplink", "NoUplink" },
        { "InternalIP", "NoNodeAddress" },
        { "take the flows", "FlowsNotInstalled" },
        { "Open vSwitch", "OpenVSwitchNotReady" },
        { "ovs-vswitchd", "OpenVSwitchNotReady" },
        { "datapath", "DatapathUnavailable" },
        { "API server", "NotSynced" },
        { "https://", "NotSynced" },
        { "source", "NotSynced" },
        { "starting", "Starting" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if (strcasestr(why_not, reasons[i].word)) {
            return reasons[i].reason;
        }
    }
    return "SluiceNotReady";
}

static void
set_wanted(struct node_condition *c, const char *why_not)
{
    text_clear(&c->wanted);
    c->wanted.status = xstrdup(why_not ? "True" : "False");
    c->wanted.reason = xstrdup(why_not ? node_condition_reason(why_not) : "SluiceReady");
    json_t *message = node_report_text(why_not ? why_not : "The node's network is set up by Sluice", MAX_TEXT);
    c->wanted.message = xstrdup(json_string_value(message));
    json_decref(message);
}

/* What is known of the Node is not known any more. */
static void
forget(struct node_condition *c, long long int now)
{
    c->verified = false;
    c->stale = true;
    c->delay = 0;
    c->retry_at = now;
}

void
node_condition_want(struct node_condition *c, const char *uid, const char *why_not, long long int now)
{
    uid = uid && *uid ? uid : NULL;
    if (!nullable_string_is_equal(uid, c->uid)) {
        free(c->uid);
        c->uid = nullable_xstrdup(uid);
        forget(c, now);
    }
    if (!c->wanted.status || !nullable_string_is_equal(why_not, c->why_not)) {
        free(c->why_not);
        c->why_not = nullable_xstrdup(why_not);
        set_wanted(c, why_not);
    }
}

void
node_condition_kick(struct node_condition *c, long long int now)
{
    forget(c, now);
}

const char *
node_condition_problem(const struct node_condition *c)
{
    return c->problem;
}

/* Requests ------------------------------------------------------------------------------------------------------- */

/* When what is wanted may be written, given that it differs from what is known. */
static long long int
write_time(const struct node_condition *c)
{
    if (!nullable_string_is_equal(c->wanted.status, c->known.status)) {
        return c->why_not ? LLONG_MIN : c->written_at + NODE_CONDITION_READY_MS;
    }
    return c->written_at + NODE_CONDITION_TEXT_MS;
}

long long int
node_condition_next_time(const struct node_condition *c)
{
    if (c->under_way || !c->uid) {
        return LLONG_MAX;
    } else if (!c->verified) {
        return c->retry_at;
    } else if (text_equal(&c->wanted, &c->known)) {
        return c->verify_at;
    }
    return MAX(c->retry_at, MIN(write_time(c), c->verify_at));
}

/* lastTransitionTime stays as it is unless the status changes: a strategic merge patch keeps what it does not name.
 * The uid is a precondition, so that a Node that was made anew is not told about its predecessor. */
static json_t *
make_patch(const struct node_condition *c, long long int wall)
{
    json_t *condition = json_pack("{ss ss ss ss so}", "type", "NetworkUnavailable", "status", c->wanted.status,
                                  "reason", c->wanted.reason, "message", c->wanted.message,
                                  "lastHeartbeatTime", node_report_time(wall));
    if (!nullable_string_is_equal(c->wanted.status, c->known.status)) {
        json_object_set_new(condition, "lastTransitionTime", node_report_time(wall));
    }
    return json_pack("{s{ss} s{s[o]}}", "metadata", "uid", c->uid, "status", "conditions", condition);
}

bool
node_condition_next(struct node_condition *c, long long int now, long long int wall, struct node_report_request *rq)
{
    if (now < node_condition_next_time(c)) {
        return false;
    }
    c->stale = false;
    if (!c->verified || now >= c->verify_at) {
        c->under_way = GET_REQUEST;
        *rq = (struct node_report_request) { "GET", xstrdup(c->path), NULL, NULL };
        return true;
    }
    c->under_way = PATCH_REQUEST;
    c->written_at = now;
    text_clear(&c->sent);
    c->sent = (struct text) { xstrdup(c->wanted.status), xstrdup(c->wanted.reason), xstrdup(c->wanted.message) };
    *rq = (struct node_report_request) {
        "PATCH", xasprintf("%s/status", c->path), "application/strategic-merge-patch+json", make_patch(c, wall)
    };
    return true;
}

/* Answers -------------------------------------------------------------------------------------------------------- */

static void
take_node(struct node_condition *c, const json_t *node)
{
    const json_t *conditions = json_object_get(json_object_get(node, "status"), "conditions");
    const json_t *condition;
    size_t i;

    text_clear(&c->known);
    json_array_foreach (conditions, i, condition) {
        const char *type = json_string_value(json_object_get(condition, "type"));
        if (type && !strcmp(type, "NetworkUnavailable")) {
            c->known.status = nullable_xstrdup(json_string_value(json_object_get(condition, "status")));
            c->known.reason = nullable_xstrdup(json_string_value(json_object_get(condition, "reason")));
            c->known.message = nullable_xstrdup(json_string_value(json_object_get(condition, "message")));
            return;
        }
    }
}

static bool
is_our_node(const struct node_condition *c, const json_t *node)
{
    const char *uid = json_string_value(json_object_get(json_object_get(node, "metadata"), "uid"));
    return uid && !strcmp(uid, c->uid);
}

static void
failed(struct node_condition *c, enum request request, const struct node_report_answer *answer, long long int now,
       uint32_t jitter)
{
    bool ok = answer->status / 100 == 2;

    c->verified = false;
    c->retry_at = node_report_backoff(&c->delay, answer, now, jitter);
    free(c->problem);
    c->problem = ok ? xasprintf("GET %s: the API server has another Node of this name", c->path)
                    : node_report_describe(request == GET_REQUEST ? "GET" : "PATCH", c->path, answer);
}

void
node_condition_answer(struct node_condition *c, const struct node_report_answer *answer, long long int now,
                      uint32_t jitter)
{
    enum request request = c->under_way;

    c->under_way = NO_REQUEST;
    if (c->stale || !c->uid) {
        c->verified = false;
        return;
    } else if (answer->status / 100 != 2 || !is_our_node(c, answer->json)) {
        failed(c, request, answer, now, jitter);
        return;
    }
    /* Either answer is the Node as it is now. */
    take_node(c, answer->json);
    if (request == PATCH_REQUEST && !text_equal(&c->known, &c->sent)) {
        /* Somebody changed it on its way; not to fight about it without pause. */
        c->retry_at = node_report_backoff(&c->delay, answer, now, jitter);
    } else {
        c->delay = 0;
        c->retry_at = now;
    }
    c->verified = true;
    c->verify_at = now + NODE_CONDITION_VERIFY_MS + jitter % (NODE_CONDITION_VERIFY_MS / 10);
    free(c->problem);
    c->problem = NULL;
}
