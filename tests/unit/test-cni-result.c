/* ovs-cni/result.h: results in every version, chained or not, and prevResult read back.  cni A2 to A5, C1, V1. */

#include <string.h>

#include "result.h"
#include "unit.h"

static const char reply[] =
    "{\"v\":1,\"code\":0,\"result\":{\"hostIfname\":\"slp0\",\"hostMac\":\"02:00:00:00:00:02\",\"ifname\":\"eth0\","
    "\"mac\":\"02:00:00:00:00:01\",\"mtu\":1400,\"ips\":[{\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
    "{\"address\":\"fd00::5/128\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\",\"mtu\":1300}]}}";

static json_t *
make(enum cni_version version, const char *prev, const char *dns)
{
    json_t *prev_json = prev ? json_loads(prev, 0, NULL) : NULL, *dns_json = dns ? json_loads(dns, 0, NULL) : NULL;
    struct cni_reply r;

    ck_assert(!prev == !prev_json && !dns == !dns_json);
    ck_assert_int_eq(cni_reply_parse(reply, strlen(reply), &r, NULL), 0);
    json_t *result = result_create(version, prev_json, &r.result, "/run/netns/x", dns_json);
    ck_assert(result != NULL);
    cni_reply_destroy(&r);
    json_decref(prev_json);
    json_decref(dns_json);
    return result;
}

static void
assert_result(enum cni_version version, const char *prev, const char *dns, const char *expected_text)
{
    json_t *result = make(version, prev, dns), *expected = json_loads(expected_text, 0, NULL);
    char *text = json_dumps(result, JSON_COMPACT);
    ck_assert(expected != NULL);
    ck_assert_msg(json_equal(result, expected), "%s", text);
    free(text);
    json_decref(result);
    json_decref(expected);
}

#define HOST "{\"name\":\"slp0\",\"mac\":\"02:00:00:00:00:02\"}"
#define POD "{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/run/netns/x\"}"
#define ROUTE "{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}"

START_TEST(test_versions)
{
    assert_result(CNI_V_0_3_1, NULL, NULL,
                  "{\"cniVersion\":\"0.3.1\",\"interfaces\":[" HOST "," POD "],\"ips\":["
                  "{\"version\":\"4\",\"interface\":1,\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
                  "{\"version\":\"6\",\"interface\":1,\"address\":\"fd00::5/128\"}],\"routes\":[" ROUTE "]}");
    assert_result(CNI_V_0_4_0, NULL, "{\"nameservers\":[\"1.1.1.1\"]}",
                  "{\"cniVersion\":\"0.4.0\",\"interfaces\":[" HOST "," POD "],\"ips\":["
                  "{\"version\":\"4\",\"interface\":1,\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
                  "{\"version\":\"6\",\"interface\":1,\"address\":\"fd00::5/128\"}],\"routes\":[" ROUTE "],"
                  "\"dns\":{\"nameservers\":[\"1.1.1.1\"]}}");
    assert_result(CNI_V_1_0_0, NULL, NULL,
                  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[" HOST "," POD "],\"ips\":["
                  "{\"interface\":1,\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
                  "{\"interface\":1,\"address\":\"fd00::5/128\"}],\"routes\":[" ROUTE "]}");
    assert_result(CNI_V_1_1_0, NULL, NULL,
                  "{\"cniVersion\":\"1.1.0\",\"interfaces\":["
                  "{\"name\":\"slp0\",\"mac\":\"02:00:00:00:00:02\",\"mtu\":1400},"
                  "{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\","
                  "\"mtu\":1400,\"sandbox\":\"/run/netns/x\"}],\"ips\":["
                  "{\"interface\":1,\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
                  "{\"interface\":1,\"address\":\"fd00::5/128\"}],"
                  "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\",\"mtu\":1300}]}");
}
END_TEST

