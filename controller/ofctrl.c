#include <config.h>

#include "ofctrl.h"

#include <string.h>
#include <unistd.h>

#include "of-msg.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "socket-watch.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ofctrl);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

#define MAX_BACKOFF 8                   /* Seconds between attempts while nothing listens. */
#define RETRY_MS_MAX 64                 /* See socket_appeared(). */
#define MAX_RECV 64                     /* Messages per turn of the loop. */
#define MAX_CHANGES_PER_RUN 1000
#define MAX_QUEUED 1000                 /* Messages that the switch has not read yet. */
#define FIRST_XID 0x80000000            /* Far from the numbers that libopenvswitch gives. */
#define USE_XID (FIRST_XID - 1)         /* Of what ofctrl_ask_*() ask. */

enum dump_part { DUMP_FLOWS = 1 << 0, DUMP_GROUPS = 1 << 1, DUMP_METERS = 1 << 2, DUMP_COUNT = 1 << 3 };
#define N_DUMP_PARTS 4

/* The flows are asked for in slices, by some bits of the cookie, one after the other.  ovs-vswitchd carries packets in
 * the thread that answers (userspace datapaths): it wrote down 9,000 flows in one go while the sockets of busy pods
 * overflowed.  How many slices depends on how many flows there are, which is asked first. */
#define MAX_SLICES 32
#define SLICE_FLOWS 300

/* What became of the bundle under way. */
enum bundle_phase {
    BUNDLE_NONE,
    BUNDLE_ADDING,                      /* Changes are being sent. */
    BUNDLE_ADDED,                       /* All sent; its barrier tells whether all were taken. */
    BUNDLE_COMMITTING,                  /* Committed (or the only change was sent); its barrier tells. */
    BUNDLE_DISCARDING,
};

struct ofctrl {
    char *target;
    const char *socket;                 /* Path in 'target', or NULL if it is no Unix socket. */
    struct socket_watch *watch;
    long long int retry_at;             /* LLONG_MAX: no retry of our own. */
    int retry_ms;

    struct rconn *rconn;
    struct rconn_packet_counter *tx;
    unsigned int rconn_seqno;
    bool connected;
    unsigned int n_connections;
    uint32_t next_xid;

    struct of_state *state;

    unsigned int dump_missing;          /* enum dump_part. */
    unsigned int slice, n_slices;       /* Of the flows.  A power of 2. */
    uint32_t first_dump_xid;            /* N_DUMP_PARTS of them. */

    enum bundle_phase phase;
    const struct of_bundle *bundle;
    size_t n_sent;
    uint32_t bundle_id;
    uint32_t open_xid, first_xid, commit_xid, barrier_xid;
    size_t bad_index;                   /* SIZE_MAX: none. */
    enum ofperr error;                  /* 0: none. */

    void (*packet_in)(const struct ofp_header *, void *aux);
    void *packet_in_aux;
    void (*use)(uint8_t table_id, const struct match *, int idle, void *aux);
    void *use_aux;
    void (*meter)(uint32_t meter_id, uint64_t n_held_back, void *aux);
    void *meter_aux;
};

static bool socket_exists(const struct ofctrl *);
static void connection_run(struct ofctrl *);
static void connected(struct ofctrl *);
static void disconnected(struct ofctrl *);
static void receive(struct ofctrl *, const struct ofpbuf *);
static void bundle_run(struct ofctrl *);
static void send_counted(struct ofctrl *, struct ofpbuf *);

struct ofctrl *
ofctrl_create(const char *target)
{
    struct ofctrl *ctrl = xzalloc(sizeof *ctrl);

    ctrl->target = xstrdup(target);
    ctrl->socket = !strncmp(ctrl->target, "unix:", 5) ? ctrl->target + 5 : NULL;
    ctrl->retry_at = LLONG_MAX;
    ctrl->next_xid = FIRST_XID;
    ctrl->state = of_state_create();
    ctrl->rconn = rconn_create(0, MAX_BACKOFF, 0, 1u << OFP15_VERSION);
    ctrl->tx = rconn_packet_counter_create();
    ctrl->rconn_seqno = rconn_get_connection_seqno(ctrl->rconn);

    ctrl->watch = socket_watch_create(target);
    if (socket_exists(ctrl)) {
        rconn_connect(ctrl->rconn, target, target);
    }
    return ctrl;
}

