#include <config.h>

#include "controller/dataplane-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "compile.h"
#include "cookie.h"
#include "controller/policy-status.h"
#include "controller/services.h"
#include "fault.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane_pod);

#define JOURNAL_RETRY_MS 1000

/* A journal is rewritten when it is this much larger than what it must hold. */
#define COMPACT_SLACK (256 * 1024)

/* Flows and ports. ----------------------------------------------------------------------------------------------- */

static struct watch *
watch_find(struct dataplane *dp, uint64_t id)
{
    struct watch *w;
    HMAP_FOR_EACH_WITH_HASH (w, node, hash_uint64(id), &dp->watches) {
        if (w->id == id) {
            return w;
        }
    }
    return NULL;
}

static struct watch *
watch_get(struct dataplane *dp, const struct attachment *a)
{
    struct watch *w = watch_find(dp, a->id);
    if (!w) {
        w = xzalloc(sizeof *w);
        w->id = a->id;
        w->owner = xstrdup(a->owner);
        ovs_strlcpy(w->host_name, a->host_name, sizeof w->host_name);
        hmap_insert(&dp->watches, &w->node, hash_uint64(a->id));
    }
    dp->watches_changed = true;
    return w;
}

/* Returns the version with which its flows are in place, and all that policies say of it. */
static uint64_t
compile_attachment(struct dataplane *dp, const struct flow_local *local, const struct attachment *a)
{
    struct in6_addr addrs[CNI_WIRE_MAX_IPS];
    struct flow_pod pod = { .owner = a->owner, .network = FLOW_NETWORK_DEFAULT, .ofport = a->ofport, .mac = a->mac,
                            .addrs = addrs, .isolated = !a->known };
    struct flow_set set = FLOW_SET_INIT;

    for (size_t i = 0; i < a->n_ips && i < ARRAY_SIZE(addrs); i++) {
        addrs[pod.n_addrs++] = a->ips[i].prefix.addr;
    }
    if (!dataplane_policy_get_(dp, a, &pod.policy)) {
        pod.isolated = true;
    }
    compile_pod(local, &pod, &set);
    uint64_t version = of_state_set(ofctrl_state(dp->ofctrl), a->owner, &set);
    flow_set_destroy(&set);
    return MAX(version, dp->policy_version);
}

/* The attachment's own number would be another one after a restart, and with it the flows' cookies and the groups' ids. */
static uint64_t
host_ports_id(const struct attachment *a)
{
    char *text = xasprintf("%s/%s", a->container_id, a->ifname);
    uint64_t id = cookie_from_bytes(COOKIE_POD, text, strlen(text));

    free(text);
    return id;
}

/* Returns the version with which they are in place; 0: there are none. */
static uint64_t
set_host_ports(struct dataplane *dp, const struct attachment *a)
{
    struct service_host_port *ports = xcalloc(a->n_ports, sizeof *ports);
    struct in6_addr addrs[CNI_WIRE_MAX_IPS];
    size_t n_addrs = 0;

    for (size_t i = 0; i < a->n_ports; i++) {
        const struct attachment_port *port = &a->ports[i];
        ports[i] = (struct service_host_port) { port->host_addr, port->host_port, port->pod_port, port->protocol };
    }
    for (size_t i = 0; i < a->n_ips && i < ARRAY_SIZE(addrs); i++) {
        addrs[n_addrs++] = a->ips[i].prefix.addr;
    }
    if (a->n_ports) {
        char *pod = a->pod_name ? xasprintf("%s/%s", a->pod_namespace ? a->pod_namespace : "", a->pod_name)
                    : xstrdup(a->container_id);
        dataplane_service_host_ports_(dp, host_ports_id(a), pod, ports, a->n_ports, addrs, n_addrs);
        dataplane_service_run_(dp);
        free(pod);
    }
    free(ports);
    return a->n_ports ? of_state_version(ofctrl_state(dp->ofctrl)) : 0;
}

/* Nothing leads to its addresses any more before another pod can have them.  The same. */
static uint64_t
remove_host_ports(struct dataplane *dp, const struct attachment *a)
{
    if (!a->n_ports) {
        return 0;
    }
    dataplane_service_host_ports_(dp, host_ports_id(a), NULL, NULL, 0, NULL, 0);
    dataplane_service_run_(dp);
    return of_state_version(ofctrl_state(dp->ofctrl));
}

static void
set_flows(struct dataplane *dp, const struct attachment *a)
{
    uint64_t ports_version = set_host_ports(dp, a);
    struct watch *w = watch_get(dp, a);
    w->flows = true;
    w->flows_since = time_usec();
    w->flows_going = false;
    w->version = 0;
    w->isolated = !a->known;
    dataplane_policy_attach_(dp, a);
    if (dp->facts.known) {
        struct flow_local local;
        dataplane_policy_run_(dp);
        dataplane_fill_local_(dp, &local);
        w->version = MAX(compile_attachment(dp, &local, a), ports_version);
    }
}

