#include <config.h>

#include "build.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "openvswitch/ofp-actions.h"
#include "util.h"

void
build_init(struct build *b, struct flow_set *out, uint64_t cookie)
{
    b->out = out;
    b->cookie = cookie;
    ofpbuf_use_stub(&b->actions, b->stub, sizeof b->stub);
}

void
build_destroy(struct build *b)
{
    ofpbuf_uninit(&b->actions);
}

struct match *
build_match(struct build *b)
{
    match_init_catchall(&b->match);
    ofpbuf_clear(&b->actions);
    return &b->match;
}

void
build_flow(struct build *b, enum pipeline_table table, unsigned int priority)
{
    flow_set_add(b->out, table, priority, b->cookie, &b->match, &b->actions);
}

struct flow_entry *
build_entry(const struct build *b, enum pipeline_table table, unsigned int priority)
{
    return flow_entry_create(table, priority, b->cookie, &b->match, b->actions.data, b->actions.size);
}

static uint32_t
field_mask(const struct flow_field_info *f)
{
    return (f->n_bits < 32 ? (UINT32_C(1) << f->n_bits) - 1 : UINT32_MAX) << f->ofs;
}

static uint32_t
field_max(enum flow_field field)
{
    const struct flow_field_info *f = flow_field_info(field);
    return field_mask(f) >> f->ofs;
}

void
match_field(struct match *match, enum flow_field field, uint32_t value)
{
    match_field_masked(match, field, value, field_max(field));
}

void
match_field_masked(struct match *match, enum flow_field field, uint32_t value, uint32_t value_mask)
{
    const struct flow_field_info *f = flow_field_info(field);
    uint32_t mask = value_mask << f->ofs, bits = value << f->ofs;

    ovs_assert(!(bits & ~mask) && !(mask & ~field_mask(f)));
    if (f->store == MFF_METADATA) {
        if (mask == UINT32_MAX) {
            /* All 64 bits, so that it reads well; the upper 32 are always 0. */
            match_set_metadata(match, htonll(value));
        } else {
            match_set_metadata_masked(match, htonll(bits), htonll(mask));
        }
    } else {
        unsigned int reg = f->store - MFF_REG0;
        uint32_t old = match->flow.regs[reg], old_mask = match->wc.masks.regs[reg];
        match_set_reg_masked(match, reg, old | bits, old_mask | mask);
    }
}

void
match_no_vlan(struct match *match)
{
    /* As OpenFlow 1.5 can say it (the priority bits are nothing that a frame without a tag has), so that a dump gives
     * back the same. */
    match_set_dl_tci_masked(match, htons(0), htons(VLAN_CFI | VLAN_VID_MASK));
}

void
match_vlan(struct match *match)
{
    match_set_dl_tci_masked(match, htons(VLAN_CFI), htons(VLAN_CFI));
}

void
match_family(struct match *match, const struct in6_addr *addr)
{
    match_set_dl_type(match, htons(inet_is_v4(addr) ? ETH_TYPE_IP : ETH_TYPE_IPV6));
}

void
match_ip_src(struct match *match, const struct in6_addr *addr)
{
    match_family(match, addr);
    if (inet_is_v4(addr)) {
        match_set_nw_src(match, in6_addr_get_mapped_ipv4(addr));
    } else {
        match_set_ipv6_src(match, addr);
    }
}

void
match_ip_dst(struct match *match, const struct inet_prefix *prefix)
{
    match_family(match, &prefix->addr);
    if (inet_is_v4(&prefix->addr)) {
        match_set_nw_dst_masked(match, in6_addr_get_mapped_ipv4(&prefix->addr), be32_prefix_mask(prefix->plen));
    } else {
        struct in6_addr mask = ipv6_create_mask(prefix->plen);
        match_set_ipv6_dst_masked(match, &prefix->addr, &mask);
    }
}

void
match_ip_src_prefix(struct match *match, const struct inet_prefix *prefix)
{
    match_family(match, &prefix->addr);
    if (inet_is_v4(&prefix->addr)) {
        match_set_nw_src_masked(match, in6_addr_get_mapped_ipv4(&prefix->addr), be32_prefix_mask(prefix->plen));
    } else {
        struct in6_addr mask = ipv6_create_mask(prefix->plen);
        match_set_ipv6_src_masked(match, &prefix->addr, &mask);
    }
}

void
match_ct_state(struct match *match, uint32_t set)
{
    match_set_ct_state_masked(match, set, set);
}

void
match_ct_mark(struct match *match, uint32_t value)
{
    match_set_ct_mark_masked(match, value, CT_MARK_ALLOWED);
}

