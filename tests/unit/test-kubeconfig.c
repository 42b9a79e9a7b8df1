/* lib/kubeconfig.h: issue 4, item 2; each refusal beside what is taken. */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "kubeconfig.h"
#include "unit.h"
#include "util.h"

/* Base64 of a certificate block and of a key block that hold "MIIB". */
#define CERT_DATA "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tClRVbEpRZz09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
#define KEY_DATA "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tClRVbEpRZz09Ci0tLS0tRU5EIFBSSVZBVEUgS0VZLS0tLS0K"

/* A kubeconfig whose cluster and user are these flow mappings. */
#define CONFIG(CLUSTER, USER) \
    "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {name: c, context: {cluster: k, user: u}}\n" \
    "clusters:\n- {name: k, cluster: {" CLUSTER "}}\nusers:\n- {name: u, user: {" USER "}}\n"
#define SERVER "server: 'https://192.0.2.1:6443'"

static int
parse(const char *text, struct kubeconfig *config, struct error *error)
{
    struct kubeconfig_text one = { "/etc/k/config", text, strlen(text) };
    return kubeconfig_parse(&one, 1, config, error);
}

static void
good(const char *text, struct kubeconfig *config)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    ck_assert_msg(!parse(text, config, &error), "%s", error_message(&error));
}

static void
bad(const char *text, const char *want)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kubeconfig config;

    ck_assert_msg(parse(text, &config, &error), "taken: %s", text);
    ck_assert_msg(strstr(error_message(&error), want), "\"%s\" is not in \"%s\"", want, error_message(&error));
    ck_assert_msg(!strstr(error_message(&error), "s3cret"), "a secret in \"%s\"", error_message(&error));
}

START_TEST(test_token)
{
    struct kubeconfig config;

    good(CONFIG(SERVER, "token: abc.def"), &config);
    ck_assert_str_eq(config.server, "https://192.0.2.1:6443");
    ck_assert_str_eq(config.token, "abc.def");
    ck_assert_str_eq(config.user, "u");
    ck_assert(!config.server_name && !config.proxy && !config.ca.path && !config.ca.pem.data && !config.username);
    kubeconfig_destroy(&config);

    good(CONFIG(SERVER, "token: abc, tokenFile: t/token"), &config);
    ck_assert_str_eq(config.token, "abc");
    ck_assert_str_eq(config.token_path, "/etc/k/t/token");
    kubeconfig_destroy(&config);

    bad(CONFIG(SERVER, "token: 12"), "/etc/k/config: user \"u\": \"token\" must be a string");
    bad(CONFIG(SERVER, "token: 's3cret s3cret'"), "the token has a space or another character at position 7");
    bad(CONFIG(SERVER, "token: \"s3cret\\r\\nX: y\""), "at position 7");
    bad(CONFIG(SERVER, "token: ''"), "user \"u\": it has no credentials");
}
END_TEST

START_TEST(test_certificates)
{
    struct kubeconfig config;

    good(CONFIG(SERVER ", certificate-authority: ca.pem", "client-certificate: /a/cert.pem, client-key: ../key.pem"),
         &config);
    ck_assert_str_eq(config.ca.path, "/etc/k/ca.pem");
    ck_assert_str_eq(config.certificate.path, "/a/cert.pem");
    ck_assert_str_eq(config.key.path, "/etc/k/../key.pem");
    kubeconfig_destroy(&config);

    /* Data wins over files. */
    good(CONFIG(SERVER ", certificate-authority: ca.pem, certificate-authority-data: " CERT_DATA,
                "client-certificate: c, client-key: k, client-certificate-data: " CERT_DATA
                ", client-key-data: " KEY_DATA),
         &config);
    ck_assert(!config.ca.path && !config.certificate.path && !config.key.path);
    ck_assert_uint_eq(config.ca.pem.size, strlen(config.ca.pem.data));
    ck_assert(strstr(config.ca.pem.data, "BEGIN CERTIFICATE"));
    ck_assert(strstr(config.certificate.pem.data, "BEGIN CERTIFICATE")
              && strstr(config.key.pem.data, "BEGIN PRIVATE KEY"));
    kubeconfig_destroy(&config);

    bad(CONFIG(SERVER ", certificate-authority-data: '*'", "token: t"),
        "/etc/k/config: cluster \"k\": \"certificate-authority-data\" is not Base64");
    bad(CONFIG(SERVER ", certificate-authority-data: " KEY_DATA, "token: t"), "no certificate in it");
    bad(CONFIG(SERVER, "client-certificate-data: " CERT_DATA ", client-key-data: " CERT_DATA), "no private key in it");
    bad(CONFIG(SERVER, "client-certificate: c"), "\"client-certificate\" without \"client-key\"");
    bad(CONFIG(SERVER, "client-key: c"), "\"client-key\" without \"client-certificate\"");
}
END_TEST

