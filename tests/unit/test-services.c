/* controller/services.h: which endpoints are chosen, and which doors lead to them.  "services 4" is item 4 of the list of what
 * must hold for Services. */
#include <config.h>

#include <string.h>

#include "service-world.h"
#include "unit.h"
#include "util.h"

#define IPS "'clusterIPs':['10.96.0.1'],"
#define PORT "'ports':[{'name':'http','port':80}],"

static void
expect_doors(struct service_world *w, const char *want)
{
    service_world_settle(w);
    char *doors = service_world_doors(w);
    ck_assert_str_eq(doors, want);
    free(doors);
}

static void
expect_to(struct service_world *w, enum flow_door_source source, const char *src, const char *dst, uint8_t protocol,
          uint16_t port, const char *want)
{
    char *got = service_world_ask(w, source, src, dst, protocol, port);
    ck_assert_msg(!strcmp(got, want), "%s to %s:%d: %s instead of %s", src, dst, port, got, want);
    free(got);
}

/* One Service; slices; what pods see at the cluster address, and others at the node port, from outside and inside. */
struct choice_case {
    const char *what, *spec, *slices[2], *cluster, *outside, *inside;
};

#define CLUSTER ""
#define ITP_LOCAL "'internalTrafficPolicy':'Local',"
#define ETP_LOCAL "'externalTrafficPolicy':'Local',"

static const struct choice_case choices[] = {
    { "services 3: nil is ready", CLUSTER, { "10.0.0.1 10.0.0.2|n2|r 10.0.0.3|n2|R" }, "1 2", "1 2", "1 2" },
    { "services 3: serving is nil: as ready", CLUSTER, { "10.0.0.1||Rt 10.0.0.2||Rst" }, "2", "2", "2" },
    { "services 4, 26: ready before terminating", CLUSTER, { "10.0.0.1||Rst 10.0.0.2||r" }, "2", "2", "2" },
    { "services 4, 26: only terminating", CLUSTER, { "10.0.0.1||Rst 10.0.0.2||RSt" }, "1", "1", "1" },
    { "services 9: not serving", CLUSTER, { "10.0.0.1||RSt 10.0.0.2||RS" }, "reject", "reject", "reject" },
    { "services 9: nothing", CLUSTER, { NULL }, "reject", "reject", "reject" },
    { "services 2: several slices, one endpoint twice", CLUSTER, { "10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.3" }, "1 2 3",
      "1 2 3", "1 2 3" },
    { "services 2: of two with one address the ready one", CLUSTER, { "10.0.0.1|n1|Rst", "10.0.0.1|n2|r" }, "1", "1", "1" },

    { "services 5: node hint", CLUSTER, { "10.0.0.1|n1|r|hn1 10.0.0.2|n2|r|hn2" }, "1", "1", "1" },
    { "services 5: node hint, none for us", CLUSTER, { "10.0.0.1|n3|r|hn3 10.0.0.2|n2|r|hn2" }, "1 2", "1 2", "1 2" },
    { "services 5: one without a node hint", CLUSTER, { "10.0.0.1|n1|r|hn1 10.0.0.2|n2|r" }, "1 2", "1 2", "1 2" },
    { "services 5: the hint of one that is not ready is missing", CLUSTER, { "10.0.0.1|n1|r|hn1 10.0.0.2|n2|R" }, "1", "1", "1" },
    { "services 5: zone hint", CLUSTER, { "10.0.0.1||r|zeast,zwest 10.0.0.2||r|zwest" }, "1", "1", "1" },
    { "services 5: zone hint, none for us", CLUSTER, { "10.0.0.1||r|zwest 10.0.0.2||r|zwest" }, "1 2", "1 2", "1 2" },
    { "services 5: node before zone", CLUSTER, { "10.0.0.1|n1|r|zwest,hn1 10.0.0.2|n2|r|zeast,hn2" }, "1", "1", "1" },
    { "services 5: zone when no node hint is for us", CLUSTER, { "10.0.0.1|n3|r|zwest,hn3 10.0.0.2|n2|r|zeast,hn2" }, "2", "2", "2" },
    { "services 5, 26: terminating ones regardless of hints", CLUSTER, { "10.0.0.1|n1|Rst|hn1 10.0.0.2|n2|Rst|hn2" }, "1 2",
      "1 2", "1 2" },

    { "services 8: local", ITP_LOCAL, { "10.0.0.1|n1 10.0.0.2|n2" }, "1", "1 2", "1 2" },
    { "services 8: none local, some elsewhere", ITP_LOCAL, { "10.0.0.2|n2" }, "drop", "2", "2" },
    { "services 8, 9: none anywhere", ITP_LOCAL, { "10.0.0.1|n1|R" }, "reject", "reject", "reject" },
    { "services 8, 26: local terminating, ready elsewhere", ITP_LOCAL, { "10.0.0.1|n1|Rst 10.0.0.2|n2" }, "1", "2", "2" },
    { "services 8: hints do not matter", ITP_LOCAL, { "10.0.0.1|n1|r|hn2 10.0.0.2|n2|r|hn2" }, "1", "1 2", "1 2" },

    { "services 13, 14: local from outside", ETP_LOCAL, { "10.0.0.1|n1 10.0.0.2|n2" }, "1 2", "1", "1 2" },
    { "services 13, 14: none local, some elsewhere", ETP_LOCAL, { "10.0.0.2|n2" }, "2", "drop", "2" },
    { "services 13, 9: none anywhere", ETP_LOCAL, { NULL }, "reject", "reject", "reject" },
    { "services 13, 26: local terminating", ETP_LOCAL, { "10.0.0.1|n1|Rst 10.0.0.2|n2" }, "2", "1", "2" },
    { "services 8, 13: both", ITP_LOCAL ETP_LOCAL, { "10.0.0.1|n1 10.0.0.2|n2" }, "1", "1", "1 2" },
};

