/* cni-wire.h: the plugin's side of the socket, blocking, with one deadline. */

#include "cni-wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cni-wire-server.h"

static long long int
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Waits for 'events' until 'deadline'; 0, ETIMEDOUT or another errno value. */
static int
wait_for(int fd, short int events, long long int deadline)
{
    for (;;) {
        long long int left = deadline - now_ms();
        struct pollfd pfd = { .fd = fd, .events = events };
        int n = left > 0 ? poll(&pfd, 1, left < INT_MAX ? left : INT_MAX) : 0;

        if (n > 0) {
            return 0;
        } else if (!n) {
            return ETIMEDOUT;
        } else if (errno != EINTR) {
            return errno;
        }
    }
}

/* A blocking connect() to a unix socket waits while the listener's backlog is full, and SO_SNDTIMEO bounds that. */
static int
connect_until(int fd, const struct sockaddr_un *sun, long long int deadline)
{
    for (;;) {
        long long int left = deadline - now_ms();
        struct timeval tv = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

        if (left <= 0) {
            return ETIMEDOUT;
        } else if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv)) {
            return errno;
        } else if (!connect(fd, (const struct sockaddr *) sun, sizeof *sun)) {
            return 0;
        } else if (errno != EINTR && errno != EAGAIN) {
            return errno;
        }
    }
}

static int
send_until(int fd, const char *data, size_t size, int netns_fd, long long int deadline)
{
    while (size) {
        ssize_t n = cni_wire_send(fd, data, size, netns_fd);

        if (n > 0) {
            data += n;
            size -= n;
            netns_fd = -1;
        } else if (n == -EAGAIN) {
            int retval = wait_for(fd, POLLOUT, deadline);
            if (retval) {
                return retval;
            }
        } else if (n != -EINTR) {
            return -n;
        }
    }
    return 0;
}

/* Fills all of 'data'.  ECONNRESET when the other side closes before. */
static int
recv_until(int fd, char *data, size_t size, long long int deadline)
{
    while (size) {
        ssize_t n = recv(fd, data, size, MSG_DONTWAIT);

        if (n > 0) {
            data += n;
            size -= n;
        } else if (!n) {
            return ECONNRESET;
        } else if (errno == EAGAIN) {
            int retval = wait_for(fd, POLLIN, deadline);
            if (retval) {
                return retval;
            }
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static int
receive_reply(int fd, long long int deadline, struct cni_reply *reply, struct error *error)
{
    uint32_t length;
    int retval = recv_until(fd, (char *) &length, sizeof length, deadline);

    length = ntohl(length);
    if (retval) {
        return error_set_errno(error, retval, "waiting for the reply of sluiced");
    } else if (!length || length > CNI_WIRE_MAX) {
        return error_set(error, EPROTO, "sluiced answered with a message of %u bytes", length);
    }

    char *data = malloc(length);
    if (!data) {
        return error_set_errno(error, ENOMEM, "reply of %u bytes", length);
    }
    retval = recv_until(fd, data, length, deadline);
    if (retval) {
        error_set_errno(error, retval, "waiting for the rest of the reply of sluiced");
    } else if (cni_reply_parse(data, length, reply, error)) {
        retval = EPROTO;
        if (error) {
            error->code = retval;
        }
    }
    free(data);
    return retval;
}

static int
converse(int fd, const struct sockaddr_un *sun, const void *message, size_t size, int netns_fd, long long int deadline,
         struct cni_reply *reply, struct error *error)
{
    int retval = connect_until(fd, sun, deadline);
    if (retval) {
        return error_set_errno(error, retval, "connecting to sluiced at %s", sun->sun_path);
    }

    /* A daemon that refuses a request may answer and close before it has read all of it. */
    retval = send_until(fd, message, size, netns_fd, deadline);
    if (retval && retval != EPIPE && retval != ECONNRESET) {
        return error_set_errno(error, retval, "sending the request to sluiced at %s", sun->sun_path);
    }
    return receive_reply(fd, deadline, reply, error);
}

int
cni_wire_call(const char *socket_path, const struct cni_request *request, int netns_fd, int timeout_ms,
              struct cni_reply *reply, struct error *error)
{
    long long int deadline = now_ms() + timeout_ms;
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    size_t size;

    memset(reply, 0, sizeof *reply);
    if (strlen(socket_path) >= sizeof sun.sun_path) {
        return error_set(error, ENAMETOOLONG, "the path of sluiced's socket is longer than %zu bytes: %s",
                         sizeof sun.sun_path - 1, socket_path);
    }
    strcpy(sun.sun_path, socket_path);

    json_t *json = cni_request_to_json(request);
    char *message = cni_wire_frame(json, &size);
    json_decref(json);
    if (!message) {
        return error_set_errno(error, ENOMEM, "request to sluiced");
    }

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int retval = fd < 0 ? error_set_errno(error, errno, "unix socket")
                 : converse(fd, &sun, message, size, netns_fd, deadline, reply, error);
    if (fd >= 0) {
        close(fd);
    }
    free(message);
    return retval;
}
