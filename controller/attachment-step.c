#include <config.h>

#include "attachment-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

/* What there is to do for an attachment follows from its state and from the state of its parts, so each event only
 * notes what happened and then calls attachment_advance_(). */

static void advance_add(struct attachment *, long long int now);
static void advance_removal(struct attachment *, long long int now);

void
attachment_advance_(struct attachment *a, long long int now)
{
    switch (a->state) {
    case ATTACHMENT_ADDING:
        advance_add(a, now);
        break;
    case ATTACHMENT_REMOVING:
        advance_removal(a, now);
        break;
    case ATTACHMENT_UP:
    case ATTACHMENT_WAITING:
        break;
    }
}

/* ADD. ----------------------------------------------------------------------------------------------------------- */

/* The link of an attachment that was deleted just now may still be in the same namespace under the same name.  Makes it
 * go now; true when there is none. */
static bool
namespace_is_free(const struct attachment *a)
{
    struct attachment *old;
    bool is_free = true;

    if (!a->netns_id.ino) {
        return true;
    }
    LIST_FOR_EACH (old, busy_node, &a->table->busy) {
        if (old != a && old->state == ATTACHMENT_REMOVING && old->link != STEP_NONE
            && netns_id_equals(&old->netns_id, &a->netns_id) && !strcmp(old->ifname, a->ifname)) {
            is_free = false;
            if (old->link == STEP_UNDOING && !old->deleting) {
                old->deleting = true;
                attachment_emit_(old->table, old, ATTACHMENT_LINK_DELETE);
            }
        }
    }
    return is_free;
}

static void
fill_ips(const struct attachment *a, struct cni_result *result)
{
    result->ips = xcalloc(a->n_ips, sizeof *result->ips);
    for (size_t i = 0; i < a->n_ips; i++) {
        char s[INET_PREFIX_STRLEN];
        struct cni_ip *ip = &result->ips[result->n_ips++];
        ip->address = xstrdup(inet_prefix_format(&a->ips[i].prefix, s));
        ip->gateway = a->ips[i].has_gateway ? xstrdup(inet_addr_format(&a->ips[i].gateway, s)) : NULL;
    }
}

static struct cni_route *
next_route(struct cni_result *result)
{
    struct cni_route *route = &result->routes[result->n_routes++];
    route->mtu = route->advmss = route->priority = route->table = route->scope = -1;
    return route;
}

static void
fill_routes(const struct attachment *a, struct cni_result *result)
{
    char s[INET_PREFIX_STRLEN];

    result->routes = xcalloc(a->n_ips + a->n_routes, sizeof *result->routes);
    for (size_t i = 0; i < a->n_ips && !a->delegated; i++) {
        if (a->ips[i].has_gateway) {
            struct cni_route *route = next_route(result);
            route->dst = xstrdup(inet_is_v4(&a->ips[i].gateway) ? "0.0.0.0/0" : "::/0");
            route->gw = xstrdup(inet_addr_format(&a->ips[i].gateway, s));
        }
    }
    for (size_t i = 0; i < a->n_routes; i++) {
        const struct pod_link_route *src = &a->routes[i];
        struct cni_route *route = next_route(result);
        route->dst = xstrdup(inet_prefix_format(&src->dst, s));
        route->gw = src->has_gw ? xstrdup(inet_addr_format(&src->gw, s)) : NULL;
        route->mtu = src->mtu;
        route->advmss = src->advmss;
        route->priority = src->priority;
        route->table = src->table;
        route->scope = src->scope;
    }
}

static void
reply_added(struct attachment *a)
{
    struct attachment_effect *effect = attachment_emit_(a->table, a, ATTACHMENT_REPLY);
    struct cni_result *result = &effect->reply.result;
    effect->request = a->add_request;
    effect->reply.code = CNI_OK;
    effect->reply.has_result = true;
    result->host_ifname = xstrdup(a->host_name);
    result->host_mac = xasprintf(ETH_ADDR_FMT, ETH_ADDR_ARGS(a->host_mac));
    result->ifname = xstrdup(a->ifname);
    result->mac = xasprintf(ETH_ADDR_FMT, ETH_ADDR_ARGS(a->mac));
    result->mtu = a->mtu;
    fill_ips(a, result);
    fill_routes(a, result);
    a->add_request = 0;
}

