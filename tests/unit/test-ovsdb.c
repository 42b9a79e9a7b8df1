/* The OVSDB module against a real ovsdb-server and ovs-vswitchd (dummy datapath). */

#include <config.h>

#include "controller/ovsdb.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "controller/datapath.h"
#include "flow.h"
#include "openvswitch/poll-loop.h"
#include "ovs-sandbox.h"
#include "packets.h"
#include "timeval.h"
#include "unit.h"
#include "util.h"

#define TIMEOUT 10000

static struct ovs_sandbox sandbox;
static struct ovsdb *ovsdb;

static const struct ovsdb_base base = {
    .bridge = "br-int",
    .datapath = DATAPATH_USERSPACE,
    .gateway = "sluice0",
    .gateway_mac = ETH_ADDR_C(0a,00,00,00,00,01),
    .gateway_mtu = 1450,
    .tunnel = ENCAP_GENEVE,
    .tunnel_name = "sluice-tun",
};

static void
setup(void)
{
    ovs_sandbox_create(&sandbox);
    ovs_sandbox_start_ovsdb(&sandbox);
    ovs_sandbox_start_vswitchd(&sandbox);
    ovsdb = ovsdb_create(sandbox.remote);
}

static void
teardown(void)
{
    ovsdb_destroy(ovsdb);
    ovs_sandbox_destroy(&sandbox);
}

typedef bool condition(const void *aux);

/* Runs the module until 'cond' holds.  Returns the milliseconds that it took. */
static long long int
run_until_at_most(condition *cond, const void *aux, const char *what, int timeout)
{
    long long int start = time_msec();
    for (;;) {
        ovsdb_run(ovsdb);
        if (cond(aux)) {
            return time_msec() - start;
        }
        const char *problem = ovsdb_problem(ovsdb);
        ck_assert_msg(time_msec() - start < timeout, "%s: not within %d ms; problem: %s", what, timeout,
                      problem ? problem : "none");
        ovsdb_wait(ovsdb);
        poll_timer_wait_until(start + timeout);
        poll_block();
    }
}
#define run_until(COND, AUX) run_until_at_most(COND, AUX, #COND " " #AUX, TIMEOUT)

static bool ready(const void *aux OVS_UNUSED) { return ovsdb_base_ready(ovsdb); }
static bool connected(const void *aux OVS_UNUSED) { return ovsdb_is_connected(ovsdb); }
static bool disconnected(const void *aux OVS_UNUSED) { return !ovsdb_is_connected(ovsdb); }
static bool problem(const void *aux OVS_UNUSED) { return ovsdb_problem(ovsdb) != NULL; }
static bool no_problem(const void *aux OVS_UNUSED) { return ovsdb_problem(ovsdb) == NULL; }
static bool all_removed(const void *aux OVS_UNUSED) { return ovsdb_all_removed(ovsdb); }
static bool up(const void *name) { return ovsdb_port_get_state(ovsdb, name) == OVSDB_PORT_UP; }
static bool not_up(const void *name) { return ovsdb_port_get_state(ovsdb, name) != OVSDB_PORT_UP; }
static bool failed(const void *name) { return ovsdb_port_get_state(ovsdb, name) == OVSDB_PORT_FAILED; }
static bool gone(const void *name) { return ovsdb_port_get_state(ovsdb, name) == OVSDB_PORT_GONE; }

/* Lets the module do what it wants for a while. */
static void
settle(void)
{
    long long int end = time_msec() + 300;
    while (time_msec() < end) {
        ovsdb_run(ovsdb);
        ovsdb_wait(ovsdb);
        poll_timer_wait_until(end);
        poll_block();
    }
}

static void
declare(const char *name, int ofport)
{
    const struct ovsdb_port port = {
        .name = name, .ofport = u16_to_ofp(ofport), .container_id = "c0ffee", .ifname = "eth0", .network = "sluice",
        .pod_namespace = "default", .pod_name = "web-\xc3\xa4", .pod_uid = "1-2-3", .addresses = "10.1.0.2 fd00::2",
    };
    ovsdb_port_set(ovsdb, &port);
}

#define assert_vsctl(EXPECTED, ...)                                     \
    do {                                                                \
        char *out_ = ovs_sandbox_vsctl(&sandbox, __VA_ARGS__);          \
        ck_assert_str_eq(out_, EXPECTED);                               \
        free(out_);                                                     \
    } while (0)
