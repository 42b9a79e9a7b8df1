#include <config.h>

#include "controller/kube-service.h"

#include <errno.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "controller/kube-schema.h"
#include "util.h"

#define AFFINITY_DEFAULT 10800
#define AFFINITY_MAX 86400

/* Ports. ----------------------------------------------------------------------------------------------------------- */

static bool
port_name_ok(const char *name)
{
    return kube_name_ok(name, false, 63);
}

static const struct kube_field port_fields[] = {
    { "name", KUBE_F_STRING, .ok = port_name_ok, KUBE_FIELD(struct kube_service_port, name) },
    { "protocol", KUBE_F_PROTOCOL, KUBE_FIELD(struct kube_service_port, protocol) },
    { "port", KUBE_F_PORT, .required = true, .min = 1, KUBE_FIELD(struct kube_service_port, port) },
    { "nodePort", KUBE_F_PORT, KUBE_FIELD(struct kube_service_port, node_port) },
};
static const struct kube_schema port_schema = KUBE_SCHEMA(struct kube_service_port, port_fields, NULL);

/* There are some, unless nothing is served; several have names; no two have the same name, or the same protocol and
 * number. */
static int
check_ports(const struct kube_service *s, const struct kube_at *up, struct error *error)
{
    const struct kube_at list = { up, "ports", 0 };

    if (!s->n_ports && !s->headless && s->type != KUBE_EXTERNAL_NAME) {
        return kube_fail(&list, error, "must have an element");
    }
    for (uint32_t i = 0; i < s->n_ports; i++) {
        const struct kube_service_port *a = &s->ports[i];
        const struct kube_at at = { &list, NULL, i };

        if (!a->name && s->n_ports > 1) {
            return kube_fail(&at, error, "needs a name, as there are several");
        }
        for (uint32_t j = 0; j < i; j++) {
            const struct kube_service_port *b = &s->ports[j];

            if (a->protocol == b->protocol && a->port == b->port) {
                return kube_fail(&at, error, "has the protocol and number of ports[%"PRIu32"]", j);
            }
            if (!strcmp(a->name, b->name)) {
                return kube_fail(&at, error, "has the name of ports[%"PRIu32"]", j);
            }
        }
    }
    return 0;
}

/* Addresses. ------------------------------------------------------------------------------------------------------- */

static int
add_cluster_ip(struct kube_service *s, const json_t *json, const struct kube_at *at, struct error *error)
{
    const char *text = json_string_value(json);

    if (text && !strcmp(text, "None")) {
        s->headless = true;
        return 0;
    }
    if (text && !*text) {
        return 0;                       /* Not given yet. */
    }

    struct in6_addr addr;
    if (kube_decode_addr(json, &addr, at, error) || kube_check_target(&addr, at, error)) {
        return EINVAL;
    }
    if (s->n_cluster_ips && inet_is_v4(&s->cluster_ips[0]) == inet_is_v4(&addr)) {
        return kube_fail(at, error, "a Service has at most one address of each family");
    }
    *(struct in6_addr *) kube_list_add(&s->cluster_ips, &s->n_cluster_ips, sizeof addr) = addr;
    return 0;
}

/* clusterIPs, or clusterIP where only that is given. */
static int
decode_cluster_ips(const json_t *spec, struct kube_service *s, const struct kube_at *up, struct error *error)
{
    const struct kube_at one = { up, "clusterIP", 0 }, list = { up, "clusterIPs", 0 };
    const json_t *ip = kube_member(spec, "clusterIP"), *ips = kube_member(spec, "clusterIPs"), *element;
    size_t i;

    if (ips && (!json_is_array(ips) || json_array_size(ips) > 2)) {
        return kube_fail(&list, error, "must be a list of at most two elements");
    }
    json_array_foreach (ips, i, element) {
        const struct kube_at at = { &list, NULL, i };
        if (add_cluster_ip(s, element, &at, error)) {
            return EINVAL;
        }
    }
    if (!json_array_size(ips) && ip && add_cluster_ip(s, ip, &one, error)) {
        return EINVAL;
    }
    return s->headless && s->n_cluster_ips ? kube_fail(&list, error, "has an address beside None") : 0;
}

