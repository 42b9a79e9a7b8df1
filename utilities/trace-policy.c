#include <config.h>

#include <string.h>

#include "cookie.h"
#include "fields.h"
#include "util.h"
#include "utilities/trace-packet.h"

/* The tables of a direction, in their order. */
struct tables {
    uint8_t tiers[FLOW_N_TIERS], verdict;
    uint16_t default_deny;              /* Priority, in the second. */
};

static const struct tables tables[FLOW_N_DIRECTIONS] = {
    [FLOW_EGRESS] = { { TABLE_EGRESS_ADMIN, TABLE_EGRESS_POLICY, TABLE_EGRESS_BASELINE }, TABLE_EGRESS_VERDICT,
                      PRIORITY_EGRESS_POLICY_DEFAULT_DENY },
    [FLOW_INGRESS] = { { TABLE_INGRESS_ADMIN, TABLE_INGRESS_POLICY, TABLE_INGRESS_BASELINE }, TABLE_INGRESS_VERDICT,
                       PRIORITY_INGRESS_POLICY_DEFAULT_DENY },
};

/* Whether the rule's flow says that it decided; that of a rule that passes does not. */
static bool
sets_rule(const struct trace_step *step)
{
    const struct flow_field_info *info = flow_field_info(FIELD_RULE);
    char *field = xasprintf("->%s", mf_from_id(info->store)->name);
    const char *action;
    bool found = false;
    size_t i;

    SVEC_FOR_EACH (i, action, &step->actions) {
        found = found || strstr(action, field);
    }
    free(field);
    return found;
}

static void
set_decision(const struct trace_step *step, enum flow_tier tier, struct trace_decision *d)
{
    bool rule = step->cookie >> 56 == COOKIE_RULE && sets_rule(step);

    d->step = step;
    d->tier = tier;
    d->by = (rule ? TRACE_BY_RULE
             : tier == FLOW_TIER_POLICY && step->priority == tables[d->direction].default_deny ? TRACE_BY_DEFAULT_DENY
             : TRACE_BY_NOTHING);
}

/* The last of the direction's tiers that the packet met is that which decided. */
static bool
find_decision(const struct trace_facts *facts, const struct trace *trace, const struct trace_step *last,
              struct trace_decision *d)
{
    const struct tables *t = &tables[d->direction];

    for (size_t i = 0; i < trace->n_steps; i++) {
        const struct trace_step *step = &trace->steps[i];

        for (size_t tier = 0; tier < FLOW_N_TIERS; tier++) {
            if (step->table_id == t->tiers[tier] && step->matched && !step->larger
                && !strcmp(step->bridge, facts->bridge)) {
                set_decision(step, tier, d);
            }
        }
    }
    d->denied = last && last->table_id == t->verdict;
    return d->step != NULL;
}

void
trace_decisions_make(const struct trace_facts *facts, const struct trace_packet *p, const struct trace *trace,
                     struct trace_verdict *v)
{
    for (int i = 0; i < FLOW_N_DIRECTIONS; i++) {
        struct trace_decision d = { .direction = i, .pod = i == FLOW_EGRESS ? p->from.pod : p->to.pod };

        if (find_decision(facts, trace, v->step, &d)) {
            v->decisions[v->n_decisions++] = d;
        }
    }
}

const struct trace_decision *
trace_verdict_decision(const struct trace_verdict *v)
{
    const struct trace_decision *found = NULL;

    for (size_t i = 0; i < v->n_decisions; i++) {
        const struct trace_decision *d = &v->decisions[i];
        if (d->by != TRACE_BY_NOTHING && d->denied == !v->allowed) {
            found = d;
        }
    }
    return found;
}
