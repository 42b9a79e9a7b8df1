#include <config.h>

#include "controller/services-private.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

/* What changes. -------------------------------------------------------------------------------------------------- */

/* A thing that was wanted before this run, or is wanted now, or both.  At most one of all that want things wants one
 * with this key at a time, but it need not be the same one as before. */
struct pending {
    struct hmap_node node;              /* In 'pending', or unused. */
    struct ovs_list list;               /* In 'effects' or 'popped', or unused. */
    bool has_old, has_new;
    union {
        struct { struct flow_entry *old, *new; } flow;
        struct { struct group_entry *old, *new; } group;
        struct { struct service_host old, new; } host;          /* Their 'src' are ours. */
        struct { struct service_health old, new; } health;
    };
};

static struct pending *
pending_create(struct services *s, enum pending_type type, uint32_t hash)
{
    static const size_t sizes[] = {
        [PENDING_GROUP] = offsetof(struct pending, group) + sizeof ((struct pending *) NULL)->group,
        [PENDING_FLOW] = offsetof(struct pending, flow) + sizeof ((struct pending *) NULL)->flow,
        [PENDING_HOST] = offsetof(struct pending, host) + sizeof ((struct pending *) NULL)->host,
        [PENDING_HEALTH] = offsetof(struct pending, health) + sizeof ((struct pending *) NULL)->health,
    };
    struct pending *p = xzalloc(sizes[type]);

    hmap_insert(&s->pending[type], &p->node, hash);
    return p;
}

static struct pending *
pending_flow(struct services *s, const struct flow_entry *flow)
{
    struct pending *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, flow->hash, &s->pending[PENDING_FLOW]) {
        if (flow_entry_same_key(p->flow.old ? p->flow.old : p->flow.new, flow)) {
            return p;
        }
    }
    return pending_create(s, PENDING_FLOW, flow->hash);
}

static struct pending *
pending_group(struct services *s, uint32_t id)
{
    struct pending *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, hash_int(id, 0), &s->pending[PENDING_GROUP]) {
        if (group_entry_id(p->group.old ? p->group.old : p->group.new) == id) {
            return p;
        }
    }
    return pending_create(s, PENDING_GROUP, hash_int(id, 0));
}

static struct pending *
pending_host(struct services *s, const struct service_host *host)
{
    uint32_t hash = service_host_hash(host);
    struct pending *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, hash, &s->pending[PENDING_HOST]) {
        if (service_host_same_key(p->has_old ? &p->host.old : &p->host.new, host)) {
            return p;
        }
    }
    return pending_create(s, PENDING_HOST, hash);
}

static struct pending *
pending_health(struct services *s, uint16_t port)
{
    struct pending *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, hash_int(port, 0), &s->pending[PENDING_HEALTH]) {
        if ((p->has_old ? &p->health.old : &p->health.new)->port == port) {
            return p;
        }
    }
    return pending_create(s, PENDING_HEALTH, hash_int(port, 0));
}

static bool
same_flows(struct flow_entry *const *flows, uint32_t n_flows, const struct flow_set *set)
{
    bool same = n_flows == set->n_flows;

    for (uint32_t i = 0; same && i < n_flows; i++) {
        same = flow_entry_equal(flows[i], set->flows[i]);
    }
    return same;
}

void
services_emit_flows(struct services *s, struct flow_entry ***flows, uint32_t *n_flows, struct flow_set *set)
{
    if (same_flows(*flows, *n_flows, set)) {
        flow_set_destroy(set);
        return;
    }
    for (uint32_t i = 0; i < *n_flows; i++) {
        struct pending *p = pending_flow(s, (*flows)[i]);

        p->has_old = true;
        flow_entry_unref(p->flow.old);
        p->flow.old = (*flows)[i];
    }
    free(*flows);
    *flows = set->n_flows ? xmemdup(set->flows, set->n_flows * sizeof *set->flows) : NULL;
    *n_flows = set->n_flows;
    for (uint32_t i = 0; i < *n_flows; i++) {
        struct pending *p = pending_flow(s, (*flows)[i]);

        p->has_new = true;
        flow_entry_unref(p->flow.new);
        p->flow.new = flow_entry_ref((*flows)[i]);
    }
    set->n_flows = 0;
    flow_set_destroy(set);
}

void
services_emit_group(struct services *s, struct group_entry *old, struct group_entry *new)
{
    if (old) {
        struct pending *p = pending_group(s, group_entry_id(old));

        p->has_old = true;
        group_entry_unref(p->group.old);
        p->group.old = old;
    }
    if (new) {
        struct pending *p = pending_group(s, group_entry_id(new));

        p->has_new = true;
        group_entry_unref(p->group.new);
        p->group.new = new;
    }
}

void
services_emit_host(struct services *s, const struct service_host *host, bool put)
{
    struct pending *p = pending_host(s, host);

    struct service_host *to = put ? &p->host.new : &p->host.old;

    *(put ? &p->has_new : &p->has_old) = true;
    service_host_uninit(to);
    *to = service_host_clone(host);
}

