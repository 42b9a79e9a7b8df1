/* controller/policy-match.h.  The large test compares histories of events with a matcher that knows no index. */
#include <config.h>

#include "controller/policy-match.h"
#include "intern.h"
#include "kube-decode-test.h"
#include "openvswitch/dynamic-string.h"
#include "unit.h"

/* Objects from text. --------------------------------------------------------------------------------------------- */

static const struct kube_pod *
make_pod(const char *ns, const char *labels, const char *ports)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char *text = xasprintf("{'metadata':{'name':'p','namespace':'%s','labels':%s},"
                           "'spec':{'containers':[{'name':'c','ports':%s}]}}", ns, labels, ports);
    struct kube_object *object = NULL;
    json_t *json = load_quoted(text);

    ck_assert_msg(!kube_object_decode_kind(KUBE_POD, json, &object, &error), "%s", error_message(&error));
    json_decref(json);
    free(text);
    return kube_pod_cast(object);
}

static const struct kube_namespace *
make_namespace(const char *name, const char *labels)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    char *text = xasprintf("{'metadata':{'name':'%s','labels':%s}}", name, labels);
    struct kube_object *object = NULL;
    json_t *json = load_quoted(text);

    ck_assert_msg(!kube_object_decode_kind(KUBE_NAMESPACE, json, &object, &error), "%s", error_message(&error));
    json_decref(json);
    free(text);
    return (const struct kube_namespace *) object;
}

/* A policy whose spec.podSelector and one peer's namespaceSelector are these. */
static const struct kube_networkpolicy *
make_selectors(const char *namespaces, const char *pods)
{
    char *body = xasprintf("'spec':{'podSelector':%s,'ingress':[{'from':[{'namespaceSelector':%s}]}]}", pods,
                           namespaces);
    const struct kube_object *object = decode_good(KUBE_NETWORKPOLICY, body);

    free(body);
    return kube_networkpolicy_cast(object);
}

/* 'scope' is the name of a namespace, or a selector if it begins with "{". */
static struct match_term *
ref(struct policy_match *m, const char *scope, const char *pods)
{
    bool is_selector = *scope == '{';
    const struct kube_networkpolicy *np = make_selectors(is_selector ? scope : "{}", pods);
    struct match_term *t = policy_match_term_ref(m, is_selector ? NULL : scope,
                                                 is_selector ? np->ingress[0].peers[0].namespaces : NULL, &np->pods);

    kube_object_destroy(&np->object);
    return t;
}

static bool
has_term(const struct match_class *c, const struct match_term *t)
{
    for (size_t i = 0; i < c->n_terms; i++) {
        if (c->terms[i] == t) {
            return true;
        }
    }
    return false;
}

static size_t
pop_all(struct policy_match *m)
{
    size_t n = 0;

    while (policy_match_pop_changed(m)) {
        n++;
    }
    return n;
}

static void
count_pod(const struct kube_pod *pod OVS_UNUSED, void *n)
{
    ++*(size_t *) n;
}

/* What a selector means. ------------------------------------------------------------------------------------------ */

#define IN(KEY, VALUES) "{'matchExpressions':[{'key':'" KEY "','operator':'In','values':[" VALUES "]}]}"
#define NOT_IN(KEY, VALUES) "{'matchExpressions':[{'key':'" KEY "','operator':'NotIn','values':[" VALUES "]}]}"
#define EXISTS(KEY) "{'matchExpressions':[{'key':'" KEY "','operator':'Exists'}]}"
#define ABSENT(KEY) "{'matchExpressions':[{'key':'" KEY "','operator':'DoesNotExist'}]}"

struct meaning {
    const char *scope, *pods;
    const char *ns, *ns_labels;         /* NULL: there is no object. */
    const char *labels;
    bool selected;
};

