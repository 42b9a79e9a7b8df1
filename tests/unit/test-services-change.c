/* controller/services.h: what a change costs, what it flushes, and what is wrong with objects.  "services 23" is item 23 of the
 * list of what must hold for Services. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "service-world.h"
#include "svec.h"
#include "unit.h"
#include "util.h"

#define IPS "'clusterIPs':['10.96.0.1'],"
#define PORT "'ports':[{'name':'http','port':80}],"
#define DNS "'ports':[{'name':'dns','port':53,'protocol':'UDP','nodePort':30053}]"

/* Flushes of the last run, sorted, one a line. */
static void
expect_flushes(struct service_world *w, const char *want)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    struct shash_node *node;

    service_world_settle(w);
    SHASH_FOR_EACH (node, &w->flushes) {
        svec_add(&lines, node->name);
    }
    svec_sort(&lines);
    char *text = svec_join(&lines, "\n", "");
    ck_assert_str_eq(text, want);
    free(text);
    svec_destroy(&lines);
}

struct problem {
    const char *name;
    char *text;
};

static void
take_problem(const struct kube_service *service, const char *problem, void *p_)
{
    struct problem *p = p_;

    if (!strcmp(service->object.name, p->name)) {
        p->text = xstrdup(problem);
    }
}

static void
expect_problem(const struct service_world *w, const char *name, const char *want)
{
    struct problem p = { name, NULL };

    services_for_each_problem(w->core, take_problem, &p);
    ck_assert_msg(want ? p.text && !strcmp(p.text, want) : !p.text, "%s: \"%s\" instead of \"%s\"", name,
                  p.text ? p.text : "-", want ? want : "-");
    free(p.text);
}

static void
expect_to(struct service_world *w, const char *dst, uint8_t protocol, uint16_t port, const char *want)
{
    char *got = service_world_ask(w, FLOW_DOOR_ANYBODY, "10.0.0.9", dst, protocol, port);
    ck_assert_msg(!strcmp(got, want), "to %s:%d: %s instead of %s", dst, port, got, want);
    free(got);
}

/* services 24. */
START_TEST(test_flush)
{
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1");
    service_world_service(&w, "a/dns", "'type':'NodePort'," IPS "'externalIPs':['198.51.100.1']," DNS);
    expect_flushes(&w, "");
    /* Entries that the node's stack made before there was an endpoint. */
    service_world_slice(&w, "a/dns-1", "dns", "dns:1053/UDP", "10.0.0.1 10.0.0.2");
    expect_flushes(&w, "UDP 10.96.0.1 53 10.96.0.1 53\nUDP 10.96.0.1 53 host\nUDP 169.254.192.3 30053 169.254.192.3 30053\n"
                   "UDP 192.0.2.1 30053 192.0.2.1 30053\nUDP 192.0.2.1 30053 host\n"
                   "UDP 198.51.100.1 53 198.51.100.1 53\nUDP 198.51.100.1 53 host");
    /* One that is terminating but still serves keeps its clients, as one whose hints changed does. */
    service_world_slice(&w, "a/dns-1", "dns", "dns:1053/UDP", "10.0.0.1 10.0.0.2||Rst");
    expect_flushes(&w, "");
    service_world_slice(&w, "a/dns-1", "dns", "dns:1053/UDP", "10.0.0.1");
    expect_flushes(&w, "UDP 10.96.0.1 53 10.0.0.2 1053\nUDP 169.254.192.3 30053 10.0.0.2 1053\n"
                   "UDP 192.0.2.1 30053 10.0.0.2 1053\nUDP 198.51.100.1 53 10.0.0.2 1053");
    /* A door goes; another comes. */
    service_world_service(&w, "a/dns", "'type':'NodePort'," IPS "'externalIPs':['198.51.100.2']," DNS);
    expect_flushes(&w, "UDP 198.51.100.1 53 10.0.0.1 1053\nUDP 198.51.100.2 53 198.51.100.2 53\nUDP 198.51.100.2 53 host");
    /* The same object again, another slice for the same endpoint: nothing. */
    service_world_service(&w, "a/dns", "'type':'NodePort'," IPS "'externalIPs':['198.51.100.2']," DNS);
    service_world_slice(&w, "a/dns-2", "dns", "dns:1053/UDP", "10.0.0.1 10.0.0.3");
    expect_flushes(&w, "");
    service_world_remove(&w, "EndpointSlice a/dns-1");
    expect_flushes(&w, "");
    service_world_remove(&w, "Service a/dns");
    service_world_settle(&w);
    ck_assert_uint_eq(shash_count(&w.flushes), 8);
    service_world_destroy(&w);
}
END_TEST

