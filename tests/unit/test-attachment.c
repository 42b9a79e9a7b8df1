#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "controller/attachment.h"
#include "controller/ipam.h"
#include "journal.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "sset.h"
#include "unit.h"
#include "util.h"

/* A scripted shell: it logs each effect, and answers at once with success, unless its name is in 'hold' (no answer
 * yet) or in 'fail'.  The journal is an array of texts. */
struct shell {
    struct ipam *ipam;
    struct attachments *t;
    long long int now;
    struct ds log;
    struct sset hold, fail;
    int fail_code;
    char *journal[256];
    size_t n_journal;
    struct cni_reply replies[64];       /* By request; code NO_REPLY: none. */
    uint64_t last_id;
};

#define NO_REPLY ((enum cni_code) 999)

static const char *
effect_name(const struct attachment_effect *e)
{
    static const char *const names[] = {
        [ATTACHMENT_LINK_CREATE] = "create", [ATTACHMENT_LINK_CONFIGURE] = "configure", [ATTACHMENT_LINK_MTU] = "mtu",
        [ATTACHMENT_LINK_DELETE] = "delete", [ATTACHMENT_LINK_TRASH] = "trash", [ATTACHMENT_PORT_SET] = "port",
        [ATTACHMENT_PORT_REMOVE] = "-port", [ATTACHMENT_FLOWS_SET] = "flows", [ATTACHMENT_FLOWS_REMOVE] = "-flows",
        [ATTACHMENT_CHECK] = "check", [ATTACHMENT_DENIED] = "denied",
    };
    if (e->type == ATTACHMENT_JOURNAL) {
        return strstr(e->record, "\"op\":\"add\"") ? "record-add" : strstr(e->record, "\"op\":\"up\"") ? "record-up"
               : strstr(e->record, "\"op\":\"del\"") ? "record-del"
               : strstr(e->record, "\"op\":\"known\"") ? "record-known"
               : strstr(e->record, "\"op\":\"mtu\"") ? "record-mtu" : "record-tomb";
    }
    return names[e->type];
}

static bool
is_isolated(const struct shell *s, uint64_t id)
{
    const struct attachment *a = attachments_get(s->t, id);
    return a && !a->known;
}

static void
answer(struct shell *s, enum attachment_effect_type type, uint64_t id, uint64_t ticket, uint64_t request,
       const char *why)
{
    static const struct eth_addr host_mac = ETH_ADDR_C(02,00,00,00,00,99);
    int code = why ? s->fail_code : 0;

    switch (type) {
    case ATTACHMENT_JOURNAL:
        attachments_journaled(s->t, ticket, s->n_journal, why, s->now);
        if (!sset_contains(&s->hold, "sync")) {
            attachments_journal_synced(s->t, s->n_journal, s->now);
        }
        break;
    case ATTACHMENT_LINK_CREATE: case ATTACHMENT_LINK_CONFIGURE: case ATTACHMENT_LINK_MTU:
        attachments_link_done(s->t, id, type, code, why, &host_mac, s->now);
        break;
    case ATTACHMENT_LINK_DELETE: case ATTACHMENT_LINK_TRASH:
        attachments_link_gone(s->t, id, s->now);
        break;
    case ATTACHMENT_PORT_SET:
        attachments_port_done(s->t, id, why, s->now);
        break;
    case ATTACHMENT_PORT_REMOVE:
        attachments_port_gone(s->t, id, s->now);
        break;
    case ATTACHMENT_FLOWS_SET:
        attachments_flows_done(s->t, id, is_isolated(s, id), why, s->now);
        break;
    case ATTACHMENT_FLOWS_REMOVE:
        attachments_flows_gone(s->t, id, s->now);
        break;
    case ATTACHMENT_CHECK:
        attachments_checked(s->t, request, why ? CNI_E_BROKEN : CNI_OK, why);
        break;
    case ATTACHMENT_DENIED: case ATTACHMENT_REPLY:
        break;
    }
}

/* Carries out all effects. */
static void
run(struct shell *s)
{
    struct attachment_effect *e;
    while ((e = attachments_pop(s->t))) {
        if (e->type == ATTACHMENT_REPLY) {
            struct cni_reply *reply = &s->replies[e->request];
            ck_assert_int_eq(reply->code, NO_REPLY);          /* One reply for each request. */
            *reply = e->reply;
            memset(&e->reply, 0, sizeof e->reply);
            ds_put_format(&s->log, "reply%llu=%d ", (unsigned long long int) e->request, reply->code);
        } else {
            const char *name = effect_name(e);
            bool fail = sset_contains(&s->fail, name);
            ds_put_format(&s->log, "%s%s ", e->type == ATTACHMENT_FLOWS_SET && !e->attachment->known ? "isolated-" : "",
                          name);
            s->last_id = e->attachment ? e->attachment->id : 0;
            if (e->type == ATTACHMENT_JOURNAL && !fail) {
                s->journal[s->n_journal++] = xmemdup0(e->record, e->record_size);
            }
            if (!sset_contains(&s->hold, name)) {
                answer(s, e->type, s->last_id, e->ticket, e->request, fail ? "by the test" : NULL);
            }
        }
        attachment_effect_destroy(e);
    }
}

static void
expect(struct shell *s, const char *log)
{
    run(s);
    ds_chomp(&s->log, ' ');
    ck_assert_str_eq(ds_cstr(&s->log), log);
    ds_clear(&s->log);
}

static void
start_tables(struct shell *s, const char *boot_id)
{
    struct ipam_config config = { .quarantine_ms = 60000 };
    s->ipam = ipam_create(&config);
    s->t = attachments_create(s->ipam, boot_id);
}

static void
make_ready(struct shell *s)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct inet_prefix pools[2];
    inet_cidr_parse("10.244.1.0/24", &pools[0], NULL);
    inet_cidr_parse("fd00:1::/64", &pools[1], NULL);
    ck_assert_msg(!attachments_set_pools(s->t, pools, 2, s->now, &error), "%s", error_message(&error));
    attachments_set_mtu(s->t, 1450, s->now);
    attachments_set_ready(s->t, NULL, s->now);
}

