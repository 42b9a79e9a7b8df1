/* What the service core costs: the first run over everything, memory, and what one changed endpoint makes of it.
 *
 *     tests/bench/bench-service-core [SERVICES [ENDPOINTS-OF-EACH]]
 *
 * Memory is what the core has allocated, with its flows and groups (which of-state shares), and without the objects. */

#include <config.h>

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "controller/services.h"
#include "intern.h"
#include "openvswitch/hmap.h"
#include "util.h"

struct bench {
    struct services *core;
    struct kube_service *services;
    struct kube_endpointslice *slices;
    struct kube_service_port port;
    struct kube_slice_port slice_port;
    const char **names;
    size_t n, n_endpoints;
};

static double
busy_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

static size_t
memory(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static struct in6_addr
addr(uint32_t net, uint32_t index)
{
    struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

    a.s6_addr32[3] = htonl(net + index);
    return a;
}

static const struct labels *
service_label(const char *name)
{
    const char *pair[] = { intern_string(KUBE_LABEL_SERVICE_NAME), intern_string(name) };

    return (const struct labels *) intern_tuple(pair, 2);
}

static void
make_objects(struct bench *b, size_t n, size_t n_endpoints)
{
    *b = (struct bench) { .n = n, .n_endpoints = n_endpoints };
    b->services = xcalloc(n, sizeof *b->services);
    b->slices = xcalloc(n, sizeof *b->slices);
    b->port = (struct kube_service_port) { "http", IPPROTO_TCP, 80, 0 };
    b->slice_port = (struct kube_slice_port) { "http", IPPROTO_TCP, 8080 };
    for (size_t i = 0; i < n; i++) {
        struct kube_service *s = &b->services[i];
        struct kube_endpointslice *slice = &b->slices[i];

        s->object = (struct kube_object) {
            .kind = KUBE_SERVICE, .namespace_ = "bench", .name = xasprintf("service-%"PRIuSIZE, i),
        };
        s->ports = &b->port;
        s->n_ports = 1;
        s->cluster_ips = xmalloc(sizeof *s->cluster_ips);
        s->cluster_ips[0] = addr(0x0a600000, i + 1);
        s->n_cluster_ips = 1;
        slice->object = (struct kube_object) {
            .kind = KUBE_ENDPOINTSLICE, .namespace_ = "bench", .name = s->object.name,
            .labels = service_label(s->object.name),
        };
        slice->ports = &b->slice_port;
        slice->n_ports = 1;
        slice->endpoints = xcalloc(n_endpoints, sizeof *slice->endpoints);
        slice->n_endpoints = n_endpoints;
        for (size_t j = 0; j < n_endpoints; j++) {
            slice->endpoints[j] = (struct kube_endpoint) {
                .addr = addr(0x0b000000, i * n_endpoints + j), .ready = true, .serving = true, .node = "node-2",
            };
        }
    }
}

struct effects {
    size_t flows, groups, others;
};

static struct effects
pop_all(struct services *core)
{
    struct effects n = { 0, 0, 0 };
    struct service_effect e;

    while (services_pop(core, &e)) {
        n.flows += e.type == SERVICE_PUT_FLOW || e.type == SERVICE_DROP_FLOW;
        n.groups += e.type == SERVICE_PUT_GROUP || e.type == SERVICE_DROP_GROUP;
        n.others += e.type > SERVICE_DROP_GROUP;
        flow_entry_unref(e.flow);
        group_entry_unref(e.group);
    }
    return n;
}

static void
load(struct bench *b)
{
    size_t before = memory();
    double start = busy_ms();

    b->core = services_create("node-1");
    for (size_t i = 0; i < b->n; i++) {
        services_service(b->core, NULL, &b->services[i]);
        services_slice(b->core, NULL, &b->slices[i]);
    }
    double told = busy_ms();
    services_run(b->core);
    double ran = busy_ms();
    struct effects n = pop_all(b->core);
    malloc_trim(0);
    size_t used = memory() - before;
    printf("%8"PRIuSIZE" %8"PRIuSIZE" | %7.1f %7.1f %7.1f ms | %6.1f MB, %5.0f B a Service, %4.0f B an endpoint | %"PRIuSIZE
           " flows, %"PRIuSIZE" groups\n", b->n, b->n * b->n_endpoints, told - start, ran - told, busy_ms() - ran, used / 1e6,
           (double) used / b->n, (double) used / (b->n * b->n_endpoints), n.flows, n.groups);
}

static int
compare_doubles(const void *a_, const void *b_)
{
    double a = *(const double *) a_, b = *(const double *) b_;
    return a < b ? -1 : a > b;
}

/* One endpoint becomes unready, and ready again. */
static void
change(struct bench *b)
{
    enum { N = 2000 };
    static double times[N];
    struct effects n = { 0, 0, 0 };

    for (size_t i = 0; i < N; i++) {
        struct kube_endpointslice *slice = &b->slices[i * 7919 % b->n];
        struct kube_endpointslice old = *slice;
        double start = busy_ms();

        services_slice(b->core, &old, NULL);
        slice->endpoints[0].ready = slice->endpoints[0].serving = !slice->endpoints[0].ready;
        services_slice(b->core, NULL, slice);
        services_run(b->core);
        n = pop_all(b->core);
        times[i] = busy_ms() - start;
    }
    qsort(times, N, sizeof *times, compare_doubles);
    printf("%8s %8s | one endpoint changes: p50 %.1f us, p99 %.1f us, %"PRIuSIZE" flows, %"PRIuSIZE" groups\n", "", "",
           times[N / 2] * 1e3, times[N * 99 / 100] * 1e3, n.flows, n.groups);
}

static void
bench_shape(size_t n, size_t n_endpoints)
{
    struct bench b;

    make_objects(&b, n, n_endpoints);
    load(&b);
    change(&b);
    services_destroy(b.core);
}

int
main(int argc, char *argv[])
{
    printf("%8s %8s | events, run, effects\n", "Services", "places");
    if (argc > 1) {
        bench_shape(atoi(argv[1]), argc > 2 ? atoi(argv[2]) : 10);
        return 0;
    }
    bench_shape(100, 10);
    bench_shape(1000, 10);
    bench_shape(10000, 10);
    bench_shape(10, 1000);
    bench_shape(2, 5000);
    return 0;
}
