#ifndef SLUICE_CTL_CLIENT_H
#define SLUICE_CTL_CLIENT_H 1

/* One lasting connection to a daemon's control socket (unixctl), with blocking questions: for a program that has
 * nothing else to do. */

#include <stddef.h>

#include "error.h"

struct ctl_client;

/* 'path' is the socket's.  The error says what to look at. */
int ctl_client_open(const char *path, struct ctl_client **, struct error *);
/* ovs-vswitchd's, whose socket is found by its pid file in 'rundir'. */
int ctl_client_open_vswitchd(const char *rundir, struct ctl_client **, struct error *);
void ctl_client_close(struct ctl_client *);

/* Asks and waits.  '*answer' is the caller's.  EPROTO: the daemon refused, the message is its own; others: the
 * connection is lost. */
int ctl_client_ask(struct ctl_client *, const char *command, const char *const args[], size_t n_args, char **answer,
                   struct error *);

#endif /* utilities/ctl-client.h */
