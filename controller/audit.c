#include <config.h>

#include "controller/audit.h"

#include <string.h>

#include "controller/dataplane-private.h"
#include "controller/pod-link.h"
#include "controller/status.h"
#include "openvswitch/vlog.h"
#include "spool.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(audit);

struct audit {
    const struct dataplane *dp;
    json_t *findings;
    struct shash known;                 /* Host names of attachments that are up; data: the attachment. */
    struct sset ports, links;           /* Seen in OVSDB and on the host. */
    struct sset addresses;              /* That attachments hold. */

    /* What audit_repair() mends. */
    struct ipam_lease *leaked;          /* In use, but of no attachment; one address each. */
    size_t n_leaked, allocated_leaked;
    struct sset linkless;               /* Host names of attachments whose link is gone. */
};

static void OVS_PRINTF_FORMAT(2, 3)
find(struct audit *audit, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = xvasprintf(format, args);
    va_end(args);
    json_array_append_new(audit->findings, json_string(text));
    free(text);
}

static void
audit_port(const struct ovsdb_port *port, void *audit_)
{
    struct audit *audit = audit_;
    const struct attachment *a = shash_find_data(&audit->known, port->name);

    sset_add(&audit->ports, port->name);
    if (!a) {
        find(audit, "OVSDB: port %s (container %s) belongs to no attachment", port->name,
             port->container_id ? port->container_id : "unknown");
    } else if (port->container_id && strcmp(port->container_id, a->container_id)) {
        find(audit, "OVSDB: port %s says container %s, the journal %s", port->name, port->container_id, a->container_id);
    }
}

static void
audit_link(const char *name, void *audit_)
{
    struct audit *audit = audit_;
    sset_add(&audit->links, name);
    if (!shash_find(&audit->known, name)) {
        find(audit, "host: interface %s belongs to no attachment", name);
    }
}

static void
audit_known(const struct attachment *a, void *audit_)
{
    struct audit *audit = audit_;
    if (a->ofport) {
        shash_add_once(&audit->known, a->host_name, a);
    }
    for (size_t i = 0; i < a->n_ips; i++) {
        char s[INET_ADDR_STRLEN];
        sset_add(&audit->addresses, inet_addr_format(&a->ips[i].prefix.addr, s));
    }
}

static void
audit_source(struct audit *audit, const struct attachment *a)
{
    const struct kube_object *object = a->pod_name ? store_get(audit->dp->store, KUBE_POD, a->pod_namespace, a->pod_name)
                                                   : NULL;
    const struct kube_pod *pod = object ? kube_pod_cast(object) : NULL;

    for (size_t i = 0; pod && !pod->finished && i < pod->n_addrs; i++) {
        bool ours = false;
        for (size_t j = 0; j < a->n_ips; j++) {
            ours = ours || !memcmp(&a->ips[j].prefix.addr, &pod->addrs[i], sizeof pod->addrs[i]);
        }
        if (!ours) {
            char s[INET_ADDR_STRLEN];
            find(audit, "source: pod %s/%s has %s in its status, which %s has not", object->namespace_, object->name,
                 inet_addr_format(&pod->addrs[i], s), a->ifname);
        }
    }
}

static void
audit_attachment(const struct attachment *a, void *audit_)
{
    struct audit *audit = audit_;
    if (a->state != ATTACHMENT_UP) {
        return;
    }
    if (!sset_contains(&audit->ports, a->host_name)) {
        find(audit, "OVSDB: port %s of container %s is missing", a->host_name, a->container_id);
    }
    if (!sset_contains(&audit->links, a->host_name)) {
        find(audit, "host: interface %s of container %s is missing: was its namespace deleted without a CNI DEL?", a->host_name,
             a->container_id);
        sset_add(&audit->linkless, a->host_name);
    }
    for (size_t i = 0; i < a->n_ips; i++) {
        uint64_t generation = 0;
        enum ipam_address_state state = ipam_lookup(audit->dp->ipam, &a->ips[i].prefix.addr, &generation);
        if (a->ips[i].generation && (generation != a->ips[i].generation || (state != IPAM_USED && state != IPAM_FOREIGN))) {
            find(audit, "IPAM: an address of container %s is not held by it", a->container_id);
        }
    }
    audit_source(audit, a);
}