static void
expect_kept(const struct service_world *w, bool want, const char *vip, uint16_t vip_port, const char *endpoint, uint16_t endpoint_port)
{
    struct ct_entry entry = {
        .protocol = IPPROTO_UDP, .vip = inet_addr_constant(vip), .vip_port = vip_port, .endpoint = inet_addr_constant(endpoint),
        .endpoint_port = endpoint_port,
    };

    ck_assert_msg(services_keeps(w->core, &entry) == want, "%s:%d by %s:%d", vip, vip_port, endpoint, endpoint_port);
}

/* services 24, 28: what was made while nobody looked is judged by what is there now. */
START_TEST(test_keeps)
{
    static const char *const ways[] = { "10.96.0.1", "169.254.192.3", "192.0.2.1", "198.51.100.1", "192.0.2.2", NULL };
    const char *alias = NULL;           /* Of the last but one. */
    struct shash_node *node;
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1 192.0.2.2");
    service_world_service(&w, "a/dns", "'type':'NodePort'," IPS "'externalIPs':['198.51.100.1','192.0.2.2']," DNS);
    service_world_slice(&w, "a/dns-1", "dns", "dns:1053/UDP", "10.0.0.1 10.0.0.2||Rst 10.0.0.3||RSt");
    service_world_settle(&w);
    SHASH_FOR_EACH (node, &w.hosts) {
        const char *text = strstr(node->data, " alias ");
        alias = text ? text + strlen(" alias ") : alias;
    }
    ck_assert(alias);
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        const char *way = ways[i] ? ways[i] : alias;
        uint16_t port = i == 1 || i == 2 ? 30053 : 53;

        expect_kept(&w, true, way, port, "10.0.0.1", 1053);
        expect_kept(&w, true, way, port, "10.0.0.2", 1053);     /* Still serves. */
        expect_kept(&w, false, way, port, "10.0.0.3", 1053);
        expect_kept(&w, false, way, port, "10.0.0.4", 1053);
        expect_kept(&w, false, way, port, "10.0.0.1", 1054);
        expect_kept(&w, false, way, port + 1, "10.0.0.1", 1053);
        expect_kept(&w, false, way, port, way, port);           /* Older than the door. */
        expect_kept(&w, true, way, port + 1, way, port + 1);    /* None of a Service. */
    }
    expect_kept(&w, false, "192.0.2.3", 30053, "10.0.0.1", 1053);
    expect_kept(&w, true, "192.0.2.3", 30053, "192.0.2.3", 30053);
    expect_kept(&w, true, "10.0.0.1", 1053, "10.0.0.1", 1053);  /* To the endpoint itself. */
    service_world_slice(&w, "a/dns-1", "dns", "dns:1053/UDP", "");
    service_world_settle(&w);
    expect_kept(&w, false, "10.96.0.1", 53, "10.0.0.1", 1053);
    expect_kept(&w, true, "10.96.0.1", 53, "10.96.0.1", 53);
    service_world_destroy(&w);
}
END_TEST

/* TCP notices itself.  services 23. */
START_TEST(test_no_flush_of_tcp)
{
    struct service_world w;

    service_world_init(&w);
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1 10.0.0.2");
    service_world_service(&w, "a/web", IPS PORT "'externalIPs':['198.51.100.2']");
    expect_flushes(&w, "");
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1");
    expect_flushes(&w, "");
    ck_assert(w.n_flow_effects == 0 && w.n_group_effects == 1);                 /* One group; the doors stay. */
    service_world_remove(&w, "Service a/web");
    expect_flushes(&w, "");
    service_world_destroy(&w);
}
END_TEST

