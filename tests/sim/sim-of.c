/* The book-keeping of OpenFlow (controller/of-state.h) against a model of a switch.
 *
 * Seeded histories of owners that set and remove their flows, of bundles that are taken, refused or lost, of
 * connections that break at any moment (also after a bundle was applied and before that was told), of switches
 * that come back empty, of meddlers, of partial dumps and of restarts of the daemon.  What must always hold:
 *
 * - a bundle has only differences, each key once, additions before deletions, what is wanted at that moment,
 * meters alone, groups before flows, and no deletion of a group that a flow in the switch uses;
 *     and none is made before the start, before the dump is complete, or while another one is under way
 *
 * - what of_state_acked() confirms is in the switch: exactly the wanted content of every key that did not change
 * since - nobody is blamed for what another did; who asked for what the switch refuses is told so - at rest the
 * switch has what is wanted and nothing else, of-state believes exactly that, and a restart of the daemon
 *     or a repetition of a wish makes no bundle
 *
 *
 * The planted bugs are in the core itself (OF_BUG() in controller/of-*.c), which is compiled a second time for
 * this program. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cookie.h"
#include "flow.h"
#include "of-state-private.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-group.h"
#include "sim.h"
#include "util.h"

#define N_OWNERS 7
#define BY_FLOW (N_OWNERS - 1)          /* Puts and drops its flows one by one, each with a cookie of its own. */
#define N_FLOWS 12                      /* Keys of flows; each is one value of in_port. */
#define N_METERS 2
#define N_GROUPS 2
#define N_STEPS 120

/* What stands under a key, in the switch or in a wish.  0 is nothing. */
enum content {
    NOTHING,
    GOOD_1, GOOD_2,
    METERED,                            /* A flow that uses meter 0, which its owner wants too. */
    GROUPED,                            /* A flow that uses group 0, which its owner wants too. */
    BAD,                                /* The switch refuses it. */
    EMPTY,                              /* A group without buckets: what becomes of a refused one. */
    FOREIGN,                            /* A group of another type. */
};

struct place {
    enum content content;
    int owner;                          /* The cookie; N_OWNERS: a meddler's. */
};

struct model {
    struct place flows[N_FLOWS];
    enum content meters[N_METERS];
    enum content groups[N_GROUPS];
};

struct wish {
    bool exists;
    uint64_t version;
    enum content flows[N_FLOWS];
    enum content meters[N_METERS];
    enum content groups[N_GROUPS];
};

/* What happens to the bundle under way. */
enum wire { WIRE_NONE, WIRE_SENT, WIRE_TAKEN, WIRE_REFUSED };

struct world {
    struct sim_history *h;
    struct of_state *state;
    struct wish wishes[N_OWNERS];
    int by_cookie[N_OWNERS];            /* Owners by ascending cookie. */
    uint64_t flow_versions[N_FLOWS], meter_versions[N_METERS], group_versions[N_GROUPS]; /* Of the last change that may
                                                                                             * concern it. */
    struct model model;
    bool started, connected, dumped;
    enum wire wire;
    const struct of_bundle *bundle;
    size_t culprit;                     /* If WIRE_REFUSED. */
};

const char *of_state_bug;

static const char *const owners[N_OWNERS] = {
    OWNER_BASE, "Node/a", "Pod/default/a/eth0", "Pod/default/b/eth0", "Pod/default/c/eth0", "Node/b",
    "Base/by-flow",
};

/* Names and values. ---------------------------------------------------------------------------------------------- */

/* By which owners are put in order. */
static uint64_t
cookie_of(int owner)
{
    return owner < N_OWNERS ? cookie_from_owner(owners[owner]) : 0x99;
}

static uint64_t
flow_cookie(int key, struct place place)
{
    return place.owner == BY_FLOW ? UINT64_C(0x7f00) << 48 | key : cookie_of(place.owner);
}

static int
owner_of(uint64_t cookie)
{
    int owner = cookie >> 56 == 0x7f ? BY_FLOW : 0;

    while (owner < BY_FLOW && cookie_of(owner) != cookie) {
        owner++;
    }
    return cookie == 0x99 ? N_OWNERS : owner;
}

