#include <config.h>

#include "controller/policy-explain.h"

#include <string.h>

#include "controller/domain.h"
#include "controller/store.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

/* Of a long list of peers, ports or values the first few are told. */
#define MAX_TOLD 6

#define METADATA_NAME "kubernetes.io/metadata.name"

/* What a selector is asked about. */
struct labelled {
    const char *what, *namespace_, *name;       /* "pod", "shop", "web-0"; "namespace", "", "shop". */
    const struct labels *labels;
};

/* Begins the next of several reasons.  False: enough has been told. */
static bool
next_reason(struct ds *why, size_t i, size_t n)
{
    if (i == MAX_TOLD) {
        ds_put_format(why, "; and %"PRIuSIZE" more", n - i);
    } else if (i && i < MAX_TOLD) {
        ds_put_cstr(why, "; ");
    }
    return i < MAX_TOLD;
}

/* Selectors. ----------------------------------------------------------------------------------------------------- */

/* Every namespace has its name as a label, whatever its object says (networkpolicy 11). */
static const char *
label_of(const struct labelled *who, const char *key)
{
    return !strcmp(who->what, "namespace") && !strcmp(key, METADATA_NAME) ? who->name : labels_get(who->labels, key);
}

static bool
is_one_of(const struct kube_requirement *r, const char *value)
{
    for (size_t i = 0; value && i < r->n_values; i++) {
        if (!strcmp(r->values[i], value)) {
            return true;
        }
    }
    return false;
}

static bool
requirement_holds(const struct kube_requirement *r, const char *value)
{
    switch (r->op) {
    case KUBE_OP_IN: return is_one_of(r, value);
    case KUBE_OP_NOT_IN: return !is_one_of(r, value);
    case KUBE_OP_EXISTS: return value != NULL;
    case KUBE_OP_DOES_NOT_EXIST: return !value;
    default: OVS_NOT_REACHED();
    }
}

static void
put_values(const struct kube_requirement *r, struct ds *s)
{
    for (size_t i = 0; i < r->n_values && i < MAX_TOLD; i++) {
        ds_put_format(s, "%s%s", i ? ", " : "", *r->values[i] ? r->values[i] : "\"\"");
    }
    if (r->n_values > MAX_TOLD) {
        ds_put_cstr(s, ", ...");
    }
}

static void
put_requirement(const struct kube_requirement *r, const struct labelled *who, const char *value, struct ds *s)
{
    ds_put_format(s, "%s %s%s%s ", who->what, who->namespace_, *who->namespace_ ? "/" : "", who->name);
    if (r->op == KUBE_OP_IN && !value) {
        ds_put_format(s, "lacks label %s%s", r->key, r->n_values == 1 ? "=" : " (one of ");
        put_values(r, s);
        ds_put_cstr(s, r->n_values == 1 ? "" : ")");
    } else if (r->op == KUBE_OP_IN) {
        ds_put_format(s, "has label %s=%s, not %s", r->key, value, r->n_values == 1 ? "" : "one of ");
        put_values(r, s);
    } else if (r->op == KUBE_OP_NOT_IN) {
        ds_put_format(s, "has label %s=%s, which is excluded", r->key, value);
    } else {
        ds_put_format(s, "%s label %s", r->op == KUBE_OP_EXISTS ? "lacks" : "has", r->key);
    }
}

static bool
selects(const struct kube_selector *selector, const struct labelled *who, struct ds *why)
{
    for (size_t i = 0; i < selector->n_requirements; i++) {
        const struct kube_requirement *r = &selector->requirements[i];
        const char *value = label_of(who, r->key);

        if (!requirement_holds(r, value)) {
            put_requirement(r, who, value, why);
            return false;
        }
    }
    return true;
}

bool
explain_namespace_matches_(const struct store *store, const struct kube_selector *selector, const char *name,
                           struct ds *why)
{
    const struct kube_object *object = store_get(store, KUBE_NAMESPACE, "", name);
    const struct labelled who = { "namespace", "", name, object ? object->labels : NULL };

    return selects(selector, &who, why);
}

const char *
explain_not_selectable_(const struct kube_pod *pod)
{
    return (pod->host_network ? "is in its node's network: no selector selects it"
            : pod->finished ? "has finished: its address is no longer its own"
            : NULL);
}

/* Peers. --------------------------------------------------------------------------------------------------------- */

/* The pod that a selector is asked about; NULL: there is none. */
static const struct kube_pod *
selectable(const struct explain_end *end, struct ds *why)
{
    const char *problem = end->pod ? explain_not_selectable_(end->pod) : NULL;

    if (!end->pod) {
        inet_addr_put(why, &end->addr);
        ds_put_cstr(why, " is no pod's, and selectors select pods only");
    } else if (problem) {
        ds_put_format(why, "pod %s/%s %s", end->pod->object.namespace_, end->pod->object.name, problem);
    }
    return problem ? NULL : end->pod;
}

