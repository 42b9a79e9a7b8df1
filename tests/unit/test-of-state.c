#include <config.h>

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "cookie.h"
#include "of-state.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "unit.h"
#include "util.h"

/* Covers issue 3, items 5 and 13, and ARCHITECTURE rules 1 to 4 and 6: difference, order, versions, bisection,
 * quarantine. */

static struct flow_entry *
flow(const char *owner, uint16_t in_port, uint16_t out_port)
{
    struct match match;
    uint64_t stub[64 / 8];
    struct ofpbuf actions;

    match_init_catchall(&match);
    match_set_in_port(&match, u16_to_ofp(in_port));
    ofpbuf_use_stub(&actions, stub, sizeof stub);
    ofpact_put_OUTPUT(&actions)->port = u16_to_ofp(out_port);
    return flow_entry_create(0, 100, cookie_from_owner(owner), &match, actions.data, actions.size);
}

/* Declares for 'owner' flows with the in_ports from 'first' on, to 'out_port', and returns the version. */
static uint64_t
set(struct of_state *s, const char *owner, uint16_t first, uint16_t n, uint16_t out_port)
{
    struct flow_set flows = FLOW_SET_INIT;

    for (uint16_t i = 0; i < n; i++) {
        flow_set_add_nocopy(&flows, flow(owner, first + i, out_port));
    }
    uint64_t version = of_state_set(s, owner, &flows);
    flow_set_destroy(&flows);
    return version;
}

static uint64_t
set_meter(struct of_state *s, const char *owner, uint32_t rate)
{
    struct flow_set set = FLOW_SET_INIT;

    if (rate) {
        flow_set_add_meter(&set, &(struct flow_meter) { 1, rate, rate });
        flow_set_add_nocopy(&set, flow(owner, 1, 1));
    }
    uint64_t version = of_state_set(s, owner, &set);
    flow_set_destroy(&set);
    return version;
}

static void
connect_empty(struct of_state *s)
{
    of_state_connected(s);
    of_state_dump_done(s);
}

static struct of_state *
create_started(void)
{
    struct of_state *s = of_state_create();

    connect_empty(s);
    of_state_start(s);
    return s;
}

static const struct of_bundle *
next_n(struct of_state *s, size_t n)
{
    const struct of_bundle *bundle = of_state_next(s);

    ck_assert_uint_eq(bundle ? bundle->n : 0, n);
    return bundle;
}

/* The change is about the flow of 'in_port'. */
static void
assert_change(const struct of_change *change, enum of_change_type type, uint16_t in_port)
{
    struct match match;

    ck_assert_int_eq(change->type, type);
    minimatch_expand(&change->flow->match, &match);
    ck_assert_uint_eq(ofp_to_u16(match.flow.in_port.ofp_port), in_port);
}

static void
assert_group(const struct of_change *change, enum of_change_type type, uint32_t group_id, size_t n_buckets)
{
    ck_assert_int_eq(change->type, type);
    ck_assert_uint_eq(group_entry_id(change->group), group_id);
    ck_assert_uint_eq(group_entry_n_buckets(change->group), n_buckets);
}

static bool
is_synced(const struct of_state *s)
{
    struct of_state_stats stats;

    of_state_get_stats(s, &stats);
    return stats.synced;
}

static void
count_installed(const struct flow_entry *entry, const char *owner, void *n_)
{
    size_t *n = n_;

    ck_assert_ptr_nonnull(entry);
    n[!owner]++;
}

START_TEST(test_waits_for_start_and_dump)
{
    struct of_state *s = of_state_create();
    uint64_t v = set(s, "Pod/a", 1, 3, 1);

    next_n(s, 0);
    of_state_connected(s);
    next_n(s, 0);
    of_state_dump_done(s);
    next_n(s, 0);
    ck_assert_uint_eq(of_state_acked(s), 0);
    of_state_start(s);
    next_n(s, 3);
    ck_assert_ptr_null(of_state_next(s));       /* At most one under way. */
    ck_assert_uint_lt(of_state_acked(s), v);
    of_state_bundle_acked(s);
    ck_assert_uint_ge(of_state_acked(s), v);
    next_n(s, 0);
    of_state_destroy(s);
}
END_TEST

