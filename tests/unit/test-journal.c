/* lib/journal.h.  All of this is "ipam 5": durability. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal-format.h"
#include "journal.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "unit.h"
#include "util.h"

/* A folder of its own for each test. */
static char folder[64];
static char path[96];

static void
setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/test-journal-XXXXXX");
    ck_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/journal", folder);
    signal(SIGXFSZ, SIG_IGN);
}

static void
teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

/* Replayed records, each with a ";" behind it. */
static int
collect(const void *payload, size_t size, void *ds_, struct error *error OVS_UNUSED)
{
    ds_put_buffer(ds_, payload, size);
    ds_put_char(ds_, ';');
    return 0;
}

static int
refuse(const void *payload, size_t size OVS_UNUSED, void *aux OVS_UNUSED, struct error *error)
{
    return *(const char *) payload == 'c' ? error_set(error, ENOTSUP, "unknown kind") : 0;
}

static struct journal *
must_open(const char *expected)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct journal *j;
    int status = journal_open(path, collect, &ds, &j, NULL, &error);
    ck_assert_msg(!status, "%s", error_message(&error));
    ck_assert_str_eq(ds_cstr(&ds), expected);
    ds_destroy(&ds);
    return j;
}

static void
must_append(struct journal *j, const char *s)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_msg(!journal_append(j, s, strlen(s), NULL, &error), "%s", error_message(&error));
}

static void
must_hold(const char *expected)
{
    journal_close(must_open(expected));
}

static void
write_file(const void *data, size_t size)
{
    FILE *f = fopen(path, "w");
    ck_assert(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

static size_t
read_file(const char *name, char *data, size_t max)
{
    FILE *f = fopen(name, "r");
    ck_assert_msg(f != NULL, "%s: %s", name, strerror(errno));
    size_t n = fread(data, 1, max, f);
    fclose(f);
    return n;
}

/* "one;two;three;" and what of it ends at or before each size. */
static const char *const words[] = { "one", "two", "three" };

static size_t
three(struct ofpbuf *buf, size_t ends[4])
{
    ofpbuf_init(buf, 128);
    journal_format_put_magic(buf);
    ends[0] = buf->size;
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(journal_format_put(buf, words[i], strlen(words[i]), NULL), 0);
        ends[i + 1] = buf->size;
    }
    return buf->size;
}

static const char *
prefix_of(size_t n)
{
    return n == 0 ? "" : n == 1 ? "one;" : n == 2 ? "one;two;" : "one;two;three;";
}

START_TEST(test_round_trip)
{
    struct journal *j = must_open("");
    must_append(j, "a");
    must_append(j, "b");
    journal_close(j);
    j = must_open("a;b;");
    must_append(j, "c");
    struct stat s;
    ck_assert(!stat(path, &s) && (s.st_mode & 07777) == 0600);
    ck_assert_uint_eq(s.st_size, journal_size(j));
    journal_close(j);
    must_hold("a;b;c;");
}
END_TEST

/* The bytes are those of the description: a reader in another language finds CRC-32C. */
START_TEST(test_format)
{
    struct ofpbuf buf;
    ofpbuf_init(&buf, 64);
    journal_format_put_magic(&buf);
    ck_assert_int_eq(journal_format_put(&buf, "56789", 5, NULL), 0);
    /* CRC-32C of 05 00 00 00 "56789", by an independent bitwise computation. */
    uint32_t crc = UINT32_MAX;
    const uint8_t message[] = { 5, 0, 0, 0, '5', '6', '7', '8', '9' };
    for (size_t i = 0; i < sizeof message; i++) {
        crc ^= message[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
        }
    }
    crc = ~crc;
    const uint8_t expected[] = { 'S', 'L', 'U', 'I', 'C', 'E', 'J', '1', 5, 0, 0, 0,
                                 crc, crc >> 8, crc >> 16, crc >> 24, '5', '6', '7', '8', '9' };
    ck_assert_uint_eq(buf.size, sizeof expected);
    ck_assert_mem_eq(buf.data, expected, sizeof expected);
    ofpbuf_uninit(&buf);
}
END_TEST

START_TEST(test_limits)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char *big = xzalloc(JOURNAL_MAX_RECORD + 1);
    struct journal *j = must_open("");
    ck_assert_int_eq(journal_append(j, big, JOURNAL_MAX_RECORD + 1, NULL, &error), EINVAL);
    ck_assert_int_eq(journal_append(j, big, 0, NULL, &error), EINVAL);
    ck_assert_int_eq(journal_append(j, big, JOURNAL_MAX_RECORD, NULL, NULL), 0);
    journal_close(j);
    struct ds ds = DS_EMPTY_INITIALIZER;
    ck_assert_int_eq(journal_open(path, collect, &ds, &j, NULL, NULL), 0);
    ck_assert_uint_eq(ds.length, JOURNAL_MAX_RECORD + 1);
    ds_destroy(&ds);
    journal_close(j);
    free(big);
}
END_TEST

