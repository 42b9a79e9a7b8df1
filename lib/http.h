#ifndef SLUICE_HTTP_H
#define SLUICE_HTTP_H 1

/* HTTP requests in the one poll loop: libcurl's multi interface between poll_fd_wait() and poll_timer_wait().
 *
 * Follows the run / wait pattern; never blocks (names are resolved by libcurl's own threads).  Callbacks are called
 * only from within http_run() and never for a request that was destroyed; a callback may start and destroy
 * requests, also its own.  TLS is always verified; gzip.
 *
 * HTTP/1.1, a connection for each request under way, kept for the next.  Not HTTP/2: when several streams share a connection,
 * libcurl 7.88, which Debian 12 has, may leave what it has read for one of them until the next byte comes for another
 * (measured: lists that stand still for up to two minutes).  A stream of its own would gain nothing.
 *
 * Redirects are answers like others.  A peer that is gone is found within 45 s by TCP.  One
 * http_run() hands out bodies for some milliseconds only; the rest waits, without being read from the network.
 *
 * Sources: RFC 9110, RFC 9112; libcurl-multi(3), CURLMOPT_SOCKETFUNCTION(3). */

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct http;
struct http_request;
struct kube_credentials;

/* Limits of every request, in bytes. */
#define HTTP_MAX_HEADERS (64 * 1024)

struct http_head {
    int status;                 /* 200, 410, ... */
    long long int retry_after_ms;       /* Retry-After; -1: absent. */
    char content_type[64];      /* "" if absent; cut when longer. */
};

struct http_ops {
    /* Once, before any of the body. */
    void (*head)(void *aux, const struct http_head *);
    /* A piece of the decoded body.  False ends the request; done() follows with ECANCELED. */
    bool (*body)(void *aux, const char *data, size_t size);
    /* Once, last.  0: the answer is complete (whatever its status).  Else an errno value and what happened:
     * ECONNREFUSED (the proxy may say so, too), ETIMEDOUT (no byte for 'idle_timeout_ms', 'timeout_ms' over, not
     * connected), EPROTO (the answer broke off, or it is no TLS or no HTTP), EPERM (a certificate was refused, ours
     * or theirs), EMSGSIZE (a limit), EHOSTUNREACH (no address, no route), EINVAL (no credentials yet, not a URL),
     * ECANCELED (body() did not want more), ENOMEM, EIO. */
    void (*done)(void *aux, const struct error *);
};

struct http_options {
    const char *method;         /* "GET", "POST", "PATCH", "PUT", "DELETE". */
    const char *path;           /* "/api/v1/pods?limit=500": behind the credentials' server. */
    const char *accept, *content_type;          /* NULL: application/json; none. */
    const char *body;           /* Copied; NULL: none. */
    size_t body_size;
    long long int connect_timeout_ms;           /* 0: 10 s. */
    long long int idle_timeout_ms;      /* No byte for so long; 0: for ever. */
    long long int timeout_ms;                   /* The whole request; 0: none. */
};

/* 'user_agent' is sent with every request. */
struct http *http_create(const char *user_agent);
/* Requests that are left end without done(). */
void http_destroy(struct http *);
void http_run(struct http *);
void http_wait(struct http *);
/* New credentials for requests that are started from now on.  Copied.  A connection stays in use while server,
 * authority, names and our certificate are the same: a token goes with each request, so that a new one does not
 * cost a connection. */
void http_set_credentials(struct http *, const struct kube_credentials *);

struct http_request *http_start(struct http *, const struct http_options *, const struct http_ops *, void *aux);
/* Ends it without done(), or frees it afterwards.  NULL is fine. */
void http_request_destroy(struct http_request *);

#endif /* lib/http.h */
