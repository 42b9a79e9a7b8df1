#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "sha1.h"
#include "util.h"

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

/* Two conjunctions with one hash would be one, with the clauses of both; and tenants choose what is hashed.  So it is a hash
 * that nobody can aim with. */
static uint64_t
conj_hash(const struct conj *conj)
{
    uint64_t words[] = { conj->rule->hash, FLOW_L4(conj->protocol, conj->number) };
    uint8_t digest[SHA1_DIGEST_SIZE];
    uint64_t hash;

    sha1_bytes(words, sizeof words, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash & POLICY_HASH_MASK;
}

void
policy_conj_init(struct policy *p, struct conj *conj, struct rule *rule, uint8_t protocol, uint16_t number)
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

void
policy_conj_die(struct policy *p, struct conj *conj)
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
    policy_rule_mark_side(p, rule, policy_is_resolving(SIDE_PEER, rule->direction) ? SIDE_SUBJECT : SIDE_PEER);
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
    policy_conj_init(p, &nc->conj, rule, port->protocol, port->number);
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
        policy_conj_die(p, conj);
    }
}

static void
moved(struct policy *p, struct conj *conj, uint64_t hash)
{
    if (conj->id && conj_hash(conj) == hash) {
        conj->id = numbers_get(p->conj_numbers, hash);
        change_clauses(p, conj, CLAUSE_MARK);
        policy_rule_mark_side(p, conj->rule, SIDE_SUBJECT);
        policy_rule_mark_side(p, conj->rule, SIDE_PEER);
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
