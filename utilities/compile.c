#include <config.h>

#include "utilities/sluicectl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "compile.h"
#include "controller/endpoints.h"
#include "controller/ipam.h"
#include "controller/mtu.h"
#include "controller/node-input.h"
#include "controller/policy.h"
#include "controller/service-json.h"
#include "controller/services.h"
#include "controller/source-dir.h"
#include "controller/store.h"
#include "flow-set.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "pipeline.h"
#include "timeval.h"
#include "util.h"
#include "utilities/compile-service.h"

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
    struct endpoints *endpoints;
    struct policy *policy;
    struct services *services;          /* NULL: not computed yet. */
    struct flow_input input;
    struct flow_pod *pods;              /* NULL with "--stats". */
    size_t allocated_pods;
    struct flow_peer *peers;
    size_t allocated_peers;
};

/* For "--stats". */
struct counts {
    size_t n_flows[UINT8_MAX + 1];      /* By table. */
    size_t n_policy_flows, n_service_flows, n_meters, n_groups, n_buckets, n_pods;
    long long int read_us, policy_us, service_us, others_us;
};

static int gather(struct job *, struct error *);
static void add_endpoint(const struct kube_object *, void *endpoints);
static void job_get_policy(const struct job *, const struct kube_pod *, struct flow_pod_policy *);
static void run_policy(struct job *, struct counts *);
static void run_services(struct job *, struct counts *);
static void print_services(const struct job *);
static void count_others(const struct job *, struct counts *);
static void print_stats(const struct job *, const struct counts *);

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
    policy_destroy(job->policy);
    services_destroy(job->services);
    endpoints_destroy(job->endpoints);
    for (size_t i = 0; i < job->input.n_peers; i++) {
        free(CONST_CAST(char *, job->peers[i].owner));
    }
    free(job->pods);
    free(job->peers);
    store_destroy(job->store);
}

/* Nobody follows them. */
static void
forget_changes(struct store *store)
{
    struct store_key key;

    while (store_pop_change(store, &key)) {
        store_key_destroy(&key);
    }
}

static void
print_flows(struct job *job)
{
    struct flow_set set = FLOW_SET_INIT;
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < job->input.n_pods; i++) {
        job_get_policy(job, CONTAINER_OF(job->pods[i].addrs, struct kube_pod, addrs), &job->pods[i].policy);
    }
    compile(&job->input, &set);
    policy_get_flows(job->policy, &set);
    services_get_flows(job->services, &set);
    flow_set_sort(&set);
    flow_set_format(&set, true, &s);
    fputs(ds_cstr(&s), stdout);
    ds_destroy(&s);
    flow_set_destroy(&set);
}

int
compile_verb(const struct compile_options *options)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct job job = { .options = options, .store = store_create(), .endpoints = endpoints_create() };
    struct counts counts = { .n_flows = { 0 } };
    long long int start = time_usec();
    int code = source_dir_load(options->config->source, job.store, print_problem, NULL, &error);

    forget_changes(job.store);
    store_for_each(job.store, KUBE_POD, add_endpoint, job.endpoints);
    job.policy = policy_create(job.endpoints);
    counts.read_us = time_usec() - start;
    code = code ? code : gather(&job, &error);
    if (!code) {
        run_policy(&job, options->stats ? &counts : NULL);
        run_services(&job, &counts);
        if (options->services) {
            print_services(&job);
        } else if (options->stats) {
            count_others(&job, &counts);
            print_stats(&job, &counts);
        } else {
            print_flows(&job);
        }
    } else {
        fprintf(stderr, "sluicectl: compile: %s\n", error_message(&error));
    }
    job_destroy(&job);
    return code ? EXIT_REFUSED : 0;
}

/* Policies. ------------------------------------------------------------------------------------------------------ */

static void
add_endpoint(const struct kube_object *object, void *endpoints)
{
    endpoints_update(endpoints, NULL, kube_pod_cast(object));
}

static void
tell_namespace(const struct kube_object *object, void *policy)
{
    policy_namespace(policy, object->name, (const struct kube_namespace *) object);
}

static void
tell_node(const struct kube_object *object, void *policy)
{
    policy_node(policy, NULL, kube_node_cast(object));
}

static void
tell_networkpolicy(const struct kube_object *object, void *policy)
{
    policy_networkpolicy(policy, NULL, kube_networkpolicy_cast(object));
}

static void
tell_clusternetworkpolicy(const struct kube_object *object, void *policy)
{
    policy_clusternetworkpolicy(policy, NULL, kube_clusternetworkpolicy_cast(object));
}

static bool
is_local(const struct job *job, const struct kube_pod *pod)
{
    return ((job->options->all_local || !strcmp(pod->node, job->options->config->node)) && !pod->host_network
            && !pod->finished && pod->n_addrs);
}