/* A tail that is torn at any byte: what is whole is kept, the rest is moved aside, and the journal goes on. */
START_TEST(test_torn)
{
    struct ofpbuf buf;
    size_t ends[4], size = three(&buf, ends);
    for (size_t cut = 0; cut <= size; cut++) {
        size_t n = 0;
        while (n < 3 && ends[n + 1] <= cut) {
            n++;
        }
        size_t good = cut < ends[0] ? 0 : ends[n];
        write_file(buf.data, cut);

        struct journal_report report;
        struct ds ds = DS_EMPTY_INITIALIZER;
        struct journal *j;
        ck_assert_int_eq(journal_open(path, collect, &ds, &j, &report, NULL), 0);
        ck_assert_str_eq(ds_cstr(&ds), prefix_of(n));
        ck_assert_uint_eq(report.n_records, n);
        ck_assert_uint_eq(report.lost_bytes, good ? cut - good : 0);
        ck_assert_int_eq(report.saved_as != NULL, report.lost_bytes > 0);
        if (report.saved_as) {
            char saved[256];
            ck_assert_uint_eq(read_file(report.saved_as, saved, sizeof saved), cut - good);
            ck_assert_mem_eq(saved, (char *) buf.data + good, cut - good);
            ck_assert_int_eq(unlink(report.saved_as), 0);
        }
        must_append(j, "more");
        journal_close(j);
        ds_put_cstr(&ds, "more;");
        must_hold(ds_cstr(&ds));
        ds_destroy(&ds);
        free(report.saved_as);
    }
    ofpbuf_uninit(&buf);
}
END_TEST

/* Each single flipped bit: nothing that was not written comes back, and everything before it does. */
START_TEST(test_flipped)
{
    struct ofpbuf buf;
    size_t ends[4], size = three(&buf, ends);
    for (size_t bit = 0; bit < size * 8; bit++) {
        size_t n = 0;
        while (ends[n + 1] <= bit / 8) {
            n++;
        }
        char *data = xmemdup(buf.data, size);
        data[bit / 8] ^= 1 << bit % 8;
        write_file(data, size);

        ERROR_AUTO struct error error = ERROR_INIT;
        struct journal_report report = { .saved_as = NULL };
        struct ds ds = DS_EMPTY_INITIALIZER;
        struct journal *j;
        int status = journal_open(path, collect, &ds, &j, &report, &error);
        ck_assert_str_eq(ds_cstr(&ds), prefix_of(n));
        char after[256];
        if (bit / 8 < JOURNAL_MAGIC_LEN) {
            /* Not ours, or a newer version's: it is left alone. */
            ck_assert_int_eq(status, EPROTO);
            ck_assert(strstr(error_message(&error), path));
            ck_assert_uint_eq(read_file(path, after, sizeof after), size);
            ck_assert_mem_eq(after, data, size);
        } else {
            ck_assert_int_eq(status, 0);
            ck_assert_uint_eq(report.lost_bytes, size - ends[n]);
            ck_assert_uint_eq(read_file(report.saved_as, after, sizeof after), size - ends[n]);
            ck_assert_int_eq(unlink(report.saved_as), 0);
            journal_close(j);
            must_hold(prefix_of(n));
        }
        free(report.saved_as);
        ds_destroy(&ds);
        free(data);
    }
    ofpbuf_uninit(&buf);
}
END_TEST

