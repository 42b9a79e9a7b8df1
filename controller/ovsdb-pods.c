#include <config.h>

#include "ovsdb-internal.h"

#include "flow.h"
#include "lib/ovsdb-idl.h"
#include "smap.h"
#include "sset.h"
#include "util.h"

static void pod_touch(struct ovsdb *, struct ovsdb_pod *);
static void pod_refresh(struct ovsdb *, struct ovsdb_pod *);

/* The declared ports. --------------------------------------------------------------------------------------------- */

void
ovsdb_pod_destroy(struct ovsdb_pod *pod)
{
    if (pod) {
        ovs_list_remove(&pod->dirty_node);
        ovsdb_port_free(&pod->want);
        free(pod->error);
        free(pod->refused);
        free(pod);
    }
}

static void
pod_touch(struct ovsdb *ovsdb, struct ovsdb_pod *pod)
{
    ovs_list_remove(&pod->dirty_node);
    ovs_list_push_back(&ovsdb->dirty_pods, &pod->dirty_node);
    pod->stale = true;
}

static void
touch_name(struct ovsdb *ovsdb, const char *name)
{
    struct ovsdb_pod *pod = shash_find_data(&ovsdb->pods, name);
    if (pod) {
        pod_touch(ovsdb, pod);
    }
}

void
ovsdb_pods_touch_all(struct ovsdb *ovsdb)
{
    struct shash_node *node;
    SHASH_FOR_EACH (node, &ovsdb->pods) {
        pod_touch(ovsdb, node->data);
    }
    ovsdb->scan = true;
}

void
ovsdb_pods_track(struct ovsdb *ovsdb)
{
    const struct ovsrec_interface *iface;
    const struct ovsrec_port *port;

    OVSREC_INTERFACE_FOR_EACH_TRACKED (iface, ovsdb->idl) {
        touch_name(ovsdb, iface->name);
    }
    OVSREC_PORT_FOR_EACH_TRACKED (port, ovsdb->idl) {
        touch_name(ovsdb, port->name);
        ovsdb->scan = true;
    }
    ovsdb->scan |= ovsrec_bridge_track_get_first(ovsdb->idl) != NULL;
    ovsdb_idl_track_clear(ovsdb->idl);
}

void
ovsdb_port_set(struct ovsdb *ovsdb, const struct ovsdb_port *port)
{
    struct ovsdb_pod *pod = shash_find_data(&ovsdb->pods, port->name);
    if (pod && !pod->refused && ovsdb_port_equals(&pod->want, port)) {
        return;
    }
    struct ovsdb_port want;
    ovsdb_port_copy(&want, port);
    if (!pod) {
        pod = xzalloc(sizeof *pod);
        ovs_list_init(&pod->dirty_node);
        shash_add(&ovsdb->pods, port->name, pod);
    } else {
        ovsdb_port_free(&pod->want);
        free(pod->refused);
    }
    pod->want = want;
    pod->in_txn = false;
    pod->refused = ovsdb_port_problem(ovsdb, &want);
    ovsdb->pending = true;
    pod_touch(ovsdb, pod);
    pod_refresh(ovsdb, pod);
}

void
ovsdb_port_remove(struct ovsdb *ovsdb, const char *name)
{
    struct ovsdb_pod *pod = shash_find_and_delete(&ovsdb->pods, name);
    if (pod) {
        ovsdb_pod_destroy(pod);
        ovsdb->pending = ovsdb->scan = true;
        ovsdb->seqno++;
    }
}

/* The difference. ------------------------------------------------------------------------------------------------- */

/* True if the row of the pod's interface is as it must be. */
static bool
pod_matches(const struct ovsdb *ovsdb, const struct ovsdb_pod *pod, const struct ovsrec_interface *iface)
{
    struct smap ids, options;
    struct ovsdb_row_port row;
    ovsdb_pod_row(ovsdb, pod, &ids, &options, &row);
    bool matches = ovsdb_row_matches(iface, &row);
    smap_destroy(&ids);
    smap_destroy(&options);
    return matches;
}