static bool
pod_selected(const struct kube_selector *selector, const struct kube_pod *pod, struct ds *why)
{
    const struct labelled who = { "pod", pod->object.namespace_, pod->object.name, pod->object.labels };
    return selects(selector, &who, why);
}

static bool
in_prefix(const struct inet_prefix *prefix, const struct in6_addr *addr)
{
    return inet_is_v4(&prefix->addr) == inet_is_v4(addr) && inet_prefix_contains(prefix, addr);
}

/* "10.1.2.3 is not in 10.0.0.0/8". */
static void
put_outside(const struct in6_addr *addr, const struct inet_prefix *prefix, struct ds *s)
{
    inet_addr_put(s, addr);
    ds_put_cstr(s, " is not in ");
    inet_prefix_put(s, prefix);
}

static bool
in_ip_block(const struct kube_ip_block *block, const struct in6_addr *addr, struct ds *why)
{
    if (!in_prefix(&block->cidr, addr)) {
        put_outside(addr, &block->cidr, why);
        return false;
    }
    for (size_t i = 0; i < block->n_except; i++) {
        if (in_prefix(&block->except[i], addr)) {
            ds_put_cstr(why, "address ");
            inet_addr_put(why, addr);
            ds_put_cstr(why, " is excepted by ");
            inet_prefix_put(why, &block->except[i]);
            return false;
        }
    }
    return true;
}

struct gateway_search {
    const struct kube_ip_block *block;
    const struct in6_addr *addr;
    bool matches;
};

static void
look_at_gateway(const struct kube_object *object, void *search_)
{
    const struct kube_node *node = kube_node_cast(object);
    struct gateway_search *search = search_;
    struct in6_addr gateway;
    bool ours = false;

    for (size_t i = 0; i < node->n_pod_cidrs; i++) {
        ours = ours || (inet_prefix_nth(&node->pod_cidrs[i], 1, &gateway) && ipv6_addr_equals(&gateway, search->addr));
    }
    for (size_t i = 0; ours && i < (size_t) node->n_addrs + node->n_external; i++) {
        struct ds ignored = DS_EMPTY_INITIALIZER;
        search->matches = search->matches || in_ip_block(search->block, &node->addrs[i], &ignored);
        ds_destroy(&ignored);
    }
}

/* With an overlay a node's packets to pods of others come from its gateway address, and count as the node's
 * (networkpolicy 28). */
static bool
is_gateway_of_node_in(const struct store *store, const struct kube_ip_block *block, const struct in6_addr *addr)
{
    struct gateway_search search = { .block = block, .addr = addr };

    for (size_t i = 0; i < block->n_except; i++) {
        if (in_prefix(&block->except[i], addr)) {
            return false;
        }
    }
    if (inet_is_v4(addr) == inet_is_v4(&block->cidr.addr)) {
        store_for_each(store, KUBE_NODE, look_at_gateway, &search);
    }
    return search.matches;
}

static bool
np_peer(const struct explain_question *q, const char *namespace_, const struct kube_np_peer *peer,
        const struct explain_end *end, struct ds *why)
{
    if (peer->ip_block) {
        return ((end == &q->from && is_gateway_of_node_in(q->store, peer->ip_block, &end->addr))
                || in_ip_block(peer->ip_block, &end->addr, why));
    }
    if (!peer->pods && !peer->namespaces) {
        ds_put_cstr(why, "this kind of peer is not known here: it matches nothing");
        return false;
    }
    const struct kube_pod *pod = selectable(end, why);
    if (!pod) {
        return false;
    }
    if (peer->namespaces && !explain_namespace_matches_(q->store, peer->namespaces, pod->object.namespace_, why)) {
        return false;
    }
    if (!peer->namespaces && strcmp(pod->object.namespace_, namespace_)) {
        ds_put_format(why, "pod %s/%s is not in namespace %s", pod->object.namespace_, pod->object.name, namespace_);
        return false;
    }
    return !peer->pods || pod_selected(peer->pods, pod, why);
}

bool
explain_np_peers_(const struct explain_question *q, const char *namespace_, const struct kube_np_rule *rule,
                  const struct explain_end *end, bool *selected, struct ds *why)
{
    bool found = !rule->n_peers;

    *selected = found;
    for (size_t i = 0; i < rule->n_peers && !*selected; i++) {
        struct ds told = DS_EMPTY_INITIALIZER;
        bool matches = np_peer(q, namespace_, &rule->peers[i], end, &told);

        if (next_reason(why, i, rule->n_peers)) {
            ds_put_cstr(why, ds_cstr(&told));
        }
        ds_destroy(&told);
        found = found || matches;
        *selected = matches && !rule->peers[i].ip_block;
    }
    return found;
}

