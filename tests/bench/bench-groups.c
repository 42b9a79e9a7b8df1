/* bench-groups: groups and flows of Services through of-state.h and ofctrl.h into a real ovs-vswitchd (dummy datapath).
 *
 *     bench-groups [--json] [--groups N] [--endpoints E] [--changes C]
 *
 * N: Services, 10,000, each with a group of E endpoints (10) and 3 doors.  C: single changes, 200.
 *
 * Tells what the daemon and ovs-vswitchd need of memory, how long the first sync, one change (an endpoint of one Service
 * goes or comes) and the dump after a restart of the daemon last, and that the restart changes nothing. */

#include <config.h>

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "controller/ofctrl.h"
#include "lib/shares.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-sandbox.h"
#include "flows/service-flow.h"
#include "packets.h"
#include "util.h"

#define OWNER "Base/services"
#define NETWORK 1
#define N_DOORS 3
#define MAX_ENDPOINTS 21                /* One shard. */

struct bench {
    struct ovs_sandbox sandbox;
    struct ofctrl *ctrl;
    char *target;
    uint32_t n_groups, n_endpoints, n_changes;
    bool json, not_first;
};

static double
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void
result(struct bench *bench, const char *what, double value, const char *unit)
{
    if (bench->json) {
        printf("%s{\"what\": \"%s\", \"value\": %.3f, \"unit\": \"%s\"}", bench->not_first ? ",\n " : "[", what, value,
               unit);
        bench->not_first = true;
    } else {
        printf("%-55s %10.3f %s\n", what, value, unit);
    }
    fflush(stdout);
}

/* Resident, MB. */
static double
resident(pid_t pid)
{
    char *path = xasprintf("/proc/%d/statm", (int) pid);
    FILE *f = fopen(path, "r");
    long int total, pages = 0;

    if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2) {
        ovs_fatal(0, "cannot read %s", path);
    }
    fclose(f);
    free(path);
    return pages * (double) sysconf(_SC_PAGESIZE) / 1e6;
}

static double
allocated(void)
{
    struct mallinfo2 m = mallinfo2();
    return (m.uordblks + m.hblkhd) / 1e6;
}

static struct of_state_stats
stats_of(const struct bench *bench)
{
    struct of_state_stats stats;

    of_state_get_stats(ofctrl_state(bench->ctrl), &stats);
    return stats;
}

static void
settle(struct bench *bench, uint64_t version)
{
    for (;;) {
        ofctrl_run(bench->ctrl);
        if (of_state_acked(ofctrl_state(bench->ctrl)) >= version && stats_of(bench).synced) {
            return;
        }
        ofctrl_wait(bench->ctrl);
        poll_block();
    }
}

/* Group 'i' with 'n' endpoints. */
static struct group_entry *
make_group(uint32_t i, uint32_t n)
{
    struct flow_endpoint e[2 * MAX_ENDPOINTS];
    struct shares s;

    shares_init(&s, n);
    for (size_t j = 0; j < s.n_shares; j++) {
        ovs_be32 ip = htonl(0x0a000000 + i * MAX_ENDPOINTS + s.shares[j].rank);
        e[j] = (struct flow_endpoint) { in6_addr_mapped_ipv4(ip), 8080, s.shares[j].weight, 0 };
    }
    struct group_entry *group = flow_make_group(1000 + i, e, s.n_shares, NULL);
    shares_destroy(&s);
    return group;
}

static uint64_t
declare(struct bench *bench)
{
    struct of_state *state = ofctrl_state(bench->ctrl);
    uint64_t version = 0;

    for (uint32_t i = 0; i < bench->n_groups; i++) {
        struct flow_set set = FLOW_SET_INIT;

        of_state_put_group(state, OWNER, make_group(i, bench->n_endpoints));
        for (uint32_t j = 0; j < N_DOORS; j++) {
            struct flow_door door = {
                .network = NETWORK, .addr = in6_addr_mapped_ipv4(htonl(0x0a600000 + i)), .protocol = IPPROTO_TCP,
                .port = 80 + j, .action = FLOW_DOOR_GROUP, .number = 1000 + i, .cookie = flow_service_cookie(i),
            };
            flow_add_door(&door, &set);
        }
        for (size_t j = 0; j < set.n_flows; j++) {
            version = of_state_put_flow(state, OWNER, flow_entry_ref(set.flows[j]));
        }
        flow_set_destroy(&set);
    }
    of_state_start(state);
    return version;
}

