#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* Ports that conntrack must see. --------------------------------------------------------------------------------- */

static struct tracked *
tracked_get(struct services *s, uint8_t protocol, uint16_t port)
{
    uint32_t hash = hash_2words(protocol, port);
    struct tracked *t;

    HMAP_FOR_EACH_WITH_HASH (t, node, hash, &s->tracked) {
        if (t->protocol == protocol && t->port == port) {
            return t;
        }
    }
    t = xzalloc(sizeof *t);
    t->protocol = protocol;
    t->port = port;
    hmap_insert(&s->tracked, &t->node, hash);
    ovs_list_init(&t->dirty);
    return t;
}

static void
tracked_mark(struct services *s, struct tracked *t)
{
    if (ovs_list_is_empty(&t->dirty)) {
        ovs_list_push_back(&s->dirty_tracked, &t->dirty);
    }
}

void
services_tracked_ref(struct services *s, uint8_t protocol, uint16_t port)
{
    struct tracked *t = tracked_get(s, protocol, port);

    if (!t->n_refs++) {
        tracked_mark(s, t);
    }
}

void
services_tracked_unref(struct services *s, uint8_t protocol, uint16_t port)
{
    struct tracked *t = tracked_get(s, protocol, port);

    ovs_assert(t->n_refs);
    if (!--t->n_refs) {
        tracked_mark(s, t);
    }
}

void
services_tracked_run(struct services *s)
{
    struct tracked *t;

    LIST_FOR_EACH_POP (t, dirty, &s->dirty_tracked) {
        struct flow_set out = FLOW_SET_INIT;

        ovs_list_init(&t->dirty);
        if (t->n_refs && !SERVICES_BUG("track-missed")) {
            flow_add_tracked_port(SERVICES_NETWORK, t->protocol, t->port, &out);
        }
        services_emit_flows(s, &t->flows, &t->n_flows, &out);
        if (!t->n_refs) {
            hmap_remove(&s->tracked, &t->node);
            free(t->flows);
            free(t);
        }
    }
}

/* What is flushed. ----------------------------------------------------------------------------------------------- */

static struct candidate_flush *
add_candidate(struct services *s, const struct claim *claim)
{
    if (s->n_flushes == s->allocated_flushes) {
        s->flushes = x2nrealloc(s->flushes, &s->allocated_flushes, sizeof *s->flushes);
    }
    struct candidate_flush *f = &s->flushes[s->n_flushes++];
    *f = (struct candidate_flush) {
        .addr = claim->address->addr, .port = claim->port, .protocol = claim->protocol,
    };
    f->has_alias = services_claim_alias(claim, &f->alias);
    return f;
}

void
services_flush(struct services *s, const struct claim *claim, const struct place *endpoint)
{
    add_candidate(s, claim)->endpoint = *endpoint;
}

void
services_flush_older(struct services *s, const struct claim *claim)
{
    add_candidate(s, claim)->untranslated = true;
    add_candidate(s, claim)->host = true;
}

static void
add_flush(struct services *s, const struct candidate_flush *f, const struct in6_addr *vip)
{
    struct flush_effect *e = xzalloc(sizeof *e);

    e->flush = (struct service_flush) {
        .host = f->host,
        .entry = { .protocol = f->protocol, .vip = *vip, .vip_port = f->port,
                   .endpoint = f->untranslated ? *vip : f->endpoint.addr,
                   .endpoint_port = f->untranslated ? f->port : f->endpoint.port },
    };
    ovs_list_push_back(&s->flush_effects, &e->list);
}

/* Who has the door at an address as packets have it; NULL: nobody. */
static const struct claim *
find_claim(const struct services *s, const struct in6_addr *addr, uint8_t protocol, uint16_t port)
{
    static const char *const nodes[] = { FLOW_NODE_V4, FLOW_NODE_V6 }, *const links[] = { FLOW_LINK_PREFIX_V4, FLOW_LINK_PREFIX_V6 };
    bool v6 = !inet_is_v4(addr);
    struct in6_addr node = inet_addr_constant(nodes[v6]);
    struct inet_prefix link = inet_cidr_constant(links[v6]);

    if (inet_prefix_contains(&link, addr)) {
        const struct address *a = services_of_alias(s, addr);
        const struct in6_addr *any = inet_any(v6);

        addr = a ? &a->addr : ipv6_addr_equals(addr, &node) ? any : addr;
    }
    const struct claim *c = services_claim_best(s, addr, protocol, port);
    return c || !services_is_local(s, addr) ? c : services_claim_best(s, inet_any(v6), protocol, port);
}

/* Whether packets to the door go on to the endpoint. */
static bool
serves(const struct claim *c, const struct place *endpoint)
{
    return (!SERVICES_BUG("flush-served") && c && c->open && c->sport
            && services_has_place(c->sport->served, c->sport->n_served, endpoint));
}

static bool
is_served(const struct services *s, const struct candidate_flush *f)
{
    struct place self = { f->addr, f->port };

    return !f->host && serves(find_claim(s, &f->addr, f->protocol, f->port), f->untranslated ? &self : &f->endpoint);
}

bool
services_keeps(const struct services *s, const struct ct_entry *e)
{
    const struct claim *c = find_claim(s, &e->vip, e->protocol, e->vip_port);
    struct place endpoint = { e->endpoint, e->endpoint_port };
    bool translated = !ipv6_addr_equals(&e->vip, &e->endpoint) || e->vip_port != e->endpoint_port;

    return serves(c, &endpoint) || (!translated && !(c && c->open));
}

/* A port of the node: one for each address at which it may have been reached. */
static void
flush_node_port(struct services *s, const struct candidate_flush *f)
{
    bool v4 = inet_is_v4(&f->addr);

    for (size_t i = 0; i < s->n_addrs; i++) {
        struct candidate_flush at = *f;

        at.addr = s->addrs[i];
        if (inet_is_v4(&at.addr) == v4 && !is_served(s, &at)) {
            add_flush(s, f, &at.addr);
        }
    }
    if (!f->host) {
        struct in6_addr node = inet_addr_constant(v4 ? FLOW_NODE_V4 : FLOW_NODE_V6);
        add_flush(s, f, &node);
    }
}

void
services_flush_run(struct services *s)
{
    for (size_t i = 0; i < s->n_flushes; i++) {
        const struct candidate_flush *f = &s->flushes[i];

        if (is_served(s, f)) {
            continue;
        }
        if (inet_is_any(&f->addr)) {
            flush_node_port(s, f);
        } else {
            add_flush(s, f, &f->addr);
            if (f->has_alias && !f->host) {
                add_flush(s, f, &f->alias);
            }
        }
    }
    s->n_flushes = 0;
}
