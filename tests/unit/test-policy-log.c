/* controller/policy-log-record.h, controller/log-file.h: a verdict becomes a line, and lines become a file (issue 5, item 5). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/log-file.h"
#include "controller/policy-log-record.h"
#include "csum.h"
#include "dp-packet.h"
#include "fields.h"
#include "openvswitch/match.h"
#include "packets.h"
#include "unit.h"
#include "util.h"

/* Packets. ------------------------------------------------------------------------------------------------------- */

#define ETHERNET "\x0a\x00\x00\x00\x00\x01\x0a\x00\x00\x00\x00\x02"

/* A frame of a header, its checksum put in, and what is behind it. */
static size_t
ipv4_frame(uint8_t protocol, uint16_t frag, const char *payload, size_t n, uint8_t frame[256])
{
    struct ip_header *ip = ALIGNED_CAST(struct ip_header *, frame + 14);

    memset(frame, 0, 256);
    memcpy(frame, ETHERNET "\x08\x00", 14);
    ip->ip_ihl_ver = IP_IHL_VER(5, 4);
    ip->ip_tot_len = htons(20 + n);
    ip->ip_ttl = 64;
    ip->ip_proto = protocol;
    ip->ip_frag_off = htons(frag);
    memcpy(frame + 26, "\x0a\xf4\x01\x03\x0a\xf4\x02\x04", 8);
    ip->ip_csum = csum(ip, 20);
    memcpy(frame + 34, payload, n);
    return 34 + n;
}

#define SYN_TO_8081 "\x9c\x40\x1f\x91\0\0\0\1\0\0\0\0\x50\x02\xff\xff\0\0\0\0"

START_TEST(test_packet_ipv4)
{
    uint8_t frame[256] __attribute__((aligned(8)));
    struct policy_packet p;
    char s[INET_ADDR_STRLEN];

    size_t n = ipv4_frame(IPPROTO_TCP, 0, SYN_TO_8081 "and more", 28, frame);
    ck_assert(policy_packet_parse(frame, n, &p));
    ck_assert_str_eq(inet_addr_format(&p.src, s), "10.244.1.3");
    ck_assert_str_eq(inet_addr_format(&p.dst, s), "10.244.2.4");
    ck_assert(p.protocol == IPPROTO_TCP && p.has_ports && p.src_port == 40000 && p.dst_port == 8081);

    /* Cut off behind the ports, as a switch may do; in them; in the IP header. */
    ck_assert(policy_packet_parse(frame, 54, &p) && p.has_ports && p.dst_port == 8081);
    ck_assert(policy_packet_parse(frame, 34, &p) && !p.has_ports);
    ck_assert(!policy_packet_parse(frame, 30, &p));
    ck_assert(!policy_packet_parse(frame, 3, &p));
    ck_assert(!policy_packet_parse(frame, 0, &p));

    /* A later fragment has no ports (networkpolicy 32); ICMP never has (networkpolicy 31). */
    n = ipv4_frame(IPPROTO_UDP, 100, "\x9c\x40\x1f\x91\0\x08\0\0", 8, frame);
    ck_assert(policy_packet_parse(frame, n, &p) && p.protocol == IPPROTO_UDP && !p.has_ports);
    n = ipv4_frame(IPPROTO_ICMP, 0, "\x08\0\0\0\0\0\0\0", 8, frame);
    ck_assert(policy_packet_parse(frame, n, &p) && p.protocol == IPPROTO_ICMP && !p.has_ports);
}
END_TEST

START_TEST(test_packet_ipv6)
{
    uint8_t frame[] __attribute__((aligned(8))) = ETHERNET "\x86\xdd\x60\0\0\0\0\x08\x11\x40"
        "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2" "\x9c\x40\0\x35\0\x08\0\0";
    struct policy_packet p;
    char s[INET_ADDR_STRLEN];

    ck_assert(policy_packet_parse(frame, sizeof frame - 1, &p));
    ck_assert_str_eq(inet_addr_format(&p.src, s), "fd00::1");
    ck_assert_str_eq(inet_addr_format(&p.dst, s), "fd00::2");
    ck_assert(p.protocol == IPPROTO_UDP && p.has_ports && p.dst_port == 53);
    ck_assert(!policy_packet_parse(frame, 40, &p));
    frame[18] = 0x05;                   /* Much longer than what there is. */
    ck_assert(policy_packet_parse(frame, sizeof frame - 1, &p) && p.dst_port == 53);
    frame[12] = 8;
    frame[13] = 6;                      /* ARP */
    ck_assert(!policy_packet_parse(frame, sizeof frame - 1, &p));
}
END_TEST

