#ifndef SLUICE_TRACE_PACKET_H
#define SLUICE_TRACE_PACKET_H 1

/* A question of "sluicectl trace": the packet that is sent, and what its way through br-int means.  Pure.
 *
 *   source               enters br-int by                            from address
 *   pod of this node     its port, from its MAC to the router's      its own
 *   this node            the gateway port                            the gateway's (the node's in its pod CIDR)
 *   another node's pod   the tunnel, key 1; routed: gateway port     its own
 *   another node         the tunnel; routed: the gateway port        its gateway's; routed: its InternalIP
 *   outside              the gateway port: the node routes it        its own
 *
 * What the node only routes to its pods has another MAC there than what it sends itself (SOURCE_FORWARDED).
 *
 * What never enters this node's br-int (its own stack to the outside; routed peers; a pod to itself) has no flow and is
 * allowed by it; what is of no concern to this node is an error that names whom to ask. */

#include "policy-flow.h"
#include "utilities/trace-facts.h"
#include "utilities/trace-parse.h"

struct trace_question {
    const char *from, *to;              /* As trace_facts_find() takes them. */
    const char *protocol;               /* "tcp", "udp", "sctp", "icmp". */
    int port, sport;                    /* 0: not said. */
    int family;                         /* 4, 6; 0: IPv4 if both ends have it. */
    const char *source;                 /* NULL, or the address that the packet claims to be from. */
};

struct trace_packet {
    struct trace_end from, to;
    struct in6_addr src, dst;
    uint16_t in_port;                   /* 0: it does not meet br-int. */
    bool by_tunnel;                     /* From the tunnel, from 'from.node'. */
    uint8_t protocol;                   /* IPPROTO_*. */
    char *flow;                         /* As ofproto/trace takes it; NULL: it does not meet br-int. */
};

/* 'service': it goes to a Service's address, so to br-int from wherever it comes.
 * EINVAL: the question is wrong; ENOENT, EAGAIN: as trace_facts_find(); EREMOTE: another node must be asked. */
int trace_packet_make(const struct trace_facts *, const struct trace_question *, bool service, struct trace_packet *,
                      struct error *);
void trace_packet_destroy(struct trace_packet *);       /* Frees the content. */

/* What policies said in one direction. */
enum trace_by { TRACE_BY_RULE, TRACE_BY_DEFAULT_DENY, TRACE_BY_NOTHING };

struct trace_decision {
    enum flow_direction direction;
    bool denied;
    enum trace_by by;
    enum flow_tier tier;                /* Unless TRACE_BY_NOTHING. */
    const struct trace_step *step;      /* Whose flow decided; its cookie is the rule's. */
    const struct trace_pod *pod;        /* Whose direction it is; NULL: not known. */
};

struct trace_verdict {
    bool allowed;
    char *text;                         /* "delivered to pod demo/web (port 17)", "SPOOF_GUARD: drop: a VLAN tag". */
    const struct trace_step *step;      /* The one that decided; NULL: none did. */
    const char *next;                   /* Name of the node where it goes on; NULL: nowhere else.  Of the facts. */
    struct trace_decision decisions[FLOW_N_DIRECTIONS]; /* Of those directions that were judged. */
    size_t n_decisions;
};

/* 'trace' may be NULL if 'packet' has no flow. */
void trace_verdict_make(const struct trace_facts *, const struct trace_packet *, const struct trace *,
                        struct trace_verdict *);
void trace_verdict_destroy(struct trace_verdict *);     /* Frees the content. */
/* The one behind the verdict: what denied it, or the last that allowed it.  NULL: none did. */
const struct trace_decision *trace_verdict_decision(const struct trace_verdict *);
/* Private to trace-verdict.c: fills in the decisions. */
void trace_decisions_make(const struct trace_facts *, const struct trace_packet *, const struct trace *,
                          struct trace_verdict *);

#endif /* utilities/trace-packet.h */
