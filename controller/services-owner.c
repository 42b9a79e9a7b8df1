#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

/* What counts. --------------------------------------------------------------------------------------------------- */

/* Not for another proxy, and not for none (services 1). */
static bool
labels_count_here(const struct labels *labels)
{
    return !labels_get(labels, KUBE_LABEL_PROXY_NAME) && !labels_get(labels, KUBE_LABEL_HEADLESS);
}

bool
services_slice_counts(const struct kube_endpointslice *slice)
{
    return labels_count_here(slice->object.labels) && slice->address_type != KUBE_ADDRESS_FQDN;
}

bool
services_is_proxied(const struct owner *owner)
{
    const struct kube_service *service = owner->service;

    return service && service->type != KUBE_EXTERNAL_NAME && !service->headless
           && labels_count_here(service->object.labels);
}

const struct kube_service_port *
services_port(const struct sport *sport)
{
    return &sport->owner->service->ports[sport->index];
}

const struct in6_addr *
services_cluster_ip(const struct kube_service *service, bool v6)
{
    for (uint32_t i = 0; i < service->n_cluster_ips; i++) {
        if (services_place_ok(&service->cluster_ips[i], v6)) {
            return &service->cluster_ips[i];
        }
    }
    return NULL;
}

/* What is wrong. ------------------------------------------------------------------------------------------------- */

#define MAX_COMPLAINTS 300              /* Bytes. */

void
services_complain(struct ds *ds, const char *format, ...)
{
    if (ds->length < MAX_COMPLAINTS) {
        va_list args;

        ds_put_cstr(ds, ds->length ? "; " : "");
        va_start(args, format);
        ds_put_format_valist(ds, format, args);
        va_end(args);
    }
}

/* An address to which others may send, of a Service. */
static bool
external_ok(const struct in6_addr *addr)
{
    return services_place_ok(addr, !inet_is_v4(addr));
}

static void
check_addrs(const struct in6_addr *addrs, uint32_t n, const char *what, struct ds *ds)
{
    char buf[INET_ADDR_STRLEN];

    for (uint32_t i = 0; i < n; i++) {
        if (!external_ok(&addrs[i])) {
            services_complain(ds, "%s %s is not an address that can be served", what, inet_addr_format(&addrs[i], buf));
        }
    }
}

static void
check_service(const struct kube_service *service, struct ds *ds)
{
    if (!service->n_ports) {
        services_complain(ds, "has no ports");
    }
    for (uint32_t i = 0; i < service->n_ports; i++) {
        if (!service->ports[i].port) {
            services_complain(ds, "port %s is 0", service->ports[i].name ? service->ports[i].name : "");
        }
    }
    check_addrs(service->cluster_ips, service->n_cluster_ips, "clusterIP", ds);
    check_addrs(service->external_ips, service->n_external_ips, "externalIP", ds);
    if (service->type == KUBE_LOAD_BALANCER) {
        check_addrs(service->lb_ips, service->n_lb_ips, "load balancer's address", ds);
    }
}

/* Source ranges. ------------------------------------------------------------------------------------------------- */

/* Behind a range come those that it contains. */
static void
make_ranges(struct owner *owner)
{
    const struct kube_service *service = owner->service;
    struct inet_prefix *ranges = service->n_source_ranges ? xcalloc(service->n_source_ranges, sizeof *ranges) : NULL;
    uint32_t n = 0;

    for (uint32_t i = 0; i < service->n_source_ranges; i++) {
        ranges[i].addr = service->source_ranges[i].addr;
        ranges[i].plen = service->source_ranges[i].plen;
    }
    inet_prefixes_sort(ranges, service->n_source_ranges);
    owner->n_ranges4 = 0;
    for (uint32_t i = 0; i < service->n_source_ranges; i++) {
        if (!n || !inet_prefix_contains(&ranges[n - 1], &ranges[i].addr)) {
            owner->n_ranges4 += inet_is_v4(&ranges[i].addr);
            ranges[n++] = ranges[i];
        }
    }
    owner->ranges = ranges;
    owner->n_ranges = n;
}

size_t
services_ranges(const struct sport *sport, const struct inet_prefix **ranges)
{
    const struct owner *owner = sport->owner;

    *ranges = sport->v6 ? owner->ranges + owner->n_ranges4 : owner->ranges;
    return sport->v6 ? owner->n_ranges - owner->n_ranges4 : owner->n_ranges4;
}

