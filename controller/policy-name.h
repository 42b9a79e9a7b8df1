#ifndef SLUICE_POLICY_NAME_H
#define SLUICE_POLICY_NAME_H 1

/* How policies and their rules are called wherever a person or a program reads of them: status, trace, counters, log.
 *
 *     policy      "NetworkPolicy/shop/web", "ClusterNetworkPolicy/no-metadata"
 *     rule        "ingress[0]", its place in the object; a ClusterNetworkPolicy's rule also has a name of its own
 *     tier        "Admin", "NetworkPolicy", "Baseline", in the order in which they are asked
 *     action      "Accept", "Deny", "Pass"; a NetworkPolicy's rules are all "Accept"
 *
 * Pure. */

#include "controller/kube-policy.h"
#include "policy-flow.h"

struct ds;

const char *policy_direction_name(enum flow_direction); /* "egress", "ingress". */
const char *policy_tier_name(enum flow_tier);
const char *policy_action_name(enum flow_action);
/* "KIND/NAMESPACE/NAME", or "KIND/NAME" for kinds without namespaces. */
void policy_object_put(struct ds *, const struct kube_object *);
char *policy_object_name(const struct kube_object *);   /* The caller's. */
char *policy_rule_name(enum flow_direction, size_t index);      /* The caller's. */

#define POLICY_DEFAULT_DENY "default deny"              /* The rule of what no rule of a NetworkPolicy allows. */

/* "tcp", "icmp6", or a number in a buffer of its own. */
#define POLICY_PROTOCOL_STRLEN 12
const char *policy_protocol_name(uint8_t protocol, char buf[POLICY_PROTOCOL_STRLEN]);
/* 0 if it is none. */
uint8_t policy_protocol_from_name(const char *);

#endif /* controller/policy-name.h */
