#include <config.h>

#include "controller/manifests.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/source-dir.h"
#include "controller/source-kind.h"
#include "json-split.h"
#include "openvswitch/shash.h"
#include "sset.h"
#include "svec.h"
#include "util.h"
#include "yaml-json.h"

/* What tells that a file may have other content. */
struct stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct file {
    struct stamp stamp;
    struct sset keys;           /* Of the objects of its last good version; see key_format(). */
    struct svec problems;
    bool seen;                  /* By the scan that runs. */
};

struct manifests {
    char *root;
    struct store *store;
    struct shash files;         /* "struct file"s by path. */
    struct shash claims;        /* For each key a "struct sset" of the paths that declare it. */
    struct sset touched;        /* Paths. */
    char *root_problem;
};

struct manifests *
manifests_create(const char *root, struct store *store)
{
    struct manifests *m = xzalloc(sizeof *m);

    m->root = xstrdup(root);
    m->store = store;
    shash_init(&m->files);
    shash_init(&m->claims);
    sset_init(&m->touched);
    return m;
}

static void
file_destroy(struct file *file)
{
    sset_destroy(&file->keys);
    svec_destroy(&file->problems);
    free(file);
}

void
manifests_destroy(struct manifests *m)
{
    if (!m) {
        return;
    }

    struct shash_node *node;
    SHASH_FOR_EACH (node, &m->files) {
        file_destroy(node->data);
    }
    shash_destroy(&m->files);
    SHASH_FOR_EACH (node, &m->claims) {
        sset_destroy(node->data);
    }
    shash_destroy_free_data(&m->claims);
    sset_destroy(&m->touched);
    free(m->root_problem);
    free(m->root);
    free(m);
}

/* Claims. -------------------------------------------------------------------------------------------------------- */

static char *
key_format(enum kube_kind kind, const char *namespace_, const char *name)
{
    return xasprintf("%s/%s/%s", kube_kind_name(kind), namespace_, name);
}

static void
remove_from_store(struct manifests *m, const char *key)
{
    char *copy = xstrdup(key), *save = NULL;
    const char *kind_name = strtok_r(copy, "/", &save);
    char *rest = copy + strlen(kind_name) + 1;
    char *slash = strchr(rest, '/');
    enum kube_kind kind;

    *slash = '\0';
    if (kube_kind_from_name(kind_name, &kind)) {
        store_remove(m->store, kind, rest, slash + 1);
    }
    free(copy);
}

static const char *
first_path(const struct sset *paths)
{
    const char *first = NULL, *path;

    SSET_FOR_EACH (path, paths) {
        if (!first || strcmp(path, first) < 0) {
            first = path;
        }
    }
    return first;
}

/* The file no longer declares 'key': the next one takes over, or the object goes. */
static void
release_key(struct manifests *m, const char *path, const char *key)
{
    struct sset *paths = shash_find_data(&m->claims, key);
    bool was_first = !strcmp(first_path(paths), path);

    sset_find_and_delete(paths, path);
    if (sset_is_empty(paths)) {
        shash_find_and_delete(&m->claims, key);
        sset_destroy(paths);
        free(paths);
        remove_from_store(m, key);
    } else if (was_first) {
        sset_add(&m->touched, first_path(paths));
    }
}

/* The file declares 'object' (taken).  It counts if no earlier file has it. */
static void
claim_object(struct manifests *m, const char *path, struct file *file, struct kube_object *object)
{
    char *key = key_format(object->kind, object->namespace_, object->name);
    struct sset *paths = shash_find_data(&m->claims, key);

    if (!paths) {
        paths = xmalloc(sizeof *paths);
        sset_init(paths);
        shash_add(&m->claims, key, paths);
    }

    const char *before = first_path(paths);
    if (before && strcmp(before, path) < 0) {
        svec_add_nocopy(&file->problems, xasprintf("%s is declared by %s too, which comes first and counts", key, before));
        kube_object_destroy(object);
    } else {
        if (before && strcmp(before, path) > 0) {
            sset_add(&m->touched, before);
        }
        if (kube_object_problem(object)) {
            bool closed = store_put_closed(m->store, object);
            svec_add_nocopy(&file->problems, xasprintf("%s%s", key, closed ? SOURCE_KIND_CLOSED : SOURCE_KIND_KEPT));
        } else {
            store_put(m->store, object);
        }
    }
    sset_add(paths, path);
    free(key);
}