struct node_search {
    const struct kube_selector *selector;
    const struct in6_addr *addr;
    bool found, matches;
    struct ds *why;
};

static void
look_at_node(const struct kube_object *object, void *search_)
{
    const struct kube_node *node = kube_node_cast(object);
    const struct labelled who = { "node", "", object->name, object->labels };
    struct node_search *search = search_;

    for (size_t i = 0; !search->matches && i < node->n_addrs + node->n_external; i++) {
        if (!memcmp(&node->addrs[i], search->addr, sizeof *search->addr)) {
            search->found = true;
            search->matches = selects(search->selector, &who, search->why);
        }
    }
}

static bool
is_node(const struct store *store, const struct kube_selector *selector, const struct in6_addr *addr, struct ds *why)
{
    struct node_search search = { .selector = selector, .addr = addr, .why = why };

    store_for_each(store, KUBE_NODE, look_at_node, &search);
    if (!search.found) {
        inet_addr_put(why, addr);
        ds_put_cstr(why, " is no node's");
    }
    return search.matches;
}

static bool
in_networks(const struct kube_cnp_peer *peer, const struct in6_addr *addr, struct ds *why)
{
    for (size_t i = 0; i < peer->n_networks; i++) {
        if (in_prefix(&peer->networks[i], addr)) {
            return true;
        }
    }
    for (size_t i = 0; i < peer->n_networks && next_reason(why, i, peer->n_networks); i++) {
        put_outside(addr, &peer->networks[i], why);
    }
    return false;
}

struct domain_search {
    const char *name;
    const struct in6_addr *addr;
    bool found;
};

static void
look_at_domain(const struct domain_entry *e, void *search_)
{
    struct domain_search *search = search_;
    search->found = search->found || (!strcmp(e->name, search->name)
                                      && !memcmp(&e->addr, search->addr, sizeof e->addr));
}

/* Whether a DNS answer told that one of the names has the address. */
static bool
has_domain(const struct explain_question *q, const struct kube_cnp_peer *peer, const struct in6_addr *addr,
           struct ds *why)
{
    for (size_t i = 0; i < peer->n_domain_names; i++) {
        char *name = xstrdup(peer->domain_names[i]);
        struct domain_search search = { name, addr, false };

        domain_normalise(name);
        if (q->domains) {
            domains_for_each(q->domains, look_at_domain, &search);
        }
        if (next_reason(why, i, peer->n_domain_names)) {
            ds_put_format(why, "no DNS answer here said that %s has ", name);
            inet_addr_put(why, addr);
        }
        free(name);
        if (search.found) {
            return true;
        }
    }
    return false;
}

static bool
cnp_pods(const struct explain_question *q, const struct kube_cnp_peer *peer, const struct explain_end *end,
         struct ds *why)
{
    const struct kube_selector *namespaces = peer->pods ? &peer->pods->namespaces : peer->namespaces;
    const struct kube_pod *pod = selectable(end, why);

    return (pod && explain_namespace_matches_(q->store, namespaces, pod->object.namespace_, why)
            && (!peer->pods || pod_selected(&peer->pods->pods, pod, why)));
}

static bool
cnp_peer(const struct explain_question *q, const struct kube_cnp_peer *peer, enum kube_action action,
         const struct explain_end *end, struct ds *why)
{
    if (peer->unknown) {
        ds_put_cstr(why, "this kind of peer is not known here: it matches nothing");
        return action != KUBE_ACTION_ACCEPT;
    } else if (peer->nodes) {
        return is_node(q->store, peer->nodes, &end->addr, why);
    } else if (peer->n_networks) {
        return in_networks(peer, &end->addr, why);
    } else if (peer->n_domain_names) {
        return has_domain(q, peer, &end->addr, why);
    }
    return cnp_pods(q, peer, end, why);
}

bool
explain_cnp_peers_(const struct explain_question *q, const struct kube_cnp_rule *rule, const struct explain_end *end,
                   bool *selected, struct ds *why)
{
    bool found = false;

    *selected = false;
    for (size_t i = 0; i < rule->n_peers && !*selected; i++) {
        struct ds told = DS_EMPTY_INITIALIZER;
        bool matches = cnp_peer(q, &rule->peers[i], rule->action, end, &told);

        if (next_reason(why, i, rule->n_peers)) {
            ds_put_cstr(why, ds_cstr(&told));
        }
        ds_destroy(&told);
        found = found || matches;
        *selected = matches && (rule->peers[i].namespaces || rule->peers[i].pods);
    }
    return found;
}

