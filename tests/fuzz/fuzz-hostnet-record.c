/* controller/hostnet-record.c: any bytes as the record of the uplink.  What was read is written, and read again, as
 * the same. */

#include <config.h>

#include <string.h>

#include "controller/hostnet-private.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct hostnet_record record, again;

    if (hostnet_record_parse((const char *) data, size, &record, &error)) {
        FUZZ_CHECK(error.message && !record.addrs && !record.routes, "no message, or something left");
        return 0;
    }
    FUZZ_CHECK(record.uplink[0], "no uplink");
    char *text = hostnet_record_format(&record);
    FUZZ_CHECK(text && !hostnet_record_parse(text, strlen(text), &again, &error), "%s", error_message(&error));
    char *text2 = hostnet_record_format(&again);
    FUZZ_CHECK(!strcmp(text, text2), "%s\n%s", text, text2);
    free(text);
    free(text2);
    hostnet_record_destroy(&record);
    hostnet_record_destroy(&again);
    return 0;
}
