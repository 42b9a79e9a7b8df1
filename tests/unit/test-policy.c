/* The policy core: what must hold (shared acceptance lists "networkpolicy N", "clusternetworkpolicy N"). */

#include <config.h>

#include "policy-world.h"

#include <inttypes.h>
#include <netinet/in.h>

#include "unit.h"
#include "util.h"

#define TCP IPPROTO_TCP
#define UDP IPPROTO_UDP

static struct world w;

/* Addresses of the pods that pod() makes: 10.0.0.N and fd00::N. */
#define A "10.0.0.1"
#define B "10.0.0.2"
#define C "10.0.0.3"
#define D "10.0.0.4"
#define OUTSIDE "192.0.2.1"

static void
setup(void)
{
    world_init(&w);
}

static void
teardown(void)
{
    ck_assert_msg(!w.failure, "%s", w.failure);
    world_destroy(&w);
}

static void
ns(const char *name, const char *labels)
{
    world_put(&w, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'%s','labels':{%s}}}", name, labels);
}

/* The pod 'ns'/'name' with number 'n', its labels and more of its spec ("'hostNetwork':true"). */
static void
pod(const char *ns_, const char *name, int n, const char *labels, const char *spec)
{
    world_put(&w, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'%s','labels':{%s}},"
              "'spec':{'nodeName':'here','containers':[]%s%s},"
              "'status':{'podIPs':[{'ip':'10.0.0.%d'},{'ip':'fd00::%d'}]}}",
              name, ns_, labels, *spec ? "," : "", spec, n, n);
}

/* The same, attached here. */
static void
local(const char *ns_, const char *name, int n, const char *labels, const char *spec)
{
    char *who = xasprintf("%s/%s", ns_, name), *addrs = xasprintf("10.0.0.%d fd00::%d", n, n);

    pod(ns_, name, n, labels, spec);
    world_attach(&w, n, who, addrs);
    free(who);
    free(addrs);
}

#define PORTS(...) "'containers':[{'name':'c','ports':[" __VA_ARGS__ "]}]"

static void
np(const char *ns_, const char *name, const char *spec)
{
    world_put(&w, "{'apiVersion':'networking.k8s.io/v1','kind':'NetworkPolicy',"
              "'metadata':{'name':'%s','namespace':'%s'},'spec':{%s}}", name, ns_, spec);
}

static void
cnp(const char *name, const char *spec)
{
    world_put(&w, "{'apiVersion':'policy.networking.k8s.io/v1alpha2','kind':'ClusterNetworkPolicy',"
              "'metadata':{'name':'%s'},'spec':{%s}}", name, spec);
}

static void
check(const char *src, const char *dst, int protocol, int port, bool allowed, int line)
{
    ck_assert_msg(world_allows(&w, src, dst, protocol, port) == allowed, "line %d: %s to %s protocol %d port %d is %s",
                  line, src, dst, protocol, port, allowed ? "denied" : "allowed");
}
#define YES(SRC, DST, PORT) check(SRC, DST, TCP, PORT, true, __LINE__)
#define NO(SRC, DST, PORT) check(SRC, DST, TCP, PORT, false, __LINE__)

/* Pods a/a, a/b, b/c, b/d with labels app=NAME, all here. */
static void
four(void)
{
    ns("a", "'team':'red'");
    ns("b", "'team':'blue'");
    local("a", "a", 1, "'app':'a'", "");
    local("a", "b", 2, "'app':'b','extra':'yes'", "");
    local("b", "c", 3, "'app':'c'", "");
    local("b", "d", 4, "'app':'d'", "");
}

/* Isolation. ------------------------------------------------------------------------------------------------------ */

