/* lib/cni-conf.h: environment and network configuration, good and bad.  cni P1 to P7, P12, A5, D1, D4, G1, G2, matrix 1
 * to 4 and 24. */

#include <stdio.h>
#include <string.h>

#include "cni-conf.h"
#include "unit.h"

#define ID "CNI_CONTAINERID=c1"
#define NS "CNI_NETNS=/run/netns/x"
#define IF "CNI_IFNAME=eth0"
#define PATH "CNI_PATH=/opt/cni/bin"
#define CMD(VERB) "CNI_COMMAND=" VERB
#define BASE "\"name\":\"net\",\"type\":\"ovs-cni\""
#define CONF(MORE) "{\"cniVersion\":\"1.1.0\"," BASE MORE "}"

#define MAX_VARS 8

static enum cni_code
env_parse(const char *const vars[], struct cni_env *env, char message[512])
{
    ERROR_AUTO struct error error = ERROR_INIT;
    enum cni_code code = cni_env_parse((char *const *) vars, env, &error);
    ck_assert_int_eq(code, error.code);
    snprintf(message, 512, "%s", error_message(&error));
    return code;
}

START_TEST(test_env)
{
    static const struct {
        const char *vars[MAX_VARS];
        enum cni_code code;
        const char *text;               /* Of the message. */
    } cases[] = {
        { { CMD("ADD"), ID, NS, IF, PATH }, CNI_OK, NULL },
        { { CMD("ADD"), ID, NS, IF }, CNI_OK, NULL },
        { { CMD("DEL"), ID, IF }, CNI_OK, NULL },
        { { CMD("DEL"), ID, IF, "CNI_NETNS=" }, CNI_OK, NULL },
        { { CMD("CHECK"), ID, NS, IF }, CNI_OK, NULL },
        { { CMD("STATUS") }, CNI_OK, NULL },
        { { CMD("GC"), PATH }, CNI_OK, NULL },
        { { CMD("VERSION") }, CNI_OK, NULL },
        { { CMD("VERSION"), "CNI_IFNAME=////" }, CNI_OK, NULL },
        { { CMD("add") }, CNI_E_ENVIRONMENT, "add" },
        { { CMD("UPDATE") }, CNI_E_ENVIRONMENT, "UPDATE" },
        { { CMD("ADD") }, CNI_E_ENVIRONMENT, "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME" },
        { { CMD("ADD"), NS, IF }, CNI_E_ENVIRONMENT, "missing: CNI_CONTAINERID" },
        { { CMD("ADD"), ID, IF }, CNI_E_ENVIRONMENT, "missing: CNI_NETNS" },
        { { CMD("ADD"), ID, NS }, CNI_E_ENVIRONMENT, "missing: CNI_IFNAME" },
        { { CMD("ADD"), ID, "CNI_NETNS=", IF }, CNI_E_ENVIRONMENT, "missing: CNI_NETNS" },
        { { CMD("CHECK"), ID, IF }, CNI_E_ENVIRONMENT, "missing: CNI_NETNS" },
        { { CMD("CHECK"), NS, IF }, CNI_E_ENVIRONMENT, "missing: CNI_CONTAINERID" },
        { { CMD("DEL"), IF }, CNI_E_ENVIRONMENT, "missing: CNI_CONTAINERID" },
        { { CMD("DEL"), ID }, CNI_E_ENVIRONMENT, "missing: CNI_IFNAME" },
        { { CMD("GC") }, CNI_E_ENVIRONMENT, "missing: CNI_PATH" },
        { { CMD("DEL"), "CNI_CONTAINERID=../x", IF }, CNI_E_ENVIRONMENT, "CNI_CONTAINERID" },
        { { CMD("ADD"), "CNI_CONTAINERID=a b", NS, IF }, CNI_E_ENVIRONMENT, "CNI_CONTAINERID" },
        { { CMD("ADD"), ID, NS, "CNI_IFNAME=1234567890123456" }, CNI_E_ENVIRONMENT, "CNI_IFNAME" },
        { { CMD("ADD"), ID, NS, "CNI_IFNAME=a/b" }, CNI_E_ENVIRONMENT, "CNI_IFNAME" },
        { { CMD("DEL"), ID, NS, "CNI_IFNAME=.." }, CNI_E_ENVIRONMENT, "CNI_IFNAME" },
        { { CMD("ADD"), ID, "CNI_NETNS=/\xff", IF }, CNI_E_ENVIRONMENT, "CNI_NETNS" },
        { { CMD("ADD"), ID, NS, "CNI_IFNAME=\xff" }, CNI_E_ENVIRONMENT, "CNI_IFNAME" },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=IgnoreUnknown=1;X=y" }, CNI_OK, NULL },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=X=y;IgnoreUnknown=true" }, CNI_OK, NULL },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_UID=" }, CNI_OK, NULL },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=X=y" }, CNI_E_ENVIRONMENT, "argument X" },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=IgnoreUnknown=0;X=y" }, CNI_E_ENVIRONMENT, "argument X" },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=IgnoreUnknown" }, CNI_E_ENVIRONMENT, "KEY=VALUE" },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=MAC=zz" }, CNI_E_ENVIRONMENT, "MAC=zz" },
        { { CMD("ADD"), ID, NS, IF, "CNI_ARGS=K8S_POD_NAME=a/../b" }, CNI_E_ENVIRONMENT, "K8S_POD_NAME" },
        { { CMD("DEL"), ID, IF, "CNI_ARGS=nonsense" }, CNI_OK, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cni_env env;
        char message[512];
        enum cni_code code = env_parse(cases[i].vars, &env, message);
        ck_assert_msg(code == cases[i].code, "case %zu: %d %s", i, code, message);
        ck_assert_msg(!cases[i].text || strstr(message, cases[i].text), "case %zu: %s", i, message);
        cni_env_destroy(&env);
    }
}
END_TEST