static int
check_external_ips(const struct kube_service *s, const struct kube_at *up, struct error *error)
{
    const struct kube_at list = { up, "externalIPs", 0 };

    for (uint32_t i = 0; i < s->n_external_ips; i++) {
        const struct kube_at at = { &list, NULL, i };
        if (kube_check_target(&s->external_ips[i], &at, error)) {
            return EINVAL;
        }
    }
    return 0;
}

/* An element of status.loadBalancer.ingress counts if it has an address and its ipMode is not Proxy. */
static int
add_lb_ingress(struct kube_service *s, const json_t *json, const struct kube_at *at, struct error *error)
{
    const struct kube_at ip_at = { at, "ip", 0 }, mode_at = { at, "ipMode", 0 };
    const json_t *ip = kube_member(json, "ip"), *mode = kube_member(json, "ipMode");
    struct in6_addr addr;

    if (!json_is_object(json)) {
        return kube_fail(at, error, "must be an object");
    }
    if (mode && !json_is_string(mode)) {
        return kube_fail(&mode_at, error, "must be a string");
    }
    if (!ip || (json_is_string(ip) && !*json_string_value(ip))) {
        return 0;
    }
    if (kube_decode_addr(ip, &addr, &ip_at, error)) {
        return EINVAL;
    }
    if (!mode || !strcmp(json_string_value(mode), "VIP")) {
        if (kube_check_target(&addr, &ip_at, error)) {
            return EINVAL;
        }
        *(struct in6_addr *) kube_list_add(&s->lb_ips, &s->n_lb_ips, sizeof addr) = addr;
    }
    return 0;
}

static int
finish_load_balancer(const json_t *json, void *value, const struct kube_at *up, struct error *error)
{
    const struct kube_at list = { up, "ingress", 0 };
    const json_t *ingress = kube_member(json, "ingress"), *element;
    size_t i;

    if (ingress && (!json_is_array(ingress) || json_array_size(ingress) > KUBE_MAX_SERVICE_ADDRS)) {
        return kube_fail(&list, error, "must be a list of at most %d elements", KUBE_MAX_SERVICE_ADDRS);
    }
    json_array_foreach (ingress, i, element) {
        const struct kube_at at = { &list, NULL, i };
        if (add_lb_ingress(value, element, &at, error)) {
            return EINVAL;
        }
    }
    return 0;
}

/* The rest of spec. ------------------------------------------------------------------------------------------------ */

static int
decode_distribution(const json_t *spec, struct kube_service *s, const struct kube_at *up, struct error *error)
{
    const struct kube_at at = { up, "trafficDistribution", 0 };
    const json_t *json = kube_member(spec, "trafficDistribution");
    const char *text = json_string_value(json);

    if (json && !text) {
        return kube_fail(&at, error, "must be a string");
    }
    if (text && (!strcmp(text, "PreferClose") || !strcmp(text, "PreferSameZone"))) {
        s->distribution = KUBE_PREFER_SAME_ZONE;
    } else if (text && !strcmp(text, "PreferSameNode")) {
        s->distribution = KUBE_PREFER_SAME_NODE;
    }
    return 0;
}

static int
finish_spec(const json_t *spec, void *value, const struct kube_at *at, struct error *error)
{
    struct kube_service *s = value;

    if (!s->client_ip_affinity) {
        s->affinity_timeout = 0;
    } else if (!s->affinity_timeout) {
        s->affinity_timeout = AFFINITY_DEFAULT;
    }
    if (s->type == KUBE_EXTERNAL_NAME) {
        return check_ports(s, at, error);           /* Nothing is proxied, whatever else stands there. */
    }
    return decode_cluster_ips(spec, s, at, error) || check_ports(s, at, error) || check_external_ips(s, at, error)
           || decode_distribution(spec, s, at, error) ? EINVAL : 0;
}

