/* Sysctls of the node's network, by the files of /proc/sys. */

#include <config.h>

#include "hostnet-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

/* A name of a link may contain dots, but never a slash. */
static char *
path_of(const char *family, const char *link, const char *name)
{
    return (link ? xasprintf("/proc/sys/net/%s/conf/%s/%s", family, link, name)
            : xasprintf("/proc/sys/net/%s/%s", family, name));
}

int
hostnet_sysctl_get(const char *family, const char *link, const char *name, int *value, struct error *error)
{
    char *path = path_of(family, link, name);
    int retval = 0;
    char buf[32];

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
    if (n < 0) {
        retval = error_set_errno(error, errno, "cannot read %s", path);
    } else {
        buf[n] = '\0';
        *value = atoi(buf);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return retval;
}

int
hostnet_sysctl_set(const char *family, const char *link, const char *name, int value, struct error *error)
{
    int old;

    int retval = hostnet_sysctl_get(family, link, name, &old, error);
    if (retval || old == value) {
        return retval;
    }

    char *path = path_of(family, link, name);
    char *text = xasprintf("%d\n", value);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        retval = error_set_errno(error, errno, "cannot set %s to %d", path, value);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(text);
    free(path);
    return retval;
}

int
hostnet_forwarding(const char *uplink, struct error *error)
{
    int accept_ra;

    int retval = hostnet_sysctl_set("ipv4", NULL, "ip_forward", 1, error);
    if (retval) {
        return retval;
    }

    /* The moment that forwarding begins the kernel forgets the routers that it heard of on links with accept_ra=1. */
    if (uplink && !hostnet_sysctl_get("ipv6", uplink, "accept_ra", &accept_ra, NULL) && accept_ra == 1) {
        retval = hostnet_sysctl_set("ipv6", uplink, "accept_ra", 2, error);
    }
    if (!retval) {
        ERROR_AUTO struct error e = ERROR_INIT;
        retval = hostnet_sysctl_set("ipv6", "all", "forwarding", 1, &e);
        if (retval == ENOENT) {
            retval = 0;                 /* A kernel without IPv6. */
        } else if (retval) {
            error_move(error, &e);
        }
    }
    return retval;
}
