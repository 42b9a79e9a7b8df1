#include <config.h>

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "csum.h"
#include "dp-packet.h"
#include "packets.h"
#include "punt-reply.h"
#include "unit.h"

/* Covers issue 3, items 6 (TTL, IPv6 neighbours) and 7 (a packet too big gets an ICMP answer), services 9 and 10 (what nobody
 * serves), and hostile frames. */

static const struct eth_addr ROUTER = ETH_ADDR_C(02,73,6c,00,00,01), POD = ETH_ADDR_C(0a,00,00,00,01,05);

struct frame {
    uint8_t bytes[2048];
    size_t len;
};

static struct in6_addr
addr(const char *s)
{
    struct in6_addr a;

    ck_assert_int_eq(inet_addr_parse(s, &a, NULL), 0);
    return a;
}

static struct dp_packet *
reply(enum punt_code code, uint16_t mtu, const struct frame *frame)
{
    struct in6_addr gateways[] = { addr("10.244.1.1"), addr("fd00:10:244:1::1") };
    struct punt_local local = { ROUTER, gateways, 2 };
    struct punt punt = { .code = code, .mtu = htons(mtu) };
    /* In a buffer of exactly its size, so that a sanitizer sees a read behind its end. */
    uint8_t *copy = malloc(frame->len ? frame->len : 1);

    memcpy(copy, frame->bytes, frame->len);
    struct dp_packet *packet = punt_reply(&local, &punt, copy, frame->len);
    free(copy);
    return packet;
}

/* Ethernet and IPv4 around 'payload_len' bytes of protocol 'proto', which begin with 'first'. */
static struct frame
ipv4(const char *src, const char *dst, uint8_t proto, uint8_t first, size_t payload_len)
{
    struct frame f = { .len = ETH_HEADER_LEN + IP_HEADER_LEN + payload_len };
    struct eth_header eth = { ROUTER, POD, htons(ETH_TYPE_IP) };
    struct ip_header ip = {
        .ip_ihl_ver = IP_IHL_VER(5, 4), .ip_tot_len = htons(IP_HEADER_LEN + payload_len), .ip_frag_off = htons(IP_DF),
        .ip_ttl = 1, .ip_proto = proto,
    };
    struct in6_addr s = addr(src), d = addr(dst);

    put_16aligned_be32(&ip.ip_src, in6_addr_get_mapped_ipv4(&s));
    put_16aligned_be32(&ip.ip_dst, in6_addr_get_mapped_ipv4(&d));
    memcpy(f.bytes, &eth, sizeof eth);
    memcpy(f.bytes + ETH_HEADER_LEN, &ip, sizeof ip);
    memset(f.bytes + ETH_HEADER_LEN + IP_HEADER_LEN, 0xa5, payload_len);
    f.bytes[ETH_HEADER_LEN + IP_HEADER_LEN] = first;
    return f;
}

static struct frame
ipv6(const char *src, const char *dst, uint8_t proto, uint8_t first, size_t payload_len)
{
    struct frame f = { .len = ETH_HEADER_LEN + IPV6_HEADER_LEN + payload_len };
    struct eth_header eth = { ROUTER, POD, htons(ETH_TYPE_IPV6) };
    uint8_t *ip = f.bytes + ETH_HEADER_LEN;
    struct in6_addr s = addr(src), d = addr(dst);

    memcpy(f.bytes, &eth, sizeof eth);
    ip[0] = 0x60;
    ip[4] = payload_len >> 8;
    ip[5] = payload_len;
    ip[6] = proto;
    ip[7] = 255;
    memcpy(ip + 8, &s, 16);
    memcpy(ip + 24, &d, 16);
    memset(ip + IPV6_HEADER_LEN, 0xa5, payload_len);
    ip[IPV6_HEADER_LEN] = first;
    return f;
}

#define V4(...) ipv4("10.244.1.5", "10.244.2.9", __VA_ARGS__)
#define V6(...) ipv6("fd00:10:244:1::5", "fd00:10:244:2::9", __VA_ARGS__)

static void
assert_none(enum punt_code code, const struct frame *frame)
{
    ck_assert_ptr_null(reply(code, 1450, frame));
}

