#include <config.h>

#include "socket-watch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(socket_watch);

#define LOOK_MS 1000

struct socket_watch {
    char *path;                 /* NULL: nothing to watch. */
    int fd;                     /* inotify, or -1. */
    int wd;                     /* Of the folder that is watched, or -1. */
    char *watched;              /* That folder. */

    /* Without inotify, because all of its instances are taken: the socket's folder is looked at each second. */
    long long int next_look;
    struct timespec seen;       /* When it was changed; 0: it did not exist. */
};

static void begin(struct socket_watch *);
static void socket_watch_arm(struct socket_watch *);
static bool look(struct socket_watch *);

struct socket_watch *
socket_watch_create(const char *remote)
{
    struct socket_watch *watch = xzalloc(sizeof *watch);
    watch->fd = watch->wd = -1;
    if (!strncmp(remote, "unix:", 5)) {
        watch->path = xstrdup(remote + 5);
        begin(watch);
    }
    return watch;
}

void
socket_watch_destroy(struct socket_watch *watch)
{
    if (watch) {
        if (watch->fd >= 0) {
            close(watch->fd);
        }
        free(watch->watched);
        free(watch->path);
        free(watch);
    }
}

static void
begin(struct socket_watch *watch)
{
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) {
        VLOG_WARN_ONCE("inotify: %s: sockets that appear are noticed up to a second late; raise "
                       "fs.inotify.max_user_instances", ovs_strerror(errno));
        look(watch);
    }
    socket_watch_arm(watch);
}

/* Whether something has come into or gone from the socket's folder since the last look. */
static bool
look(struct socket_watch *watch)
{
    char *dir = dir_name(watch->path);
    struct stat st;
    struct timespec now = stat(dir, &st) ? (struct timespec) { 0 } : st.st_mtim;
    bool changed = now.tv_sec != watch->seen.tv_sec || now.tv_nsec != watch->seen.tv_nsec;

    free(dir);
    watch->seen = now;
    watch->next_look = time_msec() + LOOK_MS;
    return changed;
}

/* Watches the nearest existing folder above the socket.  Repeats as long as that becomes another one meanwhile. */
static void
socket_watch_arm(struct socket_watch *watch)
{
    if (watch->fd < 0) {
        return;
    }
    for (char *dir = dir_name(watch->path);;) {
        if (watch->watched && !strcmp(dir, watch->watched)) {
            free(dir);
            return;
        }
        int wd = inotify_add_watch(watch->fd, dir,
                                   IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
        if (wd >= 0) {
            if (watch->wd >= 0 && watch->wd != wd) {
                inotify_rm_watch(watch->fd, watch->wd);
            }
            free(watch->watched);
            watch->watched = dir;
            watch->wd = wd;
            dir = dir_name(watch->path);        /* It may have appeared between the failed and the good attempt. */
        } else {
            char *parent = dir_name(dir);
            bool top = !strcmp(parent, dir);
            free(dir);
            if (top) {
                free(parent);
                return;
            }
            dir = parent;
        }
    }
}

bool
socket_watch_run(struct socket_watch *watch)
{
    if (watch->path && watch->fd < 0) {
        return time_msec() >= watch->next_look && look(watch);
    }

    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    const char *base = watch->path ? strrchr(watch->path, '/') : NULL;
    bool appeared = false, moved = false;
    ssize_t n;

    while (watch->fd >= 0 && (n = read(watch->fd, buf, sizeof buf)) > 0) {
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *event = (const struct inotify_event *) p;
            p += sizeof *event + event->len;
            if (event->wd != watch->wd) {
                continue;
            } else if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
                moved = true;
            } else if (event->mask & IN_ISDIR
                       || (base && event->len && !strncmp(event->name, base + 1, strlen(base + 1)))) {
                appeared = true;
            }
        }
    }
    if (moved) {
        free(watch->watched);
        watch->watched = NULL;
        watch->wd = -1;
    }
    if (moved || appeared) {
        socket_watch_arm(watch);
    }
    return moved || appeared;
}

void
socket_watch_wait(const struct socket_watch *watch)
{
    if (watch->fd >= 0) {
        poll_fd_wait(watch->fd, POLLIN);
    } else if (watch->path) {
        poll_timer_wait_until(watch->next_look);
    }
}