/* networkpolicy 1, 2, 3, 6, 19 */
START_TEST(test_isolation)
{
    four();
    world_settle(&w);
    ck_assert_uint_eq(w.n_puts, 0);
    YES(A, C, 80);
    np("b", "deny", "'podSelector':{},'policyTypes':['Ingress']");
    world_settle(&w);
    NO(A, C, 80);
    NO(OUTSIDE, C, 80);
    YES(C, A, 80);                      /* Egress of C, ingress of A: neither is isolated. */
    np("b", "allow", "'podSelector':{},'ingress':[{'from':[{'namespaceSelector':{'matchLabels':{'team':'red'}}}]}]");
    world_settle(&w);
    YES(A, C, 80);
    NO(D, C, 80);
    np("a", "egress", "'podSelector':{'matchLabels':{'app':'a'}},'policyTypes':['Egress']");
    world_settle(&w);
    NO(A, C, 80);                       /* Its own egress. */
    YES(B, C, 80);
    YES(B, A, 80);
    world_remove(&w, "NetworkPolicy a/egress");
    world_remove(&w, "NetworkPolicy b/allow");
    world_settle(&w);
    NO(A, C, 80);
    world_remove(&w, "NetworkPolicy b/deny");
    world_settle(&w);
    YES(A, C, 80);
    ck_assert_uint_eq(hmap_count(&w.flows), 0);
}
END_TEST

/* networkpolicy 4 */
START_TEST(test_selectors)
{
    four();
    np("a", "p", "'podSelector':{'matchExpressions':[{'key':'app','operator':'In','values':['a','b']},"
       "{'key':'extra','operator':'DoesNotExist'}]}");
    world_settle(&w);
    NO(C, A, 80);
    YES(C, B, 80);
    YES(A, C, 80);
    np("a", "p", "'podSelector':{'matchExpressions':[{'key':'extra','operator':'NotIn','values':['no']}]}");
    world_settle(&w);
    NO(C, A, 80);                       /* Lacks the key. */
    NO(C, B, 80);
    np("a", "p", "'podSelector':{'matchExpressions':[{'key':'extra','operator':'Exists'}]}");
    world_settle(&w);
    YES(C, A, 80);
    NO(C, B, 80);
}
END_TEST

/* networkpolicy 5, 6 */
START_TEST(test_types)
{
    four();
    np("b", "p", "'podSelector':{},'policyTypes':['Egress'],'ingress':[]");
    world_settle(&w);
    NO(C, A, 80);
    YES(A, C, 80);
    np("b", "p", "'podSelector':{},'ingress':[{}]");
    world_settle(&w);
    YES(C, A, 80);
    YES(A, C, 80);
    np("b", "p", "'podSelector':{},'egress':[{}]");
    world_settle(&w);
    YES(C, A, 80);
    NO(A, C, 80);
}
END_TEST

/* Rules. ---------------------------------------------------------------------------------------------------------- */

/* networkpolicy 7, 8, 9, 10 */
START_TEST(test_peers)
{
    four();
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'from':[{'podSelector':{}}]}]");
    world_settle(&w);
    YES(D, C, 80);
    NO(A, C, 80);
    NO(OUTSIDE, C, 80);
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'from':["
       "{'namespaceSelector':{'matchLabels':{'team':'red'}},'podSelector':{'matchLabels':{'app':'a'}}}]}]");
    world_settle(&w);
    YES(A, C, 80);
    NO(B, C, 80);
    NO(D, C, 80);
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'from':["
       "{'namespaceSelector':{'matchLabels':{'team':'red'}}},{'podSelector':{'matchLabels':{'app':'d'}}}],"
       "'ports':[{'port':80}]},{'from':[{'namespaceSelector':{}}],'ports':[{'port':81}]}]");
    world_settle(&w);
    YES(A, C, 80);
    YES(D, C, 80);
    YES(B, C, 81);
    NO(B, C, 82);
    NO(OUTSIDE, C, 81);
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'ports':[{'port':81}]}]");
    world_settle(&w);
    YES(OUTSIDE, C, 81);
    YES(A, C, 81);
    NO(A, C, 80);
}
END_TEST