static const struct meaning meanings[] = {
    /* networkpolicy 4: all pods of the policy's namespace only. */
    { "n", "{}", "n", NULL, "{}", true },
    { "n", "{}", "n", "{'a':'1'}", "{'a':'1'}", true },
    { "n", "{}", "other", NULL, "{}", false },
    { "n", "{'matchLabels':{'a':'1'}}", "n", NULL, "{'a':'1','b':'2'}", true },
    { "n", "{'matchLabels':{'a':'1'}}", "n", NULL, "{'a':'2'}", false },
    { "n", "{'matchLabels':{'a':'1'}}", "n", NULL, "{}", false },
    { "n", "{'matchLabels':{'a':'1'}}", "other", NULL, "{'a':'1'}", false },
    { "n", "{'matchLabels':{'a':'1','b':'2'}}", "n", NULL, "{'a':'1','b':'2'}", true },
    { "n", "{'matchLabels':{'a':'1','b':'2'}}", "n", NULL, "{'a':'1'}", false },
    { "n", "{'matchLabels':{'a':''}}", "n", NULL, "{'a':''}", true },
    { "n", "{'matchLabels':{'a':''}}", "n", NULL, "{}", false },
    { "n", IN("a", "'1','2'"), "n", NULL, "{'a':'2'}", true },
    { "n", IN("a", "'1','2'"), "n", NULL, "{'a':'3'}", false },
    { "n", IN("a", "'1','2'"), "n", NULL, "{'b':'1'}", false },
    { "n", NOT_IN("a", "'1','2'"), "n", NULL, "{'a':'3'}", true },
    { "n", NOT_IN("a", "'1','2'"), "n", NULL, "{'a':'2'}", false },
    { "n", NOT_IN("a", "'1','2'"), "n", NULL, "{'b':'1'}", true },
    { "n", NOT_IN("a", "'1','2'"), "other", NULL, "{'b':'1'}", false },
    { "n", EXISTS("a"), "n", NULL, "{'a':''}", true },
    { "n", EXISTS("a"), "n", NULL, "{'b':'1'}", false },
    { "n", EXISTS("a"), "other", NULL, "{'a':'1'}", false },
    { "n", ABSENT("a"), "n", NULL, "{'b':''}", true },
    { "n", ABSENT("a"), "n", NULL, "{}", true },
    { "n", ABSENT("a"), "n", NULL, "{'a':''}", false },
    { "n", "{'matchLabels':{'a':'1'},'matchExpressions':[{'key':'b','operator':'DoesNotExist'}]}", "n", NULL,
      "{'a':'1'}", true },
    { "n", "{'matchLabels':{'a':'1'},'matchExpressions':[{'key':'b','operator':'DoesNotExist'}]}", "n", NULL,
      "{'a':'1','b':'1'}", false },
    { "n", "{'matchExpressions':[{'key':'a','operator':'Exists'},{'key':'a','operator':'NotIn','values':['1']}]}", "n",
      NULL, "{'a':'2'}", true },
    { "n", "{'matchExpressions':[{'key':'a','operator':'Exists'},{'key':'a','operator':'NotIn','values':['1']}]}", "n",
      NULL, "{}", false },
    { "n", "{'matchExpressions':[{'key':'a','operator':'Exists'},{'key':'a','operator':'DoesNotExist'}]}", "n",
      NULL, "{'a':'2'}", false },
    /* networkpolicy 9: namespaces by selector, all of them with {}; both selectors: and. */
    { "{}", "{}", "n", NULL, "{}", true },
    { "{}", "{}", "n", "{'x':'1'}", "{'a':'1'}", true },
    { "{}", "{'matchLabels':{'a':'1'}}", "n", NULL, "{'a':'1'}", true },
    { "{}", "{'matchLabels':{'a':'1'}}", "n", NULL, "{'a':'2'}", false },
    { "{}", EXISTS("a"), "n", NULL, "{'a':'2'}", true },
    { "{'matchLabels':{'x':'1'}}", "{}", "n", "{'x':'1'}", "{}", true },
    { "{'matchLabels':{'x':'1'}}", "{}", "n", "{'x':'2'}", "{}", false },
    { "{'matchLabels':{'x':'1'}}", "{}", "n", NULL, "{'x':'1'}", false },
    { "{'matchLabels':{'x':'1'}}", "{'matchLabels':{'a':'1'}}", "n", "{'x':'1'}", "{'a':'1'}", true },
    { "{'matchLabels':{'x':'1'}}", "{'matchLabels':{'a':'1'}}", "n", "{'x':'1'}", "{'a':'2'}", false },
    { "{'matchLabels':{'x':'1'}}", "{'matchLabels':{'a':'1'}}", "n", "{}", "{'a':'1','x':'1'}", false },
    { EXISTS("x"), ABSENT("a"), "n", "{'x':''}", "{}", true },
    { EXISTS("x"), ABSENT("a"), "n", "{}", "{}", false },
    { ABSENT("x"), EXISTS("a"), "n", NULL, "{'a':'1'}", true },
    { ABSENT("x"), EXISTS("a"), "n", "{'x':'1'}", "{'a':'1'}", false },
    { NOT_IN("x", "'1'"), "{}", "n", "{'x':'2'}", "{}", true },
    { NOT_IN("x", "'1'"), "{}", "n", NULL, "{}", true },
    { NOT_IN("x", "'1'"), "{}", "n", "{'x':'1'}", "{}", false },
    /* networkpolicy 11: every namespace has its name as a label, whatever its object says. */
    { "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "{}", "n", NULL, "{}", true },
    { "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "{}", "n", "{}", "{}", true },
    { "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "{}", "n", "{'a':'1','z':'2'}", "{}", true },
    { "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "{}", "n", "{'kubernetes.io/metadata.name':'x','z':'2'}",
      "{}", true },
    { "{'matchLabels':{'kubernetes.io/metadata.name':'x'}}", "{}", "n", "{'kubernetes.io/metadata.name':'x'}", "{}",
      false },
    { "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "{}", "other", NULL, "{}", false },
    { "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "{}", "n", NULL,
      "{'kubernetes.io/metadata.name':'other'}", true },
    { "n", "{'matchLabels':{'kubernetes.io/metadata.name':'n'}}", "n", NULL, "{}", false },
    { EXISTS("kubernetes.io/metadata.name"), "{}", "n", NULL, "{}", true },
    { NOT_IN("kubernetes.io/metadata.name", "'n','x'"), "{}", "n", NULL, "{}", false },
    { NOT_IN("kubernetes.io/metadata.name", "'x'"), "{}", "n", NULL, "{}", true },
    { IN("kubernetes.io/metadata.name", "'m','n','o'"), "{'matchLabels':{'a':'1'}}", "n", NULL, "{'a':'1'}", true },
};

/* In each order of pod, term and namespace; and without each of them again. */
static void
check_meaning(const struct meaning *w, int order)
{
    static const char steps[6][4] = { "ptn", "pnt", "tpn", "tnp", "npt", "ntp" };
    const struct kube_pod *pod = make_pod(w->ns, w->labels, "[]");
    const struct kube_namespace *ns = w->ns_labels ? make_namespace(w->ns, w->ns_labels) : NULL;
    struct policy_match *m = policy_match_create();
    struct match_class *c = NULL;
    struct match_term *t = NULL;

    for (size_t i = 0; i < 3; i++) {
        switch (steps[order][i]) {
        case 'p': c = policy_match_add_pod(m, pod); break;
        case 't': t = ref(m, w->scope, w->pods); break;
        case 'n': policy_match_namespace(m, w->ns, ns); break;
        }
    }
    ck_assert_msg(t->n_classes == w->selected, "%d: %s %s, %s %s", order, w->scope, w->pods, w->ns, w->labels);
    ck_assert(policy_match_find(m, pod) == c);
    ck_assert(c->n_terms == w->selected && has_term(c, t) == w->selected);
    ck_assert(policy_match_pop_changed(m) == c && !policy_match_pop_changed(m));

    switch (order % 3) {
    case 0:
        policy_match_term_unref(m, t);
        ck_assert(!policy_match_find(m, pod)->n_terms && !policy_match_n_terms(m));
        ck_assert_uint_eq(pop_all(m), w->selected);
        break;
    case 1:
        policy_match_remove_pod(m, pod);
        ck_assert(!t->n_classes && !policy_match_n_classes(m) && !policy_match_find(m, pod));
        ck_assert(policy_match_pop_changed(m) == c && !c->n_pods && !c->n_terms);
        ck_assert(!policy_match_pop_changed(m));
        break;
    }
    policy_match_destroy(m);
    kube_object_destroy(&pod->object);
    kube_object_destroy(ns ? &ns->object : NULL);
}

START_TEST(test_meaning)
{
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        for (int order = 0; order < 6; order++) {
            check_meaning(&meanings[i], order);
        }
    }
}
END_TEST

/* Edges. ---------------------------------------------------------------------------------------------------------- */

/* The hash stays what it is from process to process, and goes by content. */
START_TEST(test_hash)
{
    static const struct { const char *scope, *pods; uint64_t hash; } cases[] = {
        { "n", "{}", UINT64_C(0xe6f9a3fbd15119ff) },
        { "n", "{'matchLabels':{'a':'1','b':'2'}}", UINT64_C(0x75f4e21e9db55228) },
        { "{}", "{}", UINT64_C(0x9dd56117d02f3543) },
        { "{'matchLabels':{'a':'1'}}", "{}", UINT64_C(0xde0ba64100368240) },
        { "{}", "{'matchLabels':{'a':'1'}}", UINT64_C(0x5c455db4591a8d45) },
        { "n", NOT_IN("a", "'1','2'"), UINT64_C(0xd92a42d7a0ead21d) },
        { "n", IN("a", "'1','2'"), UINT64_C(0xe5554b8d017a4985) },
        { "n", EXISTS("a"), UINT64_C(0xcab40f466db5007f) },
        { "n", ABSENT("a"), UINT64_C(0x15656a9c7b963dae) },
    };
    struct policy_match *m = policy_match_create();

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct match_term *t = ref(m, cases[i].scope, cases[i].pods);
        ck_assert_msg(t->hash == cases[i].hash, "%s %s: 0x%016"PRIx64, cases[i].scope, cases[i].pods, t->hash);
        ck_assert_uint_eq(policy_match_n_terms(m), i + 1);
    }
    struct match_term *t = ref(m, "n", "{'matchLabels':{'b':'2'},'matchExpressions':[{'key':'a','operator':'In','values':"
                               "['1','1']}]}");
    ck_assert(t->n_refs == 2 && policy_match_n_terms(m) == ARRAY_SIZE(cases));
    policy_match_destroy(m);
}
END_TEST

/* One class that ends, comes back before that was popped, ends, comes back after; and one that nobody saw. */
START_TEST(test_end_and_return)
{
    struct policy_match *m = policy_match_create();
    const struct kube_pod *pod = make_pod("n", "{'a':'1'}", "[]"), *same = make_pod("n", "{'a':'1'}", "[]");
    struct match_term *t = ref(m, "n", "{'matchLabels':{'a':'1'}}");
    struct match_class *c = policy_match_add_pod(m, pod);
    int mine;

    c->aux = &mine;
    ck_assert_uint_eq(pop_all(m), 1);
    ck_assert(policy_match_add_pod(m, same) == c && !policy_match_pop_changed(m));
    policy_match_remove_pod(m, pod);
    ck_assert(!policy_match_pop_changed(m) && t->n_classes == 1);
    policy_match_remove_pod(m, same);
    ck_assert(policy_match_add_pod(m, pod) == c && c->aux == &mine && t->n_classes == 1);
    ck_assert(policy_match_pop_changed(m) == c && c->n_pods == 1 && c->n_terms == 1 && c->terms[0] == t);
    ck_assert(!policy_match_pop_changed(m));

    policy_match_remove_pod(m, pod);
    ck_assert(policy_match_pop_changed(m) == c && !c->n_pods && !c->n_terms && c->aux == &mine);
    struct match_class *other = policy_match_add_pod(m, pod);
    ck_assert(other != c && !other->aux && t->n_classes == 1);
    policy_match_remove_pod(m, pod);
    ck_assert(policy_match_pop_changed(m) == other && !other->n_pods && !policy_match_pop_changed(m));
    policy_match_destroy(m);
    kube_object_destroy(&pod->object);
    kube_object_destroy(&same->object);
}
END_TEST

/* What went and came back before anybody looked is no change; a term of the same content is another one. */
START_TEST(test_back_and_forth)
{
    struct policy_match *m = policy_match_create();
    const struct kube_pod *pod = make_pod("n", "{'a':'1'}", "[]");
    const struct kube_namespace *one = make_namespace("n", "{'x':'1'}"), *two = make_namespace("n", "{'x':'2'}");
    struct match_class *c = policy_match_add_pod(m, pod);

    policy_match_namespace(m, "n", one);
    struct match_term *t = ref(m, "{'matchLabels':{'x':'1'}}", "{}"), *u = ref(m, "{'matchLabels':{'x':'2'}}", "{}");
    ck_assert(policy_match_pop_changed(m) == c && has_term(c, t) && !has_term(c, u));
    for (int i = 0; i < 5; i++) {
        policy_match_namespace(m, "n", two);
        ck_assert(!t->n_classes && u->n_classes == 1);
        policy_match_namespace(m, "n", one);
    }
    ck_assert(!policy_match_pop_changed(m) && c->n_terms == 1 && t->n_classes == 1 && !u->n_classes);
    policy_match_namespace(m, "n", NULL);
    ck_assert(policy_match_pop_changed(m) == c && !c->n_terms);
    policy_match_namespace(m, "n", two);
    ck_assert(policy_match_pop_changed(m) == c && has_term(c, u));

    int mine;
    u->aux = &mine;
    policy_match_term_unref(m, u);
    u = ref(m, "{'matchLabels':{'x':'2'}}", "{}");
    ck_assert(!u->aux && policy_match_pop_changed(m) == c && c->n_terms == 1 && c->terms[0] == u);
    policy_match_destroy(m);
    kube_object_destroy(&pod->object);
    kube_object_destroy(&one->object);
    kube_object_destroy(&two->object);
}
END_TEST

/* Named ports tell pods apart; other ports do not. */
START_TEST(test_ports)
{
    static const char *const ports[] = { "[]", "[{'containerPort':80}]", "[{'name':'web','containerPort':80}]",
                                         "[{'name':'web','containerPort':81}]",
                                         "[{'name':'web','containerPort':80,'protocol':'UDP'}]" };
    struct policy_match *m = policy_match_create();
    const struct kube_pod *pods[ARRAY_SIZE(ports)];

    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        pods[i] = make_pod("n", "{}", ports[i]);
        policy_match_add_pod(m, pods[i]);
    }
    ck_assert_uint_eq(policy_match_n_classes(m), ARRAY_SIZE(ports) - 1);
    ck_assert(policy_match_find(m, pods[0]) == policy_match_find(m, pods[1]));
    policy_match_destroy(m);
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        kube_object_destroy(&pods[i]->object);
    }
}
END_TEST

