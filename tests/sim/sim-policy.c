/* The simulator of the policy core: objects of a small cluster come, change and go, pods are attached here and detached.
 *
 *   effects               are never idle: nothing is put as it was, nothing is dropped that is not there
 *   effects equal flows   what they have built is what policy_get_flows() says
 *   incremental = full    and that is what a fresh core says that is told only the objects as they are now
 *   a second opinion      verdicts looked up in the flows are those that policy-explain.h tells from the objects
 *
 * The universe is small, so that histories meet: few labels, ports and addresses, two pods with one address, one pod
 * with two attachments, every feature of both kinds of policies.  Numbers are few (POLICY_HASH_MASK), so they clash. */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "controller/domain.h"
#include "controller/policy-explain.h"
#include "controller/store.h"
#include "openvswitch/dynamic-string.h"
#include "policy-world.h"
#include "sim.h"
#include "util.h"

const char *policy_bug;

#define PICK(H, LIST) ((LIST)[sim_below(H, ARRAY_SIZE(LIST))])

static const char *const namespaces[] = { "a", "b", "c" };
static const char *const names[] = { "p", "q", "r", "s" };
static const char *const keys[] = { "app", "tier" };
static const char *const values[] = { "x", "y", "z" };
static const char *const ports[] = { "web", "dns" };
static const char *const protocols[] = { "TCP", "UDP", "SCTP" };
static const char *const blocks[] = { "10.0.0.0/24", "10.0.0.0/30", "0.0.0.0/0", "10.0.0.1/32", "192.0.2.0/24", "fd00::/64",
                                      "::/0", "fd00::2/128" };
static const char *const addrs[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.9", "fd00::1", "fd00::2" };

static const char *const domains[] = { "example.com", "*.example.com", "example.org" };

/* Pieces of objects. ---------------------------------------------------------------------------------------------- */

static void
put_labels(struct sim_history *h, struct ds *ds)
{
    ds_put_cstr(ds, "'labels':{");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (sim_chance(h, 60)) {
            ds_put_format(ds, "%s'%s':'%s'", ds_last(ds) == '{' ? "" : ",", keys[i], PICK(h, values));
        }
    }
    ds_put_cstr(ds, "}");
}

static void
put_selector(struct sim_history *h, struct ds *ds)
{
    const char *key = PICK(h, keys);

    switch (sim_below(h, 7)) {
    case 0:
    case 1:
        ds_put_cstr(ds, "{}");
        break;
    case 2:
    case 3:
        ds_put_format(ds, "{'matchLabels':{'%s':'%s'}}", key, PICK(h, values));
        break;
    case 4:
        ds_put_format(ds, "{'matchExpressions':[{'key':'%s','operator':'%s'}]}", key,
                      sim_chance(h, 50) ? "Exists" : "DoesNotExist");
        break;
    case 5:
        ds_put_format(ds, "{'matchExpressions':[{'key':'%s','operator':'%s','values':['%s','%s']}]}", key,
                      sim_chance(h, 50) ? "In" : "NotIn", PICK(h, values), PICK(h, values));
        break;
    default:
        ds_put_format(ds, "{'matchLabels':{'kubernetes.io/metadata.name':'%s'}}", PICK(h, namespaces));
        break;
    }
}

static void
put_selectors(struct sim_history *h, struct ds *ds)
{
    ds_put_cstr(ds, "{'namespaceSelector':");
    put_selector(h, ds);
    ds_put_cstr(ds, ",'podSelector':");
    put_selector(h, ds);
    ds_put_cstr(ds, "}");
}

static void
put_np_peer(struct sim_history *h, struct ds *ds)
{
    switch (sim_below(h, 9)) {
    case 0:
    case 1:
        ds_put_cstr(ds, "{'podSelector':");
        put_selector(h, ds);
        ds_put_cstr(ds, "}");
        break;
    case 2:
    case 3:
        ds_put_cstr(ds, "{'namespaceSelector':");
        put_selector(h, ds);
        ds_put_cstr(ds, "}");
        break;
    case 4:
    case 5:
        put_selectors(h, ds);
        break;
    case 6:
        ds_put_cstr(ds, "{'ipBlock':{'cidr':'10.0.0.0/24','except':['10.0.0.0/30','10.0.0.2/32']}}");
        break;
    case 7:
        ds_put_format(ds, "{'ipBlock':{'cidr':'%s'}}", PICK(h, blocks));
        break;
    default:
        ds_put_cstr(ds, "{}");
        break;
    }
}

