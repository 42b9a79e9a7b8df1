#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

/* Neither subject nor peer of a selector (networkpolicy 21, 28). */
bool
policy_pod_counts(const struct kube_pod *pod)
{
    return pod && !pod->host_network && !pod->finished;
}

/* Named ports. ---------------------------------------------------------------------------------------------------- */

/* The number of the first port of the class with the name and the protocol.  False if there is none. */
static bool
resolve(const struct match_class *class, struct kube_port *port)
{
    struct kube_pod pod = { .ports = class->ports };
    size_t n = kube_pod_n_ports(&pod);

    for (size_t i = 0; i < n; i++) {
        struct kube_port have;

        kube_pod_port(&pod, i, &have);
        if (have.protocol == port->protocol && !strcmp(have.name, port->name)) {
            port->number = have.number;
            return true;
        }
    }
    return false;
}

/* Adds the numbers of the names that rules of 'item' have.  True if there was one. */
static bool
resolve_item(const struct match_class *class, const struct item *item, struct group_spec *s)
{
    bool any = false;
    struct link *link;

    if (!class->ports) {
        return false;
    }
    LIST_FOR_EACH (link, node, &item->rules) {
        const struct rule *rule = link->user;

        for (size_t i = 0; i < rule->n_named; i++) {
            struct kube_port port = rule->named[i];

            if (resolve(class, &port)) {
                policy_group_spec_add_named(s, &port);
                any = true;
            }
        }
    }
    return any;
}

/* The group of a class. ------------------------------------------------------------------------------------------- */

static struct group *
class_group(struct policy *p, const struct match_class *class, enum side side, enum flow_direction direction)
{
    struct group_spec s = { .side = side, .direction = direction };
    bool resolving = policy_is_resolving(side, direction);

    for (size_t i = 0; class->n_pods && i < class->n_terms; i++) {
        struct term *t = class->terms[i]->aux;
        struct item *item = &t->items[direction];
        bool named = resolving && resolve_item(class, item, &s);

        if (side == SIDE_SUBJECT ? t->n_counts[direction] > 0 : item->n_main || named) {
            policy_group_spec_add(&s, item);
        }
    }
    struct group *g = policy_group_get(p, &s);
    policy_group_spec_clear(&s);
    return g;
}

/* A term of one namespace is that of NetworkPolicies, which isolate. */
static bool
class_isolated(const struct match_class *class, enum flow_direction direction)
{
    for (size_t i = 0; class->n_pods && i < class->n_terms; i++) {
        const struct term *t = class->terms[i]->aux;
        if (t->n_counts[direction] && t->match->namespace_) {
            return true;
        }
    }
    return false;
}

static bool
class_domains(const struct match_class *class)
{
    for (size_t i = 0; class->n_pods && i < class->n_terms; i++) {
        const struct term *t = class->terms[i]->aux;
        if (t->n_domains) {
            return true;
        }
    }
    return false;
}

/* Pods of a class whose group is another one. ---------------------------------------------------------------------- */

static void
mark_locals(const struct kube_pod *pod, void *p)
{
    for (struct local *l = policy_local_first(p, pod); l && !POLICY_BUG("local-missed"); l = policy_local_next(l)) {
        policy_local_mark(p, l);
    }
}

struct refresh {
    struct policy *policy;
    const struct class_info *info;
};

static void
refresh_pod(const struct kube_pod *pod, void *refresh_)
{
    const struct refresh *refresh = refresh_;
    policy_pod_refresh_class(refresh->policy, pod, refresh->info);
}

static void
set_group(struct policy *p, enum side side, struct group **slot, struct group *new)
{
    struct group *old = *slot;

    *slot = new;
    if (side == SIDE_SUBJECT) {
        policy_group_use(p, new);
        policy_group_unuse(p, old);
    } else {
        policy_group_ref(new);
        policy_group_unref(p, old);
    }
}

/* Makes '*info' what it must be; true if it was something else. */
static bool
update_info(struct policy *p, const struct match_class *class, enum side side, struct class_info *info)
{
    bool domains = side == SIDE_SUBJECT && class_domains(class) && !POLICY_BUG("domains-missed");
    bool changed = domains != info->domains;

    info->domains = domains;
    for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
        struct group *new = class_group(p, class, side, d);
        bool isolated = side == SIDE_SUBJECT && class_isolated(class, d);

        changed |= new != info->groups[d];
        set_group(p, side, &info->groups[d], new);
        info->isolated[d] = isolated;
        policy_group_unref(p, new);
    }
    return changed;
}

/* A class that nothing selects has no 'aux'. */
static void
store_info(struct policy *p, struct match_class *class, enum side side, const struct class_info *info)
{
    bool had = class->aux, has = info->groups[0] || info->groups[1];

    if (had && has) {
        *(struct class_info *) class->aux = *info;
    } else if (has) {
        class->aux = xmemdup(info, sizeof *info);
    } else {
        free(class->aux);
        class->aux = NULL;
    }
    if (side == SIDE_PEER) {
        p->n_peer_classes += has - had;
    }
}

static void
class_run(struct policy *p, struct match_class *class, enum side side)
{
    static const struct class_info none = { .isolated = { false } };
    struct class_info info = class->aux ? *(struct class_info *) class->aux : none;

    if (!update_info(p, class, side, &info)) {
        return;
    }
    store_info(p, class, side, &info);
    if (side == SIDE_SUBJECT) {
        policy_match_for_each_pod(class, mark_locals, p);
    } else {
        policy_match_for_each_pod(class, refresh_pod, &(struct refresh) { p, class->aux });
    }
}

bool
policy_classes_run(struct policy *p, enum side side)
{
    struct match_class *class;
    bool any = false;

    while ((class = policy_match_pop_changed(p->match[side])) != NULL) {
        class_run(p, class, side);
        any = true;
    }
    return any;
}