static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", NULL };
static const char *const policies[] = { "Cluster", "Local", NULL };
static const char *const affinities[] = { "None", "ClientIP", NULL };

static const struct kube_field client_ip_fields[] = {
    { "timeoutSeconds", KUBE_F_INT, .min = 1, .max = AFFINITY_MAX, KUBE_FIELD(struct kube_service, affinity_timeout) },
};
static const struct kube_schema client_ip_schema = KUBE_SCHEMA(struct kube_service, client_ip_fields, NULL);
static const struct kube_field affinity_fields[] = { { "clientIP", KUBE_F_INLINE, .schema = &client_ip_schema } };
static const struct kube_schema affinity_schema = KUBE_SCHEMA(struct kube_service, affinity_fields, NULL);

static const struct kube_field spec_fields[] = {
    { "type", KUBE_F_ENUM, .names = types, KUBE_FIELD(struct kube_service, type) },
    { "ports", KUBE_F_STRUCT, KUBE_LIST(struct kube_service, ports, KUBE_MAX_SERVICE_PORTS), .schema = &port_schema },
    { "externalIPs", KUBE_F_ADDR, KUBE_LIST(struct kube_service, external_ips, KUBE_MAX_SERVICE_ADDRS) },
    { "loadBalancerSourceRanges", KUBE_F_PREFIX,
      KUBE_LIST(struct kube_service, source_ranges, KUBE_MAX_SERVICE_ADDRS) },
    { "internalTrafficPolicy", KUBE_F_ENUM, .names = policies, KUBE_FIELD(struct kube_service, internal_policy) },
    { "externalTrafficPolicy", KUBE_F_ENUM, .names = policies, KUBE_FIELD(struct kube_service, external_policy) },
    /* The place in 'affinities' is false or true. */
    { "sessionAffinity", KUBE_F_ENUM, .names = affinities, KUBE_FIELD(struct kube_service, client_ip_affinity) },
    { "sessionAffinityConfig", KUBE_F_INLINE, .schema = &affinity_schema },
    { "healthCheckNodePort", KUBE_F_PORT, KUBE_FIELD(struct kube_service, health_check_port) },
    { "publishNotReadyAddresses", KUBE_F_BOOL, KUBE_FIELD(struct kube_service, publish_not_ready) },
    { NULL, KUBE_F_ADDR, KUBE_LIST(struct kube_service, cluster_ips, 2) },
    { NULL, KUBE_F_BOOL, KUBE_FIELD(struct kube_service, headless) },
    { NULL, KUBE_F_ENUM, KUBE_FIELD(struct kube_service, distribution) },
};
static const struct kube_schema spec_schema = KUBE_SCHEMA(struct kube_service, spec_fields, finish_spec);

static const struct kube_field load_balancer_fields[] = {
    { NULL, KUBE_F_ADDR, KUBE_LIST(struct kube_service, lb_ips, KUBE_MAX_SERVICE_ADDRS) },
};
static const struct kube_schema load_balancer_schema
    = KUBE_SCHEMA(struct kube_service, load_balancer_fields, finish_load_balancer);
static const struct kube_field status_fields[] = { { "loadBalancer", KUBE_F_INLINE, .schema = &load_balancer_schema } };
static const struct kube_schema status_schema = KUBE_SCHEMA(struct kube_service, status_fields, NULL);

/* An object's timestamp never changes, so it is not compared. */
static int
finish_service(const json_t *json, void *value, const struct kube_at *up OVS_UNUSED, struct error *error)
{
    struct kube_service *s = value;

    return kube_get_time(kube_member(json, "metadata"), "creationTimestamp", &s->created, NULL, error);
}

static const struct kube_field fields[] = {
    { "spec", KUBE_F_INLINE, .required = true, .schema = &spec_schema },
    { "status", KUBE_F_INLINE, .schema = &status_schema },
};
const struct kube_schema kube_service_schema = KUBE_SCHEMA(struct kube_service, fields, finish_service);
