#include <config.h>

#include "openvswitch/dynamic-string.h"
#include "of-state-private.h"
#include "openvswitch/ofp-actions.h"
#include "util.h"

/* After a failure that named its change, bundles are halved only down to this size: the culprits go one by one
 * anyway. */
#define NAMED_FLOOR 1024

/* Room for changes that is kept from one bundle to the next: the first one may be very large. */
#define KEPT_CHANGES 1024

/* Which groups installed flows use. ------------------------------------------------------------------------------ */

static struct of_group_use *
find_group_use(const struct of_state *s, uint32_t group_id)
{
    struct of_item key = of_item_group_key(group_id);
    struct of_group_use *use;

    HMAP_FOR_EACH_WITH_HASH (use, node, of_item_hash(&key), &s->group_uses) {
        if (use->group_id == group_id) {
            return use;
        }
    }
    return NULL;
}

static bool
is_group_used(const struct of_state *s, uint32_t group_id)
{
    return find_group_use(s, group_id) != NULL;
}

static void
use_group(struct of_state *s, uint32_t group_id)
{
    struct of_group_use *use = find_group_use(s, group_id);
    struct of_item key = of_item_group_key(group_id);

    if (!use) {
        use = xzalloc(sizeof *use);
        use->group_id = group_id;
        hmap_insert(&s->group_uses, &use->node, of_item_hash(&key));
    }
    use->n_flows++;
}

static void
leave_group(struct of_state *s, uint32_t group_id)
{
    struct of_group_use *use = find_group_use(s, group_id);

    if (!--use->n_flows) {
        hmap_remove(&s->group_uses, &use->node);
        free(use);
    }
}

/* Calls 'cb' for the group of each group action. */
static void
for_each_group(struct of_state *s, const struct ofpact *ofpacts, size_t ofpacts_len,
               void (*cb)(struct of_state *, uint32_t group_id))
{
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, ofpacts, ofpacts_len) {
        if (a->type == OFPACT_GROUP) {
            cb(s, ofpact_get_GROUP(a)->group_id);
        } else if (a->type == OFPACT_CLONE || a->type == OFPACT_WRITE_ACTIONS) {
            const struct ofpact_nest *nest = ALIGNED_CAST(const struct ofpact_nest *, a);
            for_each_group(s, nest->actions, ofpact_nest_get_action_len(nest), cb);
        }
    }
}

/* A group that was kept because of a flow may go now.  (Of a group that is installed the slot stays.) */
static void
refresh_group(struct of_state *s, uint32_t group_id)
{
    struct of_item key = of_item_group_key(group_id);
    struct of_slot *slot = of_slot_find(s, &key);

    if (slot && slot->has_installed) {
        of_slot_refresh(s, slot);
    }
}

/* 'flow' is or is not in the switch any more. */
static void
count_groups(struct of_state *s, const struct flow_entry *flow, bool installed)
{
    for_each_group(s, flow->ofpacts, flow->ofpacts_len, installed ? use_group : leave_group);
    for_each_group(s, flow->ofpacts, flow->ofpacts_len, refresh_group);
}

/* The queues. ---------------------------------------------------------------------------------------------------- */

/* A group that somebody wants, but of which the switch took nothing. */
static bool
is_refused_group(const struct of_slot *slot)
{
    return slot->item.kind == OF_KIND_GROUP && slot->claims && !OF_BUG("refused-group-stays");
}

/* Whether something should be installed, and what: 'wanted', which the caller destroys. */
static bool
slot_wanted(const struct of_slot *slot, struct of_item *wanted)
{
    for (const struct of_claim *claim = slot->claims; claim; claim = claim->next) {
        if (!claim->refusal) {
            *wanted = of_item_clone(&claim->item);
            return true;
        }
    }
    if (is_refused_group(slot) && !slot->stuck) {
        *wanted = of_item_group_empty(slot->item.id);
        return true;
    }
    return false;
}

/* What has to be done about something that nobody wants. */
static enum of_queue
removal(const struct of_state *s, const struct of_slot *slot)
{
    switch (slot->item.kind) {
    case OF_KIND_FLOW:
        return OF_QUEUE_DELETE;
    case OF_KIND_METER:
        /* Flows may use it as long as somebody wants it, even if its new rate was refused. */
        return !slot->claims ? OF_QUEUE_METER_DELETE : OF_QUEUE_NONE;
    case OF_KIND_GROUP:
    default:
        return is_refused_group(slot) || is_group_used(s, slot->item.id) ? OF_QUEUE_NONE : OF_QUEUE_GROUP_DELETE;
    }
}

static enum of_queue
slot_todo(const struct of_state *s, const struct of_slot *slot)
{
    static const enum of_queue queues[] = {
        [OF_KIND_FLOW] = OF_QUEUE_ADD, [OF_KIND_METER] = OF_QUEUE_METER, [OF_KIND_GROUP] = OF_QUEUE_GROUP,
    };
    struct of_item wanted;

    if (slot_wanted(slot, &wanted)) {
        bool done = slot->has_installed && of_item_same_content(&slot->item, &wanted);
        of_item_destroy(&wanted);
        return done ? OF_QUEUE_NONE : queues[slot->item.kind];
    }
    return slot->has_installed && !slot->stuck && !OF_BUG("forget-delete") ? removal(s, slot) : OF_QUEUE_NONE;
}

