/* lib/http against TLS servers of its own (tests/unit/http-server): real-kubernetes 1 (the client's transport), 2
 * (credentials). */
#include <config.h>

#include "http.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "kube-credentials.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "unit.h"
#include "util.h"

/* The servers: started once, before the tests are forked. */
static char dir[] = "/tmp/test-http-XXXXXX";
static pid_t server_pid;
static int server_stdin = -1;
static json_t *ports;

static void
start_servers(void)
{
    int in[2], out[2];
    ck_assert(mkdtemp(dir) && !pipe(in) && !pipe(out));
    server_pid = fork();
    if (!server_pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++) {
            close(fd);
        }
        execl(TOP_SRCDIR "/tests/unit/http-server", "http-server", dir, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_stdin = in[1];
    FILE *stream = fdopen(out[0], "r");
    char line[1024];
    ck_assert_msg(fgets(line, sizeof line, stream) != NULL, "the servers have not started");
    fclose(stream);
    ports = json_loads(line, 0, NULL);
    unsetenv("HTTPS_PROXY");
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
    unsetenv("all_proxy");
}

static void
stop_servers(void)
{
    close(server_stdin);
    waitpid(server_pid, NULL, 0);
    json_decref(ports);
    char *command = xasprintf("rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static int
port(const char *name)
{
    int n = json_integer_value(json_object_get(ports, name));
    ck_assert_msg(n, "the server %s has not started", name);
    return n;
}

/* What credentials point to: freed by the end of the program. */
static void *
keep(void *p)
{
    static void *kept[256];
    static size_t n;
    ck_assert_int_lt(n, 256);
    return kept[n++] = p;
}

static struct kube_pem
pem(const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    FILE *stream = fopen(path, "r");
    ck_assert_msg(stream != NULL, "%s", path);
    struct kube_pem p = { keep(xzalloc(16384)), 0 };
    p.size = fread(p.data, 1, 16383, stream);
    fclose(stream);
    free(path);
    return p;
}

static char *
url(const char *start, const char *name)
{
    return keep(xasprintf("%s:%d", start, port(name)));
}

/* Credentials for a server. */
static struct kube_credentials
credentials(const char *name)
{
    return (struct kube_credentials) { .server = url("https://127.0.0.1", name), .ca = pem("ca.crt") };
}

static struct http *
client(const struct kube_credentials *c)
{
    struct http *http = http_create("test-http/1");
    if (c) {
        http_set_credentials(http, c);
    }
    return http;
}

/* One request, what came of it, and what to do on the way. */
struct fetch {
    struct http_options options;
    struct http_request *request;
    struct http_head head;
    struct ds body;
    int n_heads, n_bodies, n_dones;
    struct error error;
    bool stop;                          /* body() returns false. */
    int busy_ms;                        /* body() takes so long. */
    struct fetch *victim;               /* Destroyed from ... */
    enum { NEVER, IN_HEAD, IN_BODY, IN_DONE } when;
    struct http *again;                 /* done() starts another request. */
    struct fetch *next;
};

static void start(struct http *, struct fetch *, const char *path);

static void
kill_victim(struct fetch *f, int when)
{
    if (f->victim && (int) f->when == when) {
        http_request_destroy(f->victim->request);
        f->victim->request = NULL;
    }
}

static void
on_head(void *f_, const struct http_head *head)
{
    struct fetch *f = f_;
    ck_assert(!f->n_bodies && !f->n_dones && f->request);
    f->head = *head;
    f->n_heads++;
    kill_victim(f, IN_HEAD);
}

static bool
on_body(void *f_, const char *data, size_t size)
{
    struct fetch *f = f_;
    ck_assert(f->n_heads == 1 && !f->n_dones && f->request);
    f->n_bodies++;
    ds_put_buffer(&f->body, data, size);
    if (f->busy_ms) {
        for (long long int end = time_msec() + f->busy_ms; time_msec() < end;) {
        }
    }
    kill_victim(f, IN_BODY);
    return !f->stop;
}

static void
on_done(void *f_, const struct error *error)
{
    struct fetch *f = f_;
    ck_assert(!f->n_dones && f->request);
    f->n_dones++;
    if (error->code) {
        error_set(&f->error, error->code, "%s", error_message(error));
    }
    if (f->again) {
        start(f->again, f->next, "/echo");
    }
    kill_victim(f, IN_DONE);
}

static const struct http_ops ops = { on_head, on_body, on_done };

static void
start(struct http *http, struct fetch *f, const char *path)
{
    f->options.path = path;
    f->options.method = f->options.method ? f->options.method : "GET";
    f->request = http_start(http, &f->options, &ops, f);
}

/* Runs the loop until 'f' is done, or for 'ms'; returns how often it woke up. */
static int
loop(struct http *http, const struct fetch *f, int ms)
{
    long long int end = time_msec() + ms;
    for (int n = 0;; n++) {
        http_run(http);
        if ((f && f->n_dones) || time_msec() >= end) {
            return n;
        }
        http_wait(http);
        poll_timer_wait_until(end);
        poll_block();
    }
}

static void
finish(struct http *http, struct fetch *f)
{
    loop(http, f, 20000);
    ck_assert_msg(f->n_dones == 1, "%s: not done", f->options.path);
}

static void
fetch(struct http *http, struct fetch *f, const char *path)
{
    start(http, f, path);
    finish(http, f);
}

static void
reset(struct fetch *f)
{
    http_request_destroy(f->request);
    ds_destroy(&f->body);
    error_clear(&f->error);
    *f = (struct fetch) { .n_heads = 0 };
}

static void
check_good(struct http *http, const char *path, int status)
{
    struct fetch f = { .n_heads = 0 };
    fetch(http, &f, path);
    ck_assert_msg(!f.error.code, "%s: %s", path, error_message(&f.error));
    ck_assert_int_eq(f.head.status, status);
    reset(&f);
}

static void
check_bad(struct http *http, const char *path, int code, const char *words)
{
    struct fetch f = { .options.connect_timeout_ms = code == ETIMEDOUT ? 500 : 0 };
    fetch(http, &f, path);
    ck_assert_msg(f.error.code == code, "%s: %d: %s", path, f.error.code, error_message(&f.error));
    ck_assert_msg(strstr(error_message(&f.error), words) != NULL, "%s: no \"%s\" in: %s", path, words,
                  error_message(&f.error));
    printf("%s\n", error_message(&f.error));
    fflush(stdout);
    reset(&f);
}

static void
check_refused(const struct kube_credentials *c, int code, const char *words)
{
    struct http *http = client(c);
    check_bad(http, "/echo", code, words);
    http_destroy(http);
}

static int
count_connections(struct http *http)
{
    struct fetch f = { .n_heads = 0 };
    fetch(http, &f, "/counts");
    int n = atoi(ds_cstr(&f.body));
    reset(&f);
    return n;
}

START_TEST(test_request)
{
    struct kube_credentials c = credentials("good");
    c.token = "sesame";
    struct http *http = client(&c);
    struct fetch f = { .options = { .method = "PATCH", .body = "{\"a\":1}", .body_size = 7,
                                    .content_type = "application/merge-patch+json" } };
    fetch(http, &f, "/api?x=y");
    ck_assert_msg(!f.error.code, "%s", error_message(&f.error));
    ck_assert_int_eq(f.head.status, 200);
    ck_assert_str_eq(f.head.content_type, "application/json");
    ck_assert_int_eq(f.head.retry_after_ms, -1);

    const char *method, *path, *body, *agent, *type, *accept, *encoding, *authorization, *host;
    json_t *answer = json_loads(ds_cstr(&f.body), 0, NULL);
    ck_assert_int_eq(json_unpack(answer, "{s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "method", &method,
                                 "path", &path, "body", &body, "headers", "user-agent", &agent, "content-type", &type,
                                 "accept", &accept, "accept-encoding", &encoding,
                                 "authorization", &authorization, "host", &host), 0);
    ck_assert_str_eq(method, "PATCH");
    ck_assert_str_eq(path, "/api?x=y");
    ck_assert_str_eq(body, "{\"a\":1}");
    ck_assert_str_eq(agent, "test-http/1");
    ck_assert_str_eq(type, "application/merge-patch+json");
    ck_assert_str_eq(accept, "application/json");
    ck_assert_str_eq(encoding, "gzip");
    ck_assert_str_eq(authorization, "Bearer sesame");
    ck_assert(!strncmp(host, "127.0.0.1:", 10));
    json_decref(answer);
    reset(&f);
    http_destroy(http);
}
END_TEST

START_TEST(test_bodies)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    struct fetch f = { .n_heads = 0 };
    fetch(http, &f, "/chunked");
    ck_assert_int_eq(f.body.length, 7000);
    ck_assert(!strncmp(ds_cstr(&f.body) + 6993, "000999\n", 7));
    reset(&f);

    fetch(http, &f, "/gzip");
    ck_assert_msg(!f.error.code, "%s", error_message(&f.error));
    ck_assert_int_eq(f.body.length, 700000);
    ck_assert(!strcmp(ds_cstr(&f.body) + 700000 - 14, "sluice\nsluice\n"));
    reset(&f);

    fetch(http, &f, "/big");
    ck_assert_msg(!f.error.code, "%s", error_message(&f.error));
    ck_assert_int_eq(f.body.length, 32 << 20);
    size_t same = 0;
    while (same < f.body.length && f.body.string[same] == (char) same) {
        same++;
    }
    ck_assert_int_eq(same, f.body.length);
    reset(&f);
    check_good(http, "/some-headers", 200);
    http_destroy(http);
}
END_TEST

START_TEST(test_broken)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    check_bad(http, "/bad-gzip", EPROTO, "broke off");
    check_bad(http, "/cut", EPROTO, "broke off");
    check_bad(http, "/cut-length", EPROTO, "broke off");
    check_bad(http, "/hang-up", EPROTO, "before an answer");
    check_bad(http, "/huge-headers", EMSGSIZE, "65536");
    check_bad(http, "/with a space", EINVAL, "URL");
    check_good(http, "/echo", 200);
    http_destroy(http);
}
END_TEST

START_TEST(test_statuses)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    struct fetch f = { .n_heads = 0 };
    fetch(http, &f, "/busy");
    ck_assert_int_eq(f.error.code, 0);
    ck_assert_int_eq(f.head.status, 429);
    ck_assert_int_eq(f.head.retry_after_ms, 7000);
    ck_assert_str_eq(ds_cstr(&f.body), "{\"kind\":\"Status\"}");
    reset(&f);
    check_good(http, "/redirect", 302);         /* Not followed. */
    http_destroy(http);
}
END_TEST