static struct shell *
shell_create(void)
{
    struct shell *s = xzalloc(sizeof *s);
    ds_init(&s->log);
    sset_init(&s->hold);
    sset_init(&s->fail);
    s->fail_code = EIO;
    s->now = 1000000;
    for (size_t i = 0; i < ARRAY_SIZE(s->replies); i++) {
        s->replies[i].code = NO_REPLY;
    }
    start_tables(s, "boot-1");
    make_ready(s);
    return s;
}

static void
shell_destroy(struct shell *s)
{
    attachments_destroy(s->t);
    ipam_destroy(s->ipam);
    for (size_t i = 0; i < s->n_journal; i++) {
        free(s->journal[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(s->replies); i++) {
        cni_reply_destroy(&s->replies[i]);
    }
    ds_destroy(&s->log);
    sset_destroy(&s->hold);
    sset_destroy(&s->fail);
    free(s);
}

/* The daemon dies and starts again, perhaps after a reboot. */
static void
restart(struct shell *s, const char *boot_id)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    attachments_destroy(s->t);
    ipam_destroy(s->ipam);
    start_tables(s, boot_id);
    for (size_t i = 0; i < s->n_journal; i++) {
        ck_assert_msg(!attachments_replay(s->t, s->journal[i], strlen(s->journal[i]), &error), "%s: %s", s->journal[i],
                      error_message(&error));
    }
    ck_assert_msg(!attachments_recover(s->t, s->now, &error), "%s", error_message(&error));
    make_ready(s);
}

static struct cni_request
request(const char *container_id)
{
    return (struct cni_request) {
        .network = CONST_CAST(char *, "sluice"), .container_id = CONST_CAST(char *, container_id),
        .ifname = CONST_CAST(char *, "eth0"), .netns = CONST_CAST(char *, "/run/netns/x"),
        .pod_namespace = CONST_CAST(char *, "default"), .pod_name = CONST_CAST(char *, container_id),
    };
}

static void
add(struct shell *s, uint64_t rq, const char *cid, uint64_t ino)
{
    struct cni_request r = request(cid);
    attachments_add(s->t, rq, &r, (struct netns_id) { 4, ino }, s->now, s->now);
}

static void
del(struct shell *s, uint64_t rq, const char *cid)
{
    struct cni_request r = request(cid);
    attachments_del(s->t, rq, &r, s->now, s->now);
}

static const struct attachment *
find(const struct shell *s, const char *cid)
{
    return attachments_find(s->t, "sluice", cid, "eth0");
}

static uint64_t
n_used(const struct shell *s)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    ipam_get_stats(s->ipam, stats);
    return stats[0].used;
}

static enum ipam_address_state
state_of(const struct shell *s, const char *address)
{
    struct in6_addr addr;
    inet_addr_parse(address, &addr, NULL);
    return ipam_lookup(s->ipam, &addr, NULL);
}

#define ADD_LOG "record-add create flows port configure record-up"
#define DEL_LOG "-flows trash record-del -port"

START_TEST(test_add)                    /* cni A3, A4, C4 */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    expect(s, ADD_LOG " reply1=0");
    const struct cni_result *r = &s->replies[1].result;
    ck_assert(s->replies[1].has_result);
    ck_assert_str_eq(r->ifname, "eth0");
    ck_assert_uint_eq(strlen(r->host_ifname), 15);
    ck_assert_int_eq(strncmp(r->host_ifname, "slp", 3), 0);
    ck_assert_str_eq(r->host_mac, "02:00:00:00:00:99");
    ck_assert_int_eq(r->mtu, 1450);
    ck_assert_uint_eq(r->n_ips, 2);
    ck_assert_str_eq(r->ips[0].address, "10.244.1.2/32");
    ck_assert_str_eq(r->ips[0].gateway, "10.244.1.1");
    ck_assert_uint_eq(r->n_routes, 2);
    ck_assert_str_eq(r->routes[1].dst, "::/0");
    ck_assert_str_eq(find(s, "a")->owner, "Pod/default/a/eth0");
    ck_assert_uint_eq(attachments_count(s->t, ATTACHMENT_UP), 1);
    ck_assert(attachments_next_timeout(s->t) == LLONG_MAX);
    struct cni_request check = request("a");
    attachments_check(s->t, 2, &check);
    expect(s, "check reply2=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_add_waits_for_everything)
{
    static const enum attachment_effect_type types[] = { ATTACHMENT_PORT_SET, ATTACHMENT_FLOWS_SET,
                                                         ATTACHMENT_LINK_CONFIGURE };
    static const char *const names[] = { "port", "flows", "configure" };
    for (size_t i = 0; i < 3; i++) {
        struct shell *s = shell_create();
        sset_add(&s->hold, names[i]);
        add(s, 1, "a", 1);
        expect(s, "record-add create flows port configure");
        answer(s, types[i], s->last_id, 0, 0, NULL);
        expect(s, "record-up reply1=0");
        shell_destroy(s);
    }
    struct shell *s = shell_create();
    sset_add(&s->hold, "sync");
    add(s, 1, "a", 1);
    expect(s, "record-add create flows port configure");
    attachments_journal_synced(s->t, 1, s->now);
    expect(s, "record-up reply1=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_failures_undo)          /* cni A6, A9; ipam 5 */
{
    static const struct {
        const char *fail;
        int code;
        const char *log;
        uint64_t n_quarantined;
    } cases[] = {
        { "record-add", EIO, "record-add reply1=5", 0 },
        { "create", EIO, "record-add create flows -flows record-del reply1=100", 1 },
        { "create", EEXIST, "record-add create flows -flows record-del reply1=101", 1 },
        { "port", EIO, "record-add create flows port configure -flows record-del -port delete reply1=100", 1 },
        { "flows", EIO, "record-add create flows port configure -flows record-del -port delete reply1=100", 1 },
        { "configure", EIO, "record-add create flows port configure -flows record-del -port delete reply1=100", 1 },
        { "record-up", ENOSPC, ADD_LOG " -flows record-del -port delete reply1=5", 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct shell *s = shell_create();
        struct ipam_stats stats[IPAM_MAX_ADDRS];
        sset_add(&s->fail, cases[i].fail);
        s->fail_code = cases[i].code;
        add(s, 1, "a", 1);
        run(s);
        ck_assert_msg(s->replies[1].code > 0 && s->replies[1].message[0], "%s: no error", cases[i].fail);
        ck_assert_ptr_null(find(s, "a"));
        ck_assert_uint_eq(n_used(s), 0);
        ipam_get_stats(s->ipam, stats);
        ck_assert_uint_eq(stats[0].quarantined, cases[i].n_quarantined);
        ck_assert_uint_eq(stats[0].unacknowledged, 0);
        expect(s, cases[i].log);
        del(s, 2, "a");
        run(s);
        ck_assert_int_eq(s->replies[2].code, CNI_OK);
        shell_destroy(s);
    }
}
END_TEST

START_TEST(test_twice)                  /* cni A8, D1, D2; matrix 5, 7, 11 */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    run(s);
    add(s, 2, "a", 1);
    run(s);
    ck_assert_int_eq(s->replies[2].code, CNI_E_EXISTS);
    ck_assert_int_eq(find(s, "a")->state, ATTACHMENT_UP);
    ds_clear(&s->log);
    del(s, 3, "a");
    expect(s, DEL_LOG " reply3=0");
    del(s, 4, "a");
    expect(s, "record-tomb reply4=0");
    del(s, 5, "never");
    expect(s, "record-tomb reply5=0");

    s->now += 10;
    add(s, 6, "a", 1);                  /* A DEL from the spool that is older (D5). */
    run(s);
    struct cni_request late = request("a");
    attachments_del(s->t, 7, &late, s->now - 1, s->now);
    run(s);
    ck_assert_int_eq(s->replies[7].code, CNI_OK);
    ck_assert_ptr_nonnull(find(s, "a"));
    shell_destroy(s);
}
END_TEST

START_TEST(test_del_waits)              /* ipam 4; cni D5 */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    run(s);
    uint64_t id = find(s, "a")->id;
    sset_add(&s->hold, "-flows");
    sset_add(&s->hold, "-port");
    sset_add(&s->hold, "trash");
    ds_clear(&s->log);
    del(s, 2, "a");
    expect(s, "-flows trash record-del");
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_UNACKNOWLEDGED);
    attachments_flows_done(s->t, id, false, NULL, s->now);     /* An answer of before. */
    expect(s, "");
    attachments_flows_gone(s->t, id, s->now);
    expect(s, "-port");
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_UNACKNOWLEDGED);
    attachments_port_gone(s->t, id, s->now);
    expect(s, "reply2=0");
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_QUARANTINED);
    ck_assert_uint_eq(attachments_count(s->t, ATTACHMENT_REMOVING), 1);
    ck_assert(attachments_next_timeout(s->t) == LLONG_MAX);
    attachments_link_gone(s->t, id, s->now);
    ck_assert_uint_eq(attachments_count(s->t, ATTACHMENT_REMOVING), 0);
    shell_destroy(s);
}
END_TEST

