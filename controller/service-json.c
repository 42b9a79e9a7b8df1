#include <config.h>

#include "controller/service-json.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "controller/endpoints.h"
#include "controller/kube-decode.h"
#include "controller/services.h"
#include "flow-set.h"
#include "json-get.h"
#include "openvswitch/match.h"
#include "service-flow.h"
#include "util.h"

struct doors {
    const struct endpoints *endpoints;
    bool details;
    json_t **elements;
    size_t n, allocated;
};

static const char *
kind_name(enum service_door_kind kind)
{
    switch (kind) {
    case SERVICE_CLUSTER_IP: return "ClusterIP";
    case SERVICE_NODE_PORT: return "NodePort";
    case SERVICE_EXTERNAL_IP: return "ExternalIP";
    case SERVICE_LOAD_BALANCER: return "LoadBalancer";
    case SERVICE_HOST_PORT: return "HostPort";
    default: OVS_NOT_REACHED();
    }
}

static const char *
source_name(enum flow_door_source source)
{
    return source == FLOW_DOOR_OUTSIDE ? "outside" : source == FLOW_DOOR_NODE ? "node" : "anybody";
}

static const char *
action_name(enum flow_door_action action)
{
    return (action == FLOW_DOOR_REJECT ? "reject" : action == FLOW_DOOR_DROP ? "drop"
            : action == FLOW_DOOR_DIRECT ? "direct" : "forward");
}

static json_t *
string_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

static json_t *
endpoint_to_json(const struct doors *doors, const struct service_endpoint_info *e)
{
    const struct kube_pod *pod = endpoints_find(doors->endpoints, &e->addr, NULL);
    char addr[INET_ADDR_STRLEN];
    json_t *json = json_pack("{s:s, s:i, s:b, s:b, s:f, s:o, s:o}", "address", inet_addr_format(&e->addr, addr), "port",
                             (int) e->port, "local", (int) e->local, "terminating", (int) e->terminating, "share",
                             e->share, "node", string_or_null(e->node), "pod",
                             pod ? json_steal_string(xasprintf("%s/%s", pod->object.namespace_, pod->object.name))
                             : json_null());

    if (doors->details) {
        json_t *groups = json_array();

        for (size_t i = 0; i < e->n_buckets; i++) {     /* Two buckets may be in one group (lib/shares.c). */
            if (!i || e->buckets[i].group_id != e->buckets[0].group_id) {
                json_array_append_new(groups, json_integer(e->buckets[i].group_id));
            }
        }
        json_object_set_new(json, "groups", groups);
    }
    return json;
}

/* Priority and match of the door's flows, as OVS writes them. */
static json_t *
flows_to_json(const struct flow_door *door)
{
    struct flow_set set = FLOW_SET_INIT;
    json_t *array = json_array();

    flow_add_door(door, &set);
    for (size_t i = 0; i < set.n_flows; i++) {
        struct match match;

        minimatch_expand(&set.flows[i]->match, &match);
        json_array_append_new(array, json_steal_string(match_to_string(&match, NULL, set.flows[i]->priority)));
    }
    flow_set_destroy(&set);
    return array;
}

/* A host port's "pod" is NAMESPACE/NAME. */
static void
put_name(const struct service_door_info *info, json_t *json)
{
    if (info->service) {
        json_object_set_new(json, "namespace", json_string(info->service->object.namespace_));
        json_object_set_new(json, "name", json_string(info->service->object.name));
    } else {
        const char *pod = info->pod ? info->pod : "", *slash = strchr(pod, '/');

        json_object_set_new(json, "namespace", json_stringn(pod, slash ? slash - pod : 0));
        json_object_set_new(json, "name", json_string(slash ? slash + 1 : pod));
    }
}

