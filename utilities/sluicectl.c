#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "svec.h"
#include "util.h"
#include "utilities/ctl-client.h"
#include "utilities/sluicectl.h"

/* sluicectl asks a running sluiced over its control socket (controller/ctl.h) and prints the answer.
 * Exit status: 0; 1: the daemon refused, or what was asked for does not hold; 2: wrong use, or no daemon. */

static const char usage_text[] =
    "usage: sluicectl [-t DIR] VERB ...\n"
    "\n"
    "  status                        what is realised, what is not and why\n"
    "  pods | nodes                  what the daemon knows and what it has realised\n"
    "  policies [NAME] [--stats]     policies: tier, pods, realised or not; packets and bytes of each rule\n"
    "  services [[NAMESPACE/]NAME] [--stats]\n"
    "                                Services: every way in, the endpoints behind it, their shares; packets of each\n"
    "  domains                       addresses of domain names that policies name, as DNS answers gave them\n"
    "  flows [TABLE] [--object OWNER]\n"
    "                                the installed flows, with table names and owners\n"
    "  ipam [check|repair]           pools; check compares journal, OVSDB, host and source\n"
    "  trace --from A --to B [--protocol tcp|udp|sctp|icmp] [--port N] [--sport N] [--family 4|6]\n"
    "        [--source-address ADDRESS] [--explain]\n"
    "  trace --batch FILE            a packet's way and what decides it\n"
    "  wait --for ready|realized [--timeout SECONDS]\n"
    "  compile --source DIR [--node NAME] [--datapath D] [--encapsulation E] [--mtu N] [--pod-cidrs C,...]\n"
    "          [--uplink-mtu N] [--uplink-prefix ADDRESS/LENGTH]... [--stats [--all-local] | --services]\n"
    "                                the flows that a node would have with these manifests; needs no daemon\n"
    "\n"
    "  -t, --target DIR              the daemon's run directory (default: $SLUICE_RUNDIR, else " SLUICE_RUNDIR ")\n"
    "      --json                    JSON instead of text\n"
    "  -h, --help    -V, --version\n";

struct options {
    const char *rundir;
    bool json, stats;
    struct config config;               /* Keys that "compile" shares with sluiced. */
    struct compile_options compile;
    const char *wait_for, *timeout;
    const char *object;
    struct trace_options trace;
};

enum {
    OPT_JSON = UCHAR_MAX + 1, OPT_FOR, OPT_TIMEOUT, OPT_FROM, OPT_TO, OPT_PROTOCOL, OPT_PORT, OPT_SPORT, OPT_FAMILY,
    OPT_SOURCE_ADDRESS, OPT_BATCH, OPT_EXPLAIN, OPT_OBJECT, OPT_STATS, OPT_ALL_LOCAL, OPT_UPLINK_MTU, OPT_UPLINK_PREFIX,
    OPT_SERVICES, OPT_KEY,
};

static void OVS_NO_RETURN OVS_PRINTF_FORMAT(1, 2)
die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("sluicectl: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\nsluicectl --help tells how to use it\n", stderr);
    exit(EXIT_USAGE);
}

static void
add_uplink_prefix(struct compile_options *o, const char *text)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct inet_prefix prefix;

    if (inet_prefix_parse(text, &prefix, &error)) {
        die("--uplink-prefix: %s", error_message(&error));
    }
    o->uplink_prefixes = xrealloc(o->uplink_prefixes, (o->n_uplink_prefixes + 1) * sizeof *o->uplink_prefixes);
    o->uplink_prefixes[o->n_uplink_prefixes++] = prefix;
}

static int
parse_number(const char *option, const char *text, int min, int max)
{
    int number;
    if (!str_to_int(text, 10, &number) || number < min || number > max) {
        die("%s: \"%s\" is no number from %d to %d", option, text, min, max);
    }
    return number;
}

/* A key of sluiced's configuration. */
static void
set_key(struct config *config, const char *key, const char *value)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    if (config_set(config, key, value, &error)) {
        die("%s", error_message(&error));
    }
}