struct buckets {
    struct shash by_endpoint;           /* To the first bucket's id. */
    size_t n_doors;
    const struct service_world *w;
};

static void
take_buckets(const struct service_door_info *info, void *b_)
{
    struct buckets *b = b_;
    double sum = 0;

    for (size_t i = 0; i < info->n_endpoints; i++) {
        const struct service_endpoint_info *e = &info->endpoints[i];
        struct ds ds = DS_EMPTY_INITIALIZER;
        char addr[INET_ADDR_STRLEN];

        ck_assert_uint_gt(e->n_buckets, 0);
        for (size_t j = 0; j < e->n_buckets; j++) {
            char *want = xasprintf("%s:%d", inet_addr_format(&e->addr, addr), e->port);
            char *place = service_world_bucket(b->w, e->buckets[j].group_id, e->buckets[j].bucket_id);
            ck_assert_msg(place && !strcmp(place, want), "bucket %"PRIu32" of group %"PRIu32" leads to %s instead of %s",
                          e->buckets[j].bucket_id, e->buckets[j].group_id, place ? place : "nobody", want);
            free(place);
            free(want);
        }
        ds_put_format(&ds, "%"PRIu32, e->buckets[0].bucket_id);
        free(shash_replace(&b->by_endpoint, inet_addr_format(&e->addr, addr), ds_steal_cstr(&ds)));
        sum += e->share;
        ck_assert_msg(e->share * info->n_endpoints > 0.9 && e->share * info->n_endpoints < 1.1, "a share of %f of %"PRIuSIZE,
                      e->share, info->n_endpoints);
    }
    ck_assert(!info->n_endpoints || (sum > 0.9999 && sum < 1.0001));
    b->n_doors += info->n_endpoints > 0;
}

static void
put_many(struct service_world *w, const char *name, const char *service, int first, int n)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (int i = first; i < first + n; i++) {
        ds_put_format(&ds, "%s10.1.%d.%d", i > first ? " " : "", i / 250, i % 250 + 1);
    }
    service_world_slice(w, name, service, "http:8080/TCP", ds_cstr(&ds));
    ds_destroy(&ds);
}

/* Shares; one endpoint more of many changes few buckets; those of the others stay the same buckets.  services 6, 23. */
START_TEST(test_many)
{
    struct service_world w;
    struct buckets before = { SHASH_INITIALIZER(&before.by_endpoint), 0, &w };
    struct buckets after = { SHASH_INITIALIZER(&after.by_endpoint), 0, &w };
    struct shash_node *node;

    service_world_init(&w);
    service_world_service(&w, "a/web", IPS PORT "'x':1");
    put_many(&w, "a/web-1", "web", 0, 500);
    put_many(&w, "a/web-2", "web", 500, 500);
    service_world_settle(&w);
    services_for_each_door(w.core, NULL, take_buckets, &before);
    ck_assert(before.n_doors == 1 && shash_count(&before.by_endpoint) == 1000);
    struct services_stats stats;
    services_get_stats(w.core, &stats);
    ck_assert(stats.n_groups > 1 && stats.n_buckets >= 1000);

    put_many(&w, "a/web-3", "web", 1000, 1);
    service_world_settle(&w);
    ck_assert_uint_eq(w.n_flow_effects, 0);
    ck_assert_uint_le(w.n_group_effects, stats.n_groups);
    services_for_each_door(w.core, NULL, take_buckets, &after);
    SHASH_FOR_EACH (node, &before.by_endpoint) {
        ck_assert_str_eq(node->data, shash_find_data(&after.by_endpoint, node->name));
    }
    shash_destroy_free_data(&before.by_endpoint);
    shash_destroy_free_data(&after.by_endpoint);
    service_world_destroy(&w);
}
END_TEST

