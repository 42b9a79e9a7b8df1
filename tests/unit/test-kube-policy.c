/* controller/kube-policy.h: the decoders of NetworkPolicy and ClusterNetworkPolicy.  Names of tests are items of the lists of what must
 * hold for them: "np 5" is item 5 of NetworkPolicy's, "cnp 7" item 7 of ClusterNetworkPolicy's. */
#include <config.h>

#include "controller/kube-policy.h"
#include "controller/store.h"
#include "intern.h"
#include "kube-decode-test.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"

/* Selectors.  np 4, np 9. ---------------------------------------------------------------------------------------- */

static const struct labels *
labels_of(const char *text)
{
    const struct labels *labels;
    json_t *json = load_quoted(text);

    ck_assert(!labels_decode(json, true, NULL, &labels, NULL));
    json_decref(json);
    return labels;
}

START_TEST(test_selector)
{
    static const struct { const char *selector, *labels; bool matches; } cases[] = {
        { "{}", "{}", true }, { "{}", "{'a':'1'}", true },
        { "{'matchLabels':{'a':'1'}}", "{'a':'1','b':'2'}", true },
        { "{'matchLabels':{'a':'1'}}", "{'a':'2'}", false },
        { "{'matchLabels':{'a':'1'}}", "{}", false },
        { "{'matchLabels':{'a':''}}", "{'a':''}", true },
        { "{'matchLabels':{'a':'1','b':'2'}}", "{'a':'1'}", false },
        { "{'matchExpressions':[{'key':'a','operator':'In','values':['3','1','2','1']}]}", "{'a':'2'}", true },
        { "{'matchExpressions':[{'key':'a','operator':'In','values':['1','2']}]}", "{'a':'3'}", false },
        { "{'matchExpressions':[{'key':'a','operator':'In','values':['1','2']}]}", "{'b':'1'}", false },
        { "{'matchExpressions':[{'key':'a','operator':'In','values':['']}]}", "{'a':''}", true },
        { "{'matchExpressions':[{'key':'a','operator':'NotIn','values':['1','2']}]}", "{'a':'3'}", true },
        { "{'matchExpressions':[{'key':'a','operator':'NotIn','values':['1','2']}]}", "{'a':'1'}", false },
        { "{'matchExpressions':[{'key':'a','operator':'NotIn','values':['1','2']}]}", "{}", true },
        { "{'matchExpressions':[{'key':'a','operator':'Exists'}]}", "{'a':''}", true },
        { "{'matchExpressions':[{'key':'a','operator':'Exists','values':[]}]}", "{'b':''}", false },
        { "{'matchExpressions':[{'key':'a','operator':'DoesNotExist','values':null}]}", "{'b':''}", true },
        { "{'matchExpressions':[{'key':'a','operator':'DoesNotExist'}]}", "{'a':'1'}", false },
        { "{'matchLabels':{'a':'1'},'matchExpressions':[{'key':'b','operator':'Exists'}]}", "{'a':'1'}", false },
        { "{'matchLabels':{'a':'1'},'matchExpressions':[{'key':'a','operator':'NotIn','values':['1']}]}", "{'a':'1'}", false },
        { "{'matchLabels':{'kubernetes.io/metadata.name':'x'}}", "{'kubernetes.io/metadata.name':'x'}", true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *body = xasprintf("'spec':{'podSelector':%s}", cases[i].selector);
        const struct kube_object *o = decode_good(KUBE_NETWORKPOLICY, body);
        const struct labels *labels = labels_of(cases[i].labels);

        ck_assert_msg(kube_selector_matches(&kube_networkpolicy_cast(o)->pods, labels) == cases[i].matches, "%s, %s",
                      cases[i].selector, cases[i].labels);
        intern_unref(labels);
        kube_object_destroy(o);
        free(body);
    }
}
END_TEST

/* The same selector, however it is written, is equal. */
START_TEST(test_selector_canonical)
{
    static const char *const same[] = {
        "{'matchLabels':{'a':'1','b':'2'}}", "{'matchLabels':{'b':'2','a':'1'},'matchExpressions':[]}",
        "{'matchExpressions':[{'key':'b','operator':'In','values':['2','2']}],'matchLabels':{'a':'1','b':'2'}}",
        "{'matchExpressions':[{'key':'b','operator':'In','values':['2']},{'key':'a','operator':'In','values':['1']}]}",
    };
    static const char *const other[] = {
        "{}", "{'matchLabels':{'a':'1'}}", "{'matchLabels':{'a':'1','b':'3'}}", "{'matchLabels':{'a':'1','c':'2'}}",
        "{'matchExpressions':[{'key':'b','operator':'NotIn','values':['2']},{'key':'a','operator':'In','values':['1']}]}",
        "{'matchExpressions':[{'key':'b','operator':'In','values':['2','3']},{'key':'a','operator':'In','values':['1']}]}",
    };
    const struct kube_object *first = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(same) + ARRAY_SIZE(other); i++) {
        bool is_same = i < ARRAY_SIZE(same);
        char *body = xasprintf("'spec':{'podSelector':%s}", is_same ? same[i] : other[i - ARRAY_SIZE(same)]);
        const struct kube_object *o = decode_good(KUBE_NETWORKPOLICY, body);

        if (!first) {
            first = kube_object_ref(o);
        }
        ck_assert_msg(kube_selector_equal(&kube_networkpolicy_cast(o)->pods, &kube_networkpolicy_cast(first)->pods) == is_same
                      && kube_object_equal(o, first) == is_same, "%s", body);
        kube_object_destroy(o);
        free(body);
    }
    kube_object_destroy(first);
}
END_TEST

