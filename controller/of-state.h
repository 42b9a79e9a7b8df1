#ifndef SLUICE_OF_STATE_H
#define SLUICE_OF_STATE_H 1

/* The book-keeping of OpenFlow: desired, installed, difference.
 *
 * This is a core without I/O: events go in, and it says which bundle to send next.  The shell around it is
 * ofctrl.h; the other user is the simulator (tests/sim).
 *
 * Desired is declared for each owner (flows/cookie.h).  Installed is what a full dump of the switch said at
 * connect, plus what bundles that were acknowledged since have changed.  Only the difference is sent: OFPFC_ADD
 * for a flow that is missing or has other actions or another cookie (the switch keeps the counters of the flow
 * that it replaces), OFPFC_DELETE_STRICT for one that nobody wants.  Additions come before deletions, and
 * nothing is deleted in order to be added again.
 *
 * Two owners may want the same key for a moment (two pods with one address).  Both wishes are kept; the owner
 * with the smaller cookie is installed, whatever the order of events, and the other takes over when it goes.
 *
 * A group is added or modified before the flows that may use it.  OVS deletes the flows that use a group together with
 * it, so it is deleted in a bundle of its own, and not while a flow that is installed uses it.  OFPGC_MODIFY sets the
 * counters of a group to zero (OVS makes a new group; OFPGC15_INSERT_BUCKET and _REMOVE_BUCKET keep them, but choose
 * buckets by a table that is made of the inserted ones only), so it is sent only if the content differs.
 *
 * A match must be in the form that OpenFlow 1.5 gives back (no VLAN bits but 0x1fff, only fields whose
 * prerequisites are matched, ...): else the key that a dump tells is another one, and the flow would be replaced
 * at each connection.
 *
 * Versions: every change of desired gets a number, and of_state_acked() is the number up to which the switch has
 * confirmed everything (by a barrier).  "Are my flows in place?" is acked >= the number that of_state_set()
 * returned, and of_state_owner_failed() tells whether they were refused.  Without a connection nothing is
 * confirmed: acked is then 0, until a dump and perhaps a bundle have shown that the new switch has everything.
 *
 * A bundle is atomic, so one refused flow refuses all.  The core then isolates the culprit, by the index that
 * the switch named or else by halving the bundle, quarantines its owner's flow (it stays desired but is not sent
 * again until that owner is set anew or the switch is connected anew), keeps the switch's error for the status,
 * and sends the rest.  What was installed under the refused flow's key goes, so that nothing stays that nobody
 * wants; the key falls to the next owner that wants it, if any.  A refused meter keeps its old rate.  A refused group
 * becomes one without buckets: the flows that use it are there, and what they send to it is dropped. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow-set.h"
#include "openvswitch/ofp-errors.h"

struct of_state;

struct of_state *of_state_create(void);
void of_state_destroy(struct of_state *);

/* Desired. ------------------------------------------------------------------------------------------------------- */

/* The flows, meters and groups of 'owner' are now those of 'set' (copied by reference) and no others.  If 'set' has a
 * key twice, the later one counts.  Returns the version with which they will be in place: if nothing differs
 * from before, the version of the owner's last change.  Setting an owner anew tries again what the switch
 * refused of it.
 *
 * of_state_remove() returns the version with which the owner's flows are gone; for an unknown owner the current
 * one. */
uint64_t of_state_set(struct of_state *, const char *owner, const struct flow_set *set);
uint64_t of_state_remove(struct of_state *, const char *owner);

/* The same flow by flow, for an owner with very many, of which few change at a time: wants 'flow' (takes the caller's
 * reference) instead of any other of this owner with its key; wants none with this key any more.  The flow's cookie is its
 * own, not the owner's.  Both return a version with which it is so: that of the owner's last change. */
uint64_t of_state_put_flow(struct of_state *, const char *owner, struct flow_entry *flow);
uint64_t of_state_drop_flow(struct of_state *, const char *owner, const struct flow_entry *key);
/* The same for groups. */
uint64_t of_state_put_group(struct of_state *, const char *owner, struct group_entry *);
uint64_t of_state_drop_group(struct of_state *, const char *owner, uint32_t group_id);
uint64_t of_state_version(const struct of_state *);
uint64_t of_state_acked(const struct of_state *);

