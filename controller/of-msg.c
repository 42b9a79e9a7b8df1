#include <config.h>

#include "of-msg.h"

#include "byte-order.h"
#include "controller/ct-entry.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-connection.h"
#include "openvswitch/ofp-ct.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofp-meter.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/ofp-switch.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "pipeline.h"
#include "util.h"

#define OF_VERSION OFP15_VERSION
#define PROTOCOL OFPUTIL_P_OF15_OXM
#define BUNDLE_FLAGS (OFPBF_ATOMIC | OFPBF_ORDERED)
#define METER_FLAGS (OFPMF13_PKTPS | OFPMF13_BURST | OFPMF13_STATS)

struct ofpbuf *
of_msg_set_xid(struct ofpbuf *msg, uint32_t xid)
{
    struct ofp_header *oh = msg->data;

    oh->xid = htonl(xid);
    return msg;
}

/* Changes. ------------------------------------------------------------------------------------------------------- */

static struct ofpbuf *
flow_mod(const struct flow_entry *flow, uint16_t command)
{
    struct ofputil_flow_mod fm = {
        .priority = flow->priority,
        .table_id = flow->table_id,
        .command = command,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };

    minimatch_clone(&fm.match, &flow->match);
    if (command == OFPFC_ADD) {
        fm.new_cookie = htonll(flow->cookie);
        fm.ofpacts = flow->ofpacts;
        fm.ofpacts_len = flow->ofpacts_len;
    }
    struct ofpbuf *msg = ofputil_encode_flow_mod(&fm, PROTOCOL);
    minimatch_destroy(&fm.match);
    return msg;
}

static struct ofpbuf *
meter_mod(const struct flow_meter *meter, uint16_t command)
{
    struct ofputil_meter_band band = {
        .type = OFPMBT13_DROP, .rate = meter->rate, .burst_size = meter->burst,
    };
    struct ofputil_meter_mod mm = {
        .command = command,
        .meter = { .meter_id = meter->meter_id, .flags = METER_FLAGS, .n_bands = 1, .bands = &band },
    };
    return ofputil_encode_meter_mod(OF_VERSION, &mm);
}

static struct ofpbuf *
group_delete(uint32_t group_id)
{
    struct ofputil_group_mod gm = {
        .command = OFPGC11_DELETE, .group_id = group_id, .command_bucket_id = OFPG15_BUCKET_ALL,
    };

    ovs_list_init(&gm.buckets);
    return ofputil_encode_group_mod(OF_VERSION, &gm, NULL, -1);
}

static struct ofpbuf *
encode_change(const struct of_change *change)
{
    switch (change->type) {
    case OF_FLOW_ADD:
        return flow_mod(change->flow, OFPFC_ADD);
    case OF_FLOW_DELETE:
        return flow_mod(change->flow, OFPFC_DELETE_STRICT);
    case OF_GROUP_ADD:
        return group_entry_encode(change->group, OFPGC11_ADD);
    case OF_GROUP_MODIFY:
        return group_entry_encode(change->group, OFPGC11_MODIFY);
    case OF_GROUP_DELETE:
        return group_delete(group_entry_id(change->group));
    case OF_METER_ADD:
        return meter_mod(&change->meter, OFPMC13_ADD);
    case OF_METER_MODIFY:
        return meter_mod(&change->meter, OFPMC13_MODIFY);
    case OF_METER_DELETE:
        return meter_mod(&change->meter, OFPMC13_DELETE);
    }
    OVS_NOT_REACHED();
}

struct ofpbuf *
of_msg_change(const struct of_change *change, uint32_t xid)
{
    return of_msg_set_xid(encode_change(change), xid);
}

struct ofpbuf *
of_msg_bundled(const struct of_change *change, uint32_t bundle_id, uint32_t xid)
{
    struct ofpbuf *inner = of_msg_change(change, xid);
    struct ofputil_bundle_add_msg add = { .bundle_id = bundle_id, .flags = BUNDLE_FLAGS, .msg = inner->data };
    struct ofpbuf *msg = ofputil_encode_bundle_add(OF_VERSION, &add);

    ofpbuf_delete(inner);
    return msg;
}