void
services_emit_health(struct services *s, const struct service_health *health, bool put)
{
    struct pending *p = pending_health(s, health->port);

    *(put ? &p->has_new : &p->has_old) = true;
    *(put ? &p->health.new : &p->health.old) = *health;
}

/* Effects. ------------------------------------------------------------------------------------------------------- */

static bool
is_idle(enum pending_type type, const struct pending *p)
{
    if (p->has_old != p->has_new || SERVICES_BUG("idle-put")) {
        return false;
    }
    switch (type) {
    case PENDING_FLOW:
        return flow_entry_equal(p->flow.old, p->flow.new);
    case PENDING_GROUP:
        return group_entry_equal(p->group.old, p->group.new);
    case PENDING_HOST:
        return service_host_equal(&p->host.old, &p->host.new);
    case PENDING_HEALTH:
        return (p->health.old.n_local == p->health.new.n_local && p->health.old.namespace_ == p->health.new.namespace_
                && p->health.old.name == p->health.new.name);
    case N_PENDING:
    default:
        OVS_NOT_REACHED();
    }
}

static void
pending_free(enum pending_type type, struct pending *p)
{
    if (type == PENDING_FLOW) {
        flow_entry_unref(p->flow.old);
        flow_entry_unref(p->flow.new);
    } else if (type == PENDING_GROUP) {
        group_entry_unref(p->group.old);
        group_entry_unref(p->group.new);
    } else if (type == PENDING_HOST) {
        service_host_uninit(&p->host.old);
        service_host_uninit(&p->host.new);
    }
    free(p);
}

static void
free_popped(struct services *s)
{
    struct pending *p;

    LIST_FOR_EACH_POP (p, list, &s->popped) {
        pending_free(PENDING_HOST, p);
    }
}

bool
services_emit_run(struct services *s)
{
    bool any;

    free_popped(s);
    for (int type = 0; type < N_PENDING; type++) {
        struct pending *p;

        HMAP_FOR_EACH_POP (p, node, &s->pending[type]) {
            if (is_idle(type, p)) {
                pending_free(type, p);
            } else {
                ovs_list_push_back(&s->effects[type], &p->list);
            }
        }
        hmap_shrink(&s->pending[type]);
    }
    services_flush_run(s);
    any = !ovs_list_is_empty(&s->flush_effects);
    for (int type = 0; type < N_PENDING; type++) {
        any = any || !ovs_list_is_empty(&s->effects[type]);
    }
    return any;
}

static void
take_effect(struct services *s, enum pending_type type, struct pending *p, struct service_effect *effect)
{
    static const enum service_effect_type puts[] = {
        [PENDING_FLOW] = SERVICE_PUT_FLOW, [PENDING_GROUP] = SERVICE_PUT_GROUP, [PENDING_HOST] = SERVICE_PUT_HOST,
        [PENDING_HEALTH] = SERVICE_PUT_HEALTH,
    }, drops[] = {
        [PENDING_FLOW] = SERVICE_DROP_FLOW, [PENDING_GROUP] = SERVICE_DROP_GROUP, [PENDING_HOST] = SERVICE_DROP_HOST,
        [PENDING_HEALTH] = SERVICE_DROP_HEALTH,
    };

    *effect = (struct service_effect) { .type = (p->has_new ? puts : drops)[type] };
    if (type == PENDING_FLOW) {
        effect->flow = flow_entry_ref(p->has_new ? p->flow.new : p->flow.old);
    } else if (type == PENDING_GROUP && p->has_new) {
        effect->group = group_entry_ref(p->group.new);
        effect->group_id = group_entry_id(p->group.new);
    } else if (type == PENDING_GROUP) {
        effect->group_id = group_entry_id(p->group.old);
    } else if (type == PENDING_HOST) {
        effect->host = p->has_new ? p->host.new : p->host.old;
        if (effect->host.n_src) {
            ovs_list_push_back(&s->popped, &p->list);
            return;
        }
    } else {
        effect->health = p->has_new ? p->health.new : p->health.old;
    }
    pending_free(type, p);
}

bool
services_pop(struct services *s, struct service_effect *effect)
{
    for (int type = 0; type < N_PENDING; type++) {
        if (!ovs_list_is_empty(&s->effects[type])) {
            struct pending *p = CONTAINER_OF(ovs_list_pop_front(&s->effects[type]), struct pending, list);

            take_effect(s, type, p, effect);
            return true;
        }
    }
    if (!ovs_list_is_empty(&s->flush_effects)) {
        struct flush_effect *e = CONTAINER_OF(ovs_list_pop_front(&s->flush_effects), struct flush_effect, list);

        *effect = (struct service_effect) { .type = SERVICE_FLUSH, .flush = e->flush };
        free(e);
        return true;
    }
    return false;
}

void
services_emit_clear(struct services *s)
{
    struct service_effect effect;

    while (services_pop(s, &effect)) {
        flow_entry_unref(effect.flow);
        group_entry_unref(effect.group);
    }
    free_popped(s);
}
