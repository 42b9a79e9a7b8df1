/* The simulator of a port's life: the real attachment core and the real IPAM core, in a model of their shell and of
 * the world around it.  Links are made by workers in any order; OVSDB and the switch take what is declared when they
 * like, or not at all for a while; the disk is full at times; the runtime gives up, repeats DELs and lets plugins come
 * late; the daemon dies between any two effects and starts again from its journal; the machine reboots and loses what
 * was not synced.
 *
 * 'struct world' has three parts: what the daemon knows (gone after a crash), what the shell has under way, and what
 * is true.  After each step:
 *
 *   closed before open   success is replied only with link, configuration, port, flows and a record on the disk
 *   outlives the daemon  a pod that is up keeps link, port and flows, through crashes too
 *   no address twice     no two sandboxes, and no two owners in the switch, have one address or one port number
 *   nothing left         after a DEL neither port nor flows nor record (unless Open vSwitch was away); in the end
 *                        nothing at all
 *   one answer           to each request
 *   denied until known   where the source declares pods (three histories of four), no flows of a pod are open in the
 *                        switch before its object was there, and they are always open afterwards; a success is replied
 *                        with open flows, or when the object is overdue
 *
 * Objects come before, during and after the ADD, or never, with this or that UID, and go at any time.
 *
 * Acceptance lists: issue 4, items 5 and 6; CNI A6, A8, A9, D1 to D10, G2 to G6; IPAM 4 to 7. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "controller/attachment.h"
#include "controller/ipam.h"
#include "journal.h"
#include "flow.h"
#include "packets.h"
#include "sim.h"
#include "util.h"

#define N_SANDBOXES 6
#define MAX_REQUESTS 512
#define MAX_ITEMS 256
#define MAX_RECORDS 4096
#define QUARANTINE_MS 1000
#define N_PODS 3                        /* Names, so that several sandboxes have one. */
#define MAX_CIDS 512

enum sandbox_state { SB_NONE, SB_LAUNCHED, SB_ADDING, SB_UP, SB_BROKEN, SB_DELETING };

/* What the runtime knows. */
struct sandbox {
    enum sandbox_state state;
    char cid[24];
    uint64_t ino;
    long long int launched;             /* When its ADD's process was started. */
    uint64_t request;
    unsigned int n_dels;
    char host_name[16], address[64];
    ofp_port_t ofport;
};

/* What is true of a container: "c%u" is the u-th. */
struct container {
    int pod;
    char uid[24];                       /* "": the runtime does not tell. */
    bool allowed;                       /* Its object was there while it was. */
    bool uncertain;                     /* The record of that was lost. */
    long long int asked;                /* When its ADD came. */
};

struct object {
    bool there;
    char uid[24];
};

/* An ADD whose process the runtime has given up, but which still runs. */
struct late {
    char cid[24];
    uint64_t ino;
    long long int launched;
};

struct request {
    int sandbox;                        /* -1: GC, or nobody cares. */
    bool open, del;
    char cid[24];
    bool ovs_was_away;
    long long int since;
};

struct link {
    char name[16], ifname[16];
    uint64_t ino;
    bool configured;
};

/* Flows of an owner, or a port. */
struct item {
    char name[80];
    ofp_port_t ofport;
    struct in6_addr addrs[2];
    size_t n_addrs;
    bool isolated;
};

struct items {
    struct item items[MAX_ITEMS];
    size_t n;
};

/* What a worker has to do. */
struct op {
    enum attachment_effect_type type;
    uint64_t id, ino;
    char name[16], ifname[16];
    bool fail;
};

struct watch {
    uint64_t id;
    bool flows, port, flows_going, port_going, isolated;
};

struct world {
    struct sim_history *h;
    long long int now;
    int boot;

    /* The daemon. */
    struct ipam *ipam;
    struct attachments *t;
    bool ready, clean, in_recovery;
    uint16_t mtu;
    struct items declared_flows, declared_ports;

    /* The shell. */
    struct op ops[MAX_ITEMS];
    size_t n_ops;
    struct watch watches[MAX_ITEMS];
    size_t n_watches;
    struct request requests[MAX_REQUESTS];
    size_t n_requests;

    /* The truth. */
    char *journal[MAX_RECORDS];
    size_t n_journal, n_synced;
    struct link links[MAX_ITEMS];
    size_t n_links;
    struct items flows, ports;
    bool away, disk_full;
    struct sandbox sandboxes[N_SANDBOXES];
    struct late late[64];
    size_t n_late;
    unsigned int next_cid;
    bool declares;
    struct container containers[MAX_CIDS];
    struct object objects[N_PODS];
};

static void run_effects(struct world *, bool may_crash);
static void commit(struct world *, bool flows);

/* Small things. -------------------------------------------------------------------------------------------------- */

static struct container *
container_of(struct world *w, const char *cid)
{
    return &w->containers[atoi(cid + 1)];
}

static struct item *
find_item(struct items *items, const char *name)
{
    for (size_t i = 0; i < items->n; i++) {
        if (!strcmp(items->items[i].name, name)) {
            return &items->items[i];
        }
    }
    return NULL;
}

