#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/source-dir.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"
#include "util.h"

struct fixture {
    char dir[32];
    struct store *store;
    struct source_dir *source;
};

static void
write_file(const struct fixture *f, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", f->dir, name);
    FILE *stream = fopen(path, "w");

    ck_assert(stream && fputs(text, stream) >= 0 && !fclose(stream));
    free(path);
}

static void
start(struct fixture *f)
{
    strcpy(f->dir, "/tmp/sluice-test-XXXXXX");
    ck_assert(mkdtemp(f->dir) != NULL);
    f->store = store_create();
    f->source = source_dir_create(f->dir, f->store);
    source_dir_run(f->source);
    ck_assert(source_dir_synced(f->source));
}

static void
stop(struct fixture *f)
{
    char *command = xasprintf("rm -r '%s'", f->dir);

    source_dir_destroy(f->source);
    store_destroy(f->store);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static void
add_name(const struct kube_object *object, void *ds)
{
    ds_put_format(ds, "%s ", object->name);
}

/* The namespaces in the store have these names; all of one letter, so the order is made by counting. */
static void
check_names(struct fixture *f, const char *want)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    source_dir_run(f->source);
    store_for_each(f->store, KUBE_NAMESPACE, add_name, &ds);
    ck_assert_msg(ds.length == 2 * strlen(want), "want %s, have %s", want, ds_cstr(&ds));
    for (; *want; want++) {
        ck_assert_msg(strchr(ds_cstr(&ds), *want) != NULL, "%c is not in %s", *want, ds_cstr(&ds));
    }
    ds_destroy(&ds);
}

static void
add_problem(const char *file, const char *problem, void *ds)
{
    ds_put_format(ds, "%s: %s\n", strrchr(file, '/') + 1, problem);
}

static void
check_problem(struct fixture *f, const char *want)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    source_dir_run(f->source);
    source_dir_for_each_problem(f->source, add_problem, &ds);
    ck_assert_msg((*want == '\0') == (ds.length == 0) && strstr(ds_cstr(&ds), want), "want \"%s\", have \"%s\"", want,
                  ds_cstr(&ds));
    ds_destroy(&ds);
}

#define NS(NAME) "apiVersion: v1\nkind: Namespace\nmetadata: {name: " NAME "}\n"

START_TEST(test_follow)
{
    struct fixture f;

    start(&f);
    check_names(&f, "");
    write_file(&f, "1.yaml", NS("a") "---\n" NS("b"));
    check_names(&f, "ab");
    write_file(&f, "1.yaml", NS("b") "---\n" NS("c"));
    check_names(&f, "bc");
    write_file(&f, "list.json", "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
               "\"metadata\":{\"name\":\"d\"}}]}");
    write_file(&f, ".hidden.yaml", NS("x"));
    write_file(&f, "note.txt", NS("y"));
    check_names(&f, "bcd");

    char *sub = xasprintf("%s/sub", f.dir);
    ck_assert_int_eq(mkdir(sub, 0700), 0);
    write_file(&f, "sub/e.yml", NS("e"));
    check_names(&f, "bcde");
    write_file(&f, "sub/f.yml", NS("f"));
    check_names(&f, "bcdef");
    char *moved = xasprintf("%s/.moved", f.dir);
    ck_assert_int_eq(rename(sub, moved), 0);
    check_names(&f, "bcd");
    free(sub);
    free(moved);

    char *path = xasprintf("%s/1.yaml", f.dir);
    ck_assert_int_eq(unlink(path), 0);
    check_names(&f, "d");
    free(path);
    check_problem(&f, "");
    stop(&f);
}
END_TEST

START_TEST(test_last_good_version)
{
    struct fixture f;

    start(&f);
    write_file(&f, "1.yaml", NS("a") "---\n" NS("b"));
    check_names(&f, "ab");
    write_file(&f, "1.yaml", NS("a") "---\napiVersion: v1\nkind: Namesp");
    check_names(&f, "ab");
    check_problem(&f, "its last good version stays in force");
    write_file(&f, "1.yaml", "apiVersion: [\n");
    check_names(&f, "ab");
    check_problem(&f, "1.yaml: line:");
    write_file(&f, "2.yaml", NS("'../x'"));
    check_problem(&f, "2.yaml: line 1: Namespace: metadata: name: \"../x\" is not a name that Kubernetes allows");
    write_file(&f, "2.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n" NS("c"));
    check_problem(&f, "2.yaml: line 1: kind Deployment of apps/v1");
    write_file(&f, "1.yaml", NS("a"));
    check_names(&f, "ac");
    stop(&f);
}
END_TEST

#define JSON_NS(NAME) "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"" NAME "\"}}"
#define JSON_LIST(KIND, ITEMS) "{\"apiVersion\":\"v1\",\"kind\":\"" KIND "\",\"items\":[" ITEMS "]}"

