#include <config.h>

#include "punt-reply.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "csum.h"
#include "dp-packet.h"
#include "packets.h"

#define REPLY_TTL 64
#define REPLY_TOS 0xc0                  /* Internetwork control: RFC 1812, section 4.3.2.5. */
#define ICMP_HEADER_LEN_BYTES 8         /* Of ICMP and ICMPv6 errors alike. */
#define IPV4_ERROR_MAX 576              /* IP packet. */
#define IPV6_ERROR_MAX 1280             /* IP packet. */
#define IPV6_MAX_EXTENSIONS 8           /* A packet with more is not answered. */

/* The packet that caused the answer. */
struct cause {
    const struct eth_header *eth;
    const uint8_t *ip;                  /* IP header; not aligned. */
    size_t len;                         /* Of the IP packet, as much of it as we have. */
};

static struct dp_packet *icmp_error(const struct punt_local *, const struct punt *, const struct cause *);
static struct dp_packet *icmp6_error(const struct punt_local *, const struct punt *, const struct cause *);
static struct dp_packet *reset(const struct punt_local *, const struct cause *);
static struct dp_packet *reset6(const struct punt_local *, const struct cause *);
static struct dp_packet *advertise(const struct punt_local *, const struct cause *);

struct dp_packet *
punt_reply(const struct punt_local *local, const struct punt *punt, const void *frame, size_t len)
{
    struct cause cause = { .eth = frame };

    if (len < ETH_HEADER_LEN || eth_addr_is_multicast(cause.eth->eth_src)) {
        return NULL;
    }
    cause.ip = (const uint8_t *) frame + ETH_HEADER_LEN;
    cause.len = len - ETH_HEADER_LEN;

    bool is_v4 = cause.eth->eth_type == htons(ETH_TYPE_IP);
    bool is_v6 = cause.eth->eth_type == htons(ETH_TYPE_IPV6);
    switch (punt->code) {
    case PUNT_TIME_EXCEEDED:
    case PUNT_TOO_BIG:
    case PUNT_REJECT:
        if (eth_addr_is_multicast(cause.eth->eth_dst)) {
            return NULL;
        }
        return is_v4 ? icmp_error(local, punt, &cause) : is_v6 ? icmp6_error(local, punt, &cause) : NULL;
    case PUNT_ND_SOLICIT:
        return is_v6 ? advertise(local, &cause) : NULL;
    default:
        return NULL;
    }
}

static const struct in6_addr *
gateway_of(const struct punt_local *local, bool v4)
{
    for (size_t i = 0; i < local->n_gateway_addrs; i++) {
        if (inet_is_v4(&local->gateway_addrs[i]) == v4) {
            return &local->gateway_addrs[i];
        }
    }
    return NULL;
}

/* That nobody serves at 'dst' is for 'dst' to say; the node's stack would not believe its own gateway address. */
static const struct in6_addr *
error_source(const struct punt_local *local, enum punt_code code, const struct in6_addr *dst)
{
    return code == PUNT_REJECT ? dst : gateway_of(local, inet_is_v4(dst));
}

/* A new frame from the router to the router (the way back is found by routing), with room for 'l3_len' bytes of
 * zeros. */
static struct dp_packet *
frame_create(const struct punt_local *local, uint16_t eth_type, size_t l3_len)
{
    struct dp_packet *reply = dp_packet_new(ETH_HEADER_LEN + l3_len);
    struct eth_header *eth = dp_packet_put_zeros(reply, ETH_HEADER_LEN);

    eth->eth_dst = eth->eth_src = local->router_mac;
    eth->eth_type = htons(eth_type);
    dp_packet_put_zeros(reply, l3_len);
    return reply;
}