/* As many values as the API lets through, in both selectors, and the same the other way round. */
START_TEST(test_many_values)
{
    struct ds values = DS_EMPTY_INITIALIZER;

    for (int i = 0; i < KUBE_MAX_VALUES; i++) {
        ds_put_format(&values, "%s'v%d'", i ? "," : "", i);
    }
    char *in = xasprintf("{'matchExpressions':[{'key':'a','operator':'In','values':[%s]}]}", ds_cstr(&values));
    char *not_in = xasprintf("{'matchExpressions':[{'key':'a','operator':'NotIn','values':[%s]}]}", ds_cstr(&values));
    const struct kube_pod *pod = make_pod("n", "{'a':'v4999'}", "[]");
    const struct kube_namespace *ns = make_namespace("n", "{'a':'v77'}");
    struct policy_match *m = policy_match_create();

    for (int i = 0; i < 3; i++) {
        struct match_term *t = ref(m, in, in), *u = ref(m, in, not_in), *v = ref(m, "n", in);
        if (i == 0) {
            policy_match_namespace(m, "n", ns);
            policy_match_add_pod(m, pod);
        }
        ck_assert(t->n_classes == 1 && u->n_classes == 0 && v->n_classes == 1);
        ck_assert_uint_eq(policy_match_find(m, pod)->n_terms, 2);
        policy_match_term_unref(m, t);
        policy_match_term_unref(m, u);
        policy_match_term_unref(m, v);
        ck_assert_uint_eq(policy_match_find(m, pod)->n_terms, 0);
        pop_all(m);
    }
    policy_match_destroy(m);
    kube_object_destroy(&pod->object);
    kube_object_destroy(&ns->object);
    ds_destroy(&values);
    free(in);
    free(not_in);
}
END_TEST

