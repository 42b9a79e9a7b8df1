/* lib/kube-credentials.h: files, their rotation, the service account of a pod (issue 4, item 2). */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <string.h>

#include "kube-credentials.h"
#include "unit.h"
#include "util.h"

#define CERT "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n"
#define KEY "-----BEGIN PRIVATE KEY-----\nTUlJQg==\n-----END PRIVATE KEY-----\n"
#define CONTEXT "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
#define CLUSTER(MORE) "clusters: [{name: k, cluster: {server: 'https://a:6443'" MORE "}}]\n"
#define USER(WHAT) "users: [{name: u, user: {" WHAT "}}]\n"

static char dir[64];

static void
setup(void)
{
    strcpy(dir, "/tmp/sluice-credentials-XXXXXX");
    ck_assert(mkdtemp(dir));
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
}

static void
teardown(void)
{
    char *command = xasprintf("rm -rf '%s'", dir);
    ck_assert(!system(command));
    free(command);
}

/* The path of 'name' in the test's folder; static, for two uses in a row. */
static const char *
at(const char *name)
{
    static char paths[2][128];
    static int i;

    i = !i;
    snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
    return paths[i];
}

/* Replaces 'name' as whole, as programs that renew a certificate do. */
static void
put(const char *name, const char *text)
{
    FILE *stream = fopen(at(".new"), "w");
    ck_assert(stream && fputs(text, stream) >= 0 && !fclose(stream));
    ck_assert(!rename(at(".new"), at(name)));
}

static struct kube_credentials *
good(const char *kubeconfig, const char *account_dir)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_credentials *credentials = NULL;

    ck_assert_msg(!kube_credentials_load(kubeconfig, account_dir, &credentials, &error), "%s", error_message(&error));
    ck_assert(!kube_credentials_changed(credentials));
    return credentials;
}

static void
bad(const char *kubeconfig, const char *account_dir, int code, const char *want)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_credentials *credentials = NULL;

    ck_assert_int_eq(kube_credentials_load(kubeconfig, account_dir, &credentials, &error), code);
    ck_assert_ptr_null(credentials);
    ck_assert_msg(strstr(error_message(&error), want), "\"%s\" is not in \"%s\"", want, error_message(&error));
}

START_TEST(test_files)
{
    put("config", CONTEXT CLUSTER(", certificate-authority: ca") USER("client-certificate: pair, client-key: pair"));
    put("ca", CERT);
    put("pair", CERT KEY);

    struct kube_credentials *c = good(at("config"), NULL);
    ck_assert_str_eq(c->server, "https://a:6443");
    ck_assert_str_eq(c->ca.data, CERT);
    ck_assert_str_eq(c->certificate.data, CERT KEY);
    ck_assert_str_eq(c->key.data, CERT KEY);
    ck_assert_uint_eq(c->key.size, strlen(CERT KEY));
    ck_assert(!c->token && !c->username);

    /* Renewed; then the same again is seen as what it is. */
    put("pair", KEY CERT);
    ck_assert(kube_credentials_changed(c));
    kube_credentials_destroy(c);
    c = good(at("config"), NULL);
    ck_assert_str_eq(c->certificate.data, KEY CERT);
    ck_assert(!unlink(at("ca")));
    ck_assert(kube_credentials_changed(c));
    kube_credentials_destroy(c);
}
END_TEST

START_TEST(test_bad_files)
{
    put("config", CONTEXT CLUSTER(", certificate-authority: ca") USER("client-certificate: cert, client-key: key"));
    bad(at("config"), NULL, ENOENT, "/ca: opening: No such file or directory");
    put("ca", KEY);
    bad(at("config"), NULL, EINVAL, "/ca: no certificate in it");
    put("ca", CERT);
    bad(at("config"), NULL, ENOENT, "/cert: opening");
    put("cert", "");
    bad(at("config"), NULL, EINVAL, "/cert: no certificate in it");
    put("cert", CERT);
    ck_assert(!mkdir(at("key"), 0700));
    bad(at("config"), NULL, EINVAL, "/key: not a file");
    ck_assert(!rmdir(at("key")));
    ck_assert(!mkfifo(at("key"), 0600));
    bad(at("config"), NULL, EINVAL, "/key: not a file");
    put("key", CERT);
    bad(at("config"), NULL, EINVAL, "/key: no private key in it");
    put("key", KEY);
    kube_credentials_destroy(good(at("config"), NULL));
    ck_assert(!truncate(at("key"), 2 * 1024 * 1024));
    bad(at("config"), NULL, EFBIG, "/key: larger than 1048576 bytes");
}
END_TEST

