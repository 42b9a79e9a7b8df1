#include <config.h>

#include "service-flow.h"

#include <string.h>

#include "build.h"
#include "cookie.h"
#include "util.h"

/* What every learned flow has; there are no others in SERVICE_AFFINITY. */
#define LEARNED_PRIORITY 100

struct in6_addr
flow_alias(bool v6, unsigned int index)
{
    struct inet_prefix link = inet_cidr_constant(v6 ? FLOW_LINK_PREFIX_V6 : FLOW_LINK_PREFIX_V4);
    struct in6_addr addr;

    ovs_assert(index < FLOW_N_ALIASES && inet_prefix_nth(&link, (v6 ? 0x10000 : 0x100) + index, &addr));
    return addr;
}

/* Ends the one flow for which 'b' was made. */
static struct flow_entry *
finish(struct build *b, enum pipeline_table table, unsigned int priority)
{
    struct flow_entry *entry = build_entry(b, table, priority);
    build_destroy(b);
    return entry;
}

/* Doors. --------------------------------------------------------------------------------------------------------- */

uint64_t
flow_service_cookie(uint64_t hash)
{
    return cookie_from_hash(COOKIE_SERVICE, hash);
}

struct flow_entry *
flow_make_node_addr(uint32_t network, const struct in6_addr *addr)
{
    struct inet_prefix dst = inet_prefix_host(addr);
    struct build b;

    build_init(&b, NULL, cookie_from_bytes(COOKIE_SERVICE, addr, sizeof *addr));
    struct match *match = build_match(&b);
    match_field(match, FIELD_NETWORK, network);
    match_ip_dst(match, &dst);
    build_load(&b, FIELD_NODE_ADDR, 1);
    build_goto(&b, TABLE_SERVICE);
    return finish(&b, TABLE_ARP_ND, PRIORITY_ARP_ND_NODE_ADDRESS);
}

static unsigned int
door_priority(const struct flow_door *door)
{
    static const unsigned int priorities[2][3][2] = {
        [false] = {
            [FLOW_DOOR_ANYBODY] = { PRIORITY_SERVICE_DOOR, PRIORITY_SERVICE_RANGE },
            [FLOW_DOOR_OUTSIDE] = { PRIORITY_SERVICE_OUTSIDE, PRIORITY_SERVICE_OUTSIDE_RANGE },
            [FLOW_DOOR_NODE] = { PRIORITY_SERVICE_NODE, PRIORITY_SERVICE_NODE_RANGE },
        },
        [true] = {
            [FLOW_DOOR_ANYBODY] = { PRIORITY_SERVICE_NODE_PORT, PRIORITY_SERVICE_NODE_PORT_RANGE },
            [FLOW_DOOR_OUTSIDE] = { PRIORITY_SERVICE_NODE_PORT_OUTSIDE, PRIORITY_SERVICE_NODE_PORT_OUTSIDE_RANGE },
            [FLOW_DOOR_NODE] = { PRIORITY_SERVICE_NODE_PORT_NODE, PRIORITY_SERVICE_NODE_PORT_NODE_RANGE },
        },
    };
    return (door->node_addr && door->action == FLOW_DOOR_DIRECT ? PRIORITY_SERVICE_NODE_PORT_SELF
            : priorities[door->node_addr][door->source][door->src != NULL]);
}

/* The part that the flows of a door have in common. */
static struct match *
door_match(const struct flow_door *door, struct build *b)
{
    struct match *match = build_match(b);

    match_field(match, FIELD_NETWORK, door->network);
    if (door->node_addr) {
        match_field(match, FIELD_NODE_ADDR, 1);
        match_family(match, &door->addr);
    }
    if (!door->node_addr || door->action == FLOW_DOOR_DIRECT) {
        struct inet_prefix dst = inet_prefix_host(&door->addr);
        match_ip_dst(match, &dst);
    }
    if (door->source != FLOW_DOOR_ANYBODY) {
        match_field(match, FIELD_SOURCE, door->source == FLOW_DOOR_OUTSIDE ? SOURCE_FORWARDED : SOURCE_GATEWAY);
    }
    if (door->src) {
        match_ip_src_prefix(match, door->src);
    }
    return match;
}

static void
door_actions(const struct flow_door *door, struct build *b)
{
    if (door->action == FLOW_DOOR_REJECT) {
        build_punt(b, PUNT_REJECT, METER_REJECT, 0);
        return;
    } else if (door->action == FLOW_DOOR_DROP) {
        return;
    } else if (door->action == FLOW_DOOR_DIRECT) {
        build_goto(b, TABLE_TRACK);
        return;
    }
    build_load(b, FIELD_VIP, 1);
    if (door->action == FLOW_DOOR_GROUP) {
        build_group(b, door->number);
        return;
    }
    build_load(b, FIELD_SERVICE, door->number);
    if (door->action == FLOW_DOOR_SHARDS) {
        build_group(b, FLOW_GROUP_HASH);
    } else {
        build_resubmit(b, TABLE_SERVICE_AFFINITY);
        build_goto(b, TABLE_SERVICE_SELECT);
    }
}

