#include <config.h>

#include "service-world.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "fields.h"
#include "flow.h"
#include "hash.h"
#include "openvswitch/ofp-actions.h"
#include "packets.h"
#include "pipeline.h"
#include "svec.h"
#include "util.h"
#include "world-flows.h"

struct world_group {
    struct hmap_node node;
    struct group_entry *group;
};

void
service_world_init(struct service_world *w)
{
    memset(w, 0, sizeof *w);
    w->core = services_create(WORLD_NODE);
    shash_init(&w->objects);
    shash_init(&w->pods);
    hmap_init(&w->flows);
    hmap_init(&w->groups);
    shash_init(&w->hosts);
    shash_init(&w->healths);
    shash_init(&w->flushes);
}

void
service_world_destroy(struct service_world *w)
{
    struct shash_node *node;
    struct world_group *wg;

    services_destroy(w->core);
    SHASH_FOR_EACH (node, &w->objects) {
        kube_object_destroy(node->data);
    }
    shash_destroy(&w->objects);
    shash_destroy_free_data(&w->pods);
    world_flows_destroy(&w->flows);
    HMAP_FOR_EACH_POP (wg, node, &w->groups) {
        group_entry_unref(wg->group);
        free(wg);
    }
    hmap_destroy(&w->groups);
    shash_destroy_free_data(&w->hosts);
    shash_destroy_free_data(&w->healths);
    shash_destroy_free_data(&w->flushes);
    free(w->zone);
    free(w->failure);
}

/* Objects. -------------------------------------------------------------------------------------------------------- */

static void
tell(struct service_world *w, const struct kube_object *old, const struct kube_object *new)
{
    if ((new ? new : old)->kind == KUBE_SERVICE) {
        services_service(w->core, old ? kube_service_cast(old) : NULL, new ? kube_service_cast(new) : NULL);
    } else {
        services_slice(w->core, old ? kube_endpointslice_cast(old) : NULL, new ? kube_endpointslice_cast(new) : NULL);
    }
}

void
service_world_put_object(struct service_world *w, struct kube_object *new)
{
    char *key = xasprintf("%s %s/%s", kube_kind_name(new->kind), new->namespace_, new->name);
    struct kube_object *old = shash_find_data(&w->objects, key);

    shash_replace(&w->objects, key, new);
    tell(w, old, new);
    kube_object_destroy(old);
    free(key);
}

void
service_world_put(struct service_world *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = xvasprintf(format, args);
    va_end(args);
    service_world_put_object(w, world_decode(text));
    free(text);
}

void
service_world_service(struct service_world *w, const char *name, const char *spec)
{
    int n = strcspn(name, "/");

    service_world_put(w, "{'apiVersion':'v1','kind':'Service','metadata':{'namespace':'%.*s','name':'%s'},'spec':{%s}}",
                      n, name, name + n + 1, spec);
}

static void
put_ports(struct ds *ds, const char *ports)
{
    char *copy = xstrdup(ports), *save = NULL;

    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        char *colon = strchr(s, ':'), *slash = strchr(s, '/');

        ds_put_format(ds, "%s{'name':'%.*s','port':%.*s,'protocol':'%s'}", ds_last(ds) == '[' ? "" : ",",
                      (int) (colon - s), s, (int) (slash - colon - 1), colon + 1, slash + 1);
    }
    free(copy);
}

static void
put_condition(struct ds *ds, const char *name, bool value)
{
    ds_put_format(ds, "%s'%s':%s", ds_last(ds) == '{' ? "" : ",", name, value ? "true" : "false");
}

static void
put_hints(struct ds *ds, const char *hints, char kind)
{
    for (const char *s = hints; s && *s; s += strcspn(s, ",") + (s[strcspn(s, ",")] == ',')) {
        if (*s == kind) {
            ds_put_format(ds, "%s{'name':'%.*s'}", ds_last(ds) == '[' ? "" : ",", (int) strcspn(s + 1, ","), s + 1);
        }
    }
}

