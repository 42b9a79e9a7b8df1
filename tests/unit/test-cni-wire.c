/* lib/cni-wire.h and lib/cni-wire-server.h: round trips, bad bytes, a real socket.  cni P4, P5. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cni-wire-server.h"
#include "cni-wire.h"
#include "unit.h"

#define HEAD "{\"v\":1,\"verb\":\"ADD\",\"network\":\"n\",\"containerID\":\"c\",\"ifname\":\"eth0\",\"netns\":\"/n\""

static const char full_request[] =
    HEAD ",\"podNamespace\":\"ns\",\"podName\":\"pod\",\"podUID\":\"uid\",\"mac\":\"02:00:00:00:00:01\","
    "\"ips\":[\"10.0.0.9\",\"fd00::9/64\"],\"mtu\":1400,"
    "\"portMappings\":[{\"hostPort\":80,\"containerPort\":8080,\"protocol\":\"udp\",\"hostIP\":\"10.0.0.1\"}],"
    "\"ipam\":{\"ips\":[{\"address\":\"10.0.0.9/24\",\"gateway\":\"10.0.0.1\"}],"
    "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.0.0.1\",\"mtu\":1300,\"advmss\":1200,\"priority\":5,"
    "\"table\":7,\"scope\":253}]}}";

static int
parse(const char *s, struct cni_request *r)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    int retval = cni_request_parse(s, strlen(s), r, &error);
    ck_assert_int_eq(retval, error.code);
    ck_assert(!retval || *error_message(&error));
    return retval;
}

static void
assert_round_trip(const char *s)
{
    struct cni_request r;
    ck_assert_int_eq(parse(s, &r), 0);

    json_t *json = cni_request_to_json(&r);
    char *text = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(text, s);
    free(text);
    json_decref(json);
    cni_request_destroy(&r);
}

START_TEST(test_request)
{
    struct cni_request r;

    ck_assert_int_eq(parse(full_request, &r), 0);
    ck_assert_int_eq(r.verb, CNI_ADD);
    ck_assert(r.delegated && r.n_d_ips == 1 && r.n_d_routes == 1 && r.n_ips == 2 && r.n_ports == 1 && r.mtu == 1400);
    ck_assert_str_eq(r.ports[0].protocol, "udp");
    ck_assert_int_eq(r.ports[0].container_port, 8080);
    ck_assert_int_eq(r.d_routes[0].scope, 253);
    cni_request_destroy(&r);
    cni_request_destroy(&r);            /* Idempotent. */

    assert_round_trip(full_request);
    assert_round_trip("{\"v\":1,\"verb\":\"STATUS\"}");
    assert_round_trip("{\"v\":1,\"verb\":\"DEL\",\"network\":\"n\",\"containerID\":\"c\",\"ifname\":\"eth0\","
                      "\"netns\":\"\"}");
    assert_round_trip("{\"v\":1,\"verb\":\"GC\",\"network\":\"n\",\"valid\":[]}");
    assert_round_trip("{\"v\":1,\"verb\":\"GC\",\"network\":\"n\",\"valid\":[{\"containerID\":\"a\","
                      "\"ifname\":\"e\"}]}");
    assert_round_trip("{\"v\":1,\"verb\":\"CHECK\",\"network\":\"n\",\"containerID\":\"c\",\"ifname\":\"eth0\","
                      "\"netns\":\"/n\","
                      "\"check\":{\"hostIfname\":\"slp0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":1400,"
                      "\"ips\":[{\"address\":\"fd00::1/128\"}],\"routes\":[{\"dst\":\"::/0\"}]}}");
}
END_TEST

