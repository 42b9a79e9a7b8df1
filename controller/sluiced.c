#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/config.h"
#include "controller/ctl.h"
#include "controller/dataplane.h"
#include "controller/report.h"
#include "controller/source.h"
#include "controller/store.h"
#include "error.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "sd-notify.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(sluiced);

/* The owner of everything. */
struct sluiced {
    int argc;
    char **argv;
    struct config config;
    bool cleanup;
    int signal_fd, pid_fd;
    struct store *store;
    struct source *source;
    struct dataplane *dataplane;
    struct report *report;
    struct unixctl_server *unixctl;
    struct ctl *ctl;
    bool was_synced;
    char *source_problem;               /* What the log says ... */
    long long int source_warn_at;       /* ... and when it will as a warning, if it lasts (time_msec()). */
    char *notified;                     /* What systemd knows. */
    bool stop;
};

/* Options. ------------------------------------------------------------------------------------------------------- */

#define MAX_OPTIONS 64
enum { OPT_KEY = UCHAR_MAX + 1, OPT_CLEANUP };

struct options {
    struct option longs[MAX_OPTIONS];
    size_t n;
};

static void
add_key(const char *key, const char *metavar OVS_UNUSED, const char *help OVS_UNUSED, void *options_)
{
    struct options *options = options_;
    ovs_assert(options->n < MAX_OPTIONS - 1);
    options->longs[options->n++] = (struct option) { xstrdup(key), required_argument, NULL, OPT_KEY };
}

static void
print_key(const char *key, const char *metavar, const char *help, void *aux OVS_UNUSED)
{
    printf("  --%s=%s\n        %s\n", key, metavar, help);
}

static void
print_help(void)
{
    puts("usage: sluiced [--config FILE] [--KEY VALUE]...\n"
         "       sluiced [--config FILE] --cleanup\n\n"
         "The node daemon of Sluice; see sluiced(8).\n\n"
         "  -c, --config FILE     default: " SLUICE_SYSCONFDIR "/sluiced.yaml, if it is there\n"
         "  --cleanup             take away all that Sluice made on this node (not its state files), give the uplink\n"
         "                        back, and exit\n"
         "  -v, --verbose[=SPEC]  log more, as for ovs-vswitchd: \"dbg\", \"dataplane:dbg\", ...\n"
         "  -h, --help    -V, --version\n\n"
         "Each key of the file is also an option, and wins over it:\n");
    config_for_each_key(print_key, NULL);
}

