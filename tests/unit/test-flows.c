#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "compile.h"
#include "cookie.h"
#include "fields.h"
#include "fixture.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "pipeline.h"
#include "service-flow.h"
#include "unit.h"
#include "util.h"

static void
load(struct fixture *fixture, const char *name)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char *path = xasprintf("%s/tests/golden/%s.in", TOP_SRCDIR, name);
    ck_assert_msg(!fixture_load(path, fixture, &error), "%s", error_message(&error));
    free(path);
}

static char *
text(struct flow_set *set)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    flow_set_sort(set);
    flow_set_format(set, true, &ds);
    flow_set_destroy(set);
    return ds_steal_cstr(&ds);
}

static struct flow_entry *
entry(uint8_t table, uint16_t priority, uint64_t cookie, uint16_t in_port, uint16_t out_port)
{
    struct match match = MATCH_CATCHALL_INITIALIZER;
    uint64_t stub[16];
    struct ofpbuf actions = OFPBUF_STUB_INITIALIZER(stub);

    match_set_in_port(&match, u16_to_ofp(in_port));
    if (out_port) {
        ofpact_put_OUTPUT(&actions)->port = u16_to_ofp(out_port);
    }
    struct flow_entry *e = flow_entry_create(table, priority, cookie, &match, actions.data, actions.size);
    ofpbuf_uninit(&actions);
    return e;
}

START_TEST(test_cookie)
{
    static const char *const owners[] = { OWNER_BASE, "Node/worker-2", "Pod/default/web-0/eth0", "Pod/default/web-1/eth0" };
    for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
        uint64_t cookie = cookie_from_owner(owners[i]);
        ck_assert(cookie && cookie != UINT64_MAX && cookie == cookie_from_owner(owners[i]));
        for (size_t j = 0; j < i; j++) {
            ck_assert(cookie != cookie_from_owner(owners[j]));
        }
    }
    /* Cookies stay in the switch when the daemon is upgraded: this number may never change. */
    ck_assert_uint_eq(cookie_from_owner("Pod/default/web-0/eth0"), UINT64_C(0x033dd1900c6b1a5d));
}
END_TEST

START_TEST(test_entry)
{
    struct flow_entry *a = entry(50, 100, 1, 7, 8), *same = entry(50, 100, 1, 7, 8);
    struct flow_entry *cookie = entry(50, 100, 2, 7, 8), *actions = entry(50, 100, 1, 7, 9), *drop = entry(50, 100, 1, 7, 0);
    struct flow_entry *match = entry(50, 100, 1, 6, 8), *priority = entry(50, 99, 1, 7, 8), *table = entry(51, 100, 1, 7, 8);

    ck_assert(flow_entry_equal(a, same) && flow_entry_same_key(a, same) && !flow_entry_compare(a, same));
    ck_assert(flow_entry_same_key(a, cookie) && !flow_entry_equal(a, cookie) && flow_entry_compare(a, cookie) < 0);
    ck_assert(flow_entry_same_key(a, actions) && !flow_entry_equal(a, actions));
    ck_assert(flow_entry_same_key(a, drop) && !flow_entry_equal(a, drop));
    ck_assert(!flow_entry_same_key(a, match) && flow_entry_compare(match, a) < 0 && flow_entry_compare(a, match) > 0);
    ck_assert(!flow_entry_same_key(a, priority) && flow_entry_compare(a, priority) < 0);
    ck_assert(!flow_entry_same_key(a, table) && flow_entry_compare(a, table) < 0 && flow_entry_compare(table, a) > 0);

    ck_assert_ptr_eq(flow_entry_ref(a), a);
    flow_entry_unref(a);
    ck_assert_uint_eq(a->ref_count, 1);

    struct flow_entry *all[] = { a, same, cookie, actions, drop, match, priority, table, NULL };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        flow_entry_unref(all[i]);
    }
}
END_TEST