static void
put_item(struct items *items, const char *name, const struct attachment *a)
{
    struct item *item = find_item(items, name);
    if (!item) {
        ovs_assert(items->n < MAX_ITEMS);
        item = &items->items[items->n++];
    }
    memset(item, 0, sizeof *item);
    ovs_strlcpy(item->name, name, sizeof item->name);
    item->ofport = a->ofport;
    item->isolated = !a->known;
    for (size_t i = 0; i < a->n_ips && i < 2; i++) {
        item->addrs[item->n_addrs++] = a->ips[i].prefix.addr;
    }
}

static void
drop_item(struct items *items, const char *name)
{
    struct item *item = find_item(items, name);
    if (item) {
        *item = items->items[--items->n];
    }
}

static struct link *
find_link(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->n_links; i++) {
        if (!strcmp(w->links[i].name, name)) {
            return &w->links[i];
        }
    }
    return NULL;
}

static void
drop_link(struct world *w, const char *name)
{
    struct link *link = find_link(w, name);
    if (link) {
        *link = w->links[--w->n_links];
    }
}

static struct watch *
watch_get(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->n_watches; i++) {
        if (w->watches[i].id == id) {
            return &w->watches[i];
        }
    }
    ovs_assert(w->n_watches < MAX_ITEMS);
    w->watches[w->n_watches] = (struct watch) { .id = id };
    return &w->watches[w->n_watches++];
}

/* Objects. ------------------------------------------------------------------------------------------------------- */

static void
name_of(int pod, char name[8])
{
    snprintf(name, 8, "pod-%d", pod);
}

/* The shell looks a pod up in the store. */
static void
tell_object(struct world *w, int pod)
{
    const struct object *o = &w->objects[pod];
    char name[8];

    name_of(pod, name);
    if (o->there) {
        attachments_pod_known(w->t, "ns", name, sim_bug(w->h, "uid-ignored") ? NULL : o->uid, w->now);
    }
}

/* In truth: the object is there for containers that are. */
static void
allow(struct world *w, struct container *c)
{
    const struct object *o = &w->objects[c->pod];
    c->allowed = c->allowed || !w->declares || (o->there && (!c->uid[0] || !strcmp(c->uid, o->uid)));
}

static void
put_object(struct world *w, int pod, const char *uid)
{
    struct object *o = &w->objects[pod];

    sim_log(w->h, "object pod-%d: %s", pod, uid ? uid : "gone");
    o->there = uid != NULL;
    ovs_strlcpy(o->uid, uid ? uid : "", sizeof o->uid);
    for (unsigned int i = 1; i <= w->next_cid; i++) {
        char cid[24];
        snprintf(cid, sizeof cid, "c%u", i);
        if (w->containers[i].pod == pod && attachments_find(w->t, "net", cid, "eth0")) {
            allow(w, &w->containers[i]);
        }
    }
    tell_object(w, pod);
}

/* The API server and its watch. */
static void
move_object(struct world *w)
{
    int pod = sim_below(w->h, N_PODS);
    const struct sandbox *sb = &w->sandboxes[sim_below(w->h, N_SANDBOXES)];

    if (w->objects[pod].there && sim_chance(w->h, 30)) {
        put_object(w, pod, NULL);
    } else if (sb->state != SB_NONE && container_of(w, sb->cid)->uid[0]) {
        put_object(w, container_of(w, sb->cid)->pod, container_of(w, sb->cid)->uid);
    } else {
        put_object(w, pod, "another");
    }
    if (sim_chance(w->h, 30)) {
        commit(w, true);                /* An acknowledgement of before comes first. */
    }
}

/* The daemon's life. --------------------------------------------------------------------------------------------- */

static void
start_daemon(struct world *w)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ipam_config config = { .quarantine_ms = QUARANTINE_MS };
    char boot_id[24];

    snprintf(boot_id, sizeof boot_id, "boot-%d", sim_bug(w->h, "reboot-unnoticed") ? 0 : w->boot);
    w->ipam = ipam_create(&config);
    w->t = attachments_create(w->ipam, boot_id);
    for (size_t i = 0; i < w->n_journal && !sim_failed(w->h); i++) {
        SIM_CHECK(w->h, !attachments_replay(w->t, w->journal[i], strlen(w->journal[i]), &error), "replay of %s: %s",
                  w->journal[i], error_message(&error));
    }
    SIM_CHECK(w->h, sim_failed(w->h) || !attachments_recover(w->t, w->now, &error), "recovery: %s",
              error_message(&error));

    struct inet_prefix pools[2];
    inet_cidr_parse("10.0.0.0/29", &pools[0], NULL);
    inet_cidr_parse("fd00::/124", &pools[1], NULL);
    attachments_set_pools(w->t, pools, 2, w->now, NULL);
    attachments_set_mtu(w->t, w->mtu, w->now);
    w->ready = w->clean = false;
    attachments_set_declares_pods(w->t, w->declares, w->now);
    for (int i = 0; i < N_PODS; i++) {
        tell_object(w, i);              /* The store is filled before anything is sent. */
    }
}

static void
note_name(const struct attachment *a, void *world)
{
    struct world *w = world;
    for (size_t i = 0; i < w->n_links; i++) {
        if (!strcmp(w->links[i].name, a->host_name)) {
            w->links[i].ifname[15] = 1;         /* Known. */
        }
    }
}

