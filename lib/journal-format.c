#include <config.h>

#include "journal-format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "openvswitch/ofpbuf.h"
#include "util.h"

static void
put_le32(uint8_t *p, uint32_t x)
{
    p[0] = x;
    p[1] = x >> 8;
    p[2] = x >> 16;
    p[3] = x >> 24;
}

static uint32_t
get_le32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
}

/* 'record' is length and payload without a gap: 4 + size bytes. */
static uint32_t
checksum(const uint8_t *record, size_t size)
{
    /* What crc32c() calls network byte order are the bytes of the number, lowest first (as SCTP sends them). */
    ovs_be32 crc = crc32c(record, 4 + size);
    uint8_t bytes[4];
    memcpy(bytes, &crc, sizeof bytes);
    return get_le32(bytes);
}

void
journal_format_put_magic(struct ofpbuf *buf)
{
    ofpbuf_put(buf, JOURNAL_MAGIC, JOURNAL_MAGIC_LEN);
}

int
journal_format_put(struct ofpbuf *buf, const void *payload, size_t size, struct error *error)
{
    if (!size || size > JOURNAL_MAX_RECORD) {
        return error_set(error, EINVAL, "a journal record has 1 to %d bytes, not %"PRIuSIZE, JOURNAL_MAX_RECORD, size);
    }

    /* The checksum is computed with the length right before the payload, then takes the length's place. */
    uint8_t *p = ofpbuf_put_uninit(buf, JOURNAL_HEADER_LEN + size);
    put_le32(p + 4, size);
    memcpy(p + JOURNAL_HEADER_LEN, payload, size);
    uint32_t crc = checksum(p + 4, size);
    put_le32(p, size);
    put_le32(p + 4, crc);
    return 0;
}

/* Looks at the record at 'p', 'left' > 0 bytes before the end.  'scratch' has room for 4 + JOURNAL_MAX_RECORD bytes. */
static enum journal_end
check_record(const uint8_t *p, size_t left, uint8_t *scratch, size_t *size)
{
    if (left < JOURNAL_HEADER_LEN) {
        return JOURNAL_TORN;
    }
    *size = get_le32(p);
    if (!*size || *size > JOURNAL_MAX_RECORD) {
        return JOURNAL_CORRUPT;
    } else if (*size > left - JOURNAL_HEADER_LEN) {
        return JOURNAL_TORN;
    }
    memcpy(scratch, p, 4);
    memcpy(scratch + 4, p + JOURNAL_HEADER_LEN, *size);
    return checksum(scratch, *size) == get_le32(p + 4) ? JOURNAL_INTACT : JOURNAL_CORRUPT;
}

int
journal_format_replay(const void *data, size_t size, journal_replay_cb *cb, void *aux, struct journal_extent *extent,
                      struct error *error)
{
    *extent = (struct journal_extent) { .end = JOURNAL_INTACT };
    if (memcmp(size ? data : "", JOURNAL_MAGIC, MIN(size, JOURNAL_MAGIC_LEN))) {
        extent->end = JOURNAL_CORRUPT;
        return error_set(error, EPROTO, "it is not a journal of this version: it begins with other bytes than \"%s\"",
                         JOURNAL_MAGIC);
    } else if (size < JOURNAL_MAGIC_LEN) {
        extent->end = size ? JOURNAL_TORN : JOURNAL_INTACT;
        return 0;
    }

    const uint8_t *p = data;
    uint8_t *scratch = xmalloc(4 + JOURNAL_MAX_RECORD);
    int status = 0;
    extent->good_size = JOURNAL_MAGIC_LEN;
    while (extent->good_size < size) {
        size_t length;
        extent->end = check_record(p + extent->good_size, size - extent->good_size, scratch, &length);
        if (extent->end != JOURNAL_INTACT) {
            break;
        }
        status = cb ? cb(p + extent->good_size + JOURNAL_HEADER_LEN, length, aux, error) : 0;
        if (status) {
            error_wrap(error, "record %"PRIuSIZE" at byte %"PRIuSIZE, extent->n_records + 1, extent->good_size);
            break;
        }
        extent->good_size += JOURNAL_HEADER_LEN + length;
        extent->n_records++;
    }
    free(scratch);
    return status;
}