START_TEST(test_difference_only)
{
    struct of_state *s = create_started();
    uint64_t v = set(s, "Pod/a", 1, 1000, 1);

    next_n(s, 1000);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(set(s, "Pod/a", 1, 1000, 1), v);
    next_n(s, 0);

    /* One owner among many: the bundle has its changes only. */
    ck_assert_uint_gt(set(s, "Pod/b", 2000, 1, 1), v);
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_ADD, 2000);
    of_state_bundle_acked(s);

    /* Other actions: an addition that replaces, never a deletion.  Additions come first. */
    set(s, "Pod/b", 2000, 1, 2);
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_ADD, 2000);
    of_state_bundle_acked(s);
    set(s, "Pod/b", 2001, 1, 2);
    const struct of_bundle *bundle = next_n(s, 2);
    assert_change(&bundle->changes[0], OF_FLOW_ADD, 2001);
    assert_change(&bundle->changes[1], OF_FLOW_DELETE, 2000);
    of_state_bundle_acked(s);

    of_state_remove(s, "Pod/a");
    ck_assert_int_eq(next_n(s, 1000)->changes[999].type, OF_FLOW_DELETE);
    of_state_bundle_acked(s);

    struct of_state_stats stats;
    of_state_get_stats(s, &stats);
    ck_assert(stats.synced && stats.n_installed == 1 && stats.n_desired == 1 && stats.n_owners == 1);
    of_state_destroy(s);
}
END_TEST

START_TEST(test_change_while_under_way)
{
    struct of_state *s = create_started();

    set(s, "Pod/a", 1, 2, 1);
    next_n(s, 2);
    uint64_t v2 = set(s, "Pod/a", 2, 1, 7);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(of_state_acked(s), v2 - 1);
    const struct of_bundle *bundle = next_n(s, 2);
    assert_change(&bundle->changes[0], OF_FLOW_ADD, 2);
    assert_change(&bundle->changes[1], OF_FLOW_DELETE, 1);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(of_state_acked(s), v2);

    /* Set and removed before it was sent: nothing to do, and confirmed at once. */
    set(s, "Pod/b", 9, 1, 1);
    uint64_t v = of_state_remove(s, "Pod/b");
    next_n(s, 0);
    ck_assert_uint_eq(of_state_acked(s), v);
    of_state_destroy(s);
}
END_TEST

/* Whatever the order of events, the smaller cookie has the key, and the other takes over without a gap. */
START_TEST(test_two_owners)
{
    const char *low = "Pod/a", *high = "Pod/b";
    if (cookie_from_owner(low) > cookie_from_owner(high)) {
        low = "Pod/b";
        high = "Pod/a";
    }

    for (int order = 0; order < 2; order++) {
        struct of_state *s = create_started();

        set(s, order ? high : low, 5, 1, 1);
        next_n(s, 1);
        of_state_bundle_acked(s);
        uint64_t v = set(s, order ? low : high, 5, 1, 1);
        if (order) {
            ck_assert_uint_eq(next_n(s, 1)->changes[0].flow->cookie, cookie_from_owner(low));
            of_state_bundle_acked(s);
        }
        next_n(s, 0);
        ck_assert_uint_eq(of_state_acked(s), v);

        of_state_remove(s, low);
        const struct of_bundle *bundle = next_n(s, 1);
        assert_change(&bundle->changes[0], OF_FLOW_ADD, 5);
        ck_assert_uint_eq(bundle->changes[0].flow->cookie, cookie_from_owner(high));
        ck_assert_str_eq(of_state_owner_from_cookie(s, bundle->changes[0].flow->cookie), high);
        of_state_bundle_acked(s);
        of_state_destroy(s);
    }
}
END_TEST

