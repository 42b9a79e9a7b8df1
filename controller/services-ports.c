#include <config.h>

#include "controller/services-private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* Endpoints of a port. ------------------------------------------------------------------------------------------- */

static bool
keeps_served(const struct sport *sport)
{
    return sport->protocol != IPPROTO_TCP;
}

static uint16_t *
tracked_ports(struct sport *sport)
{
    return sport->n_tracked > SPORT_TRACKED ? sport->tracked.many : sport->tracked.few;
}

static void
untrack(struct services *s, struct sport *sport)
{
    uint16_t *ports = tracked_ports(sport);

    for (uint32_t i = 0; i < sport->n_tracked; i++) {
        services_tracked_unref(s, sport->protocol, ports[i]);
    }
    if (ports == sport->tracked.many) {
        free(ports);
    }
    sport->n_tracked = 0;
}

static int
compare_ports(const void *a, const void *b)
{
    return *(const uint16_t *) a - *(const uint16_t *) b;
}

/* All ports of endpoints, also of those that only end the connections that they have. */
static void
track(struct services *s, struct sport *sport, const struct choice *c)
{
    uint16_t *ports = c->n ? xmalloc(c->n * sizeof *ports) : NULL;
    uint32_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        if (!n || ports[n - 1] != c->all[i].place.port) {
            ports[n++] = c->all[i].place.port;
        }
    }
    if (n > 1) {
        size_t all = n;

        qsort(ports, all, sizeof *ports, compare_ports);
        n = 1;
        for (size_t i = 1; i < all; i++) {
            if (ports[n - 1] != ports[i]) {
                ports[n++] = ports[i];
            }
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        services_tracked_ref(s, sport->protocol, ports[i]);
    }
    untrack(s, sport);
    sport->n_tracked = n;
    if (n > SPORT_TRACKED) {
        sport->tracked.many = xrealloc(ports, n * sizeof *ports);
    } else {
        memcpy(sport->tracked.few, ports ? ports : sport->tracked.few, n * sizeof *ports);
        free(ports);
    }
}

static size_t
gather(struct services *s, const struct choice *c, enum set_kind kind)
{
    size_t n = 0;

    if (s->allocated_places < c->n) {
        s->allocated_places = c->n * 2;
        s->places = xrealloc(s->places, s->allocated_places * sizeof *s->places);
    }
    for (size_t i = 0; i < c->n; i++) {
        if (c->all[i].in[kind]) {
            s->places[n++] = c->all[i].place;
        }
    }
    return n;
}

static void
set_served(struct sport *sport, const struct choice *c)
{
    sport->served = c->n && keeps_served(sport) ? xmalloc(c->n * sizeof *sport->served) : NULL;
    sport->n_served = 0;
    for (size_t i = 0; sport->served && i < c->n; i++) {
        if (!c->all[i].e || c->all[i].e->ready || c->all[i].e->serving) {
            sport->served[sport->n_served++] = c->all[i].place;
        }
    }
}

static void
count_local(struct owner *owner, const struct choice *c)
{
    uint32_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        n += c->all[i].local && c->all[i].e && c->all[i].e->ready && !c->all[i].e->terminating;
    }
    owner->n_local = MAX(owner->n_local, n);
}

static void
check_choice(const struct choice *c, const struct sport *sport, struct ds *ds)
{
    const char *name = services_port(sport)->name ? services_port(sport)->name : "";
    char buf[INET_ADDR_STRLEN];

    if (c->n_bad) {
        services_complain(ds, "port %s: endpoint %s%s not an address that can be served", name,
                          inet_addr_format(&c->bad, buf), c->n_bad > 1 ? " and others are" : " is");
    }
    if (c->bad_port) {
        services_complain(ds, "port %s: an endpoint's port is 0", name);
    }
}

