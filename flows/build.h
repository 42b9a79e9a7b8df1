#ifndef SLUICE_FLOWS_BUILD_H
#define SLUICE_FLOWS_BUILD_H 1

/* Writing one flow after the other, in the words of flows/fields.h.
 *
 *     struct build b;
 *     build_init(&b, out, cookie);
 *     match_set_in_port(build_match(&b), port);          start of a flow: matches everything, does nothing
 *     build_load(&b, FIELD_SOURCE, SOURCE_POD);
 *     build_goto(&b, TABLE_SPOOF_GUARD);
 *     build_flow(&b, TABLE_CLASSIFY, PRIORITY_CLASSIFY_POD);
 *     build_destroy(&b);
 *
 * A flow without actions drops.  Only for the tables in this folder. */

#include <stdint.h>

#include "fields.h"
#include "flow.h"
#include "flow-set.h"
#include "inet.h"
#include "openvswitch/match.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "pipeline.h"

struct build {
    struct flow_set *out;
    uint64_t cookie;
    struct match match;
    struct ofpbuf actions;
    uint64_t stub[128];
};

void build_init(struct build *, struct flow_set *out, uint64_t cookie);
void build_destroy(struct build *);
/* Begins a flow: its match, to be filled with match_set_*() and the functions below. */
struct match *build_match(struct build *);
/* Ends it. */
void build_flow(struct build *, enum pipeline_table, unsigned int priority);

/* The same, not into a set.  The caller gets the reference. */
struct flow_entry *build_entry(const struct build *, enum pipeline_table, unsigned int priority);

/* Match. */
void match_field(struct match *, enum flow_field, uint32_t value);
void match_field_masked(struct match *, enum flow_field, uint32_t value, uint32_t mask);
void match_no_vlan(struct match *);
void match_vlan(struct match *);
/* dl_type of the address's family. */
void match_family(struct match *, const struct in6_addr *);
void match_ip_src(struct match *, const struct in6_addr *);
void match_ip_dst(struct match *, const struct inet_prefix *);
void match_ip_src_prefix(struct match *, const struct inet_prefix *);
/* Bits of ct_state (CS_*, flow.h) that are set. */
void match_ct_state(struct match *, uint32_t set);
/* Bits of CT_MARK_* are as in 'value'. */
void match_ct_mark(struct match *, uint32_t value);
/* Source or destination port of TCP, UDP or SCTP. */
void match_port(struct match *, uint8_t protocol, bool dst, uint16_t port);
/* ARP: requests for an address of the prefix; ND: solicitations that a router may answer (RFC 4861, section 7.1.1). */
void match_solicit(struct match *, const struct inet_prefix *target);
/* Kind 'i' of ICMP and ICMPv6 errors; false if there are not that many. */
bool match_icmp_error(struct match *, size_t i);
/* ICMPv6 of that type. */
void match_icmp6(struct match *, uint8_t type);

/* Actions. */
void build_load(struct build *, enum flow_field, uint32_t value);
void build_set(struct build *, enum mf_field_id, const void *value);
void build_set_u8(struct build *, enum mf_field_id, uint8_t);
void build_move(struct build *, enum mf_field_id src, enum mf_field_id dst);
/* Into FIELD's bits from 'ofs' on. */
void build_move_to_field(struct build *, enum mf_field_id src, enum flow_field, unsigned int ofs);
/* Looks the connection up, and translates as it was translated before; goes on in 'table'. */
void build_ct(struct build *, enum pipeline_table table);
/* Commits a new connection to 'addr' and 'port' instead of its destination; a known one is translated as before.  Goes on
 * in 'table'. */
void build_ct_dnat(struct build *, const struct in6_addr *addr, uint16_t port, enum pipeline_table table);
/* Commits the connection if it is new, and marks it with CT_MARK_ALLOWED; goes on in 'table'. */
void build_ct_allow(struct build *, enum pipeline_table table);
/* The same, with another source port if it would be answered like a connection that conntrack has.  Not on the userspace
 * datapath: with a translation that changes nothing Open vSwitch 3.1 sooner or later aborts (conn_update_state()). */
void build_ct_allow_unique(struct build *, enum pipeline_table table);
/* The same as build_ct_allow(), with a clone, which ends there. */
void build_ct_allow_clone(struct build *);
void build_group(struct build *, uint32_t group_id);
/* FIELD = a hash of the source address. */
void build_hash_source(struct build *, enum flow_field);
void build_resubmit(struct build *, enum pipeline_table);
/* FIELD = the bits of 'src' from 'src_ofs' on. */
void build_move_bits_to_field(struct build *, enum mf_field_id src, unsigned int src_ofs, enum flow_field dst);

/* A flow that the switch makes when a packet meets this action, which goes when the flow with the action goes
 * (delete_learned).  Begins the action; its match and what it loads follow, build_learn_end() with the result ends it. */
struct build_learn {
    enum pipeline_table table;
    uint16_t priority;
    uint16_t idle_timeout;              /* Seconds. */
    uint64_t cookie;
    uint32_t limit;                     /* Flows of this cookie in the table; above, nothing is learned. */
};
size_t build_learn(struct build *, const struct build_learn *);
void build_learn_match(struct build *, enum mf_field_id, uint32_t value);
void build_learn_match_own(struct build *, enum mf_field_id);           /* What the packet has. */
void build_learn_match_field(struct build *, enum flow_field, uint32_t value);
void build_learn_load(struct build *, enum flow_field, uint32_t value);
void build_learn_end(struct build *, size_t start);
void build_conjunction(struct build *, uint32_t id, uint8_t k, uint8_t n);
void build_dec_ttl(struct build *);
/* FIELD_TOO_BIG = the frame is longer than an IP packet of 'mtu' bytes makes it. */
void build_measure(struct build *, uint16_t mtu);
void build_output_in_port(struct build *);
void build_output_field(struct build *, enum flow_field);
void build_punt(struct build *, enum punt_code, enum flow_meter_id, uint16_t mtu);
void build_goto(struct build *, enum pipeline_table);

#endif /* flows/build.h */