void
ofctrl_destroy(struct ofctrl *ctrl)
{
    if (ctrl) {
        rconn_destroy(ctrl->rconn);
        rconn_packet_counter_destroy(ctrl->tx);
        socket_watch_destroy(ctrl->watch);
        of_state_destroy(ctrl->state);
        free(ctrl->target);
        free(ctrl);
    }
}

void
ofctrl_run(struct ofctrl *ctrl)
{
    connection_run(ctrl);
    for (int i = 0; ctrl->connected && i < MAX_RECV; i++) {
        struct ofpbuf *msg = rconn_recv(ctrl->rconn);
        if (!msg) {
            break;
        }
        receive(ctrl, msg);
        ofpbuf_delete(msg);
    }
    bundle_run(ctrl);
}

void
ofctrl_wait(struct ofctrl *ctrl)
{
    rconn_run_wait(ctrl->rconn);
    rconn_recv_wait(ctrl->rconn);
    socket_watch_wait(ctrl->watch);
    if (ctrl->retry_at != LLONG_MAX) {
        poll_timer_wait_until(ctrl->retry_at);
    }
    if (ctrl->phase == BUNDLE_ADDING && rconn_packet_counter_n_packets(ctrl->tx) < MAX_QUEUED) {
        poll_immediate_wake();
    }
}

struct of_state *
ofctrl_state(struct ofctrl *ctrl)
{
    return ctrl->state;
}

bool
ofctrl_is_connected(const struct ofctrl *ctrl)
{
    return ctrl->connected;
}

unsigned int
ofctrl_connection_seqno(const struct ofctrl *ctrl)
{
    return ctrl->n_connections;
}

void
ofctrl_send(struct ofctrl *ctrl, struct ofpbuf *msg)
{
    rconn_send(ctrl->rconn, msg, NULL);
}

void
ofctrl_set_packet_in(struct ofctrl *ctrl, void (*cb)(const struct ofp_header *, void *aux), void *aux)
{
    ctrl->packet_in = cb;
    ctrl->packet_in_aux = aux;
}

void
ofctrl_ask_use(struct ofctrl *ctrl, uint8_t table_id, const struct match *match)
{
    send_counted(ctrl, of_msg_use_request(USE_XID, table_id, match));
}

void
ofctrl_set_use(struct ofctrl *ctrl, void (*cb)(uint8_t table_id, const struct match *, int idle, void *aux), void *aux)
{
    ctrl->use = cb;
    ctrl->use_aux = aux;
}

void
ofctrl_ask_meter(struct ofctrl *ctrl, uint32_t meter_id)
{
    send_counted(ctrl, of_msg_meter_stats_request(USE_XID, meter_id));
}

void
ofctrl_set_meter(struct ofctrl *ctrl, void (*cb)(uint32_t meter_id, uint64_t n_held_back, void *aux), void *aux)
{
    ctrl->meter = cb;
    ctrl->meter_aux = aux;
}

void
ofctrl_flush_ct(struct ofctrl *ctrl, uint16_t zone, const struct ct_entry *entry)
{
    send_counted(ctrl, of_msg_flush_ct(zone, entry));
}

/* Connection. ---------------------------------------------------------------------------------------------------- */

static bool
socket_exists(const struct ofctrl *ctrl)
{
    return !ctrl->socket || !access(ctrl->socket, F_OK);
}

/* bind() makes the name before listen() makes it usable, and there is no event for the latter: so a few attempts
 * follow, 1, 2, 4, ... ms apart, before it is left to rconn's own backoff. */
static void
socket_appeared(struct ofctrl *ctrl)
{
    ctrl->retry_at = time_msec();
    ctrl->retry_ms = 1;
}

static void
connection_run(struct ofctrl *ctrl)
{
    if (socket_watch_run(ctrl->watch) && socket_exists(ctrl)) {
        socket_appeared(ctrl);
    }
    if (time_msec() >= ctrl->retry_at && !rconn_is_connected(ctrl->rconn)) {
        /* A switch that has accepted but not yet said hello is busy: dropping that connection would make it complain. */
        if (strcmp(rconn_get_state(ctrl->rconn), "CONNECTING")) {
            rconn_connect(ctrl->rconn, ctrl->target, ctrl->target);
        }
        ctrl->retry_at = ctrl->retry_ms <= RETRY_MS_MAX ? time_msec() + ctrl->retry_ms : LLONG_MAX;
        ctrl->retry_ms *= 2;
    }
    rconn_run(ctrl->rconn);

    unsigned int seqno = rconn_get_connection_seqno(ctrl->rconn);
    if (seqno != ctrl->rconn_seqno) {
        ctrl->rconn_seqno = seqno;
        if (ctrl->connected) {
            disconnected(ctrl);
        }
        if (rconn_is_connected(ctrl->rconn)) {
            connected(ctrl);
        }
    }
}

