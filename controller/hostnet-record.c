/* The record of what the uplink had: STATE/uplink.json. */

#include <config.h>

#include "hostnet-private.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fault.h"
#include "util.h"

#define RECORD_VERSION 1
#define RECORD_MAX_SIZE (1024 * 1024)
#define RECORD_MAX_ENTRIES 4096

void
hostnet_record_destroy(struct hostnet_record *record)
{
    free(record->addrs);
    free(record->routes);
    memset(record, 0, sizeof *record);
}

static bool
addr_equals(const struct rtnl_addr *a, const struct rtnl_addr *b)
{
    return (inet_prefix_equals(&a->prefix, &b->prefix) && a->scope == b->scope && a->flags == b->flags
            && a->metric == b->metric && a->has_peer == b->has_peer && a->has_broadcast == b->has_broadcast
            && (!a->has_peer || IN6_ARE_ADDR_EQUAL(&a->peer, &b->peer))
            && (!a->has_broadcast || IN6_ARE_ADDR_EQUAL(&a->broadcast, &b->broadcast)));
}

bool
hostnet_record_merge_addr(struct hostnet_record *record, const struct rtnl_addr *addr)
{
    struct rtnl_addr new = *addr;

    new.ifindex = 0;
    for (size_t i = 0; i < record->n_addrs; i++) {
        struct rtnl_addr *old = &record->addrs[i];
        if (IN6_ARE_ADDR_EQUAL(&old->prefix.addr, &new.prefix.addr)) {
            bool same = addr_equals(old, &new);
            *old = new;
            return !same;
        }
    }
    record->addrs = xrealloc(record->addrs, (record->n_addrs + 1) * sizeof *record->addrs);
    record->addrs[record->n_addrs++] = new;
    return true;
}

static bool
route_equals(const struct rtnl_route *a, const struct rtnl_route *b)
{
    return (a->protocol == b->protocol && a->scope == b->scope && a->type == b->type && a->onlink == b->onlink
            && a->has_gw == b->has_gw && a->has_src == b->has_src
            && (!a->has_gw || IN6_ARE_ADDR_EQUAL(&a->gw, &b->gw))
            && (!a->has_src || IN6_ARE_ADDR_EQUAL(&a->src, &b->src))
            && !memcmp(a->metrics, b->metrics, sizeof a->metrics));
}

bool
hostnet_record_merge_route(struct hostnet_record *record, const struct rtnl_route *route)
{
    struct rtnl_route new = *route;

    new.oif = 0;
    for (size_t i = 0; i < record->n_routes; i++) {
        struct rtnl_route *old = &record->routes[i];
        if (inet_prefix_equals(&old->dst, &new.dst) && old->table == new.table && old->tos == new.tos
            && old->priority == new.priority) {
            bool same = route_equals(old, &new);
            *old = new;
            return !same;
        }
    }
    record->routes = xrealloc(record->routes, (record->n_routes + 1) * sizeof *record->routes);
    record->routes[record->n_routes++] = new;
    return true;
}

/* To JSON. ------------------------------------------------------------------------------------------------------- */

static json_t *
addr_text(const struct in6_addr *addr)
{
    char buf[INET_ADDR_STRLEN];
    return json_string(inet_addr_format(addr, buf));
}

static json_t *
prefix_text(const struct inet_prefix *prefix)
{
    char buf[INET_PREFIX_STRLEN];
    return json_string(inet_prefix_format(prefix, buf));
}

static json_t *
addr_to_json(const struct rtnl_addr *addr)
{
    json_t *json = json_pack("{so si sI sI}", "address", prefix_text(&addr->prefix), "scope", addr->scope,
                             "flags", (json_int_t) addr->flags, "metric", (json_int_t) addr->metric);
    if (addr->has_peer) {
        json_object_set_new(json, "peer", addr_text(&addr->peer));
    }
    if (addr->has_broadcast) {
        json_object_set_new(json, "broadcast", addr_text(&addr->broadcast));
    }
    return json;
}

