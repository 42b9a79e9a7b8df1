#include <config.h>

#include "controller/dataplane-private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ct-audit.h"
#include "controller/health.h"
#include "controller/services.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

/* Services: objects and facts of the node go into the core (services.h), its effects to the switch, the host's network and
 * the health checks.  All that one run of the core wants is declared at once, so it reaches the switch in one bundle. */

/* From a change of Services to the Events about them. */
#define REPORT_DELAY_MS 1000

/* When the switch has taken new flows its datapath still goes by the old ones until its revalidators have looked at all of
 * them (max-revalidator, 0.5 s), and a client that goes on sending makes its entry anew.  So entries are removed twice. */
#define FLUSH_AGAIN_MS 1000

/* For each flush the switch looks at all connections (40 ms for 100,000).  To list all of them takes six times as long, so
 * more flushes than these become one audit (ct-audit.h). */
#define FLUSHES_AT_ONCE 8

/* Waits for the flows and groups that are wanted with it, then, once more, for the datapath. */
struct flush {
    struct ovs_list node;
    uint64_t version;
    long long int again_at;             /* time_msec(); only in 'flushes_again'. */
    struct service_flush what;
};

struct dataplane_service {
    struct services *core;
    char *zone;                         /* As the core knows it; NULL: none. */
    struct in6_addr *addrs;             /* Likewise. */
    size_t n_addrs;
    bool told_node;                     /* The core knows of the node at all. */
    struct ovs_list flushes;            /* "struct flush"es, by version. */
    struct ovs_list flushes_again;      /* Likewise, by time. */
    struct ct_audit *audit;
    unsigned int audited;               /* Connection to the switch for which it was requested. */
    struct shash reported;              /* "NAMESPACE/NAME" -> the problem that was reported. */
    long long int report_at;            /* time_msec(); LLONG_MAX: nothing changed. */
};

static bool
keeps_connection(const struct ct_entry *entry, void *dp_)
{
    const struct dataplane *dp = dp_;

    return services_keeps(dp->service->core, entry);
}

static void
flush_connection(const struct ct_entry *entry, void *dp_)
{
    struct dataplane *dp = dp_;

    ofctrl_flush_ct(dp->ofctrl, FLOW_NETWORK_DEFAULT, entry);
}

void
dataplane_service_init_(struct dataplane *dp)
{
    struct dataplane_service *ds = xzalloc(sizeof *ds);
    const struct ct_audit_config audit = {
        .ovs_rundir = dp->config->ovs_rundir, .keeps = keeps_connection, .flush = flush_connection, .aux = dp,
    };

    ds->core = services_create(dp->config->node);
    ds->audit = ct_audit_create(&audit);
    ovs_list_init(&ds->flushes);
    ovs_list_init(&ds->flushes_again);
    shash_init(&ds->reported);
    ds->report_at = LLONG_MAX;
    dp->service = ds;
}

void
dataplane_service_destroy_(struct dataplane *dp)
{
    struct dataplane_service *ds = dp->service;

    if (ds) {
        struct flush *flush;

        ovs_list_push_back_all(&ds->flushes, &ds->flushes_again);
        LIST_FOR_EACH_POP (flush, node, &ds->flushes) {
            free(flush);
        }
        ct_audit_destroy(ds->audit);
        services_destroy(ds->core);
        shash_destroy_free_data(&ds->reported);
        free(ds->zone);
        free(ds->addrs);
        free(ds);
    }
}

const char *
dataplane_service_problem_(const struct dataplane *dp)
{
    return ct_audit_problem(dp->service->audit);
}

const struct services *
dataplane_services_(const struct dataplane *dp)
{
    return dp->service->core;
}

/* Events. -------------------------------------------------------------------------------------------------------- */

void
dataplane_service_changed_(struct dataplane *dp, const struct store_key *key)
{
    struct dataplane_service *ds = dp->service;
    const struct kube_object *new = store_get(dp->store, key->kind, key->namespace_, key->name);

    if (key->kind == KUBE_SERVICE) {
        services_service(ds->core, kube_service_cast(key->old), kube_service_cast(new));
    } else if (key->kind == KUBE_ENDPOINTSLICE) {
        services_slice(ds->core, kube_endpointslice_cast(key->old), kube_endpointslice_cast(new));
    } else {
        return;
    }
    if (ds->report_at == LLONG_MAX) {
        ds->report_at = time_msec() + REPORT_DELAY_MS;  /* One look for many changes. */
    }
}

void
dataplane_service_host_ports_(struct dataplane *dp, uint64_t id, const char *pod, const struct service_host_port *ports,
                              size_t n_ports, const struct in6_addr *addrs, size_t n_addrs)
{
    services_set_host_ports(dp->service->core, id, pod, ports, n_ports, addrs, n_addrs);
}

