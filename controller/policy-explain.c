#include <config.h>

#include "controller/policy-explain.h"

#include <stdlib.h>
#include <string.h>

#include "controller/store.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

static const struct explain_end *
subject_of(const struct explain_question *q, enum flow_direction direction)
{
    return direction == FLOW_EGRESS ? &q->from : &q->to;
}

static const struct explain_end *
peer_of(const struct explain_question *q, enum flow_direction direction)
{
    return direction == FLOW_EGRESS ? &q->to : &q->from;
}

/* What has been found. ------------------------------------------------------------------------------------------- */

static size_t
add_policy(struct explanation *e, const struct kube_object *object, enum flow_tier tier, int priority,
           const char *problem)
{
    if (e->n_policies >= e->allocated_policies) {
        e->policies = x2nrealloc(e->policies, &e->allocated_policies, sizeof *e->policies);
    }
    e->policies[e->n_policies] = (struct explain_policy) {
        .object = object, .tier = tier, .priority = priority, .problem = problem,
    };
    return e->n_policies++;
}

static void
add_rule(struct explanation *e, const struct explain_rule *rule, struct ds *why_peer, struct ds *why_port)
{
    if (e->n_rules >= e->allocated_rules) {
        e->rules = x2nrealloc(e->rules, &e->allocated_rules, sizeof *e->rules);
    }
    struct explain_rule *r = &e->rules[e->n_rules++];
    *r = *rule;
    r->why_peer = rule->peer ? NULL : xstrdup(ds_cstr(why_peer));
    r->why_port = rule->port ? NULL : xstrdup(ds_cstr(why_port));
    ds_destroy(why_peer);
    ds_destroy(why_port);
}

static bool
rule_matches(const struct explain_rule *r)
{
    return r->peer && r->port;
}

static int
compare_objects(const struct kube_object *a, const struct kube_object *b)
{
    int cmp = strcmp(a->namespace_, b->namespace_);
    return cmp ? cmp : strcmp(a->name, b->name);
}

/* The policies of a kind that select the subject. ---------------------------------------------------------------- */

struct collection {
    const struct store *store;
    const struct kube_pod *pod;
    enum flow_direction direction;
    enum kube_tier tier;                /* Of ClusterNetworkPolicies. */
    const struct kube_object **found;
    size_t n, allocated;
};

static void
collect(struct collection *c, const struct kube_object *object)
{
    if (c->n >= c->allocated) {
        c->found = x2nrealloc(c->found, &c->allocated, sizeof *c->found);
    }
    c->found[c->n++] = object;
}

static bool
np_isolates(const struct kube_networkpolicy *np, const struct kube_pod *pod, enum flow_direction direction)
{
    return ((direction == FLOW_EGRESS ? np->isolates_egress : np->isolates_ingress)
            && !strcmp(np->object.namespace_, pod->object.namespace_)
            && kube_selector_matches(&np->pods, pod->object.labels));
}

static void
collect_np(const struct kube_object *object, void *collection)
{
    struct collection *c = collection;
    if (np_isolates(kube_networkpolicy_cast(object), c->pod, c->direction)) {
        collect(c, object);
    }
}

static bool
cnp_selects(const struct store *store, const struct kube_clusternetworkpolicy *cnp, const struct kube_pod *pod)
{
    const struct kube_cnp_subject *s = &cnp->subject;
    const struct kube_selector *namespaces = s->pods ? &s->pods->namespaces : s->namespaces;
    struct ds why = DS_EMPTY_INITIALIZER;
    bool selects = (namespaces && explain_namespace_matches_(store, namespaces, pod->object.namespace_, &why)
                    && (!s->pods || kube_selector_matches(&s->pods->pods, pod->object.labels)));

    ds_destroy(&why);
    return selects;
}

static void
collect_cnp(const struct kube_object *object, void *collection)
{
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(object);
    struct collection *c = collection;
    bool rules = cnp->problem || (c->direction == FLOW_EGRESS ? cnp->n_egress : cnp->n_ingress);

    if (cnp->tier == c->tier && rules && cnp_selects(c->store, cnp, c->pod)) {
        collect(c, object);
    }
}

