#ifndef SLUICE_REPORT_H
#define SLUICE_REPORT_H 1

/* Tells the cluster what the dataplane says: its readiness as the Node's condition, its reports as Events
 * (node-report.h).
 *
 * The condition says what CNI STATUS, "sluicectl status" and systemd say: dataplane_not_ready().  A daemon that
 * starts finds its dataplane at work, but needs a moment to know it; so nothing is said about the condition until
 * it is ready for the first time, or REPORT_GRACE_MS have passed since the source was synced.
 *
 * Follows the run / wait pattern. */

#include <stdbool.h>

#define REPORT_GRACE_MS 10000

struct dataplane;
struct kube_client;
struct report;
struct store;

/* 'node' is this node's name; the others stay the caller's and must outlive the result.  'client' NULL: there is
 * nobody to tell; reports are dropped. */
struct report *report_create(struct kube_client *client, const char *node, const struct store *, struct dataplane *);
void report_destroy(struct report *);
/* After dataplane_run(). */
void report_run(struct report *, bool source_synced);
void report_wait(struct report *);
/* NULL, or what could not be told and why. */
const char *report_problem(const struct report *);

#endif /* controller/report.h */
