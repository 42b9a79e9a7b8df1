#include <config.h>

#include <string.h>

#include "flow-set.h"
#include "openflow/openflow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofp-port.h"
#include "repeat.h"
#include "util.h"

/* The longest message, which must find room in a part of a bundle. */
#define MAX_LEN 65000

struct group_entry {
    unsigned int ref_count;             /* One thread only. */
    uint32_t group_id;
    uint32_t n_buckets;
    /* OFPT_GROUP_MOD that adds it, packed: its buckets are nearly the same but for an address. */
    uint16_t len;                       /* Bytes of the message, */
    uint16_t packed_len;                /* and packed. */
    uint16_t distance;                  /* For lib/repeat.h: the length of a bucket. */
    uint8_t packed[];
};

/* The length of the first bucket; without any it does not matter. */
static size_t
bucket_len(const struct ofpbuf *msg)
{
    const struct ofp15_group_mod *body = ofpbuf_at_assert(msg, sizeof(struct ofp_header), sizeof *body);
    const struct ofp15_bucket *bucket = ofpbuf_at(msg, sizeof(struct ofp_header) + sizeof *body, sizeof *bucket);

    return bucket && body->bucket_array_len ? ntohs(bucket->len) : 1;
}

static struct group_entry *
pack(const struct ofpbuf *msg, uint32_t group_id, size_t n_buckets)
{
    uint8_t packed[REPEAT_MAX_PACKED(MAX_LEN)];
    size_t distance = bucket_len(msg), packed_len = repeat_pack(msg->data, msg->size, distance, packed);
    struct group_entry *group = xmalloc(sizeof *group + packed_len);

    *group = (struct group_entry) {
        .ref_count = 1, .group_id = group_id, .n_buckets = n_buckets, .len = msg->size, .packed_len = packed_len,
        .distance = distance,
    };
    memcpy(group->packed, packed, packed_len);
    return group;
}

static struct ofpbuf *
unpack(const struct group_entry *group)
{
    struct ofpbuf *msg = ofpbuf_new(group->len);

    repeat_unpack(group->packed, group->distance, ofpbuf_put_uninit(msg, group->len), group->len);
    return msg;
}

static struct group_entry *
create(struct ofputil_group_mod *gm)
{
    struct ofpbuf *msg = ofputil_encode_group_mod(OFP15_VERSION, gm, NULL, -1);
    size_t n = ovs_list_size(&gm->buckets);

    if (msg->size > MAX_LEN) {
        ofpbuf_delete(msg);
        ovs_list_init(&gm->buckets);
        msg = ofputil_encode_group_mod(OFP15_VERSION, gm, NULL, -1);
        n = 0;
    }
    ((struct ofp_header *) msg->data)->xid = 0;
    struct group_entry *group = pack(msg, gm->group_id, n);
    ofpbuf_delete(msg);
    return group;
}

static struct group_entry *
create_of_type(uint8_t type, uint32_t group_id, const struct ofputil_group_props *props, const struct group_bucket *buckets,
               size_t n_buckets)
{
    struct ofputil_group_mod gm = {
        .command = OFPGC11_ADD, .type = type, .group_id = group_id, .command_bucket_id = OFPG15_BUCKET_ALL, .props = *props,
    };
    struct ofputil_bucket *list = xcalloc(n_buckets + 1, sizeof *list);

    ovs_list_init(&gm.buckets);
    for (size_t i = 0; i < n_buckets; i++) {
        list[i] = (struct ofputil_bucket) {
            .weight = buckets[i].weight, .watch_port = OFPP_ANY, .watch_group = OFPG_ANY,
            .bucket_id = buckets[i].bucket_id,
            .ofpacts = CONST_CAST(struct ofpact *, buckets[i].ofpacts), .ofpacts_len = buckets[i].ofpacts_len,
        };
        ovs_list_push_back(&gm.buckets, &list[i].list_node);
    }
    struct group_entry *group = create(&gm);
    free(list);
    return group;
}

