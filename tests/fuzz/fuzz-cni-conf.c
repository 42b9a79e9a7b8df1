/* lib/cni-conf.h: environment (lines up to an empty one) and stdin of the plugin. */

#include <config.h>

#include <jansson.h>
#include <string.h>

#include "cni-conf.h"
#include "fuzz.h"

#define MAX_ENVIRONMENT 32

/* What environment and configuration make of it must be what the daemon takes. */
static void
check_request(const struct cni_conf *conf, const struct cni_env *env)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_request request, copy;
    FUZZ_CHECK(cni_conf_to_request(conf, env, &request), "no memory");
    json_t *json = cni_request_to_json(&request);
    char *text = json_dumps(json, JSON_COMPACT);
    FUZZ_CHECK(text, "it cannot be written");
    FUZZ_CHECK(!cni_request_parse(text, strlen(text), &copy, &error), "%s: %s", text, error_message(&error));
    cni_request_destroy(&copy);
    cni_request_destroy(&request);
    free(text);
    json_decref(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char *environment[MAX_ENVIRONMENT + 1] = { NULL };
    size_t n = 0;

    while (size && *data != '\n' && n < MAX_ENVIRONMENT) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? end - data : size;
        environment[n++] = strndup((const char *) data, length);
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    if (size && *data == '\n') {
        data++;
        size--;
    }

    struct cni_env env;
    struct cni_conf conf;
    enum cni_code code = cni_env_parse(environment, &env, &error);
    if (!code) {
        code = cni_conf_parse(data, size, &env, &conf, &error);
        if (!code) {
            if (env.verb != CNI_VERSION && !env.about) {
                check_request(&conf, &env);
            }
            cni_conf_destroy(&conf);
        }
        cni_env_destroy(&env);
    }
    FUZZ_CHECK(!code || error.message, "no message");
    free(cni_conf_peek_version(data, size));
    for (size_t i = 0; i < n; i++) {
        free(environment[i]);
    }
    return 0;
}