/* What decided, out of the registers: each side by side with others that are full. */
START_TEST(test_verdict)
{
    static const struct { uint8_t table; enum flow_direction direction; uint64_t denied; uint32_t rule; } cases[] = {
        { TABLE_EGRESS_VERDICT, FLOW_EGRESS, 1, 0 }, { TABLE_EGRESS_VERDICT, FLOW_EGRESS, 0, 0xdeadbeef },
        { TABLE_INGRESS_VERDICT, FLOW_INGRESS, 1, 7 }, { TABLE_INGRESS_VERDICT, FLOW_INGRESS, 0, 0xffffffff },
    };
    const struct flow_field_info *denied = flow_field_info(FIELD_DENIED), *rule = flow_field_info(FIELD_RULE);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct policy_verdict v;
        struct match m;

        match_init_catchall(&m);
        for (size_t j = 0; j < FLOW_N_REGS; j++) {
            m.flow.regs[j] = UINT32_MAX;
        }
        m.flow.regs[rule->store - MFF_REG0] = cases[i].rule;
        m.flow.regs[denied->store - MFF_REG0] &= ~(UINT32_C(1) << denied->ofs) | cases[i].denied << denied->ofs;
        ck_assert(policy_verdict_decode(cases[i].table, &m, &v));
        ck_assert(v.direction == cases[i].direction && v.denied == cases[i].denied && v.conj_id == cases[i].rule);
        ck_assert(!policy_verdict_decode(TABLE_OUTPUT, &m, &v));
    }
}
END_TEST

/* Lines. --------------------------------------------------------------------------------------------------------- */

START_TEST(test_line)
{
    uint8_t frame[256] __attribute__((aligned(8)));
    struct svec policies = SVEC_EMPTY_INITIALIZER;
    struct ds s = DS_EMPTY_INITIALIZER;
    struct policy_packet p;

    ck_assert(policy_packet_parse(frame, ipv4_frame(IPPROTO_TCP, 0, SYN_TO_8081, 20, frame), &p));
    svec_add(&policies, "NetworkPolicy/shop/web");
    struct policy_log_entry e = {
        .time = 1795435200007, .node = "n1", .packet = &p, .direction = FLOW_INGRESS, .denied = true,
        .tier = "NetworkPolicy", .policies = &policies, .rule = "default deny", .src_namespace = "shop", .src_name = "client",
    };
    policy_log_entry_format(&e, &s);
    ck_assert_str_eq(ds_cstr(&s), "{\"time\": \"2026-11-23T12:00:00.007Z\", \"node\": \"n1\", \"verdict\": \"denied\", "
                     "\"direction\": \"ingress\", \"tier\": \"NetworkPolicy\", \"policy\": \"NetworkPolicy/shop/web\", "
                     "\"rule\": \"default deny\", \"source\": {\"address\": \"10.244.1.3\", \"namespace\": \"shop\", \"pod\": \"client\"}, "
                     "\"destination\": {\"address\": \"10.244.2.4\"}, \"protocol\": \"tcp\", \"port\": 8081, \"sourcePort\": 40000}");

    /* A rule that two policies share, with a name that wants quoting. */
    svec_add(&policies, "ClusterNetworkPolicy/b");
    e.rule_name = "a \"quoted\"\nname";
    e.denied = false;
    ds_clear(&s);
    policy_log_entry_format(&e, &s);
    ck_assert_ptr_nonnull(strstr(ds_cstr(&s), "\"policies\": [\"NetworkPolicy/shop/web\", \"ClusterNetworkPolicy/b\"]"));
    ck_assert_ptr_nonnull(strstr(ds_cstr(&s), "\"ruleName\": \"a \\\"quoted\\\"\\nname\""));
    ck_assert_ptr_null(strchr(ds_cstr(&s), '\n'));

    /* Very many. */
    for (int i = 0; i < 1000; i++) {
        svec_add(&policies, "NetworkPolicy/shop/more");
    }
    ds_clear(&s);
    policy_log_entry_format(&e, &s);
    ck_assert_ptr_nonnull(strstr(ds_cstr(&s), "\"NetworkPolicy/shop/more\"], \"morePolicies\": 986, "));
    ck_assert_uint_lt(s.length, 1500);

    /* No policy decided. */
    svec_clear(&policies);
    e = (struct policy_log_entry) { .node = "n1", .packet = &p, .policies = &policies };
    ds_clear(&s);
    policy_log_entry_format(&e, &s);
    ck_assert_ptr_nonnull(strstr(ds_cstr(&s), "\"direction\": \"egress\", \"tier\": null, \"policy\": null, \"rule\": null, "));

    ds_clear(&s);
    policy_log_gap_format(1795435200000, "n1", 17, "the meter", &s);
    ck_assert_str_eq(ds_cstr(&s), "{\"time\": \"2026-11-23T12:00:00.000Z\", \"node\": \"n1\", \"notLogged\": 17, \"why\": \"the meter\"}");
    svec_destroy(&policies);
    ds_destroy(&s);
}
END_TEST