/* Equal sets are one group, whose number is that of the first name, whatever comes and goes. */
START_TEST(test_shared)
{
    struct services_stats stats;
    struct service_world w;

    service_world_init(&w);
    for (int i = 0; i < 3; i++) {
        char *name = xasprintf("a/%c", "bca"[i]), *slice = xasprintf("a/%c-1", "bca"[i]);
        char *spec = xasprintf("'clusterIPs':['10.96.0.%d']," PORT "'x':1", i + 1);

        service_world_service(&w, name, spec);
        service_world_slice(&w, slice, name + 2, "http:8080/TCP", "10.0.0.1 10.0.0.2");
        free(name);
        free(slice);
        free(spec);
        service_world_settle(&w);
        services_get_stats(w.core, &stats);
        ck_assert(stats.n_sets == 1 && stats.n_groups == 1);
    }
    ck_assert_uint_eq(w.n_group_effects, 2);            /* "a" has given it its number. */
    service_world_slice(&w, "a/c-1", "c", "http:8080/TCP", "10.0.0.1");
    service_world_settle(&w);
    ck_assert(w.n_group_effects == 1 && w.n_flow_effects == 2);                 /* Another group, the door of "c". */
    service_world_slice(&w, "a/c-1", "c", "http:8080/TCP", "10.0.0.1 10.0.0.2");
    service_world_settle(&w);
    ck_assert(w.n_group_effects == 1 && w.n_flow_effects == 2);
    expect_to(&w, "10.96.0.2", IPPROTO_TCP, 80, "10.0.0.1:8080 10.0.0.2:8080");
    service_world_destroy(&w);
}
END_TEST

/* services 28: the same address again. */
START_TEST(test_again)
{
    struct service_world w;

    service_world_init(&w);
    service_world_service(&w, "a/web", IPS PORT "'x':1");
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1");
    service_world_settle(&w);
    service_world_remove(&w, "Service a/web");
    service_world_service(&w, "a/web", IPS PORT "'x':1");
    service_world_settle(&w);
    ck_assert(!w.n_flow_effects && !w.n_group_effects && !w.n_host_effects);
    service_world_remove(&w, "Service a/web");
    service_world_service(&w, "b/web", IPS PORT "'x':1");
    service_world_settle(&w);
    expect_to(&w, "10.96.0.1", IPPROTO_TCP, 80, "reject");
    expect_problem(&w, "web", NULL);
    service_world_destroy(&w);
}
END_TEST

/* Two want one door: the older has it; who has an address as a cluster address has all of it.  services 17. */
START_TEST(test_claims)
{
#define AT(NAME, DAY, SPEC) \
    "{'apiVersion':'v1','kind':'Service','metadata':{'namespace':'a','name':'" NAME "','creationTimestamp':'2026-01-0" DAY \
    "T00:00:00Z'},'spec':{" SPEC "}}"
    struct service_world w;

    service_world_init(&w);
    service_world_node(&w, NULL, "192.0.2.1");
    service_world_slice(&w, "a/old-1", "old", "http:8080/TCP", "10.0.0.1");
    service_world_slice(&w, "a/new-1", "new", "http:8080/TCP", "10.0.0.2");
#define EXTERNAL "'type':'NodePort','ports':[{'name':'http','port':80,'nodePort':30080}],'externalIPs':['198.51.100.1'],"
    service_world_put(&w, AT("new", "2", EXTERNAL "'clusterIPs':['10.96.0.2']"));
    service_world_settle(&w);
    expect_to(&w, "198.51.100.1", IPPROTO_TCP, 80, "10.0.0.2:8080");
    service_world_put(&w, AT("old", "1", EXTERNAL "'clusterIPs':['10.96.0.1']"));
    service_world_settle(&w);
    expect_to(&w, "198.51.100.1", IPPROTO_TCP, 80, "10.0.0.1:8080");
    expect_to(&w, "192.0.2.1", IPPROTO_TCP, 30080, "10.0.0.1:8080");
    expect_to(&w, "10.96.0.2", IPPROTO_TCP, 80, "10.0.0.2:8080");
    expect_problem(&w, "old", NULL);
    expect_problem(&w, "new", "address 198.51.100.1 port 80/TCP is a/old already; node port 30080/TCP is a/old already");

    /* An externalIP that is another's cluster address gets nothing, older or not, and on no port. */
    service_world_put(&w, AT("old", "1", "'ports':[{'name':'http','port':81}],'externalIPs':['10.96.0.2'],'clusterIPs':['10.96.0.1']"));
    service_world_settle(&w);
    expect_to(&w, "10.96.0.2", IPPROTO_TCP, 81, "reject");
    expect_to(&w, "198.51.100.1", IPPROTO_TCP, 80, "10.0.0.2:8080");
    expect_problem(&w, "old", "address 10.96.0.2 port 81/TCP is a/new already");
    expect_problem(&w, "new", NULL);
    service_world_remove(&w, "Service a/new");
    service_world_settle(&w);
    expect_to(&w, "10.96.0.2", IPPROTO_TCP, 81, "10.0.0.1:8080");
    expect_problem(&w, "old", NULL);
    service_world_destroy(&w);
}
END_TEST