START_TEST(test_dump)
{
    struct of_state *s = of_state_create();

    set(s, "Pod/a", 1, 2, 1);
    of_state_start(s);

    /* What is there already is not sent again: a restart costs no modification. */
    of_state_connected(s);
    of_state_dumped_flow(s, flow("Pod/a", 1, 1));
    of_state_dumped_flow(s, flow("Pod/a", 2, 1));
    of_state_dump_done(s);
    next_n(s, 0);
    ck_assert_uint_eq(of_state_acked(s), of_state_version(s));

    /* A foreign flow goes, a changed one is mended, a group that nobody wants goes last. */
    of_state_connected(s);
    ck_assert_uint_eq(of_state_acked(s), 0);
    of_state_dumped_flow(s, flow("Pod/a", 1, 9));
    of_state_dumped_flow(s, flow("Pod/foreign", 3, 1));
    of_state_dumped_group(s, group_entry_create(77, NULL, 0));
    of_state_dump_done(s);

    size_t n[2] = { 0, 0 };
    of_state_for_each_installed(s, count_installed, n);
    ck_assert(n[0] == 1 && n[1] == 1);

    const struct of_bundle *bundle = next_n(s, 3);
    ck_assert(bundle->changes[0].type == OF_FLOW_ADD && bundle->changes[1].type == OF_FLOW_ADD);
    assert_change(&bundle->changes[2], OF_FLOW_DELETE, 3);
    of_state_bundle_acked(s);
    ck_assert(!is_synced(s));
    assert_group(&next_n(s, 1)->changes[0], OF_GROUP_DELETE, 77, 0);
    of_state_bundle_acked(s);
    ck_assert(is_synced(s));
    next_n(s, 0);
    of_state_destroy(s);
}
END_TEST

START_TEST(test_connection_lost)
{
    struct of_state *s = create_started();
    uint64_t v = set(s, "Pod/a", 1, 2, 1);

    /* The bundle may have been applied or not; only a dump tells. */
    next_n(s, 2);
    of_state_disconnected(s);
    next_n(s, 0);
    ck_assert_uint_lt(of_state_acked(s), v);
    of_state_connected(s);
    of_state_dumped_flow(s, flow("Pod/a", 2, 1));
    next_n(s, 0);
    of_state_dump_done(s);
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_ADD, 1);
    of_state_bundle_acked(s);
    ck_assert_uint_ge(of_state_acked(s), v);

    /* A switch that restarted is empty. */
    of_state_disconnected(s);
    connect_empty(s);
    next_n(s, 2);
    of_state_bundle_acked(s);
    of_state_destroy(s);
}
END_TEST

START_TEST(test_meters)
{
    struct of_state *s = create_started();
    uint64_t v = set_meter(s, "Base/forwarding", 10);

    /* Alone in their bundles, since OVS takes none in a bundle; before the flows that use them. */
    const struct of_bundle *bundle = next_n(s, 1);
    ck_assert(bundle->changes[0].type == OF_METER_ADD && bundle->changes[0].meter.rate == 10);
    of_state_bundle_acked(s);
    ck_assert_uint_lt(of_state_acked(s), v);
    ck_assert_int_eq(next_n(s, 1)->changes[0].type, OF_FLOW_ADD);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(of_state_acked(s), v);

    set_meter(s, "Base/forwarding", 20);
    ck_assert_int_eq(next_n(s, 1)->changes[0].type, OF_METER_MODIFY);
    of_state_bundle_failed(s, 0, OFPERR_OFPMMFC_BAD_RATE);
    next_n(s, 0);                               /* The old rate stays: flows use it. */
    ck_assert_ptr_nonnull(of_state_owner_failed(s, "Base/forwarding"));

    set_meter(s, "Base/forwarding", 0);
    ck_assert_int_eq(next_n(s, 1)->changes[0].type, OF_FLOW_DELETE);
    of_state_bundle_acked(s);
    ck_assert_int_eq(next_n(s, 1)->changes[0].type, OF_METER_DELETE);
    of_state_bundle_acked(s);

    of_state_connected(s);
    of_state_dumped_meter(s, &(struct flow_meter) { 9, 1, 1 });
    of_state_dump_done(s);
    ck_assert(next_n(s, 1)->changes[0].meter.meter_id == 9);
    of_state_bundle_acked(s);
    of_state_destroy(s);
}
END_TEST

/* A switch that refuses the flow of 'in_port'.  Returns the number of bundles until nothing is left to do. */
static int
drive_refusing(struct of_state *s, uint16_t in_port, bool names_it)
{
    const struct of_bundle *bundle;
    int n = 0;

    while ((bundle = of_state_next(s))) {
        size_t bad = SIZE_MAX;

        for (size_t i = 0; i < bundle->n; i++) {
            struct match match;
            minimatch_expand(&bundle->changes[i].flow->match, &match);
            bad = ofp_to_u16(match.flow.in_port.ofp_port) == in_port ? i : bad;
        }
        if (bad == SIZE_MAX) {
            of_state_bundle_acked(s);
        } else {
            of_state_bundle_failed(s, names_it ? bad : SIZE_MAX, OFPERR_OFPBAC_BAD_OUT_GROUP);
        }
        ck_assert_int_lt(++n, 100);
    }
    return n;
}

