/* The simulator of the service core: Services and slices of a small cluster come, change and go, pods with host ports too, and
 * the node's zone and addresses change.
 *
 *   effects               are never idle: nothing is put as it was, nothing is dropped that is not there
 *   effects equal flows   what they have built is what services_get_flows() says
 *   incremental = full    and that is what a fresh core says that is told only the objects as they are now
 *   a second opinion      where packets go by the flows and groups is what a slow implementation tells from the objects
 *   flushes               a connection whose endpoint does not serve behind its door any more is flushed; no other is; and
 *                         an audit of conntrack keeps those that serve
 *
 * The universe is small, so that histories meet: two Services want one address, endpoints stand in several slices.
 * Numbers are few (SERVICES_NUMBER_MASK), so they clash. */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "controller/labels.h"
#include "openvswitch/dynamic-string.h"
#include "service-world.h"
#include "sim.h"
#include "svec.h"
#include "util.h"

const char *services_bug;

#define PICK(H, LIST) ((LIST)[sim_below(H, ARRAY_SIZE(LIST))])

static const char *const namespaces[] = { "a", "b" };
static const char *const names[] = { "s", "t", "u" };
static const char *const slices[] = { "w", "x", "y", "z" };
static const char *const protocols[] = { "TCP", "UDP", "SCTP" };
static const char *const port_names[] = { "http", "dns" };
static const char *const cluster4[] = { "10.96.0.1", "10.96.0.2", "10.96.0.3", "10.96.0.4", "10.96.0.5", "10.96.0.6" };
static const char *const cluster6[] = { "fd00:96::1", "fd00:96::2", "fd00:96::3" };
static const char *const externals[] = { "198.51.100.1", "198.51.100.2", "192.0.2.1", "10.96.0.1", "2001:db8::7", "2001:db8::1" };
static const char *const node_addrs[] = { "192.0.2.1", "192.0.2.2", "2001:db8::1" };
static const char *const zones[] = { "east", "west" };
static const char *const nodes[] = { "n1", "n2", "n3" };
static const char *const ranges[] = { "203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32" };
static const char *const sources4[] = { "203.0.113.9", "10.0.0.9", "198.51.100.99" };
static const char *const sources6[] = { "2001:db8::9", "fd00::9" };
static const uint16_t ports[] = { 80, 53 };
static const uint16_t node_ports[] = { 30080, 30081, 80 };

/* Events. --------------------------------------------------------------------------------------------------------- */

static void
put_labels(struct sim_history *h, struct ds *ds, const char *service)
{
    ds_put_cstr(ds, "'labels':{");
    if (service) {
        ds_put_format(ds, "'kubernetes.io/service-name':'%s'", service);
    }
    if (sim_chance(h, 6)) {
        ds_put_format(ds, "%s'service.kubernetes.io/%s':'x'", service ? "," : "",
                      sim_chance(h, 50) ? "headless" : "service-proxy-name");
    }
    ds_put_cstr(ds, "}");
}

static void
put_service_ports(struct sim_history *h, struct ds *ds)
{
    uint32_t first = sim_below(h, 2), n = 1 + sim_below(h, 2);

    ds_put_cstr(ds, "'ports':[");
    for (uint32_t i = 0; i < n; i++) {
        ds_put_format(ds, "%s{'name':'%s','port':%"PRIu16",'protocol':'%s'", i ? "," : "", port_names[(first + i) % 2],
                      n > 1 ? ports[i] : PICK(h, ports), PICK(h, protocols));
        if (sim_chance(h, 50)) {
            ds_put_format(ds, ",'nodePort':%"PRIu16, PICK(h, node_ports));
        }
        ds_put_cstr(ds, "}");
    }
    ds_put_cstr(ds, "]");
}

static void
put_addrs(struct sim_history *h, struct ds *ds, const char *member, const char *const *addrs, size_t n, uint32_t percent)
{
    ds_put_format(ds, ",'%s':[", member);
    for (size_t i = 0; i < n; i++) {
        if (sim_chance(h, percent)) {
            ds_put_format(ds, "%s'%s'", ds_last(ds) == '[' ? "" : ",", addrs[i]);
        }
    }
    ds_put_cstr(ds, "]");
}

