#include <config.h>

#include "controller/dataplane-private.h"

#include <errno.h>
#include <string.h>

#include "compile.h"
#include "controller/datapath.h"
#include "controller/mtu.h"
#include "controller/node-input.h"
#include "cookie.h"
#include "flow.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane_node);

#define BRIDGE "br-int"
#define GATEWAY "sluice0"
#define TUNNEL "sluice-tun"

/* Facts. --------------------------------------------------------------------------------------------------------- */

const struct kube_node *
dataplane_own_node_(const struct dataplane *dp)
{
    return kube_node_cast(store_get(dp->store, KUBE_NODE, "", dp->config->node));
}

static void OVS_PRINTF_FORMAT(2, 3)
set_problem(struct dataplane *dp, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(dp->facts_problem);
    dp->facts_problem = xvasprintf(format, args);
    va_end(args);
}

static bool
find_cidrs(struct dataplane *dp, struct node_facts *facts)
{
    const struct kube_node *node = dataplane_own_node_(dp);
    bool from_node = node && node->n_pod_cidrs;
    const struct inet_prefix *cidrs = from_node ? node->pod_cidrs : dp->config->pod_cidrs;

    facts->n_cidrs = MIN(from_node ? node->n_pod_cidrs : dp->config->n_pod_cidrs, KUBE_MAX_CIDRS);
    for (size_t i = 0; i < facts->n_cidrs; i++) {
        facts->cidrs[i].addr = cidrs[i].addr;           /* Without the padding: it is compared by memcmp(). */
        facts->cidrs[i].plen = cidrs[i].plen;
        ipam_gateway(&cidrs[i], &facts->gateways[i]);
    }
    if (!facts->n_cidrs) {
        set_problem(dp, "node %s has no spec.podCIDRs %s, and the configuration has no pod-cidrs", dp->config->node,
                    node ? "in its Node object" : "because there is no Node object of that name");
        dataplane_report_node_(dp, "NoPodCIDR", dp->facts_problem);
    }
    return facts->n_cidrs > 0;
}

/* Which datapath.  Open vSwitch must have told what it can do. */
static bool
choose_datapath(struct dataplane *dp, struct node_facts *facts)
{
    if (!dp->datapath_chosen) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct datapath_facts can;
        char *why = NULL;
        int code = datapath_probe(dp->ovsdb, &can, &error);

        code = code ? code : datapath_choose(dp->config->datapath, &can, &dp->datapath, &why, &error);
        if (code == EAGAIN && dp->config->datapath != DATAPATH_AUTO && ovsdb_is_connected(dp->ovsdb)) {
            /* A database without content: it tells nothing until our bridge is in it. */
            facts->datapath = dp->config->datapath;
            return true;
        } else if (code == EAGAIN) {
            set_problem(dp, "waiting for Open vSwitch at %s to tell which datapaths it has", dp->config->ovsdb);
        } else if (code) {
            set_problem(dp, "%s", error_message(&error));
        }
        if (code) {
            return false;
        }
        dp->datapath_chosen = true;
        free(dp->datapath_why);
        dp->datapath_why = why;
    }
    facts->datapath = dp->datapath;
    return true;
}

/* Whether an IPv6 tunnel, whose headers are larger, leads to one peer at least. */
static void
note_family(const struct kube_object *object, void *facts_)
{
    struct node_facts *facts = facts_;
    struct node_underlay underlay = { .v4 = facts->underlay_v4, .v6 = facts->underlay_v6 };
    const struct in6_addr *dst = node_tunnel_address(&underlay, kube_node_cast(object));
    facts->tunnels_v6 = facts->tunnels_v6 || (dst && !inet_is_v4(dst));
}

static bool
find_mtu(struct dataplane *dp, struct node_facts *facts)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct mtu_input input = { .wish = dp->config->mtu, .encap = facts->encap, .uplink = facts->uplink,
                               .uplink_mtu = facts->uplink_mtu };

    facts->tunnels_v6 = !facts->underlay_v4;
    store_for_each(dp->store, KUBE_NODE, note_family, facts);
    input.underlay_ipv6 = facts->tunnels_v6;
    for (size_t i = 0; i < facts->n_cidrs; i++) {
        input.pods_ipv6 = input.pods_ipv6 || !inet_is_v4(&facts->cidrs[i].addr);
    }
    if (mtu_choose(&input, &facts->mtu, &error)) {
        set_problem(dp, "%s", error_message(&error));
        return false;
    }
    return true;
}

