/* controller/policy-explain.h: why a connection is allowed or denied, for each item of the acceptance lists of which there
 * is something to tell.  The texts are what "sluicectl trace --explain" prints. */
#include <config.h>

#include "controller/policy-explain.h"

#include <arpa/inet.h>

#include "controller/domain.h"
#include "controller/store.h"
#include "kube-decode-test.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"

struct fixture {
    struct store *store;
    const struct kube_pod *from, *to;
};

static void
put(struct fixture *f, enum kube_kind kind, const char *text)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object;
    json_t *json = load_quoted(text);

    ck_assert_msg(!kube_object_decode_kind(kind, json, &object, &error), "%s: %s", text, error_message(&error));
    store_put(f->store, object);
    json_decref(json);
}

/* Namespaces shop (env=prod) and test (env=test); in each a client (role=client), in shop a web server and a pod in the
 * network of node n1. */
static void
start(struct fixture *f)
{
    f->store = store_create();
    put(f, KUBE_NAMESPACE, "{'metadata':{'name':'shop','labels':{'env':'prod'}}}");
    put(f, KUBE_NAMESPACE, "{'metadata':{'name':'test','labels':{'env':'test'}}}");
    put(f, KUBE_NODE, "{'metadata':{'name':'n1','labels':{'rack':'a'}},'status':{'addresses':[{'type':'InternalIP','address':'172.30.0.1'}]}}");
    put(f, KUBE_POD, "{'metadata':{'name':'web','namespace':'shop','labels':{'app':'web'}},'spec':{'containers':[{'ports':["
                     "{'name':'http','containerPort':8081},{'name':'dns','containerPort':53,'protocol':'UDP'}]}]},"
                     "'status':{'podIPs':[{'ip':'10.0.0.1'},{'ip':'fd00::1'}]}}");
    put(f, KUBE_POD, "{'metadata':{'name':'client','namespace':'shop','labels':{'role':'client'}},'status':{'podIP':'10.0.0.2'}}");
    put(f, KUBE_POD, "{'metadata':{'name':'client','namespace':'test','labels':{'role':'client'}},'status':{'podIP':'10.0.0.3'}}");
    put(f, KUBE_POD, "{'metadata':{'name':'host','namespace':'shop'},'spec':{'hostNetwork':true},'status':{'podIP':'172.30.0.1'}}");
    put(f, KUBE_POD, "{'metadata':{'name':'job','namespace':'shop','labels':{'role':'client'}},'status':{'podIP':'10.0.0.9','phase':'Failed'}}");
}

static void
find(struct fixture *f, const char *text, struct explain_end *end)
{
    char *copy = xstrdup(text), *slash = strchr(copy, '/');

    memset(end, 0, sizeof *end);
    if (slash) {
        *slash = '\0';
        end->pod = kube_pod_cast(store_get(f->store, KUBE_POD, copy, slash + 1));
        ck_assert_msg(end->pod && end->pod->n_addrs, "%s", text);
        end->addr = end->pod->addrs[0];
    } else {
        ck_assert(!inet_addr_parse(text, &end->addr, NULL));
    }
    free(copy);
}

/* What is told of a packet to shop/web (or from it, if 'egress'), and the end that is not shop/web. */
static char *
told(struct fixture *f, bool egress, const char *peer, const char *protocol, int port, bool own_node)
{
    struct explain_question q = { .store = f->store, .own_node = own_node, .port = port,
                                  .protocol = policy_protocol_from_name(protocol) };
    struct ds s = DS_EMPTY_INITIALIZER;
    struct explanation e;

    find(f, egress ? "shop/web" : peer, &q.from);
    find(f, egress ? peer : "shop/web", &q.to);
    policy_explain(&q, egress ? FLOW_EGRESS : FLOW_INGRESS, &e);
    json_t *json = policy_explain_to_json(&e);
    policy_explain_format(json, &s);
    json_decref(json);
    policy_explain_destroy(&e);
    return ds_steal_cstr(&s);
}