struct compile_all {
    struct dataplane *dp;
    struct flow_local local;
};

static bool
has_flows(const struct attachment *a)
{
    return a->flows == STEP_DOING || a->flows == STEP_DONE;
}

static void
attach_one(const struct attachment *a, void *dp)
{
    if (has_flows(a)) {
        dataplane_policy_attach_(dp, a);
    }
}

static void
compile_one(const struct attachment *a, void *all_)
{
    struct compile_all *all = all_;
    if (has_flows(a)) {
        uint64_t version = compile_attachment(all->dp, &all->local, a);
        struct watch *w = watch_find(all->dp, a->id);
        if (w && w->flows && !w->flows_going) {
            w->version = version;
            w->isolated = !a->known;
        }
    }
}

void
dataplane_pods_compile_(struct dataplane *dp)
{
    struct compile_all all = { .dp = dp };
    attachments_for_each(dp->attachments, attach_one, dp);
    dataplane_policy_run_(dp);
    dataplane_fill_local_(dp, &all.local);
    attachments_for_each(dp->attachments, compile_one, &all);
    dp->watches_changed = true;
}

void
dataplane_pod_compile_(struct dataplane *dp, uint64_t id)
{
    const struct attachment *a = attachments_get(dp->attachments, id);

    if (a && dp->facts.known) {
        struct compile_all all = { .dp = dp };
        dataplane_fill_local_(dp, &all.local);
        compile_one(a, &all);
        dp->watches_changed = true;
    }
}

static void
set_port(struct dataplane *dp, const struct attachment *a)
{
    struct ds addresses = DS_EMPTY_INITIALIZER;
    for (size_t i = 0; i < a->n_ips; i++) {
        ds_put_cstr(&addresses, i ? " " : "");
        inet_addr_put(&addresses, &a->ips[i].prefix.addr);
    }
    struct ovsdb_port port = {
        .name = a->host_name, .ofport = a->ofport, .container_id = a->container_id, .ifname = a->ifname,
        .network = a->network, .pod_namespace = a->pod_namespace, .pod_name = a->pod_name, .pod_uid = a->pod_uid,
        .addresses = ds_cstr(&addresses),
    };
    ovsdb_port_set(dp->ovsdb, &port);
    ds_destroy(&addresses);

    struct watch *w = watch_get(dp, a);
    w->port = true;
    w->port_since = time_usec();
    w->port_going = false;
}

/* Tells the core what has come or gone. */
static void
look_at_flows(struct dataplane *dp, struct watch *w, uint64_t acked)
{
    const char *why = w->flows_going ? NULL : of_state_owner_failed(ofctrl_state(dp->ofctrl), w->owner);

    if (why || (w->version && acked >= w->version)) {
        w->flows = false;
        VLOG_DBG("%s: flows: %s after %lld us", w->host_name, w->flows_going ? "gone" : "there",
                 time_usec() - w->flows_since);
        if (w->flows_going) {
            attachments_flows_gone(dp->attachments, w->id, time_wall_msec());
        } else {
            attachments_flows_done(dp->attachments, w->id, w->isolated, why, time_wall_msec());
        }
    }
}

static void
look_at_port(struct dataplane *dp, struct watch *w)
{
    enum ovsdb_port_state state = ovsdb_port_get_state(dp->ovsdb, w->host_name);

    if (w->port_going && state == OVSDB_PORT_GONE) {
        w->port = false;
        attachments_port_gone(dp->attachments, w->id, time_wall_msec());
    } else if (!w->port_going && (state == OVSDB_PORT_UP || state == OVSDB_PORT_FAILED)) {
        const char *why = ovsdb_port_error(dp->ovsdb, w->host_name);
        w->port = false;
        attachments_port_done(dp->attachments, w->id, state == OVSDB_PORT_UP ? NULL : why ? why : "no reason given",
                              time_wall_msec());
    }
}

static void
look(struct dataplane *dp, struct watch *w, uint64_t acked)
{
    if (w->flows) {
        look_at_flows(dp, w, acked);
    }
    if (w->port) {
        look_at_port(dp, w);
        if (!w->port) {
            VLOG_DBG("%s: port: %s after %lld us", w->host_name, w->port_going ? "gone" : "up",
                     time_usec() - w->port_since);
        }
    }
}