/* Reading. ------------------------------------------------------------------------------------------------------- */

/* The objects of one file while it is being read. */
struct reading {
    struct kube_object **objects;
    size_t n, allocated;
    struct sset keys;
    struct svec problems;
    bool has_closed;            /* A policy that is not understood is among the objects. */
    bool failed;                /* Of read_json(). */
};

static void
reading_init(struct reading *r)
{
    *r = (struct reading) { .problems = SVEC_EMPTY_INITIALIZER };
    sset_init(&r->keys);
}

static void
reading_destroy(struct reading *r)
{
    for (size_t i = 0; i < r->n; i++) {
        kube_object_destroy(r->objects[i]);
    }
    free(r->objects);
    sset_destroy(&r->keys);
    svec_destroy(&r->problems);
}

/* The form that closes of a policy that is wrong; NULL: it is something else. */
static struct kube_object *
decode_closed(const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "kind"));
    struct kube_object *object;
    enum kube_kind kind;

    return (name && kube_kind_from_name(name, &kind) && !kube_object_decode_closed(kind, json, &object)) ? object : NULL;
}

static int
read_object(struct reading *r, const json_t *json, size_t line)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object;
    int retval = kube_object_decode(json, &object, &error);

    if (retval == ENOTSUP) {
        svec_add_nocopy(&r->problems, xasprintf("line %zu: %s", line, error_message(&error)));
        return 0;
    }
    if (retval) {
        svec_add_nocopy(&r->problems, xasprintf("line %zu: %s", line, error_message(&error)));
        object = decode_closed(json);
        if (!object) {
            return retval;
        }
        r->has_closed = true;
    }

    char *key = key_format(object->kind, object->namespace_, object->name);
    if (!sset_add(&r->keys, key)) {
        svec_add_nocopy(&r->problems, xasprintf("line %zu: %s stands in this file twice; the first counts", line, key));
        kube_object_destroy(object);
    } else {
        if (r->n >= r->allocated) {
            r->objects = x2nrealloc(r->objects, &r->allocated, sizeof *r->objects);
        }
        r->objects[r->n++] = object;
    }
    free(key);
    return 0;
}

/* One document: an object, or a List of objects. */
static bool
is_list(const json_t *json)
{
    const char *kind = json_string_value(json_object_get(json, "kind"));

    return kind && strlen(kind) >= 4 && !strcmp(kind + strlen(kind) - 4, "List");
}

static int
read_document(const json_t *json, size_t line, void *reading, struct error *error OVS_UNUSED)
{
    const json_t *items = json_object_get(json, "items");

    if (!is_list(json) || !json_is_array(items)) {
        return read_object(reading, json, line);
    }

    const json_t *item;
    size_t i;
    json_array_foreach (items, i, item) {
        int retval = read_object(reading, item, line);
        if (retval) {
            return retval;
        }
    }
    return 0;
}

/* A file of JSON, element by element if it is a List: a fraction of the time and memory that YAML takes.  False: it is
 * something else, or something is wrong with it; 'r' is then to be thrown away, and YAML's parser tells. */

static bool
read_json_text(struct reading *r, const char *text, size_t size)
{
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json && !read_object(r, json, 1);

    json_decref(json);
    return ok;
}

struct json_reading {
    struct reading *r;
    bool has_items;
};

static bool
read_json_item(void *jr_, const char *text, size_t size)
{
    struct json_reading *jr = jr_;

    jr->has_items = true;
    return read_json_text(jr->r, text, size);
}

static bool
read_json_rest(void *jr_, const char *text, size_t size)
{
    struct json_reading *jr = jr_;
    json_t *rest = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    bool ok = jr->has_items ? is_list(rest) : rest && !is_list(rest) && !read_object(jr->r, rest, 1);

    json_decref(rest);
    return ok;
}

