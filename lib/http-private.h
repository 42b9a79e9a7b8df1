#ifndef SLUICE_HTTP_PRIVATE_H
#define SLUICE_HTTP_PRIVATE_H 1

/* What http.c (requests), http-pool.c (connections), http-setup.c (options of a request) and http-error.c (what
 * went wrong, in words) share. */

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

#include "error.h"
#include "http.h"
#include "kube-credentials.h"
#include "openvswitch/list.h"

/* A copy of credentials; requests hold on to those that they were started with, because libcurl does not copy PEM. */
struct http_login {
    int n_refs;
    struct kube_credentials c;          /* Without 'files'. */
};

struct http_login *http_login_create(const struct kube_credentials *);
struct http_login *http_login_ref(struct http_login *);
void http_login_unref(struct http_login *);
bool http_login_equals(const struct http_login *, const struct kube_credentials *);

struct http_request {
    struct ovs_list node;               /* In struct http's 'requests'. */
    struct http *http;
    const struct http_ops *ops;
    void *aux;

    struct http_login *login;           /* NULL: there were no credentials. */
    CURL *easy;                         /* NULL: never made, or finished. */
    struct curl_slist *headers, *connect_to;
    char *body;
    char text[CURL_ERROR_SIZE];         /* libcurl's own words. */
    char peer[64];                      /* " (ADDRESS:PORT)" that we connect to; "" while there was no attempt. */

    long long int started, last_byte;   /* time_msec(). */
    long long int connect_timeout_ms, idle_timeout_ms, timeout_ms;
    size_t header_bytes;
    bool sent;                          /* It is libcurl's: not before http_run(), nor when it is finished. */
    bool has_head;                      /* head() was called. */
    bool paused;                        /* libcurl holds a piece of the body back. */
    bool finished;                      /* done() was called. */
    bool dead;                          /* Destroyed by its owner from within http_run(). */
    struct error failure;               /* What we found wrong, before libcurl did. */
};

/* The connections, and what libcurl waits for. */
struct http_pool {
    CURLM *multi;
    struct pollfd *fds;                 /* The sockets that libcurl waits for. */
    size_t n_fds, allocated_fds;
};

struct http_pool *http_pool_create(void);
void http_pool_destroy(struct http_pool *);
/* Lets libcurl work on what is ready; goes on with what is due at once until 'until' (time_msec()). */
void http_pool_run(struct http_pool *, long long int until);
void http_pool_wait(const struct http_pool *);

/* Makes 'easy' from the options and 'login'.  EINVAL, ENOMEM. */
int http_setup(struct http_request *, const struct http_options *, const char *user_agent, struct error *);

/* What libcurl's 'code' means. */
int http_explain(const struct http_request *, CURLcode code, struct error *);

#endif /* lib/http-private.h */
