#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

static struct rule *rule_create(struct policy *, struct rule_spec *, uint64_t hash, uint16_t level);
static void rule_link(struct policy *, struct rule *);
static void rule_unlink(struct policy *, struct rule *);
static void conj_init(struct policy *, struct conj *, struct rule *, uint8_t protocol, uint16_t number);
static void conj_die(struct policy *, struct conj *);
static void conj_mark(struct policy *, struct conj *);

/* A normal form, and its hash. ------------------------------------------------------------------------------------ */

static int
compare_items(const void *a_, const void *b_)
{
    const struct item *a = *(struct item *const *) a_, *b = *(struct item *const *) b_;
    return a->hash != b->hash ? (a->hash < b->hash ? -1 : 1) : a < b ? -1 : a > b;
}

static int
compare_ranges(const void *a_, const void *b_)
{
    const struct port_range *a = a_, *b = b_;
    return a->protocol != b->protocol ? a->protocol - b->protocol : a->first - b->first;
}

static int
compare_named(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct kube_port));
}

/* qsort() does not take NULL. */
static void
sort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    if (n > 1) {
        qsort(base, n, size, compare);
    }
}

static void
normalize(struct policy *p, struct rule_spec *s)
{
    size_t n = 0;

    sort(s->peers, s->n_peers, sizeof *s->peers, compare_items);
    for (size_t i = 0; i < s->n_peers; i++) {
        if (n && s->peers[n - 1] == s->peers[i]) {
            policy_item_unref(p, s->peers[i]);
        } else {
            s->peers[n++] = s->peers[i];
        }
    }
    s->n_peers = n;

    n = 0;
    sort(s->ranges, s->n_ranges, sizeof *s->ranges, compare_ranges);
    for (size_t i = 0; i < s->n_ranges; i++) {
        struct port_range *last = n ? &s->ranges[n - 1] : NULL, *r = &s->ranges[i];
        if (last && last->protocol == r->protocol && r->first <= last->last + 1) {
            last->last = MAX(last->last, r->last);
        } else {
            s->ranges[n++] = *r;
        }
    }
    s->n_ranges = n;

    n = 0;
    sort(s->named, s->n_named, sizeof *s->named, compare_named);
    for (size_t i = 0; i < s->n_named; i++) {
        if (!n || compare_named(&s->named[n - 1], &s->named[i])) {
            s->named[n++] = s->named[i];
        }
    }
    s->n_named = n;
}

static uint64_t
spec_hash(const struct rule_spec *s)
{
    uint64_t words[] = { s->direction, s->tier, s->level, s->action, s->any, s->subject->hash, s->n_peers, s->n_ranges };
    uint64_t hash = policy_hash(words, sizeof words, 0);

    for (size_t i = 0; i < s->n_peers; i++) {
        hash = policy_hash_mix(hash + s->peers[i]->hash);
    }
    for (size_t i = 0; i < s->n_ranges; i++) {
        const struct port_range *r = &s->ranges[i];
        hash = policy_hash_mix(hash + ((uint64_t) r->protocol << 32 | (uint32_t) r->first << 16 | r->last));
    }
    return s->n_named ? policy_hash(s->named, s->n_named * sizeof *s->named, hash) : hash;
}

static bool
rule_equals(const struct rule *rule, const struct rule_spec *s, uint16_t level)
{
    if (rule->direction != s->direction || rule->tier != s->tier || rule->level != level || rule->action != s->action
        || rule->any != s->any || rule->subject.item != s->subject || rule->n_peers != s->n_peers
        || rule->n_ranges != s->n_ranges || rule->n_named != s->n_named) {
        return false;
    }
    for (size_t i = 0; i < s->n_peers; i++) {
        if (rule->peers[i].item != s->peers[i]) {
            return false;
        }
    }
    for (size_t i = 0; i < s->n_ranges; i++) {
        if (compare_ranges(&rule->ranges[i], &s->ranges[i]) || rule->ranges[i].last != s->ranges[i].last) {
            return false;
        }
    }
    return !s->n_named || !memcmp(rule->named, s->named, s->n_named * sizeof *s->named);
}

/* Rules. ---------------------------------------------------------------------------------------------------------- */

static void
spec_free(struct policy *p, struct rule_spec *s)
{
    for (size_t i = 0; i < s->n_peers; i++) {
        policy_item_unref(p, s->peers[i]);
    }
    free(s->peers);
    free(s->ranges);
    free(s->named);
}

