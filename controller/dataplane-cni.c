#include <config.h>

#include "controller/dataplane-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "hash.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "spool.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane_cni);

/* A DEL of the spool that failed is tried again after this. */
#define SPOOL_RETRY_MS 10000

/* Requests. ------------------------------------------------------------------------------------------------------ */

struct request *
dataplane_request_find_(struct dataplane *dp, uint64_t number)
{
    struct request *rq;
    HMAP_FOR_EACH_WITH_HASH (rq, node, hash_uint64(number), &dp->requests) {
        if (rq->number == number) {
            return rq;
        }
    }
    return NULL;
}

static struct request *
request_create(struct dataplane *dp, uint64_t number, int netns_fd)
{
    struct request *rq = xzalloc(sizeof *rq);
    rq->number = number;
    rq->netns_fd = netns_fd;
    rq->since = time_usec();
    hmap_insert(&dp->requests, &rq->node, hash_uint64(number));
    return rq;
}

static void
request_destroy(struct dataplane *dp, struct request *rq)
{
    if (rq) {
        hmap_remove(&dp->requests, &rq->node);
        if (rq->netns_fd >= 0) {
            close(rq->netns_fd);
        }
        free(rq->spooled);
        free(rq);
    }
}

static void
finish_spooled(struct dataplane *dp, const struct request *rq, const struct cni_reply *reply)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    if (reply->code != CNI_OK) {
        VLOG_WARN("spooled DEL %s: %s; will be tried again", rq->spooled, reply->message);
    } else if (!spool_remove(dp->spool_dir, rq->spooled, &error)) {
        return;
    } else {
        VLOG_WARN("spooled DEL %s is done but stays: %s", rq->spooled, error_message(&error));
    }
    dp->spool_retry_at = time_msec() + SPOOL_RETRY_MS;
}

void
dataplane_reply_(struct dataplane *dp, uint64_t number, const struct cni_reply *reply)
{
    struct request *rq = dataplane_request_find_(dp, number);
    if (rq && rq->spooled) {
        finish_spooled(dp, rq, reply);
    } else if (rq) {
        if (reply->code != CNI_OK) {
            VLOG_INFO("request %"PRIu64": error %d: %s", number, reply->code, reply->message ? reply->message : "");
        }
        if (reply->code == CNI_E_AGAIN && !dp->not_ready && !ipam_has_room(dp->ipam, time_wall_msec())) {
            dataplane_report_node_(dp, "AddressesExhausted", "no address is free for another pod on this node");
        }
        VLOG_DBG("request %"PRIu64": answered after %lld us", number, time_usec() - rq->since);
        cni_server_reply(dp->cni, number, reply);
    }
    request_destroy(dp, rq);
}

static void
reply_text(struct dataplane *dp, uint64_t number, enum cni_code code, const char *text)
{
    struct cni_reply reply = { .code = code, .message = CONST_CAST(char *, text) };
    dataplane_reply_(dp, number, &reply);
}

/* CNI STATUS: can an ADD be served now? */
static void
reply_status(struct dataplane *dp, uint64_t number)
{
    bool limited;
    const char *why = dataplane_not_ready(dp, &limited);
    if (why) {
        reply_text(dp, number, limited ? CNI_E_LIMITED : CNI_E_UNAVAILABLE, why);
    } else if (!ipam_has_room(dp->ipam, time_wall_msec())) {
        reply_text(dp, number, CNI_E_UNAVAILABLE, "the pool of addresses for pods is exhausted");
    } else {
        reply_text(dp, number, CNI_OK, NULL);
    }
}

static void
add(struct dataplane *dp, uint64_t number, const struct cni_request *rq, int netns_fd, long long int started)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct netns_id id;
    bool own;

    if (netns_fd < 0) {
        reply_text(dp, number, CNI_E_NETNS, "the request came without the container's network namespace");
    } else if (netns_identify(netns_fd, &id, &error) || netns_is_own(netns_fd, &own, &error)) {
        reply_text(dp, number, CNI_E_NETNS, error_message(&error));
    } else if (own) {
        reply_text(dp, number, CNI_E_NETNS, "the container's network namespace is the node's own");
    } else {
        attachments_add(dp->attachments, number, rq, id, started, time_wall_msec());
        if (rq->pod_name) {
            dataplane_pod_changed_(dp, rq->pod_namespace ? rq->pod_namespace : "", rq->pod_name);
        }
    }
}

