#include <config.h>

#include "kube-reflector-private.h"

#include <errno.h>

#include "util.h"

#define MAX_TEXT (64 * 1024)    /* Kept of the body of a failure. */
#define MAX_MESSAGE 500         /* Bytes of a server's message that are repeated. */

static const struct json_split_ops list_ops, probe_ops, watch_ops;
static enum reflector_outcome refused(struct reflector *);

void
reflector_answer_begin(struct reflector *r)
{
    struct reflector_answer *a = &r->answer;

    if (a->status == 200) {
        bool watch = a->type == REFLECTOR_WATCH;
        a->split = json_split_create(watch ? JSON_SPLIT_STREAM : JSON_SPLIT_LIST, r->skip,
                                     watch ? &watch_ops : a->type == REFLECTOR_LIST ? &list_ops : &probe_ops, r);
    }
}

bool
reflector_answer_body(struct reflector *r, const char *data, size_t size)
{
    struct reflector_answer *a = &r->answer;

    if (a->split) {
        struct error error = ERROR_INIT;

        if (json_split_feed(a->split, data, size, &error) && a->outcome == OUTCOME_OPEN) {
            reflector_set_problem(r, "the answer is not what was asked for: %s", error_message(&error));
            a->outcome = OUTCOME_FAILED;
        }
        error_clear(&error);
    } else if (a->status && a->size < MAX_TEXT) {
        size_t n = MIN(size, MAX_TEXT - a->size);

        a->text = xrealloc(a->text, a->size + n + 1);
        memcpy(a->text + a->size, data, n);
        a->size += n;
        a->text[a->size] = '\0';
    }
    return a->outcome == OUTCOME_OPEN;
}

enum reflector_outcome
reflector_answer_end(struct reflector *r, const struct error *error)
{
    struct reflector_answer *a = &r->answer;
    struct error incomplete = ERROR_INIT;

    if (a->outcome != OUTCOME_OPEN) {
        return a->outcome;
    } else if (error && error->code == ETIMEDOUT && a->type == REFLECTOR_WATCH && a->status == 200) {
        return OUTCOME_QUIET;
    } else if (error && error->code) {
        reflector_set_problem(r, "%s", error_message(error));
        return OUTCOME_FAILED;
    } else if (!a->status) {
        reflector_set_problem(r, "there was no answer");
        return OUTCOME_FAILED;
    } else if (a->status != 200) {
        return refused(r);
    } else if (json_split_end(a->split, &incomplete)) {
        reflector_set_problem(r, "the answer is incomplete: %s", error_message(&incomplete));
        error_clear(&incomplete);
        return OUTCOME_FAILED;
    } else if (a->type != REFLECTOR_WATCH && !a->resource_version) {
        reflector_set_problem(r, "the list has no resourceVersion");
        return OUTCOME_FAILED;
    }
    return OUTCOME_DONE;
}

void
reflector_answer_clear(struct reflector *r)
{
    struct reflector_answer *a = &r->answer;

    json_split_destroy(a->split);
    free(a->text);
    free(a->resource_version);
    free(a->continue_token);
    memset(a, 0, sizeof *a);
}

int
reflector_compare_versions(const char *a, const char *b)
{
    if (!a || !b || !*a || !*b || a[strspn(a, "0123456789")] || b[strspn(b, "0123456789")]) {
        return 0;
    }
    a += strspn(a, "0");
    b += strspn(b, "0");
    size_t len_a = strlen(a), len_b = strlen(b);
    int order = len_a != len_b && !REFLECTOR_BUG("compare-strings") ? (len_a < len_b ? -1 : 1) : strcmp(a, b);

    return order < 0 ? -1 : order > 0;
}

/* Objects ---------------------------------------------------------------------------------------------------------- */

/* A member of 'object' that is a string, else NULL; both may be NULL. */
static const char *
get_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* What a Status says of it, in milliseconds; -1: nothing. */
static long long int
get_retry_after(const json_t *status)
{
    json_int_t s = json_integer_value(json_object_get(json_object_get(status, "details"), "retryAfterSeconds"));

    return s > 0 && s < 100000 ? s * 1000 : -1;
}

/* The value of the first member 'name' in 'text', which may be cut or not be JSON at all. */
static const char *
find_member(const char *text, size_t size, const char *name, int *len)
{
    char *key = xasprintf("\"%s\":\"", name);
    const char *p = memmem(text, size, key, strlen(key));
    const char *value = p ? p + strlen(key) : NULL, *end = value ? memchr(value, '"', text + size - value) : NULL;

    free(key);
    *len = end ? MIN(end - value, 253) : 0;
    return end ? value : NULL;
}

