#ifndef SLUICE_JOURNAL_H
#define SLUICE_JOURNAL_H 1

/* An append-only journal with checksums and group commit.
 *
 * File: an 8-byte magic "SLUICEJ1", then records: 32-bit length and 32-bit CRC-32C (RFC 3720, B.4) of length and
 * payload, both little-endian, then the payload, which this module does not look into (JSON by convention).  A record
 * whose length, checksum or end is wrong ends the replay: what is intact before it is kept, the rest is moved aside to
 * FILE.corrupt-N for the operator and reported, and the journal goes on behind the last good record.
 *
 * Appending write()s at once, so a process that is killed at any instruction loses nothing that journal_append()
 * returned success for.  fsync() (power loss) is done by a helper thread for all that has been appended meanwhile:
 * group commit.  Wait for it with journal_synced() and journal_wait().
 *
 * A full disk or a read-only file system makes journal_append() fail with the file as it was before (a partial write is
 * truncated away), and the next append may succeed.  (A process with a limit of its file size must ignore SIGXFSZ.)
 *
 * Fault points (fault.h): journal-append, journal-appended, journal-sync, journal-rewrite, journal-rewritten (before
 * the rename), journal-renamed.  The format alone, without I/O, is journal-format.h. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct journal;

struct journal_record {
    const void *payload;
    size_t size;
};

#define JOURNAL_MAX_RECORD 65536

typedef int journal_replay_cb(const void *payload, size_t size, void *aux, struct error *);

struct journal_report {
    size_t n_records;
    size_t lost_bytes;                  /* Torn or corrupt, moved aside. */
    char *saved_as;                     /* Where to, or NULL.  Owned by the caller. */
};

/* Opens or creates 'path' (mode 0600), locks it against a second daemon (EWOULDBLOCK), and replays each record through
 * 'cb'.  A failure of 'cb' fails the opening: a record with a good checksum that cannot be understood is a newer
 * version's or a bug, and must not be thrown away.  So does a file that begins with another magic (EPROTO), and a
 * corrupt rest that cannot be moved aside; a last record that is only torn is dropped even then (a full disk), and
 * 'saved_as' stays NULL.  '*report' (may be NULL) is filled on success. */
int journal_open(const char *path, journal_replay_cb *cb, void *aux, struct journal **, struct journal_report *,
                 struct error *);
void journal_close(struct journal *);   /* Syncs first. */

/* A journal is not opened or grown beyond this: its owner must rewrite it long before (EFBIG). */
#define JOURNAL_MAX_SIZE (256 * 1024 * 1024)

/* Appends one record.  '*seqno' (if not NULL) is what journal_synced() must reach for it to survive a power loss. */
int journal_append(struct journal *, const void *payload, size_t size, uint64_t *seqno, struct error *);
uint64_t journal_synced(const struct journal *);
/* The last error of fsync() (0: none); the journal is then read-only until journal_rewrite() succeeds. */
int journal_sync_error(const struct journal *);
/* Wakes poll_block() when journal_synced() changes from 'seen'. */
void journal_wait(struct journal *, uint64_t seen);

/* Replaces the whole content by the given records: temporary file (FILE.new), fsync, rename, fsync of the folder.  When
 * it fails the old content is still there (if only the fsync of the folder fails: the new one, and the journal is
 * read-only until the next try).  Blocks for as long as the disk takes.  Everything appended before counts as synced
 * after it, because the records given must mean the same.  Worth while when journal_size() is far more than the live
 * records need. */
int journal_rewrite(struct journal *, const struct journal_record *records, size_t n, struct error *);
size_t journal_size(const struct journal *);

#endif /* lib/journal.h */
