#include <config.h>

#include "controller/dataplane-private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "controller/pod-link.h"
#include "fault.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane_link);

/* The links of pods that are gone are deleted together, a little later.  Deleting one makes the kernel wait for RCU
 * under the lock of rtnetlink, and telling of it makes ovs-vswitchd look at all links again: an ADD or DEL right
 * behind would have to wait for
 * both.  And most are gone by themselves by then, because the runtime has removed the pod's namespace.
 *
 * Milliseconds after the last DEL, and after the first one at the latest: */
#define TRASH_DELAY_MS 1000
#define TRASH_DELAY_MAX_MS 5000
#define TRASH_MAX 256

/* One job of a worker thread.  It has its own copy of everything. */
struct link_job {
    struct dataplane *dp;
    enum attachment_effect_type type;
    uint64_t id, request;
    char host_name[16];
    char *ifname, *netns;
    struct pod_link link;
    struct inet_prefix *addrs;
    struct in6_addr *gateways;
    struct pod_link_route *routes;
    uint16_t mtu;

    int code;                           /* Result. */
    struct error error;
    struct eth_addr host_mac;
    long long int submitted, began, ended;      /* time_usec(). */
};

static void
job_destroy(struct link_job *job)
{
    if (job->link.netns_fd >= 0) {
        close(job->link.netns_fd);
    }
    free(job->ifname);
    free(job->netns);
    free(job->addrs);
    free(job->gateways);
    free(job->routes);
    error_clear(&job->error);
    free(job);
}

static void
fill_addresses(struct link_job *job, const struct attachment *a)
{
    struct pod_link *link = &job->link;

    link->addrs = job->addrs = xcalloc(a->n_ips, sizeof *job->addrs);
    link->gateways = job->gateways = xcalloc(a->n_ips, sizeof *job->gateways);
    for (size_t i = 0; i < a->n_ips; i++) {
        job->addrs[link->n_addrs++] = a->ips[i].prefix;
        if (a->ips[i].has_gateway && !a->delegated) {
            job->gateways[link->n_gateways++] = a->ips[i].gateway;
        }
    }
    if (a->n_routes) {
        link->routes = job->routes = xmemdup(a->routes, a->n_routes * sizeof *a->routes);
        link->n_routes = a->n_routes;
    }
}

static struct link_job *
job_create(struct dataplane *dp, const struct attachment_effect *effect, int netns_fd)
{
    const struct attachment *a = effect->attachment;
    struct link_job *job = xzalloc(sizeof *job);

    job->dp = dp;
    job->type = effect->type;
    job->id = a->id;
    job->request = effect->request;
    job->mtu = effect->mtu;
    ovs_strlcpy(job->host_name, a->host_name, sizeof job->host_name);
    job->ifname = xstrdup(a->ifname);
    job->netns = xstrdup(a->netns);
    job->link.host_name = job->host_name;
    job->link.ifname = job->ifname;
    job->link.netns_fd = netns_fd >= 0 ? fcntl(netns_fd, F_DUPFD_CLOEXEC, 3) : -1;
    job->link.mac = a->mac;
    job->link.mtu = a->mtu;
    job->link.tx_checksum_off = dp->facts.datapath == DATAPATH_USERSPACE || dp->facts.datapath == DATAPATH_AFXDP;
    fill_addresses(job, a);
    job->submitted = time_usec();
    return job;
}

/* In a worker thread. -------------------------------------------------------------------------------------------- */

