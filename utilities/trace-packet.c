#include <config.h>

#include "utilities/trace-packet.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "controller/ipam.h"
#include "flow-input.h"
#include "flow.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

#define TTL 64
#define DEFAULT_SPORT 40000

static const struct { const char *name, *v4, *v6, *ports; uint8_t number; } protocols[] = {
    { "tcp", "tcp", "tcp6", "tcp", IPPROTO_TCP }, { "udp", "udp", "udp6", "udp", IPPROTO_UDP },
    { "sctp", "sctp", "sctp6", "sctp", IPPROTO_SCTP }, { "icmp", "icmp", "icmp6", NULL, IPPROTO_ICMP },
};

/* Whether this node's br-int can meet the packet at all. */

static int
ask_there(const struct trace_facts *facts, const struct trace_packet *p, struct error *error)
{
    const char *node = trace_end_node_name(facts, &p->from);
    node = node ? node : trace_end_node_name(facts, &p->to);
    return node ? error_set(error, EREMOTE, "ask node %s: the packet begins there, not on node %s", node, facts->node)
                : error_set(error, EREMOTE, "neither end is in the cluster");
}

static bool
is_local(const struct trace_end *end)
{
    return end->kind == TRACE_POD || end->kind == TRACE_NODE || end->kind == TRACE_OWN_CIDR;
}

/* Addresses. ----------------------------------------------------------------------------------------------------- */

static const struct in6_addr *
addr_of_family(const struct in6_addr *addrs, size_t n, bool v4)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_is_v4(&addrs[i]) == v4) {
            return &addrs[i];
        }
    }
    return NULL;
}

/* The address of a node in its pod CIDR, which its stack takes towards pods. */
static const struct in6_addr *
gateway_of_family(const struct trace_facts *facts, const struct trace_end *end, bool v4, struct in6_addr *buffer)
{
    if (end->kind == TRACE_NODE) {
        return addr_of_family(facts->gateways, facts->n_cidrs, v4);
    }
    for (size_t i = 0; end->node && i < end->node->n_cidrs; i++) {
        if (inet_is_v4(&end->node->cidrs[i].addr) == v4) {
            ipam_gateway(&end->node->cidrs[i], buffer);
            return buffer;
        }
    }
    return NULL;
}

static bool
comes_by_tunnel(const struct trace_facts *facts, const struct trace_end *from)
{
    return (from->kind == TRACE_PEER_POD || from->kind == TRACE_PEER_NODE) && facts->tunnel_port && from->node
           && from->node->tunnel;
}

static const struct in6_addr *
source_of_family(const struct trace_facts *facts, const struct trace_end *from, bool v4, struct in6_addr *buffer)
{
    bool by_gateway = from->kind == TRACE_NODE || (from->kind == TRACE_PEER_NODE && comes_by_tunnel(facts, from));
    const struct in6_addr *gateway = by_gateway ? gateway_of_family(facts, from, v4, buffer) : NULL;
    return gateway ? gateway : addr_of_family(from->addrs, from->n_addrs, v4);
}

static bool
choose_family(const struct trace_facts *facts, struct trace_packet *p, bool v4)
{
    struct in6_addr buffer;
    const struct in6_addr *src = source_of_family(facts, &p->from, v4, &buffer);
    const struct in6_addr *dst = addr_of_family(p->to.addrs, p->to.n_addrs, v4);

    if (src && dst) {
        p->src = *src;
        p->dst = *dst;
    }
    return src && dst;
}

static int
choose_addrs(const struct trace_facts *facts, const struct trace_question *q, struct trace_packet *p,
             struct error *error)
{
    struct in6_addr source;

    if (q->source && inet_addr_parse(q->source, &source, error)) {
        return error_wrap(error, "source address");
    }
    int family = q->family ? q->family : q->source ? (inet_is_v4(&source) ? 4 : 6) : 0;
    if (!(family != 6 && choose_family(facts, p, true)) && !(family != 4 && choose_family(facts, p, false))) {
        return error_set(error, EINVAL, "%s and %s have no address of %s", q->from, q->to,
                         family == 4 ? "IPv4" : family == 6 ? "IPv6" : "the same family");
    }
    if (q->source) {
        if (inet_is_v4(&source) != inet_is_v4(&p->dst)) {
            return error_set(error, EINVAL, "the source address is of another family than %s", q->to);
        }
        p->src = source;
    }
    return 0;
}

/* The packet. ---------------------------------------------------------------------------------------------------- */

static int
find_protocol(const struct trace_question *q, size_t *index, struct error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (!strcasecmp(q->protocol, protocols[i].name)) {
            if (protocols[i].ports && !q->port) {
                return error_set(error, EINVAL, "%s needs a port", protocols[i].name);
            }
            *index = i;
            return 0;
        }
    }
    return error_set(error, EINVAL, "protocol \"%.32s\" is none of tcp, udp, sctp, icmp", q->protocol);
}

/* In which port, and what comes with it. */
static void
put_entrance(const struct trace_facts *facts, const struct trace_packet *p, struct ds *s)
{
    struct eth_addr src = (p->from.kind == TRACE_POD ? p->from.pod->mac : p->by_tunnel ? facts->router_mac
                           : p->from.kind == TRACE_NODE ? facts->own_mac : facts->gateway_mac);

    ds_put_format(s, "in_port=%"PRIu16",", p->in_port);
    if (p->by_tunnel) {
        bool v4 = inet_is_v4(&p->from.node->tunnel_dst);
        char text[INET_ADDR_STRLEN];
        ds_put_format(s, "tun_id=%d,%s=%s,", FLOW_NETWORK_DEFAULT, v4 ? "tun_src" : "tun_ipv6_src",
                      inet_addr_format(&p->from.node->tunnel_dst, text));
    }
    ds_put_format(s, "dl_src="ETH_ADDR_FMT",dl_dst="ETH_ADDR_FMT",", ETH_ADDR_ARGS(src),
                  ETH_ADDR_ARGS(facts->router_mac));
}