START_TEST(test_bad_records)
{
    /* A length that is too long, of 0, and a hole of zeros, as a file system may leave after a power loss. */
    static const uint8_t bad[][12] = { { 1, 0, 1, 0 }, { 255, 255, 255, 255, 1, 2, 3, 4 }, { 0 }, { 0, 0, 0, 0, 1 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ofpbuf buf;
        size_t ends[4];
        three(&buf, ends);
        ofpbuf_put(&buf, bad[i], sizeof bad[i]);
        write_file(buf.data, buf.size);
        ofpbuf_uninit(&buf);

        struct journal_report report;
        struct ds ds = DS_EMPTY_INITIALIZER;
        struct journal *j;
        char expected[128];
        ck_assert_int_eq(journal_open(path, collect, &ds, &j, &report, NULL), 0);
        ck_assert_str_eq(ds_cstr(&ds), "one;two;three;");
        ck_assert_uint_eq(report.lost_bytes, sizeof bad[i]);
        snprintf(expected, sizeof expected, "%s.corrupt-%zu", path, i + 1);
        ck_assert_str_eq(report.saved_as, expected);
        journal_close(j);
        free(report.saved_as);
        ds_destroy(&ds);
    }
}
END_TEST

/* When the corrupt rest cannot be saved, nothing is cut off; a torn last record is no loss and does not stop the
 * daemon. */
START_TEST(test_cannot_save)
{
    struct ofpbuf buf;
    size_t ends[4], size = three(&buf, ends);
    for (int n = 1; n <= 99; n++) {
        char name[128];
        snprintf(name, sizeof name, "%s.corrupt-%d", path, n);
        ck_assert(!fclose(fopen(name, "w")));
    }
    ((char *) buf.data)[ends[2] + JOURNAL_HEADER_LEN] ^= 1;
    write_file(buf.data, size);
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal *j;
    struct stat s;
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, NULL, &error), EEXIST);
    ck_assert_msg(strstr(error_message(&error), "corrupt-N"), "%s", error_message(&error));
    ck_assert(!stat(path, &s) && s.st_size == size);

    write_file(buf.data, size - 1);
    struct journal_report report;
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, &report, NULL), 0);
    ck_assert(!report.saved_as && report.lost_bytes == size - 1 - ends[2]);
    journal_close(j);
    ofpbuf_uninit(&buf);
}
END_TEST

START_TEST(test_wrong_magic)
{
    static const char *const bad[] = { "SLUICEJ2........", "{\"json\": 1}", "X", "\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct journal *j;
        char after[32];
        write_file(bad[i], strlen(bad[i]));
        ck_assert_int_eq(journal_open(path, refuse, NULL, &j, NULL, NULL), EPROTO);
        ck_assert_uint_eq(read_file(path, after, sizeof after), strlen(bad[i]));
    }
}
END_TEST

/* A good record that the daemon does not understand must not be thrown away. */
START_TEST(test_refused)
{
    struct journal *j = must_open("");
    must_append(j, "a");
    must_append(j, "c");
    must_append(j, "d");
    journal_close(j);
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, NULL, &error), ENOTSUP);
    ck_assert_msg(strstr(error_message(&error), "record 2 at byte 17: unknown kind"), "%s", error_message(&error));
    must_hold("a;c;d;");
}
END_TEST

START_TEST(test_second_opener)
{
    struct journal *j = must_open(""), *k;
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_int_eq(journal_open(path, refuse, NULL, &k, NULL, &error), EWOULDBLOCK);
    ck_assert_msg(strstr(error_message(&error), "does a daemon run already"), "%s", error_message(&error));
    /* The lock goes with the file when it is rewritten. */
    ck_assert_int_eq(journal_rewrite(j, NULL, 0, NULL), 0);
    ck_assert_int_eq(journal_open(path, refuse, NULL, &k, NULL, &error), EWOULDBLOCK);
    must_append(j, "mine");
    journal_close(j);
    must_hold("mine;");
}
END_TEST

START_TEST(test_not_a_file)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal *j;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, NULL, &error), EINVAL);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, NULL, &error), ELOOP);
    ck_assert_int_eq(journal_open("/nonexistent/journal", refuse, NULL, &j, NULL, &error), ENOENT);
    ck_assert_msg(strstr(error_message(&error), "/nonexistent"), "%s", error_message(&error));
}
END_TEST

