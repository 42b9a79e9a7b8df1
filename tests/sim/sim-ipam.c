/* The simulator of IPAM and its journal: the real ipam.c and the real bytes of journal-format.c, a disk that crashes, a
 * kubelet that retries, a dataplane that acknowledges late, and a clock that jumps.
 *
 * 'struct world' has two halves.  What the daemon knows is gone after a crash.  What is true (sandboxes, flows, the
 * disk, and for each address when it was given and released) stays, and every address that is given is judged by it:
 *
 *   no address is held by two sandboxes, or by one while a flow of a former owner still stands
 *   no generation is given that anybody has seen before, over any crash
 *   an address rests for the whole quarantine, or is the oldest acknowledged one, taken because nothing else was free
 *   nothing leaks: size = reserved + used + quarantined + free, every used address has an attachment, and in the end
 *   all addresses are free
 *
 * Acceptance list for IPAM, items 3 to 9. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ipam.h"
#include "lib/journal-format.h"
#include "openvswitch/ofpbuf.h"
#include "sim.h"
#include "util.h"

#define MAX_PODS 64
#define MAX_ADDRESSES 512
#define MAX_FLOWS 512
#define NEVER LLONG_MIN

/* The daemon's attachment; 'pods' of the world are the truth about the sandbox of the same key. */
struct attachment {
    bool used;
    struct ipam_lease lease;
};

/* POD_LOST: the ADD was never answered, so kubelet will send a DEL. */
enum pod_state { POD_NONE, POD_ADDING, POD_UP, POD_LOST, POD_GONE };

struct pod {
    enum pod_state state;
    struct ipam_lease lease;
    size_t end;                         /* Of its "add" in the journal: answered when that is synced. */
    bool answered;
};

struct truth {
    struct in6_addr addr;
    int holder;                         /* Pod, or -1. */
    int last;                           /* The pod that has or had it, or -1. */
    long long int released;             /* NEVER: it need not rest. */
};

/* Flows that match an address.  'removing': the daemon has asked for their removal.  'gone': an acknowledgement on its
 * way. */
struct flows {
    struct ipam_address address;
    bool removing, gone;
};

struct world {
    struct sim_history *h;
    const char *pools[2];
    long long int now, quarantine;

    /* The daemon. */
    struct ipam *ipam;
    struct attachment attachments[MAX_PODS];

    /* The truth. */
    struct pod pods[MAX_PODS];
    size_t n_pods;
    struct truth truths[MAX_ADDRESSES];
    size_t n_truths;
    struct flows flows[MAX_FLOWS];
    size_t n_flows;
    uint64_t seen_generation;
    struct ofpbuf disk;
    size_t synced;
    bool full;
};

/* ADD, RELEASE, QUARANTINE and GENERATION are what a journal must be able to say; the two last ones only after a
 * rewrite. */
enum record_kind { RECORD_ADD, RECORD_RELEASE, RECORD_QUARANTINE, RECORD_GENERATION };

struct record {
    enum record_kind kind;
    uint32_t pod;
    uint64_t generation;
    long long int since;
    struct ipam_lease lease;
};

static const char *const bugs[] = {
    "add-not-journaled", "reply-before-sync", "release-not-journaled", "torn-append-kept", "no-cancel",
    "ack-when-asked", "ack-after-restart", "ack-by-address", "release-by-address", "since-forgotten",
    "rewrite-without-quarantine", "rewrite-without-generation", "rewrite-not-synced", NULL
};

static void start(struct world *);
static void recover(struct world *);

static struct truth *
truth_of(struct world *w, const struct in6_addr *addr)
{
    for (size_t i = 0; i < w->n_truths; i++) {
        if (!memcmp(&w->truths[i].addr, addr, sizeof *addr)) {
            return &w->truths[i];
        }
    }
    ovs_assert(w->n_truths < MAX_ADDRESSES);
    w->truths[w->n_truths] = (struct truth) { .addr = *addr, .holder = -1, .last = -1, .released = NEVER };
    return &w->truths[w->n_truths++];
}

static const char *
text(const struct in6_addr *addr)
{
    static char buf[INET_ADDR_STRLEN];
    return inet_addr_format(addr, buf);
}

