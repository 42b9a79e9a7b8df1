#ifndef SLUICE_SERVICES_PRIVATE_H
#define SLUICE_SERVICES_PRIVATE_H 1

/* What the files of the service core share.  services.h is what others see.
 *
 *   services.c          life, events, the order of services_run()
 *   services-owner.c    what an object asks for: claims, ranges; what is wrong with it
 *   services-ports.c    its ports, and what comes from their endpoints
 *   services-choose.c   endpoints of a Service port: the cluster set, the local set, and why
 *   services-sets.c     sets of equal content are one; their numbers, groups and flows
 *   services-claims.c   who has an (address, protocol, port); addresses that are this node's
 *   services-doors.c    doors, and entries for the host's stack
 *   services-emit.c     differences become effects
 *   services-flush.c    what conntrack must see, and what it must forget
 *   services-info.c     looking at it
 *
 * An event marks an owner (a Service with its slices, or a pod with host ports) as changed.  services_run() works out
 * anew what changed owners ask for; marks the sets and owners that this concerns, too; lets them say which flows,
 * groups and entries they want; and compares with what they wanted before. */

#include <string.h>

#include "controller/services.h"
#include "flow-set.h"
#include "numbers.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "packets.h"
#include "service-flow.h"
#include "shares.h"

enum set_kind { SET_CLUSTER, SET_LOCAL, N_SETS };

/* How a set was chosen. */
enum why {
    WHY_NOT_USED,                       /* Nobody asks for the set. */
    WHY_READY,
    WHY_NODE_HINT,
    WHY_ZONE_HINT,
    WHY_TERMINATING,
    WHY_NONE,                           /* Empty: nowhere is one. */
    WHY_NONE_LOCAL,                     /* Empty: elsewhere are some. */
    WHY_HOST_PORT,
};

/* Where packets go to. */
struct place {
    struct in6_addr addr;
    uint16_t port;
};

/* Endpoints of one or more Service ports. ----------------------------------------------------------------------- */

struct set_group {
    uint64_t key;                       /* Of its number. */
    struct group_entry *group;
};

/* Immutable content, and what was made of it. */
struct set {
    struct hmap_node node;              /* In 'sets', by content. */
    struct ovs_list users;              /* "struct user"s. */
    struct ovs_list dirty;              /* In 'dirty_sets' or empty. */
    const struct user *owner;           /* The first of 'users': number and cookies are made from its name. */
    uint64_t key;                       /* Of the owner, when 'groups' and 'number' were given. */
    uint32_t n;
    uint32_t affinity;                  /* Seconds; 0: none. */
    uint64_t affinity_key;              /* Of the only user, if it has affinity. */
    uint32_t number;                    /* For FIELD_SERVICE; 0: does not need one. */
    uint32_t target;                    /* Of doors: the number or a group's id, */
    enum flow_door_action action;       /* by this. */
    struct set_group *groups;           /* One for each shard. */
    struct flow_entry **flows;
    uint32_t n_groups, n_flows;
    struct place places[];              /* Sorted; the place is the rank for lib/shares.h. */
};

/* The use of a set by a port. */
struct user {
    struct ovs_list node;               /* In 'users' of 'set', or empty. */
    struct set *set;                    /* NULL: no endpoints, or nobody needs them. */
    struct sport *sport;
};

/* A port of an owner, in one family. */
#define SPORT_TRACKED 3
struct sport {
    struct hmap_node by_cookie;         /* In 'cookies'. */
    struct owner *owner;
    uint64_t key;                       /* Hash of owner, name, protocol and family. */
    uint64_t cookie;
    struct user users[N_SETS];
    struct place *served;               /* UDP and SCTP: who still serves, sorted. */
    uint32_t n_served;
    uint32_t n_tracked;                 /* Ports that its endpoints have. */
    union {
        uint16_t few[SPORT_TRACKED];
        uint16_t *many;
    } tracked;
    uint16_t index;                     /* In the Service's ports, or the pod's host ports. */
    uint8_t protocol;
    bool v6;
    bool any;                           /* There is an endpoint anywhere. */
    uint8_t why[N_SETS];
};

/* Claims. -------------------------------------------------------------------------------------------------------- */

enum claim_kind { CLAIM_REST, CLAIM_CLUSTER, CLAIM_NODE_PORT, CLAIM_EXTERNAL, CLAIM_LB, CLAIM_HOST_PORT, CLAIM_HEALTH };
#define CLAIM_HEALTH_PROTOCOL 255       /* Health-check ports are a space of their own. */

struct address {
    struct hmap_node node;              /* In 'addresses'. */
    struct in6_addr addr;               /* Unspecified: all of the node, of the family. */
    struct ovs_list claims;
    struct ovs_list dirty;              /* In 'dirty_addresses' or empty. */
    uint32_t n[4];                      /* Claims by protocol: others, TCP, UDP, SCTP. */
    bool local;                         /* Of this node. */
    bool has_alias;                     /* Holds a number. */
    uint32_t alias;                     /* Index + 1; 0: none. */
};