/* Another rule with this hash would share its number and its counters: it gets the next one. */
struct rule *
policy_rule_get(struct policy *p, struct rule_spec *s)
{
    uint64_t hash;
    bool taken;

    normalize(p, s);
    hash = spec_hash(s);
    do {
        uint16_t level = s->tier == FLOW_TIER_POLICY ? flow_level_np(hash) : s->level;
        struct rule *rule;

        taken = false;
        HMAP_FOR_EACH_WITH_HASH (rule, node, flow_rule_cookie(hash), &p->rules) {
            if (rule_equals(rule, s, level)) {
                rule->n_refs++;
                spec_free(p, s);
                return rule;
            }
            taken = true;
        }
        if (!taken) {
            return rule_create(p, s, hash, level);
        }
        hash++;
    } while (true);
}

/* The parts of the spec become parts of the rule. */
static struct rule *
rule_alloc(struct rule_spec *s)
{
    size_t peers = s->n_peers * sizeof(struct link), ranges = s->n_ranges * sizeof *s->ranges;
    size_t named = s->n_named * sizeof *s->named;
    struct rule *rule = xzalloc(sizeof *rule + peers + ranges + named);

    for (size_t i = 0; i < s->n_peers; i++) {
        rule->peers[i].item = s->peers[i];
    }
    rule->ranges = (struct port_range *) &rule->peers[s->n_peers];
    rule->named = (struct kube_port *) &rule->ranges[s->n_ranges];
    memcpy(rule->ranges, s->ranges ? s->ranges : (void *) "", ranges);
    memcpy(rule->named, s->named ? s->named : (void *) "", named);
    rule->n_peers = s->n_peers;
    rule->n_ranges = s->n_ranges;
    rule->n_named = s->n_named;
    free(s->peers);
    free(s->ranges);
    free(s->named);
    return rule;
}

static struct rule *
rule_create(struct policy *p, struct rule_spec *s, uint64_t hash, uint16_t level)
{
    struct rule *rule = rule_alloc(s);

    rule->hash = hash;
    rule->n_refs = 1;
    rule->level = level;
    rule->direction = s->direction;
    rule->tier = s->tier;
    rule->action = s->action;
    rule->any = s->any;
    rule->has_main = s->n_ranges || !s->n_named;
    rule->subject.item = s->subject;
    ovs_list_init(&rule->named_conjs);
    hmap_insert(&p->rules, &rule->node, flow_rule_cookie(hash));
    rule_link(p, rule);
    conj_init(p, &rule->main, rule, 0, 0);
    return rule;
}

void
policy_rule_unref(struct policy *p, struct rule *rule)
{
    if (!--rule->n_refs && !rule->is_dead) {
        rule->is_dead = true;
        policy_push(&p->dead_rules, rule);
    }
}

/* The rule itself is freed when its flow has been taken away (policy_emit_run()). */
bool
policy_rules_bury(struct policy *p)
{
    struct pointers dead = p->dead_rules;
    bool any = false;

    p->dead_rules = (struct pointers) { .n = 0 };
    for (size_t i = 0; i < dead.n; i++) {
        struct rule *rule = dead.p[i];

        rule->is_dead = false;
        if (!rule->n_refs) {
            hmap_remove(&p->rules, &rule->node);
            rule_unlink(p, rule);
            conj_die(p, &rule->main);
            any = true;
        }
    }
    free(dead.p);
    return any;
}

/* Rules and items. ------------------------------------------------------------------------------------------------ */

static void
mark_item(struct policy *p, struct item *item)
{
    struct link *link;

    LIST_FOR_EACH (link, node, &item->groups) {
        policy_group_mark(p, link->user);
    }
}

static void
rule_mark_side(struct policy *p, struct rule *rule, enum side side)
{
    if (rule->unlinked || POLICY_BUG(side == SIDE_PEER ? "peers-missed" : "subject-missed")) {
        return;
    }
    if (side == SIDE_SUBJECT) {
        mark_item(p, rule->subject.item);
        return;
    }
    for (size_t i = 0; i < rule->n_peers; i++) {
        mark_item(p, rule->peers[i].item);
    }
}

/* A pod is in a term's item for the sake of a rule whatever its ports are. */
static bool
rule_needs_no_name(const struct rule *rule)
{
    return !policy_is_resolving(SIDE_PEER, rule->direction) || (rule->has_main && !rule->any);
}

static void
touch_item(struct policy *p, struct item *item)
{
    if (item->kind == ITEM_PODS) {
        policy_term_touch(p, policy_term_of_item(item), item->side);
    }
}

