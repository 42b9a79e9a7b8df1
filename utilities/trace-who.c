#include <config.h>

#include "utilities/trace-who.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy-name.h"
#include "json-get.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#define MAX_NAMES 8                     /* Of policies in one line. */

void
who_forget(struct who *who)
{
    shash_clear_free_data(&who->answers);
}

void
who_destroy(struct who *who)
{
    shash_destroy_free_data(&who->answers);
}

/* Asking. -------------------------------------------------------------------------------------------------------- */

/* The answer, "" if there is none. */
static const char *
ask(struct who *who, const char *command, const char *const args[], size_t n)
{
    struct ds key = DS_EMPTY_INITIALIZER;
    char *answer = NULL;

    ds_put_cstr(&key, command);
    for (size_t i = 0; i < n; i++) {
        ds_put_format(&key, " %s", args[i]);
    }
    if (who->sluiced && !shash_find(&who->answers, ds_cstr(&key))) {
        ctl_client_ask(who->sluiced, command, args, n, &answer, NULL);
        if (answer) {
            answer[strcspn(answer, "\n")] = '\0';
        }
        shash_add(&who->answers, ds_cstr(&key), answer ? answer : xstrdup(""));
    }
    const char *found = shash_find_data(&who->answers, ds_cstr(&key));
    ds_destroy(&key);
    return found ? found : "";
}

static json_t *
ask_json(struct who *who, const char *command, const char *const args[], size_t n)
{
    const char *text = ask(who, command, args, n);
    return *text ? json_get_load(text, strlen(text), NULL) : NULL;
}

const char *
who_owns(struct who *who, uint64_t cookie)
{
    char text[32];
    const char *const args[] = { text };

    snprintf(text, sizeof text, "0x%"PRIx64, cookie);
    const char *owner = ask(who, "owner", args, 1);
    return *owner ? owner : NULL;
}

/* Who decided. --------------------------------------------------------------------------------------------------- */

static void
put_policies(json_t *names, json_t *json)
{
    json_t *first = json_array_get(names, 0);

    json_object_set(json, "policy", first ? first : json_null());
    if (json_array_size(names) > 1) {
        json_object_set(json, "policies", names);
    }
    json_decref(names);
}

/* The rules whose flow it was: usually one. */
static void
put_rule(struct who *who, const struct trace_decision *d, json_t *json)
{
    char cookie[32];
    const char *const args[] = { cookie };

    snprintf(cookie, sizeof cookie, "0x%"PRIx64, d->step->cookie);
    json_t *refs = ask_json(who, "policy/cookie", args, 1), *names = json_array(), *ref;
    json_t *rule = json_object_get(json_array_get(refs, 0), "rule");
    json_t *name = json_object_get(json_array_get(refs, 0), "name");
    size_t i;

    json_array_foreach (refs, i, ref) {
        json_array_append(names, json_object_get(ref, "policy"));
    }
    put_policies(names, json);
    json_object_set(json, "rule", rule ? rule : json_null());
    if (name) {
        json_object_set(json, "ruleName", name);
    }
    json_decref(refs);
}

static void
put_default_deny(struct who *who, const struct trace_decision *d, json_t *json)
{
    const char *const args[] = { d->pod ? d->pod->name : "", policy_direction_name(d->direction) };
    json_t *names = ask_json(who, "policy/isolating", args, ARRAY_SIZE(args));

    put_policies(names ? names : json_array(), json);
    json_object_set_new(json, "rule", json_string(POLICY_DEFAULT_DENY));
}

json_t *
who_decided(struct who *who, const struct trace_decision *d)
{
    json_t *json = json_object();

    json_object_set_new(json, "direction", json_string(policy_direction_name(d->direction)));
    json_object_set_new(json, "verdict", json_string(d->denied ? "denied" : "allowed"));
    json_object_set_new(json, "pod", d->pod ? json_string(d->pod->name) : json_null());
    json_object_set_new(json, "tier", d->by == TRACE_BY_NOTHING ? json_null() : json_string(policy_tier_name(d->tier)));
    json_object_set_new(json, "policy", json_null());
    json_object_set_new(json, "rule", json_null());
    if (d->by == TRACE_BY_RULE) {
        put_rule(who, d, json);
    } else if (d->by == TRACE_BY_DEFAULT_DENY) {
        put_default_deny(who, d, json);
    }
    return json;
}

static void
put_names(const json_t *json, struct ds *s)
{
    const json_t *names = json_object_get(json, "policies");
    json_t *name;
    size_t i;

    if (!names) {
        ds_put_cstr(s, *json_text(json, "policy") ? json_text(json, "policy") : "a policy that has gone meanwhile");
    }
    json_array_foreach (names, i, name) {
        if (i == MAX_NAMES) {
            ds_put_format(s, " and %"PRIuSIZE" more", json_array_size(names) - i);
            break;
        }
        ds_put_format(s, "%s%s", i ? ", " : "", json_string_value(name));
    }
}

char *
who_decided_text(const json_t *json)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    const char *pod = json_text(json, "pod"), *rule = json_text(json, "rule"), *name = json_text(json, "ruleName");

    ds_put_format(&s, "%s%s%s is %s ", json_text(json, "direction"), *pod ? " of pod " : "", pod,
                  json_text(json, "verdict"));
    if (json_is_null(json_object_get(json, "tier"))) {
        ds_put_cstr(&s, "as no policy says anything to it");
    } else if (!strcmp(rule, POLICY_DEFAULT_DENY)) {
        ds_put_cstr(&s, "by default deny of ");
        put_names(json, &s);
        ds_put_cstr(&s, ": no rule allows it");
    } else {
        ds_put_cstr(&s, "by ");
        put_names(json, &s);
        ds_put_format(&s, ", %s%s%s%s (tier %s)", rule, *name ? " \"" : "", name, *name ? "\"" : "",
                      json_text(json, "tier"));
    }
    return ds_steal_cstr(&s);
}

/* Why. ----------------------------------------------------------------------------------------------------------- */

json_t *
who_explains(struct who *who, const struct trace_question *q, const struct trace_packet *p)
{
    char src[INET_ADDR_STRLEN], dst[INET_ADDR_STRLEN], port[8], protocol[8];
    bool own_node = p->from.kind == TRACE_NODE && p->to.kind == TRACE_POD;
    bool icmp = !strcasecmp(q->protocol, "icmp");

    snprintf(port, sizeof port, "%d", icmp ? 0 : q->port);
    snprintf(protocol, sizeof protocol, "%s", icmp && !inet_is_v4(&p->dst) ? "icmp6" : q->protocol);
    for (char *c = protocol; *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c;
    }
    const char *const args[] = {
        inet_addr_format(&p->src, src), p->from.pod ? p->from.pod->name : "-", inet_addr_format(&p->dst, dst),
        p->to.pod ? p->to.pod->name : "-", protocol, port, own_node ? "1" : "0",
    };
    return ask_json(who, "policy/explain", args, ARRAY_SIZE(args));
}

json_t *
who_serves(struct who *who, const struct in6_addr *addr, uint8_t protocol, uint16_t port, const char *source)
{
    char text[INET_ADDR_STRLEN], number[8], to[8];
    const char *const args[] = { inet_addr_format(addr, text), number, to, source };

    snprintf(number, sizeof number, "%"PRIu8, protocol);
    snprintf(to, sizeof to, "%"PRIu16, port);
    return ask_json(who, "services/find", args, ARRAY_SIZE(args));
}