START_TEST(test_format)
{
    struct flow_entry *e = entry(TABLE_L3_FORWARD, 100, 0xabc, 7, 0), *other = entry(3, 0, 1, 7, 8);
    struct ds ds = DS_EMPTY_INITIALIZER;

    flow_entry_format(e, true, &ds);
    ck_assert_str_eq(ds_cstr(&ds), "table=50(L3_FORWARD), priority=100, cookie=0xabc, in_port=7 actions=drop");
    ds_clear(&ds);
    flow_entry_format(e, false, &ds);
    ck_assert_str_eq(ds_cstr(&ds), "table=50, priority=100, cookie=0xabc, in_port=7 actions=drop");
    ds_clear(&ds);
    flow_entry_format(other, true, &ds);
    ck_assert_str_eq(ds_cstr(&ds), "table=3, priority=0, cookie=0x1, in_port=7 actions=output:8");
    ds_destroy(&ds);
    flow_entry_unref(e);
    flow_entry_unref(other);
}
END_TEST

START_TEST(test_set)
{
    struct flow_set set = FLOW_SET_INIT;
    flow_set_sort(&set);                /* Nothing is a set too. */
    flow_set_destroy(&set);

    static const struct flow_meter meters[] = { { 9, 1, 1 }, { 3, 2, 2 } };
    for (uint16_t i = 0; i < 100; i++) {
        flow_set_add_nocopy(&set, entry(i % 3, i * 37 % 100, 1, i, 1));
    }
    flow_set_add_meter(&set, &meters[0]);
    flow_set_add_meter(&set, &meters[1]);
    flow_set_sort(&set);
    ck_assert_uint_eq(set.n_flows, 100);
    for (size_t i = 1; i < set.n_flows; i++) {
        ck_assert_int_lt(flow_entry_compare(set.flows[i - 1], set.flows[i]), 0);
    }
    ck_assert(set.meters[0].meter_id == 3 && set.meters[1].meter_id == 9);
    flow_set_destroy(&set);
    ck_assert(!set.n_flows && !set.flows && !set.n_meters && !set.meters);
}
END_TEST

START_TEST(test_pipeline)
{
    int n = 0;
    for (int t = pipeline_next_table(0); t >= 0; t = pipeline_next_table(t + 1), n++) {
        uint8_t id;
        ck_assert(pipeline_table_from_name(pipeline_table_name(t), &id) && id == t);
        ck_assert(pipeline_table_decides(t)[0]);
    }
    /* The list is in the order of the numbers. */
    static const uint8_t numbers[] = {
#define TABLE(NUMBER, NAME, DECIDES) NUMBER,
        PIPELINE
#undef TABLE
    };
    ck_assert_uint_eq(n, ARRAY_SIZE(numbers));
    for (size_t i = 1; i < ARRAY_SIZE(numbers); i++) {
        ck_assert_int_lt(numbers[i - 1], numbers[i]);
    }

    uint8_t id;
    ck_assert(!pipeline_table_name(1) && !pipeline_table_decides(255) && !pipeline_table_from_name("NOPE", &id));
    ck_assert_str_eq(pipeline_priority_text(TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_VLAN), "drop: a VLAN tag");
    ck_assert(pipeline_priority_text(TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_PEER + 128));
    ck_assert(!pipeline_priority_text(TABLE_L3_FORWARD, PRIORITY_L3_FORWARD_PEER + 129));
    ck_assert(!pipeline_priority_text(3, 0));
}
END_TEST

static bool
is_door(const struct flow_entry *e)
{
    return (e->table_id == TABLE_SERVICE && e->priority >= PRIORITY_SERVICE_REST
            && e->priority <= PRIORITY_SERVICE_OUTSIDE_RANGE);
}

/* Where an action leads to; -1: nowhere. */
static int
next_table(const struct ofpact *a)
{
    return (a->type == OFPACT_GOTO_TABLE ? ofpact_get_GOTO_TABLE(a)->table_id
            : a->type == OFPACT_RESUBMIT ? ofpact_get_RESUBMIT(a)->table_id
            : a->type == OFPACT_CT ? ofpact_get_CT(a)->recirc_table
            : -1);
}

/* Goes to a later table only, and its priority has a name, which says "drop" exactly if it drops; but for those that drop
 * or not, as Services say. */
static void
check_flow(const struct flow_entry *e)
{
    const struct ofpact *a;
    const char *name = pipeline_priority_text(e->table_id, e->priority);
    ck_assert(pipeline_table_name(e->table_id));
    ck_assert_msg(name, "table %d priority %d has no name", e->table_id, e->priority);

    bool drop = !strncmp(name, "drop:", 5);
    bool peer = e->table_id == TABLE_L3_FORWARD && e->priority < PRIORITY_L3_FORWARD_NO_POD
                && e->priority >= PRIORITY_L3_FORWARD_PEER;
    ck_assert_msg(peer || is_door(e) || drop == !e->ofpacts_len, "table %d priority %d: %s", e->table_id, e->priority, name);
    OFPACT_FOR_EACH (a, e->ofpacts, e->ofpacts_len) {
        int next = next_table(a);
        ck_assert(next < 0 || (next > e->table_id && pipeline_table_name(next)));
    }
}