#define NP(NAME, SPEC) "{'metadata':{'name':'" NAME "','namespace':'shop'},'spec':{" SPEC "}}"
#define FROM(PEERS) NP("p", "'ingress':[{'from':[" PEERS "]}]")
#define TO(PEERS) NP("p", "'policyTypes':['Egress'],'egress':[{'to':[" PEERS "]}]")
#define PORTS(PORTS) NP("p", "'ingress':[{'ports':[" PORTS "]}]")
#define IN "  ingress of pod shop/web: "
#define OUT "  egress of pod shop/web: "
#define DENIED "denied, default deny: it is selected, and no rule matches\n    NetworkPolicy/shop/p (tier NetworkPolicy)\n"
#define BY_P "allowed, by NetworkPolicy/shop/p, ingress[0]\n"
#define NO_PEER(WHY) DENIED "      ingress[0] Accept: does not match\n        peer: " WHY "\n"
#define NO_PORT(WHY) DENIED "      ingress[0] Accept: does not match\n        port: " WHY "\n"
#define MATCHES "    NetworkPolicy/shop/p (tier NetworkPolicy)\n      ingress[0] Accept: matches\n"

/* One policy, one question. */
static const struct {
    const char *item, *policy, *peer, *protocol;
    int port;
    const char *text;
} cases[] = {
    { "networkpolicy 1", NP("p", "'podSelector':{'matchLabels':{'app':'db'}}"), "shop/client", "tcp", 80,
      IN "allowed, no policy selects it in this direction\n" },
    { "networkpolicy 4", NP("p", "'podSelector':{'matchExpressions':[{'key':'app','operator':'NotIn','values':['db']}]}"),
      "shop/client", "tcp", 80, IN DENIED "      has no rules in this direction: it allows nothing\n" },
    { "networkpolicy 5", NP("p", "'policyTypes':['Egress'],'ingress':[{}]"), "shop/client", "tcp", 80,
      IN "allowed, no policy selects it in this direction\n" },
    { "networkpolicy 6", NP("p", ""), "shop/client", "tcp", 80,
      IN DENIED "      has no rules in this direction: it allows nothing\n" },
    { "networkpolicy 6", NP("p", "'ingress':[{}]"), "192.0.2.1", "icmp", 0, IN BY_P MATCHES },
    { "networkpolicy 7", NP("p", "'ingress':[{'from':[{'podSelector':{'matchLabels':{'role':'admin'}}}],'ports':[{'port':8080}]}]"),
      "shop/client", "tcp", 8081, IN DENIED "      ingress[0] Accept: does not match\n"
      "        peer: pod shop/client has label role=client, not admin\n        port: tcp/8081 is not 8080\n" },
    { "networkpolicy 7", FROM("{'podSelector':{'matchLabels':{'a':'b'}}},{'ipBlock':{'cidr':'10.0.0.2/32'}}"),
      "shop/client", "tcp", 80, IN BY_P MATCHES },
    { "networkpolicy 8", FROM(""), "192.0.2.1", "tcp", 80, IN BY_P MATCHES },
    { "networkpolicy 9", FROM("{'podSelector':{'matchLabels':{'role':'client'}}}"), "test/client", "tcp", 80,
      IN NO_PEER("pod test/client is not in namespace shop") },
    { "networkpolicy 9", FROM("{'podSelector':{'matchLabels':{'tier':'front'}}}"), "shop/client", "tcp", 80,
      IN NO_PEER("pod shop/client lacks label tier=front") },
    { "networkpolicy 9", FROM("{'namespaceSelector':{'matchLabels':{'env':'test'}},'podSelector':{'matchLabels':{'role':'client'}}}"),
      "test/client", "tcp", 80, IN BY_P MATCHES },
    { "networkpolicy 9", FROM("{'namespaceSelector':{'matchLabels':{'env':'test'}}}"), "shop/client", "tcp", 80,
      IN NO_PEER("namespace shop has label env=prod, not test") },
    { "networkpolicy 9", FROM("{'namespaceSelector':{'matchExpressions':[{'key':'env','operator':'In','values':['dev','test']}]}},"
                              "{'podSelector':{'matchExpressions':[{'key':'a','operator':'In','values':['1','2']}]}}"),
      "shop/client", "tcp", 80,
      IN NO_PEER("namespace shop has label env=prod, not one of dev, test; pod shop/client lacks label a (one of 1, 2)") },
    { "networkpolicy 4", FROM("{'podSelector':{'matchExpressions':[{'key':'role','operator':'NotIn','values':['client']}]}},"
                              "{'podSelector':{'matchExpressions':[{'key':'x','operator':'Exists'}]}},"
                              "{'podSelector':{'matchExpressions':[{'key':'role','operator':'DoesNotExist'}]}}"),
      "shop/client", "tcp", 80, IN NO_PEER("pod shop/client has label role=client, which is excluded; "
                                           "pod shop/client lacks label x; pod shop/client has label role") },
    { "networkpolicy 10", FROM("{'namespaceSelector':{}}"), "192.0.2.1", "tcp", 80,
      IN NO_PEER("192.0.2.1 is no pod's, and selectors select pods only") },
    { "networkpolicy 11", FROM("{'namespaceSelector':{'matchLabels':{'kubernetes.io/metadata.name':'test'}}}"), "test/client", "tcp",
      80, IN BY_P MATCHES },
    { "networkpolicy 11", FROM("{'namespaceSelector':{'matchLabels':{'kubernetes.io/metadata.name':'test'}}}"), "shop/client", "tcp",
      80, IN NO_PEER("namespace shop has label kubernetes.io/metadata.name=shop, not test") },
    { "networkpolicy 12", FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/16']}}"), "10.1.2.3", "tcp", 80,
      IN NO_PEER("address 10.1.2.3 is excepted by 10.1.0.0/16") },
    { "networkpolicy 12", FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/16']}},{'ipBlock':{'cidr':'10.1.2.0/24'}}"),
      "10.1.2.3", "tcp", 80, IN BY_P MATCHES },
    { "networkpolicy 12", FROM("{'ipBlock':{'cidr':'10.0.0.0/24'}}"), "shop/client", "tcp", 80, IN BY_P MATCHES },
    { "networkpolicy 12", FROM("{'ipBlock':{'cidr':'10.9.0.0/16'}}"), "shop/client", "tcp", 80,
      IN NO_PEER("10.0.0.2 is not in 10.9.0.0/16") },
    { "networkpolicy 13", FROM("{'ipBlock':{'cidr':'0.0.0.0/0'}}"), "fd00::9", "tcp", 80,
      IN NO_PEER("fd00::9 is not in 0.0.0.0/0") },
    { "networkpolicy 13", FROM("{'ipBlock':{'cidr':'::/0'}}"), "192.0.2.1", "tcp", 80,
      IN NO_PEER("192.0.2.1 is not in ::/0") },
    { "networkpolicy 15", PORTS("{'port':80}"), "shop/client", "udp", 80, IN NO_PORT("udp/80 is not tcp") },
    { "networkpolicy 15", PORTS("{'protocol':'SCTP'}"), "shop/client", "tcp", 80, IN NO_PORT("tcp/80 is not sctp") },
    { "networkpolicy 15", PORTS("{'protocol':'UDP'}"), "shop/client", "udp", 80, IN BY_P MATCHES },
    { "networkpolicy 17", PORTS("{'port':'http'}"), "shop/client", "tcp", 8081, IN BY_P MATCHES },
    { "networkpolicy 17", PORTS("{'port':'http'}"), "shop/client", "tcp", 80,
      IN NO_PORT("named port http is tcp/8081 on pod shop/web") },
    { "networkpolicy 17", PORTS("{'port':'dns'}"), "shop/client", "tcp", 53,
      IN NO_PORT("named port dns is udp/53 on pod shop/web, not tcp") },
    { "networkpolicy 17", PORTS("{'port':'mysql'}"), "shop/client", "tcp", 53,
      IN NO_PORT("pod shop/web has no port named mysql") },
    { "networkpolicy 18", PORTS("{'port':53,'endPort':84}"), "shop/client", "tcp", 84, IN BY_P MATCHES },
    { "networkpolicy 18", PORTS("{'port':53,'endPort':84},{'port':443}"), "shop/client", "tcp", 85,
      IN NO_PORT("tcp/85 is not in 53-84; tcp/85 is not 443") },
    { "networkpolicy 21", FROM("{'podSelector':{'matchLabels':{'role':'client'}}}"), "shop/job", "tcp", 80,
      IN NO_PEER("pod shop/job has finished: its address is no longer its own") },
    { "networkpolicy 27", NP("p", ""), "shop/web", "tcp", 80, IN "allowed, a pod can always reach itself\n" },
    { "networkpolicy 28", FROM("{'podSelector':{}}"), "shop/host", "tcp", 80,
      IN NO_PEER("pod shop/host is in its node's network: no selector selects it") },
    { "networkpolicy 28", FROM("{'ipBlock':{'cidr':'172.30.0.0/24'}}"), "shop/host", "tcp", 80, IN BY_P MATCHES },
    { "networkpolicy 31", PORTS("{'port':80},{}"), "shop/client", "icmp", 0,
      IN NO_PORT("icmp has no ports, and the rule lists some") },
};