/* A class of many pods: each is there once, whoever goes when. */
START_TEST(test_large_class)
{
    enum { N = 3000 };
    struct policy_match *m = policy_match_create();
    const struct kube_pod *pods[N];
    size_t n;

    for (int i = 0; i < N; i++) {
        pods[i] = make_pod("n", "{'a':'1'}", "[]");
        ck_assert(!policy_match_find(m, pods[i]));
        policy_match_add_pod(m, pods[i]);
    }
    struct match_class *c = policy_match_find(m, pods[0]);
    for (int step = 3; step >= 1; step--) {
        for (int i = 0; i < N; i += step) {
            if (pods[i]) {
                policy_match_remove_pod(m, pods[i]);
                kube_object_destroy(&pods[i]->object);
                pods[i] = NULL;
            }
            if (i % 100 == 0 && c->n_pods) {
                n = 0;
                policy_match_for_each_pod(c, count_pod, &n);
                ck_assert_uint_eq(n, c->n_pods);
            }
        }
        for (int i = 0; i < N; i++) {
            ck_assert(!pods[i] || policy_match_find(m, pods[i]) == c);
        }
    }
    ck_assert(!c->n_pods);
    policy_match_destroy(m);
}
END_TEST

/* Histories. ------------------------------------------------------------------------------------------------------ */

