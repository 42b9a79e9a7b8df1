#ifndef SLUICE_LABELS_H
#define SLUICE_LABELS_H 1

/* A set of labels or annotations: keys with values.
 *
 * A value in the sense of intern.h: immutable, counted by reference (intern_ref(), intern_unref()), and shared by a
 * pool as a whole.  The store's objects have all of their sets from one pool: two sets there are equal exactly if their
 * pointers are.  The empty set is NULL. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct labels;                          /* A tuple (intern.h) of keys and values in turn, sorted by key. */

size_t labels_count(const struct labels *);
const char *labels_key(const struct labels *, size_t i);
const char *labels_value(const struct labels *, size_t i);
/* NULL if the key is not there. */
const char *labels_get(const struct labels *, const char *key);
bool labels_equal(const struct labels *, const struct labels *);

/* Decodes an object of strings, keeping only the keys that 'keep' (NULL: all) accepts.  Absent and null are the empty
 * set.  A key and a value must be as Kubernetes allows them in labels if 'strict'; else a value is any text of at most
 * LABELS_MAX_TEXT bytes.  EINVAL: something else, or more than LABELS_MAX. */
#define LABELS_MAX 1000
#define LABELS_MAX_TEXT 4096
int labels_decode(const json_t *, bool strict, bool (*keep)(const char *key), const struct labels **, struct error *);

#endif /* controller/labels.h */
