#include <config.h>

#include "http.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "http-private.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "timeval.h"
#include "util.h"

/* One http_run() hands out bodies for so long; what is left waits in libcurl, and the peer in TCP, until the next. */
#define RUN_MS 4
#define DEFAULT_CONNECT_TIMEOUT_MS 10000

struct http {
    char *user_agent;
    struct http_login *login;           /* NULL: not set yet. */
    struct http_pool *pool;
    struct ovs_list requests;           /* struct http_request, in the order of their start. */
    bool running;                       /* Within http_run(). */
    long long int run_until;            /* Bodies are handed out until then. */
};

static size_t on_header(char *, size_t size, size_t n, void *request);
static size_t on_body(char *, size_t size, size_t n, void *request);
static void free_request(struct http_request *);

struct http *
http_create(const char *user_agent)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct http *http = xzalloc(sizeof *http);
    http->user_agent = xstrdup(user_agent);
    ovs_list_init(&http->requests);
    http->pool = http_pool_create();
    return http;
}

void
http_destroy(struct http *http)
{
    if (http) {
        struct http_request *request;
        LIST_FOR_EACH_SAFE (request, node, &http->requests) {
            free_request(request);
        }
        http_pool_destroy(http->pool);
        http_login_unref(http->login);
        free(http->user_agent);
        free(http);
        curl_global_cleanup();
    }
}

void
http_set_credentials(struct http *http, const struct kube_credentials *credentials)
{
    if (!http->login || !http_login_equals(http->login, credentials)) {
        http_login_unref(http->login);
        http->login = http_login_create(credentials);
    }
}

struct http_request *
http_start(struct http *http, const struct http_options *options, const struct http_ops *ops, void *aux)
{
    struct http_request *request = xzalloc(sizeof *request);
    request->http = http;
    request->ops = ops;
    request->aux = aux;
    request->login = http->login ? http_login_ref(http->login) : NULL;
    request->started = request->last_byte = time_msec();
    request->connect_timeout_ms = (options->connect_timeout_ms ? options->connect_timeout_ms
                                   : DEFAULT_CONNECT_TIMEOUT_MS);
    request->idle_timeout_ms = options->idle_timeout_ms;
    request->timeout_ms = options->timeout_ms;
    ovs_list_push_back(&http->requests, &request->node);
    /* A failure is told by done(), from the next http_run(). */
    if (!http_setup(request, options, http->user_agent, &request->failure)) {
        curl_easy_setopt(request->easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(request->easy, CURLOPT_HEADERDATA, request);
        curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    }
    return request;
}

void
http_request_destroy(struct http_request *request)
{
    if (!request) {
        return;
    }
    if (request->http->running) {
        /* libcurl may be on the stack, and so may we. */
        request->dead = true;
    } else {
        free_request(request);
    }
}

/* Drops everything that only a running transfer needs. */
static void
close_request(struct http_request *request)
{
    if (request->sent) {
        curl_multi_remove_handle(request->http->pool->multi, request->easy);
        request->sent = false;
    }
    curl_easy_cleanup(request->easy);
    request->easy = NULL;
    curl_slist_free_all(request->headers);
    curl_slist_free_all(request->connect_to);
    request->headers = request->connect_to = NULL;
    free(request->body);
    request->body = NULL;
    http_login_unref(request->login);
    request->login = NULL;
    request->paused = false;
}

static void
free_request(struct http_request *request)
{
    close_request(request);
    ovs_list_remove(&request->node);
    error_clear(&request->failure);
    free(request);
}

/* Ends 'request' with what is known: its own failure goes before what libcurl says. */
static void
finish(struct http_request *request, CURLcode code)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    if (request->failure.code) {
        error_move(&error, &request->failure);
    } else if (code != CURLE_OK) {
        http_explain(request, code, &error);
    }
    close_request(request);
    request->finished = true;
    if (!request->dead) {
        request->ops->done(request->aux, &error);
    }
}

/* What libcurl calls. */

static void
give_head(struct http_request *request)
{
    struct http_head head = { .retry_after_ms = -1 };
    long int status = 0;
    curl_off_t retry_after = 0;
    char *type = NULL;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(request->easy, CURLINFO_CONTENT_TYPE, &type);
    if (status < 200) {
        return;                         /* 100 Continue and the like: the real one follows. */
    }
    head.status = status;
    if (retry_after > 0 && retry_after < LLONG_MAX / 1000) {
        head.retry_after_ms = retry_after * 1000;
    }
    ovs_strlcpy(head.content_type, type ? type : "", sizeof head.content_type);
    request->has_head = true;
    if (!request->dead) {
        request->ops->head(request->aux, &head);
    }
}