/* "1 2" -> "10.0.0.1:8080 10.0.0.2:8080". */
static void
expect_short(struct service_world *w, const struct choice_case *c, enum flow_door_source source, const char *dst,
             uint16_t port, const char *want)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (const char *s = want; *s; s++) {
        if (*s >= '0' && *s <= '9') {
            ds_put_format(&ds, "%s10.0.0.%c:8080", ds.length ? " " : "", *s);
        }
    }
    char *got = service_world_ask(w, source, "198.51.100.9", dst, IPPROTO_TCP, port);
    ck_assert_msg(!strcmp(got, ds.length ? ds_cstr(&ds) : want), "%s: to %s:%d: %s instead of %s", c->what, dst, port, got, want);
    free(got);
    ds_destroy(&ds);
}

START_TEST(test_choice)
{
    const struct choice_case *c = &choices[_i];
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, "east", "192.0.2.1 2001:db8::1");
    char *spec = xasprintf("'type':'NodePort'," IPS "%s'ports':[{'name':'http','port':80,'nodePort':30080}]", c->spec);
    service_world_service(&w, "a/web", spec);
    free(spec);
    for (size_t i = 0; i < ARRAY_SIZE(c->slices) && c->slices[i]; i++) {
        char *name = xasprintf("a/web-%"PRIuSIZE, i);
        service_world_slice(&w, name, "web", "http:8080/TCP", c->slices[i]);
        free(name);
    }
    service_world_settle(&w);
    expect_short(&w, c, FLOW_DOOR_ANYBODY, "10.96.0.1", 80, c->cluster);
    expect_short(&w, c, FLOW_DOOR_NODE, "10.96.0.1", 80, c->cluster);
    expect_short(&w, c, FLOW_DOOR_OUTSIDE, "192.0.2.1", 30080, c->outside);
    expect_short(&w, c, FLOW_DOOR_ANYBODY, "192.0.2.1", 30080, c->inside);
    expect_short(&w, c, FLOW_DOOR_NODE, "192.0.2.1", 30080, c->inside);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.1", IPPROTO_TCP, 81, "reject");        /* services 10. */
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_TCP, 81, "pass");
    service_world_destroy(&w);
}
END_TEST

