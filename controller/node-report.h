#ifndef SLUICE_NODE_REPORT_H
#define SLUICE_NODE_REPORT_H 1

/* What the daemon tells the cluster: the Node's condition NetworkUnavailable, and Events.
 *
 * The condition is False while, and only while, the node's dataplane is realised, else True with the reason; it is written when
 * it differs from what the Node object says.  Events are for what an operator must act on: deduplicated (the same object, reason
 * and message counts up) and limited in rate.  Everything is tried again when the server is back; nothing waits for it.
 *
 * Follows the run / wait pattern.  Source: API reference v1.34, NodeCondition, Event v1; client-go's record.EventAggregator. */

#include <stdbool.h>

struct kube_client;
struct kube_object;
struct node_report;

/* 'client' stays the caller's. */
struct node_report *node_report_create(struct kube_client *, const char *node);
void node_report_destroy(struct node_report *);
void node_report_run(struct node_report *);
void node_report_wait(struct node_report *);

/* 'why_not' NULL: realised.  'node_uid' is that of the Node object, "" or NULL while there is none: nothing is written then. */
void node_report_condition(struct node_report *, const char *node_uid, const char *why_not);

/* Reports 'reason' (CamelCase) and 'message' about 'object' (a Pod or a Node). */
void node_report_event(struct node_report *, const struct kube_object *object, bool warning, const char *reason,
                       const char *message);

/* NULL, or what could not be written and why. */
const char *node_report_problem(const struct node_report *);

#endif /* controller/node-report.h */
