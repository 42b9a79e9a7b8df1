/* Prints flows/PIPELINE.md from flows/pipeline.h, flows/fields.h and the compiler.  "make update-pipeline-doc" writes
 * it; "make check" fails when the file is not what this prints. */

#include <config.h>

#include <stdio.h>

#include "compile.h"
#include "fields.h"
#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "pipeline.h"
#include "policy-flow.h"
#include "util.h"

/* The node of the listings: one pod, one peer. */

/* A rule of egress of tier Admin and one of ingress of a NetworkPolicy, as the policy core would make them. */

static void
add_clause(struct flow_set *out, enum flow_direction direction, enum flow_clause_kind kind, uint32_t number,
           struct flow_conj conj)
{
    struct flow_clause clause = {
        .direction = direction, .tier = direction == FLOW_EGRESS ? FLOW_TIER_ADMIN : FLOW_TIER_POLICY,
        .level = direction == FLOW_EGRESS ? flow_level_cnp(10, 0, FLOW_DENY) : flow_level_np(conj.id),
        .kind = kind, .number = number, .conjs = &conj, .n_conjs = 1,
    };
    if (kind == FLOW_CLAUSE_L4) {
        clause.l4 = (struct flow_l4) { FLOW_L4(IPPROTO_TCP, number), FLOW_L4(0xff, 0xffff) };
    }
    flow_set_add_nocopy(out, flow_make_clause(&clause));
}

static void
add_rule(struct flow_set *out, enum flow_direction direction, enum flow_action action, uint32_t conj_id)
{
    struct flow_rule rule = {
        .direction = direction, .tier = direction == FLOW_EGRESS ? FLOW_TIER_ADMIN : FLOW_TIER_POLICY,
        .level = direction == FLOW_EGRESS ? flow_level_cnp(10, 0, FLOW_DENY) : flow_level_np(conj_id),
        .conj_id = conj_id, .action = action, .cookie = flow_rule_cookie(conj_id),
    };
    flow_set_add_nocopy(out, flow_make_rule(&rule));
}

static void
add_policy(struct flow_set *out)
{
    struct inet_prefix denied = inet_cidr_constant("192.0.2.0/24"), allowed = inet_cidr_constant("10.244.2.7/32");

    flow_set_add_nocopy(out, flow_make_address(FLOW_EGRESS, FLOW_NETWORK_DEFAULT, &denied, 0xe1));
    add_clause(out, FLOW_EGRESS, FLOW_CLAUSE_SUBJECT, 0xa1, (struct flow_conj) { 0x100, 1, 2 });
    add_clause(out, FLOW_EGRESS, FLOW_CLAUSE_PEER, 0xe1, (struct flow_conj) { 0x100, 2, 2 });
    add_rule(out, FLOW_EGRESS, FLOW_DENY, 0x100);

    flow_set_add_nocopy(out, flow_make_address(FLOW_INGRESS, FLOW_NETWORK_DEFAULT, &allowed, 0xf1));
    add_clause(out, FLOW_INGRESS, FLOW_CLAUSE_SUBJECT, 0xb1, (struct flow_conj) { 0x203, 1, 3 });
    add_clause(out, FLOW_INGRESS, FLOW_CLAUSE_PEER, 0xf1, (struct flow_conj) { 0x203, 2, 3 });
    add_clause(out, FLOW_INGRESS, FLOW_CLAUSE_L4, 80, (struct flow_conj) { 0x203, 3, 3 });
    add_rule(out, FLOW_INGRESS, FLOW_ACCEPT, 0x203);
}

static void
compile_example(struct flow_set *out)
{
    struct inet_prefix own[] = { inet_cidr_constant("10.244.1.0/24"), inet_cidr_constant("fd00:10:244:1::/64") };
    struct in6_addr gateways[] = { inet_addr_constant("10.244.1.1"), inet_addr_constant("fd00:10:244:1::1") };
    struct in6_addr addrs[] = { inet_addr_constant("10.244.1.5"), inet_addr_constant("fd00:10:244:1::5") };
    struct inet_prefix others[] = { inet_cidr_constant("10.244.2.0/24"), inet_cidr_constant("fd00:10:244:2::/64") };
    struct flow_pod pod = {
        .owner = "Pod/default/web-0/eth0", .network = FLOW_NETWORK_DEFAULT, .ofport = u16_to_ofp(10),
        .mac = ETH_ADDR_C(0a,00,00,00,01,05), .addrs = addrs, .n_addrs = ARRAY_SIZE(addrs),
        .policy = { .subject = { 0xa1, 0xb1 }, .isolated = { false, true }, .log = FLOW_LOG_DROPS },
    };
    struct flow_peer peer = {
        .owner = "Node/node-2", .reach = FLOW_REACH_TUNNEL, .tunnel_dst = inet_addr_constant("192.168.0.2"),
        .pod_cidrs = others, .n_pod_cidrs = ARRAY_SIZE(others),
    };
    struct flow_input input = {
        .local = {
            .name = "node-1", .mtu = 1450,
            .router_mac = ETH_ADDR_C(02,73,6c,00,00,01), .gateway_mac = ETH_ADDR_C(02,73,6c,00,00,02),
            .own_mac = ETH_ADDR_C(02,73,6c,00,00,03),
            .gateway_port = u16_to_ofp(2), .tunnel_port = u16_to_ofp(1), .tunnel_udp = 6081,
            .pod_cidrs = own, .n_pod_cidrs = ARRAY_SIZE(own),
            .gateway_addrs = gateways, .n_gateway_addrs = ARRAY_SIZE(gateways),
        },
        .pods = &pod, .n_pods = 1, .peers = &peer, .n_peers = 1,
    };
    compile(&input, out);
    add_policy(out);
    flow_set_sort(out);
}

