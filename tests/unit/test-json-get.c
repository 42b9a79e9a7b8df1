/* JSON from outside: members of the right type within their limits, and nothing else. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "json-get.h"
#include "util.h"
#include "unit.h"

static json_t *
load(const char *text)
{
    json_t *json = json_get_load(text, strlen(text), NULL);

    ck_assert_ptr_nonnull(json);
    return json;
}

START_TEST(test_load)
{
    static const char *const bad[] = {
        "", "{", "{} {}", "{\"a\": 1, \"a\": 2}", "{\"a\": \"\\u0000\"}", "{\"a\": \"\xff\"}", "{a: 1}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        ck_assert_msg(!json_get_load(bad[i], strlen(bad[i]), &error), "%s", bad[i]);
        ck_assert_int_eq(error.code, EINVAL);
    }
    json_decref(load(" {\"a\": 1}\n"));
}
END_TEST

/* Absent and null leave what was there. */
START_TEST(test_absent)
{
    json_t *json = load("{\"null\": null, \"empty\": []}");
    const char *const keys[] = { "none", "null" };
    json_t *any = json;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char *s = NULL, **strings = NULL;
        int number = 7;
        bool flag = true;
        size_t n = 0;

        ck_assert(!json_get_string(json, keys[i], 9, &s, NULL) && !s);
        ck_assert(!json_get_int(json, keys[i], 0, 9, &number, NULL) && number == 7);
        ck_assert(!json_get_bool(json, keys[i], &flag, NULL) && flag);
        ck_assert(!json_get_object(json, keys[i], &any, NULL) && any == json);
        ck_assert(!json_get_array(json, keys[i], 9, &any, NULL) && any == json);
        ck_assert(!json_get_strings(json, keys[i], 9, 9, &strings, &n, NULL) && !strings && !n);
        ck_assert(!json_get_strings(json, "empty", 9, 9, &strings, &n, NULL) && !strings && !n);
    }
    json_decref(json);
}
END_TEST

START_TEST(test_good)
{
    json_t *json = load("{\"s\": \"abc\", \"i\": -3, \"b\": false, \"o\": {\"x\": 1}, \"l\": [\"p\", \"qr\"]}");
    json_t *object = NULL, *array = NULL;
    char *s = strdup("before"), **strings = NULL;
    int number = 0;
    bool flag = true;
    size_t n = 0;

    ck_assert(!json_get_string(json, "s", 3, &s, NULL));
    ck_assert_str_eq(s, "abc");
    ck_assert(!json_get_int(json, "i", -3, 0, &number, NULL) && number == -3);
    ck_assert(!json_get_bool(json, "b", &flag, NULL) && !flag);
    ck_assert(!json_get_object(json, "o", &object, NULL) && json_number(object, "x") == 1);
    ck_assert(!json_get_array(json, "l", 2, &array, NULL) && json_array_size(array) == 2);
    ck_assert(!json_get_strings(json, "l", 2, 2, &strings, &n, NULL));
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(strings[0], "p");
    ck_assert_str_eq(strings[1], "qr");
    free(strings[0]);
    free(strings[1]);
    free(strings);
    free(s);
    json_decref(json);
}
END_TEST

#define CHECK_BAD(CALL)                                                 \
    do {                                                                \
        ERROR_AUTO struct error error = ERROR_INIT;                          \
        ck_assert_int_eq(CALL, EINVAL);                                 \
        ck_assert_msg(strstr(error_message(&error), "\"k\""), "%s", error_message(&error)); \
    } while (0)

START_TEST(test_bad)
{
    static const char *const values[] = { "\"four\"", "12345", "1.5", "true", "{}", "[\"a\", \"b\", \"c\"]", "[1]" };

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char *text = xasprintf("{\"k\": %s}", values[i]), *s = NULL, **strings = NULL;
        json_t *json = load(text), *out = NULL;
        size_t n = 0;
        bool flag;
        int number;

        CHECK_BAD(json_get_string(json, "k", 3, &s, &error));           /* A string too, which is too long. */
        CHECK_BAD(json_get_int(json, "k", 0, 12344, &number, &error));
        CHECK_BAD(json_get_int(json, "k", 12346, INT_MAX, &number, &error));
        if (strcmp(values[i], "true")) {
            CHECK_BAD(json_get_bool(json, "k", &flag, &error));
        }
        if (strcmp(values[i], "{}")) {
            CHECK_BAD(json_get_object(json, "k", &out, &error));
        }
        if (strcmp(values[i], "[1]")) {
            CHECK_BAD(json_get_array(json, "k", 2, &out, &error));
        }
        CHECK_BAD(json_get_strings(json, "k", 2, 9, &strings, &n, &error));
        ck_assert(!s && !strings && !out && !n);
        json_decref(json);
        free(text);
    }
}
END_TEST

/* One of the strings is too long: those before it are not lost. */
START_TEST(test_strings_too_long)
{
    json_t *json = load("{\"k\": [\"a\", \"b\", \"long\"]}");
    char **strings = NULL;
    size_t n = 0;

    CHECK_BAD(json_get_strings(json, "k", 3, 3, &strings, &n, &error));
    ck_assert(!strings && !n);
    json_decref(json);
}
END_TEST

START_TEST(test_put)
{
    json_t *json = json_object();

    ck_assert(json_put_string(json, "none", NULL) && !json_object_get(json, "none"));
    ck_assert(json_put_string(json, "s", "x"));
    ck_assert_str_eq(json_text(json, "s"), "x");
    ck_assert(!json_steal_string(strdup("\xff")));
    json_object_set_new(json, "stolen", json_steal_string(strdup("y")));
    ck_assert_str_eq(json_text(json, "stolen"), "y");
    json_decref(json);
}
END_TEST

START_TEST(test_told)
{
    json_t *json = load("{\"s\": \"x\", \"i\": 9223372036854775807, \"null\": null}");

    ck_assert_str_eq(json_text(json, "s"), "x");
    ck_assert_str_eq(json_text(json, "i"), "");
    ck_assert_str_eq(json_text(json, "null"), "");
    ck_assert_str_eq(json_text(json, "none"), "");
    ck_assert_str_eq(json_text(NULL, "s"), "");
    ck_assert_int_eq(json_number(json, "i"), INT64_MAX);
    ck_assert_int_eq(json_number(json, "s"), 0);
    ck_assert_int_eq(json_number(json, "none"), 0);
    json_decref(json);
}
END_TEST

UNIT_MAIN("json-get", {
    tcase_add_test(tc, test_load);
    tcase_add_test(tc, test_absent);
    tcase_add_test(tc, test_good);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_strings_too_long);
    tcase_add_test(tc, test_put);
    tcase_add_test(tc, test_told);
})
