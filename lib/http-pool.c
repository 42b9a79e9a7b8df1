#include <config.h>

#include "http-private.h"

#include <poll.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "timeval.h"
#include "util.h"

/* Times that one http_pool_run() follows a timer of libcurl that is due at once. */
#define MAX_TURNS 16
#define MAX_CONNECTIONS 16              /* That are kept: one for each watch, and for what is asked beside them. */

static int on_socket(CURL *, curl_socket_t, int what, void *pool, void *socket_aux);

struct http_pool *
http_pool_create(void)
{
    struct http_pool *pool = xzalloc(sizeof *pool);
    pool->multi = curl_multi_init();
    ovs_assert(pool->multi);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long) MAX_CONNECTIONS);
    return pool;
}

void
http_pool_destroy(struct http_pool *pool)
{
    curl_multi_cleanup(pool->multi);
    free(pool->fds);
    free(pool);
}

void
http_pool_run(struct http_pool *pool, long long int until)
{
    /* The callbacks change 'fds'. */
    size_t n = pool->n_fds;
    struct pollfd *fds = n ? xmemdup(pool->fds, n * sizeof *fds) : NULL;
    int running;
    if (n && poll(fds, n, 0) > 0) {
        for (size_t i = 0; i < n; i++) {
            int events = ((fds[i].revents & (POLLIN | POLLHUP) ? CURL_CSELECT_IN : 0)
                          | (fds[i].revents & POLLOUT ? CURL_CSELECT_OUT : 0)
                          | (fds[i].revents & (POLLERR | POLLNVAL) ? CURL_CSELECT_ERR : 0));
            if (events) {
                curl_multi_socket_action(pool->multi, fds[i].fd, events, &running);
            }
        }
    }
    free(fds);

    long int ms = -1;
    for (int i = 0; i < MAX_TURNS && curl_multi_timeout(pool->multi, &ms) == CURLM_OK && ms == 0; i++) {
        curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        if (time_msec() >= until) {
            break;
        }
    }
}

void
http_pool_wait(const struct http_pool *pool)
{
    for (size_t i = 0; i < pool->n_fds; i++) {
        if (pool->fds[i].events) {
            poll_fd_wait(pool->fds[i].fd, pool->fds[i].events);
        }
    }
    long int ms = -1;
    if (curl_multi_timeout(pool->multi, &ms) == CURLM_OK && ms >= 0) {
        poll_timer_wait(ms);
    }
}

static int
on_socket(CURL *easy OVS_UNUSED, curl_socket_t fd, int what, void *pool_, void *socket_aux OVS_UNUSED)
{
    struct http_pool *pool = pool_;
    size_t i = 0;
    while (i < pool->n_fds && pool->fds[i].fd != fd) {
        i++;
    }
    if (what == CURL_POLL_REMOVE) {
        if (i < pool->n_fds) {
            pool->fds[i] = pool->fds[--pool->n_fds];
        }
        return 0;
    }
    if (i == pool->n_fds) {
        if (pool->n_fds == pool->allocated_fds) {
            pool->fds = x2nrealloc(pool->fds, &pool->allocated_fds, sizeof *pool->fds);
        }
        pool->n_fds++;
    }
    pool->fds[i] = (struct pollfd) { .fd = fd, .events = (what & CURL_POLL_IN ? POLLIN : 0)
                                                         | (what & CURL_POLL_OUT ? POLLOUT : 0) };
    return 0;
}
