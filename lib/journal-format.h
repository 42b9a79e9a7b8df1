#ifndef SLUICE_JOURNAL_FORMAT_H
#define SLUICE_JOURNAL_FORMAT_H 1

/* The bytes of a journal (journal.h), without I/O: so that the simulator and the fuzzer run what the daemon runs.
 *
 * An 8-byte magic, then records: 32-bit length of the payload, 32-bit CRC-32C (RFC 3720, B.4) of length and payload,
 * both little-endian, and the payload, 1 to JOURNAL_MAX_RECORD bytes. */

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "journal.h"

struct ofpbuf;

#define JOURNAL_MAGIC "SLUICEJ1"
#define JOURNAL_MAGIC_LEN 8
#define JOURNAL_HEADER_LEN 8

void journal_format_put_magic(struct ofpbuf *);
/* Appends one record.  EINVAL, with nothing appended, for an empty or too long payload. */
int journal_format_put(struct ofpbuf *, const void *payload, size_t size, struct error *);

enum journal_end {
    JOURNAL_INTACT,             /* The last byte belongs to a good record. */
    JOURNAL_TORN,               /* The file ends inside the last record: a write that was interrupted. */
    JOURNAL_CORRUPT             /* A record has a length or checksum that is wrong. */
};

struct journal_extent {
    size_t n_records;
    size_t good_size;           /* Magic and good records; 0: not even the magic is whole. */
    enum journal_end end;       /* What stands behind 'good_size'. */
};

/* Gives each good record to 'cb' (NULL: only counts).  Fails with EPROTO for bytes that do not begin like a journal of
 * this version, and with what 'cb' fails with; the extent is then what was good so far. */
int journal_format_replay(const void *data, size_t size, journal_replay_cb *cb, void *aux, struct journal_extent *,
                          struct error *);

#endif /* lib/journal-format.h */