/* dataplane_clear_links_(): what no attachment knows. */
static void
clear_links(struct world *w)
{
    attachments_for_each(w->t, note_name, w);
    for (size_t i = 0; i < w->n_links;) {
        if (w->links[i].ifname[15]) {
            w->links[i++].ifname[15] = 0;
        } else {
            w->links[i] = w->links[--w->n_links];
        }
    }
}

static void
stop_daemon(struct world *w)
{
    attachments_destroy(w->t);
    ipam_destroy(w->ipam);
    w->t = NULL;
}

/* What a worker does to the world. */
static int
apply(struct world *w, const struct op *op)
{
    struct link *link = find_link(w, op->name);

    if (op->type == ATTACHMENT_LINK_CREATE) {
        for (size_t i = 0; i < w->n_links; i++) {
            if (w->links[i].ino == op->ino && !strcmp(w->links[i].ifname, op->ifname)) {
                return EEXIST;
            }
        }
        if (op->fail) {
            return EIO;
        }
        ovs_assert(w->n_links < MAX_ITEMS);
        link = &w->links[w->n_links++];
        memset(link, 0, sizeof *link);
        ovs_strlcpy(link->name, op->name, sizeof link->name);
        ovs_strlcpy(link->ifname, op->ifname, sizeof link->ifname - 1);
        link->ino = op->ino;
    } else if (op->type == ATTACHMENT_LINK_CONFIGURE) {
        if (op->fail || !link) {
            return EIO;
        }
        link->configured = true;
    } else if (op->type == ATTACHMENT_LINK_DELETE || op->type == ATTACHMENT_LINK_TRASH) {
        if (!sim_bug(w->h, "link-left")) {
            drop_link(w, op->name);
        }
    }
    return 0;
}

static void
lose_clients(struct world *w)
{
    for (size_t i = 0; i < w->n_requests; i++) {
        struct request *rq = &w->requests[i];
        if (rq->open && rq->sandbox >= 0 && w->sandboxes[rq->sandbox].request == i) {
            w->sandboxes[rq->sandbox].state = SB_BROKEN;        /* The runtime will send a DEL, again perhaps. */
            w->sandboxes[rq->sandbox].request = 0;
        }
        rq->open = false;
    }
}

static bool
has_tombstone(const struct world *w, const char *cid)
{
    char needle[64];
    snprintf(needle, sizeof needle, "\"cid\":\"%s\"", cid);
    for (size_t i = 0; i < w->n_journal; i++) {
        if (strstr(w->journal[i], needle) && !strstr(w->journal[i], "\"op\":\"add\"")) {
            return true;
        }
    }
    return false;
}

/* With a full disk a tombstone is lost in a crash.  Those two faults and a late ADD at once are not promised. */
static void
lose_late(struct world *w)
{
    for (size_t i = 0; i < w->n_late;) {
        if (has_tombstone(w, w->late[i].cid)) {
            i++;
        } else {
            w->late[i] = w->late[--w->n_late];
        }
    }
}

/* Killed: some of what the workers had under way was done, and nobody hears of it. */
static void
crash(struct world *w, bool reboot)
{
    sim_log(w->h, reboot ? "--- reboot" : "--- crash");
    for (size_t i = 0; i < w->n_ops; i++) {
        if (sim_chance(w->h, 50)) {
            apply(w, &w->ops[i]);
        }
    }
    w->n_ops = w->n_watches = 0;
    w->declared_flows.n = w->declared_ports.n = 0;
    stop_daemon(w);
    lose_clients(w);
    lose_late(w);
    if (reboot) {
        w->boot++;
        w->n_links = w->flows.n = 0;
        while (w->n_journal > w->n_synced) {
            free(w->journal[--w->n_journal]);
        }
        memset(w->sandboxes, 0, sizeof w->sandboxes);           /* The runtime starts afresh. */
        for (size_t i = 0; i < w->ports.n; i++) {
            w->ports.items[i].ofport = 0;       /* A row without a device: the switch has no such port now, ... */
            w->ports.items[i].n_addrs = 0;      /* ... and its number may be lost with the journal's end. */
        }
        w->n_late = 0;
    }
    start_daemon(w);
    clear_links(w);
    if (!sim_failed(w->h)) {
        run_effects(w, false);          /* Everything is declared before anything is sent. */
    }
}

/* Effects. ------------------------------------------------------------------------------------------------------- */

static bool
is_recorded(const struct world *w, const char *cid)
{
    char needle[64];
    bool recorded = false;

    snprintf(needle, sizeof needle, "\"cid\":\"%s\"", cid);
    for (size_t i = 0; i < w->n_journal; i++) {
        if (strstr(w->journal[i], needle)) {
            recorded = strstr(w->journal[i], "\"op\":\"del\"") || strstr(w->journal[i],
                                                                         "\"op\":\"tomb\"") ? false : true;
        }
    }
    return recorded;
}

