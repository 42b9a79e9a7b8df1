#include <config.h>

#include "openvswitch/dynamic-string.h"
#include "of-state-private.h"
#include "util.h"

/* After a failure that named its change, bundles are halved only down to this size: the culprits go one by one
 * anyway. */
#define NAMED_FLOOR 1024

/* The queues. ---------------------------------------------------------------------------------------------------- */

/* The claim that should be installed, or NULL. */
static struct of_claim *
slot_wanted(const struct of_slot *slot)
{
    struct of_claim *claim;

    LIST_FOR_EACH (claim, slot_node, &slot->claims) {
        if (!claim->refusal) {
            return claim;
        }
    }
    return NULL;
}

static enum of_queue
slot_todo(const struct of_slot *slot)
{
    const struct of_claim *wanted = slot_wanted(slot);

    if (wanted) {
        bool done = slot->has_installed && of_item_same_content(&slot->installed, &wanted->item);
        return done ? OF_QUEUE_NONE : wanted->item.kind == OF_KIND_METER ? OF_QUEUE_METER : OF_QUEUE_ADD;
    }
    if (!slot->has_installed || slot->stuck || OF_BUG("forget-delete")) {
        return OF_QUEUE_NONE;
    }
    switch (slot->installed.kind) {
    case OF_KIND_FLOW:
        return OF_QUEUE_DELETE;
    case OF_KIND_METER:
        /* Flows may use it as long as somebody wants it, even if its new rate was refused. */
        return ovs_list_is_empty(&slot->claims) ? OF_QUEUE_METER_DELETE : OF_QUEUE_NONE;
    case OF_KIND_GROUP:
    default:
        return OF_QUEUE_GROUP_DELETE;
    }
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
    slot_enqueue(s, slot, slot_todo(slot), at_front);
    if (!slot->has_installed && ovs_list_is_empty(&slot->claims)) {
        of_slot_destroy(s, slot);
    }
}

void
of_slot_refresh(struct of_state *s, struct of_slot *slot)
{
    slot_refresh__(s, slot, false);
}

void
of_slot_set_installed(struct of_state *s, struct of_slot *slot, const struct of_item *item)
{
    struct of_item new = item ? of_item_clone(item) : slot->installed;

    if (slot->has_installed) {
        s->n_installed -= slot->installed.kind == OF_KIND_FLOW;
        of_item_destroy(&slot->installed);
    }
    slot->has_installed = item != NULL;
    if (item) {
        slot->installed = new;
        s->n_installed += item->kind == OF_KIND_FLOW;
    }
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
    const struct of_claim *wanted = slot_wanted(slot);
    struct of_item item = of_item_clone(wanted ? &wanted->item : &slot->installed);

    switch (item.kind) {
    case OF_KIND_FLOW:
        return (struct of_change) { .type = wanted ? OF_FLOW_ADD : OF_FLOW_DELETE, .flow = item.flow };
    case OF_KIND_METER:
        return (struct of_change) {
            .type = !wanted ? OF_METER_DELETE : slot->has_installed ? OF_METER_MODIFY : OF_METER_ADD,
            .meter = item.meter,
        };
    case OF_KIND_GROUP:
    default:
        return (struct of_change) { .type = OF_GROUP_DELETE, .group_id = item.group_id };
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
        take(s, OF_BUG("deletes-first") ? OF_QUEUE_DELETE : OF_QUEUE_ADD, s->limit);
        take(s, OF_BUG("deletes-first") ? OF_QUEUE_ADD : OF_QUEUE_DELETE, s->limit);
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

static void
change_uninit(struct of_change *change)
{
    if (change->type == OF_FLOW_ADD || change->type == OF_FLOW_DELETE) {
        flow_entry_unref(change->flow);
    }
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
        bool is_flow = change->type == OF_FLOW_ADD;
        bool is_meter = change->type == OF_METER_ADD || change->type == OF_METER_MODIFY;
        struct of_item item = is_flow ? of_item_flow(change->flow) : of_item_meter(&change->meter);

        of_slot_set_installed(s, s->change_slots[i], is_flow || is_meter ? &item : NULL);
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
    struct of_claim *claim;

    if (change->type == OF_FLOW_DELETE || change->type == OF_METER_DELETE || change->type == OF_GROUP_DELETE) {
        slot->stuck = true;
        return;
    }
    struct of_item item = change->type == OF_FLOW_ADD ? of_item_flow(change->flow) : of_item_meter(&change->meter);
    LIST_FOR_EACH (claim, slot_node, &slot->claims) {
        if (!claim->refusal && of_item_same_content(&claim->item, &item)) {
            of_claim_quarantine(s, claim, refusal_text(claim, error));
            break;
        }
    }
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
