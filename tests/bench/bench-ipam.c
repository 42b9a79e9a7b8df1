/* bench-ipam: what an allocation costs at any occupancy, bursts and churn with quarantine, and what the journal costs.
 *
 *     bench-ipam [--dir DIR]       DIR: where the journal is written (default: the current folder's file system)
 *
 * The first part compares only figures of the same run.  The churn runs on a virtual clock. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controller/ipam.h"
#include "lib/journal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "util.h"

#define N_PAIRS 20000
#define N_ROUNDS 70
#define N_RECORDS 2000

static int64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Time that this thread was running: other work on the machine does not count. */
static int64_t
busy_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint32_t
next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static struct ipam *
create(const char *pool, long long int quarantine_ms)
{
    struct error error = ERROR_INIT;
    struct inet_prefix p;
    struct ipam *ipam = ipam_create(&(struct ipam_config) { quarantine_ms, NULL, 0 });
    if (inet_prefix_parse(pool, &p, &error) || ipam_set_pools(ipam, &p, 1, &error)) {
        ovs_fatal(0, "%s", error_message(&error));
    }
    return ipam;
}

static struct ipam_address
take(struct ipam *ipam, long long int now)
{
    struct error error = ERROR_INIT;
    struct ipam_lease lease;
    if (ipam_allocate(ipam, NULL, 0, now, &lease, &error)) {
        ovs_fatal(0, "%s", error_message(&error));
    }
    return lease.addrs[0];
}

static void
give_back(struct ipam *ipam, const struct ipam_address *a, long long int now)
{
    if (!ipam_release(ipam, a, now) || !ipam_acknowledge(ipam, a)) {
        ovs_fatal(0, "an address could not be released");
    }
}

/* One pool with a part of its addresses in use. */
struct load {
    struct ipam *ipam;
    struct ipam_address *held;
    size_t n;
    long long int now;
    uint64_t random;
    double best;                        /* Nanoseconds. */
};

static void
load_create(struct load *load, const char *pool, int percent)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    *load = (struct load) { .ipam = create(pool, 60000), .random = 1, .best = INFINITY };
    ipam_get_stats(load->ipam, stats);
    load->n = MAX(1, stats[0].free * percent / 100);
    load->held = xmalloc(load->n * sizeof *load->held);
    for (size_t i = 0; i < load->n; i++) {
        load->held[i] = take(load->ipam, 0);
    }
}

/* Nanoseconds for one allocation, release of another one, and acknowledgement, with each of the released ones in
 * quarantine for four pairs.  What is released is the one that was allocated last, so that the processor's caches
 * always hold it and only the number of steps counts, or one chosen at random. */
static void
load_run(struct load *load, bool at_random)
{
    int64_t start = busy_ns();
    for (int i = 0; i < N_PAIRS; i++) {
        size_t k = at_random ? next_random(&load->random) % load->n : 0;
        struct ipam_address a = take(load->ipam, load->now);
        give_back(load->ipam, &load->held[k], load->now);
        load->held[k] = a;
        load->now += 15000;
    }
    load->best = MIN(load->best, (double) (busy_ns() - start) / N_PAIRS);
}

/* The rounds of all loads alternate, so that other work on the machine meets all of them. */
static void
bench_occupancy(bool at_random)
{
    static const char *const pools[] = { "10.244.1.0/24", "10.244.0.0/16", "fd00:10:244:1::/64" };
    static const int percents[] = { 0, 50, 95 };
    struct load loads[3][3];

    for (size_t i = 0; i < 9; i++) {
        load_create(&loads[i / 3][i % 3], pools[i / 3], percents[i % 3]);
    }
    for (size_t i = 0; i < 9 * N_ROUNDS; i++) {
        load_run(&loads[i / 3 % 3][i % 3], at_random);
    }

    printf("Allocate, release %s, acknowledge; quarantine on; best of %d alternating rounds of %d\n\n",
           at_random ? "another one chosen at random (with the cache misses of that)" : "the last one", N_ROUNDS,
           N_PAIRS);
    printf("%-20s %10s %10s %10s   %s\n", "pool", "0 %", "50 %", "95 %", "most / least");
    for (size_t i = 0; i < 3; i++) {
        double least = INFINITY, most = 0;
        printf("%-20s", pools[i]);
        for (size_t k = 0; k < 3; k++) {
            struct load *load = &loads[i][k];
            printf(" %7.0f ns", load->best);
            least = MIN(least, load->best);
            most = MAX(most, load->best);
            free(load->held);
            ipam_destroy(load->ipam);
        }
        printf("   %.2f\n", most / least);
    }
}

static void
bench_burst(const char *pool)
{
    struct ipam *ipam = create(pool, 60000);
    int64_t start = busy_ns();
    for (int i = 0; i < 1000; i++) {
        take(ipam, 0);
    }
    printf("%-20s 1000 allocations in %.0f us\n", pool, (busy_ns() - start) / 1e3);
    ipam_destroy(ipam);
}

/* 33 creations a second for ten minutes, each lives for five, the dataplane acknowledges after 50 ms; quarantine 60 s.
 * */
