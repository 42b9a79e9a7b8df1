/* controller/config.h: any bytes as sluiced.yaml. */

#include <config.h>

#include "controller/config.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct config config;

    config_init(&config);
    int status = config_parse(&config, "sluiced.yaml", data, size, &error);
    if (!status) {
        status = config_validate(&config, &error);
    }
    FUZZ_CHECK(!status || error.message, "no message");
    config_destroy(&config);
    return 0;
}
