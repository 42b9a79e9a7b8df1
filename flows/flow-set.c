#include <config.h>

#include "flow-set.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-table.h"
#include "packets.h"
#include "pipeline.h"
#include "util.h"

/* What the switch dumps must equal what was compiled, byte for byte.  So differences without a meaning go away here,
 * in both:
 *
 * - OpenFlow matches Ethernet packets as soon as a flow matches a field of theirs; the decoder says so in packet_type.
 * - 'struct ofpact' remembers in 'raw' in which of several encodings it came over the wire.
 * - Bytes behind the value and the mask of a set_field are whatever was in memory.
 *
 * So it is with the actions inside of a clone and of ct().  tests/unit/test-flows.c would notice. */

static bool
matches_ethernet(const struct flow *masks)
{
    return (masks->dl_type || masks->vlans[0].tci || !eth_addr_is_zero(masks->dl_src)
            || !eth_addr_is_zero(masks->dl_dst));
}

static void
init_minimatch(struct minimatch *minimatch, const struct match *match)
{
    if (matches_ethernet(&match->wc.masks) && !match->wc.masks.packet_type) {
        struct match ethernet = *match;
        match_set_default_packet_type(&ethernet);
        minimatch_init(minimatch, &ethernet);
    } else {
        minimatch_init(minimatch, match);
    }
}

static void
clear_padding(struct ofpact_set_field *sf)
{
    size_t used = sf->field->n_bytes, padding = ROUND_UP(used, OFPACT_ALIGNTO) - used;

    memset((uint8_t *) sf->value + used, 0, padding);
    memset((uint8_t *) ofpact_set_field_mask(sf) + used, 0, padding);
}

static void
make_canonical(struct ofpact *ofpacts, size_t ofpacts_len)
{
    struct ofpact *a;

    OFPACT_FOR_EACH (a, ofpacts, ofpacts_len) {
        a->raw = -1;
        if (a->type == OFPACT_SET_FIELD) {
            clear_padding(ofpact_get_SET_FIELD(a));
        } else if (a->type == OFPACT_CLONE) {
            struct ofpact_nest *clone = ofpact_get_CLONE(a);
            make_canonical(clone->actions, ofpact_nest_get_action_len(clone));
        } else if (a->type == OFPACT_CT) {
            struct ofpact_conntrack *ct = ofpact_get_CT(a);
            make_canonical(ct->actions, ofpact_ct_get_action_len(ct));
        }
    }
}

struct flow_entry *
flow_entry_create(uint8_t table_id, uint16_t priority, uint64_t cookie, const struct match *match,
                  const struct ofpact *ofpacts, size_t ofpacts_len)
{
    struct flow_entry *entry = xmalloc(sizeof *entry);

    entry->ref_count = 1;
    entry->cookie = cookie;
    entry->priority = priority;
    entry->table_id = table_id;
    init_minimatch(&entry->match, match);
    entry->hash = minimatch_hash(&entry->match, hash_2words(table_id, priority));
    entry->ofpacts = ofpacts_len ? xmemdup(ofpacts, ofpacts_len) : NULL;
    entry->ofpacts_len = ofpacts_len;
    make_canonical(entry->ofpacts, entry->ofpacts_len);
    return entry;
}

struct flow_entry *
flow_entry_ref(const struct flow_entry *entry_)
{
    struct flow_entry *entry = CONST_CAST(struct flow_entry *, entry_);
    entry->ref_count++;
    return entry;
}

void
flow_entry_unref(struct flow_entry *entry)
{
    if (entry && !--entry->ref_count) {
        minimatch_destroy(&entry->match);
        free(entry->ofpacts);
        free(entry);
    }
}

bool
flow_entry_same_key(const struct flow_entry *a, const struct flow_entry *b)
{
    return a == b || (a->hash == b->hash && a->table_id == b->table_id && a->priority == b->priority
                      && minimatch_equal(&a->match, &b->match));
}

bool
flow_entry_equal(const struct flow_entry *a, const struct flow_entry *b)
{
    return a == b || (a->cookie == b->cookie && flow_entry_same_key(a, b)
                      && ofpacts_equal(a->ofpacts, a->ofpacts_len, b->ofpacts, b->ofpacts_len));
}

static void
format_match(const struct flow_entry *entry, struct ds *ds)
{
    minimatch_format(&entry->match, NULL, NULL, ds, OFP_DEFAULT_PRIORITY);
}

static void
format_actions(const struct flow_entry *entry, bool names, struct ds *ds)
{
    struct ofputil_table_map table_map;

    ofputil_table_map_init(&table_map);
    for (int t = pipeline_next_table(0); names && t >= 0; t = pipeline_next_table(t + 1)) {
        ofputil_table_map_put(&table_map, t, pipeline_table_name(t));
    }
    struct ofpact_format_params fp = { .table_map = names ? &table_map : NULL, .s = ds };
    ofpacts_format(entry->ofpacts, entry->ofpacts_len, &fp);
    ofputil_table_map_destroy(&table_map);
}

void
flow_entry_format(const struct flow_entry *entry, bool names, struct ds *ds)
{
    const char *name = pipeline_table_name(entry->table_id);

    ds_put_format(ds, "table=%"PRIu8, entry->table_id);
    if (names && name) {
        ds_put_format(ds, "(%s)", name);
    }
    ds_put_format(ds, ", priority=%"PRIu16", cookie=0x%"PRIx64, entry->priority, entry->cookie);
    size_t before = ds->length;
    ds_put_cstr(ds, ", ");
    size_t start = ds->length;
    format_match(entry, ds);
    if (ds->length == start) {
        ds_truncate(ds, before);
    }
    ds_put_cstr(ds, " actions=");
    format_actions(entry, names, ds);
}