static void
count_failed(const char *owner, const char *why, void *n)
{
    ck_assert_str_eq(owner, "Pod/bad");
    ck_assert(strstr(why, "OFPBAC_BAD_OUT_GROUP"));
    ++*(int *) n;
}

START_TEST(test_refused)
{
    for (int names_it = 0; names_it < 2; names_it++) {
        struct of_state *s = create_started();

        set(s, "Pod/good", 1, 60, 1);
        uint64_t v = set(s, "Pod/bad", 61, 2, 1);
        set(s, "Pod/late", 63, 38, 1);
        ck_assert_int_le(drive_refusing(s, 61, names_it), names_it ? 2 : 24);

        struct of_state_stats stats;
        of_state_get_stats(s, &stats);
        ck_assert(stats.synced && stats.n_installed == 99 && stats.n_quarantined == 1 && stats.n_failures >= 1);
        ck_assert_uint_ge(of_state_acked(s), v);
        ck_assert_ptr_null(of_state_owner_failed(s, "Pod/good"));
        ck_assert_ptr_null(of_state_owner_failed(s, "Pod/nobody"));
        ck_assert(strstr(of_state_owner_failed(s, "Pod/bad"), "OFPBAC_BAD_OUT_GROUP"));
        int n_failed = 0;
        of_state_for_each_failed(s, count_failed, &n_failed);
        ck_assert_int_eq(n_failed, 1);

        /* Not sent again when others change, but when its owner is set anew, or the switch is another. */
        set(s, "Pod/good", 1, 1, 1);
        next_n(s, 59);
        of_state_bundle_acked(s);
        v = set(s, "Pod/bad", 61, 2, 1);
        ck_assert_ptr_null(of_state_owner_failed(s, "Pod/bad"));
        ck_assert_uint_lt(of_state_acked(s), v);
        next_n(s, 1);
        of_state_disconnected(s);
        connect_empty(s);
        next_n(s, 41);
        of_state_bundle_acked(s);
        ck_assert_uint_ge(of_state_acked(s), v);
        of_state_destroy(s);
    }
}
END_TEST

/* The owner asked for something else before the refusal came: the new wish is not to blame. */
START_TEST(test_refused_too_late)
{
    struct of_state *s = create_started();

    set(s, "Pod/bad", 1, 1, 1);
    next_n(s, 1);
    set(s, "Pod/bad", 1, 1, 2);
    of_state_bundle_failed(s, 0, OFPERR_OFPBAC_BAD_OUT_GROUP);
    ck_assert_ptr_null(of_state_owner_failed(s, "Pod/bad"));
    next_n(s, 1);
    of_state_bundle_acked(s);
    of_state_destroy(s);
}
END_TEST

/* One owner's flows one by one, each with a cookie of its own. */
static void
note_owner(const struct flow_entry *entry, const char *owner, void *n)
{
    ck_assert(!owner || !strcmp(owner, "Base/many"));
    ck_assert(!owner == (entry->cookie == 1));
    ++((size_t *) n)[!owner];
}

START_TEST(test_flow_by_flow)
{
    struct of_state *s = create_started();
    struct flow_entry *key = flow("Pod/x", 2, 9);
    uint64_t v = 0;

    for (uint16_t i = 1; i <= 3; i++) {
        char *cookie = xasprintf("Node/%u", i);
        v = of_state_put_flow(s, "Base/many", flow(cookie, i, 1));
        free(cookie);
    }
    ck_assert_uint_eq(v, of_state_version(s));
    next_n(s, 3);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(of_state_acked(s), v);

    /* The same again is no news; another content replaces; what is not there cannot be dropped. */
    ck_assert_uint_eq(of_state_put_flow(s, "Base/many", flow("Node/2", 2, 1)), v);
    ck_assert_uint_eq(of_state_drop_flow(s, "Base/nobody", key), v);
    next_n(s, 0);
    ck_assert_uint_gt(of_state_put_flow(s, "Base/many", flow("Node/2", 2, 7)), v);
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_ADD, 2);
    of_state_bundle_acked(s);
    v = of_state_drop_flow(s, "Base/many", key);
    ck_assert_uint_gt(v, of_state_acked(s));
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_DELETE, 2);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(of_state_drop_flow(s, "Base/many", key), v);

    /* After a restart of the daemon, the dump before or behind: nothing is sent but what differs. */
    of_state_connected(s);
    of_state_dumped_flow(s, flow("Node/1", 1, 1));
    of_state_dumped_flow(s, flow("Node/3", 3, 1));
    struct flow_entry *foreign = flow("Node/4", 4, 1);
    foreign->cookie = 1;
    of_state_dumped_flow(s, foreign);
    of_state_dump_done(s);
    size_t n[2] = { 0, 0 };
    of_state_for_each_installed(s, note_owner, n);
    ck_assert(n[0] == 2 && n[1] == 1);
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_DELETE, 4);
    of_state_bundle_acked(s);

    of_state_remove(s, "Base/many");
    next_n(s, 2);
    of_state_bundle_acked(s);
    flow_entry_unref(key);
    of_state_destroy(s);
}
END_TEST

