#include <config.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compile.h"
#include "cookie.h"
#include "fixture.h"
#include "dp-packet.h"
#include "flow.h"
#include "ofctrl-test.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-sandbox.h"
#include "packets.h"
#include "pinctrl.h"
#include "socket-watch.h"
#include "timeval.h"
#include "unit.h"
#include "util.h"

/* Covers issue 3, item 5, against a real ovs-vswitchd with the dummy datapath: one atomic bundle, full dump at
 * connect, a failed bundle bisected and its culprit named, flows back at once after a restart of ovs-vswitchd. */

/* 'n' flows that send on, and one of every kind of action and match that Sluice uses or is about to use. */
static uint64_t
set_many(struct rig *rig, const char *owner, int n)
{
    static const char *const kinds[] = {
        "table=0, priority=1, actions=drop",
        "table=0, in_port=7, actions=set_field:1->metadata, move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[], resubmit(,2)",
        "table=0, in_port=8, vlan_tci=0/0x1fff, actions=write_metadata:0x1/0xffffffff, goto_table:2",
        "table=0, in_port=9, tun_id=1, actions=load:0x3->NXM_NX_REG0[0..3], load:0->NXM_OF_IN_PORT[], goto_table:2",
        "table=2, arp, in_port=7, arp_op=1, arp_spa=10.0.0.1, arp_sha=02:00:00:00:00:01, dl_src=02:00:00:00:00:01, "
            "actions=goto_table:4",
        "table=2, ipv6, in_port=7, ipv6_src=fd00::1, dl_src=02:00:00:00:00:01, actions=resubmit(,4)",
        "table=2, icmp6, in_port=7, icmp_type=135, icmp_code=0, nd_target=fd00::2, nd_sll=02:00:00:00:00:01, "
            "actions=goto_table:4",
        "table=4, arp, metadata=0x1, arp_tpa=10.0.0.0/24, arp_op=1, actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[], "
            "set_field:02:00:00:00:00:02->eth_src, set_field:2->arp_op, move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[], "
            "set_field:02:00:00:00:00:02->arp_sha, move:NXM_OF_ARP_SPA[]->NXM_NX_REG15[], "
            "move:NXM_NX_REG15[]->NXM_OF_ARP_TPA[], in_port",
        "table=4, icmp6, icmp_type=135, icmp_code=0, actions=set_field:136->icmpv6_type, set_field:0->icmpv6_code, "
            "set_field:2->nd_options_type, set_field:0xe0000000->nd_reserved, in_port",
        "table=50, ip, metadata=0x1, nw_dst=10.0.1.0/24, actions=dec_ttl, set_field:192.0.2.1->tun_dst, "
            "set_field:0x1->tun_id, set_field:1->reg1, goto_table:54",
        "table=50, ipv6, ipv6_dst=fd00:1::/64, actions=dec_ttl(0), set_field:fd01::1->tun_ipv6_dst, output:1",
        "table=52, ip, reg0=0x1/0xf, actions=ct(commit, zone=1, nat(src=192.0.2.9), table=54)",
        "table=52, ip, ct_state=+trk+est, nw_frag=later, "
            "actions=ct(commit, zone=NXM_NX_REG1[0..15], exec(set_field:0x1->ct_mark))",
        "table=54, ip, nw_ttl=1, actions=controller(userdata=01.00.00.00, max_len=1294, meter_id=1)",
        "table=54, ipv6, nw_ttl=1, actions=controller(userdata=02.00.05.78, max_len=1294, meter_id=2, reason=action)",
        "table=54, reg1=0x2, actions=check_pkt_larger(1514)->NXM_NX_REG0[8], goto_table:72",
        "table=60, conj_id=7, ip, actions=resubmit(,72)",
        "table=60, ip, nw_src=10.0.0.9, actions=conjunction(7, 1/2)",
        "table=60, tcp, tp_dst=0x50/0xfff0, actions=conjunction(7, 2/2)",
        "table=72, actions=output:NXM_NX_REG1[0..15]",
    };
    struct flow_set set = FLOW_SET_INIT;

    flow_set_add_meter(&set, &(struct flow_meter) { 1, 100, 50 });
    flow_set_add_meter(&set, &(struct flow_meter) { 2, 1000, 200 });
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        add_text(&set, owner, "%s", kinds[i]);
    }
    for (int i = 0; i < n; i++) {
        add_text(&set, owner,
                 "table=50, priority=400, ip, nw_dst=10.%d.%d.%d, actions=set_field:%d->reg1, goto_table:54",
                 1 + (i >> 16), i >> 8 & 255, i & 255, i & 1023);
    }
    uint64_t version = of_state_set(ofctrl_state(rig->ctrl), owner, &set);
    flow_set_destroy(&set);
    of_state_start(ofctrl_state(rig->ctrl));
    return version;
}

