#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

#define PREFIX "del-"
#define MAX_FILE 65536

/* Writing. ------------------------------------------------------------------------------------------------------- */

static int
make_directory(const char *dir)
{
    char *path = strdup(dir);
    int retval = path ? 0 : ENOMEM;

    for (char *p = path; !retval && p && *p;) {
        p += strspn(p, "/");
        p += strcspn(p, "/");
        char saved = *p;
        *p = '\0';
        if (mkdir(path, saved && strcspn(dir + (p - path) + 1, "/") ? 0755 : 0700) && errno != EEXIST) {
            retval = errno;
        }
        *p = saved;
    }
    free(path);
    return retval;
}

static int
open_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !(errno = make_directory(dir))) {
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return fd;
}

static int
write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n > 0) {
            data += n;
            size -= n;
        } else if (n < 0 && errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static int
fill(int fd, const char *text)
{
    int retval = fault_point("spool-write");

    retval = retval ? retval : write_all(fd, text, strlen(text));
    return retval ? retval : fsync(fd) ? errno : 0;
}

/* 'tmp' becomes 'name' when all is on the disk. */
static int
publish(int dirfd, const char *tmp, const char *name, const char *text)
{
    int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }

    int retval = fill(fd, text);
    if (close(fd) && !retval) {
        retval = errno;
    }
    retval = retval ? retval : fault_point("spool-rename");
    if (!retval && renameat(dirfd, tmp, dirfd, name)) {
        retval = errno;
    }
    if (retval) {
        unlinkat(dirfd, tmp, 0);
        return retval;
    }
    return fsync(dirfd) ? errno : 0;
}

static char *
entry_to_text(const struct cni_request *request, long long int time)
{
    json_t *json = cni_request_to_json(request);
    char *text = NULL;

    if (json && !json_object_set_new(json, "time", json_integer(time))) {
        text = json_dumps(json, JSON_COMPACT);
    }
    json_decref(json);
    return text;
}

int
spool_put(const char *dir, const struct cni_request *request, char **name, struct error *error)
{
    struct timespec now;
    char tmp[64], final[64];

    clock_gettime(CLOCK_REALTIME, &now);
    unsigned long long int ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
    snprintf(final, sizeof final, PREFIX "%020llu-%d", ns, (int) getpid());
    snprintf(tmp, sizeof tmp, ".tmp-%020llu-%d", ns, (int) getpid());

    char *text = entry_to_text(request, ns / 1000000);
    if (!text) {
        return error_set_errno(error, ENOMEM, "spooling the DEL");
    }
    int dirfd = open_directory(dir);
    int retval = dirfd < 0 ? errno : publish(dirfd, tmp, final, text);
    if (retval) {
        error_set_errno(error, retval, "spooling the DEL in %s", dir);
    } else if (name) {
        *name = strdup(final);
    }
    if (dirfd >= 0) {
        close(dirfd);
    }
    free(text);
    return retval;
}

int
spool_remove(const char *dir, const char *name, struct error *error)
{
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int retval = 0;

    if (dirfd < 0 || (unlinkat(dirfd, name, 0) && errno != ENOENT)) {
        retval = dirfd < 0 && errno == ENOENT ? 0 : errno;
    } else {
        fsync(dirfd);                   /* If this fails the DEL may be carried out twice, which does nothing. */
    }
    if (dirfd >= 0) {
        close(dirfd);
    }
    return retval ? error_set_errno(error, retval, "removing %s from the spool %s", name, dir) : 0;
}

/* Reading. ------------------------------------------------------------------------------------------------------- */

static int
entry_parse(const char *text, size_t size, struct spool_entry *e, struct error *error)
{
    int retval = cni_request_parse(text, size, &e->request, error);
    json_t *json = retval ? NULL : json_loadb(text, size, 0, NULL);

    if (!retval && e->request.verb != CNI_DEL) {
        cni_request_destroy(&e->request);
        retval = error_set(error, EINVAL, "not a DEL");
    }
    e->time = json_integer_value(json_object_get(json, "time"));
    json_decref(json);
    return retval;
}

static int
read_file(int dirfd, const char *name, char *text, size_t *size)
{
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }

    ssize_t n = 0;
    *size = 0;
    do {
        *size += n;
        n = read(fd, text + *size, MAX_FILE - *size);
    } while (n > 0);
    int retval = n < 0 ? errno : *size == MAX_FILE ? EMSGSIZE : 0;
    close(fd);
    return retval;
}

/* Appends to the list.  ENOENT if somebody else removed the file, EINVAL if it is moved aside. */
static int
read_entry(int dirfd, const char *name, char *text, struct spool_entry **entries, size_t *n)
{
    struct spool_entry e = { .name = NULL };
    size_t size = 0;
    int retval = read_file(dirfd, name, text, &size);

    if (retval == ENOENT) {
        return ENOENT;
    } else if (retval || entry_parse(text, size, &e, NULL)) {
        char bad[NAME_MAX + 8];
        snprintf(bad, sizeof bad, "bad-%s", name);
        renameat(dirfd, name, dirfd, bad);
        return EINVAL;
    }

    struct spool_entry *bigger = realloc(*entries, (*n + 1) * sizeof **entries);
    e.name = strdup(name);
    if (bigger) {
        *entries = bigger;
    }
    if (!bigger || !e.name) {
        free(e.name);
        cni_request_destroy(&e.request);
        return ENOMEM;
    }
    bigger[(*n)++] = e;
    return 0;
}

static int
compare_entries(const void *a_, const void *b_)
{
    const struct spool_entry *a = a_, *b = b_;
    return strcmp(a->name, b->name);
}

static int
read_all(DIR *d, struct spool_entry **entries, size_t *n, size_t *n_bad)
{
    char *text = malloc(MAX_FILE);
    int retval = text ? 0 : ENOMEM;
    struct dirent *de;

    while (!retval && (errno = 0, de = readdir(d))) {
        if (!strncmp(de->d_name, PREFIX, strlen(PREFIX))) {
            int e = read_entry(dirfd(d), de->d_name, text, entries, n);
            *n_bad += e == EINVAL;
            retval = e == ENOMEM ? e : 0;
        }
    }
    retval = retval ? retval : errno;
    free(text);
    return retval;
}

int
spool_list(const char *dir, struct spool_entry **entries, size_t *n, size_t *n_bad, struct error *error)
{
    DIR *d = opendir(dir);

    *entries = NULL;
    *n = *n_bad = 0;
    if (!d) {
        return errno == ENOENT ? 0 : error_set_errno(error, errno, "reading the spool %s", dir);
    }
    int retval = read_all(d, entries, n, n_bad);
    closedir(d);
    if (retval) {
        spool_entries_free(*entries, *n);
        *entries = NULL;
        *n = 0;
        return error_set_errno(error, retval, "reading the spool %s", dir);
    }
    if (*n) {
        qsort(*entries, *n, sizeof **entries, compare_entries);
    }
    return 0;
}

void
spool_entries_free(struct spool_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(entries[i].name);
        cni_request_destroy(&entries[i].request);
    }
    free(entries);
}
