#ifndef SLUICE_SOURCE_API_H
#define SLUICE_SOURCE_API_H 1

/* The Kubernetes API as the source of objects.
 *
 * One reflector for each kind (kube-reflector.h) over one client (kube-client.h); source-kind.h puts what they
 * bring into the store.  Nothing waits for anything: kinds are listed side by side, and each is in force as soon as
 * it is read.
 *
 * Synced once every kind has been listed (or is one that may be absent, and is): one that the server refuses keeps
 * the source from being synced, so that a node never acts on half of what the cluster says, unless it is an
 * optional one that may not be read.  Later the last state stays in force for as long as the server is away.
 *
 * Follows the run / wait pattern. */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "controller/store.h"

struct kube_client;
struct source_api;

/* 'kubeconfig' NULL: the service account of the pod that we run in. */
struct source_api *source_api_create(const char *kubeconfig, struct store *);
void source_api_destroy(struct source_api *);
void source_api_run(struct source_api *);
void source_api_wait(struct source_api *);

bool source_api_synced(const struct source_api *);
/* NULL, or why the API cannot be read now, and since when.  That an optional kind (kube_kind_is_optional()) may not
 * be read does not count: it is for source_api_for_each_problem(). */
const char *source_api_problem(const struct source_api *);
void source_api_for_each_problem(const struct source_api *,
                                 void (*cb)(const char *where, const char *problem, void *aux), void *aux);
struct kube_client *source_api_client(struct source_api *);
/* For the status; a new reference. */
json_t *source_api_to_json(const struct source_api *);

#endif /* controller/source-api.h */
