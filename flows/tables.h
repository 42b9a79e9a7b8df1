#ifndef SLUICE_TABLES_H
#define SLUICE_TABLES_H 1

/* What each table contributes for each kind of owner.  Only compile.c calls these; "base" is the node without any
 * object. */

#include "build.h"
#include "flow-input.h"

void table_classify_base(const struct flow_local *, struct build *);
void table_classify_pod(const struct flow_pod *, struct build *);

void table_spoof_guard_base(struct build *);
void table_spoof_guard_pod(const struct flow_local *, const struct flow_pod *, struct build *);

void table_arp_nd_base(const struct flow_local *, struct build *);
void table_arp_nd_peer(const struct flow_local *, const struct flow_peer *, struct build *);

void table_nd_answer_base(const struct flow_local *, struct build *);

void table_l3_forward_base(const struct flow_local *, struct build *);
void table_l3_forward_pod(const struct flow_local *, const struct flow_pod *, struct build *);
void table_l3_forward_peer(const struct flow_local *, const struct flow_peer *, struct build *);

void table_transit_base(const struct flow_local *, struct build *);

void table_mtu_base(const struct flow_local *, struct build *);

void table_output_base(struct build *);

#endif /* flows/tables.h */