#define vsctl(...) free(ovs_sandbox_vsctl(&sandbox, __VA_ARGS__))

static long long int
next_cfg(void)
{
    char *out = ovs_sandbox_vsctl(&sandbox, "get Open_vSwitch . next_cfg");
    long long int cfg = atoll(out);
    free(out);
    return cfg;
}

/* Issue 3, item 4. */
START_TEST(test_base)
{
    ovsdb_set_base(ovsdb, &base);
    ovsdb_start(ovsdb);
    run_until(ready, NULL);
    assert_vsctl("secure\nnetdev\n[OpenFlow15]\nsluice", "get bridge br-int fail_mode datapath_type protocols "
                 "external_ids:owner");
    assert_vsctl("2\n\"0a:00:00:00:00:01\"\n1450\ninternal",
                 "get interface sluice0 ofport mac mtu_request type");
    assert_vsctl("1\ngeneve\nflow\nflow", "get interface sluice-tun ofport type options:remote_ip options:key");
    vsctl("--no-wait set Open_vSwitch . ovs_version=3.1.0");     /* As ovs-ctl does. */
    settle();
    ck_assert_str_eq(ovsdb_ovs_version(ovsdb), "3.1.0");
    assert_vsctl("CLASSIFY\nOUTPUT", "get flow_table $(ovs-vsctl --db=%s get bridge br-int flow_tables:0) name -- "
                 "get flow_table $(ovs-vsctl --db=%s get bridge br-int flow_tables:72) name", sandbox.remote, sandbox.remote);
    ck_assert(ovsdb_has_iface_type(ovsdb, "geneve"));
    ck_assert(!ovsdb_has_iface_type(ovsdb, "nonsense"));
    ck_assert(!ovsdb_has_datapath_type(ovsdb, "nonsense"));
    struct datapath_facts facts;
    ck_assert_int_eq(datapath_probe(ovsdb, &facts, NULL), 0);
    ck_assert(facts.ovs_netdev);
    ck_assert_int_gt(facts.memory >> 20, 0);
}
END_TEST

START_TEST(test_base_uplink)
{
    struct ovsdb_base with = base;
    with.uplink_bridge = "br-uplink";
    with.uplink = "eth7";
    with.uplink_mac = (struct eth_addr) ETH_ADDR_C(02,00,00,00,00,07);
    with.tunnel = ENCAP_NONE;
    ovsdb_set_base(ovsdb, &with);
    ovsdb_start(ovsdb);
    run_until(ready, NULL);
    assert_vsctl("standalone\n\"02:00:00:00:00:07\"\n[0]", "get bridge br-uplink fail_mode other_config:hwaddr flood_vlans");
    assert_vsctl("eth7", "list-ports br-uplink");
    assert_vsctl("sluice0", "list-ports br-int");

    ovsdb_set_base(ovsdb, &base);               /* Now with a tunnel, and the uplink stays. */
    run_until(ready, NULL);
    assert_vsctl("br-int", "list-br");
    assert_vsctl("sluice-tun\nsluice0", "list-ports br-int");
}
END_TEST

START_TEST(test_ports)
{
    char name[32][16];

    ovsdb_set_base(ovsdb, &base);
    ovsdb_start(ovsdb);
    run_until(ready, NULL);
    long long int cfg = next_cfg();
    for (int i = 0; i < 32; i++) {
        snprintf(name[i], sizeof name[i], "slp%012x", i);
        declare(name[i], 100 + i);
    }
    for (int i = 0; i < 32; i++) {
        run_until(up, name[i]);
    }
    ck_assert_int_eq(next_cfg(), cfg + 1);      /* One transaction. */
    assert_vsctl("131\nc0ffee\neth0\n\"web-\xc3\xa4\"\n\"10.1.0.2 fd00::2\"", "get interface slp00000000001f ofport "
                 "external_ids:container-id external_ids:if-name external_ids:pod-name external_ids:ip-addresses");

    ovsdb_port_remove(ovsdb, name[3]);
    ck_assert_int_eq(ovsdb_port_get_state(ovsdb, name[3]), OVSDB_PORT_PENDING);
    run_until(gone, name[3]);
    declare(name[3], 103);                      /* The name and the number come back at once. */
    run_until(up, name[3]);
    declare(name[3], 203);
    ck_assert(!up(name[3]));
    run_until(up, name[3]);
}
END_TEST

