#include <config.h>

#include <arpa/inet.h>
#include <math.h>
#include <unistd.h>

#include "controller/ct-entry.h"
#include "dp-packet.h"
#include "ofctrl-test.h"
#include "openvswitch/ofp-actions.h"
#include "packets.h"
#include "pipeline.h"
#include "service-flow.h"
#include "shares.h"

/* Groups against a real ovs-vswitchd with the dummy datapath.  Covers services 6 (shares, as OVS computes them), 21 (what
 * was learned survives a restart of the daemon), 24 (exactly the stale entries of conntrack go), 28 (a restart changes
 * nothing), and what issue 6 asks of counters. */

#define OWNER "Base/services"
#define NETWORK 1

static struct in6_addr
addr(const char *s)
{
    struct in6_addr a;

    ck_assert_msg(ipv6_parse(s, &a) || ip_parse(s, &(ovs_be32) { 0 }), "%s", s);
    if (strchr(s, '.')) {
        ovs_be32 v4;
        ip_parse(s, &v4);
        a = in6_addr_mapped_ipv4(v4);
    }
    return a;
}

/* Group 'id' of 'n' endpoints, the 'first'-th and so on. */
static struct group_entry *
service_group(uint32_t id, bool v6, uint32_t first, uint32_t n, const struct flow_affinity *affinity)
{
    struct flow_endpoint *e = xcalloc(n, sizeof *e);

    for (uint32_t i = 0; i < n; i++) {
        e[i] = (struct flow_endpoint) { addr(v6 ? "fd00::" : "10.0.0.0"), 8080, 100, 1 + first + i };
        e[i].addr.s6_addr[15] += first + i;
    }
    struct group_entry *group = flow_make_group(id, e, n, affinity);
    free(e);
    return group;
}

/* A door to each of 'n_groups' groups of 3 endpoints in both families, one set with affinity, and one in shards. */
static uint64_t
set_services(struct rig *rig, uint32_t n_groups)
{
    static const struct flow_affinity affinity = { .set = 900, .timeout = 600 };
    struct of_state *state = ofctrl_state(rig->ctrl);
    struct flow_set set = FLOW_SET_INIT;

    for (uint32_t i = 0; i < n_groups; i++) {
        struct flow_door door = {
            .network = NETWORK, .addr = addr(i % 2 ? "fd01::1" : "10.96.0.1"), .protocol = IPPROTO_TCP, .port = 80 + i,
            .action = FLOW_DOOR_GROUP, .number = 1000 + i, .cookie = flow_service_cookie(i),
        };
        flow_add_door(&door, &set);
        flow_set_add_group(&set, service_group(1000 + i, i % 2, i, 3, NULL));
    }
    flow_set_add_group(&set, service_group(900, false, 0, 2, &affinity));
    flow_set_add_nocopy(&set, flow_make_select(900, 900, 1));
    struct flow_endpoint endpoint = { addr("10.0.0.0"), 8080, 100, 1 };
    flow_set_add_nocopy(&set, flow_make_endpoint(NETWORK, &affinity, &endpoint, 2));
    flow_set_add_group(&set, service_group(901, false, 0, 2, NULL));
    flow_set_add_nocopy(&set, flow_make_shard(800, 0, 0x80, 901, 3));
    uint64_t version = of_state_set(state, OWNER, &set);
    flow_set_destroy(&set);
    of_state_start(state);
    return version;
}

static size_t
count_groups(const struct rig *rig, const char *with)
{
    char *dump = ofctl(rig, "dump-groups", "");
    size_t n = count_lines(dump, with);

    free(dump);
    return n;
}

static void
rig_restart_daemon(struct rig *rig, uint32_t n_groups)
{
    ofctrl_destroy(rig->ctrl);
    rig_connect(rig);
    rig_settle(rig, set_services(rig, n_groups));
}