static void
look_at_watches(struct dataplane *dp)
{
    uint64_t acked = of_state_acked(ofctrl_state(dp->ofctrl));
    unsigned int seqno = ovsdb_seqno(dp->ovsdb);
    struct watch *w;

    if (!dp->watches_changed && acked == dp->acked_seen && seqno == dp->ovsdb_seen) {
        return;
    }
    dp->watches_changed = false;
    dp->acked_seen = acked;
    dp->ovsdb_seen = seqno;
    HMAP_FOR_EACH_SAFE (w, node, &dp->watches) {
        look(dp, w, acked);
        if (!w->flows && !w->port) {
            hmap_remove(&dp->watches, &w->node);
            free(w->owner);
            free(w);
        }
    }
}

/* Journal. ------------------------------------------------------------------------------------------------------- */

static void
set_journal_problem(struct dataplane *dp, const char *why)
{
    if (why && !dp->journal_problem) {
        VLOG_ERR("the journal cannot be written: %s", why);
    }
    free(dp->journal_problem);
    dp->journal_problem = nullable_xstrdup(why);
}

/* Names for SLUICE_FAULT: "journal-add", "journal-up", "journal-known", "journal-del". */
static int
journal_fault(const struct attachment_effect *effect)
{
    return fault_point(strstr(effect->record, "\"op\":\"add\"") ? "journal-add"
                       : strstr(effect->record, "\"op\":\"up\"") ? "journal-up"
                       : strstr(effect->record, "\"op\":\"known\"") ? "journal-known" : "journal-del");
}

static void
append(struct dataplane *dp, const struct attachment_effect *effect)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    uint64_t seqno = 0;
    int code = journal_fault(effect);

    code = code ? error_set_errno(&error, code, "journal")
           : journal_append(dp->journal, effect->record, effect->record_size, &seqno, &error);
    set_journal_problem(dp, code ? error_message(&error) : NULL);
    attachments_journaled(dp->attachments, effect->ticket, seqno, code ? error_message(&error) : NULL,
                          time_wall_msec());
}

void
dataplane_compact_(struct dataplane *dp)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal_record *records;
    size_t n;

    attachments_snapshot(dp->attachments, time_wall_msec(), &records, &n);
    int code = journal_rewrite(dp->journal, records, n, &error);
    attachments_free_snapshot(records, n);
    set_journal_problem(dp, code ? error_message(&error) : NULL);
    if (!code) {
        attachments_rewritten(dp->attachments, time_wall_msec());
    }
    dp->compact_at = 2 * journal_size(dp->journal) + COMPACT_SLACK;
}

static void
run_journal(struct dataplane *dp)
{
    uint64_t synced = journal_synced(dp->journal);
    if (synced != dp->journal_seen) {
        dp->journal_seen = synced;
        attachments_journal_synced(dp->attachments, synced, time_wall_msec());
    }
    int error = journal_sync_error(dp->journal);
    if (error && time_msec() >= dp->journal_retry) {
        /* What the disk holds is not known.  The journal takes records again when all of it has been written anew. */
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
        VLOG_ERR_RL(&rl, "the journal's disk failed (%s): writing the journal anew", ovs_strerror(error));
        dp->journal_retry = time_msec() + JOURNAL_RETRY_MS;
        dataplane_compact_(dp);
    } else if (journal_size(dp->journal) >= dp->compact_at) {
        dataplane_compact_(dp);
    }
}

static void
log_taken_early(struct dataplane *dp)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    uint64_t taken_early = 0;
    size_t n = ipam_get_stats(dp->ipam, stats);
    for (size_t i = 0; i < n; i++) {
        taken_early += stats[i].taken_early;
    }
    if (taken_early > dp->taken_early) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
        VLOG_INFO_RL(&rl, "no address was free: %"PRIu64" so far were given before their quarantine was over", taken_early);
        dp->taken_early = taken_early;
    }
}

/* Pods' objects. ------------------------------------------------------------------------------------------------- */

void
dataplane_pod_changed_(struct dataplane *dp, const char *namespace_, const char *name)
{
    const struct kube_object *object = store_get(dp->store, KUBE_POD, namespace_, name);
    if (object) {
        char buf[KUBE_UID_STRLEN];
        const char *uid = kube_pod_runtime_uid(kube_pod_cast(object), buf);
        attachments_pod_known(dp->attachments, namespace_, name, uid, time_wall_msec());
    }
}

/* Effects. ------------------------------------------------------------------------------------------------------- */

static int
netns_fd_of(struct dataplane *dp, uint64_t number)
{
    const struct request *rq = number ? dataplane_request_find_(dp, number) : NULL;
    return rq ? rq->netns_fd : -1;
}

