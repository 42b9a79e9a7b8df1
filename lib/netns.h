#ifndef SLUICE_NETNS_H
#define SLUICE_NETNS_H 1

/* Network namespaces (network_namespaces(7)).
 *
 * A namespace is named by an open file descriptor, e.g. of /run/netns/NAME or /proc/PID/ns/net: a path may name
 * another namespace a moment later.  Entering one (setns(2)) changes the calling thread only; every socket opened
 * inside stays in that namespace for its life, so callers enter, open, leave, and work from outside.
 *
 * Source: setns(2), ioctl_ns(2), namespaces(7).  The functions block only for the system calls that they make. */

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

/* Two descriptors are of the same namespace exactly when these are equal, for as long as it lives. */
struct netns_id {
    dev_t dev;
    ino_t ino;
};

/* Opens 'path' (O_CLOEXEC).  EINVAL when it is something else than a network namespace. */
int netns_open(const char *path, int *fdp, struct error *);

int netns_identify(int fd, struct netns_id *, struct error *);
bool netns_id_equals(const struct netns_id *, const struct netns_id *);

/* Is 'fd' the namespace of the calling thread? */
int netns_is_own(int fd, bool *own, struct error *);

/* Moves the calling thread into the namespace of 'fd'.  On success '*back' must be given to netns_leave(), by the
 * same thread. netns_leave() closes '*back'; when the thread cannot return the process aborts, because whatever that
 * thread does next would be done to a stranger's network. */
int netns_enter(int fd, int *back, struct error *);
void netns_leave(int back);

/* socket(2) inside the namespace of 'fd'; SOCK_CLOEXEC is added to 'type'. */
int netns_socket(int fd, int domain, int type, int protocol, int *sockp, struct error *);

#endif /* lib/netns.h */
