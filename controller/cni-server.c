#include <config.h>

#include "controller/cni-server.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cni-wire-server.h"
#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(cni_server);

/* All sockets are in one epoll descriptor, so that a turn of the main loop costs only what really happened. */
struct cni_server {
    const struct cni_server_class *class;
    void *aux;
    char *path;
    int listener, epoll;
    bool accepting;                     /* The listener is in 'epoll'. */
    struct hmap clients;
    size_t n_reading;                   /* Whose request is not complete. */
    uint64_t next_number;
};

struct client {
    struct hmap_node node;              /* In 'clients', by 'number'. */
    uint64_t number;
    struct cni_wire_conn *conn;
    enum { CLIENT_READING, CLIENT_ASKED, CLIENT_WRITING } state;
    long long int since;                /* time_msec() of the connection. */
    long long int started;
};

/* Life. ---------------------------------------------------------------------------------------------------------- */

/* Binds to a temporary name with the right mode and renames it, so that nobody ever finds a socket that is not ours. */
static int
listen_unix(const char *path, int *fdp, struct error *error)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    if (snprintf(sun.sun_path, sizeof sun.sun_path, "%s.new", path) >= (int) sizeof sun.sun_path) {
        return error_set(error, ENAMETOOLONG, "%s: the path of a socket may have %zu bytes; choose a shorter run-dir",
                         path, sizeof sun.sun_path - 5);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set_errno(error, errno, "%s: cannot create a socket", path);
    }
    unlink(sun.sun_path);
    mode_t mask = umask(0177);
    int code = bind(fd, (struct sockaddr *) &sun, sizeof sun) ? errno : 0;
    umask(mask);
    if (!code && (listen(fd, SOMAXCONN) || rename(sun.sun_path, path))) {
        code = errno;
    }
    if (code) {
        unlink(sun.sun_path);
        close(fd);
        return error_set_errno(error, code, "%s: cannot listen", path);
    }
    *fdp = fd;
    return 0;
}

static void
watch(struct cni_server *server, int op, int fd, uint32_t events, uint64_t number)
{
    struct epoll_event event = { .events = events, .data.u64 = number };
    ignore(epoll_ctl(server->epoll, op, fd, &event));
}

int
cni_server_create(const char *path, const struct cni_server_class *class, void *aux, struct cni_server **serverp,
                  struct error *error)
{
    int listener = -1;
    int code = listen_unix(path, &listener, error);
    if (code) {
        return code;
    }
    struct cni_server *server = xzalloc(sizeof *server);
    server->class = class;
    server->aux = aux;
    server->path = xstrdup(path);
    server->listener = listener;
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->next_number = 1;
    hmap_init(&server->clients);
    watch(server, EPOLL_CTL_ADD, listener, EPOLLIN, 0);
    server->accepting = true;
    *serverp = server;
    return 0;
}

static void
client_destroy(struct cni_server *server, struct client *client)
{
    if (client->state == CLIENT_READING) {
        server->n_reading--;
    }
    hmap_remove(&server->clients, &client->node);
    cni_wire_conn_destroy(client->conn);        /* Closing takes it out of the epoll set. */
    free(client);
    if (!server->accepting) {
        watch(server, EPOLL_CTL_ADD, server->listener, EPOLLIN, 0);
        server->accepting = true;
    }
}

void
cni_server_destroy(struct cni_server *server)
{
    if (server) {
        struct client *client;
        HMAP_FOR_EACH_SAFE (client, node, &server->clients) {
            client_destroy(server, client);
        }
        hmap_destroy(&server->clients);
        unlink(server->path);
        close(server->listener);
        close(server->epoll);
        free(server->path);
        free(server);
    }
}

/* Clients. ------------------------------------------------------------------------------------------------------- */

static struct client *
find_client(struct cni_server *server, uint64_t number)
{
    struct client *client;
    HMAP_FOR_EACH_WITH_HASH (client, node, hash_uint64(number), &server->clients) {
        if (client->number == number) {
            return client;
        }
    }
    return NULL;
}

/* When the process at the other end was started, rounded up to the kernel's 10 ms; proc(5), /proc/PID/stat, field 22.
 * Now, if that cannot be known (another PID namespace). */
static long long int
peer_started(int fd)
{
    struct ucred cred = { .pid = 0 };
    socklen_t length = sizeof cred;
    long long int now = time_wall_msec();
    char path[64], text[1024];

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) || cred.pid <= 0) {
        return now;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", (int) cred.pid);
    FILE *stream = fopen(path, "re");
    size_t n = stream ? fread(text, 1, sizeof text - 1, stream) : 0;
    if (stream) {
        fclose(stream);
    }
    text[n] = '\0';

    unsigned long long int ticks;
    const char *end = strrchr(text, ')');       /* The name before it may hold anything. */
    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                       &ticks) != 1) {
        return now;
    }
    struct timespec boot;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    long long int age = boot.tv_sec * 1000LL + boot.tv_nsec / 1000000
                        - (long long int) ((ticks + 1) * 1000 / sysconf(_SC_CLK_TCK));
    return age > 0 ? now - age : now;
}