static void
audit_address(const struct ipam_address *address, enum ipam_address_state state, long long int since OVS_UNUSED, void *audit_)
{
    struct audit *audit = audit_;
    char s[INET_ADDR_STRLEN];

    if (state == IPAM_USED && !sset_contains(&audit->addresses, inet_addr_format(&address->addr, s))) {
        find(audit, "IPAM: %s is in use by no attachment", s);
        if (audit->n_leaked >= audit->allocated_leaked) {
            audit->leaked = x2nrealloc(audit->leaked, &audit->allocated_leaked, sizeof *audit->leaked);
        }
        audit->leaked[audit->n_leaked++] = (struct ipam_lease) { .addrs = { *address }, .n = 1 };
    }
}

static void
audit_run(struct audit *audit, const struct dataplane *dp)
{
    ERROR_AUTO struct error error = ERROR_INIT;

    *audit = (struct audit) { .dp = dp, .findings = json_array() };
    shash_init(&audit->known);
    sset_init(&audit->ports);
    sset_init(&audit->links);
    sset_init(&audit->addresses);
    sset_init(&audit->linkless);
    attachments_for_each(dp->attachments, audit_known, audit);
    ovsdb_for_each_port(dp->ovsdb, audit_port, audit);
    if (pod_link_for_each(audit_link, audit, &error)) {
        find(audit, "host: %s", error_message(&error));
    }
    attachments_for_each(dp->attachments, audit_attachment, audit);
    ipam_for_each(dp->ipam, audit_address, audit);
}

static void
audit_destroy(struct audit *audit)
{
    json_decref(audit->findings);
    shash_destroy(&audit->known);
    sset_destroy(&audit->ports);
    sset_destroy(&audit->links);
    sset_destroy(&audit->addresses);
    sset_destroy(&audit->linkless);
    free(audit->leaked);
}

static json_t *
audit_report(const struct audit *audit)
{
    return json_pack("{s:b, s:O, s:o}", "ok", !json_array_size(audit->findings), "findings", audit->findings, "pools",
                     status_ipam(audit->dp));
}

json_t *
audit_check(const struct dataplane *dp)
{
    struct audit audit;

    audit_run(&audit, dp);
    json_t *report = audit_report(&audit);
    audit_destroy(&audit);
    return report;
}

/* The DEL that the runtime never sent, by the way that all DELs of an absent plugin take. */
static int
spool_del(const struct dataplane *dp, const struct attachment *a, struct error *error)
{
    const struct cni_request request = {
        .verb = CNI_DEL, .network = a->network, .container_id = a->container_id, .ifname = a->ifname,
        .netns = CONST_CAST(char *, ""),
    };
    VLOG_INFO("container %s has no interface any more: released", a->container_id);
    return spool_put(dp->spool_dir, &request, NULL, error);
}

int
audit_repair(struct dataplane *dp, json_t **report, struct error *error)
{
    struct audit audit;
    const char *name;
    int retval;

    audit_run(&audit, dp);
    retval = dataplane_clear_links_(dp, error);
    SSET_FOR_EACH (name, &audit.linkless) {
        retval = retval ? retval : spool_del(dp, shash_find_data(&audit.known, name), error);
    }
    for (size_t i = 0; i < audit.n_leaked; i++) {
        ipam_release(dp->ipam, &audit.leaked[i].addrs[0], time_wall_msec());
        ipam_acknowledge(dp->ipam, &audit.leaked[i].addrs[0]);
    }
    *report = audit_report(&audit);
    audit_destroy(&audit);
    return retval;
}
