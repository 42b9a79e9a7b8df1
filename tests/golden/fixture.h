#ifndef SLUICE_TESTS_GOLDEN_FIXTURE_H
#define SLUICE_TESTS_GOLDEN_FIXTURE_H 1

/* A 'struct flow_input' as text, for tests.  One object a line, "#" begins a comment, lists are separated by commas:
 *
 *     node NAME router-mac MAC gateway-mac MAC gateway-port PORT tunnel-port PORT|none mtu BYTES [kernel-datapath yes]
 *         [own-mac MAC] [tunnel-udp PORT]
 *     pod-cidr CIDR gateway ADDRESS
 *     pod OWNER port PORT mac MAC addrs ADDRESS,... [network ID] [isolated yes]
 *         [subject EGRESS,INGRESS] [default-deny egress|ingress|both] [log drops|all]
 *     peer OWNER tunnel ADDRESS cidrs CIDR,...
 *     peer OWNER reach gateway cidrs CIDR,...
 *
 * The keys of what policies say are in order, and all there:
 *
 *     address egress|ingress prefix CIDR identity NUMBER
 *     clause egress|ingress tier admin|policy|baseline level LEVEL KIND conj ID:K/N,...
 *         KIND is "subject NUMBER", "peer NUMBER", "ports PROTOCOL:FIRST-LAST" or "always -"
 *     rule egress|ingress tier admin|policy|baseline level LEVEL conj ID action accept|deny|pass
 *
 * So are those of what Services say; FLOW is PROTOCOL:PORT, ENDPOINT is ADDRESS,PORT,WEIGHT,NUMBER, SET is 0 for none:
 *
 *     door ADDRESS|node-v4|node-v6 FLOW from anybody|outside|node CIDR|any group|shards|affinity|reject|drop NUMBER
 *         [fragments]
 *     node-address ADDRESS
 *     tracked-port FLOW
 *     group ID set SET/TIMEOUT endpoints ENDPOINT;...
 *     select SET group ID
 *     endpoint SET/TIMEOUT ENDPOINT
 *     shard SET VALUE/MASK group ID           (hexadecimal)
 */

#include "error.h"
#include "flow-input.h"
#include "flow-set.h"

#define FIXTURE_MAX_OBJECTS 64
#define FIXTURE_MAX_LIST 4

struct fixture {
    struct flow_input input;            /* Points into the rest. */
    struct inet_prefix pod_cidrs[FIXTURE_MAX_LIST];
    struct in6_addr gateway_addrs[FIXTURE_MAX_LIST];
    struct flow_pod pods[FIXTURE_MAX_OBJECTS];
    struct in6_addr pod_addrs[FIXTURE_MAX_OBJECTS][FIXTURE_MAX_LIST];
    struct flow_peer peers[FIXTURE_MAX_OBJECTS];
    struct inet_prefix peer_cidrs[FIXTURE_MAX_OBJECTS][FIXTURE_MAX_LIST];
    struct flow_set policy;             /* Of addresses, clauses and rules; of Services. */
    char *text;                         /* Owned; names point into it. */
};

/* Reads 'path'.  The caller destroys 'fixture', also after an error. */
int fixture_load(const char *path, struct fixture *fixture, struct error *);
void fixture_destroy(struct fixture *);
/* All its flows, sorted. */
void fixture_compile(const struct fixture *, struct flow_set *out);

#endif /* tests/golden/fixture.h */
