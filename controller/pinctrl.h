#ifndef SLUICE_PINCTRL_H
#define SLUICE_PINCTRL_H 1

/* Packets that br-int gives to the controller, and the answers (punt-reply.h).
 *
 * The shell: a packet-in of ofctrl.h goes through punt_reply(), and its answer goes back as a packet-out: ICMP
 * errors into the pipeline (punt_reply_actions()), neighbour advertisements out of the port of the question.
 * DNS answers (PUNT_DNS) go to who asked for them, or at once to their pods.  Verdicts (PUNT_POLICY_LOG) go to the log.
 * Meters in the switch limit how many come (flows/fields.h), so nothing is queued or counted against anyone
 * here. */

#include <stddef.h>
#include <stdint.h>

#include "flow-input.h"

struct ofctrl;
struct pinctrl;

/* Takes ofctrl's packet-ins from now on.  'ofctrl' must live longer. */
struct pinctrl *pinctrl_create(struct ofctrl *);
void pinctrl_destroy(struct pinctrl *);

/* Who answers: the router's MAC and the gateway addresses (copied).  Nothing is answered before the first call. */
void pinctrl_set_local(struct pinctrl *, const struct flow_local *);

/* Who gets DNS answers: whole frames, and the pod's port.  It calls pinctrl_output() for each, sooner or later. */
void pinctrl_set_dns(struct pinctrl *, void (*cb)(const void *frame, size_t, ofp_port_t, void *aux), void *aux);
void pinctrl_output(struct pinctrl *, const void *frame, size_t, ofp_port_t);

/* Who gets packets of which a policy's verdict is to be logged (PUNT_POLICY_LOG).  NULL: nobody. */
struct ofputil_packet_in;
void pinctrl_set_policy_log(struct pinctrl *, void (*cb)(const struct ofputil_packet_in *, void *aux), void *aux);

struct pinctrl_stats {
    uint64_t n_received;                /* Packet-ins of flows of ours. */
    uint64_t n_answered;
    uint64_t n_unanswered;              /* Answering them is not allowed: ICMP errors, multicast, later fragments... */
    uint64_t n_malformed;               /* Packet-ins that are not understood. */
};
void pinctrl_get_stats(const struct pinctrl *, struct pinctrl_stats *);

#endif /* controller/pinctrl.h */
