#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>

#include "util.h"

/* Effects. -------------------------------------------------------------------------------------------------------- */

static void
push(struct effects *e, enum policy_effect_type type, struct flow_entry *flow, uint64_t id)
{
    if (e->n == e->allocated) {
        e->effects = x2nrealloc(e->effects, &e->allocated, sizeof *e->effects);
    }
    e->effects[e->n++] = (struct policy_effect) { type, flow, id };
}

static void
clear(struct effects *e)
{
    free(e->effects);
    *e = (struct effects) { .n = 0 };
}

/* What goes is taken before what comes: a key may go from one thing to another. */
bool
policy_pop(struct policy *p, struct policy_effect *effect)
{
    struct effects *all[] = { &p->drops, &p->puts, &p->others };

    if (POLICY_BUG("puts-first")) {
        all[0] = &p->puts;
        all[1] = &p->drops;
    }
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (all[i]->n) {
            *effect = all[i]->effects[p->n_popped++];
            if (p->n_popped == all[i]->n) {
                clear(all[i]);
                p->n_popped = 0;
            }
            return true;
        }
    }
    return false;
}

/* '*slot' is what is wanted, and becomes 'new' (takes the reference).  NULL: nothing. */
void
policy_emit(struct policy *p, struct flow_entry **slot, struct flow_entry *new)
{
    struct flow_entry *old = *slot;

    if (old && new && (flow_entry_equal(old, new) || (POLICY_BUG("content-missed") && flow_entry_same_key(old, new)))) {
        flow_entry_unref(new);
        return;
    }
    *slot = new;
    if (new) {
        push(&p->puts, POLICY_PUT, flow_entry_ref(new), 0);
    }
    if (old && new && flow_entry_same_key(old, new)) {
        flow_entry_unref(old);
    } else if (old) {
        push(&p->drops, POLICY_DROP, old, 0);
    }
}

/* Clauses of groups. ---------------------------------------------------------------------------------------------- */

struct conjs {
    const struct conj **conjs;
    size_t n, allocated;
};

static void
add_conj(struct conjs *list, const struct conj *conj)
{
    if (list->n == list->allocated) {
        list->conjs = x2nrealloc(list->conjs, &list->allocated, sizeof *list->conjs);
    }
    list->conjs[list->n++] = conj;
}

/* The conjunctions that a group is in because of a rule.  A resolving group knows its named ones itself. */
static void
add_rule(const struct group *g, const struct rule *rule, struct conjs *list)
{
    const struct named_conj *nc;

    if (rule->has_main && !(g->side == SIDE_PEER && rule->any)) {
        add_conj(list, &rule->main);
    }
    if (!policy_is_resolving(g->side, g->direction)) {
        LIST_FOR_EACH (nc, node, &rule->named_conjs) {
            add_conj(list, &nc->conj);
        }
    }
}

static int
compare_conjs(const void *a_, const void *b_)
{
    const struct conj *a = *(const struct conj *const *) a_, *b = *(const struct conj *const *) b_;
    const struct rule *r = a->rule, *s = b->rule;

    return (r->tier != s->tier ? r->tier - s->tier
            : r->level != s->level ? s->level - r->level
            : a->id < b->id ? -1 : a->id > b->id);
}

/* Sorted as flows are, each once. */
static void
get_conjs(const struct group *g, struct conjs *list)
{
    size_t n = 0;

    for (size_t i = 0; g->n_users && i < g->n_items; i++) {
        struct link *link;
        LIST_FOR_EACH (link, node, &g->items[i].item->rules) {
            add_rule(g, link->user, list);
        }
    }
    for (size_t i = 0; g->n_users && i < g->n_held; i++) {
        add_conj(list, g->held[i]);
    }
    if (list->n > 1) {
        qsort(list->conjs, list->n, sizeof *list->conjs, compare_conjs);
    }
    for (size_t i = 0; i < list->n; i++) {
        if (!n || list->conjs[n - 1] != list->conjs[i]) {
            list->conjs[n++] = list->conjs[i];
        }
    }
    list->n = n;
}

/* Fills in the conjunctions of a clause that is described otherwise, and makes its flow. */
static struct flow_entry *
make_clause(struct flow_clause *clause, const struct conj *const *conjs, size_t n)
{
    struct flow_conj *array = xmalloc(n * sizeof *array);

    for (size_t i = 0; i < n; i++) {
        array[i] = policy_conj_clause(conjs[i], clause->kind);
    }
    clause->conjs = array;
    clause->n_conjs = n;
    struct flow_entry *flow = flow_make_clause(clause);
    free(array);
    return flow;
}

static size_t
make_flows(const struct group *g, const struct conjs *list, struct flow_entry ***flowsp)
{
    struct flow_entry **flows = NULL;
    size_t n = 0, allocated = 0;

    for (size_t i = 0, end; i < list->n; i = end) {
        const struct rule *rule = list->conjs[i]->rule;

        for (end = i + 1; end < list->n; end++) {
            if (list->conjs[end]->rule->tier != rule->tier || list->conjs[end]->rule->level != rule->level) {
                break;
            }
        }
        struct flow_clause clause = {
            .direction = g->direction, .tier = rule->tier, .level = rule->level, .number = g->number,
            .kind = g->side == SIDE_SUBJECT ? FLOW_CLAUSE_SUBJECT : FLOW_CLAUSE_PEER,
        };
        if (n == allocated) {
            flows = x2nrealloc(flows, &allocated, sizeof *flows);
        }
        flows[n++] = make_clause(&clause, &list->conjs[i], end - i);
    }
    *flowsp = n ? xrealloc(flows, n * sizeof *flows) : NULL;
    return n;
}

