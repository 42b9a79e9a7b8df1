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

/* Links that wait in the trash group are deleted together, a little later: the kernel's wait for RCU, which it does under the
 * lock of rtnetlink, is then paid once, and not by an ADD that comes right behind a DEL. */
#define TRASH_DELAY_MS 300
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
    return job;
}

/* In a worker thread. -------------------------------------------------------------------------------------------- */

static void
job_work(void *job_)
{
    struct link_job *job = job_;

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
    case ATTACHMENT_LINK_TRASH:
        job->code = fault_point("link-trash");
        job->code = job->code ? job->code : pod_link_trash(job->host_name, &job->error);
        break;
    case ATTACHMENT_CHECK:
        job->code = pod_link_check(&job->link, &job->error);
        break;
    case ATTACHMENT_JOURNAL: case ATTACHMENT_PORT_SET: case ATTACHMENT_PORT_REMOVE: case ATTACHMENT_FLOWS_SET:
    case ATTACHMENT_FLOWS_REMOVE: case ATTACHMENT_REPLY:
        OVS_NOT_REACHED();
    }
    if (job->code && !job->error.code) {
        error_set_errno(&job->error, job->code, "%s", job->host_name);
    }
}

/* In the main loop. ---------------------------------------------------------------------------------------------- */

static void
put_in_trash(struct dataplane *dp, const struct link_job *job)
{
    struct trash *trash = xzalloc(sizeof *trash);
    trash->id = job->id;
    trash->again = job->code || job->type != ATTACHMENT_LINK_TRASH;
    ovs_strlcpy(trash->host_name, job->host_name, sizeof trash->host_name);
    ovs_list_push_back(&dp->trash, &trash->node);
    dp->n_trash++;
    if (dp->empty_at == LLONG_MAX) {
        dp->empty_at = time_msec() + TRASH_DELAY_MS;
    }
}

static void
job_done(void *job_)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);
    struct link_job *job = job_;
    struct dataplane *dp = job->dp;
    const char *why = job->code ? error_message(&job->error) : NULL;
    long long int now = time_wall_msec();

    if (job->type == ATTACHMENT_CHECK) {
        attachments_checked(dp->attachments, job->request, why ? CNI_E_BROKEN : CNI_OK, why);
    } else if (job->type == ATTACHMENT_LINK_DELETE && !why) {
        attachments_link_gone(dp->attachments, job->id, now);
    } else if (job->type == ATTACHMENT_LINK_DELETE || job->type == ATTACHMENT_LINK_TRASH) {
        if (why) {
            VLOG_WARN_RL(&rl, "%s: %s", job->host_name, why);
        }
        put_in_trash(dp, job);          /* Emptying it tries again. */
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
    workers_submit(dp->workers, job_work, job_done, job_create(dp, effect, netns_fd));
}

/* Trash. --------------------------------------------------------------------------------------------------------- */

struct empty_job {
    struct dataplane *dp;
    struct ovs_list trash;
    int code;
    struct error error;
};

static void
empty_work(void *job_)
{
    struct empty_job *job = job_;
    struct trash *trash;

    LIST_FOR_EACH (trash, node, &job->trash) {
        int code = trash->again ? pod_link_trash(trash->host_name, NULL) : 0;
        job->code = job->code ? job->code : code;
    }
    int code = pod_link_empty_trash(&job->error);
    job->code = code ? code : job->code;
}

static void
empty_done(void *job_)
{
    struct empty_job *job = job_;
    struct dataplane *dp = job->dp;
    struct trash *trash;

    dp->emptying = false;
    if (job->code) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
        VLOG_WARN_RL(&rl, "links of pods that are gone stay: %s", error_message(&job->error));
        dp->n_trash += ovs_list_size(&job->trash);
        LIST_FOR_EACH (trash, node, &job->trash) {
            trash->again = true;
        }
        ovs_list_push_back_all(&dp->trash, &job->trash);
        dp->empty_at = time_msec() + 10 * TRASH_DELAY_MS;
    }
    LIST_FOR_EACH_POP (trash, node, &job->trash) {
        attachments_link_gone(dp->attachments, trash->id, time_wall_msec());
        free(trash);
    }
    error_clear(&job->error);
    free(job);
}

void
dataplane_link_run_(struct dataplane *dp)
{
    workers_run(dp->workers);
    if (!dp->emptying && dp->n_trash && (time_msec() >= dp->empty_at || dp->n_trash >= TRASH_MAX)) {
        struct empty_job *job = xzalloc(sizeof *job);
        job->dp = dp;
        ovs_list_init(&job->trash);
        ovs_list_push_back_all(&job->trash, &dp->trash);
        dp->n_trash = 0;
        dp->empty_at = LLONG_MAX;
        dp->emptying = true;
        workers_submit(dp->workers, empty_work, empty_done, job);
    }
}

void
dataplane_link_wait_(struct dataplane *dp)
{
    workers_wait(dp->workers);
    if (!dp->emptying && dp->n_trash) {
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
