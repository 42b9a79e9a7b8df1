#include <config.h>

#include "utilities/sluicectl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "compile.h"
#include "controller/ipam.h"
#include "controller/mtu.h"
#include "controller/node-input.h"
#include "controller/source-dir.h"
#include "controller/store.h"
#include "flow-set.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "pipeline.h"
#include "timeval.h"
#include "util.h"

#define ASSUMED_PLEN4 24
#define ASSUMED_PLEN6 64

/* Everything that compile() reads, and what it points to. */
struct job {
    const struct compile_options *options;
    struct store *store;
    const struct kube_node *self;       /* NULL: there is no Node object. */
    struct inet_prefix cidrs[KUBE_MAX_CIDRS];
    struct in6_addr gateways[KUBE_MAX_CIDRS];
    struct inet_prefix prefixes[KUBE_MAX_ADDRS];        /* Assumed ones of the uplink. */
    struct node_underlay underlay;
    bool tunnels_v6;                    /* A peer is reached through an IPv6 tunnel. */
    struct flow_input input;
    struct flow_pod *pods;
    size_t allocated_pods;
    struct flow_peer *peers;
    size_t allocated_peers;
};

static int gather(struct job *, struct error *);
static void print_stats(const struct job *, const struct flow_set *, long long int read_us, long long int compile_us);

static void
print_problem(const char *file, const char *problem, void *aux OVS_UNUSED)
{
    fprintf(stderr, "sluicectl: %s: %s\n", file, problem);
}

static void
job_destroy(struct job *job)
{
    for (size_t i = 0; i < job->input.n_pods; i++) {
        free(CONST_CAST(char *, job->pods[i].owner));
    }
    for (size_t i = 0; i < job->input.n_peers; i++) {
        free(CONST_CAST(char *, job->peers[i].owner));
    }
    free(job->pods);
    free(job->peers);
    store_destroy(job->store);
}

int
compile_verb(const struct compile_options *options)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct job job = { .options = options, .store = store_create() };
    struct flow_set set = FLOW_SET_INIT;
    long long int start = time_usec();
    int code = source_dir_load(options->config->source, job.store, print_problem, NULL, &error);
    long long int loaded = time_usec();

    code = code ? code : gather(&job, &error);
    if (!code) {
        compile(&job.input, &set);
        long long int compiled = time_usec();
        if (options->stats) {
            print_stats(&job, &set, loaded - start, compiled - loaded);
        } else {
            struct ds s = DS_EMPTY_INITIALIZER;
            flow_set_format(&set, true, &s);
            fputs(ds_cstr(&s), stdout);
            ds_destroy(&s);
        }
    } else {
        fprintf(stderr, "sluicectl: compile: %s\n", error_message(&error));
    }
    flow_set_destroy(&set);
    job_destroy(&job);
    return code ? EXIT_REFUSED : 0;
}

/* Input. --------------------------------------------------------------------------------------------------------- */

/* The node's pod CIDRs, from its Node object or else the configuration. */
static int
find_cidrs(struct job *job, struct error *error)
{
    const struct config *config = job->options->config;
    bool from_node = job->self && job->self->n_pod_cidrs;
    const struct inet_prefix *cidrs = from_node ? job->self->pod_cidrs : config->pod_cidrs;
    size_t n = MIN(from_node ? job->self->n_pod_cidrs : config->n_pod_cidrs, KUBE_MAX_CIDRS);

    if (!n) {
        return error_set(error, ENOENT, "node %s has no spec.podCIDRs %s; --pod-cidrs can say them", config->node,
                         job->self ? "in its Node object" : "because there is no Node object of that name");
    }
    for (size_t i = 0; i < n; i++) {
        job->cidrs[i] = cidrs[i];
        ipam_gateway(&cidrs[i], &job->gateways[i]);
    }
    job->input.local.n_pod_cidrs = n;
    return 0;
}

static void
find_underlay(struct job *job)
{
    const struct compile_options *options = job->options;
    struct node_underlay *underlay = &job->underlay;
    size_t n = options->n_uplink_prefixes;

    for (size_t i = 0; !options->n_uplink_prefixes && job->self && i < job->self->n_addrs; i++) {
        const struct in6_addr *addr = &job->self->addrs[i];
        job->prefixes[n++] = (struct inet_prefix) { *addr, inet_is_v4(addr) ? ASSUMED_PLEN4 : ASSUMED_PLEN6 };
    }
    *underlay = (struct node_underlay) {
        .node = options->config->node, .encap = options->config->encapsulation, .n_addrs = n,
        .addrs = options->n_uplink_prefixes ? options->uplink_prefixes : job->prefixes,
    };
    for (size_t i = 0; i < n; i++) {
        underlay->v4 = underlay->v4 || inet_is_v4(&underlay->addrs[i].addr);
        underlay->v6 = underlay->v6 || !inet_is_v4(&underlay->addrs[i].addr);
    }
    if (!n) {
        underlay->v4 = underlay->v6 = true;     /* Nothing is known: take the peers as they are. */
    }
}

static void
add_peer(const struct kube_object *object, void *job_)
{
    struct job *job = job_;
    char *owner = xasprintf("Node/%s", object->name);
    const char *problem;

    if (job->input.n_peers >= job->allocated_peers) {
        job->peers = x2nrealloc(job->peers, &job->allocated_peers, sizeof *job->peers);
    }
    struct flow_peer *peer = &job->peers[job->input.n_peers];
    if (node_fill_peer(&job->underlay, kube_node_cast(object), owner, peer, &problem)) {
        job->tunnels_v6 = job->tunnels_v6 || !inet_is_v4(&peer->tunnel_dst);
        job->input.n_peers++;
    } else {
        if (problem) {
            fprintf(stderr, "sluicectl: node %s %s\n", object->name, problem);
        }
        free(owner);
    }
}