void
services_sport_update(struct services *s, struct sport *sport, struct ds *bad)
{
    struct owner *owner = sport->owner;
    struct choice *c = &s->choice;
    uint32_t affinity = (!owner->pod && owner->service->client_ip_affinity
                         ? MAX(owner->service->affinity_timeout, 1) : 0);

    services_choose(s, sport, c);
    for (int kind = 0; kind < N_SETS; kind++) {
        size_t n = c->why[kind] == WHY_NOT_USED ? 0 : gather(s, c, kind);

        services_set_use(s, &sport->users[kind], s->places, n, affinity);
        sport->why[kind] = c->why[kind];
    }
    sport->any = c->any;
    track(s, sport, c);
    set_served(sport, c);
    count_local(owner, c);
    if (!owner->pod) {
        check_choice(c, sport, bad);
    }
}

/* Ports. --------------------------------------------------------------------------------------------------------- */

static void
sport_init(struct services *s, struct owner *owner, struct sport *sport, size_t index, uint8_t protocol,
           const char *name, bool v6)
{
    uint64_t hash = services_hash(owner->key, strlen(owner->key), protocol);

    hash = services_hash(name ? name : "", name ? strlen(name) : 0, hash);
    *sport = (struct sport) {
        .owner = owner, .key = services_hash(&v6, sizeof v6, hash), .cookie = flow_service_cookie(hash), .index = index,
        .protocol = protocol, .v6 = v6,
    };
    for (int kind = 0; kind < N_SETS; kind++) {
        sport->users[kind].sport = sport;
        ovs_list_init(&sport->users[kind].node);
    }
    hmap_insert(&s->cookies, &sport->by_cookie, hash_uint64(sport->cookie));
}

void
services_sport_destroy(struct services *s, struct sport *sport)
{
    for (int kind = 0; kind < N_SETS; kind++) {
        services_set_use(s, &sport->users[kind], NULL, 0, 0);
    }
    untrack(s, sport);
    hmap_remove(&s->cookies, &sport->by_cookie);
    free(sport->served);
}

static void
make_service_sports(struct services *s, struct owner *owner)
{
    const struct kube_service *service = owner->service;

    size_t n_families = !!services_cluster_ip(service, false) + !!services_cluster_ip(service, true);

    owner->sports = xcalloc(MAX(service->n_ports * n_families, 1), sizeof *owner->sports);
    for (int v6 = 0; v6 < 2; v6++) {
        for (uint32_t i = 0; services_cluster_ip(service, v6) && i < service->n_ports; i++) {
            const struct kube_service_port *port = &service->ports[i];

            if (port->port) {
                sport_init(s, owner, &owner->sports[owner->n_sports++], i, port->protocol, port->name, v6);
            }
        }
    }
}

static bool
pod_has_family(const struct host_ports *hp, bool v6)
{
    for (size_t i = 0; i < hp->n_addrs; i++) {
        if (services_place_ok(&hp->addrs[i], v6)) {
            return true;
        }
    }
    return false;
}

/* An address of the host leads only to one of its family; "all" to both (services 31). */
static void
make_pod_sports(struct services *s, struct owner *owner)
{
    const struct host_ports *hp = owner->pod;

    owner->sports = xcalloc(MAX(hp->n_ports, 1) * 2, sizeof *owner->sports);
    for (size_t i = 0; i < hp->n_ports; i++) {
        const struct service_host_port *port = &hp->ports[i];
        char addr[INET_ADDR_STRLEN];
        char *name = xasprintf("%s/%"PRIu16"/%"PRIu16, inet_addr_format(&port->host_addr, addr), port->host_port,
                               port->pod_port);

        for (int v6 = 0; v6 < 2; v6++) {
            if (port->host_port && port->pod_port && pod_has_family(hp, v6)
                && (inet_is_any(&port->host_addr) || inet_is_v4(&port->host_addr) == !v6)) {
                sport_init(s, owner, &owner->sports[owner->n_sports++], i, port->protocol, name, v6);
            }
        }
        free(name);
    }
}

void
services_sports_make(struct services *s, struct owner *owner)
{
    (owner->pod ? make_pod_sports : make_service_sports)(s, owner);
}