static void
init_options(struct options *options)
{
    static const struct option fixed[] = {
        { "config", required_argument, NULL, 'c' }, { "cleanup", no_argument, NULL, OPT_CLEANUP },
        { "verbose", optional_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
    };
    memset(options, 0, sizeof *options);
    memcpy(options->longs, fixed, sizeof fixed);
    options->n = ARRAY_SIZE(fixed);
    config_for_each_key(add_key, options);
}

static void
destroy_options(struct options *options)
{
    for (size_t i = 0; i < options->n; i++) {
        if (options->longs[i].val == OPT_KEY) {
            free(CONST_CAST(char *, options->longs[i].name));
        }
    }
}

/* The file comes first, whatever the order of the options. */
static int
load_file(struct sluiced *d, const struct options *options, struct config *config, struct error *error)
{
    const char *path = NULL;
    int c;

    optind = 0;
    while ((c = getopt_long(d->argc, d->argv, "c:hv::V", options->longs, NULL)) != -1) {
        if (c == 'c') {
            path = optarg;
        } else if (c == 'h') {
            print_help();
            exit(EXIT_SUCCESS);
        } else if (c == 'V') {
            puts("sluiced " SLUICE_VERSION);
            exit(EXIT_SUCCESS);
        } else if (c == '?') {
            return error_set(error, EINVAL, "sluiced --help tells the options");
        }
        d->cleanup = d->cleanup || c == OPT_CLEANUP;
    }
    if (optind < d->argc) {
        return error_set(error, EINVAL, "%s: sluiced takes no arguments but options", d->argv[optind]);
    }
    if (!path && access(SLUICE_SYSCONFDIR "/sluiced.yaml", F_OK)) {
        return 0;
    }
    return config_load(config, path ? path : SLUICE_SYSCONFDIR "/sluiced.yaml", error);
}

static int
load_config(struct sluiced *d, struct config *config, struct error *error)
{
    struct options options;
    int code, c, index;

    config_init(config);
    init_options(&options);
    code = load_file(d, &options, config, error);
    optind = 0;
    while (!code && (c = getopt_long(d->argc, d->argv, "c:hv::V", options.longs, &index)) != -1) {
        if (c == 'v') {
            vlog_set_verbosity(optarg);
        } else if (c == OPT_KEY) {
            code = config_set(config, options.longs[index].name, optarg, error);
        }
    }
    destroy_options(&options);
    code = code ? code : config_validate(config, error);
    if (code) {
        config_destroy(config);
    }
    return code;
}

/* Start. --------------------------------------------------------------------------------------------------------- */

static int
make_dir(const char *path, mode_t mode, struct error *error)
{
    char *copy = xstrdup(path);
    for (char *p = copy + 1; *p; p++) {
        if (*p == '/') {
            *p = '\0';
            mkdir(copy, 0755);
            *p = '/';
        }
    }
    free(copy);
    if (mkdir(path, mode) && errno != EEXIST) {
        return error_set_errno(error, errno, "cannot make the directory %s", path);
    }
    return 0;
}

/* The pid file, locked for as long as we live, so that there is one sluiced for each run directory. */
static int
write_pid(struct sluiced *d, struct error *error)
{
    char *path = xasprintf("%s/sluiced.pid", d->config.run_dir), text[32];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int n = snprintf(text, sizeof text, "%d\n", (int) getpid()), code = 0;

    d->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (d->pid_fd < 0) {
        code = error_set_errno(error, errno, "%s", path);
    } else if (fcntl(d->pid_fd, F_SETLK, &lock)) {
        code = error_set(error, EWOULDBLOCK, "%s is locked: another sluiced runs with this run-dir", path);
    } else if (ftruncate(d->pid_fd, 0) || write(d->pid_fd, text, n) != n) {
        code = error_set_errno(error, errno, "%s", path);
    }
    free(path);
    return code;
}

static int
init_log(const struct config *config, struct error *error)
{
    if (config->log_file) {
        int code = vlog_set_log_file(config->log_file);
        vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
        return code ? error_set_errno(error, code, "log file %s", config->log_file) : 0;
    }
    return 0;
}

/* Signals come through a descriptor; they are blocked in all threads, so this is before the first. */
static void
init_signals(struct sluiced *d)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    d->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int
start(struct sluiced *d, struct error *error)
{
    const struct config *config = &d->config;
    int code = make_dir(config->run_dir, 0755, error);

    code = code ? code : make_dir(config->state_dir, 0700, error);
    code = code ? code : write_pid(d, error);
    if (code || d->cleanup) {
        return code;
    }
    d->store = store_create();
    d->source = source_create(config, d->store);
    code = dataplane_create(config, d->store, &d->dataplane, error);
    if (!code) {
        dataplane_set_declares_pods(d->dataplane, source_declares_pods(d->source));
        d->report = report_create(source_kube_client(d->source), d->config.node, d->store, d->dataplane);
        char *path = xasprintf("%s/sluiced.ctl", config->run_dir);
        code = unixctl_server_create(path, &d->unixctl);
        code = code ? error_set_errno(error, code, "control socket %s", path) : 0;
        free(path);
    }
    if (!code) {
        d->ctl = ctl_create(d->dataplane, d->source, d->report);
        VLOG_INFO("sluiced %s serves node %s", SLUICE_VERSION, config->node);
    }
    return code;
}

static void
stop(struct sluiced *d)
{
    ctl_destroy(d->ctl);
    unixctl_server_run(d->unixctl);     /* The last replies. */
    unixctl_server_destroy(d->unixctl);
    report_destroy(d->report);
    dataplane_destroy(d->dataplane);
    source_destroy(d->source);
    if (d->store) {
        store_destroy(d->store);
    }
    config_destroy(&d->config);
    free(d->source_problem);
    free(d->notified);
}

/* The main loop. ------------------------------------------------------------------------------------------------- */

static void
keep_text(const char *key, char **new, char **old)
{
    if (!nullable_string_is_equal(*new, *old)) {
        VLOG_WARN("%s: takes effect at the next start", key);
        char *text = *new;
        *new = *old;
        *old = text;
    }
}

/* What a running daemon cannot change. */
static void
keep_fixed(struct config *new, struct config *old)
{
    keep_text("node", &new->node, &old->node);
    keep_text("source", &new->source, &old->source);
    keep_text("kubeconfig", &new->kubeconfig, &old->kubeconfig);
    keep_text("uplink", &new->uplink, &old->uplink);
    keep_text("run-dir", &new->run_dir, &old->run_dir);
    keep_text("state-dir", &new->state_dir, &old->state_dir);
    keep_text("ovsdb", &new->ovsdb, &old->ovsdb);
    keep_text("ovs-rundir", &new->ovs_rundir, &old->ovs_rundir);
    keep_text("log-file", &new->log_file, &old->log_file);
    if (new->datapath != old->datapath) {
        VLOG_WARN("datapath: takes effect at the next start");
        new->datapath = old->datapath;
    }
}

static void
reload(struct sluiced *d)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct config config;

    sd_notify_send("RELOADING=1");
    if (load_config(d, &config, &error)) {
        VLOG_ERR("the configuration stays as it was: %s", error_message(&error));
    } else {
        keep_fixed(&config, &d->config);
        struct config old = d->config;
        d->config = config;
        dataplane_reconfigure(d->dataplane, &d->config);
        config_destroy(&old);
        VLOG_INFO("configuration read again");
    }
    sd_notify_send("READY=1");
}

