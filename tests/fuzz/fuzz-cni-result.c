/* ovs-cni/result.h: any JSON object as prevResult; the first byte is the CNI version.  What the plugin makes of it and
 * its own part can be read back. */

#include <config.h>

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "cni-wire.h"
#include "fuzz.h"
#include "json-get.h"
#include "ovs-cni/result.h"

/* What cni-conf.c lets through. */
static bool
is_result(const json_t *json)
{
    static const char *const lists[] = { "interfaces", "ips", "routes" };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const json_t *list = json_object_get(json, lists[i]);
        if (list && !json_is_null(list) && !json_is_array(list)) {
            return false;
        }
    }
    return json_is_object(json);
}

static void
read_back(const json_t *json, enum cni_version version)
{
    static const char reply_text[] =
        "{\"v\":1,\"code\":0,\"result\":{\"hostIfname\":\"slp0123456789ab\",\"hostMac\":\"02:00:00:00:00:02\","
        "\"ifname\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":1400,"
        "\"ips\":[{\"address\":\"10.244.1.9/32\",\"gateway\":\"10.244.1.1\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}";
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_request request;
    struct cni_reply reply;

    FUZZ_CHECK(!cni_reply_parse(reply_text, strlen(reply_text), &reply, &error), "%s", error_message(&error));
    json_t *result = result_create(version, json, &reply.result, "/run/netns/x", NULL);
    FUZZ_CHECK(json_is_object(result), "no result");
    char *text = json_dumps(result, JSON_COMPACT);
    FUZZ_CHECK(text, "it cannot be written");

    memset(&request, 0, sizeof request);
    result_to_check(result, "eth0", "/run/netns/x", &request, &error);
    cni_request_destroy(&request);
    free(text);
    json_decref(result);
    cni_reply_destroy(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    json_t *json = size ? json_get_load(data + 1, size - 1, &error) : NULL;
    if (is_result(json)) {
        struct cni_request request;
        memset(&request, 0, sizeof request);
        int code = result_to_check(json, "eth0", "/run/netns/x", &request, &error);
        FUZZ_CHECK(!code || error.message, "no message");
        cni_request_destroy(&request);
        read_back(json, data[0] % CNI_N_VERSIONS);
    }
    json_decref(json);
    return 0;
}
