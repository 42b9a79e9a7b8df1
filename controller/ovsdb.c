#include <config.h>

#include "ovsdb.h"
#include "ovsdb-internal.h"

#include <limits.h>

#include "lib/ovsdb-idl.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "socket-watch.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ovsdb);

/* A socket appears a moment before its server listens, so a failed attempt right after is repeated soon; between these
 * limits (ms).  Then the IDL's own back-off (1 to 8 s) goes on alone. */
#define RECONNECT_MIN 10
#define RECONNECT_MAX 1000
/* The database refused a transaction: it is tried again after this time (ms). */
#define RETRY_AFTER_ERROR 1000

static void reconnect_run(struct ovsdb *);
static void txn_run(struct ovsdb *);
static void refresh(struct ovsdb *);
static bool may_reconcile(const struct ovsdb *);

/* Life. ----------------------------------------------------------------------------------------------------------- */

static void
add_columns(struct ovsdb_idl *idl)
{
    static const struct ovsdb_idl_column *const columns[] = {
        &ovsrec_open_vswitch_col_bridges, &ovsrec_open_vswitch_col_next_cfg, &ovsrec_open_vswitch_col_cur_cfg,
        &ovsrec_open_vswitch_col_ovs_version, &ovsrec_open_vswitch_col_iface_types,
        &ovsrec_open_vswitch_col_datapath_types, &ovsrec_open_vswitch_col_datapaths,
        &ovsrec_datapath_col_ct_zones, &ovsrec_datapath_col_external_ids,
        &ovsrec_ct_zone_col_timeout_policy, &ovsrec_ct_zone_col_external_ids, &ovsrec_ct_timeout_policy_col_timeouts,
        &ovsrec_bridge_col_name, &ovsrec_bridge_col_ports, &ovsrec_bridge_col_external_ids,
        &ovsrec_bridge_col_other_config, &ovsrec_bridge_col_fail_mode, &ovsrec_bridge_col_datapath_type,
        &ovsrec_bridge_col_protocols, &ovsrec_bridge_col_flow_tables, &ovsrec_bridge_col_flood_vlans,
        &ovsrec_bridge_col_mcast_snooping_enable,
        &ovsrec_flow_table_col_name,
        &ovsrec_port_col_name, &ovsrec_port_col_interfaces, &ovsrec_port_col_external_ids,
        &ovsrec_interface_col_name, &ovsrec_interface_col_type, &ovsrec_interface_col_options,
        &ovsrec_interface_col_external_ids, &ovsrec_interface_col_ofport, &ovsrec_interface_col_ofport_request,
        &ovsrec_interface_col_error, &ovsrec_interface_col_mac, &ovsrec_interface_col_mtu_request,
    };
    static const struct ovsdb_idl_column *const tracked[] = {
        &ovsrec_bridge_col_name, &ovsrec_bridge_col_ports, &ovsrec_bridge_col_external_ids,
        &ovsrec_port_col_name, &ovsrec_port_col_interfaces, &ovsrec_port_col_external_ids,
        &ovsrec_interface_col_name, &ovsrec_interface_col_type, &ovsrec_interface_col_options,
        &ovsrec_interface_col_external_ids, &ovsrec_interface_col_ofport, &ovsrec_interface_col_ofport_request,
        &ovsrec_interface_col_error,
    };
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        ovsdb_idl_add_column(idl, columns[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tracked); i++) {
        ovsdb_idl_track_add_column(idl, tracked[i]);
    }
    ovsdb_idl_omit_alert(idl, &ovsrec_open_vswitch_col_next_cfg);
    /* So that declaring a whole row sends only what differs. */
    ovsdb_idl_set_write_changed_only_all(idl, true);
}

struct ovsdb *
ovsdb_create(const char *remote)
{
    struct ovsdb *ovsdb = xzalloc(sizeof *ovsdb);
    ovsdb->remote = xstrdup(remote);
    ovsdb->idl = ovsdb_idl_create(remote, &ovsrec_idl_class, false, true);
    add_columns(ovsdb->idl);
    ovsdb->ports_by_name = ovsdb_idl_index_create1(ovsdb->idl, &ovsrec_port_col_name);
    ovsdb->ifaces_by_name = ovsdb_idl_index_create1(ovsdb->idl, &ovsrec_interface_col_name);
    ovsdb->watch = socket_watch_create(remote);
    ovsdb->reconnect_at = LLONG_MAX;
    ovsdb->max_pods = SIZE_MAX;
    shash_init(&ovsdb->pods);
    ovs_list_init(&ovsdb->dirty_pods);
    return ovsdb;
}

