#include <config.h>

#include "utilities/sluicectl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cookie.h"
#include "fields.h"
#include "json-get.h"
#include "openvswitch/shash.h"
#include "util.h"
#include "utilities/ctl-client.h"
#include "utilities/flow-stats.h"

#define MAX_SHARERS 8

/* Where the answers come from. */
struct asker {
    struct ctl_client *sluiced;
    char *ovs_rundir, *bridge;
};

static int
ask(struct asker *a, const char *command, const char *const args[], size_t n, json_t **json, struct error *error)
{
    char *text = NULL;
    int code = ctl_client_ask(a->sluiced, command, args, n, &text, error);

    *json = code ? NULL : json_get_load(text, strlen(text), error);
    free(text);
    return code ? code : *json ? 0 : EINVAL;
}

/* Names. --------------------------------------------------------------------------------------------------------- */

/* "NetworkPolicy/shop/web". */
static char *
name_of(const json_t *policy)
{
    const char *namespace_ = json_text(policy, "namespace");
    return xasprintf("%s/%s%s%s", json_text(policy, "kind"), namespace_, *namespace_ ? "/" : "",
                     json_text(policy, "name"));
}

/* Whether 'filter' is the name or a part of it between slashes: "NetworkPolicy/shop", "shop/web", "web". */
static bool
name_matches(const char *name, const char *filter)
{
    size_t n = strlen(filter);

    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
        if (!strncmp(p, filter, n) && (!p[n] || p[n] == '/')) {
            return true;
        }
    }
    return false;
}

/* The policies that 'filter' (NULL: all) names, each with its "policy", the name. */
static json_t *
select_policies(const json_t *list, const char *filter)
{
    json_t *selected = json_array(), *policy;
    size_t i;

    json_array_foreach (json_object_get(list, "policies"), i, policy) {
        char *name = name_of(policy);
        if (!filter || name_matches(name, filter)) {
            json_object_set_new(policy, "policy", json_string(name));
            json_array_append(selected, policy);
        }
        free(name);
    }
    return selected;
}

/* Counters of rules. --------------------------------------------------------------------------------------------- */

static int
compare_counters(const void *a_, const void *b_)
{
    const struct flow_counter *a = a_, *b = b_;
    return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

/* A rule has several flows if a named port has several numbers. */
static void
sum_counters(const struct flow_counter *counters, size_t n, uint64_t cookie, json_t *json)
{
    size_t low = 0, high = n;
    uint64_t packets = 0, bytes = 0;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (counters[middle].cookie < cookie) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < n && counters[low].cookie == cookie; low++) {
        packets += counters[low].packets;
        bytes += counters[low].bytes;
    }
    json_object_set_new(json, "packets", json_integer(packets));
    json_object_set_new(json, "bytes", json_integer(bytes));
}

static char *
rule_text(const json_t *rule)
{
    return xasprintf("%s %s", json_text(rule, "policy"), json_text(rule, "rule"));
}

/* Who shares each cookie: cookie -> array of texts. */
static void
index_cookies(const json_t *rules, struct shash *cookies)
{
    json_t *rule;
    size_t i;

    json_array_foreach (rules, i, rule) {
        const char *cookie = json_text(rule, "cookie");
        json_t *users = shash_find_data(cookies, cookie);

        if (!users) {
            users = json_array();
            shash_add(cookies, cookie, users);
        }
        char *text = rule_text(rule);
        json_array_append_new(users, json_string(text));
        free(text);
    }
}

/* The others that have the rule's counters too; of many the first few, and how many more. */
static void
put_sharers(const struct shash *cookies, json_t *rule)
{
    const json_t *users = shash_find_data(cookies, json_text(rule, "cookie"));
    size_t n_others = json_array_size(users) - 1;
    json_t *others = json_array();
    char *self = rule_text(rule);

    for (size_t i = 0; json_array_size(others) < MIN(n_others, MAX_SHARERS); i++) {
        json_t *user = json_array_get(users, i);
        if (strcmp(json_string_value(user), self)) {
            json_array_append(others, user);
        }
    }
    if (n_others) {
        json_object_set(rule, "sharedWith", others);
    }
    if (n_others > MAX_SHARERS) {
        json_object_set_new(rule, "sharedWithMore", json_integer(n_others - MAX_SHARERS));
    }
    json_decref(others);
    free(self);
}