/* The same with an IPv4 header, and 'payload' bytes of zeros behind it. */
static struct dp_packet *
ipv4_create(const struct punt_local *local, ovs_be32 src, ovs_16aligned_be32 dst, uint8_t tos, uint8_t proto,
            size_t payload)
{
    struct dp_packet *reply = frame_create(local, ETH_TYPE_IP, IP_HEADER_LEN + payload);
    struct ip_header *ip = dp_packet_at_assert(reply, ETH_HEADER_LEN, IP_HEADER_LEN);

    ip->ip_ihl_ver = IP_IHL_VER(5, 4);
    ip->ip_tos = tos;
    ip->ip_tot_len = htons(IP_HEADER_LEN + payload);
    ip->ip_frag_off = htons(IP_DF);
    ip->ip_ttl = REPLY_TTL;
    ip->ip_proto = proto;
    put_16aligned_be32(&ip->ip_src, src);
    ip->ip_dst = dst;
    ip->ip_csum = csum(ip, IP_HEADER_LEN);
    return reply;
}

static struct dp_packet *
ipv6_create(const struct punt_local *local, const struct in6_addr *src, const struct in6_addr *dst, uint8_t proto,
            size_t payload)
{
    struct dp_packet *reply = frame_create(local, ETH_TYPE_IPV6, IPV6_HEADER_LEN + payload);
    struct ovs_16aligned_ip6_hdr *ip = dp_packet_at_assert(reply, ETH_HEADER_LEN, IPV6_HEADER_LEN);

    put_16aligned_be32(&ip->ip6_flow, htonl(6u << 28));
    ip->ip6_plen = htons(payload);
    ip->ip6_nxt = proto;
    ip->ip6_hlim = REPLY_TTL;
    memcpy(&ip->ip6_src, src, sizeof *src);
    memcpy(&ip->ip6_dst, dst, sizeof *dst);
    return reply;
}

/* IPv4. ---------------------------------------------------------------------------------------------------------- */

/* A single host's address, which may be answered. */
static bool
ipv4_is_host(ovs_be32 addr)
{
    uint8_t first = ntohl(addr) >> 24;

    return first != 0 && first != 127 && first < 224;
}

static bool
icmp_type_is_error(uint8_t type)
{
    switch (type) {
    case ICMP_ECHOREPLY: case ICMP_ECHO:
    case ICMP_TIMESTAMP: case ICMP_TIMESTAMPREPLY:
    case ICMP_INFO_REQUEST: case ICMP_INFO_REPLY:
    case ICMP_ADDRESS: case ICMP_ADDRESSREPLY:
        return false;
    default:
        return true;                    /* What we don't know may be one. */
    }
}

/* Whether 'cause' may be answered with an ICMP error; if so, '*header' is its header and '*len' the length of
 * the packet. */
static bool
ipv4_may_answer(const struct cause *cause, struct ip_header *header, size_t *len)
{
    if (cause->len < IP_HEADER_LEN) {
        return false;
    }
    memcpy(header, cause->ip, sizeof *header);

    size_t header_len = IP_IHL(header->ip_ihl_ver) * 4, total = ntohs(header->ip_tot_len);
    if (IP_VER(header->ip_ihl_ver) != 4 || header_len < IP_HEADER_LEN || total < header_len) {
        return false;
    }
    *len = MIN(total, cause->len);
    if (*len < header_len || header->ip_frag_off & htons(IP_FRAG_OFF_MASK)
        || !ipv4_is_host(get_16aligned_be32(&header->ip_src)) || !ipv4_is_host(get_16aligned_be32(&header->ip_dst))) {
        return false;
    }
    return header->ip_proto != IPPROTO_ICMP || (*len > header_len && !icmp_type_is_error(cause->ip[header_len]));
}