/* Checks all that every ICMP error has in common, and returns where ICMP begins. */
static const uint8_t *
check_v4_from(const char *from, struct dp_packet *p, const struct frame *cause, size_t quoted)
{
    struct in6_addr src = addr(from);

    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(dp_packet_size(p), ETH_HEADER_LEN + IP_HEADER_LEN + 8 + quoted);
    const struct eth_header *eth = dp_packet_data(p);
    const uint8_t *ip = (const uint8_t *) (eth + 1);
    ck_assert(eth_addr_equals(eth->eth_src, ROUTER) && eth_addr_equals(eth->eth_dst, ROUTER));
    ck_assert_uint_eq(ntohs(eth->eth_type), ETH_TYPE_IP);
    ck_assert_uint_eq(csum(ip, IP_HEADER_LEN), 0);
    ck_assert_uint_eq(ip[2] << 8 | ip[3], IP_HEADER_LEN + 8 + quoted);
    ck_assert_uint_eq(ip[8], 64);
    ck_assert(!memcmp(ip + 12, &src.s6_addr[12], 4) && !memcmp(ip + 16, (uint8_t[]) { 10, 244, 1, 5 }, 4));
    ck_assert_uint_eq(csum(ip + IP_HEADER_LEN, 8 + quoted), 0);
    ck_assert(!memcmp(ip + IP_HEADER_LEN + 8, cause->bytes + ETH_HEADER_LEN, quoted));
    return ip + IP_HEADER_LEN;
}

static const uint8_t *
check_v4(struct dp_packet *p, const struct frame *cause, size_t quoted)
{
    return check_v4_from("10.244.1.1", p, cause, quoted);
}

static const uint8_t *
check_v6_from(const char *from, struct dp_packet *p, const struct frame *cause, size_t quoted)
{
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(dp_packet_size(p), ETH_HEADER_LEN + IPV6_HEADER_LEN + 8 + quoted);
    const uint8_t *ip = (const uint8_t *) dp_packet_data(p) + ETH_HEADER_LEN;
    struct in6_addr src = addr(from), pod = addr("fd00:10:244:1::5");
    ck_assert(!memcmp(ip + 8, &src, 16) && !memcmp(ip + 24, &pod, 16));
    ck_assert_uint_eq(ip[4] << 8 | ip[5], 8 + quoted);

    /* Pseudo header by hand: RFC 8200, section 8.1. */
    uint32_t sum = csum_continue(0, ip + 8, 32);
    sum = csum_add16(sum, htons(8 + quoted));
    sum = csum_add16(sum, htons(IPPROTO_ICMPV6));
    ck_assert_uint_eq(csum_finish(csum_continue(sum, ip + IPV6_HEADER_LEN, 8 + quoted)), 0);
    ck_assert(!memcmp(ip + IPV6_HEADER_LEN + 8, cause->bytes + ETH_HEADER_LEN, quoted));
    return ip + IPV6_HEADER_LEN;
}

static const uint8_t *
check_v6(struct dp_packet *p, const struct frame *cause, size_t quoted)
{
    return check_v6_from("fd00:10:244:1::1", p, cause, quoted);
}

START_TEST(test_v4)
{
    struct frame small = V4(IPPROTO_UDP, 0, 8), big = V4(IPPROTO_TCP, 0, 1500), odd = V4(IPPROTO_ICMP, ICMP_ECHO, 33);

    struct dp_packet *p = reply(PUNT_TIME_EXCEEDED, 0, &small);
    const uint8_t *icmp = check_v4(p, &small, 28);
    ck_assert(icmp[0] == ICMP_TIME_EXCEEDED && icmp[1] == ICMP_EXC_TTL);
    dp_packet_delete(p);

    p = reply(PUNT_TOO_BIG, 1450, &big);
    icmp = check_v4(p, &big, 576 - 28);
    ck_assert(icmp[0] == ICMP_DEST_UNREACH && icmp[1] == ICMP_FRAG_NEEDED);
    ck_assert_uint_eq(icmp[4] << 8 | icmp[5], 0);
    ck_assert_uint_eq(icmp[6] << 8 | icmp[7], 1450);
    dp_packet_delete(p);

    /* DF is not set: answered too. */
    big.bytes[ETH_HEADER_LEN + 6] = 0;
    p = reply(PUNT_TOO_BIG, 1450, &big);
    check_v4(p, &big, 576 - 28);
    dp_packet_delete(p);

    /* Truncated by the switch; and with padding behind the packet. */
    big.len = PUNT_MAX_LEN;
    p = reply(PUNT_TOO_BIG, 1450, &big);
    check_v4(p, &big, 576 - 28);
    dp_packet_delete(p);
    odd.len += 20;
    p = reply(PUNT_TIME_EXCEEDED, 0, &odd);
    check_v4(p, &odd, 53);
    dp_packet_delete(p);
}
END_TEST

