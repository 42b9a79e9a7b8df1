#include <config.h>

#include "controller/kube-schema.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "intern.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#define MAX_STRING 253

/* Paths. --------------------------------------------------------------------------------------------------------- */

static void
put_path(const struct kube_at *at, struct ds *ds)
{
    if (!at) {
        return;
    }
    put_path(at->up, ds);
    if (at->member) {
        ds_put_format(ds, "%s%s", ds->length ? "." : "", at->member);
    } else {
        ds_put_format(ds, "[%"PRIuSIZE"]", at->index);
    }
}

int
kube_fail(const struct kube_at *at, struct error *error, const char *format, ...)
{
    if (error) {
        struct ds ds = DS_EMPTY_INITIALIZER;
        va_list args;

        put_path(at, &ds);
        if (ds.length) {
            ds_put_cstr(&ds, ": ");
        }
        va_start(args, format);
        ds_put_format_valist(&ds, format, args);
        va_end(args);
        error_set(error, EINVAL, "%s", ds_cstr(&ds));
        ds_destroy(&ds);
    }
    return EINVAL;
}

const json_t *
kube_member(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_null(value) ? NULL : value;
}

void *
kube_list_add(void *listp, uint32_t *n, size_t size)
{
    char *list;

    memcpy(&list, listp, sizeof list);
    list = xrealloc(list, (*n + 1) * size);
    memcpy(listp, &list, sizeof list);
    memset(list + *n * size, 0, size);
    return list + (*n)++ * size;
}

/* Single values. ------------------------------------------------------------------------------------------------- */

/* NULL, with an error: it is none. */
static const char *
text_of(const json_t *json, size_t max, const struct kube_at *at, struct error *error)
{
    if (!json_is_string(json)) {
        kube_fail(at, error, "must be a string");
        return NULL;
    }
    if (strlen(json_string_value(json)) != json_string_length(json)) {
        kube_fail(at, error, "has a NUL byte");
        return NULL;
    }
    if (json_string_length(json) > max) {
        kube_fail(at, error, "is longer than %"PRIuSIZE" bytes", max);
        return NULL;
    }
    return json_string_value(json);
}

static int
decode_string(const struct kube_field *f, const json_t *json, const char **out, const struct kube_at *at,
              struct error *error)
{
    const char *text = text_of(json, f->max ? f->max : MAX_STRING, at, error);

    if (!text) {
        return EINVAL;
    }
    if (f->ok && !f->ok(text)) {
        return kube_fail(at, error, "\"%.64s\" is not what Kubernetes allows here", text);
    }
    *out = intern_string(text);
    return 0;
}

static int
decode_number(const json_t *json, int32_t min, int32_t max, int32_t *out, const struct kube_at *at, struct error *error)
{
    if (!json_is_integer(json) || json_integer_value(json) < min || json_integer_value(json) > max) {
        return kube_fail(at, error, "must be a number from %"PRId32" to %"PRId32, min, max);
    }
    *out = json_integer_value(json);
    return 0;
}

static int
decode_enum(const char *const *names, const json_t *json, uint8_t *out, const struct kube_at *at, struct error *error)
{
    const char *text = text_of(json, MAX_STRING, at, error);
    struct ds known = DS_EMPTY_INITIALIZER;

    if (!text) {
        return EINVAL;
    }
    for (size_t i = 0; names[i]; i++) {
        if (!strcmp(names[i], text)) {
            *out = i;
            ds_destroy(&known);
            return 0;
        }
        ds_put_format(&known, "%s%s", !i ? "" : names[i + 1] ? ", " : " or ", names[i]);
    }
    kube_fail(at, error, "\"%.64s\" is not %s", text, ds_cstr(&known));
    ds_destroy(&known);
    return EINVAL;
}