START_TEST(test_refused)
{
    struct kube_credentials c = credentials("expired");
    check_refused(&c, EPERM, "expired");
    c = credentials("name");
    check_refused(&c, EPERM, "it is for DNS:other.test");
    c.server_name = "third.test";
    check_refused(&c, EPERM, "not for third.test; it is for DNS:other.test");
    c = credentials("stranger");
    check_refused(&c, EPERM, "authority that is not trusted here");
    c.ca = (struct kube_pem) { NULL, 0 };
    check_refused(&c, EPERM, "only the system's");
    c.ca = (struct kube_pem) { "nonsense", 8 };
    check_refused(&c, EPERM, "certificate-authority");
    c = credentials("plain");
    check_refused(&c, EPROTO, "https");
    c = credentials("garbage");
    check_refused(&c, EPROTO, "does not speak HTTP");
    c = credentials("closed");
    char *where = xasprintf("(127.0.0.1:%d)", port("closed"));
    check_refused(&c, ECONNREFUSED, where);
    free(where);
    c = credentials("silent");
    check_refused(&c, ETIMEDOUT, "no connection within 500 ms");
    c = credentials("good");
    c.server = "https://no-such-host.invalid";
    check_refused(&c, EHOSTUNREACH, "no address");
    c.server = url("http://127.0.0.1", "plain");
    check_refused(&c, EPROTO, "http");
    check_refused(NULL, EINVAL, "no credentials");
}
END_TEST

