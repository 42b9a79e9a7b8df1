#include <config.h>

#include <errno.h>
#include <string.h>

#include "json-get.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "pipeline.h"
#include "unit.h"
#include "util.h"
#include "utilities/trace-facts.h"
#include "utilities/trace-packet.h"
#include "utilities/trace-parse.h"

/* "sluicectl trace" without daemons: the outputs of ofproto/trace in tests/unit/trace are recorded from Open vSwitch 3.1
 * in the lab (issue 3, item 11). */

static char *
slurp(const char *name, size_t *size)
{
    char *path = xasprintf(TOP_SRCDIR "/tests/unit/trace/%s", name);
    FILE *file = fopen(path, "r");
    char *text = xmalloc(65536);

    ck_assert_msg(file != NULL, "%s", path);
    *size = fread(text, 1, 65535, file);
    text[*size] = '\0';
    fclose(file);
    free(path);
    return text;
}

static void
parse_file(const char *name, struct trace *trace)
{
    size_t size;
    char *text = slurp(name, &size);
    trace_parse(text, size, trace);
    free(text);
}

/* The steps in one line: "0 2 4 50 (52) 52"; in parentheses those of larger packets. */
static char *
tables(const struct trace *trace)
{
    char *s = xstrdup("");
    for (size_t i = 0; i < trace->n_steps; i++) {
        const struct trace_step *step = &trace->steps[i];
        char *next = xasprintf(step->larger ? "%s%s(%d)" : "%s%s%d", s, i ? " " : "", step->table_id);
        free(s);
        s = next;
    }
    return s;
}

static const struct {
    const char *file, *tables;
} recorded[] = {
    { "near.trace", "0 2 4 50 51 (52) 52 72" }, { "tunnel.trace", "0 2 4 50 51 (52) 52 72 0" },
    { "outside.trace", "0 2 4 50 51 (52) 52 72" }, { "multicast.trace", "0 2 4 50" },
    { "gateway.trace", "0 4 50 51 (52) 52 72" }, { "remote.trace", "0 50 51 (52) 52 72" },
    { "nomatch.trace", "0" }, { "recirc.trace", "0 3 1" },
};

START_TEST(test_recorded)
{
    struct trace trace;
    parse_file(recorded[_i].file, &trace);
    char *found = tables(&trace);
    ck_assert_str_eq(found, recorded[_i].tables);
    ck_assert_ptr_null(trace.failure);
    ck_assert_ptr_nonnull(trace.datapath_actions);
    ck_assert(!trace.truncated);
    free(found);
    trace_destroy(&trace);
}
END_TEST

START_TEST(test_step)
{
    struct trace trace;
    parse_file("near.trace", &trace);
    const struct trace_step *step = &trace.steps[3];
    ck_assert_str_eq(step->bridge, "br-int");
    ck_assert_uint_eq(step->depth, 0);
    ck_assert(step->matched);
    ck_assert_str_eq(step->match, "ip,metadata=0x1,nw_dst=10.244.1.2");
    ck_assert_uint_eq(step->priority, 400);
    ck_assert_uint_eq(step->cookie, 0x3e682c466585657);
    ck_assert_uint_eq(step->actions.n, 5);
    ck_assert_str_eq(step->actions.names[4], "goto_table:51");
    ck_assert_uint_eq(step->details.n, 0);
    step = &trace.steps[7];
    ck_assert_str_eq(step->match, "");
    ck_assert_uint_eq(step->priority, 0);
    ck_assert_uint_eq(step->details.n, 1);
    ck_assert_str_eq(step->details.names[0], "output port is 16");
    trace_destroy(&trace);
}
END_TEST

START_TEST(test_no_match)
{
    struct trace trace;
    parse_file("nomatch.trace", &trace);
    ck_assert(!trace.steps[0].matched);
    ck_assert_str_eq(trace.steps[0].warnings.names[0], "No match.");
    ck_assert_str_eq(trace.steps[0].actions.names[0], "drop");
    ck_assert_str_eq(trace.datapath_actions, "drop");
    trace_destroy(&trace);
}
END_TEST

