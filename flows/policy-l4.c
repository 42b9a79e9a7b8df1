#include <config.h>

#include "policy-flow.h"

#include "fields.h"
#include "openvswitch/util.h"
#include "util.h"

size_t
flow_l4_range(uint8_t protocol, uint16_t first, uint16_t last, struct flow_l4 out[FLOW_L4_MAX])
{
    size_t n = 0;

    /* From below, always the largest aligned block that fits. */
    for (uint32_t port = first; port <= last; ) {
        uint32_t size = port ? port & -port : UINT32_C(1) << 16;

        while (port + size - 1 > last) {
            size /= 2;
        }
        ovs_assert(n < FLOW_L4_MAX);
        out[n++] = (struct flow_l4) {
            .value = FLOW_L4(protocol, port),
            .mask = FLOW_L4(0xff, UINT16_MAX & ~(size - 1)),
        };
        port += size;
    }
    return n;
}

uint16_t
flow_level_cnp(int priority, size_t index, enum flow_action action)
{
    return PRIORITY_EGRESS_ADMIN_RULE + (1000 - priority) * 50 + (24 - index) * 2 + (action == FLOW_DENY);
}

uint16_t
flow_level_np(uint64_t rule_hash)
{
    return PRIORITY_EGRESS_POLICY_RULE + rule_hash % FLOW_LEVEL_LANES;
}