START_TEST(test_same_name_after_del)    /* FACTS.md: "an ADD of the same name in the same namespace right after it" */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 7);
    run(s);
    uint64_t old = find(s, "a")->id;
    sset_add(&s->hold, "trash");
    sset_add(&s->hold, "delete");
    del(s, 2, "a");
    run(s);
    ck_assert_int_eq(s->replies[2].code, CNI_OK);
    ds_clear(&s->log);
    add(s, 3, "a", 7);
    expect(s, "record-add delete flows");
    attachments_link_gone(s->t, old, s->now);
    expect(s, "create port configure record-up reply3=0");
    ck_assert_str_ne(s->replies[3].result.host_ifname, s->replies[1].result.host_ifname);
    ck_assert_str_eq(find(s, "a")->owner, "Pod/default/a/eth0");
    add(s, 4, "other", 8);              /* Another namespace waits for nobody. */
    expect(s, ADD_LOG " reply4=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_del_races_add)          /* cni D10 */
{
    struct shell *s = shell_create();
    sset_add(&s->hold, "create");
    add(s, 1, "a", 1);
    expect(s, "record-add create flows");
    del(s, 2, "a");
    expect(s, "-flows record-del");
    answer(s, ATTACHMENT_LINK_CREATE, s->last_id, 0, 0, NULL);
    expect(s, "delete reply1=100 reply2=0");

    struct cni_request r = request("a");
    s->now += 1000;
    attachments_add(s->t, 3, &r, (struct netns_id) { 4, 1 }, s->now - 2000, s->now);
    expect(s, "reply3=100");            /* Its plugin was started before the DEL. */
    sset_find_and_delete(&s->hold, "create");
    add(s, 4, "a", 1);                  /* A new one is fine. */
    expect(s, ADD_LOG " reply4=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_client_gone)            /* matrix 13: kill -9 of the plugin */
{
    struct shell *s = shell_create();
    sset_add(&s->hold, "flows");
    add(s, 1, "a", 1);
    expect(s, "record-add create flows port configure");
    attachments_client_gone(s->t, 1, s->now);
    expect(s, "-flows record-del -port delete");
    ck_assert_uint_eq(n_used(s), 0);
    ck_assert_int_eq(s->replies[1].code, NO_REPLY);
    shell_destroy(s);
}
END_TEST

START_TEST(test_not_ready)              /* cni A10 */
{
    struct shell *s = shell_create();
    attachments_set_ready(s->t, "Open vSwitch does not answer", s->now);
    add(s, 1, "a", 1);
    add(s, 2, "b", 2);
    del(s, 3, "b");
    expect(s, "record-tomb reply2=100 reply3=0");
    attachments_set_ready(s->t, NULL, s->now);
    expect(s, ADD_LOG " reply1=0");
    attachments_set_ready(s->t, "Open vSwitch does not answer", s->now);
    add(s, 4, "c", 1);
    ck_assert(attachments_next_timeout(s->t) == s->now + ATTACHMENT_ADD_TIMEOUT_MS);
    s->now += ATTACHMENT_ADD_TIMEOUT_MS;
    attachments_run(s->t, s->now);
    expect(s, "reply4=11");
    ck_assert_msg(strstr(s->replies[4].message, "Open vSwitch does not answer"), "%s", s->replies[4].message);
    shell_destroy(s);
}
END_TEST

START_TEST(test_timeouts)               /* cni A10, D1, C6 */
{
    struct shell *s = shell_create();
    sset_add(&s->hold, "port");
    sset_add(&s->hold, "-port");
    add(s, 1, "a", 1);
    run(s);
    s->now += ATTACHMENT_ADD_TIMEOUT_MS;
    attachments_run(s->t, s->now);
    run(s);
    ck_assert_int_eq(s->replies[1].code, NO_REPLY);           /* The port is not known to be gone. */
    s->now += ATTACHMENT_DEL_TIMEOUT_MS;
    attachments_run(s->t, s->now);
    run(s);
    ck_assert_int_eq(s->replies[1].code, CNI_E_AGAIN);
    ck_assert_msg(strstr(s->replies[1].message, "the port in Open vSwitch"), "%s", s->replies[1].message);
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_UNACKNOWLEDGED);
    attachments_port_gone(s->t, s->last_id, s->now);
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_QUARANTINED);
    shell_destroy(s);
}
END_TEST

START_TEST(test_disk_full)              /* ipam 5; matrix 21 */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    run(s);
    sset_add(&s->fail, "record-del");
    ds_clear(&s->log);
    del(s, 2, "a");
    expect(s, DEL_LOG " reply2=5");
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_USED);
    ck_assert_ptr_nonnull(find(s, "a"));
    sset_clear(&s->fail);
    del(s, 3, "a");
    expect(s, "record-del reply3=0");
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_QUARANTINED);

    add(s, 4, "b", 1);                  /* Without another DEL: with the next record that can be written. */
    run(s);
    sset_add(&s->fail, "record-del");
    del(s, 5, "b");
    run(s);
    sset_clear(&s->fail);
    add(s, 6, "c", 2);
    run(s);
    ck_assert_ptr_null(find(s, "b"));
    shell_destroy(s);
}
END_TEST

