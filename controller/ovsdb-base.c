#include <config.h>

#include "ovsdb-internal.h"

#include "lib/ovsdb-idl.h"
#include "openvswitch/ofp-protocol.h"
#include "flows/pipeline.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

/* br-int, br-uplink and the fixed ports: at most this many. */
#define MAX_FIXED 5

/* A fixed port of a bridge, with the memory that its description refers to. */
struct fixed_port {
    const char *bridge;
    struct ovsdb_row_port row;
    struct smap options, ids;
    char mac[ETH_ADDR_STRLEN + 1];
};

static char *
xstrdup_nullable(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

struct ovsdb_base *
ovsdb_base_clone(const struct ovsdb_base *base)
{
    struct ovsdb_base *copy = xmemdup(base, sizeof *base);
    copy->bridge = xstrdup(base->bridge);
    copy->gateway = xstrdup(base->gateway);
    copy->tunnel_name = xstrdup_nullable(base->tunnel_name);
    copy->uplink_bridge = xstrdup_nullable(base->uplink_bridge);
    copy->uplink = xstrdup_nullable(base->uplink);
    return copy;
}

bool
ovsdb_base_equals(const struct ovsdb_base *a, const struct ovsdb_base *b)
{
    return (!strcmp(a->bridge, b->bridge) && a->datapath == b->datapath && !strcmp(a->gateway, b->gateway)
            && eth_addr_equals(a->gateway_mac, b->gateway_mac) && a->gateway_mtu == b->gateway_mtu
            && a->tunnel == b->tunnel && nullable_string_is_equal(a->tunnel_name, b->tunnel_name)
            && nullable_string_is_equal(a->uplink_bridge, b->uplink_bridge)
            && nullable_string_is_equal(a->uplink, b->uplink) && eth_addr_equals(a->uplink_mac, b->uplink_mac));
}

void
ovsdb_base_destroy(struct ovsdb_base *base)
{
    if (base) {
        free(CONST_CAST(char *, base->bridge));
        free(CONST_CAST(char *, base->gateway));
        free(CONST_CAST(char *, base->tunnel_name));
        free(CONST_CAST(char *, base->uplink_bridge));
        free(CONST_CAST(char *, base->uplink));
        free(base);
    }
}

/* The fixed ports. ------------------------------------------------------------------------------------------------ */

static struct fixed_port *
fixed_add(struct fixed_port ports[MAX_FIXED], size_t *n, const char *bridge, const char *name, const char *type)
{
    struct fixed_port *port = &ports[(*n)++];
    smap_init(&port->options);
    smap_init(&port->ids);
    smap_add(&port->ids, OVSDB_OWNER_KEY, OVSDB_OWNER);
    port->bridge = bridge;
    port->row = (struct ovsdb_row_port) {
        .name = name, .type = type, .options = &port->options, .external_ids = &port->ids,
    };
    return port;
}

static void
fixed_set_mac(struct fixed_port *port, const struct eth_addr *mac)
{
    snprintf(port->mac, sizeof port->mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(*mac));
    port->row.mac = port->mac;
}

/* One port for all peers: the flows choose the destination (set_field of tun_dst and tun_id).  Outer checksums are
 * nearly free where the kernel and the NIC do them and expensive where ovs-vswitchd has to add up each byte. */
static void
fixed_add_tunnel(struct fixed_port ports[MAX_FIXED], size_t *n, const struct ovsdb_base *base)
{
    struct fixed_port *port = fixed_add(ports, n, base->bridge, base->tunnel_name,
                                        base->tunnel == ENCAP_VXLAN ? "vxlan" : "geneve");
    port->row.ofport = OFPORT_TUNNEL;
    smap_add(&port->options, "remote_ip", "flow");
    smap_add(&port->options, "key", "flow");
    smap_add(&port->options, "df_default", "true");
    smap_add(&port->options, "csum", base->datapath == DATAPATH_KERNEL ? "true" : "false");
}

static size_t
fixed_ports(const struct ovsdb_base *base, struct fixed_port ports[MAX_FIXED])
{
    size_t n = 0;

    fixed_add(ports, &n, base->bridge, base->bridge, "internal");
    struct fixed_port *gateway = fixed_add(ports, &n, base->bridge, base->gateway, "internal");
    gateway->row.ofport = OFPORT_GATEWAY;
    gateway->row.mtu = base->gateway_mtu;
    fixed_set_mac(gateway, &base->gateway_mac);
    if (base->tunnel != ENCAP_NONE) {
        fixed_add_tunnel(ports, &n, base);
    }
    if (base->uplink_bridge) {
        fixed_add(ports, &n, base->uplink_bridge, base->uplink_bridge, "internal");
        fixed_add(ports, &n, base->uplink_bridge, base->uplink,
                  base->datapath == DATAPATH_AFXDP ? "afxdp-nonpmd" : "");
    }
    return n;
}

static void
fixed_destroy(struct fixed_port *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        smap_destroy(&ports[i].options);
        smap_destroy(&ports[i].ids);
    }
}