/* A restart of the daemon that finds everything in place writes nothing. */
START_TEST(test_no_difference)
{
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(ready, NULL);
    run_until(up, "slp1");
    long long int cfg = next_cfg();

    ovsdb_destroy(ovsdb);
    ovsdb = ovsdb_create(sandbox.remote);
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    run_until(up, "slp1");
    run_until(ready, NULL);
    ovsdb_start(ovsdb);
    settle();
    ck_assert_int_eq(next_cfg(), cfg);
    ovsdb_set_base(ovsdb, &base);               /* The same again is no change, not even for a moment. */
    ck_assert(ovsdb_base_ready(ovsdb));
}
END_TEST

/* The journal may not have been read yet: nothing goes before ovsdb_start(). */
START_TEST(test_start)
{
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(up, "slp1");
    ovsdb_destroy(ovsdb);

    ovsdb = ovsdb_create(sandbox.remote);
    ovsdb_set_base(ovsdb, &base);
    declare("slp2", 17);
    run_until(up, "slp2");
    assert_vsctl("slp1\nslp2\nsluice-tun\nsluice0", "list-ports br-int");
    ck_assert_int_eq(ovsdb_port_get_state(ovsdb, "slp1"), OVSDB_PORT_PENDING);
    ovsdb_start(ovsdb);
    run_until(gone, "slp1");
    assert_vsctl("slp2\nsluice-tun\nsluice0", "list-ports br-int");
}
END_TEST

#define TAMPERED "get interface slp1 external_ids:pod-name -- get bridge br-int fail_mode -- get interface sluice0 mac"

/* What others wrote has been found and put right; before it is found all seems well, however long that takes. */
static bool
put_right(const void *aux OVS_UNUSED)
{
    char *out = ovs_sandbox_vsctl(&sandbox, TAMPERED);
    bool right = !strcmp(out, "\"web-\xc3\xa4\"\nsecure\n\"0a:00:00:00:00:01\"");
    free(out);
    return right;
}

START_TEST(test_deleted_by_others)
{
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(up, "slp1");
    vsctl("del-port slp1");
    run_until(not_up, "slp1");
    run_until(up, "slp1");
    vsctl("--no-wait set interface slp1 type=internal ofport_request=999 external_ids:pod-name=x -- "
          "set bridge br-int fail_mode=standalone -- remove interface sluice0 mac '\"0a:00:00:00:00:01\"'");
    run_until(put_right, NULL);
    run_until(up, "slp1");
    run_until(ready, NULL);
    ck_assert(put_right(NULL));
    vsctl("del-br br-int");
    run_until(not_up, "slp1");
    run_until(up, "slp1");
    run_until(ready, NULL);
    assert_vsctl("slp1\nsluice-tun\nsluice0", "list-ports br-int");
}
END_TEST

START_TEST(test_empty_database)
{
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(up, "slp1");
    ovs_sandbox_stop(&sandbox.ovsdb_server);
    run_until(disconnected, NULL);
    run_until(problem, NULL);
    ck_assert_ptr_nonnull(strstr(ovsdb_problem(ovsdb), "ovsdb-server"));
    ovs_sandbox_new_database(&sandbox);
    ovs_sandbox_start_ovsdb(&sandbox);
    run_until_at_most(connected, NULL, "reconnect", 900);       /* Less than the least back-off of the IDL. */
    run_until(not_up, "slp1");
    run_until(up, "slp1");
    run_until(ready, NULL);
    run_until(no_problem, NULL);
    assert_vsctl("slp1\nsluice-tun\nsluice0", "list-ports br-int");
}
END_TEST

/* OVS is not there at start: wait, say so, go on when it comes. */
START_TEST(test_not_running)
{
    ovsdb_destroy(ovsdb);
    ovs_sandbox_stop(&sandbox.ovs_vswitchd);
    ovs_sandbox_stop(&sandbox.ovsdb_server);
    ovs_sandbox_new_database(&sandbox);
    char *lost = xasprintf("%s/db.sock", sandbox.dir);
    unlink(lost);
    free(lost);

    ovsdb = ovsdb_create(sandbox.remote);
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(problem, NULL);
    ovs_sandbox_start_ovsdb(&sandbox);
    run_until_at_most(connected, NULL, "connect", 900);
    settle();
    ck_assert_int_eq(ovsdb_port_get_state(ovsdb, "slp1"), OVSDB_PORT_PENDING);
    ck_assert(!ovsdb_base_ready(ovsdb));
    ovs_sandbox_start_vswitchd(&sandbox);
    run_until(up, "slp1");
    run_until(ready, NULL);
    ck_assert_ptr_null(ovsdb_problem(ovsdb));
}
END_TEST

