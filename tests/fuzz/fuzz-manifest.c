/* lib/yaml-json.h and the decoders of controller/kube-types.h: any bytes as a manifest. */

#include <config.h>

#include "controller/kube-types.h"
#include "fuzz.h"
#include "yaml-json.h"

static int
decode(const json_t *json, size_t line, void *aux, struct error *error)
{
    struct error mine = ERROR_INIT;
    struct kube_object *object, *again;

    FUZZ_CHECK(line > 0, "line %zu", line);
    int status = kube_object_decode(json, &object, &mine);
    if (!status) {
        FUZZ_CHECK(!kube_object_decode(json, &again, NULL) && kube_object_equal(object, again), "decoded differently");
        kube_object_destroy(object);
        kube_object_destroy(again);
    } else {
        FUZZ_CHECK(mine.message, "no message");
        const json_t *items = json_object_get(json, "items");
        for (size_t i = 0; !aux && i < json_array_size(items); i++) {
            decode(json_array_get(items, i), line, &mine, error);
        }
        error_clear(&mine);
    }
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    int status = yaml_json_parse("manifest", data, size, decode, NULL, &error);
    FUZZ_CHECK(!status || error.message, "no message");
    return 0;
}
