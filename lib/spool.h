#ifndef SLUICE_SPOOL_H
#define SLUICE_SPOOL_H 1

/* DELs that came while sluiced was away: written by ovs-cni, carried out and removed by sluiced.
 *
 * A directory with one file for each DEL, the JSON of its request (cni-wire.h).  A file appears complete or not at all:
 * temporary name, fsync, rename, fsync of the directory.  There is no limit to their number.  Names sort by time; they
 * begin with "del-".
 *
 * No DEL is missed if the daemon lists the spool only once it listens on its socket: ovs-cni tries the socket once more
 * after it wrote the file, and removes the file if the daemon then did the DEL itself.  A DEL whose connection was lost
 * or timed out is spooled too, while the daemon may be alive: so it also watches the directory (inotify: IN_MOVED_TO).
 *
 * Carrying a DEL out twice must do nothing.  One that is older than the attachment of that name ('time' below) must not
 * be carried out at all: an identity may have been used again since.  Only libc and jansson are used. */

#include "cni-wire.h"
#include "error.h"

/* Writes one DEL.  Creates the directory (mode 0700) and its parents.  '*name' (if not NULL) is the new file's name for
 * spool_remove(), owned by the caller. */
int spool_put(const char *dir, const struct cni_request *, char **name, struct error *);
/* 0 also when it does not exist. */
int spool_remove(const char *dir, const char *name, struct error *);

struct spool_entry {
    char *name;
    long long int time;                 /* When ovs-cni wrote it, milliseconds of the wall clock. */
    struct cni_request request;         /* A DEL. */
};

/* All entries, oldest first; a missing directory has none.  A file that is not a DEL is moved to "bad-..." beside it
 * and counted in '*n_bad': it stays for the operator. */
int spool_list(const char *dir, struct spool_entry **, size_t *n, size_t *n_bad, struct error *);
void spool_entries_free(struct spool_entry *, size_t n);

#endif /* lib/spool.h */