/* NetworkPolicy. ------------------------------------------------------------------------------------------------- */

/* np 5, np 6. */
START_TEST(test_policy_types)
{
    static const struct { const char *body; bool ingress, egress; } cases[] = {
        { "", true, false },
        { "'spec':{}", true, false },
        { "'spec':{'policyTypes':null,'egress':[]}", true, false },
        { "'spec':{'policyTypes':[],'egress':[{}]}", true, true },
        { "'spec':{'egress':[{}]}", true, true },
        { "'spec':{'policyTypes':['Ingress'],'egress':[{}]}", true, false },
        { "'spec':{'policyTypes':['Egress'],'ingress':[{}]}", false, true },
        { "'spec':{'policyTypes':['Egress','Ingress']}", true, true },
        { "'spec':{'policyTypes':['Egress','Egress']}", false, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct kube_object *o = decode_good(KUBE_NETWORKPOLICY, cases[i].body);
        const struct kube_networkpolicy *np = kube_networkpolicy_cast(o);
        ck_assert_msg(np->isolates_ingress == cases[i].ingress && np->isolates_egress == cases[i].egress, "%s", cases[i].body);
        ck_assert(!np->pods.n_requirements);
        kube_object_destroy(o);
    }
}
END_TEST

/* np 7 to 9, np 12, np 15 to 18. */
START_TEST(test_np_rules)
{
    const struct kube_object *o = decode_good(
        KUBE_NETWORKPOLICY,
        "'spec':{'podSelector':{'matchLabels':{'app':'db'}},'ingress':[{},"
        "{'from':[{'podSelector':{}},{'namespaceSelector':{}},{'podSelector':{'matchLabels':{'a':'b'}},'namespaceSelector':{}},"
        "{'ipBlock':{'cidr':'10.0.0.7/8','except':['10.1.0.0/16','10.2.3.4/32']}},{'ipBlock':{'cidr':'fd00::/8'}},{'later':{}}],"
        "'ports':[{},{'port':80},{'protocol':'UDP'},{'protocol':'SCTP','port':'http'},{'port':53,'endPort':84},"
        "{'port':1,'endPort':65535},{'port':7,'endPort':7}]}],'egress':[{'to':[],'ports':[{'port':'dns','protocol':'UDP'}]}]}");
    const struct kube_networkpolicy *np = kube_networkpolicy_cast(o);
    ck_assert(np->n_ingress == 2 && !np->ingress[0].n_peers && !np->ingress[0].n_ports);

    const struct kube_np_peer *p = np->ingress[1].peers;
    ck_assert(np->ingress[1].n_peers == 6);
    ck_assert(p[0].pods && !p[0].namespaces && !p[0].ip_block);
    ck_assert(!p[1].pods && p[1].namespaces);
    ck_assert(p[2].pods && p[2].namespaces && p[2].pods->n_requirements == 1);
    char s[INET_PREFIX_STRLEN];
    ck_assert_str_eq(inet_prefix_format(&p[3].ip_block->cidr, s), "10.0.0.0/8");
    ck_assert(p[3].ip_block->n_except == 2);
    ck_assert_str_eq(inet_prefix_format(&p[3].ip_block->except[1], s), "10.2.3.4/32");
    ck_assert_str_eq(inet_prefix_format(&p[4].ip_block->cidr, s), "fd00::/8");
    ck_assert(!p[5].pods && !p[5].namespaces && !p[5].ip_block);

    static const struct { uint8_t protocol; uint16_t first, last; const char *name; } want[] = {
        { IPPROTO_TCP, 0, 65535, NULL }, { IPPROTO_TCP, 80, 80, NULL }, { IPPROTO_UDP, 0, 65535, NULL },
        { IPPROTO_SCTP, 0, 65535, "http" }, { IPPROTO_TCP, 53, 84, NULL }, { IPPROTO_TCP, 1, 65535, NULL },
        { IPPROTO_TCP, 7, 7, NULL },
    };
    ck_assert(np->ingress[1].n_ports == ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        const struct kube_policy_port *port = &np->ingress[1].ports[i];
        ck_assert(port->protocol == want[i].protocol && port->first == want[i].first && port->last == want[i].last && !port->unknown);
        ck_assert_pstr_eq(port->name, want[i].name);
    }
    ck_assert(np->n_egress == 1 && !np->egress[0].n_peers && np->egress[0].n_ports == 1);
    kube_object_destroy(o);
}
END_TEST

#define INGRESS(RULE) "'spec':{'ingress':[" RULE "]}"
#define FROM(PEER) INGRESS("{},{'from':[" PEER "]}")
#define PORT(PORT) INGRESS("{'ports':[{}," PORT "]}")

START_TEST(test_np_bad)
{
    static const struct { const char *body, *want; } cases[] = {
        { "'spec':[]", "spec: must be an object" },
        { "'spec':{'podSelector':[]}", "spec.podSelector: must be an object" },
        { "'spec':{'podSelector':{'matchLabels':[]}}", "spec.podSelector.matchLabels: must be an object" },
        { "'spec':{'podSelector':{'matchLabels':{'a':1}}}", "spec.podSelector.matchLabels: the value of \"a\" must be" },
        { "'spec':{'podSelector':{'matchExpressions':{}}}", "spec.podSelector.matchExpressions: must be a list" },
        { "'spec':{'podSelector':{'matchExpressions':[7]}}", "spec.podSelector.matchExpressions[0]: must be an object" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'a'}]}}", "matchExpressions[0].operator: is missing" },
        { "'spec':{'podSelector':{'matchExpressions':[{'operator':'Exists'}]}}", "matchExpressions[0].key: is missing" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'','operator':'Exists'}]}}", "[0].key: is missing" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'a','operator':'Gt','values':['1']}]}}",
          "operator: \"Gt\" is not In, NotIn, Exists or DoesNotExist" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'a','operator':'In'}]}}", "[0].values: must have a value" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'a','operator':'NotIn','values':[]}]}}", "values: must have" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'a','operator':'Exists','values':['x']}]}}", "values: must be empty" },
        { "'spec':{'podSelector':{'matchExpressions':[{'key':'a','operator':'In','values':[7]}]}}", "values[0]: must be a string" },
        { "'spec':{'policyTypes':'Ingress'}", "spec.policyTypes: must be a list" },
        { "'spec':{'policyTypes':['ingress']}", "spec.policyTypes[0]: must be Ingress or Egress" },
        { "'spec':{'policyTypes':[7]}", "spec.policyTypes[0]: must be Ingress or Egress" },
        { "'spec':{'ingress':{}}", "spec.ingress: must be a list" },
        { INGRESS("7"), "spec.ingress[0]: must be an object" },
        { INGRESS("{'from':{}}"), "spec.ingress[0].from: must be a list" },
        { FROM("7"), "spec.ingress[1].from[0]: must be an object" },
        { FROM("{'podSelector':7}"), "spec.ingress[1].from[0].podSelector: must be an object" },
        { FROM("{'ipBlock':{}}"), "spec.ingress[1].from[0].ipBlock.cidr: is missing" },
        { FROM("{'ipBlock':{'cidr':7}}"), "ipBlock.cidr: must be a string" },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0'}}"), "ipBlock.cidr: \"10.0.0.0\" is not of the form" },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/33'}}"), "ipBlock.cidr: " },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':'x'}}"), "ipBlock.except: must be a list" },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['x']}}"), "ipBlock.except[0]: " },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['11.0.0.0/16']}}"), "except[0]: 11.0.0.0/16 is not a part of 10.0.0.0/8" },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/16','10.0.0.0/8']}}"), "except[1]: 10.0.0.0/8 is not a part" },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['fd00::/16']}}"), "except[0]: fd00::/16 is not" },
        { FROM("{'ipBlock':{'cidr':'10.0.0.0/8'},'podSelector':{}}"), "from[0]: ipBlock stands beside a selector" },
        { PORT("{'protocol':'tcp'}"), "spec.ingress[0].ports[1].protocol: \"tcp\" is not TCP, UDP or SCTP" },
        { PORT("{'protocol':7}"), "ports[1].protocol: must be a string" },
        { PORT("{'port':0}"), "ports[1].port: must be a number from 1 to 65535 or the name" },
        { PORT("{'port':65536}"), "ports[1].port: must" },
        { PORT("{'port':1.5}"), "ports[1].port: must" },
        { PORT("{'port':'80'}"), "ports[1].port: must" },
        { PORT("{'port':'Http'}"), "ports[1].port: must" },
        { PORT("{'port':'a-name-of-16-let'}"), "ports[1].port: must" },
        { PORT("{'port':{}}"), "ports[1].port: must" },
        { PORT("{'endPort':80}"), "ports[1].endPort: is only for a port that is a number" },
        { PORT("{'port':'http','endPort':80}"), "ports[1].endPort: is only" },
        { PORT("{'port':80,'endPort':79}"), "ports[1].endPort: must be a number from 80 to 65535" },
        { PORT("{'port':80,'endPort':65536}"), "ports[1].endPort: must" },
        { PORT("{'port':80,'endPort':'81'}"), "ports[1].endPort: must" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check_bad(KUBE_NETWORKPOLICY, cases[i].body, cases[i].want);
    }
}
END_TEST