/* Nothing is sent for what is there, and what somebody else did is mended. */
START_TEST(test_restart)
{
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    rig_settle(&rig, set_services(&rig, 20));
    ck_assert_uint_eq(stats_of(&rig).n_quarantined, 0);
    ck_assert_uint_eq(stats_of(&rig).n_groups, 22);
    ck_assert_uint_eq(count_groups(&rig, "group_id="), 22);

    /* Learned by the switch itself: it stays, unlike a flow that only looks like it. */
    free(ofctl(&rig, "add-flow", "table=7,idle_timeout=600,cookie=0x0800000000000001,ip,nw_src=10.0.0.9,actions=drop"));
    free(ofctl(&rig, "add-flow", "table=7,ip,nw_src=10.0.0.10,actions=drop"));
    rig_restart_daemon(&rig, 20);
    ck_assert_uint_eq(stats_of(&rig).n_flow_mods, 1);
    ck_assert_uint_eq(count_flows(&rig, "nw_src=10.0.0.9"), 1);
    ck_assert_uint_eq(count_flows(&rig, "nw_src=10.0.0.10"), 0);
    rig_restart_daemon(&rig, 20);
    ck_assert_uint_eq(stats_of(&rig).n_flow_mods, 0);

    free(ofctl(&rig, "del-groups", "group_id=1003"));           /* Takes its door along. */
    free(ofctl(&rig, "mod-group", "group_id=1004,type=select,selection_method=dp_hash,bucket=bucket_id:1,actions=drop"));
    free(ofctl(&rig, "mod-group", "group_id=1005,type=all,bucket=bucket_id:1,actions=drop"));
    free(ofctl(&rig, "add-group", "group_id=77,type=indirect,bucket=actions=drop"));
    free(ofctl(&rig, "add-flow", "table=9,tcp,actions=group:77"));
    rig_restart_daemon(&rig, 20);
    ck_assert_uint_eq(stats_of(&rig).n_flow_mods, 4 + 2);
    ck_assert_uint_eq(count_groups(&rig, "group_id="), 22);
    ck_assert_uint_eq(count_groups(&rig, "type=select"), 22);
    rig_restart_daemon(&rig, 20);
    ck_assert_uint_eq(stats_of(&rig).n_flow_mods, 0);

    /* Fewer Services: flows first, then groups. */
    rig_settle(&rig, set_services(&rig, 5));
    ck_assert_uint_eq(count_groups(&rig, "group_id="), 7);
    ck_assert_uint_eq(stats_of(&rig).n_bundles, 2);
    ck_assert_uint_eq(stats_of(&rig).n_quarantined, 0);

    /* A switch that restarts gets everything back. */
    ovs_sandbox_stop(&rig.ovs.ovs_vswitchd);
    unsigned int seqno = ofctrl_connection_seqno(rig.ctrl);
    ovs_sandbox_start_vswitchd(&rig.ovs);
    while (ofctrl_connection_seqno(rig.ctrl) == seqno) {
        ofctrl_wait(rig.ctrl);
        poll_block();
        ofctrl_run(rig.ctrl);
    }
    rig_settle(&rig, 0);
    ck_assert_uint_eq(count_groups(&rig, "group_id="), 7);
    rig_stop(&rig);
}
END_TEST

/* A group that the switch does not take: what goes there is dropped, everything else is there. */
START_TEST(test_refused)
{
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    uint64_t stub[64 / 8];
    struct ofpbuf actions;
    ofpbuf_use_stub(&actions, stub, sizeof stub);
    ofpact_put_OUTPUT(&actions)->port = u16_to_ofp(0xff10);     /* No port may have this number. */
    const struct group_bucket bucket = { 1, 1, actions.data, actions.size };

    set_services(&rig, 2);
    uint64_t version = of_state_put_group(ofctrl_state(rig.ctrl), OWNER, group_entry_create(1000, &bucket, 1));
    rig_settle(&rig, version);
    ck_assert_uint_eq(stats_of(&rig).n_quarantined, 1);
    const char *why = of_state_owner_failed(ofctrl_state(rig.ctrl), OWNER);
    ck_assert_msg(why && strstr(why, "group=1000, 1 buckets"), "%s", why);
    char *groups = ofctl(&rig, "dump-groups", "1000");
    ck_assert_msg(strstr(groups, "group_id=1000") && !strstr(groups, "bucket="), "%s", groups);
    free(groups);
    ck_assert_uint_eq(count_flows(&rig, "actions=group:1000"), count_flows(&rig, "actions=group:1001"));

    rig_settle(&rig, set_services(&rig, 2));
    ck_assert_uint_eq(stats_of(&rig).n_quarantined, 0);
    groups = ofctl(&rig, "dump-groups", "1000");
    ck_assert_uint_eq(count_lines(groups, "bucket="), 3);
    free(groups);
    rig_stop(&rig);
}
END_TEST

/* Shares as OVS itself tells them. ------------------------------------------------------------------------------- */

/* The next whole line.  ovs-vswitchd writes its log from another thread. */
static void
read_line(FILE *log, char *line, size_t size)
{
    for (long long int deadline = time_msec() + TIMEOUT_MS; ; ) {
        long int start = ftell(log);
        if (fgets(line, size, log) && strchr(line, '\n')) {
            return;
        }
        ck_assert_msg(time_msec() < deadline, "the log ends");
        clearerr(log);
        fseek(log, start, SEEK_SET);
        poll_timer_wait(10);
        poll_block();
    }
}

