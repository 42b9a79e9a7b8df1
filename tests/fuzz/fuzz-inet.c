/* lib/inet.h: any text as an address or a prefix. */

#include <config.h>

#include <string.h>

#include "fuzz.h"
#include "inet.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = strndup((const char *) data, size);
    struct inet_prefix p, q;
    struct in6_addr a, b;

    if (!inet_addr_parse(s, &a, NULL)) {
        char buf[INET_ADDR_STRLEN];
        FUZZ_CHECK(!inet_addr_parse(inet_addr_format(&a, buf), &b, NULL) && !memcmp(&a, &b, sizeof a), "%s", buf);
    }
    if (!inet_prefix_parse(s, &p, NULL)) {
        char buf[INET_PREFIX_STRLEN];
        FUZZ_CHECK(!inet_prefix_parse(inet_prefix_format(&p, buf), &q, NULL) && inet_prefix_equals(&p, &q), "%s", buf);
        q = inet_prefix_network(&p);
        FUZZ_CHECK(inet_prefix_contains(&p, &p.addr) && inet_prefix_overlaps(&p, &q), "%s", buf);
        FUZZ_CHECK(!inet_cidr_parse(s, &q, NULL) == !memcmp(&q.addr, &p.addr, sizeof q.addr), "%s", buf);
        uint64_t n;
        FUZZ_CHECK(!inet_prefix_index(&p, &p.addr, &n)
                   || (inet_prefix_nth(&p, n, &a) && !memcmp(&a, &p.addr, sizeof a)), "%s", buf);
    }
    free(s);
    return 0;
}