START_TEST(test_bad_request)
{
    static const char *const bad[] = {
        "", "{", "[]", "7", "{}", "{\"v\":1}", "{\"v\":2,\"verb\":\"STATUS\"}", "{\"v\":1,\"verb\":\"NO\"}",
        "{\"v\":1,\"verb\":7}", "{\"v\":1,\"verb\":\"STATUS\"} x", "{\"v\":1,\"v\":1,\"verb\":\"STATUS\"}",
        "{\"v\":1,\"verb\":\"ADD\"}", "{\"v\":1,\"verb\":\"GC\",\"network\":\"n\"}",
        "{\"v\":1,\"verb\":\"GC\",\"network\":\"n\",\"valid\":{}}",
        "{\"v\":1,\"verb\":\"GC\",\"network\":\"n\",\"valid\":[{\"containerID\":\"..\",\"ifname\":\"e\"}]}",
        "{\"v\":1,\"verb\":\"DEL\",\"network\":\"n\",\"containerID\":\"../../etc\",\"ifname\":\"eth0\"}",
        "{\"v\":1,\"verb\":\"DEL\",\"network\":\"n\\u0000\",\"containerID\":\"c\",\"ifname\":\"eth0\"}",
        "{\"v\":1,\"verb\":\"ADD\",\"network\":\"n\",\"containerID\":\"c\",\"ifname\":\"eth0\",\"netns\":\"\"}",
        HEAD ",\"ipam\":[]}", HEAD ",\"mtu\":-1}", HEAD ",\"mtu\":1.5}", HEAD ",\"mtu\":99999999999}",
        HEAD ",\"mac\":\"x\"}",
        HEAD ",\"ips\":[7]}", HEAD ",\"ips\":[\"x\"]}", HEAD ",\"ips\":\"10.0.0.1\"}",
        HEAD ",\"ips\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\","
             "\"1.1.1.1\","
             "\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\","
             "\"1.1.1.1\"]}",
        HEAD ",\"ipam\":{\"ips\":[{\"address\":\"10.0.0.1\"}]}}",
        HEAD ",\"ipam\":{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}}",
        HEAD ",\"ipam\":{\"ips\":[{\"address\":\"10.0.0.1/24\",\"gateway\":\"x\"}]}}", HEAD ",\"ipam\":{\"ips\":[7]}}",
        HEAD ",\"ipam\":{\"routes\":[{\"dst\":\"10.0.0.0/8\",\"scope\":256}]}}",
        HEAD ",\"ipam\":{\"routes\":[{\"gw\":\"10.0.0.1\"}]}}",
        HEAD ",\"portMappings\":[{\"hostPort\":70000,\"containerPort\":1}]}",
        HEAD ",\"portMappings\":[{\"hostPort\":1}]}",
        HEAD ",\"portMappings\":[{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"icmp\"}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cni_request r, empty = { 0 };
        ck_assert_msg(parse(bad[i], &r) != 0, "taken: %s", bad[i]);
        ck_assert_msg(!memcmp(&r, &empty, sizeof r), "not empty: %s", bad[i]);
    }
}
END_TEST

START_TEST(test_truncated)
{
    for (size_t i = 0; i < strlen(full_request); i++) {
        struct cni_request r;
        char *copy = malloc(i ? i : 1);         /* Exact size, for the sanitizer. */
        memcpy(copy, full_request, i);
        ck_assert_int_ne(cni_request_parse(copy, i, &r, NULL), 0);
        free(copy);
    }
}
END_TEST

