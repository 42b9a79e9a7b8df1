#include <config.h>

#include "pinctrl.h"

#include <string.h>

#include "byte-order.h"
#include "dp-packet.h"
#include "fields.h"
#include "ofctrl.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/ofpbuf.h"
#include "punt-reply.h"
#include "util.h"

#define MAX_GATEWAYS 2                  /* One of each family. */

struct pinctrl {
    struct ofctrl *ofctrl;
    struct punt_local local;
    struct in6_addr gateway_addrs[MAX_GATEWAYS];
    struct pinctrl_stats stats;
    void (*dns)(const void *frame, size_t, ofp_port_t, void *aux);
    void *dns_aux;
    void (*policy_log)(const struct ofputil_packet_in *, void *aux);
    void *policy_log_aux;
};

static void packet_in(const struct ofp_header *, void *pinctrl);

struct pinctrl *
pinctrl_create(struct ofctrl *ofctrl)
{
    struct pinctrl *pinctrl = xzalloc(sizeof *pinctrl);

    pinctrl->ofctrl = ofctrl;
    ofctrl_set_packet_in(ofctrl, packet_in, pinctrl);
    return pinctrl;
}

void
pinctrl_destroy(struct pinctrl *pinctrl)
{
    if (pinctrl) {
        ofctrl_set_packet_in(pinctrl->ofctrl, NULL, NULL);
        free(pinctrl);
    }
}

void
pinctrl_set_local(struct pinctrl *pinctrl, const struct flow_local *local)
{
    size_t n = MIN(local->n_gateway_addrs, MAX_GATEWAYS);

    for (size_t i = 0; i < n; i++) {
        pinctrl->gateway_addrs[i] = local->gateway_addrs[i];
    }
    pinctrl->local = (struct punt_local) {
        .router_mac = local->router_mac, .gateway_addrs = pinctrl->gateway_addrs, .n_gateway_addrs = n,
    };
}

void
pinctrl_get_stats(const struct pinctrl *pinctrl, struct pinctrl_stats *stats)
{
    *stats = pinctrl->stats;
}

static uint32_t
network_of(const struct match *metadata)
{
    const struct flow_field_info *info = flow_field_info(FIELD_NETWORK);

    return ntohll(metadata->flow.metadata) >> info->ofs & ((UINT64_C(1) << info->n_bits) - 1);
}

static void
send_packet(struct pinctrl *pinctrl, const void *frame, size_t len, const struct ofpbuf *ofpacts)
{
    struct ofputil_packet_out po = {
        .packet = frame,
        .packet_len = len,
        .buffer_id = UINT32_MAX,
        .ofpacts = ofpacts->data,
        .ofpacts_len = ofpacts->size,
    };
    match_init_catchall(&po.flow_metadata);
    match_set_in_port(&po.flow_metadata, OFPP_CONTROLLER);
    ofctrl_send(pinctrl->ofctrl, ofputil_encode_packet_out(&po, OFPUTIL_P_OF15_OXM));
}

void
pinctrl_output(struct pinctrl *pinctrl, const void *frame, size_t len, ofp_port_t port)
{
    uint64_t stub[64 / 8];
    struct ofpbuf ofpacts;

    ofpbuf_use_stub(&ofpacts, stub, sizeof stub);
    ofpact_put_OUTPUT(&ofpacts)->port = port;
    send_packet(pinctrl, frame, len, &ofpacts);
    ofpbuf_uninit(&ofpacts);
}

void
pinctrl_set_dns(struct pinctrl *pinctrl, void (*cb)(const void *frame, size_t, ofp_port_t, void *aux), void *aux)
{
    pinctrl->dns = cb;
    pinctrl->dns_aux = aux;
}

void
pinctrl_set_policy_log(struct pinctrl *pinctrl, void (*cb)(const struct ofputil_packet_in *, void *aux), void *aux)
{
    pinctrl->policy_log = cb;
    pinctrl->policy_log_aux = aux;
}

static void
send_reply(struct pinctrl *pinctrl, const struct punt *punt, const struct match *metadata,
           const struct dp_packet *reply)
{
    uint64_t stub[256 / 8];
    struct ofpbuf ofpacts;

    if (punt->code == PUNT_ND_SOLICIT) {
        pinctrl_output(pinctrl, dp_packet_data(reply), dp_packet_size(reply), metadata->flow.in_port.ofp_port);
        return;
    }
    ofpbuf_use_stub(&ofpacts, stub, sizeof stub);
    punt_reply_actions(network_of(metadata), &ofpacts);
    send_packet(pinctrl, dp_packet_data(reply), dp_packet_size(reply), &ofpacts);
    ofpbuf_uninit(&ofpacts);
}

static void
dns_answer(struct pinctrl *pinctrl, const struct ofputil_packet_in *pin)
{
    const struct flow_field_info *info = flow_field_info(FIELD_OUT_PORT);
    uint32_t reg = pin->flow_metadata.flow.regs[info->store - MFF_REG0];
    ofp_port_t port = u16_to_ofp(reg >> info->ofs & ((1u << info->n_bits) - 1));

    if (pinctrl->dns) {
        pinctrl->dns(pin->packet, pin->packet_len, port, pinctrl->dns_aux);
    } else {
        pinctrl_output(pinctrl, pin->packet, pin->packet_len, port);
    }
}

static void
packet_in(const struct ofp_header *oh, void *pinctrl_)
{
    struct pinctrl *pinctrl = pinctrl_;
    struct ofputil_packet_in pin;
    struct punt punt;

    if (ofputil_decode_packet_in(oh, true, NULL, NULL, &pin, NULL, NULL, NULL) || pin.userdata_len != sizeof punt) {
        pinctrl->stats.n_malformed++;
        return;
    }
    memcpy(&punt, pin.userdata, sizeof punt);
    pinctrl->stats.n_received++;
    if (punt.code == PUNT_DNS) {
        dns_answer(pinctrl, &pin);
        return;
    } else if (punt.code == PUNT_POLICY_LOG) {
        if (pinctrl->policy_log) {
            pinctrl->policy_log(&pin, pinctrl->policy_log_aux);
        }
        return;
    }

    struct dp_packet *reply = punt_reply(&pinctrl->local, &punt, pin.packet, pin.packet_len);
    if (reply) {
        pinctrl->stats.n_answered++;
        send_reply(pinctrl, &punt, &pin.flow_metadata, reply);
        dp_packet_delete(reply);
    } else {
        pinctrl->stats.n_unanswered++;
    }
}