/* Health-check ports that two want.  services 20. */
START_TEST(test_health)
{
    struct service_world w;

    service_world_init(&w);
#define HEALTH "'type':'LoadBalancer','externalTrafficPolicy':'Local','healthCheckNodePort':30999," PORT
    service_world_put(&w, AT("one", "1", HEALTH "'clusterIPs':['10.96.0.1']"));
    service_world_put(&w, AT("two", "2", HEALTH "'clusterIPs':['10.96.0.2']"));
    service_world_slice(&w, "a/one-1", "one", "http:8080/TCP", "10.0.0.1|n1 10.0.0.2|n2 10.0.0.3|n1|Rst");
    service_world_settle(&w);
    ck_assert_str_eq(shash_find_data(&w.healths, "30999"), "a/one 1");
    expect_problem(&w, "two", "health check port 30999 is a/one already");
    service_world_slice(&w, "a/one-1", "one", "http:8080/TCP", "10.0.0.1|n1 10.0.0.2|n1");
    service_world_settle(&w);
    ck_assert_str_eq(shash_find_data(&w.healths, "30999"), "a/one 2");
    service_world_remove(&w, "Service a/one");
    service_world_settle(&w);
    ck_assert_str_eq(shash_find_data(&w.healths, "30999"), "a/two 0");
    expect_problem(&w, "two", NULL);
    service_world_destroy(&w);
}
END_TEST

/* What decoders refuse, but a core must not fall over. */
static struct kube_service *
bare_service(const char *name)
{
    char *json = xasprintf("{'apiVersion':'v1','kind':'Service','metadata':{'namespace':'a','name':'%s'},'spec':{" IPS PORT "'x':1}}", name);
    struct kube_service *s = CONST_CAST(struct kube_service *, kube_service_cast(world_decode(json)));

    free(json);
    return s;
}