static void
put_door(const struct service_door_info *info, void *doors_)
{
    const struct flow_door *door = &info->door;
    const char *protocol = door->protocol ? kube_protocol_name(door->protocol) : "any";
    struct doors *doors = doors_;
    json_t *json = json_object(), *endpoints = json_array();
    char addr[INET_ADDR_STRLEN], src[INET_PREFIX_STRLEN];

    put_name(info, json);
    if (door->node_addr) {
        strcpy(addr, inet_is_v4(&door->addr) ? "0.0.0.0" : "::");
    } else {
        inet_addr_format(&door->addr, addr);
    }
    json_object_update_new(json, json_pack("{s:o, s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:o}", "port",
                                           string_or_null(info->port ? info->port->name : NULL), "kind",
                                           kind_name(info->kind), "address", addr, "protocol",
                                           protocol, "port_number", (int) door->port, "source",
                                           source_name(door->source), "action", action_name(door->action), "affinity",
                                           (json_int_t) info->affinity_timeout, "why", string_or_null(info->why)));
    if (door->src) {
        json_object_set_new(json, "src", json_string(inet_prefix_format(door->src, src)));
    }
    for (size_t i = 0; i < info->n_endpoints; i++) {
        json_array_append_new(endpoints, endpoint_to_json(doors, &info->endpoints[i]));
    }
    json_object_set_new(json, "endpoints", endpoints);
    if (doors->details) {
        json_object_set_new(json, "flows", flows_to_json(door));
        if (door->action == FLOW_DOOR_AFFINITY) {
            json_object_set_new(json, "set", json_integer(door->number));
        }
    }
    if (doors->n >= doors->allocated) {
        doors->elements = x2nrealloc(doors->elements, &doors->allocated, sizeof *doors->elements);
    }
    doors->elements[doors->n++] = json;
}

static int
compare_member(const json_t *a_, const json_t *b_, const char *member)
{
    const json_t *a = json_object_get(a_, member), *b = json_object_get(b_, member);

    if (json_is_integer(a) && json_is_integer(b)) {
        return json_integer_value(a) < json_integer_value(b) ? -1 : json_integer_value(a) > json_integer_value(b);
    }
    return strcmp(json_is_string(a) ? json_string_value(a) : "", json_is_string(b) ? json_string_value(b) : "");
}

static int
compare_doors(const void *a_, const void *b_)
{
    static const char *const members[] = { "namespace", "name", "port", "port_number", "protocol", "kind", "address",
                                           "source", "src" };
    json_t *a = *(json_t *const *) a_, *b = *(json_t *const *) b_;
    int cmp = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members) && !cmp; i++) {
        cmp = compare_member(a, b, members[i]);
    }
    return cmp;
}

json_t *
service_door_to_json(const struct services *services, const struct endpoints *endpoints, const struct in6_addr *addr,
                     uint8_t protocol, uint16_t port, enum flow_door_source source)
{
    struct doors doors = { .endpoints = endpoints };

    services_find_door(services, addr, protocol, port, source, put_door, &doors);
    json_t *json = doors.n ? json_incref(doors.elements[0]) : NULL;
    for (size_t i = 0; i < doors.n; i++) {
        json_decref(doors.elements[i]);
    }
    free(doors.elements);
    return json;
}

json_t *
service_doors_to_json(const struct services *services, const struct endpoints *endpoints, bool details)
{
    struct doors doors = { .endpoints = endpoints, .details = details };
    json_t *array = json_array();

    services_for_each_door(services, NULL, put_door, &doors);
    if (doors.n) {
        qsort(doors.elements, doors.n, sizeof *doors.elements, compare_doors);
    }
    for (size_t i = 0; i < doors.n; i++) {
        json_array_append_new(array, doors.elements[i]);
    }
    free(doors.elements);
    return array;
}

json_t *
service_stats_to_json(const struct services *services)
{
    struct services_stats s;

    services_get_stats(services, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "services", (json_int_t) s.n_services, "ports",
                     (json_int_t) s.n_ports, "doors", (json_int_t) s.n_doors, "slices", (json_int_t) s.n_slices,
                     "endpoints", (json_int_t) s.n_endpoints, "sets", (json_int_t) s.n_sets, "groups",
                     (json_int_t) s.n_groups, "buckets", (json_int_t) s.n_buckets, "affinitySets",
                     (json_int_t) s.n_affinity_sets);
}