static struct dp_packet *
icmp_error(const struct punt_local *local, const struct punt *punt, const struct cause *cause)
{
    struct ip_header header;
    size_t len;

    if (!ipv4_may_answer(cause, &header, &len)) {
        return NULL;
    }
    if (punt->code == PUNT_REJECT && header.ip_proto == IPPROTO_TCP) {
        return reset(local, cause);
    }
    struct in6_addr dst = in6_addr_mapped_ipv4(get_16aligned_be32(&header.ip_dst));
    const struct in6_addr *src = error_source(local, punt->code, &dst);
    if (!src) {
        return NULL;
    }
    size_t quoted = MIN(len, IPV4_ERROR_MAX - IP_HEADER_LEN - ICMP_HEADER_LEN_BYTES);
    struct dp_packet *reply = ipv4_create(local, in6_addr_get_mapped_ipv4(src), header.ip_src, REPLY_TOS,
                                          IPPROTO_ICMP, ICMP_HEADER_LEN_BYTES + quoted);

    struct icmp_header *icmp = dp_packet_at_assert(reply, ETH_HEADER_LEN + IP_HEADER_LEN, ICMP_HEADER_LEN_BYTES);
    if (punt->code == PUNT_TOO_BIG) {
        icmp->icmp_type = ICMP_DEST_UNREACH;
        icmp->icmp_code = ICMP_FRAG_NEEDED;
        icmp->icmp_fields.frag.mtu = punt->mtu;
    } else if (punt->code == PUNT_REJECT) {
        icmp->icmp_type = ICMP_DEST_UNREACH;
        icmp->icmp_code = ICMP_PORT_UNREACH;
    } else {
        icmp->icmp_type = ICMP_TIME_EXCEEDED;
        icmp->icmp_code = ICMP_EXC_TTL;
    }
    memcpy(icmp + 1, cause->ip, quoted);
    icmp->icmp_csum = csum(icmp, ICMP_HEADER_LEN_BYTES + quoted);
    return reply;
}

/* IPv6. ---------------------------------------------------------------------------------------------------------- */

/* Follows the extension headers.  Returns the protocol above them, '*ofs' where it begins, '*first' whether this is the
 * first of several fragments; or -1 if they lead out of what we have, or if this is a fragment but the first. */
static int
ipv6_upper_protocol(const struct cause *cause, size_t *ofs, bool *first)
{
    int proto = cause->ip[6];

    *ofs = IPV6_HEADER_LEN;
    *first = false;
    for (int i = 0; i < IPV6_MAX_EXTENSIONS; i++) {
        const uint8_t *ext = cause->ip + *ofs;
        bool is_extension = proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS
                            || proto == IPPROTO_FRAGMENT || proto == IPPROTO_AH;

        if (!is_extension) {
            return proto;
        }
        if (*ofs + 8 > cause->len) {
            return -1;
        }
        if (proto == IPPROTO_FRAGMENT) {
            if (ext[2] || ext[3] & 0xf8) {
                return -1;
            }
            *first |= ext[3] & 1;
            *ofs += 8;
        } else {
            *ofs += proto == IPPROTO_AH ? (ext[1] + 2) * 4 : (ext[1] + 1) * 8;
        }
        proto = ext[0];
    }
    return -1;
}

static bool
ipv6_is_host(const struct in6_addr *addr)
{
    return !IN6_IS_ADDR_MULTICAST(addr) && !IN6_IS_ADDR_UNSPECIFIED(addr) && !IN6_IS_ADDR_LOOPBACK(addr)
           && !IN6_IS_ADDR_V4MAPPED(addr);
}

/* Reads the fixed header; false if there is none. */
static bool
ipv6_header(const struct cause *cause, struct in6_addr *src, struct in6_addr *dst)
{
    if (cause->len < IPV6_HEADER_LEN || cause->ip[0] >> 4 != 6) {
        return false;
    }
    memcpy(src, cause->ip + 8, sizeof *src);
    memcpy(dst, cause->ip + 24, sizeof *dst);
    return true;
}

/* Of the whole packet, as its header says. */
static size_t
ipv6_len(const struct cause *cause)
{
    return IPV6_HEADER_LEN + (cause->ip[4] << 8 | cause->ip[5]);
}

/* Of the 'payload' bytes behind the header of 'reply'; the field in them is 0. */
static ovs_be16
ipv6_csum(struct dp_packet *reply, size_t payload)
{
    struct ovs_16aligned_ip6_hdr *ip = dp_packet_at_assert(reply, ETH_HEADER_LEN, IPV6_HEADER_LEN + payload);

    return csum_finish(csum_continue(packet_csum_pseudoheader6(ip), ip + 1, payload));
}

