/* lib/cni-wire.h: what comes over the socket between plugin and daemon.  The first byte says in which direction. */

#include <config.h>

#include <jansson.h>
#include <string.h>

#include "cni-wire.h"
#include "fuzz.h"

static void
request(const void *data, size_t size, int depth)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_request r;
    int status = cni_request_parse(data, size, &r, &error);
    FUZZ_CHECK(!status || (depth == 0 && error.message), "an accepted request is refused: %s", error_message(&error));
    if (!status && depth == 0) {
        json_t *json = cni_request_to_json(&r);
        char *text = json_dumps(json, JSON_COMPACT);
        FUZZ_CHECK(text, "it cannot be written");
        request(text, strlen(text), 1);
        free(text);
        json_decref(json);
    }
    if (!status) {
        cni_request_destroy(&r);
    }
}

static void
reply(const void *data, size_t size, int depth)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_reply r;
    int status = cni_reply_parse(data, size, &r, &error);
    FUZZ_CHECK(!status || (depth == 0 && error.message), "an accepted reply is refused: %s", error_message(&error));
    if (!status && depth == 0) {
        json_t *json = cni_reply_to_json(&r);
        char *text = json_dumps(json, JSON_COMPACT);
        FUZZ_CHECK(text, "it cannot be written");
        reply(text, strlen(text), 1);
        free(text);
        json_decref(json);
    }
    if (!status) {
        cni_reply_destroy(&r);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size) {
        (data[0] == '>' ? request : reply)(data + 1, size - 1, 0);
    }
    return 0;
}