static size_t
on_header(char *line, size_t size, size_t n, void *request_)
{
    struct http_request *request = request_;
    size *= n;
    request->last_byte = time_msec();
    request->header_bytes += size;
    if (request->header_bytes > HTTP_MAX_HEADERS) {
        error_set(&request->failure, EMSGSIZE, "%s: the headers of the answer are larger than %d bytes",
                  request->login->c.server, HTTP_MAX_HEADERS);
        return 0;
    }
    /* The empty line behind the headers.  Trailers come later and are of no interest. */
    if (!request->has_head && size <= 2 && (line[0] == '\r' || line[0] == '\n')) {
        give_head(request);
    }
    return request->dead ? 0 : size;
}

static size_t
on_body(char *data, size_t size, size_t n, void *request_)
{
    struct http_request *request = request_;
    size *= n;
    request->last_byte = time_msec();
    if (request->dead) {
        return 0;
    }
    if (request->last_byte >= request->http->run_until) {
        request->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (!request->ops->body(request->aux, data, size)) {
        error_set(&request->failure, ECANCELED, "%s: the answer was not wanted any more", request->login->c.server);
        return 0;
    }
    return request->dead ? 0 : size;
}

/* The loop. */

static void
start_added(struct http *http)
{
    struct http_request *request;
    LIST_FOR_EACH (request, node, &http->requests) {
        if (request->finished || request->dead || request->sent) {
            continue;
        }
        if (!request->failure.code && curl_multi_add_handle(http->pool->multi, request->easy) == CURLM_OK) {
            request->sent = true;
        } else {
            finish(request, CURLE_OUT_OF_MEMORY);
        }
    }
}

/* Hands out what was held back, in turn: who was first goes to the end of the list. */
static void
resume_paused(struct http *http)
{
    struct http_request *request;
    size_t n = ovs_list_size(&http->requests);
    LIST_FOR_EACH_SAFE (request, node, &http->requests) {
        if (!n-- || time_msec() >= http->run_until) {
            break;
        }
        if (request->paused && !request->dead) {
            request->paused = false;
            CURLcode code = curl_easy_pause(request->easy, CURLPAUSE_CONT);
            ovs_list_remove(&request->node);
            ovs_list_push_back(&http->requests, &request->node);
            if (code != CURLE_OK) {
                finish(request, code);
            }
        }
    }
}

static void
collect(struct http_pool *pool)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(pool->multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result;
            char *private = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            finish((struct http_request *) private, code);
        }
    }
}

static bool
is_connected(const struct http_request *request)
{
    curl_off_t us = 0;
    curl_easy_getinfo(request->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
    return us > 0;
}

/* When a timeout of ours is over. */
static long long int
request_deadline(const struct http_request *request)
{
    long long int deadline = LLONG_MAX;
    if (request->timeout_ms) {
        deadline = request->started + request->timeout_ms;
    }
    if (request->idle_timeout_ms) {
        deadline = MIN(deadline, request->last_byte + request->idle_timeout_ms);
    }
    /* Requests that wait for another's connection have no timer of libcurl. */
    if (request->connect_timeout_ms && !request->has_head) {
        deadline = MIN(deadline, request->started + request->connect_timeout_ms);
    }
    return deadline;
}

static void
expire(struct http_request *request, long long int now)
{
    if (request->finished || request->dead || request->paused || now < request_deadline(request)) {
        return;
    }
    const char *server = request->login->c.server;
    if (request->timeout_ms && now - request->started >= request->timeout_ms) {
        error_set(&request->failure, ETIMEDOUT, "%s: no complete answer within %lld ms", server, request->timeout_ms);
    } else if (request->idle_timeout_ms && now - request->last_byte >= request->idle_timeout_ms) {
        error_set(&request->failure, ETIMEDOUT, "%s: not a byte came for %lld ms", server, request->idle_timeout_ms);
    } else if (is_connected(request)) {
        request->connect_timeout_ms = 0;
        return;
    } else {
        error_set(&request->failure, ETIMEDOUT, "%s: no connection within %lld ms: check the address, the route to it, "
                  "firewalls and the proxy", server, request->connect_timeout_ms);
    }
    finish(request, CURLE_OK);
}

void
http_run(struct http *http)
{
    struct http_request *request;

    http->running = true;
    http->run_until = time_msec() + RUN_MS;
    start_added(http);
    resume_paused(http);
    http_pool_run(http->pool, http->run_until);
    collect(http->pool);

    long long int now = time_msec();
    LIST_FOR_EACH (request, node, &http->requests) {
        expire(request, now);
    }
    http->running = false;

    LIST_FOR_EACH_SAFE (request, node, &http->requests) {
        if (request->dead) {
            free_request(request);
        }
    }
}

void
http_wait(struct http *http)
{
    struct http_request *request;
    LIST_FOR_EACH (request, node, &http->requests) {
        if (request->finished) {
            continue;
        }
        if (!request->sent || request->paused) {
            poll_immediate_wake();
        }
        long long int deadline = request_deadline(request);
        if (deadline != LLONG_MAX) {
            poll_timer_wait_until(deadline);
        }
    }
    http_pool_wait(http->pool);
}