static void
append(struct world *w, const struct attachment_effect *e)
{
    const char *why = w->disk_full ? "no space left on device" : NULL;
    bool lost = sim_bug(w->h, "record-lost") && strstr(e->record, "\"op\":\"del\"");

    if (!why && !lost) {
        ovs_assert(w->n_journal < MAX_RECORDS);
        char *record = xmemdup0(e->record, e->record_size);
        char *known = strstr(record, ",\"known\":false");
        if (known && sim_bug(w->h, "denial-forgotten")) {
            strcpy(known, "}");
        }
        w->journal[w->n_journal++] = record;
    } else if (e->attachment) {
        container_of(w, e->attachment->container_id)->uncertain |= strstr(e->record, "\"op\":\"known\"") != NULL;
    }
    attachments_journaled(w->t, e->ticket, w->n_journal, why, w->now);
    if (sim_bug(w->h, "sync-early")) {
        attachments_journal_synced(w->t, w->n_journal, w->now);
    }
}

/* The parts that a pod that is up must have. */
static void
check_up(struct world *w, const struct sandbox *sb, const char *when)
{
    const struct attachment *a = attachments_find(w->t, "net", sb->cid, "eth0");
    struct link *link = find_link(w, sb->host_name);

    SIM_CHECK(w->h, a, "%s %s: not in the table", sb->cid, when);
    SIM_CHECK(w->h, link && link->configured && link->ino == sb->ino, "%s %s: no link, or not configured", sb->cid,
              when);
    SIM_CHECK(w->h, find_item(&w->ports, sb->host_name), "%s %s: no port", sb->cid, when);
    const struct item *flows = a ? find_item(&w->flows, a->owner) : NULL;
    SIM_CHECK(w->h, !a || (flows && flows->ofport == a->ofport), "%s %s: no flows", sb->cid, when);
}

/* Those that are declared, or of the switch at last. */
static void
check_known(struct world *w, const struct sandbox *sb, struct items *items, const char *when)
{
    const struct attachment *a = attachments_find(w->t, "net", sb->cid, "eth0");
    const struct item *flows = a ? find_item(items, a->owner) : NULL;
    const struct container *c = container_of(w, sb->cid);

    SIM_CHECK(w->h, !flows || flows->isolated == !c->allowed || c->uncertain, "%s %s: flows are %s", sb->cid, when,
              flows->isolated ? "isolated although it is known" : "open although it is not known");
}

static void
added(struct world *w, struct sandbox *sb, const struct attachment_effect *e)
{
    const struct attachment *a = e->attachment;
    char needle[64];

    sb->state = SB_UP;
    sb->ofport = a->ofport;
    ovs_strlcpy(sb->host_name, e->reply.result.host_ifname, sizeof sb->host_name);
    ovs_strlcpy(sb->address, e->reply.result.ips[0].address, sizeof sb->address);
    check_up(w, sb, "on reply");
    check_known(w, sb, &w->flows, "on reply");
    SIM_CHECK(w->h, a->known || w->now - container_of(w, sb->cid)->asked >= ATTACHMENT_KNOWN_TIMEOUT_MS,
              "%s on reply: did not wait for the object", sb->cid);
    snprintf(needle, sizeof needle, "\"cid\":\"%s\"", sb->cid);
    bool synced = false;
    for (size_t i = 0; i < w->n_synced; i++) {
        synced = synced || (strstr(w->journal[i], needle) && strstr(w->journal[i], "\"op\":\"add\"")
                            && strstr(w->journal[i], a->host_name));
    }
    SIM_CHECK(w->h, synced, "%s on reply: its record is not on the disk", sb->cid);
}

static void
deleted(struct world *w, const struct request *rq, struct sandbox *sb)
{
    SIM_CHECK(w->h, !is_recorded(w, rq->cid), "%s after DEL: still in the journal", rq->cid);
    SIM_CHECK(w->h, !attachments_find(w->t, "net", rq->cid, "eth0"), "%s after DEL: still in the table", rq->cid);
    /* A DEL that is repeated may find that only work in the background is left; and until the first transaction of a
     * new daemon, what it does not know may still be there. */
    if (sb->n_dels == 1 && w->clean && !rq->ovs_was_away && w->now - rq->since < ATTACHMENT_DEL_TIMEOUT_MS
        && sb->host_name[0]) {
        SIM_CHECK(w->h, !find_item(&w->ports, sb->host_name), "%s after DEL: port left", rq->cid);
        for (size_t i = 0; i < w->flows.n; i++) {
            SIM_CHECK(w->h, w->flows.items[i].ofport != sb->ofport, "%s after DEL: flows left", rq->cid);
        }
    }
    memset(sb, 0, sizeof *sb);
}

static void
reply(struct world *w, const struct attachment_effect *e)
{
    struct request *rq = &w->requests[e->request];

    sim_log(w->h, "reply %"PRIu64": %d %s", e->request, e->reply.code, e->reply.message ? e->reply.message : "");
    if (!rq->open) {
        return;
    }
    rq->open = false;
    struct sandbox *sb = rq->sandbox >= 0 ? &w->sandboxes[rq->sandbox] : NULL;
    if (!sb || sb->request != e->request) {
        return;
    }
    sb->request = 0;
    if (rq->del && e->reply.code == CNI_OK) {
        deleted(w, rq, sb);
    } else if (!rq->del && e->reply.code == CNI_OK) {
        added(w, sb, e);
    } else {
        sb->state = SB_BROKEN;
    }
}