static void
job_work(void *job_)
{
    struct link_job *job = job_;

    job->began = time_usec();
    switch (job->type) {
    case ATTACHMENT_LINK_CREATE:
        job->code = fault_point("link-create");
        job->code = job->code ? job->code : pod_link_create(&job->link, &job->host_mac, &job->error);
        break;
    case ATTACHMENT_LINK_CONFIGURE:
        job->code = fault_point("link-configure");
        job->code = job->code ? job->code : pod_link_configure(&job->link, &job->error);
        break;
    case ATTACHMENT_LINK_MTU:
        job->code = pod_link_set_mtu(job->host_name, job->netns, job->ifname, job->mtu, &job->error);
        break;
    case ATTACHMENT_LINK_DELETE:
        job->code = fault_point("link-delete");
        job->code = job->code ? job->code : pod_link_delete(job->host_name, &job->error);
        break;
    case ATTACHMENT_CHECK:
        job->code = pod_link_check(&job->link, &job->error);
        break;
    case ATTACHMENT_JOURNAL: case ATTACHMENT_PORT_SET: case ATTACHMENT_PORT_REMOVE: case ATTACHMENT_FLOWS_SET:
    case ATTACHMENT_FLOWS_REMOVE: case ATTACHMENT_LINK_TRASH: case ATTACHMENT_DENIED: case ATTACHMENT_REPLY:
        OVS_NOT_REACHED();
    }
    if (job->code && !job->error.code) {
        error_set_errno(&job->error, job->code, "%s", job->host_name);
    }
    job->ended = time_usec();
}

static const char *
job_name(enum attachment_effect_type type)
{
    return (type == ATTACHMENT_LINK_CREATE ? "link" : type == ATTACHMENT_LINK_CONFIGURE ? "configuration"
            : type == ATTACHMENT_LINK_MTU ? "MTU" : type == ATTACHMENT_LINK_DELETE ? "deletion" : "check");
}

/* In the main loop. ---------------------------------------------------------------------------------------------- */

static void
put_in_trash(struct dataplane *dp, uint64_t id, const char *host_name)
{
    struct trash *trash = xzalloc(sizeof *trash);
    long long int now = time_msec();

    trash->id = id;
    ovs_strlcpy(trash->host_name, host_name, sizeof trash->host_name);
    if (!dp->n_trash) {
        dp->empty_until = now + TRASH_DELAY_MAX_MS;
    }
    ovs_list_push_back(&dp->trash, &trash->node);
    dp->n_trash++;
    dp->empty_at = MIN(now + TRASH_DELAY_MS, dp->empty_until);
}

/* The link 'id' is wanted gone now.  False: it is on its way out already. */
static bool
take_from_trash(struct dataplane *dp, uint64_t id)
{
    struct trash *trash;

    LIST_FOR_EACH_SAFE (trash, node, &dp->trash) {
        if (trash->id == id) {
            ovs_list_remove(&trash->node);
            free(trash);
            dp->n_trash--;
        }
    }
    LIST_FOR_EACH (trash, node, &dp->emptying) {
        if (trash->id == id) {
            return false;
        }
    }
    return true;
}

static void
job_done(void *job_)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);
    struct link_job *job = job_;
    struct dataplane *dp = job->dp;
    const char *why = job->code ? error_message(&job->error) : NULL;
    long long int now = time_wall_msec();

    VLOG_DBG("%s: %s: waited %lld us, took %lld us, noticed after %lld us", job->host_name, job_name(job->type),
             job->began - job->submitted, job->ended - job->began, time_usec() - job->ended);
    if (job->type == ATTACHMENT_CHECK) {
        attachments_checked(dp->attachments, job->request, why ? CNI_E_BROKEN : CNI_OK, why);
    } else if (job->type == ATTACHMENT_LINK_DELETE && !why) {
        attachments_link_gone(dp->attachments, job->id, now);
    } else if (job->type == ATTACHMENT_LINK_DELETE) {
        VLOG_WARN_RL(&rl, "%s: %s", job->host_name, why);
        put_in_trash(dp, job->id, job->host_name);      /* Emptying it tries again. */
    } else {
        if (why && job->type == ATTACHMENT_LINK_MTU) {
            VLOG_WARN_RL(&rl, "%s: %s", job->host_name, why);
        }
        attachments_link_done(dp->attachments, job->id, job->type, job->code, why,
                              job->type == ATTACHMENT_LINK_CREATE ? &job->host_mac : NULL, now);
    }
    job_destroy(job);
}

