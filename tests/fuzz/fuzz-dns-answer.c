/* Fuzz target of lib/dns-answer.h: a DNS message; the same bytes as a record of controller/domain.h. */

#include <config.h>

#include <string.h>

#include "controller/domain.h"
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

    struct domain_entry e, again;
    char name[DOMAIN_NAME_SIZE], name_again[DOMAIN_NAME_SIZE];
    if (!domain_entry_decode(data, size, &e, name, NULL)) {
        char *s = domain_entry_encode(&e);
        FUZZ_CHECK(!domain_entry_decode(s, strlen(s), &again, name_again, NULL), "%s", s);
        FUZZ_CHECK(e.expires == again.expires && !strcmp(name, name_again), "%s", s);
        free(s);
    }
    return 0;
}