static bool
same(const struct ipam_address *a, const struct ipam_address *b)
{
    return a->generation == b->generation && !memcmp(&a->addr, &b->addr, sizeof a->addr);
}

/* The disk. */

static size_t
encode(const struct record *record, struct ofpbuf *buf)
{
    size_t before = buf->size;
    journal_format_put(buf, record, sizeof *record, NULL);
    return buf->size - before;
}

/* False: the disk was full. */
static bool
append(struct world *w, const struct record *record)
{
    size_t before = w->disk.size, size = encode(record, &w->disk);
    if (w->full) {
        w->disk.size = before;
        if (sim_bug(w->h, "torn-append-kept")) {
            w->disk.size += sim_below(w->h, size);
        }
        sim_log(w->h, "%lld disk full", w->now);
        return false;
    }
    return true;
}

static void
sync_disk(struct world *w)
{
    w->synced = w->disk.size;
    for (size_t i = 0; i < w->n_pods; i++) {
        struct pod *pod = &w->pods[i];
        if (pod->state == POD_ADDING && pod->end <= w->synced) {
            sim_log(w->h, "%lld pod %zu up", w->now, i);
            pod->state = POD_UP;
            pod->answered = true;
        }
    }
}

/* The dataplane. */

static struct flows *
flows_of(struct world *w, const struct ipam_address *address)
{
    for (size_t i = 0; i < w->n_flows; i++) {
        if (same(&w->flows[i].address, address) && !w->flows[i].gone) {
            return &w->flows[i];
        }
    }
    return NULL;
}

static void
install_flows(struct world *w, const struct ipam_lease *lease)
{
    for (size_t i = 0; i < lease->n; i++) {
        if (!flows_of(w, &lease->addrs[i])) {
            ovs_assert(w->n_flows < MAX_FLOWS);
            w->flows[w->n_flows++] = (struct flows) { .address = lease->addrs[i] };
        }
    }
}

static void
acknowledge(struct world *w, struct ipam_address address)
{
    if (sim_bug(w->h, "ack-by-address")) {
        ipam_lookup(w->ipam, &address.addr, &address.generation);
    }
    bool done = ipam_acknowledge(w->ipam, &address);
    sim_log(w->h, "%lld ack %s generation %"PRIu64"%s", w->now, text(&address.addr), address.generation,
            done ? "" : " (stale)");
}

/* The flows of an address in quarantine must go.  When there are none the dump of the switch is the acknowledgement. */
static void
remove_flows(struct world *w, const struct ipam_address *address)
{
    struct flows *flows = flows_of(w, address);
    if (flows) {
        flows->removing = true;
    }
    if (!flows || sim_bug(w->h, "ack-when-asked")) {
        acknowledge(w, *address);
    }
}

static void
step_dataplane(struct world *w)
{
    for (size_t i = 0; i < w->n_flows; i++) {
        struct flows *flows = &w->flows[i];
        if (!flows->removing || sim_chance(w->h, 50)) {
            continue;
        } else if (!flows->gone) {
            flows->gone = true;
        } else {
            acknowledge(w, flows->address);
            /* Some acknowledgements come twice, the second one late. */
            if (sim_chance(w->h, 60)) {
                *flows = w->flows[--w->n_flows];
                i--;
            }
        }
    }
}

/* ADD. */

struct before {
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    size_t n;
    long long int oldest[2];            /* Release of the oldest acknowledged one of each family. */
};

static void
note_oldest(const struct ipam_address *a, enum ipam_address_state state, long long int since, void *before_)
{
    struct before *before = before_;
    long long int *oldest = &before->oldest[inet_is_v4(&a->addr) ? 0 : 1];
    if (state == IPAM_QUARANTINED) {
        *oldest = MIN(*oldest, since);
    }
}

