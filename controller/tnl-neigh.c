#include <config.h>

#include "tnl-neigh.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>

#include "hash.h"
#include "neigh-kernel.h"
#include "netlink-socket.h"
#include "openvswitch/hmap.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ctl.h"

/* ovs-vswitchd forgets a neighbour that nobody used for 15 minutes (its default), or the time set with
 * tnl/neigh/aging. */
#define REFRESH_MS (10 * 60 * 1000)
/* The kernel gives up after some seconds; a next hop that was silent is asked for again after this time. */
#define RETRY_MS (30 * 1000)
/* ovs-vswitchd refused: it has just started and does not know the command yet.  Told again after this time, and
 * doubled. */
#define RETELL_MIN_MS 20
#define RETELL_MAX_MS 5000

/* Up to so many next hops are asked for one by one, more in a dump of all neighbours. */
#define MAX_SINGLE 16

struct hop {
    struct hmap_node node;              /* In 'hops', by 'addr'. */
    struct in6_addr addr;
    size_t n_users;                     /* Destinations. */
    bool has_mac;
    struct eth_addr mac;
    bool told, confirmed;               /* ovs-vswitchd knows 'mac'; the kernel confirmed it since the refresh. */
    bool failed;
    bool silent;                        /* It did not answer when it was asked last; also while it is asked again. */
};

struct destination {
    struct hmap_node node;              /* In 'destinations', by 'addr'. */
    struct ovs_list fresh;              /* In 'fresh' until its next hop has been looked for, or empty. */
    struct in6_addr addr;
    struct hop *hop;                    /* NULL: no route by the bridge. */
    bool told;                          /* ovs-vswitchd knows the route. */
};

struct tnl_neigh {
    char *bridge;                       /* NULL: nothing to do. */
    int ifindex;
    struct hmap destinations, hops;
    struct ovs_list fresh;

    struct nl_sock *sock;               /* NULL: see 'problem'. */
    struct vswitchd_ctl *ctl;
    unsigned int epoch;                 /* Of the connection that was told. */
    size_t n_errors;                    /* Of the connection, when they were looked at. */
    long long int retell_at;            /* LLONG_MAX: never. */
    int retell_delay;
    bool resync;                        /* Destinations, routes or links have changed. */
    long long int refresh_at, retry_at; /* LLONG_MAX: never. */
    char *problem;
};

static void resync(struct tnl_neigh *);
static void sync_fresh(struct tnl_neigh *);
static void hop_release(struct tnl_neigh *, struct hop *);
static void receive(struct tnl_neigh *);
static void run_ctl(struct tnl_neigh *);
static void run_timers(struct tnl_neigh *);
static void tell(struct tnl_neigh *, struct hop *);
static void tell_route(struct tnl_neigh *, struct destination *);
static void untell_route(struct tnl_neigh *, struct destination *);
static void tell_all(struct tnl_neigh *);

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct tnl_neigh *
tnl_neigh_create(const char *ovs_rundir)
{
    struct tnl_neigh *tn = xzalloc(sizeof *tn);
    ERROR_AUTO struct error error = ERROR_INIT;

    hmap_init(&tn->destinations);
    hmap_init(&tn->hops);
    ovs_list_init(&tn->fresh);
    tn->ctl = vswitchd_ctl_create(ovs_rundir);
    tn->refresh_at = tn->retry_at = tn->retell_at = LLONG_MAX;
    if (neigh_listen(&tn->sock, &error)) {
        tn->problem = xstrdup(error_message(&error));
    }
    return tn;
}

void
tnl_neigh_destroy(struct tnl_neigh *tn)
{
    if (tn) {
        struct hop *hop;
        HMAP_FOR_EACH_POP (hop, node, &tn->hops) {
            free(hop);
        }
        hmap_destroy(&tn->hops);
        struct destination *destination;
        HMAP_FOR_EACH_POP (destination, node, &tn->destinations) {
            free(destination);
        }
        hmap_destroy(&tn->destinations);
        nl_sock_destroy(tn->sock);
        vswitchd_ctl_destroy(tn->ctl);
        free(tn->bridge);
        free(tn->problem);
        free(tn);
    }
}

void
tnl_neigh_set_bridge(struct tnl_neigh *tn, const char *bridge)
{
    if (!nullable_string_is_equal(bridge, tn->bridge)) {
        free(tn->bridge);
        tn->bridge = nullable_xstrdup(bridge);
        tn->resync = true;
    }
}

static struct destination *
destination_find(const struct tnl_neigh *tn, const struct in6_addr *addr)
{
    struct destination *destination;
    HMAP_FOR_EACH_WITH_HASH (destination, node, hash_bytes(addr, sizeof *addr, 0), &tn->destinations) {
        if (ipv6_addr_equals(&destination->addr, addr)) {
            return destination;
        }
    }
    return NULL;
}

