/* cni-wire.h: bytes that may be anything to typed structs. */

#include "cni-wire.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json-get.h"

/* Lists. --------------------------------------------------------------------------------------------------------- */

/* Allocates 'json_array_size(array)' elements of 'size' bytes, all zero. */
static int
list_start(const json_t *array, const char *what, size_t max, size_t size, void *listp, struct error *error)
{
    size_t n = json_array_size(array);
    void *list = NULL;

    if (array && !json_is_array(array)) {
        return error_set(error, EINVAL, "%s must be a list", what);
    } else if (n > max) {
        return error_set(error, EINVAL, "%s: more than %zu elements", what, max);
    } else if (n) {
        list = calloc(n, size);
        if (!list) {
            return error_set_errno(error, ENOMEM, "%s", what);
        }
    }
    memcpy(listp, &list, sizeof list);
    return 0;
}

static int
ip_parse(const json_t *j, struct cni_ip *ip, struct error *error)
{
    int retval = json_is_object(j) ? 0 : error_set(error, EINVAL, "must be an object");

    retval = retval ? retval : json_get_string(j, "address", CNI_MAX_ADDRESS, &ip->address, error);
    retval = retval ? retval : json_get_string(j, "gateway", CNI_MAX_ADDRESS, &ip->gateway, error);
    if (!retval && ip->gateway && !*ip->gateway) {
        free(ip->gateway);
        ip->gateway = NULL;
    }
    if (retval) {
        return retval;
    } else if (!cni_cidr_ok(ip->address)) {
        return error_set(error, EINVAL, "\"address\" must be an address with a prefix length, not '%s'",
                         ip->address ? ip->address : "");
    } else if (ip->gateway && !cni_address_ok(ip->gateway)) {
        return error_set(error, EINVAL, "\"gateway\" must be an address, not '%s'", ip->gateway);
    }
    return 0;
}

int
cni_ips_parse(const json_t *array, struct cni_ip **ipsp, size_t *n, struct error *error)
{
    struct cni_ip *ips;
    int retval = list_start(array, "\"ips\"", CNI_WIRE_MAX_IPS, sizeof *ips, &ips, error);

    for (size_t i = 0; !retval && i < json_array_size(array); i++) {
        retval = ip_parse(json_array_get(array, i), &ips[i], error);
        if (retval) {
            error_wrap(error, "\"ips\", element %zu", i);
            cni_ips_free(ips, i + 1);
        }
    }
    if (!retval) {
        *ipsp = ips;
        *n = json_array_size(array);
    }
    return retval;
}

static int
route_parse(const json_t *j, struct cni_route *r, struct error *error)
{
    int retval = json_is_object(j) ? 0 : error_set(error, EINVAL, "must be an object");

    r->mtu = r->advmss = r->priority = r->table = r->scope = -1;
    retval = retval ? retval : json_get_string(j, "dst", CNI_MAX_ADDRESS, &r->dst, error);
    retval = retval ? retval : json_get_string(j, "gw", CNI_MAX_ADDRESS, &r->gw, error);
    retval = retval ? retval : json_get_int(j, "mtu", 0, INT_MAX, &r->mtu, error);
    retval = retval ? retval : json_get_int(j, "advmss", 0, INT_MAX, &r->advmss, error);
    retval = retval ? retval : json_get_int(j, "priority", 0, INT_MAX, &r->priority, error);
    retval = retval ? retval : json_get_int(j, "table", 0, INT_MAX, &r->table, error);
    retval = retval ? retval : json_get_int(j, "scope", 0, 255, &r->scope, error);
    if (!retval && r->gw && !*r->gw) {
        free(r->gw);
        r->gw = NULL;
    }
    if (retval) {
        return retval;
    } else if (!cni_cidr_ok(r->dst)) {
        return error_set(error, EINVAL, "\"dst\" must be a prefix, not '%s'", r->dst ? r->dst : "");
    } else if (r->gw && !cni_address_ok(r->gw)) {
        return error_set(error, EINVAL, "\"gw\" must be an address, not '%s'", r->gw);
    }
    return 0;
}

int
cni_routes_parse(const json_t *array, struct cni_route **routesp, size_t *n, struct error *error)
{
    struct cni_route *routes;
    int retval = list_start(array, "\"routes\"", CNI_WIRE_MAX_ROUTES, sizeof *routes, &routes, error);

    for (size_t i = 0; !retval && i < json_array_size(array); i++) {
        retval = route_parse(json_array_get(array, i), &routes[i], error);
        if (retval) {
            error_wrap(error, "\"routes\", element %zu", i);
            cni_routes_free(routes, i + 1);
        }
    }
    if (!retval) {
        *routesp = routes;
        *n = json_array_size(array);
    }
    return retval;
}

