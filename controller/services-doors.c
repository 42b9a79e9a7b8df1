#include <config.h>

#include "controller/services-private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "controller/kube-decode.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* Doors of a claim. ---------------------------------------------------------------------------------------------- */

struct doors {
    const struct claim *claim;
    struct flow_door door;              /* What they have in common. */
    void (*cb)(const struct flow_door *, const struct sport *, enum set_kind, void *aux);
    void *aux;
};

/* The set of this kind, if a door of the claim leads to it. */
static const struct set *
set_behind(const struct claim *claim, enum set_kind kind)
{
    const struct kube_service *service = claim->owner->service;
    bool cluster = claim->kind == CLAIM_CLUSTER;
    bool local = service && (cluster ? service->internal_policy : service->external_policy) == KUBE_TRAFFIC_LOCAL;

    return claim->sport && (kind == SET_LOCAL ? local : !cluster || !local) ? claim->sport->users[kind].set : NULL;
}

/* Whether a door at this address leads to itself: to a server in a node's network, say, that listens at the node's
 * address and the Service's own port.  It then must not be translated (flows/service-flow.h). */
static bool
is_own_endpoint(const struct claim *claim, const struct in6_addr *addr)
{
    const struct place place = { *addr, claim->port };
    bool is = false;

    for (enum set_kind kind = 0; kind < N_SETS; kind++) {
        const struct set *set = set_behind(claim, kind);
        is = is || (set && services_has_place(set->places, set->n, &place));
    }
    return is;
}

/* To a set; without endpoints: reject if there are none anywhere, else drop (services 8, 9, 13). */
static void
door_to_set(const struct doors *d, enum flow_door_source source, const struct inet_prefix *src, enum set_kind kind)
{
    const struct sport *sport = d->claim->sport;
    const struct set *set = sport->users[kind].set;
    struct flow_door door = d->door;

    door.source = source;
    door.src = src;
    door.action = (set ? set->action
                   : kind == SET_LOCAL && sport->any && !SERVICES_BUG("reject-local") ? FLOW_DOOR_DROP
                   : FLOW_DOOR_REJECT);
    door.number = set ? set->target : 0;
    if (is_own_endpoint(d->claim, &door.addr)) {
        door.action = d->claim->kind == CLAIM_CLUSTER ? FLOW_DOOR_DROP : FLOW_DOOR_DIRECT;
        door.number = 0;
    }
    d->cb(&door, sport, kind, d->aux);
}

static bool
is_restricted(const struct claim *claim)
{
    const struct inet_prefix *ranges;

    return claim->kind == CLAIM_LB && services_ranges(claim->sport, &ranges);
}

/* Who is not in a range is dropped; the node itself may (services 18).  What the node forwards with its own address as
 * source has been looked at by its stack already (service_host.src). */
static void
restricted_doors(const struct doors *d, bool keeps_source)
{
    const struct inet_prefix *ranges;
    size_t n = services_ranges(d->claim->sport, &ranges);

    for (size_t i = 0; i < n; i++) {
        door_to_set(d, FLOW_DOOR_ANYBODY, &ranges[i], SET_CLUSTER);
        if (keeps_source) {
            door_to_set(d, FLOW_DOOR_OUTSIDE, &ranges[i], SET_LOCAL);
        }
    }
    if (!keeps_source) {
        door_to_set(d, FLOW_DOOR_OUTSIDE, NULL, SET_CLUSTER);
    }
    door_to_set(d, FLOW_DOOR_NODE, NULL, SET_CLUSTER);

    struct flow_door drop = d->door;
    drop.action = FLOW_DOOR_DROP;
    d->cb(&drop, d->claim->sport, SET_CLUSTER, d->aux);
}

static void
external_doors(const struct doors *d)
{
    const struct kube_service *service = d->claim->owner->service;
    bool keeps_source = service && service->external_policy == KUBE_TRAFFIC_LOCAL;

    if (is_restricted(d->claim)) {
        restricted_doors(d, keeps_source);
        return;
    }
    door_to_set(d, FLOW_DOOR_ANYBODY, NULL, SET_CLUSTER);
    if (keeps_source) {
        door_to_set(d, FLOW_DOOR_OUTSIDE, NULL, SET_LOCAL);
    }
}

static void
doors_at(struct doors *d, const struct in6_addr *addr)
{
    const struct claim *claim = d->claim;

    d->door.addr = *addr;
    if (claim->kind == CLAIM_REST) {
        d->cb(&d->door, NULL, SET_CLUSTER, d->aux);
    } else if (claim->kind == CLAIM_CLUSTER) {
        door_to_set(d, FLOW_DOOR_ANYBODY, NULL,
                    claim->owner->service->internal_policy == KUBE_TRAFFIC_LOCAL ? SET_LOCAL : SET_CLUSTER);
    } else {
        external_doors(d);
    }
}