/* A fragment shows no port.  If it belongs to a known connection conntrack translates it with the rest of its packet;
 * if not, CT_STATE drops it. */
static void
add_rest(const struct flow_door *door, struct build *b)
{
    match_set_nw_frag_masked(door_match(door, b), FLOW_NW_FRAG_ANY, FLOW_NW_FRAG_ANY);
    build_load(b, FIELD_VIP, 1);
    build_goto(b, TABLE_CONNTRACK);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_REST_FRAGMENT);

    door_match(door, b);
    door_actions(door, b);
    build_flow(b, TABLE_SERVICE, PRIORITY_SERVICE_REST);
}

/* All of a packet's fragments must take one way: Open vSwitch's conntrack puts only those together that reach it after
 * the same recirculation (lib/ipf.c, struct ipf_list_key).  Later ones of IPv6 do not even show their protocol, so
 * there UDP gets them all. */
static void
add_fragments(const struct flow_door *door, struct build *b)
{
    struct match *match = door_match(door, b);

    if (inet_is_v4(&door->addr)) {
        match_set_nw_proto(match, door->protocol);
    } else if (door->protocol != IPPROTO_UDP) {
        return;
    }
    match_set_nw_frag_masked(match, FLOW_NW_FRAG_ANY, FLOW_NW_FRAG_ANY);
    door_actions(door, b);
    build_flow(b, TABLE_SERVICE, door_priority(door));
}

void
flow_add_door(const struct flow_door *door, struct flow_set *out)
{
    struct build b;

    build_init(&b, out, door->cookie);
    if (door->protocol) {
        match_port(door_match(door, &b), door->protocol, true, door->port);
        door_actions(door, &b);
        build_flow(&b, TABLE_SERVICE, door_priority(door));
        if (door->fragments) {
            add_fragments(door, &b);
        }
    } else {
        add_rest(door, &b);
    }
    build_destroy(&b);
}

void
flow_add_tracked_port(uint32_t network, uint8_t protocol, uint16_t port, struct flow_set *out)
{
    static const uint16_t families[] = { ETH_TYPE_IP, ETH_TYPE_IPV6 };
    uint8_t key[] = { protocol, port >> 8, port };
    struct build b;

    build_init(&b, out, cookie_from_bytes(COOKIE_SERVICE, key, sizeof key));
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        for (int dst = false; dst <= true; dst++) {
            struct match *match = build_match(&b);
            match_field(match, FIELD_NETWORK, network);
            match_set_dl_type(match, htons(families[i]));
            match_port(match, protocol, dst, port);
            if (protocol == IPPROTO_SCTP) {
                build_load(&b, FIELD_LENIENT, 1);
            }
            build_goto(&b, TABLE_CONNTRACK);
            build_flow(&b, TABLE_TRACK, PRIORITY_TRACK_PORT);
        }
    }
    build_destroy(&b);
}

/* Groups. -------------------------------------------------------------------------------------------------------- */

uint32_t
flow_bucket_id(const struct flow_endpoint *endpoint)
{
    uint8_t key[sizeof endpoint->addr + 2];

    memcpy(key, &endpoint->addr, sizeof endpoint->addr);
    key[sizeof endpoint->addr] = endpoint->port >> 8;
    key[sizeof endpoint->addr + 1] = endpoint->port;
    return cookie_from_bytes(COOKIE_SERVICE, key, sizeof key) & 0x7fffffff;
}

/* Two endpoints of a group with one id: hardly ever, but OpenFlow would refuse the group. */
static uint32_t
unused_bucket_id(const struct group_bucket *buckets, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (buckets[i].bucket_id == id) {
            return unused_bucket_id(buckets, n, (id + 1) & 0x7fffffff);
        }
    }
    return id;
}

/* A bucket is an action set: no learn() fits in.  So with affinity it only says which endpoint it is, and
 * SERVICE_SELECT does the rest. */
static void
bucket_actions(const struct flow_endpoint *endpoint, bool affinity, struct build *b)
{
    build_match(b);
    if (affinity) {
        build_load(b, FIELD_ENDPOINT, endpoint->number);
        build_resubmit(b, TABLE_SERVICE_SELECT);
    } else {
        build_ct_dnat(b, &endpoint->addr, endpoint->port, TABLE_CT_STATE);
    }
}

