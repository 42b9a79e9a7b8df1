/* Table 14, L4.
 *
 * Decides:  nothing: brings protocol and destination port into one field, for rules with ports of either direction.
 * From:     FRAGMENT.
 * Reads:    the protocol, the port.
 * Writes:   L4.
 * To:       DST_IDENTITY.
 *
 * A protocol without ports has port 0, and so no rule with ports matches it: ICMP and ICMPv6 echo pass only by rules
 * without ports. */

#include <config.h>

#include "tables.h"

static const struct {
    uint8_t protocol;
    enum mf_field_id port;
} l4[] = {
    { IPPROTO_TCP, MFF_TCP_DST },
    { IPPROTO_UDP, MFF_UDP_DST },
    { IPPROTO_SCTP, MFF_SCTP_DST },
};

static void
load(struct build *b, uint16_t dl_type, uint8_t protocol, enum mf_field_id port, unsigned int priority)
{
    struct match *match = build_match(b);
    match_set_dl_type(match, htons(dl_type));
    if (protocol) {
        match_set_nw_proto(match, protocol);
    }
    build_move_to_field(b, MFF_IP_PROTO, FIELD_L4, 16);
    if (port) {
        build_move_to_field(b, port, FIELD_L4, 0);
    }
    build_goto(b, TABLE_DST_IDENTITY);
    build_flow(b, TABLE_L4, priority);
}

void
table_l4_base(struct build *b)
{
    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };

    for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
        for (size_t i = 0; i < ARRAY_SIZE(l4); i++) {
            load(b, families[f], l4[i].protocol, l4[i].port, PRIORITY_L4_PORT);
        }
        load(b, families[f], 0, 0, PRIORITY_L4_NO_PORT);
    }
    build_match(b);
    build_flow(b, TABLE_L4, PRIORITY_L4_OTHER);
}