static json_t *
route_to_json(const struct rtnl_route *route)
{
    json_t *metrics = json_array();

    for (int i = 0; i <= RTAX_MAX; i++) {
        json_array_append_new(metrics, json_integer(route->metrics[i]));
    }
    json_t *json = json_pack("{so sI si si si si sI sb so}", "destination", prefix_text(&route->dst),
                             "table", (json_int_t) route->table, "protocol", route->protocol, "scope", route->scope,
                             "type", route->type, "tos", route->tos, "priority", (json_int_t) route->priority,
                             "onlink", route->onlink, "metrics", metrics);
    if (route->has_gw) {
        json_object_set_new(json, "gateway", addr_text(&route->gw));
    }
    if (route->has_src) {
        json_object_set_new(json, "source", addr_text(&route->src));
    }
    return json;
}

char *
hostnet_record_format(const struct hostnet_record *record)
{
    json_t *addrs = json_array(), *routes = json_array();

    for (size_t i = 0; i < record->n_addrs; i++) {
        json_array_append_new(addrs, addr_to_json(&record->addrs[i]));
    }
    for (size_t i = 0; i < record->n_routes; i++) {
        json_array_append_new(routes, route_to_json(&record->routes[i]));
    }
    json_t *json = json_pack("{si ss ss si si so so}", "version", RECORD_VERSION, "uplink", record->uplink,
                             "bridge", record->bridge, "accept_ra", record->accept_ra, "gro", record->gro,
                             "addresses", addrs, "routes", routes);
    char *text = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    return text;
}

/* From JSON. ----------------------------------------------------------------------------------------------------- */

/* A member that may be absent. */
static int
optional_addr(const char *text, bool *has, struct in6_addr *addr, struct error *error)
{
    *has = text != NULL;
    return text ? inet_addr_parse(text, addr, error) : 0;
}

static int
addr_from_json(json_t *json, struct rtnl_addr *addr, struct error *error)
{
    const char *address, *peer = NULL, *broadcast = NULL;
    json_int_t flags, metric;
    json_error_t je;
    int scope;

    if (json_unpack_ex(json, &je, 0, "{ss si sI sI s?s s?s}", "address", &address, "scope", &scope, "flags", &flags,
                       "metric", &metric, "peer", &peer, "broadcast", &broadcast)) {
        return error_set(error, EINVAL, "address: %s", je.text);
    }
    *addr = (struct rtnl_addr) { .scope = scope, .flags = flags, .metric = metric };
    int retval = inet_prefix_parse(address, &addr->prefix, error);
    if (!retval) {
        retval = optional_addr(peer, &addr->has_peer, &addr->peer, error);
    }
    return retval ? retval : optional_addr(broadcast, &addr->has_broadcast, &addr->broadcast, error);
}

static int
route_from_json(json_t *json, struct rtnl_route *route, struct error *error)
{
    const char *destination, *gateway = NULL, *source = NULL;
    int protocol, scope, type, tos, onlink;
    json_int_t table, priority;
    struct inet_prefix dst;
    json_error_t je;
    json_t *metrics;

    if (json_unpack_ex(json, &je, 0, "{ss sI si si si si sI sb so s?s s?s}", "destination", &destination,
                       "table", &table,
                       "protocol", &protocol, "scope", &scope, "type", &type, "tos", &tos, "priority", &priority,
                       "onlink", &onlink, "metrics", &metrics, "gateway", &gateway, "source", &source)) {
        return error_set(error, EINVAL, "route: %s", je.text);
    }
    int retval = inet_cidr_parse(destination, &dst, error);
    if (retval) {
        return retval;
    }
    rtnl_route_init(route, &dst, 0);
    route->table = table;
    route->protocol = protocol;
    route->scope = scope;
    route->type = type;
    route->tos = tos;
    route->priority = priority;
    route->onlink = onlink;
    for (size_t i = 1; i <= RTAX_MAX && i < json_array_size(metrics); i++) {
        route->metrics[i] = json_integer_value(json_array_get(metrics, i));
    }
    retval = optional_addr(gateway, &route->has_gw, &route->gw, error);
    return retval ? retval : optional_addr(source, &route->has_src, &route->src, error);
}

static int
entries_from_json(json_t *addrs, json_t *routes, struct hostnet_record *record, struct error *error)
{
    if (json_array_size(addrs) > RECORD_MAX_ENTRIES || json_array_size(routes) > RECORD_MAX_ENTRIES) {
        return error_set(error, E2BIG, "more than %d entries", RECORD_MAX_ENTRIES);
    }

    json_t *entry;
    size_t i;
    json_array_foreach (addrs, i, entry) {
        struct rtnl_addr addr;
        int retval = addr_from_json(entry, &addr, error);
        if (retval) {
            return retval;
        }
        hostnet_record_merge_addr(record, &addr);
    }
    json_array_foreach (routes, i, entry) {
        struct rtnl_route route;
        int retval = route_from_json(entry, &route, error);
        if (retval) {
            return retval;
        }
        hostnet_record_merge_route(record, &route);
    }
    return 0;
}