/* A restart of the daemon finds all as it was and sends nothing. */
START_TEST(test_restart_of_daemon)
{
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    rig_settle(&rig, set_many(&rig, OWNER_BASE, 2000));
    struct of_state_stats stats = stats_of(&rig);
    ck_assert_uint_eq(stats.n_quarantined, 0);
    ck_assert_uint_eq(stats.n_bundles, 3);              /* Two meters, then all flows at once. */
    ck_assert_uint_eq(count_flows(&rig, "cookie="), stats.n_desired);
    char *meters = ofctl(&rig, "dump-meters", "");
    ck_assert_uint_eq(count_lines(meters, "type=drop"), 2);
    free(meters);

    for (int again = 0; again < 2; again++) {
        ofctrl_destroy(rig.ctrl);
        rig_connect(&rig);
        rig_settle(&rig, set_many(&rig, OWNER_BASE, 2000));
        stats = stats_of(&rig);
        ck_assert_uint_eq(stats.n_flow_mods, 0);
        ck_assert_uint_eq(stats.n_installed, stats.n_desired);
    }
    rig_stop(&rig);
}
END_TEST

static void
set_compiled(struct rig *rig, const struct flow_input *input)
{
    struct of_state *state = ofctrl_state(rig->ctrl);
    struct flow_set set = FLOW_SET_INIT;

    compile_base(&input->local, &set);
    of_state_set(state, OWNER_BASE, &set);
    flow_set_destroy(&set);
    for (size_t i = 0; i < input->n_pods; i++) {
        set = (struct flow_set) FLOW_SET_INIT;
        compile_pod(&input->local, &input->pods[i], &set);
        of_state_set(state, input->pods[i].owner, &set);
        flow_set_destroy(&set);
    }
    for (size_t i = 0; i < input->n_peers; i++) {
        set = (struct flow_set) FLOW_SET_INIT;
        compile_peer(&input->local, &input->peers[i], &set);
        of_state_set(state, input->peers[i].owner, &set);
        flow_set_destroy(&set);
    }
    of_state_start(state);
}

static void
load_golden(const char *name, struct fixture *fixture)
{
    char *path = xasprintf("%s/tests/golden/%s.in", TOP_SRCDIR, name);
    ERROR_AUTO struct error error = ERROR_INIT;

    ck_assert_msg(!fixture_load(path, fixture, &error), "%s", error_message(&error));
    free(path);
}

static void
fail_refused(const char *owner, const char *why, void *input)
{
    ck_abort_msg("%s: %s: %s", (const char *) input, owner, why);
}

/* The same with what the compiler makes of each golden input: the switch takes all of it, and a dump gives back
 * exactly the keys and actions that were compiled. */
START_TEST(test_compiled)
{
    static const char *const goldens[] = {
        "empty", "hybrid", "isolated", "kernel", "networks", "overlay", "policy", "routed", "services",
    };
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(goldens); i++) {
        struct fixture fixture;

        load_golden(goldens[i], &fixture);
        for (int again = 0; again < 2; again++) {
            ofctrl_destroy(rig.ctrl);
            rig_connect(&rig);
            of_state_set(ofctrl_state(rig.ctrl), "Base/by-flow", &fixture.policy);
            set_compiled(&rig, &fixture.input);
            rig_settle(&rig, 0);
            of_state_for_each_failed(ofctrl_state(rig.ctrl), fail_refused, (void *) goldens[i]);
        }
        ck_assert_msg(stats_of(&rig).n_flow_mods == 0, "%s: %"PRIu64" modifications after a restart", goldens[i],
                      stats_of(&rig).n_flow_mods);
        fixture_destroy(&fixture);
    }
    rig_stop(&rig);
}
END_TEST

