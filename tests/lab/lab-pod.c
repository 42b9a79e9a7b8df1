/* lab-pod: what runs in a pod of sluice-lab.
 *
 *     lab-pod NAME [tcp:PORT | udp:PORT | sctp:PORT | sctp:PORT@ADDRESS]...
 *
 * Keeps the pod alive and answers on the given ports, on every address of both families, or on one:
 *
 *   TCP   says "NAME CLIENT-ADDRESS CLIENT-PORT\n", then sends back what it receives
 *   SCTP  the same; left out if the kernel has no SCTP.  It answers from any of its addresses, as SCTP does
 *   UDP   answers each datagram with "NAME CLIENT-ADDRESS CLIENT-PORT " and the datagram, from the address that was asked
 *
 * Prints "ready" once it listens on all of them.  Static and small, one process, no thread: there are hundreds of them. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX 65535
#define ECHO_MAX 16384

enum kind { LISTENER, DATAGRAM, CONNECTION };

/* One socket.  'pending' bytes at 'buf' wait to be sent; a connection is read only when there are none. */
struct sock {
    enum kind kind;
    int fd;
    bool eof;
    size_t offset, pending;
    char buf[];
};

struct responder {
    const char *name;
    int epoll_fd;
};

static void
die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void
watch(const struct responder *responder, struct sock *sock, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = sock };

    if (epoll_ctl(responder->epoll_fd, operation, sock->fd, &event)) {
        die("epoll_ctl");
    }
}

/* "NAME CLIENT-ADDRESS CLIENT-PORT"; an IPv4 client is written as such.  Returns the length, less than 'size'. */
static size_t
describe(const struct responder *responder, const struct sockaddr_in6 *client, char *buf, size_t size)
{
    char address[INET6_ADDRSTRLEN];
    int length;

    if (IN6_IS_ADDR_V4MAPPED(&client->sin6_addr)) {
        inet_ntop(AF_INET, &client->sin6_addr.s6_addr[12], address, sizeof address);
    } else {
        inet_ntop(AF_INET6, &client->sin6_addr, address, sizeof address);
    }
    length = snprintf(buf, size, "%s %s %u", responder->name, address, ntohs(client->sin6_port));
    return length < (int) size ? length : (int) size - 1;
}

static void
accept_connections(const struct responder *responder, int listener)
{
    struct sockaddr_in6 client;
    socklen_t size = sizeof client;
    int fd;

    while ((fd = accept4(listener, (struct sockaddr *) &client, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct sock *sock = malloc(sizeof *sock + ECHO_MAX);

        if (!sock) {
            close(fd);
            return;
        }
        *sock = (struct sock) { .kind = CONNECTION, .fd = fd };
        sock->pending = describe(responder, &client, sock->buf, ECHO_MAX - 1);
        sock->buf[sock->pending++] = '\n';
        watch(responder, sock, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
        size = sizeof client;
    }
}

static void
close_connection(struct sock *sock)
{
    close(sock->fd);
    free(sock);
}

/* Sends what is pending, then reads more. */
static void
serve_connection(const struct responder *responder, struct sock *sock)
{
    ssize_t n;

    if (!sock->pending && !sock->eof) {
        n = recv(sock->fd, sock->buf, ECHO_MAX, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            close_connection(sock);
            return;
        }
        sock->eof = n == 0;
        sock->offset = 0;
        sock->pending = n > 0 ? n : 0;
    }
    if (sock->pending) {
        n = send(sock->fd, sock->buf + sock->offset, sock->pending, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            close_connection(sock);
            return;
        }
        sock->offset += n > 0 ? n : 0;
        sock->pending -= n > 0 ? n : 0;
    }
    if (sock->eof && !sock->pending) {
        close_connection(sock);
        return;
    }
    watch(responder, sock, EPOLL_CTL_MOD, sock->pending ? EPOLLOUT : EPOLLIN);
}

/* The control data carries the address that was asked, so the answer comes from it. */
static void
answer_datagrams(const struct responder *responder, struct sock *sock)
{
    char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    char head[INET6_ADDRSTRLEN + 512];
    struct sockaddr_in6 client;

    for (;;) {
        struct iovec iov[2] = { { .iov_base = head }, { .iov_base = sock->buf, .iov_len = DATAGRAM_MAX } };
        struct msghdr msg = { .msg_name = &client, .msg_namelen = sizeof client, .msg_iov = &iov[1], .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof control };
        ssize_t n = recvmsg(sock->fd, &msg, 0);

        if (n < 0) {
            if (errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH) {
                continue;
            }
            return;
        }
        for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
            if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
                ((struct in6_pktinfo *) CMSG_DATA(cmsg))->ipi6_ifindex = 0;
            }
        }
        iov[0].iov_len = describe(responder, &client, head, sizeof head - 1);
        head[iov[0].iov_len++] = ' ';
        iov[1].iov_len = n;
        msg.msg_iov = iov;
        msg.msg_iovlen = 2;
        msg.msg_flags = 0;
        if (sendmsg(sock->fd, &msg, 0) < 0 && errno == EMSGSIZE) {
            msg.msg_iovlen = 1;         /* The head does not fit any more: at least the head. */
            sendmsg(sock->fd, &msg, 0);
        }
    }
}

/* "" is any address. */
static struct in6_addr
parse_address(const char *text)
{
    char mapped[INET6_ADDRSTRLEN + 8];
    struct in6_addr addr = IN6ADDR_ANY_INIT;

    snprintf(mapped, sizeof mapped, "%s%s", strchr(text, ':') ? "" : "::ffff:", text);
    if (*text && inet_pton(AF_INET6, mapped, &addr) != 1) {
        fprintf(stderr, "%s: no address\n", text);
        exit(2);
    }
    return addr;
}

/* A kernel without IPv6 still answers IPv4.  Returns -1 if the kernel has no such protocol. */
static int
open_socket(int protocol, uint16_t port, const char *address)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port),
                                .sin6_addr = parse_address(address) };
    bool datagrams = protocol == IPPROTO_UDP;
    int on = 1, off = 0;
    int fd = socket(AF_INET6, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0 && errno == EPROTONOSUPPORT) {
        return -1;
    }
    if (fd < 0
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)
        || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off)
        || (datagrams && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on))
        || bind(fd, (struct sockaddr *) &any, sizeof any)
        || (!datagrams && listen(fd, 1024))) {
        die("port");
    }
    return fd;
}