START_TEST(test_env_values)
{
    static const char *const vars[] = {
        CMD("ADD"), ID, NS, IF, PATH, "CNI_NETNS_OVERRIDE=TRUE", "TRACEPARENT=00-x",
        "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod-1;K8S_POD_UID=u-1;"
        "MAC=02:00:00:00:00:01;IP=10.0.0.9",
        NULL,
    };
    static const char *const none[] = { "PATH=/bin", "CNI_COMMAND=", NULL };
    struct cni_env env;
    char message[512];

    ck_assert_int_eq(env_parse(vars, &env, message), CNI_OK);
    ck_assert(env.netns_override && env.verb == CNI_ADD && !env.about);
    ck_assert_str_eq(env.pod_namespace, "ns");
    ck_assert_str_eq(env.pod_name, "pod-1");
    ck_assert_str_eq(env.pod_uid, "u-1");
    ck_assert_str_eq(env.mac, "02:00:00:00:00:01");
    ck_assert_str_eq(env.ip, "10.0.0.9");
    cni_env_destroy(&env);
    ck_assert_int_eq(env_parse(none, &env, message), CNI_OK);
    ck_assert(env.about);
}
END_TEST

static enum cni_code
conf_parse(enum cni_verb verb, const char *s, size_t size, struct cni_conf *conf, char message[512])
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_env env = { .verb = verb, .path = (char *) "/opt/cni/bin" };
    enum cni_code code = cni_conf_parse(s, size, &env, conf, &error);
    ck_assert_int_eq(code, error.code);
    snprintf(message, 512, "%s", error_message(&error));
    return code;
}

#define PREV ",\"prevResult\":{\"cniVersion\":\"1.1.0\",\"interfaces\":[],\"ips\":[]}"
#define RC(MORE) CONF(",\"runtimeConfig\":{" MORE "}")

