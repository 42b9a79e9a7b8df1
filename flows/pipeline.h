#ifndef SLUICE_PIPELINE_H
#define SLUICE_PIPELINE_H 1

/* The pipeline on br-int, as one list.
 *
 * Everything that knows of tables comes from here: the enum, the names that OVS shows, the order check (a flow only
 * goes to a later table), flows/PIPELINE.md.  Numbers are fixed for ever, with gaps for what is to come; they depend
 * on no feature. Each table is one file, flows/table-NAME.c, or one with its
 * twin.  Registers and priorities: flows/fields.h. */

#include <stdbool.h>
#include <stdint.h>

/* TABLE(NUMBER, NAME, DECIDES), in the order in which a packet meets them. */
#define PIPELINE                                                                                                       \
    TABLE(0, CLASSIFY, "The network and the kind of source: a pod, the tunnel, the gateway port; drops from others.")  \
    TABLE(2, SPOOF_GUARD, "A pod may only use its own MAC and addresses, and only what a host has to send.")           \
    TABLE(4, ARP_ND, "Answers ARP and neighbour solicitation on the spot; nothing of either goes further.")            \
    TABLE(5, ND_ANSWER, "Nothing: the second half of the answer to a neighbour solicitation.")                         \
    TABLE(6, SERVICE, "The doors of Services: (address, protocol, port) to a group, or reject, or drop.")              \
    TABLE(7, SERVICE_AFFINITY, "Learned by the switch: which endpoint of a set a client has.")                         \
    TABLE(8, TRACK, "Whether conntrack has to see the packet: a policy or a Service concerns it.")                     \
    TABLE(9, SERVICE_SELECT, "Sets whose clients keep their endpoint: to the one that they have, or to a group.")      \
    TABLE(10, CONNTRACK, "Sends it through conntrack, in the zone of its network, and undoes NAT.")                    \
    TABLE(11, SERVICE_SHARD, "Sets of more endpoints than a group holds: by bits of the hash to a group.")             \
    TABLE(12, CT_STATE, "Invalid drops; replies and errors about connections pass; the rest is judged.")               \
    TABLE(13, FRAGMENT, "Later fragments have no ports and are not judged: they follow the first one.")                \
    TABLE(14, L4, "Protocol and destination port, for rules with ports.")                                              \
    TABLE(32, DST_IDENTITY, "The identity of the destination, as egress rules see it.")                                \
    TABLE(40, EGRESS_ADMIN, "Egress, tier Admin: ClusterNetworkPolicies, by level.")                                   \
    TABLE(42, EGRESS_POLICY, "Egress, NetworkPolicies: one allows, or the pod's default deny.")                        \
    TABLE(44, EGRESS_BASELINE, "Egress, tier Baseline: ClusterNetworkPolicies, by level; else allowed.")               \
    TABLE(46, EGRESS_VERDICT, "Drops what egress denied.")                                                             \
    TABLE(50, L3_FORWARD, "Where to, by (network, address): a local pod, a peer's pods, the node itself, outside.")    \
    TABLE(51, TRANSIT, "Which kind of source may go to which kind of destination; counts hops; measures the size.")    \
    TABLE(52, MTU, "What is larger than the pods' MTU is answered with ICMP instead of being lost.")                   \
    TABLE(58, SRC_IDENTITY, "The identity of the source, as ingress rules see it; who needs no leave.")                \
    TABLE(60, INGRESS_ADMIN, "Ingress, tier Admin: ClusterNetworkPolicies, by level.")                                 \
    TABLE(62, INGRESS_POLICY, "Ingress, NetworkPolicies: one allows, or the pod's default deny.")                      \
    TABLE(64, INGRESS_BASELINE, "Ingress, tier Baseline: ClusterNetworkPolicies, by level; else allowed.")             \
    TABLE(66, INGRESS_VERDICT, "Drops what ingress denied.")                                                           \
    TABLE(70, CT_COMMIT, "Commits a new connection that was allowed.")                                                 \
    TABLE(72, OUTPUT, "Sends.")

enum pipeline_table {
#define TABLE(NUMBER, NAME, DECIDES) TABLE_##NAME = NUMBER,
    PIPELINE
#undef TABLE
};

/* "L3_FORWARD", or NULL for a number that is no table of ours. */
const char *pipeline_table_name(uint8_t table_id);
/* What it decides, or NULL. */
const char *pipeline_table_decides(uint8_t table_id);
/* The table of that name; false if there is none. */
bool pipeline_table_from_name(const char *name, uint8_t *table_id);
/* The first table with a number of at least 'from'; -1 if there is none.  For loops over all:
 *     for (int t = pipeline_next_table(0); t >= 0; t = pipeline_next_table(t + 1)) */
int pipeline_next_table(int from);

/* What the flows of this table and priority are for: "drop: ..." if they drop.  NULL if no such priority is in the list.  So a
 * counter can always be named. */
const char *pipeline_priority_text(uint8_t table_id, uint16_t priority);

#endif /* flows/pipeline.h */
