/* Table 10, CONNTRACK.
 *
 * Decides:  nothing: looks the packet's connection up, and gives the answers of endpoints the address that their client
 *           has asked.
 * From:     TRACK; SERVICE for fragments to a Service, and answers to who talks to itself.
 * Reads:    NETWORK, as the zone.
 * Writes:   ct_state and what belongs to it; addresses and ports of what was translated.
 * To:       CT_STATE, by recirculation: the only one that policy costs.  It serves both directions' policy.
 *
 * Conntrack puts fragments together to look at them.  The kernel's datapath goes on with the whole packet and cuts it
 * again when it sends; the userspace one goes on with the fragments, each with the state and ports of the whole. */

#include <config.h>

#include "tables.h"

void
table_conntrack_base(struct build *b)
{
    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        match_set_dl_type(build_match(b), htons(families[i]));
        build_ct(b, TABLE_CT_STATE);
        build_flow(b, TABLE_CONNTRACK, PRIORITY_CONNTRACK_LOOK_UP);
    }
    build_match(b);
    build_flow(b, TABLE_CONNTRACK, PRIORITY_CONNTRACK_OTHER);
}