static void
add_op(struct world *w, const struct attachment_effect *e)
{
    const struct attachment *a = e->attachment;
    struct op op = { .type = e->type, .id = a->id, .ino = a->netns_id.ino, .fail = sim_chance(w->h, 4) };

    ovs_strlcpy(op.name, a->host_name, sizeof op.name);
    ovs_strlcpy(op.ifname, a->ifname, sizeof op.ifname);
    ovs_assert(w->n_ops < MAX_ITEMS);
    w->ops[w->n_ops++] = op;
}

static void
set_port(struct world *w, const struct attachment *a)
{
    for (size_t i = 0; i < w->ports.n; i++) {
        const struct item *other = &w->ports.items[i];
        SIM_CHECK(w->h, !strcmp(other->name, a->host_name) || other->ofport != a->ofport,
                  "%s gets port number %u, which %s still has", a->host_name, ofp_to_u16(a->ofport), other->name);
    }
    for (size_t i = 0; i < w->flows.n; i++) {
        const struct item *other = &w->flows.items[i];
        SIM_CHECK(w->h, !strcmp(other->name, a->owner) || other->ofport != a->ofport,
                  "%s gets port number %u, for which flows of %s still stand", a->host_name, ofp_to_u16(a->ofport),
                  other->name);
    }
    put_item(&w->declared_ports, a->host_name, a);
    struct watch *watch = watch_get(w, a->id);
    watch->port = true;
    watch->port_going = false;
    if (sim_bug(w->h, "port-early")) {
        attachments_port_done(w->t, a->id, NULL, w->now);
    }
}

static void
carry_out(struct world *w, const struct attachment_effect *e)
{
    const struct attachment *a = e->attachment;
    struct watch *watch;

    switch (e->type) {
    case ATTACHMENT_JOURNAL:
        sim_log(w->h, "journal %s%s", e->record, w->disk_full ? " (full)" : "");
        append(w, e);
        break;
    case ATTACHMENT_LINK_CREATE: case ATTACHMENT_LINK_CONFIGURE: case ATTACHMENT_LINK_MTU:
    case ATTACHMENT_LINK_DELETE: case ATTACHMENT_LINK_TRASH:
        sim_log(w->h, "link op %d %s", e->type, a->host_name);
        add_op(w, e);
        break;
    case ATTACHMENT_PORT_SET:
        sim_log(w->h, "port %s", a->host_name);
        set_port(w, a);
        break;
    case ATTACHMENT_PORT_REMOVE:
        sim_log(w->h, "-port %s", a->host_name);
        drop_item(&w->declared_ports, a->host_name);
        watch = watch_get(w, a->id);
        watch->port = watch->port_going = true;
        break;
    case ATTACHMENT_FLOWS_SET:
        sim_log(w->h, "flows %s", a->owner);
        put_item(&w->declared_flows, a->owner, a);
        SIM_CHECK(w->h, !a->known || container_of(w, a->container_id)->allowed, "%s: opened but not known", a->owner);
        watch = watch_get(w, a->id);
        watch->flows = true;
        watch->flows_going = false;
        watch->isolated = !a->known;
        break;
    case ATTACHMENT_DENIED:
        sim_log(w->h, "denied %s", a->owner);
        break;
    case ATTACHMENT_FLOWS_REMOVE:
        sim_log(w->h, "-flows %s", a->owner);
        drop_item(&w->declared_flows, a->owner);
        watch = watch_get(w, a->id);
        watch->flows = watch->flows_going = true;
        if (sim_bug(w->h, "ack-early")) {
            attachments_flows_gone(w->t, a->id, w->now);
            watch->flows = false;
        }
        break;
    case ATTACHMENT_CHECK:
        attachments_checked(w->t, e->request, CNI_OK, NULL);
        break;
    case ATTACHMENT_REPLY:
        reply(w, e);
        break;
    }
}

static void
run_effects(struct world *w, bool may_crash)
{
    struct attachment_effect *e;
    while ((e = attachments_pop(w->t))) {
        bool die = may_crash && sim_chance(w->h, 1);
        if (!die || sim_chance(w->h, 50)) {
            carry_out(w, e);
        }
        attachment_effect_destroy(e);
        if (die) {
            crash(w, false);
            return;
        }
    }
}

/* The world moves. ----------------------------------------------------------------------------------------------- */

static void
tell_one(struct world *w, struct watch *watch, bool flows)
{
    const char *why = sim_chance(w->h, 2) ? "refused" : NULL;

    if (flows && watch->flows) {
        watch->flows = false;
        if (watch->flows_going) {
            attachments_flows_gone(w->t, watch->id, w->now);
        } else {
            const struct attachment *a = attachments_get(w->t, watch->id);
            bool isolated = sim_bug(w->h, "stale-ack") ? a && !a->known : watch->isolated;
            attachments_flows_done(w->t, watch->id, isolated, why, w->now);
        }
    } else if (!flows && watch->port) {
        watch->port = false;
        if (watch->port_going) {
            attachments_port_gone(w->t, watch->id, w->now);
        } else {
            attachments_port_done(w->t, watch->id, why, w->now);
        }
    }
}

