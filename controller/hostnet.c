/* The owner of the node's network: events, the order of the parts, and the answers. */

#include <config.h>

#include "hostnet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "hostnet-private.h"
#include "lib/rtnl.h"
#include "netlink-notifier.h"
#include "netlink-socket.h"
#include "netlink.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/hmap.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "pod-link.h"
#include "rtnl-events.h"
#include "services.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hostnet);

/* What failed is tried again after an event, and for what no event announces, after these times. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 30000

struct hostnet {
    /* Inputs. */
    char *state_dir;
    char *uplink_wish;                  /* A name, or "auto". */
    struct in6_addr *node_addrs;
    size_t n_node_addrs;
    struct hostnet_config *config;      /* Owned deep copy; NULL: not declared yet. */
    char *config_text;                  /* Its content, for comparison. */
    struct hmap routes;                 /* To the other nodes: "struct peer_route"s, by destination. */
    struct hostnet_services *services;
    bool audit;                         /* Of conntrack, once the Services' changes are installed. */

    /* Events. */
    struct rtnl_events *events;
    struct hostnet_nft *nft;
    bool dirty;
    long long int retry_at;             /* LLONG_MAX: not. */
    int retry_ms;

    /* State. */
    struct rtnl *rtnl;                  /* NULL: could not be opened yet. */
    bool record_read;
    struct hostnet_record record;
    char uplink_found[IFNAMSIZ];        /* "": to be searched. */
    int ifindexes[3];                   /* Uplink, bridge's port, gateway port; 0: not there. */

    /* Answers. */
    bool has_uplink, ready;
    struct hostnet_uplink uplink;
    struct in6_addr *local_addrs;
    size_t n_local_addrs;
    char *problem;
    unsigned int seqno;
};

struct peer_route {
    struct hmap_node node;
    struct hostnet_route route;
};

/* Inputs. -------------------------------------------------------------------------------------------------------- */

struct hostnet *
hostnet_create(const char *state_dir, const char *uplink)
{
    struct hostnet *h = xzalloc(sizeof *h);

    h->state_dir = xstrdup(state_dir);
    h->uplink_wish = xstrdup(uplink);
    hmap_init(&h->routes);
    h->services = hostnet_services_create();
    h->audit = true;
    h->events = rtnl_events_create();
    h->nft = hostnet_nft_create();
    h->dirty = true;
    h->retry_at = LLONG_MAX;
    h->retry_ms = RETRY_MIN_MS;
    return h;
}

static void
config_destroy(struct hostnet_config *config)
{
    if (config) {
        free(CONST_CAST(char *, config->gateway));
        free(CONST_CAST(char *, config->uplink_bridge));
        free(CONST_CAST(struct inet_prefix *, config->gateway_addrs));
        free(CONST_CAST(struct inet_prefix *, config->cluster_cidrs));
        free(CONST_CAST(struct inet_prefix *, config->service_cidrs));
        free(config);
    }
}

static void *
copy_array(const void *array, size_t n, size_t size)
{
    return n ? xmemdup(array, n * size) : NULL;
}

static struct hostnet_config *
config_clone(const struct hostnet_config *src)
{
    struct hostnet_config *dst = xmemdup(src, sizeof *src);

    dst->gateway = xstrdup(src->gateway);
    dst->uplink_bridge = nullable_xstrdup(src->uplink_bridge);
    dst->gateway_addrs = copy_array(src->gateway_addrs, src->n_gateway_addrs, sizeof *src->gateway_addrs);
    dst->cluster_cidrs = copy_array(src->cluster_cidrs, src->n_cluster_cidrs, sizeof *src->cluster_cidrs);
    dst->service_cidrs = copy_array(src->service_cidrs, src->n_service_cidrs, sizeof *src->service_cidrs);
    return dst;
}

static void
put_prefixes(struct ds *ds, const char *name, const struct inet_prefix *prefixes, size_t n)
{
    ds_put_format(ds, " %s", name);
    for (size_t i = 0; i < n; i++) {
        ds_put_char(ds, ' ');
        inet_prefix_put(ds, &prefixes[i]);
    }
}