/* Gives each policy its "rules". */
static void
put_rules(json_t *policies, const json_t *rules, const struct flow_counter *counters, size_t n)
{
    struct shash cookies = SHASH_INITIALIZER(&cookies), by_name = SHASH_INITIALIZER(&by_name);
    json_t *policy, *rule;
    size_t i;

    json_array_foreach (policies, i, policy) {
        json_t *array = json_array();
        json_object_set_new(policy, "rules", array);
        shash_add_once(&by_name, json_text(policy, "policy"), array);
    }
    index_cookies(rules, &cookies);
    json_array_foreach (rules, i, rule) {
        json_t *array = shash_find_data(&by_name, json_text(rule, "policy"));
        if (array) {
            sum_counters(counters, n, strtoull(json_text(rule, "cookie"), NULL, 0), rule);
            put_sharers(&cookies, rule);
            json_object_del(rule, "policy");
            json_array_append(array, rule);
        }
    }
    struct shash_node *node;
    SHASH_FOR_EACH (node, &cookies) {
        json_decref(node->data);
    }
    shash_destroy(&cookies);
    shash_destroy(&by_name);
}

static int
add_rules(struct asker *a, json_t *policies, struct error *error)
{
    struct flow_counter *counters = NULL;
    json_t *rules = NULL;
    size_t n = 0;
    int code = ask(a, "policy/rules", NULL, 0, &rules, error);

    code = code ? code : flow_stats_get(a->ovs_rundir, a->bridge, UINT8_MAX, (uint64_t) COOKIE_RULE << 56,
                                        UINT64_C(0xff) << 56, &counters, &n, error);
    if (!code) {
        qsort(counters, n, sizeof *counters, compare_counters);
        put_rules(policies, rules, counters, n);
    }
    json_decref(rules);
    free(counters);
    return code;
}

/* Default denies. ------------------------------------------------------------------------------------------------ */

/* The "shop/web" of "Pod/shop/web/eth0", for the caller to free; NULL: it is no pod's. */
static char *
pod_of_owner(const char *owner)
{
    const char *namespace_ = strncmp(owner, "Pod/", 4) ? NULL : owner + 4;
    const char *slash = namespace_ ? strchr(namespace_, '/') : NULL;

    return slash ? xmemdup0(namespace_, slash + 1 + strcspn(slash + 1, "/") - namespace_) : NULL;
}

/* Whether 'filter' names one of 'names'. */
static bool
concerns(const json_t *names, const char *filter)
{
    json_t *name;
    size_t i;

    json_array_foreach (names, i, name) {
        if (!filter || name_matches(json_string_value(name), filter)) {
            return true;
        }
    }
    return false;
}

static void
add_default_deny(struct asker *a, const struct flow_counter *c, const char *direction, const char *filter,
                 json_t *array)
{
    char *cookie = xasprintf("0x%"PRIx64, c->cookie), *owner = NULL, *pod;
    const char *owner_args[] = { cookie };

    ctl_client_ask(a->sluiced, "owner", owner_args, 1, &owner, NULL);
    pod = owner ? pod_of_owner(owner) : NULL;
    if (pod) {
        const char *const args[] = { pod, direction };
        json_t *names = NULL;

        if (!ask(a, "policy/isolating", args, ARRAY_SIZE(args), &names, NULL) && concerns(names, filter)) {
            json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:I, s:O}", "pod", pod, "direction", direction,
                                                   "packets", (json_int_t) c->packets, "bytes", (json_int_t) c->bytes,
                                                   "policies", names));
        }
        json_decref(names);
    }
    free(pod);
    free(owner);
    free(cookie);
}

static int
add_default_denies(struct asker *a, const char *filter, json_t *array, struct error *error)
{
    static const struct { enum pipeline_table table; uint16_t priority; const char *direction; } denies[] = {
        { TABLE_INGRESS_POLICY, PRIORITY_INGRESS_POLICY_DEFAULT_DENY, "ingress" },
        { TABLE_EGRESS_POLICY, PRIORITY_EGRESS_POLICY_DEFAULT_DENY, "egress" },
    };
    int code = 0;

    for (size_t i = 0; i < ARRAY_SIZE(denies) && !code; i++) {
        struct flow_counter *counters;
        size_t n;

        code = flow_stats_get(a->ovs_rundir, a->bridge, denies[i].table, (uint64_t) COOKIE_POD << 56,
                              UINT64_C(0xff) << 56, &counters, &n, error);
        for (size_t j = 0; j < n; j++) {
            if (counters[j].priority == denies[i].priority) {
                add_default_deny(a, &counters[j], denies[i].direction, filter, array);
            }
        }
        free(counters);
    }
    return code;
}

static int
find_bridge(struct asker *a, struct error *error)
{
    static const char *const args[] = { "--json" };
    json_t *status;
    int code = ask(a, "status", args, 1, &status, error);
    const json_t *bridge = json_object_get(status, "bridge");

    if (!code && !bridge) {
        code = error_set(error, EAGAIN, "the node is not ready: %s", json_text(status, "reason"));
    } else if (!code) {
        a->ovs_rundir = xstrdup(json_text(bridge, "ovsRundir"));
        a->bridge = xstrdup(json_text(bridge, "name"));
    }
    json_decref(status);
    return code;
}

