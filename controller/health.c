#include <config.h>

#include "controller/health.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <microhttpd.h>

#include "controller/services.h"
#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

#define CLIENT_MEMORY 4096              /* Bytes of request line, headers and answer. */

struct health {
    int epoll;                          /* Holds each listener's socket, or the epoll descriptor of its daemon. */
    struct hmap listeners;              /* Of Services, by port. */
    struct listener *healthz;           /* NULL: none. */
    bool healthy, eligible;
    long long int healthy_at;           /* time_wall_msec(): when it was seen healthy last; 0: never. */
};

struct listener {
    struct hmap_node node;              /* In 'listeners'. */
    struct health *health;
    struct in6_addr addr;
    uint16_t port;
    char *namespace_, *name;            /* NULL: healthz. */
    size_t n_local;
    int fd;                             /* Listens; -1: the port cannot be had. */
    int error;                          /* Why. */
    struct MHD_Daemon *daemon;          /* NULL: nobody has asked yet. */
    long long int retry_at;             /* time_msec(). */
    struct ovs_list clients;            /* "struct client"s, the oldest first. */
    size_t n_clients;
};

struct client {
    struct ovs_list node;
    int fd;
    long long int end;                  /* time_msec(). */
};

/* Answers. ------------------------------------------------------------------------------------------------------- */

struct answer {
    unsigned int status;
    char *body;                         /* From malloc(); NULL: none. */
    char weight[24];                    /* X-Load-Balancing-Endpoint-Weight; "": none. */
};

/* RFC 3339. */
static void
format_time(long long int ms, char s[32])
{
    time_t seconds = ms / 1000;
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(s, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static char *
to_text(json_t *json)
{
    char *text = json_dumps(json, JSON_PRESERVE_ORDER | JSON_INDENT(1));

    json_decref(json);
    return text;
}

static struct answer
answer_healthz(const struct health *health, const char *path)
{
    bool live = !strcmp(path, "/livez");
    char updated[32], now[32];

    if (!live && strcmp(path, "/healthz")) {
        return (struct answer) { .status = MHD_HTTP_NOT_FOUND };
    }
    format_time(time_wall_msec(), now);
    format_time(health->healthy ? time_wall_msec() : health->healthy_at, updated);
    json_t *json = json_pack("{s:s, s:s, s:b}", "lastUpdated", updated, "currentTime", now, "nodeEligible",
                             (int) health->eligible);
    bool ok = health->healthy && (live || health->eligible);
    return (struct answer) { .status = ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, .body = to_text(json) };
}

static struct answer
answer_service(const struct listener *l)
{
    bool ok = l->health->healthy && l->n_local;
    json_t *json = json_pack("{s:{s:s, s:s}, s:I, s:b}", "service", "namespace", l->namespace_, "name", l->name,
                             "localEndpoints", (json_int_t) l->n_local, "serviceProxyHealthy",
                             (int) l->health->healthy);
    struct answer answer = { .status = ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, .body = to_text(json) };

    snprintf(answer.weight, sizeof answer.weight, "%"PRIuSIZE, l->n_local);
    return answer;
}

/* One request for each connection, so that nobody holds one for longer than it takes to ask.  Called when the headers are
 * complete: a body is not read. */
static enum MHD_Result
request(void *listener_, struct MHD_Connection *connection, const char *path, const char *method,
        const char *version OVS_UNUSED, const char *data OVS_UNUSED, size_t *data_size OVS_UNUSED,
        void **request_ OVS_UNUSED)
{
    const struct listener *l = listener_;
    struct answer answer = strcmp(method, "GET") && strcmp(method, "HEAD")
                           ? (struct answer) { .status = MHD_HTTP_METHOD_NOT_ALLOWED }
                           : l->name ? answer_service(l) : answer_healthz(l->health, path);
    size_t len = answer.body ? strlen(answer.body) : 0;
    struct MHD_Response *response = MHD_create_response_from_buffer(len, answer.body, MHD_RESPMEM_MUST_FREE);

    if (!response) {
        free(answer.body);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Connection", "close");
    if (answer.weight[0]) {
        MHD_add_response_header(response, "X-Load-Balancing-Endpoint-Weight", answer.weight);
    }
    if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return result;
}

/* Connections. --------------------------------------------------------------------------------------------------- */

static void
notify_connection(void *listener_, struct MHD_Connection *connection, void **client_,
                  enum MHD_ConnectionNotificationCode code)
{
    struct listener *l = listener_;
    struct client *client = *client_;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *client_ = client = xmalloc(sizeof *client);
        *client = (struct client) { .fd = info->connect_fd, .end = time_msec() + HEALTH_CLIENT_MS };
        ovs_list_push_back(&l->clients, &client->node);
        l->n_clients++;
    } else if (client) {
        ovs_list_remove(&client->node);
        l->n_clients--;
        free(client);
        *client_ = NULL;
    }
}

static struct client *
oldest_client(const struct listener *l)
{
    return ovs_list_is_empty(&l->clients) ? NULL : CONTAINER_OF(ovs_list_front(&l->clients), struct client, node);
}

/* The daemon finds a connection that was shut down closed, and forgets it. */
static void
end_slow_clients(struct listener *l)
{
    struct client *client;

    LIST_FOR_EACH (client, node, &l->clients) {
        if (client->end > time_msec()) {
            break;
        }
        shutdown(client->fd, SHUT_RDWR);
    }
}

/* Ports. --------------------------------------------------------------------------------------------------------- */

static int
bind_to(int fd, const struct in6_addr *addr, uint16_t port)
{
    if (inet_is_v4(addr)) {
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
        memcpy(&sin.sin_addr, &addr->s6_addr[12], sizeof sin.sin_addr);
        return bind(fd, (struct sockaddr *) &sin, sizeof sin);
    }
    struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *addr };
    return bind(fd, (struct sockaddr *) &sin6, sizeof sin6);
}

/* A listening socket; -1 with errno.  :: is both families, IPv4 alone where the kernel has no IPv6. */
static int
listen_at(const struct in6_addr *addr, uint16_t port)
{
    bool v4 = inet_is_v4(addr);
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;

    if (fd < 0) {
        return !v4 && errno == EAFNOSUPPORT && IN6_IS_ADDR_UNSPECIFIED(addr) ? listen_at(inet_any(false), port) : -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!v4) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind_to(fd, addr, port) || listen(fd, HEALTH_MAX_CLIENTS)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static struct MHD_Daemon *
start_daemon(struct listener *l, int fd)
{
    struct MHD_OptionItem options[] = {
        { MHD_OPTION_LISTEN_SOCKET, fd, NULL },
        { MHD_OPTION_CONNECTION_LIMIT, HEALTH_MAX_CLIENTS, NULL },
        { MHD_OPTION_PER_IP_CONNECTION_LIMIT, HEALTH_MAX_PER_ADDR, NULL },
        { MHD_OPTION_CONNECTION_MEMORY_LIMIT, CLIENT_MEMORY, NULL },
        { MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) notify_connection, l },
        { MHD_OPTION_END, 0, NULL },
    };
    return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, request, l, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/* Closing a descriptor takes it out of the epoll set. */
static void
listener_close(struct listener *l)
{
    if (l->daemon) {
        MHD_stop_daemon(l->daemon);     /* Closes the socket too. */
    } else if (l->fd >= 0) {
        close(l->fd);
    }
    l->daemon = NULL;
    l->fd = -1;
}

static void
listener_fail(struct listener *l, int error)
{
    listener_close(l);
    l->error = error;
    l->retry_at = time_msec() + HEALTH_RETRY_MS;
}

static void
listener_open(struct listener *l)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };

    l->fd = listen_at(&l->addr, l->port);
    if (l->fd < 0 || epoll_ctl(l->health->epoll, EPOLL_CTL_ADD, l->fd, &event)) {
        listener_fail(l, errno);
    }
}