START_TEST(test_restart)                /* ARCHITECTURE rule 5; matrix 12 */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    add(s, 2, "b", 2);
    run(s);
    struct eth_addr mac = find(s, "a")->mac;
    ofp_port_t ofport = find(s, "a")->ofport;
    del(s, 3, "b");
    sset_add(&s->hold, "create");
    add(s, 4, "half", 3);
    run(s);
    ds_clear(&s->log);
    sset_clear(&s->hold);
    restart(s, "boot-1");
    expect(s, "port flows -flows trash record-del -port");
    const struct attachment *a = find(s, "a");
    ck_assert(a && a->state == ATTACHMENT_UP && a->ofport == ofport && eth_addr_equals(a->mac, mac));
    ck_assert_ptr_null(find(s, "half"));
    ck_assert_int_eq(state_of(s, "10.244.1.2"), IPAM_USED);
    ck_assert_int_eq(state_of(s, "10.244.1.3"), IPAM_UNACKNOWLEDGED);   /* Of "b": nobody knows yet. */
    attachments_dataplane_clean(s->t);
    ck_assert_int_eq(state_of(s, "10.244.1.3"), IPAM_QUARANTINED);
    add(s, 5, "d", 4);
    run(s);
    ck_assert_str_eq(s->replies[5].result.ips[0].address, "10.244.1.5/32");

    s->now += 1000;
    ds_clear(&s->log);
    restart(s, "boot-2");               /* ipam 5: after a reboot no sandbox is left. */
    run(s);
    ck_assert_msg(!strstr(ds_cstr(&s->log), "trash") && strstr(ds_cstr(&s->log), "-port"), "%s", ds_cstr(&s->log));
    ck_assert_ptr_null(find(s, "a"));
    ck_assert_uint_eq(n_used(s), 0);
    shell_destroy(s);
}
END_TEST

START_TEST(test_compaction)
{
    struct shell *s = shell_create();
    struct journal_record *records;
    size_t n;

    add(s, 1, "a", 1);
    add(s, 2, "b", 2);
    run(s);
    del(s, 3, "b");
    run(s);
    ofp_port_t last = find(s, "a")->ofport;
    attachments_snapshot(s->t, s->now, &records, &n);
    for (size_t i = 0; i < s->n_journal; i++) {
        free(s->journal[i]);
    }
    for (size_t i = 0; i < n; i++) {
        s->journal[i] = xmemdup0(records[i].payload, records[i].size);
    }
    s->n_journal = n;
    attachments_free_snapshot(records, n);
    attachments_rewritten(s->t, s->now);
    restart(s, "boot-1");
    run(s);
    ck_assert_int_eq(find(s, "a")->ofport, last);
    add(s, 5, "c", 3);
    run(s);
    ck_assert_int_gt(find(s, "c")->ofport, last + 1);           /* Not the one that "b" had. */
    ck_assert_int_eq(state_of(s, "10.244.1.3"), IPAM_UNACKNOWLEDGED);
    struct cni_request r = request("b");
    attachments_add(s->t, 4, &r, (struct netns_id) { 4, 9 }, s->now - 10, s->now);
    run(s);
    ck_assert_int_eq(s->replies[4].code, CNI_E_FAILED);         /* The tombstone is still there. */
    shell_destroy(s);
}
END_TEST

START_TEST(test_gc)                     /* cni G2, G3, G6 */
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    add(s, 2, "b", 2);
    struct cni_request other = request("a");
    other.network = CONST_CAST(char *, "another");
    attachments_add(s->t, 3, &other, (struct netns_id) { 4, 3 }, s->now, s->now);
    run(s);
    s->now += ATTACHMENT_GC_MIN_AGE_MS;
    sset_add(&s->hold, "flows");
    add(s, 4, "flying", 4);
    run(s);
    sset_clear(&s->hold);
    add(s, 5, "young", 5);
    run(s);
    struct cni_attachment_id valid = { CONST_CAST(char *, "a"), CONST_CAST(char *, "eth0") };
    struct cni_request gc = request("");
    gc.valid = &valid;
    gc.n_valid = 1;
    attachments_gc(s->t, 6, &gc, s->now);
    run(s);
    ck_assert_int_eq(s->replies[6].code, CNI_OK);
    ck_assert(find(s, "a") && !find(s, "b") && find(s, "young") && find(s, "flying"));
    ck_assert_ptr_nonnull(attachments_find(s->t, "another", "a", "eth0"));
    gc.n_valid = 0;
    s->now += ATTACHMENT_GC_MIN_AGE_MS;
    sset_add(&s->fail, "record-del");   /* G4: goes on, and reports. */
    attachments_gc(s->t, 7, &gc, s->now);
    run(s);
    ck_assert_int_eq(s->replies[7].code, CNI_E_FAILED);
    sset_clear(&s->fail);
    attachments_gc(s->t, 8, &gc, s->now);
    run(s);
    ck_assert_int_eq(s->replies[8].code, CNI_OK);
    ck_assert(!find(s, "a") && !find(s, "young") && find(s, "flying"));
    shell_destroy(s);
}
END_TEST

