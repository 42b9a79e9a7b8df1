#ifndef SLUICE_FIELDS_H
#define SLUICE_FIELDS_H 1

/* What the tables share: registers, priorities, meters, and what goes to the controller.  Each is named here and
 * nowhere else. An overlap does not compile (flows/pipeline.c). */

#include <stdint.h>

#include "openvswitch/meta-flow.h"
#include "openvswitch/types.h"
#include "pipeline.h"

struct ofpbuf;

/* Registers. ----------------------------------------------------------------------------------------------------- */

/* FIELD(NAME, STORE, FIRST BIT, BITS, WRITER, LAST READER, MEANING).  STORE is METADATA or REG0 to REG15; the lower 32
 * bits are ours. */
#define FIELDS(FIELD)                                                                                                  \
    FIELD(NETWORK, METADATA, 0, 32, CLASSIFY, OUTPUT, "network id; addresses are looked up by (network, address)")     \
    FIELD(SOURCE, REG0, 0, 4, CLASSIFY, SRC_IDENTITY, "enum flow_source: the kind of port that the packet came from")  \
    FIELD(DEST, REG0, 4, 4, L3_FORWARD, TRANSIT, "enum flow_dest: the kind of destination that was found")             \
    FIELD(TOO_BIG, REG0, 8, 1, TRANSIT, MTU, "1: the frame is larger than the pods' MTU")                              \
    FIELD(TRACK, REG0, 9, 1, CLASSIFY, TRACK, "1: policy concerns the local pod that sent it: conntrack sees it")      \
    FIELD(DONE, REG0, 10, 1, CT_STATE, OUTPUT, "1: a reply, or an error about a connection: no policy")                \
    FIELD(COMMIT, REG0, 11, 1, CT_STATE, CT_COMMIT, "1: a new connection, to be committed if it is allowed")           \
    FIELD(DENIED, REG0, 12, 1, EGRESS_ADMIN, INGRESS_VERDICT, "1: the direction's verdict is to drop")                 \
    FIELD(LOG, REG0, 13, 2, CLASSIFY, INGRESS_VERDICT, "enum flow_log of the local pod being judged")                  \
    FIELD(FRAGMENT, REG0, 16, 1, FRAGMENT, OUTPUT, "1: a fragment, judged by the first one of its packet")             \
    FIELD(HAIRPIN, REG0, 17, 1, SERVICE, OUTPUT, "1: goes back to the port that it came from")                         \
    FIELD(LENIENT, REG0, 18, 1, TRACK, CT_STATE, "1: may pass if conntrack makes nothing of it: no policy concerns it") \
    FIELD(NODE_ADDR, REG0, 19, 1, ARP_ND, SERVICE, "1: to an address of this node, where NodePorts are")               \
    FIELD(VIP, REG0, 20, 1, SERVICE, CT_STATE, "1: went through a door: conntrack must have translated it")            \
    FIELD(OUT_PORT, REG1, 0, 16, L3_FORWARD, OUTPUT, "OpenFlow port to send to")                                       \
    FIELD(SRC_SUBJECT, REG2, 0, 32, CLASSIFY, EGRESS_BASELINE, "egress rules of the local source; 0: none")            \
    FIELD(DST_SUBJECT, REG3, 0, 32, L3_FORWARD, INGRESS_BASELINE, "ingress rules of the local destination; 0: none")   \
    FIELD(SRC_IDENTITY, REG4, 0, 32, SRC_IDENTITY, INGRESS_BASELINE, "which ingress peers the source is; 0: none")     \
    FIELD(DST_IDENTITY, REG5, 0, 32, DST_IDENTITY, EGRESS_BASELINE, "which egress peers the destination is; 0: none")  \
    FIELD(L4, REG6, 0, 24, L4, INGRESS_BASELINE, "protocol << 16 | destination port; the port is 0 if it has none")    \
    FIELD(RULE, REG7, 0, 32, EGRESS_ADMIN, INGRESS_VERDICT, "the conjunction that decided; 0: a default")              \
    FIELD(SHARD, REG8, 0, 8, SERVICE, SERVICE_SHARD, "bits of dp_hash that the group of the shard does not use")       \
    FIELD(SERVICE, REG13, 0, 32, SERVICE, SERVICE_SHARD, "the set of endpoints behind the door, if it is looked up again") \
    FIELD(ENDPOINT, REG14, 0, 32, SERVICE_AFFINITY, SERVICE_SELECT, "the endpoint that the client has; 0: none yet")   \
    FIELD(SWAP, REG15, 0, 32, ARP_ND, ARP_ND, "scratch while two addresses of an ARP packet are exchanged")