void
ovsdb_destroy(struct ovsdb *ovsdb)
{
    if (ovsdb) {
        struct shash_node *node;
        SHASH_FOR_EACH (node, &ovsdb->pods) {
            ovsdb_pod_destroy(node->data);
        }
        shash_destroy(&ovsdb->pods);
        if (ovsdb->txn) {
            ovsdb_idl_txn_destroy(ovsdb->txn);
        }
        ovsdb_idl_destroy(ovsdb->idl);
        socket_watch_destroy(ovsdb->watch);
        ovsdb_base_destroy(ovsdb->base);
        free(ovsdb->base_problem);
        free(ovsdb->txn_problem);
        free(ovsdb->iface_problem);
        free(ovsdb->problem);
        free(ovsdb->remote);
        free(ovsdb);
    }
}

void
ovsdb_run(struct ovsdb *ovsdb)
{
    reconnect_run(ovsdb);
    ovsdb_idl_run(ovsdb->idl);
    unsigned int seqno = ovsdb_idl_get_seqno(ovsdb->idl);
    if (seqno != ovsdb->idl_seqno) {
        ovsdb->idl_seqno = seqno;
        ovsdb->pending = true;
        ovsdb->blocked &= seqno == ovsdb->txn_seqno;
        ovsdb->stale = true;
        ovsdb_pods_track(ovsdb);
    }
    if (ovsdb->was_connected != ovsdb_idl_is_connected(ovsdb->idl)) {
        ovsdb_pods_touch_all(ovsdb);    /* A new snapshot replaces the old one without telling what went. */
        ovsdb->pending = true;
    }
    txn_run(ovsdb);
    if (ovsdb->stale || ovsdb->was_connected != ovsdb_idl_is_connected(ovsdb->idl)) {
        refresh(ovsdb);
    }
}

void
ovsdb_wait(struct ovsdb *ovsdb)
{
    socket_watch_wait(ovsdb->watch);
    ovsdb_idl_wait(ovsdb->idl);
    if (ovsdb->txn) {
        ovsdb_idl_txn_wait(ovsdb->txn);
    } else if (may_reconcile(ovsdb)) {
        if (ovsdb->retry_at) {
            poll_timer_wait_until(ovsdb->retry_at);
        } else {
            poll_immediate_wake();
        }
    }
    if (ovsdb->reconnect_at != LLONG_MAX) {
        poll_timer_wait_until(ovsdb->reconnect_at);
    }
}

/* Tries again at once when the socket appears. */
static void
reconnect_run(struct ovsdb *ovsdb)
{
    if (socket_watch_run(ovsdb->watch)) {
        ovsdb->reconnect_delay = RECONNECT_MIN;
        ovsdb->reconnect_at = time_msec();
    }
    if (ovsdb_idl_is_connected(ovsdb->idl)) {
        ovsdb->reconnect_at = LLONG_MAX;
    } else if (time_msec() >= ovsdb->reconnect_at) {
        /* A new session starts without back-off; the IDL keeps its snapshot.  The remote must differ to count as new.
         * */
        ovsdb_idl_set_remote(ovsdb->idl, NULL, true);
        ovsdb_idl_set_remote(ovsdb->idl, ovsdb->remote, true);
        ovsdb->reconnect_at = (ovsdb->reconnect_delay > RECONNECT_MAX ? LLONG_MAX
                               : time_msec() + ovsdb->reconnect_delay);
        ovsdb->reconnect_delay *= 2;
    }
}

/* Declarations (those of pods are in ovsdb-pods.c). --------------------------------------------------------------- */