/* Reads ovs-vswitchd's log from 'log' on: the slots of the buckets of each shard in their order.  Adds up what each rank
 * gets. */
static void
read_slots(FILE *log, const struct shares *s, double *parts)
{
    size_t shard = SIZE_MAX, bucket = 0, n_seen = 0;
    unsigned int id, n_hash = 0, hits;
    char line[1024];

    while (n_seen < s->n_shares) {
        read_line(log, line, sizeof line);
        const char *p;
        if ((p = strstr(line, "Constructing select group ")) && sscanf(p, "Constructing select group %u", &id) == 1) {
            shard = id - 1;
            bucket = 0;
        } else if ((p = strstr(line, "Using ")) && sscanf(p, "Using %u hash values", &n_hash) == 1) {
            ck_assert_uint_le(n_hash, SHARES_SLOTS);
        } else if ((p = strstr(line, "hits=")) && sscanf(p, "hits=%u", &hits) == 1 && shard < s->n_shards) {
            const struct shard *sh = &s->shards[shard];
            ck_assert(bucket < sh->n && n_hash);
            double values = (SHARES_SLOTS - sh->mask) / (double) SHARES_SLOTS;
            parts[s->shares[sh->first + bucket++].rank] += values * hits / n_hash;
            n_seen++;
        }
    }
}

static void
check_shares(struct rig *rig, uint32_t n, FILE *log)
{
    struct shares s;
    double *parts = xcalloc(n, sizeof *parts);

    shares_init(&s, n);
    struct flow_set set = FLOW_SET_INIT;
    for (size_t i = 0; i < s.n_shards; i++) {
        const struct shard *shard = &s.shards[i];
        struct flow_endpoint *e = xcalloc(shard->n, sizeof *e);
        for (size_t j = 0; j < shard->n; j++) {
            const struct share *share = &s.shares[shard->first + j];
            e[j] = (struct flow_endpoint) { addr("10.0.0.0"), 8080 + share->rank, share->weight, 0 };
        }
        flow_set_add_group(&set, flow_make_group(1 + i, e, shard->n, NULL));
        free(e);
    }
    rig_settle(rig, of_state_set(ofctrl_state(rig->ctrl), OWNER, &set));
    ck_assert_uint_eq(stats_of(rig).n_quarantined, 0);
    flow_set_destroy(&set);
    read_slots(log, &s, parts);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_msg(fabs(parts[i] * n - 1) <= 0.1, "endpoint %u of %u gets %.6f", i, n, parts[i]);
    }
    rig_settle(rig, of_state_remove(ofctrl_state(rig->ctrl), OWNER));
    free(parts);
    shares_destroy(&s);
}

START_TEST(test_shares)
{
    static const uint32_t some[] = { 2, 3, 5, 10, 21, 22, 100, 256, 257, 1000, 5000 };     /* 1 needs no such group. */
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    of_state_start(ofctrl_state(rig.ctrl));
    char *command = xasprintf("ovs-appctl -t %s/vswitchd.ctl vlog/set ofproto_dpif:file:dbg", rig.ovs.dir);
    ck_assert(!system(command));
    free(command);
    char *path = xasprintf("%s/vswitchd.log", rig.ovs.dir);
    FILE *log = fopen(path, "r");
    ck_assert_ptr_nonnull(log);
    fseek(log, 0, SEEK_END);
    for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
        clearerr(log);
        check_shares(&rig, some[i], log);
    }
    fclose(log);
    free(path);
    rig_stop(&rig);
}
END_TEST

/* Counters, conntrack. ------------------------------------------------------------------------------------------- */

static void
receive(const struct rig *rig, const char *src, const char *dst, uint8_t protocol, uint16_t src_port, uint16_t dst_port)
{
    struct in6_addr from = addr(src), to = addr(dst);
    struct flow flow = {
        .dl_type = htons(strchr(src, '.') ? ETH_TYPE_IP : ETH_TYPE_IPV6), .nw_proto = protocol, .nw_ttl = 64,
        .tp_src = htons(src_port), .tp_dst = htons(dst_port),
    };
    struct ds s = DS_EMPTY_INITIALIZER;
    struct dp_packet packet;

    if (strchr(src, '.')) {
        flow.nw_src = in6_addr_get_mapped_ipv4(&from);
        flow.nw_dst = in6_addr_get_mapped_ipv4(&to);
    } else {
        flow.ipv6_src = from;
        flow.ipv6_dst = to;
    }
    flow.tcp_flags = htons(TCP_SYN);
    dp_packet_init(&packet, 0);
    flow_compose(&packet, &flow, NULL, 20);
    for (size_t i = 0; i < dp_packet_size(&packet); i++) {
        ds_put_format(&s, "%02x", ((const uint8_t *) dp_packet_data(&packet))[i]);
    }
    char *command = xasprintf("ovs-appctl -t %s/vswitchd.ctl netdev-dummy/receive pod %s", rig->ovs.dir, ds_cstr(&s));
    ck_assert_msg(!system(command), "%s", command);
    free(command);
    ds_destroy(&s);
    dp_packet_uninit(&packet);
}

