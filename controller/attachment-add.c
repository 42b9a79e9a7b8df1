#include <config.h>

#include "attachment-private.h"

#include <errno.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

/* CNI ADD, up to the point where its work begins: what it asks for, and what it gets. */

static int parse_wishes(struct attachment *, const struct cni_request *, struct error *);

/* True if the ADD was refused. */
static bool
refuse_add(struct attachments *t, uint64_t request, const struct cni_request *rq, long long int started)
{
    const struct attachment *old = attachment_find_(t, rq->network, rq->container_id, rq->ifname);
    const struct tombstone *ts = tombstone_find_(t, rq->network, rq->container_id, rq->ifname);
    if (old && old->state == ATTACHMENT_REMOVING) {
        attachment_replyf_(t, request, CNI_E_AGAIN, "%s of container %s is still being removed", rq->ifname,
                           rq->container_id);
    } else if (old) {
        attachment_replyf_(t, request, CNI_E_EXISTS, "%s of container %s is attached to network %s already", rq->ifname,
              rq->container_id, rq->network);
    } else if (ts && started < ts->time) {
        attachment_replyf_(t, request, CNI_E_FAILED, "%s of container %s was deleted after this ADD was started",
                           rq->ifname,
              rq->container_id);
    } else if (hmap_count(&t->by_id) >= ATTACHMENT_MAX) {
        attachment_replyf_(t, request, CNI_E_AGAIN, "this node has %d attachments, no more are possible",
                           ATTACHMENT_MAX);
    } else {
        return false;
    }
    return true;
}

void
attachments_add(struct attachments *t, uint64_t request, const struct cni_request *rq, struct netns_id netns_id,
                long long int started, long long int now)
{
    if (refuse_add(t, request, rq, started)) {
        return;
    }
    ERROR_AUTO struct error error = ERROR_INIT;
    struct attachment *a = attachment_create_(t, rq->network, rq->container_id, rq->ifname);
    if (parse_wishes(a, rq, &error)) {
        attachment_reply_(t, request, CNI_E_CONFIG, error_message(&error));
        attachment_unref_(a);
        return;
    }
    enum cni_code code;
    char *taken = attachment_ports_taken_(a, &code);
    if (taken) {
        attachment_reply_(t, request, code, taken);
        free(taken);
        attachment_unref_(a);
        return;
    }
    a->netns = xstrdup(rq->netns ? rq->netns : "");
    a->pod_namespace = nullable_xstrdup(rq->pod_namespace);
    a->pod_name = nullable_xstrdup(rq->pod_name);
    a->pod_uid = nullable_xstrdup(rq->pod_uid);
    a->netns_id = netns_id;
    a->created = now;
    a->deadline = now + ATTACHMENT_ADD_TIMEOUT_MS;
    a->add_request = request;
    attachment_insert_(a, ATTACHMENT_WAITING);
    if (t->declares_pods && a->pod_name) {
        attachment_await_(a);
    }
    attachment_admit_(a, now);
}

static int
parse_ips(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->ips = xcalloc(rq->n_d_ips, sizeof *a->ips);
    for (size_t i = 0; i < rq->n_d_ips; i++) {
        struct attachment_ip *ip = &a->ips[a->n_ips++];
        int code = inet_prefix_parse(rq->d_ips[i].address, &ip->prefix, error);
        if (!code && rq->d_ips[i].gateway) {
            ip->has_gateway = true;
            code = inet_addr_parse(rq->d_ips[i].gateway, &ip->gateway, error);
        }
        if (code) {
            return error_wrap(error, "address of the delegated IPAM");
        }
    }
    return a->n_ips ? 0 : error_set(error, EINVAL, "the delegated IPAM plugin gave no address");
}