START_TEST(test_foreign_bridge)
{
    vsctl("add-br br-int -- add-port br-int other");
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(problem, NULL);
    ck_assert_ptr_nonnull(strstr(ovsdb_problem(ovsdb), "bridge br-int belongs to someone else"));
    settle();
    assert_vsctl("other", "list-ports br-int");
    ck_assert(!ovsdb_base_ready(ovsdb));
    ck_assert_int_eq(ovsdb_port_get_state(ovsdb, "slp1"), OVSDB_PORT_PENDING);
    vsctl("del-br br-int");
    run_until(up, "slp1");
    run_until(no_problem, NULL);
}
END_TEST

START_TEST(test_foreign_port)
{
    vsctl("add-br br0 -- add-port br0 slp1 -- add-port br0 sluice-tun -- set interface slp1 external_ids:owner=ovn");
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    declare("slp2", 17);
    ovsdb_start(ovsdb);
    run_until(failed, "slp1");
    run_until(problem, NULL);
    ck_assert_ptr_nonnull(strstr(ovsdb_port_error(ovsdb, "slp1"), "port slp1 in the OVS database belongs to"));
    ck_assert_ptr_nonnull(strstr(ovsdb_problem(ovsdb), "sluice-tun"));
    vsctl("del-port br0 sluice-tun");
    run_until(no_problem, NULL);
    run_until(up, "slp2");
    assert_vsctl("slp1", "list-ports br0");
    ovsdb_port_remove(ovsdb, "slp1");
    ck_assert_int_eq(ovsdb_port_get_state(ovsdb, "slp1"), OVSDB_PORT_GONE);
    settle();
    assert_vsctl("slp1", "list-ports br0");
}
END_TEST

START_TEST(test_ofport_taken)
{
    ovsdb_set_base(ovsdb, &base);
    ovsdb_start(ovsdb);
    run_until(ready, NULL);
    vsctl("add-port br-int other -- set interface other ofport_request=16");
    declare("slp1", 16);
    run_until(failed, "slp1");
    ck_assert_ptr_nonnull(strstr(ovsdb_port_error(ovsdb, "slp1"), "another port holds it"));
    vsctl("del-port other");
    declare("slp1", 17);
    run_until(up, "slp1");
}
END_TEST

START_TEST(test_bad_strings)
{
    char big[1200];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    const struct ovsdb_port bad[] = {
        { .name = "slpa", .ofport = u16_to_ofp(16), .container_id = "c", .pod_name = "\xff\xfe" },
        { .name = "slpb", .ofport = u16_to_ofp(17), .container_id = big },
        { .name = "slpc", .ofport = u16_to_ofp(18), .container_id = "c", .pod_namespace = "a\nb" },
        { .name = "slpd", .ofport = u16_to_ofp(2), .container_id = "c" },
        { .name = "slpe", .ofport = OFPP_LOCAL, .container_id = "c" },
        { .name = "slp/../../etc", .ofport = u16_to_ofp(19), .container_id = "c" },
        { .name = "slp0123456789abcd", .ofport = u16_to_ofp(20), .container_id = "c" },
        { .name = "", .ofport = u16_to_ofp(21), .container_id = "c" },
        { .name = "sluice0", .ofport = u16_to_ofp(22), .container_id = "c" },
    };

    ovsdb_set_base(ovsdb, &base);
    ovsdb_start(ovsdb);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ovsdb_port_set(ovsdb, &bad[i]);
        ck_assert_int_eq(ovsdb_port_get_state(ovsdb, bad[i].name), OVSDB_PORT_FAILED);
        ck_assert_ptr_nonnull(ovsdb_port_error(ovsdb, bad[i].name));
    }
    declare("slp1", 30);
    run_until(up, "slp1");
    assert_vsctl("slp1\nsluice-tun\nsluice0", "list-ports br-int");
    declare("slpa", 16);                        /* Declared anew, this time right. */
    run_until(up, "slpa");
}
END_TEST

