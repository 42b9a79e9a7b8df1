#ifndef SLUICE_CT_AUDIT_H
#define SLUICE_CT_AUDIT_H 1

/* Looks through the conntrack of br-int for connections of UDP and SCTP that must not go on, and has them removed.
 *
 * While sluiced runs it knows which endpoints go, and can remove connections to each of them (ofctrl_flush_ct()); but for
 * each of them the switch walks through all connections of the zone, and what went while sluiced was not there, or was told
 * to a switch that was restarting, nobody knows.  So here all are listed once: "dpctl/ct-stats-show" tells how many there
 * are, "dpctl/dump-conntrack" lists them, both on ovs-vswitchd's control socket.  That is the only way which works with every
 * datapath.  Its main thread does nothing else meanwhile (0.3 s for 100,000 connections), so: none are listed if there is
 * no UDP and no SCTP or if there are more than CT_AUDIT_MAX, and there is a pause behind.
 *
 * Each request means two audits, at once and a second later: when the switch has taken new flows its datapath still goes by
 * the old ones until its revalidators have looked at all of them (max-revalidator, 0.5 s), and a client that goes on sending
 * makes its connection anew.
 *
 * A connection may end between the list and its removal; ovs-vswitchd then logs "Must flush tuple using the original
 * pre-NATed tuple".
 *
 * Does not block: the list is read, and judged, in pieces.  What fails is tried again.  Follows the run / wait pattern. */

#include <stdbool.h>

#include "controller/ct-entry.h"

/* Connections of the zone that are listed at most, of whatever protocol: 26 MB of text. */
#define CT_AUDIT_MAX 200000

struct ct_audit_config {
    const char *ovs_rundir;             /* Copied. */
    /* Whether a connection may stay; and removes it. */
    bool (*keeps)(const struct ct_entry *, void *aux);
    void (*flush)(const struct ct_entry *, void *aux);
    void *aux;
};

struct ct_audit *ct_audit_create(const struct ct_audit_config *);
void ct_audit_destroy(struct ct_audit *);
/* Of this zone of a datapath ("netdev@ovs-netdev"). */
void ct_audit_request(struct ct_audit *, const char *datapath, unsigned int zone);
void ct_audit_run(struct ct_audit *);
void ct_audit_wait(struct ct_audit *);
/* Why the last one could not be done; NULL: it could. */
const char *ct_audit_problem(const struct ct_audit *);

#endif /* controller/ct-audit.h */
