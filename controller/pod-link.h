#ifndef SLUICE_POD_LINK_H
#define SLUICE_POD_LINK_H 1

/* A pod's veth pair: its making, its configuration inside the pod, its checking and its end.
 *
 * All functions block (rtnetlink takes its lock for milliseconds, more on a busy machine), so they run in a worker
 * thread (worker.h), never in the main loop; they share nothing and may run side by side.  The pair is made by one
 * RTM_NEWLINK, its peer born in the pod's namespace under its final name, MAC and MTU (FACTS.md).  The host end gets
 * no IPv6 address of its own (addr_gen_mode none): nothing on the node speaks there but the switch.  (Switching IPv6
 * off there altogether needs a sysctl, and its writers spin while anyone holds the lock of rtnetlink.)
 *
 * Each notification about a link or a route makes ovs-vswitchd look at all links and routes of the node again, and an
 * ADD waits for ovs-vswitchd, so what belongs together is done in one go. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "inet.h"
#include "openvswitch/types.h"

/* Names of host ends begin so; nothing else on a node may.  hostnet.h's rules match "slp*". */
#define POD_LINK_PREFIX "slp"
/* Interface group (IFLA_GROUP) of links that wait to be deleted together: "slu". */
#define POD_LINK_TRASH_GROUP 0x736c75

struct pod_link_route {
    struct inet_prefix dst;
    bool has_gw;
    struct in6_addr gw;
    int mtu, advmss, priority, table, scope;    /* -1: not given. */
};

struct pod_link {
    const char *host_name;              /* "slp" and 12 hexadecimal digits. */
    const char *ifname;                 /* In the pod. */
    int netns_fd;                       /* The pod's network namespace; EBADF if it is -1, and nothing is done. */
    struct eth_addr mac;                /* Of the pod's end. */
    uint16_t mtu;                       /* Both ends. */
    const struct inet_prefix *addrs;    /* With the prefix length that the pod sees. */
    size_t n_addrs;
    const struct in6_addr *gateways;    /* Default routes, one of each family at most: onlink through the interface. */
    size_t n_gateways;
    const struct pod_link_route *routes;        /* Instead of default routes when the IPAM was delegated. */
    size_t n_routes;
    bool tx_checksum_off;               /* The userspace datapaths want finished checksums from the pod. */
};

/* Makes the pair, host end up.  EEXIST when 'ifname' exists in the pod; leaves nothing behind when it fails. */
int pod_link_create(const struct pod_link *, struct eth_addr *host_mac, struct error *);
/* Addresses (IPv6 without duplicate address detection: IFA_F_NODAD), up, routes, offloads. */
int pod_link_configure(const struct pod_link *, struct error *);
/* What CHECK wants of the kernel: name, MAC, MTU, up, addresses, routes; more than these is fine (cni C2, C3). */
int pod_link_check(const struct pod_link *, struct error *);
/* New MTU of both ends, for a pod that runs; growing and shrinking in the order that loses nothing. */
int pod_link_set_mtu(const char *host_name, const char *netns_path, const char *ifname, uint16_t mtu, struct error *);

/* Puts the host ends into the trash group (cheap), so that pod_link_empty_trash() deletes them in one go (1 ms each
 * instead of 17).  A name that does not exist is fine. */
int pod_link_trash(const char *host_name, struct error *);
int pod_link_empty_trash(struct error *);
/* One pair now, synchronously: a new ADD wants the same interface name in the same namespace. */
int pod_link_delete(const char *host_name, struct error *);
/* Calls 'cb' for each host end that exists ("slp*"), for the leak scan. */
int pod_link_for_each(void (*cb)(const char *host_name, void *aux), void *aux, struct error *);

#endif /* controller/pod-link.h */