START_TEST(test_bad)
{
    struct service_world w;
    struct in6_addr loopback, link_local;

    ck_assert(!inet_addr_parse("127.0.0.1", &loopback, NULL) && !inet_addr_parse("fe80::1", &link_local, NULL));
    service_world_init(&w);
    struct kube_service *s = bare_service("zero");
    s->ports[0].port = 0;
    service_world_put_object(&w, &s->object);
    service_world_settle(&w);
    expect_problem(&w, "zero", "port http is 0");

    s = bare_service("none");
    s->n_ports = 0;
    s->cluster_ips[0].s6_addr[15] = 9;
    service_world_put_object(&w, &s->object);
    service_world_settle(&w);
    expect_problem(&w, "none", "has no ports");
    expect_to(&w, "10.96.0.9", IPPROTO_TCP, 80, "reject");
    s->n_ports = 1;                     /* To be freed. */

    s = bare_service("link");
    s->cluster_ips[0] = link_local;
    service_world_put_object(&w, &s->object);
    service_world_settle(&w);
    expect_problem(&w, "link", "clusterIP fe80::1 is not an address that can be served");
    service_world_remove(&w, "Service a/zero");

    service_world_service(&w, "a/web", IPS PORT "'externalIPs':['fd53:4c00:0:1::3','198.51.100.1']");
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1 10.0.0.2 10.0.0.3");
    struct kube_endpointslice *slice = shash_find_data(&w.objects, "EndpointSlice a/web-1");
    slice->endpoints[1].addr = loopback;
    slice->endpoints[2].addr = link_local;
    service_world_settle(&w);
    expect_problem(&w, "web", "externalIP fd53:4c00:0:1::3 is not an address that can be served; "
                   "port http: endpoint fe80::1 and others are not an address that can be served");
    expect_to(&w, "10.96.0.1", IPPROTO_TCP, 80, "10.0.0.1:8080");
    expect_to(&w, "198.51.100.1", IPPROTO_TCP, 80, "10.0.0.1:8080");

    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1");
    slice = shash_find_data(&w.objects, "EndpointSlice a/web-1");
    slice->ports[0].port = 0;
    service_world_settle(&w);
    expect_problem(&w, "web", "externalIP fd53:4c00:0:1::3 is not an address that can be served; port http: an endpoint's port is 0");
    expect_to(&w, "10.96.0.1", IPPROTO_TCP, 80, "reject");
    service_world_destroy(&w);
}
END_TEST

/* A thousand addresses with a thousand ports would be a million flows. */
START_TEST(test_too_many)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct service_world w;

    service_world_init(&w);
    ds_put_cstr(&ds, IPS "'ports':[");
    for (int i = 1; i <= 100; i++) {
        ds_put_format(&ds, "%s{'name':'p%d','port':%d}", i > 1 ? "," : "", i, i);
    }
    ds_put_cstr(&ds, "],'externalIPs':[");
    for (int i = 0; i < 200; i++) {
        ds_put_format(&ds, "%s'198.51.100.%d'", i ? "," : "", i + 1);
    }
    ds_put_cstr(&ds, "]");
    service_world_service(&w, "a/many", ds_cstr(&ds));
    service_world_run(&w);
    expect_problem(&w, "many", "has more than 16384 ways in: the others are left out");
    expect_to(&w, "10.96.0.1", IPPROTO_TCP, 100, "reject");
    expect_to(&w, "198.51.100.1", IPPROTO_TCP, 100, "reject");
    expect_to(&w, "198.51.100.200", IPPROTO_TCP, 1, "pass");
    ds_destroy(&ds);
    service_world_destroy(&w);
}
END_TEST

/* Ranges that overlap are one.  services 18. */
START_TEST(test_ranges)
{
    struct service_world w;

    service_world_init(&w);
    service_world_put(&w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':'a'},'spec':{'type':'LoadBalancer',"
                      IPS PORT "'loadBalancerSourceRanges':['10.2.0.0/16','2001:db8::/32','10.0.0.0/8','10.1.2.0/24','192.0.2.0/24',"
                      "'10.0.0.0/8']},'status':{'loadBalancer':{'ingress':[{'ip':'198.51.100.1'}]}}}");
    service_world_settle(&w);
    ck_assert_str_eq(shash_find_data(&w.hosts, "external 198.51.100.1 TCP 80"), " from 10.0.0.0/8 from 192.0.2.0/24");
    service_world_destroy(&w);
}
END_TEST

/* 100 slices with overlapping endpoints: each is there once. */
START_TEST(test_overlapping)
{
    struct service_world w;
    struct buckets b = { SHASH_INITIALIZER(&b.by_endpoint), 0, &w };

    service_world_init(&w);
    service_world_service(&w, "a/web", IPS PORT "'x':1");
    for (int i = 0; i < 100; i++) {
        char *name = xasprintf("a/web-%d", i);
        put_many(&w, name, "web", i, 10);
        free(name);
    }
    service_world_settle(&w);
    services_for_each_door(w.core, NULL, take_buckets, &b);
    ck_assert_uint_eq(shash_count(&b.by_endpoint), 109);
    for (int i = 0; i < 99; i++) {
        char *key = xasprintf("EndpointSlice a/web-%d", i);
        service_world_remove(&w, key);
        free(key);
    }
    service_world_settle(&w);
    shash_clear_free_data(&b.by_endpoint);
    services_for_each_door(w.core, NULL, take_buckets, &b);
    ck_assert_uint_eq(shash_count(&b.by_endpoint), 10);
    shash_destroy_free_data(&b.by_endpoint);
    service_world_destroy(&w);
}
END_TEST