/* Files. --------------------------------------------------------------------------------------------------------- */

static char *
make_dir(void)
{
    char *dir = xstrdup("/tmp/test-policy-log-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    return dir;
}

static void
remove_dir(char *dir)
{
    char *command = xasprintf("rm -rf '%s'", dir);
    ck_assert(!system(command));
    free(command);
    free(dir);
}

static void
check_file(const char *path, const char *want)
{
    char buf[4096] = "";
    FILE *f = fopen(path, "r");

    ck_assert_msg(f != NULL, "%s", path);
    buf[fread(buf, 1, sizeof buf - 1, f)] = '\0';
    ck_assert_str_eq(buf, want);
    fclose(f);
}

START_TEST(test_file)
{
    char *dir = make_dir(), *path = xasprintf("%s/a/b/log", dir), *old = xasprintf("%s/a/b/log.1", dir);
    struct log_file *log = log_file_create(path);
    struct log_file_stats stats;
    struct stat st;

    log_file_destroy(log);              /* No line, no file, no thread. */
    ck_assert(stat(path, &st) && errno == ENOENT);

    log = log_file_create(path);
    log_file_put(log, "one", 3);
    log_file_put(log, "two", 3);
    log_file_destroy(log);
    check_file(path, "one\ntwo\n");

    log = log_file_create(path);        /* Appends. */
    log_file_put(log, "three", 5);
    log_file_destroy(log);
    check_file(path, "one\ntwo\nthree\n");

    ck_assert(!rename(path, old));      /* As logrotate does. */
    log = log_file_create(path);
    log_file_reopen(log, NULL);
    log_file_put(log, "four", 4);
    log_file_get_stats(log, &stats);
    ck_assert_uint_le(stats.n_written, 1);
    log_file_destroy(log);
    check_file(path, "four\n");
    check_file(old, "one\ntwo\nthree\n");
    free(path);
    free(old);
    remove_dir(dir);
}
END_TEST

/* A disk that does not answer (here a pipe without a reader, whose open() blocks): the caller goes on, and what is too much
 * is counted.  Then it answers. */
START_TEST(test_file_stuck)
{
    char *dir = make_dir(), *path = xasprintf("%s/pipe", dir);
    struct log_file_stats stats;
    static char line[1024];

    ck_assert(!mkfifo(path, 0600));
    memset(line, 'x', sizeof line);
    struct log_file *log = log_file_create(path);
    for (int i = 0; i < 4096; i++) {    /* 4 MB. */
        log_file_put(log, line, sizeof line);
    }
    log_file_get_stats(log, &stats);
    ck_assert_uint_eq(stats.n_written, 0);
    ck_assert_uint_ge(stats.n_lost, 4096 - 2 * LOG_FILE_MAX_QUEUE / sizeof line);
    ck_assert_uint_lt(stats.n_lost, 4096);

    int fd = open(path, O_RDONLY);
    uint64_t n_lost = stats.n_lost, bytes = 0;
    while (bytes < (4096 - n_lost) * (sizeof line + 1)) {
        ssize_t n = read(fd, line, sizeof line);
        ck_assert_int_gt(n, 0);
        bytes += n;
    }
    ck_assert_uint_eq(bytes, (4096 - n_lost) * (sizeof line + 1));
    log_file_destroy(log);
    close(fd);
    free(path);
    remove_dir(dir);
}
END_TEST

START_TEST(test_file_bad)
{
    char *dir = make_dir(), *path = xasprintf("%s/file/log", dir), *file = xasprintf("%s/file", dir);
    struct log_file_stats stats;

    fclose(fopen(file, "w"));           /* Not a directory. */
    struct log_file *log = log_file_create(path);
    log_file_put(log, "one", 3);
    do {
        log_file_get_stats(log, &stats);
    } while (!stats.n_lost);
    ck_assert_int_eq(stats.error, ENOTDIR);
    unlink(file);
    log_file_put(log, "two", 3);        /* It is tried again with each line. */
    log_file_destroy(log);
    check_file(path, "two\n");
    free(path);
    free(file);
    remove_dir(dir);
}
END_TEST

UNIT_MAIN("policy-log", {
    tcase_add_test(tc, test_packet_ipv4);
    tcase_add_test(tc, test_packet_ipv6);
    tcase_add_test(tc, test_verdict);
    tcase_add_test(tc, test_line);
    tcase_add_test(tc, test_file);
    tcase_add_test(tc, test_file_stuck);
    tcase_add_test(tc, test_file_bad);
})