START_TEST(test_client_certificate)
{
    struct kube_credentials c = credentials("client");
    check_refused(&c, EPERM, "client certificate");
    c.certificate = pem("client.crt");
    c.key = pem("client.key");
    struct http *http = client(&c);
    check_good(http, "/echo", 200);
    /* Another identity gets another connection; then the first again. */
    c.certificate = pem("stranger.crt");
    c.key = pem("stranger.key");
    http_set_credentials(http, &c);
    check_bad(http, "/echo", EPERM, "client certificate");
    c.certificate = pem("client.crt");
    check_refused(&c, EPERM, "key cannot be used");
    c.key = pem("client.key");
    http_set_credentials(http, &c);
    check_good(http, "/echo", 200);
    http_destroy(http);
}
END_TEST

START_TEST(test_server_name)
{
    struct kube_credentials c = credentials("name");
    c.server_name = "other.test";
    struct http *http = client(&c);
    struct fetch f = { .n_heads = 0 };
    fetch(http, &f, "/prefix?a=b");
    ck_assert_msg(!f.error.code, "%s", error_message(&f.error));
    ck_assert(strstr(ds_cstr(&f.body), "\"path\": \"/prefix?a=b\"") != NULL);
    ck_assert(strstr(ds_cstr(&f.body), "\"host\": \"127.0.0.1:") != NULL);
    reset(&f);
    http_destroy(http);
}
END_TEST