static struct flow_entry *
make_flow(int key, struct place place)
{
    struct match match;
    uint64_t stub[64 / 8];
    struct ofpbuf actions;

    match_init_catchall(&match);
    match_set_in_port(&match, u16_to_ofp(1 + key));
    ofpbuf_use_stub(&actions, stub, sizeof stub);
    ofpact_put_OUTPUT(&actions)->port = u16_to_ofp(100 + place.content);
    if (place.content == GROUPED) {
        ofpact_put_GROUP(&actions)->group_id = 1;
    }
    return flow_entry_create(0, 1, flow_cookie(key, place), &match, actions.data, actions.size);
}

static int
flow_key(const struct flow_entry *flow)
{
    struct match match;

    minimatch_expand(&flow->match, &match);
    return ofp_to_u16(match.flow.in_port.ofp_port) - 1;
}

static struct place
flow_place(const struct flow_entry *flow)
{
    return (struct place) {
        .content = ofp_to_u16(ofpact_get_OUTPUT(flow->ofpacts)->port) - 100, .owner = owner_of(flow->cookie),
    };
}

static struct flow_meter
make_meter(int id, enum content content)
{
    return (struct flow_meter) { 1 + id, content, content };
}

static struct group_entry *
make_group(int id, enum content content)
{
    const struct group_bucket bucket = { .bucket_id = 1, .weight = content };

    if (content == FOREIGN) {
        struct ofputil_group_desc desc = { .type = OFPGT11_ALL, .group_id = 1 + id };
        ovs_list_init(&desc.buckets);
        return group_entry_from_desc(&desc);
    }
    return group_entry_create(1 + id, &bucket, content != EMPTY);
}

static enum content
group_content(const struct group_entry *group)
{
    static const enum content contents[] = { GOOD_1, GOOD_2, BAD, EMPTY, FOREIGN };

    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        struct group_entry *same = make_group(group_entry_id(group) - 1, contents[i]);
        bool found = group_entry_equal(group, same);
        group_entry_unref(same);
        if (found) {
            return contents[i];
        }
    }
    return NOTHING;
}

/* What should be in the switch once everything is settled: the wish of the smallest cookie that the switch can take. */
static struct place
wanted_flow(const struct world *w, int key)
{
    for (int i = 0; i < N_OWNERS; i++) {
        const struct wish *wish = &w->wishes[w->by_cookie[i]];
        enum content content = wish->exists ? wish->flows[key] : NOTHING;
        if (content != NOTHING && content != BAD) {
            return (struct place) { content, w->by_cookie[i] };
        }
    }
    return (struct place) { NOTHING, 0 };
}

/* BAD: only refused wishes, so that whatever is there may stay. */
static enum content
wanted_meter(const struct world *w, int id)
{
    enum content bad = NOTHING;

    for (int i = 0; i < N_OWNERS; i++) {
        const struct wish *wish = &w->wishes[w->by_cookie[i]];
        enum content content = wish->exists ? wish->meters[id] : NOTHING;
        if (content == BAD) {
            bad = BAD;
        } else if (content != NOTHING) {
            return content;
        }
    }
    return bad;
}

static enum content
wanted_group(const struct world *w, int id)
{
    enum content bad = NOTHING;

    for (int i = 0; i < N_OWNERS; i++) {
        const struct wish *wish = &w->wishes[w->by_cookie[i]];
        enum content content = wish->exists ? wish->groups[id] : NOTHING;
        if (content == BAD) {
            bad = EMPTY;
        } else if (content != NOTHING) {
            return content;
        }
    }
    return bad;
}

static bool
same_place(struct place a, struct place b)
{
    return a.content == b.content && (a.content == NOTHING || a.owner == b.owner);
}

/* Invariants. ---------------------------------------------------------------------------------------------------- */

static void
check_confirmed(struct world *w)
{
    uint64_t acked = of_state_acked(w->state);

    SIM_CHECK(w->h, acked <= of_state_version(w->state), "confirms a version that does not exist yet");
    SIM_CHECK(w->h, !acked || (w->dumped && w->started), "confirms without knowing the switch");
    if (!acked) {
        return;
    }
    for (int key = 0; key < N_FLOWS; key++) {
        struct place is = w->model.flows[key], wanted = wanted_flow(w, key);
        SIM_CHECK(w->h, w->flow_versions[key] > acked || same_place(is, wanted),
                  "flow %d: version %llu is confirmed, but content is %d of owner %d instead of %d of %d", key,
                  (unsigned long long) acked, is.content, is.owner, wanted.content, wanted.owner);
    }
    for (int id = 0; id < N_METERS; id++) {
        enum content wanted = wanted_meter(w, id);
        SIM_CHECK(w->h, w->meter_versions[id] > acked || wanted == BAD || w->model.meters[id] == wanted,
                  "meter %d: confirmed, but is %d instead of %d", id, w->model.meters[id], wanted);
    }
    for (int id = 0; id < N_GROUPS; id++) {
        /* One that nobody wants may stay a bit longer. */
        enum content wanted = wanted_group(w, id);
        SIM_CHECK(w->h, w->group_versions[id] > acked || wanted == NOTHING || w->model.groups[id] == wanted,
                  "group %d: confirmed, but is %d instead of %d", id, w->model.groups[id], wanted);
    }
}

