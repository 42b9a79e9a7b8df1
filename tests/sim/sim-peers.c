/* The simulator of the other nodes: Node objects come, change, clash and go, the underlay changes, and what is popped is
 * carried out as dataplane-peers.c does.
 *
 *   incremental equals anew   flows, routes, tunnels, problems and the list for masquerading are those of a core that is
 *                             given only the last objects, in another order
 *   nobody else is touched    what is popped after a change is the node itself and those that claim the same as it does
 *   one owner                 no CIDR is in the flows of two nodes, and none that overlaps this node's
 *
 * Issue 4, item 4: node added, removed, re-addressed, renamed, re-created; two with the same CIDR or InternalIP. */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "compile.h"
#include "controller/kube-types.h"
#include "controller/node-input.h"
#include "controller/peers.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "sim.h"
#include "util.h"

#define N_NODES 7                       /* The first one is ourselves. */
#define N_CIDRS 8
#define N_ADDRS 7

static const char *const names[N_NODES] = { "self", "a", "b", "c", "d", "e", "f" };
static const char *const cidrs[N_CIDRS] = { "10.1.1.0/24", "10.1.2.0/24", "10.1.3.0/24", "10.1.2.0/25", "10.1.0.0/16",
                                            "fd00:1::/64", "fd00:2::/64", "10.9.0.0/25" };
static const char *const addrs[N_ADDRS] = { "192.168.0.1", "192.168.0.2", "192.168.0.3", "172.16.0.4", "fd01::1", "fd01::2",
                                            "fd01::3" };

struct world {
    struct sim_history *h;
    struct peers *peers;
    struct kube_object *nodes[N_NODES]; /* NULL: not there. */
    bool has_underlay;
    struct node_underlay underlay;
    struct inet_prefix uplink[2], own[2];
    size_t n_own;

    /* What has been carried out. */
    char *flows[N_NODES], *problems[N_NODES], *routes[N_CIDRS];
    bool tunnels[N_ADDRS];
    bool popped[N_NODES];
};

static int
find_name(const char *const list[], size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(list[i], name)) {
            return i;
        }
    }
    OVS_NOT_REACHED();
}

/* What must be, as text; NULL: nothing. ------------------------------------------------------------------------------ */

static char *
flows_of(struct peers *peers, int i)
{
    static const struct flow_local local = { .tunnel_port = 1, .gateway_port = 2, .mtu = 1450 };
    struct flow_set set = FLOW_SET_INIT;
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct flow_peer peer;

    if (!peers_get_flows(peers, names[i], &peer)) {
        return NULL;
    }
    compile_peer(&local, &peer, &set);
    flow_set_sort(&set);
    flow_set_format(&set, true, &ds);
    flow_set_destroy(&set);
    return ds_steal_cstr(&ds);
}

static char *
route_of(const struct peers *peers, int i)
{
    char s[INET_ADDR_STRLEN];
    struct inet_prefix dst;
    struct in6_addr via;
    bool has_via;

    inet_cidr_parse(cidrs[i], &dst, NULL);
    return (!peers_get_route(peers, &dst, &has_via, &via) ? NULL
            : xasprintf("%s via %s", cidrs[i], has_via ? inet_addr_format(&via, s) : "gateway"));
}

static bool
tunnel_of(const struct peers *peers, int i)
{
    struct in6_addr addr;
    inet_addr_parse(addrs[i], &addr, NULL);
    return peers_get_tunnel(peers, &addr);
}

/* Carrying out. ---------------------------------------------------------------------------------------------------- */

static void
replace(char **old, char *new)
{
    free(*old);
    *old = new;
}

static void
pop(struct world *w)
{
    struct inet_prefix prefix;
    struct in6_addr addr;
    char *name, s[INET_PREFIX_STRLEN];

    while (peers_pop_node(w->peers, &name)) {
        int i = find_name(names, N_NODES, name);
        w->popped[i] = true;
        if (!sim_bug(w->h, "node-missed") || sim_chance(w->h, 80)) {
            replace(&w->flows[i], flows_of(w->peers, i));
            replace(&w->problems[i], nullable_xstrdup(peers_get_problem(w->peers, name)));
        }
        free(name);
    }
    while (peers_pop_route(w->peers, &prefix)) {
        int i = find_name(cidrs, N_CIDRS, inet_prefix_format(&prefix, s));
        if (!sim_bug(w->h, "route-missed") || sim_chance(w->h, 80)) {
            replace(&w->routes[i], route_of(w->peers, i));
        }
    }
    while (peers_pop_tunnel(w->peers, &addr)) {
        int i = find_name(addrs, N_ADDRS, inet_addr_format(&addr, s));
        if (!sim_bug(w->h, "tunnel-missed") || sim_chance(w->h, 80)) {
            w->tunnels[i] = tunnel_of(w->peers, i);
        }
    }
}