START_TEST(test_credentials)
{
    struct kube_credentials c = credentials("good");
    c.token = "old-token";
    struct http *http = client(&c);
    int before = count_connections(http);
    check_good(http, "/token", 401);
    struct kube_credentials same = credentials("good");
    same.token = "old-token";
    http_set_credentials(http, &same);
    check_good(http, "/token", 401);
    same.token = "new-token";
    http_set_credentials(http, &same);
    check_good(http, "/token", 200);
    same.token = NULL;
    same.username = "user";
    same.password = "pass";
    http_set_credentials(http, &same);
    check_good(http, "/token", 200);
    /* A token belongs to a request, not to a connection. */
    ck_assert_int_eq(count_connections(http), before);
    /* The authority belongs to the connection. */
    same.ca = pem("other-ca.crt");
    http_set_credentials(http, &same);
    check_bad(http, "/token", EPERM, "authority");
    same.token = "sesame\r\nX-Admin: yes";
    http_set_credentials(http, &same);
    struct fetch f = { .n_heads = 0 };
    fetch(http, &f, "/token");
    ck_assert_int_eq(f.error.code, EINVAL);
    ck_assert(!strstr(error_message(&f.error), "sesame"));
    reset(&f);
    http_destroy(http);
}
END_TEST

START_TEST(test_proxy)
{
    struct kube_credentials c = credentials("good");
    c.server = url("https://api.test", "good");
    c.token = "for-the-server-only";
    c.proxy = url("http://proxy:secret@127.0.0.1", "proxy");
    struct http *http = client(&c);
    check_good(http, "/echo", 200);
    http_destroy(http);
    setenv("HTTPS_PROXY", c.proxy, 1);
    c.proxy = NULL;
    http = client(&c);
    check_good(http, "/echo", 200);
    http_destroy(http);
    setenv("NO_PROXY", "*", 1);
    c.proxy = url("http://proxy:secret@127.0.0.1", "proxy");
    http = client(&c);
    check_good(http, "/echo", 200);
    http_destroy(http);
    c.proxy = url("http://127.0.0.1", "proxy");
    check_refused(&c, ECONNREFUSED, "407");
    c.proxy = url("http://127.0.0.1", "closed");
    check_refused(&c, ECONNREFUSED, "refused");
}
END_TEST

START_TEST(test_timeouts)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    struct fetch f = { .options.idle_timeout_ms = 300 };
    long long int begin = time_msec();
    fetch(http, &f, "/stall");
    ck_assert_int_eq(f.error.code, ETIMEDOUT);
    ck_assert_msg(strstr(error_message(&f.error), "not a byte came for 300 ms") != NULL, "%s", error_message(&f.error));
    ck_assert_str_eq(ds_cstr(&f.body), "first");
    ck_assert(time_msec() - begin >= 300 && time_msec() - begin < 5000);
    reset(&f);

    f.options.idle_timeout_ms = 300;
    fetch(http, &f, "/mute");
    ck_assert_int_eq(f.error.code, ETIMEDOUT);
    ck_assert_int_eq(f.n_heads, 0);
    reset(&f);

    f.options.idle_timeout_ms = 900;            /* It takes 1 s, with a byte each 0.1 s. */
    fetch(http, &f, "/slow");
    ck_assert_msg(!f.error.code, "%s", error_message(&f.error));
    ck_assert_str_eq(ds_cstr(&f.body), "xxxxxxxxxx");
    reset(&f);

    f.options.timeout_ms = 300;
    fetch(http, &f, "/slow");
    ck_assert_int_eq(f.error.code, ETIMEDOUT);
    ck_assert_msg(strstr(error_message(&f.error), "complete") != NULL, "%s", error_message(&f.error));
    reset(&f);
    /* Slow is not unconnected. */
    f.options.connect_timeout_ms = 200;
    f.options.idle_timeout_ms = 800;
    fetch(http, &f, "/mute");
    ck_assert(strstr(error_message(&f.error), "not a byte") != NULL);
    reset(&f);
    http_destroy(http);
}
END_TEST

START_TEST(test_many)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    struct fetch f[30];
    for (int i = 0; i < 30; i++) {
        f[i] = (struct fetch) { .n_heads = 0 };
        start(http, &f[i], i % 3 ? "/gzip" : "/slow");
    }
    for (int i = 0; i < 30; i++) {
        finish(http, &f[i]);
        ck_assert_msg(!f[i].error.code, "%s", error_message(&f[i].error));
        ck_assert_int_eq(f[i].body.length, i % 3 ? 700000 : 10);
        reset(&f[i]);
    }
    http_destroy(http);
}
END_TEST