static void
add_port(const struct responder *responder, const char *spec)
{
    static const struct { const char *name; int number; enum kind kind; } protocols[] = {
        { "tcp:", IPPROTO_TCP, LISTENER }, { "udp:", IPPROTO_UDP, DATAGRAM }, { "sctp:", IPPROTO_SCTP, LISTENER },
    };

    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        size_t length = strlen(protocols[i].name);
        unsigned long int port;
        struct sock *sock;
        char *end;
        int fd;

        if (strncmp(spec, protocols[i].name, length)) {
            continue;
        }
        port = strtoul(spec + length, &end, 10);
        if (!port || port > 65535 || (*end && *end != '@')) {
            break;
        }
        fd = open_socket(protocols[i].number, port, *end ? end + 1 : "");
        if (fd < 0) {
            return;
        }
        sock = malloc(sizeof *sock + (protocols[i].kind == DATAGRAM ? DATAGRAM_MAX : 0));
        if (!sock) {
            die("malloc");
        }
        *sock = (struct sock) { .kind = protocols[i].kind, .fd = fd };
        watch(responder, sock, EPOLL_CTL_ADD, EPOLLIN);
        return;
    }
    fprintf(stderr, "%s: want tcp:PORT, udp:PORT or sctp:PORT, and @ADDRESS\n", spec);
    exit(2);
}

static void
say_ready(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (write(STDOUT_FILENO, "ready\n", 6) != 6) {
        die("standard output");
    }
    for (int fd = 0; null >= 0 && fd < 3; fd++) {
        dup2(null, fd);                 /* Whoever started us may go. */
    }
}

int
main(int argc, char *argv[])
{
    struct responder responder = { .name = argc > 1 ? argv[1] : "" };
    struct epoll_event events[64];

    if (argc < 2) {
        fprintf(stderr, "usage: lab-pod NAME [tcp:PORT | udp:PORT | sctp:PORT | sctp:PORT@ADDRESS]...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    responder.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (responder.epoll_fd < 0) {
        die("epoll_create1");
    }
    for (int i = 2; i < argc; i++) {
        add_port(&responder, argv[i]);
    }
    say_ready();
    for (;;) {
        int n = epoll_wait(responder.epoll_fd, events, 64, -1);

        for (int i = 0; i < n; i++) {
            struct sock *sock = events[i].data.ptr;

            if (sock->kind == LISTENER) {
                accept_connections(&responder, sock->fd);
            } else if (sock->kind == DATAGRAM) {
                answer_datagrams(&responder, sock);
            } else {
                serve_connection(&responder, sock);
            }
        }
    }
}
