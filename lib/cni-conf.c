#include "cni-conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json-get.h"

#define MAX_VERSION 31
#define MAX_LIST 4096                   /* Elements of a list in prevResult. */

static const char *const version_names[CNI_N_VERSIONS] = {
    [CNI_V_0_3_0] = "0.3.0", [CNI_V_0_3_1] = "0.3.1", [CNI_V_0_4_0] = "0.4.0", [CNI_V_1_0_0] = "1.0.0",
    [CNI_V_1_1_0] = "1.1.0",
};

const char *
cni_version_name(enum cni_version version)
{
    return version_names[version];
}

bool
cni_version_parse(const char *s, enum cni_version *version)
{
    for (size_t i = 0; i < CNI_N_VERSIONS; i++) {
        if (!strcmp(s, version_names[i])) {
            *version = i;
            return true;
        }
    }
    return false;
}

char *
cni_conf_peek_version(const void *data, size_t size)
{
    json_t *json = size && size <= CNI_CONF_MAX_GC ? json_loadb(data, size, 0, NULL) : NULL;
    const char *version = json_string_value(json_object_get(json, "cniVersion"));
    char *copy = strdup(version && *version && strlen(version) <= MAX_VERSION ? version
                        : version_names[CNI_N_VERSIONS - 1]);

    json_decref(json);
    return copy;
}

/* Parts. --------------------------------------------------------------------------------------------------------- */

/* Gives the failure of a json_get_*() its CNI code. */
static enum cni_code
config_error(int retval, struct error *error)
{
    if (retval && error) {
        error->code = retval == ENOMEM ? CNI_E_FAILED : CNI_E_CONFIG;
    }
    return !retval ? CNI_OK : retval == ENOMEM ? CNI_E_FAILED : CNI_E_CONFIG;
}

/* P7. */
static enum cni_code
check_version(const json_t *json, enum cni_verb verb, enum cni_version *version, struct error *error)
{
    const json_t *value = json_object_get(json, "cniVersion");
    const char *s = json_string_value(value);

    if (value && !json_is_null(value) && !s) {
        return error_set(error, CNI_E_CONFIG, "\"cniVersion\" must be a string");
    } else if (!s || !*s) {
        return error_set(error, CNI_E_VERSION, "\"cniVersion\" is missing, which means 0.1.0; supported are 0.3.0 to "
                         "1.1.0");
    } else if (!cni_version_parse(s, version)) {
        return error_set(error, CNI_E_VERSION, "cniVersion %.*s is not supported; supported are 0.3.0 to 1.1.0",
                         MAX_VERSION, s);
    } else if (verb == CNI_CHECK && *version < CNI_V_0_4_0) {
        return error_set(error, CNI_E_VERSION, "cniVersion %s does not have CHECK, which came with 0.4.0", s);
    } else if ((verb == CNI_STATUS || verb == CNI_GC) && *version < CNI_V_1_1_0) {
        return error_set(error, CNI_E_VERSION, "cniVersion %s does not have %s, which came with 1.1.0", s,
                         cni_verb_name(verb));
    }
    return CNI_OK;
}

static enum cni_code
parse_name(const json_t *json, struct cni_conf *conf, struct error *error)
{
    enum cni_code code = config_error(json_get_string(json, "name", CNI_MAX_NAME, &conf->name, error), error);

    if (!code && !conf->name) {
        code = error_set(error, CNI_E_CONFIG, "\"name\" is missing");
    } else if (!code && !cni_network_ok(conf->name)) {
        code = error_set(error, CNI_E_CONFIG, "\"name\" is not valid: '%s'", conf->name);
    }
    return code;
}

static int
absolute_path(const json_t *json, const char *key, char **path, struct error *error)
{
    int retval = json_get_string(json, key, CNI_MAX_PATH, path, error);
    return retval || !*path || **path == '/' ? retval
           : error_set(error, EINVAL, "\"%s\" must be an absolute path, not '%s'", key, *path);
}

static enum cni_code
parse_own_keys(const json_t *json, struct cni_conf *conf, struct error *error)
{
    int retval = absolute_path(json, "socket", &conf->socket, error);

    retval = retval ? retval : absolute_path(json, "spool", &conf->spool, error);
    retval = retval ? retval : json_get_int(json, "timeout", 1, CNI_CONF_MAX_TIMEOUT, &conf->timeout, error);
    retval = retval ? retval : json_get_int(json, "wait", 0, CNI_CONF_MAX_TIMEOUT, &conf->wait, error);
    retval = retval ? retval : json_get_int(json, "mtu", 0, 65535, &conf->mtu, error);
    return config_error(retval, error);
}

