#include <config.h>

#include "controller/source-dir.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "controller/manifests.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "util.h"

/* A folder that inotify watches. */
struct watch {
    struct hmap_node node;              /* In 'watches', by descriptor. */
    int wd;
    char *dir;
};

struct source_dir {
    char *path;
    struct manifests *manifests;
    int inotify_fd;
    int inotify_errno;                  /* Why there is no 'inotify_fd'. */
    struct hmap watches;
    bool rescan;                        /* Folders came, went or are unknown. */
    bool synced;
};

static char *
without_trailing_slashes(const char *path)
{
    char *copy = xstrdup(path);

    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--) {
        copy[n - 1] = '\0';
    }
    return copy;
}

struct source_dir *
source_dir_create(const char *path, struct store *store)
{
    struct source_dir *source = xzalloc(sizeof *source);

    source->path = without_trailing_slashes(path);
    source->manifests = manifests_create(source->path, store);
    source->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    source->inotify_errno = source->inotify_fd < 0 ? errno : 0;
    hmap_init(&source->watches);
    source->rescan = true;
    return source;
}

static void
forget_watches(struct source_dir *source)
{
    struct watch *watch;

    HMAP_FOR_EACH_POP (watch, node, &source->watches) {
        free(watch->dir);
        free(watch);
    }
}

void
source_dir_destroy(struct source_dir *source)
{
    if (source) {
        forget_watches(source);
        hmap_destroy(&source->watches);
        if (source->inotify_fd >= 0) {
            close(source->inotify_fd);
        }
        manifests_destroy(source->manifests);
        free(source->path);
        free(source);
    }
}

static struct watch *
find_watch(const struct source_dir *source, int wd)
{
    struct watch *watch;

    HMAP_FOR_EACH_WITH_HASH (watch, node, wd, &source->watches) {
        if (watch->wd == wd) {
            return watch;
        }
    }
    return NULL;
}

/* A file counts when its writer closes it or moves it here, so that half a file is not seen. */
static void
watch_dir(const char *dir, void *source_)
{
    struct source_dir *source = source_;
    int wd = inotify_add_watch(source->inotify_fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE
                               | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);

    if (wd >= 0) {
        struct watch *watch = find_watch(source, wd);

        if (!watch) {
            watch = xmalloc(sizeof *watch);
            watch->wd = wd;
            watch->dir = NULL;
            hmap_insert(&source->watches, &watch->node, wd);
        } else {
            free(watch->dir);
        }
        watch->dir = xstrdup(dir);
    }
}

/* The folder is not there: its nearest parent that is will tell when that changes. */
static void
watch_parent(struct source_dir *source)
{
    char *dir = xstrdup(source->path);
    char *slash;

    while ((slash = strrchr(dir, '/'))) {
        slash[slash == dir] = '\0';
        if (!access(dir, F_OK) || slash == dir) {
            break;
        }
    }
    watch_dir(slash ? dir : ".", source);
    free(dir);
}

static void
rescan(struct source_dir *source)
{
    source->rescan = false;
    if (!manifests_scan(source->manifests, watch_dir, source)) {
        watch_parent(source);
    }
}

static void
handle_event(struct source_dir *source, const struct inotify_event *event)
{
    struct watch *watch = find_watch(source, event->wd);

    if (!watch || event->mask & (IN_Q_OVERFLOW | IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
        source->rescan = true;
    } else if (event->len && manifests_name_ok(event->name) && !strncmp(watch->dir, source->path, strlen(source->path))) {
        char *path = xasprintf("%s/%s", watch->dir, event->name);

        /* A new file is read when it is closed, but a link has nothing to close. */
        char target;
        if (!(event->mask & IN_CREATE) || readlink(path, &target, 1) >= 0) {
            manifests_touch(source->manifests, path);
        }
        free(path);
    } else if (strncmp(watch->dir, source->path, strlen(source->path))) {
        source->rescan = true;
    }
    if (watch && event->mask & IN_IGNORED) {
        hmap_remove(&source->watches, &watch->node);
        free(watch->dir);
        free(watch);
    }
}

static void
read_events(struct source_dir *source)
{
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;

    while ((n = read(source->inotify_fd, buffer, sizeof buffer)) > 0) {
        for (char *p = buffer; p < buffer + n; ) {
            const struct inotify_event *event = (const struct inotify_event *) (void *) p;

            handle_event(source, event);
            p += sizeof *event + event->len;
        }
    }
}

void
source_dir_run(struct source_dir *source)
{
    if (source->inotify_fd >= 0) {
        read_events(source);
    }
    if (source->rescan) {
        rescan(source);
    }
    manifests_run(source->manifests);
    source->synced = true;
}

void
source_dir_wait(struct source_dir *source)
{
    if (source->rescan || manifests_is_dirty(source->manifests)) {
        poll_immediate_wake();
    }
    if (source->inotify_fd >= 0) {
        poll_fd_wait(source->inotify_fd, POLLIN);
    }
}

bool
source_dir_synced(const struct source_dir *source)
{
    return source->synced;
}

size_t
source_dir_n_problems(const struct source_dir *source)
{
    return manifests_n_problems(source->manifests) + (source->inotify_errno != 0);
}

void
source_dir_for_each_problem(const struct source_dir *source, manifests_problem_cb *cb, void *aux)
{
    if (source->inotify_errno) {
        char *problem = xasprintf("changes are not seen, inotify is not available: %s; raise fs.inotify.max_user_instances",
                                  ovs_strerror(source->inotify_errno));
        cb(source->path, problem, aux);
        free(problem);
    }
    manifests_for_each_problem(source->manifests, cb, aux);
}

int
source_dir_load(const char *path, struct store *store, manifests_problem_cb *cb, void *aux, struct error *error)
{
    char *root = without_trailing_slashes(path);
    struct manifests *manifests = manifests_create(root, store);
    int retval = 0;

    if (!manifests_scan(manifests, NULL, NULL)) {
        retval = error_set(error, ENOENT, "%s: cannot read this folder of manifests", root);
    } else {
        manifests_run(manifests);
        manifests_for_each_problem(manifests, cb, aux);
    }
    manifests_destroy(manifests);
    free(root);
    return retval;
}