/* Lists longer than the limits. */
START_TEST(test_too_many)
{
    static const struct { enum kube_kind kind; const char *before, *element, *after; int max; const char *want; } cases[] = {
        { KUBE_NETWORKPOLICY, "'spec':{'podSelector':{'matchExpressions':[", "{'key':'a','operator':'Exists'}", "]}}",
          KUBE_MAX_REQUIREMENTS, "matchExpressions: has more than 5000" },
        { KUBE_NETWORKPOLICY, "'spec':{'ingress':[", "{}", "]}", KUBE_MAX_RULES, "spec.ingress: has more than 2000 elements" },
        { KUBE_NETWORKPOLICY, "'spec':{'egress':[{'to':[", "{}", "]}]}", KUBE_MAX_PEERS, "to: has more than" },
        { KUBE_NETWORKPOLICY, "'spec':{'egress':[{'ports':[", "{'port':1}", "]}]}", KUBE_MAX_POLICY_PORTS, "ports: has more than" },
        { KUBE_CLUSTERNETWORKPOLICY, "'spec':{'tier':'Admin','priority':1,'subject':{'namespaces':{}},'egress':[{'action':'Deny','to':[",
          "{'nodes':{}}", "]}]}", 25, "spec.egress[0].to: has more than 25" },
        { KUBE_CLUSTERNETWORKPOLICY, "'spec':{'tier':'Admin','priority':1,'subject':{'namespaces':{}},'egress':[{'action':'Deny','to':["
          "{'networks':[", "'10.0.0.0/8'", "]}]}]}", 25, "spec.egress[0].to[0].networks: has more than 25" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int extra = 0; extra < 2; extra++) {
            struct ds ds = DS_EMPTY_INITIALIZER;

            ds_put_cstr(&ds, cases[i].before);
            for (int j = 0; j < cases[i].max + extra; j++) {
                ds_put_format(&ds, "%s%s", j ? "," : "", cases[i].element);
            }
            ds_put_cstr(&ds, cases[i].after);
            if (extra) {
                check_bad(cases[i].kind, ds_cstr(&ds), cases[i].want);
            } else {
                kube_object_destroy(decode_good(cases[i].kind, ds_cstr(&ds)));
            }
            ds_destroy(&ds);
        }
    }
}
END_TEST