static char *
config_to_text(const struct hostnet_config *config)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "%s mtu %u masquerade %d own "ETH_ADDR_FMT" tunnel %u bridge %s pending %d guard %d",
                  config->gateway, config->mtu, config->masquerade, ETH_ADDR_ARGS(config->own_mac),
                  config->tunnel_port, config->uplink_bridge ? config->uplink_bridge : "-",
                  config->uplink_bridge_pending, config->guard_af_packet);
    put_prefixes(&ds, "gateway", config->gateway_addrs, config->n_gateway_addrs);
    put_prefixes(&ds, "cluster", config->cluster_cidrs, config->n_cluster_cidrs);
    put_prefixes(&ds, "services", config->service_cidrs, config->n_service_cidrs);
    return ds_steal_cstr(&ds);
}

static void
uplink_clear(struct hostnet *h)
{
    free(h->uplink.addrs);
    memset(&h->uplink, 0, sizeof h->uplink);
    h->has_uplink = false;
}

void
hostnet_destroy(struct hostnet *h)
{
    if (h) {
        rtnl_events_destroy(h->events);
        hostnet_nft_destroy(h->nft);
        rtnl_close(h->rtnl);
        hostnet_record_destroy(&h->record);
        uplink_clear(h);
        config_destroy(h->config);
        struct peer_route *route;
        HMAP_FOR_EACH_POP (route, node, &h->routes) {
            free(route);
        }
        hmap_destroy(&h->routes);
        hostnet_services_destroy(h->services);
        free(h->local_addrs);
        free(h->config_text);
        free(h->node_addrs);
        free(h->problem);
        free(h->uplink_wish);
        free(h->state_dir);
        free(h);
    }
}

void
hostnet_set_node_addrs(struct hostnet *h, const struct in6_addr *addrs, size_t n)
{
    if (n == h->n_node_addrs && (!n || !memcmp(addrs, h->node_addrs, n * sizeof *addrs))) {
        return;
    }
    free(h->node_addrs);
    h->node_addrs = copy_array(addrs, n, sizeof *addrs);
    h->n_node_addrs = n;
    h->uplink_found[0] = '\0';
    h->dirty = true;
}

void
hostnet_set(struct hostnet *h, const struct hostnet_config *config)
{
    char *text = config_to_text(config);

    if (h->config_text && !strcmp(text, h->config_text)) {
        free(text);
        return;
    }
    free(h->config_text);
    h->config_text = text;
    config_destroy(h->config);
    h->config = config_clone(config);
    h->dirty = true;
}

/* Routes to the other nodes. ------------------------------------------------------------------------------------- */

static struct peer_route *
find_route(const struct hostnet *h, const struct inet_prefix *dst)
{
    struct peer_route *route;
    HMAP_FOR_EACH_WITH_HASH (route, node, hash_bytes(&dst->addr, sizeof dst->addr, dst->plen), &h->routes) {
        if (inet_prefix_equals(&route->route.dst, dst)) {
            return route;
        }
    }
    return NULL;
}

/* A single change is carried out at once if all the rest is in place; what fails is left to reconcile(). */
static void
carry_out(struct hostnet *h, const struct hostnet_route *route,
          int (*f)(struct rtnl *, const struct hostnet_config *, const struct hostnet_route *, struct error *))
{
    if (h->dirty || !h->ready) {
        h->dirty = true;
    } else if (f(h->rtnl, h->config, route, NULL)) {
        h->dirty = true;
    }
}

static bool
route_equals(const struct hostnet_route *a, const struct hostnet_route *b)
{
    return a->has_via == b->has_via && (!a->has_via || IN6_ARE_ADDR_EQUAL(&a->via, &b->via));
}

void
hostnet_set_route(struct hostnet *h, const struct hostnet_route *new)
{
    struct peer_route *route = find_route(h, &new->dst);
    if (!route) {
        route = xmalloc(sizeof *route);
        hmap_insert(&h->routes, &route->node, hash_bytes(&new->dst.addr, sizeof new->dst.addr, new->dst.plen));
    } else if (route_equals(&route->route, new)) {
        return;
    }
    route->route = *new;
    carry_out(h, new, hostnet_put_route);
}

