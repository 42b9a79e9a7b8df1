/* What the node's stack does for Services, with packets: root, and network namespaces of its own only.
 *
 *   outside --- eth0, the node, sluice0 --- "br-int": a namespace that has every Service's address itself and tells who asks
 *
 * Servers answer with the address that they see as client's. */

#include <config.h>

#include <signal.h>
#include <sys/prctl.h>

#include "controller/services.h"
#include "hostnet-test.h"
#include "openvswitch/vlog.h"

#define GW4 "10.244.1.1"
#define GW6 "fd00:10:244:1::1"
#define OUT4 "192.0.2.1"
#define OUT6 "2001:db8::1"

struct lab {
    struct fixture f;
    int br_int;
    struct hostnet *h;
};

/* TCP and UDP on the ports, any address, until the test ends. */
static void
serve(int netns, const char *ports)
{
    static const char script[] =
        "import socket, sys, threading\n"
        "def tcp(p):\n"
        "    s = socket.create_server(('::', p), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)\n"
        "    while True:\n"
        "        c, a = s.accept(); c.sendall(a[0].encode()); c.close()\n"
        "def udp(p, family, any):\n"
        "    s = socket.socket(family, socket.SOCK_DGRAM)\n"
        "    if family == socket.AF_INET6:\n"
        "        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
        "        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)\n"
        "    else:\n"
        "        s.setsockopt(socket.IPPROTO_IP, 8, 1)\n"    /* IP_PKTINFO: answer from the address that was asked. */
        "    s.bind((any, p))\n"
        "    while True:\n"
        "        d, anc, fl, a = s.recvmsg(2048, 256)\n"
        "        if family == socket.AF_INET:\n"
        "            info = anc[0][2]; info = bytes(4) + info[8:12] + bytes(4)\n"
        "        else:\n"
        "            info = anc[0][2]\n"
        "        s.sendmsg([a[0].encode()], [(anc[0][0], anc[0][1], info)], 0, a)\n"
        "for p in sys.argv[1].split(','):\n"
        "    for t in ((tcp, int(p)), (udp, int(p), socket.AF_INET, '0.0.0.0'), (udp, int(p), socket.AF_INET6, '::')):\n"
        "        threading.Thread(target=t[0], args=t[1:]).start()\n";
    int own = test_own_netns();

    if (netns >= 0) {
        ck_assert_int_eq(setns(netns, CLONE_NEWNET), 0);
    }
    if (!fork()) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("python3", "python3", "-c", script, ports, (char *) NULL);
        _exit(127);
    }
    char *wait = xasprintf("for i in $(seq 100); do test $(ss -Hltun | grep -c ':%s\\b') -ge 3 && exit; sleep 0.05; done; exit 1",
                           strrchr(ports, ',') ? strrchr(ports, ',') + 1 : ports);
    ck_assert_msg(!system(wait), "the server at %s did not start", ports);
    free(wait);
    ck_assert_int_eq(setns(own, CLONE_NEWNET), 0);
    close(own);
}

/* What the server at (addr, port) sees as the client, or "-" after 'timeout' seconds. */
static const char *
ask_from(int netns, const char *proto, const char *addr, int port, int source_port, int timeout)
{
    static char answer[64];
    int own = test_own_netns();
    char *command = xasprintf(
        "python3 -E -S -c 'import socket\n"
        "a = (\"%s\", %d)\n"
        "s = socket.socket(socket.AF_INET6 if \":\" in a[0] else socket.AF_INET, socket.SOCK_%s)\n"
        "s.settimeout(%d)\n"
        "try:\n"
        "    if %d: s.bind((\"\", %d))\n"
        "    s.connect(a); s.send(b\"x\") if s.type == socket.SOCK_DGRAM else 0; print(s.recv(100).decode().replace(\"::ffff:\", \"\"))\n"
        "except OSError as e:\n"
        "    print(\"-\")'", addr, port, strcmp(proto, "tcp") ? "DGRAM" : "STREAM", timeout, source_port, source_port);

    if (netns >= 0) {
        ck_assert_int_eq(setns(netns, CLONE_NEWNET), 0);
    }
    char *text = capture(command);
    ck_assert_int_eq(setns(own, CLONE_NEWNET), 0);
    close(own);
    text[strcspn(text, "\n")] = '\0';
    ovs_strlcpy(answer, text, sizeof answer);
    free(text);
    free(command);
    return answer;
}

/* A machine may be busy; but what is not to come is not waited for long. */
#define PATIENCE(CLIENT) (strcmp(CLIENT, "-") ? 10 : 1)