/* An address that the daemon wants to give: may it? */
static void
judge(struct world *w, const struct ipam_address *a, const struct before *before)
{
    struct truth *truth = truth_of(w, &a->addr);
    struct ipam_stats after[IPAM_MAX_ADDRS];
    size_t n = ipam_get_stats(w->ipam, after);

    SIM_CHECK(w->h, truth->holder < 0, "%s is given while pod %d holds it", text(&a->addr), truth->holder);
    SIM_CHECK(w->h, a->generation > w->seen_generation, "generation %"PRIu64" is given again", a->generation);
    for (size_t i = 0; i < w->n_flows; i++) {
        SIM_CHECK(w->h, w->flows[i].gone || memcmp(&w->flows[i].address.addr, &a->addr, sizeof a->addr),
                  "%s is given while flows of generation %"PRIu64" stand", text(&a->addr),
                  w->flows[i].address.generation);
    }
    for (size_t i = 0; i < n; i++) {
        if (!inet_prefix_contains(&after[i].pool, &a->addr)) {
            continue;
        }
        size_t family = inet_is_v4(&a->addr) ? 0 : 1;
        bool early = after[i].taken_early > before->stats[i].taken_early;
        SIM_CHECK(w->h, !early || !before->stats[i].free, "%s is taken early with %"PRIu64" free", text(&a->addr),
                  before->stats[i].free);
        SIM_CHECK(w->h, !early || truth->released == NEVER || truth->released <= before->oldest[family],
                  "%s is taken early but is not the oldest", text(&a->addr));
        SIM_CHECK(w->h, early || truth->released == NEVER || w->now - truth->released >= w->quarantine,
                  "%s is given %lld ms after its release", text(&a->addr), w->now - truth->released);
        if (early) {
            truth->released = NEVER;
        }
    }
}

/* Some requests are for a fixed address: often one that somebody has had. */
static size_t
choose_fixed(struct world *w, struct in6_addr *addr)
{
    if (!sim_chance(w->h, 15)) {
        return 0;
    } else if (w->n_truths && sim_chance(w->h, 70)) {
        *addr = w->truths[sim_below(w->h, w->n_truths)].addr;
        return 1;
    }
    struct inet_prefix pool;
    inet_prefix_parse(w->pools[sim_below(w->h, 2)], &pool, NULL);
    return inet_prefix_nth(&pool, sim_chance(w->h, 50) ? sim_below(w->h, 16) : sim_next(w->h) >> 20, addr);
}

/* Gives addresses, or says why not.  On success 'record' is the "add" for 'pod'. */
static bool
allocate(struct world *w, uint32_t pod, struct record *record)
{
    struct before before = { .oldest = { LLONG_MAX, LLONG_MAX } };
    struct in6_addr fixed;
    size_t n_fixed = choose_fixed(w, &fixed);

    ipam_run(w->ipam, w->now);
    before.n = ipam_get_stats(w->ipam, before.stats);
    ipam_for_each(w->ipam, note_oldest, &before);
    bool room = ipam_has_room(w->ipam, w->now);

    memset(record, 0, sizeof *record);
    record->kind = RECORD_ADD;
    record->pod = pod;
    int status = ipam_allocate(w->ipam, &fixed, n_fixed, w->now, &record->lease, NULL);
    sim_log(w->h, "%lld ADD pod %u: %s", w->now, pod,
            status ? ovs_strerror(status) : text(&record->lease.addrs[0].addr));
    if (!n_fixed) {
        SIM_CHECK(w->h, status == (room ? 0 : ENOSPC), "with%s room an ADD gives %d", room ? "" : "out", status);
    }
    if (status) {
        struct ipam_stats after[IPAM_MAX_ADDRS];
        ipam_get_stats(w->ipam, after);
        for (size_t i = 0; i < before.n; i++) {
            SIM_CHECK(w->h, before.stats[i].free == after[i].free && before.stats[i].used == after[i].used
                      && before.stats[i].quarantined == after[i].quarantined, "an ADD that fails changes something");
        }
        return false;
    }
    for (size_t i = 0; i < record->lease.n; i++) {
        judge(w, &record->lease.addrs[i], &before);
    }
    return true;
}

