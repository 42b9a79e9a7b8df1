#ifndef SLUICE_POLICY_STATUS_H
#define SLUICE_POLICY_STATUS_H 1

/* Which policies are in place on this node, and since when.
 *
 * A policy is in place when the switch has acknowledged the version of of-state.h in which its last change, and all
 * before it, was declared.  "Since" is when that was seen first; it stays when the switch connects anew.
 *
 * Pure; 'now' is milliseconds since 1970. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kube_object;
struct policy_status;

struct policy_status *policy_status_create(void);
void policy_status_destroy(struct policy_status *);

/* A policy came (no 'old'), changed or went (no 'new').  Objects are known by their pointers until they go. */
void policy_status_changed(struct policy_status *, const struct kube_object *old, const struct kube_object *new);
/* Everything that changed so far is declared with 'version'. */
void policy_status_declared(struct policy_status *, uint64_t version);
/* The switch has acknowledged 'acked'. */
void policy_status_acked(struct policy_status *, uint64_t acked, long long int now);

/* Whether it is in place now; '*since' is 0 until it was once. */
bool policy_status_get(const struct policy_status *, const struct kube_object *, uint64_t acked, long long int *since);
/* How many are not in place. */
size_t policy_status_n_pending(const struct policy_status *);

#endif /* controller/policy-status.h */
