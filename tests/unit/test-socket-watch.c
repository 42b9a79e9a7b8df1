/* socket-watch: sockets that appear, with and without inotify. */
#include <config.h>

#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "controller/socket-watch.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

static void
create_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_ge(fd, 0);
    close(fd);
}

/* Within how many ms it is told; -1: not within 5 s. */
static long long int
await(struct socket_watch *watch)
{
    long long int begin = time_msec();

    while (!socket_watch_run(watch)) {
        if (time_msec() > begin + 5000) {
            return -1;
        }
        socket_watch_wait(watch);
        poll_timer_wait_until(begin + 5001);
        poll_block();
    }
    return time_msec() - begin;
}

static void
check_appearing(void)
{
    char folder[] = "/tmp/test-socket-watch-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char *path = xasprintf("%s/db.sock", folder), *remote = xasprintf("unix:%s", path);
    struct socket_watch *watch = socket_watch_create(remote);

    ck_assert(!socket_watch_run(watch));
    create_file(path);
    ck_assert_int_ge(await(watch), 0);
    ck_assert(!socket_watch_run(watch));
    ck_assert(!unlink(path));
    socket_watch_run(watch);
    create_file(path);
    ck_assert_int_ge(await(watch), 0);

    socket_watch_destroy(watch);
    unlink(path);
    rmdir(folder);
    free(path);
    free(remote);
}

START_TEST(test_appears)
{
    check_appearing();
}
END_TEST

/* As when other programs have taken all instances of inotify that a user may have. */
START_TEST(test_no_inotify)
{
    int fd = unshare(CLONE_NEWUSER) ? -1 : open("/proc/sys/user/max_inotify_instances", O_WRONLY);

    if (fd < 0 || write(fd, "0", 1) != 1 || inotify_init1(0) >= 0) {
        printf("skipped: inotify cannot be limited here\n");
        return;
    }
    close(fd);
    check_appearing();
}
END_TEST

/* A remote that is no socket in the file system never reports anything. */
START_TEST(test_other_remote)
{
    struct socket_watch *watch = socket_watch_create("tcp:127.0.0.1:6640");

    ck_assert(!socket_watch_run(watch));
    socket_watch_wait(watch);
    poll_immediate_wake();
    poll_block();
    socket_watch_destroy(watch);
}
END_TEST

UNIT_MAIN("socket-watch", {
    tcase_add_test(tc, test_appears);
    tcase_add_test(tc, test_no_inotify);
    tcase_add_test(tc, test_other_remote);
})