/* An object's address names its pod. */
static void
tell_pod(const struct kube_object *object, void *job_)
{
    const struct kube_pod *pod = kube_pod_cast(object);
    struct job *job = job_;

    policy_pod(job->policy, NULL, pod);
    if (is_local(job, pod)) {
        policy_local(job->policy, (uintptr_t) pod, pod, pod->addrs, pod->n_addrs);
    }
}

static void
job_get_policy(const struct job *job, const struct kube_pod *pod, struct flow_pod_policy *out)
{
    policy_get_local(job->policy, (uintptr_t) pod, out);
}

/* With 'counts' the flows are only counted, so that none is kept. */
static void
run_policy(struct job *job, struct counts *counts)
{
    long long int start = time_usec();
    struct policy_effect effect;

    store_for_each(job->store, KUBE_NAMESPACE, tell_namespace, job->policy);
    store_for_each(job->store, KUBE_NODE, tell_node, job->policy);
    store_for_each(job->store, KUBE_POD, tell_pod, job);
    store_for_each(job->store, KUBE_NETWORKPOLICY, tell_networkpolicy, job->policy);
    store_for_each(job->store, KUBE_CLUSTERNETWORKPOLICY, tell_clusternetworkpolicy, job->policy);
    policy_run(job->policy);
    while (counts && policy_pop(job->policy, &effect)) {
        if (effect.type != POLICY_LOCAL) {
            int n = effect.type == POLICY_PUT ? 1 : -1;
            counts->n_flows[effect.flow->table_id] += n;
            counts->n_policy_flows += n;
            flow_entry_unref(effect.flow);
        }
    }
    if (counts) {
        counts->policy_us = time_usec() - start;
    }
}

/* Services. ------------------------------------------------------------------------------------------------------ */

static void
run_services(struct job *job, struct counts *counts)
{
    long long int start = time_usec();

    job->services = compile_services(job->store, job->options->config->node, job->self, job->underlay.addrs,
                                     job->underlay.n_addrs);
    counts->service_us = time_usec() - start;
    compile_services_problems(job->services);
}

