#ifndef SLUICE_ATTACHMENT_H
#define SLUICE_ATTACHMENT_H 1

/* The life cycle of a pod's port, from CNI ADD to the last trace of its DEL.
 *
 * A core of decisions without I/O and without a clock: events go in, with their time ('now': milliseconds of the wall
 * clock), and effects come out of a queue that the shell around it (dataplane.h, or the simulator in tests/sim)
 * empties after each event with attachments_pop().  It also decides the addresses (ipam.h) and the numbers: the
 * OpenFlow port, the host end's name and the MAC.
 *
 * An attachment is known by (network, container id, interface name) and from inside by its 'id', which is never used
 * again.
 *
 *   ADD   record in the journal -> link and flows side by side -> OVSDB port and configuration inside the pod ->
 *         reply.  Success is replied only when the port is up with its number, the flows are acknowledged, the pod is
 *         configured and the record is on the disk.  A failure undoes everything that was done, in reverse, before its
 *         error is replied.
 *   DEL   flows go, then the port; the address goes, the removal is recorded, the link goes to the trash.  Success is
 *         replied when the flows' removal is acknowledged, the port is out of the database and the record is written;
 *         the link follows.  Flows and port that cannot go because Open vSwitch is away do not hold a DEL for ever:
 *         what is recorded as removed goes before anything else when it is back.
 *
 * An address leaves its quarantine only after flows and port of its owner are known to be gone.  OpenFlow port numbers
 * go round, so that one is used again as late as possible, and never before the old one's removal is acknowledged.
 *
 * Where the source declares every pod (the API), a pod that is not known is denied until it is: its flows are isolated
 * (flows/flow-input.h) from the first one on.  ADD waits for the Pod object, beside everything else, for
 * ATTACHMENT_KNOWN_TIMEOUT_MS; when it comes the flows are opened, and ADD is answered only when that is acknowledged.
 * When it does not come ADD is answered with isolated flows, which open when it does.  Objects are told apart by UID, if
 * the runtime gave one.  Known once is known until the DEL: a Pod object that goes first, as it does when it is deleted by
 * force, changes nothing.
 *
 * A port of the host, by (address, protocol, port), is one attachment's at a time: an ADD that wants another's fails.  "All
 * addresses" is an address of its own here, as for bind(): what is more specific wins.
 *
 * A DEL leaves a tombstone: an ADD whose plugin was started before that DEL comes too late and fails (acceptance D10).
 *
 * Journal: each record is one JSON object with "op":
 *   add   everything that a restart needs; "up": its ADD was answered; "mtu": it was changed; "del": it is gone
 *   known its Pod object came after the "up", which said "known": false
 *   tomb  a DEL that left no other record
 *   meta, free   only in a compacted journal: counters, addresses in quarantine
 * After a restart what was not "up" is undone, and after a reboot (another boot id) everything is, because no network
 * namespace outlives one. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cni-wire.h"
#include "error.h"
#include "inet.h"
#include "netns.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/types.h"
#include "pod-link.h"

struct attachments;
struct ipam;
struct journal_record;

#define ATTACHMENT_ADD_TIMEOUT_MS 30000
#define ATTACHMENT_DEL_TIMEOUT_MS 8000          /* Also of an undo. */
#define ATTACHMENT_KNOWN_TIMEOUT_MS 2000        /* How long an ADD waits for the Pod object. */
#define ATTACHMENT_RETRY_MS 5000                /* A removal that could not be recorded. */
#define ATTACHMENT_GC_MIN_AGE_MS 1000
#define ATTACHMENT_TOMBSTONE_MS 600000
#define ATTACHMENT_MAX_TOMBSTONES 4096
#define ATTACHMENT_MAX 32768                    /* Far above the ports that OpenFlow numbers leave useful. */

enum attachment_state {
    ATTACHMENT_WAITING,                 /* ADD came, but the node is not ready or has no pool yet. */
    ATTACHMENT_ADDING,
    ATTACHMENT_UP,
    ATTACHMENT_REMOVING,
};

/* What there is of one of its parts. */
enum attachment_step { STEP_NONE, STEP_DOING, STEP_DONE, STEP_UNDOING };

struct attachment_ip {
    struct inet_prefix prefix;          /* As the pod sees it. */
    bool has_gateway;
    struct in6_addr gateway;
    uint64_t generation;                /* 0: delegated. */
};

/* A port of the host that leads to the attachment. */
struct attachment_port {
    struct in6_addr host_addr;          /* :: for all addresses of the node, of both families. */
    uint16_t host_port, pod_port;
    uint8_t protocol;                   /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP. */
};

