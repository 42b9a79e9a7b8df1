/* controller/ct-entry.h: any bytes as a line, or a count, of connections.  What was read is written and read again as the same. */

#include <config.h>

#include <string.h>

#include "controller/ct-entry.h"
#include "fuzz.h"
#include "inet.h"
#include "util.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char client[INET_ADDR_STRLEN], vip[INET_ADDR_STRLEN], endpoint[INET_ADDR_STRLEN];
    char *text = xmemdup0((const char *) data, size);
    unsigned int n_all, n_ours;
    struct ct_entry e, again;

    if (ct_entry_parse(text, strlen(text), &e)) {
        inet_addr_format(&e.client, client);
        char *line = xasprintf("%s,orig=(src=%s,dst=%s,sport=%u,dport=%u),reply=(src=%s,dst=%s,sport=%u,dport=%u)",
                               e.protocol == IPPROTO_UDP ? "udp" : "sctp", client, inet_addr_format(&e.vip, vip), e.client_port,
                               e.vip_port, inet_addr_format(&e.endpoint, endpoint), client, e.endpoint_port, e.client_port);
        FUZZ_CHECK(ct_entry_parse(line, strlen(line), &again) && !memcmp(&e, &again, sizeof e), "%s", line);
        free(line);
    }
    if (ct_count_parse(text, &n_all, &n_ours)) {
        FUZZ_CHECK(strstr(text, "Total: "), "%s", text);
    }
    free(text);
    return 0;
}
