/* controller/of-msg.h: a message of the switch, as ofctrl.c takes it: dumps, packet-ins and errors. */

#include <config.h>

#include <string.h>

#include "controller/of-msg.h"
#include "controller/punt-reply.h"
#include "fuzz.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"
#include "util.h"

/* The same decisions as in pinctrl.c. */
static void
packet_in(const struct ofp_header *oh)
{
    struct ofputil_packet_in pin;
    if (!ofputil_decode_packet_in(oh, true, NULL, NULL, &pin, NULL, NULL, NULL)) {
        struct punt_local local = { ETH_ADDR_C(02,53,4c,00,00,01), NULL, 0 };
        struct punt punt = { .code = PUNT_TIME_EXCEEDED };
        FUZZ_CHECK(!punt_reply(&local, &punt, pin.packet, pin.packet_len), "an answer from nobody");
    }
}

static void
take_meter(uint32_t meter_id OVS_UNUSED, uint64_t n OVS_UNUSED, void *aux OVS_UNUSED)
{
}

static void
same_again(const struct ofp_header *oh)
{
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_group_desc gd;

    while (!ofputil_decode_group_desc_reply(&gd, &msg, OFP15_VERSION)) {
        struct group_entry *a = group_entry_from_desc(&gd), *b = group_entry_from_desc(&gd);
        struct ds s = DS_EMPTY_INITIALIZER;
        FUZZ_CHECK(group_entry_equal(a, b), "a group is not itself");
        group_entry_format(a, &s);
        ds_destroy(&s);
        group_entry_unref(a);
        group_entry_unref(b);
        ofputil_uninit_group_desc(&gd);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof(struct ofp_header) || size > UINT16_MAX) {
        return 0;
    }

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);        /* libopenvswitch reports each bad message. */

    /* rconn gives whole messages of the version that was agreed. */
    struct ofp_header *oh = xmemdup(data, size);
    oh->version = OFP15_VERSION;
    oh->length = htons(size);
    struct of_state *state = of_state_create();
    enum ofptype type;
    if (!ofptype_decode(&type, oh)) {
        of_state_connected(state);
        if (type == OFPTYPE_FLOW_STATS_REPLY) {
            of_msg_decode_flows(oh, state);
        } else if (type == OFPTYPE_GROUP_DESC_STATS_REPLY) {
            of_msg_decode_groups(oh, state);
            same_again(oh);
        } else if (type == OFPTYPE_METER_CONFIG_STATS_REPLY) {
            of_msg_decode_meters(oh, state);
        } else if (type == OFPTYPE_METER_STATS_REPLY) {
            of_msg_decode_meter_stats(oh, take_meter, NULL);
        } else if (type == OFPTYPE_PACKET_IN) {
            packet_in(oh);
        } else if (type == OFPTYPE_ERROR) {
            struct ofpbuf payload;
            ofperr_decode_msg(oh, &payload);
            ofpbuf_uninit(&payload);
        }
        of_state_start(state);
        of_state_dump_done(state);
        of_state_next(state);
    }
    of_state_destroy(state);
    free(oh);
    return 0;
}