/* A section without "type" is no delegation.  The type is the name of a program in CNI_PATH, never a path. */
static enum cni_code
parse_ipam(const json_t *json, const struct cni_env *env, struct cni_conf *conf, struct error *error)
{
    json_t *ipam = NULL;
    int retval = json_get_object(json, "ipam", &ipam, error);

    retval = retval ? retval : json_get_string(ipam, "type", CNI_MAX_NAME, &conf->ipam_type, error);
    if (retval) {
        return config_error(retval, error);
    } else if (conf->ipam_type && !*conf->ipam_type) {
        free(conf->ipam_type);
        conf->ipam_type = NULL;
    } else if (conf->ipam_type && !cni_container_id_ok(conf->ipam_type)) {
        return error_set(error, CNI_E_CONFIG, "\"ipam\": \"type\" must be the name of a plugin, not '%s'",
                         conf->ipam_type);
    } else if (conf->ipam_type && !env->path && env->verb != CNI_DEL) {
        return error_set(error, CNI_E_ENVIRONMENT, "required environment variables are missing: CNI_PATH (to find the "
                         "IPAM plugin %s)", conf->ipam_type);
    }
    return CNI_OK;
}

static enum cni_code
parse_prev_result(json_t *json, enum cni_verb verb, struct cni_conf *conf, struct error *error)
{
    static const char *const lists[] = { "interfaces", "ips", "routes" };
    json_t *prev = NULL;
    enum cni_code code = config_error(json_get_object(json, "prevResult", &prev, error), error);

    for (size_t i = 0; !code && i < sizeof lists / sizeof *lists; i++) {
        json_t *list;
        code = config_error(json_get_array(prev, lists[i], MAX_LIST, &list, error), error);
        if (code) {
            error_wrap(error, "\"prevResult\"");
        }
    }
    if (!code && verb == CNI_CHECK && !prev) {
        return error_set(error, CNI_E_CONFIG, "\"prevResult\" is missing: CHECK needs the result of ADD");
    }
    conf->prev_result = json_incref(prev);
    return code;
}

/* Wishes. -------------------------------------------------------------------------------------------------------- */

/* What a runtime only sends when the configuration declared a capability that we do not have. */
static enum cni_code
refuse_unsupported(const json_t *rc, const struct cni_conf *conf, struct error *error)
{
    static const char *const keys[] = { "bandwidth", "infinibandGUID", "deviceID", "ipRanges" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(rc, keys[i]);
        if (value && !json_is_null(value) && !(conf->ipam_type && !strcmp(keys[i], "ipRanges"))) {
            char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
            error_set(error, CNI_E_UNSUPPORTED, "unsupported field in \"runtimeConfig\": \"%s\" = %.200s; remove it "
                      "from \"capabilities\"", keys[i], text ? text : "");
            free(text);
            return CNI_E_UNSUPPORTED;
        }
    }
    return CNI_OK;
}

/* A mapping without a host port asks for nothing. */
static void
drop_unmapped_ports(struct cni_conf *conf)
{
    size_t n = 0;

    for (size_t i = 0; i < conf->n_ports; i++) {
        struct cni_port_mapping *p = &conf->ports[i];
        if (p->host_port) {
            conf->ports[n++] = *p;
        } else {
            free(p->protocol);
            free(p->host_ip);
        }
    }
    conf->n_ports = n;
}

static enum cni_code
parse_runtime_config(const json_t *json, struct cni_conf *conf, struct error *error)
{
    json_t *rc = NULL, *ports = NULL;
    int retval = json_get_object(json, "runtimeConfig", &rc, error);

    retval = retval ? retval : json_get_array(rc, "portMappings", CNI_WIRE_MAX_PORTS, &ports, error);
    retval = retval ? retval : cni_ports_parse(ports, &conf->ports, &conf->n_ports, error);
    retval = retval ? retval : json_get_string(rc, "mac", CNI_MAX_ADDRESS, &conf->mac, error);
    retval = retval ? retval : json_get_strings(rc, "ips", CNI_WIRE_MAX_IPS, CNI_MAX_ADDRESS, &conf->ips, &conf->n_ips,
                                                error);
    if (retval) {
        error_wrap(error, "\"runtimeConfig\"");
        return config_error(retval, error);
    }
    drop_unmapped_ports(conf);
    return refuse_unsupported(rc, conf, error);
}