START_TEST(test_names)
{
    static const char *const ids[] = { "a", "0", "a.b_c-D", "cri-o.1" };
    static const char *const bad_ids[] = { "", "-a", ".a", "_a", "a/b", "a b", "a\n", "\xc3\xa4", "a;b" };
    static const char *const ifnames[] = { "e", "eth0", "123456789012345", "..." , "eth0.100" };
    static const char *const bad_ifnames[] = { "", ".", "..", "1234567890123456", "a/b", "a:b", "a b", "a\tb", "a\n" };
    static const char *const cidrs[] = { "10.0.0.1/0", "10.0.0.1/32", "fd00::1/128", "::/0" };
    static const char *const bad_cidrs[] = { "", "/", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1",
                                             "fd00::/129",
                                             "10.0.0.1/024", "10.0.0/24", "10.0.0.1/2 ", "x/1", "10.0.0.1/24/2" };
    static const char *const bad_macs[] = { "", "x", "00:00:00:00:00:00", "01:00:00:00:00:00", "02:00:00:00:00",
                                            "02:00:00:00:00:0g", "02-00-00-00-00-01", "ff:ff:ff:ff:ff:ff" };
#define EACH(ARRAY, CONDITION)                                          \
    for (size_t i = 0; i < sizeof ARRAY / sizeof *ARRAY; i++) {         \
        const char *s = ARRAY[i];                                       \
        ck_assert_msg(CONDITION, "%s: '%s'", #ARRAY, s);                \
    }
    EACH(ids, cni_container_id_ok(s));
    EACH(bad_ids, !cni_container_id_ok(s) && !cni_network_ok(s));
    EACH(ifnames, cni_ifname_ok(s));
    EACH(bad_ifnames, !cni_ifname_ok(s));
    EACH(cidrs, cni_cidr_ok(s));
    EACH(bad_cidrs, !cni_cidr_ok(s));
    EACH(bad_macs, !cni_mac_ok(s));
    ck_assert(cni_mac_ok("02:AB:cd:00:00:01") && !cni_mac_ok(NULL) && !cni_ifname_ok(NULL) && !cni_cidr_ok(NULL));

    char long_id[CNI_MAX_NAME + 2] = "";
    memset(long_id, 'a', sizeof long_id - 1);
    ck_assert(!cni_container_id_ok(long_id) && cni_container_id_ok(long_id + 1));
}
END_TEST

static const char add_reply[] =
    "{\"v\":1,\"code\":0,\"result\":{\"hostIfname\":\"slp012345678901\",\"hostMac\":\"02:00:00:00:00:02\","
    "\"ifname\":\"eth0\","
    "\"mac\":\"02:00:00:00:00:01\",\"mtu\":1400,\"ips\":[{\"address\":\"10.244.1.5/32\",\"gateway\":\"10.244.1.1\"}],"
    "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.244.1.1\"}]}}";

START_TEST(test_reply)
{
    static const char *const good[] = { add_reply, "{\"v\":1,\"code\":0}",
                                        "{\"v\":1,\"code\":11,\"msg\":\"later\",\"details\":\"d\"}" };
    static const char *const bad[] = {
        "", "{}", "{\"v\":1}", "{\"v\":1,\"code\":-1}", "{\"v\":1,\"code\":\"0\"}", "{\"v\":1,\"code\":0,\"msg\":7}",
        "{\"v\":1,\"code\":0,\"result\":{}}", "{\"v\":1,\"code\":0,\"result\":[]}", "{\"v\":3,\"code\":0}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct cni_reply r;
        ck_assert_int_eq(cni_reply_parse(good[i], strlen(good[i]), &r, NULL), 0);
        json_t *json = cni_reply_to_json(&r);
        char *text = json_dumps(json, JSON_COMPACT);
        ck_assert_str_eq(text, good[i]);
        free(text);
        json_decref(json);
        cni_reply_destroy(&r);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cni_reply r;
        ck_assert_msg(cni_reply_parse(bad[i], strlen(bad[i]), &r, NULL) != 0, "taken: %s", bad[i]);
    }
}
END_TEST

/* A listener in a temporary directory, and a thread that serves one connection. */
struct server {
    char dir[64], path[96];
    int listener;
    enum { SERVE, HANG_UP, SILENT, HUGE_REPLY, ZERO_REPLY, GARBAGE, CUT } mode;
    struct stat netns;
    size_t n_valid;
    pthread_t thread;
};

static void
serve(struct server *s, int fd)
{
    struct cni_wire_conn *conn = cni_wire_conn_create(fd);
    struct cni_request request;
    int netns_fd, retval;

    while ((retval = cni_wire_conn_receive(conn, &request, &netns_fd, NULL)) == EAGAIN) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        poll(&pfd, 1, 5000);
    }
    ck_assert_int_eq(retval, 0);
    if (netns_fd >= 0) {
        fstat(netns_fd, &s->netns);
        close(netns_fd);
    }
    s->n_valid = request.n_valid;
    cni_request_destroy(&request);

    struct cni_reply reply;
    ck_assert_int_eq(cni_reply_parse(add_reply, strlen(add_reply), &reply, NULL), 0);
    ck_assert_int_eq(cni_wire_conn_reply(conn, &reply), 0);
    ck_assert_int_eq(cni_wire_conn_flush(conn), 0);
    cni_reply_destroy(&reply);
    cni_wire_conn_destroy(conn);
}