/* By table, then by descending priority: the order of make_flows(). */
static int
compare_flows(const struct flow_entry *a, const struct flow_entry *b)
{
    return a->table_id != b->table_id ? a->table_id - b->table_id : b->priority - a->priority;
}

/* A clause that stays keeps its slot. */
static void
emit_group(struct policy *p, struct group *g)
{
    struct flow_entry **old = g->flows, **new;
    struct conjs list = { NULL, 0, 0 };
    size_t n_old = g->n_flows, n_new, i = 0, j = 0;

    get_conjs(g, &list);
    n_new = make_flows(g, &list, &new);
    free(list.conjs);
    while (i < n_old || j < n_new) {
        int cmp = i == n_old ? 1 : j == n_new ? -1 : compare_flows(old[i], new[j]);

        if (cmp < 0) {
            policy_emit(p, &old[i++], NULL);
        } else {
            struct flow_entry *slot = cmp ? NULL : old[i++];

            policy_emit(p, &slot, new[j]);
            new[j++] = slot;
        }
    }
    free(old);
    g->flows = new;
    g->n_flows = n_new;
}

/* Clauses of ports. ----------------------------------------------------------------------------------------------- */

static void
emit_clause(struct policy *p, struct clause *c)
{
    struct conj **conjs = policy_clause_conjs(c);
    size_t n = 0;

    c->is_dirty = false;
    for (size_t i = 0; i < c->n; i++) {
        if (conjs[i]->id) {
            conjs[n++] = conjs[i];
        }
    }
    c->n = n;
    if (!n) {
        policy_emit(p, &c->flow, NULL);
        hmap_remove(&p->clauses, &c->node);
        if (c->allocated) {
            free(c->many);
        }
        free(c);
        return;
    }
    qsort(conjs, n, sizeof *conjs, compare_conjs);

    struct flow_clause clause = { .direction = c->direction, .tier = c->tier, .level = c->level, .kind = c->kind,
                                  .l4 = c->l4 };
    policy_emit(p, &c->flow, make_clause(&clause, (const struct conj *const *) conjs, n));
}

/* Rules. ---------------------------------------------------------------------------------------------------------- */

static void
emit_conj(struct policy *p, struct conj *conj)
{
    const struct rule *rule = conj->rule;

    conj->is_dirty = false;
    if (!conj->id) {
        policy_emit(p, &conj->flow, NULL);
        return;
    }
    struct flow_rule flow = { .direction = rule->direction, .tier = rule->tier, .level = rule->level,
                              .conj_id = conj->id, .action = rule->action, .cookie = flow_rule_cookie(rule->hash) };
    policy_emit(p, &conj->flow, flow_make_rule(&flow));
}

/* What is dead is freed, named ones first: they point to their rules. */
static void
emit_conjs(struct policy *p)
{
    struct pointers dirty = p->dirty_conjs, dead_rules = { .n = 0 };

    p->dirty_conjs = (struct pointers) { .n = 0 };
    for (size_t i = 0; i < dirty.n; i++) {
        struct conj *conj = dirty.p[i];

        emit_conj(p, conj);
        if (!conj->id && conj->protocol) {
            free(CONTAINER_OF(conj, struct named_conj, conj));
        } else if (!conj->id && conj->rule->unlinked) {
            policy_push(&dead_rules, conj->rule);
        }
    }
    for (size_t i = 0; i < dead_rules.n; i++) {
        free(dead_rules.p[i]);
    }
    free(dead_rules.p);
    free(dirty.p);
}

/* Addresses and local pods. --------------------------------------------------------------------------------------- */

static void
emit_address(struct policy *p, struct address *a)
{
    uint32_t identity = a->group ? a->group->number : 0;

    if (a->base || a->in_tree) {
        policy_emit(p, &a->flow, flow_make_address(a->direction, FLOW_NETWORK_DEFAULT, &a->prefix, identity));
    } else {
        policy_emit(p, &a->flow, NULL);
        hmap_remove(&p->addresses[a->direction], &a->node);
        free(a);
    }
}

static void
emit_local(struct policy *p, struct local *l)
{
    struct flow_pod_policy now;

    policy_local_compute(p, l, &now);
    if (now.subject[0] != l->told.subject[0] || now.subject[1] != l->told.subject[1]
        || now.isolated[0] != l->told.isolated[0] || now.isolated[1] != l->told.isolated[1]
        || now.domains != l->told.domains) {
        l->told = now;
        push(&p->others, POLICY_LOCAL, NULL, l->id);
    }
}

void
policy_emit_run(struct policy *p)
{
    struct group *g;
    struct local *l;

    LIST_FOR_EACH_POP (g, dirty, &p->dirty_groups) {
        ovs_list_init(&g->dirty);
        emit_group(p, g);
    }
    for (size_t i = 0; i < p->dirty_clauses.n; i++) {
        emit_clause(p, p->dirty_clauses.p[i]);
    }
    free(p->dirty_clauses.p);
    p->dirty_clauses = (struct pointers) { .n = 0 };
    emit_conjs(p);
    for (struct address *a = p->dirty_addresses, *next; a; a = next) {
        next = a->next_dirty;
        a->is_dirty = false;
        emit_address(p, a);
    }
    p->dirty_addresses = NULL;
    LIST_FOR_EACH_POP (l, dirty, &p->dirty_locals) {
        ovs_list_init(&l->dirty);
        emit_local(p, l);
    }
}