/* Endpoints with the number of the node port, which may be at addresses of the node. */
static void
node_port_selves(const struct doors *d)
{
    const struct set *cluster = set_behind(d->claim, SET_CLUSTER);
    struct flow_door door = d->door;

    door.action = FLOW_DOOR_DIRECT;
    for (enum set_kind kind = 0; kind < N_SETS; kind++) {
        const struct set *set = set_behind(d->claim, kind);

        for (uint32_t i = 0; set && i < set->n; i++) {
            const struct place *place = &set->places[i];

            if (place->port == door.port
                && !(kind != SET_CLUSTER && cluster && services_has_place(cluster->places, cluster->n, place))) {
                door.addr = place->addr;
                d->cb(&door, d->claim->sport, kind, d->aux);
            }
        }
    }
}

/* Of the flows that reject what goes to the rest of an address. */
static uint64_t
rest_cookie(const struct owner *owner)
{
    return owner->n_sports ? owner->sports[0].cookie
                           : flow_service_cookie(services_hash(owner->key, strlen(owner->key), 0));
}

void
services_claim_doors(const struct claim *claim,
                     void (*cb)(const struct flow_door *, const struct sport *, enum set_kind, void *aux), void *aux)
{
    const struct address *a = claim->address;
    struct doors d = {
        .claim = claim, .cb = cb, .aux = aux,
        .door = {
            .network = SERVICES_NETWORK, .node_addr = inet_is_any(&a->addr), .protocol = claim->protocol,
            .port = claim->port, .source = FLOW_DOOR_ANYBODY, .action = FLOW_DOOR_REJECT,
            .fragments = claim->sport && services_claim_is_alone(claim) && !a->local && !inet_is_any(&a->addr),
            .cookie = claim->sport ? claim->sport->cookie : rest_cookie(claim->owner),
        },
    };

    struct in6_addr alias;

    if (claim->kind == CLAIM_HEALTH) {
        return;
    }
    doors_at(&d, &a->addr);
    if (claim->kind == CLAIM_NODE_PORT) {
        node_port_selves(&d);
    }
    if (services_claim_alias(claim, &alias)) {
        doors_at(&d, &alias);
    }
}

/* The node's stack. ---------------------------------------------------------------------------------------------- */

static void
copy_ranges(const struct claim *claim, struct service_host *host)
{
    const struct inet_prefix *ranges;

    if (claim->kind == CLAIM_LB) {
        host->n_src = services_ranges(claim->sport, &ranges);
        host->src = host->n_src ? xmemdup(ranges, host->n_src * sizeof *ranges) : NULL;
    }
}

static struct service_host
make_host(const struct claim *claim)
{
    const struct kube_service *service = claim->owner->service;
    const struct address *a = claim->address;
    struct service_host host = {
        .kind = (claim->kind == CLAIM_REST ? SERVICE_HOST_CLUSTER
                 : inet_is_any(&a->addr) ? SERVICE_HOST_NODE_PORT : SERVICE_HOST_EXTERNAL),
        .addr = a->addr, .protocol = claim->protocol, .port = claim->port,
        .keep_source = claim->kind != CLAIM_REST && service && service->external_policy == KUBE_TRAFFIC_LOCAL,
    };

    host.has_alias = services_claim_alias(claim, &host.alias);
    copy_ranges(claim, &host);
    return host;
}

struct hosts {
    struct service_host *hosts;
    size_t n, allocated;
};

/* What goes to an address that is an endpoint itself, and not this node's, is the stack's own business. */
static void
add_host(struct hosts *list, const struct claim *claim)
{
    const struct address *a = claim->address;

    if (claim->kind != CLAIM_CLUSTER && claim->kind != CLAIM_HEALTH
        && (a->alias || !is_own_endpoint(claim, &a->addr))) {
        if (list->n == list->allocated) {
            list->hosts = x2nrealloc(list->hosts, &list->allocated, sizeof *list->hosts);
        }
        list->hosts[list->n++] = make_host(claim);
    }
}

static bool
same_hosts(const struct owner *owner, const struct hosts *list)
{
    bool same = owner->n_hosts == list->n;

    for (size_t i = 0; same && i < list->n; i++) {
        same = service_host_equal(&owner->hosts[i], &list->hosts[i]);
    }
    return same;
}

static void
free_hosts(struct service_host *hosts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        service_host_uninit(&hosts[i]);
    }
    free(hosts);
}

static void
set_hosts(struct services *s, struct owner *owner, struct hosts *list)
{
    if (same_hosts(owner, list)) {
        free_hosts(list->hosts, list->n);
        return;
    }
    for (size_t i = 0; i < owner->n_hosts; i++) {
        services_emit_host(s, &owner->hosts[i], false);
    }
    for (size_t i = 0; i < list->n; i++) {
        services_emit_host(s, &list->hosts[i], true);
    }
    free_hosts(owner->hosts, owner->n_hosts);
    owner->hosts = list->n ? xrealloc(list->hosts, list->n * sizeof *list->hosts) : NULL;
    owner->n_hosts = list->n;
    if (!list->n) {
        free(list->hosts);
    }
}

