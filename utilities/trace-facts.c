#include <config.h>

#include "utilities/trace-facts.h"

#include <errno.h>
#include <string.h>

#include "controller/ipam.h"
#include "json-get.h"
#include "packets.h"
#include "util.h"

/* Members. ------------------------------------------------------------------------------------------------------- */

static uint16_t
port_of(const json_t *object, const char *name)
{
    json_int_t port = json_integer_value(json_object_get(object, name));
    return port > 0 && port <= UINT16_MAX ? port : 0;
}

/* The addresses of an array that are some, 'max' at most. */
static size_t
addrs_of(const json_t *object, const char *name, struct in6_addr *addrs, size_t max)
{
    const json_t *array = json_object_get(object, name);
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(array) && n < max; i++) {
        const char *s = json_string_value(json_array_get(array, i));
        n += s && !inet_addr_parse(s, &addrs[n], NULL);
    }
    return n;
}

static size_t
cidrs_of(const json_t *object, const char *name, struct inet_prefix *cidrs, size_t max)
{
    const json_t *array = json_object_get(object, name);
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(array) && n < max; i++) {
        const char *s = json_string_value(json_array_get(array, i));
        n += s && !inet_cidr_parse(s, &cidrs[n], NULL);
    }
    return n;
}

/* Parsing. ------------------------------------------------------------------------------------------------------- */

static int
parse_bridge(const json_t *status, struct trace_facts *facts, struct error *error)
{
    const json_t *bridge = json_object_get(status, "bridge");
    size_t n_gateways;

    if (!json_is_string(json_object_get(status, "node"))) {
        return error_set(error, EINVAL, "this is no status of sluiced");
    }
    if (!bridge) {
        return error_set(error, EAGAIN, "the node is not ready: %s", json_text(status, "reason"));
    }
    facts->node = xstrdup(json_text(status, "node"));
    facts->bridge = xstrdup(json_text(bridge, "name"));
    facts->ovs_rundir = xstrdup(json_text(bridge, "ovsRundir"));
    facts->gateway_port = port_of(bridge, "gatewayPort");
    facts->tunnel_port = port_of(bridge, "tunnelPort");
    facts->n_cidrs = cidrs_of(bridge, "podCIDRs", facts->cidrs, KUBE_MAX_CIDRS);
    n_gateways = addrs_of(bridge, "gateways", facts->gateways, KUBE_MAX_CIDRS);
    if (!eth_addr_from_string(json_text(bridge, "routerMAC"), &facts->router_mac)
        || !eth_addr_from_string(json_text(bridge, "gatewayMAC"), &facts->gateway_mac)
        || !eth_addr_from_string(json_text(bridge, "ownMAC"), &facts->own_mac) || !facts->gateway_port
        || !facts->n_cidrs || n_gateways != facts->n_cidrs || !*facts->bridge || !*facts->ovs_rundir) {
        return error_set(error, EINVAL, "the status of sluiced lacks what trace needs: is it another version?");
    }
    return 0;
}

static void
index_addrs(struct shash *index, const struct in6_addr *addrs, size_t n, const void *data)
{
    for (size_t i = 0; i < n; i++) {
        char s[INET_ADDR_STRLEN];
        shash_add_once(index, inet_addr_format(&addrs[i], s), data);
    }
}

static void
parse_nodes(const json_t *array, struct trace_facts *facts)
{
    facts->n_nodes = json_array_size(array);
    facts->nodes = xcalloc(facts->n_nodes, sizeof *facts->nodes);
    for (size_t i = 0; i < facts->n_nodes; i++) {
        const json_t *object = json_array_get(array, i);
        struct trace_node *node = &facts->nodes[i];

        node->name = xstrdup(json_text(object, "name"));
        node->self = !strcmp(node->name, facts->node);
        node->n_addrs = addrs_of(object, "ips", node->addrs, KUBE_MAX_ADDRS);
        node->n_cidrs = cidrs_of(object, "podCIDRs", node->cidrs, KUBE_MAX_CIDRS);
        node->tunnel = !inet_addr_parse(json_text(object, "tunnel"), &node->tunnel_dst, NULL);
        shash_add_once(&facts->node_names, node->name, node);
        index_addrs(&facts->node_addrs, node->addrs, node->n_addrs, node);
    }
}

