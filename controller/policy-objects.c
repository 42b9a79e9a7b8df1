#include <config.h>

#include "controller/policy-private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/util.h"
#include "util.h"

static const struct kube_selector everything = { NULL, 0 };

static void object_check(struct policy *, struct object *);
static void object_activate(struct policy *, struct object *);
static void object_deactivate(struct policy *, struct object *);

/* Objects and their subjects. ------------------------------------------------------------------------------------ */

static struct term *
get_subject(struct policy *p, const struct kube_object *object)
{
    if (object->kind == KUBE_NETWORKPOLICY) {
        const struct kube_networkpolicy *np = kube_networkpolicy_cast(object);
        return policy_term_get(p, SIDE_SUBJECT, object->namespace_, NULL, &np->pods);
    }
    const struct kube_cnp_subject *s = &kube_clusternetworkpolicy_cast(object)->subject;
    return (s->namespaces ? policy_term_get(p, SIDE_SUBJECT, NULL, s->namespaces, &everything)
            : s->pods ? policy_term_get(p, SIDE_SUBJECT, NULL, &s->pods->namespaces, &s->pods->pods)
            : NULL);
}

static bool
names_domains(const struct kube_clusternetworkpolicy *cnp)
{
    for (uint32_t i = 0; i < cnp->n_egress; i++) {
        for (uint32_t j = 0; j < cnp->egress[i].n_peers; j++) {
            if (cnp->egress[i].peers[j].n_domain_names) {
                return true;
            }
        }
    }
    return false;
}

static void
get_counts(const struct kube_object *object, bool counts[])
{
    if (object->kind == KUBE_NETWORKPOLICY) {
        const struct kube_networkpolicy *np = kube_networkpolicy_cast(object);
        counts[FLOW_EGRESS] = np->isolates_egress;
        counts[FLOW_INGRESS] = np->isolates_ingress;
    } else {
        const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(object);
        counts[FLOW_EGRESS] = cnp->n_egress;
        counts[FLOW_INGRESS] = cnp->n_ingress;
    }
}

/* What the subject's term stands for may change with its first and its last policy. */
static void
count_object(struct policy *p, struct object *o, bool add)
{
    struct term *t = o->subject;
    bool touch = false;

    for (int d = 0; d < FLOW_N_DIRECTIONS; d++) {
        bool counted = t->n_counts[d];

        t->n_counts[d] += o->counts[d] * (add ? 1 : -1);
        touch |= counted != (t->n_counts[d] > 0);
    }
    bool named = t->n_domains;
    t->n_domains += o->domains * (add ? 1 : -1);
    if (touch || named != (t->n_domains > 0)) {
        policy_term_touch(p, t, SIDE_SUBJECT);
    }
}

void
policy_object_add(struct policy *p, const struct kube_object *object)
{
    struct object *o = xzalloc(sizeof *o);

    o->object = object;
    o->subject = get_subject(p, object);
    get_counts(object, o->counts);
    o->domains = object->kind == KUBE_CLUSTERNETWORKPOLICY
                 && names_domains(kube_clusternetworkpolicy_cast(object));
    hmap_insert(&p->objects, &o->node, hash_pointer(object, 0));
    if (o->subject) {
        ovs_list_push_back(&o->subject->objects, &o->in_term);
        count_object(p, o, true);
        object_check(p, o);
    }
}

void
policy_object_remove(struct policy *p, const struct kube_object *object)
{
    struct object *o;

    HMAP_FOR_EACH_WITH_HASH (o, node, hash_pointer(object, 0), &p->objects) {
        if (o->object == object) {
            break;
        }
    }
    ovs_assert(o);
    if (o->subject) {
        object_deactivate(p, o);
        ovs_list_remove(&o->in_term);
        count_object(p, o, false);
        policy_term_unref(p, SIDE_SUBJECT, o->subject);
    }
    hmap_remove(&p->objects, &o->node);
    free(o);
}

/* Relevant or not. ----------------------------------------------------------------------------------------------- */

static bool
term_is_relevant(const struct term *t)
{
    return !ovs_list_is_empty(&t->items[0].groups) || !ovs_list_is_empty(&t->items[1].groups);
}

static void
object_check(struct policy *p, struct object *o)
{
    bool active = term_is_relevant(o->subject);

    if (active && !o->active) {
        object_activate(p, o);
    } else if (!active && o->active) {
        object_deactivate(p, o);
    }
}

void
policy_objects_check_later(struct policy *p, struct term *t)
{
    if (!t->checked && !POLICY_BUG("check-missed")) {
        t->checked = true;
        ovs_list_push_back(&p->checks, &t->check);
    }
}

