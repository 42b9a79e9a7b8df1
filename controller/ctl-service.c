#include <config.h>

#include "controller/ctl-service.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "controller/dataplane-private.h"
#include "controller/service-json.h"
#include "controller/services.h"
#include "cookie.h"
#include "unixctl.h"
#include "util.h"

char *
ctl_service_owner(const struct dataplane *dp, uint64_t cookie)
{
    const char *port = NULL;
    const struct kube_service *service = services_of_cookie(dataplane_services_(dp), cookie, &port);
    enum cookie_kind kind = cookie >> 56;

    return (service ? xasprintf("Service/%s/%s%s%s", service->object.namespace_, service->object.name, port ? "/" : "",
                                port ? port : "")
            : kind == COOKIE_SERVICE || kind == COOKIE_AFFINITY ? xstrdup(OWNER_SERVICE) : NULL);
}

static void
put_problem(const struct kube_service *service, const char *problem, void *array)
{
    json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "namespace", service->object.namespace_,
                                           "name", service->object.name, "problem", problem));
}

static void
ctl_services(struct unixctl_conn *conn, int argc, const char *argv[], void *dp_)
{
    const struct dataplane *dp = dp_;
    const struct services *services = dataplane_services_(dp);
    bool details = argc > 1 && !strcmp(argv[1], "--details");
    json_t *problems = json_array();

    services_for_each_problem(services, put_problem, problems);
    json_t *json = json_pack("{s:o, s:o, s:o}", "doors", service_doors_to_json(services, dp->endpoints, details),
                             "problems", problems, "stats", service_stats_to_json(services));
    char *text = json_dumps(json, JSON_COMPACT);

    unixctl_command_reply(conn, text);
    free(text);
    json_decref(json);
}

static void
ctl_find(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[], void *dp_)
{
    const struct dataplane *dp = dp_;
    enum flow_door_source source = (!strcmp(argv[4], "outside") ? FLOW_DOOR_OUTSIDE
                                    : !strcmp(argv[4], "node") ? FLOW_DOOR_NODE : FLOW_DOOR_ANYBODY);
    struct in6_addr addr;

    if (inet_addr_parse(argv[1], &addr, NULL)) {
        unixctl_command_reply_error(conn, "not an address");
        return;
    }
    json_t *json = service_door_to_json(dataplane_services_(dp), dp->endpoints, &addr, atoi(argv[2]), atoi(argv[3]),
                                        source);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    unixctl_command_reply(conn, text ? text : "");
    free(text);
    json_decref(json);
}

void
ctl_service_register(struct dataplane *dp)
{
    unixctl_command_register("services/list", "[--details]", 0, 1, ctl_services, dp);
    unixctl_command_register("services/find", "ADDRESS PROTOCOL PORT SOURCE", 4, 4, ctl_find, dp);
}
