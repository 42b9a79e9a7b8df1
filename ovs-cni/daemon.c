/* plugin.h: talking to sluiced. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "plugin.h"

#define DEFAULT_SOCKET SLUICE_RUNDIR "/cni.sock"

/* Seconds.  ADD's is more than the daemon's own bound of an ADD, so that the daemon gives up, and cleans up, first; and
 * less than the two minutes of kubelet and the runtimes. */
#define DEFAULT_TIMEOUT 60
#define STATUS_TIMEOUT 3
#define DEFAULT_WAIT 5

/* Milliseconds between tries while a socket is there that nobody listens on. */
#define RETRY_MS 100

static long long int
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static const char *
socket_path(const struct plugin *plugin)
{
    return plugin->conf.socket ? plugin->conf.socket : DEFAULT_SOCKET;
}

static int
timeout_ms(const struct plugin *plugin)
{
    int s = plugin->conf.timeout ? plugin->conf.timeout : DEFAULT_TIMEOUT;
    return 1000 * (plugin->env.verb == CNI_STATUS && s > STATUS_TIMEOUT ? STATUS_TIMEOUT : s);
}

static int
wait_ms(const struct plugin *plugin)
{
    return plugin->env.verb == CNI_STATUS ? 0 : 1000 * (plugin->conf.wait >= 0 ? plugin->conf.wait : DEFAULT_WAIT);
}

int
daemon_try(struct plugin *plugin, const struct cni_request *request, struct cni_reply *reply, struct error *error)
{
    return cni_wire_call(socket_path(plugin), request, plugin->netns_fd, timeout_ms(plugin), reply, error);
}

enum cni_code
daemon_verdict(struct plugin *plugin, const struct cni_reply *reply, struct error *error)
{
    if (reply->code) {
        free(plugin->details);
        plugin->details = reply->details ? strdup(reply->details) : NULL;
        error_set(error, reply->code, "%s", reply->message ? reply->message : "sluiced refused without a reason");
    }
    return reply->code;
}

/* Waiting for a daemon that starts. ------------------------------------------------------------------------------ */

/* Wakes when something appears in the socket's directory; -1 when there is no such directory. */
static int
watch_directory(const char *path)
{
    char dir[CNI_MAX_PATH + 1];
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    const char *slash = strrchr(path, '/');

    snprintf(dir, sizeof dir, "%.*s", slash > path ? (int) (slash - path) : 1, path);
    if (fd >= 0 && inotify_add_watch(fd, dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool
is_absent(int retval)
{
    return retval == ENOENT || retval == ECONNREFUSED || retval == ENOTDIR;
}

/* Tries until somebody answers or 'deadline'. */
static int
try_until(struct plugin *plugin, const struct cni_request *request, long long int deadline, struct cni_reply *reply,
          struct error *error)
{
    int inotify_fd = watch_directory(socket_path(plugin));
    char events[4096];
    int retval;

    for (;;) {
        retval = daemon_try(plugin, request, reply, error);
        long long int left = deadline - now_ms();
        if (!is_absent(retval) || left <= 0) {
            break;
        }

        /* A socket that is there but refuses says nothing when it begins to listen, so that one is tried again after a
         * while. */
        struct pollfd pfd = { .fd = inotify_fd, .events = POLLIN };
        int max = retval == ENOENT && inotify_fd >= 0 ? left : RETRY_MS;
        poll(&pfd, 1, max < left ? max : left);
        while (inotify_fd >= 0 && read(inotify_fd, events, sizeof events) > 0) {
            continue;
        }
    }
    if (inotify_fd >= 0) {
        close(inotify_fd);
    }
    return retval;
}

enum cni_code
daemon_call(struct plugin *plugin, const struct cni_request *request, struct cni_reply *reply, struct error *error)
{
    long long int deadline = now_ms() + wait_ms(plugin);
    int retval = daemon_try(plugin, request, reply, error);

    if (is_absent(retval) && wait_ms(plugin)) {
        retval = try_until(plugin, request, deadline, reply, error);
    }
    if (!retval) {
        return daemon_verdict(plugin, reply, error);
    }

    enum cni_code code = retval == EPROTO || retval == ENOMEM || retval == ENAMETOOLONG ? CNI_E_FAILED
                         : retval == EACCES || retval == EPERM ? CNI_E_IO
                         : plugin->env.verb == CNI_STATUS ? CNI_E_UNAVAILABLE : CNI_E_AGAIN;
    plugin->unanswered = !is_absent(retval);
    if (is_absent(retval)) {
        error_wrap(error, "sluiced does not run");
    }
    if (error) {
        error->code = code;
    }
    return code;
}
