#ifndef SLUICE_CTL_POLICY_H
#define SLUICE_CTL_POLICY_H 1

/* What sluicectl asks about policies, on sluiced's control socket (ctl.h).  All answers are JSON.
 *
 *   policy/rules [POLICY]          [{"policy", "direction", "tier", "action", "rule", "name", "cookie"}]: the rules that
 *                                  are relevant here (of one policy, KIND/NAMESPACE/NAME), with the cookie of their flows
 *   policy/cookie COOKIE           the same, of the rules whose flows have that cookie
 *   policy/isolating POD DIRECTION ["NetworkPolicy/..."]: those that isolate a pod (NAMESPACE/NAME)
 *   policy/explain FROM FROM-POD TO TO-POD PROTOCOL PORT OWN-NODE
 *                                  {"egress": ..., "ingress": ...} as policy-explain.h tells it.  FROM and TO are
 *                                  addresses, the PODs NAMESPACE/NAME or "-"; OWN-NODE is 1 if the destination's own node
 *                                  sends it
 *
 * The counters are not here: sluicectl asks the switch. */

#include <stdint.h>

struct dataplane;

void ctl_policy_register(struct dataplane *);

/* Whose flow has that cookie, if it is one of policies': "NetworkPolicy/shop/web" of a rule's, the first if several
 * share it, else "Base/policy".  NULL: it is none of those.  The caller's. */
char *ctl_policy_owner(const struct dataplane *, uint64_t cookie);

#endif /* controller/ctl-policy.h */
