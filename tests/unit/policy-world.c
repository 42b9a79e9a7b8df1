#include <config.h>

#include "policy-world.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "packets.h"
#include "pipeline.h"
#include "util.h"
#include "world-flows.h"

void
world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->endpoints = endpoints_create();
    w->policy = policy_create(w->endpoints);
    shash_init(&w->objects);
    shash_init(&w->locals);
    sset_init(&w->domains);
    hmap_init(&w->flows);
}

void
world_destroy(struct world *w)
{
    struct shash_node *node;

    policy_destroy(w->policy);
    endpoints_destroy(w->endpoints);
    SHASH_FOR_EACH (node, &w->objects) {
        kube_object_destroy(node->data);
    }
    shash_destroy(&w->objects);
    SHASH_FOR_EACH (node, &w->locals) {
        free(((struct world_local *) node->data)->pod);
    }
    shash_destroy_free_data(&w->locals);
    sset_destroy(&w->domains);
    world_flows_destroy(&w->flows);
    free(w->failure);
}

/* Objects. -------------------------------------------------------------------------------------------------------- */

static const struct kube_pod *
find_pod(const struct world *w, const char *name)
{
    char *key = xasprintf("Pod %s", name);
    const struct kube_object *object = shash_find_data(&w->objects, key);

    free(key);
    return object ? kube_pod_cast(object) : NULL;
}

static void
tell_locals(struct world *w, const char *name, const struct kube_pod *pod)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &w->locals) {
        struct world_local *l = node->data;
        if (!strcmp(l->pod, name)) {
            policy_local(w->policy, l->id, pod, l->addrs, l->n_addrs);
            if (!pod) {
                memset(&l->told, 0, sizeof l->told);
            }
        }
    }
}

static void
tell(struct world *w, enum kube_kind kind, const char *name, const struct kube_object *old,
     const struct kube_object *new)
{
    const struct kube_pod *old_pod = old ? kube_pod_cast(old) : NULL, *new_pod = new ? kube_pod_cast(new) : NULL;

    switch ((int) kind) {
    case KUBE_NAMESPACE:
        policy_namespace(w->policy, (new ? new : old)->name, (const struct kube_namespace *) new);
        break;
    case KUBE_NODE:
        policy_node(w->policy, old ? kube_node_cast(old) : NULL, new ? kube_node_cast(new) : NULL);
        break;
    case KUBE_POD:
        endpoints_update(w->endpoints, old_pod, new_pod);
        tell_locals(w, name, new_pod);
        policy_pod(w->policy, old_pod, new_pod);
        break;
    case KUBE_NETWORKPOLICY:
        policy_networkpolicy(w->policy, old ? kube_networkpolicy_cast(old) : NULL,
                             new ? kube_networkpolicy_cast(new) : NULL);
        break;
    case KUBE_CLUSTERNETWORKPOLICY:
        policy_clusternetworkpolicy(w->policy, old ? kube_clusternetworkpolicy_cast(old) : NULL,
                                    new ? kube_clusternetworkpolicy_cast(new) : NULL);
        break;
    default:
        OVS_NOT_REACHED();
    }
}

void
world_put_object(struct world *w, struct kube_object *new)
{
    char *name = xasprintf("%s/%s", new->namespace_, new->name);
    char *key = xasprintf("%s %s", kube_kind_name(new->kind), name);
    struct kube_object *old = shash_find_data(&w->objects, key);

    shash_replace(&w->objects, key, new);
    tell(w, new->kind, name, old, new);
    kube_object_destroy(old);
    free(name);
    free(key);
}

void
world_put(struct world *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = xvasprintf(format, args);
    va_end(args);
    world_put_object(w, world_decode(text));
    free(text);
}

void
world_remove(struct world *w, const char *key)
{
    struct kube_object *old = shash_find_and_delete(&w->objects, key);

    if (old) {
        tell(w, old->kind, strchr(key, ' ') + 1, old, NULL);
        kube_object_destroy(old);
    }
}

