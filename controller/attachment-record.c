#include <config.h>

#include "attachment-private.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "hash.h"
#include "journal.h"
#include "packets.h"
#include "util.h"

/* Milliseconds: beyond any clock, and still far from where sums overflow. */
#define RECORD_TIME_MAX (1LL << 53)

/* Writing. ------------------------------------------------------------------------------------------------------- */

static json_t *
ips_to_json(const struct attachment *a)
{
    json_t *array = json_array();
    for (size_t i = 0; i < a->n_ips; i++) {
        const struct attachment_ip *ip = &a->ips[i];
        char prefix[INET_PREFIX_STRLEN], gateway[INET_ADDR_STRLEN];
        json_array_append_new(array, json_pack("{s:s, s:s*, s:I}", "ip", inet_prefix_format(&ip->prefix, prefix), "gw",
                                               ip->has_gateway ? inet_addr_format(&ip->gateway, gateway) : NULL,
                                               "gen", (json_int_t) ip->generation));
    }
    return array;
}

static json_t *
routes_to_json(const struct attachment *a)
{
    json_t *array = json_array();
    for (size_t i = 0; i < a->n_routes; i++) {
        const struct pod_link_route *r = &a->routes[i];
        char dst[INET_PREFIX_STRLEN], gw[INET_ADDR_STRLEN];
        json_array_append_new(array, json_pack("{s:s, s:s*, s:[iiiii]}", "dst", inet_prefix_format(&r->dst, dst), "gw",
                                               r->has_gw ? inet_addr_format(&r->gw, gw) : NULL, "n", r->mtu, r->advmss,
                                               r->priority, r->table, r->scope));
    }
    return array;
}

static json_t *
key_to_json(const char *op, const char *network, const char *container_id, const char *ifname)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "op", op, "net", network, "cid", container_id, "if", ifname);
}

static json_t *
add_to_json(const struct attachment *a)
{
    char mac[20];
    json_t *json = key_to_json("add", a->network, a->container_id, a->ifname);

    snprintf(mac, sizeof mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(a->mac));
    json_object_update_new(json, json_pack("{s:s, s:[I,I], s:s*, s:s*, s:s*, s:s, s:s, s:i, s:s, s:i, s:i, s:b, s:s, "
                                           "s:I}", "netns", a->netns, "ino", (json_int_t) a->netns_id.dev,
                                           (json_int_t) a->netns_id.ino, "pns", a->pod_namespace, "pod", a->pod_name,
                                           "uid", a->pod_uid, "owner", a->owner, "host", a->host_name, "port",
                                           (int) ofp_to_u16(a->ofport), "mac", mac, "mtu", (int) a->mtu, "mtuw",
                                           (int) a->mtu_wish, "del", (int) a->delegated, "boot", a->boot_id,
                                           "time", (json_int_t) a->created));
    json_object_set_new(json, "ips", ips_to_json(a));
    if (a->n_routes) {
        json_object_set_new(json, "routes", routes_to_json(a));
    }
    if (a->n_ports) {
        json_object_set_new(json, "ports", attachment_ports_to_json_(a));
    }
    return json;
}

static char *
dump(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    ovs_assert(text);                   /* A pod's name that is no UTF-8 cannot be: lib/cni-wire.c took it from JSON. */
    return text;
}

static json_t *
record_to_json(const struct attachment *a, enum record_op op, long long int now)
{
    static const char *const names[] = { "add", "up", "del", "mtu", "known" };
    if (op == RECORD_ADD) {
        return add_to_json(a);
    }
    json_t *json = key_to_json(names[op], a->network, a->container_id, a->ifname);
    if (op == RECORD_DEL) {
        json_object_set_new(json, "time", json_integer(now));
        json_object_set_new(json, "seen", json_boolean(a->seen));
    } else if (op == RECORD_MTU) {
        json_object_set_new(json, "mtu", json_integer(a->mtu));
    } else if (op == RECORD_UP && !a->known) {
        json_object_set_new(json, "known", json_false());
    }
    return json;
}

