#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/cni-server.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "unit.h"
#include "util.h"

/* The server in the main thread, plugins in others. */
struct fixture {
    char dir[32], *path;
    struct cni_server *server;
    bool hold;                          /* Requests are not answered. */
    uint64_t last, gone;
    size_t n_requests;
    char container_id[64];
    bool had_netns;
    long long int started;
};

static void
on_request(void *f_, uint64_t number, const struct cni_request *rq, int netns_fd, long long int started)
{
    struct fixture *f = f_;
    f->last = number;
    f->n_requests++;
    f->started = started;
    f->had_netns = netns_fd >= 0;
    ovs_strlcpy(f->container_id, rq->container_id ? rq->container_id : "", sizeof f->container_id);
    if (netns_fd >= 0) {
        close(netns_fd);
    }
    if (!f->hold) {
        struct cni_reply reply = { .code = CNI_E_AGAIN, .message = CONST_CAST(char *, "later") };
        cni_server_reply(f->server, number, &reply);
    }
}

static void
on_gone(void *f_, uint64_t number)
{
    struct fixture *f = f_;
    f->gone = number;
}

static struct fixture *
fixture_create(void)
{
    static const struct cni_server_class class = { on_request, on_gone };
    ERROR_AUTO struct error error = ERROR_INIT;
    struct fixture *f = xzalloc(sizeof *f);
    strcpy(f->dir, "/tmp/test-cni-server-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    f->path = xasprintf("%s/cni.sock", f->dir);
    ck_assert_msg(!cni_server_create(f->path, &class, f, &f->server, &error), "%s", error_message(&error));
    return f;
}

static void
fixture_destroy(struct fixture *f)
{
    cni_server_destroy(f->server);
    ck_assert_int_eq(access(f->path, F_OK), -1);
    ck_assert_int_eq(rmdir(f->dir), 0);
    free(f->path);
    free(f);
}

/* Turns of the main loop until 'done' or, what fails, for 5 s. */
static void
serve(struct fixture *f, bool (*done)(void *aux), void *aux)
{
    long long int deadline = time_msec() + 5000;
    for (;;) {
        cni_server_run(f->server);
        if (done(aux)) {
            return;
        }
        ck_assert(time_msec() < deadline);
        cni_server_wait(f->server);
        poll_timer_wait(20);
        poll_block();
    }
}

struct call {
    pthread_t thread;
    const char *path, *container_id;
    int netns_fd, retval;
    struct cni_reply reply;
    bool done;
};

static void *
call_main(void *call_)
{
    struct call *call = call_;
    struct cni_request rq = { .verb = CNI_ADD, .network = CONST_CAST(char *, "n"), .ifname = CONST_CAST(char *, "eth0"),
                              .container_id = CONST_CAST(char *, call->container_id), .netns = CONST_CAST(char *,
                                                                                                          "/x") };
    call->retval = cni_wire_call(call->path, &rq, call->netns_fd, 5000, &call->reply, NULL);
    __atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static bool
call_done(void *call_)
{
    struct call *call = call_;
    return __atomic_load_n(&call->done, __ATOMIC_ACQUIRE);
}

START_TEST(test_call)
{
    struct fixture *f = fixture_create();
    int fd = open("/dev/null", O_RDONLY);
    struct call call = { .path = f->path, .container_id = "c1", .netns_fd = fd };
    struct stat st;

    ck_assert_int_eq(stat(f->path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    pthread_create(&call.thread, NULL, call_main, &call);
    serve(f, call_done, &call);
    pthread_join(call.thread, NULL);
    ck_assert_int_eq(call.retval, 0);
    ck_assert_int_eq(call.reply.code, CNI_E_AGAIN);
    ck_assert_str_eq(f->container_id, "c1");
    ck_assert(f->had_netns);
    /* The client is a thread of this process: it was started a moment ago. */
    ck_assert(f->started <= time_wall_msec() && f->started > time_wall_msec() - 600000);
    cni_reply_destroy(&call.reply);
    close(fd);
    fixture_destroy(f);
}
END_TEST

static bool
all_done(void *calls_)
{
    struct call *calls = calls_;
    for (size_t i = 0; i < 64; i++) {
        if (!call_done(&calls[i])) {
            return false;
        }
    }
    return true;
}

START_TEST(test_parallel)               /* cni matrix 14 */
{
    struct fixture *f = fixture_create();
    struct call calls[64] = { { .path = NULL } };
    for (size_t i = 0; i < 64; i++) {
        calls[i].path = f->path;
        calls[i].container_id = "c";
        calls[i].netns_fd = -1;
        pthread_create(&calls[i].thread, NULL, call_main, &calls[i]);
    }
    serve(f, all_done, calls);
    for (size_t i = 0; i < 64; i++) {
        pthread_join(calls[i].thread, NULL);
        ck_assert_int_eq(calls[i].reply.code, CNI_E_AGAIN);
        cni_reply_destroy(&calls[i].reply);
    }
    ck_assert_uint_eq(f->n_requests, 64);
    fixture_destroy(f);
}
END_TEST

static int
dial(const struct fixture *f)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ovs_strlcpy(sun.sun_path, f->path, sizeof sun.sun_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &sun, sizeof sun), 0);
    return fd;
}

static bool
has_request(void *f_)
{
    return ((struct fixture *) f_)->n_requests > 0;
}

static bool
is_gone(void *f_)
{
    return ((struct fixture *) f_)->gone > 0;
}

START_TEST(test_client_goes)            /* cni matrix 13 */
{
    struct fixture *f = fixture_create();
    static const char text[] = "{\"v\":1,\"verb\":\"STATUS\",\"network\":\"n\"}";
    char frame[4 + sizeof text - 1] = { 0, 0, 0, sizeof text - 1 };
    struct cni_reply reply = { .code = CNI_OK };

    f->hold = true;
    memcpy(frame + 4, text, sizeof text - 1);
    int fd = dial(f);
    ck_assert_int_eq(write(fd, frame, sizeof frame), (ssize_t) sizeof frame);
    serve(f, has_request, f);
    close(fd);
    serve(f, is_gone, f);
    ck_assert_uint_eq(f->gone, f->last);
    cni_server_reply(f->server, f->last, &reply);       /* Too late, and fine. */
    cni_server_reply(f->server, 12345, &reply);
    fixture_destroy(f);
}
END_TEST

struct answer {
    int fd;
    char bytes[512];
    ssize_t n;
};

static bool
has_answer(void *a_)
{
    struct answer *a = a_;
    a->n = recv(a->fd, a->bytes, sizeof a->bytes - 1, MSG_DONTWAIT);
    return a->n >= 0 || errno != EAGAIN;
}

START_TEST(test_garbage)
{
    static const struct { const char *bytes; size_t size; } bad[] = {
        { "\0\0\0\0", 4 }, { "\377\377\377\377", 4 }, { "\0\0\0\2[]", 6 }, { "\0\0\0\3{}x",
                                                                            7 }, { "GET / HTTP/1.0\r\n\r\n", 18 },
    };
    struct fixture *f = fixture_create();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct answer a = { .fd = dial(f) };
        ck_assert_int_eq(write(a.fd, bad[i].bytes, bad[i].size), (ssize_t) bad[i].size);
        serve(f, has_answer, &a);
        ck_assert_msg(a.n > 4 && strstr(a.bytes + 4, "\"code\":6"), "%s", a.bytes + 4);
        close(a.fd);
    }
    ck_assert_uint_eq(f->n_requests, 0);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_old_socket)
{
    static const struct cni_server_class class = { on_request, on_gone };
    struct fixture *f = fixture_create();
    struct cni_server *second;
    char *too_long = xasprintf("/tmp/%0120d", 1);
    ERROR_AUTO struct error error = ERROR_INIT;

    ck_assert_int_eq(cni_server_create(f->path, &class, f, &second, &error), 0);        /* Replaces what is there. */
    cni_server_destroy(second);
    ck_assert_int_eq(cni_server_create(too_long, &class, f, &second, &error), ENAMETOOLONG);
    ck_assert_int_eq(cni_server_create("/nonexistent/x", &class, f, &second, &error), ENOENT);
    free(too_long);
    fixture_destroy(f);
}
END_TEST

UNIT_MAIN("cni-server", {
    tcase_add_test(tc, test_call);
    tcase_add_test(tc, test_parallel);
    tcase_add_test(tc, test_client_goes);
    tcase_add_test(tc, test_garbage);
    tcase_add_test(tc, test_old_socket);
})