START_TEST(test_recirculation)
{
    struct trace trace;
    parse_file("recirc.trace", &trace);
    ck_assert_int_eq(trace.steps[0].recirculation, 0);
    ck_assert_uint_eq(trace.steps[1].depth, 4);
    ck_assert_str_eq(trace.steps[1].actions.names[0], "set_field:0x1->reg0");
    ck_assert_str_eq(trace.steps[0].actions.names[1], "ct(commit,table=1)");
    ck_assert_int_eq(trace.steps[2].recirculation, 1);
    ck_assert_str_eq(trace.steps[2].match, "ct_state=+trk");
    ck_assert_uint_eq(trace.steps[2].cookie, 7);
    ck_assert_str_eq(trace.steps[2].warnings.names[0], "Nonexistent output port");
    trace_destroy(&trace);
}
END_TEST

/* "Not tunneling to our own address" means something only before the first recirculation. */
START_TEST(test_artefact)
{
    static const char text[] =
        "bridge(\"br-int\")\n72. priority 0, cookie 0x1\n     -> output port is 1\n"
        "     >> Not tunneling to our own address\n";
    static const char recirculated[] = "recirc(0x4e) - resume conntrack\n";

    for (int later = 0; later <= 1; later++) {
        char *s = xasprintf("%s%s", later ? recirculated : "", text);
        struct trace trace;

        trace_parse(s, strlen(s), &trace);
        ck_assert_uint_eq(trace.n_steps, 1);
        ck_assert_uint_eq(trace.steps[0].warnings.n, !later);
        trace_destroy(&trace);
        free(s);
    }
}
END_TEST

/* Lines that other versions may print, and ones that nobody prints. */
START_TEST(test_tolerant)
{
    static const char text[] =
        "Something new: 7\nbridge(\"br-int\")\n 0(CLASSIFY). in_port=1, priority 7\n    goto_table:50\n"
        "      -> a detail\n    >>>> an error <<<<\n    >> a warning\n999. no table\n50. \n77 no dot\n   \n"
        "52. tcp,priority 3\n    output:3\nbridge(\"unfinished\n 1. priority 99999999999999\n\n"
        "Translation failed (Recursion too deep), packet is dropped.";
    struct trace trace;

    trace_parse(text, sizeof text - 1, &trace);
    ck_assert_str_eq(trace.failure, "Recursion too deep");
    ck_assert_uint_eq(trace.n_steps, 4);
    ck_assert_uint_eq(trace.steps[0].priority, 7);
    ck_assert_uint_eq(trace.steps[0].cookie, 0);
    ck_assert_str_eq(trace.steps[0].details.names[0], "a detail");
    ck_assert_str_eq(trace.steps[0].warnings.names[0], "an error");
    ck_assert_str_eq(trace.steps[0].warnings.names[1], "a warning");
    ck_assert(!trace.steps[1].matched);
    ck_assert(!trace.steps[2].matched);         /* No ", " in front of the priority. */
    ck_assert_str_eq(trace.steps[3].bridge, "unfinished");
    ck_assert_uint_eq(trace.steps[3].priority, UINT16_MAX);
    trace_destroy(&trace);
}
END_TEST

/* Any beginning of a recording, and any byte of it changed, is taken. */
START_TEST(test_damaged)
{
    size_t size;
    char *text = slurp(recorded[_i].file, &size);
    struct trace trace;

    for (size_t n = 0; n <= size; n++) {
        char *exact = xmemdup(text, MAX(n, 1));         /* So that a sanitizer sees a byte too far. */
        trace_parse(exact, n, &trace);
        ck_assert_uint_le(trace.n_steps, 9);
        trace_destroy(&trace);
        free(exact);
    }
    for (size_t i = 0; i < size; i++) {
        static const char bytes[] = { 0, '\n', ' ', '.', '9', (char) 0xff };
        char saved = text[i];
        text[i] = bytes[i % sizeof bytes];
        trace_parse(text, size, &trace);
        trace_destroy(&trace);
        text[i] = saved;
    }
    free(text);
}
END_TEST

