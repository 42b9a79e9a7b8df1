/* lib/json-split.h: every body is cut at every byte and at all of them; the result must not depend on it. */

#include <config.h>

#include "json-split.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "unit.h"
#include "util.h"

static const char *const skip[] = { "managedFields", "f", NULL };

/* What the callbacks said, one line each. */
static bool
log_object(void *log, const char *text, size_t size)
{
    ck_assert_uint_eq(strlen(text), size);
    ds_put_format(log, "object %s\n", text);
    return strcmp(text, "\"stop\"");
}

static bool
log_rest(void *log, const char *text, size_t size)
{
    ck_assert_uint_eq(strlen(text), size);
    ds_put_format(log, "rest %s\n", text);
    return true;
}

static void
log_too_large(void *log, const char *begin, size_t size)
{
    ck_assert_uint_eq(strlen(begin), size);
    ds_put_format(log, "too large %.20s\n", begin);
}

static bool
count_object(void *log, const char *text OVS_UNUSED, size_t size)
{
    ds_put_format(log, "%"PRIuSIZE" bytes", size);
    return true;
}

static const struct json_split_ops ops = { log_object, log_rest, log_too_large };

/* Feeds pieces of memory of exactly their size, so that a sanitizer sees what is read behind them. */
static int
feed(struct json_split *js, const char *data, size_t size, struct error *error)
{
    char *copy = xmemdup(data, size);
    int code = json_split_feed(js, copy, size, error);

    free(copy);
    return code;
}

/* 'text' in pieces of 'piece' bytes behind a first one of 'first'. */
static char *
split(enum json_split_mode mode, const char *text, size_t size, size_t first, size_t piece)
{
    struct ds log = DS_EMPTY_INITIALIZER;
    struct json_split *js = json_split_create(mode, skip, &ops, &log);
    struct error error = ERROR_INIT;
    int code = 0;

    for (size_t i = 0, n = first; i < size && !code; i += n, n = MIN(piece, size - i)) {
        code = feed(js, text + i, n, &error);
    }
    if (code) {
        struct error again = ERROR_INIT;
        ck_assert_int_eq(json_split_feed(js, " ", 1, &again), code);
        ck_assert_str_eq(error_message(&again), error_message(&error));
        error_clear(&again);
        ck_assert_int_eq(json_split_end(js, NULL), code);
    } else {
        code = json_split_end(js, &error);
    }
    if (code) {
        ck_assert_int_eq(code, error.code);
        ds_put_format(&log, "%s: %s\n", code == EPROTO ? "EPROTO" : code == ECANCELED ? "ECANCELED" : "?",
                      error_message(&error));
    }
    error_clear(&error);
    json_split_destroy(js);
    return ds_steal_cstr(&log);
}

static void
check(enum json_split_mode mode, const char *text, const char *expected)
{
    size_t size = strlen(text);
    char *whole = split(mode, text, size, size, 1);

    ck_assert_msg(!strcmp(whole, expected), "%s\ngives\n%s\nnot\n%s", text, whole, expected);
    for (size_t first = 0; first <= size; first++) {
        char *cut = split(mode, text, size, first, size);
        ck_assert_msg(!strcmp(cut, expected), "%s\ncut at %zu gives\n%s\nnot\n%s", text, first, cut, expected);
        free(cut);
    }
    for (size_t piece = 1; piece < 5; piece++) {
        char *cut = split(mode, text, size, 0, piece);
        ck_assert_msg(!strcmp(cut, expected), "%s\nin pieces of %zu gives\n%s\nnot\n%s", text, piece, cut, expected);
        free(cut);
    }
    free(whole);
}

START_TEST(test_list)
{
    check(JSON_SPLIT_LIST, "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":1},"
                           "{\"b\":[]}]}\n",
          "object {\"a\":1}\nobject {\"b\":[]}\nrest {\"kind\":\"PodList\",\"metadata\":"
          "{\"resourceVersion\":\"7\"}}\n");
    check(JSON_SPLIT_LIST, "{\"items\":[{}],\"kind\":\"PodList\"}", "object {}\nrest {\"kind\":\"PodList\"}\n");
    check(JSON_SPLIT_LIST, "{\"a\":1,\"items\":[{}],\"kind\":\"PodList\"}",
          "object {}\nrest {\"a\":1,\"kind\":\"PodList\"}\n");
    check(JSON_SPLIT_LIST, " {\"items\" : [ ] } ", "rest {}\n");
    check(JSON_SPLIT_LIST, "{\"a\":1 , \"items\" : [\n{ \"b\" : 2 } ,\t{}\r] }",
          "object { \"b\" : 2 }\nobject {}\nrest {\"a\":1}\n");
    check(JSON_SPLIT_LIST, "{\"items\":null,\"a\":1}", "rest {\"items\":null,\"a\":1}\n");
    check(JSON_SPLIT_LIST, "{\"a\":true}", "rest {\"a\":true}\n");
    check(JSON_SPLIT_LIST, "{}", "rest {}\n");
}
END_TEST