static void
add_pod(const struct kube_object *object, void *job_)
{
    struct job *job = job_;
    const struct kube_pod *pod = kube_pod_cast(object);

    if (strcmp(pod->node, job->options->config->node) || pod->host_network || pod->finished || !pod->n_addrs) {
        return;
    }
    if (job->input.n_pods >= job->allocated_pods) {
        job->pods = x2nrealloc(job->pods, &job->allocated_pods, sizeof *job->pods);
    }
    job->pods[job->input.n_pods++] = (struct flow_pod) {
        .owner = xasprintf("Pod/%s/%s/eth0", object->namespace_, object->name), .network = FLOW_NETWORK_DEFAULT,
        .addrs = pod->addrs, .n_addrs = pod->n_addrs,
    };
}

static int
compare_pods(const void *a_, const void *b_)
{
    const struct flow_pod *a = a_, *b = b_;
    return strcmp(a->owner, b->owner);
}

/* Ports and MACs, which a plugin would have given. */
static int
name_pods(struct job *job, struct error *error)
{
    if (job->input.n_pods > OFPORT_LAST_POD - OFPORT_FIRST_POD + 1) {
        return error_set(error, ERANGE, "%"PRIuSIZE" pods are more than a node has ports for", job->input.n_pods);
    }
    if (job->input.n_pods) {
        qsort(job->pods, job->input.n_pods, sizeof *job->pods, compare_pods);
    }
    for (size_t i = 0; i < job->input.n_pods; i++) {
        uint16_t port = OFPORT_FIRST_POD + i;
        job->pods[i].ofport = u16_to_ofp(port);
        job->pods[i].mac = (struct eth_addr) ETH_ADDR_C(0a,53,4c,01,00,00);
        job->pods[i].mac.ea[4] = port >> 8;
        job->pods[i].mac.ea[5] = port & 0xff;
    }
    return 0;
}

static int
find_mtu(struct job *job, uint16_t *mtu, struct error *error)
{
    const struct config *config = job->options->config;
    struct mtu_input input = { .wish = config->mtu, .encap = config->encapsulation, .uplink = "of the node",
                               .uplink_mtu = job->options->uplink_mtu,
                               .underlay_ipv6 = job->tunnels_v6 || !job->underlay.v4 };

    for (size_t i = 0; i < job->input.local.n_pod_cidrs; i++) {
        input.pods_ipv6 = input.pods_ipv6 || !inet_is_v4(&job->cidrs[i].addr);
    }
    return mtu_choose(&input, mtu, error);
}

static int
gather(struct job *job, struct error *error)
{
    const struct config *config = job->options->config;
    uint16_t mtu = 0;

    job->self = kube_node_cast(store_get(job->store, KUBE_NODE, "", config->node));
    int code = find_cidrs(job, error);
    if (!code) {
        find_underlay(job);
        store_for_each(job->store, KUBE_NODE, add_peer, job);
        store_for_each(job->store, KUBE_POD, add_pod, job);
        code = name_pods(job, error);
    }
    code = code ? code : find_mtu(job, &mtu, error);
    if (!code) {
        node_fill_local(&job->input.local, config->node, config->encapsulation, mtu,
                        config->datapath == DATAPATH_KERNEL, job->cidrs, job->gateways,
                        job->input.local.n_pod_cidrs);
        job->input.pods = job->pods;
        job->input.peers = job->peers;
    }
    return code;
}

/* Counts. -------------------------------------------------------------------------------------------------------- */

static json_t *
count_tables(const struct flow_set *set)
{
    json_t *tables = json_object();
    for (int t = pipeline_next_table(0); t >= 0; t = pipeline_next_table(t + 1)) {
        size_t n = 0;
        for (size_t i = 0; i < set->n_flows; i++) {
            n += set->flows[i]->table_id == t;
        }
        json_object_set_new(tables, pipeline_table_name(t), json_integer(n));
    }
    return tables;
}

/* Most memory that this process has had at once, in KiB; 0: not known.  Not getrusage()'s, which also counts what the
 * process was before execve(). */
static long int
peak_memory(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long int peak = 0;

    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmHWM: %ld", &peak) != 1) {
        continue;
    }
    if (file) {
        fclose(file);
    }
    return peak;
}

static void
print_stats(const struct job *job, const struct flow_set *set, long long int read_us, long long int compile_us)
{
    long int peak = peak_memory();
    json_t *tables = count_tables(set), *n;
    const char *name;

    if (job->options->json) {
        json_t *stats = json_pack("{s:o, s:I, s:I, s:i, s:I, s:I, s:f, s:f, s:I}", "tables", tables, "flows",
                                  (json_int_t) set->n_flows, "meters", (json_int_t) set->n_meters, "groups", 0, "pods",
                                  (json_int_t) job->input.n_pods, "peers", (json_int_t) job->input.n_peers,
                                  "readMs", read_us / 1000.0, "compileMs", compile_us / 1000.0, "peakKiB",
                                  (json_int_t) peak);
        json_dumpf(stats, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(stats);
        return;
    }
    json_object_foreach (tables, name, n) {
        printf("%-12s %lld\n", name, (long long int) json_integer_value(n));
    }
    printf("%-12s %"PRIuSIZE", with %"PRIuSIZE" meters and 0 groups\n", "flows", set->n_flows, set->n_meters);
    printf("%-12s %"PRIuSIZE" pods on the node, %"PRIuSIZE" peers\n", "of", job->input.n_pods, job->input.n_peers);
    printf("reading %.1f ms, computing %.1f ms, peak memory %.1f MB\n", read_us / 1000.0, compile_us / 1000.0,
           peak / 1024.0);
    json_decref(tables);
}