START_TEST(test_password)
{
    struct kubeconfig config;

    good(CONFIG(SERVER, "username: a, password: b"), &config);
    ck_assert_str_eq(config.username, "a");
    ck_assert_str_eq(config.password, "b");
    kubeconfig_destroy(&config);
    good(CONFIG(SERVER, "username: a"), &config);
    ck_assert_str_eq(config.password, "");
    kubeconfig_destroy(&config);

    bad(CONFIG(SERVER, "password: s3cret"), "\"password\" without \"username\"");
    bad(CONFIG(SERVER, "username: 'a:b'"), "may not have a colon");
    bad(CONFIG(SERVER, "username: a, password: b, token: t"), "only one of them");
    bad(CONFIG(SERVER, "username: a, password: b, tokenFile: t"), "only one of them");
}
END_TEST

START_TEST(test_server)
{
    static const struct {
        const char *server, *want;
    } taken[] = {
        { "https://a", "https://a" },
        { "https://a/", "https://a" },
        { "https://a:443/k8s/x//", "https://a:443/k8s/x" },
        { "HTTPS://[fd00::1]:6443", "HTTPS://[fd00::1]:6443" },
    }, refused[] = {
        { "http://a", "is not encrypted" },
        { "a:6443", "must begin with \"https://\"" },
        { "ftp://a", "must begin with" },
        { "https://", "is not a URL" },
        { "https://a:99999", "is not a URL" },
        { "https://a:b", "is not a URL" },
        { "https://a b", "is not a URL" },
        { "https://[fd00::1", "is not a URL" },
        { "https://u:s3cret@a", "a user and a password stand in the URL" },
        { "https://a/?x=y", "a query or a fragment" },
        { "https://a#x", "a query or a fragment" },
        { "", "cluster \"k\": it has no \"server\"" },
    };
    struct kubeconfig config;
    char text[1024];

    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        snprintf(text, sizeof text, CONFIG("server: '%s'", "token: t"), taken[i].server);
        good(text, &config);
        ck_assert_str_eq(config.server, taken[i].want);
        kubeconfig_destroy(&config);
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        snprintf(text, sizeof text, CONFIG("server: '%s'", "token: t"), refused[i].server);
        bad(text, refused[i].want);
    }
}
END_TEST

START_TEST(test_cluster)
{
    struct kubeconfig config;

    good(CONFIG(SERVER ", tls-server-name: kube.example, proxy-url: 'socks5://p:1', insecure-skip-tls-verify: false",
                "token: t"), &config);
    ck_assert_str_eq(config.server_name, "kube.example");
    ck_assert_str_eq(config.proxy, "socks5://p:1");
    kubeconfig_destroy(&config);
    good(CONFIG(SERVER ", proxy-url: ''", "token: t"), &config);
    ck_assert(!config.proxy);
    kubeconfig_destroy(&config);

    bad(CONFIG(SERVER ", insecure-skip-tls-verify: true", "token: t"),
        "\"insecure-skip-tls-verify\": a server that is not verified");
    bad(CONFIG(SERVER ", insecure-skip-tls-verify: 'no'", "token: t"), "must be true or false");
    bad(CONFIG(SERVER ", tls-server-name: 'a/b'", "token: t"), "neither a host name nor an address");
    bad(CONFIG(SERVER ", proxy-url: 'ftp://p'", "token: t"), "\"proxy-url\": it must begin with");
    bad(CONFIG(SERVER ", proxy-url: 'http://u:s3cret@'", "token: t"), "\"proxy-url\": it is not a URL");
    bad(CONFIG("", "token: t"), "it has no \"server\"");
}
END_TEST

