#ifndef SLUICE_POLICY_LOG_RECORD_H
#define SLUICE_POLICY_LOG_RECORD_H 1

/* One verdict of a policy: from the packet that the switch gives us to a line of the log.  Pure.
 *
 * The *_VERDICT tables send the packet to the controller with PUNT_POLICY_LOG (flows/fields.h).  Which direction it is
 * says the table; what decided, the registers.  The bytes of the packet come from a pod or from anywhere, so nothing in
 * them is believed but what a header can hold; it may be cut off anywhere. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inet.h"
#include "openvswitch/dynamic-string.h"
#include "policy-flow.h"
#include "svec.h"

struct match;

/* Of a frame. */
struct policy_packet {
    struct in6_addr src, dst;
    uint8_t protocol;                   /* IPPROTO_*. */
    bool has_ports;                     /* It is TCP, UDP or SCTP, and not a later fragment: */
    uint16_t src_port, dst_port;
};

/* False if it is no IP packet. */
bool policy_packet_parse(const void *frame, size_t size, struct policy_packet *);

/* Of the packet's metadata. */
struct policy_verdict {
    enum flow_direction direction;
    bool denied;
    uint32_t conj_id;                   /* Of the rule; 0: none decided. */
};

/* False if 'table_id' is none of the *_VERDICT tables. */
bool policy_verdict_decode(uint8_t table_id, const struct match *metadata, struct policy_verdict *);

/* A line.  Everything is borrowed. */
struct policy_log_entry {
    long long int time;                 /* Milliseconds since 1970. */
    const char *node;
    const struct policy_packet *packet;
    enum flow_direction direction;
    bool denied;
    const char *tier;                   /* "Admin"; NULL: no policy decided. */
    const struct svec *policies;        /* "NetworkPolicy/shop/web": one; or all that share it. */
    const char *rule, *rule_name;       /* "ingress[0]", "default deny"; NULL: none. */
    const char *src_namespace, *src_name, *dst_namespace, *dst_name;    /* Pods; NULL: none. */
};

/* One JSON object, without a new-line character:
 *
 *     {"time": "2026-11-23T12:00:00.000Z", "node": "n1", "verdict": "denied", "direction": "ingress",
 *      "tier": "NetworkPolicy", "policy": "NetworkPolicy/shop/web", "rule": "default deny",
 *      "source": {"address": "10.244.1.3", "namespace": "shop", "pod": "client"},
 *      "destination": {...}, "protocol": "tcp", "port": 8081, "sourcePort": 40000}
 *
 * tier, policy and rule are null if none decided, "policies" lists them if there are several (and "morePolicies" counts
 * those beyond the first 16); ports are missing where there are none. */
void policy_log_entry_format(const struct policy_log_entry *, struct ds *);

/* The line that says how many are missing: {"time", "node", "notLogged": N, "why"}. */
void policy_log_gap_format(long long int time, const char *node, uint64_t n, const char *why, struct ds *);

#endif /* controller/policy-log-record.h */
