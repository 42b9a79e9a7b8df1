#include <config.h>

#include "utilities/service-counters.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fields.h"
#include "inet.h"
#include "openflow/openflow.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/shash.h"
#include "openvswitch/vconn.h"
#include "packets.h"
#include "pipeline.h"
#include "util.h"
#include "utilities/flow-stats.h"

struct counter {
    uint64_t packets, bytes;
};

struct counters {
    struct shash doors;                 /* Priority and match -> struct counter. */
    struct shash buckets;               /* "GROUP/ADDRESS/PORT" -> struct counter. */
    struct shash endpoints;             /* Of sets with affinity: "SET/ADDRESS/PORT" -> struct counter. */
    struct shash numbers;               /* "SET/NUMBER" -> "SET/ADDRESS/PORT". */
    struct shash clients;               /* "SET/ADDRESS/PORT" -> struct counter, 'packets' clients. */
};

static void
add(struct shash *shash, char *key, uint64_t packets, uint64_t bytes)
{
    struct counter *counter = shash_find_data(shash, key);

    if (!counter) {
        counter = xzalloc(sizeof *counter);
        shash_add(shash, key, counter);
    }
    counter->packets += packets == UINT64_MAX ? 0 : packets;
    counter->bytes += bytes == UINT64_MAX ? 0 : bytes;
    free(key);
}

/* Flows. --------------------------------------------------------------------------------------------------------- */

static void
count_door(const struct ofputil_flow_stats *stats, void *counters_)
{
    struct counters *counters = counters_;

    add(&counters->doors, match_to_string(&stats->match, NULL, stats->priority), stats->packet_count, stats->byte_count);
}

/* The value of a field that is a whole register. */
static uint32_t
matched(const struct match *match, enum flow_field field)
{
    return match->flow.regs[flow_field_info(field)->store - MFF_REG0];
}

/* Where its conntrack action translates to: "ADDRESS/PORT"; NULL: nowhere. */
static char *
find_nat(const struct ofpact *ofpacts, size_t len)
{
    const struct ofpact *a;

    OFPACT_FOR_EACH_FLATTENED (a, ofpacts, len) {
        if (a->type == OFPACT_NAT) {
            const struct ofpact_nat *nat = ofpact_get_NAT(a);
            struct in6_addr addr = nat->range.addr.ipv6.min;
            char s[INET_ADDR_STRLEN];

            if (nat->range_af == AF_INET) {
                in6_addr_set_mapped_ipv4(&addr, nat->range.addr.ipv4.min);
            }
            return xasprintf("%s/%u", inet_addr_format(&addr, s), nat->range.proto.min);
        }
    }
    return NULL;
}

/* An endpoint to which clients of its set may be bound. */
static void
count_selected(const struct ofputil_flow_stats *stats, void *counters_)
{
    struct counters *counters = counters_;
    uint32_t set = matched(&stats->match, FIELD_SERVICE), number = matched(&stats->match, FIELD_ENDPOINT);
    char *nat = number ? find_nat(stats->ofpacts, stats->ofpacts_len) : NULL;

    if (nat) {
        char *key = xasprintf("%"PRIu32"/%s", set, nat), *name = xasprintf("%"PRIu32"/%"PRIu32, set, number);

        if (!shash_add_once(&counters->numbers, name, key)) {
            free(key);
        } else {
            add(&counters->endpoints, xstrdup(key), stats->packet_count, stats->byte_count);
        }
        free(name);
        free(nat);
    }
}

/* A client: its flow loads the endpoint. */
static void
count_client(const struct ofputil_flow_stats *stats, void *counters_)
{
    struct counters *counters = counters_;
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, stats->ofpacts, stats->ofpacts_len) {
        if (a->type == OFPACT_SET_FIELD) {
            const struct ofpact_set_field *sf = ofpact_get_SET_FIELD(a);

            if (sf->field->id == flow_field_info(FIELD_ENDPOINT)->store) {
                char *name = xasprintf("%"PRIu32"/%"PRIu32, matched(&stats->match, FIELD_SERVICE), ntohl(sf->value->be32));
                const char *key = shash_find_data(&counters->numbers, name);

                if (key) {
                    add(&counters->clients, xstrdup(key), 1, 0);
                }
                free(name);
            }
        }
    }
}