/* ovs-vswitchd is killed and started again: its flows are back at once, without any timer. */
START_TEST(test_restart_of_switch)
{
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    rig_settle(&rig, set_many(&rig, OWNER_BASE, 2000));
    unsigned int seqno = ofctrl_connection_seqno(rig.ctrl);

    struct socket_watch *watch = socket_watch_create(rig.target);
    ovs_sandbox_stop(&rig.ovs.ovs_vswitchd);
    ovs_sandbox_start_vswitchd(&rig.ovs);
    long long int deadline = time_msec() + TIMEOUT_MS, appeared = 0;
    for (;;) {
        if (socket_watch_run(watch)) {
            appeared = time_msec();
        }
        ofctrl_run(rig.ctrl);
        if (ofctrl_connection_seqno(rig.ctrl) != seqno && stats_of(&rig).synced) {
            break;
        }
        ck_assert_int_lt(time_msec(), deadline);
        ofctrl_wait(rig.ctrl);
        socket_watch_wait(watch);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    ck_assert_int_ne(appeared, 0);
    long long int ms = time_msec() - appeared;
    printf("%"PRIuSIZE" flows are back %lld ms after the socket appeared\n", stats_of(&rig).n_installed, ms);
    ck_assert_int_lt(ms, 900);                          /* rconn's own backoff would be a second. */
    ck_assert_uint_eq(count_flows(&rig, "cookie="), stats_of(&rig).n_desired);
    socket_watch_destroy(watch);
    rig_stop(&rig);
}
END_TEST

/* The switch refuses one object; it is named, and everything else is installed. */
START_TEST(test_refused)
{
    static const struct {
        const char *flow, *error;
    } bad[] = {
        { "table=9, ip, actions=group:999", "OFPBAC_BAD_OUT_GROUP" },                   /* At the commit. */
        { "table=9, ip, actions=meter:99, output:1", "OFPMMFC_INVALID_METER" },             /* When it is added. */
    };
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        struct flow_set set = FLOW_SET_INIT;
        struct of_state *state = ofctrl_state(rig.ctrl);

        for (int pod = 0; pod < 100; pod++) {
            char owner[32];
            snprintf(owner, sizeof owner, "Pod/good/%d", pod);
            add_text(&set, owner, "table=%"PRIuSIZE", in_port=%d, actions=drop", 20 + i, 1000 + pod);
            of_state_set(state, owner, &set);
            flow_set_destroy(&set);
            set = (struct flow_set) FLOW_SET_INIT;
            if (pod == 50) {
                add_text(&set, "Pod/bad/0", "%s", bad[i].flow);
                add_text(&set, "Pod/bad/0", "table=20, in_port=999, actions=drop");
                of_state_set(state, "Pod/bad/0", &set);
                flow_set_destroy(&set);
                set = (struct flow_set) FLOW_SET_INIT;
            }
        }
        of_state_start(state);
        rig_settle(&rig, of_state_version(state));
        struct of_state_stats stats = stats_of(&rig);
        const char *why = of_state_owner_failed(state, "Pod/bad/0");
        ck_assert_ptr_nonnull(why);
        ck_assert_msg(strstr(why, bad[i].error), "%s", why);
        ck_assert_ptr_null(of_state_owner_failed(state, "Pod/good/50"));
        ck_assert_uint_eq(stats.n_quarantined, 1);
        ck_assert_uint_eq(stats.n_installed, 101);
        ck_assert_uint_eq(count_flows(&rig, "cookie="), 101);
    }
    rig_stop(&rig);
}
END_TEST

