#include <config.h>

#include "controller/policy-explain.h"

#include <inttypes.h>
#include <string.h>

#include "json-get.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* JSON. ---------------------------------------------------------------------------------------------------------- */

static json_t *
part_to_json(bool matches, const char *why)
{
    return matches ? json_true() : json_string(why);
}

static json_t *
rule_to_json(const struct explanation *e, const struct explain_rule *r)
{
    json_t *json = json_object();

    json_object_set_new(json, "rule", json_steal_string(policy_rule_name(e->direction, r->index)));
    if (r->name) {
        json_object_set_new(json, "name", json_string(r->name));
    }
    json_object_set_new(json, "action", json_string(policy_action_name(r->action)));
    json_object_set_new(json, "matches", json_boolean(r->peer && r->port));
    json_object_set_new(json, "peer", part_to_json(r->peer, r->why_peer));
    json_object_set_new(json, "port", part_to_json(r->port, r->why_port));
    return json;
}

static json_t *
policies_to_json(const struct explanation *e)
{
    json_t *array = json_array();
    size_t next = 0;                    /* Rules stand in the order of their policies. */

    for (size_t i = 0; i < e->n_policies; i++) {
        const struct explain_policy *p = &e->policies[i];
        json_t *rules = json_array(), *json = json_object();

        while (next < e->n_rules && e->rules[next].policy == i) {
            json_array_append_new(rules, rule_to_json(e, &e->rules[next++]));
        }
        json_object_set_new(json, "policy", json_steal_string(policy_object_name(p->object)));
        json_object_set_new(json, "tier", json_string(policy_tier_name(p->tier)));
        if (p->tier != FLOW_TIER_POLICY) {
            json_object_set_new(json, "priority", json_integer(p->priority));
        }
        if (p->problem) {
            json_object_set_new(json, "problem", json_string(p->problem));
        }
        json_object_set_new(json, "rules", rules);
        json_array_append_new(array, json);
    }
    return array;
}

json_t *
policy_explain_to_json(const struct explanation *e)
{
    static const char *const by[] = {
        [EXPLAIN_BY_RULE] = "rule", [EXPLAIN_BY_DEFAULT_DENY] = POLICY_DEFAULT_DENY, [EXPLAIN_BY_NOTHING] = "nothing",
        [EXPLAIN_BY_EXEMPTION] = "exemption",
    };
    json_t *json = json_object();

    json_object_set_new(json, "direction", json_string(policy_direction_name(e->direction)));
    if (e->subject) {
        json_object_set_new(json, "pod", json_steal_string(xasprintf("%s/%s", e->subject->object.namespace_,
                                                                e->subject->object.name)));
    }
    json_object_set_new(json, "verdict", json_string(e->allowed ? "allowed" : "denied"));
    json_object_set_new(json, "by", json_string(by[e->by]));
    if (e->by == EXPLAIN_BY_EXEMPTION) {
        json_object_set_new(json, "exemption", json_string(e->exemption));
    } else if (e->by == EXPLAIN_BY_RULE) {
        const struct explain_rule *r = &e->rules[e->rule];
        json_object_set_new(json, "policy", json_steal_string(policy_object_name(e->policies[r->policy].object)));
        json_object_set_new(json, "rule", json_steal_string(policy_rule_name(e->direction, r->index)));
    }
    if (e->tie) {
        json_object_set_new(json, "tie", json_true());
    }
    json_object_set_new(json, "policies", policies_to_json(e));
    return json;
}

#define MAX_POLICIES 100                /* That people are told of. */

/* Text. ---------------------------------------------------------------------------------------------------------- */

static void
put_part(const json_t *rule, const char *part, struct ds *s)
{
    const char *why = json_string_value(json_object_get(rule, part));
    if (why) {
        ds_put_format(s, "        %s: %s\n", part, why);
    }
}

static void
put_rule(const json_t *rule, struct ds *s)
{
    bool named = json_object_get(rule, "name") != NULL;

    ds_put_format(s, "      %s%s%s%s %s: %s\n", json_text(rule, "rule"), named ? " \"" : "", json_text(rule, "name"),
                  named ? "\"" : "", json_text(rule, "action"),
                  json_is_true(json_object_get(rule, "matches")) ? "matches" : "does not match");
    put_part(rule, "peer", s);
    put_part(rule, "port", s);
}

static void
put_policy(const json_t *policy, struct ds *s)
{
    const json_t *rules = json_object_get(policy, "rules"), *priority = json_object_get(policy, "priority");
    json_t *rule;
    size_t i;

    ds_put_format(s, "    %s (tier %s", json_text(policy, "policy"), json_text(policy, "tier"));
    if (priority) {
        ds_put_format(s, ", priority %"JSON_INTEGER_FORMAT, json_integer_value(priority));
    }
    ds_put_cstr(s, ")\n");
    if (json_object_get(policy, "problem")) {
        ds_put_format(s, "      problem: %s\n", json_text(policy, "problem"));
    }
    json_array_foreach (rules, i, rule) {
        put_rule(rule, s);
    }
    if (!json_array_size(rules)) {
        ds_put_cstr(s, "      has no rules in this direction: it allows nothing\n");
    }
}

/* "egress of pod shop/web: denied, default deny of the NetworkPolicies below". */
static void
put_head(const json_t *e, struct ds *s)
{
    const char *pod = json_text(e, "pod"), *by = json_text(e, "by");

    ds_put_format(s, "  %s%s%s: %s, ", json_text(e, "direction"), *pod ? " of pod " : "", pod, json_text(e, "verdict"));
    if (!strcmp(by, "rule")) {
        ds_put_format(s, "by %s, %s\n", json_text(e, "policy"), json_text(e, "rule"));
    } else if (!strcmp(by, POLICY_DEFAULT_DENY)) {
        ds_put_cstr(s, "default deny: it is selected, and no rule matches\n");
    } else if (!strcmp(by, "exemption")) {
        ds_put_format(s, "%s\n", json_text(e, "exemption"));
    } else {
        ds_put_format(s, "%s\n", json_array_size(json_object_get(e, "policies")) ? "no rule says otherwise"
                      : "no policy selects it in this direction");
    }
}

void
policy_explain_format(const json_t *e, struct ds *s)
{
    const json_t *policies = json_object_get(e, "policies");
    json_t *policy;
    size_t i;

    put_head(e, s);
    if (json_is_true(json_object_get(e, "tie"))) {
        ds_put_cstr(s, "    (an Accept and a Pass of equal priority and place match: either may win)\n");
    }
    json_array_foreach (policies, i, policy) {
        if (i == MAX_POLICIES) {
            ds_put_format(s, "    and %"PRIuSIZE" more policies\n", json_array_size(policies) - i);
            break;
        }
        put_policy(policy, s);
    }
}