/* networkpolicy 11 */
START_TEST(test_namespace_name)
{
    local("a", "a", 1, "", "");
    local("b", "c", 3, "", "");
    np("b", "p", "'podSelector':{},'ingress':[{'from':[{'namespaceSelector':{'matchLabels':"
       "{'kubernetes.io/metadata.name':'a'}}}]}]");
    world_settle(&w);
    YES(A, C, 80);
    np("b", "p", "'podSelector':{},'ingress':[{'from':[{'namespaceSelector':{'matchLabels':"
       "{'kubernetes.io/metadata.name':'b'}}}]}]");
    world_settle(&w);
    NO(A, C, 80);
}
END_TEST

/* networkpolicy 12, 13 */
START_TEST(test_ip_block)
{
    four();
    np("b", "p", "'podSelector':{},'ingress':[{'from':[{'ipBlock':{'cidr':'192.0.2.0/24','except':['192.0.2.128/25']}}]},"
       "{'from':[{'ipBlock':{'cidr':'10.0.0.0/24','except':['10.0.0.2/32']}}]}]");
    world_settle(&w);
    YES(OUTSIDE, C, 80);
    NO("192.0.2.129", C, 80);
    NO("198.51.100.1", C, 80);
    YES(A, C, 80);                      /* A pod's address. */
    NO(B, C, 80);
    NO("fd00::1", "fd00::3", 80);
    np("b", "q", "'podSelector':{},'ingress':[{'from':[{'ipBlock':{'cidr':'192.0.2.129/32'}}]},"
       "{'from':[{'podSelector':{'matchLabels':{'app':'b'}},'namespaceSelector':{}}]}]");
    world_settle(&w);
    YES("192.0.2.129", C, 80);
    YES(B, C, 80);                      /* By the other rule. */
    YES("fd00::2", "fd00::3", 80);
    np("b", "p", "'podSelector':{},'ingress':[{'from':[{'ipBlock':{'cidr':'0.0.0.0/0'}}]}]");
    world_settle(&w);
    YES("198.51.100.1", C, 80);
    YES(A, C, 80);
    NO("fd00::1", "fd00::3", 80);
    NO("2001:db8::1", "fd00::3", 80);
}
END_TEST

/* networkpolicy 15, 18, 31 */
START_TEST(test_ports)
{
    four();
    np("b", "p", "'podSelector':{},'ingress':[{'ports':[{'port':53,'endPort':84},{'port':32000,'endPort':32768},"
       "{'protocol':'UDP','port':1,'endPort':65535}]}]");
    world_settle(&w);
    for (int port = 50; port < 90; port++) {
        check(A, C, TCP, port, port >= 53 && port <= 84, __LINE__);
        check(A, C, UDP, port, true, __LINE__);
        check(A, C, IPPROTO_SCTP, port, false, __LINE__);
    }
    NO(A, C, 31999);
    YES(A, C, 32000);
    YES(A, C, 32768);
    NO(A, C, 32769);
    check(A, C, UDP, 0, false, __LINE__);
    check(A, C, IPPROTO_ICMP, 0, false, __LINE__);
    np("b", "p", "'podSelector':{},'ingress':[{'ports':[{'protocol':'SCTP'}]},"
       "{'from':[{'podSelector':{'matchLabels':{'app':'d'}}}]}]");
    world_settle(&w);
    NO(A, C, 80);
    check(A, C, IPPROTO_SCTP, 7, true, __LINE__);
    check(D, C, IPPROTO_ICMP, 0, true, __LINE__);
}
END_TEST

/* networkpolicy 17: ingress */
START_TEST(test_named_ingress)
{
    four();
    local("b", "c", 3, "'app':'c'", PORTS("{'name':'web','containerPort':80},{'name':'dns','containerPort':53,'protocol':'UDP'}"));
    local("b", "d", 4, "'app':'d'", PORTS("{'name':'web','containerPort':8080}"));
    np("b", "p", "'podSelector':{},'ingress':[{'ports':[{'port':'web'},{'port':'dns'}]}]");
    world_settle(&w);
    YES(A, C, 80);
    NO(A, C, 8080);
    YES(A, D, 8080);
    NO(A, D, 80);
    NO(A, C, 53);                       /* The name is another protocol's. */
    check(A, C, UDP, 53, false, __LINE__);
    np("b", "p", "'podSelector':{},'ingress':[{'ports':[{'port':'dns','protocol':'UDP'},{'port':22}],"
       "'from':[{'ipBlock':{'cidr':'192.0.2.0/24'}}]}]");
    world_settle(&w);
    check(OUTSIDE, C, UDP, 53, true, __LINE__);
    check(OUTSIDE, D, UDP, 53, false, __LINE__);
    check(A, C, UDP, 53, false, __LINE__);
    YES(OUTSIDE, D, 22);
    local("b", "d", 4, "'app':'d'", PORTS("{'name':'dns','containerPort':5353,'protocol':'UDP'}"));
    world_settle(&w);
    check(OUTSIDE, D, UDP, 53, false, __LINE__);
    check(OUTSIDE, D, UDP, 5353, true, __LINE__);
}
END_TEST