static void
put_endpoint(struct ds *ds, char *text)
{
    char *addr = strsep(&text, "|"), *node = strsep(&text, "|"), *conditions = strsep(&text, "|");
    char *hints = strsep(&text, "|");

    ds_put_format(ds, "%s{'addresses':['%s']", ds_last(ds) == '[' ? "" : ",", addr);
    if (node && *node) {
        ds_put_format(ds, ",'nodeName':'%s'", node);
    }
    ds_put_cstr(ds, ",'conditions':{");
    for (const char *c = conditions; c && *c; c++) {
        put_condition(ds, strchr("rR", *c) ? "ready" : strchr("sS", *c) ? "serving" : "terminating", *c >= 'a');
    }
    ds_put_cstr(ds, "},'hints':{'forZones':[");
    put_hints(ds, hints, 'z');
    ds_put_cstr(ds, "],'forNodes':[");
    put_hints(ds, hints, 'h');
    ds_put_cstr(ds, "]}}");
}

void
service_world_slice(struct service_world *w, const char *name, const char *service, const char *ports,
                    const char *endpoints)
{
    char *copy = xstrdup(endpoints), *save = NULL;
    struct ds ds = DS_EMPTY_INITIALIZER;
    int n = strcspn(name, "/");

    ds_put_format(&ds, "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'namespace':'%.*s',"
                  "'name':'%s','labels':{'kubernetes.io/service-name':'%s'}},'addressType':'%s','ports':[", n, name,
                  name + n + 1, service, strspn(endpoints, "0123456789abcdef") < strcspn(endpoints, ":") ? "IPv4" : "IPv6");
    put_ports(&ds, ports);
    ds_put_cstr(&ds, "],'endpoints':[");
    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        put_endpoint(&ds, s);
    }
    ds_put_cstr(&ds, "]}");
    service_world_put(w, "%s", ds_cstr(&ds));
    ds_destroy(&ds);
    free(copy);
}

void
service_world_remove(struct service_world *w, const char *key)
{
    struct kube_object *old = shash_find_and_delete(&w->objects, key);

    if (old) {
        tell(w, old, NULL);
        kube_object_destroy(old);
    }
}

void
service_world_node(struct service_world *w, const char *zone, const char *addrs)
{
    char *copy = xstrdup(addrs), *save = NULL;
    char *new_zone = nullable_xstrdup(zone);

    w->n_addrs = 0;
    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        ovs_assert(w->n_addrs < ARRAY_SIZE(w->addrs) && !inet_addr_parse(s, &w->addrs[w->n_addrs++], NULL));
    }
    free(w->zone);
    w->zone = new_zone;
    services_set_node(w->core, w->zone, w->addrs, w->n_addrs);
    free(copy);
}

void
service_world_pod(struct service_world *w, const struct world_pod *pod)
{
    char *key = xasprintf("%"PRIu64, pod->id);

    free(shash_find_and_delete(&w->pods, key));
    if (pod->n_ports) {
        shash_add(&w->pods, key, xmemdup(pod, sizeof *pod));
    }
    services_set_host_ports(w->core, pod->id, "a/pod", pod->ports, pod->n_ports, pod->addrs, pod->n_addrs);
    free(key);
}

/* Effects. -------------------------------------------------------------------------------------------------------- */

static struct world_group *
find_group(const struct service_world *w, uint32_t id)
{
    struct world_group *wg;

    HMAP_FOR_EACH_WITH_HASH (wg, node, hash_int(id, 0), &w->groups) {
        if (group_entry_id(wg->group) == id) {
            return wg;
        }
    }
    return NULL;
}

static void
put_group(struct service_world *w, struct group_entry *group)
{
    struct world_group *wg = find_group(w, group_entry_id(group));

    if (!wg) {
        wg = xmalloc(sizeof *wg);
        hmap_insert(&w->groups, &wg->node, hash_int(group_entry_id(group), 0));
    } else {
        if (group_entry_equal(wg->group, group)) {
            world_fail(&w->failure, "group %"PRIu32" put as it was", group_entry_id(group));
        }
        group_entry_unref(wg->group);
    }
    wg->group = group;
}