void
hostnet_remove_route(struct hostnet *h, const struct inet_prefix *dst)
{
    struct peer_route *route = find_route(h, dst);
    if (route) {
        hmap_remove(&h->routes, &route->node);
        carry_out(h, &route->route, hostnet_delete_route);
        free(route);
    }
}

/* All of them, to be freed. */
static struct hostnet_route *
copy_routes(const struct hostnet *h)
{
    struct hostnet_route *routes = xmalloc((hmap_count(&h->routes) + 1) * sizeof *routes);
    const struct peer_route *route;
    size_t n = 0;

    HMAP_FOR_EACH (route, node, &h->routes) {
        routes[n++] = route->route;
    }
    return routes;
}

/* Services. ------------------------------------------------------------------------------------------------------ */

/* Sets, rules and routes are there only with Services; a route for a range only with an address in it. */
static bool
begins_anything(const struct hostnet *h, const struct service_host *host)
{
    bool begins = !hostnet_services_any(h->services);

    for (size_t i = 0; !begins && h->config && host->kind == SERVICE_HOST_CLUSTER && i < h->config->n_service_cidrs; i++) {
        const struct inet_prefix *cidr = &h->config->service_cidrs[i];
        begins = inet_prefix_contains(cidr, &host->addr) && !hostnet_services_within(h->services, cidr);
    }
    return begins;
}

void
hostnet_put_service(struct hostnet *h, const struct service_host *host)
{
    h->dirty = h->dirty || begins_anything(h, host);
    hostnet_services_put(h->services, host);
}

void
hostnet_drop_service(struct hostnet *h, const struct service_host *host)
{
    hostnet_services_drop(h->services, host);
    h->audit = h->audit || (host->kind != SERVICE_HOST_CLUSTER && host->protocol == IPPROTO_UDP);
    h->dirty = h->dirty || begins_anything(h, host);
}

void
hostnet_audit(struct hostnet *h)
{
    h->audit = true;
}

/* What changed since everything was in place.  What fails is left to reconcile(). */
static void
run_services(struct hostnet *h)
{
    if (!h->config || h->dirty) {
        return;
    }
    if (hostnet_services_pending(h->services) && h->retry_at == LLONG_MAX
        && hostnet_nft_change(h->nft, h->services, h->config, NULL)) {
        h->dirty = true;
    } else if (h->audit && h->ready && !hostnet_services_pending(h->services)) {
        hostnet_audit_conntrack(h->services, h->config, &(struct hostnet_local) { h->local_addrs, h->n_local_addrs });
        h->audit = false;
    }
}

/* Reconciliation. ------------------------------------------------------------------------------------------------ */

/* One pass over everything. */
struct pass {
    bool complete;                      /* Everything is as declared. */
    bool failed;                        /* Something is to be tried again. */
    struct error problem;               /* The first one. */
};

/* Notes the end of a part.  ENODEV of a link that ovs-vswitchd has yet to make is 'absent': no problem, but not
 * complete. */
static void
note(struct pass *pass, int retval, bool absent, struct error *error)
{
    if (retval) {
        pass->complete = false;
        if (!absent) {
            pass->failed = true;
            if (!pass->problem.code) {
                error_move(&pass->problem, error);
            }
        }
    }
    error_clear(error);
}

static int
read_record(struct hostnet *h, struct error *error)
{
    if (h->record_read) {
        return 0;
    }
    int retval = hostnet_record_load(h->state_dir, &h->record, error);
    if (!retval || retval == ENOENT) {
        h->record_read = true;
        retval = 0;
    }
    return retval;
}

static const char *
bridge_of(const struct hostnet *h)
{
    return (h->config && h->config->uplink_bridge ? h->config->uplink_bridge
            : h->record.bridge[0] ? h->record.bridge : NULL);
}