/* Checks. ---------------------------------------------------------------------------------------------------------- */

static void
check_text(struct world *w, const char *what, const char *name, const char *have, char *want)
{
    SIM_CHECK(w->h, nullable_string_is_equal(have, want), "%s of %s: %s, but anew: %s", what, name, have ? have : "none",
              want ? want : "none");
    free(want);
}

static char *
outside_of(const struct peers *peers)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct inet_prefix *list;
    size_t n = peers_get_outside(peers, &list);
    for (size_t i = 0; i < n; i++) {
        inet_prefix_put(&ds, &list[i]);
        ds_put_char(&ds, ' ');
    }
    free(list);
    return ds_steal_cstr(&ds);
}

/* A core that knows only what is now, in another order. */
static struct peers *
anew(struct world *w)
{
    struct peers *peers = peers_create(names[0]);
    size_t first = sim_below(w->h, N_NODES);

    for (size_t i = 0; i < N_NODES; i++) {
        const struct kube_object *node = w->nodes[(first + i) % N_NODES];
        if (w->has_underlay && i == N_NODES / 2) {
            peers_set_underlay(peers, &w->underlay, w->own, w->n_own);
        }
        if (node) {
            peers_put(peers, kube_node_cast(node));
        }
    }
    struct inet_prefix prefix;
    while (peers_pop_route(peers, &prefix)) {
        continue;
    }
    return peers;
}

static void
check_equal(struct world *w)
{
    struct peers *peers = anew(w);
    for (int i = 0; i < N_NODES; i++) {
        check_text(w, "flows", names[i], w->flows[i], flows_of(peers, i));
        check_text(w, "problem", names[i], w->problems[i], nullable_xstrdup(peers_get_problem(peers, names[i])));
    }
    for (int i = 0; i < N_CIDRS; i++) {
        check_text(w, "route", cidrs[i], w->routes[i], route_of(peers, i));
    }
    for (int i = 0; i < N_ADDRS; i++) {
        SIM_CHECK(w->h, w->tunnels[i] == tunnel_of(peers, i), "tunnel to %s: %d, but anew: %d", addrs[i], w->tunnels[i],
                  !w->tunnels[i]);
    }
    SIM_CHECK(w->h, peers_n_v6_only(peers) == peers_n_v6_only(w->peers), "%"PRIuSIZE" of IPv6 only, but anew %"PRIuSIZE,
              peers_n_v6_only(w->peers), peers_n_v6_only(peers));
    char *have = outside_of(w->peers);
    check_text(w, "outside", "all", have, outside_of(peers));
    free(have);
    peers_destroy(peers);
}

static void
check_one_owner(struct world *w)
{
    struct inet_prefix seen[N_NODES * KUBE_MAX_CIDRS];
    size_t n = 0;

    for (int i = 0; i < N_NODES; i++) {
        struct flow_peer peer;
        if (!peers_get_flows(w->peers, names[i], &peer)) {
            continue;
        }
        for (size_t j = 0; j < peer.n_pod_cidrs; j++) {
            for (size_t k = 0; k < n; k++) {
                SIM_CHECK(w->h, !inet_prefix_equals(&seen[k], &peer.pod_cidrs[j]), "%s has another's CIDR", names[i]);
            }
            for (size_t k = 0; k < w->n_own; k++) {
                SIM_CHECK(w->h, !inet_prefix_overlaps(&w->own[k], &peer.pod_cidrs[j]), "%s has ours", names[i]);
            }
            seen[n++] = peer.pod_cidrs[j];
        }
    }
}

static bool
shares(const struct kube_object *a_, const struct kube_object *b_)
{
    if (!a_ || !b_) {
        return false;
    }
    const struct kube_node *a = kube_node_cast(a_), *b = kube_node_cast(b_);
    for (size_t i = 0; i < a->n_pod_cidrs; i++) {
        for (size_t j = 0; j < b->n_pod_cidrs; j++) {
            if (inet_prefix_equals(&a->pod_cidrs[i], &b->pod_cidrs[j])) {
                return true;
            }
        }
    }
    for (size_t i = 0; i < a->n_addrs; i++) {
        for (size_t j = 0; j < b->n_addrs; j++) {
            if (ipv6_addr_equals(&a->addrs[i], &b->addrs[j])) {
                return true;
            }
        }
    }
    return false;
}

/* Events. ---------------------------------------------------------------------------------------------------------- */

