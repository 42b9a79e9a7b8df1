#include "plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum cni_code
netns_open(struct plugin *plugin, bool *own, struct error *error)
{
    const char *path = plugin->env.netns;
    struct stat theirs, ours;

    *own = false;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(error, CNI_E_NETNS, "opening the network namespace CNI_NETNS=%s: %s", path, strerror(errno));
    }
    plugin->netns_fd = fd;
    if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
        netns_close(plugin);
        return error_set(error, CNI_E_NETNS, "CNI_NETNS=%s is not a network namespace", path);
    }
    *own = !fstat(fd, &theirs) && !stat("/proc/self/ns/net", &ours) && theirs.st_ino == ours.st_ino
           && theirs.st_dev == ours.st_dev;
    return CNI_OK;
}

void
netns_close(struct plugin *plugin)
{
    if (plugin->netns_fd >= 0) {
        close(plugin->netns_fd);
        plugin->netns_fd = -1;
    }
}