static void
bad_object(struct reflector *r, const char *text, size_t size, const char *why)
{
    int namespace_len, name_len;
    const char *namespace = find_member(text, size, "namespace", &namespace_len);
    const char *name = find_member(text, size, "name", &name_len);
    char *what = name ? xasprintf("%s %.*s%s%.*s: %s", r->resource, namespace_len, namespace ? namespace : "",
                                  namespace ? "/" : "", name_len, name, why)
                 : xasprintf("%s: an object without a name: %s", r->resource, why);

    r->ops->bad(r->aux, what);
    free(what);
}

static void
too_large(void *aux, const char *begin, size_t size)
{
    bad_object(aux, begin, size, "too large");
}

/* One object of a list or a watch.  It cannot have members twice, because the server makes it from what it decoded; and
 * a character NUL in some annotation must not hide from us that its object was deleted. */
static json_t *
parse_object(struct reflector *r, const char *text, size_t size)
{
    json_error_t error;

    if (*text != '{') {
        bad_object(r, text, size, "not an object");
        return NULL;
    }
    json_t *object = json_loadb(text, size, JSON_ALLOW_NUL, &error);
    if (!object) {
        bad_object(r, text, size, error.text);
    }
    return object;
}

/* Lists ------------------------------------------------------------------------------------------------------------ */

static bool
list_item(void *r_, const char *text, size_t size)
{
    struct reflector *r = r_;
    json_t *object = parse_object(r, text, size);

    if (object) {
        r->ops->object(r->aux, REFLECTOR_LISTED, object);
        json_decref(object);
    }
    return true;
}

static bool
probe_item(void *r OVS_UNUSED, const char *text OVS_UNUSED, size_t size OVS_UNUSED)
{
    return true;
}

static void
probe_item_too_large(void *r OVS_UNUSED, const char *begin OVS_UNUSED, size_t size OVS_UNUSED)
{
}

static bool
list_rest(void *r_, const char *text, size_t size)
{
    struct reflector *r = r_;
    struct reflector_answer *a = &r->answer;
    json_t *rest = json_loadb(text, size, 0, NULL);
    json_t *metadata = json_object_get(rest, "metadata");
    const char *version = get_string(metadata, "resourceVersion"), *token = get_string(metadata, "continue");

    a->resource_version = version && *version ? xstrdup(version) : NULL;
    a->continue_token = token && *token ? xstrdup(token) : NULL;
    json_decref(rest);
    return true;
}

/* Watches ---------------------------------------------------------------------------------------------------------- */

/* "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}: we know more than this server. */
static bool
is_version_too_large(const json_t *status)
{
    json_t *causes = json_object_get(json_object_get(status, "details"), "causes"), *cause;
    const char *message = get_string(status, "message");
    size_t i;

    json_array_foreach(causes, i, cause) {
        const char *reason = get_string(cause, "reason");
        if (reason && !strcmp(reason, "ResourceVersionTooLarge")) {
            return true;
        }
    }
    return message && strstr(message, "Too large resource version");
}

/* An event ERROR.  The watch has ended with it. */
static void
watch_error(struct reflector *r, const json_t *status)
{
    const char *reason = get_string(status, "reason"), *message = get_string(status, "message");
    int code = json_integer_value(json_object_get(status, "code"));

    if (code == 410 || (reason && (!strcmp(reason, "Expired") || !strcmp(reason, "Gone")))) {
        r->answer.outcome = REFLECTOR_BUG("ignore-expired-event") ? OUTCOME_FAILED : OUTCOME_EXPIRED;
        return;
    }
    reflector_set_problem(r, "the server ended it with an error: %d %s: %.*s", code, reason ? reason : "", MAX_MESSAGE,
                          message ? message : "no message");
    r->answer.retry_after_ms = get_retry_after(status);
    r->answer.outcome = code == 429 || code == 503 ? OUTCOME_FAILED : OUTCOME_UNUSABLE;
}