START_TEST(test_limit)
{
    static const char line[] = " 0. priority 1\n";
    size_t n = TRACE_MAX_STEPS + 1, len = sizeof line - 1;
    char *text = xmalloc(n * len);
    struct trace trace;

    for (size_t i = 0; i < n; i++) {
        memcpy(text + i * len, line, len);
    }
    trace_parse(text, (n - 1) * len, &trace);
    ck_assert(!trace.truncated);
    trace_destroy(&trace);
    trace_parse(text, n * len, &trace);
    ck_assert(trace.truncated);
    ck_assert_uint_eq(trace.n_steps, TRACE_MAX_STEPS);
    trace_destroy(&trace);
    free(text);
}
END_TEST

/* Facts and packets. --------------------------------------------------------------------------------------------- */

static void
load_facts_from(const char *name, struct trace_facts *facts)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    size_t size;
    char *text = slurp(name, &size);
    json_t *status = json_get_load(text, size, &error);

    ck_assert_msg(status && !trace_facts_parse(status, facts, &error), "%s", error_message(&error));
    json_decref(status);
    free(text);
}

static void
load_facts(struct trace_facts *facts)
{
    load_facts_from("status.json", facts);
}

START_TEST(test_facts_wrong)
{
    static const struct { const char *text; int code; } wrong[] = {
        { "[]", EINVAL }, { "{}", EINVAL }, { "{\"node\": 7}", EINVAL }, { "{\"node\": \"n\"}", EAGAIN },
        { "{\"node\": \"n\", \"bridge\": {}}", EINVAL }, { "{\"node\": \"n\", \"bridge\": \"br-int\"}", EINVAL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct trace_facts facts;
        json_t *status = json_get_load(wrong[i].text, strlen(wrong[i].text), NULL);
        ck_assert_int_eq(trace_facts_parse(status, &facts, &error), wrong[i].code);
        json_decref(status);
    }
}
END_TEST

#define CLIENT "in_port=17,dl_src=8a:20:58:1b:f5:b0,dl_dst=0a:53:4c:00:00:01,"
#define GATEWAY "in_port=2,dl_src=0a:53:4c:00:00:02,dl_dst=0a:53:4c:00:00:01,"
#define OWN "in_port=2,dl_src=0a:53:4c:00:00:03,dl_dst=0a:53:4c:00:00:01,"
#define ROUTERS "dl_src=0a:53:4c:00:00:01,dl_dst=0a:53:4c:00:00:01,"

static const struct {
    struct trace_question q;
    const char *flow;                   /* NULL: br-int is not met; or 'error'. */
    const char *error;
} questions[] = {
    { { "demo/client", "demo/web-near", "tcp", 80, 0, 0, NULL },
      CLIENT "tcp,nw_src=10.244.1.3,nw_dst=10.244.1.2,nw_ttl=64,tcp_src=40000,tcp_dst=80,tcp_flags=syn", NULL },
    { { "demo/client", "demo/web-near", "UDP", 53, 777, 6, NULL },
      CLIENT "udp6,ipv6_src=fd00:10:244:1::3,ipv6_dst=fd00:10:244:1::2,nw_ttl=64,udp_src=777,udp_dst=53", NULL },
    { { "10.244.1.3", "demo/web-far", "icmp", 0, 0, 0, NULL },
      CLIENT "icmp,nw_src=10.244.1.3,nw_dst=10.244.2.2,nw_ttl=64,icmp_type=8", NULL },
    { { "demo/client", "2001:db8::1", "icmp", 0, 0, 0, NULL },
      CLIENT "icmp6,ipv6_src=fd00:10:244:1::3,ipv6_dst=2001:db8::1,nw_ttl=64,icmpv6_type=128", NULL },
    { { "demo/client", "demo/web-near", "sctp", 9, 0, 0, "10.9.9.9" },
      CLIENT "sctp,nw_src=10.9.9.9,nw_dst=10.244.1.2,nw_ttl=64,sctp_src=40000,sctp_dst=9", NULL },
    { { "node-1", "demo/web-near", "tcp", 80, 0, 0, NULL },
      OWN "tcp,nw_src=10.244.1.1,nw_dst=10.244.1.2,nw_ttl=64,tcp_src=40000,tcp_dst=80,tcp_flags=syn", NULL },
    { { "node-1", "demo/web-far", "icmp", 0, 0, 0, NULL },
      OWN "icmp,nw_src=10.244.1.1,nw_dst=10.244.2.2,nw_ttl=64,icmp_type=8", NULL },
    { { "198.51.100.7", "demo/client", "icmp", 0, 0, 0, NULL },
      GATEWAY "icmp,nw_src=198.51.100.7,nw_dst=10.244.1.3,nw_ttl=64,icmp_type=8", NULL },
    { { "demo/web-far", "demo/client", "icmp", 0, 0, 0, NULL },
      "in_port=1,tun_id=1,tun_src=172.30.0.102," ROUTERS
      "icmp,nw_src=10.244.2.2,nw_dst=10.244.1.3,nw_ttl=63,icmp_type=8", NULL },
    { { "node-2", "demo/client", "icmp", 0, 0, 0, NULL },
      "in_port=1,tun_id=1,tun_src=172.30.0.102," ROUTERS
      "icmp,nw_src=10.244.2.1,nw_dst=10.244.1.3,nw_ttl=63,icmp_type=8", NULL },
    { { "demo/six", "demo/client", "icmp", 0, 0, 0, NULL },
      "in_port=1,tun_id=1,tun_ipv6_src=fd00:172:30::68," ROUTERS
      "icmp6,ipv6_src=fd00:10:244:4::7,ipv6_dst=fd00:10:244:1::3,nw_ttl=63,icmpv6_type=128", NULL },
    { { "demo/routed", "demo/client", "icmp", 0, 0, 0, NULL },
      GATEWAY "icmp,nw_src=10.244.3.7,nw_dst=10.244.1.3,nw_ttl=64,icmp_type=8", NULL },
    { { "routed", "demo/client", "icmp", 0, 0, 0, NULL },
      GATEWAY "icmp,nw_src=172.30.0.103,nw_dst=10.244.1.3,nw_ttl=64,icmp_type=8", NULL },
    { { "demo/proxy", "demo/client", "icmp", 0, 0, 0, NULL },        /* Its address is its node's. */
      "in_port=1,tun_id=1,tun_src=172.30.0.102," ROUTERS
      "icmp,nw_src=10.244.2.1,nw_dst=10.244.1.3,nw_ttl=63,icmp_type=8", NULL },

    /* Addresses that finished pods had, or that two claim. */
    { { "10.244.1.2", "10.244.2.2", "icmp", 0, 0, 0, NULL },
      "in_port=16,dl_src=6e:73:75:cc:f8:7a,dl_dst=0a:53:4c:00:00:01,icmp,nw_src=10.244.1.2,nw_dst=10.244.2.2,nw_ttl=64,icmp_type=8",
      NULL },
    { { "demo/a-job", "node-1", "icmp", 0, 0, 0, NULL }, NULL, "pod demo/a-job has finished" },

    /* The pod's stack, the nodes' stacks alone. */
    { { "demo/client", "demo/client", "icmp", 0, 0, 0, NULL }, NULL, NULL },
    { { "demo/client", "fd00:10:244:1::3", "tcp", 80, 0, 0, NULL }, NULL, NULL },
    { { "demo/client", "demo/client", "icmp", 0, 0, 0, "10.0.0.1" },
      CLIENT "icmp,nw_src=10.0.0.1,nw_dst=10.244.1.3,nw_ttl=64,icmp_type=8", NULL },
    { { "node-1", "node-2", "icmp", 0, 0, 0, NULL }, NULL, NULL },
    { { "node-1", "192.0.2.1", "icmp", 0, 0, 0, NULL }, NULL, NULL },
    { { "node-1", "demo/routed", "icmp", 0, 0, 0, NULL }, NULL, NULL },
    { { "node-2", "node-1", "icmp", 0, 0, 0, NULL }, NULL, NULL },
    { { "192.0.2.1", "node-1", "icmp", 0, 0, 0, NULL }, NULL, NULL },

    /* Not to be told here, or not at all. */
    { { "demo/web-far", "node-1", "icmp", 0, 0, 0, NULL }, NULL, "ask node node-2" },
    { { "demo/web-far", "192.0.2.1", "icmp", 0, 0, 0, NULL }, NULL, "ask node node-2" },
    { { "192.0.2.1", "demo/web-far", "icmp", 0, 0, 0, NULL }, NULL, "ask node node-2" },
    { { "192.0.2.1", "192.0.2.2", "icmp", 0, 0, 0, NULL }, NULL, "neither end" },
    { { "demo/nobody", "node-1", "icmp", 0, 0, 0, NULL }, NULL, "there is no pod demo/nobody" },
    { { "demo/client", "nowhere", "icmp", 0, 0, 0, NULL }, NULL, "nowhere is neither" },
    { { "demo/client", "", "icmp", 0, 0, 0, NULL }, NULL, "is neither" },
    { { "demo/client", "demo/starting", "icmp", 0, 0, 0, NULL }, NULL, "no address yet" },
    { { "demo/client", "bare", "icmp", 0, 0, 0, NULL }, NULL, "no InternalIP" },
    { { "demo/lost", "node-1", "icmp", 0, 0, 0, NULL }, NULL, "has no port" },
    { { "10.244.1.77", "node-1", "icmp", 0, 0, 0, NULL }, NULL, "has no port" },
    { { "demo/client", "node-1", "tcp", 0, 0, 0, NULL }, NULL, "tcp needs a port" },
    { { "demo/client", "node-1", "gre", 7, 0, 0, NULL }, NULL, "is none of tcp" },
    { { "demo/client", "10.0.0.1", "icmp", 0, 0, 6, NULL }, NULL, "no address of IPv6" },
    { { "demo/routed", "fd00:10:244:1::3", "icmp", 0, 0, 0, NULL }, NULL, "the same family" },
    { { "demo/client", "10.0.0.1", "icmp", 0, 0, 0, "ten" }, NULL, "source address: " },
    { { "demo/client", "10.0.0.1", "icmp", 0, 0, 4, "fd00::1" }, NULL, "another family" },
};

START_TEST(test_whose)
{
    static const struct { const char *addr, *pod; } whose[] = {
        { "10.244.1.2", "demo/web-near" }, { "10.244.1.3", "demo/client" }, { "10.244.2.2", "demo/web-far" },
        { "10.244.2.3", "demo/before" }, { "10.244.1.200", "demo/lost" },
    };
    struct trace_facts facts;

    load_facts(&facts);
    for (size_t i = 0; i < ARRAY_SIZE(whose); i++) {
        struct trace_end end;
        ck_assert_int_eq(trace_facts_find(&facts, whose[i].addr, &end, NULL), 0);
        ck_assert_str_eq(end.pod ? end.pod->name : "-", whose[i].pod);
    }
    trace_facts_destroy(&facts);
}
END_TEST

START_TEST(test_packet)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct trace_facts facts;
    struct trace_packet packet;

    load_facts(&facts);
    int code = trace_packet_make(&facts, &questions[_i].q, false, &packet, &error);
    if (questions[_i].error) {
        ck_assert_int_ne(code, 0);
        ck_assert_msg(strstr(error_message(&error), questions[_i].error) != NULL, "%s", error_message(&error));
    } else {
        ck_assert_msg(!code, "%s", error_message(&error));
        ck_assert_pstr_eq(packet.flow, questions[_i].flow);
    }
    trace_packet_destroy(&packet);
    trace_facts_destroy(&facts);
}
END_TEST

