#include <config.h>

#include "controller/kube-decode.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util.h"

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
kube_check_object(const json_t *json, struct error *error)
{
    return json_is_object(json) ? 0 : error_set(error, EINVAL, "must be an object");
}

static const struct { const char *name; uint8_t number; } protocols[] = {
    { "TCP", IPPROTO_TCP }, { "UDP", IPPROTO_UDP }, { "SCTP", IPPROTO_SCTP },
};

int
kube_get_protocol(const json_t *json, const char *key, uint8_t *out, struct error *error)
{
    const char *name;

    if (kube_get_string(json, key, &name, error)) {
        return EINVAL;
    }
    name = *name ? name : "TCP";
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (!strcmp(name, protocols[i].name)) {
            *out = protocols[i].number;
            return 0;
        }
    }
    return error_set(error, EINVAL, "%s: \"%.16s\" is not TCP, UDP or SCTP", key, name);
}

const char *
kube_protocol_name(uint8_t protocol)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (protocol == protocols[i].number) {
            return protocols[i].name;
        }
    }
    return "?";
}

int
kube_get_uid(const json_t *json, const char *key, struct kube_uid *uid, struct error *error)
{
    const char *text;

    if (kube_get_string(json, key, &text, error)) {
        return EINVAL;
    }
    if (strlen(text) > KUBE_UID_MAX_TEXT) {
        return error_set(error, EINVAL, "%s: is longer than %d bytes", key, KUBE_UID_MAX_TEXT);
    }
    kube_uid_parse(text, uid);
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

static bool
is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits, "-", "_", "."; the first and the last a letter or digit. */
static bool
label_text_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_alnum(s[i]) && (!i || i == n - 1 || !strchr("-_.", s[i]))) {
            return false;
        }
    }
    return n <= 63;
}

bool
kube_label_value_ok(const char *value)
{
    return label_text_ok(value, strlen(value));
}

bool
kube_label_key_ok(const char *key)
{
    const char *slash = strchr(key, '/');
    const char *name = slash ? slash + 1 : key;

    if (slash) {
        char prefix[254];
        size_t n = slash - key;

        if (n >= sizeof prefix) {
            return false;
        }
        memcpy(prefix, key, n);
        prefix[n] = '\0';
        if (!kube_name_ok(prefix, true, 253)) {
            return false;
        }
    }
    return *name && label_text_ok(name, strlen(name));
}

bool
kube_port_name_ok(const char *name)
{
    bool letter = false;

    for (const char *p = name; *p; p++) {
        letter = letter || islower((unsigned char) *p);
    }
    return letter && kube_name_ok(name, false, KUBE_PORT_NAME_LEN) && !strstr(name, "--");
}
