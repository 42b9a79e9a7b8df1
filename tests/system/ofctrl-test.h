#ifndef SLUICE_OFCTRL_TEST_H
#define SLUICE_OFCTRL_TEST_H 1

/* A real ovs-vswitchd with the dummy datapath, and the daemon's loop for ofctrl.h: what its system tests share. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cookie.h"
#include "flow.h"
#include "ofctrl.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-sandbox.h"
#include "timeval.h"
#include "unit.h"
#include "util.h"

#define TIMEOUT_MS 30000

struct rig {
    struct ovs_sandbox ovs;
    char *target;
    struct ofctrl *ctrl;
    long long int longest_turn;         /* Of the loop, ms. */
};

static inline void
rig_connect(struct rig *rig)
{
    rig->ctrl = ofctrl_create(rig->target);
    rig->longest_turn = 0;
}

static inline bool
rig_start(struct rig *rig)
{
    if (!ovs_sandbox_possible()) {
        return false;
    }
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, getenv("VERBOSE") ? VLL_DBG : VLL_OFF);
    *rig = (struct rig) { .ctrl = NULL };
    ovs_sandbox_create(&rig->ovs);
    ovs_sandbox_start_ovsdb(&rig->ovs);
    ovs_sandbox_start_vswitchd(&rig->ovs);
    free(ovs_sandbox_vsctl(&rig->ovs, "add-br br-int -- set bridge br-int datapath_type=dummy fail_mode=secure"));
    rig->target = xasprintf("unix:%s/br-int.mgmt", rig->ovs.dir);
    rig_connect(rig);
    return true;
}

static inline void
rig_stop(struct rig *rig)
{
    ofctrl_destroy(rig->ctrl);
    ovs_sandbox_destroy(&rig->ovs);
    free(rig->target);
}

static inline struct of_state_stats
stats_of(const struct rig *rig)
{
    struct of_state_stats stats;

    of_state_get_stats(ofctrl_state(rig->ctrl), &stats);
    return stats;
}

/* Turns the loop until everything up to 'version' is confirmed and nothing is left to do. */
static inline void
rig_settle(struct rig *rig, uint64_t version)
{
    long long int deadline = time_msec() + TIMEOUT_MS;

    for (;;) {
        long long int before = time_msec();
        ofctrl_run(rig->ctrl);
        rig->longest_turn = MAX(rig->longest_turn, time_msec() - before);
        if (of_state_acked(ofctrl_state(rig->ctrl)) >= MAX(version, 1) && stats_of(rig).synced) {
            return;
        }
        ck_assert_msg(time_msec() < deadline, "not settled");
        ofctrl_wait(rig->ctrl);
        poll_timer_wait_until(deadline);
        poll_block();
    }
}

/* The standard output of "ovs-ofctl -O OpenFlow15 VERB br-int REST". */
static inline char *
ofctl(const struct rig *rig, const char *verb, const char *rest)
{
    char *command = xasprintf("ovs-ofctl -O OpenFlow15 --no-stats %s %s/br-int.mgmt %s", verb, rig->ovs.dir, rest);
    FILE *pipe = popen(command, "r");
    char *out = xzalloc(1 << 20);

    ck_assert_ptr_nonnull(pipe);
    ck_assert_uint_lt(fread(out, 1, 1 << 20, pipe), 1 << 20);
    ck_assert_msg(!pclose(pipe), "%s", command);
    free(command);
    return out;
}

static inline size_t
count_lines(const char *text, const char *with)
{
    size_t n = 0;

    for (const char *line = text; (line = strstr(line, with)); line += strlen(with)) {
        n++;
    }
    return n;
}

/* The number of flows of table 'table' in the switch, or with 'table' -1 of all. */
static inline size_t
count_flows(const struct rig *rig, const char *with)
{
    char *dump = ofctl(rig, "dump-flows", "");
    size_t n = count_lines(dump, with);

    free(dump);
    return n;
}

static inline void
add_text(struct flow_set *set, const char *owner, const char *format, ...)
{
    struct ofputil_flow_mod fm;
    enum ofputil_protocol usable;
    struct match match;
    va_list args;

    va_start(args, format);
    char *text = xvasprintf(format, args);
    va_end(args);
    char *error = parse_ofp_str(&fm, OFPFC_ADD, text, NULL, NULL, &usable);
    ck_assert_msg(!error, "%s: %s", text, error);
    minimatch_expand(&fm.match, &match);
    flow_set_add_nocopy(set, flow_entry_create(fm.table_id, fm.priority, cookie_from_owner(owner), &match, fm.ofpacts,
                                               fm.ofpacts_len));
    minimatch_destroy(&fm.match);
    free(fm.ofpacts);
    free(text);
}

#endif /* tests/system/ofctrl-test.h */