static void
step_add(struct world *w)
{
    struct record record;
    uint32_t id = w->n_pods;
    if (id == MAX_PODS || !allocate(w, id, &record)) {
        return;
    }
    if (!sim_bug(w->h, "add-not-journaled") && !append(w, &record)) {
        for (size_t i = 0; i < record.lease.n && !sim_bug(w->h, "no-cancel"); i++) {
            SIM_CHECK(w->h, ipam_cancel(w->ipam, &record.lease.addrs[i]), "cannot be cancelled");
        }
        return;
    }

    w->n_pods++;
    w->pods[id] = (struct pod) { POD_ADDING, record.lease, w->disk.size, false };
    w->attachments[id] = (struct attachment) { true, record.lease };
    install_flows(w, &record.lease);
    for (size_t i = 0; i < record.lease.n; i++) {
        struct truth *truth = truth_of(w, &record.lease.addrs[i].addr);
        truth->holder = truth->last = id;
        truth->released = NEVER;
        w->seen_generation = MAX(w->seen_generation, record.lease.addrs[i].generation);
    }
    if (sim_bug(w->h, "reply-before-sync")) {
        w->pods[id].state = POD_UP;
        w->pods[id].answered = true;
    }
}

/* DEL. */

static void
release(struct world *w, uint32_t id)
{
    struct attachment *a = &w->attachments[id];
    for (size_t i = 0; i < a->lease.n; i++) {
        SIM_CHECK(w->h, ipam_release(w->ipam, &a->lease.addrs[i], w->now), "%s cannot be released",
                  text(&a->lease.addrs[i].addr));
        struct truth *truth = truth_of(w, &a->lease.addrs[i].addr);
        truth->holder = -1;
        truth->released = w->now;
        remove_flows(w, &a->lease.addrs[i]);
    }
    a->used = false;
}

/* True: DEL succeeded. */
static bool
delete_pod(struct world *w, uint32_t id)
{
    struct record record = { .kind = RECORD_RELEASE, .pod = id, .since = w->now };
    struct pod *pod = &w->pods[id];

    sim_log(w->h, "%lld DEL pod %u%s", w->now, id, w->attachments[id].used ? "" : " (unknown)");
    if (w->attachments[id].used) {
        if (!sim_bug(w->h, "release-not-journaled") && !append(w, &record)) {
            return false;
        }
        release(w, id);
    } else if (sim_bug(w->h, "release-by-address")) {
        for (size_t i = 0; i < pod->lease.n; i++) {
            struct ipam_address a = pod->lease.addrs[i];
            ipam_lookup(w->ipam, &a.addr, &a.generation);
            ipam_release(w->ipam, &a, w->now);
        }
    }
    pod->state = POD_GONE;
    return true;
}

static void
step_delete(struct world *w)
{
    /* Also of a pod that is gone already: kubelet repeats. */
    if (w->n_pods) {
        uint32_t id = sim_below(w->h, w->n_pods);
        if (w->pods[id].state != POD_NONE) {
            delete_pod(w, id);
        }
    }
}

/* The clock. */

static void
step_time(struct world *w)
{
    bool back = sim_chance(w->h, 15);
    if (back) {
        w->now -= sim_below(w->h, 3 * w->quarantine + 2);
        sim_log(w->h, "%lld clock set back", w->now);
    } else {
        w->now += sim_below(w->h, sim_chance(w->h, 70) ? w->quarantine / 4 + 2 : 2 * w->quarantine + 2);
    }
    for (size_t i = 0; i < w->n_truths; i++) {
        long long int *released = &w->truths[i].released;
        if (*released != NEVER) {
            *released = w->now - *released >= w->quarantine ? NEVER : MIN(*released, w->now);
        }
    }
    if (back) {
        ipam_run(w->ipam, w->now);
    }
}

/* Rewriting the journal. */

struct snapshot {
    struct world *w;
    struct ofpbuf *buf;
};

static void
put_quarantined(const struct ipam_address *a, enum ipam_address_state state, long long int since, void *s_)
{
    struct snapshot *s = s_;
    if (state != IPAM_USED && !sim_bug(s->w->h, "rewrite-without-quarantine")) {
        struct record record = { .kind = RECORD_QUARANTINE, .since = since, .lease = { .addrs = { *a }, .n = 1 } };
        encode(&record, s->buf);
    }
}