struct group_entry *
flow_make_group(uint32_t group_id, const struct flow_endpoint *endpoints, size_t n, const struct flow_affinity *affinity)
{
    struct group_bucket *buckets = xcalloc(n + 1, sizeof *buckets);
    struct build b;

    build_init(&b, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        bucket_actions(&endpoints[i], affinity != NULL, &b);
        buckets[i] = (struct group_bucket) {
            .bucket_id = unused_bucket_id(buckets, i, flow_bucket_id(&endpoints[i])),
            .weight = endpoints[i].weight,
            .ofpacts = xmemdup(b.actions.data, b.actions.size), .ofpacts_len = b.actions.size,
        };
    }
    build_destroy(&b);

    /* A client's first connections may come before the switch has learned anything: so they all go by its address. */
    enum mf_field_id client = n && !inet_is_v4(&endpoints->addr) ? MFF_IPV6_SRC : MFF_IPV4_SRC;
    struct group_entry *group = (affinity ? group_entry_create_hash(group_id, client, buckets, n)
                                 : n == 1 ? group_entry_create_indirect(group_id, buckets)
                                 : group_entry_create(group_id, buckets, n));
    for (size_t i = 0; i < n; i++) {
        free(CONST_CAST(struct ofpact *, buckets[i].ofpacts));
    }
    free(buckets);
    return group;
}

struct group_entry *
flow_make_hash_group(void)
{
    struct build b;

    build_init(&b, NULL, 0);
    build_match(&b);
    build_move_bits_to_field(&b, MFF_DP_HASH, 8, FIELD_SHARD);
    build_resubmit(&b, TABLE_SERVICE_SHARD);
    struct group_bucket bucket = { .weight = 1, .ofpacts = b.actions.data, .ofpacts_len = b.actions.size };
    struct group_entry *group = group_entry_create(FLOW_GROUP_HASH, &bucket, 1);
    build_destroy(&b);
    return group;
}

struct flow_entry *
flow_make_shard(uint32_t set, uint8_t value, uint8_t mask, uint32_t group_id, uint64_t cookie)
{
    struct build b;

    build_init(&b, NULL, cookie);
    struct match *match = build_match(&b);
    match_field(match, FIELD_SERVICE, set);
    match_field_masked(match, FIELD_SHARD, value, mask);
    build_group(&b, group_id);
    return finish(&b, TABLE_SERVICE_SHARD, PRIORITY_SERVICE_SHARD_SHARD);
}

/* Affinity. ------------------------------------------------------------------------------------------------------ */

struct flow_entry *
flow_make_select(uint32_t set, uint32_t group_id, uint64_t cookie)
{
    struct build b;

    build_init(&b, NULL, cookie);
    match_field(build_match(&b), FIELD_SERVICE, set);
    if (group_id == FLOW_GROUP_HASH) {
        build_hash_source(&b, FIELD_SHARD);
        build_resubmit(&b, TABLE_SERVICE_SHARD);
    } else {
        build_group(&b, group_id);
    }
    return finish(&b, TABLE_SERVICE_SELECT, PRIORITY_SERVICE_SELECT_NEW);
}

/* Remembers that this client has this endpoint, or that it still has it. */
static void
learn(const struct flow_affinity *affinity, const struct flow_endpoint *endpoint, struct build *b)
{
    bool v4 = inet_is_v4(&endpoint->addr);
    ovs_be32 key[] = { htonl(affinity->set), htonl(endpoint->number) };
    struct build_learn l = {
        .table = TABLE_SERVICE_AFFINITY, .priority = LEARNED_PRIORITY,
        .idle_timeout = MAX(1, MIN(affinity->timeout, UINT16_MAX)),
        .cookie = cookie_from_bytes(COOKIE_AFFINITY, key, sizeof key), .limit = FLOW_AFFINITY_LIMIT,
    };

    size_t start = build_learn(b, &l);
    build_learn_match(b, MFF_ETH_TYPE, v4 ? ETH_TYPE_IP : ETH_TYPE_IPV6);
    build_learn_match_own(b, v4 ? MFF_IPV4_SRC : MFF_IPV6_SRC);
    build_learn_match_field(b, FIELD_SERVICE, affinity->set);
    build_learn_load(b, FIELD_ENDPOINT, endpoint->number);
    build_learn_end(b, start);
}

struct flow_entry *
flow_make_endpoint(uint32_t network, const struct flow_affinity *affinity, const struct flow_endpoint *endpoint,
                   uint64_t cookie)
{
    struct build b;

    build_init(&b, NULL, cookie);
    struct match *match = build_match(&b);
    match_field(match, FIELD_NETWORK, network);
    match_field(match, FIELD_SERVICE, affinity->set);
    match_field(match, FIELD_ENDPOINT, endpoint->number);
    match_family(match, &endpoint->addr);
    learn(affinity, endpoint, &b);
    build_ct_dnat(&b, &endpoint->addr, endpoint->port, TABLE_CT_STATE);
    return finish(&b, TABLE_SERVICE_SELECT, PRIORITY_SERVICE_SELECT_ENDPOINT);
}