static void
put_list(struct world *w, struct ds *ds, const char *const list[], size_t n, size_t max, const char *format)
{
    size_t n_items = sim_below(w->h, max + 1);
    for (size_t i = 0, last = SIZE_MAX; i < n_items; i++) {
        size_t item = sim_below(w->h, n);
        if (item != last) {
            ds_put_format(ds, last == SIZE_MAX ? "" : ",");
            ds_put_cstr(ds, format);
            ds_put_format(ds, "\"%s\"%s", list[item], format[0] ? "}" : "");
        }
        last = item;
    }
}

static struct kube_object *
make_node(struct world *w, int i)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct kube_object *object = NULL;

    ds_put_format(&ds, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\","
                  "\"creationTimestamp\":\"2026-01-0%dT00:00:00Z\"},\"spec\":{\"podCIDRs\":[", names[i],
                  1 + (int) sim_below(w->h, 3));
    put_list(w, &ds, cidrs, N_CIDRS, KUBE_MAX_CIDRS, "");
    ds_put_cstr(&ds, "]},\"status\":{\"addresses\":[");
    put_list(w, &ds, addrs, N_ADDRS, 2, "{\"type\":\"InternalIP\",\"address\":");
    ds_put_cstr(&ds, "]}}");
    json_t *json = json_loads(ds_cstr(&ds), 0, NULL);
    int code = kube_object_decode(json, &object, &error);
    sim_log(w->h, "put %s%s%s", ds_cstr(&ds), code ? ": " : "", code ? error_message(&error) : "");
    json_decref(json);
    ds_destroy(&ds);
    return code ? NULL : object;
}

static void
change_node(struct world *w)
{
    int i = sim_below(w->h, N_NODES);
    struct kube_object *old = w->nodes[i], *new = sim_chance(w->h, 25) ? NULL : make_node(w, i);

    memset(w->popped, 0, sizeof w->popped);
    if (new) {
        peers_put(w->peers, kube_node_cast(new));
    } else {
        sim_log(w->h, "remove %s", names[i]);
        peers_remove(w->peers, names[i]);
    }
    pop(w);
    for (int j = 0; j < N_NODES; j++) {
        SIM_CHECK(w->h, !w->popped[j] || j == i || shares(w->nodes[j], old) || shares(w->nodes[j], new),
                  "a change of %s touches %s", names[i], names[j]);
    }
    if (old) {
        kube_object_destroy(old);
    }
    w->nodes[i] = new;
}

static void
change_underlay(struct world *w)
{
    static const enum encap encaps[] = { ENCAP_GENEVE, ENCAP_NONE, ENCAP_HYBRID };

    inet_prefix_parse(sim_chance(w->h, 80) ? "192.168.0.1/24" : "192.168.0.9/24", &w->uplink[0], NULL);
    inet_prefix_parse("fd01::1/64", &w->uplink[1], NULL);
    w->underlay = (struct node_underlay) {
        .node = names[0], .encap = encaps[sim_below(w->h, 3)], .v4 = sim_chance(w->h, 90), .v6 = sim_chance(w->h, 60),
        .addrs = w->uplink, .n_addrs = 1 + sim_below(w->h, 2),
    };
    w->n_own = 1 + sim_below(w->h, 2);
    inet_cidr_parse(sim_chance(w->h, 50) ? "10.9.0.0/24" : "10.1.3.0/24", &w->own[0], NULL);
    inet_cidr_parse("fd00:2::/64", &w->own[1], NULL);
    w->has_underlay = true;
    sim_log(w->h, "underlay: encap %d v4 %d v6 %d", w->underlay.encap, w->underlay.v4, w->underlay.v6);
    peers_set_underlay(w->peers, &w->underlay, w->own, w->n_own);
    pop(w);
}

static void
history(struct sim_history *h)
{
    struct world *w = xzalloc(sizeof *w);
    w->h = h;
    w->peers = peers_create(names[0]);
    for (int i = 0; i < 24 && !sim_failed(h); i++) {
        if (sim_chance(h, 12)) {
            change_underlay(w);
        } else {
            change_node(w);
        }
        check_one_owner(w);
        if (i % 4 == 3) {
            check_equal(w);
        }
    }
    for (int i = 0; i < N_NODES; i++) {
        if (w->nodes[i]) {
            kube_object_destroy(w->nodes[i]);
        }
        free(w->flows[i]);
        free(w->problems[i]);
    }
    for (int i = 0; i < N_CIDRS; i++) {
        free(w->routes[i]);
    }
    peers_destroy(w->peers);
    free(w);
}

int
main(int argc, char *argv[])
{
    static const char *const bugs[] = { "node-missed", "route-missed", "tunnel-missed", NULL };
    return sim_main(argc, argv, &(struct sim) { "peers", history, bugs });
}