/* The copy is at 'version' once the event is done; false if it cannot be. */
static bool
advance(struct reflector *r, const char *version, const char *text, size_t size)
{
    if (!version || !*version) {
        bad_object(r, text, size, "an event without a resourceVersion");
        reflector_set_problem(r, "an event has no resourceVersion");
        r->answer.outcome = OUTCOME_UNUSABLE;
        return false;
    }
    int order = reflector_compare_versions(version, r->resource_version);
    if (order < 0 && !REFLECTOR_BUG("follow-back")) {
        reflector_set_problem(r, "the server went back from resourceVersion %s to %s", r->resource_version, version);
        r->answer.outcome = OUTCOME_GONE_BACK;
        return false;
    }
    if ((order || strcmp(version, r->resource_version)) && !REFLECTOR_BUG("old-version")) {
        r->answer.advanced = true;
        reflector_watch_lives(r);
        free(r->resource_version);
        r->resource_version = xstrdup(version);
    }
    return true;
}

static void
watch_object(struct reflector *r, const char *type, const json_t *object, const char *text, size_t size)
{
    bool bookmark = !strcmp(type, "BOOKMARK");
    enum reflector_event event = !strcmp(type, "ADDED") ? REFLECTOR_ADDED
                                 : !strcmp(type, "MODIFIED") ? REFLECTOR_MODIFIED
                                 : !strcmp(type, "DELETED") ? REFLECTOR_DELETED : REFLECTOR_LISTED;
    const char *version = get_string(json_object_get(object, "metadata"), "resourceVersion");

    if (!bookmark && event == REFLECTOR_LISTED) {
        bad_object(r, text, size, "an event of an unknown type");
    } else if (!advance(r, version, text, size)) {
        /* Said already. */
    } else if (bookmark) {
        r->stats.bookmarks++;
    } else {
        r->stats.events++;
        r->ops->object(r->aux, event, object);
    }
}

static bool
watch_item(void *r_, const char *text, size_t size)
{
    struct reflector *r = r_;
    json_t *item = parse_object(r, text, size);
    json_t *object = json_object_get(item, "object");
    const char *type = get_string(item, "type");

    if (!item) {
        return true;
    }
    if (!type || !json_is_object(object)) {
        bad_object(r, text, size, "an event without a type or an object");
    } else if (!strcmp(type, "ERROR")) {
        watch_error(r, object);
    } else {
        watch_object(r, type, object, text, size);
    }
    json_decref(item);
    return r->answer.outcome == OUTCOME_OPEN;
}

static const struct json_split_ops list_ops = { list_item, list_rest, too_large };
static const struct json_split_ops probe_ops = { probe_item, list_rest, probe_item_too_large };
static const struct json_split_ops watch_ops = { watch_item, NULL, too_large };

/* Failures --------------------------------------------------------------------------------------------------------- */

/* What an API server says of what it does not have; another answer 404 is of somebody in between. */
static bool
is_absent(const struct reflector_answer *a, const json_t *status)
{
    const char *kind = get_string(status, "kind");

    return (kind && !strcmp(kind, "Status"))
           || (a->text && !strncmp(a->text, "404 page not found", strlen("404 page not found")));
}

static void
refused_problem(struct reflector *r, const char *reason, const char *message)
{
    struct reflector_answer *a = &r->answer;
    char *why = xasprintf("%d%s%s%s%.*s", a->status, reason ? " " : "", reason ? reason : "", message ? ": " : "",
                          MAX_MESSAGE, message ? message : "");

    if (a->status == 403) {
        reflector_set_problem(r, "%s: no right to %s %s: apply deploy/rbac.yaml", why, reflector_verb(r), r->resource);
    } else if (a->status == 401) {
        reflector_set_problem(r, "%s: the server does not accept our credentials: renew the token or certificate", why);
    } else if (a->status == 404) {
        reflector_set_problem(r, "%s: not the answer of a Kubernetes API server: check the server's address", why);
    } else {
        reflector_set_problem(r, "%s", why);
    }
    free(why);
}

/* An answer other than 200. */
static enum reflector_outcome
refused(struct reflector *r)
{
    struct reflector_answer *a = &r->answer;
    json_t *status = a->text ? json_loadb(a->text, a->size, 0, NULL) : NULL;
    const char *reason = get_string(status, "reason");
    enum reflector_outcome outcome;

    a->retry_after_ms = a->retry_after_ms < 0 ? get_retry_after(status) : a->retry_after_ms;
    if (a->status == 404 && is_absent(a, status)) {
        outcome = OUTCOME_ABSENT;
    } else if (a->status == 410 && !REFLECTOR_BUG("ignore-expired")) {
        outcome = OUTCOME_EXPIRED;
    } else {
        refused_problem(r, reason, get_string(status, "message"));
        outcome = is_version_too_large(status) ? OUTCOME_UNUSABLE : OUTCOME_FAILED;
    }
    json_decref(status);
    return outcome;
}
