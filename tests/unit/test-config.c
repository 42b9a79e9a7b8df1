#include <config.h>

#include <errno.h>
#include <string.h>

#include "controller/config.h"
#include "unit.h"
#include "util.h"

START_TEST(test_defaults)
{
    struct config config;

    config_init(&config);
    ck_assert(config.node[0]);
    ck_assert_str_eq(config.source, "kubernetes");
    ck_assert_int_eq(config.datapath, DATAPATH_AUTO);
    ck_assert_int_eq(config.quarantine_ms, 60000);
    ck_assert_uint_eq(config.n_service_cidrs, 2);
    ck_assert(IN6_IS_ADDR_UNSPECIFIED(&config.healthz_addr) && config.healthz_port == 10256);
    ck_assert(!config_validate(&config, NULL));
    config_destroy(&config);
}
END_TEST

START_TEST(test_everything)
{
    static const char yaml[] =
        "node: worker-1\nsource: /etc/sluice/manifests\nkubeconfig: /x\ndatapath: userspace\nencapsulation: hybrid\n"
        "uplink: eth0\nmtu: 1400\npod-cidrs: [10.244.1.0/24, 'fd00::/64']\nservice-cidrs: []\nmasquerade: false\n"
        "ipam: {mode: host, quarantine: 5m, reserve: [10.244.1.0/28]}\nrun-dir: /r\nstate-dir: /s\n"
        "ovsdb: unix:/o\novs-rundir: /or\nlog-file: /l\n"
        "policy-log: drops\npolicy-log-file: /p\ndomain-idle: 90s\nhealthz: 127.0.0.1:80\n";
    ERROR_AUTO struct error error = ERROR_INIT;
    struct config c;

    config_init(&c);
    ck_assert_msg(!config_parse(&c, "t", yaml, strlen(yaml), &error), "%s", error_message(&error));
    ck_assert_str_eq(c.node, "worker-1");
    ck_assert_int_eq(c.datapath, DATAPATH_USERSPACE);
    ck_assert_int_eq(c.encapsulation, ENCAP_HYBRID);
    ck_assert_int_eq(c.mtu, 1400);
    ck_assert(c.n_pod_cidrs == 2 && c.n_service_cidrs == 0 && c.n_reserve == 1);
    ck_assert(!c.masquerade && c.quarantine_ms == 300000);
    ck_assert_str_eq(c.log_file, "/l");
    ck_assert(c.policy_log == FLOW_LOG_DROPS);
    ck_assert_str_eq(c.policy_log_file, "/p");
    ck_assert_int_eq(c.domain_idle_ms, 90000);

    ck_assert(inet_is_v4(&c.healthz_addr) && c.healthz_addr.s6_addr[12] == 127 && c.healthz_port == 80);

    /* An option overrides, and a list as an option replaces. */
    ck_assert(!config_set(&c, "pod-cidrs", "10.1.0.0/24", &error) && c.n_pod_cidrs == 1);
    ck_assert(!config_set(&c, "ipam-quarantine", "0", &error) && c.quarantine_ms == 0);
    config_destroy(&c);
}
END_TEST

/* services 30. */
START_TEST(test_healthz)
{
    static const char *const bad[] = { "", "10256", ":10256", "0.0.0.0", "0.0.0.0:0", "0.0.0.0:65536", "0.0.0.0:x",
                                       "[0.0.0.0]:80", "::1:80", "[::1]", "[::1]:", "[]:80", "host:80", "None" };
    struct config c;

    config_init(&c);
    ck_assert(!config_set(&c, "healthz", "[fd00::1]:81", NULL));
    ck_assert(c.healthz_port == 81 && c.healthz_addr.s6_addr[0] == 0xfd && c.healthz_addr.s6_addr[15] == 1);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        ck_assert_msg(config_set(&c, "healthz", bad[i], &error), "%s", bad[i]);
        ck_assert(c.healthz_port == 81);
    }
    ck_assert(!config_set(&c, "healthz", "0.0.0.0:10256", NULL));
    ck_assert(inet_is_v4(&c.healthz_addr) && c.healthz_port == 10256);
    ck_assert(!config_set(&c, "healthz", "none", NULL) && !c.healthz_port);
    config_destroy(&c);
}
END_TEST

START_TEST(test_bad)
{
    static const struct {
        const char *yaml, *want;
    } cases[] = {
        { "node: a\nencapsulatoin: geneve\n", "t:2: unknown key \"encapsulatoin\": did you mean \"encapsulation\"?" },
        { "node: a\nipam:\n  quarantin: 1s\n", "t:3: unknown key \"quarantin\": did you mean \"quarantine\"?" },
        { "ipm: {}\n", "did you mean \"ipam\"?" },
        { "quarantine: 1s\n", "unknown key \"quarantine\"" },
        { "mtu: 100\n", "t:1: mtu: \"100\" is neither auto nor a number" },
        { "datapath: dpdk\n", "\"dpdk\" is none of auto, kernel, afxdp, userspace" },
        { "pod-cidrs: 10.0.0.0/8\n", "must be a list" },
        { "pod-cidrs: [10.0.0.1/8]\n", "did you mean 10.0.0.0/8?" },
        { "node: [a]\n", "must be one value" },
        { "node: ''\n", "must not be empty" },
        { "ipam: {quarantine: 2h}\n", "not a time" },
        { "ipam: {quarantine: 60}\n", "not a time" },
        { "ipam: {quarantine: -1s}\n", "not a time" },
        { "ipam: {mode: cluster}\n", "use host" },
        { "ipam: host\n", "must be a mapping" },
        { "- a\n", "the file must be a mapping" },
        { "node: a\nnode: b\n", "t:2: this key stands here twice" },
        { "node: \"a\\0b\"\n", "must be one value" },
        { "uplink: a/b\n", "cannot be the name of an interface" },
        { "node: {", "t:2: " },
        { "masquerade: maybe\n", "none of auto, true, false" },
        { "domain-idle: 2h\n", "not a time" },
        { "policy-log: yes\n", "policy-log: \"yes\" is none of none, drops, all" },
        { "? {a: b}\n: c\n", "unknown key \"?\"" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct config config;

        config_init(&config);
        ck_assert_msg(config_parse(&config, "t", cases[i].yaml, strlen(cases[i].yaml), &error), "taken: %s", cases[i].yaml);
        ck_assert_msg(strstr(error_message(&error), cases[i].want), "\"%s\" is not in \"%s\"", cases[i].want,
                      error_message(&error));
        ck_assert_str_eq(config.source, "kubernetes");          /* Unchanged. */
        config_destroy(&config);
    }
}
END_TEST

START_TEST(test_overlap)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct config c;

    config_init(&c);
    ck_assert(!config_set(&c, "pod-cidrs", "10.96.0.0/24", &error));
    ck_assert_int_eq(config_validate(&c, &error), EINVAL);
    config_destroy(&c);
    config_init(&c);
    ck_assert_int_eq(config_load(&c, "/nonexistent/x", &error), ENOENT);
    ck_assert_int_eq(config_set(&c, "nod", "x", &error), EINVAL);
    ck_assert_msg(strstr(error_message(&error), "\"node\""), "%s", error_message(&error));
    config_destroy(&c);
}
END_TEST

UNIT_MAIN("config", {
    tcase_add_test(tc, test_defaults);
    tcase_add_test(tc, test_everything);
    tcase_add_test(tc, test_healthz);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_overlap);
})
