/* Drives the OVSDB module and the tunnel's neighbours from a script: one command a line on standard input, one answer
 * a line.
 *
 *   ovsdb-driver OVS_RUNDIR
 *
 *   base DATAPATH ENCAP MTU [UPLINK UPLINK_MAC]   start          remove-all
 *   port NAME OFPORT [POD]                        remove NAME
 *   neigh BRIDGE ADDRESS...                       quit
 *   wait ready|removed|neigh|up NAME|gone NAME    at most 20 s
 *   state NAME                                    problem */

#include <config.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ovsdb.h"
#include "controller/tnl-neigh.h"
#include "fatal-signal.h"
#include "flow.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

#define TIMEOUT 20000
#define MAX_ARGS 32

struct driver {
    struct in6_addr destinations[MAX_ARGS];     /* Of tunnels. */
    size_t n_destinations;
    struct ovsdb *ovsdb;
    struct tnl_neigh *neigh;
};

static bool
done(const struct driver *driver, const char *what, const char *name)
{
    if (!strcmp(what, "ready")) {
        return ovsdb_base_ready(driver->ovsdb);
    } else if (!strcmp(what, "removed")) {
        return ovsdb_all_removed(driver->ovsdb);
    } else if (!strcmp(what, "neigh")) {
        return !tnl_neigh_n_unresolved(driver->neigh);
    } else if (!strcmp(what, "up")) {
        return ovsdb_port_get_state(driver->ovsdb, name) == OVSDB_PORT_UP;
    } else if (!strcmp(what, "gone")) {
        return ovsdb_port_get_state(driver->ovsdb, name) == OVSDB_PORT_GONE;
    }
    ovs_fatal(0, "no condition \"%s\"", what);
}

static void
run(struct driver *driver)
{
    ovsdb_run(driver->ovsdb);
    tnl_neigh_run(driver->neigh);
}

static void
block(struct driver *driver)
{
    ovsdb_wait(driver->ovsdb);
    tnl_neigh_wait(driver->neigh);
    poll_block();
}

static void
cmd_wait(struct driver *driver, char **args)
{
    long long int start = time_msec();
    for (;;) {
        run(driver);
        if (done(driver, args[1], args[2])) {
            printf("ok %lld ms\n", time_msec() - start);
            return;
        } else if (time_msec() - start > TIMEOUT) {
            const char *problem = ovsdb_problem(driver->ovsdb);
            const char *error = args[2] ? ovsdb_port_error(driver->ovsdb, args[2]) : NULL;
            printf("timeout; %s; %s\n", problem ? problem : "no problem", error ? error : "no error");
            return;
        }
        poll_timer_wait_until(start + TIMEOUT + 1);
        block(driver);
    }
}

static void
cmd_base(struct driver *driver, char **args, size_t n)
{
    struct ovsdb_base base = {
        .bridge = "br-int",
        .datapath = (!strcmp(args[1], "kernel") ? DATAPATH_KERNEL : !strcmp(args[1], "afxdp") ? DATAPATH_AFXDP
                     : DATAPATH_USERSPACE),
        .tunnel = (!strcmp(args[2], "vxlan") ? ENCAP_VXLAN : !strcmp(args[2], "none") ? ENCAP_NONE : ENCAP_GENEVE),
        .gateway = "sluice0",
        .gateway_mac = ETH_ADDR_C(0a,58,00,00,00,01),
        .gateway_mtu = atoi(args[3]),
        .tunnel_name = "sluice-tun",
    };
    if (n >= 6 && eth_addr_from_string(args[5], &base.uplink_mac)) {
        base.uplink_bridge = "br-uplink";
        base.uplink = args[4];
    }
    ovsdb_set_base(driver->ovsdb, &base);
    puts("ok");
}

static void
cmd_port(struct driver *driver, char **args, size_t n)
{
    const struct ovsdb_port port = {
        .name = args[1], .ofport = u16_to_ofp(atoi(args[2])), .container_id = "0123", .ifname = "eth0",
        .network = "sluice", .pod_namespace = "default", .pod_name = n > 3 ? args[3] : "pod", .pod_uid = "uid",
        .addresses = "10.9.0.1",
    };
    ovsdb_port_set(driver->ovsdb, &port);
    puts("ok");
}