static void
rig_add_pod(const struct rig *rig)
{
    free(ovs_sandbox_vsctl(&rig->ovs, "add-port br-int pod -- set interface pod type=dummy ofport_request=7"));
}

struct counts {
    uint64_t packets[4];
    size_t n_buckets;
};

/* What the switch itself says of group 5. */
static struct counts
ask_counts(struct rig *rig)
{
    struct counts counts = { .n_buckets = 0 };
    char *told = ofctl(rig, "dump-group-stats", "group_id=5");
    const char *line = strstr(told, "group_id=5,");

    ck_assert_msg(line, "%s", told);
    for (const char *bucket = line; (bucket = strstr(bucket, ",bucket")); bucket++) {
        unsigned long long int packets, bytes;
        unsigned int i;

        ck_assert_int_eq(sscanf(bucket, ",bucket%u:packet_count=%llu,byte_count=%llu", &i, &packets, &bytes), 3);
        ck_assert(i == counts.n_buckets && i < 4);
        ck_assert(!packets == !bytes);
        counts.packets[counts.n_buckets++] = packets;
    }
    free(told);
    return counts;
}

static struct group_entry *
weighted(uint16_t weight_of_last)
{
    struct group_bucket buckets[4];

    for (size_t i = 0; i < 4; i++) {
        buckets[i] = (struct group_bucket) { .bucket_id = 10 + i, .weight = i < 3 ? 1 : weight_of_last };
    }
    return group_entry_create(5, buckets, 4);
}

START_TEST(test_counters)
{
    struct rig rig;
    struct flow_set set = FLOW_SET_INIT;

    if (!rig_start(&rig)) {
        return;
    }
    rig_add_pod(&rig);
    flow_set_add_group(&set, weighted(1));
    add_text(&set, OWNER, "table=0, udp, actions=group:5");
    of_state_start(ofctrl_state(rig.ctrl));
    rig_settle(&rig, of_state_set(ofctrl_state(rig.ctrl), OWNER, &set));
    flow_set_destroy(&set);
    for (uint16_t i = 0; i < 40; i++) {
        receive(&rig, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, 1000 + i, 53);
    }

    struct counts counts;
    uint64_t sum = 0;
    for (long long int deadline = time_msec() + TIMEOUT_MS; sum != 40; ) {      /* The switch adds them up now and then. */
        ck_assert_msg(time_msec() < deadline, "%"PRIu64, sum);
        counts = ask_counts(&rig);
        ck_assert_uint_eq(counts.n_buckets, 4);
        sum = counts.packets[0] + counts.packets[1] + counts.packets[2] + counts.packets[3];
        poll_timer_wait(50);
        poll_block();
    }

    /* What of-state.h says: a change begins anew. */
    rig_settle(&rig, of_state_put_group(ofctrl_state(rig.ctrl), OWNER, weighted(2)));
    counts = ask_counts(&rig);
    ck_assert_uint_eq(counts.n_buckets, 4);
    ck_assert_uint_eq(counts.packets[0] + counts.packets[1] + counts.packets[2] + counts.packets[3], 0);
    rig_stop(&rig);
}
END_TEST

static char *
conntrack(const struct rig *rig)
{
    char *command = xasprintf("ovs-appctl -t %s/vswitchd.ctl dpctl/dump-conntrack", rig->ovs.dir), *out = xzalloc(1 << 16);
    FILE *pipe = popen(command, "r");

    ck_assert_ptr_nonnull(pipe);
    ck_assert_uint_lt(fread(out, 1, (1 << 16) - 1, pipe), (1 << 16) - 1);
    ck_assert(!pclose(pipe));
    free(command);
    return out;
}

static bool
has_entry(const struct rig *rig, const char *client)
{
    char *what = xasprintf("orig=(src=%s,", client), *dump = conntrack(rig);
    bool found = strstr(dump, what) != NULL;

    free(dump);
    free(what);
    return found;
}

