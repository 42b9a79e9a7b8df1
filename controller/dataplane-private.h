#ifndef SLUICE_DATAPLANE_PRIVATE_H
#define SLUICE_DATAPLANE_PRIVATE_H 1

/* Shared by dataplane*.c, status.c and ctl.c; for nobody else.
 *
 *   dataplane.c         life, main loop, readiness
 *   dataplane-node.c    facts of the node -> bridges, host network, base flows
 *   dataplane-peers.c   the other nodes -> their flows, routes, tunnels
 *   dataplane-pod.c     effects of the attachments
 *   dataplane-domain.c  DNS answers -> addresses of domain names in policies
 *   dataplane-policy.c  policies -> their flows, what pods' flows must know of them
 *   policy-status.c     which of them are in place, since when, and what is wrong with them
 *   dataplane-service.c Services -> flows, groups, the host's network, health checks
 *   dataplane-link.c    jobs of the worker threads
 *   dataplane-cni.c     requests of ovs-cni, spool of DELs */

#include "controller/attachment.h"
#include "controller/cni-server.h"
#include "controller/config.h"
#include "controller/dataplane.h"
#include "controller/endpoints.h"
#include "controller/hostnet.h"
#include "controller/ipam.h"
#include "controller/node-input.h"
#include "controller/ofctrl.h"
#include "controller/ovsdb.h"
#include "controller/peers.h"
#include "controller/pinctrl.h"
#include "controller/policy.h"
#include "controller/policy-log.h"
#include "controller/store.h"
#include "controller/tnl-neigh.h"
#include "controller/worker.h"
#include "flow-input.h"
#include "journal.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/shash.h"
#include "simap.h"
#include "sset.h"

#define DATAPLANE_UPLINK_BRIDGE "br-uplink"

#define MAX_OWN_CIDRS (KUBE_MAX_CIDRS + 4)

/* All that base, peers and pods depend on, in one comparable struct without pointers (zero before it is filled). */
struct node_facts {
    bool known;                         /* Everything below could be found out. */
    struct inet_prefix cidrs[MAX_OWN_CIDRS];    /* The node's, then those that it had and of which pods still run. */
    size_t n_cidrs, n_old_cidrs;
    struct in6_addr gateways[MAX_OWN_CIDRS];
    enum datapath datapath;
    enum encap encap;
    char uplink[16];
    struct eth_addr uplink_mac;
    uint16_t uplink_mtu;
    bool underlay_v4, underlay_v6;      /* Families of the uplink's addresses. */
    bool tunnels_v6;                    /* A peer is reached through an IPv6 tunnel. */
    uint16_t mtu;                       /* Of the pods. */
    bool kernel_datapath;
    bool take_over;                     /* The uplink goes into br-uplink. */
};

/* What an attachment waits for in Open vSwitch. */
struct watch {
    struct hmap_node node;              /* In 'watches', by 'id'. */
    uint64_t id;
    char *owner;
    char host_name[16];
    bool port, flows;                   /* Waits for these ... */
    bool port_going, flows_going;       /* ... to go, rather than to come. */
    bool isolated;                      /* The flows that were declared last are. */
    uint64_t version;                   /* Of the flows; 0: not compiled yet. */
    long long int flows_since, port_since;      /* time_usec(). */
};

/* A request of ovs-cni, or a DEL of the spool. */
struct request {
    struct hmap_node node;              /* In 'requests', by 'number'. */
    uint64_t number;
    int netns_fd;                       /* -1: none. */
    long long int since;                /* time_usec(). */
    char *spooled;                      /* Its file in the spool, or NULL. */
};

struct trash {
    struct ovs_list node;
    uint64_t id;
    char host_name[16];
};

struct health;

struct dataplane {
    const struct config *config;
    struct store *store;
    struct endpoints *endpoints;        /* Whose the addresses of the cluster are. */

    struct ipam *ipam;
    struct attachments *attachments;
    struct journal *journal;
    uint64_t journal_seen;
    char *journal_problem;              /* NULL: appending works. */
    size_t compact_at;                  /* Size of the journal. */
    long long int journal_retry;        /* While its disk fails: when to write it anew. */
    uint64_t taken_early;               /* Addresses, as the log has said. */
    struct workers *workers;
    struct cni_server *cni;
    struct hmap requests, watches;