static uint32_t
dump_xid(const struct ofctrl *ctrl, enum dump_part part)
{
    return ctrl->first_dump_xid + rightmost_1bit_idx(part);
}

static void
send_counted(struct ofctrl *ctrl, struct ofpbuf *msg)
{
    rconn_send(ctrl->rconn, msg, ctrl->tx);
}

static void
request_slice(struct ofctrl *ctrl)
{
    send_counted(ctrl, of_msg_flow_request(dump_xid(ctrl, DUMP_FLOWS), ctrl->slice, ctrl->n_slices - 1));
}

static void
connected(struct ofctrl *ctrl)
{
    ctrl->connected = true;
    ctrl->n_connections++;
    ctrl->retry_at = LLONG_MAX;
    of_state_connected(ctrl->state);

    send_counted(ctrl, of_msg_switch_config());
    send_counted(ctrl, of_msg_packet_in_format());
    send_counted(ctrl, of_msg_async_config());

    ctrl->dump_missing = DUMP_FLOWS | DUMP_GROUPS | DUMP_METERS | DUMP_COUNT;
    ctrl->first_dump_xid = ctrl->next_xid;
    ctrl->next_xid += N_DUMP_PARTS;
    send_counted(ctrl, of_msg_flow_count_request(dump_xid(ctrl, DUMP_COUNT)));
    send_counted(ctrl, of_msg_group_request(dump_xid(ctrl, DUMP_GROUPS)));
    send_counted(ctrl, of_msg_meter_request(dump_xid(ctrl, DUMP_METERS)));
}

static void
disconnected(struct ofctrl *ctrl)
{
    ctrl->connected = false;
    ctrl->phase = BUNDLE_NONE;
    ctrl->bundle = NULL;
    of_state_disconnected(ctrl->state);

    /* A socket that is not there need not be tried: the watch tells when it is. */
    if (!socket_exists(ctrl)) {
        rconn_disconnect(ctrl->rconn);
        ctrl->rconn_seqno = rconn_get_connection_seqno(ctrl->rconn);
    }
}

/* The switch does what we do not understand, or cannot do what no change can be blamed for. */
static void
give_up(struct ofctrl *ctrl, const char *why)
{
    VLOG_WARN_RL(&rl, "%s: %s; connecting anew", ctrl->target, why);
    rconn_reconnect(ctrl->rconn);
}

/* Receiving. ----------------------------------------------------------------------------------------------------- */

static void
log_dump(const struct ofctrl *ctrl)
{
    struct of_state_stats stats;

    of_state_get_stats(ctrl->state, &stats);
    VLOG_INFO("%s: %"PRIuSIZE" flows are installed, %"PRIuSIZE" are wanted%s", ctrl->target, stats.n_installed,
              stats.n_desired, stats.synced ? ": no difference" : "");
}

static void
count_reply(struct ofctrl *ctrl, const struct ofp_header *oh)
{
    size_t n;

    if (!(ctrl->dump_missing & DUMP_COUNT) || ntohl(oh->xid) != dump_xid(ctrl, DUMP_COUNT)) {
        return;
    }
    if (of_msg_decode_flow_count(oh, &n)) {
        n = SIZE_MAX;                   /* Then as carefully as can be. */
    }
    ctrl->n_slices = 1;
    while (ctrl->n_slices < MAX_SLICES && n / ctrl->n_slices > SLICE_FLOWS) {
        ctrl->n_slices *= 2;
    }
    ctrl->dump_missing &= ~DUMP_COUNT;
    ctrl->slice = 0;
    request_slice(ctrl);
}

static void
dump_reply(struct ofctrl *ctrl, const struct ofp_header *oh, enum dump_part part,
           int (*decode)(const struct ofp_header *, struct of_state *))
{
    if (!(ctrl->dump_missing & part) || ntohl(oh->xid) != dump_xid(ctrl, part)) {
        return;
    }
    int error = decode(oh, ctrl->state);
    if (error) {
        give_up(ctrl, "cannot decode what is installed");
    } else if (!ofpmp_more(oh) && part == DUMP_FLOWS && ++ctrl->slice < ctrl->n_slices) {
        request_slice(ctrl);
    } else if (!ofpmp_more(oh)) {
        ctrl->dump_missing &= ~part;
        if (!ctrl->dump_missing) {
            of_state_dump_done(ctrl->state);
            log_dump(ctrl);
        }
    }
}

