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

static void
take(const struct ofputil_flow_stats *stats, struct flow_counter *counter)
{
    *counter = (struct flow_counter) {
        .cookie = ntohll(stats->cookie), .table_id = stats->table_id, .priority = stats->priority,
        .packets = stats->packet_count == UINT64_MAX ? 0 : stats->packet_count,
        .bytes = stats->byte_count == UINT64_MAX ? 0 : stats->byte_count,
    };
}

static int
dump(struct vconn *vconn, uint8_t table_id, uint64_t cookie, uint64_t mask, struct flow_counter **counters, size_t *n)
{
    struct ofputil_flow_stats_request request = {
        .out_port = OFPP_ANY, .out_group = OFPG_ANY, .table_id = table_id,
        .cookie = htonll(cookie), .cookie_mask = htonll(mask),
    };
    struct ofputil_flow_stats *stats;

    match_init_catchall(&request.match);
    int code = vconn_dump_flows(vconn, &request, OFPUTIL_P_OF15_OXM, &stats, n);
    if (code) {
        return code;
    }
    *counters = xcalloc(MAX(*n, 1), sizeof **counters);
    for (size_t i = 0; i < *n; i++) {
        take(&stats[i], &(*counters)[i]);
        free(CONST_CAST(struct ofpact *, stats[i].ofpacts));
    }
    free(stats);
    return 0;
}

int
flow_stats_get(const char *ovs_rundir, const char *bridge, uint8_t table_id, uint64_t cookie, uint64_t mask,
               struct flow_counter **counters, size_t *n, struct error *error)
{
    char *target = xasprintf("unix:%s/%s.mgmt", ovs_rundir, bridge);
    struct vconn *vconn = NULL;
    int code = vconn_open_block(target, 1u << OFP15_VERSION, 0, TIMEOUT_MS, &vconn);

    *counters = NULL;
    *n = 0;
    code = code ? code : dump(vconn, table_id, cookie, mask, counters, n);
    vconn_close(vconn);
    if (code) {
        code = error_set_errno(error, code > 0 ? code : EPROTO, "%s: cannot read the counters", target);
    }
    free(target);
    return code;
}