struct found {
    char *text;
};

static void
take_found(const struct service_door_info *info, void *found_)
{
    struct found *found = found_;

    free(found->text);
    found->text = xasprintf("%s %s %"PRIuSIZE" %s", info->service ? info->service->object.name : info->pod,
                            info->port ? info->port->name : "-", info->n_endpoints, info->why);
}

static void
expect_found(const struct service_world *w, const char *dst, uint16_t port, enum flow_door_source source, const char *want)
{
    struct found found = { NULL };
    struct in6_addr addr;

    ck_assert(!inet_addr_parse(dst, &addr, NULL));
    ck_assert(services_find_door(w->core, &addr, IPPROTO_TCP, port, source, take_found, &found) == (want != NULL));
    ck_assert_msg(want ? !strcmp(found.text, want) : !found.text, "%s: \"%s\" instead of \"%s\"", dst, found.text, want);
    free(found.text);
}

/* Questions that people ask. */
START_TEST(test_find)
{
    struct service_world w;
    const char *port_name;

    service_world_init(&w);
    service_world_node(&w, "east", "192.0.2.1 198.51.100.1");
    service_world_slice(&w, "a/web-1", "web", "http:8080/TCP", "10.0.0.1|n2|r|zeast 10.0.0.2|n2|r|zwest");
    service_world_service(&w, "a/web", "'type':'NodePort'," IPS "'ports':[{'name':'http','port':80,'nodePort':30080}],"
                          "'externalTrafficPolicy':'Local','externalIPs':['198.51.100.1']");
    service_world_settle(&w);
    expect_found(&w, "10.96.0.1", 80, FLOW_DOOR_ANYBODY, "web http 1 ready endpoints with a hint for zone east");
    expect_found(&w, "10.96.0.1", 81, FLOW_DOOR_ANYBODY, "web - 0 the Service has no such port");
    expect_found(&w, "192.0.2.1", 30080, FLOW_DOOR_NODE, "web http 1 ready endpoints with a hint for zone east");
    expect_found(&w, "192.0.2.1", 30080, FLOW_DOOR_OUTSIDE, "web http 0 no endpoints on this node, but elsewhere");
    expect_found(&w, "192.0.2.1", 81, FLOW_DOOR_OUTSIDE, NULL);
    const char *alias = strstr(shash_find_data(&w.hosts, "external 198.51.100.1 TCP 80"), "alias ");
    expect_found(&w, alias + 6, 80, FLOW_DOOR_OUTSIDE, "web http 0 no endpoints on this node, but elsewhere");

    struct flow_set set = FLOW_SET_INIT;
    size_t n = 0;
    services_get_flows(w.core, &set);
    for (size_t i = 0; i < set.n_flows; i++) {
        const struct kube_service *s = services_of_cookie(w.core, set.flows[i]->cookie, &port_name);
        ck_assert(!s || (!strcmp(s->object.name, "web") && !strcmp(port_name, "http")));
        n += s != NULL;
    }
    ck_assert(n >= 9 && n < set.n_flows);       /* Not those of tracked ports and of the node's addresses. */
    flow_set_destroy(&set);
    service_world_destroy(&w);
}
END_TEST

UNIT_MAIN("services-change", {
    tcase_add_test(tc, test_flush);
    tcase_add_test(tc, test_keeps);
    tcase_add_test(tc, test_no_flush_of_tcp);
    tcase_add_test(tc, test_many);
    tcase_add_test(tc, test_shared);
    tcase_add_test(tc, test_again);
    tcase_add_test(tc, test_claims);
    tcase_add_test(tc, test_health);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_too_many);
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_overlapping);
    tcase_add_test(tc, test_find);
})