static void
put_np_port(struct sim_history *h, struct ds *ds)
{
    switch (sim_below(h, 4)) {
    case 0:
        ds_put_format(ds, "{'port':%"PRIu32",'protocol':'%s'}", 80 + sim_below(h, 3), PICK(h, protocols));
        break;
    case 1:
        ds_put_format(ds, "{'port':%"PRIu32",'endPort':%"PRIu32"}", 79 + sim_below(h, 3), 82 + sim_below(h, 9));
        break;
    case 2:
        ds_put_format(ds, "{'protocol':'%s'}", PICK(h, protocols));
        break;
    default:
        ds_put_format(ds, "{'port':'%s','protocol':'%s'}", PICK(h, ports), PICK(h, protocols));
        break;
    }
}

static void
put_cnp_peer(struct sim_history *h, struct ds *ds, uint32_t n_kinds)
{
    switch (sim_below(h, n_kinds)) {
    case 0:
        ds_put_cstr(ds, "{'namespaces':");
        put_selector(h, ds);
        ds_put_cstr(ds, "}");
        break;
    case 1:
    case 2:
        ds_put_cstr(ds, "{'pods':");
        put_selectors(h, ds);
        ds_put_cstr(ds, "}");
        break;
    case 3:
        if (sim_chance(h, 30)) {
            ds_put_cstr(ds, "{'telepathy':{}}");
        } else {
            ds_put_cstr(ds, "{'namespaces':{}}");
        }
        break;
    case 4:
        ds_put_cstr(ds, "{'nodes':");
        put_selector(h, ds);
        ds_put_cstr(ds, "}");
        break;
    case 5:
        ds_put_format(ds, "{'networks':['%s','%s']}", PICK(h, blocks), PICK(h, blocks));
        break;
    default:
        ds_put_format(ds, "{'domainNames':['%s','%s']}", PICK(h, domains), PICK(h, domains));
        break;
    }
}

static void
put_cnp_port(struct sim_history *h, struct ds *ds)
{
    switch (sim_below(h, 8)) {
    case 0:
        ds_put_cstr(ds, "{'quic':{}}");
        break;
    case 1:
    case 2:
    case 3:
        ds_put_format(ds, "{'destinationNamedPort':'%s'}", PICK(h, ports));
        break;
    case 4:
        ds_put_cstr(ds, "{'udp':{'destinationPort':{'range':{'start':80,'end':82}}}}");
        break;
    default:
        ds_put_format(ds, "{'tcp':{'destinationPort':{'number':%"PRIu32"}}}", 80 + sim_below(h, 3));
        break;
    }
}

/* A list under 'member' with up to 'max' elements, or no list. */
static void
put_list(struct sim_history *h, struct ds *ds, const char *member, uint32_t min, uint32_t max,
         void (*put)(struct sim_history *, struct ds *))
{
    uint32_t n = min + sim_below(h, max - min + 1);

    ds_put_format(ds, "'%s':[", member);
    for (uint32_t i = 0; i < n; i++) {
        ds_put_cstr(ds, i ? "," : "");
        put(h, ds);
    }
    ds_put_cstr(ds, "]");
}

static void put_source(struct sim_history *h, struct ds *ds) { put_cnp_peer(h, ds, 4); }
static void put_destination(struct sim_history *h, struct ds *ds) { put_cnp_peer(h, ds, 6); }
static void put_accepted(struct sim_history *h, struct ds *ds) { put_cnp_peer(h, ds, 8); }

static void
put_np_rule(struct sim_history *h, struct ds *ds, const char *peers)
{
    ds_put_cstr(ds, "{");
    put_list(h, ds, peers, 0, 2, put_np_peer);
    ds_put_cstr(ds, ",");
    put_list(h, ds, "ports", 0, 2, put_np_port);
    ds_put_cstr(ds, "}");
}

static void put_ingress(struct sim_history *h, struct ds *ds) { put_np_rule(h, ds, "from"); }
static void put_egress(struct sim_history *h, struct ds *ds) { put_np_rule(h, ds, "to"); }

static void
put_cnp_rule(struct sim_history *h, struct ds *ds, bool egress)
{
    static const char *const actions[] = { "Accept", "Deny", "Pass" };
    const char *action = PICK(h, actions);

    ds_put_format(ds, "{'action':'%s',", action);
    put_list(h, ds, egress ? "to" : "from", 1, 2,
             !egress ? put_source : !strcmp(action, "Accept") ? put_accepted : put_destination);
    if (sim_chance(h, 60)) {
        ds_put_cstr(ds, ",");
        put_list(h, ds, "protocols", 1, 2, put_cnp_port);
    }
    ds_put_cstr(ds, "}");
}