void
attachment_record_(struct attachment *a, enum record_op op, long long int now)
{
    struct attachment_effect *effect = attachment_emit_(a->table, a, ATTACHMENT_JOURNAL);
    effect->ticket = a->id * N_RECORD_OPS + op;
    effect->record = dump(record_to_json(a, op, now));
    effect->record_size = strlen(effect->record);
    if (op == RECORD_DEL) {
        a->unrecording = true;
    } else if (op == RECORD_ADD || op == RECORD_UP) {
        a->recording = true;
    }
}

static json_t *
tombstone_to_json(const char *network, const char *container_id, const char *ifname, long long int time)
{
    json_t *json = key_to_json("tomb", network, container_id, ifname);
    json_object_set_new(json, "time", json_integer(time));
    return json;
}

void
attachments_record_tombstone_(struct attachments *t, const char *network, const char *container_id, const char *ifname,
                              long long int time)
{
    struct attachment_effect *effect = attachment_emit_(t, NULL, ATTACHMENT_JOURNAL);
    effect->record = dump(tombstone_to_json(network, container_id, ifname, time));
    effect->record_size = strlen(effect->record);
}

/* A compacted journal. ------------------------------------------------------------------------------------------- */

struct snapshot {
    const struct attachments *t;
    struct journal_record *records;
    size_t n, allocated;
};

static void
put(struct snapshot *s, json_t *json)
{
    if (s->n >= s->allocated) {
        s->records = x2nrealloc(s->records, &s->allocated, sizeof *s->records);
    }
    char *text = dump(json);
    s->records[s->n++] = (struct journal_record) { text, strlen(text) };
}

static void
put_address(const struct ipam_address *address, enum ipam_address_state state, long long int since, void *aux)
{
    if (state == IPAM_QUARANTINED || state == IPAM_UNACKNOWLEDGED) {
        char s[INET_ADDR_STRLEN];
        put(aux, json_pack("{s:s, s:s, s:I, s:I}", "op", "free", "ip", inet_addr_format(&address->addr, s), "gen",
                           (json_int_t) address->generation, "time", (json_int_t) since));
    }
}

void
attachments_snapshot(const struct attachments *t, long long int now, struct journal_record **records, size_t *n)
{
    struct snapshot s = { t, NULL, 0, 0 };
    const struct attachment *a;
    const struct tombstone *ts;

    LIST_FOR_EACH (ts, list_node, &t->tombstone_order) {
        if (now - ts->time < ATTACHMENT_TOMBSTONE_MS) {
            put(&s, tombstone_to_json(ts->network, ts->container_id, ts->ifname, ts->time));
        }
    }
    ipam_for_each(t->ipam, put_address, &s);
    HMAP_FOR_EACH (a, id_node, &t->by_id) {
        if (a->recorded && !a->unrecorded) {
            put(&s, record_to_json(a, RECORD_ADD, now));
            if (a->up_recorded) {
                put(&s, record_to_json(a, RECORD_UP, now));
            }
        }
    }
    /* Last, because each "add" sets the next port number. */
    put(&s, json_pack("{s:s, s:I, s:i}", "op", "meta", "gen", (json_int_t) ipam_get_generation(t->ipam), "port",
                      (int) t->next_ofport));
    *records = s.records;
    *n = s.n;
}

void
attachments_free_snapshot(struct journal_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(CONST_CAST(void *, records[i].payload));
    }
    free(records);
}

/* Reading. ------------------------------------------------------------------------------------------------------- */

/* Members of one record; the first that is missing or wrong fails the replay. */
struct reader {
    json_t *json;
    const char *bad;
};

static const char *
get_string(struct reader *r, const char *name, bool optional)
{
    json_t *value = json_object_get(r->json, name);
    if (!json_is_string(value) && !(optional && !value)) {
        r->bad = name;
        return "";
    }
    return json_string_value(value);
}

