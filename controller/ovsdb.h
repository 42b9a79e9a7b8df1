#ifndef SLUICE_OVSDB_H
#define SLUICE_OVSDB_H 1

/* The Open_vSwitch database: the only module that writes it, through the IDL.
 *
 * Declarative like everything else: the caller says which bridges and ports there must be, this module makes one
 * transaction of the difference, again whenever the database changes under it (someone deleted a port, ovsdb-server
 * came back with an empty database).  It touches only rows that carry external_ids:owner=sluice; a br-int or port of
 * another owner is refused and named in ovsdb_problem().
 *
 * Row mapping (FACTS.md has the times):
 *   br-int     fail_mode=secure, datapath_type, protocols=OpenFlow15, flow tables' names
 *   gateway    type=internal, fixed MAC and ofport_request
 *   tunnel     type=geneve|vxlan, options remote_ip=flow key=flow (and df_default, csum), ofport_request
 *   pod port   ofport_request; external_ids container-id, if-name, network, pod-namespace, pod-name, pod-uid,
 *              ip-addresses, owner; type afxdp-nonpmd where the datapath says so
 *   zone 1     how long conntrack remembers closed TCP connections (CT_Timeout_Policy), for the userspace datapaths
 *   br-uplink  for the userspace datapaths: the uplink's device and the bridge's own port with the uplink's MAC */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inet.h"
#include "openvswitch/types.h"

struct ovsdb;

/* Fixed OpenFlow ports, the same on every node and after every restart.  Pods come behind. */
#define OFPORT_TUNNEL 1
#define OFPORT_GATEWAY 2
#define OFPORT_FIRST_POD 16
#define OFPORT_LAST_POD 0xfe00

enum datapath { DATAPATH_AUTO, DATAPATH_KERNEL, DATAPATH_AFXDP, DATAPATH_USERSPACE };
enum encap { ENCAP_GENEVE, ENCAP_VXLAN, ENCAP_NONE, ENCAP_HYBRID };

struct ovsdb_base {
    const char *bridge;                 /* "br-int". */
    enum datapath datapath;             /* Not DATAPATH_AUTO. */
    const char *gateway;                /* "sluice0". */
    struct eth_addr gateway_mac;
    uint16_t gateway_mtu;
    enum encap tunnel;                  /* ENCAP_GENEVE, ENCAP_VXLAN or, for no tunnel port, ENCAP_NONE. */
    const char *tunnel_name;            /* "sluice-tun". */
    const char *uplink_bridge;          /* "br-uplink"; NULL: the uplink stays where it is. */
    const char *uplink;                 /* The device that goes into it. */
    struct eth_addr uplink_mac;
};

struct ovsdb_port {
    const char *name;                   /* Of the host end: IFNAMSIZ - 1 at most. */
    ofp_port_t ofport;
    const char *container_id, *ifname, *network, *pod_namespace, *pod_name, *pod_uid, *addresses;
};

enum ovsdb_port_state {
    OVSDB_PORT_PENDING,                 /* Not yet in the database, or ovs-vswitchd has not answered. */
    OVSDB_PORT_UP,                      /* ovs-vswitchd reports the wanted ofport. */
    OVSDB_PORT_FAILED,                  /* ovs-vswitchd or the database refused it: see ovsdb_port_error(). */
    OVSDB_PORT_GONE,                    /* Not declared, and not in the database. */
};

struct ovsdb *ovsdb_create(const char *remote);
void ovsdb_destroy(struct ovsdb *);
void ovsdb_run(struct ovsdb *);
void ovsdb_wait(struct ovsdb *);

/* Declares (copies).  Before ovsdb_set_base() nothing is written; before ovsdb_start() no port is removed, because the
 * journal may not have been read yet. */
void ovsdb_set_base(struct ovsdb *, const struct ovsdb_base *);
void ovsdb_port_set(struct ovsdb *, const struct ovsdb_port *);
void ovsdb_port_remove(struct ovsdb *, const char *name);
void ovsdb_start(struct ovsdb *);
/* Takes away everything that is ours, also br-int ("sluiced --cleanup"). */
void ovsdb_remove_all(struct ovsdb *);
/* True when that is done: nothing of ours is in the database, and ovs-vswitchd has carried it out. */
bool ovsdb_all_removed(const struct ovsdb *);

enum ovsdb_port_state ovsdb_port_get_state(const struct ovsdb *, const char *name);
const char *ovsdb_port_error(const struct ovsdb *, const char *name);      /* NULL: none. */
/* Changes whenever any answer of the functions here may have changed. */
unsigned int ovsdb_seqno(const struct ovsdb *);

bool ovsdb_is_connected(const struct ovsdb *);
/* The database holds the base, and ovs-vswitchd has carried it out (cur_cfg reached our next_cfg). */
bool ovsdb_base_ready(const struct ovsdb *);
const char *ovsdb_problem(const struct ovsdb *);                /* NULL, or what an operator must mend. */
const char *ovsdb_ovs_version(const struct ovsdb *);            /* NULL: not known. */
bool ovsdb_has_iface_type(const struct ovsdb *, const char *type);          /* iface_types column. */
bool ovsdb_has_datapath_type(const struct ovsdb *, const char *type);       /* datapath_types column. */

/* For "sluicectl ipam check": each pod port in the database that is ours, declared or not. */
void ovsdb_for_each_port(const struct ovsdb *, void (*cb)(const struct ovsdb_port *, void *aux), void *aux);

#endif /* controller/ovsdb.h */