static void
run_signals(struct sluiced *d)
{
    struct signalfd_siginfo info;
    while (read(d->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            reload(d);
        } else {
            VLOG_INFO("stopping; the dataplane stays as it is");
            d->stop = true;
        }
    }
    poll_fd_wait(d->signal_fd, POLLIN);
}

/* systemd: we are up once we listen; whether pods can be added is the status text. */
static void
notify(struct sluiced *d)
{
    const char *why = dataplane_not_ready(d->dataplane, NULL), *warning = why ? NULL : source_problem(d->source);
    char *state = xasprintf("READY=1\nSTATUS=%s%s%s", why ? why : "ready", warning ? "; " : "", warning ? warning : "");

    if (!d->notified || strcmp(d->notified, state)) {
        sd_notify_send(state);
        free(d->notified);
        d->notified = state;
    } else {
        free(state);
    }
}

/* A server that is back at once is no reason for a warning. */
#define SOURCE_WARN_MS 5000

static void
log_source_problem(struct sluiced *d)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(2, 5);
    const char *problem = source_problem(d->source);

    if (problem && !d->source_problem) {
        d->source_warn_at = time_msec() + SOURCE_WARN_MS;
    }
    if (problem && time_msec() >= d->source_warn_at) {
        VLOG_WARN("%s", problem);
        d->source_warn_at = LLONG_MAX;
    } else if (!nullable_string_is_equal(problem, d->source_problem)) {
        VLOG_INFO_RL(&rl, "%s%s", problem ? problem : source_name(d->source), problem ? "" : ": read again");
    }
    if (!nullable_string_is_equal(problem, d->source_problem)) {
        free(d->source_problem);
        d->source_problem = nullable_xstrdup(problem);
    }
}

static void
run_source(struct sluiced *d)
{
    source_run(d->source);
    if (!d->was_synced && source_synced(d->source)) {
        d->was_synced = true;
        malloc_trim(0);                 /* What decoding the first lists left. */
    }
    log_source_problem(d);
}

static void
wait_source(struct sluiced *d)
{
    source_wait(d->source);
    if (d->source_problem && d->source_warn_at != LLONG_MAX) {
        poll_timer_wait_until(d->source_warn_at);
    }
}

static void
run_dataplane(struct sluiced *d)
{
    const char *problem = source_problem(d->source);
    char *why = source_synced(d->source) ? NULL : problem ? xstrdup(problem)
                : xasprintf("reading %s", source_name(d->source));

    dataplane_run(d->dataplane, why);
    free(why);
    report_run(d->report, d->was_synced);
}

static void
loop(struct sluiced *d)
{
    while (!d->stop) {
        run_source(d);
        run_dataplane(d);
        unixctl_server_run(d->unixctl);
        ctl_run(d->ctl);        /* Behind the requests: nothing else may wake us for a "wait" that holds already. */
        notify(d);

        run_signals(d);
        wait_source(d);
        dataplane_wait(d->dataplane);
        report_wait(d->report);
        ctl_wait(d->ctl);
        unixctl_server_wait(d->unixctl);
        if (d->stop) {
            poll_immediate_wake();
        }
        poll_block();
    }
    sd_notify_send("STOPPING=1");
}

int
main(int argc, char *argv[])
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct sluiced d = { .argc = argc, .argv = argv };

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    mallopt(M_ARENA_MAX, 2);            /* Threads that rarely allocate need no memory of their own. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);      /* Fixed: what was large once is given back each time. */
    init_signals(&d);
    int code = load_config(&d, &d.config, &error);
    if (!code) {
        code = init_log(&d.config, &error);
        code = code ? code : start(&d, &error);
        if (!code && d.cleanup) {
            code = dataplane_cleanup(&d.config, &error);
        } else if (!code) {
            loop(&d);
        }
        stop(&d);
    }
    if (code) {
        fprintf(stderr, "sluiced: %s\n", error_message(&error));
    }
    return code ? EXIT_FAILURE : EXIT_SUCCESS;
}
