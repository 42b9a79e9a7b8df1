#ifndef SLUICE_MTU_H
#define SLUICE_MTU_H 1

/* The pods' MTU.  Pure.
 *
 * A packet of a pod travels inside an outer IP packet on the uplink, so its MTU is the uplink's less the overhead:
 *
 *   Geneve   outer IPv4 20 (IPv6 40), UDP 8, Geneve 8 (RFC 8926, no options are used), inner Ethernet header 14:  50 (70)
 *   VXLAN    outer IPv4 20 (IPv6 40), UDP 8, VXLAN 8 (RFC 7348), inner Ethernet header 14:                       50 (70)
 *   none     0
 *   hybrid   as Geneve: a pod has one MTU, whichever way its packets take
 *
 * All sizes are in bytes of IP packets, as in "ip link show". */

#include <stdbool.h>
#include <stdint.h>

#include "controller/ovsdb.h"           /* enum encap. */
#include "lib/error.h"

/* RFC 8200, section 5: below this there is no IPv6.  RFC 791: what every IPv4 host must accept. */
#define MTU_MIN_IPV6 1280
#define MTU_MIN_IPV4 576

struct mtu_input {
    uint16_t wish;                      /* Of the configuration; 0: auto. */
    enum encap encap;
    bool underlay_ipv6;                 /* Tunnels run over IPv6 (to one peer at least). */
    bool pods_ipv6;                     /* Pods have IPv6 addresses. */
    const char *uplink;                 /* For messages. */
    uint16_t uplink_mtu;
};

uint16_t mtu_overhead(enum encap, bool underlay_ipv6);

/* ERANGE, with what would be possible, when the wish does not fit through the uplink or nothing that is left would do
 * for the pods' families. */
int mtu_choose(const struct mtu_input *, uint16_t *mtu, struct error *);

#endif /* controller/mtu.h */
