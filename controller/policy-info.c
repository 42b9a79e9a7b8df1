#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

/* All flows. ------------------------------------------------------------------------------------------------------ */

static void
add_flow(struct flow_set *out, const struct flow_entry *flow)
{
    if (flow) {
        flow_set_add_nocopy(out, flow_entry_ref(flow));
    }
}

void
policy_get_flows(const struct policy *p, struct flow_set *out)
{
    const struct address *a;
    const struct clause *c;
    const struct group *g;
    const struct rule *rule;
    const struct named_conj *nc;

    for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
        HMAP_FOR_EACH (a, node, &p->addresses[d]) {
            add_flow(out, a->flow);
        }
    }
    HMAP_FOR_EACH (g, node, &p->groups) {
        for (size_t i = 0; i < g->n_flows; i++) {
            add_flow(out, g->flows[i]);
        }
    }
    HMAP_FOR_EACH (c, node, &p->clauses) {
        add_flow(out, c->flow);
    }
    HMAP_FOR_EACH (rule, node, &p->rules) {
        add_flow(out, rule->main.flow);
        LIST_FOR_EACH (nc, node, &rule->named_conjs) {
            add_flow(out, nc->conj.flow);
        }
    }
}

/* Rules. ---------------------------------------------------------------------------------------------------------- */

static int
compare_objects(const struct kube_object *a, const struct kube_object *b)
{
    int cmp = a->kind < b->kind ? -1 : a->kind > b->kind;

    cmp = cmp ? cmp : strcmp(a->namespace_, b->namespace_);
    return cmp ? cmp : strcmp(a->name, b->name);
}

static int
compare_refs(const void *a_, const void *b_)
{
    const struct policy_rule_ref *a = a_, *b = b_;
    int cmp = compare_objects(a->object, b->object);

    cmp = cmp ? cmp : (int) a->direction - (int) b->direction;
    return cmp ? cmp : a->index < b->index ? -1 : a->index > b->index;
}

static struct policy_rule_ref
make_ref(const struct object *o, const struct rule_ref *ref)
{
    return (struct policy_rule_ref) {
        .object = o->object, .direction = ref->rule->direction, .tier = ref->rule->tier, .action = ref->rule->action,
        .index = ref->index, .name = ref->name,
    };
}

/* The objects that may have a rule are those of its subject. */
void
policy_rules_of_cookie(const struct policy *p, uint64_t cookie, void (*cb)(const struct policy_rule_ref *, void *aux),
                       void *aux)
{
    struct policy_rule_ref *refs = NULL;
    size_t n = 0, allocated = 0;
    const struct rule *rule;
    const struct object *o;

    HMAP_FOR_EACH_WITH_HASH (rule, node, cookie, &p->rules) {
        LIST_FOR_EACH (o, in_term, &policy_term_of_item(rule->subject.item)->objects) {
            for (size_t i = 0; i < o->n_refs; i++) {
                if (o->refs[i].rule != rule) {
                    continue;
                }
                if (n == allocated) {
                    refs = x2nrealloc(refs, &allocated, sizeof *refs);
                }
                refs[n++] = make_ref(o, &o->refs[i]);
            }
        }
    }
    if (n) {
        qsort(refs, n, sizeof *refs, compare_refs);
    }
    for (size_t i = 0; i < n; i++) {
        cb(&refs[i], aux);
    }
    free(refs);
}

static bool
has_conj(const struct rule *rule, uint32_t id)
{
    const struct named_conj *nc;

    LIST_FOR_EACH (nc, node, &rule->named_conjs) {
        if (nc->conj.id == id) {
            return true;
        }
    }
    return rule->has_main && rule->main.id == id;
}

void
policy_rules_of_conj(const struct policy *p, uint32_t conj_id, void (*cb)(const struct policy_rule_ref *, void *aux),
                     void *aux)
{
    const struct rule *rule;

    HMAP_FOR_EACH (rule, node, &p->rules) {
        if (has_conj(rule, conj_id)) {
            policy_rules_of_cookie(p, flow_rule_cookie(rule->hash), cb, aux);
            break;
        }
    }
}

static const struct object *
find_object(const struct policy *p, const struct kube_object *object)
{
    const struct object *o;

    HMAP_FOR_EACH_WITH_HASH (o, node, hash_pointer(object, 0), &p->objects) {
        if (o->object == object) {
            return o;
        }
    }
    return NULL;
}

void
policy_for_each_rule(const struct policy *p, const struct kube_object *object,
                     void (*cb)(const struct policy_rule_ref *, uint64_t cookie, void *aux), void *aux)
{
    const struct object *o = find_object(p, object);

    for (size_t i = 0; o && i < o->n_refs; i++) {
        struct policy_rule_ref ref = make_ref(o, &o->refs[i]);
        cb(&ref, flow_rule_cookie(o->refs[i].rule->hash), aux);
    }
}