static int
compare(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;
    return *a < *b ? -1 : *a > *b;
}

static void
changes(struct bench *bench)
{
    double *ms = xcalloc(bench->n_changes, sizeof *ms);
    uint64_t before = stats_of(bench).n_flow_mods;

    for (uint32_t i = 0; i < bench->n_changes; i++) {
        double start = now_ms();
        uint32_t n = bench->n_endpoints - (i % 2 == 0);
        settle(bench, of_state_put_group(ofctrl_state(bench->ctrl), OWNER, make_group(i / 2, n)));
        ms[i] = now_ms() - start;
    }
    qsort(ms, bench->n_changes, sizeof *ms, compare);
    result(bench, "one endpoint changed, until acknowledged, median", ms[bench->n_changes / 2], "ms");
    result(bench, "one endpoint changed, until acknowledged, p99", ms[bench->n_changes * 99 / 100], "ms");
    result(bench, "messages for each", (stats_of(bench).n_flow_mods - before) / (double) bench->n_changes, "");
    free(ms);
}

static void
run(struct bench *bench)
{
    double switch_before = resident(bench->sandbox.ovs_vswitchd), before = allocated(), start = now_ms();

    uint64_t version = declare(bench);
    result(bench, "declaring all", now_ms() - start, "ms");
    result(bench, "daemon: memory when declared", allocated() - before, "MB");
    start = now_ms();
    settle(bench, version);
    result(bench, "first sync", now_ms() - start, "ms");
    result(bench, "daemon: memory when installed", allocated() - before, "MB");
    result(bench, "ovs-vswitchd: memory", resident(bench->sandbox.ovs_vswitchd) - switch_before, "MB");
    changes(bench);

    ofctrl_destroy(bench->ctrl);
    bench->ctrl = ofctrl_create(bench->target);
    version = declare(bench);
    start = now_ms();
    settle(bench, version);
    result(bench, "restart of the daemon: dump and comparison", now_ms() - start, "ms");
    result(bench, "restart of the daemon: modifications", stats_of(bench).n_flow_mods, "");
    if (stats_of(bench).n_quarantined) {
        ovs_fatal(0, "the switch refused something");
    }
}

int
main(int argc, char *argv[])
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' }, { "groups", required_argument, NULL, 'g' },
        { "endpoints", required_argument, NULL, 'e' }, { "changes", required_argument, NULL, 'c' }, { NULL, 0, NULL, 0 },
    };
    struct bench bench = { .n_groups = 10000, .n_endpoints = 10, .n_changes = 200 };

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint32_t n = optarg ? strtoul(optarg, NULL, 10) : 1;
        if (c == 'j') {
            bench.json = true;
        } else if (c == 'g' && n >= 1) {
            bench.n_groups = n;
        } else if (c == 'e' && n >= 2 && n <= MAX_ENDPOINTS) {
            bench.n_endpoints = n;
        } else if (c == 'c' && n >= 1) {
            bench.n_changes = n;
        } else {
            ovs_fatal(0, "usage: %s [--json] [--groups N] [--endpoints 2..%d] [--changes C]", argv[0], MAX_ENDPOINTS);
        }
    }
    bench.n_changes = MIN(bench.n_changes, 2 * bench.n_groups);
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    if (!ovs_sandbox_possible()) {
        return 77;
    }
    ovs_sandbox_create(&bench.sandbox);
    ovs_sandbox_start_ovsdb(&bench.sandbox);
    ovs_sandbox_start_vswitchd(&bench.sandbox);
    free(ovs_sandbox_vsctl(&bench.sandbox, "add-br br-int -- set bridge br-int datapath_type=dummy fail_mode=secure"));
    bench.target = xasprintf("unix:%s/br-int.mgmt", bench.sandbox.dir);
    bench.ctrl = ofctrl_create(bench.target);
    run(&bench);
    if (bench.json) {
        puts("]");
    }
    ofctrl_destroy(bench.ctrl);
    ovs_sandbox_destroy(&bench.sandbox);
    free(bench.target);
    return 0;
}
