#include <config.h>

#include "controller/dataplane-private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "controller/health.h"
#include "controller/pod-link.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane);

#define N_WORKERS 3

/* Life. ---------------------------------------------------------------------------------------------------------- */

static int
read_boot_id(char *boot_id, size_t size, struct error *error)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    FILE *stream = fopen(path, "re");
    char *line = stream ? fgets(boot_id, size, stream) : NULL;
    int code = errno;

    if (stream) {
        fclose(stream);
    }
    if (!line) {
        return error_set_errno(error, code ? code : EIO, "%s", path);
    }
    boot_id[strcspn(boot_id, "\n")] = '\0';
    return 0;
}

static void
create_ipam(struct dataplane *dp, const char *boot_id)
{
    struct ipam_config config = { .quarantine_ms = dp->config->quarantine_ms, .reserve = dp->config->reserve,
                                  .n_reserve = dp->config->n_reserve };
    dp->ipam = ipam_create(&config);
    dp->attachments = attachments_create(dp->ipam, boot_id);
}

static int
replay(const void *payload, size_t size, void *dp_, struct error *error)
{
    struct dataplane *dp = dp_;
    return attachments_replay(dp->attachments, payload, size, error);
}

static int
open_journal(struct dataplane *dp, struct error *error)
{
    char *path = xasprintf("%s/journal", dp->config->state_dir);
    struct journal_report report = { .n_records = 0 };
    int code = journal_open(path, replay, dp, &dp->journal, &report, error);

    if (!code) {
        VLOG_INFO("%s: %"PRIuSIZE" records", path, report.n_records);
        if (report.lost_bytes) {
            VLOG_ERR("%s: the last %"PRIuSIZE" bytes were torn or corrupt%s%s", path, report.lost_bytes,
                     report.saved_as ? " and are now in " : "", report.saved_as ? report.saved_as : "");
        }
        free(report.saved_as);
        code = attachments_recover(dp->attachments, time_wall_msec(), error);
        code = code ? error_wrap(error, "%s", path) : 0;
    }
    free(path);
    return code;
}

static void
connect_ovs(struct dataplane *dp)
{
    char *target = xasprintf("unix:%s/br-int.mgmt", dp->config->ovs_rundir);
    dp->ovsdb = ovsdb_create(dp->config->ovsdb);
    dp->ofctrl = ofctrl_create(target);
    dp->pinctrl = pinctrl_create(dp->ofctrl);
    dp->policy_log = policy_log_create(dp);
    dp->health = health_create();
    health_set_healthz(dp->health, &dp->config->healthz_addr, dp->config->healthz_port);
    dp->hostnet = hostnet_create(dp->config->state_dir, dp->config->uplink);
    dp->tnl_neigh = tnl_neigh_create(dp->config->ovs_rundir);
    dataplane_domain_init_(dp);
    free(target);
}

static int
start(struct dataplane *dp, struct error *error)
{
    char boot_id[64];
    int code = read_boot_id(boot_id, sizeof boot_id, error);

    if (code) {
        return code;
    }
    create_ipam(dp, boot_id);
    code = open_journal(dp, error);
    if (code) {
        return code;
    }
    dp->compact_at = 0;                 /* At the first turn: what was read is far more than what must be kept. */
    code = dataplane_clear_links_(dp, error);
    if (code) {
        return error_wrap(error, "cannot clear up what a dead sluiced left");
    }
    connect_ovs(dp);
    dp->workers = workers_create(N_WORKERS);
    return dataplane_listen_(dp, error);
}

int
dataplane_create(const struct config *config, struct store *store, struct dataplane **dpp, struct error *error)
{
    struct dataplane *dp = xzalloc(sizeof *dp);

    dp->config = config;
    dp->store = store;
    dp->endpoints = endpoints_create();
    dataplane_policy_init_(dp);
    dataplane_service_init_(dp);
    hmap_init(&dp->requests);
    hmap_init(&dp->watches);
    sset_init(&dp->peers);
    shash_init(&dp->peer_problems);
    ovs_list_init(&dp->trash);
    ovs_list_init(&dp->emptying);
    ovs_list_init(&dp->reports);
    dp->spool_inotify = -1;
    dp->base_version = 1;
    dp->peers_core = peers_create(config->node);
    dp->not_ready = xstrdup("sluiced is starting");

    int code = start(dp, error);
    if (code) {
        dataplane_destroy(dp);
        return code;
    }
    *dpp = dp;
    return 0;
}

static void
free_lists(struct dataplane *dp)
{
    struct dataplane_report *report;
    while ((report = dataplane_pop_report(dp))) {
        dataplane_report_destroy(report);
    }
    struct watch *w;
    HMAP_FOR_EACH_POP (w, node, &dp->watches) {
        free(w->owner);
        free(w);
    }
    struct trash *trash;
    ovs_list_push_back_all(&dp->trash, &dp->emptying);
    LIST_FOR_EACH_POP (trash, node, &dp->trash) {
        free(trash);
    }
}

