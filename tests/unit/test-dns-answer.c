/* DNS answers: clusternetworkpolicy 5 (domainNames). */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dns-answer.h"
#include "unit.h"

/* A message in the making. */
static uint8_t msg[4096];
static size_t len;

static void
put(unsigned int n, unsigned long value)
{
    while (n--) {
        msg[len++] = n < sizeof value ? value >> (n * 8) : 0;
    }
}

/* "www.example.com", or with a pointer at the end: "www.@12". */
static void
put_name(const char *s)
{
    while (*s) {
        if (*s == '@') {
            put(2, 0xc000 | atoi(s + 1));
            return;
        }
        size_t n = strcspn(s, ".");
        put(1, n);
        memcpy(msg + len, s, n);
        len += n;
        s += n + (s[n] == '.');
    }
    put(1, 0);
}

static void
start(const char *question, unsigned int n_records)
{
    len = 0;
    put(2, 0x1234);
    put(2, 0x8180);
    put(2, 1);
    put(2, n_records);
    put(4, 0);
    put_name(question);
    put(4, 0x00010001);                 /* A, IN. */
}

static void
put_record(const char *owner, unsigned int type, unsigned long ttl, unsigned int size)
{
    put_name(owner);
    put(2, type);
    put(2, 1);
    put(4, ttl);
    put(2, size);
}

static void
put_a(const char *owner, unsigned long ttl, unsigned long addr)
{
    put_record(owner, 1, ttl, 4);
    put(4, addr);
}

static void
put_cname(const char *owner, unsigned long ttl, const char *target)
{
    put_record(owner, 5, ttl, 0);
    size_t at = len;
    put_name(target);
    msg[at - 1] = len - at;
}

static struct dns_answer answer;

static void
good(const char *name, size_t n)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_msg(!dns_answer_parse(msg, len, &answer, &error), "%s", error_message(&error));
    ck_assert_str_eq(answer.name, name);
    ck_assert_uint_eq(answer.n_addrs, n);
}

static void
bad(const char *why)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_int_eq(dns_answer_parse(msg, len, &answer, &error), EINVAL);
    ck_assert_msg(strstr(error_message(&error), why), "%s", error_message(&error));
    ck_assert_uint_eq(answer.n_addrs, 0);
}

static void
check_addr(size_t i, const char *text, uint32_t ttl)
{
    char buf[INET_ADDR_STRLEN];
    ck_assert_str_eq(inet_addr_format(&answer.addrs[i].addr, buf), text);
    ck_assert_uint_eq(answer.addrs[i].ttl, ttl);
}

START_TEST(test_addresses)
{
    start("WWW.Example.COM", 4);
    put_a("@12", 30, 0x01020304);
    put_a("www.example.com", 40, 0x01020305);
    put_record("www.@16", 28, 50, 16);
    put(8, 0x20010db800000000);
    put(8, 1);
    put_a("other.example.com", 60, 0x06060606);         /* Nobody asked for this. */
    good("www.example.com", 3);
    check_addr(0, "1.2.3.4", 30);
    check_addr(1, "1.2.3.5", 40);
    check_addr(2, "2001:db8::1", 50);

    start("example.com", 0);
    good("example.com", 0);
    start("", 0);
    good("", 0);
}
END_TEST

START_TEST(test_chain)
{
    start("a.example.com", 4);
    put_cname("b.example.com", 20, "c.example.net");    /* In whatever order. */
    put_a("c.example.net", 100, 0x01020304);
    put_cname("@12", 60, "b.@14");
    put_a("c.example.org", 100, 0x06060606);
    good("a.example.com", 1);
    check_addr(0, "1.2.3.4", 20);

    start("a.example.com", 2);                          /* Who is another name has no address itself. */
    put_a("@12", 60, 0x06060606);
    put_cname("@12", 60, "b.example.com");
    good("a.example.com", 0);

    start("a.example.com", 2);                          /* In circles. */
    put_cname("@12", 60, "b.example.com");
    put_cname("b.example.com", 60, "a.example.com");
    good("a.example.com", 0);

    start("a.example.com", 1);
    put_cname("@12", 60, "@12");
    good("a.example.com", 0);
}
END_TEST