/* Several ports, protocols and families; ports joined by name, several targets.  services 2, 6, 22. */
START_TEST(test_ports)
{
    struct service_world w;

    service_world_init(&w);
    service_world_service(&w, "a/dns", "'clusterIPs':['10.96.0.10','fd00:96::a'],'ports':[{'name':'dns','port':53,'protocol':'UDP'},"
                          "{'name':'dns-tcp','port':53},{'name':'metrics','port':9153},{'name':'sctp','port':9,'protocol':'SCTP'}]");
    service_world_slice(&w, "a/dns-1", "dns", "dns:1053/UDP dns-tcp:1053/TCP metrics:9153/TCP sctp:9/SCTP", "10.0.0.1");
    service_world_slice(&w, "a/dns-2", "dns", "dns:2053/UDP dns-tcp:2053/UDP other:9153/TCP", "10.0.0.2");
    service_world_slice(&w, "a/dns-3", "dns", "dns:53/UDP dns-tcp:53/TCP", "fd00::1 fd00::2");
    expect_doors(&w,
                 "cluster 10.96.0.10:53/TCP -> 10.0.0.1:1053\n"
                 "cluster 10.96.0.10:53/UDP fragments -> 10.0.0.1:1053 10.0.0.2:2053\n"
                 "cluster 10.96.0.10:9/SCTP fragments -> 10.0.0.1:9\n"
                 "cluster 10.96.0.10:9153/TCP -> 10.0.0.1:9153\n"
                 "cluster 10.96.0.10:rest -> reject\n"
                 "cluster fd00:96::a:53/TCP -> fd00::1:53 fd00::2:53\n"
                 "cluster fd00:96::a:53/UDP fragments -> fd00::1:53 fd00::2:53\n"
                 "cluster fd00:96::a:9/SCTP fragments -> reject\n"
                 "cluster fd00:96::a:9153/TCP -> reject\n"
                 "cluster fd00:96::a:rest -> reject");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.10", IPPROTO_UDP, 53, "10.0.0.1:1053 10.0.0.2:2053");
    expect_to(&w, FLOW_DOOR_ANYBODY, "fd00::9", "fd00:96::a", IPPROTO_TCP, 53, "[fd00::1]:53 [fd00::2]:53");

    struct services_stats stats;
    services_get_stats(w.core, &stats);
    ck_assert(stats.n_services == 1 && stats.n_ports == 8 && stats.n_doors == 10 && stats.n_slices == 3 && stats.n_endpoints == 4);
    ck_assert_uint_eq(stats.n_sets, 5);         /* dns and dns-tcp of IPv6 share one. */

    /* The secondary family goes. */
    service_world_service(&w, "a/dns", "'clusterIPs':['10.96.0.10'],'ports':[{'name':'dns','port':53,'protocol':'UDP'}]");
    expect_doors(&w,
                 "cluster 10.96.0.10:53/UDP fragments -> 10.0.0.1:1053 10.0.0.2:2053\n"
                 "cluster 10.96.0.10:rest -> reject");
    service_world_destroy(&w);
}
END_TEST

/* services 1, 15. */
START_TEST(test_not_proxied)
{
    static const char *const services[] = {
        "'metadata':{'name':'web','namespace':'a'},'spec':{'clusterIP':'None'," PORT "'x':1}",
        "'metadata':{'name':'web','namespace':'a'},'spec':{'type':'ExternalName','externalName':'x.example.com'}",
        "'metadata':{'name':'web','namespace':'a','labels':{'service.kubernetes.io/service-proxy-name':'other'}},"
        "'spec':{" IPS PORT "'x':1}",
        "'metadata':{'name':'web','namespace':'a','labels':{'service.kubernetes.io/headless':''}},'spec':{" IPS PORT "'x':1}",
    };
    struct service_world w;

    service_world_init(&w);
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1");
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        service_world_put(&w, "{'apiVersion':'v1','kind':'Service',%s}", services[i]);
        expect_doors(&w, "");
        ck_assert(hmap_is_empty(&w.flows) && hmap_is_empty(&w.groups) && shash_is_empty(&w.hosts));
        service_world_service(&w, "a/web", IPS PORT "'x':1");
        expect_doors(&w, "cluster 10.96.0.1:80/TCP fragments -> 10.0.0.1:8080\ncluster 10.96.0.1:rest -> reject");
    }
    service_world_put(&w, "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'namespace':'a','name':'web-1',"
                      "'labels':{'kubernetes.io/service-name':'web','service.kubernetes.io/headless':''}},'addressType':'IPv4',"
                      "'ports':[{'name':'http','port':8080}],'endpoints':[{'addresses':['10.0.0.1']}]}");
    expect_doors(&w, "cluster 10.96.0.1:80/TCP fragments -> reject\ncluster 10.96.0.1:rest -> reject");
    service_world_remove(&w, "EndpointSlice a/web-1");
    service_world_remove(&w, "Service a/web");
    expect_doors(&w, "");
    ck_assert(hmap_is_empty(&w.flows) && hmap_is_empty(&w.groups) && shash_is_empty(&w.hosts));
    service_world_destroy(&w);
}
END_TEST

