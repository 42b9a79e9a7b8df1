/* lib/spool.h: what is written is read, in order, and nothing else.  cni D9. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spool.h"
#include "unit.h"

static char base[64], dir[128];

static void
setup(void)
{
    strcpy(base, "/tmp/test-spool-XXXXXX");
    ck_assert(mkdtemp(base) != NULL);
    snprintf(dir, sizeof dir, "%s/a/spool", base);
}

static void
teardown(void)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

static int
put(const char *container_id, char **name)
{
    struct cni_request r = { .verb = CNI_DEL, .network = (char *) "n", .container_id = (char *) container_id,
                             .ifname = (char *) "eth0", .netns = (char *) "" };
    return spool_put(dir, &r, name, NULL);
}

static void
put_file(const char *name, const char *content)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    ck_assert(f && fputs(content, f) >= 0 && !fclose(f));
}

START_TEST(test_put_list_remove)
{
    struct spool_entry *entries;
    size_t n, n_bad;
    char *name = NULL;

    ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);   /* No directory yet. */
    ck_assert(!n && !n_bad);
    for (int i = 0; i < 300; i++) {     /* No cap at 256. */
        char id[32];
        snprintf(id, sizeof id, "c%d", i);
        ck_assert_int_eq(put(id, i ? NULL : &name), 0);
    }
    ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);
    ck_assert_uint_eq(n, 300);
    for (size_t i = 0; i < n; i++) {
        char id[32];
        snprintf(id, sizeof id, "c%zu", i);
        ck_assert_str_eq(entries[i].request.container_id, id);
        ck_assert(entries[i].time > 1700000000000LL);
    }
    ck_assert_str_eq(entries[0].name, name);
    spool_entries_free(entries, n);

    ck_assert_int_eq(spool_remove(dir, name, NULL), 0);
    ck_assert_int_eq(spool_remove(dir, name, NULL), 0);
    ck_assert_int_eq(spool_remove("/nowhere/at/all", name, NULL), 0);
    ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);
    ck_assert_uint_eq(n, 299);
    spool_entries_free(entries, n);
    free(name);
}
END_TEST

START_TEST(test_bad_files)
{
    static const char *const bad[] = { "", "{", "{}", "{\"v\":1,\"verb\":\"STATUS\"}",
                                       ("{\"v\":1,\"verb\":\"DEL\",\"network\":\"n\",\"containerID\":\"../x\","
                                        "\"ifname\":\"e\"}") };
    struct spool_entry *entries;
    size_t n, n_bad;

    ck_assert_int_eq(put("good", NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char name[32];
        snprintf(name, sizeof name, "del-%zu", i);
        put_file(name, bad[i]);
    }
    put_file(".tmp-1", "half");         /* Not ours to look at. */
    ck_assert(!symlinkat("/dev/zero", open(dir, O_RDONLY | O_DIRECTORY), "del-link"));
    ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(n_bad, 6);
    spool_entries_free(entries, n);
    ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);
    ck_assert(n == 1 && n_bad == 0);    /* Moved aside. */
    spool_entries_free(entries, n);
}
END_TEST

/* A writer that is killed at any step leaves a complete entry or none. */
START_TEST(test_killed)
{
    static const struct { const char *fault; size_t n; } cases[] = {
        { "spool-write:kill", 0 }, { "spool-rename:kill", 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spool_entry *entries;
        size_t n, n_bad;
        int status;
        pid_t pid = fork();
        if (!pid) {
            setenv("SLUICE_FAULT", cases[i].fault, 1);
            put("c", NULL);
            _exit(0);
        }
        ck_assert(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);
        ck_assert(n == cases[i].n && !n_bad);
        spool_entries_free(entries, n);
    }
}
END_TEST

START_TEST(test_no_room)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_request r = { .verb = CNI_DEL, .network = (char *) "n", .container_id = (char *) "c",
                             .ifname = (char *) "eth0" };
    struct spool_entry *entries;
    size_t n, n_bad;

    setenv("SLUICE_FAULT", "spool-write:fail:ENOSPC", 1);
    ck_assert_int_eq(spool_put(dir, &r, NULL, &error), ENOSPC);
    ck_assert_msg(strstr(error_message(&error), dir) != NULL, "%s", error_message(&error));
    unsetenv("SLUICE_FAULT");
    ck_assert_int_eq(spool_put("/proc/sluice/spool", &r, NULL, NULL), ENOENT);
    ck_assert_int_eq(spool_list(dir, &entries, &n, &n_bad, NULL), 0);
    ck_assert(!n && !n_bad);
}
END_TEST

UNIT_MAIN("spool", {
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_put_list_remove);
    tcase_add_test(tc, test_bad_files);
    tcase_add_test(tc, test_killed);
    tcase_add_test(tc, test_no_room);
})