static long long int
get_integer(struct reader *r, const char *name, long long int min, long long int max)
{
    json_t *value = json_object_get(r->json, name);
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        r->bad = name;
        return min;
    }
    return json_integer_value(value);
}

static struct old_address *
find_old(const struct attachments *t, const struct in6_addr *addr)
{
    struct old_address *old;
    HMAP_FOR_EACH_WITH_HASH (old, node, hash_bytes(addr, sizeof *addr, 0), &t->old_addresses) {
        if (ipv6_addr_equals(&old->address.addr, addr)) {
            return old;
        }
    }
    return NULL;
}

static void
put_old(struct attachments *t, const struct in6_addr *addr, uint64_t generation, long long int since)
{
    struct old_address *old = find_old(t, addr);
    if (!old) {
        old = xzalloc(sizeof *old);
        old->address.addr = *addr;
        hmap_insert(&t->old_addresses, &old->node, hash_bytes(addr, sizeof *addr, 0));
    }
    if (generation >= old->address.generation) {
        old->address.generation = generation;
        old->since = since;
    }
}

static void
see_generation(struct attachments *t, uint64_t generation)
{
    ipam_set_generation(t->ipam, MAX(generation, ipam_get_generation(t->ipam)));
}

static void
read_ips(struct attachment *a, struct reader *r)
{
    json_t *array = json_object_get(r->json, "ips"), *value;
    size_t i;

    a->ips = xcalloc(json_array_size(array), sizeof *a->ips);
    json_array_foreach (array, i, value) {
        struct attachment_ip *ip = &a->ips[a->n_ips++];
        struct reader member = { value, NULL };
        const char *gateway = get_string(&member, "gw", true);
        ip->generation = get_integer(&member, "gen", 0, LLONG_MAX);
        ip->has_gateway = gateway != NULL;
        if (inet_prefix_parse(get_string(&member, "ip", false), &ip->prefix, NULL) || member.bad
            || (gateway && inet_addr_parse(gateway, &ip->gateway, NULL))) {
            r->bad = "ips";
        }
        see_generation(a->table, ip->generation);
    }
}

static void
read_routes(struct attachment *a, struct reader *r)
{
    json_t *array = json_object_get(r->json, "routes"), *value;
    size_t i;

    a->routes = xcalloc(json_array_size(array), sizeof *a->routes);
    json_array_foreach (array, i, value) {
        struct pod_link_route *route = &a->routes[a->n_routes++];
        struct reader member = { value, NULL };
        const char *gw = get_string(&member, "gw", true);
        route->has_gw = gw != NULL;
        if (inet_prefix_parse(get_string(&member, "dst", false), &route->dst, NULL) || member.bad
            || (gw && inet_addr_parse(gw, &route->gw, NULL))
            || json_unpack(json_object_get(value, "n"), "[iiiii]", &route->mtu, &route->advmss, &route->priority,
                           &route->table, &route->scope)) {
            r->bad = "routes";
        }
    }
}

static void
read_netns_id(struct attachment *a, struct reader *r)
{
    json_int_t dev, ino;
    if (json_unpack(json_object_get(r->json, "ino"), "[II]", &dev, &ino)) {
        r->bad = "ino";
        return;
    }
    a->netns_id = (struct netns_id) { dev, ino };
}