void
match_port(struct match *match, uint8_t protocol, bool dst, uint16_t port)
{
    match_set_nw_proto(match, protocol);
    (dst ? match_set_tp_dst : match_set_tp_src)(match, htons(port));
}

void
match_solicit(struct match *match, const struct inet_prefix *target)
{
    if (inet_is_v4(&target->addr)) {
        match_set_dl_type(match, htons(ETH_TYPE_ARP));
        match_set_nw_proto(match, ARP_OP_REQUEST);
        match_set_arp_tpa_masked(match, in6_addr_get_mapped_ipv4(&target->addr), be32_prefix_mask(target->plen));
    } else {
        struct in6_addr mask = ipv6_create_mask(target->plen);
        match_icmp6(match, ND_NEIGHBOR_SOLICIT);
        match_set_icmp_code(match, 0);
        match_set_nw_ttl(match, 255);
        match_set_nd_target_masked(match, &target->addr, &mask);
    }
}

bool
match_icmp_error(struct match *match, size_t i)
{
    static const struct {
        uint16_t dl_type;
        uint8_t protocol, type;
    } errors[] = {
        { ETH_TYPE_IP, IPPROTO_ICMP, ICMP_DEST_UNREACH },
        { ETH_TYPE_IP, IPPROTO_ICMP, ICMP_TIME_EXCEEDED },
        { ETH_TYPE_IP, IPPROTO_ICMP, ICMP_PARAMETERPROB },
        { ETH_TYPE_IPV6, IPPROTO_ICMPV6, ICMP6_DST_UNREACH },
        { ETH_TYPE_IPV6, IPPROTO_ICMPV6, ICMP6_PACKET_TOO_BIG },
        { ETH_TYPE_IPV6, IPPROTO_ICMPV6, ICMP6_TIME_EXCEEDED },
        { ETH_TYPE_IPV6, IPPROTO_ICMPV6, ICMP6_PARAM_PROB },
    };
    if (i >= ARRAY_SIZE(errors)) {
        return false;
    }
    match_set_dl_type(match, htons(errors[i].dl_type));
    match_set_nw_proto(match, errors[i].protocol);
    match_set_icmp_type(match, errors[i].type);
    return true;
}

void
match_icmp6(struct match *match, uint8_t type)
{
    match_set_dl_type(match, htons(ETH_TYPE_IPV6));
    match_set_nw_proto(match, IPPROTO_ICMPV6);
    match_set_icmp_type(match, type);
}

void
build_load(struct build *b, enum flow_field field, uint32_t value)
{
    const struct flow_field_info *f = flow_field_info(field);
    uint32_t mask = field_mask(f), bits = value << f->ofs;

    ovs_assert(!(bits & ~mask));
    if (f->store == MFF_METADATA) {
        ovs_be64 v = htonll(bits), m = f->n_bits == 32 ? OVS_BE64_MAX : htonll(mask);
        ofpact_put_set_field(&b->actions, mf_from_id(f->store), &v, &m);
    } else {
        ovs_be32 v = htonl(bits), m = htonl(mask);
        ofpact_put_set_field(&b->actions, mf_from_id(f->store), &v, &m);
    }
}

void
build_set(struct build *b, enum mf_field_id id, const void *value)
{
    ofpact_put_set_field(&b->actions, mf_from_id(id), value, NULL);
}

void
build_set_u8(struct build *b, enum mf_field_id id, uint8_t value)
{
    build_set(b, id, &value);
}

static struct mf_subfield
whole(enum mf_field_id id)
{
    const struct mf_field *field = mf_from_id(id);
    return (struct mf_subfield) { .field = field, .ofs = 0, .n_bits = field->n_bits };
}

static struct mf_subfield
part(enum flow_field field)
{
    const struct flow_field_info *f = flow_field_info(field);
    return (struct mf_subfield) { .field = mf_from_id(f->store), .ofs = f->ofs, .n_bits = f->n_bits };
}

void
build_move(struct build *b, enum mf_field_id src, enum mf_field_id dst)
{
    struct ofpact_reg_move *move = ofpact_put_REG_MOVE(&b->actions);
    move->src = whole(src);
    move->dst = whole(dst);
}

void
build_move_to_field(struct build *b, enum mf_field_id src, enum flow_field dst, unsigned int ofs)
{
    struct ofpact_reg_move *move = ofpact_put_REG_MOVE(&b->actions);
    const struct flow_field_info *f = flow_field_info(dst);

    move->src = whole(src);
    ovs_assert(ofs + move->src.n_bits <= f->n_bits);
    move->dst = (struct mf_subfield) {
        .field = mf_from_id(f->store), .ofs = f->ofs + ofs, .n_bits = move->src.n_bits,
    };
}