/* networkpolicy 17: egress */
START_TEST(test_named_egress)
{
    four();
    pod("b", "c", 3, "'app':'c'", PORTS("{'name':'web','containerPort':80}"));
    pod("b", "d", 4, "'app':'d'", PORTS("{'name':'web','containerPort':8080}"));
    np("a", "p", "'podSelector':{'matchLabels':{'app':'a'}},'egress':[{'ports':[{'port':'web'},{'port':443}],"
       "'to':[{'namespaceSelector':{'matchLabels':{'team':'blue'}}},{'ipBlock':{'cidr':'0.0.0.0/0'}}]}]");
    world_settle(&w);
    YES(A, C, 80);
    NO(A, C, 8080);
    YES(A, D, 8080);
    NO(A, D, 80);
    YES(A, D, 443);
    YES(A, OUTSIDE, 443);
    NO(A, OUTSIDE, 80);                 /* Never an ipBlock, */
    YES(A, B, 443);
    NO(A, B, 80);
    np("a", "p", "'podSelector':{'matchLabels':{'app':'a'}},'egress':[{'ports':[{'port':'web'}]}]");
    world_settle(&w);
    YES(A, C, 80);
    YES(A, D, 8080);
    NO(A, C, 443);
    NO(A, OUTSIDE, 80);                 /* nor what is outside. */
    ck_assert_uint_eq(world_identity(&w, FLOW_EGRESS, B), 0);
    world_remove(&w, "Pod b/d");
    world_settle(&w);
    NO(A, D, 8080);
    pod("b", "d", 4, "'app':'d'", PORTS("{'name':'web','containerPort':9090}"));
    world_settle(&w);
    YES(A, D, 9090);
    NO(A, D, 8080);
}
END_TEST

/* Dynamics. ------------------------------------------------------------------------------------------------------- */

/* networkpolicy 20 */
START_TEST(test_relabel)
{
    four();
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'from':["
       "{'namespaceSelector':{'matchLabels':{'team':'red'}}}]}]");
    world_settle(&w);
    YES(A, C, 80);
    YES(A, D, 80);
    NO(D, C, 80);
    ns("a", "'team':'green'");
    world_settle(&w);
    NO(A, C, 80);
    ns("b", "'team':'red'");
    world_settle(&w);
    YES(D, C, 80);
    local("b", "d", 4, "'app':'c'", "");
    world_settle(&w);
    NO(A, D, 80);
    YES(C, D, 80);
    world_remove(&w, "Namespace /b");
    world_settle(&w);
    NO(C, D, 80);
}
END_TEST

/* networkpolicy 21, 28 */
START_TEST(test_address_reuse)
{
    four();
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'from':[{'namespaceSelector':{},"
       "'podSelector':{'matchLabels':{'app':'x'}}}]}]");
    pod("a", "x", 9, "'app':'x'", "");
    world_settle(&w);
    YES("10.0.0.9", C, 80);
    world_put(&w, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'x','namespace':'a','labels':{'app':'x'}},"
              "'spec':{},'status':{'phase':'Succeeded','podIPs':[{'ip':'10.0.0.9'}]}}");
    world_settle(&w);
    NO("10.0.0.9", C, 80);
    pod("a", "y", 9, "'app':'y'", "");
    world_settle(&w);
    NO("10.0.0.9", C, 80);
    pod("a", "x", 10, "'app':'x'", "'hostNetwork':true");
    world_settle(&w);
    NO("10.0.0.10", C, 80);
    pod("a", "x", 10, "'app':'x'", "");
    world_settle(&w);
    YES("10.0.0.10", C, 80);
    world_remove(&w, "Pod a/x");
    world_settle(&w);
    NO("10.0.0.10", C, 80);
}
END_TEST

