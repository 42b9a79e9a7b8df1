/* bench-ovsdb: from ovsdb_port_set() until ovs-vswitchd reports the port, with a real ovsdb-server and ovs-vswitchd
 * (userspace datapath) in a network namespace of its own, on real veth devices.
 *
 *     bench-ovsdb [--json] [--ports N] [--routes R]
 *
 * N: ports per series, 100.  R: routes by the gateway port, as a node has for its peers, 0.
 *
 * Series: one after the other on an empty bridge, 32 at once, one after the other beside 224 others, and removal.
 * Needs root. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "controller/ovsdb.h"
#include "flow.h"
#include "lib/rtnl.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-sandbox.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

#define AT_ONCE 32
#define MAX_PORTS 1000
#define TIMEOUT_MS 30000

struct bench {
    struct ovs_sandbox sandbox;
    struct ovsdb *ovsdb;
    struct rtnl *rtnl;
    int n_links, n_routes;
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
check(int error, const struct error *story)
{
    if (error) {
        ovs_fatal(0, "%s", error_message(story));
    }
}

static const char *
port_name(int i, char name[16])
{
    snprintf(name, 16, "slp%012x", i);
    return name;
}

/* 'n' more host ends; returns the number of the first. */
static int
make_links(struct bench *bench, int n)
{
    int first = bench->n_links, self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (int i = first; i < first + n; i++) {
        struct error error = ERROR_INIT;
        char name[16], peer[16];
        snprintf(peer, sizeof peer, "p%d", i);
        const struct rtnl_veth veth = {
            .name = port_name(i, name), .peer_name = peer, .peer_netns_fd = self, .mtu = 1400,
            .peer_mac = ETH_ADDR_C(0a,58,00,00,00,01),
        };
        check(rtnl_veth_create(bench->rtnl, &veth, &error), &error);
    }
    close(self);
    bench->n_links += n;
    return first;
}

static void
declare(struct bench *bench, int i)
{
    char name[16];
    const struct ovsdb_port port = {
        .name = port_name(i, name), .ofport = u16_to_ofp(OFPORT_FIRST_POD + i),
        .container_id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", .ifname = "eth0",
        .network = "sluice", .pod_namespace = "default", .pod_name = "web-5d8f9c7b4-x2x4z",
        .pod_uid = "6f8e6b1e-58f0-4b6a-9e43-0d7b9f1e2c3d", .addresses = "10.244.1.17 fd00:10:244:1::17",
    };
    ovsdb_port_set(bench->ovsdb, &port);
}

/* Runs until the ports [first, first + n) are in 'state'; times[i] is when port first + i was seen so. */
static void
wait_for(struct bench *bench, int first, int n, enum ovsdb_port_state state, double times[])
{
    long long int end = time_msec() + TIMEOUT_MS;
    int left = n;

    memset(times, 0, n * sizeof *times);
    while (left) {
        ovsdb_run(bench->ovsdb);
        for (int i = 0; i < n; i++) {
            char name[16];
            if (!times[i] && ovsdb_port_get_state(bench->ovsdb, port_name(first + i, name)) == state) {
                times[i] = now_ms();
                left--;
            }
        }
        if (time_msec() > end) {
            const char *problem = ovsdb_problem(bench->ovsdb);
            ovs_fatal(0, "timeout: %s", problem ? problem : "no problem");
        }
        if (left) {
            ovsdb_wait(bench->ovsdb);
            poll_timer_wait_until(end + 1);
            poll_block();
        }
    }
}

/* Processor time of a process so far, ms. */
static double
cpu_ms(pid_t pid)
{
    char *path = xasprintf("/proc/%d/stat", (int) pid);
    unsigned long int user = 0, system = 0;
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
        ovs_fatal(errno, "cannot read %s", path);
    }
    fclose(file);
    free(path);
    return (user + system) * 1e3 / sysconf(_SC_CLK_TCK);
}

/* The three processes that a port costs. */
struct cpu {
    double self, vswitchd, ovsdb;
};

