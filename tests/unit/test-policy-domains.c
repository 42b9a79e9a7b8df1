/* Domain names in the policy core: clusternetworkpolicy 5 (domainNames). */

#include <config.h>

#include "policy-world.h"

#include <netinet/in.h>

#include "unit.h"
#include "util.h"

static struct world w;

#define POD "10.0.0.1"
#define POD6 "fd00::1"
#define OTHER "10.0.0.2"

static void
local(const char *name, int n)
{
    char *who = xasprintf("a/%s", name), *addrs = xasprintf("10.0.0.%d fd00::%d", n, n);

    world_put(&w, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'a','labels':{'app':'%s'}},"
              "'spec':{'nodeName':'here','containers':[]},"
              "'status':{'podIPs':[{'ip':'10.0.0.%d'},{'ip':'fd00::%d'}]}}", name, name, n, n);
    world_attach(&w, n, who, addrs);
    free(who);
    free(addrs);
}

static void
setup(void)
{
    world_init(&w);
    world_put(&w, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'a','labels':{}}}");
    local("pod", 1);
    local("other", 2);
}

static void
teardown(void)
{
    ck_assert_msg(!w.failure, "%s", w.failure);
    world_destroy(&w);
}

/* Pod a/pod may only use what 'to' says (and TCP 443 only if 'ports'); everything else is denied. */
static void
put(const char *name, const char *to, bool ports)
{
    world_put(&w, "{'apiVersion':'policy.networking.k8s.io/v1alpha2','kind':'ClusterNetworkPolicy','metadata':{'name':'%s'},"
              "'spec':{'tier':'Admin','priority':10,'subject':{'pods':{'namespaceSelector':{},"
              "'podSelector':{'matchLabels':{'app':'pod'}}}},'egress':[{'action':'Accept','to':[%s]%s},"
              "{'action':'Deny','to':[{'networks':['0.0.0.0/0','::/0']}]}]}}", name, to,
              ports ? ",'protocols':[{'tcp':{'destinationPort':{'number':443}}}]" : "");
}

static void
tell(const char *name, const char *addr, bool present)
{
    world_domain(&w, name, addr, present);
}

static void
check(const char *src, const char *dst, uint16_t port, bool allowed, int line)
{
    ck_assert_msg(world_allows(&w, src, dst, IPPROTO_TCP, port) == allowed, "line %d: %s to %s is %s", line, src, dst,
                  allowed ? "denied" : "allowed");
}
#define YES(DST) check(POD, DST, 443, true, __LINE__)
#define NO(DST) check(POD, DST, 443, false, __LINE__)

static bool
punts(uint64_t id)
{
    struct flow_pod_policy policy;
    policy_get_local(w.policy, id, &policy);
    return policy.domains;
}

/* Addresses come and go; what is not there is denied; nobody else is concerned. */
START_TEST(test_addresses)
{
    put("p", "{'domainNames':['Example.com.','*.example.com']}", true);
    world_settle(&w);
    NO("192.0.2.1");
    ck_assert(policy_wants_domain(w.policy, "example.com") && policy_wants_domain(w.policy, "*.example.com"));
    ck_assert(!policy_wants_domain(w.policy, "example.org") && !policy_wants_domain(w.policy, "www.example.com"));

    tell("example.com", "192.0.2.1", true);
    tell("*.example.com", "2001:db8::1", true);
    world_settle(&w);
    YES("192.0.2.1");
    check(POD, "192.0.2.1", 80, false, __LINE__);
    check(POD6, "2001:db8::1", 443, true, __LINE__);
    NO("192.0.2.2");
    check(POD6, "2001:db8::2", 443, false, __LINE__);
    check(OTHER, "192.0.2.2", 443, true, __LINE__);

    tell("*.example.com", "192.0.2.1", true);           /* Of both names. */
    world_settle(&w);
    tell("example.com", "192.0.2.1", false);
    world_settle(&w);
    YES("192.0.2.1");
    tell("*.example.com", "192.0.2.1", false);
    tell("*.example.com", "192.0.2.1", false);          /* It says so twice. */
    world_settle(&w);
    NO("192.0.2.1");
    tell("example.org", "192.0.2.3", true);             /* Nobody names it. */
    world_settle(&w);
    ck_assert_uint_eq(w.n_puts + w.n_drops, 0);
}
END_TEST

/* What was known before the rule came counts with it, and again after it went; what went meanwhile does not. */
START_TEST(test_rules_come_and_go)
{
    tell("example.com", "192.0.2.1", true);
    tell("example.com", "192.0.2.2", true);
    world_settle(&w);
    ck_assert_uint_eq(w.n_puts, 0);
    put("p", "{'domainNames':['example.com']},{'networks':['192.0.2.128/25']}", false);
    world_settle(&w);
    YES("192.0.2.1");
    YES("192.0.2.200");
    put("p", "{'domainNames':['example.org']}", false);
    world_settle(&w);
    NO("192.0.2.1");
    NO("192.0.2.200");
    ck_assert(!policy_wants_domain(w.policy, "example.com") && policy_wants_domain(w.policy, "example.org"));
    tell("example.com", "192.0.2.2", false);
    put("p", "{'domainNames':['EXAMPLE.com']}", false);
    world_settle(&w);
    YES("192.0.2.1");
    NO("192.0.2.2");
    world_remove(&w, "ClusterNetworkPolicy /p");
    world_settle(&w);
    YES("192.0.2.2");
    ck_assert(!policy_wants_domain(w.policy, "example.com"));
}
END_TEST

/* The pods whose DNS answers are to be seen: those that such a rule selects. */
START_TEST(test_who)
{
    put("p", "{'networks':['192.0.2.0/24']}", false);
    world_settle(&w);
    ck_assert(!punts(1) && !punts(2));
    put("p", "{'domainNames':['example.com']}", false);
    world_settle(&w);
    ck_assert(punts(1) && !punts(2));
    ck_assert_uint_ge(w.n_locals, 1);
    put("q", "{'domainNames':['example.org']}", false);
    world_remove(&w, "ClusterNetworkPolicy /p");
    world_settle(&w);
    ck_assert(punts(1) && !punts(2));
    put("q", "{'networks':['192.0.2.0/24']}", false);
    world_settle(&w);
    ck_assert(!punts(1));
    ck_assert_uint_ge(w.n_locals, 1);
}
END_TEST

static void
no_problem(const struct policy_info *info, void *aux OVS_UNUSED)
{
    ck_assert_msg(!info->problem, "%s", info->problem);
}

/* An address of a pod is the pod's still, and the domain's too. */
START_TEST(test_pod_address)
{
    put("p", "{'domainNames':['other.example.com']}", false);
    world_settle(&w);
    NO(OTHER);
    tell("other.example.com", OTHER, true);
    world_settle(&w);
    YES(OTHER);
    policy_for_each(w.policy, no_problem, NULL);
}
END_TEST

UNIT_MAIN("policy-domains", {
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_addresses);
    tcase_add_test(tc, test_rules_come_and_go);
    tcase_add_test(tc, test_who);
    tcase_add_test(tc, test_pod_address);
})