/* Another process meddles; the next dump mends it, and only it. */
START_TEST(test_meddler)
{
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    rig_settle(&rig, set_many(&rig, OWNER_BASE, 300));
    free(ofctl(&rig, "del-flows", "table=50,ip,nw_dst=10.1.0.7"));
    free(ofctl(&rig, "mod-flows", "table=50,ip,nw_dst=10.1.0.8,actions=drop"));
    free(ofctl(&rig, "add-flow", "table=50,priority=400,ip,nw_dst=10.1.0.9,actions=drop"));
    free(ofctl(&rig, "add-flow", "table=50,priority=5,actions=flood"));
    free(ofctl(&rig, "add-flow", "table=60,priority=9,ip,nw_src=10.0.0.9,idle_timeout=600,actions=drop"));
    free(ofctl(&rig, "add-group", "group_id=5,type=all,bucket=actions=drop"));
    free(ofctl(&rig, "add-flow", "table=51,actions=group:5"));
    free(ofctl(&rig, "mod-meter", "meter=1,pktps,burst,band=type=drop,rate=7,burst_size=50"));
    free(ofctl(&rig, "add-meter", "meter=9,kbps,band=type=drop,rate=7"));

    ofctrl_destroy(rig.ctrl);
    rig_connect(&rig);
    rig_settle(&rig, set_many(&rig, OWNER_BASE, 300));
    struct of_state_stats stats = stats_of(&rig);
    ck_assert_uint_eq(stats.n_quarantined, 0);
    ck_assert_uint_eq(stats.n_flow_mods, 3 + 3 + 1 + 2);

    char *groups = ofctl(&rig, "dump-groups", ""), *meters = ofctl(&rig, "dump-meters", "");
    ck_assert_msg(!strstr(groups, "group_id"), "%s", groups);
    ck_assert_msg(count_lines(meters, "type=drop") == 2 && strstr(meters, "rate=100"), "%s", meters);
    free(groups);
    free(meters);

    ofctrl_destroy(rig.ctrl);
    rig_connect(&rig);
    rig_settle(&rig, set_many(&rig, OWNER_BASE, 300));
    ck_assert_uint_eq(stats_of(&rig).n_flow_mods, 0);
    rig_stop(&rig);
}
END_TEST

/* The daemon is there before the switch is, in a folder that does not exist yet. */
START_TEST(test_before_the_switch)
{
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    ofctrl_destroy(rig.ctrl);
    free(ovs_sandbox_vsctl(&rig.ovs, "del-br br-int"));
    rig_connect(&rig);
    uint64_t version = set_many(&rig, OWNER_BASE, 10);
    ofctrl_run(rig.ctrl);
    ck_assert(!ofctrl_is_connected(rig.ctrl));
    free(ovs_sandbox_vsctl(&rig.ovs, "add-br br-int -- set bridge br-int datapath_type=dummy fail_mode=secure"));
    rig_settle(&rig, version);
    ck_assert(ofctrl_is_connected(rig.ctrl));
    rig_stop(&rig);
}
END_TEST

/* A large bundle does not keep the loop from its other work. */
START_TEST(test_large_bundle)
{
    int n = getenv("OFCTRL_FLOWS") ? atoi(getenv("OFCTRL_FLOWS")) : 20000;
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    uint64_t version = set_many(&rig, OWNER_BASE, n);
    long long int start = time_msec();
    rig_settle(&rig, version);
    printf("%d flows in one bundle: %lld ms, longest turn of the loop %lld ms\n", n, time_msec() - start,
           rig.longest_turn);
    ck_assert_uint_eq(stats_of(&rig).n_bundles, 3);
    ck_assert_uint_ge(stats_of(&rig).n_installed, n);
    ck_assert_int_lt(rig.longest_turn, 250);

    /* One change among them costs one. */
    struct flow_set set = FLOW_SET_INIT;
    add_text(&set, "Pod/one", "table=50, in_port=5, actions=drop");
    start = time_msec();
    rig_settle(&rig, of_state_set(ofctrl_state(rig.ctrl), "Pod/one", &set));
    flow_set_destroy(&set);
    printf("one more: %lld ms\n", time_msec() - start);
    ck_assert_uint_eq(stats_of(&rig).n_bundles, 4);

    /* Another daemon finds all of them, slice by slice, and sends nothing. */
    ofctrl_destroy(rig.ctrl);
    rig_connect(&rig);
    set_many(&rig, OWNER_BASE, n);
    add_text(&set, "Pod/one", "table=50, in_port=5, actions=drop");
    start = time_msec();
    rig_settle(&rig, of_state_set(ofctrl_state(rig.ctrl), "Pod/one", &set));
    flow_set_destroy(&set);
    printf("found by another daemon: %lld ms\n", time_msec() - start);
    ck_assert_uint_eq(stats_of(&rig).n_bundles, 0);
    rig_stop(&rig);
}
END_TEST

struct use {
    int n, idle;
    ovs_be32 dst;
};

static void
note_use(uint8_t table_id, const struct match *match, int idle, void *use_)
{
    struct use *use = use_;

    ck_assert_uint_eq(table_id, 50);
    use->n++;
    use->idle = idle;
    use->dst = match->flow.nw_dst;
}