void
world_attach(struct world *w, uint64_t id, const char *pod, const char *addrs)
{
    char *key = xasprintf("%"PRIu64, id);
    struct world_local *l = shash_find_and_delete(&w->locals, key);

    if (l) {
        free(l->pod);
    }
    if (pod) {
        char *copy = xstrdup(addrs), *save = NULL;

        l = l ? l : xzalloc(sizeof *l);
        l->id = id;
        l->pod = xstrdup(pod);
        l->n_addrs = 0;
        for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
            ovs_assert(l->n_addrs < WORLD_MAX_ADDRS && !inet_addr_parse(s, &l->addrs[l->n_addrs++], NULL));
        }
        shash_add(&w->locals, key, l);
        policy_local(w->policy, id, find_pod(w, pod), l->addrs, l->n_addrs);
        if (!find_pod(w, pod)) {
            memset(&l->told, 0, sizeof l->told);
        }
        free(copy);
    } else if (l) {
        policy_local(w->policy, id, NULL, NULL, 0);
        free(l);
    }
    free(key);
}

void
world_copy_local(struct world *w, const struct world_local *other)
{
    struct world_local *l = xmemdup(other, sizeof *other);
    char *key = xasprintf("%"PRIu64, l->id);

    l->pod = xstrdup(other->pod);
    memset(&l->told, 0, sizeof l->told);
    shash_add(&w->locals, key, l);
    policy_local(w->policy, l->id, find_pod(w, l->pod), l->addrs, l->n_addrs);
    free(key);
}

/* Effects. -------------------------------------------------------------------------------------------------------- */

static void
tell_local(struct world *w, uint64_t id)
{
    char *key = xasprintf("%"PRIu64, id);
    struct world_local *l = shash_find_data(&w->locals, key);
    struct flow_pod_policy now;

    w->n_locals++;
    policy_get_local(w->policy, id, &now);
    if (!l) {
        world_fail(&w->failure, "effect for local %s, which is not there", key);
    } else if (!memcmp(&now, &l->told, sizeof now)) {
        world_fail(&w->failure, "effect for local %s, which is as it was", key);
    } else {
        l->told = now;
    }
    free(key);
}

void
world_domain(struct world *w, const char *name, const char *addr, bool present)
{
    char *key = xasprintf("%s %s", name, addr);
    struct in6_addr a;

    ovs_assert(!inet_addr_parse(addr, &a, NULL));
    policy_domain_address(w->policy, name, &a, present);
    if (present) {
        sset_add(&w->domains, key);
    } else {
        sset_find_and_delete(&w->domains, key);
    }
    free(key);
}

void
world_copy_domains(struct world *w, const struct world *from)
{
    const char *key;

    SSET_FOR_EACH (key, &from->domains) {
        char *name = xmemdup0(key, strcspn(key, " "));
        world_domain(w, name, strchr(key, ' ') + 1, true);
        free(name);
    }
}

void
world_run(struct world *w)
{
    struct policy_effect effect;
    bool any = policy_run(w->policy);

    w->n_puts = w->n_drops = w->n_locals = 0;
    while (policy_pop(w->policy, &effect)) {
        if (effect.type == POLICY_PUT) {
            w->n_puts++;
            world_flows_put(&w->flows, effect.flow, &w->failure);
        } else if (effect.type == POLICY_DROP) {
            w->n_drops++;
            world_flows_drop(&w->flows, effect.flow, &w->failure);
        } else {
            tell_local(w, effect.id);
        }
    }
    if (any != (w->n_puts || w->n_drops || w->n_locals)) {
        world_fail(&w->failure, "policy_run() says %d", any);
    }
}

void
world_settle(struct world *w)
{
    world_run(w);
    world_compare(w, w);
    ck_assert_msg(!w->failure, "%s", w->failure);
}

void
world_compare(struct world *w, const struct world *other)
{
    struct flow_set set = FLOW_SET_INIT;
    struct shash_node *node;

    policy_get_flows(other->policy, &set);
    world_flows_compare(&w->flows, &set, &w->failure);
    flow_set_destroy(&set);
    SHASH_FOR_EACH (node, &w->locals) {
        struct world_local *l = node->data;
        struct flow_pod_policy want;

        policy_get_local(other->policy, l->id, &want);
        if (memcmp(&want, &l->told, sizeof want)) {
            world_fail(&w->failure, "local %s has %"PRIx32" %"PRIx32" instead of %"PRIx32" %"PRIx32, node->name,
                       l->told.subject[0], l->told.subject[1], want.subject[0], want.subject[1]);
        }
    }
}

