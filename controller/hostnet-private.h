#ifndef SLUICE_HOSTNET_PRIVATE_H
#define SLUICE_HOSTNET_PRIVATE_H 1

/* The parts of hostnet.h, shared by hostnet*.c and their tests only.
 *
 * Each part brings one thing from what it is to what it must be, and changes nothing when that is so already: they
 * are called again after every event.  They return 0 or an errno, and block only for rtnetlink, small files and
 * libnftables. */

#include "hostnet.h"
#include "lib/rtnl.h"

/* Routes of ours carry this protocol number, so that stale ones are known: 'S'. */
#define HOSTNET_RTPROT 0x53
/* The table of routes for what goes to Services: "SL". */
#define HOSTNET_ROUTE_TABLE 0x534c
/* Of nftables. */
#define HOSTNET_NFT_TABLE "sluice"

struct ds;
struct hostnet_services;
struct service_host;

/* The record (hostnet-record.c). --------------------------------------------------------------------------------- */

/* What the uplink had before its bridge took over, and what it has got since.  'ifindex' and 'oif' mean nothing. */
struct hostnet_record {
    char uplink[IFNAMSIZ];              /* "": there is no record. */
    char bridge[IFNAMSIZ];              /* Whose port took over. */
    int accept_ra;                      /* Of the uplink, -1: no IPv6. */
    int gro;                            /* Of the uplink, -1: not touched. */
    struct rtnl_addr *addrs;
    size_t n_addrs;
    struct rtnl_route *routes;
    size_t n_routes;
};

void hostnet_record_destroy(struct hostnet_record *);   /* Frees the content. */
/* Adds what the record does not have; what is the same but for details is replaced.  Returns true if something
 * changed. */
bool hostnet_record_merge_addr(struct hostnet_record *, const struct rtnl_addr *);
bool hostnet_record_merge_route(struct hostnet_record *, const struct rtnl_route *);
/* STATE/uplink.json.  ENOENT, without text in the error, when there is none. */
int hostnet_record_load(const char *state_dir, struct hostnet_record *, struct error *);
/* Temporary file, fsync, rename, fsync of the directory. */
int hostnet_record_save(const char *state_dir, const struct hostnet_record *, struct error *);
int hostnet_record_remove(const char *state_dir, struct error *);
/* Text form; from bytes that may be anything. */
char *hostnet_record_format(const struct hostnet_record *);
int hostnet_record_parse(const char *, size_t, struct hostnet_record *, struct error *);

/* The uplink (hostnet-uplink.c). --------------------------------------------------------------------------------- */

/* Finds the uplink: 'name', or for "auto" the holder of one of the addresses, or else the best default
 * route.  'ignore' (may be NULL) are links that cannot be the uplink: the gateway port and the bridge.  ENODEV: not
 * found. */
int hostnet_find_uplink(struct rtnl *, const char *name, const struct in6_addr *node_addrs, size_t n,
                        const char *const ignore[], struct rtnl_link *, struct error *);
/* Moves everything from the uplink to the bridge's port, or what came back without it.  'record' may be empty
 * (uplink[0] is 0). 'af_packet': the switch reads the uplink by AF_PACKET, so its frames must not be merged (GRO)
 * before. */
int hostnet_take_over(struct rtnl *, const char *state_dir, const char *uplink, const char *bridge, bool af_packet,
                      struct hostnet_record *record, struct error *);
/* The way back; the bridge's port need not exist any more.  Empties 'record'. */
int hostnet_give_back(struct rtnl *, const char *state_dir, const char *bridge, struct hostnet_record *record,
                      struct error *);

/* The gateway port (hostnet-gateway.c). -------------------------------------------------------------------------- */

/* ENODEV when the port does not exist yet. */
int hostnet_reconcile_gateway(struct rtnl *, const struct hostnet_config *, struct error *);
/* 'routes' are those to the other nodes. */
int hostnet_reconcile_routes(struct rtnl *, const struct hostnet_config *, const struct hostnet_route *routes, size_t n,
                             const struct hostnet_services *, struct error *);
/* One of them, when everything else is as it must be.  'dst' goes, or 'route' comes. */
int hostnet_put_route(struct rtnl *, const struct hostnet_config *, const struct hostnet_route *, struct error *);
int hostnet_delete_route(struct rtnl *, const struct hostnet_config *, const struct hostnet_route *, struct error *);

/* Services (hostnet-service*.c, hostnet-conntrack.c). ------------------------------------------------------------- */