START_TEST(test_v6)
{
    struct frame small = V6(IPPROTO_UDP, 0, 8), big = V6(IPPROTO_TCP, 0, 1460);

    struct dp_packet *p = reply(PUNT_TIME_EXCEEDED, 0, &small);
    const uint8_t *icmp = check_v6(p, &small, 48);
    ck_assert(icmp[0] == ICMP6_TIME_EXCEEDED && icmp[1] == ICMP6_TIME_EXCEED_TRANSIT);
    dp_packet_delete(p);

    p = reply(PUNT_TOO_BIG, 1430, &big);
    icmp = check_v6(p, &big, 1280 - 48);
    ck_assert(icmp[0] == ICMP6_PACKET_TOO_BIG && icmp[1] == 0);
    ck_assert(!memcmp(icmp + 4, (uint8_t[]) { 0, 0, 1430 >> 8, 1430 & 255 }, 4));
    dp_packet_delete(p);
}
END_TEST

/* RFC 1122, section 3.2.2. */
START_TEST(test_v4_never)
{
    for (int type = 0; type < 256; type++) {
        struct frame f = V4(IPPROTO_ICMP, type, 8);
        bool query = type == 0 || type == 8 || (type >= 13 && type <= 18);
        struct dp_packet *p = reply(PUNT_TIME_EXCEEDED, 0, &f);
        ck_assert_msg(!p == !query, "ICMP type %d", type);
        dp_packet_delete(p);
    }
    static const char *const bad[] = { "0.0.0.0", "127.0.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1",
                                       "255.255.255.255" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frame src = ipv4(bad[i], "10.0.0.1", IPPROTO_UDP, 0, 8);
        struct frame dst = ipv4("10.0.0.1", bad[i], IPPROTO_UDP, 0, 8);
        assert_none(PUNT_TIME_EXCEEDED, &src);
        assert_none(PUNT_TOO_BIG, &dst);
    }

    struct frame f = V4(IPPROTO_UDP, 0, 100);
    f.bytes[ETH_HEADER_LEN + 7] = 1;                    /* A later fragment. */
    assert_none(PUNT_TOO_BIG, &f);
    f = V4(IPPROTO_UDP, 0, 100);
    f.bytes[ETH_HEADER_LEN + 6] = 0x20;                 /* The first fragment. */
    struct dp_packet *p = reply(PUNT_TOO_BIG, 1450, &f);
    check_v4(p, &f, 120);
    dp_packet_delete(p);

    f.bytes[0] = 1;                                     /* To a multicast MAC. */
    assert_none(PUNT_TOO_BIG, &f);
    f = V4(IPPROTO_UDP, 0, 100);
    f.bytes[12] = 0x81;                                 /* Another ethertype. */
    f.bytes[13] = 0;
    assert_none(PUNT_TOO_BIG, &f);
    f = V4(IPPROTO_UDP, 0, 100);
    assert_none(0, &f);                                 /* Another code. */
    assert_none(PUNT_ND_SOLICIT, &f);
    f.bytes[ETH_HEADER_LEN] = 0x4f;                     /* Options, which are there. */
    p = reply(PUNT_TOO_BIG, 1450, &f);
    check_v4(p, &f, 120);
    dp_packet_delete(p);
    f.bytes[ETH_HEADER_LEN] = 0x44;                     /* Header too short, wrong version, total length too small. */
    assert_none(PUNT_TOO_BIG, &f);
    f.bytes[ETH_HEADER_LEN] = 0x65;
    assert_none(PUNT_TOO_BIG, &f);
    f.bytes[ETH_HEADER_LEN] = 0x45;
    f.bytes[ETH_HEADER_LEN + 3] = 19;
    assert_none(PUNT_TOO_BIG, &f);
}
END_TEST

