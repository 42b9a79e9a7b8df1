#include <config.h>

#include "controller/dataplane-private.h"

#include <errno.h>
#include <string.h>

#include "compile.h"
#include "controller/datapath.h"
#include "controller/mtu.h"
#include "controller/node-input.h"
#include "controller/service-ranges.h"
#include "cookie.h"
#include "flow.h"
#include "openvswitch/poll-loop.h"
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

/* A CIDR of pods that were added when the node had another one, and still run.  Its length is not recorded; that of a family
 * does not change in a cluster. */
static struct inet_prefix
guess_cidr(const struct node_facts *facts, const struct in6_addr *gateway)
{
    struct inet_prefix cidr = { *gateway, inet_is_v4(gateway) ? 24 : 64 };
    for (size_t i = 0; i < facts->n_cidrs; i++) {
        if (inet_is_v4(&facts->cidrs[i].addr) == inet_is_v4(gateway)) {
            cidr.plen = facts->cidrs[i].plen;
        }
    }
    return inet_prefix_network(&cidr);
}

static void
note_old_cidr(const struct attachment *a, void *facts_)
{
    struct node_facts *facts = facts_;

    for (size_t i = 0; i < a->n_ips; i++) {
        size_t n = facts->n_cidrs + facts->n_old_cidrs;
        struct inet_prefix cidr = guess_cidr(facts, &a->ips[i].gateway);

        if (a->ips[i].generation && a->ips[i].has_gateway && n < MAX_OWN_CIDRS
            && !inet_prefixes_overlap(facts->cidrs, n, &cidr)) {
            for (; n > facts->n_cidrs && inet_prefix_compare(&facts->cidrs[n - 1], &cidr) > 0; n--) {
                facts->cidrs[n] = facts->cidrs[n - 1];
                facts->gateways[n] = facts->gateways[n - 1];
            }
            facts->cidrs[n].addr = cidr.addr;           /* Without the padding: it is compared by memcmp(). */
            facts->cidrs[n].plen = cidr.plen;
            facts->gateways[n] = a->ips[i].gateway;
            facts->n_old_cidrs++;
        }
    }
}

static size_t
n_attachments(const struct dataplane *dp)
{
    size_t n = 0;
    for (enum attachment_state state = ATTACHMENT_WAITING; state <= ATTACHMENT_REMOVING; state++) {
        n += attachments_count(dp->attachments, state);
    }
    return n;
}

static bool
find_cidrs(struct dataplane *dp, struct node_facts *facts)
{
    const struct kube_node *node = dataplane_own_node_(dp);
    bool from_node = node && node->n_pod_cidrs;
    const struct inet_prefix *cidrs = from_node ? node->pod_cidrs : dp->config->pod_cidrs;

    facts->n_cidrs = MIN(from_node ? node->n_pod_cidrs : dp->config->n_pod_cidrs, KUBE_MAX_CIDRS);
    for (size_t i = 0; i < facts->n_cidrs; i++) {
        facts->cidrs[i].addr = cidrs[i].addr;           /* Likewise. */
        facts->cidrs[i].plen = cidrs[i].plen;
        ipam_gateway(&cidrs[i], &facts->gateways[i]);
    }
    attachments_for_each(dp->attachments, note_old_cidr, facts);
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

static bool
find_mtu(struct dataplane *dp, struct node_facts *facts)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct mtu_input input = { .wish = dp->config->mtu, .encap = facts->encap, .uplink = facts->uplink,
                               .uplink_mtu = facts->uplink_mtu };

    /* IPv6 headers are larger. */
    facts->tunnels_v6 = !facts->underlay_v4 || (facts->underlay_v6 && peers_n_v6_only(dp->peers_core));
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
    const struct kube_node *node = dataplane_own_node_(dp);
    if (dp->declares_pods && !dp->facts.known && node && !node->n_addrs && !strcmp(dp->config->uplink, "auto")) {
        set_problem(dp, "node %s has no InternalIP in its Node object yet: its uplink is not known", dp->config->node);
        return false;
    }
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
    facts->kernel_datapath = facts->datapath == DATAPATH_KERNEL;
    facts->take_over = facts->datapath != DATAPATH_KERNEL && facts->encap != ENCAP_NONE;
}