static void
tell(struct world *w, bool flows)
{
    for (size_t i = 0; i < w->n_watches; i++) {
        tell_one(w, &w->watches[i], flows);
    }
    for (size_t i = 0; i < w->n_watches;) {
        if (!w->watches[i].flows && !w->watches[i].port) {
            w->watches[i] = w->watches[--w->n_watches];
        } else {
            i++;
        }
    }
}

/* The switch, or the database, takes what is declared: all of it, in one go. */
static void
commit(struct world *w, bool flows)
{
    if (w->away) {
        return;
    }
    sim_log(w->h, flows ? "switch takes the bundle" : "OVSDB takes the transaction");
    if (flows) {
        w->flows = w->declared_flows;
    } else {
        w->ports = w->declared_ports;
    }
    tell(w, flows);
}

static void
finish_op(struct world *w)
{
    if (!w->n_ops) {
        return;
    }
    size_t i = sim_below(w->h, w->n_ops);
    struct op op = w->ops[i];
    struct eth_addr mac = ETH_ADDR_C(02,00,00,00,00,01);
    int code = apply(w, &op);

    w->ops[i] = w->ops[--w->n_ops];
    sim_log(w->h, "worker: op %d %s: %d", op.type, op.name, code);
    if (op.type == ATTACHMENT_LINK_DELETE || op.type == ATTACHMENT_LINK_TRASH) {
        attachments_link_gone(w->t, op.id, w->now);
    } else {
        attachments_link_done(w->t, op.id, op.type, code, code ? "by chance" : NULL, &mac, w->now);
    }
}

static void
sync_journal(struct world *w)
{
    w->n_synced = w->n_journal;
    attachments_journal_synced(w->t, w->n_synced, w->now);
}

static void
compact(struct world *w)
{
    struct journal_record *records;
    size_t n;

    attachments_snapshot(w->t, w->now, &records, &n);
    for (size_t i = 0; i < w->n_journal; i++) {
        free(w->journal[i]);
    }
    for (size_t i = 0; i < n; i++) {
        w->journal[i] = xmemdup0(records[i].payload, records[i].size);
    }
    w->n_journal = w->n_synced = n;
    attachments_free_snapshot(records, n);
    sim_log(w->h, "journal rewritten: %"PRIuSIZE" records", n);
    attachments_rewritten(w->t, w->now);
}

static void
set_away(struct world *w, bool away)
{
    sim_log(w->h, away ? "OVS goes" : "OVS comes");
    w->away = away;
    for (size_t i = 0; i < w->n_requests && away; i++) {
        w->requests[i].ovs_was_away |= w->requests[i].open;
    }
}

static void
pass_time(struct world *w, long long int ms)
{
    w->now += ms;
    attachments_run(w->t, w->now);
    attachments_set_ready(w->t, w->away ? "Open vSwitch is away" : NULL, w->now);
}

/* As in dataplane.c: once all that is declared is in place. */
static void
clean(struct world *w)
{
    if (!w->clean && !w->away && !sim_bug(w->h, "never-clean")) {
        commit(w, true);
        commit(w, false);
        attachments_dataplane_clean(w->t);
        w->clean = true;
    }
}

/* The runtime. --------------------------------------------------------------------------------------------------- */

static struct cni_request
make_request(struct world *w, const char *cid, char name[8])
{
    const struct container *c = container_of(w, cid);
    name_of(c->pod, name);
    return (struct cni_request) {
        .network = CONST_CAST(char *, "net"), .container_id = CONST_CAST(char *, cid), .ifname = CONST_CAST(char *,
                                                                                                            "eth0"),
        .netns = CONST_CAST(char *, "/run/netns/x"), .pod_namespace = CONST_CAST(char *, "ns"),
        .pod_name = name, .pod_uid = c->uid[0] ? CONST_CAST(char *, c->uid) : NULL,
    };
}

static uint64_t
new_request(struct world *w, int sandbox, const char *cid, bool del)
{
    ovs_assert(w->n_requests < MAX_REQUESTS);
    struct request *rq = &w->requests[w->n_requests];
    *rq = (struct request) { .sandbox = sandbox, .open = true, .del = del, .ovs_was_away = w->away, .since = w->now };
    ovs_strlcpy(rq->cid, cid, sizeof rq->cid);
    return w->n_requests++;
}

static void
send_add(struct world *w, int sandbox, const char *cid, uint64_t ino, long long int launched)
{
    uint64_t number = new_request(w, sandbox, cid, false);
    struct container *c = container_of(w, cid);
    char name[8];
    struct cni_request rq = make_request(w, cid, name);
    bool is_new = !attachments_find(w->t, "net", cid, "eth0");

    sim_log(w->h, "ADD %"PRIu64" %s netns %"PRIu64" started at %lld", number, cid, ino, launched);
    if (sandbox >= 0) {
        w->sandboxes[sandbox].request = number;
        w->sandboxes[sandbox].state = SB_ADDING;
    }
    attachments_add(w->t, number, &rq, (struct netns_id) { 4, ino }, sim_bug(w->h, "late-unnoticed") ? w->now
                    : launched,
                    w->now);
    if (is_new) {
        c->asked = w->now;
        c->uncertain = c->allowed = false;
        allow(w, c);
    }
    if (!sim_bug(w->h, "object-unheard")) {
        tell_object(w, c->pod);
    }
}

