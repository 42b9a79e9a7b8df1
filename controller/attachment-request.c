#include <config.h>

#include "attachment-private.h"

#include <string.h>

#include "packets.h"
#include "sset.h"
#include "util.h"

/* DEL, CHECK, GC, and clients that go. --------------------------------------------------------------------------- */

static void
add_waiter(struct attachment *a, uint64_t request, bool gc)
{
    struct waiter *w = xmalloc(sizeof *w);
    w->request = request;
    w->gc = gc;
    ovs_list_push_back(&a->waiters, &w->node);
}

static void
remove_for(struct attachment *a, uint64_t request, bool gc, long long int now)
{
    if (a->state == ATTACHMENT_WAITING) {
        struct attachments *t = a->table;

        attachment_reject_(a, CNI_E_FAILED, "deleted before it could be added");    /* Frees it. */
        if (gc) {
            attachments_gc_left_(t, request, NULL);
        } else {
            attachment_reply_(t, request, CNI_OK, NULL);
        }
        return;
    }
    add_waiter(a, request, gc);
    if (a->state == ATTACHMENT_ADDING) {
        attachment_fail_(a, now, CNI_E_FAILED, "deleted while it was being added");
    } else {
        attachment_remove_(a, true, now);
    }
}

void
attachments_del(struct attachments *t, uint64_t request, const struct cni_request *rq, long long int when,
                long long int now)
{
    struct attachment *a = attachment_find_(t, rq->network, rq->container_id, rq->ifname);
    tombstone_add_(t, rq->network, rq->container_id, rq->ifname, when);
    if (!a || a->state == ATTACHMENT_WAITING) {
        attachments_record_tombstone_(t, rq->network, rq->container_id, rq->ifname, when);
    }
    if (a && a->created <= when) {
        remove_for(a, request, false, now);
    } else {
        attachment_reply_(t, request, CNI_OK, NULL);
    }
}

/* What is wrong with the runtime's idea of the attachment, or NULL. */
static char *
compare_result(const struct attachment *a, const struct cni_request *rq)
{
    struct eth_addr mac;
    if (rq->check_host_ifname && strcmp(rq->check_host_ifname, a->host_name)) {
        return xasprintf("the host's interface is %s, not %s", a->host_name, rq->check_host_ifname);
    }
    if (rq->check_mac && (!eth_addr_from_string(rq->check_mac, &mac) || !eth_addr_equals(mac, a->mac))) {
        return xasprintf("the MAC is "ETH_ADDR_FMT", not %s", ETH_ADDR_ARGS(a->mac), rq->check_mac);
    }
    for (size_t i = 0; rq->n_check_ips && i < a->n_ips; i++) {
        char s[INET_PREFIX_STRLEN];
        bool found = false;
        inet_prefix_format(&a->ips[i].prefix, s);
        for (size_t j = 0; j < rq->n_check_ips; j++) {
            found = found || !strcmp(rq->check_ips[j].address, s);
        }
        if (!found) {
            return xasprintf("the attachment has %s, which prevResult does not name", s);
        }
    }
    return attachment_compare_ports_(a, rq);
}

void
attachments_check(struct attachments *t, uint64_t request, const struct cni_request *rq)
{
    struct attachment *a = attachment_find_(t, rq->network, rq->container_id, rq->ifname);
    if (!a) {
        attachment_replyf_(t, request, CNI_E_UNKNOWN_CONTAINER, "%s of container %s is not attached to network %s",
                           rq->ifname,
              rq->container_id, rq->network);
    } else if (a->state != ATTACHMENT_UP) {
        attachment_replyf_(t, request, CNI_E_AGAIN, "%s of container %s is still being %s", rq->ifname,
                           rq->container_id,
              a->state == ATTACHMENT_REMOVING ? "removed" : "added");
    } else {
        char *why = compare_result(a, rq);
        if (why) {
            attachment_reply_(t, request, CNI_E_BROKEN, why);
            free(why);
        } else {
            attachment_emit_(t, a, ATTACHMENT_CHECK)->request = request;
        }
    }
}

void
attachments_checked(struct attachments *t, uint64_t request, enum cni_code code, const char *why)
{
    attachment_reply_(t, request, code, why);
}

void
attachments_gc_free_(struct gc *gc)
{
    ovs_list_remove(&gc->node);
    free(gc->errors);
    free(gc);
}

void
attachments_gc_left_(struct attachments *t, uint64_t request, const char *error)
{
    struct gc *gc;
    LIST_FOR_EACH_SAFE (gc, node, &t->gcs) {
        if (gc->request == request) {
            if (error) {
                char *errors = gc->errors ? xasprintf("%s; %s", gc->errors, error) : xstrdup(error);
                free(gc->errors);
                gc->errors = errors;
            }
            if (!--gc->n_left) {
                attachment_reply_(t, request, gc->errors ? CNI_E_FAILED : CNI_OK, gc->errors);
                attachments_gc_free_(gc);
            }
        }
    }
}

static bool
is_stale(const struct attachment *a, const char *network, const struct sset *valid, long long int now)
{
    if (!a->keyed || strcmp(a->network, network) || a->state == ATTACHMENT_WAITING || a->state == ATTACHMENT_ADDING
        || now - a->created < ATTACHMENT_GC_MIN_AGE_MS) {
        return false;
    }
    char *key = xasprintf("%s/%s", a->container_id, a->ifname);
    bool stale = !sset_contains(valid, key);
    free(key);
    return stale;
}

void
attachments_gc(struct attachments *t, uint64_t request, const struct cni_request *rq, long long int now)
{
    struct sset valid = SSET_INITIALIZER(&valid);
    for (size_t i = 0; i < rq->n_valid; i++) {
        sset_add_and_free(&valid, xasprintf("%s/%s", rq->valid[i].container_id, rq->valid[i].ifname));
    }
    struct gc *gc = xzalloc(sizeof *gc);
    gc->request = request;
    gc->n_left = 1;                     /* Ourselves, until all are started. */
    ovs_list_push_back(&t->gcs, &gc->node);

    struct attachment *a;
    HMAP_FOR_EACH_SAFE (a, id_node, &t->by_id) {
        if (is_stale(a, rq->network, &valid, now)) {
            gc->n_left++;
            tombstone_add_(t, a->network, a->container_id, a->ifname, now);
            remove_for(a, request, true, now);
        }
    }
    sset_destroy(&valid);
    attachments_gc_left_(t, request, NULL);
}

static void
forget_waiter(struct attachment *a, uint64_t request)
{
    struct waiter *w;
    LIST_FOR_EACH_SAFE (w, node, &a->waiters) {
        if (w->request == request) {
            ovs_list_remove(&w->node);
            free(w);
        }
    }
}

void
attachments_client_gone(struct attachments *t, uint64_t request, long long int now)
{
    struct gc *gc;
    LIST_FOR_EACH_SAFE (gc, node, &t->gcs) {
        if (gc->request == request) {
            attachments_gc_free_(gc);
        }
    }
    struct attachment *a;
    LIST_FOR_EACH_SAFE (a, busy_node, &t->busy) {
        forget_waiter(a, request);
        if (a->add_request == request) {
            a->add_request = 0;
            if (a->state == ATTACHMENT_WAITING) {
                attachment_forget_(a);
            } else if (a->state == ATTACHMENT_ADDING) {
                attachment_remove_(a, false, now);
                break;                  /* The list has changed; a request has one attachment. */
            }
        }
    }
}
