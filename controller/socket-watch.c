#include <config.h>

#include "socket-watch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "util.h"

struct socket_watch {
    char *path;                 /* NULL: nothing to watch. */
    int fd;                     /* inotify, or -1. */
    int wd;                     /* Of the folder that is watched, or -1. */
    char *watched;              /* That folder. */
};

static void socket_watch_arm(struct socket_watch *);

struct socket_watch *
socket_watch_create(const char *remote)
{
    struct socket_watch *watch = xzalloc(sizeof *watch);
    watch->fd = watch->wd = -1;
    if (!strncmp(remote, "unix:", 5)) {
        watch->path = xstrdup(remote + 5);
        watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        socket_watch_arm(watch);
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
    }
}
