/* The take-over of the uplink with a real Open vSwitch on its userspace datapath: root, own network namespaces. */

#include <config.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "hostnet-test.h"
#include "openvswitch/vlog.h"
#include "ovs-sandbox.h"

/* ovs-vswitchd with real devices, in this namespace. */
static void
start_vswitchd(struct ovs_sandbox *sandbox)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        char *ctl = xasprintf("--unixctl=%s/vswitchd.ctl", sandbox->dir), *log = xasprintf("--log-file=%s/vswitchd.log", sandbox->dir);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("ovs-vswitchd", "ovs-vswitchd", sandbox->remote, "--disable-system", ctl, log, "-vconsole:off", "-vsyslog:off",
               (char *) NULL);
        _exit(127);
    }
    sandbox->ovs_vswitchd = pid;
}

/* ovs-vswitchd takes a new port down and up again to set its MAC, which costs the port its IPv6 addresses and its
 * routes: the daemon's loop must go on. */
static void
assert_talks(struct hostnet *h, const char *when)
{
    static const char *const pings[] = { "ping -q -c1 -W1 192.0.2.1", "ping -6 -q -c1 -W1 2001:db8::1", "ping -q -c1 -W1 198.18.0.1" };
    long long int deadline = time_msec() + TIMEOUT_MS;

    for (size_t i = 0; i < ARRAY_SIZE(pings); i++) {
        while (test_sh(-1, "%s >/dev/null 2>&1", pings[i])) {
            ck_assert_msg(time_msec() < deadline, "%s: %s", when, pings[i]);
            run(h, false, 50);
        }
    }
}

START_TEST(test_real)
{
    struct ovs_sandbox sandbox;
    struct fixture f;

    fixture_init(&f);
    ck_assert(!test_sh(-1, "ip -6 route add default via 2001:db8::1 metric 50"));
    ck_assert(!test_sh(f.outside, "ethtool -K far0 tx off >/dev/null; ip addr add 198.18.0.1/32 dev lo"));
    make_port("sluice0");
    ovs_sandbox_create(&sandbox);
    ovs_sandbox_start_ovsdb(&sandbox);
    free(ovs_sandbox_vsctl(&sandbox, "--no-wait init"));
    start_vswitchd(&sandbox);
    char *before = belongings("eth0");

    f.config.uplink_bridge = "br-uplink";
    f.config.uplink_bridge_pending = true;
    f.config.guard_af_packet = true;
    struct hostnet *h = start(&f);
    run(h, false, 100);
    assert_talks(h, "before");
    free(ovs_sandbox_vsctl(&sandbox, "add-br br-uplink -- set bridge br-uplink datapath_type=netdev "
                           "other-config:hwaddr=" ETH_ADDR_FMT " -- add-port br-uplink eth0",
                           ETH_ADDR_ARGS(hostnet_uplink(h)->mac)));
    assert_talks(h, "in the bridge, not yet taken over");
    f.config.uplink_bridge_pending = false;
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    assert_moved(before, "eth0", "br-uplink", "taken over");
    assert_talks(h, "taken over");

    /* The uplink's MTU. */
    ck_assert(!test_sh(f.outside, "ip link set far0 mtu 9000") && !test_sh(-1, "ip link set eth0 mtu 9000"));
    run(h, false, 200);
    ck_assert(!test_sh(-1, "ip -o link show br-uplink | grep -q 'mtu 9000'"));
    ck_assert(!test_sh(-1, "ip link set eth0 mtu 1400"));
    run(h, false, 200);
    ck_assert(!test_sh(-1, "ip -o link show br-uplink | grep -q 'mtu 1400'"));
    ck_assert(!test_sh(-1, "ip link set eth0 mtu 1500") && !test_sh(f.outside, "ip link set far0 mtu 1500"));

    /* Without the guard the kernel takes each packet twice. */
    ck_assert(!test_sh(f.outside, "ping -c5 -i0.1 192.0.2.5 | grep -q '5 received, 0%%'"));
    ck_assert(!test_sh(f.outside, "ping -6 -c5 -i0.1 2001:db8::5 | grep -q '5 received, 0%%'"));
    ck_assert(!test_sh(-1, "nft flush ruleset"));
    ck_assert_msg(!test_sh(f.outside, "ping -c5 -i0.1 192.0.2.5 | grep -q 'duplicates'"), "the test itself does not work");
    run(h, false, 200);
    ck_assert(test_sh(f.outside, "ping -c5 -i0.1 192.0.2.5 | grep -q 'duplicates'"));

    /* Killed (or just told to exit) it leaves the port behind; with a clean-up it takes the port along, and a bare
     * one comes back. */
    for (int i = 0; i < 3; i++) {
        bool in_order = i == 1;
        if (in_order) {
            ck_assert(!test_sh(-1, "ovs-appctl -t %s/vswitchd.ctl exit --cleanup", sandbox.dir));
        } else {
            kill(sandbox.ovs_vswitchd, SIGKILL);
        }
        waitpid(sandbox.ovs_vswitchd, NULL, 0);
        run(h, false, 200);
        ck_assert_int_eq(hostnet_ready(h), !in_order);
        ck_assert_int_eq(test_sh(-1, "ip link show br-uplink >/dev/null 2>&1") != 0, in_order);
        long long int start_ms = time_msec();
        start_vswitchd(&sandbox);
        ASSERT_READY(h);
        long long int ready_ms = time_msec();
        assert_talks(h, "ovs-vswitchd restarted");
        printf("ovs-vswitchd restarted after %s: addresses and routes back after %lld ms, talks %lld ms later\n",
               in_order ? "exit --cleanup" : "kill -9", ready_ms - start_ms, time_msec() - ready_ms);
        assert_moved(before, "eth0", "br-uplink", "ovs-vswitchd restarted");
    }

    f.config.uplink_bridge = NULL;
    hostnet_set(h, &f.config);
    ASSERT_READY(h);
    free(ovs_sandbox_vsctl(&sandbox, "del-br br-uplink"));
    run(h, false, 100);
    assert_moved(before, "br-uplink", "eth0", "given back");
    assert_talks(h, "given back");
    hostnet_destroy(h);
    ovs_sandbox_destroy(&sandbox);
    free(before);
    fixture_destroy(&f);
}
END_TEST

UNIT_MAIN("hostnet-ovs", {
    vlog_set_levels(NULL, VLF_CONSOLE, getenv("VERBOSE") ? VLL_DBG : VLL_OFF);
    if (!ovs_sandbox_possible()) {
        return TEST_SKIPPED;
    }
    tcase_add_test(tc, test_real);
})