START_TEST(test_token_file)
{
    put("config", CONTEXT CLUSTER("") USER("tokenFile: token"));
    bad(at("config"), NULL, ENOENT, "/token: opening");
    put("token", " \n");
    bad(at("config"), NULL, EINVAL, "/token: the token is empty");
    put("token", "two words");
    bad(at("config"), NULL, EINVAL, "/token: the token has a space");
    put("token", "abc\n");
    struct kube_credentials *c = good(at("config"), NULL);
    ck_assert_str_eq(c->token, "abc");
    /* The size is the same, and so may be the time. */
    put("token", "abd\n");
    ck_assert(kube_credentials_changed(c));
    kube_credentials_destroy(c);
    ck_assert(!truncate(at("token"), 10));
    bad(at("config"), NULL, EINVAL, "/token: not a token, but binary");

    /* client-go: the file wins while it can be read. */
    put("config", CONTEXT CLUSTER("") USER("token: fallback, tokenFile: token"));
    put("token", "fromfile");
    c = good(at("config"), NULL);
    ck_assert_str_eq(c->token, "fromfile");
    kube_credentials_destroy(c);
    ck_assert(!unlink(at("token")));
    c = good(at("config"), NULL);
    ck_assert_str_eq(c->token, "fallback");
    put("token", "again");
    ck_assert(kube_credentials_changed(c));
    kube_credentials_destroy(c);
}
END_TEST

START_TEST(test_several)
{
    char *both = xasprintf("%s/one:%s/two::%s/one", dir, dir, dir);

    bad(both, NULL, ENOENT, "kubeconfig: none of its 2 files exists, beginning with ");
    bad(at("one"), NULL, ENOENT, "/one: opening: No such file or directory");
    bad("", NULL, ENOENT, "kubeconfig: none of its 0 files exists");
    put("two", CONTEXT CLUSTER("") USER("token: two"));
    struct kube_credentials *c = good(both, NULL);
    ck_assert_str_eq(c->token, "two");
    /* A file that was not there, and comes before. */
    put("one", USER("token: one"));
    ck_assert(kube_credentials_changed(c));
    kube_credentials_destroy(c);
    c = good(both, NULL);
    ck_assert_str_eq(c->token, "one");
    kube_credentials_destroy(c);
    put("one", "users: [");
    bad(both, NULL, EINVAL, "/one:2: did not find");
    free(both);
}
END_TEST

/* As the kubelet lays the volume out: token -> ..data/token, ..data -> ..1; a new one is swapped in by renaming. */
START_TEST(test_account)
{
    ck_assert(!mkdir(at("..1"), 0755) && !mkdir(at("..2"), 0755));
    ck_assert(!symlink("..1", at("..data")));
    ck_assert(!symlink("..data/token", at("token")) && !symlink("..data/ca.crt", at("ca.crt")));

    bad(NULL, dir, ENOENT, "service account of this pod (no kubeconfig is configured): KUBERNETES_SERVICE_HOST is not "
        "set");
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    bad(NULL, dir, ENOENT, "KUBERNETES_SERVICE_PORT is not set");
    setenv("KUBERNETES_SERVICE_PORT", "https", 1);
    bad(NULL, dir, EINVAL, "KUBERNETES_SERVICE_PORT: \"https\" is not a port");
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    bad(NULL, dir, ENOENT, "/token: opening");
    put("..1/token", "one");
    bad(NULL, dir, ENOENT, "/ca.crt: opening");
    put("..1/ca.crt", "x");
    bad(NULL, dir, EINVAL, "/ca.crt: no certificate in it");
    put("..1/ca.crt", CERT);
    struct kube_credentials *c = good(NULL, dir);
    ck_assert_str_eq(c->server, "https://[fd00::1]:443");
    ck_assert_str_eq(c->token, "one");
    ck_assert_str_eq(c->ca.data, CERT);

    put("..2/token", "two");
    put("..2/ca.crt", CERT CERT);
    ck_assert(!kube_credentials_changed(c));
    ck_assert(!symlink("..2", at("..new")) && !rename(at("..new"), at("..data")));
    ck_assert(kube_credentials_changed(c));
    kube_credentials_destroy(c);
    c = good(NULL, dir);
    ck_assert_str_eq(c->token, "two");
    ck_assert_str_eq(c->ca.data, CERT CERT);
    kube_credentials_destroy(c);

    setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1", 1);
    c = good(NULL, dir);
    ck_assert_str_eq(c->server, "https://192.0.2.1:443");
    kube_credentials_destroy(c);
    setenv("KUBERNETES_SERVICE_HOST", "a b", 1);
    bad(NULL, dir, EINVAL, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: ");
}
END_TEST

UNIT_MAIN("kube-credentials", {
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_files);
    tcase_add_test(tc, test_bad_files);
    tcase_add_test(tc, test_token_file);
    tcase_add_test(tc, test_several);
    tcase_add_test(tc, test_account);
})
