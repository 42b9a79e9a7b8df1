#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "unit.h"

START_TEST(test_off)
{
    unsetenv("SLUICE_FAULT");
    ck_assert_int_eq(fault_point("a"), 0);
    setenv("SLUICE_FAULT", "", 1);
    ck_assert_int_eq(fault_point("a"), 0);
}
END_TEST

START_TEST(test_fail)
{
    setenv("SLUICE_FAULT", "a-long:kill,a:fail:ENOSPC,b:fail:5,c:fail:NONSENSE,d:nonsense,e,:,,f:fail:EIO", 1);
    ck_assert_int_eq(fault_point("a"), ENOSPC);
    ck_assert_int_eq(fault_point("b"), 5);
    ck_assert_int_eq(fault_point("c"), 0);
    ck_assert_int_eq(fault_point("d"), 0);
    ck_assert_int_eq(fault_point("e"), 0);
    ck_assert_int_eq(fault_point("f"), EIO);
    ck_assert_int_eq(fault_point("fail"), 0);
}
END_TEST

/* Runs fault_point("here") in a child and returns what waitpid() says of it. */
static int
child_status(const char *fault)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        setenv("SLUICE_FAULT", fault, 1);
        _exit(fault_point("here") ? 1 : 0);
    }

    int status;
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    if (WIFSTOPPED(status)) {
        int end;
        kill(pid, SIGCONT);
        ck_assert_int_eq(waitpid(pid, &end, 0), pid);
        ck_assert(WIFEXITED(end) && !WEXITSTATUS(end));
    }
    return status;
}

START_TEST(test_kill_and_pause)
{
    int status = child_status("here:kill");
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = child_status("here:pause");
    ck_assert(WIFSTOPPED(status));
    status = child_status("elsewhere:kill");
    ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
}
END_TEST

UNIT_MAIN("fault", {
    tcase_add_test(tc, test_off);
    tcase_add_test(tc, test_fail);
    tcase_add_test(tc, test_kill_and_pause);
})