static void
receive_error(struct ofctrl *ctrl, const struct ofp_header *oh)
{
    uint32_t xid = ntohl(oh->xid);
    enum ofperr error = ofperr_decode_msg(oh, NULL);

    if (ctrl->dump_missing && xid - ctrl->first_dump_xid < N_DUMP_PARTS) {
        give_up(ctrl, ofperr_get_name(error));
    } else if (ctrl->phase != BUNDLE_NONE && xid - ctrl->first_xid < ctrl->n_sent) {
        if (ctrl->bad_index == SIZE_MAX) {
            ctrl->bad_index = xid - ctrl->first_xid;
            ctrl->error = error;
        }
    } else if (ctrl->phase != BUNDLE_NONE && (xid == ctrl->open_xid || xid == ctrl->commit_xid)) {
        ctrl->error = ctrl->error ? ctrl->error : error;
    } else {
        VLOG_WARN_RL(&rl, "%s: %s", ctrl->target, ofperr_get_name(error));
    }
}

static void
send_barrier(struct ofctrl *ctrl, enum bundle_phase phase)
{
    ctrl->phase = phase;
    ctrl->barrier_xid = ctrl->next_xid++;
    send_counted(ctrl, of_msg_barrier(ctrl->barrier_xid));
}

static void
bundle_close(struct ofctrl *ctrl, uint16_t type, enum bundle_phase phase)
{
    ctrl->commit_xid = ctrl->next_xid++;
    send_counted(ctrl, of_msg_bundle_control(type, ctrl->bundle_id, ctrl->commit_xid));
    send_barrier(ctrl, phase);
}

static void
log_refusal(const struct ofctrl *ctrl)
{
    const char *error = ofperr_get_name(ctrl->error);
    const struct of_change *change = ctrl->bad_index < ctrl->bundle->n ? &ctrl->bundle->changes[ctrl->bad_index] : NULL;

    if (change && (change->type == OF_FLOW_ADD || change->type == OF_FLOW_DELETE)) {
        struct ds s = DS_EMPTY_INITIALIZER;
        flow_entry_format(change->flow, true, &s);
        VLOG_WARN_RL(&rl, "%s: refused %s of \"%s\": %s", ctrl->target,
                     change->type == OF_FLOW_ADD ? "addition" : "deletion", ds_cstr(&s), error);
        ds_destroy(&s);
    } else if (change && (change->type == OF_GROUP_ADD || change->type == OF_GROUP_MODIFY
                          || change->type == OF_GROUP_DELETE)) {
        VLOG_WARN_RL(&rl, "%s: refused %s of group %"PRIu32" with %"PRIuSIZE" buckets: %s", ctrl->target,
                     change->type == OF_GROUP_DELETE ? "deletion" : "addition or change", group_entry_id(change->group),
                     group_entry_n_buckets(change->group), error);
    } else {
        VLOG_WARN_RL(&rl, "%s: refused %s (%"PRIuSIZE" changes): %s", ctrl->target, change ? "a meter" : "a bundle",
                     ctrl->bundle->n, error);
    }
}

static void
bundle_finished(struct ofctrl *ctrl)
{
    ctrl->phase = BUNDLE_NONE;
    if (!ctrl->error) {
        of_state_bundle_acked(ctrl->state);
    } else if (ctrl->bad_index != SIZE_MAX || ctrl->error == OFPERR_OFPBFC_MSG_FAILED) {
        log_refusal(ctrl);
        of_state_bundle_failed(ctrl->state, ctrl->bad_index, ctrl->error);
    } else {
        give_up(ctrl, ofperr_get_name(ctrl->error));
    }
    ctrl->bundle = NULL;
}

static void
receive_barrier(struct ofctrl *ctrl, uint32_t xid)
{
    if (ctrl->phase == BUNDLE_NONE || xid != ctrl->barrier_xid) {
        return;
    }
    if (ctrl->phase != BUNDLE_ADDED) {
        bundle_finished(ctrl);
    } else if (ctrl->error) {
        bundle_close(ctrl, OFPBCT_DISCARD_REQUEST, BUNDLE_DISCARDING);
    } else {
        bundle_close(ctrl, OFPBCT_COMMIT_REQUEST, BUNDLE_COMMITTING);
    }
}