/* A file that may not grow: the append fails, a partial write is cut off, and the next one succeeds. */
START_TEST(test_file_limit)
{
    struct journal *j = must_open("");
    must_append(j, "before");
    size_t size = journal_size(j);
    struct rlimit limit, old;
    ck_assert(!getrlimit(RLIMIT_FSIZE, &old));
    for (size_t room = 0; room < JOURNAL_HEADER_LEN + 5; room++) {
        struct stat s;
        limit = old;
        limit.rlim_cur = size + room;
        ck_assert(!setrlimit(RLIMIT_FSIZE, &limit));
        ck_assert_int_eq(journal_append(j, "after", 5, NULL, NULL), EFBIG);
        ck_assert(!stat(path, &s));
        ck_assert_uint_eq(s.st_size, size);
        ck_assert_uint_eq(journal_size(j), size);
    }
    ck_assert(!setrlimit(RLIMIT_FSIZE, &old));
    must_append(j, "after");
    journal_close(j);
    must_hold("before;after;");
}
END_TEST

/* A full disk and a read-only one: needs a mount namespace of its own. */
START_TEST(test_full_disk)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)
        || mount("none", folder, "tmpfs", 0, "size=64k")) {
        fprintf(stderr, "test_full_disk: skipped, no mount namespace: %s\n", strerror(errno));
        return;
    }

    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal *j = must_open("");
    char fill[5000];
    size_t n = 0;
    memset(fill, 'x', sizeof fill);
    while (!journal_append(j, fill, sizeof fill, NULL, &error)) {
        ck_assert_uint_lt(++n, 20);
    }
    ck_assert_int_eq(error.code, ENOSPC);
    ck_assert_msg(strstr(error_message(&error), path) && strstr(error_message(&error), "free space"), "%s",
                  error_message(&error));
    /* Not even a rewrite has room for that much; the old content stays. */
    struct journal_record big[] = { { fill, sizeof fill }, { fill, sizeof fill } };
    ck_assert_int_eq(journal_rewrite(j, big, 2, NULL), ENOSPC);
    journal_close(j);

    struct journal_report report;
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, &report, NULL), 0);
    ck_assert(report.n_records == n && !report.lost_bytes);
    journal_close(j);

    ck_assert_int_eq(mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    ck_assert_int_eq(journal_open(path, refuse, NULL, &j, NULL, &error), EROFS);
    ck_assert_msg(strstr(error_message(&error), "Read-only"), "%s", error_message(&error));
    ck_assert_int_eq(umount2(folder, MNT_DETACH), 0);
}
END_TEST

START_TEST(test_sync_wakes)
{
    struct journal *j = must_open("");
    uint64_t seqno = 0;
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(journal_append(j, "x", 1, &seqno, NULL), 0);
        ck_assert_uint_eq(seqno, i + 1);
    }
    for (uint64_t seen; (seen = journal_synced(j)) < seqno; ) {
        journal_wait(j, seen);
        poll_block();
    }
    ck_assert_uint_eq(journal_synced(j), 100);
    ck_assert_int_eq(journal_sync_error(j), 0);
    journal_close(j);
}
END_TEST

/* The disk fails under fsync(): no further record is taken until a rewrite succeeds. */
START_TEST(test_sync_error)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    setenv("SLUICE_FAULT", "journal-sync:fail:EIO", 1);
    struct journal *j = must_open("");
    must_append(j, "a");
    while (!journal_sync_error(j)) {
        journal_wait(j, 0);
        poll_block();
    }
    ck_assert_uint_eq(journal_synced(j), 0);
    ck_assert_int_eq(journal_append(j, "b", 1, NULL, &error), EIO);
    setenv("SLUICE_FAULT", "", 1);
    ck_assert_int_eq(journal_append(j, "b", 1, NULL, &error), EIO);
    ck_assert_int_eq(journal_rewrite(j, &(struct journal_record) { "a", 1 }, 1, NULL), 0);
    ck_assert_uint_eq(journal_synced(j), 1);
    must_append(j, "c");
    journal_close(j);
    must_hold("a;c;");
}
END_TEST

START_TEST(test_append_fault)
{
    struct journal *j = must_open("");
    setenv("SLUICE_FAULT", "journal-append:fail:ENOSPC", 1);
    ck_assert_int_eq(journal_append(j, "a", 1, NULL, NULL), ENOSPC);
    setenv("SLUICE_FAULT", "", 1);
    must_append(j, "b");
    journal_close(j);
    must_hold("b;");
}
END_TEST

