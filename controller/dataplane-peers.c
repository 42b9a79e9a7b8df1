#include <config.h>

#include "controller/dataplane-private.h"

#include <string.h>

#include "compile.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane_peers);

/* What the core (peers.h) says of the other nodes, into the switch, the host's routes and the tunnels' neighbours. */

static void
set_problem(struct dataplane *dp, const char *name, const char *why)
{
    char *old = shash_find_data(&dp->peer_problems, name);

    if (nullable_string_is_equal(old, why)) {
        return;
    }
    free(shash_find_and_delete(&dp->peer_problems, name));
    if (why) {
        VLOG_WARN("node %s: %s", name, why);
        shash_add(&dp->peer_problems, name, xstrdup(why));
    } else {
        VLOG_INFO("node %s: solved: it can be reached", name);
    }
}

static void
set_flows(struct dataplane *dp, const struct flow_local *local, const char *name)
{
    struct flow_peer peer;

    if (peers_get_flows(dp->peers_core, name, &peer)) {
        struct flow_set set = FLOW_SET_INIT;
        compile_peer(local, &peer, &set);
        of_state_set(ofctrl_state(dp->ofctrl), peer.owner, &set);
        flow_set_destroy(&set);
        sset_add(&dp->peers, peer.owner);
    } else {
        char *owner = xasprintf("Node/%s", name);
        if (sset_find_and_delete(&dp->peers, owner)) {
            of_state_remove(ofctrl_state(dp->ofctrl), owner);
        }
        free(owner);
    }
}

static void
set_route(struct dataplane *dp, const struct inet_prefix *dst)
{
    struct hostnet_route route = { .dst = *dst };

    if (peers_get_route(dp->peers_core, dst, &route.has_via, &route.via)) {
        hostnet_set_route(dp->hostnet, &route);
    } else {
        hostnet_remove_route(dp->hostnet, dst);
    }
}

static void
set_tunnel(struct dataplane *dp, const struct in6_addr *dst)
{
    if (peers_get_tunnel(dp->peers_core, dst)) {
        tnl_neigh_add(dp->tnl_neigh, dst);
    } else {
        tnl_neigh_remove(dp->tnl_neigh, dst);
    }
}

void
dataplane_peer_changed_(struct dataplane *dp, const char *name)
{
    const struct kube_object *object = store_get(dp->store, KUBE_NODE, "", name);

    if (object) {
        peers_put(dp->peers_core, kube_node_cast(object));
    } else {
        peers_remove(dp->peers_core, name);
    }
}

void
dataplane_peers_run_(struct dataplane *dp)
{
    struct flow_local local;
    struct inet_prefix prefix;
    struct in6_addr addr;
    char *name;

    dataplane_fill_local_(dp, &local);
    while (peers_pop_node(dp->peers_core, &name)) {
        set_flows(dp, &local, name);
        set_problem(dp, name, peers_get_problem(dp->peers_core, name));
        free(name);
    }
    while (peers_pop_route(dp->peers_core, &prefix)) {
        set_route(dp, &prefix);
    }
    while (peers_pop_tunnel(dp->peers_core, &addr)) {
        set_tunnel(dp, &addr);
    }
}