static const char *
host(const struct service_world *w, const char *key)
{
    const char *text = shash_find_data(&w->hosts, key);
    return text ? text : "none";
}

/* services 13, 16, 17, 18, 19, 20. */
START_TEST(test_load_balancer)
{
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1");
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1|n1 10.0.0.2|n2 10.0.0.3|n1|rt");
    service_world_put(&w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':'a'},'spec':{'type':'LoadBalancer',"
                      IPS PORT "'externalIPs':['198.51.100.7','2001:db8::7','198.51.100.7'],"
                      "'loadBalancerSourceRanges':[' 203.0.113.0/24','2001:db8::/32','203.0.113.0/24'],'allocateLoadBalancerNodePorts':false},"
                      "'status':{'loadBalancer':{'ingress':[{'ip':'198.51.100.1'},{'ip':'198.51.100.2','ipMode':'Proxy'},"
                      "{'hostname':'x'},{'ip':'198.51.100.7'},{'ip':'2001:db8::1'}]}}}");
#define ALL "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:8080"
    expect_doors(&w,
                 "cluster 10.96.0.1:80/TCP fragments -> " ALL "\n"
                 "cluster 10.96.0.1:rest -> reject\n"
                 "external 198.51.100.7:80/TCP fragments -> " ALL "\n"
                 "lb 198.51.100.1:80/TCP fragments -> drop\n"
                 "lb 198.51.100.1:80/TCP from 203.0.113.0/24 fragments -> " ALL "\n"
                 "lb 198.51.100.1:80/TCP node fragments -> " ALL "\n"
                 "lb 198.51.100.1:80/TCP outside fragments -> " ALL);
    ck_assert_str_eq(host(&w, "external 198.51.100.1 TCP 80"), " from 203.0.113.0/24");
    ck_assert_str_eq(host(&w, "external 198.51.100.7 TCP 80"), "");
    ck_assert_str_eq(host(&w, "cluster 10.96.0.1 any 0"), "");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "198.51.100.1", IPPROTO_TCP, 80, "drop");
    expect_to(&w, FLOW_DOOR_ANYBODY, "203.0.113.9", "198.51.100.1", IPPROTO_TCP, 80, ALL);
    expect_to(&w, FLOW_DOOR_NODE, "192.0.2.1", "198.51.100.1", IPPROTO_TCP, 80, ALL);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "198.51.100.2", IPPROTO_TCP, 80, "pass");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.1", IPPROTO_TCP, 80, ALL);

    service_world_put(&w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':'a'},'spec':{'type':'LoadBalancer',"
                      IPS PORT ETP_LOCAL "'healthCheckNodePort':30999,'loadBalancerSourceRanges':['203.0.113.0/24']},"
                      "'status':{'loadBalancer':{'ingress':[{'ip':'198.51.100.1'},{'ip':'192.0.2.1'}]}}}");
    service_world_settle(&w);
    ck_assert_str_eq(host(&w, "external 198.51.100.1 TCP 80"), "keep from 203.0.113.0/24");
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.113.9", "198.51.100.1", IPPROTO_TCP, 80, "10.0.0.1:8080 10.0.0.3:8080");
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.114.9", "198.51.100.1", IPPROTO_TCP, 80, "drop");
    expect_to(&w, FLOW_DOOR_ANYBODY, "203.0.113.9", "198.51.100.1", IPPROTO_TCP, 80, ALL);
    expect_to(&w, FLOW_DOOR_NODE, "192.0.2.1", "198.51.100.1", IPPROTO_TCP, 80, ALL);
    ck_assert_str_eq(shash_find_data(&w.healths, "30999"), "a/web 1");          /* Not the terminating one. */

    /* The address of the node itself: packets from outside come to the alias. */
    const char *alias = strstr(host(&w, "external 192.0.2.1 TCP 80"), "alias ");
    ck_assert(alias && !strncmp(host(&w, "external 192.0.2.1 TCP 80"), "keep", 4));
    char *addr = xmemdup0(alias + 6, strcspn(alias + 6, " "));
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.113.9", addr, IPPROTO_TCP, 80, "10.0.0.1:8080 10.0.0.3:8080");
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.114.9", addr, IPPROTO_TCP, 80, "drop");
    expect_to(&w, FLOW_DOOR_ANYBODY, "203.0.113.9", "192.0.2.1", IPPROTO_TCP, 80, ALL);
    service_world_node(&w, NULL, "192.0.2.2");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.113.9", addr, IPPROTO_TCP, 80, "pass");
    ck_assert_ptr_null(strstr(host(&w, "external 192.0.2.1 TCP 80"), "alias"));
    free(addr);

    service_world_service(&w, "a/web", IPS PORT "'x':1");                        /* services 15. */
    service_world_settle(&w);
    ck_assert(shash_is_empty(&w.healths) && shash_count(&w.hosts) == 1);
    service_world_destroy(&w);
}
END_TEST