/* ct(), whose inner actions the caller puts behind it before end_ct(). */
static size_t
begin_ct(struct build *b, uint16_t flags, uint8_t recirc_table)
{
    size_t start = b->actions.size;
    struct ofpact_conntrack *ct = ofpact_put_CT(&b->actions);

    ct->flags = flags;
    ct->zone_src = part(CT_ZONE_FIELD);
    ct->zone_src.n_bits = CT_ZONE_BITS;
    ct->recirc_table = recirc_table;
    return start;
}

static void
end_ct(struct build *b, size_t start)
{
    struct ofpact_conntrack *ct = ofpbuf_at_assert(&b->actions, start, sizeof *ct);
    b->actions.header = ct;
    ofpact_finish_CT(&b->actions, &ct);
}

void
build_ct(struct build *b, enum pipeline_table table)
{
    size_t start = begin_ct(b, 0, table);
    ofpact_put_NAT(&b->actions);
    end_ct(b, start);
}

void
build_ct_dnat(struct build *b, const struct in6_addr *addr, uint16_t port, enum pipeline_table table)
{
    size_t start = begin_ct(b, NX_CT_F_COMMIT, table);
    struct ofpact_nat *nat = ofpact_put_NAT(&b->actions);

    nat->flags = NX_NAT_F_DST;
    if (inet_is_v4(addr)) {
        nat->range_af = AF_INET;
        nat->range.addr.ipv4.min = in6_addr_get_mapped_ipv4(addr);
    } else {
        nat->range_af = AF_INET6;
        nat->range.addr.ipv6.min = *addr;
    }
    nat->range.proto.min = port;
    end_ct(b, start);
}

/* With 'unique' conntrack may change the source port.  No range of addresses: the source address stays. */
static void
put_ct_allow(struct build *b, bool unique, uint8_t recirc_table)
{
    size_t start = begin_ct(b, NX_CT_F_COMMIT, recirc_table);
    ovs_be32 mark = htonl(CT_MARK_ALLOWED);
    if (unique) {
        ofpact_put_NAT(&b->actions)->flags = NX_NAT_F_SRC;
    }
    ofpact_put_set_field(&b->actions, mf_from_id(MFF_CT_MARK), &mark, &mark);
    end_ct(b, start);
}

void
build_ct_allow(struct build *b, enum pipeline_table table)
{
    put_ct_allow(b, false, table);
}

void
build_ct_allow_unique(struct build *b, enum pipeline_table table)
{
    put_ct_allow(b, true, table);
}

void
build_ct_allow_clone(struct build *b)
{
    size_t start = b->actions.size;
    ofpact_put_CLONE(&b->actions);
    put_ct_allow(b, false, NX_CT_RECIRC_NONE);

    struct ofpact_nest *clone = ofpbuf_at_assert(&b->actions, start, sizeof *clone);
    b->actions.header = clone;
    ofpact_finish_CLONE(&b->actions, &clone);
}

void
build_group(struct build *b, uint32_t group_id)
{
    ofpact_put_GROUP(&b->actions)->group_id = group_id;
}

void
build_hash_source(struct build *b, enum flow_field field)
{
    struct ofpact_multipath *multipath = ofpact_put_MULTIPATH(&b->actions);

    multipath->fields = NX_HASH_FIELDS_NW_SRC;
    multipath->algorithm = NX_MP_ALG_MODULO_N;
    multipath->max_link = field_max(field);
    multipath->dst = part(field);
}

void
build_resubmit(struct build *b, enum pipeline_table table)
{
    struct ofpact_resubmit *resubmit = ofpact_put_RESUBMIT(&b->actions);
    resubmit->in_port = OFPP_IN_PORT;
    resubmit->table_id = table;
}

/* Learning. */

size_t
build_learn(struct build *b, const struct build_learn *l)
{
    size_t start = b->actions.size;
    struct ofpact_learn *learn = ofpact_put_LEARN(&b->actions);

    learn->table_id = l->table;
    learn->priority = l->priority;
    learn->idle_timeout = l->idle_timeout;
    learn->hard_timeout = OFP_FLOW_PERMANENT;
    learn->cookie = htonll(l->cookie);
    learn->flags = NX_LEARN_F_DELETE_LEARNED;
    learn->limit = l->limit;
    return start;
}