static bool
ipv6_may_answer(const struct cause *cause, struct in6_addr *src, struct in6_addr *dst)
{
    size_t ofs;
    bool first;

    if (!ipv6_header(cause, src, dst) || !ipv6_is_host(src) || !ipv6_is_host(dst)) {
        return false;
    }
    switch (ipv6_upper_protocol(cause, &ofs, &first)) {
    case -1:
        return false;
    case IPPROTO_ICMPV6:
        /* Types below 128 are errors. */
        return ofs < cause->len && cause->ip[ofs] & ICMP6_INFOMSG_MASK && cause->ip[ofs] != ND_REDIRECT;
    default:
        return true;
    }
}

static struct dp_packet *
icmp6_error(const struct punt_local *local, const struct punt *punt, const struct cause *cause)
{
    struct in6_addr src, dst;
    size_t ofs;
    bool first;

    if (!ipv6_may_answer(cause, &src, &dst)) {
        return NULL;
    }
    if (punt->code == PUNT_REJECT && ipv6_upper_protocol(cause, &ofs, &first) == IPPROTO_TCP) {
        return reset6(local, cause);
    }
    const struct in6_addr *from = error_source(local, punt->code, &dst);
    if (!from) {
        return NULL;
    }
    size_t quoted = MIN(MIN(cause->len, ipv6_len(cause)), IPV6_ERROR_MAX - IPV6_HEADER_LEN - ICMP_HEADER_LEN_BYTES);
    size_t payload = ICMP_HEADER_LEN_BYTES + quoted;
    struct dp_packet *reply = ipv6_create(local, from, &src, IPPROTO_ICMPV6, payload);

    struct icmp6_data_header *icmp = dp_packet_at_assert(reply, ETH_HEADER_LEN + IPV6_HEADER_LEN,
                                                         ICMP_HEADER_LEN_BYTES);
    if (punt->code == PUNT_TOO_BIG) {
        icmp->icmp6_base.icmp6_type = ICMP6_PACKET_TOO_BIG;
        put_16aligned_be32(&icmp->icmp6_data.be32[0], htonl(ntohs(punt->mtu)));
    } else if (punt->code == PUNT_REJECT) {
        icmp->icmp6_base.icmp6_type = ICMP6_DST_UNREACH;
        icmp->icmp6_base.icmp6_code = ICMP6_DST_UNREACH_NOPORT;
    } else {
        icmp->icmp6_base.icmp6_type = ICMP6_TIME_EXCEEDED;
        icmp->icmp6_base.icmp6_code = ICMP6_TIME_EXCEED_TRANSIT;
    }
    memcpy(icmp + 1, cause->ip, quoted);
    icmp->icmp6_base.icmp6_cksum = ipv6_csum(reply, payload);
    return reply;
}

/* TCP resets. ---------------------------------------------------------------------------------------------------- */

/* Fills 'to' with the answer of a closed port (RFC 9293, section 3.10.7.1) to the segment of 'seg_len' bytes, header
 * included, of which 'available' are at 'seg'.  False if there is none: to a reset; to what is no whole header; to the
 * first fragment of a segment without an acknowledgment, the length of which is not known. */
static bool
reset_fill(struct tcp_header *to, const uint8_t *seg, size_t available, size_t seg_len, bool is_fragment)
{
    struct tcp_header from;

    if (available < sizeof from || seg_len < sizeof from) {
        return false;
    }
    memcpy(&from, seg, sizeof from);
    uint16_t flags = TCP_FLAGS(from.tcp_ctl);
    size_t header_len = TCP_OFFSET(from.tcp_ctl) * 4;
    if (flags & TCP_RST || header_len < sizeof from || header_len > seg_len || (is_fragment && !(flags & TCP_ACK))) {
        return false;
    }

    to->tcp_src = from.tcp_dst;
    to->tcp_dst = from.tcp_src;
    if (flags & TCP_ACK) {
        to->tcp_seq = from.tcp_ack;
        to->tcp_ctl = TCP_CTL(TCP_RST, sizeof *to / 4);
    } else {
        uint32_t seq = ntohl(get_16aligned_be32(&from.tcp_seq));
        size_t len = seg_len - header_len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
        put_16aligned_be32(&to->tcp_ack, htonl(seq + len));
        to->tcp_ctl = TCP_CTL(TCP_RST | TCP_ACK, sizeof *to / 4);
    }
    return true;
}

