/* Tables 6 SERVICE, 9 SERVICE_SELECT, 11 SERVICE_SHARD, and 7 SERVICE_AFFINITY, whose flows are the switch's own.
 *
 * Decide:   whether a packet goes to a Service, and which endpoint it gets, before conntrack has seen it.  The doors come
 *           from the service core: flows/service-flow.h.
 * From:     ARP_ND.  What comes out of the tunnel has been translated by who sent it.
 * Read:     NETWORK, NODE_ADDR, SOURCE; the addresses, the protocol, the port.
 * Write:    SERVICE, ENDPOINT, SHARD, VIP, HAIRPIN; the destination of answers to FLOW_HAIRPIN_*.
 * To:       CT_STATE through conntrack; CONNTRACK for fragments and what answers FLOW_HAIRPIN_*; TRACK for what goes to no
 *           Service.
 *
 * A packet of a known connection takes the same way as the first one: conntrack keeps the endpoint that it has, whatever
 * the group says now.  So the group need not be asked only for new connections, which would cost a recirculation, and a
 * connection that conntrack has forgotten gets the same endpoint, as long as the group is the same.
 *
 * FLOW_HAIRPIN_* is the source of what a pod, or the node, sends to itself through a Service (OUTPUT).  The answer to it
 * is given back its true destination here: that of who sends it.  Then conntrack knows it. */

#include <config.h>

#include "service-flow.h"
#include "tables.h"

static void
drop(struct build *b, enum pipeline_table table, unsigned int priority)
{
    build_match(b);
    build_flow(b, table, priority);
}

/* Addresses of the link between br-int and the node's stack: only the node uses them, and never as a source. */
static void
guard_link(const struct inet_prefix *link, struct build *b)
{
    struct match *match = build_match(b);
    match_field_masked(match, FIELD_SOURCE, SOURCE_GATEWAY, SOURCE_GATEWAY_MASK);
    match_ip_src_prefix(match, link);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_FORGED);

    match = build_match(b);
    match_field(match, FIELD_SOURCE, SOURCE_POD);
    match_ip_dst(match, link);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_LINK);
}

static void
to_hairpin(enum flow_source source, uint32_t source_mask, const struct inet_prefix *dst, struct build *b)
{
    struct match *match = build_match(b);
    match_field(match, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    match_field_masked(match, FIELD_SOURCE, source, source_mask);
    match_ip_dst(match, dst);
}

static void
answer(struct build *b)
{
    build_load(b, FIELD_HAIRPIN, 1);
    build_goto(b, TABLE_CONNTRACK);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_HAIRPIN);
}

static void
answer_hairpin(const struct flow_local *local, const struct inet_prefix *hairpin, struct build *b)
{
    bool v4 = inet_is_v4(&hairpin->addr);

    to_hairpin(SOURCE_POD, 0xf, hairpin, b);
    build_move(b, v4 ? MFF_IPV4_SRC : MFF_IPV6_SRC, v4 ? MFF_IPV4_DST : MFF_IPV6_DST);
    answer(b);
    for (size_t i = 0; i < local->n_gateway_addrs; i++) {
        const struct in6_addr *addr = &local->gateway_addrs[i];
        if (inet_is_v4(addr) != v4) {
            continue;
        }
        to_hairpin(SOURCE_GATEWAY, SOURCE_GATEWAY_MASK, hairpin, b);
        if (v4) {
            ovs_be32 addr4 = in6_addr_get_mapped_ipv4(addr);
            build_set(b, MFF_IPV4_DST, &addr4);
        } else {
            build_set(b, MFF_IPV6_DST, addr);
        }
        answer(b);
    }
}

void
table_service_base(const struct flow_local *local, struct build *b)
{
    static const char *const links[] = { FLOW_LINK_PREFIX_V4, FLOW_LINK_PREFIX_V6 };
    static const char *const hairpins[] = { FLOW_HAIRPIN_V4 "/32", FLOW_HAIRPIN_V6 "/128" };

    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        struct inet_prefix link = inet_cidr_constant(links[i]), hairpin = inet_cidr_constant(hairpins[i]);
        guard_link(&link, b);
        answer_hairpin(local, &hairpin, b);
    }
    for (size_t i = 0; match_icmp_error(build_match(b), i); i++) {
        build_goto(b, TABLE_TRACK);
        build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_ICMP_ERROR);
    }
    build_match(b);
    build_goto(b, TABLE_TRACK);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_NO_DOOR);

    drop(b, TABLE_SERVICE_SELECT, PRIORITY_SERVICE_SELECT_UNKNOWN);
    drop(b, TABLE_SERVICE_SHARD, PRIORITY_SERVICE_SHARD_UNKNOWN);
}