static bool
protocol_ok(const char *s)
{
    return !strcmp(s, "tcp") || !strcmp(s, "udp") || !strcmp(s, "sctp");
}

/* A member as the runtime spells it: containerd writes "HostPort", and CNI's plugins in Go take any case. */
static const char *
spelling(const json_t *object, const char *name)
{
    json_t *j = (json_t *) object;      /* Iterators read only. */

    for (void *i = json_object_iter(j); i && !json_object_get(object, name); i = json_object_iter_next(j, i)) {
        if (!strcasecmp(json_object_iter_key(i), name)) {
            return json_object_iter_key(i);
        }
    }
    return name;
}

static int
port_parse(const json_t *j, struct cni_port_mapping *p, struct error *error)
{
    int host_port = 0, container_port = 0;
    int retval = json_is_object(j) ? 0 : error_set(error, EINVAL, "must be an object");

    retval = retval ? retval : json_get_int(j, spelling(j, "hostPort"), 0, UINT16_MAX, &host_port, error);
    retval = retval ? retval : json_get_int(j, spelling(j, "containerPort"), 1, UINT16_MAX, &container_port, error);
    retval = retval ? retval : json_get_string(j, spelling(j, "protocol"), CNI_MAX_ADDRESS, &p->protocol, error);
    retval = retval ? retval : json_get_string(j, spelling(j, "hostIP"), CNI_MAX_ADDRESS, &p->host_ip, error);
    if (retval) {
        return retval;
    } else if (!container_port) {
        return error_set(error, EINVAL, "\"containerPort\" is missing");
    }
    p->host_port = host_port;
    p->container_port = container_port;
    if (p->host_ip && !*p->host_ip) {
        free(p->host_ip);
        p->host_ip = NULL;
    }
    if (!p->protocol && !(p->protocol = strdup("tcp"))) {
        return error_set_errno(error, ENOMEM, "\"protocol\"");
    }
    for (char *c = p->protocol; *c; c++) {
        *c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
    }
    if (!protocol_ok(p->protocol)) {
        return error_set(error, EINVAL, "\"protocol\" must be tcp, udp or sctp, not '%s'", p->protocol);
    } else if (p->host_ip && !cni_address_ok(p->host_ip)) {
        return error_set(error, EINVAL, "\"hostIP\" must be an address, not '%s'", p->host_ip);
    }
    return 0;
}

int
cni_ports_parse(const json_t *array, struct cni_port_mapping **portsp, size_t *n, struct error *error)
{
    struct cni_port_mapping *ports;
    int retval = list_start(array, "\"portMappings\"", CNI_WIRE_MAX_PORTS, sizeof *ports, &ports, error);

    for (size_t i = 0; !retval && i < json_array_size(array); i++) {
        retval = port_parse(json_array_get(array, i), &ports[i], error);
        if (retval) {
            error_wrap(error, "\"portMappings\", element %zu", i);
            cni_ports_free(ports, i + 1);
        }
    }
    if (!retval) {
        *portsp = ports;
        *n = json_array_size(array);
    }
    return retval;
}

static int
attachment_parse(const json_t *j, struct cni_attachment_id *id, struct error *error)
{
    int retval = json_is_object(j) ? 0 : error_set(error, EINVAL, "must be an object");

    retval = retval ? retval : json_get_string(j, "containerID", CNI_MAX_NAME, &id->container_id, error);
    retval = retval ? retval : json_get_string(j, "ifname", CNI_MAX_NAME, &id->ifname, error);
    if (retval) {
        return retval;
    } else if (!cni_container_id_ok(id->container_id)) {
        return error_set(error, EINVAL, "\"containerID\" is missing or not valid");
    } else if (!cni_ifname_ok(id->ifname)) {
        return error_set(error, EINVAL, "\"ifname\" is missing or not valid");
    }
    return 0;
}

int
cni_attachments_parse(const json_t *array, struct cni_attachment_id **idsp, size_t *n, struct error *error)
{
    struct cni_attachment_id *ids;
    int retval = list_start(array, "list of attachments", CNI_WIRE_MAX_ATTACHMENTS, sizeof *ids, &ids, error);

    for (size_t i = 0; !retval && i < json_array_size(array); i++) {
        retval = attachment_parse(json_array_get(array, i), &ids[i], error);
        if (retval) {
            error_wrap(error, "attachment %zu", i);
            cni_attachments_free(ids, i + 1);
        }
    }
    if (!retval) {
        *idsp = ids;
        *n = json_array_size(array);
    }
    return retval;
}

