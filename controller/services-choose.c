#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "util.h"

/* Candidates: what the slices say. ------------------------------------------------------------------------------- */

/* As Kubernetes refuses the others. */
bool
services_place_ok(const struct in6_addr *addr, bool v6)
{
    if (v6 == inet_is_v4(addr)) {
        return false;
    }
    if (v6) {
        /* Between br-int and the node's stack. */
        struct inet_prefix link = inet_cidr_constant(FLOW_LINK_PREFIX_V6);

        return (!IN6_IS_ADDR_UNSPECIFIED(addr) && !IN6_IS_ADDR_LOOPBACK(addr) && !IN6_IS_ADDR_MULTICAST(addr)
                && !IN6_IS_ADDR_LINKLOCAL(addr) && !inet_prefix_contains(&link, addr));
    }
    const uint8_t *b = &addr->s6_addr[12];
    return b[0] && b[0] != 127 && b[0] < 224 && !(b[0] == 169 && b[1] == 254);
}

static void
add(struct choice *c, const struct place *place, const struct kube_endpoint *e, bool local)
{
    if (c->n == c->allocated) {
        c->all = x2nrealloc(c->all, &c->allocated, sizeof *c->all);
    }
    c->all[c->n] = (struct candidate) {
        .hash = services_hash_place(place), .place = *place, .e = e, .order = c->n, .local = local,
    };
    c->n++;
}

static bool
same_name(const char *a, const char *b)
{
    return a == b || !strcmp(a ? a : "", b ? b : "");
}

/* Ports are joined by name and protocol (services 2). */
static const struct kube_slice_port *
find_port(const struct kube_endpointslice *slice, const struct kube_service_port *port)
{
    for (uint32_t i = 0; i < slice->n_ports; i++) {
        if (slice->ports[i].protocol == port->protocol && same_name(slice->ports[i].name, port->name)) {
            return &slice->ports[i];
        }
    }
    return NULL;
}

static void
add_slice(const struct services *s, const struct kube_endpointslice *slice, const struct sport *sport,
          struct choice *c)
{
    const struct kube_slice_port *port = find_port(slice, services_port(sport));

    if (slice->address_type != (sport->v6 ? KUBE_ADDRESS_IPV6 : KUBE_ADDRESS_IPV4) || !port) {
        return;
    }
    if (!port->port) {
        c->bad_port = true;
        return;
    }
    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        const struct kube_endpoint *e = &slice->endpoints[i];

        if (services_place_ok(&e->addr, sport->v6)) {
            add(c, &(struct place) { e->addr, port->port }, e, e->node && !strcmp(e->node, s->node));
        } else {
            c->bad = e->addr;
            c->n_bad++;
        }
    }
}

/* Of two with one address and port the one that is ready counts, as the other is probably the address's last owner. */
static int
compare(const void *a_, const void *b_)
{
    const struct candidate *a = a_, *b = b_;
    int cmp = a->hash < b->hash ? -1 : a->hash > b->hash;

    cmp = cmp ? cmp : memcmp(&a->place.addr, &b->place.addr, sizeof a->place.addr);
    cmp = cmp ? cmp : a->place.port - b->place.port;
    cmp = cmp || SERVICES_BUG("twice") ? cmp : b->e->ready - a->e->ready;
    cmp = cmp ? cmp : b->e->serving - a->e->serving;
    return cmp ? cmp : a->order < b->order ? -1 : a->order > b->order;
}

static void
sort(struct choice *c)
{
    size_t n = 0;

    if (c->n) {
        qsort(c->all, c->n, sizeof *c->all, compare);
    }
    for (size_t i = 0; i < c->n; i++) {
        if (!n || c->all[n - 1].hash != c->all[i].hash || c->all[n - 1].place.port != c->all[i].place.port
            || !ipv6_addr_equals(&c->all[n - 1].place.addr, &c->all[i].place.addr)) {
            c->all[n++] = c->all[i];
        }
    }
    c->n = n;
}

/* Choosing: as kube-proxy's CategorizeEndpoints() does (services 3, 4, 5). --------------------------------------- */