static bool
ifname_ok(const char *name)
{
    return name[0] && strlen(name) < IFNAMSIZ && !strchr(name, '/');
}

int
hostnet_record_parse(const char *text, size_t size, struct hostnet_record *record, struct error *error)
{
    json_t *addrs, *routes;
    const char *uplink, *bridge;
    json_error_t je;
    int version, retval;

    memset(record, 0, sizeof *record);
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &je);
    if (!json || json_unpack_ex(json, &je, 0, "{si ss ss si si so so}", "version", &version, "uplink", &uplink,
                                "bridge", &bridge, "accept_ra", &record->accept_ra, "gro", &record->gro,
                                "addresses", &addrs, "routes", &routes)) {
        retval = error_set(error, EINVAL, "%s", je.text);
    } else if (version != RECORD_VERSION) {
        retval = error_set(error, EINVAL, "version %d is not known", version);
    } else if (!ifname_ok(uplink) || !ifname_ok(bridge)) {
        retval = error_set(error, EINVAL, "\"%.32s\" is no name of an interface", ifname_ok(uplink) ? bridge : uplink);
    } else {
        ovs_strzcpy(record->uplink, uplink, sizeof record->uplink);
        ovs_strzcpy(record->bridge, bridge, sizeof record->bridge);
        retval = entries_from_json(addrs, routes, record, error);
    }
    json_decref(json);
    if (retval) {
        hostnet_record_destroy(record);
    }
    return retval;
}

/* The file. ------------------------------------------------------------------------------------------------------ */

static char *
record_path(const char *state_dir)
{
    return xasprintf("%s/uplink.json", state_dir);
}

int
hostnet_record_load(const char *state_dir, struct hostnet_record *record, struct error *error)
{
    char *path = record_path(state_dir);
    char *text = xmalloc(RECORD_MAX_SIZE);
    int retval;

    memset(record, 0, sizeof *record);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, RECORD_MAX_SIZE);
    if (n < 0) {
        retval = (errno == ENOENT ? ENOENT
                  : error_set_errno(error, errno, "cannot read the record of the uplink %s", path));
    } else {
        retval = hostnet_record_parse(text, n, record, error);
        if (retval) {
            error_wrap(error, "the record of the uplink %s cannot be understood", path);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    free(text);
    free(path);
    return retval;
}

/* Makes what happened to the names in 'state_dir' durable. */
static int
sync_dir(const char *state_dir)
{
    int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int retval = fd < 0 || fsync(fd) ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return retval;
}

static int
write_file(const char *path, const char *text)
{
    size_t size = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }

    ssize_t n = write(fd, text, size);
    int retval = n < 0 ? errno : n < size ? ENOSPC : fsync(fd) ? errno : 0;
    close(fd);
    return retval;
}

int
hostnet_record_save(const char *state_dir, const struct hostnet_record *record, struct error *error)
{
    char *path = record_path(state_dir);
    char *tmp = xasprintf("%s.tmp", path);
    char *text = hostnet_record_format(record);

    int retval = fault_point("hostnet-record");
    if (!retval) {
        retval = write_file(tmp, text);
    }
    if (!retval) {
        retval = fault_point("hostnet-record-written");
    }
    if (!retval && rename(tmp, path)) {
        retval = errno;
    }
    if (!retval) {
        retval = sync_dir(state_dir);
    } else {
        unlink(tmp);
    }
    if (retval) {
        error_set_errno(error, retval, "cannot write the record of the uplink %s", path);
    }
    free(text);
    free(tmp);
    free(path);
    return retval;
}

int
hostnet_record_remove(const char *state_dir, struct error *error)
{
    char *path = record_path(state_dir);
    int retval = unlink(path) && errno != ENOENT ? errno : sync_dir(state_dir);

    if (retval) {
        error_set_errno(error, retval, "cannot remove the record of the uplink %s", path);
    }
    free(path);
    return retval;
}