static bool
find_uplink(struct dataplane *dp, struct node_facts *facts)
{
    const struct hostnet_uplink *uplink = hostnet_uplink(dp->hostnet);
    if (!uplink) {
        const char *problem = hostnet_problem(dp->hostnet);
        set_problem(dp, "uplink: %s", problem ? problem : "not found yet");
        return false;
    }
    ovs_strlcpy(facts->uplink, uplink->name, sizeof facts->uplink);
    facts->uplink_mac = uplink->mac;
    facts->uplink_mtu = uplink->mtu;
    for (size_t i = 0; i < uplink->n_addrs; i++) {
        if (inet_is_v4(&uplink->addrs[i].addr)) {
            facts->underlay_v4 = true;
        } else {
            facts->underlay_v6 = true;
        }
    }
    return true;
}

static void
find_facts(struct dataplane *dp, struct node_facts *facts)
{
    memset(facts, 0, sizeof *facts);    /* With its padding: it is compared by memcmp(). */
    facts->encap = dp->config->encapsulation;
    facts->known = (find_cidrs(dp, facts) && choose_datapath(dp, facts) && find_uplink(dp, facts)
                    && find_mtu(dp, facts));
    facts->nd_by_controller = facts->datapath == DATAPATH_KERNEL;
    facts->take_over = facts->datapath != DATAPATH_KERNEL && facts->encap != ENCAP_NONE;
}

void
dataplane_fill_local_(const struct dataplane *dp, struct flow_local *local)
{
    const struct node_facts *facts = &dp->facts;
    node_fill_local(local, dp->config->node, facts->encap, facts->mtu, facts->nd_by_controller, facts->cidrs,
                    facts->gateways, facts->n_cidrs);
}

void
dataplane_fill_underlay_(const struct dataplane *dp, struct node_underlay *underlay)
{
    const struct hostnet_uplink *uplink = hostnet_uplink(dp->hostnet);
    *underlay = (struct node_underlay) {
        .node = dp->config->node, .encap = dp->facts.encap, .v4 = dp->facts.underlay_v4, .v6 = dp->facts.underlay_v6,
        .addrs = uplink ? uplink->addrs : NULL, .n_addrs = uplink ? uplink->n_addrs : 0,
    };
}

/* Peers. --------------------------------------------------------------------------------------------------------- */

struct peers {
    struct dataplane *dp;
    struct sset declared;
    struct hostnet_route *routes;
    size_t n_routes, allocated_routes;
    struct inet_prefix *cidrs;          /* Of the whole cluster. */
    size_t n_cidrs, allocated_cidrs;
    struct in6_addr *tunnels;           /* Destinations. */
    size_t n_tunnels, allocated_tunnels;
};

static void
add_route(struct peers *peers, const struct inet_prefix *dst, const struct in6_addr *via)
{
    if (peers->n_routes >= peers->allocated_routes) {
        peers->routes = x2nrealloc(peers->routes, &peers->allocated_routes, sizeof *peers->routes);
    }
    struct hostnet_route *route = &peers->routes[peers->n_routes++];
    memset(route, 0, sizeof *route);
    route->dst = *dst;
    if (via) {
        route->has_via = true;
        route->via = *via;
    }
}

static void
add_cidr(struct peers *peers, const struct inet_prefix *cidr)
{
    if (peers->n_cidrs >= peers->allocated_cidrs) {
        peers->cidrs = x2nrealloc(peers->cidrs, &peers->allocated_cidrs, sizeof *peers->cidrs);
    }
    peers->cidrs[peers->n_cidrs++] = *cidr;
}

static void
add_tunnel(struct peers *peers, const struct in6_addr *dst)
{
    if (peers->n_tunnels >= peers->allocated_tunnels) {
        peers->tunnels = x2nrealloc(peers->tunnels, &peers->allocated_tunnels, sizeof *peers->tunnels);
    }
    peers->tunnels[peers->n_tunnels++] = *dst;
}

static void
peer_problem(struct dataplane *dp, const char *name, const char *why)
{
    if (!shash_find(&dp->peer_problems, name)) {
        VLOG_WARN("node %s: %s", name, why);
        shash_add(&dp->peer_problems, name, xstrdup(why));
    }
}

static void
add_peer_flows(struct dataplane *dp, const struct flow_peer *peer)
{
    struct flow_set set = FLOW_SET_INIT;
    struct flow_local local;

    dataplane_fill_local_(dp, &local);
    compile_peer(&local, peer, &set);
    of_state_set(ofctrl_state(dp->ofctrl), peer->owner, &set);
    flow_set_destroy(&set);
}