static void
advance_add(struct attachment *a, long long int now)
{
    if (!a->recorded) {
        return;
    }
    if (a->link == STEP_NONE && namespace_is_free(a)) {
        a->link = STEP_DOING;
        attachment_emit_(a->table, a, ATTACHMENT_LINK_CREATE);
    }
    if (a->flows == STEP_NONE) {
        a->flows = STEP_DOING;
        a->seen = true;
        attachment_emit_(a->table, a, ATTACHMENT_FLOWS_SET);
    }
    if (a->link != STEP_DONE) {
        return;
    }
    if (a->conf == STEP_NONE) {
        a->conf = a->port = STEP_DOING;
        attachment_emit_(a->table, a, ATTACHMENT_PORT_SET);
        attachment_emit_(a->table, a, ATTACHMENT_LINK_CONFIGURE);
    }
    if (a->conf != STEP_DONE || a->port != STEP_DONE || a->flows != STEP_DONE || !a->synced || a->recording
        || (!a->known && !a->denied)) {
        return;
    }
    if (!a->up_recorded) {
        attachment_record_(a, RECORD_UP, now);
        return;
    }
    reply_added(a);
    if (!a->known) {
        attachment_emit_(a->table, a, ATTACHMENT_DENIED);
    }
    attachment_set_state_(a, ATTACHMENT_UP);
    attachment_follow_mtu_(a);
}

void
attachment_follow_mtu_(struct attachment *a)
{
    uint16_t mtu = a->mtu_wish ? MIN(a->mtu_wish, a->table->mtu) : a->table->mtu;
    if (a->state == ATTACHMENT_UP && a->link == STEP_DONE && a->mtu != mtu && !a->mtu_pending) {
        a->mtu_pending = mtu;
        attachment_emit_(a->table, a, ATTACHMENT_LINK_MTU)->mtu = mtu;
    }
}

/* Removal. ------------------------------------------------------------------------------------------------------- */

void
attachment_fail_(struct attachment *a, long long int now, enum cni_code code, const char *format, ...)
{
    if (!a->fail_message) {
        va_list args;
        va_start(args, format);
        a->fail_code = code;
        a->fail_message = xvasprintf(format, args);
        va_end(args);
    }
    attachment_remove_(a, false, now);
}

void
attachment_remove_(struct attachment *a, bool trash, long long int now)
{
    if (a->state != ATTACHMENT_REMOVING) {
        attachment_set_state_(a, ATTACHMENT_REMOVING);
        a->trash = trash;
    }
    a->deadline = now + ATTACHMENT_DEL_TIMEOUT_MS;
    if (a->stuck) {
        a->stuck = false;
        a->table->n_stuck--;
    }
    attachment_advance_(a, now);
}

/* The flows first: ovs-vswitchd takes a while to let go of a device, and whatever it is asked meanwhile waits.  So the
 * removal of the port is only asked for once that of the flows is acknowledged, or nobody waits any more. */
static void
undo_dataplane(struct attachment *a)
{
    if (a->flows == STEP_DOING || a->flows == STEP_DONE) {
        a->flows = STEP_UNDOING;
        attachment_emit_(a->table, a, ATTACHMENT_FLOWS_REMOVE);
    }
    if ((a->port == STEP_DOING || a->port == STEP_DONE) && (a->flows == STEP_NONE || a->replied)) {
        a->port = STEP_UNDOING;
        attachment_emit_(a->table, a, ATTACHMENT_PORT_REMOVE);
    }
}

/* A worker thread that is busy with the link must come back first.  A link that goes at once goes behind its port, lest
 * ovs-vswitchd misses it. */
static void
undo_link(struct attachment *a)
{
    if (a->link == STEP_DONE && a->conf != STEP_DOING && !a->mtu_pending
        && (a->trash || a->port == STEP_NONE || a->replied)) {
        a->link = STEP_UNDOING;
        a->conf = STEP_NONE;
        a->deleting = !a->trash;
        attachment_emit_(a->table, a, a->trash ? ATTACHMENT_LINK_TRASH : ATTACHMENT_LINK_DELETE);
    }
}

