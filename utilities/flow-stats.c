#include <config.h>

#include "utilities/flow-stats.h"

#include <errno.h>
#include <stdlib.h>

#include "byte-order.h"
#include "openflow/openflow.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-protocol.h"
#include "openvswitch/vconn.h"
#include "util.h"

#define TIMEOUT_MS 30000

int
flow_stats_read(const char *ovs_rundir, const char *bridge, int (*read)(struct vconn *, void *aux), void *aux,
                struct error *error)
{
    char *target = xasprintf("unix:%s/%s.mgmt", ovs_rundir, bridge);
    struct vconn *vconn = NULL;
    int code = vconn_open_block(target, 1u << OFP15_VERSION, 0, TIMEOUT_MS, &vconn);

    code = code ? code : read(vconn, aux);
    vconn_close(vconn);
    if (code) {
        code = error_set_errno(error, code > 0 ? code : EPROTO, "%s: cannot read the counters", target);
    }
    free(target);
    return code;
}

int
flow_stats_dump(struct vconn *vconn, uint8_t table_id, uint64_t cookie, uint64_t mask,
                void (*cb)(const struct ofputil_flow_stats *, void *aux), void *aux)
{
    struct ofputil_flow_stats_request request = {
        .out_port = OFPP_ANY, .out_group = OFPG_ANY, .table_id = table_id,
        .cookie = htonll(cookie), .cookie_mask = htonll(mask),
    };
    struct ofputil_flow_stats *stats;
    size_t n;

    match_init_catchall(&request.match);
    int code = vconn_dump_flows(vconn, &request, OFPUTIL_P_OF15_OXM, &stats, &n);
    for (size_t i = 0; i < n; i++) {
        cb(&stats[i], aux);
        free(CONST_CAST(struct ofpact *, stats[i].ofpacts));
    }
    free(stats);
    return code;
}

/* As an array. --------------------------------------------------------------------------------------------------- */

struct request {
    uint8_t table_id;
    uint64_t cookie, mask;
    struct flow_counter *counters;
    size_t n, allocated;
};

static void
take(const struct ofputil_flow_stats *stats, void *request_)
{
    struct request *r = request_;

    if (r->n >= r->allocated) {
        r->counters = x2nrealloc(r->counters, &r->allocated, sizeof *r->counters);
    }
    r->counters[r->n++] = (struct flow_counter) {
        .cookie = ntohll(stats->cookie), .table_id = stats->table_id, .priority = stats->priority,
        .packets = stats->packet_count == UINT64_MAX ? 0 : stats->packet_count,
        .bytes = stats->byte_count == UINT64_MAX ? 0 : stats->byte_count,
    };
}

static int
dump(struct vconn *vconn, void *request_)
{
    struct request *r = request_;
    return flow_stats_dump(vconn, r->table_id, r->cookie, r->mask, take, r);
}

int
flow_stats_get(const char *ovs_rundir, const char *bridge, uint8_t table_id, uint64_t cookie, uint64_t mask,
               struct flow_counter **counters, size_t *n, struct error *error)
{
    struct request r = { .table_id = table_id, .cookie = cookie, .mask = mask };
    int code = flow_stats_read(ovs_rundir, bridge, dump, &r, error);

    *counters = r.counters;
    *n = r.n;
    return code;
}
