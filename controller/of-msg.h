#ifndef SLUICE_OF_MSG_H
#define SLUICE_OF_MSG_H 1

/* OpenFlow 1.5 messages of ofctrl.h: what is sent, and what a dump is made of.  Pure: bytes in, bytes out.
 *
 * Each encoder returns a new message that the caller owns.  'xid' is in host byte order. */

#include <stdbool.h>
#include <stdint.h>

#include "of-state.h"
#include "openvswitch/ofp-msgs.h"

struct ofpbuf;

/* Sets the transaction id of an encoded message, and returns the message. */
struct ofpbuf *of_msg_set_xid(struct ofpbuf *, uint32_t xid);

/* A change by itself, and as a part of bundle 'bundle_id' (flows and groups only). */
struct ofpbuf *of_msg_change(const struct of_change *, uint32_t xid);
struct ofpbuf *of_msg_bundled(const struct of_change *, uint32_t bundle_id, uint32_t xid);
/* 'type' is OFPBCT_*_REQUEST. */
struct ofpbuf *of_msg_bundle_control(uint16_t type, uint32_t bundle_id, uint32_t xid);
struct ofpbuf *of_msg_barrier(uint32_t xid);

/* Makes the switch send us packet-ins, whole and with their userdata, and nothing else unasked.  The switch's
 * management connection sends none before that. */
struct ofpbuf *of_msg_packet_in_format(void);
struct ofpbuf *of_msg_async_config(void);
struct ofpbuf *of_msg_switch_config(void);

/* The dump.  The decoders give what they find to 'state' and return 0 or OFPERR_*; several replies make one dump
 * (ofpmp_more()).
 *
 * A flow with a time-out or flags is not one of ours, even if it looks like one: it gets the cookie 0, so that
 * of-state sees that it differs.  So does a meter of another form than ours: it gets rate 0.  Flows that the switch has
 * learned itself are left out: those of SERVICE_AFFINITY with an idle time-out. */
/* How many flows there are. */
struct ofpbuf *of_msg_flow_count_request(uint32_t xid);
int of_msg_decode_flow_count(const struct ofp_header *, size_t *n);
/* All flows with 'cookie' in the bits of 'mask'. */
struct ofpbuf *of_msg_flow_request(uint32_t xid, uint64_t cookie, uint64_t mask);
/* One flow, by its table and match; and what the replies say: who, and how long ago a packet met it (seconds). */
struct ofpbuf *of_msg_use_request(uint32_t xid, uint8_t table_id, const struct match *);
int of_msg_decode_use(const struct ofp_header *, void (*cb)(uint8_t table_id, const struct match *, int idle, void *aux),
                      void *aux);
/* What a meter counts; and what the replies say: how many packets it has held back. */
struct ofpbuf *of_msg_meter_stats_request(uint32_t xid, uint32_t meter_id);
int of_msg_decode_meter_stats(const struct ofp_header *, void (*cb)(uint32_t meter_id, uint64_t n_held_back, void *aux),
                              void *aux);
/* Removes entries of conntrack, see ofctrl_flush_ct(). */
struct ct_entry;
struct ofpbuf *of_msg_flush_ct(uint16_t zone, const struct ct_entry *);
struct ofpbuf *of_msg_group_request(uint32_t xid);
struct ofpbuf *of_msg_meter_request(uint32_t xid);
int of_msg_decode_flows(const struct ofp_header *, struct of_state *);
int of_msg_decode_groups(const struct ofp_header *, struct of_state *);
int of_msg_decode_meters(const struct ofp_header *, struct of_state *);

#endif /* controller/of-msg.h */