/* Groups. -------------------------------------------------------------------------------------------------------- */

static int
ask(struct vconn *vconn, struct ofpbuf *request, struct ovs_list *replies)
{
    struct ovs_list requests;

    ovs_list_init(&requests);
    ovs_list_push_back(&requests, &request->list_node);
    return vconn_transact_multipart(vconn, &requests, replies);
}

/* Where each group's buckets lead, in the order in which their counters come: "GROUP" -> array of strings. */
static int
take_buckets(struct ofpbuf *reply, struct shash *groups)
{
    for (;;) {
        struct ofputil_group_desc desc;
        int code = ofputil_decode_group_desc_reply(&desc, reply, OFP15_VERSION);

        if (code) {
            return code == EOF ? 0 : EPROTO;
        }
        char *name = xasprintf("%"PRIu32, desc.group_id);
        json_t *array = json_array();
        const struct ofputil_bucket *bucket;

        LIST_FOR_EACH (bucket, list_node, &desc.buckets) {
            char *nat = find_nat(bucket->ofpacts, bucket->ofpacts_len);

            json_array_append_new(array, json_sprintf("%"PRIu32"/%s", desc.group_id, nat ? nat : ""));
            free(nat);
        }
        json_decref(shash_replace(groups, name, array));
        free(name);
        ofputil_uninit_group_desc(&desc);
    }
}

static int
take_group_stats(struct ofpbuf *reply, const struct shash *groups, struct counters *counters)
{
    for (;;) {
        struct ofputil_group_stats stats = { .bucket_stats = NULL };
        int code = ofputil_decode_group_stats_reply(reply, &stats);

        if (code) {
            return code == EOF ? 0 : EPROTO;
        }
        char *name = xasprintf("%"PRIu32, stats.group_id);
        const json_t *array = shash_find_data(groups, name);

        /* A group that changed between the two answers has no counters this time. */
        for (size_t i = 0; json_array_size(array) == stats.n_buckets && i < stats.n_buckets; i++) {
            add(&counters->buckets, xstrdup(json_string_value(json_array_get(array, i))),
                stats.bucket_stats[i].packet_count, stats.bucket_stats[i].byte_count);
        }
        free(name);
        free(stats.bucket_stats);
    }
}

static int
dump_groups(struct vconn *vconn, struct counters *counters)
{
    struct shash groups = SHASH_INITIALIZER(&groups);
    struct shash_node *node;
    struct ovs_list replies;
    struct ofpbuf *reply;
    int code = ask(vconn, ofputil_encode_group_desc_request(OFP15_VERSION, OFPG_ALL), &replies);

    if (!code) {
        LIST_FOR_EACH (reply, list_node, &replies) {
            code = code ? code : take_buckets(reply, &groups);
        }
        ofpbuf_list_delete(&replies);
    }
    code = code ? code : ask(vconn, ofputil_encode_group_stats_request(OFP15_VERSION, OFPG_ALL), &replies);
    if (!code) {
        LIST_FOR_EACH (reply, list_node, &replies) {
            code = code ? code : take_group_stats(reply, &groups, counters);
        }
        ofpbuf_list_delete(&replies);
    }
    SHASH_FOR_EACH (node, &groups) {
        json_decref(node->data);
    }
    shash_destroy(&groups);
    return code;
}

/* Doors. --------------------------------------------------------------------------------------------------------- */

static void
put_counts(json_t *json, uint64_t packets, uint64_t bytes)
{
    json_object_set_new(json, "packets", json_integer(packets));
    json_object_set_new(json, "bytes", json_integer(bytes));
}