/* ClusterNetworkPolicy. ------------------------------------------------------------------------------------------ */

#define CNP(REST) "'spec':{'tier':'Admin','priority':5,'subject':{'namespaces':{}}" REST "}"
#define CNP_IN(RULE) CNP(",'ingress':[" RULE "]")
#define CNP_OUT(RULE) CNP(",'egress':[" RULE "]")

START_TEST(test_cnp)
{
    const struct kube_object *o = decode_good(
        KUBE_CLUSTERNETWORKPOLICY,
        "'spec':{'tier':'Baseline','priority':0,'subject':{'pods':{'namespaceSelector':{'matchLabels':{'a':'b'}},'podSelector':{}}},"
        "'ingress':[{'name':'first','action':'Pass','from':[{'namespaces':{}},{'pods':{'podSelector':{'matchLabels':{'x':'y'}}}},"
        "{'networks':['10.0.0.0/8']},{}],'protocols':[{'tcp':{'destinationPort':{'number':80}}},"
        "{'udp':{'destinationPort':{'range':{'start':5,'end':9}}}},{'sctp':{'destinationPort':{'number':1}}},"
        "{'destinationNamedPort':'http'},{'icmp':{}},{'tcp':{}},{'tcp':{'destinationPort':{}}},{'udp':{'sourcePort':1}}]}],"
        "'egress':[{'action':'Accept','to':[{'networks':['10.0.0.1/8','fd00::/8']},{'nodes':{}},"
        "{'domainNames':['example.com','*.example.com.']},{'services':{}}]},{'action':'Deny','to':[{'namespaces':{}}]}]}");
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(o);
    ck_assert(cnp->tier == KUBE_TIER_BASELINE && cnp->priority == 0 && !cnp->subject.namespaces && cnp->subject.pods);
    ck_assert(cnp->subject.pods->namespaces.n_requirements == 1 && !cnp->subject.pods->pods.n_requirements);
    ck_assert(cnp->n_ingress == 1 && cnp->n_egress == 2);

    const struct kube_cnp_rule *rule = &cnp->ingress[0];
    ck_assert(!strcmp(rule->name, "first") && rule->action == KUBE_ACTION_PASS && rule->n_peers == 4);
    ck_assert(rule->peers[0].namespaces && !rule->peers[0].unknown);
    ck_assert(rule->peers[1].pods && rule->peers[1].pods->pods.n_requirements == 1 && !rule->peers[1].unknown);
    ck_assert(rule->peers[2].unknown && !rule->peers[2].n_networks);            /* cnp 5: only for egress; cnp 7: fails closed. */
    ck_assert(rule->peers[3].unknown);

    static const struct { uint8_t protocol; uint16_t first, last; const char *name; bool unknown; } want[] = {
        { IPPROTO_TCP, 80, 80, NULL, false }, { IPPROTO_UDP, 5, 9, NULL, false }, { IPPROTO_SCTP, 1, 1, NULL, false },
        { 0, 0, 0, "http", false }, { 0, 0, 0, NULL, true }, { IPPROTO_TCP, 0, 0, NULL, true }, { IPPROTO_TCP, 0, 0, NULL, true },
        { IPPROTO_UDP, 0, 0, NULL, true },
    };
    ck_assert(rule->n_ports == ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        const struct kube_policy_port *p = &rule->ports[i];
        ck_assert_msg(p->protocol == want[i].protocol && p->first == want[i].first && p->last == want[i].last
                      && p->unknown == want[i].unknown, "protocol %"PRIuSIZE, i);
        ck_assert_pstr_eq(p->name, want[i].name);
    }

    const struct kube_cnp_peer *to = cnp->egress[0].peers;
    char s[INET_PREFIX_STRLEN];
    ck_assert(to[0].n_networks == 2 && to[1].nodes && to[2].n_domain_names == 2 && to[3].unknown && !to[0].unknown && !to[2].unknown);
    ck_assert_str_eq(inet_prefix_format(&to[0].networks[0], s), "10.0.0.0/8");
    ck_assert_str_eq(to[2].domain_names[1], "*.example.com.");
    kube_object_destroy(o);
}
END_TEST

