/* health: what load balancers are answered.  services 20 and 30. */
#include <config.h>

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/health.h"
#include "controller/services.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

#define PORT 31000
#define HEALTHZ 10256

static struct health *health;

/* A network of our own, so that nobody else has our ports. */
static void
setup(void)
{
    struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
    close(fd);
    health = health_create();
}

static void
teardown(void)
{
    health_destroy(health);
}

static void
turn(long long int until)
{
    health_run(health);
    health_wait(health);
    poll_timer_wait_until(until);
    poll_block();
}

static int
connect_to(const char *addr, uint16_t port)
{
    bool v6 = strchr(addr, ':');
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, addr, &sin.sin_addr);
    inet_pton(AF_INET6, addr, &sin6.sin6_addr);
    int error = connect(fd, v6 ? (struct sockaddr *) &sin6 : (struct sockaddr *) &sin, v6 ? sizeof sin6 : sizeof sin);
    if (error) {
        close(fd);
        return -1;
    }
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* What comes until the other side closes; "" within 'ms' if it does not. */
static const char *
read_all(int fd, long long int ms)
{
    static char text[8192];
    long long int until = time_msec() + ms;
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got > 0) {
            n += got;
            continue;
        }
        text[n] = '\0';
        if (got == 0 || errno == ECONNRESET) {
            return text;
        }
        if (time_msec() >= until) {
            return NULL;
        }
        poll_fd_wait(fd, POLLIN);
        turn(until);
    }
}

static const char *
ask_at(const char *addr, uint16_t port, const char *text)
{
    int fd = connect_to(addr, port);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    const char *answer = read_all(fd, HEALTH_CLIENT_MS - 1000);
    ck_assert_msg(answer, "no answer");
    close(fd);
    return answer;
}

static const char *
get(uint16_t port, const char *path)
{
    char text[128];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return ask_at("127.0.0.1", port, text);
}

static bool
has_status(const char *answer, int status)
{
    char head[32];
    snprintf(head, sizeof head, "HTTP/1.1 %d ", status);
    return !strncmp(answer, head, strlen(head));
}

static void
set(size_t n_local)
{
    struct service_health h = { "shop", "web", PORT, n_local };
    health_set(health, &h);
}

static void
count_problem(const char *what, const char *problem, void *text_)
{
    char **text = text_;
    char *old = *text;
    *text = xasprintf("%s%s: %s\n", old ? old : "", what, problem);
    free(old);
}

/* The caller frees it; NULL: none. */
static char *
problems(void)
{
    char *text = NULL;
    health_for_each_problem(health, count_problem, &text);
    return text;
}