/* 'cause' may be answered: ipv4_may_answer(). */
static struct dp_packet *
reset(const struct punt_local *local, const struct cause *cause)
{
    struct ip_header header;
    struct tcp_header tcp = { .tcp_winsz = 0 };

    memcpy(&header, cause->ip, sizeof header);
    size_t ofs = IP_IHL(header.ip_ihl_ver) * 4, total = ntohs(header.ip_tot_len);
    if (!reset_fill(&tcp, cause->ip + ofs, MIN(cause->len, total) - ofs, total - ofs,
                    header.ip_frag_off & htons(IP_MORE_FRAGMENTS))) {
        return NULL;
    }
    struct dp_packet *reply = ipv4_create(local, get_16aligned_be32(&header.ip_dst), header.ip_src, 0, IPPROTO_TCP,
                                          sizeof tcp);
    struct ip_header *ip = dp_packet_at_assert(reply, ETH_HEADER_LEN, IP_HEADER_LEN + sizeof tcp);
    tcp.tcp_csum = csum_finish(csum_continue(packet_csum_pseudoheader(ip), &tcp, sizeof tcp));
    memcpy(ip + 1, &tcp, sizeof tcp);
    return reply;
}

/* 'cause' may be answered: ipv6_may_answer(). */
static struct dp_packet *
reset6(const struct punt_local *local, const struct cause *cause)
{
    struct tcp_header tcp = { .tcp_winsz = 0 };
    struct in6_addr src, dst;
    size_t ofs, total = ipv6_len(cause);
    bool first;

    ipv6_header(cause, &src, &dst);
    ipv6_upper_protocol(cause, &ofs, &first);
    if (ofs > MIN(cause->len, total)
        || !reset_fill(&tcp, cause->ip + ofs, MIN(cause->len, total) - ofs, total - ofs, first)) {
        return NULL;
    }
    struct dp_packet *reply = ipv6_create(local, &dst, &src, IPPROTO_TCP, sizeof tcp);
    memcpy(dp_packet_at_assert(reply, ETH_HEADER_LEN + IPV6_HEADER_LEN, sizeof tcp), &tcp, sizeof tcp);
    struct tcp_header *put = dp_packet_at_assert(reply, ETH_HEADER_LEN + IPV6_HEADER_LEN, sizeof tcp);
    put->tcp_csum = ipv6_csum(reply, sizeof tcp);
    return reply;
}

/* Neighbours. ---------------------------------------------------------------------------------------------------- */

/* Checks of RFC 4861, section 7.1.1. */
static struct dp_packet *
advertise(const struct punt_local *local, const struct cause *cause)
{
    struct in6_addr src, dst, target;
    const size_t nd_len = IPV6_HEADER_LEN + ND_MSG_LEN;

    if (!ipv6_header(cause, &src, &dst) || cause->len < nd_len || cause->ip[6] != IPPROTO_ICMPV6 || cause->ip[7] != 255
        || cause->ip[IPV6_HEADER_LEN] != ND_NEIGHBOR_SOLICIT || cause->ip[IPV6_HEADER_LEN + 1] != 0) {
        return NULL;
    }
    memcpy(&target, cause->ip + IPV6_HEADER_LEN + 8, sizeof target);
    if (!ipv6_is_host(&src) || !ipv6_is_host(&target)) {
        return NULL;
    }

    struct dp_packet *reply = dp_packet_new(0);
    compose_nd_na(reply, local->router_mac, cause->eth->eth_src, &target, &src,
                  htonl(ND_RSO_ROUTER | ND_RSO_SOLICITED | ND_RSO_OVERRIDE));
    return reply;
}
