#include <config.h>

#include "compile.h"

#include "cookie.h"
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
        if (meters[i].meter_id != METER_ND_SOLICIT || local->nd_by_controller) {
            flow_set_add_meter(out, &meters[i]);
        }
    }
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
    table_l3_forward_base(local, &b);
    table_transit_base(local, &b);
    table_mtu_base(local, &b);
    table_output_base(&b);
    build_destroy(&b);
    compile_meters(local, out);
}

void
compile_pod(const struct flow_local *local, const struct flow_pod *pod, struct flow_set *out)
{
    struct build b;
    build_init(&b, out, cookie_from_owner(pod->owner));
    table_classify_pod(pod, &b);
    table_spoof_guard_pod(local, pod, &b);
    table_l3_forward_pod(local, pod, &b);
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