static struct cpu
cpu_now(const struct bench *bench)
{
    return (struct cpu) {
        cpu_ms(getpid()), cpu_ms(bench->sandbox.ovs_vswitchd), cpu_ms(bench->sandbox.ovsdb_server)
    };
}

static int
compare(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;
    return *a < *b ? -1 : *a > *b;
}

static void
report(struct bench *bench, const char *series, double ms[], int n, double per_second, const struct cpu *before)
{
    struct cpu now = cpu_now(bench);
    double self = (now.self - before->self) / n, vswitchd = (now.vswitchd - before->vswitchd) / n;
    double ovsdb = (now.ovsdb - before->ovsdb) / n;

    qsort(ms, n, sizeof *ms, compare);
    double p50 = ms[n / 2], p99 = ms[(n - 1) * 99 / 100];
    if (bench->json) {
        printf("%s{\"series\": \"%s\", \"n\": %d, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"ports_per_second\": %.0f, "
               "\"cpu_ms\": {\"self\": %.2f, \"ovs_vswitchd\": %.2f, \"ovsdb_server\": %.2f}}",
               bench->not_first ? ",\n " : "[", series, n, p50, p99, per_second, self, vswitchd, ovsdb);
        bench->not_first = true;
    } else {
        printf("%-36s n=%-4d p50 %6.2f ms  p99 %6.2f ms  %5.0f ports/s; CPU a port: here %.2f, ovs-vswitchd %.2f, "
               "ovsdb-server %.2f ms\n", series, n, p50, p99, per_second, self, vswitchd, ovsdb);
    }
    fflush(stdout);
}

static void
in_turn(struct bench *bench, const char *series, int n)
{
    int first = make_links(bench, n);
    double *ms = xmalloc(n * sizeof *ms), begin = now_ms();
    struct cpu before = cpu_now(bench);

    for (int i = 0; i < n; i++) {
        double start = now_ms(), end;
        declare(bench, first + i);
        wait_for(bench, first + i, 1, OVSDB_PORT_UP, &end);
        ms[i] = end - start;
    }
    report(bench, series, ms, n, n / (now_ms() - begin) * 1e3, &before);
    free(ms);
}

static void
at_once(struct bench *bench, const char *series, int rounds)
{
    double *ms = xmalloc(rounds * AT_ONCE * sizeof *ms), total = 0;
    int all = make_links(bench, rounds * AT_ONCE);
    struct cpu before = cpu_now(bench);
    for (int r = 0; r < rounds; r++) {
        int first = all + r * AT_ONCE;
        double times[AT_ONCE], start = now_ms();
        for (int i = 0; i < AT_ONCE; i++) {
            declare(bench, first + i);
        }
        wait_for(bench, first, AT_ONCE, OVSDB_PORT_UP, times);
        total += now_ms() - start;
        for (int i = 0; i < AT_ONCE; i++) {
            ms[r * AT_ONCE + i] = times[i] - start;
        }
    }
    report(bench, series, ms, rounds * AT_ONCE, rounds * AT_ONCE / total * 1e3, &before);
    free(ms);
}

static void
removal(struct bench *bench, int n)
{
    double *ms = xmalloc(n * sizeof *ms), begin = now_ms();
    struct cpu before = cpu_now(bench);
    for (int i = 0; i < n; i++) {
        char name[16];
        double start = now_ms(), end;
        ovsdb_port_remove(bench->ovsdb, port_name(i, name));
        wait_for(bench, i, 1, OVSDB_PORT_GONE, &end);
        ms[i] = end - start;
    }
    report(bench, "removal from the database, in turn", ms, n, n / (now_ms() - begin) * 1e3, &before);
    free(ms);
}