/* JSON is read element by element; what is wrong with it is told as of any other file. */
START_TEST(test_json)
{
    static const struct { const char *text, *names, *problem; } cases[] = {
        { JSON_LIST("List", JSON_NS("a") "," JSON_NS("b")), "ab", "" },
        { JSON_LIST("NamespaceList", JSON_NS("a")), "a", "" },
        { " \n" JSON_NS("c"), "c", "" },
        { JSON_LIST("List", ""), "", "" },
        { JSON_LIST("Namespace", JSON_NS("a")), "", "line 1: \"metadata\" is missing" },
        { JSON_LIST("List", JSON_NS("a") "," JSON_NS("a")), "a", "stands in this file twice" },
        { JSON_LIST("List", JSON_NS("a") ",7"), "", "line 1: not an object" },
        { JSON_LIST("List", JSON_NS("a") "," JSON_NS("../x")), "", "is not a name that Kubernetes allows" },
        { "{\"kind\":\"List\",\"items\":[" JSON_NS("a"), "", "line:" },
        { "{\"kind\":\"Namespace\",\"kind\":\"Namespace\"}", "", "line:1: this key stands here twice" },
        { JSON_NS("a") "\n---\n" JSON_NS("b"), "ab", "" },          /* Not JSON, but what kubectl takes. */
        { "# a comment\n" JSON_NS("d"), "d", "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;

        start(&f);
        write_file(&f, "1.json", cases[i].text);
        check_names(&f, cases[i].names);
        check_problem(&f, cases[i].problem);
        stop(&f);
    }
}
END_TEST

#define NP(NAME, RULE) "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " NAME "}\n" \
    "spec: {ingress: [" RULE "]}\n"

static const char *
np_problem(const struct fixture *f, const char *name)
{
    const struct kube_object *o = store_get(f->store, KUBE_NETWORKPOLICY, "default", name);

    return !o ? "absent" : kube_object_problem(o);
}

/* Issue 5: a policy that is not understood closes; its last good version stays; it takes nothing of its file along. */
START_TEST(test_policy_closed)
{
    struct fixture f;

    start(&f);
    write_file(&f, "1.yaml", NP("p", "7") "---\n" NS("a") "---\n" NP("q", "{}"));
    check_names(&f, "a");
    check_problem(&f, "1.yaml: line 1: NetworkPolicy p: spec.ingress[0]: must be an object");
    check_problem(&f, "1.yaml: NetworkPolicy/default/p; until it is right, what it selects is cut off");
    ck_assert_str_eq(np_problem(&f, "p"), "spec.ingress[0]: must be an object");
    ck_assert(!np_problem(&f, "q"));

    write_file(&f, "1.yaml", NP("p", "{}") "---\n" NS("b") "---\n" NP("q", "8"));
    check_names(&f, "ab");
    check_problem(&f, "NetworkPolicy/default/q; its last good version stays in force");
    ck_assert(!np_problem(&f, "p") && !np_problem(&f, "q"));

    write_file(&f, "1.yaml", NP("p", "9"));
    check_names(&f, "ab");
    ck_assert(!np_problem(&f, "p") && !np_problem(&f, "q"));

    write_file(&f, "1.yaml", NP("q", "{}"));
    check_names(&f, "");
    check_problem(&f, "");
    ck_assert_str_eq(np_problem(&f, "p"), "absent");
    stop(&f);
}
END_TEST

static void
check_uid(const struct fixture *f, const char *want)
{
    char uid[KUBE_UID_STRLEN];
    ck_assert_str_eq(kube_uid_format(&store_get(f->store, KUBE_NAMESPACE, "", "a")->uid, uid), want);
}

START_TEST(test_two_files_one_object)
{
    struct fixture f;

    start(&f);
    write_file(&f, "2.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, uid: two}\n");
    check_names(&f, "a");
    write_file(&f, "1.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, uid: one}\n");
    check_names(&f, "a");
    check_uid(&f, "one");
    check_problem(&f, "2.yaml: Namespace//a is declared by");
    char *path = xasprintf("%s/1.yaml", f.dir);
    ck_assert_int_eq(unlink(path), 0);
    free(path);
    check_names(&f, "a");
    check_uid(&f, "two");
    check_problem(&f, "");
    write_file(&f, "2.yaml", NS("b") "---\n" NS("b"));
    check_problem(&f, "Namespace//b stands in this file twice");
    stop(&f);
}
END_TEST

START_TEST(test_folder_comes_late)
{
    struct fixture f;
    char *parent, *dir;

    start(&f);
    parent = xasprintf("%s/p", f.dir);
    dir = xasprintf("%s/q/", parent);
    struct store *store = store_create();
    struct source_dir *source = source_dir_create(dir, store);
    source_dir_run(source);
    ck_assert_uint_eq(source_dir_n_problems(source), 1);
    ck_assert_int_eq(mkdir(parent, 0700), 0);
    source_dir_run(source);
    ck_assert_uint_eq(source_dir_n_problems(source), 1);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    write_file(&f, "p/q/a.yaml", NS("a"));
    source_dir_run(source);
    ck_assert_uint_eq(source_dir_n_problems(source), 0);
    ck_assert_uint_eq(store_count(store, KUBE_NAMESPACE), 1);
    source_dir_destroy(source);
    ck_assert_int_eq(source_dir_load("/nonexistent", store, add_problem, NULL, NULL), ENOENT);
    store_destroy(store);
    free(parent);
    free(dir);
    stop(&f);
}
END_TEST

UNIT_MAIN("source-dir", {
    tcase_add_test(tc, test_follow);
    tcase_add_test(tc, test_last_good_version);
    tcase_add_test(tc, test_json);
    tcase_add_test(tc, test_policy_closed);
    tcase_add_test(tc, test_two_files_one_object);
    tcase_add_test(tc, test_folder_comes_late);
})
