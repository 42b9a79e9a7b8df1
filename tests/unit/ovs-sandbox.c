#include <config.h>

#include "ovs-sandbox.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

static const char *const schemas[] = {
    "/usr/share/openvswitch/vswitch.ovsschema", "/usr/local/share/openvswitch/vswitch.ovsschema",
};

/* Not Check's assertions: benchmarks use this file too. */
static void
must(bool done, const char *what)
{
    if (!done) {
        ovs_abort(0, "ovs-sandbox: failed: %s", what);
    }
}

static const char *
schema(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(schemas); i++) {
        if (!access(schemas[i], R_OK)) {
            return schemas[i];
        }
    }
    return NULL;
}

bool
ovs_sandbox_possible(void)
{
    if (schema() && !system("ovs-vswitchd --version >/dev/null 2>&1 && ovs-vsctl --version >/dev/null 2>&1")) {
        return true;
    }
    printf("skipped: Open vSwitch (ovsdb-server, ovs-vswitchd, its schema) is not installed\n");
    return false;
}

void
ovs_sandbox_create(struct ovs_sandbox *sandbox)
{
    *sandbox = (struct ovs_sandbox) { .dir = "/tmp/ovs-sandbox.XXXXXX" };
    must(mkdtemp(sandbox->dir) != NULL, sandbox->dir);
    snprintf(sandbox->remote, sizeof sandbox->remote, "unix:%s/db.sock", sandbox->dir);
    setenv("OVS_RUNDIR", sandbox->dir, 1);
    setenv("OVS_LOGDIR", sandbox->dir, 1);
    setenv("OVS_DBDIR", sandbox->dir, 1);
    ovs_sandbox_new_database(sandbox);
}

static void
run(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *command = xvasprintf(format, args);
    va_end(args);
    must(!system(command), command);
    free(command);
}

void
ovs_sandbox_new_database(struct ovs_sandbox *sandbox)
{
    run("rm -f %s/conf.db %s/.conf.db.~lock~ && ovsdb-tool -vconsole:off create %s/conf.db %s", sandbox->dir, sandbox->dir,
        sandbox->dir, schema());
}

/* Starts a daemon that dies with this process. */
static pid_t
spawn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *command = xvasprintf(format, args);
    va_end(args);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *exec = xasprintf("exec %s", command);
        execl("/bin/sh", "sh", "-c", exec, (char *) NULL);
        _exit(127);
    }
    free(command);
    return pid;
}

void
ovs_sandbox_start_ovsdb(struct ovs_sandbox *sandbox)
{
    sandbox->ovsdb_server = spawn("ovsdb-server %s/conf.db --remote=punix:%s/db.sock --unixctl=%s/ovsdb.ctl "
                                  "-vconsole:off -vsyslog:off", sandbox->dir, sandbox->dir, sandbox->dir);
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    snprintf(un.sun_path, sizeof un.sun_path, "%s/db.sock", sandbox->dir);
    for (int i = 0; i < 2000; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        int error = connect(fd, (struct sockaddr *) &un, sizeof un);
        close(fd);
        if (!error) {
            return;
        }
        usleep(5000);           /* Only here, in a test: a listening socket of a daemon that knows nothing of us. */
    }
    must(false, "ovsdb-server does not listen");
}

void
ovs_sandbox_start_vswitchd(struct ovs_sandbox *sandbox)
{
    sandbox->ovs_vswitchd = spawn("ovs-vswitchd %s --enable-dummy=override --disable-system --disable-system-route "
                                  "--unixctl=%s/vswitchd.ctl -vconsole:off -vsyslog:off --log-file=%s/vswitchd.log",
                                  sandbox->remote, sandbox->dir, sandbox->dir);
}

void
ovs_sandbox_start_vswitchd_real(struct ovs_sandbox *sandbox)
{
    sandbox->ovs_vswitchd = spawn("ovs-vswitchd %s --pidfile --unixctl=%s/vswitchd.ctl -vconsole:off -vsyslog:off "
                                  "--log-file=%s/vswitchd.log", sandbox->remote, sandbox->dir, sandbox->dir);
}

void
ovs_sandbox_stop(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

void
ovs_sandbox_destroy(struct ovs_sandbox *sandbox)
{
    ovs_sandbox_stop(&sandbox->ovs_vswitchd);
    ovs_sandbox_stop(&sandbox->ovsdb_server);
    run("rm -rf %s", sandbox->dir);
}

char *
ovs_sandbox_vsctl(const struct ovs_sandbox *sandbox, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *what = xvasprintf(format, args);
    va_end(args);
    char *command = xasprintf("ovs-vsctl --db=%s --retry --timeout=10 %s", sandbox->remote, what);
    FILE *pipe = popen(command, "r");
    must(pipe != NULL, command);
    char *out = xzalloc(65536);
    size_t n = fread(out, 1, 65535, pipe);
    must(!pclose(pipe), command);
    while (n && out[n - 1] == '\n') {
        out[--n] = '\0';
    }
    free(command);
    free(what);
    return out;
}