START_TEST(test_cnp_bad)
{
    static const struct { const char *body, *want; } cases[] = {
        { "", "spec: is missing" },
        { "'spec':7", "spec: must be an object" },
        { "'spec':{'priority':5,'subject':{'namespaces':{}}}", "spec.tier: is missing" },
        { "'spec':{'tier':'Edge','priority':5,'subject':{'namespaces':{}}}", "spec.tier: \"Edge\" is not Admin or Baseline" },
        { "'spec':{'tier':'Admin','subject':{'namespaces':{}}}", "spec.priority: is missing" },
        { "'spec':{'tier':'Admin','priority':-1,'subject':{'namespaces':{}}}", "spec.priority: must be a number from 0 to 1000" },
        { "'spec':{'tier':'Admin','priority':1001,'subject':{'namespaces':{}}}", "spec.priority: must" },
        { "'spec':{'tier':'Admin','priority':'5','subject':{'namespaces':{}}}", "spec.priority: must" },
        { "'spec':{'tier':'Admin','priority':5}", "spec.subject: is missing" },
        { "'spec':{'tier':'Admin','priority':5,'subject':{}}", "spec.subject: must have either namespaces or pods" },
        { "'spec':{'tier':'Admin','priority':5,'subject':{'namespaces':{},'pods':{'podSelector':{}}}}", "subject: must have either" },
        { "'spec':{'tier':'Admin','priority':5,'subject':{'pods':{}}}", "spec.subject.pods.podSelector: is missing" },
        { CNP_IN("{}"), "spec.ingress[0].action: is missing" },
        { CNP_IN("{'action':'Allow','from':[{'namespaces':{}}]}"), "ingress[0].action: \"Allow\" is not Accept, Deny or Pass" },
        { CNP_IN("{'action':'Deny'}"), "spec.ingress[0].from: is missing" },
        { CNP_IN("{'action':'Deny','from':[]}"), "spec.ingress[0].from: must have an element" },
        { CNP_OUT("{'action':'Deny','to':[]}"), "spec.egress[0].to: must have an element" },
        { CNP_IN("{'action':'Deny','from':[7]}"), "spec.ingress[0].from[0]: must be an object" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{},'pods':{'podSelector':{}}}]}"), "from[0]: more than one kind of peer" },
        { CNP_OUT("{'action':'Deny','to':[{'nodes':{},'networks':['10.0.0.0/8']}]}"), "to[0]: more than one kind of peer" },
        { CNP_OUT("{'action':'Deny','to':[{'networks':'10.0.0.0/8'}]}"), "to[0].networks: must be a list" },
        { CNP_OUT("{'action':'Deny','to':[{'networks':['10.0.0.0/99']}]}"), "to[0].networks[0]: " },
        { CNP_OUT("{'action':'Deny','to':[{'domainNames':['example.com']}]}"), "to[0]: domainNames are only for Accept" },
        { CNP_OUT("{'action':'Pass','to':[{'namespaces':{}},{'domainNames':['example.com']}]}"), "to[1]: domainNames are only" },
        { CNP_OUT("{'action':'Accept','to':[{'domainNames':['*']}]}"), "domainNames[0]: \"*\" is not" },
        { CNP_OUT("{'action':'Accept','to':[{'domainNames':['com.']}]}"), "domainNames[0]: " },
        { CNP_OUT("{'action':'Accept','to':[{'domainNames':['a.*.com']}]}"), "domainNames[0]: " },
        { CNP_OUT("{'action':'Accept','to':[{'domainNames':['a..com']}]}"), "domainNames[0]: " },
        { CNP_OUT("{'action':'Accept','to':[{'domainNames':['-a.com']}]}"), "domainNames[0]: " },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':{}}"), "ingress[0].protocols: must be a list" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'tcp':7}]}"), "protocols[0].tcp: must be an object" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':7}}]}"),
          "protocols[0].tcp.destinationPort: must be an object" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':{'number':0}}}]}"),
          "protocols[0].tcp.destinationPort.number: must be a number from 1 to 65535" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'udp':{'destinationPort':{'range':{'start':5}}}}]}"),
          "protocols[0].udp.destinationPort.range.end: must" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'udp':{'destinationPort':{'range':7}}}]}"),
          "protocols[0].udp.destinationPort.range: must be an object" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'udp':{'destinationPort':{'range':{'start':5,'end':5}}}}]}"),
          "range: start must be less than end" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'udp':{'destinationPort':{'number':5,'range':{}}}}]}"),
          "has both number and range" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'udp':{},'tcp':{}}]}"), "protocols[0]: more than one" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'udp':{},'destinationNamedPort':'x'}]}"), "more than one" },
        { CNP_IN("{'action':'Deny','from':[{'namespaces':{}}],'protocols':[{'destinationNamedPort':'80'}]}"),
          "destinationNamedPort: \"80\" is not what" },
        { CNP_IN("{'name':7,'action':'Deny','from':[{'namespaces':{}}]}"), "ingress[0].name: must be a string" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check_bad(KUBE_CLUSTERNETWORKPOLICY, cases[i].body, cases[i].want);
    }
}
END_TEST