/* Somebody asks for the first time; until then the library need not be there (late-microhttpd.c). */
static bool
listener_start(struct listener *l)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };

    l->daemon = start_daemon(l, l->fd);
    if (!l->daemon) {
        listener_fail(l, ELIBACC);
        return false;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (epoll_ctl(l->health->epoll, EPOLL_CTL_DEL, l->fd, NULL)
        || epoll_ctl(l->health->epoll, EPOLL_CTL_ADD, info->epoll_fd, &event)) {
        listener_fail(l, errno);
        return false;
    }
    return true;
}

static struct listener *
listener_create(struct health *health, const struct in6_addr *addr, uint16_t port)
{
    struct listener *l = xzalloc(sizeof *l);

    l->health = health;
    l->addr = *addr;
    l->port = port;
    l->fd = -1;
    ovs_list_init(&l->clients);
    listener_open(l);
    return l;
}

static void
listener_destroy(struct listener *l)
{
    if (l) {
        listener_close(l);
        free(l->namespace_);
        free(l->name);
        free(l);
    }
}

static struct listener *
find_listener(const struct health *health, uint16_t port)
{
    struct listener *l;

    HMAP_FOR_EACH_WITH_HASH (l, node, hash_int(port, 0), &health->listeners) {
        if (l->port == port) {
            return l;
        }
    }
    return NULL;
}

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct health *
health_create(void)
{
    struct health *health = xzalloc(sizeof *health);

    health->epoll = epoll_create1(EPOLL_CLOEXEC);
    health->eligible = true;
    hmap_init(&health->listeners);
    return health;
}