/* Verdicts. ------------------------------------------------------------------------------------------------------- */

static void
set_addr(struct flow *flow, bool dst, const struct in6_addr *addr)
{
    if (inet_is_v4(addr)) {
        flow->dl_type = htons(ETH_TYPE_IP);
        *(dst ? &flow->nw_dst : &flow->nw_src) = in6_addr_get_mapped_ipv4(addr);
    } else {
        flow->dl_type = htons(ETH_TYPE_IPV6);
        *(dst ? &flow->ipv6_dst : &flow->ipv6_src) = *addr;
    }
}

static uint32_t
identity(const struct world *w, enum flow_direction direction, const struct in6_addr *addr)
{
    bool egress = direction == FLOW_EGRESS;
    struct flow flow = { .metadata = htonll(FLOW_NETWORK_DEFAULT) };
    const struct ofpact *a;

    set_addr(&flow, egress, addr);
    uint8_t table_id = egress ? TABLE_DST_IDENTITY : TABLE_SRC_IDENTITY;
    const struct flow_entry *entry = world_flows_lookup(&w->flows, table_id, &flow);
    if (entry) {
        OFPACT_FOR_EACH (a, entry->ofpacts, entry->ofpacts_len) {
            if (a->type == OFPACT_SET_FIELD
                && ofpact_get_SET_FIELD(a)->field->id
                   == flow_field_info(egress ? FIELD_DST_IDENTITY : FIELD_SRC_IDENTITY)->store) {
                return ntohl(ofpact_get_SET_FIELD(a)->value->be32);
            }
        }
    }
    return 0;
}

uint32_t
world_identity(struct world *w, enum flow_direction direction, const char *text)
{
    struct in6_addr addr;

    ovs_assert(!inet_addr_parse(text, &addr, NULL));
    return identity(w, direction, &addr);
}

/* One conjunction, while the clauses that match are collected. */
struct met {
    uint32_t id;
    uint64_t clauses;
    uint8_t n;
};

static void
meet(struct met **mets, size_t *n, size_t *allocated, const struct ofpact_conjunction *c)
{
    size_t i = 0;

    while (i < *n && (*mets)[i].id != c->id) {
        i++;
    }
    if (i == *n) {
        if (*n == *allocated) {
            *mets = x2nrealloc(*mets, allocated, sizeof **mets);
        }
        (*mets)[(*n)++] = (struct met) { .id = c->id, .n = c->n_clauses };
    }
    ovs_assert((*mets)[i].n == c->n_clauses);
    (*mets)[i].clauses |= UINT64_C(1) << c->clause;
}

/* The flow of a conjunction whose clauses all match 'flow' at 'priority'. */
static const struct flow_entry *
lookup_conj(const struct world *w, uint8_t table_id, uint16_t priority, const struct flow *flow)
{
    struct met *mets = NULL;
    size_t n = 0, allocated = 0;
    const struct flow_entry *found = NULL;
    struct world_flow *wf;

    HMAP_FOR_EACH (wf, node, &w->flows) {
        const struct ofpact *a;

        if (wf->flow->table_id == table_id && wf->flow->priority == priority
            && minimatch_matches_flow(&wf->flow->match, flow)) {
            OFPACT_FOR_EACH (a, wf->flow->ofpacts, wf->flow->ofpacts_len) {
                if (a->type == OFPACT_CONJUNCTION) {
                    meet(&mets, &n, &allocated, ofpact_get_CONJUNCTION(a));
                }
            }
        }
    }
    for (size_t i = 0; i < n && !found; i++) {
        if (mets[i].clauses == (UINT64_C(1) << mets[i].n) - 1) {
            struct flow with_id = *flow;
            with_id.conj_id = mets[i].id;
            HMAP_FOR_EACH (wf, node, &w->flows) {
                if (wf->flow->table_id == table_id && wf->flow->priority == priority
                    && wf->flow->match.mask != NULL && minimatch_matches_flow(&wf->flow->match, &with_id)
                    && !minimatch_matches_flow(&wf->flow->match, flow)) {
                    found = wf->flow;
                }
            }
            ovs_assert(found);
        }
    }
    free(mets);
    return found;
}

