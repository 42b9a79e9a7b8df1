#include <config.h>

#include "of-item.h"

#include <string.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"

struct of_item
of_item_flow(struct flow_entry *flow)
{
    return (struct of_item) { .kind = OF_KIND_FLOW, .flow = flow };
}

struct of_item
of_item_meter(const struct flow_meter *meter)
{
    return (struct of_item) { .kind = OF_KIND_METER, .id = meter->meter_id, .meter = { meter->rate, meter->burst } };
}

struct flow_meter
of_item_get_meter(const struct of_item *item)
{
    return (struct flow_meter) { .meter_id = item->id, .rate = item->meter.rate, .burst = item->meter.burst };
}

struct of_item
of_item_group(struct group_entry *group)
{
    return (struct of_item) { .kind = OF_KIND_GROUP, .id = group_entry_id(group), .group = group };
}

struct of_item
of_item_group_key(uint32_t group_id)
{
    return (struct of_item) { .kind = OF_KIND_GROUP, .id = group_id };
}

struct of_item
of_item_group_empty(uint32_t group_id)
{
    return of_item_group(group_entry_create(group_id, NULL, 0));
}

struct of_item
of_item_clone(const struct of_item *item)
{
    if (item->kind == OF_KIND_FLOW) {
        flow_entry_ref(item->flow);
    } else if (item->kind == OF_KIND_GROUP && item->group) {
        group_entry_ref(item->group);
    }
    return *item;
}

struct of_item
of_item_clone_key(const struct of_item *item)
{
    return item->kind == OF_KIND_GROUP ? of_item_group_key(item->id) : of_item_clone(item);
}

void
of_item_destroy(struct of_item *item)
{
    if (item->kind == OF_KIND_FLOW) {
        flow_entry_unref(item->flow);
    } else if (item->kind == OF_KIND_GROUP) {
        group_entry_unref(item->group);
    }
}

uint32_t
of_item_hash(const struct of_item *item)
{
    switch (item->kind) {
    case OF_KIND_FLOW:
        return item->flow->hash;
    case OF_KIND_METER:
    case OF_KIND_GROUP:
    default:
        return hash_2words(item->kind, item->id);
    }
}

bool
of_item_same_key(const struct of_item *a, const struct of_item *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case OF_KIND_FLOW:
        return a->flow == b->flow || flow_entry_same_key(a->flow, b->flow);
    case OF_KIND_METER:
    case OF_KIND_GROUP:
    default:
        return a->id == b->id;
    }
}

static bool
same_actions(const struct flow_entry *a, const struct flow_entry *b)
{
    if (ofpacts_equal(a->ofpacts, a->ofpacts_len, b->ofpacts, b->ofpacts_len)) {
        return true;
    }

    struct ofpbuf wire_a, wire_b;
    uint64_t stub_a[512 / 8], stub_b[512 / 8];

    ofpbuf_use_stub(&wire_a, stub_a, sizeof stub_a);
    ofpbuf_use_stub(&wire_b, stub_b, sizeof stub_b);
    ofpacts_put_openflow_instructions(a->ofpacts, a->ofpacts_len, &wire_a, OFP15_VERSION);
    ofpacts_put_openflow_instructions(b->ofpacts, b->ofpacts_len, &wire_b, OFP15_VERSION);
    bool same = ofpbuf_equal(&wire_a, &wire_b);
    ofpbuf_uninit(&wire_a);
    ofpbuf_uninit(&wire_b);
    return same;
}

bool
of_item_same_content(const struct of_item *a, const struct of_item *b)
{
    switch (a->kind) {
    case OF_KIND_FLOW:
        return a->flow == b->flow || (a->flow->cookie == b->flow->cookie && same_actions(a->flow, b->flow));
    case OF_KIND_METER:
        return a->meter.rate == b->meter.rate && a->meter.burst == b->meter.burst;
    case OF_KIND_GROUP:
    default:
        return group_entry_equal(a->group, b->group);
    }
}

void
of_item_format(const struct of_item *item, struct ds *s)
{
    switch (item->kind) {
    case OF_KIND_FLOW:
        flow_entry_format(item->flow, true, s);
        break;
    case OF_KIND_METER:
        ds_put_format(s, "meter=%"PRIu32", rate=%"PRIu32" packets/s, burst=%"PRIu32, item->id,
                      item->meter.rate, item->meter.burst);
        break;
    case OF_KIND_GROUP:
        ds_put_format(s, "group=%"PRIu32, item->id);
        if (item->group) {
            ds_put_format(s, ", %"PRIuSIZE" buckets", group_entry_n_buckets(item->group));
        }
        break;
    }
}