bool
policy_objects_check(struct policy *p)
{
    bool any = !ovs_list_is_empty(&p->checks);
    struct term *t;

    LIST_FOR_EACH_POP (t, check, &p->checks) {
        struct object *o;

        t->checked = false;
        LIST_FOR_EACH (o, in_term, &t->objects) {
            object_check(p, o);
        }
    }
    return any;
}

static void
object_deactivate(struct policy *p, struct object *o)
{
    for (size_t i = 0; i < o->n_refs; i++) {
        policy_rule_unref(p, o->refs[i].rule);
    }
    free(o->refs);
    o->refs = NULL;
    o->n_refs = 0;
    o->active = false;
}

/* Rules as they are written. -------------------------------------------------------------------------------------- */

static void
spec_add_peer(struct rule_spec *s, struct item *item)
{
    if (s->n_peers == s->allocated_peers) {
        s->peers = x2nrealloc(s->peers, &s->allocated_peers, sizeof *s->peers);
    }
    s->peers[s->n_peers++] = item;
}

static void
spec_add_pods(struct policy *p, struct rule_spec *s, const char *namespace_, const struct kube_selector *namespaces,
              const struct kube_selector *pods)
{
    struct term *t = policy_term_get(p, SIDE_PEER, namespace_, namespaces, pods ? pods : &everything);
    spec_add_peer(s, &t->items[s->direction]);
}

static void
spec_add_range(struct rule_spec *s, const struct kube_policy_port *port)
{
    if (s->n_ranges == s->allocated_ranges) {
        s->ranges = x2nrealloc(s->ranges, &s->allocated_ranges, sizeof *s->ranges);
    }
    s->ranges[s->n_ranges++] = (struct port_range) { port->protocol, port->first, port->last };
}

static void
spec_add_named(struct rule_spec *s, const char *name, uint8_t protocol)
{
    if (s->n_named == s->allocated_named) {
        s->named = x2nrealloc(s->named, &s->allocated_named, sizeof *s->named);
    }
    struct kube_port *port = &s->named[s->n_named++];
    memset(port, 0, sizeof *port);
    ovs_strlcpy(port->name, name, sizeof port->name);
    port->protocol = protocol;
}

/* False if something in it is unknown. */
static bool
spec_add_ports(struct rule_spec *s, const struct kube_policy_port *ports, size_t n)
{
    static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
    bool known = true;

    for (size_t i = 0; i < n; i++) {
        const struct kube_policy_port *port = &ports[i];

        if (port->unknown) {
            known = false;
        } else if (!port->name) {
            spec_add_range(s, port);
        } else if (port->protocol) {
            spec_add_named(s, port->name, port->protocol);
        } else {
            for (size_t j = 0; j < ARRAY_SIZE(protocols); j++) {
                spec_add_named(s, port->name, protocols[j]);
            }
        }
    }
    return known;
}

static void
spec_clear(struct policy *p, struct rule_spec *s)
{
    for (size_t i = 0; i < s->n_peers; i++) {
        policy_item_unref(p, s->peers[i]);
    }
    free(s->peers);
    free(s->ranges);
    free(s->named);
    s->peers = NULL;
    s->ranges = NULL;
    s->named = NULL;
    s->n_peers = s->n_ranges = s->n_named = 0;
}

/* Makes the rule of 's', unless it can match nothing: peers or ports are written, and none of them is known. */
static void
object_add_rule(struct policy *p, struct object *o, struct rule_spec *s, bool has_ports, uint32_t index,
                const char *name)
{
    if ((!s->any && !s->n_peers) || (has_ports && !s->n_ranges && !s->n_named)) {
        spec_clear(p, s);
        return;
    }
    /* Who has a named port of egress is a pod. */
    if (s->any && s->n_named && s->direction == FLOW_EGRESS) {
        spec_add_pods(p, s, NULL, &everything, &everything);
    }
    o->refs[o->n_refs++] = (struct rule_ref) { policy_rule_get(p, s), index, name };
}

/* NetworkPolicy. */

static void
add_np_rule(struct policy *p, struct object *o, enum flow_direction direction, const struct kube_np_rule *rule,
            uint32_t index)
{
    struct rule_spec s = { .direction = direction, .tier = FLOW_TIER_POLICY, .action = FLOW_ACCEPT,
                           .any = !rule->n_peers, .subject = &o->subject->items[direction] };

    for (uint32_t i = 0; i < rule->n_peers; i++) {
        const struct kube_np_peer *peer = &rule->peers[i];
        const struct kube_ip_block *block = peer->ip_block;

        if (block) {
            spec_add_peer(&s, policy_place_block(p, direction, o->object, &block->cidr, block->except,
                                                 block->n_except));
        } else if (peer->namespaces) {
            spec_add_pods(p, &s, NULL, peer->namespaces, peer->pods);
        } else if (peer->pods) {
            spec_add_pods(p, &s, o->object->namespace_, NULL, peer->pods);
        }
    }
    spec_add_ports(&s, rule->ports, rule->n_ports);
    object_add_rule(p, o, &s, rule->n_ports, index, NULL);
}