/* Claims. -------------------------------------------------------------------------------------------------------- */

struct claims {
    struct claim *claims;
    struct in6_addr *addrs;
    size_t n, allocated, allocated_addrs;
    bool too_many;
};

static void
claim(struct claims *list, struct owner *owner, enum claim_kind kind, struct sport *sport, const struct in6_addr *addr,
      uint8_t protocol, uint16_t port)
{
    if (list->n >= SERVICES_MAX_CLAIMS) {
        list->too_many = true;
        return;
    }
    if (list->n == list->allocated) {
        list->claims = x2nrealloc(list->claims, &list->allocated, sizeof *list->claims);
    }
    if (list->n == list->allocated_addrs) {
        list->addrs = x2nrealloc(list->addrs, &list->allocated_addrs, sizeof *list->addrs);
    }
    list->claims[list->n] = (struct claim) {
        .owner = owner, .sport = sport, .port = port, .protocol = protocol, .kind = kind,
    };
    list->addrs[list->n++] = *addr;
}

/* Claims the ports of the address's family.  An address that is there twice is claimed once, by the first list of these
 * three that has it. */
static void
claim_addr(struct claims *list, struct owner *owner, enum claim_kind kind, const struct in6_addr *addr)
{
    for (uint32_t i = 0; i < owner->n_sports; i++) {
        struct sport *sport = &owner->sports[i];

        if (sport->v6 != inet_is_v4(addr)) {
            claim(list, owner, kind, sport, addr, sport->protocol, services_port(sport)->port);
        }
    }
}

static void
claim_addrs(struct claims *list, struct owner *owner)
{
    const struct kube_service *service = owner->service;
    const struct in6_addr *ext = service->external_ips, *lb = service->lb_ips;

    for (int v6 = 0; v6 < 2; v6++) {
        const struct in6_addr *addr = services_cluster_ip(service, v6);

        if (addr) {
            claim(list, owner, CLAIM_REST, NULL, addr, 0, 0);
            claim_addr(list, owner, CLAIM_CLUSTER, addr);
        }
    }
    for (uint32_t i = 0; i < service->n_external_ips; i++) {
        if (external_ok(&ext[i]) && !services_has_addr(service->cluster_ips, service->n_cluster_ips, &ext[i])
            && !services_has_addr(ext, i, &ext[i])) {
            claim_addr(list, owner, CLAIM_EXTERNAL, &ext[i]);
        }
    }
    for (uint32_t i = 0; service->type == KUBE_LOAD_BALANCER && i < service->n_lb_ips; i++) {
        if (external_ok(&lb[i]) && !services_has_addr(service->cluster_ips, service->n_cluster_ips, &lb[i])
            && !services_has_addr(ext, service->n_external_ips, &lb[i]) && !services_has_addr(lb, i, &lb[i])) {
            claim_addr(list, owner, CLAIM_LB, &lb[i]);
        }
    }
}

static void
claim_service(struct claims *list, struct owner *owner)
{
    const struct kube_service *service = owner->service;

    claim_addrs(list, owner);
    for (uint32_t i = 0; service->type != KUBE_CLUSTER_IP && i < owner->n_sports; i++) {
        struct sport *sport = &owner->sports[i];

        if (services_port(sport)->node_port) {
            claim(list, owner, CLAIM_NODE_PORT, sport, inet_any(sport->v6), sport->protocol,
                  services_port(sport)->node_port);
        }
    }
    if (service->type == KUBE_LOAD_BALANCER && service->external_policy == KUBE_TRAFFIC_LOCAL
        && service->health_check_port) {
        claim(list, owner, CLAIM_HEALTH, NULL, inet_any(false), CLAIM_HEALTH_PROTOCOL,
              service->health_check_port);
    }
}

static void
claim_pod(struct claims *list, struct owner *owner)
{
    for (uint32_t i = 0; i < owner->n_sports; i++) {
        struct sport *sport = &owner->sports[i];
        const struct service_host_port *port = &owner->pod->ports[sport->index];

        claim(list, owner, CLAIM_HOST_PORT, sport,
              inet_is_any(&port->host_addr) ? inet_any(sport->v6) : &port->host_addr, sport->protocol,
              port->host_port);
    }
}

