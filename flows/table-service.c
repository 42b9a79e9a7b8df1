/* Tables 6 SERVICE, 9 SERVICE_SELECT, 11 SERVICE_SHARD, and 7 SERVICE_AFFINITY, whose flows are the switch's own.
 *
 * Decide:   whether a packet goes to a Service, and which endpoint it gets, before conntrack has seen it.  The doors come
 *           from the service core: flows/service-flow.h.
 * From:     ARP_ND.  What comes out of the tunnel has been translated by who sent it.
 * Read:     NETWORK, NODE_ADDR, SOURCE; the addresses, the protocol, the port.
 * Write:    SERVICE, ENDPOINT, SHARD, VIP, HAIRPIN.
 * To:       CT_STATE through conntrack; TRACK for what goes to no Service. */

#include <config.h>

#include "tables.h"

static void
drop(struct build *b, enum pipeline_table table, unsigned int priority)
{
    build_match(b);
    build_flow(b, table, priority);
}

void
table_service_base(const struct flow_local *local OVS_UNUSED, struct build *b)
{
    build_match(b);
    build_goto(b, TABLE_TRACK);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_NO_DOOR);

    drop(b, TABLE_SERVICE_SELECT, PRIORITY_SERVICE_SELECT_UNKNOWN);
    drop(b, TABLE_SERVICE_SHARD, PRIORITY_SERVICE_SHARD_UNKNOWN);
}