START_TEST(test_check)                  /* cni C2, C6 */
{
    struct shell *s = shell_create();
    struct cni_request r = request("a");
    attachments_check(s->t, 1, &r);
    expect(s, "reply1=3");
    sset_add(&s->hold, "flows");
    add(s, 2, "a", 1);
    run(s);
    attachments_check(s->t, 3, &r);
    run(s);
    ck_assert_int_eq(s->replies[3].code, CNI_E_AGAIN);
    answer(s, ATTACHMENT_FLOWS_SET, find(s, "a")->id, 0, 0, NULL);
    run(s);
    struct cni_ip wrong = { CONST_CAST(char *, "10.244.1.77/32"), NULL };
    r.check_ips = &wrong;
    r.n_check_ips = 1;
    attachments_check(s->t, 4, &r);
    run(s);
    ck_assert_int_eq(s->replies[4].code, CNI_E_BROKEN);
    r.n_check_ips = 0;
    sset_add(&s->fail, "check");
    attachments_check(s->t, 5, &r);
    run(s);
    ck_assert_int_eq(s->replies[5].code, CNI_E_BROKEN);
    shell_destroy(s);
}
END_TEST

START_TEST(test_wishes)                 /* ipam 8; cni 2.8 */
{
    struct shell *s = shell_create();
    struct cni_request r = request("a");
    char *ips[] = { CONST_CAST(char *, "10.244.1.50"), CONST_CAST(char *, "fd00:1::50/64") };
    r.ips = ips;
    r.n_ips = 2;
    r.mac = CONST_CAST(char *, "02:aa:bb:cc:dd:ee");
    r.mtu = 1300;
    attachments_add(s->t, 1, &r, (struct netns_id) { 4, 1 }, s->now, s->now);
    expect(s, ADD_LOG " reply1=0");
    ck_assert_str_eq(s->replies[1].result.ips[1].address, "fd00:1::50/128");
    ck_assert_str_eq(s->replies[1].result.mac, "02:aa:bb:cc:dd:ee");
    ck_assert_int_eq(s->replies[1].result.mtu, 1300);

    static const char *const macs[] = { "02:aa:bb:cc:dd", "01:00:5e:00:00:01", "00:00:00:00:00:00", "x" };
    for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
        struct cni_request bad = request("b");
        bad.mac = CONST_CAST(char *, macs[i]);
        attachments_add(s->t, 10 + i, &bad, (struct netns_id) { 4, 2 }, s->now, s->now);
        run(s);
        ck_assert_int_eq(s->replies[10 + i].code, CNI_E_CONFIG);
    }
    struct cni_request big = request("b");
    big.mtu = 9000;
    attachments_add(s->t, 20, &big, (struct netns_id) { 4, 2 }, s->now, s->now);
    r = request("b");
    r.ips = ips;
    r.n_ips = 1;
    attachments_add(s->t, 21, &r, (struct netns_id) { 4, 2 }, s->now, s->now);
    run(s);
    ck_assert_int_eq(s->replies[20].code, CNI_E_CONFIG);
    ck_assert_int_eq(s->replies[21].code, CNI_E_FAILED);
    shell_destroy(s);
}
END_TEST

#define PORT(HOST, POD, PROTOCOL, IP)                                                                             \
    { HOST, POD, CONST_CAST(char *, PROTOCOL), CONST_CAST(char *, IP) }

static enum cni_code
add_port(struct shell *s, uint64_t rq, const char *cid, struct cni_port_mapping port)
{
    struct cni_request r = request(cid);
    r.ports = &port;
    r.n_ports = 1;
    attachments_add(s->t, rq, &r, (struct netns_id) { 4, rq }, s->now, s->now);
    run(s);
    return s->replies[rq].code;
}

START_TEST(test_host_ports)             /* services 31; cni 2.8 */
{
    struct shell *s = shell_create();
    ck_assert_int_eq(add_port(s, 1, "a", (struct cni_port_mapping) PORT(80, 8080, "tcp", NULL)), CNI_OK);
    const struct attachment *a = find(s, "a");
    ck_assert(a->n_ports == 1 && a->ports[0].host_port == 80 && a->ports[0].pod_port == 8080
              && a->ports[0].protocol == IPPROTO_TCP && IN6_IS_ADDR_UNSPECIFIED(&a->ports[0].host_addr));

    /* Taken, whatever leads to it; and nothing is left of the ADD. */
    static const char *const any[] = { NULL, "0.0.0.0", "::" };
    for (size_t i = 0; i < ARRAY_SIZE(any); i++) {
        ck_assert_int_eq(add_port(s, 2 + i, "b", (struct cni_port_mapping) PORT(80, 9, "tcp", any[i])), CNI_E_FAILED);
        ck_assert_str_eq(s->replies[2 + i].message, "port tcp 80 of the host is taken by pod default/a");
    }
    ck_assert_ptr_null(find(s, "b"));
    ck_assert_uint_eq(n_used(s), 1);

    /* Another protocol, another address, another port: all of them at once. */
    ck_assert_int_eq(add_port(s, 10, "udp", (struct cni_port_mapping) PORT(80, 9, "udp", NULL)), CNI_OK);
    ck_assert_int_eq(add_port(s, 11, "sctp", (struct cni_port_mapping) PORT(80, 9, "sctp", NULL)), CNI_OK);
    ck_assert_int_eq(add_port(s, 12, "v4", (struct cni_port_mapping) PORT(80, 9, "tcp", "192.0.2.1")), CNI_OK);
    ck_assert_int_eq(add_port(s, 13, "lo", (struct cni_port_mapping) PORT(80, 9, "tcp", "127.0.0.1")), CNI_OK);
    ck_assert_int_eq(add_port(s, 14, "v6", (struct cni_port_mapping) PORT(80, 9, "tcp", "2001:db8::1")), CNI_OK);
    ck_assert_int_eq(add_port(s, 15, "81", (struct cni_port_mapping) PORT(81, 8080, "tcp", NULL)), CNI_OK);
    ck_assert_int_eq(add_port(s, 16, "c", (struct cni_port_mapping) PORT(80, 9, "tcp", "2001:db8:0::1")), CNI_E_FAILED);
    ck_assert_str_eq(s->replies[16].message, "port tcp [2001:db8::1]:80 of the host is taken by pod default/v6");

    /* After a restart too; and free again after the DEL. */
    restart(s, "boot-1");
    run(s);
    a = find(s, "v4");
    ck_assert(a->n_ports == 1 && a->ports[0].host_addr.s6_addr[12] == 192 && a->ports[0].pod_port == 9);
    ck_assert_int_eq(add_port(s, 17, "d", (struct cni_port_mapping) PORT(80, 9, "tcp", "192.0.2.1")), CNI_E_FAILED);
    sset_add(&s->hold, "-flows");
    del(s, 18, "v4");
    run(s);
    ck_assert_int_eq(add_port(s, 19, "d", (struct cni_port_mapping) PORT(80, 9, "tcp", "192.0.2.1")), CNI_E_AGAIN);
    sset_clear(&s->hold);
    answer(s, ATTACHMENT_FLOWS_REMOVE, find(s, "v4")->id, 0, 0, NULL);
    run(s);
    ck_assert_int_eq(s->replies[18].code, CNI_OK);
    ck_assert_int_eq(add_port(s, 20, "d", (struct cni_port_mapping) PORT(80, 9, "tcp", "192.0.2.1")), CNI_OK);
    shell_destroy(s);
}
END_TEST

