#ifndef SLUICE_TABLES_H
#define SLUICE_TABLES_H 1

/* What each table contributes for each kind of owner.  Only compile.c calls these; "base" is the node without any
 * object. */

#include "build.h"
#include "flow-input.h"
#include "policy-flow.h"

/* Is there a policy that selects the pod, in any direction?  Then its packets are tracked.  Of a pod whose object is
 * not known that is not known either; it sends and gets no IP. */
bool pod_is_subject(const struct flow_pod *);
/* Its subject number; that of no rules if it is only isolated. */
uint32_t pod_subject(const struct flow_pod *, enum flow_direction);

/* What the pod sends to its own address. */
void match_hairpin(struct match *, const struct flow_pod *, const struct in6_addr *);

void table_classify_base(const struct flow_local *, struct build *);
void table_classify_pod(const struct flow_pod *, struct build *);

void table_spoof_guard_base(struct build *);
void table_spoof_guard_pod(const struct flow_local *, const struct flow_pod *, struct build *);

void table_arp_nd_base(const struct flow_local *, struct build *);
void table_arp_nd_peer(const struct flow_local *, const struct flow_peer *, struct build *);

void table_nd_answer_base(const struct flow_local *, struct build *);

void table_service_base(const struct flow_local *, struct build *);

void table_track_base(struct build *);
void table_track_pod(const struct flow_pod *, struct build *);

void table_conntrack_base(struct build *);

void table_ct_state_base(struct build *);

void table_fragment_base(struct build *);

void table_l4_base(struct build *);

void table_dst_identity_base(struct build *);
void table_dst_identity_pod(const struct flow_pod *, struct build *);
void table_src_identity_base(struct build *);

void table_policy_base(struct build *);
void table_policy_pod(const struct flow_pod *, struct build *);

void table_verdict_base(struct build *);

void table_ct_commit_base(const struct flow_local *, struct build *);

void table_l3_forward_base(const struct flow_local *, struct build *);
void table_l3_forward_pod(const struct flow_local *, const struct flow_pod *, struct build *);
void table_l3_forward_peer(const struct flow_local *, const struct flow_peer *, struct build *);

void table_transit_base(const struct flow_local *, struct build *);

void table_mtu_base(const struct flow_local *, struct build *);

void table_output_base(const struct flow_local *, struct build *);
void table_output_pod(const struct flow_pod *, struct build *);

#endif /* flows/tables.h */
