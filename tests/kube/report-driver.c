/* report-driver KUBECONFIG NODE: controller/node-report.h on a real API server, for test-kube-report.py.
 *
 * Commands, one a line, words by blanks; each is answered with "ok":
 *     condition UID|- -|TEXT...
 *     event KIND NAMESPACE|- NAME UID|- REASON TEXT...
 * Besides it prints "problem TEXT" ("problem -": none) and "client TEXT" when these change. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "controller/kube-decode.h"
#include "controller/kube-types.h"
#include "controller/node-report.h"
#include "fatal-signal.h"
#include "kube-client.h"
#include "openvswitch/poll-loop.h"
#include "util.h"

/* Prints it if it is another one than the last time. */
static void
tell(const char *what, char **last, const char *text)
{
    text = text ? text : "-";
    if (!*last || strcmp(*last, text)) {
        free(*last);
        *last = xstrdup(text);
        printf("%s %s\n", what, text);
    }
}

static char *
word(char **rest)
{
    char *found = strsep(rest, " ");
    if (!found) {
        ovs_fatal(0, "a word is missing");
    }
    return strcmp(found, "-") ? found : CONST_CAST(char *, "");
}

static void
command(struct node_report *report, char *line)
{
    const char *verb = word(&line);

    if (!strcmp(verb, "condition")) {
        const char *uid = word(&line);
        node_report_condition(report, uid, line && strcmp(line, "-") ? line : NULL);
    } else if (!strcmp(verb, "event")) {
        enum kube_kind kind;
        if (!kube_kind_from_name(word(&line), &kind)) {
            ovs_fatal(0, "no such kind");
        }
        struct kube_object object = { .kind = kind };
        object.namespace_ = word(&line);
        object.name = word(&line);
        kube_uid_parse(word(&line), &object.uid);
        const char *reason = word(&line);
        node_report_event(report, &object, true, reason, line);
        kube_uid_clear(&object.uid);
    } else {
        ovs_fatal(0, "%s: no such command", verb);
    }
    puts("ok");
}

/* Takes what has come from standard input.  False at its end. */
static bool
run_commands(struct node_report *report, int fd)
{
    static char buffer[65536];
    static size_t used;
    ssize_t n;

    while ((n = read(fd, buffer + used, sizeof buffer - used - 1)) > 0) {
        used += n;
        buffer[used] = '\0';
        for (char *end; (end = strchr(buffer, '\n'));) {
            *end++ = '\0';
            command(report, buffer);
            used -= end - buffer;
            memmove(buffer, end, used + 1);
        }
    }
    return n < 0 && errno == EAGAIN;
}

int
main(int argc, char *argv[])
{
    char *problem = NULL, *client_problem = NULL;

    if (argc != 3) {
        ovs_fatal(0, "usage: report-driver KUBECONFIG NODE");
    }
    fatal_ignore_sigpipe();
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* The poll loop takes a descriptor 0 for none. */
    int fd = dup(STDIN_FILENO);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    struct kube_client *client = kube_client_create(argv[1], NULL, "report-driver");
    struct node_report *report = node_report_create(client, argv[2]);
    while (run_commands(report, fd)) {
        kube_client_run(client);
        node_report_run(report);
        tell("problem", &problem, node_report_problem(report));
        tell("client", &client_problem, kube_client_problem(client));
        kube_client_wait(client);
        node_report_wait(report);
        poll_fd_wait(fd, POLLIN);
        poll_block();
    }
    node_report_destroy(report);
    kube_client_destroy(client);
    free(problem);
    free(client_problem);
    return 0;
}