static int
decode_protocol(const json_t *json, uint8_t *out, const struct kube_at *at, struct error *error)
{
    static const char *const names[] = { "TCP", "UDP", "SCTP", NULL };
    static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
    uint8_t i;
    int retval = decode_enum(names, json, &i, at, error);

    if (!retval) {
        *out = numbers[i];
    }
    return retval;
}

int
kube_decode_addr(const json_t *json, struct in6_addr *addr, const struct kube_at *at, struct error *error)
{
    ERROR_AUTO struct error inner = ERROR_INIT;
    const char *text = text_of(json, MAX_STRING, at, error);

    return (!text ? EINVAL
            : inet_addr_parse(text, addr, &inner) ? kube_fail(at, error, "%s", error_message(&inner))
            : 0);
}

/* Host bits are cleared, and white space around is passed, as Kubernetes does. */
static int
decode_prefix(const json_t *json, struct inet_prefix *prefix, const struct kube_at *at, struct error *error)
{
    ERROR_AUTO struct error inner = ERROR_INIT;
    const char *text = text_of(json, MAX_STRING, at, error);
    char trimmed[MAX_STRING + 1];

    if (!text) {
        return EINVAL;
    }
    text += strspn(text, " ");
    ovs_strlcpy(trimmed, text, sizeof trimmed);
    for (size_t n = strlen(trimmed); n && trimmed[n - 1] == ' '; n--) {
        trimmed[n - 1] = '\0';
    }
    if (inet_prefix_parse(trimmed, prefix, &inner)) {
        return kube_fail(at, error, "%s", error_message(&inner));
    }
    *prefix = inet_prefix_network(prefix);
    return 0;
}

int
kube_check_target(const struct in6_addr *a, const struct kube_at *at, struct error *error)
{
    const uint8_t *v4 = inet_is_v4(a) ? &a->s6_addr[12] : NULL;
    const char *what = NULL;

    if (v4 ? !memcmp(v4, "\0\0\0\0", 4) : IN6_IS_ADDR_UNSPECIFIED(a)) {
        what = "an unspecified";
    } else if (v4 ? v4[0] == 127 : IN6_IS_ADDR_LOOPBACK(a)) {
        what = "a loopback";
    } else if (v4 ? v4[0] == 169 && v4[1] == 254 : IN6_IS_ADDR_LINKLOCAL(a)) {
        what = "a link-local";
    } else if (v4 ? v4[0] >= 224 : IN6_IS_ADDR_MULTICAST(a)) {
        what = "a multicast or reserved";
    }
    if (!what) {
        return 0;
    }

    char s[INET_ADDR_STRLEN];
    return kube_fail(at, error, "%s is %s address", inet_addr_format(a, s), what);
}

/* Decoding. ------------------------------------------------------------------------------------------------------ */

static int
decode_value(const struct kube_field *f, const json_t *json, void *value, const struct kube_at *at, struct error *error)
{
    int32_t number;

    switch (f->type) {
    case KUBE_F_STRING:
        return decode_string(f, json, value, at, error);
    case KUBE_F_BOOL:
        *(bool *) value = json_is_true(json);
        return json_is_boolean(json) ? 0 : kube_fail(at, error, "must be true or false");
    case KUBE_F_INT:
        return decode_number(json, f->min, f->max, value, at, error);
    case KUBE_F_PORT:
        if (decode_number(json, f->min, UINT16_MAX, &number, at, error)) {
            return EINVAL;
        }
        *(uint16_t *) value = number;
        return 0;
    case KUBE_F_ENUM:
        return decode_enum(f->names, json, value, at, error);
    case KUBE_F_PROTOCOL:
        return decode_protocol(json, value, at, error);
    case KUBE_F_ADDR:
        return kube_decode_addr(json, value, at, error);
    case KUBE_F_PREFIX:
        return decode_prefix(json, value, at, error);
    case KUBE_F_POINTER:
        *(void **) value = xzalloc(f->schema->size);
        return kube_schema_decode(f->schema, json, *(void **) value, at, error);
    case KUBE_F_STRUCT:
    case KUBE_F_INLINE:
        return kube_schema_decode(f->schema, json, value, at, error);
    }
    OVS_NOT_REACHED();
}