bool
ovsdb_base_holds(const struct ovsdb_base *base, const char *name)
{
    return (base && (!strcmp(name, base->bridge) || !strcmp(name, base->gateway)
                     || (base->tunnel != ENCAP_NONE && !strcmp(name, base->tunnel_name))
                     || (base->uplink_bridge
                         && (!strcmp(name, base->uplink_bridge) || !strcmp(name, base->uplink)))));
}

/* The bridges. ---------------------------------------------------------------------------------------------------- */

/* Sets keys of other_config and leaves the others to the operator. */
static void
bridge_set_config(const struct ovsrec_bridge *bridge, const struct smap *want)
{
    struct smap config;
    smap_clone(&config, &bridge->other_config);
    const struct smap_node *node;
    SMAP_FOR_EACH (node, want) {
        smap_replace(&config, node->key, node->value);
    }
    ovsrec_bridge_set_other_config(bridge, &config);
    smap_destroy(&config);
}

/* The row of bridge 'name', inserted if it is not there; NULL if it is someone else's. */
static const struct ovsrec_bridge *
bridge_get(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn, const struct ovsrec_open_vswitch *root, const char *name)
{
    const struct ovsrec_bridge *bridge = ovsdb_find_bridge(ovsdb, name);
    if (!bridge) {
        bridge = ovsrec_bridge_insert(txn);
        ovsrec_bridge_set_name(bridge, name);
        struct smap ids = SMAP_CONST1(&ids, OVSDB_OWNER_KEY, OVSDB_OWNER);
        ovsrec_bridge_set_external_ids(bridge, &ids);
        ovsrec_open_vswitch_update_bridges_addvalue(root, bridge);
    } else if (!ovsdb_is_ours(&bridge->external_ids)) {
        if (!ovsdb->base_problem) {
            ovsdb->base_problem = xasprintf("bridge %s belongs to %s (no external_ids:%s=%s): remove it (ovs-vsctl "
                                            "del-br %s) if nothing needs it", name,
                                            smap_get_def(&bridge->external_ids, OVSDB_OWNER_KEY, "someone else"),
                                            OVSDB_OWNER_KEY, OVSDB_OWNER, name);
        }
        return NULL;
    }
    return bridge;
}

static const char *
datapath_type(const struct ovsdb_base *base)
{
    return base->datapath == DATAPATH_KERNEL ? "system" : "netdev";
}

/* The names that "ovs-ofctl dump-flows --names" and ovs-vsctl show. */
static const struct {
    int64_t number;
    const char *name;
} tables[] = {
#define TABLE(NUMBER, NAME, DECIDES) { NUMBER, #NAME },
    PIPELINE
#undef TABLE
};

static bool
bridge_has_tables(const struct ovsrec_bridge *bridge)
{
    if (bridge->n_flow_tables != ARRAY_SIZE(tables)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        if (bridge->key_flow_tables[i] != tables[i].number
            || !nullable_string_is_equal(bridge->value_flow_tables[i]->name, tables[i].name)) {
            return false;               /* Both are sorted by number. */
        }
    }
    return true;
}

static void
bridge_write_tables(const struct ovsrec_bridge *bridge, struct ovsdb_idl_txn *txn)
{
    int64_t keys[ARRAY_SIZE(tables)];
    struct ovsrec_flow_table *rows[ARRAY_SIZE(tables)];

    if (!bridge_has_tables(bridge)) {
        for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
            keys[i] = tables[i].number;
            rows[i] = ovsrec_flow_table_insert(txn);
            ovsrec_flow_table_set_name(rows[i], tables[i].name);
        }
        ovsrec_bridge_set_flow_tables(bridge, keys, rows, ARRAY_SIZE(tables));
    }
}

static void
bridge_write_int(const struct ovsdb_base *base, const struct ovsrec_bridge *bridge)
{
    const char *protocol = "OpenFlow15";
    struct smap config = SMAP_CONST1(&config, "disable-in-band", "true");

    ovsrec_bridge_set_datapath_type(bridge, datapath_type(base));
    ovsrec_bridge_set_fail_mode(bridge, "secure");
    ovsrec_bridge_set_protocols(bridge, &protocol, 1);
    ovsrec_bridge_set_mcast_snooping_enable(bridge, false);
    bridge_set_config(bridge, &config);
}

/* The bridge between the uplink and the node's own stack.  It has exactly two ports and no controller, so
 * fail_mode=standalone makes ovs-vswitchd itself put in the one flow "actions=NORMAL", and with two ports NORMAL is a
 * wire: what comes in by one can only leave by the other, nothing is ever flooded further.  That is worth more than
 * two flows of our own: the wire is there at the moment when ovs-vswitchd starts, whether or not sluiced runs, and a
 * node that lost its daemon stays reachable.  Two things make it a true wire: MAC learning is off for untagged frames
 * (flood_vlans=0), or a frame from outside with the node's own source address would cut the node off; and link-local
 * control frames (LLDP) pass (forward-bpdu). */