static void
json_too_large(void *jr_, const char *begin OVS_UNUSED, size_t size OVS_UNUSED)
{
    struct json_reading *jr = jr_;
    jr->r->failed = true;
}

static bool
read_json(struct reading *r, const char *text, size_t size)
{
    static const struct json_split_ops ops = { read_json_item, read_json_rest, json_too_large };
    struct json_reading jr = { .r = r };
    struct json_split *split = json_split_create(JSON_SPLIT_LIST, NULL, &ops, &jr);
    bool ok = !json_split_feed(split, text, size, NULL) && !json_split_end(split, NULL) && !r->failed;

    json_split_destroy(split);
    return ok;
}

/* Reads the whole file; NULL with errno set on failure. */
static char *
slurp(const char *path, size_t *size, struct stamp *stamp)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat s;
    char *text = NULL;
    int error = 0;

    if (fd < 0 || fstat(fd, &s)) {
        error = errno;
    } else if (!S_ISREG(s.st_mode)) {
        error = EINVAL;
    } else if (s.st_size > SOURCE_DIR_MAX_FILE) {
        error = EFBIG;
    } else {
        *stamp = (struct stamp) { s.st_dev, s.st_ino, s.st_size, s.st_mtim };
        text = xmalloc(s.st_size + 1);
        *size = 0;
        ssize_t n;
        while ((n = read(fd, text + *size, s.st_size - *size)) > 0) {
            *size += n;
        }
        error = n < 0 ? errno : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (error) {
        free(text);
        text = NULL;
    }
    errno = error;
    return text;
}

/* The file's new version is good: its objects replace those of the last one.  With a policy that is not understood it may
 * be half written: what it does not have any more stays. */
static void
accept_reading(struct manifests *m, const char *path, struct file *file, struct reading *r)
{
    const char *key;

    SSET_FOR_EACH_SAFE (key, &file->keys) {
        if (r->has_closed) {
            sset_add(&r->keys, key);
        } else if (!sset_contains(&r->keys, key)) {
            release_key(m, path, key);
        }
    }
    sset_swap(&file->keys, &r->keys);
    for (size_t i = 0; i < r->n; i++) {
        claim_object(m, path, file, r->objects[i]);
    }
    r->n = 0;
}

static void
forget_file(struct manifests *m, const char *path)
{
    struct file *file = shash_find_and_delete(&m->files, path);
    const char *key;

    if (file) {
        SSET_FOR_EACH (key, &file->keys) {
            release_key(m, path, key);
        }
        file_destroy(file);
    }
}

static struct file *
find_or_add_file(struct manifests *m, const char *path)
{
    struct file *file = shash_find_data(&m->files, path);

    if (!file) {
        file = xzalloc(sizeof *file);
        sset_init(&file->keys);
        svec_init(&file->problems);
        shash_add(&m->files, path, file);
    }
    return file;
}

static bool
is_json_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, ".json");
}

static void
read_file(struct manifests *m, const char *path)
{
    struct stamp stamp;
    size_t size;
    char *text = slurp(path, &size, &stamp);
    int slurp_errno = errno;

    if (!text && (slurp_errno == ENOENT || slurp_errno == ENOTDIR)) {
        forget_file(m, path);
        return;
    }

    struct file *file = find_or_add_file(m, path);
    ERROR_AUTO struct error error = ERROR_INIT;
    struct reading r;

    reading_init(&r);
    if (!text) {
        svec_add_nocopy(&r.problems, slurp_errno == EFBIG ? xasprintf("larger than %d MiB", SOURCE_DIR_MAX_FILE >> 20)
                        : slurp_errno == EINVAL ? xstrdup("not a regular file") : xstrdup(ovs_strerror(slurp_errno)));
        svec_swap(&file->problems, &r.problems);
    } else {
        file->stamp = stamp;
        bool bad = false;
        if (!is_json_name(path) || !read_json(&r, text, size)) {
            reading_destroy(&r);
            reading_init(&r);
            bad = yaml_json_parse("line", text, size, read_document, &r, &error);
        }
        if (bad && error.message) {
            svec_add(&r.problems, error_message(&error));
        }
        if (bad) {
            svec_add(&r.problems, sset_is_empty(&file->keys) ? "nothing of this file is used"
                     : "its last good version stays in force");
        }
        svec_swap(&file->problems, &r.problems);
        if (!bad) {
            accept_reading(m, path, file, &r);
        }
    }
    reading_destroy(&r);
    free(text);
}

