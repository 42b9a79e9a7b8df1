/* Watches collections of a Kubernetes API server with lib/kube-client and tells what it sees, for tests.
 *
 *     kube-watch [--kubeconfig FILE] [--account DIR] [--query QUERY] [--quiet] --path PATH [--path PATH]...
 *
 * One JSON object a line on standard output, flushed, each with "what" and, where it makes sense, "path":
 *
 *     begin, end, gone                   of a list
 *     listed, added, modified, deleted   with namespace, name, uid, resourceVersion; not with --quiet
 *     bad                                an object that could not be read: "text"
 *     synced                             all collections are, for the first time: "ms" since the start, "rss_kb"
 *     problem                            kube_client_problem() has become another "text"; null: none
 *     answer                             of a call: "status", "answer", or "error" with "code"
 *     stats                              "wakeups", "rss_kb", and the sums over the reflectors
 *
 * Commands on standard input, a line each; its end is the end of the program:
 *
 *     stats
 *     call METHOD PATH [BODY]            BODY is JSON; a PATCH is a merge patch */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "fatal-signal.h"
#include "kube-client.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

#define MAX_PATHS 16

struct collection {
    const char *path;
    const struct reflector *reflector;
    bool quiet;
};

struct program {
    struct kube_client *client;
    struct collection collections[MAX_PATHS];
    size_t n;
    char *problem;
    bool synced;
    long long int started;
    unsigned long int wakeups;
    struct ds input;
    int input_fd;                       /* A copy of standard input: the poll loop does not take 0. */
};

static void
put(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static long int
rss_kb(void)
{
    long int pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%*s %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
put_what(const struct collection *c, const char *what)
{
    put(json_pack("{s:s, s:s}", "what", what, "path", c->path));
}

static void
on_begin(void *c)
{
    put_what(c, "begin");
}

static void
on_end(void *c)
{
    put_what(c, "end");
}

static void
on_gone(void *c)
{
    put_what(c, "gone");
}

static void
on_bad(void *c_, const char *text)
{
    const struct collection *c = c_;
    put(json_pack("{s:s, s:s, s:s}", "what", "bad", "path", c->path, "text", text));
}

static void
on_object(void *c_, enum reflector_event event, const json_t *object)
{
    static const char *const names[] = {
        [REFLECTOR_LISTED] = "listed", [REFLECTOR_ADDED] = "added", [REFLECTOR_MODIFIED] = "modified",
        [REFLECTOR_DELETED] = "deleted",
    };
    const struct collection *c = c_;
    if (!c->quiet) {
        const json_t *meta = json_object_get(object, "metadata");
        put(json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?}", "what", names[event], "path", c->path,
                      "namespace", json_string_value(json_object_get(meta, "namespace")),
                      "name", json_string_value(json_object_get(meta, "name")),
                      "uid", json_string_value(json_object_get(meta, "uid")),
                      "resourceVersion", json_string_value(json_object_get(meta, "resourceVersion"))));
    }
}

static const struct reflector_ops reflector_ops = { on_begin, on_object, on_end, on_gone, on_bad };

static void
on_answer(void *aux OVS_UNUSED, int status, long long int retry_after_ms OVS_UNUSED, const json_t *answer,
          const struct error *error)
{
    if (error) {
        put(json_pack("{s:s, s:i, s:s}", "what", "answer", "code", error->code, "error", error_message(error)));
    } else {
        put(json_pack("{s:s, s:i, s:O?}", "what", "answer", "status", status, "answer", answer));
    }
}

static void
put_stats(const struct program *p)
{
    struct reflector_stats sum = { 0 }, s;
    for (size_t i = 0; i < p->n; i++) {
        reflector_get_stats(p->collections[i].reflector, &s);
        sum.lists += s.lists;
        sum.watches += s.watches;
        sum.events += s.events;
        sum.bookmarks += s.bookmarks;
        sum.failures += s.failures;
        sum.gone_back += s.gone_back;
    }
    put(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "what", "stats",
                  "wakeups", (json_int_t) p->wakeups, "rss_kb", (json_int_t) rss_kb(), "lists", (json_int_t) sum.lists,
                  "watches", (json_int_t) sum.watches, "events", (json_int_t) sum.events,
                  "bookmarks", (json_int_t) sum.bookmarks, "failures", (json_int_t) sum.failures,
                  "gone_back", (json_int_t) sum.gone_back));
}