static int
compare_found(const void *a_, const void *b_)
{
    const struct kube_object *const *a = a_, *const *b = b_;

    if ((*a)->kind == KUBE_CLUSTERNETWORKPOLICY) {
        int x = kube_clusternetworkpolicy_cast(*a)->priority, y = kube_clusternetworkpolicy_cast(*b)->priority;
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return compare_objects(*a, *b);
}

static void
sort_found(struct collection *c)
{
    if (c->n) {
        qsort(c->found, c->n, sizeof *c->found, compare_found);
    }
}

void
policy_explain_isolating(const struct store *store, const struct kube_pod *pod, enum flow_direction direction,
                         void (*cb)(const struct kube_object *, void *aux), void *aux)
{
    struct collection c = { .store = store, .pod = pod, .direction = direction };

    store_for_each(store, KUBE_NETWORKPOLICY, collect_np, &c);
    sort_found(&c);
    for (size_t i = 0; i < c.n; i++) {
        cb(c.found[i], aux);
    }
    free(c.found);
}

/* Rules. --------------------------------------------------------------------------------------------------------- */

static void
look_at_np(const struct explain_question *q, const struct kube_networkpolicy *np, struct explanation *e)
{
    bool egress = e->direction == FLOW_EGRESS;
    const struct kube_np_rule *rules = egress ? np->egress : np->ingress;
    size_t n = np->problem ? 0 : egress ? np->n_egress : np->n_ingress;
    size_t policy = add_policy(e, &np->object, FLOW_TIER_POLICY, 0, np->problem);

    for (size_t i = 0; i < n; i++) {
        struct ds peer = DS_EMPTY_INITIALIZER, port = DS_EMPTY_INITIALIZER;
        bool selected;
        bool found = explain_np_peers_(q, np->object.namespace_, &rules[i], peer_of(q, e->direction), &selected, &peer);
        const struct explain_rule rule = {
            .policy = policy, .index = i, .action = FLOW_ACCEPT, .peer = found,
            .port = explain_ports_(q, rules[i].ports, rules[i].n_ports, selected || !egress, FLOW_ACCEPT, &port),
        };
        add_rule(e, &rule, &peer, &port);
    }
}

static bool
is_understood(const struct kube_cnp_rule *rule)
{
    for (size_t i = 0; i < rule->n_peers; i++) {
        if (rule->peers[i].unknown) {
            return false;
        }
    }
    for (size_t i = 0; i < rule->n_ports; i++) {
        if (rule->ports[i].unknown) {
            return false;
        }
    }
    return true;
}

/* A rule that is not understood never opens anything: Accept matches nothing, others deny all (clusternetworkpolicy
 * 7). */
static enum flow_action
action_of(const struct kube_cnp_rule *rule)
{
    return (rule->action == KUBE_ACTION_ACCEPT ? FLOW_ACCEPT
            : rule->action == KUBE_ACTION_PASS && is_understood(rule) ? FLOW_PASS
            : FLOW_DENY);
}

static void
look_at_cnp(const struct explain_question *q, const struct kube_clusternetworkpolicy *cnp, enum flow_tier tier,
            struct explanation *e)
{
    bool egress = e->direction == FLOW_EGRESS;
    const struct kube_cnp_rule *rules = egress ? cnp->egress : cnp->ingress;
    size_t n = egress ? cnp->n_egress : cnp->n_ingress;
    size_t policy = add_policy(e, &cnp->object, tier, cnp->priority, cnp->problem);

    for (size_t i = 0; i < n && !cnp->problem; i++) {
        struct ds peer = DS_EMPTY_INITIALIZER, port = DS_EMPTY_INITIALIZER;
        enum flow_action action = action_of(&rules[i]);
        bool selected, found = explain_cnp_peers_(q, &rules[i], peer_of(q, e->direction), &selected, &peer);
        struct explain_rule rule = {
            .policy = policy, .index = i, .name = rules[i].name, .action = action, .peer = found,
            .port = explain_ports_(q, rules[i].ports, rules[i].n_ports, selected || !egress, action, &port),
        };
        if (!is_understood(&rules[i]) && action != FLOW_ACCEPT) {
            rule.peer = rule.port = true;
        } else if (!is_understood(&rules[i]) && rule.peer) {
            rule.peer = false;
            ds_clear(&peer);
            ds_put_cstr(&peer, "something in the rule is not known here: it matches nothing");
        }
        add_rule(e, &rule, &peer, &port);
    }
    if (cnp->problem) {
        struct ds none = DS_EMPTY_INITIALIZER;
        const struct explain_rule closed = { .policy = policy, .action = FLOW_DENY, .peer = true, .port = true };
        add_rule(e, &closed, &none, &none);
    }
}

/* Tiers. --------------------------------------------------------------------------------------------------------- */

static void
decide(struct explanation *e, bool allowed, enum explain_by by, size_t rule)
{
    e->allowed = allowed;
    e->by = by;
    e->rule = rule;
}

/* Whether rule 'a' goes before rule 'b' of the same tier: by priority, then place in the object, then Deny first. */
static bool
goes_before(const struct explanation *e, const struct explain_rule *a, const struct explain_rule *b)
{
    int x = e->policies[a->policy].priority, y = e->policies[b->policy].priority;

    return (x != y ? x < y
            : a->index != b->index ? a->index < b->index
            : a->action == FLOW_DENY && b->action != FLOW_DENY);
}

/* Whether a rule that matches stands at the same place as 'best' and does something else: the API leaves it open. */
static bool
is_tie(const struct explanation *e, size_t first, const struct explain_rule *best)
{
    for (size_t i = first; i < e->n_rules; i++) {
        const struct explain_rule *r = &e->rules[i];
        if (rule_matches(r) && r->action != best->action && best->action != FLOW_DENY && r->action != FLOW_DENY
            && !goes_before(e, best, r) && !goes_before(e, r, best)) {
            return true;
        }
    }
    return false;
}

/* A tier of ClusterNetworkPolicies.  True if it decides. */
static bool
ask_cnp(const struct explain_question *q, enum kube_tier tier, struct explanation *e)
{
    enum flow_tier flow_tier = tier == KUBE_TIER_ADMIN ? FLOW_TIER_ADMIN : FLOW_TIER_BASELINE;
    struct collection c = { .store = q->store, .pod = e->subject, .direction = e->direction, .tier = tier };
    size_t first = e->n_rules, best = SIZE_MAX;

    store_for_each(q->store, KUBE_CLUSTERNETWORKPOLICY, collect_cnp, &c);
    sort_found(&c);
    for (size_t i = 0; i < c.n; i++) {
        look_at_cnp(q, kube_clusternetworkpolicy_cast(c.found[i]), flow_tier, e);
    }
    free(c.found);
    for (size_t i = first; i < e->n_rules; i++) {
        if (rule_matches(&e->rules[i]) && (best == SIZE_MAX || goes_before(e, &e->rules[i], &e->rules[best]))) {
            best = i;
        }
    }
    e->tie = e->tie || (best != SIZE_MAX && is_tie(e, first, &e->rules[best]));
    if (best == SIZE_MAX || e->rules[best].action == FLOW_PASS) {
        return false;
    }
    decide(e, e->rules[best].action == FLOW_ACCEPT, EXPLAIN_BY_RULE, best);
    return true;
}

/* The NetworkPolicies.  True if they decide: they do if any selects the pod in this direction. */
static bool
ask_np(const struct explain_question *q, struct explanation *e)
{
    struct collection c = { .store = q->store, .pod = e->subject, .direction = e->direction };
    size_t first = e->n_rules;
    bool isolated;

    store_for_each(q->store, KUBE_NETWORKPOLICY, collect_np, &c);
    sort_found(&c);
    for (size_t i = 0; i < c.n; i++) {
        look_at_np(q, kube_networkpolicy_cast(c.found[i]), e);
    }
    isolated = c.n > 0;
    free(c.found);
    for (size_t i = first; i < e->n_rules; i++) {
        if (rule_matches(&e->rules[i])) {
            decide(e, true, EXPLAIN_BY_RULE, i);
            return true;
        }
    }
    if (isolated) {
        decide(e, false, EXPLAIN_BY_DEFAULT_DENY, 0);
    }
    return isolated;
}

/* NULL, or why no policy is asked. */
static const char *
exemption_of(const struct explain_question *q, const struct explanation *e)
{
    const char *problem = e->subject ? explain_not_selectable_(e->subject) : NULL;

    return (!e->subject ? "this end is no pod, so no policy selects it"
            : problem ? problem
            : q->from.pod == q->to.pod ? "a pod can always reach itself"
            : q->own_node && e->direction == FLOW_INGRESS ? "a pod's own node can always reach it"
            : NULL);
}

void
policy_explain(const struct explain_question *q, enum flow_direction direction, struct explanation *e)
{
    *e = (struct explanation) { .direction = direction, .subject = subject_of(q, direction)->pod };
    e->exemption = exemption_of(q, e);
    decide(e, true, e->exemption ? EXPLAIN_BY_EXEMPTION : EXPLAIN_BY_NOTHING, 0);
    if (!e->exemption && !ask_cnp(q, KUBE_TIER_ADMIN, e) && !ask_np(q, e)) {
        ask_cnp(q, KUBE_TIER_BASELINE, e);
    }
}

void
policy_explain_destroy(struct explanation *e)
{
    for (size_t i = 0; i < e->n_rules; i++) {
        free(e->rules[i].why_peer);
        free(e->rules[i].why_port);
    }
    free(e->rules);
    free(e->policies);
    memset(e, 0, sizeof *e);
}