static bool
is_out_of_journal(const struct attachment *a)
{
    return !a->recording && (!a->recorded || a->unrecorded);
}

/* The end of what the removal must wait for before it is answered. */
static bool
is_removed(const struct attachment *a)
{
    return (a->flows == STEP_NONE && a->port == STEP_NONE && is_out_of_journal(a)
            && (a->link == STEP_NONE || (a->trash && a->link == STEP_UNDOING)));
}

/* Answers everyone who waits for the removal: 'why' is NULL, or why it could not be done. */
static void
reply_removed(struct attachment *a, enum cni_code code, const char *why)
{
    struct attachments *t = a->table;
    struct waiter *w;

    if (a->add_request) {
        attachment_reply_(t, a->add_request, a->fail_code ? a->fail_code : CNI_E_FAILED,
                          a->fail_message ? a->fail_message : "undone");
        a->add_request = 0;
    }
    LIST_FOR_EACH_POP (w, node, &a->waiters) {
        if (w->gc) {
            attachments_gc_left_(t, w->request, why);
        } else {
            attachment_reply_(t, w->request, why ? code : CNI_OK, why);
        }
        free(w);
    }
    if (!why) {
        a->replied = true;
        attachment_unkey_(a);
    }
}

/* Nothing refers to the addresses any more. */
static void
acknowledge(struct attachment *a)
{
    for (size_t i = 0; a->seen && i < a->n_ips; i++) {
        if (a->ips[i].generation) {
            struct ipam_address address = { a->ips[i].prefix.addr, a->ips[i].generation };
            ipam_acknowledge(a->table->ipam, &address);
        }
    }
}

static void
release(struct attachment *a, long long int now)
{
    for (size_t i = 0; a->held && i < a->n_ips; i++) {
        struct ipam_address address = { a->ips[i].prefix.addr, a->ips[i].generation };
        if (a->seen) {
            ipam_release(a->table->ipam, &address, now);
        } else {
            ipam_cancel(a->table->ipam, &address);
        }
    }
    a->held = false;
}

static void
advance_removal(struct attachment *a, long long int now)
{
    undo_dataplane(a);
    undo_link(a);
    if (a->recorded && !a->unrecorded && !a->unrecording && !a->recording && !a->stuck) {
        attachment_record_(a, RECORD_DEL, now);
    }
    if (a->flows == STEP_NONE) {
        attachment_drop_owner_(a);
    }
    if (is_out_of_journal(a)) {
        release(a, now);
        if (a->flows == STEP_NONE && a->port == STEP_NONE) {
            acknowledge(a);
        }
    }
    if (is_removed(a) && !a->replied) {
        reply_removed(a, CNI_OK, NULL);
    }
    if (is_removed(a) && a->link == STEP_NONE) {
        attachment_forget_(a);
    }
}

/* Events. -------------------------------------------------------------------------------------------------------- */

static struct attachment *
find_id(const struct attachments *t, uint64_t id)
{
    return CONST_CAST(struct attachment *, attachments_get(t, id));
}

static void
retry(struct attachment *a, long long int now)
{
    a->stuck = false;
    a->table->n_stuck--;
    a->deadline = now + ATTACHMENT_DEL_TIMEOUT_MS;
    attachment_advance_(a, now);
}

static void
retry_stuck(struct attachments *t, long long int now)
{
    struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        if (a->stuck) {
            retry(a, now);
        }
    }
}

static void
add_journaled(struct attachment *a, uint64_t seqno, const char *why, long long int now)
{
    a->recording = false;
    a->recorded = !why;
    a->seqno = seqno;
    if (why && a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, CNI_E_IO, "cannot record the attachment: %s", why);
    } else {
        attachment_advance_(a, now);
    }
}

static void
up_journaled(struct attachment *a, const char *why, long long int now)
{
    a->recording = false;
    a->up_recorded = !why;
    if (why && a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, CNI_E_IO, "cannot record the attachment: %s", why);
    } else {
        attachment_advance_(a, now);
    }
}