static void
send_del(struct world *w, int sandbox)
{
    struct sandbox *sb = &w->sandboxes[sandbox];
    uint64_t number = new_request(w, sandbox, sb->cid, true);
    char name[8];
    struct cni_request rq = make_request(w, sb->cid, name);

    sim_log(w->h, "DEL %"PRIu64" %s", number, sb->cid);
    sb->state = SB_DELETING;
    sb->request = number;
    sb->n_dels++;
    attachments_del(w->t, number, &rq, w->now, w->now);
}

static void
launch(struct world *w, struct sandbox *sb)
{
    bool again = sb->ino && sim_chance(w->h, 30);       /* The same container and namespace again, as cnitool does. */
    uint64_t ino = again ? sb->ino : 1000 + sim_next(w->h) % 1000000;

    memset(sb, 0, sizeof *sb);
    sb->ino = ino;
    snprintf(sb->cid, sizeof sb->cid, "c%u", again && w->next_cid ? w->next_cid : ++w->next_cid);
    sb->launched = w->now;
    sb->state = SB_LAUNCHED;
    if (!again) {
        struct container *c = container_of(w, sb->cid);
        ovs_assert(w->next_cid < MAX_CIDS);
        c->pod = sim_below(w->h, N_PODS);
        snprintf(c->uid, sizeof c->uid, sim_chance(w->h, 10) ? "" : "u%u", w->next_cid);
        if (sim_chance(w->h, 30)) {
            put_object(w, c->pod, c->uid[0] ? c->uid : "another");
        }
    }
}

static bool
cid_in_use(const struct world *w, const struct sandbox *sb)
{
    for (size_t i = 0; i < N_SANDBOXES; i++) {
        const struct sandbox *other = &w->sandboxes[i];
        if (other != sb && other->state != SB_NONE && !strcmp(other->cid, sb->cid)) {
            return true;
        }
    }
    return false;
}

static void
move_sandbox(struct world *w, int i)
{
    struct sandbox *sb = &w->sandboxes[i];

    switch (sb->state) {
    case SB_NONE:
        launch(w, sb);
        if (cid_in_use(w, sb)) {
            memset(sb, 0, sizeof *sb);
        }
        break;
    case SB_LAUNCHED:
        if (sim_chance(w->h, 20) && w->n_late < ARRAY_SIZE(w->late)) {
            struct late *late = &w->late[w->n_late++];          /* Given up before its request came. */
            ovs_strlcpy(late->cid, sb->cid, sizeof late->cid);
            late->ino = sb->ino;
            late->launched = sb->launched;
            w->now++;
            send_del(w, i);
        } else {
            send_add(w, i, sb->cid, sb->ino, sb->launched);
        }
        break;
    case SB_ADDING:
        if (sim_chance(w->h, 15)) {
            if (sim_chance(w->h, 50)) {
                w->requests[sb->request].open = false;          /* The plugin is killed. */
                attachments_client_gone(w->t, sb->request, w->now);
            }
            w->now++;
            send_del(w, i);             /* The runtime's patience is over. */
        }
        break;
    case SB_UP: case SB_BROKEN:
        send_del(w, i);
        break;
    case SB_DELETING:
        break;
    }
}

static void
come_late(struct world *w)
{
    if (w->n_late) {
        struct late late = w->late[--w->n_late];
        w->now++;
        send_add(w, -1, late.cid, late.ino, late.launched);
    }
}

static void
send_gc(struct world *w)
{
    struct cni_attachment_id valid[N_SANDBOXES];
    char name[8];
    struct cni_request rq = make_request(w, "c0", name);
    rq.valid = valid;
    for (size_t i = 0; i < N_SANDBOXES; i++) {
        if (w->sandboxes[i].state != SB_NONE && w->sandboxes[i].state != SB_BROKEN) {
            valid[rq.n_valid++] = (struct cni_attachment_id) { w->sandboxes[i].cid, CONST_CAST(char *, "eth0") };
        }
    }
    sim_log(w->h, "GC");
    attachments_gc(w->t, new_request(w, -1, "", true), &rq, w->now);
}

/* Checks. -------------------------------------------------------------------------------------------------------- */

static void
check_unique(struct world *w, const struct items *items, const char *what)
{
    for (size_t i = 0; i < items->n; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct item *a = &items->items[i], *b = &items->items[j];
            SIM_CHECK(w->h, !a->ofport || a->ofport != b->ofport, "%s: %s and %s have one port number", what, a->name,
                      b->name);
            for (size_t k = 0; k < a->n_addrs * b->n_addrs; k++) {
                SIM_CHECK(w->h, !ipv6_addr_equals(&a->addrs[k / b->n_addrs], &b->addrs[k % b->n_addrs]),
                          "%s: %s and %s have one address", what, a->name, b->name);
            }
        }
    }
}

static void
check(struct world *w)
{
    check_unique(w, &w->flows, "switch");
    check_unique(w, &w->ports, "OVSDB");
    for (size_t i = 0; i < N_SANDBOXES; i++) {
        const struct sandbox *sb = &w->sandboxes[i];
        if (sb->state == SB_UP) {
            check_up(w, sb, "while it runs");
            check_known(w, sb, &w->declared_flows, "while it runs");
            for (size_t j = 0; j < i; j++) {
                SIM_CHECK(w->h, w->sandboxes[j].state != SB_UP || strcmp(w->sandboxes[j].address, sb->address),
                          "%s and %s both have %s", sb->cid, w->sandboxes[j].cid, sb->address);
            }
        }
    }
}