struct group_entry *
group_entry_create(uint32_t group_id, const struct group_bucket *buckets, size_t n_buckets)
{
    const struct ofputil_group_props props = { .selection_method = "dp_hash" };
    return create_of_type(OFPGT11_SELECT, group_id, &props, buckets, n_buckets);
}

struct group_entry *
group_entry_create_indirect(uint32_t group_id, const struct group_bucket *bucket_)
{
    const struct ofputil_group_props props = { .selection_method = "" };
    struct group_bucket bucket = *bucket_;

    bucket.weight = 0;                  /* Only groups of type select know weights. */
    return create_of_type(OFPGT11_INDIRECT, group_id, &props, &bucket, 1);
}

struct group_entry *
group_entry_create_hash(uint32_t group_id, enum mf_field_id field, const struct group_bucket *buckets, size_t n_buckets)
{
    struct ofputil_group_props props = { .selection_method = "hash" };
    union mf_value mask;

    memset(&mask, 0xff, sizeof mask);
    field_array_set(field, &mask, &props.fields);
    struct group_entry *group = create_of_type(OFPGT11_SELECT, group_id, &props, buckets, n_buckets);
    free(props.fields.values);
    return group;
}

struct group_entry *
group_entry_from_desc(const struct ofputil_group_desc *desc)
{
    struct ofputil_group_mod gm = {
        .command = OFPGC11_ADD, .type = desc->type, .group_id = desc->group_id, .command_bucket_id = OFPG15_BUCKET_ALL,
        .props = desc->props,
    };

    /* Lends the buckets to 'gm' for a moment. */
    struct ovs_list *buckets = CONST_CAST(struct ovs_list *, &desc->buckets);
    ovs_list_move(&gm.buckets, buckets);
    struct ovs_list all = gm.buckets;
    struct group_entry *group = create(&gm);
    gm.buckets = all;
    ovs_list_move(buckets, &gm.buckets);
    return group;
}

struct group_entry *
group_entry_ref(const struct group_entry *group_)
{
    struct group_entry *group = CONST_CAST(struct group_entry *, group_);
    group->ref_count++;
    return group;
}

void
group_entry_unref(struct group_entry *group)
{
    if (group && !--group->ref_count) {
        free(group);
    }
}

uint32_t
group_entry_id(const struct group_entry *group)
{
    return group->group_id;
}

size_t
group_entry_n_buckets(const struct group_entry *group)
{
    return group->n_buckets;
}

bool
group_entry_equal(const struct group_entry *a, const struct group_entry *b)
{
    return a == b || (a->len == b->len && a->distance == b->distance && a->packed_len == b->packed_len
                      && !memcmp(a->packed, b->packed, a->packed_len));
}

void
group_entry_format(const struct group_entry *group, struct ds *ds)
{
    static const char lead[] = "\n ADD ";
    struct ds s = DS_EMPTY_INITIALIZER;
    struct ofpbuf *msg = unpack(group);
    struct ofputil_group_mod gm;

    if (ofputil_decode_group_mod(msg->data, &gm)) {
        ds_put_format(ds, "group_id=%"PRIu32", which OpenFlow does not allow", group->group_id);
        ofpbuf_delete(msg);
        return;
    }
    ofputil_group_mod_format__(&s, OFP15_VERSION, &gm, NULL, NULL);
    ds_put_cstr(ds, ds_cstr(&s) + strlen(lead));
    ds_destroy(&s);
    ofputil_uninit_group_mod(&gm);
    ofpbuf_delete(msg);
}

struct ofpbuf *
group_entry_encode(const struct group_entry *group, uint16_t command)
{
    struct ofpbuf *msg = unpack(group);
    struct ofp15_group_mod *body = ofpbuf_at_assert(msg, sizeof(struct ofp_header), sizeof *body);

    body->command = htons(command);
    return msg;
}
