#include <config.h>

#include "compile.h"

#include "cookie.h"
#include "service-flow.h"
#include "tables.h"

static void
compile_meters(const struct flow_local *local, struct flow_set *out)
{
    static const struct flow_meter meters[] = {
#define METER(NAME, ID, RATE, BURST, MEANING) { .meter_id = ID, .rate = RATE, .burst = BURST },
        METERS
#undef METER
    };
    for (size_t i = 0; i < ARRAY_SIZE(meters); i++) {
        if (meters[i].meter_id != METER_ND_SOLICIT || local->kernel_datapath) {
            flow_set_add_meter(out, &meters[i]);
        }
    }
}

uint32_t
pod_subject(const struct flow_pod *pod, enum flow_direction direction)
{
    const struct flow_pod_policy *policy = &pod->policy;

    if (pod->isolated) {
        return 0;
    }
    uint32_t subject = policy->subject[direction];
    return !subject && policy->isolated[direction] ? FLOW_SUBJECT_NO_RULES : subject;
}

bool
pod_is_subject(const struct flow_pod *pod)
{
    return pod_subject(pod, FLOW_EGRESS) || pod_subject(pod, FLOW_INGRESS);
}

void
match_hairpin(struct match *match, const struct flow_pod *pod, const struct in6_addr *addr)
{
    struct inet_prefix dst = inet_prefix_host(addr);
    match_field(match, FIELD_NETWORK, pod->network);
    match_field(match, FIELD_SOURCE, SOURCE_POD);
    match_ip_src(match, addr);
    match_ip_dst(match, &dst);
}

void
compile_base(const struct flow_local *local, struct flow_set *out)
{
    struct build b;
    build_init(&b, out, cookie_from_owner(OWNER_BASE));
    table_classify_base(local, &b);
    table_spoof_guard_base(&b);
    table_arp_nd_base(local, &b);
    table_nd_answer_base(local, &b);
    table_service_base(local, &b);
    table_track_base(&b);
    table_conntrack_base(&b);
    table_ct_state_base(&b);
    table_fragment_base(&b);
    table_l4_base(&b);
    table_dst_identity_base(&b);
    table_policy_base(&b);
    table_verdict_base(&b);
    table_l3_forward_base(local, &b);
    table_transit_base(local, &b);
    table_mtu_base(local, &b);
    table_src_identity_base(&b);
    table_ct_commit_base(local, &b);
    table_output_base(local, &b);
    build_destroy(&b);
    compile_meters(local, out);
    flow_set_add_group(out, flow_make_hash_group());
}

void
compile_pod(const struct flow_local *local, const struct flow_pod *pod, struct flow_set *out)
{
    struct build b;
    build_init(&b, out, cookie_from_owner(pod->owner));
    table_classify_pod(pod, &b);
    table_spoof_guard_pod(local, pod, &b);
    table_track_pod(pod, &b);
    table_dst_identity_pod(pod, &b);
    table_policy_pod(pod, &b);
    table_l3_forward_pod(local, pod, &b);
    table_output_pod(pod, &b);
    build_destroy(&b);
}

void
compile_peer(const struct flow_local *local, const struct flow_peer *peer, struct flow_set *out)
{
    struct build b;
    build_init(&b, out, cookie_from_owner(peer->owner));
    table_arp_nd_peer(local, peer, &b);
    table_l3_forward_peer(local, peer, &b);
    build_destroy(&b);
}

void
compile(const struct flow_input *input, struct flow_set *out)
{
    compile_base(&input->local, out);
    for (size_t i = 0; i < input->n_pods; i++) {
        compile_pod(&input->local, &input->pods[i], out);
    }
    for (size_t i = 0; i < input->n_peers; i++) {
        compile_peer(&input->local, &input->peers[i], out);
    }
    flow_set_sort(out);
}