START_TEST(test_networkpolicy)
{
    struct fixture f;

    start(&f);
    put(&f, KUBE_NETWORKPOLICY, cases[_i].policy);
    char *text = told(&f, false, cases[_i].peer, cases[_i].protocol, cases[_i].port, false);
    ck_assert_msg(!strcmp(text, cases[_i].text), "%s: %s\n%s\nwanted:\n%s", cases[_i].item, cases[_i].policy, text, cases[_i].text);
    free(text);
    store_destroy(f.store);
}
END_TEST

static void
check(struct fixture *f, bool egress, const char *peer, const char *protocol, int port, const char *want)
{
    char *text = told(f, egress, peer, protocol, port, false);
    ck_assert_str_eq(text, want);
    free(text);
}

/* networkpolicy 2, 3, 14, 17: egress; several policies are a union, in the order of their names. */
START_TEST(test_egress)
{
    struct fixture f;

    start(&f);
    put(&f, KUBE_NETWORKPOLICY, NP("b", "'policyTypes':['Egress'],'egress':[{'to':[{'podSelector':{'matchLabels':{'role':'client'}}}],"
                                        "'ports':[{'port':'http'}]}]"));
    check(&f, true, "shop/client", "tcp", 80,
          OUT "denied, default deny: it is selected, and no rule matches\n    NetworkPolicy/shop/b (tier NetworkPolicy)\n"
          "      egress[0] Accept: does not match\n        port: pod shop/client has no port named http\n");
    check(&f, true, "192.0.2.1", "tcp", 80,
          OUT "denied, default deny: it is selected, and no rule matches\n    NetworkPolicy/shop/b (tier NetworkPolicy)\n"
          "      egress[0] Accept: does not match\n        peer: 192.0.2.1 is no pod's, and selectors select pods only\n"
          "        port: http is the name of a port, and 192.0.2.1 is no pod's\n");
    put(&f, KUBE_NETWORKPOLICY, NP("a", "'policyTypes':['Egress'],'egress':[{'to':[{'ipBlock':{'cidr':'192.0.2.0/24'}}]}]"));
    check(&f, true, "192.0.2.1", "tcp", 80,
          OUT "allowed, by NetworkPolicy/shop/a, egress[0]\n    NetworkPolicy/shop/a (tier NetworkPolicy)\n"
          "      egress[0] Accept: matches\n    NetworkPolicy/shop/b (tier NetworkPolicy)\n"
          "      egress[0] Accept: does not match\n        peer: 192.0.2.1 is no pod's, and selectors select pods only\n"
          "        port: http is the name of a port, and 192.0.2.1 is no pod's\n");
    /* A name is looked up in pods that a selector selects, not in those of a block. */
    put(&f, KUBE_NETWORKPOLICY, NP("a", "'policyTypes':['Egress'],'egress':[{'to':[{'ipBlock':{'cidr':'10.0.0.0/24'}}],"
                                        "'ports':[{'port':'http'}]}]"));
    char *text = told(&f, true, "shop/client", "tcp", 80, false);
    ck_assert_msg(strstr(text, "        port: http is the name of a port, and no selector of the rule selects pod shop/client\n")
                  != NULL, "%s", text);
    free(text);
    check(&f, false, "192.0.2.1", "tcp", 80, IN "allowed, no policy selects it in this direction\n");
    store_destroy(f.store);
}
END_TEST

