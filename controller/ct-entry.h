#ifndef SLUICE_CT_ENTRY_H
#define SLUICE_CT_ENTRY_H 1

/* A connection of conntrack, and how ovs-vswitchd prints those that it has.
 *
 * OpenFlow has no way to list connections; "dpctl/dump-conntrack" on ovs-vswitchd's control socket has, for whatever
 * datapath.  A line of it (lib/ct-dpif.c in Open vSwitch's sources):
 *
 *     udp,orig=(src=10.0.0.1,dst=10.96.0.10,sport=4000,dport=53),reply=(src=10.0.1.2,dst=10.0.0.1,sport=5353,dport=4000),zone=1,mark=1
 *
 * Addresses in network byte order, IPv4 as IPv4-mapped IPv6; ports in host byte order.  Pure. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_entry {
    uint8_t protocol;                   /* IPPROTO_UDP or IPPROTO_SCTP. */
    struct in6_addr client;             /* Who began, if 'client_port' is not 0; else any client's connections are meant. */
    uint16_t client_port;
    struct in6_addr vip, endpoint;      /* To whom, and who answers: another one if it was translated. */
    uint16_t vip_port, endpoint_port;
};

/* One line, of 'n' bytes without its end.  False: not UDP or SCTP, or not in this form. */
bool ct_entry_parse(const char *line, size_t n, struct ct_entry *);

/* What "dpctl/ct-stats-show" says: how many connections there are, and how many of them are UDP or SCTP.  False: not in its form. */
bool ct_count_parse(const char *, unsigned int *n_all, unsigned int *n_ours);

#endif /* controller/ct-entry.h */