enum flow_field {
#define FIELD_ENUM(NAME, STORE, OFS, N, WRITER, READER, MEANING) FIELD_##NAME,
    FIELDS(FIELD_ENUM)
#undef FIELD_ENUM
    N_FLOW_FIELDS
};

enum flow_source {
    SOURCE_POD = 1,
    SOURCE_TUNNEL = 2,
    SOURCE_GATEWAY = 3,                 /* The node's own stack, through the gateway port. */
    SOURCE_ROUTER = 4,                  /* br-int's router itself: what the controller injects. */
    SOURCE_FORWARDED = 7,               /* The gateway port too, but the node only forwards it for somebody else. */
};
/* With this mask SOURCE_GATEWAY is both: where they differ not at all, one flow does. */
#define SOURCE_GATEWAY_MASK 0xb

/* The conntrack zone of a packet: the lowest 16 bits of FIELD_NETWORK.  One for each network and both families. */
#define CT_ZONE_FIELD FIELD_NETWORK
#define CT_ZONE_BITS 16

/* What conntrack remembers of a connection.  ALLOWED: policy has let its original direction pass.  Without it no reply
 * passes: a connection to a Service is committed before policy has judged. */
#define CT_MARK_ALLOWED 0x1

enum flow_dest {
    DEST_POD = 1,                       /* A local pod. */
    DEST_TUNNEL = 2,                    /* A pod of a peer, through the tunnel. */
    DEST_NODE = 3,                      /* The gateway port's own address: delivery to the node. */
    DEST_OUTSIDE = 4,                   /* Handed to the node's stack, which routes it. */
};

/* How a field is found in OVS's terms. */
struct flow_field_info {
    const char *name;
    enum mf_field_id store;
    uint8_t ofs, n_bits;
    enum pipeline_table writer, last_reader;
    const char *meaning;
};
const struct flow_field_info *flow_field_info(enum flow_field);

/* Priorities. ---------------------------------------------------------------------------------------------------- */

/* PRIORITY(TABLE, NAME, VALUE, TEXT), per table by descending value.  A value is used once in a table, so (table,
 * priority) of any flow leads back to its line here, and a drop's counter to its reason.  Some are the first of a
 * range, see PRIORITY_RANGES. */
