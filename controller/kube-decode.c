#include <config.h>

#include "controller/kube-decode.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* The member 'key' if it is there and not null. */
static const json_t *
get(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return value && !json_is_null(value) ? value : NULL;
}

int
kube_get_string(const json_t *json, const char *key, const char **out, struct error *error)
{
    const json_t *value = get(json, key);

    if (value && !json_is_string(value)) {
        return error_set(error, EINVAL, "%s: must be a string", key);
    }
    if (value && strlen(json_string_value(value)) != json_string_length(value)) {
        return error_set(error, EINVAL, "%s: has a NUL byte", key);
    }
    *out = value ? json_string_value(value) : "";
    return 0;
}

int
kube_get_bool(const json_t *json, const char *key, bool *out, struct error *error)
{
    const json_t *value = get(json, key);

    if (value && !json_is_boolean(value)) {
        return error_set(error, EINVAL, "%s: must be true or false", key);
    }
    if (value) {
        *out = json_is_true(value);
    }
    return 0;
}

int
kube_get_port(const json_t *json, const char *key, uint16_t *out, struct error *error)
{
    const json_t *value = get(json, key);

    if (value && (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > UINT16_MAX)) {
        return error_set(error, EINVAL, "%s: must be a number from 1 to 65535", key);
    }
    *out = value ? json_integer_value(value) : 0;
    return 0;
}

int
kube_get_object(const json_t *json, const char *key, const json_t **out, struct error *error)
{
    const json_t *value = get(json, key);

    if (value && !json_is_object(value)) {
        return error_set(error, EINVAL, "%s: must be an object", key);
    }
    *out = value;
    return 0;
}

int
kube_get_array(const json_t *json, const char *key, const json_t **out, struct error *error)
{
    const json_t *value = get(json, key);

    if (value && !json_is_array(value)) {
        return error_set(error, EINVAL, "%s: must be a list", key);
    }
    *out = value;
    return 0;
}

int
kube_get_string_map(const json_t *json, const char *key, const char *prefix, struct smap *smap, struct error *error)
{
    const json_t *map;
    int retval = kube_get_object(json, key, &map, error);
    if (retval || !map) {
        return retval;
    }

    const char *name;
    json_t *value;
    json_object_foreach ((json_t *) map, name, value) {
        if (!json_is_string(value)) {
            return error_set(error, EINVAL, "%s: the value of \"%.64s\" must be a string", key, name);
        }
        if (!strncmp(name, prefix, strlen(prefix))) {
            smap_replace(smap, name, json_string_value(value));
        }
    }
    return 0;
}

bool
kube_name_ok(const char *name, bool dots, size_t max)
{
    size_t n = strlen(name);

    if (!n || n > max) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        bool alnum = islower((unsigned char) name[i]) || isdigit((unsigned char) name[i]);
        bool inner = i > 0 && i < n - 1;
        bool dot = dots && name[i] == '.' && inner && name[i - 1] != '.' && name[i - 1] != '-' && name[i + 1] != '-';

        if (!alnum && !(name[i] == '-' && inner) && !dot) {
            return false;
        }
    }
    return true;
}