/* services 12, 15. */
START_TEST(test_node_port)
{
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1 2001:db8::1");
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1|n1");
    service_world_service(&w, "a/web", "'type':'NodePort'," IPS "'ports':[{'name':'http','port':80,'nodePort':30080}]");
    expect_doors(&w,
                 "cluster 10.96.0.1:80/TCP fragments -> 10.0.0.1:8080\n"
                 "cluster 10.96.0.1:rest -> reject\n"
                 "node-port node4:30080/TCP -> 10.0.0.1:8080");
    ck_assert_str_eq(host(&w, "node-port 0.0.0.0 TCP 30080"), "");
    service_world_node(&w, NULL, "192.0.2.1 192.0.2.2");
    service_world_settle(&w);
    ck_assert_uint_eq(w.n_flow_effects, 2);             /* One address less, one more; the doors stay. */
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.2", IPPROTO_TCP, 30080, "10.0.0.1:8080");

    service_world_service(&w, "a/web", IPS "'ports':[{'name':'http','port':80,'nodePort':30080}]");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.2", IPPROTO_TCP, 30080, "pass");
    ck_assert_str_eq(host(&w, "node-port 0.0.0.0 TCP 30080"), "none");
    service_world_destroy(&w);
}
END_TEST

/* services 11, 12, 19: an address and port are never translated to themselves. */
START_TEST(test_own_endpoint)
{
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1");
    service_world_slice(&w, "a/web-1", "web", "http:80/TCP", "192.0.2.1|n1 192.0.2.2|n2");
    service_world_service(&w, "a/web", IPS PORT "'externalIPs':['192.0.2.1','192.0.2.2','192.0.2.3']");
    expect_doors(&w,
                 "cluster 10.96.0.1:80/TCP fragments -> 192.0.2.1:80 192.0.2.2:80\n"
                 "cluster 10.96.0.1:rest -> reject\n"
                 "external 169.254.205.18:80/TCP -> 192.0.2.1:80 192.0.2.2:80\n"
                 "external 192.0.2.1:80/TCP -> direct\n"
                 "external 192.0.2.2:80/TCP fragments -> direct\n"
                 "external 192.0.2.3:80/TCP fragments -> 192.0.2.1:80 192.0.2.2:80");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_TCP, 80, "pass");
    ck_assert_ptr_nonnull(strstr(host(&w, "external 192.0.2.1 TCP 80"), "alias"));
    ck_assert_str_eq(host(&w, "external 192.0.2.2 TCP 80"), "none");            /* The stack finds it itself. */
    ck_assert_str_eq(host(&w, "external 192.0.2.3 TCP 80"), "");

    /* One that is no endpoint any more is a door as others are. */
    service_world_slice(&w, "a/web-1", "web", "http:80/TCP", "192.0.2.2|n2");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_TCP, 80, "192.0.2.2:80");

    /* One that is in a set for other doors only. */
    service_world_slice(&w, "a/web-1", "web", "http:80/TCP", "192.0.2.1|n1|r|hn3 192.0.2.2|n2|r|hn1");
    service_world_service(&w, "a/web", IPS PORT "'internalTrafficPolicy':'Local','externalIPs':['192.0.2.1']");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.1", IPPROTO_TCP, 80, "192.0.2.1:80");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_TCP, 80, "192.0.2.2:80");

    /* A node port, and a server at a node's address with that number. */
    service_world_slice(&w, "a/web-1", "web", "http:30080/TCP", "192.0.2.1|n1 192.0.2.2|n2");
    service_world_service(&w, "a/web", "'type':'NodePort','externalTrafficPolicy':'Local'," IPS
                          "'ports':[{'name':'http','port':80,'nodePort':30080}]");
    expect_doors(&w,
                 "cluster 10.96.0.1:80/TCP fragments -> 192.0.2.1:30080 192.0.2.2:30080\n"
                 "cluster 10.96.0.1:rest -> reject\n"
                 "node-port 192.0.2.1:30080/TCP -> direct\n"
                 "node-port 192.0.2.2:30080/TCP -> direct\n"
                 "node-port node4:30080/TCP -> 192.0.2.1:30080 192.0.2.2:30080\n"
                 "node-port node4:30080/TCP outside -> 192.0.2.1:30080");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_TCP, 30080, "pass");

    /* Nothing is behind a cluster address that is its own endpoint. */
    service_world_slice(&w, "a/web-1", "web", "http:80/TCP", "10.96.0.1 10.0.0.1");
    service_world_service(&w, "a/web", IPS PORT "'x':1");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.1", IPPROTO_TCP, 80, "drop");
    service_world_destroy(&w);
}
END_TEST