static bool
pod_write(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn, const struct ovsrec_bridge *bridge, struct ovsdb_pod *pod,
          bool member)
{
    const struct ovsrec_interface *iface = ovsdb_find_iface(ovsdb, pod->want.name);
    char *foreign = ovsdb_port_foreign(ovsdb, pod->want.name);
    free(foreign);
    if (foreign || (member && iface && pod_matches(ovsdb, pod, iface))) {
        return false;
    }
    struct smap ids, options;
    struct ovsdb_row_port row;
    ovsdb_pod_row(ovsdb, pod, &ids, &options, &row);
    ovsdb_row_write(ovsdb, txn, bridge, &row, member);
    smap_destroy(&ids);
    smap_destroy(&options);
    return true;
}

/* Takes our ports that nobody declared out of 'bridge', and those in a wrong bridge; collects the names of the rest. */
static bool
remove_unwanted(struct ovsdb *ovsdb, const struct ovsrec_bridge *bridge, bool right_bridge, struct sset *members)
{
    bool any = false;
    for (size_t i = 0; i < bridge->n_ports; i++) {
        const struct ovsrec_port *port = bridge->ports[i];
        bool declared = right_bridge && shash_find(&ovsdb->pods, port->name);
        if (ovsdb_is_ours(&port->external_ids) && !declared && !ovsdb_base_holds(ovsdb->base, port->name)
            && ovsdb->started) {
            ovsrec_bridge_update_ports_delvalue(bridge, port);
            any = true;
        } else if (right_bridge) {
            sset_add(members, port->name);
        }
    }
    return any;
}

/* Puts the pod into the transaction if it needs that and there is room. */
static void
consider(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn, const struct ovsrec_bridge *bridge, struct ovsdb_pod *pod,
         bool member)
{
    pod->in_txn = false;
    if (pod->refused) {
        ovs_list_remove(&pod->dirty_node);
        ovs_list_init(&pod->dirty_node);
    } else if (ovsdb->txn_pods < ovsdb->max_pods) {
        pod->in_txn = pod_write(ovsdb, txn, bridge, pod, member);
        ovsdb->txn_pods += pod->in_txn;
        if (!pod->in_txn) {             /* As it must be. */
            ovs_list_remove(&pod->dirty_node);
            ovs_list_init(&pod->dirty_node);
        }
    }
}

/* All pods that are not in the bridge are dirty, whatever was tracked; ports that nobody declared go.  True if one
 * went. */
static bool
scan(struct ovsdb *ovsdb, const struct ovsrec_bridge *bridge, struct sset *members)
{
    const struct ovsrec_bridge *other;
    struct shash_node *node;
    bool removed = false;

    OVSREC_BRIDGE_FOR_EACH (other, ovsdb->idl) {
        removed |= remove_unwanted(ovsdb, other, other == bridge, members);
    }
    SHASH_FOR_EACH (node, &ovsdb->pods) {
        if (!sset_contains(members, node->name)) {
            pod_touch(ovsdb, node->data);
        }
    }
    ovsdb->scan = removed;
    return removed;
}

static bool
is_member(const struct ovsdb *ovsdb, const struct ovsrec_bridge *bridge, const char *name)
{
    const struct ovsrec_port *port = ovsdb_find_port(ovsdb, name);
    for (size_t i = 0; port && i < bridge->n_ports; i++) {
        if (bridge->ports[i] == port) {
            return true;
        }
    }
    return false;
}

void
ovsdb_pods_write(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn)
{
    const struct ovsrec_bridge *bridge = ovsdb_find_bridge(ovsdb, ovsdb->base->bridge);
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    struct sset members = SSET_INITIALIZER(&members);

    ovsdb->txn_pods = 0;
    if (!bridge || !root || !ovsdb_is_ours(&bridge->external_ids)) {
        return;
    }
    bool scanned = ovsdb->scan, removed = scanned && scan(ovsdb, bridge, &members);
    struct ovsdb_pod *pod;
    LIST_FOR_EACH_SAFE (pod, dirty_node, &ovsdb->dirty_pods) {
        const char *name = pod->want.name;
        consider(ovsdb, txn, bridge, pod,
                 scanned ? sset_contains(&members, name) : is_member(ovsdb, bridge, name));
    }
    if (removed || ovsdb->txn_pods) {
        ovsdb_idl_txn_increment(txn, &root->header_, &ovsrec_open_vswitch_col_next_cfg, false);
    }
    sset_destroy(&members);
}