enum { N_NS = 12, N_KEYS = 3, N_VALUES = 4, N_PODS = 60, N_TERMS = 48, N_CLASSES = N_NS * 64 * 2 };

/* A requirement for one key: which of the values (0: the key is not there) are right. */
struct want {
    bool used;
    uint8_t op;
    bool values[N_VALUES];              /* [0]: not used. */
};

struct model_term {
    int ns;                             /* -1: by selector. */
    struct want wants[2][2][N_KEYS];    /* Of namespaces, of pods; two per key. */
    const struct kube_networkpolicy *np;
    unsigned int n_refs, generation;
    struct match_term *term;
};

struct model_pod {
    const struct kube_pod *pod;         /* NULL: not there. */
    int ns, labels, ports;
};

struct model {
    uint64_t random;
    struct policy_match *m;
    const struct kube_namespace *namespaces[N_NS];
    int ns_labels[N_NS];                /* Base N_VALUES, 0: not there. */
    struct model_pod pods[N_PODS];
    struct model_term terms[N_TERMS];
    uint64_t before[N_CLASSES];         /* Signature of a class's terms; 0: it is not there. */
    bool came[N_CLASSES];               /* It came or went since 'before'. */
};

static unsigned int
pick(struct model *x, unsigned int n)
{
    x->random = x->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (x->random >> 33) % n;
}