START_TEST(test_host_ports_gc_and_check)        /* services 31; cni C2, G2 */
{
    struct shell *s = shell_create();
    struct cni_port_mapping port = PORT(80, 8080, "tcp", NULL), wrong[] = {
        PORT(80, 8081, "tcp", NULL), PORT(81, 8080, "tcp", NULL), PORT(80, 8080, "udp", NULL),
        PORT(80, 8080, "tcp", "192.0.2.1"),
    };
    ck_assert_int_eq(add_port(s, 1, "a", port), CNI_OK);
    struct cni_request r = request("a");
    r.n_ports = 1;
    r.ports = &port;
    attachments_check(s->t, 2, &r);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        r.ports = &wrong[i];
        attachments_check(s->t, 3 + i, &r);
    }
    run(s);
    ck_assert_int_eq(s->replies[2].code, CNI_OK);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        ck_assert_int_eq(s->replies[3 + i].code, CNI_E_BROKEN);
    }

    s->now += ATTACHMENT_GC_MIN_AGE_MS;
    struct cni_request gc = request("");
    attachments_gc(s->t, 10, &gc, s->now);
    run(s);
    ck_assert_int_eq(add_port(s, 11, "b", port), CNI_OK);

    /* Twice in one request: the same once, another not at all. */
    struct cni_port_mapping twice[] = { PORT(90, 1, "tcp", "0.0.0.0"), PORT(90, 1, "tcp", NULL) };
    r = request("c");
    r.ports = twice;
    r.n_ports = 2;
    attachments_add(s->t, 12, &r, (struct netns_id) { 4, 12 }, s->now, s->now);
    run(s);
    ck_assert(s->replies[12].code == CNI_OK && find(s, "c")->n_ports == 1);
    twice[1].container_port = 2;
    r.container_id = CONST_CAST(char *, "d");
    attachments_add(s->t, 13, &r, (struct netns_id) { 4, 13 }, s->now, s->now);
    run(s);
    ck_assert_int_eq(s->replies[13].code, CNI_E_CONFIG);
    shell_destroy(s);
}
END_TEST

START_TEST(test_delegated)              /* cni A7, D5 */
{
    struct shell *s = shell_create();
    struct cni_request r = request("a");
    struct cni_ip ip = { CONST_CAST(char *, "10.22.0.5/16"), CONST_CAST(char *, "10.22.0.1") };
    struct cni_route route = { CONST_CAST(char *, "0.0.0.0/0"), NULL, -1, -1, -1, -1, -1 };
    r.delegated = true;
    r.d_ips = &ip;
    r.n_d_ips = 1;
    r.d_routes = &route;
    r.n_d_routes = 1;
    attachments_add(s->t, 1, &r, (struct netns_id) { 4, 1 }, s->now, s->now);
    expect(s, ADD_LOG " reply1=0");
    ck_assert_str_eq(s->replies[1].result.ips[0].address, "10.22.0.5/16");
    ck_assert_str_eq(s->replies[1].result.routes[0].dst, "0.0.0.0/0");
    ck_assert_uint_eq(n_used(s), 0);
    struct cni_request same = r;
    same.container_id = CONST_CAST(char *, "b");
    attachments_add(s->t, 2, &same, (struct netns_id) { 4, 2 }, s->now, s->now);
    run(s);
    ck_assert_int_eq(s->replies[2].code, CNI_E_FAILED);
    restart(s, "boot-1");
    run(s);
    ck_assert(find(s, "a")->delegated && find(s, "a")->n_routes == 1);
    shell_destroy(s);
}
END_TEST

START_TEST(test_numbers)                /* ARCHITECTURE rule 3 */
{
    struct shell *s = shell_create();
    ofp_port_t last = 0;
    for (uint64_t i = 0; i < 10; i++) {
        add(s, 2 * i + 1, "a", i + 1);
        run(s);
        ck_assert_int_ne(find(s, "a")->ofport, last);   /* Not again at once. */
        last = find(s, "a")->ofport;
        del(s, 2 * i + 2, "a");
        run(s);
    }
    restart(s, "boot-1");
    add(s, 30, "a", 40);
    run(s);
    ck_assert_int_eq(s->replies[30].code, CNI_OK);
    ck_assert_int_ne(find(s, "a")->ofport, last);
    shell_destroy(s);
}
END_TEST