/* When a flow was used last; nobody answers for one that is not there. */
START_TEST(test_use)
{
    struct use use = { .n = 0 };
    struct match match;
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    ofctrl_set_use(rig.ctrl, note_use, &use);
    rig_settle(&rig, set_many(&rig, "Pod/one", 3));
    match_init_catchall(&match);
    match_set_dl_type(&match, htons(ETH_TYPE_IP));
    match_set_nw_dst(&match, htonl(0x0a090909));
    ofctrl_ask_use(rig.ctrl, 50, &match);
    match_set_nw_dst(&match, htonl(0x0a010001));
    ofctrl_ask_use(rig.ctrl, 50, &match);
    long long int deadline = time_msec() + TIMEOUT_MS;
    while (ofctrl_run(rig.ctrl), !use.n) {
        ck_assert_msg(time_msec() < deadline, "no answer");
        ofctrl_wait(rig.ctrl);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    ck_assert(use.n == 1 && use.dst == htonl(0x0a010001));
    ck_assert_msg(use.idle >= 0 && use.idle < 60, "%d s", use.idle);
    rig_stop(&rig);
}
END_TEST

/* Gives 'packet' to the switch as if it came from the pod's port, and waits until a frame with 'expected' (in
 * hexadecimal) was sent there. */
static void
exchange(struct rig *rig, const struct dp_packet *packet, const char *expected)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < dp_packet_size(packet); i++) {
        ds_put_format(&s, "%02x", ((const uint8_t *) dp_packet_data(packet))[i]);
    }
    char *command = xasprintf("ovs-appctl -t %s/vswitchd.ctl netdev-dummy/receive pod %s", rig->ovs.dir,
                              ds_cstr(&s));
    ck_assert_msg(!system(command), "%s", command);
    ds_destroy(&s);
    free(command);

    command = xasprintf("ovs-pcap %s/pod.pcap | grep -q '%s'", rig->ovs.dir, expected);
    for (long long int deadline = time_msec() + 5000; system(command); ) {
        ck_assert_msg(time_msec() < deadline, "%s", command);
        ofctrl_run(rig->ctrl);
        ofctrl_wait(rig->ctrl);
        poll_timer_wait(50);                            /* The file tells nobody when it grows. */
        poll_block();
    }
    free(command);
}

/* A DNS answer that has come as far as table OUTPUT goes through the controller, whole. */
static void
check_dns(const struct rig *rig, const struct flow_pod *pod, struct pinctrl *pinctrl)
{
    struct flow flow = {
        .dl_src = pod->mac, .dl_dst = pod->mac, .dl_type = htons(ETH_TYPE_IP), .nw_proto = IPPROTO_UDP, .nw_ttl = 64,
        .nw_src = htonl(0xc0000201), .nw_dst = htonl(0x0af40105), .tp_src = htons(53), .tp_dst = htons(40000),
    };
    struct dp_packet packet;
    uint8_t data[1400] = { 0 };
    struct ds s = DS_EMPTY_INITIALIZER;
    struct pinctrl_stats before, after;

    memset(data + 1396, 0xee, 4);
    dp_packet_init(&packet, 0);
    flow_compose(&packet, &flow, data, sizeof data);
    for (size_t i = 0; i < dp_packet_size(&packet); i++) {
        ds_put_format(&s, "%02x", ((const uint8_t *) dp_packet_data(&packet))[i]);
    }
    pinctrl_get_stats(pinctrl, &before);
    char *rest = xasprintf("'in_port=local packet=%s actions=set_field:0x400->reg0,set_field:%#"PRIx32"->reg1,"
                           "resubmit(,72)'", ds_cstr(&s), ofp_to_u16(pod->ofport));
    free(ofctl(rig, "packet-out", rest));
    free(rest);
    char *command = xasprintf("ovs-pcap %s/pod.pcap | grep -qx '%s'", rig->ovs.dir, ds_cstr(&s));
    for (long long int deadline = time_msec() + 5000; system(command); ) {
        ck_assert_msg(time_msec() < deadline, "it did not arrive");
        ofctrl_run(rig->ctrl);
        ofctrl_wait(rig->ctrl);
        poll_timer_wait(50);                            /* The file tells nobody when it grows. */
        poll_block();
    }
    pinctrl_get_stats(pinctrl, &after);
    ck_assert_uint_eq(after.n_received, before.n_received + 1);
    free(command);
    ds_destroy(&s);
    dp_packet_uninit(&packet);
}

