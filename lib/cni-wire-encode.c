/* cni-wire.h: typed structs to JSON.  Anything that fails here failed for want of memory, so that one flag, 'ok', is
 * carried through. */

#include "cni-wire.h"

#include "json-get.h"

static bool
put_new(json_t *object, const char *key, json_t *value)
{
    return value && !json_object_set_new(object, key, value);
}

/* Members of a route that were not given (-1) are left out. */
static bool
put_number(json_t *object, const char *key, int value)
{
    return value < 0 || put_new(object, key, json_integer(value));
}

static json_t *
ips_to_json(const struct cni_ip *ips, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n && array; i++) {
        json_t *ip = json_object();
        bool ok = json_put_string(ip, "address", ips[i].address) && json_put_string(ip, "gateway", ips[i].gateway);
        if (json_array_append_new(array, ip) || !ok) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *
cni_route_to_json(const struct cni_route *r)
{
    json_t *route = json_object();
    bool ok = json_put_string(route, "dst", r->dst) && json_put_string(route, "gw", r->gw)
              && put_number(route, "mtu", r->mtu) && put_number(route, "advmss", r->advmss)
              && put_number(route, "priority", r->priority) && put_number(route, "table", r->table)
              && put_number(route, "scope", r->scope);

    if (!ok) {
        json_decref(route);
        return NULL;
    }
    return route;
}

static json_t *
routes_to_json(const struct cni_route *routes, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n && array; i++) {
        if (json_array_append_new(array, cni_route_to_json(&routes[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *
ports_to_json(const struct cni_port_mapping *ports, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n && array; i++) {
        json_t *port = json_object();
        bool ok = put_number(port, "hostPort", ports[i].host_port)
                  && put_number(port, "containerPort", ports[i].container_port)
                  && json_put_string(port, "protocol", ports[i].protocol)
                  && json_put_string(port, "hostIP", ports[i].host_ip);
        if (json_array_append_new(array, port) || !ok) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *
strings_to_json(char *const *strings, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n && array; i++) {
        if (json_array_append_new(array, json_string(strings[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *
attachments_to_json(const struct cni_attachment_id *ids, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n && array; i++) {
        json_t *id = json_object();
        bool ok = json_put_string(id, "containerID", ids[i].container_id)
                  && json_put_string(id, "ifname", ids[i].ifname);
        if (json_array_append_new(array, id) || !ok) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *
ipam_to_json(const struct cni_request *r)
{
    json_t *ipam = json_object();

    if (!put_new(ipam, "ips", ips_to_json(r->d_ips, r->n_d_ips))
        || !put_new(ipam, "routes", routes_to_json(r->d_routes, r->n_d_routes))) {
        json_decref(ipam);
        return NULL;
    }
    return ipam;
}

static json_t *
check_to_json(const struct cni_request *r)
{
    json_t *check = json_object();

    if (!json_put_string(check, "hostIfname", r->check_host_ifname) || !json_put_string(check, "mac", r->check_mac)
        || !put_number(check, "mtu", r->check_mtu)
        || !put_new(check, "ips", ips_to_json(r->check_ips, r->n_check_ips))
        || !put_new(check, "routes", routes_to_json(r->check_routes, r->n_check_routes))) {
        json_decref(check);
        return NULL;
    }
    return check;
}

static bool
put_request(json_t *j, const struct cni_request *r)
{
    return put_number(j, "v", CNI_WIRE_VERSION)
        && json_put_string(j, "verb", cni_verb_name(r->verb))
        && json_put_string(j, "network", r->network)
        && json_put_string(j, "containerID", r->container_id)
        && json_put_string(j, "ifname", r->ifname)
        && json_put_string(j, "netns", r->netns)
        && json_put_string(j, "podNamespace", r->pod_namespace)
        && json_put_string(j, "podName", r->pod_name)
        && json_put_string(j, "podUID", r->pod_uid)
        && json_put_string(j, "mac", r->mac)
        && (!r->n_ips || put_new(j, "ips", strings_to_json(r->ips, r->n_ips)))
        && (!r->mtu || put_number(j, "mtu", r->mtu))
        && (!r->n_ports || put_new(j, "portMappings", ports_to_json(r->ports, r->n_ports)))
        && (!r->delegated || put_new(j, "ipam", ipam_to_json(r)))
        && (r->verb != CNI_CHECK || put_new(j, "check", check_to_json(r)))
        && (r->verb != CNI_GC || put_new(j, "valid", attachments_to_json(r->valid, r->n_valid)));
}

json_t *
cni_request_to_json(const struct cni_request *r)
{
    json_t *j = json_object();

    if (!put_request(j, r)) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static json_t *
result_to_json(const struct cni_result *r)
{
    json_t *j = json_object();

    if (!json_put_string(j, "hostIfname", r->host_ifname) || !json_put_string(j, "hostMac", r->host_mac)
        || !json_put_string(j, "ifname", r->ifname) || !json_put_string(j, "mac", r->mac)
        || !put_number(j, "mtu", r->mtu)
        || !put_new(j, "ips", ips_to_json(r->ips, r->n_ips))
        || !put_new(j, "routes", routes_to_json(r->routes, r->n_routes))) {
        json_decref(j);
        return NULL;
    }
    return j;
}

json_t *
cni_reply_to_json(const struct cni_reply *r)
{
    json_t *j = json_object();

    if (!put_number(j, "v", CNI_WIRE_VERSION) || !put_number(j, "code", r->code)
        || !json_put_string(j, "msg", r->message) || !json_put_string(j, "details", r->details)
        || (r->has_result && !put_new(j, "result", result_to_json(&r->result)))) {
        json_decref(j);
        return NULL;
    }
    return j;
}