/* Whether an owner has a wish that the switch refuses, and whether one of these is the first for its key. */
static void
bad_wishes(const struct world *w, int owner, bool *any, bool *first)
{
    const struct wish *wish = &w->wishes[owner];

    *any = *first = false;
    for (int key = 0; wish->exists && key < N_FLOWS; key++) {
        if (wish->flows[key] == BAD) {
            struct place wanted = wanted_flow(w, key);
            *any = true;
            *first |= wanted.content == NOTHING || cookie_of(wanted.owner) > cookie_of(owner);
        }
    }
    for (int id = 0; wish->exists && id < N_METERS; id++) {
        *any |= wish->meters[id] == BAD;
        *first |= wish->meters[id] == BAD && wanted_meter(w, id) == BAD;
    }
    for (int id = 0; wish->exists && id < N_GROUPS; id++) {
        *any |= wish->groups[id] == BAD;
        *first |= wish->groups[id] == BAD && wanted_group(w, id) == EMPTY;
    }
}

static void
check_blame(struct world *w)
{
    uint64_t acked = of_state_acked(w->state);

    for (int owner = 0; owner < N_OWNERS; owner++) {
        bool failed = of_state_owner_failed(w->state, owners[owner]) != NULL, any, first;

        bad_wishes(w, owner, &any, &first);
        SIM_CHECK(w->h, !failed || any, "%s is blamed for nothing", owners[owner]);
        SIM_CHECK(w->h, failed || !first || acked < of_state_version(w->state), "%s was refused and is not told",
                  owners[owner]);
    }
}

static bool
is_group(const struct of_change *change)
{
    return change->type == OF_GROUP_ADD || change->type == OF_GROUP_MODIFY || change->type == OF_GROUP_DELETE;
}

static bool
is_addition(const struct of_change *change)
{
    return change->type != OF_FLOW_DELETE && change->type != OF_METER_DELETE && change->type != OF_GROUP_DELETE;
}

static void
check_group_change(struct world *w, const struct of_change *change, bool seen[N_GROUPS])
{
    int id = group_entry_id(change->group) - 1;
    enum content is = w->model.groups[id], content = group_content(change->group), wanted = wanted_group(w, id);

    SIM_CHECK(w->h, !seen[id], "group %d is twice in one bundle", id);
    seen[id] = true;
    if (change->type == OF_GROUP_DELETE) {
        SIM_CHECK(w->h, is != NOTHING, "group %d is deleted though it is not there", id);
        SIM_CHECK(w->h, wanted == NOTHING, "group %d is deleted though it is wanted", id);
        for (int key = 0; id == 0 && key < N_FLOWS; key++) {
            SIM_CHECK(w->h, w->model.flows[key].content != GROUPED, "flow %d would go with the group", key);
        }
    } else {
        SIM_CHECK(w->h, is != content, "group %d is sent though it is there", id);
        SIM_CHECK(w->h, content == BAD || content == wanted, "group %d is sent as %d, not %d", id, content, wanted);
    }
}

static void
check_flow_change(struct world *w, const struct of_change *change, bool seen[N_FLOWS])
{
    int key = flow_key(change->flow);
    struct place is = w->model.flows[key], place = flow_place(change->flow), wanted = wanted_flow(w, key);

    SIM_CHECK(w->h, !seen[key], "flow %d is twice in one bundle", key);
    seen[key] = true;
    if (change->type == OF_FLOW_ADD) {
        SIM_CHECK(w->h, !same_place(is, place), "flow %d is sent though it is there", key);
        SIM_CHECK(w->h, place.content == BAD || same_place(place, wanted), "flow %d is sent for owner %d, not %d", key,
                  place.owner, wanted.owner);
    } else {
        SIM_CHECK(w->h, is.content != NOTHING, "flow %d is deleted though it is not there", key);
        SIM_CHECK(w->h, wanted.content == NOTHING, "flow %d is deleted though it is wanted", key);
    }
}