#define PREV "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"lo\",\"x\":1}]," \
             "\"ips\":[{\"address\":\"127.0.0.1/8\",\"interface\":0}],\"routes\":[{\"dst\":\"9.0.0.0/8\"}]," \
             "\"dns\":{\"domain\":\"d\"},\"foreign\":[7]}"

START_TEST(test_chained)
{
    assert_result(CNI_V_1_0_0, PREV, "{\"domain\":\"ours\"}",
                  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"lo\",\"x\":1}," HOST "," POD "],\"ips\":["
                  "{\"address\":\"127.0.0.1/8\",\"interface\":0},"
                  "{\"interface\":2,\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
                  "{\"interface\":2,\"address\":\"fd00::5/128\"}],\"routes\":[{\"dst\":\"9.0.0.0/8\"}," ROUTE "],"
                  "\"dns\":{\"domain\":\"d\"},\"foreign\":[7]}");
    assert_result(CNI_V_1_0_0, "{\"cniVersion\":\"1.0.0\",\"ips\":null}", NULL,
                  "{\"cniVersion\":\"1.0.0\",\"interfaces\":[" HOST "," POD "],\"ips\":["
                  "{\"interface\":1,\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"},"
                  "{\"interface\":1,\"address\":\"fd00::5/128\"}],\"routes\":[" ROUTE "]}");
}
END_TEST

START_TEST(test_read_back)
{
    static const char *const prevs[] = { NULL, PREV };

    for (enum cni_version v = CNI_V_0_4_0; v < CNI_N_VERSIONS; v++) {
        for (int i = 0; i < 2; i++) {
            ERROR_AUTO struct error error = ERROR_INIT;
            struct cni_request r = { .verb = CNI_CHECK };
            json_t *result = make(v, prevs[i], NULL);
            ck_assert_msg(!result_to_check(result, "eth0", "/run/netns/x", &r, &error), "%s", error_message(&error));
            ck_assert_str_eq(r.check_host_ifname, "slp0");
            ck_assert_str_eq(r.check_mac, "02:00:00:00:00:01");
            ck_assert_int_eq(r.check_mtu, v == CNI_V_1_1_0 ? 1400 : 0);
            ck_assert_uint_eq(r.n_check_ips, 2);        /* Not the foreign one. */
            ck_assert_str_eq(r.check_ips[1].address, "fd00::5/128");
            ck_assert_uint_eq(r.n_check_routes, i ? 2 : 1);
            cni_request_destroy(&r);

            ck_assert_int_eq(result_to_check(result, "eth1", "/run/netns/x", &r, &error), CNI_E_CONFIG);
            ck_assert_int_eq(result_to_check(result, "eth0", "/run/netns/y", &r, &error), CNI_E_CONFIG);
            json_decref(result);
        }
    }
}
END_TEST

START_TEST(test_read_back_bad)
{
    static const char *const bad[] = {
        "{}", "{\"interfaces\":7}", "{\"interfaces\":[7]}", "{\"interfaces\":[{\"name\":\"eth0\"}]}",
        "{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/n\",\"mac\":7}]}",
        "{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/n\"}],\"ips\":{}}",
        "{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/n\"}],\"ips\":[{\"interface\":0,\"address\":\"x\"}]}",
        "{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/n\"}],\"routes\":[{\"dst\":7}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct cni_request r = { .verb = CNI_CHECK };
        json_t *prev = json_loads(bad[i], 0, NULL);
        ck_assert_msg(result_to_check(prev, "eth0", "/n", &r, &error) == CNI_E_CONFIG, "taken: %s", bad[i]);
        ck_assert_int_eq(error.code, CNI_E_CONFIG);
        cni_request_destroy(&r);
        json_decref(prev);
    }
}
END_TEST

UNIT_MAIN("cni-result", {
    tcase_add_test(tc, test_versions);
    tcase_add_test(tc, test_chained);
    tcase_add_test(tc, test_read_back);
    tcase_add_test(tc, test_read_back_bad);
})