static void
link_to(struct link *link, struct rule *rule)
{
    link->user = rule;
    ovs_list_push_back(&link->item->rules, &link->node);
}

static void
rule_link(struct policy *p, struct rule *rule)
{
    link_to(&rule->subject, rule);
    if (rule->n_named && policy_is_resolving(SIDE_SUBJECT, rule->direction)) {
        touch_item(p, rule->subject.item);
    }
    for (size_t i = 0; i < rule->n_peers; i++) {
        struct item *item = rule->peers[i].item;

        link_to(&rule->peers[i], rule);
        if ((rule_needs_no_name(rule) && !item->n_main++)
            || (rule->n_named && policy_is_resolving(SIDE_PEER, rule->direction))) {
            touch_item(p, item);
        }
    }
    rule_mark_side(p, rule, SIDE_SUBJECT);
    rule_mark_side(p, rule, SIDE_PEER);
}

static void
rule_unlink(struct policy *p, struct rule *rule)
{
    rule_mark_side(p, rule, SIDE_SUBJECT);
    rule_mark_side(p, rule, SIDE_PEER);
    ovs_list_remove(&rule->subject.node);
    if (rule->n_named && policy_is_resolving(SIDE_SUBJECT, rule->direction)) {
        touch_item(p, rule->subject.item);
    }
    for (size_t i = 0; i < rule->n_peers; i++) {
        struct item *item = rule->peers[i].item;

        ovs_list_remove(&rule->peers[i].node);
        if ((rule_needs_no_name(rule) && !--item->n_main)
            || (rule->n_named && policy_is_resolving(SIDE_PEER, rule->direction))) {
            touch_item(p, item);
        }
        policy_item_unref(p, item);
    }
    rule->unlinked = true;
}

/* Clauses of ports. ----------------------------------------------------------------------------------------------- */

static struct clause *
clause_get(struct policy *p, const struct rule *rule, enum flow_clause_kind kind, const struct flow_l4 *l4)
{
    uint64_t words[] = { (uint64_t) kind << 32 | rule->direction << 24 | rule->tier << 16 | rule->level,
                         (uint64_t) l4->value << 32 | l4->mask };
    uint64_t hash = policy_hash(words, sizeof words, 0);
    struct clause *c;

    HMAP_FOR_EACH_WITH_HASH (c, node, hash, &p->clauses) {
        if (c->direction == rule->direction && c->tier == rule->tier && c->level == rule->level && c->kind == kind
            && c->l4.value == l4->value && c->l4.mask == l4->mask) {
            return c;
        }
    }
    c = xzalloc(sizeof *c);
    c->direction = rule->direction;
    c->tier = rule->tier;
    c->level = rule->level;
    c->kind = kind;
    c->l4 = *l4;
    hmap_insert(&p->clauses, &c->node, hash);
    return c;
}

static void
clause_add(struct clause *c, struct conj *conj)
{
    if (c->n == MAX(c->allocated, 1)) {
        struct conj **many = xmalloc(2 * c->n * sizeof *many);

        memcpy(many, policy_clause_conjs(c), c->n * sizeof *many);
        if (c->allocated) {
            free(c->many);
        }
        c->many = many;
        c->allocated = 2 * c->n;
    }
    policy_clause_conjs(c)[c->n++] = conj;
}

enum clause_change { CLAUSE_ADD, CLAUSE_MARK };

static void
change_clause(struct policy *p, struct conj *conj, enum flow_clause_kind kind, const struct flow_l4 *l4,
              enum clause_change change)
{
    struct clause *c = clause_get(p, conj->rule, kind, l4);

    if (change == CLAUSE_ADD) {
        clause_add(c, conj);
    }
    if (!c->is_dirty) {
        c->is_dirty = true;
        policy_push(&p->dirty_clauses, c);
    }
}

static bool
conj_has_peer(const struct conj *conj)
{
    return !conj->rule->any || (conj->protocol && policy_is_resolving(SIDE_PEER, conj->rule->direction));
}

static bool
conj_has_l4(const struct conj *conj)
{
    return conj->protocol || conj->rule->n_ranges;
}