void
ovsdb_set_base(struct ovsdb *ovsdb, const struct ovsdb_base *base)
{
    if (ovsdb->base && ovsdb_base_equals(ovsdb->base, base)) {
        return;
    }
    struct ovsdb_base *copy = ovsdb_base_clone(base);
    ovsdb_base_destroy(ovsdb->base);
    ovsdb->base = copy;
    ovsdb->removing = ovsdb->removed = false;
    ovsdb->base_written = false;
    ovsdb->pending = ovsdb->stale = true;
    ovsdb_pods_touch_all(ovsdb);
    ovsdb->seqno++;
}

void
ovsdb_start(struct ovsdb *ovsdb)
{
    ovsdb->started = true;
    ovsdb->pending = ovsdb->scan = true;
}

void
ovsdb_remove_all(struct ovsdb *ovsdb)
{
    struct shash_node *node;
    SHASH_FOR_EACH_SAFE (node, &ovsdb->pods) {
        ovsdb_pod_destroy(node->data);
        shash_delete(&ovsdb->pods, node);
    }
    ovsdb_base_destroy(ovsdb->base);
    ovsdb->base = NULL;
    ovsdb->base_written = false;
    ovsdb->removing = true;
    ovsdb->removed = false;
    ovsdb->pending = true;
    ovsdb->seqno++;
}

/* Transactions: first the bridges with their fixed ports, when they are right the pods. --------------------------- */

static bool
may_reconcile(const struct ovsdb *ovsdb)
{
    return (ovsdb->pending && !ovsdb->blocked && !ovsdb->txn && (ovsdb->base || ovsdb->removing)
            && ovsdb_idl_has_ever_connected(ovsdb->idl) && ovsdb_idl_is_connected(ovsdb->idl));
}

static void
txn_start(struct ovsdb *ovsdb, enum ovsdb_txn_kind kind)
{
    ovsdb->txn = ovsdb_idl_txn_create(ovsdb->idl);
    ovsdb->txn_kind = kind;
    ovsdb->txn_seqno = ovsdb_idl_get_seqno(ovsdb->idl);
    ovsdb->pending = false;
    ovsdb_idl_txn_add_comment(ovsdb->txn, "sluiced");
    if (kind == OVSDB_TXN_REMOVE) {
        ovsdb_base_remove(ovsdb, ovsdb->txn);
    } else if (kind == OVSDB_TXN_BASE) {
        ovsdb_base_write(ovsdb, ovsdb->txn);
    } else {
        ovsdb_pods_write(ovsdb, ovsdb->txn);
    }
}

static void
txn_succeeded(struct ovsdb *ovsdb, bool changed)
{
    int64_t cfg = changed ? ovsdb_idl_txn_get_increment_new_value(ovsdb->txn) : 0;

    free(ovsdb->txn_problem);
    ovsdb->txn_problem = NULL;
    if (ovsdb->txn_kind == OVSDB_TXN_PODS) {
        ovsdb_pods_written(ovsdb, cfg, NULL);
    } else if (changed) {
        ovsdb->base_cfg = cfg;
    }
    if (ovsdb->txn_kind == OVSDB_TXN_BASE) {
        ovsdb->base_written = !changed && !ovsdb->base_problem;
    }
    ovsdb->pending |= changed;
}

static void
txn_failed(struct ovsdb *ovsdb, enum ovsdb_idl_txn_status status)
{
    if (status != TXN_ERROR) {
        ovsdb->blocked = ovsdb->txn_seqno == ovsdb_idl_get_seqno(ovsdb->idl);
    } else {
        const char *error = ovsdb_idl_txn_get_error(ovsdb->txn);
        VLOG_INFO("the OVS database refused a transaction: %s", error);
        if (ovsdb->txn_kind == OVSDB_TXN_PODS && ovsdb->txn_pods) {
            ovsdb_pods_written(ovsdb, 0, error);
        } else {
            free(ovsdb->txn_problem);
            ovsdb->txn_problem = xasprintf("the OVS database at %s refuses what is needed: %s", ovsdb->remote, error);
            ovsdb->retry_at = time_msec() + RETRY_AFTER_ERROR;
        }
    }
    ovsdb->pending = true;
}