static void
drop_group(struct service_world *w, uint32_t id)
{
    struct world_group *wg = find_group(w, id);

    if (!wg) {
        world_fail(&w->failure, "group %"PRIu32" dropped, which is not there", id);
    } else {
        hmap_remove(&w->groups, &wg->node);
        group_entry_unref(wg->group);
        free(wg);
    }
}

/* Puts or (NULL) drops 'text' under 'key'. */
static void
set_text(struct service_world *w, struct shash *sh, char *key, char *text)
{
    char *old = shash_find_data(sh, key);

    if (text && old && !strcmp(old, text)) {
        world_fail(&w->failure, "%s put as it was: %s", key, text);
    } else if (!text && !old) {
        world_fail(&w->failure, "%s dropped, which is not there", key);
    }
    if (text) {
        shash_replace(sh, key, text);
    } else {
        shash_find_and_delete(sh, key);
    }
    free(old);
    free(key);
}

static void
take_host(struct service_world *w, const struct service_host *host, bool put)
{
    static const char *const kinds[] = { "cluster", "external", "node-port" };
    struct ds key = DS_EMPTY_INITIALIZER, text = DS_EMPTY_INITIALIZER;

    ds_put_format(&key, "%s ", kinds[host->kind]);
    inet_addr_put(&key, &host->addr);
    ds_put_format(&key, " %s %"PRIu16, host->protocol ? kube_protocol_name(host->protocol) : "any", host->port);
    ds_put_cstr(&text, host->keep_source ? "keep" : "");
    if (host->has_alias) {
        ds_put_cstr(&text, " alias ");
        inet_addr_put(&text, &host->alias);
    }
    for (size_t i = 0; put && i < host->n_src; i++) {
        ds_put_cstr(&text, " from ");
        inet_prefix_put(&text, &host->src[i]);
    }
    set_text(w, &w->hosts, ds_steal_cstr(&key), put ? xstrdup(ds_cstr(&text)) : NULL);
    ds_destroy(&key);
    ds_destroy(&text);
}

static void
take_flush(struct service_world *w, const struct service_flush *f)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "%s ", kube_protocol_name(f->entry.protocol));
    inet_addr_put(&ds, &f->entry.vip);
    ds_put_format(&ds, " %"PRIu16" ", f->entry.vip_port);
    if (f->host) {
        ds_put_cstr(&ds, "host");
    } else {
        inet_addr_put(&ds, &f->entry.endpoint);
        ds_put_format(&ds, " %"PRIu16, f->entry.endpoint_port);
    }
    free(shash_replace(&w->flushes, ds_cstr(&ds), xstrdup("")));
    ds_destroy(&ds);
}

static void
take_effect(struct service_world *w, const struct service_effect *e)
{
    switch (e->type) {
    case SERVICE_PUT_FLOW:
        w->n_flow_effects++;
        world_flows_put(&w->flows, e->flow, &w->failure);
        break;
    case SERVICE_DROP_FLOW:
        w->n_flow_effects++;
        world_flows_drop(&w->flows, e->flow, &w->failure);
        break;
    case SERVICE_PUT_GROUP:
        w->n_group_effects++;
        put_group(w, e->group);
        break;
    case SERVICE_DROP_GROUP:
        w->n_group_effects++;
        drop_group(w, e->group_id);
        break;
    case SERVICE_PUT_HOST:
    case SERVICE_DROP_HOST:
        w->n_host_effects++;
        take_host(w, &e->host, e->type == SERVICE_PUT_HOST);
        break;
    case SERVICE_FLUSH:
        take_flush(w, &e->flush);
        break;
    case SERVICE_PUT_HEALTH:
        w->n_health_effects++;
        set_text(w, &w->healths, xasprintf("%"PRIu16, e->health.port),
                 xasprintf("%s/%s %"PRIuSIZE, e->health.namespace_, e->health.name, e->health.n_local));
        break;
    case SERVICE_DROP_HEALTH:
        w->n_health_effects++;
        set_text(w, &w->healths, xasprintf("%"PRIu16, e->health.port), NULL);
        break;
    default:
        OVS_NOT_REACHED();
    }
}