struct ofpbuf *
of_msg_bundle_control(uint16_t type, uint32_t bundle_id, uint32_t xid)
{
    struct ofputil_bundle_ctrl_msg bc = { .bundle_id = bundle_id, .type = type, .flags = BUNDLE_FLAGS };

    return of_msg_set_xid(ofputil_encode_bundle_ctrl_request(OF_VERSION, &bc), xid);
}

struct ofpbuf *
of_msg_barrier(uint32_t xid)
{
    return of_msg_set_xid(ofputil_encode_barrier_request(OF_VERSION), xid);
}

/* Packet-ins. ---------------------------------------------------------------------------------------------------- */

struct ofpbuf *
of_msg_packet_in_format(void)
{
    return ofputil_encode_set_packet_in_format(OF_VERSION, OFPUTIL_PACKET_IN_NXT2);
}

struct ofpbuf *
of_msg_async_config(void)
{
    struct ofputil_async_cfg config = OFPUTIL_ASYNC_CFG_INIT;

    config.primary[OAM_PACKET_IN] = 1u << OFPR_ACTION | OFPR14_ACTION_BITS;
    return ofputil_encode_set_async_config(&config, UINT32_MAX, OF_VERSION);
}

struct ofpbuf *
of_msg_switch_config(void)
{
    const struct ofputil_switch_config config = {
        .frag = OFPUTIL_FRAG_NORMAL, .invalid_ttl_to_controller = -1, .miss_send_len = OFPCML12_NO_BUFFER,
    };
    return ofputil_encode_set_config(&config, OF_VERSION);
}

/* The dump. ------------------------------------------------------------------------------------------------------ */

struct ofpbuf *
of_msg_flow_request(uint32_t xid, uint64_t cookie, uint64_t mask)
{
    struct ofputil_flow_stats_request request = {
        .out_port = OFPP_ANY, .out_group = OFPG_ANY, .table_id = OFPTT_ALL,
        .cookie = htonll(cookie), .cookie_mask = htonll(mask),
    };

    match_init_catchall(&request.match);
    return of_msg_set_xid(ofputil_encode_flow_stats_request(&request, PROTOCOL), xid);
}

struct ofpbuf *
of_msg_use_request(uint32_t xid, uint8_t table_id, const struct match *match)
{
    struct ofputil_flow_stats_request request = {
        .match = *match, .out_port = OFPP_ANY, .out_group = OFPG_ANY, .table_id = table_id,
    };

    return of_msg_set_xid(ofputil_encode_flow_stats_request(&request, PROTOCOL), xid);
}

int
of_msg_decode_use(const struct ofp_header *oh, void (*cb)(uint8_t table_id, const struct match *, int idle, void *aux),
                  void *aux)
{
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_flow_stats fs;
    struct ofpbuf ofpacts;
    uint64_t stub[1024 / 8];
    int error;

    ofpbuf_use_stub(&ofpacts, stub, sizeof stub);
    while (!(error = ofputil_decode_flow_stats_reply(&fs, &msg, true, &ofpacts))) {
        if (fs.idle_age >= 0) {
            cb(fs.table_id, &fs.match, fs.idle_age, aux);
        }
        ofpbuf_clear(&ofpacts);
    }
    ofpbuf_uninit(&ofpacts);
    return error == EOF ? 0 : error;
}

struct ofpbuf *
of_msg_flow_count_request(uint32_t xid)
{
    struct ofputil_flow_stats_request request = {
        .aggregate = true, .out_port = OFPP_ANY, .out_group = OFPG_ANY, .table_id = OFPTT_ALL,
    };

    match_init_catchall(&request.match);
    return of_msg_set_xid(ofputil_encode_flow_stats_request(&request, PROTOCOL), xid);
}

int
of_msg_decode_flow_count(const struct ofp_header *oh, size_t *n)
{
    struct ofputil_aggregate_stats stats = { .flow_count = 0 };
    int error = ofputil_decode_aggregate_stats_reply(&stats, oh);

    *n = stats.flow_count;
    return error;
}

struct ofpbuf *
of_msg_group_request(uint32_t xid)
{
    return of_msg_set_xid(ofputil_encode_group_desc_request(OF_VERSION, OFPG_ALL), xid);
}

struct ofpbuf *
of_msg_meter_request(uint32_t xid)
{
    return of_msg_set_xid(ofputil_encode_meter_request(OF_VERSION, OFPUTIL_METER_CONFIG, OFPM13_ALL), xid);
}