static void put_cnp_ingress(struct sim_history *h, struct ds *ds) { put_cnp_rule(h, ds, false); }
static void put_cnp_egress(struct sim_history *h, struct ds *ds) { put_cnp_rule(h, ds, true); }

/* Events. --------------------------------------------------------------------------------------------------------- */

/* The world, and the texts of its objects by their keys. */
struct told_world {
    struct world w;
    struct shash texts;
};

static void
put_text(struct world *w, struct sim_history *h, struct ds *ds)
{
    struct told_world *told = CONTAINER_OF(w, struct told_world, w);
    struct kube_object *object = world_decode(ds_cstr(ds));
    char *key = xasprintf("%s %s/%s", kube_kind_name(object->kind), object->namespace_, object->name);

    sim_log(h, "put %s", ds_cstr(ds));
    free(shash_replace(&told->texts, key, xstrdup(ds_cstr(ds))));
    free(key);
    world_put_object(w, object);
    ds_destroy(ds);
}

static void
remove_key(struct world *w, struct sim_history *h, char *key)
{
    sim_log(h, "remove %s", key);
    free(shash_find_and_delete(&CONTAINER_OF(w, struct told_world, w)->texts, key));
    world_remove(w, key);
    free(key);
}

static void
change_namespace(struct world *w, struct sim_history *h)
{
    const char *name = PICK(h, namespaces);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (sim_chance(h, 20)) {
        remove_key(w, h, xasprintf("Namespace /%s", name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'%s',", name);
    put_labels(h, &ds);
    ds_put_cstr(&ds, "}}");
    put_text(w, h, &ds);
}

static void
change_node(struct world *w, struct sim_history *h)
{
    const char *name = PICK(h, names);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (sim_chance(h, 30)) {
        remove_key(w, h, xasprintf("Node /%s", name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s',", name);
    put_labels(h, &ds);
    ds_put_format(&ds, "},'spec':{'podCIDRs':[%s]}", sim_chance(h, 30) ? "" : "'10.0.0.0/24','fd00::/64'");
    ds_put_format(&ds, ",'status':{'addresses':[{'type':'InternalIP','address':'192.0.2.%"PRIu32"'},"
                  "{'type':'ExternalIP','address':'%s'}]}}", 1 + sim_below(h, 3), PICK(h, addrs));
    put_text(w, h, &ds);
}

static void
change_pod(struct world *w, struct sim_history *h)
{
    const char *ns = PICK(h, namespaces), *name = PICK(h, names);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (sim_chance(h, 25)) {
        remove_key(w, h, xasprintf("Pod %s/%s", ns, name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'%s','uid':'%"PRIu32"',", name,
                  ns, sim_below(h, 3));
    put_labels(h, &ds);
    ds_put_format(&ds, "},'spec':{'hostNetwork':%s,'containers':[{'name':'c','ports':[", sim_chance(h, 8) ? "true" : "false");
    for (uint32_t i = sim_below(h, 3); i > 0; i--) {
        ds_put_format(&ds, "{'name':'%s','containerPort':%"PRIu32",'protocol':'%s'}%s", PICK(h, ports), 80 + sim_below(h, 3),
                      PICK(h, protocols), i > 1 ? "," : "");
    }
    ds_put_format(&ds, "]}]},'status':{'phase':'%s','podIPs':[", sim_chance(h, 10) ? "Failed" : "Running");
    for (uint32_t i = sim_below(h, 3); i > 0; i--) {
        ds_put_format(&ds, "{'ip':'%s'}%s", PICK(h, addrs), i > 1 ? "," : "");
    }
    ds_put_cstr(&ds, "]}}");
    put_text(w, h, &ds);
}

static void
change_np(struct world *w, struct sim_history *h)
{
    const char *ns = PICK(h, namespaces), *name = PICK(h, names);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (sim_chance(h, 30)) {
        remove_key(w, h, xasprintf("NetworkPolicy %s/%s", ns, name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'networking.k8s.io/v1','kind':'NetworkPolicy','metadata':{'name':'%s','namespace':'%s'},"
                  "'spec':{'podSelector':", name, ns);
    put_selector(h, &ds);
    ds_put_format(&ds, ",'policyTypes':[%s],", sim_chance(h, 50) ? "'Ingress','Egress'" : "");
    put_list(h, &ds, "ingress", 0, 2, put_ingress);
    ds_put_cstr(&ds, ",");
    put_list(h, &ds, "egress", 0, 2, put_egress);
    ds_put_cstr(&ds, "}}");
    put_text(w, h, &ds);
}

static void
change_cnp(struct world *w, struct sim_history *h)
{
    const char *name = PICK(h, names);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (sim_chance(h, 30)) {
        remove_key(w, h, xasprintf("ClusterNetworkPolicy /%s", name));
        return;
    }
    ds_put_format(&ds, "{'apiVersion':'policy.networking.k8s.io/v1alpha2','kind':'ClusterNetworkPolicy','metadata':"
                  "{'name':'%s'},'spec':{'tier':'%s','priority':%"PRIu32",'subject':{", name,
                  sim_chance(h, 70) ? "Admin" : "Baseline", sim_below(h, 3));
    if (sim_chance(h, 50)) {
        ds_put_cstr(&ds, "'namespaces':");
        put_selector(h, &ds);
    } else {
        ds_put_cstr(&ds, "'pods':");
        put_selectors(h, &ds);
    }
    ds_put_cstr(&ds, "},");
    put_list(h, &ds, "ingress", 0, 2, put_cnp_ingress);
    ds_put_cstr(&ds, ",");
    put_list(h, &ds, "egress", 0, 2, put_cnp_egress);
    ds_put_cstr(&ds, "}}");
    put_text(w, h, &ds);
}

static void
change_local(struct world *w, struct sim_history *h)
{
    uint64_t id = 1 + sim_below(h, 5);

    if (sim_chance(h, 25)) {
        sim_log(h, "detach %"PRIu64, id);
        world_attach(w, id, NULL, NULL);
        return;
    }
    char *pod = xasprintf("%s/%s", PICK(h, namespaces), PICK(h, names));
    char *list = xasprintf("%s%s%s", PICK(h, addrs), sim_chance(h, 50) ? " " : "", "");
    sim_log(h, "attach %"PRIu64" %s %s", id, pod, list);
    world_attach(w, id, pod, list);
    free(pod);
    free(list);
}

static void
change_domain(struct world *w, struct sim_history *h)
{
    const char *name = PICK(h, domains), *addr = PICK(h, addrs);
    bool present = sim_chance(h, 60);

    sim_log(h, "%s %s %s", name, present ? "has" : "has not", addr);
    world_domain(w, name, addr, present);
}

static void
change(struct world *w, struct sim_history *h)
{
    uint32_t what = sim_below(h, 22);

    (what < 1 ? change_namespace : what < 2 ? change_node : what < 8 ? change_pod : what < 13 ? change_np
     : what < 16 ? change_cnp : what < 18 ? change_domain : change_local)(w, h);
}

/* Checks. --------------------------------------------------------------------------------------------------------- */

/* Another core, told the same objects, from the last kind to the first or the other way round. */
static void
compare_fresh(struct world *w, struct sim_history *h)
{
    const struct shash_node **sorted = shash_sort(&w->objects);
    size_t n = shash_count(&w->objects);
    bool backwards = sim_chance(h, 50);
    struct shash_node *node;
    struct world fresh;

    world_init(&fresh);
    for (size_t i = 0; i < n; i++) {
        struct kube_object *object = sorted[backwards ? n - 1 - i : i]->data;
        world_put_object(&fresh, CONST_CAST(struct kube_object *, kube_object_ref(object)));
    }
    SHASH_FOR_EACH (node, &w->locals) {
        world_copy_local(&fresh, node->data);
    }
    world_copy_domains(&fresh, w);
    world_run(&fresh);
    world_compare(w, &fresh);
    SIM_CHECK(h, !fresh.failure, "fresh: %s", fresh.failure);
    world_destroy(&fresh);
    free(sorted);
}

/* The second opinion. */

struct witness {
    struct store *store;
    struct domains *domains;
};

static void
witness_init(struct witness *witness, const struct told_world *told)
{
    struct shash_node *node;
    const char *text;

    witness->store = store_create();
    witness->domains = domains_create(60000);
    SHASH_FOR_EACH (node, &told->texts) {
        store_put(witness->store, world_decode(node->data));
    }
    SSET_FOR_EACH (text, &told->w.domains) {
        char *name = xmemdup0(text, strcspn(text, " "));
        struct domain_entry entry = { .name = name, .expires = 60000 };

        ovs_assert(!inet_addr_parse(strchr(text, ' ') + 1, &entry.addr, NULL));
        domains_restore(witness->domains, &entry, 0);
        free(name);
    }
}

/* The pod that has the address, for the core too: of those that are attached, else as endpoints.h says.  False: it is not
 * for the witness to say, because two attachments have it, or the pod has no network of its own any more. */
static bool
find_end(const struct told_world *told, const struct witness *witness, const char *addr, struct explain_end *end,
         bool *local)
{
    struct shash_node *node;
    const char *name = NULL;
    size_t n = 0;

    ovs_assert(!inet_addr_parse(addr, &end->addr, NULL));
    SHASH_FOR_EACH (node, &told->w.locals) {
        const struct world_local *l = node->data;
        for (size_t i = 0; i < l->n_addrs; i++) {
            if (!memcmp(&l->addrs[i], &end->addr, sizeof end->addr)) {
                name = l->pod;
                n++;
            }
        }
    }
    *local = n > 0;
    const struct kube_pod *holder = n ? NULL : endpoints_find(told->w.endpoints, &end->addr, NULL);
    char *key = (name ? xstrdup(name)
                 : holder ? xasprintf("%s/%s", holder->object.namespace_, holder->object.name) : NULL);
    if (key) {
        char *slash = strchr(key, '/');
        *slash = '\0';
        end->pod = kube_pod_cast(store_get(witness->store, KUBE_POD, key, slash + 1));
        free(key);
    }
    return n < 2 && (!*local || (end->pod && !end->pod->host_network && !end->pod->finished));
}

/* '*open': the API leaves it open. */
static bool
explained(const struct explain_question *q, enum flow_direction direction, bool *open)
{
    struct explanation e;

    policy_explain(q, direction, &e);
    bool allowed = e.allowed;
    *open = *open || e.tie;
    policy_explain_destroy(&e);
    return allowed;
}

static void
ask_both(struct told_world *told, struct sim_history *h, const struct witness *witness)
{
    static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
    const char *src = PICK(h, addrs), *dst = PICK(h, addrs);
    struct explain_question q = { .store = witness->store, .domains = witness->domains, .protocol = PICK(h, numbers) };
    bool from_local, to_local;

    q.port = q.protocol == IPPROTO_ICMP ? 0 : 79 + sim_below(h, 5);
    if (!find_end(told, witness, src, &q.from, &from_local) || !find_end(told, witness, dst, &q.to, &to_local)
        || inet_is_v4(&q.from.addr) != inet_is_v4(&q.to.addr) || (q.from.pod && q.from.pod == q.to.pod)) {
        return;
    }
    bool open = false;
    bool wanted = (!from_local || explained(&q, FLOW_EGRESS, &open)) && (!to_local || explained(&q, FLOW_INGRESS, &open));
    bool found = world_allows(&told->w, src, dst, q.protocol, q.port);
    SIM_CHECK(h, open || found == wanted, "%s to %s, protocol %d, port %d: by the flows %s, by the objects not", src, dst, q.protocol,
              q.port, found ? "allowed" : "denied");
}

static void
compare_explained(struct told_world *told, struct sim_history *h)
{
    struct witness witness;

    witness_init(&witness, told);
    for (int i = 0; i < 40 && !sim_failed(h); i++) {
        ask_both(told, h, &witness);
    }
    domains_destroy(witness.domains);
    store_destroy(witness.store);
}

static void
history(struct sim_history *h)
{
    struct told_world told = { .texts = SHASH_INITIALIZER(&told.texts) };

    policy_bug = h->bug;
    world_init(&told.w);
    for (int i = 0; i < 14 && !sim_failed(h); i++) {
        for (uint32_t n = 1 + (i ? sim_below(h, 3) : 12); n > 0; n--) {
            change(&told.w, h);
        }
        world_run(&told.w);
        sim_log(h, "run %d: %"PRIuSIZE" puts, %"PRIuSIZE" drops", i, told.w.n_puts, told.w.n_drops);
        world_compare(&told.w, &told.w);
        if (i % 4 == 1 && !told.w.failure) {
            policy_bug = NULL;
            compare_fresh(&told.w, h);
            policy_bug = h->bug;
            compare_explained(&told, h);
        }
        SIM_CHECK(h, !told.w.failure, "step %d: %s", i, told.w.failure);
    }
    policy_bug = NULL;
    world_destroy(&told.w);
    shash_destroy_free_data(&told.texts);
}

int
main(int argc, char *argv[])
{
    static const char *const bugs[] = { "check-missed", "touch-missed", "peers-missed", "subject-missed",
                                        "move-missed", "named-missed", "content-missed", "puts-first", "local-missed", "domains-missed",
                                        NULL };
    return sim_main(argc, argv, &(struct sim) { "policy", history, bugs });
}