void
health_destroy(struct health *health)
{
    struct listener *l;

    if (health) {
        HMAP_FOR_EACH_POP (l, node, &health->listeners) {
            listener_destroy(l);
        }
        hmap_destroy(&health->listeners);
        listener_destroy(health->healthz);
        close(health->epoll);
        free(health);
    }
}

void
health_set(struct health *health, const struct service_health *service)
{
    struct listener *l = find_listener(health, service->port);

    if (!l) {
        l = listener_create(health, &in6addr_any, service->port);
        hmap_insert(&health->listeners, &l->node, hash_int(service->port, 0));
        l->namespace_ = xstrdup(service->namespace_);
        l->name = xstrdup(service->name);
    } else if (strcmp(l->namespace_, service->namespace_) || strcmp(l->name, service->name)) {
        free(l->namespace_);
        free(l->name);
        l->namespace_ = xstrdup(service->namespace_);
        l->name = xstrdup(service->name);
    }
    l->n_local = service->n_local;
}

void
health_remove(struct health *health, uint16_t port)
{
    struct listener *l = find_listener(health, port);

    if (l) {
        hmap_remove(&health->listeners, &l->node);
        listener_destroy(l);
    }
}

void
health_set_healthz(struct health *health, const struct in6_addr *addr, uint16_t port)
{
    struct listener *l = health->healthz;

    if (l && l->port == port && IN6_ARE_ADDR_EQUAL(&l->addr, addr)) {
        return;
    }
    listener_destroy(l);
    health->healthz = NULL;
    if (port) {
        health->healthz = listener_create(health, addr, port);
    }
}

void
health_set_node(struct health *health, bool healthy, bool eligible)
{
    if (health->healthy && !healthy) {
        health->healthy_at = time_wall_msec();
    }
    health->healthy = healthy;
    health->eligible = eligible;
}

/* The main loop. ------------------------------------------------------------------------------------------------- */

/* A daemon that was full listens again only in the run after one that ended a connection. */
static void
run_daemon(struct listener *l)
{
    size_t n;

    if (!l->daemon && !listener_start(l)) {
        return;
    }
    do {
        n = l->n_clients;
        MHD_run(l->daemon);
    } while (l->n_clients < n);
}

static void
listener_run(struct listener *l)
{
    if (l->fd < 0 && time_msec() >= l->retry_at) {
        listener_open(l);
    }
    if (l->n_clients) {
        end_slow_clients(l);
        run_daemon(l);
    }
}

void
health_run(struct health *health)
{
    struct epoll_event events[16];
    int n = epoll_wait(health->epoll, events, ARRAY_SIZE(events), 0);
    struct listener *l;

    for (int i = 0; i < n; i++) {       /* What is left comes at the next turn. */
        run_daemon(events[i].data.ptr);
    }
    HMAP_FOR_EACH (l, node, &health->listeners) {
        listener_run(l);
    }
    if (health->healthz) {
        listener_run(health->healthz);
    }
}

static void
listener_wait(const struct listener *l)
{
    struct client *client = oldest_client(l);
    MHD_UNSIGNED_LONG_LONG ms;

    if (l->fd < 0) {
        poll_timer_wait_until(l->retry_at);
    } else if (client) {
        poll_timer_wait_until(client->end);
        if (MHD_get_timeout(l->daemon, &ms) == MHD_YES) {
            poll_timer_wait(MIN(ms, INT_MAX));
        }
    }
}

void
health_wait(struct health *health)
{
    struct listener *l;

    poll_fd_wait(health->epoll, POLLIN);
    HMAP_FOR_EACH (l, node, &health->listeners) {
        listener_wait(l);
    }
    if (health->healthz) {
        listener_wait(health->healthz);
    }
}

/* Problems. ------------------------------------------------------------------------------------------------------ */

static void
listener_problem(const struct listener *l, void (*cb)(const char *what, const char *problem, void *aux), void *aux)
{
    char s[INET_ADDR_STRLEN];

    if (l->fd >= 0) {
        return;
    }
    inet_addr_format(&l->addr, s);
    char *what = l->name ? xasprintf("health check port %u of %s/%s", l->port, l->namespace_, l->name)
                 : xasprintf(inet_is_v4(&l->addr) ? "healthz %s:%u" : "healthz [%s]:%u", s, l->port);
    cb(what, !l->name && l->error == EADDRINUSE ? "Address already in use: kube-proxy must not run beside sluiced"
             : ovs_strerror(l->error), aux);
    free(what);
}

void
health_for_each_problem(const struct health *health, void (*cb)(const char *what, const char *problem, void *aux),
                        void *aux)
{
    const struct listener *l;

    HMAP_FOR_EACH (l, node, &health->listeners) {
        listener_problem(l, cb, aux);
    }
    if (health->healthz) {
        listener_problem(health->healthz, cb, aux);
    }
}