/* ClusterNetworkPolicy. */

static bool
spec_add_cnp_peer(struct policy *p, struct rule_spec *s, const struct kube_object *object,
                  const struct kube_cnp_peer *peer)
{
    if (peer->namespaces) {
        spec_add_pods(p, s, NULL, peer->namespaces, NULL);
    } else if (peer->pods) {
        spec_add_pods(p, s, NULL, &peer->pods->namespaces, &peer->pods->pods);
    } else if (peer->nodes) {
        spec_add_peer(s, policy_place_nodes(p, object, peer->nodes));
    } else if (peer->n_networks) {
        for (uint32_t i = 0; i < peer->n_networks; i++) {
            spec_add_peer(s, policy_place_block(p, s->direction, object, &peer->networks[i], NULL, 0));
        }
    } else if (peer->n_domain_names) {
        for (uint32_t i = 0; i < peer->n_domain_names; i++) {
            spec_add_peer(s, policy_place_domain(p, object, peer->domain_names[i]));
        }
    } else {
        return false;
    }
    return true;
}

/* The rule 'index' denies everything: itself cannot be understood. */
static void
add_cnp_deny(struct policy *p, struct object *o, enum flow_direction direction, uint32_t index, const char *name)
{
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(o->object);
    struct rule_spec s = { .direction = direction, .action = FLOW_DENY, .any = true,
                           .tier = cnp->tier == KUBE_TIER_ADMIN ? FLOW_TIER_ADMIN : FLOW_TIER_BASELINE,
                           .level = flow_level_cnp(cnp->priority, index, FLOW_DENY),
                           .subject = &o->subject->items[direction] };

    object_add_rule(p, o, &s, false, index, name);
}

static void
add_cnp_rule(struct policy *p, struct object *o, enum flow_direction direction, const struct kube_cnp_rule *rule,
             uint32_t index)
{
    static const enum flow_action actions[] = {
        [KUBE_ACTION_ACCEPT] = FLOW_ACCEPT, [KUBE_ACTION_DENY] = FLOW_DENY, [KUBE_ACTION_PASS] = FLOW_PASS,
    };
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(o->object);
    struct rule_spec s = { .direction = direction, .action = actions[rule->action],
                           .tier = cnp->tier == KUBE_TIER_ADMIN ? FLOW_TIER_ADMIN : FLOW_TIER_BASELINE,
                           .level = flow_level_cnp(cnp->priority, index, actions[rule->action]),
                           .subject = &o->subject->items[direction] };
    bool known = spec_add_ports(&s, rule->ports, rule->n_ports);

    for (uint32_t i = 0; i < rule->n_peers; i++) {
        known &= spec_add_cnp_peer(p, &s, o->object, &rule->peers[i]);
    }
    if (known) {
        object_add_rule(p, o, &s, rule->n_ports, index, rule->name);
        return;
    }
    spec_clear(p, &s);
    if (s.action != FLOW_ACCEPT) {
        add_cnp_deny(p, o, direction, index, rule->name);
    }
}

static void
add_rules(struct policy *p, struct object *o, enum flow_direction d, uint32_t n)
{
    const struct kube_networkpolicy *np = kube_networkpolicy_cast(o->object);
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(o->object);

    for (uint32_t i = 0; i < n; i++) {
        if (o->object->kind == KUBE_NETWORKPOLICY) {
            add_np_rule(p, o, d, d == FLOW_EGRESS ? &np->egress[i] : &np->ingress[i], i);
        } else {
            add_cnp_rule(p, o, d, d == FLOW_EGRESS ? &cnp->egress[i] : &cnp->ingress[i], i);
        }
    }
}

static void
object_activate(struct policy *p, struct object *o)
{
    const struct kube_networkpolicy *np = kube_networkpolicy_cast(o->object);
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(o->object);
    bool is_np = o->object->kind == KUBE_NETWORKPOLICY;
    uint32_t n_egress = !o->counts[FLOW_EGRESS] ? 0 : is_np ? np->n_egress : cnp->n_egress;
    uint32_t n_ingress = !o->counts[FLOW_INGRESS] ? 0 : is_np ? np->n_ingress : cnp->n_ingress;

    o->active = true;
    if (n_egress || n_ingress) {
        o->refs = xmalloc((n_egress + n_ingress) * sizeof *o->refs);
        add_rules(p, o, FLOW_EGRESS, n_egress);
        add_rules(p, o, FLOW_INGRESS, n_ingress);
    }
}
