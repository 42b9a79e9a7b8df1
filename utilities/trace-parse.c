#include <config.h>

#include "utilities/trace-parse.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define LARGER_ACTION "check_pkt_larger("

struct parser {
    struct trace *trace;
    char *bridge;
    int recirculation;
    size_t section;                     /* First step of this bridge and recirculation. */
    int larger_depth;                   /* Steps at least this deep are in the branch of large packets; -1: none. */
};

static void parse_line(struct parser *, char *line);

void
trace_parse(const char *text, size_t size, struct trace *trace)
{
    char *copy = xmemdup0(text, size), *save = NULL;
    struct parser parser = { .trace = trace, .bridge = xstrdup(""), .larger_depth = -1 };

    memset(trace, 0, sizeof *trace);
    for (size_t i = 0; i < size; i++) {
        copy[i] = copy[i] ? copy[i] : '?';
    }
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        parse_line(&parser, line);
    }
    free(parser.bridge);
    free(copy);
}

void
trace_destroy(struct trace *trace)
{
    for (size_t i = 0; i < trace->n_steps; i++) {
        struct trace_step *step = &trace->steps[i];
        free(step->bridge);
        free(step->match);
        svec_destroy(&step->actions);
        svec_destroy(&step->details);
        svec_destroy(&step->warnings);
    }
    free(trace->steps);
    free(trace->failure);
    free(trace->datapath_actions);
    memset(trace, 0, sizeof *trace);
}

/* If 'line' begins with 'prefix', what is behind it. */
static char *
skip(char *line, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(line, prefix, n) ? NULL : line + n;
}

/* A section begins: what comes is less nested than any step of the last. */
static void
begin_section(struct parser *parser)
{
    parser->section = parser->trace->n_steps;
    parser->larger_depth = -1;
}

static void
set_bridge(struct parser *parser, const char *name)
{
    free(parser->bridge);
    parser->bridge = xmemdup0(name, strcspn(name, "\""));
    begin_section(parser);
}

/* The step whose actions and details are indented like this: the latest that is less so.  NULL: none. */
static struct trace_step *
step_of(const struct parser *parser, unsigned int indent)
{
    for (size_t i = parser->trace->n_steps; i > parser->section; i--) {
        struct trace_step *step = &parser->trace->steps[i - 1];
        if (step->depth < indent) {
            return step;
        }
    }
    return NULL;
}

/* "MATCH, priority N, cookie 0xN", each but the priority optional; or a sentence why there is no flow. */
static void
parse_flow(struct trace_step *step, char *text)
{
    static const char mark[] = "priority ";
    char *priority = NULL;

    for (char *p = strstr(text, mark); p; p = strstr(p + 1, mark)) {
        if (p == text || (p >= text + 2 && p[-1] == ' ' && p[-2] == ',')) {
            priority = p;
        }
    }
    if (!priority) {
        step->match = xstrdup("");
        svec_add(&step->warnings, text);
        return;
    }

    char *cookie = strstr(priority, ", cookie ");
    step->matched = true;
    step->priority = MIN(strtoul(priority + strlen(mark), NULL, 10), UINT16_MAX);
    step->cookie = cookie ? strtoull(cookie + strlen(", cookie "), NULL, 16) : 0;
    step->match = priority == text ? xstrdup("") : xmemdup0(text, priority - text - 2);
}

/* Whether a step of this depth is in the branch of packets that are too large.  What is behind check_pkt_larger is run
 * twice: first for those, nested, then for the others, as if nothing had been. */
static bool
is_larger(struct parser *parser, unsigned int depth)
{
    if (parser->larger_depth >= 0 && depth >= parser->larger_depth) {
        return true;
    }
    const struct trace_step *parent = step_of(parser, depth);
    const char *action;
    size_t i;

    parser->larger_depth = -1;
    if (parent) {
        SVEC_FOR_EACH (i, action, &parent->actions) {
            if (!strncmp(action, LARGER_ACTION, strlen(LARGER_ACTION))) {
                parser->larger_depth = depth;
            }
        }
    }
    return parser->larger_depth >= 0;
}

