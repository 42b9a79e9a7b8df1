#ifndef SLUICE_KUBE_DECODE_TEST_H
#define SLUICE_KUBE_DECODE_TEST_H 1

/* For tests of the decoders.  JSON is written with ' for ", as that is easier to read in C. */

#include <check.h>
#include <errno.h>
#include <string.h>

#include "controller/kube-types.h"
#include "util.h"

static inline json_t *
load_quoted(const char *text)
{
    char *copy = xstrdup(text);

    for (char *p = copy; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json_error_t e;
    json_t *json = json_loads(copy, JSON_ALLOW_NUL, &e);
    ck_assert_msg(json != NULL, "%s: %s", copy, e.text);
    free(copy);
    return json;
}

/* An object of 'kind' named "a", in namespace "n" if it has one, with the other members of 'body' ("'spec':{...}"). */
static inline int
decode_body(enum kube_kind kind, const char *body, struct kube_object **object, struct error *error)
{
    char *text = xasprintf("{'metadata':{'name':'a'%s}%s%s}", kube_kind_is_namespaced(kind) ? ",'namespace':'n'" : "",
                           *body ? "," : "", body);
    json_t *json = load_quoted(text);
    int retval = kube_object_decode_kind(kind, json, object, error);

    json_decref(json);
    free(text);
    return retval;
}

static inline const struct kube_object *
decode_good(enum kube_kind kind, const char *body)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object = NULL, *again = NULL;

    ck_assert_msg(!decode_body(kind, body, &object, &error), "%s: %s", body, error_message(&error));
    ck_assert(!decode_body(kind, body, &again, NULL) && kube_object_equal(object, again));
    kube_object_destroy(again);
    return object;
}

/* The error begins with the object's name and holds 'want'. */
static inline void
check_bad(enum kube_kind kind, const char *body, const char *want)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object = NULL;
    char *who = xasprintf("%s %sa: ", kube_kind_name(kind), kube_kind_is_namespaced(kind) ? "n/" : "");

    ck_assert_msg(decode_body(kind, body, &object, &error) == EINVAL, "%s", body);
    ck_assert_msg(strstr(error_message(&error), want) && !strncmp(error_message(&error), who, strlen(who)),
                  "%s: \"%s\" is not in \"%s\"", body, want, error_message(&error));
    ck_assert(!object);
    free(who);
}

#endif /* tests/unit/kube-decode-test.h */