    struct ovsdb *ovsdb;
    struct ofctrl *ofctrl;
    struct hostnet *hostnet;
    struct tnl_neigh *tnl_neigh;
    struct pinctrl *pinctrl;
    struct policy_log *policy_log;
    struct health *health;
    unsigned int ovsdb_seen, hostnet_seen;
    uint64_t acked_seen, outside_seen, ranges_seen;
    size_t n_attachments_seen;
    bool nodes_changed, declares_pods;
    bool watches_changed;

    struct node_facts facts;
    char *facts_problem;                /* Why they are not known. */
    bool datapath_chosen;               /* Once for the life of the process: */
    enum datapath datapath;
    char *datapath_why;                 /* Which, and why not another. */
    unsigned int facts_ovsdb_seen;
    struct peers *peers_core;
    struct sset peers;                  /* Owners whose flows are declared. */
    struct shash peer_problems;         /* Node -> text. */
    struct policy *policy;              /* The core. */
    struct hmap policy_pods;            /* "struct policy_pod"s by attachment ... */
    struct hmap policy_pods_by_name;    /* ... and by the pod's namespace and name. */
    bool policy_recompile;              /* One of them is to be compiled anew. */
    struct simap policy_namespaces;     /* How many NetworkPolicies each namespace has. */
    uint64_t policy_version;            /* With which the flows of policies are as they are wanted. */
    struct policy_status *policy_status;
    struct dataplane_domain *domain;
    struct dataplane_service *service;
    struct shash policies_reported;     /* "KIND/NAMESPACE/NAME" -> the problem that was reported. */
    long long int policies_report_at;   /* time_msec(): look for more then; LLONG_MAX: nothing changed. */

    uint64_t base_version;
    bool base_seen;                     /* ovsdb_base_ready() when the host's network was declared. */
    bool started;                       /* of_state_start() and ovsdb_start() were called. */
    bool clean;                         /* attachments_dataplane_clean() was called. */
    bool sources_synced;
    bool facts_seen;                    /* They have been looked at since the sources are synced. */

    struct ovs_list trash;              /* Links that are to go (struct trash) ... */
    size_t n_trash;
    long long int empty_at, empty_until;        /* ... then (time_msec()); later DELs put it off, to this. */
    struct ovs_list emptying;           /* A worker deletes these now. */

    char *spool_dir;
    int spool_inotify;
    uint64_t next_spool_number;
    bool spool_changed;
    long long int spool_retry_at;

    char *not_ready;                    /* NULL: ready. */
    bool limited;

    struct ovs_list reports;            /* "struct dataplane_report"s. */
    size_t n_reports;
    size_t refused_seen;                /* Flows. */
};

#define SPOOL_NUMBER (UINT64_C(1) << 63)        /* Request numbers of the spool. */

/* dataplane-node.c */
void dataplane_node_run_(struct dataplane *);
void dataplane_node_wait_(struct dataplane *);
void dataplane_node_changed_(struct dataplane *, const char *name);     /* A Node object came, changed or went. */
void dataplane_fill_local_(const struct dataplane *, struct flow_local *);
void dataplane_fill_underlay_(const struct dataplane *, struct node_underlay *);
const struct kube_node *dataplane_own_node_(const struct dataplane *);

/* dataplane-peers.c */
void dataplane_peers_run_(struct dataplane *);
void dataplane_peer_changed_(struct dataplane *, const char *name);

/* dataplane-pod.c */
void dataplane_pod_run_(struct dataplane *);
void dataplane_pod_wait_(struct dataplane *);
bool dataplane_pod_effects_(struct dataplane *);        /* Carries out all that is queued; true if there was any. */
void dataplane_pods_compile_(struct dataplane *);       /* All of them again. */
void dataplane_compact_(struct dataplane *);
/* The object of a pod came, changed or went; or a pod is being attached. */
void dataplane_pod_changed_(struct dataplane *, const char *namespace_, const char *name);

/* Declares the flows of an attachment again, if it has any. */
void dataplane_pod_compile_(struct dataplane *, uint64_t id);

