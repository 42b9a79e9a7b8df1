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
#include "util.h"

#define N_PAIRS 200000
#define N_ROUNDS 7
#define N_RECORDS 2000

static int64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
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

/* Nanoseconds for one allocation, release of another one, and acknowledgement, with 'percent' of the addresses in use
 * and each of the released ones in quarantine for four pairs.  What is released is the one that was allocated last, so
 * that the processor's caches always hold it and only the number of steps counts, or one chosen at random. */
static double
pair_cost(const char *pool, int percent, bool at_random)
{
    struct ipam *ipam = create(pool, 60000);
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    uint64_t random = 1;
    long long int now = 0;
    double best = INFINITY;

    ipam_get_stats(ipam, stats);
    size_t n = MAX(1, stats[0].free * percent / 100);
    struct ipam_address *held = xmalloc(n * sizeof *held);
    for (size_t i = 0; i < n; i++) {
        held[i] = take(ipam, now);
    }
    for (int round = 0; round < N_ROUNDS; round++) {
        int64_t start = now_ns();
        for (int i = 0; i < N_PAIRS; i++) {
            size_t k = at_random ? next_random(&random) % n : 0;
            struct ipam_address a = take(ipam, now);
            give_back(ipam, &held[k], now);
            held[k] = a;
            now += 15000;
        }
        best = MIN(best, (double) (now_ns() - start) / N_PAIRS);
    }
    free(held);
    ipam_destroy(ipam);
    return best;
}

static void
bench_occupancy(bool at_random)
{
    static const char *const pools[] = { "10.244.1.0/24", "10.244.0.0/16", "fd00:10:244:1::/64" };
    static const int percents[] = { 0, 50, 95 };

    printf("Allocate, release %s, acknowledge; quarantine on; best of %d rounds of %d\n\n",
           at_random ? "another one chosen at random (with the cache misses of that)" : "the last one", N_ROUNDS,
           N_PAIRS);
    printf("%-20s %10s %10s %10s   %s\n", "pool", "0 %", "50 %", "95 %", "most / least");
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        double least = INFINITY, most = 0;
        printf("%-20s", pools[i]);
        for (size_t k = 0; k < 3; k++) {
            double cost = pair_cost(pools[i], percents[k], at_random);
            printf(" %7.0f ns", cost);
            least = MIN(least, cost);
            most = MAX(most, cost);
        }
        printf("   %.2f\n", most / least);
    }
}

static void
bench_burst(const char *pool)
{
    struct ipam *ipam = create(pool, 60000);
    int64_t worst = 0, start = now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t before = now_ns();
        take(ipam, 0);
        worst = MAX(worst, now_ns() - before);
    }
    printf("%-20s 1000 allocations in %.0f us, the slowest %.1f us\n", pool, (now_ns() - start) / 1e3, worst / 1e3);
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
    static const int at_once[] = { 1, 8, 32, 128 };
    char *folder = xasprintf("%s/bench-ipam-XXXXXX", dir);
    if (!mkdtemp(folder)) {
        ovs_fatal(errno, "%s", folder);
    }
    char *path = xasprintf("%s/journal", folder);
    printf("\nJournal in %s: %d records of 200 bytes\n\n", dir, N_RECORDS);
    printf("%-44s %9.0f records/s\n", "write() and fdatasync() for each", raw_rate(path));
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) {
        printf("journal, %3d waiting for the disk together    %9.0f records/s\n", at_once[i],
               journal_rate(path, at_once[i]));
    }
    printf("%-44s %9.0f records/s\n", "journal, appended (survives kill -9)", journal_rate(path, 0));
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