static void
check_bundle(struct world *w, const struct of_bundle *bundle)
{
    bool seen[N_FLOWS] = { false }, seen_groups[N_GROUPS] = { false }, deleting = false, flows = false;

    SIM_CHECK(w->h, w->started && w->dumped && w->wire == WIRE_NONE, "a bundle at the wrong time");
    for (size_t i = 0; i < bundle->n; i++) {
        const struct of_change *change = &bundle->changes[i];
        bool is_flow = change->type == OF_FLOW_ADD || change->type == OF_FLOW_DELETE;

        SIM_CHECK(w->h, !deleting || !is_addition(change), "an addition behind a deletion");
        deleting |= !is_addition(change);
        SIM_CHECK(w->h, is_flow || is_group(change) || bundle->n == 1, "a meter in a bundle");
        SIM_CHECK(w->h, !flows || !is_group(change), "a group behind a flow");
        flows |= is_flow;
        if (is_group(change)) {
            check_group_change(w, change, seen_groups);
        } else if (is_flow) {
            check_flow_change(w, change, seen);
        }
    }
}

struct belief {
    struct world *w;
    size_t n;
};

static void
check_belief(const struct flow_entry *flow, const char *owner, void *belief_)
{
    struct belief *belief = belief_;
    int key = flow_key(flow);

    SIM_CHECK(belief->w->h, owner && !strcmp(owner, owners[flow_place(flow).owner]), "flow %d is said to be %s's", key,
              owner ? owner : "nobody");

    SIM_CHECK(belief->w->h, same_place(belief->w->model.flows[key], flow_place(flow)), "flow %d: belief is wrong", key);
    belief->n++;
}

static void
check_rest(struct world *w)
{
    struct belief belief = { w, 0 };
    struct of_state_stats stats;
    size_t n = 0;

    for (int key = 0; key < N_FLOWS; key++) {
        SIM_CHECK(w->h, same_place(w->model.flows[key], wanted_flow(w, key)), "at rest flow %d is wrong", key);
        n += w->model.flows[key].content != NOTHING;
    }
    for (int id = 0; id < N_METERS; id++) {
        enum content wanted = wanted_meter(w, id);
        SIM_CHECK(w->h, wanted == BAD || w->model.meters[id] == wanted, "at rest meter %d is wrong", id);
    }
    for (int id = 0; id < N_GROUPS; id++) {
        SIM_CHECK(w->h, w->model.groups[id] == wanted_group(w, id), "at rest group %d is %d, not %d", id,
                  w->model.groups[id], wanted_group(w, id));
    }
    of_state_for_each_installed(w->state, check_belief, &belief);
    of_state_get_stats(w->state, &stats);
    SIM_CHECK(w->h, belief.n == n && stats.n_installed == n, "believes %zu flows, the switch has %zu", belief.n, n);
    SIM_CHECK(w->h, stats.synced, "at rest but not synced");
    SIM_CHECK(w->h, of_state_acked(w->state) == of_state_version(w->state), "at rest but not all is confirmed");
}

/* The switch. ---------------------------------------------------------------------------------------------------- */

/* Whether group 0 is made earlier in the same bundle. */
static bool
adds_group(const struct of_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (changes[i].type == OF_GROUP_ADD && group_entry_id(changes[i].group) == 1) {
            return true;
        }
    }
    return false;
}

/* 'changes' are those before 'change' in its bundle. */
static bool
refuses(const struct model *model, const struct of_change *changes, size_t n)
{
    const struct of_change *change = &changes[n];

    switch (change->type) {
    case OF_FLOW_ADD:
        return flow_place(change->flow).content == BAD
               || (flow_place(change->flow).content == METERED && model->meters[0] == NOTHING)
               || (flow_place(change->flow).content == GROUPED && model->groups[0] == NOTHING
                   && !adds_group(changes, n));
    case OF_METER_ADD:
        return change->meter.rate == BAD || model->meters[change->meter.meter_id - 1] != NOTHING;
    case OF_METER_MODIFY:
        return change->meter.rate == BAD || model->meters[change->meter.meter_id - 1] == NOTHING;
    case OF_GROUP_ADD:
        return group_content(change->group) == BAD || model->groups[group_entry_id(change->group) - 1] != NOTHING;
    case OF_GROUP_MODIFY:
        return group_content(change->group) == BAD || model->groups[group_entry_id(change->group) - 1] == NOTHING;
    case OF_FLOW_DELETE: case OF_METER_DELETE: case OF_GROUP_DELETE:
    default:
        return false;
    }
}