void
tnl_neigh_add(struct tnl_neigh *tn, const struct in6_addr *addr)
{
    if (!destination_find(tn, addr)) {
        struct destination *destination = xzalloc(sizeof *destination);
        tn->resync |= hmap_is_empty(&tn->destinations);         /* Nobody listened. */
        destination->addr = *addr;
        hmap_insert(&tn->destinations, &destination->node, hash_bytes(addr, sizeof *addr, 0));
        ovs_list_push_back(&tn->fresh, &destination->fresh);
    }
}

void
tnl_neigh_remove(struct tnl_neigh *tn, const struct in6_addr *addr)
{
    struct destination *destination = destination_find(tn, addr);
    if (destination) {
        hop_release(tn, destination->hop);
        hmap_remove(&tn->destinations, &destination->node);
        ovs_list_remove(&destination->fresh);
        free(destination);
    }
}

void
tnl_neigh_run(struct tnl_neigh *tn)
{
    if (!tn->sock) {
        return;
    }
    receive(tn);
    if (tn->resync) {
        resync(tn);
    } else if (!ovs_list_is_empty(&tn->fresh)) {
        sync_fresh(tn);
    }
    if (!tn->bridge) {
        return;
    }
    run_ctl(tn);
    run_timers(tn);
}

void
tnl_neigh_wait(struct tnl_neigh *tn)
{
    if (!tn->sock) {
        return;
    }
    if (tn->bridge && !hmap_is_empty(&tn->destinations)) {      /* Else neighbours are none of our business. */
        nl_sock_wait(tn->sock, POLLIN);
    }
    if (tn->resync || !ovs_list_is_empty(&tn->fresh)) {
        poll_immediate_wake();
    }
    if (tn->bridge) {
        vswitchd_ctl_wait(tn->ctl);
        long long int next = MIN(MIN(tn->refresh_at, tn->retry_at), tn->retell_at);
        if (next != LLONG_MAX) {
            poll_timer_wait_until(next);
        }
    }
}

/* Next hops. ----------------------------------------------------------------------------------------------------- */

static struct hop *
hop_find(const struct tnl_neigh *tn, const struct in6_addr *addr)
{
    struct hop *hop;
    HMAP_FOR_EACH_WITH_HASH (hop, node, hash_bytes(addr, sizeof *addr, 0), &tn->hops) {
        if (ipv6_addr_equals(&hop->addr, addr)) {
            return hop;
        }
    }
    return NULL;
}

static void
hop_use(struct tnl_neigh *tn, struct hop *hop)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    hop->confirmed = false;
    hop->failed = neigh_use(tn->ifindex, &hop->addr, &error);
    if (hop->failed) {
        hop->silent = true;
        tn->retry_at = MIN(tn->retry_at, time_msec() + RETRY_MS);
    }
}

static struct hop *
hop_get(struct tnl_neigh *tn, const struct in6_addr *addr)
{
    struct hop *hop = hop_find(tn, addr);
    if (!hop) {
        hop = xzalloc(sizeof *hop);
        hop->addr = *addr;
        hmap_insert(&tn->hops, &hop->node, hash_bytes(addr, sizeof *addr, 0));
        hop_use(tn, hop);
    }
    hop->n_users++;
    return hop;
}

static void
hop_release(struct tnl_neigh *tn, struct hop *hop)
{
    if (hop && !--hop->n_users) {
        hmap_remove(&tn->hops, &hop->node);
        free(hop);
    }
}

/* What the kernel knows about a neighbour. */
static void
hop_update(const struct neigh_event *event, void *tn_)
{
    struct tnl_neigh *tn = tn_;
    struct hop *hop = event->ifindex == tn->ifindex ? hop_find(tn, &event->addr) : NULL;

    if (hop && event->has_mac) {
        bool moved = !hop->has_mac || !eth_addr_equals(hop->mac, event->mac);
        bool news = moved || !hop->told || (event->reachable && !hop->confirmed);
        hop->has_mac = true;
        hop->mac = event->mac;
        hop->confirmed |= event->reachable;
        hop->failed = hop->silent = false;
        if (news) {
            tell(tn, hop);
        }
    } else if (hop && event->failed) {
        hop->failed = hop->silent = true;
        tn->retry_at = MIN(tn->retry_at, time_msec() + RETRY_MS);
    }
}