static void
print_services(const struct job *job)
{
    json_t *doors = service_doors_to_json(job->services, job->endpoints, false);

    if (job->options->json) {
        json_dumpf(doors, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        services_print(doors);
    }
    json_decref(doors);
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

    if (!is_local(job, pod)) {
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

/* What a plugin would have given. */
static void
set_port(struct flow_pod *pod, uint16_t port)
{
    pod->ofport = u16_to_ofp(port);
    pod->mac = (struct eth_addr) ETH_ADDR_C(0a,53,4c,01,00,00);
    pod->mac.ea[4] = port >> 8;
    pod->mac.ea[5] = port & 0xff;
}

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
        set_port(&job->pods[i], OFPORT_FIRST_POD + i);
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
        if (!job->options->stats) {
            store_for_each(job->store, KUBE_POD, add_pod, job);
        }
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

static void
count_steal(struct counts *counts, struct flow_set *set)
{
    for (size_t i = 0; i < set->n_flows; i++) {
        counts->n_flows[set->flows[i]->table_id]++;
    }
    counts->n_meters += set->n_meters;
    counts->n_groups += set->n_groups;
    for (size_t i = 0; i < set->n_groups; i++) {
        counts->n_buckets += group_entry_n_buckets(set->groups[i]);
    }
    flow_set_destroy(set);
}

struct count_pods {
    const struct job *job;
    struct counts *counts;
};

static void
count_pod(const struct kube_object *object, void *cp_)
{
    const struct kube_pod *pod = kube_pod_cast(object);
    struct flow_set set = FLOW_SET_INIT;
    struct count_pods *cp = cp_;

    if (is_local(cp->job, pod)) {
        char *owner = xasprintf("Pod/%s/%s/eth0", object->namespace_, object->name);
        struct flow_pod flow_pod = { .owner = owner, .network = FLOW_NETWORK_DEFAULT, .addrs = pod->addrs,
                                     .n_addrs = pod->n_addrs };

        set_port(&flow_pod, OFPORT_FIRST_POD + cp->counts->n_pods++ % (OFPORT_LAST_POD - OFPORT_FIRST_POD + 1));
        job_get_policy(cp->job, pod, &flow_pod.policy);
        compile_pod(&cp->job->input.local, &flow_pod, &set);
        count_steal(cp->counts, &set);
        free(owner);
    }
}

/* What no policy makes: the base, the other nodes, the pods' own flows. */
static void
count_others(const struct job *job, struct counts *counts)
{
    long long int start = time_usec();
    struct count_pods cp = { job, counts };
    struct flow_set set = FLOW_SET_INIT;

    compile_base(&job->input.local, &set);
    count_steal(counts, &set);
    for (size_t i = 0; i < job->input.n_peers; i++) {
        compile_peer(&job->input.local, &job->input.peers[i], &set);
        count_steal(counts, &set);
    }
    store_for_each(job->store, KUBE_POD, count_pod, &cp);
    counts->others_us = time_usec() - start;
    services_get_flows(job->services, &set);
    counts->n_service_flows = set.n_flows;
    count_steal(counts, &set);
}

static json_t *
tables_to_json(const struct counts *counts, size_t *n_flows)
{
    json_t *tables = json_object();

    *n_flows = 0;
    for (int t = pipeline_next_table(0); t >= 0; t = pipeline_next_table(t + 1)) {
        json_object_set_new(tables, pipeline_table_name(t), json_integer(counts->n_flows[t]));
        *n_flows += counts->n_flows[t];
    }
    return tables;
}

static json_t *
policies_to_json(const struct policy *policy)
{
    struct policy_stats s;

    policy_get_stats(policy, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "known", (json_int_t) s.n_policies, "relevant",
                     (json_int_t) s.n_relevant, "rules", (json_int_t) s.n_rules, "conjunctions", (json_int_t) s.n_conjs,
                     "subjects", (json_int_t) s.n_subjects, "identities", (json_int_t) s.n_identities, "terms",
                     (json_int_t) s.n_terms, "classes", (json_int_t) s.n_classes);
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
print_json_stats(const struct job *job, const struct counts *counts, json_t *tables, size_t n_flows, long int peak)
{
    json_t *stats = json_pack("{s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:f, s:f, s:f, s:I}", "tables", tables,
                              "flows", (json_int_t) n_flows, "meters", (json_int_t) counts->n_meters, "groups",
                              (json_int_t) counts->n_groups, "buckets", (json_int_t) counts->n_buckets, "pods",
                              (json_int_t) counts->n_pods, "peers", (json_int_t) job->input.n_peers, "policies",
                              policies_to_json(job->policy), "policyFlows", (json_int_t) counts->n_policy_flows,
                              "readMs", counts->read_us / 1000.0, "policyMs", counts->policy_us / 1000.0, "compileMs",
                              counts->others_us / 1000.0, "peakKiB", (json_int_t) peak);
    json_object_update_new(stats, json_pack("{s:o, s:I, s:f}", "services", service_stats_to_json(job->services),
                                            "serviceFlows", (json_int_t) counts->n_service_flows, "serviceMs",
                                            counts->service_us / 1000.0));
    json_dumpf(stats, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(stats);
}

static void
print_text_stats(const struct job *job, const struct counts *counts, json_t *tables, size_t n_flows, long int peak)
{
    struct services_stats ss;
    struct policy_stats s;
    const char *name;
    json_t *n;

    policy_get_stats(job->policy, &s);
    services_get_stats(job->services, &ss);
    json_object_foreach (tables, name, n) {
        printf("%-15s %lld\n", name, (long long int) json_integer_value(n));
    }
    printf("%-15s %"PRIuSIZE", %"PRIuSIZE" of them of policies and %"PRIuSIZE" of Services, with %"PRIuSIZE" meters and %"
           PRIuSIZE" groups (%"PRIuSIZE" buckets)\n", "flows", n_flows, counts->n_policy_flows, counts->n_service_flows,
           counts->n_meters, counts->n_groups, counts->n_buckets);
    printf("%-15s %"PRIuSIZE" pods on the node, %"PRIuSIZE" peers\n", "of", counts->n_pods, job->input.n_peers);
    printf("%-15s %"PRIuSIZE", %"PRIuSIZE" of them for these pods: %"PRIuSIZE" rules, %"PRIuSIZE" conjunctions, %"PRIuSIZE
           " sets of rules, %"PRIuSIZE" identities\n", "policies", s.n_policies, s.n_relevant, s.n_rules, s.n_conjs,
           s.n_subjects, s.n_identities);
    printf("%-15s %"PRIuSIZE" with %"PRIuSIZE" ports: %"PRIuSIZE" doors, %"PRIuSIZE" sets of %"PRIuSIZE" endpoints\n",
           "Services", ss.n_services, ss.n_ports, ss.n_doors, ss.n_sets, ss.n_endpoints);
    printf("reading %.1f ms, computing %.1f ms for policies, %.1f ms for Services and %.1f ms for all else, peak memory "
           "%.1f MB\n", counts->read_us / 1000.0, counts->policy_us / 1000.0, counts->service_us / 1000.0,
           counts->others_us / 1000.0, peak / 1024.0);
}

static void
print_stats(const struct job *job, const struct counts *counts)
{
    long int peak = peak_memory();
    size_t n_flows;
    json_t *tables = tables_to_json(counts, &n_flows);

    (job->options->json ? print_json_stats : print_text_stats)(job, counts, tables, n_flows, peak);
    json_decref(tables);
}