static bool
has_lost(const struct trace_pod *pod, const struct in6_addr *addr)
{
    for (size_t i = 0; i < pod->n_lost; i++) {
        if (!memcmp(&pod->lost[i], addr, sizeof *addr)) {
            return true;
        }
    }
    return false;
}

static void
parse_pods(const json_t *array, struct trace_facts *facts)
{
    facts->n_pods = json_array_size(array);
    facts->pods = xcalloc(facts->n_pods, sizeof *facts->pods);
    for (size_t i = 0; i < facts->n_pods; i++) {
        const json_t *object = json_array_get(array, i);
        struct trace_pod *pod = &facts->pods[i];

        pod->name = xasprintf("%s/%s", json_text(object, "namespace"), json_text(object, "name"));
        pod->node = xstrdup(json_text(object, "node"));
        pod->state = xstrdup(json_text(object, "state"));
        pod->n_addrs = addrs_of(object, "ips", pod->addrs, KUBE_MAX_ADDRS);
        pod->ofport = port_of(object, "ofport");
        if (!eth_addr_from_string(json_text(object, "mac"), &pod->mac)) {
            pod->ofport = 0;
        }
        pod->n_lost = addrs_of(object, "lost", pod->lost, KUBE_MAX_ADDRS);
        shash_add_once(&facts->pod_names, pod->name, pod);
    }
}

/* Whose an address is: a pod's that is attached here, else that which the daemon says.  A finished pod has none. */
static void
index_pods(struct trace_facts *facts)
{
    for (int attached = 1; attached >= 0; attached--) {
        for (size_t i = 0; i < facts->n_pods; i++) {
            const struct trace_pod *pod = &facts->pods[i];

            for (size_t j = 0; (pod->ofport != 0) == attached && strcmp(pod->state, "finished") && j < pod->n_addrs; j++) {
                if (!has_lost(pod, &pod->addrs[j])) {
                    index_addrs(&facts->pod_addrs, &pod->addrs[j], 1, pod);
                }
            }
        }
    }
}

int
trace_facts_parse(const json_t *status, struct trace_facts *facts, struct error *error)
{
    memset(facts, 0, sizeof *facts);
    shash_init(&facts->node_names);
    shash_init(&facts->pod_names);
    shash_init(&facts->node_addrs);
    shash_init(&facts->pod_addrs);
    int code = parse_bridge(status, facts, error);
    if (code) {
        trace_facts_destroy(facts);
        return code;
    }
    parse_nodes(json_object_get(status, "nodes"), facts);
    parse_pods(json_object_get(status, "pods"), facts);
    index_pods(facts);
    return 0;
}

void
trace_facts_destroy(struct trace_facts *facts)
{
    for (size_t i = 0; i < facts->n_nodes; i++) {
        free(facts->nodes[i].name);
    }
    for (size_t i = 0; i < facts->n_pods; i++) {
        free(facts->pods[i].name);
        free(facts->pods[i].node);
        free(facts->pods[i].state);
    }
    free(facts->nodes);
    free(facts->pods);
    free(facts->node);
    free(facts->bridge);
    free(facts->ovs_rundir);
    shash_destroy(&facts->node_names);
    shash_destroy(&facts->pod_names);
    shash_destroy(&facts->node_addrs);
    shash_destroy(&facts->pod_addrs);
    memset(facts, 0, sizeof *facts);
}

/* Who is it? ----------------------------------------------------------------------------------------------------- */

const char *
trace_end_node_name(const struct trace_facts *facts, const struct trace_end *end)
{
    return (end->node ? end->node->name
            : end->pod ? end->pod->node
            : end->kind == TRACE_NODE ? facts->node
            : NULL);
}