/* Somebody wants the door at (address, protocol, port). */
struct claim {
    struct hmap_node node;              /* In 'claims'. */
    struct ovs_list by_address;
    struct address *address;
    struct owner *owner;
    struct sport *sport;                /* NULL: CLAIM_REST, CLAIM_HEALTH. */
    uint16_t port;
    uint8_t protocol, kind;
    bool open;                          /* After the last run it led to endpoints. */
};

/* Owners. -------------------------------------------------------------------------------------------------------- */

struct host_ports {
    char *pod;
    struct service_host_port *ports;
    struct in6_addr *addrs;
    size_t n_ports, n_addrs;
};

struct owner {
    struct hmap_node node;              /* In 'owners' by key, or 'pods' by id. */
    struct ovs_list changed;            /* In 'changed' or empty. */
    struct ovs_list emit;               /* In 'emit' or empty. */
    const struct kube_service *service; /* NULL: there are only slices, or it is a pod. */
    bool stale;                         /* 'sports', 'claims' and 'ranges' must be made anew. */
    bool too_many;                      /* Some claims were left out. */
    const struct kube_endpointslice **slices;           /* Sorted by name. */
    struct host_ports *pod;             /* NULL: it is a Service. */
    uint64_t id;                        /* Of a pod. */
    struct sport *sports;
    struct claim *claims;
    struct flow_entry **flows;
    struct service_host *hosts;         /* Their 'src' are copies. */
    struct inet_prefix *ranges;         /* Source ranges, IPv4 first; of two that overlap the larger. */
    char *bad;                          /* What is wrong with the objects; NULL: nothing. */
    char *problem;                      /* That, and what others have. */
    uint32_t n_slices, allocated_slices, n_sports, n_claims, n_flows, n_hosts;
    uint32_t n_ranges, n_ranges4;       /* All, and those of IPv4. */
    uint32_t n_local;                   /* For the health check. */
    struct service_health health;       /* Emitted; port 0: none. */
    char key[];                         /* "NAMESPACE/NAME"; "~ID/POD" for a pod, which is behind all others. */
};

/* Looking at slices. --------------------------------------------------------------------------------------------- */

struct candidate {
    uint64_t hash;
    struct place place;
    const struct kube_endpoint *e;
    uint32_t order;                     /* In the slices. */
    bool local, in[N_SETS];
};

/* The endpoints of a port, sorted as sets are. */
struct choice {
    struct candidate *all;
    size_t n, allocated;
    size_t n_in[N_SETS];
    enum why why[N_SETS];
    bool any;
    size_t n_bad;                       /* Left out: */
    struct in6_addr bad;                /* one of them. */
    bool bad_port;                      /* A port of 0 was left out. */
};

/* A port that endpoints have. */
struct tracked {
    struct hmap_node node;
    struct ovs_list dirty;
    uint8_t protocol;
    uint16_t port;
    unsigned int n_refs;
    struct flow_entry **flows;
    uint32_t n_flows;
};

enum pending_type { PENDING_GROUP, PENDING_FLOW, PENDING_HOST, PENDING_HEALTH, N_PENDING };

/* Connections that may have to be flushed. */
struct candidate_flush {
    struct in6_addr addr, alias;
    bool has_alias;
    uint16_t port;
    uint8_t protocol;
    bool host;
    bool untranslated;                  /* Those to nobody else; 'endpoint' means nothing. */
    struct place endpoint;
};

struct flush_effect {
    struct ovs_list list;               /* In 'flush_effects'. */
    struct service_flush flush;
};

struct services {
    char *node, *zone;
    struct in6_addr *addrs;             /* Of the node; sorted. */
    size_t n_addrs;
    bool node_changed;
    struct flow_entry **node_flows;
    uint32_t n_node_flows;

    struct hmap owners, pods;
    size_t n_problems;                  /* "struct owner"s that have one. */
    struct hmap cookies;                /* "struct sport"s. */
    struct ovs_list changed, emit;      /* "struct owner"s. */
    struct hmap sets;
    struct ovs_list dirty_sets;
    struct numbers *group_numbers, *set_numbers, *alias_numbers;
    struct hmap claims, addresses, tracked;
    struct ovs_list dirty_addresses, dirty_tracked;

    struct choice choice;               /* Scratch. */
    struct place *places;
    size_t allocated_places;

    /* services-emit.c, services-flush.c. */
    struct hmap pending[N_PENDING];     /* "struct pending"s by key: what changes in this run. */
    struct ovs_list effects[N_PENDING]; /* Not popped yet. */
    struct ovs_list popped;             /* Those whose content the caller may still look at. */
    struct candidate_flush *flushes;
    size_t n_flushes, allocated_flushes;
    struct ovs_list flush_effects;
};