/* The address of an attachment counts before the API knows it (networkpolicy 22), and more than what the API says. */
START_TEST(test_local_address)
{
    four();
    world_put(&w, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'new','namespace':'a','labels':{'app':'new'}}}");
    world_attach(&w, 7, "a/new", "10.0.0.7");
    np("b", "p", "'podSelector':{},'ingress':[{'from':[{'namespaceSelector':{},'podSelector':{'matchLabels':{'app':'new'}}}]}]");
    np("a", "p", "'podSelector':{'matchLabels':{'app':'new'}},'policyTypes':['Ingress']");
    world_settle(&w);
    YES("10.0.0.7", C, 80);
    NO(C, "10.0.0.7", 80);
    pod("b", "old", 7, "'app':'old'", "");
    world_settle(&w);
    YES("10.0.0.7", C, 80);
    world_attach(&w, 7, NULL, NULL);
    world_settle(&w);
    NO("10.0.0.7", C, 80);
}
END_TEST

/* The cost of an event does not depend on what it does not concern: 5,000 policies, one pod comes and goes. */
START_TEST(test_constant)
{
    four();
    for (int i = 0; i < 5000; i++) {
        char *name = xasprintf("p%d", i);
        char *spec = xasprintf("'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'from':[{'podSelector':"
                               "{'matchLabels':{'app':'n%d'}}}],'ports':[{'port':%d}]}]", i, i % 100 + 1);
        np("b", name, spec);
        free(name);
        free(spec);
    }
    world_settle(&w);
    pod("b", "new", 9, "'app':'n77'", "");
    world_settle(&w);
    ck_assert_uint_le(w.n_puts, 3);     /* The identity's clause, two addresses. */
    ck_assert_uint_eq(w.n_drops, 0);
    YES("10.0.0.9", C, 78);
    NO("10.0.0.9", C, 79);
    pod("b", "new", 9, "'app':'n77','other':'x'", "");
    world_settle(&w);
    ck_assert_uint_eq(w.n_puts + w.n_drops, 0);
    pod("b", "new", 9, "'app':'n78'", "");
    world_settle(&w);
    ck_assert_uint_le(w.n_puts, 3);
    ck_assert_uint_eq(w.n_drops, 1);
    world_remove(&w, "Pod b/new");
    world_settle(&w);
    ck_assert_uint_eq(w.n_drops, 3);
    pod("b", "unknown", 9, "'app':'other'", "");
    world_settle(&w);
    ck_assert_uint_eq(w.n_puts + w.n_drops, 0);
}
END_TEST

/* ClusterNetworkPolicy. ------------------------------------------------------------------------------------------- */

#define ALL "'subject':{'namespaces':{}}"

