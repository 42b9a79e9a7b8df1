#ifndef SLUICE_CNI_WIRE_SERVER_H
#define SLUICE_CNI_WIRE_SERVER_H 1

/* The daemon's side of cni.sock: one connection, never blocking.
 *
 *     fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
 *     conn = cni_wire_conn_create(fd);
 *     each time that the socket is readable:
 *         retval = cni_wire_conn_receive(conn, &request, &netns_fd, &error);
 *         EAGAIN: more is to come; 0: 'request' and 'netns_fd' (-1: none) are the caller's; else: refuse or destroy
 *     cni_wire_conn_reply(conn, &reply);
 *     while cni_wire_conn_flush(conn) says EAGAIN: wait for writability
 *     cni_wire_conn_destroy(conn);
 *
 * The peer may send anything: the buffer grows with the bytes that really came (never with the announced length), at
 * most CNI_WIRE_MAX; descriptors beyond the first are closed.  The caller bounds the number of connections and their
 * time. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cni-wire.h"

struct cni_wire_conn;

/* Takes 'fd'.  NULL: no memory ('fd' is then still the caller's). */
struct cni_wire_conn *cni_wire_conn_create(int fd);
void cni_wire_conn_destroy(struct cni_wire_conn *);
int cni_wire_conn_fd(const struct cni_wire_conn *);

/* Reads what is there.  0: the request is complete.  EAGAIN: not yet.  ECONNRESET: the peer closed first.  EMSGSIZE,
 * EINVAL, EPROTO: the bytes are no request; a reply with the error can still be sent. */
int cni_wire_conn_receive(struct cni_wire_conn *, struct cni_request *, int *netns_fd, struct error *);
/* Encodes the reply and queues it, once for each connection.  ENOMEM. */
int cni_wire_conn_reply(struct cni_wire_conn *, const struct cni_reply *);
/* 0: all is sent.  EAGAIN: wait for writability.  Otherwise the peer is gone. */
int cni_wire_conn_flush(struct cni_wire_conn *);

/* Both sides. */

/* One message: length and JSON.  NULL for want of memory, also when 'json' is NULL.  Freed by the caller. */
char *cni_wire_frame(const json_t *, size_t *size);
/* One sendmsg() that does not block and raises no SIGPIPE, with 'fd' as SCM_RIGHTS unless it is -1.  Bytes, or a
 * negative errno value. */
ssize_t cni_wire_send(int sock, const void *, size_t, int fd);

#endif /* lib/cni-wire-server.h */