static int
parse_routes(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->routes = xcalloc(rq->n_d_routes, sizeof *a->routes);
    for (size_t i = 0; i < rq->n_d_routes; i++) {
        const struct cni_route *src = &rq->d_routes[i];
        struct pod_link_route *dst = &a->routes[a->n_routes++];
        int code = inet_prefix_parse(src->dst, &dst->dst, error);
        if (!code && src->gw) {
            dst->has_gw = true;
            code = inet_addr_parse(src->gw, &dst->gw, error);
        }
        if (code) {
            return error_wrap(error, "route of the delegated IPAM");
        }
        dst->mtu = src->mtu;
        dst->advmss = src->advmss;
        dst->priority = src->priority;
        dst->table = src->table;
        dst->scope = src->scope;
    }
    return 0;
}

/* A wish may be "ADDRESS" or "ADDRESS/LENGTH"; the length is not ours to give. */
static int
parse_fixed(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->wishes = xcalloc(rq->n_ips, sizeof *a->wishes);
    for (size_t i = 0; i < rq->n_ips; i++) {
        struct inet_prefix prefix;
        int code = strchr(rq->ips[i], '/') ? inet_prefix_parse(rq->ips[i], &prefix, error)
                                           : inet_addr_parse(rq->ips[i], &prefix.addr, error);
        if (code) {
            return error_wrap(error, "\"ips\"");
        }
        a->wishes[a->n_wishes++] = prefix.addr;
    }
    return 0;
}

static int
parse_wishes(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    if (rq->mac) {
        if (!eth_addr_from_string(rq->mac, &a->mac) || eth_addr_is_multicast(a->mac) || eth_addr_is_zero(a->mac)) {
            return error_set(error, EINVAL, "\"mac\": %s is not the MAC of an interface", rq->mac);
        }
        a->mac_wished = true;
    }
    if (rq->mtu < 0 || rq->mtu > UINT16_MAX) {
        return error_set(error, EINVAL, "\"mtu\": %d is out of range", rq->mtu);
    }
    a->mtu_wish = rq->mtu;
    a->delegated = rq->delegated;
    int code = attachment_parse_ports_(a, rq, error);
    if (code || !rq->delegated) {
        return code ? code : parse_fixed(a, rq, error);
    }
    code = parse_ips(a, rq, error);
    return code ? code : parse_routes(a, rq, error);
}

/* Refuses an ADD that has done nothing yet. */
void
attachment_reject_(struct attachment *a, enum cni_code code, const char *message)
{
    attachment_reply_(a->table, a->add_request, code, message);
    attachment_forget_(a);
}

static int
check_delegated(const struct attachment *a, struct error *error)
{
    const struct attachment *other;
    HMAP_FOR_EACH (other, id_node, &a->table->by_id) {
        if (other == a || other->replied) {     /* Its DEL is done: the IPAM plugin may give its address to another. */
            continue;
        }
        for (size_t i = 0; i < other->n_ips; i++) {
            for (size_t j = 0; j < a->n_ips; j++) {
                if (ipv6_addr_equals(&other->ips[i].prefix.addr, &a->ips[j].prefix.addr)) {
                    char s[INET_ADDR_STRLEN];
                    return error_set(error, EBUSY, "the delegated IPAM plugin gave %s, which %s of container %s has",
                                     inet_addr_format(&a->ips[j].prefix.addr, s), other->ifname, other->container_id);
                }
            }
        }
    }
    return 0;
}

/* Gets its addresses from IPAM.  EAGAIN: there is no pool yet. */
static int
take_addresses(struct attachment *a, long long int now, struct error *error)
{
    struct attachments *t = a->table;
    if (a->delegated) {
        return check_delegated(a, error);
    }
    struct ipam_lease lease;
    int code = ipam_allocate(t->ipam, a->wishes, a->n_wishes, now, &lease, error);
    if (code) {
        return code;
    }
    a->held = true;
    a->ips = xcalloc(lease.n, sizeof *a->ips);
    a->n_ips = lease.n;
    for (size_t i = 0; i < lease.n; i++) {
        struct attachment_ip *ip = &a->ips[i];
        ip->prefix = inet_prefix_host(&lease.addrs[i].addr);
        ip->generation = lease.addrs[i].generation;
        for (size_t j = 0; j < t->n_pools; j++) {
            if (inet_prefix_contains(&t->pools[j], &ip->prefix.addr)) {
                ip->has_gateway = true;
                ipam_gateway(&t->pools[j], &ip->gateway);
            }
        }
    }
    return 0;
}