static void
run_command(struct program *p, char *line)
{
    char *save = NULL, *verb = strtok_r(line, " ", &save);
    if (verb && !strcmp(verb, "stats")) {
        put_stats(p);
    } else if (verb && !strcmp(verb, "call")) {
        char *method = strtok_r(NULL, " ", &save), *path = strtok_r(NULL, " ", &save);
        char *body = strtok_r(NULL, "", &save);
        if (!path) {
            ovs_fatal(0, "call METHOD PATH [BODY]");
        }
        json_t *json = body ? json_loads(body, JSON_DECODE_ANY, NULL) : NULL;
        kube_client_call(p->client, method, path, strcmp(method, "PATCH") ? NULL : "application/merge-patch+json", json,
                         on_answer, NULL);
        json_decref(json);
    } else {
        ovs_fatal(0, "unknown command %s", verb ? verb : "\"\"");
    }
}

/* False at the end of standard input. */
static bool
read_commands(struct program *p)
{
    char buf[4096];
    ssize_t n;
    while ((n = read(p->input_fd, buf, sizeof buf)) > 0) {
        ds_put_buffer(&p->input, buf, n);
    }
    bool open = n < 0 && (errno == EAGAIN || errno == EINTR);
    char *text = ds_steal_cstr(&p->input), *line = text, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        run_command(p, line);
    }
    ds_put_cstr(&p->input, line);
    free(text);
    return open;
}

static void
tell_changes(struct program *p)
{
    const char *problem = kube_client_problem(p->client);
    if (!nullable_string_is_equal(problem, p->problem)) {
        free(p->problem);
        p->problem = nullable_xstrdup(problem);
        put(json_pack("{s:s, s:s?}", "what", "problem", "text", problem));
    }
    bool synced = p->n > 0;
    for (size_t i = 0; i < p->n; i++) {
        synced = synced && reflector_synced(p->collections[i].reflector);
    }
    if (synced && !p->synced) {
        p->synced = true;
        put(json_pack("{s:s, s:I, s:I}", "what", "synced", "ms", (json_int_t) (time_msec() - p->started),
                      "rss_kb", (json_int_t) rss_kb()));
    }
}

int
main(int argc, char *argv[])
{
    static const struct option options[] = {
        { "kubeconfig", required_argument, NULL, 'k' }, { "account", required_argument, NULL, 'a' },
        { "path", required_argument, NULL, 'p' }, { "query", required_argument, NULL, 'q' },
        { "quiet", no_argument, NULL, 'Q' }, { NULL, 0, NULL, 0 },
    };
    const char *kubeconfig = NULL, *account = NULL, *query = NULL;
    struct program p = { .input_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) };
    bool quiet = false;
    int c;

    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'k': kubeconfig = optarg; break;
        case 'a': account = optarg; break;
        case 'q': query = optarg; break;
        case 'Q': quiet = true; break;
        case 'p':
            if (p.n == MAX_PATHS) {
                ovs_fatal(0, "too many paths");
            }
            p.collections[p.n++].path = optarg;
            break;
        default: return EXIT_FAILURE;
        }
    }
    ds_init(&p.input);
    p.started = time_msec();
    p.client = kube_client_create(kubeconfig, account, "kube-watch/1");
    for (size_t i = 0; i < p.n; i++) {
        p.collections[i].quiet = quiet;
        p.collections[i].reflector = kube_client_reflect(p.client, p.collections[i].path, query, false, &reflector_ops,
                                                         &p.collections[i]);
    }
    fcntl(p.input_fd, F_SETFL, O_NONBLOCK);
    while (read_commands(&p)) {
        kube_client_run(p.client);
        tell_changes(&p);
        kube_client_wait(p.client);
        poll_fd_wait(p.input_fd, POLLIN);
        poll_block();
        p.wakeups++;
    }
    kube_client_destroy(p.client);
    free(p.problem);
    ds_destroy(&p.input);
    return EXIT_SUCCESS;
}