/* Commits what is under way.  False: the answer is not here yet. */
static bool
txn_commit(struct ovsdb *ovsdb)
{
    enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(ovsdb->txn);
    if (status == TXN_INCOMPLETE) {
        return false;
    }
    if (status == TXN_SUCCESS || status == TXN_UNCHANGED) {
        txn_succeeded(ovsdb, status == TXN_SUCCESS);
    } else {
        txn_failed(ovsdb, status);
    }
    ovsdb_idl_txn_destroy(ovsdb->txn);
    ovsdb->txn = NULL;
    ovsdb->stale = true;
    return true;
}

static void
txn_run(struct ovsdb *ovsdb)
{
    if (ovsdb->retry_at && time_msec() >= ovsdb->retry_at) {
        ovsdb->retry_at = 0;
    }
    /* The snapshot in memory already has what a transaction changed when its answer comes.  Each round either ends with
     * nothing to change or waits for the server, so this ends. */
    while (ovsdb->txn || (may_reconcile(ovsdb) && !ovsdb->retry_at)) {
        if (!ovsdb->txn) {
            txn_start(ovsdb, ovsdb->removing ? OVSDB_TXN_REMOVE : OVSDB_TXN_BASE);
        }
        if (!txn_commit(ovsdb)) {
            return;
        }
        if (ovsdb->txn_kind == OVSDB_TXN_REMOVE) {
            ovsdb->removed = !ovsdb->pending;
        } else if (ovsdb->txn_kind == OVSDB_TXN_BASE && !ovsdb->pending) {
            txn_start(ovsdb, OVSDB_TXN_PODS);
        }
    }
}

/* Answers. -------------------------------------------------------------------------------------------------------- */

static char *
find_problem(const struct ovsdb *ovsdb)
{
    if (!ovsdb_idl_is_connected(ovsdb->idl)) {
        int error = ovsdb_idl_get_last_error(ovsdb->idl);
        return (error ? xasprintf("no connection to the OVS database at %s (%s): is ovsdb-server running?",
                                  ovsdb->remote, ovs_retval_to_string(error)) : NULL);
    }
    const char *problem = (ovsdb->base_problem ? ovsdb->base_problem
                           : ovsdb->txn_problem ? ovsdb->txn_problem : ovsdb->iface_problem);
    return problem ? xstrdup(problem) : NULL;
}

static void
refresh(struct ovsdb *ovsdb)
{
    free(ovsdb->iface_problem);
    ovsdb->iface_problem = NULL;
    if (ovsdb->base) {
        ovsdb_base_up(ovsdb, &ovsdb->iface_problem);
    }
    ovsdb_pods_refresh(ovsdb);
    free(ovsdb->problem);
    ovsdb->problem = find_problem(ovsdb);
    ovsdb->was_connected = ovsdb_idl_is_connected(ovsdb->idl);
    ovsdb->stale = false;
    ovsdb->seqno++;
}

unsigned int
ovsdb_seqno(const struct ovsdb *ovsdb)
{
    return ovsdb->seqno;
}

bool
ovsdb_is_connected(const struct ovsdb *ovsdb)
{
    return ovsdb_idl_has_ever_connected(ovsdb->idl) && ovsdb_idl_is_connected(ovsdb->idl);
}

bool
ovsdb_base_ready(const struct ovsdb *ovsdb)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    char *error = NULL;
    bool up = (root && ovsdb->base && ovsdb->base_written && root->cur_cfg >= ovsdb->base_cfg
               && ovsdb_base_up(ovsdb, &error));
    free(error);
    return up;
}

bool
ovsdb_all_removed(const struct ovsdb *ovsdb)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    return ovsdb->removed && ovsdb_base_removed(ovsdb) && (!root || root->cur_cfg >= ovsdb->base_cfg);
}

const char *
ovsdb_problem(const struct ovsdb *ovsdb)
{
    return ovsdb->problem;
}

const char *
ovsdb_ovs_version(const struct ovsdb *ovsdb)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    return root ? root->ovs_version : NULL;
}

static bool
contains(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(names[i], name)) {
            return true;
        }
    }
    return false;
}

bool
ovsdb_has_iface_type(const struct ovsdb *ovsdb, const char *type)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    return root && contains(root->iface_types, root->n_iface_types, type);
}

bool
ovsdb_has_datapath_type(const struct ovsdb *ovsdb, const char *type)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    return root && contains(root->datapath_types, root->n_datapath_types, type);
}