static void
step_rewrite(struct world *w)
{
    struct ofpbuf new;
    ofpbuf_init(&new, 4096);
    journal_format_put_magic(&new);

    struct record record = { .kind = RECORD_GENERATION, .generation = ipam_get_generation(w->ipam) };
    if (!sim_bug(w->h, "rewrite-without-generation")) {
        encode(&record, &new);
    }
    for (size_t i = 0; i < w->n_pods; i++) {
        if (w->attachments[i].used) {
            record = (struct record) { .kind = RECORD_ADD, .pod = i, .lease = w->attachments[i].lease };
            encode(&record, &new);
        }
    }
    ipam_run(w->ipam, w->now);
    ipam_for_each(w->ipam, put_quarantined, &(struct snapshot) { w, &new });

    sim_log(w->h, "%lld rewrite: %u bytes instead of %u", w->now, new.size, w->disk.size);
    if (w->full) {
        ofpbuf_uninit(&new);
        return;
    }
    ofpbuf_uninit(&w->disk);
    w->disk = new;
    for (size_t i = 0; i < w->n_pods; i++) {
        w->pods[i].end = 0;
    }
    if (sim_bug(w->h, "rewrite-not-synced")) {
        w->synced = MIN(w->synced, w->disk.size);
    } else {
        sync_disk(w);
    }
}

/* Crashes. */

static void
stop(struct world *w)
{
    ipam_destroy(w->ipam);
    w->ipam = NULL;
    memset(w->attachments, 0, sizeof w->attachments);
    for (size_t i = 0; i < w->n_flows; i++) {
        if (w->flows[i].gone) {
            w->flows[i--] = w->flows[--w->n_flows];
        }
    }
    for (size_t i = 0; i < w->n_pods; i++) {
        if (w->pods[i].state == POD_ADDING) {
            w->pods[i].state = POD_LOST;
        }
    }
}

/* kill -9: the disk keeps what was written, also the first part of a record that was being appended. */
static void
step_kill(struct world *w)
{
    sim_log(w->h, "%lld kill", w->now);
    struct record record;
    uint32_t id = w->n_pods;
    if (id < MAX_PODS && sim_chance(w->h, 50) && allocate(w, id, &record)) {
        size_t size = encode(&record, &w->disk), kept = sim_below(w->h, size + 1);
        w->disk.size -= size - kept;
        if (kept == size) {
            /* It is all there, but no flow is yet, and nobody got an answer. */
            w->n_pods++;
            w->pods[id] = (struct pod) { POD_LOST, record.lease, w->disk.size, false };
        }
    }
    stop(w);
    start(w);
    recover(w);
    for (size_t i = 0; i < w->n_flows; i++) {
        const struct ipam_address *a = &w->flows[i].address;
        uint64_t generation;
        ipam_lookup(w->ipam, &a->addr, &generation);
        SIM_CHECK(w->h, generation == a->generation, "flows of %s stand, but it is forgotten", text(&a->addr));
    }
}

/* Power loss: sandboxes and flows are gone, and of what was not synced any part is there, whole, torn or damaged. */
static void
step_power_loss(struct world *w)
{
    uint32_t kept = sim_below(w->h, w->disk.size - w->synced + 1);
    sim_log(w->h, "%lld power loss, %u of %"PRIuSIZE" bytes kept", w->now, kept, w->disk.size - w->synced);
    w->disk.size = w->synced + kept;
    if (kept && sim_chance(w->h, 30)) {
        ((uint8_t *) w->disk.data)[w->synced + sim_below(w->h, kept)] ^= 1 << sim_below(w->h, 8);
    }
    w->n_flows = 0;
    w->seen_generation = 0;
    for (size_t i = 0; i < w->n_pods; i++) {
        struct pod *pod = &w->pods[i];
        for (size_t k = 0; k < pod->lease.n; k++) {
            struct truth *truth = truth_of(w, &pod->lease.addrs[k].addr);
            truth->holder = truth->holder == i ? -1 : truth->holder;
            /* Others may remember what was answered; what was not is as if it had never been. */
            if (pod->answered) {
                w->seen_generation = MAX(w->seen_generation, pod->lease.addrs[k].generation);
            } else if (truth->last == i) {
                truth->released = NEVER;
            }
        }
        pod->state = pod->state == POD_ADDING ? POD_NONE : POD_GONE;
    }
    stop(w);
    start(w);
    recover(w);
    for (size_t i = 0; i < w->n_pods; i++) {
        if (w->attachments[i].used) {
            /* With a full disk it is done later. */
            w->pods[i].state = POD_LOST;
            delete_pod(w, i);
        }
    }
}

