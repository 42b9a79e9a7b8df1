#include <config.h>

#include "controller/policy-log-record.h"

#include <jansson.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "controller/policy-name.h"
#include "dp-packet.h"
#include "fields.h"
#include "flow.h"
#include "packets.h"
#include "util.h"

/* The packet. ---------------------------------------------------------------------------------------------------- */

#define HEADERS_MAX 512                 /* Bytes of a frame that are looked at. */

/* Makes the IP packet as long as what there is of it: else flow_extract() takes it for a broken one. */
static void
make_whole(uint8_t *frame, size_t size)
{
    uint8_t *ip = frame + ETH_HEADER_LEN;
    bool is_v4 = size >= ETH_HEADER_LEN + IP_HEADER_LEN && frame[12] == 0x08 && frame[13] == 0x00;
    bool is_v6 = size >= ETH_HEADER_LEN + IPV6_HEADER_LEN && frame[12] == 0x86 && frame[13] == 0xdd;
    uint8_t *len = is_v4 ? ip + 2 : ip + 4;
    size_t there = size - ETH_HEADER_LEN - (is_v4 ? 0 : IPV6_HEADER_LEN);

    if ((is_v4 || is_v6) && (len[0] << 8 | len[1]) > there) {
        len[0] = there >> 8;
        len[1] = there;
    }
}

static void
extract(const void *frame, size_t size, struct flow *flow)
{
    uint8_t head[HEADERS_MAX] __attribute__((aligned(8)));
    struct dp_packet packet;

    size = MIN(size, sizeof head);
    memcpy(head, frame, size);
    make_whole(head, size);
    dp_packet_use_const(&packet, head, size);
    flow_extract(&packet, flow);
}

bool
policy_packet_parse(const void *frame, size_t size, struct policy_packet *p)
{
    struct flow flow;

    extract(frame, size, &flow);
    memset(p, 0, sizeof *p);
    if (flow.dl_type == htons(ETH_TYPE_IP) && (flow.nw_src || flow.nw_dst)) {
        p->src = in6_addr_mapped_ipv4(flow.nw_src);
        p->dst = in6_addr_mapped_ipv4(flow.nw_dst);
    } else if (flow.dl_type == htons(ETH_TYPE_IPV6) && ipv6_addr_is_set(&flow.ipv6_dst) && !inet_is_v4(&flow.ipv6_src)
               && !inet_is_v4(&flow.ipv6_dst)) {        /* An IPv4-mapped address in IPv6 is nobody's, and would read as IPv4. */
        p->src = flow.ipv6_src;
        p->dst = flow.ipv6_dst;
    } else {
        return false;
    }
    p->protocol = flow.nw_proto;
    p->has_ports = (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_SCTP)
                   && !(flow.nw_frag & FLOW_NW_FRAG_LATER) && flow.tp_dst;
    if (p->has_ports) {
        p->src_port = ntohs(flow.tp_src);
        p->dst_port = ntohs(flow.tp_dst);
    }
    return true;
}

static uint32_t
get_field(const struct match *metadata, enum flow_field field)
{
    const struct flow_field_info *info = flow_field_info(field);
    uint64_t bits = metadata->flow.regs[info->store - MFF_REG0] >> info->ofs;

    return bits & ((UINT64_C(1) << info->n_bits) - 1);
}

bool
policy_verdict_decode(uint8_t table_id, const struct match *metadata, struct policy_verdict *v)
{
    *v = (struct policy_verdict) {
        .direction = table_id == TABLE_EGRESS_VERDICT ? FLOW_EGRESS : FLOW_INGRESS,
        .denied = get_field(metadata, FIELD_DENIED), .conj_id = get_field(metadata, FIELD_RULE),
    };
    return table_id == TABLE_EGRESS_VERDICT || table_id == TABLE_INGRESS_VERDICT;
}

#define MAX_POLICIES 16                 /* That a line names. */

/* The line. ------------------------------------------------------------------------------------------------------ */

static json_t *
text(const char *s)
{
    return s ? json_string(s) : json_null();
}

static json_t *
time_to_json(long long int msec)
{
    time_t seconds = msec / 1000;
    struct tm tm;
    char s[64];

    gmtime_r(&seconds, &tm);
    size_t n = strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(s + n, sizeof s - n, ".%03dZ", (int) (msec % 1000));
    return json_string(s);
}

static json_t *
end_to_json(const struct in6_addr *addr, const char *namespace_, const char *name)
{
    char s[INET_ADDR_STRLEN];
    json_t *json = json_object();

    json_object_set_new(json, "address", json_string(inet_addr_format(addr, s)));
    if (name) {
        json_object_set_new(json, "namespace", text(namespace_));
        json_object_set_new(json, "pod", json_string(name));
    }
    return json;
}

static void
put_policies(const struct svec *policies, json_t *json)
{
    json_object_set_new(json, "policy", policies->n ? json_string(policies->names[0]) : json_null());
    if (policies->n > 1) {
        json_t *array = json_array();
        for (size_t i = 0; i < MIN(policies->n, MAX_POLICIES); i++) {
            json_array_append_new(array, json_string(policies->names[i]));
        }
        json_object_set_new(json, "policies", array);
    }
    if (policies->n > MAX_POLICIES) {
        json_object_set_new(json, "morePolicies", json_integer(policies->n - MAX_POLICIES));
    }
}

static void
put_ports(const struct policy_packet *p, json_t *json)
{
    char buf[POLICY_PROTOCOL_STRLEN];

    json_object_set_new(json, "protocol", json_string(policy_protocol_name(p->protocol, buf)));
    if (p->has_ports) {
        json_object_set_new(json, "port", json_integer(p->dst_port));
        json_object_set_new(json, "sourcePort", json_integer(p->src_port));
    }
}

static json_t *
begin_line(long long int time, const char *node)
{
    json_t *json = json_object();
    json_object_set_new(json, "time", time_to_json(time));
    json_object_set_new(json, "node", json_string(node));
    return json;
}

static void
end_line(json_t *json, struct ds *s)
{
    char *line = json_dumps(json, JSON_PRESERVE_ORDER);

    ds_put_cstr(s, line);
    free(line);
    json_decref(json);
}

void
policy_log_entry_format(const struct policy_log_entry *e, struct ds *s)
{
    const struct policy_packet *p = e->packet;
    json_t *json = begin_line(e->time, e->node);

    json_object_set_new(json, "verdict", json_string(e->denied ? "denied" : "allowed"));
    json_object_set_new(json, "direction", json_string(policy_direction_name(e->direction)));
    json_object_set_new(json, "tier", text(e->tier));
    put_policies(e->policies, json);
    json_object_set_new(json, "rule", text(e->rule));
    if (e->rule_name) {
        json_object_set_new(json, "ruleName", json_string(e->rule_name));
    }
    json_object_set_new(json, "source", end_to_json(&p->src, e->src_namespace, e->src_name));
    json_object_set_new(json, "destination", end_to_json(&p->dst, e->dst_namespace, e->dst_name));
    put_ports(p, json);
    end_line(json, s);
}

void
policy_log_gap_format(long long int time, const char *node, uint64_t n, const char *why, struct ds *s)
{
    json_t *json = begin_line(time, node);

    json_object_set_new(json, "notLogged", json_integer(n));
    json_object_set_new(json, "why", json_string(why));
    end_line(json, s);
}
