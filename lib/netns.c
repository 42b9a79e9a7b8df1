#include <config.h>

#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

#define OWN_NETNS "/proc/thread-self/ns/net"

int
netns_open(const char *path, int *fdp, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open the network namespace %s", path);
    }
    if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
        close(fd);
        return error_set(error, EINVAL, "%s is not a network namespace", path);
    }
    *fdp = fd;
    return 0;
}

int
netns_identify(int fd, struct netns_id *id, struct error *error)
{
    struct stat s;

    if (fstat(fd, &s)) {
        return error_set_errno(error, errno, "cannot identify the network namespace");
    }
    *id = (struct netns_id) { .dev = s.st_dev, .ino = s.st_ino };
    return 0;
}

bool
netns_id_equals(const struct netns_id *a, const struct netns_id *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

int
netns_is_own(int fd, bool *own, struct error *error)
{
    struct netns_id theirs = { 0, 0 }, ours = { 0, 0 };
    int own_fd;

    int retval = netns_open(OWN_NETNS, &own_fd, error);
    if (retval) {
        return retval;
    }
    retval = netns_identify(fd, &theirs, error);
    if (!retval) {
        retval = netns_identify(own_fd, &ours, error);
    }
    close(own_fd);
    if (!retval) {
        *own = netns_id_equals(&theirs, &ours);
    }
    return retval;
}

int
netns_enter(int fd, int *back, struct error *error)
{
    int own_fd;

    int retval = netns_open(OWN_NETNS, &own_fd, error);
    if (retval) {
        return retval;
    }
    if (setns(fd, CLONE_NEWNET)) {
        retval = error_set_errno(error, errno, "cannot enter the network namespace");
        close(own_fd);
        return retval;
    }
    *back = own_fd;
    return 0;
}

void
netns_leave(int back)
{
    if (setns(back, CLONE_NEWNET)) {
        ovs_abort(errno, "cannot return to the own network namespace");
    }
    close(back);
}

int
netns_socket(int fd, int domain, int type, int protocol, int *sockp, struct error *error)
{
    int back;

    int retval = netns_enter(fd, &back, error);
    if (retval) {
        return retval;
    }
    int sock = socket(domain, type | SOCK_CLOEXEC, protocol);
    if (sock < 0) {
        retval = error_set_errno(error, errno, "cannot open a socket in the network namespace");
    }
    netns_leave(back);
    if (!retval) {
        *sockp = sock;
    }
    return retval;
}