static void
put_spec(struct build *b, struct mf_subfield dst, uint16_t dst_type, const struct mf_subfield *src, uint32_t value)
{
    struct ofpact_learn_spec *spec = ofpbuf_put_zeros(&b->actions, sizeof *spec);

    spec->dst = dst;
    spec->dst_type = dst_type;
    spec->n_bits = dst.n_bits;
    if (src) {
        spec->src = *src;
        spec->src_type = NX_LEARN_SRC_FIELD;
    } else {
        ovs_be32 bits = htonl(value);
        size_t n = DIV_ROUND_UP(dst.n_bits, 8);
        ovs_assert(n <= sizeof bits);
        spec->src_type = NX_LEARN_SRC_IMMEDIATE;
        memcpy(ofpbuf_put_zeros(&b->actions, OFPACT_ALIGN(n)), (char *) &bits + sizeof bits - n, n);
    }
}

void
build_learn_match(struct build *b, enum mf_field_id id, uint32_t value)
{
    put_spec(b, whole(id), NX_LEARN_DST_MATCH, NULL, value);
}

void
build_learn_match_own(struct build *b, enum mf_field_id id)
{
    struct mf_subfield field = whole(id);
    put_spec(b, field, NX_LEARN_DST_MATCH, &field, 0);
}

void
build_learn_match_field(struct build *b, enum flow_field field, uint32_t value)
{
    put_spec(b, part(field), NX_LEARN_DST_MATCH, NULL, value);
}

void
build_learn_load(struct build *b, enum flow_field field, uint32_t value)
{
    put_spec(b, part(field), NX_LEARN_DST_LOAD, NULL, value);
}

void
build_learn_end(struct build *b, size_t start)
{
    struct ofpact_learn *learn = ofpbuf_at_assert(&b->actions, start, sizeof *learn);
    b->actions.header = learn;
    ofpact_finish_LEARN(&b->actions, &learn);
}

void
build_conjunction(struct build *b, uint32_t id, uint8_t k, uint8_t n)
{
    struct ofpact_conjunction *conjunction = ofpact_put_CONJUNCTION(&b->actions);

    conjunction->id = id;
    conjunction->clause = k - 1;
    conjunction->n_clauses = n;
}

void
build_move_bits_to_field(struct build *b, enum mf_field_id src, unsigned int src_ofs, enum flow_field dst)
{
    struct ofpact_reg_move *move = ofpact_put_REG_MOVE(&b->actions);

    move->dst = part(dst);
    move->src = whole(src);
    move->src.ofs = src_ofs;
    move->src.n_bits = move->dst.n_bits;
}

void
build_dec_ttl(struct build *b)
{
    const uint16_t controller_id = 0;
    struct ofpact_cnt_ids *ids = ofpact_put_DEC_TTL(&b->actions);

    ids->n_controllers = 1;
    ofpbuf_put(&b->actions, &controller_id, sizeof controller_id);
    ids = b->actions.header;
    ofpact_finish_DEC_TTL(&b->actions, &ids);
}

void
build_measure(struct build *b, uint16_t mtu)
{
    struct ofpact_check_pkt_larger *check = ofpact_put_CHECK_PKT_LARGER(&b->actions);
    unsigned int len = mtu + ETH_HEADER_LEN;

    check->pkt_len = MIN(len, UINT16_MAX);
    check->dst = part(FIELD_TOO_BIG);
}

void
build_output_in_port(struct build *b)
{
    ofpact_put_OUTPUT(&b->actions)->port = OFPP_IN_PORT;
}

void
build_output_field(struct build *b, enum flow_field field)
{
    struct ofpact_output_reg *output = ofpact_put_OUTPUT_REG(&b->actions);
    output->max_len = UINT16_MAX;
    output->src = part(field);
}

void
build_punt(struct build *b, enum punt_code code, enum flow_meter_id meter, uint16_t mtu)
{
    struct punt punt = { .code = code, .mtu = htons(mtu) };
    struct ofpact_controller *controller = ofpact_put_CONTROLLER(&b->actions);

    controller->max_len = code == PUNT_DNS ? UINT16_MAX : PUNT_MAX_LEN;
    controller->controller_id = 0;
    controller->reason = OFPR_ACTION;
    controller->meter_id = meter;
    ofpbuf_put(&b->actions, &punt, sizeof punt);
    controller = b->actions.header;
    controller->userdata_len = sizeof punt;
    ofpact_finish_CONTROLLER(&b->actions, &controller);
}

void
build_goto(struct build *b, enum pipeline_table table)
{
    ofpact_put_GOTO_TABLE(&b->actions)->table_id = table;
}