static void
add_peer_routes(struct peers *peers, const struct kube_node *node, bool routed)
{
    for (size_t i = 0; i < node->n_pod_cidrs; i++) {
        const struct in6_addr *via = routed ? node_route_address(node, &node->pod_cidrs[i]) : NULL;
        if (routed && !via) {
            peer_problem(peers->dp, node->object.name,
                         "has pods of a family in which it has no InternalIP: they cannot be routed to");
        } else {
            add_route(peers, &node->pod_cidrs[i], via);
        }
    }
}

static void
add_peer(const struct kube_object *object, void *peers_)
{
    struct peers *peers = peers_;
    struct dataplane *dp = peers->dp;
    const struct kube_node *node = kube_node_cast(object);
    char *owner = xasprintf("Node/%s", object->name);
    struct node_underlay underlay;
    struct flow_peer peer;
    const char *problem;

    for (size_t i = 0; i < node->n_pod_cidrs; i++) {
        add_cidr(peers, &node->pod_cidrs[i]);
    }
    dataplane_fill_underlay_(dp, &underlay);
    if (node_fill_peer(&underlay, node, owner, &peer, &problem)) {
        add_peer_flows(dp, &peer);
        sset_add(&peers->declared, owner);
        if (peer.reach == FLOW_REACH_TUNNEL) {
            add_tunnel(peers, &peer.tunnel_dst);
        }
        add_peer_routes(peers, node, peer.reach == FLOW_REACH_GATEWAY);
    } else if (problem) {
        peer_problem(dp, object->name, problem);
    }
    free(owner);
}

/* Flows of peers that are no more. */
static void
remove_peers(struct dataplane *dp, const struct sset *declared)
{
    const char *owner, *next;
    SSET_FOR_EACH_SAFE (owner, next, &dp->peers) {
        if (!sset_contains(declared, owner)) {
            of_state_remove(ofctrl_state(dp->ofctrl), owner);
            sset_delete(&dp->peers, SSET_NODE_FROM_NAME(owner));
        }
    }
    SSET_FOR_EACH (owner, declared) {
        sset_add(&dp->peers, owner);
    }
}

static void
set_hostnet(struct dataplane *dp, const struct peers *peers)
{
    const struct node_facts *facts = &dp->facts;
    struct inet_prefix addrs[KUBE_MAX_CIDRS];

    for (size_t i = 0; i < facts->n_cidrs; i++) {
        addrs[i] = (struct inet_prefix) { facts->gateways[i], facts->cidrs[i].plen };
    }
    /* The guard stands with every datapath: AF_PACKET leaves each frame to the kernel, AF_XDP does while ovs-vswitchd
     * is dead, and the kernel module while a pod's port is missing in it. */
    struct hostnet_config config = {
        .gateway = GATEWAY, .gateway_mac = node_gateway_mac, .gateway_addrs = addrs, .n_gateway_addrs = facts->n_cidrs,
        .mtu = facts->mtu, .routes = peers->routes, .n_routes = peers->n_routes, .cluster_cidrs = peers->cidrs,
        .n_cluster_cidrs = peers->n_cidrs, .masquerade = dp->config->masquerade,
        .uplink_bridge = facts->take_over ? DATAPLANE_UPLINK_BRIDGE : NULL,
        .uplink_bridge_pending = !dp->base_seen, .guard_af_packet = true,
    };
    hostnet_set(dp->hostnet, &config);
}

static void
realize_peers(struct dataplane *dp)
{
    struct peers peers = { .dp = dp, .declared = SSET_INITIALIZER(&peers.declared) };

    shash_clear_free_data(&dp->peer_problems);
    for (size_t i = 0; i < dp->facts.n_cidrs && !dataplane_own_node_(dp); i++) {
        add_cidr(&peers, &dp->facts.cidrs[i]);
    }
    store_for_each(dp->store, KUBE_NODE, add_peer, &peers);
    remove_peers(dp, &peers.declared);
    set_hostnet(dp, &peers);
    tnl_neigh_declare(dp->tnl_neigh, dp->facts.take_over ? DATAPLANE_UPLINK_BRIDGE : NULL, peers.tunnels,
                      peers.n_tunnels);
    sset_destroy(&peers.declared);
    free(peers.routes);
    free(peers.cidrs);
    free(peers.tunnels);
}