void
dataplane_fill_local_(const struct dataplane *dp, struct flow_local *local)
{
    const struct node_facts *facts = &dp->facts;
    node_fill_local(local, dp->config->node, facts->encap, facts->mtu, facts->kernel_datapath, facts->cidrs,
                    facts->gateways, facts->n_cidrs + facts->n_old_cidrs);
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

/* The host's network. -------------------------------------------------------------------------------------------- */

/* Everything but the routes to the peers. */
static void
set_hostnet(struct dataplane *dp)
{
    const struct node_facts *facts = &dp->facts;
    size_t n_own = facts->n_cidrs + facts->n_old_cidrs;
    struct inet_prefix addrs[MAX_OWN_CIDRS], *cluster, *ranges;
    size_t n_outside = peers_get_outside(dp->peers_core, &cluster);

    size_t n_ranges = service_ranges_get(dp->store, dp->config->service_cidrs, dp->config->n_service_cidrs, facts->cidrs, n_own,
                                         &ranges);
    cluster = xrealloc(cluster, (n_outside + n_own) * sizeof *cluster);
    for (size_t i = 0; i < n_own; i++) {
        addrs[i] = (struct inet_prefix) { facts->gateways[i], facts->cidrs[i].plen };
        cluster[n_outside + i] = facts->cidrs[i];
    }
    dp->outside_seen = peers_outside_seqno(dp->peers_core);
    dp->ranges_seen = store_seqno(dp->store, KUBE_SERVICECIDR);
    /* The guard stands with every datapath: AF_PACKET leaves each frame to the kernel, AF_XDP does while ovs-vswitchd
     * is dead, and the kernel module while a pod's port is missing in it. */
    struct hostnet_config config = {
        .gateway = GATEWAY, .gateway_mac = node_gateway_mac, .gateway_addrs = addrs, .n_gateway_addrs = n_own,
        .mtu = facts->mtu, .cluster_cidrs = cluster, .n_cluster_cidrs = n_outside + n_own,
        .service_cidrs = ranges, .n_service_cidrs = n_ranges,
        .masquerade = dp->config->masquerade, .own_mac = node_own_mac, .tunnel_port = node_tunnel_udp(facts->encap),
        .uplink_bridge = facts->take_over ? DATAPLANE_UPLINK_BRIDGE : NULL,
        .uplink_bridge_pending = !dp->base_seen, .guard_af_packet = true,
    };
    hostnet_set(dp->hostnet, &config);
    free(cluster);
    free(ranges);
    tnl_neigh_set_bridge(dp->tnl_neigh, facts->take_over ? DATAPLANE_UPLINK_BRIDGE : NULL);
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

/* On which it depends how peers are reached. */
static void
set_underlay(struct dataplane *dp)
{
    struct node_underlay underlay;
    dataplane_fill_underlay_(dp, &underlay);
    peers_set_underlay(dp->peers_core, &underlay, dp->facts.cidrs, dp->facts.n_cidrs + dp->facts.n_old_cidrs);
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
    set_underlay(dp);
    peers_touch(dp->peers_core);
    dataplane_peers_run_(dp);
    set_hostnet(dp);
    dataplane_pods_compile_(dp);
    dataplane_service_run_(dp);
    attachments_set_mtu(dp->attachments, facts->mtu, now);
    if (!dp->started) {
        dp->started = true;
        of_state_start(ofctrl_state(dp->ofctrl));
        ovsdb_start(dp->ovsdb);
    }
}

/* The host's network looks for the uplink only once it knows the node's addresses.  Those that it has had stay while the Node
 * object is lost, or has none. */
static bool
run_hostnet(struct dataplane *dp)
{
    bool changed = dp->nodes_changed;

    if (!dp->sources_synced) {
        return false;
    }
    if (changed) {
        const struct kube_node *node = dataplane_own_node_(dp);
        if (node && node->n_addrs) {
            hostnet_set_node_addrs(dp->hostnet, node->addrs, node->n_addrs);
        }
        dp->nodes_changed = false;
    }
    hostnet_run(dp->hostnet);
    return changed;
}

void
dataplane_node_changed_(struct dataplane *dp, const char *name)
{
    dp->nodes_changed = true;
    dataplane_peer_changed_(dp, name);
}

/* Looks at the facts again.  Returns true if there are any to work with: what was realised stays, also when a source loses
 * its Node. */
static bool
update_facts(struct dataplane *dp)
{
    struct node_facts facts;

    dp->hostnet_seen = hostnet_seqno(dp->hostnet);
    dp->n_attachments_seen = n_attachments(dp);
    dp->facts_seen = true;
    find_facts(dp, &facts);
    if (facts.known) {
        free(dp->facts_problem);
        dp->facts_problem = NULL;
        if (memcmp(&facts, &dp->facts, sizeof facts)) {
            dp->base_seen = dp->base_seen && !facts.take_over == !dp->facts.take_over;
            dp->facts = facts;
            realize(dp);
        } else {
            set_underlay(dp);
            dataplane_service_run_(dp);
        }
    }
    return dp->facts.known;
}

/* Whether the last pod of a CIDR that is no longer ours may have gone. */
static bool
old_pod_has_gone(const struct dataplane *dp)
{
    return dp->facts.n_old_cidrs && dp->n_attachments_seen != n_attachments(dp);
}

/* Looks at what has changed; costs nothing when nothing has. */
void
dataplane_node_run_(struct dataplane *dp)
{
    bool nodes_changed = run_hostnet(dp), anew = !dp->facts_seen;

    /* The uplink's addresses may move once the bridge holds it. */
    bool base_changed = dp->facts.known && !dp->base_seen && ovsdb_base_ready(dp->ovsdb);
    bool ranges_changed = store_seqno(dp->store, KUBE_SERVICECIDR) != dp->ranges_seen;
    unsigned int ovsdb = ovsdb_seqno(dp->ovsdb);
    bool waits_for_ovsdb = !dp->datapath_chosen && ovsdb != dp->facts_ovsdb_seen;
    dp->facts_ovsdb_seen = ovsdb;
    dp->base_seen = dp->base_seen || base_changed;
    if (!dp->sources_synced
        || (!anew && !nodes_changed && !base_changed && hostnet_seqno(dp->hostnet) == dp->hostnet_seen
            && !waits_for_ovsdb && !ranges_changed && !old_pod_has_gone(dp))) {
        return;
    }
    if (update_facts(dp)) {
        dataplane_peers_run_(dp);
        if (anew || base_changed || ranges_changed || dp->outside_seen != peers_outside_seqno(dp->peers_core)) {
            set_hostnet(dp);
        }
    }
}

void
dataplane_node_wait_(struct dataplane *dp)
{
    if (!dp->sources_synced) {          /* It does not run, and what waits for it to would spin. */
        return;
    }
    hostnet_wait(dp->hostnet);
    if (old_pod_has_gone(dp)) {
        poll_immediate_wake();
    }
}