/* Neither are the addresses between br-int and the node's stack. */
START_TEST(test_link_is_no_endpoint)
{
    struct service_world w;

    service_world_init(&w);
    service_world_slice(&w, "a/web-1", "web", "http:80/TCP", "fd53:4c00:0:1::3 2001:db8::5");
    service_world_service(&w, "a/web", "'clusterIPs':['2001:db8:96::1'],'ipFamilies':['IPv6']," PORT "'x':1");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_ANYBODY, "2001:db8::9", "2001:db8:96::1", IPPROTO_TCP, 80, "[2001:db8::5]:80");
    service_world_destroy(&w);
}
END_TEST

static struct in6_addr
addr(const char *text)
{
    struct in6_addr a;
    ck_assert(!inet_addr_parse(text, &a, NULL));
    return a;
}

/* services 31. */
START_TEST(test_host_ports)
{
    struct world_pod pod = { .id = 7, .n_addrs = 2, .addrs = { addr("10.0.0.5"), addr("fd00::5") } };
    struct world_pod other = { .id = 8, .n_addrs = 1, .addrs = { addr("10.0.0.6") } };
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1 2001:db8::1");
    pod.ports[pod.n_ports++] = (struct service_host_port) { addr("0.0.0.0"), 8000, 80, IPPROTO_TCP };
    pod.ports[pod.n_ports++] = (struct service_host_port) { addr("192.0.2.1"), 9000, 90, IPPROTO_TCP };
    other.ports[other.n_ports++] = (struct service_host_port) { addr("127.0.0.1"), 9000, 91, IPPROTO_TCP };
    other.ports[other.n_ports++] = (struct service_host_port) { addr("192.0.2.1"), 9000, 92, IPPROTO_UDP };
    service_world_pod(&w, &pod);
    service_world_pod(&w, &other);
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.113.9", "192.0.2.1", IPPROTO_TCP, 8000, "10.0.0.5:80");
    expect_to(&w, FLOW_DOOR_OUTSIDE, "2001:db8::9", "2001:db8::1", IPPROTO_TCP, 8000, "[fd00::5]:80");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_TCP, 9000, "10.0.0.5:90");
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "192.0.2.1", IPPROTO_UDP, 9000, "10.0.0.6:92");
    ck_assert_ptr_nonnull(strstr(host(&w, "external 127.0.0.1 TCP 9000"), "alias"));
    ck_assert_str_eq(host(&w, "node-port 0.0.0.0 TCP 8000"), "");

    /* A NodePort of the same number goes first; the pod's comes back when it goes. */
    service_world_service(&w, "a/web", "'type':'NodePort'," IPS "'ports':[{'name':'http','port':80,'nodePort':8000}]");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.113.9", "192.0.2.1", IPPROTO_TCP, 8000, "reject");
    service_world_remove(&w, "Service a/web");
    service_world_settle(&w);
    expect_to(&w, FLOW_DOOR_OUTSIDE, "203.0.113.9", "192.0.2.1", IPPROTO_TCP, 8000, "10.0.0.5:80");

    pod.n_ports = other.n_ports = 0;
    service_world_pod(&w, &pod);
    service_world_pod(&w, &other);
    service_world_settle(&w);
    ck_assert(shash_is_empty(&w.hosts) && hmap_count(&w.flows) == 2);           /* The node's addresses. */
    service_world_destroy(&w);
}
END_TEST

