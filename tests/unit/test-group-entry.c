#include <config.h>

#include <string.h>

#include "flow-set.h"
#include "inet.h"
#include "openflow/openflow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-group.h"
#include "openvswitch/ofp-msgs.h"
#include "unit.h"
#include "util.h"

/* Groups as values: services 6 needs them; what is declared and what a switch tells must be comparable. */

#define DST(I) htonl(0x0a000001 + (I))

/* ct(commit,zone=NXM_OF_..., nat(dst=10.0.0.1+I:8080),table=12), the bucket of a Service. */
static void
put_ct_nat(struct ofpbuf *ofpacts, uint32_t i)
{
    struct ofpact_conntrack *ct = ofpact_put_CT(ofpacts);

    ct->flags = NX_CT_F_COMMIT;
    ct->zone_src = (struct mf_subfield) { .field = mf_from_id(MFF_METADATA), .ofs = 0, .n_bits = 16 };
    ct->recirc_table = 12;
    size_t nat_offset = ofpacts->size;
    ofpbuf_pull(ofpacts, nat_offset);
    struct ofpact_nat *nat = ofpact_put_NAT(ofpacts);
    nat->flags = NX_NAT_F_DST;
    nat->range_af = AF_INET;
    nat->range.addr.ipv4.min = DST(i);
    nat->range.proto.min = 8080;
    ofpacts->header = ofpbuf_push_uninit(ofpacts, nat_offset);
    ct = ofpacts->header;
    ofpact_finish(ofpacts, &ct->ofpact);
}

static struct group_entry *
group(uint32_t id, size_t n, uint16_t weight, uint32_t first)
{
    struct group_bucket *buckets = xcalloc(n + 1, sizeof *buckets);
    struct ofpbuf *actions = xcalloc(n + 1, sizeof *actions);

    for (size_t i = 0; i < n; i++) {
        ofpbuf_init(&actions[i], 128);
        put_ct_nat(&actions[i], first + i);
        buckets[i] = (struct group_bucket) { first + i, weight, actions[i].data, actions[i].size };
    }
    struct group_entry *g = group_entry_create(id, buckets, n);
    for (size_t i = 0; i < n; i++) {
        ofpbuf_uninit(&actions[i]);
    }
    free(actions);
    free(buckets);
    return g;
}

static char *
text(const struct group_entry *g)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    group_entry_format(g, &ds);
    return ds_steal_cstr(&ds);
}

START_TEST(test_text)
{
    struct group_entry *g = group(7, 2, 100, 1);
    char *s = text(g);

    ck_assert_uint_eq(group_entry_id(g), 7);
    ck_assert_uint_eq(group_entry_n_buckets(g), 2);
    ck_assert_str_eq(s, "group_id=7,type=select,selection_method=dp_hash,"
                     "bucket=bucket_id:1,weight:100,actions=ct(commit,table=12,zone=OXM_OF_METADATA[0..15],"
                     "nat(dst=10.0.0.2:8080)),"
                     "bucket=bucket_id:2,weight:100,actions=ct(commit,table=12,zone=OXM_OF_METADATA[0..15],"
                     "nat(dst=10.0.0.3:8080))");

    /* What "ovs-ofctl add-group" makes of the text is the same group. */
    struct ofputil_group_mod gm;
    enum ofputil_protocol usable;
    char *error = parse_ofp_group_mod_str(&gm, OFPGC11_ADD, s, NULL, NULL, &usable);
    ck_assert_msg(!error, "%s", error);
    struct ofputil_group_desc gd = { .type = gm.type, .group_id = gm.group_id, .props = gm.props };
    ovs_list_move(&gd.buckets, &gm.buckets);
    struct group_entry *parsed = group_entry_from_desc(&gd);
    ck_assert(group_entry_equal(g, parsed));
    ck_assert_uint_eq(ovs_list_size(&gd.buckets), 2);
    ofputil_uninit_group_desc(&gd);
    group_entry_unref(parsed);
    free(s);
    group_entry_unref(g);
}
END_TEST

START_TEST(test_equal)
{
    struct group_entry *g = group(7, 3, 100, 1), *same = group(7, 3, 100, 1), *weight = group(7, 3, 99, 1);
    struct group_entry *fewer = group(7, 2, 100, 1), *other = group(7, 3, 100, 2), *id = group(8, 3, 100, 1);

    ck_assert(group_entry_equal(g, g) && group_entry_equal(g, same));
    ck_assert(!group_entry_equal(g, weight) && !group_entry_equal(g, fewer));
    ck_assert(!group_entry_equal(g, other) && !group_entry_equal(g, id));
    ck_assert_ptr_eq(group_entry_ref(g), g);
    group_entry_unref(g);
    group_entry_unref(g);
    group_entry_unref(same);
    group_entry_unref(weight);
    group_entry_unref(fewer);
    group_entry_unref(other);
    group_entry_unref(id);
    group_entry_unref(NULL);
}
END_TEST

