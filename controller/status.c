#include <config.h>

#include "controller/status.h"

#include <string.h>

#include "controller/dataplane-private.h"
#include "controller/health.h"
#include "controller/pod-link.h"
#include "controller/report.h"
#include "controller/service-json.h"
#include "controller/source.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

static json_t *
address_to_json(const struct in6_addr *addr)
{
    char s[INET_ADDR_STRLEN];
    return json_string(inet_addr_format(addr, s));
}

static json_t *
prefix_to_json(const struct inet_prefix *prefix)
{
    char s[INET_PREFIX_STRLEN];
    return json_string(inet_prefix_format(prefix, s));
}

static json_t *
addresses_to_json(const struct in6_addr *addrs, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, address_to_json(&addrs[i]));
    }
    return array;
}

/* Pods. ---------------------------------------------------------------------------------------------------------- */

struct pods {
    const struct dataplane *dp;
    json_t *array;
    struct sset attached;               /* "NAMESPACE/NAME". */
};

static const char *
state_name(enum attachment_state state)
{
    switch (state) {
    case ATTACHMENT_WAITING: return "waiting";
    case ATTACHMENT_ADDING: return "adding";
    case ATTACHMENT_UP: return "up";
    case ATTACHMENT_REMOVING: return "removing";
    default: OVS_NOT_REACHED();
    }
}

static void
put_attached(const struct attachment *a, void *pods_)
{
    struct pods *pods = pods_;
    char mac[ETH_ADDR_STRLEN + 1];

    if (!a->keyed) {
        return;                         /* Deleted; only its last traces are being removed. */
    }
    json_t *ips = json_array();
    for (size_t i = 0; i < a->n_ips; i++) {
        json_array_append_new(ips, address_to_json(&a->ips[i].prefix.addr));
    }
    const char *why = attachment_problem(a);
    why = why ? why : dataplane_policy_problem_(pods->dp, a);
    why = why ? why : a->owner ? of_state_owner_failed(ofctrl_state(pods->dp->ofctrl), a->owner) : NULL;
    why = why ? why : a->ofport ? ovsdb_port_error(pods->dp->ovsdb, a->host_name) : NULL;
    snprintf(mac, sizeof mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(a->mac));
    json_array_append_new(pods->array, json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:s*, s:s*}",
                                                 "namespace", a->pod_namespace ? a->pod_namespace : "", "name",
                                                 a->pod_name ? a->pod_name : a->container_id, "node",
                                                 pods->dp->config->node, "ips", ips, "state", state_name(a->state),
                                                 "container", a->container_id, "ifname", a->ifname, "port",
                                                 a->host_name, "ofport", (int) a->ofport, "mac", mac, "mtu",
                                                 (int) a->mtu, "owner", a->owner, "problem", why));
    if (a->pod_name) {
        sset_add_and_free(&pods->attached, xasprintf("%s/%s", a->pod_namespace ? a->pod_namespace : "", a->pod_name));
    }
}

/* The addresses of its status that are another pod's now; NULL if there are none. */
static json_t *
lost_addresses(const struct dataplane *dp, const struct kube_pod *pod)
{
    json_t *lost = NULL;

    for (size_t i = 0; !pod->host_network && !pod->finished && i < pod->n_addrs; i++) {
        const struct kube_pod *holder = endpoints_find(dp->endpoints, &pod->addrs[i], NULL);
        if (holder && holder != pod) {
            lost = lost ? lost : json_array();
            json_array_append_new(lost, address_to_json(&pod->addrs[i]));
        }
    }
    return lost;
}

static const char *
pod_state(const struct dataplane *dp, const struct kube_pod *pod)
{
    return (pod->finished ? "finished"
            : strcmp(pod->node, dp->config->node) ? "remote"
            : pod->host_network ? "host" : "not attached");
}

static void
put_pod(const struct kube_object *object, void *pods_)
{
    struct pods *pods = pods_;
    const struct kube_pod *pod = kube_pod_cast(object);
    char *key = xasprintf("%s/%s", object->namespace_, object->name);

    if (!sset_contains(&pods->attached, key)) {
        json_t *ips = addresses_to_json(pod->addrs, pod->n_addrs);
        json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:s, s:o*}", "namespace", object->namespace_, "name",
                                 object->name, "node", pod->node, "ips", ips, "state", pod_state(pods->dp, pod), "lost",
                                 lost_addresses(pods->dp, pod));
        json_array_append_new(pods->array, json);
    }
    free(key);
}

