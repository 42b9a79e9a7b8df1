/* controller/attachment.h: lines as the records of a journal.  What was accepted and compacted is accepted again. */

#include <config.h>

#include <string.h>

#include "controller/attachment.h"
#include "controller/ipam.h"
#include "fuzz.h"
#include "journal.h"

static struct ipam *
create_ipam(void)
{
    struct inet_prefix cidrs[2];
    struct ipam *ipam = ipam_create(&(struct ipam_config) { IPAM_QUARANTINE_DEFAULT_MS, NULL, 0 });
    inet_prefix_parse("10.244.1.0/24", &cidrs[0], NULL);
    inet_prefix_parse("fd00:10:244:1::/120", &cidrs[1], NULL);
    ipam_set_pools(ipam, cidrs, 2, NULL);
    return ipam;
}

static void
check_snapshot(const struct attachments *t)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal_record *records;
    size_t n;
    struct ipam *ipam = create_ipam();
    struct attachments *copy = attachments_create(ipam, "boot");

    attachments_snapshot(t, 2000, &records, &n);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(records[i].size <= JOURNAL_MAX_RECORD, "%zu bytes", records[i].size);
        FUZZ_CHECK(!attachments_replay(copy, records[i].payload, records[i].size, &error), "%.*s: %s",
                   (int) records[i].size, (const char *) records[i].payload, error_message(&error));
    }
    FUZZ_CHECK(!attachments_recover(copy, 2000, &error), "%s", error_message(&error));
    attachments_free_snapshot(records, n);
    attachments_destroy(copy);
    ipam_destroy(ipam);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ipam *ipam = create_ipam();
    struct attachments *t = attachments_create(ipam, "boot");
    int status = 0;

    while (size && !status) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? end - data : size;
        status = attachments_replay(t, data, length, &error);
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    status = status ? status : attachments_recover(t, 1000, &error);
    if (!status) {
        for (struct attachment_effect *e; (e = attachments_pop(t)); ) {
            attachment_effect_destroy(e);
        }
        check_snapshot(t);
    } else {
        FUZZ_CHECK(error.message, "no message");
    }
    attachments_destroy(t);
    ipam_destroy(ipam);
    return 0;
}