START_TEST(test_rewrite)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal *j = must_open("");
    for (int i = 0; i < 1000; i++) {
        must_append(j, "old");
    }
    size_t before = journal_size(j);
    struct journal_record records[] = { { "new", 3 }, { "state", 5 } };
    static const char *const points[] = { "journal-rewrite", "journal-rewritten" };
    for (size_t i = 0; i < 2; i++) {
        char fault[64], temp[128];
        snprintf(fault, sizeof fault, "%s:fail:EIO", points[i]);
        snprintf(temp, sizeof temp, "%s.new", path);
        setenv("SLUICE_FAULT", fault, 1);
        ck_assert_int_eq(journal_rewrite(j, records, 2, &error), EIO);
        ck_assert_uint_eq(journal_size(j), before);
        ck_assert_int_eq(access(temp, F_OK), -1);
    }
    setenv("SLUICE_FAULT", "", 1);
    ck_assert_int_eq(journal_rewrite(j, records, 2, NULL), 0);
    ck_assert_uint_eq(journal_size(j), 8 + 11 + 13);
    ck_assert_uint_eq(journal_synced(j), 1000);
    must_append(j, "more");
    journal_close(j);
    must_hold("new;state;more;");
}
END_TEST

/* What the victim of test_kill does.  '*done' is how many of its steps have returned. */
static void
victim(volatile int *done)
{
    struct journal_record state = { "two", 3 };
    struct journal *j;
    if (journal_open(path, refuse, NULL, &j, NULL, NULL)) {
        _exit(2);
    }
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    for (int step = 0; step < 3; step++) {
        if (step == 0 ? journal_append(j, "two", 3, NULL, NULL)
            : step == 1 ? journal_rewrite(j, &state, 1, NULL)
            : journal_append(j, "three", 5, NULL, NULL)) {
            _exit(3);
        }
        ++*done;
    }
    _exit(0);
}

/* Runs the victim and kills it at its system call number 'n', counting entry and exit.  False: it ended before. */
static bool
kill_at(int n, volatile int *done)
{
    *done = 0;
    pid_t pid = fork();
    if (!pid) {
        victim(done);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSTOPPED(status));
    for (int i = 0; i < n; i++) {
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            ck_assert_int_eq(WEXITSTATUS(status), 0);
            return false;
        }
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return true;
}

/* kill -9 before and after each system call of append, rewrite, append: what had returned is there, what had not is there
 * whole or not at all. */
START_TEST(test_kill)
{
    static const char *const states[] = { "one;", "one;two;", "two;", "two;three;" };
    volatile int *done = mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool seen[4] = { false };
    int n = 0;
    for (bool killed = true; killed; n++) {
        unlink(path);
        struct journal *j = must_open("");
        must_append(j, "one");
        journal_close(j);
        killed = kill_at(n, done);

        struct ds ds = DS_EMPTY_INITIALIZER;
        struct journal_report report;
        ck_assert_int_eq(journal_open(path, collect, &ds, &j, &report, NULL), 0);
        int state = strcmp(ds_cstr(&ds), states[*done]) ? *done + 1 : *done;
        ck_assert_msg(state < 4 && !strcmp(ds_cstr(&ds), states[state]), "killed at %d, after step %d: %s", n, *done,
                      ds_cstr(&ds));
        seen[state] = true;
        ck_assert_uint_eq(report.lost_bytes, 0);
        journal_close(j);
        ds_destroy(&ds);
        char temp[128];
        snprintf(temp, sizeof temp, "%s.new", path);
        ck_assert_msg(access(temp, F_OK) == -1, "killed at %d: %s is left", n, temp);
    }
    ck_assert(seen[0] && seen[1] && seen[2] && seen[3]);
    ck_assert_int_gt(n, 20);
}
END_TEST

UNIT_MAIN("journal", {
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_format);
    tcase_add_test(tc, test_limits);
    tcase_add_test(tc, test_torn);
    tcase_add_test(tc, test_flipped);
    tcase_add_test(tc, test_bad_records);
    tcase_add_test(tc, test_cannot_save);
    tcase_add_test(tc, test_wrong_magic);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_second_opener);
    tcase_add_test(tc, test_not_a_file);
    tcase_add_test(tc, test_file_limit);
    tcase_add_test(tc, test_full_disk);
    tcase_add_test(tc, test_sync_wakes);
    tcase_add_test(tc, test_sync_error);
    tcase_add_test(tc, test_append_fault);
    tcase_add_test(tc, test_rewrite);
    tcase_add_test(tc, test_kill);
})
