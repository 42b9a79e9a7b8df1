#ifndef SLUICE_SOURCE_KIND_H
#define SLUICE_SOURCE_KIND_H 1

/* One kind of objects on its way from the Kubernetes API into the store.
 *
 * The receiver of a reflector (kube-reflector.h): decodes each object as it comes and puts it into the store.  A
 * list that is read anew marks what is there and sweeps what it did not bring, so that what did not change makes no
 * change.
 *
 * An object that is wrong is named in the problems until it is right or gone.  Its last good version stays in
 * force; a wrong object with another UID is another object, and takes the old one with it.  A policy without a good
 * version is there in the form that closes (kube_object_decode_closed()).  When a list had an
 * object that could not even be named, nothing is swept: which of those it did not bring it was is not known.
 *
 * A kind that is built into Kubernetes is always there: "not found" then means that something answers that is no
 * API server, and changes nothing.  The kind of a CustomResourceDefinition may be absent: then there are no
 * objects.
 *
 * Pure: no I/O, no clock. */

#include <stdbool.h>
#include <stddef.h>

#include "controller/store.h"
#include "kube-reflector.h"

/* Behind a problem's text: what holds until then. */
#define SOURCE_KIND_KEPT "; its last good version stays in force"
#define SOURCE_KIND_CLOSED "; until it is right, what it selects is cut off"

/* Problems that are kept with their text; more are counted. */
#define SOURCE_KIND_MAX_PROBLEMS 1000

struct source_kind;

struct source_kind *source_kind_create(enum kube_kind, struct store *);
void source_kind_destroy(struct source_kind *);

/* Their 'aux' is a struct source_kind. */
extern const struct reflector_ops source_kind_ops;
/* The same, which leave out what the kind's decoder does not read: two thirds of what reading a Pod costs. */
const struct reflector_ops *source_kind_reflector_ops(enum kube_kind);

/* The store has what the collection has, or had when it could be read last. */
bool source_kind_synced(const struct source_kind *);
bool source_kind_absent(const struct source_kind *);

size_t source_kind_n_problems(const struct source_kind *);
/* 'where' is "Pod NAMESPACE/NAME". */
void source_kind_for_each_problem(const struct source_kind *,
                                  void (*cb)(const char *where, const char *problem, void *aux), void *aux);

#endif /* controller/source-kind.h */
