/* utilities/trace-*.h: any text as the output of ofproto/trace and what it means; what begins with '{' also as the
 * status of sluiced. */

#include <config.h>

#include <string.h>

#include "fuzz.h"
#include "json-get.h"
#include "utilities/trace-packet.h"

static const char status_text[] =
    "{\"node\": \"n1\", \"bridge\": {\"name\": \"br-int\", \"ovsRundir\": \"/run\","
    "\"routerMAC\": \"0a:53:4c:00:00:01\", \"gatewayMAC\": \"0a:53:4c:00:00:02\", \"gatewayPort\": 2,"
    "\"ownMAC\": \"0a:53:4c:00:00:03\", \"tunnelPort\": 1, \"podCIDRs\": [\"10.244.1.0/24\"], \"gateways\": [\"10.244.1.1\"]},"
    "\"nodes\": [{\"name\": \"n2\", \"ips\": [\"172.30.0.102\"], \"podCIDRs\": [\"10.244.2.0/24\"],"
    "\"tunnel\": \"172.30.0.102\"}], \"pods\": [{\"namespace\": \"d\", \"name\": \"a\", \"node\": \"n1\","
    "\"ips\": [\"10.244.1.3\"], \"ofport\": 17, \"mac\": \"e2:eb:3b:f6:cf:bd\"}]}";

/* Every pair of ends that the facts name gives a packet or an error, and a verdict on 'trace'. */
static void
check(const struct trace_facts *facts, const struct trace *trace)
{
    const char *ends[] = { facts->node, facts->n_pods ? facts->pods[0].name : "d/a",
                           facts->n_nodes ? facts->nodes[0].name : "n2", "192.0.2.1", "10.244.2.9" };
    for (size_t i = 0; i < 25; i++) {
        struct trace_question q = { .from = ends[i % 5], .to = ends[i / 5], .protocol = "udp", .port = 53 };
        struct error error = ERROR_INIT;
        struct trace_packet packet;
        struct trace_verdict verdict;

        int code = trace_packet_make(facts, &q, false, &packet, &error);
        FUZZ_CHECK(!code == !error.code, "%s to %s", q.from, q.to);
        if (!code) {
            trace_verdict_make(facts, &packet, trace, &verdict);
            FUZZ_CHECK(verdict.text && *verdict.text, "%s to %s", q.from, q.to);
            FUZZ_CHECK(!verdict.allowed || !packet.flow || verdict.step, "%s", verdict.text);
            trace_verdict_destroy(&verdict);
        }
        trace_packet_destroy(&packet);
        error_clear(&error);
    }
}

static void
check_with(const char *text, size_t size, const struct trace *trace)
{
    json_t *json = json_get_load(text, size, NULL);
    struct trace_facts facts;

    if (json && !trace_facts_parse(json, &facts, NULL)) {
        check(&facts, trace);
        trace_facts_destroy(&facts);
    }
    json_decref(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace trace;

    trace_parse((const char *) data, size, &trace);
    FUZZ_CHECK(trace.n_steps <= TRACE_MAX_STEPS, "%zu steps", trace.n_steps);
    for (size_t i = 0; i < trace.n_steps; i++) {
        const struct trace_step *step = &trace.steps[i];
        FUZZ_CHECK(step->bridge && step->match && (!step->larger || step->depth), "step %zu", i);
        FUZZ_CHECK(step->matched || (!step->priority && !step->cookie && step->warnings.n), "step %zu", i);
    }
    check_with(status_text, sizeof status_text - 1, &trace);
    if (size && data[0] == '{') {
        check_with((const char *) data, size, &trace);
    }
    trace_destroy(&trace);
    return 0;
}