/* Once something is taken over, the record knows the uplink: its addresses are on the bridge's port. */
static int
find_uplink(struct hostnet *h, struct rtnl_link *link, struct error *error)
{
    const char *ignore[3] = { NULL, NULL, NULL };
    size_t n = 0;

    if (h->record.uplink[0] && (!strcmp(h->uplink_wish, "auto") || !strcmp(h->uplink_wish, h->record.uplink))) {
        return hostnet_find_uplink(h->rtnl, h->record.uplink, NULL, 0, NULL, link, error);
    }
    if (h->uplink_found[0] && !rtnl_link_get(h->rtnl, h->uplink_found, link, NULL)) {
        return 0;
    }
    if (h->config) {
        ignore[n++] = h->config->gateway;
    }
    if (bridge_of(h)) {
        ignore[n++] = bridge_of(h);
    }
    int retval = hostnet_find_uplink(h->rtnl, h->uplink_wish, h->node_addrs, h->n_node_addrs, ignore, link, error);
    ovs_strlcpy(h->uplink_found, retval ? "" : link->name, sizeof h->uplink_found);
    if (!retval) {
        VLOG_INFO("the uplink is %s", link->name);
    }
    return retval;
}

/* Is what the record says still wanted? */
static bool
record_is_stale(const struct hostnet *h, const char *uplink)
{
    return h->record.uplink[0] && (!h->config->uplink_bridge || strcmp(h->config->uplink_bridge, h->record.bridge)
                                   || (uplink && strcmp(uplink, h->record.uplink)));
}

static void
reconcile_uplink(struct hostnet *h, const char *uplink, struct pass *pass)
{
    struct error error = ERROR_INIT;
    struct rtnl_link link;

    if (record_is_stale(h, uplink)) {
        VLOG_INFO("giving the addresses and routes of %s back to %s", h->record.bridge, h->record.uplink);
        note(pass, hostnet_give_back(h->rtnl, h->state_dir, h->record.bridge, &h->record, &error), false, &error);
    }
    const char *bridge = h->config->uplink_bridge;
    if (!bridge || pass->problem.code) {
        return;
    }
    bool pending = h->config->uplink_bridge_pending && !h->record.uplink[0];
    if (!uplink || pending || rtnl_link_get(h->rtnl, bridge, &link, NULL)) {
        pass->complete = false;         /* Not yet possible. */
        return;
    }
    if (!h->record.uplink[0]) {
        VLOG_INFO("%s takes over the addresses and routes of %s", bridge, uplink);
    }
    int retval = hostnet_take_over(h->rtnl, h->state_dir, uplink, bridge, h->config->guard_af_packet, &h->record,
                                   &error);
    note(pass, retval, false, &error);
}

static int
ifindex_of(struct hostnet *h, const char *name)
{
    struct rtnl_link link;
    return name && name[0] && !rtnl_link_get(h->rtnl, name, &link, NULL) ? link.ifindex : 0;
}

static int
set_rules(struct hostnet *h, bool taken, int gateway, struct error *error)
{
    char *rules = hostnet_nft_rules(h->config, h->record.uplink, taken, gateway, hostnet_services_any(h->services));
    return hostnet_nft_set(h->nft, rules, h->services, h->config, error);
}

/* Without the kernel's help all that comes from the gateway port counts as forwarded.  That is a problem, but only of pods
 * that policies isolate, so the rest is installed and the node is ready. */
static void
reconcile_rules(struct hostnet *h, struct pass *pass)
{
    struct error error = ERROR_INIT, refused = ERROR_INIT;
    bool taken = h->record.uplink[0] != '\0';
    int gateway = ifindex_of(h, h->config->gateway);

    int retval = set_rules(h, taken, gateway, &refused);
    if (retval && gateway) {
        retval = set_rules(h, taken, 0, &error);
        if (!retval && !pass->problem.code) {
            error_wrap(&refused, "the node's own traffic (probes) to pods that policies isolate is dropped");
            error_move(&pass->problem, &refused);
        }
        note(pass, retval, false, &error);
    } else {
        note(pass, retval, false, &refused);
    }
    error_clear(&refused);
}

