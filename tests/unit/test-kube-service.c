/* controller/kube-service.h: the decoders of Service, EndpointSlice and ServiceCIDR; controller/service-ranges.h.
 * "services 20" is item 20 of the list of what must hold for Services. */
#include <config.h>

#include "controller/kube-service.h"
#include "controller/service-ranges.h"
#include "controller/store.h"
#include "kube-decode-test.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"

static const char *
addr_text(const struct in6_addr *addr)
{
    static char s[INET_ADDR_STRLEN];
    return inet_addr_format(addr, s);
}

START_TEST(test_service)
{
    const struct kube_object *o = decode_good(
        KUBE_SERVICE,
        "'spec':{'type':'LoadBalancer','clusterIP':'10.96.0.1','clusterIPs':['10.96.0.1','fd00:96::1'],'ipFamilies':['IPv4','IPv6'],"
        "'ports':[{'name':'http','port':80,'targetPort':'web','nodePort':30080,'appProtocol':'x'},{'name':'dns','protocol':'UDP','port':53},"
        "{'name':'dns-tcp','port':53,'protocol':'TCP'}],'externalIPs':['192.0.2.1'],'loadBalancerSourceRanges':[' 10.0.0.7/8 ','fd00::/8'],"
        "'externalTrafficPolicy':'Local','internalTrafficPolicy':'Local','sessionAffinity':'ClientIP',"
        "'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':60}},'healthCheckNodePort':30081,'publishNotReadyAddresses':true,"
        "'trafficDistribution':'PreferSameNode','allocateLoadBalancerNodePorts':false,'selector':{'a':'b'}},"
        "'status':{'loadBalancer':{'ingress':[{'ip':'198.51.100.1'},{'ip':'198.51.100.2','ipMode':'VIP'},"
        "{'ip':'198.51.100.3','ipMode':'Proxy'},{'hostname':'lb.example.com'},{'ip':'198.51.100.4','ipMode':'Later'},"
        "{'ip':'2001:db8::1'}]}}");
    const struct kube_service *s = kube_service_cast(o);

    ck_assert(s->type == KUBE_LOAD_BALANCER && !s->headless && s->client_ip_affinity && s->publish_not_ready);
    ck_assert(s->internal_policy == KUBE_TRAFFIC_LOCAL && s->external_policy == KUBE_TRAFFIC_LOCAL);
    ck_assert(s->distribution == KUBE_PREFER_SAME_NODE && s->health_check_port == 30081 && s->affinity_timeout == 60);
    ck_assert(s->n_cluster_ips == 2 && s->n_external_ips == 1 && s->n_source_ranges == 2 && s->n_ports == 3);
    ck_assert_str_eq(addr_text(&s->cluster_ips[1]), "fd00:96::1");
    ck_assert(s->ports[0].port == 80 && s->ports[0].node_port == 30080 && s->ports[0].protocol == IPPROTO_TCP);
    ck_assert(!strcmp(s->ports[1].name, "dns") && s->ports[1].protocol == IPPROTO_UDP && !s->ports[1].node_port);
    char buf[INET_PREFIX_STRLEN];
    ck_assert_str_eq(inet_prefix_format(&s->source_ranges[0], buf), "10.0.0.0/8");      /* services 18: spaces. */
    ck_assert_uint_eq(s->n_lb_ips, 3);                                                  /* services 16. */
    ck_assert_str_eq(addr_text(&s->lb_ips[1]), "198.51.100.2");
    ck_assert_str_eq(addr_text(&s->lb_ips[2]), "2001:db8::1");
    kube_object_destroy(o);
}
END_TEST

#define PORTS "'ports':[{'port':80}]"

