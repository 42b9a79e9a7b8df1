#include "delegate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "json-get.h"

#define MAX_OUTPUT (1024 * 1024)
#define DEFAULT_TIMEOUT 60              /* Seconds. */

struct output {
    char *text;
    size_t size;
};

/* Finding and starting. ------------------------------------------------------------------------------------------ */

static bool
is_program(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

static enum cni_code
find_program(const struct plugin *plugin, char path[CNI_MAX_PATH + 1], struct error *error)
{
    const char *type = plugin->conf.ipam_type, *p = plugin->env.path;

    if (!p) {
        return error_set(error, CNI_E_ENVIRONMENT, "required environment variables are missing: CNI_PATH (to find the "
                         "IPAM plugin %s)", type);
    }
    while (*p) {
        size_t n = strcspn(p, ":");
        int size = n ? snprintf(path, CNI_MAX_PATH + 1, "%.*s/%s", (int) n, p, type) : 0;
        if (size > 0 && size <= CNI_MAX_PATH && is_program(path)) {
            return CNI_OK;
        }
        p += n + (p[n] == ':');
    }
    return error_set(error, CNI_E_FAILED, "there is no IPAM plugin %s in CNI_PATH=%s", type, plugin->env.path);
}

/* Our environment with another CNI_COMMAND.  Only the array and its first element are new. */
static char **
make_environment(char *const *environment, enum cni_verb verb)
{
    size_t n = 0;

    while (environment[n]) {
        n++;
    }
    char **copy = calloc(n + 2, sizeof *copy);
    if (!copy || asprintf(&copy[0], "CNI_COMMAND=%s", cni_verb_name(verb)) < 0) {
        free(copy);
        return NULL;
    }
    for (size_t i = 0, j = 1; i < n; i++) {
        if (strncmp(environment[i], "CNI_COMMAND=", strlen("CNI_COMMAND="))) {
            copy[j++] = environment[i];
        }
    }
    return copy;
}

/* All of our stdin, to be read once more. */
static int
input_file(const struct plugin *plugin)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);

    for (size_t done = 0; fd >= 0 && done < plugin->input_size;) {
        ssize_t n = write(fd, plugin->input + done, plugin->input_size - done);
        if (n > 0) {
            done += n;
        } else if (n < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
    }
    if (fd >= 0) {
        lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

/* In the child.  It dies with us: a delegate that outlives a killed ADD could take an address after the runtime's
 * DEL. */
static void
exec_program(const char *path, char **environment, int in, int out, pid_t parent)
{
    char *argv[] = { (char *) path, NULL };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    if (getppid() == parent && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) {
        execve(path, argv, environment);
        dprintf(STDERR_FILENO, "ovs-cni: %s: %s\n", path, strerror(errno));
    }
    _exit(127);
}

/* 0 or an errno value. */
static int
spawn(const char *path, char **environment, int in, int out, pid_t *pid)
{
    pid_t parent = getpid();

    *pid = fork();
    if (!*pid) {
        exec_program(path, environment, in, out, parent);
    }
    return *pid < 0 ? errno : 0;
}

/* Starts the program; '*out' is the end of a pipe from which its stdout can be read. */
static int
start(const struct plugin *plugin, const char *path, enum cni_verb verb, pid_t *pid, int *out)
{
    char **environment = make_environment(plugin->environment, verb);
    int in = input_file(plugin), fds[2] = { -1, -1 };
    int retval = !environment ? ENOMEM : in < 0 || pipe2(fds, O_CLOEXEC) ? errno
                 : spawn(path, environment, in, fds[1], pid);

    if (in >= 0) {
        close(in);
    }
    if (fds[1] >= 0) {
        close(fds[1]);
    }
    if (retval && fds[0] >= 0) {
        close(fds[0]);
    }
    if (environment) {
        free(environment[0]);
        free(environment);
    }
    *out = fds[0];
    return retval;
}

/* Its output. ---------------------------------------------------------------------------------------------------- */

static long long int
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Until the end of file: 0, or ETIMEDOUT, EMSGSIZE, another errno value. */
static int
read_output(int fd, long long int deadline, struct output *o)
{
    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        long long int left = deadline - now_ms();
        if (left <= 0 || !poll(&pfd, 1, left)) {
            return ETIMEDOUT;
        } else if (o->size == MAX_OUTPUT) {
            return EMSGSIZE;
        }

        ssize_t n = read(fd, o->text + o->size, MAX_OUTPUT - o->size);
        if (!n) {
            return 0;
        } else if (n > 0) {
            o->size += n;
        } else if (errno != EINTR) {
            return errno;
        }
    }
}

/* What a program that failed left on its stdout: an error object, if it is a good plugin. */
static enum cni_code
relay_error(struct plugin *plugin, const struct output *o, int status, struct error *error)
{
    json_t *json = json_loadb(o->text, o->size, 0, NULL);
    const json_t *code = json_object_get(json, "code");
    const char *msg = json_string_value(json_object_get(json, "msg"));
    const char *details = json_string_value(json_object_get(json, "details"));
    enum cni_code result = CNI_E_FAILED;

    if (json_is_integer(code) && json_integer_value(code) > 0 && json_integer_value(code) <= 65535) {
        result = json_integer_value(code);
    }
    if (WIFSIGNALED(status)) {
        error_set(error, result, "IPAM plugin %s was killed by signal %d", plugin->conf.ipam_type, WTERMSIG(status));
    } else {
        error_set(error, result, "IPAM plugin %s: %.*s", plugin->conf.ipam_type, CNI_MAX_TEXT / 2,
                  msg ? msg : "failed without an error message on its stdout");
    }
    if (details && *details && !plugin->details) {
        plugin->details = strdup(details);
    }
    json_decref(json);
    return result;
}

static enum cni_code
finish(struct plugin *plugin, pid_t pid, int retval, const struct output *o, struct error *error)
{
    int status = 0;

    if (retval) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    if (retval) {
        enum cni_code code = retval == ETIMEDOUT ? CNI_E_AGAIN : CNI_E_FAILED;
        return error_set(error, code, "IPAM plugin %s: %s; it was killed", plugin->conf.ipam_type,
                         retval == ETIMEDOUT ? "did not end in time" : strerror(retval));
    }
    return WIFEXITED(status) && !WEXITSTATUS(status) ? CNI_OK : relay_error(plugin, o, status, error);
}

static enum cni_code
run(struct plugin *plugin, enum cni_verb verb, struct output *o, struct error *error)
{
    int seconds = plugin->conf.timeout ? plugin->conf.timeout : DEFAULT_TIMEOUT;
    char path[CNI_MAX_PATH + 1];
    pid_t pid = -1;
    int fd;
    enum cni_code code = find_program(plugin, path, error);

    o->text = code ? NULL : malloc(MAX_OUTPUT);
    o->size = 0;
    if (code) {
        return code;
    } else if (!o->text) {
        return error_set(error, CNI_E_FAILED, "no memory");
    }
    int retval = start(plugin, path, verb, &pid, &fd);
    if (retval) {
        return error_set(error, CNI_E_FAILED, "starting the IPAM plugin %s: %s", path, strerror(retval));
    }
    retval = read_output(fd, now_ms() + seconds * 1000LL, o);
    close(fd);
    return finish(plugin, pid, retval, o, error);
}

/* Interface. ----------------------------------------------------------------------------------------------------- */

enum cni_code
delegate_run(struct plugin *plugin, enum cni_verb verb, struct error *error)
{
    struct output o = { .text = NULL };

    if (!plugin->conf.ipam_type) {
        return CNI_OK;
    }
    enum cni_code code = run(plugin, verb, &o, error);
    free(o.text);
    return code;
}

/* SPEC.md, "ADD Success": a route without a next hop may use the gateway of the addresses.  All plugins do. */
static int
fill_gateways(struct delegate_result *r, struct error *error)
{
    for (size_t i = 0; i < r->n_routes; i++) {
        struct cni_route *route = &r->routes[i];
        for (size_t j = 0; j < r->n_ips && !route->gw; j++) {
            const char *gateway = r->ips[j].gateway;
            if (gateway && !strchr(gateway, ':') == !strchr(route->dst, ':') && !(route->gw = strdup(gateway))) {
                return error_set_errno(error, ENOMEM, "routes");
            }
        }
    }
    return 0;
}

static int
parse_result(const struct output *o, struct delegate_result *r, struct error *error)
{
    json_t *ips = NULL, *routes = NULL, *dns = NULL, *json = json_get_load(o->text, o->size, error);
    int retval = json ? json_get_array(json, "ips", CNI_WIRE_MAX_IPS, &ips, error) : EINVAL;

    retval = retval ? retval : cni_ips_parse(ips, &r->ips, &r->n_ips, error);
    retval = retval ? retval : json_get_array(json, "routes", CNI_WIRE_MAX_ROUTES, &routes, error);
    retval = retval ? retval : cni_routes_parse(routes, &r->routes, &r->n_routes, error);
    retval = retval ? retval : fill_gateways(r, error);
    retval = retval ? retval : json_get_object(json, "dns", &dns, error);
    if (!retval && !r->n_ips) {
        retval = error_set(error, EINVAL, "no addresses");
    }
    r->dns = !retval && json_object_size(dns) ? json_incref(dns) : NULL;
    json_decref(json);
    return retval;
}

enum cni_code
delegate_add(struct plugin *plugin, struct delegate_result *r, struct error *error)
{
    struct output o = { .text = NULL };
    enum cni_code code = run(plugin, CNI_ADD, &o, error);

    if (!code && parse_result(&o, r, error)) {
        error_wrap(error, "result of the IPAM plugin %s", plugin->conf.ipam_type);
        code = CNI_E_FAILED;
        if (error) {
            error->code = code;
        }
        delegate_result_destroy(r);
        delegate_run(plugin, CNI_DEL, NULL);
    }
    free(o.text);
    return code;
}

void
delegate_result_destroy(struct delegate_result *r)
{
    cni_ips_free(r->ips, r->n_ips);
    cni_routes_free(r->routes, r->n_routes);
    json_decref(r->dns);
    memset(r, 0, sizeof *r);
}