/* Policies. ------------------------------------------------------------------------------------------------------- */

static void
clear_pods(struct match_class *class, void *aux OVS_UNUSED)
{
    for (size_t i = 0; i < class->n_terms; i++) {
        struct term *t = class->terms[i]->aux;
        t->n_pods = 0;
    }
}

static void
count_pods(struct match_class *class, void *aux OVS_UNUSED)
{
    for (size_t i = 0; i < class->n_terms; i++) {
        struct term *t = class->terms[i]->aux;
        t->n_pods += class->n_pods;
    }
}

static int
compare_object_pointers(const void *a_, const void *b_)
{
    const struct object *const *a = a_, *const *b = b_;
    return compare_objects((*a)->object, (*b)->object);
}

void
policy_for_each(const struct policy *p, void (*cb)(const struct policy_info *, void *aux), void *aux)
{
    size_t n = 0, n_objects = hmap_count(&p->objects);
    const struct object *o, **objects = xmalloc(n_objects * sizeof *objects);

    policy_match_for_each_class(p->match[SIDE_SUBJECT], clear_pods, NULL);
    policy_match_for_each_class(p->match[SIDE_SUBJECT], count_pods, NULL);
    HMAP_FOR_EACH (o, node, &p->objects) {
        objects[n++] = o;
    }
    if (n) {
        qsort(objects, n, sizeof *objects, compare_object_pointers);
    }
    for (size_t i = 0; i < n; i++) {
        const struct kube_object *object = objects[i]->object;
        struct policy_info info = { .object = object, .problem = policy_object_problem(object) };

        for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
            info.n_pods[d] = objects[i]->active && objects[i]->counts[d] ? objects[i]->subject->n_pods : 0;
        }
        cb(&info, aux);
    }
    free(objects);
}

/* Why something in an object is taken in the closed way. ---------------------------------------------------------- */

static const char *
ports_problem(const struct kube_policy_port *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ports[i].unknown) {
            return "a port is of a kind that this version does not know";
        }
    }
    return NULL;
}

static const char *
np_problem(const struct kube_np_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *problem = ports_problem(rules[i].ports, rules[i].n_ports);

        for (size_t j = 0; !problem && j < rules[i].n_peers; j++) {
            const struct kube_np_peer *peer = &rules[i].peers[j];
            if (!peer->pods && !peer->namespaces && !peer->ip_block) {
                problem = "a peer is of a kind that this version does not know: it allows nothing";
            }
        }
        if (problem) {
            return problem;
        }
    }
    return NULL;
}

static const char *
cnp_problem(const struct kube_cnp_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *problem = ports_problem(rules[i].ports, rules[i].n_ports);

        for (size_t j = 0; !problem && j < rules[i].n_peers; j++) {
            problem = (!rules[i].peers[j].unknown ? NULL
                       : rules[i].action == KUBE_ACTION_ACCEPT
                       ? "a peer is of a kind that this version does not know: it accepts nothing"
                       : "a peer is of a kind that this version does not know: its rule denies everything");
        }
        if (problem) {
            return problem;
        }
    }
    return NULL;
}

const char *
policy_object_problem(const struct kube_object *object)
{
    const char *problem;

    if (object->kind == KUBE_NETWORKPOLICY) {
        const struct kube_networkpolicy *np = kube_networkpolicy_cast(object);
        problem = np->problem ? np->problem : np->isolates_egress ? np_problem(np->egress, np->n_egress) : NULL;
        return problem || !np->isolates_ingress ? problem : np_problem(np->ingress, np->n_ingress);
    }
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(object);
    problem = cnp->problem ? cnp->problem : cnp_problem(cnp->egress, cnp->n_egress);
    return problem ? problem : cnp_problem(cnp->ingress, cnp->n_ingress);
}

/* Statistics. ----------------------------------------------------------------------------------------------------- */

void
policy_get_stats(const struct policy *p, struct policy_stats *stats)
{
    const struct object *o;
    const struct group *g;

    *stats = (struct policy_stats) {
        .n_policies = hmap_count(&p->objects),
        .n_terms = policy_match_n_terms(p->match[SIDE_PEER]),
        .n_classes = policy_match_n_classes(p->match[SIDE_PEER]),
        .n_rules = hmap_count(&p->rules),
        .n_conjs = p->n_conjs,
    };
    HMAP_FOR_EACH (o, node, &p->objects) {
        stats->n_relevant += o->active;
    }
    HMAP_FOR_EACH (g, node, &p->groups) {
        *(g->side == SIDE_SUBJECT ? &stats->n_subjects : &stats->n_identities) += g->n_users > 0;
    }
}
