#include <config.h>

#include "controller/kube-policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/kube-schema.h"
#include "intern.h"
#include "util.h"

static int
compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Sorted, each once. */
static void
sort_values(struct kube_requirement *r)
{
    uint32_t n = 0;

    if (r->n_values) {
        qsort(r->values, r->n_values, sizeof *r->values, compare_strings);
    }
    for (uint32_t i = 0; i < r->n_values; i++) {
        if (n && !strcmp(r->values[n - 1], r->values[i])) {
            intern_unref(r->values[i]);
        } else {
            r->values[n++] = r->values[i];
        }
    }
    r->n_values = n;
}

static int
finish_requirement(const json_t *json OVS_UNUSED, void *value, const struct kube_at *at, struct error *error)
{
    struct kube_requirement *r = value;
    const struct kube_at values = { at, "values", 0 };
    bool wants = r->op == KUBE_OP_IN || r->op == KUBE_OP_NOT_IN;

    if (wants != (r->n_values > 0)) {
        return kube_fail(&values, error, wants ? "must have a value" : "must be empty for this operator");
    }
    sort_values(r);
    return 0;
}

static const char *const operators[] = { "In", "NotIn", "Exists", "DoesNotExist", NULL };

static const struct kube_field requirement_fields[] = {
    { "key", KUBE_F_STRING, .required = true, .max = 317, KUBE_FIELD(struct kube_requirement, key) },
    { "operator", KUBE_F_ENUM, .required = true, .names = operators, KUBE_FIELD(struct kube_requirement, op) },
    { "values", KUBE_F_STRING, KUBE_LIST(struct kube_requirement, values, KUBE_MAX_VALUES) },
};
static const struct kube_schema requirement_schema
    = KUBE_SCHEMA(struct kube_requirement, requirement_fields, finish_requirement);

static int
compare_requirements(const void *a_, const void *b_)
{
    const struct kube_requirement *a = a_, *b = b_;
    int cmp = strcmp(a->key, b->key);

    cmp = cmp ? cmp : (int) a->op - (int) b->op;
    for (uint32_t i = 0; !cmp && i < a->n_values && i < b->n_values; i++) {
        cmp = strcmp(a->values[i], b->values[i]);
    }
    return cmp ? cmp : a->n_values < b->n_values ? -1 : a->n_values > b->n_values;
}

static int
add_labels(struct kube_selector *s, const json_t *map, const struct kube_at *up, struct error *error)
{
    const struct kube_at at = { up, "matchLabels", 0 };
    const char *key;
    json_t *value;

    if (map && !json_is_object(map)) {
        return kube_fail(&at, error, "must be an object");
    }
    if (json_object_size(map) + s->n_requirements > KUBE_MAX_REQUIREMENTS) {
        return kube_fail(&at, error, "more than %d requirements", KUBE_MAX_REQUIREMENTS);
    }
    json_object_foreach ((json_t *) map, key, value) {
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
            return kube_fail(&at, error, "the value of \"%.64s\" must be a string", key);
        }
        struct kube_requirement *r = kube_list_add(&s->requirements, &s->n_requirements, sizeof *r);
        r->key = intern_string(key);
        r->op = KUBE_OP_IN;
        r->values = xmalloc(sizeof *r->values);
        r->values[0] = intern_string(json_string_value(value));
        r->n_values = 1;
    }
    return 0;
}

static int
finish_selector(const json_t *json, void *value, const struct kube_at *at, struct error *error)
{
    struct kube_selector *s = value;
    uint32_t n = 0;

    if (add_labels(s, kube_member(json, "matchLabels"), at, error)) {
        return EINVAL;
    }
    if (s->n_requirements) {
        qsort(s->requirements, s->n_requirements, sizeof *s->requirements, compare_requirements);
    }
    for (uint32_t i = 0; i < s->n_requirements; i++) {
        if (n && !compare_requirements(&s->requirements[n - 1], &s->requirements[i])) {
            kube_schema_clear(&requirement_schema, &s->requirements[i]);
        } else {
            s->requirements[n++] = s->requirements[i];
        }
    }
    s->n_requirements = n;
    return 0;
}

static const struct kube_field selector_fields[] = {
    { "matchExpressions", KUBE_F_STRUCT, KUBE_LIST(struct kube_selector, requirements, KUBE_MAX_REQUIREMENTS),
      .schema = &requirement_schema },
};
const struct kube_schema kube_selector_schema = KUBE_SCHEMA(struct kube_selector, selector_fields, finish_selector);

static bool
has_value(const struct kube_requirement *r, const char *value)
{
    return value && bsearch(&value, r->values, r->n_values, sizeof *r->values, compare_strings);
}

bool
kube_selector_matches(const struct kube_selector *s, const struct labels *labels)
{
    for (uint32_t i = 0; i < s->n_requirements; i++) {
        const struct kube_requirement *r = &s->requirements[i];
        const char *value = labels_get(labels, r->key);
        bool ok = (r->op == KUBE_OP_IN ? has_value(r, value)
                   : r->op == KUBE_OP_NOT_IN ? !has_value(r, value)
                   : (r->op == KUBE_OP_EXISTS) == (value != NULL));
        if (!ok) {
            return false;
        }
    }
    return true;
}

bool
kube_selector_equal(const struct kube_selector *a, const struct kube_selector *b)
{
    return kube_schema_equal(&kube_selector_schema, a, b);
}