/* Verdicts. ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *file, *from, *to;
    bool allowed;
    const char *text, *next;
    int table;                          /* -1: none decided. */
} verdicts[] = {
    { "near.trace", "demo/client", "demo/web-near", true, "delivered to pod demo/web-near (port 16)", NULL,
      TABLE_OUTPUT },
    { "remote.trace", "demo/web-far", "demo/client", true, "delivered to pod demo/client (port 17)", NULL,
      TABLE_OUTPUT },
    { "tunnel.trace", "demo/client", "demo/web-far", true, "through the tunnel to 172.30.0.102 (node node-2)",
      "node-2", TABLE_OUTPUT },
    { "outside.trace", "demo/client", "192.0.2.1", true,
      "handed to the node's stack (gateway port), which routes it on", NULL, TABLE_OUTPUT },
    { "outside.trace", "demo/client", "node-1", true, "handed to the node's stack (gateway port)", NULL, TABLE_OUTPUT },
    { "outside.trace", "demo/client", "demo/routed", true,
      "handed to the node's stack (gateway port), which routes it on to node routed", "routed", TABLE_OUTPUT },
    { "outside.trace", "demo/client", "node-2", true,
      "handed to the node's stack (gateway port), which routes it on to node node-2", NULL, TABLE_OUTPUT },
    { "multicast.trace", "demo/client", "224.0.0.1", false,
      "L3_FORWARD: drop: to a multicast, broadcast or reserved address", NULL, TABLE_L3_FORWARD },
    { "nomatch.trace", "demo/client", "192.0.2.1", false, "Open vSwitch named no table of br-int", NULL, -1 },
    { "status.json", "demo/client", "192.0.2.1", false, "Open vSwitch named no table of br-int", NULL, -1 },
    { NULL, "demo/client", "demo/client", true, "the pod's own stack carries it; br-int has no part in it", NULL, -1 },
    { NULL, "node-1", "192.0.2.1", true, "the node's own stack carries it; br-int has no part in it", NULL, -1 },
};