void
dataplane_link_effect_(struct dataplane *dp, const struct attachment_effect *effect, int netns_fd)
{
    const struct attachment *a = effect->attachment;

    if (effect->type == ATTACHMENT_LINK_TRASH) {
        put_in_trash(dp, a->id, a->host_name);
    } else if (effect->type != ATTACHMENT_LINK_DELETE || take_from_trash(dp, a->id)) {
        workers_submit(dp->workers, job_work, job_done, job_create(dp, effect, netns_fd));
    }
}

/* Trash. --------------------------------------------------------------------------------------------------------- */

struct empty_job {
    struct dataplane *dp;
    int code;
    struct error error;
};

/* The main loop leaves the list 'emptying' as it is until this is done.  Groups pay only for several; a name that is
 * gone already costs next to nothing. */
static void
empty_work(void *job_)
{
    struct empty_job *job = job_;
    const struct ovs_list *list = &job->dp->emptying;
    struct trash *trash;

    job->code = fault_point("link-trash");
    if (!job->code && ovs_list_is_singleton(list)) {
        trash = CONTAINER_OF(ovs_list_front(list), struct trash, node);
        job->code = pod_link_delete(trash->host_name, &job->error);
        return;
    }
    LIST_FOR_EACH (trash, node, list) {
        job->code = job->code ? job->code : pod_link_trash(trash->host_name, &job->error);
    }
    job->code = job->code ? job->code : pod_link_empty_trash(&job->error);
}

static void
empty_done(void *job_)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    struct empty_job *job = job_;
    struct dataplane *dp = job->dp;
    struct ovs_list done = OVS_LIST_INITIALIZER(&done);
    struct trash *trash;

    ovs_list_push_back_all(&done, &dp->emptying);
    LIST_FOR_EACH_POP (trash, node, &done) {
        if (job->code) {
            put_in_trash(dp, trash->id, trash->host_name);
        } else {
            attachments_link_gone(dp->attachments, trash->id, time_wall_msec());
        }
        free(trash);
    }
    if (job->code) {
        VLOG_WARN_RL(&rl, "links of pods that are gone stay: %s",
                     job->error.code ? error_message(&job->error) : ovs_strerror(job->code));
    }
    error_clear(&job->error);
    free(job);
}

void
dataplane_link_run_(struct dataplane *dp)
{
    workers_run(dp->workers);
    if (ovs_list_is_empty(&dp->emptying) && dp->n_trash && (time_msec() >= dp->empty_at || dp->n_trash >= TRASH_MAX)) {
        struct empty_job *job = xzalloc(sizeof *job);
        job->dp = dp;
        ovs_list_push_back_all(&dp->emptying, &dp->trash);
        dp->n_trash = 0;
        workers_submit(dp->workers, empty_work, empty_done, job);
    }
}

void
dataplane_link_wait_(struct dataplane *dp)
{
    workers_wait(dp->workers);
    if (ovs_list_is_empty(&dp->emptying) && dp->n_trash) {
        poll_timer_wait_until(dp->empty_at);
    }
}

/* At start-up. --------------------------------------------------------------------------------------------------- */

static void
note_link(const char *host_name, void *orphans)
{
    sset_add(orphans, host_name);
}

static void
keep_link(const struct attachment *a, void *orphans)
{
    sset_find_and_delete(orphans, a->host_name);
}

/* Links that no attachment knows: a daemon died between making or trashing them and writing that down. */
int
dataplane_clear_links_(struct dataplane *dp, struct error *error)
{
    struct sset orphans = SSET_INITIALIZER(&orphans);
    int code = pod_link_for_each(note_link, &orphans, error);
    const char *name;

    attachments_for_each(dp->attachments, keep_link, &orphans);
    SSET_FOR_EACH (name, &orphans) {
        VLOG_INFO("%s belongs to no pod: removed", name);
        code = code ? code : pod_link_trash(name, error);
    }
    sset_destroy(&orphans);
    return code ? code : pod_link_empty_trash(error);
}