static void
bench_churn(const char *pool)
{
    enum { N = 33 * 600, LIFE = 300000, ACK = 50, END = 600000 };
    struct ipam *ipam = create(pool, 60000);
    struct ipam_stats s[IPAM_MAX_ADDRS];
    struct ipam_address *held = xcalloc(N, sizeof *held);
    long long int *born = xcalloc(N, sizeof *born);
    size_t n = 0, released = 0, acknowledged = 0, failed = 0;
    uint64_t used = 0, quarantined = 0;
    int64_t start = now_ns();

    for (int i = 0; i < N; i++) {
        long long int now = i * 1000LL / 33;
        for (; released < n && born[released] + LIFE <= now; released++) {
            ipam_release(ipam, &held[released], born[released] + LIFE);
        }
        for (; acknowledged < released && born[acknowledged] + LIFE + ACK <= now; acknowledged++) {
            ipam_acknowledge(ipam, &held[acknowledged]);
        }
        struct ipam_lease lease;
        if (ipam_allocate(ipam, NULL, 0, now, &lease, NULL)) {
            failed++;
        } else {
            held[n] = lease.addrs[0];
            born[n++] = now;
        }
        ipam_get_stats(ipam, s);
        used = MAX(used, s[0].used);
        quarantined = MAX(quarantined, s[0].quarantined);
    }
    printf("%-20s %6zu %8zu %8"PRIu64" %12"PRIu64" %12"PRIu64" %10.0f ms\n", pool, n, failed, used, quarantined,
           s[0].taken_early, (now_ns() - start) / 1e6);
    free(held);
    free(born);
    ipam_destroy(ipam);
}

static int
ignore_record(const void *payload OVS_UNUSED, size_t size OVS_UNUSED, void *aux OVS_UNUSED, struct error *e OVS_UNUSED)
{
    return 0;
}

static void
wait_synced(struct journal *j, uint64_t seqno)
{
    for (uint64_t seen; (seen = journal_synced(j)) < seqno; ) {
        journal_wait(j, seen);
        poll_block();
    }
}

/* Records a second, when 'at_once' of them wait for the disk together; 0: appended only. */
static double
journal_rate(const char *path, int at_once)
{
    struct error error = ERROR_INIT;
    struct journal *j;
    char record[200];
    uint64_t seqno = 0;

    memset(record, 'x', sizeof record);
    unlink(path);
    if (journal_open(path, ignore_record, NULL, &j, NULL, &error)) {
        ovs_fatal(0, "%s", error_message(&error));
    }
    int64_t start = now_ns();
    for (int i = 1; i <= N_RECORDS; i++) {
        if (journal_append(j, record, sizeof record, &seqno, &error)) {
            ovs_fatal(0, "%s", error_message(&error));
        }
        if (at_once && i % at_once == 0) {
            wait_synced(j, seqno);
        }
    }
    int64_t end = now_ns();
    journal_close(j);
    return N_RECORDS * 1e9 / (end - start);
}

static double
raw_rate(const char *path)
{
    char record[208];
    memset(record, 'x', sizeof record);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int64_t start = now_ns();
    for (int i = 0; i < N_RECORDS; i++) {
        if (write(fd, record, sizeof record) != sizeof record || fdatasync(fd)) {
            ovs_fatal(errno, "%s", path);
        }
    }
    int64_t end = now_ns();
    close(fd);
    return N_RECORDS * 1e9 / (end - start);
}

static void
bench_journal(const char *dir)
{
    enum { N_AT_ONCE = 5 };
    static const int at_once[N_AT_ONCE] = { 0, 1, 8, 32, 128 };
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);        /* A slow disk makes long poll intervals. */
    char *folder = xasprintf("%s/bench-ipam-XXXXXX", dir);
    if (!mkdtemp(folder)) {
        ovs_fatal(errno, "%s", folder);
    }
    char *path = xasprintf("%s/journal", folder);
    printf("\nJournal in %s: %d records of 200 bytes, best of 3 alternating rounds\n\n", dir, N_RECORDS);
    double raw = 0, rates[N_AT_ONCE] = { 0 };
    for (int round = 0; round < 3; round++) {
        raw = MAX(raw, raw_rate(path));
        for (size_t i = 0; i < N_AT_ONCE; i++) {
            rates[i] = MAX(rates[i], journal_rate(path, at_once[i]));
        }
    }
    printf("%-44s %9.0f records/s\n", "write() and fdatasync() for each", raw);
    for (size_t i = 1; i < N_AT_ONCE; i++) {
        printf("journal, %3d waiting for the disk together    %9.0f records/s\n", at_once[i], rates[i]);
    }
    printf("%-44s %9.0f records/s\n", "journal, appended (survives kill -9)", rates[0]);
    unlink(path);
    rmdir(folder);
    free(path);
    free(folder);
}

int
main(int argc, char *argv[])
{
    const char *dir = argc == 3 && !strcmp(argv[1], "--dir") ? argv[2] : ".";
    if (argc != 1 && dir != argv[2]) {
        ovs_fatal(0, "usage: bench-ipam [--dir DIR]");
    }

    bench_occupancy(false);
    printf("\n");
    bench_occupancy(true);
    printf("\nBurst\n\n");
    bench_burst("10.244.0.0/16");
    bench_burst("fd00:10:244:1::/64");
    printf("\n33 creations a second for ten minutes, lifetime 300 s, quarantine 60 s (virtual time)\n\n");
    printf("%-20s %6s %8s %8s %12s %12s %13s\n", "pool", "given", "refused", "in use", "quarantined", "taken early",
           "real time");
    bench_churn("10.244.0.0/16");
    bench_churn("10.244.0.0/18");
    bench_churn("10.244.0.0/19");
    bench_churn("fd00:10:244:1::/64");
    bench_journal(dir);
    return 0;
}
