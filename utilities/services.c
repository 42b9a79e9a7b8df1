#include <config.h>

#include "utilities/sluicectl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "inet.h"
#include "json-get.h"
#include "service-flow.h"
#include "util.h"
#include "utilities/ctl-client.h"
#include "utilities/service-counters.h"

/* Text. ---------------------------------------------------------------------------------------------------------- */

static void
print_counts(const json_t *object)
{
    if (json_object_get(object, "packets")) {
        printf("; %lld packet%s, %lld bytes", json_number(object, "packets"),
               json_number(object, "packets") == 1 ? "" : "s", json_number(object, "bytes"));
    }
    if (json_object_get(object, "clients")) {
        printf("; %lld client%s", json_number(object, "clients"), json_number(object, "clients") == 1 ? "" : "s");
    }
}

static void
print_endpoint(const json_t *endpoint)
{
    const char *address = json_text(endpoint, "address"), *node = json_text(endpoint, "node");
    bool v6 = strchr(address, ':');
    char *where = xasprintf("%s%s%s:%lld", v6 ? "[" : "", address, v6 ? "]" : "", json_number(endpoint, "port"));

    printf("      %-28s %6.2f %%  %s%s%s%s", where, 100 * json_number_value(json_object_get(endpoint, "share")),
           *node ? node : "-", json_is_true(json_object_get(endpoint, "local")) ? " (here)" : "",
           *json_text(endpoint, "pod") ? "  " : "", json_text(endpoint, "pod"));
    free(where);
    print_counts(endpoint);
    if (json_is_true(json_object_get(endpoint, "terminating"))) {
        printf("; terminating");
    }
    putchar('\n');
}

/* What the node's stack makes of an address of its own (flow_alias()). */
static bool
is_alias(const char *address)
{
    static const char *const prefixes[] = { FLOW_LINK_PREFIX_V4, FLOW_LINK_PREFIX_V6 };
    struct in6_addr addr;
    bool found = false;

    for (size_t i = 0; i < ARRAY_SIZE(prefixes) && !inet_addr_parse(address, &addr, NULL); i++) {
        struct inet_prefix prefix = inet_cidr_constant(prefixes[i]);
        found = found || inet_prefix_contains(&prefix, &addr);
    }
    return found;
}

/* "NodePort 30080/TCP", "ClusterIP [fd00::1]:80/TCP from what the node forwards". */
static void
print_way(const json_t *door)
{
    const char *kind = json_text(door, "kind"), *address = json_text(door, "address");
    const char *source = json_text(door, "source");
    bool v6 = strchr(address, ':'), any = !strcmp(address, "0.0.0.0") || !strcmp(address, "::");

    if (is_alias(address)) {
        kind = "the same by the node's stack, as";
    }
    if (!json_number(door, "port_number")) {
        printf("  %s %s, any other port", kind, address);
    } else {
        printf("  %s %s%s%s:%lld/%s", kind, v6 ? "[" : "", any && !v6 ? "*" : address, v6 ? "]" : "",
               json_number(door, "port_number"), json_text(door, "protocol"));
    }
    if (*json_text(door, "port")) {
        printf(" \"%s\"", json_text(door, "port"));
    }
    if (!strcmp(source, "outside")) {
        printf(" from outside");
    } else if (!strcmp(source, "node")) {
        printf(" from the node itself");
    }
    if (*json_text(door, "src")) {
        printf(" from %s", json_text(door, "src"));
    }
}

static void
print_door(const json_t *door)
{
    const char *action = json_text(door, "action"), *why = json_text(door, "why");
    const json_t *endpoints = json_object_get(door, "endpoints");
    json_t *endpoint;
    size_t i;

    print_way(door);
    if (!strcmp(action, "forward")) {
        printf(": %"PRIuSIZE" endpoint%s", json_array_size(endpoints), json_array_size(endpoints) == 1 ? "" : "s");
    } else {
        printf(": %s", action);
    }
    if (*why) {
        printf(" (%s)", why);
    }
    if (json_number(door, "affinity")) {
        printf("; a client keeps its endpoint for %lld s", json_number(door, "affinity"));
    }
    print_counts(door);
    putchar('\n');
    json_array_foreach (endpoints, i, endpoint) {
        print_endpoint(endpoint);
    }
}