static void
collect_refused(const struct flow_entry *entry, const char *why, void *n)
{
    char *cookie = xasprintf("cookie=0x%"PRIx64",", entry->cookie);

    ck_assert(strstr(why, cookie));
    free(cookie);
    ++*(int *) n;
}

static void
collect_why(const char *owner, const char *why, void *text)
{
    ck_assert_str_eq(owner, "Base/many");
    ds_put_format(text, "%s;", why);
}

/* Each refused flow of such an owner is named, with its cookie, and the others are installed. */
START_TEST(test_refused_flow_by_flow)
{
    struct of_state *s = create_started();
    struct ds text = DS_EMPTY_INITIALIZER;
    char cookies[2][24];

    for (uint16_t i = 1; i <= 50; i++) {
        char *cookie = xasprintf("Node/%u", i);
        of_state_put_flow(s, "Base/many", flow(cookie, i, 1));
        free(cookie);
    }
    drive_refusing(s, 7, true);
    of_state_put_flow(s, "Base/many", flow("Node/51", 51, 2));
    drive_refusing(s, 51, false);
    snprintf(cookies[0], sizeof cookies[0], "0x%"PRIx64",", cookie_from_owner("Node/7"));
    snprintf(cookies[1], sizeof cookies[1], "0x%"PRIx64",", cookie_from_owner("Node/51"));
    of_state_for_each_failed(s, collect_why, &text);
    ck_assert(strstr(ds_cstr(&text), cookies[0]) && strstr(ds_cstr(&text), cookies[1]));

    int n = 0;
    of_state_for_each_refused(s, "Base/many", collect_refused, &n);
    of_state_for_each_refused(s, "Base/nobody", collect_refused, &n);
    ck_assert_int_eq(n, 2);

    struct of_state_stats stats;
    of_state_get_stats(s, &stats);
    ck_assert(stats.synced && stats.n_installed == 49 && stats.n_quarantined == 2);

    struct flow_entry *key = flow("Node/7", 7, 1);
    of_state_drop_flow(s, "Base/many", key);
    flow_entry_unref(key);
    of_state_get_stats(s, &stats);
    ck_assert_uint_eq(stats.n_quarantined, 1);
    of_state_destroy(s);
    ds_destroy(&text);
}
END_TEST

/* What the switch told and what is wanted are one copy, whichever came first. */
START_TEST(test_one_copy)
{
    for (int dump_first = 0; dump_first < 2; dump_first++) {
        struct flow_entry *wanted = flow("Base/many", 1, 1), *told = flow("Base/many", 1, 1);
        struct of_state *s = of_state_create();

        if (!dump_first) {
            of_state_put_flow(s, "Base/many", flow_entry_ref(wanted));
        }
        of_state_connected(s);
        of_state_dumped_flow(s, flow_entry_ref(told));
        of_state_dump_done(s);
        if (dump_first) {
            ck_assert_uint_eq(told->ref_count, 2);
            of_state_put_flow(s, "Base/many", flow_entry_ref(wanted));
        }
        of_state_start(s);
        next_n(s, 0);
        ck_assert(told->ref_count == 1 && wanted->ref_count == 3);      /* Wanted, installed, and ours. */
        of_state_destroy(s);
        flow_entry_unref(wanted);
        flow_entry_unref(told);
    }
}
END_TEST