/* Only the top's "items" are the list's. */
START_TEST(test_other_items)
{
    check(JSON_SPLIT_LIST, "{\"metadata\":{\"items\":[{\"x\":1}]},\"items\":[{\"items\":[{\"y\":1}]}]}",
          "object {\"items\":[{\"y\":1}]}\nrest {\"metadata\":{\"items\":[{\"x\":1}]}}\n");
    check(JSON_SPLIT_LIST, "{\"x\":\"items\",\"y\":[\"items\",{\"items\":[]}],\"items\":[{}]}",
          "object {}\nrest {\"x\":\"items\",\"y\":[\"items\",{\"items\":[]}]}\n");
    check(JSON_SPLIT_LIST, "{\"item\":[{}],\"itemss\":[{}]}", "rest {\"item\":[{}],\"itemss\":[{}]}\n");
    /* Written otherwise it is not recognized, and does no harm. */
    check(JSON_SPLIT_LIST, "{\"\\u0069tems\":[{}]}", "rest {\"\\u0069tems\":[{}]}\n");
    check(JSON_SPLIT_LIST, "{\"items\":[{}],\"items\":[{}]}",
          "object {}\nEPROTO: byte 22: \"items\" for the second time\n");
    check(JSON_SPLIT_LIST, "{\"items\":null,\"items\":[{}]}", "EPROTO: byte 22: \"items\" for the second time\n");
    check(JSON_SPLIT_LIST, "{\"items\":{\"a\":[{}]}}", "EPROTO: byte 9: \"items\" is not an array\n");
    check(JSON_SPLIT_LIST, "{\"items\":7}", "EPROTO: byte 9: \"items\" is not an array\n");
}
END_TEST

START_TEST(test_items_of_any_type)
{
    check(JSON_SPLIT_LIST, "{\"items\":[1,null,\"x,]}\\\"\" ,[[{}],2],-1.5e+3 ,{}],\"b\":false}",
          "object 1\nobject null\nobject \"x,]}\\\"\"\nobject [[{}],2]\nobject -1.5e+3\nobject {}\nrest "
          "{\"b\":false}\n");
}
END_TEST

START_TEST(test_skip)
{
    check(JSON_SPLIT_STREAM, "{\"a\":1,\"managedFields\":[{\"f:x\":{\"k:{\\\"}\":{}}}],\"b\":2}",
          "object {\"a\":1,\"b\":2}\n");
    check(JSON_SPLIT_STREAM, "{\"managedFields\":[],\"b\":2}", "object {\"b\":2}\n");
    check(JSON_SPLIT_STREAM, "{\"b\":2,\"managedFields\":[]}", "object {\"b\":2}\n");
    check(JSON_SPLIT_STREAM, "{\"managedFields\":[]}{\"f\":{}}", "object {}\nobject {}\n");
    check(JSON_SPLIT_STREAM, "{\"f\":{},\"managedFields\":[],\"b\":2,\"f\":{},\"f\":{}}", "object {\"b\":2}\n");
    check(JSON_SPLIT_STREAM, "{ \"b\" : 2 , \"f\" : { } }", "object { \"b\" : 2}\n");
    check(JSON_SPLIT_STREAM, "{ \"f\" : { } , \"b\" : 2 }", "object {  \"b\" : 2 }\n");
    check(JSON_SPLIT_STREAM, "{\"f\":{\"f\":{\"f\":[]}},\"o\":{\"f\":{},\"c\":[{\"f\":[]}]}}",
          "object {\"o\":{\"c\":[{}]}}\n");
    /* A label may have that name: its value is a string.  And so may a value, or the beginning of a name. */
    check(JSON_SPLIT_STREAM, "{\"labels\":{\"managedFields\":\"x\",\"f\":1},\"managedFields\":null}",
          "object {\"labels\":{\"managedFields\":\"x\",\"f\":1},\"managedFields\":null}\n");
    check(JSON_SPLIT_STREAM, "{\"a\":\"f\",\"ff\":{},\"managedField\":{},\"\":{},\"managedFieldsX\":{}}",
          "object {\"a\":\"f\",\"ff\":{},\"managedField\":{},\"\":{},\"managedFieldsX\":{}}\n");
    check(JSON_SPLIT_STREAM, "{\"\\u006danagedFields\":[{}],\"\\\"f\":{}}",
          "object {\"\\u006danagedFields\":[{}],\"\\\"f\":{}}\n");
    check(JSON_SPLIT_LIST, "{\"f\":{\"items\":[{}]},\"items\":[{\"f\":{},\"a\":[]},{\"f\":[1]}],\"metadata\":{\"f\":"
                           "{}}}",
          "object {\"a\":[]}\nobject {}\nrest {\"metadata\":{}}\n");
    check(JSON_SPLIT_STREAM, "{\"a\":1,\"f\":[}", "EPROTO: byte 12: a value is missing\n");
    check(JSON_SPLIT_STREAM, "{\"a\":1,\"f\":[]\"b\":2}", "EPROTO: byte 13: a comma or an end is missing\n");
}
END_TEST

