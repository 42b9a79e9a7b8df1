#ifndef SLUICE_OFCTRL_H
#define SLUICE_OFCTRL_H 1

/* The OpenFlow connection to br-int: the only module that writes OpenFlow.
 *
 * The shell of of-state.h: an rconn (OpenFlow 1.5) to the bridge's management socket, the full dump at connect,
 * bundles that are atomic and ordered (OFPBF_ATOMIC | OFPBF_ORDERED) with a barrier behind each, table names
 * (OFPMP_TABLE_DESC is read-only in OVS, so they are set through OVSDB: ovsdb.h), and packet-ins for pinctrl.h.
 *
 * Reconnects at once when the management socket appears again (inotify), so that after a restart of ovs-vswitchd
 * the node is closed only until the flows are back.  Follows the run / wait pattern of poll-loop.h.
 *
 * One change alone needs no bundle: its message is atomic, and one round trip with its barrier.
 *
 * A message that the switch could not take does not spoil its bundle: the switch leaves it out and would commit
 * the rest.  So a barrier stands between the last addition and the commit, and the bundle is discarded if an
 * error came before it.  Errors that no flow can be blamed for (the switch has no room for bundles, say) close
 * the connection, and everything starts with a dump again.  Large bundles are sent in pieces, one per turn of
 * the loop, as the switch reads them. */

#include <stdbool.h>
#include <stdint.h>

#include "of-state.h"

struct ofctrl;
struct ofp_header;
struct ofpbuf;

/* 'target' is as for "ovs-ofctl", e.g. "unix:/run/openvswitch/br-int.mgmt". */
struct ofctrl *ofctrl_create(const char *target);
void ofctrl_destroy(struct ofctrl *);
void ofctrl_run(struct ofctrl *);
void ofctrl_wait(struct ofctrl *);

/* The desired state, to be changed by its functions.  The owner is 'ofctrl'. */
struct of_state *ofctrl_state(struct ofctrl *);
bool ofctrl_is_connected(const struct ofctrl *);
/* Counts connections; a change means that the switch may have been restarted. */
unsigned int ofctrl_connection_seqno(const struct ofctrl *);
/* Queues an encoded message (packet-outs of pinctrl); takes 'msg'.  Dropped if there is no connection. */
void ofctrl_send(struct ofctrl *, struct ofpbuf *msg);
/* Asks when a packet met a flow last; 'cb' gets the answer from ofctrl_run(), in seconds.  There is none if the flow is not
 * installed, or if the connection is lost meanwhile. */
void ofctrl_ask_use(struct ofctrl *, uint8_t table_id, const struct match *);
void ofctrl_set_use(struct ofctrl *, void (*cb)(uint8_t table_id, const struct match *, int idle, void *aux), void *aux);
/* Asks how many packets a meter has held back; 'cb' gets the answer from ofctrl_run(). */
void ofctrl_ask_meter(struct ofctrl *, uint32_t meter_id);
void ofctrl_set_meter(struct ofctrl *, void (*cb)(uint32_t meter_id, uint64_t n_held_back, void *aux), void *aux);
/* Removes a connection from conntrack in 'zone'; without its client's port, those of all clients to (vip, vip_port) that
 * (endpoint, endpoint_port) answers, for which the switch looks at each connection of the zone once.  In whatever datapath
 * there is (NXT_CT_FLUSH, OVS 3.1).  Lost if the connection to the switch is lost. */
struct ct_entry;
void ofctrl_flush_ct(struct ofctrl *, uint16_t zone, const struct ct_entry *);
/* Calls 'cb' from ofctrl_run() for each NXT_PACKET_IN2. */
void ofctrl_set_packet_in(struct ofctrl *, void (*cb)(const struct ofp_header *, void *aux), void *aux);

#endif /* controller/ofctrl.h */
