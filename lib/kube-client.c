#include <config.h>

#include "kube-client.h"

#include <errno.h>
#include <limits.h>

#include "http.h"
#include "json-get.h"
#include "kube-credentials.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "random.h"
#include "timeval.h"
#include "util.h"

#define LOOK_MS 1000                    /* The files of credentials are looked at not more often. */
#define CALL_TIMEOUT_MS 30000
#define CALL_MAX_ANSWER (4 * 1024 * 1024)

struct kube_client {
    struct http *http;
    char *kubeconfig, *account_dir;
    struct kube_credentials *credentials;       /* NULL: could not be read yet. */
    char *credentials_problem;          /* Why they could not be read the last time; NULL: they could. */
    long long int next_look;            /* time_msec() */
    bool read_again;                    /* The server said 401: read them even if they look unchanged. */
    struct error outage;                /* Why the server cannot be reached; cleared by its next answer. */
    struct ovs_list watches;            /* struct watch */
    struct ovs_list calls;              /* struct kube_call */
};

/* A reflector and its request. */
struct watch {
    struct ovs_list node;
    struct kube_client *client;
    struct reflector *reflector;
    struct http_request *request;       /* NULL: none is under way. */
    bool optional;
};

struct kube_call {
    struct ovs_list node;
    struct kube_client *client;
    struct http_request *request;
    kube_call_cb *cb;
    void *aux;
    struct http_head head;
    struct ds answer;
    bool too_large;
    bool answered;                      /* 'cb' is being called. */
};

static void start_watch(struct watch *, long long int now);
static const struct http_ops call_ops;

struct kube_client *
kube_client_create(const char *kubeconfig, const char *account_dir, const char *user_agent)
{
    struct kube_client *client = xzalloc(sizeof *client);
    client->http = http_create(user_agent);
    client->kubeconfig = nullable_xstrdup(kubeconfig);
    client->account_dir = nullable_xstrdup(account_dir);
    client->next_look = LLONG_MIN;
    ovs_list_init(&client->watches);
    ovs_list_init(&client->calls);
    return client;
}

static void
free_call(struct kube_call *call)
{
    http_request_destroy(call->request);
    ovs_list_remove(&call->node);
    ds_destroy(&call->answer);
    free(call);
}

void
kube_client_destroy(struct kube_client *client)
{
    if (!client) {
        return;
    }
    struct kube_call *call;
    LIST_FOR_EACH_SAFE (call, node, &client->calls) {
        free_call(call);
    }
    struct watch *watch;
    LIST_FOR_EACH_POP (watch, node, &client->watches) {
        http_request_destroy(watch->request);
        reflector_destroy(watch->reflector);
        free(watch);
    }
    http_destroy(client->http);
    kube_credentials_destroy(client->credentials);
    error_clear(&client->outage);
    free(client->credentials_problem);
    free(client->kubeconfig);
    free(client->account_dir);
    free(client);
}

/* Credentials. */

static bool
is_unauthorized(const struct kube_client *client)
{
    struct watch *watch;
    LIST_FOR_EACH (watch, node, &client->watches) {
        if (reflector_unauthorized(watch->reflector)) {
            return true;
        }
    }
    return false;
}

static void
kick_all(struct kube_client *client, bool only_unauthorized)
{
    struct watch *watch;
    LIST_FOR_EACH (watch, node, &client->watches) {
        if (!watch->request && (!only_unauthorized || reflector_unauthorized(watch->reflector))) {
            reflector_kick(watch->reflector, time_msec());
        }
    }
}

static void
read_credentials(struct kube_client *client, bool changed)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_credentials *credentials;

    free(client->credentials_problem);
    client->credentials_problem = NULL;
    if (kube_credentials_load(client->kubeconfig, client->account_dir, &credentials, &error)) {
        /* The old ones may be good for some time. */
        client->credentials_problem = xstrdup(error_message(&error));
        return;
    }
    kube_credentials_destroy(client->credentials);
    client->credentials = credentials;
    client->read_again = false;
    http_set_credentials(client->http, credentials);
    if (changed) {
        kick_all(client, true);
    }
}

/* Reads the credentials if they may be others now.  False if there are none. */
static bool
look_at_credentials(struct kube_client *client, long long int now)
{
    if (now >= client->next_look) {
        bool changed = client->credentials && kube_credentials_changed(client->credentials);
        client->next_look = now + LOOK_MS;
        if (!client->credentials || changed || client->read_again) {
            read_credentials(client, changed);
        }
    }
    return client->credentials != NULL;
}

/* What every answer tells. */

static void
server_answers(struct kube_client *client, int status)
{
    client->read_again |= status == 401;
    if (client->outage.code) {
        error_clear(&client->outage);
        kick_all(client, false);
    }
}

static void
request_ended(struct kube_client *client, const struct error *error)
{
    if (error->code && error->code != ECANCELED && error->code != EMSGSIZE) {
        error_set(&client->outage, error->code, "%s", error_message(error));
    }
}

/* Reflectors. */

static void
watch_head(void *watch_, const struct http_head *head)
{
    struct watch *watch = watch_;
    server_answers(watch->client, head->status);
    reflector_head(watch->reflector, head->status, head->retry_after_ms, time_msec());
}

static bool
watch_body(void *watch_, const char *data, size_t size)
{
    struct watch *watch = watch_;
    return reflector_body(watch->reflector, data, size, time_msec());
}