START_TEST(test_destroy)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    for (int when = IN_HEAD; when <= IN_DONE; when++) {
        /* Itself. */
        struct fetch f = { .when = when, .victim = &f };
        start(http, &f, "/chunked");
        loop(http, &f, 300);
        ck_assert(!f.request && f.n_heads == 1 && f.n_dones == (when == IN_DONE));
        reset(&f);
        /* Another one, in all of its states. */
        struct fetch other = { .n_heads = 0 };
        f = (struct fetch) { .when = when, .victim = &other };
        start(http, &other, "/slow");
        start(http, &f, "/echo");
        finish(http, &f);
        ck_assert(!other.request && !f.error.code);
        loop(http, NULL, 100);
        ck_assert(!other.n_dones);
        reset(&f);
        reset(&other);
    }

    struct fetch unborn = { .n_heads = 0 }, running = { .n_heads = 0 };
    start(http, &unborn, "/echo");
    http_request_destroy(unborn.request);
    start(http, &running, "/slow");
    loop(http, NULL, 150);
    http_destroy(http);                         /* With a running request. */
    ck_assert(!running.n_dones && !unborn.n_dones);
    ds_destroy(&running.body);
}
END_TEST

START_TEST(test_again_and_stop)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    struct fetch second = { .n_heads = 0 }, first = { .again = http, .next = &second };
    fetch(http, &first, "/echo");
    finish(http, &second);
    ck_assert_int_eq(second.head.status, 200);
    reset(&first);
    reset(&second);

    first.stop = true;
    fetch(http, &first, "/big");
    ck_assert_int_eq(first.error.code, ECANCELED);
    ck_assert_int_eq(first.n_bodies, 1);
    reset(&first);
    check_good(http, "/echo", 200);
    http_destroy(http);
}
END_TEST

/* Whoever is slow with a body does not hold up the loop, and is given all of it. */
START_TEST(test_backpressure)
{
    static const char *const paths[] = { "/gzip", "/chunked" };
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    for (int i = 0; i < 2; i++) {
        struct fetch f = { .busy_ms = 1 };
        int most = 0, runs = 0;
        start(http, &f, paths[i]);
        for (;;) {
            int before = f.n_bodies;
            http_run(http);
            most = MAX(most, f.n_bodies - before);
            runs++;
            if (f.n_dones) {
                break;
            }
            http_wait(http);
            poll_block();
        }
        ck_assert_msg(!f.error.code, "%s", error_message(&f.error));
        ck_assert_int_eq(f.body.length, i ? 7000 : 700000);
        ck_assert_msg(most <= 6, "%d pieces in one http_run()", most);
        ck_assert_int_gt(runs, f.n_bodies / 6);
        reset(&f);
    }
    http_destroy(http);
}
END_TEST

START_TEST(test_idle)
{
    struct kube_credentials c = credentials("good");
    struct http *http = client(&c);
    struct fetch f[7];
    for (int i = 0; i < 7; i++) {
        f[i] = (struct fetch) { .options.idle_timeout_ms = 20000 };
        start(http, &f[i], "/stall");
    }
    loop(http, NULL, 1000);
    int n = loop(http, NULL, 2000);
    ck_assert_msg(n <= 2, "woke up %d times in 2 s with 7 silent requests", n);
    for (int i = 0; i < 7; i++) {
        ck_assert_str_eq(ds_cstr(&f[i].body), "first");
        reset(&f[i]);
    }
    n = loop(http, NULL, 1000);
    ck_assert_msg(n <= 2, "woke up %d times in 1 s without requests", n);
    http_destroy(http);
}
END_TEST

UNIT_MAIN("http", {
    tcase_add_unchecked_fixture(tc, start_servers, stop_servers);
    tcase_add_test(tc, test_request);
    tcase_add_test(tc, test_bodies);
    tcase_add_test(tc, test_broken);
    tcase_add_test(tc, test_statuses);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_client_certificate);
    tcase_add_test(tc, test_server_name);
    tcase_add_test(tc, test_credentials);
    tcase_add_test(tc, test_proxy);
    tcase_add_test(tc, test_timeouts);
    tcase_add_test(tc, test_many);
    tcase_add_test(tc, test_destroy);
    tcase_add_test(tc, test_again_and_stop);
    tcase_add_test(tc, test_backpressure);
    tcase_add_test(tc, test_idle);
})