static int
compare_pods(const void *a_, const void *b_)
{
    json_t *a = *(json_t *const *) a_, *b = *(json_t *const *) b_;
    int cmp = strcmp(json_string_value(json_object_get(a, "namespace")),
                     json_string_value(json_object_get(b, "namespace")));
    return cmp ? cmp : strcmp(json_string_value(json_object_get(a, "name")),
                              json_string_value(json_object_get(b, "name")));
}

/* The same elements in order of namespace (if they have one) and name. */
static json_t *
sort_steal(json_t *array, int (*compare)(const void *, const void *))
{
    size_t n = json_array_size(array);
    json_t **elements = xcalloc(n, sizeof *elements), *sorted = json_array();

    for (size_t i = 0; i < n; i++) {
        elements[i] = json_array_get(array, i);
    }
    qsort(elements, n, sizeof *elements, compare);
    for (size_t i = 0; i < n; i++) {
        json_array_append(sorted, elements[i]);
    }
    free(elements);
    json_decref(array);
    return sorted;
}

json_t *
status_pods(const struct dataplane *dp)
{
    struct pods pods = { dp, json_array(), SSET_INITIALIZER(&pods.attached) };
    attachments_for_each(dp->attachments, put_attached, &pods);
    store_for_each(dp->store, KUBE_POD, put_pod, &pods);
    sset_destroy(&pods.attached);
    return sort_steal(pods.array, compare_pods);
}

/* Nodes. --------------------------------------------------------------------------------------------------------- */

/* How its pods are reached. */
static void
put_reach(const struct dataplane *dp, const struct kube_node *node, const char *owner, json_t *json)
{
    struct node_underlay underlay;
    struct flow_peer peer;
    const char *problem;

    dataplane_fill_underlay_(dp, &underlay);
    if (dp->facts.known && node_fill_peer(&underlay, node, owner, &peer, &problem)) {
        bool tunnel = peer.reach == FLOW_REACH_TUNNEL;
        json_object_set_new(json, "reach", json_string(tunnel ? "tunnel" : "gateway"));
        if (tunnel) {
            json_object_set_new(json, "tunnel", address_to_json(&peer.tunnel_dst));
        }
    }
}

static void
put_node(const struct kube_object *object, void *pods_)
{
    struct pods *pods = pods_;
    const struct dataplane *dp = pods->dp;
    const struct kube_node *node = kube_node_cast(object);
    json_t *cidrs = json_array();
    char *owner = xasprintf("Node/%s", object->name);
    const char *why = shash_find_data(&dp->peer_problems, object->name);
    bool self = !strcmp(object->name, dp->config->node);

    for (size_t i = 0; i < node->n_pod_cidrs; i++) {
        json_array_append_new(cidrs, prefix_to_json(&node->pod_cidrs[i]));
    }
    why = why ? why : of_state_owner_failed(ofctrl_state(dp->ofctrl), owner);
    json_t *json = json_pack("{s:s, s:o, s:o, s:b, s:b, s:s*}", "name", object->name, "ips",
                             addresses_to_json(node->addrs, node->n_addrs), "podCIDRs", cidrs, "self", (int) self,
                             "realized", (int) (!why && (self || sset_contains(&dp->peers, owner))), "problem", why);
    put_reach(dp, node, owner, json);
    json_array_append_new(pods->array, json);
    free(owner);
}

static int
compare_nodes(const void *a_, const void *b_)
{
    json_t *a = *(json_t *const *) a_, *b = *(json_t *const *) b_;
    return strcmp(json_string_value(json_object_get(a, "name")), json_string_value(json_object_get(b, "name")));
}

json_t *
status_nodes(const struct dataplane *dp)
{
    struct pods nodes = { .dp = dp, .array = json_array() };
    store_for_each(dp->store, KUBE_NODE, put_node, &nodes);
    return sort_steal(nodes.array, compare_nodes);
}

/* Status. -------------------------------------------------------------------------------------------------------- */

static void
put_problem(const char *file, const char *problem, void *array)
{
    json_array_append_new(array, json_sprintf("%s: %s", file, problem));
}

static void
put_failed(const char *owner, const char *why, void *array)
{
    /* status_put_policy_problems() and status_put_service_problems() name the objects. */
    if (strcmp(owner, OWNER_POLICY) && strcmp(owner, OWNER_SERVICE)) {
        json_array_append_new(array, json_sprintf("%s: %s", owner, why));
    }
}

