/* cni-conf.h: the environment. */

#include "cni-conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of CNI_ARGS and CNI_PATH. */
#define MAX_VALUE 65536

/* NULL when it is not set or empty. */
static const char *
lookup(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; *environment; environment++) {
        if (!strncmp(*environment, name, n) && (*environment)[n] == '=') {
            return (*environment)[n + 1] ? *environment + n + 1 : NULL;
        }
    }
    return NULL;
}

/* It goes into JSON, to the daemon and into the result: must be UTF-8. */
static bool
is_text(const char *s)
{
    json_t *json = json_string(s);
    bool ok = json != NULL;
    json_decref(json);
    return ok;
}

static enum cni_code
copy(char *const *environment, const char *name, size_t max, char **out, struct error *error)
{
    const char *value = lookup(environment, name);

    if (!value) {
        return CNI_OK;
    } else if (strlen(value) > max) {
        return error_set(error, CNI_E_ENVIRONMENT, "%s is longer than %zu bytes", name, max);
    } else if (!is_text(value)) {
        return error_set(error, CNI_E_ENVIRONMENT, "%s is not UTF-8", name);
    }
    *out = strdup(value);
    return *out ? CNI_OK : error_set(error, CNI_E_FAILED, "no memory");
}

/* P3: all missing variables in one message. */
static enum cni_code
check_missing(const struct cni_env *env, struct error *error)
{
    bool attachment = env->verb == CNI_ADD || env->verb == CNI_DEL || env->verb == CNI_CHECK;
    const struct { const char *name; bool missing; } vars[] = {
        { "CNI_CONTAINERID", attachment && !env->container_id },
        { "CNI_NETNS", (env->verb == CNI_ADD || env->verb == CNI_CHECK) && !env->netns },
        { "CNI_IFNAME", attachment && !env->ifname },
        { "CNI_PATH", env->verb == CNI_GC && !env->path },
    };
    char names[128] = "";

    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
        if (vars[i].missing) {
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? ", " : "", vars[i].name);
        }
    }
    return !*names ? CNI_OK
           : error_set(error, CNI_E_ENVIRONMENT, "required environment variables are missing: %s", names);
}

static enum cni_code
check_values(const struct cni_env *env, struct error *error)
{
    if (env->container_id && !cni_container_id_ok(env->container_id)) {
        return error_set(error, CNI_E_ENVIRONMENT, "CNI_CONTAINERID is not valid: '%s' (wanted: a letter or digit, "
                         "then letters, digits, '_', '.', '-'; at most %d)", env->container_id, CNI_MAX_NAME);
    } else if (env->ifname && !cni_ifname_ok(env->ifname)) {
        return error_set(error, CNI_E_ENVIRONMENT, "CNI_IFNAME is not valid: '%s' (wanted: 1 to 15 characters, "
                         "without '/', ':' and white space, not '.' or '..')", env->ifname);
    }
    return CNI_OK;
}

/* CNI_ARGS. ------------------------------------------------------------------------------------------------------ */

static bool
is_true(const char *s)
{
    return !strcmp(s, "1") || !strcasecmp(s, "true");
}

struct arg {
    const char *key;
    char **value;
    bool (*ok)(const char *);
};

static bool
address_ok(const char *s)
{
    return cni_address_ok(s) || cni_cidr_ok(s);
}

/* Stores KEY=VALUE.  '*unknown' counts keys that we do not know. */
static enum cni_code
take_arg(const struct arg *args, const char *key, const char *value, const char **unknown, struct error *error)
{
    for (; args->key; args++) {
        if (!strcmp(key, args->key)) {
            if (args->value && *value) {
                if (!args->ok(value)) {
                    return error_set(error, CNI_E_ENVIRONMENT, "CNI_ARGS: %s=%s is not valid", key, value);
                }
                free(*args->value);
                *args->value = strdup(value);
                return *args->value ? CNI_OK : error_set(error, CNI_E_FAILED, "no memory");
            }
            return CNI_OK;
        }
    }
    *unknown = key;
    return CNI_OK;
}

static enum cni_code
parse_args(char *text, struct cni_env *env, struct error *error)
{
    const struct arg args[] = {
        { "K8S_POD_NAMESPACE", &env->pod_namespace, cni_container_id_ok },
        { "K8S_POD_NAME", &env->pod_name, cni_container_id_ok },
        { "K8S_POD_UID", &env->pod_uid, cni_container_id_ok },
        { "K8S_POD_INFRA_CONTAINER_ID", NULL, NULL },
        { "MAC", &env->mac, cni_mac_ok },
        { "IP", &env->ip, address_ok },
        { NULL, NULL, NULL },
    };
    const char *unknown = NULL;
    bool ignore_unknown = false;
    char *save = NULL;

    for (char *pair = strtok_r(text, ";", &save); pair; pair = strtok_r(NULL, ";", &save)) {
        char *value = strchr(pair, '=');
        if (!value || value == pair) {
            return error_set(error, CNI_E_ENVIRONMENT, "CNI_ARGS: '%s' is not KEY=VALUE", pair);
        }
        *value++ = '\0';
        if (!strcmp(pair, "IgnoreUnknown")) {
            ignore_unknown = is_true(value);
        } else {
            enum cni_code code = take_arg(args, pair, value, &unknown, error);
            if (code) {
                return code;
            }
        }
    }
    if (unknown && !ignore_unknown) {
        return error_set(error, CNI_E_ENVIRONMENT, "CNI_ARGS: unknown argument %s (IgnoreUnknown=1 would allow it)",
                         unknown);
    }
    return CNI_OK;
}

static enum cni_code
parse_environment(char *const *environment, struct cni_env *env, struct error *error)
{
    const char *override = lookup(environment, "CNI_NETNS_OVERRIDE");
    char *args = NULL;
    enum cni_code code = copy(environment, "CNI_CONTAINERID", MAX_VALUE, &env->container_id, error);

    env->netns_override = override && is_true(override);
    code = code ? code : copy(environment, "CNI_NETNS", CNI_MAX_PATH, &env->netns, error);
    code = code ? code : copy(environment, "CNI_IFNAME", MAX_VALUE, &env->ifname, error);
    code = code ? code : copy(environment, "CNI_PATH", MAX_VALUE, &env->path, error);
    code = code ? code : check_missing(env, error);
    code = code ? code : check_values(env, error);
    if (!code && env->verb != CNI_DEL) {
        code = copy(environment, "CNI_ARGS", MAX_VALUE, &args, error);
        code = code || !args ? code : parse_args(args, env, error);
        free(args);
    }
    return code;
}

enum cni_code
cni_env_parse(char *const *environment, struct cni_env *env, struct error *error)
{
    const char *command = lookup(environment, "CNI_COMMAND");

    memset(env, 0, sizeof *env);
    if (!command) {
        env->about = true;
        return CNI_OK;
    } else if (!cni_verb_parse(command, &env->verb)) {
        return error_set(error, CNI_E_ENVIRONMENT, "unknown CNI_COMMAND: %.64s",
                         is_text(command) ? command : "(not UTF-8)");
    } else if (env->verb == CNI_VERSION) {
        return CNI_OK;
    }

    enum cni_code code = parse_environment(environment, env, error);
    if (code) {
        cni_env_destroy(env);
    }
    return code;
}

void
cni_env_destroy(struct cni_env *env)
{
    free(env->container_id);
    free(env->netns);
    free(env->ifname);
    free(env->path);
    free(env->pod_namespace);
    free(env->pod_name);
    free(env->pod_uid);
    free(env->mac);
    free(env->ip);
    memset(env, 0, sizeof *env);
}
