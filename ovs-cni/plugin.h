#ifndef OVS_CNI_PLUGIN_H
#define OVS_CNI_PLUGIN_H 1

/* ovs-cni: the CNI plugin (CNI SPEC 1.1.0), one shot.
 *
 * It validates what the runtime gave (lib/cni-conf.h), hands the work to sluiced over a unix socket (lib/cni-wire.h),
 * and prints the answer: exactly one JSON document on stdout for ADD, VERSION and every failure, nothing for the other
 * verbs.  It keeps no state but the spool of DELs (lib/spool.h).
 *
 * Each verb is one function in a file of its own.  It returns CNI_OK or the CNI code to answer with, which 'error' then
 * holds too, with the message.  What it leaves in 'output' is printed when it succeeds. */

#include <stddef.h>

#include <jansson.h>

#include "cni-conf.h"
#include "cni-wire.h"
#include "error.h"

struct plugin {
    char *const *environment;           /* As given; delegated plugins get it too. */
    char *input;                        /* All of stdin. */
    size_t input_size;
    struct cni_env env;
    struct cni_conf conf;
    int netns_fd;                       /* CNI_NETNS, or -1. */

    json_t *output;                     /* For stdout, or NULL. */
    char *details;                      /* Of a failure, or NULL. */
    bool unanswered;                    /* daemon_call() sent the request, and the answer did not come. */
};

enum cni_code verb_add(struct plugin *, struct error *);
enum cni_code verb_del(struct plugin *, struct error *);
enum cni_code verb_check(struct plugin *, struct error *);
enum cni_code verb_status(struct plugin *, struct error *);
enum cni_code verb_gc(struct plugin *, struct error *);
enum cni_code verb_version(struct plugin *, struct error *);

/* Everything between reading stdin and printing: parses, checks, calls the verb. */
enum cni_code plugin_run(struct plugin *, struct error *);

/* Shared by the verbs. ------------------------------------------------------------------------------------------- */

/* Sends the request of this invocation, as 'verb', and waits for the answer, at most as long as the configuration
 * allows; if nobody listens, up to "wait" seconds for somebody who does.  A refusal by the daemon is a failure with its
 * code, message and details. */
enum cni_code daemon_call(struct plugin *, const struct cni_request *, struct cni_reply *, struct error *);
/* The same without waiting for an absent daemon: 0 or an errno value when there was no answer ('reply' is then
 * empty). */
int daemon_try(struct plugin *, const struct cni_request *, struct cni_reply *, struct error *);
/* Makes a failure of what the daemon answered; CNI_OK if it answered that all is well. */
enum cni_code daemon_verdict(struct plugin *, const struct cni_reply *, struct error *);

/* Takes our attachment away, now by the daemon or later by the spool (acceptance D1 to D9).  release_later() uses only
 * the spool, for a daemon that just kept us waiting. */
enum cni_code release_attachment(struct plugin *, struct error *);
enum cni_code release_later(struct plugin *, struct error *);

/* Opens CNI_NETNS into 'netns_fd'.  Fails with code 8 if it is no network namespace; '*own' is whether it is the one
 * that this process runs in. */
enum cni_code netns_open(struct plugin *, bool *own, struct error *);
void netns_close(struct plugin *);

#endif /* ovs-cni/plugin.h */