static void
accept_clients(struct cni_server *server)
{
    for (int i = 0; i < 64; i++) {
        if (hmap_count(&server->clients) >= CNI_SERVER_MAX_CLIENTS) {
            watch(server, EPOLL_CTL_DEL, server->listener, 0, 0);
            server->accepting = false;
            return;
        }
        int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN) {
                static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
                VLOG_WARN_RL(&rl, "%s: accept: %s", server->path, ovs_strerror(errno));
            }
            return;
        }
        struct client *client = xzalloc(sizeof *client);
        client->number = server->next_number++;
        client->conn = cni_wire_conn_create(fd);
        client->since = time_msec();
        client->started = peer_started(fd);
        server->n_reading++;
        hmap_insert(&server->clients, &client->node, hash_uint64(client->number));
        watch(server, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, client->number);
    }
}

static void
finish_reading(struct cni_server *server, struct client *client)
{
    client->state = CLIENT_ASKED;
    server->n_reading--;
    watch(server, EPOLL_CTL_MOD, cni_wire_conn_fd(client->conn), EPOLLRDHUP, client->number);
}

static void
client_read(struct cni_server *server, struct client *client)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_request rq;
    int netns_fd;
    int code = cni_wire_conn_receive(client->conn, &rq, &netns_fd, &error);

    if (code == EAGAIN) {
        return;
    } else if (code == EMSGSIZE || code == EINVAL || code == EPROTO) {
        struct cni_reply reply = { .code = CNI_E_DECODE, .message = CONST_CAST(char *, error_message(&error)) };
        finish_reading(server, client);
        cni_server_reply(server, client->number, &reply);
    } else if (code) {
        client_destroy(server, client);
    } else {
        finish_reading(server, client);
        server->class->request(server->aux, client->number, &rq, netns_fd, client->started);
        cni_request_destroy(&rq);
    }
}

static void
client_write(struct cni_server *server, struct client *client)
{
    if (cni_wire_conn_flush(client->conn) == EAGAIN) {
        watch(server, EPOLL_CTL_MOD, cni_wire_conn_fd(client->conn), EPOLLOUT, client->number);
    } else {
        client_destroy(server, client);
    }
}

void
cni_server_reply(struct cni_server *server, uint64_t number, const struct cni_reply *reply)
{
    struct client *client = find_client(server, number);
    if (client && client->state == CLIENT_ASKED) {
        client->state = CLIENT_WRITING;
        if (cni_wire_conn_reply(client->conn, reply)) {
            client_destroy(server, client);
        } else {
            client_write(server, client);
        }
    }
}

static void
client_run(struct cni_server *server, struct client *client)
{
    uint64_t number = client->number;

    switch (client->state) {
    case CLIENT_READING:
        client_read(server, client);
        break;
    case CLIENT_ASKED:
        client_destroy(server, client);
        server->class->gone(server->aux, number);
        break;
    case CLIENT_WRITING:
        client_write(server, client);
        break;
    }
}

/* The main loop. ------------------------------------------------------------------------------------------------- */

static void
drop_slow(struct cni_server *server)
{
    struct client *client;
    HMAP_FOR_EACH_SAFE (client, node, &server->clients) {
        if (client->state == CLIENT_READING && time_msec() - client->since >= CNI_SERVER_READ_MS) {
            client_destroy(server, client);
        }
    }
}

void
cni_server_run(struct cni_server *server)
{
    struct epoll_event events[64];
    int n = epoll_wait(server->epoll, events, ARRAY_SIZE(events), 0);

    for (int i = 0; i < n; i++) {
        struct client *client = events[i].data.u64 ? find_client(server, events[i].data.u64) : NULL;
        if (client) {
            client_run(server, client);
        } else if (!events[i].data.u64) {
            accept_clients(server);
        }
    }
    if (server->n_reading) {
        drop_slow(server);
    }
}

void
cni_server_wait(struct cni_server *server)
{
    poll_fd_wait(server->epoll, POLLIN);
    if (server->n_reading) {
        struct client *client;
        HMAP_FOR_EACH (client, node, &server->clients) {
            if (client->state == CLIENT_READING) {
                poll_timer_wait_until(client->since + CNI_SERVER_READ_MS);
            }
        }
    }
}
