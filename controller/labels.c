#include <config.h>

#include "controller/labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "intern.h"
#include "util.h"

static const char *const *
tuple_of(const struct labels *labels)
{
    return (const char *const *) labels;
}

size_t
labels_count(const struct labels *labels)
{
    return intern_tuple_size(tuple_of(labels)) / 2;
}

const char *
labels_key(const struct labels *labels, size_t i)
{
    return tuple_of(labels)[2 * i];
}

const char *
labels_value(const struct labels *labels, size_t i)
{
    return tuple_of(labels)[2 * i + 1];
}

const char *
labels_get(const struct labels *labels, const char *key)
{
    size_t low = 0, high = labels_count(labels);

    while (low < high) {
        size_t middle = (low + high) / 2;
        int cmp = strcmp(labels_key(labels, middle), key);

        if (!cmp) {
            return labels_value(labels, middle);
        } else if (cmp < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool
labels_equal(const struct labels *a, const struct labels *b)
{
    return intern_tuple_equal(tuple_of(a), tuple_of(b));
}

static int
check_pair(const char *key, const json_t *value, bool strict, struct error *error)
{
    if (!json_is_string(value)) {
        return error_set(error, EINVAL, "the value of \"%.64s\" must be a string", key);
    }

    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value)) {
        return error_set(error, EINVAL, "the value of \"%.64s\" has a NUL byte", key);
    }
    if (!kube_label_key_ok(key)) {
        return error_set(error, EINVAL, "\"%.64s\" is not a key that Kubernetes allows", key);
    }
    if (strict && !kube_label_value_ok(text)) {
        return error_set(error, EINVAL, "\"%.64s\" is not a value that Kubernetes allows in \"%.64s\"", text, key);
    }
    if (strlen(text) > LABELS_MAX_TEXT) {
        return error_set(error, EINVAL, "the value of \"%.64s\" is longer than %d bytes", key, LABELS_MAX_TEXT);
    }
    return 0;
}

static int
compare_pairs(const void *a_, const void *b_)
{
    const char *const *a = a_, *const *b = b_;
    return strcmp(*a, *b);
}

int
labels_decode(const json_t *json, bool strict, bool (*keep)(const char *), const struct labels **labelsp,
              struct error *error)
{
    size_t n = 0;

    *labelsp = NULL;
    if (!json || json_is_null(json)) {
        return 0;
    }
    if (!json_is_object(json)) {
        return error_set(error, EINVAL, "must be an object");
    }
    if (json_object_size(json) > LABELS_MAX) {
        return error_set(error, EINVAL, "more than %d", LABELS_MAX);
    }

    const char **pairs = xmalloc(2 * json_object_size(json) * sizeof *pairs + 1);
    const char *key;
    json_t *value;
    int retval = 0;
    json_object_foreach ((json_t *) json, key, value) {
        if (!keep || keep(key)) {
            retval = check_pair(key, value, strict, error);
            if (retval) {
                break;
            }
            pairs[2 * n] = key;
            pairs[2 * n + 1] = json_string_value(value);
            n++;
        }
    }
    if (!retval && n) {
        qsort(pairs, n, 2 * sizeof *pairs, compare_pairs);
        for (size_t i = 0; i < 2 * n; i++) {
            pairs[i] = intern_string(pairs[i]);
        }
        *labelsp = (const struct labels *) intern_tuple(pairs, 2 * n);
    }
    free(pairs);
    return retval;
}