/* Finds the next hop of a destination, and asks for it if it is new. */
static void
find_hop(struct tnl_neigh *tn, struct destination *destination)
{
    struct hop *old = destination->hop;
    struct in6_addr addr;
    int oif;
    bool ours = tn->ifindex && !neigh_route(&destination->addr, &oif, &addr, NULL) && oif == tn->ifindex;

    destination->hop = ours ? hop_get(tn, &addr) : NULL;
    hop_release(tn, old);
    ovs_list_remove(&destination->fresh);
    ovs_list_init(&destination->fresh);
    if (destination->hop) {
        tell_route(tn, destination);    /* Again, too: it takes the bridge's present address for the source. */
    } else {
        untell_route(tn, destination);
    }
}

static void
plan_refresh(struct tnl_neigh *tn)
{
    tn->refresh_at = hmap_is_empty(&tn->hops) ? LLONG_MAX : MIN(tn->refresh_at, time_msec() + REFRESH_MS);
}

/* Finds all next hops anew. */
static void
resync(struct tnl_neigh *tn)
{
    int ifindex = tn->bridge ? if_nametoindex(tn->bridge) : 0;
    bool new_link = ifindex != tn->ifindex;
    struct destination *destination;
    struct hop *hop;

    tn->resync = false;
    tn->ifindex = ifindex;
    HMAP_FOR_EACH (hop, node, &tn->hops) {
        hop->has_mac &= !new_link;
    }
    HMAP_FOR_EACH (destination, node, &tn->destinations) {
        find_hop(tn, destination);
    }
    HMAP_FOR_EACH (hop, node, &tn->hops) {
        if (new_link) {
            hop->told = false;
            hop_use(tn, hop);
        }
    }
    plan_refresh(tn);
    neigh_dump(hop_update, tn);
}

/* The same for those that are new. */
static void
sync_fresh(struct tnl_neigh *tn)
{
    size_t n = 0;

    while (!ovs_list_is_empty(&tn->fresh)) {
        struct destination *destination = CONTAINER_OF(ovs_list_front(&tn->fresh), struct destination, fresh);
        find_hop(tn, destination);
        if (destination->hop && ++n <= MAX_SINGLE) {
            neigh_get(tn->ifindex, &destination->hop->addr, hop_update, tn);
        }
    }
    plan_refresh(tn);
    if (n > MAX_SINGLE) {
        neigh_dump(hop_update, tn);
    }
}

static void
receive(struct tnl_neigh *tn)
{
    uint64_t stub[4096 / 8];
    struct ofpbuf msg;
    int error;

    ofpbuf_use_stub(&msg, stub, sizeof stub);
    while (!(error = nl_sock_recv(tn->sock, &msg, NULL, false)) || error == ENOBUFS) {
        struct neigh_event event = { .type = NEIGH_EVENT_ROUTES };
        if (!error) {
            neigh_parse(&msg, &event);
        }
        if (event.type == NEIGH_EVENT_NEIGH) {
            hop_update(&event, tn);
        } else if (event.type == NEIGH_EVENT_ROUTES && tn->bridge
                   && (!event.ifindex || !tn->ifindex || event.ifindex == tn->ifindex)) {
            tn->resync = true;
        }
    }
    ofpbuf_uninit(&msg);
}

static void
run_timers(struct tnl_neigh *tn)
{
    long long int now = time_msec();
    bool refresh = now >= tn->refresh_at, retry = now >= tn->retry_at;
    struct hop *hop;

    if (!refresh && !retry) {
        return;
    }
    tn->refresh_at = refresh && !hmap_is_empty(&tn->hops) ? now + REFRESH_MS : tn->refresh_at;
    tn->retry_at = LLONG_MAX;
    HMAP_FOR_EACH (hop, node, &tn->hops) {
        if (refresh || hop->failed) {
            hop_use(tn, hop);
        }
    }
    neigh_dump(hop_update, tn);         /* Those that the kernel still holds for reachable give no notification. */
}

/* Into ovs-vswitchd. --------------------------------------------------------------------------------------------- */

static void
tell(struct tnl_neigh *tn, struct hop *hop)
{
    char addr[INET_ADDR_STRLEN], mac[ETH_ADDR_STRLEN + 1];
    const char *const args[] = { tn->bridge, inet_addr_format(&hop->addr, addr), mac };

    snprintf(mac, sizeof mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(hop->mac));
    hop->told = vswitchd_ctl_is_connected(tn->ctl);
    if (hop->told) {
        vswitchd_ctl_send(tn->ctl, "tnl/neigh/set", args, ARRAY_SIZE(args));
    }
}

static const char *
format_host(const struct in6_addr *addr, char buf[INET_PREFIX_STRLEN])
{
    struct inet_prefix prefix = inet_prefix_host(addr);
    return inet_prefix_format(&prefix, buf);
}