static void
start(struct world *w)
{
    struct inet_prefix pools[2];
    for (size_t i = 0; i < 2; i++) {
        inet_prefix_parse(w->pools[i], &pools[i], NULL);
    }
    w->ipam = ipam_create(&(struct ipam_config) { w->quarantine, NULL, 0 });
    ipam_set_pools(w->ipam, pools, 2, NULL);
}

static int
replay(const void *payload, size_t size, void *w_, struct error *error)
{
    struct world *w = w_;
    struct record r;
    ovs_assert(size == sizeof r);
    memcpy(&r, payload, sizeof r);
    long long int since = sim_bug(w->h, "since-forgotten") ? 0 : r.since;
    struct attachment *a = &w->attachments[r.pod];
    int status = 0;

    switch (r.kind) {
    case RECORD_ADD:
        *a = (struct attachment) { true, r.lease };
        for (size_t i = 0; i < r.lease.n && !status; i++) {
            status = ipam_restore(w->ipam, &r.lease.addrs[i], error);
        }
        return status;
    case RECORD_RELEASE:
    case RECORD_QUARANTINE:
        if (r.kind == RECORD_RELEASE) {
            r.lease = a->lease;
            a->used = false;
        }
        for (size_t i = 0; i < r.lease.n && !status; i++) {
            status = ipam_restore_quarantined(w->ipam, &r.lease.addrs[i], since, w->now, error);
        }
        return status;
    case RECORD_GENERATION:
        ipam_set_generation(w->ipam, r.generation);
        return 0;
    default:
        OVS_NOT_REACHED();
    }
}

static void
ask_again(const struct ipam_address *a, enum ipam_address_state state, long long int since OVS_UNUSED, void *list_)
{
    struct ofpbuf *list = list_;
    if (state == IPAM_UNACKNOWLEDGED) {
        ofpbuf_put(list, a, sizeof *a);
    }
}

static void
recover(struct world *w)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal_extent extent;
    int status = journal_format_replay(w->disk.data, w->disk.size, replay, w, &extent, &error);
    SIM_CHECK(w->h, !status, "replay: %s", error_message(&error));
    w->disk.size = extent.good_size;
    w->synced = w->disk.size;
    sim_log(w->h, "%lld recovered %"PRIuSIZE" records", w->now, extent.n_records);

    for (size_t i = 0; i < w->n_pods; i++) {
        if (w->attachments[i].used) {
            install_flows(w, &w->attachments[i].lease);
            for (size_t k = 0; k < w->attachments[i].lease.n; k++) {
                truth_of(w, &w->attachments[i].lease.addrs[k].addr)->holder = i;
                w->seen_generation = MAX(w->seen_generation, w->attachments[i].lease.addrs[k].generation);
            }
        }
    }

    struct ofpbuf list;
    ofpbuf_init(&list, 256);
    ipam_for_each(w->ipam, ask_again, &list);
    for (size_t i = 0; i < list.size / sizeof(struct ipam_address); i++) {
        const struct ipam_address *a = (const struct ipam_address *) list.data + i;
        if (sim_bug(w->h, "ack-after-restart")) {
            acknowledge(w, *a);
        }
        remove_flows(w, a);
    }
    ofpbuf_uninit(&list);
}

/* Invariants after each step. */

static void
check_used(const struct ipam_address *a, enum ipam_address_state state, long long int since OVS_UNUSED, void *w_)
{
    struct world *w = w_;
    bool owned = false;
    for (size_t i = 0; i < w->n_pods; i++) {
        for (size_t k = 0; k < w->attachments[i].lease.n; k++) {
            owned |= w->attachments[i].used && same(&w->attachments[i].lease.addrs[k], a);
        }
    }
    SIM_CHECK(w->h, owned == (state == IPAM_USED), "%s is %s", text(&a->addr),
              owned ? "attached but not in use" : "in use by no attachment");
}