static size_t
value_size(const struct kube_field *f)
{
    switch (f->type) {
    case KUBE_F_STRING: return sizeof(const char *);
    case KUBE_F_BOOL: return sizeof(bool);
    case KUBE_F_INT: return sizeof(int32_t);
    case KUBE_F_PORT: return sizeof(uint16_t);
    case KUBE_F_ENUM: case KUBE_F_PROTOCOL: return sizeof(uint8_t);
    case KUBE_F_ADDR: return sizeof(struct in6_addr);
    case KUBE_F_PREFIX: return sizeof(struct inet_prefix);
    case KUBE_F_POINTER: return sizeof(void *);
    case KUBE_F_STRUCT: case KUBE_F_INLINE: return f->schema->size;
    }
    OVS_NOT_REACHED();
}

static int
decode_list(const struct kube_field *f, const json_t *json, char *base, const struct kube_at *at, struct error *error)
{
    size_t n = json_array_size(json), size = value_size(f);

    if (!json_is_array(json)) {
        return kube_fail(at, error, "must be a list");
    }
    if (n > f->max_n) {
        return kube_fail(at, error, "has more than %"PRIu32" elements", f->max_n);
    }
    if (!n) {
        return 0;
    }

    char *list = xcalloc(n, size);
    *(void **) (void *) (base + f->offset) = list;
    *(uint32_t *) (void *) (base + f->n_offset) = n;
    for (size_t i = 0; i < n; i++) {
        const struct kube_at element = { at, NULL, i };
        if (decode_value(f, json_array_get(json, i), list + i * size, &element, error)) {
            return EINVAL;
        }
    }
    return 0;
}

/* The member; an empty text is as good as none. */
static const json_t *
field_value(const struct kube_field *f, const json_t *json)
{
    const json_t *value = kube_member(json, f->member);
    bool is_text = !f->max_n && (f->type == KUBE_F_STRING || f->type == KUBE_F_ENUM || f->type == KUBE_F_PROTOCOL);

    return is_text && json_is_string(value) && !json_string_length(value) ? NULL : value;
}

static int
decode_field(const struct kube_field *f, const json_t *json, char *base, const struct kube_at *up, struct error *error)
{
    const struct kube_at at = { up, f->member, 0 };
    const json_t *value = field_value(f, json);

    if (!value && f->required) {
        return kube_fail(&at, error, "is missing");
    }
    if (value && f->max_n) {
        return decode_list(f, value, base, &at, error);
    }
    if (value || (!f->max_n && (f->type == KUBE_F_STRUCT || f->type == KUBE_F_INLINE))) {
        return decode_value(f, value, f->type == KUBE_F_INLINE ? base : base + f->offset, &at, error);
    }
    if (f->type == KUBE_F_PROTOCOL && !f->max_n) {
        *(uint8_t *) (base + f->offset) = IPPROTO_TCP;
    }
    return 0;
}

int
kube_schema_decode(const struct kube_schema *schema, const json_t *json, void *value, const struct kube_at *at,
                   struct error *error)
{
    if (json && !json_is_object(json)) {
        return kube_fail(at, error, "must be an object");
    }
    for (size_t i = 0; i < schema->n_fields; i++) {
        if (schema->fields[i].member && decode_field(&schema->fields[i], json, value, at, error)) {
            return EINVAL;
        }
    }
    return schema->finish ? schema->finish(json, value, at, error) : 0;
}

/* Walking. ------------------------------------------------------------------------------------------------------- */

