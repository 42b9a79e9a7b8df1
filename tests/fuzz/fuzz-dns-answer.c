/* Fuzz target of lib/dns-answer.h: a DNS message. */

#include <config.h>

#include <string.h>

#include "dns-answer.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_answer answer;
    ERROR_AUTO struct error error = ERROR_INIT;
    int retval = dns_answer_parse(data, size, &answer, &error);

    FUZZ_CHECK(answer.n_addrs <= DNS_MAX_ADDRS, "%zu addresses", answer.n_addrs);
    FUZZ_CHECK(strnlen(answer.name, DNS_NAME_SIZE) < DNS_NAME_SIZE, "a name without end");
    FUZZ_CHECK(!retval || !answer.n_addrs, "addresses of a bad message");
    FUZZ_CHECK(strspn(answer.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(answer.name), "%s", answer.name);
    return 0;
}