/* Strings of policies and of labels are one and the same in the store. */
START_TEST(test_shared)
{
    struct store *store = store_create();
    struct kube_object *np, *pod;

    ck_assert(!decode_body(KUBE_NETWORKPOLICY, "'spec':{'podSelector':{'matchLabels':{'app':'db'}}}", &np, NULL));
    json_t *json = load_quoted("{'metadata':{'name':'p','labels':{'app':'db'}}}");
    ck_assert(!kube_object_decode_kind(KUBE_POD, json, &pod, NULL));
    json_decref(json);
    store_put(store, np);
    store_put(store, pod);
    const struct kube_requirement *r = kube_networkpolicy_cast(np)->pods.requirements;
    ck_assert(r->key == labels_key(pod->labels, 0) && r->values[0] == labels_value(pod->labels, 0));

    uint64_t seqno = store_seqno(store, KUBE_NETWORKPOLICY);
    ck_assert(!decode_body(KUBE_NETWORKPOLICY, "'spec':{'podSelector':{'matchLabels':{'app':'db'}},'ingress':[]}", &np, NULL));
    store_put(store, np);
    ck_assert_uint_eq(store_seqno(store, KUBE_NETWORKPOLICY), seqno);           /* It means the same. */
    ck_assert(!decode_body(KUBE_NETWORKPOLICY, "'spec':{'podSelector':{'matchLabels':{'app':'db'}},'ingress':[{}]}", &np, NULL));
    store_put(store, np);
    ck_assert_uint_eq(store_seqno(store, KUBE_NETWORKPOLICY), seqno + 1);
    store_destroy(store);
}
END_TEST

/* Policies that cannot be decoded: "bad input" of issue 5. --------------------------------------------------------------- */

static struct kube_object *
decode_closed(enum kube_kind kind, const char *body)
{
    char *text = xasprintf("{'metadata':{'name':'a','uid':'7'%s}%s%s}", kube_kind_is_namespaced(kind) ? ",'namespace':'n'" : "",
                           *body ? "," : "", body);
    json_t *json = load_quoted(text);
    struct kube_object *object = NULL;
    int retval = kube_object_decode_closed(kind, json, &object);

    ck_assert_msg(!retval == !!object, "%s", body);
    json_decref(json);
    free(text);
    return object;
}

/* It isolates the whole namespace or whom its selector selects, in the directions that can be read, and allows nothing. */
static void
check_np_closed(const char *body, bool everybody, bool ingress, bool egress, const char *want)
{
    struct kube_object *o = decode_closed(KUBE_NETWORKPOLICY, body);

    ck_assert_msg(o != NULL, "%s", body);
    const struct kube_networkpolicy *np = kube_networkpolicy_cast(o);
    ck_assert_msg(strstr(np->problem, want) && np->problem == kube_object_problem(o), "%s: %s", body, np->problem);
    ck_assert_msg(!np->n_ingress && !np->n_egress, "%s", body);
    ck_assert_msg(np->isolates_ingress == ingress && np->isolates_egress == egress, "%s", body);
    ck_assert_msg((np->pods.n_requirements == 0) == everybody, "%s", body);
    kube_object_destroy(o);
}

#define SELECTOR "'podSelector':{'matchLabels':{'app':'db'}}"
#define SPEC(REST) "'spec':{" SELECTOR "," REST "}"

