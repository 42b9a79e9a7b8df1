#ifndef SLUICE_JSON_SPLIT_H
#define SLUICE_JSON_SPLIT_H 1

/* Cuts the body of an HTTP answer, or a file, into single JSON objects while it arrives, so that never more than one is
 * in memory.
 *
 *   JSON_SPLIT_LIST    one object with "items": [...], as Kubernetes answers to a list: each element is given on its
 *                      own (of whatever type it is), and everything else (kind, apiVersion, metadata) as one object
 *                      without them at the end.  "items" may be null or absent; twice is an error
 *   JSON_SPLIT_STREAM  objects one behind the other, as Kubernetes answers to a watch
 *   JSON_SPLIT_ONE     one object: a Status, the answer to a patch
 *
 * The bytes may be cut anywhere, within an escape or a UTF-8 character too.  It finds where objects begin and end; that
 * what is in between is JSON is for the parser to say.  It can leave out members that nobody reads, wherever they stand
 * ("managedFields"), without parsing them: those of a given name whose value is an object or an array (a label of that
 * name, a string, stays).  A name that is written with an escape is not recognized.  Pure.
 *
 * Limits: an object's size and the depth of nesting.  An object that is too large is skipped, not fatal; what is not
 * JSON is: framing is lost then.  Source: RFC 8259. */

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

#define JSON_SPLIT_MAX_OBJECT (8 * 1024 * 1024)         /* etcd refuses more than 1.5 MiB; its JSON may be larger. */
#define JSON_SPLIT_MAX_DEPTH 128

enum json_split_mode { JSON_SPLIT_LIST, JSON_SPLIT_STREAM, JSON_SPLIT_ONE };

struct json_split_ops {
    /* An object's text (NUL-terminated as well); good until the callback returns.  False stops the feeding. */
    bool (*object)(void *aux, const char *text, size_t size);
    /* JSON_SPLIT_LIST: what is around the items, as one object's text; once, at the end. */
    bool (*rest)(void *aux, const char *text, size_t size);
    /* An object larger than the limit was skipped; its first bytes, NUL-terminated, which may hold its name. */
    void (*too_large)(void *aux, const char *begin, size_t size);
};

struct json_split;

/* 'skip': NULL-terminated names of members that are left out; stays the caller's. */
struct json_split *json_split_create(enum json_split_mode, const char *const *skip, const struct json_split_ops *,
                                     void *aux);
void json_split_destroy(struct json_split *);
/* EPROTO: not JSON, or nested too deeply, with the place; ECANCELED: a callback returned false.  Either stays. */
int json_split_feed(struct json_split *, const char *data, size_t size, struct error *);
/* The body has ended: EPROTO if that is in the middle of something, or JSON_SPLIT_LIST or _ONE had nothing at all. */
int json_split_end(struct json_split *, struct error *);

#endif /* lib/json-split.h */