/* As OVS does, flows go with the meter that they use. */
static void
delete_meter(struct model *model, int id)
{
    model->meters[id] = NOTHING;
    for (int key = 0; id == 0 && key < N_FLOWS; key++) {
        if (model->flows[key].content == METERED) {
            model->flows[key].content = NOTHING;
        }
    }
}

/* The same. */
static void
delete_group(struct model *model, int id)
{
    model->groups[id] = NOTHING;
    for (int key = 0; id == 0 && key < N_FLOWS; key++) {
        if (model->flows[key].content == GROUPED) {
            model->flows[key].content = NOTHING;
        }
    }
}

static void
apply(struct model *model, const struct of_change *change)
{
    switch (change->type) {
    case OF_FLOW_ADD:
        model->flows[flow_key(change->flow)] = flow_place(change->flow);
        break;
    case OF_FLOW_DELETE:
        model->flows[flow_key(change->flow)].content = NOTHING;
        break;
    case OF_METER_ADD: case OF_METER_MODIFY:
        model->meters[change->meter.meter_id - 1] = change->meter.rate;
        break;
    case OF_METER_DELETE:
        delete_meter(model, change->meter.meter_id - 1);
        break;
    case OF_GROUP_ADD: case OF_GROUP_MODIFY:
        model->groups[group_entry_id(change->group) - 1] = group_content(change->group);
        break;
    case OF_GROUP_DELETE:
        delete_group(model, group_entry_id(change->group) - 1);
        break;
    }
}

/* The switch works on the bundle that was sent: all of it or nothing. */
static void
switch_works(struct world *w)
{
    if (w->wire != WIRE_SENT) {
        return;
    }
    for (size_t i = 0; i < w->bundle->n; i++) {
        if (refuses(&w->model, w->bundle->changes, i)) {
            w->wire = WIRE_REFUSED;
            w->culprit = i;
            sim_log(w->h, "  the switch refuses change %zu of %zu", i, w->bundle->n);
            return;
        }
    }
    for (size_t i = 0; i < w->bundle->n; i++) {
        apply(&w->model, &w->bundle->changes[i]);
    }
    w->wire = WIRE_TAKEN;
    sim_log(w->h, "  the switch takes %zu changes", w->bundle->n);
}

static void
answer_arrives(struct world *w)
{
    if (w->wire == WIRE_TAKEN) {
        sim_log(w->h, "  acknowledged");
        w->wire = WIRE_NONE;
        of_state_bundle_acked(w->state);
    } else if (w->wire == WIRE_REFUSED) {
        bool named = sim_chance(w->h, 60);
        sim_log(w->h, "  refused, %s", named ? "by name" : "without a name");
        w->wire = WIRE_NONE;
        of_state_bundle_failed(w->state, named ? w->culprit : SIZE_MAX, OFPERR_OFPBAC_BAD_OUT_GROUP);
    }
}

static void
send_next(struct world *w)
{
    const struct of_bundle *bundle = of_state_next(w->state);

    if (bundle) {
        sim_log(w->h, "  bundle of %zu", bundle->n);
        check_bundle(w, bundle);
        w->bundle = bundle;
        w->wire = WIRE_SENT;
    }
}

/* Events. -------------------------------------------------------------------------------------------------------- */

static void
touch_versions(struct world *w, const struct wish *wish, uint64_t version)
{
    for (int key = 0; key < N_FLOWS; key++) {
        w->flow_versions[key] = wish->flows[key] != NOTHING ? version : w->flow_versions[key];
    }
    for (int id = 0; id < N_METERS; id++) {
        w->meter_versions[id] = wish->meters[id] != NOTHING ? version : w->meter_versions[id];
    }
    for (int id = 0; id < N_GROUPS; id++) {
        w->group_versions[id] = wish->groups[id] != NOTHING ? version : w->group_versions[id];
    }
}