static void
tell_route(struct tnl_neigh *tn, struct destination *destination)
{
    char dst[INET_PREFIX_STRLEN], gateway[INET_ADDR_STRLEN];
    const char *const args[] = { format_host(&destination->addr, dst), tn->bridge,
                                 inet_addr_format(&destination->hop->addr, gateway) };
    bool is_direct = ipv6_addr_equals(&destination->hop->addr, &destination->addr);

    destination->told = vswitchd_ctl_is_connected(tn->ctl);
    if (destination->told) {
        vswitchd_ctl_send(tn->ctl, "ovs/route/add", args, ARRAY_SIZE(args) - is_direct);
    }
}

/* The way to it is not by the bridge any more.  With any route by the bridge that goes, ovs-vswitchd stops taking packets out of
 * tunnels there (rt_entry_delete__() in lib/ovs-router.c), until a route by it comes: so another one is told again.  For the
 * same reason the route of a destination that is just not declared any more stays: nobody asks for it. */
static void
untell_route(struct tnl_neigh *tn, struct destination *destination)
{
    char dst[INET_PREFIX_STRLEN];
    const char *const args[] = { format_host(&destination->addr, dst) };
    bool told = destination->told && vswitchd_ctl_is_connected(tn->ctl);
    struct destination *other;

    destination->told = false;
    if (!told) {
        return;
    }
    vswitchd_ctl_send(tn->ctl, "ovs/route/del", args, ARRAY_SIZE(args));
    HMAP_FOR_EACH (other, node, &tn->destinations) {
        if (other->told && other->hop) {
            tell_route(tn, other);
            break;
        }
    }
}

/* Follows the connection to ovs-vswitchd: a new one knows nothing, one that refused is told again. */
static void
run_ctl(struct tnl_neigh *tn)
{
    vswitchd_ctl_run(tn->ctl);
    if (tn->epoch != vswitchd_ctl_epoch(tn->ctl)) {
        tn->epoch = vswitchd_ctl_epoch(tn->ctl);
        tn->retell_delay = RETELL_MIN_MS;
        tn->n_errors = 0;
        tell_all(tn);
    }
    if (tn->n_errors != vswitchd_ctl_n_errors(tn->ctl)) {
        tn->n_errors = vswitchd_ctl_n_errors(tn->ctl);
        tn->retell_at = MIN(tn->retell_at, time_msec() + tn->retell_delay);
    }
    if (time_msec() >= tn->retell_at) {
        tn->retell_delay = MIN(tn->retell_delay * 2, RETELL_MAX_MS);
        tell_all(tn);
    }
}

static void
tell_all(struct tnl_neigh *tn)
{
    struct hop *hop;
    tn->retell_at = LLONG_MAX;
    HMAP_FOR_EACH (hop, node, &tn->hops) {
        hop->told = false;
        if (hop->has_mac) {
            tell(tn, hop);
        }
    }
    struct destination *destination;
    HMAP_FOR_EACH (destination, node, &tn->destinations) {
        destination->told = false;
        if (destination->hop) {
            tell_route(tn, destination);
        }
    }
}

/* Answers. ------------------------------------------------------------------------------------------------------- */

static bool
is_resolved(const struct tnl_neigh *tn, const struct destination *destination)
{
    return (destination->hop && destination->hop->told && destination->told && vswitchd_ctl_is_connected(tn->ctl)
            && tn->epoch == vswitchd_ctl_epoch(tn->ctl) && !vswitchd_ctl_n_outstanding(tn->ctl)
            && tn->retell_at == LLONG_MAX && tn->n_errors == vswitchd_ctl_n_errors(tn->ctl));
}

size_t
tnl_neigh_n_unresolved(const struct tnl_neigh *tn)
{
    const struct destination *destination;
    size_t n = 0;
    HMAP_FOR_EACH (destination, node, &tn->destinations) {
        n += tn->bridge && !is_resolved(tn, destination);
    }
    return n;
}

bool
tnl_neigh_is_settled(const struct tnl_neigh *tn)
{
    if (!tn->bridge || tnl_neigh_problem(tn)) {
        return true;
    }
    const struct destination *destination;
    HMAP_FOR_EACH (destination, node, &tn->destinations) {
        if (destination->hop && !destination->hop->silent && !is_resolved(tn, destination)) {
            return false;
        }
    }
    return !tn->resync && ovs_list_is_empty(&tn->fresh);
}

const char *
tnl_neigh_problem(const struct tnl_neigh *tn)
{
    return tn->problem ? tn->problem : tn->retell_delay >= RETELL_MAX_MS ? vswitchd_ctl_error(tn->ctl) : NULL;
}