/* The tables of policy are the same for both directions. */
#define POLICY_PRIORITIES(DIR)                                                                                         \
    PRIORITY(DIR##_ADMIN, RULE, 10000, "rules of tier Admin, by flow_level_cnp()")                                     \
    PRIORITY(DIR##_ADMIN, NEXT, 0, "no rule of the tier decides")                                                      \
    PRIORITY(DIR##_POLICY, RULE, 100, "rules of NetworkPolicies, by flow_level_np()")                                  \
    PRIORITY(DIR##_POLICY, DEFAULT_DENY, 50, "a NetworkPolicy selects the pod, and none allows it")                    \
    PRIORITY(DIR##_POLICY, NEXT, 0, "no NetworkPolicy selects the pod")                                                \
    PRIORITY(DIR##_BASELINE, RULE, 10000, "rules of tier Baseline, by flow_level_cnp()")                               \
    PRIORITY(DIR##_BASELINE, NEXT, 0, "no rule decides: allowed")                                                      \
    PRIORITY(DIR##_VERDICT, DENIED_LOGGED, 110, "denied by policy: to the log, and dropped")                           \
    PRIORITY(DIR##_VERDICT, DENIED, 100, "drop: denied by policy")                                                     \
    PRIORITY(DIR##_VERDICT, ALLOWED_LOGGED, 50, "allowed, a new connection, and logged")                               \
    PRIORITY(DIR##_VERDICT, ALLOWED, 0, "allowed")

#define PRIORITIES                                                                                                     \
    PRIORITY(CLASSIFY, OWN_NODE, 210, "the gateway port, from the MAC of what the node itself sends")                  \
    PRIORITY(CLASSIFY, GATEWAY, 200, "the gateway port")                                                               \
    PRIORITY(CLASSIFY, TUNNEL, 190, "the tunnel, with the key of a network")                                           \
    PRIORITY(CLASSIFY, TUNNEL_UNKNOWN, 180, "drop: from the tunnel, tagged or with the key of no network")             \
    PRIORITY(CLASSIFY, POD, 100, "a pod's port")                                                                       \
    PRIORITY(CLASSIFY, UNKNOWN, 0, "drop: a port that belongs to nobody (yet), or a tagged frame of the node")         \
    PRIORITY(SPOOF_GUARD, VLAN, 240, "drop: a VLAN tag")                                                               \
    PRIORITY(SPOOF_GUARD, ROUTER_ADVERTISEMENT, 230, "drop: a router advertisement")                                   \
    PRIORITY(SPOOF_GUARD, REDIRECT, 229, "drop: an ICMP redirect")                                                     \
    PRIORITY(SPOOF_GUARD, DHCP_SERVER, 228, "drop: traffic of a DHCP server")                                          \
    PRIORITY(SPOOF_GUARD, OWN_ND, 200, "neighbour solicitation and advertisement for the pod's own addresses")         \
    PRIORITY(SPOOF_GUARD, FOREIGN_ND, 190, "drop: ND with a foreign MAC or address, or a probe for duplicates")        \
    PRIORITY(SPOOF_GUARD, OWN_ARP, 180, "ARP with the pod's own MAC and address")                                      \
    PRIORITY(SPOOF_GUARD, FOREIGN_ARP, 170, "drop: ARP with a foreign MAC or address")                                 \
    PRIORITY(SPOOF_GUARD, MULTICAST, 160, "drop: a multicast or broadcast frame")                                      \
    PRIORITY(SPOOF_GUARD, ISOLATED, 155, "drop: IP of a pod whose Pod object is not known yet")                        \
    PRIORITY(SPOOF_GUARD, OWN_IP, 150, "IP from the pod's own MAC and address to the router")                          \
    PRIORITY(SPOOF_GUARD, FOREIGN_IP, 140, "drop: IP from a foreign MAC or address, or not to the router's MAC")       \
    PRIORITY(SPOOF_GUARD, ETHERTYPE, 0, "drop: neither IP nor ARP (another ethertype, LLC, SNAP)")                     \
    PRIORITY(ARP_ND, DUPLICATE_PROBE, 200, "drop: duplicate address detection; nobody else has the address")           \
    PRIORITY(ARP_ND, OWN_ADDRESS, 190, "drop: the node asks for its own gateway address")                              \
    PRIORITY(ARP_ND, ANSWER, 150, "answered with the router's MAC")                                                    \
    PRIORITY(ARP_ND, UNANSWERED, 100, "drop: ARP or ND that nobody has to answer")                                     \
    PRIORITY(ARP_ND, NODE_ADDRESS, 60, "to an address of this node")                                                   \
    PRIORITY(ARP_ND, IP, 50, "IP goes on")                                                                             \
    PRIORITY(ARP_ND, OTHER, 0, "drop: neither IP nor ARP")                                                             \
    PRIORITY(ND_ANSWER, ADVERTISE, 100, "a solicitation that ARP_ND has made an advertisement")                        \
    PRIORITY(ND_ANSWER, OTHER, 0, "drop: something else")                                                              \
    PRIORITY(SERVICE, FORGED, 600, "drop: from the node, with a source that only br-int gives")                        \
    PRIORITY(SERVICE, HAIRPIN, 590, "an answer to who talks to itself through a Service")                              \
    PRIORITY(SERVICE, LINK, 580, "drop: a pod means an address that is between br-int and the node's stack")           \
    PRIORITY(SERVICE, ICMP_ERROR, 570, "an ICMP error, which is about something that conntrack knows")                 \
    PRIORITY(SERVICE, OUTSIDE_RANGE, 460, "a door for clients outside with these sources")                             \
    PRIORITY(SERVICE, OUTSIDE, 450, "a door for clients outside")                                                      \
    PRIORITY(SERVICE, NODE_RANGE, 440, "a door for the node itself with these sources")                                \
    PRIORITY(SERVICE, NODE, 430, "a door for the node itself")                                                         \
    PRIORITY(SERVICE, RANGE, 420, "a door for these sources")                                                          \
    PRIORITY(SERVICE, DOOR, 410, "a door")                                                                             \
    PRIORITY(SERVICE, NODE_PORT_SELF, 370, "one of the node's addresses, which is an endpoint itself")                   \
    PRIORITY(SERVICE, NODE_PORT_OUTSIDE_RANGE, 360, "a door at the node's addresses for clients outside with these sources") \
    PRIORITY(SERVICE, NODE_PORT_OUTSIDE, 350, "a door at the node's addresses for clients outside")                    \
    PRIORITY(SERVICE, NODE_PORT_NODE_RANGE, 340, "a door at the node's addresses for the node itself with these sources") \
    PRIORITY(SERVICE, NODE_PORT_NODE, 330, "a door at the node's addresses for the node itself")                       \
    PRIORITY(SERVICE, NODE_PORT_RANGE, 320, "a door at the node's addresses for these sources")                        \
    PRIORITY(SERVICE, NODE_PORT, 310, "a door at the node's addresses")                                                \
    PRIORITY(SERVICE, REST_FRAGMENT, 110, "a fragment to a Service, which shows no port: conntrack may know it")       \
    PRIORITY(SERVICE, REST, 100, "to a port that no Service has at this address")                                      \
    PRIORITY(SERVICE, NO_DOOR, 0, "to no Service")                                                                     \
    PRIORITY(SERVICE_SELECT, ENDPOINT, 100, "the endpoint that the client has")                                        \
    PRIORITY(SERVICE_SELECT, NEW, 50, "the client has none yet")                                                       \
    PRIORITY(SERVICE_SELECT, UNKNOWN, 0, "drop: of a set that is gone")                                                \
    PRIORITY(SERVICE_SHARD, SHARD, 100, "a shard")                                                                     \
    PRIORITY(SERVICE_SHARD, UNKNOWN, 0, "drop: of a set that is gone")                                                 \
    PRIORITY(TRACK, LINK, 300, "drop: out of the tunnel, from or to an address that never leaves its node")            \
    PRIORITY(TRACK, FROM_SUBJECT, 200, "from a local pod that a policy selects")                                       \
    PRIORITY(TRACK, TO_SUBJECT, 100, "to a local pod that a policy selects")                                           \
    PRIORITY(TRACK, FRAGMENT, 80, "a fragment: its port is not to be seen")                                            \
    PRIORITY(TRACK, ICMP_ERROR, 70, "an ICMP error: it may be about a connection to a Service")                        \
    PRIORITY(TRACK, PORT, 60, "from or to a port that some endpoint of a Service has")                                 \
    PRIORITY(TRACK, UNCONCERNED, 0, "everything else: no conntrack")                                                   \
    PRIORITY(CONNTRACK, LOOK_UP, 100, "IP through conntrack")                                                          \
    PRIORITY(CONNTRACK, OTHER, 0, "drop: not IP")                                                                      \
    PRIORITY(CT_STATE, LENIENT, 310, "conntrack makes nothing of it, but no policy and maybe no Service concerns it")  \
    PRIORITY(CT_STATE, INVALID, 300, "drop: conntrack says that it is invalid")                                        \
    PRIORITY(CT_STATE, UNANSWERABLE, 250, "drop: a reply to what policy did not allow, or an error about it")          \
    PRIORITY(CT_STATE, REPLY, 200, "a reply")                                                                          \
    PRIORITY(CT_STATE, RELATED, 190, "an ICMP error about a connection")                                               \
    PRIORITY(CT_STATE, STRAY, 180, "drop: to the address of who talks to itself, but no reply")                        \
    PRIORITY(CT_STATE, NO_ENDPOINT, 170, "drop: to a Service, but conntrack did not translate it")                     \
    PRIORITY(CT_STATE, ESTABLISHED, 160, "of a known connection that was allowed, in its original direction")          \
    PRIORITY(CT_STATE, UNMARKED, 150, "of a connection that was not allowed yet, in its original direction")           \
    PRIORITY(CT_STATE, TRANSLATED, 140, "a new connection to a Service: its direction is certain")                     \
    PRIORITY(CT_STATE, PICKED_UP, 130, "picked up in mid-stream, and by its ports it comes from the client")           \
    PRIORITY(CT_STATE, UNCERTAIN, 120, "picked up in mid-stream: judged, but never committed")                         \
    PRIORITY(CT_STATE, NEW, 100, "a new connection")                                                                   \
    PRIORITY(CT_STATE, UNTRACKED, 0, "drop: conntrack could not look at it")                                           \
    PRIORITY(FRAGMENT, LATER_TCP, 210, "a later fragment of TCP, which commits nothing")                               \
    PRIORITY(FRAGMENT, LATER, 200, "a later fragment: follows the first")                                              \
    PRIORITY(FRAGMENT, FIRST, 100, "a first fragment: judged for all")                                                 \
    PRIORITY(FRAGMENT, WHOLE, 0, "a whole packet")                                                                     \
    PRIORITY(L4, PORT, 100, "TCP, UDP, SCTP")                                                                          \
    PRIORITY(L4, NO_PORT, 50, "another protocol: only rules without ports can match")                                  \
    PRIORITY(L4, OTHER, 0, "drop: not IP")                                                                             \
    PRIORITY(DST_IDENTITY, HAIRPIN, 410, "a pod to itself, which always may")                                          \
    PRIORITY(DST_IDENTITY, NO_SUBJECT, 400, "no egress policy selects the source")                                     \
    PRIORITY(DST_IDENTITY, PREFIX, 100, "a prefix that egress rules name, or a pod's address (plus prefix length)")    \
    PRIORITY(DST_IDENTITY, NOBODY, 0, "an address that no egress rule names")                                          \
    POLICY_PRIORITIES(EGRESS)                                                                                          \
    PRIORITY(L3_FORWARD, MULTICAST, 500, "drop: to a multicast, broadcast or reserved address")                        \
    PRIORITY(L3_FORWARD, LINK_LOCAL, 490, "drop: to an IPv6 link-local address, which is never routed")                \
    PRIORITY(L3_FORWARD, LOOPBACK, 480, "drop: to a loopback address, whatever the node's stack would think of it")    \
    PRIORITY(L3_FORWARD, LINK, 470, "drop: to an address between br-int and the node's stack, which none has")          \
    PRIORITY(L3_FORWARD, HAIRPIN, 420, "a pod to itself through a Service")                                            \
    PRIORITY(L3_FORWARD, ISOLATED, 410, "drop: to a pod whose Pod object is not known yet")                            \
    PRIORITY(L3_FORWARD, HOST, 400, "one address: a local pod's, the gateway's")                                       \
    PRIORITY(L3_FORWARD, NO_POD, 300, "drop: of the node's pod CIDR, but no pod has it")                               \
    PRIORITY(L3_FORWARD, PEER, 100, "a peer's pod CIDR (plus prefix length)")                                          \
    PRIORITY(L3_FORWARD, DEFAULT, 50, "everything else: outside")                                                      \
    PRIORITY(L3_FORWARD, UNKNOWN, 0, "drop: not IP, or of an unknown network")                                         \
    PRIORITY(TRANSIT, TUNNEL_TO_TUNNEL, 400, "drop: out of the tunnel into the tunnel")                                \
    PRIORITY(TRANSIT, TUNNEL_TO_OUTSIDE, 390, "drop: out of the tunnel to outside of this node")                       \
    PRIORITY(TRANSIT, FORGED, 387, "drop: to the node or outside, to the UDP port of the tunnels")                     \
    PRIORITY(TRANSIT, U_TURN, 385, "the node, or who comes through it, to an endpoint that is reached through its stack") \
    PRIORITY(TRANSIT, GATEWAY_RETURN, 380, "drop: out of the gateway port back to where it came from")                 \
    PRIORITY(TRANSIT, UNCOUNTED, 300, "the node's stack or the router itself is one end: no hop of br-int")            \
    PRIORITY(TRANSIT, EXPIRED, 200, "to the controller: the last hop was this one (ICMP time exceeded)")               \
    PRIORITY(TRANSIT, HOP, 100, "one hop")                                                                             \
    PRIORITY(TRANSIT, UNKNOWN, 0, "drop: from or to nothing that is known")                                            \
    PRIORITY(MTU, GATEWAY, 200, "drop: too big, from the gateway port, whose own MTU should have stopped it")          \
    PRIORITY(MTU, TOO_BIG, 100, "to the controller: too big (ICMP fragmentation needed, packet too big)")              \
    PRIORITY(MTU, FRAGMENT, 60, "it fits; a fragment that has to wait for the others")                                 \
    PRIORITY(MTU, UNCONCERNED, 50, "it fits; no policy is left to ask and nothing to commit")                          \
    PRIORITY(MTU, FITS, 0, "it fits")                                                                                  \
    PRIORITY(SRC_IDENTITY, DONE, 600, "a reply, or an error about a connection")                                       \
    PRIORITY(SRC_IDENTITY, ROUTER, 590, "an ICMP error of br-int's router")                                            \
    PRIORITY(SRC_IDENTITY, LATER, 420, "a later fragment: follows the first")                                          \
    PRIORITY(SRC_IDENTITY, NO_SUBJECT, 410, "no ingress policy selects the destination")                               \
    PRIORITY(SRC_IDENTITY, OWN_NODE, 400, "from the node itself, which always may")                                    \
    PRIORITY(SRC_IDENTITY, PREFIX, 100, "a prefix that ingress rules name, or a pod's address (plus prefix length)")   \
    PRIORITY(SRC_IDENTITY, NOBODY, 0, "an address that no ingress rule names")                                         \
    POLICY_PRIORITIES(INGRESS)                                                                                         \
    PRIORITY(CT_COMMIT, COMMIT_FRAGMENT, 210, "a fragment of a new connection: waits for the others")                  \
    PRIORITY(CT_COMMIT, FRAGMENT, 200, "a fragment of a known connection: waits for the others")                       \
    PRIORITY(CT_COMMIT, COMMIT_UNIQUE, 150, "a new connection, not to a Service (the kernel's datapath)")              \
    PRIORITY(CT_COMMIT, COMMIT, 100, "a new connection")                                                               \
    PRIORITY(CT_COMMIT, KNOWN, 0, "of a connection that is known, or is not to be")                                    \
    PRIORITY(OUTPUT, ALONE, 200, "drop: a fragment whose first one did not come, or was denied")                       \
    PRIORITY(OUTPUT, DNS, 100, "to the controller: a DNS answer for a pod with rules about domain names")              \
    PRIORITY(OUTPUT, HAIRPIN, 60, "back to the port that it came from, whose own address may not be the source")       \
    PRIORITY(OUTPUT, RETURN, 50, "back to the port that it came from")                                                 \
    PRIORITY(OUTPUT, SEND, 0, "to the port that was chosen")

enum flow_priority {
#define PRIORITY(TABLE, NAME, VALUE, TEXT) PRIORITY_##TABLE##_##NAME = VALUE,
    PRIORITIES
#undef PRIORITY
};

/* RANGE(TABLE, NAME, LAST): values from that of (TABLE, NAME) to LAST mean the same thing.  No other lies between. */
#define PRIORITY_RANGES                                                                                                \
    RANGE(L3_FORWARD, PEER, 228)                                                                                       \
    RANGE(DST_IDENTITY, PREFIX, 228)                                                                                   \
    RANGE(SRC_IDENTITY, PREFIX, 228)                                                                                   \
    RANGE(EGRESS_ADMIN, RULE, 60049)                                                                                   \
    RANGE(EGRESS_POLICY, RULE, 115)                                                                                    \
    RANGE(EGRESS_BASELINE, RULE, 60049)                                                                                \
    RANGE(INGRESS_ADMIN, RULE, 60049)                                                                                  \
    RANGE(INGRESS_POLICY, RULE, 115)                                                                                   \
    RANGE(INGRESS_BASELINE, RULE, 60049)

/* Meters. -------------------------------------------------------------------------------------------------------- */

/* METER(NAME, ID, RATE, BURST, MEANING): packets a second, and packets. */
#define METERS                                                                                                         \
    METER(TIME_EXCEEDED, 1, 100, 50, "expired packets to the controller")                                              \
    METER(TOO_BIG, 2, 1000, 200, "packets too big to the controller")                                                  \
    METER(ND_SOLICIT, 3, 1000, 200, "neighbour solicitations to the controller, on a datapath that cannot answer them") \
    METER(POLICY_LOG, 4, 100, 100, "packets whose verdict by policy is to be logged")                                  \
    METER(DNS, 5, 2000, 500, "DNS answers to the controller; a resolver asks again for what is above")              \
    METER(REJECT, 6, 1000, 200, "packets to a Service that nobody serves, to the controller")

enum flow_meter_id {
#define METER(NAME, ID, RATE, BURST, MEANING) METER_##NAME = ID,
    METERS
#undef METER
};

/* To the controller and back. ------------------------------------------------------------------------------------ */

/* A flow that wants the controller's help sends the packet with userdata, 4 bytes, 'struct punt'.  The packet-in
 * (NXT_PACKET_IN2) holds at most PUNT_MAX_LEN bytes of the frame (PUNT_DNS: all), as it left the sender but for the MACs and, if it is
 * too big, the TTL, and in its metadata the in_port, the network (FIELD_NETWORK) and the registers. */
enum punt_code {
    PUNT_TIME_EXCEEDED = 1,             /* Answer: ICMP time exceeded, ICMPv6 time exceeded. */
    PUNT_TOO_BIG = 2,                   /* Answer: ICMP fragmentation needed, ICMPv6 packet too big, with 'mtu'. */
    PUNT_ND_SOLICIT = 3,                /* Answer: neighbour advertisement.  Only with the kernel's datapath. */
    PUNT_POLICY_LOG = 4,                /* No answer: the verdict of a policy, to be logged (controller/policy-log.h). */
    PUNT_DNS = 5,                       /* A whole DNS answer, which goes on to FIELD_OUT_PORT once what it says of domain
                                         * names is in the flows. */
    PUNT_REJECT = 6,                    /* Answer: TCP reset, ICMP port unreachable, ICMPv6 port unreachable. */
};

struct punt {
    uint8_t code;                       /* enum punt_code. */
    uint8_t zero;
    ovs_be16 mtu;                       /* PUNT_TOO_BIG: bytes of IP packet; else 0. */
};

/* Enough of the frame for any ICMP error: 1280 bytes of IP packet. */
#define PUNT_MAX_LEN (14 + 1280)

/* The answer to PUNT_TIME_EXCEEDED, PUNT_TOO_BIG and PUNT_REJECT is an IP packet from the node's gateway address of the
 * family (PUNT_REJECT: from the packet's destination) to the source of the packet, in an Ethernet frame (both MACs: the router's) of type packet-out, in_port
 * OFPP_CONTROLLER.  Its actions are made here: the network of the packet-in, SOURCE_ROUTER, and into L3_FORWARD, which
 * finds the way back to a pod, a peer or the node.  It is neither counted as a hop nor measured.
 *
 * The answer to PUNT_ND_SOLICIT goes out of the in_port of the packet-in, what PUNT_DNS brought to the port in
 * FIELD_OUT_PORT, both without any table. */
void punt_reply_actions(uint32_t network, struct ofpbuf *ofpacts);

#endif /* flows/fields.h */