START_TEST(test_np_closed)
{
    /* Every rule of test_np_bad() closes in both directions, or in those that policyTypes names. */
    static const char *const bad_rules[] = {
        "7", "{'from':{}}", "{'from':[7]}", "{'from':[{'podSelector':7}]}", "{'from':[{'ipBlock':{}}]}",
        "{'from':[{'ipBlock':{'cidr':'10.0.0.300/8'}}]}", "{'from':[{'ipBlock':{'cidr':'10.0.0.0/33'}}]}",
        "{'from':[{'ipBlock':{'cidr':'10.0.0.0/8','except':['11.0.0.0/16']}}]}",
        "{'from':[{'podSelector':{'matchExpressions':[{'key':'a','operator':'Gt','values':['1']}]}}]}",
        "{'from':[{'ipBlock':{'cidr':'10.0.0.0/8'},'podSelector':{}}]}", "{'ports':{}}", "{'ports':[{'protocol':'ICMP'}]}",
        "{'ports':[{'port':0}]}", "{'ports':[{'port':65536}]}", "{'ports':[{'port':-1}]}",
        "{'ports':[{'port':80,'endPort':79}]}", "{'ports':[{'port':'http','endPort':80}]}", "{'ports':[{'endPort':80}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad_rules); i++) {
        char *body = xasprintf(SPEC("'policyTypes':['Ingress'],'ingress':[{},%s]"), bad_rules[i]);
        check_np_closed(body, false, true, false, "spec.ingress[1]");
        free(body);
        body = xasprintf(SPEC("'ingress':[%s],'egress':[{}]"), bad_rules[i]);
        check_np_closed(body, false, true, true, "spec.ingress[0]");
        free(body);
    }
    check_np_closed(SPEC("'ingress':[7]"), false, true, false, "");             /* policyTypes' default is known. */
    check_np_closed(SPEC("'policyTypes':['Egress'],'ingress':7"), false, false, true, "spec.ingress: must be a list");
    check_np_closed(SPEC("'egress':7"), false, true, true, "spec.egress: must be a list");
    check_np_closed(SPEC("'policyTypes':['All']"), false, true, true, "policyTypes[0]");
    check_np_closed(SPEC("'policyTypes':7"), false, true, true, "policyTypes");
    check_np_closed("'spec':7", true, true, true, "spec: must be an object");
    check_np_closed("'spec':{'policyTypes':['Ingress'],'podSelector':7}", true, true, false, "podSelector");
    check_np_closed("'spec':{'podSelector':{'matchLabels':{'a':'b'},'matchExpressions':[{'key':'a','operator':'In'}]}}", true, true,
                    false, "values: must have a value");
}
END_TEST

static void
check_cnp_closed(const char *body, int tier, int priority, const char *want)
{
    struct kube_object *o = decode_closed(KUBE_CLUSTERNETWORKPOLICY, body);

    ck_assert_msg(o != NULL, "%s", body);
    const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(o);
    ck_assert_msg(strstr(cnp->problem, want) != NULL, "%s: %s", body, cnp->problem);
    ck_assert_msg(cnp->tier == tier && cnp->priority == priority, "%s", body);
    ck_assert_msg(!cnp->subject.namespaces != !cnp->subject.pods, "%s", body);
    for (int i = 0; i < 2; i++) {
        const struct kube_cnp_rule *rule = i ? cnp->egress : cnp->ingress;
        ck_assert_msg((i ? cnp->n_egress : cnp->n_ingress) == 1, "%s", body);
        ck_assert_msg(rule->action == KUBE_ACTION_DENY && rule->n_peers == 1 && rule->peers[0].unknown && !rule->n_ports, "%s", body);
    }
    kube_object_destroy(o);
}

START_TEST(test_cnp_closed)
{
    static const char *const bad_rules[] = {
        "7", "{}", "{'action':'Allow','from':[{'namespaces':{}}]}", "{'action':'Deny'}", "{'action':'Deny','from':[]}",
        "{'action':'Deny','from':[7]}", "{'action':'Deny','from':[{'namespaces':{},'pods':{'podSelector':{}}}]}",
        "{'action':'Accept','from':[{'namespaces':{'matchExpressions':[{'key':'a','operator':'Gt','values':['1']}]}}]}",
        "{'action':'Accept','from':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':{'number':65536}}}]}",
        "{'action':'Accept','from':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':{'range':{'start':9,'end':8}}}}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad_rules); i++) {
        char *body = xasprintf(CNP(",'ingress':[%s]"), bad_rules[i]);
        check_cnp_closed(body, KUBE_TIER_ADMIN, 5, "spec.ingress[0]");
        free(body);
    }
    check_cnp_closed(CNP(",'egress':[{'action':'Deny','to':[{'networks':['10.0.0.0/99']}]}]"), KUBE_TIER_ADMIN, 5, "networks[0]");
    check_cnp_closed(CNP(",'egress':7"), KUBE_TIER_ADMIN, 5, "spec.egress: must be a list");
    check_cnp_closed("'spec':{'tier':'Baseline','priority':7,'subject':{'pods':{'podSelector':{}}},'egress':7}",
                     KUBE_TIER_BASELINE, 7, "spec.egress");
    check_cnp_closed("'spec':{'tier':'Edge','priority':-1,'subject':{'namespaces':{}}}", KUBE_TIER_ADMIN, 0, "spec.tier");
    check_cnp_closed("'spec':{'tier':'Baseline','priority':1001,'subject':{'namespaces':{}}}", KUBE_TIER_BASELINE, 0, "priority");

    /* Whom it selects cannot be told, or nothing is wrong. */
    ck_assert(!decode_closed(KUBE_CLUSTERNETWORKPOLICY, ""));
    ck_assert(!decode_closed(KUBE_CLUSTERNETWORKPOLICY, "'spec':{'tier':'Admin','priority':5}"));
    ck_assert(!decode_closed(KUBE_CLUSTERNETWORKPOLICY, "'spec':{'tier':'Admin','priority':5,'subject':{'namespaces':7}}"));
    ck_assert(!decode_closed(KUBE_CLUSTERNETWORKPOLICY, CNP("")));
    ck_assert(!decode_closed(KUBE_NETWORKPOLICY, ""));
    ck_assert(!decode_closed(KUBE_NODE, "'spec':7"));
    ck_assert(!decode_closed(KUBE_POD, "'spec':7"));
}
END_TEST