struct attachment {
    /* For the shell to read. */
    uint64_t id;
    char *network, *container_id, *ifname;
    char *netns;                        /* Path, as the runtime gave it. */
    char *pod_namespace, *pod_name, *pod_uid;           /* NULL outside Kubernetes. */
    char *owner;                        /* Of its flows: "Pod/NAMESPACE/NAME/IFNAME". */
    char host_name[16];
    ofp_port_t ofport;
    struct eth_addr mac, host_mac;
    uint16_t mtu;
    struct attachment_ip *ips;
    size_t n_ips;
    struct pod_link_route *routes;      /* Of a delegated IPAM. */
    size_t n_routes;
    struct attachment_port *ports;
    size_t n_ports;
    bool delegated;
    long long int created;
    enum attachment_state state;
    enum attachment_step link, conf, port, flows;
    bool known;                         /* The pod's object came, or need not come.  If not its flows are isolated. */
    bool mismatch;                      /* ... one came that has another UID. */
    uint64_t add_request;               /* Of the ADD that is under way; 0: none. */

    /* Private to attachment*.c. */
    unsigned int ref_count;
    struct attachments *table;
    struct hmap_node key_node;          /* In 'by_key' while 'keyed'. */
    struct hmap_node id_node;
    struct ovs_list busy_node;          /* In 'busy' unless it is up. */
    struct hmap_node unknown_node;      /* In 'unknown' unless 'known'. */
    bool denied;                        /* The object did not come in time. */
    long long int known_deadline;
    bool keyed;
    bool owner_taken;                   /* 'owner' is in 'owners': until its flows are gone. */
    uint16_t mtu_wish;                  /* 0: the node's. */
    bool mac_wished;
    struct in6_addr *wishes;            /* Fixed addresses. */
    size_t n_wishes;
    struct netns_id netns_id;
    char *boot_id;
    bool recorded;                      /* "add" is in the journal. */
    bool recording, unrecording;        /* A record is on its way. */
    bool unrecorded;                    /* "del" is in the journal. */
    bool stuck;                         /* "del" could not be written: tried again later. */
    bool up_recorded;
    uint64_t seqno;                     /* Of the "add" in the journal. */
    bool synced;
    bool held;                          /* IPAM holds its addresses. */
    bool seen;                          /* Flows or port have been declared: its addresses need quarantine. */
    bool replied;                       /* Its removal was answered: only background work is left. */
    bool trash;                         /* The link may go by group. */
    bool deleting;                      /* The link is being deleted on its own. */
    uint16_t mtu_pending;               /* A change of the link under way. */
    long long int deadline;
    enum cni_code fail_code;
    char *fail_message;
    struct ovs_list waiters;            /* DELs and GCs. */
};

/* Effects. ------------------------------------------------------------------------------------------------------- */

enum attachment_effect_type {
    ATTACHMENT_JOURNAL,                 /* Append 'record'; answer with attachments_journaled(). */
    ATTACHMENT_LINK_CREATE,             /* Answer these with attachments_link_done(). */
    ATTACHMENT_LINK_CONFIGURE,
    ATTACHMENT_LINK_MTU,                /* To 'mtu'. */
    ATTACHMENT_LINK_DELETE,             /* Now; answer with attachments_link_gone(). */
    ATTACHMENT_LINK_TRASH,              /* When it suits; answer with attachments_link_gone() when it is really gone. */
    ATTACHMENT_PORT_SET,                /* attachments_port_done(). */
    ATTACHMENT_PORT_REMOVE,             /* attachments_port_gone(). */
    ATTACHMENT_FLOWS_SET,               /* attachments_flows_done(). */
    ATTACHMENT_FLOWS_REMOVE,            /* attachments_flows_gone(). */
    ATTACHMENT_DENIED,                  /* Tell the operator: attachment_problem().  No answer. */
    ATTACHMENT_CHECK,                   /* Look at kernel, database and switch; answer with attachments_checked(). */
    ATTACHMENT_REPLY,                   /* 'reply' to 'request'. */
};

struct attachment_effect {
    enum attachment_effect_type type;
    uint64_t request;                   /* CHECK, REPLY. */
    struct attachment *attachment;      /* A reference; NULL for some JOURNALs and REPLYs. */
    uint64_t ticket;                    /* JOURNAL. */
    char *record;                       /* JOURNAL: text, without its end. */
    size_t record_size;
    uint16_t mtu;                       /* LINK_MTU. */
    struct cni_reply reply;
    struct ovs_list node;               /* Private. */
};

/* The next effect, to be freed by attachment_effect_destroy(); NULL: none. */
struct attachment_effect *attachments_pop(struct attachments *);
void attachment_effect_destroy(struct attachment_effect *);

/* Life. ---------------------------------------------------------------------------------------------------------- */

/* 'ipam' stays the caller's and must outlive it; 'boot_id' is /proc/sys/kernel/random/boot_id. */
struct attachments *attachments_create(struct ipam *, const char *boot_id);
void attachments_destroy(struct attachments *);