/* What the userspace datapath makes of the packet for a group that selects by dp_hash (OVS_HASH_ALG_L4 in odp_execute());
 * the kernel's would be another.  Never 0, which is none. */
static uint32_t
dp_hash(const struct trace_question *q, const struct trace_packet *p)
{
    struct flow flow;

    memset(&flow, 0, sizeof flow);
    flow.nw_proto = p->protocol;
    flow.tp_src = htons(q->sport ? q->sport : DEFAULT_SPORT);
    flow.tp_dst = htons(q->port);
    if (inet_is_v4(&p->dst)) {
        flow.dl_type = htons(ETH_TYPE_IP);
        flow.nw_src = in6_addr_get_mapped_ipv4(&p->src);
        flow.nw_dst = in6_addr_get_mapped_ipv4(&p->dst);
    } else {
        flow.dl_type = htons(ETH_TYPE_IPV6);
        flow.ipv6_src = p->src;
        flow.ipv6_dst = p->dst;
    }
    uint32_t hash = hash_int(flow_hash_5tuple(&flow, 0), 0);
    return hash ? hash : 1;
}

static char *
make_flow(const struct trace_facts *facts, const struct trace_question *q, size_t protocol, bool service,
          const struct trace_packet *p)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    char src[INET_ADDR_STRLEN], dst[INET_ADDR_STRLEN];
    bool v4 = inet_is_v4(&p->dst);
    const char *ports = protocols[protocol].ports;

    put_entrance(facts, p, &s);
    ds_put_format(&s, "%s,%s=%s,%s=%s,nw_ttl=%d", v4 ? protocols[protocol].v4 : protocols[protocol].v6,
                  v4 ? "nw_src" : "ipv6_src", inet_addr_format(&p->src, src), v4 ? "nw_dst" : "ipv6_dst",
                  inet_addr_format(&p->dst, dst), p->by_tunnel ? TTL - 1 : TTL);
    if (ports) {
        ds_put_format(&s, ",%s_src=%d,%s_dst=%d", ports, q->sport ? q->sport : DEFAULT_SPORT, ports, q->port);
        ds_put_cstr(&s, strcmp(ports, "tcp") ? "" : ",tcp_flags=syn");  /* Else it is none of a new connection. */
    } else {
        ds_put_format(&s, ",icmp%s_type=%d", v4 ? "" : "v6", v4 ? 8 : 128);
    }
    if (service) {
        ds_put_format(&s, ",dp_hash=0x%"PRIx32, dp_hash(q, p));
    }
    return ds_steal_cstr(&s);
}

/* Sets 'in_port', 0 if this node's br-int is not on the way. */
static int
choose_port(const struct trace_facts *facts, const struct trace_question *q, bool service, struct trace_packet *p,
            struct error *error)
{
    const struct trace_end *from = &p->from, *to = &p->to;
    bool to_tunnel = to->kind == TRACE_PEER_POD && to->node && to->node->tunnel;

    if (service && from->kind != TRACE_POD && from->kind != TRACE_OWN_CIDR) {
        p->in_port = facts->gateway_port;       /* The node's stack hands it to br-int, its own and others'. */
        return 0;
    }

    switch (from->kind) {
    case TRACE_POD:
        p->in_port = to->pod == from->pod && !q->source ? 0 : from->pod->ofport;
        return 0;
    case TRACE_OWN_CIDR:
        return error_set(error, EAGAIN, "%s has no port on this node: it could not send", q->from);
    case TRACE_NODE:
        p->in_port = to->kind == TRACE_POD || to->kind == TRACE_OWN_CIDR || to_tunnel ? facts->gateway_port : 0;
        return 0;
    case TRACE_PEER_POD:
    case TRACE_PEER_NODE:
    case TRACE_OUTSIDE:
    default:
        if (!is_local(to)) {
            return ask_there(facts, p, error);
        }
        if (to->kind == TRACE_NODE && from->kind == TRACE_PEER_POD) {
            return ask_there(facts, p, error);
        }
        p->by_tunnel = to->kind != TRACE_NODE && comes_by_tunnel(facts, from);
        p->in_port = to->kind == TRACE_NODE ? 0 : p->by_tunnel ? facts->tunnel_port : facts->gateway_port;
        return 0;
    }
}

int
trace_packet_make(const struct trace_facts *facts, const struct trace_question *q, bool service,
                  struct trace_packet *p, struct error *error)
{
    size_t protocol = 0;

    memset(p, 0, sizeof *p);
    int code = find_protocol(q, &protocol, error);
    code = code ? code : trace_facts_find(facts, q->from, &p->from, error);
    code = code ? code : trace_facts_find(facts, q->to, &p->to, error);
    p->protocol = protocols[protocol].number;
    code = code ? code : choose_addrs(facts, q, p, error);
    code = code ? code : choose_port(facts, q, service, p, error);
    if (!code && p->in_port) {
        p->flow = make_flow(facts, q, protocol, service, p);
    }
    return code;
}

void
trace_packet_destroy(struct trace_packet *p)
{
    free(p->flow);
    memset(p, 0, sizeof *p);
}
