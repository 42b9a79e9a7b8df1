#ifndef SLUICE_SOURCE_DIR_H
#define SLUICE_SOURCE_DIR_H 1

/* A directory of manifests as the source of objects.
 *
 * Files *.yaml, *.yml and *.json at any depth, as "kubectl apply -f" takes them: several YAML documents, objects and Lists.
 * inotify picks up changes of single files.  A file that is half written or wrong keeps the last good version of its
 * objects and is named in the problems, with the place.  A policy that is wrong does not hold up the rest of its file, but takes
 * nothing away either; its last good version stays, or else it is there in the form that closes (kube_object_decode_closed()).
 * Named is also an object of a kind that Sluice does not read (the rest of its file counts), and one that another file, earlier in the order of paths, has too.  Names are checked before anything is made of
 * them.  A file may have SOURCE_DIR_MAX_FILE bytes; symbolic links to files are followed, to folders not. */

#include <stdbool.h>
#include <stddef.h>

#include "controller/store.h"

#define SOURCE_DIR_MAX_FILE (64 * 1024 * 1024)
#define SOURCE_DIR_MAX_DEPTH 16

struct source_dir;

/* The folder need not exist yet; until it does that is a problem in the list, and it is picked up when it comes. */
struct source_dir *source_dir_create(const char *path, struct store *);
void source_dir_destroy(struct source_dir *);
void source_dir_run(struct source_dir *);
void source_dir_wait(struct source_dir *);

/* True once the whole folder has been read. */
bool source_dir_synced(const struct source_dir *);
size_t source_dir_n_problems(const struct source_dir *);
void source_dir_for_each_problem(const struct source_dir *, void (*cb)(const char *file, const char *problem, void *aux),
                                 void *aux);

/* Reads the folder once into 'store', without watching it: "sluicectl compile".  ENOENT if it does not exist; problems as above
 * go to 'cb'. */
int source_dir_load(const char *path, struct store *, void (*cb)(const char *file, const char *problem, void *aux), void *aux,
                    struct error *);

#endif /* controller/source-dir.h */