START_TEST(test_mtu_follows)
{
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    struct cni_request r = request("b");
    r.mtu = 1400;
    attachments_add(s->t, 2, &r, (struct netns_id) { 4, 2 }, s->now, s->now);
    run(s);
    ds_clear(&s->log);
    attachments_set_mtu(s->t, 8950, s->now);
    expect(s, "mtu record-mtu");
    ck_assert_uint_eq(find(s, "a")->mtu, 8950);
    attachments_set_mtu(s->t, 1280, s->now);
    expect(s, "mtu mtu record-mtu record-mtu");
    ck_assert_uint_eq(find(s, "b")->mtu, 1280);
    sset_add(&s->hold, "mtu");
    attachments_set_mtu(s->t, 1500, s->now);
    del(s, 3, "a");
    run(s);
    ck_assert_int_eq(s->replies[3].code, NO_REPLY);           /* A worker is still busy with the link. */
    attachments_link_done(s->t, find(s, "a")->id, ATTACHMENT_LINK_MTU, 0, NULL, NULL, s->now);
    run(s);
    ck_assert_int_eq(s->replies[3].code, CNI_OK);
    shell_destroy(s);
}
END_TEST

/* The source declares pods. */
static struct shell *
shell_create_declaring(void)
{
    struct shell *s = shell_create();
    attachments_set_declares_pods(s->t, true, s->now);
    return s;
}

static void
add_uid(struct shell *s, uint64_t rq, const char *cid, const char *pod, const char *uid)
{
    struct cni_request r = request(cid);
    r.pod_name = CONST_CAST(char *, pod);
    r.pod_uid = CONST_CAST(char *, uid);
    attachments_add(s->t, rq, &r, (struct netns_id) { 4, rq }, s->now, s->now);
}

#define DENIED_LOG "record-add create isolated-flows port configure"