static void
bridge_write_uplink(const struct ovsdb_base *base, const struct ovsrec_bridge *bridge)
{
    char mac[ETH_ADDR_STRLEN + 1];
    const int64_t untagged = 0;
    struct smap config = SMAP_INITIALIZER(&config);

    snprintf(mac, sizeof mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(base->uplink_mac));
    smap_add(&config, "disable-in-band", "true");
    smap_add(&config, "hwaddr", mac);
    smap_add(&config, "forward-bpdu", "true");
    ovsrec_bridge_set_datapath_type(bridge, datapath_type(base));
    ovsrec_bridge_set_fail_mode(bridge, "standalone");
    ovsrec_bridge_set_flood_vlans(bridge, &untagged, 1);
    ovsrec_bridge_set_mcast_snooping_enable(bridge, false);
    bridge_set_config(bridge, &config);
    smap_destroy(&config);
}

static bool
bridge_has_port(const struct ovsrec_bridge *bridge, const char *name)
{
    for (size_t i = 0; i < bridge->n_ports; i++) {
        if (!strcmp(bridge->ports[i]->name, name)) {
            return true;
        }
    }
    return false;
}

static void
bridge_write_ports(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn, const struct ovsrec_bridge *bridge,
                   const char *bridge_name, const struct fixed_port *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(ports[i].bridge, bridge_name)) {
            char *foreign = ovsdb_port_foreign(ovsdb, ports[i].row.name);
            if (!foreign) {
                ovsdb_row_write(ovsdb, txn, bridge, &ports[i].row, bridge_has_port(bridge, ports[i].row.name));
            } else if (!ovsdb->base_problem) {
                ovsdb->base_problem = foreign;
                continue;
            }
            free(foreign);
        }
    }
}

void
ovsdb_base_write(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn)
{
    const struct ovsdb_base *base = ovsdb->base;
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    struct fixed_port ports[MAX_FIXED];
    size_t n = fixed_ports(base, ports);

    free(ovsdb->base_problem);
    ovsdb->base_problem = NULL;
    if (!root) {
        root = ovsrec_open_vswitch_insert(txn);         /* Nobody has run "ovs-vsctl init" on this database. */
    }
    const struct ovsrec_bridge *bridge = bridge_get(ovsdb, txn, root, base->bridge);
    if (bridge) {
        bridge_write_int(base, bridge);
        bridge_write_tables(bridge, txn);
        bridge_write_ports(ovsdb, txn, bridge, base->bridge, ports, n);
    }
    if (base->uplink_bridge) {
        bridge = bridge_get(ovsdb, txn, root, base->uplink_bridge);
        if (bridge) {
            bridge_write_uplink(base, bridge);
            bridge_write_ports(ovsdb, txn, bridge, base->uplink_bridge, ports, n);
        }
    }
    if (base->datapath != DATAPATH_KERNEL) {
        ovsdb_conntrack_write(root, txn);
    }
    if (ovsdb->started) {
        ovsdb_base_remove(ovsdb, txn);
    }
    ovsdb_idl_txn_increment(txn, &root->header_, &ovsrec_open_vswitch_col_next_cfg, false);
    fixed_destroy(ports, n);
}

void
ovsdb_base_remove(struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    const struct ovsdb_base *base = ovsdb->base;
    if (!root) {
        return;
    }
    bool any = false;
    for (size_t i = 0; i < root->n_bridges; i++) {
        const struct ovsrec_bridge *bridge = root->bridges[i];
        bool wanted = base && (!strcmp(bridge->name, base->bridge)
                               || (base->uplink_bridge && !strcmp(bridge->name, base->uplink_bridge)));
        if (!wanted && ovsdb_is_ours(&bridge->external_ids)) {
            ovsrec_open_vswitch_update_bridges_delvalue(root, bridge);
            any = true;
        }
    }
    if (!base) {
        ovsdb_conntrack_remove(root);
    }
    if (any && !base) {
        ovsdb_idl_txn_increment(txn, &root->header_, &ovsrec_open_vswitch_col_next_cfg, false);
    }
}

/* What ovs-vswitchd made of it. ----------------------------------------------------------------------------------- */

bool
ovsdb_base_removed(const struct ovsdb *ovsdb)
{
    const struct ovsrec_open_vswitch *root = ovsdb_root(ovsdb);
    for (size_t i = 0; root && i < root->n_bridges; i++) {
        if (ovsdb_is_ours(&root->bridges[i]->external_ids)) {
            return false;
        }
    }
    return true;
}

bool
ovsdb_base_up(const struct ovsdb *ovsdb, char **error)
{
    struct fixed_port ports[MAX_FIXED];
    size_t n = fixed_ports(ovsdb->base, ports);
    bool up = true;

    *error = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct ovsrec_interface *iface = ovsdb_find_iface(ovsdb, ports[i].row.name);
        if (!iface || !iface->n_ofport || *iface->ofport < 0
            || (ports[i].row.ofport && *iface->ofport != ports[i].row.ofport)) {
            up = false;
        }
        if (iface && iface->error && !*error) {
            *error = xasprintf("ovs-vswitchd cannot use port %s of bridge %s: %s", iface->name, ports[i].bridge,
                               iface->error);
            up = false;
        }
    }
    fixed_destroy(ports, n);
    return up;
}