void
ovsdb_pods_written(struct ovsdb *ovsdb, int64_t cfg, const char *error)
{
    struct ovsdb_pod *pod;
    LIST_FOR_EACH (pod, dirty_node, &ovsdb->dirty_pods) {
        if (pod->in_txn) {
            if (!error) {
                pod->cfg = cfg;
            } else if (ovsdb->txn_pods == 1) {
                free(pod->refused);
                pod->refused = xasprintf("the OVS database refused it: %s", error);
            }
            pod->in_txn = false;
            pod->stale = true;
        }
    }
    /* One of many was refused: look for it with smaller transactions, and let them grow again behind it. */
    ovsdb->max_pods = (!error ? (ovsdb->max_pods > SIZE_MAX / 2 ? SIZE_MAX : ovsdb->max_pods * 2)
                       : ovsdb->txn_pods > 1 ? ovsdb->txn_pods / 2 : 1);
    ovsdb->txn_pods = 0;
}

/* States. --------------------------------------------------------------------------------------------------------- */

/* What the snapshot says about the port; '*error' is set with OVSDB_PORT_FAILED. */
static enum ovsdb_port_state
pod_judge(const struct ovsdb *ovsdb, const struct ovsdb_pod *pod, char **error)
{
    if (pod->refused) {
        *error = xstrdup(pod->refused);
        return OVSDB_PORT_FAILED;
    }
    const struct ovsrec_interface *iface = ovsdb_find_iface(ovsdb, pod->want.name);
    *error = ovsdb_port_foreign(ovsdb, pod->want.name);
    if (*error) {
        return OVSDB_PORT_FAILED;
    } else if (!iface || !pod_matches(ovsdb, pod, iface)) {
        return OVSDB_PORT_PENDING;
    } else if (iface->error) {
        *error = xasprintf("ovs-vswitchd cannot use port %s: %s", iface->name, iface->error);
        return OVSDB_PORT_FAILED;
    } else if (!iface->n_ofport || *iface->ofport < 0) {
        return OVSDB_PORT_PENDING;
    } else if (*iface->ofport == ofp_to_u16(pod->want.ofport)) {
        return OVSDB_PORT_UP;
    }
    /* Another number: wrong if ovs-vswitchd has already seen ours. */
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    if (!root || root->cur_cfg < pod->cfg) {
        return OVSDB_PORT_PENDING;
    }
    *error = xasprintf("ovs-vswitchd gave port %s the OpenFlow port %"PRId64" instead of %"PRIu32": another port holds "
                       "it", iface->name, *iface->ofport, (uint32_t) ofp_to_u16(pod->want.ofport));
    return OVSDB_PORT_FAILED;
}

static void
pod_refresh(struct ovsdb *ovsdb, struct ovsdb_pod *pod)
{
    char *error = NULL;
    enum ovsdb_port_state state = pod_judge(ovsdb, pod, &error);
    if (state != pod->state || !nullable_string_is_equal(error, pod->error)) {
        pod->state = state;
        ovsdb->seqno++;
    }
    free(pod->error);
    pod->error = error;
    pod->stale = false;
}

void
ovsdb_pods_refresh(struct ovsdb *ovsdb)
{
    struct shash_node *node;
    SHASH_FOR_EACH (node, &ovsdb->pods) {
        struct ovsdb_pod *pod = node->data;
        if (pod->stale || pod->state == OVSDB_PORT_PENDING) {
            pod_refresh(ovsdb, pod);
        }
    }
}

enum ovsdb_port_state
ovsdb_port_get_state(const struct ovsdb *ovsdb, const char *name)
{
    const struct ovsdb_pod *pod = shash_find_data(&ovsdb->pods, name);
    if (pod) {
        return pod->state;
    } else if (!ovsdb_idl_has_ever_connected(ovsdb->idl)) {
        return OVSDB_PORT_PENDING;
    }
    const struct ovsrec_port *port = ovsdb_find_port(ovsdb, name);
    return port && ovsdb_is_ours(&port->external_ids) ? OVSDB_PORT_PENDING : OVSDB_PORT_GONE;
}

const char *
ovsdb_port_error(const struct ovsdb *ovsdb, const char *name)
{
    const struct ovsdb_pod *pod = shash_find_data(&ovsdb->pods, name);
    return pod ? pod->error : NULL;
}