static void
set_up(struct bench *bench)
{
    struct error error = ERROR_INIT;
    const struct ovsdb_base base = {
        .bridge = "br-int", .datapath = DATAPATH_USERSPACE, .gateway = "sluice0", .gateway_mtu = 1400,
        .gateway_mac = ETH_ADDR_C(0a,58,00,00,00,02), .tunnel = ENCAP_GENEVE, .tunnel_name = "sluice-tun",
    };

    if (unshare(CLONE_NEWNET)) {
        ovs_fatal(errno, "cannot make a network namespace (root?)");
    }
    check(rtnl_open(-1, &bench->rtnl, &error), &error);
    ovs_sandbox_create(&bench->sandbox);
    ovs_sandbox_start_ovsdb(&bench->sandbox);
    ovs_sandbox_start_vswitchd_real(&bench->sandbox);
    bench->ovsdb = ovsdb_create(bench->sandbox.remote);
    ovsdb_set_base(bench->ovsdb, &base);
    ovsdb_start(bench->ovsdb);
    for (long long int end = time_msec() + TIMEOUT_MS;;) {
        ovsdb_run(bench->ovsdb);
        if (ovsdb_base_ready(bench->ovsdb)) {
            return;
        } else if (time_msec() > end) {
            const char *problem = ovsdb_problem(bench->ovsdb);
            ovs_fatal(0, "br-int does not come up: %s", problem ? problem : "no problem");
        }
        ovsdb_wait(bench->ovsdb);
        poll_timer_wait_until(end + 1);
        poll_block();
    }
}

static void
add_routes(struct bench *bench)
{
    struct error error = ERROR_INIT;
    struct rtnl_link gateway;
    struct rtnl_addr addr = { .scope = 0 };

    check(rtnl_link_get(bench->rtnl, "sluice0", &gateway, &error), &error);
    check(rtnl_link_set(bench->rtnl, "sluice0", &(struct rtnl_link_change) { .up = true }, &error), &error);
    addr.ifindex = gateway.ifindex;
    check(inet_prefix_parse("10.0.0.1/32", &addr.prefix, &error), &error);
    check(rtnl_addr_replace(bench->rtnl, &addr, &error), &error);
    for (int i = 0; i < bench->n_routes; i++) {
        struct inet_prefix dst;
        struct rtnl_route route;
        char *text = xasprintf("10.%d.%d.0/24", 1 + i / 256, i % 256);
        check(inet_prefix_parse(text, &dst, &error), &error);
        free(text);
        rtnl_route_init(&route, &dst, gateway.ifindex);
        route.scope = RT_SCOPE_LINK;
        route.has_src = true;
        route.src = addr.prefix.addr;
        check(rtnl_route_replace(bench->rtnl, &route, &error), &error);
    }
}

int
main(int argc, char *argv[])
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' }, { "ports", required_argument, NULL, 'n' },
        { "routes", required_argument, NULL, 'r' }, { NULL, 0, NULL, 0 },
    };
    struct bench bench = { .n_links = 0 };
    int n = 100;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'j') {
            bench.json = true;
        } else if (c == 'r' && (bench.n_routes = atoi(optarg)) >= 0 && bench.n_routes <= 10000) {
            continue;
        } else if (c != 'n' || (n = atoi(optarg)) < 1 || n > MAX_PORTS) {
            ovs_fatal(0, "usage: %s [--json] [--ports 1..%d] [--routes 0..10000]", argv[0], MAX_PORTS);
        }
    }
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    if (geteuid() || !ovs_sandbox_possible()) {
        printf("skipped: needs root and Open vSwitch\n");
        return 77;
    }
    set_up(&bench);
    add_routes(&bench);
    in_turn(&bench, "in turn, empty bridge", n);
    removal(&bench, n);
    at_once(&bench, "32 at once, up to 128 on the bridge", 4);
    at_once(&bench, "32 at once, up to 224 on the bridge", 3);
    in_turn(&bench, "in turn, beside 224 others", n);
    if (bench.json) {
        puts("]");
    }
    ovsdb_destroy(bench.ovsdb);
    rtnl_close(bench.rtnl);
    ovs_sandbox_destroy(&bench.sandbox);
    return 0;
}