void
services_print(const json_t *doors)
{
    const char *namespace_ = NULL, *name = NULL, *host = NULL;
    json_t *door;
    size_t i;

    json_array_foreach (doors, i, door) {
        const char *kind = !strcmp(json_text(door, "kind"), "HostPort") ? "Pod" : "Service";

        if (!name || strcmp(namespace_, json_text(door, "namespace")) || strcmp(name, json_text(door, "name"))
            || strcmp(host, kind)) {
            namespace_ = json_text(door, "namespace");
            name = json_text(door, "name");
            host = kind;
            printf("%s %s/%s\n", kind, namespace_, name);
        }
        print_door(door);
    }
}

static void
print_problems(const json_t *problems)
{
    json_t *one;
    size_t i;

    json_array_foreach (problems, i, one) {
        printf("problem: Service %s/%s: %s\n", json_text(one, "namespace"), json_text(one, "name"),
               json_text(one, "problem"));
    }
}

/* Asking. -------------------------------------------------------------------------------------------------------- */

static int
ask(struct ctl_client *client, const char *command, const char *arg, json_t **json, struct error *error)
{
    char *text = NULL;
    int code = ctl_client_ask(client, command, &arg, arg ? 1 : 0, &text, error);

    *json = code ? NULL : json_get_load(text, strlen(text), error);
    free(text);
    return code ? code : *json ? 0 : EINVAL;
}

static bool
is_named(const json_t *object, const char *filter)
{
    const char *namespace_ = json_text(object, "namespace"), *name = json_text(object, "name");
    const char *slash = strchr(filter, '/');

    return (slash ? !strncmp(namespace_, filter, slash - filter) && !namespace_[slash - filter] && !strcmp(name, slash + 1)
            : !strcmp(namespace_, filter) || !strcmp(name, filter));
}

/* Removes those that 'filter' (NULL: all) does not name. */
static void
select_named(json_t *array, const char *filter)
{
    for (size_t i = json_array_size(array); filter && i-- > 0; ) {
        if (!is_named(json_array_get(array, i), filter)) {
            json_array_remove(array, i);
        }
    }
}

static int
add_counters(struct ctl_client *client, json_t *doors, struct error *error)
{
    json_t *status;
    int code = ask(client, "status", "--json", &status, error);
    const json_t *bridge = json_object_get(status, "bridge");

    if (!code && !bridge) {
        code = error_set(error, EAGAIN, "the node is not ready: %s", json_text(status, "reason"));
    } else if (!code) {
        code = service_counters_add(json_text(bridge, "ovsRundir"), json_text(bridge, "name"), doors, error);
    }
    json_decref(status);
    return code;
}

static int
print_services(struct ctl_client *client, const struct services_options *o, struct error *error)
{
    json_t *list = NULL;
    int code = ask(client, "services/list", o->stats ? "--details" : NULL, &list, error);
    json_t *doors = json_object_get(list, "doors"), *problems = json_object_get(list, "problems");

    select_named(doors, o->name);
    select_named(problems, o->name);
    code = code || !o->stats ? code : add_counters(client, doors, error);
    if (!code && o->json) {
        json_dumpf(doors, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (!code) {
        services_print(doors);
        print_problems(problems);
    }
    bool found = json_array_size(doors) || json_array_size(problems) || !o->name;
    json_decref(list);
    return code ? code : found ? 0 : error_set(error, ENOENT, "there is no Service %s with an address of its own", o->name);
}

int
services_verb(const struct services_options *o)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ctl_client *client = NULL;
    char *path = xasprintf("%s/sluiced.ctl", o->rundir);
    int code = ctl_client_open(path, &client, &error);
    bool connected = !code;

    code = code ? code : print_services(client, o, &error);
    if (code) {
        fprintf(stderr, "sluicectl: services: %s\n", error_message(&error));
    }
    ctl_client_close(client);
    free(path);
    return !code ? 0 : connected ? EXIT_REFUSED : EXIT_USAGE;
}
