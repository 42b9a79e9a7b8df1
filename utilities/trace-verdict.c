#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "pipeline.h"
#include "util.h"
#include "utilities/trace-packet.h"

/* Warnings and details with which Open vSwitch says that it does not send after all. */
static const char *const not_sent[] = {
    "Nonexistent output port", "skipping output", "neighbor cache miss", "native tunnel", "Tunneling decided against",
    "Not tunneling to our own", "out of range", "lacks Ethernet address",
};

/* The last table of br-int that the packet, not a larger one, met. */
static const struct trace_step *
last_step(const struct trace_facts *facts, const struct trace *trace)
{
    for (size_t i = trace->n_steps; i > 0; i--) {
        const struct trace_step *step = &trace->steps[i - 1];
        if (!step->larger && !strcmp(step->bridge, facts->bridge)) {
            return step;
        }
    }
    return NULL;
}

/* The port of "output port is N" or of an action "output:N"; 0: none. */
static uint16_t
output_port(const struct trace_step *step)
{
    const char *name;
    size_t i;
    unsigned int port = 0;

    SVEC_FOR_EACH (i, name, &step->details) {
        if (!strncmp(name, "output port is ", 15)) {
            port = atoi(name + 15);
        }
    }
    SVEC_FOR_EACH (i, name, &step->actions) {
        if (!port && !strncmp(name, "output:", 7)) {
            port = atoi(name + 7);
        }
    }
    return port <= UINT16_MAX ? port : 0;
}

static const char *
find_not_sent(const struct svec *texts)
{
    const char *text;
    size_t i;

    SVEC_FOR_EACH (i, text, texts) {
        for (size_t j = 0; j < ARRAY_SIZE(not_sent); j++) {
            /* "output to native tunnel" is how it goes well. */
            if (strstr(text, not_sent[j]) && strcmp(text, "output to native tunnel")) {
                return text;
            }
        }
    }
    return NULL;
}

/* A table that does not send: its name and the text of the priority. */
static void
explain_end(const struct trace_step *step, struct ds *s)
{
    const char *name = pipeline_table_name(step->table_id);
    const char *text = step->matched ? pipeline_priority_text(step->table_id, step->priority) : NULL;

    ds_put_format(s, "%s: ", name ? name : "a table that is not Sluice's");
    if (text) {
        ds_put_cstr(s, text);
    } else if (step->matched) {
        ds_put_format(s, "flow of priority %"PRIu16" \"%s\"", step->priority, step->match);
    } else {
        ds_put_cstr(s, "no flow matches");
    }
    if (step->warnings.n) {
        ds_put_format(s, " (%s)", step->warnings.names[0]);
    }
}

/* The pod with that port; NULL: none. */
static const struct trace_pod *
pod_of_port(const struct trace_facts *facts, uint16_t port)
{
    for (size_t i = 0; i < facts->n_pods; i++) {
        if (facts->pods[i].ofport == port) {
            return &facts->pods[i];
        }
    }
    return NULL;
}

/* The address after "tunneling to", or of the action that sets it. */
static char *
tunnel_destination(const struct trace_facts *facts, const struct trace *trace)
{
    static const char prefix[] = "set_field:";
    for (size_t i = trace->n_steps; i > 0; i--) {
        const struct trace_step *step = &trace->steps[i - 1];
        const char *action;
        size_t j;

        SVEC_FOR_EACH (j, action, &step->actions) {
            const char *arrow = strstr(action, "->tun_");
            if (!strncmp(action, prefix, sizeof prefix - 1) && !strcmp(step->bridge, facts->bridge) && arrow
                && (!strcmp(arrow, "->tun_dst") || !strcmp(arrow, "->tun_ipv6_dst"))) {
                return xmemdup0(action + sizeof prefix - 1, arrow - action - (sizeof prefix - 1));
            }
        }
    }
    return NULL;
}

static void
explain_tunnel(const struct trace_facts *facts, const struct trace *trace, struct trace_verdict *v, struct ds *s)
{
    char *dst = tunnel_destination(facts, trace);
    const struct trace_node *node = dst ? shash_find_data(&facts->node_addrs, dst) : NULL;

    ds_put_format(s, "through the tunnel to %s", dst ? dst : "an unknown address");
    if (node) {
        ds_put_format(s, " (node %s)", node->name);
        v->next = node->name;
    }
    free(dst);
}

static void
explain_gateway(const struct trace_facts *facts, const struct trace_packet *p, struct trace_verdict *v, struct ds *s)
{
    ds_put_cstr(s, "handed to the node's stack (gateway port)");
    const char *node = trace_end_node_name(facts, &p->to);
    if (p->to.kind == TRACE_PEER_POD) {         /* What is for the other node's stack meets no br-int there. */
        v->next = node;
    }
    if (p->to.kind != TRACE_NODE) {
        ds_put_format(s, ", which routes it on%s%s", node ? " to node " : "", node ? node : "");
    }
}

static void
explain_output(const struct trace_facts *facts, const struct trace_packet *p, const struct trace *trace, uint16_t port,
               struct trace_verdict *v, struct ds *s)
{
    const struct trace_pod *pod = pod_of_port(facts, port);

    v->allowed = true;
    if (port == facts->gateway_port) {
        explain_gateway(facts, p, v, s);
    } else if (port == facts->tunnel_port) {
        explain_tunnel(facts, trace, v, s);
    } else if (pod) {
        ds_put_format(s, "delivered to pod %s (port %"PRIu16")", pod->name, port);
    } else {
        ds_put_format(s, "sent to port %"PRIu16", which belongs to no pod that is known", port);
    }
}

/* Says why it is not sent although it should have been; false if it is sent. */
static bool
explain_not_sent(const struct trace *trace, const struct trace_step *step, struct ds *s)
{
    const char *why = trace->failure ? trace->failure : find_not_sent(&step->warnings);

    why = why ? why : find_not_sent(&step->details);
    if (why) {
        ds_put_format(s, "Open vSwitch does not send it: %s", why);
    }
    return why != NULL;
}

void
trace_verdict_make(const struct trace_facts *facts, const struct trace_packet *p, const struct trace *trace,
                   struct trace_verdict *v)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    memset(v, 0, sizeof *v);
    if (!p->flow) {
        v->allowed = true;
        ds_put_format(&s, "%s own stack carries it; br-int has no part in it",
                      p->from.kind == TRACE_POD ? "the pod's" : "the node's");
    } else {
        v->step = last_step(facts, trace);
        trace_decisions_make(facts, p, trace, v);
        uint16_t port = v->step ? output_port(v->step) : 0;
        if (!v->step) {
            ds_put_cstr(&s, "Open vSwitch named no table of br-int");
        } else if (!port) {
            explain_end(v->step, &s);
        } else if (!explain_not_sent(trace, v->step, &s)) {
            explain_output(facts, p, trace, port, v, &s);
        }
    }
    v->text = ds_steal_cstr(&s);
}

void
trace_verdict_destroy(struct trace_verdict *v)
{
    free(v->text);
    memset(v, 0, sizeof *v);
}