/* services 21. */
START_TEST(test_affinity)
{
    struct service_world w;

    service_world_init(&w);
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1|n1 10.0.0.2|n2");
    service_world_slice(&w, "a/two-1", "two", "http:8080/TCP", "10.0.0.1|n1 10.0.0.2|n2");
#define AFFINE "'sessionAffinity':'ClientIP','sessionAffinityConfig':{'clientIP':{'timeoutSeconds':60}}"
    service_world_service(&w, "a/web", IPS PORT AFFINE);
    service_world_service(&w, "a/two", "'clusterIPs':['10.96.0.2']," PORT AFFINE);
    expect_doors(&w,
                 "cluster 10.96.0.1:80/TCP fragments affinity 60 -> 10.0.0.1:8080 10.0.0.2:8080\n"
                 "cluster 10.96.0.1:rest -> reject\n"
                 "cluster 10.96.0.2:80/TCP fragments affinity 60 -> 10.0.0.1:8080 10.0.0.2:8080\n"
                 "cluster 10.96.0.2:rest -> reject");
    struct services_stats stats;
    services_get_stats(w.core, &stats);
    ck_assert(stats.n_sets == 2 && stats.n_affinity_sets == 2);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.1", IPPROTO_TCP, 80, "10.0.0.1:8080 10.0.0.2:8080");

    /* One endpoint goes: its flow goes, by which the switch forgets what it learned; the other's stays as it is. */
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1|n1");
    service_world_settle(&w);
    ck_assert(w.n_flow_effects == 1 && w.n_group_effects == 1);

    /* Switched off: back to a group. */
    service_world_service(&w, "a/web", IPS PORT "'sessionAffinity':'None'");
    service_world_settle(&w);
    services_get_stats(w.core, &stats);
    ck_assert(stats.n_affinity_sets == 1);
    expect_to(&w, FLOW_DOOR_ANYBODY, "10.0.0.9", "10.96.0.1", IPPROTO_TCP, 80, "10.0.0.1:8080");
    service_world_destroy(&w);
}
END_TEST

UNIT_MAIN("services", {
    tcase_add_loop_test(tc, test_choice, 0, ARRAY_SIZE(choices));
    tcase_add_test(tc, test_ports);
    tcase_add_test(tc, test_not_proxied);
    tcase_add_test(tc, test_load_balancer);
    tcase_add_test(tc, test_node_port);
    tcase_add_test(tc, test_own_endpoint);
    tcase_add_test(tc, test_link_is_no_endpoint);
    tcase_add_test(tc, test_host_ports);
    tcase_add_test(tc, test_affinity);
})
