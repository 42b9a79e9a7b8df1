/* What the node's stack hands to br-int for Services: the entries, and the elements of sets that they are. */

#include <config.h>

#include "hostnet-service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "service-host.h"
#include "util.h"

struct entry {
    struct hmap_node node;              /* By key. */
    struct ovs_list pending;            /* Of 'struct hostnet_services'; empty: as installed. */
    bool wanted, is_installed;
    struct service_host host;           /* If 'wanted'. */
    struct service_host installed;      /* If 'is_installed'. */
};

struct hostnet_services {
    struct hmap entries;
    size_t n_wanted;
    struct ovs_list pending;
};

/* Entries. ------------------------------------------------------------------------------------------------------- */

struct hostnet_services *
hostnet_services_create(void)
{
    struct hostnet_services *s = xzalloc(sizeof *s);

    hmap_init(&s->entries);
    ovs_list_init(&s->pending);
    return s;
}

static void
free_entry(struct entry *e)
{
    service_host_uninit(&e->host);
    service_host_uninit(&e->installed);
    free(e);
}

void
hostnet_services_destroy(struct hostnet_services *s)
{
    if (s) {
        struct entry *e;
        HMAP_FOR_EACH_POP (e, node, &s->entries) {
            free_entry(e);
        }
        hmap_destroy(&s->entries);
        free(s);
    }
}

static struct entry *
find(const struct hostnet_services *s, const struct service_host *host)
{
    struct entry *e;
    HMAP_FOR_EACH_WITH_HASH (e, node, service_host_hash(host), &s->entries) {
        if (service_host_same_key(e->wanted ? &e->host : &e->installed, host)) {
            return e;
        }
    }
    return NULL;
}

/* 'to' is ours, with its 'src'. */
static void
host_set(struct service_host *to, const struct service_host *from)
{
    service_host_uninit(to);
    *to = service_host_clone(from);
}

static void
remove_entry(struct hostnet_services *s, struct entry *e)
{
    ovs_list_remove(&e->pending);
    hmap_remove(&s->entries, &e->node);
    free_entry(e);
}

static void
update_pending(struct hostnet_services *s, struct entry *e)
{
    ovs_list_remove(&e->pending);
    if (e->wanted != e->is_installed || (e->wanted && !service_host_equal(&e->host, &e->installed))) {
        ovs_list_push_back(&s->pending, &e->pending);
    } else {
        ovs_list_init(&e->pending);
    }
}

void
hostnet_services_put(struct hostnet_services *s, const struct service_host *host)
{
    struct entry *e = find(s, host);

    if (!e) {
        e = xzalloc(sizeof *e);
        ovs_list_init(&e->pending);
        hmap_insert(&s->entries, &e->node, service_host_hash(host));
    }
    s->n_wanted += !e->wanted;
    e->wanted = true;
    host_set(&e->host, host);
    update_pending(s, e);
}

void
hostnet_services_drop(struct hostnet_services *s, const struct service_host *host)
{
    struct entry *e = find(s, host);

    if (!e || !e->wanted) {
        return;
    }
    s->n_wanted--;
    e->wanted = false;
    if (e->is_installed) {
        update_pending(s, e);
    } else {
        remove_entry(s, e);
    }
}

const struct service_host *
hostnet_services_get(const struct hostnet_services *s, const struct service_host *key)
{
    const struct entry *e = find(s, key);

    return e && e->wanted ? &e->host : NULL;
}

bool
hostnet_services_any(const struct hostnet_services *s)
{
    return s->n_wanted > 0;
}

bool
hostnet_services_pending(const struct hostnet_services *s)
{
    return !ovs_list_is_empty(&s->pending);
}

bool
hostnet_services_within(const struct hostnet_services *s, const struct inet_prefix *prefix)
{
    const struct entry *e;
    HMAP_FOR_EACH (e, node, &s->entries) {
        if (e->wanted && e->host.kind == SERVICE_HOST_CLUSTER && inet_prefix_contains(prefix, &e->host.addr)) {
            return true;
        }
    }
    return false;
}

/* Elements. ------------------------------------------------------------------------------------------------------ */

const char *const hostnet_set_names[N_SETS] = {
    [SET_CLUSTER] = "cluster",
    [SET_EXTERNAL] = "external",
    [SET_ALIAS] = "alias",
    [SET_NODE_PORT] = "node_port",
    [SET_KEEP_SOURCE] = "keep_source",
    [SET_RESTRICTED] = "restricted",
    [SET_RANGE] = "range",
};

const struct hostnet_family hostnet_families[N_FAMILIES] = {
    { AF_INET, "v4", "ip", "ipv4_addr", FLOW_NODE_V4, FLOW_HAIRPIN_V4, FLOW_ROUTER_V4, FLOW_LINK_PREFIX_V4, "0.0.0.0/0",
      "127.0.0.0/8" },
    { AF_INET6, "v6", "ip6", "ipv6_addr", FLOW_NODE_V6, FLOW_HAIRPIN_V6, FLOW_ROUTER_V6, FLOW_LINK_PREFIX_V6, "::/0",
      "{ ::1, fe80::/10 }" },
};

const struct in6_addr *
hostnet_gateway_addr(const struct hostnet_config *config, const struct hostnet_family *family)
{
    for (size_t i = 0; i < config->n_gateway_addrs; i++) {
        if (inet_family(&config->gateway_addrs[i].addr) == family->family) {
            return &config->gateway_addrs[i].addr;
        }
    }
    return NULL;
}

static void
begin_element(struct ds *ds, const struct in6_addr *addr)
{
    ds_put_cstr(ds, ds->length ? ", " : "");
    if (addr) {
        inet_addr_put(ds, addr);
    }
}