START_TEST(test_ignored)
{
    start("example.com", 2);
    put_a("@12", 60, 0x01020304);
    put_a("@12", 60, 0x01020304);
    msg[3] |= 3;                                        /* NXDOMAIN. */
    good("example.com", 0);
    msg[3] &= 0xf0;
    msg[2] |= 2;                                        /* Truncated: the pod uses what is there, or asks by TCP. */
    good("example.com", 2);

    start("example.com", 3);
    put_record("@12", 16, 60, 5);                       /* TXT. */
    put(5, 0);
    put_record("@12", 1, 60, 4);
    put(4, 0x06060606);
    msg[len - 11] = 3;                                  /* Class CHAOS. */
    put_a("@12", 0x80000000, 0x01020304);               /* A TTL beyond 2^31 - 1 is 0. */
    good("example.com", 1);
    check_addr(0, "1.2.3.4", 0);

    start("example.com", 1);
    put_record("@12", 28, 60, 16);                      /* ::ffff:10.0.0.1 is not IPv4. */
    put(8, 0);
    put(8, 0xffff0a000001);
    good("example.com", 0);

    start("example.com", DNS_MAX_ADDRS + 3);
    uint8_t *big = malloc(65536);
    memcpy(big, msg, len);
    for (size_t i = 0, head = len; i < DNS_MAX_ADDRS + 3; i++) {
        len = 0;
        put_a("@12", 60, 0x0a000000 + i);
        memcpy(big + head, msg, len);
        head += len;
        if (i == DNS_MAX_ADDRS + 2) {
            ck_assert_int_eq(dns_answer_parse(big, head, &answer, NULL), 0);
        }
    }
    ck_assert_uint_eq(answer.n_addrs, DNS_MAX_ADDRS);
    free(big);
}
END_TEST

/* Every message that ends too early is refused. */
START_TEST(test_short)
{
    start("a.example.com", 3);
    put_cname("@12", 60, "b.@14");
    put_a("b.example.com", 60, 0x01020304);
    put_record("b.example.com", 28, 60, 16);
    put(8, 0);
    put(8, 1);
    good("a.example.com", 2);
    for (size_t size = 0; size < len; size++) {
        uint8_t *exact = malloc(size ? size : 1);       /* For the address sanitizer. */
        memcpy(exact, msg, size);
        ck_assert_int_eq(dns_answer_parse(exact, size, &answer, NULL), EINVAL);
        free(exact);
    }
}
END_TEST

START_TEST(test_bad)
{
    start("example.com", 0);
    msg[2] = 0;
    bad("not the answer");                              /* A query. */
    msg[2] = 0xa8;
    bad("not the answer");                              /* NOTIFY. */
    start("example.com", 0);
    msg[5] = 2;
    bad("one question");
    msg[5] = 0;
    bad("one question");
    start("example.com", 0);
    msg[len - 1] = 3;
    bad("IN");

    start("@12", 0);
    bad("backwards");                                   /* To itself. */
    start("@40", 0);
    bad("backwards");                                   /* Forwards. */
    start("@0", 0);
    bad("backwards");                                   /* Into the header. */
    start("a.@12", 0);
    bad("backwards");                                   /* Around. */
    start("example.com", 1);
    msg[12] = 0x80;
    bad("kind");
    start("exa mple.com", 0);
    bad("host");
    start("ex*mple.com", 0);
    bad("host");
    start("example.com", 0);
    msg[14] = '\0';
    bad("host");
    msg[14] = '.';
    bad("host");

    start("example.com", 1);
    put_record("@12", 1, 60, 5);
    put(5, 0);
    bad("size");
    start("example.com", 1);
    put_record("@12", 28, 60, 4);
    put(4, 0);
    bad("size");
    start("example.com", 1);
    put_cname("@12", 60, "b.example.com");
    msg[len++] = 0;
    msg[12 + 13 + 4 + 2 + 2 + 2 + 4 + 1]++;             /* Its length. */
    bad("size");
    start("example.com", 1);
    put_record("@12", 16, 60, 10);
    put(9, 0);
    bad("early");
}
END_TEST

START_TEST(test_long_names)
{
    char label[64], name[300] = "";
    memset(label, 'a', 63);
    label[63] = '\0';
    for (int i = 0; i < 3; i++) {
        strcat(strcat(name, label), ".");
    }
    strcat(name, label + 2);
    ck_assert_uint_eq(strlen(name), 253);
    start(name, 1);
    put_a("@12", 60, 0x01020304);
    good(name, 1);

    strcat(name, "a");
    start(name, 0);
    bad("too long");

    start("example.com", 20);                           /* A pointer to a pointer to a pointer... */
    size_t at = 12;
    for (int i = 0; i < 20; i++) {
        char owner[8];
        snprintf(owner, sizeof owner, "@%zu", at);
        at = len;
        put_a(owner, 60, 0x01020304);
    }
    bad("too many");
}
END_TEST

UNIT_MAIN("dns-answer", {
    tcase_add_test(tc, test_addresses);
    tcase_add_test(tc, test_chain);
    tcase_add_test(tc, test_ignored);
    tcase_add_test(tc, test_short);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_long_names);
})