static void
replay_add(struct attachments *t, struct reader *r, const char *network, const char *container_id, const char *ifname)
{
    struct attachment *a = attachment_create_(t, network, container_id, ifname);
    a->netns = xstrdup(get_string(r, "netns", false));
    a->pod_namespace = nullable_xstrdup(get_string(r, "pns", true));
    a->pod_name = nullable_xstrdup(get_string(r, "pod", true));
    a->pod_uid = nullable_xstrdup(get_string(r, "uid", true));
    a->owner = xstrdup(get_string(r, "owner", false));
    ovs_strlcpy(a->host_name, get_string(r, "host", false), sizeof a->host_name);
    a->ofport = u16_to_ofp(get_integer(r, "port", OFPORT_FIRST_POD, OFPORT_LAST_POD));
    if (!eth_addr_from_string(get_string(r, "mac", false), &a->mac)) {
        r->bad = "mac";
    }
    a->mtu = get_integer(r, "mtu", 0, UINT16_MAX);
    a->mtu_wish = get_integer(r, "mtuw", 0, UINT16_MAX);
    a->delegated = json_is_true(json_object_get(r->json, "del"));
    free(a->boot_id);
    a->boot_id = xstrdup(get_string(r, "boot", false));
    a->created = get_integer(r, "time", 0, RECORD_TIME_MAX);
    a->recorded = a->synced = a->seen = true;
    a->deadline = LLONG_MAX;
    read_netns_id(a, r);
    read_ips(a, r);
    read_routes(a, r);
    if (!attachment_read_ports_(a, json_object_get(r->json, "ports"))) {
        r->bad = "ports";
    }
    if (!r->bad && (bitmap_is_set(t->ofports, ofp_to_u16(a->ofport)) || shash_find(&t->host_names, a->host_name)
                    || attachment_find_(t, network, container_id, ifname))) {
        r->bad = "host";                /* Two live attachments with one number. */
    }
    if (r->bad) {
        a->ofport = 0;
    }
    attachment_insert_(a, ATTACHMENT_ADDING);
    if (r->bad) {
        attachment_forget_(a);
        return;
    }
    for (size_t i = 0; i < a->n_ips; i++) {
        struct old_address *old = find_old(t, &a->ips[i].prefix.addr);
        if (old && a->ips[i].generation) {
            hmap_remove(&t->old_addresses, &old->node);
            free(old);
        }
    }
    attachment_take_numbers_(a);
}

static void
replay_del(struct attachment *a, struct reader *r)
{
    struct attachments *t = a->table;
    long long int time = get_integer(r, "time", 0, RECORD_TIME_MAX);

    for (size_t i = 0; i < a->n_ips; i++) {
        if (a->ips[i].generation && !json_is_false(json_object_get(r->json, "seen"))) {
            put_old(t, &a->ips[i].prefix.addr, a->ips[i].generation, time);
        }
    }
    tombstone_add_(t, a->network, a->container_id, a->ifname, time);
    attachment_forget_(a);
}

static void
replay_state(struct attachments *t, struct reader *r, const char *op)
{
    if (!strcmp(op, "meta")) {
        see_generation(t, get_integer(r, "gen", 0, LLONG_MAX));
        t->next_ofport = get_integer(r, "port", OFPORT_FIRST_POD, OFPORT_LAST_POD + 1);
    } else if (!strcmp(op, "free")) {
        struct in6_addr addr;
        uint64_t generation = get_integer(r, "gen", 0, LLONG_MAX);
        if (inet_addr_parse(get_string(r, "ip", false), &addr, NULL)) {
            r->bad = "ip";
        } else {
            put_old(t, &addr, generation, get_integer(r, "time", 0, RECORD_TIME_MAX));
            see_generation(t, generation);
        }
    } else {
        r->bad = "op";
    }
}