/* Until of_state_start() nothing is sent: at start-up all that the journal and the sources know is declared
 * first, so that a restart finds no difference instead of deleting flows that it had not heard of yet. */
void of_state_start(struct of_state *);

/* NULL, or why the switch refused a flow of this owner (valid until the next call that changes the state). */
const char *of_state_owner_failed(const struct of_state *, const char *owner);
/* The owner of a cookie, or NULL. */
const char *of_state_owner_from_cookie(const struct of_state *, uint64_t cookie);

/* Events of the connection. -------------------------------------------------------------------------------------- */

/* A new connection; what is installed is unknown until the dump is complete. */
void of_state_connected(struct of_state *);
void of_state_disconnected(struct of_state *);
void of_state_dumped_flow(struct of_state *, struct flow_entry *);      /* Takes the caller's reference. */
void of_state_dumped_meter(struct of_state *, const struct flow_meter *);
void of_state_dumped_group(struct of_state *, struct group_entry *);    /* The same. */
void of_state_dump_done(struct of_state *);

/* The next bundle. ----------------------------------------------------------------------------------------------- */

enum of_change_type {
    OF_FLOW_ADD, OF_FLOW_DELETE,
    OF_METER_ADD, OF_METER_MODIFY, OF_METER_DELETE,
    OF_GROUP_ADD, OF_GROUP_MODIFY, OF_GROUP_DELETE,
};

struct of_change {
    enum of_change_type type;
    struct flow_entry *flow;            /* OF_FLOW_*. */
    struct flow_meter meter;            /* OF_METER_*. */
    struct group_entry *group;          /* OF_GROUP_*. */
};

/* Owned by the core; valid until it is acknowledged or failed or the connection is lost.
 *
 * Either any number of changes of flows and groups, to be applied as one or not at all and in this order, or
 * exactly one change of a meter (OVS takes no meters in bundles; one message is atomic by itself). */
struct of_bundle {
    const struct of_change *changes;
    size_t n;
};

/* The bundle to send now, or NULL: nothing differs, or one is under way, or there is no dump yet.  At most one
 * bundle is under way; it must be answered by exactly one of the two functions below, or by
 * of_state_disconnected(). */
const struct of_bundle *of_state_next(struct of_state *);
void of_state_bundle_acked(struct of_state *);
/* 'index' is the change that the switch blamed, or SIZE_MAX when it did not say. */
void of_state_bundle_failed(struct of_state *, size_t index, enum ofperr);

/* Looking at it. ------------------------------------------------------------------------------------------------- */

struct of_state_stats {
    size_t n_owners;
    size_t n_desired, n_installed;      /* Flows: keys that somebody wants, keys that the switch has. */
    size_t n_groups;                    /* That the switch has. */
    size_t n_quarantined;               /* Flows, meters and groups that the switch refused. */
    uint64_t n_bundles, n_failures, n_dumps;            /* Since the start. */
    uint64_t n_flow_mods;               /* Changes that were sent, meters and groups included, since the start. */
    bool synced;                        /* Dumped, and installed equals desired but for what is quarantined. */
};
void of_state_get_stats(const struct of_state *, struct of_state_stats *);

/* Calls 'cb' for each installed flow, in no order.  'owner' is NULL for a flow that nobody declared. */
void of_state_for_each_installed(const struct of_state *,
                                 void (*cb)(const struct flow_entry *, const char *owner, void *aux), void *aux);
/* Calls 'cb' for each flow of an owner that the switch refused. */
void of_state_for_each_refused(const struct of_state *, const char *owner,
                               void (*cb)(const struct flow_entry *, const char *why, void *aux), void *aux);
/* Calls 'cb' for each owner with something quarantined: once, and once for each group and each flow with a cookie of its
 * own, whose text is in 'why'. */
void of_state_for_each_failed(const struct of_state *,
                              void (*cb)(const char *owner, const char *why, void *aux), void *aux);

#endif /* controller/of-state.h */