/* The next number behind the one that was given last, so that each is given again as late as possible.  0: none. */
static ofp_port_t
choose_ofport(const struct attachments *t)
{
    uint32_t n = OFPORT_LAST_POD - OFPORT_FIRST_POD + 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t port = OFPORT_FIRST_POD + (t->next_ofport - OFPORT_FIRST_POD + i) % n;
        if (!bitmap_is_set(t->ofports, port)) {
            return u16_to_ofp(port);
        }
    }
    return 0;
}

static void
choose_names(struct attachment *a)
{
    struct ds key = DS_EMPTY_INITIALIZER;
    ds_put_format(&key, "%s/%s/%s", a->network, a->container_id, a->ifname);
    for (uint32_t basis = 0;; basis++) {
        ovs_u128 hash;
        hash_bytes128(key.string, key.length, basis, &hash);
        snprintf(a->host_name, sizeof a->host_name, POD_LINK_PREFIX"%012llx",
                 (unsigned long long int) (hash.u64.lo & 0xffffffffffff));
        if (!a->mac_wished) {
            eth_addr_from_uint64(hash.u64.hi & 0xffffffffffff, &a->mac);
            a->mac.ea[0] = (a->mac.ea[0] & 0xfc) | 2;       /* Locally administered, unicast. */
        }
        if (!shash_find(&a->table->host_names, a->host_name)) {
            break;
        }
    }
    ds_destroy(&key);
}

/* "Pod/NAMESPACE/NAME/IFNAME"; with the container behind it while another attachment of the same pod has that name. */
static void
choose_owner(struct attachment *a)
{
    a->owner = a->pod_name ? xasprintf("Pod/%s/%s/%s", a->pod_namespace ? a->pod_namespace : "", a->pod_name, a->ifname)
                           : xasprintf("Pod//%s/%s", a->container_id, a->ifname);
    if (shash_find(&a->table->owners, a->owner)) {
        char *longer = xasprintf("%s/%s/%s/%d", a->owner, a->network, a->container_id, ofp_to_u16(a->ofport));
        free(a->owner);
        a->owner = longer;
    }
}

/* Starts the work of an ADD, or lets it wait until the node is ready. */
void
attachment_admit_(struct attachment *a, long long int now)
{
    struct attachments *t = a->table;
    if (t->why_not || !t->mtu) {
        return;
    }
    ERROR_AUTO struct error error = ERROR_INIT;
    if (a->mtu_wish > t->mtu) {
        error_set(&error, EINVAL, "\"mtu\": %u is more than the %u bytes that this node can carry", a->mtu_wish,
                  t->mtu);
        attachment_reject_(a, CNI_E_CONFIG, error_message(&error));
        return;
    }
    a->ofport = choose_ofport(t);
    if (!a->ofport) {
        attachment_reject_(a, CNI_E_AGAIN, "no OpenFlow port number is free");
        return;
    }
    int code = take_addresses(a, now, &error);
    if (code) {
        a->ofport = 0;
        if (code != EAGAIN) {
            attachment_reject_(a, code == ENOSPC ? CNI_E_AGAIN : code == EINVAL ? CNI_E_CONFIG : CNI_E_FAILED,
                               error_message(&error));
        }
        return;
    }
    a->mtu = a->mtu_wish ? a->mtu_wish : t->mtu;
    choose_names(a);
    choose_owner(a);
    attachment_take_numbers_(a);
    a->known_deadline = now + ATTACHMENT_KNOWN_TIMEOUT_MS;
    attachment_set_state_(a, ATTACHMENT_ADDING);
    attachment_record_(a, RECORD_ADD, now);
}
