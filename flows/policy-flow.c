#include <config.h>

#include "policy-flow.h"

#include <string.h>

#include "build.h"
#include "cookie.h"

static const enum pipeline_table tier_tables[FLOW_N_DIRECTIONS][FLOW_N_TIERS] = {
    [FLOW_EGRESS] = { TABLE_EGRESS_ADMIN, TABLE_EGRESS_POLICY, TABLE_EGRESS_BASELINE },
    [FLOW_INGRESS] = { TABLE_INGRESS_ADMIN, TABLE_INGRESS_POLICY, TABLE_INGRESS_BASELINE },
};

static const enum pipeline_table verdict_tables[FLOW_N_DIRECTIONS] = {
    [FLOW_EGRESS] = TABLE_EGRESS_VERDICT, [FLOW_INGRESS] = TABLE_INGRESS_VERDICT,
};

static const enum flow_field subject_fields[FLOW_N_DIRECTIONS] = {
    [FLOW_EGRESS] = FIELD_SRC_SUBJECT, [FLOW_INGRESS] = FIELD_DST_SUBJECT,
};

static const enum flow_field identity_fields[FLOW_N_DIRECTIONS] = {
    [FLOW_EGRESS] = FIELD_DST_IDENTITY, [FLOW_INGRESS] = FIELD_SRC_IDENTITY,
};

/* Cookies. ------------------------------------------------------------------------------------------------------- */

uint64_t
flow_rule_cookie(uint64_t rule_hash)
{
    return cookie_from_hash(COOKIE_RULE, rule_hash);
}

uint64_t
flow_endpoint_cookie(enum flow_direction direction, const struct inet_prefix *prefix)
{
    uint8_t bytes[2 + sizeof prefix->addr] = { direction, prefix->plen };

    memcpy(bytes + 2, &prefix->addr, sizeof prefix->addr);
    return cookie_from_bytes(COOKIE_ENDPOINT, bytes, sizeof bytes);
}

static uint64_t
clause_cookie(const struct flow_clause *c)
{
    bool group = c->kind == FLOW_CLAUSE_SUBJECT || c->kind == FLOW_CLAUSE_PEER, l4 = c->kind == FLOW_CLAUSE_L4;
    ovs_be32 words[] = { htonl(c->direction << 24 | c->tier << 16 | c->level), htonl(c->kind),
                         htonl(group ? c->number : l4 ? c->l4.value : 0), htonl(l4 ? c->l4.mask : 0) };

    return cookie_from_bytes(COOKIE_IDENTITY, words, sizeof words);
}

/* Flows. --------------------------------------------------------------------------------------------------------- */

/* Ends the one flow for which 'b' was made. */
static struct flow_entry *
finish(struct build *b, enum pipeline_table table, unsigned int priority)
{
    struct flow_entry *entry = build_entry(b, table, priority);
    build_destroy(b);
    return entry;
}

struct flow_entry *
flow_make_address(enum flow_direction direction, uint32_t network, const struct inet_prefix *prefix, uint32_t identity)
{
    bool egress = direction == FLOW_EGRESS;
    struct build b;

    build_init(&b, NULL, flow_endpoint_cookie(direction, prefix));
    struct match *match = build_match(&b);
    match_field(match, FIELD_NETWORK, network);
    (egress ? match_ip_dst : match_ip_src_prefix)(match, prefix);
    build_load(&b, identity_fields[direction], identity);
    build_goto(&b, egress ? TABLE_EGRESS_ADMIN : TABLE_INGRESS_ADMIN);
    return (egress
            ? finish(&b, TABLE_DST_IDENTITY, PRIORITY_DST_IDENTITY_PREFIX + prefix->plen)
            : finish(&b, TABLE_SRC_IDENTITY, PRIORITY_SRC_IDENTITY_PREFIX + prefix->plen));
}

struct flow_entry *
flow_make_clause(const struct flow_clause *c)
{
    struct build b;

    build_init(&b, NULL, clause_cookie(c));
    struct match *match = build_match(&b);
    switch (c->kind) {
    case FLOW_CLAUSE_SUBJECT:
        match_field(match, subject_fields[c->direction], c->number);
        break;
    case FLOW_CLAUSE_PEER:
        match_field(match, identity_fields[c->direction], c->number);
        break;
    case FLOW_CLAUSE_L4:
        match_field_masked(match, FIELD_L4, c->l4.value, c->l4.mask);
        break;
    case FLOW_CLAUSE_ALWAYS:
        break;
    }
    for (size_t i = 0; i < c->n_conjs; i++) {
        build_conjunction(&b, c->conjs[i].id, c->conjs[i].k, c->conjs[i].n);
    }
    return finish(&b, tier_tables[c->direction][c->tier], c->level);
}

struct flow_entry *
flow_make_rule(const struct flow_rule *rule)
{
    struct build b;

    build_init(&b, NULL, rule->cookie);
    match_set_conj_id(build_match(&b), rule->conj_id);
    enum pipeline_table to = verdict_tables[rule->direction];
    if (rule->action == FLOW_PASS) {
        /* The verdict will be another's. */
        to = rule->tier == FLOW_TIER_ADMIN ? tier_tables[rule->direction][FLOW_TIER_POLICY] : to;
    } else {
        build_load(&b, FIELD_RULE, rule->conj_id);
    }
    if (rule->action == FLOW_DENY) {
        build_load(&b, FIELD_DENIED, 1);
    }
    build_goto(&b, to);
    return finish(&b, tier_tables[rule->direction][rule->tier], rule->level);
}
