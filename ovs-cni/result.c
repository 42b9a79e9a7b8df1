#include "result.h"

#include <stdlib.h>
#include <string.h>

#include "json-get.h"

/* Making. -------------------------------------------------------------------------------------------------------- */

static bool
append(json_t *array, json_t *value, bool complete)
{
    return !json_array_append_new(array, value) && complete;
}

/* The list 'key' of 'result', made if it is not there.  Borrowed; NULL if it is something else. */
static json_t *
list(json_t *result, const char *key)
{
    json_t *array = json_object_get(result, key);

    if (!array || json_is_null(array)) {
        array = json_array();
        if (json_object_set_new(result, key, array)) {
            return NULL;
        }
    }
    return json_is_array(array) ? array : NULL;
}

static bool
add_interface(json_t *interfaces, enum cni_version version, const char *name, const char *mac, int mtu,
              const char *sandbox)
{
    json_t *i = json_object();
    bool ok = json_put_string(i, "name", name) && json_put_string(i, "mac", mac)
              && (version < CNI_V_1_1_0 || !mtu || !json_object_set_new(i, "mtu", json_integer(mtu)))
              && json_put_string(i, "sandbox", sandbox);
    return append(interfaces, i, ok);
}

static bool
add_ip(json_t *ips, enum cni_version version, const struct cni_ip *ip, size_t interface)
{
    json_t *i = json_object();
    bool ok = (version >= CNI_V_1_0_0 || json_put_string(i, "version", strchr(ip->address, ':') ? "6" : "4"))
              && !json_object_set_new(i, "interface", json_integer(interface))
              && json_put_string(i, "address", ip->address) && json_put_string(i, "gateway", ip->gateway);
    return append(ips, i, ok);
}

/* Before 1.1.0 a route was a destination and a gateway. */
static bool
add_route(json_t *routes, enum cni_version version, const struct cni_route *route)
{
    struct cni_route plain = { .dst = route->dst, .gw = route->gw, .mtu = -1, .advmss = -1, .priority = -1, .table = -1,
                               .scope = -1 };
    return append(routes, cni_route_to_json(version < CNI_V_1_1_0 ? &plain : route), true);
}

static bool
amend(json_t *result, enum cni_version version, const struct cni_result *r, const char *sandbox, json_t *dns)
{
    json_t *interfaces = list(result, "interfaces"), *ips = list(result, "ips");
    json_t *routes = r->n_routes ? list(result, "routes") : NULL;
    size_t ours = json_array_size(interfaces) + 1;

    if (!interfaces || !ips || (r->n_routes && !routes)
        || !add_interface(interfaces, version, r->host_ifname, r->host_mac, r->mtu, NULL)
        || !add_interface(interfaces, version, r->ifname, r->mac, r->mtu, sandbox)) {
        return false;
    }
    for (size_t i = 0; i < r->n_ips; i++) {
        if (!add_ip(ips, version, &r->ips[i], ours)) {
            return false;
        }
    }
    for (size_t i = 0; i < r->n_routes; i++) {
        if (!add_route(routes, version, &r->routes[i])) {
            return false;
        }
    }
    return !dns || json_object_size(json_object_get(result, "dns")) || !json_object_set(result, "dns", dns);
}

json_t *
result_create(enum cni_version version, const json_t *prev_result, const struct cni_result *r, const char *sandbox,
              json_t *dns)
{
    json_t *result = prev_result ? json_deep_copy(prev_result) : json_object();

    if (!json_put_string(result, "cniVersion", cni_version_name(version)) || !amend(result, version, r, sandbox, dns)) {
        json_decref(result);
        return NULL;
    }
    return result;
}

/* Reading back. -------------------------------------------------------------------------------------------------- */

/* The index of our interface in 'interfaces', or -1. */
static json_int_t
find_interface(const json_t *interfaces, const char *ifname, const char *sandbox)
{
    const json_t *interface;
    size_t i;

    json_array_foreach(interfaces, i, interface) {
        const char *name = json_string_value(json_object_get(interface, "name"));
        const char *where = json_string_value(json_object_get(interface, "sandbox"));
        if (name && where && !strcmp(name, ifname) && !strcmp(where, sandbox)) {
            return i;
        }
    }
    return -1;
}

/* Our host end is the interface before ours, because ADD made them so. */
static int
take_interfaces(const json_t *interfaces, json_int_t ours, struct cni_request *r, struct error *error)
{
    const json_t *interface = json_array_get(interfaces, ours), *host = json_array_get(interfaces, ours - 1);
    int retval = json_get_string(interface, "mac", CNI_MAX_ADDRESS, &r->check_mac, error);

    retval = retval ? retval : json_get_int(interface, "mtu", 0, 65535, &r->check_mtu, error);
    if (!retval && ours && !json_string_value(json_object_get(host, "sandbox"))) {
        retval = json_get_string(host, "name", CNI_MAX_NAME, &r->check_host_ifname, error);
    }
    return retval;
}

static int
take_ips(const json_t *ips, json_int_t ours, struct cni_request *r, struct error *error)
{
    json_t *mine = json_array(), *ip;
    size_t i;

    json_array_foreach(ips, i, ip) {
        const json_t *interface = json_object_get(ip, "interface");
        if (json_is_integer(interface) && json_integer_value(interface) == ours) {
            json_array_append(mine, ip);
        }
    }
    int retval = cni_ips_parse(mine, &r->check_ips, &r->n_check_ips, error);
    json_decref(mine);
    return retval;
}

enum cni_code
result_to_check(const json_t *prev_result, const char *ifname, const char *sandbox, struct cni_request *r,
                struct error *error)
{
    json_t *interfaces = NULL, *ips = NULL, *routes = NULL;
    int retval = json_get_array(prev_result, "interfaces", 1024, &interfaces, error);

    retval = retval ? retval : json_get_array(prev_result, "ips", 1024, &ips, error);
    retval = retval ? retval : json_get_array(prev_result, "routes", 1024, &routes, error);
    json_int_t ours = find_interface(interfaces, ifname, sandbox);
    if (!retval && ours < 0) {
        return error_set(error, CNI_E_CONFIG, "\"prevResult\" has no interface %s in %s", ifname, sandbox);
    }
    retval = retval ? retval : take_interfaces(interfaces, ours, r, error);
    retval = retval ? retval : take_ips(ips, ours, r, error);
    retval = retval ? retval : cni_routes_parse(routes, &r->check_routes, &r->n_check_routes, error);
    if (retval) {
        error_wrap(error, "\"prevResult\"");
        if (error) {
            error->code = CNI_E_CONFIG;
        }
        return CNI_E_CONFIG;
    }
    return CNI_OK;
}