/* The values of a field: one, or the elements of a list. */
static char *
values_of(const struct kube_field *f, const void *base, size_t *n)
{
    char *p = (char *) CONST_CAST(void *, base);

    if (f->type == KUBE_F_INLINE) {
        *n = 1;
        return p;
    }
    *n = f->max_n ? *(const uint32_t *) (const void *) (p + f->n_offset) : 1;
    return f->max_n ? *(char *const *) (void *) (p + f->offset) : p + f->offset;
}

static void
clear_value(const struct kube_field *f, void *value)
{
    switch (f->type) {
    case KUBE_F_STRING:
        intern_unref(*(const char **) value);
        break;
    case KUBE_F_STRUCT:
    case KUBE_F_INLINE:
        kube_schema_clear(f->schema, value);
        break;
    case KUBE_F_POINTER:
        if (*(void **) value) {
            kube_schema_clear(f->schema, *(void **) value);
            free(*(void **) value);
        }
        break;
    case KUBE_F_BOOL: case KUBE_F_INT: case KUBE_F_PORT: case KUBE_F_ENUM: case KUBE_F_PROTOCOL: case KUBE_F_ADDR:
    case KUBE_F_PREFIX:
        break;
    }
}

void
kube_schema_clear(const struct kube_schema *schema, void *value)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        const struct kube_field *f = &schema->fields[i];
        size_t n;
        char *values = values_of(f, value, &n);

        for (size_t j = 0; j < n; j++) {
            clear_value(f, values + j * value_size(f));
        }
        if (f->max_n) {
            free(values);
        }
    }
}

static void
share_value(const struct kube_field *f, void *value, struct intern *pool)
{
    switch (f->type) {
    case KUBE_F_STRING:
        *(const char **) value = intern_share(pool, *(const char **) value);
        break;
    case KUBE_F_STRUCT:
    case KUBE_F_INLINE:
        kube_schema_share(f->schema, value, pool);
        break;
    case KUBE_F_POINTER:
        if (*(void **) value) {
            kube_schema_share(f->schema, *(void **) value, pool);
        }
        break;
    case KUBE_F_BOOL: case KUBE_F_INT: case KUBE_F_PORT: case KUBE_F_ENUM: case KUBE_F_PROTOCOL: case KUBE_F_ADDR:
    case KUBE_F_PREFIX:
        break;
    }
}

void
kube_schema_share(const struct kube_schema *schema, void *value, struct intern *pool)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        const struct kube_field *f = &schema->fields[i];
        size_t n;
        char *values = values_of(f, value, &n);

        for (size_t j = 0; j < n; j++) {
            share_value(f, values + j * value_size(f), pool);
        }
    }
}

static bool
values_equal(const struct kube_field *f, const void *a, const void *b)
{
    switch (f->type) {
    case KUBE_F_STRING:
        return intern_string_equal(*(const char *const *) a, *(const char *const *) b);
    case KUBE_F_PREFIX:
        return inet_prefix_equals(a, b);
    case KUBE_F_STRUCT:
    case KUBE_F_INLINE:
        return kube_schema_equal(f->schema, a, b);
    case KUBE_F_POINTER: {
        const void *x = *(void *const *) a, *y = *(void *const *) b;
        return x && y ? kube_schema_equal(f->schema, x, y) : x == y;
    }
    case KUBE_F_BOOL: case KUBE_F_INT: case KUBE_F_PORT: case KUBE_F_ENUM: case KUBE_F_PROTOCOL: case KUBE_F_ADDR:
        return !memcmp(a, b, value_size(f));
    }
    OVS_NOT_REACHED();
}

bool
kube_schema_equal(const struct kube_schema *schema, const void *a, const void *b)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        const struct kube_field *f = &schema->fields[i];
        size_t n_a, n_b, size = value_size(f);
        const char *x = values_of(f, a, &n_a), *y = values_of(f, b, &n_b);

        if (n_a != n_b) {
            return false;
        }
        for (size_t j = 0; j < n_a; j++) {
            if (!values_equal(f, x + j * size, y + j * size)) {
                return false;
            }
        }
    }
    return true;
}
