#include <config.h>

#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "journal-format.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "seq.h"
#include "util.h"

#define MAX_ASIDE 99                    /* FILE.corrupt-1 to FILE.corrupt-99. */

struct journal {
    char *path, *name;                  /* 'name' is the last part of 'path'. */
    int dir_fd;
    int fd;                             /* Changed only while the syncer is idle. */
    size_t size;                        /* Good bytes. */
    bool dirty;                         /* There may be something behind 'size'. */

    struct ovs_mutex mutex;             /* Protects the following. */
    pthread_cond_t cond;                /* 'appended', 'syncing' or 'stop' changed. */
    uint64_t appended, synced;          /* Numbers of records. */
    int sync_error;
    bool syncing, stop;

    struct seq *changed;                /* 'synced' or 'sync_error' did. */
    pthread_t syncer;
};

static int open_locked(struct journal *, struct error *);
static int recover(struct journal *, journal_replay_cb *, void *aux, struct journal_report *, struct error *);
static int read_all(const struct journal *, void **data, size_t *size, struct error *);
static int move_aside(struct journal *, const char *data, size_t size, const struct journal_extent *, char **saved_as,
                      struct error *);
static int write_all(int fd, const void *data, size_t size, size_t offset);
static int sync_folder(const struct journal *, struct error *);
static int truncate_tail(struct journal *);
static void *syncer_main(void *journal_);
static void free_journal(struct journal *);

int
journal_open(const char *path, journal_replay_cb *cb, void *aux, struct journal **journalp,
             struct journal_report *report, struct error *error)
{
    struct journal *j = xzalloc(sizeof *j);
    char *dir = dir_name(path);
    j->path = xstrdup(path);
    j->name = base_name(path);
    j->fd = -1;
    ovs_mutex_init(&j->mutex);
    xpthread_cond_init(&j->cond, NULL);
    j->changed = seq_create();

    struct journal_report found = { .saved_as = NULL };
    int status = 0;
    j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir_fd < 0) {
        status = error_set_errno(error, errno, "opening folder %s", dir);
    }
    status = status ? status : open_locked(j, error);
    status = status ? status : recover(j, cb, aux, &found, error);
    free(dir);
    if (status) {
        error_wrap(error, "journal %s", path);
        free_journal(j);
        free(found.saved_as);
        return status;
    }

    j->syncer = ovs_thread_create("journal_sync", syncer_main, j);
    if (report) {
        *report = found;
    } else {
        free(found.saved_as);
    }
    *journalp = j;
    return 0;
}

void
journal_close(struct journal *j)
{
    if (j) {
        ovs_mutex_lock(&j->mutex);
        j->stop = true;
        xpthread_cond_broadcast(&j->cond);
        ovs_mutex_unlock(&j->mutex);
        xpthread_join(j->syncer, NULL);
        free_journal(j);
    }
}

int
journal_append(struct journal *j, const void *payload, size_t size, uint64_t *seqno, struct error *error)
{
    int sync_error = journal_sync_error(j);
    if (sync_error) {
        return error_set_errno(error, sync_error, "journal %s takes no records since its disk failed", j->path);
    } else if (j->size + size > JOURNAL_MAX_SIZE) {
        return error_set(error, EFBIG, "journal %s has reached %d MiB", j->path, JOURNAL_MAX_SIZE >> 20);
    }

    uint64_t stub[512 / sizeof(uint64_t)];
    struct ofpbuf buf = OFPBUF_STUB_INITIALIZER(stub);
    int status = journal_format_put(&buf, payload, size, error);
    if (!status) {
        status = j->dirty ? truncate_tail(j) : 0;
        status = status ? status : fault_point("journal-append");
        status = status ? status : write_all(j->fd, buf.data, buf.size, j->size);
        if (status) {
            truncate_tail(j);
            error_set_errno(error, status, "appending to journal %s (nothing is lost; free space on its disk, or make "
                            "it writable)", j->path);
        }
    }
    if (!status) {
        j->size += buf.size;
        ovs_mutex_lock(&j->mutex);
        j->appended++;
        if (seqno) {
            *seqno = j->appended;
        }
        xpthread_cond_broadcast(&j->cond);
        ovs_mutex_unlock(&j->mutex);
        ignore(fault_point("journal-appended"));
    }
    ofpbuf_uninit(&buf);
    return status;
}

uint64_t
journal_synced(const struct journal *j)
{
    ovs_mutex_lock(&j->mutex);
    uint64_t synced = j->synced;
    ovs_mutex_unlock(&j->mutex);
    return synced;
}

int
journal_sync_error(const struct journal *j)
{
    ovs_mutex_lock(&j->mutex);
    int error = j->sync_error;
    ovs_mutex_unlock(&j->mutex);
    return error;
}