static void
set_addrs(struct trace_end *end, const struct in6_addr *addrs, size_t n)
{
    memcpy(end->addrs, addrs, n * sizeof *addrs);
    end->n_addrs = n;
}

static int
find_node(const struct trace_facts *facts, const char *name, struct trace_end *end, struct error *error)
{
    end->node = shash_find_data(&facts->node_names, name);
    if (!end->node) {
        return error_set(error, ENOENT, "%s is neither an address nor a node that is known; a pod is NAMESPACE/NAME",
                         name);
    }
    end->kind = end->node->self ? TRACE_NODE : TRACE_PEER_NODE;
    set_addrs(end, end->node->addrs, end->node->n_addrs);
    return end->n_addrs ? 0 : error_set(error, EAGAIN, "node %s has no InternalIP", name);
}

static int
set_pod(const struct trace_facts *facts, const struct trace_pod *pod, struct trace_end *end, struct error *error)
{
    char s[INET_ADDR_STRLEN];

    if (!strcmp(pod->state, "finished")) {
        return error_set(error, EAGAIN, "pod %s has finished: its addresses are no longer its own", pod->name);
    }
    if (!pod->n_addrs) {
        return error_set(error, EAGAIN, "pod %s has no address yet", pod->name);
    }
    const struct trace_node *host = shash_find_data(&facts->node_addrs, inet_addr_format(&pod->addrs[0], s));
    if (host) {                         /* It uses the node's network. */
        return find_node(facts, host->name, end, error);
    }
    end->pod = pod;
    end->node = shash_find_data(&facts->node_names, pod->node);
    end->kind = (strcmp(pod->node, facts->node) ? TRACE_PEER_POD : pod->ofport ? TRACE_POD : TRACE_OWN_CIDR);
    set_addrs(end, pod->addrs, pod->n_addrs);
    return 0;
}

static bool
contains(const struct inet_prefix *cidrs, size_t n, const struct in6_addr *addr)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_prefix_contains(&cidrs[i], addr)) {
            return true;
        }
    }
    return false;
}

static int
find_addr(const struct trace_facts *facts, const struct in6_addr *addr, struct trace_end *end, struct error *error)
{
    char s[INET_ADDR_STRLEN];
    const char *text = inet_addr_format(addr, s);
    const struct trace_pod *pod = shash_find_data(&facts->pod_addrs, text);
    const struct trace_node *node = shash_find_data(&facts->node_addrs, text);

    end->kind = TRACE_OUTSIDE;
    for (size_t i = 0; i < facts->n_cidrs; i++) {
        if (!memcmp(&facts->gateways[i], addr, sizeof *addr)) {
            end->kind = TRACE_NODE;
        } else if (inet_prefix_contains(&facts->cidrs[i], addr) && end->kind == TRACE_OUTSIDE) {
            end->kind = TRACE_OWN_CIDR;
        }
    }
    for (size_t i = 0; i < facts->n_nodes && end->kind == TRACE_OUTSIDE; i++) {
        if (contains(facts->nodes[i].cidrs, facts->nodes[i].n_cidrs, addr)) {
            end->kind = TRACE_PEER_POD;
            end->node = &facts->nodes[i];
        }
    }
    if (node) {
        find_node(facts, node->name, end, error);
    } else if (pod) {
        set_pod(facts, pod, end, error);
    }
    set_addrs(end, addr, 1);
    return 0;
}

int
trace_facts_find(const struct trace_facts *facts, const char *text, struct trace_end *end, struct error *error)
{
    struct in6_addr addr;

    memset(end, 0, sizeof *end);
    if (!inet_addr_parse(text, &addr, NULL)) {
        return find_addr(facts, &addr, end, error);
    }
    if (!strchr(text, '/')) {
        return find_node(facts, text, end, error);
    }
    const struct trace_pod *pod = shash_find_data(&facts->pod_names, text);
    return pod ? set_pod(facts, pod, end, error) : error_set(error, ENOENT, "there is no pod %s", text);
}
