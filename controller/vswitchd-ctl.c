#include <config.h>

#include "vswitchd-ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/ovs-json.h"
#include "jsonrpc.h"
#include "openvswitch/poll-loop.h"
#include "socket-watch.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

/* The socket appears a moment before its server listens (ms). */
#define RETRY_MIN 10
#define RETRY_MAX 1000

struct vswitchd_ctl {
    char *rundir;
    struct socket_watch *watch;
    struct jsonrpc *rpc;                /* NULL: no connection. */
    unsigned int epoch;
    size_t n_outstanding, n_errors;
    char *error;
    void (*answer)(bool ok, char *text, void *aux);     /* NULL: nobody wants them. */
    void *answer_aux;
    long long int retry_at;             /* LLONG_MAX: when the watch reports something. */
    int retry_delay;
};

static void receive(struct vswitchd_ctl *);
static void try_connect(struct vswitchd_ctl *);

struct vswitchd_ctl *
vswitchd_ctl_create(const char *rundir)
{
    struct vswitchd_ctl *ctl = xzalloc(sizeof *ctl);
    char *prefix = xasprintf("unix:%s/ovs-vswitchd.", rundir);
    ctl->rundir = xstrdup(rundir);
    ctl->watch = socket_watch_create(prefix);
    ctl->retry_delay = RETRY_MIN;
    free(prefix);
    return ctl;
}

void
vswitchd_ctl_destroy(struct vswitchd_ctl *ctl)
{
    if (ctl) {
        jsonrpc_close(ctl->rpc);
        socket_watch_destroy(ctl->watch);
        free(ctl->error);
        free(ctl->rundir);
        free(ctl);
    }
}

void
vswitchd_ctl_run(struct vswitchd_ctl *ctl)
{
    if (socket_watch_run(ctl->watch)) {
        ctl->retry_at = 0;
        ctl->retry_delay = RETRY_MIN;
    }
    if (ctl->rpc) {
        receive(ctl);
    }
    if (!ctl->rpc && time_msec() >= ctl->retry_at) {
        try_connect(ctl);
    }
}

void
vswitchd_ctl_wait(struct vswitchd_ctl *ctl)
{
    socket_watch_wait(ctl->watch);
    if (ctl->rpc) {
        jsonrpc_wait(ctl->rpc);
        jsonrpc_recv_wait(ctl->rpc);
    } else if (ctl->retry_at != LLONG_MAX) {
        poll_timer_wait_until(ctl->retry_at);
    }
}

/* An answer may be large: its text is taken, not copied. */
static void
take_answer(struct vswitchd_ctl *ctl, const struct jsonrpc_msg *msg)
{
    bool ok = msg->type == JSONRPC_REPLY;
    struct json *json = ok ? msg->result : msg->error;
    char *text = NULL;

    if (json && json->type == JSON_STRING) {
        text = json->string;
        json->string = NULL;
    }
    ctl->answer(ok, text ? text : xstrdup(ok ? "" : "error"), ctl->answer_aux);
}

static void
receive(struct vswitchd_ctl *ctl)
{
    struct jsonrpc_msg *msg;
    int error;

    jsonrpc_run(ctl->rpc);
    while (!(error = jsonrpc_recv(ctl->rpc, &msg))) {
        ctl->n_outstanding -= ctl->n_outstanding > 0;
        if (msg->type == JSONRPC_ERROR) {
            free(ctl->error);
            ctl->error = xstrdup(msg->error && msg->error->type == JSON_STRING ? json_string(msg->error) : "error");
            ctl->n_errors++;
        }
        if (ctl->answer) {
            take_answer(ctl, msg);
        }
        jsonrpc_msg_destroy(msg);
    }
    if (error != EAGAIN || jsonrpc_get_status(ctl->rpc)) {
        jsonrpc_close(ctl->rpc);
        ctl->rpc = NULL;
        ctl->retry_at = 0;              /* It may be back already. */
        ctl->retry_delay = RETRY_MIN;
    }
}

/* The pid that ovs-vswitchd wrote, or 0. */
static long int
read_pid(const char *rundir)
{
    char *path = xasprintf("%s/ovs-vswitchd.pid", rundir);
    FILE *file = fopen(path, "re");
    long int pid = 0;
    if (file) {
        if (fscanf(file, "%ld", &pid) != 1) {
            pid = 0;
        }
        fclose(file);
    }
    free(path);
    return pid;
}

static void
try_connect(struct vswitchd_ctl *ctl)
{
    long int pid = read_pid(ctl->rundir);
    char *name = xasprintf("unix:%s/ovs-vswitchd.%ld.ctl", ctl->rundir, pid);
    struct stream *stream;
    /* A unix domain socket connects, or refuses, at once. */
    int error = pid > 0 ? stream_open_block(stream_open(name, &stream, 0), -1, &stream) : ENOENT;

    free(name);
    if (!error) {
        ctl->rpc = jsonrpc_open(stream);
        ctl->epoch++;
        ctl->n_outstanding = ctl->n_errors = 0;
        free(ctl->error);
        ctl->error = NULL;
    } else {
        ctl->retry_at = ctl->retry_delay > RETRY_MAX ? LLONG_MAX : time_msec() + ctl->retry_delay;
        ctl->retry_delay *= 2;
    }
}

bool
vswitchd_ctl_is_connected(const struct vswitchd_ctl *ctl)
{
    return ctl->rpc != NULL;
}

unsigned int
vswitchd_ctl_epoch(const struct vswitchd_ctl *ctl)
{
    return ctl->epoch;
}

void
vswitchd_ctl_send(struct vswitchd_ctl *ctl, const char *command, const char *const args[], size_t n_args)
{
    if (ctl->rpc) {
        struct json *params = json_array_create_empty();
        for (size_t i = 0; i < n_args; i++) {
            json_array_add(params, json_string_create(args[i]));
        }
        if (!jsonrpc_send(ctl->rpc, jsonrpc_create_request(command, params, NULL))) {
            ctl->n_outstanding++;
        }
    }
}

void
vswitchd_ctl_set_answer(struct vswitchd_ctl *ctl, void (*cb)(bool ok, char *text, void *aux), void *aux)
{
    ctl->answer = cb;
    ctl->answer_aux = aux;
}

size_t
vswitchd_ctl_n_outstanding(const struct vswitchd_ctl *ctl)
{
    return ctl->n_outstanding;
}

size_t
vswitchd_ctl_n_errors(const struct vswitchd_ctl *ctl)
{
    return ctl->n_errors;
}

const char *
vswitchd_ctl_error(const struct vswitchd_ctl *ctl)
{
    return ctl->error;
}
