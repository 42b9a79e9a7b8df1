/* Table 12, CT_STATE.
 *
 * Decides:  what of a connection is judged by policy: everything in its original direction, each packet.  So a new deny
 *           cuts connections that live.  Replies pass, and ICMP errors about a connection in either direction.
 * From:     CONNTRACK.
 * Reads:    ct_state, TCP flags and ports.
 * Writes:   DONE, COMMIT.
 * To:       L3_FORWARD for what is DONE, else FRAGMENT.
 *
 * Picked up in mid-stream.  A TCP packet without SYN of a connection that conntrack does not know belongs to one that
 * is older than the policy, or than ovs-vswitchd's memory.  Who began it is not to be seen, and if a reply were
 * committed the connection would have its directions exchanged: judged by the wrong side's rules, it could escape a
 * deny for ever.  So it is committed only if its ports say that it comes from the client (Linux's ephemeral ports begin
 * at 32768, net.ipv4.ip_local_port_range); otherwise it is judged as it stands, each time, until the client has sent
 * something.  UDP shows nothing of the kind: what comes first counts as the original direction.
 *
 * SYN+ACK of an unknown connection is invalid for conntrack, as is an echo reply. */

#include <config.h>

#include "tables.h"

/* Half of the ports: the ephemeral ones. */
#define CLIENT_PORT 0x8000

static void
judge(struct build *b, bool commit, unsigned int priority)
{
    if (commit) {
        build_load(b, FIELD_COMMIT, 1);
    }
    build_goto(b, TABLE_FRAGMENT);
    build_flow(b, TABLE_CT_STATE, priority);
}

static void
pass(struct build *b, unsigned int priority)
{
    build_load(b, FIELD_DONE, 1);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_CT_STATE, priority);
}

static void
related(struct build *b, uint16_t dl_type, uint8_t protocol)
{
    struct match *match = build_match(b);
    match_ct_state(match, CS_TRACKED | CS_RELATED);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_proto(match, protocol);
    pass(b, PRIORITY_CT_STATE_RELATED);
}

static struct match *
mid_stream(struct build *b, uint16_t dl_type)
{
    struct match *match = build_match(b);
    match_ct_state(match, CS_TRACKED | CS_NEW);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_proto(match, IPPROTO_TCP);
    match_set_tcp_flags_masked(match, htons(0), htons(TCP_SYN));
    return match;
}

static void
pick_up(struct build *b, uint16_t dl_type)
{
    struct match *match = mid_stream(b, dl_type);
    match_set_tp_src_masked(match, htons(CLIENT_PORT), htons(CLIENT_PORT));
    match_set_tp_dst_masked(match, htons(0), htons(CLIENT_PORT));
    judge(b, true, PRIORITY_CT_STATE_PICKED_UP);

    mid_stream(b, dl_type);
    judge(b, false, PRIORITY_CT_STATE_UNCERTAIN);
}

void
table_ct_state_base(struct build *b)
{
    match_ct_state(build_match(b), CS_TRACKED | CS_INVALID);
    build_flow(b, TABLE_CT_STATE, PRIORITY_CT_STATE_INVALID);

    match_ct_state(build_match(b), CS_TRACKED | CS_REPLY_DIR);
    pass(b, PRIORITY_CT_STATE_REPLY);
    related(b, ETH_TYPE_IP, IPPROTO_ICMP);
    related(b, ETH_TYPE_IPV6, IPPROTO_ICMPV6);

    match_ct_state(build_match(b), CS_TRACKED | CS_ESTABLISHED);
    judge(b, false, PRIORITY_CT_STATE_ESTABLISHED);
    pick_up(b, ETH_TYPE_IP);
    pick_up(b, ETH_TYPE_IPV6);
    match_ct_state(build_match(b), CS_TRACKED | CS_NEW);
    judge(b, true, PRIORITY_CT_STATE_NEW);

    build_match(b);
    build_flow(b, TABLE_CT_STATE, PRIORITY_CT_STATE_UNTRACKED);
}