static void
put_service_spec(struct sim_history *h, struct ds *ds)
{
    static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "NodePort", "LoadBalancer", "ExternalName" };
    const char *type = PICK(h, types);

    ds_put_format(ds, "'type':'%s',", type);
    put_service_ports(h, ds);
    if (sim_chance(h, 5)) {
        ds_put_cstr(ds, ",'clusterIPs':['None']");
    } else {
        bool v4 = sim_chance(h, 85);
        ds_put_format(ds, ",'clusterIPs':[%s%s%s%s%s", v4 ? "'" : "", v4 ? PICK(h, cluster4) : "", v4 ? "'" : "", "", "");
        if (sim_chance(h, 30)) {
            ds_put_format(ds, "%s'%s'", v4 ? "," : "", PICK(h, cluster6));
        }
        ds_put_cstr(ds, "]");
    }
    put_addrs(h, ds, "externalIPs", externals, ARRAY_SIZE(externals), 12);
    if (!strcmp(type, "LoadBalancer") && sim_chance(h, 40)) {
        put_addrs(h, ds, "loadBalancerSourceRanges", ranges, ARRAY_SIZE(ranges), 50);
    }
    ds_put_format(ds, ",'internalTrafficPolicy':'%s','externalTrafficPolicy':'%s','sessionAffinity':'%s'",
                  sim_chance(h, 25) ? "Local" : "Cluster", sim_chance(h, 40) ? "Local" : "Cluster",
                  sim_chance(h, 20) ? "ClientIP" : "None");
    if (sim_chance(h, 40)) {
        ds_put_format(ds, ",'healthCheckNodePort':%"PRIu32, 31000 + sim_below(h, 2));
    }
}

static void
put_text(struct service_world *w, struct sim_history *h, struct ds *ds)
{
    sim_log(h, "put %s", ds_cstr(ds));
    service_world_put(w, "%s", ds_cstr(ds));
    ds_destroy(ds);
}

static void
remove_key(struct service_world *w, struct sim_history *h, char *key)
{
    sim_log(h, "remove %s", key);
    service_world_remove(w, key);
    free(key);
}