static void
del_journaled(struct attachment *a, const char *why, long long int now)
{
    a->unrecording = false;
    a->unrecorded = !why;
    if (why) {
        char *message = xasprintf("cannot record the removal: %s", why);
        a->stuck = true;
        a->deadline = now + ATTACHMENT_RETRY_MS;
        a->table->n_stuck++;
        reply_removed(a, CNI_E_IO, message);
        free(message);
    }
    attachment_advance_(a, now);
}

void
attachments_journaled(struct attachments *t, uint64_t ticket, uint64_t seqno, const char *why, long long int now)
{
    struct attachment *a = find_id(t, ticket / N_RECORD_OPS);
    if (a) {
        switch ((enum record_op) (ticket % N_RECORD_OPS)) {
        case RECORD_ADD:
            add_journaled(a, seqno, why, now);
            break;
        case RECORD_UP:
            up_journaled(a, why, now);
            break;
        case RECORD_DEL:
            del_journaled(a, why, now);
            break;
        case RECORD_MTU: case RECORD_KNOWN:
            break;                      /* A lost one is put right after the next start. */
        case N_RECORD_OPS:
            OVS_NOT_REACHED();
        }
    }
    if (!why && t->n_stuck) {
        retry_stuck(t, now);
    }
}

void
attachments_journal_synced(struct attachments *t, uint64_t seqno, long long int now)
{
    struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        if (a->state == ATTACHMENT_ADDING && a->recorded && !a->synced && a->seqno <= seqno) {
            a->synced = true;
            attachment_advance_(a, now);
        }
    }
}

void
attachments_rewritten(struct attachments *t, long long int now)
{
    attachments_journal_synced(t, UINT64_MAX, now);
    if (t->n_stuck) {
        retry_stuck(t, now);
    }
}

static void
link_created(struct attachment *a, int error_code, const char *why, const struct eth_addr *host_mac, long long int now)
{
    if (a->link != STEP_DOING) {
        return;
    }
    a->link = error_code ? STEP_NONE : STEP_DONE;
    if (host_mac) {
        a->host_mac = *host_mac;
    }
    if (error_code && a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, error_code == EEXIST ? CNI_E_EXISTS : CNI_E_FAILED, "%s", why);
    } else {
        attachment_advance_(a, now);
    }
}

static void
link_configured(struct attachment *a, int error_code, const char *why, long long int now)
{
    if (a->conf != STEP_DOING) {
        return;
    }
    a->conf = error_code ? STEP_NONE : STEP_DONE;
    if (error_code && a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, CNI_E_FAILED, "%s", why);
    } else {
        attachment_advance_(a, now);
    }
}

static void
link_mtu_done(struct attachment *a, int error_code, long long int now)
{
    uint16_t mtu = a->mtu_pending;
    a->mtu_pending = 0;
    if (!error_code && a->state == ATTACHMENT_UP && mtu) {
        a->mtu = mtu;
        attachment_record_(a, RECORD_MTU, now);
        attachment_follow_mtu_(a);      /* It may have changed again meanwhile. */
    }
    attachment_advance_(a, now);
}

void
attachments_link_done(struct attachments *t, uint64_t id, enum attachment_effect_type type, int error_code,
                      const char *why, const struct eth_addr *host_mac, long long int now)
{
    struct attachment *a = find_id(t, id);
    if (!a) {
        return;
    }
    if (type == ATTACHMENT_LINK_CREATE) {
        link_created(a, error_code, why, host_mac, now);
    } else if (type == ATTACHMENT_LINK_CONFIGURE) {
        link_configured(a, error_code, why, now);
    } else if (type == ATTACHMENT_LINK_MTU) {
        link_mtu_done(a, error_code, now);
    }
}

void
attachments_link_gone(struct attachments *t, uint64_t id, long long int now)
{
    struct attachment *a = find_id(t, id);
    if (!a || a->link != STEP_UNDOING) {
        return;
    }
    a->link = STEP_NONE;
    attachment_advance_(a, now);

    /* An ADD in the same namespace may have waited for it. */
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        if (a->state == ATTACHMENT_ADDING && a->link == STEP_NONE) {
            attachment_advance_(a, now);
        }
    }
}

static void
part_done(struct attachment *a, enum attachment_step *part, const char *what, const char *why, long long int now)
{
    if (*part == STEP_DOING && !why) {
        *part = STEP_DONE;
    } else if (*part == STEP_DOING && a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, CNI_E_FAILED, "%s: %s", what, why);
        return;
    }
    attachment_advance_(a, now);
}

