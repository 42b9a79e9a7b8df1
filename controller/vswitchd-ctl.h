#ifndef SLUICE_VSWITCHD_CTL_H
#define SLUICE_VSWITCHD_CTL_H 1

/* A lasting connection to ovs-vswitchd's control socket (what ovs-appctl uses), without blocking: commands are queued,
 * answers counted, and given to who wants them.  When ovs-vswitchd ends the connection is lost, and made again as soon as its socket appears
 * (inotify). */

#include <stdbool.h>
#include <stddef.h>

struct vswitchd_ctl;

/* 'rundir' holds ovs-vswitchd.pid and ovs-vswitchd.PID.ctl. */
struct vswitchd_ctl *vswitchd_ctl_create(const char *rundir);
void vswitchd_ctl_destroy(struct vswitchd_ctl *);
void vswitchd_ctl_run(struct vswitchd_ctl *);
void vswitchd_ctl_wait(struct vswitchd_ctl *);

bool vswitchd_ctl_is_connected(const struct vswitchd_ctl *);
/* Counts connections: a change means a new ovs-vswitchd, to be told everything again. */
unsigned int vswitchd_ctl_epoch(const struct vswitchd_ctl *);
/* Queues a command with its arguments (copied); ignored without a connection. */
void vswitchd_ctl_send(struct vswitchd_ctl *, const char *command, const char *const args[], size_t n_args);
/* 'cb' gets each answer from vswitchd_ctl_run(), or why the command failed; 'text' is then its own. */
void vswitchd_ctl_set_answer(struct vswitchd_ctl *, void (*cb)(bool ok, char *text, void *aux), void *aux);
/* Commands of this connection that have no answer yet. */
size_t vswitchd_ctl_n_outstanding(const struct vswitchd_ctl *);
/* How many commands of this connection ovs-vswitchd refused, and its last reason, or NULL.  Right after its start it
 * knows few commands: "not a valid command" then means later. */
size_t vswitchd_ctl_n_errors(const struct vswitchd_ctl *);
const char *vswitchd_ctl_error(const struct vswitchd_ctl *);

#endif /* controller/vswitchd-ctl.h */