static void
cmd_neigh(struct driver *driver, char **args, size_t n)
{
    tnl_neigh_set_bridge(driver->neigh, args[1]);
    for (size_t i = 0; i < driver->n_destinations; i++) {
        tnl_neigh_remove(driver->neigh, &driver->destinations[i]);
    }
    driver->n_destinations = 0;
    for (size_t i = 2; i < n; i++) {
        struct in6_addr *addr = &driver->destinations[driver->n_destinations++];
        if (inet_addr_parse(args[i], addr, NULL)) {
            ovs_fatal(0, "\"%s\" is no address", args[i]);
        }
        tnl_neigh_add(driver->neigh, addr);
    }
    puts("ok");
}

static bool
command(struct driver *driver, char *line)
{
    char *args[MAX_ARGS + 1] = { NULL }, *save = NULL;
    size_t n = 0;
    for (char *p = strtok_r(line, " \n", &save); p && n < MAX_ARGS; p = strtok_r(NULL, " \n", &save)) {
        args[n++] = p;
    }
    const char *what = n ? args[0] : "";

    if (!strcmp(what, "wait") && n > 1) {
        cmd_wait(driver, args);
    } else if (!strcmp(what, "base") && n > 3) {
        cmd_base(driver, args, n);
    } else if (!strcmp(what, "port") && n > 2) {
        cmd_port(driver, args, n);
    } else if (!strcmp(what, "neigh") && n > 1) {
        cmd_neigh(driver, args, n);
    } else if (!strcmp(what, "remove") && n > 1) {
        ovsdb_port_remove(driver->ovsdb, args[1]);
        puts("ok");
    } else if (!strcmp(what, "start")) {
        ovsdb_start(driver->ovsdb);
        puts("ok");
    } else if (!strcmp(what, "remove-all")) {
        ovsdb_remove_all(driver->ovsdb);
        puts("ok");
    } else if (!strcmp(what, "problem")) {
        const char *problem = ovsdb_problem(driver->ovsdb);
        puts(problem ? problem : "none");
    } else if (!strcmp(what, "state") && n > 1) {
        printf("%d\n", ovsdb_port_get_state(driver->ovsdb, args[1]));
    } else {
        return false;
    }
    fflush(stdout);
    return true;
}

/* Complete lines of standard input, as far as they are there.  False at its end or after "quit". */
static bool
read_commands(struct driver *driver, int in, char *buf, size_t size, size_t *used)
{
    struct pollfd pfd = { .fd = in, .events = POLLIN };
    while (poll(&pfd, 1, 0) > 0) {
        ssize_t n = read(in, buf + *used, size - *used - 1);
        if (n <= 0) {
            return false;
        }
        *used += n;
        buf[*used] = '\0';
        for (char *end; (end = strchr(buf, '\n'));) {
            *end = '\0';
            if (!command(driver, buf)) {
                return false;
            }
            *used -= end + 1 - buf;
            memmove(buf, end + 1, *used + 1);
        }
    }
    return true;
}

int
main(int argc, char *argv[])
{
    char buf[4096] = "";
    size_t used = 0;
    int in = dup(STDIN_FILENO);         /* poll_fd_wait() takes 0 for no descriptor. */

    set_program_name(argv[0]);
    fatal_ignore_sigpipe();         /* Tests kill the daemons that it speaks to. */
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    if (argc != 2) {
        ovs_fatal(0, "usage: %s OVS_RUNDIR", argv[0]);
    }
    char *remote = xasprintf("unix:%s/db.sock", argv[1]);
    struct driver driver = { .ovsdb = ovsdb_create(remote), .neigh = tnl_neigh_create(argv[1]) };
    for (;;) {
        run(&driver);
        if (!read_commands(&driver, in, buf, sizeof buf, &used)) {
            break;
        }
        poll_fd_wait(in, POLLIN);
        block(&driver);
    }
    tnl_neigh_destroy(driver.neigh);
    ovsdb_destroy(driver.ovsdb);
    free(remote);
    return 0;
}