static void
add_step(struct parser *parser, unsigned int depth, uint8_t table_id, char *text)
{
    struct trace *trace = parser->trace;

    if (trace->n_steps >= TRACE_MAX_STEPS) {
        trace->truncated = true;
        return;
    }
    bool larger = is_larger(parser, depth);
    if (trace->n_steps >= trace->allocated_steps) {
        trace->steps = x2nrealloc(trace->steps, &trace->allocated_steps, sizeof *trace->steps);
    }
    struct trace_step *step = &trace->steps[trace->n_steps++];
    memset(step, 0, sizeof *step);
    step->bridge = xstrdup(parser->bridge);
    step->recirculation = parser->recirculation;
    step->depth = depth;
    step->table_id = table_id;
    step->larger = larger;
    svec_init(&step->actions);
    svec_init(&step->details);
    svec_init(&step->warnings);
    parse_flow(step, text);
}

/* " 4. ip, priority 50, cookie 0x1" or "50(L3_FORWARD). ...": the number is right-aligned in two columns. */
static bool
parse_table(struct parser *parser, unsigned int indent, char *text)
{
    char *end;
    size_t digits = strspn(text, "0123456789");

    if (!digits || digits > 3) {
        return false;
    }
    unsigned long int table_id = strtoul(text, &end, 10);
    if (*end == '(') {
        end += strcspn(end, ")");
        end += *end == ')';
    }
    if (table_id > 254 || end[0] != '.' || end[1] != ' ') {
        return false;
    }
    unsigned int aligned = digits < 2 && indent ? 1 : 0;
    add_step(parser, indent - aligned, table_id, end + 2);
    return true;
}

static void
set_failure(struct trace *trace, const char *text)
{
    if (!trace->failure) {
        trace->failure = xmemdup0(text, strcspn(text, ")"));
    }
}

/* Lines that stand at the edge.  True if it was one. */
static bool
parse_heading(struct parser *parser, char *line)
{
    static const char *const ignored[] = { "Flow: ", "Final flow: ", "Megaflow: ", "This flow is handled", "  - ", "-",
                                           "=", "Replacing src/dst", " Initial flow: ", " Modified flow: ", NULL };
    char *rest;

    if ((rest = skip(line, "bridge(\""))) {
        set_bridge(parser, rest);
    } else if (skip(line, "recirc(")) {
        parser->recirculation += parser->recirculation < INT_MAX;
        begin_section(parser);
    } else if ((rest = skip(line, "Datapath actions: "))) {
        free(parser->trace->datapath_actions);
        parser->trace->datapath_actions = xstrdup(rest);
    } else if ((rest = skip(line, "Translation failed ("))) {
        set_failure(parser->trace, rest);
    } else {
        for (size_t i = 0; ignored[i]; i++) {
            if (skip(line, ignored[i])) {
                return true;
            }
        }
        return false;
    }
    return true;
}

/* In a trace only: a packet that recirculates after its tunnel was chosen (CT_COMMIT) looks as if it had come by that
 * tunnel, since ofproto/trace keeps in the packet's place the fields that were set for it. */
static bool
is_artefact(const struct trace_step *step, const char *warning)
{
    return step->recirculation && !strcmp(warning, "Not tunneling to our own address");
}

static void
parse_line(struct parser *parser, char *line)
{
    unsigned int indent = strspn(line, " ");
    char *text = line + indent, *rest;

    if (!*text || parse_heading(parser, line) || parse_table(parser, indent, text)) {
        return;
    }
    struct trace_step *step = step_of(parser, indent);
    if (!step) {
        return;
    }
    if ((rest = skip(text, "-> "))) {
        svec_add(&step->details, rest);
    } else if ((rest = skip(text, ">>>> "))) {
        char *tail = strstr(rest, " <<<<");
        svec_add_nocopy(&step->warnings, xmemdup0(rest, tail ? tail - rest : strlen(rest)));
    } else if ((rest = skip(text, ">> "))) {
        if (!is_artefact(step, rest)) {
            svec_add(&step->warnings, rest);
        }
    } else if (!skip(text, "bridge(") && !skip(text, "---")) {
        svec_add(&step->actions, text);
    }
}
