/* Table 2, SPOOF_GUARD.
 *
 * Decides:  whether a pod may send this at all.  A whitelist: its MAC with its addresses, ARP and ND for them, nothing
 *           else.
 * From:     CLASSIFY, for pods only.
 * Reads:    in_port and the frame.
 * Writes:   nothing.
 * To:       ARP_ND.
 *
 * The whitelist alone is the guard; the drops above and below it only say what it was, so that a counter explains.
 *
 * - All IP goes to the router's MAC: pods have host routes (/32, /128) only, so there is no reason for another.  That
 *   excludes multicast and broadcast, and makes every frame a pod gets one that was routed: its hop limit is at most
 *   254, so ND that was smuggled past this table (in a fragment, whose type OVS does not show) is invalid for who gets
 *   it (RFC 4861, 6980).
 * - Fragments are known by their addresses only.  They pass here, and the drops by port do not see them.
 * - LLC is another ethertype for OVS (0x05ff) and drops.  SNAP with an Ethernet type is parsed as that type, so IP
 *   inside it must pass the same whitelist; there is no telling it apart, and no need.
 * - The link-local address of the modified EUI-64 form (RFC 4291, appendix A) is a source of neighbour solicitation
 *   only: Linux probes a router that it knows from there.
 * - Solicitation must carry the source's MAC as an option, because ARP_ND turns that option into the answer's. */

#include <config.h>

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "tables.h"

#define DHCPV4_SERVER_PORT 67
#define DHCPV6_SERVER_PORT 547

static void
drop_icmp6(struct build *b, uint8_t type, unsigned int priority)
{
    match_icmp6(build_match(b), type);
    build_flow(b, TABLE_SPOOF_GUARD, priority);
}

static void
drop_udp_source(struct build *b, uint16_t dl_type, uint16_t port)
{
    struct match *match = build_match(b);
    match_set_dl_type(match, htons(dl_type));
    match_set_nw_proto(match, IPPROTO_UDP);
    match_set_tp_src(match, htons(port));
    build_flow(b, TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_DHCP_SERVER);
}

/* Only routers redirect, and a pod is none. */
static void
drop_redirect4(struct build *b)
{
    struct match *match = build_match(b);
    match_set_dl_type(match, htons(ETH_TYPE_IP));
    match_set_nw_proto(match, IPPROTO_ICMP);
    match_set_icmp_type(match, ICMP_REDIRECT);
    build_flow(b, TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_REDIRECT);
}

static void
drop_dl_type(struct build *b, uint16_t dl_type, unsigned int priority)
{
    match_set_dl_type(build_match(b), htons(dl_type));
    build_flow(b, TABLE_SPOOF_GUARD, priority);
}

void
table_spoof_guard_base(struct build *b)
{
    static const struct eth_addr group_bit = ETH_ADDR_C(01,00,00,00,00,00);

    match_vlan(build_match(b));
    build_flow(b, TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_VLAN);
    drop_icmp6(b, ND_ROUTER_ADVERT, PRIORITY_SPOOF_GUARD_ROUTER_ADVERTISEMENT);
    drop_icmp6(b, ND_REDIRECT, PRIORITY_SPOOF_GUARD_REDIRECT);
    drop_redirect4(b);
    drop_udp_source(b, ETH_TYPE_IP, DHCPV4_SERVER_PORT);
    drop_udp_source(b, ETH_TYPE_IPV6, DHCPV6_SERVER_PORT);

    drop_icmp6(b, ND_NEIGHBOR_SOLICIT, PRIORITY_SPOOF_GUARD_FOREIGN_ND);
    drop_icmp6(b, ND_NEIGHBOR_ADVERT, PRIORITY_SPOOF_GUARD_FOREIGN_ND);
    drop_dl_type(b, ETH_TYPE_ARP, PRIORITY_SPOOF_GUARD_FOREIGN_ARP);
    match_set_dl_dst_masked(build_match(b), group_bit, group_bit);
    build_flow(b, TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_MULTICAST);
    drop_dl_type(b, ETH_TYPE_IP, PRIORITY_SPOOF_GUARD_FOREIGN_IP);
    drop_dl_type(b, ETH_TYPE_IPV6, PRIORITY_SPOOF_GUARD_FOREIGN_IP);

    build_match(b);
    build_flow(b, TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_ETHERTYPE);
}