/* What a flow of an identity costs, everything included: less than 500 bytes. */
START_TEST(test_memory_flow_by_flow)
{
    enum { N = 100000, LIMIT = 500 };
    struct of_state *s = create_started();
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;

    for (uint32_t i = 0; i < N; i++) {
        struct match match;
        uint64_t stub[64 / 8];
        struct ofpbuf actions;

        match_init_catchall(&match);
        match_set_metadata(&match, htonll(1));
        match_set_dl_type(&match, htons(ETH_TYPE_IP));
        match_set_nw_src(&match, htonl(0x0a000000 + i));
        ofpbuf_use_stub(&actions, stub, sizeof stub);
        ovs_be32 value = htonl(i + 1);
        ofpact_put_set_field(&actions, mf_from_id(MFF_REG5), &value, NULL);
        ofpact_put_GOTO_TABLE(&actions)->table_id = 60;
        of_state_put_flow(s, "Base/many", flow_entry_create(58, 132, i, &match, actions.data, actions.size));
    }
    size_t bytes = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / N;
    printf("%zu bytes for a flow\n", bytes);
    next_n(s, N);
    of_state_bundle_acked(s);
#ifdef __SANITIZE_ADDRESS__
    bytes = 0;
#endif
    ck_assert_uint_lt(bytes, LIMIT);
    of_state_destroy(s);
}
END_TEST

/* Groups. -------------------------------------------------------------------------------------------------------- */

/* A group with 'n' buckets without actions, of weight 'weight'. */
static struct group_entry *
group(uint32_t id, size_t n, uint16_t weight)
{
    struct group_bucket buckets[8];

    for (size_t i = 0; i < n; i++) {
        buckets[i] = (struct group_bucket) { .bucket_id = i, .weight = weight };
    }
    return group_entry_create(id, buckets, n);
}

/* A flow of cookie 7 that sends what comes from 'in_port' to a group. */
static struct flow_entry *
group_flow(uint16_t in_port, uint32_t group_id)
{
    struct match match;
    uint64_t stub[64 / 8];
    struct ofpbuf actions;

    match_init_catchall(&match);
    match_set_in_port(&match, u16_to_ofp(in_port));
    ofpbuf_use_stub(&actions, stub, sizeof stub);
    ofpact_put_GROUP(&actions)->group_id = group_id;
    return flow_entry_create(0, 100, 7, &match, actions.data, actions.size);
}

/* What services 23 and 28 need: groups before flows, flows before the deletion of groups, no change for nothing. */
START_TEST(test_groups)
{
    struct of_state *s = create_started();
    struct flow_entry *f = group_flow(1, 5);
    const struct of_bundle *bundle;

    of_state_put_flow(s, "Base/services", flow_entry_ref(f));
    uint64_t v = of_state_put_group(s, "Base/services", group(5, 2, 1));
    bundle = next_n(s, 2);
    assert_group(&bundle->changes[0], OF_GROUP_ADD, 5, 2);
    assert_change(&bundle->changes[1], OF_FLOW_ADD, 1);
    of_state_bundle_acked(s);
    ck_assert_uint_eq(of_state_acked(s), v);

    ck_assert_uint_eq(of_state_put_group(s, "Base/services", group(5, 2, 1)), v);
    next_n(s, 0);
    of_state_put_group(s, "Base/services", group(5, 2, 9));
    assert_group(&next_n(s, 1)->changes[0], OF_GROUP_MODIFY, 5, 2);
    of_state_bundle_acked(s);

    /* OVS would delete the flow with the group. */
    of_state_drop_group(s, "Base/services", 5);
    next_n(s, 0);
    of_state_drop_flow(s, "Base/services", f);
    assert_change(&next_n(s, 1)->changes[0], OF_FLOW_DELETE, 1);
    of_state_bundle_acked(s);
    v = of_state_drop_group(s, "Base/services", 5);
    assert_group(&next_n(s, 1)->changes[0], OF_GROUP_DELETE, 5, 2);
    of_state_bundle_acked(s);
    ck_assert(of_state_acked(s) >= v && is_synced(s));
    flow_entry_unref(f);
    of_state_destroy(s);
}
END_TEST

