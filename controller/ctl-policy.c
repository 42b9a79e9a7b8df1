#include <config.h>

#include "controller/ctl-policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "controller/dataplane-private.h"
#include "controller/policy-explain.h"
#include "controller/policy.h"
#include "cookie.h"
#include "json-get.h"
#include "unixctl.h"
#include "util.h"

static void
reply_json(struct unixctl_conn *conn, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    unixctl_command_reply(conn, text);
    free(text);
    json_decref(json);
}

/* Rules. --------------------------------------------------------------------------------------------------------- */

struct rules {
    const struct policy *policy;
    const char *only;                   /* NULL: all policies. */
    uint64_t cookie;
    json_t *array;
};

static void
put_rule(const struct policy_rule_ref *ref, uint64_t cookie, void *rules_)
{
    struct rules *rules = rules_;
    json_t *json = json_object();

    json_object_set_new(json, "policy", json_steal_string(policy_object_name(ref->object)));
    json_object_set_new(json, "direction", json_string(policy_direction_name(ref->direction)));
    json_object_set_new(json, "tier", json_string(policy_tier_name(ref->tier)));
    json_object_set_new(json, "action", json_string(policy_action_name(ref->action)));
    json_object_set_new(json, "rule", json_steal_string(policy_rule_name(ref->direction, ref->index)));
    if (ref->name) {
        json_object_set_new(json, "name", json_string(ref->name));
    }
    json_object_set_new(json, "cookie", json_steal_string(xasprintf("0x%"PRIx64, cookie)));
    json_array_append_new(rules->array, json);
}

static void
put_rule_of_cookie(const struct policy_rule_ref *ref, void *rules_)
{
    struct rules *rules = rules_;
    put_rule(ref, rules->cookie, rules);
}

static void
put_policy(const struct policy_info *info, void *rules_)
{
    struct rules *rules = rules_;
    char *name = rules->only ? policy_object_name(info->object) : NULL;

    if (!name || !strcmp(name, rules->only)) {
        policy_for_each_rule(rules->policy, info->object, put_rule, rules);
    }
    free(name);
}

static void
ctl_rules(struct unixctl_conn *conn, int argc, const char *argv[], void *dp_)
{
    const struct dataplane *dp = dp_;
    struct rules rules = { .policy = dp->policy, .only = argc > 1 ? argv[1] : NULL, .array = json_array() };

    policy_for_each(dp->policy, put_policy, &rules);
    reply_json(conn, rules.array);
}

static void
ctl_cookie(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[], void *dp_)
{
    const struct dataplane *dp = dp_;
    struct rules rules = { .array = json_array() };
    unsigned long long int cookie;

    if (str_to_ullong(argv[1], 0, &cookie)) {
        rules.cookie = cookie;
        policy_rules_of_cookie(dp->policy, cookie, put_rule_of_cookie, &rules);
    }
    reply_json(conn, rules.array);
}

static void
name_first(const struct policy_rule_ref *ref, void *name_)
{
    char **name = name_;
    *name = *name ? *name : policy_object_name(ref->object);
}

char *
ctl_policy_owner(const struct dataplane *dp, uint64_t cookie)
{
    enum cookie_kind kind = cookie >> 56;
    char *name = NULL;

    if (kind == COOKIE_RULE) {
        policy_rules_of_cookie(dp->policy, cookie, name_first, &name);
    } else if (kind == COOKIE_ENDPOINT || kind == COOKIE_IDENTITY) {
        name = xstrdup(OWNER_POLICY);
    }
    return name;
}

/* Pods. ---------------------------------------------------------------------------------------------------------- */

/* "NAMESPACE/NAME", or NULL. */
static const struct kube_pod *
find_pod(const struct dataplane *dp, const char *text)
{
    const char *slash = strchr(text, '/');
    char *namespace_ = slash ? xmemdup0(text, slash - text) : NULL;
    const struct kube_object *object = slash ? store_get(dp->store, KUBE_POD, namespace_, slash + 1) : NULL;

    free(namespace_);
    return kube_pod_cast(object);
}

static void
put_object(const struct kube_object *object, void *array)
{
    json_array_append_new(array, json_steal_string(policy_object_name(object)));
}

static void
ctl_isolating(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[], void *dp_)
{
    const struct dataplane *dp = dp_;
    const struct kube_pod *pod = find_pod(dp, argv[1]);
    json_t *array = json_array();

    if (pod) {
        policy_explain_isolating(dp->store, pod, !strcmp(argv[2], "egress") ? FLOW_EGRESS : FLOW_INGRESS, put_object,
                                 array);
    }
    reply_json(conn, array);
}

/* Explanations. -------------------------------------------------------------------------------------------------- */

static json_t *
explain(const struct explain_question *q, enum flow_direction direction)
{
    struct explanation e;

    policy_explain(q, direction, &e);
    json_t *json = policy_explain_to_json(&e);
    policy_explain_destroy(&e);
    return json;
}

/* FROM FROM-POD TO TO-POD PROTOCOL PORT OWN-NODE. */
static bool
parse_question(const struct dataplane *dp, const char *const argv[], struct explain_question *q)
{
    int port;

    *q = (struct explain_question) { .store = dp->store, .domains = dataplane_domains_(dp),
                                     .own_node = !strcmp(argv[6], "1") };
    q->from.pod = find_pod(dp, argv[1]);
    q->to.pod = find_pod(dp, argv[3]);
    q->protocol = policy_protocol_from_name(argv[4]);
    if (inet_addr_parse(argv[0], &q->from.addr, NULL) || inet_addr_parse(argv[2], &q->to.addr, NULL) || !q->protocol
        || !str_to_int(argv[5], 10, &port) || port < 0 || port > UINT16_MAX) {
        return false;
    }
    q->port = port;
    return true;
}

static void
ctl_explain(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[], void *dp_)
{
    struct explain_question q;

    if (!parse_question(dp_, argv + 1, &q)) {
        unixctl_command_reply_error(conn, "policy/explain: an address, the protocol or the port is wrong");
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "egress", explain(&q, FLOW_EGRESS));
    json_object_set_new(json, "ingress", explain(&q, FLOW_INGRESS));
    reply_json(conn, json);
}

void
ctl_policy_register(struct dataplane *dp)
{
    unixctl_command_register("policy/rules", "[POLICY]", 0, 1, ctl_rules, dp);
    unixctl_command_register("policy/cookie", "COOKIE", 1, 1, ctl_cookie, dp);
    unixctl_command_register("policy/isolating", "POD DIRECTION", 2, 2, ctl_isolating, dp);
    unixctl_command_register("policy/explain", "FROM FROM-POD TO TO-POD PROTOCOL PORT OWN-NODE", 7, 7, ctl_explain, dp);
}
