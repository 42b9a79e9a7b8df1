#include "json-get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

json_t *
json_get_load(const void *data, size_t size, struct error *error)
{
    json_error_t e;
    json_t *json = json_loadb(data, size, JSON_REJECT_DUPLICATES, &e);

    if (!json) {
        error_set(error, json_error_code(&e) == json_error_out_of_memory ? ENOMEM : EINVAL,
                  "line %d, column %d: %s", e.line, e.column, e.text);
    }
    return json;
}

static json_t *
member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int
copy_string(const json_t *value, const char *key, size_t max_len, char **out, struct error *error)
{
    if (!json_is_string(value)) {
        return error_set(error, EINVAL, "\"%s\" must be a string", key);
    } else if (json_string_length(value) > max_len) {
        return error_set(error, EINVAL, "\"%s\" is longer than %zu bytes", key, max_len);
    }

    char *copy = strdup(json_string_value(value));
    if (!copy) {
        return error_set_errno(error, ENOMEM, "\"%s\"", key);
    }
    free(*out);
    *out = copy;
    return 0;
}

int
json_get_string(const json_t *object, const char *key, size_t max_len, char **out, struct error *error)
{
    const json_t *value = member(object, key);
    return value ? copy_string(value, key, max_len, out, error) : 0;
}

int
json_get_int(const json_t *object, const char *key, long long int min, long long int max, int *out,
             struct error *error)
{
    const json_t *value = member(object, key);

    if (!value) {
        return 0;
    } else if (!json_is_integer(value)) {
        return error_set(error, EINVAL, "\"%s\" must be an integer", key);
    } else if (json_integer_value(value) < min || json_integer_value(value) > max) {
        return error_set(error, EINVAL, "\"%s\" must be from %lld to %lld", key, min, max);
    }
    *out = json_integer_value(value);
    return 0;
}

int
json_get_bool(const json_t *object, const char *key, bool *out, struct error *error)
{
    const json_t *value = member(object, key);

    if (value) {
        if (!json_is_boolean(value)) {
            return error_set(error, EINVAL, "\"%s\" must be true or false", key);
        }
        *out = json_is_true(value);
    }
    return 0;
}

int
json_get_object(const json_t *object, const char *key, json_t **out, struct error *error)
{
    json_t *value = member(object, key);

    if (value) {
        if (!json_is_object(value)) {
            return error_set(error, EINVAL, "\"%s\" must be an object", key);
        }
        *out = value;
    }
    return 0;
}

int
json_get_array(const json_t *object, const char *key, size_t max_len, json_t **out, struct error *error)
{
    json_t *value = member(object, key);

    if (value) {
        if (!json_is_array(value)) {
            return error_set(error, EINVAL, "\"%s\" must be a list", key);
        } else if (json_array_size(value) > max_len) {
            return error_set(error, EINVAL, "\"%s\" has more than %zu elements", key, max_len);
        }
        *out = value;
    }
    return 0;
}

int
json_get_strings(const json_t *object, const char *key, size_t max_n, size_t max_len, char ***out, size_t *n,
                 struct error *error)
{
    json_t *array = NULL;
    int retval = json_get_array(object, key, max_n, &array, error);
    size_t size = json_array_size(array);

    if (retval || !size) {
        return retval;
    }

    char **strings = calloc(size, sizeof *strings);
    if (!strings) {
        return error_set_errno(error, ENOMEM, "\"%s\"", key);
    }
    for (size_t i = 0; i < size; i++) {
        retval = copy_string(json_array_get(array, i), key, max_len, &strings[i], error);
        if (retval) {
            while (i--) {
                free(strings[i]);
            }
            free(strings);
            return retval;
        }
    }
    *out = strings;
    *n = size;
    return 0;
}

bool
json_put_string(json_t *object, const char *key, const char *s)
{
    return !s || !json_object_set_new(object, key, json_string(s));
}

json_t *
json_steal_string(char *s)
{
    json_t *json = json_string(s);
    free(s);
    return json;
}

const char *
json_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

long long int
json_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}