static void
put_log_problem(const struct dataplane *dp, json_t *problems)
{
    struct policy_log_stats stats;

    policy_log_get_stats(dp->policy_log, &stats);
    if (stats.error) {
        char *why = xasprintf("%s: %s", dp->config->policy_log_file, ovs_strerror(stats.error));
        put_problem("policy-log", why, problems);
        free(why);
    }
}

static json_t *
get_problems(const struct dataplane *dp, const struct source *source, const struct report *report)
{
    json_t *problems = json_array();
    struct shash_node *node;

    if (source_problem(source)) {
        json_array_append_new(problems, json_sprintf("%s%s", source_problem(source), source_synced(source)
                                                     ? "; what was read stays in force" : ""));
    }
    source_for_each_problem(source, put_problem, problems);
    status_put_policy_problems(dp, problems);
    status_put_service_problems(dp, problems);
    if (report_problem(report)) {
        put_problem("the Kubernetes API", report_problem(report), problems);
    }
    SHASH_FOR_EACH (node, &dp->peer_problems) {
        json_array_append_new(problems, json_sprintf("Node/%s: %s", node->name, (const char *) node->data));
    }
    of_state_for_each_failed(ofctrl_state(dp->ofctrl), put_failed, problems);
    if (hostnet_problem(dp->hostnet)) {
        put_problem("host network", hostnet_problem(dp->hostnet), problems);
    }
    if (ovsdb_problem(dp->ovsdb)) {
        put_problem("Open vSwitch", ovsdb_problem(dp->ovsdb), problems);
    }
    if (tnl_neigh_problem(dp->tnl_neigh)) {
        put_problem("tunnels", tnl_neigh_problem(dp->tnl_neigh), problems);
    }
    put_log_problem(dp, problems);
    health_for_each_problem(dp->health, put_problem, problems);
    return problems;
}

static json_t *
get_openflow(const struct dataplane *dp)
{
    struct of_state_stats s;
    of_state_get_stats(ofctrl_state(dp->ofctrl), &s);
    return json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connected",
                     (int) ofctrl_is_connected(dp->ofctrl),
                     "synced", (int) s.synced, "owners", (json_int_t) s.n_owners, "desired", (json_int_t) s.n_desired,
                     "installed", (json_int_t) s.n_installed, "refused", (json_int_t) s.n_quarantined, "bundles",
                     (json_int_t) s.n_bundles, "modifications", (json_int_t) s.n_flow_mods, "dumps",
                     (json_int_t) s.n_dumps);
}

static json_t *
get_counts(const struct dataplane *dp)
{
    json_t *counts = json_object();
    for (enum attachment_state state = ATTACHMENT_WAITING; state <= ATTACHMENT_REMOVING; state++) {
        json_object_set_new(counts, state_name(state), json_integer(attachments_count(dp->attachments, state)));
    }
    json_object_set_new(counts, "nodes", json_integer(store_count(dp->store, KUBE_NODE)));
    json_object_set_new(counts, "pods", json_integer(store_count(dp->store, KUBE_POD)));
    json_object_set_new(counts, "namespaces", json_integer(store_count(dp->store, KUBE_NAMESPACE)));
    json_object_set_new(counts, "services", json_integer(store_count(dp->store, KUBE_SERVICE)));
    json_object_set_new(counts, "endpointSlices", json_integer(store_count(dp->store, KUBE_ENDPOINTSLICE)));
    json_object_set_new(counts, "networkPolicies", json_integer(store_count(dp->store, KUBE_NETWORKPOLICY)));
    json_object_set_new(counts, "clusterNetworkPolicies",
                        json_integer(store_count(dp->store, KUBE_CLUSTERNETWORKPOLICY)));
    return counts;
}

/* Objects of each kind, by the name of their collection: "pods". */
static json_t *
get_known(const struct dataplane *dp)
{
    json_t *known = json_object();

    for (enum kube_kind kind = 0; kind < KUBE_N_KINDS; kind++) {
        json_object_set_new(known, strrchr(kube_kind_path(kind), '/') + 1, json_integer(store_count(dp->store, kind)));
    }
    return known;
}