/* Health checks. ------------------------------------------------------------------------------------------------- */

static void
set_health(struct services *s, struct owner *owner, uint16_t port)
{
    struct service_health health = { .port = port, .n_local = port ? owner->n_local : 0 };

    if (port == owner->health.port && health.n_local == owner->health.n_local) {
        return;
    }
    if (port) {
        health.namespace_ = owner->service->object.namespace_;
        health.name = owner->service->object.name;
    }
    if (owner->health.port) {
        services_emit_health(s, &owner->health, false);
    }
    if (port) {
        services_emit_health(s, &health, true);
    }
    owner->health = health;
}

/* Owners. -------------------------------------------------------------------------------------------------------- */

static void
add_door(const struct flow_door *door, const struct sport *sport OVS_UNUSED, enum set_kind kind OVS_UNUSED, void *out)
{
    flow_add_door(door, out);
}

/* Connections by the node's port of the same number, if this is a door at one of the node's addresses. */
static void
flush_node_port(struct services *s, const struct claim *claim)
{
    const struct address *a = claim->address;
    const struct claim *other = (a->local && !inet_is_any(&a->addr)
                                 ? services_claim_best(s, inet_any(!inet_is_v4(&a->addr)), claim->protocol,
                                                       claim->port) : NULL);

    for (uint32_t i = 0; other && i < other->sport->n_served; i++) {
        services_flush(s, claim, &other->sport->served[i]);
    }
}

/* Whether it leads to endpoints now; if not any more, or only since now, connections are flushed (services 24). */
static void
set_open(struct services *s, struct claim *claim, bool open)
{
    const struct sport *sport = claim->sport;

    if (sport && sport->protocol != IPPROTO_TCP && open != claim->open) {
        if (open) {
            services_flush_older(s, claim);
            flush_node_port(s, claim);
        }
        for (uint32_t i = 0; !open && i < sport->n_served && !SERVICES_BUG("flush-closed"); i++) {
            services_flush(s, claim, &sport->served[i]);
        }
        claim->open = open;
    }
}

#define MAX_PROBLEM 500                 /* Bytes. */

static void
describe_loss(const struct claim *claim, const struct claim *winner, struct ds *ds)
{
    char addr[INET_ADDR_STRLEN];

    if (ds->length > MAX_PROBLEM) {
        return;
    }
    ds_put_cstr(ds, ds->length ? "; " : "");
    if (claim->kind == CLAIM_HEALTH) {
        ds_put_format(ds, "health check port %"PRIu16, claim->port);
    } else if (inet_is_any(&claim->address->addr)) {
        ds_put_format(ds, "node port %"PRIu16"/%s", claim->port, kube_protocol_name(claim->protocol));
    } else if (claim->kind == CLAIM_REST) {
        ds_put_format(ds, "address %s", inet_addr_format(&claim->address->addr, addr));
    } else {
        ds_put_format(ds, "address %s port %"PRIu16"/%s", inet_addr_format(&claim->address->addr, addr), claim->port,
                      kube_protocol_name(claim->protocol));
    }
    ds_put_format(ds, " is %s already", winner->owner == claim->owner ? "this Service's" : winner->owner->key);
}

static void
run_claim(struct services *s, struct claim *claim, struct flow_set *flows, struct hosts *hosts, uint16_t *health,
          struct ds *problem)
{
    const struct claim *winner;
    bool wins = services_claim_wins(s, claim, &winner);

    set_open(s, claim, wins && claim->sport && claim->sport->any);
    if (wins) {
        services_claim_doors(claim, add_door, flows);
        add_host(hosts, claim);
        *health = claim->kind == CLAIM_HEALTH ? claim->port : *health;
    } else {
        describe_loss(claim, winner, problem);
    }
}

static void
run_owner(struct services *s, struct owner *owner)
{
    struct ds problem = DS_EMPTY_INITIALIZER;
    struct flow_set flows = FLOW_SET_INIT;
    struct hosts hosts = { .n = 0 };
    uint16_t health = 0;

    ds_put_cstr(&problem, owner->bad ? owner->bad : "");
    for (uint32_t i = 0; i < owner->n_claims; i++) {
        run_claim(s, &owner->claims[i], &flows, &hosts, &health, &problem);
    }
    services_emit_flows(s, &owner->flows, &owner->n_flows, &flows);
    set_hosts(s, owner, &hosts);
    set_health(s, owner, health);
    s->n_problems -= owner->problem != NULL;
    free(owner->problem);
    owner->problem = problem.length ? ds_steal_cstr(&problem) : NULL;
    s->n_problems += owner->problem != NULL;
    ds_destroy(&problem);
}

void
services_doors_run(struct services *s)
{
    struct owner *owner;

    LIST_FOR_EACH_POP (owner, emit, &s->emit) {
        ovs_list_init(&owner->emit);
        run_owner(s, owner);
    }
}
