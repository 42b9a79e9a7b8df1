#ifndef SLUICE_MANIFESTS_H
#define SLUICE_MANIFESTS_H 1

/* Files of manifests, which objects each of them declares, and what is wrong with them: what source-dir.h rests on.
 *
 * Each file is read as a whole or not at all, so its last good version stays when a new one is wrong (but see source-dir.h for
 * policies).  Where several files
 * declare one object the first in the order of paths counts; the others take over, in that order, when it goes. */

#include "controller/store.h"

struct manifests;

typedef void manifests_problem_cb(const char *file, const char *problem, void *aux);

struct manifests *manifests_create(const char *root, struct store *);
void manifests_destroy(struct manifests *);     /* Leaves the store as it is. */

/* Whether a file of this name is read at all: *.yaml, *.yml, *.json, not hidden. */
bool manifests_name_ok(const char *name);
/* 'path' is new or may have changed: it is read when manifests_run() is called, or forgotten if it is gone. */
void manifests_touch(struct manifests *, const char *path);
/* Touches every file below the root whose identity, size or time of change differs, and those that are gone; calls 'dir_cb' for
 * each folder before it is read.  False if the root cannot be read; that is then a problem of the list. */
bool manifests_scan(struct manifests *, void (*dir_cb)(const char *dir, void *aux), void *aux);
/* Reads what was touched, into the store. */
void manifests_run(struct manifests *);
bool manifests_is_dirty(const struct manifests *);

size_t manifests_n_problems(const struct manifests *);
void manifests_for_each_problem(const struct manifests *, manifests_problem_cb *, void *aux);

#endif /* controller/manifests.h */
