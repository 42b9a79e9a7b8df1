#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"
#include "yaml-json.h"

static int
collect(const json_t *json, size_t line, void *aux, struct error *error)
{
    (void) line;
    (void) error;
    json_array_append(aux, (json_t *) json);
    return 0;
}

static void
check_good(const char *yaml, const char *want)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    json_t *all = json_array();

    ck_assert_msg(!yaml_json_parse("t", yaml, strlen(yaml), collect, all, &error), "%s", error_message(&error));
    char *got = json_dumps(all, JSON_COMPACT);
    ck_assert_str_eq(got, want);
    free(got);
    json_decref(all);
}

static void
check_bad(const char *yaml, size_t size, const char *want)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    json_t *all = json_array();

    ck_assert_msg(yaml_json_parse("t", yaml, size, collect, all, &error), "taken: %s", yaml);
    ck_assert_msg(strstr(error_message(&error), want), "\"%s\" is not in \"%s\"", want, error_message(&error));
    json_decref(all);
}

START_TEST(test_good)
{
    check_good("", "[]");
    check_good("---\n---\n", "[]");
    check_good("a: 1\nb: [x, 'y', \"1\", 1.5, true, ~, -7, 0x1f, 0o17, 1e3, .]\n",
               "[{\"a\":1,\"b\":[\"x\",\"y\",\"1\",1.5,true,null,-7,31,15,1000.0,\".\"]}]");
    check_good("{\"a\": {\"b\": null, \"c\": \"\\u00e9\"}}", "[{\"a\":{\"b\":null,\"c\":\"\303\251\"}}]");
    check_good("a: 1\n---\nb: 2\n...\n", "[{\"a\":1},{\"b\":2}]");
    check_good("a: &x [1, 2]\nb: *x\n", "[{\"a\":[1,2],\"b\":[1,2]}]");
    check_good("a: yes\nb: 10.0.0.1\nc: 2026-01-01\nd: 0.0.0.0/0\ne: 99999999999999999999\n",
               "[{\"a\":\"yes\",\"b\":\"10.0.0.1\",\"c\":\"2026-01-01\",\"d\":\"0.0.0.0/0\",\"e\":1e20}]");
}
END_TEST

START_TEST(test_bad)
{
    static const struct {
        const char *yaml, *want;
    } cases[] = {
        { "a: 1\na: 2\n", "t:2: this key stands here twice" },
        { "a: [1\n", "t:2: " },
        { "? [a]\n: 1\n", "t:1: a key must be a scalar" },
        { "a: &x {b: 1}\nc:\n  <<: *x\n", "t:3: merge keys" },
        { "a: &x [*x]\n", "contains it" },
        { "a: !!python/object x\n", "t:1: this scalar has a tag" },
        { "a: \"\\0\"\n", "t:1: this scalar" },
        { "a: \"\\xzz\"\n", "t:1: " },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_bad(cases[i].yaml, strlen(cases[i].yaml), cases[i].want);
    }
    check_bad("a: \xff\xfe", 5, "t:1: ");
}
END_TEST

START_TEST(test_deep)
{
    char deep[5000];

    memset(deep, '[', sizeof deep);
    check_bad(deep, sizeof deep, "t:");
}
END_TEST

/* Ten levels of ten aliases: shared, so neither time nor memory. */
START_TEST(test_many_laughs)
{
    char yaml[4096] = "a0: &a0 [x]\n";
    ERROR_AUTO struct error error = ERROR_INIT;
    json_t *all = json_array();

    for (int i = 1; i < 30; i++) {
        char line[128];
        snprintf(line, sizeof line, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(yaml, line);
    }
    ck_assert_msg(!yaml_json_parse("t", yaml, strlen(yaml), collect, all, &error), "%s", error_message(&error));
    json_decref(all);
}
END_TEST

UNIT_MAIN("yaml-json", {
    tcase_add_test(tc, test_good);
    tcase_add_test(tc, test_bad);
    tcase_add_test(tc, test_deep);
    tcase_add_test(tc, test_many_laughs);
})