/* All addresses of the node but the gateways.  What was known of it stays while its object or the uplink is lost. */
static size_t
copy_node_addrs(const struct dataplane *dp, struct in6_addr **addrs)
{
    const struct dataplane_service *ds = dp->service;
    const struct node_facts *facts = &dp->facts;
    size_t n_all, n = 0;
    const struct in6_addr *all = hostnet_local_addrs(dp->hostnet, &n_all);

    if (!hostnet_uplink(dp->hostnet)) {
        all = ds->addrs;
        n_all = ds->n_addrs;
    }
    *addrs = xcalloc(MAX(n_all, 1), sizeof **addrs);
    for (size_t i = 0; i < n_all; i++) {
        bool is_gateway = false;
        for (size_t j = 0; j < facts->n_cidrs + facts->n_old_cidrs; j++) {
            is_gateway = is_gateway || IN6_ARE_ADDR_EQUAL(&all[i], &facts->gateways[j]);
        }
        if (!is_gateway) {
            (*addrs)[n++] = all[i];
        }
    }
    return n;
}

static void
tell_node(struct dataplane *dp)
{
    struct dataplane_service *ds = dp->service;
    const struct kube_node *node = dataplane_own_node_(dp);
    const char *zone = node ? labels_get(node->object.labels, KUBE_LABEL_ZONE) : ds->zone;
    struct in6_addr *addrs;
    size_t n = copy_node_addrs(dp, &addrs);

    zone = zone && *zone ? zone : NULL;
    if (ds->told_node && nullable_string_is_equal(zone, ds->zone) && n == ds->n_addrs
        && (!n || !memcmp(addrs, ds->addrs, n * sizeof *addrs))) {
        free(addrs);
        return;
    }
    char *copy = nullable_xstrdup(zone);
    free(ds->zone);
    ds->zone = copy;
    free(ds->addrs);
    ds->addrs = addrs;
    ds->n_addrs = n;
    ds->told_node = true;
    services_set_node(ds->core, ds->zone, ds->addrs, n);
}

/* Effects. ------------------------------------------------------------------------------------------------------- */

static void
queue_flush(struct dataplane_service *ds, const struct service_flush *what)
{
    struct flush *flush = xmalloc(sizeof *flush);

    *flush = (struct flush) { .version = UINT64_MAX, .what = *what };
    ovs_list_push_back(&ds->flushes, &flush->node);
}

static void
take_effect(struct dataplane *dp, struct service_effect *e)
{
    struct of_state *of = ofctrl_state(dp->ofctrl);

    switch (e->type) {
    case SERVICE_PUT_FLOW:
        of_state_put_flow(of, OWNER_SERVICE, e->flow);
        break;
    case SERVICE_DROP_FLOW:
        of_state_drop_flow(of, OWNER_SERVICE, e->flow);
        flow_entry_unref(e->flow);
        break;
    case SERVICE_PUT_GROUP:
        of_state_put_group(of, OWNER_SERVICE, e->group);
        break;
    case SERVICE_DROP_GROUP:
        of_state_drop_group(of, OWNER_SERVICE, e->group_id);
        break;
    case SERVICE_PUT_HOST:
        hostnet_put_service(dp->hostnet, &e->host);
        break;
    case SERVICE_DROP_HOST:
        hostnet_drop_service(dp->hostnet, &e->host);
        break;
    case SERVICE_FLUSH:
        queue_flush(dp->service, &e->flush);
        break;
    case SERVICE_PUT_HEALTH:
        health_set(dp->health, &e->health);
        break;
    case SERVICE_DROP_HEALTH:
        health_remove(dp->health, e->health.port);
        break;
    default:
        OVS_NOT_REACHED();
    }
}

/* What has come back meanwhile keeps its connections. */
static void
flush_one(struct dataplane *dp, const struct service_flush *f)
{
    if (f->host) {
        hostnet_audit(dp->hostnet);
    } else if (!services_keeps(dp->service->core, &f->entry)) {
        ofctrl_flush_ct(dp->ofctrl, FLOW_NETWORK_DEFAULT, &f->entry);
    }
}

static void
request_audit(struct dataplane *dp)
{
    ct_audit_request(dp->service->audit, dp->facts.datapath == DATAPATH_KERNEL ? "system@ovs-system" : "netdev@ovs-netdev",
                     FLOW_NETWORK_DEFAULT);
}

