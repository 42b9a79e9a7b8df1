#ifndef SLUICE_HOSTNET_H
#define SLUICE_HOSTNET_H 1

/* The node's own network: everything of Sluice that lives in the host's stack.
 *
 *   gateway port   the addresses of the node in its pod CIDRs, up, MTU; routes to its own and the other nodes' pods
 *   uplink         found, watched (MTU, addresses); for the userspace datapaths its addresses and routes, both families,
 *                  move to the port of the uplink bridge, and back on removal
 *   nftables       own table "inet sluice" (libnftables, one transaction): masquerade of what leaves the cluster, the drop
 *                  of what AF_PACKET leaves to the kernel (FACTS.md), and "arp sluice" for the same; the drop of what
 *                  pods send to the port of the tunnels; and, with "netdev sluice", the source MAC that tells what the node
 *                  itself sends to pods from what it forwards to them (SOURCE_FORWARDED in flows/fields.h)
 *   Services       with "inet sluice", one rule and one table of routes: what goes to Services is handed to br-int
 *   sysctls        forwarding of both families (accept_ra=2 on the uplink where it was 1)
 *
 * Declarative and reconciled: hostnet_set() says what must be; rtnetlink notifications bring the module back to it,
 * e.g. when the bridge's port comes back without addresses after a restart of ovs-vswitchd.
 *
 * Crash safety of the take-over: before the uplink is touched its addresses and routes are recorded in
 * STATE/uplink.json (temporary file, fsync, rename).  At every instruction either the uplink or the bridge's port has
 * each address, or the record and the next start give it back.  The record goes when the uplink is restored. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "inet.h"
#include "openvswitch/types.h"

struct hostnet;

struct hostnet_route {
    struct inet_prefix dst;
    bool has_via;
    struct in6_addr via;                /* Routed peers: the other node's address.  Otherwise by the gateway port. */
};

struct hostnet_config {
    const char *gateway;                /* "sluice0"; appears when ovs-vswitchd makes it. */
    struct eth_addr gateway_mac;
    const struct inet_prefix *gateway_addrs;    /* Address of the node in each pod CIDR, with the CIDR's length. */
    size_t n_gateway_addrs;
    uint16_t mtu;                       /* Of the gateway port. */
    const struct inet_prefix *cluster_cidrs;    /* Pod CIDRs that the stack forwards to: not masqueraded. */
    size_t n_cluster_cidrs;
    const struct inet_prefix *service_cidrs;    /* A route for each in which a Service has an address: a node without a
                                                 * default route could not even begin to connect to one. */
    size_t n_service_cidrs;
    bool masquerade;
    struct eth_addr own_mac;            /* Source MAC of the IP packets that the node itself sends by the gateway port;
                                         * zeros: the port's, like that of all others. */
    uint16_t tunnel_port;               /* UDP: pods must not send to it by the node; 0: no tunnels. */
    const char *uplink_bridge;          /* NULL: the uplink stays, or goes back when it had been taken over. */
    bool uplink_bridge_pending;         /* The bridge does not hold the uplink yet: do not begin to take over.  What
                                         * has been taken over before (a restart) does not care. */
    bool guard_af_packet;               /* Datapath userspace: drop what the kernel sees beside OVS. */
};

struct hostnet_uplink {
    char name[16];                      /* The device that carries packets, whether or not its addresses moved. */
    struct eth_addr mac;
    uint16_t mtu;
    struct inet_prefix *addrs;          /* Global addresses, wherever they are now. */
    size_t n_addrs;
};

/* 'uplink': a name, or "auto": the interface that holds one of 'node_addrs', or else the default route.  'state_dir'
 * holds the record. */
struct hostnet *hostnet_create(const char *state_dir, const char *uplink);
void hostnet_destroy(struct hostnet *);         /* Leaves the network as it is. */
void hostnet_set_node_addrs(struct hostnet *, const struct in6_addr *, size_t);
void hostnet_set(struct hostnet *, const struct hostnet_config *);      /* Copies. */
/* One of the other nodes' pod CIDRs; costs the same however many there are.  A route that is there already is replaced in one
 * step; to remove one that is not there is nothing. */
void hostnet_set_route(struct hostnet *, const struct hostnet_route *);
void hostnet_remove_route(struct hostnet *, const struct inet_prefix *dst);
/* What the node's stack hands to br-int for Services (controller/services.h tells what; flows/service-flow.h the
 * addresses of the link between the two).  Costs the same however many there are.
 *
 *   CLUSTER     what the node sends or forwards to the address
 *   EXTERNAL    the same for (address, protocol, port), from outside too; to a local address: after it was made 'alias'
 *   NODE_PORT   what comes to (protocol, port) of any local address, made FLOW_NODE_*, from the node itself too
 *
 * What the node sends itself gets the gateway port's address as source; so does what it forwards, unless
 * 'keep_source' or it comes from a pod of this node.  Answers go back the way they came. */
struct service_host;
/* What was installed by an earlier run and has not been put when hostnet_run() first has a configuration goes then. */
void hostnet_put_service(struct hostnet *, const struct service_host *);
void hostnet_drop_service(struct hostnet *, const struct service_host *);
/* When all that is in place: removes connections of UDP from the host's conntrack that are older than the Services,
 * or whose Service is gone.  At first, and when one of UDP is dropped, this is done anyway. */
void hostnet_audit(struct hostnet *);
void hostnet_run(struct hostnet *);
void hostnet_wait(struct hostnet *);

/* NULL as long as the uplink is not found (see hostnet_problem()). */
const struct hostnet_uplink *hostnet_uplink(const struct hostnet *);
/* All global addresses of the node, of whatever link (the gateway port too), sorted. */
const struct in6_addr *hostnet_local_addrs(const struct hostnet *, size_t *n);
/* Everything was as declared when it was looked at last.  A change that is about to be carried out does not end that. */
bool hostnet_ready(const struct hostnet *);
bool hostnet_is_settled(const struct hostnet *);        /* Ready, and nothing is about to be carried out. */
const char *hostnet_problem(const struct hostnet *);    /* NULL, or what an operator must mend. */
unsigned int hostnet_seqno(const struct hostnet *);     /* Changes with any answer above. */

/* Undoes everything, synchronously: "sluiced --cleanup".  The caller removes the bridges between the two. */
int hostnet_restore_uplink(const char *state_dir, const char *uplink_bridge, struct error *);
int hostnet_remove_rules(struct error *);

#endif /* controller/hostnet.h */