/* Rule 2 of the architecture: after any events what is looked at because it changed gives the same as looking at
 * everything. */
START_TEST(test_random_events)
{
    bool declared[24] = { false };
    uint32_t seed = 1;
    char name[16];

    vsctl("add-br br0");
    ovsdb_set_base(ovsdb, &base);
    ovsdb_start(ovsdb);
    run_until(ready, NULL);
    for (int round = 0; round < 120; round++) {
        seed = seed * 1664525 + 1013904223;
        int i = (seed >> 16) % ARRAY_SIZE(declared);
        snprintf(name, sizeof name, "slp%d", i);
        switch ((seed >> 10) % 8) {
        case 0:
            ovsdb_port_remove(ovsdb, name);
            declared[i] = false;
            break;
        case 1:
            vsctl("--no-wait --if-exists del-port %s", name);
            break;
        case 2:                         /* Ours by its mark, declared by nobody, or in the wrong bridge. */
            vsctl("--no-wait --if-exists del-port %s -- add-port br0 %s -- set port %s external_ids:owner=sluice -- "
                  "set interface %s external_ids:owner=sluice", name, name, name, name);
            break;
        case 3:
            vsctl("--no-wait --if-exists remove interface %s external_ids pod-name", name);
            break;
        default:
            declare(name, 100 + i);
            declared[i] = true;
        }
        ovsdb_run(ovsdb);
    }
    settle();
    for (int i = 0; i < (int) ARRAY_SIZE(declared); i++) {
        snprintf(name, sizeof name, "slp%d", i);
        if (declared[i]) {
            run_until(up, name);
            assert_vsctl("br-int", "port-to-br %s", name);
            assert_vsctl("\"web-\xc3\xa4\"", "get interface %s external_ids:pod-name", name);
        } else {
            run_until(gone, name);
            assert_vsctl("", "--if-exists get port %s name", name);
        }
    }
    assert_vsctl("", "list-ports br0");
}
END_TEST

static void
count_port(const struct ovsdb_port *port, void *n)
{
    ck_assert_str_eq(port->container_id, "c0ffee");
    ck_assert_str_eq(port->addresses, "10.1.0.2 fd00::2");
    ck_assert_int_eq(ofp_to_u16(port->ofport), 16);
    ++*(int *) n;
}

START_TEST(test_remove_all)
{
    int n = 0;

    vsctl("add-br br0");
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(up, "slp1");
    ovsdb_for_each_port(ovsdb, count_port, &n);
    ck_assert_int_eq(n, 1);
    ovsdb_remove_all(ovsdb);
    ck_assert(!ovsdb_all_removed(ovsdb));
    run_until(all_removed, NULL);
    assert_vsctl("br0", "list-br");
    ck_assert_int_eq(ovsdb_port_get_state(ovsdb, "slp1"), OVSDB_PORT_GONE);
}
END_TEST

/* At rest the module asks for no wake-up. */
START_TEST(test_idle)
{
    ovsdb_set_base(ovsdb, &base);
    declare("slp1", 16);
    ovsdb_start(ovsdb);
    run_until(up, "slp1");
    run_until(ready, NULL);
    settle();
    long long int start = time_msec();
    int wakeups = 0;
    while (time_msec() < start + 1000) {
        ovsdb_run(ovsdb);
        ovsdb_wait(ovsdb);
        poll_timer_wait_until(start + 1000);
        poll_block();
        wakeups++;
    }
    ck_assert_int_le(wakeups, 2);
}
END_TEST

static void
add_tests(TCase *tc)
{
    if (ovs_sandbox_possible()) {
        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_test(tc, test_base);
        tcase_add_test(tc, test_base_uplink);
        tcase_add_test(tc, test_ports);
        tcase_add_test(tc, test_no_difference);
        tcase_add_test(tc, test_start);
        tcase_add_test(tc, test_deleted_by_others);
        tcase_add_test(tc, test_empty_database);
        tcase_add_test(tc, test_not_running);
        tcase_add_test(tc, test_foreign_bridge);
        tcase_add_test(tc, test_foreign_port);
        tcase_add_test(tc, test_ofport_taken);
        tcase_add_test(tc, test_bad_strings);
        tcase_add_test(tc, test_random_events);
        tcase_add_test(tc, test_remove_all);
        tcase_add_test(tc, test_idle);
    }
}

UNIT_MAIN("ovsdb", add_tests(tc);)