/* networkpolicy 17: a name that a pod has twice for one protocol is the first of them; for another it is another. */
START_TEST(test_name_twice)
{
    struct fixture f;

    start(&f);
    put(&f, KUBE_POD, "{'metadata':{'name':'web','namespace':'shop'},'spec':{'containers':[{'ports':[{'name':'http','containerPort':80},"
                      "{'name':'http','containerPort':81},{'name':'http','containerPort':82,'protocol':'UDP'}]}]},"
                      "'status':{'podIP':'10.0.0.1'}}");
    put(&f, KUBE_NETWORKPOLICY, PORTS("{'port':'http'},{'port':'http','protocol':'UDP'}"));
    check(&f, false, "shop/client", "tcp", 80, IN BY_P MATCHES);
    check(&f, false, "shop/client", "udp", 82, IN BY_P MATCHES);
    char *text = told(&f, false, "shop/client", "tcp", 81, false);
    ck_assert_ptr_nonnull(strstr(text, "port: named port http is tcp/80 on pod shop/web, named port http is udp/82 on pod shop/web, not tcp; "));
    free(text);
    store_destroy(f.store);
}
END_TEST

/* networkpolicy 26, 28: the own node, and what no policy selects. */
START_TEST(test_exempt)
{
    struct fixture f;
    struct explain_question q = { .protocol = IPPROTO_TCP, .port = 80 };
    struct explanation e;

    start(&f);
    q.store = f.store;
    put(&f, KUBE_NETWORKPOLICY, NP("p", "'policyTypes':['Ingress','Egress']"));
    char *text = told(&f, false, "172.30.0.1", "tcp", 80, true);
    ck_assert_str_eq(text, IN "allowed, a pod's own node can always reach it\n");
    free(text);
    text = told(&f, false, "172.30.0.1", "tcp", 80, false);
    ck_assert_str_eq(text, IN DENIED "      has no rules in this direction: it allows nothing\n");
    free(text);

    find(&f, "shop/client", &q.from);
    find(&f, "shop/host", &q.to);
    policy_explain(&q, FLOW_INGRESS, &e);
    ck_assert(e.allowed && e.by == EXPLAIN_BY_EXEMPTION && strstr(e.exemption, "its node's network"));
    policy_explain_destroy(&e);
    policy_explain(&q, FLOW_EGRESS, &e);
    ck_assert(!e.allowed && e.by == EXPLAIN_BY_DEFAULT_DENY && e.n_policies == 1 && !e.n_rules);
    policy_explain_destroy(&e);
    find(&f, "192.0.2.1", &q.to);
    policy_explain(&q, FLOW_INGRESS, &e);
    ck_assert(e.allowed && e.by == EXPLAIN_BY_EXEMPTION && !e.subject);
    policy_explain_destroy(&e);
    store_destroy(f.store);
}
END_TEST

