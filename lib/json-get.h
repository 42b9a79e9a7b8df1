#ifndef SLUICE_JSON_GET_H
#define SLUICE_JSON_GET_H 1

/* Taking typed members, with limits, out of jansson objects that came from outside; and what is the same wherever programs
 * of ours talk JSON with each other.
 *
 * Each json_get_*() leaves its output untouched and returns 0 when the member is absent or null.  A member of a wrong
 * type or beyond its limit is EINVAL, and the error names it.  Strings are copied and owned by the caller; objects and
 * arrays are borrowed.  Strings never hold a NUL byte, because json_get_load() refuses them.  Only libc and jansson are
 * used. */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "error.h"

/* Parses one JSON document and nothing behind it.  Duplicate members, NUL bytes, bad UTF-8 and nesting beyond jansson's
 * limit (2048) are EINVAL; a document that ends too early too. */
json_t *json_get_load(const void *, size_t, struct error *);

int json_get_string(const json_t *object, const char *key, size_t max_len, char **, struct error *);
int json_get_int(const json_t *object, const char *key, long long int min, long long int max, int *, struct error *);
int json_get_bool(const json_t *object, const char *key, bool *, struct error *);
int json_get_object(const json_t *object, const char *key, json_t **, struct error *);
int json_get_array(const json_t *object, const char *key, size_t max_len, json_t **, struct error *);
/* Absent, null and [] give NULL and 0. */
int json_get_strings(const json_t *object, const char *key, size_t max_n, size_t max_len, char ***, size_t *n,
                     struct error *);

/* The other way: sets the member unless 's' is NULL.  False when there is no memory. */
bool json_put_string(json_t *object, const char *key, const char *s);
/* Takes 's', which is malloc()ed.  NULL if it is not UTF-8 or there is no memory. */
json_t *json_steal_string(char *s);

/* Members of what another program of ours said, without a check: "" and 0 if there is none of that type. */
const char *json_text(const json_t *object, const char *key);
long long int json_number(const json_t *object, const char *key);

#endif /* lib/json-get.h */