static void
slot_enqueue(struct of_state *s, struct of_slot *slot, enum of_queue queue, bool at_front)
{
    if (slot->queue == queue) {
        return;
    }
    if (slot->queue != OF_QUEUE_NONE) {
        ovs_list_remove(&slot->queue_node);
    }
    slot->queue = queue;
    if (queue != OF_QUEUE_NONE) {
        struct ovs_list *list = &s->queues[queue];
        ovs_list_insert(at_front ? list->next : list, &slot->queue_node);
    }
}

static void
slot_refresh__(struct of_state *s, struct of_slot *slot, bool at_front)
{
    if (slot->in_flight) {
        return;
    }
    slot_enqueue(s, slot, slot_todo(s, slot), at_front);
    if (!slot->has_installed && !slot->claims) {
        of_slot_destroy(s, slot);
    }
}

void
of_slot_refresh(struct of_state *s, struct of_slot *slot)
{
    slot_refresh__(s, slot, false);
}

static void
count_installed(struct of_state *s, const struct of_item *item, int n)
{
    if (item->kind == OF_KIND_FLOW) {
        s->n_installed += n;
        count_groups(s, item->flow, n > 0);
    } else if (item->kind == OF_KIND_GROUP) {
        s->n_groups += n;
    }
}

void
of_slot_set_installed(struct of_state *s, struct of_slot *slot, const struct of_item *item)
{
    struct of_item new = item ? of_item_clone(item) : of_item_clone_key(&slot->item);

    if (item) {
        count_installed(s, item, 1);    /* First, so that a group that both use is never unused. */
    }
    if (slot->has_installed) {
        count_installed(s, &slot->item, -1);
    }
    of_item_destroy(&slot->item);
    slot->item = new;
    slot->has_installed = item != NULL;
}

static bool
queues_empty(const struct of_state *s)
{
    for (size_t i = 0; i < OF_N_QUEUES; i++) {
        if (!ovs_list_is_empty(&s->queues[i])) {
            return false;
        }
    }
    return true;
}

bool
of_state_idle(const struct of_state *s)
{
    return !s->bundle.n && queues_empty(s);
}

void
of_state_settle(struct of_state *s)
{
    if (s->dumped && s->started && of_state_idle(s)) {
        s->acked = s->version;
    }
}

/* Composition. --------------------------------------------------------------------------------------------------- */

static struct of_change
change_from_slot(const struct of_slot *slot)
{
    struct of_item item;
    bool wanted = slot_wanted(slot, &item);

    if (!wanted) {
        item = of_item_clone(&slot->item);
    }

    switch (item.kind) {
    case OF_KIND_FLOW:
        return (struct of_change) { .type = wanted ? OF_FLOW_ADD : OF_FLOW_DELETE, .flow = item.flow };
    case OF_KIND_METER:
        return (struct of_change) {
            .type = !wanted ? OF_METER_DELETE : slot->has_installed ? OF_METER_MODIFY : OF_METER_ADD,
            .meter = of_item_get_meter(&item),
        };
    case OF_KIND_GROUP:
    default:
        return (struct of_change) {
            .type = !wanted ? OF_GROUP_DELETE : slot->has_installed ? OF_GROUP_MODIFY : OF_GROUP_ADD,
            .group = item.group,
        };
    }
}

static void
take(struct of_state *s, enum of_queue queue, size_t limit)
{
    struct ovs_list *list = &s->queues[queue];

    while (!ovs_list_is_empty(list) && s->bundle.n < limit) {
        struct of_slot *slot = CONTAINER_OF(ovs_list_front(list), struct of_slot, queue_node);

        if (s->bundle.n >= s->allocated_changes) {
            size_t allocated = s->allocated_changes;
            s->changes = x2nrealloc(s->changes, &allocated, sizeof *s->changes);
            s->change_slots = x2nrealloc(s->change_slots, &s->allocated_changes, sizeof *s->change_slots);
        }
        s->changes[s->bundle.n] = change_from_slot(slot);
        s->change_slots[s->bundle.n++] = slot;
        slot_enqueue(s, slot, OF_QUEUE_NONE, false);
        slot->in_flight = true;
    }
}