static void *
server_main(void *s_)
{
    static const char *const raw[] = { [HUGE_REPLY] = "\xff\xff\xff\xff", [ZERO_REPLY] = "\0\0\0\0",
                                       [GARBAGE] = "\0\0\0\4abcd",
                                       [CUT] = "\0\0\0\10{\"v\":" };
    struct server *s = s_;
    int fd = accept(s->listener, NULL, NULL);

    if (s->mode == SERVE) {
        serve(s, fd);
        return NULL;
    }
    char buf[65536];
    while (s->mode != HANG_UP && recv(fd, buf, sizeof buf, 0) == sizeof buf) {
        continue;
    }
    if (s->mode == SILENT) {
        recv(fd, buf, sizeof buf, 0);   /* Until the other side gives up. */
    } else if (s->mode != HANG_UP) {
        ck_assert(send(fd, raw[s->mode], s->mode == GARBAGE || s->mode == CUT ? 8 : 4, MSG_NOSIGNAL) > 0);
    }
    close(fd);
    return NULL;
}

static void
server_open(struct server *s)
{
    strcpy(s->dir, "/tmp/test-cni-wire-XXXXXX");
    ck_assert(mkdtemp(s->dir) != NULL);
    snprintf(s->path, sizeof s->path, "%s/cni.sock", s->dir);
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    strcpy(sun.sun_path, s->path);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(!bind(s->listener, (struct sockaddr *) &sun, sizeof sun) && !listen(s->listener, 0));
}

static void
server_close(struct server *s)
{
    close(s->listener);
    unlink(s->path);
    rmdir(s->dir);
}

static int
call(struct server *s, const char *request, int netns_fd, int timeout_ms, struct cni_reply *reply)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct cni_request r;
    ck_assert_int_eq(parse(request, &r), 0);
    int retval = cni_wire_call(s->path, &r, netns_fd, timeout_ms, reply, &error);
    ck_assert_int_eq(retval, error.code);
    cni_request_destroy(&r);
    return retval;
}

START_TEST(test_call)
{
    struct server s = { .mode = SERVE };
    struct cni_reply reply;
    struct stat st;

    server_open(&s);
    pthread_create(&s.thread, NULL, server_main, &s);
    int netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(call(&s, full_request, netns_fd, 5000, &reply), 0);
    pthread_join(s.thread, NULL);
    fstat(netns_fd, &st);
    ck_assert(st.st_ino == s.netns.st_ino && st.st_dev == s.netns.st_dev);
    ck_assert(reply.has_result);
    ck_assert_str_eq(reply.result.ips[0].address, "10.244.1.5/32");
    cni_reply_destroy(&reply);
    close(netns_fd);
    server_close(&s);
}
END_TEST

START_TEST(test_call_big)
{
    struct server s = { .mode = SERVE };
    struct cni_attachment_id *valid = calloc(10000, sizeof *valid);
    struct cni_request r = { .verb = CNI_GC, .network = (char *) "n", .valid = valid, .n_valid = 10000 };
    struct cni_reply reply;

    for (size_t i = 0; i < 10000; i++) {
        char id[65];
        snprintf(id, sizeof id, "%064zu", i);
        valid[i] = (struct cni_attachment_id) { strdup(id), strdup("eth0") };
    }
    server_open(&s);
    pthread_create(&s.thread, NULL, server_main, &s);
    ck_assert_int_eq(cni_wire_call(s.path, &r, -1, 20000, &reply, NULL), 0);
    pthread_join(s.thread, NULL);
    ck_assert_uint_eq(s.n_valid, 10000);
    cni_reply_destroy(&reply);
    cni_attachments_free(valid, 10000);
    server_close(&s);
}
END_TEST