/* Defaults, and Services that nobody proxies.  services 1, 21, 22. */
START_TEST(test_service_variants)
{
    const struct kube_object *o = decode_good(KUBE_SERVICE, "'spec':{" PORTS ",'clusterIP':'10.96.0.1','type':''}");
    const struct kube_service *s = kube_service_cast(o);
    ck_assert(s->type == KUBE_CLUSTER_IP && !s->headless && !s->client_ip_affinity && s->n_cluster_ips == 1 && !s->affinity_timeout);
    ck_assert(!s->internal_policy && !s->external_policy && !s->distribution && !s->ports[0].name);
    kube_object_destroy(o);

    o = decode_good(KUBE_SERVICE, "'spec':{" PORTS ",'sessionAffinity':'ClientIP'}");
    ck_assert(kube_service_cast(o)->affinity_timeout == 10800 && !kube_service_cast(o)->n_cluster_ips);
    kube_object_destroy(o);
    o = decode_good(KUBE_SERVICE, "'spec':{" PORTS ",'sessionAffinity':'None','sessionAffinityConfig':{'clientIP':{'timeoutSeconds':9}}}");
    ck_assert(!kube_service_cast(o)->affinity_timeout);
    kube_object_destroy(o);

    static const char *const headless[] = {
        "'spec':{'clusterIP':'None','clusterIPs':['None']," PORTS "}", "'spec':{'clusterIPs':['None']}", "'spec':{'clusterIP':'None'}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(headless); i++) {
        o = decode_good(KUBE_SERVICE, headless[i]);
        ck_assert(kube_service_cast(o)->headless && !kube_service_cast(o)->n_cluster_ips);
        kube_object_destroy(o);
    }
    o = decode_good(KUBE_SERVICE, "'spec':{'type':'ExternalName','externalName':'x.example.com'}");
    ck_assert(kube_service_cast(o)->type == KUBE_EXTERNAL_NAME && !kube_service_cast(o)->headless);
    kube_object_destroy(o);

    static const struct { const char *text; enum kube_traffic_distribution want; } distributions[] = {
        { "PreferClose", KUBE_PREFER_SAME_ZONE }, { "PreferSameZone", KUBE_PREFER_SAME_ZONE },
        { "PreferSameNode", KUBE_PREFER_SAME_NODE }, { "Later", KUBE_PREFER_ANY }, { "", KUBE_PREFER_ANY },
    };
    for (size_t i = 0; i < ARRAY_SIZE(distributions); i++) {
        char *body = xasprintf("'spec':{" PORTS ",'trafficDistribution':'%s'}", distributions[i].text);
        o = decode_good(KUBE_SERVICE, body);
        ck_assert(kube_service_cast(o)->distribution == distributions[i].want);
        kube_object_destroy(o);
        free(body);
    }
}
END_TEST

