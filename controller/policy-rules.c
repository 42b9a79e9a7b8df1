#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

static struct rule *rule_create(struct policy *, struct rule_spec *, uint64_t hash, uint16_t level);
static void rule_link(struct policy *, struct rule *);
static void rule_unlink(struct policy *, struct rule *);

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
    policy_conj_init(p, &rule->main, rule, 0, 0);
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
            policy_conj_die(p, &rule->main);
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

void
policy_rule_mark_side(struct policy *p, struct rule *rule, enum side side)
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
    policy_rule_mark_side(p, rule, SIDE_SUBJECT);
    policy_rule_mark_side(p, rule, SIDE_PEER);
}

static void
rule_unlink(struct policy *p, struct rule *rule)
{
    policy_rule_mark_side(p, rule, SIDE_SUBJECT);
    policy_rule_mark_side(p, rule, SIDE_PEER);
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
