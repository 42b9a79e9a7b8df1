#ifndef SLUICE_OF_STATE_PRIVATE_H
#define SLUICE_OF_STATE_PRIVATE_H 1

/* The inside of of-state.h, shared by of-state.c (what is desired, what the connection said) and of-bundle.c
 * (what is to be sent, and what became of it).
 *
 * A slot is one key of the switch.  It has the claims of the owners that want something there, in the order of
 * their cookies, and what is believed to be installed.  The first claim that is not quarantined is what should
 * be installed.  of_slot_refresh() compares the two and puts the slot in the queue of what has to be done about
 * it, so that a bundle is composed from the queues alone, at a cost that depends on the changes and not on the
 * number of flows.  A slot that is part of the bundle under way is in no queue and is refreshed when the bundle
 * is answered. */

#include <string.h>

#include "of-item.h"
#include "of-state.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

/* What has to be done, in the order in which it is sent. */
enum of_queue {
    OF_QUEUE_METER,             /* Add or modify a meter, before flows use it. */
    OF_QUEUE_GROUP,             /* The same for a group. */
    OF_QUEUE_ADD,
    OF_QUEUE_DELETE,
    OF_QUEUE_GROUP_DELETE,      /* Both would take the flows that use it along. */
    OF_QUEUE_METER_DELETE,
    OF_N_QUEUES,
    OF_QUEUE_NONE = OF_N_QUEUES
};

struct of_owner {
    struct hmap_node name_node;         /* In of_state's 'owners'. */
    struct hmap_node cookie_node;       /* In of_state's 'owners_by_cookie'. */
    char *name;
    uint64_t cookie;
    uint64_t version;                   /* In which its claims changed last. */
    unsigned int mark;                  /* Of the latest of_state_set(). */
    struct hmap claims;                 /* Of 'struct of_claim', by hash of the key. */
    struct ovs_list refusals;           /* Of 'struct of_refusal'. */
};

/* Why a claim is quarantined. */
struct of_refusal {
    struct ovs_list node;               /* In owner's 'refusals'. */
    const struct of_claim *claim;
    char *why;                          /* The switch's answer. */
};

struct of_claim {
    struct hmap_node owner_node;        /* In owner's 'claims'. */
    struct of_claim *next;              /* In slot's 'claims'. */
    struct of_owner *owner;
    struct of_slot *slot;
    struct of_item item;
    unsigned int mark;
    struct of_refusal *refusal;         /* NULL: not quarantined. */
};

struct of_slot {
    struct hmap_node node;              /* In of_state's 'slots', by hash of the key. */
    struct of_item item;                /* With the slot's key; what is installed, if 'has_installed'. */
    struct of_claim *claims;            /* By cookie of the owner. */
    struct ovs_list queue_node;
    enum of_queue queue;
    bool has_installed;
    bool in_flight;                     /* Part of the bundle under way. */
    bool stuck;                         /* The switch refused to delete it: left alone until the next connection. */
};

/* A group that installed flows use. */
struct of_group_use {
    struct hmap_node node;              /* In of_state's 'group_uses', by hash of the group's key. */
    uint32_t group_id;
    uint32_t n_flows;
};

struct of_state {
    struct hmap slots;
    struct hmap owners, owners_by_cookie;
    struct hmap group_uses;             /* Of 'struct of_group_use'. */
    struct ovs_list queues[OF_N_QUEUES];

    uint64_t version, acked;
    bool started, dumped;

    /* The bundle under way, if n > 0. */
    struct of_bundle bundle;
    struct of_change *changes;
    struct of_slot **change_slots;
    size_t allocated_changes;
    uint64_t bundle_version;            /* Confirmed by its success. */
    size_t limit;                       /* Most changes in a bundle; less than SIZE_MAX after a failure. */

    size_t n_desired, n_installed, n_groups, n_quarantined;
    uint64_t n_bundles, n_flow_mods, n_failures, n_dumps;
};

/* of-bundle.c. */
void of_slot_refresh(struct of_state *, struct of_slot *);      /* May free the slot. */
void of_slot_set_installed(struct of_state *, struct of_slot *, const struct of_item *); /* NULL: nothing.  Clones. */
void of_state_settle(struct of_state *);                        /* After any change: nothing to do means confirmed. */
void of_state_forget_bundle(struct of_state *);                 /* Nobody knows what became of it. */
bool of_state_idle(const struct of_state *);
/* of-state.c. */
void of_slot_destroy(struct of_state *, struct of_slot *);
struct of_slot *of_slot_find(const struct of_state *, const struct of_item *key);
void of_claim_quarantine(struct of_state *, struct of_claim *, char *why); /* Takes 'why'; NULL: not any more. */

/* Mistakes that tests/sim/sim-of.c plants to prove that it would find them.  The product has none of them. */
#ifdef OF_STATE_BUGS
extern const char *of_state_bug;
#define OF_BUG(NAME) (of_state_bug && !strcmp(of_state_bug, NAME))
#else
#define OF_BUG(NAME) false
#endif

#endif /* controller/of-state-private.h */