static void
print_tables(void)
{
    printf("## Tables\n\n| table | name | decides |\n|---|---|---|\n");
#define TABLE(NUMBER, NAME, DECIDES) printf("| %d | %s | %s |\n", NUMBER, #NAME, DECIDES);
    PIPELINE
#undef TABLE
}

static const char *
store_text(const struct flow_field_info *f)
{
    return f->store == MFF_METADATA ? "metadata" : mf_from_id(f->store)->name;
}

static void
print_fields(void)
{
    printf("\n## Registers\n\n| field | bits | written in | last read in | meaning |\n|---|---|---|---|---|\n");
    for (int i = 0; i < N_FLOW_FIELDS; i++) {
        const struct flow_field_info *f = flow_field_info(i);
        printf("| %s | %s[%d..%d] | %s | %s | %s |\n", f->name, store_text(f), f->ofs, f->ofs + f->n_bits - 1,
               pipeline_table_name(f->writer), pipeline_table_name(f->last_reader), f->meaning);
    }
    printf("\nSOURCE: %d a pod, %d the tunnel, %d the gateway port, %d the router itself (what the controller "
           "injects), %d the gateway port, but only\nforwarded by the node.\n"
           "DEST: %d a local pod, %d through the tunnel, %d the node's gateway address, %d outside.\n",
           SOURCE_POD, SOURCE_TUNNEL, SOURCE_GATEWAY, SOURCE_ROUTER, SOURCE_FORWARDED,
           DEST_POD, DEST_TUNNEL, DEST_NODE, DEST_OUTSIDE);
}

static void
print_controller(void)
{
    printf("\n## To the controller\n\n"
           "Four bytes of userdata: code, 0, MTU (16 bits).  The answer to 1, 2 and 6 enters L3_FORWARD with SOURCE "
           "%d.\n\n"
           "| code | what | answer |\n|---|---|---|\n"
           "| %d | the last hop was this one | ICMP time exceeded |\n"
           "| %d | larger than the pods' MTU | ICMP fragmentation needed, packet too big |\n"
           "| %d | neighbour solicitation, where the datapath cannot answer (kernel) | neighbour advertisement |\n"
           "| %d | to a Service that nobody serves | TCP reset, ICMP port unreachable |\n\n"
           "| meter | packets a second | burst | for |\n|---|---|---|---|\n",
           SOURCE_ROUTER, PUNT_TIME_EXCEEDED, PUNT_TOO_BIG, PUNT_ND_SOLICIT,
           PUNT_REJECT);
#define METER(NAME, ID, RATE, BURST, MEANING) printf("| %d | %d | %d | %s |\n", ID, RATE, BURST, MEANING);
    METERS
#undef METER
}

static void
print_priorities(int table)
{
    printf("| priority | name | for |\n|---|---|---|\n");
#define PRIORITY(TABLE, NAME, VALUE, TEXT)                                                                             \
    if (table == TABLE_##TABLE) {                                                                                      \
        printf("| %d | %s | %s |\n", VALUE, #NAME, TEXT);                                                              \
    }
    PRIORITIES
#undef PRIORITY
}

/* The flows of one table without the cookies, which say nothing here. */
static void
print_flows(const struct flow_set *set, int table)
{
    printf("\n```\n");
    for (size_t i = 0; i < set->n_flows; i++) {
        const struct flow_entry *e = set->flows[i];
        if (e->table_id == table) {
            struct ds ds = DS_EMPTY_INITIALIZER;
            flow_entry_format(e, true, &ds);
            char *match = strstr(ds_cstr(&ds), "cookie=") + strcspn(strstr(ds_cstr(&ds), "cookie="), ", ");
            printf("priority=%d%s\n", e->priority, match);
            ds_destroy(&ds);
        }
    }
    printf("```\n");
}

int
main(void)
{
    struct flow_set set = FLOW_SET_INIT;
    compile_example(&set);

    printf("# The pipeline on br-int\n\n"
           "Printed by flows/pipeline-doc.c from flows/pipeline.h, flows/fields.h and the compiler: change those, "
           "then\n`make update-pipeline-doc`.  The essay of each table stands at the top of flows/table-NAME.c.\n\n"
           "A packet enters CLASSIFY and only ever goes to a later table.  A priority is used once in a table, so the "
           "counter\nof a drop has a name.  There is no connection tracking between endpoints that no policy and no "
           "Service concerns.\n\n");
    print_tables();
    print_fields();
    print_controller();
    printf("\n## Flows\n\n"
           "Of node-1 (pod CIDRs 10.244.1.0/24 and fd00:10:244:1::/64, tunnel port 1, gateway port 2, MTU 1450) with "
           "the pod\ndefault/web-0 (port 10) and the peer node-2 (192.168.0.2).  Cookies are left out.\n\n"
           "Two policies select the pod: a ClusterNetworkPolicy of tier Admin denies it 192.0.2.0/24 (conjunction "
           "0x100), and by a\nNetworkPolicy only 10.244.2.7 may reach it, on TCP port 80 (conjunction 0x203).  A pod "
           "without policies has nothing in the\ntables from TRACK to EGRESS_VERDICT and from SRC_IDENTITY to "
           "CT_COMMIT, and its packets meet only TRACK.\n");
    for (int t = pipeline_next_table(0); t >= 0; t = pipeline_next_table(t + 1)) {
        printf("\n### %d %s\n\n%s\n\n", t, pipeline_table_name(t), pipeline_table_decides(t));
        print_priorities(t);
        print_flows(&set, t);
    }
    flow_set_destroy(&set);
    return 0;
}