/* As the switch gives it back in a dump. */
static struct flow_entry *
round_trip(const struct flow_entry *e)
{
    struct ofputil_flow_mod fm = {
        .match = e->match, .priority = e->priority, .table_id = e->table_id, .command = OFPFC_ADD,
        .new_cookie = htonll(e->cookie), .buffer_id = UINT32_MAX, .out_port = OFPP_ANY, .out_group = OFPG_ANY,
        .ofpacts = e->ofpacts, .ofpacts_len = e->ofpacts_len,
    };
    struct ofpbuf *msg = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM);
    uint64_t stub[512];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_mod back;

    ck_assert_int_eq(ofputil_decode_flow_mod(&back, msg->data, OFPUTIL_P_OF15_OXM, NULL, NULL, &ofpacts,
                                             u16_to_ofp(0xff00), 255), 0);
    struct match match;
    minimatch_expand(&back.match, &match);
    struct flow_entry *copy = flow_entry_create(back.table_id, back.priority, ntohll(back.new_cookie), &match,
                                                back.ofpacts, back.ofpacts_len);
    minimatch_destroy(&back.match);
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    return copy;
}

static const char *const all[] = { "empty", "hybrid", "isolated", "kernel", "networks", "overlay", "policy", "routed",
                                    "services" };

START_TEST(test_compile)
{
    struct fixture f;
    load(&f, all[_i]);
    struct flow_set set = FLOW_SET_INIT;
    fixture_compile(&f, &set);
    for (size_t i = 0; i < set.n_flows; i++) {
        struct flow_entry *copy = round_trip(set.flows[i]);
        check_flow(set.flows[i]);
        if (!flow_entry_equal(set.flows[i], copy)) {
            struct ds ds = DS_EMPTY_INITIALIZER;
            flow_entry_format(set.flows[i], true, &ds);
            ds_put_format(&ds, "\nbecomes (hash %d match %d actions %d) ", copy->hash == set.flows[i]->hash, minimatch_equal(&copy->match, &set.flows[i]->match), ofpacts_equal(copy->ofpacts, copy->ofpacts_len, set.flows[i]->ofpacts, set.flows[i]->ofpacts_len));
            flow_entry_format(copy, true, &ds);
            ck_abort_msg("%s", ds_cstr(&ds));
        }
        flow_entry_unref(copy);
        /* No key twice, also not across owners. */
        ck_assert(!i || !flow_entry_same_key(set.flows[i - 1], set.flows[i]));
    }
    flow_set_destroy(&set);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_order_does_not_matter)
{
    struct fixture f;
    load(&f, "overlay");
    struct flow_set set = FLOW_SET_INIT;
    compile(&f.input, &set);
    char *forward = text(&set);

    for (size_t i = 0, j = f.input.n_pods - 1; i < j; i++, j--) {
        struct flow_pod tmp = f.pods[i];
        f.pods[i] = f.pods[j];
        f.pods[j] = tmp;
    }
    struct flow_peer tmp = f.peers[0];
    f.peers[0] = f.peers[1];
    f.peers[1] = tmp;
    compile(&f.input, &set);
    char *backward = text(&set);
    ck_assert_str_eq(forward, backward);
    free(forward);
    free(backward);
    fixture_destroy(&f);
}
END_TEST

START_TEST(test_sum_of_owners)
{
    struct fixture f;
    load(&f, all[_i]);
    struct flow_set whole = FLOW_SET_INIT, sum = FLOW_SET_INIT;
    compile(&f.input, &whole);
    for (size_t i = f.input.n_peers; i-- > 0; ) {
        compile_peer(&f.input.local, &f.peers[i], &sum);
    }
    for (size_t i = f.input.n_pods; i-- > 0; ) {
        size_t before = sum.n_flows;
        compile_pod(&f.input.local, &f.pods[i], &sum);
        for (size_t j = before; j < sum.n_flows; j++) {
            ck_assert_uint_eq(sum.flows[j]->cookie, cookie_from_owner(f.pods[i].owner));
        }
    }
    compile_base(&f.input.local, &sum);
    char *a = text(&whole), *b = text(&sum);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    fixture_destroy(&f);
}
END_TEST