void
journal_wait(struct journal *j, uint64_t seen)
{
    uint64_t value = seq_read(j->changed);
    if (journal_synced(j) != seen) {
        poll_immediate_wake();
    } else {
        seq_wait(j->changed, value);
    }
}

/* Writes the new content into 'fd' and puts it in the place of the old one.  '*size' is its size. */
static int
replace(struct journal *j, const char *temp, int fd, const struct journal_record *records, size_t n, size_t *size,
        struct error *error)
{
    struct ofpbuf buf;
    int status = 0;

    ofpbuf_init(&buf, 4096);
    journal_format_put_magic(&buf);
    for (size_t i = 0; i < n && !status; i++) {
        status = journal_format_put(&buf, records[i].payload, records[i].size, error);
    }
    if (!status) {
        *size = buf.size;
        status = flock(fd, LOCK_EX | LOCK_NB) ? errno : fault_point("journal-rewrite");
        status = status ? status : write_all(fd, buf.data, buf.size, 0);
        status = status ? status : fsync(fd) ? errno : fault_point("journal-rewritten");
        status = status ? status : renameat(j->dir_fd, temp, j->dir_fd, j->name) ? errno : 0;
        if (status) {
            error_set_errno(error, status, "writing %s", temp);
        }
    }
    ofpbuf_uninit(&buf);
    return status;
}

int
journal_rewrite(struct journal *j, const struct journal_record *records, size_t n, struct error *error)
{
    char *temp = xasprintf("%s.new", j->name);
    size_t size = 0;
    int status = 0;

    ignore(unlinkat(j->dir_fd, temp, 0));
    int fd = openat(j->dir_fd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        status = error_set_errno(error, errno, "creating %s", temp);
    } else {
        status = replace(j, temp, fd, records, n, &size, error);
        if (status) {
            close(fd);
            ignore(unlinkat(j->dir_fd, temp, 0));
        }
    }
    free(temp);
    if (status) {
        error_wrap(error, "rewriting journal %s", j->path);
        return status;
    }

    status = fault_point("journal-renamed");
    status = status ? status : sync_folder(j, error);
    ovs_mutex_lock(&j->mutex);
    while (j->syncing) {
        ovs_mutex_cond_wait(&j->cond, &j->mutex);
    }
    close(j->fd);
    j->fd = fd;
    j->size = size;
    j->dirty = false;
    j->sync_error = status;
    j->synced = status ? j->synced : j->appended;
    ovs_mutex_unlock(&j->mutex);
    seq_change(j->changed);
    return status;
}

size_t
journal_size(const struct journal *j)
{
    return j->size;
}