void
service_world_run(struct service_world *w)
{
    struct service_effect effect;
    bool any = services_run(w->core), popped = false;

    w->n_flow_effects = w->n_group_effects = w->n_host_effects = w->n_health_effects = 0;
    shash_clear_free_data(&w->flushes);
    while (services_pop(w->core, &effect)) {
        take_effect(w, &effect);
        popped = true;
    }
    if (any != popped) {
        world_fail(&w->failure, "services_run() says %d", any);
    }
}

void
service_world_settle(struct service_world *w)
{
    service_world_run(w);
    service_world_compare(w, w);
    ck_assert_msg(!w->failure, "%s", w->failure);
}

static void
compare_texts(struct service_world *w, const struct shash *a, const struct shash *b)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, b) {
        const char *text = shash_find_data(a, node->name);
        if (!text || strcmp(text, node->data)) {
            world_fail(&w->failure, "\"%s\" is \"%s\" instead of \"%s\"", node->name, text ? text : "absent",
                       (char *) node->data);
        }
    }
    if (shash_count(a) != shash_count(b)) {
        world_fail(&w->failure, "%"PRIuSIZE" entries instead of %"PRIuSIZE, shash_count(a), shash_count(b));
    }
}

static void
compare_group(struct service_world *w, const struct group_entry *group)
{
    struct world_group *wg = find_group(w, group_entry_id(group));

    if (!wg || !group_entry_equal(wg->group, group)) {
        struct ds ds = DS_EMPTY_INITIALIZER;

        group_entry_format(group, &ds);
        ds_put_cstr(&ds, " instead of ");
        if (wg) {
            group_entry_format(wg->group, &ds);
        }
        world_fail(&w->failure, "wanted %s", ds_cstr(&ds));
        ds_destroy(&ds);
    }
}

void
service_world_compare(struct service_world *w, const struct service_world *other)
{
    struct flow_set set = FLOW_SET_INIT;

    services_get_flows(other->core, &set);
    world_flows_compare(&w->flows, &set, &w->failure);
    for (size_t i = 0; i < set.n_groups; i++) {
        compare_group(w, set.groups[i]);
    }
    if (set.n_groups != hmap_count(&w->groups)) {
        world_fail(&w->failure, "%"PRIuSIZE" groups instead of %"PRIuSIZE, hmap_count(&w->groups), set.n_groups);
    }
    flow_set_destroy(&set);
    compare_texts(w, &w->hosts, &other->hosts);
    compare_texts(w, &w->healths, &other->healths);
}

/* Doors as they are told. ----------------------------------------------------------------------------------------- */

static void
add_line(const struct service_door_info *info, void *lines_)
{
    static const char *const kinds[] = { "cluster", "node-port", "external", "lb", "host-port" };
    const struct flow_door *d = &info->door;
    struct svec *lines = lines_, places = SVEC_EMPTY_INITIALIZER;
    struct ds ds = DS_EMPTY_INITIALIZER;
    char addr[INET_ADDR_STRLEN];

    ds_put_format(&ds, "%s ", kinds[info->kind]);
    if (!d->protocol) {
        ds_put_format(&ds, "%s:rest", inet_addr_format(&d->addr, addr));
    } else {
        ds_put_format(&ds, "%s:%"PRIu16"/%s", d->node_addr && d->action != FLOW_DOOR_DIRECT ? (inet_is_v4(&d->addr) ? "node4" : "node6")
                      : inet_addr_format(&d->addr, addr), d->port, kube_protocol_name(d->protocol));
    }
    ds_put_cstr(&ds, d->source == FLOW_DOOR_OUTSIDE ? " outside" : d->source == FLOW_DOOR_NODE ? " node" : "");
    if (d->src) {
        ds_put_cstr(&ds, " from ");
        inet_prefix_put(&ds, d->src);
    }
    ds_put_cstr(&ds, d->fragments ? " fragments" : "");
    if (info->affinity_timeout) {
        ds_put_format(&ds, " affinity %"PRIu32, info->affinity_timeout);
    }
    for (size_t i = 0; i < info->n_endpoints; i++) {
        svec_add_nocopy(&places, xasprintf("%s:%"PRIu16, inet_addr_format(&info->endpoints[i].addr, addr),
                                           info->endpoints[i].port));
    }
    svec_sort(&places);
    char *joined = svec_join(&places, " ", "");
    ds_put_format(&ds, " -> %s", d->action == FLOW_DOOR_REJECT ? "reject" : d->action == FLOW_DOOR_DROP ? "drop"
                  : d->action == FLOW_DOOR_DIRECT ? "direct" : joined);
    svec_add(lines, ds_cstr(&ds));
    free(joined);
    svec_destroy(&places);
    ds_destroy(&ds);
}

