#ifndef SLUICE_SOCKET_WATCH_H
#define SLUICE_SOCKET_WATCH_H 1

/* Tells when a unix domain socket appears in the file system (inotify), so that a client reconnects at once after
 * its server was restarted instead of when a timer of its back-off ends.
 *
 * The folder of the socket need not exist yet: then the nearest existing folder above it is watched, and the watch
 * moves down as folders appear.  A remote that is no "unix:" path is accepted and never reports anything. */

#include <stdbool.h>

struct socket_watch;

/* 'remote' is as for stream_open(): "unix:/run/openvswitch/db.sock".  Any name that begins like the last part counts,
 * so that "unix:/run/openvswitch/ovs-vswitchd." watches for "ovs-vswitchd.PID.ctl". */
struct socket_watch *socket_watch_create(const char *remote);
void socket_watch_destroy(struct socket_watch *);

/* True once after the socket, or a folder on the way to it, was created or moved into place. */
bool socket_watch_run(struct socket_watch *);
void socket_watch_wait(const struct socket_watch *);

#endif /* controller/socket-watch.h */