/* A byte that is in no JSON does not end a name. */
START_TEST(test_name_with_nul)
{
    static const char text[] = "{\"f\0abcdefghijklmnopqrstuvwxyz\":{},\"b\":2}";
    struct ds log = DS_EMPTY_INITIALIZER;
    struct json_split *js = json_split_create(JSON_SPLIT_ONE, skip, &(struct json_split_ops) {
        .object = count_object }, &log);

    ck_assert_int_eq(feed(js, text, sizeof text - 1, NULL), 0);
    ck_assert_str_eq(ds_cstr(&log), "41 bytes");
    json_split_destroy(js);
    ds_destroy(&log);
}
END_TEST

START_TEST(test_stream)
{
    check(JSON_SPLIT_STREAM, "{\"type\":\"ADDED\"}\n{\"type\":\"MODIFIED\",\"object\":{}}\n\n{}{}",
          "object {\"type\":\"ADDED\"}\nobject {\"type\":\"MODIFIED\",\"object\":{}}\nobject {}\nobject {}\n");
    check(JSON_SPLIT_STREAM, "", "");
    check(JSON_SPLIT_STREAM, " \n", "");
    check(JSON_SPLIT_STREAM, "{\"items\":[{}]}", "object {\"items\":[{}]}\n");
    check(JSON_SPLIT_STREAM, "{} 1", "object {}\nEPROTO: byte 3: no object begins here\n");
    check(JSON_SPLIT_STREAM, "{},{}", "object {}\nEPROTO: byte 2: no object begins here\n");
    check(JSON_SPLIT_STREAM, "<html>", "EPROTO: byte 0: no object begins here\n");
    check(JSON_SPLIT_STREAM, "{}\n{\"a\":\"\xc3\xa4", "object {}\nEPROTO: the text ends after byte 11 in the middle"
                                                      " of an object\n");
}
END_TEST

START_TEST(test_one)
{
    check(JSON_SPLIT_ONE, "{\"a\":\"\\\\\"}\n", "object {\"a\":\"\\\\\"}\n");
    check(JSON_SPLIT_ONE, "{}{}", "object {}\nEPROTO: byte 2: something follows the end\n");
    check(JSON_SPLIT_ONE, "", "EPROTO: the text has no object\n");
    check(JSON_SPLIT_LIST, " ", "EPROTO: the text has no object\n");
    check(JSON_SPLIT_LIST, "{} x", "rest {}\nEPROTO: byte 3: something follows the end\n");
}
END_TEST

START_TEST(test_strings)
{
    check(JSON_SPLIT_ONE, "{\"\\\"}\":\"{[\\\\\\\"\\u00e4}],:\",\"x\":\"\\\\\"}",
          "object {\"\\\"}\":\"{[\\\\\\\"\\u00e4}],:\",\"x\":\"\\\\\"}\n");
    check(JSON_SPLIT_ONE, "{\"\xe2\x82\xac\":\"\xf0\x9f\x90\x99\"}",
          "object {\"\xe2\x82\xac\":\"\xf0\x9f\x90\x99\"}\n");
}
END_TEST

START_TEST(test_wrong)
{
    static const char *const wrong[] = {
        "[", "]", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1]", "{,}", "{\"a\":[1,]}", "{\"a\":[}",
        "{\"a\":[1}}", "{1:2}",
        "{\"a\":1 2}", "{\"a\":[1 2]}", "{\"a\":\"b\"\"c\"}", "{\"a\" \"b\"}", "{\"a\":{}{}}", "{\"a\":[,]}",
        "{\"a\":'b'}", "{\"a\":\x01}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char *whole = split(JSON_SPLIT_ONE, wrong[i], strlen(wrong[i]), strlen(wrong[i]), 1);
        ck_assert_msg(!strncmp(whole, "EPROTO: byte", 12), "%s gives %s", wrong[i], whole);
        check(JSON_SPLIT_ONE, wrong[i], whole);
        free(whole);
    }
    for (const char *text = "{\"items\":[{\"a\":[1,\"x\"]},{}],\"b\":null}", *p = text; p[1]; p++) {
        char *part = xmemdup0(text, p - text + 1);
        char *whole = split(JSON_SPLIT_LIST, part, strlen(part), strlen(part), 1);
        ck_assert_msg(strstr(whole, "in the middle"), "%s gives %s", part, whole);
        free(whole);
        free(part);
    }
}
END_TEST