static int
digit(int number, int i)
{
    while (i--) {
        number /= N_VALUES;
    }
    return number % N_VALUES;
}

static char *
labels_text(int number)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (int i = 0; i < N_KEYS; i++) {
        if (digit(number, i)) {
            ds_put_format(&ds, "%s'k%d':'v%d'", ds.length ? "," : "", i, digit(number, i));
        }
    }
    char *text = xasprintf("{%s}", ds_cstr(&ds));
    ds_destroy(&ds);
    return text;
}

static void
random_wants(struct model *x, struct want wants[2][N_KEYS])
{
    for (int i = 0; i < 2 * N_KEYS; i++) {
        struct want *w = &wants[i % 2][i / 2];

        w->used = !pick(x, 4);
        w->op = pick(x, 3) ? KUBE_OP_IN : pick(x, 4);
        for (int v = 1; v < N_VALUES; v++) {
            w->values[v] = !pick(x, 2);
        }
        w->values[1] |= !w->values[2] && !w->values[3];
    }
}

static char *
selector_text(struct want wants[2][N_KEYS])
{
    static const char *const ops[] = { "In", "NotIn", "Exists", "DoesNotExist" };
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (int i = 0; i < 2 * N_KEYS; i++) {
        const struct want *w = &wants[i % 2][i / 2];
        if (w->used) {
            const char *comma = "";
            ds_put_format(&ds, "%s{'key':'k%d','operator':'%s','values':[", ds.length ? "," : "", i / 2, ops[w->op]);
            for (int v = 1; v < N_VALUES && w->op <= KUBE_OP_NOT_IN; v++) {
                if (w->values[v]) {
                    ds_put_format(&ds, "%s'v%d'", comma, v);
                    comma = ",";
                }
            }
            ds_put_cstr(&ds, "]}");
        }
    }
    char *text = xasprintf("{'matchExpressions':[%s]}", ds_cstr(&ds));
    ds_destroy(&ds);
    return text;
}

static bool
wants_match(struct want wants[2][N_KEYS], int labels)
{
    for (int i = 0; i < 2 * N_KEYS; i++) {
        const struct want *w = &wants[i % 2][i / 2];
        int value = digit(labels, i / 2);
        bool ok = (w->op == KUBE_OP_IN ? value && w->values[value]
                   : w->op == KUBE_OP_NOT_IN ? !value || !w->values[value]
                   : w->op == KUBE_OP_EXISTS ? value != 0 : value == 0);
        if (w->used && !ok) {
            return false;
        }
    }
    return true;
}

static bool
model_selects(struct model *x, struct model_term *t, int ns, int labels)
{
    bool reaches = t->ns >= 0 ? t->ns == ns : wants_match(t->wants[0], x->ns_labels[ns]);

    return t->n_refs && reaches && wants_match(t->wants[1], labels);
}

/* Whether one of the model's terms before this one has its content. */
static bool
is_known(const struct model *x, int i)
{
    const struct model_term *t = &x->terms[i];

    for (const struct model_term *o = x->terms; o < t; o++) {
        if (o->ns == t->ns && kube_selector_equal(&o->np->pods, &t->np->pods)
            && (t->ns >= 0 || kube_selector_equal(o->np->ingress[0].peers[0].namespaces,
                                                  t->np->ingress[0].peers[0].namespaces))) {
            return true;
        }
    }
    return false;
}

