#include <config.h>

#include "controller/source-api.h"

#include <string.h>
#include <time.h>

#include "controller/source-kind.h"
#include "kube-client.h"
#include "timeval.h"
#include "util.h"

/* A kind and who brings it. */
struct api_kind {
    struct source_kind *objects;
    const struct reflector *reflector;  /* The client's. */
};

struct source_api {
    struct store *store;
    struct kube_client *client;
    struct api_kind kinds[KUBE_N_KINDS];
    char *why;                          /* NULL: the API can be read. */
    char since[32];                     /* When that was so last. */
    char *problem;                      /* The same with the server and the time. */
};

struct source_api *
source_api_create(const char *kubeconfig, struct store *store)
{
    struct source_api *api = xzalloc(sizeof *api);

    api->store = store;
    api->client = kube_client_create(kubeconfig, NULL, "sluiced/" SLUICE_VERSION);
    for (enum kube_kind kind = 0; kind < KUBE_N_KINDS; kind++) {
        struct api_kind *k = &api->kinds[kind];

        k->objects = source_kind_create(kind, store);
        k->reflector = kube_client_reflect(api->client, kube_kind_path(kind), NULL, kube_kind_is_optional(kind),
                                           source_kind_reflector_ops(kind), k->objects);
    }
    return api;
}

void
source_api_destroy(struct source_api *api)
{
    if (api) {
        kube_client_destroy(api->client);
        for (enum kube_kind kind = 0; kind < KUBE_N_KINDS; kind++) {
            source_kind_destroy(api->kinds[kind].objects);
        }
        free(api->why);
        free(api->problem);
        free(api);
    }
}

/* Problems. ------------------------------------------------------------------------------------------------------ */

/* It may not be read, and need not be. */
static bool
is_dispensed_with(const struct source_api *api, enum kube_kind kind)
{
    return kube_kind_is_optional(kind) && reflector_forbidden(api->kinds[kind].reflector);
}

static char *
kind_problem(const struct source_api *api, enum kube_kind kind)
{
    const struct api_kind *k = &api->kinds[kind];

    if (source_kind_absent(k->objects) && !kube_kind_may_be_absent(kind)) {
        return xasprintf("it has no %s: is this the URL of a Kubernetes API server?", kube_kind_path(kind));
    }
    const char *problem = reflector_problem(k->reflector);
    return problem ? xasprintf("%s: %s", kube_kind_name(kind), problem) : NULL;
}

static char *
find_problem(const struct source_api *api)
{
    const char *problem = kube_client_problem(api->client);
    char *why = nullable_xstrdup(problem);

    for (enum kube_kind kind = 0; kind < KUBE_N_KINDS && !why; kind++) {
        why = is_dispensed_with(api, kind) ? NULL : kind_problem(api, kind);
    }
    return why;
}

/* "2026-11-23T08:00:00Z". */
static void
format_now(char *s, size_t size)
{
    time_t now = time_wall();
    struct tm tm;

    strftime(s, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

static void
update_problem(struct source_api *api)
{
    char *why = find_problem(api);

    if (nullable_string_is_equal(why, api->why)) {
        free(why);
        return;
    }
    if (!api->why) {
        format_now(api->since, sizeof api->since);
    }
    free(api->why);
    free(api->problem);
    api->why = why;
    api->problem = NULL;
    if (why) {
        const char *server = kube_client_server(api->client);
        bool named = !server || strstr(why, server);

        api->problem = xasprintf("the Kubernetes API%s%s: %s (since %s)", named ? "" : " at ", named ? "" : server, why,
                                 api->since);
    }
}

/* Running. ------------------------------------------------------------------------------------------------------- */

void
source_api_run(struct source_api *api)
{
    kube_client_run(api->client);
    update_problem(api);
}

void
source_api_wait(struct source_api *api)
{
    kube_client_wait(api->client);
}

bool
source_api_synced(const struct source_api *api)
{
    for (enum kube_kind kind = 0; kind < KUBE_N_KINDS; kind++) {
        if (!source_kind_synced(api->kinds[kind].objects) && !is_dispensed_with(api, kind)) {
            return false;
        }
    }
    return true;
}

const char *
source_api_problem(const struct source_api *api)
{
    return api->problem;
}

void
source_api_for_each_problem(const struct source_api *api, void (*cb)(const char *where, const char *problem, void *aux),
                            void *aux)
{
    for (enum kube_kind kind = 0; kind < KUBE_N_KINDS; kind++) {
        const struct api_kind *k = &api->kinds[kind];
        const char *problem = is_dispensed_with(api, kind) && !api->problem ? reflector_problem(k->reflector) : NULL;

        if (problem) {
            cb(kube_kind_name(kind), problem, aux);
        }
        source_kind_for_each_problem(k->objects, cb, aux);
    }
}

struct kube_client *
source_api_client(struct source_api *api)
{
    return api->client;
}

/* Status. -------------------------------------------------------------------------------------------------------- */

static json_t *
kind_to_json(const struct source_api *api, enum kube_kind kind)
{
    const struct api_kind *k = &api->kinds[kind];
    char *problem = kind_problem(api, kind);
    struct reflector_stats stats;

    reflector_get_stats(k->reflector, &stats);
    json_t *json = json_pack("{s:s, s:I, s:b, s:b, s:I, s:s*, s:I, s:I, s:I, s:I, s:I, s:I, s:s*}", "kind",
                             kube_kind_name(kind), "count", (json_int_t) store_count(api->store, kind), "synced",
                             (int) source_kind_synced(k->objects), "absent", (int) source_kind_absent(k->objects),
                             "wrong",
                             (json_int_t) source_kind_n_problems(k->objects), "resourceVersion",
                             reflector_resource_version(k->reflector), "lists", (json_int_t) stats.lists, "watches",
                             (json_int_t) stats.watches, "events", (json_int_t) stats.events, "bookmarks",
                             (json_int_t) stats.bookmarks, "failures", (json_int_t) stats.failures, "wentBack",
                             (json_int_t) stats.gone_back, "problem", problem);
    free(problem);
    return json;
}

json_t *
source_api_to_json(const struct source_api *api)
{
    json_t *kinds = json_array();

    for (enum kube_kind kind = 0; kind < KUBE_N_KINDS; kind++) {
        json_array_append_new(kinds, kind_to_json(api, kind));
    }
    return json_pack("{s:s, s:s*, s:b, s:s*, s:o}", "type", "kubernetes", "server", kube_client_server(api->client),
                     "synced", (int) source_api_synced(api), "problem", api->problem, "kinds", kinds);
}
