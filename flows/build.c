#include <config.h>

#include "build.h"

#include <netinet/icmp6.h>
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

static void
put_ct(struct build *b, uint16_t flags, uint8_t recirc_table)
{
    struct ofpact_conntrack *ct = ofpact_put_CT(&b->actions);

    ct->flags = flags;
    ct->zone_src = part(CT_ZONE_FIELD);
    ct->zone_src.n_bits = CT_ZONE_BITS;
    ct->recirc_table = recirc_table;
    ofpact_finish(&b->actions, &ct->ofpact);
}

void
build_ct(struct build *b, bool commit, enum pipeline_table table)
{
    put_ct(b, commit ? NX_CT_F_COMMIT : 0, table);
}

void
build_ct_commit(struct build *b)
{
    size_t start = b->actions.size;
    ofpact_put_CLONE(&b->actions);
    put_ct(b, NX_CT_F_COMMIT, NX_CT_RECIRC_NONE);

    struct ofpact_nest *clone = ofpbuf_at_assert(&b->actions, start, sizeof *clone);
    b->actions.header = clone;
    ofpact_finish_CLONE(&b->actions, &clone);
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
