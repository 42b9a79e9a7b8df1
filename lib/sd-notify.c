#include "sd-notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
sd_notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    size_t length = path ? strlen(path) : 0;

    if (length < 2 || length >= sizeof sun.sun_path || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(sun.sun_path, path, length);
    if (path[0] == '@') {
        sun.sun_path[0] = '\0';         /* The abstract namespace. */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        ssize_t n = sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &sun,
                           offsetof(struct sockaddr_un, sun_path) + length);
        (void) n;
        close(fd);
    }
}