/* clusternetworkpolicy 1, 2, 3 */
START_TEST(test_tiers)
{
    four();
    cnp("deny", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Deny','from':[{'namespaces':{}}]}]");
    world_settle(&w);
    NO(A, C, 80);
    YES(OUTSIDE, C, 80);
    cnp("accept", "'tier':'Admin','priority':5," ALL ",'ingress':[{'action':'Accept','from':[{'pods':"
        "{'podSelector':{'matchLabels':{'app':'a'}}}}],'protocols':[{'tcp':{'destinationPort':{'number':80}}}]}]");
    world_settle(&w);
    YES(A, C, 80);
    NO(A, C, 81);
    NO(B, C, 80);
    cnp("accept", "'tier':'Admin','priority':11," ALL ",'ingress':[{'action':'Accept','from':[{'namespaces':{}}]}]");
    world_settle(&w);
    NO(A, C, 80);
    cnp("accept", "'tier':'Admin','priority':9," ALL ",'ingress':[{'action':'Pass','from':[{'namespaces':{}}]}]");
    cnp("base", "'tier':'Baseline','priority':0," ALL ",'ingress':[{'action':'Accept','from':[{'pods':"
        "{'podSelector':{'matchLabels':{'app':'b'}}}}]},{'action':'Deny','from':[{'namespaces':{}}]}]");
    world_settle(&w);
    NO(A, C, 80);                       /* Passed the admin tier; the baseline denies. */
    YES(B, C, 80);
    YES(OUTSIDE, C, 80);
    np("b", "p", "'podSelector':{},'ingress':[{'from':[{'namespaceSelector':{},'podSelector':{'matchLabels':{'app':'a'}}}]}]");
    world_settle(&w);
    YES(A, C, 80);                      /* NetworkPolicy is final, */
    NO(B, C, 80);                       /* both ways. */
    world_remove(&w, "ClusterNetworkPolicy /accept");
    world_settle(&w);
    NO(A, C, 80);
}
END_TEST

/* clusternetworkpolicy 2: order in one object; 3: the other direction counts as well. */
START_TEST(test_order)
{
    four();
    cnp("p", "'tier':'Admin','priority':10," ALL ",'egress':["
        "{'action':'Accept','to':[{'networks':['10.0.0.3/32']}],'protocols':[{'tcp':{'destinationPort':{'range':"
        "{'start':80,'end':90}}}}]},{'action':'Deny','to':[{'networks':['10.0.0.0/24','0.0.0.0/0']}]}]");
    np("b", "p", "'podSelector':{'matchLabels':{'app':'c'}},'ingress':[{'ports':[{'port':80}]}]");
    world_settle(&w);
    YES(A, C, 80);
    NO(A, C, 85);                       /* Ingress. */
    NO(A, C, 91);
    NO(A, D, 80);
    NO(A, OUTSIDE, 80);
    check(A, OUTSIDE, IPPROTO_ICMP, 0, false, __LINE__);
    YES("fd00::1", "fd00::4", 80);
}
END_TEST

/* networkpolicy 28: a block with a node's address holds the address by which the node's packets come, too. */
START_TEST(test_node_gateway)
{
    four();
    local("b", "c", 3, "'app':'c'", "");
    np("b", "p", "'podSelector':{},'policyTypes':['Ingress','Egress'],"
       "'ingress':[{'from':[{'ipBlock':{'cidr':'192.0.2.0/24','except':['192.0.2.2/32']}}]}],"
       "'egress':[{'to':[{'ipBlock':{'cidr':'192.0.2.0/24'}}]}]");
    world_settle(&w);
    NO("10.9.0.1", C, 80);
    world_put(&w, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n1'},'spec':{'podCIDRs':['10.9.0.0/24']},"
              "'status':{'addresses':[{'type':'InternalIP','address':'192.0.2.1'}]}}");
    world_settle(&w);
    YES("10.9.0.1", C, 80);
    NO("10.9.0.2", C, 80);
    NO(C, "10.9.0.1", 80);
    world_put(&w, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n1'},'spec':{'podCIDRs':['10.9.0.0/24']},"
              "'status':{'addresses':[{'type':'InternalIP','address':'192.0.2.2'}]}}");
    world_settle(&w);
    NO("10.9.0.1", C, 80);
    world_remove(&w, "Node /n1");
    world_settle(&w);
    NO("10.9.0.1", C, 80);
}
END_TEST

/* clusternetworkpolicy 4, 5: subjects and peers by namespaces, by pods; nodes. */
START_TEST(test_cnp_peers)
{
    four();
    world_put(&w, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n1','labels':{'role':'db'}},'status':{'addresses':"
              "[{'type':'InternalIP','address':'192.0.2.1'},{'type':'ExternalIP','address':'198.51.100.1'}]}}");
    cnp("p", "'tier':'Admin','priority':10,'subject':{'pods':{'namespaceSelector':{'matchLabels':{'team':'red'}},"
        "'podSelector':{'matchLabels':{'app':'a'}}}},'egress':["
        "{'action':'Accept','to':[{'nodes':{'matchLabels':{'role':'db'}}}]},"
        "{'action':'Deny','to':[{'networks':['192.0.2.0/24','198.51.100.0/24']},{'namespaces':{'matchLabels':{'team':'blue'}}}]}]");
    world_settle(&w);
    YES(A, OUTSIDE, 80);
    YES(A, "198.51.100.1", 80);
    NO(A, "192.0.2.2", 80);
    NO(A, C, 80);
    YES(A, B, 80);
    YES(B, "192.0.2.2", 80);
    world_put(&w, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n1','labels':{'role':'db'}},'status':{'addresses':"
              "[{'type':'InternalIP','address':'192.0.2.2'}]}}");
    world_settle(&w);
    NO(A, OUTSIDE, 80);
    YES(A, "192.0.2.2", 80);
    world_remove(&w, "Node /n1");
    world_settle(&w);
    NO(A, "192.0.2.2", 80);
}
END_TEST

/* clusternetworkpolicy 6 */
START_TEST(test_cnp_named)
{
    four();
    local("b", "c", 3, "'app':'c'", PORTS("{'name':'web','containerPort':80},{'name':'dns','containerPort':53,'protocol':'UDP'}"));
    cnp("p", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Deny','from':[{'namespaces':{}}],"
        "'protocols':[{'destinationNamedPort':'dns'},{'udp':{'destinationPort':{'range':{'start':1,'end':65535}}}}]}]");
    world_settle(&w);
    check(A, C, UDP, 53, false, __LINE__);
    check(A, C, UDP, 54, false, __LINE__);
    YES(A, C, 53);
    YES(A, C, 80);
    cnp("p", "'tier':'Admin','priority':10," ALL ",'egress':[{'action':'Deny','to':[{'namespaces':{}}],"
        "'protocols':[{'destinationNamedPort':'dns'},{'destinationNamedPort':'web'}]}]");
    world_settle(&w);
    check(A, C, UDP, 53, false, __LINE__);
    check(A, C, UDP, 54, true, __LINE__);
    NO(A, C, 80);
    YES(A, D, 80);
    YES(A, OUTSIDE, 80);
}
END_TEST

/* clusternetworkpolicy 7, 8 */
START_TEST(test_unknown)
{
    four();
    cnp("p", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Accept','from':[{'telepathy':{}},"
        "{'pods':{'podSelector':{'matchLabels':{'app':'a'}}}}]},{'action':'Deny','from':[{'namespaces':{}}]}]");
    world_settle(&w);
    NO(A, C, 80);
    NO(B, C, 80);
    cnp("p", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Deny','from':[{'telepathy':{}}],"
        "'protocols':[{'tcp':{'destinationPort':{'number':80}}}]}]");
    world_settle(&w);
    NO(A, C, 81);
    NO(OUTSIDE, C, 81);
    cnp("p", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Pass','from':[{'telepathy':{}}]}]");
    world_settle(&w);
    NO(OUTSIDE, C, 81);
    cnp("p", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Deny','from':[{'namespaces':{}}],"
        "'protocols':[{'quic':{}}]}]");
    world_settle(&w);
    NO(A, C, 80);
    cnp("p", "'tier':'Admin','priority':10," ALL ",'ingress':[{'action':'Accept','from':[{'namespaces':{}}],"
        "'protocols':[{'quic':{}}]},{'action':'Deny','from':[{'namespaces':{}}]}]");
    world_settle(&w);
    NO(A, C, 80);
    cnp("p", "'tier':'Admin','priority':10," ALL);
    world_settle(&w);
    YES(A, C, 80);
    ck_assert_uint_eq(hmap_count(&w.flows), 0);
}
END_TEST

/* Looking at it. -------------------------------------------------------------------------------------------------- */

static void
note_info(const struct policy_info *info, void *ds_)
{
    ds_put_format(ds_, "%s %"PRIuSIZE" %"PRIuSIZE"%s%s; ", info->object->name, info->n_pods[0], info->n_pods[1],
                  info->problem ? " " : "", info->problem ? info->problem : "");
}

static void
note_rule(const struct policy_rule_ref *ref, uint64_t cookie OVS_UNUSED, void *ds_)
{
    ds_put_format(ds_, "%s %d %d %"PRIuSIZE" %s; ", ref->object->name, ref->direction, ref->action, ref->index,
                  ref->name ? ref->name : "-");
}

static void
note_shared(const struct policy_rule_ref *ref, void *ds)
{
    note_rule(ref, 0, ds);
}

static void
note_cookie(const struct policy_rule_ref *ref OVS_UNUSED, uint64_t cookie, void *out)
{
    *(uint64_t *) out = cookie;
}

static void
check_text(struct ds *ds, const char *want)
{
    ck_assert_str_eq(ds_cstr(ds), want);
    ds_clear(ds);
}

START_TEST(test_info)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct policy_stats stats;
    uint64_t cookie = 0;

    four();
    np("b", "p", "'podSelector':{},'ingress':[{'ports':[{'port':80}]},{'from':[{'podSelector':{}}]}]");
    np("b", "q", "'podSelector':{},'ingress':[{'ports':[{'port':80}]}],'egress':[]");
    np("c", "r", "'podSelector':{},'ingress':[{}]");
    cnp("t", "'tier':'Admin','priority':10," ALL ",'egress':[{'name':'one','action':'Deny','to':[{'telepathy':{}}]}]");
    world_settle(&w);
    policy_for_each(w.policy, note_info, &ds);
    check_text(&ds, "p 0 2; q 0 2; r 0 0; t 4 0 a peer is of a kind that this version does not know: its rule denies "
               "everything; ");
    const struct kube_object *p = shash_find_data(&w.objects, "NetworkPolicy b/p");
    policy_for_each_rule(w.policy, p, note_rule, &ds);
    check_text(&ds, "p 1 0 0 -; p 1 0 1 -; ");
    policy_for_each_rule(w.policy, shash_find_data(&w.objects, "NetworkPolicy b/q"), note_cookie, &cookie);
    policy_rules_of_cookie(w.policy, cookie, note_shared, &ds);
    check_text(&ds, "p 1 0 0 -; q 1 0 0 -; ");
    policy_rules_of_cookie(w.policy, 7, note_shared, &ds);
    check_text(&ds, "");

    struct flow_set flows = FLOW_SET_INIT;      /* By the number that the rule's flow matches. */
    policy_get_flows(w.policy, &flows);
    for (size_t i = 0; i < flows.n_flows; i++) {
        if (flows.flows[i]->cookie == cookie) {
            struct match match;
            minimatch_expand(&flows.flows[i]->match, &match);
            policy_rules_of_conj(w.policy, match.flow.conj_id, note_shared, &ds);
        }
    }
    check_text(&ds, "p 1 0 0 -; q 1 0 0 -; ");
    policy_rules_of_conj(w.policy, 0, note_shared, &ds);
    check_text(&ds, "");
    flow_set_destroy(&flows);
    policy_get_stats(w.policy, &stats);
    ck_assert_uint_eq(stats.n_policies, 4);
    ck_assert_uint_eq(stats.n_relevant, 3);
    ck_assert_uint_eq(stats.n_rules, 3);
    ck_assert_uint_eq(stats.n_conjs, 3);
    ds_destroy(&ds);
}
END_TEST

#define ADD(NAME) tcase_add_test(tc, NAME)
UNIT_MAIN("policy", {
    tcase_add_checked_fixture(tc, setup, teardown);
    ADD(test_isolation); ADD(test_selectors); ADD(test_types); ADD(test_peers); ADD(test_namespace_name);
    ADD(test_ip_block); ADD(test_node_gateway); ADD(test_ports); ADD(test_named_ingress); ADD(test_named_egress); ADD(test_relabel);
    ADD(test_address_reuse); ADD(test_local_address); ADD(test_constant); ADD(test_tiers); ADD(test_order);
    ADD(test_cnp_peers); ADD(test_cnp_named); ADD(test_unknown); ADD(test_info);
})