static void
watch_done(void *watch_, const struct error *error)
{
    struct watch *watch = watch_;
    reflector_done(watch->reflector, error, time_msec());
    if (reflector_problem(watch->reflector)) {          /* A watch on which nothing came for a while is none. */
        request_ended(watch->client, error);
    }
    http_request_destroy(watch->request);
    watch->request = NULL;
}

static const struct http_ops watch_ops = { watch_head, watch_body, watch_done };

const struct reflector *
kube_client_reflect(struct kube_client *client, const char *path, const char *query, bool optional,
                    const struct reflector_ops *ops, void *aux)
{
    struct watch *watch = xzalloc(sizeof *watch);
    watch->client = client;
    watch->optional = optional;
    watch->reflector = reflector_create(path, query, random_uint32(), ops, aux);
    ovs_list_push_back(&client->watches, &watch->node);
    return watch->reflector;
}

static void
start_watch(struct watch *watch, long long int now)
{
    struct reflector_request request;
    if (reflector_next(watch->reflector, now, &request)) {
        struct http_options options = {
            .method = "GET",
            .path = request.path,
            .idle_timeout_ms = request.idle_timeout_ms,
            .timeout_ms = request.timeout_ms,
        };
        watch->request = http_start(watch->client->http, &options, &watch_ops, watch);
        free(request.path);
    }
}

/* Single requests. */

static void
call_head(void *call_, const struct http_head *head)
{
    struct kube_call *call = call_;
    call->head = *head;
    server_answers(call->client, head->status);
}

static bool
call_body(void *call_, const char *data, size_t size)
{
    struct kube_call *call = call_;
    call->too_large = call->answer.length + size > CALL_MAX_ANSWER;
    if (!call->too_large) {
        ds_put_buffer(&call->answer, data, size);
    }
    return !call->too_large;
}

static void
call_done(void *call_, const struct error *http_error)
{
    struct kube_call *call = call_;
    struct kube_client *client = call->client;
    ERROR_AUTO struct error error = ERROR_INIT;
    request_ended(client, http_error);
    call->answered = true;
    if (!http_error->code) {
        json_t *answer = json_get_load(ds_cstr_ro(&call->answer), call->answer.length, NULL);
        call->cb(call->aux, call->head.status, call->head.retry_after_ms, answer, NULL);
        json_decref(answer);
    } else {
        if (call->too_large) {
            error_set(&error, EMSGSIZE, "the answer is larger than %d bytes", CALL_MAX_ANSWER);
        } else if (!client->credentials && client->credentials_problem) {
            error_set(&error, EACCES, "%s", client->credentials_problem);
        } else {
            error_set(&error, http_error->code, "%s", error_message(http_error));
        }
        call->cb(call->aux, 0, -1, NULL, &error);
    }
    free_call(call);
}

static const struct http_ops call_ops = { call_head, call_body, call_done };

struct kube_call *
kube_client_call(struct kube_client *client, const char *method, const char *path, const char *content_type,
                 const json_t *body, kube_call_cb *cb, void *aux)
{
    struct kube_call *call = xzalloc(sizeof *call);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct http_options options = {
        .method = method,
        .path = path,
        .content_type = content_type,
        .body = text,
        .body_size = text ? strlen(text) : 0,
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    call->client = client;
    call->cb = cb;
    call->aux = aux;
    ds_init(&call->answer);
    ovs_list_push_back(&client->calls, &call->node);
    look_at_credentials(client, time_msec());
    call->request = http_start(client->http, &options, &call_ops, call);
    free(text);
    return call;
}

void
kube_call_cancel(struct kube_call *call)
{
    if (call && !call->answered) {
        free_call(call);
    }
}

/* The loop. */

void
kube_client_run(struct kube_client *client)
{
    http_run(client->http);

    long long int now = time_msec();
    struct watch *watch;
    if (is_unauthorized(client)) {
        look_at_credentials(client, now);
    }
    LIST_FOR_EACH (watch, node, &client->watches) {
        reflector_settle(watch->reflector, now);
        if (!watch->request && now >= reflector_next_time(watch->reflector) && look_at_credentials(client, now)) {
            start_watch(watch, now);
        }
    }
}

void
kube_client_wait(struct kube_client *client)
{
    struct watch *watch;
    http_wait(client->http);
    LIST_FOR_EACH (watch, node, &client->watches) {
        poll_timer_wait_until(reflector_settle_time(watch->reflector));
        if (!watch->request) {
            long long int when = reflector_next_time(watch->reflector);
            poll_timer_wait_until(client->credentials ? when : MAX(when, client->next_look));
        }
    }
    if (is_unauthorized(client)) {
        poll_timer_wait_until(client->next_look);
    }
}

const char *
kube_client_problem(const struct kube_client *client)
{
    if (!client->credentials) {
        return client->credentials_problem ? client->credentials_problem : "the credentials have not been read yet";
    }
    if (client->outage.code) {
        return error_message(&client->outage);
    }
    struct watch *watch;
    LIST_FOR_EACH (watch, node, &client->watches) {
        if (reflector_problem(watch->reflector) && !(watch->optional && reflector_forbidden(watch->reflector))) {
            return (reflector_unauthorized(watch->reflector) && client->credentials_problem
                    ? client->credentials_problem : reflector_problem(watch->reflector));
        }
    }
    return NULL;
}

const char *
kube_client_server(const struct kube_client *client)
{
    return client->credentials ? client->credentials->server : NULL;
}