#define CNP(NAME, TIER, PRIORITY, RULES) \
    "{'metadata':{'name':'" NAME "'},'spec':{'tier':'" TIER "','priority':" #PRIORITY "," \
    "'subject':{'namespaces':{'matchLabels':{'env':'prod'}}}," RULES "}}"
#define ANY "'from':[{'namespaces':{}}]"

/* clusternetworkpolicy 1, 2, 3: tiers, priorities, order of rules, Pass. */
START_TEST(test_tiers)
{
    struct fixture f;

    start(&f);
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("low", "Admin", 20, "'ingress':[{'action':'Accept'," ANY "}]"));
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("base", "Baseline", 0, "'ingress':[{'action':'Deny'," ANY "}]"));
    check(&f, false, "shop/client", "tcp", 80,
          IN "allowed, by ClusterNetworkPolicy/low, ingress[0]\n    ClusterNetworkPolicy/low (tier Admin, priority 20)\n"
          "      ingress[0] Accept: matches\n");
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("high", "Admin", 10, "'ingress':[{'name':'only udp','action':'Deny'," ANY
                                           ",'protocols':[{'udp':{'destinationPort':{'number':80}}}]},{'action':'Pass'," ANY "}]"));
    check(&f, false, "shop/client", "tcp", 80,
          IN "denied, by ClusterNetworkPolicy/base, ingress[0]\n    ClusterNetworkPolicy/high (tier Admin, priority 10)\n"
          "      ingress[0] \"only udp\" Deny: does not match\n        port: tcp/80 is not udp\n      ingress[1] Pass: matches\n"
          "    ClusterNetworkPolicy/low (tier Admin, priority 20)\n      ingress[0] Accept: matches\n"
          "    ClusterNetworkPolicy/base (tier Baseline, priority 0)\n      ingress[0] Deny: matches\n");
    /* A NetworkPolicy is final: Baseline is not asked. */
    put(&f, KUBE_NETWORKPOLICY, FROM("{'podSelector':{}}"));
    char *text = told(&f, false, "shop/client", "tcp", 80, false);
    ck_assert_ptr_nonnull(strstr(text, IN BY_P));
    ck_assert_ptr_null(strstr(text, "Baseline"));
    free(text);
    text = told(&f, false, "shop/client", "udp", 80, false);
    ck_assert_ptr_nonnull(strstr(text, IN "denied, by ClusterNetworkPolicy/high, ingress[0]\n"));
    free(text);
    store_destroy(f.store);
}
END_TEST