/* What a packet meets at the edges of br-int: for "sluicectl trace". */
static json_t *
get_bridge(const struct dataplane *dp)
{
    char router[ETH_ADDR_STRLEN + 1], gateway[ETH_ADDR_STRLEN + 1], own[ETH_ADDR_STRLEN + 1];
    json_t *cidrs = json_array();
    struct flow_local local;

    dataplane_fill_local_(dp, &local);
    snprintf(router, sizeof router, ETH_ADDR_FMT, ETH_ADDR_ARGS(local.router_mac));
    snprintf(gateway, sizeof gateway, ETH_ADDR_FMT, ETH_ADDR_ARGS(local.gateway_mac));
    snprintf(own, sizeof own, ETH_ADDR_FMT, ETH_ADDR_ARGS(local.own_mac));
    for (size_t i = 0; i < local.n_pod_cidrs; i++) {
        json_array_append_new(cidrs, prefix_to_json(&local.pod_cidrs[i]));
    }
    json_t *bridge = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o}", "name", "br-int", "ovsRundir",
                               dp->config->ovs_rundir, "routerMAC", router, "gatewayMAC", gateway, "ownMAC",
                               own, "gatewayPort", (int) ofp_to_u16(local.gateway_port), "podCIDRs", cidrs, "gateways",
                               addresses_to_json(local.gateway_addrs, local.n_gateway_addrs));
    if (local.tunnel_port != OFPP_NONE) {
        json_object_set_new(bridge, "tunnelPort", json_integer(ofp_to_u16(local.tunnel_port)));
    }
    return bridge;
}

/* Lines that were written, packets that the meter held back, lines that could not be written. */
static json_t *
get_policy_log(const struct dataplane *dp)
{
    struct policy_log_stats stats;

    policy_log_get_stats(dp->policy_log, &stats);
    return json_pack("{s:I, s:I, s:I}", "lines", (json_int_t) stats.n_lines, "metered", (json_int_t) stats.n_metered,
                     "lost", (json_int_t) stats.n_lost);
}

json_t *
status_get(const struct dataplane *dp, const struct source *source, const struct report *report, bool everything)
{
    const struct node_facts *facts = &dp->facts;
    bool limited;
    const char *why = dataplane_not_ready(dp, &limited);
    json_t *status = json_pack("{s:s, s:s, s:b, s:b, s:s*, s:b, s:s*}", "node", dp->config->node, "version",
                               SLUICE_VERSION,
                               "ready", (int) !why, "realized", (int) dataplane_realized(dp), "reason", why, "limited",
                               (int) (why && limited), "ovs", ovsdb_ovs_version(dp->ovsdb));
    if (facts->known) {
        json_object_update_new(status, json_pack("{s:s, s:s*, s:s, s:s, s:i, s:i}", "datapath",
                                                 datapath_name(facts->datapath),
                                                 "datapathReason", dp->datapath_why, "encapsulation",
                                                 encap_name(facts->encap), "uplink", facts->uplink, "uplinkMTU",
                                                 (int) facts->uplink_mtu, "mtu", (int) facts->mtu));
        json_object_set_new(status, "bridge", get_bridge(dp));
    }
    json_object_set_new(status, "tunnelsUnresolved", json_integer(tnl_neigh_n_unresolved(dp->tnl_neigh)));
    json_object_set_new(status, "counts", get_counts(dp));
    json_object_set_new(status, "known", get_known(dp));
    json_object_set_new(status, "source", source_to_json(source));
    json_object_set_new(status, "openflow", get_openflow(dp));
    json_object_set_new(status, "policyLog", get_policy_log(dp));
    json_object_set_new(status, "services", service_stats_to_json(dataplane_services_(dp)));
    json_object_set_new(status, "problems", get_problems(dp, source, report));
    json_object_set_new(status, "ipam", status_ipam(dp));
    if (everything) {
        json_object_set_new(status, "nodes", status_nodes(dp));
        json_object_set_new(status, "pods", status_pods(dp));
    }
    return status;
}

/* IPAM. ---------------------------------------------------------------------------------------------------------- */

json_t *
status_ipam(const struct dataplane *dp)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    long long int now = time_wall_msec();
    json_t *array = json_array();

    ipam_run(dp->ipam, now);
    size_t n = ipam_get_stats(dp->ipam, stats);
    for (size_t i = 0; i < n; i++) {
        const struct ipam_stats *s = &stats[i];
        json_t *pool = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pool", prefix_to_json(&s->pool), "size",
                                 (json_int_t) MIN(s->size, INT64_MAX), "used", (json_int_t) s->used, "quarantined",
                                 (json_int_t) s->quarantined, "unacknowledged", (json_int_t) s->unacknowledged,
                                 "reserved",
                                 (json_int_t) s->reserved, "free", (json_int_t) MIN(s->free, INT64_MAX), "takenEarly",
                                 (json_int_t) s->taken_early);
        if (s->next_free != LLONG_MAX) {
            json_object_set_new(pool, "nextFreeMs", json_integer(MAX(0, s->next_free - now)));
        }
        json_array_append_new(array, pool);
    }
    return array;
}