/* RFC 4443, section 2.4 (e). */
START_TEST(test_v6_never)
{
    for (int type = 0; type < 256; type++) {
        struct frame f = V6(IPPROTO_ICMPV6, type, 8);
        struct dp_packet *p = reply(PUNT_TIME_EXCEEDED, 0, &f);
        ck_assert_msg(!p == (type < 128 || type == ND_REDIRECT), "ICMPv6 type %d", type);
        dp_packet_delete(p);

        /* The same behind a destination options header. */
        f = V6(IPPROTO_DSTOPTS, IPPROTO_ICMPV6, 16);
        f.bytes[ETH_HEADER_LEN + IPV6_HEADER_LEN + 1] = 0;
        f.bytes[ETH_HEADER_LEN + IPV6_HEADER_LEN + 8] = type;
        p = reply(PUNT_TIME_EXCEEDED, 0, &f);
        ck_assert_msg(!p == (type < 128 || type == ND_REDIRECT), "ICMPv6 type %d behind options", type);
        dp_packet_delete(p);
    }
    static const char *const bad[] = { "::", "::1", "ff02::1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frame src = ipv6(bad[i], "fd00::1", IPPROTO_UDP, 0, 8);
        struct frame dst = ipv6("fd00::1", bad[i], IPPROTO_UDP, 0, 8);
        assert_none(PUNT_TIME_EXCEEDED, &src);
        assert_none(PUNT_TOO_BIG, &dst);
    }

    struct frame f = V6(IPPROTO_FRAGMENT, IPPROTO_UDP, 64);
    uint8_t *ext = f.bytes + ETH_HEADER_LEN + IPV6_HEADER_LEN;
    ext[2] = 0;
    ext[3] = 1;                                         /* The first fragment. */
    struct dp_packet *p = reply(PUNT_TOO_BIG, 1450, &f);
    check_v6(p, &f, 104);
    dp_packet_delete(p);
    ext[3] = 9;
    assert_none(PUNT_TOO_BIG, &f);

    /* Extension headers without end, and one that leads out of the packet to what might be anything. */
    f = V6(IPPROTO_HOPOPTS, 0, 200);
    memset(f.bytes + ETH_HEADER_LEN + IPV6_HEADER_LEN, 0, 200);
    assert_none(PUNT_TOO_BIG, &f);
    f = V6(IPPROTO_HOPOPTS, IPPROTO_ICMPV6, 16);
    assert_none(PUNT_TOO_BIG, &f);
}
END_TEST

START_TEST(test_nd)
{
    struct frame f = ipv6("fd00:10:244:1::5", "ff02::1:ff00:1", IPPROTO_ICMPV6, ND_NEIGHBOR_SOLICIT, 32);
    uint8_t *nd = f.bytes + ETH_HEADER_LEN + IPV6_HEADER_LEN;
    struct in6_addr target = addr("fd00:10:244:1::1"), pod = addr("fd00:10:244:1::5");
    f.bytes[0] = 0x33;
    nd[1] = 0;
    memcpy(nd + 8, &target, 16);

    struct dp_packet *p = reply(PUNT_ND_SOLICIT, 0, &f);
    ck_assert_ptr_nonnull(p);
    const struct eth_header *eth = dp_packet_data(p);
    const uint8_t *ip = (const uint8_t *) (eth + 1), *na = ip + IPV6_HEADER_LEN;
    ck_assert_uint_eq(dp_packet_size(p), ETH_HEADER_LEN + IPV6_HEADER_LEN + 32);
    ck_assert(eth_addr_equals(eth->eth_src, ROUTER) && eth_addr_equals(eth->eth_dst, POD));
    ck_assert(!memcmp(ip + 8, &target, 16) && !memcmp(ip + 24, &pod, 16));
    ck_assert_uint_eq(ip[7], 255);
    ck_assert(na[0] == ND_NEIGHBOR_ADVERT && na[1] == 0 && na[4] == 0xe0);
    ck_assert(!memcmp(na + 8, &target, 16));
    ck_assert(na[24] == ND_OPT_TARGET_LINKADDR && na[25] == 1 && !memcmp(na + 26, &ROUTER, 6));
    uint32_t sum = csum_continue(0, ip + 8, 32);
    sum = csum_add16(csum_add16(sum, htons(32)), htons(IPPROTO_ICMPV6));
    ck_assert_uint_eq(csum_finish(csum_continue(sum, na, 32)), 0);
    dp_packet_delete(p);

    struct frame bad = f;
    bad.bytes[ETH_HEADER_LEN + 7] = 254;                /* It passed a router. */
    assert_none(PUNT_ND_SOLICIT, &bad);
    bad = f;
    memset(bad.bytes + ETH_HEADER_LEN + 8, 0, 16);      /* Duplicate address detection. */
    assert_none(PUNT_ND_SOLICIT, &bad);
    bad = f;
    bad.bytes[ETH_HEADER_LEN + IPV6_HEADER_LEN + 8] = 0xff;     /* A multicast target. */
    assert_none(PUNT_ND_SOLICIT, &bad);
    bad = f;
    bad.bytes[ETH_HEADER_LEN + IPV6_HEADER_LEN] = ND_NEIGHBOR_ADVERT;
    assert_none(PUNT_ND_SOLICIT, &bad);
}
END_TEST

