#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "controller/domain.h"
#include "hash.h"
#include "util.h"

struct domain_addr {
    struct hmap_node node;              /* In 'addrs' of the domain. */
    struct in6_addr addr;
};

static struct policy_domain *
domain_find(const struct policy *p, const char *name)
{
    struct policy_domain *d;

    HMAP_FOR_EACH_WITH_HASH (d, node, hash_string(name, 0), &p->domains) {
        if (!strcmp(d->name, name)) {
            return d;
        }
    }
    return NULL;
}

static struct policy_domain *
domain_create(struct policy *p, const char *name)
{
    size_t size = strlen(name) + 1;
    struct policy_domain *d = xmalloc(sizeof *d + size);

    d->place = NULL;
    hmap_init(&d->addrs);
    memcpy(d->name, name, size);
    hmap_insert(&p->domains, &d->node, hash_string(name, 0));
    return d;
}

struct policy_domain *
policy_domain_get(struct policy *p, const char *written)
{
    char *name = xstrdup(written);

    domain_normalise(name);
    struct policy_domain *d = domain_find(p, name);
    d = d ? d : domain_create(p, name);
    free(name);
    return d;
}

void
policy_domain_put(struct policy *p, struct policy_domain *d)
{
    if (!d->place && hmap_is_empty(&d->addrs)) {
        hmap_remove(&p->domains, &d->node);
        hmap_destroy(&d->addrs);
        free(d);
    }
}

static void
spread(struct policy *p, const struct policy_domain *d, const struct in6_addr *addr, bool add)
{
    struct inet_prefix host = inet_prefix_host(addr);
    (add ? prefix_tree_add : prefix_tree_remove)(p->trees[FLOW_EGRESS], &host, &d->place->item, false);
}

void
policy_domain_spread(struct policy *p, const struct policy_domain *d, bool add)
{
    const struct domain_addr *a;

    HMAP_FOR_EACH (a, node, &d->addrs) {
        spread(p, d, &a->addr, add);
    }
}

void
policy_domain_address(struct policy *p, const char *name, const struct in6_addr *addr, bool present)
{
    struct policy_domain *d = policy_domain_get(p, name);
    uint32_t hash = hash_bytes(addr, sizeof *addr, 0);
    struct domain_addr *a, *found = NULL;

    HMAP_FOR_EACH_WITH_HASH (a, node, hash, &d->addrs) {
        found = !memcmp(&a->addr, addr, sizeof *addr) ? a : found;
    }
    if (present != (found != NULL) && d->place) {
        spread(p, d, addr, present);
    }
    if (present && !found) {
        a = xmalloc(sizeof *a);
        a->addr = *addr;
        hmap_insert(&d->addrs, &a->node, hash);
    } else if (!present && found) {
        hmap_remove(&d->addrs, &found->node);
        free(found);
    }
    policy_domain_put(p, d);
}

bool
policy_wants_domain(const struct policy *p, const char *name)
{
    const struct policy_domain *d = domain_find(p, name);
    return d && d->place && d->place->n_refs;
}

/* No place has one any more. */
void
policy_domains_forget(struct policy *p)
{
    struct policy_domain *d;

    HMAP_FOR_EACH_SAFE (d, node, &p->domains) {
        struct domain_addr *a;

        HMAP_FOR_EACH_POP (a, node, &d->addrs) {
            free(a);
        }
        policy_domain_put(p, d);
    }
}