/* clusternetworkpolicy 2: of equal priority the place in the object counts, then Deny. */
START_TEST(test_equal_priority)
{
    struct fixture f;

    start(&f);
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("a", "Admin", 5, "'ingress':[{'action':'Accept'," ANY "}]"));
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("b", "Admin", 5, "'ingress':[{'action':'Deny'," ANY "}]"));
    char *text = told(&f, false, "shop/client", "tcp", 80, false);
    ck_assert_ptr_nonnull(strstr(text, IN "denied, by ClusterNetworkPolicy/b, ingress[0]\n"));
    ck_assert_ptr_null(strstr(text, "either may win"));
    free(text);
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("b", "Admin", 5, "'ingress':[{'action':'Pass'," ANY "}]"));
    text = told(&f, false, "shop/client", "tcp", 80, false);
    ck_assert_ptr_nonnull(strstr(text, "either may win"));
    free(text);
    store_destroy(f.store);
}
END_TEST

/* clusternetworkpolicy 4, 5, 6: subjects, peers, ports. */
START_TEST(test_cnp_peers)
{
    static const struct { const char *rule, *peer, *protocol; int port; const char *want; } table[] = {
        { "'to':[{'networks':['10.0.0.0/30','fd00::/64']}]", "shop/client", "icmp", 0, "matches" },
        { "'to':[{'networks':['10.9.0.0/16','fd00::/64']}]", "192.0.2.1", "tcp", 80,
          "peer: 192.0.2.1 is not in 10.9.0.0/16; 192.0.2.1 is not in fd00::/64" },
        { "'to':[{'nodes':{'matchLabels':{'rack':'a'}}}]", "172.30.0.1", "tcp", 80, "matches" },
        { "'to':[{'nodes':{'matchLabels':{'rack':'b'}}}]", "172.30.0.1", "tcp", 80, "peer: node n1 has label rack=a, not b" },
        { "'to':[{'nodes':{}}]", "shop/client", "tcp", 80, "peer: 10.0.0.2 is no node's" },
        { "'to':[{'pods':{'namespaceSelector':{'matchLabels':{'env':'test'}},'podSelector':{'matchLabels':{'role':'x'}}}}]",
          "test/client", "tcp", 80, "peer: pod test/client has label role=client, not x" },
        { "'to':[{'namespaces':{}}]", "shop/host", "tcp", 80,
          "peer: pod shop/host is in its node's network: no selector selects it" },
        { "'to':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':{'range':{'start':80,'end':90}}}}]", "shop/client", "tcp",
          91, "port: tcp/91 is not in 80-90" },
        { "'to':[{'namespaces':{}}],'protocols':[{'destinationNamedPort':'http'}]", "shop/client", "tcp", 91,
          "port: pod shop/client has no port named http" },
        /* clusternetworkpolicy 7 */
        { "'to':[{'later':{}}]", "shop/client", "tcp", 80, "peer: this kind of peer is not known here: it matches nothing" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct fixture f;
        char *rule = xasprintf(CNP("p", "Admin", 5, "'egress':[{'action':'Accept',%s}]"), table[i].rule);

        start(&f);
        put(&f, KUBE_CLUSTERNETWORKPOLICY, rule);
        char *text = told(&f, true, table[i].peer, table[i].protocol, table[i].port, false);
        ck_assert_msg(strstr(text, table[i].want) != NULL, "%s:\n%s\nwanted %s", table[i].rule, text, table[i].want);
        free(text);
        free(rule);
        store_destroy(f.store);
    }
}
END_TEST

/* clusternetworkpolicy 5: domain names are the addresses that DNS answers told. */
START_TEST(test_domains)
{
    struct explain_question q = { .protocol = IPPROTO_TCP, .port = 443 };
    struct domain_entry entry = { .name = "*.example.com", .expires = 60000 };
    struct explanation e;
    struct fixture f;

    start(&f);
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("p", "Admin", 5, "'egress':[{'action':'Accept','to':["
                                           "{'domainNames':['other.org','*.Example.com.']}]}]"));
    q.store = f.store;
    q.domains = domains_create(60000);
    find(&f, "shop/web", &q.from);
    find(&f, "192.0.2.7", &q.to);
    policy_explain(&q, FLOW_EGRESS, &e);
    ck_assert(e.by == EXPLAIN_BY_NOTHING && e.n_rules == 1 && !e.rules[0].peer);
    ck_assert_str_eq(e.rules[0].why_peer, "no DNS answer here said that other.org has 192.0.2.7; "
                     "no DNS answer here said that *.example.com has 192.0.2.7");
    policy_explain_destroy(&e);

    entry.addr = q.to.addr;
    domains_restore(CONST_CAST(struct domains *, q.domains), &entry, 0);
    policy_explain(&q, FLOW_EGRESS, &e);
    ck_assert(e.by == EXPLAIN_BY_RULE && e.allowed);
    policy_explain_destroy(&e);
    domains_destroy(CONST_CAST(struct domains *, q.domains));
    store_destroy(f.store);
}
END_TEST