/* Finding. ------------------------------------------------------------------------------------------------------- */

bool
manifests_name_ok(const char *name)
{
    const char *dot = strrchr(name, '.');
    return name[0] != '.' && dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

void
manifests_touch(struct manifests *m, const char *path)
{
    sset_add(&m->touched, path);
}

static void
scan_file(struct manifests *m, const char *path)
{
    struct file *file = shash_find_data(&m->files, path);
    struct stat s;

    if (file) {
        file->seen = true;
    }
    if (stat(path, &s) || !file || file->stamp.dev != s.st_dev || file->stamp.ino != s.st_ino
        || file->stamp.size != s.st_size || file->stamp.mtime.tv_sec != s.st_mtim.tv_sec
        || file->stamp.mtime.tv_nsec != s.st_mtim.tv_nsec) {
        manifests_touch(m, path);
    }
}

static bool
scan_dir(struct manifests *m, const char *dir, unsigned int depth, void (*dir_cb)(const char *, void *), void *aux)
{
    if (dir_cb) {
        dir_cb(dir, aux);
    }

    DIR *stream = opendir(dir);
    if (!stream) {
        return false;
    }

    struct dirent *de;
    while ((de = readdir(stream))) {
        char *path = xasprintf("%s/%s", dir, de->d_name);
        struct stat s;

        if (de->d_name[0] != '.' && !lstat(path, &s)) {
            if (S_ISDIR(s.st_mode) && depth < SOURCE_DIR_MAX_DEPTH) {
                scan_dir(m, path, depth + 1, dir_cb, aux);
            } else if (!S_ISDIR(s.st_mode) && manifests_name_ok(de->d_name)) {
                scan_file(m, path);
            }
        }
        free(path);
    }
    closedir(stream);
    return true;
}

bool
manifests_scan(struct manifests *m, void (*dir_cb)(const char *, void *), void *aux)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &m->files) {
        ((struct file *) node->data)->seen = false;
    }

    bool ok = scan_dir(m, m->root, 0, dir_cb, aux);
    free(m->root_problem);
    m->root_problem = ok ? NULL : xasprintf("cannot read this folder: %s", ovs_strerror(errno));
    if (ok) {
        SHASH_FOR_EACH (node, &m->files) {
            if (!((struct file *) node->data)->seen) {
                manifests_touch(m, node->name);
            }
        }
    }
    return ok;
}

bool
manifests_is_dirty(const struct manifests *m)
{
    return !sset_is_empty(&m->touched);
}

void
manifests_run(struct manifests *m)
{
    /* Reading one file may touch another that declares the same object, but never back and forth. */
    while (!sset_is_empty(&m->touched)) {
        struct sset touched = SSET_INITIALIZER(&touched);

        sset_swap(&touched, &m->touched);
        const char **paths = sset_sort(&touched);
        for (size_t i = 0; i < sset_count(&touched); i++) {
            read_file(m, paths[i]);
        }
        free(paths);
        sset_destroy(&touched);
    }
}

size_t
manifests_n_problems(const struct manifests *m)
{
    size_t n = m->root_problem != NULL;
    struct shash_node *node;

    SHASH_FOR_EACH (node, &m->files) {
        n += ((struct file *) node->data)->problems.n;
    }
    return n;
}

void
manifests_for_each_problem(const struct manifests *m, manifests_problem_cb *cb, void *aux)
{
    if (m->root_problem) {
        cb(m->root, m->root_problem, aux);
    }

    const struct shash_node **nodes = shash_sort(&m->files);
    for (size_t i = 0; i < shash_count(&m->files); i++) {
        const struct file *file = nodes[i]->data;
        for (size_t j = 0; j < file->problems.n; j++) {
            cb(nodes[i]->name, file->problems.names[j], aux);
        }
    }
    free(nodes);
}