/* Flushes (zone 1, UDP, vip:53, endpoint:5353) of the family of 'vip', and waits until 'client' has lost its entry.
 * 'client_port' 0: of all clients. */
static void
flush(struct rig *rig, const char *vip, const char *endpoint, const char *client, uint16_t client_port)
{
    struct ct_entry entry = {
        .protocol = IPPROTO_UDP, .client = addr(client), .client_port = client_port, .vip = addr(vip), .vip_port = 53,
        .endpoint = addr(endpoint), .endpoint_port = 5353,
    };

    ck_assert(has_entry(rig, client));
    ofctrl_flush_ct(rig->ctrl, 1, &entry);
    for (long long int deadline = time_msec() + TIMEOUT_MS; has_entry(rig, client); ) {
        ck_assert_msg(time_msec() < deadline, "%s has its entry still", client);
        ofctrl_run(rig->ctrl);
        poll_timer_wait(10);
        poll_block();
    }
}

/* services 24: exactly the entries of this zone, protocol, address and endpoint go. */
START_TEST(test_flush)
{
    static const struct {
        const char *client, *dst, *flow;
        uint8_t protocol;
        bool stays;
    } cases[] = {
        { "10.0.1.1", "10.96.0.1", "ct(commit,zone=1,nat(dst=10.0.0.1:5353))", IPPROTO_UDP, false },
        { "10.0.1.2", "10.96.0.1", "ct(commit,zone=1,nat(dst=10.0.0.2:5353))", IPPROTO_UDP, true },
        { "10.0.1.3", "10.96.0.2", "ct(commit,zone=1,nat(dst=10.0.0.1:5353))", IPPROTO_UDP, true },
        { "10.0.1.4", "10.96.0.1", "ct(commit,zone=2,nat(dst=10.0.0.1:5353))", IPPROTO_UDP, true },
        { "10.0.1.5", "10.96.0.1", "ct(commit,zone=1,nat(dst=10.0.0.1:5353))", IPPROTO_TCP, true },
        { "10.0.1.6", "10.96.0.1", "ct(commit,zone=1,nat(dst=10.0.0.1:5354))", IPPROTO_UDP, true },
        { "10.0.1.7", "10.0.0.1", "ct(commit,zone=1)", IPPROTO_UDP, true },
        { "fd00:1::1", "fd01::1", "ct(commit,zone=1,nat(dst=[fd00::1]:5353))", IPPROTO_UDP, false },
        { "fd00:1::2", "fd01::1", "ct(commit,zone=1,nat(dst=[fd00::2]:5353))", IPPROTO_UDP, true },
        /* By their client. */
        { "10.0.1.8", "10.96.0.3", "ct(commit,zone=1,nat(dst=10.0.0.3:5353))", IPPROTO_UDP, false },
        { "10.0.1.9", "10.96.0.3", "ct(commit,zone=1,nat(dst=10.0.0.3:5353))", IPPROTO_UDP, true },
        { "fd00:1::3", "fd01::3", "ct(commit,zone=1,nat(dst=[fd00::3]:5353))", IPPROTO_UDP, false },
        { "fd00:1::4", "fd01::3", "ct(commit,zone=1,nat(dst=[fd00::3]:5353))", IPPROTO_UDP, true },
    };
    struct flow_set set = FLOW_SET_INIT;
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    rig_add_pod(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool v6 = strchr(cases[i].client, ':');
        add_text(&set, OWNER, "table=0, %s, %s=%s, actions=%s", v6 ? "ipv6" : "ip", v6 ? "ipv6_src" : "nw_src",
                 cases[i].client, cases[i].flow);
    }
    of_state_start(ofctrl_state(rig.ctrl));
    rig_settle(&rig, of_state_set(ofctrl_state(rig.ctrl), OWNER, &set));
    flow_set_destroy(&set);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        receive(&rig, cases[i].client, cases[i].dst, cases[i].protocol, 4000, 53);
    }
    flush(&rig, "10.96.0.1", "10.0.0.1", "10.0.1.1", 0);
    flush(&rig, "fd01::1", "fd00::1", "fd00:1::1", 0);
    flush(&rig, "10.96.0.3", "10.0.0.3", "10.0.1.8", 4000);
    flush(&rig, "fd01::3", "fd00::3", "fd00:1::3", 4000);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ck_assert_msg(has_entry(&rig, cases[i].client) == cases[i].stays, "%s", cases[i].client);
    }
    rig_stop(&rig);
}
END_TEST

UNIT_MAIN("ofctrl-groups", {
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_shares);
    tcase_add_test(tc, test_counters);
    tcase_add_test(tc, test_flush);
})