const struct of_bundle *
of_state_next(struct of_state *s)
{
    if (!s->dumped || !s->started || s->bundle.n) {
        return NULL;
    }
    take(s, OF_QUEUE_METER, 1);
    if (!s->bundle.n) {
        bool groups_last = OF_BUG("groups-last");

        take(s, OF_QUEUE_GROUP, groups_last ? 0 : s->limit);
        take(s, OF_BUG("deletes-first") ? OF_QUEUE_DELETE : OF_QUEUE_ADD, s->limit);
        take(s, OF_BUG("deletes-first") ? OF_QUEUE_ADD : OF_QUEUE_DELETE, s->limit);
        take(s, OF_QUEUE_GROUP, groups_last ? s->limit : 0);
    }
    if (!s->bundle.n || OF_BUG("delete-group-at-once")) {
        take(s, OF_QUEUE_GROUP_DELETE, s->limit);
    }
    if (!s->bundle.n) {
        take(s, OF_QUEUE_METER_DELETE, 1);
    }
    if (!s->bundle.n) {
        return NULL;
    }
    s->bundle.changes = s->changes;
    s->bundle_version = queues_empty(s) || OF_BUG("ack-partial") ? s->version : s->acked;
    s->n_bundles++;
    s->n_flow_mods += s->bundle.n;
    if (OF_BUG("ack-early")) {
        s->acked = s->bundle_version;
    }
    return &s->bundle;
}

/* Answers. ------------------------------------------------------------------------------------------------------- */

/* What the change is about; borrows the change's reference. */
static struct of_item
change_item(const struct of_change *change)
{
    switch (change->type) {
    case OF_FLOW_ADD: case OF_FLOW_DELETE:
        return of_item_flow(change->flow);
    case OF_METER_ADD: case OF_METER_MODIFY: case OF_METER_DELETE:
        return of_item_meter(&change->meter);
    case OF_GROUP_ADD: case OF_GROUP_MODIFY: case OF_GROUP_DELETE:
    default:
        return of_item_group(change->group);
    }
}

static bool
change_deletes(const struct of_change *change)
{
    return change->type == OF_FLOW_DELETE || change->type == OF_METER_DELETE || change->type == OF_GROUP_DELETE;
}

static void
change_uninit(struct of_change *change)
{
    struct of_item item = change_item(change);
    of_item_destroy(&item);
}

/* The bundle is no more; its slots are in the queues again, in front and in their order, if there is still
 * something to do. */
static void
release_bundle(struct of_state *s)
{
    size_t n = s->bundle.n;

    s->bundle.n = 0;
    while (n > 0) {
        struct of_slot *slot = s->change_slots[--n];

        change_uninit(&s->changes[n]);
        slot->in_flight = false;
        if (!OF_BUG("forget-change-under-way") || !slot->has_installed) {
            slot_refresh__(s, slot, true);
        }
    }
    if (s->allocated_changes > KEPT_CHANGES) {
        free(s->changes);
        free(s->change_slots);
        s->changes = NULL;
        s->change_slots = NULL;
        s->allocated_changes = 0;
    }
}

void
of_state_forget_bundle(struct of_state *s)
{
    release_bundle(s);
}

void
of_state_bundle_acked(struct of_state *s)
{
    for (size_t i = 0; i < s->bundle.n; i++) {
        const struct of_change *change = &s->changes[i];
        struct of_item item = change_item(change);

        of_slot_set_installed(s, s->change_slots[i], change_deletes(change) ? NULL : &item);
    }
    s->acked = s->bundle_version;
    s->limit = s->limit > SIZE_MAX / 2 ? SIZE_MAX : s->limit * 2;
    release_bundle(s);
    of_state_settle(s);
}

static char *
refusal_text(const struct of_claim *claim, enum ofperr error)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&s, "the switch refused \"");
    of_item_format(&claim->item, &s);
    ds_put_format(&s, "\": %s (%s)", ofperr_get_name(error), ofperr_get_description(error));
    return ds_steal_cstr(&s);
}

/* The change itself is at fault.  Its claim is quarantined, unless its owner has meanwhile asked for something else. */
static void
refuse_change(struct of_state *s, size_t index, enum ofperr error)
{
    const struct of_change *change = &s->changes[index];
    struct of_slot *slot = s->change_slots[index];

    if (change_deletes(change)) {
        slot->stuck = true;
        return;
    }
    struct of_item item = change_item(change);
    bool all_refused = true;
    for (struct of_claim *claim = slot->claims; claim; claim = claim->next) {
        if (!claim->refusal && of_item_same_content(&claim->item, &item)) {
            of_claim_quarantine(s, claim, refusal_text(claim, error));
            return;
        }
        all_refused &= claim->refusal != NULL;
    }
    slot->stuck |= all_refused && is_refused_group(slot);       /* Not even a group without buckets. */
}

void
of_state_bundle_failed(struct of_state *s, size_t index, enum ofperr error)
{
    size_t n = s->bundle.n;

    s->n_failures++;
    if (OF_BUG("blame-neighbour") && index != SIZE_MAX) {
        index = (index + 1) % n;
    }
    if (n == 1 || index < n) {
        refuse_change(s, n == 1 ? 0 : index, error);
        s->limit = MIN(s->limit, MAX(n / 2, NAMED_FLOOR));
    } else {
        s->limit = n / 2;
    }
    release_bundle(s);
    of_state_settle(s);
}