/* Request. ------------------------------------------------------------------------------------------------------- */

static int
request_ipam(const json_t *j, struct cni_request *r, struct error *error)
{
    json_t *ipam = NULL;
    int retval = json_get_object(j, "ipam", &ipam, error);

    if (retval || !ipam) {
        return retval;
    }
    r->delegated = true;
    retval = cni_ips_parse(json_object_get(ipam, "ips"), &r->d_ips, &r->n_d_ips, error);
    return retval ? retval : cni_routes_parse(json_object_get(ipam, "routes"), &r->d_routes, &r->n_d_routes, error);
}

static int
request_check(const json_t *j, struct cni_request *r, struct error *error)
{
    json_t *check = NULL;
    int retval = json_get_object(j, "check", &check, error);

    if (retval || !check) {
        return retval;
    }
    retval = json_get_string(check, "hostIfname", CNI_MAX_NAME, &r->check_host_ifname, error);
    retval = retval ? retval : json_get_string(check, "mac", CNI_MAX_ADDRESS, &r->check_mac, error);
    retval = retval ? retval : json_get_int(check, "mtu", 0, INT_MAX, &r->check_mtu, error);
    retval = retval ? retval : cni_ips_parse(json_object_get(check, "ips"), &r->check_ips, &r->n_check_ips, error);
    return retval ? retval : cni_routes_parse(json_object_get(check, "routes"), &r->check_routes, &r->n_check_routes,
                                              error);
}

static int
request_members(const json_t *j, struct cni_request *r, struct error *error)
{
    json_t *ports = NULL, *valid = NULL;
    int retval = json_get_string(j, "network", CNI_MAX_NAME, &r->network, error);

    retval = retval ? retval : json_get_string(j, "containerID", CNI_MAX_NAME, &r->container_id, error);
    retval = retval ? retval : json_get_string(j, "ifname", CNI_MAX_NAME, &r->ifname, error);
    retval = retval ? retval : json_get_string(j, "netns", CNI_MAX_PATH, &r->netns, error);
    retval = retval ? retval : json_get_string(j, "podNamespace", CNI_MAX_NAME, &r->pod_namespace, error);
    retval = retval ? retval : json_get_string(j, "podName", CNI_MAX_NAME, &r->pod_name, error);
    retval = retval ? retval : json_get_string(j, "podUID", CNI_MAX_NAME, &r->pod_uid, error);
    retval = retval ? retval : json_get_string(j, "mac", CNI_MAX_ADDRESS, &r->mac, error);
    retval = retval ? retval : json_get_strings(j, "ips", CNI_WIRE_MAX_IPS, CNI_MAX_ADDRESS, &r->ips, &r->n_ips, error);
    retval = retval ? retval : json_get_int(j, "mtu", 0, INT_MAX, &r->mtu, error);
    retval = retval ? retval : json_get_array(j, "portMappings", CNI_WIRE_MAX_PORTS, &ports, error);
    retval = retval ? retval : cni_ports_parse(ports, &r->ports, &r->n_ports, error);
    retval = retval ? retval : request_ipam(j, r, error);
    retval = retval ? retval : request_check(j, r, error);
    retval = retval ? retval : json_get_array(j, "valid", CNI_WIRE_MAX_ATTACHMENTS, &valid, error);
    if (!retval && r->verb == CNI_GC && !valid) {
        return error_set(error, EINVAL, "\"valid\" is missing");
    }
    return retval ? retval : cni_attachments_parse(valid, &r->valid, &r->n_valid, error);
}

static int
request_validate(const struct cni_request *r, struct error *error)
{
    bool attachment = r->verb == CNI_ADD || r->verb == CNI_DEL || r->verb == CNI_CHECK;

    if ((attachment || r->verb == CNI_GC || r->network) && !cni_network_ok(r->network)) {
        return error_set(error, EINVAL, "\"network\" is missing or not valid");
    } else if (attachment && !cni_container_id_ok(r->container_id)) {
        return error_set(error, EINVAL, "\"containerID\" is missing or not valid");
    } else if (attachment && !cni_ifname_ok(r->ifname)) {
        return error_set(error, EINVAL, "\"ifname\" is missing or not valid");
    } else if ((r->verb == CNI_ADD || r->verb == CNI_CHECK) && (!r->netns || !*r->netns)) {
        return error_set(error, EINVAL, "\"netns\" is missing");
    } else if (r->mac && !cni_mac_ok(r->mac)) {
        return error_set(error, EINVAL, "\"mac\" must be a unicast MAC address, not '%s'", r->mac);
    } else if (r->check_mac && !cni_mac_ok(r->check_mac)) {
        return error_set(error, EINVAL, "\"check\": \"mac\" must be a unicast MAC address, not '%s'", r->check_mac);
    }
    for (size_t i = 0; i < r->n_ips; i++) {
        if (!cni_address_ok(r->ips[i]) && !cni_cidr_ok(r->ips[i])) {
            return error_set(error, EINVAL, "\"ips\", element %zu: must be an address, not '%s'", i, r->ips[i]);
        }
    }
    return 0;
}

