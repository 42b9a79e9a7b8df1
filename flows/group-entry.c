#include <config.h>

#include <string.h>

#include "flow-set.h"
#include "openflow/openflow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofp-port.h"
#include "util.h"

/* The longest message, which must find room in a part of a bundle. */
#define MAX_LEN 65000

struct group_entry {
    unsigned int ref_count;             /* One thread only. */
    uint32_t group_id;
    uint32_t n_buckets;
    uint32_t len;                       /* Bytes. */
    uint64_t message[];                 /* OFPT_GROUP_MOD that adds it: 8-byte aligned, as libopenvswitch reads it. */
};

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
    struct group_entry *group = xmalloc(sizeof *group + ROUND_UP(msg->size, sizeof *group->message));
    *group = (struct group_entry) { .ref_count = 1, .group_id = gm->group_id, .n_buckets = n, .len = msg->size };
    memcpy(group->message, msg->data, msg->size);
    ((struct ofp_header *) group->message)->xid = 0;
    ofpbuf_delete(msg);
    return group;
}

static struct group_entry *
create_select(uint32_t group_id, const struct ofputil_group_props *props, const struct group_bucket *buckets,
              size_t n_buckets)
{
    struct ofputil_group_mod gm = {
        .command = OFPGC11_ADD, .type = OFPGT11_SELECT, .group_id = group_id, .command_bucket_id = OFPG15_BUCKET_ALL,
        .props = *props,
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
    return create_select(group_id, &props, buckets, n_buckets);
}

struct group_entry *
group_entry_create_hash(uint32_t group_id, enum mf_field_id field, const struct group_bucket *buckets, size_t n_buckets)
{
    struct ofputil_group_props props = { .selection_method = "hash" };
    union mf_value mask;

    memset(&mask, 0xff, sizeof mask);
    field_array_set(field, &mask, &props.fields);
    struct group_entry *group = create_select(group_id, &props, buckets, n_buckets);
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
    return a == b || (a->len == b->len && !memcmp(a->message, b->message, a->len));
}

void
group_entry_format(const struct group_entry *group, struct ds *ds)
{
    static const char lead[] = "\n ADD ";
    struct ds s = DS_EMPTY_INITIALIZER;
    struct ofputil_group_mod gm;

    if (ofputil_decode_group_mod((const struct ofp_header *) group->message, &gm)) {
        ds_put_format(ds, "group_id=%"PRIu32", which OpenFlow does not allow", group->group_id);
        return;
    }
    ofputil_group_mod_format__(&s, OFP15_VERSION, &gm, NULL, NULL);
    ds_put_cstr(ds, ds_cstr(&s) + strlen(lead));
    ds_destroy(&s);
    ofputil_uninit_group_mod(&gm);
}

struct ofpbuf *
group_entry_encode(const struct group_entry *group, uint16_t command)
{
    struct ofpbuf *msg = ofpbuf_clone_data(group->message, group->len);
    struct ofp15_group_mod *body = ofpbuf_at_assert(msg, sizeof(struct ofp_header), sizeof *body);

    body->command = htons(command);
    return msg;
}