static void
check_verdict(const char *text, size_t size, const char *from, const char *to, struct trace_facts *facts,
              struct trace_verdict *verdict, struct trace *trace)
{
    struct trace_question q = { .from = from, .to = to, .protocol = "icmp" };
    struct trace_packet packet;

    load_facts(facts);
    ck_assert_int_eq(trace_packet_make(facts, &q, false, &packet, NULL), 0);
    trace_parse(text, size, trace);
    trace_verdict_make(facts, &packet, trace, verdict);
    trace_packet_destroy(&packet);
}

START_TEST(test_verdict)
{
    size_t size = 0;
    char *text = verdicts[_i].file ? slurp(verdicts[_i].file, &size) : xstrdup("");
    struct trace_facts facts;
    struct trace_verdict verdict;
    struct trace trace;

    check_verdict(text, size, verdicts[_i].from, verdicts[_i].to, &facts, &verdict, &trace);
    ck_assert_str_eq(verdict.text, verdicts[_i].text);
    ck_assert(verdict.allowed == verdicts[_i].allowed);
    ck_assert_pstr_eq(verdict.next, verdicts[_i].next);
    ck_assert_int_eq(verdict.step ? verdict.step->table_id : -1, verdicts[_i].table);
    trace_verdict_destroy(&verdict);
    trace_destroy(&trace);
    trace_facts_destroy(&facts);
    free(text);
}
END_TEST

