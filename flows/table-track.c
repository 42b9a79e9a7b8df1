/* Table 8, TRACK.
 *
 * Decides:  whether conntrack has to see the packet: a policy selects the local pod that sent it, or the one that gets
 *           it, in whatever direction; or it may belong to a connection to a Service: it comes from or goes to a port
 *           that some endpoint has (flow_add_tracked_port()), its port is not to be seen (fragments), or it is an error
 *           about one.
 * From:     SERVICE; CLASSIFY for the tunnel.
 * Reads:    TRACK, NETWORK, SOURCE, the addresses and ports.
 * Writes:   LENIENT.
 * To:       CONNTRACK, or L3_FORWARD for what no policy and no Service concerns.
 *
 * Conntrack must see both directions of a connection or neither, so the question is symmetric: what a pod sends is
 * tracked exactly if what it gets is.  Fragments and errors may be tracked alone; LENIENT lets pass what conntrack then
 * calls invalid.  So it is with SCTP on the userspace datapath, whose conntrack does not know it. */

#include <config.h>

#include "service-flow.h"
#include "tables.h"

static void
drop_link(const char *text, struct build *b)
{
    struct inet_prefix prefix = inet_cidr_constant(text);

    struct match *match = build_match(b);
    match_field(match, FIELD_SOURCE, SOURCE_TUNNEL);
    match_ip_src_prefix(match, &prefix);
    build_flow(b, TABLE_TRACK, PRIORITY_TRACK_LINK);
    match = build_match(b);
    match_field(match, FIELD_SOURCE, SOURCE_TUNNEL);
    match_ip_dst(match, &prefix);
    build_flow(b, TABLE_TRACK, PRIORITY_TRACK_LINK);
}

static void
leniently(struct build *b, unsigned int priority)
{
    build_load(b, FIELD_LENIENT, 1);
    build_goto(b, TABLE_CONNTRACK);
    build_flow(b, TABLE_TRACK, priority);
}

static void
fragment(uint16_t dl_type, struct build *b)
{
    struct match *match = build_match(b);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_frag_masked(match, FLOW_NW_FRAG_ANY, FLOW_NW_FRAG_ANY);
    leniently(b, PRIORITY_TRACK_FRAGMENT);
}

void
table_track_base(struct build *b)
{
    drop_link(FLOW_LINK_PREFIX_V4, b);
    drop_link(FLOW_LINK_PREFIX_V6, b);

    match_field(build_match(b), FIELD_TRACK, 1);
    build_goto(b, TABLE_CONNTRACK);
    build_flow(b, TABLE_TRACK, PRIORITY_TRACK_FROM_SUBJECT);

    fragment(ETH_TYPE_IP, b);
    fragment(ETH_TYPE_IPV6, b);
    for (size_t i = 0; match_icmp_error(build_match(b), i); i++) {
        leniently(b, PRIORITY_TRACK_ICMP_ERROR);
    }

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
