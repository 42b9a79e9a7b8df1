#include <config.h>

#include "utilities/trace-service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json-get.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "socket-util.h"
#include "util.h"

void
trace_service_find(struct who *who, const struct trace_question *q, const struct trace_packet *p,
                   struct trace_service *s)
{
    const char *source = p->from.kind == TRACE_POD ? "pod" : p->from.kind == TRACE_NODE ? "node" : "outside";

    memset(s, 0, sizeof *s);
    if (p->to.kind == TRACE_OUTSIDE || p->to.kind == TRACE_NODE || p->to.kind == TRACE_PEER_NODE) {
        s->door = who_serves(who, &p->dst, p->protocol, q->port, source);
    }
}

void
trace_service_destroy(struct trace_service *s)
{
    json_decref(s->door);
    memset(s, 0, sizeof *s);
}

/* "...nat(dst=10.0.0.1:80)...", "...nat(dst=[fd00::1]:80)...". */
static bool
parse_nat(const char *action, struct trace_service *s)
{
    static const char mark[] = "nat(dst=";
    const char *p = strstr(action, mark);
    struct sockaddr_storage ss;

    if (!p) {
        return false;
    }
    p += strlen(mark);
    char *target = xmemdup0(p, strcspn(p, ")"));
    bool ok = inet_parse_active(target, 0, &ss, false, NULL);
    if (ok) {
        s->endpoint = ss_get_address(&ss);
        s->port = ss_get_port(&ss);
    }
    free(target);
    return ok;
}

void
trace_service_choose(const struct trace *trace, struct trace_service *s)
{
    for (size_t i = 0; i < trace->n_steps && s->door; i++) {
        const char *action;
        size_t j;

        SVEC_FOR_EACH (j, action, &trace->steps[i].actions) {
            s->chosen = s->chosen || parse_nat(action, s);
        }
    }
}

void
trace_service_translate(const struct trace_facts *facts, const struct trace_service *s, struct trace_question *q,
                        struct trace_packet *p)
{
    char addr[INET_ADDR_STRLEN];

    if (s->chosen && !trace_facts_find(facts, inet_addr_format(&s->endpoint, addr), &p->to, NULL)) {
        p->dst = s->endpoint;
        q->port = s->port;
    }
}

/* Of the door's endpoints the one that was chosen; NULL: none. */
static const json_t *
find_endpoint(const struct trace_service *s)
{
    const json_t *endpoints = json_object_get(s->door, "endpoints");
    const json_t *e;
    size_t i;

    json_array_foreach (endpoints, i, e) {
        struct in6_addr addr;

        if (!inet_addr_parse(json_text(e, "address"), &addr, NULL) && !memcmp(&addr, &s->endpoint, sizeof addr)
            && json_integer_value(json_object_get(e, "port")) == s->port) {
            return e;
        }
    }
    return NULL;
}

static void
put_endpoint(const struct trace_service *s, struct ds *ds)
{
    char addr[INET_ADDR_STRLEN];
    bool v4 = inet_is_v4(&s->endpoint);

    inet_addr_format(&s->endpoint, addr);
    ds_put_format(ds, "%s%s%s:%"PRIu16, v4 ? "" : "[", addr, v4 ? "" : "]", s->port);
}

char *
trace_service_endpoint(const struct trace_service *s)
{
    const char *pod = json_text(find_endpoint(s), "pod");
    char addr[INET_ADDR_STRLEN];

    return xasprintf("%s --port %"PRIu16, *pod ? pod : inet_addr_format(&s->endpoint, addr), s->port);
}

char *
trace_service_text(const struct trace_service *s)
{
    size_t n = json_array_size(json_object_get(s->door, "endpoints"));
    const char *port = json_text(s->door, "port"), *pod = json_text(s->chosen ? find_endpoint(s) : NULL, "pod");
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "Service %s/%s%s%s%s by its %s", json_text(s->door, "namespace"), json_text(s->door, "name"),
                  *port ? " \"" : "", port, *port ? "\"" : "", json_text(s->door, "kind"));
    if (s->chosen) {
        ds_put_cstr(&ds, ": to ");
        put_endpoint(s, &ds);
        ds_put_format(&ds, "%s%s%s, of %"PRIuSIZE" endpoint%s (%s)", *pod ? " (" : "", pod, *pod ? ")" : "", n,
                      n == 1 ? "" : "s", json_text(s->door, "why"));
    } else {
        ds_put_format(&ds, ": %s (%s)", json_text(s->door, "action"), json_text(s->door, "why"));
    }
    return ds_steal_cstr(&ds);
}

void
trace_service_put(const struct trace_service *s, json_t *json)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    json_t *door = s->door ? json_copy(s->door) : NULL;

    if (s->chosen) {
        put_endpoint(s, &ds);
    }
    json_object_set_new(json, "endpoint", s->chosen ? json_string(ds_cstr(&ds)) : json_null());
    if (door) {
        json_object_del(door, "endpoints");
        json_object_set_new(json, "service", door);
    }
    ds_destroy(&ds);
}

bool
trace_service_refuses(const struct trace_service *s)
{
    return !strcmp(json_text(s->door, "action"), "reject");
}
