#include <config.h>

#include "controller/log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/thread.h"
#include "ovs-thread.h"
#include "util.h"

struct log_file {
    pthread_t thread;
    bool started;                       /* The thread; main thread only. */
    int fd;                             /* Its own; -1: not open. */

    struct ovs_mutex mutex;
    pthread_cond_t wake;
    char *path OVS_GUARDED;
    struct ds queue OVS_GUARDED;
    uint64_t n_queued OVS_GUARDED;      /* Lines. */
    bool reopen OVS_GUARDED, stop OVS_GUARDED;
    struct log_file_stats stats OVS_GUARDED;
};

struct log_file *
log_file_create(const char *path)
{
    struct log_file *log = xzalloc(sizeof *log);

    log->fd = -1;
    log->path = xstrdup(path);
    ds_init(&log->queue);
    ovs_mutex_init(&log->mutex);
    xpthread_cond_init(&log->wake, NULL);
    return log;
}

void
log_file_destroy(struct log_file *log)
{
    if (!log) {
        return;
    }
    if (log->started) {
        ovs_mutex_lock(&log->mutex);
        log->stop = true;
        xpthread_cond_signal(&log->wake);
        ovs_mutex_unlock(&log->mutex);
        xpthread_join(log->thread, NULL);
    }
    if (log->fd >= 0) {
        close(log->fd);
    }
    ds_destroy(&log->queue);
    free(log->path);
    xpthread_cond_destroy(&log->wake);
    ovs_mutex_destroy(&log->mutex);
    free(log);
}

/* The thread. ---------------------------------------------------------------------------------------------------- */

static void
make_parents(const char *path)
{
    char *copy = xstrdup(path);

    for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(copy, 0755);
        *p = '/';
    }
    free(copy);
}

static int
write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? n : 0;
    }
    return 0;
}

/* Appends to the file, which is opened if it is not. */
static int
append(struct log_file *log, const char *path, const struct ds *lines)
{
    if (log->fd < 0) {
        make_parents(path);
        log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    }
    return log->fd < 0 ? errno : write_all(log->fd, lines->string, lines->length);
}

static void
write_queue(struct log_file *log)
    OVS_REQUIRES(log->mutex)
{
    struct ds lines = log->queue;
    uint64_t n = log->n_queued;
    char *path = xstrdup(log->path);
    bool reopen = log->reopen;

    ds_init(&log->queue);
    log->n_queued = 0;
    log->reopen = false;
    ovs_mutex_unlock(&log->mutex);

    if (reopen && log->fd >= 0) {
        close(log->fd);
        log->fd = -1;
    }
    int error = lines.length ? append(log, path, &lines) : 0;
    ds_destroy(&lines);
    free(path);

    ovs_mutex_lock(&log->mutex);
    log->stats.error = error;
    *(error ? &log->stats.n_lost : &log->stats.n_written) += n;
}

static void *
thread_main(void *log_)
{
    struct log_file *log = log_;

    ovs_mutex_lock(&log->mutex);
    for (;;) {
        while (!log->stop && !log->queue.length && !log->reopen) {
            ovs_mutex_cond_wait(&log->wake, &log->mutex);
        }
        if (log->stop && !log->queue.length) {
            break;
        }
        write_queue(log);
    }
    ovs_mutex_unlock(&log->mutex);
    return NULL;
}

/* The main thread. ----------------------------------------------------------------------------------------------- */

void
log_file_put(struct log_file *log, const char *line, size_t size)
{
    if (!log->started) {
        log->started = true;
        log->thread = ovs_thread_create("log-file", thread_main, log);
    }
    ovs_mutex_lock(&log->mutex);
    if (log->queue.length + size + 1 > LOG_FILE_MAX_QUEUE) {
        log->stats.n_lost++;
    } else {
        ds_put_buffer(&log->queue, line, size);
        ds_put_char(&log->queue, '\n');
        log->n_queued++;
        xpthread_cond_signal(&log->wake);
    }
    ovs_mutex_unlock(&log->mutex);
}

void
log_file_reopen(struct log_file *log, const char *path)
{
    ovs_mutex_lock(&log->mutex);
    if (path) {
        free(log->path);
        log->path = xstrdup(path);
    }
    log->reopen = true;
    xpthread_cond_signal(&log->wake);
    ovs_mutex_unlock(&log->mutex);
}

void
log_file_get_stats(struct log_file *log, struct log_file_stats *stats)
{
    ovs_mutex_lock(&log->mutex);
    *stats = log->stats;
    ovs_mutex_unlock(&log->mutex);
}