static void
part_gone(struct attachment *a, enum attachment_step *part, long long int now)
{
    if (*part == STEP_UNDOING) {
        *part = STEP_NONE;
        attachment_advance_(a, now);
    }
}

void
attachments_port_done(struct attachments *t, uint64_t id, const char *why, long long int now)
{
    struct attachment *a = find_id(t, id);
    if (a) {
        part_done(a, &a->port, "Open vSwitch refused the port", why, now);
    }
}

void
attachments_flows_done(struct attachments *t, uint64_t id, bool isolated, const char *why, long long int now)
{
    struct attachment *a = find_id(t, id);
    if (a && (why || isolated == !a->known)) {  /* Else those that open it are on their way. */
        part_done(a, &a->flows, "Open vSwitch refused the flows", why, now);
    }
}

void
attachments_port_gone(struct attachments *t, uint64_t id, long long int now)
{
    struct attachment *a = find_id(t, id);
    if (a) {
        part_gone(a, &a->port, now);
    }
}

void
attachments_flows_gone(struct attachments *t, uint64_t id, long long int now)
{
    struct attachment *a = find_id(t, id);
    if (a) {
        part_gone(a, &a->flows, now);
    }
}

/* Time. ---------------------------------------------------------------------------------------------------------- */

/* What an ADD that takes too long waits for. */
static char *
describe_wait(const struct attachment *a)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    ds_put_cstr(&s, !a->recorded || !a->synced ? ", the journal" : "");
    ds_put_cstr(&s, a->link != STEP_DONE ? ", the link" : "");
    ds_put_cstr(&s, a->link == STEP_DONE && a->conf != STEP_DONE ? ", the interface in the pod" : "");
    ds_put_cstr(&s, a->link == STEP_DONE && a->port != STEP_DONE ? ", the port in Open vSwitch" : "");
    ds_put_cstr(&s, a->recorded && a->flows != STEP_DONE ? ", the flows" : "");
    char *text = xstrdup(s.length ? s.string + 2 : "nothing");
    ds_destroy(&s);
    return text;
}

static void
expire(struct attachment *a, long long int now)
{
    struct attachments *t = a->table;
    if (a->state == ATTACHMENT_WAITING) {
        char *message = xasprintf("the node is not ready: %s",
                                  t->why_not ? t->why_not : "it has no addresses for pods yet");
        attachment_reply_(t, a->add_request, CNI_E_AGAIN, message);
        free(message);
        attachment_forget_(a);
    } else if (a->state == ATTACHMENT_ADDING && now < a->deadline) {
        a->denied = true;
        attachment_advance_(a, now);
    } else if (a->state == ATTACHMENT_ADDING) {
        char *what = describe_wait(a);
        attachment_fail_(a, now, CNI_E_AGAIN, "not done in %d s, still waiting for %s",
                         ATTACHMENT_ADD_TIMEOUT_MS / 1000, what);
        free(what);
    } else if (a->stuck) {
        retry(a, now);
    } else if (is_out_of_journal(a)) {
        /* Recorded as removed: whatever is left goes as soon as it can be reached. */
        reply_removed(a, CNI_OK, NULL);
        attachment_advance_(a, now);
    } else {
        a->deadline = LLONG_MAX;
        reply_removed(a, CNI_E_AGAIN, "the removal could not be recorded in time");
    }
}

static long long int
deadline(const struct attachment *a)
{
    if (a->state == ATTACHMENT_ADDING && !a->known && !a->denied) {
        return MIN(a->known_deadline, a->deadline);
    }
    return a->state == ATTACHMENT_UP || a->replied ? LLONG_MAX : a->deadline;
}

void
attachments_run(struct attachments *t, long long int now)
{
    struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        if (now >= deadline(a)) {
            expire(a, now);
        }
    }
}

long long int
attachments_next_timeout(const struct attachments *t)
{
    long long int next = LLONG_MAX;
    const struct attachment *a;
    LIST_FOR_EACH (a, busy_node, &t->busy) {
        next = MIN(next, deadline(a));
    }
    return next;
}