#define ASSERT_ASK(NETNS, PROTO, ADDR, PORT, CLIENT) do {                                                               \
        const char *answer_ = ask_from(NETNS, PROTO, ADDR, PORT, 0, PATIENCE(CLIENT));                         \
        ck_assert_msg(!strcmp(answer_, CLIENT), "%s to %s port %d: %s instead of %s", PROTO, ADDR, PORT, answer_, CLIENT); \
    } while (0)

#define ASSERT_ASK_BOTH(NETNS, ADDR, PORT, CLIENT) do {                                                                \
        ASSERT_ASK(NETNS, "tcp", ADDR, PORT, CLIENT);                                                                  \
        ASSERT_ASK(NETNS, "udp", ADDR, PORT, CLIENT);                                                                  \
    } while (0)

static struct service_host
host_of(enum service_host_kind kind, const char *addr, int protocol, int port)
{
    struct service_host host = { .kind = kind, .protocol = protocol, .port = port };
    ck_assert_int_eq(inet_addr_parse(addr, &host.addr, NULL), 0);
    return host;
}

static void
put(struct lab *lab, enum service_host_kind kind, const char *addr, int port, bool keep_source, const char *alias)
{
    static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
    for (size_t i = 0; i < (kind == SERVICE_HOST_CLUSTER ? 1 : ARRAY_SIZE(protocols)); i++) {
        struct service_host host = host_of(kind, addr, kind == SERVICE_HOST_CLUSTER ? 0 : protocols[i], port);
        host.keep_source = keep_source;
        if (alias) {
            host.has_alias = true;
            ck_assert_int_eq(inet_addr_parse(alias, &host.alias, NULL), 0);
        }
        hostnet_put_service(lab->h, &host);
    }
}

static void
drop(struct lab *lab, enum service_host_kind kind, const char *addr, int port)
{
    static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        struct service_host host = host_of(kind, addr, protocols[i], port);
        hostnet_drop_service(lab->h, &host);
    }
}

/* Until all changes are installed. */
static void
settle(struct lab *lab)
{
    long long int deadline = time_msec() + TIMEOUT_MS;
    while (hostnet_run(lab->h), !hostnet_is_settled(lab->h)) {
        ck_assert_msg(time_msec() < deadline, "not settled: %s", hostnet_problem(lab->h) ? hostnet_problem(lab->h) : "-");
        hostnet_wait(lab->h);
        poll_timer_wait_until(deadline);
        poll_block();
    }
}

static void
lab_init(struct lab *lab)
{
    static const struct eth_addr own_mac = ETH_ADDR_C(0a,53,4c,00,00,03);
    static struct inet_prefix service_cidrs[2];
    struct fixture *f = &lab->f;

    fixture_init(f);
    lab->br_int = test_new_netns();
    f->config.mtu = 1500;
    f->config.own_mac = own_mac;
    service_cidrs[0] = prefix("10.96.0.0/16");
    service_cidrs[1] = prefix("fd00:96::/112");
    f->config.service_cidrs = service_cidrs;
    f->config.n_service_cidrs = 2;
    ck_assert(!test_sh(-1, "ip link add sluice0 type veth peer name eth0 netns /proc/%d/fd/%d", getpid(), lab->br_int));
    ck_assert(!test_sh(-1, "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 1 > /proc/sys/net/ipv4/conf/sluice0/rp_filter"));
    ck_assert(!test_sh(lab->br_int, "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
                       "ip link set lo up; ip link set eth0 up; ip addr add 169.254.192.2/32 dev eth0;"
                       "ip addr add fd53:4c00:0:1::2/128 dev eth0 nodad; ip addr add 10.244.1.9/32 dev eth0;"
                       "for a in 10.96.0.1 203.0.113.9 169.254.192.3 169.254.193.1; do ip addr add $a/32 dev lo; done;"
                       "for a in fd00:96::1 2001:db8:9::9 fd53:4c00:0:1::3 fd53:4c00:0:1::1:1; do ip addr add $a/128 dev lo nodad; done;"
                       "ip route add default via " GW4 " dev eth0 onlink; ip -6 route add default via " GW6 " dev eth0 onlink"));
    /* Outside the node is the router to Services. */
    ck_assert(!test_sh(f->outside, "ip route add 10.96.0.0/16 via 192.0.2.5; ip route add 203.0.113.0/24 via 192.0.2.5;"
                       "ip -6 route add fd00:96::/112 via 2001:db8::5; ip -6 route add 2001:db8:9::/64 via 2001:db8::5"));
    ck_assert(!test_sh(-1, "ip -6 route add default via 2001:db8::1"));
    lab->h = start(f);
}