static void
reconcile_config(struct hostnet *h, const char *uplink, struct pass *pass)
{
    struct error error = ERROR_INIT;

    note(pass, hostnet_forwarding(uplink, &error), false, &error);
    int retval = hostnet_reconcile_gateway(h->rtnl, h->config, &error);
    note(pass, retval, retval == ENODEV, &error);
    if (h->record_read) {
        reconcile_uplink(h, uplink, pass);
    }
    struct hostnet_route *routes = copy_routes(h);
    retval = hostnet_reconcile_routes(h->rtnl, h->config, routes, hmap_count(&h->routes), h->services, &error);
    free(routes);
    note(pass, retval, false, &error);
    note(pass, hostnet_services_reconcile(h->services, h->rtnl, h->config, &error), false, &error);
    reconcile_rules(h, pass);
}

/* Answers. ------------------------------------------------------------------------------------------------------- */

static void
read_uplink_addrs(struct hostnet *h, struct hostnet_uplink *uplink)
{
    for (int i = 0; i < 2; i++) {       /* The uplink itself, the bridge's port. */
        struct rtnl_addr *addrs;
        size_t n;

        if (!h->ifindexes[i] || rtnl_addr_list(h->rtnl, h->ifindexes[i], &addrs, &n, NULL)) {
            continue;
        }
        uplink->addrs = xrealloc(uplink->addrs, (uplink->n_addrs + n) * sizeof *uplink->addrs + 1);
        for (size_t j = 0; j < n; j++) {
            if (addrs[j].scope == RT_SCOPE_UNIVERSE) {
                uplink->addrs[uplink->n_addrs++] = addrs[j].prefix;
            }
        }
        free(addrs);
    }
    if (!uplink->n_addrs) {             /* The bridge's port is away for a moment. */
        uplink->addrs = xrealloc(uplink->addrs, h->record.n_addrs * sizeof *uplink->addrs + 1);
        for (size_t i = 0; i < h->record.n_addrs; i++) {
            uplink->addrs[uplink->n_addrs++] = h->record.addrs[i].prefix;
        }
    }
}

static bool
uplink_equals(const struct hostnet_uplink *a, const struct hostnet_uplink *b)
{
    return (!strcmp(a->name, b->name) && eth_addr_equals(a->mac, b->mac) && a->mtu == b->mtu && a->n_addrs == b->n_addrs
            && (!a->n_addrs || !memcmp(a->addrs, b->addrs, a->n_addrs * sizeof *a->addrs)));
}

/* True if the answer changed. */
static bool
update_uplink(struct hostnet *h, const struct rtnl_link *link)
{
    struct hostnet_uplink new = { .name = "" };

    if (!link) {
        bool changed = h->has_uplink;
        uplink_clear(h);
        return changed;
    }
    ovs_strzcpy(new.name, link->name, sizeof new.name);
    new.mac = link->mac;
    new.mtu = MIN(link->mtu, UINT16_MAX);
    read_uplink_addrs(h, &new);
    bool changed = !h->has_uplink || !uplink_equals(&h->uplink, &new);
    uplink_clear(h);
    h->uplink = new;
    h->has_uplink = true;
    return changed;
}

/* True if they changed. */
static bool
update_local_addrs(struct hostnet *h)
{
    struct in6_addr *addrs;

    size_t n = hostnet_read_local_addrs(h->rtnl, &h->uplink, &addrs);
    if (n == h->n_local_addrs && (!n || !memcmp(addrs, h->local_addrs, n * sizeof *addrs))) {
        free(addrs);
        return false;
    }
    free(h->local_addrs);
    h->local_addrs = addrs;
    h->n_local_addrs = n;
    return true;
}

static bool
update_problem(struct hostnet *h, struct pass *pass)
{
    char *problem = pass->problem.code ? xstrdup(error_message(&pass->problem)) : NULL;

    if (nullable_string_is_equal(problem, h->problem)) {
        free(problem);
        return false;
    }
    if (problem) {
        VLOG_WARN("%s", problem);
    } else {
        VLOG_INFO("solved: %s", h->problem);
    }
    free(h->problem);
    h->problem = problem;
    return true;
}