/* CHECK: what the switch says, then (in a worker) what the kernel says. */
static void
check(struct dataplane *dp, const struct attachment_effect *effect)
{
    const struct attachment *a = effect->attachment;
    const char *why = of_state_owner_failed(ofctrl_state(dp->ofctrl), a->owner);
    enum ovsdb_port_state state = ovsdb_port_get_state(dp->ovsdb, a->host_name);
    bool limited;

    if (why) {
        attachments_checked(dp->attachments, effect->request, CNI_E_BROKEN, why);
    } else if (dataplane_not_ready(dp, &limited) && limited) {
        attachments_checked(dp->attachments, effect->request, CNI_E_AGAIN, dataplane_not_ready(dp, NULL));
    } else if (state == OVSDB_PORT_FAILED) {
        why = ovsdb_port_error(dp->ovsdb, a->host_name);
        attachments_checked(dp->attachments, effect->request, CNI_E_BROKEN, why ? why : "the port failed");
    } else if (state != OVSDB_PORT_UP) {
        attachments_checked(dp->attachments, effect->request, CNI_E_BROKEN, "the port is not in Open vSwitch");
    } else {
        dataplane_link_effect_(dp, effect, netns_fd_of(dp, effect->request));
    }
}

static void
report_denied(struct dataplane *dp, const struct attachment *a)
{
    const char *why = attachment_problem(a);

    VLOG_WARN("%s: %s", a->owner, why ? why : "known now");
    if (why && a->pod_namespace && a->pod_name) {
        dataplane_report_(dp, KUBE_POD, a->pod_namespace, a->pod_name, a->pod_uid, "NetworkDenied", why);
    }
}

static void
carry_out(struct dataplane *dp, const struct attachment_effect *effect)
{
    const struct attachment *a = effect->attachment;
    struct watch *w;
    int code;

    switch (effect->type) {
    case ATTACHMENT_JOURNAL:
        append(dp, effect);
        break;
    case ATTACHMENT_LINK_CREATE: case ATTACHMENT_LINK_CONFIGURE: case ATTACHMENT_LINK_MTU:
    case ATTACHMENT_LINK_DELETE: case ATTACHMENT_LINK_TRASH:
        dataplane_link_effect_(dp, effect, netns_fd_of(dp, a->add_request));
        break;
    case ATTACHMENT_PORT_SET:
        code = fault_point("port-set");
        if (code) {
            attachments_port_done(dp->attachments, a->id, ovs_strerror(code), time_wall_msec());
        } else {
            set_port(dp, a);
        }
        break;
    case ATTACHMENT_PORT_REMOVE:
        ignore(fault_point("port-remove"));
        ovsdb_port_remove(dp->ovsdb, a->host_name);
        w = watch_get(dp, a);
        w->port = w->port_going = true;
        w->port_since = time_usec();
        break;
    case ATTACHMENT_FLOWS_SET:
        code = fault_point("flows-set");
        if (code) {
            attachments_flows_done(dp->attachments, a->id, false, ovs_strerror(code), time_wall_msec());
        } else {
            set_flows(dp, a);
        }
        break;
    case ATTACHMENT_FLOWS_REMOVE:
        ignore(fault_point("flows-remove"));
        dataplane_policy_detach_(dp, a->id);
        dataplane_policy_run_(dp);      /* Its address loses its rights before another pod can have it. */
        w = watch_get(dp, a);
        w->version = MAX(1, of_state_remove(ofctrl_state(dp->ofctrl), a->owner));     /* 0: nothing declared yet. */
        w->version = MAX(w->version, dp->policy_version);
        w->version = MAX(w->version, remove_host_ports(dp, a));
        w->flows = w->flows_going = true;
        w->flows_since = time_usec();
        break;
    case ATTACHMENT_DENIED:
        report_denied(dp, a);
        break;
    case ATTACHMENT_CHECK:
        check(dp, effect);
        break;
    case ATTACHMENT_REPLY:
        ignore(fault_point("reply"));
        dataplane_reply_(dp, effect->request, &effect->reply);
        break;
    }
}

bool
dataplane_pod_effects_(struct dataplane *dp)
{
    struct attachment_effect *effect;
    bool any = false;
    while ((effect = attachments_pop(dp->attachments))) {
        carry_out(dp, effect);
        attachment_effect_destroy(effect);
        any = true;
    }
    return any;
}

void
dataplane_pod_run_(struct dataplane *dp)
{
    long long int now = time_wall_msec();

    run_journal(dp);
    log_taken_early(dp);
    look_at_watches(dp);
    policy_status_acked(dp->policy_status, of_state_acked(ofctrl_state(dp->ofctrl)), now);
    if (now >= attachments_next_timeout(dp->attachments)) {
        attachments_run(dp->attachments, now);
    }
}

void
dataplane_pod_wait_(struct dataplane *dp)
{
    long long int next = attachments_next_timeout(dp->attachments);

    journal_wait(dp->journal, dp->journal_seen);
    if (journal_sync_error(dp->journal)) {
        poll_timer_wait_until(dp->journal_retry);
    }
    if (next != LLONG_MAX) {
        poll_timer_wait(MAX(0, next - time_wall_msec()));
    }
    if (dp->watches_changed) {
        poll_immediate_wake();
    }
}
