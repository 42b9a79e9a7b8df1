/* The choice of the datapath (issue 3, item 8). */

#include <config.h>

#include "controller/config.h"
#include "controller/datapath.h"

#include <errno.h>
#include <string.h>

#include "unit.h"
#include "util.h"

#define GB (1ULL << 30)

static const struct datapath_facts all = {
    .ovs_system = true, .ovs_netdev = true, .ovs_afxdp = true, .memory = 64 * GB,
};

static void
assert_choice(enum datapath wanted, struct datapath_facts facts, enum datapath expected, const char *reason)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    enum datapath datapath = DATAPATH_AUTO;
    char *why = NULL;
    ck_assert_int_eq(datapath_choose(wanted, &facts, &datapath, &why, &error), 0);
    ck_assert_int_eq(datapath, expected);
    ck_assert_ptr_nonnull(strstr(why, datapath_name(expected)));
    ck_assert_msg(strstr(why, reason), "\"%s\" does not say \"%s\"", why, reason);
    free(why);
}

static void
assert_refused(enum datapath wanted, struct datapath_facts facts, const char *reason)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    enum datapath datapath;
    char *why;
    ck_assert_int_eq(datapath_choose(wanted, &facts, &datapath, &why, &error), ENOTSUP);
    ck_assert_msg(strstr(error_message(&error), reason), "\"%s\" does not say \"%s\"", error_message(&error), reason);
}

START_TEST(test_auto)
{
    struct datapath_facts facts = all;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_KERNEL, "best that works");
    facts.kernel_error = ENOENT;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_AFXDP, "not kernel: the kernel has no openvswitch module");
    facts.kernel_error = 0;
    facts.ovs_system = false;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_AFXDP, "not kernel: this ovs-vswitchd has no datapath type");
    facts.afxdp_error = EAFNOSUPPORT;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_USERSPACE, "not afxdp: the kernel makes no AF_XDP socket");
    facts.ovs_afxdp = false;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_USERSPACE, "built without AF_XDP");
    facts.ovs_netdev = false;
    assert_refused(DATAPATH_AUTO, facts, "no datapath is possible; not kernel");
}
END_TEST

/* AF_XDP pins 75 MB for each port: "auto" does not take it where that would eat the node. */
START_TEST(test_auto_memory)
{
    struct datapath_facts facts = all;
    facts.kernel_error = EPERM;
    facts.memory = 33 * GB;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_AFXDP, "not kernel: the kernel does not answer");
    facts.memory = 32 * GB;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_USERSPACE, "not afxdp: its buffers for 110 pods are 8250 MB");
    assert_choice(DATAPATH_AFXDP, facts, DATAPATH_AFXDP, "as configured");
    facts.memory = 0;
    assert_choice(DATAPATH_AUTO, facts, DATAPATH_USERSPACE, "not afxdp");
}
END_TEST

START_TEST(test_explicit)
{
    struct datapath_facts facts = all;
    assert_choice(DATAPATH_KERNEL, facts, DATAPATH_KERNEL, "as configured");
    assert_choice(DATAPATH_USERSPACE, facts, DATAPATH_USERSPACE, "as configured");
    facts.kernel_error = ENOENT;
    assert_refused(DATAPATH_KERNEL, facts, "datapath kernel is configured but not possible: the kernel has no openvswitch");
    facts.ovs_afxdp = false;
    assert_refused(DATAPATH_AFXDP, facts, "afxdp-nonpmd");
    assert_choice(DATAPATH_USERSPACE, facts, DATAPATH_USERSPACE, "as configured");
    facts.ovs_netdev = false;
    assert_refused(DATAPATH_USERSPACE, facts, "netdev");
}
END_TEST

/* Without OVS there are no facts, and that is not "no datapath". */
START_TEST(test_probe_without_ovs)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct datapath_facts facts;
    struct ovsdb *ovsdb = ovsdb_create("unix:/nonexistent/db.sock");
    ck_assert_int_eq(datapath_probe(ovsdb, &facts, &error), EAGAIN);
    ovsdb_destroy(ovsdb);
}
END_TEST

UNIT_MAIN("datapath", {
    tcase_add_test(tc, test_auto);
    tcase_add_test(tc, test_auto_memory);
    tcase_add_test(tc, test_explicit);
    tcase_add_test(tc, test_probe_without_ovs);
})