char *
service_world_doors(const struct service_world *w)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;

    services_for_each_door(w->core, NULL, add_line, &lines);
    svec_sort(&lines);
    char *text = svec_join(&lines, "\n", "");
    svec_destroy(&lines);
    return text;
}

/* Packets. -------------------------------------------------------------------------------------------------------- */

/* Adds what follows each "dst=" in the text. */
static void
add_destinations(const char *text, struct svec *places)
{
    for (const char *s = strstr(text, "dst="); s; s = strstr(s, "dst=")) {
        s += 4;
        svec_add_nocopy(places, xmemdup0(s, strcspn(s, "),")));
    }
}

static void
add_flow_destinations(const struct flow_entry *flow, struct svec *places)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    flow_entry_format(flow, false, &ds);
    const char *actions = strstr(ds_cstr(&ds), "actions=");
    add_destinations(actions ? actions : "", places);
    ds_destroy(&ds);
}

static void
add_group_destinations(const struct service_world *w, uint32_t id, struct svec *places)
{
    struct world_group *wg = find_group(w, id);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (wg) {
        group_entry_format(wg->group, &ds);
        add_destinations(ds_cstr(&ds), places);
    } else {
        svec_add(places, "no-such-group");
    }
    ds_destroy(&ds);
}

char *
service_world_bucket(const struct service_world *w, uint32_t group_id, uint32_t bucket_id)
{
    char *wanted = xasprintf("bucket_id:%"PRIu32",", bucket_id), *place = NULL;
    struct world_group *wg = find_group(w, group_id);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (wg) {
        group_entry_format(wg->group, &ds);
        const char *bucket = strstr(ds_cstr(&ds), wanted), *dst = bucket ? strstr(bucket, "dst=") : NULL;
        place = dst ? xmemdup0(dst + 4, strcspn(dst + 4, "),")) : NULL;
    }
    ds_destroy(&ds);
    free(wanted);
    return place;
}

static uint32_t
group_of(const struct flow_entry *entry)
{
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, entry->ofpacts, entry->ofpacts_len) {
        if (a->type == OFPACT_GROUP) {
            return ofpact_get_GROUP(a)->group_id;
        }
    }
    return 0;
}

/* What the flow loads into FIELD_SERVICE. */
static bool
loaded_service(const struct flow_entry *entry, uint32_t *set)
{
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, entry->ofpacts, entry->ofpacts_len) {
        if (a->type == OFPACT_SET_FIELD
            && ofpact_get_SET_FIELD(a)->field->id == flow_field_info(FIELD_SERVICE)->store) {
            *set = ntohl(ofpact_get_SET_FIELD(a)->value->be32);
            return true;
        }
    }
    return false;
}

static void
follow_group(const struct service_world *w, const struct flow *flow, uint32_t id, struct svec *places)
{
    if (id != FLOW_GROUP_HASH) {
        add_group_destinations(w, id, places);
        return;
    }
    for (int shard = 0; shard < 256; shard++) {
        struct flow with_shard = *flow;

        world_set_field(&with_shard, FIELD_SHARD, shard);
        const struct flow_entry *entry = world_flows_lookup(&w->flows, TABLE_SERVICE_SHARD, &with_shard);
        if (entry) {
            add_group_destinations(w, group_of(entry), places);
        } else {
            svec_add(places, "no-such-shard");
        }
    }
}

