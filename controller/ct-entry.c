#include <config.h>

#include "controller/ct-entry.h"

#include <string.h>

#include "inet.h"
#include "util.h"

#define MAX_LINE 512                    /* The part that is looked at is shorter. */
#define ADDR "%45[0-9a-fA-F:.]"
#define TUPLE "=(src=" ADDR ",dst=" ADDR ",sport=%u,dport=%u)"

/* Both directions have one family. */
static bool
parse_addrs(const char *const texts[], struct in6_addr *const addrs[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_addr_parse(texts[i], addrs[i], NULL) || inet_is_v4(addrs[i]) != inet_is_v4(addrs[0])) {
            return false;
        }
    }
    return true;
}

static bool
parse_tuples(const char *text, struct ct_entry *e)
{
    char client[46], vip[46], endpoint[46], back[46];
    unsigned int client_port, vip_port, endpoint_port, back_port;
    struct in6_addr unused;

    if (!ovs_scan(text, "orig" TUPLE ",reply" TUPLE, client, vip, &client_port, &vip_port, endpoint, back, &endpoint_port,
                  &back_port) || MAX(MAX(client_port, vip_port), MAX(endpoint_port, back_port)) > UINT16_MAX) {
        return false;
    }
    e->client_port = client_port;
    e->vip_port = vip_port;
    e->endpoint_port = endpoint_port;
    return parse_addrs((const char *const []) { client, vip, endpoint, back },
                       (struct in6_addr *const []) { &e->client, &e->vip, &e->endpoint, &unused }, 4);
}

bool
ct_entry_parse(const char *line, size_t n, struct ct_entry *e)
{
    char copy[MAX_LINE];

    n = MIN(n, sizeof copy - 1);
    memcpy(copy, line, n);
    copy[n] = '\0';
    *e = (struct ct_entry) { .protocol = 0 };
    if (!strncmp(copy, "udp,", 4)) {
        e->protocol = IPPROTO_UDP;
        return parse_tuples(copy + 4, e);
    } else if (!strncmp(copy, "sctp,", 5)) {
        e->protocol = IPPROTO_SCTP;
        return parse_tuples(copy + 5, e);
    }
    return false;
}

static unsigned int
count(const char *text, const char *label)
{
    const char *line = strstr(text, label);
    unsigned int n = 0;

    return line && ovs_scan(line + strlen(label), "%u", &n) ? n : 0;
}

bool
ct_count_parse(const char *text, unsigned int *n_all, unsigned int *n_ours)
{
    if (!strstr(text, "\n    Total: ")) {
        return false;
    }
    *n_all = count(text, "\n    Total: ");
    *n_ours = count(text, "\n  UDP: ") + count(text, "\n  SCTP: ");
    return true;
}
