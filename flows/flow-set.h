#ifndef SLUICE_FLOW_SET_H
#define SLUICE_FLOW_SET_H 1

/* Flows as values.
 *
 * 'struct flow_entry' is one OpenFlow flow: key (table, priority, match) and content (cookie, actions).  It is
 * immutable and reference counted, so that a compiled flow, the desired state and the installed state share one copy.
 * 'struct flow_set' is what one call of the compiler writes: the flows, groups and meters of one owner. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/match.h"
#include "openvswitch/meta-flow.h"
#include "openvswitch/ofpbuf.h"

struct ds;
struct ofputil_group_desc;

struct flow_entry {
    unsigned int ref_count;             /* One thread only. */
    uint32_t hash;                      /* Of the key. */
    uint64_t cookie;                    /* Host byte order. */
    uint16_t priority;
    uint8_t table_id;
    struct minimatch match;
    struct ofpact *ofpacts;
    size_t ofpacts_len;                 /* Bytes. */
};

struct flow_entry *flow_entry_create(uint8_t table_id, uint16_t priority, uint64_t cookie, const struct match *,
                                     const struct ofpact *, size_t ofpacts_len);
struct flow_entry *flow_entry_ref(const struct flow_entry *);
void flow_entry_unref(struct flow_entry *);
bool flow_entry_same_key(const struct flow_entry *, const struct flow_entry *);
/* Same key, cookie and actions. */
bool flow_entry_equal(const struct flow_entry *, const struct flow_entry *);
/* "table=50(L3_FORWARD), priority=..., cookie=..., MATCH actions=..."; without 'names' what "ovs-ofctl parse-flows"
 * reads. */
void flow_entry_format(const struct flow_entry *, bool names, struct ds *);
/* Total order for output: table, priority descending, match text. */
int flow_entry_compare(const struct flow_entry *, const struct flow_entry *);

/* A group of type select, usually with selection method dp_hash.  Immutable and reference counted like a flow.  It is kept as the
 * OpenFlow 1.5 message that makes it: small, and what a switch tells of a group can be compared after the same encoding.
 *
 * A group whose message is longer than OpenFlow allows (with buckets of a usual size: above 257) has no buckets, so that
 * what goes there is dropped. */
struct group_bucket {
    uint32_t bucket_id;                 /* Below OFPG15_BUCKET_MAX, by which a bucket stays the same bucket: its counters
                                         * are kept. */
    uint16_t weight;
    const struct ofpact *ofpacts;
    size_t ofpacts_len;                 /* Bytes. */
};

struct group_entry;
struct group_entry *group_entry_create(uint32_t group_id, const struct group_bucket *, size_t n_buckets);
/* Type indirect: always that bucket, without dp_hash and its recirculation. */
struct group_entry *group_entry_create_indirect(uint32_t group_id, const struct group_bucket *);
/* With selection method hash of one field, all of it, instead of dp_hash: no recirculation, but an upcall for each value of
 * the field.  A bucket that comes or goes moves only what it gets or had. */
struct group_entry *group_entry_create_hash(uint32_t group_id, enum mf_field_id, const struct group_bucket *,
                                            size_t n_buckets);
/* What a switch tells: any group, of whatever type. */
struct group_entry *group_entry_from_desc(const struct ofputil_group_desc *);
struct group_entry *group_entry_ref(const struct group_entry *);
void group_entry_unref(struct group_entry *);
uint32_t group_entry_id(const struct group_entry *);
size_t group_entry_n_buckets(const struct group_entry *);
bool group_entry_equal(const struct group_entry *, const struct group_entry *);
/* "group_id=...,type=select,..." as "ovs-ofctl add-group" reads it. */
void group_entry_format(const struct group_entry *, struct ds *);
/* A new OFPT_GROUP_MOD, transaction id 0.  'command' is OFPGC11_ADD or OFPGC11_MODIFY. */
struct ofpbuf *group_entry_encode(const struct group_entry *, uint16_t command);

/* A meter that drops above 'rate' packets a second. */
struct flow_meter {
    uint32_t meter_id;                  /* flows/fields.h names them. */
    uint32_t rate;                      /* Packets a second. */
    uint32_t burst;                     /* Packets. */
};

struct flow_set {
    struct flow_entry **flows;          /* One reference each. */
    size_t n_flows, allocated_flows;
    struct flow_meter *meters;
    size_t n_meters, allocated_meters;
    struct group_entry **groups;        /* One reference each. */
    size_t n_groups, allocated_groups;
};

#define FLOW_SET_INIT { NULL, 0, 0, NULL, 0, 0, NULL, 0, 0 }

void flow_set_destroy(struct flow_set *);       /* Frees the content. */
void flow_set_add(struct flow_set *, uint8_t table_id, uint16_t priority, uint64_t cookie, const struct match *,
                  const struct ofpbuf *ofpacts);
void flow_set_add_nocopy(struct flow_set *, struct flow_entry *);
void flow_set_add_meter(struct flow_set *, const struct flow_meter *);
void flow_set_add_group(struct flow_set *, struct group_entry *);       /* Takes the caller's reference. */
void flow_set_sort(struct flow_set *);          /* Groups by id. */
/* With 'names' also the meters and groups. */
void flow_set_format(const struct flow_set *, bool names, struct ds *);

#endif /* flows/flow-set.h */