START_TEST(test_conf)
{
    static const struct {
        enum cni_verb verb;
        const char *conf;
        enum cni_code code;
        const char *text;
    } cases[] = {
        { CNI_ADD, CONF(""), CNI_OK, NULL },
        { CNI_ADD, CONF(",\"unknown\":{\"x\":[1,null]},\"cni.dev/x\":1,\"args\":{\"other\":7}"), CNI_OK, NULL },
        { CNI_ADD, CONF(",\"ipam\":{},\"dns\":{},\"prevResult\":null,\"runtimeConfig\":null"), CNI_OK, NULL },
        { CNI_ADD, "", CNI_E_DECODE, "JSON" },
        { CNI_ADD, "{", CNI_E_DECODE, "JSON" },
        { CNI_ADD, "[]", CNI_E_DECODE, "object" },
        { CNI_ADD, "null", CNI_E_DECODE, "JSON" },
        { CNI_ADD, CONF("") " x", CNI_E_DECODE, "JSON" },
        { CNI_ADD, CONF(",\"name\":\"again\""), CNI_E_DECODE, "duplicate" },
        { CNI_ADD, CONF(",\"x\":\"\\u0000\""), CNI_E_DECODE, NULL },
        { CNI_ADD, CONF(",\"x\":\"\xff\""), CNI_E_DECODE, NULL },
        /* P7, V1, matrix 4. */
        { CNI_ADD, "{" BASE "}", CNI_E_VERSION, "missing" },
        { CNI_ADD, "{\"cniVersion\":\"\"," BASE "}", CNI_E_VERSION, "missing" },
        { CNI_ADD, "{\"cniVersion\":7," BASE "}", CNI_E_CONFIG, "cniVersion" },
        { CNI_ADD, "{\"cniVersion\":\"0.2.0\"," BASE "}", CNI_E_VERSION, "0.2.0" },
        { CNI_ADD, "{\"cniVersion\":\"1.2.0\"," BASE "}", CNI_E_VERSION, "1.2.0" },
        { CNI_ADD, "{\"cniVersion\":\"0.3.1\"," BASE "}", CNI_OK, NULL },
        { CNI_ADD, "{\"cniVersion\":\"0.4.0\"," BASE "}", CNI_OK, NULL },
        { CNI_ADD, "{\"cniVersion\":\"1.0.0\"," BASE "}", CNI_OK, NULL },
        { CNI_CHECK, "{\"cniVersion\":\"0.3.1\"," BASE PREV "}", CNI_E_VERSION, "0.4.0" },
        { CNI_CHECK, "{\"cniVersion\":\"0.4.0\"," BASE PREV "}", CNI_OK, NULL },
        { CNI_STATUS, "{\"cniVersion\":\"1.0.0\"," BASE "}", CNI_E_VERSION, "1.1.0" },
        { CNI_GC, "{\"cniVersion\":\"1.0.0\"," BASE ",\"cni.dev/valid-attachments\":[]}", CNI_E_VERSION, "1.1.0" },
        /* P4, P6. */
        { CNI_ADD, "{\"cniVersion\":\"1.1.0\"}", CNI_E_CONFIG, "name" },
        { CNI_ADD, "{\"cniVersion\":\"1.1.0\",\"name\":\"\"}", CNI_E_CONFIG, "name" },
        { CNI_ADD, "{\"cniVersion\":\"1.1.0\",\"name\":\"../x\"}", CNI_E_CONFIG, "name" },
        { CNI_ADD, "{\"cniVersion\":\"1.1.0\",\"name\":[]}", CNI_E_CONFIG, "name" },
        { CNI_ADD, CONF(",\"socket\":\"relative\""), CNI_E_CONFIG, "socket" },
        { CNI_ADD, CONF(",\"socket\":7"), CNI_E_CONFIG, "socket" },
        { CNI_ADD, CONF(",\"timeout\":0"), CNI_E_CONFIG, "timeout" },
        { CNI_ADD, CONF(",\"timeout\":\"5\""), CNI_E_CONFIG, "timeout" },
        { CNI_ADD, CONF(",\"mtu\":65536"), CNI_E_CONFIG, "mtu" },
        { CNI_ADD, CONF(",\"ipam\":[]"), CNI_E_CONFIG, "ipam" },
        { CNI_ADD, CONF(",\"ipam\":{\"type\":\"../../bin/sh\"}"), CNI_E_CONFIG, "type" },
        { CNI_ADD, CONF(",\"prevResult\":7"), CNI_E_CONFIG, "prevResult" },
        { CNI_ADD, CONF(",\"prevResult\":{\"ips\":{}}"), CNI_E_CONFIG, "ips" },
        { CNI_ADD, CONF(",\"dns\":7"), CNI_E_CONFIG, "dns" },
        { CNI_CHECK, CONF(""), CNI_E_CONFIG, "prevResult" },
        { CNI_CHECK, CONF(PREV), CNI_OK, NULL },
        { CNI_STATUS, CONF(""), CNI_OK, NULL },
        /* Wishes: CONVENTIONS.md. */
        { CNI_ADD, RC("\"portMappings\":[{\"hostPort\":1,\"containerPort\":2,\"protocol\":\"TCP\"}]"), CNI_OK, NULL },
        { CNI_ADD, RC("\"portMappings\":[{\"hostPort\":1,\"containerPort\":2,\"protocol\":\"x\"}]"), CNI_E_CONFIG,
          "protocol" },
        /* As containerd spells it. */
        { CNI_ADD,
          RC("\"portMappings\":[{\"HostPort\":1,\"ContainerPort\":2,\"Protocol\":\"tcp\",\"HostIP\":\"\"}]"),
          CNI_OK, NULL },
        { CNI_ADD, RC("\"portMappings\":[{\"HostPort\":1,\"ContainerPort\":2,\"Protocol\":\"x\"}]"), CNI_E_CONFIG,
          "protocol" },
        { CNI_ADD, RC("\"portMappings\":{}"), CNI_E_CONFIG, "portMappings" },
        { CNI_ADD, RC("\"mac\":\"01:00:00:00:00:00\""), CNI_E_CONFIG, "mac" },
        { CNI_ADD, RC("\"ips\":[\"300.0.0.1\"]"), CNI_E_CONFIG, "300.0.0.1" },
        { CNI_ADD, RC("\"bandwidth\":{\"ingressRate\":5}"), CNI_E_UNSUPPORTED, "\"bandwidth\" = {\"ingressRate\":5}" },
        { CNI_ADD, RC("\"deviceID\":\"0000:00:00.1\""), CNI_E_UNSUPPORTED, "deviceID" },
        { CNI_ADD, RC("\"ipRanges\":[]"), CNI_E_UNSUPPORTED, "ipRanges" },
        { CNI_ADD, CONF(",\"ipam\":{\"type\":\"host-local\"},\"runtimeConfig\":{\"ipRanges\":[]}"), CNI_OK, NULL },
        { CNI_ADD,
          RC("\"dns\":{\"servers\":[]},\"cgroupPath\":\"/x\",\"aliases\":[],\"io.kubernetes.cri.pod-annotations\":{}"),
          CNI_OK, NULL },
        { CNI_ADD, CONF(",\"args\":{\"cni\":{\"ips\":7}}"), CNI_E_CONFIG, "ips" },
        /* DEL forgives: D1, D4. */
        { CNI_DEL, CONF(",\"prevResult\":7"), CNI_OK, NULL },
        { CNI_DEL, CONF(",\"prevResult\":{\"ips\":\"?\"},\"runtimeConfig\":[],\"args\":7,\"dns\":1"), CNI_OK, NULL },
        { CNI_DEL, RC("\"bandwidth\":{}"), CNI_OK, NULL },
        /* G1, G2. */
        { CNI_GC, CONF(""), CNI_E_CONFIG, "valid-attachments" },
        { CNI_GC, CONF(",\"cni.dev/valid-attachments\":null"), CNI_OK, NULL },
        { CNI_GC, CONF(",\"cni.dev/valid-attachments\":[]"), CNI_OK, NULL },
        { CNI_GC, CONF(",\"cni.dev/attachments\":[{\"containerID\":\"a\",\"ifname\":\"eth0\"}]"), CNI_OK, NULL },
        { CNI_GC, CONF(",\"cni.dev/valid-attachments\":[{\"containerID\":\"a\"}]"), CNI_E_CONFIG, "ifname" },
        { CNI_GC, CONF(",\"cni.dev/valid-attachments\":{}"), CNI_E_CONFIG, "valid-attachments" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cni_conf conf;
        char message[512];
        enum cni_code code = conf_parse(cases[i].verb, cases[i].conf, strlen(cases[i].conf), &conf, message);
        ck_assert_msg(code == cases[i].code, "%s: %d %s", cases[i].conf, code, message);
        ck_assert_msg(!cases[i].text || strstr(message, cases[i].text), "%s: %s", cases[i].conf, message);
        cni_conf_destroy(&conf);
    }
}
END_TEST

START_TEST(test_conf_values)
{
    static const char text[] = CONF(
        ",\"socket\":\"/s\",\"spool\":\"/d\",\"timeout\":7,\"wait\":0,\"mtu\":1400,\"ipam\":{\"type\":\"static\"},"
        "\"args\":{\"cni\":{\"ips\":[\"10.0.0.1\"],\"mac\":\"02:00:00:00:00:01\"}},"
        "\"runtimeConfig\":{\"ips\":[\"10.0.0.2\","
        "\"fd00::2/64\"],\"portMappings\":[{\"hostPort\":0,\"containerPort\":1},"
        "{\"HostPort\":2,\"ContainerPort\":3,\"HostIP\":\"10.0.0.7\"}]}");
    struct cni_env env = { .verb = CNI_ADD, .path = (char *) "/x", .mac = (char *) "02:00:00:00:00:09",
                           .ip = (char *) "10.0.0.9", .container_id = (char *) "c", .ifname = (char *) "eth0",
                           .netns = (char *) "/n", .pod_name = (char *) "p" };
    struct cni_conf conf;
    struct cni_request r;

    ck_assert_int_eq(cni_conf_parse(text, strlen(text), &env, &conf, NULL), CNI_OK);
    ck_assert_str_eq(conf.socket, "/s");
    ck_assert_str_eq(conf.ipam_type, "static");
    ck_assert(conf.timeout == 7 && conf.wait == 0 && conf.mtu == 1400);
    ck_assert_str_eq(conf.mac, "02:00:00:00:00:01");    /* args before CNI_ARGS, */
    ck_assert(conf.n_ips == 2 && !strcmp(conf.ips[0], "10.0.0.2"));     /* runtimeConfig before args. */
    ck_assert(conf.n_ports == 1 && conf.ports[0].container_port == 3 && !strcmp(conf.ports[0].protocol, "tcp"));
    ck_assert(conf.ports[0].host_port == 2 && !strcmp(conf.ports[0].host_ip, "10.0.0.7"));

    ck_assert(cni_conf_to_request(&conf, &env, &r));
    ck_assert(r.verb == CNI_ADD && r.n_ips == 2 && r.n_ports == 1 && r.mtu == 1400 && !r.delegated);
    ck_assert_str_eq(r.network, "net");
    ck_assert_str_eq(r.pod_name, "p");
    ck_assert_str_eq(r.ports[0].protocol, "tcp");
    cni_request_destroy(&r);
    cni_conf_destroy(&conf);

    ck_assert_int_eq(cni_conf_parse(CONF(""), strlen(CONF("")), &env, &conf, NULL), CNI_OK);
    ck_assert_str_eq(conf.mac, env.mac);                /* CNI_ARGS when nothing else says it. */
    ck_assert(conf.n_ips == 1 && !strcmp(conf.ips[0], env.ip) && conf.wait == -1);
    cni_conf_destroy(&conf);
}
END_TEST

/* Matrix 3: huge, deep and truncated. */
START_TEST(test_conf_hostile)
{
    char message[512];
    struct cni_conf conf;
    char *huge = malloc(CNI_CONF_MAX + 2);

    memset(huge, ' ', CNI_CONF_MAX + 2);
    memcpy(huge, CONF(""), strlen(CONF("")));
    ck_assert_int_eq(conf_parse(CNI_ADD, huge, CNI_CONF_MAX, &conf, message), CNI_OK);
    cni_conf_destroy(&conf);
    ck_assert_int_eq(conf_parse(CNI_ADD, huge, CNI_CONF_MAX + 1, &conf, message), CNI_E_DECODE);
    memset(huge, '[', CNI_CONF_MAX);
    ck_assert_int_eq(conf_parse(CNI_ADD, huge, CNI_CONF_MAX, &conf, message), CNI_E_DECODE);
    for (size_t i = 0; i < CNI_CONF_MAX - 5; i += 5) {
        memcpy(huge + i, "{\"a\":", 5);
    }
    ck_assert_int_eq(conf_parse(CNI_ADD, huge, CNI_CONF_MAX, &conf, message), CNI_E_DECODE);
    free(huge);

    static const char good[] = CONF(PREV ",\"runtimeConfig\":{\"ips\":[\"10.0.0.1\"]}");
    for (size_t i = 0; i < strlen(good); i++) {
        char *part = malloc(i ? i : 1);
        memcpy(part, good, i);
        ck_assert_int_eq(conf_parse(CNI_ADD, part, i, &conf, message), CNI_E_DECODE);
        free(part);
    }
}
END_TEST

START_TEST(test_peek_version)
{
    static const struct { const char *text, *version; } cases[] = {
        { "", "1.1.0" }, { "{", "1.1.0" }, { "[]", "1.1.0" }, { "{}", "1.1.0" }, { "{\"cniVersion\":7}", "1.1.0" },
        { "{\"cniVersion\":\"0.4.0\"}", "0.4.0" }, { "{\"cniVersion\":\"9.9.9\"}", "9.9.9" },
        { "{\"cniVersion\":\"00000000000000000000000000000000000000000000000000000000000000000000\"}", "1.1.0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *version = cni_conf_peek_version(cases[i].text, strlen(cases[i].text));
        ck_assert_str_eq(version, cases[i].version);
        free(version);
    }
}
END_TEST

UNIT_MAIN("cni-conf", {
    tcase_add_test(tc, test_env);
    tcase_add_test(tc, test_env_values);
    tcase_add_test(tc, test_conf);
    tcase_add_test(tc, test_conf_values);
    tcase_add_test(tc, test_conf_hostile);
    tcase_add_test(tc, test_peek_version);
})