static void
model_create(struct model *x, uint64_t seed)
{
    *x = (struct model) { .random = seed, .m = policy_match_create() };
    for (int i = 0; i < N_TERMS;) {
        struct model_term *t = &x->terms[i];

        t->ns = i % 3 == 0 ? -1 : (int) pick(x, N_NS);
        random_wants(x, t->wants[0]);
        random_wants(x, t->wants[1]);
        char *namespaces = selector_text(t->wants[0]), *pods = selector_text(t->wants[1]);
        t->np = make_selectors(namespaces, pods);
        free(namespaces);
        free(pods);
        if (is_known(x, i)) {
            kube_object_destroy(&t->np->object);
        } else {
            i++;
        }
    }
}

static void
model_destroy(struct model *x)
{
    policy_match_destroy(x->m);
    for (int i = 0; i < N_TERMS; i++) {
        kube_object_destroy(&x->terms[i].np->object);
    }
    for (int i = 0; i < N_PODS; i++) {
        kube_object_destroy(x->pods[i].pod ? &x->pods[i].pod->object : NULL);
    }
    for (int i = 0; i < N_NS; i++) {
        kube_object_destroy(x->namespaces[i] ? &x->namespaces[i]->object : NULL);
    }
}

static size_t
class_number(const struct model_pod *p)
{
    return (p->ns * 64 + p->labels) * 2 + p->ports;
}

static void
pod_event(struct model *x)
{
    struct model_pod *p = &x->pods[pick(x, N_PODS)];

    if (p->pod) {
        policy_match_remove_pod(x->m, p->pod);
        kube_object_destroy(&p->pod->object);
        p->pod = NULL;
    } else {
        char ns[8];

        *p = (struct model_pod) { .ns = pick(x, N_NS), .labels = pick(x, 64), .ports = !pick(x, 4) };
        if (pick(x, 2)) {
            p->ns = 0;
            p->labels %= 6;
        }
        snprintf(ns, sizeof ns, "n%d", p->ns);
        char *labels = labels_text(p->labels);
        p->pod = make_pod(ns, labels, p->ports ? "[{'name':'web','containerPort':80}]" : "[]");
        free(labels);
        policy_match_add_pod(x->m, p->pod);
    }

    bool alone = true;
    for (int i = 0; i < N_PODS; i++) {
        alone &= &x->pods[i] == p || !x->pods[i].pod || class_number(&x->pods[i]) != class_number(p);
    }
    x->came[class_number(p)] |= alone;
}

static void
namespace_event(struct model *x)
{
    int i = pick(x, N_NS);
    const struct kube_namespace *old = x->namespaces[i];
    char name[8];

    snprintf(name, sizeof name, "n%d", i);
    x->ns_labels[i] = old && !pick(x, 3) ? 0 : pick(x, 64);
    x->namespaces[i] = NULL;
    if (x->ns_labels[i]) {
        char *labels = labels_text(x->ns_labels[i]);
        x->namespaces[i] = make_namespace(name, labels);
        free(labels);
    }
    policy_match_namespace(x->m, name, x->namespaces[i]);
    kube_object_destroy(old ? &old->object : NULL);
}

static void
term_event(struct model *x)
{
    struct model_term *t = &x->terms[pick(x, N_TERMS)];
    char name[8];

    if (t->n_refs && pick(x, 2)) {
        policy_match_term_unref(x->m, t->term);
        t->n_refs--;
        return;
    }
    snprintf(name, sizeof name, "n%d", t->ns);
    t->term = policy_match_term_ref(x->m, t->ns >= 0 ? name : NULL,
                                    t->ns >= 0 ? NULL : t->np->ingress[0].peers[0].namespaces, &t->np->pods);
    t->generation += !t->n_refs;
    t->n_refs++;
}

/* What the terms of each class are now. */
static void
model_signatures(struct model *x, uint64_t signatures[N_CLASSES])
{
    memset(signatures, 0, N_CLASSES * sizeof *signatures);
    for (int i = 0; i < N_PODS; i++) {
        const struct model_pod *p = &x->pods[i];
        uint64_t signature = 1;

        for (int k = 0; p->pod && k < N_TERMS; k++) {
            struct model_term *t = &x->terms[k];
            if (model_selects(x, t, p->ns, p->labels)) {
                signature += (t->generation * UINT64_C(64) + k + 1) * UINT64_C(0x9e3779b97f4a7c15);
            }
        }
        if (p->pod) {
            signatures[class_number(p)] = signature;
        }
    }
}