/* "args": {"cni": {...}} wins over CNI_ARGS. */
static enum cni_code
parse_args(const json_t *json, const struct cni_env *env, struct cni_conf *conf, struct error *error)
{
    json_t *args = NULL, *cni = NULL;
    int retval = json_get_object(json, "args", &args, error);

    retval = retval ? retval : json_get_object(args, "cni", &cni, error);
    if (!retval && !conf->n_ips) {
        retval = json_get_strings(cni, "ips", CNI_WIRE_MAX_IPS, CNI_MAX_ADDRESS, &conf->ips, &conf->n_ips, error);
    }
    if (!retval && !conf->mac) {
        retval = json_get_string(cni, "mac", CNI_MAX_ADDRESS, &conf->mac, error);
    }
    if (retval) {
        error_wrap(error, "\"args\"");
        return config_error(retval, error);
    }

    if (!conf->mac && env->mac && !(conf->mac = strdup(env->mac))) {
        return error_set(error, CNI_E_FAILED, "no memory");
    }
    if (!conf->n_ips && env->ip) {
        conf->ips = calloc(1, sizeof *conf->ips);
        if (!conf->ips || !(conf->ips[0] = strdup(env->ip))) {
            return error_set(error, CNI_E_FAILED, "no memory");
        }
        conf->n_ips = 1;
    }
    return CNI_OK;
}

static enum cni_code
check_wishes(struct cni_conf *conf, struct error *error)
{
    if (conf->mac && !*conf->mac) {
        free(conf->mac);
        conf->mac = NULL;
    }
    if (conf->mac && !cni_mac_ok(conf->mac)) {
        return error_set(error, CNI_E_CONFIG, "\"mac\" must be a unicast MAC address, not '%s'", conf->mac);
    }
    for (size_t i = 0; i < conf->n_ips; i++) {
        if (!cni_address_ok(conf->ips[i]) && !cni_cidr_ok(conf->ips[i])) {
            return error_set(error, CNI_E_CONFIG, "\"ips\", element %zu: must be an address, not '%s'", i,
                             conf->ips[i]);
        }
    }
    return CNI_OK;
}

/* G1, G2: older libraries use another name; a missing list must never mean an empty one.  But null is one: it is how
 * libcni, in Go, writes a list without elements. */
static enum cni_code
parse_valid_attachments(const json_t *json, struct cni_conf *conf, struct error *error)
{
    static const char *const keys[] = { "cni.dev/valid-attachments", "cni.dev/attachments" };
    const char *key = json_object_get(json, keys[0]) ? keys[0] : keys[1];
    json_t *valid = NULL;

    if (!json_object_get(json, key)) {
        return error_set(error, CNI_E_CONFIG, "\"%s\" is missing: nothing was collected", keys[0]);
    }
    int retval = json_get_array(json, key, CNI_WIRE_MAX_ATTACHMENTS, &valid, error);
    return config_error(retval ? retval : cni_attachments_parse(valid, &conf->valid, &conf->n_valid, error), error);
}

/* The whole. ----------------------------------------------------------------------------------------------------- */

static enum cni_code
parse_for_verb(json_t *json, const struct cni_env *env, struct cni_conf *conf, struct error *error)
{
    json_t *dns = NULL;
    enum cni_code code = CNI_OK;

    if (env->verb == CNI_ADD || env->verb == CNI_CHECK) {
        code = parse_prev_result(json, env->verb, conf, error);
        code = code ? code : config_error(json_get_object(json, "dns", &dns, error), error);
        code = code ? code : parse_runtime_config(json, conf, error);
        code = code ? code : parse_args(json, env, conf, error);
        code = code ? code : check_wishes(conf, error);
        conf->dns = json_object_size(dns) ? json_incref(dns) : NULL;
    } else if (env->verb == CNI_GC) {
        code = parse_valid_attachments(json, conf, error);
    }
    return code;
}

static enum cni_code
parse_document(json_t *json, const struct cni_env *env, struct cni_conf *conf, struct error *error)
{
    enum cni_code code = json_is_object(json) ? CNI_OK
                         : error_set(error, CNI_E_DECODE, "network configuration: must be a JSON object");

    code = code ? code : check_version(json, env->verb, &conf->version, error);
    code = code ? code : parse_name(json, conf, error);
    code = code ? code : parse_own_keys(json, conf, error);
    code = code ? code : parse_ipam(json, env, conf, error);
    code = code ? code : parse_for_verb(json, env, conf, error);
    return code;
}