static void
make_claims(struct services *s, struct owner *owner)
{
    struct claims list = { .n = 0 };

    (owner->pod ? claim_pod : claim_service)(&list, owner);
    owner->too_many = list.too_many;
    owner->claims = list.n ? xmemdup(list.claims, list.n * sizeof *list.claims) : NULL;
    owner->n_claims = list.n;
    for (size_t i = 0; i < list.n; i++) {
        services_claim_add(s, &owner->claims[i], &list.addrs[i]);
    }
    free(list.claims);
    free(list.addrs);
}

/* All of it. ----------------------------------------------------------------------------------------------------- */

static struct claim *
find_own(const struct services *s, const struct owner *owner, const struct claim *old)
{
    struct claim *c;

    HMAP_FOR_EACH_WITH_HASH (c, node, old->node.hash, &s->claims) {
        if (c->owner == owner && c->port == old->port && c->protocol == old->protocol
            && ipv6_addr_equals(&c->address->addr, &old->address->addr)) {
            return c;
        }
    }
    return NULL;
}

/* Connections by 'door' to who is not among those who serve there any more. */
static void
flush_gone(struct services *s, const struct claim *door, const struct place *old, size_t n_old, const struct sport *now)
{
    for (size_t i = 0; i < n_old; i++) {
        if (!now || !services_has_place(now->served, now->n_served, &old[i])) {
            services_flush(s, door, &old[i]);
        }
    }
}

/* What the doors were and to whom they led goes over to the new ones, or is flushed. */
static void
hand_over(struct services *s, struct owner *owner, const struct claim *old, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct claim *new = old[i].open ? find_own(s, owner, &old[i]) : NULL;

        if (old[i].open) {
            flush_gone(s, &old[i], old[i].sport->served, old[i].sport->n_served, new ? new->sport : NULL);
        }
        if (new) {
            new->open = true;
        }
    }
}

static void
rebuild(struct services *s, struct owner *owner, struct ds *bad)
{
    struct sport *old_sports = owner->sports;
    struct claim *old_claims = owner->claims;
    uint32_t n_old_sports = owner->n_sports, n_old_claims = owner->n_claims;

    for (uint32_t i = 0; i < n_old_claims; i++) {
        services_claim_remove(s, &old_claims[i]);
    }
    owner->sports = NULL;
    owner->claims = NULL;
    free(owner->ranges);
    owner->ranges = NULL;
    owner->n_sports = owner->n_claims = owner->n_ranges = owner->n_ranges4 = 0;
    owner->too_many = false;
    if (owner->pod ? owner->pod->n_ports > 0 : services_is_proxied(owner)) {
        services_sports_make(s, owner);
        for (uint32_t i = 0; i < owner->n_sports; i++) {
            services_sport_update(s, &owner->sports[i], bad);
        }
        make_claims(s, owner);
        if (!owner->pod) {
            make_ranges(owner);
        }
    }
    hand_over(s, owner, old_claims, n_old_claims);
    for (uint32_t i = 0; i < n_old_sports; i++) {
        services_sport_destroy(s, &old_sports[i]);
    }
    free(old_sports);
    free(old_claims);
}

static void
update(struct services *s, struct owner *owner, struct ds *bad)
{
    for (uint32_t i = 0; i < owner->n_sports; i++) {
        struct sport *sport = &owner->sports[i];
        struct place *old = sport->served;
        uint32_t n_old = sport->n_served;

        services_sport_update(s, sport, bad);
        for (uint32_t j = 0; n_old && j < owner->n_claims && !SERVICES_BUG("flush-missed"); j++) {
            if (owner->claims[j].open && owner->claims[j].sport == sport) {
                flush_gone(s, &owner->claims[j], old, n_old, sport);
            }
        }
        free(old);
    }
}

void
services_owner_build(struct services *s, struct owner *owner)
{
    struct ds bad = DS_EMPTY_INITIALIZER;

    owner->n_local = 0;
    if (services_is_proxied(owner)) {
        check_service(owner->service, &bad);
    }
    (owner->stale ? rebuild : update)(s, owner, &bad);
    owner->stale = false;
    if (owner->too_many) {
        services_complain(&bad, "has more than %d ways in: the others are left out", SERVICES_MAX_CLAIMS);
    }
    free(owner->bad);
    owner->bad = bad.length ? ds_steal_cstr(&bad) : NULL;
    ds_destroy(&bad);
}