/* Puts and drops what differs from 'before', and now and then what does not. */
static uint64_t
declare_by_flow(struct world *w, const struct wish *before)
{
    const struct wish *wish = &w->wishes[BY_FLOW];
    uint64_t version = of_state_version(w->state);

    for (int i = 0; i < N_FLOWS; i++) {
        int key = (i * 5 + N_FLOWS / 2) % N_FLOWS;      /* In another order than other owners. */
        struct flow_entry *flow = make_flow(key, (struct place) { wish->flows[key], BY_FLOW });

        if (wish->flows[key] == before->flows[key] && wish->flows[key] != BAD && sim_chance(w->h, 80)) {
            flow_entry_unref(flow);
        } else if (wish->flows[key] != NOTHING) {
            version = of_state_put_flow(w->state, owners[BY_FLOW], flow);
        } else {
            version = of_state_drop_flow(w->state, owners[BY_FLOW], flow);
            flow_entry_unref(flow);
        }
    }
    for (int id = 0; id < N_GROUPS; id++) {
        if (wish->groups[id] == before->groups[id] && wish->groups[id] != BAD && sim_chance(w->h, 80)) {
            continue;
        } else if (wish->groups[id] != NOTHING) {
            version = of_state_put_group(w->state, owners[BY_FLOW], make_group(id, wish->groups[id]));
        } else {
            version = of_state_drop_group(w->state, owners[BY_FLOW], 1 + id);
        }
    }
    return version;
}

/* Declares the wish of 'owner' as it stands in 'w'; 'before' is what was declared last. */
static uint64_t
declare(struct world *w, int owner, const struct wish *before)
{
    struct wish *wish = &w->wishes[owner];
    struct flow_set set = FLOW_SET_INIT;

    if (owner == BY_FLOW) {
        return declare_by_flow(w, before);
    }

    for (int key = 0; key < N_FLOWS; key++) {
        if (wish->flows[key] != NOTHING) {
            flow_set_add_nocopy(&set, make_flow(key, (struct place) { wish->flows[key], owner }));
        }
    }
    for (int id = 0; id < N_METERS; id++) {
        if (wish->meters[id] != NOTHING) {
            struct flow_meter meter = make_meter(id, wish->meters[id]);
            flow_set_add_meter(&set, &meter);
        }
    }
    for (int id = 0; id < N_GROUPS; id++) {
        if (wish->groups[id] != NOTHING) {
            flow_set_add_group(&set, make_group(id, wish->groups[id]));
        }
    }
    uint64_t version = of_state_set(w->state, owners[owner], &set);
    flow_set_destroy(&set);
    return version;
}

static void
leave_meters(struct wish *wish)
{
    memset(wish->meters, 0, sizeof wish->meters);
    for (int key = 0; key < N_FLOWS; key++) {
        wish->flows[key] = wish->flows[key] == METERED ? GOOD_1 : wish->flows[key];
    }
}

static void
set_owner(struct world *w)
{
    int owner = sim_below(w->h, N_OWNERS);
    struct wish *wish = &w->wishes[owner], before = *wish;
    uint64_t last = of_state_version(w->state);

    /* Mostly a change of what there was, sometimes something else altogether. */
    if (!wish->exists || sim_chance(w->h, 20)) {
        *wish = (struct wish) { .exists = true, .version = before.exists ? before.version : last };
    }
    for (int n = sim_below(w->h, 5); n > 0; n--) {
        enum content content = sim_chance(w->h, 7) ? BAD : sim_below(w->h, BAD);
        wish->flows[sim_below(w->h, N_FLOWS)] = content;
    }
    if (sim_chance(w->h, 20)) {
        wish->meters[1] = sim_chance(w->h, 20) ? BAD : sim_below(w->h, METERED);
    }
    if (sim_chance(w->h, 20)) {
        wish->groups[1] = sim_chance(w->h, 20) ? BAD : sim_below(w->h, METERED);
    }
    enum content group = sim_chance(w->h, 20) ? BAD : GOOD_1 + sim_below(w->h, 2);
    wish->meters[0] = wish->groups[0] = NOTHING;
    for (int key = 0; key < N_FLOWS; key++) {
        wish->meters[0] = wish->flows[key] == METERED ? 1 + owner % 2 : wish->meters[0];
        wish->groups[0] = wish->flows[key] == GROUPED ? group : wish->groups[0];
    }
    if (owner == BY_FLOW) {
        leave_meters(wish);
    }

    bool same = before.exists && !memcmp(before.flows, wish->flows, sizeof wish->flows)
                && !memcmp(before.meters, wish->meters, sizeof wish->meters)
                && !memcmp(before.groups, wish->groups, sizeof wish->groups);
    bool failed = of_state_owner_failed(w->state, owners[owner]) != NULL;
    wish->version = declare(w, owner, &before);
    sim_log(w->h, "%s is set: version %llu", owners[owner], (unsigned long long) wish->version);
    SIM_CHECK(w->h, wish->version <= of_state_version(w->state), "a version from the future");
    if (same && !failed) {
        SIM_CHECK(w->h, (wish->version == before.version || owner == BY_FLOW) && of_state_version(w->state) == last,
                  "%s: the same wish again is a new version", owners[owner]);
    } else {
        touch_versions(w, &before, wish->version);
        touch_versions(w, wish, wish->version);
    }
}