struct ofpbuf *
of_msg_meter_stats_request(uint32_t xid, uint32_t meter_id)
{
    return of_msg_set_xid(ofputil_encode_meter_request(OF_VERSION, OFPUTIL_METER_STATS, meter_id), xid);
}

int
of_msg_decode_meter_stats(const struct ofp_header *oh, void (*cb)(uint32_t meter_id, uint64_t n_held_back, void *aux),
                          void *aux)
{
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_meter_stats stats;
    struct ofpbuf bands;
    uint64_t stub[256 / 8];
    int error;

    ofpbuf_use_stub(&bands, stub, sizeof stub);
    while (!(error = ofputil_decode_meter_stats(&msg, &stats, &bands))) {
        uint64_t n = 0;

        for (size_t i = 0; i < stats.n_bands; i++) {
            n += stats.bands[i].packet_count;
        }
        cb(stats.meter_id, n, aux);
        ofpbuf_clear(&bands);
    }
    ofpbuf_uninit(&bands);
    return error == EOF ? 0 : error;
}

/* With all of the original direction and nothing of the other the switch finds the one connection at once. */
struct ofpbuf *
of_msg_flush_ct(uint16_t zone, const struct ct_entry *e)
{
    struct ofp_ct_match match = {
        .ip_proto = e->protocol, .l3_type = IN6_IS_ADDR_V4MAPPED(&e->vip) ? AF_INET : AF_INET6,
        .tuple_orig = { .dst = e->vip, .dst_port = htons(e->vip_port) },
    };

    if (e->client_port) {
        match.tuple_orig.src = e->client;
        match.tuple_orig.src_port = htons(e->client_port);
    } else {
        match.tuple_reply.src = e->endpoint;
        match.tuple_reply.src_port = htons(e->endpoint_port);
    }
    return ofp_ct_match_encode(&match, &zone, OF_VERSION);
}

int
of_msg_decode_flows(const struct ofp_header *oh, struct of_state *state)
{
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_flow_stats fs;
    struct ofpbuf ofpacts;
    uint64_t stub[1024 / 8];
    int error;

    ofpbuf_use_stub(&ofpacts, stub, sizeof stub);
    while (!(error = ofputil_decode_flow_stats_reply(&fs, &msg, false, &ofpacts))) {
        bool plain = !fs.idle_timeout && !fs.hard_timeout && !fs.flags && !fs.importance;
        bool learned = fs.table_id == TABLE_SERVICE_AFFINITY && fs.idle_timeout;
        uint64_t cookie = plain ? ntohll(fs.cookie) : 0;

        if (!learned) {
            of_state_dumped_flow(state, flow_entry_create(fs.table_id, fs.priority, cookie, &fs.match, fs.ofpacts,
                                                          fs.ofpacts_len));
        }
        ofpbuf_clear(&ofpacts);
    }
    ofpbuf_uninit(&ofpacts);
    return error == EOF ? 0 : error;
}

int
of_msg_decode_groups(const struct ofp_header *oh, struct of_state *state)
{
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_group_desc gd;
    int error;

    while (!(error = ofputil_decode_group_desc_reply(&gd, &msg, OF_VERSION))) {
        of_state_dumped_group(state, group_entry_from_desc(&gd));
        ofputil_uninit_group_desc(&gd);
    }
    return error == EOF ? 0 : error;
}

int
of_msg_decode_meters(const struct ofp_header *oh, struct of_state *state)
{
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_meter_config mc;
    struct ofpbuf bands;
    uint64_t stub[256 / 8];
    int error;

    ofpbuf_use_stub(&bands, stub, sizeof stub);
    while (!(error = ofputil_decode_meter_config(&msg, &mc, &bands))) {
        bool ours = mc.flags == METER_FLAGS && mc.n_bands == 1 && mc.bands[0].type == OFPMBT13_DROP;
        struct flow_meter meter = { mc.meter_id, ours ? mc.bands[0].rate : 0, ours ? mc.bands[0].burst_size : 0 };

        of_state_dumped_meter(state, &meter);
        ofpbuf_clear(&bands);
    }
    ofpbuf_uninit(&bands);
    return error == EOF ? 0 : error;
}
