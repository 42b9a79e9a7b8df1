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
    FIELD(SOURCE, REG0, 0, 4, CLASSIFY, MTU, "enum flow_source: the kind of port that the packet came from")           \
    FIELD(DEST, REG0, 4, 4, L3_FORWARD, TRANSIT, "enum flow_dest: the kind of destination that was found")             \
    FIELD(TOO_BIG, REG0, 8, 1, TRANSIT, MTU, "1: the frame is larger than the pods' MTU")                              \
    FIELD(OUT_PORT, REG1, 0, 16, L3_FORWARD, OUTPUT, "OpenFlow port to send to")                                       \
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
};

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
 * priority) of any flow leads back to its line here, and a drop's counter to its reason.  L3_FORWARD's PEER is a
 * range: the prefix length is added to it (longest prefix first). */
#define PRIORITIES                                                                                                     \
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
    PRIORITY(ARP_ND, IP, 50, "IP goes on")                                                                             \
    PRIORITY(ARP_ND, OTHER, 0, "drop: neither IP nor ARP")                                                             \
    PRIORITY(ND_ANSWER, ADVERTISE, 100, "a solicitation that ARP_ND has made an advertisement")                        \
    PRIORITY(ND_ANSWER, OTHER, 0, "drop: something else")                                                              \
    PRIORITY(L3_FORWARD, MULTICAST, 500, "drop: to a multicast, broadcast or reserved address")                        \
    PRIORITY(L3_FORWARD, LINK_LOCAL, 490, "drop: to an IPv6 link-local address, which is never routed")                \
    PRIORITY(L3_FORWARD, LOOPBACK, 480, "drop: to a loopback address, whatever the node's stack would think of it")    \
    PRIORITY(L3_FORWARD, ISOLATED, 410, "drop: to a pod whose Pod object is not known yet")                            \
    PRIORITY(L3_FORWARD, HOST, 400, "one address: a local pod's, the gateway's")                                       \
    PRIORITY(L3_FORWARD, NO_POD, 300, "drop: of the node's pod CIDR, but no pod has it")                               \
    PRIORITY(L3_FORWARD, PEER, 100, "a peer's pod CIDR (plus prefix length)")                                          \
    PRIORITY(L3_FORWARD, DEFAULT, 50, "everything else: outside")                                                      \
    PRIORITY(L3_FORWARD, UNKNOWN, 0, "drop: not IP, or of an unknown network")                                         \
    PRIORITY(TRANSIT, TUNNEL_TO_TUNNEL, 400, "drop: out of the tunnel into the tunnel")                                \
    PRIORITY(TRANSIT, TUNNEL_TO_OUTSIDE, 390, "drop: out of the tunnel to outside of this node")                       \
    PRIORITY(TRANSIT, GATEWAY_RETURN, 380, "drop: out of the gateway port back to where it came from")                 \
    PRIORITY(TRANSIT, UNCOUNTED, 300, "the node's stack or the router itself is one end: no hop of br-int")            \
    PRIORITY(TRANSIT, EXPIRED, 200, "to the controller: the last hop was this one (ICMP time exceeded)")               \
    PRIORITY(TRANSIT, HOP, 100, "one hop")                                                                             \
    PRIORITY(TRANSIT, UNKNOWN, 0, "drop: from or to nothing that is known")                                            \
    PRIORITY(MTU, GATEWAY, 200, "drop: too big, from the gateway port, whose own MTU should have stopped it")          \
    PRIORITY(MTU, TOO_BIG, 100, "to the controller: too big (ICMP fragmentation needed, packet too big)")              \
    PRIORITY(MTU, FITS, 0, "it fits")                                                                                  \
    PRIORITY(OUTPUT, SEND, 0, "to the port that was chosen")

enum flow_priority {
#define PRIORITY(TABLE, NAME, VALUE, TEXT) PRIORITY_##TABLE##_##NAME = VALUE,
    PRIORITIES
#undef PRIORITY
};

/* Meters. -------------------------------------------------------------------------------------------------------- */

/* METER(NAME, ID, RATE, BURST, MEANING): packets a second, and packets. */
#define METERS                                                                                                         \
    METER(TIME_EXCEEDED, 1, 100, 50, "expired packets to the controller")                                              \
    METER(TOO_BIG, 2, 1000, 200, "packets too big to the controller")                                                  \
    METER(ND_SOLICIT, 3, 1000, 200, "neighbour solicitations to the controller, on a datapath that cannot answer them")

enum flow_meter_id {
#define METER(NAME, ID, RATE, BURST, MEANING) METER_##NAME = ID,
    METERS
#undef METER
};

/* To the controller and back. ------------------------------------------------------------------------------------ */

/* A flow that wants the controller's help sends the packet with userdata, 4 bytes, 'struct punt'.  The packet-in
 * (NXT_PACKET_IN2) holds at most PUNT_MAX_LEN bytes of the frame, as it left the sender but for the MACs and, if it is
 * too big, the TTL, and in its metadata the in_port, the network (FIELD_NETWORK) and the registers. */
enum punt_code {
    PUNT_TIME_EXCEEDED = 1,             /* Answer: ICMP time exceeded, ICMPv6 time exceeded. */
    PUNT_TOO_BIG = 2,                   /* Answer: ICMP fragmentation needed, ICMPv6 packet too big, with 'mtu'. */
    PUNT_ND_SOLICIT = 3,                /* Answer: neighbour advertisement.  Only with nd_by_controller. */
};

struct punt {
    uint8_t code;                       /* enum punt_code. */
    uint8_t zero;
    ovs_be16 mtu;                       /* PUNT_TOO_BIG: bytes of IP packet; else 0. */
};

/* Enough of the frame for any ICMP error: 1280 bytes of IP packet. */
#define PUNT_MAX_LEN (14 + 1280)

/* The answer to PUNT_TIME_EXCEEDED and PUNT_TOO_BIG is an IP packet from the node's gateway address of the family to
 * the source of the packet, in an Ethernet frame (both MACs: the router's) of type packet-out, in_port
 * OFPP_CONTROLLER.  Its actions are made here: the network of the packet-in, SOURCE_ROUTER, and into L3_FORWARD, which
 * finds the way back to a pod, a peer or the node.  It is neither counted as a hop nor measured.
 *
 * The answer to PUNT_ND_SOLICIT goes out of the in_port of the packet-in, without any table. */
void punt_reply_actions(uint32_t network, struct ofpbuf *ofpacts);

#endif /* flows/fields.h */
