#ifndef SLUICE_ATTACHMENT_PRIVATE_H
#define SLUICE_ATTACHMENT_PRIVATE_H 1

/* What attachment.c (the table), attachment-add.c and attachment-request.c (what is asked for), attachment-step.c (the
 * progress of one attachment), attachment-known.c (its Pod object), attachment-ports.c (ports of the host) and attachment-record.c (the journal) share.  For nobody else. */

#include "attachment.h"

#include "bitmap.h"
#include "ipam.h"
#include "bitmap.h"
#include "flow.h"
#include "openvswitch/shash.h"
#include "ovsdb.h"

enum record_op { RECORD_ADD, RECORD_UP, RECORD_DEL, RECORD_MTU, RECORD_KNOWN, N_RECORD_OPS };

struct tombstone {
    struct hmap_node hmap_node;         /* In 'tombstones'. */
    struct ovs_list list_node;          /* In 'tombstone_order', oldest first. */
    char *network, *container_id, *ifname;
    long long int time;
};

/* An address in quarantine, as the journal has it. */
struct old_address {
    struct hmap_node node;              /* In 'old_addresses'. */
    struct ipam_address address;
    long long int since;
};

struct waiter {
    struct ovs_list node;               /* In the attachment's 'waiters'. */
    uint64_t request;
    bool gc;
};

struct gc {
    struct ovs_list node;               /* In 'gcs'. */
    uint64_t request;
    size_t n_left;
    char *errors;                       /* NULL: none. */
};

struct attachments {
    struct ipam *ipam;
    char *boot_id;
    struct hmap by_key, by_id;
    struct ovs_list busy, effects, gcs;
    struct shash host_names, owners;    /* Taken ones. */
    unsigned long *ofports;             /* Bitmap of taken ones. */
    uint32_t next_ofport;
    uint64_t next_id;
    size_t counts[ATTACHMENT_REMOVING + 1];
    size_t n_stuck;
    bool declares_pods;
    struct hmap unknown;                /* Attachments that are not 'known', by namespace and name of the pod. */

    struct inet_prefix pools[IPAM_MAX_ADDRS];
    size_t n_pools;
    char *why_not;                      /* NULL: ready. */
    uint16_t mtu;

    struct hmap tombstones;
    struct ovs_list tombstone_order;
    struct hmap old_addresses;          /* Only until attachments_recover(). */
    struct ipam_address *unacked;       /* Until attachments_dataplane_clean(). */
    size_t n_unacked, allocated_unacked;
};

/* attachment.c */
struct attachment *attachment_create_(struct attachments *, const char *network, const char *container_id,
                                      const char *ifname);
void attachment_insert_(struct attachment *, enum attachment_state);    /* Into the table. */
void attachment_forget_(struct attachment *);                           /* Out of it, with all its numbers. */
void attachment_unkey_(struct attachment *);
void attachment_set_state_(struct attachment *, enum attachment_state);
struct attachment *attachment_find_(const struct attachments *, const char *network, const char *container_id,
                                    const char *ifname);
void attachment_take_numbers_(struct attachment *);                     /* Claims those that it has. */
void attachment_drop_owner_(struct attachment *);                       /* The name of its flows may be used again. */
struct attachment_effect *attachment_emit_(struct attachments *, struct attachment *, enum attachment_effect_type);
void attachment_reply_(struct attachments *, uint64_t request, enum cni_code, const char *message);
void attachment_replyf_(struct attachments *, uint64_t request, enum cni_code, const char *format, ...)
    OVS_PRINTF_FORMAT(4, 5);
void attachment_unref_(struct attachment *);
const struct tombstone *tombstone_find_(const struct attachments *, const char *network, const char *container_id,
                                        const char *ifname);
void tombstone_add_(struct attachments *, const char *network, const char *container_id, const char *ifname,
                    long long int time);

/* attachment-add.c */
void attachment_admit_(struct attachment *, long long int now);         /* May free it. */
void attachment_reject_(struct attachment *, enum cni_code, const char *message);       /* Frees it. */

/* attachment-request.c */
void attachments_gc_free_(struct gc *);
void attachments_gc_left_(struct attachments *, uint64_t request, const char *error);

/* attachment-step.c */
void attachment_advance_(struct attachment *, long long int now);       /* May free it. */
void attachment_remove_(struct attachment *, bool trash, long long int now);    /* May free it. */
void attachment_fail_(struct attachment *, long long int now, enum cni_code, const char *format, ...)
    OVS_PRINTF_FORMAT(4, 5);                                            /* May free it. */
void attachment_follow_mtu_(struct attachment *);

/* attachment-known.c */
void attachment_await_(struct attachment *);    /* It is not known: puts it into 'unknown'. */
void attachment_unawait_(struct attachment *);  /* Takes it out again. */

/* attachment-ports.c */
int attachment_parse_ports_(struct attachment *, const struct cni_request *, struct error *);
/* NULL, or which of its ports another attachment has; to be freed. */
char *attachment_ports_taken_(const struct attachment *, enum cni_code *);
/* NULL, or which of the ports in a CHECK it does not have; to be freed. */
char *attachment_compare_ports_(const struct attachment *, const struct cni_request *);
struct json_t *attachment_ports_to_json_(const struct attachment *);
bool attachment_read_ports_(struct attachment *, const struct json_t *);       /* NULL: none.  False: malformed. */

/* attachment-record.c */
void attachment_record_(struct attachment *, enum record_op, long long int now);
/* A DEL that leaves no other record: an ADD that comes too late may find another daemon. */
void attachments_record_tombstone_(struct attachments *, const char *network, const char *container_id,
                                   const char *ifname,
                                   long long int time);

#endif /* controller/attachment-private.h */
