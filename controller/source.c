#include <config.h>

#include "controller/source.h"

#include <string.h>

#include "controller/config.h"
#include "controller/source-api.h"
#include "controller/source-dir.h"
#include "util.h"

/* One of the two. */
struct source {
    struct source_api *api;
    struct source_dir *dir;
    char *name;
};

struct source *
source_create(const struct config *config, struct store *store)
{
    struct source *source = xzalloc(sizeof *source);

    if (!strcmp(config->source, "kubernetes")) {
        source->api = source_api_create(config->kubeconfig, store);
        source->name = xstrdup("the Kubernetes API");
    } else {
        source->dir = source_dir_create(config->source, store);
        source->name = xstrdup(config->source);
    }
    return source;
}

void
source_destroy(struct source *source)
{
    if (source) {
        source_api_destroy(source->api);
        source_dir_destroy(source->dir);
        free(source->name);
        free(source);
    }
}

void
source_run(struct source *source)
{
    if (source->api) {
        source_api_run(source->api);
    } else {
        source_dir_run(source->dir);
    }
}

void
source_wait(struct source *source)
{
    if (source->api) {
        source_api_wait(source->api);
    } else {
        source_dir_wait(source->dir);
    }
}

const char *
source_name(const struct source *source)
{
    return source->name;
}

bool
source_synced(const struct source *source)
{
    return source->api ? source_api_synced(source->api) : source_dir_synced(source->dir);
}

const char *
source_problem(const struct source *source)
{
    return source->api ? source_api_problem(source->api) : NULL;
}

void
source_for_each_problem(const struct source *source, void (*cb)(const char *where, const char *problem, void *aux),
                        void *aux)
{
    if (source->api) {
        source_api_for_each_problem(source->api, cb, aux);
    } else {
        source_dir_for_each_problem(source->dir, cb, aux);
    }
}

bool
source_declares_pods(const struct source *source)
{
    return source->api != NULL;
}

struct kube_client *
source_kube_client(struct source *source)
{
    return source->api ? source_api_client(source->api) : NULL;
}

json_t *
source_to_json(const struct source *source)
{
    return source->api ? source_api_to_json(source->api)
           : json_pack("{s:s, s:s, s:b, s:I}", "type", "directory", "path", source->name, "synced",
                       (int) source_dir_synced(source->dir), "wrong", (json_int_t) source_dir_n_problems(source->dir));
}