START_TEST(test_call_faults)
{
    static const int expected[] = { [HANG_UP] = ECONNRESET, [SILENT] = ETIMEDOUT, [HUGE_REPLY] = EPROTO,
                                    [ZERO_REPLY] = EPROTO, [GARBAGE] = EPROTO, [CUT] = ECONNRESET };
    for (int mode = HANG_UP; mode <= CUT; mode++) {
        struct server s = { .mode = mode };
        struct cni_reply reply;
        server_open(&s);
        pthread_create(&s.thread, NULL, server_main, &s);
        int retval = call(&s, full_request, -1, mode == SILENT ? 50 : 5000, &reply);
        ck_assert_msg(retval == expected[mode], "mode %d: %d", mode, retval);
        pthread_join(s.thread, NULL);
        server_close(&s);
    }
}
END_TEST

START_TEST(test_nobody_there)
{
    struct server s = { .mode = SERVE };
    struct cni_reply reply;

    server_open(&s);
    close(s.listener);
    ck_assert_int_eq(call(&s, full_request, -1, 5000, &reply), ECONNREFUSED);
    unlink(s.path);
    ck_assert_int_eq(call(&s, full_request, -1, 5000, &reply), ENOENT);
    rmdir(s.dir);
}
END_TEST

/* Nobody accepts and the backlog is full: connect() must not wait for ever. */
START_TEST(test_backlog_full)
{
    struct server s = { .mode = SERVE };
    struct cni_reply reply;
    int retval = 0;

    server_open(&s);
    for (int i = 0; i < 4 && retval != ETIMEDOUT; i++) {
        retval = call(&s, full_request, -1, 50, &reply);
    }
    ck_assert_int_eq(retval, ETIMEDOUT);
    server_close(&s);
}
END_TEST

/* What the daemon must survive: lengths that lie, bytes behind the message, a peer that goes, too many descriptors. */
START_TEST(test_server_bad_bytes)
{
    static const struct { const char *bytes; size_t n; int expected; } cases[] = {
        { "\0\0\0\0", 4, EMSGSIZE }, { "\xff\xff\xff\xff", 4, EMSGSIZE }, { "\0\0\0\2{}", 6, EPROTO },
        { "\0\0\0\2{}x", 7, EINVAL }, { "\0\0", 2, ECONNRESET }, { "\0\0\0\5{}", 6, ECONNRESET }, { "", 0, ECONNRESET },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fds[2], netns_fd;
        ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        struct cni_wire_conn *conn = cni_wire_conn_create(fds[0]);
        struct cni_request request;
        if (cases[i].n) {
            ck_assert_int_eq(cni_wire_conn_receive(conn, &request, &netns_fd, NULL), EAGAIN);
            ck_assert_int_eq(cni_wire_send(fds[1], cases[i].bytes, cases[i].n, STDERR_FILENO), cases[i].n);
        }
        close(fds[1]);
        int retval = cni_wire_conn_receive(conn, &request, &netns_fd, NULL);
        ck_assert_msg(retval == cases[i].expected, "case %zu: %d", i, retval);
        ck_assert_int_eq(netns_fd, -1);
        cni_wire_conn_destroy(conn);
    }
}
END_TEST

UNIT_MAIN("cni-wire", {
    tcase_add_test(tc, test_request);
    tcase_add_test(tc, test_bad_request);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_reply);
    tcase_add_test(tc, test_call);
    tcase_add_test(tc, test_call_big);
    tcase_add_test(tc, test_call_faults);
    tcase_add_test(tc, test_nobody_there);
    tcase_add_test(tc, test_backlog_full);
    tcase_add_test(tc, test_server_bad_bytes);
})