/* What all that a pod may send has in common. */
static struct match *
own_frame(const struct flow_pod *pod, struct build *b)
{
    struct match *match = build_match(b);
    match_set_in_port(match, pod->ofport);
    match_no_vlan(match);
    match_set_dl_src(match, pod->mac);
    return match;
}

static void
allow(struct build *b, unsigned int priority)
{
    build_goto(b, TABLE_ARP_ND);
    build_flow(b, TABLE_SPOOF_GUARD, priority);
}

static void
own_solicit(const struct flow_pod *pod, const struct in6_addr *src, struct build *b)
{
    struct match *match = own_frame(pod, b);
    match_icmp6(match, ND_NEIGHBOR_SOLICIT);
    match_set_icmp_code(match, 0);
    match_set_ipv6_src(match, src);
    match_set_arp_sha(match, pod->mac);         /* nd_sll. */
    allow(b, PRIORITY_SPOOF_GUARD_OWN_ND);
}

static void
own_advert(const struct flow_pod *pod, const struct in6_addr *addr, struct build *b)
{
    struct match *match = own_frame(pod, b);
    match_icmp6(match, ND_NEIGHBOR_ADVERT);
    match_set_icmp_code(match, 0);
    match_set_ipv6_src(match, addr);
    match_set_nd_target(match, addr);
    match_set_arp_tha(match, pod->mac);         /* nd_tll. */
    allow(b, PRIORITY_SPOOF_GUARD_OWN_ND);
}

static void
own_arp(const struct flow_pod *pod, const struct in6_addr *addr, struct build *b)
{
    struct match *match = own_frame(pod, b);
    match_set_dl_type(match, htons(ETH_TYPE_ARP));
    match_set_nw_src(match, in6_addr_get_mapped_ipv4(addr));    /* arp_spa. */
    match_set_arp_sha(match, pod->mac);
    allow(b, PRIORITY_SPOOF_GUARD_OWN_ARP);
}

static void
own_ip(const struct flow_local *local, const struct flow_pod *pod, const struct in6_addr *addr, struct build *b)
{
    struct match *match = own_frame(pod, b);
    match_set_dl_dst(match, local->router_mac);
    match_ip_src(match, addr);
    allow(b, PRIORITY_SPOOF_GUARD_OWN_IP);
}

/* In place of own_ip(): says in the counters why. */
static void
isolate(const struct flow_pod *pod, uint16_t dl_type, struct build *b)
{
    struct match *match = build_match(b);
    match_set_in_port(match, pod->ofport);
    match_set_dl_type(match, htons(dl_type));
    build_flow(b, TABLE_SPOOF_GUARD, PRIORITY_SPOOF_GUARD_ISOLATED);
}

void
table_spoof_guard_pod(const struct flow_local *local, const struct flow_pod *pod, struct build *b)
{
    bool has_ipv6 = false;

    for (size_t i = 0; i < pod->n_addrs; i++) {
        const struct in6_addr *addr = &pod->addrs[i];
        if (inet_is_v4(addr)) {
            own_arp(pod, addr, b);
        } else {
            own_solicit(pod, addr, b);
            own_advert(pod, addr, b);
            has_ipv6 = true;
        }
        if (!pod->isolated) {
            own_ip(local, pod, addr, b);
        }
    }
    if (pod->isolated) {
        isolate(pod, ETH_TYPE_IP, b);
        isolate(pod, ETH_TYPE_IPV6, b);
    }
    if (has_ipv6) {
        struct in6_addr link_local;
        in6_generate_lla(pod->mac, &link_local);
        own_solicit(pod, &link_local, b);
    }
}