START_TEST(test_service_bad)
{
    static const struct { const char *body, *want; } cases[] = {
        { "", "spec: is missing" },
        { "'spec':[]", "spec: must be an object" },
        { "'spec':{}", "spec.ports: must have an element" },
        { "'spec':{'ports':[]}", "spec.ports: must have an element" },
        { "'spec':{'ports':{}}", "spec.ports: must be a list" },
        { "'spec':{'ports':[{}]}", "spec.ports[0].port: is missing" },
        { "'spec':{'ports':[{'port':0}]}", "spec.ports[0].port: must be a number from 1 to 65535" },
        { "'spec':{'ports':[{'port':'80'}]}", "spec.ports[0].port: must be a number" },
        { "'spec':{'ports':[{'port':80,'nodePort':65536}]}", "spec.ports[0].nodePort: must" },
        { "'spec':{'ports':[{'port':80,'protocol':'ICMP'}]}", "spec.ports[0].protocol: \"ICMP\" is not" },
        { "'spec':{'ports':[{'port':80,'name':'A'}]}", "spec.ports[0].name: \"A\" is not what Kubernetes allows" },
        { "'spec':{'ports':[{'port':80,'name':'a'},{'port':81}]}", "spec.ports[1]: needs a name" },
        { "'spec':{'ports':[{'port':80,'name':'a'},{'port':81,'name':'a'}]}", "spec.ports[1]: has the name of ports[0]" },
        { "'spec':{'ports':[{'port':80,'name':'a'},{'port':80,'name':'b'}]}", "spec.ports[1]: has the protocol and number of ports[0]" },
        { "'spec':{" PORTS ",'type':'Cluster'}", "spec.type: \"Cluster\" is not ClusterIP, NodePort, LoadBalancer or ExternalName" },
        { "'spec':{" PORTS ",'type':{}}", "spec.type: must be a string" },
        { "'spec':{" PORTS ",'clusterIP':7}", "spec.clusterIP: must be a string" },
        { "'spec':{" PORTS ",'clusterIP':'x'}", "spec.clusterIP: \"x\" is not an IPv4 or IPv6 address" },
        { "'spec':{" PORTS ",'clusterIPs':'10.96.0.1'}", "spec.clusterIPs: must be a list" },
        { "'spec':{" PORTS ",'clusterIPs':['10.96.0.1','10.96.0.2']}", "spec.clusterIPs[1]: a Service has at most one address of each" },
        { "'spec':{" PORTS ",'clusterIPs':['10.96.0.1','fd00::1','fd00::2']}", "spec.clusterIPs: must be a list of at most two" },
        { "'spec':{" PORTS ",'clusterIPs':['10.96.0.1','None']}", "spec.clusterIPs: has an address beside None" },
        { "'spec':{" PORTS ",'clusterIPs':['127.0.0.1']}", "spec.clusterIPs[0]: 127.0.0.1 is a loopback address" },
        { "'spec':{" PORTS ",'externalIPs':['192.0.2.1','169.254.0.1']}", "spec.externalIPs[1]: 169.254.0.1 is a link-local address" },
        { "'spec':{" PORTS ",'externalIPs':[7]}", "spec.externalIPs[0]: must be a string" },
        { "'spec':{" PORTS ",'loadBalancerSourceRanges':['10.0.0.0']}", "spec.loadBalancerSourceRanges[0]: " },
        { "'spec':{" PORTS ",'externalTrafficPolicy':'local'}", "spec.externalTrafficPolicy: \"local\" is not Cluster or Local" },
        { "'spec':{" PORTS ",'internalTrafficPolicy':true}", "spec.internalTrafficPolicy: must be a string" },
        { "'spec':{" PORTS ",'sessionAffinity':'Cookie'}", "spec.sessionAffinity: \"Cookie\" is not None or ClientIP" },
        { "'spec':{" PORTS ",'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':0}}}",
          "spec.sessionAffinityConfig.clientIP.timeoutSeconds: must be a number from 1 to 86400" },
        { "'spec':{" PORTS ",'sessionAffinityConfig':{'clientIP':7}}", "spec.sessionAffinityConfig.clientIP: must be an object" },
        { "'spec':{" PORTS ",'healthCheckNodePort':-1}", "spec.healthCheckNodePort: must be a number from 0 to 65535" },
        { "'spec':{" PORTS ",'publishNotReadyAddresses':'yes'}", "spec.publishNotReadyAddresses: must be true or false" },
        { "'spec':{" PORTS ",'trafficDistribution':7}", "spec.trafficDistribution: must be a string" },
        { "'spec':{" PORTS "},'status':7", "status: must be an object" },
        { "'spec':{" PORTS "},'status':{'loadBalancer':{'ingress':{}}}", "status.loadBalancer.ingress: must be a list" },
        { "'spec':{" PORTS "},'status':{'loadBalancer':{'ingress':[7]}}", "status.loadBalancer.ingress[0]: must be an object" },
        { "'spec':{" PORTS "},'status':{'loadBalancer':{'ingress':[{'ip':'x'}]}}", "status.loadBalancer.ingress[0].ip: \"x\"" },
        { "'spec':{" PORTS "},'status':{'loadBalancer':{'ingress':[{'ip':'224.0.0.1'}]}}", "ingress[0].ip: 224.0.0.1 is a multicast" },
        { "'spec':{" PORTS "},'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.1','ipMode':7}]}}", "ingress[0].ipMode: must be" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check_bad(KUBE_SERVICE, cases[i].body, cases[i].want);
    }
}
END_TEST

/* services 2, 3, 5. */
START_TEST(test_slice)
{
    const struct kube_object *o = decode_good(
        KUBE_ENDPOINTSLICE,
        "'addressType':'IPv4','ports':[{'name':'http','port':8080},{'name':'','protocol':'UDP','port':53},{'name':'all','port':null}],"
        "'endpoints':[{'addresses':['10.244.1.2','10.244.9.9'],'nodeName':'n1','zone':'z1','conditions':{},'targetRef':{'kind':'Pod',"
        "'name':'web','uid':'0f9d2c1e-7b6a-4d3c-8e21-00112233aabb'},'hints':{'forZones':[{'name':'z1'},{'name':'z2'}],'forNodes':"
        "[{'name':'n1'}]}},{'addresses':['10.244.1.3'],'conditions':{'ready':false}},"
        "{'addresses':['10.244.1.4'],'conditions':{'ready':false,'serving':true,'terminating':true},'targetRef':{'kind':'Node','uid':'x'}},"
        "{'addresses':['10.244.1.5'],'conditions':{'ready':null,'serving':null,'terminating':null},'nodeName':''},"
        "{'addresses':['10.244.1.6']}]");
    const struct kube_endpointslice *slice = kube_endpointslice_cast(o);
    const struct kube_endpoint *e = slice->endpoints;

    ck_assert(slice->address_type == KUBE_ADDRESS_IPV4 && slice->n_ports == 3 && slice->n_endpoints == 5);
    ck_assert(slice->ports[0].port == 8080 && slice->ports[0].protocol == IPPROTO_TCP && !slice->ports[1].name);
    ck_assert(slice->ports[1].protocol == IPPROTO_UDP && slice->ports[2].port == 0);
    ck_assert_str_eq(addr_text(&e[0].addr), "10.244.1.2");
    const struct kube_hints *hints = kube_endpoint_hints(&e[0]);
    ck_assert(hints->n_zones == 2 && hints->n_nodes == 1 && !strcmp(hints->zones[1].name, "z2") && !strcmp(hints->nodes[0].name, "n1"));
    ck_assert(!strcmp(e[0].node, "n1") && !e[3].node && !kube_endpoint_hints(&e[1])->n_zones);

    static const struct { bool ready, serving, terminating; } want[] = {
        { true, true, false }, { false, false, false }, { false, true, true }, { true, true, false }, { true, true, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        ck_assert(e[i].ready == want[i].ready && e[i].serving == want[i].serving && e[i].terminating == want[i].terminating);
    }
    kube_object_destroy(o);

    o = decode_good(KUBE_ENDPOINTSLICE, "'addressType':'FQDN','endpoints':[{'addresses':['x.example.com'],'nodeName':'n1'}]");
    ck_assert(kube_endpointslice_cast(o)->n_endpoints == 0);
    kube_object_destroy(o);
    o = decode_good(KUBE_ENDPOINTSLICE, "'addressType':'IPv6','endpoints':null,'ports':null");
    ck_assert(kube_endpointslice_cast(o)->address_type == KUBE_ADDRESS_IPV6);
    kube_object_destroy(o);
}
END_TEST

#define SLICE(ENDPOINT) "'addressType':'IPv4','endpoints':[" ENDPOINT "]"
#define WITH(MEMBERS) SLICE("{'addresses':['10.244.1.2']," MEMBERS "}")

START_TEST(test_slice_bad)
{
    static const struct { const char *body, *want; } cases[] = {
        { "", "addressType: is missing" },
        { "'addressType':'ipv4'", "addressType: \"ipv4\" is not IPv4, IPv6 or FQDN" },
        { "'addressType':4", "addressType: must be a string" },
        { "'addressType':'IPv4','endpoints':{}", "endpoints: must be a list" },
        { SLICE("7"), "endpoints[0]: must be an object" },
        { SLICE("{}"), "endpoints[0].addresses: must be a list with an element" },
        { SLICE("{'addresses':[]}"), "endpoints[0].addresses: must be" },
        { SLICE("{'addresses':'10.244.1.2'}"), "endpoints[0].addresses: must be" },
        { SLICE("{'addresses':[7]}"), "endpoints[0].addresses[0]: must be a string" },
        { SLICE("{'addresses':['x']}"), "endpoints[0].addresses[0]: \"x\"" },
        { SLICE("{'addresses':['fd00::1']}"), "endpoints[0].addresses[0]: is not of the family" },
        { SLICE("{'addresses':['10.244.1.2']},{'addresses':['127.0.0.1']}"), "endpoints[1].addresses[0]: 127.0.0.1 is a loopback" },
        { SLICE("{'addresses':['0.0.0.0']}"), "0.0.0.0 is an unspecified" },
        { SLICE("{'addresses':['169.254.1.1']}"), "is a link-local" },
        { SLICE("{'addresses':['224.0.0.5']}"), "is a multicast" },
        { SLICE("{'addresses':['255.255.255.255']}"), "is a multicast or reserved" },
        { "'addressType':'IPv6','endpoints':[{'addresses':['::1']}]", "::1 is a loopback" },
        { "'addressType':'IPv6','endpoints':[{'addresses':['::']}]", ":: is an unspecified" },
        { "'addressType':'IPv6','endpoints':[{'addresses':['fe80::1']}]", "fe80::1 is a link-local" },
        { "'addressType':'IPv6','endpoints':[{'addresses':['ff02::1']}]", "ff02::1 is a multicast" },
        { "'addressType':'IPv6','endpoints':[{'addresses':['10.0.0.1']}]", "is not of the family" },
        { WITH("'conditions':7"), "endpoints[0].conditions: must be an object" },
        { WITH("'conditions':{'ready':'true'}"), "endpoints[0].conditions.ready: must be true or false" },
        { WITH("'conditions':{'terminating':1}"), "endpoints[0].conditions.terminating: must" },
        { WITH("'nodeName':7"), "endpoints[0].nodeName: must be a string" },
        { WITH("'nodeName':'A B'"), "endpoints[0].nodeName: \"A B\" is not" },
        { WITH("'hints':7"), "endpoints[0].hints: must be an object" },
        { WITH("'hints':{'forZones':7}"), "endpoints[0].hints.forZones: must be a list" },
        { WITH("'hints':{'forZones':[{}]}"), "endpoints[0].hints.forZones[0].name: is missing" },
        { WITH("'hints':{'forNodes':['n1']}"), "endpoints[0].hints.forNodes[0]: must be an object" },
        { "'addressType':'IPv4','ports':[{'port':0}]", "ports[0].port: must be a number from 1 to 65535" },
        { "'addressType':'IPv4','ports':[{'port':1,'name':'A'}]", "ports[0].name: \"A\"" },
        { "'addressType':'IPv4','ports':[{'port':1,'name':'a'},{'port':2,'name':'a'}]", "ports[1]: has the name of another" },
        { "'addressType':'IPv4','ports':[{'port':1},{'port':2}]", "ports[1]: has the name of another" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check_bad(KUBE_ENDPOINTSLICE, cases[i].body, cases[i].want);
    }

    struct ds ds = DS_EMPTY_INITIALIZER;
    ds_put_cstr(&ds, "'addressType':'IPv4','endpoints':[");
    for (int i = 0; i <= KUBE_MAX_ENDPOINTS; i++) {
        ds_put_format(&ds, "%s{'addresses':['10.244.1.2']}", i ? "," : "");
    }
    ds_put_cstr(&ds, "]");
    check_bad(KUBE_ENDPOINTSLICE, ds_cstr(&ds), "endpoints: has more than 1000 elements");
    ds_destroy(&ds);
}
END_TEST

/* services 29 */
START_TEST(test_cidr)
{
    const struct kube_object *o = decode_good(KUBE_SERVICECIDR, "'spec':{'cidrs':['10.96.0.0/16','fd00:96::/112']},'status':{'conditions':[]}");
    const struct kube_servicecidr *s = kube_servicecidr_cast(o);
    char buf[INET_PREFIX_STRLEN];

    ck_assert_uint_eq(s->n_cidrs, 2);
    ck_assert_str_eq(inet_prefix_format(&s->cidrs[0], buf), "10.96.0.0/16");
    ck_assert_str_eq(inet_prefix_format(&s->cidrs[1], buf), "fd00:96::/112");
    kube_object_destroy(o);

    static const struct { const char *body, *want; } bad[] = {
        { "", "spec: is missing" },
        { "'spec':{}", "spec.cidrs: is missing" },
        { "'spec':{'cidrs':'10.96.0.0/16'}", "spec.cidrs: " },
        { "'spec':{'cidrs':[7]}", "spec.cidrs[0]: " },
        { "'spec':{'cidrs':['10.96.0.0/16','10.96.0.0']}", "spec.cidrs[1]: " },
        { "'spec':{'cidrs':['10.96.0.0/33']}", "spec.cidrs[0]: " },
        { "'spec':{'cidrs':['10.96.0.0/16','fd00:96::/112','10.97.0.0/16']}", "spec.cidrs: has more than 2 elements" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        check_bad(KUBE_SERVICECIDR, bad[i].body, bad[i].want);
    }
    ck_assert(kube_kind_is_optional(KUBE_SERVICECIDR) && kube_kind_may_be_absent(KUBE_SERVICECIDR));
    ck_assert(!kube_kind_is_namespaced(KUBE_SERVICECIDR) && !kube_kind_is_optional(KUBE_SERVICE));
}
END_TEST

static void
announce(struct store *store, const char *name, const char *cidrs)
{
    char *text = xasprintf("{'metadata':{'name':'%s'},'spec':{'cidrs':[%s]}}", name, cidrs);
    json_t *json = load_quoted(text);
    struct kube_object *object;

    ck_assert_msg(!kube_object_decode_kind(KUBE_SERVICECIDR, json, &object, NULL), "%s", text);
    store_put(store, object);
    json_decref(json);
    free(text);
}

static void
check_ranges(const struct store *store, const char *want)
{
    struct inet_prefix configured[] = { inet_cidr_constant("fd00:96::/112"), inet_cidr_constant("10.96.0.0/16") };
    struct inet_prefix pods[] = { inet_cidr_constant("10.244.1.0/24"), inet_cidr_constant("fd00:10:244:1::/64") };
    struct inet_prefix *ranges;
    struct ds ds = DS_EMPTY_INITIALIZER;
    size_t n = service_ranges_get(store, configured, ARRAY_SIZE(configured), pods, ARRAY_SIZE(pods), &ranges);

    for (size_t i = 0; i < n; i++) {
        ds_put_cstr(&ds, i ? " " : "");
        inet_prefix_put(&ds, &ranges[i]);
    }
    ck_assert_str_eq(ds_cstr(&ds), want);
    ds_destroy(&ds);
    free(ranges);
}

/* services 29: what is configured and what is announced, each range once; not what would take the pods' packets. */
START_TEST(test_ranges)
{
    struct store *store = store_create();

    check_ranges(store, "10.96.0.0/16 fd00:96::/112");
    announce(store, "kubernetes", "'10.96.0.0/16','fd00:96::/112'");
    check_ranges(store, "10.96.0.0/16 fd00:96::/112");
    announce(store, "more", "'fd00:97::/112'");
    announce(store, "again", "'10.20.0.0/16','fd00:97::/112'");
    check_ranges(store, "10.20.0.0/16 10.96.0.0/16 fd00:96::/112 fd00:97::/112");
    announce(store, "again", "'10.21.0.0/16'");
    announce(store, "pods", "'10.244.0.0/16','fd00::/8'");
    announce(store, "all", "'0.0.0.0/0','::/0'");
    check_ranges(store, "10.21.0.0/16 10.96.0.0/16 fd00:96::/112 fd00:97::/112");
    store_remove(store, KUBE_SERVICECIDR, "", "more");
    store_remove(store, KUBE_SERVICECIDR, "", "kubernetes");
    check_ranges(store, "10.21.0.0/16 10.96.0.0/16 fd00:96::/112");
    store_destroy(store);
}
END_TEST

START_TEST(test_ranges_bounded)
{
    struct store *store = store_create();
    struct inet_prefix *ranges;

    for (int i = 0; i <= SERVICE_RANGES_MAX; i++) {
        char *name = xasprintf("r%d", i), *cidr = xasprintf("'11.%d.%d.0/24'", i / 256, i % 256);
        announce(store, name, cidr);
        free(name);
        free(cidr);
    }
    ck_assert_uint_eq(service_ranges_get(store, NULL, 0, NULL, 0, &ranges), SERVICE_RANGES_MAX);
    free(ranges);
    store_destroy(store);
}
END_TEST

UNIT_MAIN("kube-service", {
    tcase_add_test(tc, test_cidr);
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_ranges_bounded);

    tcase_add_test(tc, test_service);
    tcase_add_test(tc, test_service_variants);
    tcase_add_test(tc, test_service_bad);
    tcase_add_test(tc, test_slice);
    tcase_add_test(tc, test_slice_bad);
})
