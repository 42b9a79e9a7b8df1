/* controller/ct-entry.h: lines of "dpctl/dump-conntrack", as Open vSwitch 3.1 prints them.  services 24. */

#include <config.h>

#include <string.h>

#include "controller/ct-entry.h"
#include "inet.h"
#include "unit.h"
#include "util.h"

static void
expect(const char *line, uint8_t protocol, const char *client, uint16_t client_port, const char *vip, uint16_t vip_port,
       const char *endpoint, uint16_t endpoint_port)
{
    struct in6_addr want[] = { inet_addr_constant(client), inet_addr_constant(vip), inet_addr_constant(endpoint) };
    struct ct_entry e;

    ck_assert_msg(ct_entry_parse(line, strlen(line), &e), "%s", line);
    ck_assert_msg(e.protocol == protocol && e.client_port == client_port && e.vip_port == vip_port
                  && e.endpoint_port == endpoint_port, "%s", line);
    ck_assert_msg(!memcmp(&e.client, &want[0], sizeof want[0]) && !memcmp(&e.vip, &want[1], sizeof want[1])
                  && !memcmp(&e.endpoint, &want[2], sizeof want[2]), "%s", line);
}

START_TEST(test_lines)
{
    expect("udp,orig=(src=10.0.0.1,dst=10.96.0.10,sport=4000,dport=53),reply=(src=10.0.1.2,dst=10.0.0.1,sport=5353,dport=4000),"
           "zone=1,mark=1", IPPROTO_UDP, "10.0.0.1", 4000, "10.96.0.10", 53, "10.0.1.2", 5353);
    expect("udp,orig=(src=fd00::1,dst=fd01::a,sport=4000,dport=53),reply=(src=fd00::2,dst=fd00::1,sport=53,dport=4000)",
           IPPROTO_UDP, "fd00::1", 4000, "fd01::a", 53, "fd00::2", 53);
    expect("sctp,orig=(src=10.0.0.1,dst=10.96.0.10,sport=0,dport=53),reply=(src=10.0.1.2,dst=10.0.0.1,sport=65535,dport=4000),zone=1,"
           "protoinfo=(state=ESTABLISHED,vtag_orig=1,vtag_reply=2)", IPPROTO_SCTP, "10.0.0.1", 0, "10.96.0.10", 53, "10.0.1.2", 65535);
}
END_TEST

#define ADDRS "src=10.0.0.1,dst=10.96.0.10"
#define PORTS ",sport=4000,dport=53)"

START_TEST(test_others)
{
    static const char *const lines[] = {
        "", "udp", "udp,", "udp,orig=(", "udp,orig=(" ADDRS PORTS, "udp,orig=(" ADDRS PORTS ",reply=(" ADDRS ",sport=1,dport=2",
        "tcp,orig=(" ADDRS PORTS ",reply=(" ADDRS PORTS, "udplite,orig=(" ADDRS PORTS ",reply=(" ADDRS PORTS,
        "udp,orig=(" ADDRS ",sport=4000,dport=65536),reply=(" ADDRS PORTS, "udp,orig=(" ADDRS ",sport=-1,dport=5),reply=(" ADDRS PORTS,
        "udp,orig=(src=10.0.0.256,dst=10.96.0.10" PORTS ",reply=(" ADDRS PORTS, "udp,orig=(" ADDRS PORTS ",reply=(src=fd00::1,dst=fd00::2" PORTS,
        "icmp,orig=(" ADDRS ",id=1,type=8,code=0),reply=(" ADDRS ",id=1,type=0,code=0)",
    };
    struct ct_entry e;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        ck_assert_msg(!ct_entry_parse(lines[i], strlen(lines[i]), &e), "%s", lines[i]);
    }
    const char *good = "udp,orig=(" ADDRS PORTS ",reply=(" ADDRS PORTS;
    ck_assert(ct_entry_parse(good, strlen(good), &e));
    ck_assert(!ct_entry_parse(good, strlen(good) - 1, &e));    /* 'n' counts, not what is behind. */
}
END_TEST

START_TEST(test_count)
{
    unsigned int n_all = 1, n_ours = 1;

    ck_assert(ct_count_parse("Connections Stats:\n    Total: 300\n  TCP: 200\n  UDP: 60\n  UDPLITE: 5\n  SCTP: 30\n  ICMP: 5\n\n",
                             &n_all, &n_ours));
    ck_assert(n_all == 300 && n_ours == 90);
    ck_assert(ct_count_parse("Connections Stats:\n    Total: 7\n  UDPLITE: 7\n", &n_all, &n_ours));
    ck_assert(n_all == 7 && n_ours == 0);
    ck_assert(!ct_count_parse("", &n_all, &n_ours) && !ct_count_parse("no datapaths exist", &n_all, &n_ours));
}
END_TEST

UNIT_MAIN("ct-entry", {
    tcase_add_test(tc, test_lines);
    tcase_add_test(tc, test_others);
    tcase_add_test(tc, test_count);
})
