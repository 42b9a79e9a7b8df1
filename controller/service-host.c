#include <config.h>

#include "controller/service-host.h"

#include <stdlib.h>

#include "hash.h"
#include "packets.h"
#include "util.h"

struct service_host
service_host_clone(const struct service_host *host)
{
    struct service_host clone = *host;

    clone.src = host->n_src ? xmemdup(host->src, host->n_src * sizeof *host->src) : NULL;
    return clone;
}

void
service_host_uninit(struct service_host *host)
{
    free(CONST_CAST(struct inet_prefix *, host->src));
}

uint32_t
service_host_hash(const struct service_host *host)
{
    return hash_bytes(&host->addr, sizeof host->addr, hash_3words(host->kind, host->protocol, host->port));
}

bool
service_host_same_key(const struct service_host *a, const struct service_host *b)
{
    return (a->kind == b->kind && a->protocol == b->protocol && a->port == b->port
            && ipv6_addr_equals(&a->addr, &b->addr));
}

bool
service_host_equal(const struct service_host *a, const struct service_host *b)
{
    bool equal = (service_host_same_key(a, b) && a->keep_source == b->keep_source && a->has_alias == b->has_alias
                  && (!a->has_alias || ipv6_addr_equals(&a->alias, &b->alias)) && a->n_src == b->n_src);

    for (size_t i = 0; equal && i < a->n_src; i++) {
        equal = inet_prefix_equals(&a->src[i], &b->src[i]);
    }
    return equal;
}