static void
change_service(struct service_world *w, struct sim_history *h)
{
    const char *ns = PICK(h, namespaces), *name = PICK(h, names);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (sim_chance(h, 20)) {
        remove_key(w, h, xasprintf("Service %s/%s", ns, name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'v1','kind':'Service','metadata':{'namespace':'%s','name':'%s',"
                  "'creationTimestamp':'2026-01-0%"PRIu32"T00:00:00Z',", ns, name, 1 + sim_below(h, 3));
    put_labels(h, &ds, NULL);
    ds_put_cstr(&ds, "},'spec':{");
    put_service_spec(h, &ds);
    ds_put_cstr(&ds, "},'status':{'loadBalancer':{'ingress':[");
    for (uint32_t i = sim_below(h, 3); i > 0; i--) {
        ds_put_format(&ds, "{'ip':'%s'%s}%s", PICK(h, externals), sim_chance(h, 20) ? ",'ipMode':'Proxy'" : "", i > 1 ? "," : "");
    }
    ds_put_cstr(&ds, "]}}}");
    put_text(w, h, &ds);
}

static void
put_hints(struct sim_history *h, struct ds *ds)
{
    ds_put_cstr(ds, "'hints':{'forZones':[");
    if (sim_chance(h, 70)) {
        ds_put_format(ds, "{'name':'%s'}", PICK(h, zones));
    }
    ds_put_cstr(ds, "],'forNodes':[");
    if (sim_chance(h, 70)) {
        ds_put_format(ds, "{'name':'%s'}", PICK(h, nodes));
    }
    ds_put_cstr(ds, "]}");
}

static void
put_endpoint(struct sim_history *h, struct ds *ds, bool v6, uint32_t number, bool hints)
{
    ds_put_format(ds, "{'addresses':['%s%"PRIu32"'],", v6 ? "fd00::" : "10.0.0.", number);
    if (sim_chance(h, 90)) {
        ds_put_format(ds, "'nodeName':'%s',", PICK(h, nodes));
    }
    switch (sim_below(h, 6)) {
    case 0:
        ds_put_cstr(ds, "'conditions':{'ready':false}");
        break;
    case 1:
        ds_put_cstr(ds, "'conditions':{'ready':false,'serving':true,'terminating':true}");
        break;
    case 2:
        ds_put_cstr(ds, "'conditions':{'ready':false,'serving':false,'terminating':true}");
        break;
    default:
        ds_put_cstr(ds, "'conditions':{}");
        break;
    }
    if (hints) {
        ds_put_cstr(ds, ",");
        put_hints(h, ds);
    }
    ds_put_cstr(ds, "}");
}

static void
change_slice(struct service_world *w, struct sim_history *h)
{
    const char *ns = PICK(h, namespaces), *name = PICK(h, slices);
    struct ds ds = DS_EMPTY_INITIALIZER;
    bool v6 = sim_chance(h, 25), hints = sim_chance(h, 50);

    if (sim_chance(h, 20)) {
        remove_key(w, h, xasprintf("EndpointSlice %s/%s", ns, name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'namespace':'%s','name':'%s',", ns, name);
    put_labels(h, &ds, PICK(h, names));
    ds_put_format(&ds, "},'addressType':'%s','ports':[", v6 ? "IPv6" : "IPv4");
    for (size_t i = 0; i < ARRAY_SIZE(port_names); i++) {
        if (sim_chance(h, 85)) {
            ds_put_format(&ds, "%s{'name':'%s','protocol':'%s','port':%"PRIu32"}", ds_last(&ds) == '[' ? "" : ",", port_names[i],
                          PICK(h, protocols), 8080 + sim_below(h, 2));
        }
    }
    ds_put_cstr(&ds, "],'endpoints':[");
    bool many = sim_chance(h, 3);
    uint32_t n = many ? 15 + sim_below(h, 40) : sim_below(h, 4);
    for (uint32_t i = 0; i < n; i++) {
        ds_put_cstr(&ds, i ? "," : "");
        put_endpoint(h, &ds, v6, many ? i + 1 : 1 + sim_below(h, 4), hints);
    }
    ds_put_cstr(&ds, "]}");
    put_text(w, h, &ds);
}

static void
change_node(struct service_world *w, struct sim_history *h)
{
    struct svec addrs = SVEC_EMPTY_INITIALIZER;
    const char *zone = sim_chance(h, 20) ? NULL : PICK(h, zones);

    for (size_t i = 0; i < ARRAY_SIZE(node_addrs); i++) {
        if (sim_chance(h, 70)) {
            svec_add(&addrs, node_addrs[i]);
        }
    }
    char *text = svec_join(&addrs, " ", "");
    sim_log(h, "node %s %s", zone ? zone : "-", text);
    service_world_node(w, zone, text);
    free(text);
    svec_destroy(&addrs);
}

static void
change_pod(struct service_world *w, struct sim_history *h)
{
    static const char *const host_addrs[] = { "0.0.0.0", "::", "192.0.2.1", "127.0.0.1", "198.51.100.2" };
    static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
    struct world_pod pod = { .id = 1 + sim_below(h, 3), .n_ports = sim_below(h, 3), .n_addrs = 1 };

    for (size_t i = 0; i < pod.n_ports; i++) {
        pod.ports[i] = (struct service_host_port) {
            inet_addr_constant(PICK(h, host_addrs)), PICK(h, node_ports), 9000 + sim_below(h, 2), PICK(h, numbers),
        };
    }
    pod.addrs[0] = inet_addr_constant(sim_chance(h, 50) ? "10.0.1.1" : "10.0.1.2");
    if (sim_chance(h, 50)) {
        pod.addrs[pod.n_addrs++] = inet_addr_constant("fd00:1::1");
    }
    sim_log(h, "pod %"PRIu64": %"PRIuSIZE" ports", pod.id, pod.n_ports);
    service_world_pod(w, &pod);
}

static void
change(struct service_world *w, struct sim_history *h)
{
    uint32_t what = sim_below(h, 20);

    (what < 8 ? change_service : what < 17 ? change_slice : what < 18 ? change_node : change_pod)(w, h);
}

/* The second opinion: slow, and from the objects only. -------------------------------------------------------------- */

struct question {
    enum flow_door_source source;
    struct in6_addr src, dst;
    const char *src_text, *dst_text;
    uint8_t protocol;
    uint16_t port;
};

/* Whose door it is. */
struct holder {
    const struct kube_service *service;
    const struct kube_service_port *port;
    const struct world_pod *pod;
    const struct service_host_port *host_port;
    enum { HELD_CLUSTER, HELD_REST, HELD_EXTERNAL, HELD_LB, HELD_NODE_PORT } how;
};

static bool
ours(const struct kube_object *object)
{
    return (!labels_get(object->labels, KUBE_LABEL_PROXY_NAME) && !labels_get(object->labels, KUBE_LABEL_HEADLESS));
}

static bool
same(const struct in6_addr *a, const struct in6_addr *b)
{
    return !memcmp(a, b, sizeof *a);
}

static bool
has(const struct in6_addr *list, size_t n, const struct in6_addr *addr)
{
    for (size_t i = 0; i < n; i++) {
        if (same(&list[i], addr)) {
            return true;
        }
    }
    return false;
}

static bool
has_family(const struct kube_service *s, bool v4)
{
    return ((s->n_cluster_ips > 0 && inet_is_v4(&s->cluster_ips[0]) == v4)
            || (s->n_cluster_ips > 1 && inet_is_v4(&s->cluster_ips[1]) == v4));
}

static bool
older(const struct kube_service *a, const struct kube_service *b)
{
    int cmp = strcmp(a->object.namespace_, b->object.namespace_);

    cmp = cmp ? cmp : strcmp(a->object.name, b->object.name);
    return !b || a->created < b->created || (a->created == b->created && cmp < 0);
}

static const struct kube_service_port *
port_of(const struct kube_service *s, const struct question *q, bool node_port)
{
    for (uint32_t i = 0; i < s->n_ports; i++) {
        if (s->ports[i].protocol == q->protocol && (node_port ? s->ports[i].node_port : s->ports[i].port) == q->port) {
            return &s->ports[i];
        }
    }
    return NULL;
}

/* The oldest Service that wants the address and port in this way. */
static void
find_service(const struct service_world *w, const struct question *q, int how, struct holder *holder)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &w->objects) {
        const struct kube_object *object = node->data;
        const struct kube_service *s = kube_service_cast(object);

        if (object->kind != KUBE_SERVICE || !ours(object) || s->type == KUBE_EXTERNAL_NAME || s->headless
            || !has_family(s, inet_is_v4(&q->dst)) || (holder->service && !(holder->service->created > s->created
                                                                           || older(s, holder->service)))) {
            continue;
        }
        bool external = has(s->external_ips, s->n_external_ips, &q->dst);
        bool lb = s->type == KUBE_LOAD_BALANCER && has(s->lb_ips, s->n_lb_ips, &q->dst);
        bool wants = (how == HELD_CLUSTER ? has(s->cluster_ips, s->n_cluster_ips, &q->dst)
                      : how == HELD_EXTERNAL ? (external || lb) && port_of(s, q, false)
                      : s->type != KUBE_CLUSTER_IP && port_of(s, q, true));
        if (wants) {
            holder->service = s;
            holder->port = port_of(s, q, how == HELD_NODE_PORT);
            holder->how = how == HELD_EXTERNAL && !external ? HELD_LB : how;
        }
    }
}

static void
find_pod(const struct service_world *w, const struct question *q, bool any, struct holder *holder)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &w->pods) {
        const struct world_pod *pod = node->data;
        for (size_t i = 0; i < pod->n_ports; i++) {
            const struct service_host_port *p = &pod->ports[i];
            bool all = IN6_IS_ADDR_UNSPECIFIED(&p->host_addr) || same(&p->host_addr, &(struct in6_addr) {
                .s6_addr = { [10] = 0xff, [11] = 0xff } });
            bool family = inet_is_v4(&q->dst) || pod->n_addrs > 1;

            if (p->protocol == q->protocol && p->host_port == q->port && family && all == any
                && (any || same(&p->host_addr, &q->dst)) && (!holder->pod || pod->id < holder->pod->id)) {
                holder->pod = pod;
                holder->host_port = p;
                holder->how = HELD_NODE_PORT;
            }
        }
    }
}

static struct holder
find_holder(const struct service_world *w, const struct question *q)
{
    struct holder holder = { .service = NULL };

    find_service(w, q, HELD_CLUSTER, &holder);
    if (holder.service) {
        holder.how = holder.port ? HELD_CLUSTER : HELD_REST;
        return holder;
    }
    find_service(w, q, HELD_EXTERNAL, &holder);
    if (!holder.service) {
        find_pod(w, q, false, &holder);
    }
    if (!holder.service && !holder.pod && has(w->addrs, w->n_addrs, &q->dst)) {
        find_service(w, q, HELD_NODE_PORT, &holder);
        if (!holder.service) {
            find_pod(w, q, true, &holder);
        }
    }
    return holder;
}

/* An endpoint of the Service port; of several with one address and port the best. */
struct seen {
    struct in6_addr addr;
    uint16_t port;
    const struct kube_endpoint *e;
};

struct seens {
    struct seen seen[512];
    size_t n;
};

static void
see(struct seens *all, const struct kube_endpoint *e, uint16_t port)
{
    for (size_t i = 0; i < all->n; i++) {
        struct seen *s = &all->seen[i];
        if (same(&s->addr, &e->addr) && s->port == port) {
            if (e->ready > s->e->ready || (e->ready == s->e->ready && e->serving > s->e->serving)) {
                s->e = e;
            }
            return;
        }
    }
    ovs_assert(all->n < ARRAY_SIZE(all->seen));
    all->seen[all->n++] = (struct seen) { e->addr, port, e };
}

static void
see_all(const struct service_world *w, const struct holder *holder, bool v4, struct seens *all)
{
    const struct shash_node **sorted = shash_sort(&w->objects);

    all->n = 0;
    for (size_t i = 0; i < shash_count(&w->objects); i++) {
        const struct kube_object *o = sorted[i]->data;
        const struct kube_endpointslice *slice = kube_endpointslice_cast(o);

        if (o->kind != KUBE_ENDPOINTSLICE || !ours(o) || slice->address_type != (v4 ? KUBE_ADDRESS_IPV4 : KUBE_ADDRESS_IPV6)
            || strcmp(o->namespace_, holder->service->object.namespace_)
            || strcmp(labels_get(o->labels, KUBE_LABEL_SERVICE_NAME), holder->service->object.name)) {
            continue;
        }
        for (uint32_t p = 0; p < slice->n_ports; p++) {
            if (!strcmp(slice->ports[p].name, holder->port->name) && slice->ports[p].protocol == holder->port->protocol) {
                for (uint32_t e = 0; e < slice->n_endpoints; e++) {
                    see(all, &slice->endpoints[e], slice->ports[p].port);
                }
            }
        }
    }
    free(sorted);
}

static bool
hinted(const struct kube_hint *hints, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (name && !strcmp(hints[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool
here(const struct kube_endpoint *e)
{
    return e->node && !strcmp(e->node, WORLD_NODE);
}

static void
put_seen(struct svec *out, const struct seen *s)
{
    char buf[INET_ADDR_STRLEN];

    svec_add_nocopy(out, xasprintf(inet_is_v4(&s->addr) ? "%s:%"PRIu16 : "[%s]:%"PRIu16,
                                   inet_addr_format(&s->addr, buf), s->port));
}

enum level { LEVEL_NODE, LEVEL_ZONE, LEVEL_ALL, LEVEL_TERMINATING };

static bool
fits(const struct service_world *w, const struct kube_endpoint *e, bool local, enum level level)
{
    const struct kube_hints *hints = kube_endpoint_hints(e);

    return ((!local || here(e))
            && (level == LEVEL_TERMINATING ? !e->ready && e->serving && e->terminating
                : level == LEVEL_ALL ? e->ready
                : level == LEVEL_ZONE ? e->ready && hinted(hints->zones, hints->n_zones, w->zone)
                : e->ready && hinted(hints->nodes, hints->n_nodes, WORLD_NODE)));
}

/* Levels in their order; the first that is allowed and has an endpoint counts. */
static void
choose(const struct service_world *w, const struct seens *all, bool local, struct svec *out)
{
    for (enum level level = local ? LEVEL_ALL : LEVEL_NODE; level <= LEVEL_TERMINATING && !out->n; level++) {
        bool allowed = true;

        for (size_t i = 0; i < all->n; i++) {
            const struct kube_endpoint *e = all->seen[i].e;
            const struct kube_hints *hints = kube_endpoint_hints(e);
            allowed = allowed && !(e->ready && ((level == LEVEL_NODE && !hints->n_nodes)
                                                || (level == LEVEL_ZONE && !hints->n_zones)));
        }
        for (size_t i = 0; allowed && i < all->n; i++) {
            if (fits(w, all->seen[i].e, local, level)) {
                put_seen(out, &all->seen[i]);
            }
        }
    }
}

static bool
in_ranges(const struct kube_service *s, const struct question *q)
{
    bool any = false;

    for (uint32_t i = 0; i < s->n_source_ranges; i++) {
        if (inet_is_v4(&s->source_ranges[i].addr) == inet_is_v4(&q->dst)) {
            any = true;
            if (inet_prefix_contains(&s->source_ranges[i], &q->src)) {
                return true;
            }
        }
    }
    return !any;
}

/* What br-int is to do.  What comes from outside to a load balancer that does not keep the source has passed the ranges in
 * the node's stack. */
static char *
answer(const struct service_world *w, const struct question *q, const struct holder *holder)
{
    const struct kube_service *s = holder->service;
    struct svec out = SVEC_EMPTY_INITIALIZER, cluster = SVEC_EMPTY_INITIALIZER;
    bool outside = q->source == FLOW_DOOR_OUTSIDE;
    struct seens all;

    if (holder->pod) {
        bool v4 = inet_is_v4(&q->dst);
        char buf[INET_ADDR_STRLEN];
        return xasprintf(v4 ? "%s:%"PRIu16 : "[%s]:%"PRIu16, inet_addr_format(&holder->pod->addrs[!v4], buf),
                         holder->host_port->pod_port);
    } else if (!s || holder->how == HELD_REST) {
        return xstrdup(s ? "reject" : "pass");
    }
    bool keeps = s->external_policy == KUBE_TRAFFIC_LOCAL;
    bool local = holder->how == HELD_CLUSTER ? s->internal_policy == KUBE_TRAFFIC_LOCAL : keeps && outside;
    if (holder->how == HELD_LB && q->source != FLOW_DOOR_NODE && !(outside && !keeps) && !in_ranges(s, q)) {
        return xstrdup("drop");
    }
    see_all(w, holder, inet_is_v4(&q->dst), &all);
    choose(w, &all, false, &cluster);
    choose(w, &all, local, &out);
    svec_sort_unique(&out);
    char *text = (out.n ? svec_join(&out, " ", "") : xstrdup(cluster.n ? "drop" : "reject"));
    svec_destroy(&out);
    svec_destroy(&cluster);
    return text;
}

/* Connections. ------------------------------------------------------------------------------------------------------- */

struct entry {
    struct question q;
    char *endpoint;                     /* "10.0.0.1:8080". */
};

struct entries {
    struct entry entries[256];
    size_t n;
};

static void
connect_entry(struct entries *table, const struct question *q, const char *places)
{
    if (q->protocol != IPPROTO_TCP && strchr(places, ':') && table->n < ARRAY_SIZE(table->entries)) {
        table->entries[table->n++] = (struct entry) { *q, xmemdup0(places, strcspn(places, " ")) };
    }
}

/* Whether the endpoint serves behind the door, ready or not.  '*closed': the door leads to nobody. */
static bool
still_serves(const struct service_world *w, const struct entry *entry, bool *closed)
{
    struct holder holder = find_holder(w, &entry->q);
    struct svec any = SVEC_EMPTY_INITIALIZER, serving = SVEC_EMPTY_INITIALIZER;
    struct seens all;

    if (!holder.service) {
        char *text = answer(w, &entry->q, &holder);
        bool retval = holder.pod && !strcmp(text, entry->endpoint);
        free(text);
        return retval;
    } else if (!holder.port) {
        return false;
    }
    see_all(w, &holder, inet_is_v4(&entry->q.dst), &all);
    choose(w, &all, false, &any);
    for (size_t i = 0; i < all.n; i++) {
        if (all.seen[i].e->ready || all.seen[i].e->serving) {
            put_seen(&serving, &all.seen[i]);
        }
    }
    bool retval = any.n && svec_contains_unsorted(&serving, entry->endpoint);
    *closed = !any.n;
    svec_destroy(&any);
    svec_destroy(&serving);
    return retval;
}

static bool
was_flushed(const struct service_world *w, const struct entry *entry)
{
    const char *endpoint = entry->endpoint, *colon = strrchr(endpoint, ':');
    int skip = endpoint[0] == '[';
    char *key = xasprintf("%s %s %"PRIu16" %.*s %s", entry->q.protocol == IPPROTO_UDP ? "UDP" : "SCTP", entry->q.dst_text,
                          entry->q.port, (int) (colon - endpoint) - 2 * skip, endpoint + skip, colon + 1);
    bool retval = shash_find(&w->flushes, key) != NULL;

    free(key);
    return retval;
}

/* What an audit of conntrack makes of it. */
static bool
keeps(const struct service_world *w, const struct entry *entry)
{
    const char *colon = strrchr(entry->endpoint, ':');
    int skip = entry->endpoint[0] == '[';
    char *addr = xmemdup0(entry->endpoint + skip, colon - entry->endpoint - 2 * skip);
    struct ct_entry e = {
        .protocol = entry->q.protocol, .vip = entry->q.dst, .vip_port = entry->q.port, .endpoint = inet_addr_constant(addr),
        .endpoint_port = atoi(colon + 1),
    };

    free(addr);
    return services_keeps(w->core, &e);
}

static void
check_flushes(struct service_world *w, struct sim_history *h, struct entries *table)
{
    size_t n = 0;

    for (size_t i = 0; i < table->n; i++) {
        struct entry *entry = &table->entries[i];
        bool closed = false;
        bool serves = still_serves(w, entry, &closed), flushed = was_flushed(w, entry);

        SIM_CHECK(h, keeps(w, entry) == serves, "the connection to %s port %"PRIu16" by %s: %s", entry->q.dst_text, entry->q.port,
                  entry->endpoint, serves ? "serves, but may not stay" : "does not serve, but may stay");
        /* A door at one of the node's addresses came before that of all of them, but leads to nobody: when it opens is
         * soon enough. */
        if (!serves && !flushed && closed && has(w->addrs, w->n_addrs, &entry->q.dst)) {
            serves = true;
            flushed = false;
        }
        SIM_CHECK(h, serves != flushed, "the connection to %s port %"PRIu16" by %s: %s, but is %sflushed", entry->q.dst_text,
                  entry->q.port, entry->endpoint, serves ? "serves" : "does not serve", flushed ? "" : "not ");
        if (serves) {
            table->entries[n++] = *entry;
        } else {
            free(entry->endpoint);
        }
    }
    table->n = n;
}

static void
forget_entries(struct entries *table)
{
    for (size_t i = 0; i < table->n; i++) {
        free(table->entries[i].endpoint);
    }
    table->n = 0;
}

/* Checks. ------------------------------------------------------------------------------------------------------------ */

static void
ask_both(struct service_world *w, struct sim_history *h, struct entries *table)
{
    static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
    static const enum flow_door_source sources[] = { FLOW_DOOR_ANYBODY, FLOW_DOOR_OUTSIDE, FLOW_DOOR_NODE };
    struct question q = { .source = PICK(h, sources), .protocol = PICK(h, numbers) };
    uint32_t which = sim_below(h, 4);

    q.dst_text = which < 1 ? PICK(h, cluster4) : which < 2 ? PICK(h, cluster6) : which < 3 ? PICK(h, externals) : PICK(h, node_addrs);
    q.dst = inet_addr_constant(q.dst_text);
    q.src_text = inet_is_v4(&q.dst) ? PICK(h, sources4) : PICK(h, sources6);
    q.src = inet_addr_constant(q.src_text);
    q.port = sim_chance(h, 50) ? PICK(h, ports) : PICK(h, node_ports);

    struct holder holder = find_holder(w, &q);
    char *wanted = answer(w, &q, &holder);
    char *found = service_world_ask(w, q.source, q.src_text, q.dst_text, q.protocol, q.port);
    SIM_CHECK(h, !strcmp(wanted, found), "%s to %s, protocol %d, port %d, source %d: by the flows %s, by the objects %s", q.src_text,
              q.dst_text, q.protocol, q.port, q.source, found, wanted);
    connect_entry(table, &q, found);
    free(wanted);
    free(found);
}

/* Another core, told the same objects, from the last to the first or the other way round. */
static void
compare_fresh(struct service_world *w, struct sim_history *h)
{
    const struct shash_node **sorted = shash_sort(&w->objects);
    size_t n = shash_count(&w->objects);
    bool backwards = sim_chance(h, 50);
    struct service_world fresh;
    struct shash_node *node;

    service_world_init(&fresh);
    for (size_t i = 0; i < n; i++) {
        struct kube_object *object = sorted[backwards ? n - 1 - i : i]->data;
        service_world_put_object(&fresh, CONST_CAST(struct kube_object *, kube_object_ref(object)));
    }
    SHASH_FOR_EACH (node, &w->pods) {
        service_world_pod(&fresh, node->data);
    }
    services_set_node(fresh.core, w->zone, w->addrs, w->n_addrs);
    service_world_run(&fresh);
    service_world_compare(w, &fresh);
    SIM_CHECK(h, !fresh.failure, "fresh: %s", fresh.failure);
    service_world_destroy(&fresh);
    free(sorted);
}

static void
ignore_door(const struct service_door_info *info, void *n)
{
    double share = 0;

    for (size_t i = 0; i < info->n_endpoints; i++) {
        share += info->endpoints[i].share;
    }
    *(size_t *) n += info->n_endpoints > 0 && (share < 0.999 || share > 1.001);
}

static void
step(struct service_world *w, struct sim_history *h, int i, struct entries *table)
{
    bool same_node = true;

    for (uint32_t n = 1 + (i ? sim_below(h, 3) : 12); n > 0; n--) {
        struct in6_addr addrs[ARRAY_SIZE(w->addrs)];
        size_t n_addrs = w->n_addrs;

        memcpy(addrs, w->addrs, sizeof addrs);
        change(w, h);
        same_node = same_node && n_addrs == w->n_addrs && !memcmp(addrs, w->addrs, n_addrs * sizeof *addrs);
    }
    service_world_run(w);
    sim_log(h, "run %d: %"PRIuSIZE" flows, %"PRIuSIZE" groups", i, w->n_flow_effects, w->n_group_effects);
    service_world_compare(w, w);
    if (same_node) {
        check_flushes(w, h, table);
    } else {
        forget_entries(table);          /* Which addresses the node had nobody asks. */
    }
    for (int j = 0; j < 30 && !sim_failed(h); j++) {
        ask_both(w, h, table);
    }
}

static void
history(struct sim_history *h)
{
    struct entries table = { .n = 0 };
    struct service_world w;
    size_t n_wrong = 0;

    services_bug = h->bug;
    service_world_init(&w);
    change_node(&w, h);
    for (int i = 0; i < 12 && !sim_failed(h); i++) {
        step(&w, h, i, &table);
        if (i % 3 == 2 && !w.failure) {
            services_bug = NULL;
            compare_fresh(&w, h);
            services_for_each_door(w.core, NULL, ignore_door, &n_wrong);
            SIM_CHECK(h, !n_wrong, "shares that are not 1 together");
            services_bug = h->bug;
        }
        SIM_CHECK(h, !w.failure, "step %d: %s", i, w.failure);
    }
    services_bug = NULL;
    forget_entries(&table);
    service_world_destroy(&w);
}

int
main(int argc, char *argv[])
{
    static const char *const bugs[] = { "winner-missed", "move-missed", "first-missed", "target-missed", "local-missed",
                                        "fragments-missed", "idle-put", "track-missed", "hints-some", "twice", "flush-missed",
                                        "flush-closed", "flush-served", "reject-local", "zone-missed", NULL };
    return sim_main(argc, argv, &(struct sim) { "services", history, bugs });
}