static struct counter
find(const struct shash *shash, const char *key)
{
    const struct counter *counter = shash_find_data(shash, key);
    return counter ? *counter : (struct counter) { 0, 0 };
}

/* 'number': of a group or a set. */
static char *
endpoint_key(const json_t *number, const json_t *endpoint)
{
    return xasprintf("%"JSON_INTEGER_FORMAT"/%s/%"JSON_INTEGER_FORMAT, json_integer_value(number),
                     json_string_value(json_object_get(endpoint, "address")),
                     json_integer_value(json_object_get(endpoint, "port")));
}

static void
put_endpoint(json_t *endpoint, const json_t *set, const struct counters *counters)
{
    struct counter sum = { 0, 0 }, one;
    json_t *group;
    size_t i;

    json_array_foreach (json_object_get(endpoint, "groups"), i, group) {
        char *key = endpoint_key(group, endpoint);
        one = find(&counters->buckets, key);
        sum.packets += one.packets;
        sum.bytes += one.bytes;
        free(key);
    }
    if (set) {
        char *key = endpoint_key(set, endpoint);
        one = find(&counters->endpoints, key);
        sum.packets += one.packets;
        sum.bytes += one.bytes;
        json_object_set_new(endpoint, "clients", json_integer(find(&counters->clients, key).packets));
        free(key);
    }
    put_counts(endpoint, sum.packets, sum.bytes);
}

static void
put_door(json_t *door, const struct counters *counters)
{
    const json_t *set = json_object_get(door, "set");
    struct counter sum = { 0, 0 };
    json_t *flow, *endpoint;
    size_t i;

    json_array_foreach (json_object_get(door, "flows"), i, flow) {
        struct counter one = find(&counters->doors, json_string_value(flow));
        sum.packets += one.packets;
        sum.bytes += one.bytes;
    }
    put_counts(door, sum.packets, sum.bytes);
    json_array_foreach (json_object_get(door, "endpoints"), i, endpoint) {
        put_endpoint(endpoint, set, counters);
    }
}

void
service_counters_strip(json_t *doors)
{
    json_t *door, *endpoint;
    size_t i, j;

    json_array_foreach (doors, i, door) {
        json_object_del(door, "flows");
        json_object_del(door, "set");
        json_array_foreach (json_object_get(door, "endpoints"), j, endpoint) {
            json_object_del(endpoint, "groups");
        }
    }
}

static int
read_counters(struct vconn *vconn, void *counters_)
{
    struct counters *counters = counters_;
    int code = flow_stats_dump(vconn, TABLE_SERVICE, 0, 0, count_door, counters);

    code = code ? code : flow_stats_dump(vconn, TABLE_SERVICE_SELECT, 0, 0, count_selected, counters);
    code = code ? code : flow_stats_dump(vconn, TABLE_SERVICE_AFFINITY, 0, 0, count_client, counters);
    return code ? code : dump_groups(vconn, counters);
}

int
service_counters_add(const char *ovs_rundir, const char *bridge, json_t *doors, struct error *error)
{
    struct counters counters;
    json_t *door;
    size_t i;

    shash_init(&counters.doors);
    shash_init(&counters.buckets);
    shash_init(&counters.endpoints);
    shash_init(&counters.numbers);
    shash_init(&counters.clients);
    int code = flow_stats_read(ovs_rundir, bridge, read_counters, &counters, error);
    if (!code) {
        json_array_foreach (doors, i, door) {
            put_door(door, &counters);
        }
        service_counters_strip(doors);
    }
    shash_destroy_free_data(&counters.doors);
    shash_destroy_free_data(&counters.buckets);
    shash_destroy_free_data(&counters.endpoints);
    shash_destroy_free_data(&counters.numbers);
    shash_destroy_free_data(&counters.clients);
    return code;
}
