/* Table 12, CT_STATE.
 *
 * Decides:  what of a connection is judged by policy: everything in its original direction, each packet.  So a new deny
 *           cuts connections that live.  Replies pass, and ICMP errors about a connection in either direction, if policy
 *           has let the original direction pass: a connection to a Service is committed before, so who must not talk to
 *           an endpoint could else be answered.
 * From:     CONNTRACK; SERVICE and SERVICE_SELECT through conntrack.
 * Reads:    ct_state, ct_mark, LENIENT, VIP, HAIRPIN, TCP flags and ports.
 * Writes:   DONE, COMMIT.
 * To:       L3_FORWARD for what is DONE, or LENIENT; else FRAGMENT.
 *
 * What went through a door and was not translated must not go on: some host would get it that nobody meant.  That is a
 * connection older than the Service (until it is flushed), a fragment that conntrack cannot assign, a full table.
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

/* ICMP errors about a connection. */
static struct match *
related(struct build *b, uint16_t dl_type, uint8_t protocol)
{
    struct match *match = build_match(b);
    match_ct_state(match, CS_TRACKED | CS_RELATED);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_proto(match, protocol);
    return match;
}

static void
answers(struct build *b)
{
    static const struct {
        uint16_t dl_type;
        uint8_t protocol;
    } icmp[] = { { ETH_TYPE_IP, IPPROTO_ICMP }, { ETH_TYPE_IPV6, IPPROTO_ICMPV6 } };

    struct match *match = build_match(b);
    match_ct_state(match, CS_TRACKED | CS_REPLY_DIR);
    match_ct_mark(match, 0);
    build_flow(b, TABLE_CT_STATE, PRIORITY_CT_STATE_UNANSWERABLE);
    match_ct_state(build_match(b), CS_TRACKED | CS_REPLY_DIR);
    pass(b, PRIORITY_CT_STATE_REPLY);

    for (size_t i = 0; i < ARRAY_SIZE(icmp); i++) {
        match_ct_mark(related(b, icmp[i].dl_type, icmp[i].protocol), 0);
        build_flow(b, TABLE_CT_STATE, PRIORITY_CT_STATE_UNANSWERABLE);
        related(b, icmp[i].dl_type, icmp[i].protocol);
        pass(b, PRIORITY_CT_STATE_RELATED);
    }
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

static void
drop(struct build *b, unsigned int priority)
{
    build_flow(b, TABLE_CT_STATE, priority);
}

void
table_ct_state_base(struct build *b)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_LENIENT, 1);
    match_ct_state(match, CS_TRACKED | CS_INVALID);
    build_goto(b, TABLE_L3_FORWARD);
    build_flow(b, TABLE_CT_STATE, PRIORITY_CT_STATE_LENIENT);
    match_ct_state(build_match(b), CS_TRACKED | CS_INVALID);
    drop(b, PRIORITY_CT_STATE_INVALID);

    answers(b);
    match_field(build_match(b), FIELD_HAIRPIN, 1);
    drop(b, PRIORITY_CT_STATE_STRAY);
    match = build_match(b);
    match_field(match, FIELD_VIP, 1);
    match_set_ct_state_masked(match, 0, CS_DST_NAT);
    drop(b, PRIORITY_CT_STATE_NO_ENDPOINT);

    match = build_match(b);
    match_ct_state(match, CS_TRACKED);
    match_ct_mark(match, CT_MARK_ALLOWED);
    judge(b, false, PRIORITY_CT_STATE_ESTABLISHED);
    match_ct_state(build_match(b), CS_TRACKED | CS_ESTABLISHED);
    judge(b, true, PRIORITY_CT_STATE_UNMARKED);
    match_ct_state(build_match(b), CS_TRACKED | CS_NEW | CS_DST_NAT);
    judge(b, true, PRIORITY_CT_STATE_TRANSLATED);
    pick_up(b, ETH_TYPE_IP);
    pick_up(b, ETH_TYPE_IPV6);
    match_ct_state(build_match(b), CS_TRACKED | CS_NEW);
    judge(b, true, PRIORITY_CT_STATE_NEW);

    build_match(b);
    drop(b, PRIORITY_CT_STATE_UNTRACKED);
}