/* 100,000 ports, a selector with 1,000 expressions. */
START_TEST(test_huge)
{
    struct ds ports = DS_EMPTY_INITIALIZER, selector = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ports, "'spec':{" SELECTOR ",'ingress':[{'ports':[");
    for (int i = 0; i < 100000; i++) {
        ds_put_format(&ports, "%s{'port':%d}", i ? "," : "", 1 + i % 65535);
    }
    ds_put_cstr(&ports, "]}]}");
    check_np_closed(ds_cstr(&ports), false, true, false, "ports: has more than 5000 elements");

    ds_put_cstr(&selector, "'spec':{'podSelector':{'matchExpressions':[");
    for (int i = 0; i < 1000; i++) {
        ds_put_format(&selector, "%s{'key':'k%d','operator':'NotIn','values':['x']}", i ? "," : "", i);
    }
    ds_put_cstr(&selector, "]}}");
    const struct kube_object *o = decode_good(KUBE_NETWORKPOLICY, ds_cstr(&selector));
    ck_assert(!kube_object_problem(o) && kube_networkpolicy_cast(o)->pods.n_requirements == 1000);
    kube_object_destroy(o);
    ds_destroy(&ports);
    ds_destroy(&selector);
}
END_TEST

/* A good version stays; a wrong one takes the place of nothing, of another wrong one, and of another object. */
START_TEST(test_put_closed)
{
    struct store *store = store_create();
    struct kube_object *good;

    ck_assert(store_put_closed(store, decode_closed(KUBE_NETWORKPOLICY, "'spec':7")));
    ck_assert(store_put_closed(store, decode_closed(KUBE_NETWORKPOLICY, SPEC("'ingress':7"))));
    ck_assert_uint_eq(store_seqno(store, KUBE_NETWORKPOLICY), 2);
    ck_assert(store_put_closed(store, decode_closed(KUBE_NETWORKPOLICY, SPEC("'ingress':7"))));
    ck_assert_uint_eq(store_seqno(store, KUBE_NETWORKPOLICY), 2);
    json_t *json = load_quoted("{'metadata':{'name':'a','namespace':'n','uid':'7'}}");
    ck_assert(!kube_object_decode_kind(KUBE_NETWORKPOLICY, json, &good, NULL));
    json_decref(json);
    store_put(store, good);
    store_mark(store, KUBE_NETWORKPOLICY);
    ck_assert(!store_put_closed(store, decode_closed(KUBE_NETWORKPOLICY, SPEC("'ingress':7"))));
    store_sweep(store, KUBE_NETWORKPOLICY);
    ck_assert(store_get(store, KUBE_NETWORKPOLICY, "n", "a") == good);

    json = load_quoted("{'metadata':{'name':'a','namespace':'n','uid':'8'},'spec':7}");
    struct kube_object *closed;
    ck_assert(!kube_object_decode_closed(KUBE_NETWORKPOLICY, json, &closed));
    json_decref(json);
    ck_assert(store_put_closed(store, closed));
    ck_assert(store_get(store, KUBE_NETWORKPOLICY, "n", "a") == closed);
    store_destroy(store);
}
END_TEST

UNIT_MAIN("kube-policy", {
    tcase_add_test(tc, test_selector);
    tcase_add_test(tc, test_selector_canonical);
    tcase_add_test(tc, test_policy_types);
    tcase_add_test(tc, test_np_rules);
    tcase_add_test(tc, test_np_bad);
    tcase_add_test(tc, test_too_many);
    tcase_add_test(tc, test_cnp);
    tcase_add_test(tc, test_cnp_bad);
    tcase_add_test(tc, test_shared);
    tcase_add_test(tc, test_np_closed);
    tcase_add_test(tc, test_cnp_closed);
    tcase_add_test(tc, test_huge);
    tcase_add_test(tc, test_put_closed);
})
