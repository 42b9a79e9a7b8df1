#include <config.h>

#include "ovsdb-internal.h"

#include "lib/ovsdb-idl.h"
#include "smap.h"
#include "util.h"

/* Keys in external_ids that are ours to write and to take away; others that stand beside them are kept. */
static const char *const our_keys[] = {
    OVSDB_OWNER_KEY, "container-id", "if-name", "network", "pod-namespace", "pod-name", "pod-uid", "ip-addresses",
};

bool
ovsdb_is_ours(const struct smap *external_ids)
{
    const char *owner = smap_get(external_ids, OVSDB_OWNER_KEY);
    return owner && !strcmp(owner, OVSDB_OWNER);
}

const struct ovsrec_port *
ovsdb_find_port(const struct ovsdb *ovsdb, const char *name)
{
    struct ovsrec_port *key = ovsrec_port_index_init_row(ovsdb->ports_by_name);
    ovsrec_port_index_set_name(key, name);
    const struct ovsrec_port *port = ovsrec_port_index_find(ovsdb->ports_by_name, key);
    ovsrec_port_index_destroy_row(key);
    return port;
}

const struct ovsrec_interface *
ovsdb_find_iface(const struct ovsdb *ovsdb, const char *name)
{
    struct ovsrec_interface *key = ovsrec_interface_index_init_row(ovsdb->ifaces_by_name);
    ovsrec_interface_index_set_name(key, name);
    const struct ovsrec_interface *iface = ovsrec_interface_index_find(ovsdb->ifaces_by_name, key);
    ovsrec_interface_index_destroy_row(key);
    return iface;
}

const struct ovsrec_bridge *
ovsdb_find_bridge(const struct ovsdb *ovsdb, const char *name)
{
    const struct ovsrec_bridge *bridge;
    OVSREC_BRIDGE_FOR_EACH (bridge, ovsdb->idl) {
        if (!strcmp(bridge->name, name)) {
            return bridge;
        }
    }
    return NULL;
}

const struct ovsrec_open_vswitch *
ovsdb_root(const struct ovsdb *ovsdb)
{
    return ovsrec_open_vswitch_first(ovsdb->idl);
}

char *
ovsdb_port_foreign(const struct ovsdb *ovsdb, const char *name)
{
    const struct ovsrec_port *port = ovsdb_find_port(ovsdb, name);
    const struct ovsrec_interface *iface = ovsdb_find_iface(ovsdb, name);
    const struct smap *ids = (port && !ovsdb_is_ours(&port->external_ids) ? &port->external_ids
                              : iface && !ovsdb_is_ours(&iface->external_ids) ? &iface->external_ids : NULL);
    if (!ids) {
        return NULL;
    }
    const char *owner = smap_get_def(ids, OVSDB_OWNER_KEY, "someone else");
    return xasprintf("port %s in the OVS database belongs to %s (no external_ids:%s=%s): remove it there "
                     "(ovs-vsctl del-port %s) if nothing needs it", name, owner, OVSDB_OWNER_KEY, OVSDB_OWNER, name);
}

/* True if our keys in 'ids' are exactly 'want'. */
static bool
ids_match(const struct smap *ids, const struct smap *want)
{
    for (size_t i = 0; i < ARRAY_SIZE(our_keys); i++) {
        const char *a = smap_get(ids, our_keys[i]), *b = smap_get(want, our_keys[i]);
        if (!a != !b || (a && strcmp(a, b))) {
            return false;
        }
    }
    return true;
}

bool
ovsdb_row_matches(const struct ovsrec_interface *iface, const struct ovsdb_row_port *want)
{
    return (!strcmp(iface->type, want->type)
            && (!want->ofport || (iface->n_ofport_request && *iface->ofport_request == want->ofport))
            && (!want->mac || (iface->mac && !strcmp(iface->mac, want->mac)))
            && (!want->mtu || (iface->n_mtu_request && *iface->mtu_request == want->mtu))
            && smap_equal(&iface->options, want->options)
            && ids_match(&iface->external_ids, want->external_ids));
}

static void
iface_write(const struct ovsrec_interface *iface, const struct ovsdb_row_port *want)
{
    ovsrec_interface_set_type(iface, want->type);
    ovsrec_interface_set_options(iface, want->options);
    if (want->ofport) {
        ovsrec_interface_set_ofport_request(iface, &want->ofport, 1);
    }
    if (want->mac) {
        ovsrec_interface_set_mac(iface, want->mac);
    }
    if (want->mtu) {
        ovsrec_interface_set_mtu_request(iface, &want->mtu, 1);
    }

    struct smap ids;
    smap_clone(&ids, &iface->external_ids);
    for (size_t i = 0; i < ARRAY_SIZE(our_keys); i++) {
        smap_remove(&ids, our_keys[i]);
    }
    const struct smap_node *node;
    SMAP_FOR_EACH (node, want->external_ids) {
        smap_replace(&ids, node->key, node->value);
    }
    ovsrec_interface_set_external_ids(iface, &ids);
    smap_destroy(&ids);
}

void
ovsdb_row_write(const struct ovsdb *ovsdb, struct ovsdb_idl_txn *txn, const struct ovsrec_bridge *bridge,
                const struct ovsdb_row_port *want, bool member)
{
    const struct ovsrec_interface *iface = ovsdb_find_iface(ovsdb, want->name);
    const struct ovsrec_port *port = ovsdb_find_port(ovsdb, want->name);

    if (!iface) {
        iface = ovsrec_interface_insert(txn);
        ovsrec_interface_set_name(iface, want->name);
        iface_write(iface, want);
    } else if (!ovsdb_row_matches(iface, want)) {
        iface_write(iface, want);
    }

    if (!port) {
        struct smap ids = SMAP_CONST1(&ids, OVSDB_OWNER_KEY, OVSDB_OWNER);
        port = ovsrec_port_insert(txn);
        ovsrec_port_set_name(port, want->name);
        ovsrec_port_set_external_ids(port, &ids);
        member = false;
    }
    if (port->n_interfaces != 1 || port->interfaces[0] != iface) {
        struct ovsrec_interface *member_iface = CONST_CAST(struct ovsrec_interface *, iface);
        ovsrec_port_set_interfaces(port, &member_iface, 1);
    }
    if (!member) {
        ovsrec_bridge_update_ports_addvalue(bridge, port);
    }
}
