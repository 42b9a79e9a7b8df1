/* lib/journal-format.h: any bytes as a journal.  The good part, written again, is the same bytes. */

#include <config.h>

#include <string.h>

#include "fuzz.h"
#include "journal-format.h"
#include "openvswitch/ofpbuf.h"

static int
collect(const void *payload, size_t size, void *buf, struct error *error)
{
    return journal_format_put(buf, payload, size, error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal_extent extent;
    struct ofpbuf buf;

    ofpbuf_init(&buf, size);
    journal_format_put_magic(&buf);
    if (!journal_format_replay(data, size, collect, &buf, &extent, &error)) {
        FUZZ_CHECK(extent.good_size <= size, "%zu of %zu bytes", extent.good_size, size);
        FUZZ_CHECK((extent.end == JOURNAL_INTACT) == (extent.good_size == size), "end %d", extent.end);
        if (extent.good_size) {
            FUZZ_CHECK(buf.size == extent.good_size && !memcmp(buf.data, data, buf.size), "written differently");
        }
    } else {
        FUZZ_CHECK(error.message, "no message");
    }
    ofpbuf_uninit(&buf);
    return 0;
}