static struct dp_packet *
udp(const struct flow_pod *pod, const struct flow_local *local, bool v4, uint8_t ttl, size_t payload)
{
    struct flow flow = {
        .dl_src = pod->mac, .dl_dst = local->router_mac, .dl_type = htons(v4 ? ETH_TYPE_IP : ETH_TYPE_IPV6),
        .nw_proto = IPPROTO_UDP, .nw_ttl = ttl, .tp_src = htons(1000), .tp_dst = htons(2000),
    };
    struct dp_packet *packet = dp_packet_new(0);
    uint8_t *data = xzalloc(payload);

    if (v4) {
        flow.nw_src = in6_addr_get_mapped_ipv4(&pod->addrs[0]);
        flow.nw_dst = htonl(0x0af40205);                /* 10.244.2.5 */
    } else {
        flow.ipv6_src = pod->addrs[1];
        inet_pton(AF_INET6, "fd00:10:244:2::5", &flow.ipv6_dst);
    }
    flow_compose(packet, &flow, data, payload);
    free(data);
    return packet;
}

/* A pod's packet whose hops are used up, and one that is too big, are answered with ICMP; a solicitation with an
 * advertisement; a DNS answer for a pod with rules about domain names goes on to it. */
START_TEST(test_pinctrl)
{
    struct fixture fixture;
    struct rig rig;

    if (!rig_start(&rig)) {
        return;
    }
    load_golden("overlay", &fixture);
    const struct flow_local *local = &fixture.input.local;
    const struct flow_pod *pod = &fixture.input.pods[0];
    free(ovs_sandbox_vsctl(&rig.ovs, "add-port br-int pod -- set interface pod type=dummy ofport_request=%"PRIu32" "
                           "options:tx_pcap=%s/pod.pcap", ofp_to_u16(pod->ofport), rig.ovs.dir));
    struct pinctrl *pinctrl = pinctrl_create(rig.ctrl);
    pinctrl_set_local(pinctrl, local);
    fixture.input.local.kernel_datapath = true;
    fixture.pods[0].policy.domains = true;
    set_compiled(&rig, &fixture.input);
    rig_settle(&rig, 0);

    static const struct {
        bool v4;
        uint8_t ttl;
        size_t payload;
        const char *expected;           /* The pod's MAC, the router's, ..., ICMP type and code. */
    } cases[] = {
        { true, 1, 10, "^0a000000010502736c0000010800.\\{18\\}01....0af401010af401050b00" },
        { true, 64, 1460, "^0a000000010502736c0000010800.\\{18\\}01....0af401010af401050304....000005aa" },
        { false, 1, 10, "^0a000000010502736c00000186dd.\\{80\\}0300" },
        { false, 64, 1460, "^0a000000010502736c00000186dd.\\{80\\}0200....000005aa" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dp_packet *packet = udp(pod, local, cases[i].v4, cases[i].ttl, cases[i].payload);
        exchange(&rig, packet, cases[i].expected);
        dp_packet_delete(packet);
    }

    struct dp_packet *packet = dp_packet_new(0);
    compose_nd_ns(packet, pod->mac, &pod->addrs[1], &local->gateway_addrs[1]);
    exchange(&rig, packet, "^0a000000010502736c00000186dd.\\{80\\}8800");
    dp_packet_delete(packet);

    struct pinctrl_stats stats;
    pinctrl_get_stats(pinctrl, &stats);
    ck_assert_uint_eq(stats.n_answered, 5);
    ck_assert_uint_eq(stats.n_malformed, 0);
    check_dns(&rig, pod, pinctrl);
    pinctrl_destroy(pinctrl);
    fixture_destroy(&fixture);
    rig_stop(&rig);
}
END_TEST

UNIT_MAIN("ofctrl", {
    tcase_add_test(tc, test_restart_of_daemon);
    tcase_add_test(tc, test_compiled);
    tcase_add_test(tc, test_restart_of_switch);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_meddler);
    tcase_add_test(tc, test_before_the_switch);
    tcase_add_test(tc, test_large_bundle);
    tcase_add_test(tc, test_use);
    tcase_add_test(tc, test_pinctrl);
})