static void
receive(struct ofctrl *ctrl, const struct ofpbuf *msg)
{
    const struct ofp_header *oh = msg->data;
    enum ofptype type;

    if (ofptype_decode(&type, oh)) {
        return;
    }
    switch ((int) type) {
    case OFPTYPE_FLOW_STATS_REPLY:
        if (ntohl(oh->xid) != USE_XID) {
            dump_reply(ctrl, oh, DUMP_FLOWS, of_msg_decode_flows);
        } else if (ctrl->use) {
            of_msg_decode_use(oh, ctrl->use, ctrl->use_aux);
        }
        break;
    case OFPTYPE_AGGREGATE_STATS_REPLY:
        count_reply(ctrl, oh);
        break;
    case OFPTYPE_GROUP_DESC_STATS_REPLY:
        dump_reply(ctrl, oh, DUMP_GROUPS, of_msg_decode_groups);
        break;
    case OFPTYPE_METER_CONFIG_STATS_REPLY:
        dump_reply(ctrl, oh, DUMP_METERS, of_msg_decode_meters);
        break;
    case OFPTYPE_METER_STATS_REPLY:
        if (ctrl->meter) {
            of_msg_decode_meter_stats(oh, ctrl->meter, ctrl->meter_aux);
        }
        break;
    case OFPTYPE_ERROR:
        receive_error(ctrl, oh);
        break;
    case OFPTYPE_BARRIER_REPLY:
        receive_barrier(ctrl, ntohl(oh->xid));
        break;
    case OFPTYPE_ECHO_REQUEST:
        rconn_send(ctrl->rconn, ofputil_encode_echo_reply(oh), NULL);
        break;
    case OFPTYPE_PACKET_IN:
        if (ctrl->packet_in) {
            ctrl->packet_in(oh, ctrl->packet_in_aux);
        }
        break;
    }
}

/* Bundles. ------------------------------------------------------------------------------------------------------- */

/* One change is atomic by itself, and one round trip instead of two.  (OVS takes no meters in bundles anyway.) */
static void
bundle_open(struct ofctrl *ctrl)
{
    ctrl->phase = BUNDLE_ADDING;
    ctrl->n_sent = 0;
    ctrl->bad_index = SIZE_MAX;
    ctrl->error = 0;
    ctrl->bundle_id++;
    ctrl->open_xid = ctrl->commit_xid = ctrl->next_xid++;
    ctrl->first_xid = ctrl->next_xid;
    ctrl->next_xid += ctrl->bundle->n;
    if (ctrl->bundle->n == 1) {
        send_counted(ctrl, of_msg_change(&ctrl->bundle->changes[0], ctrl->first_xid));
        ctrl->n_sent = 1;
        send_barrier(ctrl, BUNDLE_COMMITTING);
    } else {
        send_counted(ctrl, of_msg_bundle_control(OFPBCT_OPEN_REQUEST, ctrl->bundle_id, ctrl->open_xid));
    }
}

/* A switch that refuses one change keeps the others in the bundle.  For deletions that is harmless: what is deleted need
 * not wait for the rest, and is deleted again with it. */
static bool
bundle_only_deletes(const struct of_bundle *bundle)
{
    for (size_t i = 0; i < bundle->n; i++) {
        if (bundle->changes[i].type != OF_FLOW_DELETE && bundle->changes[i].type != OF_GROUP_DELETE) {
            return false;
        }
    }
    return true;
}

static void
bundle_run(struct ofctrl *ctrl)
{
    if (!ctrl->connected) {
        return;
    }
    if (ctrl->phase == BUNDLE_NONE && (ctrl->bundle = of_state_next(ctrl->state))) {
        bundle_open(ctrl);
    }
    if (ctrl->phase != BUNDLE_ADDING) {
        return;
    }
    for (int i = 0; i < MAX_CHANGES_PER_RUN && ctrl->n_sent < ctrl->bundle->n
                    && rconn_packet_counter_n_packets(ctrl->tx) < MAX_QUEUED; i++) {
        uint32_t xid = ctrl->first_xid + ctrl->n_sent;
        send_counted(ctrl, of_msg_bundled(&ctrl->bundle->changes[ctrl->n_sent++], ctrl->bundle_id, xid));
    }
    if (ctrl->n_sent < ctrl->bundle->n) {
        return;
    }
    if (bundle_only_deletes(ctrl->bundle)) {
        bundle_close(ctrl, OFPBCT_COMMIT_REQUEST, BUNDLE_COMMITTING);   /* One round trip instead of two. */
    } else {
        send_barrier(ctrl, BUNDLE_ADDED);
    }
}