/* At start-up: each record of the journal in turn, then attachments_recover(), which declares what is up and undoes
 * the rest.  A record that cannot be understood fails with EPROTO, an address held twice with EEXIST. */
int attachments_replay(struct attachments *, const void *payload, size_t size, struct error *);
int attachments_recover(struct attachments *, long long int now, struct error *);
/* Flows and ports that nobody declares are known to be gone: addresses that were in quarantine at the start need not
 * wait for that any more. */
void attachments_dataplane_clean(struct attachments *);

/* Configuration. ------------------------------------------------------------------------------------------------- */

/* NULL: ADDs are carried out; else why they wait ("Open vSwitch does not answer"). */
void attachments_set_ready(struct attachments *, const char *why_not, long long int now);
int attachments_set_pools(struct attachments *, const struct inet_prefix *, size_t, long long int now, struct error *);
/* Of new pods, and of those that run unless their ADD asked for an own one. */
void attachments_set_mtu(struct attachments *, uint16_t mtu, long long int now);

/* Whether the source declares every pod; false at first.  To be called before the first ADD. */
void attachments_set_declares_pods(struct attachments *, bool, long long int now);
/* The object of that pod is there, with that UID ("" or NULL: none).  To be called when it comes, after each
 * attachments_add() of a pod whose object is there, and for all pods once after a start.  An object that stands for
 * several UIDs (a static pod's) is told once for each. */
void attachments_pod_known(struct attachments *, const char *namespace_, const char *name, const char *uid,
                           long long int now);

/* Requests.  Each is answered by one ATTACHMENT_REPLY unless the client went.  Request numbers are never 0. ------- */

/* 'started' is when the plugin was started (not later than 'now'); the namespace {0, 0} is not known. */
void attachments_add(struct attachments *, uint64_t request, const struct cni_request *, struct netns_id,
                     long long int started, long long int now);
/* 'when' the runtime wanted the DEL: 'now', or earlier for one from the spool; an ADD that came later survives it. */
void attachments_del(struct attachments *, uint64_t request, const struct cni_request *, long long int when,
                     long long int now);
void attachments_check(struct attachments *, uint64_t request, const struct cni_request *);
void attachments_gc(struct attachments *, uint64_t request, const struct cni_request *, long long int now);
/* The connection of 'request' is gone: its ADD is undone. */
void attachments_client_gone(struct attachments *, uint64_t request, long long int now);

/* Answers to effects.  'why' is NULL for success.  An unknown 'id' is fine. --------------------------------------- */

void attachments_journaled(struct attachments *, uint64_t ticket, uint64_t seqno, const char *why, long long int now);
void attachments_journal_synced(struct attachments *, uint64_t seqno, long long int now);
void attachments_link_done(struct attachments *, uint64_t id, enum attachment_effect_type, int error_code,
                           const char *why,
                           const struct eth_addr *host_mac, long long int now);
void attachments_link_gone(struct attachments *, uint64_t id, long long int now);
/* The port is up, the flows are acknowledged; or they were refused.  An answer that comes when their removal has been
 * asked for already means nothing.  'isolated': whether those flows are. */
void attachments_port_done(struct attachments *, uint64_t id, const char *why, long long int now);
void attachments_flows_done(struct attachments *, uint64_t id, bool isolated, const char *why, long long int now);
/* The answers to the removals. */
void attachments_port_gone(struct attachments *, uint64_t id, long long int now);
void attachments_flows_gone(struct attachments *, uint64_t id, long long int now);
void attachments_checked(struct attachments *, uint64_t request, enum cni_code, const char *why);

/* Time. */
void attachments_run(struct attachments *, long long int now);
long long int attachments_next_timeout(const struct attachments *);     /* LLONG_MAX: none. */

/* Looking at it. ------------------------------------------------------------------------------------------------- */

size_t attachments_count(const struct attachments *, enum attachment_state);
const struct attachment *attachments_find(const struct attachments *, const char *network, const char *container_id,
                                          const char *ifname);
const struct attachment *attachments_get(const struct attachments *, uint64_t id);
void attachments_for_each(const struct attachments *, void (*cb)(const struct attachment *, void *aux), void *aux);

/* Whether it is the pod that its runtime calls by 'uid'.  Without one on either side it is the name that counts. */
bool attachment_is_uid(const struct attachment *, const char *uid);
/* NULL, or why it has no network although it is up (a constant). */
const char *attachment_problem(const struct attachment *);

/* Everything that the journal must hold, for journal_rewrite(); freed by attachments_free_snapshot().  After the
 * rewrite call attachments_rewritten() with the journal's seqno. */
void attachments_snapshot(const struct attachments *, long long int now, struct journal_record **, size_t *n);
void attachments_free_snapshot(struct journal_record *, size_t n);
void attachments_rewritten(struct attachments *, long long int now);

#endif /* controller/attachment.h */