static void
parse_option(int c, const char *name, struct options *o)
{
    struct trace_question *q = &o->trace.question;

    switch (c) {
    case 't': o->rundir = optarg; break;
    case OPT_JSON: o->json = true; break;
    case OPT_FOR: o->wait_for = optarg; break;
    case OPT_TIMEOUT: o->timeout = optarg; break;
    case OPT_FROM: q->from = optarg; break;
    case OPT_TO: q->to = optarg; break;
    case OPT_PROTOCOL: q->protocol = optarg; break;
    case OPT_PORT: q->port = parse_number("--port", optarg, 1, 65535); break;
    case OPT_SPORT: q->sport = parse_number("--sport", optarg, 1, 65535); break;
    case OPT_FAMILY: q->family = parse_number("--family", optarg, 4, 6); break;
    case OPT_SOURCE_ADDRESS: q->source = optarg; break;
    case OPT_BATCH: o->trace.batch = optarg; break;
    case OPT_EXPLAIN: o->trace.explain = true; break;
    case OPT_OBJECT: o->object = optarg; break;
    case OPT_STATS: o->stats = true; break;
    case OPT_SERVICES: o->compile.services = true; break;
    case OPT_ALL_LOCAL: o->compile.all_local = true; break;
    case OPT_UPLINK_MTU: o->compile.uplink_mtu = parse_number("--uplink-mtu", optarg, 576, 65535); break;
    case OPT_UPLINK_PREFIX: add_uplink_prefix(&o->compile, optarg); break;
    case OPT_KEY: set_key(&o->config, name, optarg); break;
    case 'h': fputs(usage_text, stdout); exit(EXIT_SUCCESS);
    case 'V': puts("sluicectl " SLUICE_VERSION); exit(EXIT_SUCCESS);
    default: fputs("sluicectl --help tells how to use it\n", stderr); exit(2);
    }
}

static void
parse_options(int argc, char *argv[], struct options *o)
{
    static const struct option longs[] = {
        { "target", required_argument, NULL, 't' }, { "json", no_argument, NULL, OPT_JSON },
        { "for", required_argument, NULL, OPT_FOR }, { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "from", required_argument, NULL, OPT_FROM }, { "to", required_argument, NULL, OPT_TO },
        { "protocol", required_argument, NULL, OPT_PROTOCOL }, { "port", required_argument, NULL, OPT_PORT },
        { "sport", required_argument, NULL, OPT_SPORT }, { "family", required_argument, NULL, OPT_FAMILY },
        { "source-address", required_argument, NULL, OPT_SOURCE_ADDRESS },
        { "batch", required_argument, NULL, OPT_BATCH }, { "explain", no_argument, NULL, OPT_EXPLAIN },
        { "object", required_argument, NULL, OPT_OBJECT }, { "stats", no_argument, NULL, OPT_STATS },
        { "all-local", no_argument, NULL, OPT_ALL_LOCAL },
        { "services", no_argument, NULL, OPT_SERVICES },
        { "node", required_argument, NULL, OPT_KEY }, { "source", required_argument, NULL, OPT_KEY },
        { "datapath", required_argument, NULL, OPT_KEY }, { "encapsulation", required_argument, NULL, OPT_KEY },
        { "mtu", required_argument, NULL, OPT_KEY }, { "pod-cidrs", required_argument, NULL, OPT_KEY },
        { "uplink-mtu", required_argument, NULL, OPT_UPLINK_MTU },
        { "uplink-prefix", required_argument, NULL, OPT_UPLINK_PREFIX },
        { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 },
    };
    int c, index = 0;

    while ((c = getopt_long(argc, argv, "t:hV", longs, &index)) != -1) {
        parse_option(c, longs[index].name, o);
    }
}

static int
usage_error(const char *message)
{
    fprintf(stderr, "sluicectl: %s\n%s", message, usage_text);
    return 2;
}

/* Builds the command's arguments from the options of the verb.  False if one is missing or wrong. */
static bool
verb_args(const char *verb, const struct options *o, struct svec *args)
{
    if (!strcmp(verb, "wait")) {
        double seconds = o->timeout ? atof(o->timeout) : 60;
        if (!o->wait_for || (strcmp(o->wait_for, "ready") && strcmp(o->wait_for, "realized")) || seconds <= 0) {
            return false;
        }
        svec_add(args, o->wait_for);
        svec_add_nocopy(args, xasprintf("%.0f", seconds * 1000));
    } else if (o->object) {
        svec_add(args, "--object");
        svec_add(args, o->object);
    }
    return true;
}

