#include <config.h>

#include "controller/ct-audit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "controller/vswitchd-ctl.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ct_audit);

#define AGAIN_MS 1000                   /* From the first to the second one. */
#define PATIENCE_MS 10000               /* For both answers. */
#define RETRY_MS 30000
#define PAUSE_MIN_MS 1000               /* Between two of them; and PAUSE_TIMES what the one before has taken. */
#define PAUSE_TIMES 4
#define LINES_AT_ONCE 2000              /* Judged in one turn: some milliseconds. */

enum step {
    IDLE,
    CONNECTING,
    COUNTING,
    LISTING,
    JUDGING,
};

struct ct_audit {
    struct ct_audit_config config;
    char *rundir, *datapath, *zone;     /* "zone=1". */
    long long int first_at, again_at;   /* time_msec(): when to begin; LLONG_MAX: not. */
    long long int not_before;           /* Nor before this. */

    enum step step;
    struct vswitchd_ctl *ctl;           /* From CONNECTING to LISTING; of one connection. */
    long long int since;
    char *list;                         /* JUDGING: */
    const char *rest;                   /* what has not been judged. */
    size_t n_flushed;

    char *problem;
};

struct ct_audit *
ct_audit_create(const struct ct_audit_config *config)
{
    struct ct_audit *a = xzalloc(sizeof *a);

    a->config = *config;
    a->config.ovs_rundir = a->rundir = xstrdup(config->ovs_rundir);
    a->first_at = a->again_at = LLONG_MAX;
    return a;
}

void
ct_audit_destroy(struct ct_audit *a)
{
    if (a) {
        vswitchd_ctl_destroy(a->ctl);
        free(a->rundir);
        free(a->datapath);
        free(a->zone);
        free(a->list);
        free(a->problem);
        free(a);
    }
}

void
ct_audit_request(struct ct_audit *a, const char *datapath, unsigned int zone)
{
    long long int now = time_msec();

    free(a->datapath);
    a->datapath = xstrdup(datapath);
    free(a->zone);
    a->zone = xasprintf("zone=%u", zone);
    a->first_at = MIN(a->first_at, now);
    a->again_at = now + AGAIN_MS;
}

const char *
ct_audit_problem(const struct ct_audit *a)
{
    return a->problem;
}

/* One audit. ----------------------------------------------------------------------------------------------------- */

static void
disconnect(struct ct_audit *a)
{
    vswitchd_ctl_destroy(a->ctl);
    a->ctl = NULL;
}

/* 'problem' is the function's; NULL: it was done. */
static void
finish(struct ct_audit *a, char *problem)
{
    long long int now = time_msec();

    if (problem && !nullable_string_is_equal(problem, a->problem)) {
        VLOG_WARN("connections to endpoints that are gone may go on: %s", problem);
    } else if (!problem && a->n_flushed) {
        VLOG_INFO("%"PRIuSIZE" connections to endpoints that are gone removed from conntrack", a->n_flushed);
    }
    if (problem) {
        a->first_at = MIN(a->first_at, now + RETRY_MS);
    }
    free(a->problem);
    a->problem = problem;
    free(a->list);
    a->list = NULL;
    a->n_flushed = 0;
    a->step = IDLE;
    a->not_before = now + MAX(PAUSE_MIN_MS, PAUSE_TIMES * (now - a->since));
}

static void
ask(struct ct_audit *a, const char *command, enum step step)
{
    const char *args[] = { a->datapath, a->zone };

    vswitchd_ctl_send(a->ctl, command, args, ARRAY_SIZE(args));
    a->step = step;
}

static void
take_count(struct ct_audit *a, const char *answer)
{
    unsigned int n_all, n_ours;

    if (!ct_count_parse(answer, &n_all, &n_ours)) {
        finish(a, xasprintf("\"%.60s\" is not a count of connections", answer));
    } else if (!n_ours) {
        finish(a, NULL);
    } else if (n_all > CT_AUDIT_MAX) {
        finish(a, xasprintf("conntrack has %u connections, more than %d are not looked through", n_all, CT_AUDIT_MAX));
    } else {
        ask(a, "dpctl/dump-conntrack", LISTING);
    }
}

/* 'answer' is the function's. */
static void
answered(bool ok, char *answer, void *a_)
{
    struct ct_audit *a = a_;

    if (!ok) {
        answer[strcspn(answer, "\n")] = '\0';
        finish(a, xasprintf("ovs-vswitchd: %s", answer));
    } else if (a->step == COUNTING) {
        take_count(a, answer);
    } else if (a->step == LISTING) {
        a->list = answer;
        a->rest = a->list;
        a->step = JUDGING;
        return;
    }
    free(answer);
}

static void
start(struct ct_audit *a)
{
    a->since = time_msec();
    a->first_at = a->first_at <= a->since ? LLONG_MAX : a->first_at;
    a->again_at = a->again_at <= a->since ? LLONG_MAX : a->again_at;
    a->ctl = vswitchd_ctl_create(a->rundir);
    vswitchd_ctl_set_answer(a->ctl, answered, a);
    a->step = CONNECTING;
}

static void
converse(struct ct_audit *a)
{
    vswitchd_ctl_run(a->ctl);
    if (a->step == CONNECTING && vswitchd_ctl_is_connected(a->ctl)) {
        ask(a, "dpctl/ct-stats-show", COUNTING);
        vswitchd_ctl_run(a->ctl);
    }
    if (a->step == IDLE || a->step == JUDGING) {
        disconnect(a);
    } else if (time_msec() >= a->since + PATIENCE_MS
               || (a->step > CONNECTING && !vswitchd_ctl_n_outstanding(a->ctl))) {
        disconnect(a);                  /* Of a new connection nothing is outstanding. */
        finish(a, xstrdup("ovs-vswitchd did not list the connections of br-int"));
    }
}

static void
judge(struct ct_audit *a)
{
    struct ct_entry entry;

    for (int i = 0; i < LINES_AT_ONCE && *a->rest; i++) {
        size_t n = strcspn(a->rest, "\n");

        if (ct_entry_parse(a->rest, n, &entry) && !a->config.keeps(&entry, a->config.aux)) {
            a->config.flush(&entry, a->config.aux);
            a->n_flushed++;
        }
        a->rest += n + (a->rest[n] == '\n');
    }
    if (!*a->rest) {
        finish(a, NULL);
    }
}

static long long int
begin_at(const struct ct_audit *a)
{
    long long int at = MIN(a->first_at, a->again_at);

    return at == LLONG_MAX ? at : MAX(at, a->not_before);
}

void
ct_audit_run(struct ct_audit *a)
{
    if (a->step == IDLE && time_msec() >= begin_at(a)) {
        start(a);
    }
    if (a->ctl) {
        converse(a);
    }
    if (a->step == JUDGING) {
        judge(a);
    }
}

void
ct_audit_wait(struct ct_audit *a)
{
    if (a->step == JUDGING) {
        poll_immediate_wake();
    } else if (a->ctl) {
        vswitchd_ctl_wait(a->ctl);
        poll_timer_wait_until(a->since + PATIENCE_MS);
    } else if (begin_at(a) != LLONG_MAX) {
        poll_timer_wait_until(begin_at(a));
    }
}