/* A TCP segment of 'payload_len' bytes from 4000 to 80, seq 0xfffffff0, ack 0x01020304, at 'tcp' of a frame. */
static void
put_tcp(uint8_t *tcp, uint8_t flags)
{
    static const uint8_t header[20] = { 0x0f, 0xa0, 0, 80, 0xff, 0xff, 0xff, 0xf0, 1, 2, 3, 4, 0x50, 0, 0x10, 0 };

    memcpy(tcp, header, sizeof header);
    tcp[13] = flags;
}

/* Checks a reset with 'flags', 'seq' and 'ack' from the destination of 'cause' to its source, and frees it. */
static void
check_reset(struct dp_packet *p, const struct frame *cause, uint8_t flags, uint32_t seq, uint32_t ack)
{
    bool v4 = cause->bytes[12] == 0x08;
    size_t ip_len = v4 ? IP_HEADER_LEN : IPV6_HEADER_LEN, addr_len = v4 ? 4 : 16, src = v4 ? 12 : 8;
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(dp_packet_size(p), ETH_HEADER_LEN + ip_len + 20);
    const uint8_t *ip = (const uint8_t *) dp_packet_data(p) + ETH_HEADER_LEN, *tcp = ip + ip_len;
    const uint8_t *was = cause->bytes + ETH_HEADER_LEN;
    ck_assert(!memcmp(ip + src, was + src + addr_len, addr_len) && !memcmp(ip + src + addr_len, was + src, addr_len));
    ck_assert(!v4 || !csum(ip, IP_HEADER_LEN));
    ck_assert_uint_eq(v4 ? ip[2] << 8 | ip[3] : (ip[4] << 8 | ip[5]) + IPV6_HEADER_LEN, ip_len + 20);
    ck_assert_uint_eq(v4 ? ip[9] : ip[6], IPPROTO_TCP);
    ck_assert(!memcmp(tcp, (uint8_t[]) { 0, 80, 0x0f, 0xa0 }, 4));
    ck_assert_uint_eq((uint32_t) tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7], seq);
    ck_assert_uint_eq((uint32_t) tcp[8] << 24 | tcp[9] << 16 | tcp[10] << 8 | tcp[11], ack);
    ck_assert_uint_eq(tcp[12], 0x50);
    ck_assert_uint_eq(tcp[13], flags);
    uint32_t sum = csum_continue(0, ip + src, 2 * addr_len);
    sum = csum_add16(csum_add16(sum, htons(20)), htons(IPPROTO_TCP));
    ck_assert_uint_eq(csum_finish(csum_continue(sum, tcp, 20)), 0);
    dp_packet_delete(p);
}