static void
get_action(const struct policy_rule_ref *ref, void *action)
{
    *(int *) action = ref->action;
}

/* enum flow_action of the first rule that matches in a tier; -1: none. */
static int
tier_action(const struct world *w, uint8_t table_id, const struct flow *flow)
{
    struct world_flow *wf;
    int below = UINT16_MAX + 1;

    for (;;) {
        int priority = -1, action = -1;

        HMAP_FOR_EACH (wf, node, &w->flows) {
            if (wf->flow->table_id == table_id && wf->flow->priority < below && wf->flow->priority > priority) {
                priority = wf->flow->priority;
            }
        }
        if (priority < 0) {
            return -1;
        }
        const struct flow_entry *entry = lookup_conj(w, table_id, priority, flow);
        if (entry) {
            policy_rules_of_cookie(w->policy, entry->cookie, get_action, &action);
            ovs_assert(action >= 0);
            return action;
        }
        below = priority;
    }
}

static bool
direction_allows(const struct world *w, enum flow_direction d, const struct flow_pod_policy *local,
                 const struct in6_addr *peer, uint32_t l4)
{
    static const uint8_t tables[FLOW_N_DIRECTIONS][FLOW_N_TIERS] = {
        [FLOW_EGRESS] = { TABLE_EGRESS_ADMIN, TABLE_EGRESS_POLICY, TABLE_EGRESS_BASELINE },
        [FLOW_INGRESS] = { TABLE_INGRESS_ADMIN, TABLE_INGRESS_POLICY, TABLE_INGRESS_BASELINE },
    };
    struct flow flow = { .dl_type = htons(ETH_TYPE_IP) };
    int action;

    if (!local->subject[d]) {
        return true;
    }
    world_set_field(&flow, d == FLOW_EGRESS ? FIELD_SRC_SUBJECT : FIELD_DST_SUBJECT, local->subject[d]);
    world_set_field(&flow, d == FLOW_EGRESS ? FIELD_DST_IDENTITY : FIELD_SRC_IDENTITY, identity(w, d, peer));
    world_set_field(&flow, FIELD_L4, l4);
    action = tier_action(w, tables[d][FLOW_TIER_ADMIN], &flow);
    if (action == FLOW_ACCEPT || action == FLOW_DENY) {
        return action == FLOW_ACCEPT;
    }
    if (tier_action(w, tables[d][FLOW_TIER_POLICY], &flow) == FLOW_ACCEPT) {
        return true;
    }
    return !local->isolated[d] && tier_action(w, tables[d][FLOW_TIER_BASELINE], &flow) != FLOW_DENY;
}

/* Whose address it is, of the pods that are attached. */
static const struct world_local *
find_local(const struct world *w, const struct in6_addr *addr)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &w->locals) {
        const struct world_local *l = node->data;
        for (size_t i = 0; i < l->n_addrs; i++) {
            if (!memcmp(&l->addrs[i], addr, sizeof *addr)) {
                return l;
            }
        }
    }
    return NULL;
}

bool
world_allows(struct world *w, const char *src_text, const char *dst_text, uint8_t protocol, uint16_t port)
{
    struct in6_addr src, dst;

    ovs_assert(!inet_addr_parse(src_text, &src, NULL) && !inet_addr_parse(dst_text, &dst, NULL));
    const struct world_local *from = find_local(w, &src), *to = find_local(w, &dst);
    return ((!from || direction_allows(w, FLOW_EGRESS, &from->told, &dst, FLOW_L4(protocol, port)))
            && (!to || direction_allows(w, FLOW_INGRESS, &to->told, &src, FLOW_L4(protocol, port))));
}