/* dataplane-policy.c */
#define OWNER_POLICY "Base/policy"      /* Of the flows of all policies. */
void dataplane_policy_init_(struct dataplane *);
void dataplane_policy_destroy_(struct dataplane *);
void dataplane_policy_changed_(struct dataplane *, const struct store_key *);   /* 'endpoints' has followed. */
void dataplane_policy_reconfigure_(struct dataplane *);  /* The configuration was read again. */
/* The attachment's flows are wanted, or wanted no more. */
void dataplane_policy_attach_(struct dataplane *, const struct attachment *);
void dataplane_policy_detach_(struct dataplane *, uint64_t id);
/* Declares what all that means, pods' flows included. */
void dataplane_policy_run_(struct dataplane *);
/* What a pod's flows must know; false: not known, because its object is not, and there are policies that might select it. */
bool dataplane_policy_get_(const struct dataplane *, const struct attachment *, struct flow_pod_policy *);
/* NULL, or why an attachment is isolated though it is known (a constant). */
const char *dataplane_policy_problem_(const struct dataplane *, const struct attachment *);

/* dataplane-domain.c */
/* When there are the policy core, ofctrl and pinctrl; tells the core what was known before the restart. */
void dataplane_domain_init_(struct dataplane *);
void dataplane_domain_destroy_(struct dataplane *);
const struct domains *dataplane_domains_(const struct dataplane *);
/* What has been learned goes into the flows; answers whose flows are in place go on to the pods. */
void dataplane_domain_run_(struct dataplane *);
void dataplane_domain_wait_(struct dataplane *);
/* What has been learned: an array by name, then address. */
struct json_t *dataplane_domain_list_(const struct dataplane *);

/* dataplane-service.c */
#define OWNER_SERVICE "Base/service"    /* Of the flows and groups of all Services. */
void dataplane_service_init_(struct dataplane *);
void dataplane_service_destroy_(struct dataplane *);
const struct services *dataplane_services_(const struct dataplane *);
void dataplane_service_changed_(struct dataplane *, const struct store_key *);
/* Ports of the host that lead to an attachment ('id') with these addresses; n_ports 0: none any more.  'pod' is
 * "NAMESPACE/NAME". */
struct service_host_port;
void dataplane_service_host_ports_(struct dataplane *, uint64_t id, const char *pod, const struct service_host_port *,
                                   size_t n_ports, const struct in6_addr *addrs, size_t n_addrs);
/* Declares what all that means. */
void dataplane_service_run_(struct dataplane *);
/* Removes from conntrack what leads to endpoints that have gone from the switch by now. */
void dataplane_service_flush_(struct dataplane *);
/* Why some of that may still be there, or NULL. */
const char *dataplane_service_problem_(const struct dataplane *);
/* Reports Services of which something is left out, a while after something changed. */
void dataplane_service_report_(struct dataplane *);
void dataplane_service_wait_(struct dataplane *);

/* dataplane-link.c */
void dataplane_link_effect_(struct dataplane *, const struct attachment_effect *, int netns_fd);
void dataplane_link_run_(struct dataplane *);
void dataplane_link_wait_(struct dataplane *);
int dataplane_clear_links_(struct dataplane *, struct error *);

/* dataplane-cni.c */
int dataplane_listen_(struct dataplane *, struct error *);
void dataplane_cni_run_(struct dataplane *);
void dataplane_cni_wait_(struct dataplane *);
struct request *dataplane_request_find_(struct dataplane *, uint64_t number);
void dataplane_reply_(struct dataplane *, uint64_t number, const struct cni_reply *);
void dataplane_unlisten_(struct dataplane *);

/* dataplane-report.c */
/* 'uid' NULL: as the store says. */
void dataplane_report_(struct dataplane *, enum kube_kind, const char *namespace_, const char *name, const char *uid,
                       const char *reason, const char *message);
void dataplane_report_node_(struct dataplane *, const char *reason, const char *message);       /* About our own. */
/* Reports flows that Open vSwitch refuses, when that changes. */
void dataplane_report_refused_(struct dataplane *);
/* Reports policies that count here and are not understood, a while after something changed. */
void dataplane_report_policies_(struct dataplane *);
void dataplane_report_wait_(struct dataplane *);

#endif /* controller/dataplane-private.h */