/* services 9, 10: RFC 9293, section 3.10.7.1. */
START_TEST(test_reject_tcp)
{
    const struct { uint8_t flags, answer; uint32_t seq, ack; } segments[] = {
        { TCP_SYN, TCP_RST | TCP_ACK, 0, 0xfffffff1 },                  /* seq + 1. */
        { TCP_FIN, TCP_RST | TCP_ACK, 0, 0xfffffff1 },
        { 0, TCP_RST | TCP_ACK, 0, 0xfffffff0 },
        { TCP_ACK, TCP_RST, 0x01020304, 0 },
        { TCP_SYN | TCP_ACK, TCP_RST, 0x01020304, 0 },
        { TCP_PSH | TCP_ACK | TCP_FIN, TCP_RST, 0x01020304, 0 },
    };
    for (size_t i = 0; i < sizeof segments / sizeof *segments; i++) {
        struct frame v4 = V4(IPPROTO_TCP, 0, 20), v6 = V6(IPPROTO_TCP, 0, 20);
        put_tcp(v4.bytes + ETH_HEADER_LEN + IP_HEADER_LEN, segments[i].flags);
        put_tcp(v6.bytes + ETH_HEADER_LEN + IPV6_HEADER_LEN, segments[i].flags);
        check_reset(reply(PUNT_REJECT, 0, &v4), &v4, segments[i].answer, segments[i].seq, segments[i].ack);
        check_reset(reply(PUNT_REJECT, 0, &v6), &v6, segments[i].answer, segments[i].seq, segments[i].ack);
    }

    /* Data counts, also what the switch cut off and what wraps around; padding, options and extension headers do not. */
    struct frame f = V4(IPPROTO_TCP, 0, 1420);
    uint8_t *tcp = f.bytes + ETH_HEADER_LEN + IP_HEADER_LEN;
    put_tcp(tcp, TCP_SYN);
    tcp[12] = 0x60;
    f.len = PUNT_MAX_LEN;
    check_reset(reply(PUNT_REJECT, 0, &f), &f, TCP_RST | TCP_ACK, 0, 0xfffffff0 + 1396 + 1);
    f = V6(IPPROTO_DSTOPTS, IPPROTO_TCP, 8 + 20 + 32);
    f.bytes[ETH_HEADER_LEN + IPV6_HEADER_LEN + 1] = 0;
    put_tcp(f.bytes + ETH_HEADER_LEN + IPV6_HEADER_LEN + 8, 0);
    f.len += 9;
    check_reset(reply(PUNT_REJECT, 0, &f), &f, TCP_RST | TCP_ACK, 0, 0x10);
}
END_TEST

START_TEST(test_reject_tcp_never)
{
    struct frame f = V4(IPPROTO_TCP, 0, 20), six = V6(IPPROTO_TCP, 0, 20);
    uint8_t *ip = f.bytes + ETH_HEADER_LEN, *tcp = ip + IP_HEADER_LEN;

    for (int flags = 0; flags < 64; flags++) {
        if (flags & TCP_RST) {
            put_tcp(tcp, flags);
            put_tcp(six.bytes + ETH_HEADER_LEN + IPV6_HEADER_LEN, flags);
            assert_none(PUNT_REJECT, &f);
            assert_none(PUNT_REJECT, &six);
        }
    }
    put_tcp(tcp, TCP_ACK);
    ip[7] = 1;                                          /* A later fragment. */
    assert_none(PUNT_REJECT, &f);
    ip[7] = 0;
    ip[6] = 0x20;                                       /* The first: only with an acknowledgment. */
    check_reset(reply(PUNT_REJECT, 0, &f), &f, TCP_RST, 0x01020304, 0);
    put_tcp(tcp, TCP_SYN);
    assert_none(PUNT_REJECT, &f);
    ip[6] = 0;
    tcp[12] = 0x40;                                     /* A header that is too short, and one that is not there. */
    assert_none(PUNT_REJECT, &f);
    tcp[12] = 0x60;
    assert_none(PUNT_REJECT, &f);
    put_tcp(tcp, TCP_SYN);
    f.len--;
    assert_none(PUNT_REJECT, &f);
    f.len++;
    ip[3]--;
    assert_none(PUNT_REJECT, &f);
    ip[3]++;
    ip[19] = 255;
    ip[16] = 224;                                       /* To a multicast address, and to a multicast MAC. */
    assert_none(PUNT_REJECT, &f);
    f = V4(IPPROTO_TCP, 0, 20);
    put_tcp(f.bytes + ETH_HEADER_LEN + IP_HEADER_LEN, TCP_SYN);
    f.bytes[0] = 1;
    assert_none(PUNT_REJECT, &f);
}
END_TEST