/* Output. -------------------------------------------------------------------------------------------------------- */

static void
print_counts(const json_t *object)
{
    printf("%lld packet%s, %lld bytes", json_number(object, "packets"), json_number(object, "packets") == 1 ? "" : "s",
           json_number(object, "bytes"));
}

static void
print_rule(const json_t *rule)
{
    const char *name = json_text(rule, "name");
    json_t *other;
    size_t i;

    printf("    %s%s%s%s %s: ", json_text(rule, "rule"), *name ? " \"" : "", name, *name ? "\"" : "",
           json_text(rule, "action"));
    print_counts(rule);
    json_array_foreach (json_object_get(rule, "sharedWith"), i, other) {
        printf("%s%s", i ? ", " : "; together with ", json_string_value(other));
    }
    if (json_number(rule, "sharedWithMore")) {
        printf(" and %lld more", json_number(rule, "sharedWithMore"));
    }
    putchar('\n');
}

static void
print_policy(const json_t *policy)
{
    const json_t *pods = json_object_get(policy, "pods"), *priority = json_object_get(policy, "priority");
    bool realized = json_is_true(json_object_get(policy, "realized"));
    char *order = (priority ? xasprintf("%lld", (long long int) json_integer_value(priority)) : xstrdup("-"));
    json_t *rule;
    size_t i;

    printf("%-48s %-13s %8s %8lld %8lld  %s%s%s\n", json_text(policy, "policy"), json_text(policy, "tier"), order,
           json_number(pods, "ingress"), json_number(pods, "egress"), realized ? "yes" : "no",
           *json_text(policy, "since") ? " since " : "", json_text(policy, "since"));
    free(order);
    if (*json_text(policy, "problem")) {
        printf("    problem: %s\n", json_text(policy, "problem"));
    }
    json_array_foreach (json_object_get(policy, "rules"), i, rule) {
        print_rule(rule);
    }
}

static void
print_all(const json_t *policies, const json_t *denies)
{
    json_t *policy, *deny, *name;
    size_t i, j;

    printf("%-48s %-13s %8s %8s %8s  %s\n", "POLICY", "TIER", "PRIORITY", "INGRESS", "EGRESS", "REALIZED");
    json_array_foreach (policies, i, policy) {
        print_policy(policy);
    }
    if (json_array_size(denies)) {
        printf("\nDropped by default, as no rule allowed it:\n");
    }
    json_array_foreach (denies, i, deny) {
        printf("    %s of pod %s: ", json_text(deny, "direction"), json_text(deny, "pod"));
        print_counts(deny);
        const json_t *names = json_object_get(deny, "policies");
        json_array_foreach (names, j, name) {
            if (j == MAX_SHARERS) {
                printf(" and %"PRIuSIZE" more", json_array_size(names) - j);
                break;
            }
            printf("%s%s", j ? ", " : "; isolated by ", json_string_value(name));
        }
        putchar('\n');
    }
}

static int
print_policies(struct asker *a, const struct policies_options *o, struct error *error)
{
    json_t *list = NULL, *denies = json_array();
    int code = ask(a, "policy/list", NULL, 0, &list, error);
    json_t *policies = select_policies(list, o->name);

    if (!code && o->stats) {
        code = find_bridge(a, error);
        code = code ? code : add_rules(a, policies, error);
        code = code ? code : add_default_denies(a, o->name, denies, error);
    }
    if (!code && o->json) {
        json_t *json = json_pack("{s:O}", "policies", policies);
        if (o->stats) {
            json_object_set(json, "defaultDenies", denies);
        }
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else if (!code) {
        print_all(policies, denies);
    }
    bool found = json_array_size(policies) || !o->name;
    json_decref(policies);
    json_decref(denies);
    json_decref(list);
    return code ? code : found ? 0 : error_set(error, ENOENT, "there is no policy %s", o->name);
}

int
policies_verb(const struct policies_options *o)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct asker a = { NULL, NULL, NULL };
    char *path = xasprintf("%s/sluiced.ctl", o->rundir);
    int code = ctl_client_open(path, &a.sluiced, &error);
    bool connected = !code;

    code = code ? code : print_policies(&a, o, &error);
    if (code) {
        fprintf(stderr, "sluicectl: policies: %s\n", error_message(&error));
    }
    ctl_client_close(a.sluiced);
    free(a.ovs_rundir);
    free(a.bridge);
    free(path);
    return !code ? 0 : connected ? EXIT_REFUSED : EXIT_USAGE;
}