/* Who decided, from recordings of pods with the policies of tests/system/test-lab-policy-trace.py (issue 5, item 5). */
static const struct {
    const char *file, *from, *to;
    const char *decisions;              /* Of each direction: verdict, by what, tier (0 Admin). */
    const char *behind;                 /* The direction that the verdict is about. */
} policy_traces[] = {
    { "policy-allowed.trace", "shop/client", "shop/web", "egress allowed rule 1; ingress allowed rule 1; ", "ingress" },
    { "policy-denied.trace", "shop/client", "shop/web", "egress allowed rule 1; ingress denied default 1; ", "ingress" },
    { "policy-egress.trace", "shop/client", "test/near", "egress denied default 1; ", "egress" },
    { "policy-pass.trace", "shop/web", "shop/plain", "ingress allowed nothing 2; ", NULL },
    { "policy-baseline.trace", "shop/web", "shop/plain", "ingress denied rule 2; ", "ingress" },
    { "policy-admin.trace", "test/near", "shop/web", "ingress denied rule 0; ", "ingress" },
    { "near.trace", "shop/client", "shop/web", "", NULL },
};

START_TEST(test_decisions)
{
    static const char *const by[] = { "rule", "default", "nothing" };
    struct trace_question q = { policy_traces[_i].from, policy_traces[_i].to, "tcp", 80, 0, 4, NULL };
    struct ds s = DS_EMPTY_INITIALIZER;
    struct trace_verdict v;
    struct trace_packet packet;
    struct trace_facts facts;
    struct trace trace;

    load_facts_from("policy-status.json", &facts);
    ck_assert_int_eq(trace_packet_make(&facts, &q, false, &packet, NULL), 0);
    parse_file(policy_traces[_i].file, &trace);
    trace_verdict_make(&facts, &packet, &trace, &v);
    for (size_t i = 0; i < v.n_decisions; i++) {
        const struct trace_decision *d = &v.decisions[i];
        bool egress = d->direction == FLOW_EGRESS;

        ds_put_format(&s, "%s %s %s %d; ", egress ? "egress" : "ingress", d->denied ? "denied" : "allowed", by[d->by], d->tier);
        ck_assert_str_eq(d->pod->name, egress ? q.from : q.to);
    }
    ck_assert_str_eq(ds_cstr(&s), policy_traces[_i].decisions);
    const struct trace_decision *behind = trace_verdict_decision(&v);
    ck_assert_pstr_eq(!behind ? NULL : behind->direction == FLOW_EGRESS ? "egress" : "ingress", policy_traces[_i].behind);
    ds_destroy(&s);
    trace_verdict_destroy(&v);
    trace_packet_destroy(&packet);
    trace_destroy(&trace);
    trace_facts_destroy(&facts);
}
END_TEST