/* services 9, 10: UDP, SCTP and whatever else. */
START_TEST(test_reject_others)
{
    const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_UDPLITE, 253 };
    for (size_t i = 0; i < sizeof protos; i++) {
        struct frame v4 = V4(protos[i], 0, 30), v6 = V6(protos[i], 0, 30);
        struct dp_packet *p = reply(PUNT_REJECT, 0, &v4);
        const uint8_t *icmp = check_v4_from("10.244.2.9", p, &v4, 50);
        ck_assert(icmp[0] == ICMP_DEST_UNREACH && icmp[1] == ICMP_PORT_UNREACH);
        ck_assert(!memcmp(icmp + 4, (uint8_t[4]) { 0 }, 4));
        dp_packet_delete(p);
        p = reply(PUNT_REJECT, 0, &v6);
        icmp = check_v6_from("fd00:10:244:2::9", p, &v6, 70);
        ck_assert(icmp[0] == ICMP6_DST_UNREACH && icmp[1] == ICMP6_DST_UNREACH_NOPORT);
        ck_assert(!memcmp(icmp + 4, (uint8_t[4]) { 0 }, 4));
        dp_packet_delete(p);
    }

    /* Never about an error, or a later fragment. */
    struct frame f = V4(IPPROTO_ICMP, ICMP_DEST_UNREACH, 30);
    assert_none(PUNT_REJECT, &f);
    f = V6(IPPROTO_ICMPV6, ICMP6_DST_UNREACH, 30);
    assert_none(PUNT_REJECT, &f);
    f = V4(IPPROTO_UDP, 0, 30);
    f.bytes[ETH_HEADER_LEN + 7] = 1;
    assert_none(PUNT_REJECT, &f);
}
END_TEST

/* A node without an address of the family answers that nobody serves, too. */
START_TEST(test_reject_no_gateway)
{
    const struct punt_local local = { .router_mac = ROUTER };
    const struct frame frames[] = { V4(IPPROTO_UDP, 0, 30), V6(IPPROTO_UDP, 0, 30) };
    struct punt punt = { .code = PUNT_REJECT };

    for (size_t i = 0; i < 2; i++) {
        size_t src = i ? 8 : 12, len = i ? 16 : 4;
        struct dp_packet *p = punt_reply(&local, &punt, frames[i].bytes, frames[i].len);
        ck_assert_ptr_nonnull(p);
        const uint8_t *ip = (const uint8_t *) dp_packet_data(p) + ETH_HEADER_LEN;
        const uint8_t *was = frames[i].bytes + ETH_HEADER_LEN;
        ck_assert(!memcmp(ip + src, was + src + len, len) && !memcmp(ip + src + len, was + src, len));
        dp_packet_delete(p);

        struct punt other = { .code = PUNT_TIME_EXCEEDED };
        ck_assert_ptr_null(punt_reply(&local, &other, frames[i].bytes, frames[i].len));
    }
}
END_TEST

/* Every frame cut off at every length, and with every byte of its headers replaced: no read outside, and never
 * an answer that is longer than allowed. */
START_TEST(test_hostile)
{
    const struct frame frames[] = {
        V4(IPPROTO_UDP, 0, 60), V4(IPPROTO_ICMP, ICMP_ECHO, 60), V4(IPPROTO_TCP, 0, 60), V6(IPPROTO_TCP, 0, 60),
        V6(IPPROTO_AH, IPPROTO_UDP, 60),
        V6(IPPROTO_ROUTING, IPPROTO_FRAGMENT, 60), ipv6("fd00::1", "fd00::2", IPPROTO_ICMPV6, ND_NEIGHBOR_SOLICIT, 32),
    };
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        for (int code = 0; code <= PUNT_REJECT; code++) {
            for (size_t len = 0; len <= frames[i].len; len++) {
                struct frame f = frames[i];
                f.len = len;
                dp_packet_delete(reply(code, 1400, &f));
                for (size_t value = 0; len < frames[i].len && value < 256; value += 15) {
                    f = frames[i];
                    f.bytes[len] = value;
                    struct dp_packet *p = reply(code, 1400, &f);
                    ck_assert(!p || dp_packet_size(p) <= ETH_HEADER_LEN + 1280);
                    dp_packet_delete(p);
                }
            }
        }
    }
}
END_TEST

UNIT_MAIN("punt-reply", {
    tcase_add_test(tc, test_v4);
    tcase_add_test(tc, test_v6);
    tcase_add_test(tc, test_v4_never);
    tcase_add_test(tc, test_v6_never);
    tcase_add_test(tc, test_nd);
    tcase_add_test(tc, test_reject_tcp);
    tcase_add_test(tc, test_reject_tcp_never);
    tcase_add_test(tc, test_reject_others);
    tcase_add_test(tc, test_reject_no_gateway);
    tcase_add_test(tc, test_hostile);
})
