#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
errno_parse(const char *s, size_t n)
{
    for (int i = 1; i < 256; i++) {
        const char *name = strerrorname_np(i);
        if (name && strlen(name) == n && !strncmp(name, s, n)) {
            return i;
        }
    }

    int number = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || number > 4095) {
            return 0;
        }
        number = number * 10 + (s[i] - '0');
    }
    return number;
}

/* Carries out an action of 'n' bytes. */
static int
act(const char *action, size_t n)
{
    if (n == 4 && !strncmp(action, "kill", n)) {
        raise(SIGKILL);
    } else if (n == 5 && !strncmp(action, "pause", n)) {
        raise(SIGSTOP);
    } else if (n > 5 && !strncmp(action, "fail:", 5)) {
        return errno_parse(action + 5, n - 5);
    }
    return 0;
}

int
fault_point(const char *name)
{
    const char *p = getenv("SLUICE_FAULT");
    size_t name_len = strlen(name);

    while (p && *p) {
        size_t n = strcspn(p, ",");
        if (n > name_len && !strncmp(p, name, name_len) && p[name_len] == ':') {
            return act(p + name_len + 1, n - name_len - 1);
        }
        p += n + (p[n] == ',');
    }
    return 0;
}