static int
compare_numbers(const struct flow_entry *a, const struct flow_entry *b)
{
    return (a->table_id != b->table_id ? (a->table_id < b->table_id ? -1 : 1)
            : a->priority != b->priority ? (a->priority > b->priority ? -1 : 1)
            : 0);
}

static int
compare_cookies(const struct flow_entry *a, const struct flow_entry *b)
{
    return a->cookie != b->cookie ? (a->cookie < b->cookie ? -1 : 1) : 0;
}

int
flow_entry_compare(const struct flow_entry *a, const struct flow_entry *b)
{
    int cmp = compare_numbers(a, b);

    if (!cmp) {
        struct ds x = DS_EMPTY_INITIALIZER, y = DS_EMPTY_INITIALIZER;
        format_match(a, &x);
        format_match(b, &y);
        cmp = strcmp(ds_cstr(&x), ds_cstr(&y));
        ds_destroy(&x);
        ds_destroy(&y);
    }
    return cmp ? cmp : compare_cookies(a, b);
}

void
flow_set_destroy(struct flow_set *set)
{
    for (size_t i = 0; i < set->n_flows; i++) {
        flow_entry_unref(set->flows[i]);
    }
    for (size_t i = 0; i < set->n_groups; i++) {
        group_entry_unref(set->groups[i]);
    }
    free(set->flows);
    free(set->meters);
    free(set->groups);
    memset(set, 0, sizeof *set);
}

void
flow_set_add(struct flow_set *set, uint8_t table_id, uint16_t priority, uint64_t cookie, const struct match *match,
             const struct ofpbuf *ofpacts)
{
    flow_set_add_nocopy(set, flow_entry_create(table_id, priority, cookie, match, ofpacts->data, ofpacts->size));
}

void
flow_set_add_nocopy(struct flow_set *set, struct flow_entry *entry)
{
    if (set->n_flows >= set->allocated_flows) {
        set->flows = x2nrealloc(set->flows, &set->allocated_flows, sizeof *set->flows);
    }
    set->flows[set->n_flows++] = entry;
}

void
flow_set_add_meter(struct flow_set *set, const struct flow_meter *meter)
{
    if (set->n_meters >= set->allocated_meters) {
        set->meters = x2nrealloc(set->meters, &set->allocated_meters, sizeof *set->meters);
    }
    set->meters[set->n_meters++] = *meter;
}

void
flow_set_add_group(struct flow_set *set, struct group_entry *group)
{
    if (set->n_groups >= set->allocated_groups) {
        set->groups = x2nrealloc(set->groups, &set->allocated_groups, sizeof *set->groups);
    }
    set->groups[set->n_groups++] = group;
}

/* A flow and the text of its match, made once. */
struct sort_item {
    struct flow_entry *entry;
    char *match;
};

static int
compare_items(const void *a_, const void *b_)
{
    const struct sort_item *a = a_, *b = b_;
    int cmp = compare_numbers(a->entry, b->entry);

    cmp = cmp ? cmp : strcmp(a->match, b->match);
    return cmp ? cmp : compare_cookies(a->entry, b->entry);
}

static int
compare_meters(const void *a_, const void *b_)
{
    const struct flow_meter *a = a_, *b = b_;
    return a->meter_id != b->meter_id ? (a->meter_id < b->meter_id ? -1 : 1) : 0;
}

static int
compare_groups(const void *a_, const void *b_)
{
    uint32_t a = group_entry_id(*(struct group_entry *const *) a_), b = group_entry_id(*(struct group_entry *const *) b_);
    return a != b ? (a < b ? -1 : 1) : 0;
}

void
flow_set_sort(struct flow_set *set)
{
    struct sort_item *items = xmalloc(set->n_flows * sizeof *items);

    for (size_t i = 0; i < set->n_flows; i++) {
        struct ds ds = DS_EMPTY_INITIALIZER;
        format_match(set->flows[i], &ds);
        items[i] = (struct sort_item) { set->flows[i], ds_steal_cstr(&ds) };
    }
    if (set->n_flows) {
        qsort(items, set->n_flows, sizeof *items, compare_items);
    }
    for (size_t i = 0; i < set->n_flows; i++) {
        set->flows[i] = items[i].entry;
        free(items[i].match);
    }
    free(items);
    if (set->n_meters) {
        qsort(set->meters, set->n_meters, sizeof *set->meters, compare_meters);
    }
    if (set->n_groups) {
        qsort(set->groups, set->n_groups, sizeof *set->groups, compare_groups);
    }
}

void
flow_set_format(const struct flow_set *set, bool names, struct ds *ds)
{
    for (size_t i = 0; names && i < set->n_meters; i++) {
        const struct flow_meter *m = &set->meters[i];
        ds_put_format(ds, "meter=%"PRIu32", pktps, burst, rate=%"PRIu32", burst_size=%"PRIu32"\n", m->meter_id, m->rate,
                      m->burst);
    }
    for (size_t i = 0; names && i < set->n_groups; i++) {
        group_entry_format(set->groups[i], ds);
        ds_put_char(ds, '\n');
    }
    for (size_t i = 0; i < set->n_flows; i++) {
        flow_entry_format(set->flows[i], names, ds);
        ds_put_char(ds, '\n');
    }
}
