#ifndef WORLD_FLOWS_H
#define WORLD_FLOWS_H 1

/* What the worlds around a core share (policy-world.h, service-world.h): objects from text, a map of the flows that
 * effects have built, and the first thing that was wrong. */

#include "controller/kube-types.h"
#include "fields.h"
#include "flow-set.h"
#include "openvswitch/hmap.h"

struct flow;

struct world_flow {
    struct hmap_node node;              /* In a map of flows, by the flow's hash. */
    struct flow_entry *flow;            /* Owned. */
};

/* Sets '*failure', unless something was wrong before. */
void world_fail(char **failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Decodes; ' stands for ".  Fails the program if it cannot. */
struct kube_object *world_decode(const char *json);

void world_flows_destroy(struct hmap *);
/* Take the reference.  It is wrong to put what is there as it is, and to drop what is not there. */
void world_flows_put(struct hmap *, struct flow_entry *, char **failure);
void world_flows_drop(struct hmap *, struct flow_entry *, char **failure);
/* It is wrong if they are not those of 'want'. */
void world_flows_compare(const struct hmap *, const struct flow_set *want, char **failure);
/* The flow with the highest priority, or NULL. */
const struct flow_entry *world_flows_lookup(const struct hmap *, uint8_t table_id, const struct flow *);

/* Of a packet. */
void world_set_field(struct flow *, enum flow_field, uint32_t value);

#endif /* tests/unit/world-flows.h */