/* Ports. --------------------------------------------------------------------------------------------------------- */

static bool
has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Whether the pod has the name for the protocol before its port 'i': the first counts. */
static bool
has_earlier(const struct kube_pod *pod, size_t i, const struct kube_port *port)
{
    for (size_t j = 0; j < i; j++) {
        struct kube_port other;

        kube_pod_port(pod, j, &other);
        if (!strcmp(other.name, port->name) && other.protocol == port->protocol) {
            return true;
        }
    }
    return false;
}

/* The port of that name of the pod that listens, if the rule knows it as a pod (networkpolicy 17). */
static bool
named_port(const struct explain_question *q, const struct kube_policy_port *p, bool selected, struct ds *why)
{
    const struct kube_pod *pod = q->to.pod && !explain_not_selectable_(q->to.pod) ? q->to.pod : NULL;
    char buf[POLICY_PROTOCOL_STRLEN];
    bool told = false;

    if (pod && !selected) {
        ds_put_format(why, "%s is the name of a port, and no selector of the rule selects pod %s/%s", p->name,
                      pod->object.namespace_, pod->object.name);
        return false;
    }
    for (size_t i = 0; pod && i < kube_pod_n_ports(pod); i++) {
        struct kube_port port;

        kube_pod_port(pod, i, &port);
        if (!strcmp(port.name, p->name) && !has_earlier(pod, i, &port)) {
            bool protocol = !p->protocol || port.protocol == p->protocol;
            if (protocol && port.protocol == q->protocol && port.number == q->port) {
                return true;
            }
            ds_put_format(why, "%snamed port %s is %s/%d on pod %s/%s", told ? ", " : "", p->name,
                          policy_protocol_name(port.protocol, buf), port.number, pod->object.namespace_,
                          pod->object.name);
            if (!protocol) {
                ds_put_format(why, ", not %s", policy_protocol_name(p->protocol, buf));
            }
            told = true;
        }
    }
    if (!pod) {
        ds_put_format(why, "%s is the name of a port, and ", p->name);
        inet_addr_put(why, &q->to.addr);
        ds_put_cstr(why, " is no pod's");
    } else if (!told) {
        ds_put_format(why, "pod %s/%s has no port named %s", pod->object.namespace_, pod->object.name, p->name);
    }
    return false;
}

/* "tcp/8081 is not 8080", "udp/53 is not tcp". */
static void
put_port_mismatch(const struct explain_question *q, const struct kube_policy_port *p, struct ds *s)
{
    char buf[POLICY_PROTOCOL_STRLEN];

    ds_put_format(s, "%s/%d is not ", policy_protocol_name(q->protocol, buf), q->port);
    if (p->protocol != q->protocol) {
        ds_put_cstr(s, policy_protocol_name(p->protocol, buf));
    } else if (p->first == p->last) {
        ds_put_format(s, "%d", p->first);
    } else {
        ds_put_format(s, "in %d-%d", p->first, p->last);
    }
}

static bool
one_port(const struct explain_question *q, const struct kube_policy_port *p, bool selected, enum flow_action action,
         struct ds *why)
{
    if (p->unknown) {
        ds_put_cstr(why, "this kind of port is not known here: it matches nothing");
        return action != FLOW_ACCEPT;
    } else if (p->name) {
        return named_port(q, p, selected, why);
    }
    bool matches = p->protocol == q->protocol && q->port >= p->first && q->port <= p->last;
    if (!matches) {
        put_port_mismatch(q, p, why);
    }
    return matches;
}

bool
explain_ports_(const struct explain_question *q, const struct kube_policy_port *ports, size_t n, bool selected,
               enum flow_action action, struct ds *why)
{
    char buf[POLICY_PROTOCOL_STRLEN];

    if (n && !has_ports(q->protocol)) {
        bool closed = false;
        for (size_t i = 0; i < n && action != FLOW_ACCEPT; i++) {
            closed = closed || ports[i].unknown;
        }
        ds_put_format(why, "%s has no ports, and the rule lists some", policy_protocol_name(q->protocol, buf));
        return closed;
    }
    for (size_t i = 0; i < n; i++) {
        struct ds told = DS_EMPTY_INITIALIZER;
        bool matches = one_port(q, &ports[i], selected, action, &told);

        if (next_reason(why, i, n)) {
            ds_put_cstr(why, ds_cstr(&told));
        }
        ds_destroy(&told);
        if (matches) {
            return true;
        }
    }
    return !n;
}
