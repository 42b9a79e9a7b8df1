#ifndef SLUICE_CTL_H
#define SLUICE_CTL_H 1

/* sluiced's control socket, RUNDIR/sluiced.ctl: what sluicectl (and "ovs-appctl -t") can ask.
 *
 * The protocol is OVS's unixctl (JSON-RPC; lib/unixctl.h).  A command's reply is the text that sluicectl prints as it is: for people,
 * or, with "--json" as the first argument, one JSON document.  The names of the commands are sluicectl's verbs:
 *
 *   status [--json]                            one state for all: readiness, reasons, versions, counts (INTERFACES.md)
 *   pods | nodes [--json]                      what is known and what is realised
 *   policy/list                                what is known and realised of policies, as JSON (status.h)
 *   flows [--json] [TABLE] [--object OWNER]    the installed flows with table names and owners
 *   ipam [--json] [check|repair]               pools; "check" compares journal, OVSDB, host and source, "repair" mends (audit.h)
 *   owner COOKIE                               whose flows have this cookie (0x...)
 *   wait ready|realized MILLISECONDS           replies when it holds, or with an error when the time is over; never polls
 *   policy/rules, policy/explain, ...          more of what sluicectl policies and trace are made of: ctl-policy.h
 *   services/list                              what sluicectl services is made of: ctl-service.h
 *
 * "compile" is not here: sluicectl does it itself, without a daemon; nor is "trace": sluicectl asks for the status and then
 * ovs-vswitchd, so that sluiced never waits for it. */

struct ctl;
struct dataplane;
struct report;
struct source;

/* Registers the commands; they look at these, which must outlive the result. */
struct ctl *ctl_create(struct dataplane *, const struct source *, const struct report *);
void ctl_destroy(struct ctl *);
/* Answers the "wait"s whose time has come. */
void ctl_run(struct ctl *);
void ctl_wait(struct ctl *);

#endif /* controller/ctl.h */