static void
check(struct world *w)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    size_t n = ipam_get_stats(w->ipam, stats);
    for (size_t i = 0; i < n; i++) {
        const struct ipam_stats *s = &stats[i];
        SIM_CHECK(w->h, s->size > IPAM_MAX_ADDRS << 16 || s->size == s->reserved + s->used + s->quarantined + s->free,
                  "%"PRIu64" addresses, but %"PRIu64" reserved, %"PRIu64" used, %"PRIu64" quarantined, %"PRIu64" free",
                  s->size, s->reserved, s->used, s->quarantined, s->free);
        SIM_CHECK(w->h, s->unacknowledged <= s->quarantined, "more unacknowledged than quarantined");
    }
    ipam_for_each(w->ipam, check_used, w);
    for (size_t i = 0; i < w->n_pods; i++) {
        if (w->pods[i].state == POD_UP) {
            SIM_CHECK(w->h, w->attachments[i].used, "pod %"PRIuSIZE" is up, but its attachment is forgotten", i);
        }
    }
}

/* Everything is deleted and acknowledged, and all quarantine is over: all addresses are free. */
static void
rest(struct world *w)
{
    w->full = false;
    for (uint32_t i = 0; i < w->n_pods; i++) {
        if (w->pods[i].state != POD_GONE && w->pods[i].state != POD_NONE) {
            delete_pod(w, i);
        }
    }
    for (int i = 0; i < 1000 && w->n_flows; i++) {
        step_dataplane(w);
    }
    w->now += w->quarantine;
    ipam_run(w->ipam, w->now);
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    size_t n = ipam_get_stats(w->ipam, stats);
    for (size_t i = 0; i < n; i++) {
        SIM_CHECK(w->h, !stats[i].used && !stats[i].quarantined, "at rest %"PRIu64" are used and %"PRIu64" quarantined",
                  stats[i].used, stats[i].quarantined);
    }
    check(w);
}

static void
step(struct world *w)
{
    uint32_t x = sim_below(w->h, 100);
    if (x < 36) {
        step_add(w);
    } else if (x < 58) {
        step_delete(w);
    } else if (x < 68) {
        sync_disk(w);
    } else if (x < 80) {
        step_dataplane(w);
    } else if (x < 88) {
        step_time(w);
    } else if (x < 91) {
        step_rewrite(w);
    } else if (x < 94) {
        w->full = !w->full && sim_chance(w->h, 60);
    } else if (x < 98) {
        step_kill(w);
    } else {
        step_power_loss(w);
    }
}

static void
history(struct sim_history *h)
{
    static const char *const v4[] = { "10.1.2.0/29", "10.1.2.0/28", "10.1.2.64/27" };
    static const char *const v6[] = { "fd00::/125", "fd00::40/124", "fd00::/123" };
    static const long long int quarantines[] = { 0, 1000, 60000 };
    struct world *w = xzalloc(sizeof *w);
    w->h = h;
    w->now = 1000000000;
    w->pools[0] = v4[sim_below(h, 3)];
    w->pools[1] = sim_chance(h, 2) ? "fd00::/64" : v6[sim_below(h, 3)];
    w->quarantine = quarantines[sim_below(h, 3)];
    ofpbuf_init(&w->disk, 8192);
    journal_format_put_magic(&w->disk);
    w->synced = w->disk.size;
    start(w);

    uint32_t n = 20 + sim_below(h, 80);
    for (uint32_t i = 0; i < n && !sim_failed(h); i++) {
        step(w);
        check(w);
    }
    if (!sim_failed(h)) {
        rest(w);
    }
    ipam_destroy(w->ipam);
    ofpbuf_uninit(&w->disk);
    free(w);
}

int
main(int argc, char *argv[])
{
    return sim_main(argc, argv, &(struct sim) { "ipam", history, bugs });
}