static void
lab_destroy(struct lab *lab)
{
    hostnet_destroy(lab->h);
    fixture_destroy(&lab->f);
}

static bool
has_local(const struct lab *lab, const char *text)
{
    struct in6_addr addr;
    size_t n;
    const struct in6_addr *addrs = hostnet_local_addrs(lab->h, &n);

    ck_assert_int_eq(inet_addr_parse(text, &addr, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        if (IN6_ARE_ADDR_EQUAL(&addrs[i], &addr)) {
            return true;
        }
    }
    return false;
}

/* services 6, 11, 12, 13, 16, 17: who is seen as client, of both families, TCP and UDP. */
START_TEST(test_ways)
{
    struct lab lab;

    lab_init(&lab);
    serve(lab.br_int, "80,30080,30081,30083");
    put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.1", 0, false, NULL);
    put(&lab, SERVICE_HOST_CLUSTER, "fd00:96::1", 0, false, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080, false, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "::", 30080, false, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30081, true, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "::", 30081, true, NULL);
    put(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.9", 80, false, "169.254.193.1");
    put(&lab, SERVICE_HOST_EXTERNAL, "2001:db8:9::9", 80, true, "fd53:4c00:0:1::1:1");
    settle(&lab);
    if (getenv("VERBOSE")) {
        test_sh(-1, "nft list table inet sluice; ip rule; ip route show table 21324; ip route; ip -6 route");
    }

    static const struct { const char *addr; int port; const char *own, *outside; } ways[] = {
        { "10.96.0.1", 80, GW4, GW4 }, { "fd00:96::1", 80, GW6, GW6 },
        { "192.0.2.5", 30080, GW4, GW4 }, { "2001:db8::5", 30080, GW6, GW6 },
        { "192.0.2.5", 30081, GW4, OUT4 }, { "2001:db8::5", 30081, GW6, OUT6 },
        { "203.0.113.9", 80, GW4, GW4 }, { "2001:db8:9::9", 80, GW6, OUT6 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        ASSERT_ASK_BOTH(-1, ways[i].addr, ways[i].port, ways[i].own);
        ASSERT_ASK_BOTH(lab.f.outside, ways[i].addr, ways[i].port, ways[i].outside);
    }
    /* The addresses of the link are nobody's to speak to or from. */
    ck_assert(!test_sh(lab.f.outside, "ip route add 169.254.192.0/18 via 192.0.2.5; ip -6 route add fd53:4c00:0:1::/64 via 2001:db8::5;"
                       "ip addr add 169.254.192.1/32 dev lo; ip addr add fd53:4c00:0:1::1/128 dev lo"));
    static const struct { const char *addr; int port; } links[] = {
        { "169.254.192.3", 30080 }, { "fd53:4c00:0:1::3", 30080 }, { "169.254.193.1", 80 }, { "fd53:4c00:0:1::1:1", 80 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        ASSERT_ASK_BOTH(-1, links[i].addr, links[i].port, strchr(links[i].addr, ':') ? GW6 : GW4);
        ASSERT_ASK_BOTH(lab.f.outside, links[i].addr, links[i].port, "-");
    }
    ck_assert(!test_sh(-1, "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter"));
    ck_assert(!test_sh(lab.br_int, "nft 'table inet t { chain c { type filter hook prerouting priority -300; "
                       "ip saddr 169.254.192.1 counter comment \"x\"; ip6 saddr fd53:4c00:0:1::1 counter comment \"x\"; }; }'"));
    ck_assert(test_sh(lab.f.outside, "ping -q -c1 -W1 -I 169.254.192.1 10.244.1.9 >/dev/null 2>&1"));
    ck_assert(test_sh(lab.f.outside, "ping -q -c1 -W1 -I fd53:4c00:0:1::1 fd53:4c00:0:1::2 >/dev/null 2>&1"));
    ck_assert(!test_sh(lab.br_int, "! nft list table inet t | grep comment | grep -qv 'packets 0 '; s=$?; nft delete table inet t; exit $s"));
    ck_assert(!test_sh(lab.f.outside, "ip addr del 169.254.192.1/32 dev lo; ip addr del fd53:4c00:0:1::1/128 dev lo"));
    /* Not at loopback addresses, and no other ports. */
    ASSERT_ASK(-1, "tcp", "127.0.0.1", 30080, "-");
    /* But for a pod's port at one (services 31): the node's own alone. */
    put(&lab, SERVICE_HOST_EXTERNAL, "127.0.0.1", 30083, false, "169.254.193.1");
    run(lab.h, false, 100);
    ASSERT_ASK_BOTH(-1, "127.0.0.1", 30083, GW4);
    ASSERT_ASK(-1, "tcp", "127.0.0.2", 30083, "-");
    ck_assert(!test_sh(lab.f.outside, "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 192.0.2.5; "
                       "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"));
    ASSERT_ASK_BOTH(lab.f.outside, "127.0.0.1", 30083, "-");
    ck_assert(!test_sh(lab.f.outside, "ip route del 127.0.0.1/32; ip addr add 127.0.0.1/8 dev lo"));
    ASSERT_ASK(lab.f.outside, "tcp", "192.0.2.5", 30082, "-");
    ASSERT_ASK(lab.f.outside, "tcp", "203.0.113.9", 30080, "-");

    /* The external addresses are the node's: the same, by their aliases. */
    unsigned int seqno = hostnet_seqno(lab.h);
    ck_assert(!has_local(&lab, "203.0.113.9") && has_local(&lab, "192.0.2.5") && has_local(&lab, "2001:db8::5"));
    ck_assert(!test_sh(-1, "ip addr add 203.0.113.9/32 dev lo; ip addr add 2001:db8:9::9/128 dev lo nodad"));
    ck_assert(!test_sh(lab.br_int, "ip addr del 203.0.113.9/32 dev lo; ip addr del 2001:db8:9::9/128 dev lo"));
    run(lab.h, false, 100);
    ck_assert(has_local(&lab, "203.0.113.9") && has_local(&lab, "2001:db8:9::9") && !has_local(&lab, "127.0.0.1"));
    ck_assert_uint_ne(hostnet_seqno(lab.h), seqno);
    for (size_t i = 6; i < ARRAY_SIZE(ways); i++) {
        ASSERT_ASK_BOTH(-1, ways[i].addr, ways[i].port, ways[i].own);
        ASSERT_ASK_BOTH(lab.f.outside, ways[i].addr, ways[i].port, ways[i].outside);
    }
    lab_destroy(&lab);
}
END_TEST

/* services 18: who is in no range is dropped, the node itself is not asked.  Ranges change, and go. */
START_TEST(test_ranges)
{
    struct inet_prefix ranges[] = { prefix("198.51.100.0/24"), prefix("192.0.2.1/32") };
    struct lab lab;

    lab_init(&lab);
    serve(lab.br_int, "80,81");
    for (size_t n = 1; n <= 2; n++) {
        struct service_host host = host_of(SERVICE_HOST_EXTERNAL, "203.0.113.9", IPPROTO_TCP, 80);

        host.src = ranges;
        host.n_src = n;
        hostnet_put_service(lab.h, &host);
        put(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.9", 81, false, NULL);
        settle(&lab);
        ASSERT_ASK(-1, "tcp", "203.0.113.9", 80, GW4);
        ASSERT_ASK(lab.f.outside, "tcp", "203.0.113.9", 80, n == 1 ? "-" : GW4);
        ASSERT_ASK(lab.f.outside, "tcp", "203.0.113.9", 81, GW4);
    }
    struct service_host host = host_of(SERVICE_HOST_EXTERNAL, "203.0.113.9", IPPROTO_TCP, 80);
    host.src = ranges;
    host.n_src = 1;
    host.has_alias = true;              /* A local address, which a load balancer's may be. */
    ck_assert_int_eq(inet_addr_parse("169.254.193.1", &host.alias, NULL), 0);
    hostnet_put_service(lab.h, &host);
    ck_assert(!test_sh(-1, "ip addr add 203.0.113.9/32 dev lo"));
    settle(&lab);
    ASSERT_ASK(lab.f.outside, "tcp", "203.0.113.9", 80, "-");
    host.n_src = 0;
    hostnet_put_service(lab.h, &host);
    settle(&lab);
    ASSERT_ASK(lab.f.outside, "tcp", "203.0.113.9", 80, GW4);
    ck_assert(!test_sh(-1, "! nft list set inet sluice range_v4 | grep -q elements"));

    /* Ranges within ranges, twice the same, everything; a restart finds them as they are. */
    struct inet_prefix many[] = { prefix("10.0.0.0/8"), prefix("192.0.0.0/16"), prefix("192.0.2.1/32"), prefix("10.9.0.0/16"),
                                  prefix("10.9.0.0/16"), prefix("0.0.0.0/0") };
    char *before = NULL;
    for (size_t n = 4; n <= 7; n++) {
        host.src = many;
        host.n_src = MIN(n, ARRAY_SIZE(many));
        if (n == 7) {
            before = capture("nft -a list table inet sluice");
            hostnet_destroy(lab.h);
            lab.h = start(&lab.f);
            put(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.9", 81, false, NULL);
        }
        hostnet_put_service(lab.h, &host);
        settle(&lab);
        ASSERT_ASK(lab.f.outside, "tcp", "203.0.113.9", 80, GW4);
    }
    char *after = capture("nft -a list table inet sluice");
    ck_assert(!strcmp(before, after));
    free(before);
    free(after);
    lab_destroy(&lab);
}
END_TEST

/* What comes by the gateway port and leaves the mark on it would go round for ever. */
START_TEST(test_no_loop)
{
    struct lab lab;

    lab_init(&lab);
    put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.77", 0, false, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080, false, NULL);
    settle(&lab);
    ck_assert(!test_sh(lab.br_int, "nft -f - <<'EOF'\ntable inet t {\n chain c {\n type filter hook prerouting priority -300;\n"
                       "ip daddr 10.96.0.77 counter\n}\n}\nEOF"));
    ASSERT_ASK(-1, "tcp", "10.96.0.77", 80, "-");
    /* "br-int" does not know it and sends it back by its default route; the node gives it to its own, eth0. */
    ck_assert(!test_sh(lab.br_int, "nft list table inet t | grep counter | grep -qE 'packets [1-9] '"));
    lab_destroy(&lab);
}
END_TEST

/* services 13, 15: "br-int" gives what comes from outside to an endpoint in the node's own network, or behind it, with the client's
 * address: the answers go back to br-int, which alone can undo it. */
START_TEST(test_turn_back)
{
    struct lab lab;

    lab_init(&lab);
    int behind = test_new_netns();
    ck_assert(!test_sh(-1, "ip link add docker0 type veth peer name eth0 netns /proc/%d/fd/%d; ip link set docker0 up;"
                       "ip addr add 172.18.0.1/24 dev docker0", getpid(), behind));
    ck_assert(!test_sh(behind, "ip link set lo up; ip link set eth0 up; ip addr add 172.18.0.2/24 dev eth0; ip route add default via 172.18.0.1"));
    serve(-1, "8080");
    serve(behind, "8080");
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080, true, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30081, true, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30082, false, NULL);
    settle(&lab);
    ck_assert(!test_sh(lab.br_int, "nft -f - <<'EOF'\ntable ip t {\n chain c {\n type nat hook prerouting priority -100;\n"
                       "meta l4proto { tcp, udp } th dport 30080 dnat to 192.0.2.5:8080\n"
                       "meta l4proto { tcp, udp } th dport 30081 dnat to 172.18.0.2:8080\n"
                       "meta l4proto { tcp, udp } th dport 30082 dnat to 192.0.2.1:8081\n}\n"
                       "chain d {\n type nat hook postrouting priority 100;\n ip saddr " GW4 " snat to 169.254.192.1\n}\n}\nEOF"));
    ASSERT_ASK_BOTH(lab.f.outside, "192.0.2.5", 30080, OUT4);
    ASSERT_ASK_BOTH(lab.f.outside, "192.0.2.5", 30081, OUT4);
    ASSERT_ASK_BOTH(-1, "192.0.2.5", 30080, "169.254.192.1");

    /* HAIRPIN that leaves the node has the node's address. */
    serve(lab.f.outside, "8081");
    ASSERT_ASK_BOTH(-1, "192.0.2.5", 30082, "192.0.2.5");
    ASSERT_ASK_BOTH(lab.f.outside, "192.0.2.5", 30082, "192.0.2.5");
    lab_destroy(&lab);
}
END_TEST

/* networkpolicy 26, 30: what is masqueraded is not the node's own. */
START_TEST(test_own_mac)
{
    struct lab lab;

    lab_init(&lab);
    serve(lab.br_int, "80,30080");
    put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.1", 0, false, NULL);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080, false, NULL);
    settle(&lab);
    static const char count[] = "nft flush ruleset; nft -f - <<'EOF'\ntable netdev t {\n chain c {\n"
        " type filter hook ingress device eth0 priority 0;\n"
        "ether saddr 0a:53:4c:00:00:03 tcp dport { 80, 30080 } counter comment \"own\"\n"
        "ether saddr != 0a:53:4c:00:00:03 tcp dport { 80, 30080 } counter comment \"forwarded\"\n}\n}\nEOF";
    for (int i = 0; i < 2; i++) {
        const char *addr = i ? "192.0.2.5" : "10.96.0.1";
        int port = i ? 30080 : 80;
        ck_assert(!test_sh(lab.br_int, "%s", count));
        ASSERT_ASK(lab.f.outside, "tcp", addr, port, GW4);
        ck_assert(!test_sh(lab.br_int, "nft list ruleset | grep own | grep -q 'packets 0 '"));
        ck_assert(!test_sh(lab.br_int, "%s", count));
        ASSERT_ASK(-1, "tcp", addr, port, GW4);
        ck_assert(!test_sh(lab.br_int, "nft list ruleset | grep forwarded | grep -q 'packets 0 '"));
        ck_assert(!test_sh(lab.br_int, "nft list ruleset | grep own | grep -qv 'packets 0 '"));
    }
    lab_destroy(&lab);
}
END_TEST

/* A node without a default route reaches Services. */
START_TEST(test_no_default_route)
{
    struct lab lab;

    lab_init(&lab);
    struct in6_addr node_addr = prefix("192.0.2.5/32").addr;
    hostnet_set_node_addrs(lab.h, &node_addr, 1);
    ck_assert(!test_sh(-1, "ip route del default; ip -6 route del default"));
    serve(lab.br_int, "80");
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080, false, NULL);
    settle(&lab);
    ck_assert(test_sh(-1, "ip route show 10.96.0.0/16 | grep -q ."));
    put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.1", 0, false, NULL);
    put(&lab, SERVICE_HOST_CLUSTER, "fd00:96::1", 0, false, NULL);
    settle(&lab);
    ASSERT_ASK_BOTH(-1, "10.96.0.1", 80, GW4);
    ASSERT_ASK_BOTH(-1, "fd00:96::1", 80, GW6);
    lab_destroy(&lab);
}
END_TEST

/* services 24: UDP that was sent to the port before it was a Service's finds the Service. */
START_TEST(test_flush)
{
    struct lab lab;

    lab_init(&lab);
    settle(&lab);
    serve(lab.br_int, "30080,80");
    serve(-1, "30099");
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30090, false, NULL);   /* Conntrack looks. */
    settle(&lab);
    ck_assert_str_eq(ask_from(lab.f.outside, "udp", "192.0.2.5", 30080, 4444, PATIENCE("-")), "-");
    ck_assert_str_eq(ask_from(lab.f.outside, "udp", "203.0.113.9", 80, 4445, PATIENCE("-")), "-");
    ck_assert_str_eq(ask_from(lab.f.outside, "udp", "192.0.2.5", 30099, 4446, PATIENCE(OUT4)), OUT4);
    put(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080, false, NULL);
    put(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.9", 80, false, "169.254.193.1");
    settle(&lab);
    ck_assert_msg(!strcmp(ask_from(lab.f.outside, "udp", "192.0.2.5", 30080, 4444, 1), "-"), "there was no stale entry");
    ck_assert(!test_sh(-1, "conntrack -L -p udp --sport 4446 2>/dev/null | grep -q 30099"));
    hostnet_audit(lab.h);
    settle(&lab);
    ck_assert_str_eq(ask_from(lab.f.outside, "udp", "192.0.2.5", 30080, 4444, PATIENCE(GW4)), GW4);
    ck_assert_str_eq(ask_from(lab.f.outside, "udp", "203.0.113.9", 80, 4445, PATIENCE(GW4)), GW4);
    /* What leads where it should stays, and what is another's. */
    hostnet_audit(lab.h);
    settle(&lab);
    ck_assert(!test_sh(-1, "conntrack -L -p udp --sport 4444 2>/dev/null | grep -q 30080"));
    ck_assert(!test_sh(-1, "conntrack -L -p udp --sport 4445 2>/dev/null | grep -q 203.0.113.9"));
    ck_assert(!test_sh(-1, "conntrack -L -p udp --sport 4446 2>/dev/null | grep -q 30099"));
    /* A node port that goes takes its connections with it, and no others; so does an address. */
    drop(&lab, SERVICE_HOST_NODE_PORT, "0.0.0.0", 30080);
    settle(&lab);
    ck_assert(test_sh(-1, "conntrack -L -p udp --sport 4444 2>/dev/null | grep -q 30080"));
    ck_assert(!test_sh(-1, "conntrack -L -p udp --sport 4445 2>/dev/null | grep -q 203.0.113.9"));
    drop(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.9", 80);
    settle(&lab);
    ck_assert(test_sh(-1, "conntrack -L -p udp --sport 4445 2>/dev/null | grep -q 203.0.113.9"));
    ck_assert(!test_sh(-1, "conntrack -L -p udp --sport 4446 2>/dev/null | grep -q 30099"));
    lab_destroy(&lab);
}
END_TEST

/* Thousands; one more or less; a restart; strangers; the end. */
START_TEST(test_reconcile)
{
    enum { N = 10000 };
    struct lab lab;

    lab_init(&lab);
    settle(&lab);
    ck_assert(test_sh(-1, "nft list table inet sluice | grep -q service"));
    ck_assert(test_sh(-1, "ip rule | grep -q 21324 || ip route show proto 83 | grep -q 169.254"));
    ck_assert(!test_sh(-1, "nft 'table inet kube-proxy { chain x { }; }'; ip rule add fwmark 0x4000 lookup 77; ip route add 10.77.0.0/16 via 192.0.2.1 table 77"));

    long long int start_ms = time_msec();
    for (int i = 0; i < N; i++) {
        struct service_host host = host_of(SERVICE_HOST_EXTERNAL, "203.0.0.0", IPPROTO_TCP, 80);
        host.addr.s6_addr[14] = i >> 8;
        host.addr.s6_addr[15] = i;
        host.keep_source = i & 1;
        hostnet_put_service(lab.h, &host);
    }
    put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.1", 0, false, NULL);
    settle(&lab);
    printf("%d entries: %lld ms\n", N, time_msec() - start_ms);
    ck_assert(!test_sh(-1, "test $(nft list set inet sluice external_v4 | grep -o ' tcp . 80' | wc -l) = %d", N));
    ck_assert(!test_sh(-1, "test $(nft list set inet sluice keep_source_v4 | grep -o ' tcp . 80' | wc -l) = %d", N / 2));
    run(lab.h, false, 100);

    /* Single changes touch nothing else. */
    char *chains = capture("nft -a list chain inet sluice service_to");
    start_ms = time_msec();
    struct service_host host = host_of(SERVICE_HOST_EXTERNAL, "203.0.0.1", IPPROTO_TCP, 80);
    hostnet_put_service(lab.h, &host);          /* No longer with the client's address. */
    settle(&lab);
    hostnet_drop_service(lab.h, &host);
    hostnet_drop_service(lab.h, &host);
    hostnet_put_service(lab.h, &host);
    ck_assert(hostnet_is_settled(lab.h));
    hostnet_drop_service(lab.h, &host);
    put(&lab, SERVICE_HOST_EXTERNAL, "203.0.0.2", 80, false, "169.254.193.7");
    put(&lab, SERVICE_HOST_NODE_PORT, "::", 30080, true, NULL);
    settle(&lab);
    printf("single changes: %lld ms\n", time_msec() - start_ms);
    ck_assert(!test_sh(-1, "test $(nft list set inet sluice external_v4 | grep -o ' tcp . 80' | wc -l) = %d", N - 1));
    ck_assert(!test_sh(-1, "test $(nft list set inet sluice keep_source_v4 | grep -o ' tcp . 80' | wc -l) = %d", N / 2 - 1));
    ck_assert(!test_sh(-1, "nft list map inet sluice alias_v4 | grep -q '203.0.0.2 . tcp . 80 : 169.254.193.7'"));
    ck_assert(!test_sh(-1, "nft list set inet sluice keep_source_v6 | grep -q 'fd53:4c00:0:1::3 . tcp . 30080'"));
    run(lab.h, false, 100);
    char *again = capture("nft -a list chain inet sluice service_to");
    ck_assert_str_eq(chains, again);
    free(chains);
    free(again);

    /* Somebody else. */
    static const char *const harms[] = {
        "nft delete element inet sluice external_v4 '{ 203.0.0.5 . tcp . 80 }'", "nft flush set inet sluice cluster_v4",
        "nft flush chain inet sluice service_to", "nft delete table inet sluice", "ip rule del fwmark 0x4000000/0x4000000",
        "ip -6 rule del fwmark 0x4000000/0x4000000", "ip route flush table 21324", "ip route del 169.254.192.0/18",
        "ip -6 route del fd53:4c00:0:1::/64", "ip rule add fwmark 0x77 lookup 21324 proto 83",
        "echo 1 > /proc/sys/net/ipv4/conf/sluice0/rp_filter; ip link set sluice0 down", "ip route del 10.96.0.0/16",
    };
    /* The sets' elements are sorted: what nft does not sort would be the same only by chance. */
    static const char state[] = "nft list table inet sluice | tr -s '\\t ,' '\\n' | sort; ip rule; ip -6 rule; "
        "ip route show table all proto 83 | sort; ip -6 route show table all proto 83 | sort; cat /proc/sys/net/ipv4/conf/sluice0/rp_filter";
    char *before = capture(state);
    for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
        ck_assert(!test_sh(-1, "%s", harms[i]));
        run(lab.h, false, 150);
        settle(&lab);
        char *after = capture(state);
        ck_assert_msg(!strcmp(before, after), "%s:\n%s", harms[i], after);
        free(after);
    }
    free(before);
    lab_destroy(&lab);

    ck_assert_int_eq(hostnet_remove_rules(NULL), 0);
    ck_assert(test_sh(-1, "nft list tables | grep -q sluice"));
    ck_assert(test_sh(-1, "{ ip rule; ip -6 rule; } | grep -q 21324"));
    ck_assert(!test_sh(-1, "nft list tables | grep -q kube-proxy && ip rule | grep -q 'fwmark 0x4000 lookup 77'"));
    ck_assert_int_eq(hostnet_remove_rules(NULL), 0);
}
END_TEST

/* The daemon starts again: nothing is touched if all is there, and what is not goes or comes. */
START_TEST(test_restart)
{
    static const char state[] = "nft -a list table inet sluice; nft -a list table arp sluice; nft -a list table netdev sluice";
    struct lab lab;

    lab_init(&lab);
    lab.f.config.guard_af_packet = true;
    lab.f.config.tunnel_port = 6081;
    hostnet_set(lab.h, &lab.f.config);
    for (int i = 0; i < 5; i++) {
        char *before = i ? capture(state) : NULL;

        if (i) {
            hostnet_destroy(lab.h);
            if (i == 4) {
                ck_assert(!test_sh(-1, "nft delete element inet sluice node_port_v6 '{ tcp . 30080 }'"));
            }
            lab.h = start(&lab.f);
        }
        put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.1", 0, false, NULL);
        put(&lab, SERVICE_HOST_CLUSTER, "fd00:96::1", 0, false, NULL);
        put(&lab, SERVICE_HOST_NODE_PORT, "::", 30080, true, NULL);
        put(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.9", 80, true, "169.254.193.1");
        put(&lab, SERVICE_HOST_EXTERNAL, "2001:db8:9::9", 80, false, "fd53:4c00:0:1::1:1");
        if (i >= 2) {                   /* One more, which is new the first time. */
            put(&lab, SERVICE_HOST_EXTERNAL, "203.0.113.10", 80, true, NULL);
        }
        settle(&lab);
        char *after = capture(state);
        ck_assert_msg(!before || !strcmp(before, after) == (i == 1 || i == 3), "start %d", i);
        ck_assert(!test_sh(-1, "nft list set inet sluice node_port_v6 | grep -q 'tcp . 30080'"));
        ck_assert_int_eq(!test_sh(-1, "nft list set inet sluice external_v4 | grep -q '203.0.113.10 . tcp . 80'"), i >= 2);
        free(before);
        free(after);
    }
    run(lab.h, false, 100);
    ck_assert(!test_sh(-1, "nft flush set inet sluice node_port_v6"));  /* It is watched from then on. */
    run(lab.h, false, 150);
    settle(&lab);
    ck_assert(!test_sh(-1, "nft list set inet sluice node_port_v6 | grep -q 'tcp . 30080'"));
    lab_destroy(&lab);
}
END_TEST

/* With the last Service everything of them goes. */
START_TEST(test_last)
{
    struct lab lab;

    lab_init(&lab);
    settle(&lab);
    char *before = capture("nft list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all | grep -v 'fe80\\|multicast\\|anycast'");
    put(&lab, SERVICE_HOST_CLUSTER, "10.96.0.1", 0, false, NULL);
    settle(&lab);
    ck_assert(!test_sh(-1, "ip rule | grep -q 'fwmark 0x4000000/0x4000000 lookup 21324' && nft list chain inet sluice service_to >/dev/null"));
    struct service_host host = host_of(SERVICE_HOST_CLUSTER, "10.96.0.1", 0, 0);
    hostnet_drop_service(lab.h, &host);
    settle(&lab);
    char *after = capture("nft list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all | grep -v 'fe80\\|multicast\\|anycast'");
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    lab_destroy(&lab);
}
END_TEST

UNIT_MAIN("hostnet-service", {
    vlog_set_levels(NULL, VLF_CONSOLE, getenv("VERBOSE") ? VLL_DBG : VLL_OFF);
    tcase_set_timeout(tc, 300);          /* Hundreds of clients, each a program. */
    tcase_add_test(tc, test_ways);
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_no_loop);
    tcase_add_test(tc, test_turn_back);
    tcase_add_test(tc, test_own_mac);
    tcase_add_test(tc, test_no_default_route);
    tcase_add_test(tc, test_flush);
    tcase_add_test(tc, test_reconcile);
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_last);
})