static void
check_class(struct model *x, const struct model_pod *p)
{
    const struct match_class *c = policy_match_find(x->m, p->pod);
    size_t n_terms = 0, n_pods = 0, counted = 0;

    ck_assert(c && !strcmp(c->namespace_, p->pod->object.namespace_));
    ck_assert(labels_equal(c->labels, p->pod->object.labels) && intern_tuple_equal(c->ports, p->pod->ports));
    for (int k = 0; k < N_TERMS; k++) {
        bool selects = model_selects(x, &x->terms[k], p->ns, p->labels);
        if ((x->terms[k].n_refs && has_term(c, x->terms[k].term)) != selects) {
            ck_abort_msg("term %d: %s", k, selects ? "missing" : "there");
        }
        n_terms += selects;
    }
    ck_assert_uint_eq(c->n_terms, n_terms);
    for (size_t i = 1; i < c->n_terms; i++) {
        ck_assert(c->terms[i - 1]->hash <= c->terms[i]->hash && c->terms[i - 1] != c->terms[i]);
    }
    for (int i = 0; i < N_PODS; i++) {
        n_pods += x->pods[i].pod && class_number(&x->pods[i]) == class_number(p);
    }
    policy_match_for_each_pod(c, count_pod, &counted);
    ck_assert(c->n_pods == n_pods && counted == n_pods);
}

static void
check_counts(struct model *x, const uint64_t now[N_CLASSES])
{
    size_t n = 0;

    for (int i = 0; i < N_CLASSES; i++) {
        n += now[i] != 0;
    }
    ck_assert_uint_eq(policy_match_n_classes(x->m), n);
    for (int k = 0; k < N_TERMS; k++) {
        n = 0;
        for (int i = 0; i < N_CLASSES; i++) {
            n += now[i] && model_selects(x, &x->terms[k], i / 128, i / 2 % 64);
        }
        if (x->terms[k].n_refs) {
            ck_assert_uint_eq(x->terms[k].term->n_classes, n);
        }
    }
}

static size_t
number_of(const struct match_class *c)
{
    struct model_pod p = { .ns = atoi(c->namespace_ + 1), .ports = c->ports != NULL };

    for (int i = N_KEYS - 1; i >= 0; i--) {
        char key[] = { 'k', '0' + i, '\0' };
        const char *value = labels_get(c->labels, key);
        p.labels = p.labels * N_VALUES + (value ? atoi(value + 1) : 0);
    }
    return class_number(&p);
}

/* Exactly those are reported that came, went, or have other terms. */
static void
check_popped(struct model *x, const uint64_t now[N_CLASSES])
{
    bool popped[N_CLASSES] = { false };
    struct match_class *c;

    while ((c = policy_match_pop_changed(x->m))) {
        size_t i = number_of(c);
        ck_assert(!popped[i] && (c->n_pods > 0) == (now[i] != 0));
        popped[i] = true;
    }
    for (int i = 0; i < N_CLASSES; i++) {
        bool changed = x->came[i] || x->before[i] != now[i];
        if (popped[i] != changed) {
            ck_abort_msg("class %d: %s", i, popped[i] ? "reported for nothing" : "not reported");
        }
    }
    memcpy(x->before, now, sizeof x->before);
    memset(x->came, 0, sizeof x->came);
}

static void
check_model(struct model *x)
{
    uint64_t now[N_CLASSES];

    model_signatures(x, now);
    check_counts(x, now);
    check_popped(x, now);
    for (int i = 0; i < N_PODS; i++) {
        if (x->pods[i].pod) {
            check_class(x, &x->pods[i]);
        }
    }
}

static void
run_history(uint64_t seed, int n_events)
{
    struct model *x = xmalloc(sizeof *x);

    model_create(x, seed);
    while (n_events > 0) {
        for (int n = pick(x, 2) ? 1 : pick(x, 30); n > 0; n--, n_events--) {
            unsigned int what = pick(x, 10);
            what < 5 ? pod_event(x) : what < 9 ? term_event(x) : namespace_event(x);
        }
        check_model(x);
    }
    model_destroy(x);
    free(x);
}

/* networkpolicy 4, 9, 11, 20 */
START_TEST(test_histories)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        run_history(seed, 400);
    }
}
END_TEST

UNIT_MAIN("policy-match", {
    tcase_add_test(tc, test_meaning);
    tcase_add_test(tc, test_hash);
    tcase_add_test(tc, test_end_and_return);
    tcase_add_test(tc, test_back_and_forth);
    tcase_add_test(tc, test_ports);
    tcase_add_test(tc, test_many_values);
    tcase_add_test(tc, test_large_class);
    tcase_add_test(tc, test_histories);
})