/* Through the words of a switch and back. */
static void
check_desc(const struct group_entry *g, size_t n_buckets)
{
    struct ofputil_group_mod gm;
    struct ovs_list replies;

    struct ofpbuf *mod = group_entry_encode(g, OFPGC11_MODIFY);
    ck_assert(!ofputil_decode_group_mod(mod->data, &gm));
    ck_assert_int_eq(gm.command, OFPGC11_MODIFY);
    ck_assert_uint_eq(ovs_list_size(&gm.buckets), n_buckets);

    struct ofpbuf *request = ofputil_encode_group_desc_request(OFP15_VERSION, OFPG_ALL);
    ofpmp_init(&replies, request->data);
    struct ofputil_group_desc gd = { .type = gm.type, .group_id = gm.group_id, .props = gm.props };
    ofputil_append_group_desc_reply(&gd, &gm.buckets, &replies);
    struct ofpbuf *reply = ofpbuf_from_list(ovs_list_front(&replies));
    struct ofpbuf msg = ofpbuf_const_initializer(reply->data, reply->size);
    struct ofputil_group_desc told;
    ofpmsg_update_length(reply);
    ck_assert(!ofputil_decode_group_desc_reply(&told, &msg, OFP15_VERSION));
    struct group_entry *dumped = group_entry_from_desc(&told);
    ck_assert(group_entry_equal(g, dumped));

    /* The same buckets in a group of another kind are not the same. */
    told.type = OFPGT11_ALL;
    struct group_entry *foreign = group_entry_from_desc(&told);
    ck_assert(!group_entry_equal(g, foreign));
    group_entry_unref(foreign);

    ofputil_uninit_group_desc(&told);
    group_entry_unref(dumped);
    ofpbuf_list_delete(&replies);
    ofpbuf_delete(request);
    ofputil_uninit_group_mod(&gm);
    ofpbuf_delete(mod);
}

START_TEST(test_desc)
{
    struct group_entry *g = group(7, 25, 100, 1);

    check_desc(g, 25);
    group_entry_unref(g);
}
END_TEST

/* services 21: by the client's address. */
START_TEST(test_hash)
{
    static const enum mf_field_id fields[] = { MFF_IPV4_SRC, MFF_IPV6_SRC };
    static const char *const texts[] = {
        "group_id=7,type=select,selection_method=hash,fields=ip_src,bucket=bucket_id:3,weight:100,actions=drop",
        "group_id=7,type=select,selection_method=hash,fields=ipv6_src,bucket=bucket_id:3,weight:100,actions=drop",
    };
    const struct group_bucket bucket = { .bucket_id = 3, .weight = 100 };
    struct group_entry *g = group_entry_create_hash(7, fields[_i], &bucket, 1);
    struct group_entry *other = group_entry_create_hash(7, fields[!_i], &bucket, 1);
    struct group_entry *dp_hash = group_entry_create(7, &bucket, 1);

    char *s = text(g);
    ck_assert_str_eq(s, texts[_i]);
    free(s);
    check_desc(g, 1);
    ck_assert(!group_entry_equal(g, other) && !group_entry_equal(g, dp_hash));
    group_entry_unref(g);
    group_entry_unref(other);
    group_entry_unref(dp_hash);
}
END_TEST

/* services 6: one endpoint needs no choice. */
START_TEST(test_indirect)
{
    const struct group_bucket bucket = { .bucket_id = 3, .weight = 100 };
    struct group_entry *g = group_entry_create_indirect(7, &bucket), *select = group_entry_create(7, &bucket, 1);

    char *s = text(g);
    ck_assert_str_eq(s, "group_id=7,type=indirect,bucket=bucket_id:3,actions=drop");
    free(s);
    check_desc(g, 1);
    ck_assert(!group_entry_equal(g, select));
    group_entry_unref(g);
    group_entry_unref(select);
}
END_TEST

/* OpenFlow allows 64 KB. */
START_TEST(test_large)
{
    struct group_entry *fits = group(1, 700, 1, 1), *long_one = group(1, 2000, 1, 1), *empty = group(1, 0, 1, 1);

    ck_assert_uint_eq(group_entry_n_buckets(fits), 700);
    ck_assert_uint_eq(group_entry_n_buckets(long_one), 0);
    ck_assert(group_entry_equal(long_one, empty));
    char *s = text(empty);
    ck_assert_str_eq(s, "group_id=1,type=select,selection_method=dp_hash");
    free(s);
    group_entry_unref(fits);
    group_entry_unref(long_one);
    group_entry_unref(empty);
}
END_TEST

START_TEST(test_set)
{
    struct flow_set set = FLOW_SET_INIT;
    struct ds ds = DS_EMPTY_INITIALIZER;

    flow_set_add_group(&set, group(9, 0, 1, 1));
    flow_set_add_group(&set, group(3, 0, 1, 1));
    flow_set_sort(&set);
    ck_assert_uint_eq(group_entry_id(set.groups[0]), 3);
    flow_set_format(&set, true, &ds);
    ck_assert_str_eq(ds_cstr(&ds), "group_id=3,type=select,selection_method=dp_hash\n"
                     "group_id=9,type=select,selection_method=dp_hash\n");
    ds_clear(&ds);
    flow_set_format(&set, false, &ds);          /* What "ovs-ofctl parse-flows" reads: flows. */
    ck_assert_str_eq(ds_cstr(&ds), "");
    ds_destroy(&ds);
    flow_set_destroy(&set);
}
END_TEST

UNIT_MAIN("group-entry", {
    tcase_add_test(tc, test_text);
    tcase_add_test(tc, test_equal);
    tcase_add_test(tc, test_desc);
    tcase_add_loop_test(tc, test_hash, 0, 2);
    tcase_add_test(tc, test_indirect);
    tcase_add_test(tc, test_large);
    tcase_add_test(tc, test_set);
})