enum cni_code
cni_conf_parse(const void *data, size_t size, const struct cni_env *env, struct cni_conf *conf, struct error *error)
{
    size_t max = env->verb == CNI_GC ? CNI_CONF_MAX_GC : CNI_CONF_MAX;

    memset(conf, 0, sizeof *conf);
    conf->wait = -1;
    if (size > max) {
        return error_set(error, CNI_E_DECODE, "network configuration: longer than %zu bytes", max);
    }

    json_t *json = json_get_load(data, size, error);
    if (!json) {
        error_wrap(error, "network configuration is not JSON");
        if (error) {
            error->code = CNI_E_DECODE;
        }
        return CNI_E_DECODE;
    }
    enum cni_code code = parse_document(json, env, conf, error);
    json_decref(json);
    if (code) {
        cni_conf_destroy(conf);
    }
    return code;
}

void
cni_conf_destroy(struct cni_conf *conf)
{
    free(conf->name);
    free(conf->ipam_type);
    json_decref(conf->prev_result);
    json_decref(conf->dns);
    free(conf->socket);
    free(conf->spool);
    free(conf->mac);
    cni_strings_free(conf->ips, conf->n_ips);
    cni_ports_free(conf->ports, conf->n_ports);
    cni_attachments_free(conf->valid, conf->n_valid);
    memset(conf, 0, sizeof *conf);
}

/* Request. ------------------------------------------------------------------------------------------------------- */

static bool
dup_string(char **dst, const char *src)
{
    return !src || (*dst = strdup(src));
}

static bool
copy_wishes(const struct cni_conf *conf, struct cni_request *r)
{
    r->ips = conf->n_ips ? calloc(conf->n_ips, sizeof *r->ips) : NULL;
    r->ports = conf->n_ports ? calloc(conf->n_ports, sizeof *r->ports) : NULL;
    if ((conf->n_ips && !r->ips) || (conf->n_ports && !r->ports)) {
        return false;
    }
    for (; r->n_ips < conf->n_ips; r->n_ips++) {
        if (!dup_string(&r->ips[r->n_ips], conf->ips[r->n_ips])) {
            return false;
        }
    }
    for (; r->n_ports < conf->n_ports; r->n_ports++) {
        const struct cni_port_mapping *src = &conf->ports[r->n_ports];
        struct cni_port_mapping *dst = &r->ports[r->n_ports];
        dst->host_port = src->host_port;
        dst->container_port = src->container_port;
        if (!dup_string(&dst->protocol, src->protocol) || !dup_string(&dst->host_ip, src->host_ip)) {
            r->n_ports++;
            return false;
        }
    }
    return true;
}

static bool
copy_valid(const struct cni_conf *conf, struct cni_request *r)
{
    r->valid = conf->n_valid ? calloc(conf->n_valid, sizeof *r->valid) : NULL;
    if (conf->n_valid && !r->valid) {
        return false;
    }
    for (; r->n_valid < conf->n_valid; r->n_valid++) {
        struct cni_attachment_id *dst = &r->valid[r->n_valid];
        if (!dup_string(&dst->container_id, conf->valid[r->n_valid].container_id)
            || !dup_string(&dst->ifname, conf->valid[r->n_valid].ifname)) {
            r->n_valid++;
            return false;
        }
    }
    return true;
}

bool
cni_conf_to_request(const struct cni_conf *conf, const struct cni_env *env, struct cni_request *r)
{
    memset(r, 0, sizeof *r);
    r->verb = env->verb;
    r->mtu = conf->mtu;
    if (dup_string(&r->network, conf->name) && dup_string(&r->container_id, env->container_id)
        && dup_string(&r->ifname, env->ifname)
        && dup_string(&r->netns, env->netns ? env->netns : env->verb == CNI_DEL ? "" : NULL)
        && dup_string(&r->pod_namespace, env->pod_namespace) && dup_string(&r->pod_name, env->pod_name)
        && dup_string(&r->pod_uid, env->pod_uid) && dup_string(&r->mac, conf->mac)
        && copy_wishes(conf, r) && copy_valid(conf, r)) {
        return true;
    }
    cni_request_destroy(r);
    return false;
}
