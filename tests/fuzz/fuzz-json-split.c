/* lib/json-split.h: the first byte says how, the rest is the body.  However it is cut, the result is the same; and what
 * jansson takes as one object comes out as jansson sees it. */

#include <config.h>

#include <jansson.h>
#include <string.h>

#include "fuzz.h"
#include "json-split.h"
#include "openvswitch/dynamic-string.h"

static const char *const skip[] = { "managedFields", "f", NULL };

struct result {
    struct ds log;
    json_t *objects;            /* NULL: one of them was not JSON. */
    json_t *rest;
    int code;
};

static bool
on_object(void *result_, const char *text, size_t size)
{
    struct result *result = result_;
    json_t *object = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);

    FUZZ_CHECK(size && !text[size], "%zu", size);
    ds_put_char(&result->log, '=');
    ds_put_buffer(&result->log, text, size);
    if (!object) {
        json_decref(result->objects);
        result->objects = NULL;
    } else if (!result->objects) {
        json_decref(object);
    } else {
        json_array_append_new(result->objects, object);
    }
    return true;
}

static bool
on_rest(void *result_, const char *text, size_t size)
{
    struct result *result = result_;

    FUZZ_CHECK(!result->rest && text[0] == '{' && text[size - 1] == '}' && !text[size], "%s", text);
    ds_put_char(&result->log, '-');
    ds_put_buffer(&result->log, text, size);
    result->rest = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    return true;
}

static void
on_too_large(void *result_, const char *begin, size_t size)
{
    (void) result_;
    FUZZ_CHECK(false, "too large: %.*s", (int) size, begin);
}

static const struct json_split_ops ops = { on_object, on_rest, on_too_large };

static void
split(struct result *result, enum json_split_mode mode, const char *body, size_t size, size_t piece)
{
    struct json_split *js = json_split_create(mode, skip, &ops, result);
    struct error error = ERROR_INIT;

    *result = (struct result) { .log = DS_EMPTY_INITIALIZER, .objects = json_array() };
    for (size_t i = 0; i < size && !result->code; i += piece) {
        result->code = json_split_feed(js, body + i, size - i < piece ? size - i : piece, &error);
    }
    result->code = result->code ? result->code : json_split_end(js, &error);
    FUZZ_CHECK(result->code == error.code, "%d", result->code);
    ds_put_format(&result->log, "!%s", error.code ? error_message(&error) : "");
    error_clear(&error);
    json_split_destroy(js);
}

static void
result_destroy(struct result *result)
{
    ds_destroy(&result->log);
    json_decref(result->objects);
    json_decref(result->rest);
}

/* 'json' without what is to be skipped. */
static void
strip(json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;
    void *next;

    json_array_foreach(json, i, value) {
        strip(value);
    }
    json_object_foreach_safe(json, next, key, value) {
        if ((!strcmp(key, "managedFields") || !strcmp(key, "f")) && (json_is_object(value) || json_is_array(value))) {
            json_object_del(json, key);
        } else {
            strip(value);
        }
    }
}

static unsigned int
depth_of(const json_t *json)
{
    const char *key;
    json_t *value;
    unsigned int most = 0, depth;
    size_t i;

    json_array_foreach(json, i, value) {
        depth = depth_of(value);
        most = depth > most ? depth : most;
    }
    json_object_foreach((json_t *) json, key, value) {
        depth = depth_of(value);
        most = depth > most ? depth : most;
    }
    return most + (json_is_object(json) || json_is_array(json));
}

/* The same by the whole tree. */
static void
compare(const struct result *result, enum json_split_mode mode, json_t *whole)
{
    json_t *items = json_object_get(whole, "items");

    strip(whole);
    if (mode == JSON_SPLIT_LIST && items && !json_is_null(items)) {
        FUZZ_CHECK(json_is_array(items) == !result->code, "%s", ds_cstr_ro(&result->log));
        if (result->code) {
            return;
        }
        FUZZ_CHECK(result->objects && json_array_size(items) == json_array_size(result->objects), "items");
        json_incref(items);
        json_object_del(whole, "items");
    } else {
        items = json_array();
        if (mode != JSON_SPLIT_LIST) {
            json_array_append(items, whole);
        }
    }
    FUZZ_CHECK(!result->code && result->objects, "%s", ds_cstr_ro(&result->log));
    strip(result->objects);
    FUZZ_CHECK(json_equal(items, result->objects), "%s", ds_cstr_ro(&result->log));
    if (mode == JSON_SPLIT_LIST) {
        strip(result->rest);
        FUZZ_CHECK(json_equal(whole, result->rest), "%s", ds_cstr_ro(&result->log));
    }
    json_decref(items);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) {
        return 0;
    }
    enum json_split_mode mode = data[0] % 3;
    const char *body = (const char *) data + 1;
    struct result whole, cut;

    size--;
    split(&whole, mode, body, size, size ? size : 1);
    split(&cut, mode, body, size, 1 + data[0] / 3 % 20);
    FUZZ_CHECK(whole.log.length == cut.log.length && !memcmp(ds_cstr(&whole.log), ds_cstr(&cut.log), cut.log.length),
               "%s\n%s", ds_cstr(&whole.log), ds_cstr(&cut.log));

    json_t *json = json_loadb(body, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    /* An escaped name is another one for us, and jansson passes over bytes that are 0. */
    bool comparable = !memmem(body, size, "\\u", 2) && !memchr(body, 0, size);
    if (comparable && json_is_object(json) && depth_of(json) <= JSON_SPLIT_MAX_DEPTH) {
        compare(&whole, mode, json);
    }
    json_decref(json);
    result_destroy(&whole);
    result_destroy(&cut);
    return 0;
}