struct hostnet_services *hostnet_services_create(void);
void hostnet_services_destroy(struct hostnet_services *);
void hostnet_services_put(struct hostnet_services *, const struct service_host *);
void hostnet_services_drop(struct hostnet_services *, const struct service_host *);
bool hostnet_services_any(const struct hostnet_services *);     /* Is one wanted? */
/* That with this key (kind, address, protocol, port), if it is wanted, or NULL. */
const struct service_host *hostnet_services_get(const struct hostnet_services *, const struct service_host *key);
bool hostnet_services_pending(const struct hostnet_services *); /* Do elements differ from what was installed? */
/* Is there a cluster address in the prefix? */
bool hostnet_services_within(const struct hostnet_services *, const struct inet_prefix *);

/* For nft(8): sets, chains, inside the table; all elements; or only the pending changes (to be freed). */
void hostnet_services_put_sets(const struct hostnet_config *, struct ds *);
void hostnet_services_put_rules(const struct hostnet_config *, struct ds *);
void hostnet_services_put_elements(const struct hostnet_services *, const struct hostnet_config *, struct ds *);
char *hostnet_services_changes(const struct hostnet_services *, const struct hostnet_config *);
/* All elements, or the changes, are installed. */
void hostnet_services_all_done(struct hostnet_services *);
void hostnet_services_changes_done(struct hostnet_services *);

/* The routes that are wanted, at most HOSTNET_SERVICE_ROUTES(config).  'oif': the gateway port; 0: not there. */
#define HOSTNET_SERVICE_ROUTES(CONFIG) (4 + (CONFIG)->n_service_cidrs)
size_t hostnet_services_routes(const struct hostnet_services *, const struct hostnet_config *, int oif, struct rtnl_route *);
/* The rule by which the mark leads to HOSTNET_ROUTE_TABLE, and the gateway port's rp_filter.  Without Services (NULL: none,
 * 'config' is not used then) there is no rule. */
int hostnet_services_reconcile(const struct hostnet_services *, struct rtnl *, const struct hostnet_config *, struct error *);

/* All global addresses, and those of the uplink, which may be away for a moment, sorted; '*addrs' is to be freed. */
size_t hostnet_read_local_addrs(struct rtnl *, const struct hostnet_uplink *, struct in6_addr **addrs);

/* Removes connections of UDP from the host's conntrack that go another way than they would if they began now.
 * Returns how many.  Walks through all of them. */
struct hostnet_local {
    const struct in6_addr *addrs;
    size_t n_addrs;
};
size_t hostnet_audit_conntrack(const struct hostnet_services *, const struct hostnet_config *, const struct hostnet_local *);

/* Sysctls (hostnet-sysctl.c). ------------------------------------------------------------------------------------ */

/* Reads or writes net.FAMILY.conf.LINK.NAME, e.g. ("ipv6", "eth0", "accept_ra").  Writes only what differs.  ENOENT:
 * no such link, or no IPv6. */
int hostnet_sysctl_get(const char *family, const char *link, const char *name, int *value, struct error *);
int hostnet_sysctl_set(const char *family, const char *link, const char *name, int value, struct error *);
/* Forwarding of both families; the uplink goes on listening to router advertisements if it did. */
int hostnet_forwarding(const char *uplink, struct error *);

/* nftables (hostnet-nft.c). -------------------------------------------------------------------------------------- */

/* The networks of one family in the fewest prefixes, for nft refuses sets with overlaps; returns how many are in 'out', which has
 * room for 'n'. */
size_t hostnet_aggregate(const struct inet_prefix *, size_t n, int family, struct inet_prefix *out);

/* The node's own address for what matches. */
void hostnet_put_masquerade(struct ds *, const char *match);

/* The rules as text for nft(8): replaces all tables in one transaction.  'gateway_ifindex' is 0 while there is no gateway port,
 * or if the kernel cannot change the MAC of what leaves by it (before Linux 5.16). */
char *hostnet_nft_rules(const struct hostnet_config *, const char *uplink, bool uplink_taken, int gateway_ifindex,
                        bool services);

/* Is 'listing', of "nft --numeric-protocol list table" for each of our tables in the same order, what 'declared' asks for?
 * (hostnet-nft-list.c) */
bool hostnet_nft_is_same(const char *declared, const char *listing);

/* Watches over the tables. */
struct hostnet_nft;
struct hostnet_nft *hostnet_nft_create(void);
void hostnet_nft_destroy(struct hostnet_nft *);
/* Installs 'rules' (takes them) with the elements of all Services, unless they are there already and nobody else has touched
 * our tables; then only the Services' changes. */
int hostnet_nft_set(struct hostnet_nft *, char *rules, struct hostnet_services *, const struct hostnet_config *,
                    struct error *);
/* Installs the Services' changes.  ENOENT: not without hostnet_nft_set(). */
int hostnet_nft_change(struct hostnet_nft *, struct hostnet_services *, const struct hostnet_config *, struct error *);
/* True if somebody else touched our tables since. */
bool hostnet_nft_run(struct hostnet_nft *);
void hostnet_nft_wait(struct hostnet_nft *);

#endif /* controller/hostnet-private.h */