static void
reconcile(struct hostnet *h)
{
    struct pass pass = { .complete = h->config != NULL };
    struct error error = ERROR_INIT;
    bool found = false, changed = false;
    struct rtnl_link link;

    int retval = h->rtnl ? 0 : rtnl_open(-1, &h->rtnl, &error);
    note(&pass, retval, false, &error);
    if (!retval) {
        note(&pass, read_record(h, &error), false, &error);
        retval = find_uplink(h, &link, &error);
        found = !retval;
        note(&pass, retval, false, &error);
        if (h->config) {
            reconcile_config(h, found ? link.name : NULL, &pass);
        }
        h->ifindexes[0] = found ? link.ifindex : 0;
        h->ifindexes[1] = ifindex_of(h, bridge_of(h));
        h->ifindexes[2] = ifindex_of(h, h->config ? h->config->gateway : NULL);
        changed = update_uplink(h, found ? &link : NULL);
        changed |= update_local_addrs(h);
    }

    changed |= update_problem(h, &pass);
    changed |= h->ready != pass.complete;
    h->ready = pass.complete;
    h->seqno += changed;
    h->retry_at = pass.failed ? time_msec() + h->retry_ms : LLONG_MAX;
    h->retry_ms = pass.failed ? MIN(h->retry_ms * 2, RETRY_MAX_MS) : RETRY_MIN_MS;
    error_clear(&pass.problem);
}

/* Does the event concern anything that this module looks after? */
static bool
is_relevant(const struct rtnl_event *event, void *h_)
{
    const struct hostnet *h = h_;
    const char *const names[] = { h->uplink_wish, h->record.uplink, h->uplink_found, bridge_of(h),
                                  h->config ? h->config->gateway : NULL };

    if (event->is_link && !strncmp(event->name, POD_LINK_PREFIX, strlen(POD_LINK_PREFIX))) {
        return false;
    }
    if (event->protocol == HOSTNET_RTPROT && h->rtnl && event->cause == rtnl_port(h->rtnl)) {
        return false;                   /* Our own doing. */
    }
    if (!h->has_uplink || h->problem || event->protocol == HOSTNET_RTPROT) {
        return true;
    }
    if (!event->is_link && !event->protocol) {
        return true;                    /* An address, perhaps one that a Service has, too. */
    }
    for (size_t i = 0; i < ARRAY_SIZE(h->ifindexes); i++) {
        if (event->ifindex && event->ifindex == h->ifindexes[i]) {
            return true;
        }
    }
    for (size_t i = 0; event->is_link && i < ARRAY_SIZE(names); i++) {
        if (names[i] && !strcmp(names[i], event->name)) {
            return true;
        }
    }
    return false;
}

void
hostnet_run(struct hostnet *h)
{
    h->dirty |= rtnl_events_run(h->events, is_relevant, h);
    h->dirty |= hostnet_nft_run(h->nft);
    if (h->dirty || time_msec() >= h->retry_at) {
        h->dirty = false;
        reconcile(h);
    }
    run_services(h);
}

void
hostnet_wait(struct hostnet *h)
{
    rtnl_events_wait(h->events);
    hostnet_nft_wait(h->nft);
    bool todo = hostnet_services_pending(h->services) || (h->audit && h->ready);
    if (h->dirty || (h->config && h->retry_at == LLONG_MAX && todo)) {
        poll_immediate_wake();
    } else if (h->retry_at != LLONG_MAX) {
        poll_timer_wait_until(h->retry_at);
    }
}

const struct hostnet_uplink *
hostnet_uplink(const struct hostnet *h)
{
    return h->has_uplink ? &h->uplink : NULL;
}

const struct in6_addr *
hostnet_local_addrs(const struct hostnet *h, size_t *n)
{
    *n = h->n_local_addrs;
    return h->local_addrs;
}

bool
hostnet_ready(const struct hostnet *h)
{
    return h->ready;
}

bool
hostnet_is_settled(const struct hostnet *h)
{
    return h->ready && !h->dirty && !hostnet_services_pending(h->services) && !h->audit;
}

const char *
hostnet_problem(const struct hostnet *h)
{
    return h->problem;
}

unsigned int
hostnet_seqno(const struct hostnet *h)
{
    return h->seqno;
}