static void
change_clauses(struct policy *p, struct conj *conj, enum clause_change change)
{
    const struct rule *rule = conj->rule;
    struct flow_l4 l4[FLOW_L4_MAX] = { { 0, 0 } };

    if (conj->protocol) {
        flow_l4_range(conj->protocol, conj->number, conj->number, l4);
        change_clause(p, conj, FLOW_CLAUSE_L4, &l4[0], change);
    } else if (rule->n_ranges) {
        for (size_t i = 0; i < rule->n_ranges; i++) {
            const struct port_range *r = &rule->ranges[i];
            size_t n = flow_l4_range(r->protocol, r->first, r->last, l4);

            for (size_t j = 0; j < n; j++) {
                change_clause(p, conj, FLOW_CLAUSE_L4, &l4[j], change);
            }
        }
    } else if (!conj_has_peer(conj)) {
        change_clause(p, conj, FLOW_CLAUSE_ALWAYS, &l4[0], change);
    }
}

/* Subject, then peer, then ports. */
struct flow_conj
policy_conj_clause(const struct conj *conj, enum flow_clause_kind kind)
{
    uint8_t n = 1 + conj_has_peer(conj) + conj_has_l4(conj);

    n = MAX(n, 2);
    return (struct flow_conj) { conj->id, kind == FLOW_CLAUSE_SUBJECT ? 1 : kind == FLOW_CLAUSE_PEER ? 2 : n, n };
}

/* Conjunctions. --------------------------------------------------------------------------------------------------- */

static void
conj_mark(struct policy *p, struct conj *conj)
{
    if (!conj->is_dirty) {
        conj->is_dirty = true;
        policy_push(&p->dirty_conjs, conj);
    }
}

static uint64_t
conj_hash(const struct conj *conj)
{
    return policy_hash_mix(conj->rule->hash + FLOW_L4(conj->protocol, conj->number)) & POLICY_HASH_MASK;
}

static void
conj_init(struct policy *p, struct conj *conj, struct rule *rule, uint8_t protocol, uint16_t number)
{
    conj->rule = rule;
    conj->protocol = protocol;
    conj->number = number;
    if (protocol || rule->has_main) {
        conj->id = numbers_ref(p->conj_numbers, conj_hash(conj));
        p->n_conjs++;
        change_clauses(p, conj, CLAUSE_ADD);
        conj_mark(p, conj);
    }
}

static void
conj_die(struct policy *p, struct conj *conj)
{
    if (conj->id) {
        change_clauses(p, conj, CLAUSE_MARK);
        numbers_unref(p->conj_numbers, conj_hash(conj));
        conj->id = 0;
        p->n_conjs--;
    }
    conj_mark(p, conj);
}

/* Where names are not looked up all numbers count. */
static void
mark_other_side(struct policy *p, struct rule *rule)
{
    if (POLICY_BUG("named-missed")) {
        return;
    }
    rule_mark_side(p, rule, policy_is_resolving(SIDE_PEER, rule->direction) ? SIDE_SUBJECT : SIDE_PEER);
}

struct conj *
policy_conj_get_named(struct policy *p, struct rule *rule, const struct kube_port *port)
{
    struct named_conj *nc;

    LIST_FOR_EACH (nc, node, &rule->named_conjs) {
        if (nc->conj.protocol == port->protocol && nc->conj.number == port->number) {
            nc->n_users++;
            return &nc->conj;
        }
    }
    nc = xzalloc(sizeof *nc);
    conj_init(p, &nc->conj, rule, port->protocol, port->number);
    nc->n_users = 1;
    ovs_list_push_back(&rule->named_conjs, &nc->node);
    mark_other_side(p, rule);
    return &nc->conj;
}

void
policy_conj_unref_named(struct policy *p, struct conj *conj)
{
    struct named_conj *nc = CONTAINER_OF(conj, struct named_conj, conj);

    if (!--nc->n_users) {
        mark_other_side(p, conj->rule);
        ovs_list_remove(&nc->node);
        conj_die(p, conj);
    }
}

static void
moved(struct policy *p, struct conj *conj, uint64_t hash)
{
    if (conj->id && conj_hash(conj) == hash) {
        conj->id = numbers_get(p->conj_numbers, hash);
        change_clauses(p, conj, CLAUSE_MARK);
        rule_mark_side(p, conj->rule, SIDE_SUBJECT);
        rule_mark_side(p, conj->rule, SIDE_PEER);
        conj_mark(p, conj);
    }
}

/* So rare that looking at all is good enough. */
void
policy_conj_moved(struct policy *p, uint64_t hash)
{
    struct rule *rule;

    HMAP_FOR_EACH (rule, node, &p->rules) {
        struct named_conj *nc;

        moved(p, &rule->main, hash);
        LIST_FOR_EACH (nc, node, &rule->named_conjs) {
            moved(p, &nc->conj, hash);
        }
    }
}
