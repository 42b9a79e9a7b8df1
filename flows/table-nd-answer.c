/* Table 5, ND_ANSWER.
 *
 * Decides:  nothing: it is the second half of ARP_ND's answer to a neighbour solicitation.  OVS lets a flow write an
 *           advertisement's link-layer address only if it matches an advertisement, and ARP_ND matches the
 *           solicitation.
 * From:     ARP_ND.
 * Reads:    the ICMPv6 type.
 * Writes:   the target's link-layer address.
 * To:       the port that the solicitation came from. */

#include <config.h>

#include <netinet/icmp6.h>

#include "tables.h"

void
table_nd_answer_base(const struct flow_local *local, struct build *b)
{
    if (!local->kernel_datapath) {
        struct match *match = build_match(b);
        match_icmp6(match, ND_NEIGHBOR_ADVERT);
        match_set_icmp_code(match, 0);
        build_set(b, MFF_ND_TLL, &local->router_mac);
        build_output_in_port(b);
        build_flow(b, TABLE_ND_ANSWER, PRIORITY_ND_ANSWER_ADVERTISE);
    }
    build_match(b);
    build_flow(b, TABLE_ND_ANSWER, PRIORITY_ND_ANSWER_OTHER);
}