/* A pod costs the same however many there are, and nothing of it is in another's flows. */
START_TEST(test_pod_is_constant)
{
    struct fixture f;
    load(&f, "overlay");
    struct flow_set one = FLOW_SET_INIT;
    compile_pod(&f.input.local, &f.pods[0], &one);
    ck_assert_uint_eq(one.n_flows, 11);         /* 1 port; IPv4: 4; IPv6: 5; link-local: 1. */
    flow_set_destroy(&one);
    compile_pod(&f.input.local, &f.pods[2], &one);
    ck_assert_uint_eq(one.n_flows, 5);
    ck_assert_uint_eq(one.n_meters, 0);
    flow_set_destroy(&one);
    fixture_destroy(&f);
}
END_TEST

/* services.h: numbers of aliases. */
START_TEST(test_alias)
{
    static const struct {
        bool v6;
        unsigned int index;
        const char *text;
    } aliases[] = {
        { false, 0, "169.254.193.0" }, { false, 255, "169.254.193.255" }, { false, FLOW_N_ALIASES - 1, "169.254.254.255" },
        { true, 0, "fd53:4c00:0:1::1:0" }, { true, FLOW_N_ALIASES - 1, "fd53:4c00:0:1::1:3dff" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        struct in6_addr addr = flow_alias(aliases[i].v6, aliases[i].index), want;
        ck_assert(!inet_addr_parse(aliases[i].text, &want, NULL));
        ck_assert_msg(ipv6_addr_equals(&addr, &want), "%s", aliases[i].text);
    }
}
END_TEST

/* Buckets of a group have ids of their own, and the same endpoint has the same id in each. */
START_TEST(test_bucket_id)
{
    struct in6_addr addr;
    ck_assert(!inet_addr_parse("10.0.0.1", &addr, NULL));
    struct flow_endpoint e[] = {
        { .addr = addr, .port = 80, .weight = 1 }, { .addr = addr, .port = 81, .weight = 1 },
        { .addr = addr, .port = 80, .weight = 1 },
    };
    ck_assert_uint_ne(flow_bucket_id(&e[0]), flow_bucket_id(&e[1]));

    struct group_entry *group = flow_make_group(7, e, ARRAY_SIZE(e), NULL);
    struct ds ds = DS_EMPTY_INITIALIZER;
    group_entry_format(group, &ds);
    for (size_t i = 0; i < 2; i++) {
        char *id = xasprintf("bucket_id:%"PRIu32",", flow_bucket_id(&e[i]));
        ck_assert(strstr(ds_cstr(&ds), id));
        free(id);
    }
    char *next = xasprintf("bucket_id:%"PRIu32",", flow_bucket_id(&e[0]) + 1);
    ck_assert_msg(strstr(ds_cstr(&ds), next), "%s", ds_cstr(&ds));
    free(next);
    ds_destroy(&ds);
    group_entry_unref(group);
}
END_TEST

START_TEST(test_punt_reply)
{
    struct ofpbuf actions;
    ofpbuf_init(&actions, 0);
    punt_reply_actions(7, &actions);
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct ofpact_format_params fp = { .s = &ds };
    ofpacts_format(actions.data, actions.size, &fp);
    ck_assert_str_eq(ds_cstr(&ds), "set_field:0x7->metadata,set_field:0x4/0xf->reg0,resubmit(,50)");
    ds_destroy(&ds);
    ofpbuf_uninit(&actions);
}
END_TEST

UNIT_MAIN("flows", {
    tcase_add_test(tc, test_cookie);
    tcase_add_test(tc, test_entry);
    tcase_add_test(tc, test_format);
    tcase_add_test(tc, test_set);
    tcase_add_test(tc, test_pipeline);
    tcase_add_loop_test(tc, test_compile, 0, ARRAY_SIZE(all));
    tcase_add_test(tc, test_order_does_not_matter);
    tcase_add_loop_test(tc, test_sum_of_owners, 0, ARRAY_SIZE(all));
    tcase_add_test(tc, test_pod_is_constant);
    tcase_add_test(tc, test_alias);
    tcase_add_test(tc, test_bucket_id);
    tcase_add_test(tc, test_punt_reply);
})
