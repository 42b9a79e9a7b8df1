#include <config.h>

#include "ethtool.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns.h"
#include "util.h"

static int
open_socket(int netns_fd, int *sock, struct error *error)
{
    if (netns_fd >= 0) {
        return netns_socket(netns_fd, AF_INET, SOCK_DGRAM, 0, sock, error);
    }
    *sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return *sock >= 0 ? 0 : error_set_errno(error, errno, "cannot open a socket");
}

static int
transact(int netns_fd, const char *name, struct ethtool_value *value, struct error *error)
{
    struct ifreq ifr = { .ifr_data = (void *) value };
    int sock;

    int retval = open_socket(netns_fd, &sock, error);
    if (retval) {
        return retval;
    }
    ovs_strzcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    if (ioctl(sock, SIOCETHTOOL, &ifr)) {
        retval = error_set_errno(error, errno, "ethtool request %#x on %s", (unsigned int) value->cmd, name);
    }
    close(sock);
    return retval;
}

int
ethtool_get(int netns_fd, const char *name, uint32_t request, uint32_t *value, struct error *error)
{
    struct ethtool_value v = { .cmd = request };

    int retval = transact(netns_fd, name, &v, error);
    if (!retval) {
        *value = v.data;
    }
    return retval;
}

int
ethtool_set(int netns_fd, const char *name, uint32_t request, uint32_t value, struct error *error)
{
    struct ethtool_value v = { .cmd = request, .data = value };
    return transact(netns_fd, name, &v, error);
}