/* The node. ------------------------------------------------------------------------------------------------------ */

static void
set_base(struct dataplane *dp)
{
    const struct node_facts *facts = &dp->facts;
    struct ovsdb_base base = {
        .bridge = BRIDGE, .datapath = facts->datapath, .gateway = GATEWAY, .gateway_mac = node_gateway_mac,
        .gateway_mtu = facts->mtu, .tunnel = facts->encap == ENCAP_HYBRID ? ENCAP_GENEVE : facts->encap,
        .tunnel_name = TUNNEL, .uplink_bridge = facts->take_over ? DATAPLANE_UPLINK_BRIDGE : NULL,
        .uplink = facts->take_over ? facts->uplink : NULL, .uplink_mac = facts->uplink_mac,
    };
    ovsdb_set_base(dp->ovsdb, &base);
}

static void
set_base_flows(struct dataplane *dp)
{
    struct flow_local local;
    struct flow_set set = FLOW_SET_INIT;

    dataplane_fill_local_(dp, &local);
    pinctrl_set_local(dp->pinctrl, &local);
    compile_base(&local, &set);
    dp->base_version = MAX(1, of_state_set(ofctrl_state(dp->ofctrl), OWNER_BASE, &set));
    flow_set_destroy(&set);
}

/* Carries out facts that have changed. */
static void
realize(struct dataplane *dp)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    const struct node_facts *facts = &dp->facts;
    long long int now = time_wall_msec();

    VLOG_INFO("node %s: datapath %s, encapsulation %s, uplink %s, MTU of pods %u", dp->config->node,
              datapath_name(facts->datapath), encap_name(facts->encap), facts->uplink, facts->mtu);
    if (attachments_set_pools(dp->attachments, facts->cidrs, facts->n_cidrs, now, &error)) {
        set_problem(dp, "%s", error_message(&error));
        dp->facts.known = false;
        return;
    }
    set_base(dp);
    set_base_flows(dp);
    realize_peers(dp);
    dataplane_pods_compile_(dp);
    attachments_set_mtu(dp->attachments, facts->mtu, now);
    if (!dp->started) {
        dp->started = true;
        of_state_start(ofctrl_state(dp->ofctrl));
        ovsdb_start(dp->ovsdb);
    }
}

/* The host's network looks for the uplink only once it knows the node's addresses. */
static bool
run_hostnet(struct dataplane *dp)
{
    uint64_t nodes = store_seqno(dp->store, KUBE_NODE);
    bool changed = nodes != dp->nodes_seen;

    if (!dp->sources_synced) {
        return false;
    }
    if (changed) {
        const struct kube_node *node = dataplane_own_node_(dp);
        hostnet_set_node_addrs(dp->hostnet, node ? node->addrs : NULL, node ? node->n_addrs : 0);
        dp->nodes_seen = nodes;
    }
    hostnet_run(dp->hostnet);
    return changed;
}

/* Looks at what has changed; costs nothing when nothing has. */
void
dataplane_node_run_(struct dataplane *dp)
{
    bool nodes_changed = run_hostnet(dp);
    unsigned int hostnet = hostnet_seqno(dp->hostnet);

    /* The uplink's addresses may move once the bridge holds it. */
    bool base_changed = dp->facts.known && !dp->base_seen && ovsdb_base_ready(dp->ovsdb);
    unsigned int ovsdb = ovsdb_seqno(dp->ovsdb);
    bool waits_for_ovsdb = !dp->datapath_chosen && ovsdb != dp->facts_ovsdb_seen;
    dp->facts_ovsdb_seen = ovsdb;
    dp->base_seen = dp->base_seen || base_changed;
    if (!dp->sources_synced
        || (dp->facts_seen && !nodes_changed && !base_changed && hostnet == dp->hostnet_seen && !waits_for_ovsdb)) {
        return;
    }
    dp->hostnet_seen = hostnet;
    dp->facts_seen = true;

    struct node_facts facts;
    find_facts(dp, &facts);
    if (!facts.known) {
        return;                         /* What was realised stays, also when a source loses its Node. */
    }
    free(dp->facts_problem);
    dp->facts_problem = NULL;
    if (memcmp(&facts, &dp->facts, sizeof facts)) {
        dp->base_seen = dp->base_seen && !facts.take_over == !dp->facts.take_over;
        dp->facts = facts;
        realize(dp);
    } else if (nodes_changed || base_changed) {
        realize_peers(dp);
    }
}