/* Asks the daemon and prints its answer. */
static int
ask(const char *verb, const struct options *o, struct svec *args)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char *path = xasprintf("%s/sluiced.ctl", o->rundir), *answer = NULL;
    struct ctl_client *client = NULL;
    const char *const *texts = (const char *const *) args->names;
    int code = ctl_client_open(path, &client, &error);

    code = code ? code : ctl_client_ask(client, verb, texts, args->n, &answer, &error);
    if (answer) {
        fputs(answer, stdout);
        if (*answer && answer[strlen(answer) - 1] != '\n') {
            putchar('\n');
        }
    } else if (code == EPROTO) {
        fprintf(stderr, "sluicectl: %s\n", error_message(&error));
    } else {
        fprintf(stderr, "sluicectl: %s; is sluiced running, or is -t another directory?\n",
                error_message(&error));
    }
    ctl_client_close(client);
    free(answer);
    free(path);
    return !code ? 0 : code == EPROTO ? EXIT_REFUSED : EXIT_USAGE;
}

static int
run_compile(struct options *o, int n_args)
{
    if (n_args) {
        return usage_error("compile takes no arguments but options");
    }
    if (!strcmp(o->config.source, "kubernetes")) {
        return usage_error("compile needs --source, a directory of manifests");
    }
    if (o->compile.services && o->stats) {
        return usage_error("compile takes --stats or --services");
    }
    if (o->compile.all_local && !o->stats) {
        return usage_error("--all-local is for --stats");
    }
    o->compile.config = &o->config;
    o->compile.json = o->json;
    o->compile.stats = o->stats;
    return compile_verb(&o->compile);
}

static int
run_trace(struct options *o, int n_args)
{
    struct trace_question *q = &o->trace.question;

    if (n_args) {
        return usage_error("trace takes no arguments but options");
    }
    if (o->trace.batch ? q->from || q->to : !q->from || !q->to) {
        return usage_error("trace needs --from and --to, or --batch alone");
    }
    if (q->family == 5) {
        return usage_error("--family is 4 or 6");
    }
    q->protocol = q->protocol ? q->protocol : q->port ? "tcp" : "icmp";
    o->trace.rundir = o->rundir;
    o->trace.json = o->json;
    return trace_verb(&o->trace);
}

static int
run_policies(const struct options *o, int n_args, char *args[])
{
    if (n_args > 1) {
        return usage_error("policies takes one name");
    }
    return policies_verb(&(struct policies_options) {
        .rundir = o->rundir, .name = n_args ? args[0] : NULL, .stats = o->stats, .json = o->json });
}

static int
run_services(const struct options *o, int n_args, char *args[])
{
    if (n_args > 1) {
        return usage_error("services takes one name");
    }
    return services_verb(&(struct services_options) {
        .rundir = o->rundir, .name = n_args ? args[0] : NULL, .stats = o->stats, .json = o->json });
}

static int
run_daemon_verb(const char *verb, struct options *o, int n_args, char *more[])
{
    struct svec args = SVEC_EMPTY_INITIALIZER;
    if (o->json) {
        svec_add(&args, "--json");
    }
    for (int i = 0; i < n_args; i++) {
        svec_add(&args, more[i]);
    }
    int status = verb_args(verb, o, &args) ? ask(verb, o, &args)
                                           : usage_error("an option of this verb is missing or wrong");
    svec_destroy(&args);
    return status;
}

static int
run_verb(const char *verb, struct options *o, int n_args, char *args[])
{
    static const char *const verbs[] = { "status", "pods", "nodes", "domains", "flows", "ipam", "wait", NULL };

    if (!strcmp(verb, "compile")) {
        return run_compile(o, n_args);
    }
    if (!strcmp(verb, "trace")) {
        return run_trace(o, n_args);
    }
    if (!strcmp(verb, "policies")) {
        return run_policies(o, n_args, args);
    }
    if (!strcmp(verb, "services")) {
        return run_services(o, n_args, args);
    }
    for (size_t i = 0; verbs[i]; i++) {
        if (!strcmp(verb, verbs[i])) {
            return run_daemon_verb(verb, o, n_args, args);
        }
    }
    return usage_error("no such verb");
}

int
main(int argc, char *argv[])
{
    const char *env = getenv("SLUICE_RUNDIR");
    struct options o = { .rundir = env && *env ? env : SLUICE_RUNDIR, .compile.uplink_mtu = 1500 };

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    config_init(&o.config);
    parse_options(argc, argv, &o);
    int status = (optind < argc ? run_verb(argv[optind], &o, argc - optind - 1, argv + optind + 1)
                  : usage_error("a verb is missing"));
    free(o.compile.uplink_prefixes);
    config_destroy(&o.config);
    return status;
}
