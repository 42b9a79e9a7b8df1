#ifndef SLUICE_DATAPLANE_H
#define SLUICE_DATAPLANE_H 1

/* The node at work: the shell of I/O around the cores.
 *
 * It carries out the effects of attachment.h with the journal, worker threads, OVSDB and OpenFlow; makes the
 * compiler's input of the store, the attachments and the host's network; and answers ovs-cni.  Everything is declared
 * before anything is sent: the journal and the sources are read first, so that a restart changes nothing in a switch
 * that has everything already.
 *
 *     store (Nodes) ----\                              /--> ovsdb_set_base, hostnet_set
 *     hostnet (uplink) --+--> struct node_facts ------+---> compile_base, compile_peer --\
 *     configuration ----/                              \--> pools, MTU --> attachments    +--> of_state
 *                                      attachments --> ports in OVSDB, compile_pod ------/
 *
 * Fault points (lib/fault.h), one before each effect: "journal-add", "journal-up", "journal-known", "journal-del",
 * "link-create", "link-configure", "link-delete", "link-trash", "port-set", "port-remove", "flows-set",
 * "flows-remove", "reply".
 *
 * Follows the run / wait pattern.  Nothing here polls: what waits for Open vSwitch is looked at when ovsdb_seqno() or
 * of_state_acked() changes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "kube-types.h"
#include "openvswitch/list.h"

struct config;
struct dataplane;
struct store;

/* Opens the journal, clears links that a dead daemon left, and listens.  'config' and 'store' stay the caller's. */
int dataplane_create(const struct config *, struct store *, struct dataplane **, struct error *);
/* Leaves everything in the kernel and in Open vSwitch as it is. */
void dataplane_destroy(struct dataplane *);
/* Whether the source declares every pod of this node (source_declares_pods()); false at first.  Before the first run. */
void dataplane_set_declares_pods(struct dataplane *, bool);
/* 'source_why_not' NULL: the store holds what the source has, or had when it could be read last.  Else why it does
 * not: until it does, nothing is declared to Open vSwitch, and what is installed there stays. */
void dataplane_run(struct dataplane *, const char *source_why_not);
void dataplane_wait(struct dataplane *);
/* The configuration has changed (SIGHUP); what cannot change in a running daemon is ignored. */
void dataplane_reconfigure(struct dataplane *, const struct config *);

/* NULL, or why no pod can be added now.  '*limited' (may be NULL): pods that run may be affected too. */
const char *dataplane_not_ready(const struct dataplane *, bool *limited);
/* Ready, and everything that is known has been carried out and acknowledged. */
bool dataplane_realized(const struct dataplane *);

/* What an operator must act on, about a Pod or a Node: for an Event (node-report.h).  The caller takes them out
 * after each run; a few hundred are kept. */
struct dataplane_report {
    struct ovs_list node;               /* Private. */
    enum kube_kind kind;
    char *namespace_, *name, *uid;      /* 'uid' is "" while the object is not known. */
    const char *reason;                 /* CamelCase; a constant. */
    char *message;
};
struct dataplane_report *dataplane_pop_report(struct dataplane *);      /* NULL: none. */
void dataplane_report_destroy(struct dataplane_report *);

/* "sluiced --cleanup": takes ports, bridges, rules and links away and gives the uplink back.  No daemon may run. */
int dataplane_cleanup(const struct config *, struct error *);

#endif /* controller/dataplane.h */
