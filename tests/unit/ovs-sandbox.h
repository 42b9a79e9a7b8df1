#ifndef SLUICE_OVS_SANDBOX_H
#define SLUICE_OVS_SANDBOX_H 1

/* A real ovsdb-server and a real ovs-vswitchd for one test, in a folder of their own, with OVS's dummy datapath: no
 * privileges, no devices, no packets.  Both end with the test, also when it crashes. */

#include <stdbool.h>
#include <sys/types.h>

struct ovs_sandbox {
    char dir[32];               /* Everything is in here; also OVS_RUNDIR. */
    char remote[48];            /* "unix:DIR/db.sock". */
    pid_t ovsdb_server, ovs_vswitchd;
};

/* False if Open vSwitch is not installed here; says so on stdout. */
bool ovs_sandbox_possible(void);
void ovs_sandbox_create(struct ovs_sandbox *);          /* Starts nothing. */
void ovs_sandbox_new_database(struct ovs_sandbox *);    /* Empty, replacing what was there. */
void ovs_sandbox_start_ovsdb(struct ovs_sandbox *);     /* Returns when it listens. */
void ovs_sandbox_start_vswitchd(struct ovs_sandbox *);  /* Returns at once. */
/* With the real userspace datapath, for a caller in a network namespace of its own (root). */
void ovs_sandbox_start_vswitchd_real(struct ovs_sandbox *);
void ovs_sandbox_stop(pid_t *);                         /* Kills one of the two. */
void ovs_sandbox_destroy(struct ovs_sandbox *);

/* Runs "ovs-vsctl ..." on the database; returns its standard output without the last newline, to be freed. */
char *ovs_sandbox_vsctl(const struct ovs_sandbox *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif /* tests/unit/ovs-sandbox.h */