/* The document, if it is an object of our version. */
static int
document_parse(const void *data, size_t size, json_t **jp, struct error *error)
{
    json_t *j = size <= CNI_WIRE_MAX ? json_get_load(data, size, error) : NULL;
    int version = 0;

    if (!j) {
        return size > CNI_WIRE_MAX ? error_set(error, EMSGSIZE, "longer than %d bytes", CNI_WIRE_MAX)
               : error ? error->code : EINVAL;
    }
    int retval = json_is_object(j) ? 0 : error_set(error, EINVAL, "must be an object");
    retval = retval ? retval : json_get_int(j, "v", INT_MIN, INT_MAX, &version, error);
    if (!retval && version != CNI_WIRE_VERSION) {
        retval = error_set(error, EPROTO, "the other side speaks version %d of the protocol, this one %d: install "
                           "ovs-cni and sluiced of one release", version, CNI_WIRE_VERSION);
    }
    if (retval) {
        json_decref(j);
        return retval;
    }
    *jp = j;
    return 0;
}

int
cni_request_parse(const void *data, size_t size, struct cni_request *r, struct error *error)
{
    json_t *j = NULL;
    int retval = document_parse(data, size, &j, error);

    memset(r, 0, sizeof *r);
    if (!retval) {
        const char *verb = json_string_value(json_object_get(j, "verb"));
        retval = verb && cni_verb_parse(verb, &r->verb) ? 0
                 : error_set(error, EINVAL, "\"verb\" is missing or unknown");
        retval = retval ? retval : request_members(j, r, error);
        retval = retval ? retval : request_validate(r, error);
    }
    json_decref(j);
    if (retval) {
        cni_request_destroy(r);
        error_wrap(error, "CNI request");
    }
    return retval;
}

/* Reply. --------------------------------------------------------------------------------------------------------- */

static int
reply_result(const json_t *j, struct cni_reply *reply, struct error *error)
{
    struct cni_result *r = &reply->result;
    json_t *result = NULL;
    int retval = json_get_object(j, "result", &result, error);

    if (retval || !result) {
        return retval;
    }
    reply->has_result = true;
    retval = json_get_string(result, "hostIfname", CNI_MAX_NAME, &r->host_ifname, error);
    retval = retval ? retval : json_get_string(result, "hostMac", CNI_MAX_ADDRESS, &r->host_mac, error);
    retval = retval ? retval : json_get_string(result, "ifname", CNI_MAX_NAME, &r->ifname, error);
    retval = retval ? retval : json_get_string(result, "mac", CNI_MAX_ADDRESS, &r->mac, error);
    retval = retval ? retval : json_get_int(result, "mtu", 0, INT_MAX, &r->mtu, error);
    retval = retval ? retval : cni_ips_parse(json_object_get(result, "ips"), &r->ips, &r->n_ips, error);
    retval = retval ? retval : cni_routes_parse(json_object_get(result, "routes"), &r->routes, &r->n_routes, error);
    if (!retval && (!cni_ifname_ok(r->host_ifname) || !cni_ifname_ok(r->ifname) || !cni_mac_ok(r->mac))) {
        retval = error_set(error, EINVAL, "\"result\" names no interfaces");
    }
    return retval;
}

int
cni_reply_parse(const void *data, size_t size, struct cni_reply *r, struct error *error)
{
    json_t *j = NULL;
    int retval = document_parse(data, size, &j, error);
    int code = -1;

    memset(r, 0, sizeof *r);
    retval = retval ? retval : json_get_int(j, "code", 0, INT_MAX, &code, error);
    retval = retval || code >= 0 ? retval : error_set(error, EINVAL, "\"code\" is missing");
    retval = retval ? retval : json_get_string(j, "msg", CNI_MAX_TEXT, &r->message, error);
    retval = retval ? retval : json_get_string(j, "details", CNI_MAX_TEXT, &r->details, error);
    retval = retval ? retval : reply_result(j, r, error);
    json_decref(j);
    if (retval) {
        cni_reply_destroy(r);
        error_wrap(error, "reply of sluiced");
    } else {
        r->code = code;
    }
    return retval;
}