START_TEST(test_service)
{
    set(2);
    const char *answer = get(PORT, "/");
    ck_assert_msg(has_status(answer, 503), "%s", answer);       /* The node is not healthy yet. */
    ck_assert(strstr(answer, "\"serviceProxyHealthy\": false"));

    health_set_node(health, true, true);
    answer = get(PORT, "/any/path?x=1");
    ck_assert_msg(has_status(answer, 200), "%s", answer);
    ck_assert(strstr(answer, "\r\nContent-Type: application/json\r\n"));
    ck_assert(strstr(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
    ck_assert(strstr(answer, "\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n"));
    const char *body = strstr(answer, "\r\n\r\n");
    ck_assert_str_eq(body + 4, "{\n \"service\": {\n  \"namespace\": \"shop\",\n  \"name\": \"web\"\n },\n"
                     " \"localEndpoints\": 2,\n \"serviceProxyHealthy\": true\n}");

    /* A node that is about to go still serves its Services (KEP-3836). */
    health_set_node(health, true, false);
    ck_assert(has_status(get(PORT, "/"), 200));
    set(0);
    answer = get(PORT, "/");
    ck_assert(has_status(answer, 503) && strstr(answer, "\r\nX-Load-Balancing-Endpoint-Weight: 0\r\n"));
    set(1);
    ck_assert(has_status(get(PORT, "/"), 200));

    /* Both families, and the port of another Service now. */
    ck_assert(has_status(ask_at("::1", PORT, "GET / HTTP/1.0\r\n\r\n"), 200));
    struct service_health other = { "shop", "other", PORT, 1 };
    health_set(health, &other);
    ck_assert(strstr(get(PORT, "/"), "\"other\""));

    health_remove(health, PORT);
    health_remove(health, PORT);
    ck_assert_int_eq(connect_to("127.0.0.1", PORT), -1);
}
END_TEST

START_TEST(test_methods)
{
    set(1);
    health_set_node(health, true, true);
    const char *answer = ask_at("127.0.0.1", PORT, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(has_status(answer, 200) && strstr(answer, "Weight: 1") && !strchr(answer, '{'));
    answer = ask_at("127.0.0.1", PORT, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    ck_assert_msg(has_status(answer, 405) && strstr(answer, "Allow: GET, HEAD"), "%s", answer);
    answer = ask_at("127.0.0.1", PORT, "nonsense\r\n\r\n");
    ck_assert_msg(!has_status(answer, 200), "%s", answer);
}
END_TEST

START_TEST(test_healthz)
{
    static const struct in6_addr v4 = { .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };

    health_set_healthz(health, &in6addr_any, HEALTHZ);
    ck_assert(has_status(get(HEALTHZ, "/healthz"), 503) && has_status(get(HEALTHZ, "/livez"), 503));
    health_set_node(health, true, true);
    const char *answer = get(HEALTHZ, "/healthz");
    ck_assert(has_status(answer, 200) && strstr(answer, "\"nodeEligible\": true") && strstr(answer, "\"lastUpdated\": \"20"));
    ck_assert(has_status(get(HEALTHZ, "/livez"), 200) && has_status(get(HEALTHZ, "/"), 404));
    ck_assert(!strstr(answer, "Weight"));
    health_set_node(health, true, false);
    answer = get(HEALTHZ, "/healthz");
    ck_assert(has_status(answer, 503) && strstr(answer, "\"nodeEligible\": false"));
    ck_assert(has_status(get(HEALTHZ, "/livez"), 200));
    ck_assert(has_status(ask_at("::1", HEALTHZ, "GET /livez HTTP/1.0\r\n\r\n"), 200));

    /* Another address, and none. */
    health_set_healthz(health, &v4, HEALTHZ);
    ck_assert(has_status(get(HEALTHZ, "/livez"), 200));
    ck_assert_int_eq(connect_to("::1", HEALTHZ), -1);
    health_set_healthz(health, &in6addr_any, 0);
    ck_assert_int_eq(connect_to("127.0.0.1", HEALTHZ), -1);
}
END_TEST

/* A port that somebody else has: named, everything else works, and tried again. */
START_TEST(test_taken)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    int squatter = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(!bind(squatter, (struct sockaddr *) &sin, sizeof sin) && !listen(squatter, 1));

    set(1);
    health_set_healthz(health, &in6addr_any, HEALTHZ);
    health_set_node(health, true, true);
    char *text = problems();
    ck_assert_str_eq(text, "health check port 31000 of shop/web: Address already in use\n");
    free(text);
    ck_assert(has_status(get(HEALTHZ, "/healthz"), 200));

    close(squatter);
    for (long long int until = time_msec() + HEALTH_RETRY_MS + 5000; (text = problems());) {
        ck_assert_msg(time_msec() < until, "%s", text);
        free(text);
        turn(until);
    }
    ck_assert(has_status(get(PORT, "/"), 200));
}
END_TEST

/* Who holds connections and says nothing, or says it slowly, is cut off; others are served meanwhile. */
START_TEST(test_slow)
{
    int fds[HEALTH_MAX_PER_ADDR];
    long long int begin = time_msec();

    set(1);
    health_set_node(health, true, true);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = connect_to("127.0.0.1", PORT);
        ck_assert_int_ge(fds[i], 0);
        turn(time_msec());
    }
    int refused = connect_to("127.0.0.1", PORT);        /* Too many of one address. */
    ck_assert_str_eq(read_all(refused, 1000), "");
    close(refused);
    ck_assert(has_status(ask_at("::1", PORT, "GET / HTTP/1.0\r\n\r\n"), 200));

    ck_assert_int_eq(send(fds[0], "GET ", 4, 0), 4);
    while (time_msec() < begin + HEALTH_CLIENT_MS / 2) {
        turn(begin + HEALTH_CLIENT_MS / 2);
    }
    ck_assert_int_eq(send(fds[0], "/", 1, 0), 1);       /* Trickling does not help. */
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        const char *answer = read_all(fds[i], HEALTH_CLIENT_MS);
        ck_assert_msg(answer, "connection %"PRIuSIZE" still open", i);
        close(fds[i]);
    }
    ck_assert_int_lt(time_msec() - begin, HEALTH_CLIENT_MS + 3000);
    ck_assert(has_status(get(PORT, "/"), 200));
}
END_TEST

/* Never more than so many, wherever they come from; and all of them go on when they may. */
START_TEST(test_many)
{
    int fds[HEALTH_MAX_CLIENTS + 20];
    char addr[16];

    set(1);
    health_set_node(health, true, true);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
        snprintf(addr, sizeof addr, "127.0.1.%"PRIuSIZE, i + 1);
        inet_pton(AF_INET, addr, &from.sin_addr);
        inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert(!bind(fds[i], (struct sockaddr *) &from, sizeof from));
        ck_assert(!connect(fds[i], (struct sockaddr *) &to, sizeof to));
        ck_assert_int_eq(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
        turn(time_msec());
    }
    static const char text[] = "GET / HTTP/1.0\r\n\r\n";
    for (size_t i = ARRAY_SIZE(fds); i-- > 0;) {        /* Those that wait for a place ask first. */
        ck_assert_int_eq(send(fds[i], text, strlen(text), 0), strlen(text));
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        const char *answer = read_all(fds[i], 3000);
        ck_assert_msg(answer && has_status(answer, 200), "%"PRIuSIZE, i);
        close(fds[i]);
    }
}
END_TEST

/* Nothing to do: nothing wakes. */
START_TEST(test_idle)
{
    set(1);
    health_set_healthz(health, &in6addr_any, HEALTHZ);
    ck_assert(has_status(get(PORT, "/"), 503));
    for (int i = 0; i < 5; i++) {       /* The end of that connection. */
        turn(time_msec() + 100);
    }
    long long int begin = time_msec();
    turn(begin + 500);
    ck_assert_int_ge(time_msec() - begin, 490);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("health");
    TCase *tc = tcase_create("health");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_service);
    tcase_add_test(tc, test_methods);
    tcase_add_test(tc, test_healthz);
    tcase_add_test(tc, test_taken);
    tcase_add_test(tc, test_slow);
    tcase_add_test(tc, test_many);
    tcase_add_test(tc, test_idle);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