static void
handle(void *dp_, uint64_t number, const struct cni_request *rq, int netns_fd, long long int started)
{
    struct dataplane *dp = dp_;
    long long int now = time_wall_msec();

    request_create(dp, number, netns_fd);
    VLOG_DBG("request %"PRIu64": %s %s %s", number, cni_verb_name(rq->verb), rq->container_id ? rq->container_id : "-",
             rq->ifname ? rq->ifname : "-");
    switch (rq->verb) {
    case CNI_ADD:
        add(dp, number, rq, netns_fd, started);
        break;
    case CNI_DEL:
        attachments_del(dp->attachments, number, rq, now, now);
        break;
    case CNI_CHECK:
        if (netns_fd < 0) {
            reply_text(dp, number, CNI_E_NETNS, "the request came without the container's network namespace");
        } else {
            attachments_check(dp->attachments, number, rq);
        }
        break;
    case CNI_GC:
        attachments_gc(dp->attachments, number, rq, now);
        break;
    case CNI_STATUS:
        reply_status(dp, number);
        break;
    case CNI_VERSION:
        reply_text(dp, number, CNI_E_UNSUPPORTED, "VERSION is answered by the plugin");
        break;
    }
}

static void
gone(void *dp_, uint64_t number)
{
    struct dataplane *dp = dp_;
    VLOG_INFO("request %"PRIu64": the plugin has gone", number);
    attachments_client_gone(dp->attachments, number, time_wall_msec());
    request_destroy(dp, dataplane_request_find_(dp, number));
}

/* Spool. --------------------------------------------------------------------------------------------------------- */

static bool
is_in_work(const struct dataplane *dp, const char *name)
{
    const struct request *rq;
    HMAP_FOR_EACH (rq, node, &dp->requests) {
        if (rq->spooled && !strcmp(rq->spooled, name)) {
            return true;
        }
    }
    return false;
}

static void
read_spool(struct dataplane *dp)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct spool_entry *entries;
    size_t n, n_bad = 0;

    dp->spool_retry_at = LLONG_MAX;
    if (spool_list(dp->spool_dir, &entries, &n, &n_bad, &error)) {
        VLOG_WARN("%s", error_message(&error));
        dp->spool_retry_at = time_msec() + SPOOL_RETRY_MS;
        return;
    }
    if (n_bad) {
        VLOG_WARN("%s: %"PRIuSIZE" files are no DELs and were put aside as bad-...", dp->spool_dir, n_bad);
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_in_work(dp, entries[i].name)) {
            struct request *rq = request_create(dp, dp->next_spool_number++, -1);
            rq->spooled = xstrdup(entries[i].name);
            VLOG_INFO("spooled DEL %s: container %s", rq->spooled, entries[i].request.container_id);
            attachments_del(dp->attachments, rq->number, &entries[i].request, entries[i].time, time_wall_msec());
        }
    }
    spool_entries_free(entries, n);
}

static void
run_spool(struct dataplane *dp)
{
    char events[4096];
    while (dp->spool_inotify >= 0 && read(dp->spool_inotify, events, sizeof events) > 0) {
        dp->spool_changed = true;
    }
    if (dp->spool_changed || time_msec() >= dp->spool_retry_at) {
        dp->spool_changed = false;
        read_spool(dp);
    }
}

/* Life. ---------------------------------------------------------------------------------------------------------- */

int
dataplane_listen_(struct dataplane *dp, struct error *error)
{
    static const struct cni_server_class class = { handle, gone };
    char *path = xasprintf("%s/cni.sock", dp->config->run_dir);
    int code = cni_server_create(path, &class, dp, &dp->cni, error);

    free(path);
    if (code) {
        return code;
    }
    dp->spool_dir = xasprintf("%s/spool", dp->config->state_dir);
    dp->next_spool_number = SPOOL_NUMBER;
    dp->spool_changed = true;           /* Only now, behind the socket: see spool.h. */
    dp->spool_retry_at = LLONG_MAX;
    mkdir(dp->spool_dir, 0700);
    dp->spool_inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (dp->spool_inotify < 0 || inotify_add_watch(dp->spool_inotify, dp->spool_dir, IN_MOVED_TO) < 0) {
        VLOG_WARN("%s: cannot watch: %s; DELs in it wait for the next start", dp->spool_dir, ovs_strerror(errno));
    }
    return 0;
}

void
dataplane_unlisten_(struct dataplane *dp)
{
    struct request *rq;
    cni_server_destroy(dp->cni);
    HMAP_FOR_EACH_SAFE (rq, node, &dp->requests) {
        request_destroy(dp, rq);
    }
    if (dp->spool_inotify >= 0) {
        close(dp->spool_inotify);
    }
    free(dp->spool_dir);
}

void
dataplane_cni_run_(struct dataplane *dp)
{
    cni_server_run(dp->cni);
    run_spool(dp);
}

void
dataplane_cni_wait_(struct dataplane *dp)
{
    cni_server_wait(dp->cni);
    if (dp->spool_inotify >= 0) {
        poll_fd_wait(dp->spool_inotify, POLLIN);
    }
    if (dp->spool_retry_at != LLONG_MAX) {
        poll_timer_wait_until(dp->spool_retry_at);
    }
    if (dp->spool_changed) {
        poll_immediate_wake();
    }
}
