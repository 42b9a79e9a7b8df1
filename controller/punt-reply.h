#ifndef SLUICE_PUNT_REPLY_H
#define SLUICE_PUNT_REPLY_H 1

/* The answers to packets that br-int gives to the controller (enum punt_code of flows/fields.h).  Pure: a frame
 * in, a frame out. The bytes come from pods and peers, so nothing in them is believed.
 *
 * PUNT_TIME_EXCEEDED   ICMP time exceeded in transit (RFC 792, RFC 1812 5.2.7.3), ICMPv6 time exceeded (RFC 4443
 * 3.3) PUNT_TOO_BIG         ICMP fragmentation needed with the next hop's MTU (RFC 1191), ICMPv6 packet too big
 * (RFC 4443 3.2) PUNT_ND_SOLICIT      neighbour advertisement of the router's MAC (RFC 4861 4.4)
 * PUNT_REJECT          TCP: a reset, as from the closed port (RFC 9293 3.10.7.1), never in answer to one; else ICMP port
 * unreachable (RFC 792), ICMPv6 destination unreachable, code 4 (RFC 4443 3.1)
 *
 * PUNT_REJECT is answered as if by the address that was asked for.  Other errors come from the gateway address of the
 * family; if there is none, there is no error.
 *
 * An ICMP error quotes the packet that caused it: up to 576 bytes altogether in IPv4 (RFC 1812 4.3.2.3), up to
 * 1280 in IPv6.  None is sent about an ICMP error or a redirect, a packet to or from a multicast, broadcast or
 * otherwise not single address, a fragment but the first, or headers that cannot be followed to their end (RFC
 * 1122 3.2.2, RFC 4443 2.4 e).
 *
 * Fragmentation needed is also sent about packets that may be fragmented (DF is not set).  A router would
 * fragment them; OVS cannot.  The sender's stack lowers its path MTU all the same and fragments the next ones
 * itself. */

#include <stddef.h>
#include <stdint.h>

#include "fields.h"
#include "inet.h"
#include "openvswitch/types.h"

struct dp_packet;

/* Who answers. */
struct punt_local {
    struct eth_addr router_mac;
    const struct in6_addr *gateway_addrs;       /* At most one of each family. */
    size_t n_gateway_addrs;
};

/* Returns the answer to 'frame' ('len' bytes, perhaps truncated), for the caller to dp_packet_delete(), or NULL
 * if there must be none. */
struct dp_packet *punt_reply(const struct punt_local *, const struct punt *, const void *frame, size_t len);

#endif /* controller/punt-reply.h */