/* All is said: let everything finish, and look for what is left. */
static void
settle(struct world *w)
{
    sim_log(w->h, "=== settling");
    w->disk_full = false;
    set_away(w, false);
    while (w->n_late && !sim_failed(w->h)) {
        come_late(w);
        run_effects(w, false);
    }
    for (int round = 0; round < 40 && !sim_failed(w->h); round++) {
        for (int i = 0; i < N_SANDBOXES; i++) {
            if (w->sandboxes[i].state == SB_UP || w->sandboxes[i].state == SB_BROKEN) {
                send_del(w, i);
            }
        }
        run_effects(w, false);
        while (w->n_ops) {
            finish_op(w);
            run_effects(w, false);
        }
        sync_journal(w);
        clean(w);
        commit(w, true);
        commit(w, false);
        pass_time(w, round < 20 ? 100 : 5000);
        run_effects(w, false);
        check(w);
    }
}

static void
check_rest(struct world *w)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    size_t n = ipam_get_stats(w->ipam, stats);

    for (size_t i = 0; i < N_SANDBOXES; i++) {
        SIM_CHECK(w->h, w->sandboxes[i].state == SB_NONE || w->sandboxes[i].state == SB_LAUNCHED,
                  "at rest: %s is in state %d", w->sandboxes[i].cid, w->sandboxes[i].state);
    }
    for (enum attachment_state s = ATTACHMENT_WAITING; s <= ATTACHMENT_REMOVING; s++) {
        SIM_CHECK(w->h, !attachments_count(w->t, s), "at rest: %"PRIuSIZE" attachments in state %d",
                  attachments_count(w->t, s), s);
    }
    SIM_CHECK(w->h, !w->n_links, "at rest: link %s is left", w->links[0].name);
    SIM_CHECK(w->h, !w->flows.n, "at rest: flows of %s are left", w->flows.items[0].name);
    SIM_CHECK(w->h, !w->ports.n, "at rest: port %s is left", w->ports.items[0].name);
    for (size_t i = 0; i < n; i++) {
        SIM_CHECK(w->h, !stats[i].used && !stats[i].unacknowledged, "at rest: %"PRIu64" addresses in use, %"PRIu64
                  " not acknowledged", stats[i].used, stats[i].unacknowledged);
    }
    for (size_t i = 0; i < w->n_requests; i++) {
        SIM_CHECK(w->h, !w->requests[i].open, "at rest: request %"PRIuSIZE" was not answered", i);
    }
}

/* Histories. ----------------------------------------------------------------------------------------------------- */

static void
step(struct world *w)
{
    uint32_t dice = sim_below(w->h, 100);

    if (dice < 19) {
        move_sandbox(w, sim_below(w->h, N_SANDBOXES));
    } else if (dice < 25) {
        move_object(w);
    } else if (dice < 45) {
        finish_op(w);
    } else if (dice < 57) {
        commit(w, true);
    } else if (dice < 69) {
        commit(w, false);
    } else if (dice < 77) {
        sync_journal(w);
    } else if (dice < 86) {
        pass_time(w, sim_below(w->h, 10) ? sim_below(w->h, 400) : 9000);
    } else if (dice < 88) {
        come_late(w);
    } else if (dice < 90) {
        clean(w);
    } else if (dice < 92) {
        set_away(w, !w->away && sim_chance(w->h, 50));
    } else if (dice < 94) {
        w->disk_full = !w->disk_full && sim_chance(w->h, 50);
    } else if (dice < 96) {
        compact(w);
    } else if (dice < 97) {
        send_gc(w);
    } else if (dice < 98) {
        w->mtu = 1400 + sim_below(w->h, 3) * 10;
        attachments_set_mtu(w->t, w->mtu, w->now);
    } else {
        crash(w, sim_chance(w->h, 20));
    }
}

static void
history(struct sim_history *h)
{
    struct world *w = xzalloc(sizeof *w);
    w->h = h;
    w->now = 1000000;
    w->mtu = 1450;
    w->declares = sim_chance(h, 75);
    w->n_requests = 1;                  /* 0 is no request. */
    start_daemon(w);
    pass_time(w, 1);
    for (int i = 0; i < 150 && !sim_failed(h); i++) {
        step(w);
        if (!sim_failed(h)) {
            run_effects(w, true);
            check(w);
        }
    }
    if (!sim_failed(h)) {
        settle(w);
        check_rest(w);
    }
    stop_daemon(w);
    for (size_t i = 0; i < w->n_journal; i++) {
        free(w->journal[i]);
    }
    free(w);
}

int
main(int argc, char *argv[])
{
    static const char *const bugs[] = { "ack-early", "port-early", "sync-early", "record-lost", "link-left",
                                        "reboot-unnoticed", "never-clean", "late-unnoticed", "uid-ignored",
                                        "denial-forgotten", "stale-ack", "object-unheard", NULL };
    return sim_main(argc, argv, &(struct sim) { "attachment", history, bugs });
}
