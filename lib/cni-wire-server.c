#include "cni-wire-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 4096

struct cni_wire_conn {
    int fd;
    int netns_fd;                       /* Received, not yet given to the caller, or -1. */
    char *in;
    size_t n_in, allocated;
    char *out;
    size_t out_size, out_sent;
};

/* Both sides. ---------------------------------------------------------------------------------------------------- */

char *
cni_wire_frame(const json_t *json, size_t *size)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0;
    char *frame = text ? malloc(4 + length) : NULL;

    if (frame) {
        uint32_t be = htonl(length);
        memcpy(frame, &be, 4);
        memcpy(frame + 4, text, length);
        *size = 4 + length;
    }
    free(text);
    return frame;
}

ssize_t
cni_wire_send(int sock, const void *data, size_t size, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    }

    ssize_t n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* Connection. ---------------------------------------------------------------------------------------------------- */

struct cni_wire_conn *
cni_wire_conn_create(int fd)
{
    struct cni_wire_conn *conn = calloc(1, sizeof *conn);

    if (conn) {
        conn->fd = fd;
        conn->netns_fd = -1;
    }
    return conn;
}

void
cni_wire_conn_destroy(struct cni_wire_conn *conn)
{
    if (conn) {
        if (conn->netns_fd >= 0) {
            close(conn->netns_fd);
        }
        close(conn->fd);
        free(conn->in);
        free(conn->out);
        free(conn);
    }
}

int
cni_wire_conn_fd(const struct cni_wire_conn *conn)
{
    return conn->fd;
}

/* Keeps the first descriptor that ever comes, closes all others. */
static void
take_fds(struct cni_wire_conn *conn, struct msghdr *msg)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= cmsg->cmsg_len; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
            if (conn->netns_fd < 0) {
                conn->netns_fd = fd;
            } else {
                close(fd);
            }
        }
    }
}

/* Length of the message's JSON, once its four bytes have come; otherwise 0. */
static size_t
announced(const struct cni_wire_conn *conn)
{
    uint32_t be;

    if (conn->n_in < 4) {
        return 0;
    }
    memcpy(&be, conn->in, 4);
    return ntohl(be);
}

static int
make_room(struct cni_wire_conn *conn)
{
    if (conn->n_in == conn->allocated) {
        size_t wanted = conn->allocated ? conn->allocated * 2 : CHUNK;
        char *in = realloc(conn->in, wanted);
        if (!in) {
            return ENOMEM;
        }
        conn->in = in;
        conn->allocated = wanted;
    }
    return 0;
}

/* One recvmsg().  0: bytes came. */
static int
receive_some(struct cni_wire_conn *conn)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    int retval = make_room(conn);
    if (retval) {
        return retval;
    }

    struct iovec iov = { .iov_base = conn->in + conn->n_in, .iov_len = conn->allocated - conn->n_in };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        return errno;
    }
    take_fds(conn, &msg);
    conn->n_in += n;
    return n ? 0 : ECONNRESET;
}

int
cni_wire_conn_receive(struct cni_wire_conn *conn, struct cni_request *request, int *netns_fd, struct error *error)
{
    memset(request, 0, sizeof *request);
    *netns_fd = -1;
    for (;;) {
        size_t length = announced(conn);

        if (conn->n_in >= 4 && (!length || length > CNI_WIRE_MAX)) {
            return error_set(error, EMSGSIZE, "CNI request: length %zu is not from 1 to %d", length, CNI_WIRE_MAX);
        } else if (conn->n_in >= 4 && conn->n_in > 4 + length) {
            return error_set(error, EINVAL, "CNI request: %zu bytes behind the message", conn->n_in - 4 - length);
        } else if (conn->n_in >= 4 && conn->n_in == 4 + length) {
            int retval = cni_request_parse(conn->in + 4, length, request, error);
            if (!retval) {
                *netns_fd = conn->netns_fd;
                conn->netns_fd = -1;
            }
            return retval;
        }

        int retval = receive_some(conn);
        if (retval == EAGAIN) {
            return retval;
        } else if (retval && retval != EINTR) {
            return error_set_errno(error, retval, "CNI request");
        }
    }
}

int
cni_wire_conn_reply(struct cni_wire_conn *conn, const struct cni_reply *reply)
{
    json_t *json = cni_reply_to_json(reply);
    char *out = cni_wire_frame(json, &conn->out_size);

    json_decref(json);
    if (!out) {
        return ENOMEM;
    }
    free(conn->out);
    conn->out = out;
    conn->out_sent = 0;
    return 0;
}

int
cni_wire_conn_flush(struct cni_wire_conn *conn)
{
    while (conn->out && conn->out_sent < conn->out_size) {
        ssize_t n = cni_wire_send(conn->fd, conn->out + conn->out_sent, conn->out_size - conn->out_sent, -1);
        if (n > 0) {
            conn->out_sent += n;
        } else if (n != -EINTR) {
            return -n;
        }
    }
    return 0;
}
