/* How long Open vSwitch's userspace conntrack remembers a closed TCP connection.
 *
 * A pod that closed first remembers a connection for 60 s (TIME_WAIT).  Conntrack sees to it that no two connections of
 * the node to one endpoint, by different ways in to Services, have one source port; but only as long as it knows the
 * first one, and its own default is 30 s.  Then the pod would answer the other's SYN with an ACK of the old connection.
 * The client resets that and tries again, from another port; but conntrack keeps an entry that is half open, and
 * swallows all SYNs from the first port for as long (tcp_syn_recv).  The kernel's conntrack remembers for 120 s, and
 * knows such a reset.
 *
 * Row mapping:  Open_vSwitch.datapaths:netdev -> Datapath.ct_zones:1 -> CT_Zone -> CT_Timeout_Policy.  A Datapath row,
 * which is one for all bridges, may be somebody else's; a zone that somebody else has described is left alone. */

#include <config.h>

#include "ovsdb-internal.h"

#include "flow-input.h"
#include "smap.h"
#include "util.h"

#define DATAPATH "netdev"
#define ZONE FLOW_NETWORK_DEFAULT       /* The only one with Services. */
#define CLOSED 75                       /* Seconds: the kernel's 60, and what its timers are late. */
#define HALF_OPEN 5                     /* Seconds: a lost ACK of a handshake is sent again after one. */

static struct ovsrec_datapath *
find_datapath(const struct ovsrec_open_vswitch *root)
{
    for (size_t i = 0; i < root->n_datapaths; i++) {
        if (!strcmp(root->key_datapaths[i], DATAPATH)) {
            return root->value_datapaths[i];
        }
    }
    return NULL;
}

static struct ovsrec_ct_zone *
find_zone(const struct ovsrec_datapath *datapath)
{
    for (size_t i = 0; i < datapath->n_ct_zones; i++) {
        if (datapath->key_ct_zones[i] == ZONE) {
            return datapath->value_ct_zones[i];
        }
    }
    return NULL;
}

static void
write_policy(const struct ovsrec_ct_zone *zone, struct ovsdb_idl_txn *txn)
{
    const char *keys[] = { "tcp_close", "tcp_syn_recv", "tcp_time_wait" };
    const int64_t values[] = { CLOSED, HALF_OPEN, CLOSED };
    const struct ovsrec_ct_timeout_policy *policy = zone->timeout_policy;

    if (!policy) {
        policy = ovsrec_ct_timeout_policy_insert(txn);
        ovsrec_ct_zone_set_timeout_policy(zone, policy);
    }
    ovsrec_ct_timeout_policy_set_timeouts(policy, keys, values, ARRAY_SIZE(keys));
}

void
ovsdb_conntrack_write(const struct ovsrec_open_vswitch *root, struct ovsdb_idl_txn *txn)
{
    const struct smap ids = SMAP_CONST1(&ids, OVSDB_OWNER_KEY, OVSDB_OWNER);
    const struct ovsrec_datapath *datapath = find_datapath(root);
    struct ovsrec_ct_zone *zone = datapath ? find_zone(datapath) : NULL;

    if (!zone) {
        zone = ovsrec_ct_zone_insert(txn);
        ovsrec_ct_zone_set_external_ids(zone, &ids);
        if (datapath) {
            ovsrec_datapath_update_ct_zones_setkey(datapath, ZONE, zone);
        }
    }
    if (!datapath) {
        const int64_t key = ZONE;
        datapath = ovsrec_datapath_insert(txn);
        ovsrec_datapath_set_external_ids(datapath, &ids);
        ovsrec_datapath_set_ct_zones(datapath, &key, &zone, 1);     /* A new row cannot be changed in part. */
        ovsrec_open_vswitch_update_datapaths_setkey(root, DATAPATH, datapath);
    }
    if (ovsdb_is_ours(&zone->external_ids)) {
        write_policy(zone, txn);
    }
}

void
ovsdb_conntrack_remove(const struct ovsrec_open_vswitch *root)
{
    const struct ovsrec_datapath *datapath = find_datapath(root);
    const struct ovsrec_ct_zone *zone = datapath ? find_zone(datapath) : NULL;

    if (zone && ovsdb_is_ours(&zone->external_ids)) {
        if (ovsdb_is_ours(&datapath->external_ids) && datapath->n_ct_zones == 1) {
            ovsrec_open_vswitch_update_datapaths_delkey(root, DATAPATH);
        } else {
            ovsrec_datapath_update_ct_zones_delkey(datapath, ZONE);
        }
    }
}
