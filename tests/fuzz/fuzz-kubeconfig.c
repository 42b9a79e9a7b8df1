/* lib/kubeconfig.h: any bytes as one or two kubeconfigs (a NUL byte stands between them), and as PEM. */

#include <config.h>

#include <string.h>

#include "fuzz.h"
#include "kubeconfig.h"
#include "pem.h"

static void
check_config(const struct kubeconfig *config)
{
    FUZZ_CHECK(config->server && !strncasecmp(config->server, "https://", 8), "server %s", config->server);
    FUZZ_CHECK(config->server[strlen(config->server) - 1] != '/', "server %s", config->server);
    FUZZ_CHECK(!config->token || !kubeconfig_check_token(config->token, NULL), "token");
    FUZZ_CHECK(!config->username == !config->password, "username");
    FUZZ_CHECK((config->certificate.path || config->certificate.pem.data)
               == (config->key.path || config->key.pem.data), "key");
    const struct kubeconfig_pem *ca = &config->ca;
    FUZZ_CHECK(!ca->pem.data || !pem_check_certificates(ca->pem.data, ca->pem.size, NULL), "ca");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    const char *text = (const char *) data;
    const char *nul = size ? memchr(text, 0, size) : NULL;
    size_t first = nul ? nul - text : size;
    struct kubeconfig_text texts[2] = { { "/a/one", text, first } };
    struct kubeconfig config;
    size_t n = 1;

    if (nul) {
        texts[n++] = (struct kubeconfig_text) { "two", nul + 1, size - first - 1 };
    }
    int status = kubeconfig_parse(texts, n, &config, &error);
    FUZZ_CHECK(!status == !error.message, "%d, \"%s\"", status, error_message(&error));
    if (!status) {
        check_config(&config);
        kubeconfig_destroy(&config);
    }

    char *decoded;
    size_t decoded_size;
    if (base64_decode(text, size, &decoded, &decoded_size)) {
        FUZZ_CHECK(decoded_size <= size / 4 * 3, "%zu of %zu", decoded_size, size);
        free(decoded);
    }
    pem_check_certificates(text, size, NULL);
    pem_check_key(text, size, NULL);
    return 0;
}