static void
remove_owner(struct world *w)
{
    int owner = sim_below(w->h, N_OWNERS);
    uint64_t version = of_state_remove(w->state, owners[owner]);

    sim_log(w->h, "%s is removed: version %llu", owners[owner], (unsigned long long) version);
    touch_versions(w, &w->wishes[owner], version);
    w->wishes[owner] = (struct wish) { .exists = false };
}

/* While nobody is connected another process changes something. */
static void
meddle(struct world *w)
{
    struct model *model = &w->model;

    switch (sim_below(w->h, 4)) {
    case 0:
        model->flows[sim_below(w->h, N_FLOWS)].content = NOTHING;
        break;
    case 1:
        model->flows[sim_below(w->h, N_FLOWS)] = (struct place) { GOOD_1, sim_below(w->h, N_OWNERS + 1) };
        break;
    case 2:
        if (sim_chance(w->h, 50)) {
            delete_meter(model, sim_below(w->h, N_METERS));
        } else {
            model->meters[sim_below(w->h, N_METERS)] = GOOD_1 + sim_below(w->h, 2);
        }
        break;
    case 3:
        if (sim_chance(w->h, 50)) {
            delete_group(model, sim_below(w->h, N_GROUPS));
        } else {
            static const enum content contents[] = { GOOD_1, GOOD_2, EMPTY, FOREIGN };
            model->groups[sim_below(w->h, N_GROUPS)] = contents[sim_below(w->h, ARRAY_SIZE(contents))];
        }
        break;
    }
}

static void
lose_connection(struct world *w)
{
    if (!w->connected) {
        return;
    }
    sim_log(w->h, "the connection is lost");
    if (sim_chance(w->h, 50)) {
        switch_works(w);                /* It had received the bundle, and nobody will hear what came of it. */
    }
    w->connected = w->dumped = false;
    w->wire = WIRE_NONE;
    of_state_disconnected(w->state);
    if (sim_chance(w->h, 30)) {
        sim_log(w->h, "the switch restarts");
        memset(&w->model, 0, sizeof w->model);
    }
    for (int n = sim_below(w->h, 3); n > 0; n--) {
        meddle(w);
    }
}

/* Connects and dumps; 'part' in percent, less than 100 means that the connection breaks in between. */
static void
connect_and_dump(struct world *w, uint32_t part)
{
    if (w->connected) {
        return;
    }
    sim_log(w->h, "connected; %u %% of the dump arrives", (unsigned int) part);
    w->connected = true;
    of_state_connected(w->state);
    for (int key = 0; key < N_FLOWS; key++) {
        if (w->model.flows[key].content != NOTHING && sim_below(w->h, 100) < part) {
            of_state_dumped_flow(w->state, make_flow(key, w->model.flows[key]));
        }
    }
    for (int id = 0; id < N_METERS; id++) {
        if (w->model.meters[id] != NOTHING && sim_below(w->h, 100) < part) {
            struct flow_meter meter = make_meter(id, w->model.meters[id]);
            of_state_dumped_meter(w->state, &meter);
        }
    }
    for (int id = 0; id < N_GROUPS; id++) {
        if (w->model.groups[id] != NOTHING && sim_below(w->h, 100) < part) {
            of_state_dumped_group(w->state, make_group(id, w->model.groups[id]));
        }
    }
    if (part < 100) {
        SIM_CHECK(w->h, !of_state_next(w->state), "a bundle before the dump is complete");
        w->connected = false;
        of_state_disconnected(w->state);
    } else {
        w->dumped = true;
        of_state_dump_done(w->state);
    }
}

static void
start(struct world *w)
{
    w->started = true;
    of_state_start(w->state);
}