/* A restart finds no difference; what is another group becomes ours in its place. */
START_TEST(test_groups_dumped)
{
    struct of_state *s = of_state_create();
    struct flow_set set = FLOW_SET_INIT;

    flow_set_add_group(&set, group(5, 2, 1));
    flow_set_add_nocopy(&set, group_flow(1, 5));
    of_state_set(s, "Base/forwarding", &set);
    flow_set_destroy(&set);
    of_state_start(s);

    of_state_connected(s);
    of_state_dumped_group(s, group(5, 2, 1));
    of_state_dumped_flow(s, group_flow(1, 5));
    of_state_dump_done(s);
    next_n(s, 0);
    ck_assert(is_synced(s));

    of_state_connected(s);
    of_state_dumped_group(s, group(5, 3, 1));
    of_state_dumped_flow(s, group_flow(1, 5));
    of_state_dumped_flow(s, group_flow(2, 6));
    of_state_dumped_group(s, group(6, 1, 1));
    of_state_dump_done(s);
    const struct of_bundle *bundle = next_n(s, 2);
    assert_group(&bundle->changes[0], OF_GROUP_MODIFY, 5, 2);
    assert_change(&bundle->changes[1], OF_FLOW_DELETE, 2);
    of_state_bundle_acked(s);
    assert_group(&next_n(s, 1)->changes[0], OF_GROUP_DELETE, 6, 1);
    of_state_bundle_acked(s);
    ck_assert(is_synced(s));
    of_state_destroy(s);
}
END_TEST

static void
count_failed_groups(const char *owner, const char *why, void *n_)
{
    int *n = n_;

    ck_assert_str_eq(owner, "Base/services");
    ck_assert_ptr_nonnull(strstr(why, "group="));
    ++*n;
}

/* A refused group has no buckets: nothing goes where it should not, and the others are there. */
START_TEST(test_group_refused)
{
    struct of_state *s = create_started();
    struct flow_entry *f = group_flow(1, 5);

    of_state_put_flow(s, "Base/services", flow_entry_ref(f));
    of_state_put_group(s, "Base/services", group(5, 2, 1));
    of_state_put_group(s, "Base/services", group(6, 2, 1));
    const struct of_bundle *bundle = next_n(s, 3);
    size_t bad = group_entry_id(bundle->changes[0].group) == 5 ? 0 : 1;
    of_state_bundle_failed(s, bad, OFPERR_OFPGMFC_BAD_BUCKET);
    int n = 0;
    of_state_for_each_failed(s, count_failed_groups, &n);
    ck_assert_int_eq(n, 1);

    bundle = next_n(s, 3);
    bad = group_entry_id(bundle->changes[0].group) == 5 ? 0 : 1;
    assert_group(&bundle->changes[bad], OF_GROUP_ADD, 5, 0);
    assert_group(&bundle->changes[!bad], OF_GROUP_ADD, 6, 2);
    assert_change(&bundle->changes[2], OF_FLOW_ADD, 1);
    of_state_bundle_acked(s);
    ck_assert(is_synced(s));
    next_n(s, 0);

    /* Mended, and refused again when it is changed: what was there goes. */
    of_state_put_group(s, "Base/services", group(5, 3, 1));
    assert_group(&next_n(s, 1)->changes[0], OF_GROUP_MODIFY, 5, 3);
    ck_assert_ptr_null(of_state_owner_failed(s, "Base/services"));
    of_state_bundle_acked(s);
    of_state_put_group(s, "Base/services", group(5, 4, 1));
    next_n(s, 1);
    of_state_bundle_failed(s, 0, OFPERR_OFPGMFC_BAD_BUCKET);
    assert_group(&next_n(s, 1)->changes[0], OF_GROUP_MODIFY, 5, 0);

    /* A switch that refuses even that is not asked for ever. */
    of_state_bundle_failed(s, 0, OFPERR_OFPGMFC_BAD_BUCKET);
    next_n(s, 0);
    of_state_disconnected(s);
    connect_empty(s);
    next_n(s, 3);
    flow_entry_unref(f);
    of_state_destroy(s);
}
END_TEST

UNIT_MAIN("of-state", {
    tcase_add_test(tc, test_waits_for_start_and_dump);
    tcase_add_test(tc, test_difference_only);
    tcase_add_test(tc, test_change_while_under_way);
    tcase_add_test(tc, test_two_owners);
    tcase_add_test(tc, test_dump);
    tcase_add_test(tc, test_connection_lost);
    tcase_add_test(tc, test_meters);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_refused_too_late);
    tcase_add_test(tc, test_flow_by_flow);
    tcase_add_test(tc, test_refused_flow_by_flow);
    tcase_add_test(tc, test_one_copy);
    tcase_add_test(tc, test_memory_flow_by_flow);
    tcase_add_test(tc, test_groups);
    tcase_add_test(tc, test_groups_dumped);
    tcase_add_test(tc, test_group_refused);
})