/* Opens the file and locks it; again if another process renamed a new one into its place in between. */
static int
open_locked(struct journal *j, struct error *error)
{
    for (;;) {
        struct stat mine, there;

        j->fd = openat(j->dir_fd, j->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (j->fd < 0) {
            return error_set_errno(error, errno, "opening it for writing");
        } else if (fstat(j->fd, &mine)) {
            return error_set_errno(error, errno, "fstat");
        } else if (!S_ISREG(mine.st_mode)) {
            return error_set(error, EINVAL, "it is not a regular file");
        } else if (flock(j->fd, LOCK_EX | LOCK_NB)) {
            return errno == EWOULDBLOCK
                   ? error_set(error, EWOULDBLOCK, "another process uses it: does a daemon run already?")
                   : error_set_errno(error, errno, "locking it");
        } else if (!fstatat(j->dir_fd, j->name, &there, AT_SYMLINK_NOFOLLOW)
                   && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino) {
            char *temp = xasprintf("%s.new", j->name);
            ignore(unlinkat(j->dir_fd, temp, 0));       /* Of a rewrite that was interrupted. */
            free(temp);
            return 0;
        }
        close(j->fd);
        j->fd = -1;
    }
}

/* Replays what is good, and makes the file end behind it. */
static int
recover(struct journal *j, journal_replay_cb *cb, void *aux, struct journal_report *report, struct error *error)
{
    struct journal_extent extent = { .n_records = 0 };
    void *data = NULL;
    size_t size = 0;
    int status = read_all(j, &data, &size, error);
    if (status) {
        return status;
    }

    status = journal_format_replay(data, size, cb, aux, &extent, error);
    if (!status && !extent.good_size) {
        status = write_all(j->fd, JOURNAL_MAGIC, JOURNAL_MAGIC_LEN, 0);
        status = status ? status : fsync(j->fd) ? errno : 0;
        status = status ? error_set_errno(error, status, "creating it") : sync_folder(j, error);
        extent.good_size = JOURNAL_MAGIC_LEN;
    } else if (!status && extent.end != JOURNAL_INTACT) {
        report->lost_bytes = size - extent.good_size;
        status = move_aside(j, data, size, &extent, &report->saved_as, error);
    }
    report->n_records = extent.n_records;
    j->size = extent.good_size;
    if (!status && size > j->size) {
        status = truncate_tail(j);
        status = status ? status : fsync(j->fd) ? errno : 0;
        if (status) {
            error_set_errno(error, status, "cutting off its torn end");
        }
    }
    free(data);
    return status;
}

static int
read_all(const struct journal *j, void **data, size_t *size, struct error *error)
{
    struct stat s;
    if (fstat(j->fd, &s)) {
        return error_set_errno(error, errno, "fstat");
    } else if (s.st_size > JOURNAL_MAX_SIZE) {
        return error_set(error, EFBIG, "it has %jd bytes, more than %d MiB", (intmax_t) s.st_size,
                         JOURNAL_MAX_SIZE >> 20);
    }

    char *buf = xmalloc(s.st_size + 1);
    size_t n = 0;
    while (n < s.st_size) {
        ssize_t retval = pread(j->fd, buf + n, s.st_size - n, n);
        if (retval < 0 && errno != EINTR) {
            int status = error_set_errno(error, errno, "reading it");
            free(buf);
            return status;
        } else if (!retval) {
            break;
        }
        n += MAX(retval, 0);
    }
    *data = buf;
    *size = n;
    return 0;
}

/* Saves what stands behind the good records as FILE.corrupt-N. */
static int
move_aside(struct journal *j, const char *data, size_t size, const struct journal_extent *extent, char **saved_as,
           struct error *error)
{
    int fd = -1, status = EEXIST;
    char *name = NULL;

    for (int n = 1; n <= MAX_ASIDE && fd < 0 && status == EEXIST; n++) {
        free(name);
        name = xasprintf("%s.corrupt-%d", j->name, n);
        fd = openat(j->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        status = fd < 0 ? errno : 0;
    }
    if (!status) {
        status = write_all(fd, data + extent->good_size, size - extent->good_size, 0);
        status = status ? status : fsync(fd) ? errno : 0;
        if (status) {
            ignore(unlinkat(j->dir_fd, name, 0));
        } else {
            *saved_as = xasprintf("%.*s%s", (int) (strlen(j->path) - strlen(j->name)), j->path, name);
        }
        close(fd);
    }
    free(name);
    if (status && extent->end != JOURNAL_TORN) {
        return error_set_errno(error, status, "it is corrupt from byte %"PRIuSIZE" on, and the rest could not be saved "
                               "as %s.corrupt-N", extent->good_size, j->name);
    }
    return status ? 0 : sync_folder(j, error);
}

static int
write_all(int fd, const void *data, size_t size, size_t offset)
{
    const char *p = data;
    while (size) {
        ssize_t n = pwrite(fd, p, size, offset);
        if (n < 0 && errno != EINTR) {
            return errno;
        } else if (!n) {
            return EIO;
        } else if (n > 0) {
            p += n;
            size -= n;
            offset += n;
        }
    }
    return 0;
}

static int
sync_folder(const struct journal *j, struct error *error)
{
    return fsync(j->dir_fd) ? error_set_errno(error, errno, "fsync of its folder") : 0;
}

/* Cuts off what an append that failed may have left. */
static int
truncate_tail(struct journal *j)
{
    int status = ftruncate(j->fd, j->size) ? errno : 0;
    j->dirty = status != 0;
    return status;
}

/* Group commit: one fdatasync() for all that was appended while the last one ran. */
static void *
syncer_main(void *journal_)
{
    struct journal *j = journal_;

    ovsrcu_quiesce_start();             /* This thread reads nothing that RCU protects, and blocks for long. */
    ovs_mutex_lock(&j->mutex);
    for (;;) {
        uint64_t target = j->appended;
        if (target > j->synced && !j->sync_error) {
            j->syncing = true;
            ovs_mutex_unlock(&j->mutex);
            int error = fault_point("journal-sync");
            error = error ? error : fdatasync(j->fd) ? errno : 0;
            ovs_mutex_lock(&j->mutex);
            j->syncing = false;
            j->sync_error = error;
            j->synced = error ? j->synced : target;
            xpthread_cond_broadcast(&j->cond);
            seq_change(j->changed);
        } else if (j->stop) {
            break;
        } else {
            ovs_mutex_cond_wait(&j->cond, &j->mutex);
        }
    }
    ovs_mutex_unlock(&j->mutex);
    return NULL;
}

static void
free_journal(struct journal *j)
{
    if (j->fd >= 0) {
        close(j->fd);
    }
    if (j->dir_fd >= 0) {
        close(j->dir_fd);
    }
    seq_destroy(j->changed);
    xpthread_cond_destroy(&j->cond);
    ovs_mutex_destroy(&j->mutex);
    free(j->name);
    free(j->path);
    free(j);
}