START_TEST(test_stop)
{
    check(JSON_SPLIT_LIST, "{\"items\":[1,\"stop\",3]}", "object 1\nobject \"stop\"\nECANCELED: the receiver wants no"
                                                         " more\n");
}
END_TEST

/* 'prefix', 'n' times 'c', 'suffix'. */
static char *
long_text(const char *prefix, char c, size_t n, const char *suffix)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&s, prefix);
    ds_put_char_multiple(&s, c, n);
    ds_put_cstr(&s, suffix);
    return ds_steal_cstr(&s);
}

START_TEST(test_depth)
{
    /* The object around is the first level. */
    char *most = long_text("{\"a\":", '[', JSON_SPLIT_MAX_DEPTH - 1, "");
    char *good = long_text(most, ']', JSON_SPLIT_MAX_DEPTH - 1, "}");
    char *log = split(JSON_SPLIT_ONE, good, strlen(good), strlen(good), 1);
    ck_assert_msg(!strncmp(log, "object {", 8), "%s", log);
    free(log);

    char *deep = long_text("{\"f\":", '[', JSON_SPLIT_MAX_DEPTH, "");
    char *expected = xasprintf("EPROTO: byte %d: nested too deeply\n", JSON_SPLIT_MAX_DEPTH + 4);
    check(JSON_SPLIT_ONE, deep, expected);
    free(expected);
    free(deep);
    free(good);
    free(most);
}
END_TEST

static void
check_pieces(enum json_split_mode mode, const char *text, size_t piece, const char *expected)
{
    char *log = split(mode, text, strlen(text), 0, piece);
    ck_assert_msg(!strcmp(log, expected), "%.400s", log);
    free(log);
}

START_TEST(test_too_large)
{
    static const size_t pieces[] = { 100, 16384, 1 << 20, SIZE_MAX };
    char *item = long_text("{\"items\":[{\"name\":\"x\",\"z\":\"", 'z', JSON_SPLIT_MAX_OBJECT,
                           "\",\"f\":{},\"g\":[{}]},{\"b\":1}],\"c\":2}");
    char *stream = long_text("{\"name\":\"x\",\"z\":\"", 'z', JSON_SPLIT_MAX_OBJECT, "\",\"f\":{}} {\"b\":1}");
    char *skipped = long_text("{\"a\":1,\"f\":[\"", 'z', JSON_SPLIT_MAX_OBJECT, "\"]}");
    char *around = long_text("{\"z\":\"", 'z', JSON_SPLIT_MAX_OBJECT, "\",\"items\":[]}");
    /* Exactly the limit, and one more. */
    char *fits = long_text("{\"z\":\"", 'z', JSON_SPLIT_MAX_OBJECT - 8, "\"}");
    char *fits_not = long_text("{\"z\":\"", 'z', JSON_SPLIT_MAX_OBJECT - 7, "\"}");

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        check_pieces(JSON_SPLIT_LIST, item, pieces[i], "too large {\"name\":\"x\",\"z\":\"zzz\nobject {\"b\":1}\nrest"
                                                       " {\"c\":2}\n");
        check_pieces(JSON_SPLIT_STREAM, stream, pieces[i], "too large {\"name\":\"x\",\"z\":\"zzz\nobject {\"b\":1}\n");
        check_pieces(JSON_SPLIT_STREAM, skipped, pieces[i], "object {\"a\":1}\n");
        check_pieces(JSON_SPLIT_STREAM, fits_not, pieces[i], "too large {\"z\":\"zzzzzzzzzzzzzz\n");
        char *log = split(JSON_SPLIT_LIST, around, strlen(around), 0, pieces[i]);
        ck_assert_msg(strstr(log, "what is around the items is too large"), "%.100s", log);
        free(log);
        log = split(JSON_SPLIT_STREAM, fits, strlen(fits), 0, pieces[i]);
        ck_assert_uint_eq(strlen(log), strlen(fits) + strlen("object \n"));
        free(log);
    }
    free(item);
    free(stream);
    free(skipped);
    free(around);
    free(fits);
    free(fits_not);
}
END_TEST

UNIT_MAIN("json-split", {
    tcase_add_test(tc, test_list);
    tcase_add_test(tc, test_other_items);
    tcase_add_test(tc, test_items_of_any_type);
    tcase_add_test(tc, test_skip);
    tcase_add_test(tc, test_name_with_nul);
    tcase_add_test(tc, test_stream);
    tcase_add_test(tc, test_one);
    tcase_add_test(tc, test_strings);
    tcase_add_test(tc, test_wrong);
    tcase_add_test(tc, test_stop);
    tcase_add_test(tc, test_depth);
    tcase_add_test(tc, test_too_large);
})