/* What Open vSwitch does not send although a flow says so is not allowed. */
START_TEST(test_not_sent)
{
    static const char *const lines[] = {
        "     >> native tunnel routing failed\n", "     >> Nonexistent output port\n",
        "     -> neighbor cache miss for 1.2.3.4 on bridge br-uplink, sending ARP request\n",
        "     -> skipping output to input port\n", "Translation failed (Too many resubmits), packet is dropped.\n",
        "     -> output to native tunnel\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char *text = xasprintf("bridge(\"br-int\")\n72. priority 0, cookie 0x1\n    output:NXM_NX_REG1[0..15]\n"
                               "     -> output port is 1\n%s", lines[i]);
        struct trace_facts facts;
        struct trace_verdict verdict;
        struct trace trace;

        check_verdict(text, strlen(text), "demo/client", "demo/web-far", &facts, &verdict, &trace);
        ck_assert_msg(verdict.allowed == (i == ARRAY_SIZE(lines) - 1), "%s: %s", lines[i], verdict.text);
        trace_verdict_destroy(&verdict);
        trace_destroy(&trace);
        trace_facts_destroy(&facts);
        free(text);
    }
}
END_TEST

UNIT_MAIN("trace", {
    tcase_add_loop_test(tc, test_recorded, 0, ARRAY_SIZE(recorded));
    tcase_add_test(tc, test_step);
    tcase_add_test(tc, test_no_match);
    tcase_add_test(tc, test_recirculation);
    tcase_add_test(tc, test_artefact);
    tcase_add_test(tc, test_tolerant);
    tcase_add_loop_test(tc, test_damaged, 0, ARRAY_SIZE(recorded));
    tcase_add_test(tc, test_limit);
    tcase_add_test(tc, test_facts_wrong);
    tcase_add_test(tc, test_whose);
    tcase_add_loop_test(tc, test_packet, 0, ARRAY_SIZE(questions));
    tcase_add_loop_test(tc, test_verdict, 0, ARRAY_SIZE(verdicts));
    tcase_add_loop_test(tc, test_decisions, 0, ARRAY_SIZE(policy_traces));
    tcase_add_test(tc, test_not_sent);
})
