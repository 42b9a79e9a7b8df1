/* Table 8, TRACK.
 *
 * Decides:  whether conntrack has to see the packet: a policy selects the local pod that sent it, or the one that gets
 *           it, in whatever direction.
 * From:     SERVICE; CLASSIFY for the tunnel.
 * Reads:    TRACK, NETWORK, the destination address.
 * Writes:   nothing.
 * To:       CONNTRACK, or L3_FORWARD for what no policy concerns.
 *
 * Conntrack must see both directions of a connection or neither, so the question is symmetric: what a pod sends is
 * tracked exactly if what it gets is. */

#include <config.h>

#include "tables.h"

void
table_track_base(struct build *b)
{
    match_field(build_match(b), FIELD_TRACK, 1);
    build_goto(b, TABLE_CONNTRACK);
    build_flow(b, TABLE_TRACK, PRIORITY_TRACK_FROM_SUBJECT);

    build_match(b);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_TRACK, PRIORITY_TRACK_UNCONCERNED);
}

void
table_track_pod(const struct flow_pod *pod, struct build *b)
{
    for (size_t i = 0; i < pod->n_addrs && pod_is_subject(pod); i++) {
        struct inet_prefix dst = inet_prefix_host(&pod->addrs[i]);
        struct match *match = build_match(b);
        match_field(match, FIELD_NETWORK, pod->network);
        match_ip_dst(match, &dst);
        build_goto(b, TABLE_CONNTRACK);
        build_flow(b, TABLE_TRACK, PRIORITY_TRACK_TO_SUBJECT);
    }
}
