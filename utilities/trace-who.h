#ifndef SLUICE_TRACE_WHO_H
#define SLUICE_TRACE_WHO_H 1

/* The names behind a trace: whose a flow is, which rule decided and why the others did not, as sluiced tells it.
 * What was asked once is kept until who_forget(). */

#include <jansson.h>

#include "openvswitch/shash.h"
#include "utilities/ctl-client.h"
#include "utilities/trace-packet.h"

struct who {
    struct ctl_client *sluiced;         /* The caller's; may be NULL. */
    struct shash answers;               /* By the question. */
};

#define WHO_INITIALIZER(WHO) { NULL, SHASH_INITIALIZER(&(WHO)->answers) }

void who_forget(struct who *);
void who_destroy(struct who *);         /* Frees the content. */

/* The owner of a cookie; NULL: nobody that sluiced knows. */
const char *who_owns(struct who *, uint64_t cookie);

/* {"direction", "verdict", "pod", "tier", "policy", "rule", "ruleName", "policies"}: 'tier', 'policy' and 'rule' are
 * null if none decided; 'policies', all of them, is there if there are several.  The caller's. */
json_t *who_decided(struct who *, const struct trace_decision *);
/* "ingress of pod shop/web is denied by NetworkPolicy/shop/web, ingress[0]".  The caller's. */
char *who_decided_text(const json_t *);

/* The door of a Service that a packet to there meets, as service-json.h has it; NULL: none.  'source': "pod", "node", "outside".
 * The caller's. */
json_t *who_serves(struct who *, const struct in6_addr *, uint8_t protocol, uint16_t port, const char *source);

/* {"egress", "ingress"} as policy-explain.h has it; NULL if it cannot be told.  The caller's. */
json_t *who_explains(struct who *, const struct trace_question *, const struct trace_packet *);

#endif /* utilities/trace-who.h */