START_TEST(test_refused)
{
    struct kubeconfig config;

    good(CONFIG(SERVER, "exec: null, auth-provider: ~, as: null, token: t"), &config);
    kubeconfig_destroy(&config);
    bad(CONFIG(SERVER, "exec: {command: aws}"), "\"exec\": a network daemon does not run other programs");
    bad(CONFIG(SERVER, "exec: {command: aws}"),
        "use a \"tokenFile\" that something else renews, or a client certificate");
    bad(CONFIG(SERVER, "exec: {}, token: t"), "\"exec\"");
    bad(CONFIG(SERVER, "auth-provider: {name: gcp}"), "\"auth-provider\"");
    bad(CONFIG(SERVER, "token: t, as: root"), "\"as\": acting as somebody else");
    bad(CONFIG(SERVER, "token: t, as-groups: [a]"), "\"as-groups\": acting as somebody else");
    bad(CONFIG(SERVER, ""), "it has no credentials");
}
END_TEST

START_TEST(test_structure)
{
    struct kubeconfig config;

    /* JSON; members that nobody knows. */
    good("{\"current-context\":\"c\","
         "\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\",\"user\":\"u\",\"x\":1}}],"
         "\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"https://a\"}}],"
         "\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"t\"}}],\"preferences\":{}}", &config);
    ck_assert_str_eq(config.server, "https://a");
    kubeconfig_destroy(&config);
    /* Without a user: anonymous, if the context says so. */
    good("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
         "clusters: [{name: k, cluster: {" SERVER "}}]\n", &config);
    ck_assert(!config.user && !config.token);
    kubeconfig_destroy(&config);

    bad("", "no \"current-context\"");
    bad("current-context: ''", "kubectl config use-context NAME");
    bad("[]", "/etc/k/config:1: not a kubeconfig");
    bad("apiVersion: v1\nkind: Pod\n", "not a kubeconfig");
    bad("apiVersion: v2\nkind: Config\n", "not a kubeconfig");
    bad("a: [", "/etc/k/config:2: did not find");
    bad("a: 1\n---\nb: 2\n", "/etc/k/config:3: a second document");
    bad("current-context: c", "there is no context \"c\", which is needed because \"current-context\" names it");
    bad("current-context: c\ncontexts: {c: 1}", "\"contexts\" must be a list");
    bad("current-context: c\ncontexts: [1]", "\"contexts\": element 1 has no name");
    bad("current-context: c\ncontexts: [{name: c}]", "\"contexts\": \"c\" has no object \"context\"");
    bad("current-context: c\ncontexts: [{name: c, context: {}}]", "context \"c\" names no cluster");
    bad("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]", "there is no cluster \"k\"");
    bad("current-context: c\ncontexts: [{name: c, context: {}}, {name: c, context: {}}]",
        "\"contexts\" has \"c\" twice");
    bad("current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {" SERVER "}}]\n", "there is no user \"u\"");
}
END_TEST

/* As kubectl does: the first file with a name has all of it. */
START_TEST(test_merge)
{
    static const char first[] = "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "users: [{name: u, user: {tokenFile: token}}]\n";
    static const char second[] = "current-context: c\ncontexts: [{name: c, context: {cluster: other}}]\n"
        "clusters: [{name: k, cluster: {" SERVER ", certificate-authority: ca}}]\n"
        "users: [{name: u, user: {token: t}}]\n";
    static const char third[] = "current-context: d\nclusters: [{name: k, cluster: {server: 'https://no'}}]\n";
    const struct kubeconfig_text texts[] = {
        { "/a/config", first, strlen(first) },
        { "/empty", "", 0 },
        { "/b/config", second, strlen(second) },
        { "config", third, strlen(third) },
    };
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kubeconfig config;

    ck_assert_msg(!kubeconfig_parse(texts, 4, &config, &error), "%s", error_message(&error));
    ck_assert_str_eq(config.server, "https://192.0.2.1:6443");
    ck_assert_str_eq(config.ca.path, "/b/ca");
    ck_assert_str_eq(config.token_path, "/a/token");
    ck_assert(!config.token);
    kubeconfig_destroy(&config);

    ck_assert(kubeconfig_parse(&texts[3], 1, &config, &error));
    ck_assert_str_eq(error_message(&error), "config: there is no context \"d\", which is needed because "
                     "\"current-context\" names it");
    ck_assert(kubeconfig_parse(texts, 0, &config, &error));
}
END_TEST

UNIT_MAIN("kubeconfig", {
    tcase_add_test(tc, test_token);
    tcase_add_test(tc, test_certificates);
    tcase_add_test(tc, test_password);
    tcase_add_test(tc, test_server);
    tcase_add_test(tc, test_cluster);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_structure);
    tcase_add_test(tc, test_merge);
})