/* The daemon is killed and started again: it declares all that it wants and finds what the switch has. */
static void
restart_daemon(struct world *w)
{
    sim_log(w->h, "the daemon restarts");
    if (w->wire == WIRE_SENT && sim_chance(w->h, 50)) {
        switch_works(w);
    }
    of_state_destroy(w->state);
    w->state = of_state_create();
    w->started = w->connected = w->dumped = false;
    w->wire = WIRE_NONE;
    memset(w->flow_versions, 0, sizeof w->flow_versions);
    memset(w->meter_versions, 0, sizeof w->meter_versions);
    memset(w->group_versions, 0, sizeof w->group_versions);
    for (int owner = 0; owner < N_OWNERS; owner++) {
        if (w->wishes[owner].exists) {
            w->wishes[owner].version = declare(w, owner, &(struct wish) { .exists = false });
            touch_versions(w, &w->wishes[owner], w->wishes[owner].version);
        }
    }
}

static void
come_to_rest(struct world *w)
{
    start(w);
    connect_and_dump(w, 100);
    for (int i = 0; !sim_failed(w->h); i++) {
        switch_works(w);
        answer_arrives(w);
        send_next(w);
        check_confirmed(w);
        check_blame(w);
        if (w->wire == WIRE_NONE) {
            break;
        }
        SIM_CHECK(w->h, i < 500, "does not come to rest");
    }
    check_rest(w);
}

/* At rest nothing is sent because somebody repeats a wish, or because the daemon restarts. */
static void
rest_is_quiet(struct world *w)
{
    bool refused = false;

    for (int owner = 0; owner < N_OWNERS; owner++) {
        bool any, first;
        bad_wishes(w, owner, &any, &first);
        refused |= any;
        if (w->wishes[owner].exists && !any) {
            declare(w, owner, &w->wishes[owner]);
        }
    }
    SIM_CHECK(w->h, !of_state_next(w->state), "a repeated wish makes a bundle");
    if (!refused && sim_chance(w->h, 30)) {
        restart_daemon(w);
        start(w);
        connect_and_dump(w, 100);
        SIM_CHECK(w->h, !of_state_next(w->state), "a restart of the daemon makes a bundle");
        check_rest(w);
    }
}

static void
step(struct world *w)
{
    uint32_t dice = sim_below(w->h, 100);

    if (dice < 25) {
        set_owner(w);
    } else if (dice < 32) {
        remove_owner(w);
    } else if (dice < 52) {
        if (w->wire == WIRE_NONE) {
            send_next(w);
        } else {
            SIM_CHECK(w->h, !of_state_next(w->state), "two bundles under way");
        }
    } else if (dice < 67) {
        switch_works(w);
    } else if (dice < 82) {
        answer_arrives(w);
    } else if (dice < 86) {
        lose_connection(w);
    } else if (dice < 92) {
        connect_and_dump(w, sim_chance(w->h, 80) ? 100 : sim_below(w->h, 100));
    } else if (dice < 97) {
        start(w);
    } else if (dice < 98) {
        restart_daemon(w);
    } else {
        come_to_rest(w);
        rest_is_quiet(w);
    }
}

static int
compare_cookies(const void *a, const void *b)
{
    uint64_t x = cookie_of(*(const int *) a), y = cookie_of(*(const int *) b);

    return x < y ? -1 : x > y;
}

static void
history(struct sim_history *h)
{
    struct world w = { .h = h, .state = of_state_create() };

    of_state_bug = h->bug;
    for (int i = 0; i < N_OWNERS; i++) {
        w.by_cookie[i] = i;
    }
    qsort(w.by_cookie, N_OWNERS, sizeof *w.by_cookie, compare_cookies);

    for (int i = 0; i < N_STEPS && !sim_failed(h); i++) {
        step(&w);
        check_confirmed(&w);
        check_blame(&w);
    }
    if (!sim_failed(h)) {
        come_to_rest(&w);
    }
    of_state_destroy(w.state);
}

int
main(int argc, char *argv[])
{
    static const char *const bugs[] = {
        "ack-early", "ack-partial", "blame-neighbour", "delete-group-at-once", "deletes-first",
        "drop-silently", "forget-change-under-way", "forget-delete", "groups-last", "lose-on-disconnect",
        "order-of-events", "refused-group-stays", NULL,
    };
    return sim_main(argc, argv, &(struct sim) { "of", history, bugs });
}