/* Those whose flows are in place by now.  Removed earlier, a connection would be made anew by the old flows. */
static void
flush_due(struct dataplane *dp)
{
    struct dataplane_service *ds = dp->service;
    uint64_t acked = of_state_acked(ofctrl_state(dp->ofctrl));
    struct flush *flush;
    size_t n = 0;

    LIST_FOR_EACH (flush, node, &ds->flushes) {
        if (flush->version > acked) {
            break;
        }
        n += !flush->what.host;
    }
    if (n > FLUSHES_AT_ONCE) {
        request_audit(dp);
    }
    LIST_FOR_EACH_SAFE (flush, node, &ds->flushes) {
        if (flush->version > acked) {
            break;
        }
        ovs_list_remove(&flush->node);
        if (flush->what.host || n <= FLUSHES_AT_ONCE) {
            flush_one(dp, &flush->what);
        }
        if (flush->what.host || n > FLUSHES_AT_ONCE) {
            free(flush);
        } else {
            flush->again_at = time_msec() + FLUSH_AGAIN_MS;
            ovs_list_push_back(&ds->flushes_again, &flush->node);
        }
    }
}

static void
flush_again(struct dataplane *dp)
{
    struct dataplane_service *ds = dp->service;
    struct flush *flush;

    LIST_FOR_EACH_SAFE (flush, node, &ds->flushes_again) {
        if (flush->again_at > time_msec()) {
            break;
        }
        flush_one(dp, &flush->what);
        ovs_list_remove(&flush->node);
        free(flush);
    }
}

/* What went while sluiced was away, and what was removed from a switch that did not hear it, nobody remembers: so each
 * switch that has everything is looked through. */
static void
audit_new_switch(struct dataplane *dp)
{
    struct dataplane_service *ds = dp->service;
    unsigned int seqno = ofctrl_connection_seqno(dp->ofctrl);
    struct of_state_stats stats;

    if (seqno != ds->audited && !dp->not_ready && hostnet_uplink(dp->hostnet)) {
        of_state_get_stats(ofctrl_state(dp->ofctrl), &stats);
        if (stats.synced) {
            ds->audited = seqno;
            request_audit(dp);
        }
    }
}

void
dataplane_service_flush_(struct dataplane *dp)
{
    flush_due(dp);
    flush_again(dp);
    audit_new_switch(dp);
    ct_audit_run(dp->service->audit);
}

/* Nothing before the sources are synced: half of the slices would be another Service. */
void
dataplane_service_run_(struct dataplane *dp)
{
    struct dataplane_service *ds = dp->service;
    struct service_effect effect;

    if (!dp->sources_synced || !dp->facts.known) {
        return;
    }
    tell_node(dp);
    if (services_run(ds->core)) {
        struct flush *flush;

        while (services_pop(ds->core, &effect)) {
            take_effect(dp, &effect);
        }
        LIST_FOR_EACH_REVERSE (flush, node, &ds->flushes) {
            if (flush->version != UINT64_MAX) {
                break;
            }
            flush->version = of_state_version(ofctrl_state(dp->ofctrl));
        }
    }
}

void
dataplane_service_wait_(struct dataplane *dp)
{
    const struct dataplane_service *ds = dp->service;

    if (ds->report_at != LLONG_MAX && dp->sources_synced) {
        poll_timer_wait_until(ds->report_at);
    }
    ct_audit_wait(ds->audit);
    if (!ovs_list_is_empty(&ds->flushes_again)) {
        const struct flush *first;
        INIT_CONTAINER(first, ovs_list_front(&ds->flushes_again), node);
        poll_timer_wait_until(first->again_at);
    }
}

/* Events of the API. --------------------------------------------------------------------------------------------- */

struct problems {
    struct dataplane *dp;
    struct shash now;
};

static void
report_problem_of(const struct kube_service *service, const char *problem, void *problems_)
{
    struct problems *problems = problems_;
    const struct kube_object *object = &service->object;
    char uid[KUBE_UID_STRLEN];

    char *name = xasprintf("%s/%s", object->namespace_, object->name);
    const char *told = shash_find_data(&problems->dp->service->reported, name);
    if (!told || strcmp(told, problem)) {
        char *message = xasprintf("%s; what is left out does not work on this node, everything else does", problem);
        dataplane_report_(problems->dp, KUBE_SERVICE, object->namespace_, object->name,
                          kube_uid_format(&object->uid, uid), "ServiceIncomplete", message);
        free(message);
    }
    shash_add_nocopy(&problems->now, name, xstrdup(problem));
}

void
dataplane_service_report_(struct dataplane *dp)
{
    struct problems problems = { .dp = dp };

    if (time_msec() < dp->service->report_at || !dp->sources_synced) {
        return;
    }
    dp->service->report_at = LLONG_MAX;
    shash_init(&problems.now);
    services_for_each_problem(dp->service->core, report_problem_of, &problems);
    shash_swap(&problems.now, &dp->service->reported);
    shash_destroy_free_data(&problems.now);
}