START_TEST(test_known_before)           /* issue 4, item 5: the object is there before its ADD: one set of flows */
{
    struct shell *s = shell_create_declaring();
    add_uid(s, 1, "c", "web", "u1");
    attachments_pod_known(s->t, "default", "web", "u1", s->now);
    expect(s, ADD_LOG " reply1=0");
    add_uid(s, 2, "d", "web-2", NULL);  /* A runtime that gives no UID. */
    attachments_pod_known(s->t, "default", "web-2", "u2", s->now);
    expect(s, ADD_LOG " reply2=0");
    struct cni_request r = request("tool");     /* cnitool: no pod at all. */
    r.pod_name = r.pod_namespace = NULL;
    attachments_add(s->t, 3, &r, (struct netns_id) { 4, 9 }, s->now, s->now);
    expect(s, ADD_LOG " reply3=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_known_after)            /* issue 4, item 5: while ADD waits */
{
    struct shell *s = shell_create_declaring();
    add_uid(s, 1, "c", "web", "u1");
    expect(s, DENIED_LOG);
    ck_assert(attachments_next_timeout(s->t) == s->now + ATTACHMENT_KNOWN_TIMEOUT_MS);
    ck_assert_ptr_null(attachment_problem(find(s, "c")));
    attachments_pod_known(s->t, "default", "other", "u1", s->now);
    attachments_pod_known(s->t, "elsewhere", "web", "u1", s->now);
    attachments_pod_known(s->t, "default", "web", "u0", s->now);
    expect(s, "");
    sset_add(&s->hold, "flows");
    attachments_pod_known(s->t, "default", "web", "u1", s->now);
    expect(s, "record-known flows");
    attachments_flows_done(s->t, find(s, "c")->id, true, NULL, s->now);       /* The acknowledgement of before. */
    expect(s, "");
    attachments_flows_done(s->t, find(s, "c")->id, false, NULL, s->now);
    expect(s, "record-up reply1=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_known_never)            /* issue 4, item 5: denied, and opened late */
{
    struct shell *s = shell_create_declaring();
    add_uid(s, 1, "c", "web", "u1");
    run(s);
    s->now += ATTACHMENT_KNOWN_TIMEOUT_MS - 1;
    attachments_run(s->t, s->now);
    expect(s, DENIED_LOG);
    s->now++;
    attachments_run(s->t, s->now);
    expect(s, "record-up reply1=0 denied");
    ck_assert_str_eq(attachment_problem(find(s, "c")), "denied: the Pod object is not known yet");
    ck_assert(attachments_next_timeout(s->t) == LLONG_MAX);
    attachments_pod_known(s->t, "default", "web", "u0", s->now);
    ck_assert_ptr_nonnull(strstr(attachment_problem(find(s, "c")), "another UID"));
    expect(s, "");

    restart(s, "boot-1");               /* Still denied, ... */
    attachments_set_declares_pods(s->t, true, s->now);
    expect(s, "port isolated-flows");
    attachments_pod_known(s->t, "default", "web", "u1", s->now);
    expect(s, "record-known flows");
    ck_assert_ptr_null(attachment_problem(find(s, "c")));
    restart(s, "boot-1");               /* ... and still known, whatever the source says by now. */
    attachments_set_declares_pods(s->t, true, s->now);
    expect(s, "port flows");
    del(s, 2, "c");
    expect(s, DEL_LOG " reply2=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_known_and_the_rest)
{
    struct shell *s = shell_create_declaring();
    sset_add(&s->hold, "port");         /* The object is overdue, but so is the port: ADD waits for both. */
    add_uid(s, 1, "c", "web", "u1");
    run(s);
    s->now += ATTACHMENT_KNOWN_TIMEOUT_MS;
    attachments_run(s->t, s->now);
    expect(s, DENIED_LOG);
    ck_assert(attachments_next_timeout(s->t) == s->now + ATTACHMENT_ADD_TIMEOUT_MS - ATTACHMENT_KNOWN_TIMEOUT_MS);
    attachments_pod_known(s->t, "default", "web", "u1", s->now);
    expect(s, "record-known flows");
    answer(s, ATTACHMENT_PORT_SET, find(s, "c")->id, 0, 0, NULL);
    expect(s, "record-up reply1=0");

    sset_clear(&s->hold);
    add_uid(s, 2, "d", "gone", "u2");   /* A DEL in between. */
    expect(s, DENIED_LOG);
    del(s, 3, "d");
    attachments_pod_known(s->t, "default", "gone", "u2", s->now);
    expect(s, "-flows record-del -port delete reply2=100 reply3=0");

    attachments_set_ready(s->t, "not ready", s->now);   /* It comes while the ADD waits for the node. */
    add_uid(s, 4, "e", "early", "u4");
    attachments_pod_known(s->t, "default", "early", "u4", s->now);
    attachments_set_ready(s->t, NULL, s->now);
    expect(s, ADD_LOG " reply4=0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_source_without_pods)    /* The source is a directory again: nobody will tell. */
{
    struct shell *s = shell_create_declaring();
    add_uid(s, 1, "c", "web", "u1");
    s->now += ATTACHMENT_KNOWN_TIMEOUT_MS;
    run(s);
    attachments_run(s->t, s->now);
    run(s);
    ds_clear(&s->log);
    restart(s, "boot-1");
    attachments_set_declares_pods(s->t, false, s->now);
    expect(s, "port flows record-known flows");
    shell_destroy(s);
}
END_TEST

/* Issue 4, item 6: a pod is created again under its name while its old sandbox still runs.  Each has flows of its own, and
 * the UID tells whose object came. */
START_TEST(test_same_pod_twice)
{
    struct shell *s = shell_create_declaring();
    add_uid(s, 1, "old", "db-0", "u1");
    attachments_pod_known(s->t, "default", "db-0", "u1", s->now);
    run(s);
    ds_clear(&s->log);
    add_uid(s, 2, "new", "db-0", "u2");
    attachments_pod_known(s->t, "default", "db-0", "u1", s->now);       /* The store is behind. */
    expect(s, DENIED_LOG);
    ck_assert_str_eq(find(s, "old")->owner, "Pod/default/db-0/eth0");
    char *owner = xstrdup(find(s, "new")->owner);
    ck_assert(!strncmp(owner, "Pod/default/db-0/eth0/", 22));
    attachments_pod_known(s->t, "default", "db-0", "u2", s->now);
    expect(s, "record-known flows record-up reply2=0");
    del(s, 3, "old");
    expect(s, DEL_LOG " reply3=0");
    ck_assert_str_eq(find(s, "new")->owner, owner);     /* Flows of a pod that runs are not touched. */
    restart(s, "boot-1");
    ck_assert_str_eq(find(s, "new")->owner, owner);
    free(owner);
    run(s);
    add_uid(s, 4, "newest", "db-0", "u3");
    attachments_pod_known(s->t, "default", "db-0", "u3", s->now);
    run(s);
    ck_assert_str_eq(find(s, "newest")->owner, "Pod/default/db-0/eth0");
    shell_destroy(s);
}
END_TEST

START_TEST(test_bad_records)
{
    static const char *const bad[] = {
        "", "[]", "{}", "{\"op\":1}", "{\"op\":\"new\"}", "{\"op\":\"up\",\"net\":\"n\",\"cid\":\"c\",\"if\":\"e\"}",
        "{\"op\":\"meta\"}", "{\"op\":\"meta\",\"gen\":-1,\"port\":16}", "{\"op\":\"meta\",\"gen\":1,\"port\":1}",
        "{\"op\":\"free\",\"ip\":\"10.0.0\",\"gen\":1,\"time\":1}",
        "{\"op\":\"add\",\"net\":\"n\",\"cid\":\"c\",\"if\":\"e\"}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct shell *s = shell_create();
        ck_assert_msg(attachments_replay(s->t, bad[i], strlen(bad[i]), &error) == EPROTO, "%s was taken", bad[i]);
        shell_destroy(s);
    }
    ERROR_AUTO struct error error = ERROR_INIT;
    struct shell *s = shell_create();
    add(s, 1, "a", 1);
    run(s);
    static const char *const ports[] = {
        "7", "{}", "[7]", "[{}]", "[{\"proto\":\"icmp\",\"ip\":\"::\",\"host\":80,\"pod\":80}]",
        "[{\"proto\":\"tcp\",\"ip\":\"x\",\"host\":80,\"pod\":80}]",
        "[{\"proto\":\"tcp\",\"ip\":\"::\",\"host\":0,\"pod\":80}]",
        "[{\"proto\":\"tcp\",\"ip\":\"::\",\"host\":80,\"pod\":65536}]",
    };
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        struct shell *fresh = shell_create();
        char *text = xasprintf("%.*s,\"ports\":%s}", (int) strlen(s->journal[0]) - 1, s->journal[0], ports[i]);
        ck_assert_int_eq(attachments_replay(fresh->t, text, strlen(text), NULL), EPROTO);
        free(text);
        shell_destroy(fresh);
    }

    /* The same attachment twice: fail closed. */
    ck_assert_int_eq(attachments_replay(s->t, s->journal[0], strlen(s->journal[0]), &error), EPROTO);
    shell_destroy(s);
}
END_TEST

UNIT_MAIN("attachment", {
    tcase_add_test(tc, test_add);
    tcase_add_test(tc, test_add_waits_for_everything);
    tcase_add_test(tc, test_failures_undo);
    tcase_add_test(tc, test_twice);
    tcase_add_test(tc, test_del_waits);
    tcase_add_test(tc, test_same_name_after_del);
    tcase_add_test(tc, test_del_races_add);
    tcase_add_test(tc, test_client_gone);
    tcase_add_test(tc, test_not_ready);
    tcase_add_test(tc, test_timeouts);
    tcase_add_test(tc, test_disk_full);
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_compaction);
    tcase_add_test(tc, test_gc);
    tcase_add_test(tc, test_check);
    tcase_add_test(tc, test_wishes);
    tcase_add_test(tc, test_host_ports);
    tcase_add_test(tc, test_host_ports_gc_and_check);
    tcase_add_test(tc, test_delegated);
    tcase_add_test(tc, test_numbers);
    tcase_add_test(tc, test_mtu_follows);
    tcase_add_test(tc, test_known_before);
    tcase_add_test(tc, test_known_after);
    tcase_add_test(tc, test_known_never);
    tcase_add_test(tc, test_known_and_the_rest);
    tcase_add_test(tc, test_source_without_pods);
    tcase_add_test(tc, test_same_pod_twice);
    tcase_add_test(tc, test_bad_records);
})
