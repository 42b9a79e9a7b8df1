#ifndef SLUICE_HOSTNET_SERVICE_H
#define SLUICE_HOSTNET_SERVICE_H 1

/* What hostnet-service*.c share: the marks, the sets of nftables, the link to br-int in both families.  Nobody else includes
 * this. */

#include "hostnet-private.h"
#include "service-flow.h"

/* Of the packet: br-int is the next hop.  It lives from prerouting or output to postrouting. */
#define HOSTNET_MARK UINT32_C(0x04000000)
/* Of the connection: it came from br-int, and the routes would not bring its answers there. */
#define HOSTNET_CT_BACK UINT32_C(0x04000000)
/* Of the connection: it went to br-int by HOSTNET_MARK; so must the ICMP errors about it. */
#define HOSTNET_CT_SENT UINT32_C(0x08000000)

enum hostnet_set {
    SET_CLUSTER, SET_EXTERNAL, SET_ALIAS, SET_NODE_PORT, SET_KEEP_SOURCE,
    SET_RESTRICTED,                     /* Of SET_EXTERNAL: only for who is in... */
    SET_RANGE,                          /* ...this with its own address behind. */
    N_SETS
};

/* The names of sets end with the family's. */
extern const char *const hostnet_set_names[N_SETS];

/* A family in nft's words, and the link to br-int in it. */
struct hostnet_family {
    int family;
    const char *suffix, *keyword, *type, *node, *hairpin, *router, *link, *any;
    const char *unserved;               /* Local addresses at which node ports are not served. */
};
#define N_FAMILIES 2
extern const struct hostnet_family hostnet_families[N_FAMILIES];

/* The node's gateway address; NULL: the family has no pods and no Services. */
const struct in6_addr *hostnet_gateway_addr(const struct hostnet_config *, const struct hostnet_family *);

#endif /* controller/hostnet-service.h */