void
dataplane_destroy(struct dataplane *dp)
{
    if (!dp) {
        return;
    }
    dataplane_unlisten_(dp);
    workers_destroy(dp->workers);
    if (dp->ovsdb) {
        dataplane_domain_destroy_(dp);
        ovsdb_destroy(dp->ovsdb);
        policy_log_destroy(dp->policy_log);
        health_destroy(dp->health);
        pinctrl_destroy(dp->pinctrl);
        ofctrl_destroy(dp->ofctrl);
        hostnet_destroy(dp->hostnet);
        tnl_neigh_destroy(dp->tnl_neigh);
    }
    if (dp->journal) {
        journal_close(dp->journal);
    }
    attachments_destroy(dp->attachments);
    if (dp->ipam) {
        ipam_destroy(dp->ipam);
    }
    dataplane_policy_destroy_(dp);
    dataplane_service_destroy_(dp);
    endpoints_destroy(dp->endpoints);
    free_lists(dp);
    hmap_destroy(&dp->requests);
    hmap_destroy(&dp->watches);
    peers_destroy(dp->peers_core);
    sset_destroy(&dp->peers);
    shash_destroy_free_data(&dp->peer_problems);
    free(dp->journal_problem);
    free(dp->facts_problem);
    free(dp->datapath_why);
    free(dp->not_ready);
    free(dp);
}

void
dataplane_reconfigure(struct dataplane *dp, const struct config *config)
{
    struct ipam_config ipam = { .quarantine_ms = config->quarantine_ms, .reserve = config->reserve,
                                .n_reserve = config->n_reserve };
    dp->config = config;
    ipam_configure(dp->ipam, &ipam);
    dataplane_policy_reconfigure_(dp);
    health_set_healthz(dp->health, &config->healthz_addr, config->healthz_port);
    dp->facts_seen = false;             /* Look again. */
}

/* Readiness: one state for CNI STATUS, "sluicectl status" and systemd. ------------------------------------------- */

/* The first reason why what has been declared may not be in force, or NULL.  '*limited': pods that run may be affected too. */
static char *
find_dataplane_reason(const struct dataplane *dp, const char *source_why_not, bool *limited)
{
    const struct of_state *of = ofctrl_state(dp->ofctrl);
    const char *problem = ovsdb_problem(dp->ovsdb);
    const char *hostnet = hostnet_problem(dp->hostnet);

    *limited = false;
    if (source_why_not) {
        return xstrdup(source_why_not);
    } else if (dp->facts_problem) {
        return xstrdup(dp->facts_problem);
    }
    *limited = true;
    if (!ovsdb_is_connected(dp->ovsdb)) {
        return xasprintf("waiting for the database of Open vSwitch at %s", dp->config->ovsdb);
    } else if (problem) {
        return xasprintf("Open vSwitch: %s", problem);
    } else if (!ovsdb_base_ready(dp->ovsdb)) {
        return xstrdup("waiting for ovs-vswitchd to carry out the configuration of br-int");
    } else if (!ofctrl_is_connected(dp->ofctrl)) {
        return xasprintf("waiting for ovs-vswitchd at %s/br-int.mgmt", dp->config->ovs_rundir);
    } else if (of_state_acked(of) < dp->base_version) {
        return xstrdup("waiting for ovs-vswitchd to take the flows");
    }
    *limited = false;
    if (!hostnet_ready(dp->hostnet)) {
        return xasprintf("host network: %s", hostnet ? hostnet : "not yet as it must be");
    }
    return NULL;
}

/* The same, or why nothing can be added. */
static char *
find_reason(const struct dataplane *dp, const char *source_why_not, bool *limited)
{
    char *reason = find_dataplane_reason(dp, source_why_not, limited);
    const struct kube_node *node = dataplane_own_node_(dp);

    health_set_node(dp->health, !reason, !node || !node->going);
    return reason || !dp->journal_problem ? reason : xasprintf("journal: %s", dp->journal_problem);
}

static void
update_readiness(struct dataplane *dp, const char *source_why_not)
{
    char *reason = find_reason(dp, source_why_not, &dp->limited);
    if (nullable_string_is_equal(reason, dp->not_ready)) {
        free(reason);
        return;
    }
    if (reason) {
        VLOG_INFO("not ready: %s", reason);
    } else {
        VLOG_INFO("ready");
    }
    free(dp->not_ready);
    dp->not_ready = reason;
    /* A journal that could not be written is found out to work again only by writing it. */
    attachments_set_ready(dp->attachments, dp->journal_problem ? NULL : reason, time_wall_msec());
}

const char *
dataplane_not_ready(const struct dataplane *dp, bool *limited)
{
    if (limited) {
        *limited = dp->limited;
    }
    return dp->not_ready;
}