static void
put_key(struct ds *ds, const struct in6_addr *addr, const struct service_host *host)
{
    begin_element(ds, addr);
    ds_put_format(ds, " . %"PRIu8" . %"PRIu16, host->protocol, host->port);
}

/* By the destination that the packet has in postrouting. */
static void
put_keep_source(struct ds *ds, const struct service_host *host, const struct hostnet_family *family)
{
    if (host->kind == SERVICE_HOST_NODE_PORT) {
        ds_put_format(ds, "%s%s . %"PRIu8" . %"PRIu16, ds->length ? ", " : "", family->node, host->protocol, host->port);
    } else if (host->kind == SERVICE_HOST_EXTERNAL) {
        put_key(ds, &host->addr, host);
        if (host->has_alias) {
            put_key(ds, &host->alias, host);
        }
    }
}

static void
put_ranges(struct ds *ds, const struct service_host *host, const struct hostnet_family *family)
{
    struct inet_prefix *ranges = xmalloc((host->n_src + 1) * sizeof *ranges);
    size_t n = hostnet_aggregate(host->src, host->n_src, family->family, ranges);

    for (size_t i = 0; i < n; i++) {
        put_key(ds, &host->addr, host);
        ds_put_cstr(ds, " . ");
        if (ranges[i].plen == inet_max_plen(&ranges[i].addr)) {
            inet_addr_put(ds, &ranges[i].addr);         /* As nft lists it. */
        } else {
            inet_prefix_put(ds, &ranges[i]);
        }
    }
    free(ranges);
}

/* What the entry has in the set, after a comma if it is not the first. */
static void
put_elements(struct ds *ds, enum hostnet_set set, const struct service_host *host, const struct hostnet_family *family)
{
    bool external = host->kind == SERVICE_HOST_EXTERNAL;

    if (inet_family(&host->addr) != family->family) {
        return;
    }
    if (set == SET_CLUSTER && host->kind == SERVICE_HOST_CLUSTER) {
        begin_element(ds, &host->addr);
    } else if (set == SET_EXTERNAL && external) {
        put_key(ds, &host->addr, host);
    } else if (set == SET_ALIAS && external && host->has_alias) {
        put_key(ds, &host->addr, host);
        ds_put_cstr(ds, " : ");
        inet_addr_put(ds, &host->alias);
    } else if (set == SET_NODE_PORT && host->kind == SERVICE_HOST_NODE_PORT) {
        begin_element(ds, NULL);
        ds_put_format(ds, "%"PRIu8" . %"PRIu16, host->protocol, host->port);
    } else if (set == SET_KEEP_SOURCE && host->keep_source) {
        put_keep_source(ds, host, family);
    } else if (set == SET_RESTRICTED && external && host->n_src) {
        put_key(ds, &host->addr, host);
    } else if (set == SET_RANGE && external) {
        put_ranges(ds, host, family);
    }
}

static void
put_command(struct ds *ds, const char *command, enum hostnet_set set, const struct hostnet_family *family, struct ds *elements)
{
    if (elements->length) {
        ds_put_format(ds, "%s element inet "HOSTNET_NFT_TABLE" %s_%s { %s }\n", command, hostnet_set_names[set], family->suffix,
                      ds_cstr(elements));
        ds_clear(elements);
    }
}

static void
put_changes_of_set(const struct hostnet_services *s, enum hostnet_set set, const struct hostnet_family *family, bool removals,
                   struct ds *ds)
{
    struct ds elements = DS_EMPTY_INITIALIZER;
    const struct entry *e;

    LIST_FOR_EACH (e, pending, &s->pending) {
        if (removals ? e->is_installed : e->wanted) {
            put_elements(&elements, set, removals ? &e->installed : &e->host, family);
        }
    }
    put_command(ds, removals ? "delete" : "add", set, family, &elements);
    ds_destroy(&elements);
}

/* What changes an element removes it and adds it again. */
char *
hostnet_services_changes(const struct hostnet_services *s, const struct hostnet_config *config)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < N_FAMILIES; i++) {
            for (enum hostnet_set set = 0; set < N_SETS && hostnet_gateway_addr(config, &hostnet_families[i]); set++) {
                put_changes_of_set(s, set, &hostnet_families[i], pass == 0, &ds);
            }
        }
    }
    return ds_steal_cstr(&ds);
}

void
hostnet_services_put_elements(const struct hostnet_services *s, const struct hostnet_config *config, struct ds *ds)
{
    struct ds elements = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < N_FAMILIES; i++) {
        for (enum hostnet_set set = 0; set < N_SETS && hostnet_gateway_addr(config, &hostnet_families[i]); set++) {
            const struct entry *e;
            HMAP_FOR_EACH (e, node, &s->entries) {
                if (e->wanted) {
                    put_elements(&elements, set, &e->host, &hostnet_families[i]);
                }
            }
            put_command(ds, "add", set, &hostnet_families[i], &elements);
        }
    }
    ds_destroy(&elements);
}

static void
note_installed(struct hostnet_services *s, struct entry *e)
{
    if (e->wanted) {
        e->is_installed = true;
        host_set(&e->installed, &e->host);
        ovs_list_remove(&e->pending);
        ovs_list_init(&e->pending);
    } else {
        remove_entry(s, e);
    }
}

void
hostnet_services_changes_done(struct hostnet_services *s)
{
    struct entry *e;
    LIST_FOR_EACH_SAFE (e, pending, &s->pending) {
        note_installed(s, e);
    }
}

void
hostnet_services_all_done(struct hostnet_services *s)
{
    struct entry *e;
    HMAP_FOR_EACH_SAFE (e, node, &s->entries) {
        note_installed(s, e);
    }
}
