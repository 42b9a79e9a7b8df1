#ifndef SLUICE_NETNS_TEST_H
#define SLUICE_NETNS_TEST_H 1

/* Namespaces for tests of host networking: the test process moves into a fresh one, "the node", and makes others, "pods".
 * They have no names, so whatever happens nothing is left when the process ends.  Needs root. */

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "unit.h"

/* Exit status of a test that cannot run here. */
#define TEST_SKIPPED 77

/* The thread's own namespace, as a descriptor. */
static inline int
test_own_netns(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Moves the process into a new, empty namespace with lo up. */
static inline void
test_enter_new_netns(void)
{
    ck_assert_msg(!unshare(CLONE_NEWNET), "unshare: this test needs root");
    ck_assert_int_eq(system("ip link set lo up"), 0);
}

/* A new namespace for a pod. */
static inline int
test_new_netns(void)
{
    int own = test_own_netns();
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    int fd = test_own_netns();
    ck_assert_int_eq(setns(own, CLONE_NEWNET), 0);
    close(own);
    return fd;
}

/* Runs a shell command inside 'netns_fd' (-1: here) and returns its exit status. */
static inline int __attribute__((format(printf, 2, 3)))
test_sh(int netns_fd, const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    ck_assert_int_lt(vsnprintf(command, sizeof command, format, args), sizeof command);
    va_end(args);

    int own = test_own_netns();
    if (netns_fd >= 0) {
        ck_assert_int_eq(setns(netns_fd, CLONE_NEWNET), 0);
    }
    int status = system(command);
    ck_assert_int_eq(setns(own, CLONE_NEWNET), 0);
    close(own);
    return status;
}

#endif /* tests/system/netns-test.h */