static void
replay_json(struct attachments *t, struct reader *r)
{
    const char *op = get_string(r, "op", false);
    if (r->bad || !strcmp(op, "meta") || !strcmp(op, "free")) {
        replay_state(t, r, op);
        return;
    }
    const char *network = get_string(r, "net", false);
    const char *container_id = get_string(r, "cid", false);
    const char *ifname = get_string(r, "if", false);
    struct attachment *a = attachment_find_(t, network, container_id, ifname);
    if (r->bad) {
        return;
    }
    if (!strcmp(op, "add")) {
        replay_add(t, r, network, container_id, ifname);
    } else if (!strcmp(op, "tomb")) {
        tombstone_add_(t, network, container_id, ifname, get_integer(r, "time", 0, RECORD_TIME_MAX));
    } else if (!a) {
        r->bad = "cid";                 /* Of an attachment that was never added. */
    } else if (!strcmp(op, "up")) {
        a->up_recorded = true;
        if (json_is_false(json_object_get(r->json, "known")) && a->known && a->pod_name) {
            attachment_await_(a);
        }
    } else if (!strcmp(op, "known")) {
        attachment_unawait_(a);
    } else if (!strcmp(op, "mtu")) {
        a->mtu = get_integer(r, "mtu", 0, UINT16_MAX);
    } else if (!strcmp(op, "del")) {
        replay_del(a, r);
    } else {
        r->bad = "op";
    }
}

int
attachments_replay(struct attachments *t, const void *payload, size_t size, struct error *error)
{
    json_error_t json_error;
    json_t *json = json_loadb(payload, size, JSON_REJECT_DUPLICATES, &json_error);
    if (!json) {
        return error_set(error, EPROTO, "a record of the journal is no JSON: %s", json_error.text);
    }
    struct reader r = { json, NULL };
    replay_json(t, &r);
    json_decref(json);
    return !r.bad ? 0 : error_set(error, EPROTO, "a record of the journal has no or a wrong \"%s\"; was it written by "
                                  "a newer sluiced?", r.bad);
}

/* After the replay. ---------------------------------------------------------------------------------------------- */

static int
restore_quarantine(struct attachments *t, long long int now, struct error *error)
{
    struct old_address *old;
    int code = 0;

    HMAP_FOR_EACH_POP (old, node, &t->old_addresses) {
        if (!code && now - old->since < IPAM_QUARANTINE_MAX_MS) {
            code = ipam_restore_quarantined(t->ipam, &old->address, MIN(old->since, now), now, error);
            if (t->n_unacked >= t->allocated_unacked) {
                t->unacked = x2nrealloc(t->unacked, &t->allocated_unacked, sizeof *t->unacked);
            }
            t->unacked[t->n_unacked++] = old->address;
        }
        free(old);
    }
    return code;
}

static int
restore_addresses(struct attachment *a, struct error *error)
{
    int code = 0;
    for (size_t i = 0; !code && i < a->n_ips; i++) {
        if (a->ips[i].generation) {
            struct ipam_address address = { a->ips[i].prefix.addr, a->ips[i].generation };
            code = ipam_restore(a->table->ipam, &address, error);
        }
    }
    a->held = !a->delegated;
    return code;
}

static void
declare(struct attachment *a)
{
    a->link = a->conf = STEP_DONE;
    a->port = a->flows = STEP_DOING;
    attachment_set_state_(a, ATTACHMENT_UP);
    attachment_emit_(a->table, a, ATTACHMENT_PORT_SET);
    attachment_emit_(a->table, a, ATTACHMENT_FLOWS_SET);
}

int
attachments_recover(struct attachments *t, long long int now, struct error *error)
{
    struct attachment *a;
    HMAP_FOR_EACH (a, id_node, &t->by_id) {
        int code = restore_addresses(a, error);
        if (code) {
            return code;
        }
    }
    int code = restore_quarantine(t, now, error);
    if (code) {
        return code;
    }
    HMAP_FOR_EACH_SAFE (a, id_node, &t->by_id) {
        bool same_boot = !strcmp(a->boot_id, t->boot_id);
        if (same_boot && a->up_recorded) {
            declare(a);
            continue;
        }
        /* The links of another boot are gone, but the database of Open vSwitch remembers its ports. */
        a->link = same_boot ? STEP_DONE : STEP_NONE;
        a->port = a->flows = STEP_DONE;
        attachment_remove_(a, true, now);
    }
    return 0;
}
