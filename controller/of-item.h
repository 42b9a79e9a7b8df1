#ifndef SLUICE_OF_ITEM_H
#define SLUICE_OF_ITEM_H 1

/* One thing in the switch: a flow, a meter or a group, so that of-state.h keeps the books of all three in one
 * way.
 *
 * A key names its place (table, priority and match; meter id; group id), the content is what stands there.  An
 * item holds a reference to its flow or group: item_clone() takes one, item_destroy() drops it. */

#include <stdbool.h>
#include <stdint.h>

#include "flow-set.h"

struct ds;

enum of_kind { OF_KIND_FLOW, OF_KIND_METER, OF_KIND_GROUP };

struct of_item {
    enum of_kind kind;
    uint32_t id;                        /* Of a meter or a group. */
    union {
        struct flow_entry *flow;
        struct group_entry *group;      /* NULL: only a key. */
        struct { uint32_t rate, burst; } meter;
    };
};

/* Takes the reference to 'flow' or 'group'. */
struct of_item of_item_flow(struct flow_entry *flow);
struct of_item of_item_meter(const struct flow_meter *);
struct flow_meter of_item_get_meter(const struct of_item *);
struct of_item of_item_group(struct group_entry *group);
struct of_item of_item_group_key(uint32_t group_id);
/* A group without buckets: drops what comes. */
struct of_item of_item_group_empty(uint32_t group_id);

struct of_item of_item_clone(const struct of_item *);
/* An item with the same key, which for a group does not hold the content. */
struct of_item of_item_clone_key(const struct of_item *);
void of_item_destroy(struct of_item *);

uint32_t of_item_hash(const struct of_item *);                  /* Of the key. */
bool of_item_same_key(const struct of_item *, const struct of_item *);
/* Neither is only a key.  The same cookie and actions, whatever the switch made of their encoding: actions that differ in memory are
 * compared as OpenFlow 1.5 writes them. */
bool of_item_same_content(const struct of_item *, const struct of_item *);
void of_item_format(const struct of_item *, struct ds *);

#endif /* controller/of-item.h */