/* clusternetworkpolicy 7, 8: what is not understood closes; no rules have no effect. */
START_TEST(test_cnp_closed)
{
    struct fixture f;

    start(&f);
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("p", "Admin", 5, "'ingress':[]"));
    check(&f, false, "shop/client", "tcp", 80, IN "allowed, no policy selects it in this direction\n");
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("p", "Admin", 5, "'ingress':[{'action':'Pass','from':[{'later':{}}]}]"));
    check(&f, false, "192.0.2.1", "tcp", 80, IN "denied, by ClusterNetworkPolicy/p, ingress[0]\n"
          "    ClusterNetworkPolicy/p (tier Admin, priority 5)\n      ingress[0] Deny: matches\n");
    put(&f, KUBE_CLUSTERNETWORKPOLICY, CNP("p", "Admin", 5, "'ingress':[{'action':'Deny'," ANY ",'protocols':[{'dccp':{}}]}]"));
    check(&f, false, "shop/client", "icmp", 0, IN "denied, by ClusterNetworkPolicy/p, ingress[0]\n"
          "    ClusterNetworkPolicy/p (tier Admin, priority 5)\n      ingress[0] Deny: matches\n");
    store_destroy(f.store);
}
END_TEST

/* Long lists are told as far as a person reads. */
START_TEST(test_long)
{
    struct fixture f;
    struct ds peers = DS_EMPTY_INITIALIZER;

    start(&f);
    for (int i = 0; i < 100; i++) {
        ds_put_format(&peers, "%s{'ipBlock':{'cidr':'10.1.%d.0/24'}}", i ? "," : "", i);
    }
    char *policy = xasprintf(FROM("%s"), ds_cstr(&peers));
    put(&f, KUBE_NETWORKPOLICY, policy);
    char *text = told(&f, false, "shop/client", "tcp", 80, false);
    ck_assert_msg(strstr(text, "10.0.0.2 is not in 10.1.5.0/24; and 94 more\n") != NULL, "%s", text);
    free(text);
    free(policy);
    ds_destroy(&peers);
    store_destroy(f.store);
}
END_TEST

UNIT_MAIN("policy-explain", {
    tcase_add_loop_test(tc, test_networkpolicy, 0, ARRAY_SIZE(cases));
    tcase_add_test(tc, test_egress);
    tcase_add_test(tc, test_exempt);
    tcase_add_test(tc, test_name_twice);
    tcase_add_test(tc, test_tiers);
    tcase_add_test(tc, test_equal_priority);
    tcase_add_test(tc, test_cnp_peers);
    tcase_add_test(tc, test_cnp_closed);
    tcase_add_test(tc, test_domains);
    tcase_add_test(tc, test_long);
})