/* What the simulator plants (tests/sim/sim-services.c), which also has few numbers, so that they clash. */
#ifdef SERVICES_BUGS
extern const char *services_bug;
#define SERVICES_BUG(NAME) (services_bug && !strcmp(services_bug, NAME))
#define SERVICES_NUMBER_MASK UINT64_C(0xffffffff00000007)
#else
#define SERVICES_BUG(NAME) false
#define SERVICES_NUMBER_MASK UINT64_MAX
#endif

#define SERVICES_NETWORK FLOW_NETWORK_DEFAULT

/* services.c. */
void services_owner_emit(struct services *, struct owner *);
/* 64 bits, the same in every process. */
uint64_t services_hash(const void *, size_t, uint64_t basis);
uint64_t services_hash_place(const struct place *);
/* What to ask lib/numbers.h with: numbers from 2**30 on, so that no group's id is one that OpenFlow keeps for
 * itself. */
static inline uint64_t
services_number_key(uint64_t hash)
{
    return (hash & SERVICES_NUMBER_MASK & ~UINT64_C(0xc0000000)) | UINT64_C(0x40000000);
}
int services_place_compare(const struct place *, const struct place *);
bool services_has_place(const struct place *, size_t n, const struct place *);
bool services_has_addr(const struct in6_addr *addrs, size_t n, const struct in6_addr *);

/* services-owner.c.  More ways in a Service does not get: each costs memory. */
#define SERVICES_MAX_CLAIMS 16384
/* Whether anything is done for it: not headless, not for another proxy. */
bool services_is_proxied(const struct owner *);
bool services_slice_counts(const struct kube_endpointslice *);
/* Makes ports, claims and the rest anew. */
void services_owner_build(struct services *, struct owner *);
const struct kube_service_port *services_port(const struct sport *);
/* Those of the source ranges that have the port's family; their number. */
size_t services_ranges(const struct sport *, const struct inet_prefix **);
const struct in6_addr *services_cluster_ip(const struct kube_service *, bool v6);
static inline bool
services_is_external(const struct kube_service *s)
{
    return s->type != KUBE_CLUSTER_IP || s->n_external_ips;
}

struct ds;
void services_complain(struct ds *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* services-ports.c. */
void services_sports_make(struct services *, struct owner *);
/* Looks at its endpoints anew, and appends what is wrong with them.  'served' is the caller's before. */
void services_sport_update(struct services *, struct sport *, struct ds *bad);
void services_sport_destroy(struct services *, struct sport *);

/* services-choose.c. */
void services_choose(const struct services *, const struct sport *, struct choice *);
bool services_place_ok(const struct in6_addr *, bool v6);

/* services-sets.c. */
/* The user has now these places (sorted; none: no set). */
void services_set_use(struct services *, struct user *, const struct place *, size_t n, uint32_t affinity);
void services_sets_run(struct services *);

/* services-claims.c. */
void services_claim_add(struct services *, struct claim *, const struct in6_addr *);
void services_claim_remove(struct services *, struct claim *);
struct claim *services_claim_best(const struct services *, const struct in6_addr *, uint8_t protocol, uint16_t port);
bool services_claim_wins(const struct services *, const struct claim *, const struct claim **winner);
/* Whether no other claim at its address has its protocol. */
bool services_claim_is_alone(const struct claim *);
bool services_is_local(const struct services *, const struct in6_addr *);
/* What the node's stack makes of a local address for br-int; false: nothing. */
bool services_alias(const struct address *, struct in6_addr *alias);
bool services_claim_alias(const struct claim *, struct in6_addr *alias);
/* Whose alias it is; NULL: nobody's. */
const struct address *services_of_alias(const struct services *, const struct in6_addr *);
void services_addresses_run(struct services *);
void services_addresses_node_changed(struct services *);

/* services-doors.c. */
void services_doors_run(struct services *);
/* Calls 'cb' for each door of a claim that wins. */
void services_claim_doors(const struct claim *,
                          void (*cb)(const struct flow_door *, const struct sport *, enum set_kind, void *aux),
                          void *aux);

/* services-flush.c. */
void services_tracked_ref(struct services *, uint8_t protocol, uint16_t port);
void services_tracked_unref(struct services *, uint8_t protocol, uint16_t port);
void services_tracked_run(struct services *);
/* Connections by the claim's door to the endpoint, unless it serves there still when the run is over. */
void services_flush(struct services *, const struct claim *, const struct place *endpoint);
/* Those by the claim's door that are older than the door and were not translated, here and in the host's stack. */
void services_flush_older(struct services *, const struct claim *);
void services_flush_run(struct services *);

/* services-emit.c. */
/* '*flows' is what is wanted, and becomes what is in 'set', which is emptied. */
void services_emit_flows(struct services *, struct flow_entry ***flows, uint32_t *n_flows, struct flow_set *set);
/* Takes the references. */
void services_emit_group(struct services *, struct group_entry *old, struct group_entry *new);
void services_emit_host(struct services *, const struct service_host *, bool put);
void services_emit_health(struct services *, const struct service_health *, bool put);
bool services_emit_run(struct services *);
void services_emit_clear(struct services *);

#endif /* controller/services-private.h */