bool
dataplane_realized(const struct dataplane *dp)
{
    struct of_state_stats stats;
    of_state_get_stats(ofctrl_state(dp->ofctrl), &stats);
    return (!dp->not_ready && stats.synced && hmap_is_empty(&dp->watches) && tnl_neigh_is_settled(dp->tnl_neigh)
            && hostnet_is_settled(dp->hostnet) && !attachments_count(dp->attachments, ATTACHMENT_ADDING)
            && !attachments_count(dp->attachments, ATTACHMENT_WAITING));
}

/* The main loop. ------------------------------------------------------------------------------------------------- */

/* The one consumer of the store's list of changes: whoever follows a kind has its line here. */
static void
run_changes(struct dataplane *dp)
{
    struct store_key key;
    while (store_pop_change(dp->store, &key)) {
        endpoints_follow(dp->endpoints, dp->store, &key);
        dataplane_policy_changed_(dp, &key);
        dataplane_service_changed_(dp, &key);
        if (key.kind == KUBE_NODE) {
            dataplane_node_changed_(dp, key.name);
        } else if (key.kind == KUBE_POD) {
            dataplane_pod_changed_(dp, key.namespace_, key.name);
        }
        store_key_destroy(&key);
    }
    dataplane_policy_run_(dp);
    dataplane_service_run_(dp);
}

/* Flows and ports that nobody declares are gone once everything else is in place. */
static void
acknowledge_old(struct dataplane *dp)
{
    if (!dp->clean && !dp->not_ready) {
        struct of_state_stats stats;
        of_state_get_stats(ofctrl_state(dp->ofctrl), &stats);
        if (stats.synced) {
            dp->clean = true;
            attachments_dataplane_clean(dp->attachments);
        }
    }
}

void
dataplane_set_declares_pods(struct dataplane *dp, bool declares_pods)
{
    dp->declares_pods = declares_pods;
    attachments_set_declares_pods(dp->attachments, declares_pods, time_wall_msec());
}

void
dataplane_run(struct dataplane *dp, const char *source_why_not)
{
    dp->sources_synced = !source_why_not;
    run_changes(dp);
    ovsdb_run(dp->ovsdb);
    ofctrl_run(dp->ofctrl);
    dataplane_node_run_(dp);
    tnl_neigh_run(dp->tnl_neigh);
    update_readiness(dp, source_why_not);
    acknowledge_old(dp);
    dataplane_link_run_(dp);
    dataplane_cni_run_(dp);
    dataplane_pod_run_(dp);
    if (dataplane_pod_effects_(dp)) {   /* Off with them, before anyone waits. */
        dataplane_policy_run_(dp);
        dataplane_service_run_(dp);
        ofctrl_run(dp->ofctrl);
        ovsdb_run(dp->ovsdb);
    }
    dataplane_domain_run_(dp);
    policy_log_run(dp->policy_log);
    health_run(dp->health);
    dataplane_report_refused_(dp);
    dataplane_service_flush_(dp);
    dataplane_report_policies_(dp);
    dataplane_service_report_(dp);
}

void
dataplane_wait(struct dataplane *dp)
{
    ovsdb_wait(dp->ovsdb);
    ofctrl_wait(dp->ofctrl);
    dataplane_node_wait_(dp);
    tnl_neigh_wait(dp->tnl_neigh);
    dataplane_link_wait_(dp);
    dataplane_cni_wait_(dp);
    dataplane_pod_wait_(dp);
    dataplane_domain_wait_(dp);
    dataplane_report_wait_(dp);
    dataplane_service_wait_(dp);
    policy_log_wait(dp->policy_log);
    health_wait(dp->health);
}

/* Cleaning up. --------------------------------------------------------------------------------------------------- */

#define CLEANUP_TIMEOUT_MS 30000

static int
remove_from_ovs(const struct config *config, struct error *error)
{
    struct ovsdb *ovsdb = ovsdb_create(config->ovsdb);
    long long int deadline = time_msec() + CLEANUP_TIMEOUT_MS;

    ovsdb_remove_all(ovsdb);
    for (;;) {
        ovsdb_run(ovsdb);
        if (ovsdb_all_removed(ovsdb) || time_msec() >= deadline) {
            break;
        }
        ovsdb_wait(ovsdb);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    bool removed = ovsdb_all_removed(ovsdb);
    ovsdb_destroy(ovsdb);
    return removed ? 0 : error_set(error, ETIMEDOUT, "Open vSwitch at %s did not remove our bridges in %d s; is it "
                                   "running?", config->ovsdb, CLEANUP_TIMEOUT_MS / 1000);
}

static void
trash_link(const char *host_name, void *aux OVS_UNUSED)
{
    pod_link_trash(host_name, NULL);
}

int
dataplane_cleanup(const struct config *config, struct error *error)
{
    int code = hostnet_restore_uplink(config->state_dir, DATAPLANE_UPLINK_BRIDGE, error);
    code = code ? code : remove_from_ovs(config, error);
    code = code ? code : hostnet_remove_rules(error);
    code = code ? code : pod_link_for_each(trash_link, NULL, error);
    return code ? code : pod_link_empty_trash(error);
}
