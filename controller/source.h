#ifndef SLUICE_SOURCE_H
#define SLUICE_SOURCE_H 1

/* Where the objects come from: the Kubernetes API (source-api.h) or a directory of manifests (source-dir.h).
 *
 * Both fill the store (store.h) by the same decoders (kube-types.h); whoever reads the store cannot tell them apart.
 * Follows the run / wait pattern. */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "controller/store.h"

struct config;
struct kube_client;
struct source;

struct source *source_create(const struct config *, struct store *);
void source_destroy(struct source *);
void source_run(struct source *);
void source_wait(struct source *);

/* "the Kubernetes API", or the directory. */
const char *source_name(const struct source *);
/* True once the store holds everything that the source has; stays true when the source is lost afterwards. */
bool source_synced(const struct source *);
/* NULL: the source can be read now; else why not.  What was read before stays in force. */
const char *source_problem(const struct source *);
/* Objects that are wrong, each with why; the last good version of each stays in force. */
void source_for_each_problem(const struct source *,
                             void (*cb)(const char *where, const char *problem, void *aux), void *aux);
/* Every pod of this node is declared before or while it is attached: one that is not known is denied until it is.
 * True for the API; a directory of manifests need not name them. */
bool source_declares_pods(const struct source *);
/* For what we write back; NULL with a directory of manifests. */
struct kube_client *source_kube_client(struct source *);
/* For the status: {type, synced, ...}; a new reference. */
json_t *source_to_json(const struct source *);

#endif /* controller/source.h */