static bool
has_hint(const struct kube_hint *hints, uint32_t n, const char *name)
{
    for (uint32_t i = 0; name && i < n; i++) {
        if (!strcmp(hints[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* A level of hints counts if every ready endpoint has some of it, and one of them names this node or zone. */
static enum why
topology(const struct services *s, const struct choice *c)
{
    bool all_nodes = true, all_zones = true, our_node = false, our_zone = false, any = false;

    for (size_t i = 0; i < c->n; i++) {
        const struct kube_hints *hints = kube_endpoint_hints(c->all[i].e);

        if (c->all[i].e->ready) {
            any = true;
            all_nodes = all_nodes && (hints->n_nodes || SERVICES_BUG("hints-some"));
            all_zones = all_zones && hints->n_zones;
            our_node = our_node || has_hint(hints->nodes, hints->n_nodes, s->node);
            our_zone = our_zone || has_hint(hints->zones, hints->n_zones, s->zone);
        }
    }
    return (!any ? WHY_TERMINATING : all_nodes && our_node ? WHY_NODE_HINT : all_zones && our_zone ? WHY_ZONE_HINT
            : WHY_READY);
}

static bool
is_in(const struct services *s, const struct kube_endpoint *e, enum why why)
{
    const struct kube_hints *hints = kube_endpoint_hints(e);

    switch ((int) why) {
    case WHY_TERMINATING:
        return !e->ready && e->serving && e->terminating;
    case WHY_NODE_HINT:
        return e->ready && has_hint(hints->nodes, hints->n_nodes, s->node);
    case WHY_ZONE_HINT:
        return e->ready && has_hint(hints->zones, hints->n_zones, s->zone);
    default:
        return e->ready;
    }
}

static void
fill(const struct services *s, struct choice *c, enum set_kind kind, enum why why)
{
    for (size_t i = 0; i < c->n; i++) {
        struct candidate *candidate = &c->all[i];

        candidate->in[kind] = (kind == SET_CLUSTER || candidate->local) && is_in(s, candidate->e, why);
        c->n_in[kind] += candidate->in[kind];
    }
    c->why[kind] = c->n_in[kind] ? why : WHY_NONE;
}

static void
choose_sets(const struct services *s, const struct kube_service *service, struct choice *c)
{
    bool external = services_is_external(service);
    bool local = (service->internal_policy == KUBE_TRAFFIC_LOCAL
                  || (external && service->external_policy == KUBE_TRAFFIC_LOCAL));

    fill(s, c, SET_CLUSTER, topology(s, c));
    c->any = c->n_in[SET_CLUSTER] > 0;
    if (local) {
        fill(s, c, SET_LOCAL, WHY_READY);
        if (!c->n_in[SET_LOCAL]) {
            fill(s, c, SET_LOCAL, WHY_TERMINATING);
        }
        c->why[SET_LOCAL] = c->n_in[SET_LOCAL] || !c->any ? c->why[SET_LOCAL] : WHY_NONE_LOCAL;
    }
    if (service->internal_policy == KUBE_TRAFFIC_LOCAL && !external) {
        c->why[SET_CLUSTER] = WHY_NOT_USED;
    }
}

static void
choose_host_port(const struct sport *sport, struct choice *c)
{
    const struct host_ports *hp = sport->owner->pod;

    for (size_t i = 0; i < hp->n_addrs; i++) {
        if (!c->n && services_place_ok(&hp->addrs[i], sport->v6)) {
            add(c, &(struct place) { hp->addrs[i], hp->ports[sport->index].pod_port }, NULL, true);
            c->all[0].in[SET_CLUSTER] = true;
            c->n_in[SET_CLUSTER] = 1;
        }
    }
    c->any = c->n > 0;
    c->why[SET_CLUSTER] = c->n ? WHY_HOST_PORT : WHY_NONE;
}

void
services_choose(const struct services *s, const struct sport *sport, struct choice *c)
{
    const struct owner *owner = sport->owner;

    c->n = c->n_bad = c->n_in[SET_CLUSTER] = c->n_in[SET_LOCAL] = 0;
    c->any = c->bad_port = false;
    c->why[SET_CLUSTER] = c->why[SET_LOCAL] = WHY_NOT_USED;
    if (owner->pod) {
        choose_host_port(sport, c);
        return;
    }
    for (uint32_t i = 0; i < owner->n_slices; i++) {
        add_slice(s, owner->slices[i], sport, c);
    }
    sort(c);
    choose_sets(s, owner->service, c);
}