/* Whether each value of the shard leads to a group that is there. */
static bool
has_shards(const struct service_world *w, const struct flow *flow)
{
    for (int shard = 0; shard < 256; shard++) {
        struct flow with_shard = *flow;

        world_set_field(&with_shard, FIELD_SHARD, shard);
        const struct flow_entry *entry = world_flows_lookup(&w->flows, TABLE_SERVICE_SHARD, &with_shard);
        if (!entry || !find_group(w, group_of(entry))) {
            return false;
        }
    }
    return true;
}

/* The endpoints of a set with affinity are those that SERVICE_SELECT has flows for: the groups only name them.  Without a group
 * the flow of the set goes to the shards. */
static void
follow_affinity(const struct service_world *w, const struct flow *flow, struct svec *places)
{
    const struct flow_entry *select = world_flows_lookup(&w->flows, TABLE_SERVICE_SELECT, flow);
    struct world_flow *wf;

    if (!select || !(group_of(select) ? find_group(w, group_of(select)) != NULL : has_shards(w, flow))) {
        svec_add(places, "no-such-set");
        return;
    }
    HMAP_FOR_EACH (wf, node, &w->flows) {
        const struct minimatch *match = &wf->flow->match;
        struct match m;

        minimatch_expand(match, &m);
        if (wf->flow->table_id == TABLE_SERVICE_SELECT && wf->flow != select
            && m.flow.regs[flow_field_info(FIELD_SERVICE)->store - MFF_REG0]
               == flow->regs[flow_field_info(FIELD_SERVICE)->store - MFF_REG0]) {
            add_flow_destinations(wf->flow, places);
        }
    }
}

static char *
follow(const struct service_world *w, const struct flow_entry *entry, struct flow *flow)
{
    struct svec places = SVEC_EMPTY_INITIALIZER;
    uint32_t set = 0;

    if (!entry || (entry->ofpacts_len && entry->ofpacts->type == OFPACT_GOTO_TABLE)) {
        return xstrdup("pass");
    } else if (!entry->ofpacts_len) {
        return xstrdup("drop");
    }
    if (loaded_service(entry, &set)) {
        world_set_field(flow, FIELD_SERVICE, set);
    }
    if (group_of(entry)) {
        follow_group(w, flow, group_of(entry), &places);
    } else if (set) {
        follow_affinity(w, flow, &places);
    } else {
        return xstrdup("reject");
    }
    svec_sort_unique(&places);
    char *text = svec_join(&places, " ", "");
    svec_destroy(&places);
    return text;
}

char *
service_world_ask(struct service_world *w, enum flow_door_source source, const char *src_text, const char *dst_text,
                  uint8_t protocol, uint16_t port)
{
    struct flow flow = { .nw_proto = protocol, .tp_dst = htons(port), .tp_src = htons(40000) };
    struct in6_addr src, dst;

    ovs_assert(!inet_addr_parse(src_text, &src, NULL) && !inet_addr_parse(dst_text, &dst, NULL));
    if (inet_is_v4(&dst)) {
        flow.dl_type = htons(ETH_TYPE_IP);
        flow.nw_src = in6_addr_get_mapped_ipv4(&src);
        flow.nw_dst = in6_addr_get_mapped_ipv4(&dst);
    } else {
        flow.dl_type = htons(ETH_TYPE_IPV6);
        flow.ipv6_src = src;
        flow.ipv6_dst = dst;
    }
    world_set_field(&flow, FIELD_NETWORK, FLOW_NETWORK_DEFAULT);
    world_set_field(&flow, FIELD_SOURCE, source == FLOW_DOOR_OUTSIDE ? SOURCE_FORWARDED
              : source == FLOW_DOOR_NODE ? SOURCE_GATEWAY : SOURCE_POD);
    if (world_flows_lookup(&w->flows, TABLE_ARP_ND, &flow)) {
        world_set_field(&flow, FIELD_NODE_ADDR, 1);
    }
    return follow(w, world_flows_lookup(&w->flows, TABLE_SERVICE, &flow), &flow);
}
